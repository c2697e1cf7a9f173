"""Chapter 8's pictures, tables and sentences: they draw what is measured and say what rows say."""

import os
import subprocess

import numpy as np
import plotly.graph_objects as go
import pytest

from neurolab import assistant, benchmark, claims, structure
from neurolab import benchmarking_costs as costs
from neurolab import benchmarking_live as live
from neurolab import benchmarking_pictures as pictures
from neurolab import benchmarking_rows as results
from neurolab import benchmarking_simulated as simulated
from neurolab import benchmarking_words as words
from neurolab.benchmarking_rows import NOT_YET
from neurolab.explore import Choice, Explorer, Range, exercise_corners
from neurolab.guess import Guess
from neurolab.measurements import append, row

CONFIG = assistant.load().model.config


@pytest.fixture(autouse=True)
def no_collecting(monkeypatch):
    """What a whole test session has left is not collected before each loop of three calls."""
    monkeypatch.setattr(benchmark.gc, "collect", lambda: 0)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Shipped rows of our own: a function that writes some."""
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)
    return lambda *rows: append(rows, tmp_path)


def made(name, setting, kind="measured", **figures):
    return row(name, 8, setting, figures, kind=kind, command="x")


def answered(model, language="both", seed=1, **figures):
    return made(
        "headline.assistant",
        {"model": model, "language": language, "against": "int8", "seed": seed},
        **figures,
    )


def step(ids, cache):
    """A stand-in for a network: as fast as can be, the cache a piece longer for each piece."""
    shape = (*cache.shape[:4], cache.shape[4] + ids.shape[1], cache.shape[5])
    return np.zeros((len(ids), 4), np.float32), np.zeros(shape, np.float32)


# ---- what is measured while one looks on ------------------------------------------------------------------


def test_calls_in_order_are_told_by_the_first_and_by_the_others():
    shown = live.in_order([0.050, 0.001, 0.002, 0.001, 0.001])
    assert shown["ms"].tolist() == [50, 1, 2, 1, 1]
    assert shown["level"].tolist() == [1, 1]
    assert "the first call took 50.00 ms" in shown["words"]
    assert "50 times as long" in shown["words"]
    assert isinstance(pictures.calls(shown), go.Figure)


def test_a_few_slow_calls_move_the_mean_and_not_the_median():
    seconds = [0.001] * 94 + [0.1] * 6
    found = live.summary(seconds)
    assert (found["median"], found["p95"], found["p99"]) == (1, 100, 100)
    assert found["mean"] == pytest.approx(0.94 + 6)
    assert found["below"] == 94
    shown = live.tail(seconds)
    assert shown["ms"].tolist() == sorted(shown["ms"].tolist())
    assert shown["share"][-1] == 100
    assert "94 % of the calls are faster than the mean" in shown["words"]


def children():
    """The command lines of this process's children."""
    asked = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    return subprocess.run(asked, capture_output=True, text=True).stdout


def test_somebody_else_computes_on_our_core_and_goes_away_again():
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with live.somebody_else():
        mine = subprocess.run(
            ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True
        )
        assert "while True: pass" in mine.stdout
        if before:
            assert len(os.sched_getaffinity(0)) == 1
    if before:
        assert os.sched_getaffinity(0) == before
    assert "while True: pass" not in children()


def test_a_race_against_oneself_is_lost_one_after_the_other_only(monkeypatch):
    clock = iter(np.arange(10**6))
    slow = [1.0]

    class Neighbour:
        def __enter__(self):
            slow[0] = 2.0

        def __exit__(self, *error):
            slow[0] = 1.0

    monkeypatch.setattr(live, "somebody_else", Neighbour)
    monkeypatch.setattr(live, "fastest", lambda call, times: slow[0] * (1 + 0.01 * (next(clock) % 7)))
    races = live.against_itself(lambda: None, runs=24)
    assert [len(seen) for seen in races.values()] == [48, 48]
    assert all(sum(who == "A" for who, _ in seen) == 24 for seen in races.values())
    wrong, right = (live.verdict(seen) for seen in races.values())
    assert wrong[1] > 1.8
    assert right[1] <= 1 <= right[2]
    assert "is sure of it" in live.compared(wrong)
    assert "holds the truth" in live.compared(right)


