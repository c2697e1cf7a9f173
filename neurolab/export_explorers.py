"""Chapter 7's explorers of rows, and the button that measures the same on the reader's machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import export_live as live
from neurolab import export_pictures as pictures
from neurolab import sparsity_charts as charts
from neurolab.explore import Choice, Explorer
from neurolab.export_rows import NOT_YET, PRECISIONS, RUNTIMES, both, speeds
from neurolab.export_words import fastest_of
from neurolab.measurements import read
from neurolab.paths import static
from neurolab.sparsity_rows import median


def places_explorer() -> Any:
    """Each file here and in a browser."""
    names = both()
    if not names:
        return Markdown(NOT_YET)
    here, browser = speeds("here"), speeds("browser")
    result = {
        "format": [PRECISIONS[name] for name in names],
        "here": np.array([here[name] for name in names]),
        "browser": np.array([browser[name] for name in names]),
    }
    return Explorer(
        lambda: result,
        pictures.two_places,
        title="The same files, twice",
        alt="For each file two bars from a line that stands for floats: how many times as fast it is on this "
        "processor, and in a browser on the same machine. To the right is faster, to the left slower.",
        caption="One token each. Both bars of a pair are the same file, on the same machine, in the same "
        "library. Which file would you have put on the phone after the blue bars, which after "
        "the red ones?",
    )


def width_explorer() -> Any:
    """From which size on fewer bits pay: networks of random weights, as wide as each row says."""
    rows = read("export.width", what="step")
    lines = {name: [r for r in rows if r.setting["format"] == name] for name in PRECISIONS}
    lines = {name: sorted(some, key=lambda r: r.setting["width"]) for name, some in lines.items() if some}
    if not lines:
        return Markdown(NOT_YET)
    shown: dict[str, Any] = {
        "names": [PRECISIONS[name] for name in lines],
        "x name": "width (the assistant: 160)",
        "y name": "times as fast as floats",
        "log": "x",
        "level": 1.0,
        "level name": "as fast as floats",
    }
    for name, some in lines.items():
        shown[f"{PRECISIONS[name]} x"] = np.array([float(r.setting["width"]) for r in some])
        shown[f"{PRECISIONS[name]} y"] = np.array([float(r.figures["ratio_vs_fp32"]) for r in some])
    return Explorer(
        lambda: shown,
        charts.curves,
        title="From which size on do fewer bits pay?",
        alt="Two rising lines over the width of a network: how many times as fast as with floats a token is "
        "with 8 and with 4 bits. Small networks gain little, wide ones much.",
        caption="One token each. Follow the lines from left to right. What does a small network spend its "
        "time on, if not on products?",
    )


# ---- runtime x precision ----------------------------------------------------------------------------------

SHIPPED, YOURS = "the course's", "yours"
Found = dict[live.Place, dict[str, float]]


def known() -> Found:
    """The rows as what the button measures: bytes, right and equal in %, step as times torch."""
    found: Found = {}
    for row in read("export.runtime", model="assistant"):
        f = row.figures
        place = (row.setting["runtime"], row.setting["precision"])
        found[place] = {
            "bytes": f["bytes"],
            **{k: v for k, v in (("step", over_torch(*place)),) if v is not None},
            **({"right": 100 * f["exact_match"]} if "exact_match" in f else {}),
        }
    return found


def over_torch(runtime: str, precision: str) -> float | None:
    """How many times as fast as torch a token is: the runtime's floats against torch, times the file against
    those floats. Files of one runtime are so compared with each other, not through torch's noise.
    """
    floats, here = (
        read("export.latency", runtime=runtime, format=name, what="step") for name in ("fp32", precision)
    )
    ours, gain = median(floats, "ratio_vs_torch"), median(here, "ratio_vs_fp32")
    if precision == "fp32" or ours is None or gain is None:
        return median(here, "ratio_vs_torch")
    return ours * gain


def bars(found: Found, runtime: str, precisions: list[str]) -> dict[str, Any]:
    """One runtime's bars: precision (P,), size (MB), fast, right (P,), 0 where unknown, and their texts."""
    some = [found.get((runtime, p), {}) for p in precisions]
    shown: dict[str, Any] = {"precision": [PRECISIONS[p] for p in precisions]}
    for name, key, scale, digits in (
        ("bytes", "size", 1e-6, 2),
        ("step", "fast", 1, 1),
        ("right", "right", 1, 1),
    ):
        shown[key] = np.array([scale * one.get(name, 0.0) for one in some])
        shown[f"{key} text"] = [f"{scale * one[name]:.{digits}f}" if name in one else "" for one in some]
    return shown


