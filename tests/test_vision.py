"""The image network: its files, its rounding, and that quality falls with the bits as the rows say."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurolab import vision
from neurolab.formats import FORMATS, Whole, round_to

torch.set_num_threads(1)
PIECE = (slice(120, 248), slice(200, 328))


@pytest.fixture(scope="module")
def model():
    return vision.load()


@pytest.fixture(scope="module")
def given():
    """A piece of the noisy photograph (1, 1, 128, 128), and the clean one (128, 128)."""
    return vision.scene()[(..., *PIECE)], vision.photograph()[PIECE]


def test_the_network_takes_away_most_of_the_noise_of_a_photograph_it_never_saw(model, given):
    x, clean = given
    before, after = vision.quality(clean, x[0, 0]), vision.quality(clean, vision.clean_up(model, x))
    assert after["psnr"] > before["psnr"] + 5
    assert after["ssim"] > 1.5 * before["ssim"]


def test_noise_is_as_strong_as_said_and_fixed_by_its_seed():
    grey = torch.full((1, 1, 300, 300), 0.5)
    one, again = (vision.noisy(grey, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.equal(vision.scene(seed=0), vision.scene(seed=1))
    sd = float((one - grey).std(correction=0))
    theory = math.sqrt(vision.SIGMA**2 + (1 / 255) ** 2 / 12)  # of the noise and of the shades' rounding
    assert sd == pytest.approx(theory, abs=4 * vision.SIGMA / math.sqrt(2 * 90_000))
    assert torch.equal((one * 255).round() / 255, one)


def test_psnr_and_ssim_by_their_definitions(given):
    x, clean = given
    found = vision.quality(clean, x[0, 0])
    error = float((clean.double() - x[0, 0].double()).square().mean())
    assert found["psnr"] == pytest.approx(-10 * math.log10(error), abs=1e-9)
    a, b = clean.double()[None, None], x.double()

    def mean(picture):
        return F.avg_pool2d(picture, 7, stride=1)

    cov = [(mean(p * q) - mean(p) * mean(q)) * 49 / 48 for p, q in ((a, a), (b, b), (a, b))]
    ours = (2 * mean(a) * mean(b) + 1e-4) * (2 * cov[2] + 9e-4)
    ours = ours / ((mean(a) ** 2 + mean(b) ** 2 + 1e-4) * (cov[0] + cov[1] + 9e-4))
    assert found["ssim"] == pytest.approx(float(ours.mean()), abs=1e-9)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounded_layers_compute_what_whole_numbers_do(model, given, bits):
    x, _ = given
    rounded = vision.few_bits(model, bits)
    h = x
    for i, layer in enumerate(rounded.convolutions):
        h = F.relu(h) if i else h
        assert layer.codes.min() >= -(2 ** (bits - 1))
        assert layer.codes.max() <= 2 ** (bits - 1) - 1
        codes = layer.input_codes(h)
        away = h - round_to(h, Whole("u", 0, 2**bits - 1), step=layer.step)
        assert ((h - codes * layer.step).abs() <= away.abs() + 1e-6).all()
        d = layer.dilation
        sums = F.conv2d(codes.double(), layer.codes.double(), padding=d, dilation=d)  # whole numbers: exact
        exact = sums * layer.scales.double().view(1, -1, 1, 1) * layer.step + layer.bias.double().view(
            1, -1, 1, 1
        )
        h = layer(h)
        reach = F.conv2d(codes.double(), layer.codes.double().abs(), padding=d, dilation=d)
        reach = reach * layer.scales.double().view(1, -1, 1, 1) * layer.step + 1
        assert ((h - exact).abs() <= 200 * torch.finfo(torch.float32).eps * reach).all()


def test_every_channel_has_its_own_best_step(model):
    rounded = vision.few_bits(model, 4, activations=False)
    for plain, layer in zip(model.convolutions, rounded.convolutions, strict=True):
        assert layer.step is None
        assert layer.scales.shape == (len(plain.weight), 1)
        w = plain.weight.detach().flatten(1)
        largest = w.abs().amax(1, keepdim=True) / 7
        naive = (round_to(w, "INT4", step=largest) - w).square().sum(1)
        assert ((layer.weight.flatten(1) - w).square().sum(1) <= naive * (1 + 1e-5)).all()
        assert torch.equal(
            round_to(layer.weight.flatten(1), FORMATS["INT4"], step=layer.scales), layer.weight.flatten(1)
        )


def test_best_step_is_the_best_of_a_finer_search():
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0)).abs()
    for bits in (2, 4, 8):
        fmt, s = Whole("u", 0, 2**bits - 1), vision.best_step(x, bits)

        def error(step, fmt=fmt):
            return float((round_to(x, fmt, step=step) - x).square().mean())

        top = float(x.max()) / fmt.high
        assert error(s) <= min(error(top * k / 100) for k in range(1, 101)) * (1 + 1e-4)
        assert error(s) <= 1.02 * min(error(top * k / 731) for k in range(20, 732))
    assert vision.best_step(torch.zeros(3), 4) > 0


def test_fewer_bits_make_worse_pictures_and_rounding_activations_too_costs_more(model, given):
    x, clean = given
    psnr = {
        (bits, both): vision.quality(
            clean, vision.clean_up(vision.few_bits(model, bits, activations=both), x)
        )["psnr"]
        for bits in (8, 5, 3, 2)
        for both in (True, False)
    }
    best = vision.quality(clean, vision.clean_up(model, x))["psnr"]
    assert abs(psnr[8, True] - best) < 0.5
    for both in (True, False):
        assert psnr[8, both] > psnr[5, both] > psnr[3, both] > psnr[2, both]
    assert all(psnr[bits, False] > psnr[bits, True] for bits in (5, 3))


def test_training_learns_and_gives_the_same_weights_again():
    one, again = vision.train(12), vision.train(12)
    for p, q in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)
    x, clean = vision.scene("train")[..., :96, :96], vision.photograph("train")[:96, :96]
    more = vision.train(150)
    psnr = [vision.quality(clean, vision.clean_up(m, x))["psnr"] for m in (one, more)]
    assert psnr[1] > psnr[0] + 2


def test_training_leaves_the_readers_dice_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    vision.train(1)
    assert torch.equal(torch.rand(3), want)


def test_what_an_explorer_shows():
    found = vision.shown(4)
    for name in ("picture", "clean", "noisy", "float", "off"):
        assert found[name].shape == (96, 96)
        assert found[name].dtype == np.uint8
    assert np.array_equal(np.abs(found["picture"].astype(int) - found["float"]), found["off"])
    assert vision.shown(32)["quality_drop_percent"] == 0
    assert not vision.shown(32)["off"].any()
    assert found["quality_drop_percent"] == pytest.approx(
        100 * (1 - found["ssim"] / vision.shown(32)["ssim"])
    )


def test_the_row_is_what_the_pictures_say():
    f = vision.measure(4, seeds=1)
    shown = vision.shown(4)
    assert f["ssim"] == pytest.approx(shown["ssim"], abs=1e-12)
    assert f["quality_drop_percent"] == pytest.approx(shown["quality_drop_percent"], abs=1e-9)
    assert f["quality_drop_percent_range"] == [f["quality_drop_percent"]] * 2
    assert f["psnr_drop_db"] == pytest.approx(f["psnr_float"] - f["psnr"], abs=1e-12)


def test_the_shipped_files_are_what_the_card_says():
    card = json.loads((vision.FOLDER / vision.CARD).read_text(encoding="utf-8"))
    assert card["model"]["parameters"] == sum(p.numel() for p in vision.load().parameters())
    assert card["recipe"] == vision.RECIPE
    found = vision.quality(vision.photograph(), vision.clean_up(vision.load(), vision.scene()))
    assert found["psnr"] == pytest.approx(
        card["quality"]["test"]["psnr"], abs=0.01
    )  # another processor's sums


def test_broken_files_are_named(tmp_path):
    def fresh():
        shutil.copytree(vision.FOLDER, tmp_path, dirs_exist_ok=True)
        return tmp_path / vision.WEIGHTS, tmp_path / vision.CARD

    weights, card = fresh()
    whole = weights.read_bytes()
    for broken in (whole[:-9], whole[:3], b"", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
        weights.write_bytes(broken)
        with pytest.raises(vision.VisionError, match=r"denoiser.safetensors: changed or truncated"):
            vision.load(tmp_path)
    weights, card = fresh()
    for text in ("", "[]", "{}", '{"model": {"width": 8}}'):
        card.write_text(text, encoding="utf-8")
        with pytest.raises(vision.VisionError, match=r"denoiser.json: not a card"):
            vision.load(tmp_path)
    said = json.loads((vision.FOLDER / vision.CARD).read_text(encoding="utf-8"))
    said["model"]["width"] = 8
    card.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(vision.VisionError, match="not the weights of this network"):
        vision.load(tmp_path)
    card.unlink()
    with pytest.raises(vision.VisionError, match="missing; `neurolab train vision` makes it"):
        vision.load(tmp_path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: vision.photograph("dev"), "part 'dev': must be one of train, test"),
        (lambda: vision.few_bits(vision.Denoiser(), 1), "bits 1"),
        (lambda: vision.few_bits(vision.Denoiser(), 9), "bits 9"),
        (lambda: vision.best_step(torch.tensor([-1.0]), 4), "not below 0"),
        (lambda: vision.best_step(torch.tensor([math.nan]), 4), "finite"),
        (lambda: vision.best_step(torch.tensor([]), 4), "at least one number"),
    ],
)
def test_bad_input_is_named(make, says):
    with pytest.raises(ValueError, match=says):
        make()
