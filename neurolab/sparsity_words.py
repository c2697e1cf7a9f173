"""Chapter 6's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab.guess import Guess
from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_rows import spread, values
from neurolab.sparsity_rows import MECHANISMS, NOT_YET, VARIANTS, median
from neurolab.sparsity_rows_other import METHODS

HIDING = {"more than twice as fast": 2.0, "a little faster": 1.03, "as fast as before": 0.97, "slower": 0.0}
"""What a reader may guess, and how many times as fast that is at least."""

SIDE, KEPT = 64, 32


def times(ratio: float, than: str = "") -> str:
    """2.0 -> "2.0 times as fast", 0.5 -> "2.0 times **slower**"."""
    if ratio >= 1:
        return f"{ratio:.1f} times as fast{f' as {than}' if than else ''}"
    return f"{1 / ratio:.1f} times **slower**{f' than {than}' if than else ''}"


def _headline(side: int = SIDE, method: str = "dynamic") -> list[Measurement]:
    return [r for r in read("sparsity.video", method=method, side=side) if r.kind == "measured"]


def baseline_sentence() -> Any:
    """How good the dense network is."""
    rows = _headline(method="dense")
    if not rows:
        return Markdown(NOT_YET)
    return sentence(
        "On {scenes:,} scenes that it was not trained on the network names **{right} %** of the digits "
        "rightly, and is {away} pixels off (trained from {n} seeds).",
        *rows,
        right=spread(values(rows, "accuracy"), 1),
        away=spread(values(rows, "tracking_error"), 1),
        n=len(rows),
    )


def now_sentence(found: Mapping[str, float], part: float) -> Any:
    """What was timed while the chapter ran, in seconds: all tokens, hidden, packed, packed with choosing."""
    whole, *others = found.values()
    hidden, packed, choosing = (whole / seconds for seconds in others)
    said = "as fast as" if abs(hidden - 1) < 0.03 else "faster than" if hidden > 1 else "slower than"
    return sentence(
        "With {part:.0f} % of the multiply-adds, **{macs:.0f} times** fewer, the packed clip is "
        "**{packed:.1f} times** as fast, and {choosing:.1f} times with the choosing. Hidden behind a mask "
        "it is {said} with all tokens ({hidden:.2f} times as fast).",
        part=part,
        macs=100 / part,
        packed=packed,
        choosing=choosing,
        hidden=hidden,
        said=said,
    )


def floor_sentence(curve: Mapping[str, np.ndarray]) -> Any:
    """What is left of the time with a single token."""
    return sentence(
        "A clip with all tokens takes {all:.1f} ms here. With a single one {macs:.1f} % of the "
        "multiply-adds are left, and **{time:.0f} %** of the time.",
        all=float(curve["milliseconds"][0]),
        macs=float(curve["macs"][0]),
        time=float(curve["packed"][0]),
    )


def video_sentence() -> Any:
    """The headline: operations and time beside each other, and what it costs in accuracy."""
    rows = _headline()
    if not rows:
        return Markdown(NOT_YET)
    lost, most = (values(rows, f"accuracy_drop_points{end}") for end in ("", "_high"))
    mean = float(np.mean(lost))
    text = (
        f"{median(rows, 'flops_ratio'):.1f} times fewer multiply-adds are "
        f"**{median(rows, 'latency_ratio'):.1f} times** less time at the median and "
        f"{median(rows, 'p95_ratio'):.1f} times at the 95th percentile, and {abs(mean):.2f} points of "
        f"accuracy {'less' if mean > 0 else 'more'} (with 95 % confidence no seed loses more than "
        f"{max(max(most), 0.0):.2f})"
    )
    cold = median(rows, "alternating_ratio")
    if cold:
        text += (
            f". That is each network by itself, 40 clips at a time; where the two take turns clip by clip "
            f"it is only {cold:.1f} times, and {median(rows, 'alternating_p95_ratio') or 0:.1f} times at the "
            "95th percentile. (That was measured first, and missed what we had aimed at; turns of 40 came "
            "after. Choose the one that is like your use)"
        )
    large = _headline(128)
    if large:
        text += (
            f". With frames twice as wide and as high, and {median(large, 'tokens_kept_percent'):.1f} % of "
            f"their 1,024 tokens, {median(large, 'flops_ratio'):.1f} times fewer multiply-adds are "
            f"**{median(large, 'latency_ratio'):.1f} times** less time"
        )
    fixed = _headline(method="static")
    if fixed:
        text += (
            f". A fixed pattern of as many tokens loses {median(fixed, 'accuracy_drop_points'):.1f} points"
        )
    return sentence("{text}.", *rows, text=text)


def stress_sentence() -> Any:
    """Where the choice of what changes suffers most."""
    rows = read("sparsity.stress", method="dynamic")
    if not rows:
        return Markdown(NOT_YET)
    lost = {
        v: median([r for r in rows if r.setting["variant"] == v], "accuracy_drop_points") or 0.0
        for v in {r.setting["variant"] for r in rows}
    }
    worst = max(lost, key=lambda v: lost[v])
    best = min(lost, key=lambda v: lost[v])
    gain = (
        f"; where {VARIANTS[best]} it is {-lost[best]:.1f} points better than dense"
        if lost[best] < -0.5
        else ""
    )
    return sentence(
        "It suffers most where {worst}: **{lost:.1f} points** below the dense network{gain}.",
        *rows,
        worst=VARIANTS[worst],
        lost=lost[worst],
        gain=gain,
    )


def mechanisms_sentence() -> Any:
    """Which way of choosing is best at the chapter's number of tokens, and which is fastest."""
    rows = [
        r for r in read("sparsity.mechanism", tokens=KEPT, side=SIDE) if r.setting["mechanism"] != "dense"
    ]
    if not rows:
        return Markdown(NOT_YET)
    here = {
        m: [r for r in rows if r.setting["mechanism"] == m] for m in {r.setting["mechanism"] for r in rows}
    }
    right = {m: median(found, "accuracy") or 0.0 for m, found in here.items()}
    quickness = {m: median(found, "latency_ratio") or 0.0 for m, found in here.items()}
    best, quick = max(right, key=lambda m: right[m]), max(quickness, key=lambda m: quickness[m])
    text = (
        f"With {KEPT} tokens **{MECHANISMS.get(best, best)}** is the best choice, with {right[best]:.1f} % "
        "right"
    )
    text += f" at {quickness[best]:.1f} times the speed of dense"
    near = [m for m in right if m != best and right[best] - right[m] < 1]
    if near:
        text += f" (within a point: {', '.join(MECHANISMS.get(m, m) for m in near)})"
    if quick != best:
        text += (
            f"; {MECHANISMS.get(quick, quick)} is the fastest ({quickness[quick]:.1f} times), with "
            f"{right[quick]:.1f} %"
        )
    if "attention" in right and best != "attention":
        macs = median(here["attention"], "flops_ratio") or 0.0
        text += (
            f". The network's own attention has {right['attention']:.1f} % right, but it has to look "
            f"at everything first: {macs:.1f} times fewer multiply-adds, {quickness['attention']:.1f} times "
            "as fast"
        )
    return sentence("{text}.", *rows, text=text)


