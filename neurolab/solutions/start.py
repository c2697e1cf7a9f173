"""Chapter 0's exercises: bytes, bits, rounding, and when an answer is right."""

from __future__ import annotations

import math
import string
from collections import Counter
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def exact_match(answer: str, truth: str) -> bool:
    """Whether two texts are equal after SQuAD's normalisation."""

    def normalise(text: str) -> str:
        text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return " ".join(word for word in text.split() if word not in ("a", "an", "the"))

    return normalise(answer) == normalise(truth)


def _match(lower: bool = True, marks: bool = True, articles: bool = True, spaces: bool = True) -> Any:
    """`exact_match` with parts left out."""

    def wrong(answer: str, truth: str) -> bool:
        def normalise(text: str) -> str:
            text = text.lower() if lower else text
            text = "".join(c for c in text if c not in string.punctuation) if marks else text
            if not spaces:
                return text
            return " ".join(w for w in text.split() if not articles or w not in ("a", "an", "the"))

        return normalise(answer) == normalise(truth)

    return wrong


def _match_cases(rng: np.random.Generator) -> list[Case]:
    pairs = [
        ("Thai Baht", "thai baht"),
        ("the Thai Baht", "Thai Baht"),
        ("Thai Baht.", "Thai Baht"),
        ("Thai  Baht ", "Thai Baht"),
        ("Baht", "Thai Baht"),
        ("Thai Baht", "Baht"),
        ("บาท", "บาท"),
        ("บาท", "เยน"),
        ("", "Baht"),
        ("The Gambia", "Gambia"),
        ("Isle of Man", "Isle of Man"),
        ("theatre", "atre"),
        ("a", "the"),
        ("Antigua & Barbuda", "antigua  barbuda"),
        ("Guinea-Bissau", "Guinea Bissau"),
    ]
    words = ["Thai", "Baht", "yen", "The", "Nauru", "U.S."]
    for _ in range(8):
        answer, truth = (" ".join(rng.choice(words, rng.integers(1, 4))) for _ in range(2))
        pairs += [(answer, truth), (answer, answer.upper() + "!")]
    return [(pair, {}) for pair in pairs]


register(
    Exercise(
        name="start.exact_match",
        chapter=0,
        minutes=5,
        difficulty="easy",
        task="Say whether an answer is right by SQuAD's rules: make both texts lower case, take out the "
        "punctuation (`string.punctuation`) and the words *a*, *an* and *the*, squeeze the spaces, and "
        "compare what is left.",
        reference=exact_match,
        cases=_match_cases,
        stub="def exact_match(answer, truth):\n    ...",
        mistakes=[
            Mistake(
                lambda a, b: a == b, "As strict as can be: `Thai Baht.` would be wrong for its full stop."
            ),
            Mistake(_match(lower=False), "Capital letters still count. Make both texts lower case first."),
            Mistake(_match(marks=False), "Punctuation still counts: `Thai Baht.` should pass."),
            Mistake(_match(articles=False), "Articles still count: `the Thai Baht` should pass."),
            Mistake(
                lambda a, b: exact_match(a, b) or exact_match(b, "") or b.lower() in a.lower(),
                "Finding the truth somewhere inside the answer is not enough: the whole answer must "
                "be equal.",
            ),
            Mistake(
                lambda a, b: _match(articles=False)(
                    *(t.lower().replace("the", "").replace("an", "").replace("a", "") for t in (a, b))
                ),
                "This cuts *a* and *the* out of the middle of words too. Split into words, then drop words.",
            ),
        ],
        hints=[
            "Write a little function `normalise(text)` and compare `normalise(answer)` with "
            "`normalise(truth)`.",
            'Keep the letters that are not in `string.punctuation`: `"".join(c for c in text if ...)`.',
            '`" ".join(word for word in text.split() if word not in ("a", "an", "the"))` drops the '
            "articles and "
            "squeezes the spaces in one go.",
        ],
    )
)


