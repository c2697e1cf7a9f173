"""The event-by-event run against the integer rule, step by step, and its work against its spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab.neurons_fast import has_numba
from neurolab.spiking import features, logits, schedule
from neurolab.spiking_counts import counts_stream
from neurolab.spiking_events import Events, work
from neurolab.spiking_rules import IntegerSpikes
from neurolab.spiking_run import rows_of
from neurolab.spiking_stream import Stop, stream
from tests.test_spiking_run import SMALL, asked, network, shipped, tokenizer

KINDS = ("unary", "halving", "ramp", "rescaled")


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ids=st.lists(st.integers(0, SMALL.vocabulary - 1), min_size=1, max_size=4),
    T=st.integers(1, 12),
    kind=st.sampled_from(KINDS),
    compiled=st.sampled_from([True, False] if has_numba() else [False]),
)
def test_every_step_equals_the_rule(seed: int, ids: list[int], T: int, kind: str, compiled: bool) -> None:
    net = network(seed)
    S = features(net.p, torch.tensor([ids]), SMALL, IntegerSpikes(schedule(T, kind, 4), 4))  # (T, 1, L, D)
    goal = logits(net.p, S)
    events = Events(net, kind, T, compiled)
    for place, token in enumerate(ids):
        events.begin(token)
        for t in range(T):
            events.step()
            assert torch.equal(events.logits(), goal[t, 0, place])


@pytest.mark.parametrize("kind", ["unary", "halving", "ramp"])
def test_shipped_network_event_by_event(kind: str) -> None:
    net = shipped()
    ids = rows_of(tokenizer(), asked(3000)[:1])[0][0][: None if has_numba() else 2]
    T = 12
    with torch.inference_mode():
        goal = logits(
            net.p,
            features(net.p, torch.tensor([ids]), net.config, IntegerSpikes(schedule(T, kind, 4), net.bits)),
        )
    events = Events(net, kind, T)
    for place, token in enumerate(ids):
        events.begin(token)
        for t in range(T):
            events.step()
            assert torch.equal(events.logits(), goal[t, 0, place])


def test_additions_are_those_that_the_stream_counts() -> None:
    """Two ways to count synaptic events agree: one by one here, spikes times fan-outs there."""
    net, ids = network(5), [1, 2, 3]
    events = Events(net, "halving", 8)
    for token in ids:
        events.begin(token)
        for _ in range(8):
            events.step()
    ran = stream(net, [ids], "halving", Stop(8))
    counted = counts_stream(net, ran, [len(ids)])  # no token answers
    assert events.spikes == counted.spikes
    assert events.additions == counted.add_int32 - int(ran.products.sum())


def test_work_falls_with_spikes() -> None:
    net = shipped()
    ids = rows_of(tokenizer(), asked(3000)[:1])[0][0][: None if has_numba() else 1]
    found = {name: np.array(x) for name, x in work(net, [ids], "halving", 16).items()}
    quiet, busy = (found["spikes"] <= 20), found["spikes"] >= np.quantile(found["spikes"], 0.9)
    assert quiet.any()
    assert found["additions"][quiet].mean() < 0.05 * found["additions"][busy].mean()
    assert found["visits"][quiet].mean() < 0.7 * found["visits"][busy].mean()
    assert np.corrcoef(found["spikes"], found["additions"])[0, 1] > 0.95
    if has_numba():
        assert np.median(found["seconds"][quiet]) < 0.5 * np.median(found["seconds"][busy])


def test_bad_tokens_are_named() -> None:
    events = Events(network(1), "halving", 2)
    with pytest.raises(ValueError, match="token 7"):
        events.begin(7)
    for _ in range(SMALL.context):
        events.begin(0)
    with pytest.raises(ValueError, match="5 positions"):
        events.begin(0)
