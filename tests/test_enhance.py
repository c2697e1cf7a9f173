"""Video at twice the resolution: copying is exact, changes are found, quality and costs are what is said."""

import json
import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from neurolab import energy, enhance, enhance_measure, enhance_moves, enhance_training, video
from neurolab.enhance import HALO, PATCH, Dynamic, Enhancer, convolved, dense, psnr, seen
from neurolab.sweeps import sparsity_enhance, sparsity_tracking

torch.set_num_threads(1)
SIDE, GRID = 64, 64 // PATCH
CLOSE = 2e-6  # float32 sums of different order, of numbers of about 1


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    return Enhancer()


@pytest.fixture(scope="module")
def frames():
    """(12, 64, 64): what the camera sees of a test scene."""
    return seen(video.scene(5, split="test").frames(0, 12, zoom=2))


def test_a_whole_frame_is_the_same_by_products_and_by_convolutions(net, frames):
    one, other = dense(net, frames[0]), convolved(net, frames[0])
    assert one.shape == (2 * SIDE, 2 * SIDE)
    assert (one - other).abs().max() < CLOSE
    assert (one - F.interpolate(frames[:1, None], scale_factor=2)[0, 0]).abs().max() > 1e-3


def test_a_pixel_matters_as_far_as_the_halo_and_no_further(net, frames):
    touched = frames[0].clone()
    touched[30, 20] = 1 - touched[30, 20]
    moved = (dense(net, touched) - dense(net, frames[0])).abs() > 0
    rows, columns = moved.nonzero().T
    assert (rows.min(), rows.max()) == (2 * (30 - HALO), 2 * (30 + HALO) + 1)
    assert (columns.min(), columns.max()) == (2 * (20 - HALO), 2 * (20 + HALO) + 1)


def test_skipping_is_exact_at_threshold_0_and_skips_most(net, frames):
    run = Dynamic(net)
    assert run.step(frames[0]).done.all()
    before = dense(net, frames[0])
    for frame in frames[1:]:
        step = run.step(frame)
        assert (step.picture - dense(net, frame)).abs().max() < CLOSE
        assert 0 < step.done.sum() < 0.4 * GRID**2
        fine = step.done.repeat_interleave(2 * PATCH, 0).repeat_interleave(2 * PATCH, 1)
        assert torch.equal(step.picture[~fine], before[~fine])
        before = step.picture


def test_exactly_the_patches_whose_surroundings_changed_are_computed(net, frames):
    run = Dynamic(net)
    run.step(frames[0])
    touched = frames[0].clone()
    touched[8 * PATCH, 8 * PATCH] += 0.1  # the first pixel of patch (8, 8)
    wanted = torch.zeros(GRID, GRID, dtype=torch.bool)
    wanted[7:9, 7:9] = True  # a halo of 3 reaches one patch up and left, and not across 4 pixels
    assert torch.equal(run.step(touched).done, wanted)
    assert not run.step(touched).done.any()


def test_a_margin_of_0_looks_at_the_patch_alone_and_is_nearly_right(net, frames):
    run = Dynamic(net, margin=0)
    run.step(frames[0])
    touched = frames[0].clone()
    touched[8 * PATCH, 8 * PATCH] += 0.1
    step = run.step(touched)
    assert step.done.nonzero().tolist() == [[8, 8]]
    away = (step.picture - dense(net, touched)).abs()
    assert 0 < away.max() < 0.1
    assert away[16 * PATCH : 18 * PATCH, 16 * PATCH : 18 * PATCH].max() < CLOSE


