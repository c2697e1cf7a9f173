"""Exact match and F1 by the official rules of SQuAD v1.1, and how they are counted for Thai.

The rules (Rajpurkar et al., 2016; their script evaluate-v1.1.py): lower case, no ASCII punctuation, no "a",
"an", "the", single spaces; exact match compares what is left, F1 the words that both share; of several right
answers the best one counts; the score of a set is the mean over its questions. An answer without any word has
F1 0, whatever is right (version 2.0 of the rules says otherwise: there "no answer" can be right).

Thai has no spaces between words, so the words of the rules are whole phrases, and F1 is hardly more than
exact match. So it is counted twice for Thai:

- ``f1``: over character clusters (a consonant with its vowels and marks: `neurolab.tokens.cut`), which needs
  no dictionary and so does not change with one;
- ``f1_words``: the rules to the letter, over what stands between spaces.

Others count over a dictionary's words (Lowphansirikul et al., 2021: PyThaiNLP's newmm); their figures compare
with neither. Spellings that look the same (sara am as one character or two, sara e twice for sara ae, marks
in another order, zero-width spaces) are made one before Thai is compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from neurolab.tokens import cut, normalise

_SARA_AM = re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32")  # nikhahit, perhaps a tone mark, sara aa
_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff]")


def look(text: str) -> str:
    """`text` with Thai spellings that look the same made one: น้ํา (4 characters) becomes น้ำ (3)."""
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return _SARA_AM.sub("\\1\u0e33", text).replace("\u0e40\u0e40", "\u0e41")


def exact(answer: str, truth: str) -> float:
    """1.0 where the two are equal after the official normalisation, else 0.0."""
    return float(normalise(look(answer)) == normalise(look(truth)))


def f1(answer: str, truth: str, language: str = "en") -> float:
    """Harmonic mean of precision and recall over the shared tokens, 0 to 1; 0 where none is shared.

    language: "en": tokens stand between spaces, as in the rules; "th": they are character clusters.
    """
    split = cut if language == "th" else _words
    got, want = Counter(split(look(answer))), Counter(split(look(truth)))
    shared = (got & want).total()
    return 2 * shared / (got.total() + want.total()) if shared else 0.0


def _words(text: str) -> list[str]:
    return normalise(text).split()


def score(answer: str, truths: Sequence[str], language: str = "en") -> dict[str, float]:
    """The figures of one answer, each against the right answer that suits it best.

    Gives exact_match and f1 (0 to 1), and for Thai f1_words. Raises ValueError without a right answer, or for
    another language than "en" and "th".
    """
    if not truths:
        raise ValueError("truths is empty; every question of SQuAD v1.1 has at least one right answer")
    if language not in ("en", "th"):
        raise ValueError(f"language is {language!r}; the rules are written down for 'en' and 'th'")
    found = {
        "exact_match": max(exact(answer, t) for t in truths),
        "f1": max(f1(answer, t, language) for t in truths),
    }
    if language == "th":
        found["f1_words"] = max(f1(answer, t) for t in truths)
    return found
