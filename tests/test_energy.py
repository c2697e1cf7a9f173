"""The energy models: counts by hand, published break-evens, invariants."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from neurolab.energy import (
    DEFAULT,
    PLACES,
    Counts,
    Model,
    break_even,
    energy,
    neuron_step,
    ratio,
    synapse,
    total,
)
from neurolab.energy_counts import Meter, counts_ordinary, counts_sequences
from neurolab.energy_published import (
    DAMPFHOFFER,
    Twin,
    bits_of,
    break_even_rate,
    curve,
    dense_rate,
    energies,
    range_of_break_evens,
)
from neurolab.transformer import Config, Transformer

TINY = Config(vocabulary=7, context=5, width=4, layers=1, heads=2, hidden=6)
amounts = st.builds(Counts, **{f.name: st.floats(0, 1e6) for f in fields(Counts)})


def test_constants_are_horowitz_2014_45_nm() -> None:
    m = Model()
    assert (m.add_fp32, m.multiply_fp32, m.multiply_int8, m.add_int32, m.multiply_int32) == (
        0.9,
        3.7,
        0.2,
        0.1,
        3.1,
    )
    assert (m.mac_fp32, m.mac_int8) == pytest.approx((4.6, 0.23))
    assert [m.byte(place) for place in PLACES] == [0.0, 1.25, 2.5, 12.5, 162.5]


def test_energy_by_hand() -> None:
    counts = Counts(1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120)
    model = replace(DEFAULT, weights="1 MB", membranes="32 KB", activations="register", accumulators="8 KB")
    assert energy(counts, model) == pytest.approx(
        {
            "compute": 46 + 4.6 + 3,
            "thresholds": 124 + 5,
            "specials": 60 * 7.1 * 3.7,
            "weights": 875,
            "membrane_reads": 200,
            "membrane_writes": 225,
            "activations": 0,
            "accumulators": 60 * 8 * 1.25,
        }
    )


@given(amounts, amounts)
def test_parts_sum_and_energies_add(a: Counts, b: Counts) -> None:
    assert total(a) == pytest.approx(sum(energy(a).values()))
    assert total(a + b) == pytest.approx(total(a) + total(b))


@given(
    amounts,
    st.sampled_from([f.name for f in fields(Counts) if f.name not in ("tokens", "spikes", "synapses")]),
)
def test_every_count_costs(counts: Counts, name: str) -> None:
    assert total(replace(counts, **{name: getattr(counts, name) + 1e3})) > total(counts) + 1


@given(amounts, st.sampled_from(["weights", "membranes", "activations", "accumulators"]))
def test_farther_is_never_cheaper(counts: Counts, what: str) -> None:
    costs = [total(counts, replace(DEFAULT, **{what: place})) for place in PLACES]
    assert costs == sorted(costs)


def test_ratio_is_per_token() -> None:
    dense = Counts(tokens=2, mac_int8=200, weight_bytes=200)
    spiking = Counts(tokens=1, add_int32=100, weight_bytes=100)
    assert ratio(dense, spiking) == pytest.approx(1.48 / 1.35)
    assert (dense + dense).per_token() == dense.per_token()


def test_ordinary_assistant_by_hand() -> None:
    """D = 4, F = 6, V = 7, H = 2, E = 2, one layer, third token: 3 tokens seen."""
    matrices = 4 * 4 * 4 + 2 * 4 * 6 + 7 * 4  # query, key, value, out; up, down; logits
    attention = 2 * (2 * 3 + 3 * 2)  # two heads: scores, mix
    norms = 3 * (2 * 4)  # weight and bias of each
    small = 3 * 4 * 4 + 2 * 3 + 3 * 4  # norms, softmax, three additions: position, attention, feed-forward
    specials = 3 * 2 + 6 + 2 * (3 + 1)  # norms, GELU, softmax
    handed = 4 * (4 + 4) + (4 + 6) + (6 + 4) + (4 + 7) + 2 * (2 + 3 + 3 + 2) + 3 * 2 * 4 + 2 * 6
    assert counts_ordinary(TINY, 2) == Counts(
        tokens=1,
        mac_fp32=matrices + attention + small,
        special_fp32=specials,
        weight_bytes=4 * (matrices + attention + norms + 2 * 4),
        activation_bytes=4 * handed,
        synapses=matrices + attention,
    )
    assert counts_ordinary(TINY, 2, "int8") == Counts(
        tokens=1,
        mac_fp32=small,
        mac_int8=matrices + attention,
        mul_int32=4 * 4 + 6 + 4 + 7 + 2 * (3 + 2),
        special_fp32=specials,
        weight_bytes=matrices + attention + 4 * (norms + 2 * 4),
        activation_bytes=handed,
        synapses=matrices + attention,
    )


@pytest.mark.parametrize("position", [0, 1, 4])
def test_against_torchs_own_counter(position: int) -> None:
    """With attention as two matrix products: torch's counter leaves out its fused form on a processor."""
    model, one = Transformer(TINY), torch.zeros(1, 1, dtype=torch.long)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        cache = model.features(one.expand(1, position))[1] if position else None
        with FlopCounterMode(display=False) as counter:
            model.logits(model.features(one, cache)[0])
    assert counts_ordinary(TINY, position).synapses == counter.get_total_flops() / 2


