"""Number formats: which numbers a few bits can write down, and which of them x becomes.

A `Float` is sign, exponent and mantissa, with subnormal numbers below the smallest exponent; a `Whole` is a
row of whole numbers, multiplied by a step that the quantizer chooses. `round_to` gives the nearest number of
a format, and of two that are equally near the one whose last bit is 0 (IEEE 754: round to nearest, ties to
even; with no mantissa, which has no last bit, the larger). `FORMATS` holds those that the course speaks of;
`Float("E3M2", 3, 2)` makes any other.

What lies beyond the largest number becomes infinity where the format has one ("ieee"), NaN where it only has
that ("nan"), and the largest number where it has neither ("none", and every `Whole`); ``overflow="saturate"``
gives the largest number everywhere. Sources: IEEE 754-2019; FP8: Micikevicius et al. (2022); FP4 and FP6:
Rouhani et al. (2023); BF16: Kalamkar et al. (2019). Keys are those of ``book/references.bib``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SPECIALS = ("ieee", "nan", "none")
WIDEST = 16
"""Bits of the widest format whose numbers `values` lists."""


@dataclass(frozen=True)
class Float:
    """A floating-point format of 1 + exponent + mantissa bits, its bias 2^(exponent-1) - 1.

    exponent: 2 to 8 bits.  mantissa: 0 to 23 bits (so float32 holds all its numbers).  special: what the
    codes with the highest exponent mean: "ieee" infinity and NaN, "nan" numbers and one NaN (all ones),
    "none" only numbers.  stored: bits that it takes in memory (TF32 takes those of FP32).
    Raises ValueError for other widths, and where there is no room for the special codes.
    """

    name: str
    exponent: int
    mantissa: int
    special: str = "ieee"
    stored: int = 0

    def __post_init__(self) -> None:
        if self.special not in SPECIALS:
            raise ValueError(f"special {self.special!r}: must be one of {', '.join(SPECIALS)}")
        least = 0 if self.special == "none" else 1
        if not 2 <= self.exponent <= 8:
            raise ValueError(f"exponent {self.exponent!r}: must be 2 to 8 bits")
        if not least <= self.mantissa <= 23:
            raise ValueError(f"mantissa {self.mantissa!r}: must be {least} to 23 bits ({self.special})")
        object.__setattr__(self, "stored", self.stored or 1 + self.exponent + self.mantissa)

    @property
    def bits(self) -> int:
        """Bits that say something."""
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self) -> int:
        """What is taken from the exponent's code."""
        return int(2 ** (self.exponent - 1)) - 1

    @property
    def lowest(self) -> int:
        """The exponent of the smallest normal number, and of all subnormal ones."""
        return 1 - self.bias

    @property
    def highest(self) -> int:
        """The exponent of the largest number."""
        return int(2**self.exponent) - (2 if self.special == "ieee" else 1) - self.bias

    @property
    def largest(self) -> float:
        """The largest number."""
        taken = 2.0 if self.special == "nan" else 1.0
        return math.ldexp(2.0 - taken * 2.0**-self.mantissa, self.highest)

    @property
    def smallest(self) -> float:
        """The smallest number above 0 (subnormal): the step between numbers around 0."""
        return math.ldexp(1.0, self.lowest - self.mantissa)

    @property
    def step(self) -> float:
        """The step from 1 to the next number, "epsilon"; rounding moves a normal number by half at most."""
        return 2.0**-self.mantissa


@dataclass(frozen=True)
class Whole:
    """The whole numbers low, low + gap, ..., high, written in `stored` bits; a step turns them into numbers.

    Raises ValueError where high is not reached from low.
    """

    name: str
    low: int
    high: int
    gap: int = 1
    stored: int = 8

    def __post_init__(self) -> None:
        if self.gap < 1 or self.high <= self.low or (self.high - self.low) % self.gap:
            raise ValueError(
                f"low {self.low}, high {self.high}, gap {self.gap}: high must be above low by whole gaps"
            )

    @property
    def levels(self) -> int:
        """How many numbers there are."""
        return (self.high - self.low) // self.gap + 1

    @property
    def bits(self) -> float:
        """log2(levels): what a number can say. Ternary says 1.58 bits."""
        return math.log2(self.levels)


Format = Float | Whole
FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Float("FP32", 8, 23),
        Float("TF32", 8, 10, stored=32),
        Float("FP24", 7, 16),  # as in graphics chips from 2002 on: s1 e7 m16
        Float("FP16", 5, 10),
        Float("BF16", 8, 7),
        Float("FP8 E4M3", 4, 3, "nan"),
        Float("FP8 E5M2", 5, 2),
        Float("FP6 E3M2", 3, 2, "none"),
        Float("FP6 E2M3", 2, 3, "none"),
        Float("FP4 E2M1", 2, 1, "none"),
        Whole("UINT8", 0, 255),
        Whole("INT8", -128, 127),
        Whole("INT4", -8, 7, stored=4),
        Whole("ternary", -1, 1, stored=2),
        Whole("binary", -1, 1, gap=2, stored=1),
    )
}


