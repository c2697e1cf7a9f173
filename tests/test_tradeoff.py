"""One point of the trade-off: ticks, weights, files, counts and prices."""

from dataclasses import asdict
from itertools import pairwise

import pytest
import torch

from neurolab import assistant, compressed, energy, facts, gptq, measurements, ptq, rates, sweep, tradeoff
from neurolab import tradeoff_ticks as ticks
from neurolab.energy import Counts
from neurolab.energy_counts import counts_sequences
from neurolab.quantized import Coded
from neurolab.sweeps import tradeoff as rows
from neurolab.tradeoff import REAL
from neurolab.transformer import Config, Transformer


@pytest.fixture(scope="module")
def helper():
    return assistant.load()


@pytest.fixture(scope="module")
def asked():
    return [q for language in facts.LANGUAGES for q in facts.split("held_out", language)[::700][:6]]


@pytest.fixture
def small(monkeypatch, asked):
    """The sample is twelve questions, and weights are made fast."""

    def quick(bits, sparsity):
        made = ptq.rtn(assistant.load().model, bits, "channel")
        for name, x in made.items():
            if sparsity and isinstance(x, Coded) and name.startswith("blocks."):
                x.q.view(-1)[: round(sparsity * x.q.numel())] = 0
        return made

    for cached in (tradeoff._network, tradeoff._sampled, tradeoff.ordinary):
        cached.cache_clear()
    monkeypatch.setattr(tradeoff, "EACH", 6)
    monkeypatch.setattr(tradeoff, "questions", lambda: tuple(asked))
    monkeypatch.setattr(tradeoff, "_calibration", lambda: tuple(asked[:4]))
    monkeypatch.setattr(tradeoff, "weights", quick)
    yield
    tradeoff.ordinary.cache_clear()


# ---- ticks ------------------------------------------------------------------------------------------------


def test_counts_are_those_of_neurons_that_fire_tick_by_tick():
    x = 3 * torch.randn(4000, generator=torch.Generator().manual_seed(1))
    for T, theta in ((1, 0.7), (5, 0.31), (16, 0.2)):
        R = T * theta  # the range: T spikes stand for it
        counts = ticks.counted(x, theta, T)
        S, fired = rates.count_torch(x[None].clamp(-R, R), R, T, signed=True)
        assert torch.equal(counts, (S[-1] * T / R).round())
        assert torch.equal(counts.abs(), fired)
        assert counts.abs().max() == T


def test_real_values_are_the_assistants_own(helper, asked):
    right, nats = ticks.judged(helper.model, helper.tokenizer, asked, ticks.Rule())
    found = assistant.quick_scores(helper.model, helper.tokenizer, asked)
    assert sum(right) / len(asked) == found["exact_match"]
    size = sum(len(q.answer.encode()) for q in asked)
    assert ticks.bits(nats) / size == pytest.approx(found["bits_per_answer_byte"], rel=1e-3)


def test_wrong_answers_are_told_from_right_ones(helper, asked):
    broken = Transformer(helper.model.config).eval()
    right, nats = ticks.judged(broken, helper.tokenizer, asked, ticks.Rule())
    assert not any(right)
    assert min(nats) > 1


def test_more_ticks_come_nearer(helper, asked):
    seen = ticks.sampled(helper.model, helper.tokenizer, asked)
    ids = ticks.rows_of(helper.tokenizer, asked)[0][0][:, :-1]
    with torch.no_grad():
        wanted = helper.model.features(ids)[0]
        gaps = [
            (ticks.hidden(helper.model, ids, ticks.Rule(T, ticks.thresholds(seen, T))) - wanted).norm()
            for T in (4, 16, 64, 256)
        ]
    assert all(a > 2 * b for a, b in pairwise(gaps))


def test_a_threshold_cuts_off_what_is_rare_where_ticks_are_few():
    x = torch.cat((torch.randn(5000, generator=torch.Generator().manual_seed(0)), torch.tensor([40.0])))
    few, many = (T * ticks.thresholds({"x": x}, T)["x"] for T in (4, 256))
    assert few < 10 < many
    for T in (0, 1.5, True):
        with pytest.raises(ValueError, match=r"T is .*: must be a whole number of at least 1"):
            ticks.thresholds({"x": x}, T)
    with pytest.raises(ValueError, match="the numbers of x are all 0"):
        ticks.thresholds({"x": torch.zeros(3)}, 4)
    with pytest.raises(ValueError, match=r"questions \[\]"):
        ticks.rows_of(None, [])


# ---- weights ----------------------------------------------------------------------------------------------


