"""The decoder with a cache of fixed size, for runtimes whose files can't hold one that grows.

Core ML has no arrays of length 0 and none of more than five dimensions; LiteRT plans its memory for sizes
that are fixed. So the cache always holds `context` places, and a number tells how many are taken:

    (logits (1, V), new cache) = step(ids (1, n), cache (2 layers, H, context, E), past (1,))

New keys are put into their places by a matrix of zeros and ones, (context, n): a product with it is exact,
and every runtime has products. Places to come are masked. `growing` turns such a step into the usual one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.export.decoder import Decoder, Layer, Step
from neurolab.transformer import Config

MASKED = -1e4
"""Added to the scores of masked places: the exponential is 0, and float16 holds it."""
FixedStep = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""ids (1, n) int32, cache (2 layers, H, context, E) float32, past (1,) int32 -> logits (1, V), new cache."""


class FixedDecoder(nn.Module):
    """`Decoder` with a cache of fixed size, for one sequence. Shares the decoder's weights."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        if not isinstance(decoder, Decoder):
            raise ValueError(f"decoder {type(decoder).__name__}: a fixed cache needs a plain Decoder")
        self.config, self.decoder = decoder.config, decoder
        self.eval()

    def forward(self, ids: Tensor, cache: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """ids (1, n), cache (2 layers, H, context, E), past (1,) -> logits (1, V), new cache."""
        net, n = self.decoder, ids.shape[1]
        place = past + torch.arange(n, dtype=past.dtype)  # (n,)
        seen = torch.arange(self.config.context, dtype=past.dtype)  # (context,)
        put = (seen[:, None] == place[None]).to(cache.dtype)  # (context, n)
        mask = (seen[None] > place[:, None]).to(cache.dtype) * MASKED  # (n, context)
        x = (net.embedding(ids) + net.position(place))[0]  # (n, D)
        new: list[Tensor] = []
        for i, layer in enumerate(net.layers):
            assert isinstance(layer, Layer)
            heads, size = layer.heads, layer.size
            y = layer.qkv(layer.norm1(x))  # (n, 3 H E)
            q, k, v = (part.reshape(-1, heads, size).transpose(0, 1) for part in y.chunk(3, dim=-1))
            k, v = cache[2 * i] + put @ k, cache[2 * i + 1] + put @ v  # (H, context, E)
            scores = q @ k.transpose(1, 2) * size**-0.5 + mask  # (H, n, context)
            mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(-1, heads * size)  # (n, H E)
            x = x + layer.out(mixed)
            x = x + layer.down(F.gelu(layer.up(layer.norm2(x))))
            new += [k, v]
        return F.linear(net.norm(x[-1:]), net.embedding.weight), torch.stack(new)


def example(config: Config, n: int = 1, past: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of these sizes, the cache empty."""
    cache = torch.zeros(2 * config.layers, config.heads, config.context, config.head_size)
    return torch.full((1, n), 3, dtype=torch.int32), cache, torch.tensor([past], dtype=torch.int32)


def torch_step(decoder: FixedDecoder) -> FixedStep:
    """The fixed step run by torch."""

    @torch.inference_mode()
    def step(ids: np.ndarray, cache: np.ndarray, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, new = decoder(torch.from_numpy(ids), torch.from_numpy(cache), torch.from_numpy(past))
        return logits.numpy(), new.numpy()

    return step


def growing(step: FixedStep, config: Config, tokens: int = 0) -> Step:
    """A step whose cache grows, from one whose cache is fixed: one sequence at a time.

    tokens: how many the fixed step takes in a call (0: any number); a prompt is given in such pieces.
    ValueError for more than one sequence.
    """

    def grown(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(ids) != 1:
            raise ValueError(f"ids of {len(ids)} sequences: this runtime's file takes 1 at a time")
        past, n = cache.shape[4], ids.shape[1]
        whole = np.zeros((config.layers, 2, config.heads, config.context, config.head_size), np.float32)
        whole[:, :, :, :past] = cache[:, :, 0]
        flat = whole.reshape(2 * config.layers, config.heads, config.context, config.head_size)
        size = tokens or n
        if n % size:
            raise ValueError(f"ids of {n} tokens: must be a multiple of {size}")
        for at in range(0, n, size):
            piece = np.ascontiguousarray(ids[:, at : at + size], np.int32)
            logits, flat = step(piece, flat, np.array([past + at], np.int32))
        whole = flat.reshape(whole.shape)[:, :, None]
        return logits, np.ascontiguousarray(whole[..., : past + n, :])

    return grown
