"""Rows of the spiking networks' energy, and the explorer that shows them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolab import assistant, spiking_run
from neurolab.bench.encoding import sample
from neurolab.bench.spiking_energy import (
    MODELS,
    Opponents,
    Run,
    best,
    check_digits,
    figures,
    findings,
    held,
    ratios,
)
from neurolab.energy import DEFAULT, PLACES, Counts, total
from neurolab.energy_pictures import (
    HEARD,
    NETWORKS,
    PARTS,
    RATES,
    STEPS,
    compute,
    describe,
    explorer,
    networks,
    point,
)
from neurolab.spiking import features
from neurolab.spiking_counts import counts_integer, counts_radix
from neurolab.spiking_rules import IntegerRest

SKIPPING = Counts(tokens=2, mac_int8=600, weight_bytes=600, membrane_read_bytes=40, synapses=1000)
OTHERS = Opponents(
    fp32=Counts(tokens=2, mac_fp32=1000, weight_bytes=4000, synapses=1000),
    int8=Counts(tokens=2, mac_int8=1000, weight_bytes=1000, synapses=1000),
    int8_zero_skipping=SKIPPING,
)
RADIX = Counts(
    tokens=2,
    add_int32=1000,
    weight_bytes=1000,
    membrane_read_bytes=90,
    membrane_write_bytes=80,
    spikes=20,
    synapses=1000,
)


def test_figures_by_hand() -> None:
    said = figures(RADIX, OTHERS)
    nj = (50 + 625 + 56.25 + 50) / 1e3  # additions, weights, membranes read and written: pJ per token, in nJ
    assert said["energy_nj_per_token"] == pytest.approx(500 * (0.1 + 1.25) / 1e3 + 85 * 1.25 / 1e3)
    assert said["compute_nj_per_token"] == pytest.approx(0.05)
    assert said["weights_nj_per_token"] == pytest.approx(0.625)
    assert said["membranes_nj_per_token"] == pytest.approx(85 * 1.25 / 1e3)
    assert nj == pytest.approx(said["energy_nj_per_token"])
    skipping = (300 * 1.48 + 20 * 1.25) / 1e3
    assert said["ratio_vs_int8_zero_skipping"] == pytest.approx(skipping / nj)
    assert said["ratio_vs_int8_zero_skipping_without_membranes"] == pytest.approx(300 * 1.48 / 675)
    assert said["ratio_vs_fp32"] == pytest.approx(500 * 9.6 / 1e3 / nj)
    assert said["events_per_nonzero"] == pytest.approx(1000 / 600)
    assert (said["density"], said["spikes_per_synapse"], said["spikes_per_token"]) == (0.6, 1.0, 10)


def test_held_weights_are_the_opponents() -> None:
    """With weights held only the operations differ: 100 pJ of additions for 138 of products."""
    counts = held(RADIX, SKIPPING)
    assert total(SKIPPING) - total(counts) == pytest.approx(600 * 0.23 - 1000 * 0.1)
    assert (
        ratios(counts, OTHERS)["ratio_vs_int8_zero_skipping"]
        > 1
        > ratios(RADIX, OTHERS)["ratio_vs_int8_zero_skipping"]
    )
    with pytest.raises(ValueError, match="tokens"):
        held(replace(RADIX, tokens=3), SKIPPING)
    with pytest.raises(ValueError, match="radix adds 500"):
        held(replace(RADIX, add_int32=500), SKIPPING)


def test_rows() -> None:
    runs = [
        Run("quantized", "radix", 0, RADIX, {"exact_match": 0.95}),
        Run("two", "rescaled", 2, replace(RADIX, add_int32=100, weight_bytes=100), {"exact_match": 0.5}),
    ]
    found = findings(runs, OTHERS)
    energies = [one for one in found if one.name == "spiking.energy"]
    assert [one.setting["schedule"] for one in energies] == ["radix", "radix, weights held", "rescaled"]
    assert all(one.kind == "simulated" for one in found)
    assert [one.figures["exact_match"] for one in energies] == [0.95, 0.95, 0.5]
    models = [one for one in found if one.name == "spiking.energy_models"]
    assert len(models) == 3 * len(MODELS)
    default = next(one for one in models if one.setting["model"] == "default" and one.setting["T"] == 2)
    assert default.figures["ratio_vs_int8"] == energies[2].figures["ratio_vs_int8"]
    assert best(found) is energies[2]
    assert best(found, least=0.9) is energies[1]
    assert best(found, least=0.99) is None
    with pytest.raises(ValueError, match="two ran 5 tokens"):
        findings([Run("two", "unary", 2, replace(RADIX, tokens=5))], OTHERS)


def test_events_of_the_shipped_network_counted_again() -> None:
    """Additions of sparing radix by another road: binary ones of the integer counts, times fan-out."""
    net, one = spiking_run.load("quantized"), assistant.load()
    c = net.config
    sequences, starts = spiking_run.rows_of(one.tokenizer, sample(4))
    check_digits(net, sequences)
    kept: dict[str, torch.Tensor] = {}

    class Keep(IntegerRest):
        def __call__(self, name: str, z: torch.Tensor, theta: torch.Tensor, kind: str) -> torch.Tensor:
            kept[name] = super().__call__(name, z, theta, kind)
            return kept[name]

    events = spikes = nonzero = 0
    for ids, start in zip(sequences, starts, strict=True):
        features(net.p, torch.tensor([ids]), c, Keep(net.bits))
        for name, S in kept.items():
            for place in S[0].reshape(-1, *S.shape[-2:]).long().unbind(0):  # a head, or all of them: (L, ...)
                for n, counts in enumerate(place.tolist()):
                    part = name.split(".")[-1]
                    fan = {"norm1": 3 * c.width, "query": n + 1, "attention": c.width // c.heads + 1}
                    fan |= {"key": 1, "value": 1, "norm2": c.hidden, "norm": c.vocabulary * (n >= start)}
                    ones = sum(abs(count).bit_count() for count in counts)
                    spikes += ones
                    events += ones * fan.get(part, c.width)
                    if part not in ("key", "value"):
                        size = fan[part] - (part == "attention") if part in fan else c.width
                        nonzero += sum(count != 0 for count in counts) * size
    tokens = sum(map(len, sequences))
    grown = tokens * (3 * c.layers + 1) * c.width
    found = counts_radix(net, sequences, starts, sparing=True)
    assert (found.spikes, found.add_int32) == (spikes, events + grown)
    skipping = counts_integer(net, sequences, starts)["skipping"]
    assert skipping.mac_int8 == nonzero
    assert total(held(found, skipping)) < total(skipping) < total(found)


def test_networks_of_one_synapse_by_hand() -> None:
    found = networks(4, 0.1, 0.5, 100)
    assert found["int8, zeros skipped"] == Counts(mac_int8=0.5, weight_bytes=0.5, activation_bytes=0.02)
    spikes = found["spikes"]
    assert (spikes.add_int32, spikes.weight_bytes) == pytest.approx((0.4, 0.4))
    assert (spikes.membrane_read_bytes, spikes.membrane_write_bytes) == pytest.approx((0.2, 0.2))
    assert spikes.compare_int32 == pytest.approx(0.08)


@pytest.mark.parametrize("weights", PLACES[1:])
@pytest.mark.parametrize("membranes", PLACES[:4])
def test_explorer_result_agrees_with_itself(weights: str, membranes: str) -> None:
    for T in STEPS:
        for rate in RATES:
            result = compute(T, rate, weights, membranes)
            assert sum(result[part] for part in PARTS) == pytest.approx(result["total"])
            here = np.interp(T * rate, HEARD, result["line spikes"])
            if HEARD[0] <= T * rate <= HEARD[-1]:
                assert here == pytest.approx(float(result["here y"][0]))
            wins = result["total"][3] < result["total"][2]
            assert wins == (T * rate < result["break-even"])
            assert result["winner"] == NETWORKS[int(np.argmin(result["total"]))]


def test_points_move_with_the_memories() -> None:
    measured = [("ours", RADIX)]
    near = compute(4, 0.1, "8 KB", "8 KB", points=measured)
    far = compute(4, 0.1, "1 MB", "8 KB", points=measured)
    assert near["points x"] == [1.0]
    assert near["points y"] == pytest.approx([total(RADIX) / 1000])
    assert far["points y"] == pytest.approx([total(RADIX, replace(DEFAULT, weights="1 MB")) / 1000])


def test_a_row_becomes_a_point() -> None:
    row = findings([Run("four", "halving", 4, RADIX)], OTHERS)[0]
    assert point(row) == ("four, halving, T = 4", RADIX.per_token())


def test_describe_says_who_wins() -> None:
    assert "Least: spikes." in describe(compute(1, 0.1, "1 MB", "register"))
    assert "at no number of spikes" in describe(compute(64, 0.1, "8 KB", "1 MB"))
    assert "below 0.51" in describe(compute(1, 0.5, "1 MB", "register"))


@pytest.mark.parametrize("points", [[], [("ours", RADIX)]])
def test_explorer_builds(points: list[tuple[str, Counts]]) -> None:
    one = explorer(points)
    assert one.controls_values == {"T": 4, "rate": 0.1, "weights": "8 KB", "membranes": "8 KB"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((0, 0.1), "T 0"),
        ((1, 2.0), "rate 2.0"),
        ((1, 0.1, 3.0), "density 3.0"),
        ((1, 0.1, 0.5, 0), "fan_in 0"),
    ],
)
def test_bad_input_is_named(values: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        networks(*values)  # type: ignore[arg-type]
