"""Chapter 4's pictures, explorers and sentences: they draw what is computed and say what the rows say."""

import numpy as np
import pytest
import torch

from neurolab import assistant, facts, gptq
from neurolab import ptq as rounding
from neurolab import quantization_charts as charts
from neurolab import quantization_knowledge as knowledge
from neurolab import quantization_layers as layers
from neurolab import quantization_live as live
from neurolab import quantization_pictures as pictures
from neurolab import quantization_rows as results
from neurolab import quantization_trained as trained
from neurolab import quantization_words as words
from neurolab.calibration import METHODS
from neurolab.explore import Choice, Explorer, Range, Steps, exercise_corners
from neurolab.guess import Guess
from neurolab.measurements import append, row
from neurolab.quantization import best_scales, dequantize, encode, quantize, round_clip
from neurolab.tokens import exact_match

DICE = torch.Generator().manual_seed(0)
W = torch.randn(48, 64, generator=DICE)  # a small matrix, as bell-shaped as the assistant's
X = torch.randn(90, 64, generator=DICE) @ torch.randn(64, 64, generator=DICE)


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second thread would only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- what explorers compute -----------------------------------------------------------------------------


@pytest.mark.parametrize("b", [2, 3, 8])
def test_the_bars_on_the_number_line_hold_every_weight_once(b):
    found = live.on_the_line(W, b)
    assert np.sum(found["y"] * found["width"]) == pytest.approx(1)
    assert len(found["x"]) <= 2**b
    s = best_scales(W.reshape(1, -1), b)
    off = dequantize(quantize(W.reshape(1, -1), s, b), s) - W.reshape(1, -1)
    assert found["error"] == pytest.approx(float(off.square().mean() / W.var(correction=0)), rel=1e-5)
    low, _, _, high = found["clip x"]
    beyond = ((W < low) | (W > high)).float().mean()
    assert found["cut"] == pytest.approx(float(beyond), abs=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.4, 1.0])
@pytest.mark.parametrize("b", [2, 3, 8])
def test_clipping_and_rounding_add_up_and_rounding_follows_its_theory(b, share):
    found = live.cut_or_round(W, b, share)
    assert found["rounding"] + found["clipping"] == pytest.approx(found["total"], rel=1e-5)
    top = max(2 ** (b - 1) - 1, 1)
    assert found["s"] == pytest.approx(share * float(W.abs().max()) / top)
    assert found["theory"] == pytest.approx(found["s"] ** 2 / 12 / float(W.var(correction=0)))
    if share == 1:
        assert found["clipping"] == 0 == found["beyond"]
    if b == 8 and share == 1:
        assert found["rounding"] == pytest.approx(found["theory"], rel=0.05)


def test_a_clip_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="share is 0"):
        live.cut_or_round(W, 4, 0)
    with pytest.raises(ValueError, match="kind is 'odd'"):
        live.one_sided(X, 4, "odd")
    with pytest.raises(ValueError, match="method is 'best'"):
        layers.clips(W, 4, "tensor", "best")


def test_an_affine_ruler_spends_its_codes_where_numbers_are():
    x = torch.relu(X)
    plain, shifted = (live.one_sided(x, 4, kind) for kind in ("symmetric", "affine"))
    assert plain["used"] <= 8
    assert shifted["used"] > 12
    assert shifted["error"] < plain["error"] / 3
    for found in (plain, shifted):
        assert np.abs(found["ruler"]).min() == 0  # zero has a code of its own
    coded = encode(x, 4, "tensor", affine=True)  # the package's quantizer finds the same
    off = float((coded.value() - x).square().mean() / x.var(correction=0))
    assert shifted["error"] == pytest.approx(off, rel=1e-4)


@pytest.mark.parametrize("b", [2, 4])
def test_slopes_are_those_that_training_uses(b):
    found = live.slopes(0.3, b)
    w = torch.tensor(found["w"], requires_grad=True)
    s = torch.full_like(w, 0.3, requires_grad=True)  # a step of its own for each, to see each slope
    used = s * round_clip(w / s, -(2 ** (b - 1)), 2 ** (b - 1) - 1)
    used.sum().backward()
    assert np.allclose(found["rounded"], used.detach())
    assert np.allclose(found["slope w"], w.grad)
    assert np.allclose(found["slope s"], s.grad)


