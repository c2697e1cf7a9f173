"""Chapter 7's results: rows as tables. Nothing is measured here, and nothing typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from IPython.display import Markdown

from neurolab.measurements import Measurement, newest, own, read, shipped
from neurolab.paths import static
from neurolab.quantization_rows import by, spread, values
from neurolab.sparsity_rows import Column, gathered, markdown, median

NOT_YET = "*(not measured yet: `neurolab sweep export` does it)*"
NOT_RUN = "; a line without answers is a file that was written and inspected here, but can't be run here"
PRECISIONS = {
    "fp32": "floats",
    "exported": "floats, as exported",
    "fp16": "16-bit floats",
    "int8": "8 bits",
    "int8_static": "8 bits, static",
    "int4": "4 bits",
    "int4_unpacked": "4 bits, unpacked",
    "palette4": "4-bit palette",
    "pruned": "pruned",
}
"""What a file's numbers are, in words; the order is that of the tables."""

RUNTIMES = {
    "onnx": "ONNX Runtime",
    "ort": "ORT format",
    "executorch": "ExecuTorch",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "coreml": "Core ML",
}
MODELS = {
    "assistant": "the assistant", "ptq12": "ptq12.nlab", "ptq14": "ptq14.nlab", "qat18": "qat18.nlab",
    "qat28": "qat28.nlab", "pruned": "chapter 5's pruned one", "spiking": "the spiking assistant",
    "spiking2": "the spiking one, 2 steps", "spiking4": "the spiking one, 4 steps",
    "signed": "chapter 3's neuron", "lif": "a layer of LIF neurons",
}  # fmt: skip
FILES = ("fp32", "int8", "int8_static", "int4", "int4_unpacked")
"""The ONNX files that are timed, here and in a browser."""
SHIPPED = ("fp32", "int8", "int8_static", "int4")
"""Those that one would ship: the unpacked one is there to show what a kernel is worth."""
HERE = ("onnx", "ort")
"""The names under which ONNX Runtime's rows may stand; the first that has rows counts."""


def said(key: str, value: Any) -> Any:
    """What a reader sees for the value of a setting."""
    names = {
        "precision": PRECISIONS,
        "format": PRECISIONS,
        "runtime": RUNTIMES,
        "model": PRECISIONS | MODELS,
        "file": MODELS,
    }
    return names.get(key, {}).get(value, value)


def _order(rows: Iterable[Measurement]) -> list[Measurement]:
    """Rows by runtime and precision, in the order of the names above."""
    runtimes, precisions = list(RUNTIMES), list(PRECISIONS)

    def rank(row: Measurement) -> tuple[int, int]:
        runtime, precision = (
            row.setting.get("runtime"),
            row.setting.get("precision") or row.setting.get("format"),
        )
        return (
            runtimes.index(runtime) if runtime in runtimes else len(runtimes),
            precisions.index(precision) if precision in precisions else len(precisions),
        )

    return sorted(rows, key=rank)


def _table(
    rows: Sequence[Measurement],
    keys: Mapping[str, str],
    columns: Sequence[Column],
    note: str = "measured",
    bold: Sequence[str] = (),
) -> Any:
    """`gathered` with this chapter's words; `NOT_YET` names this chapter's command."""
    shown = gathered(rows, keys, columns, said, note, bold)
    return shown if "|" in shown.data else Markdown(NOT_YET)


def runtimes_table(model: str = "assistant") -> Any:
    """Every runtime that was run on all held-out questions: equal to torch, bytes, right answers."""
    rows = [r for r in read("export.runtime") if r.setting.get("model", "assistant") == model]
    return _table(
        _order(rows),
        {"runtime": "runtime", "precision": "weights"},
        [
            ("largest difference of scores", "largest_difference", 5),
            ("same answers as torch (%)", "equal_answers_percent", 2),
            ("right (%)", "exact_match", 2, 100.0), ("torch (%)", "exact_match_torch", 2, 100.0),
            ("megabytes", "bytes", 2, 1e-6), ("times smaller", "file_ratio", 2),
        ],
        "measured" + (NOT_RUN if any("equal_answers_percent" not in r.figures for r in rows) else ""),
        ("equal_answers_percent",),
    )  # fmt: skip


def sources_table() -> Any:
    """Compressed, pruned and spiking networks as files, each beside its own original in torch."""
    rows = [r for r in read("export.runtime") if r.setting.get("model", "assistant") != "assistant"]
    return _table(
        _order(rows),
        {"model": "network", "runtime": "runtime", "precision": "weights"},
        [
            ("largest difference of scores", "largest_difference", 5),
            ("same answers as its original (%)", "equal_answers_percent", 2),
            ("right (%)", "exact_match", 2, 100.0), ("megabytes", "bytes", 2, 1e-6),
        ],
        bold=("equal_answers_percent",),
    )  # fmt: skip


