"""What should I use? A table of devices and needs, each cell computed from rows; and what was left out.

For a notebook and the book:

    decisions.show()                     the table: one row a device, one column a need
    decisions.decide("phone", "file")    one cell: choice, figure, unit, kind, why, rows, or what it takes
    decisions.left_out()                 what the course left out on purpose, and why (a table)

`show` and `decide` take ``rows=`` (default: the shipped ones). A cell is settled only by rows; where none
were measured on the device (or cannot be, here) the cell says so, and what hardware would settle it.
`decisions_cells` tells which rows decide which cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from neurolab.decisions_cells import CELLS, Decision
from neurolab.left_out import LeftOut, left_out
from neurolab.measurements import Measurement, read

__all__ = ["DEVICES", "NEEDS", "Decision", "Decisions", "LeftOut", "decide", "left_out", "show"]

DEVICES = {
    "phone": "A phone",
    "laptop": "A laptop",
    "microcontroller": "A microcontroller",
    "chip": "A neuromorphic chip",
}
"""Names of the devices, as `decide` takes them, and as a reader meets them."""
NEEDS = {"file": "a small file", "latency": "low latency", "energy": "low energy"}
"""Names of the needs, as `decide` takes them, and as a reader meets them."""
OPEN = "Nothing measured here settles it"
STYLE = """<style>
.neurolab-decisions table{width:100%;border-collapse:collapse;font-size:.9rem;table-layout:fixed;
 margin:.4rem 0}
.neurolab-decisions th,.neurolab-decisions td{text-align:left!important;vertical-align:top;padding:.5rem;
 border-bottom:1px solid rgba(128,128,128,.45);background:transparent;color:inherit;white-space:normal;
 overflow-wrap:break-word;line-height:1.45}
.neurolab-decisions tbody th{width:7.5rem}.neurolab-decisions thead th:first-child{width:7.5rem}
.neurolab-decisions .choice{display:block;font-weight:600;border-left:.3rem solid #009E73;padding-left:.4rem}
.neurolab-decisions .simulated{border-left:.3rem dashed #E69F00}
.neurolab-decisions .open{border-left:.3rem dotted #808080;font-weight:400;font-style:italic}
.neurolab-decisions small{display:block;font-size:.82rem;margin-top:.2rem}
.neurolab-decisions .narrow{display:none}
@media (max-width:640px){.neurolab-decisions thead{position:absolute;width:1px;height:1px;overflow:hidden;
 clip-path:inset(50%)}
.neurolab-decisions table,.neurolab-decisions tbody,.neurolab-decisions tr,.neurolab-decisions td,
.neurolab-decisions tbody th{display:block;width:auto}
.neurolab-decisions td,.neurolab-decisions tbody th{border-bottom:0;padding:.25rem 0}
.neurolab-decisions tr{border-bottom:1px solid rgba(128,128,128,.45);padding:.6rem 0}
.neurolab-decisions tbody th{font-size:1.05rem}
.neurolab-decisions .narrow{display:block;font-size:.82rem}}
</style>"""


@dataclass(frozen=True)
class Decisions:
    """Cells of the table, device by device, need by need."""

    cells: Sequence[Decision]

    def _cell(self, device: str, need: str) -> Decision:
        return next(cell for cell in self.cells if (cell.device, cell.need) == (device, need))

    def _repr_html_(self) -> str:
        heads = "".join(f'<th scope="col">{escape(words)}</th>' for words in ("", *NEEDS.values()))
        body = "".join(
            f'<tr><th scope="row">{escape(words)}</th>'
            + "".join(f"<td>{_html(self._cell(device, need))}</td>" for need in NEEDS)
            + "</tr>"
            for device, words in DEVICES.items()
        )
        return (
            f'{STYLE}<div class="neurolab-decisions"><table><thead><tr>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _repr_markdown_(self) -> str:
        lines = ["| | " + " | ".join(NEEDS.values()) + " |", "|---" * (len(NEEDS) + 1) + "|"]
        for device, words in DEVICES.items():
            cells = [_markdown(self._cell(device, need)).replace("|", "\\|") for need in NEEDS]
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def __repr__(self) -> str:
        lines = []
        for cell in self.cells:
            lines.append(f"{DEVICES[cell.device]}, {NEEDS[cell.need]}: {_head(cell)}")
            lines.append(f"    {_rest(cell)}")
        return "\n".join(lines)


def _head(cell: Decision) -> str:
    """The choice with its figure and kind, or that there is none."""
    if cell.choice is None:
        return OPEN
    return f"{cell.choice}: {cell.figure:.3g} {cell.unit} ({cell.kind})"


def _rest(cell: Decision) -> str:
    why = f"{cell.why} ({cell.kind})" if cell.choice is None and cell.kind else cell.why
    return f"{why} {_needs(cell)}".strip()


def _needs(cell: Decision) -> str:
    if not cell.needs:
        return ""
    return f"{'To be sure' if cell.choice else 'To settle it'}: {cell.needs}."


def _html(cell: Decision) -> str:
    need = f'<span class="narrow">{escape(NEEDS[cell.need])}</span>'
    if cell.choice is None:
        head = f'<span class="choice open">{OPEN}.</span>'
        kind = f" <em>({cell.kind})</em>" if cell.kind else ""
        why = f"<small>{escape(cell.why, quote=False)}{kind}</small>"
    else:
        look = "choice simulated" if cell.kind == "simulated" else "choice"
        head = f'<span class="{look}">{escape(cell.choice, quote=False)}</span>'
        figure = f"{cell.figure:.3g} {cell.unit}"
        why = (
            f"<small>{escape(figure, quote=False)} <em>({cell.kind})</em></small>"
            f"<small>{escape(cell.why, quote=False)}</small>"
        )
    needs = f"<small>{escape(_needs(cell), quote=False)}</small>" if cell.needs else ""
    return _code(need + head + why + needs)


def _markdown(cell: Decision) -> str:
    head = _head(cell)
    return f"{f'**{head}**' if cell.choice else f'*{head}.*'} {_rest(cell)}"


def _code(html: str) -> str:
    """`command` as <code>command</code>."""
    parts = html.split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def decide(device: str, need: str, rows: Iterable[Measurement] | None = None) -> Decision:
    """The cell of a device and a need. ValueError names what is allowed where one of them is unknown."""
    if device not in DEVICES:
        raise ValueError(f"device is {device!r}; allowed are {', '.join(DEVICES)}")
    if need not in NEEDS:
        raise ValueError(f"need is {need!r}; allowed are {', '.join(NEEDS)}")
    return CELLS[device, need](read() if rows is None else list(rows))


def show(rows: Iterable[Measurement] | None = None) -> Decisions:
    """The whole table."""
    found = read() if rows is None else list(rows)
    return Decisions([CELLS[device, need](found) for device in DEVICES for need in NEEDS])
