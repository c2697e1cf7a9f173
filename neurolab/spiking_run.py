"""The spiking assistant, run in integers: its answers, its scores, and the proof that it rests at the codes.

`load` gives a network, `answers` asks it, `scores` measures it at any T, `exact` runs every token until all
its populations rest and compares the logits with those of the integer network, one by one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from neurolab.facts import Question
from neurolab.spiking import features, logits
from neurolab.spiking_counts import batches, counts_stream
from neurolab.spiking_files import Spiking, SpikingError, accumulators, export, load, prove, save
from neurolab.spiking_rules import IntegerRadix, IntegerRest
from neurolab.spiking_state import bound
from neurolab.spiking_stream import Ran, Stop, stream
from neurolab.tokens import END_ID, decode, encode_pair, encode_question

__all__ = [
    "Spiking",
    "SpikingError",
    "accumulators",
    "answer",
    "answers",
    "exact",
    "export",
    "load",
    "prove",
    "save",
    "scores",
    "settle",
]
MODES = ("unary", "halving", "ramp", "radix")


def answers(
    net: Spiking,
    tokenizer: Tokenizer,
    questions: Sequence[str],
    T: int | None = None,
    kind: str = "halving",
    *,
    patience: int = 0,
    few: int = 0,
) -> list[str]:
    """Greedy answers in order: tokens one after another, each for T steps (None: until rest).

    A token's keys and values stay as it left them. ValueError for a question that is empty or too long.
    """
    prompts = [encode_question(tokenizer, q) for q in questions]
    for q, ids in zip(questions, prompts, strict=True):
        if len(ids) >= net.config.context:
            raise ValueError(
                f"question of {len(ids)} tokens ({q[:40]!r}...): must be shorter than {net.config.context}"
            )
    made: list[list[int]] = [[] for _ in prompts]

    def more(i: int, guess: Tensor) -> int | None:
        made[i].append(int(guess.argmax()))
        return None if made[i][-1] == END_ID else made[i][-1]

    starts = [len(ids) - 1 for ids in prompts]
    stream(net, prompts, kind, Stop(T, patience, few), answers=starts, more=more)
    return [decode(tokenizer, ids) for ids in made]


def answer(
    net: Spiking, tokenizer: Tokenizer, question: str, T: int | None = None, kind: str = "halving"
) -> str:
    """The answer to one question; see `answers`."""
    return answers(net, tokenizer, [question], T, kind)[0]


def rows_of(tokenizer: Tokenizer, questions: Sequence[Question]) -> tuple[list[list[int]], list[int]]:
    """Token ids of question and answer without END, and the first position that answers (ANSWER itself)."""
    pairs = [encode_pair(tokenizer, q.text, q.answer) for q in questions]
    return [ids[:-1] for ids, _ in pairs], [start - 1 for _, start in pairs]


@torch.inference_mode()
def scores(
    net: Spiking,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    T: int | None = None,
    kind: str = "halving",
    *,
    patience: int = 0,
    few: int = 0,
) -> dict[str, Any]:
    """Quality, spikes and steps with T steps a token (None: until rest) on questions with their answers.

    exact_match: share of questions whose every token is the likeliest given the right ones before it; since
    earlier tokens are at their final counts, greedy decoding gives exactly these. bits_per_answer_byte;
    right: which questions; spikes_per_token; spikes_per_synapse: events over the connections that a dense
    pass uses; mean_T: steps run; settle_T: the largest last step with a spike; seconds. ValueError if there
    is no question.
    """
    if not questions:
        raise ValueError("questions []: must hold at least one question")
    began = time.perf_counter()
    sequences, starts = rows_of(tokenizer, questions)
    ran = stream(net, sequences, kind, Stop(T, patience, few), answers=starts)
    right, nats = judge(net, ran, tokenizer, questions, starts)
    done = counts_stream(net, ran, starts)
    return {
        "exact_match": sum(right) / len(right),
        "bits_per_answer_byte": nats / math.log(2) / sum(len(q.answer.encode()) for q in questions),
        "questions": len(questions),
        "right": right,
        "spikes_per_token": done.spikes / done.tokens,
        "spikes_per_synapse": done.add_int32 / done.synapses,
        "mean_T": float(ran.steps.double().mean()),
        "settle_T": int(ran.settled.max()),
        "seconds": time.perf_counter() - began,
    }


def judge(
    net: Spiking, ran: Ran, tokenizer: Tokenizer, questions: Sequence[Question], starts: Sequence[int]
) -> tuple[list[bool], float]:
    """Which questions a run of `rows_of` gets right, token by token, and the nats its answers cost."""
    at, wanted, lengths = [], [], []
    for i, (q, start) in enumerate(zip(questions, starts, strict=True)):
        ids = encode_pair(tokenizer, q.text, q.answer)[0][start + 1 :]
        at += list(range(ran.starts[i] + start, ran.starts[i + 1]))
        wanted += ids
        lengths.append(len(ids))
    hit, nats = [], 0.0
    for begin in range(0, len(at), 4096):
        here = slice(begin, begin + 4096)
        guess = logits(net.p, ran.counts[at[here]].float())
        true = torch.tensor(wanted[here])
        hit += (guess.argmax(-1) == true).tolist()
        nats += F.cross_entropy(guess * net.p["scale"], true, reduction="sum").item()
    right, place = [], 0
    for n in lengths:
        right.append(all(hit[place : place + n]))
        place += n
    return right, nats


@torch.inference_mode()
def settle(net: Spiking, sequences: Sequence[Sequence[int]], kind: str = "halving") -> dict[str, Any]:
    """Run every token until all its populations rest and compare its logits with the integer network's.

    kind: one of `MODES`. Gives steps (tokens), the last step with a spike of each token in
    order (radix: those of all populations in a chain, since each takes its `bits` steps), differing_logits
    and compared_logits, T_max, T_mean, T_p50, T_p99 and the bound on T that `spiking_state.bound` proves.
    RuntimeError if a token needed more steps than the bound: the proof would be wrong.
    """
    if kind not in MODES:
        raise ValueError(f"kind {kind!r}: must be one of {', '.join(MODES)}")
    limit, starts = bound(net.config, net.bits, kind), [0] * len(sequences)
    ran = stream(net, sequences, kind, Stop(None)) if kind != "radix" else None
    differing = compared = 0
    for ids, _, members in batches(sequences, starts):
        goal = features(net.p, ids, net.config, IntegerRest(net.bits))  # (B, L, D)
        if ran is None:
            got = features(net.p, ids, net.config, IntegerRadix(net.bits))
        else:
            got = torch.stack([ran.counts[ran.sequence(i)] for i in members]).float()
        a, b = logits(net.p, got), logits(net.p, goal)
        if not torch.equal(a, b):
            differing += int((a != b).sum())
        compared += a.numel()
    tokens = sum(map(len, sequences))
    steps = ran.settled if ran is not None else torch.full((tokens,), limit)
    if int(steps.max()) > limit:
        raise RuntimeError(f"a token took {int(steps.max())} steps to rest, more than the bound {limit}")
    spread = steps.double().quantile(torch.tensor([0.5, 0.99], dtype=torch.float64)).tolist()
    return {
        "steps": steps,
        "questions": len(sequences),
        "tokens": tokens,
        "differing_logits": differing,
        "compared_logits": compared,
        "T_max": int(steps.max()),
        "T_mean": float(steps.double().mean()),
        "T_p50": spread[0],
        "T_p99": spread[1],
        "bound": limit,
    }


def exact(
    net: Spiking, tokenizer: Tokenizer, questions: Sequence[Question], kind: str = "halving"
) -> dict[str, Any]:
    """`settle` on questions with their answers, without the list of steps."""
    found = settle(net, rows_of(tokenizer, questions)[0], kind)
    del found["steps"]
    return found
