"""Chapter 5's exercises on bits: what an ideal coder needs, and what Huffman's tree needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def entropy(counts: list[int]) -> float:
    """How often each symbol occurs (>= 0, at least one above 0) -> bits a symbol, sum of p log2(1 / p)."""
    n = sum(counts)
    return sum(c / n * math.log2(n / c) for c in counts if c)


def _counts_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [
        [7],
        [1, 1],
        [3, 1],
        [0, 5, 0],  # one symbol, sure to come
        [4, 2, 1, 1],
        [2, 0, 2, 2, 2],
        [1, 90, 5, 4],  # zeros nearly everywhere
        [1, 1, 2, 3, 5, 8, 13],
        [5, 3, 3, 3],
    ]
    drawn = [rng.poisson(rng.gamma(0.4, 30.0, n)) + (np.arange(n) == 0) for n in (4, 6, 15, 40)]
    return [((counts,), {}) for counts in fixed + [[int(c) for c in row] for row in drawn]]


def _used(counts: list[int]) -> list[int]:
    return [c for c in counts if c]


def _nan(counts: list[int]) -> float:
    p = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return float(-(p * p.log2()).sum())


def _lengths(counts: list[int]) -> float:
    return sum(c * math.ceil(math.log2(sum(counts) / c)) for c in _used(counts)) / sum(counts)


register(
    Exercise(
        name="pruning.entropy",
        chapter=5,
        minutes=5,
        difficulty="easy",
        task="How many bits does an ideal coder need for each symbol? `counts` says how often every symbol "
        "occurs; some may not occur at all. With `p` a symbol's share of all, one that occurs costs `log2(1 "
        "/ p)` bits, and one that does not occur costs nothing. Return the mean over the message: the sum "
        "of `p log2(1 / p)`.",
        reference=entropy,
        cases=_counts_cases,
        stub="def entropy(counts):\n    ...",
        mistakes=[
            Mistake(
                _nan,
                "A symbol that never occurs gives 0 times infinity, which is nan. It costs nothing: leave "
                "it out.",
            ),
            Mistake(
                lambda counts: sum(c * math.log2(sum(counts) / c) for c in _used(counts)),
                "That is the whole message. Asked are bits for *each* symbol: weigh with p, not with the "
                "count.",
            ),
            Mistake(
                lambda counts: entropy(counts) * math.log(2),
                "These are nats: `math.log` is the natural logarithm. For bits take `math.log2`.",
            ),
            Mistake(
                lambda counts: -entropy(counts),
                "The sign: log2 of p is below 0, so take log2(1 / p), or minus the sum.",
            ),
            Mistake(
                lambda counts: math.log2(len(_used(counts))),
                "That is right if all symbols are equally frequent. Frequent ones cost less: log2(1 / p), "
                "weighed with p.",
            ),
            Mistake(
                lambda counts: math.ceil(math.log2(len(counts))),
                "That is a fixed width, enough to number the symbols. An ideal coder spends log2(1 / p) on "
                "each.",
            ),
            Mistake(
                lambda counts: sum(math.log2(sum(counts) / c) for c in _used(counts)),
                "You add up what each symbol costs once. Frequent symbols are paid often: weigh each cost "
                "with p.",
            ),
            Mistake(
                lambda counts: sum(math.log2(sum(counts) / c) for c in _used(counts)) / len(_used(counts)),
                "The mean over the alphabet. But a message holds frequent symbols more often: weigh each "
                "cost with p.",
            ),
            Mistake(
                _lengths,
                "You round each cost up to whole bits. A code word has to; an ideal coder does not.",
            ),
            Mistake(
                lambda counts: max(1.0, entropy(counts)),
                "At least one bit a symbol: that holds for a coder with a code word for each symbol "
                "(Huffman). The ideal one may spend less than a bit on what nearly always comes.",
            ),
        ],
        hints=[
            "`n = sum(counts)`, and `p = c / n` for each count c. What does [1, 1] have to give? And [7]?",
            "`math.log2(n / c)` is the cost of a symbol that occurs c times.",
            "`sum(c / n * math.log2(n / c) for c in counts if c)`.",
        ],
    )
)


def huffman_bits(counts: list[int]) -> int:
    """How often each symbol occurs (>= 0, at least one above 0) -> bits of the whole message."""
    left = sorted(c for c in counts if c)
    total = 0 if len(left) > 1 else left[0]
    while len(left) > 1:
        x, y, *rest = left
        total += x + y
        left = sorted([x + y, *rest])
    return total


def _tree(
    order: Callable[[list[int]], list[int]] = sorted,
    absent: bool = False,
    root: bool = True,
    back: str = "sorted",
    alone: bool = True,
) -> Callable[[list[int]], int]:
    """A tree with one thing wrong."""

    def wrong(counts: list[int]) -> int:
        left = order(list(counts) if absent else _used(counts))
        if len(left) == 1:
            return left[0] if alone else 0
        total = 0
        while len(left) > 1:
            pair = left[0] + left[1]
            total += pair if root or len(left) > 2 else 0
            left = {"front": [pair, *left[2:]], "end": [*left[2:], pair], "sorted": order([*left[2:], pair])}[
                back
            ]
        return total

    return wrong


register(
    Exercise(
        name="pruning.huffman_bits",
        chapter=5,
        minutes=7,
        difficulty="medium",
        task="How long is a message in Huffman's code? Each symbol that occurs is a leaf with its count. "
        "Take the two smallest, put them under one new node, whose count is their sum, and throw it in with "
        "the others; go on until one is left. Each time, everything under the new node becomes one bit "
        "longer, so the message grows by *that node's count*. Return the bits of the whole message. A code "
        "word can't be shorter than one bit: if only one symbol occurs, it takes one bit each time.",
        reference=huffman_bits,
        cases=_counts_cases,
        stub="def huffman_bits(counts):\n    ...",
        mistakes=[
            Mistake(
                _tree(alone=False),
                "If there is only one symbol, nothing is merged, and your message has 0 bits. A code word "
                "has at least one: that is the rule on which Huffman stumbles at high sparsity.",
            ),
            Mistake(
                _tree(absent=True),
                "Symbols that never occur got a place in the tree and pushed others down. Leave counts of 0 "
                "out.",
            ),
            Mistake(
                _tree(root=False),
                "The last merge counts too: it is the first bit of every code word.",
            ),
            Mistake(
                _tree(back="front"),
                "The new node has to take its turn among the others. Yours is merged again at once, however "
                "large it has become: sort anew each time (or use `heapq`).",
            ),
            Mistake(
                _tree(back="end"),
                "The new node goes to the end of the queue, and may be overlooked while larger ones are "
                "merged. Sort anew each time (or use `heapq`).",
            ),
            Mistake(
                _tree(order=lambda left: sorted(left, reverse=True)),
                "You merge the two *largest*, so the frequent symbols get the long words. Take the smallest.",
            ),
            Mistake(
                lambda counts: math.ceil(entropy(counts) * sum(counts) - 1e-9),
                "That is the ideal coder's length. Huffman's code words have whole bits, so its message is "
                "longer, unless every p is a power of 1/2.",
            ),
            Mistake(
                lambda counts: sum(
                    c * max(1, math.ceil(math.log2(sum(counts) / c) - 1e-12)) for c in _used(counts)
                ),
                "Every word is log2(1 / p) rounded up. Such a code exists (Shannon's), but Huffman's tree "
                "does better.",
            ),
            Mistake(
                lambda counts: sum(counts) * max(1, math.ceil(math.log2(len(_used(counts))))),
                "That is a fixed width for all symbols. Huffman gives the frequent ones shorter words.",
            ),
            Mistake(
                lambda counts: huffman_bits(counts) / sum(counts),
                "That is the mean for each symbol. Asked are the bits of the whole message.",
            ),
        ],
        hints=[
            "Do [4, 2, 1, 1] by hand: merge 1 and 1 (2 bits), then 2 and 2 (4 bits), then 4 and 4 (8 bits): "
            "14.",
            "Keep a sorted list: `x, y, *rest = sorted(left)`, then `left = [x + y, *rest]`, and add x + y "
            "to the total.",
            "Begin with `left = [c for c in counts if c]`, and look at `len(left) == 1` before the loop.",
        ],
    )
)
