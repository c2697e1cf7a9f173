"""Chapter 5's exercises, in the order of the chapter.

mask: the smallest weights go.  channels: whole hidden neurons go.  entropy: what an ideal coder needs.
huffman_bits: what Huffman's tree needs.  huffman_code: code words from their lengths.  huffman_decode: back.
"""

from neurolab.solutions.pruning.entropy import entropy, huffman_bits
from neurolab.solutions.pruning.reading import decode
from neurolab.solutions.pruning.words import canonical
from neurolab.solutions.pruning.zeros import mask, narrow

__all__ = ["canonical", "decode", "entropy", "huffman_bits", "mask", "narrow"]
