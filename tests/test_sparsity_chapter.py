"""Chapter 6's pictures, explorers, tables and sentences: they draw what is computed and say what rows say."""

import dataclasses

import numpy as np
import pytest
import torch

from neurolab import crossover, learned_gate, sparsity, video, video_net
from neurolab import sparsity_charts as charts
from neurolab import sparsity_clock as watch
from neurolab import sparsity_exits as exits
from neurolab import sparsity_explorers as ex
from neurolab import sparsity_map as kernels
from neurolab import sparsity_pictures as pictures
from neurolab import sparsity_rows as results
from neurolab import sparsity_rows_other as more
from neurolab import sparsity_words as words
from neurolab import sparsity_words_other as further
from neurolab.benchmark import Ratio
from neurolab.explore import Choice, Explorer, Steps, exercise_corners
from neurolab.guess import Guess
from neurolab.live_telemetry import Record
from neurolab.measurements import append, row
from neurolab.sparsity_rows import NOT_YET


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second thread would only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Shipped rows of our own: a function that writes some."""
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)
    return lambda *rows: append(rows, tmp_path)


@pytest.fixture(scope="module")
def untrained():
    """A network of one small layer, and a gate, with chance weights."""
    torch.manual_seed(3)
    made = video_net.VideoTransformer(video_net.VideoConfig(width=32, layers=2, heads=2, hidden=32)).eval()
    with torch.no_grad():
        made.readout.normal_()
    return made, learned_gate.Gate().eval()


@pytest.fixture
def nets(untrained, monkeypatch):
    """The chapter with networks that nobody trained."""
    monkeypatch.setattr(ex, "net", lambda name: untrained[0])
    monkeypatch.setattr(watch, "net", lambda name: untrained[0])
    monkeypatch.setattr(learned_gate, "load", lambda *_: untrained[1])
    ex._watched.cache_clear()
    yield untrained[0]
    ex._watched.cache_clear()


# ---- what explorers compute -----------------------------------------------------------------------------


def test_windows_are_the_scene_as_it_goes_on():
    frames, centres, digit = ex.windows("usual", seed=5, times=4)
    scene = video.scene(5, split="test")
    assert digit == scene.digit
    for t in range(4):
        assert frames[t].equal(scene.frames(t, video.FRAMES))
        assert centres[t] == scene.centre(t + video.FRAMES - 1)


@pytest.mark.parametrize("name", list(ex.CHOICES))
def test_each_mechanism_answers_from_the_tokens_that_it_names(nets, name):
    frames = video.clips([5], split="test").frames
    with torch.inference_mode():
        seen, keep = ex.CHOICES[name](frames, 32)
        assert (keep.sort(1).values == keep).all()
        assert keep.shape[1] == (256 if name == "dense" else keep.shape[1])
        assert name in ("dense", "threshold") or keep.shape[1] == 32
        if name != "attention":  # whose first layer sees everything
            torch.testing.assert_close(seen.digit, nets(frames, keep).digit)
    assert keep.shape[1] <= 32 or name == "dense"


def test_the_first_picture_shows_the_last_frame_and_the_tokens_of_its_slot(nets):
    found = ex.watched("one digit moves", "what changes", 9)
    frames, centres, _ = ex.windows("usual")
    assert np.array_equal(found["frame"], (frames[9, -1].clamp(0, 1) * 63).round().numpy())
    keep = sparsity.keep_top(sparsity.change(frames[9:10]), ex.KEPT)[0]
    last = {int(k) - 192 for k in keep if k >= 192}  # the last slot's 64 tubelets
    assert {int(i) for i in np.flatnonzero(found["veil"] == 0)} == last
    assert found["true x"][0] == pytest.approx(centres[9][0] - 0.5, abs=0.01)
    assert found["p"].sum() == pytest.approx(100, abs=1)
    with torch.inference_mode():
        seen = nets(frames[9:10], keep[None])
    assert found["said y"][0] == pytest.approx(float(seen.centre[0, 1]) - 0.5, abs=0.01)
    assert found["p"].argmax() == int(seen.digit.argmax())


@pytest.mark.parametrize("way", list(ex.CHOOSERS))
def test_every_chooser_is_watched_at_its_own_cost(nets, way):
    found = ex.watched("nothing moves", way, 5)
    whole = sum(video_net.macs(nets.config).values())
    least = 100 * sum(video_net.macs(nets.config, ex.KEPT).values()) / whole
    asked = 100 * sparsity.attention_macs(nets.config, ex.KEPT) / whole
    assert found["share"][1] == pytest.approx(asked if way == "attention" else least)
    assert least < asked < 100
    assert (found["veil"] == 0).sum() <= ex.KEPT
    assert found["words"].startswith(f"nothing moves, {way} computed")


def test_nothing_is_veiled_where_everything_is_computed(nets):
    found = ex.watched("nothing moves", "everything", 0)
    assert found["veil"].sum() == 0
    assert found["share"].tolist() == [100, 100]
    assert "everything computed" in found["words"]


def test_the_bars_are_those_of_the_rows(nets, store):
    without = ex.watched("one digit moves", "what changes", 0)
    assert without["text"][0] == "not measured yet"
    for seed, ratio in enumerate((3.0, 4.0, 5.0)):
        store(mechanism("change", 32, 97.0, ratio, seed=seed))
    found = ex.watched("one digit moves", "what changes", 0)
    assert found["share"][0] == pytest.approx(25)
    macs = [sum(video_net.macs(nets.config, n).values()) for n in (32, 256)]
    assert found["share"][1] == pytest.approx(100 * macs[0] / macs[1])
    assert found["text"] == ["25%", f"{found['share'][1]:.0f}%"]


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [(("a cat", "everything", 0), "scene is 'a cat'"), (("nothing moves", "half", 0), "way is 'half'"),
     (("nothing moves", "everything", 24), "t is 24")],
)  # fmt: skip
def test_other_settings_are_refused(setting, wrong):
    with pytest.raises(ValueError, match=wrong):
        ex.watched(*setting)


def test_threshold_and_budget_keep_what_the_package_keeps(nets):
    frames = video.clips([31], variant="jitter", split="test").frames
    scores = sparsity.change(frames)
    for threshold, budget in ((0.0, 8), (0.05, 64), (0.4, 256)):
        found = ex.gated("the camera shakes", 31, threshold, budget)
        keep = sparsity.choose(scores, budget, threshold)
        n = keep.shape[1]
        assert found["words"].startswith(f"the camera shakes: {n} of 256 tokens")
        assert ("the budget decides" in found["words"]) == (n == budget)
        assert found["kept x"].tolist() == [1, n]
        assert found["change"][n - 1] >= max(threshold, ex.FLOOR)
        assert n == budget or found["change"][n] <= max(threshold, ex.FLOOR) + 1e-3
        assert int(nets(frames, keep).digit.argmax()) == int(found["words"].split("says ")[1][0])


def test_the_six_stills_are_one_moment(nets):
    found = ex.stills(time=4)
    assert found["names"] == list(results.VARIANTS.values())
    for name, variant in ex.VARIANTS.items():
        frame = video.scene(ex.SCENE, variant=variant, split="test").frames(4, 1)[0]
        assert np.array_equal(found[name], (frame.clamp(0, 1) * 63).round().numpy())


def test_every_explorer_that_computes_holds_at_its_corners(nets):
    assert list(ex.VARIANTS.values()) == list(results.VARIANTS)
    assert set(ex.VARIANTS.values()) == set(video.VARIANTS)
    explorers = [
        Explorer(
            ex.watched, pictures.watch,
            {"t": Steps(0, ex.TIMES - 1, play=6), "scene": Choice(*list(ex.VARIANTS)[:3]),
             "way": Choice(*ex.WAYS)}, pictures.WATCH_CHANGES, alt="a",
        ),
        Explorer(
            ex.gated, pictures.gated,
            {"scene": Choice("one digit moves", "nothing moves"), "clip": Choice(18, 8),
             "threshold": Choice(0.0, 0.4), "budget": Choice(8, 256)}, pictures.GATED_CHANGES, alt="a",
        ),
        Explorer(ex.stills, pictures.frames, alt="a"),
    ]  # fmt: skip
    for explorer in explorers:
        assert exercise_corners(explorer) >= 1


def test_fewer_tokens_are_timed_and_counted(nets):
    found = watch.costs_now((1, 64, 256), rounds=3)
    assert found["macs"][2] == pytest.approx(100)
    assert found["macs"][0] < found["macs"][1] < 30
    assert found["packed"][0] < found["packed"][2]
    assert found["masked"][0] > found["packed"][0]
    assert found["milliseconds"][0] > 0


def test_the_fastest_of_some_calls_counts():
    def work(n):
        return sum(range(n))

    found = watch.fastest({"short": lambda: work(1000), "long": lambda: work(100_000)}, rounds=5)
    assert found["long"] > 10 * found["short"] > 0


def test_a_live_loop_is_drawn_from_its_first_answers():
    first = Record(3, 0.12, "answered", "sparse", budget=32, latency=0.004)
    records = [first, dataclasses.replace(first, frame=4, budget=24, latency=0.006)]
    records += [Record(4, 0.16, "thought again", "dense", latency=0.02), Record(5, 0.2, "passed over")]
    found = watch.live_shown(records, 0.005)
    assert found["frame"].tolist() == [3, 4]
    assert found["latency"].tolist() == pytest.approx([4, 6])
    assert found["budget"].tolist() == [32, 24]
    assert (found["dense x"].tolist(), found["dense y"].tolist()) == ([4], [20])
    drawn = charts.timeline(found)
    assert [trace.name for trace in drawn.data][1] == "objective"
    assert list(drawn.data[1].y) == [5, 5]


# ---- rows -----------------------------------------------------------------------------------------------


def made(name, setting, kind="measured", **figures):
    return row(f"sparsity.{name}", 6, setting, figures, kind=kind, command="x")


def mechanism(name, tokens, accuracy, ratio, seed=0):
    setting = {"mechanism": name, "tokens": tokens, "seed": seed, "side": 64}
    figures = {"latency_ratio": ratio, "p95_ratio": 0.9 * ratio, "p99_ratio": 0.8 * ratio}
    return made("mechanism", setting, accuracy=accuracy, flops_ratio=2 * ratio, **figures)


def headline(method, accuracy, ratio=1.0, seed=0, side=64):
    setting = {"method": method, "budget": 0.125, "background": "still", "seed": seed, "side": side}
    lost = 96.0 - accuracy
    return made(
        "video", setting, accuracy=accuracy, accuracy_drop_points=lost, accuracy_drop_points_low=lost - 0.2,
        accuracy_drop_points_high=lost + 0.2, tracking_error=1.5, flops_ratio=10.0, latency_ratio=ratio,
        p95_ratio=0.9 * ratio, tokens_kept_percent=12.5, scenes=6400,
    )  # fmt: skip


def stress(variant, lost, method="dynamic"):
    setting = {"variant": variant, "method": method, "seed": 0}
    return made("stress", setting, accuracy=90 - lost, accuracy_dense=90.0, accuracy_drop_points=lost)


def test_before_anything_is_measured_every_table_and_sentence_says_so(store):
    for show in (
        results.training_picture, results.video_table, results.stress_table, results.mechanisms_table,
        ex.mechanisms_explorer, more.topk_table, exits.exit_explorer, exits.exit_table, more.experts_table,
        more.separable_table, more.block_table, more.fallback_table, more.enhance_table, more.tracking_table,
        words.baseline_sentence, words.video_sentence, words.stress_sentence, words.mechanisms_sentence,
        words.topk_sentence, words.exit_sentence, words.experts_sentence, words.separable_sentence,
        further.block_sentence, further.kernels_sentence, further.dispatch_sentence, further.fusion_sentence,
        more.formats_table, more.rules_table, more.heads_table, more.compile_table,
        further.heads_sentence, further.enhance_sentence, further.tracking_sentence, further.warm_sentence,
        further.fallback_sentence,
    ):  # fmt: skip
        assert show().data == NOT_YET, show.__name__
    guess = Guess("sparsity.faster", "?", low=0.5, high=16, step=0.5)
    assert words.reveal_faster(guess).data == NOT_YET
    hiding = Guess("sparsity.hiding", "?", choices=list(words.HIDING))
    assert words.reveal_hiding(hiding).data == NOT_YET


def test_a_table_gathers_seeds_leaves_out_what_nobody_has_and_keeps_the_order(store):
    rows = [
        mechanism("change", 32, 96.0, 4.0),
        mechanism("change", 8, 90.0, 6.0),
        mechanism("dense", 256, 99.0, 1.0),
    ]
    rows += [mechanism("change", 32, 97.0, 5.0, seed=1), mechanism("static", 32, 40.0, 4.5)]
    store(*rows)
    lines = results.mechanisms_table().data.splitlines()
    assert lines[0] == (
        "| chosen by | tokens | right (%) | times fewer multiply-adds | times as fast, p50 | p95 | p99 |"
    )
    assert [line.split("|")[1:3] for line in lines[2:5]] == [
        [" what changes ", " 32 "], [" everything ", " 256 "], [" a fixed pattern ", " 32 "]
    ]  # fmt: skip
    assert lines[2].split("|")[3].strip() == "96.5 (96.0 to 97.0)"
    assert lines[2].split("|")[5].strip() == "**4.5 (4.0 to 5.0)**"


def test_the_warm_up_is_judged_where_no_other_program_runs(store):
    def loops(load, warm, cold):
        figures = {"loop_p50": warm, "cold_p50": cold, "seconds_held_percent": 90 - 40 * load}
        return made(
            "fallback", {"variant": "usual", "load": load, "seed": 0}, **figures, seconds_held_cold_percent=20
        )

    store(loops(0, 0.0024, 0.0036), loops(2, 0.009, 0.009))
    said = further.warm_sentence().data
    assert "took **3.6** ms, with it **2.4** ms" in said
    assert "held in **20** and **90** % of the seconds" in said


def test_an_objective_that_is_missed_is_said_to_be(store):
    for load, ours in ((0, 0.9), (1, 1.25), (2, 1.5)):
        figures = {"p99_over_objective": ours, "p99_dense_over_objective": 2 + load}
        store(made("fallback", {"variant": "usual", "load": load, "seed": 0}, **figures))
    said = further.fallback_sentence().data
    assert "gives 99 of 100 answers in time in **1 of 3** runs" in said
    assert (
        "objectives: 1.25 in the median, 1.50 at worst). In the median of the same runs: always dense 3.00."
        in said
    )


def test_the_headline_is_a_line_a_method_and_a_size(store):
    store(headline("dynamic", 95.5, 4.0), headline("dense", 96.0), headline("dynamic", 95.0, 5.0, seed=1))
    store(headline("dynamic", 97.0, 12.0, side=128), headline("static", 60.0, 4.2))
    lines = results.video_table().data.splitlines()[2:6]
    assert [line.split("|")[1:3] for line in lines] == [
        [" 64 x 64 ", " dense "], [" 64 x 64 ", " a fixed pattern "], [" 64 x 64 ", " what changes "],
        [" 128 x 128 ", " what changes "],
    ]  # fmt: skip
    assert "| **4.5 (4.0 to 5.0)** |" in lines[2]
    said = words.video_sentence().data
    assert "10.0 times fewer multiply-adds are **4.5 times** less time" in said
    assert "and 0.75 points of accuracy less (with 95 % confidence no seed loses more than 1.20)" in said
    assert "take turns" not in said
    assert "and 12.5 % of their 1,024 tokens, 10.0 times fewer multiply-adds are **12.0 times** less" in said
    assert "A fixed pattern of as many tokens loses 36.0 points" in said
    alternating = headline("dynamic", 95.5, 4.0, seed=2)
    alternating.figures.update(alternating_ratio=3.0, alternating_p95_ratio=2.6)
    store(alternating)
    said = words.video_sentence().data
    assert "clip by clip it is only 3.0 times, and 2.6 times at the 95th percentile" in said
    assert "**96.0 %** of the digits" in words.baseline_sentence().data


def test_the_worst_scene_is_named(store):
    store(stress("noise", 4.0), stress("flicker", 0.1), stress("jitter", 1.0), stress("noise", 20, "static"))
    live = {"tokens_kept_percent": 12.9, "seconds_held_percent": 98.0}
    store(made("live", {"variant": "usual", "seed": 0}, **live))
    assert "live" not in results.stress_table().data  # its kind of scene has no line
    store(made("live", {"variant": "noise", "seed": 0}, **live))
    said = words.stress_sentence().data
    assert "where the sensor is noisy: **4.0 points**" in said
    assert "better than dense" not in said
    lines = results.stress_table().data.splitlines()
    assert lines[2] == "| the light flickers | 90.0 |  | 89.9 | **0.1** |  |  |"
    assert lines[3] == "| the sensor is noisy | 90.0 | 70.0 | 86.0 | **4.0** | 13 | 98 |"
    store(stress("still", -2.0))
    assert "where nothing moves it is 2.0 points better than dense" in words.stress_sentence().data


def test_the_best_mechanism_and_the_fastest_are_named(store):
    store(mechanism("change", 32, 96.0, 4.0), mechanism("static", 32, 40.0, 4.5))
    store(mechanism("attention", 32, 95.0, 2.0), mechanism("gate", 64, 99.0, 3.0))
    said = words.mechanisms_sentence().data
    assert "**what changes** is the best choice, with 96.0 % right at 4.0 times" in said
    assert "a fixed pattern is the fastest (4.5 times), with 40.0 %" in said
    assert "4.0 times fewer multiply-adds, 2.0 times as fast" in said
    assert "within a point" not in said
    store(mechanism("gate", 32, 95.5, 3.0))
    assert "the speed of dense (within a point: a learned gate); a fixed" in words.mechanisms_sentence().data


def test_the_explorer_of_mechanisms_shows_what_rows_hold(nets, store):
    for tokens in (16, 32):
        for name, right in (("change", 96.0), ("static", 40.0)):
            store(mechanism(name, tokens, right + tokens / 16, 64 / tokens))
    store(mechanism("gate", 32, 97.0, 3.0))
    assert ex.mechanisms_explorer().data == NOT_YET  # the dense network's accuracy is not there
    store(headline("dense", 99.0))
    explorer = ex.mechanisms_explorer()
    result, said = explorer.result(mechanism="a fixed pattern", kept=16)
    assert said.startswith(
        "A fixed pattern, 16 tokens: 41.0 % right, 58.0 points below dense, 8.0 times fewer"
    )
    assert result["share"].tolist() == pytest.approx([100 / 3.6, 25, 12.5])
    assert result["what changes y"].tolist() == [97.0, 98.0]
    grid = sparsity.static_pattern(256, 16)
    assert (result["veil"] == 0).sum() == (grid >= 192).sum()
    assert exercise_corners(explorer) >= 4


def test_top_k_is_slower_or_faster_as_rows_say(store):
    def topk(time, tokens=1024, method="compiled"):
        setting = {"tokens": tokens, "k": 64, "method": method}
        figures = {"operations_ratio": 4.0, "operations_ratio_with_choice": 1.6}
        return made("topk", setting, **figures, latency_ratio=time)

    store(topk(0.25), topk(9.0, tokens=256))
    said = words.topk_sentence().data
    assert (
        "4.0 times fewer multiply-adds (1.6 times with the choosing), and is 4.0 times **slower** than"
        in said
    )
    assert "ways" not in said
    assert "What does pay" not in words.topk_sentence().data
    store(made("attention", {"tokens": 1024, "share": 0.25, "method": "shared"}, latency_ratio=3.0))
    assert "the same keys for all queries is up to 3.0 times as fast at 1,024" in words.topk_sentence().data
    assert "tokens (25 % kept)" in words.topk_sentence().data
    store(topk(2.0))
    assert "is 2.0 times as fast as the fused dense one" in words.topk_sentence().data
    store(topk(0.1, 2048, "masked"), topk(0.2, 2048, "gathered"))
    said = words.topk_sentence().data
    assert "**slower** than the fused dense one (in the median; the fastest of the ways tried is 2.0" in said
    lines = more.topk_table().data.splitlines()
    assert "| the same keys for all queries | 1024 |  | 25 % |  |  | **3.00** |" in lines
    assert "| top-k, our kernel | 1024 | 64 |  | 4.0 | 1.6 | **2.00** |" in lines


def test_fewer_keys_fewer_heads_and_the_compiler_have_their_tables(store):
    setting = {"mechanism": "shared_keys", "tokens": 256, "keep": 64, "seed": 0, "side": 64}
    figures = {"accuracy": 96.0, "flops_ratio": 1.5, "latency_ratio": 1.25}
    store(made("mechanism", setting, **figures), mechanism("change", 32, 96.0, 4.0))
    assert more.rules_table().data.splitlines()[2:3] == [
        "| the same keys for all queries | 256 | 64 | 96.0 | 1.50 | **1.25** |"
    ]
    assert "shared" not in results.mechanisms_table().data
    store(made("heads", {"by": "frame", "heads": 3, "seed": 0}, **figures))
    assert "| for each clip | 3 | 96.0 | 1.50 | **1.25** |" in more.heads_table().data
    assert further.heads_sentence().data == NOT_YET
    store(made("heads", {"by": "static", "heads": 3, "seed": 0}, **figures | {"latency_ratio": 1.1}))
    said = further.heads_sentence().data
    assert "chosen for each clip, 96.0 % are right at **1.25 times** the speed of dense; chosen once" in said
    assert "for all, 96.0 % at 1.10 times. *(measured)*" in said
    store(made("heads", {"by": "frame", "heads": 3, "seed": 0}, **figures | {"latency_ratio": 0.9}))
    assert "costs more time than it earns, and makes no answer better" in further.heads_sentence().data
    store(made("compile", {"what": "block", "tokens": 32}, latency_ratio=1.5, compile_seconds=8.0))
    assert "| a whole block | 32 | **1.50** | 8.0 |" in more.compile_table().data


@pytest.mark.parametrize(("ratio", "answer"), [(2.5, 0), (1.2, 1), (1.0, 2), (0.9, 3)])
def test_the_second_guess_is_revealed_by_the_row_of_masking(store, ratio, answer):
    store(made("mask", {"tokens": 32}, latency_ratio=ratio), made("mask", {"tokens": 64}, latency_ratio=7.0))
    guess = Guess("sparsity.hiding", "?", choices=list(words.HIDING))
    assert words.reveal_hiding(guess).value == list(words.HIDING)[answer]


def test_the_first_guess_is_revealed_by_the_median_of_the_seeds(store):
    store(*(headline("dynamic", 95.5, ratio, seed=seed) for seed, ratio in enumerate((3.0, 4.26, 9.0))))
    assert words.reveal_faster(Guess("sparsity.faster", "?", low=0.5, high=16, step=0.5)).value == 4.3


def test_what_was_timed_just_now_is_said():
    found = {"all": 4.0, "hidden by a mask": 5.0, "packed": 1.0, "packed, with choosing": 4 / 3}
    said = words.now_sentence(found, 10.0).data
    assert (
        "**10 times** fewer, the packed clip is **4.0 times** as fast, and 3.0 times with the choosing"
        in said
    )
    assert "it is slower than with all tokens (0.80 times" in said
    curve = {"milliseconds": np.array([5.0]), "macs": np.array([0.5]), "packed": np.array([14.0])}
    assert "0.5 % of the multiply-adds are left, and **14 %** of the time" in words.floor_sentence(curve).data


def test_energy_of_experts_and_their_time_stand_side_by_side(store):
    setting = {"experts": 8, "m": 1, "seed": 0, "task": "hard digits"}
    store(made("moe", setting, "simulated", energy_ratio=2.0, latency_ratio=0.8, operations_ratio=3.0))
    said = words.experts_sentence().data
    assert "takes 2.00 times less energy" in said
    assert "and is 1.2 times **slower** for one picture. *(measured and simulated)*" in said
    assert "| 8 | 1 | 3.0 | 2.00 | **0.80** |" in more.experts_table().data
    for alpha, load in ((0.0, 3.5), (0.01, 1.2), (0.1, 1.1)):
        store(made("moe_balance", {"alpha": alpha, "seed": 0, "experts": 8}, busiest=load))
    assert "given 3.5 times its fair share, with it 1.1 times" in words.experts_sentence().data
    setting = {"seed": 0, "task": "digits", "frame": 64}
    store(made("separable", setting, macs_ratio=7.0, parameters_ratio=6.0, latency_ratio=1.2))
    assert "6.0 times fewer parameters and does 7.0 times fewer multiply-adds; by the clock it is 1.2" in (
        words.separable_sentence().data
    )
    assert "8 x 8" not in words.separable_sentence().data
    assert "| digits | 6.0 | 7.0 | **1.20** |" in more.separable_table().data
    setting["seed"] = 1
    figures = {"macs_ratio": 7.0, "parameters_ratio": 6.0, "latency_ratio": 1.2, "latency_ratio_8": 0.4}
    store(made("separable", setting, **figures))
    assert "64 pixels, and 2.5 times **slower** on the digits" in words.separable_sentence().data


def test_kernels_are_told_by_their_rows(store):
    def block(size, ratio, density=0.25, **more_):
        setting = {"size": size, "density": density, "columns": 256, "precision": "float32"}
        return made("block", setting, latency_ratio=ratio, **more_)

    store(block(512, 3.0), block(1024, 5.0), block(128, 99.0), block(512, 77.0, 0.5))
    assert "our kernel is **4.0 (3.0 to 5.0) times** as fast" in further.block_sentence().data
    assert "bf16" not in further.block_sentence().data
    store(block(512, 3.0, latency_ratio_bf16=0.5))
    assert (
        "precision. But it is 2.0 times **slower** than a dense product in bf16"
        in further.block_sentence().data
    )
    store(block(512, 3.0, latency_ratio_bf16=1.5))
    said = further.block_sentence().data
    assert (
        "Against a dense product in bf16, with every number in it and half the bits, 1.5 times are left"
        in said
    )
    assert "| float32 | 512 | 25 % | 256 | **3.00** | 1.50 |" in more.block_table().data
    store(made("fusion", {"size": 512, "density": 0.25}, latency_ratio=1.25))
    assert further.fusion_sentence().data == NOT_YET
    for kept, ratio in ((256, 1.0), (32, 2.0)):
        store(made("int8", {"kept": kept}, latency_ratio=ratio, relative_error=0.0125))
    said = further.fusion_sentence().data
    assert "1.25 times as fast as with three passes" in said
    assert (
        "with 32 packed tokens in numbers of 8 bits, a layer is **2.0 times** as fast as in float32, off "
        "by 1.2%" in said
    )
    store(made("kernels", {"format": "csr"}, unstructured_time_share=0.2))
    assert further.kernels_sentence().data == NOT_YET
    store(made("kernels", {"format": "block"}, structured_time_share=0.7))
    assert "**20%** become time; of those that blocks save, **70%**" in further.kernels_sentence().data
    assert "it depends" not in further.kernels_sentence().data
    for density, share in ((0.05, 0.9), (0.5, -0.3)):
        store(made("kernels", {"format": "csr", "density": density}, unstructured_time_share=share))
    found = [one for one in further.kernels_sentence().data.split(". ") if "depends" in one]
    assert found == [
        "For scattered zeros it depends on how many there are: with 50 % of the numbers there it is -30% "
        "(slower than dense), with 5 % 90%"
    ]
    store(made("dispatch", {"columns": 256}, worst_slowdown_percent=3.2))
    assert "at worst **3.2 %** slower" in further.dispatch_sentence().data


def test_other_work_is_told_by_its_rows(store):
    store(made("enhance", {"method": "dynamic", "seed": 0}, psnr_drop_db=0.11, latency_ratio=3.4))
    assert "loses **0.11 dB** and is **3.4 times** as fast" in further.enhance_sentence().data
    for seed, ratio in enumerate((0.5, 0.8, 1.2)):
        store(made("tracking", {"tokens": 32, "seed": seed}, lost_ratio=ratio, lost_dynamic=0.125))
    said = further.tracking_sentence().data
    assert "12.50 % of the frames, a crop in 0.00 %: **0.80 times** as often (median; half" in said
    assert "and mostly less often" in said
    assert "Where one digit moves" in said
    assert "too" not in said
    stress_ = {"variant": "jitter", "tokens": 32, "seed": 0}
    store(made("tracking_stress", stress_, lost_ratio=0.3, lost_dynamic=0.5))
    said = further.tracking_sentence().data
    assert "Where the camera shakes, what changes loses it less often than a crop, too. *(measured)*" in said
    stress_ = {"variant": "several", "tokens": 32, "seed": 0}
    store(made("tracking_stress", stress_, lost_ratio=3.3, lost_dynamic=0.5))
    assert "Where three things move, it is **more** often (up to 3.3" in further.tracking_sentence().data
    lines = more.tracking_table().data.splitlines()
    assert lines[2] == "| one digit moves | 32 | 12.5 | **0.83 (0.50 to 1.20)** |"
    assert lines[3] == "| the camera shakes | 32 | 50.0 | **0.30** |"


# ---- early exit -----------------------------------------------------------------------------------------


def test_a_piece_has_a_bar_as_high_as_its_layers():
    whole, early = (exits.walked(exits.QUESTIONS[0], sure) for sure in (exits.NEVER, 0.9))
    assert whole["layers"].tolist() == [4] * len(whole["pieces"])
    assert "100 % of all multiply-adds" in whole["words"]
    assert early["pieces"] == whole["pieces"]
    assert early["layers"].max() <= 4
    assert early["layers"].mean() < 3
    assert f"{early['layers'].mean():.1f} layers a piece" in early["words"]
    assert "the answer is as with all layers" in early["words"]
    assert "not as with all layers" in exits.walked(exits.QUESTIONS[0], 0.5)["words"]
    assert early["pieces"][-1].endswith(". end")


def swept(threshold, cost, p50, p95, lost, **setting):
    setting = {"threshold": threshold, **(setting or {"model": "assistant", "cache": "late"})}
    figures = {"mean_cost_ratio": cost, "p50_ratio": p50, "p95_ratio": p95, "accuracy_drop_points": lost}
    return made("exit_sweep", setting, **figures)


def test_the_sweep_of_thresholds_names_the_cheapest_within_a_point(store):
    video_net_ = {"model": "video", "network": "dynamic", "seed": 0}
    for setting in ({}, video_net_):
        store(swept("0.5", 0.4, 2.0, 1.25, 5.0, **setting), swept("0.9", 0.8, 1.25, 0.8, 0.5, **setting))
        store(swept("always after 2", 0.3, 3.0, 3.0, 40.0, **setting))
        assert exits.exit_explorer().data == NOT_YET if not setting else True
        store(swept("never", 1.0, 1.0, 1.0, 0.0, **setting))
    store(swept("chosen", 0.7, 1.1, 1.0, 0.4, model="video", network="dynamic", seed=1))
    explorer = exits.exit_explorer()
    found, said = explorer.result(model="the assistant")
    assert list(found["sure"]) == ["0.5", "0.9", "never"]
    assert found["cost"].tolist() == [40, 80, 100]
    assert found["p95"].tolist() == [80, 125, 100]
    assert (
        "within a point, 0.9 is cheapest: 80 % of the multiply-adds, 80 % of the median time, 125 %" in said
    )
    assert exercise_corners(explorer) >= 2


@pytest.mark.parametrize(
    ("p95", "said"),
    [(0.8, "**slower** than before"), (1.0, "the slowest gain nothing"), (1.2, "the slowest gain less"),
     (1.7, "the slowest gain as much")],
)  # fmt: skip
def test_what_early_exit_does_to_the_tail_is_said(store, p95, said):
    for seed in (0, 1, 2):
        setting = {"model": "assistant", "threshold": "chosen", "cache": "late", "seed": seed}
        figures = {"mean_cost_ratio": 0.6, "p50_ratio": 1.5, "p95_ratio": p95, "accuracy_drop_points": 0.3}
        store(made("early_exit", setting, p99_ratio=p95, layers_mean=2.0, **figures))
    text = words.exit_sentence().data
    assert text.startswith("On the assistant a request takes **60 %** of the multiply-adds on average")
    assert said in text
    assert exits.exit_table().data.splitlines()[2] == (
        f"| the assistant | 0.30 | 2.0 | 60 | **1.50** | {p95:.2f} | {p95:.2f} | 3 |"
    )


# ---- the map of kernels ---------------------------------------------------------------------------------


def field(kernel, size, density, ratio, pattern="blocks"):
    setting = {"size": size, "density": density, "kernel": kernel, "pattern": pattern}
    return made("map", setting, latency_ratio=ratio)


def test_a_field_of_the_map_goes_to_the_fastest_or_stays_dense(store):
    store(field("block", 512, 0.25, 3.0), field("torch_bsr", 512, 0.25, 1.5), field("block", 512, 1.0, 0.9))
    store(field("bf16", 512, 0.25, 9.0), field("csr", 512, 0.25, 8.0, "scattered"))
    found = kernels.fields(kernels.shipped(), "blocks", [256, 512], [0.25, 1.0])
    names = list(kernels.NAMES)
    assert found["best"].tolist() == [[-1, names.index("block")], [-1, 0]]  # bf16 is of another precision
    assert found["text"] == [["", "3.0x"], ["", "0.9x"]]


def test_the_map_is_still_in_the_book_and_has_a_button_in_a_notebook(store, monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    assert kernels.kernel_map().data == NOT_YET
    store(field("block", 512, 0.25, 3.0), field("csr", 512, 0.25, 2.0, "scattered"))
    still = kernels.kernel_map()
    assert exercise_corners(still) >= 2
    assert still.result(zeros="in blocks")[1].startswith("On the course's machine, zeros in blocks: a sparse")
    monkeypatch.delenv("NEUROLAB_STATIC")

    asked = {}

    def measured(sizes, densities, names, pattern, progress):
        asked.update(sizes=sizes, densities=densities, names=names, pattern=pattern)
        progress(1.0)
        yield crossover.Cell(512, 0.25, pattern, "block", "mkl", Ratio(2.0, 2.0, 2.0, 1.0, 2.0))

    monkeypatch.setattr(crossover, "crossover", measured)
    box = kernels.kernel_map()
    explorer, (button, bar, said) = box.children[0], box.children[1].children
    assert "Nothing measured here yet" in explorer.result(zeros="in blocks", machine=kernels.YOURS)[1]
    button.click()
    assert asked == {
        "sizes": [512],
        "densities": [0.25],
        "names": kernels.KERNELS["blocks"],
        "pattern": "blocks",
    }
    assert (bar.value, button.disabled) == (1.0, False)
    assert "done" in said.value
    assert explorer.controls_values["machine"] == kernels.YOURS
    result, words_ = explorer.result(zeros="in blocks", machine=kernels.YOURS)
    assert result["text"] == [["2.0x"]]
    assert words_.startswith("On your machine, zeros in blocks: a sparse kernel wins in 1 of 1 fields")


def test_a_kernel_that_is_missing_ends_the_measuring_and_not_the_lesson(store, monkeypatch):
    store(field("block", 512, 0.25, 3.0))

    def broken(*_):
        raise ValueError("kernel is 'csr'")
        yield

    monkeypatch.setattr(crossover, "crossover", broken)
    box = kernels.kernel_map()
    box.children[1].children[0].click()
    assert "stopped: kernel is 'csr'" in box.children[1].children[2].value
    assert box.children[1].children[0].disabled is False


# ---- charts ---------------------------------------------------------------------------------------------


def test_charts_draw_what_they_are_given():
    drawn = charts.bills({"way": ["a", "b"], "macs": np.array([100, 9.0]), "time": np.array([100, 26.0])})
    assert [list(trace.x) for trace in drawn.data] == [[100, 26], [100, 9]]
    assert list(drawn.data[1].text) == ["100%", "9%"]
    curve = {"n": np.array([1, 2]), **{k: np.array([1.0, 2.0]) for k in ("macs", "packed", "masked")}}
    assert [trace.name for trace in charts.costs(curve).data] == [
        "time, masked", "time, packed", "multiply-adds"
    ]  # fmt: skip
    lines = {"names": ["a"], "a x": np.array([1.0, 9.0]), "a y": np.array([2.0, 3.0]), "x name": "x",
             "y name": "y", "level": 2.5, "level name": "dense", "log": "x"}  # fmt: skip
    drawn = charts.curves(lines)
    assert list(drawn.data[1].x) == [1, 9]
    assert drawn.layout.xaxis.type == "log"


def test_the_parts_of_the_network_add_up():
    config = video_net.VideoConfig()
    lines = results.parts_table(config, (256, 32)).data.splitlines()
    ratio = sum(video_net.macs(config, 256).values()) / sum(video_net.macs(config, 32).values())
    assert lines[-3].endswith(f"| **{ratio:.1f}** |")
    found = results.kept_table({"a": {"x": 19.6, "y": 256.0}}).data.splitlines()
    assert found[2] == "| a | 20 | 256 |"