def test_formats_show_the_numbers_that_there_are():
    found = live.existing("1 ± 0.05", 0.01)
    assert np.allclose(np.diff(found["INT8 x"]), 0.01)
    assert len(found["INT8 x"]) == 11
    assert list(found["ternary x"]) == [2 * 1.05 + 1]  # none in sight: its mark stands outside
    assert len(found["BF16 x"]) == 1 + 6 + 12  # 1, steps of 1/128 above it and of 1/256 below
    near = live.existing("0 ± 2", 1.0)
    assert list(near["binary x"]) == [-1, 1]
    assert "FP8 E4M3 129" in near["words"]
    assert len(near["FP16 x"]) <= live.DENSE + 1


def test_at_8_bits_whole_numbers_serve_a_bell_better_than_floats():
    error = {name: live.format_error(W, name) for name in ("INT8", "FP8 E4M3", "FP8 E5M2", "FP16")}
    assert error["FP16"] < error["INT8"] < error["FP8 E4M3"] < error["FP8 E5M2"]
    lines = live.format_rows(W)
    assert [line[0] for line in lines] == list(live.SHOWN)
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group32"])
@pytest.mark.parametrize("b", [2, 4, 8])
def test_the_explorers_quantizer_is_the_packages(b, granularity):
    q, _, steps = layers.rounded(W, b, granularity, "max")
    theirs = encode(W, b, granularity)
    assert steps == theirs.step.numel()
    assert torch.equal(q, theirs.q)
    _, value, _ = layers.rounded(W, b, granularity, "mse")
    wanted = rounding.round_one(W, rounding.steps(W, b, granularity), b).value()
    assert torch.allclose(value, wanted, atol=1e-6)


def test_gptq_moves_weights_away_and_outputs_near():
    H = gptq.square(X)
    for b in (2, 4):
        found = layers.repaired(W, H, b)
        assert found["weights"] > 1 > found["outputs"] > 0
    free = layers.repaired(W, torch.eye(64, dtype=torch.float64), 3)  # nothing goes together
    assert free["weights"] == pytest.approx(1)
    assert free["outputs"] == pytest.approx(1)


def test_right_is_what_the_assistant_would_say():
    helper = assistant.load()
    asked = facts.split("held_out")[::1200]
    said = helper.answers([q.text for q in asked])
    found = live.right(helper.model, helper.tokenizer, asked, batch=7)
    assert [bool(x) for x in found] == [exact_match(a, q.answer) for a, q in zip(said, asked, strict=True)]


def test_facts_fall_at_two_bits():
    helper = assistant.load()
    found = live.falling(helper, (32, 2), each=2)
    assert found[32]["th"].shape == (len(live.relations()), 2)
    share = {b: live.share_right(cells) for b, cells in found.items()}
    assert share[32]["th"] > 90 > 50 > share[2]["th"]
    given = live.heard(helper.model, helper.tokenizer, facts.split("dev")[:3])
    assert given["blocks.2.feed_forward.down.weight"].shape[1] == 640
    assert "embedding.weight" not in given


def test_names_are_those_a_reader_knows():
    assert live.said("blocks.0.attention.query.weight") == "layer 1 query"
    assert live.said("embedding.weight") == "embedding"
    assert live.said("position.weight") == "positions"


# ---- explorers at their ends, corners and choices ---------------------------------------------------------