def of(fmt: Format | str) -> Format:
    """The format, or the one of that name. ValueError names those that there are."""
    if isinstance(fmt, Float | Whole):
        return fmt
    if fmt not in FORMATS:
        raise ValueError(f"fmt {fmt!r}: must be a Float, a Whole, or one of {', '.join(FORMATS)}")
    return FORMATS[fmt]


def _steps(step: float | Tensor, fmt: Format) -> Tensor:
    s = torch.as_tensor(step, dtype=torch.float64)
    if not (torch.isfinite(s) & (s > 0)).all():
        raise ValueError(f"step {step!r}: must be finite and above 0")
    if isinstance(fmt, Float) and not (s == 1).all():
        raise ValueError(f"step {step!r}: {fmt.name} has its own steps; only whole numbers take one")
    return s


def round_to(
    x: Tensor | float, fmt: Format | str, *, step: float | Tensor = 1.0, overflow: str = "format"
) -> Tensor:
    """The number of `fmt` nearest to each x (...): ties go to even, -0 stays -0; too large: see above.

    step: for a `Whole`, what a 1 is worth, a number or a tensor that broadcasts with x. `binary` has no 0:
    x >= 0 becomes +step.  overflow: "format" or "saturate". NaN stays NaN.
    Gives float64 for float64, else float32 (which holds every number of every format).
    Raises ValueError for NaN in a format that can't write it, another overflow, or a step not above 0.
    """
    fmt = of(fmt)
    if overflow not in ("format", "saturate"):
        raise ValueError(f"overflow {overflow!r}: must be 'format' or 'saturate'")
    x, s = torch.as_tensor(x), _steps(step, fmt)
    wide = x.double()
    if (isinstance(fmt, Whole) or fmt.special == "none") and wide.isnan().any():
        raise ValueError(f"x holds NaN: {fmt.name} has no code for it")
    if isinstance(fmt, Whole):
        rounded = s * _whole(wide / s, fmt)
    else:
        rounded = _float(wide, fmt)
        beyond = rounded.abs() > fmt.largest
        over = {"ieee": math.inf, "nan": math.nan, "none": fmt.largest}[fmt.special]
        over = fmt.largest if overflow == "saturate" else over
        rounded = torch.where(beyond, torch.copysign(torch.full_like(rounded, over), rounded), rounded)
    return rounded.to(torch.float64 if x.dtype == torch.float64 else torch.float32)


def _whole(u: Tensor, fmt: Whole) -> Tensor:
    """Codes, as float64, of u = x / step."""
    if fmt.gap == 1:
        return u.round().clamp(fmt.low, fmt.high)
    index = torch.floor((u - fmt.low) / fmt.gap + 0.5)
    return fmt.low + fmt.gap * index.clamp(0, fmt.levels - 1)


def _float(x: Tensor, fmt: Float) -> Tensor:
    """x float64 rounded to the format's mantissa, as if there were no largest number."""
    exponent = torch.frexp(torch.where(x.isfinite(), x, torch.zeros_like(x))).exponent - 1
    unit = torch.ldexp(torch.ones_like(x), exponent.clamp(min=fmt.lowest) - fmt.mantissa)  # a power of 2
    return torch.where(x.isfinite(), (x / unit).round() * unit, x)


def encode(x: Tensor | float, fmt: Format | str, *, step: float = 1.0, overflow: str = "format") -> Tensor:
    """Codes, int64, of x (...) rounded to `fmt`: a Float's bits read as a whole number, or the whole number.

    NaN becomes the code with all exponent bits and the first mantissa bit ("ieee"), or all ones ("nan").
    """
    fmt = of(fmt)
    y = round_to(torch.as_tensor(x).double(), fmt, step=step, overflow=overflow)
    if isinstance(fmt, Whole):
        return (y / step).round().long()
    size = torch.where(y.isfinite(), y.abs(), torch.zeros_like(y))
    exponent = torch.where(size > 0, torch.frexp(size).exponent - 1, fmt.lowest).clamp(min=fmt.lowest)
    mantissa = torch.ldexp(size, fmt.mantissa - exponent).long()  # 2^mantissa and more for normal numbers
    code = ((exponent + fmt.bias - 1).long() << fmt.mantissa) + mantissa
    ones = (1 << fmt.exponent) - 1 << fmt.mantissa
    code = torch.where(y.isinf(), torch.full_like(code, ones), code)
    nan = ones | (1 << fmt.mantissa - 1 if fmt.special == "ieee" else (1 << fmt.mantissa) - 1)
    code = torch.where(y.isnan(), torch.full_like(code, nan), code)
    return code | (torch.signbit(y).long() << fmt.bits - 1)