def topk_sentence() -> Any:
    """Claim C7: exact top-k in operations and in time; and the best of the others."""
    rows = [r for r in read("sparsity.topk") if r.setting["tokens"] >= 1024]
    if not rows:
        return Markdown(NOT_YET)
    time, saved = median(rows, "latency_ratio") or 0.0, median(rows, "operations_ratio") or 0.0
    text = f"From 1,024 tokens on, exact top-k attention does {saved:.1f} times fewer multiply-adds"
    chosen = median(rows, "operations_ratio_with_choice")
    text += f" ({chosen:.1f} times with the choosing)" if chosen else ""
    text += f", and is {times(time, 'the fused dense one')}"
    if len({r.setting["method"] for r in rows}) > 1:
        best_way = times(max(values(rows, "latency_ratio")))
        text += f" (in the median; the fastest of the ways tried is {best_way})"
    text += ". To choose the best keys it has to compute all N x N scores first"
    others = [
        r for r in read("sparsity.attention") if r.setting["tokens"] >= 1024 and "latency_ratio" in r.figures
    ]
    if others:
        best = max(others, key=lambda r: r.figures["latency_ratio"])
        text += (
            ". What does pay is to choose without looking at all scores: "
            f"{METHODS[best.setting['method']]} is up to {best.figures['latency_ratio']:.1f} "
            f"times as fast at {best.setting['tokens']:,} tokens ({100 * best.setting['share']:.3g} % kept)"
        )
    return sentence("{text}.", *rows, text=text)


