"""Number formats: bit for bit those of torch and ml_dtypes, always the nearest, their errors as in theory."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import formats
from neurolab.formats import FORMATS, Float, Whole, decode, encode, round_to, scales_for, values
from neurolab.measurements import read
from neurolab.sweeps import compression_formats

quick = settings(max_examples=150, deadline=None)
TORCH = {
    "FP16": (torch.float16, torch.int16),
    "BF16": (torch.bfloat16, torch.int16),
    "FP8 E5M2": (torch.float8_e5m2, torch.uint8),
}
DTYPES = {
    "float16": Float("FP16", 5, 10), "bfloat16": Float("BF16", 8, 7),
    "float8_e4m3fn": FORMATS["FP8 E4M3"], "float8_e5m2": FORMATS["FP8 E5M2"],
    "float8_e4m3": Float("E4M3", 4, 3), "float8_e3m4": Float("E3M4", 3, 4),
    "float6_e3m2fn": FORMATS["FP6 E3M2"], "float6_e2m3fn": FORMATS["FP6 E2M3"],
    "float4_e2m1fn": FORMATS["FP4 E2M1"],
}  # fmt: skip
FLOATS = [f for f in FORMATS.values() if isinstance(f, Float)]
WHOLES = [f for f in FORMATS.values() if isinstance(f, Whole)]
NARROW = [f for f in FLOATS if f.bits <= 8] + [
    Float("E2M2", 2, 2), Float("E2M0", 2, 0, "none"), Float("E5M0", 5, 0, "none"), Float("E3M1", 3, 1, "nan"),
]  # fmt: skip


@pytest.fixture(scope="module")
def numbers():
    """float32 of every size, with every ending that a tie can have, both zeros and the infinities."""
    dice = torch.Generator().manual_seed(0)
    anything = torch.randint(-(2**31), 2**31, (200_000,), generator=dice).int().view(torch.float32)
    ties = torch.randint(0, 2**16, (2**15,), generator=dice).int() << 16  # bfloat16 numbers ...
    between = (ties | 0x8000).view(torch.float32)  # ... and the middles between them
    half = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.float16).float()
    middles = half * (1 + 2.0**-11), half + 2.0**-25, half[1:] / 2 + half[:-1] / 2
    some = [torch.randn(20_000, generator=dice) * size for size in (1e-6, 1e-2, 1, 100, 1e5)]
    ends = torch.tensor([0.0, -0.0, math.inf, -math.inf, 65519.0, 65520.0, 464.0, 464.1, 61439.0, 61440.0])
    return torch.cat([anything, between, half, *middles, *some, ends])


def bits_of(x):
    return x.contiguous().view(torch.int32)


def same(ours, theirs):
    """The same bits, signs of zero included; NaN is NaN."""
    return bool(((bits_of(ours) == bits_of(theirs)) | (ours.isnan() & theirs.isnan())).all())


# --- against others ---


@pytest.mark.parametrize("name", TORCH)
def test_rounds_and_encodes_as_torch_does(name, numbers):
    dtype, word = TORCH[name]
    cast = numbers.to(dtype)
    assert same(round_to(numbers, name), cast.float())
    codes = cast.view(word).long() & (1 << FORMATS[name].bits) - 1
    ours = encode(numbers, name)
    assert torch.equal(ours[~cast.isnan()], codes[~cast.isnan()])
    assert same(decode(ours, name).float(), cast.float())


def test_e4m3_saturates_as_torch_does_and_overflows_to_nan_as_ml_dtypes_does(numbers):
    finite = numbers[~numbers.isnan()]
    assert same(round_to(finite, "FP8 E4M3", overflow="saturate"), finite.to(torch.float8_e4m3fn).float())
    within = finite[finite.abs() <= 464]
    codes = within.to(torch.float8_e4m3fn).view(torch.uint8).long()
    assert torch.equal(encode(within, "FP8 E4M3"), codes)
    beyond = torch.tensor([464.1, 480.0, 1e6, math.inf])
    assert round_to(torch.cat([beyond, -beyond]), "FP8 E4M3").isnan().all()


@pytest.mark.parametrize("name", DTYPES)
def test_rounds_and_encodes_as_ml_dtypes_does(name, numbers):
    fmt, dtype = DTYPES[name], np.dtype(getattr(ml_dtypes, name, name))
    x = numbers if fmt.special != "none" else numbers[~numbers.isnan()]
    with np.errstate(all="ignore"):
        theirs = x.numpy().astype(dtype)
    assert same(round_to(x, fmt), torch.from_numpy(theirs.astype(np.float32)))
    codes = torch.from_numpy(theirs.view(f"u{dtype.itemsize}").astype(np.int64))
    known = ~round_to(x, fmt).isnan()
    assert torch.equal(encode(x, fmt)[known], codes[known])


@pytest.mark.parametrize("name", DTYPES)
def test_range_and_steps_are_those_of_ml_dtypes(name):
    fmt, info = DTYPES[name], ml_dtypes.finfo(getattr(ml_dtypes, name, name))
    assert fmt.largest == float(info.max)
    assert fmt.smallest == float(info.smallest_subnormal)
    assert fmt.step == float(info.eps)
    assert fmt.bits == info.bits


def test_tf32_is_float32_with_thirteen_bits_rounded_off(numbers):
    x = numbers[numbers.isfinite()]
    word = bits_of(x).long() & 0xFFFFFFFF
    word = word + 0xFFF + (word >> 13 & 1) & 0xFFFFE000  # half up, ties to even, by integers
    want = torch.where(word >= 2**31, word - 2**32, word).int().view(torch.float32)
    assert same(round_to(x, "TF32"), want)


def test_fp32_changes_no_float32_and_rounds_float64_as_torch_does(numbers):
    assert same(round_to(numbers, "FP32"), numbers)
    x = torch.randn(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1e-38
    assert torch.equal(round_to(x, "FP32"), x.float().double())


def test_whole_numbers_are_rounded_as_torch_fake_quantizes():
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(2))
    for name, s in (("INT8", 2.0**-5), ("INT4", 0.25), ("UINT8", 2.0**-6)):
        fmt = FORMATS[name]
        theirs = torch.fake_quantize_per_tensor_affine(x, s, 0, fmt.low, fmt.high)
        assert torch.equal(round_to(x, fmt, step=s), theirs)


# --- by brute force ---


def nearest(x, fmt, grid):
    """The nearest number, of two the even one (no mantissa: 0, or the larger), by exact fractions."""
    exact = Fraction(x)
    distance = [abs(Fraction(float(v)) - exact) for v in grid]
    close = [v for v, d in zip(grid, distance, strict=True) if d == min(distance)]
    if len(close) == 2 and not fmt.mantissa:
        return next((v for v in close if v == 0), max(close, key=abs))
    return close[0] if len(close) == 1 else next(v for v in close if int(encode(v, fmt)) % 2 == 0)


@quick
@given(st.sampled_from(NARROW), st.data())
def test_gives_the_nearest_number_and_of_two_the_even_one(fmt, data):
    grid = values(fmt)
    i = data.draw(st.integers(0, len(grid) - 2))
    share = data.draw(st.sampled_from([0.5, 0.25, 0.75]) | st.floats(0, 1))
    x = float(grid[i] + share * (grid[i + 1] - grid[i]))
    got = round_to(torch.tensor(x, dtype=torch.float64), fmt)
    assert float(got) == float(nearest(x, fmt, grid[max(i - 1, 0) : i + 3]))


@pytest.mark.parametrize("fmt", NARROW, ids=lambda f: f.name)
def test_every_number_is_its_own_nearest_and_every_code_comes_back(fmt):
    grid = values(fmt)
    assert torch.equal(round_to(grid, fmt), grid)
    codes = torch.arange(1 << fmt.bits)
    known = decode(codes, fmt).isfinite()
    assert torch.equal(encode(decode(codes, fmt)[known], fmt), codes[known])
    assert float(grid.max()) == fmt.largest
    assert float(grid[grid > 0].min()) == fmt.smallest
    above = grid[grid > 1][:1] - 1
    assert float(above) == fmt.step
    assert formats.properties(fmt)["numbers"] == len(grid)


def test_fp24_has_the_range_and_the_steps_of_its_layout():
    f = FORMATS["FP24"]
    assert (f.bits, f.largest, f.smallest) == (24, (2 - 2**-16) * 2.0**63, 2.0 ** (-62 - 16))
    x = torch.tensor([1 + 2**-17, 1 + 3 * 2**-17, 1 + 2**-17 + 2**-23])
    assert round_to(x, f).tolist() == [1, 1 + 2 * 2**-16, 1 + 2**-16]
    assert round_to(2.0**64, f).item() == math.inf


def test_subnormal_numbers_are_there_and_evenly_spaced():
    grid = values("FP8 E4M3")
    assert grid[(grid >= 0) & (grid <= 2**-6)].tolist() == [i * 2.0**-9 for i in range(9)]


# --- theory ---


@quick
@given(st.sampled_from(["INT8", "INT4", "UINT8", "ternary"]), st.integers(-20, 20), st.integers(0, 2**31))
def test_a_uniform_step_is_never_off_by_more_than_half_of_itself(name, exponent, seed):
    fmt, s = FORMATS[name], 2.0**exponent
    u = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = s * (fmt.low - 0.5 + (fmt.high - fmt.low + 1) * u)
    assert ((round_to(x, fmt, step=s) - x).abs() <= s / 2).all()


@pytest.mark.parametrize("name", ["INT8", "INT4", "ternary", "binary"])
def test_variance_of_the_error_is_the_step_squared_over_twelve(name):
    fmt, s, N = FORMATS[name], 0.1, 400_000
    gap = s * fmt.gap
    u = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = s * fmt.low - gap / 2 + gap * fmt.levels * u
    theory, found = formats.error_theory(gap), formats.error_measured(x, fmt, step=s)
    spread = theory["variance"] * math.sqrt(0.8 / N)  # of u^2, u uniform: E u^4 / (E u^2)^2 - 1 = 0.8
    assert abs(found["variance"] - theory["variance"]) < 4 * spread
    assert abs(found["mean"]) < 4 * math.sqrt(theory["variance"] / N)
    assert 0.999 * theory["largest"] < found["largest"] <= theory["largest"] * (1 + 1e-12)


@pytest.mark.parametrize("fmt", FLOATS, ids=lambda f: f.name)
def test_a_normal_number_moves_by_at_most_half_a_step_of_its_size(fmt):
    low, high = math.ldexp(1.0, fmt.lowest), fmt.largest
    u = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    x = torch.exp(math.log(low) + u * (math.log(high) - math.log(low))).clamp(low, high)
    off = ((round_to(x, fmt) - x) / x).abs()
    assert (off <= fmt.step / 2).all()
    assert off.max() > 0.4 * fmt.step / (1 + fmt.step)  # and it does come near


# --- the article's example ---


def test_three_quarters_is_192_at_one_256th_and_not_at_one_255th():
    assert int(encode(0.75, "UINT8", step=1 / 256)) == 192
    assert int(encode(0.75, "UINT8", step=1 / 255)) == 191
    assert int(encode(0.75, "INT8", step=1 / 256)) == 127  # no signed byte holds 192
    low, high = scales_for(0.75, 192)
    assert 1 / 257 < low < 1 / 256 < high < 1 / 255
    for s, code in (
        (low * (1 + 1e-9), 192),
        (low * (1 - 1e-9), 193),
        (high * (1 - 1e-9), 192),
        (high * 1.001, 191),
    ):
        assert int(encode(0.75, "UINT8", step=s)) == code


def test_the_rows_are_what_the_code_says_today():
    jobs = {(job.name, job.setting.get("bits")): job for job in compression_formats.jobs()}
    assert len(jobs) == 8
    for name in ("compression.example", "compression.resnet"):
        kept = read(name)[-1]
        job = jobs[name, None]
        assert kept.setting == job.setting
        assert {key: kept.figures[key] for key in job.make()} == job.make()
    f = compression_formats.example()
    assert f["whole_scales"] == [256]  # 1/256 is the only step of the form 1/N
    assert f["code_of_1_at_scale_1_256"] == 255
    assert f["largest_at_scale_1_256"] < 1


def test_bits_of_known_numbers():
    assert formats.fields(0.75, "FP32") == {"sign": "0", "exponent": "01111110", "mantissa": "1" + "0" * 22}
    assert formats.fields(-2.0, "FP8 E4M3") == {"sign": "1", "exponent": "1000", "mantissa": "000"}
    assert formats.fields(-3, "INT4") == {"code": "1101"}
    assert [formats.fields(x, "binary")["code"] for x in (-0.1, 0.0, 0.1)] == ["0", "1", "1"]
    assert [formats.fields(x, "ternary")["code"] for x in (-1, 0, 1)] == ["11", "00", "01"]


def test_ternary_and_binary():
    x = torch.tensor([-2.0, -0.51, -0.5, -0.2, 0.0, 0.2, 0.5, 0.51, 2.0])
    assert round_to(x, "ternary").tolist() == [-1, -1, 0, 0, 0, 0, 0, 1, 1]
    assert round_to(x, "binary", step=0.5).tolist() == [-0.5] * 4 + [0.5] * 5
    assert FORMATS["ternary"].bits == math.log2(3)
    assert FORMATS["binary"].bits == 1


def test_a_step_for_each_row():
    x, s = torch.tensor([[0.3, 0.9], [0.3, 0.9]]), torch.tensor([[0.25], [0.5]])
    assert round_to(x, "INT8", step=s).tolist() == [[0.25, 1.0], [0.5, 1.0]]


# --- bad input ---


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Float("x", 9, 2), "exponent 9: must be 2 to 8"),
        (lambda: Float("x", 1, 2), "exponent 1: must be 2 to 8"),
        (lambda: Float("x", 4, 24), "mantissa 24: must be 1 to 23"),
        (lambda: Float("x", 4, 0, "nan"), "mantissa 0"),
        (lambda: Float("x", 4, 3, "fn"), "special 'fn': must be one of ieee, nan, none"),
        (lambda: Whole("x", 1, -1), "low 1, high -1"),
        (lambda: Whole("x", 0, 3, gap=2), "gaps"),
        (lambda: round_to(1.0, "FP7"), "fmt 'FP7': must be"),
        (lambda: round_to(1.0, "INT8", step=0.0), "step 0.0: must be finite and above 0"),
        (lambda: round_to(1.0, "INT8", step=math.nan), "step nan"),
        (lambda: round_to(1.0, "FP16", step=0.5), "FP16 has its own steps"),
        (lambda: round_to(1.0, "FP16", overflow="wrap"), "overflow 'wrap'"),
        (lambda: round_to(math.nan, "INT8"), "INT8 has no code"),
        (lambda: round_to(math.nan, "FP4 E2M1"), "FP4 E2M1 has no code"),
        (lambda: decode(256, "FP8 E4M3"), "codes from 256 to 256: FP8 E4M3 has 0 to 255"),
        (lambda: decode(0.5, "FP8 E4M3"), "must be whole"),
        (lambda: decode(0, "binary"), "binary has only"),
        (lambda: values("FP32"), "listed up to 16 bits"),
        (lambda: scales_for(-1.0, 3), "both must be above 0"),
        (lambda: formats.error_measured(torch.tensor([1e9]), "FP16"), "within the format's range"),
    ],
)
def test_bad_input_is_named(make, says):
    with pytest.raises(ValueError, match=says):
        make()
