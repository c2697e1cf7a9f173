"""The integer run of the spiking assistant against a plain simulator, a bound, and itself."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neurolab import assistant, facts, spiking_run
from neurolab.neurons_fast import has_numba
from neurolab.spiking import Integers, features, logits, schedule
from neurolab.spiking_digits import IntegerDigits
from neurolab.spiking_files import FOLDER, Spiking, accumulators, prove, shapes
from neurolab.spiking_kernels import times
from neurolab.spiking_rules import IntegerRadix, IntegerRest, IntegerSpikes, product, whole
from neurolab.spiking_state import bound, populations
from neurolab.spiking_stream import Stop, stream
from neurolab.spiking_student import Rest, Spikes
from neurolab.tokens import END_ID, encode_question
from neurolab.transformer import Config
from tests.plain_spikes import Plain, code, neuron, plain

SMALL = Config(vocabulary=7, context=5, width=6, layers=2, heads=2, hidden=8)
KINDS = ("unary", "halving", "ramp")


def network(seed: int, config: Config = SMALL, bits: int = 4) -> Spiking:
    """A random network whose counts reach their bounds and whose thresholds are small enough to overshoot."""
    g = torch.Generator().manual_seed(seed)

    def whole_numbers(low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=g).float()

    p: Integers = {}
    for name, shape in shapes(config).items():
        if name.endswith(".W"):
            p[name] = whole_numbers(-127, 127, shape)
        elif name.endswith(".unit"):
            p[name] = 2.0 ** whole_numbers(0, 3, shape)
        elif name.endswith(".theta"):
            p[name] = whole_numbers(1, 40, shape) if "attention" in name else whole_numbers(1, 400, shape)
        elif name.endswith(".K"):
            high = 400 if "mix" in name else 2**14 // config.width
            p[name] = whole_numbers(1, high, shape)
        elif name == "scale":
            p[name] = torch.tensor(0.01)
        else:
            p[name] = whole_numbers(-300, 300, shape) if "offset" not in name else whole_numbers(-9, 9, shape)
    prove(p, config, bits)
    return Spiking(p, config, bits)


def simulator(net: Spiking) -> Plain:
    return Plain(plain(net.p), net.config.layers, net.config.heads, net.bits)


@functools.cache
def shipped() -> Spiking:
    return spiking_run.load("quantized")


@functools.cache
def tokenizer() -> assistant.Tokenizer:
    return assistant.load().tokenizer


def asked(every: int) -> list[facts.Question]:
    return facts.split("held_out")[::every]


# Against the plain simulator, at rest and on the way.


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ids=st.lists(st.integers(0, SMALL.vocabulary - 1), min_size=1, max_size=4),
    bits=st.integers(2, 5),
    T=st.integers(1, 7),
    kind=st.sampled_from(KINDS),
)
def test_partial_steps_equal_the_plain_simulator(
    seed: int, ids: list[int], bits: int, T: int, kind: str
) -> None:
    net = network(seed, bits=bits)
    weights = schedule(T, kind, bits)
    told, fired, _ = simulator(net).spikes(ids, list(weights["signed"]), list(weights["unsigned"]))
    S = features(net.p, torch.tensor([ids]), net.config, IntegerSpikes(weights, bits))[-1, 0]
    assert logits(net.p, S).tolist() == told
    for compiled in (False, True) if has_numba() else (False,):
        ran = stream(net, [ids], kind, Stop(T), compiled=compiled)
        assert logits(net.p, ran.counts.float()).tolist() == told
        counted = [[spikes.get(name, 0) for name in populations(2)] for spikes in fired]
        assert ran.spikes.tolist() == counted


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ids=st.lists(st.integers(0, SMALL.vocabulary - 1), min_size=1, max_size=4),
    bits=st.integers(2, 5),
    kind=st.sampled_from(KINDS),
)
def test_any_network_rests_at_the_integer_network_within_the_bound(
    seed: int, ids: list[int], bits: int, kind: str
) -> None:
    net = network(seed, bits=bits)
    goal = simulator(net).rest(ids)
    row = torch.tensor([ids])
    for rule in (
        IntegerRest(bits),
        IntegerRadix(bits),
        IntegerRadix(bits, offset=False),
        IntegerDigits(bits),
    ):
        assert logits(net.p, features(net.p, row, net.config, rule))[0].tolist() == goal
    ran = stream(net, [ids], kind)
    assert logits(net.p, ran.counts.float()).tolist() == goal
    assert int(ran.settled.max()) <= bound(net.config, bits, kind)
    found = spiking_run.settle(net, [ids], kind)
    assert found["differing_logits"] == 0
    assert found["compared_logits"] == len(ids) * SMALL.vocabulary


def test_the_step_at_which_a_token_rests_is_the_plain_simulators() -> None:
    net, ids = network(3), [1, 2, 3, 4]
    weights = schedule(60, "halving")
    _, _, settled = simulator(net).spikes(ids, list(weights["signed"]), list(weights["unsigned"]))
    assert max(settled) < 60
    assert stream(net, [ids], "halving").settled.tolist() == settled


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_network_equals_the_plain_simulator_on_the_way(kind: str) -> None:
    net = shipped()
    ids = encode_question(tokenizer(), asked(4000)[0].text)[:2]
    weights = schedule(3, kind, net.bits)
    told, _, _ = simulator(net).spikes(ids, list(weights["signed"]), list(weights["unsigned"]))
    ran = stream(net, [ids], kind, Stop(3))
    assert logits(net.p, ran.counts.float()).tolist() == told


# The shipped network.


@pytest.mark.parametrize("kind", spiking_run.MODES)
def test_shipped_network_is_exact_at_rest(kind: str) -> None:
    found = spiking_run.exact(shipped(), tokenizer(), asked(240), kind)
    assert found["differing_logits"] == 0
    assert found["compared_logits"] == found["tokens"] * shipped().config.vocabulary
    assert found["T_max"] <= (found["bound"] if kind == "radix" else 32)


def test_one_wrong_weight_is_seen() -> None:
    """The comparison has teeth: the same run with one weight changed by one differs in some logit."""
    net = shipped()
    p = {name: x.clone() for name, x in net.p.items()}
    p["1.up.theta"][5] += 40
    p["2.down.W"][0] = -p["2.down.W"][0]
    sequences, _ = spiking_run.rows_of(tokenizer(), asked(2000))
    a = stream(net, sequences).counts
    b = stream(Spiking(p, net.config, net.bits), sequences).counts
    assert not torch.equal(a, b)


def test_float_rules_say_the_same() -> None:
    """The rules of training equal those of the run wherever the float quotient does not round over a tie."""
    net = shipped()
    ids = torch.tensor([s for s in spiking_run.rows_of(tokenizer(), asked(20))[0] if len(s) == 15][:4])
    weights = schedule(6, "ramp", net.bits)
    with torch.inference_mode():
        pairs = (
            (Rest(net.bits), IntegerRest(net.bits)),
            (Spikes(weights, net.bits), IntegerSpikes(weights, net.bits)),
        )
        for floats, integers in pairs:
            a, b = (features(net.p, ids, net.config, rule) for rule in (floats, integers))
            assert (a != b).float().mean() < 0.002


def test_float_quotients_round_at_ties_and_integers_do_not() -> None:
    z, theta = torch.tensor([[16777213.0]]), torch.tensor([[33554430.0 - 3]])
    assert IntegerRest()("x", z, theta, "signed").item() == 0  # z / theta is below 1/2
    assert Rest()("x", z, theta, "signed").item() == 1  # float32 rounds it up to 1/2


@pytest.mark.parametrize("T", [4, None])
def test_teacher_forcing_is_greedy_decoding(T: int | None) -> None:
    """A question is right token by token if and only if greedy decoding gives exactly its answer's tokens."""
    questions = asked(400)
    net = shipped()
    right = spiking_run.scores(net, tokenizer(), questions, T, "halving")["right"]
    made = spiking_run.answers(net, tokenizer(), [q.text for q in questions], T, "halving")
    assert right == [a == q.answer for a, q in zip(made, questions, strict=True)]
    assert sum(right) >= 0.5 * len(right)
    assert spiking_run.answer(net, tokenizer(), questions[0].text, T, "halving") == made[0]


