"""Chapter 7's pictures, explorers, tables and sentences: they draw what is computed and say what rows say."""

import gzip

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from neurolab import assistant, export
from neurolab import export_explorers as explorers
from neurolab import export_graph as graphs
from neurolab import export_live as live
from neurolab import export_pictures as pictures
from neurolab import export_rows as results
from neurolab import export_words as words
from neurolab.explore import Choice, Explorer, Steps, exercise_corners
from neurolab.export import onnx_file
from neurolab.export.decoder import Decoder
from neurolab.export_rows import NOT_YET
from neurolab.guess import Guess
from neurolab.measurements import append, row
from neurolab.sweeps import export_browser


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
    monkeypatch.setattr("neurolab.export_rows.shipped", lambda: tmp_path)
    monkeypatch.setattr("neurolab.export_rows.own", lambda: tmp_path / "own")
    return lambda *rows: append(rows, tmp_path)


def made(name, setting, kind="measured", **figures):
    return row(name, 7, setting, figures, kind=kind, command="x")


def latency(precision, ratio, what="step", runtime="onnx", **figures):
    return made(
        "export.latency",
        {"runtime": runtime, "format": precision, "what": what},
        ratio_vs_fp32=ratio,
        **figures,
    )


def browser(precision, ratio, what="step"):
    return made("export.browser", {"format": precision, "what": what}, ratio_vs_fp32=ratio)


def runtime(name, precision, model="assistant", **figures):
    return made("export.runtime", {"runtime": name, "precision": precision, "model": model}, **figures)


# ---- one step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", list(live.QUESTIONS))
def test_the_steps_are_those_of_the_assistant(question):
    loaded = assistant.load()
    said = loaded.ask(live.QUESTIONS[question])
    last = live.stepped(question, live.STEPS - 1)
    assert last["words"].endswith(f'The answer so far: "{said}", and there it ends')
    first = live.stepped(question, 0)
    assert first["old"][0] == 0
    assert first["new"][0] > 5
    for call in range(1, 3):
        now = live.stepped(question, call)
        assert now["new"].tolist() == [1]
        assert now["old"][0] == first["new"][0] + call - 1
    for shown in (first, last):
        assert shown["old"] + shown["new"] + shown["room"] == loaded.model.config.context
        assert (np.diff(shown["p"]) <= 0).all()
        assert 0 < shown["p"].sum() <= 100.001


def test_a_cache_is_four_bytes_a_number():
    shown = live.stepped("in English", 0)
    config = assistant.load().model.config
    numbers = config.layers * 2 * config.heads * config.head_size * int(shown["new"][0])
    assert f"{4 * numbers / 1024:.0f} KiB" in shown["words"]


def test_pieces_are_readable():
    tokenizer = assistant.load().tokenizer
    ids = tokenizer.encode("ญี่ปุ่น Thai", add_special_tokens=False).ids
    for text in live.pieces([*ids, 2, 240]):
        assert text.strip() == text
        assert "\ufffd" not in text
    assert live.pieces([2]) == ["<end>"]


@pytest.mark.parametrize(("question", "call"), [("in French", 0), ("in Thai", -1), ("in Thai", live.STEPS)])
def test_other_steps_are_refused(question, call):
    with pytest.raises(ValueError, match="question"):
        live.stepped(question, call)


def test_the_first_explorer_holds_at_its_corners():
    explorer = Explorer(
        live.stepped, pictures.step,
        controls={"question": Choice(*live.QUESTIONS), "call": Steps(0, live.STEPS - 1, value=0, play=1)},
        changes=pictures.STEP_CHANGES, describe=lambda r: r["words"], alt="a",
    )  # fmt: skip
    assert exercise_corners(explorer) >= 4


# ---- the graph --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models():
    decoder = Decoder(assistant.load().model)
    return {
        name: onnx_file.model(decoder, name)
        for name in ("fp32", "int8", "int8_static", "int4", "int4_unpacked")
    }


