"""Chapter 6's exercises, in the order of the chapter.

gate: which tokens change enough.  pack: only those are computed, and put back.  macs: what that saves.
topk: the keys that fit best.  exit: stop when it is sure.  blocks: a matrix of which most blocks are missing.
"""

from neurolab.solutions.sparsity.blocks import multiply
from neurolab.solutions.sparsity.choose import gate, topk
from neurolab.solutions.sparsity.packing import macs, pack
from neurolab.solutions.sparsity.stopping import stop

__all__ = ["gate", "macs", "multiply", "pack", "stop", "topk"]
