"""Rate code, thresholds, hybrids: neurons against their closed form, the network against its limits."""

import math

import pytest
import torch

from neurolab import rates
from neurolab.assistant import Batch, collate
from neurolab.codes import rms
from neurolab.spiking import SIGNED, UNSIGNED, features, logits, schedule
from neurolab.spiking_student import Form, Rest, Smooth, Spikes, Student
from neurolab.transformer import Config

CONFIG = Config(vocabulary=30, context=12, width=16, layers=2, heads=2, hidden=24)
POPULATIONS = 2 * 8 + 1


@pytest.fixture(scope="module")
def p():
    torch.manual_seed(0)
    student = Student(Form(CONFIG))
    with torch.no_grad():
        for name, x in student.named_parameters():
            if x.ndim == 2:
                x.mul_(20)
            if name.endswith("_step"):
                x.fill_(-1.2)
            if name.endswith("attention_step"):
                x.fill_(-0.5)
        student.unit.fill_(0.001)
        return {name: x.detach() for name, x in student.integers().items()}


def ids(B=3, L=7, seed=0):
    return torch.randint(3, 30, (B, L), generator=torch.Generator().manual_seed(seed))


def one_by_one(u, R, T, signed):
    """Neurons one at a time, in plain floats: a membrane for on, one for off."""
    S, fired = [], 0
    on = off = 0
    for t in range(1, T + 1):
        drive = u[min(t, len(u)) - 1] * t / R  # what has arrived in all, in units of the threshold
        if drive - on + 0.5 >= 1:
            on, fired = on + 1, fired + 1
        if signed and -drive - off + 0.5 >= 1:
            off, fired = off + 1, fired + 1
        S.append((on - off) * R / t)
    return S, fired


@pytest.mark.parametrize("count", [rates.count_torch, rates.count_numba])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("steps", [1, 9])
def test_neurons_against_single_ones(count, signed, steps):
    T, R = 9, 8.0
    u = torch.randint(-90, 90, (steps, 40), generator=torch.Generator().manual_seed(steps)) / 7 + 0.013
    S, n = count(u, R, T, signed)
    for i in range(40):
        told, fired = one_by_one(u[:, i].tolist(), R, T, signed)
        assert S[:, i].tolist() == pytest.approx(told, abs=1e-5)
        assert int(n[i]) == fired


@pytest.mark.parametrize("signed", [True, False])
def test_compiled_neurons_equal_torchs_bit_for_bit(signed):
    for T, R in ((1, 15.0), (16, 7.0), (33, 8.0)):
        u = torch.randn(T, 3, 50, 4, generator=torch.Generator().manual_seed(T)) * 6
        a, b = (count(u, R, T, signed) for count in (rates.count_torch, rates.count_numba))
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


@pytest.mark.parametrize("T", [4, 7, 16, 64])
def test_a_constant_drive_is_rounded_to_range_over_T(T):
    """The threshold is balanced: T spikes stand for the range, and more can't be said."""
    theta = torch.tensor([3.0])
    z = torch.linspace(-30, 60, 997)
    S = rates.Counted(T)("0.norm1", z * 3, theta, SIGNED)
    assert S.shape == (T, 997)
    step = 8 / T
    away = (z.abs() / step % 1 - 0.5).abs() > 1e-3  # not on the edge between two counts
    wanted = (z.abs() / step + 0.5).floor().clamp(max=T) * step * z.sign()
    assert torch.allclose(S[-1][away], wanted[away], atol=1e-4)
    S = rates.Counted(T, {"0.norm1": 15.0})("0.norm1", z * 3, theta, UNSIGNED)
    step = 15 / T
    away = (z / step % 1 - 0.5).abs() > 1e-3
    assert torch.allclose(S[-1][away], ((z / step + 0.5).floor().clamp(0, T) * step)[away], atol=1e-4)


def test_a_spike_is_never_taken_back():
    """A drive that is high at first and then 0: the signed neuron of `Spikes` comes back, this one can't."""
    u = torch.cat((torch.full((4, 1), 8.0), torch.zeros(12, 1)))
    theta = torch.ones(1)
    S = rates.Counted(16)("0.query", u, theta, SIGNED)
    assert float(S[3]) == 8
    assert S[4:, 0].tolist() == pytest.approx([4 * 8 / t for t in range(5, 17)])
    back = Spikes(schedule(16))("0.query", u, theta, SIGNED)
    assert float(back[-1]) == 0


