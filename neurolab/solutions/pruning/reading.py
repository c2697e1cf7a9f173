"""Chapter 5's exercise on reading Huffman's code words: from the bits back to the symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register
from neurolab.solutions.pruning.words import canonical, lengths

Case = tuple[tuple[Any, ...], dict[str, Any]]


def decode(bits: str, codes: list[str], n: int) -> list[int]:

    table = {code: symbol for symbol, code in enumerate(codes) if code}
    symbols: list[int] = []
    word = ""
    for bit in bits:
        if len(symbols) == n:
            break
        word += bit
        if word in table:
            symbols.append(table[word])
            word = ""
    if len(symbols) < n:
        raise ValueError(f"the bits end after {len(symbols)} of {n} symbols")
    return symbols


def _decode_cases(rng: np.random.Generator) -> list[Case]:
    def message(n: int, kinds: int, tail: str) -> Case:
        codes = canonical([0, *lengths(rng, kinds)])
        symbols = rng.integers(1, kinds + 1, n)
        return (("".join(codes[i] for i in symbols) + tail, codes, n), {})

    fixed: list[tuple[str, list[str], int]] = [
        ("0", ["0"], 1),
        ("10011", ["0", "10", "11"], 3),
        ("01000000", ["0", "", "1"], 3),  # filled up to a whole byte
        ("0000", ["0", "1"], 0),
        ("", ["0", "1"], 0),
        ("101", ["0", "10", "11"], 2),  # ends within a word
        ("", ["0", "1"], 1),
        ("1111", ["0"], 1),  # no word begins like this
        ("110100", ["10", "0", "111", "110"], 3),
    ]
    cases: list[Case] = [(case, {}) for case in fixed]
    return [*cases, message(6, 5, ""), message(9, 7, "0000"), message(40, 16, "000")]


def _decode_wrong(
    stops: bool = True, error: type[Exception] | None = ValueError, anew: bool = True, place: bool = False
) -> Callable[[str, list[str], int], list[int]]:
    """A decoder with one thing wrong."""

    def wrong(bits: str, codes: list[str], n: int) -> list[int]:
        table = {code: symbol for symbol, code in enumerate(c for c in codes if c or not place) if code}
        symbols: list[int] = []
        word = ""
        for bit in bits:
            if stops and len(symbols) == n:
                break
            word += bit
            if word in table:
                symbols.append(table[word])
                word = "" if anew else word
        if error is not None and len(symbols) < n:
            raise error("the bits end too soon")
        return symbols

    return wrong


def _one_too_many(bits: str, codes: list[str], n: int) -> list[int]:
    table = {code: symbol for symbol, code in enumerate(codes) if code}
    symbols: list[int] = []
    word = ""
    for bit in bits:
        word += bit
        if word in table:
            symbols.append(table[word])
            word = ""
        if len(symbols) == n:
            break
    if len(symbols) < n:
        raise ValueError("the bits end too soon")
    return symbols


def _any_word(bits: str, codes: list[str], n: int) -> list[int]:
    symbols: list[int] = []
    at = 0
    while len(symbols) < n:
        found = [symbol for symbol, code in enumerate(codes) if bits.startswith(code, at)]
        if not found:
            raise ValueError("no word begins like this")
        symbols.append(found[0])
        at += len(codes[found[0]])
    return symbols


def _all_bits(bits: str, codes: list[str], n: int) -> list[int]:
    symbols = _decode_wrong(stops=False, error=None)(bits, codes, n)
    if len(symbols) != n:
        raise ValueError("the number of symbols is not right")
    return symbols


register(
    Exercise(
        name="pruning.huffman_decode",
        chapter=5,
        minutes=8,
        difficulty="medium",
        task="The way back. `bits` is a string of 0 and 1, `codes` the list of code words by symbol (an "
        "empty string for a symbol that never occurs), `n` how many symbols the message has. No word is the "
        "beginning of another, so read bit by bit until you hold a word, write down its symbol, and begin "
        "anew. Return the list of the n symbols. What stands after them fills up the last byte: leave it. "
        "If the bits end before n symbols are read, the file is damaged: raise a `ValueError`.",
        reference=decode,
        cases=_decode_cases,
        stub="def decode(bits, codes, n):\n    ...",
        mistakes=[
            Mistake(
                _decode_wrong(stops=False),
                "You read on after n symbols, and the zeros that fill up the last byte become symbols too. "
                "Stop at n.",
            ),
            Mistake(
                _all_bits,
                "You want the bits to end with the message. They may go on: the last byte is filled up with "
                "zeros. Only too *few* symbols are an error.",
            ),
            Mistake(
                _decode_wrong(error=None),
                "A message that breaks off passes without a word. If fewer than n symbols are there, raise "
                "a ValueError.",
            ),
            Mistake(
                _decode_wrong(error=IndexError),
                "A damaged message ends in an IndexError, which looks like a fault of your program. Raise a "
                "ValueError that says what is wrong.",
            ),
            Mistake(
                _decode_wrong(stops=False, error=None),
                "You read to the end of the bits, whatever n is. After n symbols stop; if there are fewer, "
                "raise a ValueError.",
            ),
            Mistake(
                _decode_wrong(anew=False),
                "After a symbol, begin anew with an empty word; yours goes on growing and is found no more.",
            ),
            Mistake(
                _decode_wrong(place=True),
                "The symbol is the word's place in `codes`, and symbols that never occur have a place too. "
                "You left them out before you counted.",
            ),
            Mistake(
                _any_word,
                "Every text begins with the empty string, so a symbol that never occurs is found at once. "
                "Skip empty words.",
            ),
            Mistake(
                _one_too_many,
                "With `n = 0` you still read a word: ask whether you are done before you read the next bit.",
            ),
        ],
        hints=[
            "A dictionary from word to symbol: `{code: symbol for symbol, code in enumerate(codes) if "
            "code}`.",
            '`word = ""`; for each bit `word += bit`, and `if word in table:` write the symbol down and '
            "empty the word.",
            "Before each bit: `if len(symbols) == n: break`. After the loop: fewer than n? `raise "
            "ValueError(...)`.",
        ],
    )
)
