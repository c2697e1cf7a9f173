"""Early exit: an answer's token leaves the assistant after layer l as soon as a small head there is sure.

After each layer but the last stands a head, trained on the training questions while the assistant stays as it
is: h_l(x) = norm(x + W2 gelu(W1 norm(x))), scored by the assistant's own output layer (the tuned lens of
Belrose et al., 2023, with a nonlinear layer more). A token leaves after the first layer whose highest
probability max softmax(E h_l(x)) reaches the threshold (Teerapittayanon et al., 2016; Schuster et al., 2022).

What later tokens read in the layers that were left out is the catch. Two ways (`CACHES`):

- ``late``: a layer reads a token when the first later token needs that layer, all that wait at once (Bae et
  al., 2023). Keys and values are those of the whole assistant, but for rounding; only layers that no token of
  the request needed are saved, those of the question too. Costs count everything that was caught up.
- ``copy``: the layers left out get keys and values made from the state at which the token left (Elbayad et
  al., 2020). Nothing is caught up, but the keys and values are not those that the layers expect. The question
  is read by all layers.

Shapes: L tokens, D width, V vocabulary, R hidden units of a head. Costs are multiply-adds of matrices,
attention's products, output layers and heads; norms and softmax are left out, on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.assistant import Batch, Rows, repeatable
from neurolab.paths import DATA
from neurolab.structure import macs
from neurolab.training import History, Schedule, fit
from neurolab.transformer import Block, Config, Transformer

FILE = DATA / "exit" / "assistant.safetensors"
COMMAND = "neurolab train exit"
CACHES = ("late", "copy")
HIDDEN = 160
STEPS = 400
RATE = 0.003
NEVER = 2.0  # a threshold that no probability reaches


class ExitHead(nn.Module):
    """norm(x + W2 gelu(W1 norm(x))): a layer's state, made ready for the output layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.norm2 = nn.LayerNorm(width)
        nn.init.zeros_(self.down.weight)  # it begins as the output layer's own norm

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.norm2(x + self.down(F.gelu(self.up(self.norm1(x)))))


class ExitHeads(nn.Module):
    """A head after each layer of a network of `config` but the last. ValueError for hidden below 1."""

    def __init__(self, config: Config, hidden: int = HIDDEN) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden {hidden}: must be at least 1")
        self.config, self.hidden = config, hidden
        self.heads = nn.ModuleList(ExitHead(config.width, hidden) for _ in range(config.layers - 1))

    def head_macs(self) -> int:
        """Multiply-adds of asking one head about one token, the output layer included."""
        return 2 * self.config.width * self.hidden + self.config.vocabulary * self.config.width


def states(model: Transformer, ids: Tensor) -> list[Tensor]:
    """ids (B, L) -> the state after each layer, (B, L, D) each."""
    x = model.embedding(ids) + model.position(torch.arange(ids.shape[1], device=ids.device))
    made = []
    for block in model.blocks:
        x, _ = block(x)
        made.append(x)
    return made


def loss(heads: ExitHeads, model: Transformer, batch: Batch) -> Tensor:
    """Mean over the heads of the cross-entropy, in nats a token, of the answers' tokens (and END)."""
    wanted, truth = batch.answer[:, 1:], batch.ids[:, 1:]
    with torch.no_grad():
        seen = [x[wanted] for x in states(model, batch.ids[:, :-1])[:-1]]  # (answer tokens, D) each
    each = [
        F.cross_entropy(model.logits(head(x)), truth[wanted])
        for head, x in zip(heads.heads, seen, strict=True)
    ]
    return torch.stack(each).mean()


