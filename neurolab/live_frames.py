"""The frames a live loop remembers: what can be used, what can't, and what stands in for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

FAULTS = (OSError, ValueError, RuntimeError, TypeError, IndexError, ArithmeticError)  # absorbed, said
BRIGHTEST = 16.0  # a pixel beyond +-16 is no picture in about [0, 1]

Source = Callable[[int], Any]  # the number of a frame -> (S, S) tensor or array, or None: dropped


class Memory:
    """The last F frames, and what was wrong with those that could not be used.

    A bad frame is stood in for by the one before; after more than F / 2 bad ones in a row memory is emptied:
    an answer from frames that never were would be made up.
    """

    def __init__(self, frames: int, side: int) -> None:
        if frames < 1 or side < 1:
            raise ValueError(f"frames is {frames} and side {side}; both must be at least 1")
        self.frames, self.side = frames, side
        self._held: list[Tensor] = []
        self._bad = 0

    @property
    def full(self) -> bool:
        """Whether there are F frames."""
        return len(self._held) == self.frames

    def clip(self) -> Tensor:
        """(1, F, S, S) float32, the newest frame last."""
        return torch.stack(self._held)[None]

    def take(self, source: Source, number: int) -> tuple[tuple[str, ...], str | None]:
        """Read a frame and take it in. Gives events, and what was wrong (None: nothing)."""
        try:
            frame = source(number)
        except FAULTS as error:
            return self._absorb("source failed", f"{type(error).__name__}: {error}")
        if frame is None:
            return self._absorb("dropped", "no frame came")
        if wrong := self.wrong(frame):
            return self._absorb("refused", wrong)
        self._bad = 0
        self._held = [*self._held, torch.as_tensor(frame).float()][-self.frames :]
        return ((), None) if self.full else (("filling",), None)

    def wrong(self, frame: Any) -> str | None:
        """What is wrong with a frame, in words; None if it can be used."""
        if isinstance(frame, np.ndarray):
            if frame.dtype.kind != "f":
                return f"numbers of type {frame.dtype}; float is wanted, 0 to 1"
            frame = torch.as_tensor(frame)
        if not isinstance(frame, Tensor):
            return f"a {type(frame).__name__}; a tensor or an array is wanted"
        if frame.shape != (self.side, self.side):
            return f"size {' x '.join(map(str, frame.shape))}; {self.side} x {self.side} is wanted"
        if not frame.is_floating_point():
            return f"numbers of type {frame.dtype}; float is wanted, 0 to 1"
        if not torch.isfinite(frame).all():
            return "some pixels are not finite"
        if frame.abs().max() > BRIGHTEST:
            return f"a pixel of {float(frame.abs().max()):.3g}; about 0 to 1 is wanted"
        return None

    def _absorb(self, event: str, fault: str) -> tuple[tuple[str, ...], str]:
        self._bad += 1
        if self._bad > self.frames // 2:
            self._held = []
            return (event, "blind"), fault
        if self._held:
            self._held = [*self._held, self._held[-1]][-self.frames :]
        return (event,) if self.full else (event, "filling"), fault
