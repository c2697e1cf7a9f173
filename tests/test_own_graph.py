"""A model of the reader's own as an int8 graph, by the command, and in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from neurolab import cli, own_folder, own_model, own_random
from neurolab.own_file import Reader
from tests.test_own_transformers import TINY, outputs


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    own_random.SIZES["tiny"] = TINY
    yield
    own_random.SIZES.pop("tiny", None)
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT-like model."""
    return own_random.make("bert", tmp_path_factory.mktemp("own") / "bert", size="tiny")


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_the_int8_graph_computes_what_the_file_says(family: str, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    from neurolab.own_graph import write

    folder = own_random.make(family, tmp_path / family, size="tiny")
    own_model.compress(folder, tmp_path / "m.nlab", run=False)
    read, reader = own_folder.read(folder), Reader(tmp_path / "m.nlab")
    made = write(read, tmp_path / "m.onnx", reader)
    assert made["floating"] == []
    assert made["bytes"] == sum((tmp_path / name).stat().st_size for name in ("m.onnx", "m.onnx.data"))
    own_model.decompress(tmp_path / "m.nlab", tmp_path / "out")
    graph = onnx.load(tmp_path / "m.onnx")
    kinds = [node.op_type for node in graph.graph.node]
    matrices = sum(entry.kind == "linear" for entry in read.entries.values())
    assert kinds.count("MatMulInteger") >= matrices
    assert [put.name for put in graph.graph.input] == ["input_ids"]
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    assert not any(x.dtype == "float32" and x.ndim == 2 and min(x.shape) > 1 for x in held.values())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
    for shape in ((2, 16), (3, 7), (1, 1)):  # any number of sequences, of any length
        ids = torch.randint(8, 120, shape, generator=torch.Generator().manual_seed(2))
        got = torch.from_numpy(session.run(["hidden"], {"input_ids": ids.numpy()})[0])
        wanted = outputs(tmp_path / "out", ids)
        assert got.shape == wanted.shape
        assert torch.nn.functional.cosine_similarity(got, wanted, -1).min() > 0.999  # activations are rounded


def test_the_command_writes_file_and_graph_and_times_them(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neurolab", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capfd.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    monkeypatch.chdir(tmp_path)
    status, out, said = call("compress", str(bert), "--bits", "8", "--out", "m.nlab", "--json")
    assert status == 0, said
    found = json.loads(out)
    assert found["bytes"] == (tmp_path / "m.nlab").stat().st_size
    assert found["onnx_cosine"] > 0.999
    assert found["latency_ratio_low"] <= found["latency_ratio"] <= found["latency_ratio_high"]
    assert "weights" in said  # the bar
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.nlab", "m.onnx", "m.onnx.data"]
    status, _, said = call("compress", str(bert), "--bits", "8", "--out", "m.nlab")
    assert status == 2
    assert "is there already" in said
    status, out, said = call("compress", str(bert), "--bits", "8", "--out", "n.nlab", "--no-onnx")
    assert status == 0, said
    assert "cosine similarity" in out
    assert not (tmp_path / "n.onnx").exists()


def test_the_peak_is_read_in_a_process_of_its_own(bert: Path, tmp_path: Path) -> None:
    from neurolab import own_peak
    from neurolab.export.peak import here

    assert own_peak.ratios(120.0, 100.0, 10.0) == {
        "peak_bytes": 120.0, "peak_over_model": 1.2, "largest_layer_ratio": 2.0,
    }  # fmt: skip
    if not here():
        with pytest.raises(RuntimeError, match="/proc"):
            own_peak.measure(bert, tmp_path / "m.nlab", "int8")
        return
    found = own_peak.measure(bert, tmp_path / "m.nlab", "int8")
    assert found["bytes"] == (tmp_path / "m.nlab").stat().st_size
    assert found["peak_over_model"] == pytest.approx(found["peak_bytes"] / found["float_bytes"])


def test_rows_are_of_random_weights_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurolab import sweep

    jobs = sweep.jobs("own")
    assert {job.name for job in jobs} == {"compress.model"}
    assert {job.setting["weights"] for job in jobs} == {"random"}
    assert len({json.dumps(job.setting) for job in jobs}) == len(jobs)
    tiny = next(job for job in jobs if job.setting["precision"] == "int8" and "small" in job.setting["model"])
    monkeypatch.setitem(own_random.SIZES, "small", TINY)
    figures = tiny.make()
    assert figures["ratio_vs_fp32"] > 2
    assert figures["cosine"] > 0.999
    assert {"compress_seconds", "coder", "bytes", "largest_error"} <= figures.keys()
    assert "peak_bytes" not in figures  # of so small a model it says nothing
    json.dumps(figures)
