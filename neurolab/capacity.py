"""How much does a fact weigh? The knowledge in the assistant, in bits, beside the bits that its weights take.

What a model knows of one answer is what it saves: the bits that a reader needs who can spell the language but
does not know the fact (`prior_bits`), less the bits that the model spends on the same answer. Summed over the
facts, each counted once, and divided by the number of parameters this is the quantity that Allen-Zhu and Li
("Physics of Language Models: Part 3.3", arXiv:2404.05405) find to be about 2 in models trained until they are
full: theirs compares a uniform choice among known alternatives with the model's cross-entropy.

The prior, always fitted on the *other* facts (leave one out), knows

- for a name or a code, how such names are spelt: tokens given the two before them, in that language;
- for any other answer, which answers the relation has had how often, and the names that it can have at all.

What it can't tell, and so counts as knowledge: a name that follows from the name asked about by rule
("Bangkok" from its Thai spelling). Both make the figure an upper estimate; `choice_bits`, which takes every
spelling as known and pays only for the choice among the relation's answers, is a lower one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import facts
from neurolab.assistant import collate
from neurolab.facts import Fact, Question
from neurolab.relations import LANGUAGES, RELATIONS, Language
from neurolab.tokens import END_ID, encode_pair

PUBLISHED = 2.0
"""Bits of knowledge a parameter, Allen-Zhu and Li (2024): models trained to the full, also at int8."""
PUBLISHED_INT4 = 0.7
"""The same of their models rounded to int4 after training."""
ORDER = 2  # tokens that the spelling prior looks back on: of 0, 1 and 2 the one with the fewest bits


@dataclass(frozen=True)
class Probe:
    """One fact asked in one language, in a phrasing that was never trained.

    prior, choice: bits of the answer for a reader who has only the spelling, or only the list of answers.
    """

    fact: Fact
    language: Language
    question: Question
    prior: float
    choice: float


def spelling_bits(words: Sequence[Sequence[int]], vocabulary: int, order: int = ORDER) -> list[float]:
    """Bits of each word, a list of token ids with its end, by an n-gram model of all the *other* words.

    Witten-Bell: of n tokens seen after a context, t different ones, an escape has the probability t / (n + t)
    and leads to the context shorter by one, at last to 1 / vocabulary. `order`: tokens of context, 0 or more.
    Source: Witten and Bell, The zero-frequency problem, IEEE Transactions on Information Theory, 1991.
    """
    if order < 0:
        raise ValueError(f"order {order}: must be 0 or more")

    def grams(word: Sequence[int], length: int) -> list[tuple[int, ...]]:
        padded = [-1] * length + list(word)  # -1: before the word
        return [tuple(padded[i : i + length + 1]) for i in range(len(word))]

    def contexts(counts: Mapping[tuple[int, ...], int], seen: Mapping[tuple[int, ...], int]) -> list[Counter]:
        """n and t of each context: of `counts`, t of those that `seen` has no oftener."""
        n, t = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
        for gram, count in counts.items():
            n[gram[:-1]] += count
            t[gram[:-1]] += seen[gram] == count
        return [n, t]

    every = [Counter(g for word in words for g in grams(word, k)) for k in range(order + 1)]
    all_of = [contexts(c, c) for c in every]
    found = []
    for word in words:
        own = [Counter(grams(word, k)) for k in range(order + 1)]
        own_of = [contexts(c, every[k]) for k, c in enumerate(own)]
        bits = 0.0
        for longest in grams(word, order):
            p = 1 / vocabulary
            for k in range(order + 1):
                gram = longest[order - k :]
                n, t = (all_of[k][i][gram[:-1]] - own_of[k][i][gram[:-1]] for i in (0, 1))
                if n:
                    p = (every[k][gram] - own[k][gram] + t * p) / (n + t)
            bits -= math.log2(p)
        found.append(bits)
    return found


def choosing_bits(answers: Sequence[Hashable], alternatives: int) -> list[float]:
    """Bits of each answer by how often the *others* are given; one not among them is one of `alternatives`.

    Witten-Bell again: of n other answers, t different, an answer given c times has (c + t / alternatives) /
    (n + t).
    """
    counts = Counter(answers)
    if alternatives < len(counts):
        raise ValueError(
            f"alternatives {alternatives}: must be at least {len(counts)}, the answers there are"
        )
    found = []
    for answer in answers:
        n, c = len(answers) - 1, counts[answer] - 1
        t = len(counts) - (c == 0)
        found.append(-math.log2((c + max(t, 1) / alternatives) / (n + max(t, 1))))
    return found


@lru_cache(maxsize=2)
def probes(tokenizer: Tokenizer) -> tuple[Probe, ...]:
    """Every fact that is asked in a held-out phrasing, once a language, with its prior.

    A name is asked for in the language of its question, so each of its two spellings is counted once. Facts
    trained in one language are asked in that one. Questions of `dev` are among them: they were not trained.
    """
    known = {(f.relation, f.key): f for f in facts.facts()}
    prior: dict[tuple[str, str, Language], float] = {}
    answers: dict[str, int] = {}
    vocabulary = tokenizer.get_vocab_size()
    for relation, spec in RELATIONS.items():
        of = [f for f in known.values() if f.relation == relation]
        answers[relation] = len({f.object["en"] for f in of})
        if spec.object in (spec.subject, "code"):
            continue
        there = len(facts.names()[spec.object])
        for language in LANGUAGES:
            for f, bits in zip(of, choosing_bits([f.object[language] for f in of], there), strict=True):
                prior[f.relation, f.key, language] = bits
    for language in LANGUAGES:
        for spelt, order in (("name of ", ORDER), ("code of ", 0)):
            of = [f for f in known.values() if f.relation.startswith(spelt)]
            words = [
                [*tokenizer.encode(f.object[language], add_special_tokens=False).ids, END_ID] for f in of
            ]
            for f, bits in zip(of, spelling_bits(words, vocabulary, order), strict=True):
                prior[f.relation, f.key, language] = bits
    made = {}
    for q in (*facts.split("held_out"), *facts.split("dev")):
        f = known[q.relation, q.key]
        if q.answer == f.object[q.language]:
            key = (q.relation, q.key, q.language)
            made[key] = Probe(f, q.language, q, prior[key], math.log2(answers[q.relation]))
    return tuple(made[key] for key in sorted(made))


@dataclass(frozen=True)
class Answered:
    """What a model makes of Q questions: bits (Q,) spent on the right answers; whether each is right (Q,);
    margin (Q,): the right token's logit less the best other's, at the answer's weakest token."""

    bits: Tensor
    right: Tensor
    margin: Tensor


