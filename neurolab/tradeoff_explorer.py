"""The centrepiece of chapter 8: three sliders (T, bits, sparsity) -> all figures of that point.

What a chapter needs of it:

    explorer()               the figure with its sliders; in a notebook with a button that measures the chosen
                             point on the reader's machine. In the book a line of text while there are no rows
    front_table()            the points that no other beats, up to POINTS behind 8 bits, as a table (Markdown)
    best(points, what)       the cheapest point that loses at most so many points of exact match against 8
                             bits, as a dict: T, bits, sparsity, exact_match (%), lost (points), file and
                             energy (times better than 8 bits; energy None without its row); None: there is
                             no such row. what: "file" or "energy"

Rows: tradeoff.point (measured), tradeoff.energy (simulated), tradeoff.latency; see `neurolab.tradeoff`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import tradeoff
from neurolab import tradeoff_pictures as pictures
from neurolab.attention_rows import table
from neurolab.controls import Choice
from neurolab.explore import Explorer
from neurolab.measurements import read
from neurolab.paths import static
from neurolab.tradeoff import BITS, REAL, SPARSITIES, T_VALUES
from neurolab.tradeoff_front import (
    EIGHT,
    ENERGY,
    Place,
    Point,
    best_points,
    latencies,
    lost,
    point,
    points,
    saved,
)
from neurolab.tradeoff_words import WHAT, named, percent, shown, times

NOT_YET = "*(not measured yet: `neurolab sweep tradeoff` does it)*"
TIMES, POINTS = 5.0, 3.0
"""The article's targets: five times less memory and energy, at most three points worse."""
TRAINED = {"ptq12": "chapter 4, not trained", "qat18": "trained, 18x", "qat28": "trained, 28x"}
FIRST: Place = (16, 4, 0.3)


class Slider(Choice):
    """A choice of values that is drawn as a slider."""

    def wire(self, name: str) -> dict[str, Any]:
        """What the browser needs to draw this control."""
        return super().wire(name) | {"kind": "range"}


def _clouds(found: dict[Place, Point]) -> dict[str, Any]:
    """What stands still: all points, the fronts, the trained networks, the targets."""
    some = list(found.values())
    shown: dict[str, Any] = {
        "all x": np.array([one.file for one in some]),
        "all y": np.array([one.right for one in some]),
        "all": [named(one, f", {one.file:.2f} times smaller") for one in some],
    }
    reach = [TIMES]
    for way in ENERGY:
        there = [(one, s) for one in some if (s := saved(one, way)) is not None]
        shown |= {
            f"{way} x": np.array([s for _, s in there]),
            f"{way} y": np.array([one.right for one, _ in there]),
            way: [named(one, f", as {way} {s:.2f} times less energy") for one, s in there],
        }
        reach += [s for _, s in there]
    for name, what in (("front", "file"), ("energy front", "energy")):
        best = best_points(some, what)
        shown[f"{name} x"] = np.array([saved(one, what) for one in best], float)
        shown[f"{name} y"] = np.array([one.right for one in best])
    shown |= _trained(found)
    shown["widest"] = max([TIMES, *shown["all x"], *shown["trained x"]])
    start = found[EIGHT].right if EIGHT in found else 100.0
    return shown | {
        "times": TIMES, "least": start - POINTS, "span": [min(0.1, *reach) / 1.2, max(10.0, *reach) * 1.2],
    }  # fmt: skip


def _trained(found: dict[Place, Point]) -> dict[str, Any]:
    """The files of chapters 4 and 5 in the same units; asked all held-out questions, not 500."""
    rows = {r.setting["target"]: r.figures for r in read("compression.headline")}
    rows = {name: f for name, f in rows.items() if name in TRAINED and EIGHT in found}
    unit = 1.0
    if EIGHT in found:
        unit = found[EIGHT].file / found[EIGHT].figures["file_ratio_vs_fp32"]
    return {
        "trained x": np.array([unit * f["size_ratio"] for f in rows.values()]),
        "trained y": np.array([100 * f["exact_match"] for f in rows.values()]),
        "trained": [f"{TRAINED[name]}: {100 * f['exact_match']:.1f} % right" for name, f in rows.items()],
    }


def explorer() -> Any:
    """Three sliders -> file, energy, operations and quality of the point, among all points measured."""
    found = points()
    if not found and static():
        return Markdown(NOT_YET)
    yours: dict[Place, Point] = {}
    timed = latencies()
    cloud = _clouds(found) | {"what": list(WHAT)}
    axes = [sorted({place[i] for place in found}, key=_order) for i in range(3)]  # type: ignore[arg-type]
    T, bits, zeros = (
        some if len(some) > 1 else list(every)
        for some, every in zip(axes, (T_VALUES, BITS, SPARSITIES), strict=True)
    )

    def compute(T: int | str, bits: int, sparsity: int) -> dict[str, Any]:
        place = (T, bits, sparsity / 100)
        one = yours.get(place) or found.get(place)
        return cloud | shown(one, lost(one, found) if one else None, timed, place in yours)

    first = FIRST if FIRST in found else next(iter(found), FIRST)
    widget = Explorer(
        compute,
        pictures.points,
        controls={
            "T": Slider(*T, value=first[0], label="T (ticks a number)"),
            "bits": Slider(*bits, value=first[1], label="bits of a weight"),
            "sparsity": Slider(*map(percent, zeros), value=percent(first[2]), label="zeros", unit="%"),
        },
        changes=pictures.CHANGES,
        describe=lambda r: r["words"] + ".",
        gaps=("file x", "file y", "energy x", "energy y"),
        title="T, bits, zeros: what each saves and what it costs",
        alt="Above, right answers over how many times smaller the file is than with 8 bits; below it, "
        "over how many times less energy a token takes, as spikes and as numbers. Every point of the sweep "
        "is a dot, those that no other beats are joined, dashed lines are the article's targets, and a "
        "diamond is the point chosen. At the bottom, bars of that point: file, operations, energy, time.",
        caption="Dashed: five times less, at most three points lost. Can you bring both diamonds into the "
        "upper right corner? Then put T on real: which of the three sliders buys the file, which one the "
        "energy, and where do the blue dots end?",
    )
    return widget if static() else with_button(widget, yours, found)