def test_every_explorer_that_computes_holds_at_its_corners():
    room = layers.Layer("layer", W, X)
    hills = live.hill(torch.relu(X))
    shares = np.arange(0.05, 1.001, 0.05)
    curves = {b: live.clip_curves(W, b, shares) for b in (8, 2)}
    assert curves[8]["total"].shape == shares.shape

    def ended(clip, bits):
        found = curves[bits]
        at = round(clip / 5) - 1
        return {
            "float x": np.arange(3.0), "float y": np.ones(3), "c": found["c"], "range": np.array([0.0, 1.0]),
            "clip x": np.zeros(2), "clip y": np.zeros(2), "at x": found["c"][at : at + 1],
            "at y": found["total"][at : at + 1],
            **{key: found[key] for key in ("rounding", "clipping", "total", "theory")},
        }  # fmt: skip

    explorers = [
        Explorer(
            lambda bits: live.on_the_line(W, bits), pictures.number_line, {"bits": Choice(8, 4, 2)},
            pictures.NUMBER_LINE_CHANGES, alt="a",
        ),
        Explorer(
            live.existing, pictures.formats,
            {"window": Choice(*live.WINDOWS), "step": Choice(*live.UNITS)},
            pictures.formats_changes(live.SHOWN), alt="a",
        ),
        Explorer(
            lambda kind, bits: hills | live.one_sided(torch.relu(X), bits, kind), pictures.ruler,
            {"kind": Choice("symmetric", "affine"), "bits": Choice(6, 3)}, pictures.RULER_CHANGES, alt="a",
        ),
        Explorer(
            ended, pictures.clip, {"clip": Steps(5, 100, 5), "bits": Choice(8, 2)},
            pictures.CLIP_CHANGES, alt="a",
        ),
        Explorer(
            room.tried, pictures.quantizer,
            {"bits": Choice(8, 2), "shared_by": Choice(*layers.SHARED), "clip": Choice(*METHODS)},
            pictures.QUANTIZER_CHANGES, alt="a",
        ),
        Explorer(
            lambda step, bits: live.slopes(step, bits), pictures.slopes,
            {"step": Range(0.1, 1.0, 0.1), "bits": Choice(2, 4)}, pictures.SLOPES_CHANGES, alt="a",
        ),
    ]  # fmt: skip
    for explorer in explorers:
        assert exercise_corners(explorer) > 2


def test_the_quantizers_words_count_the_steps():
    room = layers.Layer("layer", W, X)
    found = room.tried(4, "32 weights", "mse")
    assert found["bits"] == 4 + 16 / 32
    assert found["counts"].sum() == pytest.approx(100)
    assert "4.50 bits a weight in all" in found["words"]
    assert len(found["y"]) == 240
    coarse = room.tried(2, "a tensor", "max")
    assert coarse["output error"] > found["output error"]


def test_pictures_of_facts_and_photographs_draw_what_they_are_given():
    cells = np.array([[1, 0], [1, 1]], dtype=np.uint8)
    names = np.array([["a", "b"], ["c", "d"]])
    drawn = pictures.falling(
        {"th": cells, "en": cells, "relations": ["r", "s"], "th facts": names, "en facts": names}
    )
    assert [trace.name for trace in drawn.data] == ["th", "en"]
    assert np.array_equal(drawn.data[0].z, cells)
    panels = list(pictures.PHOTOGRAPH_CHANGES)
    shades = {f"{panel} z": np.full((4, 4), 7, dtype=np.uint8) for panel in panels}
    photograph = pictures.photograph(shades | {"panels": panels})
    assert [trace.name for trace in photograph.data] == panels
    assert photograph.data[1].zmax == 255


# ---- rows -------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Shipped rows of our own: a function that writes some."""
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)
    return lambda *rows: append(rows, tmp_path)


def made(name, setting, **figures):
    return row(f"compression.{name}", 4, setting, figures, command="x")


def floats():
    return [
        row(
            "assistant.rounding", 0, {"bits": bits, "language": language},
            {"exact_match": match, "bits_per_answer_byte": 0.0006, "questions": 100}, command="x",
        )
        for bits, th, en in ((32, 1.0, 0.99), (8, 1.0, 0.99), (4, 0.995, 0.99), (3, 0.92, 0.85))
        for language, match in (("th", th), ("en", en))
    ]  # fmt: skip


