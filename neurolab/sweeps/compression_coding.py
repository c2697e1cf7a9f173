"""Rows of entropy coding: what Huffman adds to fixed width, and every coder beside the entropy."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

import torch

from neurolab import assistant, compressed, compressing, ledger, pruning, streams, tuning
from neurolab.compressed import Loaded
from neurolab.quantized import Tensors, figures, float_bytes, put
from neurolab.sweep import Job
from neurolab.sweeps.compression_prune import RATE, from_control
from neurolab.transformer import Transformer

BITS = (8, 6, 5, 4, 3)
SPARSITIES = (0.0, 0.3, 0.6, 0.8)
STEPS = 200
"""Of fine-tuning, where weights were set to zero."""
CODED = ((8, 0.0), (4, 0.0), (3, 0.0), (2, 0.0), (4, 0.6), (3, 0.8), (8, 0.8))
"""Bits and sparsities whose codes every coder gets; these are not fine-tuned: only the bytes count."""


@lru_cache(maxsize=1)
def _model() -> Transformer:
    return assistant.load().model


@lru_cache(maxsize=len(SPARSITIES))
def pruned(sparsity: float, steps: int, seed: int) -> Transformer:
    """The assistant with the smallest weights of each layer at zero, fine-tuned with those staying there."""
    if not sparsity:
        return _model()
    model = pruning.prune(_model(), sparsity, "magnitude", scope="layer")
    tuning.tune(model, steps=steps, seed=seed, teacher=_model(), rate_matrices=RATE, rate_rest=RATE / 2)
    return pruning.plain(model.eval())


def coded(bits: int, sparsity: float, steps: int, seed: int = 0) -> Tensors:
    """The pruned assistant's weights, rounded to the nearest code."""
    weights = {name: x.detach() for name, x in pruned(sparsity, steps, seed).state_dict().items()}
    return compressing.compress(weights, bits)


def written(tensors: Tensors, coder: str) -> tuple[bytes, Loaded]:
    """The file of the tensors, and what is read from it."""
    data = compressed.encode(tensors, config=asdict(_model().config), coder=coder)
    return data, compressed.decode(data)


def changed(tensors: Tensors, back: Tensors) -> int:
    """How many weights are not, bit for bit, what they were."""
    a, b = put(_model(), tensors).state_dict(), put(_model(), back).state_dict()
    return sum(int((a[name].view(torch.int32) != b[name].view(torch.int32)).sum()) for name in a)


def huffman(bits: int, sparsity: float, steps: int, seed: int) -> dict[str, Any]:
    """Figures of one row of compression.huffman: whole files, which differ only in how codes are coded."""
    tensors = coded(bits, sparsity, steps, seed)
    made = {coder: written(tensors, coder) for coder in streams.CODERS}
    data, back = made["huffman"]
    found = figures(back.model(), every=4)
    codes = ledger.codes_of(tensors)
    n = sum(map(len, codes))
    found |= {
        "bytes": len(data),
        "packed_bytes": len(made["packed"][0]),
        "ans_bytes": len(made["ans"][0]),
        "size_ratio": float_bytes() / len(data),
        "ratio_gain_percent": 100 * (len(made["packed"][0]) / len(data) - 1),
        "changed_weights": changed(tensors, back.tensors),
        "zeros": sum(int((q == 0).sum()) for q in codes) / n,
        "entropy": 8 * streams.entropy_bytes(codes) / n,
    }
    found |= {f"{coder}_bits": 8 * one[1].sections["codes"] / n for coder, one in made.items()}
    return found | (from_control(found, steps, seed) if steps else {})


def coder(bits: int, sparsity: float, name: str, repeats: int = 5) -> dict[str, Any]:
    """Figures of one row of compression.coders: the payload (codes and tables) against its entropy.

    decode_seconds: processor time to read the whole file into weights (median; one thread): what else runs on
    the machine does not stretch it.
    """
    weights = {key: x.detach() for key, x in _model().state_dict().items()}
    tensors = compressing.compress(weights, bits, sparsity)
    data, back = written(tensors, name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        compressed.decode(data)
        seconds.append(time.process_time() - start)
    torch.set_num_threads(threads)
    found = compressing.report(back, float_bytes())
    payload = back.sections["codes"] + back.sections["header"]
    return {
        "bytes": len(data),
        "size_ratio": found["size_ratio"],
        "payload_bytes": payload,
        "codes_bytes": back.sections["codes"],
        "entropy_bytes": found["entropy_bytes"],
        "over_entropy_percent": 100 * (payload / found["entropy_bytes"] - 1),
        "decode_seconds": statistics.median(seconds),
        "changed_weights": changed(tensors, back.tensors),
    }


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    for sparsity in SPARSITIES:
        steps = STEPS if sparsity else 0
        for bits in BITS:
            setting = {
                "bits": bits, "sparsity": sparsity, "scope": "codes",
                "tuned": steps > 0, "steps": steps, "seed": 0,
            }  # fmt: skip
            make = partial(huffman, bits, sparsity, steps, 0)
            made.append(Job("compression.huffman", setting, make, 1.5 if steps else 0.6, 5))
    for bits, sparsity in CODED:
        for name in streams.CODERS:
            setting = {"bits": bits, "sparsity": sparsity, "coder": name}
            made.append(Job("compression.coders", setting, partial(coder, bits, sparsity, name), 0.1, 5))
    return made
