"""A Transformer of Hugging Face's, run one block at a time: no more than that block's weights are in memory.

The network is built without its weights; what stands before the first block is filled in and run; then each
block is filled, run and emptied again, while the numbers between two blocks are kept. Needs the extra [hub].
Shapes: B sequences, L tokens, D width, C inputs of a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurolab.hub import transformers
from neurolab.own_folder import Folder


class _StopError(Exception):
    """Ends a forward pass early: what was wanted from it is there."""


@dataclass
class Chunk:
    """Some sequences between two blocks: hidden (B, L, D), and what else a block is called with."""

    hidden: Tensor
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@contextmanager
def _no_weights() -> Iterator[None]:
    """While open, every parameter of a new module is a shape without memory; buffers are real."""
    usual = nn.Module.register_parameter

    def register(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        usual(self, name, None if param is None else nn.Parameter(param.detach().to("meta"), False))

    nn.Module.register_parameter = register  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = usual  # type: ignore[method-assign]


class Stack:
    """The bare network of a folder (without a head), empty until something is put into it."""

    def __init__(self, folder: Folder) -> None:
        room = transformers("running a model of your own")
        config = room.AutoConfig.from_pretrained(folder.path, local_files_only=True)
        self.folder, self.config = folder, config
        with _no_weights():
            self.net = room.AutoModel.from_config(config, dtype=torch.float32).eval()
        self.blocks: nn.ModuleList = self.net.get_submodule(folder.family.blocks)
        self.names = {name for name, _ in self.net.named_parameters()}
        for name in sorted(self.names):
            if folder.find(name) is None and not name.startswith("pooler."):
                raise ValueError(
                    f"{folder.path}: tensor {name!r} is missing; config.json says that it is there"
                )
        for name, entry in folder.entries.items():
            bare = folder.family.bare(name)
            if bare in self.names and entry.shape != tuple(self.net.get_parameter(bare).shape):
                wanted = list(self.net.get_parameter(bare).shape)
                raise ValueError(
                    f"{folder.path}: tensor {name!r} is {list(entry.shape)}, config.json: {wanted}"
                )

    def put(self, name: str, x: Tensor | None) -> None:
        """Set a parameter (None: empty it), by its name in the bare network; one it does not have is left."""
        if name in self.names:
            parent, _, last = name.rpartition(".")
            owner = self.net.get_submodule(parent)
            old = owner._parameters[last]
            assert old is not None
            owner._parameters[last] = nn.Parameter(old.detach().to("meta") if x is None else x, False)

    def get(self, name: str) -> Tensor:
        """A parameter, by its name in the bare network."""
        return self.net.get_parameter(name).detach()

    @torch.no_grad()
    def begin(self, ids: Tensor, batch: int = 4) -> list[Chunk]:
        """What the first block is called with for token ids (n, L), `batch` sequences at a time."""
        found: list[Chunk] = []

        def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if args:
                found.append(Chunk(args[0], args[1:], kwargs))
            else:
                rest = {key: value for key, value in kwargs.items() if key != "hidden_states"}
                found.append(Chunk(kwargs["hidden_states"], (), rest))
            raise _StopError

        handle = self.blocks[0].register_forward_pre_hook(catch, with_kwargs=True)
        try:
            for some in ids.split(batch):
                try:
                    self.net(input_ids=some, use_cache=False)
                except _StopError:
                    continue
        finally:
            handle.remove()
        return found

    @torch.no_grad()
    def run(self, i: int, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks behind block i."""
        return [Chunk(self._call(i, c), c.args, c.kwargs) for c in chunks]

    def _call(self, i: int, chunk: Chunk) -> Tensor:
        out = self.blocks[i](chunk.hidden, *chunk.args, **chunk.kwargs)
        return out[0] if isinstance(out, tuple) else out

    @torch.no_grad()
    def gather(self, i: int, matrix: str, chunks: Sequence[Chunk]) -> Tensor:
        """H = sum x x^T (C, C), float32, of what a matrix of block i gets; the pass ends there."""
        total: list[Tensor] = []

        def watch(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0].reshape(-1, args[0].shape[-1])
            if total:
                total[0].addmm_(x.T, x)
            else:
                total.append(x.T @ x)
            raise _StopError

        handle = self.blocks[i].get_submodule(matrix).register_forward_pre_hook(watch)
        try:
            for chunk in chunks:
                try:
                    self._call(i, chunk)
                except _StopError:
                    continue
        finally:
            handle.remove()
        return total[0]

    @torch.no_grad()
    def finish(self, chunks: Sequence[Chunk]) -> Tensor:
        """The network's outputs (tokens, D), behind the final norm if it has one."""
        last = self.folder.family.final
        norm = self.net.get_submodule(last) if last else nn.Identity()
        return torch.cat([norm(c.hidden).reshape(-1, c.hidden.shape[-1]) for c in chunks])


def alike(a: Sequence[Chunk], b: Sequence[Chunk]) -> float:
    """Cosine similarity of the numbers between two blocks, the mean over tokens."""
    found = [
        nn.functional.cosine_similarity(x.hidden, y.hidden, -1).flatten() for x, y in zip(a, b, strict=True)
    ]
    return float(torch.cat(found).double().mean())
