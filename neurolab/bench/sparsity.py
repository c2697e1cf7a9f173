"""`neurolab bench sparsity`: every goal of dynamic sparsity beside what was reached.

What rests on trained networks, on minutes of stream or on a map of kernels is read from the rows of
`neurolab sweep sparsity` (the newest of the course's own and the reader's); the block kernel is timed here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from neurolab import crossover, measurements, video
from neurolab.benchmark import Finding, Goal
from neurolab.block_kernel import BlockSparse
from neurolab.measurements import Measurement, newest
from neurolab.pruned_speed import undisturbed

CHAPTER = 6
LARGE = 128  # pixels along the edge of the frames that make 1,024 tokens
SCENES = 4000  # the fewest that an accuracy may rest on
STRESS = video.VARIANTS[1:]
SIZES, DENSITY, COLUMNS = (512, 1024, 2048), 0.25, 256
WHY = "no row yet: `neurolab sweep sparsity` makes it"

GOALS = [
    Goal("sparsity.video_macs", 10, "higher", "x", "multiply-adds, dense over dynamic, 256 tokens"),
    Goal("sparsity.video_p50", 3.5, "higher", "x", "median time of a clip, turns of 40 clips"),
    Goal("sparsity.video_p95", 3, "higher", "x", "95th percentile of the time, turns of 40 clips"),
    Goal("sparsity.video_p50_alternating", 3.5, "higher", "x", "median time, the two clip by clip in turns"),
    Goal("sparsity.video_p95_alternating", 3, "higher", "x", "95th percentile, clip by clip in turns"),
    Goal("sparsity.video_drop", 1, "lower", "points", "accuracy lost (upper end of the 95 % interval)"),
    Goal("sparsity.video_tracking", 1, "lower", "x", "error of the place, dynamic over dense"),
    Goal("sparsity.large_p50", 10, "higher", "x", "median time, dense over dynamic, 1,024 tokens"),
    Goal("sparsity.large_drop", 1, "lower", "points", "accuracy lost there (upper end)"),
    Goal("sparsity.stress_drop", 3, "lower", "points", "accuracy lost, worst stress, packed network"),
    Goal("sparsity.live_drop", 3, "lower", "points", "the same in the live loop, which may think again"),
    Goal("sparsity.live_held", 99, "higher", "%", "seconds that keep the objective, the worst stress"),
    Goal("sparsity.enhance_drop", 0.3, "lower", "dB", "PSNR lost by enhancing only what changed"),
    Goal("sparsity.enhance_p50", 3, "higher", "x", "median time of a frame, dense over that"),
    Goal("sparsity.block_kernel", 3, "higher", "x", "best dense float32 over our kernel, the worst size"),
    Goal("sparsity.dispatch_slowdown", 5, "lower", "%", "dispatcher behind dense, the worst of the map"),
    Goal("sparsity.exit_cost", 0.9, "lower", "x", "mean multiply-adds with early exit over all layers"),
    Goal("sparsity.exit_drop", 1, "lower", "points", "accuracy lost by that"),
]


def rows(name: str, **setting: Any) -> list[Measurement]:
    """The newest rows of a name, the course's own and the reader's."""
    return newest(
        row
        for store in (measurements.shipped(), measurements.own())
        for row in measurements.read(name, store=store, **setting)
    )


def of_rows(goal: str, found: Sequence[Measurement], figure: str, **more: str) -> Finding:
    """The mean of a figure over the rows (seeds) that have it, with its range.

    more: other figures, by the name under which their mean stands beside it.
    """
    values = [row.figures[figure] for row in found if figure in row.figures]
    if not values:
        return Finding(goal, why=WHY)
    beside = {
        name: statistics.mean(row.figures[key] for row in found if key in row.figures)
        for name, key in more.items()
        if any(key in row.figures for row in found)
    }
    return Finding(
        goal, statistics.mean(values), (min(values), max(values)), figures={"rows": len(values), **beside}
    )


def worst(
    goal: str, found: Sequence[Measurement], figure: str, by: str, take: Callable[..., float], groups: Any
) -> Finding:
    """The worst (`take`: max or min) of the groups' means; a group is a value of the setting `by`.

    None while a group has no row: the worst of those that are there says nothing about it.
    """
    values: dict[Any, list[float]] = {group: [] for group in groups}
    for row in found:
        if row.setting.get(by) in values and figure in row.figures:
            values[row.setting[by]].append(row.figures[figure])
    if lacking := [str(group) for group, had in values.items() if not had]:
        return Finding(goal, why=f"{WHY} (missing: {by} {', '.join(lacking)})")
    means = {str(group): statistics.mean(had) for group, had in values.items()}
    every = [value for had in values.values() for value in had]
    return Finding(goal, take(means.values()), (min(every), max(every)), figures=means)


def video_findings(name: str, side: int) -> list[Finding]:
    """The dynamic network against the dense one, mean of the seeds; only rows of enough scenes count.

    The drop is the upper end of its 95 % interval: at most a point is lost only if this is at most a point.
    Times are there twice, held against the same goal: clip by clip in turns, as they were taken first and
    missed it, and in turns of 40 clips, a protocol that came in after that.
    """
    found = [
        row
        for row in rows("sparsity.video", method="dynamic", side=side)
        if row.figures.get("scenes", 0) >= SCENES
    ]
    made = [
        of_rows(f"sparsity.{name}_p50", found, "latency_ratio"),
        of_rows(
            f"sparsity.{name}_drop", found, "accuracy_drop_points_high",
            mean_drop="accuracy_drop_points", accuracy="accuracy", accuracy_dense="accuracy_dense",
        ),
    ]  # fmt: skip
    if side == LARGE:
        return made
    return [
        of_rows(f"sparsity.{name}_macs", found, "flops_ratio"),
        of_rows(f"sparsity.{name}_p95", found, "p95_ratio"),
        of_rows(f"sparsity.{name}_p50_alternating", found, "alternating_ratio"),
        of_rows(f"sparsity.{name}_p95_alternating", found, "alternating_p95_ratio"),
        *made,
        tracking(f"sparsity.{name}_tracking", found),
    ]


def tracking(goal: str, found: Sequence[Measurement]) -> Finding:
    """The error of the place over the dense network's, row by row."""
    pairs = [(row.figures["tracking_error"], row.figures["tracking_error_dense"]) for row in found]
    if not pairs:
        return Finding(goal, why=WHY)
    ratios = [this / dense for this, dense in pairs]
    beside = {"pixels": statistics.mean(this for this, _ in pairs)}
    beside["pixels_dense"] = statistics.mean(dense for _, dense in pairs)
    return Finding(goal, statistics.mean(ratios), (min(ratios), max(ratios)), figures=beside)


