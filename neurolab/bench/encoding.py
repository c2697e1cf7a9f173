"""How many spikes does a number need? The rows of chapter 1 (claim A14).

Measured on the digits, on numbers spread evenly over [0, 1] (ink comes in sixteenths, which flatters
some codes) and, where the trained assistant is there, on its own feed-forward activations:
``encoding.window_error`` (the figures of the claim), ``encoding.window`` (error and spikes against T, code by
code), ``encoding.damage`` (jitter and loss) and ``encoding.answers`` (the assistant when its layers hear each
other only through a code). Every row is a mean over ``SEEDS`` or one seed's own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from neurolab import assistant, digits, encoding, facts, spikes
from neurolab.benchmark import Finding, Goal
from neurolab.coded import Activations, Counter, activations, speaking
from neurolab.codes import CODES, rms
from neurolab.tokens import exact_match

CHAPTER = 1
GOALS = [
    Goal("encoding.differs_from_snntorch", 0, "lower", "spikes", "rate, latency and delta, spike for spike"),
    Goal(
        "encoding.off_theory", 0.02, "lower", "", "coin error against sqrt(x (1 - x) / T), largest deviation"
    ),
]
SEEDS = (0, 1, 2, 3, 4)
WINDOWS = (2, 4, 8, 16, 32, 64, 128)
JITTERS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
LOSSES = (0.0, 0.05, 0.1, 0.2, 0.4)
QUESTIONS = 64  # of the set for watching training, whose tokens give the activations
NUMBERS = 60_000  # drawn from the activations, so that a window of 128 ticks fits in memory
ANSWERED = 100  # held-out questions, half of them in each language
Say = Callable[[str], None]


def data(quick: bool = False) -> dict[str, Tensor]:
    """Return flat numbers in [0, 1] by name: digits, an even spread, activations if there are any."""
    own = encoding.generator(20_000)  # a seed that no code uses: numbers and coins must not share their dice
    spread = torch.rand(NUMBERS // 2, generator=own)
    found = {"digits": torch.tensor(digits.load()[2]).flatten(), "uniform": spread}
    if (assistant.FOLDER / assistant.CARD).is_file():
        x = ranges(assistant.load(), 16 if quick else QUESTIONS)["feed_forward"].x.flatten()
        found["assistant"] = x[torch.randperm(len(x), generator=own)[:NUMBERS]]
    return {name: x[:6000] if quick else x for name, x in found.items()}


def ranges(one: assistant.Assistant, questions: int = QUESTIONS) -> dict[str, Activations]:
    """Return each site's activations on every n-th question of the watching set."""
    texts = [q.text for q in facts.split("dev")]
    chosen = texts[:: max(1, len(texts) // questions)][:questions]
    return {site: activations(one, chosen, site) for site in ("feed_forward", "attention")}


def heard(name: str, x: Tensor, T: int, seed: int) -> tuple[float, float]:
    """Return (RMS error, spikes per number) of one code on ``x``."""
    code = CODES[name]
    sent = code.encode(x, T, seed)
    return rms(code.decode(sent), x), float(sent.sum(dtype=torch.float64)) / x.numel()


def window_error(x: Tensor, seed: int, T: int = 16) -> dict[str, float]:
    """Return the claim's figures for one seed: rate (coins) against linear latency, both at ``T``."""
    coins, spike = encoding.rate(x, T, seed), encoding.latency(x, T)
    error = {"rate": rms(encoding.rate_decode(coins), x), "latency": rms(encoding.latency_decode(spike), x)}
    late = {
        "rate": spikes.jitter(coins, 1.0, seed + 100),
        "latency": spikes.jitter(spike, 1.0, seed + 100),
        "melted": spikes.jitter(coins, 1.0, seed + 100, merge=True),
    }
    per_tick = float((x * (1 - x)).mean())
    equal_T = math.ceil(per_tick / error["latency"] ** 2)  # the window in which coins would do as well ...
    counts = torch.binomial(torch.full_like(x, equal_T), x, generator=encoding.generator(seed + 200))
    return {
        f"rate_error_T{T}": error["rate"],
        f"latency_error_T{T}": error["latency"],
        "rate_error_ratio_4x": error["rate"] / heard("rate", x, 4 * T, seed + 300)[0],
        f"rate_spikes_per_value_T{T}": float(coins.sum()) / x.numel(),
        "latency_spikes_per_value": float(spike.sum()) / x.numel(),
        f"rate_error_jitter1_T{T}": rms(encoding.rate_decode(late["rate"]), x),
        f"latency_error_jitter1_T{T}": rms(encoding.latency_decode(late["latency"]), x),
        f"rate_error_jitter1_melted_T{T}": rms(encoding.rate_decode(late["melted"]), x),
        "rate_window_to_match_latency": equal_T,
        "rate_spikes_to_match_latency": float(counts.double().mean()),
        "rate_error_in_that_window": rms(counts / equal_T, x),  # ... measured, so that theory is not believed
        "spread_of_the_numbers": float(x.double().std()),
    }


def window(name: str, x: Tensor, seeds: tuple[int, ...], windows: tuple[int, ...]) -> dict[str, list[float]]:
    """Return lists over T of one code: error (mean, low, high over seeds), theory, spikes per number."""
    code = CODES[name]
    fitting = [T for T in windows if code.least_ticks <= T <= (24 if name == "phase" else T)]
    runs = [[heard(name, x, T, seed) for seed in seeds] for T in fitting]
    figures: dict[str, list[float]] = {
        "T": [float(T) for T in fitting],
        "error": [statistics.mean(e for e, _ in run) for run in runs],
        "low": [min(e for e, _ in run) for run in runs],
        "high": [max(e for e, _ in run) for run in runs],
        "spikes_per_value": [statistics.mean(s for _, s in run) for run in runs],
    }
    if code.theory is not None:
        figures["theory"] = [float(code.theory(x, T).double().square().mean().sqrt()) for T in fitting]
    return figures


def damage(name: str, x: Tensor, seeds: tuple[int, ...], T: int = 16) -> dict[str, list[float]]:
    """Return the mean RMS error of one code at ``T`` against jitter of the clock (ticks) and share lost."""
    code = CODES[name]
    hurt: dict[str, list[float]] = {"jitter": list(JITTERS), "lost": list(LOSSES)}
    for what, steps in (("jitter", JITTERS), ("lost", LOSSES)):
        accident = spikes.jitter if what == "jitter" else spikes.drop
        hurt[f"error_{what}"] = [
            statistics.mean(
                rms(code.decode(accident(code.encode(x, T, seed), step, seed + 100)), x) for seed in seeds
            )
            for step in steps
        ]
    return hurt


def answers(
    one: assistant.Assistant,
    spoken: dict[str, str],
    T: int,
    seed: int,
    sites: dict[str, Activations],
    asked: list[facts.Question],
    sd: float = 0.0,
) -> dict[str, float]:
    """Ask the assistant while each site in ``spoken`` (site -> code) is heard through its code.

    ``sd``: the clock's jitter in ticks. Returns exact match in [0, 1] and spikes per number.
    """
    late = (lambda s, dice: spikes.jitter(s, sd, dice)) if sd else None
    counters = {
        site: Counter(CODES[code], T, 1000 * seed + i, late) for i, (site, code) in enumerate(spoken.items())
    }
    with speaking(one.model, counters, sites):
        got = one.answers([q.text for q in asked])
    sent, told = sum(c.spikes for c in counters.values()), sum(c.numbers for c in counters.values())
    right = sum(exact_match(a, q.answer) for a, q in zip(got, asked, strict=True))
    return {"exact_match": right / len(asked), "spikes_per_value": sent / max(told, 1)}


def sample(count: int = ANSWERED) -> list[facts.Question]:
    """Return held-out questions, spread over all of them, the same for every run."""
    found = []
    for language in facts.LANGUAGES:
        all_of_it = facts.split("held_out", language)
        share = count // len(facts.LANGUAGES)
        found += all_of_it[:: max(1, len(all_of_it) // share)][:share]
    return found


def _checks() -> list[Finding]:
    """Return the two goals: spikes that differ from snnTorch's, and coins against their formula."""
    from snntorch import spikegen

    x = torch.tensor(digits.load()[2])
    differing = 0
    for T in (5, 16, 33, 64):
        torch.manual_seed(T)
        pairs = [
            (encoding.rate(x, T, T), spikegen.rate(x, T)),
            (encoding.latency(x, T), spikegen.latency(x, T, normalize=True, linear=True)),
            (encoding.latency(x, T, log=True), spikegen.latency(x, T, normalize=True)),
            (encoding.delta(x.T, 1 / T), spikegen.delta(x.T, 1 / T, off_spike=True)),
        ]
        differing += sum(int((a != b).sum()) for a, b in pairs)
    flat = x.flatten()
    off = []
    for T in (4, 16, 64):
        error, _ = heard("rate", flat.repeat(8), T, T)
        off.append(abs(error / float(encoding.rate_error(flat, T).square().mean().sqrt()) - 1))
    return [
        Finding("encoding.differs_from_snntorch", differing, setting={"data": "digits"}),
        Finding("encoding.off_theory", max(off), setting={"data": "digits", "T": [4, 16, 64]}),
    ]


def _answers(quick: bool, say: Say) -> list[Finding]:
    if not (assistant.FOLDER / assistant.CARD).is_file():
        return []
    one = assistant.load()
    sites, asked = ranges(one), sample(8 if quick else ANSWERED)
    right = sum(
        exact_match(a, q.answer) for a, q in zip(one.answers([q.text for q in asked]), asked, strict=True)
    )
    plans: list[tuple[dict[str, str], tuple[int, ...], float]] = [  # (site -> code, windows, jitter in ticks)
        ({"feed_forward": "rate"}, (4, 8, 16, 32, 64, 256), 0.0),
        ({"feed_forward": "even"}, (4, 8, 16, 32, 64), 0.0),
        ({"feed_forward": "latency"}, (4, 8, 16, 32, 64), 0.0),
        ({"feed_forward": "phase"}, (2, 3, 4, 6, 8), 0.0),
        ({"feed_forward": "latency"}, (16, 64), 1.0),
        ({"feed_forward": "even"}, (16,), 1.0),
        ({"feed_forward": "rate", "attention": "rate"}, (16, 64), 0.0),
        ({"feed_forward": "rate", "attention": "latency"}, (16, 64), 0.0),
        ({"feed_forward": "even", "attention": "latency"}, (16,), 0.0),
        ({"feed_forward": "even", "attention": "latency"}, (16,), 1.0),
        ({"feed_forward": "latency", "attention": "latency"}, (16,), 0.0),
        ({"feed_forward": "latency", "attention": "latency"}, (16,), 1.0),
    ]
    found = []
    for spoken, windows, sd in plans:
        chance = sd > 0 or "rate" in spoken.values()
        for T in windows:
            seeds = SEEDS[: 1 if quick or not chance or T > 64 else 3]
            say(f"the assistant through {spoken}, T = {T}, jitter {sd}")
            runs = [answers(one, spoken, T, seed, sites, asked, sd) for seed in seeds]
            matches = [run["exact_match"] for run in runs]
            figures = {
                "exact_match": statistics.mean(matches),
                "low": min(matches),
                "high": max(matches),
                "spikes_per_value": statistics.mean(run["spikes_per_value"] for run in runs),
                "exact_match_float": right / len(asked),
                "questions": len(asked),
                "seeds": len(seeds),
            }
            setting = {**spoken, "T": T, "jitter": sd, "data": "assistant"}
            found.append(Finding(None, name="encoding.answers", setting=setting, figures=figures))
    return found


def run(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """Measure everything above; ``quick`` takes two seeds, short windows and few questions."""
    say = progress or (lambda text: None)
    seeds, windows = (SEEDS[:2], WINDOWS[:4]) if quick else (SEEDS, WINDOWS)
    say("against snnTorch and theory")
    found = _checks()
    for name, x in data(quick).items():
        say(f"the claim's figures on {name}")
        for seed in seeds if name != "uniform" else ():  # the claim is tested on real numbers only
            setting = {"T": 16, "code": "rate, latency", "seed": seed, "data": name}
            found.append(
                Finding(None, name="encoding.window_error", setting=setting, figures=window_error(x, seed))
            )
        for code in CODES:
            say(f"{code} on {name}")
            part = x[: len(x) // 4] if code == "population" else x  # eight neurons a number
            setting = {"code": code, "data": name, "seeds": len(seeds)}
            found.append(
                Finding(
                    None, name="encoding.window", setting=setting, figures=window(code, part, seeds, windows)
                )
            )
            if code in ("rate", "even", "latency", "phase"):
                found.append(
                    Finding(
                        None,
                        name="encoding.damage",
                        setting={**setting, "T": 8 if code == "phase" else 16},
                        figures=damage(code, x, seeds, 8 if code == "phase" else 16),
                    )
                )
    return found + _answers(quick, say)
