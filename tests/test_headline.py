"""Chapter 8's headline: asking alike, pairs and intervals, memory, runs, batches, caches, energy, jobs."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from neurolab import (
    compressed,
    facts,
    headline,
    headline_batch,
    headline_memory,
    headline_speed,
    spiking_run,
)
from neurolab.assistant import Assistant, load
from neurolab.energy import Counts
from neurolab.export.decoder import Decoder, torch_step
from neurolab.headline import Opened, variant
from neurolab.headline_batch import PrefixCache
from neurolab.paths import DATA
from neurolab.quantized import Coded
from neurolab.sweeps import headline as sweep
from neurolab.sweeps import headline_energy
from neurolab.tokens import END_ID, exact_match
from neurolab.transformer import Config, Transformer

CONFIG = Config(vocabulary=1024, context=96, width=32, layers=2, heads=2, hidden=48)


@pytest.fixture(scope="module")
def tiny():
    """An untrained network with the real tokenizer, run by torch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Assistant(Transformer(CONFIG).eval(), load().tokenizer, {})
    return Opened(variant("float"), network, torch_step(Decoder(network.model)), 0)


# --- variants and quality ---


def test_a_variant_says_what_it_is_made_of():
    assert variant("int8") == headline.Variant("int8", "assistant", "int8")
    assert variant("qat28_int8") == headline.Variant("qat28_int8", "qat28", "int8")
    assert variant("qat18_int8_static").precision == "int8_static"
    assert variant("spiking").source == "spiking"
    for wrong in ("qat28", "qat28_int2", "assistant_int8", ""):
        with pytest.raises(ValueError, match=f"variant '{wrong}': must be one of float, int8"):
            variant(wrong)
    with pytest.raises(ValueError, match="runtime 'tflite'"):
        headline.open_variant("int8", "tflite")
    with pytest.raises(ValueError, match="'int8' in torch: only variants of floats"):
        headline.open_variant("int8", "torch")
    with pytest.raises(ValueError, match="threads 2 in ort"):
        headline.open_variant("float", "ort", threads=2)


def test_the_assistant_is_right_alike_in_every_form():
    asked = facts.split("held_out")[::1200]
    float32 = headline.right(headline.open_variant("float"), asked)
    assert sum(float32) >= len(asked) - 1
    assert headline.right(headline.open_variant("float", "torch"), asked) == float32
    eight = headline.right(headline.open_variant("int8", threads=2), asked)
    assert abs(sum(eight) - sum(float32)) <= 1
    spikes = headline.spiking_right(asked)
    assert abs(sum(spikes) - sum(float32)) <= 1


def test_spiking_answers_are_those_of_the_spiking_network_itself():
    asked = facts.split("held_out")[::3000]
    net, tokenizer = spiking_run.load("two"), load().tokenizer  # one that is wrong at times
    texts = spiking_run.answers(net, tokenizer, [q.text for q in asked])
    wanted = [exact_match(a, q.answer) for a, q in zip(texts, asked, strict=True)]
    assert headline.spiking_right(asked, "two", batch=3) == wanted
    own = [replace(q, answer=text) for q, text in zip(asked, texts, strict=True)]
    assert headline.spiking_right(own, "two") == [True] * len(asked)
    other = [replace(q, answer=f"{text}s") for q, text in zip(asked, texts, strict=True)]
    assert headline.spiking_right(other, "two") == [False] * len(asked)


