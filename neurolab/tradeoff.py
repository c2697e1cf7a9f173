"""The trade-off: the assistant at T ticks x bits x sparsity, without any training, on 500 fixed questions.

`compute(T, bits, sparsity)` gives all figures of one point:

- **weights**: pruned and rounded by chapter 4's error compensation (`gptq`), a step a row: in each matrix of
  the blocks the share `sparsity` of the weights that costs least to lose goes (Optimal brain surgeon's score
  w^2 / [H^-1]_jj), what goes and what is rounded is made good by the columns after it. Looks at training
  questions only. The file of chapter 5 is written, and the network that is measured is the one read from it;
- **activations**: counts of T ticks (`tradeoff_ticks`), or floats where T is "real";
- **questions**: 250 Thai and 250 English ones of the held-out phrasings, the same for every point.

`energies` prices what was counted; it is a simulation, in rows of its own. Sources: Frantar and Alistarh,
SparseGPT, ICML 2023 (pruning and rounding in one pass); Hassibi and Stork, NeurIPS 1992 (the score).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurolab import assistant, compressed, energy, facts, gptq, pruning, ptq
from neurolab import tradeoff_ticks as ticks
from neurolab.compressing import SPARED
from neurolab.energy import Counts
from neurolab.energy_counts import counts_sequences
from neurolab.facts import Question
from neurolab.paths import reader_folder
from neurolab.quantization import check_bits, code_range
from neurolab.quantized import Coded, Tensors, float_bytes
from neurolab.transformer import Transformer

REAL = "real"
"""The T of activations that are floats."""
T_VALUES: tuple[int | str, ...] = (4, 8, 12, 16, 24, 32, 64, REAL)
BITS = (2, 3, 4, 5, 6, 8)
SPARSITIES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
EACH = 250  # questions of each language
SEED = 0
CALIBRATION = 512  # training questions that the weights are fitted on
WATCHED = 96  # of them: those that thresholds are chosen on
RECIPE = 1
"""To be raised when the recipe of the weights changes: files of other recipes are not used."""
PLACES = {"8 KB": "", "1 MB": "_1mb", "DRAM": "_dram"}
"""Where the weights lie -> the end of the figures' names."""


def check(T: int | str, bits: int, sparsity: float) -> None:
    """ValueError unless this is a point: T "real" or 1 to 256, bits 2 to 8, sparsity in [0, 1)."""
    if T != REAL and (isinstance(T, bool) or not isinstance(T, int) or not 1 <= T <= 256):
        raise ValueError(f"T is {T!r}: must be {REAL!r} or a whole number from 1 to 256")
    check_bits(bits)
    pruning.check_sparsity(sparsity)


@lru_cache(maxsize=1)
def questions() -> tuple[Question, ...]:
    """The fixed sample: EACH held-out questions of each language, drawn by SEED."""
    found: list[Question] = []
    for language in facts.LANGUAGES:
        some = facts.split("held_out", language)
        order = torch.randperm(len(some), generator=torch.Generator().manual_seed(SEED))
        found += [some[i] for i in order[:EACH].tolist()]
    return tuple(found)


