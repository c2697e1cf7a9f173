"""Chapter 5's pictures, explorers, tables and sentences: they draw what is computed and say what rows say."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from neurolab import assistant, coding, compressed, compressing, ledger, orders
from neurolab import pruning_live as live
from neurolab import pruning_pictures as pictures
from neurolab import pruning_rows as results
from neurolab import pruning_words as words
from neurolab.explore import Choice, Explorer, Range, Steps, exercise_corners
from neurolab.guess import Guess
from neurolab.measurements import append, row
from neurolab.quantization_rows import NOT_YET

FIRST = "first large matrix (block 2)"
SECOND = "second large matrix (block 4)"


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second thread would only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- what explorers compute -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["by size", "Wanda"])
@pytest.mark.parametrize("matrix", [FIRST, SECOND])
def test_the_hill_loses_as_many_weights_as_are_asked_for(method, matrix):
    n = live.weight(matrix).numel()
    for sparsity in (0.0, 0.5, 0.95):
        found = live.thinned(sparsity, method, matrix)
        assert found["goes"].sum() == pytest.approx(sparsity * n, abs=n / 1000)
        assert found["goes"].sum() + found["stays"].sum() == n
        assert found["heights"][1] > (found["goes"] + found["stays"]).max()
        assert found["window"][0] < found["centres"][0] < found["centres"][-1] < found["window"][1]
    assert "0 % zeros" in live.thinned(0.0, method, matrix)["words"]
    assert "off by 0.0 % of its power" in live.thinned(0.0, method, matrix)["words"]


def test_by_size_the_middle_goes_and_wanda_takes_some_from_the_flanks():
    size, wanda = (live.thinned(0.5, method, SECOND) for method in ("by size", "Wanda"))
    mixed = [((r["goes"] > 0) & (r["stays"] > 0)).sum() for r in (size, wanda)]
    assert mixed[0] <= 2 < mixed[1]  # bins in which some stay and some go


@pytest.mark.parametrize("bits", [2, 8])
def test_codes_have_the_zeros_that_were_asked_for(bits):
    none, many = (live.codes(FIRST, bits, s) for s in (0.0, 0.9))
    assert len(none) == live.weight(FIRST).numel()
    assert none.min() >= -(2 ** (bits - 1))
    assert none.max() < 2 ** (bits - 1)
    assert (many == 0).mean() >= 0.9 > (none == 0).mean() > 0


def test_the_tree_grows_by_one_node_a_join_until_every_code_has_its_word():
    for sparsity in (0.0, 0.3, 0.9):
        sizes = [np.isfinite(live.grown(sparsity, joins)["edge_x"]).sum() for joins in range(8)]
        assert sizes == [4 * joins for joins in range(8)]  # each step of the slider changes the picture
        assert [len(live.grown(sparsity, joins)["x"]) for joins in (0, 7)] == [8, 15]


def test_the_words_under_the_finished_tree_are_the_canonical_code():
    q = live.codes(FIRST, 3, 0.6)
    code = coding.Code.of(q)
    wanted = {f"<b>{s}</b><br>{word}" for s, word in zip(code.symbols.tolist(), code.text(), strict=True)}
    done = live.grown(0.6, 7)
    assert set(done["leaf"]) == wanted
    assert f"{coding.mean_length(np.unique(q, return_counts=True)[1]):.3f} bits on average" in done["words"]
    assert f"the entropy is {coding.entropy(q):.3f}" in done["words"]
    early = live.grown(0.6, 3)
    assert "bits so far" in early["words"]
    assert all(text.endswith("<br>") for text in early["leaf"])  # no word before the tree is whole
    assert live.grown(0.6, 99)["words"] == done["words"]


def test_the_tree_fits_into_its_picture():
    for sparsity in (0.0, 0.5, 0.9):
        for joins in (0, 7):
            found = live.grown(sparsity, joins)
            assert found["y"].max() < found["high"][1] - 0.5
            assert found["high"][0] < found["leaf y"].min() < found["y"].min() == 0
            assert found["wide"][0] < found["x"].min() <= found["x"].max() < found["wide"][1]


@pytest.mark.parametrize(("bits", "sparsity"), [(8, 0.0), (4, 0.6), (2, 0.9)])
def test_a_bill_is_entropy_tables_and_waste(bits, sparsity):
    found = live.billed(bits, sparsity)
    assert found["coders"] == ["fixed width", "Huffman", "zstd", "ANS"]
    total = found["entropy"] + found["tables"] + found["waste"]
    assert total[0] == pytest.approx(bits, rel=1e-3)
    assert total.argmin() == 3
    assert total.max() < found["heights"][1]
    assert found["entropy"] == pytest.approx(coding.entropy(live.codes(FIRST, bits, sparsity)), rel=1e-6)
    assert f"Huffman {total[1]:.2f}, ANS {total[3]:.2f}" in found["words"]


def test_one_ruler_is_better_than_a_mask_at_equal_bits():
    for matrix in (FIRST, SECOND):
        bits, ratio = live.against_mask(matrix)
        found = live.zero_bin(1.5, matrix)
        assert set(bits) <= set(found["ruler x"])
        assert bits.max() < found["mask, 4 bits x"].max()
        assert (ratio[bits > 1] > 1.1).all()
        order = np.argsort(found["mask, 4 bits x"])
        there = np.interp(bits, found["mask, 4 bits x"][order], np.log(found["mask, 4 bits y"][order]))
        ours = dict(zip(found["ruler x"].tolist(), found["ruler y"].tolist(), strict=True))
        assert np.exp(there) == pytest.approx(
            [r * ours[b] for b, r in zip(bits.tolist(), ratio, strict=True)]
        )


def test_the_ruler_of_the_zero_bin_is_measured_on_the_layers_own_inputs():
    w, step = live.weight(FIRST), 2.0
    s = step * float(w.std())
    q = torch.round(w / s)
    x = live.thinning.inputs(live.MATRICES[FIRST])
    off = 100 * float((x @ (q * s - w).T).square().sum() / (x @ w.T).square().sum())
    found = live.zero_bin(step, FIRST)
    assert found["y"][0] == pytest.approx(off, rel=1e-4)
    assert found["x"][0] == pytest.approx(coding.entropy(q.reshape(-1).long().numpy()))
    assert f"{100 * float((q == 0).float().mean()):.0f} % of the codes are zeros" in found["words"]
    assert "a mask on a 4-bit ruler" in found["words"]
    assert "a mask" not in live.zero_bin(0.25, FIRST)["words"]  # no 4-bit code has so many bits
    with pytest.raises(ValueError, match=r"step is 0\.3"):
        live.zero_bin(0.3, FIRST)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of the assistant: entropy-coded, and with fixed width."""
    model = assistant.load().model
    tensors = compressing.compress(dict(model.state_dict()), 3, 0.5)
    folder = tmp_path_factory.mktemp("files")
    made = {coder: folder / f"{coder}.nlab" for coder in ("ans", "packed")}
    for coder, path in made.items():
        compressed.save(path, tensors, config=asdict(model.config), coder=coder)
    return made, tensors


