"""The decoder as one step, exports as folders, and the interface of all runtimes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from neurolab import assistant, export, facts
from neurolab.assistant import Assistant
from neurolab.export import command, decoder, folder
from neurolab.export.decoder import Decoder, empty_cache, torch_step
from neurolab.export.folder import ExportError
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=1024, context=40, width=32, layers=2, heads=2, hidden=64)


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
def small() -> Assistant:
    """A small network with random weights large enough to matter, and the assistant's tokenizer."""
    torch.manual_seed(3)
    model = Transformer(SMALL).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0 if weight.ndim == 2 else 1.0)
    return Assistant(model, whole().tokenizer, {})


@cache
def asked(every: int = 240) -> list[facts.Question]:
    return facts.split("held_out")[::every]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the small network; tests that damage it copy it first."""
    place = tmp_path_factory.mktemp("export") / "small"
    export.export("onnx", "fp32", place, assistant=small(), name="assistant")
    return place


# --- the step ---


@pytest.mark.parametrize(("batch", "parts"), [(1, [5, 1, 1]), (3, [1, 4, 2]), (2, [40]), (1, [1] * 6)])
def test_a_sequence_in_parts_gives_what_the_transformer_gives_at_once(batch: int, parts: list[int]) -> None:
    model, step = small().model, torch_step(Decoder(small().model))
    dice = np.random.default_rng(0)
    ids = dice.integers(3, 1024, (batch, sum(parts)))
    with torch.inference_mode():
        wanted = model(torch.from_numpy(ids))  # (B, L, V)
        _, caches = model.features(torch.from_numpy(ids))
    cache, at = empty_cache(SMALL, batch), 0
    for n in parts:
        logits, cache = step(ids[:, at : at + n], cache)
        at += n
        np.testing.assert_allclose(logits, wanted[:, at - 1].numpy(), rtol=0, atol=2e-5)
    assert cache.shape == (2, 2, batch, 2, sum(parts), 16)
    for layer, pair in enumerate(caches):
        for kind, x in enumerate(pair):
            np.testing.assert_allclose(cache[layer, kind], x.numpy(), rtol=0, atol=1e-5)


def test_the_decoder_holds_the_models_own_numbers() -> None:
    model, made = small().model, Decoder(small().model)
    block = model.blocks[1]
    parts = [getattr(block.attention, p).weight for p in ("query", "key", "value")]
    assert torch.equal(made.layers[1].qkv.weight, torch.cat(parts))
    assert made.embedding.weight is model.embedding.weight
    assert made.layers[0].down.weight is model.blocks[0].feed_forward.down.weight


def test_greedy_decoding_is_the_transformers() -> None:
    model, step = small().model, torch_step(Decoder(small().model))
    ids = np.random.default_rng(1).integers(3, 1024, (4, 7))
    wanted = model.generate(torch.from_numpy(ids), 2, limit=20).numpy()
    np.testing.assert_array_equal(decoder.generate(step, SMALL, ids, limit=20), wanted)
    assert decoder.generate(step, SMALL, ids[:, :1], limit=64).shape[1] <= 39  # what the context leaves


def test_answers_are_the_assistants_and_do_not_depend_on_the_batch() -> None:
    ours, texts = whole(), [q.text for q in asked()]
    step = torch_step(Decoder(ours.model))
    wanted = ours.answers(texts)
    assert decoder.answers(step, ours.model.config, ours.tokenizer, texts) == wanted
    few = texts[:6]
    assert decoder.answers(step, ours.model.config, ours.tokenizer, few, batch=1) == wanted[:6]


def test_bad_questions_and_sizes_are_named() -> None:
    ours, step = small(), torch_step(Decoder(small().model))
    with pytest.raises(ValueError, match="must not be empty"):
        decoder.answers(step, SMALL, ours.tokenizer, ["?"])
    with pytest.raises(ValueError, match=r"question of \d+ tokens .* shorter than 40"):
        decoder.answers(step, SMALL, ours.tokenizer, ["x y z " * 60])
    with pytest.raises(ValueError, match="batch is 0"):
        decoder.answers(step, SMALL, ours.tokenizer, ["a"], batch=0)
    with pytest.raises(ValueError, match="38 tokens seen and 3 new ones: must be at most 40"):
        decoder.example(SMALL, n=3, past=38)


def _cache(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("ids", "cache", "message"),
    [
        (np.zeros(3, np.int64), _cache(2, 2, 1, 2, 0, 16), "ids of shape"),
        (np.zeros((1, 3), np.int32), _cache(2, 2, 1, 2, 0, 16), "int32: must be"),
        (np.zeros((1, 0), np.int64), _cache(2, 2, 1, 2, 0, 16), "ids of 0 tokens"),
        (np.full((1, 1), 1024), _cache(2, 2, 1, 2, 0, 16), "must be 0 to 1023"),
        (np.full((1, 1), -1), _cache(2, 2, 1, 2, 0, 16), "must be 0 to 1023"),
        (np.zeros((1, 1), np.int64), _cache(2, 2, 2, 2, 0, 16), "cache of shape"),
        (np.zeros((1, 1), np.int64), _cache(2, 2, 1, 2, 16), "cache of shape"),
        (np.zeros((1, 1), np.int64), _cache(2, 2, 1, 2, 0, 16, dtype=np.float64), "float64"),
        (np.zeros((1, 2), np.int64), _cache(2, 2, 1, 2, 39, 16), "39 tokens seen and 2 new"),
    ],
)
def test_a_session_refuses_what_is_no_step(
    exported: Path, ids: np.ndarray, cache: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export.open_session(exported).step(ids, cache)


# --- the folder ---


def test_a_folder_stands_alone(exported: Path) -> None:
    found = folder.read(exported)
    assert folder.files_below(exported) == [
        "LICENSE",
        "README.md",
        "config.json",
        "model.onnx",
        "tokenizer.json",
    ]
    assert (found.runtime, found.precision, found.model, found.cache) == (
        "onnx",
        "fp32",
        "assistant",
        "growing",
    )
    assert found.config == SMALL
    assert found.bytes == (exported / "model.onnx").stat().st_size
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert f"{found.bytes:,} bytes" in card
    assert "MIT" in card
    opened = export.open_session(exported)
    texts = [q.text for q in asked()[:10] if len(q.text) < 40]
    assert opened.answers(texts) == small().answers(texts)


def test_the_same_export_has_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    export.export("onnx", "fp32", tmp_path / "again", assistant=small(), name="assistant")
    for name in folder.files_below(exported):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def _damage(place: Path, how: str) -> None:
    model, config = place / "model.onnx", place / "config.json"
    told = json.loads(config.read_text(encoding="utf-8"))
    if how == "gone":
        shutil.rmtree(place)
    elif how == "no config":
        config.unlink()
    elif how == "no model":
        model.unlink()
    elif how == "truncated":
        model.write_bytes(model.read_bytes()[:-1])
    elif how == "too long":
        model.write_bytes(model.read_bytes() + b"x")
    elif how == "one bit":
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
    elif how == "tokenizer":
        (place / "tokenizer.json").write_text("{}")
    elif how == "no JSON":
        config.write_text("{")
    elif how == "not ours":
        config.write_text('{"format": 1}')
    elif how == "too new":
        config.write_text(json.dumps(told | {"format": 2}))
    elif how == "no version":
        config.write_text(json.dumps(told | {"format": True}))
    elif how == "outside":
        told["files"]["../secret"] = {"bytes": 1, "sha256": ""}
        config.write_text(json.dumps(told))
    elif how == "sizes":
        told["config"]["width"] = 33
        config.write_text(json.dumps(told))
    elif how == "cache":
        config.write_text(json.dumps(told | {"cache": "shrinking"}))
    elif how == "runtime":
        config.write_text(json.dumps(told | {"runtime": "abacus"}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("gone", "no such folder; `neurolab export RUNTIME --out FOLDER` makes one"),
        ("no config", r"config.json: missing, so .* is no export"),
        ("no model", "model.onnx: missing"),
        ("truncated", "model.onnx: truncated"),
        ("too long", "model.onnx: too long"),
        ("one bit", "model.onnx: changed"),
        ("tokenizer", "tokenizer.json: truncated"),
        ("no JSON", "not the config.json of an export"),
        ("not ours", "not the config.json of an export"),
        ("too new", "format 2, too new: this course reads up to 1"),
        ("no version", "not the config.json of an export"),
        ("outside", "a file outside the folder"),
        ("sizes", "width 33"),
        ("cache", "cache one of growing, fixed"),
        ("runtime", "runtime 'abacus'; this course knows onnx"),
    ],
)
def test_every_damage_is_named(exported: Path, tmp_path: Path, how: str, message: str) -> None:
    place = shutil.copytree(exported, tmp_path / "copy")
    _damage(place, how)
    with pytest.raises(ExportError, match=message) as caught:
        export.open_session(place)
    assert str(place) in str(caught.value)


def test_nothing_of_the_readers_is_overwritten_and_nothing_half_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "thesis"
    own.mkdir()
    (own / "chapter.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other things"):
        export.export("onnx", "fp32", own, assistant=small())
    assert (own / "chapter.txt").read_text() == "years of work"

    place = tmp_path / "mine"
    export.export("onnx", "fp32", place, assistant=small())
    before = (place / "config.json").read_bytes()

    def broken(*given: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("neurolab.export.onnx_file.export", broken)
    with pytest.raises(OSError, match="the disk is full"):
        export.export("onnx", "fp32", place, assistant=small())
    assert (place / "config.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "thesis"]
    monkeypatch.undo()
    (place / "model.onnx").write_bytes(b"")  # a damaged export may be replaced
    export.export("onnx", "int8", place, assistant=small())
    assert folder.read(place).precision == "int8"


def test_finish_needs_a_file_and_a_known_cache(tmp_path: Path) -> None:
    given = {"runtime": "onnx", "precision": "fp32", "model": "assistant"}
    with pytest.raises(ValueError, match="holds no file of the runtime"):
        folder.finish(tmp_path, whole().tokenizer, SMALL, **given)
    with pytest.raises(ValueError, match="cache 'none'"):
        folder.finish(tmp_path, whole().tokenizer, SMALL, cache="none", **given)


# --- the interface ---


def test_the_assistant_answers_the_same_from_its_folder(tmp_path: Path) -> None:
    export.export("onnx", "fp32", tmp_path / "x")
    found = export.compare(tmp_path / "x", whole(), asked())
    assert found["equal_answers"] == 1.0
    assert found["exact_match"] == found["exact_match_torch"]
    assert 0 < found["largest_difference"] < 1e-4
    assert found["bytes"] == (tmp_path / "x" / "model.onnx").stat().st_size


def test_compare_sees_another_network(exported: Path) -> None:
    torch.manual_seed(4)
    other = replace(small(), model=Transformer(SMALL).eval())
    short = [q for q in asked() if len(q.text) < 40][:8]
    found = export.compare(exported, other, short)
    assert found["equal_answers"] < 1
    assert found["largest_difference"] > 0.1
    with pytest.raises(ValueError, match="at least one question"):
        export.compare(exported, other, [])


def test_every_runtime_is_described_and_names_are_checked() -> None:
    for name, found in export.RUNTIMES.items():
        assert found.name == name
        assert found.precisions
        assert len(set(found.precisions)) == len(found.precisions)
        assert bool(found.extra) == bool(found.needs)
    with pytest.raises(ValueError, match="runtime 'tflite': must be one of onnx, ort"):
        export.runtime("tflite")
    with pytest.raises(ValueError, match="precision 'int7': onnx has fp32, int8"):
        export.runtime("onnx", "int7")
    with pytest.raises(ValueError, match="model 'gpt': must be one of assistant, ptq12"):
        export.source("gpt")


def test_without_an_extra_the_error_names_it_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(export.RUNTIMES["onnx"], extra="someday", needs=("no_such_package",))
    monkeypatch.setitem(export.RUNTIMES, "onnx", lacking)
    with pytest.raises(
        export.ExtraMissing, match=re.escape("pip install -c constraints.txt -e '.[someday]'")
    ):
        export.export("onnx", "fp32", "nowhere")
    assert "needs the extra someday" in _printed(["export", "--list"])


def test_what_runs_elsewhere_says_so(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = replace(export.RUNTIMES["onnx"], runs_here=False)
    monkeypatch.setitem(export.RUNTIMES, "onnx", elsewhere)
    with pytest.raises(RuntimeError, match="can't run here"):
        export.open_session(exported)


@pytest.mark.parametrize("name", ["ptq12", "qat18"])
def test_compressed_networks_are_sources(name: str) -> None:
    found = export.source(name)
    assert name in export.source_names()
    assert found.model.config.vocabulary == whole().model.config.vocabulary
    assert found.tokenizer is not None
    assert not torch.equal(found.model.embedding.weight, whole().model.embedding.weight)


def _printed(arguments: list[str]) -> str:
    from neurolab.cli import app

    done = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    return done.output


def test_the_command_lists_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    listed = _printed(["export", "--list"])
    for name in (*export.RUNTIMES, *export.source_names()):
        assert name in listed
    _printed(["export", "onnx", "--precision", "int8"])
    made = folder.read(tmp_path / "exports" / "assistant-onnx-int8")
    assert made.precision == "int8"
    assert command.make("onnx", out=tmp_path / "plain").precision == "fp32"
    with pytest.raises(ValueError, match="model 'gpt'"):
        command.make("onnx", model="gpt")
