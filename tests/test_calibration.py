"""Calibration: methods against their definition, an oracle or theory; histograms; rounded activations."""

import math

import numpy as np
import pytest
import torch
from onnxruntime.quantization.calibrate import HistogramCollector

from neurolab import calibration
from neurolab.assistant import collate, quick_scores
from neurolab.calibration import METHODS, Numbers, calibrate
from neurolab.facts import split
from neurolab.gptq import batches
from neurolab.quantization import code_range, codes, encode, step_and_zero
from neurolab.tokens import encode_pair, train_tokenizer
from neurolab.transformer import Config, Transformer


def normal(n=20_000, seed=0, power=1):
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.abs() ** power * x.sign()


@pytest.fixture(scope="module")
def small():
    asked = split("train")[:60]
    tokenizer = train_tokenizer([t for q in asked for t in (q.text, q.answer)], 300)
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=300, context=96, width=16, layers=2, heads=2, hidden=24)).eval()
    return model, tokenizer, asked


def test_max_cuts_nothing():
    x = normal() + 0.5
    seen = Numbers.of(x)
    low, high = calibrate(seen, "max", 8, affine=True)
    assert (low, high) == (float(x.min()), float(x.max()))
    assert calibrate(seen, "max", 8) == (-float(x.abs().max()), float(x.abs().max()))
    assert calibrate(Numbers.of(x.abs() + 1), "max", 8, affine=True)[0] == 0  # 0 has a code, always


@pytest.mark.parametrize("percentile", [60, 99, 99.9, 100])
def test_percentile_is_numpys(percentile):
    x = normal(4_999) + 0.2
    share = percentile / 100
    c = float(np.quantile(x.abs().numpy(), share, method="inverted_cdf"))
    assert calibrate(Numbers.of(x), "percentile", 8, percentile=percentile) == (-c, c)
    low, high = calibrate(Numbers.of(x), "percentile", 8, affine=True, percentile=percentile)
    assert high == float(np.quantile(x.numpy(), 0.5 + share / 2, method="inverted_cdf"))
    assert low == -float(np.quantile(-x.numpy(), 0.5 + share / 2, method="inverted_cdf"))


def test_a_number_counts_as_often_as_it_occurs():
    x, n = torch.tensor([0.1, 0.4, 0.9, 2.0]).double(), torch.tensor([5, 3, 1, 1]).double()
    many = Numbers.of(x.repeat_interleave(n.long()))
    for method in METHODS:
        for affine in (False, True):
            once = calibrate(Numbers(x, n), method, 4, affine=affine, percentile=85)
            assert once == calibrate(many, method, 4, affine=affine, percentile=85)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_mse_is_the_least_error_of_all_clips_that_the_quantizer_really_makes(bits, affine):
    x = normal(4_000, power=2).float() + 0.3

    def error(low, high):
        s, z = step_and_zero(torch.tensor(low), torch.tensor(high), bits, affine=affine)
        q = codes(x, s, z, *code_range(bits, affine=affine)).double()
        back = (q - (0 if z is None else z)) * s
        return float((back - x).square().mean())

    seen = Numbers.of(x)
    low, high = calibrate(seen, "mse", bits, affine=affine)
    assert error(low, high) == pytest.approx(
        sum(calibration.costs(seen, low, high, bits, affine=affine)), rel=1e-4
    )
    ends = seen.ends(affine)
    for f in np.linspace(0.01, 1, 100):
        assert error(low, high) <= error(f * ends[0], f * ends[1]) * (1 + 1e-4)


