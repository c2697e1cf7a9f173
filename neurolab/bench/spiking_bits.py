"""How many bits should a count have? Rows ``spiking.bits``: quality and spikes over bits and steps.

The shipped 4-bit network with its counts re-coded to other bits (`attention.recode`), without training, on a
sample of held-out questions, halving schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from neurolab import assistant, spiking_run
from neurolab.attention import recode
from neurolab.bench._kept import kept
from neurolab.bench.encoding import sample
from neurolab.benchmark import Finding
from neurolab.facts import Question
from neurolab.spiking import logits
from neurolab.spiking_files import Spiking
from neurolab.spiking_stream import Stop, stream
from neurolab.tokens import encode_pair

BITS = (2, 3, 4, 5)
STEPS = (1, 2, 4, 6, 8, 12, 16, 0)  # 0: until rest
QUESTIONS = 200


@torch.inference_mode()
def figures(net: Spiking, asked: list[Question], T: int, tokenizer: Any) -> dict[str, Any]:
    """Exact match, bits per answer byte, spikes and steps a token of `net` with T steps."""
    pairs = [encode_pair(tokenizer, q.text, q.answer) for q in asked]
    ran = stream(net, [ids[:-1] for ids, _ in pairs], "halving", Stop(T or None))
    right, nats = 0, 0.0
    for i, (ids, start) in enumerate(pairs):
        guess = logits(net.p, ran.counts[ran.sequence(i)][start - 1 :].float())
        wanted = torch.tensor(ids[start:])
        right += int((guess.argmax(-1) == wanted).all())
        nats += F.cross_entropy(guess * net.p["scale"], wanted, reduction="sum").item()
    return {
        "exact_match": right / len(asked),
        "bits_per_answer_byte": nats / math.log(2) / sum(len(q.answer.encode()) for q in asked),
        "spikes_per_token": float(ran.spikes.sum() / len(ran.ids)),
        "steps_per_token": float(ran.steps.float().mean()),
        "questions": len(asked),
    }


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """All rows of this module; `quick` takes 8 questions and keeps nothing."""
    net, one = spiking_run.load("quantized"), assistant.load()
    of = next(iter(net.card["sha256"].values()))[:12]
    asked, found = sample(8 if quick else QUESTIONS), []
    for bits in BITS:
        other = Spiking(recode(net.p, net.config, bits, net.bits), net.config, bits)
        for T in STEPS:
            if progress is not None:
                progress(f"counts of {bits} bits, T = {T or 'rest'}")

            def make(other: Spiking = other, T: int = T) -> dict[str, Any]:
                return figures(other, asked, T, one.tokenizer)

            found.append(kept("spiking.bits", {"bits": bits, "T": T}, of, make, keep=not quick))
    return found
