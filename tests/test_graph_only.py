"""The graph without weights: byte for byte the whole export once they are put in, small without them."""

from __future__ import annotations

import gzip

import numpy as np
import onnx
import pytest
import torch

from neurolab.export import graph_only, onnx_file, onnx_graph
from neurolab.export.decoder import Decoder, empty_cache, torch_step
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=40, context=8, width=8, layers=2, heads=2, hidden=16, head=3)


def network(seed: int = 1, config: Config = SMALL) -> Transformer:
    """A network with weights drawn at random, the norms' too."""
    torch.manual_seed(seed)
    model = Transformer(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
    return model


@pytest.fixture(scope="module")
def made() -> bytes:
    return graph_only.graph(SMALL)


@pytest.fixture(scope="module")
def full() -> onnx.ModelProto:
    return onnx_graph.build(Decoder(network()))


def test_filled_it_is_the_whole_export(made: bytes, full: onnx.ModelProto) -> None:
    """Byte for byte; so it is the same every time, too."""
    wanted = full.SerializeToString(deterministic=True)
    assert graph_only.fill(made, network().state_dict()) == wanted
    assert graph_only.without_weights(full, network().state_dict()) == made
    assert graph_only.fill(made, network(2).state_dict()) != wanted


def test_filled_it_runs_as_torch_does(made: bytes) -> None:
    model = network()
    step = onnx_file.step_of(onnx_file.session(graph_only.fill(made, model.state_dict())))
    ids = np.array([[3, 1, 4, 1], [5, 9, 2, 6]], np.int64)
    got, cache = step(ids, empty_cache(SMALL, 2))
    wanted, longer = torch_step(Decoder(model))(ids, empty_cache(SMALL, 2))
    assert np.abs(got - wanted).max() < 1e-5
    assert np.abs(cache - longer).max() < 1e-5
    assert got.shape == (2, 40)
    assert cache.shape == (2, 2, 2, 2, 4, 3)


def test_no_dice_are_touched() -> None:
    torch.manual_seed(7)
    first = torch.rand(3)
    torch.manual_seed(7)
    graph_only.graph(SMALL)
    assert torch.equal(torch.rand(3), first)


def test_no_weight_is_left_inside(made: bytes, full: onnx.ModelProto) -> None:
    """Every tensor of the network is asked for once, and what stays is a few kilobytes."""
    asked = [
        name for where in graph_only.locations(made).values() for name in where.removesuffix(".T").split("+")
    ]
    assert sorted(asked) == sorted(network().state_dict())
    assert not any(
        weight.raw_data and len(weight.raw_data) > 16 for weight in _parsed(made).graph.initializer
    )
    assert len(gzip.compress(made, mtime=0)) < 4000


def _parsed(made: bytes) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(made)


def test_what_does_not_fit_is_refused(made: bytes) -> None:
    weights = network().state_dict()
    lacking = {name: x for name, x in weights.items() if name != "blocks.1.attention.key.weight"}
    with pytest.raises(ValueError, match=r"lacks 'blocks\.1\.attention\.key\.weight'"):
        graph_only.fill(made, lacking)
    other = network(1, Config(**{**vars(SMALL), "hidden": 24})).state_dict()
    with pytest.raises(ValueError, match=r"up\.weight\.T has shape \(8, 24\): .* \(8, 16\)"):
        graph_only.fill(made, other)
    for bad in (b"no graph", made[: len(made) // 2]):
        with pytest.raises(ValueError, match="no ONNX"):
            graph_only.fill(bad, weights)
    with pytest.raises(ValueError, match=r"weight 'layers\.0\.gate\.weight': no tensors"):
        graph_only.recipe("layers.0.gate.weight")


def test_a_graph_that_the_recipes_do_not_know_is_noticed(full: onnx.ModelProto) -> None:
    model = network()
    with pytest.raises(RuntimeError, match="its numbers are not those of"):
        graph_only.without_weights(full, network(2).state_dict())
    with pytest.raises(RuntimeError, match=r"no place for gate\.weight"):
        graph_only.without_weights(full, {**model.state_dict(), "gate.weight": torch.zeros(2)})
