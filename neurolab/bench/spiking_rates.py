"""Rates, times and hybrids: rows of chapter 3 (claims A15 and A25).

``spiking.steps`` with code "rate": the whole quantized network in plain integrate-and-fire neurons.
``spiking.balance``: the same, thresholds balanced by other rules. ``spiking.coding``: a layer of the float
assistant spoken in a rate, in times, or in both. ``spiking.hybrid``: the lowest blocks spike.

Times are the processor's, with one thread, so that whatever else the machine does counts less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from neurolab import assistant, coded, codes, facts, rates
from neurolab.assistant import Batch, collate
from neurolab.assistant import quick_scores as float_scores
from neurolab.bench import encoding
from neurolab.bench._kept import CHAPTER, kept
from neurolab.benchmark import Finding, Goal
from neurolab.facts import Question
from neurolab.spiking import Fire, schedule
from neurolab.spiking_files import FOLDER, Spiking, load
from neurolab.spiking_student import Rest
from neurolab.tokens import encode_pair, encode_question, exact_match

GOALS: list[Goal] = []
STEPS = (4, 8, 16, 32, 64)
SHARES = (1.0, 0.999, 0.99, 0.9)
BALANCED = (8, 16)
HYBRID_STEPS, ORDER = (2, 4, 8), "ramp"
CODED_STEPS = (4, 8, 16, 32, 64)
QUESTIONS, CODED_QUESTIONS, TIMED, BATCH = 600, 100, 20, 12
Say = Callable[[str], None]
__all__ = ["CHAPTER", "GOALS", "run"]


def batches(one: assistant.Assistant, asked: Sequence[Question]) -> tuple[list[Batch], int]:
    """Questions with their answers, sorted by length, and the answers' bytes."""
    rows = sorted((encode_pair(one.tokenizer, q.text, q.answer) for q in asked), key=lambda row: len(row[0]))
    return [collate(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)], sum(
        len(q.answer.encode()) for q in asked
    )


