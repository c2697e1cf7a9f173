"""Chapter 6's exercise on early exit: answer as soon as a layer is sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def stop(scores: torch.Tensor, sure: float) -> tuple[int, int]:
    """scores (layers, classes), one row after each layer -> layers used, and the class that is answered."""
    for layer, p in enumerate(scores.softmax(1), start=1):
        if p.max() >= sure or layer == len(scores):
            return layer, int(p.argmax())
    raise ValueError("scores has no layer")


def _stop_cases(rng: np.random.Generator) -> list[Case]:
    def grown(layers: int, classes: int) -> Tensor:
        noise = rng.normal(size=(layers, classes))
        noise[:, int(rng.integers(classes))] += np.linspace(0, 4, layers)
        return torch.tensor(noise)

    certain = torch.tensor([[9.0, 0.0], [0.0, 9.0]], dtype=torch.float64)  # sure at once, and wrong
    doubt = torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.0, 0.3]], dtype=torch.float64)  # never sure
    wave = torch.tensor([[0.0, 0.5, 0.0], [3.0, 0.0, 0.0], [0.0, 0.4, 0.0]], dtype=torch.float64)
    loud = torch.tensor([[5.0, 4.9, 4.9], [0.0, 6.0, 0.0]], dtype=torch.float64)  # large scores, no lead
    even = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)  # one half, exactly
    cases: list[Case] = [((s, p), {}) for s in (certain, doubt, wave, loud) for p in (0.6, 0.9)]
    cases += [((even, 0.5), {}), ((even[:1], 0.9), {})]
    return [*cases, *(((grown(layers, 10), p), {}) for layers in (3, 4, 6) for p in (0.3, 0.5, 0.8))]


def _stop_wrong(
    largest: bool = True, raw: bool = False, last: bool = True, base: int = 1, late: bool = False,
    strict: bool = False, best: bool = False, swap: bool = False,
) -> Callable[[Tensor, float], tuple[int, int] | None]:  # fmt: skip
    """An exit rule with one thing wrong."""

    def wrong(scores: Tensor, sure: float) -> tuple[int, int] | None:
        p = scores if raw else scores.softmax(1)
        top = p.max(1).values
        hits = [i for i, x in enumerate(top.tolist()) if (x > sure if strict else x >= sure)]
        if not largest:
            hits = [i for i in range(len(p)) if p[i].mean() >= sure]
        if best:
            hits = [int(top.argmax())]
        if not hits and not last:
            return None
        at = hits[0] if hits else len(p) - 1
        said = int(p[-1].argmax()) if late else int(p[at].argmax())
        return (said, at + base) if swap else (at + base, said)

    return wrong


register(
    Exercise(
        name="sparsity.exit",
        chapter=6,
        minutes=6,
        difficulty="easy",
        task="Stop as soon as you are sure. `scores` (layers, classes) has a row for each layer: what the "
        "network would answer if it stopped there. Turn each row into probabilities (softmax). Answer "
        "after the *first* layer whose largest probability is at least `sure`, and after the last one in "
        "any case. Return how many layers were used (1, 2, ...) and which class is answered.",
        reference=stop,
        cases=_stop_cases,
        stub="def stop(scores, sure):\n    ...",
        mistakes=[
            Mistake(
                _stop_wrong(raw=True),
                "You compare scores with a probability. Scores may be as large as they like: softmax first.",
            ),
            Mistake(
                _stop_wrong(base=0),
                "Python counts from 0, but whoever stops after the first layer has used 1.",
            ),
            Mistake(
                _stop_wrong(late=True),
                "The answer comes from the last layer, which was to be saved. Answer from the layer that "
                "was sure.",
            ),
            Mistake(
                _stop_wrong(best=True),
                "You look for the layer that is surest, and for that all layers are needed. Stop at the "
                "first that is sure enough.",
            ),
            Mistake(
                _stop_wrong(last=False),
                "If no layer is sure, there is no answer. Then the last one has to give it.",
            ),
            Mistake(
                _stop_wrong(strict=True),
                "At least `sure`: `>=`.",
            ),
            Mistake(
                _stop_wrong(largest=False),
                "The mean of probabilities is 1 / classes, whatever happens. The largest says how sure it "
                "is.",
            ),
            Mistake(
                _stop_wrong(swap=True),
                "The other way round: first the layers used, then the class.",
            ),
        ],
        hints=[
            "`scores.softmax(1)` makes each row probabilities. Go through them with `enumerate(..., "
            "start=1)`.",
            "Stop if `p.max() >= sure`, or if this is the last layer: `layer == len(scores)`.",
            "`return layer, int(p.argmax())` inside the loop.",
        ],
    )
)
