"""The spiking assistant as an ONNX graph: equal to chapter 3's own run in every logit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from neurolab import assistant, export, facts, spiking, spiking_files, spiking_run
from neurolab.export.decoder import empty_cache, torch_step
from neurolab.export.onnx_file import session, step_of
from neurolab.export.sources import SPIKING, check_choice
from neurolab.export.spiking_decoder import SpikingDecoder, settled
from neurolab.export.spiking_graph import spiking_graph
from neurolab.spiking_files import Spiking, SpikingError, shapes
from neurolab.spiking_rules import IntegerRadix, IntegerRest, IntegerSpikes
from neurolab.spiking_stream import Stop, stream
from neurolab.tokens import encode_question
from neurolab.transformer import Config

SMALL = Config(vocabulary=40, context=12, width=12, layers=1, heads=3, hidden=20)


def small(seed: int = 0, bits: int = 4, config: Config = SMALL) -> Spiking:
    """A network of random whole numbers whose counts use their whole range."""
    made = torch.Generator().manual_seed(seed)
    p: dict[str, Tensor] = {}
    for name, shape in shapes(config).items():
        if name.endswith(".W"):
            p[name] = torch.randint(-127, 128, shape, generator=made).float()
        elif name == "scale":
            p[name] = torch.tensor(0.5)
        elif name.endswith(".unit"):
            p[name] = torch.tensor(2.0 ** int(torch.randint(0, 3, (), generator=made)))
        elif name.endswith(".theta"):
            p[name] = torch.randint(3, 400, shape, generator=made).float()
        elif name.endswith(".K"):
            p[name] = torch.randint(1, 300, shape, generator=made).float()
        else:
            p[name] = torch.randint(-300, 300, shape, generator=made).float()
    return Spiking(p, config, bits)


def wanted(net: Spiking, ids: Tensor, T: int | None, kind: str) -> Tensor:
    """Chapter 3's run of whole sequences ids (B, L): logits (B, L, V)."""
    rule = (
        IntegerRest(net.bits) if T is None else IntegerSpikes(spiking.schedule(T, kind, net.bits), net.bits)
    )
    S = spiking.features(net.p, ids, net.config, rule)
    return spiking.logits(net.p, S if T is None else S[-1])


RUNS = [(None, "radix", False)] + [
    (T, kind, looped)
    for T, kind in ((1, "unary"), (2, "rescaled"), (5, "halving"), (4, "ramp"))
    for looped in (False, True)
]


@pytest.mark.parametrize(("T", "kind", "looped"), RUNS)
@pytest.mark.parametrize("bits", [2, 4])
def test_every_logit_of_the_graph_is_chapter_threes(
    T: int | None, kind: str, looped: bool, bits: int
) -> None:
    net = small(bits, bits)
    step = step_of(session(spiking_graph(net, T, kind, looped).SerializeToString()))
    ids = torch.randint(0, SMALL.vocabulary, (3, 9), generator=torch.Generator().manual_seed(5))
    right = wanted(net, ids, T, kind)
    cache, at = empty_cache(SMALL, 3), 0
    for n in (1, 4, 1, 3):  # a prompt in pieces, and tokens
        logits, cache = step(ids[:, at : at + n].numpy(), cache)
        at += n
        assert np.array_equal(logits, right[:, at - 1].numpy())
    assert cache.shape == (1, 2, 3, 3, 9, 4)
    assert np.array_equal(cache, np.round(cache))
    assert len(np.unique(right.numpy())) > 100  # no network of one answer


@pytest.mark.parametrize(("T", "kind"), [(None, "radix"), (4, "ramp")])
def test_the_twin_in_torch_gives_the_same_logits_and_cache(T: int | None, kind: str) -> None:
    net = small(3)
    step, graph = torch_step(SpikingDecoder(net, T, kind)), spiking_graph(net, T, kind)
    other = step_of(session(graph.SerializeToString()))
    cache = theirs = empty_cache(SMALL, 2)
    for ids in (np.array([[3, 4, 5], [9, 9, 1]]), np.array([[7], [8]])):
        logits, cache = step(ids, cache)
        found, theirs = other(ids, theirs)
        assert np.array_equal(logits, found)
        assert np.array_equal(cache, theirs)


def test_a_population_alone_rests_at_the_code_of_the_quantizer() -> None:
    z = torch.arange(-4000, 4001).float()
    for theta in (1.0, 2.0, 7.0, 100.0, 333.0):
        for bits, low in ((2, -2), (4, -8), (4, 0), (6, 0)):
            code = torch.floor((2 * z + theta) / (2 * theta)).clamp(low, low + 2**bits - 1)
            assert torch.equal(settled(z, torch.tensor(theta), bits, low), code)