def two_layers() -> torch.nn.Sequential:
    net = torch.nn.Sequential(
        torch.nn.Linear(8, 16, bias=False), torch.nn.ReLU(), torch.nn.Linear(16, 4, bias=False)
    )
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.copy_((torch.arange(layer.weight.numel()) * 7 % 11 - 5.5).view_as(layer.weight))
    return net


@pytest.mark.parametrize(
    (
        "spikes",
        "published",
    ),  # per sample: SynapticOperations of neurobench 2.3.0 on this net and these inputs
    [
        (False, 81.0),
        (True, 54.5 + 22.25),
    ],  # effective MACs; effective ACs of the first layer, MACs of the second
)
def test_products_with_zeros_skipped_as_neurobench_counts_them(spikes: bool, published: float) -> None:
    x = (torch.arange(32 * 8) * 5 % 7 - 3).clamp(min=0).float().view(32, 8)
    x = (x > 0).float() if spikes else x
    with torch.no_grad():
        net = two_layers()
        with Meter() as meter:
            net(x)
    assert meter.effective / 32 == published
    assert meter.products / 32 == 192.0  # its "Dense"


def test_what_neurobench_leaves_out_of_a_transformer() -> None:
    """neurobench 2.3.0 gives 336 for three tokens of the tiny one: it sees layers, so neither attention's
    products nor the output matrix, which is the embedding's."""
    attention = (1 + 2 + 3) * 2 * TINY.width
    assert counts_sequences(TINY, [3]).synapses == 336 + attention + 3 * TINY.width * TINY.vocabulary


def test_sequences_are_the_sum_of_their_tokens() -> None:
    one_by_one = sum((counts_ordinary(TINY, n) for length in (1, 3, 5) for n in range(length)), Counts())
    together = counts_sequences(TINY, [1, 3, 5])
    assert vars(together) == pytest.approx(vars(one_by_one))
    asked = [(n, n >= first) for length, first in ((1, 0), (3, 2), (5, 5)) for n in range(length)]
    one_by_one = sum((counts_ordinary(TINY, n, "int8", answers) for n, answers in asked), Counts())
    assert vars(counts_sequences(TINY, [1, 3, 5], "int8", [0, 2, 5])) == pytest.approx(vars(one_by_one))


def test_meter_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="sin"), torch.no_grad(), Meter():
        torch.ones(2).sin()


def test_counting_leaves_dice_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    counts_ordinary(TINY, 1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("T", "weight_bits", "published"),  # arXiv 2409.08290, 4,096 inputs
    [(5, 4, 0.057), (2, 4, 0.104), (2, 8, 0.123), (3, 8, 0.082)],
)
def test_break_even_of_yan(T: int, weight_bits: int, published: float) -> None:
    assert abs(break_even_rate(T, weight_bits) - published) <= 0.0015


def test_the_headline_of_yan_to_its_last_digit() -> None:
    assert round(break_even_rate(5), 3) == 0.057


