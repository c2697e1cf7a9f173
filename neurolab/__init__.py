"""neurolab: a course on what happens to a Transformer language model on its way to a phone."""

__version__ = "0.1.0"