def test_the_drop_is_paired_and_its_interval_is_the_binomial_one():
    n = 4000
    mine, theirs = [True] * n, [True] * n
    mine[:40] = [False] * 40
    theirs[30:50] = [False] * 20  # ten both wrong, thirty lost, ten gained
    found = headline.paired_drop(mine, theirs)
    assert found["exact_match_drop_points"] == pytest.approx(0.5)
    assert (found["answers_lost"], found["answers_gained"]) == (30, 10)
    half = 1.96 * 100 * (40 / n - (20 / n) ** 2) ** 0.5 / n**0.5  # of a sum of +1, -1 and 0
    assert found["exact_match_drop_points_low"] == pytest.approx(0.5 - half, abs=0.03)
    assert found["exact_match_drop_points_high"] == pytest.approx(0.5 + half, abs=0.03)
    assert headline.paired_drop(mine, theirs) == found
    alike = headline.paired_drop(mine, mine)
    assert alike["exact_match_drop_points_low"] == alike["exact_match_drop_points_high"] == 0
    for bad in ([], [True]):
        with pytest.raises(ValueError, match="must be as many"):
            headline.paired_drop(bad, [True, False])
    with pytest.raises(ValueError, match="sure 1"):
        headline.paired_drop(mine, theirs, sure=1)


# --- runs ---


def test_a_run_has_so_many_tokens_and_not_a_question_more():
    tokenizer = load().tokenizer
    counts = [len(tokenizer.encode(q.answer).ids) + 1 for q in headline.prompts(tokenizer, 256, seed=3)]
    assert sum(counts) >= 256 > sum(counts[:-1])
    assert headline.prompts(tokenizer, 256, 3) == headline.prompts(tokenizer, 256, 3)
    assert headline.prompts(tokenizer, 256, 3) != headline.prompts(tokenizer, 256, 4)
    assert {q.language for q in headline.prompts(tokenizer, 64, 0, "th")} == {"th"}
    for wrong in (0, 10**7):
        with pytest.raises(ValueError, match=f"tokens {wrong}: must be 1 to"):
            headline.prompts(tokenizer, wrong)


def test_speaking_is_greedy_decoding(tiny):
    questions = headline.encoded(tiny.network.tokenizer, facts.split("held_out")[:3])
    for ids in questions:
        wanted = tiny.network.model.generate(torch.from_numpy(ids), END_ID, limit=12)[0].tolist()
        assert headline.speak(tiny, ids, 12) == wanted


