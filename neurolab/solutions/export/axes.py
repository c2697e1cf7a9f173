"""Chapter 7's exercise on dynamic axes: one file for any number of new pieces and any cache."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor
SIZES = ((1, 0), (1, 5), (4, 0), (3, 2), (5, 2), (3, 6), (7, 11))
"""(n, past): a first piece alone, a step, a prompt, ..."""


class Listener(nn.Module):
    """Attention and its cache: x (n, D), cache (past, D) -> heard (n, D), cache (past + n, D)."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.key = nn.Parameter(torch.randn(width, width, generator=generator))

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        n, past = x.shape[0], cache.shape[0]
        seen = torch.cat((cache, x @ self.key))  # (past + n, D)
        late = torch.arange(past + n)[None] > torch.arange(past, past + n)[:, None]
        shares = (x @ seen.T).masked_fill(late, -torch.inf).softmax(1)  # (n, past + n)
        return shares @ seen, seen


def save(layer: torch.nn.Module, width: int) -> torch.export.ExportedProgram:
    """layer(x (n, D), cache (past, D)), D = width -> the layer, exported for any n >= 1 and past >= 0."""
    any_size = torch.export.Dim.DYNAMIC
    x, cache = torch.zeros(3, width), torch.zeros(2, width)  # neither 0 nor 1: those are taken as constants
    return torch.export.export(layer, (x, cache), dynamic_shapes=({0: any_size}, {0: any_size}))


def _cases(rng: np.random.Generator) -> list[Case]:
    return [((Listener(width, seed), width), {}) for seed, width in enumerate((4, 6))]


def works(got: Any, want: ExportedProgram) -> bool:
    """Whether two programs answer alike at every one of SIZES."""
    if not isinstance(got, ExportedProgram):
        return False
    width = next(iter(want.state_dict.values())).shape[0]
    generator = torch.Generator().manual_seed(1)
    ours, theirs = got.module(), want.module()
    for n, past in SIZES:
        x, cache = (torch.randn(size, width, generator=generator) for size in (n, past))
        for a, b in zip(ours(x, cache), theirs(x, cache), strict=True):
            if a.shape != b.shape or not torch.allclose(a, b, rtol=1e-5, atol=1e-6):
                return False
    return True


def _quirks(got: Any, want: Any) -> bool:
    """`works`, or, for two programs that are both too narrow, narrow in the same way."""
    if not isinstance(got, ExportedProgram) or not isinstance(want, ExportedProgram):
        return False
    return fits(got) == fits(want) and (fits(want) != ALL or works(got, want))


def fits(program: ExportedProgram) -> tuple[bool, ...]:
    """At which of SIZES a program runs at all."""
    width = next(iter(program.state_dict.values())).shape[0]
    module = program.module()
    found = []
    for n, past in SIZES:
        try:
            module(torch.zeros(n, width), torch.zeros(past, width))
        except (AssertionError, RuntimeError):  # a guard, or a shape that doesn't fit
            found.append(False)
        else:
            found.append(True)
    return tuple(found)


ALL = (True,) * len(SIZES)


def _wrong(x: Any, cache: Any, n: int = 3, past: int = 2) -> Callable[[nn.Module, int], ExportedProgram]:
    """An export that follows a call of sizes n and past, with these axes declared."""

    def wrong(layer: nn.Module, width: int) -> ExportedProgram:
        shapes = ({0: x} if x else None, {0: cache} if cache else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(
                layer, (torch.zeros(n, width), torch.zeros(past, width)), dynamic_shapes=shapes
            )

    return wrong


register(
    Exercise(
        name="export.axes",
        chapter=7,
        minutes=9,
        difficulty="medium",
        task="Here is a small layer with a cache: `layer(x, cache)` takes n new rows `x` (n, width) and "
        "the rows before them, `cache` (past, width), and returns what the new rows hear (n, width) and "
        "the longer cache (past + n, width). Export it with `torch.export.export(layer, (x, cache), "
        "dynamic_shapes=...)`, so that *one* program serves every n from 1 and every past from 0, and "
        "return the program. You choose the example inputs.",
        reference=save,
        cases=_cases,
        same=_quirks,
        stub="def save(layer, width):\n    ...",
        seconds=60.0,
        mistakes=[
            Mistake(
                _wrong(None, None),
                "That program knows one size: that of your example. Say which axes may change: "
                "`dynamic_shapes` has an entry for each input, `{axis: torch.export.Dim.DYNAMIC}`.",
            ),
            Mistake(
                _wrong(Dim.DYNAMIC, None),
                "Any number of new rows, but always the same cache. It grows with every call: its axis 0 "
                "is dynamic too.",
            ),
            Mistake(
                _wrong(None, Dim.DYNAMIC),
                "The cache may grow, but there are always as many new rows as in your example. A prompt has "
                "many, the step after it one.",
            ),
            Mistake(
                _wrong(Dim.AUTO, Dim.AUTO, 1, 0),
                "The example was the first call in real life: one row, an empty cache. An exporter takes 0 "
                "and 1 for constants, and `AUTO` lets that pass without a word. Follow a call with larger "
                "sizes.",
            ),
            Mistake(
                _wrong(Dim.AUTO, Dim.AUTO, 3, 0),
                "The example's cache was empty, and an exporter takes sizes of 0 and 1 for constants: yours "
                "is empty for ever. Use 2 rows or more.",
            ),
            Mistake(
                _wrong(Dim.AUTO, Dim.AUTO, 1, 2),
                "The example had one new row, and an exporter takes sizes of 0 and 1 for constants. Use 2 "
                "or more.",
            ),
        ],
        hints=[
            "The example inputs can be anything of the right shape, `torch.zeros(3, width)` say. Only their "
            "sizes matter, and they should be neither 0 nor 1.",
            "`dynamic_shapes=({0: d}, {0: d})`, with `d = torch.export.Dim.DYNAMIC`: axis 0 of `x`, and "
            "axis 0 of `cache`.",
            "`return torch.export.export(layer, (torch.zeros(3, width), torch.zeros(2, width)), "
            "dynamic_shapes=({0: d}, {0: d}))`.",
        ],
    )
)
