"""What rows say of files, times and energy: the best candidate each, for `neurolab.decisions_cells`.

Each function returns None where there are no rows for it. Where several rows stand for one candidate (seeds,
say), the median counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neurolab.measurements import Measurement

LOSS = 1.0
"""Points of exact match that a choice may lose, where its loss was measured."""
FILES = ("ptq", "qat")
"""How the names of chapter 5's files begin."""
SKIPPING = "skipping"
"""Chapter 3's network computed once, with zeros skipped: no spikes, but hardware that skips."""
CLOSE = 0.9
"""Share of the best speed from which on another choice is as good as the best."""
BASELINES = ("int8", "float", "fp32")
"""Models that the others are compared with."""
NAMES = {
    "fp32": "floats",
    "int8": "8 bits",
    "int8_static": "8 bits with fixed ranges",
    "int4": "4 bits",
    "fp16": "16-bit floats",
}
RUNTIMES = {
    "onnx": "ONNX Runtime",
    "ort": "ONNX Runtime",
    "openvino": "OpenVINO",
    "executorch": "ExecuTorch",
    "litert": "LiteRT",
    "torch": "PyTorch",
}


Rows = Sequence[Measurement]


@dataclass(frozen=True)
class Found:
    """What rows say: the best candidate, its figure, and the rows it rests on."""

    name: str
    figure: float
    unit: str
    why: str
    rows: tuple[Measurement, ...]

    @property
    def kind(self) -> str:
        """Simulated where one of its rows is."""
        return "simulated" if any(row.kind == "simulated" for row in self.rows) else "measured"


def named(rows: Iterable[Measurement], name: str, *figures: str, **setting: object) -> list[Measurement]:
    """Rows of a name that hold these figures and this setting; somebody else's figures (cited) stay out."""
    return [
        row
        for row in rows
        if row.name == name
        and row.kind != "cited"
        and all(isinstance(row.figures.get(figure), int | float) for figure in figures)
        and all(row.setting.get(key) == value for key, value in setting.items())
    ]


def groups(rows: Iterable[Measurement], *keys: str) -> dict[tuple[str, ...], list[Measurement]]:
    """Rows by the values of these settings, in the order in which they first stand."""
    found: dict[tuple[str, ...], list[Measurement]] = {}
    for row in rows:
        found.setdefault(tuple(str(row.setting.get(key, "")) for key in keys), []).append(row)
    return found


def median(rows: Iterable[Measurement], figure: str) -> float:
    """The median of a figure."""
    return float(statistics.median(row.figures[figure] for row in rows))


def lost(rows: Iterable[Measurement], model: str) -> float | None:
    """Points that one of chapter 5's files loses against 8 bits, the median of its seeds, however it is run
    (qat28, qat28_int8); None where that was not measured."""
    name = model.partition("_")[0]
    read = named(rows, "headline.assistant", "exact_match_drop_points", language="both", model=name)
    return median(read, "exact_match_drop_points") if read else None


def within(rows: Iterable[Measurement], model: str, loss: float = LOSS) -> bool:
    """Whether a model loses at most `loss` points, as far as is known."""
    points = lost(rows, model)
    return points is None or points <= loss


def called(model: str) -> str:
    """A model as a reader knows it: qat28_int8 is "qat28.nlab run in 8 bits"."""
    file, _, precision = model.partition("_")
    if file.startswith(FILES):
        return f"{file}.nlab run in {NAMES.get(precision, precision)}" if precision else f"{file}.nlab"
    return "the spiking network" if model.startswith("spiking") else NAMES.get(model, model)


def smallest(rows: Rows, loss: float = LOSS) -> Found | None:
    """The smallest file that loses at most `loss` points: against the 8-bit model where that was measured
    (headline.assistant), else against floats (compression.headline)."""
    for name, model, ratio, rival, setting in (
        ("headline.assistant", "model", "file_ratio_vs_int8", "the 8-bit file", {"language": "both"}),
        ("compression.headline", "target", "size_ratio", "the file of floats", {}),
    ):
        read = named(rows, name, ratio, "exact_match_drop_points", "bytes", **setting)
        able = {
            key: own
            for (key,), own in groups(read, model).items()
            if key not in BASELINES and median(own, "exact_match_drop_points") <= loss
        }
        if not able:
            continue
        best = max(able, key=lambda key: median(able[key], ratio))
        own = able[best]
        coded = [row for row in own if "file_ratio_vs_int8_coded" in row.figures]
        harder = f" ({median(coded, 'file_ratio_vs_int8_coded'):.1f} if that is coded, too)" if coded else ""
        why = (
            f"{median(own, 'bytes'):,.0f} bytes, {median(own, ratio):.1f} times smaller than {rival}{harder}"
            f", for {median(own, 'exact_match_drop_points'):.2f} points of exact match ({loss:g} allowed"
            f"{f'; median of {len(own)} seeds' if len(own) > 1 else ''})."
        )
        label = f"{best}.nlab" if best.startswith(FILES) else f"the {best} model's file"
        return Found(label, median(own, ratio), f"x smaller than {rival}", why, tuple(own))
    return None


