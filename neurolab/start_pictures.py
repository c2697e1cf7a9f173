"""Chapter 0's pictures: what rounding does to answers, weights and bytes, and the road of the course."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from neurolab.exercise_cards import Card
from neurolab.explore import COLOURS, Choice, Explorer, Steps, layout
from neurolab.quantization import best_scales, dequantize, quantize
from neurolab.road import ROAD
from neurolab.start import LANGUAGES, matches, precision, samples


def bits_explorer() -> Explorer:
    """Exact match in each language at the chosen bits, beside the float model's."""
    found = matches()

    def compute(bits: int) -> dict[str, Any]:
        return {
            "match": np.array([found[bits][lang] for lang in LANGUAGES]),
            "float": np.array([found[32][lang] for lang in LANGUAGES]),
            "label": [f"{found[bits][lang]:.1f} %" for lang in LANGUAGES],
            "bits": precision(bits),
        }

    def figure(result: dict[str, Any]) -> go.Figure:
        names = list(LANGUAGES.values())
        drawn = go.Figure(layout=layout(barmode="overlay", height=340))
        drawn.add_bar(
            name="float", x=names, y=result["float"], width=0.7, marker={"color": "rgba(128,128,128,0.28)"}
        )
        drawn.add_bar(
            name="rounded",
            x=names,
            y=result["match"],
            text=result["label"],
            width=0.45,
            textposition="auto",
            marker={"color": COLOURS["blue"]},
        )
        return drawn.update_yaxes(title="answers that match exactly (%)", range=[0, 104])

    def describe(result: dict[str, Any]) -> str:
        parts = ", ".join(
            f"{name} {text}" for name, text in zip(LANGUAGES.values(), result["label"], strict=True)
        )
        return f"With {result['bits']} a weight, of the held-out questions answered exactly: {parts}."

    return Explorer(
        compute,
        figure,
        controls={"bits": Choice(*found, value=8, label="bits a weight")},
        changes={"rounded": {"y": "match", "text": "label"}},
        describe=describe,
        title="How far down can you go?",
        caption="Step from 8 bits to 2. Watch for the step at which the blue bars leave the grey "
        "ones, and for "
        "the language that leaves first.",
        alt="Two bars, Thai and English: the share of held-out questions that the rounded model "
        "answers exactly, "
        "in front of the float model's share in grey.",
    )


def samples_explorer() -> Explorer:
    """Which of the sample answers survive at which bits; the sentence below reads the chosen one out."""
    found = samples()
    questions, widths = list(found), list(next(iter(found.values())))
    same = np.array([[float(found[q][b] == found[q][widths[0]]) for b in widths] for q in questions])
    signs = np.where(same > 0, "=", "x")

    def compute(question: str, bits: int) -> dict[str, Any]:
        return {
            "x": [str(bits)],
            "y": [f"Q{questions.index(question) + 1}"],
            "question": question,
            "bits": precision(bits),
            "answer": found[question][bits],
            "float_answer": found[question][32],
        }

    def figure(result: dict[str, Any]) -> go.Figure:
        labels = [f"Q{i + 1}" for i in range(len(questions))]
        drawn = go.Figure(layout=layout(height=360))
        drawn.add_heatmap(
            name="answers",
            x=[str(b) for b in widths],
            y=labels,
            z=same,
            text=signs,
            texttemplate="%{text}",
            hoverinfo="skip",
            zmin=0,
            zmax=1,
            xgap=3,
            ygap=3,
            showscale=False,
            colorscale=[[0, COLOURS["orange"]], [1, COLOURS["sky"]]],
        )
        drawn.add_scatter(
            name="chosen",
            x=result["x"],
            y=result["y"],
            mode="markers",
            hoverinfo="skip",
            marker={"symbol": "square-open", "size": 30, "line": {"width": 3}, "color": COLOURS["ink"]},
        )
        drawn.update_xaxes(title="bits a weight", type="category")
        return drawn.update_yaxes(autorange="reversed", type="category")

    def describe(result: dict[str, Any]) -> str:
        answer = result["answer"] or "(nothing)"
        verdict = "the float model's answer" if answer == result["float_answer"] else "changed"
        return f"{result['question']} With {result['bits']}: {answer} ({verdict})."

    return Explorer(
        compute,
        figure,
        controls={
            "question": Choice(*questions, label="question"),
            "bits": Choice(*widths, value=3, label="bits a weight"),
        },
        changes={"chosen": {"x": "x", "y": "y"}},
        describe=describe,
        title="Which answers survive?",
        caption="One row a question. A blue field marked = is the float model's own answer; an "
        "orange one marked x "
        "is another. Pick a question and walk it down; the sentence reads the answer out.",
        alt="A grid of fields, questions down and bits across: marked = where the rounded model "
        "gives the float "
        "model's answer, x where it gives another. More x fields towards few bits.",
    )