def test_on_and_off_are_two_neurons():
    u = torch.tensor([[8.0], [8.0], [-8.0], [-8.0], [-8.0], [-8.0]])
    fire = rates.Counted(6)
    fire.tokens = torch.ones(1, 1)
    S = fire("0.query", u.view(6, 1, 1, 1), torch.ones(1), SIGNED)
    assert S.flatten().tolist() == pytest.approx([8, 8, 8 * (2 - 1) / 3, 0, -8 / 5, -16 / 6])
    assert fire.spikes == 2 + 4


def test_the_network_in_rate_code_nears_the_network_without_rounding(p):
    """Long windows, wide ranges: nothing is rounded any more, and the last counts are those of `Smooth`."""
    seen = {}

    class Watch(Smooth):
        def __call__(self, name, z, theta, kind):
            S = super().__call__(name, z, theta, kind)
            seen[name] = max(1.0, float(S.abs().max()) * 1.2)
            return S

    x = ids()
    exact = features(p, x, CONFIG, Watch())
    errors = []
    for T in (16, 128, 1024, 8192):
        S = features(p, x, CONFIG, rates.Counted(T, seen))
        assert S.shape == (T, 3, 7, 16)
        errors.append(rms(S[-1], exact))
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3
    assert errors[3] < errors[2] / 3
    assert errors[3] < 0.01 * float(exact.square().mean().sqrt())


def test_padding_and_later_tokens_change_nothing(p):
    x = ids()
    whole = features(p, x, CONFIG, rates.Counted(8))[-1]
    assert torch.equal(features(p, x[:, :4], CONFIG, rates.Counted(8))[-1], whole[:, :4])


def test_spikes_are_counted_for_tokens_that_count(p):
    x = ids()
    every, some = rates.Counted(8), rates.Counted(8)
    every.tokens = torch.ones(3, 7)
    some.tokens = torch.ones(3, 7)
    some.tokens[:, 4:] = 0
    features(p, x, CONFIG, every)
    features(p, x, CONFIG, some)
    short = rates.Counted(8)
    short.tokens = torch.ones(3, 4)
    features(p, x[:, :4], CONFIG, short)
    assert some.spikes == short.spikes > 0
    assert every.spikes > some.spikes


def test_hybrid_ends_are_the_ordinary_and_the_spiking_network(p):
    x, weights = ids(), schedule(3)
    rest, spikes = features(p, x, CONFIG, Rest()), features(p, x, CONFIG, Spikes(weights))[-1]
    assert torch.equal(features(p, x, CONFIG, rates.Hybrid(0, 2, weights)), rest)
    assert torch.equal(features(p, x, CONFIG, rates.Hybrid(2, 2, weights))[-1], spikes)
    assert not torch.equal(rest, spikes)


def test_hybrid_hands_on_the_counts_after_T_steps(p):
    """Block 0 spikes, block 1 and the last norm rest on what it left: as if run one after the other."""
    x, weights = ids(), schedule(3)
    seen = {}

    class Watch(rates.Hybrid):
        def __call__(self, name, z, theta, kind):
            S = super().__call__(name, z, theta, kind)
            seen[name] = (z, theta, S)
            return S

    both = features(p, x, CONFIG, Watch(1, 2, weights))[-1]
    alone = {}

    class Stop(Spikes):
        def __call__(self, name, z, theta, kind):
            alone[name] = super().__call__(name, z, theta, kind)
            return alone[name]

    features(p, x, CONFIG, Stop(weights))
    for name, (_, _, S) in seen.items():
        assert S.shape[0] == (3 if name.startswith("0.") else 1), name
        if name.startswith("0."):
            assert torch.equal(S, alone[name])
    z, theta, S = seen["1.norm1"]
    assert torch.equal(S[-1], Rest()("1.norm1", z[-1], theta[-1], SIGNED))
    long = features(p, x, CONFIG, rates.Hybrid(1, 2, schedule(200)))[-1]
    assert torch.equal(long, features(p, x, CONFIG, Rest()))  # given the time, block 0 is at rest too
    assert not torch.equal(both, long)