def test_pairs_may_be_turned_round():
    seen = [("A", 1.0), ("B", 2.0), ("B", 6.0), ("A", 3.0)]
    assert live.verdict(seen)[0] == 2
    shown = live.race(seen)
    assert shown["A n"].tolist() == [1, 4]
    assert shown["B ms"].tolist() == [2000, 6000]


@pytest.mark.parametrize("drift", [20, 60])
def test_drift_deceives_who_does_not_take_turns(drift):
    one, other = (simulated.drifting(drift, order) for order in simulated.ORDERS)
    assert "does not hold the truth" in one["words"]
    assert "interval holds the truth" in other["words"]
    assert "interval holds the truth" in simulated.drifting(0, next(iter(simulated.ORDERS)))["words"]


def test_more_runs_make_intervals_narrower_and_honest():
    few, many = (simulated.readers(runs, "median") for runs in (5, 300))
    assert many["up"].mean() < few["up"].mean() / 3
    truth = many["truth"][0]
    holds = (many["value"] - many["down"] <= truth) & (truth <= many["value"] + many["up"])
    assert holds.sum() >= 17
    tail = simulated.readers(10, "95th percentile")
    reach = tail["value"] + tail["up"]
    assert (reach < tail["truth"][0]).sum() > 5  # ten runs have not seen the tail


def test_the_explorers_hold_at_their_corners():
    for compute, figure, controls, changes in (
        (
            simulated.drifting, pictures.race,
            {"drift": Range(0, 60, 10), "order": Choice(*simulated.ORDERS)}, pictures.RACE_CHANGES,
        ),
        (
            simulated.readers, pictures.readers,
            {"runs": Choice(3, 300), "statistic": Choice(*simulated.STATISTICS)}, pictures.READERS_CHANGES,
        ),
    ):  # fmt: skip
        explorer = Explorer(
            compute, figure, controls=controls, changes=changes, describe=lambda r: r["words"], alt="a"
        )
        assert exercise_corners(explorer) >= 4


def test_the_hill_of_medians_is_the_bootstrap_s():
    x = np.random.default_rng(1).lognormal(size=30)
    shown = live.resampled(x)
    assert shown["counts"].sum() == 2000
    assert shown["ends"].tolist() == list(benchmark.bootstrap(x)[1:])
    assert isinstance(pictures.resampled(shown), go.Figure)


def test_costs_are_of_the_sizes_that_they_say():
    shown = costs.operations_and_time(step, CONFIG)
    assert shown["macs"][-1] == structure.macs(CONFIG, 64) / structure.macs(CONFIG, 1)
    assert shown["time"][0] == 1
    batch = costs.batches(step, CONFIG)
    assert batch["memory"][-1] / batch["memory"][0] == 64
    assert batch["memory"][0] == pytest.approx(4 * 2 * 160 * 21 * 4 / 1e6)
    for one, figure in (
        (shown, pictures.operations), (batch, pictures.batches),
        (costs.growing(step, CONFIG), pictures.cached), (costs.prefix(step, CONFIG), pictures.cached),
    ):  # fmt: skip
        assert isinstance(figure(one), go.Figure)
        assert "{" not in one["words"]


def test_calls_are_timed_at_the_sizes_that_are_asked_for():
    seen = []
    costs.per_call(
        lambda ids, cache: seen.append((ids.shape, cache.shape[4])), CONFIG, [(2, 3, 7), (1, 1, 0)], 2
    )
    assert seen == [((2, 3), 7)] * 3 + [((1, 1), 0)] * 3


def test_out_of_the_cache_is_timed_behind_other_bytes():
    calls = []
    assert costs.cold(lambda: calls.append(1), rounds=3, size=1000) > 0
    assert len(calls) == 1 + 3 * 3


# ---- rows -------------------------------------------------------------------------------------------------


def test_before_anything_is_measured_every_table_and_sentence_says_so(store):
    for show in (
        results.quality_table, results.latency_table, results.spread_table, results.batch_table,
        results.energy_table, words.spread_sentence, words.baseline_sentence, words.headline_sentence,
        words.memory_sentence, words.fastest_sentence, words.energy_sentence, words.nearest_sentence,
        words.lesson,
    ):  # fmt: skip
        assert show().data == NOT_YET, show.__name__
    assert "neurolab sweep own" in results.own_table().data
    assert results.claimed() is None
    assert all(results.rivals(subject) == {} for subject in results.SUBJECTS.values())
    assert words.verdict_of_bet() is None
    assert words.reveal_bet(Guess("start.bet", "?", words.BET)).data == NOT_YET
    assert words.reveal_spread(Guess("benchmarking.spread", "?", low=0, high=9, step=1)).data == NOT_YET
    assert f"Verdicts on {len(claims.claims())} claims: **" in words.claims_sentence().data


