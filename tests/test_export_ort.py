"""ONNX by the exporter and by hand, rounded to 8 and 4 bits, in ORT format; and how it is timed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from neurolab import assistant, export, facts
from neurolab.assistant import Assistant
from neurolab.export import onnx_calibration, onnx_file, onnx_graph, onnx_quantized, ort, speed
from neurolab.export.decoder import Decoder, Step, empty_cache, torch_step
from neurolab.export.folder import ExportError
from neurolab.export.onnx_file import model, session, step_of
from neurolab.sweeps import export_latency, export_runtimes
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=1024, context=40, width=32, layers=2, heads=2, hidden=64)
ROUNDED = ("int8", "int8_static", "int4", "int4_unpacked")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def whole() -> Assistant:
    return assistant.load()


@cache
def small() -> Decoder:
    torch.manual_seed(3)
    made = Transformer(SMALL).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(4.0 if weight.ndim == 2 else 1.0)
    return Decoder(made)


@cache
def of_whole(precision: str) -> onnx.ModelProto:
    return model(Decoder(whole().model), precision)


def opened(made: onnx.ModelProto, optimise: bool = True) -> Step:
    return step_of(session(made.SerializeToString(), optimise=optimise))


def spread(step: Step, other: Step, batch: int, parts: list[int], config: Config = SMALL) -> float:
    """The largest difference of logits and caches while a sequence is read in parts."""
    dice, most = np.random.default_rng(0), 0.0
    caches = [empty_cache(config, batch)] * 2
    for n in parts:
        ids = dice.integers(3, config.vocabulary, (batch, n))
        (a, caches[0]), (b, caches[1]) = step(ids, caches[0]), other(ids, caches[1])
        assert a.shape == b.shape
        assert caches[0].shape == caches[1].shape
        most = max(most, float(np.abs(a - b).max()), float(np.abs(caches[0] - caches[1]).max()))
    return most


# --- two graphs, one network ---


@pytest.mark.parametrize(("batch", "parts"), [(1, [5, 1, 1]), (3, [1, 4, 2]), (2, [40]), (1, [39, 1])])
def test_the_graph_by_hand_is_torchs(batch: int, parts: list[int]) -> None:
    assert spread(opened(model(small(), "fp32")), torch_step(small()), batch, parts) < 2e-5


def test_the_exporters_graph_is_the_same_network_in_more_nodes() -> None:
    torch.manual_seed(3)
    config = replace(SMALL, layers=1)
    network = Decoder(Transformer(config).eval())
    theirs, ours = onnx_file.graph(network), model(network, "fp32")
    for batch, parts in ((1, [5, 1, 1]), (3, [1, 4])):
        assert spread(opened(theirs), opened(ours), batch, parts, config) < 2e-5
    assert len(theirs.graph.node) > 1.5 * len(ours.graph.node)
    for both in (theirs, ours):
        shapes = [
            [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in both.graph.input
        ]
        assert shapes == [["batch", "n"], [1, 2, "batch", 2, "past", 16]]
    matrices = [{x.name for x in g.graph.initializer if len(x.dims) == 2} for g in (theirs, ours)]
    assert matrices[0] == matrices[1]
    wanted = network.layers[0].qkv.weight.detach().numpy().T
    for both in (theirs, ours):
        held = {x.name: numpy_helper.to_array(x) for x in both.graph.initializer}
        np.testing.assert_array_equal(held["layers.0.qkv.weight"], wanted)


def test_fp32_by_hand_has_standard_operators_only() -> None:
    for precision in ("fp32", "int8", "int8_static"):
        assert {o.domain for o in model(small(), precision).opset_import} == {""}
    counts = onnx_graph.operators(of_whole("fp32"))
    assert counts["Attention"] == 4
    assert counts["MatMul"] == 16


# --- rounding ---


def test_codes_of_8_bits_are_the_nearest() -> None:
    weight = np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32)
    codes, step = onnx_quantized.rounded(weight)
    assert np.abs(weight - codes * step).max() <= step / 2 * (1 + 1e-6)
    assert np.abs(codes).max() == 127
    codes, step = onnx_quantized.rounded(weight, onnx_quantized.REDUCED)
    assert np.abs(codes).max() == 63
    assert 2 * 255 * 63 < 2**15 < 2 * 255 * 127  # what 16 bits hold
    assert np.abs(weight - codes * step).max() <= step / 2 * (1 + 1e-6)
    codes, step = onnx_quantized.rounded(np.zeros((3, 2), np.float32))
    assert step == 1
    assert not codes.any()


def test_codes_of_4_bits_are_the_nearest_of_their_block() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 70)).astype(np.float32)
    weight[2, :32] = 0
    codes, step = onnx_quantized.blocks(weight)
    assert codes.shape == (6, 3, 32)
    assert codes.max() <= 15
    value = ((codes.astype(np.int64) - 8) * step[..., None]).reshape(6, -1)[:, :70]
    far = np.repeat(np.abs(step), 32, 1)[:, :70]
    assert (np.abs(value - weight) <= far * (1 + 1e-6)).all()  # one end is cut: at most a step off there
    inner = np.abs(weight) <= 7 * far
    assert (np.abs(value - weight)[inner] <= far[inner] / 2 * (1 + 1e-5)).all()
    assert not value[2, :32].any()


def product(matrices: onnx_graph.Matrices, weight: np.ndarray, x: np.ndarray, optimise: bool) -> np.ndarray:
    """x weight^T by a graph of that one product."""
    graph = onnx_graph.Graph()
    matrices.multiply(graph, "x", weight, "y")
    value = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    made = onnx.helper.make_graph(
        graph.nodes,
        "product",
        [value("x", kind, ["n", weight.shape[1]])],
        [value("y", kind, ["n", weight.shape[0]])],
        list(graph.weights.values()),
    )
    opsets = [onnx.helper.make_opsetid("", onnx_graph.OPSET), onnx.helper.make_opsetid("com.microsoft", 1)]
    file = onnx.helper.make_model(made, opset_imports=opsets, ir_version=11).SerializeToString()
    return session(file, optimise=optimise).run(None, {"x": x})[0]


@pytest.mark.parametrize("optimise", [True, False])
@pytest.mark.parametrize("static", [True, False])
def test_an_8_bit_product_is_that_of_whole_numbers(static: bool, optimise: bool) -> None:
    dice = np.random.default_rng(0)
    weight = dice.standard_normal((24, 64)).astype(np.float32)
    x = (dice.standard_normal((5, 64)) * 3 + 1).astype(np.float32)
    low, high = (-4.0, 5.0) if static else (float(x.min()), float(x.max()))
    step = np.float32((high - low) / 255)
    zero = np.rint(-low / step)
    q = np.clip(np.rint(x / step) + zero, 0, 255)
    codes, weight_step = onnx_quantized.rounded(weight)
    wanted = ((q - zero) @ codes.astype(np.float64).T) * step * weight_step
    matrices = onnx_quantized.Static({"y": (low, high)}) if static else onnx_quantized.Dynamic()
    np.testing.assert_allclose(product(matrices, weight, x, optimise), wanted, rtol=1e-5, atol=1e-4)


def test_unpacked_is_the_product_with_the_rounded_weight() -> None:
    weight = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    codes, step = onnx_quantized.blocks(weight)
    value = ((codes.astype(np.float32) - 8) * step[..., None]).reshape(24, 64)
    one = np.eye(64, dtype=np.float32)
    np.testing.assert_array_equal(product(onnx_quantized.Unpacked(), weight, one, False), value.T)
    # the kernel for 4 bits rounds its input as well, to 8 bits: a row of the identity hardly changes
    packed = product(onnx_quantized.Blocks(), weight, one, True)
    np.testing.assert_allclose(packed, value.T, rtol=1e-5, atol=1e-6)


def test_lookups_give_the_rounded_rows() -> None:
    weight = small().embedding.weight.detach().numpy()
    ids = np.array([[5, 1023, 5], [0, 3, 77]])
    codes, step = onnx_quantized.rounded(weight)
    fours, steps = onnx_quantized.blocks(weight)
    value = ((fours.astype(np.float32) - 8) * steps[..., None]).reshape(1024, 32)
    cases: list[tuple[onnx_graph.Matrices, np.ndarray]] = [
        (onnx_quantized.Dynamic(), codes * step),
        (onnx_quantized.Static({}), codes * step),
        (onnx_quantized.Blocks(), value),
        (onnx_quantized.Unpacked(), value),
        (onnx_graph.Floats(), weight),
    ]
    for matrices, wanted in cases:
        graph = onnx_graph.Graph()
        matrices.embed(graph, weight, "ids", "y")
        put = onnx.helper.make_tensor_value_info
        made = onnx.helper.make_graph(
            graph.nodes,
            "lookup",
            [put("ids", onnx.TensorProto.INT64, ["B", "n"])],
            [put("y", onnx.TensorProto.FLOAT, ["B", "n", 32])],
            list(graph.weights.values()),
        )
        sets = [onnx.helper.make_opsetid("", onnx_graph.OPSET), onnx.helper.make_opsetid("com.microsoft", 1)]
        file = onnx.helper.make_model(made, opset_imports=sets, ir_version=11).SerializeToString()
        found = session(file).run(None, {"ids": ids})[0]
        np.testing.assert_array_equal(found, wanted[ids].astype(np.float32))


@pytest.mark.parametrize("precision", ROUNDED)
def test_a_rounded_network_reads_in_parts_and_batches(precision: str) -> None:
    step = opened(model(small(), precision), precision != "int4_unpacked")
    assert spread(step, torch_step(small()), 2, [6, 1, 3]) < 3.0  # near, not equal
    ids = np.random.default_rng(5).integers(3, 1024, (1, 9))
    logits, cache = step(ids, empty_cache(SMALL))
    assert logits.shape == (1, 1024)
    assert cache.shape == (2, 2, 1, 2, 9, 16)


def test_ranges_hold_what_training_questions_show(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    split = facts.split

    def watched(name: str, language: str | None = None) -> list[facts.Question]:
        seen.append(name)
        return split(name, language)  # type: ignore[arg-type]

    monkeypatch.setattr(facts, "split", watched)
    decoder = Decoder(whole().model)
    texts = [q.text for q in split("train")[:20]]
    found = onnx_calibration.ranges(decoder, texts)
    assert set(found) == {f"layers.{i}.{p}" for i in range(4) for p in ("qkv", "out", "up", "down")} | {
        "logits"
    }
    assert seen == []
    assert all(low < 0 < high for low, high in found.values())
    # what goes into the first matrix, from torch
    most = -np.inf
    for text in texts:
        ids = torch.tensor([_prompt(text)])
        with torch.inference_mode():
            x = decoder.embedding(ids) + decoder.position(torch.arange(ids.shape[1]))
            most = max(most, float(decoder.layers[0].norm1(x).max()))
    assert found["layers.0.qkv"][1] >= most - 1e-4
    onnx_calibration.ranges(small())
    assert seen == ["train"]


def _prompt(text: str) -> list[int]:
    from neurolab.tokens import encode_question

    return encode_question(whole().tokenizer, text)


# --- files ---


def test_the_8_bit_file_is_3_7_times_smaller_and_holds_each_matrix_once() -> None:
    sizes = {p: len(of_whole(p).SerializeToString()) for p in ("fp32", "int8", "int8_static", "int4")}
    assert sizes["fp32"] / sizes["int8"] >= 3.7
    assert sizes["fp32"] / sizes["int8_static"] >= 3.7
    assert sizes["fp32"] / sizes["int4"] >= 5.5
    numbers = whole().model.parameters_count()
    for precision, width in (("fp32", 4), ("int8", 1)):
        held = sum(onnx_quantized.stored_bytes(of_whole(precision)).values())
        assert numbers * width <= held < numbers * width + 80_000  # positions and norms stay floats


def test_onnx_runtime_fuses_the_8_bit_products(tmp_path: Path) -> None:
    for precision, fused in (("int8", "DynamicQuantizeMatMul"), ("int8_static", "MatMulIntegerToFloat")):
        (tmp_path / "model.onnx").write_bytes(of_whole(precision).SerializeToString())
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "fused.onnx")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
        counts = onnx_graph.operators(onnx.load(tmp_path / "fused.onnx"))
        assert counts[fused] == 4 * 4 + 1
        assert "MatMul" not in counts
        assert "MatMulInteger" not in counts


@pytest.mark.parametrize("precision", ["fp32", "int8", "int8_static", "int4"])
def test_ort_format_is_the_same_model(tmp_path: Path, precision: str) -> None:
    notes = ort.export(small(), tmp_path, precision)
    theirs = step_of(session(str(tmp_path / ort.FILE)))
    assert spread(theirs, opened(model(small(), precision, reduced=True)), 2, [5, 1]) <= 1e-5
    assert (tmp_path / ort.FILE).read_bytes()[4:8] == b"ORTM"
    told = {
        name
        for line in (tmp_path / ort.OPERATORS).read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
        for name in line.split(";")[2].split(",")
    }
    assert told == {name for names in notes["operators"].values() for name in names}
    wanted = {
        "fp32": {"MatMul", "Attention", "Gemm"},
        "int8": {"DynamicQuantizeMatMul"},
        "int8_static": {"MatMulIntegerToFloat", "QuantizeLinear"},
        "int4": {"MatMulNBits", "GatherBlockQuantized"},
    }[precision]
    assert told >= wanted
    json.dumps(notes)


def test_int4_unpacked_is_unpacked_at_each_call(tmp_path: Path) -> None:
    file = model(small(), "int4_unpacked").SerializeToString()
    (tmp_path / "model.onnx").write_bytes(file)
    counts = {}
    for optimise in (True, False):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
        if not optimise:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
        counts[optimise] = onnx_graph.operators(onnx.load(tmp_path / "loaded.onnx"))
    assert counts[False]["DequantizeLinear"] >= 4 * 2 + 1  # one a matrix
    assert counts[False]["MatMul"] == 4 * 2 + 1
    assert counts[True].get("DequantizeLinear", 0) <= 2  # so the session must be told
    with pytest.raises(ValueError, match="no tensors of 4-bit numbers"):
        ort.export(small(), tmp_path, "int4_unpacked")


def test_other_precisions_and_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="precision 'int3': must be one of fp32"):
        model(small(), "int3")
    with pytest.raises(ValueError, match="exported as fp32 only"):
        model(torch.nn.Linear(2, 2), "int8")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    ours = Assistant(Transformer(SMALL).eval(), whole().tokenizer, {})
    for runtime, name in (("onnx", "model.onnx"), ("ort", "model.ort")):
        place = tmp_path / runtime
        export.export(runtime, "int8", place, assistant=ours)
        (place / name).write_bytes(b"not a model at all")
        told = json.loads((place / "config.json").read_text(encoding="utf-8"))
        import hashlib

        told["files"][name] = {"bytes": 18, "sha256": hashlib.sha256(b"not a model at all").hexdigest()}
        (place / "config.json").write_text(json.dumps(told))
        with pytest.raises(ExportError, match=f"{name}: ONNX Runtime can't read it"):
            export.open_session(place)


def test_the_rounded_assistant_still_answers(tmp_path: Path) -> None:
    asked = facts.split("held_out")[::190]
    ours = torch_step(Decoder(whole().model))
    from neurolab.export.decoder import answers

    config, words = whole().model.config, whole().tokenizer
    texts = [q.text for q in asked]
    wanted = answers(ours, config, words, texts)
    for precision in ("int8", "int8_static"):
        found = answers(opened(of_whole(precision)), config, words, texts)
        assert sum(a != b for a, b in zip(found, wanted, strict=True)) <= 1


# --- time ---


def test_a_call_is_the_same_each_time_and_what_it_says() -> None:
    seen: list[tuple[int, int]] = []
    step = torch_step(small())

    def watched(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append((ids.shape[1], cache.shape[4]))
        return step(ids, cache)

    for what in speed.CALLS:
        run = speed.call(watched, SMALL, what)
        np.testing.assert_array_equal(run()[0], run()[0])
    assert seen == [(20, 0), (1, 20), (1, 20), (18, 0), (18, 0)]
    with pytest.raises(ValueError, match="what 'day': must be one of step, prompt"):
        speed.call(step, SMALL, "day")


def test_a_ratio_is_the_others_time_over_this_ones() -> None:
    step = torch_step(small())

    def thrice(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step(ids, cache)
        step(ids, cache)
        return step(ids, cache)

    assert 1.5 < speed.ratio(step, thrice, SMALL, "step", pairs=5, calls=8) < 6
    assert 1 / 6 < speed.ratio(thrice, step, SMALL, "step", pairs=5, calls=8) < 1 / 1.5
    found = speed.figures(step, SMALL, "prompt", {"fp32": thrice, "torch": step}, pairs=1, rounds=10)
    assert set(found) == {
        "ratio_vs_fp32",
        "ratio_vs_torch",
        "p95_ratio",
        "ratio_vs_fp32_cold",
        "milliseconds",
    }


def test_the_sweeps_rows_are_all_different_and_can_be_sent_to_another_process() -> None:
    made = export_runtimes.jobs() + export_latency.jobs()
    assert len({(job.name, json.dumps(job.setting, sort_keys=True)) for job in made}) == len(made)
    for job in made:
        assert job.chapter == 7
        made_by = job.make.func  # type: ignore[attr-defined]
        assert getattr(sys.modules[made_by.__module__], made_by.__name__) is made_by
    found = export_runtimes.compared("onnx", "int8", "assistant", every=900)
    assert found["file_ratio"] >= 3.7
    assert found["exact_match_drop_points"] <= 10  # at most one of 11 questions
    assert found["equal_answers_percent"] >= 90
    assert found["questions"] == 11
    quick = export_latency.timed("onnx", "int8", "step", pairs=1, rounds=10)
    assert {"ratio_vs_fp32", "ratio_vs_torch", "p95_ratio"} <= set(quick)
    wide = export_latency.sized(96, "int4", "step", pairs=1, rounds=10)
    assert wide["parameters"] == export_latency.stranger(96).embedding.weight.numel() + sum(
        p.numel() for n, p in export_latency.stranger(96).named_parameters() if n != "embedding.weight"
    )
