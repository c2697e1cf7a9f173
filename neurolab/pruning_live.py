"""What chapter 5's explorers compute while a slider moves: pure functions on the assistant's own weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab import assistant, coding, compressed, growing, ledger, streams, thinning
from neurolab.compressing import round_to_nearest
from neurolab.pruning import lowest_off
from neurolab.quantized import Coded
from neurolab.symbols import Ints

MATRICES = {
    "what a word asks for (block 1)": "blocks.0.attention.query.weight",
    "what is said to the stream (block 1)": "blocks.0.attention.out.weight",
    "first large matrix (block 2)": "blocks.1.feed_forward.up.weight",
    "second large matrix (block 4)": "blocks.3.feed_forward.down.weight",
}
PARTS = {
    "codes": "codes",
    "steps": "steps",
    "floats": "norms",
    "tokenizer": "tokenizer",
    "header": "header, tables",
    "checksum": "checksum",
}
STEPS = tuple(round(0.25 * i, 2) for i in range(1, 13))
MASKED = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9)


def thinned(sparsity: float, method: str, matrix: str) -> dict[str, Any]:
    """`thinning.histogram` with the axes and the sentence of the explorer."""
    found = thinning.histogram(sparsity, {"by size": "magnitude", "Wanda": "wanda"}[method], MATRICES[matrix])
    widest = float(np.abs(found["centres"]).max()) * 1.02
    top = float((found["stays"] + found["goes"]).max()) * 1.08
    words = (
        f"{100 * sparsity:.0f} % zeros in {matrix}, chosen {method}: what the matrix says is off by "
        f"{100 * found['error']:.1f} % of its power; the largest weight that went is {found['threshold']:.2f}"
    )
    return {
        **{key: found[key] for key in ("centres", "stays", "goes")},
        "window": np.array([-widest, widest]),
        "heights": np.array([0.0, top]),
        "words": words,
    }


def weight(matrix: str) -> Tensor:
    """One of MATRICES, (R, C), of the shipped assistant."""
    return assistant.load().model.get_parameter(MATRICES[matrix]).detach()


@lru_cache(maxsize=16)  # while the tree grows, its codes stay
def codes(matrix: str, bits: int, sparsity: float) -> Ints:
    """Its codes (n,), not to be written to: pruned by size, rounded to `bits` bits."""
    found = ledger.pruned_codes(weight(matrix), bits, sparsity)
    found.setflags(write=False)
    return found


def grown(sparsity: float, joins: int, bits: int = 3) -> dict[str, Any]:
    """The Huffman tree of one matrix's codes after `joins` joins (as many as there are, at most)."""
    symbols, counts = np.unique(codes("first large matrix (block 2)", bits, sparsity), return_counts=True)
    names = [str(s) for s in symbols.tolist()]
    done = min(joins, len(growing.steps(counts)))
    found, said = growing.forest(counts, done, names), growing.table(counts, done, names)
    total = int(counts.sum())
    edges = {
        key: np.array([np.nan if v is None else v for v in found[key]] or [np.nan])
        for key in ("edge_x", "edge_y")
    }
    leaves = [i for i, label in enumerate(found["label"]) if label]
    words = dict(zip(said["symbol"], said["word"], strict=True))
    text = [f"{100 * n / total:.0f}" for n in found["weight"]]
    finished = done == found["joins"]
    rest = (
        f"every code has its word, {said['mean']:.3f} bits on average; the entropy is {said['entropy']:.3f}"
        if finished
        else f"{said['mean']:.3f} bits so far"
    )
    return {
        **edges,
        "x": np.array(found["x"]),
        "y": np.array(found["y"]),
        "text": text,
        "colour": np.array(found["joined"], float),
        "leaf x": np.array([found["x"][i] for i in leaves]),
        "leaf y": np.full(len(leaves), -0.55),
        "leaf": [f"<b>{found['label'][i]}</b><br>{words.get(found['label'][i], '')}" for i in leaves],
        "wide": np.array([-0.6, len(names) - 0.4]),
        "high": np.array([-1.3, len(names) - 0.2]),
        "words": f"{100 * sparsity:.0f} % set to zero, {done} of {found['joins']} joins: {rest}",
    }


def billed(bits: int, sparsity: float, matrix: str = "first large matrix (block 2)") -> dict[str, Any]:
    """What each coder charges for one matrix's codes."""
    found = ledger.bars([codes(matrix, bits, sparsity)], bits)
    best = dict(zip(found["coders"], found["all"], strict=True))
    over = 100 * (best["Huffman"] / best["ANS"] - 1)
    return {
        "coders": found["coders"],
        **{key: np.array(found[key]) for key in ("entropy", "tables", "waste")},
        "heights": np.array([0.0, 1.08 * bits]),
        "words": f"{bits} bits, {100 * sparsity:.0f} % zeros: fixed width {best['fixed width']:.2f} "
        "bits a weight, Huffman "
        f"{best['Huffman']:.2f}, ANS {best['ANS']:.2f}; Huffman needs {over:.1f} % more than ANS",
    }


