"""Chapter 3's small tools: pieces, looks, counts, codes of other bits, one neuron by hand."""

import numpy as np
import pytest
import torch

from neurolab import assistant, attention, spiking
from neurolab.spiking import SIGNED, UNSIGNED, Integers, bounds, schedule
from neurolab.spiking_files import export
from neurolab.spiking_rules import IntegerRest, IntegerSpikes
from neurolab.spiking_student import Form, Smooth, Student
from neurolab.spiking_training import choose_units
from neurolab.stbif import code
from neurolab.transformer import Config

SMALL = Config(vocabulary=24, context=12, width=16, layers=2, heads=2, hidden=24)
QUESTION = "Which Thai name does the territory Kosovo have?"


@pytest.fixture(scope="module")
def helper() -> assistant.Assistant:
    return assistant.load()


@pytest.fixture(scope="module")
def network() -> Integers:
    torch.manual_seed(3)
    student = Student(Form(SMALL))
    with torch.no_grad():
        for name, x in student.named_parameters():
            if name.endswith("_step"):
                x.fill_(-1.5)
            elif x.ndim == 2:
                x.copy_(torch.randn_like(x) * 0.2)
    choose_units(student)
    return export(student)


def test_pieces_are_what_the_model_reads_and_the_arrow_stands_before_the_answer(helper):
    ids, texts, start = attention.pieces(helper, QUESTION, "โคโซโว")
    assert ids.shape == (1, len(texts))
    assert texts[start - 1] == "→"
    assert "".join(texts[start:]) == "โคโซโว"
    assert texts[:3] == ("Which", "Thai", "name")


def test_a_piece_that_is_half_a_character_is_refused(helper):
    with pytest.raises(ValueError, match="half a character"):
        attention.pieces(helper, "แปลชื่อเมือง Colombo เป็นภาษาไทย", "โคลัมโบ")


def test_the_weights_are_those_that_the_model_uses(helper):
    """Put back in place, they give each attention's output to rounding."""
    ids, _, _ = attention.pieces(helper, QUESTION, "โคโซโว")
    weights = attention.softmax_weights(helper.model, ids)
    given = attention.streams(helper.model, ids)
    for A, x, block in zip(weights, given, helper.model.blocks, strict=True):
        a, n = block.attention, block.norm1(x)[None]
        y = a.out((A @ a.split(a.value(n))[0]).transpose(0, 1).flatten(1))
        assert torch.allclose(y, a(n)[0][0], atol=1e-5)
    assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]), atol=1e-6)
    assert not weights.triu(1).any()


def test_counts_have_a_name_for_every_population_and_settled_finds_the_last_spike(network):
    ids = torch.randint(1, 24, (3, 7), generator=torch.Generator().manual_seed(0))
    T = 60
    rest = attention.counts(network, SMALL, ids, IntegerRest())
    found = attention.counts(network, SMALL, ids, IntegerSpikes(schedule(T)))
    assert set(found) == set(rest)
    assert len(found) == 8 * SMALL.layers + 1
    assert all(torch.equal(found[name][-1], rest[name]) for name in rest)
    last = attention.settled(found)
    assert last.shape == ids.shape
    for b in range(3):
        for token in range(7):
            moved = 0
            for S in found.values():
                of = S[:, b].movedim(-2, 1)[:, token]  # (T, ...) of this token
                before = torch.cat([torch.zeros_like(of[:1]), of[:-1]])
                steps = (of != before).flatten(1).any(1).nonzero()
                moved = max(moved, int(steps.max()) + 1 if len(steps) else 0)
            assert last[b, token] == moved


