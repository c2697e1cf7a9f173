"""The course's Transformer: a decoder small enough to read in one sitting.

Pre-LayerNorm blocks (Xiong et al., 2020), GELU, softmax attention (Vaswani et al., 2017), learned positions,
and an output layer tied to the embedding. Shapes: B sequences, L tokens, D width, H heads of size E (D / H
where the config does not say otherwise), V tokens in the vocabulary, M tokens seen so far (cache and new ones
together).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """Sizes of the network, every one at least 1. head: the size of one head, or 0 for width / heads, which
    must then be a whole number."""

    vocabulary: int = 1024
    context: int = 96
    width: int = 160
    layers: int = 4
    heads: int = 5
    hidden: int = 640
    head: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "head" else 1
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} {value!r}: must be a whole number of at least {least}")
        if not self.head and self.width % self.heads:
            raise ValueError(f"width {self.width}: must be a multiple of heads ({self.heads})")

    @property
    def head_size(self) -> int:
        """E, the numbers in one head's query."""
        return self.head or self.width // self.heads


Cache = list[tuple[Tensor, Tensor]]  # one (keys, values) a layer, each (B, H, M, E)


class Attention(nn.Module):
    """Causal self-attention: softmax(Q K^T / sqrt(E)) V, for each head."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        inner = config.heads * config.head_size
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key = nn.Linear(config.width, inner, bias=False)
        self.value = nn.Linear(config.width, inner, bias=False)
        self.out = nn.Linear(inner, config.width, bias=False)

    def split(self, x: Tensor) -> Tensor:
        """(B, L, H E) -> (B, H, L, E)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, L, D), past keys, values (B, H, M - L, E) -> output (B, L, D), keys, values (B, H, M, E)."""
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        if past is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, L, E)
        else:
            length, seen = q.shape[2], k.shape[2]
            mask = torch.ones(length, seen, dtype=torch.bool, device=x.device).tril(seen - length)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)


class FeedForward(nn.Module):
    """Two matrices with a GELU between them: W2 gelu(W1 x)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.act = nn.GELU()
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        return self.down(self.act(self.up(x)))


class Block(nn.Module):
    """x + attention(norm1(x)), then x + feed_forward(norm2(x))."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, L, D) -> the same shape, and this layer's keys and values."""
        y, present = self.attention(self.norm1(x), past)
        x = x + y
        return x + self.feed_forward(self.norm2(x)), present


class Transformer(nn.Module):
    """Token ids in, scores of the next token out."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("out.weight", "down.weight"))  # these add to the residual stream
                nn.init.normal_(weight, std=0.02 / (2 * config.layers) ** 0.5 if deep else 0.02)

    def features(self, ids: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """ids (B, L) -> final hidden states (B, L, D) and the cache for the tokens that follow."""
        if ids.ndim != 2 or ids.shape[1] == 0:
            raise ValueError(f"ids of shape {tuple(ids.shape)}: must be (B, L) with L of at least 1")
        start = cache[0][0].shape[2] if cache else 0
        stop = start + ids.shape[1]
        if stop > self.config.context:
            raise ValueError(f"sequence of {stop} tokens: the context holds at most {self.config.context}")
        x = self.embedding(ids) + self.position(torch.arange(start, stop, device=ids.device))  # (B, L, D)
        presents: Cache = []
        for i, block in enumerate(self.blocks):
            x, present = block(x, cache[i] if cache else None)
            presents.append(present)
        return self.norm(x), presents

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V), with the embedding as output matrix."""
        return F.linear(hidden, self.embedding.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, L) -> logits (B, L, V)."""
        return self.logits(self.features(ids)[0])

    @torch.inference_mode()
    def generate(self, ids: Tensor, end: int, limit: int = 64, use_cache: bool = True) -> Tensor:
        """Greedy decoding: ids (B, L) of prompts of one length -> (B, N) new tokens, then `end` repeated.

        With the cache each step reads one token; without it, the whole sequence. Both give the same tokens.
        """
        limit = min(limit, self.config.context - ids.shape[1])
        made = ids.new_empty((ids.shape[0], 0))
        done = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
        cache: Cache | None = None
        for _ in range(limit):
            if use_cache:
                new = ids if cache is None else made[:, -1:]
                hidden, cache = self.features(new, cache)
            else:
                hidden, _ = self.features(torch.cat((ids, made), dim=1))
            token = self.logits(hidden[:, -1]).argmax(-1)  # (B,)
            token = torch.where(done, torch.full_like(token, end), token)
            made = torch.cat((made, token[:, None]), dim=1)
            done |= token == end
            if done.all():
                break
        return made

    def parameters_count(self) -> int:
        """Number of parameters; the tied output layer counts once."""
        return sum(p.numel() for p in self.parameters())