def block_kernel(quick: bool) -> Finding:
    """Our kernel against the best dense float32 kernel of this machine, timed now; the worst size counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {}
    try:
        with torch.inference_mode():
            for size in SIZES[:1] if quick else SIZES:
                weight = crossover.pruned(size, DENSITY)
                x = torch.randn(size, COLUMNS, generator=torch.Generator().manual_seed(1))
                _, dense = crossover.best_dense(weight, x)
                kernel = BlockSparse(weight)
                found[size] = undisturbed(partial(kernel, x), dense, 3 if quick else 9, 10)
    finally:
        torch.set_num_threads(threads)
    least = min(found, key=lambda size: found[size].median)
    return Finding.of(
        "sparsity.block_kernel",
        found[least],
        setting={"size": least, "density": DENSITY, "columns": COLUMNS},
        figures={f"ratio_{size}": ratio.median for size, ratio in found.items()},
    )


def dispatcher() -> Finding:
    """The most that the dispatcher was behind dense, over all sizes and densities of the map."""
    found = rows("sparsity.dispatch")
    values = [row.figures["worst_slowdown_percent"] for row in found]
    if not values:
        return Finding("sparsity.dispatch_slowdown", why=WHY)
    return Finding(
        "sparsity.dispatch_slowdown", max(values), (min(values), max(values)), figures={"rows": len(values)}
    )


def exits() -> list[Finding]:
    """Early exit, the worse of the assistant and the video network (means of their seeds)."""
    found = rows("sparsity.early_exit")
    models = ("assistant", "video")
    return [
        worst("sparsity.exit_cost", found, "mean_cost_ratio", "model", max, models),
        worst("sparsity.exit_drop", found, "accuracy_drop_points", "model", max, models),
    ]


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Every goal; `quick` times the block kernel at one size, in fewer turns."""
    say = progress or (lambda text: None)
    live, enhanced = rows("sparsity.live"), rows("sparsity.enhance", method="dynamic")
    made = [
        *video_findings("video", video.SIDE),
        *video_findings("large", LARGE),
        worst(
            "sparsity.stress_drop",
            rows("sparsity.stress", method="dynamic"),
            "accuracy_drop_points",
            "variant",
            max,
            STRESS,
        ),
        worst("sparsity.live_drop", live, "accuracy_drop_points", "variant", max, STRESS),
        worst("sparsity.live_held", live, "seconds_held_percent", "variant", min, STRESS),
        of_rows("sparsity.enhance_drop", enhanced, "psnr_drop_db", psnr="psnr", psnr_dense="psnr_dense"),
        of_rows("sparsity.enhance_p50", enhanced, "latency_ratio", p95_ratio="p95_ratio"),
        dispatcher(),
        *exits(),
    ]
    say("the block kernel against the best dense one")
    return [*made, block_kernel(quick)]
