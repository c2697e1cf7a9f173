"""Chapter 5's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from typing import Any

from IPython.display import Markdown

from neurolab import order_rows
from neurolab.guess import Guess
from neurolab.measurements import Measurement, read, sentence
from neurolab.pruning_rows import behind, pruned
from neurolab.quantization_rows import NOT_YET, by, spread, values


def _percent(row: Measurement) -> float:
    return 100 * float(row.figures["exact_match"])


def most_zeros(points: float = 1.0) -> float | None:
    """The largest share of zeros, in per cent, that costs at most `points` without training (by |w|)."""
    fine = [
        r.setting["sparsity"]
        for r in pruned("magnitude", False)
        if r.figures["exact_match_drop_points"] <= points
    ]
    return 100 * max(fine) if fine else None


def untuned_sentence() -> Any:
    """How far pruning goes without training, by size alone and by Wanda."""
    by_size, wanda = pruned("magnitude", False), pruned("wanda", False)
    if not by_size or not wanda:
        return Markdown(NOT_YET)
    both = {r.setting["sparsity"]: [r] for r in by_size}
    for row in wanda:
        both.setdefault(row.setting["sparsity"], []).append(row)
    pairs = [(s, _percent(a), _percent(b)) for s, (a, b) in ((s, v) for s, v in both.items() if len(v) == 2)]
    s, a, b = max(pairs, key=lambda one: abs(one[2] - one[1]))
    better = "Wanda" if b > a else "size alone" if a > b else "neither"
    limit = most_zeros()
    free = f"Up to **{limit:.0f}%** zeros cost at most a point" if limit else "Not even a tenth is free"
    return sentence(
        "{free}. The two ways to choose differ most at {s:.0f}% zeros: {a:.1f}% by size, {b:.1f}% by "
        "Wanda. There {better} "
        "chooses better.",
        *by_size,
        *wanda,
        free=free,
        s=100 * s,
        a=a,
        b=b,
        better=better,
    )


def tuned_sentence() -> Any:
    """What training after pruning brings, and what the control says."""
    rows = [r for r in pruned("magnitude", True, "one_shot") if r.setting["sparsity"] >= 0.7]
    if not rows:
        return Markdown(NOT_YET)
    fine = [(r, lost) for r in rows if (lost := behind(r)) is not None]
    good = [r for r, lost in fine if lost <= 2]
    best = max(good, key=lambda r: r.setting["sparsity"]) if good else None
    text = (
        f"With training, **{100 * best.setting['sparsity']:.0f}%** zeros cost {behind(best):.2f} points "
        "against "
        "a float control of as many steps"
        if best
        else "Even with training, 70% zeros or more cost over 2 points against an equal-steps float control"
    )
    gradual = by(pruned("magnitude", True, "gradual"), "sparsity", "steps", "seed")
    keys = by(rows, "sparsity", "steps", "seed")
    pairs = [(keys[key][0], gradual[key][0]) for key in keys if key in gradual]
    if pairs:
        won = sum(_percent(b) > _percent(a) for a, b in pairs)
        text += (
            f". Of {len(pairs)} pairs of equal steps, pruning gradually was better in {won}"
            if won
            else ". To prune gradually was never better than to prune at once and train for as long"
        )
    return sentence("{text}.", *rows, text=text)


def speed_of(runtime: str, **setting: Any) -> Measurement | None:
    """The row of compression.prune_speed of a runtime and a setting, or None."""
    found = read("compression.prune_speed", runtime=runtime, **setting)
    return found[0] if found else None


def zeros_speedup() -> float | None:
    """Times faster that 90 % zeros make a question in PyTorch's dense kernel."""
    row = speed_of("torch", sparsity=0.9)
    return None if row is None else round(float(row.figures["dense_kernel_speedup"]), 2)


def speed_sentence() -> Any:
    """Zeros in the dense kernel, in sparse rows, and missing parts, side by side."""
    row, cut = speed_of("torch", sparsity=0.9), speed_of("torch", layers=2, heads=4, channels=576)
    if row is None or cut is None:
        return Markdown(NOT_YET)
    f, g = row.figures, cut.figures
    return sentence(
        "In the dense kernel 90% zeros make a question {dense:.2f} times as fast (interval {low:.2f} to "
        "{high:.2f}); a "
        "multiplication by zero takes as long as any other. Kept as sparse rows it is {csr:.2f} times "
        "as fast. A smaller model, without scattered zeros but with {macs:.1f} times fewer multiply-adds, is "
        "**{parts:.1f} times as fast** ({plow:.1f} to {phigh:.1f}).",
        row,
        cut,
        dense=f["dense_kernel_speedup"],
        low=f["dense_kernel_speedup_low"],
        high=f["dense_kernel_speedup_high"],
        csr=f["csr_speedup"],
        macs=g["mac_ratio"],
        parts=g["structured_speedup"],
        plow=g["structured_speedup_low"],
        phigh=g["structured_speedup_high"],
    )