def test_the_bet_is_chapter_0_s():
    from neurolab.paths import NOTEBOOKS

    text = (NOTEBOOKS / "00_start.md").read_text(encoding="utf-8")
    ours = (NOTEBOOKS / "08_benchmarking.md").read_text(encoding="utf-8")
    assert all(f'"{answer}"' in text for answer in words.BET)
    question = "A fifth of the energy, a fifth of the memory, one to three per cent worse."
    assert question in text
    assert question in ours


@pytest.mark.parametrize(
    ("energy", "file", "peak", "lost", "answer"),
    [
        (6.0, 6.0, 6.0, 0.5, words.BET[0]),
        (1.2, 6.0, 1.1, 0.5, words.BET[1]),
        (0.5, 1.5, 0.9, 9.0, words.BET[2]),
    ],
)
def test_the_bet_is_settled_by_rows(store, energy, file, peak, lost, answer):
    ratios = {"file_ratio_vs_int8": file, "peak_memory_ratio_vs_int8": peak}
    store(
        made("headline.energy", {"model": "spiking"}, "measured", ratio_vs_int8=energy, ratio_vs_fp32=energy),
        answered("qat28", exact_match_drop_points=lost, **ratios),
        answered("qat28", "en", exact_match_drop_points=lost),
        answered("qat28", "th", exact_match_drop_points=lost),
    )
    assert words.verdict_of_bet() == answer
    assert words.reveal_bet(Guess("start.bet", "?", words.BET)).value == answer


def test_the_headline_is_the_smallest_file_within_its_loss(store):
    store(
        answered("qat18", file_ratio_vs_int8=4.8, exact_match_drop_points=0.3, peak_memory_ratio_vs_int8=1.2),
        answered("qat18", seed=2, file_ratio_vs_int8=4.8, exact_match_drop_points=0.4),
        answered("qat28", file_ratio_vs_int8=7.6, exact_match_drop_points=0.9, peak_memory_ratio_vs_int8=1.6),
        answered("qat28", seed=2, file_ratio_vs_int8=7.6, exact_match_drop_points=1.3),
        answered("ptq14", file_ratio_vs_int8=3.7, exact_match_drop_points=3.5),
    )
    said = words.headline_sentence().data
    assert "At a loss of at most 1 point the smallest file is **4.8 times** smaller" in said
    assert (
        "at most 3 points the smallest file is **7.6 times** smaller than that of 8 bits (qat28.nlab" in said
    )
    assert "(qat28.nlab) takes **1.60 times** less memory at its peak" in words.memory_sentence().data
    assert "(qat28.nlab, 1.30 points in the worst of 2 seeds)" in said


def test_more_memory_is_not_said_to_be_less(store):
    store(answered("spiking", file_ratio_vs_int8=1.0, peak_memory_ratio_vs_int8=0.5))
    assert "takes **2.00 times** more memory at its peak" in words.memory_sentence().data


def test_the_table_of_quality_has_a_line_a_network_and_intervals(store):
    store(
        answered("qat28", bytes=194_000, file_ratio_vs_int8=7.6, peak_memory_ratio_vs_int8=1.4),
        answered("qat28", seed=2, bytes=194_000, file_ratio_vs_int8=7.6),
        answered(
            "qat28", "th", exact_match_drop_points=1.0, exact_match_drop_points_low=0.5,
            exact_match_drop_points_high=1.5,
        ),
        answered("int8", seed=0, bytes=1_480_000),
    )  # fmt: skip
    lines = results.quality_table().data.splitlines()
    assert lines[2].startswith("| 8 bits, the rival | 1480 |")
    assert lines[3] == "| qat28.nlab | 194 | **7.60** |  |  | 1.40 |  | 1.00 [0.50, 1.50] | 2 |"