def sample_hash() -> str:
    """The first digits of the SHA-256 of the sample's texts and answers."""
    text = json.dumps([[q.text, q.answer] for q in questions()], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ---- weights ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _calibration() -> tuple[Question, ...]:
    return tuple(ptq.calibration_questions(SEED, CALIBRATION))


def pruned_and_rounded(W: Tensor, H: Tensor, bits: int, sparsity: float) -> Coded:
    """W (R, C) with round(sparsity R C) zeros, the rest codes of `bits` bits, for inputs with H (C, C)."""
    keep = torch.ones_like(W, dtype=torch.bool)
    if sparsity:
        U = gptq.inverse_root(H, ptq.DAMP)
        cost = W.detach().double().square() / (U.T @ U).diagonal()
        keep = pruning.lowest_off(cost.flatten(), sparsity).view(W.shape)
    steps = ptq.steps(W * keep, bits, "channel")
    grid = gptq.uniform(steps, W.shape[1], *code_range(bits))

    def round_column(j: int, rest: Tensor) -> tuple[Tensor, Tensor]:
        code, value = grid(j, rest)
        return code * keep[:, j], value * keep[:, j]

    q, _ = gptq.compensate(W, H, round_column, damp=ptq.DAMP)
    return Coded(q, steps)


def weights(bits: int, sparsity: float) -> Tensors:
    """All weights of the assistant, coded. ValueError for other bits or sparsities than `check` allows."""
    check(REAL, bits, sparsity)
    helper = assistant.load()

    def code(name: str, W: Tensor, H: Tensor) -> Coded:
        return pruned_and_rounded(W, H, bits, 0.0 if any(word in name for word in SPARED) else sparsity)

    return gptq.in_order(helper.model, helper.tokenizer, _calibration(), code)


def folder() -> Path:
    """Where files of weights are kept, so that all T share one."""
    card = json.loads((assistant.FOLDER / assistant.CARD).read_text(encoding="utf-8"))
    return reader_folder() / "tradeoff" / f"{card['sha256'][assistant.WEIGHTS][:12]}-{RECIPE}"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold `path` against other processes where the system can; a killed one lets go of it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def file(bits: int, sparsity: float, place: Path | None = None) -> Path:
    """The compressed file of these weights; made if it is not there (or broken), by one process only."""
    check(REAL, bits, sparsity)
    place = place or folder()
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"bits{bits}-sparsity{round(100 * sparsity):02d}.nlab"
    with _alone(path.with_suffix(".lock")):
        try:
            compressed.load(path)
        except (compressed.CompressedError, OSError):
            made, config = weights(bits, sparsity), asdict(assistant.load().model.config)
            about = {"bits": bits, "sparsity": sparsity, "recipe": "gptq, a step a row", "version": RECIPE}
            compressed.save(path, made, config=config, about=about)
            if not compressed.same(made, compressed.load(path).tensors):
                raise RuntimeError(f"{path}: does not give back the weights that were written") from None
    return path


@lru_cache(maxsize=1)
def int8_bytes() -> int:
    """Bytes of the 8-bit file that points are held against: a step a row, nothing entropy-coded."""
    helper = assistant.load()
    plain = ptq.rtn(helper.model, 8, "channel")
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "int8.nlab"
        return compressed.save(path, plain, config=asdict(helper.model.config), coder="packed")


@lru_cache(maxsize=2)
def _network(path: Path) -> Transformer:
    return compressed.load(path).model().eval()  # type: ignore[return-value]


@lru_cache(maxsize=2)
def _sampled(path: Path) -> dict[str, Tensor]:
    return ticks.sampled(_network(path), assistant.load().tokenizer, _calibration()[:WATCHED])


# ---- one point --------------------------------------------------------------------------------------------


def compute(T: int | str, bits: int, sparsity: float, place: Path | None = None) -> dict[str, Any]:
    """The figures of one point, measured now (the file of its weights is kept in `place` and used again).

    exact_match, also by language, in [0, 1]; bits_per_answer_byte; bytes of the file; file_ratio_vs_fp32 and
    _vs_int8; zeros (of the pruned matrices' codes); a token's macs (numbers multiplied), synops and spikes
    (additions by spikes; absent for "real"); ticks_per_token in which spikes go through the network one
    population after another; counts: a token's `energy.Counts`, as "spikes" and as "numbers".
    ValueError for what is no point.
    """
    check(T, bits, sparsity)
    path = file(bits, sparsity, place)
    model, tokenizer, asked = _network(path), assistant.load().tokenizer, questions()
    rule = ticks.Rule()
    if T != REAL:
        rule = ticks.Rule(int(T), ticks.thresholds(_sampled(path), int(T)))
    right, nats = ticks.judged(model, tokenizer, asked, rule)
    done = {
        way: counts.per_token()
        for way, counts in ticks.counts(model, tokenizer, asked, rule, bits, sparsity > 0).items()
    }
    size = path.stat().st_size
    codes = [x.q for name, x in compressed.load(path).tensors.items() if isinstance(x, Coded)
             and not any(word in name for word in SPARED)]  # fmt: skip
    found: dict[str, Any] = {
        "exact_match": sum(right) / len(right),
        **{
            f"exact_match_{language}": sum(right[i * EACH : (i + 1) * EACH]) / EACH
            for i, language in enumerate(facts.LANGUAGES)
        },
        "bits_per_answer_byte": ticks.bits(nats) / sum(len(q.answer.encode()) for q in asked),
        "bytes": size,
        "file_ratio_vs_fp32": float_bytes() / size,
        "file_ratio_vs_int8": int8_bytes() / size,
        "zeros": sum(int((q == 0).sum()) for q in codes) / sum(q.numel() for q in codes),
        "macs": done["numbers"].mac_int8 if T != REAL else done["numbers"].mac_fp32,
        "questions_hash": sample_hash(),
        "threads": torch.get_num_threads(),
        "counts": {way: {k: v for k, v in asdict(c).items() if v} for way, c in done.items()},
    }
    if T != REAL:
        found |= {
            "synops": done["spikes"].add_int32,
            "spikes": done["spikes"].spikes,
            "ticks_per_token": int(T) * (ticks.CHAIN * model.config.layers + 1),
        }
    return found


# ---- energy -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def ordinary(dtype: str) -> Counts:
    """What the ordinary, dense assistant does for a token of the same questions: dtype "fp32" or "int8"."""
    rows = ticks.rows_of(assistant.load().tokenizer, questions())
    lengths = [ids.shape[1] - 1 for ids, _, which in rows for _ in which]
    starts = [n for _, answers, _ in rows for n in (~answers).sum(1).tolist()]
    return counts_sequences(assistant.load().model.config, lengths, dtype, starts).per_token()


def energies(counts: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Energy by `energy.Model` of a point's counts: simulated, a column each for every way and place.

    nj_WAY PLACE: nanojoules a token.  WAY_vs_int8 PLACE, WAY_vs_fp32 PLACE: how many times less than the
    dense ordinary network takes in W8A8, in float32, its weights in the same place. WAY: spikes, numbers;
    PLACE: "" (8 KB of SRAM), "_1mb", "_dram".
    """
    found: dict[str, float] = {}
    for place, end in PLACES.items():
        model = replace(energy.DEFAULT, weights=place)
        others = {dtype: energy.total(ordinary(dtype), model) for dtype in ("int8", "fp32")}
        for way, some in counts.items():
            spent = energy.total(Counts(**some), model)
            found[f"nj_{way}{end}"] = spent / 1e3
            found |= {f"{way}_vs_{dtype}{end}": other / spent for dtype, other in others.items()}
    return found


def setting(T: int | str, bits: int, sparsity: float) -> dict[str, Any]:
    """The setting of a point's row."""
    return {"T": T, "bits": bits, "sparsity": sparsity, "questions": 2 * EACH, "seed": SEED, "recipe": RECIPE}