@pytest.mark.parametrize("halo", [1, 3])
def test_the_compiled_moves_do_what_the_plain_ones_do(frames, halo):
    frame, before, which = frames[3], frames[0], torch.tensor([0, 5, 15, 16, 100, 240, 255])
    plain, compiled = enhance_moves.PLAIN, enhance_moves.COMPILED
    assert torch.equal(plain.pack(frame, which, halo), compiled.pack(frame, which, halo))
    for margin in range(halo + 1):
        found = []
        for by in (plain, compiled):
            last, missed = before.clone(), torch.ones(GRID, GRID)
            by.look(frame, last, missed, margin)
            assert torch.equal(last, frame)
            found.append(missed)
        assert found[0].max() > 1.1
        assert torch.equal(*found)
    made, pictures = torch.randn(len(which) * PATCH**2, 4), []
    for by in (plain, compiled):
        pictures.append(torch.zeros(2 * SIDE, 2 * SIDE))
        by.paste(made, frame, which, pictures[-1])
    assert torch.equal(*pictures)
    assert (pictures[0] != 0).sum() == made.numel()


def test_a_packed_row_is_a_pixels_surroundings_minus_the_pixel(frames):
    which = torch.tensor([17])  # row 1, column 1: pixels 4 to 7 each way
    row = enhance_moves.PLAIN.pack(frames[0], which, HALO)[6]  # pixel (5, 6)
    around = frames[0][5 - HALO : 6 + HALO, 6 - HALO : 7 + HALO]
    assert torch.equal(row.view_as(around), around - frames[0][5, 6])


def test_the_plain_moves_give_the_same_stream(net, frames):
    one, other = Dynamic(net, by=enhance_moves.PLAIN), Dynamic(net)
    for frame in frames[:4]:
        a, b = one.step(frame), other.step(frame)
        assert torch.equal(a.done, b.done)
        assert (a.picture - b.picture).abs().max() < CLOSE


def test_slow_changes_add_up(net, frames):
    run, done = Dynamic(net, threshold=0.1), []
    for i in range(10):
        done.append(bool(run.step(0.4 * frames[0] + 0.03 * i).done.all()))
    assert done == [True, *[False] * 3, True, *[False] * 3, True, False]


def test_a_budget_holds_and_what_waits_is_caught_up(net, frames):
    run = Dynamic(net, most=20)
    run.step(frames[0])
    later, steps = frames[6], 0
    step = run.step(later)
    first = int(step.done.sum())
    while step.done.any():
        assert step.done.sum() <= 20
        step = run.step(later)
        steps += 1
    assert first == 20
    assert steps > 1
    assert (step.picture - dense(net, later)).abs().max() < CLOSE


def test_a_frame_that_changed_everywhere_is_done_whole(net, frames):
    run = Dynamic(net)
    run.step(frames[0])
    step = run.step(1 - frames[1])
    assert step.done.all()
    assert torch.equal(step.picture, dense(net, 1 - frames[1]))


def test_a_picture_given_out_is_not_written_to_again(net, frames):
    run = Dynamic(net)
    step = run.step(frames[0])
    kept = step.picture.clone()
    run.step(frames[1])
    assert torch.equal(step.picture, kept)


def test_bad_frames_are_refused_and_the_stream_goes_on(net, frames):
    run = Dynamic(net)
    run.step(frames[0])
    holed = frames[1].clone()
    holed[3, 3] = math.nan
    for bad, words in (
        (holed, "not finite"),
        (frames[1][:, :60], r"\(64, 60\)"),
        (frames[1][:60, :60], "60 pixels: those before had 64"),
    ):
        with pytest.raises(ValueError, match=words):
            run.step(bad)
    assert (run.step(frames[2]).picture - dense(net, frames[2])).abs().max() < CLOSE


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda net: Dynamic(net, threshold=-0.1), "threshold -0.1"),
        (lambda net: Dynamic(net, margin=HALO + 1), "margin 4"),
        (lambda net: Dynamic(net, most=0), "most 0"),
        (lambda net: Enhancer(layers=1), "layers 1"),
        (lambda net: Enhancer(halo=0), "halo 0"),
    ],
)
def test_settings_out_of_range_are_refused(net, make, words):
    with pytest.raises(ValueError, match=words):
        make(net)


