"""Chapter 8's headline: the assistant, its rival in 8 bits, and what chapters 3 to 5 made of it, asked alike.

A *variant* is a network as it runs: `float` and `int8` are the assistant in ONNX Runtime, `qat28_int8` is the
network of chapter 5's file qat28 in a graph of 8 bits. A file is small on the disk; what answers is a graph.
`int8` (dynamic: weights in 8 bits when the file is made, activations in 8 bits as they come) is the 8-bit
Transformer that the articles compare with.

`right` asks a variant whole questions and says which it answers; `paired_drop` compares two such lists,
question by question, with a bootstrap interval (Efron and Tibshirani, 1993); `prompts` gives runs of so many
generated tokens, many questions in a row, which `speak` answers one after the other, as one person asks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurolab import facts
from neurolab.export.decoder import Step, empty_cache, torch_step
from neurolab.facts import Question
from neurolab.tokens import END_ID, decode, encode_pair, encode_question, exact_match

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from neurolab.assistant import Assistant

FILES = ("ptq12", "ptq14", "qat18", "qat28")
RIVAL, FLOAT, SPIKING = "int8", "float", "spiking"
ASSISTANT = {"float": "fp32", "int8": "int8", "int8_static": "int8_static", "int4": "int4"}
RUNTIMES = ("onnx", "ort", "torch")
RESAMPLES = 2000


@dataclass(frozen=True)
class Variant:
    """How a variant is made. source: a name that `export.source` knows; precision: one of its runtime's."""

    name: str
    source: str
    precision: str


def variant(name: str) -> Variant:
    """The variant of this name: float, int8, int8_static, int4, spiking, or FILE_PRECISION like qat28_int8.

    ValueError for another name.
    """
    if name in ASSISTANT:
        return Variant(name, "assistant", ASSISTANT[name])
    if name == SPIKING:
        return Variant(name, SPIKING, "fp32")
    file, _, precision = name.partition("_")
    if file not in FILES or precision not in ASSISTANT.values():
        raise ValueError(
            f"variant {name!r}: must be one of {', '.join(ASSISTANT)}, {SPIKING}, or a file and a precision "
            f"like qat28_int8, of {', '.join(FILES)} and {', '.join(ASSISTANT.values())}"
        )
    return Variant(name, file, precision)


@dataclass(frozen=True)
class Opened:
    """A variant in a runtime. bytes: of the runtime's file, 0 in torch, which has none."""

    variant: Variant
    network: Assistant
    step: Step
    bytes: int


def open_variant(
    name: str, runtime: str = "onnx", *, network: Assistant | None = None, threads: int = 1
) -> Opened:
    """A variant, made and opened. network: another one than its source's.

    ValueError for an unknown name, another runtime than `RUNTIMES`, torch with a variant that is not of
    floats, threads other than 1 outside onnx.
    """
    from neurolab.export import export, open_session, source
    from neurolab.export.decoder import Decoder
    from neurolab.export.onnx_file import FILE, session, step_of

    chosen = variant(name)
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime {runtime!r}: must be one of {', '.join(RUNTIMES)}")
    if threads != 1 and runtime != "onnx":
        raise ValueError(f"threads {threads} in {runtime}: only onnx takes more than 1 here")
    network = network or source(chosen.source)
    if runtime == "torch":
        if chosen.precision != "fp32" or name == SPIKING:
            raise ValueError(f"variant {name!r} in torch: only variants of floats run there")
        return Opened(chosen, network, torch_step(Decoder(network.model)), 0)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        made = export(runtime, chosen.precision, folder, assistant=network, name=chosen.source)
        if threads == 1:
            return Opened(chosen, network, open_session(folder).run, made.bytes)
        return Opened(chosen, network, step_of(session(str(folder / FILE), threads=threads)), made.bytes)


# --- quality ---


def right(opened: Opened, asked: Sequence[Question]) -> list[bool]:
    """Which questions are answered exactly, each asked by itself.

    Not together: 8-bit activations that are rounded as they come share one step in a batch, so that an answer
    would hang on its neighbours.
    """
    tokenizer = opened.network.tokenizer
    got = (decode(tokenizer, speak(opened, ids)) for ids in encoded(tokenizer, asked))
    return [exact_match(a, q.answer) for a, q in zip(got, asked, strict=True)]


