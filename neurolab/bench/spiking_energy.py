"""The energy of spiking networks beside three ordinary ones: rows of chapter 3 (claim A18).

``spiking.energy``: the default model, parts apart, ratios (the other network's energy over the spiking one's:
1 or more where spiking wins). ``spiking.energy_models``: the same ratios under other assumptions, so that a
reader sees what the answer hangs on. Counts come from runs (`spiking_counts`) on a sample of held-out
questions with their answers.

Three opponents over the same tokens: the ordinary assistant in fp32 and as W8A8 (`energy_counts`), and the
very integer network that the spikes rest at, computed once with its zeros skipped. The last one is the fair
one: same weights, same answers, same way of skipping.

**Radix with weights held.** In radix mode a population is finished before the next begins, so a reader may
wait for all digits of a count (a byte: four digits of -1, 0, 1) and fetch each weight once, adding it at the
place of each digit. Then it fetches what the network that skips zeros fetches, keeps its sum in a register
and needs additions where that one multiplies; nothing else differs. It is a bit-serial multiplication by
another name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from neurolab import assistant, spiking_run
from neurolab.bench._kept import CHAPTER
from neurolab.bench.encoding import sample
from neurolab.benchmark import Finding, Goal, paired
from neurolab.energy import DEFAULT, Counts, Model, energy, ratio, total
from neurolab.energy_counts import counts_sequences
from neurolab.facts import Question
from neurolab.spiking import features
from neurolab.spiking_counts import batches, counts_integer, counts_radix, counts_stream
from neurolab.spiking_digits import IntegerDigits
from neurolab.spiking_files import FOLDER
from neurolab.spiking_rules import IntegerRest
from neurolab.spiking_stream import Stop, stream

GOALS: list[Goal] = []
QUESTIONS = 200  # held out, half of them in each language
__all__ = ["CHAPTER", "GOALS", "best", "findings", "held", "run"]
SCHEDULES: dict[str, tuple[tuple[str, int], ...]] = {  # network -> (schedule, T); T = 0: until rest
    "quantized": (("halving", 4), ("halving", 8), ("halving", 16), ("halving", 0), ("unary", 0)),
    "four": (("card", 4),),
    "two": (("card", 2),),
}
MEMBRANES = ("membrane_reads", "membrane_writes")
MODELS: dict[str, Model] = {
    "default": DEFAULT,
    "operations only": replace(DEFAULT, weights="register", membranes="register", activations="register"),
    "weights in 1 MB": replace(DEFAULT, weights="1 MB"),
    "weights in DRAM": replace(DEFAULT, weights="DRAM"),
    "membranes in registers": replace(DEFAULT, membranes="register"),
    "membranes in 32 KB": replace(DEFAULT, membranes="32 KB"),
    "sums in 8 KB": replace(DEFAULT, accumulators="8 KB"),
    "int8 adds at 32 bits": replace(DEFAULT, accumulate_int8=0.1),
    "multiplier of 8 x 4 bits": replace(DEFAULT, multiply_int8=0.1),
}


@dataclass(frozen=True)
class Run:
    """One spiking network as it ran. T: steps, 0 at rest. schedule: unary, rescaled, halving, radix, ...

    figures: what else the row says (exact_match, ...).
    """

    network: str
    schedule: str
    T: int
    counts: Counts
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Opponents:
    """Counts of the ordinary networks over the same tokens."""

    fp32: Counts
    int8: Counts
    int8_zero_skipping: Counts


def held(radix: Counts, skipping: Counts) -> Counts:
    """Radix spikes whose readers hold each weight until all digits are in.

    radix: the run that fetches a weight for every spike; skipping: the same integer network with zeros
    skipped, over the same tokens. Bytes of weights, membranes and activations are the latter's, operations
    the former's. ValueError where the tokens differ, or radix has fewer additions than the other has products
    (a count that is not 0 has at least one digit).
    """
    if radix.tokens != skipping.tokens:
        raise ValueError(f"radix has {radix.tokens:g} tokens, skipping {skipping.tokens:g}: must be the same")
    if radix.add_int32 < skipping.mac_int8:
        raise ValueError(
            f"radix adds {radix.add_int32:g} times, skipping multiplies {skipping.mac_int8:g} times: "
            "must be one network, in which a count that is not 0 has a digit"
        )
    return replace(
        radix,
        weight_bytes=skipping.weight_bytes,
        membrane_read_bytes=skipping.membrane_read_bytes,
        membrane_write_bytes=skipping.membrane_write_bytes,
        activation_bytes=skipping.activation_bytes,
    )


def ratios(counts: Counts, others: Opponents, model: Model = DEFAULT) -> dict[str, float]:
    """ratio_vs_fp32, ratio_vs_int8, ratio_vs_int8_zero_skipping: 1 or more where spiking wins."""
    return {f"ratio_vs_{name}": ratio(other, counts, model) for name, other in vars(others).items()}


def figures(counts: Counts, others: Opponents, model: Model = DEFAULT) -> dict[str, Any]:
    """What a row of spiking.energy says: energies in nJ per token, parts, ratios, and the counts themselves.

    ratio_vs_int8_zero_skipping_without_membranes leaves out the membranes' bytes of both networks;
    events_per_nonzero is the spiking network's additions over the other's products.
    """
    one = counts.per_token()
    parts = energy(one, model)
    bare = replace(model, membranes="register")
    return {
        "energy_nj_per_token": total(one, model) / 1e3,
        **{f"{name}_nj_per_token": value / 1e3 for name, value in parts.items()},
        "membranes_nj_per_token": sum(parts[name] for name in MEMBRANES) / 1e3,
        **{
            f"{name}_nj_per_token": total(other.per_token(), model) / 1e3
            for name, other in vars(others).items()
        },
        **ratios(counts, others, model),
        "ratio_vs_int8_zero_skipping_without_membranes": ratio(others.int8_zero_skipping, counts, bare),
        "events_per_nonzero": one.add_int32 / others.int8_zero_skipping.per_token().mac_int8,
        "density": others.int8_zero_skipping.mac_int8 / others.int8_zero_skipping.synapses,
        "spikes_per_synapse": one.add_int32 / one.synapses,
        "spikes_per_token": one.spikes,
        "counts": vars(one),
    }


def findings(runs: Sequence[Run], others: Opponents) -> list[Finding]:
    """The rows of all runs.

    A run of schedule "radix" makes a second one, "radix, weights held". ValueError where a run's tokens are
    not its opponents'.
    """
    made = []
    for run in runs:
        made.append(run)
        if run.schedule == "radix":
            counts = held(run.counts, others.int8_zero_skipping)
            made.append(replace(run, schedule="radix, weights held", counts=counts))
    found = []
    for run in made:
        for name, other in vars(others).items():
            if other.tokens != run.counts.tokens:
                raise ValueError(
                    f"{run.network} ran {run.counts.tokens:g} tokens, its opponent {name} {other.tokens:g}: "
                    "must be the same"
                )
        setting = {"network": run.network, "schedule": run.schedule, "T": run.T}
        said = {**run.figures, **figures(run.counts, others)}
        found.append(Finding(None, name="spiking.energy", kind="simulated", setting=setting, figures=said))
        for name, model in MODELS.items():
            found.append(
                Finding(
                    None,
                    name="spiking.energy_models",
                    kind="simulated",
                    setting={**setting, "model": name},
                    figures=ratios(run.counts, others, model),
                )
            )
    return found


def best(found: Sequence[Finding], least: float | None = None) -> Finding | None:
    """The spiking.energy row that does best against skipped zeros. least: the exact match it must reach."""
    rows = [one for one in found if one.name == "spiking.energy"]
    if least is not None:
        rows = [one for one in rows if one.figures.get("exact_match", -1.0) >= least]
    return max(rows, key=lambda one: one.figures["ratio_vs_int8_zero_skipping"], default=None)


@torch.inference_mode()
def check_digits(net: spiking_run.Spiking, sequences: Sequence[Sequence[int]]) -> None:
    """RuntimeError unless sparing digits end at the integer network's counts on every token."""
    for ids, _, _ in batches(sequences, [0] * len(sequences)):
        rest, digits = IntegerRest(net.bits), IntegerDigits(net.bits)
        if not torch.equal(features(net.p, ids, net.config, rest), features(net.p, ids, net.config, digits)):
            raise RuntimeError("radix with sparing digits differs from the integer network: not one network")


