"""Chapter 4's exercises, in the order of the chapter.

scale: which step makes 0.75 into 192.  affine: step, zero point and codes of a tensor.  clip: where to cut
the range.  gptq: what the later columns can make good.  ste: the gradient of a learned step.
"""

from neurolab.solutions.quantization.clip import best_clip
from neurolab.solutions.quantization.grid import affine, scales
from neurolab.solutions.quantization.repair import backward, spread

__all__ = ["affine", "backward", "best_clip", "scales", "spread"]
