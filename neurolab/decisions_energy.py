"""What rows say of energy: the best candidate each, for `neurolab.decisions_cells`.

All but `counted` is by a model of operations and memory (`neurolab.energy`), and says what its figure takes
for granted: a file's codes stay packed until they are used, a spiking network fetches each weight once.
"""

from __future__ import annotations

from neurolab.decisions_found import (
    BASELINES,
    LOSS,
    SKIPPING,
    Found,
    Rows,
    called,
    lost,
    machines,
    median,
    named,
    within,
)
from neurolab.measurements import Measurement


def cheapest(rows: Rows, spiking: bool) -> Found | None:
    """The variant within the loss with the least energy per token against 8 bits, by the model: the best
    spiking one, if any, or the best of the others (8 bits where nothing is below them)."""
    read = [
        row
        for row in named(rows, "headline.energy", "ratio_vs_int8")
        if str(row.setting.get("model", "")).startswith("spiking") == spiking
        and row.setting.get("model") not in (*BASELINES, SKIPPING)
        and within(rows, str(row.setting.get("model")))
    ]
    if not read and spiking:
        read = [
            row
            for row in named(rows, "spiking.energy", "ratio_vs_int8", "exact_match")
            if 100 * (1 - row.figures["exact_match"]) <= LOSS
        ]
    if read:
        best = max(read, key=lambda row: row.figures["ratio_vs_int8"])
        ratio = float(best.figures["ratio_vs_int8"])
        model = str(best.setting.get("model", ""))
        name = called(model) if model else f"the spiking network ({best.setting.get('schedule')})"
        if ratio > 1 or spiking:
            points = lost(rows, model)
            why = f"{name} takes {times(ratio)} energy per token than 8 bits{_skipping(best)}{_granted(best)}"
            why += (
                f", for {points:.2f} points of exact match ({LOSS:g} allowed)." if points is not None else "."
            )
            return Found(name, ratio, "x less than 8 bits", why, (best,))
    return None if spiking else _eight_bits(rows)


def _skipping(row: Measurement) -> str:
    """The same against 8 bits that skip zeros, where the row has it: the harder comparison."""
    ratio = row.figures.get("ratio_vs_int8_zero_skipping")
    if not isinstance(ratio, int | float) or not ratio:
        return ""
    return f", and {times(ratio)} than 8 bits that skip zeros"


def times(ratio: float) -> str:
    """2.5 -> "2.50 times less", 0.5 -> "2.00 times more"."""
    return f"{ratio:.2f} times less" if ratio >= 1 else f"{1 / ratio:.2f} times more"


def plain(row: Measurement) -> tuple[str, str, float] | None:
    """What a figure of headline.energy takes for granted, what is usual instead, and the ratio against 8 bits
    without it; None where the row does not say."""
    for figure, granted, usual in (
        ("ratio_vs_int8_bytes", "its codes stay packed until they are used", "with a byte a weight"),
        (
            "ratio_vs_int8_not_held",
            "each weight is fetched once and held",
            "if fetched for every digit",
        ),
    ):
        ratio = row.figures.get(figure)
        if isinstance(ratio, int | float) and ratio > 0:
            return granted, usual, float(ratio)
    return None


def _granted(row: Measurement) -> str:
    found = plain(row)
    return f" if {found[0]} ({times(found[2])} {found[1]})" if found else ""


def skipped(rows: Rows) -> Found | None:
    """The network of the spikes without spikes: computed once, inputs of zero skipped, by the same model."""
    read = named(rows, "headline.energy", "ratio_vs_int8", model=SKIPPING)
    if not read:
        return None
    ratio = median(read, "ratio_vs_int8")
    why = f"the same network computed once, without spikes and with its zeros skipped, takes {times(ratio)}."
    return Found(SKIPPING, ratio, "x less than 8 bits", why, tuple(read))


def counted(rows: Rows) -> Found | None:
    """The variant with the least energy per token by a machine's own counters (headline.counter)."""
    read = [
        row
        for row in named(rows, "headline.counter", "ratio_vs_fp32", "joules_per_token")
        if within(rows, str(row.setting.get("model")))
    ]
    if not read:
        return None
    best = max(read, key=lambda row: row.figures["ratio_vs_fp32"])
    ratio, model = float(best.figures["ratio_vs_fp32"]), str(best.setting.get("model"))
    if ratio <= 1:
        why = f"nothing takes less than floats (next: {called(model)}, {times(ratio)})."
        return Found("floats", ratio, "x less than floats", why, (best,))
    name = called(model)
    why = (
        f"by the counters of {machines([best])}: {1e3 * best.figures['joules_per_token']:.3g} mJ a token, "
        f"{ratio:.2f} times less than floats."
    )
    return Found(name, ratio, "x less than floats", why, (best,))


def _eight_bits(rows: Rows) -> Found | None:
    """8 bits against floats, by the model."""
    read = named(rows, "export.quantized", "energy_ratio")
    if not read:
        return None
    ratio = median(read, "energy_ratio")
    why = f"8 bits take {ratio:.1f} times less energy per token than floats."
    return Found("8 bits", ratio, "x less than floats", why, tuple(read))