def test_rows_and_chunks_change_nothing() -> None:
    sequences, _ = spiking_run.rows_of(tokenizer(), asked(800))
    net = shipped()
    a = stream(net, sequences, "halving", Stop(5))
    b = stream(net, sequences, "halving", Stop(5), rows=3, chunk=5, compiled=False)
    for name in ("ids", "counts", "settled", "steps", "spikes", "products", "position"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_adaptive_stop_costs_little_and_saves_steps() -> None:
    questions = asked(120)
    rest = spiking_run.scores(shipped(), tokenizer(), questions)
    early = spiking_run.scores(shipped(), tokenizer(), questions, patience=1, few=128)
    assert early["mean_T"] < 0.85 * rest["mean_T"]
    assert early["exact_match"] >= rest["exact_match"] - 0.02


# Bounds, overflow, bad input.


def test_bound_in_numbers() -> None:
    c = Config(layers=4)
    assert bound(c, 4, "unary") == 25 * 15
    assert bound(c, 4, "halving") == 25 * 15 + 3
    assert bound(c, 4, "ramp") == 25 * 15 + 7
    assert bound(c, 4, "radix") == 25 * 4
    with pytest.raises(ValueError, match="rescaled"):
        bound(c, 4, "rescaled")


@settings(max_examples=200, deadline=None)
@given(
    theta=st.integers(1, 1000),
    z=st.integers(-20000, 20000),
    S=st.integers(-8, 7),
)
def test_one_neuron_with_a_constant_drive_settles_within_its_range(theta: int, z: int, S: int) -> None:
    for _ in range(15):
        S = neuron(z, theta, S, 1, -8, 7)
    assert S == code(z, theta, -8, 7) == neuron(z, theta, S, 1, -8, 7)


def test_accumulators_are_bounds_that_are_met() -> None:
    """The worst input for a row of weights reaches the bound exactly, and no count can pass it."""
    net = network(1)
    found = accumulators(net.p, net.config, net.bits)
    W, b = net.p["0.up.W"], net.p["0.up.b"]
    worst = max(
        max(abs(int((W[n] * (8 * s) * W[n].sign()).sum() + b[n])) for s in (-1, 1)) for n in range(len(W))
    )
    assert found["0.up"] == worst
    assert all(most < 2**24 for most in found.values())


def test_sums_that_float32_could_not_hold_are_refused() -> None:
    net = network(1)
    p = dict(net.p) | {"0.up.b": net.p["0.up.b"] + 2**24}
    with pytest.raises(spiking_run.SpikingError, match=r"0\.up.*2\^24"):
        prove(p, net.config, net.bits)


def test_overflow_is_asserted() -> None:
    K = torch.tensor([3.0])
    with pytest.raises(OverflowError, match=r"2\^24"):
        product(K, torch.tensor([2.0**24]))
    grown = product(torch.tensor([2.0**23]), torch.tensor([2.0**23]))
    assert grown.dtype == torch.int64
    assert int(grown) == 2**46
    net = network(1)
    with pytest.raises(OverflowError, match="K = 1125899906842624"):
        stream(Spiking(dict(net.p) | {"norm.K": torch.full((6,), 2.0**50)}, net.config, net.bits), [[1]])
    assert whole(torch.tensor([5.0]), torch.tensor([7.0]), 15)[0].dtype == torch.int32
    assert whole(torch.tensor([2.0**30]), torch.tensor([7.0]), 15)[0].dtype == torch.int64
    with pytest.raises(OverflowError, match="int64"):
        whole(torch.tensor([2.0**62]), torch.tensor([7.0]), 15)


def test_int8_products_are_exact() -> None:
    g = torch.Generator().manual_seed(1)
    S, W = (torch.randint(-128, 128, (n, 640), generator=g).to(torch.int8) for n in (33, 160))
    assert torch.equal(times(S, W).double(), S.double() @ W.double().T)


@pytest.mark.parametrize(
    ("field", "value"), [("T", 0), ("T", 2.0), ("T", True), ("patience", -1), ("few", -1)]
)
def test_a_stop_that_is_none_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Stop(**{field: value})  # type: ignore[arg-type]


def test_bad_input_is_named() -> None:
    net = network(0)
    with pytest.raises(ValueError, match="1 to 5"):
        stream(net, [[1] * 6])
    with pytest.raises(ValueError, match="never rests"):
        stream(net, [[1]], "rescaled")
    with pytest.raises(ValueError, match="at least one question"):
        spiking_run.scores(net, tokenizer(), [])
    with pytest.raises(ValueError, match="unary"):
        spiking_run.settle(net, [[1]], "rate")
    with pytest.raises(ValueError, match="shorter than 96"):
        spiking_run.answers(shipped(), tokenizer(), ["what " * 100])


def test_a_generated_answer_ends_at_the_context() -> None:
    """A network that never says END stops where positions end."""
    net = network(2)
    p = dict(net.p) | {"logits.b": net.p["logits.b"].clone()}
    p["logits.b"][END_ID] = -(2.0**20)
    told: list[int] = []

    def more(i: int, guess: Tensor) -> int:
        told.append(int(guess.argmax()))
        return told[-1]

    ran = stream(Spiking(p, net.config, net.bits), [[1, 2]], more=more)
    assert ran.ids.tolist() == [1, 2, *told]
    assert len(ran.ids) == SMALL.context


def test_folder_is_the_courses() -> None:
    assert FOLDER.name == "spiking"
