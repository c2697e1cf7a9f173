"""Chapter 6's results: rows as tables. Nothing is measured here, and nothing typed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import sparsity_charts as charts
from neurolab import video_net
from neurolab.attention_rows import table
from neurolab.explore import Explorer
from neurolab.measurements import Measurement, read
from neurolab.quantization_rows import by, spread, values

NOT_YET = "*(not measured yet: `neurolab sweep sparsity` does it)*"
SEEDS = "measured; means of the seeds, in brackets the least and the most; the sentences take medians"
METHODS = {"dense": "dense", "static": "a fixed pattern", "dynamic": "what changes"}
MECHANISMS = {
    "dense": "everything",
    "static": "a fixed pattern",
    "change": "what changes",
    "change_untuned": "what changes, untrained",
    "threshold": "with a threshold",
    "attention": "attention",
    "gate": "a learned gate",
}
"""Mechanisms of sparsity.mechanism as the chapter calls them."""

VARIANTS = {
    "usual": "one digit moves",
    "still": "nothing moves",
    "several": "three things move",
    "flicker": "the light flickers",
    "noise": "the sensor is noisy",
    "jitter": "the camera shakes",
}
"""`video.VARIANTS` in words: only the first was ever trained on."""

Column = tuple[str, str, int] | tuple[str, str, int, float]
"""Head, figure, digits, and what it is multiplied by (1)."""


def markdown(heads: Sequence[Any], lines: Sequence[Sequence[Any]], note: str = "measured") -> Any:
    """A table with a note under it; `NOT_YET` where there is no line."""
    return Markdown(f"{table(heads, lines)}\n\n*({note})*" if lines else NOT_YET)


def median(rows: Iterable[Measurement], figure: str) -> float | None:
    """The median of a figure over rows (over seeds, say); None where no row has it."""
    found = values(rows, figure)
    return statistics.median(found) if found else None


def ratio_of(mechanism: str, tokens: int, side: int = 64, figure: str = "latency_ratio") -> float | None:
    """Dense over sparse of a mechanism at so many tokens, median of the seeds; None before it is measured."""
    return median(read("sparsity.mechanism", mechanism=mechanism, tokens=tokens, side=side), figure)


def gathered(
    rows: Sequence[Measurement],
    keys: Mapping[str, str],
    columns: Sequence[Column],
    said: Callable[[str, Any], Any] = lambda key, value: value,
    note: str = "measured",
    bold: Sequence[str] = (),
) -> Any:
    """Rows of one name as a table: keys (setting -> head) name the lines, columns hold means over the rest.

    said: how a setting's value is written.  bold: figures to be printed so.  A column that no row has is
    left out, and lines stand in the order in which they were first measured, numbers rising.
    """
    there = [c for c in columns if any(c[1] in row.figures for row in rows)]
    found = by(rows, *keys)
    lines = []
    for key in sorted(found, key=_rank(list(found))):
        cells = []
        for _, figure, digits, *scale in there:
            text = spread(values(found[key], figure), digits, *scale)
            cells.append(f"**{text}**" if text and figure in bold else text)
        names = [said(k, v) for k, v in zip(keys, key, strict=True)]
        lines.append(["" if name is None else name for name in names] + cells)
    return markdown([*keys.values(), *(c[0] for c in there)], lines, note)


def _rank(keys: list[tuple[Any, ...]]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Sorts by the first appearance of texts and by the size of numbers."""
    firsts: list[dict[Any, int]] = [{} for _ in (keys[0] if keys else ())]
    for key in keys:
        for seen, value in zip(firsts, key, strict=True):
            seen.setdefault(value, len(seen))

    def rank(key: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            (0, v) if isinstance(v, int | float) and not isinstance(v, bool) else (1, seen[v])
            for seen, v in zip(firsts, key, strict=True)
        )

    return rank


# ---- the video network -------------------------------------------------------------------------------


def training_picture() -> Any:
    """The dense baseline's accuracy while it was trained, one line a seed."""
    rows = sorted(read("sparsity.training", model="dense", side=64), key=lambda r: r.setting["seed"])
    if not rows:
        return Markdown(NOT_YET)
    shown: dict[str, Any] = {"names": [f"seed {r.setting['seed']}" for r in rows]}
    for name, row in zip(shown["names"], rows, strict=True):
        shown[f"{name} x"] = np.array(row.figures["steps"], float)
        shown[f"{name} y"] = np.array(row.figures["accuracy"], float)
    shown |= {"x name": "step of training, all tokens", "y name": "right on validation scenes (%)"}
    return Explorer(
        lambda: shown,
        lambda r: charts.curves(r, rise=True),
        title="Trained until it stopped",
        alt="Accuracy over the steps of training, a line for each seed: it rises, bends, and hardly rises "
        "any more.",
        caption="Look at the end of the curves: would more steps have made the baseline any better?",
    )


