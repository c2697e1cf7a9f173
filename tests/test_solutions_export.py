"""The references of chapter 7 against whole sequences, the worst luck there is, and integrals by hand."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab.exercises import check, exercises, get
from neurolab.solutions.export import answer, joules, mended, proved, save
from neurolab.solutions.export.axes import ALL, Listener, fits
from neurolab.solutions.export.loop import END, toy
from neurolab.solutions.export.mend import broken

OURS = [item for item in exercises() if item.name.split(".")[0] == "export"]


def test_the_chapter_has_its_exercises():
    assert [item.chapter for item in OURS] == [7] * 5
    assert sum(item.minutes for item in OURS) == 42  # the chapter's head says so


@pytest.mark.parametrize("exercise", OURS, ids=[item.name for item in OURS])
def test_a_solution_can_be_pasted_into_the_notebook(exercise):
    space = {"torch": torch, "math": math, "np": np, "Step": object}
    exec(exercise.source(), space)
    name = exercise.stub.split("(")[0].removeprefix("def ")
    assert check(exercise.name, space[name]).passed


def test_an_exported_layer_is_the_layer_at_every_size():
    layer = Listener(5, 9)
    program = save(layer, 5)
    assert fits(program) == ALL
    run = program.module()
    for n, past in ((1, 0), (9, 0), (1, 40), (6, 3)):
        x, cache = torch.randn(n, 5), torch.randn(past, 5)
        for got, want in zip(run(x, cache), layer(x, cache), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_a_frozen_size_is_recognised():
    frozen = lambda layer, width: torch.export.export(layer, (torch.zeros(3, width), torch.zeros(2, width)))  # noqa: E731
    assert "knows one size" in check("export.axes", frozen).message
    assert not check("export.axes", lambda layer, width: layer).passed


@settings(deadline=None)
@given(seed=st.integers(0, 500), limit=st.integers(1, 20), length=st.integers(1, 6))
def test_the_loop_gives_what_the_whole_sequence_gives(seed, limit, length):
    prompt = np.random.default_rng(seed).integers(3, 11, length).tolist()
    empty = np.zeros((1, 0), np.int64)
    row = list(prompt)
    while len(row) < len(prompt) + limit:
        best = int(toy(seed, np.array([row]), empty)[0].argmax())
        if best == END:
            break
        row.append(best)
    assert answer(partial(toy, seed), empty, prompt, END, limit) == row[len(prompt) :]


@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 4), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_rows_in_any_portions_are_rows_at_once(cuts, seed):
    generator = torch.Generator().manual_seed(seed)
    x, place = torch.randn(sum(cuts), 4, generator=generator).double(), torch.randn(40, 4).double()
    whole, seen = mended(x, place, x[:0])
    cache, heard = x[:0], []
    for part in x.split(cuts):
        y, cache = mended(part, place, cache)
        heard.append(y)
    torch.testing.assert_close(torch.cat(heard), whole, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cache, seen, rtol=1e-10, atol=1e-12)


def test_the_broken_export_is_right_at_its_first_call_only():
    x, place = torch.randn(4, 3), torch.randn(9, 3)
    for got, want in zip(broken(x, place, x[:0]), mended(x, place, x[:0]), strict=True):
        assert torch.equal(got, want)
    later = broken(x[2:], place, x[:2])[0]
    assert not torch.allclose(later, mended(x[2:], place, x[:2])[0], atol=0.01)


@settings(deadline=None)
@given(seed=st.integers(0, 300), off=st.floats(0, 1))
def test_what_is_proved_withstands_the_worst_luck_and_nothing_else_does(seed, off):
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    best = logits.argmax(1)
    safe = []
    for row, at in zip(logits, best.tolist(), strict=True):
        worst = row + off
        worst[at] -= 2 * off
        others = torch.cat((worst[:at], worst[at + 1 :]))
        safe.append(bool(others.max() < worst[at]))
    assert proved(logits, off) == pytest.approx(sum(safe) / 6, abs=1e-12)
    noise = (torch.rand(20, 6, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * off
    stays = ((logits + noise).argmax(2) == best).all(0)
    assert all(kept for kept, sure in zip(stays.tolist(), safe, strict=True) if sure)


@settings(deadline=None)
@given(idle=st.floats(0, 1), tokens=st.integers(1, 50), start=st.floats(0, 100))
def test_joules_of_a_straight_line_are_its_integral(idle, tokens, start):
    t = start + np.array([0.0, 0.3, 1.1, 2.0])
    amps = 0.5 + 0.25 * (t - start)  # from 0.5 A to 1 A at 4 V
    area = 4 * (0.5 * 2 + 0.25 * 2**2 / 2)
    found = joules(t, np.full(4, 4.0), amps, idle, tokens)
    assert found == pytest.approx((area - idle * 2) / tokens, abs=1e-9)


@pytest.mark.parametrize("case", get("export.joules").inputs())
def test_joules_are_numpy_s_trapezoids(case):
    t, volts, amps, idle, tokens = case[0]
    whole = np.trapezoid(volts * amps, t) - np.trapezoid(np.full_like(t, idle), t)
    assert joules(t, volts, amps, idle, tokens) == pytest.approx(whole / tokens, rel=1e-9, abs=1e-12)