def test_yan_dense_dataflow_and_sensitivity() -> None:
    assert abs(dense_rate(4) - 0.12) < 0.01  # "0.12 to 0.17"
    assert round(dense_rate(8), 2) == 0.17
    half, more = (break_even_rate(5, constants=Twin(weight_bit=0.038 * k)) for k in (0.5, 1.5))
    assert (half, more) == pytest.approx((0.0539, 0.0608), abs=3e-4)  # weights at half and one and a half
    least = break_even_rate(5, constants=Twin(dense_bit=0.125))
    most = break_even_rate(5, constants=Twin(sparse_bit=1.5))
    assert (least, most) == pytest.approx((0.0341, 0.1080), abs=1.5e-3)  # the widest of their variations


def test_compute_alone_breaks_even_where_their_formula_says() -> None:
    """T s_r = k (1 - gamma), here with k = b and the middle spike rate: only T / b decides, never s_r."""
    alone = Twin(compare=0.0, subtract=0.0, sparse_bit=0.0, dense_bit=0.0, weight_bit=0.0)
    for T in (2, 5, 9):
        for rate in (0.01, 0.1):
            spiking, twin = energies(T, rate, constants=alone)
            assert spiking / twin == pytest.approx((T + 1) / (2 * bits_of(T)))


def test_break_even_is_a_saw() -> None:
    """It falls with T, but for the steps at which the twin needs one bit more."""
    rates = curve(range(2, 17))
    rises = [T for T in range(3, 17) if rates[T - 2] > rates[T - 3]]
    assert rises == [4, 8, 16]
    assert rates.max() == rates[0]


def test_our_range_beside_dampfhoffers() -> None:
    """Not a reproduction (their equations are not ours): the same question, an overlapping answer."""
    least, most = range_of_break_evens(replace(DEFAULT, membranes="register"))
    assert (least, most) == pytest.approx((0.5 * 0.23 / 1.35, 1.48 / 1.35))
    assert least < DAMPFHOFFER[0] < most < DAMPFHOFFER[1]


def test_break_even_is_where_the_energies_meet() -> None:
    n = break_even(8, density=0.6, fan_in=160)
    spiking = n * synapse("spike") + 8 * total(neuron_step()) / 160
    assert spiking == pytest.approx(0.6 * synapse("int8"))
    assert break_even(64, density=0.1, fan_in=16) == 0.0
    assert break_even(1, against="fp32") > 4 * break_even(1)


def test_one_spike_for_each_active_neuron_wins_only_by_the_multiplication() -> None:
    """The same weights are fetched: what is left is 0.23 - 0.1 pJ of 1.48, less the membranes."""
    free = replace(DEFAULT, membranes="register", compare_int32=0.0)
    assert break_even(1, density=1.0, model=free) == pytest.approx(1.48 / 1.35)
    far = replace(free, weights="1 MB")
    assert 1 < break_even(1, density=1.0, model=far) < 1.011


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Counts(tokens=-1), "tokens -1"),
        (lambda: Counts(spikes=float("nan")), "spikes nan"),
        (lambda: Counts().per_token(), "tokens is 0"),
        (lambda: Model(weights="disk"), "weights 'disk'"),
        (lambda: Model(dram=-1.0), "dram -1.0"),
        (lambda: DEFAULT.byte("disk"), "place 'disk'"),
        (lambda: synapse("int4"), "kind 'int4'"),
        (lambda: break_even(0), "T 0"),
        (lambda: break_even(1, density=2), "density 2"),
        (lambda: break_even(1, fan_in=0), "fan_in 0"),
        (lambda: counts_ordinary(TINY, 5), "position 5"),
        (lambda: counts_ordinary(TINY, 0, "fp16"), "dtype 'fp16'"),
        (lambda: counts_sequences(TINY, [6]), r"lengths \[6\]"),
        (lambda: counts_sequences(TINY, [2], answers=[3]), r"answers \[3\]"),
        (lambda: bits_of(0), "T 0"),
        (lambda: energies(2, 1.5), "rate 1.5"),
        (lambda: range_of_break_evens(density=-1), "density -1"),
    ],
)
def test_bad_input_is_named(call, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=says):
        call()