def slower(net: spiking_run.Spiking, one: assistant.Assistant, question: str, T: int, kind: str) -> float:
    """How many times as long one answer takes with 4 T steps a token as with T."""
    ask = partial(spiking_run.answer, net, one.tokenizer, question, kind=kind)
    return paired(lambda: ask(T=T), lambda: ask(T=4 * T), pairs=5, inner=1).median


def measure(
    net: spiking_run.Spiking,
    one: assistant.Assistant,
    asked: Sequence[Question],
    name: str,
    kind: str,
    T: int,
) -> Run:
    """One network with its quality on `asked`. kind: a schedule, or "card": the one it was tuned for."""
    schedule = str(net.card.get("schedule", "halving")) if kind == "card" else kind
    sequences, starts = spiking_run.rows_of(one.tokenizer, asked)
    ran = stream(net, sequences, schedule, Stop(T or None), answers=starts)
    right, _ = spiking_run.judge(net, ran, one.tokenizer, asked, starts)
    more = {"exact_match": sum(right) / len(right), "questions": len(asked)}
    if T:
        more["latency_ratio_4x_steps"] = slower(net, one, asked[0].text, T, schedule)
    return Run(name, schedule, T, counts_stream(net, ran, starts), more)


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """The rows of every shipped network; `quick` takes 8 questions and one run."""
    say = progress or (lambda text: None)
    one, net = assistant.load(), spiking_run.load("quantized")
    asked = sample(8 if quick else QUESTIONS)
    sequences, starts = spiking_run.rows_of(one.tokenizer, asked)
    lengths = [len(ids) for ids in sequences]
    say("energy: the opponents")
    others = Opponents(
        counts_sequences(one.model.config, lengths, "fp32", starts),
        counts_sequences(one.model.config, lengths, "int8", starts),
        counts_integer(net, sequences, starts)["skipping"],
    )
    check_digits(net, sequences)
    rest = measure(net, one, asked, "quantized", "halving", 0)
    radix = counts_radix(net, sequences, starts, sparing=True)
    runs = [Run("quantized", "radix", 0, radix, rest.figures)]
    for name, plans in SCHEDULES.items():
        if not (FOLDER / f"{name}.json").is_file():
            continue
        other = spiking_run.load(name)
        for kind, T in plans[:1] if quick else plans:
            say(f"energy: {name}, {kind}, T = {T or 'rest'}")
            runs.append(measure(other, one, asked, name, kind, T))
    return findings(runs, others)
