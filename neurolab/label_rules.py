"""The scores of GLUE's tasks: accuracy, F1, and the correlations of Matthews, Pearson and Spearman.

In NumPy, equal to scikit-learn's and SciPy's (tested). Where a correlation has no value,
because all answers or all truths are the same, it is 0 here: a model that always says the same has shown no
relation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def _accuracy(answers: np.ndarray, truths: np.ndarray) -> float:
    return float((answers == truths).mean())


def _f1(answers: np.ndarray, truths: np.ndarray) -> float:
    """F1 of the label 1 (a paraphrase, a duplicate)."""
    hits = int(((answers == 1) & (truths == 1)).sum())
    named = int((answers == 1).sum() + (truths == 1).sum())
    return 2 * hits / named if named else 0.0


def _f1_macro(answers: np.ndarray, truths: np.ndarray) -> float:
    """The mean of each label's F1, over the labels that occur among answers or truths."""
    labels = np.union1d(answers, truths)
    return float(np.mean([_f1(answers == label, truths == label) for label in labels]))


def _pearson(answers: np.ndarray, truths: np.ndarray) -> float:
    """Pearson's correlation; for labels 0 and 1 it is Matthews'."""
    if _flat(answers) or _flat(truths):
        return 0.0
    x, y = answers - answers.mean(), truths - truths.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _matthews(answers: np.ndarray, truths: np.ndarray) -> float:
    if not np.isin(np.concatenate([answers, truths]), (0, 1)).all():
        raise ValueError("Matthews' correlation is counted for the labels 0 and 1 here")
    return _pearson(answers, truths)


def _spearman(answers: np.ndarray, truths: np.ndarray) -> float:
    return _pearson(_ranks(answers), _ranks(truths))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[which]


def _flat(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


RULES = {
    "accuracy": _accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
"""Each score by name; accuracy and F1 lie in 0 to 1, correlations in -1 to 1."""


def score(answers: Sequence[float], truths: Sequence[float], metrics: Sequence[str]) -> dict[str, float]:
    """The named scores of `answers` against `truths`, of equal length.

    Raises ValueError for a score that is not in RULES, for lengths that differ or are 0, and for answers that
    are no finite numbers.
    """
    unknown = [name for name in metrics if name not in RULES]
    if unknown:
        raise ValueError(f"metrics holds {unknown[0]!r}; there are {', '.join(RULES)}")
    if len(answers) != len(truths) or not len(truths):
        raise ValueError(f"{len(answers)} answers for {len(truths)} truths; one each, and at least one")
    got, want = np.asarray(answers, dtype=np.float64), np.asarray(truths, dtype=np.float64)
    if not np.isfinite(got).all():
        raise ValueError(
            f"answer {int(np.argmin(np.isfinite(got)))} is {got[~np.isfinite(got)][0]}; no number"
        )
    if len(got) < 2 and {"pearson", "spearman"} & set(metrics):
        raise ValueError("one answer has no correlation; ask at least two")
    return {name: RULES[name](got, want) for name in metrics}