@pytest.mark.parametrize("name", sorted(SPIKING))
def test_the_shipped_networks_give_chapter_threes_logits(name: str) -> None:
    network, T = SPIKING[name]
    net = spiking_files.load(network)
    helper = assistant.load()
    asked = [encode_question(helper.tokenizer, q.text) for q in facts.split("held_out")[::2400]]
    kind = "halving" if T is None else net.card["schedule"]
    ran = stream(net, asked, kind, Stop(T), compiled=False)
    step = step_of(session(SpikingDecoder(net, T).graph().SerializeToString()))
    for i, ids in enumerate(asked):
        right = spiking.logits(net.p, ran.counts[ran.sequence(i)].float())
        half, cache = step(np.array([ids[:3]]), empty_cache(net.config))
        assert np.array_equal(half[0], right[2].numpy())
        whole, _ = step(np.array([ids[3:]]), cache)
        assert np.array_equal(whole[0], right[-1].numpy())


def test_an_exported_folder_answers_as_the_spiking_run(tmp_path: Path) -> None:
    exported = export.export("onnx", "fp32", tmp_path / "made", name="spiking4")
    assert exported.model == "spiking4"
    assert exported.bytes < 1_600_000  # a byte a weight
    helper, asked = assistant.load(), facts.split("held_out")[7::2400]
    texts = [q.text for q in asked]
    net = spiking_run.load("four")
    right = spiking_run.answers(net, helper.tokenizer, texts, 4, net.card["schedule"])
    assert export.open_session(tmp_path / "made").answers(texts) == right
    found = export.compare(tmp_path / "made", export.source("spiking4"), asked)
    assert found["largest_difference"] == 0
    assert found["equal_answers"] == 1


def test_a_loop_does_not_grow_with_the_steps() -> None:
    net = small()
    sizes = {
        looped: [len(spiking_graph(net, T, "unary", looped).graph.node) for T in (2, 12)]
        for looped in (False, True)
    }
    assert sizes[True][0] == sizes[True][1]
    assert sizes[False][1] > 4 * sizes[False][0]


def test_no_operator_is_a_spike_and_weights_are_bytes() -> None:
    made = spiking_graph(spiking_files.load("quantized"))
    kinds = {node.op_type for node in made.graph.node}
    assert {node.domain for node in made.graph.node} == {""}
    assert "MatMulInteger" in kinds
    assert all(onnx.defs.has(kind) for kind in kinds)
    matrices = [x for x in made.graph.initializer if len(x.dims) == 2]
    assert matrices
    assert {x.data_type for x in matrices} == {onnx.TensorProto.INT8}


def test_bad_choices_are_named(tmp_path: Path) -> None:
    net = small()
    with pytest.raises(ValueError, match="T = 0"):
        spiking_graph(net, 0)
    with pytest.raises(ValueError, match="'sideways'"):
        spiking_graph(net, 3, "sideways")
    with pytest.raises(SpikingError, match="8 bits"):
        spiking_graph(Spiking(net.p, net.config, 8))
    with pytest.raises(ValueError, match=r"'int8'.*whole numbers"):
        export.export("onnx", "int8", tmp_path / "made", name="spiking")
    with pytest.raises(ValueError, match=r"'openvino'.*64 bits.*onnx or ort"):
        check_choice("spiking4", "openvino", "fp32")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("0.mix.K", 2**20, "0.mix.membrane"),
        ("0.attention.theta", 2**20, "attention"),
        ("norm.K", 2**31 - 1, "int64"),
    ],
)
def test_sums_that_would_not_be_exact_are_refused(name: str, value: int, said: str) -> None:
    net = small()
    p = {**net.p, name: torch.full_like(net.p[name], value)}
    if name == "norm.K":
        p["embedding.unit"] = p["position.unit"] = torch.tensor(2.0**15)
    with pytest.raises(SpikingError, match=said):
        SpikingDecoder(Spiking(p, net.config, 4))


def test_radix_of_chapter_three_is_the_same_rule() -> None:
    net = small(9)
    ids = torch.randint(0, SMALL.vocabulary, (2, 5), generator=torch.Generator().manual_seed(1))
    radix = spiking.features(net.p, ids, net.config, IntegerRadix(4))
    logits, _ = SpikingDecoder(net)(ids, torch.from_numpy(empty_cache(SMALL, 2)))
    assert torch.equal(logits, spiking.logits(net.p, radix[:, -1]))
