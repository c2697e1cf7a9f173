"""What the course left out on purpose, and why: things that the articles name, or that a reader may miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from neurolab.exercise_cards import prose

ITEMS: tuple[tuple[str, str], ...] = (
    (
        "TorchServe, and servers altogether",
        "It serves models from a data centre, and its makers have archived it. The question here is what a "
        "phone can do by itself; batching and caches, which a server lives on, are measured in chapter 8.",
    ),
    (
        "Work stealing across many cores",
        "The rows are made on two cores, mostly one thread a measurement: there is nobody to steal from. A "
        "ratio with many threads would say more about the scheduler than about the model.",
    ),
    (
        "Telepresence, and drawing into augmented reality",
        "They need cameras, two people and glasses. What of them is a figure (tokens a frame, times, "
        "quality) is tested on video that the course makes itself (chapter 6).",
    ),
    (
        "An offline summariser",
        "1.4 million parameters know a few thousand facts and cannot write a summary worth reading. "
        "A number for its quality would be a number about nothing.",
    ),
    (
        "Canary deployment",
        "Giving a new model to a few users first needs users. What one would watch (the 95th and 99th "
        "percentile, a fallback) is built in chapter 6.",
    ),
    (
        "Compiler passes in MLIR",
        "Writing one is a course of its own. What a compiler brings is measured with those that are there: "
        "kernels in C, tiles of FlexAttention, ONNX Runtime's fused operators.",
    ),
    (
        "Carbon-aware scheduling",
        "When to run a job is a question about the power grid, not about the model.",
    ),
    (
        "The articles' own models and phones",
        "Every claim is tested on models that a reader can train again, of some million parameters at most. "
        "So ratios are compared, and not their gigabytes and milliseconds.",
    ),
    (
        "GPUs, NPUs and neuromorphic chips",
        "A reader of this course has a laptop and a phone. Claims about other hardware stay *not measurable "
        "here*, each with the nearest thing that was measured, and with what it would take.",
    ),
    (
        "Joules from a desktop's processor as a phone's joules",
        "Energy by the model, by counters and by a phone's recording stand in columns of their own: "
        "adding or averaging them would make a number that nothing has.",
    ),
    (
        "Libraries that ended or no longer install",
        "PyTorch Mobile (followed by ExecuTorch), DeepSparse, SparseML, NengoDL, Trepn, Battery Historian: a "
        "course that rests on them could not be run next year. They are named where their ideas are used.",
    ),
)
"""What, and why."""

STYLE = """<style>
.neurolab-left-out dt{font-weight:600;margin-top:.6rem}.neurolab-left-out dd{margin:0 0 0 1.2rem}
.neurolab-left-out dd p{margin:.2rem 0!important}
</style>"""


@dataclass(frozen=True)
class LeftOut:
    """Pairs of what was left out and why, as a list for notebook, book and terminal."""

    items: Sequence[tuple[str, str]]

    def _repr_html_(self) -> str:
        parts = "".join(
            f"<dt>{escape(what, quote=False)}</dt><dd>{prose(why)}</dd>" for what, why in self.items
        )
        return f'{STYLE}<dl class="neurolab-left-out">{parts}</dl>'

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- **{what}**: {why}" for what, why in self.items)

    def __repr__(self) -> str:
        return "\n".join(f"{what}: {why}" for what, why in self.items)


def left_out() -> LeftOut:
    """What the course left out on purpose, and why."""
    return LeftOut(ITEMS)