def structured_sentence() -> Any:
    """What the model at half the multiply-adds loses after training, over its seeds."""
    goal: dict[str, Any] = {"layers": 2, "heads": 4, "channels": 576, "importance": "measured"}
    rows = [r for r in read("compression.prune", **goal) if r.setting["tuned"]]
    rows = [r for r in rows if r.setting["steps"] == max(x.setting["steps"] for x in rows)]
    if not rows:
        return Markdown(NOT_YET)
    lost = [x for row in rows if (x := behind(row)) is not None]
    return sentence(
        "Two layers of four, four heads of five, 576 channels of 640: after {steps} steps of training "
        "it answers {right}% rightly, **{lost} points** below the whole assistant{control} (seeds: {n}).",
        *rows,
        control=f" and {spread(lost, 2)} below the control of equal steps" if lost else "",
        steps=rows[0].setting["steps"],
        right=spread(values(rows, "exact_match"), 1, 100),
        lost=spread(values(rows, "exact_match_drop_points"), 2),
        n=len(rows),
    )


def distil_sentence() -> Any:
    """Whether soft labels helped the small student (claim B3)."""
    rows = read("compression.distill")
    if not rows:
        return Markdown(NOT_YET)
    gains = values(rows, "exact_match_gain_points")
    verdict = "for every seed" if min(gains) > 0 else "for no seed" if max(gains) <= 0 else "for some seeds"
    return sentence(
        "Soft labels gain {gain} points, and help {verdict}.",
        *rows,
        gain=spread(gains, 1),
        verdict=verdict,
    )


def huffman_sentence() -> Any:
    """Claim A11: what Huffman adds, over bits and zeros."""
    rows = read("compression.huffman")
    if not rows:
        return Markdown(NOT_YET)
    dense = [r for r in rows if r.setting["sparsity"] == 0]
    most = max(rows, key=lambda r: r.setting["sparsity"] * 100 - r.setting["bits"])
    gains = values(dense or rows, "ratio_gain_percent")
    zeros = "" if dense else " (rows without zeros are not measured yet)"
    late = 100 * (most.figures["bytes"] / most.figures["ans_bytes"] - 1)
    return sentence(
        "With nothing pruned{unmeasured} Huffman gains {low:.0f} to {high:.0f}% over fixed width, depending "
        "on the bits. At {bits} bits and {zeros:.0f}% zeros it gains {most:.0f}%, and yet its file is "
        "**{late:.0f}% larger** than that of ANS.",
        *rows,
        low=min(gains),
        high=max(gains),
        bits=most.setting["bits"],
        zeros=100 * most.setting["sparsity"],
        most=most.figures["ratio_gain_percent"],
        unmeasured=zeros,
        late=late,
    )


def front_sentence() -> Any:
    """What the grid of bits and zeros says: how many zeros the good pairs have, and zeros that are free."""
    rows = read("compression.pareto")
    if not rows:
        return Markdown(NOT_YET)
    at = {(r.setting["bits"], r.setting["sparsity"]): r for r in rows}
    top = max(map(_percent, rows))
    good = [r for r in rows if _percent(r) >= top - 1]
    least = min(good, key=lambda r: r.figures["bytes"])
    same = max(
        (
            (s, b)
            for (b, s), r in at.items()
            if s and (b, 0.0) in at and r.figures["bytes"] == at[b, 0.0].figures["bytes"]
        ),
        default=None,
    )
    free = (
        f" And with {same[1]} bits it makes no difference at all whether {100 * same[0]:.0f}% are set to "
        "zero first: the file has the same length, because those weights become zeros anyway."
        if same
        else ""
    )
    return sentence(
        "The smallest file within a point of the best has **{bits} bits and {zeros:.0f}% zeros**.{free}",
        *rows,
        bits=least.setting["bits"],
        zeros=100 * least.setting["sparsity"],
        free=free,
    )


def order_sentence() -> Any:
    """Claim B2: the range of the six orders against chance."""
    rows = read("compression.order")
    if not rows:
        return Markdown(NOT_YET)
    parts = []
    for row in rows:
        f = row.figures
        last = order_rows.last_stage(row)
        best = max(last, key=lambda stage: last[stage])
        parts.append(
            f"on the {row.setting['model']} best and worst order are {f['range']:.2f} points apart, "
            f"**{f['range_over_seed_sd']:.1f} times** the deviation of a seed; six orders that differ "
            "by nothing "
            f"would come out {f['chance_median']:.1f} times apart in half of all experiments, "
            f"and shuffled names as far apart as these in {100 * f['p_shuffled']:.0f} of 100. Best is "
            f"to {best} last"
        )
    return sentence("{parts}.", *rows, parts="; ".join(parts).replace("on the", "On the", 1))


def reveal_zeros(guess: Guess) -> Any:
    """The first guess beside the measurement."""
    limit = most_zeros()
    return guess.reveal(limit, "By size, layer by layer, no training.") if limit else Markdown(NOT_YET)


def reveal_speed(guess: Guess) -> Any:
    """The second guess beside the measurement."""
    found = zeros_speedup()
    return guess.reveal(found, "PyTorch, one thread, one question.") if found else Markdown(NOT_YET)
