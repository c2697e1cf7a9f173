"""Chapter 5's results: rows as tables and explorers. Nothing is measured here, and nothing typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import chain, order_rows, thinning
from neurolab import pruning_pictures as pictures
from neurolab.explore import Choice, Explorer
from neurolab.measurements import Measurement, read
from neurolab.quantization_rows import NOT_YET, by, markdown, spread, values

SINGLE = ("magnitude", "wanda")
CALLS = {"a question of 18 pieces": False, "one more piece": True}
PARTS = {"float": "in floats", "int8": "8 bits", "pruned": "+ pruned", "distilled": "+ distilled"}
PARTS |= {"student": "the same with a smaller student"}


def pruned(method: str, tuned: bool, schedule: str | None = None) -> list[Measurement]:
    """Rows of compression.prune of one method, with or without training afterwards, by sparsity."""
    found = [
        row
        for row in read("compression.prune", method=method, tuned=tuned)
        if schedule is None or row.setting["schedule"] == schedule
    ]
    return sorted(found, key=lambda row: row.setting["sparsity"])


def untuned() -> Any:
    """Right answers after pruning single weights with no training: rows are methods, columns sparsities."""
    lines = []
    columns = sorted({row.setting["sparsity"] for m in SINGLE for row in pruned(m, False)})
    for method in SINGLE:
        at = by(pruned(method, False), "sparsity")
        if at:
            cells = [spread(values(at.get((s,), []), "exact_match"), 1, 100) for s in columns]
            lines.append([{"magnitude": "by size", "wanda": "by Wanda"}[method], *cells])
    return markdown(["right answers (%) at zeros of", *(f"{100 * s:.0f} %" for s in columns)], lines)


def control(steps: int) -> list[Measurement]:
    """The float controls of so many steps."""
    return read("compression.control", steps=steps)


def behind(row: Measurement) -> float | None:
    """Points behind the mean float control of equal steps; None without one."""
    there = values(control(row.setting["steps"]), "exact_match")
    return 100 * (float(np.mean(there)) - row.figures["exact_match"]) if there else None


def tuned() -> Any:
    """Pruned and trained on: at once or gradually, beside the float control of equal steps."""
    lines = []
    rows = [row for method in SINGLE for row in pruned(method, True)]
    keys = by(rows, "sparsity", "schedule", "method", "steps")
    for (sparsity, schedule, method, steps), here in sorted(keys.items(), key=lambda one: one[0]):
        lost = [x for row in here if (x := behind(row)) is not None]
        lines.append(
            [
                f"{100 * sparsity:.0f} %",
                {"one_shot": "at once", "gradual": "gradually"}.get(schedule, schedule),
                {"magnitude": "size", "wanda": "Wanda"}[method],
                steps,
                f"**{spread(values(here, 'exact_match'), 1, 100)}**",
                spread(lost, 2),
                spread(values(here, "bits_per_answer_byte"), 4),
            ]
        )
    heads = ["zeros", "pruned", "chosen by", "steps", "right (%)", "points below the control"]
    return markdown([*heads, "bits per answer byte"], lines)


def _wholest(one: tuple[tuple[Any, ...], Any]) -> int:
    """Sorts settings (layers, heads, channels): those first of which most is left."""
    layers, heads, channels = one[0]
    return -int(layers * (heads * 128 + 2 * channels))


def structured() -> Any:
    """Whole parts taken out: what is left, multiply-adds saved, quality before and after training."""
    rows = [
        r
        for r in read("compression.prune")
        if r.setting["method"].startswith("structured")
        and r.setting.get("importance", "measured") == "measured"
    ]
    lines = []
    keys = by(rows, "layers", "heads", "channels")
    for (layers, heads, channels), here in sorted(keys.items(), key=_wholest):
        before = [r for r in here if not r.setting["tuned"]]
        after = [r for r in here if r.setting["tuned"]]
        longest = [r for r in after if r.setting["steps"] == max(a.setting["steps"] for a in after)]
        steps = longest[0].setting["steps"] if longest else ""
        lost = [x for row in longest if (x := behind(row)) is not None]
        lines.append(
            [
                layers, heads, channels,
                " / ".join(spread(values(here, key)[:1], 2) for key in ("mac_ratio", "mac_ratio_token")),
                spread(values(before, "exact_match"), 1, 100),
                steps,
                f"**{spread(values(longest, 'exact_match'), 1, 100)}**" if longest else "",
                spread(lost, 2),
            ]
        )  # fmt: skip
    heads_ = ["layers", "heads a layer", "channels a layer"]
    heads_ += ["times fewer multiply-adds (question / one piece)"]
    heads_ += ["right, untrained (%)", "steps", "right, trained (%)", "points below the control"]
    return markdown(heads_, lines)


def _two_lines(label: str) -> str:
    """A label broken before its last part: a phone is narrow."""
    return "<br>".join(label.rsplit(", ", 1))


def speed_explorer() -> Any:
    """Measured speed of zeros and of missing parts, beside the multiply-adds that they save."""
    rows = read("compression.prune_speed")
    found = {r: [row for row in rows if row.setting["runtime"] == r] for r in ("torch", "onnxruntime")}
    if not all(found.values()):
        return Markdown(NOT_YET)
    names = {"PyTorch": "torch", "ONNX Runtime": "onnxruntime"}

    def compute(runtime: str, call: str) -> dict[str, Any]:
        bars = thinning.speed_bars(rows, names[runtime], CALLS[call])
        ratio = np.array(bars["ratio"])
        best = int(ratio.argmax())
        worst = int(ratio.argmin())
        return {
            "label": [_two_lines(label) for label in bars["label"]],
            "y": np.arange(len(ratio)),
            "ratio": ratio,
            "above": np.array(bars["high"]) - ratio,
            "below": ratio - np.array(bars["low"]),
            "multiply_adds": np.array(bars["multiply_adds"]),
            "words": f"{runtime}, {call}: {bars['label'][best]} {ratio[best]:.1f} times as fast, "
            f"{bars['label'][worst]} {ratio[worst]:.2f} times",
        }

    return Explorer(
        compute,
        pictures.speeds,
        controls={"runtime": Choice(*names), "call": Choice(*CALLS)},
        changes=pictures.SPEEDS_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="What zeros and missing parts are worth in time",
        alt="Dots on a logarithmic scale: zeros in the dense kernel stand at 1 whatever their share, sparse "
        "rows around 1, models with layers, heads and channels taken out clearly to the right of it.",
        caption="Diamonds say how many multiplications are gone, dots how much time. Which dots reach their "
        "diamond? Then change the runtime.",
    )


def distilled() -> Any:
    """The small student on hard and on soft labels (claim B3)."""
    lines = [
        [
            r.setting["seed"],
            f"{r.figures['parameters']:,}",
            r.setting["steps"],
            f"{100 * r.figures['exact_match_hard']:.1f}",
            f"{100 * r.figures['exact_match_soft']:.1f}",
            f"**{r.figures['exact_match_gain_points']:+.1f}**",
        ]
        for r in sorted(read("compression.distill"), key=lambda r: r.setting["seed"])
    ]
    return markdown(["seed", "weights", "steps", "hard labels (%)", "soft labels (%)", "gained"], lines)


def huffman() -> Any:
    """Whole files with fixed width, Huffman and ANS: bits by bits, zeros by zeros (claims A11, A12)."""
    rows = sorted(
        read("compression.huffman"),
        key=lambda r: (-r.setting["bits"], r.setting["sparsity"], r.setting["steps"]),
    )
    lines = [
        [
            r.setting["bits"],
            f"{100 * r.setting['sparsity']:.0f} %",
            r.setting["steps"] or "none",
            *(f"{r.figures[key]:,}" for key in ("packed_bytes", "bytes", "ans_bytes")),
            f"**{r.figures['ratio_gain_percent']:+.0f} %**",
            f"{r.figures['size_ratio']:.1f}",
            f"{100 * r.figures['exact_match']:.1f}",
        ]
        for r in rows
    ]
    heads = ["bits", "zeros", "steps after pruning", "fixed width (bytes)", "Huffman", "ANS"]
    return markdown([*heads, "ratio gained by Huffman", "times smaller", "right (%)"], lines)


def front_explorer() -> Any:
    """Bits x sparsity -> right answers and bytes, with the Pareto front: rounded and pruned, not trained."""
    rows = read("compression.pareto")
    if not rows:
        return Markdown(NOT_YET)
    at = {(r.setting["bits"], r.setting["sparsity"]): r.figures for r in rows}
    bits, zeros = (sorted({key[i] for key in at}) for i in (0, 1))
    every = sorted((f["bytes"] / 1000, 100 * f["exact_match"]) for f in at.values())
    best: list[tuple[float, float]] = []
    for x, y in every:
        if not best or y > best[-1][1]:
            best.append((x, y))
    shares = {f"{100 * z:.0f} %": z for z in zeros}

    def compute(bits: int, zeros: str) -> dict[str, Any]:
        f = at[bits, shares[zeros]]
        x, y = f["bytes"] / 1000, 100 * f["exact_match"]
        better = [(a, b) for a, b in every if a <= x and b >= y and (a, b) != (x, y)]
        said = (
            "nothing here is both smaller and better" if not better else f"smaller and as good: {len(better)}"
        )
        return {
            "all x": np.array([a for a, _ in every]), "all y": np.array([b for _, b in every]),
            "front x": np.array([a for a, _ in best]), "front y": np.array([b for _, b in best]),
            "x": np.array([x]), "y": np.array([y]),
            "words": f"{bits} bits, {zeros} zeros: {y:.1f} % right, {f['bytes']:,} bytes "
            f"({f['size_ratio']:.1f} times smaller); {said}",
        }  # fmt: skip

    return Explorer(
        compute,
        pictures.front,
        controls={"bits": Choice(*bits, value=4 if 4 in bits else bits[0]), "zeros": Choice(*shares)},
        changes=pictures.FRONT_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="How many bits, how many zeros?",
        alt="Right answers over bytes on disk, one dot for each pair of bits and share of zeros; the best of "
        "them form a staircase, whose upper steps have few zeros.",
        caption="Guess first: to save 150,000 bytes from 4 bits without zeros, is it better to take a bit "
        "from each weight, or to set half of them to zero? Then find the points on the green line.",
    )


def orders(name: str = "compression.order") -> Any:
    """The six orders with their spread over seeds, for each model that was measured."""
    lines = []
    for row in read(name):
        for entry in order_rows.table(row):
            sd = f"{100 * entry['exact_match']:.2f} ± {100 * entry['exact_match_sd']:.2f}"
            size = f"{entry['bytes']:,.0f}" if entry["bytes"] else ""
            lines.append([row.setting["model"], entry["said"], row.figures["seeds"], sd, size])
    return markdown(["network", "order", "seeds", "right (%), mean ± deviation of a seed", "bytes"], lines)


def chain_table() -> Any:
    """E1's chain on both networks, each trained step beside its control."""
    rows = read("compression.chain")
    lines = []
    for model in chain.SEEDS:
        for entry in chain.table(model, rows):
            sd = "" if entry["exact_match_sd"] is None else f" ± {100 * entry['exact_match_sd']:.2f}"
            lines.append(
                [
                    model,
                    PARTS[entry["step"]],
                    entry["seeds"],
                    f"{entry['bytes']:,.0f}",
                    f"**{entry['size_ratio']:.1f}**",
                    f"{entry['packed_ratio']:.1f}",
                    f"{100 * entry['exact_match']:.2f}{sd}",
                    f"{100 * entry['control_exact_match']:.2f}",
                ]
            )
    heads = ["network", "step", "seeds", "bytes", "times smaller", "without a coder", "right (%)"]
    return markdown([*heads, "control of equal steps (%)"], lines)


def files(found: Sequence[tuple[str, dict[str, Any]]]) -> Any:
    """What the shipped files hold: bits a weight, zeros among the codes, and their rows' quality."""
    lines = []
    for name, f in found:
        rows = read("compression.headline", target=name)
        right = spread(values(rows, "exact_match"), 1, 100)
        lines.append(
            [
                f"{name}.nlab",
                f"{f['bytes']:,}",
                f"{f['bits']:.2f}",
                f"**{100 * f['zeros']:.0f}**",
                f"{f['most']:.0f}",
                right,
                len(rows) or "",
            ]
        )
    heads = ["file", "bytes", "bits a weight", "zeros (%)", "zeros in the emptiest matrix (%)"]
    return markdown([*heads, "right (%)", "seeds"], lines)
