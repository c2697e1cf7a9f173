"""What should I use: cells follow from rows, and say so where none decide."""

import re

import pytest

from neurolab import decisions
from neurolab.decisions import DEVICES, NEEDS, OPEN
from neurolab.decisions_cells import CELLS
from neurolab.left_out import ITEMS
from neurolab.measurements import Measurement

MADE = {"command": "x", "processor": "Abacus 3"}


def measured(name, figures, kind="measured", **setting):
    return Measurement(name, 8, kind, setting, figures, MADE)


def file(model, ratio, drop, seed=1, language="both"):
    figures = {"file_ratio_vs_int8": ratio, "exact_match_drop_points": drop, "bytes": int(1_400_000 / ratio)}
    return measured("headline.assistant", figures, model=model, language=language, against="int8", seed=seed)


def older_file(target, ratio, drop, seed=1):
    figures = {"size_ratio": ratio, "exact_match_drop_points": drop, "bytes": 400_000}
    return measured("compression.headline", figures, target=target, seed=seed)


def step(runtime, format, ratio, **figures):
    rival = "ratio_vs_fp32" if runtime == "onnx" else "ratio_vs_onnx"
    return measured("export.latency", {rival: ratio, **figures}, runtime=runtime, format=format, what="step")


def energy(model, ratio):
    return measured(
        "headline.energy", {"ratio_vs_int8": ratio, "ratio_vs_fp32": 6 * ratio}, "simulated", model=model
    )


def phone(model, p50, device="Pixel 8"):
    return measured(
        "phone.latency", {"p50_ms": p50}, model=model, browser="Chrome 131", device=device, form="phone"
    )


EIGHT = measured("export.quantized", {"energy_ratio": 6.0}, "simulated", runtime="onnx", energy="model")


def test_every_device_and_need_has_its_cell():
    assert set(CELLS) == {(device, need) for device in DEVICES for need in NEEDS}
    for rows in ([], None):
        for cell in decisions.show(rows).cells:
            assert CELLS[cell.device, cell.need]
            assert cell.why
            assert cell.choice or cell.needs


def test_without_rows_nothing_is_chosen_and_each_cell_says_what_it_takes():
    found = decisions.show([])
    assert all(cell.choice is None and cell.figure is None and cell.kind is None for cell in found.cells)
    assert repr(found).count(OPEN) == found._repr_markdown_().count(OPEN) == len(CELLS)
    assert found._repr_html_().count(OPEN) == len(CELLS)


def test_a_choice_always_has_its_figure_kind_and_rows():
    for cell in decisions.show().cells:
        if cell.choice:
            assert cell.figure is not None
            assert cell.kind in ("measured", "simulated")
            assert cell.rows
            assert all(row.kind != "cited" for row in cell.rows)


def test_the_smallest_file_within_a_point_is_chosen_by_the_median_of_its_seeds():
    rows = [file("ptq12", 3.1, 0.1), file("qat18", 4.8, 0.9), file("qat28", 7.5, 1.5), file("int8", 9.0, 0.0)]
    cell = decisions.decide("phone", "file", rows)
    assert (cell.choice, cell.figure, cell.kind, cell.rows) == ("qat18.nlab", 4.8, "measured", (rows[1],))
    rows += [file("qat28", 7.4, 0.8, seed=2), file("qat28", 7.6, 0.9, seed=3)]
    assert decisions.decide("laptop", "file", rows).choice == "qat28.nlab"
    rows += [file("qat18", 40.0, 0.0, language="th")]
    assert decisions.decide("laptop", "file", rows).choice == "qat28.nlab"


def test_files_against_eight_bits_count_before_those_against_floats():
    rows = [older_file("qat28", 29.0, 0.5), older_file("qat18", 18.0, 0.3)]
    assert decisions.decide("phone", "file", rows).choice == "qat28.nlab"
    assert "file of floats" in decisions.decide("phone", "file", rows).why
    rows.append(file("qat18", 4.8, 0.2))
    cell = decisions.decide("phone", "file", rows)
    assert (cell.choice, cell.figure) == ("qat18.nlab", 4.8)
    assert "the 8-bit file" in cell.why


def test_the_harder_rival_is_named_beside_the_usual_one():
    row = file("qat18", 4.8, 0.2)
    coded = measured(row.name, {**row.figures, "file_ratio_vs_int8_coded": 3.9}, **row.setting)
    assert "(3.9 if that is coded, too)" in decisions.decide("phone", "file", [coded]).why


def test_a_file_for_hardware_that_is_not_here_stays_open_beside_its_bytes():
    for device in ("microcontroller", "chip"):
        cell = decisions.decide(device, "file", [file("qat18", 5.0, 0.2)])
        assert (cell.choice, cell.figure) == (None, 5.0)
        assert "280,000 bytes" in cell.why


