"""A spiking network on disk: written, read back, and refused where anything is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurolab.spiking_files import Spiking, SpikingError, check, export, load, save, shapes
from neurolab.spiking_student import Form, Student
from tests.test_spiking_run import SMALL, network, shipped


def written(folder: Path) -> Spiking:
    net = network(4)
    save(net.p, Form(SMALL), "one", folder, {"about": "a test"})
    return net


def resign(folder: Path) -> None:
    """Make the card's hash that of the file, so that only its contents are wrong."""
    card = json.loads((folder / "one.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((folder / "one.safetensors").read_bytes()).hexdigest()
    card["sha256"]["one.safetensors"] = digest
    (folder / "one.json").write_text(json.dumps(card), encoding="utf-8")


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    net, back = written(tmp_path), load("one", tmp_path)
    assert back.config == SMALL
    assert back.bits == 4
    assert back.card["about"] == "a test"
    assert all(torch.equal(x, back.p[name]) for name, x in net.p.items())
    assert all(x.dtype == torch.float32 for x in back.p.values())
    on_disk = load_file(tmp_path / "one.safetensors")
    assert {str(x.dtype) for name, x in on_disk.items() if name.endswith(".W")} == {"torch.int8"}
    assert on_disk["norm.K"].dtype == torch.int32


def test_missing_truncated_corrupted(tmp_path: Path) -> None:
    with pytest.raises(SpikingError, match=r"one\.json: missing"):
        load("one", tmp_path)
    written(tmp_path)
    path = tmp_path / "one.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(SpikingError, match="truncated"):
        load("one", tmp_path)
    bad = bytearray(whole)
    bad[-5] ^= 1
    path.write_bytes(bytes(bad))
    with pytest.raises(SpikingError, match=r"changed or corrupted|holds"):
        load("one", tmp_path)
    path.unlink()
    with pytest.raises(SpikingError, match=r"one\.safetensors: missing"):
        load("one", tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"model": {"config": {}, "bits": 99}, "sha256": {}}', "[]"])
def test_card_that_is_none(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    (tmp_path / "one.json").write_text(text, encoding="utf-8")
    with pytest.raises(SpikingError, match="not a card"):
        load("one", tmp_path)


def test_wrong_contents_are_named(tmp_path: Path) -> None:
    net = written(tmp_path)
    path = tmp_path / "one.safetensors"
    good = load_file(path)
    for changed, said in (
        ({"norm.K": torch.ones(5, dtype=torch.int32)}, r"'norm\.K' has shape \(5,\)"),
        ({"extra": torch.ones(1)}, "'extra'"),
        ({"0.up.theta": torch.zeros(8, dtype=torch.int32)}, r"0\.up\.theta holds 0 to 0"),
        ({"0.out.unit": torch.tensor(3, dtype=torch.int32)}, "power of two"),
        ({"norm.K": good["norm.K"].float()}, "must be torch.int32"),
        ({"0.up.b": torch.full((8,), 2**25, dtype=torch.int32)}, r"2\^24"),
    ):
        save_file(good | changed, path)
        resign(tmp_path)
        with pytest.raises(SpikingError, match=said):
            load("one", tmp_path)
    with pytest.raises(SpikingError, match="whole"):
        check(dict(net.p) | {"norm.K": net.p["norm.K"] + 0.5}, SMALL)
    with pytest.raises(SpikingError, match="NaN"):
        check(dict(net.p) | {"norm.K": net.p["norm.K"] * torch.nan}, SMALL)
    with pytest.raises(SpikingError, match="scale"):
        check(dict(net.p) | {"scale": torch.tensor(0.0)}, SMALL)
    with pytest.raises(SpikingError, match="-127 to 127"):
        check(dict(net.p) | {"0.up.W": net.p["0.up.W"] * 0 - 128}, SMALL)


def test_export_gives_whole_numbers_of_the_right_shapes() -> None:
    torch.manual_seed(0)
    p = export(Student(Form(SMALL)))
    assert {name: tuple(x.shape) for name, x in p.items()} == shapes(SMALL)
    assert all(torch.equal(x, x.round()) for name, x in p.items() if name != "scale")
    assert not any(x.requires_grad for x in p.values())


def test_export_of_a_silent_neuron_keeps_it_silent() -> None:
    """A row of zeros has no scale: its threshold would pass int32, but twice its reach says the same."""
    torch.manual_seed(0)
    student = Student(Form(SMALL))
    with torch.no_grad():
        student.parts()[0].up[3] = 0.0
    p = export(student)
    assert p["0.up.theta"][3] == 2
    assert p["0.up.b"][3] == 0


def test_shipped_card_names_its_sizes() -> None:
    net = shipped()
    assert net.card["model"]["bits"] == net.bits
    assert len(net.p) == len(shapes(net.config))
