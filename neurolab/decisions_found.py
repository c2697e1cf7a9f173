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
"""Points of exact match that a choice may lose."""
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
        return Found(label, median(own, ratio), "x smaller", why, tuple(own))
    return None


def fastest(rows: Rows) -> Found | None:
    """Runtime and precision with the least time per token on the machine of the rows (export.latency), all
    against the same PyTorch model; files that one would not ship stay out."""
    read = [
        row
        for row in named(rows, "export.latency", "ratio_vs_torch", what="step")
        if row.setting.get("format") in NAMES
    ]
    if not read:
        return None
    able: dict[str, list[Measurement]] = {}
    for (runtime, format), own in groups(read, "runtime", "format").items():
        able.setdefault(f"{NAMES[format]} in {RUNTIMES.get(runtime, runtime)}", []).extend(own)
    speed = {name: median(own, "ratio_vs_torch") for name, own in able.items()}
    best, *others = sorted(able, key=lambda name: -speed[name])
    why = (
        f"{speed[best]:.1f} times as fast per token as PyTorch in floats, one thread of this machine "
        f"({_machines(able[best])})"
    )
    if others:
        close = speed[others[0]] >= CLOSE * speed[best]
        why += f"; {'hardly behind' if close else 'next'}: {others[0]}, {speed[others[0]]:.1f} times"
    return Found(best, speed[best], "x vs PyTorch", f"{why}.", tuple(able[best]))


def _machines(rows: Iterable[Measurement]) -> str:
    return " and ".join(sorted({str(row.provenance.get("processor", "unknown machine")) for row in rows}))


def whole_runs(rows: Rows) -> Found | None:
    """The variant that gains most over floats of its own runtime in whole runs of many questions
    (headline.latency)."""
    read = named(rows, "headline.latency", "ratio_vs_fp32")
    able = groups((r for r in read if r.setting.get("model") not in ("fp32", "float")), "model", "runtime")
    if not able:
        return None
    best = max(able, key=lambda key: median(able[key], "ratio_vs_fp32"))
    model, runtime = best
    ratio = median(able[best], "ratio_vs_fp32")
    name = f"{NAMES.get(model, model)} in {RUNTIMES.get(runtime, runtime)}"
    why = f"over whole runs {name} takes {ratio:.2f} times less time per token than floats there."
    return Found(name, ratio, "x vs floats", why, tuple(able[best]))


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
            f"in {of} floats are the fastest file; best of the others are {name}, {ratio:.2f} times as fast."
        )
        return Found("floats", ratio, "x vs floats", why, (best,))
    why = f"in {of} {name} are {ratio:.2f} times as fast per token as floats."
    return Found(name, ratio, "x vs floats", why, (best,))


def cheapest(rows: Rows, spiking: bool) -> Found | None:
    """The variant with the least energy per token against 8 bits, by the model of operations and memory:
    the best spiking one, if any, or the best of the others (8 bits where nothing is below them)."""
    read = [
        row
        for row in named(rows, "headline.energy", "ratio_vs_int8")
        if str(row.setting.get("model", "")).startswith("spiking") == spiking
        and row.setting.get("model") not in (*BASELINES, SKIPPING)
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
        name = str(best.setting.get("model") or f"spiking ({best.setting.get('schedule')})")
        name = f"{name} run in 8 bits" if name.startswith(FILES) else name
        if ratio > 1 or spiking:
            less = f"{ratio:.2f} times less" if ratio >= 1 else f"{1 / ratio:.2f} times more"
            why = f"{name} takes {less} energy per token than 8 bits{_skipping(best)}."
            return Found(name, ratio, "x less than 8 bits", why, (best,))
    return None if spiking else _eight_bits(rows)


def _skipping(row: Measurement) -> str:
    """The same against 8 bits that skip zeros, where the row has it: the harder comparison."""
    ratio = row.figures.get("ratio_vs_int8_zero_skipping")
    if not isinstance(ratio, int | float) or not ratio:
        return ""
    return (
        f", {ratio:.2f} times less than 8 bits that skip zeros"
        if ratio >= 1
        else (f", and {1 / ratio:.2f} times more than 8 bits that skip zeros")
    )


def skipped(rows: Rows) -> Found | None:
    """The network of the spikes without spikes: computed once, inputs of zero skipped, by the same model."""
    read = named(rows, "headline.energy", "ratio_vs_int8", model=SKIPPING)
    if not read:
        return None
    ratio = median(read, "ratio_vs_int8")
    less = f"{ratio:.2f} times less" if ratio >= 1 else f"{1 / ratio:.2f} times more"
    why = f"the same network computed once, without spikes and with its zeros skipped, takes {less}."
    return Found(SKIPPING, ratio, "x less than 8 bits", why, tuple(read))


def counted(rows: Rows) -> Found | None:
    """The variant with the least energy per token by a machine's own counters (headline.counter)."""
    read = named(rows, "headline.counter", "ratio_vs_fp32", "joules_per_token")
    if not read:
        return None
    best = max(read, key=lambda row: row.figures["ratio_vs_fp32"])
    ratio, model = float(best.figures["ratio_vs_fp32"]), str(best.setting.get("model"))
    if ratio <= 1:
        why = f"nothing takes less than floats ({model} is best)."
        return Found("floats", ratio, "x less than floats", why, (best,))
    name = NAMES.get(model, f"{model} run in 8 bits" if model.startswith(FILES) else model)
    why = (
        f"by the counters of {_machines([best])}: {1e3 * best.figures['joules_per_token']:.3g} mJ a token, "
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


def eight_bits_faster(rows: Rows) -> Found | None:
    """8 bits against floats in time, in the same runtime on the machine of the rows."""
    read = named(rows, "export.latency", "ratio_vs_fp32", format="int8", what="step")
    if not read:
        return None
    ratio = median(read, "ratio_vs_fp32")
    why = f"8 bits are {ratio:.2f} times as fast per token as floats here ({_machines(read)})."
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
