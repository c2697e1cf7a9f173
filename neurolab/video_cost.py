"""What a clip costs the video network: operations for the energy model, and the bytes that it needs at once.

A clip's tokens go through a layer together, so each weight is fetched once a clip, however many tokens use it
(the assistant, which makes one token at a time, fetches it for every token). Keys and values stay on the chip
and are read once for each query that looks at them; that is counted as activations.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from neurolab import video, video_net
from neurolab.energy import Counts
from neurolab.video_net import VideoConfig

GATE = 34  # operations for a pixel of the clip in `sparsity.change`, at most (a test counts them)


def counts(config: VideoConfig, tokens: int | None = None, *, gate: bool = False) -> Counts:
    """Counts of one clip with `tokens` of its tubelets kept (None: all), every layer alike; fp32.

    gate: with the choosing of what changes. Specials: a softmax over M scores takes M + 1, a GELU one, a
    layer norm two a token. Raises ValueError for tokens outside 1..N.
    """
    n = config.tokens if tokens is None else tokens
    by_part = video_net.macs(config, n)
    d, rows = config.width, n + 1
    weights = (
        video.NUMBERS * d + config.layers * (4 * d * d + 2 * d * config.hidden) + d * (d + config.classes)
    )
    looks = 2 * rows * rows * d  # keys and values, once for each query
    handed = n * (video.NUMBERS + d) + config.layers * (looks + rows * (12 * d + 3 * config.hidden))
    pixels = config.frames * config.side**2 if gate else 0
    small = config.layers * rows * 10 * d  # norms and residual sums
    return Counts(
        tokens=1,
        mac_fp32=sum(by_part.values()) + small + GATE * pixels,
        special_fp32=config.layers * rows * (config.heads * (rows + 1) + config.hidden + 4),
        weight_bytes=4 * weights,
        activation_bytes=4 * (handed + pixels),
        synapses=sum(by_part.values()),
    )


class _Live(TorchDispatchMode):
    """Follows the bytes of tensors that are alive, and their most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else (out,):
            if isinstance(x, Tensor):
                self._follow(x)
        return out

    def _follow(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def working_set(net: torch.nn.Module, call: Callable[[], Any]) -> dict[str, int]:
    """Bytes of the network's weights, and the most bytes of tensors that `call` holds at once beside them.

    Every tensor that an operation makes counts from then until nothing refers to its storage; what a kernel
    uses inside is not seen.
    """
    with torch.no_grad(), _Live() as live:
        own = {p.untyped_storage()._cdata for p in net.parameters()}
        live.seen |= own
        call()
    return {"weights": sum(4 * p.numel() for p in net.parameters()), "tensors": live.most}
