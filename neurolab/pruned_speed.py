"""What zeros and missing parts are worth in time: the assistant run dense, sparse and made smaller.

Two calls are timed, each with one sequence on one thread: `question` reads a question of L tokens and scores
the next token; `token` reads one token after L others, from the cache. Runtimes: torch, dense; torch with the
matrices in compressed sparse row form (CSR); ONNX Runtime, which has dense kernels only.
"""

from __future__ import annotations

import copy
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from neurolab.benchmark import Ratio, fastest, middle
from neurolab.pruning import plain, prunable, prune
from neurolab.structure import macs
from neurolab.transformer import Cache, Config, Transformer

RUNTIMES = ("torch", "onnxruntime")
CALLS = ("question", "token")
TOKENS = 18  # the held-out questions' median, rounded


class Question(nn.Module):
    """ids (1, L) -> scores of the next token (1, V)."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """The model with the output layer for the last token only, as decoding needs it."""
        return self.model.logits(self.model.features(ids)[0][:, -1])


class Token(nn.Module):
    """One token (1, 1) and the cache, keys and values layer after layer -> scores and the longer cache."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        """Scores (1, V), then each layer's keys and values (1, H, L + 1, E)."""
        cache: Cache = list(zip(flat[::2], flat[1::2], strict=True))
        hidden, new = self.model.features(ids, cache)
        return (self.model.logits(hidden[:, -1]), *(x for pair in new for x in pair))


class Csr(nn.Module):
    """A linear layer whose weight (R, C) is kept as compressed sparse rows: zeros are not multiplied."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        with warnings.catch_warnings():  # torch says that its CSR support is in beta
            warnings.simplefilter("ignore", UserWarning)
            self.weight = weight.detach().to_sparse_csr()

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, R)."""
        return (self.weight @ x.flatten(0, 1).T).T.unflatten(0, x.shape[:2])


def csr(model: Transformer) -> Transformer:
    """A copy of `model` (without parametrizations) whose linear layers are `Csr`."""
    made = copy.deepcopy(model)
    for name, module in prunable(model).items():
        parent, _, leaf = name.removesuffix(".weight").rpartition(".")
        setattr(made.get_submodule(parent), leaf, Csr(module.weight))  # type: ignore[arg-type]
    return made


def inputs(model: Transformer, tokens: int = TOKENS) -> dict[str, tuple[Tensor, ...]]:
    """What the two calls are given: ids (1, L); one id and the cache after L tokens."""
    if not 1 <= tokens < model.config.context:
        raise ValueError(f"tokens {tokens}: must be 1 to {model.config.context - 1}")
    ids = (torch.arange(tokens) % (model.config.vocabulary - 3) + 3)[None]
    with torch.inference_mode():
        _, cache = model.features(ids)
    return {"question": (ids,), "token": (ids[:, :1], *(x.clone() for pair in cache for x in pair))}


def calls(model: Transformer, runtime: str = "torch", tokens: int = TOKENS) -> dict[str, Callable[[], Any]]:
    """The two calls, ready to be timed; each gives the scores (1, V). ValueError for another runtime."""
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime {runtime!r}: must be one of {', '.join(RUNTIMES)}")
    wrapped = {"question": Question(model).eval(), "token": Token(model).eval()}
    given = inputs(model, tokens)
    make = _torch if runtime == "torch" else _onnx
    return {name: make(wrapped[name], given[name]) for name in CALLS}


def _torch(module: nn.Module, given: tuple[Tensor, ...]) -> Callable[[], Any]:
    @torch.inference_mode()
    def call() -> Any:
        found = module(*given)
        return found[0] if isinstance(found, tuple) else found

    return call


def _onnx(module: nn.Module, given: tuple[Tensor, ...]) -> Callable[[], Any]:
    import onnxruntime

    with warnings.catch_warnings():  # the exporter's own deprecations
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, given, dynamo=True, verbose=False)
    file = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {put.name: x.numpy() for put, x in zip(session.get_inputs(), given, strict=True)}

    def call() -> Any:
        return torch.from_numpy(session.run(None, feed)[0])

    return call


def undisturbed(a: Callable[[], Any], b: Callable[[], Any], blocks: int = 15, calls: int = 40) -> Ratio:
    """How many times faster a is than b, in turns, where other programs may take the processor away.

    One call is shorter than what a scheduler hands out, so most are interrupted or not at all, and an
    interruption only adds: of a block of `calls` turns each side's fastest counts. The ratio is the median
    of the blocks' (b over a); low and high hold the true median with 90 % or more, as in `benchmark.paired`.
    """
    if blocks < 1 or calls < 1:
        raise ValueError(f"blocks is {blocks} and calls {calls}; at least 1 of each is needed")
    best: list[tuple[float, float]] = []
    for _ in range(blocks):
        turns = []
        for turn in range(calls):
            order = (a, b) if turn % 2 else (b, a)  # neither always follows the other
            times = {call: fastest(call, 1) for call in order}
            turns.append((times[a], times[b]))
        best.append((min(t for t, _ in turns), min(t for _, t in turns)))
    median, low, high = middle([slow / fast for fast, slow in best])
    return Ratio(
        median, low, high, statistics.median(t for t, _ in best), statistics.median(t for _, t in best)
    )


def faster(
    a: Transformer, b: Transformer, runtime: str = "torch", *, blocks: int = 15, tokens: int = TOKENS
) -> dict[str, Ratio]:
    """How many times faster `a` answers than `b`, by call, timed in turns on one thread."""
    fast, slow = calls(a, runtime, tokens), calls(b, runtime, tokens)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: undisturbed(fast[name], slow[name], blocks) for name in CALLS}
    finally:
        torch.set_num_threads(threads)


def _figures(name: str, found: dict[str, Ratio]) -> dict[str, float]:
    """The question's ratio as `name`, the token's as `name`_token, each with its interval and times."""
    made: dict[str, float] = {}
    for call, ratio in found.items():
        key = name if call == "question" else f"{name}_token"
        made |= {key: ratio.median, f"{key}_low": ratio.low, f"{key}_high": ratio.high}
        made |= {f"{key}_seconds": ratio.a_seconds, f"{key}_before_seconds": ratio.b_seconds}
    return made


def zeros_speed(
    model: Transformer, sparsity: float, runtime: str = "torch", blocks: int = 15
) -> dict[str, float]:
    """Figures of `model` pruned by magnitude, against itself: in the dense kernel and, with torch, in CSR."""
    cut = plain(prune(model, sparsity))
    found = _figures("dense_kernel_speedup", faster(cut, model, runtime, blocks=blocks))
    if runtime == "torch":
        found |= _figures("csr_speedup", faster(csr(cut), model, runtime, blocks=blocks))
    return found


def mac_ratios(big: Config, small: Config, tokens: int = TOKENS) -> dict[str, float]:
    """Multiply-adds of the big model over those of the small one, by call, and the lower of the two."""
    question = macs(big, tokens) / macs(small, tokens)
    token = macs(big, 1, tokens) / macs(small, 1, tokens)
    return {"mac_ratio": question, "mac_ratio_token": token, "mac_ratio_least": min(question, token)}


def smaller_speed(
    small: Transformer, big: Transformer, runtime: str = "torch", blocks: int = 15
) -> dict[str, float]:
    """Figures of a smaller model against the big one, by call, and the lower of the two."""
    found = _figures("structured_speedup", faster(small, big, runtime, blocks=blocks))
    least = min(found["structured_speedup"], found["structured_speedup_token"])
    return {**found, "structured_speedup_least": least, **mac_ratios(big.config, small.config)}
