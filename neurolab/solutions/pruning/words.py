"""Chapter 5's exercise on Huffman's code words: from their lengths to the words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def canonical(l: list[int]) -> list[str]:  # noqa: E741 - the chapter's letter
    """Lengths l of the code words, by symbol (0: never occurs) -> the words, of "0" and "1" ("" for none)."""
    codes = [""] * len(l)
    code, last = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(l) if length):
        code <<= length - last
        codes[symbol] = f"{code:0{length}b}"
        code, last = code + 1, length
    return codes


def lengths(rng: np.random.Generator, n: int) -> list[int]:
    """Lengths of n words that fill the tree, shuffled: leaves split at random."""
    leaves = [1, 1]
    while len(leaves) < n:
        at = int(rng.integers(len(leaves)))
        leaves[at : at + 1] = [leaves[at] + 1] * 2
    return [int(x) for x in rng.permutation(leaves)]


def _length_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [
        [1],
        [1, 1],
        [2, 1, 2],
        [0, 1, 0],
        [3, 0, 1, 3, 2],
        [3, 3, 3, 3, 3, 2, 4, 4],  # the example of RFC 1951
        [5, 1, 5, 0, 4, 3, 5, 5, 0, 5, 5],
        [2, 4, 4, 2, 4, 2, 5, 5],
        [12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    ]
    drawn = [lengths(rng, n) for n in (4, 7, 16)]
    return [((l,), {}) for l in fixed + drawn]  # noqa: E741


def _canonical_wrong(
    order: Callable[[tuple[int, int]], Any] = lambda pair: pair,
    padded: bool = True,
    shift: str = "after",
    absent: bool = False,
    turned: bool = False,
    ones: bool = False,
) -> Callable[[list[int]], list[str]]:
    """Code words with one thing wrong."""

    def wrong(l: list[int]) -> list[str]:  # noqa: E741
        codes, code, last = [""] * len(l), 0, 0
        pairs = [(length, symbol) for symbol, length in enumerate(l) if length or absent]
        for length, symbol in sorted(pairs, key=order):
            more = max(length - last, 0)
            code = {"after": code << more, "none": code, "one": code << min(more, 1)}[shift]
            word = f"{code:0{length}b}" if padded else f"{code:b}"
            word = word.translate(str.maketrans("01", "10")) if ones else word
            codes[symbol] = word[::-1] if turned else word
            code, last = code + 1, length
        return codes

    return wrong


def _shift_first(l: list[int]) -> list[str]:  # noqa: E741
    codes, code, last = [""] * len(l), -1, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(l) if length):
        code = (max(code, 0) << (length - last)) + 1 if code >= 0 else 0
        codes[symbol], last = f"{code:0{length}b}", length
    return codes


def _starts_anew(l: list[int]) -> list[str]:  # noqa: E741
    codes, code, last = [""] * len(l), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(l) if length):
        code = 0 if length != last else code
        codes[symbol] = f"{code:0{length}b}"
        code, last = code + 1, length
    return codes


register(
    Exercise(
        name="pruning.huffman_code",
        chapter=5,
        minutes=9,
        difficulty="medium",
        task="A decoder need not be sent the tree: the *lengths* of the code words will do, if both sides "
        "name the words by one rule. `l[i]` is the length of symbol i's word (0: it never occurs). Go "
        "through the symbols from short words to long, and among equal lengths in the order of the symbols. "
        "The first word is all zeros. Each further word is the one before it, read as a binary number, "
        "*plus 1, and then* lengthened by zeros on the right to its own length. Return the words as a list "
        "of strings of 0 and 1, in the order of the symbols; an empty string for a symbol that never occurs.",
        reference=canonical,
        answer=inspect.getsource(canonical).replace("  # noqa: E741 - the chapter's letter", ""),
        cases=_length_cases,
        stub="def canonical(l):\n    ...",
        mistakes=[
            Mistake(
                _canonical_wrong(padded=False),
                "The zeros in front are part of the word: as a number, 001 is 1, but the decoder reads "
                'three bits. `f"{code:0{length}b}"` keeps them.',
            ),
            Mistake(
                _canonical_wrong(shift="none"),
                "The number isn't lengthened. When words get longer, zeros are put on its right: `code <<= "
                "length - last`.",
            ),
            Mistake(
                _canonical_wrong(shift="one"),
                "You lengthen by one zero whenever the length grows. It may grow by more: `code <<= length "
                "- last`.",
            ),
            Mistake(
                _shift_first,
                "First plus 1, then the zeros. In your order a word begins with one that is taken: after 0 "
                "comes 01, and the decoder stops at the 0.",
            ),
            Mistake(
                _starts_anew,
                "Every length begins at 0 again, so the short words are the beginnings of long ones. Go on "
                "counting from the last word.",
            ),
            Mistake(
                _canonical_wrong(order=lambda pair: pair[1]),
                "You go through the symbols in their own order. Short words first: sort by length, then by "
                "symbol.",
            ),
            Mistake(
                _canonical_wrong(order=lambda pair: (pair[0], -pair[1])),
                "Among equal lengths the order is turned. The smaller symbol gets the smaller word.",
            ),
            Mistake(
                _canonical_wrong(absent=True),
                "A symbol that never occurs got a word, and used up room. Leave lengths of 0 out; their "
                "word is the empty string.",
            ),
            Mistake(
                _canonical_wrong(ones=True),
                "Your words are the mirror image: zeros and ones exchanged. It is as good a code, but the "
                "other side counts from all zeros.",
            ),
            Mistake(
                _canonical_wrong(turned=True),
                "The bits of each word stand in reverse. The first bit of a word is the highest of its "
                "number.",
            ),
            Mistake(
                lambda l: [word for word in canonical(l) if word],  # noqa: E741
                "A word is missing: symbols that never occur keep their place in the list, with an empty "
                "string.",
            ),
            Mistake(
                lambda l: sorted(canonical(l), key=lambda word: (len(word) or len(l) + 20, word)),  # noqa: E741
                "The words are right, in the order in which you named them. Put each at its symbol's place.",
            ),
        ],
        hints=[
            "Do [2, 1, 2] by hand: symbol 1 first, with 0. Then 0 + 1 = 1, lengthened to two bits: 10. Then "
            "11.",
            "`sorted((length, symbol) for symbol, length in enumerate(l) if length)` is the order. Keep two "
            "numbers from word to word: `code` and the last length.",
            'At each step: `code <<= length - last`, write `f"{code:0{length}b}"` at the symbol\'s place, '
            "then `code += 1`.",
        ],
    )
)