def test_a_time_is_that_of_the_machine_of_the_rows_and_changes_with_them():
    rows = [step("onnx", "int8", 8.0), step("ort", "int8", 6.0), step("openvino", "int8", 6.5)]
    cell = decisions.decide("laptop", "latency", rows)
    assert (cell.choice, cell.figure, len(cell.rows)) == ("8 bits in ONNX Runtime", 7.0, 2)
    assert "Abacus 3" in cell.why
    assert "hardly behind: 8 bits in OpenVINO, 6.50 times" in cell.why
    far = decisions.decide("laptop", "latency", [step("onnx", "int8", 8.0), step("openvino", "int8", 6.5)])
    assert "next: 8 bits in OpenVINO" in far.why
    rows.append(step("executorch", "int4", 9.0))
    assert decisions.decide("laptop", "latency", rows).choice == "4 bits in ExecuTorch"
    rows.append(step("onnx", "int4_unpacked", 99.0))
    assert decisions.decide("laptop", "latency", rows).figure == 9.0


def test_the_rival_of_a_time_is_onnx_runtime_s_floats_and_not_pytorch_s():
    rows = [
        step("onnx", "int8", 1.4, ratio_vs_torch=6.0),
        step("executorch", "int8", 1.0, ratio_vs_torch=9.0),
    ]
    cell = decisions.decide("laptop", "latency", rows)
    assert (cell.choice, cell.figure) == ("8 bits in ONNX Runtime", 1.4)
    assert cell.unit == "x as fast as floats in ONNX Runtime"


def test_whole_runs_choose_the_network_and_its_loss_counts():
    def runs(model, ratio, runtime="onnx"):
        return measured("headline.latency", {"ratio_vs_fp32": ratio}, model=model, runtime=runtime)

    rows = [step("onnx", "int8", 1.4), runs("qat28_int8", 2.6), runs("qat18_int8", 1.9), runs("int8", 1.4)]
    rows.append(runs("qat18_fp32", 9.0, "torch"))
    slow = decisions.decide("laptop", "latency", [rows[0], runs("qat28_int8", 0.9)])
    assert slow.choice == "8 bits in ONNX Runtime"
    cell = decisions.decide("laptop", "latency", rows)
    assert (cell.choice, cell.figure) == ("qat28.nlab run in 8 bits, ONNX Runtime", 2.6)
    rows += [file("qat28", 7.6, 1.04), file("qat18", 4.8, 0.26)]
    cell = decisions.decide("laptop", "latency", rows)
    assert (cell.choice, cell.figure) == ("qat18.nlab run in 8 bits, ONNX Runtime", 1.9)
    assert "1.90 times as fast per token as the assistant's floats in the same runtime" in cell.why
    assert "for 0.26 points of exact match (1 allowed)" in cell.why
    assert "The assistant as it is: 8 bits in ONNX Runtime: 1.40 times" in cell.why
    assert cell.rows == (rows[2], rows[0])


def test_only_a_phone_settles_what_is_fast_on_a_phone():
    browser = measured("export.browser", {"ratio_vs_fp32": 1.9}, format="int8", what="step")
    cell = decisions.decide("phone", "latency", [browser, step("onnx", "int8", 8.0)])
    assert (cell.choice, cell.figure, cell.rows) == (None, 1.9, (browser,))
    assert "neurolab phone --lan" in cell.needs
    slow = measured("export.browser", {"ratio_vs_fp32": 0.7}, format="int8", what="step")
    assert "floats are the fastest file" in decisions.decide("phone", "latency", [slow]).why
    rows = [phone("fp32", 9.0), phone("int8", 4.0), phone("int4", 30.0), browser]
    cell = decisions.decide("phone", "latency", rows)
    assert (cell.choice, cell.figure, cell.kind) == ("8 bits", 4.0, "measured")
    cell = decisions.decide(
        "phone", "latency", [*rows, phone("fp32", 3.0, "Fairphone 5"), phone("int8", 5.0, "Fairphone 5")]
    )
    assert cell.choice == "8 bits or floats"
    assert "Fairphone 5, Chrome 131: fp32, 3 ms a token" in cell.why


def test_energy_is_a_models_and_says_so():
    for device in ("phone", "laptop", "microcontroller"):
        cell = decisions.decide(device, "energy", [EIGHT])
        assert (cell.choice, cell.figure, cell.kind) == ("8 bits", 6.0, "simulated")
        assert "with no meter" in cell.why
        assert cell.needs
    assert decisions.decide("chip", "energy", [EIGHT]).figure is None
    assert "event-driven" not in decisions.decide("laptop", "energy", [EIGHT]).why
    better = decisions.decide("laptop", "energy", [EIGHT, energy("qat28", 1.4), energy("ptq12", 1.2)])
    assert (better.choice, better.figure) == ("qat28.nlab", 1.4)
    lossy = [EIGHT, energy("qat28", 1.4), energy("ptq12", 1.2), file("qat28", 7.6, 1.04)]
    assert decisions.decide("phone", "energy", lossy).choice == "ptq12.nlab"
    worse = decisions.decide("laptop", "energy", [EIGHT, energy("ptq12", 0.8)])
    assert (worse.choice, worse.figure) == ("8 bits", 6.0)