def _order(value: Any) -> float:
    return math.inf if value == REAL else float(value)


def measured(place: Place, progress: Callable[[float], None] | None = None) -> Point:
    """A point, measured here now: its file made (or taken from an earlier time), then all asked."""
    say = progress or (lambda share: None)
    say(0.05)
    tradeoff.file(place[1], place[2])
    say(0.5)
    figures = tradeoff.compute(*place)
    say(1.0)
    return point(place, figures, tradeoff.energies(figures["counts"]))


def with_button(widget: Explorer, yours: dict[Place, Point], found: dict[Place, Point]) -> Any:
    """The explorer, and under it a button that measures the chosen point on this machine."""
    import ipywidgets as w

    button = w.Button(
        description="Measure this point here", button_style="primary", layout={"width": "15rem"}
    )
    bar = w.FloatProgress(0.0, min=0.0, max=1.0, layout={"width": "14rem"})
    note = w.HTML('<span role="status">about a quarter of a minute</span>')

    def measure(_: Any = None) -> None:
        button.disabled, bar.value = True, 0.0
        note.value = '<span role="status">measuring</span>'
        values = widget.controls_values
        place = (values["T"], values["bits"], values["sparsity"] / 100)
        began = time.perf_counter()
        try:
            one = yours[place] = measured(place, lambda share: setattr(bar, "value", share))
            said = f"{time.perf_counter() - began:.0f} seconds: {one.right:.1f} % right"
            if place in found:
                said += f"; the course's row says {found[place].right:.1f} %"
            note.value = f'<span role="status">{said}</span>'
        except (RuntimeError, ValueError, OSError) as error:  # a full disk must not end the lesson
            note.value = f'<span role="alert">stopped: {error}</span>'
        finally:
            button.disabled = False
        widget.refresh()

    button.on_click(measure)
    return w.VBox([widget, w.HBox([button, bar, note])])


def front_table() -> Any:
    """The points that no other beats and that lose at most POINTS against 8 bits, as a table."""
    found = points()
    lines = []
    for what in ("file", "energy"):
        for one in best_points(found.values(), what):
            behind = lost(one, found)
            if behind is not None and behind <= POINTS:
                ways = (saved(one, way) for way in ENERGY[::-1])
                lines.append([
                    what, one.T, one.bits, f"{percent(one.sparsity)} %", f"{one.right:.1f}", f"{behind:.1f}",
                    f"{one.file:.2f}", *("" if s is None else f"{s:.2f}" for s in ways),
                ])  # fmt: skip
    heads = ["best in", "T", "bits", "zeros", "right, %", "points lost", "file, x"]
    heads += ["energy as numbers, x", "as spikes, x"]
    note = "*(times better than 8 bits that are not coded, below 1: worse; file and right answers measured, "
    note += "energy simulated)*"
    return Markdown(f"{table(heads, lines)}\n\n{note}{_least_energy(found)}" if lines else NOT_YET)


def _least_energy(found: dict[Place, Point]) -> str:
    """The least energy within POINTS, as numbers and as spikes, in a sentence; "" where one is not known."""
    near = [one for one in found.values() if (behind := lost(one, found)) is not None and behind <= POINTS]
    best = [max((s for one in near if (s := saved(one, way)) is not None), default=None) for way in ENERGY]
    if None in best:
        return ""
    spikes, numbers = (times(s) for s in best if s is not None)
    return (
        f"\n\nWithin {POINTS:g} points a token takes at best **{numbers}** energy than with 8 bits if it is "
        f"computed as numbers, and **{spikes}** as spikes. *(simulated)*"
    )


def best(points_lost: float = 1.0, what: str = "file") -> dict[str, Any] | None:
    """The cheapest point that loses at most so many points of exact match against 8 bits; None: no rows.

    ValueError for another `what` than "file" and "energy".
    """
    if what not in ("file", "energy"):
        raise ValueError(f"what is {what!r}; it must be file or energy")
    found = points()
    near = [p for p in found.values() if (d := lost(p, found)) is not None and d <= points_lost + 1e-9]
    there = [(s, p) for p in near if (s := saved(p, what)) is not None]
    if not there:
        return None
    one = max(there, key=lambda pair: (pair[0], pair[1].right))[1]
    return {
        "T": one.T, "bits": one.bits, "sparsity": one.sparsity, "exact_match": one.right,
        "lost": lost(one, found), "file": one.file, "energy": one.best_energy(),
    }  # fmt: skip