def test_the_part_between_the_norms_is_the_two_large_matrices(models):
    shown = graphs.drawn(models["fp32"])
    assert shown["name"] == ["MatMul", "Gelu", "MatMul", "Add"]
    assert shown["y"].tolist() == [-1, -2, -3, -4]
    assert graphs.drawn(models["int4"])["name"] == ["MatMulNBits", "Gelu", "MatMulNBits", "Add"]
    names = graphs.drawn(models["int8"])["name"]
    assert names.count("MatMulInteger") == names.count("DynamicQuantizeLinear") == 2


def test_what_unpacks_a_weight_stands_beside_its_product(models):
    shown = graphs.drawn(models["int4_unpacked"])
    at = list(zip(shown["name"], shown["x"], shown["y"], strict=True))
    products = [y for name, _, y in at if name == "MatMul"]
    beside = [(x, y) for name, x, y in at if name == "DequantizeLinear"]
    assert beside == [(graphs.BESIDE, y) for y in products]


@pytest.mark.parametrize("name", ["fp32", "int8", "int8_static", "int4", "int4_unpacked"])
def test_no_two_boxes_share_a_place_and_every_operator_is_counted(models, name):
    shown = graphs.drawn(models[name])
    places = list(zip(shown["x"], shown["y"], strict=True))
    assert len(set(places)) == len(places) == len(shown["name"])
    assert shown["count"].sum() == len(models[name].graph.node)
    ends = {(x, y) for x, y in zip(shown["line x"], shown["line y"], strict=True) if x == x}
    assert set(places) <= ends
    assert ends <= set(places) | {(0.0, 0.0)}


def test_a_graph_without_two_norms_is_refused():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    small = helper.make_model(helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y]))
    with pytest.raises(ValueError, match="0 layer norms"):
        graphs.feed_forward(small)
    with pytest.raises(ValueError, match="file 'b'"):
        graphs.pictured({"a": small}, "b")


def test_the_graph_s_explorer_holds(models):
    explorer = Explorer(
        lambda file: graphs.pictured(models, file), pictures.graph, controls={"file": Choice(*models)},
        changes=pictures.GRAPH_CHANGES, describe=lambda r: r["words"], alt="a", gaps=("line x", "line y"),
    )  # fmt: skip
    assert exercise_corners(explorer) >= 5
    result, said = explorer.result(file="int8")
    assert f"{len(models['int8'].graph.node)} operators, {models['int8'].ByteSize():,} bytes" in said
    assert len(result["x"]) == len(result["name"])


# ---- rows -------------------------------------------------------------------------------------------------