def test_balance_finds_what_share_of_codes_stays_within(p):
    batch = Batch(ids(5, 9), torch.zeros(5, 9, dtype=torch.bool))
    most, half = rates.balance(p, CONFIG, [batch]), rates.balance(p, CONFIG, [batch, batch], 0.5)
    assert len(most) == len(half) == POPULATIONS
    codes = {}

    class Watch(Rest):
        def __call__(self, name, z, theta, kind):
            codes[name] = super().__call__(name, z, theta, kind)
            return codes[name]

    features(p, batch.ids[:, :-1], CONFIG, Watch())
    for name, S in codes.items():
        S = S[..., torch.ones(8, 8).tril() > 0] if "attention" in name else S
        assert most[name] == max(1, float(S.abs().max()))
        within = [float((S.abs() <= r).float().mean()) for r in (half[name], half[name] - 1)]
        assert within[0] >= 0.5
        assert within[1] < 0.5 or half[name] == 1
    assert sum(half.values()) < sum(most.values())


def test_scores_and_answers_agree(p):
    """What the network says greedily is right token by token, and only that."""
    fire, question = rates.Counted(6), ids(1, 5, 3)[0].tolist()
    made = rates.answer(p, CONFIG, fire, question, limit=4)
    assert len(made) == 4 or made[-1] == 2
    rows = [[*question, *made], [*question, *made[:-1], (made[-1] + 1) % 30]]
    batches = [collate([(row, 5)]) for row in rows]
    found = rates.scores(p, CONFIG, rates.Counted(6), batches, 10)
    assert found["exact_match"] == 0.5
    assert found["questions"] == 2
    assert found["tokens"] == 2 * (4 + len(made))  # what is read: all but the last
    S = features(p, torch.tensor([rows[0][:-1]]), CONFIG, rates.Counted(6))[-1]
    nats = -(logits(p, S) * p["scale"]).log_softmax(-1)[0, 4:]
    total = sum(float(nats[range(len(made)), row[5:]].sum()) for row in rows)
    assert found["bits_per_answer_byte"] == pytest.approx(total / math.log(2) / 10, rel=1e-4)
    whole = rates.scores(p, CONFIG, Rest(), batches, 10)
    assert "spikes_per_token" not in whole
    assert 0 < found["spikes_per_token"] <= 6 * (16 * 2 * 6 + 24 + 10 * 2) * 2 + 6 * 32


@pytest.mark.parametrize("T", [2, 3, 8, 16])
def test_time_then_rate_rounds_to_both(T):
    x = torch.linspace(0, 1, 401)
    spikes = rates.time_then_rate(x, T)
    assert spikes.shape == (T, 401)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    a = T // 2
    assert float(spikes[:a].sum(0).max()) == 1
    error = (rates.time_then_rate_decode(spikes) - x).abs()
    assert float(error.max()) <= 0.5 / (a + 1) / (T - a) + 1e-6
    assert rms(rates.TIME_THEN_RATE.decode(rates.TIME_THEN_RATE.encode(x, T, 0)), x) > 0
    by_hand = rates.time_then_rate(torch.tensor([0.0, 0.5, 1.0]), 4)  # a = 2: thirds, then halves of one
    assert by_hand.T.tolist()[0] == [0, 0, 0, 0]
    assert by_hand.T.tolist()[1][:2] == [0, 1]  # one third, late
    assert by_hand.T.tolist()[1][2:].count(1) == 1  # and half of the next
    assert by_hand.T.tolist()[2] == [1, 0, 1, 1]


def test_bad_input_is_named(p):
    with pytest.raises(ValueError, match="T = 0"):
        rates.Counted(0)
    with pytest.raises(ValueError, match="layers 3: must be 0 to 2"):
        rates.Hybrid(3, 2, schedule(2))
    with pytest.raises(ValueError, match="share 0"):
        rates.balance(p, CONFIG, [], 0)
    with pytest.raises(ValueError, match="batches"):
        rates.balance(p, CONFIG, [])
    with pytest.raises(ValueError, match="question of 12 tokens"):
        rates.answer(p, CONFIG, Rest(), [3] * 12)
    with pytest.raises(ValueError, match="T must be a whole number of at least 2"):
        rates.time_then_rate(torch.zeros(1), 1)
