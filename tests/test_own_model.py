"""A model of the reader's own: folder, file and recipe, as far as no Transformers is needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurolab import cli, gptq, own_file, own_folder, own_gptq, own_model, own_recipe
from neurolab.compressed import CompressedError
from neurolab.compressing import halved
from neurolab.own_command import is_own
from neurolab.own_families import FAMILIES
from neurolab.own_file import Reader, Writer
from neurolab.own_recipe import rounded
from neurolab.quantized import Coded

CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", "vocab_size": 60, "max_position_embeddings": 20, "num_hidden_layers": 2},
    "gpt2": {"model_type": "gpt2", "vocab_size": 60, "n_positions": 20, "n_layer": 2},
    "llama": {"model_type": "llama", "vocab_size": 60, "max_position_embeddings": 20, "dtype": "bfloat16"},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(kind: str, width: int = 16) -> dict[str, torch.Tensor]:
    """Tensors named and shaped as this kind of model has them, two blocks."""
    torch.manual_seed(3)
    made: dict[str, torch.Tensor] = {}
    family = FAMILIES[kind]
    start = f"{family.prefix}." if kind == "llama" else ""
    table = {"bert": "embeddings.word_embeddings", "gpt2": "wte", "llama": "embed_tokens"}[kind]
    made[f"{start}{table}.weight"] = torch.randn(60, width)
    for i in range(2):
        for matrix in (m for stage in family.stages for m in stage):
            made[f"{start}{family.blocks}.{i}.{matrix}.weight"] = torch.randn(2 * width, width)
            made[f"{start}{family.blocks}.{i}.{matrix}.bias"] = torch.randn(width)
    made[f"{start}scale"] = torch.tensor(1.5)
    if kind == "gpt2":
        made["h.0.attn.bias"] = torch.ones(1, 1, 20, 20).tril()
    if kind == "llama":
        made["lm_head.weight"] = torch.randn(60, width)
        made = {name: x.bfloat16() for name, x in made.items()}
    return made


def folder_with(path: Path, kind: str = "bert", **changes: Any) -> Path:
    """A Hugging Face folder of random weights. changes: to its config; None takes a key away."""
    path.mkdir(parents=True)
    config = {**CONFIGS[kind], **changes}
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    save_file(weights(kind), path / "model.safetensors")
    (path / "vocab.txt").write_text("ก\nb\n", encoding="utf-8")
    (path / "spiece.model").write_bytes(b"\xff\x00\x80")
    return path


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Run the command in this process and in a folder of its own: status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neurolab", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capfd.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return called


# --- the folder ---


def test_a_folder_is_read_by_kind_and_place(tmp_path: Path) -> None:
    found = own_folder.read(folder_with(tmp_path / "m", "gpt2"))
    assert found.skipped == ("h.0.attn.bias",)  # but not h.0.attn.c_attn.bias
    kinds = {name: (entry.kind, entry.block) for name, entry in found.entries.items()}
    assert kinds["wte.weight"] == ("embedding", None)
    assert kinds["h.1.attn.c_attn.weight"] == ("linear", 1)
    assert kinds["h.1.attn.c_attn.bias"] == ("vector", 1)
    assert kinds["scale"] == ("vector", None)
    llama = own_folder.read(folder_with(tmp_path / "l", "llama"))
    assert llama.entries["lm_head.weight"].kind == "head"
    assert llama.float_bytes == 4 * sum(x.numel() for x in weights("llama").values())
    assert llama.largest == 4 * 60 * 16
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(llama.tensor(name), weights("llama")[name].float())
    assert torch.equal(llama.rows(name, 3, 7), weights("llama")[name][3:7].float())
    assert llama.find("layers.1.mlp.up_proj.weight") == name


def test_old_spellings_are_understood() -> None:
    bert = FAMILIES["bert"]
    assert (
        bert.bare("bert.encoder.layer.11.output.LayerNorm.gamma")
        == "encoder.layer.11.output.LayerNorm.weight"
    )
    assert bert.block("bert.encoder.layer.11.output.LayerNorm.gamma") == 11
    assert not bert.linear("bert.encoder.layer.1.output.LayerNorm.gamma")


def test_several_files_with_an_index_are_one_model(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "m")
    whole = load_file(path / "model.safetensors")
    names = sorted(whole)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: whole[name] for name in some}, path / file)
    (path / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (path / own_folder.INDEX).write_text(json.dumps(index))
    found = own_folder.read(path)
    assert set(found.entries) == set(whole)
    assert all(torch.equal(found.tensor(name), whole[name]) for name in names)
    index["weight_map"]["ghost"] = "a.safetensors"
    (path / own_folder.INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match="'ghost' is in none of the files"):
        own_folder.read(path)
    index["weight_map"]["ghost"] = "../a.safetensors"
    (path / own_folder.INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"a\.safetensors: missing"):
        own_folder.read(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "t5"}, "model_type 't5' is none of those known here (bert, roberta, gpt2"),
        ({"model_type": None}, "model_type 'None' is none of those"),
        (
            {"quantization_config": {"bits": 4}},
            "quantization_config is set in config.json: it is quantized already",
        ),
        ({"add_cross_attention": True}, "add_cross_attention is set"),
        ({"auto_map": {"AutoModel": "x.y"}}, "auto_map is set in config.json: it needs code of its own"),
    ],
)
def test_unknown_kinds_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = folder_with(tmp_path / "m", **changes)
    with pytest.raises(ValueError, match=r"model_type|config\.json") as refused:
        own_model.compress(path, tmp_path / "m.nlab", run=False)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert not (tmp_path / "m.nlab").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            {"encoder.layer.0.adapter.weight": torch.ones(3, 3)},
            "'encoder.layer.0.adapter.weight' is no matrix of",
        ),
        ({"kernel": torch.ones(2, 3, 3)}, "tensor 'kernel' of shape [2, 3, 3]: its place is not known"),
        ({"table": torch.ones(2, 3)}, "tensor 'table' of shape [2, 3]: its place is not known"),
        (
            {"ids.weight": torch.ones(2, 3, dtype=torch.int64)},
            "tensor 'ids.weight' is I64; known are F32, F16, BF16",
        ),
    ],
)
def test_unknown_tensors_are_refused_by_name(tmp_path: Path, extra: dict[str, Any], said: str) -> None:
    path = folder_with(tmp_path / "m")
    save_file({**weights("bert"), **extra}, path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors") as refused:
        own_folder.read(path)
    assert said in str(refused.value)


def test_broken_folders_are_refused(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "m")
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="truncated or not a safetensors file"):
        own_folder.read(path)
    (path / "model.safetensors").unlink()
    (path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is pickled, save it as safetensors"):
        own_folder.read(path)
    (path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: no JSON"):
        own_folder.read(path)
    with pytest.raises(ValueError, match=r"config\.json: missing"):
        own_folder.read(tmp_path)
    bad = {**weights("bert"), "scale": torch.tensor(float("nan"))}
    other = folder_with(tmp_path / "n")
    save_file(bad, other / "model.safetensors")
    with pytest.raises(ValueError, match="tensor 'scale' holds NaN or infinity"):
        own_model.compress(other, tmp_path / "n.nlab", run=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "n"]  # no half-written file stays


# --- GPTQ in blocks ---


@pytest.mark.parametrize(("width", "group"), [(1, 0), (7, 0), (48, 16)])
def test_blocks_of_columns_give_the_same_codes_as_column_by_column(width: int, group: int) -> None:
    torch.manual_seed(0)
    W, x = torch.randn(24, 48), torch.randn(200, 48) @ torch.randn(48, 48)
    H = x.T @ x
    s = own_gptq.steps(W, 4, group)
    assert s.shape == (24, 48 // group if group else 1)
    order = torch.argsort(H.diagonal(), descending=True)
    ours = own_gptq.compensate(W, H, s, 4, width=width)
    spread = s.repeat_interleave(48 // s.shape[1], 1)

    def grid(j: int, rest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        code = torch.round(rest[:, 0] / spread[:, j]).clamp(-8, 7)
        return code, code * spread[:, j]

    theirs, _ = gptq.compensate(W, H, grid, order=order)
    assert (ours != theirs).float().mean() < 0.01  # a rounding that falls on a half may go the other way
    nearest = rounded(W, 4, group).value()
    assert gptq.objective(W, Coded(ours, s).value(), H) < 0.6 * gptq.objective(W, nearest, H)


def test_pruned_weights_stay_0_and_the_others_make_up_for_them() -> None:
    torch.manual_seed(0)
    W, x = torch.randn(16, 32), torch.randn(100, 32) @ torch.randn(32, 32)
    H, keep = x.T @ x, torch.rand(16, 32) > 0.2
    s = own_gptq.steps(W, 8)
    q = own_gptq.compensate(W, H, s, 8, keep=keep)
    assert not q[~keep].any()
    plain = own_gptq.compensate(W, torch.eye(32), s, 8, keep=keep)
    assert gptq.objective(W, Coded(q, s).value(), H) < 0.6 * gptq.objective(W, Coded(plain, s).value(), H)


def test_wrong_shapes_are_refused() -> None:
    W, H = torch.ones(4, 6), torch.eye(6)
    for bad in (torch.ones(4, 4), torch.ones(3, 1), torch.zeros(4, 1)):
        with pytest.raises(ValueError, match=r"step of shape"):
            own_gptq.compensate(W, H, bad, 4)
    with pytest.raises(ValueError, match=r"keep of shape"):
        own_gptq.compensate(W, H, torch.ones(4, 1), 4, keep=torch.ones(6, 4))
    with pytest.raises(ValueError, match="width 0"):
        own_gptq.compensate(W, H, torch.ones(4, 1), 4, width=0)


# --- the one file ---


def test_a_matrix_comes_back_bit_for_bit_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_folder.slabs, "__defaults__", (100,))  # pieces of 100 numbers
    torch.manual_seed(0)
    W = torch.randn(37, 32)
    a, b = rounded(W, 8), rounded(W, 4, 16)
    with Writer(tmp_path / "m.nlab") as writer:
        assert writer.matrix("a", a) > 37 * 32 * 6 / 8
        writer.matrix("b", b, flipped=True)
        writer.vector("v", halved(torch.tensor([1.0, 0.1])))
        writer.vector("one", halved(torch.tensor(1e-30)))
        size = writer.close({"x": 1})
    assert size == (tmp_path / "m.nlab").stat().st_size
    reader = Reader(tmp_path / "m.nlab")
    assert reader.about == {"x": 1}
    for name, coded in (("a", a), ("b", b)):
        back = reader.matrix(name)
        assert len(list(reader.pieces(name))) == 13
        assert torch.equal(back.q, coded.q)
        assert torch.equal(back.step, coded.step)
    assert torch.equal(reader.value("a"), a.value())
    assert torch.equal(reader.value("b"), b.value().T)
    assert reader.shape("b") == (32, 37)
    assert torch.equal(reader.value("v"), torch.tensor([1.0, 0.1]).half().float())
    assert torch.equal(reader.value("one"), torch.tensor(1e-30))
    assert rounded(W, 8).q.equal(a.q)


def test_an_error_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "m.nlab").write_bytes(b"old")

    def fail() -> None:
        with Writer(tmp_path / "m.nlab") as writer:
            writer.matrix("a", rounded(torch.randn(3, 4), 8))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("m.nlab", b"old")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed BERT-like model."""
    room = tmp_path_factory.mktemp("own")
    own_model.compress(folder_with(room / "bert"), room / "m.nlab", run=False)
    return room / "m.nlab"