class Clock:
    """A clock that only calls move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(headline_speed.time, "perf_counter", lambda: self.now)

    def slow(self, opened, prompt, token):
        """The same, taking so long for a prompt and a token."""

        def step(ids, cache):
            self.now += prompt if ids.shape[1] > 1 else token
            return opened.step(ids, cache)

        return replace(opened, step=step)


@pytest.fixture
def quick(tiny, monkeypatch):
    """The network, made to answer with three tokens: 7, 7, END."""

    def step(ids, cache):
        past = cache.shape[4]
        logits = np.zeros((1, 1024), np.float32)
        first = ids.shape[1] > 1
        logits[0, END_ID if not first and past > quick_state["prompt"] else 7] = 1
        if first:
            quick_state["prompt"] = ids.shape[1]
        grown = np.zeros((*cache.shape[:4], past + ids.shape[1], cache.shape[5]), np.float32)
        return logits, grown

    quick_state = {"prompt": 0}
    return replace(tiny, step=step)


def test_ratios_are_of_whole_runs_and_of_single_tokens(quick, monkeypatch):
    clock = Clock(monkeypatch)
    mine, other = clock.slow(quick, 4.0, 1.0), clock.slow(quick, 6.0, 3.0)  # 6 and 12 s an answer
    found = headline_speed.ratios(mine, {"fp32": other, "int8": mine}, tokens=32, runs=3)
    assert found["ratio_vs_fp32"] == pytest.approx(2.0)
    assert found["ratio_vs_fp32_low"] == found["ratio_vs_fp32_high"] == pytest.approx(2.0)
    assert found["ratio_vs_int8"] == pytest.approx(1.0)
    assert found["p50_ratio"] == found["p95_ratio"] == pytest.approx(3.0)
    assert found["milliseconds_per_token"] == pytest.approx(2000.0)
    with pytest.raises(ValueError, match="0 others and runs 3"):
        headline_speed.ratios(mine, {}, 32, 3)


def test_spread_is_the_standard_deviation_over_the_mean(quick, monkeypatch):
    clock = Clock(monkeypatch)
    found = headline_speed.latency_spread(clock.slow(quick, 4.0, 1.0), 32, 10)
    assert found["latency_sd_percent"] == pytest.approx(0.0, abs=1e-9)
    assert (len(found["milliseconds"]), found["first_run_ratio"]) == (10, pytest.approx(1.0))
    clock, turns = Clock(monkeypatch), iter(range(10**6))
    steady = clock.slow(quick, 4.0, 1.0)

    def step(ids, cache):
        clock.now += 1.0 if ids.shape[1] > 1 and next(turns) // questions % 2 else 0.0  # each second run
        return steady.step(ids, cache)

    questions = len(headline.prompts(quick.network.tokenizer, 32))
    found = headline_speed.latency_spread(replace(quick, step=step), 32, 10)
    times = np.array([7.0, 6.0] * 5)
    assert found["latency_sd_percent"] == pytest.approx(100 * times.std(ddof=1) / times.mean())


def test_a_slow_first_run_is_warm_up_and_stays_out(quick, monkeypatch):
    clock, first = Clock(monkeypatch), [5.0]
    steady = clock.slow(quick, 4.0, 1.0)

    def step(ids, cache):
        clock.now += first.pop() if first else 0.0
        return steady.step(ids, cache)

    found = headline_speed.latency_spread(replace(quick, step=step), 16, 10)
    assert found["latency_sd_percent"] == pytest.approx(0.0, abs=1e-9)
    assert found["first_run_ratio"] > 1


def test_accuracy_varies_with_the_questions_and_not_by_itself(tiny, monkeypatch):
    monkeypatch.setattr(headline, "right", lambda opened, asked: [len(q.text) % 5 > 0 for q in asked])
    found = headline_speed.accuracy_spread(tiny, 256, 10)
    assert found["repeated_sd_percent"] == 0.0
    shares = found["exact_match"]
    assert found["accuracy_sd_percent"] == pytest.approx(100 * np.std(shares, ddof=1) / np.mean(shares))
    assert len(set(shares)) > 5
    assert found["questions_a_run"] > 30
    assert 0.3 < found["accuracy_sd_percent"] / found["binomial_sd_percent"] < 3


# --- memory ---


def test_the_peak_of_a_process_of_its_own_grows_with_the_model(tmp_path):
    from neurolab.export import export

    asked = [[5, 6, 7, 1], [8, 9, 1]]
    found = {}
    for width, heads in ((32, 2), (256, 8)):
        torch.manual_seed(0)
        config = Config(vocabulary=1024, context=40, width=width, layers=4, heads=heads, hidden=4 * width)
        network = Assistant(Transformer(config).eval(), load().tokenizer, {})
        export("onnx", "fp32", tmp_path / str(width), assistant=network)
        file = tmp_path / str(width) / "model.onnx"
        found[width] = headline_memory.measure(file, asked, END_ID, 40, 1) | {"file": file.stat().st_size}
    assert found[256]["model_bytes"] - found[32]["model_bytes"] > found[256]["file"] - found[32]["file"]
    assert found[256]["process_bytes"] > found[256]["model_bytes"] > found[256]["file"]
    assert 2 <= found[32]["tokens"] <= (40 - 4) + (40 - 3)
    with pytest.raises(ValueError, match="no such file"):
        headline_memory.measure(tmp_path / "absent.onnx", asked, END_ID, 40)
    with pytest.raises(ValueError, match="prompts is empty"):
        headline_memory.measure(tmp_path / "32" / "model.onnx", [], END_ID, 40)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(RuntimeError, match="could not be measured"):
        headline_memory.measure(tmp_path / "broken.onnx", asked, END_ID, 40, 1)


# --- batches and caches ---


def test_the_cache_of_a_batch_has_the_bytes_that_are_said(tiny):
    step, config = tiny.step, tiny.network.model.config
    cache = step(np.full((3, 5), 9), np.zeros((2, 2, 3, 2, 0, 16), np.float32))[1]
    assert (config.layers, cache.nbytes) == (2, headline_batch.cache_bytes(tiny, 3, 5))
    found = headline_batch.throughput(tiny, 4, pairs=5)
    assert found["tokens_per_second_ratio"] == pytest.approx(4 / found["latency_ratio"])
    assert found["memory_bytes"] == headline_batch.cache_bytes(tiny, 4, 21)
    with pytest.raises(ValueError, match="batch 0"):
        headline_batch.throughput(tiny, 0)


def test_tokens_are_the_same_without_the_cache(tiny):
    ids = headline_batch._ids(tiny, 2, 18)
    (mine, seconds), (other, _) = (headline_batch.generate(tiny, ids, 8, cached) for cached in (True, False))
    assert mine.shape == (2, 8)
    assert len(seconds) == 8
    assert (mine == other).all()
    found = headline_batch.kv_cache(tiny, 2, tokens=8, pairs=1)
    assert found["equal_tokens_percent"] == 100
    assert found["memory_bytes"] == headline_batch.cache_bytes(tiny, 2, 26)
    with pytest.raises(ValueError, match="at most 96"):
        headline_batch.generate(tiny, ids, 90, True)
    with pytest.raises(ValueError, match="batch 0"):
        headline_batch.kv_cache(tiny, 0)


def made(n, value=0.0):
    return np.full((2, 2, 1, 2, n, 16), value, np.float32)


def test_the_longest_known_beginning_is_found_by_any_order():
    rng = np.random.default_rng(0)
    store, known = PrefixCache(room=1000), []
    for _ in range(300):
        prompt = tuple(rng.integers(0, 3, rng.integers(1, 9)).tolist())
        best = max((headline_batch._shared(prompt, other) for other in known), default=0)
        length, cache = store.longest(prompt)
        assert length == min(best, len(prompt) - 1)
        assert (cache is None) == (length == 0)
        if cache is not None:
            assert cache.shape[4] == length
        store.keep(prompt, made(len(prompt) + 2))
        known.append(prompt)


def test_the_least_recently_used_prompt_goes_first_and_bytes_are_counted():
    store = PrefixCache(room=2)
    store.keep([1, 2, 3], made(3, 1.0))
    store.keep([4, 5, 6], made(5, 4.0))
    assert store.bytes() == 2 * made(3).nbytes
    assert store.longest([1, 2, 9])[0] == 2  # used just now
    store.keep([7, 8], made(2))
    assert store.longest([4, 5, 6, 7])[0] == 0
    length, cache = store.longest([1, 2, 3])  # the last token is always read: its scores are wanted
    assert (length, float(cache.max())) == (2, 1.0)
    assert len(store.order) == len(store.kept) == 2
    with pytest.raises(ValueError, match="cache of 1 tokens: the prompt has 2"):
        store.keep([1, 2], made(1))
    with pytest.raises(ValueError, match="room 0"):
        PrefixCache(0)


def test_answers_are_those_without_the_prefix_cache_and_fewer_tokens_are_read(tiny):
    read = []

    def step(ids, cache):
        read.append(ids.shape[1])
        return tiny.step(ids, cache)

    watched, store = replace(tiny, step=step), PrefixCache(8)
    ids = np.array([[10, 11, 12, 13, 1]])
    plain = headline.speak(tiny, ids, 64)
    assert headline_batch.ask(watched, ids, store)[0] == plain
    read.clear()
    tokens, seconds, first, known = headline_batch.ask(watched, ids, store)
    assert (tokens, known, read[0]) == (plain, 4, 1)
    assert 0 < first <= seconds
    found = headline_batch.prefix_cache(tiny, room=64, questions=6)
    assert found["equal_answers_percent"] == 100
    assert 0 < found["reused_tokens_percent"] < 100


# --- energy ---


def test_a_code_takes_the_bits_that_its_range_needs():
    for low, high, bits in ((0, 0, 1), (0, 1, 1), (-1, 1, 2), (-2, 1, 2), (-8, 7, 4), (-8, 8, 5)):
        assert headline_energy.bits_of(torch.tensor([low, high])) == bits


def test_packing_saves_a_blocks_bytes_at_every_token_and_the_outputs_at_answers():
    step = torch.tensor(1.0)
    tensors = {
        "blocks.0.attention.query.weight": Coded(torch.tensor([[-1, 1]] * 3, dtype=torch.int16), step),
        "embedding.weight": Coded(torch.tensor([[-8, 7]] * 5, dtype=torch.int16), step),
        "position.weight": Coded(torch.tensor([[0, 1]] * 5, dtype=torch.int16), step),
        "blocks.0.norm1.weight": Coded(torch.tensor([0, 1], dtype=torch.int16), step),
        "norm.weight": torch.ones(2),
    }
    found = headline_energy.packed(Counts(tokens=10, weight_bytes=1000.0, mac_int8=7.0), tensors, answers=4)
    assert found.weight_bytes == 1000 - 10 * 6 * (1 - 2 / 8) - 4 * 10 * (1 - 4 / 8)
    assert (found.mac_int8, found.tokens) == (7.0, 10)


def test_the_smaller_network_takes_less_energy_and_spikes_are_held_beside_zeros_skipped():
    small, whole = (headline_energy.ordinary_file(name, 20) for name in ("qat28", "ptq12"))
    assert small["ratio_vs_int8"] > whole["ratio_vs_int8"] > 1
    assert whole["ratio_vs_int8_bytes"] == pytest.approx(1.0)
    assert small["joules_per_token"] * small["ratio_vs_int8"] == pytest.approx(small["joules_per_token_int8"])
    assert small["joules_per_token"] * small["ratio_vs_fp32"] == pytest.approx(small["joules_per_token_fp32"])
    file = compressed.load(DATA / "compressed" / "qat28.nlab")
    assert 0 < small["bits_per_weight"] < 8
    assert file.model().config.layers == 2
    once = headline_energy.spikes("skipping", 20)
    assert once["ratio_vs_int8"] > 1


# --- jobs ---


def test_the_jobs_are_the_rows_that_the_claims_read():
    found = [*sweep.jobs(), *headline_energy.jobs()]
    settings = {(job.name, *map(str, sorted(job.setting.items()))) for job in found}
    assert len(settings) == len(found)
    assert {job.chapter for job in found} == {8}
    assert {job.kind for job in found if job.name == "headline.energy"} == {"simulated"}
    languages = {job.setting["language"] for job in found if job.name == "headline.assistant"}
    assert languages == {"both", "th", "en"}
    runs = {job.setting["runs"] for job in found if job.name == "headline.spread"}
    assert runs == {10, 20, 30}
    for job in found:
        tokens = job.setting.get("tokens")
        assert tokens is None or 256 <= tokens <= 1024
        assert isinstance(job.make, partial)


def test_answered_holds_what_the_claims_read(monkeypatch):
    figures = {"model_bytes": 200.0, "tokens": 256}
    monkeypatch.setattr(
        sweep, "peak", lambda name: figures | {"model_bytes": 200.0 if name == "int8" else 100.0}
    )
    found = sweep.answered("qat28", 1, "both", every=2400)
    assert found["questions"] == sum(len(facts.split("held_out", one)[::2400]) for one in facts.LANGUAGES)
    assert found["peak_memory_ratio_vs_int8"] == 2.0
    assert found["bytes"] == (DATA / "compressed" / "qat28.nlab").stat().st_size
    assert found["file_ratio_vs_int8"] > found["file_ratio_vs_int8_coded"] > 5
    thai = sweep.answered("qat28", 1, "th", every=2400)
    assert "bytes" not in thai
    assert {"exact_match_drop_points", "exact_match_drop_points_low"} <= thai.keys()
    rival = sweep.answered("int8", 0, "both", every=2400)
    assert not [name for name in rival if "ratio" in name or "drop" in name]
    plain = sweep.answered("float", 0, "both", every=2400)
    assert "exact_match_drop_points" in plain
    assert not [name for name in plain if "ratio" in name]
