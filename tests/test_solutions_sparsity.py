"""The references of chapter 6 against masks, PyTorch's attention, whole matrices, and counting by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import sparsity, video_net
from neurolab.exercises import check, exercises, get
from neurolab.solutions.sparsity import gate, macs, multiply, pack, stop, topk

OURS = [item for item in exercises() if item.name.split(".")[0] == "sparsity"]
shares = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=24, unique=True)


def test_the_chapter_has_its_exercises():
    assert [item.chapter for item in OURS] == [6] * 6
    assert sum(item.minutes for item in OURS) == 44  # the chapter's head says so


@pytest.mark.parametrize("exercise", OURS, ids=[item.name for item in OURS])
def test_a_solution_can_be_pasted_into_the_notebook(exercise):
    space = {"torch": torch, "math": math}
    exec(exercise.source(), space)
    name = exercise.stub.split("(")[0].removeprefix("def ")
    assert check(exercise.name, space[name]).passed


@settings(deadline=None)
@given(change=shares, threshold=st.floats(0, 1), budget=st.integers(1, 24))
def test_a_gate_is_the_package_s_choice(change, threshold, budget):
    scores = torch.tensor(change, dtype=torch.float64)
    kept = gate(scores, threshold, budget)
    assert kept == sparsity.choose(scores[None], min(budget, len(change)), threshold)[0].tolist()
    assert 1 <= len(kept) <= budget


def masked(x, keep):
    """What packing gives, by hiding: all are computed, and those that were not chosen are not heard."""
    B, N = x.shape[:2]
    there = torch.zeros(B, N, dtype=torch.bool).scatter(1, keep, value=True)
    heard = torch.nn.functional.scaled_dot_product_attention(
        x, x, x, attn_mask=there[:, None].expand(B, N, N)
    )
    return torch.where(there[..., None], heard, x)


@pytest.mark.parametrize("case", get("sparsity.pack").inputs())
def test_packing_equals_masking(case):
    x, keep = case[0]
    torch.testing.assert_close(pack(x, keep), masked(x, keep), rtol=1e-10, atol=1e-12)


def test_the_order_of_packed_tokens_makes_no_difference():
    x = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    keep = torch.tensor([[7, 1, 4], [0, 8, 3]])
    torch.testing.assert_close(pack(x, keep), pack(x, keep.flip(1)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("tokens", [1, 32, 256])
def test_multiply_adds_are_those_of_the_network(tokens):
    config = video_net.VideoConfig()
    parts = video_net.macs(config, tokens)
    wanted = parts["projections"] + parts["attention"] + parts["feed_forward"]
    assert config.layers * macs(1 + tokens, config.width, config.hidden) == wanted


@pytest.mark.parametrize("case", get("sparsity.topk").inputs())
def test_top_k_is_attention_with_the_others_hidden(case):
    q, k, v, most = case[0]
    s = q @ k.T
    mark = s.sort(dim=1, descending=True).values[:, most - 1 : most]
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=s >= mark)
    torch.testing.assert_close(topk(q, k, v, most), theirs, rtol=1e-10, atol=1e-12)


@settings(deadline=None)
@given(p=st.floats(0.11, 0.99), layers=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_surer_one_must_be_the_later_one_stops(p, layers, seed):
    scores = 2 * torch.randn(layers, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    used, said = stop(scores, p)
    assert 1 <= used <= layers
    assert said == int(scores[used - 1].argmax())
    assert all(row.softmax(0).max() < p for row in scores[: used - 1])
    assert used == layers or scores[used - 1].softmax(0).max() >= p
    assert stop(scores, 0.05)[0] == 1 <= used <= stop(scores, 1.01)[0] == layers


@settings(deadline=None)
@given(R=st.integers(1, 4), C=st.integers(1, 4), b=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_a_product_of_blocks_is_the_product_with_the_whole_matrix(R, C, b, seed):
    rng = np.random.default_rng(seed)
    there = rng.permutation(np.argwhere(rng.random((R, C)) < 0.5))
    blocks = torch.tensor(rng.normal(size=(len(there), b, b)))
    W = torch.zeros(R * b, C * b, dtype=torch.float64)
    for w, (i, j) in zip(blocks, there.tolist(), strict=True):
        W[i * b : (i + 1) * b, j * b : (j + 1) * b] = w
    x = torch.tensor(rng.normal(size=(C * b, 3)))
    found = multiply(blocks, there[:, 0].tolist(), there[:, 1].tolist(), x, R * b)
    torch.testing.assert_close(found, W @ x, rtol=1e-10, atol=1e-12)