def test_every_flipped_bit_and_every_cut_is_noticed(made: Path, tmp_path: Path) -> None:
    data = made.read_bytes()
    bad = tmp_path / "bad.nlab"
    for at in range(0, len(data), 97):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(CompressedError, match=r"bad\.nlab"):
            Reader(bad)
    for length in (0, 3, 20, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:length])
        with pytest.raises(CompressedError, match="truncated"):
            Reader(bad)
    bad.write_bytes(data + b"x")
    with pytest.raises(CompressedError, match=r"too long"):
        Reader(bad)
    with pytest.raises(CompressedError, match="cannot be read"):
        Reader(tmp_path / "none.nlab")


def forged(made: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file with another index, and checksums that fit it."""
    import hashlib
    import zlib

    data = made.read_bytes()
    begin = own_file.TAIL.unpack(data[-own_file.TAIL.size :])[0]
    index = json.loads(zlib.decompress(data[begin : -own_file.TAIL.size]))
    change(index)
    body = data[:begin] + zlib.compress(json.dumps(index).encode())
    total = len(body) + own_file.TAIL.size
    path.write_bytes(body + own_file.TAIL.pack(begin, total, hashlib.blake2b(body, digest_size=8).digest()))
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 20, 1 << 20]},
        {"shape": [60]},
        {"shape": [-1, 16]},
        {"shape": "x"},
        {"at": 1 << 40},
        {"at": None},
        {"pieces": [1 << 40]},
        {"pieces": [True]},
    ],
)
def test_a_forged_index_is_refused_before_anything_is_allocated(
    made: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    name = "embeddings.word_embeddings.weight"
    bad = forged(made, tmp_path / "bad.nlab", lambda index: index["tensors"][name].update(change))
    with pytest.raises(CompressedError, match=r"bad\.nlab: the index is wrong about tensor"):
        Reader(bad)


def test_a_forged_shape_or_file_is_refused_when_it_is_read(made: Path, tmp_path: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    for shape, said in (
        ([61, 16], "60 rows where there should be 61"),
        ([60, 15], "a piece of another shape"),
    ):
        bad = forged(
            made, tmp_path / "bad.nlab", lambda index, s=shape: index["tensors"][name].update(shape=s)
        )
        with pytest.raises(CompressedError, match=said):
            own_model.decompress(bad, tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())  # nothing half-written
    bad = forged(made, tmp_path / "bad.nlab", lambda index: index["tensors"]["scale"].update(shape=[7]))
    with pytest.raises(CompressedError, match="scale: missing, or of another shape"):
        Reader(bad).value("scale")
    bad = forged(made, tmp_path / "bad.nlab", lambda index: index["about"]["files"].update({"../x": "uy"}))
    with pytest.raises(CompressedError, match=r"holds a file '\.\./x'"):
        own_model.decompress(bad, tmp_path / "other")
    assert not (tmp_path / "other").exists()


# --- from folder to file to folder ---


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_a_model_comes_back_as_its_codes_say(tmp_path: Path, kind: str) -> None:
    path = folder_with(tmp_path / kind, kind)
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    seen: list[str] = []
    found = own_model.compress(
        path, tmp_path / "m.nlab", run=False, tick=lambda numbers, name: seen.append(f"{name} {numbers}")
    )
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    assert found["bytes"] == (tmp_path / "m.nlab").stat().st_size
    assert found["ratio_vs_fp32"] == found["float_bytes"] / found["bytes"]
    assert [f"{layer['name']} {layer['numbers']}" for layer in found["layers"]] == seen
    assert "cosine" not in found
    own_model.decompress(tmp_path / "m.nlab", tmp_path / "out")
    back = load_file(tmp_path / "out" / "model.safetensors")
    wanted = {n: x.float() for n, x in weights(kind).items() if not n.endswith("h.0.attn.bias")}
    assert back.keys() == wanted.keys()
    for name, w in wanted.items():
        linear = FAMILIES[kind].linear(name)
        if w.ndim == 2:
            flip = kind == "gpt2" and linear
            value = rounded(w.T.contiguous() if flip else w, 8).value()
            assert torch.equal(back[name], value.T if flip else value), name
        else:
            assert torch.equal(back[name], w.half().float()), name
        error = next(layer["error"] for layer in found["layers"] if layer["name"] == name)
        assert error == pytest.approx(float((back[name] - w).norm() / w.norm()), rel=1e-4)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config == {**CONFIGS[kind], "dtype": "float32"}  # what is loaded is what was written
    for name in ("vocab.txt", "spiece.model"):
        assert (tmp_path / "out" / name).read_bytes() == before[name]
    with pytest.raises(ValueError, match="is there already; --force overwrites it"):
        own_model.decompress(tmp_path / "m.nlab", tmp_path / "out")
    own_model.decompress(tmp_path / "m.nlab", tmp_path / "out", force=True)


def test_pruned_matrices_hold_zeros_and_code_shorter(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "m")
    dense = own_model.compress(path, tmp_path / "a.nlab", run=False)
    sparse = own_model.compress(path, tmp_path / "b.nlab", run=False, sparsity=0.75)
    for a, b in zip(dense["layers"], sparse["layers"], strict=True):
        if a["kind"] == "linear":
            assert b["zeros"] == pytest.approx(0.75, abs=0.01)
            assert b["bytes"] < 0.7 * a["bytes"]
        else:
            assert (a["bytes"], a["error"]) == (b["bytes"], b["error"])


def test_the_input_is_never_written_to(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "m")
    with pytest.raises(ValueError, match="lies in the model's own folder, which is never written to"):
        own_model.compress(path, path / "model.safetensors", run=False, force=True)
    with pytest.raises(ValueError, match="lies in the model's own folder"):
        own_model.compress(path, path / "new.nlab", run=False)
    with pytest.raises(ValueError, match="is a folder"):
        own_model.compress(path, tmp_path, run=False, force=True)
    with pytest.raises(ValueError, match="there is no folder"):
        own_model.compress(path, tmp_path / "no" / "m.nlab", run=False)
    (tmp_path / "m.nlab").write_bytes(b"mine")
    with pytest.raises(ValueError, match="is there already"):
        own_model.compress(path, tmp_path / "m.nlab", run=False)
    assert (tmp_path / "m.nlab").read_bytes() == b"mine"


def test_bad_choices_are_refused_by_name(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "m")
    for given, said in (
        ({"precision": "int3"}, "precision 'int3': must be one of int8, int4"),
        ({"coder": "zip"}, "coder 'zip'"),
        ({"sparsity": 1.0}, "sparsity 1.0"),
        ({"precision": "int4"}, "precision 'int4' is fitted to what the network computes"),
    ):
        with pytest.raises(ValueError, match=said):
            own_model.compress(path, tmp_path / "m.nlab", run=False, **given)  # type: ignore[arg-type]
    assert not (tmp_path / "m.nlab").exists()


def test_8_bits_of_random_weights_are_coded_below_8_and_beyond_a_quarter() -> None:
    torch.manual_seed(0)
    coded = rounded(0.02 * torch.randn(400, 768), 8)
    from neurolab.streams import entropy_bytes

    assert 7 < 8 * entropy_bytes([coded.q.numpy().astype("int64").reshape(-1)]) / coded.q.numel() < 7.6
    assert own_recipe.error(0.02 * torch.ones(2, 3), 0.02 * torch.ones(2, 3)) == 0


# --- the commands ---


def test_the_commands_know_a_folder_of_hugging_face_from_an_assistant(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    path = folder_with(tmp_path / "bert", model_type="t5")
    assert is_own(path)
    assert is_own("bert-base-uncased")
    assert is_own("somebody/model-1.5b")
    (tmp_path / "plain").mkdir()
    for other in (None, "plain", "no.safetensors", "m.nlab", "../x", "/x", "a/b/c", "./bert-base"):
        assert not is_own(other), other
    status, _, said = call("compress", "bert", "--out", "m.nlab")
    assert status == 2
    assert "model_type 't5'" in said
    status, _, said = call("compress", "bert", "--score")
    assert status == 2
    assert "--score" in said
    status, _, said = call("compress", "bert", "--bits", "5")
    assert status == 2
    assert "bits 5" in said


def test_decompress_knows_both_kinds_of_file(call: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    status, out, said = call("decompress", str(made), "--out", "out")
    assert (status, out) == (0, "")
    assert (tmp_path / "out" / "config.json").is_file()
    assert "The model lies in out" in said
    data = made.read_bytes()
    (tmp_path / "bad.nlab").write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    status, _, said = call("decompress", "bad.nlab", "--out", "other")
    assert status == 2
    assert "bad.nlab" in said
    assert not (tmp_path / "other").exists()


def test_without_transformers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    path = folder_with(tmp_path / "m")
    with pytest.raises(
        ValueError, match=r"install the extra \[hub\], `pip install -c constraints.txt -e .\[hub\]`"
    ):
        own_model.compress(path, tmp_path / "m.nlab")
    assert not (tmp_path / "m.nlab").exists()


def test_a_name_that_the_hub_does_not_give_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    def none(name: str, **_: Any) -> str:
        raise OSError(f"no route to {name}\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", none)
    with pytest.raises(
        ValueError,
        match=r"^some/model: no folder here, and the hub did not give it \(no route to some/model\)$",
    ):
        own_model.compress("some/model", tmp_path / "m.nlab")
    given = folder_with(tmp_path / "cache")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **more: asked.update(more) or str(given)
    )
    assert own_model.compress("some/model", tmp_path / "m.nlab", run=False)["bytes"] > 0
    assert not any("*.bin" in pattern or pattern == "*" for pattern in asked["allow_patterns"])
