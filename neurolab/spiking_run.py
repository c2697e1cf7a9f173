"""The integer run of the spiking assistant."""

from neurolab.spiking_files import Spiking, SpikingError, export, load, save

__all__ = ["Spiking", "SpikingError", "export", "load", "save"]