@lru_cache(maxsize=len(MATRICES))
def _off(matrix: str) -> dict[str, Any]:
    """Entropy in bits a weight and error in per cent of the output's power: of one uniform ruler (no mask, no
    limit, a step of STEPS standard deviations), and of masks (MASKED) on rulers of 8 and of 4 bits."""
    w, x = weight(matrix), thinning.inputs(MATRICES[matrix])
    power = (x @ w.T).square().sum()

    def cost(q: Tensor, value: Tensor) -> tuple[float, float, float]:
        symbols = q.reshape(-1).numpy().astype(np.int64)
        off = 100 * float((x @ (value - w).T).square().sum() / power)
        return coding.entropy(symbols), off, float((symbols == 0).mean())

    found: dict[str, Any] = {}
    s = float(w.std())
    rounded = [(torch.round(w / (step * s)), step * s) for step in STEPS]
    found["ruler"] = np.array([cost(q, q * unit) for q, unit in rounded])
    for bits in (8, 4):
        masked = []
        for sparsity in MASKED:
            keep = lowest_off(w.abs().flatten(), sparsity).reshape(w.shape)
            coded = round_to_nearest(w * keep, bits)
            masked.append(cost(coded.q, coded.value()))
        found[f"mask, {bits} bits"] = np.array(masked)
    return found


def against_mask(matrix: str) -> tuple[np.ndarray, np.ndarray]:
    """Bits a weight (n,) of those of STEPS for which both exist, and how many times larger is the error of a
    mask on a 4-bit ruler at as many bits (n,); the logarithm of its error is a line between its points."""
    ruler, mask = _off(matrix)["ruler"], _off(matrix)["mask, 4 bits"][::-1]
    ruler = ruler[(ruler[:, 0] >= mask[0, 0]) & (ruler[:, 0] <= mask[-1, 0])]
    return ruler[:, 0], np.exp(np.interp(ruler[:, 0], mask[:, 0], np.log(mask[:, 1]))) / ruler[:, 1]


def zero_bin(step: float, matrix: str) -> dict[str, Any]:
    """One coarse ruler with an entropy coder against a mask on a finer ruler, at equal bits.

    step: in standard deviations of the weights, one of STEPS. ValueError for another one.
    Lines: "... x" bits a weight (entropy), "... y" error in per cent of what the matrix says. x, y: the step.
    """
    if step not in STEPS:
        raise ValueError(f"step is {step!r}; it must be one of {', '.join(map(str, STEPS))}")
    found = _off(matrix)
    lines = {f"{name} {axis}": found[name][:, i] for name in found for i, axis in enumerate("xy")}
    bits, off, zeros = found["ruler"][STEPS.index(step)].tolist()
    there, ratio = against_mask(matrix)
    same = dict(zip(there.tolist(), (ratio * off).tolist(), strict=True)).get(bits)
    rest = f"; a mask on a 4-bit ruler, at as many bits, {same:.1f} %" if same else ""
    return {
        **lines,
        "x": np.array([bits]),
        "y": np.array([off]),
        "words": f"a step of {step:g} standard deviations: {100 * zeros:.0f} % of the codes are zeros, "
        f"though nobody pruned; {bits:.2f} bits a weight, off by {off:.1f} % of the power{rest}",
    }


def contents(path: Path) -> dict[str, Any]:
    """What a compressed file holds. bytes: of it.  bits: a weight, everything counted.  zeros: share of the
    codes of all matrices; most: per cent in the emptiest."""
    back = compressed.load(path)
    each = [x.q.reshape(-1) for x in back.tensors.values() if isinstance(x, Coded) and x.q.ndim > 1]
    n = sum(len(q) for q in each)
    size = path.stat().st_size
    return {
        "bytes": size,
        "bits": 8 * size / n,
        "zeros": sum(int((q == 0).sum()) for q in each) / n,
        "most": 100 * max(float((q == 0).float().mean()) for q in each),
    }


def parts(path: Path) -> dict[str, Any]:
    """The parts of a compressed file in bytes, for a bar each; their sum is the file's size."""
    back = compressed.load(path)
    sections = back.sections
    kept = {said: sections[name] for name, said in PARTS.items()}
    ideal = streams.entropy_bytes(ledger.codes_of(back.tensors))
    return {
        "parts": list(kept),
        "bytes": np.array(list(kept.values()), float),
        "text": [f"{n:,}" for n in kept.values()],
        "words": f"{path.name}: {sum(kept.values()):,} bytes in all, {path.stat().st_size:,} on the disk; "
        "codes, header and tables are "
        f"{100 * ((sections['codes'] + sections['header']) / ideal - 1):.2f} % above the codes' entropy",
    }
