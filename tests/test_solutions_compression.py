"""The references of chapters 4 and 5 against theory, PyTorch's own quantizers and other ways."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu

from neurolab.coding import Code, entropy_of, lengths_of
from neurolab.exercises import check, exercises, get
from neurolab.gptq import compensate, inverse_root, objective, uniform
from neurolab.pruning import lowest_off
from neurolab.quantization import best_scales, dequantize, quantize, round_clip
from neurolab.solutions.pruning import canonical, decode, entropy, huffman_bits, mask, narrow
from neurolab.solutions.quantization import affine, backward, best_clip, scales, spread

OURS = [item for item in exercises() if item.name.split(".")[0] in ("quantization", "pruning")]

numbers = st.floats(-50, 50, width=32)
some_weights = st.lists(numbers, min_size=1, max_size=30).map(lambda w: torch.tensor(w, dtype=torch.float64))
some_counts = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any)


def test_each_chapter_has_its_exercises():
    words = {item.name: item.chapter for item in OURS}
    assert sum(chapter == 4 for chapter in words.values()) == 5
    assert sum(chapter == 5 for chapter in words.values()) == 6


@pytest.mark.parametrize("exercise", OURS, ids=[item.name for item in OURS])
def test_a_solution_can_be_pasted_into_the_notebook(exercise):
    space = {"torch": torch, "math": math}
    exec(exercise.source(), space)
    name = exercise.stub.split("(")[0].removeprefix("def ")
    assert check(exercise.name, space[name]).passed


# Chapter 4


@given(w=st.floats(1e-3, 1e3), b=st.integers(1, 8), data=st.data())
def test_scales_within_the_interval_give_the_code_and_no_others(w, b, data):
    q = data.draw(st.integers(0, 2**b - 1))
    low, high = scales(w, q, b)

    def code(s):
        return min(max(round(w / s), 0), 2**b - 1)

    inside = [low * 1.000001 if low else w / 1e6, high * 0.999999 if math.isfinite(high) else w * 1e6]
    assert [code(s) for s in inside] == [q, q]
    assert not low or code(low * 0.999999) == q + 1
    assert not math.isfinite(high) or code(high * 1.000001) == q - 1


def test_which_scale_makes_192():
    low, high = scales(0.75, 192, 8)
    assert low < 1 / 256 < high < 1 / 255
    assert [n for n in range(200, 300) if low <= 1 / n <= high] == [256]


@given(w=some_weights, b=st.integers(1, 8))
def test_affine_codes_stay_within_half_a_step_and_zero_is_exact(w, b):
    q, s, z = affine(w, b)
    assert s > 0
    assert 0 <= z <= 2**b - 1
    assert 0 <= q.min() <= q.max() <= 2**b - 1
    assert (w - (q - z) * s).abs().max() <= s / 2 * (1 + 1e-9)
    assert ((q - z) * s)[w == 0].abs().sum() == 0


@pytest.mark.parametrize("case", get("quantization.affine").inputs())
def test_affine_codes_are_pytorchs_own(case):
    w, b = case[0]
    q, s, z = affine(w, b)
    # In float32, as PyTorch has it: the cases keep away from halves but for one whose scale is exact.
    theirs = torch.fake_quantize_per_tensor_affine(w.float(), s, z, 0, 2**b - 1)
    torch.testing.assert_close((q - z).float() * s, theirs, rtol=1e-6, atol=0)


def test_the_moved_grid_errs_by_nearly_a_whole_step():
    """The planted mistake does what its hint says: errors above s / 2, up to s."""
    wrong = next(m for m in get("quantization.affine").mistakes if "count steps from `low`" in m.hint).wrong
    worst = 0.0
    for seed in range(200):
        w = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        q, s, z = wrong(w, 4)
        worst = max(worst, float((w - (q - z) * s).abs().max() / s))
    assert 0.9 < worst <= 1


@pytest.mark.parametrize("b", [2, 3, 4, 8])
def test_the_best_clip_is_the_best_scale_of_the_courses_quantizer(b):
    w = torch.randn(1, 400, generator=torch.Generator().manual_seed(b), dtype=torch.float64)
    top, most = 2 ** (b - 1) - 1, float(w.abs().max())
    clips = [most * (i / 100) for i in range(1, 101)]
    assert best_clip(w[0], b, clips) / top == pytest.approx(best_scales(w, b, 100).item(), rel=1e-12)
    if b < 8:
        assert best_clip(w[0], b, clips) < most


@pytest.mark.parametrize("exercise", ["quantization.clip"])
def test_no_case_hangs_on_rounding(exercise):
    """The best clip beats the second best by more than a float's last bits, in every case."""
    for (w, b, clips), _ in get(exercise).inputs():
        top = 2 ** (b - 1) - 1

        def error(c, w=w, b=b, top=top):
            s = torch.tensor(c / top, dtype=w.dtype)
            return float((w - dequantize(quantize(w[None], s[None, None], b), s)[0]).square().sum())

        best, second = sorted(error(c) for c in clips)[:2]
        assert second > best * (1 + 1e-6) + 1e-12