def spiking_right(asked: Sequence[Question], network: str = "quantized", batch: int = 64) -> list[bool]:
    """Which questions the spiking network answers exactly when every token runs until rest.

    Judged token by token, given the right ones before it, by the integer network: the logits at rest are its
    own in every bit (rows spiking.exact).
    """
    import torch

    from neurolab import assistant, spiking_run
    from neurolab.spiking import features, logits
    from neurolab.spiking_rules import IntegerRest

    net, tokenizer = spiking_run.load(network), assistant.load().tokenizer
    pairs = [encode_pair(tokenizer, q.text, q.answer) for q in asked]
    found = [False] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]))
    with torch.inference_mode():
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            longest = max(len(pairs[i][0]) for i in chosen)
            ids = torch.tensor([pairs[i][0] + [END_ID] * (longest - len(pairs[i][0])) for i in chosen])
            hidden = features(net.p, ids[:, :-1], net.config, IntegerRest(net.bits))
            guess = logits(net.p, hidden).argmax(-1)  # (B, L - 1)
            for row, i in enumerate(chosen):
                tokens, start = pairs[i]
                wanted = torch.tensor(tokens[start:])
                found[i] = bool(torch.equal(guess[row, start - 1 : len(tokens) - 1], wanted))
    return found


def paired_drop(
    mine: Sequence[bool], theirs: Sequence[bool], *, sure: float = 0.95, seed: int = 0
) -> dict[str, float]:
    """Points of exact match that `mine` lost against `theirs`, and a bootstrap interval over questions.

    Questions are drawn with replacement, both answers of one together; a pair is one of three kinds (lost,
    gained, alike), so that a resample is a draw from a multinomial. ValueError unless both have the same
    length, at least 1, and sure is between 0 and 1.
    """
    if not mine or len(mine) != len(theirs):
        raise ValueError(f"{len(mine)} answers beside {len(theirs)}: must be as many, and at least 1")
    if not 0 < sure < 1:
        raise ValueError(f"sure {sure}: must be between 0 and 1")
    n = len(mine)
    lost = sum(b and not a for a, b in zip(mine, theirs, strict=True))
    gained = sum(a and not b for a, b in zip(mine, theirs, strict=True))
    shares = np.array([lost, gained, n - lost - gained]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, RESAMPLES)  # (RESAMPLES, 3)
    drops = 100 * (drawn[:, 0] - drawn[:, 1]) / n
    low, high = np.quantile(drops, [(1 - sure) / 2, (1 + sure) / 2])
    return {
        "exact_match_drop_points": 100 * (lost - gained) / n,
        "exact_match_drop_points_low": float(low),
        "exact_match_drop_points_high": float(high),
        "answers_lost": lost,
        "answers_gained": gained,
    }


# --- runs ---


def prompts(tokenizer: Tokenizer, tokens: int, seed: int = 0, language: str | None = None) -> list[Question]:
    """Held-out questions, drawn without replacement, whose answers have `tokens` tokens or just more.

    END counts: it is generated too. ValueError for tokens below 1 or more than all answers have.
    """
    pool = facts.split("held_out", language) if language else facts.split("held_out")  # type: ignore[arg-type]
    order = np.random.default_rng(seed).permutation(len(pool))
    chosen, sum_of = [], 0
    for i in order.tolist():
        if sum_of >= tokens:
            break
        chosen.append(pool[i])
        sum_of += len(tokenizer.encode(pool[i].answer).ids) + 1
    if tokens < 1 or sum_of < tokens:
        raise ValueError(f"tokens {tokens}: must be 1 to {sum_of}, what all answers have together")
    return chosen


def encoded(tokenizer: Tokenizer, asked: Sequence[Question]) -> list[np.ndarray]:
    """Each question's ids, (1, n) int64."""
    return [np.array([encode_question(tokenizer, q.text)], np.int64) for q in asked]


def speak(opened: Opened, ids: np.ndarray, limit: int = 64) -> list[int]:
    """One question (1, n), answered greedily: the new tokens, END included if it came."""
    config, step = opened.network.model.config, opened.step
    cache, made = empty_cache(config), []
    for _ in range(min(limit, config.context - ids.shape[1])):
        logits, cache = step(ids, cache)
        token = int(logits[0].argmax())
        made.append(token)
        if token == END_ID:
            break
        ids = np.array([[token]], np.int64)
    return made