def test_pruned_weights_are_zero_and_the_others_make_up_for_them():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(400, 24, generator=generator) @ torch.randn(24, 24, generator=generator)
    W, H = torch.randn(12, 24, generator=generator), (x.T @ x).double()
    made = tradeoff.pruned_and_rounded(W, H, 4, 0.5)
    assert int((made.q == 0).sum()) >= 12 * 12
    assert int(made.q.min()) >= -8
    assert int(made.q.max()) <= 7
    keep = W.abs().flatten().argsort().argsort().view(W.shape) >= 12 * 12
    plain = ptq.round_one(W * keep, ptq.steps(W * keep, 4, "channel"), 4).value()
    assert gptq.objective(W, made.value(), H) < 0.8 * gptq.objective(W, plain, H)
    same, _ = gptq.compensate(
        W, H, gptq.uniform(ptq.steps(W, 4, "channel"), 24, -8, 7), damp=ptq.DAMP
    )  # nothing pruned: plain error compensation
    assert torch.equal(tradeoff.pruned_and_rounded(W, H, 4, 0.0).q, same)


def test_embeddings_stay_dense(monkeypatch):
    seen = {}
    monkeypatch.setattr(tradeoff, "_calibration", lambda: ("none",))
    monkeypatch.setattr(
        gptq, "in_order", lambda model, tokenizer, questions, code: [code(n, None, None) for n in NAMES]
    )
    monkeypatch.setattr(tradeoff, "pruned_and_rounded", lambda W, H, b, s: seen.setdefault(len(seen), s))
    tradeoff.weights(4, 0.5)
    assert list(seen.values()) == [0.0, 0.0, 0.5]


NAMES = ("embedding.weight", "position.weight", "blocks.0.attention.out.weight")


def test_a_file_is_made_once_and_again_where_it_is_broken(small, tmp_path, monkeypatch):
    path = tradeoff.file(4, 0.5, tmp_path)
    first = path.read_bytes()
    made = compressed.load(path)
    assert made.about["sparsity"] == 0.5
    with monkeypatch.context() as patched:
        patched.setattr(tradeoff, "weights", lambda *_: pytest.fail("made twice"))
        assert tradeoff.file(4, 0.5, tmp_path) == path
    path.write_bytes(first[:-9])
    assert tradeoff.file(4, 0.5, tmp_path).read_bytes() == first
    assert tradeoff.file(3, 0.5, tmp_path) != path


# ---- a point ----------------------------------------------------------------------------------------------


def test_a_point_is_measured_on_the_file_and_twice_the_same(small, tmp_path, helper, asked):
    found = tradeoff.compute(16, 4, 0.5, tmp_path)
    assert tradeoff.compute(16, 4, 0.5, tmp_path) == found
    path = tradeoff.file(4, 0.5, tmp_path)
    assert found["bytes"] == path.stat().st_size
    assert found["file_ratio_vs_int8"] == pytest.approx(tradeoff.int8_bytes() / found["bytes"])
    assert 0.5 < found["zeros"] < 0.7
    assert found["ticks_per_token"] == 16 * (6 * 4 + 1)
    assert found["exact_match"] == (found["exact_match_th"] + found["exact_match_en"]) / 2
    real = tradeoff.compute(REAL, 4, 0.5, tmp_path)
    scores = assistant.quick_scores(compressed.load(path).model().eval(), helper.tokenizer, asked)
    assert real["exact_match"] == scores["exact_match"]
    assert real["bits_per_answer_byte"] == pytest.approx(scores["bits_per_answer_byte"], rel=1e-3)
    assert "synops" not in real
    assert real["bytes"] == found["bytes"]
    measurements.row("tradeoff.point", 8, tradeoff.setting(16, 4, 0.5), found, command="x")


def test_what_is_no_point_is_refused():
    for T in (0, 257, 1.5, True, "many"):
        with pytest.raises(ValueError, match=r"T is .*: must be 'real' or a whole number from 1 to 256"):
            tradeoff.compute(T, 4, 0.0)
    with pytest.raises(ValueError, match="bits"):
        tradeoff.compute(8, 9, 0.0)
    with pytest.raises(ValueError, match=r"sparsity 1\.0"):
        tradeoff.compute(8, 4, 1.0)


def test_the_sample_is_fixed_and_half_thai():
    asked = tradeoff.questions()
    assert len(asked) == len(set(asked)) == 500
    assert set(asked) <= set(facts.split("held_out"))
    assert set(asked[:250]) <= set(facts.split("held_out", facts.LANGUAGES[0]))
    assert tradeoff.sample_hash() == tradeoff.sample_hash()


# ---- what it costs ----------------------------------------------------------------------------------------


def test_dense_real_numbers_are_counted_as_the_ordinary_network(helper, asked):
    rule, untrained = ticks.Rule(), Transformer(helper.model.config).eval()  # whose GELU says no exact 0
    ticks.judged(untrained, helper.tokenizer, asked, rule)
    found = ticks.counts(untrained, helper.tokenizer, asked, rule, 32, False)["numbers"]
    made = ticks.rows_of(helper.tokenizer, asked)
    lengths = [ids.shape[1] - 1 for ids, _, which in made for _ in which]
    starts = [n for _, answers, _ in made for n in (~answers).sum(1).tolist()]
    wanted = counts_sequences(helper.model.config, lengths, "fp32", starts)
    assert found.mac_fp32 == pytest.approx(wanted.mac_fp32, rel=1e-6)
    assert found.special_fp32 == wanted.special_fp32
    assert found.activation_bytes == wanted.activation_bytes