def scored(match, size=8.0, **more):
    return {
        "exact_match": match, "exact_match_th": match, "exact_match_en": match, "size_ratio": size,
        "exact_match_drop_points": 100 * (0.995 - match), "bits_per_answer_byte": 0.01 * (1.2 - match),
        "bytes": round(5.6e6 / size), **more,
    }  # fmt: skip


def ptq(bits, method, match, granularity="channel", seed=0):
    setting = {"bits": bits, "method": method, "granularity": granularity, "scales": "mse", "seed": seed}
    return made("ptq", setting, **scored(match, 32 / bits))


def test_before_anything_is_measured_every_table_says_so(store):
    for show in (results.ptq, results.qat, results.headline, results.mixed, results.vision):
        assert show().data == results.NOT_YET
    assert results.calibration("weights").data == results.NOT_YET
    for show in (
        charts.ptq_explorer, charts.files_explorer, charts.sensitivity, charts.capacity, charts.margins
    ):  # fmt: skip
        assert show().data == results.NOT_YET
    for say in (
        words.ptq_sentence, words.gptq_sentence, words.sensitivity_sentence, words.mixed_sentence,
        knowledge.capacity_sentence, knowledge.margin_sentence, knowledge.resnet_sentence,
        knowledge.vision_sentence, knowledge.picture_or_fact, knowledge.file_sentence,
        trained.qat_sentence, trained.control_sentence, trained.headline_sentence, trained.teacher_sentence,
    ):  # fmt: skip
        assert say().data == results.NOT_YET
    assert words.calibration_sentence("weights").data == results.NOT_YET


def test_a_spread_is_shown_where_seeds_differ():
    assert results.spread([0.5], 1, 100) == "50.0"
    assert results.spread([0.5, 0.5], 1, 100) == "50.0"
    assert results.spread([0.49, 0.51], 1, 100) == "50.0 (49.0 to 51.0)"
    assert results.spread([]) == ""
    assert [results.name_of_bits(b) for b in (1, 1.58, 2, 4.0)] == ["binary", "ternary", "2", "4"]


def test_the_table_of_rounding_has_a_row_a_method_and_a_column_a_width(store):
    store(
        ptq(3, "gptq", 0.95), ptq(3, "gptq", 0.97, seed=1), ptq(3, "rtn", 0.9), ptq(8, "rtn", 0.99),
        ptq(1.58, "rtn", 0.0), ptq(8, "rtn", 0.98, "tensor"),
    )  # fmt: skip
    lines = results.ptq().data.splitlines()
    assert lines[0] == "| rounding | one step for | 8 | 3 | ternary |"
    assert lines[2] == "| to the nearest | a tensor | 98.0 |  |  |"
    assert lines[3] == "| to the nearest | a channel | 99.0 | 90.0 | 0.0 |"
    assert lines[4] == "| GPTQ | a channel |  | 96.0 (95.0 to 97.0) |  |"


def test_words_of_rounding_turn_with_the_rows(store):
    store(*floats(), ptq(4, "rtn", 0.99), ptq(4, "gptq", 0.991), ptq(3, "rtn", 0.9), ptq(3, "gptq", 0.97))
    assert words.fewest_bits() == "4 bits"
    assert words.fewest_bits(20) == "3 bits"
    said = words.falling_sentence().data
    assert "down to **4 bits**" in said
    assert "3 bits 92.0% in Thai, 85.0% in English. English falls first." in said
    said = words.ptq_sentence().data
    assert "3 bits: 90.0 to **97.0%** (best: GPTQ, a step for a channel)" in said
    assert "4 bits" not in said
    assert words.gptq_sentence().data.startswith(
        "Right answers, a step a channel, plain rounding and GPTQ: 3 bits from 90.0 to **97.0%**. That is"
    )
    store(ptq(2, "rtn", 0.1), ptq(2, "gptq", 0.5))
    assert words.gptq_sentence().data.endswith("2 bits from 10.0 to **50.0%**. *(measured)*")