def test_before_anything_is_measured_every_table_and_sentence_says_so(store, monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    for show in (
        results.runtimes_table, results.sources_table, results.latency_table, results.arm64_table,
        results.spiking_table, results.download_table, results.page_table, explorers.places_explorer,
        explorers.width_explorer, explorers.runtimes_explorer, words.equal_sentence, words.fastest_sentence,
        words.places_sentence, words.download_sentence, words.arm64_sentence, words.spiking_sentence,
        words.quantized_sentence, words.page_sentence,
    ):  # fmt: skip
        assert show().data == NOT_YET, show.__name__
    assert words.lesson() is None
    assert words.verdict_of_places() is None
    assert "yours goes here" in results.phones_table().data
    assert words.reveal_faster(Guess("export.faster", "?", low=0.5, high=6, step=0.1)).data == NOT_YET
    slowest = Guess("export.slowest", "?", choices=list(words.SLOWEST.values()))
    assert words.reveal_slowest(slowest).data == NOT_YET


def test_the_surprise_is_said_where_rows_bear_it_out(store):
    store(
        latency("int8", 1.8),
        latency("int4", 2.5),
        latency("int4_unpacked", 0.5),
        latency("int4", 9, "prompt"),
    )
    assert words.places_sentence().data == NOT_YET
    store(
        browser("int8", 1.4),
        browser("int4", 0.1),
        browser("int4", 5.0, "prompt"),
        browser("int4_unpacked", 0.05),
    )
    assert words.verdict_of_places() == ("int4", "int4")
    said = words.places_sentence().data
    assert "fastest here, 4 bits, is the **slowest in a browser**: 2.5 times as fast as floats" in said
    assert "10.0 times **slower** than floats there" in said
    assert (
        "In the browser one would take **8 bits** (1.4 times as fast as floats). That is for a token" in said
    )
    assert "for a prompt, many pieces at once, **4 bits** win (5.0 times as fast). *(measured)*" in said
    assert "mattered more than its bits" in words.lesson().data
    explorer = explorers.places_explorer()
    assert "The same files, twice" in explorer._spec["title"]
    assert results.both() == ["int8", "int4", "int4_unpacked"]
    store(latency("int4", 4.0, "prompt", ratio_vs_torch=6.0), latency("fp32", 1.0, runtime="ort"))
    lines = results.latency_table().data.splitlines()
    assert "| ONNX Runtime | 4 bits | **2.50** |  |  | 4.00 | 6.0 |" in lines
    assert lines[-3] == "| ORT format | floats | **1.00** |  |  |  |  |"
    setting = {"runtime": "openvino", "format": "fp32", "what": "step"}
    store(made("export.latency", setting, ratio_vs_torch=2.7))
    assert "| OpenVINO | floats | 1 |  | 2.7 |  |  |" in results.latency_table().data.splitlines()


def test_files_that_are_equally_fast_here_share_the_first_place(store):
    store(latency("int8", 1.34), latency("int4", 1.33), browser("int8", 0.76), browser("int4", 0.12))
    assert words.verdict_of_places() == ("int4", "int4")
    said = words.places_sentence().data
    assert "The file that is fastest here, 4 bits (and **8 bits** is as fast), is the **slowest" in said
    assert (
        "plain **floats** are the fastest of all: the best file of fewer bits, 8 bits, is 1.3 times" in said
    )
    assert "prompt" not in said
    assert (
        "; **8 bits** and **4 bits** are the fastest files here, and equally" in words.fastest_sentence().data
    )
    store(browser("int8", 1.3, "prompt"), browser("int4", 0.5, "prompt"))
    assert "many pieces at once, **8 bits** win (1.3 times as fast)" in words.places_sentence().data
    store(browser("int8", 1.0, "prompt"))
    assert "prompt" not in words.places_sentence().data
    store(latency("int4", 1.2))
    assert words.verdict_of_places() == ("int8", "int4")


def test_the_surprise_is_dropped_where_they_do_not(store):
    store(latency("int8", 3.0), latency("int4", 2.0), browser("int8", 1.5), browser("int4", 0.5))
    assert words.verdict_of_places() == ("int8", "int4")
    said = words.places_sentence().data
    assert "slowest in a browser" not in said
    assert "Fastest here is 8 bits, 3.0 times as fast as floats" in said
    assert "Slowest there is **4 bits**, 2.0 times **slower** than floats" in said
    assert "more than its bits" not in words.lesson().data
    assert "Measure where it is going to run" in words.lesson().data


def test_floats_can_be_the_slowest_or_the_fastest(store):
    store(latency("int8", 0.9), browser("int8", 1.5))
    assert words.verdict_of_places() == ("fp32", "fp32")
    assert "fastest here, floats, is the **slowest in a browser**" in words.places_sentence().data


def test_only_the_first_runtime_with_rows_stands_for_here(store):
    store(latency("int8", 5.0, runtime="ort"))
    assert results.speeds("here") == {"fp32": 1.0, "int8": 5.0}
    store(latency("int8", 2.0))
    assert results.speeds("here") == {"fp32": 1.0, "int8": 2.0}
    with pytest.raises(ValueError, match="where is 'there'"):
        results.speeds("there")


@pytest.mark.parametrize(
    ("speeds", "worst"), [((1.4, 0.1), "int4"), ((0.5, 0.9), "int8"), ((1.5, 1.1), "fp32")]
)
def test_the_second_guess_is_revealed_by_the_browser(store, speeds, worst):
    store(browser("int8", speeds[0]), browser("int4", speeds[1]), browser("int4_unpacked", 0.001))
    guess = Guess("export.slowest", "?", choices=list(words.SLOWEST.values()))
    assert words.reveal_slowest(guess).value == words.SLOWEST[worst]


def test_the_first_guess_is_revealed_by_the_row_of_a_token(store):
    store(latency("int8", 1.84), latency("int8", 5.0, "prompt"))
    assert words.reveal_faster(Guess("export.faster", "?", low=0.5, high=6, step=0.1)).value == 1.8
    store(latency("int4", 2.5), latency("int4_unpacked", 0.25))
    said = words.fastest_sentence().data
    assert "**1.8 times as fast as floats** in ONNX Runtime, with 4 bits 2.5 times as fast; the fast" in said
    assert "are 4.0 times **slower** than floats" in said
    assert "the one of **4 bits**" in said


def test_equality_is_told_by_the_worst(store):
    f = {"exact_match_torch": 0.98, "largest_difference": 1e-5, "bytes": 5_651_159}
    store(runtime("onnx", "fp32", equal_answers_percent=100.0, exact_match=0.98, file_ratio=1.0, **f))
    store(runtime("openvino", "fp32", equal_answers_percent=99.98, exact_match=0.98, **f))
    assert "1 of 2 runtimes give exactly torch's answers (ONNX Runtime)." in words.equal_sentence().data
    store(runtime("onnx", "int8", equal_answers_percent=99.0, exact_match=0.979, **f))
    store(runtime("ort", "int8", equal_answers_percent=99.0, exact_match=0.976, **f))
    assert "In 8 bits the worst loses **0.40 points**" in words.equal_sentence().data
    lines = results.runtimes_table().data.splitlines()
    assert [line.split("|")[1:3] for line in lines[2:6]] == [
        [" ONNX Runtime ", " floats "], [" ONNX Runtime ", " 8 bits "], [" ORT format ", " 8 bits "],
        [" OpenVINO ", " floats "],
    ]  # fmt: skip
    assert "| 0.00001 | **100.00** | 98.00 | 98.00 | 5.65 | 1.00 |" in lines[2]
    assert "written and inspected" not in results.runtimes_table().data
    store(runtime("coreml", "fp16", bytes=2_883_297, file_ratio=1.96))
    assert "| Core ML | 16-bit floats |  |  |  |  | 2.88 | 1.96 |" in results.runtimes_table().data
    assert "a line without answers is a file that was written and inspected" in results.runtimes_table().data
    lines = results.runtimes_table().data.splitlines()
    assert results.sources_table().data == NOT_YET
    store(runtime("onnx", "fp32", "ptq12", equal_answers_percent=100.0, exact_match=0.97, **f))
    assert "| ptq12.nlab | ONNX Runtime | floats |" in results.sources_table().data
    assert len(results.runtimes_table().data.splitlines()) == len(lines)


def test_a_wrong_processor_is_named(store):
    def arm(core, precision, equal, **figures):
        setting = {"runtime": "ort", "precision": precision, "core": core}
        return made("export.arm64", setting, equal_answers_percent=equal, largest_difference=0.03, **figures)

    store(arm("cortex-a76", "fp32", 100.0), arm("cortex-a53", "int8", 100.0))
    assert "On 2 kinds of emulated core every file gives **the same answers**." in words.arm64_sentence().data
    store(arm("cortex-a76", "fp32", 100.0, questions=385), arm("cortex-a53", "int8", 100.0, questions=13))
    assert "**the same answers** as here (on 13 to 385 questions)." in words.arm64_sentence().data
    assert "| ORT format | 8 bits | cortex-a53 | 0.03000 | **100.00** | 13 |" in results.arm64_table().data
    store(arm("max", "int8", 12.0))
    said = words.arm64_sentence().data
    assert "; but on the core that the emulator calls `max` the file of 8 bits gives 12 %" in said
    assert "no timing" in results.arm64_table().data


def test_spikes_memory_downloads_and_pages_are_told_by_their_rows(store):
    store(made("export.spiking", {"model": "lif", "T": 4}, runtimes_exact=3, runtimes_with_spike_operator=0))
    assert "none has an operator for spikes, and **3** run the layer" in words.spiking_sentence().data
    assert "Unrolled" not in words.spiking_sentence().data
    setting = {"model": "spiking", "precision": "fp32", "what": "step"}
    store(made("export.source_latency", setting, ratio_vs_fp32=0.25))
    assert "a token of the spiking assistant is 4.0 times **slower** than one in floats. *(me" in (
        words.spiking_sentence().data
    )
    store(made("export.quantized", {"runtime": "onnx"}, peak_memory_saved_percent=61.0, latency_ratio=1.5))
    said = words.quantized_sentence().data
    assert "takes **61 %** less memory at its peak, and a token is 1.5 times as fast." in said
    assert "process" not in said
    energy = {"energy_ratio": 3.0, "energy_ratio_dram": 2.5}
    store(made("export.quantized", {"runtime": "onnx", "energy": "model"}, "simulated", **energy))
    figures = {"peak_memory_saved_percent": 71.0, "process_memory_saved_percent": 9.0, "latency_ratio": 1.5}
    store(made("export.quantized", {"runtime": "ort"}, **figures))
    said = words.quantized_sentence().data
    assert "the mean of its two file formats) the network takes **66 (61 to 71) %** less memory" in said
    assert "(the whole process, with the runtime: 9 %), and a token is 1.5 times as fast; by the" in said
    assert "(simulated) an answer takes 3.0 times less energy, 2.5 times if" in said
    assert said.endswith("*(measured and simulated)*")
    for name, size in (("ptq12", 470_000), ("qat18", 314_000)):
        store(made("export.download", {"file": name}, bytes=size, ratio_vs_fp32=5_651_000 / size))
    assert "qat18.nlab, has 314,000 bytes: **18.0 times** fewer" in words.download_sentence().data
    page = {"first_visit_bytes": 5_400_000, "second_visit_bytes": 0, "first_token_ms": 120.0}
    store(made("phone.page", {"model": "int8"}, **page))
    assert "transfers **5.4 MB**, the second 0 bytes; the first piece of an answer is there after 120 ms" in (
        words.page_sentence().data
    )
    assert "no phone" in results.page_table().data


def test_a_reader_s_phone_is_shown_to_the_reader_alone(store, monkeypatch, tmp_path):
    setting = {"model": "int8", "browser": "Chrome 131", "device": "my phone", "form": "phone"}
    append(made("phone.latency", setting, p50_ms=4.0, p95_ms=6.0), tmp_path / "own")
    monkeypatch.delenv("NEUROLAB_STATIC", raising=False)
    assert "| my phone | Chrome 131 | 8 bits | **4.00** | 6.00 |" in results.phones_table().data
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    assert "my phone" not in results.phones_table().data


def test_where_the_phone_page_is(monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    assert 'href="../phone/index.html"' in words.phone_card().data
    monkeypatch.delenv("NEUROLAB_STATIC")
    assert "neurolab phone --lan" in words.phone_card().data


# ---- runtime x precision, and the button ------------------------------------------------------------------


def test_bars_are_those_of_the_rows(store, monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    store(
        runtime("onnx", "fp32", bytes=5_600_000, exact_match=0.98),
        runtime("onnx", "int8", bytes=1_500_000, exact_match=0.97),
        runtime("coreml", "fp16", bytes=2_800_000),
        latency("fp32", 1.0, ratio_vs_torch=2.0), latency("int8", 1.5, ratio_vs_torch=3.0),
    )  # fmt: skip
    explorer = explorers.runtimes_explorer()
    result, said = explorer.result(runtime="ONNX Runtime")
    assert list(result["precision"]) == ["floats", "8 bits"]
    assert result["size"].tolist() == pytest.approx([5.6, 1.5])
    assert result["fast"].tolist() == [2.0, 3.0]
    assert list(result["right text"]) == ["98.0", "97.0"]
    assert (
        "the smallest file here has 8 bits, 1,500,000 bytes; a token is fastest with 8 bits, 3.0 times as "
        "fast as torch" in said
    )
    result, said = explorer.result(runtime="Core ML")
    assert (list(result["fast text"]), list(result["right text"])) == ([""], [""])
    assert "fastest" not in said
    assert "the only file here has 16-bit floats" in said
    store(latency("int8", 1.02, ratio_vs_torch=1.2))  # torch was quicker that time: the floats decide
    assert explorers.over_torch("onnx", "int8") == pytest.approx(2.04)
    assert explorers.over_torch("onnx", "fp32") == 2.0
    assert explorers.over_torch("onnx", "int4") is None
    assert "fastest with floats or 8 bits, 2.0 times" in explorers.runtimes_explorer().result()[1]
    assert exercise_corners(explorer) >= 2


def test_the_button_measures_what_it_is_told_to(store, monkeypatch):
    monkeypatch.delenv("NEUROLAB_STATIC", raising=False)
    monkeypatch.setattr(live, "here", lambda: [("onnx", "fp32"), ("onnx", "int8")])
    asked = {}

    def measure(progress):
        progress(0.5)
        asked["half"] = True
        found = {"bytes": 1_500_000, "right": 97.0, "equal": 99.0, "step": 3.0, "prompt": 2.0}
        return {("onnx", "int8"): found}

    monkeypatch.setattr(live, "measure", measure)
    box = explorers.runtimes_explorer()
    explorer, below = box.children
    assert explorer.controls_values == {"machine": "yours"}
    assert "press the button" in explorer._spec["describe"]
    button, bar, note = below.children
    button.click()
    assert asked["half"]
    assert bar.value == 0.5
    assert "done" in note.value
    assert not button.disabled
    result, said = explorer.result(machine="yours")
    assert list(result["right text"]) == ["", "97.0"]
    assert "your machine: the only file here has 8 bits" in said


def test_a_button_that_fails_says_so(store, monkeypatch):
    monkeypatch.delenv("NEUROLAB_STATIC", raising=False)
    monkeypatch.setattr(live, "here", lambda: [("onnx", "fp32")])

    def measure(progress):
        raise OSError("no space left")

    monkeypatch.setattr(live, "measure", measure)
    button, _, note = explorers.runtimes_explorer().children[1].children
    button.click()
    assert "stopped: no space left" in note.value
    assert not button.disabled


def test_measuring_here_exports_asks_and_times():
    shares = []
    found = live.measure([("onnx", "int8")], questions=40, progress=shares.append)
    (place,) = found
    assert place == ("onnx", "int8")
    assert shares == [1.0]
    assert 1e6 < found[place]["bytes"] < 2e6
    assert found[place]["right"] > 80
    assert found[place]["equal"] > 90
    assert found[place]["step"] > 0.2
    assert set(live.here()) >= {("onnx", "fp32"), ("onnx", "int8"), ("ort", "fp32")}


def test_the_width_s_picture_has_a_line_a_file(store):
    for width, ratio in ((160, 1.5), (96, 1.1), (512, 3.0)):
        setting = {"runtime": "onnx", "format": "int8", "what": "step", "width": width}
        store(made("export.width", setting, ratio_vs_fp32=ratio))
    lines = explorers.width_explorer()._spec["figure"]["data"]
    assert [one["name"] for one in lines] == ["8 bits", "as fast as floats"]
    result, _ = explorers.width_explorer().result()
    assert result["8 bits x"].tolist() == [96, 160, 512]
    assert result["8 bits y"].tolist() == [1.1, 1.5, 3.0]


# ---- the files in a browser -------------------------------------------------------------------------------


def test_the_browser_is_given_the_vendored_runtime_and_the_files_as_they_are(models):
    files = export_browser.served({"fp32": models["fp32"].SerializeToString()})
    assert set(files) == {"", "ort.mjs", "ort.wasm", "fp32.onnx"}
    assert files["ort.wasm"][1][:4] == b"\0asm"
    packed = (export_browser.VENDOR / "ort-wasm-simd-threaded.wasm.gz").read_bytes()
    assert gzip.decompress(packed) == files["ort.wasm"][1]
    assert onnx.load_from_string(files["fp32.onnx"][1]) == models["fp32"]
    with pytest.raises(ValueError, match="what is 'token'"):
        export_browser.in_browser({}, "token")


def test_every_file_has_its_row_here_and_there():
    made_rows = {(job.setting["format"], job.setting["what"]) for job in export_browser.jobs()}
    assert made_rows == {(name, what) for name in results.FILES[1:] for what in ("step", "prompt")}
    assert {job.name for job in export_browser.jobs()} == {"export.browser"}
    assert set(results.FILES) <= set(export.RUNTIMES["onnx"].precisions)
    assert set(export.RUNTIMES) == set(results.RUNTIMES)
    assert {p for r in export.RUNTIMES.values() for p in r.precisions} <= set(results.PRECISIONS)
