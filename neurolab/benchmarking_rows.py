"""Chapter 8's results: rows as tables. Nothing is measured here, and nothing typed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import claims, decisions_energy, energy_counters
from neurolab.export_rows import PRECISIONS, RUNTIMES
from neurolab.measurements import Measurement, read
from neurolab.quantization_rows import by, spread, values
from neurolab.sparsity_rows import Column, gathered, markdown, median

NOT_YET = "*(not measured yet: `neurolab sweep headline` does it)*"
NETWORKS = {
    "float": "floats", "int8": "8 bits, the rival", "int8_static": "8 bits, static", "int4": "4 bits",
    "ptq12": "ptq12.nlab", "ptq14": "ptq14.nlab", "qat18": "qat18.nlab", "qat28": "qat28.nlab",
    "spiking": "the spiking one", "skipping": "chapter 3's integers, zeros skipped",
}  # fmt: skip
"""The networks of the headline as the chapter calls them; the order is that of its tables."""
WHAT = {"throughput": "more sequences in a call", "kv_cache": "keys and values kept",
        "prefix_cache": "beginnings kept"}  # fmt: skip
LANGUAGES = {"en": "English", "th": "Thai"}


def name_of(model: str) -> str:
    """A network as a reader knows it: "qat28_int8" is qat28.nlab, run in 8 bits."""
    if model in NETWORKS:
        return NETWORKS[model]
    file, _, precision = model.partition("_")
    known = file in NETWORKS and precision in PRECISIONS
    return f"{NETWORKS[file]}, run as {PRECISIONS[precision]}" if known else model


def said(key: str, value: Any) -> Any:
    """What a reader sees for the value of a setting."""
    if key == "model":
        return name_of(str(value))
    precisions = PRECISIONS | {"int8_onnx": "8 bits, the ONNX file"}
    known = {"what": WHAT, "runtime": RUNTIMES | {"torch": "PyTorch"}, "precision": precisions}
    return known.get(key, {}).get(value, value)


def _rank(row: Measurement) -> int:
    names, model = list(NETWORKS), str(row.setting.get("model", ""))
    first = model if model in names else model.partition("_")[0]
    return names.index(first) if first in names else len(names)


def _table(
    rows: Sequence[Measurement], keys: Mapping[str, str], columns: Sequence[Column], note: str = "measured",
    bold: Sequence[str] = (), not_yet: str = NOT_YET,
) -> Any:  # fmt: skip
    """`gathered` with this chapter's words; `not_yet` names the command that makes the rows."""
    shown = gathered(sorted(rows, key=_rank), keys, columns, said, note, bold)
    return shown if "|" in shown.data else Markdown(not_yet)


def quality_table() -> Any:
    """Each network beside the 8-bit one: bytes, peak, and the points that it loses in each language."""
    rows = [r for r in read("headline.assistant") if r.setting.get("against", "int8") == "int8"]
    lines = []
    for (model,), here in sorted(by(rows, "model").items(), key=lambda one: _rank(one[1][0])):
        both = [r for r in here if r.setting["language"] == "both"]
        cells = [name_of(model), spread(values(both, "bytes"), 0, 1e-3)]
        for key in ("file_ratio_vs_int8", "file_ratio_vs_int8_coded", "file_ratio_vs_fp32"):
            text = spread(values(both, key), 2)
            cells.append(f"**{text}**" if text and key == "file_ratio_vs_int8" else text)
        cells.append(spread(values(both, "peak_memory_ratio_vs_int8"), 2))
        for language in LANGUAGES:
            some = [r for r in here if r.setting["language"] == language]
            cells.append(_with_interval(some, "exact_match_drop_points"))
        cells.append(str(len({r.setting.get("seed", 0) for r in both})))
        lines.append(cells)
    heads = [
        "network",
        "kilobytes",
        "times smaller than 8 bits",
        "than 8 bits, coded",
        "than floats",
        "peak memory, times less than 8 bits",
    ]
    heads += [f"points lost, {name}" for name in LANGUAGES.values()] + ["seeds"]
    return markdown(heads, lines, "measured; below 1: more, not less") if lines else Markdown(NOT_YET)


def _with_interval(rows: Sequence[Measurement], figure: str) -> str:
    """The mean over seeds, and the outermost ends of their 95 % intervals."""
    found = values(rows, figure)
    if not found:
        return ""
    low, high = values(rows, f"{figure}_low"), values(rows, f"{figure}_high")
    ends = f" [{min(low):.2f}, {max(high):.2f}]" if low and high else ""
    return f"{np.mean(found):.2f}{ends}"


