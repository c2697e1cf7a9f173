"""The tokenizer (byte-level BPE, Hugging Face `tokenizers`) and the two scores of an answer.

A question and its answer become one row of token ids: question, ANSWER, answer, END. The scores are those of
SQuAD (Rajpurkar et al., 2016): exact match and F1 after a fixed normalisation.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from neurolab.relations import KINDS

PAD, ANSWER, END = "<pad>", "<answer>", "<end>"
PAD_ID, ANSWER_ID, END_ID = 0, 1, 2

# Thai is written without spaces, so the kinds ("ภาษา") and the two languages' names are cut from what stands
# beside them: a name then has the same tokens wherever it stands. The rest is cut into words, each with the
# space before it.
_CUT_TH = "|".join([*(k["th"] for k in KINDS.values()), "ไทย", "อังกฤษ"])
_WORDS = r" ?[\p{L}\p{M}\p{N}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+"


def train_tokenizer(texts: Iterable[str], size: int = 1024) -> Tokenizer:
    """Learn a byte-level BPE of `size` tokens from `texts`. Any text can be encoded and comes back."""
    if size < 259:
        raise ValueError(f"size {size}: must be at least 259 (256 bytes and 3 special tokens)")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CUT_TH), "isolated"),
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, ANSWER, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer from its JSON file. Raises ValueError that names the file if it is not one."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for every cause
        raise ValueError(f"{path}: not a tokenizer file ({error})") from error


def encode_question(tokenizer: Tokenizer, question: str) -> list[int]:
    """Token ids of a question, up to and with ANSWER. A closing "?" or "." makes no difference.

    Raises ValueError if nothing is left to ask.
    """
    text = question.strip().rstrip("?.").rstrip()
    if not text:
        raise ValueError(f"question {question!r}: must not be empty")
    return [*tokenizer.encode(text, add_special_tokens=False).ids, ANSWER_ID]


def encode_pair(tokenizer: Tokenizer, question: str, answer: str) -> tuple[list[int], int]:
    """Token ids of question, ANSWER, answer, END, and the index at which the answer begins."""
    start = encode_question(tokenizer, question)
    return [*start, *tokenizer.encode(answer, add_special_tokens=False).ids, END_ID], len(start)


def decode(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """The text of `ids` up to END."""
    kept: list[int] = []
    for i in ids:
        if i == END_ID:
            break
        kept.append(int(i))
    return tokenizer.decode(kept)


_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_THAI_CLUSTER = re.compile(
    r"[\u0e40-\u0e44]?[\u0e01-\u0e2e\u0e2f\u0e46][\u0e30-\u0e3a\u0e45\u0e47-\u0e4e]*|[^\s\u0e00-\u0e7f]+|[\u0e00-\u0e7f]"
)


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case, no ASCII punctuation, no English articles, single spaces."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def cut(text: str) -> list[str]:
    """The tokens that F1 counts: words between spaces, as in SQuAD; inside Thai, character clusters.

    Thai has no spaces between words. A cluster is a consonant with its vowels and marks, the unit that
    cannot be split when reading, so F1 gives part marks for part of a name without a dictionary.
    """
    return [piece for word in normalise(text).split() for piece in _THAI_CLUSTER.findall(word)]


def exact_match(answer: str, truth: str) -> bool:
    """Whether the two are equal after normalisation (SQuAD's EM)."""
    return normalise(answer) == normalise(truth)


def f1(answer: str, truth: str) -> float:
    """Harmonic mean of precision and recall over the tokens that both share (SQuAD's F1), in [0, 1]."""
    got, want = cut(answer), cut(truth)
    if not got or not want:
        return float(got == want)
    shared = sum((Counter(got) & Counter(want)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(got), shared / len(want)
    return 2 * precision * recall / (precision + recall)
