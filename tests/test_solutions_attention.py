"""Chapter 3's references against other ways to the same answer."""

from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from neurolab.exercises import check, get
from neurolab.solutions.attention import attend, bound, delta, energy, mix, settle
from neurolab.spiking import SIGNED, UNSIGNED, bounds, schedule
from neurolab.spiking_student import Spikes
from neurolab.stbif import code


@pytest.mark.parametrize("word", ["causal", "divide", "rest", "delta", "bound", "energy"])
def test_a_solution_can_be_pasted_into_the_notebook(word):
    exercise, space = get(f"attention.{word}"), {"torch": torch}
    exec(exercise.source(), space)
    assert check(exercise.name, space[exercise.reference.__name__]).passed


@pytest.mark.parametrize("case", get("attention.causal").inputs())
def test_attention_is_pytorchs_own(case):
    q, k, v = case[0]
    want = scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    torch.testing.assert_close(attend(q, k, v), want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", get("attention.divide").inputs())
def test_division_agrees_with_fractions(case):
    A, V, K = (x.tolist() for x in case[0])
    for i, e in product(range(len(A)), range(len(K))):
        n = 256 * sum(a * v[e] for a, v in zip(A[i], V, strict=True))
        exact = floor(Fraction(n, K[e] * (sum(A[i]) + 1)) + Fraction(1, 2))
        assert mix(*case[0])[i, e].item() == min(max(exact, -8), 7)


@pytest.mark.parametrize("kind", [SIGNED, UNSIGNED])
@pytest.mark.parametrize("form", ["unary", "halving"])
def test_the_neuron_is_the_networks_own(kind, form):
    rng, T = np.random.default_rng(3), 12
    for theta in (1, 6, 7, 40):
        z = rng.integers(-12 * theta, 12 * theta, (T, 50)).cumsum(0)
        weights = schedule(T, form)
        drive = torch.tensor(z, dtype=torch.float64)
        theirs = Spikes(weights)("x", drive, torch.tensor(float(theta)), kind)
        ours = [settle(column.tolist(), weights[kind], theta, *bounds(kind, 4)) for column in z.T]
        assert theirs.T.tolist() == ours


def test_the_neuron_rests_at_the_code():
    z = torch.arange(-200, 200, dtype=torch.float64)
    for kind, form in product((SIGNED, UNSIGNED), ("unary", "halving")):
        low, high = bounds(kind, 4)
        weights = schedule(high - low, form)[kind]
        last = [
            settle([int(a)] * len(weights), list(weights), 9, low, high)[-1]
            for a in z.to(torch.int64).tolist()
        ]
        assert last == code(z, 9.0, low, high).tolist()


def test_whole_halves_may_be_rounded_down():
    """`w theta // 2` for `w theta / 2` changes no spike, so a reader who writes that passes."""

    def halved(z, weights, theta, S_min, S_max):
        S, counts = 0, []
        for drive, w in zip(z, weights, strict=True):
            V = drive - theta * S + w * theta // 2
            if V >= w * theta and S + w <= S_max:
                S += w
            elif V < 0 and S - w >= S_min:
                S -= w
            counts.append(S)
        return counts

    assert check("attention.rest", halved).passed


@pytest.mark.parametrize("weights", [(1,) * 9, (4, 2, 1, 1, 1, 1)])
def test_the_changes_add_up_to_the_product_at_every_step(weights):
    rng = np.random.default_rng(5)
    S_q, S_k = torch.zeros(4, 6, dtype=torch.int64), torch.zeros(5, 6, dtype=torch.int64)
    scores = torch.zeros(4, 5, dtype=torch.int64)
    for w in weights:
        s_q, s_k = (torch.tensor(w * rng.integers(-1, 2, S.shape)) for S in (S_q, S_k))
        S_q = S_q + s_q
        scores += delta(s_q, s_k, S_q, S_k)
        S_k = S_k + s_k
        assert torch.equal(scores, S_q @ S_k.T)


def test_no_chain_of_neurons_takes_longer_than_the_bound():
    rng, T, reached = np.random.default_rng(7), 90, 0
    for _ in range(300):
        stages = [[[(-8, 7)], [(0, 15)], [(-2, 1)]][i] for i in rng.integers(0, 3, 4)]
        drive, worst = [int(rng.integers(-400, 400))] * T, 0
        for (low, high), *_ in stages:
            S = settle(drive, [1] * T, 10, low, high)
            worst = max([worst] + [t + 1 for t in range(T) if S[t] != (S[t - 1] if t else 0)])
            gain, offset = (int(a) for a in rng.integers((-40, -100), (40, 100)))
            drive = [gain * a + offset for a in S]
        assert worst <= bound(stages)
        reached = max(reached, worst)
    assert reached > 15  # longer than any one stage alone


def test_the_assistants_own_bound():
    signed, unsigned = [(-8, 7)], [(0, 15)]
    block = [signed, signed * 3, unsigned, signed, signed, unsigned]
    assert bound(block * 4 + [signed]) == 25 * 15


def test_energy_by_hand():
    spiking, int8, spikes = energy(nonzero=2, spikes=3, fan_out=4, mac=0.25, add=0.125, fetch=1.25)
    assert (spiking, int8) == (16.5, 12.0)
    assert spikes == pytest.approx(1.5 / 1.375, rel=1e-12)
    assert energy(8, 0, 4, 0.25, 0.125, 1.25)[0] == 0


@pytest.mark.parametrize("whole", [True, False])
def test_floats_are_told_apart(whole):
    """PyTorch's `/` makes float32 of whole numbers: both ends of that road have their own hint."""

    def floats(A, V, K):
        n, d = 2**8 * (A @ V), K * (A.sum(-1, keepdim=True) + 1)
        answer = torch.floor(n / d + 0.5).clamp(-8, 7)
        return answer.long() if whole else answer

    message = check("attention.divide", floats).message
    assert ("too long" in message, "numbers are floats" in message) == (whole, not whole)