def latency_table() -> Any:
    """Whole runs of many questions: time a token against floats and 8 bits in the same runtime."""
    return _table(
        read("headline.latency"),
        {"model": "network", "runtime": "runtime"},
        [
            ("a token: times as fast as floats there", "ratio_vs_fp32", 2),
            ("as 8 bits there", "ratio_vs_int8", 2),
            ("95th percentile: times as fast as floats'", "p95_ratio", 2),
            ("ms a token", "milliseconds_per_token", 3),
        ],
        "measured, one thread; floats and 8 bits: the assistant's, in the same runtime, in turns",
        bold=("ratio_vs_fp32",),
    )  # fmt: skip


def spread_table() -> Any:
    """How far runs lie apart: what claim A5 is about."""
    rows = read("headline.spread")
    lines = []
    for (runs, tokens), here in sorted(by(rows, "runs", "tokens").items()):
        one = [r for r in here if r.setting.get("threads", 1) == 1]
        two = [r for r in here if r.setting.get("threads", 1) > 1]
        lines.append(
            [
                runs, tokens,
                f"**{spread(values(one, 'latency_sd_percent'), 1)}**",
                spread(values(two, "latency_sd_percent"), 1),
                spread(values(here, "accuracy_sd_percent"), 2), spread(values(one, "first_run_ratio"), 2),
            ]
        )  # fmt: skip
    heads = ["runs", "tokens each", "latency: sd, % of the mean", "on two threads"]
    heads += ["accuracy: sd, % of the mean", "first run, times the median"]
    return markdown(heads, lines) if lines else Markdown(NOT_YET)


def batch_table() -> Any:
    """Batches and caches as they were measured on a quiet machine."""
    return _table(
        read("headline.batch"),
        {"what": "what", "model": "network", "batch": "sequences", "entries": "prompts kept"},
        [
            ("tokens a second, times", "tokens_per_second_ratio", 2), ("waiting, times", "latency_ratio", 2),
            ("kilobytes of keys and values", "memory_bytes", 0, 1e-3),
            ("same tokens as without, %", "equal_tokens_percent", 0),
        ],
        "measured; against one sequence in a call, or against the same without what is kept",
        bold=("tokens_per_second_ratio",),
    )  # fmt: skip


def energy_table(device: Mapping[str, float] | None = None) -> Any:
    """Three ways to a joule, each in a column of its own, with the kind of its figures in its head.

    device: joules a token by network, from a recording of the reader's (`neurolab.power`).
    """
    modelled, counted, device = read("headline.energy"), read("headline.counter"), dict(device or {})
    keys = {"float": "fp32", "int8": "int8"}
    rivals = {name: median(modelled, f"joules_per_token_{key}") for name, key in keys.items()}
    there = (name for name, joules in rivals.items() if joules)
    names = dict.fromkeys([*there, *(str(r.setting["model"]) for r in (*modelled, *counted)), *device])
    lines = []
    for name in sorted(names, key=lambda n: list(NETWORKS).index(n) if n in NETWORKS else len(NETWORKS)):
        model, counter = ([r for r in some if r.setting["model"] == name] for some in (modelled, counted))
        usual = [found[2] for r in model if (found := decisions_energy.plain(r))]
        joules = values(model, "joules_per_token") or [j for j in (rivals.get(name),) if j]
        lines.append(
            [
                name_of(name),
                spread(joules, 0, 1e9),
                spread(values(model, "ratio_vs_int8"), 2),
                spread(usual, 2),
                spread(values(counter, "joules_per_token"), 2, 1e3),
                f"{1e3 * device[name]:.2f}" if name in device else "",
            ]
        )
    if not lines:
        return Markdown(NOT_YET)
    heads = ["network", "by the model: nJ a token *(simulated)*", "times less than 8 bits *(simulated)*"]
    heads += ["the same, weights neither packed nor held *(simulated)*"]
    heads += ["by counters: mJ a token *(measured)*", "on a device: mJ a token *(measured)*"]
    why = None if counted else energy_counters.why_not()
    return markdown(heads, lines, f"empty: not measured; counters: {why}" if why else "empty: not measured")


def own_table() -> Any:
    """`neurolab compress` on models that are not the course's."""
    return _table(
        read("compress.model"),
        {"model": "model", "precision": "precision", "weights": "weights"},
        [
            ("times smaller than floats", "ratio_vs_fp32", 2), ("cosine of the outputs", "cosine", 5),
            ("seconds", "compress_seconds", 0),
            ("peak of memory, times the model in floats", "peak_over_model", 2),
            ("a call: times as fast as floats in ONNX Runtime", "latency_ratio", 2),
        ],
        bold=("ratio_vs_fp32",),
        not_yet="*(not measured yet: `neurolab sweep own` does it)*",
    )  # fmt: skip