@pytest.mark.parametrize("variant", ["usual", "jitter", "several"])
def test_the_truth_is_the_same_scene_drawn_finer(variant):
    scene = video.scene(11, variant=variant)
    plain, fine = scene.frames(5, 3), scene.frames(5, 3, zoom=2)
    assert fine.shape == (3, 2 * SIDE, 2 * SIDE)
    off = (F.avg_pool2d(fine, 2) - plain).abs()
    assert 0 < off.mean() < 0.02  # texture and ink between the pixels
    other = video.scene(12, variant=variant).frames(5, 3)
    assert off.mean() < 0.2 * (other - plain).abs().mean()
    with pytest.raises(ValueError, match="zoom 0"):
        scene.frames(0, 1, zoom=0)


def test_the_camera_sees_means_in_256_shades():
    fine = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    coarse = seen(fine)
    mean = fine[1, 2:4, 4:6].mean()
    assert coarse.shape == (2, 4, 4)
    assert coarse[1, 1, 2] == (mean * 255).round() / 255
    grey = torch.full((1, 400, 400), 0.5)
    shaken = seen(grey, 0.05, torch.Generator().manual_seed(0))
    assert float(shaken.std()) == pytest.approx(0.05, rel=4 / math.sqrt(2 * 40_000))


def test_psnr_by_its_definition():
    truth = torch.full((4, 4), 0.5)
    assert psnr(truth, truth) == math.inf
    assert psnr(truth, truth + 0.1) == pytest.approx(20, abs=1e-4)
    assert psnr(torch.ones(4, 4), torch.full((4, 4), 1.7)) == math.inf  # a picture can't be whiter than white


def test_the_shipped_networks_beat_bicubic_where_they_were_never_trained():
    streams = [enhance_measure.stream(seed, length=2) for seed in range(100, 108)]
    for seed in enhance_training.SEEDS:
        net = enhance.load(seed)
        found = enhance_measure.quality(net, partial(Dynamic, net), streams)
        assert found["psnr_dense"] > found["psnr_bicubic"] + 1.5
        assert found["psnr_near_dense"] > 30


def test_quality_counts_what_was_lost_and_what_was_done(net):
    streams = [enhance_measure.stream(seed, length=4) for seed in range(3)]
    exact = enhance_measure.quality(net, partial(Dynamic, net), streams)
    rough = enhance_measure.quality(net, partial(Dynamic, net, 0.5), streams)
    assert abs(exact["psnr_drop_db"]) < 1e-4
    assert rough["psnr_near_drop_db"] > rough["psnr_drop_db"] > 0
    assert rough["tokens_kept_percent"] < exact["tokens_kept_percent"] < 100
    assert exact["patches_a_frame"] == pytest.approx(exact["tokens_kept_percent"] / 100 * GRID**2)
    same = enhance_measure.patches_a_frame(partial(Dynamic, net), streams)
    assert same == pytest.approx(exact["patches_a_frame"])


def test_in_the_noisy_variant_only_the_input_is_noisy():
    usual, noisy = (enhance_measure.stream(4, variant, 3) for variant in ("usual", "noise"))
    assert torch.equal(usual.fine, noisy.fine)
    spread = float((noisy.coarse - usual.coarse).std())
    assert spread == pytest.approx(video.NOISE, rel=0.1)  # a little less: shades end at 0 and 1
    x, y = video.scene(4, split="test").centre(1)
    pixel = (torch.arange(2 * SIDE) + 0.5) / 2
    rows, columns = (pixel - y).abs() < enhance_measure.NEAR, (pixel - x).abs() < enhance_measure.NEAR
    assert torch.equal(usual.near[1], rows[:, None] & columns)
    assert usual.fine[1][usual.near[1]].mean() > usual.fine[1].mean() + 0.05  # there is ink