def decode(codes: Tensor | int, fmt: Format | str, *, step: float = 1.0) -> Tensor:
    """The numbers, float64, that codes (...) stand for. ValueError for a code that the format lacks."""
    fmt, q = of(fmt), torch.as_tensor(codes)
    if q.is_floating_point():
        raise ValueError(f"codes of type {q.dtype}: must be whole numbers")
    q, s = q.long(), _steps(step, fmt)
    low, high = (fmt.low, fmt.high) if isinstance(fmt, Whole) else (0, (1 << fmt.bits) - 1)
    if q.numel() and (q.min() < low or q.max() > high):
        raise ValueError(f"codes from {int(q.min())} to {int(q.max())}: {fmt.name} has {low} to {high}")
    if isinstance(fmt, Whole):
        if ((q - low) % fmt.gap).any():
            raise ValueError(f"codes: {fmt.name} has only every {fmt.gap}nd number from {low} to {high}")
        return q * s
    field = q >> fmt.mantissa & (1 << fmt.exponent) - 1
    mantissa = q & (1 << fmt.mantissa) - 1
    units = mantissa + (field > 0) * (1 << fmt.mantissa)
    y = torch.ldexp(units.double(), (field.clamp(min=1) - fmt.bias - fmt.mantissa).int())
    top = field == (1 << fmt.exponent) - 1
    if fmt.special == "ieee":
        y = torch.where(top, torch.where(mantissa == 0, math.inf, math.nan), y)
    elif fmt.special == "nan":
        y = torch.where(top & (mantissa == (1 << fmt.mantissa) - 1), math.nan, y)
    return torch.where(q >> fmt.bits - 1 == 1, -y, y)


def values(fmt: Format | str, *, step: float = 1.0) -> Tensor:
    """All finite numbers of a format of at most 16 bits, rising, float64, 0 once."""
    fmt = of(fmt)
    if isinstance(fmt, Whole):
        return decode(torch.arange(fmt.low, fmt.high + 1, fmt.gap), fmt, step=step)
    if fmt.bits > WIDEST:
        raise ValueError(f"fmt {fmt.name}: has 2^{fmt.bits} codes; numbers are listed up to {WIDEST} bits")
    y = decode(torch.arange(1 << fmt.bits), fmt)
    return y[y.isfinite()].unique()  # -0 == 0: kept once


def fields(x: float, fmt: Format | str, *, step: float = 1.0) -> dict[str, str]:
    """The bits of x rounded to `fmt`, by part: sign, exponent, mantissa of a Float, code of a Whole.

    A Whole is in two's complement; `binary` writes -1 as 0 and +1 as 1.
    """
    fmt = of(fmt)
    code = int(encode(x, fmt, step=step))
    if isinstance(fmt, Whole):
        code = code & (1 << fmt.stored) - 1 if fmt.gap == 1 else (code - fmt.low) // fmt.gap
        return {"code": f"{code:0{fmt.stored}b}"}
    text = f"{code:0{fmt.bits}b}"
    return {"sign": text[0], "exponent": text[1 : 1 + fmt.exponent], "mantissa": text[1 + fmt.exponent :]}


def properties(fmt: Format | str) -> dict[str, Any]:
    """What a table says of a format, as plain numbers; a Whole's are at step 1.

    smallest: the smallest number above 0.  step: from 1 to the next.  numbers: how many finite, 0 once.
    """
    fmt = of(fmt)
    said: dict[str, Any] = {"name": fmt.name, "bits": fmt.bits, "stored": fmt.stored}
    if isinstance(fmt, Whole):
        said |= {"exponent": 0, "mantissa": 0, "lowest": float(fmt.low), "largest": float(fmt.high)}
        return said | {"smallest": 1.0, "step": float(fmt.gap), "numbers": fmt.levels}
    said |= {
        "exponent": fmt.exponent,
        "mantissa": fmt.mantissa,
        "lowest": -fmt.largest,
        "largest": fmt.largest,
    }
    numbers = 2 * int(encode(fmt.largest, fmt)) + 1
    return said | {"smallest": fmt.smallest, "step": fmt.step, "numbers": numbers}


def error_theory(step: float) -> dict[str, float]:
    """Rounding to a uniform grid: at most step / 2 off; variance step^2 / 12 if all remainders are as likely.

    Source: Widrow, Kollar and Liu (1996).
    """
    return {"largest": step / 2, "variance": step * step / 12}


def error_measured(x: Tensor, fmt: Format | str, *, step: float = 1.0) -> dict[str, float]:
    """How far x (...) moves when it is rounded to `fmt`: largest |error|, mean error and its variance."""
    off = round_to(x.double(), fmt, step=step) - x.double()
    if not off.isfinite().all():
        raise ValueError("x: every number must be finite and within the format's range")
    return {
        "largest": float(off.abs().max()),
        "mean": float(off.mean()),
        "variance": float(off.var(correction=0)),
    }


def scales_for(x: float, code: int) -> tuple[float, float]:
    """The smallest and the largest scale s at which round(x / s) is `code`, both included where code is even.

    x and code must be above 0 (ValueError): x / s = code -+ 1/2 at the two ends.
    """
    if not (x > 0 and code > 0):
        raise ValueError(f"x {x!r}, code {code!r}: both must be above 0")
    return x / (code + 0.5), x / (code - 0.5)