def hessian(C, seed, alike=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3 * C, C)) + alike * rng.normal(size=(3 * C, 1))
    return torch.tensor(x.T @ x)


@pytest.mark.parametrize("seed", range(4))
def test_spreading_column_after_column_is_the_courses_gptq(seed):
    rng, R, C = np.random.default_rng(seed), 5, 9
    W, H = torch.tensor(rng.normal(size=(R, C))), hessian(C, seed)
    s = torch.full((R,), 0.375, dtype=torch.float64)
    U, w = inverse_root(H, 0.01), W.clone()
    for j in range(C):
        q = torch.round(w[:, j].float().double() / s).clamp(-2, 1)  # the course's grid rounds float32
        w = spread(w, q, s, U, j)
    _, Q = compensate(W, H, uniform(0.375, C, -2, 1), damp=0.01)
    torch.testing.assert_close(w.float(), Q, rtol=1e-5, atol=1e-6)
    plain = torch.round(W / 0.375).clamp(-2, 1) * 0.375
    assert objective(W, w, H) < objective(W, plain, H)


def test_spreading_leaves_the_least_error_that_the_later_columns_can_reach():
    """Optimal brain surgeon: with the finished columns fixed, no others do better (normal equations)."""
    R, C = 3, 7
    W, H = torch.tensor(np.random.default_rng(1).normal(size=(R, C))), hessian(C, 1)
    U = torch.linalg.cholesky(torch.linalg.inv(H), upper=True)
    w, s = W.clone(), torch.full((R,), 0.5, dtype=torch.float64)
    for j in range(C - 1):
        w = spread(w, torch.round(w[:, j] / s), s, U, j)
        done, left = slice(0, j + 1), slice(j + 1, C)
        moved = (w - W)[:, done]
        best = W[:, left] - moved @ H[done, left] @ torch.linalg.inv(H[left, left])
        torch.testing.assert_close(w[:, left], best, rtol=1e-8, atol=1e-9)


def test_spread_leaves_its_input_alone():
    (w, q, s, U, j), _ = get("quantization.gptq").inputs()[-1]
    before = w.clone()
    spread(w, q, s, U, j)
    assert torch.equal(w, before)


