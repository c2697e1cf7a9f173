"""How many bits should a count have? Rows ``spiking.bits``: quality, spikes, energy over bits and steps.

The shipped 4-bit network with its counts re-coded to other bits (`attention.recode`), without training, on a
sample of held-out questions, in the schedule that its card names; energy by the default model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from neurolab import assistant, spiking_run
from neurolab.attention import recode
from neurolab.bench._kept import CHAPTER, kept
from neurolab.bench.encoding import sample
from neurolab.benchmark import Finding, Goal
from neurolab.energy import total
from neurolab.facts import Question
from neurolab.spiking_counts import counts_stream
from neurolab.spiking_files import Spiking
from neurolab.spiking_run import judge, rows_of
from neurolab.spiking_stream import Stop, stream

__all__ = ["CHAPTER", "GOALS", "run"]
GOALS: list[Goal] = []
BITS = (2, 3, 4, 5)
STEPS = (1, 2, 4, 6, 8, 12, 0)  # 0: until rest
QUESTIONS = 1000


@torch.inference_mode()
def figures(net: Spiking, asked: list[Question], T: int, tokenizer: Any) -> dict[str, Any]:
    """Exact match, bits per answer byte, spikes, steps and energy a token of `net` with T steps."""
    sequences, starts = rows_of(tokenizer, asked)
    ran = stream(net, sequences, net.card["schedule"], Stop(T or None), answers=starts)
    right, nats = judge(net, ran, tokenizer, asked, starts)
    done = counts_stream(net, ran, starts)
    return {
        "exact_match": sum(right) / len(right),
        "bits_per_answer_byte": nats / math.log(2) / sum(len(q.answer.encode()) for q in asked),
        "spikes_per_token": done.spikes / done.tokens,
        "steps_per_token": float(ran.steps.double().mean()),
        "energy_nj_per_token": total(done.per_token()) / 1e3,
        "questions": len(asked),
    }


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """All rows of this module; `quick` takes 8 questions and keeps nothing."""
    net, one = spiking_run.load("quantized"), assistant.load()
    of = next(iter(net.card["sha256"].values()))[:12]
    asked, found = sample(8 if quick else QUESTIONS), []
    for bits in BITS:
        other = Spiking(recode(net.p, net.config, bits, net.bits), net.config, bits, net.card)
        for T in STEPS:
            if progress is not None:
                progress(f"counts of {bits} bits, T = {T or 'rest'}")

            def make(other: Spiking = other, T: int = T) -> dict[str, Any]:
                return figures(other, asked, T, one.tokenizer)

            setting = {"bits": bits, "T": T, "schedule": net.card["schedule"]}
            found.append(kept("spiking.bits", setting, of, make, keep=not quick))
    return found