@pytest.mark.parametrize(("at8", "verdict"), [(0.2, "it hardly matters"), (1.5, "matters at 8 bits already")])
def test_calibration_is_judged_at_8_bits(store, at8, verdict):
    def one(bits, apart, **setting):
        figures = {f"exact_match_{m}": 0.9 for m in METHODS} | {"exact_match_mse": 0.95}
        return made("calibration", {"bits": bits, **setting}, worst_over_best_drop_points=apart, **figures)

    store(
        one(8, at8, what="weights", granularity="tensor"), one(3, 44.0, what="weights", granularity="tensor"),
        one(4, 9.0, what="activations"),
    )  # fmt: skip
    said = words.calibration_sentence("weights").data
    assert verdict in said
    assert "At 3 bits (one clip for a tensor) they are **44.0 points** apart." in said
    assert "At 4 bits they are **9.0 points** apart" in words.calibration_sentence("activations").data
    assert "| 3 | 90.0 | 90.0 | 95.0 | 90.0 | **44.0** |" in results.calibration("weights").data


def qat(bits, match, seed=0, steps=500, activations=32, soft=0.5):
    setting = {"bits": bits, "activations": activations, "seed": seed, "steps": steps, "soft": soft}
    return made("qat", setting, **scored(match, 14.0))


def control(match, seed=0, steps=500):
    return made("control", {"steps": steps, "seed": seed}, **scored(match, 1.0))


def test_a_trained_network_stands_beside_the_control_of_its_steps_and_seed(store):
    store(
        *floats(), qat(2, 0.98), qat(2, 0.97, seed=1), qat(1.58, 0.996, steps=900), control(0.997),
        control(0.999, seed=1), control(0.9985, steps=900), ptq(2, "rtn", 0.2), ptq(2, "gptq", 0.5),
        qat(2, 0.91, soft=0.0), control(0.9, steps=7),
    )  # fmt: skip
    lines = results.qat().data.splitlines()
    assert "| 2 | float | yes | 500 | 2 | 14.0 | **97.5 (97.0 to 98.0)** |" in lines[2]
    assert "| 2.30 (1.70 to 2.90) |" in lines[2]  # 99.7 - 98 and 99.9 - 97
    assert "| ternary | float | yes | 900 | 1 |" in lines[3]
    assert lines[4].startswith("| 2 | float | no | 500 | 1 |")
    assert "| 0.25 |" in lines[3]
    assert sum("| the control |" in line for line in lines) == 2
    assert "2 bits **97.5%** (best without training 50.0)" in trained.qat_sentence().data
    said = trained.control_sentence().data
    assert "with 2 bits, right answers only: 91.0% instead of 98.0%." in trained.teacher_sentence().data
    assert "1 of 4 trained and quantized networks answer more than the shipped float assistant" in said
    assert "1 of these 1 are behind the control" in said


def test_without_a_better_network_the_control_sentence_does_not_claim_one(store):
    store(*floats(), qat(2, 0.98), control(0.999))
    assert "None of the trained and quantized networks is better" in trained.control_sentence().data


def headline(target, size, drop, from_control, seed):
    figures = scored(0.995 - drop / 100, size)
    return made(
        "headline",
        {"target": target, "seed": seed},
        **figures,
        exact_match_drop_from_control_points=from_control,
    )


def test_a_goal_is_met_only_if_every_seed_meets_it(store):
    store(
        headline("ptq12", 12.1, 0.9, 1.3, 0), headline("ptq12", 12.2, 0.8, 1.2, 1),
        headline("qat18", 18.1, 0.5, 0.9, 0), headline("qat18", 18.1, 0.5, 1.1, 1),
        headline("qat28", 28.3, 2.0, 2.5, 0), headline("ptq14", 13.9, 2.0, 2.4, 0),
    )  # fmt: skip
    said = trained.headline_sentence().data
    assert "All seeds reach 12 times within 1 point and 28 times within 3 points." in said
    assert "Not reached by all: 18 times within 1 point and 14 times within 3 points." in said
    assert trained.lost_at("qat28") == pytest.approx(2.5)
    assert trained.lost_at("ptq12") == pytest.approx(0.85)
    store(*floats(), ptq(4, "rtn", 0.98), qat(2, 0.97))
    assert exercise_corners(charts.files_explorer()) >= 6
    lines = results.headline().data.splitlines()
    assert lines[2].startswith("| 12 times, no training | 2 | **12.15 (12.10 to 12.20)** |")
    assert "| no training |" in lines[2]
    assert "**1.00 (0.90 to 1.10)**" in lines[4]
    guess = Guess("quantization.smallest", "?", low=0, high=100, step=0.5)
    assert "28.3 times smaller" in repr(trained.reveal_smallest(guess)) or not guess.done