def fastest(rows: Rows) -> Found | None:
    """Runtime and precision in which the assistant takes the least time per token on the machine of the rows
    (export.latency), all against the same floats, those of ONNX Runtime; files that one would not ship stay
    out."""
    able: dict[str, list[float]] = {}
    read: dict[str, list[Measurement]] = {}
    for row in named(rows, "export.latency", what="step"):
        runtime, format = str(row.setting.get("runtime")), row.setting.get("format")
        ratio = row.figures.get("ratio_vs_fp32" if runtime == "onnx" else "ratio_vs_onnx")
        if format not in NAMES or not isinstance(ratio, int | float):
            continue
        name = f"{NAMES[format]} in {RUNTIMES.get(runtime, runtime)}"
        able.setdefault(name, []).append(float(ratio))
        read.setdefault(name, []).append(row)
    if not able:
        return None
    speed = {name: statistics.median(own) for name, own in able.items()}
    best, *others = sorted(able, key=lambda name: -speed[name])
    why = (
        f"{best}: {speed[best]:.2f} times as fast per token as floats in ONNX Runtime, on one thread "
        f"({machines(read[best])})"
    )
    if others:
        close = speed[others[0]] >= CLOSE * speed[best]
        why += f"; {'hardly behind' if close else 'next'}: {others[0]}, {speed[others[0]]:.2f} times"
    unit = "x as fast as floats in ONNX Runtime"
    return Found(best, speed[best], unit, f"{why}.", tuple(read[best]))


def machines(rows: Iterable[Measurement]) -> str:
    """The processors that made the rows."""
    return " and ".join(sorted({str(row.provenance.get("processor", "unknown machine")) for row in rows}))


def whole_runs(rows: Rows) -> Found | None:
    """The variant within the loss that gains most over floats of its own runtime in whole runs of many
    questions (headline.latency), if any does; PyTorch stays out, whose floats are slow."""
    read = [
        row
        for row in named(rows, "headline.latency", "ratio_vs_fp32")
        if row.setting.get("model") not in ("fp32", "float")
        and row.setting.get("runtime") != "torch"
        and row.figures["ratio_vs_fp32"] > 1
        and within(rows, str(row.setting.get("model")))
    ]
    able = groups(read, "model", "runtime")
    if not able:
        return None
    best = max(able, key=lambda key: median(able[key], "ratio_vs_fp32"))
    model, runtime = best
    ratio, points = median(able[best], "ratio_vs_fp32"), lost(rows, model)
    where = RUNTIMES.get(runtime, runtime) + (" (ORT format)" if runtime == "ort" else "")
    paid = "" if points is None else f", for {points:.2f} points of exact match ({LOSS:g} allowed)"
    why = (
        f"Over whole runs of many questions {ratio:.2f} times as fast per token as the assistant's floats in "
        f"the same runtime, on one thread ({machines(able[best])}){paid}."
    )
    name, unit = f"{called(model)}, {where}", "x as fast as floats there"
    return Found(name, ratio, unit, why, tuple(able[best]))


def on_phones(rows: Rows) -> Found | None:
    """The model with the least time per token on each phone that somebody measured (phone.latency)."""
    read = named(rows, "phone.latency", "p50_ms")
    if not read:
        return None
    best = [
        min(own, key=lambda row: row.figures["p50_ms"]) for own in groups(read, "device", "browser").values()
    ]
    models = list(dict.fromkeys(str(row.setting["model"]) for row in best))
    each = "; ".join(
        f"{row.setting.get('device', 'a phone')}, {row.setting.get('browser', 'a browser')}: "
        f"{row.setting['model']}, {row.figures['p50_ms']:.3g} ms a token"
        for row in best
    )
    name = " or ".join(NAMES.get(model, model) for model in models)
    return Found(name, float(min(r.figures["p50_ms"] for r in best)), "ms a token", f"{each}.", tuple(best))


def in_browser(rows: Rows) -> Found | None:
    """The fastest file in this machine's Chromium (export.browser): what stands nearest to a phone's page."""
    read = [
        row
        for row in named(rows, "export.browser", "ratio_vs_fp32", what="step")
        if row.setting.get("format") in NAMES
    ]
    if not read:
        return None
    best = max(read, key=lambda row: row.figures["ratio_vs_fp32"])
    ratio = float(best.figures["ratio_vs_fp32"])
    name, of = NAMES[str(best.setting["format"])], "a desktop's Chromium"
    if ratio <= 1:
        why = (
            f"in {of} floats are the fastest file for a token; best of the others: {name}, {ratio:.2f} times "
            "as fast."
        )
        return Found("floats", ratio, "x vs floats", why, (best,))
    why = f"in {of} {name} are {ratio:.2f} times as fast per token as floats."
    return Found(name, ratio, "x vs floats", why, (best,))


def eight_bits_faster(rows: Rows) -> Found | None:
    """8 bits against floats in time, in the same runtime on the machine of the rows."""
    read = named(rows, "export.latency", "ratio_vs_fp32", format="int8", what="step")
    if not read:
        return None
    ratio = median(read, "ratio_vs_fp32")
    why = (
        f"on a processor ({machines(read)}) 8 bits are {ratio:.2f} times as fast per token as floats in the "
        "same runtime."
    )
    return Found("8 bits", ratio, "x vs floats", why, tuple(read))


def steps_to_rest(rows: Rows) -> Found | None:
    """Time steps after which 99 of 100 pieces have come to rest: what a chip's clock would have to run."""
    read = [row for row in named(rows, "spiking.exact", "T_p99") if row.setting.get("mode") != "radix"]
    if not read:
        return None
    best = min(read, key=lambda row: row.figures["T_p99"])
    steps = float(best.figures["T_p99"])
    why = (
        f"the spiking assistant's answer is exact after {steps:g} time steps for 99 of 100 pieces; "
        "a chip's time per step is not known here."
    )
    return Found("spiking", steps, "time steps", why, (best,))
