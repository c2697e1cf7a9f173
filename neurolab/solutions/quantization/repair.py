"""Chapter 4's exercises on making errors good: GPTQ's update, and the gradient of a learned step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def spread(w: torch.Tensor, q: torch.Tensor, s: torch.Tensor, U: torch.Tensor, j: int) -> torch.Tensor:
    """w (R, C), codes q (R,) of column j, steps s (R,), U (C, C) with H^-1 = U^T U -> w (R, C)."""
    w = w.clone()
    e = (w[:, j] - s * q) / U[j, j]
    w[:, j:] -= e[:, None] * U[j, j:]
    return w


def _gptq_cases(rng: np.random.Generator) -> list[Case]:
    def case(R: int, C: int, j: int, alike: float = 1.0) -> Case:
        x = rng.normal(size=(4 * C, C)) + alike * rng.normal(size=(4 * C, 1))  # inputs that go together
        H = torch.tensor(2 * x.T @ x / len(x))
        U = torch.linalg.cholesky(torch.linalg.inv(H), upper=True)
        w, s = torch.tensor(rng.normal(size=(R, C))), torch.tensor(rng.uniform(0.3, 0.7, R))
        return ((w, torch.round(w[:, j] / s).clamp(-2, 1), s, U, j), {})

    one: list[Any] = [[[0.75, 1.0]], [1.0], [0.5], [[1.0, 0.5], [0.0, 1.0]]]
    two: list[Any] = [[[0.7, 1.0]], [1.0], [0.5], [[2.0, -0.5], [0.0, 1.0]]]
    small: list[Case] = [
        ((*(torch.tensor(x, dtype=torch.float64) for x in rows), 0), {}) for rows in (one, two)
    ]
    return [*small, case(1, 3, 1), case(2, 3, 2), case(3, 4, 0), case(4, 6, 2), case(2, 8, 5, 3.0)]


def _gptq_wrong(
    sign: int = -1, power: int = 1, by: str = "U", scaled: bool = True, stays: bool = False
) -> Callable[..., Tensor]:
    """The update with one thing wrong."""

    def wrong(w: Tensor, q: Tensor, s: Tensor, U: Tensor, j: int) -> Tensor:
        old, w = w[:, j], w.clone()
        d = old - (s * q if scaled else q)
        C = w.shape[1]
        inverse = U.T @ U
        row, own = {
            "U": (U[j], U[j, j] ** power),
            "inverse": (inverse[j], inverse[j, j]),
            "H": (torch.linalg.inv(inverse)[j], torch.linalg.inv(inverse)[j, j]),
            "even": (torch.full((C,), 1 / max(C - j - 1, 1), dtype=w.dtype), torch.tensor(1.0)),
        }[by]
        w[:, j + 1 :] += sign * (d / own)[:, None] * row[j + 1 :]
        w[:, j] = old if stays else old - d
        return w

    return wrong


def _only_rounded(w: Tensor, q: Tensor, s: Tensor, U: Tensor, j: int) -> Tensor:
    w = w.clone()
    w[:, j] = s * q
    return w


def _one_row(w: Tensor, q: Tensor, s: Tensor, U: Tensor, j: int) -> Tensor:
    w = w.clone()
    e = (w[:, j] - s * q) / U[j, j]
    w[:, j:] -= e.mean() * U[j, j:]
    w[:, j] = s * q
    return w


register(
    Exercise(
        name="quantization.gptq",
        chapter=4,
        minutes=10,
        difficulty="hard",
        task="One step of GPTQ. Column `j` of the weights `w`, shape (R, C), has just been rounded to the "
        "codes `q`, shape (R,), with a step for each row, `s` (R,). What was rounded away shall be made "
        "good by the columns that follow. The (C, C) matrix `U` says how: it is upper triangular, and `U^T "
        "U` is the inverse of the Hessian `H`. Row by row, `e = (w_j - s q) / U_jj`, and every column k > j "
        "becomes `w_k - e U_jk`. Return the new w, shape (R, C): column j holds its rounded values `s q`, "
        "the columns after it are mended, those before it untouched.",
        reference=spread,
        cases=_gptq_cases,
        seconds=10.0,
        stub="def spread(w, q, s, U, j):\n    ...",
        mistakes=[
            Mistake(
                _only_rounded,
                "Column j is rounded, and nobody makes its error good: the columns after j must move by -e "
                "U_jk. (If yours should move: `U[:, j]` is a column of U, and below the diagonal there are "
                "only zeros. Take the row, `U[j]`.)",
            ),
            Mistake(
                _gptq_wrong(sign=1),
                "The wrong way: the following columns now double the damage. Each moves by *minus* e U_jk.",
            ),
            Mistake(
                _gptq_wrong(power=0),
                "The error isn't divided by `U_jj`. The row `U_j` says how the others move when column j "
                "itself moves by `U_jj`; yours moves by w_j - s q.",
            ),
            Mistake(
                _gptq_wrong(power=2),
                "Divided by `U_jj` twice. Its square is what stands on the diagonal of the inverse Hessian; "
                "with U itself, once is enough.",
            ),
            Mistake(
                _gptq_wrong(by="inverse"),
                "You took the row of the whole inverse, U^T U. It is right for the first column only: later "
                "on it would have the finished columns move too. In U they are taken out already.",
            ),
            Mistake(
                _gptq_wrong(by="H"),
                "You took the row of H. How much the others must move to make an error good is in its "
                "inverse; use U.",
            ),
            Mistake(
                _gptq_wrong(by="even"),
                "An equal share for every column. But inputs differ: a column helps as much as its input "
                "goes along with that of column j, and U_jk says how much.",
            ),
            Mistake(
                _gptq_wrong(scaled=False),
                "You compare w with its code. The rounded weight is s q.",
            ),
            Mistake(
                _gptq_wrong(stays=True),
                "The columns that follow are right. Column j itself must hold its rounded values, s q.",
            ),
            Mistake(
                _one_row,
                "One error for all rows. Each row of w is a neuron of its own, with its own error: e has "
                "shape (R,), and the change shape (R, C - j - 1).",
            ),
        ],
        hints=[
            "How far did each row move? `w[:, j] - s * q`, shape (R,).",
            "The change is one number for each row times one number for each column: `e[:, None] * U[j, j + "
            "1:]`.",
            "Begin with `w = w.clone()`. If you let k start at j, column j becomes s q by itself: w_j - e "
            "U_jj = s q.",
        ],
    )
)


def backward(g: torch.Tensor, w: torch.Tensor, s: float, b: int) -> tuple[torch.Tensor, torch.Tensor]:
    """g (...), the gradient of the loss for s q; w (...); s > 0 -> those for w (...) and for s ()."""
    low, high = -(2 ** (b - 1)), 2 ** (b - 1) - 1
    q = torch.round(w / s).clamp(low, high)
    inside = (w / s >= low) & (w / s <= high)
    return g * inside, (g * (q - w / s * inside)).sum()


def _ste_cases(rng: np.random.Generator) -> list[Case]:
    def case(b: int, *shape: int, wide: float = 1.0) -> Case:
        low, high = -(2 ** (b - 1)), 2 ** (b - 1) - 1
        u = rng.integers(low, high, shape) + rng.uniform(0.05, 0.45, shape)  # no halves, nothing near an end
        u += (rng.random(shape) < 0.5) * 0.5
        u = np.where(rng.random(shape) < 0.3, np.where(rng.random(shape) < 0.5, low - 1, high + 1) * wide, u)
        s = float(rng.uniform(0.1, 2.0))
        return ((torch.tensor(rng.normal(size=shape)), torch.tensor(u * s), s, b), {})

    few: list[tuple[list[float], list[float], float, int]] = [
        ([1.0], [0.3], 1.0, 2),
        ([1.0], [0.8], 0.5, 3),
        ([-2.0], [9.0], 1.0, 3),  # beyond the upper end
        ([1.0], [-12.0], 2.0, 3),  # and the lower
        ([0.5, -1.0], [0.6, -0.2], 0.25, 4),
    ]
    small: list[Case] = [
        ((torch.tensor(g, dtype=torch.float64), torch.tensor(w, dtype=torch.float64), s, b), {})
        for g, w, s, b in few
    ]
    return [*small, case(2, 5), case(3, 4, 3), case(4, 20, wide=1.7), case(8, 2, 3, 2)]


def _ste_wrong(
    gate: str = "inside",
    wide: bool = True,
    ends: bool = True,
    sign: int = 1,
    moved: bool = True,
    over: str = "sum",
    weighed: bool = True,
    flat: bool = False,
    divided: bool = False,
) -> Callable[[Tensor, Tensor, float, int], tuple[Tensor, Tensor]]:
    """The gradients with one thing wrong."""

    def wrong(g: Tensor, w: Tensor, s: float, b: int) -> tuple[Tensor, Tensor]:
        low, high = -(2 ** (b - 1)), 2 ** (b - 1) - 1
        u = w / s
        q = torch.round(u).clamp(low, high)
        inside = (u >= low) & (u <= high)
        of_w = g * {"inside": inside, "none": torch.ones_like(inside), "outside": ~inside}[gate]
        of_w = torch.zeros_like(g) if flat else of_w / s if divided else of_w
        of_s = q - u * (inside if wide else torch.ones_like(inside)) if moved else q
        of_s = sign * of_s * (torch.ones_like(inside) if ends else inside)
        of_s = g * of_s if weighed else of_s
        return of_w, {"sum": of_s.sum(), "mean": of_s.mean(), "each": of_s}[over]

    return wrong


register(
    Exercise(
        name="quantization.ste",
        chapter=4,
        minutes=10,
        difficulty="hard",
        task="A step that is learned. The network uses `s q` with `q = clip(round(w / s), -2^(b-1), 2^(b-1) "
        "- 1)`. You are given `g`, the gradient of the loss for s q, of w's shape. Return two gradients: "
        "that for `w`, of w's shape, and that for the one step `s`, a single number. Rule: `round` is "
        "passed straight through, as though its slope were 1; `clip` has slope 1 between its bounds and 0 "
        "beyond them. (No w / s that the check sends lies within half a step beyond a bound.)",
        reference=backward,
        cases=_ste_cases,
        seconds=10.0,
        stub="def backward(g, w, s, b):\n    ...",
        mistakes=[
            Mistake(
                _ste_wrong(flat=True),
                "True to the letter: round is flat, so w gets no gradient, and nothing is learned. The "
                "straight-through rule says: pass g on as though the slope were 1.",
            ),
            Mistake(
                _ste_wrong(gate="none"),
                "The step's gradient is right. But a weight beyond the bounds can move without moving its "
                "code: its gradient is 0.",
            ),
            Mistake(
                _ste_wrong(gate="outside"),
                "Turned round: the weights *within* the bounds get the gradient, those beyond them get 0.",
            ),
            Mistake(
                _ste_wrong(moved=False),
                "You held q still. But when s grows, w / s shrinks, and round is passed straight through: "
                "from the product rule comes a second term, -w / s.",
            ),
            Mistake(
                _ste_wrong(wide=False),
                "Beyond the bounds q does not follow w / s, so there the -w / s falls away and the bound "
                "itself is left.",
            ),
            Mistake(
                _ste_wrong(ends=False),
                "The clipped weights speak too, and loudest: each of them is at a bound, and would follow s "
                "with slope -2^(b-1) or 2^(b-1) - 1.",
            ),
            Mistake(
                _ste_wrong(sign=-1),
                "The sign of the step's gradient is turned: it is q - w / s, rounded minus exact.",
            ),
            Mistake(
                _ste_wrong(over="mean"),
                "The mean over the weights. s is in every one of them, and their gradients add up.",
            ),
            Mistake(
                _ste_wrong(over="each"),
                "One number for each weight. They share one s, so its gradient is the sum.",
            ),
            Mistake(
                _ste_wrong(weighed=False),
                "The step's gradient must be weighed with g, weight by weight, before it is summed: that is "
                "the chain rule.",
            ),
            Mistake(
                _ste_wrong(divided=True),
                "w / s has slope 1 / s, yes; but the s in front of q takes it back: s times 1 / s is 1.",
            ),
        ],
        hints=[
            "`s * clip(round(w / s))` is a product: the derivative for s is q plus s times the derivative "
            "of q.",
            "Within the bounds the derivative of w / s for s is -w / s^2. So within them: q - w / s. Beyond "
            "them q stands still: q.",
            "`inside = (w / s >= low) & (w / s <= high)`; then `g * inside` and `(g * (q - w / s * "
            "inside)).sum()`.",
        ],
    )
)
