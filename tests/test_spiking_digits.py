"""The sparing digits: the integer network's counts, at the price of their binary ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurolab.spiking import SIGNED, UNSIGNED, bounds
from neurolab.spiking_digits import IntegerDigits
from neurolab.spiking_rules import IntegerRadix, IntegerRest


@given(
    st.lists(st.integers(-(2**22), 2**22), min_size=1, max_size=20),
    st.integers(1, 2**18),
    st.sampled_from([SIGNED, UNSIGNED]),
    st.integers(2, 8),
)
def test_rests_where_the_integer_network_does(drives: list[int], theta: int, kind: str, bits: int) -> None:
    z, thresholds = torch.tensor(drives, dtype=torch.float32), torch.tensor([float(theta)])
    rule = IntegerDigits(bits)
    S = rule("x", z, thresholds, kind)
    assert torch.equal(S, IntegerRest(bits)("x", z, thresholds, kind))
    assert rule.spikes["x"] == sum(abs(int(s)).bit_count() for s in S)


@pytest.mark.parametrize("kind", [SIGNED, UNSIGNED])
def test_every_half_threshold(kind: str) -> None:
    """Drives on, just below and just above every place where the count changes, and far outside."""
    low, high = bounds(kind, 4)
    theta = 6
    z = torch.tensor(
        [float(theta * k // 2 + e) for k in range(2 * low - 9, 2 * high + 9) for e in (-1, 0, 1)]
    )
    expected = torch.floor(z / theta + 0.5).clamp(low, high)
    assert torch.equal(IntegerDigits()("x", z, torch.tensor([6.0]), kind), expected)


def test_fewer_spikes_than_the_other_radix_codes() -> None:
    z = torch.arange(-8, 8).float() * 10
    theta = torch.tensor([10.0])
    counted = {}
    for name, rule in (
        ("digits", IntegerDigits()),
        ("nearer", IntegerRadix(offset=False)),
        ("offset", IntegerRadix()),
    ):
        rule("x", z, theta, SIGNED)
        counted[name] = rule.spikes["x"]
    assert counted["digits"] == 2 * 12 + 1  # binary ones of 1 .. 7 on both sides, and of 8
    assert counted["digits"] < min(counted["nearer"], counted["offset"])