def test_shares_are_counts_over_their_sum_and_one():
    A = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    assert torch.equal(attention.shares(A), torch.tensor([[3 / 8, 0.0, 0.5], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("bits", [3, 5])
def test_a_recoded_network_is_whole_and_says_nearly_the_same(network, bits):
    """One bit more or fewer: whole numbers, and logits that follow those of the float network closer or less
    close, by the factor that a step of twice or half the size makes, within a wide margin."""
    new = attention.recode(network, SMALL, bits)
    assert all(torch.equal(x, x.round()) for name, x in new.items() if name != "scale")
    ids = torch.randint(1, 24, (8, 12), generator=torch.Generator().manual_seed(1))

    def natural(p: Integers, fire) -> torch.Tensor:
        return spiking.logits(p, spiking.features(p, ids, SMALL, fire)) * p["scale"]

    four, other = natural(network, IntegerRest(4)), natural(new, IntegerRest(bits))
    apart = (other - four).square().mean().sqrt() / four.std()
    assert 0 < apart < 1
    same = attention.recode(network, SMALL, 4)
    assert torch.equal(natural(same, IntegerRest(4)), four)


def test_recoding_keeps_smooth_networks_what_they_are(network):
    """Without rounding, without the + 1 of sums, with thresholds that can be halved: bits must not matter."""

    class NoOne(Smooth):
        def grow(self, K, total):
            return K * (total - 1 + 1e-9)

    even = {name: (x / 64).ceil() * 64 if name.endswith(".K") else x for name, x in network.items()}
    even = {name: x.double() for name, x in even.items()}
    ids = torch.randint(1, 24, (4, 12), generator=torch.Generator().manual_seed(2))
    told = []
    for bits in (4, 5, 6):
        p = attention.recode(even, SMALL, bits)
        told.append(spiking.logits(p, spiking.features(p, ids, SMALL, NoOne())) * p["scale"])
    assert torch.allclose(told[1], told[0], rtol=1e-6, atol=1e-6)
    assert torch.allclose(told[2], told[0], rtol=1e-6, atol=1e-6)


def test_recode_refuses_bits_that_counts_cannot_have(network):
    with pytest.raises(ValueError, match="bits 9"):
        attention.recode(network, SMALL, 9)


@pytest.mark.parametrize("kind", ["unary", "halving"])
def test_one_neuron_ends_at_the_quantizers_code_and_plain_ones_only_climb(kind):
    dice = np.random.default_rng(5)
    low, high = bounds(UNSIGNED, 4)
    for _ in range(60):
        theta = float(dice.integers(1, 40))
        z = np.concatenate([dice.integers(-100, 600, 6), np.full(24, dice.integers(-100, 600))]).astype(float)
        S = attention.settle(z, theta, schedule(30, kind)[UNSIGNED], low, high)
        assert S[-1] == int(code(torch.tensor(z[-1]), theta, low, high))
        plain = attention.climb(z, theta, high)
        assert (np.diff(plain) >= 0).all()
        assert plain[-1] >= S[-1]
    signed = attention.settle(np.full(20, -55.0), 10.0, schedule(20, kind)[SIGNED], -8, 7)
    assert signed[-1] == -5  # -5.5 is a tie: the upper code


def test_a_drive_keeper_changes_nothing_and_keeps_what_was_asked(network):
    ids = torch.randint(1, 24, (1, 5), generator=torch.Generator().manual_seed(4))
    keeper = attention.Drives(IntegerRest(), ["1.hidden"])
    S = attention.counts(network, SMALL, ids, keeper)["1.hidden"]
    assert set(keeper.z) == {"1.hidden"}
    n, d = keeper.z["1.hidden"].long(), keeper.theta["1.hidden"].long()
    assert torch.equal(S.long(), torch.div(2 * n + d, 2 * d, rounding_mode="floor").clamp(0, 15))


def test_source_leaves_out_docstrings_and_types_and_still_is_python():
    text = attention.source(spiking.attend, spiking.features).data
    shown = text.removeprefix("```python\n").removesuffix("\n```")
    compile(shown, "shown", "exec")
    assert "def features(p, ids, config, fire, hidden=None):" in shown
    assert "def population(part):" in shown
    assert '"""' not in shown
    assert "-> Tensor" not in shown
