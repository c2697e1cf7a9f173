"""Operations counted from runs, against a network small enough to count by hand."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from neurolab.spiking import Integers
from neurolab.spiking_counts import counts_integer, counts_radix, counts_stream, fan_outs, synapses
from neurolab.spiking_files import Spiking, shapes
from neurolab.spiking_state import populations
from neurolab.spiking_stream import stream
from neurolab.transformer import Config
from tests.test_spiking_run import SMALL, network

TINY = Config(vocabulary=3, context=2, width=2, layers=1, heads=1, hidden=3)


def tiny() -> Spiking:
    """Five neurons fire once each, at once: one of norm1, attention, norm2, hidden and the last norm.

    Token 0 is x = (1, 0), so sum |x| + 1 = 2; K = 2^13 makes the threshold 2^14, the drive of x = 1.
    """
    p: Integers = {name: torch.zeros(shape) for name, shape in shapes(TINY).items()}
    for name in p:
        if name.endswith((".unit", ".theta", "scale")):
            p[name] += 1
        if name.endswith("K"):
            p[name] += 2**13
    p["embedding.W"][0, 0] = 1
    p["0.attention.offset"] -= 1
    p["0.up.b"][0] = 1
    return Spiking(p, TINY)


def test_spiking_network_counted_by_hand() -> None:
    net = tiny()
    ran = stream(net, [[0]], "unary")
    assert dict(zip(populations(1), ran.spikes[0].tolist(), strict=True)) == {
        "0.norm1": 1,
        "0.query": 0,
        "0.key": 0,
        "0.value": 0,
        "0.attention": 1,
        "0.mix": 0,
        "0.norm2": 1,
        "0.hidden": 1,
        "norm": 1,
    }
    assert ran.settled.tolist() == [1]
    assert ran.steps.tolist() == [2]  # the second step is silent
    events = 3 * 2 + 2 + 3 + 2 + 3  # norm1, attention, norm2, hidden, norm
    products = 3 * 2 + 2  # three norms and the mix, once
    visits = 2 * (2 + 2 + 2 + 2 + 1 + 2 + 2 + 3 + 2)
    assert asdict(counts_stream(net, ran, [0])) == {
        "tokens": 1,
        "mac_fp32": 0,
        "mac_int8": 0,
        "add_int32": events + 1 + products,  # the attention's sum; |x| of each norm and A of the mix
        "mul_int32": products,
        "compare_int32": 2 * visits,
        "special_fp32": 0,
        "weight_bytes": events + 4 * (3 * 2 + 3),  # and the biases, four bytes each
        "membrane_read_bytes": 5 * visits,
        "membrane_write_bytes": 5 * visits,
        "activation_bytes": 2 * (4 + 4 * 2),  # norm1 written once, read by three; the others written, read
        "spikes": 5,
        "synapses": 2 * 6 + 2 * 1 + 1 * 2 + 2 * 2 + 2 * 3 + 3 * 2 + 2 * 3,
    }
    silent = counts_stream(net, ran, [1])  # the token does not answer: no logits
    assert silent.add_int32 == events + 1 + products - 3
    assert silent.synapses == 38 + 6 - 6 - 6


def test_integer_network_counted_by_hand() -> None:
    net = tiny()
    found = counts_integer(net, [[0]], [0])
    assert found["skipping"].mac_int8 == 16
    assert found["dense"].mac_int8 == found["dense"].synapses == found["skipping"].synapses
    assert found["skipping"].mul_int32 == found["dense"].mul_int32 == (3 + 1) * 2
    assert found["skipping"].weight_bytes == 16 + 4 * 9


def test_radix_spikes_are_digits() -> None:
    """1 is said as one spike, as 2 - 1 by a hasty neuron, and with the offset as the ones of 1 + 8."""
    net = tiny()
    sparing = counts_radix(net, [[0]], [0], sparing=True)
    assert sparing.spikes == 5
    assert sparing.add_int32 == 16 + 1 + 8
    hasty = counts_radix(net, [[0]], [0])
    assert hasty.spikes == 10
    assert hasty.add_int32 == 2 * (16 + 1) + 8
    offset = counts_radix(net, [[0]], [0], offset=True)
    assert offset.spikes == 3 * (2 + 1) + 4 * 2 + 2  # norms hold 1 and 0; q, k, v, mix two zeros; A, hidden 1


def test_fan_outs_follow_the_position() -> None:
    c = Config(vocabulary=11, context=9, width=6, layers=1, heads=2, hidden=8)
    fans = fan_outs(c, torch.tensor([0, 4]), torch.tensor([False, True]))
    assert fans.tolist() == [[18, 1, 1, 1, 3, 6, 8, 6, 0], [18, 5, 1, 1, 3, 6, 8, 6, 11]]


def test_dense_synapses_are_the_products_of_the_matrices() -> None:
    c, L = SMALL, 3
    D, F, V = c.width, c.hidden, c.vocabulary
    one = [c.layers * (4 * D * D + 2 * D * F + 2 * D * (n + 1)) for n in range(L)]
    found = synapses(c, torch.arange(L), torch.tensor([False, False, True]))
    assert found == sum(one) + D * V


@pytest.mark.parametrize("seed", range(3))
def test_spikes_cost_more_than_numbers_that_are_not_zero(seed: int) -> None:
    """Each count that is not 0 takes at least one spike, on any path to it."""
    net, ids = network(seed), [[1, 2, 3], [4, 5]]
    skipping = counts_integer(net, ids, [0, 0])["skipping"]
    digits = counts_radix(net, ids, [0, 0])
    spikes = counts_stream(net, stream(net, ids, "unary"), [0, 0])
    assert skipping.mac_int8 < digits.add_int32 < spikes.add_int32
    assert skipping.tokens == digits.tokens == spikes.tokens == 5