def test_costs_are_the_theory_of_a_normal_distribution():
    """Clipping at c costs int_c^inf (x - c)^2 phi(x) dx = (1 + c^2) Q(c) - c phi(c) a side, rounding s^2 / 12
    a number within (Banner et al., Post training 4-bit quantization, NeurIPS 2019).
    Below there is one more code."""
    x = torch.special.ndtri((torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000)  # evenly likely
    c, s = 2.5, 2.5 / 127
    rounding, clipping = calibration.costs(Numbers.of(x), -c, c, 8)

    def tail(at):
        return 0.5 * math.erfc(at / math.sqrt(2))

    def side(at):
        return (1 + at * at) * tail(at) - at * math.exp(-at * at / 2) / math.sqrt(2 * math.pi)

    assert clipping == pytest.approx(side(c) + side(c + s), rel=0.002)
    assert rounding == pytest.approx(s * s / 12 * (1 - tail(c) - tail(c + s)), rel=0.01)


def by_the_slides(counts, i, levels):
    """KL(P, Q) of the first i bins, in the words of the TensorRT slides; i is a multiple of levels."""
    p = [float(c) for c in counts[:i]]
    p[-1] += float(sum(counts[i:]))
    q = []
    for level in range(levels):
        here = range(level * i // levels, (level + 1) * i // levels)
        total, used = sum(float(counts[j]) for j in here), sum(p[j] > 0 for j in here)
        q += [total / used if p[j] > 0 else 0.0 for j in here]
    if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return math.inf
    return sum(a / sum(p) * math.log(a / sum(p) / (b / sum(q))) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("power", [1, 3])
@pytest.mark.parametrize("levels", [8, 128])
def test_divergence_is_the_one_of_the_slides(levels, power):
    counts, _ = np.histogram(normal(power=power).abs().numpy(), 512)
    for i in range(levels, 513, levels):
        expected = by_the_slides(counts, i, levels)
        assert calibration.divergence(counts.astype(float), 0, i, levels) == pytest.approx(expected, rel=1e-9)


def test_entropy_takes_the_clip_of_least_divergence():
    x = normal(power=2)
    counts, _ = np.histogram(x.abs().numpy(), 512)
    each = {i: calibration.divergence(counts.astype(float), 0, i, 8) for i in range(8, 513)}
    best = min(each, key=lambda i: each[i])
    c = best / 512 * float(x.abs().max())
    assert calibration.by_entropy(Numbers.of(x), 4, bins=512) == (-c, c)


def test_entropy_is_nearer_to_the_truth_than_onnx_runtimes_clip():
    """ONNX Runtime leaves the bins that do not divide evenly out of Q and cuts Q to whole counts. So
    it judges most clips wrongly, and chooses a wider one: ours has the smaller divergence."""
    x, bins = normal(power=2), 512
    x = torch.cat([x, -x])  # both sides alike, so that its two-sided window is our one-sided one
    widest = float(x.abs().max())
    counts, edges = np.histogram(x.numpy(), bins, (-widest, widest))
    collector = HistogramCollector.__new__(HistogramCollector)
    ends = (counts, edges, np.float64(-widest), np.float64(widest), widest)
    theirs = float(collector.get_entropy_threshold(ends, 16)[1]) / widest
    ours = calibration.by_entropy(Numbers.of(x), 4, affine=True, bins=bins)[1] / widest

    def cost(share):
        reach = round(share * bins / 2)
        return calibration.divergence(counts.astype(float), bins // 2 - reach, bins // 2 + reach, 16)

    assert cost(ours) < cost(theirs) < math.inf
    assert ours < theirs


def test_each_row_gets_its_own_range():
    w = torch.stack([normal(64).float(), 100 * normal(64, seed=1).float()])
    for method in METHODS:
        low, high = calibration.ranges(method, 4)(w[:, None])
        assert low.shape == high.shape == (2, 1)
        assert high[1] > 10 * high[0]
        alone = calibrate(Numbers.of(w[0]), method, 4)
        assert max(float(high[0]), -float(low[0])) == pytest.approx(alone[1], rel=1e-6)
    made = encode(w, 4, "channel", ranges=calibration.ranges("mse", 4))
    assert made.step.shape == (2, 1)


def test_zeros_calibrate_to_nothing():
    for method in METHODS:
        assert calibrate(Numbers.of(torch.zeros(10)), method, 8) == (0, 0)


def test_bad_input_is_named():
    seen = Numbers.of(normal(10))
    with pytest.raises(ValueError, match="method 'best'"):
        calibrate(seen, "best", 8)
    with pytest.raises(ValueError, match="bits"):
        calibrate(seen, "max", 1)
    for percentile in (50, 101, -1):
        with pytest.raises(ValueError, match="percentile"):
            calibrate(seen, "percentile", 8, percentile=percentile)
    for x in (torch.zeros(0), torch.tensor([math.nan])):
        with pytest.raises(ValueError, match="NaN"):
            Numbers.of(x)


# ---- activations ------------------------------------------------------------------------------------------


def given(model, tokenizer, asked):
    """Site -> all rows that it is given, without padding: question by question, nothing to mask."""
    found = {}

    def keep(site, x):
        found.setdefault(site, []).append(x[0])

    with torch.no_grad(), calibration.sites(model, keep):
        for q in asked:
            ids, _ = encode_pair(tokenizer, q.text, q.answer)
            model.features(torch.tensor([ids[:-1]]))
    return {site: torch.cat(rows) for site, rows in found.items()}


def test_histograms_hold_every_activation_once(small):
    model, tokenizer, asked = small
    seen, true = calibration.activations(model, tokenizer, asked), given(*small)
    assert seen.keys() == true.keys()
    assert len(seen) == 2 * 6 + 1
    for site, x in true.items():
        assert float(seen[site].n.sum()) == x.numel()
        width = (float(x.max()) - float(x.min())) / (2 * calibration.BINS)
        assert seen[site].ends(True) == pytest.approx((float(x.min()), float(x.max())), rel=1e-5)
        mean = float((seen[site].x * seen[site].n).sum() / seen[site].n.sum())
        assert abs(mean - float(x.double().mean())) < width


def test_padding_is_never_counted(small):
    _, tokenizer, asked = small
    ids, real, predicting = next(batches(tokenizer, asked))
    assert int(real.sum()) == sum(len(encode_pair(tokenizer, q.text, q.answer)[0]) - 1 for q in asked)
    assert not (predicting & ~real).any()
    assert (ids[~real] <= 2).all()  # padding, or an END that nothing follows


def test_rounded_activations_are_the_quantizers_and_leave_no_trace(small):
    model, tokenizer, asked = small
    seen = calibration.activations(model, tokenizer, asked)
    reach = {site: numbers.ends(True) for site, numbers in seen.items()}
    ids = collate([encode_pair(tokenizer, q.text, q.answer) for q in asked[:5]]).ids
    before = model(ids)
    with calibration.rounded_activations(model, reach, 4):
        rounded = given(model, tokenizer, asked[:5])
        coarse = (model(ids) - before).square().mean()
    with calibration.rounded_activations(model, reach, 8):
        fine = (model(ids) - before).square().mean()
    assert 0 < fine < coarse / 50  # 16 times finer steps: in theory 1 / 256 of the squared error
    assert torch.equal(model(ids), before)
    for x in rounded.values():
        assert len(x.unique()) <= 16
    with pytest.raises(ValueError, match="no range"), calibration.rounded_activations(model, {}, 8):
        model(ids)
    assert torch.equal(model(ids), before)


def test_activations_of_many_bits_answer_like_the_float_model(small):
    model, tokenizer, asked = small
    reach = {s: n.ends(True) for s, n in calibration.activations(model, tokenizer, asked).items()}
    before = quick_scores(model, tokenizer, asked)["bits_per_answer_byte"]
    with calibration.rounded_activations(model, reach, 8):
        after = quick_scores(model, tokenizer, asked)["bits_per_answer_byte"]
    assert after == pytest.approx(before, rel=1e-3)
    assert after != before