def test_a_trained_file_waits_for_the_control_of_its_steps(store):
    store(made("headline", {"target": "qat28", "seed": 1}, **scored(0.98, 28.5), steps=900))
    said = trained.headline_sentence().data
    assert "Still without a control of equal steps: 28 times within 3 points." in said
    assert trained.lost_at("qat28") is None
    store(control(0.99, seed=1, steps=900), control(0.9, seed=2, steps=500))
    assert trained.lost_at("qat28") == pytest.approx(1.0)
    assert "All seeds reach 28 times within 3 points." in trained.headline_sentence().data


def test_the_smallest_file_says_what_it_keeps(store):
    for size in (900, 300):
        figures = {"bytes": size, "facts": 10, "possible_bits": 370.0, "share": size / 1000}
        setting = {"target": f"qat{size}", "language": "both"}
        store(made("capacity_file", setting, **figures, bits_per_stored_bit=0.077))
    said = knowledge.file_sentence().data
    assert "has 240 bits for each fact that weighs 37, keeps **30.0%**" in said


def test_mixed_bits_are_counted_where_they_win(store):
    def one(allocation, ratio, gain, **more):
        both = {"uniform_exact_match": 0.9, "exact_match": 0.95, "bytes": 5, "uniform_bytes": 5}
        both["exact_match_gain_points"] = ratio
        setting = {"allocation": allocation, "budget_ratio": ratio, **more}
        return made("mixed", setting, bits_per_answer_byte_gain=gain, **both)

    store(
        one("measured", 8, 0.01), one("measured", 12, -0.01), one("article", 5, -0.001, high=8, low=4),
        one("article's shape", 9, 0.002, high=4, low=2),
    )  # fmt: skip
    said = words.mixed_sentence().data
    assert "in that shape, they win at **1 of 2** sizes" in said
    assert "by measured losses, they win at **1 of 2** sizes" in said
    assert "Most of all 12 times smaller (by measured losses): **95.0%** right instead of 90.0%." in said
    lines = results.mixed().data.splitlines()
    assert lines[2].startswith("| as the article says (8 and 4) | 5 | 95.0 | 90.0 |")
    assert lines[3].startswith("| in its shape (4 and 2) | 9 |")
    assert lines[5].endswith("| **-0.0100** |")


def test_sensitivity_sorts_and_says_who_is_protected(store):
    names = ("embedding.weight", "blocks.1.feed_forward.up.weight", "blocks.0.feed_forward.up.weight")
    store(*(
        made("sensitivity", {"tensor": name, "bits": bits}, bits_per_answer_byte=0.01 * i / bits,
             bits_per_answer_byte_among_3_bits=0.01 * i * (3 - bits))
        for i, name in enumerate(names, start=1) for bits in (2, 3, 4)
    ))  # fmt: skip
    assert list(results.increases("bits_per_answer_byte", 2)) == list(reversed(names))
    said = words.sensitivity_sentence().data
    assert "layer 1 up, layer 2 up, embedding" in said
    assert "**2** are among those" in said
    explorer = charts.sensitivity()
    assert exercise_corners(explorer) > 3
    gained, _ = explorer.result(matrix="4 bits, others 3")
    assert (gained["values"] < 0).all()


