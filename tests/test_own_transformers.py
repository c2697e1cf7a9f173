"""A model of the reader's own, run: BERT-, GPT-2- and Llama-like ones, made small by their config classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from neurolab import own_folder, own_model, own_random
from neurolab.hub import transformers
from neurolab.own_file import Reader
from neurolab.own_stream import Stack

TINY = {"vocabulary": 120, "width": 32, "layers": 2, "heads": 4, "hidden": 64, "context": 40}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    own_random.SIZES["tiny"] = TINY
    yield
    own_random.SIZES.pop("tiny", None)
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=sorted(own_random.CLASSES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family."""
    return own_random.make(request.param, tmp_path_factory.mktemp("own") / request.param, size="tiny")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT-like model."""
    return own_random.make("bert", tmp_path_factory.mktemp("own") / "bert", size="tiny")


def outputs(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    """What Transformers itself makes of a folder: the last hidden states."""
    net = transformers().AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        found: torch.Tensor = net(input_ids=ids).last_hidden_state
    return found


def test_block_by_block_is_what_transformers_computes(folder: Path) -> None:
    read = own_folder.read(folder)
    stack = Stack(read)
    ids = torch.randint(8, 120, (6, 11), generator=torch.Generator().manual_seed(1))
    for bare in sorted(stack.names):
        stack.put(bare, None if read.family.block(bare) is not None else read.tensor(read.find(bare) or ""))
    chunks = stack.begin(ids, batch=4)
    assert [len(c.hidden) for c in chunks] == [4, 2]
    for i in range(len(stack.blocks)):
        inside = [name for name in stack.names if read.family.block(name) == i]
        for bare in inside:
            stack.put(bare, read.tensor(read.find(bare) or ""))
        chunks = stack.run(i, chunks)
        for bare in inside:
            stack.put(bare, None)
            assert stack.get(bare).is_meta  # nothing of it stays in memory
    found = stack.finish(chunks)
    assert torch.allclose(found, outputs(folder, ids).reshape(-1, 32), atol=2e-5)


@pytest.mark.parametrize("precision", own_model.PRECISIONS)
def test_the_report_is_what_transformers_finds_in_the_unpacked_folder(
    folder: Path, tmp_path: Path, precision: str
) -> None:
    found = own_model.compress(folder, tmp_path / "m.nlab", precision=precision)
    own_model.decompress(tmp_path / "m.nlab", tmp_path / "out")
    _, ids = own_model.token_ids(own_folder.read(folder), None)
    a, b = (outputs(place, ids).reshape(-1, 32) for place in (folder, tmp_path / "out"))
    cosine = torch.nn.functional.cosine_similarity(a, b, -1)
    assert found["cosine"] == pytest.approx(float(cosine.mean()), abs=1e-5)
    assert found["cosine_least"] == pytest.approx(float(cosine.min()), abs=1e-5)
    assert found["cosine"] > {"int8": 0.999, "int4": 0.9}[precision]
    assert len(found["cosine_by_block"]) == 2
    head = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}.get(folder.name)
    if head:  # heads come back, too
        net, loading = getattr(transformers(), head).from_pretrained(
            tmp_path / "out", output_loading_info=True
        )
        assert not loading["missing_keys"]
        assert not loading["unexpected_keys"]
        assert net(input_ids=ids[:1]).logits.shape[-1] == 120


def test_4_bits_by_gptq_are_16_codes_and_beat_the_nearest_ones(bert: Path, tmp_path: Path) -> None:
    found = own_model.compress(bert, tmp_path / "m.nlab", precision="int4")
    reader = Reader(tmp_path / "m.nlab")
    for layer in found["layers"]:
        if layer["kind"] == "vector":
            continue
        q = reader.matrix(layer["name"]).q
        if layer["kind"] == "linear":
            assert layer["bits"] == 4
            assert -8 <= int(q.min()) <= int(q.max()) <= 7
            assert 0 < layer["output_error"] < layer["error"]
        else:
            assert layer["bits"] == 6
            assert -32 <= int(q.min()) <= int(q.max()) <= 31
    sparse = own_model.compress(bert, tmp_path / "s.nlab", precision="int4", sparsity=0.5)
    zeros = [layer["zeros"] for layer in sparse["layers"] if layer["kind"] == "linear"]
    assert min(zeros) >= 0.5
    assert sparse["bytes"] < found["bytes"]
    assert sparse["cosine"] < found["cosine"]


def test_the_same_file_twice(bert: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        own_model.compress(bert, tmp_path / name, precision="int4")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_config_that_does_not_fit_the_weights_is_refused(bert: Path, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.mkdir()
    config = json.loads((bert / "config.json").read_text())
    (path / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes())
    for change, said in (
        ({"num_hidden_layers": 3}, "'encoder.layer.2.attention.output.LayerNorm.bias' is missing"),
        ({"intermediate_size": 65}, r"is \[64\], config.json: \[65\]"),
    ):
        (path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=said):
            own_model.compress(path, tmp_path / "m.nlab")
    assert not (tmp_path / "m.nlab").exists()


def test_text_calibrates_if_there_is_a_tokenizer_and_enough_of_it(bert: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    text = tmp_path / "text.txt"
    text.write_text("one two three " * 200, encoding="utf-8")
    read = own_folder.read(bert)
    with pytest.raises(ValueError, match=r"tokenizer\.json: missing, so .*text\.txt cannot be read"):
        own_model.token_ids(read, text)
    words = Tokenizer(models.WordLevel({"one": 9, "two": 10, "three": 11, "?": 12}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(bert / "tokenizer.json"))
    try:
        fitted, tested = own_model.token_ids(read, text)
        assert fitted.shape == (12, 38)
        assert tested.shape == (3, 38)
        assert torch.cat([fitted, tested]).reshape(-1)[:7].tolist() == [9, 10, 11, 9, 10, 11, 9]
        text.write_text("one two", encoding="utf-8")
        with pytest.raises(ValueError, match="2 tokens are too few; 76 are needed"):
            own_model.token_ids(read, text)
        with pytest.raises(ValueError, match="no such text file"):
            own_model.token_ids(read, tmp_path / "none.txt")
    finally:
        (bert / "tokenizer.json").unlink()


def test_measured_is_labelled_and_leaves_nothing() -> None:
    found = own_model.measured("bert", "int8", size="tiny")
    assert found["weights"] == "random"
    assert found["ratio_vs_fp32"] > 3
    assert "file" not in found
    with pytest.raises(ValueError, match="family 't5': must be one of bert"):
        own_model.measured("t5")
