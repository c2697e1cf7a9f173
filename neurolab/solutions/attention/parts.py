"""Chapter 3's exercises on attention itself: softmax, division by a threshold, products of spikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Queries, keys, values (L, E) -> outputs (L, E); a token sees itself and the tokens before it."""
    L, E = q.shape
    scores = q @ k.T / E**0.5
    later = torch.ones(L, L, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v


def _causal_cases(rng: np.random.Generator) -> list[Case]:
    def case(L: int, E: int, size: float = 1.0) -> Case:
        q, k, v = (torch.tensor(rng.normal(size=(L, E))) for _ in range(3))
        return ((q * size, k * size, v), {})

    return [case(1, 2), case(2, 1), case(3, 4), case(4, 2, 60.0), case(9, 16)]


def _causal_wrong(
    scale: float = 0.5,
    diagonal: int = 1,
    hide: float = -torch.inf,
    axis: int = -1,
    late: bool = False,
    turned: bool = False,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Attention with one thing wrong."""

    def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        L, E = q.shape
        scores, later = q @ k.T / E**scale, torch.ones(L, L, dtype=torch.bool).triu(diagonal)
        later = later.T if turned else later
        if late:
            return scores.softmax(axis).masked_fill(later, 0.0) @ v
        return scores.masked_fill(later, hide).softmax(axis) @ v

    return wrong


def _shared_again(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.T / q.shape[1] ** 0.5).softmax(-1).tril()
    return weights / weights.sum(-1, keepdim=True) @ v


def _bare_exp(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.T / q.shape[1] ** 0.5).exp().tril()
    return weights / weights.sum(-1, keepdim=True) @ v


register(
    Exercise(
        name="attention.causal",
        chapter=3,
        minutes=6,
        difficulty="easy",
        task="One head of attention, in a few lines. Row i of `q`, `k` and `v`, each of shape (L, E), "
        "belongs to token i. Score every pair by `q_i . k_j / sqrt(E)`, let no token see a later one, turn "
        "each row of scores into weights by softmax, and return the weighted sums of the rows of `v`, shape "
        "(L, E).",
        reference=attend,
        cases=_causal_cases,
        seconds=10.0,
        stub="def attend(q, k, v):\n    ...",
        mistakes=[
            Mistake(
                _causal_wrong(scale=0.0),
                "The scores are not divided by sqrt(E). Long vectors then make large scores, and the "
                "softmax puts everything on one token.",
            ),
            Mistake(
                _causal_wrong(scale=1.0),
                "You divide by E. A sum of E random products grows with the root of E, so divide by sqrt(E).",
            ),
            Mistake(
                _causal_wrong(diagonal=10**6),
                "A token here reads the future: scores with j above i must not count.",
            ),
            Mistake(
                _causal_wrong(turned=True),
                "The wrong half is hidden: here a token sees only itself and the future. Rows are queries, "
                "columns are keys: `triu(1)` is the half with the later keys.",
            ),
            Mistake(
                _causal_wrong(diagonal=0),
                "A token may see itself. You hide the diagonal too, and the first token has nothing left "
                "to look at (hence nan).",
            ),
            Mistake(
                _causal_wrong(hide=0.0),
                "A score of 0 is not hidden: exp(0) is 1. What has weight 0 after the softmax has minus "
                "infinity before it.",
            ),
            Mistake(
                _causal_wrong(late=True),
                "Hidden too late: the later tokens have had their share of the softmax, and the weights of "
                "a row no longer sum to 1. Hide before the softmax.",
            ),
            Mistake(
                _causal_wrong(axis=0),
                "The softmax runs down the columns. Each query shares out its attention over the keys, and "
                "they lie along the last axis.",
            ),
            Mistake(
                _shared_again,
                "Right on paper. But where a later token has by far the largest score, the softmax leaves "
                "nothing for the earlier ones, and you divide 0 by 0. Hide before the softmax.",
            ),
            Mistake(
                _bare_exp,
                "Right for small scores, but exp of a large one overflows. Take the row's largest score away "
                "first, or let `.softmax(-1)` do it.",
            ),
        ],
        hints=[
            "All scores at once are one product of matrices, (L, E) times (E, L). Which of the two is "
            "turned?",
            "`torch.ones(L, L, dtype=torch.bool).triu(1)` is True exactly where the key is later than the "
            "query.",
            "`scores.masked_fill(later, -torch.inf).softmax(-1)` are the weights; one more product with v.",
        ],
    )
)


def mix(A: torch.Tensor, V: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """Counts A (L, M) >= 0, V (M, E), K (E,) > 0 -> counts (L, E) from -8 to 7. All of them int64."""
    n = 2**8 * (A @ V)
    d = K * (A.sum(-1, keepdim=True) + 1)
    return ((2 * n + d) // (2 * d)).clamp(-8, 7)


def _divide_cases(rng: np.random.Generator) -> list[Case]:
    def whole(*rows: Any) -> Case:
        return (tuple(torch.tensor(row, dtype=torch.int64) for row in rows), {})

    cases = [
        whole([[1]], [[3]], [256]),  # a tie: 3/2 becomes 2
        whole([[1]], [[-3]], [256]),  # and -3/2 becomes -1
        whole([[1]], [[5]], [256]),  # 5/2 becomes 3
        whole([[0, 0]], [[7], [-8]], [9]),  # nobody fires
        whole([[2]], [[2**45]], [(2**55 + 1) // 3]),  # 1/2 less the least bit
        whole([[15, 15], [3, 0]], [[7, -8], [7, -8]], [40, 30]),
    ]
    for L, E in ((3, 2), (6, 4), (8, 5)):
        A = np.tril(rng.integers(0, 16, (L, L)) * rng.integers(0, 2, (L, L)))
        cases.append(whole(A, rng.integers(-8, 8, (L, E)), rng.integers(90, 400, E)))
    return cases


def _whole(got: Any, want: Any) -> bool:
    """Whether two tensors agree exactly, and are both of whole numbers or both not."""
    if not (isinstance(got, Tensor) and isinstance(want, Tensor)):
        return False
    return got.is_floating_point() == want.is_floating_point() and torch.equal(got.to(want.dtype), want)


def _divide_wrong(
    one: int = 1, half: bool = True, cut: bool = True, total: str = "row", how: str = "floor"
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A mix with one thing wrong."""

    def wrong(A: Tensor, V: Tensor, K: Tensor) -> Tensor:
        sums = {"row": A.sum(-1, keepdim=True), "line": A.sum(-1), "all": A.sum()}[total]
        n, d = 2**8 * (A @ V), K * (sums + one)
        if how == "even":
            code = torch.round(n.double() / d).long()
        elif how in ("float", "long"):
            code = torch.floor(n.double() / d + 0.5)
            code = code.long() if how == "long" else code
        else:
            code = torch.div(2 * n + d if half else 2 * n, 2 * d, rounding_mode=how)
        return code.clamp(-8, 7) if cut else code

    return wrong


def _shift_last(A: Tensor, V: Tensor, K: Tensor) -> Tensor:
    n, d = A @ V, K * (A.sum(-1, keepdim=True) + 1)
    return (2**8 * ((2 * n + d) // (2 * d))).clamp(-8, 7)


register(
    Exercise(
        name="attention.divide",
        chapter=3,
        minutes=8,
        difficulty="easy",
        task="Attention by counts, with a threshold that grows instead of a softmax. `A` (L, M) says how "
        "much each query attends to each key, `V` (M, E) holds the values' counts, `K` (E,) the thresholds. "
        "With `n = 2^8 sum_j A_ij V_je` and `d = K_e (sum_j A_ij + 1)`, return `clip(floor(n / d + 1/2), "
        "-8, 7)`, shape (L, E). All tensors are int64, and so is yours on the way and at the end: the "
        "chip knows no fractions, and some numbers are too long for a float.",
        reference=mix,
        cases=_divide_cases,
        same=_whole,
        seconds=10.0,
        stub="def mix(A, V, K):\n    ...",
        mistakes=[
            Mistake(
                _divide_wrong(one=0),
                "Where no key is attended to, sum A is 0 and you divide by nothing. The + 1 belongs inside "
                "the bracket with the sum.",
            ),
            Mistake(
                _divide_wrong(half=False),
                "Without the 1/2 you round down, not to the nearest. In whole numbers: "
                "floor(n / d + 1/2) is (2 n + d) // (2 d).",
            ),
            Mistake(
                _divide_wrong(how="trunc"),
                "Below zero you round towards zero, as C does and as `int(...)` does. Floor goes down: "
                "Python's and PyTorch's `//` do so.",
            ),
            Mistake(
                _divide_wrong(how="even"),
                "A tie: `round` sends 5/2 to 2, the even neighbour. This neuron always rounds a half up.",
            ),
            Mistake(
                _divide_wrong(how="float"),
                "The numbers are floats: `/` has left the whole numbers. floor(n / d + 1/2) can be had with "
                "`//` alone.",
            ),
            Mistake(
                _divide_wrong(how="long"),
                "On the way you were in floats (`/`), and one of the inputs is too long for them: it lies "
                "just below a half and was rounded up to it. `//` alone will do.",
            ),
            Mistake(
                _divide_wrong(cut=False),
                "A count of 4 bits ends at -8 and 7: cut what is outside, at the very end.",
            ),
            Mistake(
                _shift_last,
                "The 2^8 comes too late: after the division the fraction that it should save is gone.",
            ),
            Mistake(
                _divide_wrong(total="line"),
                "`A.sum(-1)` has shape (L,) and PyTorch lines it up with the columns, not with the rows. "
                "`keepdim=True` leaves it a column, (L, 1).",
            ),
            Mistake(
                _divide_wrong(total="all"),
                "That sum runs over all queries. Each divides by what it has itself given out: sum each row "
                "of A.",
            ),
        ],
        hints=[
            "`A @ V` works on whole numbers too. For the sums, `keepdim=True` keeps a column of shape (L, "
            "1).",
            "A half more, without a half: n / d + 1/2 = (2 n + d) / (2 d).",
            "`//` rounds down, below zero too; then `.clamp(-8, 7)`.",
        ],
    )
)


def delta(s_q: torch.Tensor, s_k: torch.Tensor, S_q: torch.Tensor, S_k: torch.Tensor) -> torch.Tensor:
    """s_q(t) (L, E), s_k(t) (M, E), S_q(t) (L, E), S_k(t - 1) (M, E) -> change (L, M) of S_q S_k^T."""
    return S_q @ s_k.T + s_q @ S_k.T


def _delta_cases(rng: np.random.Generator) -> list[Case]:
    def case(L: int, M: int, E: int, rate: float, weight: int = 1) -> Case:
        def spikes(n: int) -> Tensor:
            return torch.tensor(rng.choice((-1, 1), (n, E)) * (rng.random((n, E)) < rate) * weight)

        s_q, s_k = spikes(L), spikes(M)
        return (
            (s_q, s_k, torch.tensor(rng.integers(-8, 8, (L, E))), torch.tensor(rng.integers(-8, 8, (M, E)))),
            {},
        )

    first: Case = (tuple(torch.tensor([[a]]) for a in (1, -1, 1, 0)), {})  # T = 1, both fire
    both: Case = (tuple(torch.tensor([[a]]) for a in (-1, 1, 3, -2)), {})
    return [first, both, case(1, 1, 3, 0.0), case(1, 3, 2, 0.8), case(3, 2, 4, 0.5), case(5, 5, 8, 0.3, 4)]


register(
    Exercise(
        name="attention.delta",
        chapter=3,
        minutes=8,
        difficulty="medium",
        task="Both sides of a score spike. For step t you are given this step's spikes, `s_q` (L, E) and "
        "`s_k` (M, E); the queries' counts `S_q` (L, E) *with* these spikes; and the keys' counts `S_k` (M, "
        "E) *without* them, as they stood a step earlier. Return the change of the scores, shape (L, M), so"
        " that all changes together give the product of the counts exactly. One factor of each product "
        "must be spikes, so that silence costs nothing.",
        reference=delta,
        cases=_delta_cases,
        seconds=10.0,
        stub="def delta(s_q, s_k, S_q, S_k):\n    ...",
        mistakes=[
            Mistake(
                lambda s_q, s_k, S_q, S_k: (S_q - s_q) @ s_k.T + s_q @ S_k.T,
                "Where a query and a key fire in the same step, their product of spikes is lost. One of the "
                "two must meet the other as it is *after* the step: leave S_q as it is given.",
            ),
            Mistake(
                lambda s_q, s_k, S_q, S_k: S_q @ s_k.T + s_q @ (S_k + s_k).T,
                "Where a query and a key fire in the same step, their product of spikes is counted twice: "
                "S_q has this step's spikes in it already, so S_k must not.",
            ),
            Mistake(
                lambda s_q, s_k, S_q, S_k: s_q @ s_k.T,
                "Only spikes that meet in the same step count here. A spike also meets all that the other "
                "side has said before.",
            ),
            Mistake(
                lambda s_q, s_k, S_q, S_k: S_q @ s_k.T,
                "You heard the keys' spikes only. A query's spike changes its scores too.",
            ),
            Mistake(
                lambda s_q, s_k, S_q, S_k: s_q @ S_k.T,
                "You heard the queries' spikes only. A key's spike changes its scores too.",
            ),
            Mistake(
                lambda s_q, s_k, S_q, S_k: S_q @ (S_k + s_k).T,
                "That is the whole score after the step. Asked is what this step adds to it.",
            ),
        ],
        hints=[
            "Write the new score with old counts and spikes: (S_q_old + s_q)(S_k_old + s_k)^T. Which terms "
            "are new?",
            "Three terms are new: S_q_old s_k^T, s_q S_k_old^T and s_q s_k^T. Two of them add up to one with "
            "the new S_q.",
            "S_q(t) s_k(t)^T + s_q(t) S_k(t-1)^T.",
        ],
    )
)
