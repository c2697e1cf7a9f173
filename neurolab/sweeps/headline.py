"""The assistant against the 8-bit Transformer, as the articles take it: the rows of chapter 8.

Models: `int8` (the assistant in ONNX Runtime, dynamic 8 bits: the rival), `float`, chapter 5's files `ptq12`,
`ptq14`, `qat18`, `qat28`, and chapter 3's `spiking` (until rest). A file is small on the disk only; to run it
becomes a graph of floats (`_fp32`) or of 8 bits (`_int8`), and the rows say which.

headline.assistant {model, language: en | th | both, against: int8, seed}
    exact_match, exact_match_drop_points (against `int8`, same questions) with _low, _high (95 %, bootstrap),
    questions, and for language = both: bytes, file_ratio_vs_int8, file_ratio_vs_int8_coded (the rival's own
    codes, entropy-coded), file_ratio_vs_fp32, peak_bytes, peak_memory_ratio_vs_int8,
    peak_memory_ratio_vs_fp32 (`headline_memory`; seed 1). `int8` and `float` have no ratio against themselves,
    and `float` has none at all. seed: 1, 2, 3 for the files of chapter 5 (seed 1 is the shipped file),
    0 for the others, of which there is one.
headline.latency {model, runtime: onnx | ort | torch, language, tokens, runs}   model: as it runs, qat28_int8
    ratio_vs_fp32, ratio_vs_int8 (time per generated token, prompts included, whole runs in turns; _low, _high),
    p50_ratio, p95_ratio (of a single token's time, fp32's over this one's), milliseconds_per_token
headline.spread {what: latency | accuracy, model, runs: 10 | 20 | 30, tokens, threads}
    latency_sd_percent and milliseconds (a list, one a run), or accuracy_sd_percent and exact_match (a list)
headline.energy {model}   simulated
    joules_per_token, ratio_vs_int8, ratio_vs_fp32, joules_per_token_int8, joules_per_token_fp32
headline.batch {what: throughput | kv_cache | prefix_cache, model, batch}
    tokens_per_second_ratio, latency_ratio, memory_bytes   (against batch 1, or against no such cache)
headline.counter {counter}   only where the machine has energy counters: joules_per_token, ratio_vs_fp32
"""

from __future__ import annotations

from neurolab.sweep import Job


def jobs() -> list[Job]:
    """Every row of this module."""
    return []
