"""Chapter 6's early exit: an answer of the assistant piece by piece, and the rows of every threshold."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown

from neurolab import assistant, exit_figures
from neurolab import sparsity_charts as charts
from neurolab.attention_rows import table
from neurolab.early_exit import NEVER, Exiting, full_macs
from neurolab.explore import Choice, Explorer
from neurolab.measurements import Measurement, read
from neurolab.quantization_rows import by, spread, values
from neurolab.sparsity_rows import NOT_YET
from neurolab.tokens import END_ID, encode_question

QUESTIONS = (
    "Which Thai name does the territory Kosovo have?",
    "Which language do people mainly speak in Japan?",
    "Give the English name of the city เยเรวาน.",
)
SURE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, NEVER)
MODELS = {
    "the assistant": {"model": "assistant", "cache": "late"},
    "the assistant, copied keys": {"model": "assistant", "cache": "copy"},
    "the video network, 32 tokens": {"model": "video", "network": "dynamic"},
}
"""What stands in the rows of sparsity.exit_sweep, in words."""
WHOLE = {"assistant": "the assistant", "video": "the video network, all tokens"}
"""The same for sparsity.early_exit."""


@lru_cache(maxsize=32)
def _walked(question: str, sure: float) -> dict[str, Any]:
    helper = assistant.load()
    ids = torch.tensor([encode_question(helper.tokenizer, question)])
    with torch.inference_mode():
        walk = Exiting(helper.model, exit_figures.shipped(), sure).walk(ids, END_ID)
    texts = [helper.tokenizer.decode([t], skip_special_tokens=False).strip() for t in walk.tokens]
    cost = walk.macs / full_macs(helper.model.config, ids.shape[1], len(walk.tokens))
    return {"texts": texts, "layers": walk.layers, "cost": cost, "tokens": walk.tokens}


def walked(question: str, sure: float) -> dict[str, Any]:
    """One answer with exits at a probability of `sure` (above 1: none): layers of each piece, its cost."""
    found, whole = _walked(question, sure), _walked(question, NEVER)
    same = "as" if found["tokens"] == whole["tokens"] else "not as"
    pieces = [f"{i}. {t.strip('<>')}" for i, t in enumerate(found["texts"], start=1)]
    said = "without exits" if sure > 1 else f"sure means {100 * sure:g} %"
    return {
        "pieces": pieces,
        "layers": np.array(found["layers"]),
        "words": f"{said}: {np.mean(found['layers']):.1f} layers a piece, {100 * found['cost']:.0f} % of all "
        f"multiply-adds, those of the small heads among them; the answer is {same} with all layers",
    }


def walk_explorer() -> Any:
    """`walked` with its controls."""
    names = {("never" if s > 1 else f"{100 * s:g} %"): s for s in SURE}
    return Explorer(
        lambda question, sure: walked(question, names[sure]),
        charts.layers,
        controls={"question": Choice(*QUESTIONS), "sure": Choice(*names, value="90 %", label="sure enough")},
        changes=charts.LAYERS_CHANGES,
        describe=lambda r: r["words"][0].upper() + r["words"][1:] + ".",
        title="How many layers does each piece take?",
        alt="A bar for each piece of the answer, as high as the number of layers that it went through: some "
        "stop at one or two, others go up to four.",
        caption="Which pieces leave early, and which never? Lower the bar to 50 per cent: is it still the "
        "same answer? And what happens to the multiply-adds if it is set to 99?",
    )


def exit_explorer() -> Any:
    """Every threshold of the rows: mean cost and times, in per cent of all layers, and points lost."""
    rows = read("sparsity.exit_sweep")
    found: dict[str, dict[str, Measurement]] = {}
    for said, wanted in MODELS.items():
        here = [r for r in rows if wanted.items() <= r.setting.items()]
        at = {
            r.setting["threshold"]: r
            for r in here
            if r.setting["threshold"] == "never" or r.setting["threshold"].replace(".", "").isdigit()
        }
        if len(at) > 2:
            found[said] = dict(sorted(at.items(), key=lambda one: (one[0] == "never", one[0])))
    if len(found) < 2:
        return Markdown(NOT_YET)

    def compute(model: str) -> dict[str, Any]:
        at = found[model]
        figures = [row.figures for row in at.values()]
        fine = [t for t, row in at.items() if row.figures["accuracy_drop_points"] <= 1]
        least = min(fine, key=lambda t: at[t].figures["mean_cost_ratio"]) if fine else None
        words = "no threshold loses less than a point"
        if least is not None:
            f = at[least].figures
            words = (
                f"within a point, {least} is cheapest: {100 * f['mean_cost_ratio']:.0f} % of the "
                f"multiply-adds, {100 / f['p50_ratio']:.0f} % of the median time, "
                f"{100 / f['p95_ratio']:.0f} % of the 95th percentile"
            )
        return {
            "sure": list(at),
            "cost": np.array([100 * f["mean_cost_ratio"] for f in figures]),
            "p50": np.array([100 / f["p50_ratio"] for f in figures]),
            "p95": np.array([100 / f["p95_ratio"] for f in figures]),
            "lost": np.array([f["accuracy_drop_points"] for f in figures]),
            "words": f"{model}: {words}",
        }

    return Explorer(
        compute,
        charts.exits,
        controls={"model": Choice(*found)},
        changes=charts.EXITS_CHANGES,
        describe=lambda r: r["words"][0].upper() + r["words"][1:] + ".",
        title="The mean, the median and the tail",
        alt="Above, lines over the threshold: multiply-adds, median time and the time's 95th percentile, "
        "in per cent of all layers. Below, the points of accuracy lost, which fall as the threshold rises.",
        caption="Find the threshold from which on hardly anything is lost. What is left of the saving "
        "there? And where is the blue dotted line, that of the slowest requests?",
    )


def exit_table() -> Any:
    """The settings chosen on validation data: mean cost, and the clock at three places (claim A21)."""
    lines = [
        [
            WHOLE.get(model, model),
            spread(values(here, "accuracy_drop_points"), 2),
            spread(values(here, "layers_mean"), 1),
            spread([100 * x for x in values(here, "mean_cost_ratio")], 0),
            *(f"**{text}**" if i == 0 else text for i, text in enumerate(_times(here))),
            len(here),
        ]
        for (model,), here in by(read("sparsity.early_exit"), "model").items()
    ]
    heads = ["early exit on", "points lost", "layers, mean", "multiply-adds (% of all layers)"]
    heads += ["times as fast, p50", "p95", "p99", "seeds"]
    return Markdown(f"{table(heads, lines)}\n\n*(measured)*" if lines else NOT_YET)


def _times(rows: list[Measurement]) -> list[str]:
    return [spread(values(rows, f"p{p}_ratio"), 2) for p in (50, 95, 99)]
