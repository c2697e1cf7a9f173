"""A quantized weight: whole numbers and the steps that turn them back, and what they are worth.

A code q and its step s stand for the number s (q - z), z the zero point. A step may serve the whole tensor, a
row (output channel), a column, or a group of neighbours in a row.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from neurolab import assistant, facts
from neurolab.facts import Question

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Coded:
    """A quantized tensor.

    q: int16 codes, of the weight's shape.  step: float32 s > 0, 0-d, or (R', C'), divisors of
    the rows and of the numbers in a row: (R, 1) one a row, (1, C) one a column, (R, C / g) one a group of g.
    zero: int16 z of the step's shape; None stands for 0.
    """

    q: Tensor
    step: Tensor
    zero: Tensor | None = None

    def __post_init__(self) -> None:
        if self.q.dtype != torch.int16 or self.step.dtype != torch.float32:
            raise ValueError(f"q is {self.q.dtype}, step {self.step.dtype}: must be int16 and float32")
        if not bool((self.step > 0).all()) or not bool(torch.isfinite(self.step).all()):
            raise ValueError("step holds NaN, infinity or a number that is not above 0")
        if self.step.ndim not in (0, 2):
            raise ValueError(f"step of shape {tuple(self.step.shape)}: must be () or (R', C')")
        rows, columns = self._matrix()
        if self.step.ndim == 2 and (rows % self.step.shape[0] or columns % self.step.shape[1]):
            raise ValueError(
                f"step of shape {tuple(self.step.shape)}: must divide ({rows}, {columns}), the rows of q and "
                "the numbers in one"
            )
        if self.zero is not None and (self.zero.dtype != torch.int16 or self.zero.shape != self.step.shape):
            raise ValueError("zero: must be int16 and of the step's shape")

    def _matrix(self) -> tuple[int, int]:
        rows = self.q.shape[0] if self.q.ndim > 1 else 1
        return rows, self.q.numel() // max(rows, 1)

    def spread(self, x: Tensor) -> Tensor:
        """`x`, of the step's shape, repeated to the shape of q."""
        if x.ndim == 0:
            return x
        rows, columns = self._matrix()
        x = x.repeat_interleave(rows // x.shape[0], 0).repeat_interleave(columns // x.shape[1], 1)
        return x.reshape(self.q.shape)

    def value(self) -> Tensor:
        """s (q - z), float32, of the shape of q."""
        q = self.q.float() if self.zero is None else self.q.float() - self.spread(self.zero).float()
        return q * self.spread(self.step)


Tensors = dict[str, Coded | Tensor]
"""The weights of a model by name: coded ones, and floats as they are."""


def values(tensors: Mapping[str, Coded | Tensor]) -> dict[str, Tensor]:
    """The float32 weights that `tensors` stand for."""
    return {name: x.value() if isinstance(x, Coded) else x.float() for name, x in tensors.items()}


def put(model: Model, tensors: Mapping[str, Coded | Tensor]) -> Model:
    """A copy of `model` with these weights; those not named stay. ValueError for a name it does not have."""
    made = copy.deepcopy(model)
    weights = values(tensors)
    if unknown := sorted(set(weights) - set(made.state_dict())):
        raise ValueError(f"tensors holds {unknown[0]!r}: the model has no such weight")
    made.load_state_dict(weights, strict=False)
    return made


@lru_cache(maxsize=1)
def float_bytes() -> int:
    """Bytes of the shipped assistant's float file."""
    return (assistant.FOLDER / assistant.WEIGHTS).stat().st_size


@lru_cache(maxsize=4)
def _float_scores(every: int) -> dict[str, float]:
    helper = assistant.load()
    return scores(helper.model, every)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return assistant.load().tokenizer


def scores(model: nn.Module, every: int = 1) -> dict[str, float]:
    """Exact match in [0, 1] and bits per answer byte, by language too, on each `every`-th held-out one."""
    asked: dict[str, Sequence[Question]] = {
        lang: facts.split("held_out", lang)[::every] for lang in facts.LANGUAGES
    }
    by = {lang: assistant.quick_scores(model, _tokenizer(), some) for lang, some in asked.items()}
    size = {lang: sum(len(q.answer.encode()) for q in some) for lang, some in asked.items()}
    count = sum(len(some) for some in asked.values())
    found = {f"exact_match_{lang}": figures["exact_match"] for lang, figures in by.items()}
    return {
        "exact_match": sum(by[lang]["exact_match"] * len(some) for lang, some in asked.items()) / count,
        "bits_per_answer_byte": sum(by[lang]["bits_per_answer_byte"] * size[lang] for lang in by)
        / sum(size.values()),
        **found,
        **{f"bits_per_answer_byte_{lang}": figures["bits_per_answer_byte"] for lang, figures in by.items()},
        "questions": count,
    }


def figures(
    model: nn.Module,
    tensors: Mapping[str, Coded | Tensor] | None = None,
    coder: str = "ans",
    *,
    every: int = 1,
) -> dict[str, float]:
    """`scores` of `model`, what it lost against the float assistant, and the bytes of its file.

    tensors: the model's weights as they go into the file (None: no file). every: score only each
    `every`-th held-out question.
    """
    found = scores(model, every)
    found["exact_match_drop_points"] = 100 * (_float_scores(every)["exact_match"] - found["exact_match"])
    if tensors is not None:
        found |= sizes(model, tensors, coder)
    return found


def sizes(model: nn.Module, tensors: Mapping[str, Coded | Tensor], coder: str = "ans") -> dict[str, float]:
    """Bytes of the file written from `tensors`, read back and compared, and how many times smaller it is."""
    from dataclasses import asdict

    from neurolab.compressed import load, save  # the file, one floor up

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nl"
        size = save(path, dict(tensors), config=asdict(model.config), coder=coder)  # type: ignore[arg-type,call-overload]
        back = load(path).tensors
    wanted, got = values(tensors), values(back)
    if wanted.keys() != got.keys() or not all(torch.equal(wanted[name], got[name]) for name in wanted):
        raise RuntimeError("the file does not give back the weights that were written")
    return {"bytes": size, "size_ratio": float_bytes() / size}