class Noted(ticks.Rule):
    """The counts of every population, kept whole."""

    def __call__(self, name, x):
        out = super().__call__(name, x)
        self.whole = {**getattr(self, "whole", {}), name: (out / self.theta[name]).round().long()}
        return out


def test_additions_are_those_of_every_spike_followed_to_its_targets(helper, asked):
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=1024, context=96, width=8, layers=1, heads=2, hidden=12)).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                p.mul_(20)
        block = model.blocks[0]
        block.feed_forward.up.weight[:, ::2] = 0
        block.attention.out.weight[::3] = 0
    one = asked[:1]
    rule = Noted(6, dict.fromkeys([f"0.{part}" for part in (*ticks.READ_BY, *OTHERS)] + ["norm"], 0.1))
    ticks.judged(model, helper.tokenizer, one, rule)
    n = {name: x.abs() for name, x in rule.whole.items()}
    L = n["0.norm1"].shape[1]
    adds = 0
    for token in range(L):
        for j in range(8):
            adds += int(n["0.norm1"][0, token, j]) * 24
            adds += int(n["0.mix"][0, token, j]) * int((block.attention.out.weight[:, j] != 0).sum())
            adds += int(n["0.norm2"][0, token, j]) * int((block.feed_forward.up.weight[:, j] != 0).sum())
        for j in range(12):
            adds += int(n["0.hidden"][0, token, j]) * 8
        for head in range(2):
            adds += int(n["0.query"][0, head, token].sum()) * (token + 1)
            adds += int(n["0.key"][0, head, token].sum() + n["0.value"][0, head, token].sum())
            adds += int(n["0.attention"][0, head, token].sum()) * 4
    adds += int(n["norm"].sum()) * 1024
    found = ticks.counts(model, helper.tokenizer, one, rule, 4, True)
    assert found["spikes"].add_int32 == adds
    assert found["spikes"].spikes == sum(int(x.sum()) for x in n.values())
    assert found["numbers"].mac_int8 < adds
    dense = ticks.counts(model, helper.tokenizer, one, rule, 4, False)
    assert dense["spikes"].add_int32 > adds
    assert dense["spikes"].weight_bytes != found["spikes"].weight_bytes


OTHERS = ("query", "key", "value", "attention")


def test_the_dense_8_bit_network_costs_once_what_it_costs(small):
    found = tradeoff.energies({"numbers": asdict(tradeoff.ordinary("int8"))})
    assert [found[f"numbers_vs_int8{end}"] for end in ("", "_1mb", "_dram")] == [1.0, 1.0, 1.0]
    half = Counts(**{k: v / 2 for k, v in asdict(tradeoff.ordinary("fp32")).items()})
    found = tradeoff.energies({"spikes": asdict(half)})
    assert found["spikes_vs_fp32_dram"] == pytest.approx(2)
    assert found["nj_spikes"] == pytest.approx(energy.total(half) / 1e3)


# ---- the sweep --------------------------------------------------------------------------------------------


def test_the_sweep_has_every_point_once():
    jobs = sweep.jobs("tradeoff")
    settings = [(job.name, sorted(job.setting.items(), key=str)) for job in jobs]
    assert all(one not in settings[:i] for i, one in enumerate(settings))
    for name in ("tradeoff.point", "tradeoff.energy"):
        places = {(j.setting["T"], j.setting["bits"], j.setting["sparsity"]) for j in jobs if j.name == name}
        assert places == {
            (T, b, s) for T in tradeoff.T_VALUES for b in tradeoff.BITS for s in tradeoff.SPARSITIES
        }
    assert min(map(len, (tradeoff.T_VALUES, tradeoff.BITS, tradeoff.SPARSITIES))) >= 6
    assert {job.kind for job in jobs if job.name == "tradeoff.energy"} == {"simulated"}
    assert {job.kind for job in jobs if job.name != "tradeoff.energy"} == {"measured"}
    assert sum(job.minutes for job in jobs) < 40


def test_energy_is_that_of_the_points_row(small, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    counts = {"numbers": asdict(tradeoff.ordinary("int8"))}
    figures = {"exact_match": 1.0, "counts": counts, "of": sweep.weights_hash()}
    measurements.append(
        measurements.row("tradeoff.point", 8, tradeoff.setting(5, 4, 0.1), figures, command="x")
    )
    monkeypatch.setattr(tradeoff, "compute", lambda *_: {"counts": {}})
    assert rows.energy(5, 4, 0.1)["numbers_vs_int8"] == 1.0
    assert rows.energy(5, 4, 0.2) == {}  # no row: the point is run again
