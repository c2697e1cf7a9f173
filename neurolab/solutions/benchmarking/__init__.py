"""Chapter 8's exercises, in the order of the chapter.

pairs: a comparison that survives drift.  interval: how sure a median is.  front: what nothing else beats.
"""

from neurolab.solutions.benchmarking.front import front
from neurolab.solutions.benchmarking.interval import interval
from neurolab.solutions.benchmarking.pairs import faster

__all__ = ["faster", "front", "interval"]