@torch.inference_mode()
def answered(
    model: nn.Module, tokenizer: Tokenizer, questions: Sequence[Question], batch: int = 64
) -> Answered:
    """Ask all `questions`, teacher-forced. Raises ValueError if there are none."""
    if not questions:
        raise ValueError("questions []: must hold at least one question")
    rows = [encode_pair(tokenizer, q.text, q.answer) for q in questions]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    bits, margin = torch.empty(len(rows)), torch.empty(len(rows))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        b = collate([rows[i] for i in chosen])
        wanted, truth = b.answer[:, 1:], b.ids[:, 1:]
        scores = model(b.ids[:, :-1]).float()  # (B, L - 1, V)
        nats = F.cross_entropy(scores.transpose(1, 2), truth, reduction="none")
        bits[chosen] = (nats * wanted).sum(1) / math.log(2)
        right = scores.gather(2, truth[:, :, None])[:, :, 0]
        other = scores.scatter(2, truth[:, :, None], -torch.inf).amax(2)
        margin[chosen] = (right - other).masked_fill(~wanted, torch.inf).amin(1)
    return Answered(bits, margin > 0, margin)


def knowledge(asked: Sequence[Probe], spent: Tensor) -> dict[str, float]:
    """Bits known of all `asked`, the model having `spent` (Q,) bits on their answers.

    A fact that costs more than its prior is not known: 0, never less. Asked in two languages, a name counts
    with both spellings, any other fact once, in the language in which it is known better.

    Gives stored_bits (spelling counted), choice_bits (spelling taken as known), possible_bits (stored_bits if
    nothing were spent), net_bits (stored_bits without the floor at 0, so that confident errors count).
    """
    if len(asked) != len(spent):
        raise ValueError(f"spent holds {len(spent)} numbers: must be {len(asked)}, one a probe")
    sums = dict.fromkeys(("stored_bits", "choice_bits", "possible_bits", "net_bits"), 0.0)
    groups: dict[Hashable, list[dict[str, float]]] = {}
    for probe, bits in zip(asked, spent.tolist(), strict=True):
        one = {
            "stored_bits": max(0.0, probe.prior - bits),
            "choice_bits": max(0.0, probe.choice - bits),
            "possible_bits": probe.prior,
            "net_bits": probe.prior - bits,
        }
        key = (probe.fact.relation, probe.fact.key, probe.language if probe.fact.is_name else None)
        groups.setdefault(key, []).append(one)
    for same in groups.values():
        for name in sums:
            sums[name] += max(one[name] for one in same)
    return sums