def test_the_parts_of_a_file_are_all_of_it(files):
    made, _ = files
    for path in made.values():
        found = live.parts(path)
        assert found["parts"] == list(live.PARTS.values())
        assert found["bytes"].sum() == path.stat().st_size
        assert f"{path.stat().st_size:,} bytes in all" in found["words"]
        assert found["text"] == [f"{int(n):,}" for n in found["bytes"]]
    coded, fixed = (dict(zip(f["parts"], f["bytes"], strict=True)) for f in map(live.parts, made.values()))
    assert coded["codes"] < fixed["codes"]
    assert fixed["norms"] >= coded["norms"] > coded["header, tables"] > coded["checksum"] == 8
    assert fixed["steps"] >= coded["steps"] > 0


def test_the_contents_of_a_file_are_counted(files):
    made, tensors = files
    found = live.contents(made["ans"])
    matrices = [q for q in ledger.codes_of(tensors) if len(q) > 160]
    n = sum(map(len, matrices))
    assert found["zeros"] == pytest.approx(sum((q == 0).sum() for q in matrices) / n)
    assert found["most"] == pytest.approx(100 * max((q == 0).mean() for q in matrices))
    assert found["bytes"] == made["ans"].stat().st_size
    assert found["bits"] == pytest.approx(8 * found["bytes"] / n)


# ---- explorers at their ends, corners and choices -------------------------------------------------------


