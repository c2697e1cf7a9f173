"""`neurolab compress` and `decompress`: from a model to a file to a model, and what they refuse."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurolab import assistant, cli, compressed, compressing, facts
from neurolab.quantized import Coded, float_bytes, values

Called = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Called:
    """Run the command in this process and in a folder of its own: status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neurolab", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capfd.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return called


def own(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file that somebody brings: a matrix, a kernel, a vector, numbers beyond float16."""
    torch.manual_seed(1)
    made = {
        "dense": torch.randn(20, 30),
        "kernel": torch.randn(6, 3, 3, 3),
        "bias": torch.randn(20),
        "large": torch.tensor([1e6, 1.0]),
        "tiny": torch.tensor([1e-12, 1.0]),
        "table.embedding": torch.randn(10, 4),
        "small": 1e-7 * torch.randn(4, 4),
    }
    save_file(made, path)
    return made


def test_the_assistant_there_and_back(call: Called, tmp_path: Path) -> None:
    status, out, _ = call("compress", "--bits", "4", "--sparsity", "0.3", "--json")
    assert status == 0
    found, path = json.loads(out), tmp_path / "compressed.nlab"
    assert path.stat().st_size == found["bytes"] + found["parts"]["tokenizer"] == sum(found["parts"].values())
    assert found["float_bytes"] == float_bytes()
    assert found["size_ratio"] == pytest.approx(float_bytes() / found["bytes"])
    assert found["over_entropy_percent"] <= 1
    status, _, errors = call("decompress", "compressed.nlab", "--out", "back")
    assert status == 0
    assert "back" in errors
    folder = tmp_path / "back"
    assert sorted(p.name for p in folder.iterdir()) == [
        "compressed.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    given = (assistant.FOLDER / assistant.TOKENIZER).read_text(encoding="utf-8")
    assert (folder / "tokenizer.json").read_text(encoding="utf-8") == given
    loaded = compressed.load(path)
    weights = load_file(folder / "model.safetensors")
    wanted = values(loaded.tensors)
    assert weights.keys() == wanted.keys() == assistant.load().model.state_dict().keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in weights)
    card = json.loads((folder / "compressed.json").read_text(encoding="utf-8"))
    assert card["config"] == loaded.config
    assert card["about"]["bits"] == 4


def test_a_table_for_the_terminal(call: Called, tmp_path: Path) -> None:
    own(tmp_path / "own.safetensors")
    status, out, _ = call("compress", "own.safetensors", "--out", "own.nlab")
    assert status == 0
    for said in ("codes, bytes", "smaller", "codes above their entropy", "own.nlab"):
        assert said in out


def test_a_model_of_ones_own(call: Called, tmp_path: Path) -> None:
    given = own(tmp_path / "own.safetensors")
    assert (
        call("compress", "own.safetensors", "--bits", "8", "--sparsity", "0.5", "--out", "own.nlab")[0] == 0
    )
    assert call("decompress", "own.nlab", "--out", "back")[0] == 0
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert {n: x.shape for n, x in back.items()} == {n: x.shape for n, x in given.items()}
    wanted = values(compressing.compress(given, 8, 0.5))
    for name in ("dense", "kernel", "small"):  # "small": its steps are below float16's normal numbers
        assert torch.equal(back[name], wanted[name])
        pruned = (
            given[name].abs().flatten() <= given[name].abs().flatten().sort()[0][given[name].numel() // 2 - 1]
        )
        assert (back[name].flatten()[pruned] == 0).all()
        kept = (back[name] - given[name]).flatten()[~pruned].abs()
        assert kept.max() <= given[name].abs().max() / 127
    assert torch.equal(back["bias"], given["bias"].half())
    assert torch.equal(back["large"], given["large"])  # float16 would say infinity
    assert torch.equal(back["tiny"], given["tiny"])  # float16 would say 0
    assert (back["table.embedding"] == 0).float().mean() < 0.2  # rounded, not pruned
    assert not (tmp_path / "back" / "tokenizer.json").exists()


def test_nothing_is_overwritten_unless_asked(call: Called, tmp_path: Path) -> None:
    own(tmp_path / "own.safetensors")
    args = ("compress", "own.safetensors", "--out", "own.nlab")
    assert call(*args)[0] == 0
    before = (tmp_path / "own.nlab").read_bytes()
    status, out, errors = call(*args, "--bits", "2")
    assert (status, out) == (2, "")
    assert "own.nlab: is there already; --force" in errors
    assert (tmp_path / "own.nlab").read_bytes() == before
    assert call(*args, "--bits", "2", "--force")[0] == 0
    assert (tmp_path / "own.nlab").read_bytes() != before
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "compressed.json").write_text("mine", encoding="utf-8")
    status, _, errors = call("decompress", "own.nlab", "--out", "back")
    assert status == 2
    assert "compressed.json: is there already" in errors
    assert [p.name for p in (tmp_path / "back").iterdir()] == ["compressed.json"]
    assert call("decompress", "own.nlab", "--out", "back", "--force")[0] == 0
    assert json.loads((tmp_path / "back" / "compressed.json").read_text(encoding="utf-8"))["coder"] == "ans"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.safetensors"], "no.safetensors: missing"),
        (["broken.safetensors"], "broken.safetensors: truncated or not a safetensors file"),
        (["own.safetensors", "--sparsity", "1"], "sparsity 1.0"),
        (["own.safetensors", "--sparsity", "nan"], "sparsity"),
        (["own.safetensors", "--coder", "zip"], "coder 'zip'"),
        (["own.safetensors", "--score"], "not an assistant"),
        (["own.safetensors", "--out", "no/own.nlab"], "there is no folder no"),
        (["own.safetensors", "--out", "folder"], "folder: is a folder"),
        (["vectors.safetensors"], "none of the 1 tensors is a matrix"),
        (["whole.safetensors"], "'n' is torch.int64"),
        (["nan.safetensors"], "'w' holds NaN"),
        (["folder"], "missing"),
    ],
)
def test_what_compress_refuses(call: Called, tmp_path: Path, arguments: list[str], said: str) -> None:
    own(tmp_path / "own.safetensors")
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "own.safetensors").read_bytes()[:500])
    (tmp_path / "folder").mkdir()
    save_file({"v": torch.ones(3)}, tmp_path / "vectors.safetensors")
    save_file({"w": torch.ones(3, 3), "n": torch.arange(3)}, tmp_path / "whole.safetensors")
    save_file({"w": torch.full((2, 2), torch.nan)}, tmp_path / "nan.safetensors")
    there = sorted(p.name for p in tmp_path.iterdir())
    status, out, errors = call("compress", *arguments)
    assert (status, out) == (2, "")
    assert said in errors
    assert "Traceback" not in errors
    assert sorted(p.name for p in tmp_path.iterdir()) == there


def test_what_decompress_refuses(call: Called, tmp_path: Path) -> None:
    (tmp_path / "bad.nlab").write_bytes(b"nlab\x01 and no more")
    for name, said in (("no.nlab", "no.nlab: missing"), ("bad.nlab", "bad.nlab: truncated")):
        status, _, errors = call("decompress", name, "--out", "back")
        assert status == 2
        assert said in errors
        assert not (tmp_path / "back").exists()


def test_scores_of_both(call: Called, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = facts.split("held_out")[::200]
    monkeypatch.setattr(facts, "split", lambda *_: asked)
    status, out, _ = call("compress", "--bits", "2", "--score", "--json", "--coder", "packed")
    assert status == 0
    scores: dict[str, Any] = json.loads(out)["scores"]
    model = compressed.load(tmp_path / "compressed.nlab").model()
    tokenizer = assistant.load().tokenizer
    assert scores["compressed"] == assistant.quick_scores(model, tokenizer, asked)
    assert scores["float"]["exact_match"] > 0.9 > scores["compressed"]["exact_match"]
    status, out, _ = call("compress", "--bits", "2", "--score", "--coder", "packed", "--force")
    assert status == 0
    assert "exact match, compressed" in out


def test_a_folder_with_an_assistant(call: Called, tmp_path: Path) -> None:
    shutil.copytree(assistant.FOLDER, tmp_path / "mine")
    assert call("compress", "mine", "--bits", "3", "--out", "a.nlab")[0] == 0
    assert call("compress", "--bits", "3", "--out", "b.nlab")[0] == 0
    assert (tmp_path / "a.nlab").read_bytes() == (tmp_path / "b.nlab").read_bytes()


def test_steps_are_float16_where_it_is_exact_enough() -> None:
    torch.manual_seed(0)
    found = compressing.round_to_nearest(torch.randn(5, 9), 4)
    assert isinstance(found, Coded)
    assert torch.equal(found.step, found.step.half().float())
    tiny = compressing.round_to_nearest(1e-6 * torch.randn(5, 9), 4)
    assert not torch.equal(tiny.step, tiny.step.half().float())
    for bits in (1, 9):
        with pytest.raises(ValueError, match=f"bits {bits}"):
            compressing.compress({"w": torch.ones(2, 2)}, bits)
