"""OpenVINO with NNCF: the same answers, smaller files, and no word to a server."""

import os
import subprocess
import sys

import numpy as np
import pytest

from neurolab import export
from neurolab.export import openvino
from neurolab.facts import split
from tests.extras.helpers import contents, differences


@pytest.fixture(scope="module")
def folders(assistant, tmp_path_factory):
    """An export of each precision."""
    home = tmp_path_factory.mktemp("openvino")
    return {p: export.export("openvino", p, home / p, assistant=assistant) for p in ("fp32", "int8", "int4")}


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("int8", 0.05), ("int4", 0.5)])
def test_every_step_agrees_with_torch(folders, decoder, precision, most):
    assert max(differences(openvino.open(folders[precision].folder), decoder)) < most


def test_int8_and_int4_are_rounded_at_all(folders, decoder):
    gaps = [max(differences(openvino.open(folders[p].folder), decoder)) for p in ("fp32", "int8", "int4")]
    assert gaps[0] < gaps[1] / 10 < gaps[2] / 20


def test_weights_take_fewer_bytes(folders):
    sizes = {p: e.files[openvino.BIN] for p, e in folders.items()}
    assert sizes["fp32"] > 3.6 * sizes["int8"]
    assert sizes["int8"] > 1.6 * sizes["int4"]


def test_a_batch_is_its_sequences(folders, decoder):
    step = openvino.open(folders["fp32"].folder)
    ids = np.random.default_rng(1).integers(3, 1000, (3, 5))
    cache = np.zeros((2, 2, 3, 2, 0, 32), np.float32)
    together, new = step(ids, cache)
    for i in range(3):
        alone, _ = step(ids[i : i + 1], cache[:, :, i : i + 1])
        assert np.abs(together[i] - alone[0]).max() < 1e-5
    kept = together.copy()
    step(ids[:, :1], new)
    assert (together == kept).all()  # a later call does not write over what was given back


def test_the_whole_way_gives_torch_answers(folders, assistant):
    found = export.compare(folders["fp32"].folder, assistant, split("held_out")[:20])
    assert found["equal_answers"] == 1
    assert found["exact_match"] == found["exact_match_torch"]


def test_an_export_is_the_same_each_time(folders, assistant, tmp_path):
    again = export.export("openvino", "int8", tmp_path / "again", assistant=assistant)
    assert contents(again.folder) == contents(folders["int8"].folder)


def test_rounding_turns_statistics_off(folders):
    code = """
import sys
import openvino
from neurolab.export.openvino import _rounded
_rounded(openvino.Core().read_model(sys.argv[1]), "int8")
from nncf.telemetry import wrapper
print(isinstance(wrapper.telemetry, wrapper.NNCFTelemetry))
"""
    outside = {k: v for k, v in os.environ.items() if k not in ("CI", "NNCF_CI", "NNCF_DEV")}
    model = folders["fp32"].folder / openvino.XML
    done = subprocess.run([sys.executable, "-c", code, model], env=outside, capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["False"], done.stderr


def test_other_precisions_are_refused(decoder, tmp_path):
    with pytest.raises(ValueError, match="precision 'fp16': OpenVINO is exported as fp32, int8 or int4"):
        openvino.export(decoder, tmp_path, "fp16")
