"""The spiking assistant as a stream: tokens come one after another, each until it rests or is stopped.

R rows work at once, each on its own sequence and token, each at its own step. Every step a row's spikes pass
through all populations in order; a token that has finished leaves its keys and values behind and the row
takes the next one. Nothing is padded: a row always works on a token that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurolab.spiking import SIGNED, UNSIGNED, logits
from neurolab.spiking_files import Spiking
from neurolab.spiking_state import Stream, populations, rest_of
from neurolab.transformer import Config


@dataclass
class Ran:
    """What a run leaves, all tokens of all sequences in order (N), those of sequence i from starts[i].

    ids: the tokens. counts (N, D), int8: the last norm's. settled (N): the last step with a spike. steps (N):
    the steps that were run. spikes (N, populations), int32. products (N): threshold products. position (N).
    """

    ids: Tensor
    starts: list[int]
    counts: Tensor
    settled: Tensor
    steps: Tensor
    spikes: Tensor
    products: Tensor
    position: Tensor

    def sequence(self, i: int) -> slice:
        """Where sequence i lies."""
        return slice(self.starts[i], self.starts[i + 1])


@dataclass(frozen=True)
class Stop:
    """When a token is done: at rest (T None) or after T steps, or once it was quiet for `patience` steps.

    Quiet is a step in which the populations that anyone will read have fired at most `few` spikes together:
    keys and values (later tokens read them) and, where the token answers, the last norm. Nothing need be
    computed to see it but a count of spikes. patience 0: never. ValueError for a T below 1 or below 0 others.
    """

    T: int | None = None
    patience: int = 0
    few: int = 0

    def __post_init__(self) -> None:
        for name, least in (("T", 1), ("patience", 0), ("few", 0)):
            value = getattr(self, name)
            if name == "T" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} {value!r}: must be a whole number of at least {least}")


@torch.inference_mode()
def stream(
    net: Spiking,
    sequences: Sequence[Sequence[int]],
    kind: str = "halving",
    stop: Stop = Stop(),
    *,
    answers: Sequence[int] | None = None,
    more: Callable[[int, Tensor], int | None] | None = None,
    rows: int = 256,
    chunk: int = 2048,
    compiled: bool | None = None,
) -> Ran:
    """Run sequences of token ids. kind: a schedule of `spiking.schedule`.

    answers[i]: the first position of sequence i whose logits will be asked for (default: all). `more`, if
    given, is called with (i, logits) when sequence i has run out and may answer with its next token.
    ValueError for an empty or too long sequence.
    """
    c = net.config
    for ids in sequences:
        if not 1 <= len(ids) <= c.context:
            raise ValueError(f"a sequence of {len(ids)} tokens: must have 1 to {c.context}")
    if stop.T is None and kind == "rescaled":
        raise ValueError("kind 'rescaled': never rests at the integer network's codes; T must be given")
    weights = rest_of(kind, c, net.bits, stop.T)
    lists = [list(map(int, ids)) for ids in sequences]
    kept = _Kept(lists, c, grows=more is not None)
    order = sorted(range(len(lists)), key=lambda i: -len(lists[i]))
    for at in range(0, len(order), chunk):
        part = order[at : at + chunk]
        length = c.context if more else len(lists[part[0]])
        work = Stream(net, min(rows, len(part)), length, weights, compiled)
        _Desk(work, part, lists, answers, stop, more).drain(kept)
    return kept.ran(lists)


class _Kept:
    """Where finished tokens are written: room for every token of every sequence."""

    def __init__(self, lists: list[list[int]], c: Config, grows: bool) -> None:
        self.first = [0]
        for ids in lists:
            self.first.append(self.first[-1] + (c.context if grows else len(ids)))
        N = self.first[-1]
        self.of = {
            "counts": torch.zeros(N, c.width, dtype=torch.int8),
            "settled": torch.zeros(N, dtype=torch.int32),
            "steps": torch.zeros(N, dtype=torch.int32),
            "spikes": torch.zeros(N, len(populations(c.layers)), dtype=torch.int32),
            "products": torch.zeros(N, dtype=torch.int32),
        }

    def ran(self, lists: list[list[int]]) -> Ran:
        starts = [0]
        for ids in lists:
            starts.append(starts[-1] + len(ids))
        position = torch.cat([torch.arange(len(ids)) for ids in lists])
        first = torch.tensor(self.first[:-1]).repeat_interleave(torch.tensor([len(ids) for ids in lists]))
        kept = {key: x[first + position] for key, x in self.of.items()}
        return Ran(torch.tensor([t for ids in lists for t in ids]), starts, **kept, position=position)


class _Desk:
    """Hands tokens to the rows of a `Stream` and takes finished ones away."""

    def __init__(
        self,
        work: Stream,
        part: list[int],
        lists: list[list[int]],
        answers: Sequence[int] | None,
        stop: Stop,
        more: Callable[[int, Tensor], int | None] | None,
    ) -> None:
        self.work, self.lists, self.answers, self.stop, self.more = work, lists, answers, stop, more
        self.waiting = iter(part)
        self.mine = [next(self.waiting) for _ in range(work.rows)]
        self.ending = torch.tensor([self._ending(i) for i in self.mine])
        self.read = torch.tensor([name.endswith((".key", ".value")) for name in work.names])
        R = work.rows
        self.settled, self.quiet = torch.zeros(R, dtype=torch.long), torch.zeros(R, dtype=torch.long)
        self.spikes, self.products = torch.zeros(R, len(work.names), dtype=torch.long), torch.zeros(R).long()
        start = torch.tensor([lists[i][0] for i in self.mine])
        work.begin(torch.arange(R), start, torch.zeros_like(start))

    def _ending(self, i: int) -> int:
        return self.answers[i] if self.answers is not None else 0

    def _finished(self) -> Tensor:
        """Which rows are done after the step just made."""
        work, stop = self.work, self.stop
        moved = work.spikes.any(0)
        self.spikes += work.spikes.T
        self.products += work.products
        self.settled = torch.where(moved, work.t, self.settled)
        found = ~moved & (work.w[SIGNED] == 1) & (work.w[UNSIGNED] == 1)  # a silent step: nothing can follow
        if stop.T is not None:
            found = (found & (work.weights[UNSIGNED][-1] == 1)) | (work.t >= stop.T)
        if stop.patience:
            heard = work.spikes[self.read].sum(0) + work.spikes[-1] * (work.position >= self.ending)
            self.quiet = torch.where(heard > stop.few, 0, self.quiet + 1)
            found = found | (self.quiet >= stop.patience)
        return found

    def drain(self, kept: _Kept) -> None:
        """Work until every sequence of this part has run."""
        while self.work.rows:
            S = self.work.step()
            rows = torch.nonzero(self._finished())[:, 0]
            if len(rows):
                self._turn(rows, S, kept)

    def _turn(self, rows: Tensor, S: Tensor, kept: _Kept) -> None:
        work, many = self.work, rows.tolist()
        place = work.position[rows]
        at = torch.tensor([kept.first[self.mine[r]] for r in many]) + place
        for key, x in (
            ("counts", S),
            ("settled", self.settled),
            ("steps", work.t),
            ("products", self.products),
        ):
            kept.of[key][at] = x[rows].to(kept.of[key].dtype)
        kept.of["spikes"][at] = self.spikes[rows].int()
        tokens, places, leaving = [], [], []
        for r, next_place in zip(many, (place + 1).tolist(), strict=True):
            i = self.mine[r]
            if (
                next_place == len(self.lists[i])
                and self.more is not None
                and next_place < work.net.config.context
            ):
                token = self.more(i, logits(work.net.p, S[r].float()))
                if token is not None:
                    self.lists[i].append(token)
            if next_place == len(self.lists[i]):
                new, next_place = next(self.waiting, None), 0
                if new is None:
                    leaving.append(r)
                else:
                    self.mine[r], self.ending[r] = new, self._ending(new)
            tokens.append(self.lists[self.mine[r]][next_place])
            places.append(next_place)
        work.begin(rows, torch.tensor(tokens), torch.tensor(places))
        for x in (self.settled, self.quiet, self.spikes, self.products):
            x[rows] = 0
        if leaving:
            stays = torch.ones(work.rows, dtype=torch.bool)
            stays[leaving] = False
            staying = torch.nonzero(stays)[:, 0]
            work.keep(staying)
            self.mine, self.ending = [self.mine[r] for r in staying.tolist()], self.ending[staying]
            self.settled, self.quiet = self.settled[staying], self.quiet[staying]
            self.spikes, self.products = self.spikes[staying], self.products[staying]
