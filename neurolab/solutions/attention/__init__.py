"""Chapter 3's exercises, in the order of the chapter.

causal: after attention itself.  divide: where the softmax is replaced.  rest: at the neuron homing in on its
code.  delta: at products of two spiking operands.  bound: at the bound on T.  energy: at the energy claim.
"""

from neurolab.solutions.attention.parts import attend, delta, mix
from neurolab.solutions.attention.steps import bound, energy, settle

__all__ = ["attend", "bound", "delta", "energy", "mix", "settle"]
