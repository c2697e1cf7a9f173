"""The packed path in signed bytes: tokens gathered, then bytes, product, bias and activation in one pass.

Weights get one scale a row, tokens one scale each, found as they come ("dynamic quantization", chapter 4):

    y = relu(s_w s_x (W_q x_q) + b),    W_q, x_q whole numbers from -127 to 127

The C kernel is `block_kernel_c.INT8`: with AVX-512 VNNI one instruction multiplies 64 pairs of bytes and
adds them up by fours. x_q is shifted by 128, because that instruction wants its first factor unsigned; 128
times the row sums of W_q are taken off again. Without a compiler torch computes the same, more slowly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurolab.block_kernel import PANEL, _activation, _engine, _given
from neurolab.block_kernel_c import library
from neurolab.sparse_formats import BLOCK, Bsr


class Int8Blocks:
    """W (R, C) in signed bytes, by its 16 x 16 blocks, with a bias (R).

    every: keep empty blocks too.  engine: c | torch; None: c where there is a compiler.
    ValueError where 16 does not divide R and C.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, every: bool = False, engine: str | None = None
    ) -> None:
        self.engine = "c" if _engine(engine) == "c" else "torch"
        weight = weight.detach().float()
        most = weight.abs().amax(1)
        self.scale = torch.where(most > 0, most / 127, 1.0)
        whole = (weight / self.scale[:, None]).round()
        self.whole = Bsr.of(whole, BLOCK, every=every)
        self.shape = self.whole.shape
        self.bias = torch.zeros(self.shape[0]) if bias is None else bias.detach().float().contiguous()
        if self.bias.shape != (self.shape[0],):
            raise ValueError(f"bias is {tuple(self.bias.shape)}; it must be ({self.shape[0]},)")
        self.less = (128 * whole.sum(1)).int()
        self.start, self.cols = self.whole.start.int(), self.whole.cols.int()
        fours = self.whole.values.unflatten(2, (-1, 4)).transpose(1, 2)  # (n, 4, 16, 4): k / 4, row, k % 4
        self.values = fours.to(torch.int8).contiguous()
        self.work = torch.empty(self.shape[1] * PANEL)
        self.panel = torch.empty(self.shape[1] // 4 * PANEL, dtype=torch.int32)
        weight_parts = (self.start, self.cols, self.values, self.scale, self.less, self.bias)
        self.call = [t.data_ptr() for t in weight_parts]

    @property
    def bytes(self) -> int:
        """What the weights take: a byte a number, 4 an index, 4 a row's scale."""
        return self.values.numel() + 4 * (len(self.start) + len(self.cols) + len(self.scale))

    def __call__(self, x: Tensor, activation: str | None = None) -> Tensor:
        """f(W x + bias) for x (C, N), its columns made into bytes on the way: (R, N)."""
        relu, x = _activation(activation), _given(x, self.shape[1])
        if self.engine == "torch":
            return self._plain(x, relu)
        y = torch.empty(self.shape[0], x.shape[1])
        last = (x.data_ptr(), *x.shape, self.work.data_ptr(), self.panel.data_ptr(), y.data_ptr())
        found: Any = library()
        found.int8_matmul(self.shape[0] // BLOCK, *self.call, relu, *last)
        return y

    def tokens(self, x: Tensor, keep: Tensor, activation: str | None = None) -> Tensor:
        """The packed path: rows `keep` (n) of tokens x (N, C) through the layer: (n, R)."""
        return self(x[keep].T, activation).T

    def _plain(self, x: Tensor, relu: bool) -> Tensor:
        most = x.abs().amax(0)
        scale = torch.where(most > 0, most / 127, 1.0)
        whole = torch.floor(x * (1 / scale) + 128.5) - 128
        sums = self.whole.dense().double() @ whole.double()  # exact; the C kernel adds up whole numbers
        y = sums.float() * scale * self.scale[:, None] + self.bias[:, None]
        return y.relu_() if relu else y
