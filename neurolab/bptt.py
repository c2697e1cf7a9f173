"""Training through time: the whole way back, cut short, or computed twice, and what each keeps in memory.

A network in time is `run(state, xs (t, ...)) -> (state, ys (t, ...))`, state a tuple of tensors; `by_steps`
makes one of a single step. For T steps, full backpropagation through time (BPTT) keeps every step's
intermediate results: memory grows with T.

    truncated     cut the graph every `window` steps: memory of one window, and credit never crosses a cut
    checkpointed  keep the state every `window` steps only and recompute the rest on the way back: memory of T
    / window states
                  and one window, the exact gradient, one more forward pass

Sources: Werbos 1990; Williams and Peng 1990 (truncated); Chen et al. 2016 (checkpointing).
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Step = Callable[[State, Tensor], tuple[State, Tensor]]
Network = Callable[[State, Tensor], tuple[State, Tensor]]
Loss = Callable[[Tensor, int], Tensor]


def by_steps(step: Step) -> Network:
    """The network that runs step(state, x_t) -> (state, y_t) once for every step."""

    def run(state: State, xs: Tensor) -> tuple[State, Tensor]:
        if xs.shape[0] < 1:
            raise ValueError("xs holds no step; a sequence needs at least one")
        ys = []
        for x_t in xs.unbind(0):
            state, y_t = step(state, x_t)
            ys.append(y_t)
        return state, torch.stack(ys)

    return run


def full(run: Network, state: State, xs: Tensor, loss: Loss) -> float:
    """Backpropagation through all T steps. Adds to the parameters' gradients, returns the loss.

    loss(ys (t, ...), first) -> the summed loss of these t steps, `first` the index of the first of them.
    """
    _, ys = run(state, xs)
    total = loss(ys, 0)
    total.backward()
    return float(total.detach())


def truncated(run: Network, state: State, xs: Tensor, loss: Loss, window: int) -> float:
    """As `full`, but the state is cut from its past every `window` steps: values flow on, credit does not."""
    total = 0.0
    for first, part in _windows(xs, window):
        state = tuple(v.detach() for v in state)
        state, ys = run(state, part)
        here = loss(ys, first)
        here.backward()
        total += float(here.detach())
    return total


def checkpointed(
    run: Network, state: State, xs: Tensor, loss: Loss, window: int, parameters: Sequence[Tensor]
) -> float:
    """As `full`, to the same gradient, but only the states at the windows' edges are kept.

    Every window is computed again when its gradient is wanted, last to first. parameters: what is learned.
    """
    edges: list[tuple[int, Tensor, State]] = []
    with torch.no_grad():
        for first, part in _windows(xs, window):
            edges.append((first, part, state))
            state, _ = run(state, part)
    total, after = 0.0, tuple(torch.zeros_like(v) for v in state)
    for first, part, start in reversed(edges):
        leaves = tuple(v.detach().requires_grad_() for v in start)
        end, ys = run(leaves, part)
        here = loss(ys, first)
        wanted = [*leaves, *parameters]
        seeds = [torch.ones_like(here), *after]
        grads = torch.autograd.grad([here, *end], wanted, seeds, allow_unused=True)
        after = tuple(torch.zeros_like(v) if g is None else g for v, g in zip(leaves, grads, strict=False))
        for p, g in zip(parameters, grads[len(leaves) :], strict=True):
            if g is not None:
                p.grad = g if p.grad is None else p.grad + g
        total += float(here.detach())
    return total


def _windows(xs: Tensor, window: int) -> list[tuple[int, Tensor]]:
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(f"window = {window!r}; it must be a whole number of steps, at least 1")
    return [(first, xs[first : first + window]) for first in range(0, xs.shape[0], window)]


class SavedBytes:
    """Counts the bytes that autograd keeps for the way back; `.peak` is the most held at once.

    A storage that several operations keep counts once; parameters and other leaves do not count (they are
    there anyway). `also(tensors)` counts further ones, such as the states at a checkpoint's edges.
    """

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._held: Counter[int] = Counter()

    def __enter__(self) -> SavedBytes:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    def also(self, tensors: Sequence[Tensor]) -> None:
        """Count tensors that are kept by other means."""
        self._add(sum(v.untyped_storage().nbytes() for v in tensors))

    def _add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)

    def _pack(self, tensor: Tensor) -> _Kept:
        kept = _Kept(tensor)
        if tensor.is_leaf and tensor.requires_grad:
            return kept
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        self._held[key] += 1
        if self._held[key] == 1:
            self._add(size)
        weakref.finalize(kept, self._drop, key, size)
        return kept

    def _unpack(self, kept: _Kept) -> Tensor:
        return kept.tensor

    def _drop(self, key: int, size: int) -> None:
        self._held[key] -= 1
        if self._held[key] == 0:
            self.now -= size


class _Kept:
    """A saved tensor, in a box that says when it is dropped."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
