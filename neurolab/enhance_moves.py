"""What surrounds the network of `neurolab.enhance`: looking for changes, packing patches, putting them back.

None of it is arithmetic worth the name, but a tenth of a millisecond here and there is what is left of the
time once most patches are skipped. So each move has two versions that do the same: a few lines of PyTorch, to
read; and loops that numba compiles, taken where it is installed.
Shapes: S pixels along an edge, p = PATCH, G = S / p, n patches numbered row by row, k = 2 halo + 1.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

ZOOM = 2  # fine pixels along the edge of a coarse one
PATCH = 4  # coarse pixels along the edge of a patch


class Moves(NamedTuple):
    """look(frame (S, S), before (S, S), missed (G, G), margin): adds to `missed` each patch's largest change,
    the patch taken with `margin` pixels around it, and makes `before` the frame.
    pack(frame, which (n,), halo) -> (n * p * p, k * k): every pixel's surroundings, as differences to it.
    paste(made (n * p * p, 4), frame, which, picture (2S, 2S)): pixel + made into the picture, in place.
    """

    look: Callable[[Tensor, Tensor, Tensor, int], None]
    pack: Callable[[Tensor, Tensor, int], Tensor]
    paste: Callable[[Tensor, Tensor, Tensor, Tensor], None]


def padded(frames: Tensor, halo: int) -> Tensor:
    """(F, S, S) -> (F, S + 2 halo, S + 2 halo): the border pixels go on outside."""
    return F.pad(frames[:, None], (halo,) * 4, mode="replicate")[:, 0] if halo else frames


def patches(frame: Tensor, halo: int) -> Tensor:
    """Every patch with its halo: (S, S) -> (G, G, p + 2 halo, p + 2 halo), a view of the padded frame."""
    width = PATCH + 2 * halo
    return padded(frame[None], halo)[0].unfold(0, width, PATCH).unfold(1, width, PATCH)


def look(frame: Tensor, before: Tensor, missed: Tensor, margin: int) -> None:
    """See `Moves`."""
    missed += patches((frame - before).abs(), margin).amax((2, 3))
    before.copy_(frame)


def pack(frame: Tensor, which: Tensor, halo: int) -> Tensor:
    """See `Moves`."""
    grid, k = frame.shape[0] // PATCH, 2 * halo + 1
    tiles = patches(frame, halo)[which // grid, which % grid]  # (n, w, w): only these from here on
    rows = tiles.unfold(1, k, 1).unfold(2, k, 1).reshape(-1, k * k)
    return rows - rows[:, k * k // 2, None]


def paste(made: Tensor, frame: Tensor, which: Tensor, picture: Tensor) -> None:
    """See `Moves`."""
    grid, fine = frame.shape[0] // PATCH, ZOOM * PATCH
    row, column = which // grid, which % grid
    middle = patches(frame, 0)[row, column].reshape(-1, 1)  # (n * p * p, 1)
    tiles = (middle + made).view(-1, PATCH, PATCH, ZOOM, ZOOM).transpose(2, 3).reshape(-1, fine, fine)
    picture.view(grid, fine, grid, fine).transpose(1, 2)[row, column] = tiles


@cache
def _compiled() -> tuple[Any, Any, Any]:
    from numba import njit

    @njit(cache=True)
    def looked(frame: Any, before: Any, missed: Any, margin: int, change: Any) -> None:
        side, grid = frame.shape[0], missed.shape[0]
        for i in range(side):
            for j in range(side):
                change[i, j] = abs(frame[i, j] - before[i, j])
                before[i, j] = frame[i, j]
        for a in range(grid):
            for b in range(grid):
                most = change[a * PATCH, b * PATCH]
                for i in range(max(0, a * PATCH - margin), min(side, (a + 1) * PATCH + margin)):
                    for j in range(max(0, b * PATCH - margin), min(side, (b + 1) * PATCH + margin)):
                        most = max(most, change[i, j])
                missed[a, b] += most

    @njit(cache=True)
    def packed(frame: Any, which: Any, halo: int, rows: Any) -> None:
        side = frame.shape[0]
        grid, r = side // PATCH, 0
        for n in range(which.shape[0]):
            top, left = which[n] // grid * PATCH, which[n] % grid * PATCH
            inside = min(top, left) >= halo and max(top, left) + PATCH + halo <= side
            for i in range(top, top + PATCH):
                for j in range(left, left + PATCH):
                    middle, at = frame[i, j], 0
                    for y in range(i - halo, i + halo + 1):
                        if inside:
                            for x in range(j - halo, j + halo + 1):
                                rows[r, at] = frame[y, x] - middle
                                at += 1
                        else:
                            v = min(max(y, 0), side - 1)
                            for x in range(j - halo, j + halo + 1):
                                rows[r, at] = frame[v, min(max(x, 0), side - 1)] - middle
                                at += 1
                    r += 1

    @njit(cache=True)
    def pasted(made: Any, frame: Any, which: Any, picture: Any) -> None:
        grid, r = frame.shape[0] // PATCH, 0
        for n in range(which.shape[0]):
            top, left = which[n] // grid * PATCH, which[n] % grid * PATCH
            for i in range(top, top + PATCH):
                for j in range(left, left + PATCH):
                    for y in range(ZOOM):
                        for x in range(ZOOM):
                            picture[ZOOM * i + y, ZOOM * j + x] = frame[i, j] + made[r, ZOOM * y + x]
                    r += 1

    return looked, packed, pasted


def look_fast(frame: Tensor, before: Tensor, missed: Tensor, margin: int) -> None:
    """`look`, compiled."""
    change = torch.empty_like(frame)
    _compiled()[0](frame.numpy(), before.numpy(), missed.numpy(), margin, change.numpy())


def pack_fast(frame: Tensor, which: Tensor, halo: int) -> Tensor:
    """`pack`, compiled."""
    rows = torch.empty(len(which) * PATCH**2, (2 * halo + 1) ** 2)
    _compiled()[1](frame.numpy(), which.numpy(), halo, rows.numpy())
    return rows


def paste_fast(made: Tensor, frame: Tensor, which: Tensor, picture: Tensor) -> None:
    """`paste`, compiled."""
    _compiled()[2](made.numpy(), frame.numpy(), which.numpy(), picture.numpy())


PLAIN = Moves(look, pack, paste)
COMPILED = Moves(look_fast, pack_fast, paste_fast)


@cache
def moves() -> Moves:
    """The compiled version where numba is installed, the plain one elsewhere."""
    return COMPILED if importlib.util.find_spec("numba") is not None else PLAIN