def f1(answer: list[str], truth: list[str]) -> float:
    """Harmonic mean of precision and recall over the words that both share."""
    shared = sum((Counter(answer) & Counter(truth)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(answer), shared / len(truth)
    return 2 * precision * recall / (precision + recall)


def _shared(answer: list[str], truth: list[str]) -> int:
    return sum((Counter(answer) & Counter(truth)).values())


def _f1_of_sets(answer: list[str], truth: list[str]) -> float:
    shared = len(set(answer) & set(truth))
    if not shared:
        return 0.0
    precision, recall = shared / len(answer), shared / len(truth)
    return 2 * precision * recall / (precision + recall)


def _f1_unguarded(answer: list[str], truth: list[str]) -> float:
    precision, recall = _shared(answer, truth) / len(answer), _shared(answer, truth) / len(truth)
    return 2 * precision * recall / (precision + recall)


def _f1_cases(rng: np.random.Generator) -> list[Case]:
    pairs = [
        (["thai", "baht"], ["thai", "baht"]),
        (["baht"], ["thai", "baht"]),
        (["thai", "thai", "thai"], ["thai", "baht"]),
        (["yen"], ["thai", "baht"]),
        (["new", "york", "new", "york"], ["new", "york", "new"]),
        (["swiss", "franc", "of", "france"], ["swiss", "franc"]),
    ]
    words = np.array(["thai", "baht", "new", "dollar", "of"])
    for _ in range(10):
        pairs.append(tuple(rng.choice(words, rng.integers(1, 6)).tolist() for _ in range(2)))  # type: ignore[arg-type]
    return [(pair, {}) for pair in pairs]


register(
    Exercise(
        name="start.f1",
        chapter=0,
        minutes=6,
        difficulty="medium",
        task="Give part marks: `answer` and `truth` are lists of words (never empty). Count the "
        "words that both "
        "share, a word as often as it stands in both; precision is that count over the answer's "
        "words, recall "
        "over the truth's; F1 is 2 x precision x recall / (precision + recall), and 0 where nothing "
        "is shared.",
        reference=f1,
        cases=_f1_cases,
        stub="def f1(answer, truth):\n    ...",
        mistakes=[
            Mistake(
                _f1_of_sets,
                "Sets forget how often a word stands there. `Counter(answer) & Counter(truth)` remembers.",
            ),
            Mistake(
                lambda a, t: _shared(a, t) / len(a),
                "That is precision alone: a single right word would score 1, however much is missing.",
            ),
            Mistake(
                lambda a, t: _shared(a, t) / len(t),
                "That is recall alone: an answer that says every word there is would score 1.",
            ),
            Mistake(
                lambda a, t: (_shared(a, t) / len(a) + _shared(a, t) / len(t)) / 2,
                "That is the ordinary mean of the two. F1 is the harmonic one, which the smaller "
                "part pulls down.",
            ),
            Mistake(_f1_unguarded, "When nothing is shared you divide 0 by 0. Return 0 before that happens."),
        ],
        hints=[
            "`from collections import Counter`: two Counters joined by `&` keep the smaller count "
            "of each word.",
            "`shared = sum((Counter(answer) & Counter(truth)).values())`",
            "precision = shared / len(answer), recall = shared / len(truth). What if shared is 0?",
        ],
    )
)


def round_to_bits(w: np.ndarray, s: float, b: int) -> np.ndarray:
    """w rounded to the nearest of the 2^b multiples of the step s that a signed b-bit code can name."""
    q = np.clip(np.round(w / s), -(2 ** (b - 1)), 2 ** (b - 1) - 1)
    return s * q


def _round_cases(rng: np.random.Generator) -> list[Case]:
    edge = np.array([-9.0, -0.26, -0.24, 0.0, 0.1, 0.3, 0.74, 9.0])
    cases: list[Case] = [((edge, 0.5, bits), {}) for bits in (2, 3, 4, 8)]
    for bits, shape in [(2, (5,)), (3, (4, 3)), (4, (20,)), (8, (2, 2, 2))]:
        cases.append(((rng.normal(size=shape), float(rng.uniform(0.05, 0.6)), bits), {}))
    return cases


def _codes(w: np.ndarray, s: float, b: int) -> np.ndarray:
    return np.clip(np.round(w / s), -(2 ** (b - 1)), 2 ** (b - 1) - 1)


register(
    Exercise(
        name="start.round_to_bits",
        chapter=0,
        minutes=5,
        difficulty="medium",
        task="Round the weights `w` (an array) to `b` bits with the step `s`: the code of a weight "
        "is the nearest "
        "whole number to w / s, held between -2^(b-1) and 2^(b-1) - 1; give back the array of s "
        "times the codes.",
        reference=round_to_bits,
        cases=_round_cases,
        stub="def round_to_bits(w, s, b):\n    ...",
        mistakes=[
            Mistake(
                lambda w, s, b: s * np.round(w / s),
                "Without limits a large weight gets a code that does not fit into b bits. `np.clip` "
                "holds it.",
            ),
            Mistake(_codes, "Those are the codes. Multiply by `s` to come back to the size of the weights."),
            Mistake(
                lambda w, s, b: s * np.clip(np.floor(w / s), -(2 ** (b - 1)), 2 ** (b - 1) - 1),
                "Rounded down, not to the nearest: every weight shrinks by half a step on average.",
            ),
            Mistake(
                lambda w, s, b: s * np.clip(np.round(w / s), -(2 ** (b - 1)) + 1, 2 ** (b - 1) - 1),
                "One code is missing: b bits count from -2^(b-1) up, one further on the negative side.",
            ),
            Mistake(
                lambda w, s, b: s * np.clip(np.round(w / s), 0, 2**b - 1),
                "Codes from 0 up lose every negative weight. Signed codes start at -2^(b-1).",
            ),
            Mistake(
                lambda w, s, b: s * np.clip(np.round(w / s), -(2**b), 2**b - 1),
                "That range holds twice as many codes: it needs b + 1 bits. One bit is taken by the sign.",
            ),
        ],
        hints=[
            "Three steps: divide and round, hold within the limits, multiply back.",
            "`np.round(w / s)` rounds to the nearest whole number, `np.clip(x, low, high)` holds x "
            "in between.",
            "For b = 3 the codes are -4, -3, ..., 3: eight of them.",
        ],
    )
)


def model_bytes(parameters: int, bits: float, group: int) -> float:
    """Bytes of the codes, and of a 2-byte scale for every group of weights (the last one may be short)."""
    return parameters * bits / 8 + math.ceil(parameters / group) * 2


def _bytes_cases(rng: np.random.Generator) -> list[Case]:
    cases: list[Case] = [((8, 4, 8), {}), ((9, 4, 8), {}), ((1, 8, 128), {}), ((1_000_000, 3, 32), {})]
    for _ in range(8):
        cases.append(
            ((int(rng.integers(1, 10**7)), int(rng.integers(2, 17)), int(rng.choice([32, 64, 128]))), {})
        )
    return cases


register(
    Exercise(
        name="start.model_bytes",
        chapter=0,
        minutes=4,
        difficulty="easy",
        task="How many bytes does a model take whose `parameters` weights have `bits` bits each, if "
        "every `group` "
        "of weights (the last one may be smaller) shares one scale of 2 bytes?",
        reference=model_bytes,
        cases=_bytes_cases,
        stub="def model_bytes(parameters, bits, group):\n    ...",
        mistakes=[
            Mistake(
                lambda p, b, g: p * b / 8,
                "The scales are missing. Papers forget them too; at 3 bits and groups of 32 they "
                "are a seventh.",
            ),
            Mistake(
                lambda p, b, g: p * b + math.ceil(p / g) * 2,
                "The weights are in bits still: 8 bits are a byte.",
            ),
            Mistake(
                lambda p, b, g: p * b / 8 + p // g * 2,
                "Nearly. When the weights do not fill the last group, it needs a scale all the "
                "same: round up.",
            ),
            Mistake(
                lambda p, b, g: p * b / 8 + math.ceil(p / g) * 2 / 8,
                "The scales are 2 bytes each already; only the weights are given in bits.",
            ),
            Mistake(
                lambda p, b, g: p * b / 8 + p * 2,
                "That gives every single weight its own scale. A group shares one.",
            ),
        ],
        hints=[
            "Two sums: the weights' codes, and the scales. 8 bits are one byte.",
            "How many groups? parameters / group, rounded up: `math.ceil`.",
        ],
    )
)


def implied_bits(size: float, parameters: float) -> float:
    """Bits that each of `parameters` weights has in a model of `size` bytes, if nothing else is stored."""
    return size * 8 / parameters


def _bits_cases(rng: np.random.Generator) -> list[Case]:
    pairs = [(1e9, 1e9), (1.0, 8.0), (5e6, 2e6)]
    pairs += [(float(rng.uniform(1e6, 1e9)), float(rng.uniform(1e6, 1e9))) for _ in range(6)]
    return [(pair, {}) for pair in pairs]


register(
    Exercise(
        name="start.implied_bits",
        chapter=0,
        minutes=2,
        difficulty="easy",
        task="Turn it round: a model takes `size` bytes and has `parameters` weights. How many bits "
        "has each?",
        reference=implied_bits,
        cases=_bits_cases,
        stub="def implied_bits(size, parameters):\n    ...",
        mistakes=[
            Mistake(lambda s, p: s / p, "That is bytes for each weight. How many bits is that?"),
            Mistake(
                lambda s, p: p * 8 / s,
                "Upside down: more parameters in the same bytes leave *fewer* bits each.",
            ),
            Mistake(
                lambda s, p: s / 8 / p, "A byte holds 8 bits, so there are more bits than bytes: times 8."
            ),
            Mistake(
                lambda s, p: float(round(s * 8 / p)),
                "No rounding: an average may well be a fraction of a bit, and here that is the point.",
            ),
        ],
        hints=["How many bits are in `size` bytes?", "Share those bits among the parameters."],
    )
)