def test_every_explorer_that_computes_holds_at_its_corners(files):
    parts = {name: live.parts(path) for name, path in files[0].items()}
    explorers = [
        Explorer(
            live.thinned, pictures.thinning,
            {"sparsity": Range(0.0, 0.95, 0.05), "method": Choice("by size", "Wanda"),
             "matrix": Choice(*live.MATRICES)}, pictures.THINNING_CHANGES, alt="a",
        ),
        Explorer(
            live.grown, pictures.tree, {"joins": Steps(0, 7), "sparsity": Range(0.0, 0.9, 0.1)},
            pictures.TREE_CHANGES, alt="a", gaps=("edge_x", "edge_y"),
        ),
        Explorer(
            live.billed, pictures.bills, {"sparsity": Range(0.0, 0.9, 0.1), "bits": Choice(8, 2)},
            pictures.BILLS_CHANGES, alt="a",
        ),
        Explorer(
            live.zero_bin, pictures.zero_bin,
            {"step": Range(0.25, 3.0, 0.25), "matrix": Choice(FIRST, SECOND)},
            pictures.ZERO_BIN_CHANGES, alt="a",
        ),
        Explorer(
            lambda which: parts[which], pictures.file, {"which": Choice(*parts)},
            pictures.FILE_CHANGES, alt="a",
        ),
    ]  # fmt: skip
    for explorer in explorers:
        assert exercise_corners(explorer) >= 2


def test_steps_of_the_slider_are_those_that_are_computed():
    assert tuple(Range(0.25, 3.0, 0.25).values()) == live.STEPS


def test_the_floor_is_drawn_from_its_three_lines():
    curve = ledger.sparsity_curve(live.weight(FIRST), 4, [0.0, 0.9])
    drawn = pictures.floor({key: np.array(value) for key, value in curve.items()})
    assert [trace.name for trace in drawn.data] == ["Huffman", "entropy", "one bit for each zero"]
    assert list(drawn.data[2].x) == pytest.approx([100 * z for z in curve["zeros"]])
    assert list(drawn.data[2].y) == pytest.approx(curve["zeros"])
    assert drawn.data[0].y[1] > 1.5 * drawn.data[1].y[1]


# ---- rows -----------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Shipped rows of our own: a function that writes some."""
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)
    return lambda *rows: append(rows, tmp_path)


def made(name, setting, **figures):
    return row(f"compression.{name}", 5, setting, figures, command="x")


def scored(match, **more):
    return {
        "exact_match": match, "exact_match_drop_points": 100 * (0.998 - match),
        "bits_per_answer_byte": 0.01 * (1.1 - match), **more,
    }  # fmt: skip


def zeros(sparsity, match, method="magnitude", steps=0, schedule=None, seed=0):
    how = schedule or ("one_shot" if steps else "none")
    setting = {"method": method, "schedule": how, "sparsity": sparsity}
    setting |= {"tuned": steps > 0, "steps": steps, "seed": seed}
    return made("prune", setting, **scored(match))


def parts(layers, heads, channels, match, steps=0, seed=0, chosen="measured"):
    setting = {"method": "structured", "schedule": "one_shot" if steps else "none", "tuned": steps > 0}
    setting |= {"steps": steps, "seed": seed, "layers": layers, "heads": heads, "channels": channels}
    more = {"mac_ratio": 4 / layers, "mac_ratio_token": 3 / layers, "mac_ratio_least": 3 / layers}
    return made("prune", setting | {"importance": chosen}, **scored(match, **more))


def control(match, steps=200, seed=0):
    return made("control", {"steps": steps, "seed": seed}, **scored(match))


def speed(runtime, dense=None, csr=None, cut=None, **setting):
    figures = {}
    for end, part in (("", 1.0), ("_token", 0.8)):
        for key, ratio in (
            ("dense_kernel_speedup", dense), ("csr_speedup", csr), ("structured_speedup", cut)
        ):  # fmt: skip
            if ratio is not None:
                whole = part * ratio
                figures |= {f"{key}{end}": whole, f"{key}{end}_low": 0.9 * whole}
                figures |= {f"{key}{end}_high": 1.2 * whole}
        if cut is not None:
            figures[f"mac_ratio{end}"] = 2.0
    return made("prune_speed", {"runtime": runtime, **setting}, **figures)


def packed(bits, sparsity, fixed, coded, best, steps=0):
    figures = {"packed_bytes": fixed, "bytes": coded, "ans_bytes": best, "exact_match": 0.9}
    figures |= {"ratio_gain_percent": 100 * (fixed / coded - 1), "size_ratio": 5000 / coded}
    setting = {"bits": bits, "sparsity": sparsity, "scope": "codes", "steps": steps, "seed": 0}
    return made("huffman", setting, **figures)