def parts_table(config: video_net.VideoConfig, tokens: tuple[int, int]) -> Any:
    """Multiply-adds of the whole network by part, for two numbers of tokens."""
    many, few = (video_net.macs(config, n) for n in tokens)
    said = {"feed_forward": "the two large matrices", "projections": "queries, keys, values, output"}
    said |= {"attention": "attention", "patches": "tubelets to tokens", "readout": "the answer"}
    lines = [
        [said.get(part, part), f"{many[part]:,}", f"{few[part]:,}", f"{many[part] / few[part]:.1f}"]
        for part in sorted(many, key=lambda part: -many[part])
    ]
    total = sum(many.values()), sum(few.values())
    lines.append(["**all**", f"{total[0]:,}", f"{total[1]:,}", f"**{total[0] / total[1]:.1f}**"])
    heads = ["multiply-adds", f"{tokens[0]} tokens", f"{tokens[1]} tokens", "times fewer"]
    return markdown(heads, lines, "counted")


def kept_table(found: Mapping[str, Mapping[str, float]]) -> Any:
    """Tokens kept of 256 by several measures (lines) in several scenes (columns)."""
    scenes = list(next(iter(found.values())))
    lines = [[name, *(f"{kept[s]:.0f}" for s in scenes)] for name, kept in found.items()]
    return markdown(["tokens kept of 256", *scenes], lines, "measured just now, on 50 clips a scene")


def video_table() -> Any:
    """The headline: dense, static and dynamic networks, both sizes."""
    lines = []
    rows = [r for r in read("sparsity.video") if r.kind == "measured"]
    order = {name: i for i, name in enumerate(METHODS)}
    keys = by(rows, "side", "method")
    for (side, method), here in sorted(keys.items(), key=lambda one: (one[0][0], order.get(one[0][1], 9))):
        lost = [spread(values(here, f"accuracy_drop_points{end}"), 2) for end in ("", "_low", "_high")]
        dense = method == "dense"
        lines.append(
            [
                f"{side} x {side}",
                METHODS.get(method, method),
                f"{np.mean(values(here, 'tokens_kept_percent')):.1f} %",
                spread(values(here, "accuracy"), 1),
                "" if dense else lost[0],
                spread(values(here, "tracking_error"), 1),
                "1" if dense else spread(values(here, "flops_ratio"), 1),
                "1" if dense else f"**{spread(values(here, 'latency_ratio'), 1)}**",
                "1" if dense else spread(values(here, "p95_ratio"), 1),
                len(here),
            ]
        )
    heads = ["frame", "computed", "tokens", "right (%)", "points lost", "pixels off"]
    heads += ["times fewer multiply-adds", "times as fast, p50", "p95", "seeds"]
    return markdown(heads, lines, SEEDS)


_LIVE = (("tokens_kept", 0), ("seconds_held", 0))


def stress_table() -> Any:
    """Scenes of kinds that no network was trained on."""
    rows = read("sparsity.stress")
    shown = {r.setting["variant"] for r in rows}
    live = [r for r in read("sparsity.live") if r.setting["variant"] in shown]
    lines = []
    for variant in VARIANTS:
        here = [r for r in rows if r.setting["variant"] == variant]
        if not here:
            continue
        cells = [VARIANTS[variant], spread(values(here, "accuracy_dense"), 1)]
        for method in ("static", "dynamic"):
            cells.append(spread(values([r for r in here if r.setting["method"] == method], "accuracy"), 1))
        dynamic = [r for r in here if r.setting["method"] == "dynamic"]
        cells.append(f"**{spread(values(dynamic, 'accuracy_drop_points'), 1)}**")
        if live:
            now = [r for r in live if r.setting["variant"] == variant]
            cells += [spread(values(now, f"{key}_percent"), digits) for key, digits in _LIVE]
        lines.append(cells)
    heads = ["right (%) where", "dense", "a fixed pattern", "what changes", "points that it loses"]
    heads += ["live: tokens (%)", "seconds in time (%)"] if live else []
    return markdown(heads, lines, SEEDS)


def mechanisms_table() -> Any:
    """Every mechanism at the chapter's number of tokens: accuracy, operations, the clock at three places."""
    rows = [
        r
        for r in read("sparsity.mechanism")
        if r.setting.get("side", 64) == 64
        and r.setting["mechanism"] in MECHANISMS
        and r.setting["tokens"] in (32, 256)
    ]
    return gathered(
        rows,
        {"mechanism": "chosen by", "tokens": "tokens"},
        [
            ("right (%)", "accuracy", 1), ("points lost", "accuracy_drop_points", 1),
            ("pixels off", "tracking_error", 1), ("times fewer multiply-adds", "flops_ratio", 1),
            ("times as fast, p50", "latency_ratio", 1), ("p95", "p95_ratio", 1), ("p99", "p99_ratio", 1),
            ("energy, times less (simulated)", "energy_ratio", 1),
        ],
        lambda key, value: MECHANISMS.get(value, value),
        SEEDS,
        ("latency_ratio",),
    )  # fmt: skip
