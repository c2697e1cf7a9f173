"""`neurolab bench headline`: was it true? Every goal of the course's last chapter beside what was reached.

Against the 8-bit Transformer, as the articles take it, and against floats. All is read from rows (the newest
of the course's own and the reader's) of `neurolab sweep headline`, `tradeoff` and `own`, which measure
paired, on all held-out questions, in runs of many questions; nothing is measured here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from neurolab.bench.export import rows
from neurolab.benchmark import Finding, Goal
from neurolab.measurements import Measurement

CHAPTER = 8
ALL_QUESTIONS = 9000
"""Rows on fewer held-out questions (of both languages) don't count."""
RUNS, TOKENS = 10, 256
"""Rows of fewer runs, or of runs of fewer tokens, don't count."""
BASE = "BERT-base"
"""How the names of models begin on which `neurolab compress` has its goals."""
EACH = ("int8", "int4")
"""Its precisions."""
SPIKING = "spiking"
REFERENCES = ("int8", "float")

GOALS = [
    Goal(
        "headline.file_at_1_point", 3, "higher", "x", "8-bit file over ours, at most 1 point lost against it"
    ),
    Goal("headline.file_at_3_points", 5, "higher", "x", "the same, at most 3 points lost"),
    Goal("headline.drop_th", 1, "lower", "points", "lost in Thai by the file of the first goal"),
    Goal("headline.drop_en", 1, "lower", "points", "lost in English by the file of the first goal"),
    Goal("headline.seeds", 3, "higher", "seeds", "seeds behind these figures"),
    Goal(
        "headline.peak_memory", 1, "higher", "x", "peak while answering, 8 bits over ours (the articles: 5)"
    ),
    Goal("headline.token_speed", 2.4, "higher", "x", "time a token, fp32 over our fastest, same runtime"),
    Goal("headline.runs", 10, "higher", "runs", "runs behind it"),
    Goal("headline.run_tokens", 256, "higher", "tokens", "generated in each"),
    Goal("headline.energy_spiking", 1, "higher", "x", "energy (model), 8 bits over the best spiking one"),
    Goal("headline.energy_other", 1, "higher", "x", "energy (model), 8 bits over the best other one"),
    Goal("headline.energy_float", 5, "higher", "x", "energy (model), fp32 over the best of all"),
    Goal("headline.tradeoff_points", 216, "higher", "points", "points of T x bits x sparsity measured"),
    Goal("headline.compress_8_ratio", 4, "higher", "x", "BERT-base size, fp32 over 8 bits, coded"),
    Goal("headline.compress_8_cosine", 0.999, "higher", "", "its outputs beside the float model's"),
    Goal("headline.compress_4_ratio", 7.5, "higher", "x", "BERT-base size, fp32 over 4 bits by GPTQ"),
    Goal("headline.compress_4_cosine", 0.99, "higher", "", "its outputs beside the float model's"),
    Goal("headline.compress_minutes", 10, "lower", "min", "compressing it, the slower of the two"),
    Goal("headline.compress_layers", 2, "lower", "layers", "peak above the model, in its largest layers"),
]


def missing(goal: str, sweep: str = "headline") -> Finding:
    """A goal without rows."""
    return Finding(goal, why=f"no row yet: `neurolab sweep {sweep}` makes it")