def pair(bits, sparsity, size, match):
    return made(
        "pareto", {"bits": bits, "sparsity": sparsity}, bytes=size, exact_match=match, size_ratio=5e6 / size
    )


def test_before_anything_is_measured_every_table_and_sentence_says_so(store):
    for show in (
        results.untuned, results.tuned, results.structured, results.speed_explorer, results.distilled,
        results.huffman, results.front_explorer, results.orders, results.chain_table,
        words.untuned_sentence, words.tuned_sentence, words.speed_sentence, words.structured_sentence,
        words.distil_sentence, words.huffman_sentence, words.front_sentence, words.order_sentence,
    ):  # fmt: skip
        assert show().data == NOT_YET, show.__name__
    assert results.files([]).data == NOT_YET
    guess = Guess("pruning.free", "?", low=0, high=95, step=5)
    assert words.reveal_zeros(guess).data == NOT_YET == words.reveal_speed(guess).data


def test_untrained_pruning_is_a_row_a_method_and_a_column_a_share(store):
    store(zeros(0.3, 0.99), zeros(0.1, 0.998), zeros(0.3, 0.97, "wanda"), zeros(0.3, 0.5, steps=200))
    lines = results.untuned().data.splitlines()
    assert lines[0] == "| right answers (%) at zeros of | 10 % | 30 % |"
    assert lines[2:4] == ["| by size | 99.8 | 99.0 |", "| by Wanda |  | 97.0 |"]


def test_words_of_untrained_pruning_turn_with_the_rows(store):
    store(zeros(0.1, 0.998), zeros(0.3, 0.989), zeros(0.5, 0.8), zeros(0.5, 0.9, "wanda"))
    assert words.most_zeros() == pytest.approx(30)
    assert words.most_zeros(0.5) == pytest.approx(10)
    said = words.untuned_sentence().data
    assert "Up to **30%** zeros cost at most a point" in said
    assert "50% zeros: 80.0% by size, 90.0% by Wanda. There Wanda chooses better." in said
    store(zeros(0.1, 0.9), zeros(0.3, 0.7), zeros(0.3, 0.5, "wanda"))
    said = words.untuned_sentence().data
    assert "Not even a tenth is free" in said
    assert "30% zeros: 70.0% by size, 50.0% by Wanda. There size alone chooses better." in said


def test_trained_pruning_stands_beside_the_control_of_equal_steps(store):
    store(
        zeros(0.7, 0.985, steps=200), zeros(0.7, 0.99, steps=200, schedule="gradual"),
        zeros(0.9, 0.9, steps=200), zeros(0.9, 0.89, steps=200, schedule="gradual"),
        zeros(0.7, 0.97, steps=600, schedule="gradual"), control(0.997), control(0.999, seed=1),
    )  # fmt: skip
    lines = results.tuned().data.splitlines()
    assert lines[2].startswith("| 70 % | gradually | size | 200 | **99.0** | 0.80 |")
    assert lines[3].startswith("| 70 % | gradually | size | 600 | **97.0** |  |")  # no control of 600 steps
    assert lines[4].startswith("| 70 % | at once | size | 200 | **98.5** | 1.30 |")
    said = words.tuned_sentence().data
    assert "**70%** zeros cost 1.30 points against a float control of as many steps" in said
    assert "Of 2 pairs of equal steps, pruning gradually was better in 1." in said


def test_words_of_training_do_not_praise_what_failed(store):
    store(zeros(0.7, 0.9, steps=200), zeros(0.7, 0.9, steps=200, schedule="gradual"), control(0.99))
    said = words.tuned_sentence().data
    assert "Even with training, 70% zeros or more cost over 2 points" in said
    assert "gradually was never better" in said


def test_whole_parts_are_sorted_by_what_is_left(store):
    store(
        parts(2, 4, 576, 0.4), parts(2, 4, 576, 0.98, steps=200), parts(2, 4, 576, 0.99, steps=600),
        parts(2, 4, 576, 0.97, steps=600, seed=1), parts(4, 3, 640, 0.9), control(0.998, steps=600),
    )  # fmt: skip
    lines = results.structured().data.splitlines()
    assert lines[2].startswith("| 4 | 3 | 640 | 1.00 / 0.75 | 90.0 |")
    assert lines[3] == (
        "| 2 | 4 | 576 | 2.00 / 1.50 | 40.0 | 600 | **98.0 (97.0 to 99.0)** | 1.80 (0.80 to 2.80) |"
    )
    said = words.structured_sentence().data
    assert "after 600 steps of training it answers 98.0 (97.0 to 99.0)% rightly" in said
    assert "and 1.80 (0.80 to 2.80) below the control of equal steps (seeds: 2)" in said
    store(parts(2, 4, 576, 0.1, steps=600, chosen="taylor"))
    assert results.structured().data.splitlines() == lines
    assert words.structured_sentence().data == said  # another way to choose is another row