def test_the_winner_in_energy_is_named_whoever_it_is(store):
    def energy(model, ratio):
        figures = {"ratio_vs_int8": ratio, "ratio_vs_fp32": 8 * ratio, "joules_per_token": 1e-6 / ratio}
        return made("headline.energy", {"model": model}, "simulated", **figures)

    store(energy("spiking", 1.2), energy("qat28", 2.4))
    assert "The other wins. *(simulated)*" in words.energy_sentence().data
    store(energy("spiking", 3.0))
    assert "The spiking one wins." in words.energy_sentence().data


def test_energy_says_what_it_takes_for_granted_and_where_it_is_more(store):
    def energy(model, ratio, **figures):
        figures |= {"ratio_vs_int8": ratio, "ratio_vs_fp32": 2 * ratio, "joules_per_token": 1e-6 / ratio}
        rivals = {"joules_per_token_int8": 1e-6, "joules_per_token_fp32": 2e-6}
        return made("headline.energy", {"model": model}, "simulated", **figures, **rivals)

    store(energy("spiking", 0.8, ratio_vs_int8_not_held=0.4), energy("qat28", 2.0, ratio_vs_int8_bytes=1.5))
    store(answered("qat28", file_ratio_vs_int8=7.6, exact_match_drop_points=0.9))
    said = words.energy_sentence().data
    assert "takes **1.25 times more** energy than 8 bits and 1.60 times less than floats" in said
    assert "(if fetched for every digit: 2.50 times more than 8 bits)" in said
    assert (
        "(with a byte a weight: 1.50 times less than 8 bits); it loses 0.90 points. The other wins." in said
    )
    lines = results.energy_table().data.splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines[:2]] == ["floats", "8 bits, the rival"]
    assert "| qat28.nlab | 500 | 2.00 | 1.50 |" in lines[2]


def test_joules_of_three_kinds_never_share_a_column(store):
    store(
        made("headline.energy", {"model": "int8"}, "simulated", joules_per_token=2e-6),
        made("headline.counter", {"model": "int8"}, joules_per_token=0.004),
    )
    table = results.energy_table({"int8": 0.0123}).data
    head, _, line = table.splitlines()[:3]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        "8 bits, the rival",
        "2000",
        "",
        "",
        "4.00",
        "12.30",
    ]
    assert head.count("simulated") == 3
    assert head.count("measured") == 2
    assert "counters: not available" not in table


def test_where_no_counter_is_the_table_says_why(store, monkeypatch):
    monkeypatch.setattr(results.energy_counters, "why_not", lambda: "not available here: no counter")
    store(made("headline.energy", {"model": "int8"}, "simulated", joules_per_token=2e-6))
    assert "counters: not available here: no counter" in results.energy_table().data


def test_one_file_has_as_many_factors_as_it_has_rivals(store):
    def latency(fmt, **figures):
        return made("export.latency", {"runtime": "onnx", "format": fmt, "what": "step"}, **figures)

    store(
        latency("int8", ratio_vs_fp32=1.5, ratio_vs_torch=9.0),
        latency("int4_unpacked", ratio_vs_int8=0.1, ratio_vs_fp32=0.15),
    )
    assert results.rivals("token") == {
        "4 bits, unpacked each time": 10, "floats in PyTorch": 9, "floats, same runtime": 1.5
    }  # fmt: skip
    shown = results.compared("a token of the 8-bit file")
    assert shown["rival"] == [
        "4 bits,<br>unpacked each time",
        "floats<br>in PyTorch",
        "floats,<br>same runtime",
    ]
    assert list(shown["text"]) == ["10.0x", "9.0x", "1.50x"]
    assert shown["log"][-1] == pytest.approx(np.log2(1.5))
    assert "**10.0 times** as fast as 4 bits, unpacked each time" in words.baseline_sentence().data
    assert "**7 times** larger than another that is just as true" in words.lesson().data
    with pytest.raises(ValueError, match="subject is 'x'"):
        results.rivals("x")
    explorer = Explorer(lambda: shown, pictures.baselines, describe=lambda r: r["words"], alt="a", title="t")
    assert exercise_corners(explorer) == 1


