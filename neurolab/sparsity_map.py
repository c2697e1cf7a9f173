"""Chapter 6's map of kernels: from the rows, and measured anew on the reader's machine by a button.

In each field, a size of the matrix and a share of blocks that are there, stands the fastest way to multiply,
and how many times as fast it is as the best dense product of the same precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import crossover
from neurolab import sparsity_charts as charts
from neurolab.explore import Choice, Explorer
from neurolab.measurements import read
from neurolab.paths import static
from neurolab.sparsity_rows import NOT_YET

NAMES = {
    "dense": "best dense",
    "block": "our blocks",
    "gather_bmm": "gather + bmm",
    "torch_bsr": "PyTorch BSR",
    "csr": "our CSR",
    "torch_csr": "PyTorch CSR",
}
PATTERNS = {"in blocks": "blocks", "scattered": "scattered"}
SHIPPED, YOURS = "the course's", "yours"
QUICK_SIZES, QUICK_DENSITIES = (256, 512, 1024), (0.05, 0.1, 0.25, 0.5, 0.75)
KERNELS = {"blocks": ("block", "torch_bsr", "torch_csr"), "scattered": ("csr", "torch_csr", "torch_bsr")}
"""What the button measures: the others are slower wherever we looked, and waiting is dull."""

Cells = dict[tuple[str, int, float, str], float]
"""(pattern, size, density, kernel) -> times as fast as the best dense product."""


def shipped() -> Cells:
    """The map of the rows sparsity.map."""
    return {
        (r.setting.get("pattern", "blocks"), r.setting["size"], r.setting["density"], r.setting["kernel"]):
        float(r.figures["latency_ratio"])
        for r in read("sparsity.map")
        if "latency_ratio" in r.figures
    }  # fmt: skip


def of(cells: Iterable[crossover.Cell]) -> Cells:
    """The map of what `crossover` measured."""
    return {(c.pattern, c.size, c.density, c.kernel): c.ratio.median for c in cells}


def fields(cells: Cells, pattern: str, sizes: list[int], densities: list[float]) -> dict[str, Any]:
    """best (D, S): the number in NAMES of the fastest, -1 where nothing was measured; text (D, S)."""
    kernels = list(NAMES)
    best = np.full((len(densities), len(sizes)), -1)
    text = [["" for _ in sizes] for _ in densities]
    for i, density in enumerate(densities):
        for j, size in enumerate(sizes):
            there = {
                k: cells[pattern, size, density, k] for k in kernels if (pattern, size, density, k) in cells
            }
            if not there:
                continue
            name = max(there, key=lambda k: there[k])
            best[i, j] = kernels.index(name) if there[name] > 1 else 0
            text[i][j] = f"{there[name]:.1f}x"
    return {"best": best, "text": text}


def _words(shown: dict[str, Any], where: str, pattern: str) -> str:
    won = int((shown["best"] > 0).sum())
    all_ = int((shown["best"] >= 0).sum())
    if not all_:
        return "Nothing measured here yet: press the button"
    ours = int((shown["best"] == 1).sum())
    whose = "your" if where == YOURS else where
    return (
        f"On {whose} machine, zeros {pattern}: a sparse kernel wins in {won} of {all_} fields, "
        f"our block kernel in {ours}"
    )


def kernel_map() -> Any:
    """The map; in a notebook with a button under it that measures the same on the reader's machine."""
    rows = shipped()
    if not rows and static():
        return Markdown(NOT_YET)
    yours: Cells = {}
    sizes: list[int] = sorted({key[1] for key in rows} or set(QUICK_SIZES))
    densities: list[float] = sorted({key[2] for key in rows} or set(QUICK_DENSITIES))
    axes = {"size": [str(s) for s in sizes], "density": [f"{100 * d:.0f} %" for d in densities]}

    def compute(zeros: str, machine: str = SHIPPED) -> dict[str, Any]:
        cells = rows if machine == SHIPPED else yours
        found = fields(cells, PATTERNS[zeros], sizes, densities)
        return axes | found | {"kernels": list(NAMES.values()), "words": _words(found, machine, zeros)}

    controls: dict[str, Any] = {"zeros": Choice(*PATTERNS)}
    if not static():
        controls["machine"] = Choice(SHIPPED, YOURS, value=SHIPPED if rows else YOURS)
    explorer = Explorer(
        compute,
        charts.winners,
        controls=controls,
        changes=charts.WINNERS_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="Which kernel wins where",
        alt="A map of sizes and densities: grey fields, where the best dense product wins, at high "
        "density; coloured ones, where a sparse kernel wins, at low density.",
        caption="In each field stands how many times as fast as the best dense product the best sparse one "
        "is. Follow a column upwards: at which share of blocks does it turn grey? Then scatter the zeros.",
    )
    return explorer if static() else _with_button(explorer, yours, sizes, densities)


def _with_button(explorer: Explorer, yours: Cells, sizes: list[int], densities: list[float]) -> Any:
    import ipywidgets as w

    button = w.Button(description="Measure it here", button_style="primary")
    bar = w.FloatProgress(0.0, min=0.0, max=1.0, layout={"width": "14rem"})
    said = w.HTML('<span role="status">about a minute</span>')

    def measure(_: Any = None) -> None:
        button.disabled, bar.value = True, 0.0
        said.value = '<span role="status">measuring; leave the machine alone</span>'
        pattern = PATTERNS[explorer.controls_values["zeros"]]
        try:
            cells = crossover.crossover(
                [size for size in sizes if size in QUICK_SIZES] or sizes,
                [share for share in densities if share in QUICK_DENSITIES] or densities,
                KERNELS[pattern],
                pattern,
                lambda share: setattr(bar, "value", share),
            )
            yours.update(of(cells))
            said.value = '<span role="status">done</span>'
        except (
            RuntimeError,
            ValueError,
        ) as error:  # a kernel that this machine lacks must not end the lesson
            said.value = f'<span role="alert">stopped: {error}</span>'
        finally:
            button.disabled = False
        explorer.set(machine=YOURS)
        explorer.refresh()

    button.on_click(measure)
    return w.VBox([explorer, w.HBox([button, bar, said])])