def speeds():
    return [
        speed("torch", 1.01, 0.5, sparsity=0.5), speed("torch", 0.99, 1.3, sparsity=0.9),
        speed("torch", cut=1.9, layers=2, heads=4, channels=576),
        speed("onnxruntime", 1.0, sparsity=0.5), speed("onnxruntime", 1.0, sparsity=0.9),
        speed("onnxruntime", cut=1.8, layers=2, heads=4, channels=576),
        speed("onnxruntime", cut=3.0, layers=1, heads=4, channels=576),
    ]  # fmt: skip


def test_speed_is_drawn_with_what_was_promised(store):
    store(*speeds())
    explorer = results.speed_explorer()
    assert exercise_corners(explorer) >= 4
    found, said = explorer.result(runtime="PyTorch", call="a question of 18 pieces")
    assert found["label"][0] == "50 % zeros<br>dense kernel"
    assert list(found["ratio"]) == pytest.approx([1.01, 0.99, 0.5, 1.3, 1.9])
    assert list(found["multiply_adds"]) == pytest.approx([2, 10, 2, 10, 2])
    assert list(found["above"]) == pytest.approx(0.2 * found["ratio"])
    assert list(found["below"]) == pytest.approx(0.1 * found["ratio"])
    assert "2 layers, 4 heads, 576 channels 1.9 times as fast" in said
    assert "50 % zeros, sparse rows 0.50 times" in said
    other, _ = explorer.result(runtime="ONNX Runtime", call="one more piece")
    assert list(other["ratio"]) == pytest.approx([0.8, 0.8, 1.44, 2.4])
    drawn = pictures.speeds(found)
    assert all(found["multiply_adds"] < 10 ** drawn.layout.xaxis.range[1])


def test_words_of_speed_are_those_of_ninety_per_cent(store):
    store(*speeds())
    assert words.zeros_speedup() == pytest.approx(0.99)
    said = words.speed_sentence().data
    assert "90% zeros make a question 0.99 times as fast (interval 0.89 to 1.19)" in said
    assert "Kept as sparse rows it is 1.30 times as fast" in said
    assert "2.0 times fewer multiply-adds, is **1.9 times as fast** (1.7 to 2.3)" in said


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((1.0, 3.0), "for every seed"), ((-1.0, 0.0), "for no seed"), ((-1, 2), "for some")],
)
def test_soft_labels_help_or_do_not(store, gains, verdict):
    for seed, gain in enumerate(gains):
        figures = {"exact_match_hard": 0.7, "exact_match_soft": 0.7 + gain / 100, "parameters": 1234}
        setting = {"width": 96, "layers": 3, "steps": 9, "seed": seed}
        store(made("distill", setting, exact_match_gain_points=gain, **figures))
    assert verdict in words.distil_sentence().data
    lines = results.distilled().data.splitlines()
    assert lines[2] == f"| 0 | 1,234 | 9 | 70.0 | {70 + gains[0]:.1f} | **{gains[0]:+.1f}** |"


def test_huffmans_gain_and_what_it_leaves(store):
    store(
        packed(4, 0.0, 1000, 900, 890), packed(8, 0.0, 2000, 1900, 1890),
        packed(3, 0.8, 800, 440, 330, steps=300), packed(4, 0.8, 1000, 500, 450, steps=300),
    )  # fmt: skip
    lines = results.huffman().data.splitlines()
    assert lines[2].startswith("| 8 | 0 % | none | 2,000 | 1,900 | 1,890 | **+5 %** | 2.6 |")
    assert lines[5].startswith("| 3 | 80 % | 300 | 800 | 440 | 330 | **+82 %** |")
    said = words.huffman_sentence().data
    assert "With nothing pruned Huffman gains 5 to 11%" in said
    assert "At 3 bits and 80% zeros it gains 82%, and yet its file is **33% larger**" in said


