"""Spiking layers through runtimes, their operators, NIR, memory of a model, and the jobs of the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neurolab import assistant, compressed, export, facts, spiking, spiking_files, structure
from neurolab.export import nir, nir_block, peak, spiking_layer, spiking_runtimes
from neurolab.export.spiking_layer import Lif, LifLayer, Signed
from neurolab.neurons import RESETS, lif
from neurolab.paths import DATA
from neurolab.spiking_rules import IntegerSpikes
from neurolab.sweeps import export_sources

HERE = ("onnx", "ort")


def lif_layer(reset: str = "zero", seed: int = 0, inputs: int = 30) -> LifLayer:
    """Random weights that make about every third neuron spike."""
    made = torch.Generator().manual_seed(seed)
    W = torch.randn(50, inputs, generator=made) / 3
    return LifLayer(W, torch.randn(50, generator=made) / 5, 0.875, 1.0, reset)


@pytest.mark.parametrize("reset", RESETS)
def test_a_lif_layer_is_chapter_twos_neuron(reset: str) -> None:
    layer = lif_layer(reset)
    module = Lif(layer, 9)
    x = spiking_layer.example(module, 6)
    wanted = lif(x @ layer.W.T + layer.b, layer.beta, layer.theta, reset).s
    assert torch.equal(module(x), wanted)
    assert 0.02 < float(wanted.mean()) < 0.9


def test_a_signed_layer_is_chapter_threes_population() -> None:
    net = spiking_files.load("quantized")
    T = 6
    rule = IntegerSpikes(spiking.schedule(T, "halving"))
    for part, kind in (("up", spiking.UNSIGNED), ("query", spiking.SIGNED)):
        module = Signed(net.p, T, part, 2)
        x = spiking_layer.example(module, 5)
        z = x @ net.p[f"2.{part}.W"].T + net.p[f"2.{part}.b"]
        assert torch.equal(module(x), rule(f"2.{part}", z, net.p[f"2.{part}.theta"], kind))


@pytest.mark.parametrize("model", ["signed", "lif"])
def test_every_spike_is_torchs_in_onnx_runtime(model: str) -> None:
    module = export_sources.layer(model, 3)
    found = spiking_runtimes.through(module, spiking_layer.example(module, 4), HERE)
    assert (found["runtimes_exact"], found["exact"], found["inexact"]) == (2, list(HERE), [])
    assert found["differing"] == found["largest_difference"] == 0
    assert found["compared"] == 2 * 3 * 4 * 640


def test_a_runtime_that_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Lif(lif_layer(), 4)
    x = spiking_layer.example(module, 3)

    def wrong(layer: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
        found = layer(x).numpy().copy()
        found[1, 2, 7] = 1 - found[1, 2, 7]
        return found

    runs = {"onnx": ("onnxruntime", wrong), "absent": ("a_package_nobody_has", wrong)}
    monkeypatch.setattr(spiking_runtimes, "RUNS", runs)
    found = spiking_runtimes.through(module, x, runs)
    assert (found["inexact"], found["missing"], found["differing"]) == (["onnx"], ["absent"], 1)
    assert (found["runtimes_run"], found["runtimes_exact"], found["largest_difference"]) == (1, 0, 1)
    with pytest.raises(ValueError, match="'abacus'"):
        spiking_runtimes.through(module, x, ["abacus"])


def test_no_runtime_has_a_spike_operator_and_one_would_be_found() -> None:
    found = spiking_runtimes.spike_operators()
    assert {"onnx", "ort"} <= found.keys()
    assert all(some["spiking"] == [] and some["operators"] > 100 for some in found.values())
    for name in ("LIF", "SpikingNeuron", "ai.neuro.LeakyIntegrateAndFire", "integrate_and_fire", "lif_cell"):
        assert spiking_runtimes.SPIKE.search(name)
    for name in ("LeakyRelu", "Lifo", "aten::neg", "Clip", "leaky_relu"):
        assert not spiking_runtimes.SPIKE.search(name)


def test_from_nir_to_onnx_no_spike_changes(tmp_path: Path) -> None:
    first, second = lif_layer(), lif_layer(seed=1, inputs=50)
    graph = nir.to_nir([nir.Layer(*first), nir.Layer(*second)])
    import nir as format_nir

    format_nir.write(tmp_path / "net.nir", graph)
    module = spiking_layer.from_nir([LifLayer(*one) for one in nir.from_nir(tmp_path / "net.nir")], 5)
    x = spiking_layer.example(Lif(first, 5), 3)
    hidden = lif(x @ first.W.T + first.b, first.beta, first.theta, "zero").s
    wanted = lif(hidden @ second.W.T + second.b, second.beta, second.theta, "zero").s
    assert np.array_equal(spiking_runtimes.run_onnx(module, x), wanted.numpy())
    assert float(wanted.mean()) > 0.02


def test_a_block_of_the_assistant_goes_through_nir_to_onnx(tmp_path: Path) -> None:
    net = spiking_files.load("quantized")
    nir_block.write(tmp_path / "block.nir", nir_block.to_nir(net, 1))
    p = nir_block.from_nir(nir_block.read(tmp_path / "block.nir"))
    module, straight = Signed(p, 3, "value", 1), Signed(net.p, 3, "value", 1)
    x = spiking_layer.example(straight, 2)
    assert np.array_equal(spiking_runtimes.run_onnx(module, x), straight(x).numpy())


def test_bad_layers_are_named() -> None:
    for T in (0, True, 2.0):
        with pytest.raises(ValueError, match="T = "):
            Lif(lif_layer(), T)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'softly'"):
        Lif(lif_layer("softly"), 2)
    with pytest.raises(ValueError, match="'down' of block 0"):
        Signed(spiking_files.load("quantized").p, 2, "down")
    with pytest.raises(ValueError, match=r"layers \[\]"):
        spiking_layer.from_nir([], 2)


def test_peak_memory_sees_what_a_model_takes(tmp_path: Path) -> None:
    full = export.export("onnx", "fp32", tmp_path / "full")
    small = export.export("onnx", "int8", tmp_path / "small")
    found = [peak.measure(tmp_path / name / "model.onnx", 3) for name in ("full", "small")]
    assert [one["file_bytes"] for one in found] == [full.bytes, small.bytes]
    assert found[0]["model_bytes"] > full.bytes  # it holds its weights at least
    assert small.bytes < found[1]["model_bytes"] < found[0]["model_bytes"] < found[0]["process_bytes"]
    with pytest.raises(ValueError, match="no such file"):
        peak.measure(tmp_path / "absent.onnx")
    with pytest.raises(ValueError, match="repeats 0"):
        peak.measure(tmp_path / "full" / "model.onnx", 0)
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    with pytest.raises(RuntimeError, match=r"broken\.onnx: could not be measured"):
        peak.measure(tmp_path / "broken.onnx", 1)


@pytest.mark.parametrize("name", ["ptq12", "qat28"])
def test_a_compressed_file_gives_the_same_onnx_answers(name: str, tmp_path: Path) -> None:
    export.export("onnx", "fp32", tmp_path / "made", name=name)
    ours = replace(assistant.load(), model=compressed.load(DATA / "compressed" / f"{name}.nlab").model())
    found = export.compare(tmp_path / "made", ours, facts.split("held_out")[3::2000])
    assert found["equal_answers"] == 1
    assert 0 < found["largest_difference"] < 1e-3
    assert found["exact_match"] == found["exact_match_torch"] > 0.5


def test_a_pruned_assistant_is_exported_with_its_own_sizes(tmp_path: Path) -> None:
    ours = assistant.load()
    plan = structure.Plan((0, 2), ((0, 1, 2, 4), (1, 2, 3, 4)), (tuple(range(500)), tuple(range(100, 600))))
    small = replace(ours, model=structure.smaller(ours.model, plan).eval())
    exported = export.export("ort", "fp32", tmp_path / "made", assistant=small, name="pruned")
    sizes = (exported.config.layers, exported.config.heads, exported.config.head_size, exported.config.hidden)
    assert sizes == (2, 4, 32, 500)
    found = export.compare(tmp_path / "made", small, facts.split("held_out")[3::1200])
    assert found["equal_answers"] == 1
    assert found["largest_difference"] < 1e-3


def test_the_jobs_are_rows_of_chapter_seven_with_the_claims_figures() -> None:
    jobs = export_sources.jobs()
    assert {job.chapter for job in jobs} == {7}
    settings = [(job.name, sorted(job.setting.items())) for job in jobs]
    assert all(settings.count(one) == 1 for one in settings)
    assert {job.kind for job in jobs if "energy" in job.setting} == {"simulated"}
    spiking_rows = [job.setting["model"] for job in jobs if job.name == "export.spiking"]
    assert {"signed", "lif"} <= set(spiking_rows)


def test_figures_of_a_small_run_hold_what_the_claims_read() -> None:
    found = export_sources.compared("onnx", "fp32", "spiking2", every=2400)
    assert found["equal_answers_percent"] == 100
    assert found["largest_difference"] == 0
    assert found["file_ratio"] > 3
    assert export_sources.simulated(every=500)["energy_ratio"] > 1
