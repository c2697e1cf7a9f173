"""Spiking layers in the extras' runtimes: every spike as in torch, and no operator for one."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from neurolab.export import spiking_layer, spiking_runtimes
from neurolab.sweeps import export_sources

INSTALLED = [name for name, (package, _) in spiking_runtimes.RUNS.items() if find_spec(package)]


@pytest.mark.parametrize("model", ["signed", "lif"])
def test_every_installed_runtime_fires_as_torch_does(model: str) -> None:
    layer = export_sources.layer(model, 3)
    x = spiking_layer.example(layer, 2)
    found = spiking_runtimes.through(layer, x)
    assert found["exact"] == INSTALLED
    assert found["inexact"] == []
    assert found["largest_difference"] == 0
    assert len(np.unique(layer(x).numpy())) > 1
    assert found["saved"] == (["coreml"] if find_spec("coremltools") else [])


def test_no_installed_runtime_has_an_operator_for_spikes() -> None:
    found = spiking_runtimes.spike_operators()
    assert len(found) >= len(INSTALLED)
    assert all(some["spiking"] == [] for some in found.values())