def calibration(one: assistant.Assistant, count: int = 128) -> list[Batch]:
    """Training questions on which thresholds are balanced."""
    texts = facts.split("train")
    return batches(one, texts[:: max(1, len(texts) // count)][:count])[0]


def response(net: Spiking, fire: Fire, questions: Sequence[list[int]]) -> tuple[float, int]:
    """Median milliseconds of processor time for one greedy answer at batch 1, and the answers' tokens."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rates.answer(net.p, net.config, fire, questions[0])
    seconds, made = [], 0
    for ids in questions:
        began = time.process_time()
        made += len(rates.answer(net.p, net.config, fire, ids))
        seconds.append(time.process_time() - began)
    torch.set_num_threads(before)
    return 1000 * statistics.median(seconds), made


class Bench:
    """What the rows below share: the assistant, the network, the questions, the scores without spikes."""

    def __init__(self, network: str, quick: bool) -> None:
        self.one, self.net, self.network, self.quick = assistant.load(), load(network), network, quick
        self.of = next(iter(self.net.card["sha256"].values()))[:12]
        asked = encoding.sample(8 if quick else QUESTIONS)
        self.asked: dict[str, list[Question]] = {
            lang: [q for q in asked if q.language == lang] for lang in facts.LANGUAGES
        }
        self.batches = {lang: batches(self.one, asked) for lang, asked in self.asked.items()}
        self.full: dict[str, dict[str, float]] = {
            lang: float_scores(self.one.model, self.one.tokenizer, some) for lang, some in self.asked.items()
        }
        self.full["both"] = {
            "exact_match": self.mean({lang: found["exact_match"] for lang, found in self.full.items()})
        }

    def mean(self, by_language: Mapping[str, float]) -> float:
        """The mean over questions of a figure that each language has."""
        count = {lang: len(asked) for lang, asked in self.asked.items()}
        return sum(by_language[lang] * n for lang, n in count.items()) / sum(count.values())

    def scores(self, make: Callable[[], Fire]) -> dict[str, dict[str, float]]:
        """Scores by language and of both under a rule, with what is lost against the float assistant."""
        found: dict[str, dict[str, float]] = {
            lang: rates.scores(self.net.p, self.net.config, make(), rows, size)
            for lang, (rows, size) in self.batches.items()
        }
        size: dict[str, float] = {
            lang: float(answer_bytes) for lang, (_, answer_bytes) in self.batches.items()
        }
        both = {key: self.mean({lang: one[key] for lang, one in found.items()}) for key in found["en"]}
        both["questions"] = sum(one["questions"] for one in found.values())
        for key, weight in (
            ("bits_per_answer_byte", size),
            ("spikes_per_token", {lang: one["tokens"] for lang, one in found.items()}),
        ):
            if key in both:
                total = sum(one[key] * weight[lang] for lang, one in found.items())
                both[key] = total / sum(weight.values())
        both["tokens"] = sum(one["tokens"] for one in found.values())
        found["both"] = both
        for lang, one in found.items():
            one["exact_match_drop_points"] = 100 * (self.full[lang]["exact_match"] - one["exact_match"])
        return found

    def row(self, name: str, setting: dict[str, Any], make: Callable[[], dict[str, Any]]) -> Finding:
        """The kept row or a new one."""
        return kept(name, setting, self.of, make, keep=not self.quick)


def rate_rows(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """The quantized network in rate code (``spiking.steps``), and by how thresholds are balanced."""
    say = progress or (lambda text: None)
    bench = Bench("quantized", quick)
    p, c, found = bench.net.p, bench.net.config, []
    rest = bench.scores(lambda: Rest(bench.net.bits))
    asked = [encode_question(bench.one.tokenizer, q.text) for qs in bench.asked.values() for q in qs]
    asked = asked[:: max(1, len(asked) // (2 if quick else TIMED))]
    for T in STEPS[: 1 if quick else None]:
        R = rates.balance(p, c, calibration(bench.one))
        runs: dict[str, dict[str, float]] = {}
        for language in (*facts.LANGUAGES, "both"):
            say(f"rate code, T = {T}, {language}")

            def make(
                T: int = T,
                language: str = language,
                R: dict[str, float] = R,
                runs: dict[str, dict[str, float]] = runs,
            ) -> dict[str, Any]:
                if not runs:
                    runs |= bench.scores(lambda: rates.Counted(T, R))
                figures: dict[str, Any] = dict(runs[language])
                lost = rest[language]["exact_match"] - figures["exact_match"]
                figures["drop_from_quantized_points"] = 100 * lost
                ms, made = response(bench.net, rates.Counted(T, R), asked)
                return {**figures, "response_ms": ms, "answer_tokens": made / len(asked)}

            setting: dict[str, Any] = {"network": "quantized", "code": "rate", "schedule": "rate"}
            found.append(bench.row("spiking.steps", {**setting, "T": T, "language": language}, make))
    for T in BALANCED[: 1 if quick else None]:
        for share in SHARES:
            say(f"rate code, T = {T}, thresholds balanced to {share:.1%} of the codes")

            def other(T: int = T, share: float = share) -> dict[str, Any]:
                R = rates.balance(p, c, calibration(bench.one), share)
                return dict(bench.scores(lambda: rates.Counted(T, R))["both"])

            found.append(
                bench.row("spiking.balance", {"network": "quantized", "T": T, "share": share}, other)
            )
    return found


CODINGS: dict[str, tuple[dict[str, codes.Code], str]] = {
    "rate": ({"feed_forward": codes.CODES["even"]}, "feed-forward"),
    "temporal": ({"feed_forward": codes.CODES["latency"]}, "feed-forward"),
    "hybrid": ({"feed_forward": rates.TIME_THEN_RATE}, "feed-forward"),
    "rate, coins": ({"feed_forward": codes.CODES["rate"]}, "feed-forward"),
    "rate everywhere": (
        {"feed_forward": codes.CODES["even"], "attention": codes.CODES["even"]},
        "feed-forward and attention",
    ),
    "temporal everywhere": (
        {"feed_forward": codes.CODES["latency"], "attention": codes.CODES["latency"]},
        "feed-forward and attention",
    ),
    "rate, temporal in attention": (
        {"feed_forward": codes.CODES["even"], "attention": codes.CODES["latency"]},
        "feed-forward and attention",
    ),
}


def coding_rows(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """The float assistant with one or two of its layers' numbers sent as spikes."""
    say = progress or (lambda text: None)
    one = assistant.load()
    of = one.card["sha256"][assistant.WEIGHTS][:12]
    asked = encoding.sample(8 if quick else CODED_QUESTIONS)
    sites = encoding.ranges(one, 8 if quick else encoding.QUESTIONS)
    found = []
    for name, (spoken, site) in CODINGS.items():
        for T in CODED_STEPS[: 1 if quick else None]:
            say(f"{site} in code: {name}, T = {T}")

            def make(spoken: dict[str, codes.Code] = spoken, T: int = T) -> dict[str, Any]:
                channels = {
                    place: coded.Counter(code, T, i) for i, (place, code) in enumerate(spoken.items())
                }
                with coded.speaking(one.model, channels, sites):
                    got = one.answers([q.text for q in asked])
                right = sum(exact_match(a, q.answer) for a, q in zip(got, asked, strict=True))
                sent = sum(c.spikes for c in channels.values()) / sum(c.numbers for c in channels.values())
                return {
                    "exact_match": right / len(asked),
                    "spikes_per_number": sent,
                    "questions": len(asked),
                }

            setting = {"code": name, "T": T, "site": site}
            found.append(kept("spiking.coding", setting, of, make, keep=not quick))
    return found


def hybrid_rows(
    quick: bool = False, progress: Say | None = None, network: str = "quantized"
) -> list[Finding]:
    """The lowest n blocks spiking for T steps, the others at rest; n = 0 is ordinary, n = all only spikes."""
    say = progress or (lambda text: None)
    bench = Bench(network, quick)
    blocks = bench.net.config.layers
    found = []
    for T in HYBRID_STEPS[: 1 if quick else None]:
        made: dict[int, Finding] = {}
        for n in reversed(range(blocks + 1)):
            say(f"hybrid of {network}: {n} of {blocks} blocks spike, T = {T}")

            def make(n: int = n, T: int = T, made: dict[int, Finding] = made) -> dict[str, Any]:
                fire = rates.Hybrid(n, blocks, schedule(T, ORDER, bench.net.bits), bench.net.bits)
                figures: dict[str, Any] = dict(bench.scores(lambda: fire)["both"])
                whole = made[blocks].figures["exact_match"] if n < blocks else figures["exact_match"]
                return {**figures, "exact_match_gain_points": 100 * (figures["exact_match"] - whole)}

            kind = "hybrid" if 0 < n < blocks else "spiking" if n else "ordinary"
            setting = {"spiking_layers": n, "T": T, "network": network, "schedule": ORDER, "kind": kind}
            made[n] = bench.row("spiking.hybrid", setting, make)
        found += [made[n] for n in sorted(made)]
    return found


def run(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """All rows of this module, those of networks that are not there left out."""
    found = coding_rows(quick, progress)
    if (FOLDER / "quantized.json").is_file():
        found += hybrid_rows(quick, progress) + rate_rows(quick, progress)
    if (FOLDER / "four.json").is_file():
        found += hybrid_rows(quick, progress, "four")
    return found