def staircase_explorer(weights: np.ndarray) -> Explorer:
    """Weights (N,) against what rounding makes of them at 2 to 8 bits, with the best of a hundred steps."""
    w = torch.tensor(np.sort(weights))[None]  # (1, N)

    def compute(b: int) -> dict[str, Any]:
        s = best_scales(w, b)
        rounded = dequantize(quantize(w, s, b), s)
        error = (rounded - w).square().mean().sqrt() / w.square().mean().sqrt()
        return {"rounded": rounded[0].numpy(), "b": float(b), "s": s.item(), "error": error.item()}

    def figure(result: dict[str, Any]) -> go.Figure:
        drawn = go.Figure(layout=layout(height=360))
        drawn.add_scatter(
            name="not rounded",
            x=w[0].numpy(),
            y=w[0].numpy(),
            mode="lines",
            line={"dash": "dash", "color": "rgba(128,128,128,0.8)"},
        )
        drawn.add_scatter(
            name="rounded",
            x=w[0].numpy(),
            y=result["rounded"],
            mode="markers",
            marker={"size": 6, "color": COLOURS["blue"]},
        )
        drawn.update_xaxes(title="weight w")
        return drawn.update_yaxes(title="what is kept of it, s q")

    def describe(result: dict[str, Any]) -> str:
        return (
            f"b = {result['b']:.0f}: {2 ** result['b']:.0f} codes, step s = {result['s']:.3f}; "
            f"the rounding error is {100 * result['error']:.1f} % of the weights' own size (RMS)."
        )

    return Explorer(
        compute,
        figure,
        controls={"b": Steps(2, 8, value=3, label="bits b")},
        changes={"rounded": {"y": "rounded"}},
        describe=describe,
        title="One row of weights, rounded",
        caption="Drag b down: each bit you take away halves the number of stairs. At 2 bits "
        "nearly all weights "
        "share three values.",
        alt="Blue dots form a staircase around the dashed diagonal: many narrow stairs at 8 "
        "bits, four wide ones "
        "at 2 bits.",
    )


def size_explorer(parameters: float, marks: dict[str, float]) -> Explorer:
    """Bytes of codes and scales of a model at b bits; `marks` draws dashed lines: text -> bytes."""

    def compute(bits: int, group: int) -> dict[str, Any]:
        codes, scales = parameters * bits / 8 / 1e6, parameters / group * 2 / 1e6
        return {
            "codes": np.array([codes]),
            "scales": np.array([scales]),
            "bits": float(bits),
            "group": float(group),
        }

    def figure(result: dict[str, Any]) -> go.Figure:
        drawn = go.Figure(layout=layout(barmode="stack", height=300))
        for name, colour in (("codes", "blue"), ("scales", "orange")):
            drawn.add_bar(
                name=name, x=result[name], y=["model"], orientation="h", marker={"color": COLOURS[colour]}
            )
        for level, (text, size) in enumerate(marks.items()):
            drawn.add_vline(x=size / 1e6, line_dash="dash", line_color="rgba(128,128,128,0.9)")
            anchor = "right" if size > 0.5 * max(marks.values()) else "left"  # inwards, where there is room
            drawn.add_annotation(
                x=size / 1e6, y=0.98 - 0.12 * level, yref="paper", text=text, showarrow=False, xanchor=anchor
            )
        drawn.update_yaxes(showticklabels=False, range=[-0.5, 1.1])
        return drawn.update_xaxes(title="megabytes", range=[0, 1.3 * max(marks.values()) / 1e6])

    def describe(result: dict[str, Any]) -> str:
        total = result["codes"][0] + result["scales"][0]
        return (
            f"{result['bits']:.0f} bits a weight and a scale for every {result['group']:.0f}: "
            f"{total:.0f} MB, "
            f"{total * 8e6 / parameters:.2f} bits a weight in all."
        )

    return Explorer(
        compute,
        figure,
        controls={
            "bits": Steps(1, 8, value=8, label="bits a weight"),
            "group": Choice(32, 64, 128, 256, value=128),
        },
        changes={"codes": {"x": "codes"}, "scales": {"x": "scales"}},
        describe=describe,
        title="What fits into the footprint?",
        caption="Drag the bits until the bar ends at the second dashed line. Can you hit it with whole bits?",
        alt="A bar of the model's megabytes, codes and scales stacked, with dashed lines at the "
        "article's footprints "
        "before and after.",
    )


_ASKS = (
    "Ask, doubt, predict.",
    "Numbers become spikes.",
    "A neuron that adds up, forgets and fires.",
    "The hardest part of the network, in spikes.",
    "Fewer bits for each weight.",
    "Fewer weights, and shorter files.",
    "Less work for each picture.",
    "Your phone, your milliseconds.",
    "The ledger, filled.",
)


def road() -> Card:
    """The whole course on one page: nine stops down a road, an SVG that reads at 360 px and in the dark."""
    step, width = 84, 360
    height = step * len(ROAD) + 4
    parts = []
    for (number, _, title, question), asks in zip(ROAD, _ASKS, strict=True):
        y = step * number + 26
        lines = [(title, 16, 700), (asks, 13, 400), *((line, 13, 400) for line in _wrap(question, 42))]
        at = y
        for i, (line, size, weight) in enumerate(lines):
            style = ' font-style="italic"' if i > 1 else ""
            parts.append(
                f'<text x="56" y="{at}" font-size="{size}" font-weight="{weight}" fill="currentColor"{style}>'
                f"{escape(line)}</text>"
            )
            at += 17
        parts.append(
            f'<circle cx="24" cy="{y - 5}" r="16" fill="none" stroke="#0072B2" stroke-width="2.5"/>'
            f'<text x="24" y="{y}" text-anchor="middle" font-size="15" fill="currentColor">{number}</text>'
        )
        if number < len(ROAD) - 1:
            parts.append(
                f'<line x1="24" y1="{y + 14}" x2="24" y2="{y + step - 24}" stroke="#0072B2" stroke-width="3" '
                'stroke-dasharray="0.1 8" stroke-linecap="round"/>'
            )
    alt = "The road of the course, nine stops: " + "; ".join(f"{n} {t}: {q}" for n, _, t, q in ROAD)
    svg = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}" font-family="inherit" '
        f'style="width:100%;max-width:26rem;height:auto;display:block">{"".join(parts)}</svg>'
    )
    return Card(svg, alt)


def _wrap(text: str, most: int) -> list[str]:
    """The text in lines of at most `most` letters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