def exit_sentence() -> Any:
    """Claim A21: mean, median and tail of the cost with early exit."""
    parts = []
    names = {"assistant": "the assistant", "video": "the video network with all tokens"}
    rows = read("sparsity.early_exit")
    for model, name in names.items():
        here = [r for r in rows if r.setting["model"] == model]
        if not here:
            continue
        cost, p50, p95 = (median(here, key) or 0.0 for key in ("mean_cost_ratio", "p50_ratio", "p95_ratio"))
        tail = "the slowest are **slower** than before" if p95 < 0.98 else "the slowest gain nothing"
        if p95 > 1.02:
            tail = "the slowest gain less" if p95 < p50 else "the slowest gain as much"
        parts.append(
            f"on {name} a request takes **{100 * cost:.0f} %** of the multiply-adds on average, and is "
            f"{p50:.2f} times as fast at the median and {p95:.2f} times at the 95th percentile: {tail}"
        )
    if not parts:
        return Markdown(NOT_YET)
    text = "; ".join(parts)
    return sentence("{text}.", *rows, text=text[0].upper() + text[1:])


def experts_sentence() -> Any:
    """Claim C16: energy, and what a mixture is in time; and what the term against imbalance is for."""
    rows = read("sparsity.moe")
    energy, one = median(rows, "energy_ratio"), median(rows, "latency_ratio")
    if energy is None or one is None:
        return Markdown(NOT_YET)
    text = (
        f"Against a dense network with as many parameters a mixture takes {energy:.2f} times less energy "
        f"in the median (simulated, by a model that counts operations and bytes), and is {times(one)} for "
        "one picture"
    )
    many = median(rows, "latency_ratio_64")
    text += f", {times(many)} for 64" if many is not None else ""
    loads = {r.setting["alpha"]: r.figures["busiest"] for r in read("sparsity.moe_balance")}
    if 0.0 in loads and len(loads) > 1:
        kept = min(value for alpha, value in loads.items() if alpha)
        text += (
            f". Without the term against imbalance the busiest expert is given {loads[0.0]:.1f} times its "
            f"fair share, with it {kept:.1f} times"
        )
    return Markdown(f"{text}. *(measured and simulated)*")


def separable_sentence() -> Any:
    """Claim B4 in operations, parameters and time."""
    rows = read("sparsity.separable")
    if not rows:
        return Markdown(NOT_YET)
    macs, parameters, time = (
        median(rows, f"{key}_ratio") or 0.0 for key in ("macs", "parameters", "latency")
    )
    text = (
        f"Taken apart, the first layer has {parameters:.1f} times fewer parameters and does {macs:.1f} times "
        f"fewer multiply-adds; by the clock it is {times(time)} on pictures of 64 x 64 pixels"
    )
    tiny = median(rows, "latency_ratio_8")
    text += f", and {times(tiny)} on the digits themselves, of 8 x 8" if tiny is not None else ""
    return sentence("{text}.", *rows, text=text)


def reveal_faster(guess: Guess) -> Any:
    """The first guess beside the measurement."""
    rows = _headline()
    found = median(rows, "latency_ratio")
    if found is None:
        return Markdown(NOT_YET)
    macs = median(rows, "flops_ratio")
    return guess.reveal(round(found, 1), f"With {macs:.1f} times fewer multiply-adds, choosing included.")


def reveal_hiding(guess: Guess) -> Any:
    """The second guess beside the measurement."""
    found = median(read("sparsity.mask", tokens=KEPT), "latency_ratio")
    if found is None:
        return Markdown(NOT_YET)
    answer = next(said for said, least in HIDING.items() if found >= least)
    return guess.reveal(answer, f"{found:.2f} times as fast as with all tokens.")
