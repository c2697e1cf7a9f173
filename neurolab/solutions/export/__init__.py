"""Chapter 7's exercises, in the order of the chapter.

axes: a file for any number of pieces.  loop: ask such a file.  mend: find why an export is wrong.
proof: which answers can't differ.  joules: a recording becomes joules a token.
"""

from neurolab.solutions.export.axes import save
from neurolab.solutions.export.equal import proved
from neurolab.solutions.export.joules import joules
from neurolab.solutions.export.loop import answer
from neurolab.solutions.export.mend import mended

__all__ = ["answer", "joules", "mended", "proved", "save"]
