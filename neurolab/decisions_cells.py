"""How each cell of "What should I use?" follows from rows: see `neurolab.decisions` for the table.

A cell is settled where rows decide it: a file's bytes are the same on every device, a time is that of the
machine that measured it, energy is a model's (`neurolab.energy`) and says so. Otherwise its `choice` is None,
`needs` says what it would take, and figure, kind and rows are those of the nearest thing measured, if any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from neurolab.decisions_energy import cheapest, counted, skipped
from neurolab.decisions_found import (
    Found,
    Rows,
    eight_bits_faster,
    fastest,
    in_browser,
    on_phones,
    smallest,
    steps_to_rest,
    whole_runs,
)
from neurolab.measurements import Measurement


@dataclass(frozen=True)
class Decision:
    """One cell. choice: what to use, or None where nothing measured here settles it.

    figure: the number that decides, in unit; kind: of its rows (measured, simulated; None without rows).
    why: a sentence.  needs: the hardware or measurement that would settle it (empty where nothing is left
    open).  rows: what it rests on. Without a choice, figure, kind and rows are the nearest thing's.
    """

    device: str
    need: str
    choice: str | None
    figure: float | None
    unit: str
    kind: str | None
    why: str
    needs: str
    rows: tuple[Measurement, ...]


def _settled(device: str, need: str, found: Found, why: str, needs: str) -> Decision:
    return Decision(device, need, found.name, found.figure, found.unit, found.kind, why, needs, found.rows)


def _open(device: str, need: str, nearest: Found | None, needs: str) -> Decision:
    if nearest is None:
        return Decision(device, need, None, None, "", None, "Nothing near it is measured either.", needs, ())
    why = f"Nearest: {nearest.why}"
    return Decision(device, need, None, nearest.figure, nearest.unit, nearest.kind, why, needs, nearest.rows)


MODEL_ONLY = "By a model of operations and memory, with no meter"
BOARD = "a board with its memory and its runtime (LiteRT for Microcontrollers, ExecuTorch), which is not here"
CHIP = "a neuromorphic chip with its tools (chapter 3 lists some), and a meter"


def phone_file(rows: Rows) -> Decision:
    """Bytes are bytes: the smallest file within the loss."""
    found = smallest(rows)
    if found is None:
        return _open(
            "phone", "file", None, "rows of `neurolab sweep compression` or `neurolab sweep headline`"
        )
    return _settled(
        "phone",
        "file",
        found,
        f"{found.why} Bytes are the same on every device; to run, it becomes floats or 8 bits again.",
        "",
    )


def laptop_file(rows: Rows) -> Decision:
    """The same file."""
    return replace(phone_file(rows), device="laptop")


def microcontroller_file(rows: Rows) -> Decision:
    """Its bytes are known; nothing here reads it on a microcontroller."""
    needs = f"a reader of the coded file for a microcontroller, and {BOARD}"
    return _open("microcontroller", "file", _with_name(smallest(rows)), needs)


def chip_file(rows: Rows) -> Decision:
    """A chip keeps synapses, not a coded file."""
    needs = f"{CHIP}; it keeps synapses of a fixed width, not a coded file"
    return _open("chip", "file", _with_name(smallest(rows)), needs)


def _with_name(found: Found | None) -> Found | None:
    return replace(found, why=f"{found.name}, {found.why}") if found else None


def phone_latency(rows: Rows) -> Decision:
    """Only phones settle what is fast on phones."""
    found = on_phones(rows)
    if found is not None:
        return _settled("phone", "latency", found, found.why, "")
    needs = "a phone: `neurolab phone --lan` measures it there, `neurolab measurements add` brings the rows"
    return _open("phone", "latency", in_browser(rows), needs)


def laptop_latency(rows: Rows) -> Decision:
    """The fastest on the machine that made the rows: of all networks over whole runs, and beside it the best
    runtime and precision for the assistant as it is."""
    runs, plain = whole_runs(rows), fastest(rows)
    found = runs or plain
    if found is None:
        return _open("laptop", "latency", None, "rows of `neurolab sweep export` from a laptop")
    if runs is not None and plain is not None:
        found = replace(
            runs, why=f"{runs.why} The assistant as it is: {plain.why}", rows=runs.rows + plain.rows
        )
    return _settled(
        "laptop",
        "latency",
        found,
        found.why,
        "your own machine: another processor may choose otherwise (`neurolab sweep headline`)",
    )


def microcontroller_latency(rows: Rows) -> Decision:
    """Nothing here ran on one."""
    return _open("microcontroller", "latency", eight_bits_faster(rows), BOARD)


def chip_latency(rows: Rows) -> Decision:
    """A chip's clock is not here."""
    return _open("chip", "latency", steps_to_rest(rows), CHIP)


def _energy(device: str, rows: Rows, needs: str) -> Decision:
    found = cheapest(rows, spiking=False)
    if found is None:
        return _open(device, "energy", None, needs)
    why = f"{MODEL_ONLY}: {found.why}"
    if cheapest(rows, spiking=True) is not None:
        why += " What spiking would save takes an event-driven chip: see the last row."
    return _settled(device, "energy", found, why, needs)


def phone_energy(rows: Rows) -> Decision:
    """By the energy model only."""
    return _energy("phone", rows, "a phone and a recording of its power (chapter 7 reads them)")


def laptop_energy(rows: Rows) -> Decision:
    """By the counters of a machine that has some, else by the energy model only."""
    found = counted(rows)
    if found is not None:
        why = f"{found.why[:1].upper()}{found.why[1:]}"
        return _settled("laptop", "energy", found, why, "your own machine, if it has counters")
    return _energy("laptop", rows, "a laptop whose energy counters can be read, or a meter")


def microcontroller_energy(rows: Rows) -> Decision:
    """By the energy model only."""
    return _energy("microcontroller", rows, f"{BOARD}, and a meter")


def chip_energy(rows: Rows) -> Decision:
    """A model may not decide for a chip that nobody had."""
    found, without = cheapest(rows, spiking=True), skipped(rows)
    if found is not None and without is not None:
        said = f"{found.why} {without.why[:1].upper()}{without.why[1:]}"
        found = replace(found, why=said, rows=found.rows + without.rows)
    return _open("chip", "energy", found, CHIP)


CELLS: dict[tuple[str, str], Callable[[Rows], Decision]] = {
    ("phone", "file"): phone_file,
    ("phone", "latency"): phone_latency,
    ("phone", "energy"): phone_energy,
    ("laptop", "file"): laptop_file,
    ("laptop", "latency"): laptop_latency,
    ("laptop", "energy"): laptop_energy,
    ("microcontroller", "file"): microcontroller_file,
    ("microcontroller", "latency"): microcontroller_latency,
    ("microcontroller", "energy"): microcontroller_energy,
    ("chip", "file"): chip_file,
    ("chip", "latency"): chip_latency,
    ("chip", "energy"): chip_energy,
}
"""What decides each cell of the table: (device, need) -> the function that reads the rows."""