def test_knowledge_and_margins(store):
    def one(bits, language, left):
        figures = {"stored_bits": 1000.0 * left, "bits_per_parameter": 0.2 * left, "facts": 20}
        figures |= {"bytes": 100 * bits, "exact_match": left}
        setting = {"bits": bits, "method": "float" if bits == 32 else "rtn", "language": language}
        return made("capacity", setting, **figures, bits_per_stored_bit=0.2 * left / min(bits, 32))

    quarters = [[1, 0.6, 0], [1, 0.8, 0], [1, 0.9, 0], [1, 0.99, 0.2]]
    left = {32: 1.0, 4: 1.0, 2: 0.1}
    store(
        *(one(bits, lang, left[bits]) for bits in left for lang in ("th", "en", "both")),
        made("falling", {"method": "rtn"}, bits=[32, 3, 2], by_margin=quarters),
        made("noise", {"bits": 3, "seed": 0}, exact_match_rounded=0.9, exact_match_noise=0.91),
    )  # fmt: skip
    said = knowledge.capacity_sentence().data
    assert "**A fact weighs 50 bits**" in said  # 1,000 bits for 20 facts
    assert "floats 1,280, 4 bits 160, 2 bits 80" in said
    assert (
        "0.200 bits of knowledge a weight, 10% of the published 2; one bit for each would be 5 times" in said
    )
    assert "Rounded to 2 bits, 10% of it is left; the fullest file is the one with 4 bits." in said
    assert exercise_corners(charts.capacity()) >= 2
    said = knowledge.margin_sentence().data
    assert (
        "**60%** of the facts with the narrowest margin are left, and 99% of those with the widest." in said
    )
    assert "it is mostly the *size* of the error" in said
    assert isinstance(charts.margins(), Explorer)
    store(made("noise", {"bits": 2, "seed": 0}, exact_match_rounded=0.1, exact_match_noise=0.4))
    assert "it is not the size of the error alone" in knowledge.margin_sentence().data


def test_pictures_and_other_peoples_networks(store):
    store(
        made("vision", {"bits": 8}, quality_drop_percent=0.2, psnr=29.1, ssim=0.8),
        made("vision_low", {"bits": 3}, quality_drop_percent=9.2, psnr=27.0, ssim=0.7),
        made("vision_low", {"bits": 2}, quality_drop_percent=40.0, psnr=20.0, ssim=0.4),
        made("resnet", {}, weights_millions=25.5, megabytes=166.0),
    )  # fmt: skip
    said = knowledge.vision_sentence().data
    assert "falls by **0.20%**. A loss of 8 to 10% is what **3 bits** do." in said
    assert "| 3 | 27.00 | 0.7000 | **9.20** |  |" in results.vision().data
    assert "25.5 million weights and 16.0 million activations, at 4 bytes each **166 MB**" in (
        knowledge.resnet_sentence().data
    )
    store(made("vision_low", {"bits": 3}, quality_drop_percent=5.0, psnr=27.0, ssim=0.7))
    assert "lies between **3 bits** (5.0%) and **2 bits** (40.0%)." in knowledge.vision_sentence().data


@pytest.mark.parametrize(("lost", "said"), [(30.0, "So pictures fall earlier"), (0.4, "With 4 bits for")])
def test_pictures_are_held_against_facts(store, lost, said):
    store(
        *floats(),
        made("vision_low", {"bits": 4}, quality_drop_percent=50.0, quality_drop_percent_weights=lost),
    )
    assert knowledge.picture_or_fact().data.startswith(said)
    assert "the assistant 0.25 points of its answers." in knowledge.picture_or_fact().data


def test_quality_over_size_draws_every_file_and_names_the_smallest_good_one(store):
    store(*floats(), ptq(8, "rtn", 0.99), ptq(4, "rtn", 0.985), ptq(2, "rtn", 0.2), ptq(3, "gptq", 0.97))
    explorer = charts.ptq_explorer()
    assert exercise_corners(explorer) >= 6
    found, said = explorer.result(shown="right answers", language="Thai")
    assert list(found["to the nearest, a channel x"]) == [4, 8, 16]
    assert "to the nearest, a channel: 8.0; GPTQ, a channel: none" in said
    assert found["= float y"][0] == pytest.approx(99.5)