def by_model(found: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """Rows by their model, those against which the others stand left out."""
    models: dict[str, list[Measurement]] = {}
    for row in found:
        name = str(row.setting.get("model"))
        if name not in REFERENCES:
            models.setdefault(name, []).append(row)
    return models


def mean(found: Sequence[Measurement], figure: str) -> float:
    """The mean of a figure over rows."""
    return statistics.fmean(float(row.figures[figure]) for row in found)


def ends(found: Sequence[Measurement], figure: str) -> tuple[float, float]:
    """The least and the most of a figure over rows."""
    values = [float(row.figures[figure]) for row in found]
    return min(values), max(values)


def files(loss: float) -> tuple[str, list[Measurement]] | None:
    """The smallest file whose loss, the mean of its seeds over both languages, is at most `loss` points."""
    able = {}
    for name, own in by_model(rows("headline.assistant", language="both")).items():
        sized = [
            row
            for row in own
            if {"file_ratio_vs_int8", "exact_match_drop_points"} <= row.figures.keys()
            and row.figures.get("questions", 0) >= ALL_QUESTIONS
        ]
        if sized and mean(sized, "exact_match_drop_points") <= loss:
            able[name] = sized
    if not able:
        return None
    best = max(able, key=lambda name: mean(able[name], "file_ratio_vs_int8"))
    return best, able[best]


def file_finding(goal: str, loss: float) -> Finding:
    """The ratio of the smallest file at a loss."""
    found = files(loss)
    if found is None:
        return missing(goal)
    name, own = found
    more = {
        figure: mean(own, figure)
        for figure in ("exact_match_drop_points", "bytes", "file_ratio_vs_fp32", "file_ratio_vs_int8_coded")
        if all(figure in row.figures for row in own)
    }
    return Finding(
        goal,
        mean(own, "file_ratio_vs_int8"),
        ends(own, "file_ratio_vs_int8"),
        setting={"model": name},
        figures={**more, "seeds": len(own)},
    )


def quality() -> list[Finding]:
    """What the file of the first goal loses in each language, and how many seeds that rests on.

    The spread is from the lowest lower end of the seeds' intervals to the highest upper end.
    """
    found = files(1.0)
    goals = ("headline.drop_th", "headline.drop_en", "headline.seeds")
    if found is None:
        return [missing(goal) for goal in goals]
    name, both = found
    made = []
    for goal in goals[:2]:
        language = goal[-2:]
        own = [
            row
            for row in rows("headline.assistant", model=name, language=language)
            if row.figures.get("questions", 0) >= ALL_QUESTIONS // 2 - 500
        ]
        if not own:
            made.append(missing(goal))
            continue
        figure = "exact_match_drop_points"
        low, high = ends(own, f"{figure}_low")[0], ends(own, f"{figure}_high")[1]
        more = {f"drop_seed_{row.setting.get('seed')}": float(row.figures[figure]) for row in own}
        setting = {"model": name}
        made.append(Finding(goal, mean(own, figure), (low, high), setting=setting, figures=more))
    seeds = len({row.setting.get("seed") for row in both})
    return [*made, Finding(goals[2], float(seeds), setting={"model": name})]


def peak_memory() -> Finding:
    """The model that takes the least memory while it answers; the others beside it."""
    goal, figure = "headline.peak_memory", "peak_memory_ratio_vs_int8"
    values = {
        name: mean(sized, figure)
        for name, own in by_model(rows("headline.assistant", language="both")).items()
        if (sized := [row for row in own if figure in row.figures])
    }
    if not values:
        return missing(goal)
    best = max(values, key=lambda name: values[name])
    return Finding(goal, values[best], setting={"model": best}, figures=values)


def token_speed() -> list[Finding]:
    """The variant that gains most over floats in its runtime; runs and tokens; and the least milliseconds."""
    found = [
        row
        for row in rows("headline.latency")
        if row.setting.get("runs", 0) >= RUNS
        and row.setting.get("tokens", 0) >= TOKENS
        and "ratio_vs_fp32" in row.figures
    ]
    goals = ("headline.token_speed", "headline.runs", "headline.run_tokens")
    if not found:
        return [missing(goal) for goal in goals]
    best = max(found, key=lambda row: row.figures["ratio_vs_fp32"])
    low_high = [best.figures.get(f"ratio_vs_fp32_{end}") for end in ("low", "high")]
    spread = (float(low_high[0]), float(low_high[1])) if None not in low_high else None  # type: ignore[arg-type]
    timed = [row for row in found if "milliseconds_per_token" in row.figures]
    more = {}
    if timed:
        least = min(timed, key=lambda row: row.figures["milliseconds_per_token"])
        more = {
            "fastest": f"{least.setting.get('model')} in {least.setting.get('runtime')}",
            "milliseconds_per_token": least.figures["milliseconds_per_token"],
        }
    kept = {key: best.setting.get(key) for key in ("model", "runtime")}
    return [
        Finding(goals[0], float(best.figures["ratio_vs_fp32"]), spread, setting=kept, figures=more),
        Finding(goals[1], float(best.setting["runs"])),
        Finding(goals[2], float(best.setting["tokens"])),
    ]


def energy() -> list[Finding]:
    """Simulated: the best spiking variant, the best of the others, and the best of all against floats."""
    models = by_model(rows("headline.energy"))
    found = {
        name: {ratio: mean(own, f"ratio_vs_{ratio}") for ratio in ("int8", "fp32")}
        for name, own in models.items()
        if all({"ratio_vs_int8", "ratio_vs_fp32"} <= row.figures.keys() for row in own)
    }
    made = []
    for goal, against, able in (
        ("headline.energy_spiking", "int8", [name for name in found if name.startswith(SPIKING)]),
        ("headline.energy_other", "int8", [name for name in found if not name.startswith(SPIKING)]),
        ("headline.energy_float", "fp32", list(found)),
    ):
        if not able:
            made.append(missing(goal))
            continue
        best = max(able, key=lambda name: found[name][against])
        figures = {name: found[name][against] for name in able}
        made.append(
            Finding(goal, found[best][against], setting={"model": best}, figures=figures, kind="simulated")
        )
    return made


def tradeoff_points() -> Finding:
    """How many points of T x bits x sparsity have a row."""
    goal = "headline.tradeoff_points"
    points = {
        tuple(str(row.setting.get(key)) for key in ("T", "bits", "sparsity"))
        for row in rows("tradeoff.point")
    }
    axes = [len({point[i] for point in points}) for i in range(3)]
    if not points:
        return missing(goal, "tradeoff")
    return Finding(goal, float(len(points)), figures=dict(zip(("T", "bits", "sparsity"), axes, strict=True)))


COMPRESS: tuple[tuple[str, str, str, Callable[..., float], float], ...] = (
    ("headline.compress_8_ratio", "int8", "ratio_vs_fp32", min, 1),
    ("headline.compress_8_cosine", "int8", "cosine", min, 1),
    ("headline.compress_4_ratio", "int4", "ratio_vs_fp32", min, 1),
    ("headline.compress_4_cosine", "int4", "cosine", min, 1),
    ("headline.compress_minutes", "", "compress_seconds", max, 1 / 60),
    ("headline.compress_layers", "", "largest_layer_ratio", max, 1),
)
"""Goal, precision (or "" for both), figure of compress.model, which of several rows counts, and its unit."""


def compress() -> list[Finding]:
    """`neurolab compress` on models of BERT-base's size: of several rows the worst."""
    found = [row for row in rows("compress.model") if str(row.setting.get("model")).startswith(BASE)]
    made = []
    for goal, precision, figure, worst, unit in COMPRESS:
        values = {
            f"{row.setting['model']}, {row.setting.get('precision')}": unit * float(row.figures[figure])
            for row in found
            if figure in row.figures and row.setting.get("precision") in ((precision,) if precision else EACH)
        }
        if not values or (not precision and len({name.rpartition(", ")[2] for name in values}) < len(EACH)):
            made.append(missing(goal, "own"))
            continue
        numbers = list(values.values())
        made.append(Finding(goal, worst(numbers), (min(numbers), max(numbers)), figures=values))
    return made


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Every goal; `quick` makes no difference: rows are read."""
    return [
        file_finding("headline.file_at_1_point", 1.0),
        file_finding("headline.file_at_3_points", 3.0),
        *quality(),
        peak_memory(),
        *token_speed(),
        *energy(),
        tradeoff_points(),
        *compress(),
    ]
