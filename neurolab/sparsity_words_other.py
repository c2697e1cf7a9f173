"""Chapter 6's sentences on kernels, on the live loop, and on other work than naming digits."""

from __future__ import annotations

from typing import Any

from IPython.display import Markdown

from neurolab.live import Live
from neurolab.measurements import read, sentence
from neurolab.quantization_rows import by, spread, values
from neurolab.sparsity_rows import NOT_YET, VARIANTS, median

SCATTERED = "unstructured_time_share"
TRACKERS = "dynamic", "cropping", "cropping_ahead"


def block_sentence() -> Any:
    """Our block kernel at a quarter of the blocks, and dense bf16 beside it."""
    rows = [
        r for r in read("sparsity.block", density=0.25) if r.setting.get("precision", "float32") == "float32"
    ]
    rows = [r for r in rows if r.setting["size"] >= 512 and r.setting.get("columns", 256) == 256]
    if not rows:
        return Markdown(NOT_YET)
    bf16 = median(rows, "latency_ratio_bf16")
    other = ""
    if bf16 is not None:
        look = ": look at the precision before you look at the zeros."
        dense = "a dense product in bf16, with every number in it and half the bits"
        other = f" Against {dense}, {bf16:.1f} times are left of that{look}"
        if bf16 < 1:
            other = f" But it is {1 / bf16:.1f} times **slower** than {dense}{look}"
    return sentence(
        "With a quarter of the blocks, four times fewer multiply-adds, our kernel is **{ratio} times** as "
        "fast as the best dense product of the same precision.{other}",
        *rows,
        ratio=spread(values(rows, "latency_ratio"), 1),
        other=other,
    )


def kernels_sentence() -> Any:
    """Claim C12: the share of saved operations that becomes time, scattered and in blocks."""
    rows = read("sparsity.kernels")
    scattered, blocks = median(rows, SCATTERED), median(rows, "structured_time_share")
    if scattered is None or blocks is None:
        return Markdown(NOT_YET)
    text = (
        f"Of the operations that scattered zeros save, **{scattered:.0%}** become time; of those that blocks "
        f"save, **{blocks:.0%}** (medians over sizes and densities, each time by the fastest kernel here)"
    )
    found = by([r for r in rows if SCATTERED in r.figures and "density" in r.setting], "density")
    if len(found) > 1:
        many, few = max(found), min(found)
        text += (
            ". For scattered zeros it depends on how many there are: with "
            f"{100 * many[0]:.0f} % of the numbers there it is {median(found[many], SCATTERED):.0%}"
            f"{' (slower than dense)' if (median(found[many], SCATTERED) or 0) < 0 else ''}, with "
            f"{100 * few[0]:.0f} % {median(found[few], SCATTERED):.0%}"
        )
    return sentence("{text}.", *rows, text=text)


def heads_sentence() -> Any:
    """Heads chosen for each clip beside heads chosen once for all, as many as possible kept."""
    rows = read("sparsity.heads")
    most = max((r.setting["heads"] for r in rows), default=0)
    found = by([r for r in rows if r.setting["heads"] == most], "by")
    if not {("frame",), ("static",)} <= set(found):
        return Markdown(NOT_YET)
    (right, time), (right_once, time_once) = (
        tuple(median(found[(how,)], key) or 0.0 for key in ("accuracy", "latency_ratio"))
        for how in ("frame", "static")
    )
    text = (
        f"With {most} of 4 heads, chosen for each clip, {right:.1f} % are right at **{time:.2f} times** the "
        f"speed of dense; chosen once for all, {right_once:.1f} % at {time_once:.2f} times"
    )
    if time <= time_once and right <= right_once + 0.5:
        text += ". The choice for each clip costs more time than it earns, and makes no answer better"
    return sentence("{text}.", *rows, text=text)


def dispatch_sentence() -> Any:
    """How much the dispatcher loses at worst."""
    rows = read("sparsity.dispatch")
    if not rows:
        return Markdown(NOT_YET)
    worst = max(values(rows, "worst_slowdown_percent"))
    return sentence(
        "Over the whole map the dispatcher is at worst **{worst:.1f} %** slower than dense.",
        *rows,
        worst=max(worst, 0.0),
    )


def loop_sentence(held: Live, fixed: Live, breach: Live) -> Any:
    """The three loops of the chapter on simulated time: late answers, and the tail over the objective."""
    ours, still, worse = (loop.telemetry.summary() for loop in (held, fixed, breach))
    return sentence(
        "With a budget that follows the clock **{ours:.1f} %** of the answers are late; with a fixed "
        "budget {still:.0f} %; and where every late answer sends the next frames to the dense network, "
        "{worse:.0f} %, with a 99th percentile of {p99:.1f} objectives instead of {p99_ours:.1f}.",
        kind="simulated",
        ours=ours["over_percent"],
        still=still["over_percent"],
        worse=worse["over_percent"],
        p99=worse["p99_over_objective"],
        p99_ours=ours["p99_over_objective"],
    )


