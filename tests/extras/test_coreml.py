"""Core ML: saved, read back, its specification and its weights checked; not executed here."""

import numpy as np
import pytest
import torch

from neurolab import export
from neurolab.export import coreml
from neurolab.export.decoder import example
from tests.extras.helpers import contents


@pytest.fixture(scope="module")
def folders(assistant, tmp_path_factory):
    """An export of each precision."""
    home = tmp_path_factory.mktemp("coreml")
    return {p: export.export("coreml", p, home / p, assistant=assistant) for p in coreml.PRECISIONS}


def test_the_specification_read_back_says_what_was_exported(folders, decoder):
    found = coreml.inspect(folders["fp16"].folder)
    assert found["inputs"] == {"ids": [1, -1], "cache": [4, 2, 40, 32], "past": [1]}
    assert found["outputs"] == {"logits": [1, 1024], "new_cache": [4, 2, 40, 32]}
    assert found["operators"]["linear"] == 4 * 2 + 1
    assert found["operators"]["layer_norm"] == 2 * 2 + 1
    assert found["operators"]["softmax"] == 2
    assert folders["fp16"].cache == "fixed"
    assert folders["fp16"].notes["executed"] is False
    assert "not executed here" in (folders["fp16"].folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("precision", "operator", "most"),
    [
        ("fp16", None, 2**-11),
        ("int8", "constexpr_affine_dequantize", 0.6 / 127),
        ("palette4", "constexpr_lut_to_dense", 0.6),
        ("pruned", "constexpr_sparse_to_dense", 0.5),
    ],
)
def test_weights_in_the_file_are_the_networks(folders, decoder, precision, operator, most):
    found = coreml.inspect(folders[precision].folder, decoder)
    assert found["matrices"] == 2 + 4 * 2
    assert 0 < found["weights_difference"] < most
    compressed = {name: n for name, n in found["operators"].items() if name.startswith("constexpr")}
    assert compressed == ({operator: 2 + 4 * 2} if operator else {})


def test_pruned_weights_are_the_smallest(folders, decoder):
    made = coreml.with_weights(folders["pruned"].folder, decoder)
    weight, old = made.layers[0].up.weight, decoder.layers[0].up.weight
    gone = weight == 0
    assert gone.float().mean().item() == pytest.approx(coreml.SPARSITY, abs=0.01)
    assert old[gone].abs().max() <= old[~gone].abs().min()


def test_a_palette_has_sixteen_values_a_matrix(folders, decoder):
    made = coreml.with_weights(folders["palette4"].folder, decoder)
    assert len(made.layers[1].down.weight.unique()) == 16


def test_torch_runs_the_files_weights(folders, decoder):
    ids, cache = example(decoder.config)
    wanted = decoder(ids, cache)[0]
    gaps = {
        p: (coreml.with_weights(e.folder, decoder)(ids, cache)[0] - wanted).abs().max().item()
        / wanted.abs().max().item()
        for p, e in folders.items()
    }
    assert 0 < gaps["fp16"] < 0.01
    assert gaps["fp16"] < gaps["int8"] < 0.1 < gaps["palette4"]


def test_files_are_smaller(folders):
    sizes = {p: e.bytes for p, e in folders.items()}
    assert sizes["fp16"] > 1.6 * sizes["int8"] > 1.6 * 1.3 * sizes["palette4"]
    assert sizes["fp16"] > 1.1 * sizes["pruned"]


def test_an_export_is_the_same_each_time(folders, assistant, tmp_path):
    again = export.export("coreml", "fp16", tmp_path / "again", assistant=assistant)
    assert contents(again.folder) == contents(folders["fp16"].folder)


def test_opening_says_where_it_would_run(folders):
    with pytest.raises(RuntimeError, match="can't run here"):
        export.open_session(folders["fp16"].folder)
    with pytest.raises(RuntimeError, match="macOS and iOS only"):
        coreml.open(folders["fp16"].folder)


def test_what_can_not_be_exported_is_refused(decoder, tmp_path):
    with pytest.raises(ValueError, match="precision 'fp32': Core ML is exported as fp16, int8"):
        coreml.export(decoder, tmp_path, "fp32")
    with pytest.raises(ValueError, match="a fixed cache needs a plain Decoder"):
        coreml.export(torch.nn.Linear(1, 1), tmp_path, "fp16")
    assert np.array_equal(list(tmp_path.iterdir()), [])