# ---- one thing, several rivals ----------------------------------------------------------------------------

SUBJECTS = {
    "a token of the 8-bit file": "token",
    "the file qat18.nlab on the disk": "file",
    "energy of the spiking one (simulated)": "energy",
}


def rivals(subject: str) -> dict[str, float]:
    """How many times better one and the same thing is, by what it is compared with. {} before it is measured.

    subject: a value of SUBJECTS. ValueError for another.
    """
    if subject not in SUBJECTS.values():
        raise ValueError(f"subject is {subject!r}; it must be one of {', '.join(SUBJECTS.values())}")
    found: dict[str, float | None] = {}
    if subject == "token":
        eight = read("export.latency", runtime="onnx", format="int8", what="step")
        loose = median(
            read("export.latency", runtime="onnx", format="int4_unpacked", what="step"), "ratio_vs_int8"
        )
        found["4 bits, unpacked each time"] = 1 / loose if loose else None
        found["floats in PyTorch"] = median(eight, "ratio_vs_torch")
        found["floats, same runtime"] = median(eight, "ratio_vs_fp32")
        four = median(read("export.latency", runtime="onnx", format="int4", what="step"), "ratio_vs_int8")
        found["4 bits, same runtime"] = 1 / four if four else None
    elif subject == "file":
        coded = read("headline.assistant", model="qat18", language="both", seed=1)
        older = read("compression.headline", target="qat18", seed=1)
        mine = median(coded, "bytes") or median(older, "bytes")
        for name, precision in (("floats", "fp32"), ("8 bits", "int8"), ("4 bits", "int4")):
            size = median(
                read("export.runtime", runtime="onnx", precision=precision, model="assistant"), "bytes"
            )
            found[name] = size / mine if size and mine else None
        found["8 bits, coded as well"] = median(coded, "file_ratio_vs_int8_coded")
    else:
        rows = read("headline.energy", model="spiking")
        found = {"floats": median(rows, "ratio_vs_fp32"), "8 bits": median(rows, "ratio_vs_int8")}
        found["its own integers, zeros skipped"] = median(rows, "ratio_vs_skipping")
    return {name: ratio for name, ratio in found.items() if ratio}


def compared(subject: str) -> dict[str, Any]:
    """`rivals` for the picture; subject: a key of SUBJECTS that has rows."""
    found = dict(sorted(rivals(SUBJECTS[subject]).items(), key=lambda one: -one[1]))
    first, last = next(iter(found)), list(found)[-1]
    return {
        "rival": [_broken(name) for name in found],
        "log": np.array([math.log2(ratio) for ratio in found.values()]),
        "text": [f"{short(ratio)}x" for ratio in found.values()],
        "words": f"{subject[0].upper() + subject[1:]}: {short(found[first])} times as good as {first}, "
        f"and {short(found[last])} times as good as {last}. Nothing but the rival has changed",
    }


def short(ratio: float) -> str:
    """Two digits behind the point where that is where the news is."""
    return f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def _broken(name: str) -> str:
    """A rival's name on two lines of a narrow margin."""
    first, comma, rest = name.partition(", ")
    return f"{first},<br>{rest}" if comma else name.replace(" in ", "<br>in ")


# ---- claimed and measured ---------------------------------------------------------------------------------


def claimed() -> dict[str, Any] | None:
    """For every claim with a figure and a bound: measured, as times what its rule asks; the best first.

    times: above 1 where it was measured better than asked, clipped to 1/50 .. 50.  None without any.
    """
    found = []
    for claim, verdict in zip(claims.claims(), claims.verdicts(), strict=True):
        test = claim.rule.tests.get(claim.rule.shows)
        if test is None or verdict.figure is None or test.compare not in ("<=", "<", ">=", ">"):
            continue
        if not isinstance(test.than, int | float) or test.than <= 0:
            continue
        more = test.compare in (">=", ">")
        ratio = verdict.figure / test.than if more else test.than / max(verdict.figure, 1e-9)
        text = f"{claim.id}: {claim.claim} | {test.figure.about}: {verdict.figure:.3g} {test.figure.unit}"
        found.append(
            (min(max(ratio, 0.02), 50.0), claim.id, verdict.verdict, f"{text}, asked {test.limit()}")
        )
    found.sort(key=lambda one: -one[0])
    if not found:
        return None
    times, ids, words, texts = zip(*found, strict=True)
    return {"times": np.array(times), "id": list(ids), "verdict": list(words), "said": list(texts)}