def train(
    model: Transformer,
    rows: Rows,
    *,
    steps: int = STEPS,
    seed: int = 0,
    hidden: int = HIDDEN,
    rate: float = RATE,
    progress: bool = False,
) -> tuple[ExitHeads, History]:
    """Train heads for `model`, which stays as it is, on `rows`; on one thread, deterministic by seed.

    ValueError for steps below 1, or a network of one layer, which has nothing to leave out.
    """
    if steps < 1:
        raise ValueError(f"steps {steps}: must be at least 1")
    if model.config.layers < 2:
        raise ValueError(f"model of {model.config.layers} layer: must have at least 2")
    torch.manual_seed(seed)
    heads = ExitHeads(model.config, hidden)
    frozen = [p for p in model.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    try:
        with repeatable(1):
            history = fit(
                heads,
                lambda net, step: loss(net, model, rows.at(step)),  # type: ignore[arg-type]
                [torch.optim.AdamW(heads.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)],
                Schedule(warmup=min(20, steps), stay=1, cool=steps - 1),
                progress=progress,
            )
    finally:
        for p in frozen:
            p.requires_grad_(True)
    return heads.eval(), history


def save(heads: ExitHeads, path: Path, of: str) -> None:
    """Write the heads as float16, with the hash `of` of the weights that they were trained on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().half().contiguous() for name, t in heads.state_dict().items()}
    meta = {"hidden": str(heads.hidden), "of": of, "command": COMMAND, "licence": "MIT"}
    save_file(tensors, path, metadata=meta)


@lru_cache(maxsize=4)
def load(model: Transformer, path: Path = FILE, of: str | None = None) -> ExitHeads:
    """The heads of `path` for `model`. ValueError names the file and what is wrong: missing, broken, of
    another shape, or trained on weights whose hash is not `of` (None: not looked at)."""
    if not path.is_file():
        raise ValueError(f"{path}: missing; `{COMMAND}` makes it")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        heads = ExitHeads(model.config, int(meta["hidden"]))
        heads.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: not this network's exit heads ({error}); `{COMMAND}` makes them"
        ) from error
    if of is not None and meta.get("of") != of:
        raise ValueError(f"{path}: trained on weights {meta.get('of')}, not {of}; `{COMMAND}` makes it again")
    return heads.eval()


@dataclass(frozen=True)
class Walk:
    """One request: the tokens made (END included if it came), the layers each went through (1 to the last),
    multiply-adds in all, and those of the heads among them."""

    tokens: tuple[int, ...]
    layers: tuple[int, ...]
    macs: int
    head_macs: int = 0


def block_macs(config: Config, new: int, seen: int = 0) -> int:
    """Multiply-adds of one layer that reads `new` tokens after `seen` ones."""
    return (macs(config, new, seen) - config.vocabulary * config.width) // config.layers


def full_macs(config: Config, question: int, made: int) -> int:
    """Multiply-adds of a request through all layers: `question` tokens read, `made` (at least 1) written."""
    if made < 1:
        raise ValueError(f"made {made}: must be at least 1 token")
    return macs(config, question) + sum(macs(config, 1, question + i) for i in range(made - 1))


def thresholds_of(threshold: float | Sequence[float], layers: int) -> tuple[float, ...]:
    """One threshold for each layer but the last, from one for all or from one a layer; at least 0 each.
    0 leaves always, more than 1 never (and then the head is not asked)."""
    many = (float(threshold),) * (layers - 1) if isinstance(threshold, int | float) else tuple(threshold)
    if len(many) != layers - 1 or not all(t >= 0 for t in many):
        raise ValueError(f"threshold {threshold}: must be one number of at least 0, or {layers - 1} of them")
    return many


class Exiting:
    """A network with exit heads. threshold: see `thresholds_of`; cache: one of `CACHES`."""

    def __init__(
        self,
        model: Transformer,
        heads: ExitHeads,
        threshold: float | Sequence[float] = 0.9,
        cache: str = "late",
    ) -> None:
        if cache not in CACHES:
            raise ValueError(f"cache {cache!r}: must be one of {', '.join(CACHES)}")
        self.model, self.heads, self.cache = model, heads, cache
        self.thresholds = thresholds_of(threshold, model.config.layers)

    @torch.inference_mode()
    def walk(self, ids: Tensor, end: int, limit: int = 64) -> Walk:
        """Answer one prompt ids (1, L) token by token, each through as many layers as it takes to be sure.

        ValueError for another shape, or for a prompt that fills the context.
        """
        model, config = self.model, self.model.config
        if ids.ndim != 2 or ids.shape[0] != 1 or not 1 <= ids.shape[1] < config.context:
            raise ValueError(
                f"ids of shape {tuple(ids.shape)}: must be (1, L), L from 1 to {config.context - 1}"
            )
        past: list[tuple[Tensor, Tensor] | None] = [None] * config.layers
        waiting: list[list[Tensor]] = [[] for _ in range(config.layers)]  # (1, n, D), unread
        tokens: list[int] = []
        layers: list[int] = []
        cost = asked = start = 0
        new = ids
        for _ in range(min(limit, config.context - ids.shape[1])):
            stop = start + new.shape[1]
            waiting[0] = [model.embedding(new) + model.position(torch.arange(start, stop))]
            whole = self.cache == "copy" and start == 0
            for i, block in enumerate(model.blocks):
                x = waiting[i][0] if len(waiting[i]) == 1 else torch.cat(waiting[i], dim=1)
                waiting[i] = []
                cost += block_macs(config, x.shape[1], stop - x.shape[1])
                x, past[i] = block(x, past[i])
                if i + 1 == config.layers:
                    token = int(model.logits(model.norm(x[:, -1])).argmax())
                    cost += config.vocabulary * config.width
                    break
                waiting[i + 1].append(x)
                if whole or self.thresholds[i] > 1:
                    continue
                sure, guess = model.logits(self.heads.heads[i](x[:, -1])).softmax(-1).max(-1)
                asked += self.heads.head_macs()
                if sure.item() >= self.thresholds[i]:
                    token = int(guess)
                    break
            if self.cache == "copy" and i + 1 < config.layers:
                waiting[i + 1] = []
                cost += self._copy(x, past, i + 1)
            tokens.append(token)
            layers.append(i + 1)
            if token == end:
                break
            new, start = torch.tensor([[token]]), stop
        return Walk(tuple(tokens), tuple(layers), cost + asked, asked)

    def _copy(self, x: Tensor, past: list[tuple[Tensor, Tensor] | None], first: int) -> int:
        """Put keys and values made from x (1, n, D) into the layers from `first` on; their multiply-adds."""
        for i in range(first, len(past)):
            block: Block = self.model.blocks[i]  # type: ignore[assignment]
            normed, attention = block.norm1(x), block.attention
            pair = attention.split(attention.key(normed)), attention.split(attention.value(normed))
            before = past[i]
            past[i] = (
                pair
                if before is None
                else (torch.cat((before[0], pair[0]), 2), torch.cat((before[1], pair[1]), 2))
            )
        config = self.model.config
        return (len(past) - first) * x.shape[1] * 2 * config.width * config.heads * config.head_size