def figures(
    asked: Sequence[Probe], outcome: Answered, *, parameters: int, stored_bytes: int
) -> dict[str, float]:
    """`knowledge`, in all, a parameter and a stored bit; the share of the possible bits and of right answers;
    what a fact weighs, and how many bits of the file there are for it."""
    found: dict[str, float] = dict(knowledge(asked, outcome.bits))
    count = len({(p.fact.relation, p.fact.key) for p in asked})
    return found | {
        "facts": count,
        "possible_bits_per_fact": found["possible_bits"] / count,
        "file_bits_per_fact": 8 * stored_bytes / count,
        "share": found["stored_bits"] / found["possible_bits"],
        "bits_per_parameter": found["stored_bits"] / parameters,
        "bits_per_stored_bit": found["stored_bits"] / (8 * stored_bytes),
        "needed_bits_per_parameter": found["possible_bits"] / parameters,
        "exact_match": float(outcome.right.float().mean()),
        "probes": len(asked),
        "bytes": stored_bytes,
    }


def falling(outcomes: Mapping[int, Answered], asked: Sequence[Probe]) -> dict[str, Any]:
    """At how many bits each fact falls: the pictures of chapter 4 from the answers at each bit-width.

    Gives bits (B,), descending; kept: language -> share of facts right (B,); by_relation: relation -> the
    same; by_margin: (4, B), the same of the four quarters of the facts by their margin at the most bits,
    narrow to wide; by_weight: (4, B), the same by their prior bits, light to heavy; weight: relation -> mean
    prior bits of an answer.
    """
    if not outcomes:
        raise ValueError("outcomes {}: must hold at least one bit-width")
    widths = sorted(outcomes, reverse=True)
    right = torch.stack([outcomes[b].right for b in widths]).double()  # (B, Q)
    languages = [p.language for p in asked]
    relations = [p.fact.relation for p in asked]

    def share(of: Sequence[bool]) -> list[float]:
        return right[:, torch.tensor(of)].mean(1).tolist()  # type: ignore[no-any-return]

    prior = torch.tensor([p.prior for p in asked], dtype=torch.float64)

    def quarters(of: Tensor) -> list[list[float]]:
        return [right[:, q].mean(1).tolist() for q in of.argsort(stable=True).tensor_split(4)]

    return {
        "bits": widths,
        "kept": {lang: share([x == lang for x in languages]) for lang in LANGUAGES if lang in languages},
        "by_relation": {name: share([x == name for x in relations]) for name in dict.fromkeys(relations)},
        "by_margin": quarters(outcomes[widths[0]].margin),
        "by_weight": quarters(prior),
        "weight": {
            name: float(prior[torch.tensor([x == name for x in relations])].mean())
            for name in dict.fromkeys(relations)
        },
    }


def shuffled_error(w: Tensor, value: Tensor, seed: int) -> Tensor:
    """w plus the error value - w of its rounding, each row's errors in another order: noise of the same size,
    row by row, that has nothing to do with a grid of few values. w, value and the result (R, C)."""
    if w.shape != value.shape:
        raise ValueError(f"value of shape {tuple(value.shape)}: must be {tuple(w.shape)}, the shape of w")
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(w.shape, generator=generator).argsort(1)
    return w + (value - w).gather(1, order)