def test_a_laptop_with_counters_is_measured_and_nothing_else_is():
    def counter(model, ratio):
        return measured("headline.counter", {"joules_per_token": 0.002, "ratio_vs_fp32": ratio}, model=model)

    rows = [EIGHT, counter("int8", 1.8), counter("qat28", 1.2)]
    cell = decisions.decide("laptop", "energy", rows)
    assert (cell.choice, cell.figure, cell.kind) == ("8 bits", 1.8, "measured")
    assert "2 mJ a token" in cell.why
    assert decisions.decide("phone", "energy", rows).kind == "simulated"
    assert decisions.decide("laptop", "energy", [counter("int8", 0.9)]).choice == "floats"


def test_spiking_is_not_chosen_for_a_processor_nor_by_a_model_for_a_chip():
    rows = [EIGHT, energy("spiking", 3.0), energy("ptq12", 1.1)]
    assert decisions.decide("laptop", "energy", rows).choice == "ptq12.nlab"
    assert "event-driven chip" in decisions.decide("laptop", "energy", rows).why
    cell = decisions.decide("chip", "energy", rows)
    assert (cell.choice, cell.figure, cell.kind) == (None, 3.0, "simulated")
    assert "3.00 times less" in cell.why
    skipping = energy("skipping", 4.0)
    assert decisions.decide("laptop", "energy", [*rows, skipping]).choice == "ptq12.nlab"
    cell = decisions.decide("chip", "energy", [*rows, skipping])
    assert (cell.choice, cell.figure) == (None, 3.0)
    assert "without spikes and with its zeros skipped, takes 4.00 times less" in cell.why
    assert skipping in cell.rows
    assert "2.00 times more" in decisions.decide("chip", "energy", [energy("spiking", 0.5)]).why


def test_energy_says_what_the_model_takes_for_granted():
    def row(model, **figures):
        setting = {"model": model}
        return measured("headline.energy", {"ratio_vs_int8": 2.0, **figures}, "simulated", **setting)

    packed = decisions.decide("laptop", "energy", [row("qat18", ratio_vs_int8_bytes=1.25)])
    assert "if its codes stay packed until they are used (1.25 times less with a byte a weight)" in packed.why
    held = decisions.decide("chip", "energy", [row("spiking", ratio_vs_int8_not_held=0.5)])
    assert "fetched once and held (2.00 times more if fetched for every digit)" in held.why


def test_chapter_threes_energies_stand_in_where_the_answers_are_right():
    def old(schedule, ratio, exact_match, skipping):
        figures = {
            "ratio_vs_int8": ratio,
            "exact_match": exact_match,
            "ratio_vs_int8_zero_skipping": skipping,
        }
        return measured("spiking.energy", figures, "simulated", schedule=schedule)

    rows = [old("ramp", 9.0, 0.4, 8.0), old("radix", 1.6, 1.0, 0.5), old("unary", 0.2, 1.0, 0.1)]
    cell = decisions.decide("chip", "energy", rows)
    assert (cell.figure, cell.rows) == (1.6, (rows[1],))
    assert "2.00 times more than 8 bits that skip zeros" in cell.why


def test_cited_figures_choose_nothing():
    cited = [
        measured(row.name, row.figures, "cited", **row.setting) for row in (EIGHT, step("onnx", "int8", 8.0))
    ]
    assert all(cell.choice is None for cell in decisions.show(cited).cells)


@pytest.mark.parametrize(
    ("device", "need", "says"), [("toaster", "file", "device"), ("phone", "joy", "need")]
)
def test_an_unknown_device_or_need_is_refused_by_name(device, need, says):
    with pytest.raises(ValueError, match=f"{says} is .*allowed are"):
        decisions.decide(device, need)


def test_the_table_reads_everywhere_and_holds_no_html_of_a_row():
    bad = measured(
        "phone.latency", {"p50_ms": 4.0}, model="int8", browser="<b>x</b>", device="|", form="phone"
    )
    shown = decisions.show([bad])
    html = shown._repr_html_()
    assert "<b>" not in html
    assert html.count('scope="row"') == len(DEVICES)
    assert all(words in html for words in (*DEVICES.values(), *NEEDS.values()))
    lines = shown._repr_markdown_().splitlines()
    assert len(lines) == 2 + len(DEVICES)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(NEEDS) + 2}
    assert "`" not in html


def test_what_was_left_out_has_a_reason_each():
    shown = decisions.left_out()
    assert shown.items == ITEMS
    for what, why in ITEMS:
        assert len(why.split()) > 8, what
        assert what in shown._repr_markdown_()
        assert what in repr(shown)
    assert shown._repr_html_().count("<dt>") == len(ITEMS)
    for thing in ("TorchServe", "Work stealing", "Telepresence", "summariser", "Canary", "MLIR", "Carbon"):
        assert any(thing in what for what, _ in ITEMS), thing
