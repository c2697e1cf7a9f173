"""What every runtime is given: one step of the assistant, with the cache as an input and an output.

A runtime runs a graph, and a graph has no loop and no list of tensors. So the greedy loop stands here, in
Python (in the phone page in JavaScript), and the cache of keys and values is one tensor:

    (logits (B, V), new cache) = step(ids (B, n), cache (layers, 2, B, heads, past, head width))

The prompt is one call with past = 0; each further token is a call with n = 1. Positions follow from past.

B sequences, n >= 1 new tokens, past >= 0 tokens seen before, M = past + n of at most `context`, V tokens in
the vocabulary, D width, H heads of size E.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.tokens import END_ID, decode, encode_question
from neurolab.transformer import Block, Config, Transformer

Step = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""ids (B, n) int64, cache (layers, 2, B, H, past, E) float32 -> logits (B, V), cache with past + n."""


class Layer(nn.Module):
    """One block of the Transformer. Its three projections are one matrix: their rows, one below the other.

    qkv.weight (3 H E, D), out.weight (D, H E), up.weight (F, D), down.weight (D, F): the block's own numbers.
    """

    def __init__(self, block: Block, config: Config) -> None:
        super().__init__()
        old = block.attention
        self.heads, self.size = config.heads, config.head_size
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.qkv = nn.Linear(config.width, 3 * config.heads * config.head_size, bias=False)
        with torch.no_grad():
            self.qkv.weight.copy_(torch.cat([old.query.weight, old.key.weight, old.value.weight]))
        self.out = old.out
        self.up, self.down = block.feed_forward.up, block.feed_forward.down

    def forward(self, x: Tensor, past: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, n, D), past (2, B, H, past, E), mask (n, M): 0, -inf -> x; keys, values (2, B, H, M, E)."""
        y = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, self.size))  # (B, n, 3, H, E)
        q, k, v = y.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, n, E)
        k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        scores = q @ k.transpose(-1, -2) * self.size**-0.5 + mask  # (B, H, n, M)
        mixed = scores.softmax(-1) @ v  # (B, H, n, E)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)))), torch.stack((k, v))


class Decoder(nn.Module):
    """The assistant's network as one step: what the files of this chapter hold.

    Shares the model's weights but for the three projections of attention, which are copied into one matrix.
    """

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.config = model.config
        self.embedding, self.position = model.embedding, model.position
        self.layers = nn.ModuleList(Layer(block, model.config) for block in model.blocks)  # type: ignore[arg-type]
        self.norm = model.norm
        self.eval()

    def forward(self, ids: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, n), cache (layers, 2, B, H, past, E) -> logits of the last token (B, V), new cache."""
        last, new = self.hidden(ids, cache)
        return F.linear(last, self.embedding.weight), new

    def hidden(self, ids: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """The same up to the output matrix: the last token's hidden state (B, D), new cache."""
        past, n = cache.shape[4], ids.shape[1]
        place = torch.arange(past, past + n, device=ids.device)  # (n,)
        seen = torch.arange(past + n, device=ids.device)  # (M,)
        mask = torch.where(seen[None] <= place[:, None], 0.0, -torch.inf)  # (n, M)
        x = self.embedding(ids) + self.position(place)  # (B, n, D)
        presents = []
        for i, layer in enumerate(self.layers):
            x, present = layer(x, cache[i], mask)
            presents.append(present)
        return self.norm(x[:, -1]), torch.stack(presents)


def empty_cache(config: Config, batch: int = 1) -> np.ndarray:
    """The cache before the first token: (layers, 2, batch, heads, 0, head width), float32."""
    return np.zeros((config.layers, 2, batch, config.heads, 0, config.head_size), np.float32)


def example(config: Config, n: int = 3, past: int = 2, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs of these sizes, for an exporter that follows a call: ids and a cache of zeros."""
    check_sizes(config, n, past)
    ids = (torch.arange(batch * n) % (config.vocabulary - 3) + 3).reshape(batch, n)
    return ids, torch.zeros(config.layers, 2, batch, config.heads, past, config.head_size)


def check_sizes(config: Config, n: int, past: int) -> None:
    """ValueError unless n >= 1, past >= 0 and past + n <= context."""
    if n < 1:
        raise ValueError(f"ids of {n} tokens: must be at least 1")
    if past < 0 or past + n > config.context:
        raise ValueError(f"{past} tokens seen and {n} new ones: must be at most {config.context} together")


def check_call(config: Config, ids: np.ndarray, cache: np.ndarray) -> None:
    """ValueError unless ids and cache are such as a step of this network takes."""
    if ids.ndim != 2 or ids.dtype != np.int64:
        raise ValueError(f"ids of shape {ids.shape}, {ids.dtype}: must be (B, n), int64")
    wanted = (config.layers, 2, len(ids), config.heads, config.head_size)
    if cache.ndim != 6 or (*cache.shape[:4], cache.shape[5]) != wanted or cache.dtype != np.float32:
        shape = ", ".join(map(str, wanted[:4]))
        raise ValueError(
            f"cache of shape {cache.shape}, {cache.dtype}: must be ({shape}, past, {wanted[4]}), float32"
        )
    check_sizes(config, ids.shape[1], cache.shape[4])
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < config.vocabulary:
        raise ValueError(f"ids from {ids.min()} to {ids.max()}: must be 0 to {config.vocabulary - 1}")


def torch_step(decoder: nn.Module) -> Step:
    """The step run by torch itself, in float32: what every runtime is compared with."""

    @torch.inference_mode()
    def step(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, new = decoder(torch.from_numpy(ids), torch.from_numpy(cache))
        return logits.numpy(), new.numpy()

    return step


def generate(step: Step, config: Config, prompts: np.ndarray, limit: int = 64) -> np.ndarray:
    """Greedy decoding: prompts (B, n) int64, all of one length -> (B, N) new tokens, END repeated after END.

    The same loop as `Transformer.generate`. ValueError for a prompt that leaves no room in the context.
    """
    check_sizes(config, prompts.shape[1] + 1, 0)
    batch = len(prompts)
    made: list[np.ndarray] = []
    done = np.zeros(batch, bool)
    ids, cache = np.ascontiguousarray(prompts, np.int64), empty_cache(config, batch)
    for _ in range(min(limit, config.context - prompts.shape[1])):
        logits, cache = step(ids, cache)
        token = np.where(done, END_ID, logits.argmax(-1))  # (B,)
        made.append(token)
        done |= token == END_ID
        if done.all():
            break
        ids = token[:, None].astype(np.int64)
    return np.stack(made, 1)


def batches(
    config: Config, tokenizer: Tokenizer, questions: Sequence[str], batch: int = 256
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Questions of one length together: which they are, and their prompts (B, n) int64, B of at most `batch`.

    ValueError for a question that is empty or too long.
    """
    by_length: dict[int, list[int]] = {}
    prompts = [encode_question(tokenizer, q) for q in questions]
    for i, ids in enumerate(prompts):
        if len(ids) >= config.context:
            raise ValueError(
                f"question of {len(ids)} tokens ({questions[i][:40]!r}...): must be shorter than "
                f"{config.context}"
            )
        by_length.setdefault(len(ids), []).append(i)
    for same in by_length.values():
        for at in range(0, len(same), batch):
            chosen = same[at : at + batch]
            yield chosen, np.array([prompts[i] for i in chosen], np.int64)


def answers(
    step: Step,
    config: Config,
    tokenizer: Tokenizer,
    questions: Sequence[str],
    *,
    batch: int = 256,
    limit: int = 64,
) -> list[str]:
    """Greedy answers of any step function, in order; questions of one length are decoded together.

    batch: the most sequences in a call (1 for a runtime whose file is fixed to one). ValueError for a
    question that is empty or too long, batch or limit below 1.
    """
    if batch < 1 or limit < 1:
        raise ValueError(f"batch is {batch} and limit {limit}; at least 1 of each is needed")
    found = [""] * len(questions)
    for chosen, prompts in batches(config, tokenizer, questions, batch):
        for i, tokens in zip(chosen, generate(step, config, prompts, limit).tolist(), strict=True):
            found[i] = decode(tokenizer, tokens)
    return found


def largest_difference(
    step: Step, other: Step, config: Config, tokenizer: Tokenizer, questions: Sequence[str], batch: int = 256
) -> float:
    """The largest difference between two steps' logits for the token behind a prompt, over all questions."""
    most = 0.0
    for _, prompts in batches(config, tokenizer, questions, batch):
        cache = empty_cache(config, len(prompts))
        most = max(most, float(np.abs(step(prompts, cache)[0] - other(prompts, cache)[0]).max()))
    return most