def test_the_fastest_is_the_one_with_the_least_time(store):
    def timed(model, ms, ratio):
        setting = {"model": model, "runtime": "onnx", "tokens": 512, "runs": 20}
        return made(
            "headline.latency",
            setting,
            milliseconds_per_token=ms,
            ratio_vs_fp32=ratio,
            ratio_vs_int8=ratio / 2,
        )

    store(timed("qat28_int8", 0.08, 2.5), timed("int8", 0.1, 2.0))
    said = words.fastest_sentence().data
    assert "**qat28.nlab, run as 8 bits**: 2.50 times as fast as floats in the same runtime" in said
    assert "| qat28.nlab, run as 8 bits | ONNX Runtime | **2.50** | 1.25 |" in results.latency_table().data
    store(answered("qat28", file_ratio_vs_int8=7.6, exact_match_drop_points=0.9))
    said = words.nearest_sentence().data
    assert "loses 0.90 points, and a token is 2.50 times as fast" in said
    assert "and 1.25 times as fast as with its 8 bits. By these rows it keeps within that budget." in said
    assert "in the same runtime (ONNX Runtime), 1.25 times as fast as 8 bits there, for 0.90 points lost" in (
        words.fastest_sentence().data
    )
    store(answered("qat28", seed=2, bytes=400_000, exact_match=0.9, file_ratio_vs_int8=7.6))
    assert "misses that budget in size and right answers" in words.nearest_sentence().data


def test_short_series_are_no_evidence_on_spread(store):
    def spread(runs, what, value, threads=1):
        setting = {"what": what, "model": "int8", "runs": runs, "tokens": 256, "threads": threads}
        return made("headline.spread", setting, **{f"{what}_sd_percent": value})

    store(spread(5, "latency", 40.0), spread(5, "accuracy", 9.0))
    assert words.spread_sentence().data == NOT_YET
    store(spread(10, "latency", 3.0), spread(30, "latency", 5.0), spread(10, "accuracy", 0.4))
    store(spread(10, "latency", 12.0, threads=2))
    said = words.spread_sentence().data
    assert "**5.0 %** of the mean for the time (at worst 12.0 %; 2 of 3 series within 8 %)" in said
    assert "**0.40 %** for right answers (at worst 0.40 %; 1 of 1 series within 1 %). *(measured)*" in said
    assert "| 10 | 256 | **3.0** | 12.0 | 0.40 |" in results.spread_table().data
    guess = Guess("benchmarking.spread", "?", low=0, high=30, step=0.5)
    assert words.reveal_spread(guess).value == 5.0


def test_batches_are_said_in_words(store):
    setting = {"what": "prefix_cache", "model": "float", "batch": 1, "entries": 64}
    store(made("headline.batch", setting, tokens_per_second_ratio=1.8, latency_ratio=0.4, memory_bytes=2000))
    assert "| beginnings kept | floats | 1 | 64 | **1.80** | 0.40 | 2 |" in results.batch_table().data


# ---- claimed and measured ---------------------------------------------------------------------------------


def test_a_claim_stands_where_its_figure_puts_it(store):
    store(
        answered("qat28", peak_memory_ratio_vs_int8=10.0, file_ratio_vs_int8=1.0),
        answered("qat28", "en", exact_match_drop_points=6.0),
        answered("qat28", "th", exact_match_drop_points=6.0),
    )
    found = results.claimed()
    at = dict(zip(found["id"], found["times"].tolist(), strict=True))
    assert at == {"A2": 2.0, "A4": 0.5}  # twice as good, and twice as bad
    assert found["verdict"] == ["confirmed", "not reproduced"]
    figure = pictures.claims(found)
    assert [trace.name for trace in figure.data] == ["as asked", "confirmed", "not reproduced"]
    said = words.claims_sentence().data
    assert "**1** confirmed" in said
    assert "Of the confirmed ones, 1 came out with at least **twice** what their rule asks" in said
    assert "1 claim came out with at least twice what is asked. 1 claim did not" in words.lesson().data


def test_a_loss_that_is_a_gain_stays_on_the_picture(store):
    store(
        answered("q", "en", exact_match_drop_points=-1.0), answered("q", "th", exact_match_drop_points=-1.0)
    )
    assert results.claimed()["times"].tolist() == [50.0]


def test_confirmed_claims_are_counted_for_the_guess(store):
    store(answered("q", peak_memory_ratio_vs_int8=6.0, file_ratio_vs_int8=6.0))
    guess = Guess("benchmarking.confirmed", "?", low=0, high=52, step=1)
    assert words.reveal_confirmed(guess).value == 1