@pytest.mark.parametrize("case", get("quantization.ste").inputs())
def test_the_scales_gradient_is_autograds(case):
    g, w, s, b = case[0]
    w, step = w.clone().requires_grad_(), torch.tensor(s, dtype=torch.float64, requires_grad=True)
    (g * step * round_clip(w / step, -(2 ** (b - 1)), 2 ** (b - 1) - 1)).sum().backward()
    of_w, of_s = backward(g, w.detach(), s, b)
    torch.testing.assert_close(of_w, w.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(of_s, step.grad, rtol=1e-9, atol=1e-9)


def test_the_scales_gradient_keeps_away_from_what_papers_define_differently():
    for (_, w, s, b), _ in get("quantization.ste").inputs():
        u, low, high = w / s, -(2 ** (b - 1)), 2 ** (b - 1) - 1
        assert not ((u > high) & (u < high + 0.5)).any()
        assert not ((u < low) & (u > low - 0.5)).any()
        assert ((u - u.floor() - 0.5).abs() > 0.01).all()


# Chapter 5


@given(w=some_weights, percent=st.integers(0, 100))
def test_a_mask_has_exactly_k_zeros_at_the_smallest(w, percent):
    kept = mask(w, percent / 100)
    k = round(percent / 100 * w.numel())
    assert int((kept == 0).sum()) == k
    assert int((kept == 1).sum()) == w.numel() - k
    assert not 0 < k < w.numel() or w[kept == 0].abs().max() <= w[kept == 1].abs().min()


def test_any_choice_among_equals_passes_and_no_other():
    def by(order):
        def made(w, sparsity):
            kept = torch.ones(w.numel(), dtype=torch.bool)
            kept[order(w.abs().flatten())[: round(sparsity * w.numel())]] = False
            return kept.view(w.shape)

        return made

    def library(w, sparsity):  # the course's own leaves at least one weight
        return lowest_off(w.abs().flatten(), sparsity).view(w.shape) if sparsity < 1 else w * 0

    def last_first(size):
        return len(size) - 1 - size.flip(0).argsort(stable=True)

    assert check("pruning.mask", by(lambda size: size.argsort(stable=True))).passed
    assert check("pruning.mask", by(last_first)).passed
    assert check("pruning.mask", library).passed
    assert not check("pruning.mask", by(lambda size: size.argsort(stable=True).roll(1))).passed
    assert not check("pruning.mask", lambda w, p: mask(w, p) * 2).passed

    def swapped(w, sparsity):  # exactly k zeros, one of them in the wrong place
        kept = mask(w, sparsity).flatten()
        if 0 < kept.sum() < len(kept):
            large, small = w.abs().flatten().argmax(), w.abs().flatten().argmin()
            kept[large], kept[small] = 0.0, 1.0
        return kept.view_as(w)

    assert not check("pruning.mask", swapped).passed


@pytest.mark.parametrize("case", get("pruning.channels").inputs())
def test_a_channel_taken_out_is_a_channel_set_to_zero(case):
    w1, b1, w2, k = case[0]
    x = torch.tensor(np.random.default_rng(2).normal(size=(20, w1.shape[1])))
    gone = (w1.norm(dim=1) * w2.norm(dim=0)).argsort()[:k]
    hidden = gelu(x @ w1.T + b1)
    hidden[:, gone] = 0
    n1, c1, n2 = narrow(w1, b1, w2, k)
    assert n1.shape == (len(w1) - k, w1.shape[1])
    torch.testing.assert_close(gelu(x @ n1.T + c1) @ n2.T, hidden @ w2.T, rtol=1e-10, atol=1e-10)


def test_channels_may_stand_in_any_order_if_it_is_one():
    def turned(w1, b1, w2, k):
        kept = (w1.norm(dim=1) * w2.norm(dim=0)).argsort()[k:].flip(0)
        return w1[kept], b1[kept], w2[:, kept]

    def mixed(w1, b1, w2, k):
        n1, c1, n2 = turned(w1, b1, w2, k)
        return n1, c1, n2.flip(1)

    assert check("pruning.channels", turned).passed
    assert not check("pruning.channels", mixed).passed


def shortest(counts):
    """The least sum of count x length over all lengths that Kraft allows: by trying them."""
    used = sorted((c for c in counts if c), reverse=True)
    return min(
        sum(c * length for c, length in zip(used, lengths, strict=True))
        for lengths in product(range(1, len(used) + 1), repeat=len(used))
        if sum(2.0**-length for length in lengths) <= 1
    )


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any))
def test_no_code_words_are_shorter_than_huffmans(counts):
    assert huffman_bits(counts) == shortest(counts)


@given(counts=some_counts)
def test_huffman_stays_within_a_bit_of_the_entropy_and_is_the_courses(counts):
    n, bits = sum(counts), huffman_bits(counts)
    assert entropy(counts) == pytest.approx(entropy_of(counts), rel=1e-12, abs=1e-12)
    assert max(entropy(counts) * n * (1 - 1e-12), n) <= bits <= (entropy(counts) + 1) * n + 1e-9
    assert bits == int((lengths_of(counts) * np.array(counts)).sum())


@given(counts=some_counts)
def test_words_are_the_courses_and_none_begins_another(counts):
    lengths = lengths_of(counts).tolist()
    words = canonical(lengths)
    used = [i for i, length in enumerate(lengths) if length]
    assert [words[i] for i in used] == Code(np.array(used), np.array([lengths[i] for i in used])).text()
    assert [len(word) for word in words] == lengths
    real = [word for word in words if word]
    assert not any(a != b and b.startswith(a) for a, b in product(real, repeat=2))


def test_words_of_the_standard():
    """RFC 1951, section 3.2.2: A to H with lengths 3, 3, 3, 3, 3, 2, 4, 4."""
    want = ["010", "011", "100", "101", "110", "00", "1110", "1111"]
    assert canonical([3, 3, 3, 3, 3, 2, 4, 4]) == want


@given(counts=some_counts, data=st.data())
def test_what_was_written_is_read_and_what_breaks_off_is_told(counts, data):
    words = canonical(lengths_of(counts).tolist())
    known = [i for i, c in enumerate(counts) if c]
    symbols = data.draw(st.lists(st.sampled_from(known), max_size=30))
    bits = "".join(words[i] for i in symbols)
    assert decode(bits + "0" * (-len(bits) % 8), words, len(symbols)) == symbols
    if symbols:
        with pytest.raises(ValueError, match="the bits end"):
            decode(bits[:-1], words, len(symbols))


def test_the_file_of_the_courses_coder_is_read():
    symbols = np.random.default_rng(4).geometric(0.4, 300)
    code = Code.of(symbols)
    lengths = [0] * (int(symbols.max()) + 1)
    for symbol, length in zip(code.symbols, code.lengths, strict=True):
        lengths[symbol] = int(length)
    bits = "".join(f"{byte:08b}" for byte in code.encode(symbols))
    assert decode(bits, canonical(lengths), len(symbols)) == symbols.tolist()