def latency_table() -> Any:
    """How fast each file is on this processor, a line a file: a token, and a prompt."""
    rows = _order(read("export.latency"))
    lines = []
    for (runtime, precision), here in by(rows, "runtime", "format").items():
        token, prompt = ([r for r in here if r.setting["what"] == what] for what in ("step", "prompt"))
        one = "1" if precision == "fp32" else ""
        lines.append(
            [
                said("runtime", runtime),
                said("format", precision),
                f"**{cell}**" if (cell := spread(values(token, "ratio_vs_fp32"), 2)) else one,
                spread(values(token, "p95_ratio"), 2),
                spread(values(token, "ratio_vs_torch"), 1),
                spread(values(prompt, "ratio_vs_fp32"), 2) or (one if prompt else ""),
                spread(values(prompt, "ratio_vs_torch"), 1),
            ]
        )
    heads = ["runtime", "weights", "a token: times as fast as floats", "p95", "as torch"]
    heads += ["a prompt: times as fast as floats", "as torch"]
    note = (
        "measured, each in turns with the rival of its column: two columns need not multiply, as clocks vary"
    )
    return markdown(heads, lines, note) if lines else Markdown(NOT_YET)


def arm64_table() -> Any:
    """The same files on another kind of processor, emulated."""
    return _table(
        _order(read("export.arm64")),
        {"runtime": "runtime", "precision": "weights", "core": "core"},
        [
            ("largest difference to this machine", "largest_difference", 5),
            ("same answers (%)", "equal_answers_percent", 2), ("of so many questions", "questions", 0),
        ],
        note="measured; emulated: correctness only, no timing",
        bold=("equal_answers_percent",),
    )  # fmt: skip


def spiking_table() -> Any:
    """A spiking layer through every runtime (claim A24)."""
    return _table(
        read("export.spiking"),
        {"model": "exported", "T": "steps"},
        [
            ("runtimes that run it exactly", "runtimes_exact", 0),
            ("that have an operator for spikes", "runtimes_with_spike_operator", 0),
            ("largest difference", "largest_difference", 6),
        ],
        bold=("runtimes_exact",),
    )  # fmt: skip


def download_table() -> Any:
    """Chapter 5's files as downloads, against the file of floats."""
    return _table(
        read("export.download"),
        {"file": "file"},
        [("kilobytes to download", "bytes", 0, 1e-3), ("times smaller than floats", "ratio_vs_fp32", 1)],
        bold=("ratio_vs_fp32",),
    )


def page_table() -> Any:
    """The phone page in this machine's Chromium, which is no phone."""
    return _table(
        read("phone.page"),
        {"model": "model"},
        [
            ("first visit (MB)", "first_visit_bytes", 1, 1e-6), ("second (bytes)", "second_visit_bytes", 0),
            ("first token (ms)", "first_token_ms", 1), ("tokens a second", "tokens_per_second", 0),
            ("same answers as Python (%)", "equal_answers_percent", 2),
        ],
        note="measured in this machine's Chromium: a computer, no phone",
    )  # fmt: skip


def phone_rows() -> list[Measurement]:
    """The rows of real phones: the reader's, and any that the course has been given."""
    return newest(row for store in (shipped(), own()) for row in read("phone.latency", store=store))


def phones_table() -> Any:
    """Real phones; without any, a place for the reader's."""
    rows = [] if static() else phone_rows()
    rows = rows or read("phone.latency")
    if not rows:
        return Markdown(
            "| phone | browser | model | a token, median (ms) | 95th percentile |\n|---|---|---|---|---|\n"
            "| *yours goes here* | | | | |"
        )
    return _table(
        rows,
        {"device": "phone", "browser": "browser", "model": "model"},
        [
            ("a token, median (ms)", "p50_ms", 2), ("95th percentile", "p95_ms", 2),
            ("times as fast as 8 bits", "ratio_vs_int8", 2), ("as floats", "ratio_vs_fp32", 2),
        ],
        bold=("p50_ms",),
    )  # fmt: skip


# ---- here and in a browser --------------------------------------------------------------------------------


def speeds(where: str, what: str = "step") -> dict[str, float]:
    """Times as fast as the float file of the same runtime, by file: where is "here" or "browser".

    The floats themselves are 1. Empty before anything is measured.
    """
    if where not in ("here", "browser"):
        raise ValueError(f"where is {where!r}; it must be 'here' or 'browser'")
    if where == "browser":
        rows = read("export.browser", what=what)
    else:
        rows = next(
            (found for name in HERE if (found := read("export.latency", runtime=name, what=what))), []
        )
    made = {}
    for name in FILES:
        ratio = median([r for r in rows if r.setting["format"] == name], "ratio_vs_fp32")
        if ratio is not None:
            made[name] = ratio
    return {"fp32": 1.0} | made if made else {}


def both() -> list[str]:
    """The files, floats apart, that were timed here and in a browser."""
    here, browser = speeds("here"), speeds("browser")
    return [name for name in FILES if name in here and name in browser and name != "fp32"]


def of(name: str, figure: str, **setting: Any) -> float | None:
    """The median of a figure over the rows of a name and setting; None before it is measured."""
    return median(read(name, **setting), figure)


def every(name: str, figure: str, **setting: Any) -> list[float]:
    """A figure of all rows of a name and setting."""
    return values(read(name, **setting), figure)