def fallback_sentence() -> Any:
    """Claim C11: whether the loop holds its objective on this machine's own clock, beside its rivals."""
    rows = read("sparsity.fallback")
    if not rows:
        return Markdown(NOT_YET)
    ours = values(rows, "p99_over_objective")
    kept = sum(one <= 1 for one in ours)
    text = (
        "On this machine's own clock, with programs beside it or without, ours gives 99 of 100 answers in "
        f"time in **{kept} of {len(ours)}** runs (99th percentile, in objectives: "
        f"{median(rows, 'p99_over_objective'):.2f} in the median, {max(ours):.2f} at worst)"
    )
    rivals = {"without": "without the fallback", "breach": "dense after a breach", "dense": "always dense"}
    there = {said: median(rows, f"p99_{how}_over_objective") for how, said in rivals.items()}
    others = [f"{said} {found:.2f}" for said, found in there.items() if found is not None]
    text += f". In the median of the same runs: {', '.join(others)}" if others else ""
    return sentence("{text}.", *rows, text=text)


def warm_sentence() -> Any:
    """The loop's median answer with and without the warm-up, on a machine that does nothing else."""
    rows = read("sparsity.fallback", load=0)
    if not rows or any("cold_p50" not in r.figures for r in rows):
        return Markdown(NOT_YET)
    return sentence(
        "Without it the median answer took **{cold:.1f}** ms, with it **{warm:.1f}** ms, and the objective "
        "was held in **{cold_held}** and **{warm_held}** % of the seconds.",
        *rows,
        cold=1000 * (median(rows, "cold_p50") or 0),
        warm=1000 * (median(rows, "loop_p50") or 0),
        cold_held=spread(values(rows, "seconds_held_cold_percent"), 0),
        warm_held=spread(values(rows, "seconds_held_percent"), 0),
    )


def enhance_sentence() -> Any:
    """Claim C10: dB lost and time saved."""
    rows = [r for r in read("sparsity.enhance", method="dynamic") if r.kind == "measured"]
    if not rows:
        return Markdown(NOT_YET)
    return sentence(
        "Computing only what changed loses **{lost:.2f} dB** and is **{time:.1f} times** as fast.",
        *rows,
        lost=median(rows, "psnr_drop_db") or 0.0,
        time=median(rows, "latency_ratio") or 0.0,
    )


def tracking_sentence() -> Any:
    """Claim C15: how often each loses the object; and where the camera sees something else."""
    rows = read("sparsity.tracking")
    if not rows:
        return Markdown(NOT_YET)
    ratios = values(rows, "lost_ratio")
    won = sum(r < 1 for r in ratios) / len(ratios)
    held = "always" if won == 1 else "never" if won == 0 else "mostly" if won >= 0.5 else "seldom"
    ours, crop, ahead = (100 * (median(rows, f"lost_{how}") or 0.0) for how in TRACKERS)
    text = (
        f"Where one digit moves, what changes has lost it in {ours:.2f} % of the frames, a crop in "
        f"{crop:.2f} %: **{median(rows, 'lost_ratio'):.2f} times** as often (median; half a frame is "
        f"added to both), and {held} less often. A crop that runs ahead of the digit has lost it "
        f"in {ahead:.2f} %"
    )
    other = {r.setting["variant"]: r.figures["lost_ratio"] for r in read("sparsity.tracking_stress")}
    less, more = ([VARIANTS[v] for v, r in other.items() if (r < 1) == wins] for wins in (True, False))
    if less:
        text += f". Where {', or '.join(less)}, what changes loses it less often than a crop, too"
    if more:
        most = max(other.values())
        text += f". Where {', or '.join(more)}, it is **more** often (up to {most:.1f} times as often)"
    return sentence("{text}.", *rows, text=text)


def fusion_sentence() -> Any:
    """One pass instead of three, and bytes instead of floats."""
    fused, small = median(read("sparsity.fusion"), "latency_ratio"), read("sparsity.int8")
    if fused is None or not small:
        return Markdown(NOT_YET)
    few = min(small, key=lambda r: r.setting["kept"])
    return sentence(
        "With bias and activation in the same pass our kernel is {fused:.2f} times as fast as with three "
        "passes. And with {kept} packed tokens in numbers of 8 bits, a layer is **{times:.1f} times** as "
        "fast as in float32, off by {off:.1%}.",
        *small,
        fused=fused,
        kept=few.setting["kept"],
        times=few.figures["latency_ratio"],
        off=few.figures["relative_error"],
    )