def test_costs_by_hand():
    net, pixels = Enhancer(width=8, layers=3, halo=1), SIDE * SIDE
    assert net.macs == 9 * 8 + 8 * 8 + 8 * 4
    whole = enhance_measure.counts(net, GRID**2, gate=False)
    assert whole.mac_fp32 == pixels * net.macs
    assert whole.weight_bytes == 4 * net.macs
    assert whole.activation_bytes == 4 * pixels * (9 + 8 + 8 + 8 + 8 + 4)
    nothing = enhance_measure.counts(net, 0, gate=True)
    looked = GRID**2 * (PATCH + 2) ** 2
    assert (nothing.mac_fp32, nothing.compare_int32, nothing.weight_bytes) == (looked, looked, 0)
    assert nothing.activation_bytes == 4 * (2 * looked + 2 * 4 * pixels)
    few = enhance_measure.counts(net, 16, gate=True)
    assert few.mac_fp32 == whole.mac_fp32 / 16 + looked
    found = enhance_measure.energies(net, 16)
    assert found["energy_ratio"] == pytest.approx(energy.ratio(whole, few))
    assert found["energy_ratio"] < 16
    with pytest.raises(ValueError, match="patches 257"):
        enhance_measure.counts(net, 257, gate=True)


def test_time_is_told_of_every_frame(net):
    streams = [enhance_measure.stream(0, "still", 8)]
    found = enhance_measure.speed(net, partial(Dynamic, net), streams)
    assert found["timed"] == 8
    assert found["latency_ratio"] > 2  # nothing moves: nothing but the first frame is computed
    assert found["dense_by"] in ("dense", "convolved")
    assert found["wall_over_cpu"] > 0.5


def test_rows_of_the_sweep_have_names_of_their_own_and_are_not_timed_on_a_busy_machine(monkeypatch):
    jobs = [*sparsity_enhance.jobs(), *sparsity_tracking.jobs()]
    names = [job.name + json.dumps(job.setting, sort_keys=True) for job in jobs]
    assert len(set(names)) == len(names)
    assert {job.kind for job in jobs if "energy" in job.setting} == {"simulated"}
    assert {job.setting["tokens"] for job in jobs if job.name == "sparsity.tracking"} == {32}
    monkeypatch.setattr(enhance_measure, "LENGTH", 3)
    monkeypatch.setattr(sparsity_enhance, "TIMED_LENGTH", 3)
    monkeypatch.setattr(enhance_measure, "BUSY", math.inf)
    sparsity_enhance.scenes.cache_clear()
    found = sparsity_enhance.figures(0, "still", 2, margin=1)
    assert {"psnr", "psnr_dense", "psnr_drop_db", "latency_ratio", "p95_ratio", "tokens_kept_percent"} <= set(
        found
    )
    assert found["macs_ratio"] == pytest.approx(3)  # the first of three frames
    assert sparsity_enhance.simulated(0, "exact")["energy_ratio"] > 1.5
    assert sparsity_enhance.training(0)["gain_of_last_half_db"] < 0.5
    monkeypatch.setattr(enhance_measure, "BUSY", 0.0)
    with pytest.raises(RuntimeError, match="too busy"):
        sparsity_enhance.figures(0, "still", 2, margin=1)
    sparsity_enhance.scenes.cache_clear()


def test_training_is_the_same_again_and_learns(tmp_path):
    (net, history), (again, _) = (enhance_training.train(7, steps=60, scenes=20) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert history.step == 60
    coarse, fine = enhance_training.pairs("validation", 6)
    begun = torch.stack([dense(Enhancer(), frame) for frame in coarse])
    assert psnr(fine, torch.stack([dense(net, frame) for frame in coarse])) > psnr(fine, begun) + 3


def test_shipped_files_are_checked(tmp_path):
    enhance_training.ship(tmp_path, seeds=(1,), steps=2, scenes=4, progress=False)
    loaded = enhance.load(1, tmp_path)
    assert loaded.macs == Enhancer().macs
    with pytest.raises(ValueError, match="neurolab train enhance"):
        enhance.load(0, tmp_path)
    weights = enhance.files(1, tmp_path)[0]
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="changed or truncated"):
        enhance.load(1, tmp_path)
    enhance.files(1, tmp_path)[1].write_text("{}")
    with pytest.raises(ValueError, match="not a card"):
        enhance.load(1, tmp_path)
