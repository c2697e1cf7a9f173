"""The course in the order of reading: one list for the book, the ledger and chapter 0's picture."""

from __future__ import annotations

ROAD = (
    (0, "start", "Start", "Five times less energy, one to three per cent worse: would you bet on it?"),
    (1, "encoding", "Encoding", "How many spikes does a number need?"),
    (2, "lif", "The leaky neuron", "When does a leaky bucket compute?"),
    (3, "attention", "Spiking attention", "Can attention be done by spikes exactly?"),
    (4, "quantization", "Quantization", "How few bits can a fact survive?"),
    (5, "pruning", "Pruning and coding", "Are zeros free?"),
    (6, "dynamic_sparsity", "Dynamic sparsity", "Must every pixel be thought about, every frame?"),
    (7, "mobile_export", "Onto the phone", "Does it run on your phone?"),
    (8, "benchmarking", "Benchmarking", "So: was it true?"),
)
"""Number, file name without its number, title, question."""