def test_the_front_is_what_nothing_beats(store):
    store(
        pair(2, 0.0, 300_000, 0.1), pair(2, 0.3, 300_000, 0.1), pair(4, 0.0, 600_000, 0.99),
        pair(4, 0.3, 590_000, 0.985), pair(8, 0.0, 1_200_000, 0.99), pair(8, 0.3, 1_000_000, 0.98),
    )  # fmt: skip
    explorer = results.front_explorer()
    assert exercise_corners(explorer) >= 4
    best, said = explorer.result(bits=4, zeros="0 %")
    assert list(best["front x"]) == [300, 590, 600]
    assert list(best["front y"]) == pytest.approx([10, 98.5, 99])
    assert "nothing here is both smaller and better" in said
    _, said = explorer.result(bits=8, zeros="30 %")
    assert "smaller and as good: 2" in said
    said = words.front_sentence().data
    assert "has **4 bits and 30% zeros**" in said
    assert "with 2 bits it makes no difference at all whether 30%" in said
    store(pair(2, 0.3, 290_000, 0.1), pair(4, 0.3, 590_000, 0.9))
    said = words.front_sentence().data
    assert "has **4 bits and 0% zeros**" in said
    assert "no difference" not in said


def order_row(model, best):
    found = [0.9] * 8
    found[best] = 0.95
    figures = {"orders": list(orders.RUNS), "exact_match": found, "bytes": [1000.0] * 7, "seeds": 3}
    for key in (
        "exact_match_sd", "loss", "loss_sd", "exact_match_drop_points", "exact_match_drop_from_control_points"
    ):  # fmt: skip
        figures[key] = [0.01] * 8
    chance = {"range": 5.0, "range_over_seed_sd": 2.1, "chance_median": 2.5, "p_shuffled": 0.4}
    return made("order", {"model": model}, **figures, **chance)


def test_orders_are_held_against_chance(store):
    best = orders.RUNS.index("PDQ")
    store(order_row("assistant", best))
    lines = results.orders().data.splitlines()
    assert len(lines[2:10]) == 8
    assert "| assistant | prune, distil, quantize | 3 | 95.00 ± 1.00 | 1,000 |" in lines
    assert "| assistant | none (float, as many steps) | 3 | 90.00 ± 1.00 |  |" in lines
    said = words.order_sentence().data
    assert "On the assistant best and worst order are 5.00 points apart, **2.1 times**" in said
    assert "2.5 times apart in half of all experiments" in said
    assert "as far apart as these in 40 of 100. Best is to quantize last" in said


def test_the_chain_has_a_line_a_step_also_for_the_student(store):
    def link(model, step, seed, match):
        figures = {"exact_match": match, "control_exact_match": 0.99, "exact_match_drop_points": 1.0}
        figures |= {"exact_match_drop_from_control_points": 1.0, "bytes": 500, "size_ratio": 10.0}
        return made("chain", {"model": model, "step": step, "seed": seed}, **figures, packed_ratio=4.0)

    store(
        *(link("digits", step, seed, 0.9 + 0.02 * seed) for step in ("student", "pruned") for seed in (0, 1))
    )
    store(link("assistant", "float", 0, 0.98))
    lines = results.chain_table().data.splitlines()
    assert lines[2] == "| assistant | in floats | 1 | 500 | **10.0** | 4.0 | 98.00 | 99.00 |"
    assert lines[3].startswith("| digits | + pruned | 2 | 500 | **10.0** | 4.0 | 91.00 ± 1.41 |")
    assert lines[4].startswith("| digits | the same with a smaller student |")


def test_files_stand_beside_their_rows(store, files):
    for seed in (0, 1):
        store(made("headline", {"target": "ptq12", "seed": seed}, **scored(0.98 + 0.01 * seed)))
    held = live.contents(files[0]["ans"])
    lines = results.files([("ptq12", held), ("qat28", held)]).data.splitlines()
    start = f".nlab | {held['bytes']:,} | {held['bits']:.2f} | **{100 * held['zeros']:.0f}** | "
    assert lines[2] == f"| ptq12{start}{held['most']:.0f} | 98.5 (98.0 to 99.0) | 2 |"
    assert lines[3].endswith("|  |  |")  # no row, no claim


def test_guesses_are_held_against_rows(store):
    store(zeros(0.2, 0.995), zeros(0.3, 0.9), *speeds())
    guess = Guess("pruning.free", "?", low=0, high=95, step=5)
    assert words.reveal_zeros(guess).value == 20
    assert words.reveal_speed(guess).value == pytest.approx(0.99)