def _words(found: Found, runtime: str, where: str) -> str:
    mine = {p: f for (r, p), f in found.items() if r == runtime}
    title = RUNTIMES[runtime]
    if not mine:
        return f"{title}: nothing measured here yet; press the button"
    small = min(mine, key=lambda p: mine[p]["bytes"])
    text = f"{title}, {where}: the {'smallest' if len(mine) > 1 else 'only'} file here has "
    text += f"{PRECISIONS[small]}, {mine[small]['bytes']:,.0f} bytes"
    timed = [p for p in mine if "step" in mine[p]]
    if timed:
        speed = {p: mine[p]["step"] for p in timed}
        fast = [PRECISIONS[p] for p in fastest_of(speed, sorted(timed, key=list(PRECISIONS).index))]
        text += (
            f"; a token is fastest with {' or '.join(fast)}, {max(speed.values()):.1f} times as fast as torch"
        )
    return text


def runtimes_explorer() -> Any:
    """Runtime x precision -> bytes, speed, right answers; in a notebook with a button that measures here."""
    rows = known()
    if not rows and static():
        return Markdown(NOT_YET)
    yours: Found = {}
    first = SHIPPED if rows else YOURS
    there = [name for name in RUNTIMES if any(r == name for r, _ in rows)]
    there += (
        [] if static() else [name for name in dict.fromkeys(r for r, _ in live.here()) if name not in there]
    )
    precisions = {
        name: [p for p in PRECISIONS if (name, p) in rows or (not static() and (name, p) in live.here())]
        for name in there
    }

    def compute(runtime: str = RUNTIMES[there[0]], machine: str = first) -> dict[str, Any]:
        name = next(key for key, title in RUNTIMES.items() if title == runtime)
        found = rows if machine == SHIPPED else yours
        whose = "the course's machine" if machine == SHIPPED else "your machine"
        return bars(found, name, precisions[name]) | {"words": _words(found, name, whose)}

    titles = [RUNTIMES[name] for name in there]
    controls: dict[str, Any] = {"runtime": Choice(*titles)} if len(titles) > 1 else {}
    if not static():
        controls["machine"] = Choice(SHIPPED, YOURS, value=first)
    explorer = Explorer(
        compute,
        pictures.runtimes,
        controls=controls,
        changes=pictures.RUNTIMES_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="Runtime and precision",
        alt="Three rows of bars, one bar a precision: the file in megabytes, how many times as fast as torch "
        "a token is, and how many of the held-out questions are answered rightly.",
        caption="Go through the runtimes. In which of them is a smaller file also a faster one? And does any "
        "of them answer worse?",
    )
    return explorer if static() else with_button(explorer, yours)


def with_button(explorer: Explorer, yours: Found) -> Any:
    """The explorer, and under it a button that exports, asks and times everything on this machine."""
    import ipywidgets as w

    button = w.Button(description="Measure it here", button_style="primary")
    bar = w.FloatProgress(0.0, min=0.0, max=1.0, layout={"width": "14rem"})
    note = w.HTML('<span role="status">some minutes</span>')

    def measure(_: Any = None) -> None:
        button.disabled, bar.value = True, 0.0
        note.value = '<span role="status">measuring; leave the machine alone</span>'
        try:
            yours.update(live.measure(progress=lambda share: setattr(bar, "value", share)))
            note.value = '<span role="status">done</span>'
        except (RuntimeError, ValueError, OSError) as error:  # a full disk must not end the lesson
            note.value = f'<span role="alert">stopped: {error}</span>'
        finally:
            button.disabled = False
        explorer.set(machine=YOURS)
        explorer.refresh()

    button.on_click(measure)
    return w.VBox([explorer, w.HBox([button, bar, note])])
