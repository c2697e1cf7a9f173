"""`neurolab bench compression`: how small the assistant gets, at what loss, beside goals and control.

What takes minutes of training is read from the rows of `neurolab sweep compression` (the newest of the
course's own and the reader's); what can be measured in seconds is measured here, on the shipped files.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurolab import (
    assistant,
    coding,
    compressed,
    ledger,
    measurements,
    pruned_speed,
    ptq,
    streams,
    structure,
)
from neurolab.benchmark import Finding, Goal, clock
from neurolab.measurements import Measurement, newest
from neurolab.quantized import figures, put
from neurolab.sweeps.compression_headline import RATIOS, SHIPPED
from neurolab.sweeps.compression_prune import GOAL, GOAL_STEPS, plan

CHAPTER = 5
LIMITS = {"ptq12": 1.0, "ptq14": 3.0, "qat18": 1.0, "qat28": 3.0}
GOALS = [
    Goal("compression.int8_drop", 0.2, "lower", "points", "exact match lost by rounding to 8 bits"),
    *(
        Goal(
            f"compression.{name}_drop",
            limit,
            "lower",
            "points",
            f"exact match lost at {RATIOS[name]:g} times smaller in all, "
            + ("against the equal-steps control" if name.startswith("qat") else "without training"),
        )
        for name, limit in LIMITS.items()
    ),
    *(
        Goal(f"compression.{name}_ratio", RATIOS[name], "higher", "x", "float file over this file")
        for name in LIMITS
    ),
    Goal("compression.payload_over_entropy", 1.0, "lower", "%", "codes and tables over their entropy"),
    Goal("compression.huffman_over_optimum", 0, "lower", "bits", "coded length beyond sum of p x length"),
    Goal("compression.decode_seconds", 0.1, "lower", "s", "whole assistant, file to weights, one thread"),
    Goal("compression.shipped_same", 0, "lower", "points", "shipped files against their rows, largest gap"),
    Goal("compression.structured_macs", 2.0, "higher", "x", "multiply-adds, whole over pruned"),
    Goal("compression.structured_latency", 1.7, "higher", "x", "time, whole over pruned, the better runtime"),
    Goal("compression.structured_drop", 2.0, "lower", "points", "exact match lost by that model, tuned"),
]


def rows(name: str, **setting: Any) -> list[Measurement]:
    """The newest rows of a name, the course's own and the reader's."""
    return newest(
        row
        for store in (measurements.shipped(), measurements.own())
        for row in measurements.read(name, store=store, **setting)
    )


def of_seeds(goal: str, values: list[float], **more: Any) -> Finding:
    """The mean over the seeds, with its range; without rows, why there is none."""
    if not values:
        return Finding(goal, why="no row yet: `neurolab sweep compression` makes it")
    mean = statistics.mean(values)
    return Finding(goal, mean, (min(values), max(values)), figures={"seeds": len(values), **more})


def control_of(found: list[Measurement]) -> dict[str, float]:
    """Exact match of the float control of as many steps as these rows had, in percent."""
    steps = {row.figures["steps"] for row in found if row.figures.get("steps")}
    values = [r.figures["exact_match"] for s in steps for r in rows("compression.control", steps=s)]
    return {"control_exact_match": 100 * statistics.mean(values)} if values else {}


def headline(name: str) -> list[Finding]:
    """Loss and size of one of the four files, over its seeds."""
    found = rows("compression.headline", target=name)
    control = control_of(found)
    if name.startswith("qat"):
        drops = [control["control_exact_match"] - 100 * r.figures["exact_match"] for r in found if control]
    else:
        drops = [r.figures["exact_match_drop_points"] for r in found]
    more = {
        key: statistics.mean(row.figures[key] for row in found)
        for key in ("exact_match", "bits_per_answer_byte", "bytes")
        if found
    }
    return [
        of_seeds(f"compression.{name}_drop", drops, **more, **control),
        of_seeds(f"compression.{name}_ratio", [row.figures["size_ratio"] for row in found]),
    ]


def file_findings(path: Path) -> tuple[Finding, Finding, Finding]:
    """Payload against entropy, Huffman against its optimum, and decoding, of a shipped file."""
    data = path.read_bytes()
    back = compressed.load(path)
    codes = ledger.codes_of(back.tensors)
    payload = back.sections["codes"] + back.sections["header"]
    ideal = streams.entropy_bytes(codes)
    over = 0.0
    for q in codes:
        counts = np.bincount(q - q.min())
        code = coding.Code.of(q)
        coded = 8 * len(code.encode(q))  # whole bytes: up to 7 bits of filling
        lengths = coding.lengths_of(counts)
        over = max(over, coded - 7 - float((counts * lengths).sum()))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = clock(lambda: compressed.decode(data), 9)
    torch.set_num_threads(threads)
    return (
        Finding(
            "compression.payload_over_entropy",
            100 * (payload / ideal - 1),
            setting={"file": path.name},
            figures={"payload_bytes": payload, "entropy_bytes": ideal},
        ),
        Finding("compression.huffman_over_optimum", max(over, 0.0), setting={"file": path.name}),
        Finding(
            "compression.decode_seconds",
            statistics.median(seconds),
            (min(seconds), max(seconds)),
            setting={"file": path.name},
        ),
    )


def shipped_gap(every: int) -> Finding:
    """Largest distance, in points, between what a shipped file scores now and its row (seed 1)."""
    gaps = {}
    for name in RATIOS:
        path, found = SHIPPED / f"{name}.nlab", rows("compression.headline", target=name, seed=1)
        if path.is_file() and found:
            now = figures(compressed.load(path).model(), every=every)
            gaps[name] = abs(100 * (now["exact_match"] - found[0].figures["exact_match"]))
    if len(gaps) < len(RATIOS):
        return Finding("compression.shipped_same", why=f"files or rows are missing; there: {sorted(gaps)}")
    return Finding("compression.shipped_same", max(gaps.values()), figures=gaps)


def structured(blocks: int) -> list[Finding]:
    """Multiply-adds and time of the pruned model, measured now; what it loses, from its rows."""
    big = assistant.load().model
    small = structure.smaller(big, plan(GOAL))
    speeds = {
        runtime: pruned_speed.smaller_speed(small, big, runtime, blocks=blocks)
        for runtime in pruned_speed.RUNTIMES
    }
    best = max(speeds, key=lambda runtime: speeds[runtime]["structured_speedup_least"])
    speed = speeds[best]
    slower = min(
        ("structured_speedup", "structured_speedup_token"), key=lambda call: speed[call]
    )  # a question read, or a token written: the one that gains less
    kept = dict(zip(("layers", "heads", "channels"), GOAL, strict=True))
    found = rows("compression.prune", **kept, steps=GOAL_STEPS)
    drops = [row.figures["exact_match_drop_points"] for row in found]
    return [
        Finding("compression.structured_macs", speed["mac_ratio_least"]),
        Finding(
            "compression.structured_latency",
            speed[slower],
            (speed[f"{slower}_low"], speed[f"{slower}_high"]),
            setting={"runtime": best, "call": slower},
            figures={f"{name}_speedup": one["structured_speedup_least"] for name, one in speeds.items()},
        ),
        of_seeds("compression.structured_drop", drops, **control_of(found)),
    ]


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Every goal; `quick` asks a twentieth of the held-out questions."""
    say = progress or (lambda text: None)
    every = 20 if quick else 1
    helper = assistant.load()
    say("the assistant in 8 bits")
    tensors = ptq.rtn(helper.model, 8, "channel")
    eight = figures(put(helper.model, tensors), tensors, every=every)
    made = [
        Finding(
            "compression.int8_drop",
            eight["exact_match_drop_points"],
            setting={"bits": 8, "method": "rtn", "granularity": "channel"},
            figures={k: eight[k] for k in ("exact_match", "bits_per_answer_byte", "bytes", "size_ratio")},
        )
    ]
    for name in RATIOS:
        made += headline(name)
    path = SHIPPED / "qat18.nlab"
    if path.is_file():
        say(f"{path.name}: payload, Huffman, decoding")
        made += file_findings(path)
    say("the shipped files against their rows")
    made.append(shipped_gap(every))
    say("the pruned model's time")
    return made + structured(blocks=3 if quick else 15)
