"""Attention over fewer keys: equal to dense where nothing is left out, to plain loops where something is."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from neurolab import topk_attention as ta
from neurolab.topk_kernel import first_guess, kernels

B, H, N, M, E = 2, 3, 32, 64, 8


def given(seed=0, n=N, m=M, kind="normal"):
    g = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(B, H, size, E, generator=g) for size in (n, m, m))
    if kind == "peaked":
        q = q * 10
    if kind == "flat":
        k = k * 1e-4
    return q, k, v


def by_loops(q, k, v, keep):
    """Top-k attention, one query at a time, in float64 and plain Python."""
    out = torch.empty_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                z = [
                    float(q[b, h, i].double() @ k[b, h, j].double()) / math.sqrt(E) for j in range(k.shape[2])
                ]
                best = sorted(range(len(z)), key=lambda j: -z[j])[:keep]
                weight = [math.exp(z[j] - z[best[0]]) for j in best]
                mixed = sum(w * v[b, h, j].double() for w, j in zip(weight, best, strict=True)) / sum(weight)
                out[b, h, i] = mixed.float()
    return out


@pytest.mark.parametrize("method", ta.EXACT)
@pytest.mark.parametrize("kind", ["normal", "peaked", "flat"])
@pytest.mark.parametrize("keep", [1, 7, 40])
def test_top_k_is_what_plain_loops_say(method, kind, keep):
    q, k, v = given(kind=kind)
    assert torch.allclose(ta.topk(q, k, v, keep, method), by_loops(q, k, v, keep), atol=4e-6)


@pytest.mark.parametrize("method", ta.EXACT)
def test_top_k_of_all_keys_is_dense_attention(method):
    q, k, v = given()
    assert torch.allclose(ta.topk(q, k, v, M, method), ta.dense(q, k, v), atol=1e-6)


@pytest.mark.parametrize("method", ta.EXACT)
def test_fewer_keys_change_the_answer(method):
    q, k, v = given()
    assert (ta.topk(q, k, v, 8, method) - ta.dense(q, k, v)).abs().max() > 0.1


def test_the_three_ways_agree_at_the_video_nets_size():
    g = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 4, 257, 32, generator=g) for _ in range(3))
    first = ta.topk(q, k, v, 32, "masked")
    for method in ta.EXACT[1:]:
        assert torch.allclose(ta.topk(q, k, v, 32, method), first, atol=2e-6)


def test_blocks_of_queries_make_no_difference():
    q, k, v = given(n=50)
    whole = ta.topk_compiled(q, k, v, 9, rows=50)
    assert torch.allclose(ta.topk_compiled(q, k, v, 9, rows=7), whole, atol=1e-6)


def test_without_the_compiler_the_masked_way_is_taken(monkeypatch):
    monkeypatch.setattr(ta, "has_numba", lambda: False)
    q, k, v = given()
    assert torch.equal(ta.topk(q, k, v, 5), ta.topk_masked(q, k, v, 5))
    with pytest.raises(RuntimeError, match="needs the optional numba"):
        ta.topk(q, k, v, 5, "compiled")


def chosen_of(scores, keep):
    W, J = torch.empty(len(scores), keep), torch.empty(len(scores), keep, dtype=torch.int32)
    kernels().choose(scores.numpy(), first_guess(keep, scores.shape[1]), W.numpy(), J.numpy())
    return W, J


@pytest.mark.parametrize("keep", [1, 3, 16, 63, 64])
def test_choose_takes_the_largest_whatever_their_distribution(keep):
    g = torch.Generator().manual_seed(2)
    rows = torch.stack(
        [
            torch.randn(64, generator=g),
            torch.randn(64, generator=g) ** 5,  # a few far out
            torch.full((64,), -3.25),  # all equal
            torch.randint(0, 3, (64,), generator=g).float(),  # many equal at the border
            torch.rand(64, generator=g) * 1e30,
            -torch.rand(64, generator=g).exp() * 1e-30,
            torch.arange(64.0),
            torch.cat((torch.zeros(63), torch.tensor([5.0]))),
        ]
    )
    W, J = chosen_of(rows, keep)
    assert torch.equal(W.sort(-1).values, rows.topk(keep).values.sort(-1).values)
    assert torch.equal(rows.gather(1, J.long()), W)
    assert all(len(set(row)) == keep for row in J.tolist())


def test_of_equal_scores_the_first_are_taken():
    row = torch.tensor([[1.0, 2.0, 1.0, 1.0, 2.0, 1.0]])
    _, J = chosen_of(row, 4)
    assert sorted(J[0].tolist()) == [0, 1, 2, 4]


def test_what_is_no_number_is_said_on():
    q, k, v = given()
    q[0, 0, 3, 0] = torch.nan
    found = ta.topk(q, k, v, 5, "compiled")
    assert found[0, 0, 3].isnan().all()
    assert found.isnan().sum() == E


def test_shared_keys_are_dense_attention_over_the_chosen_keys():
    q, k, v = given()
    weights = ta.importance(q, k)
    at = weights.topk(10).indices  # (B, H, 10)
    mask = torch.zeros(B, H, 1, M, dtype=torch.bool).scatter_(3, at[:, :, None], True)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(-1, -1, N, -1))
    assert torch.allclose(ta.shared_keys(q, k, v, 10), expected, atol=1e-6)
    assert torch.allclose(ta.shared_keys(q, k, v, M), ta.dense(q, k, v), atol=1e-6)


def test_importance_with_every_query_is_the_mean_of_attention():
    q, k, _ = given()
    weights = (q @ k.transpose(-1, -2) / E**0.5).softmax(-1)
    assert torch.allclose(ta.importance(q, k, N), weights.mean(2), atol=1e-6)
    assert torch.allclose(ta.importance(q, k, 2), weights[:, :, [0, N - 1]].mean(2), atol=1e-6)


def test_shared_keys_find_the_key_that_all_look_at():
    q, k, v = given()
    k[:, :, 41], q = 2.0, 1 + 0.3 * q
    assert torch.equal(ta.shared_keys(q, k, v, 1), v[:, :, 41:42].expand_as(q))


def test_tiles_spend_the_budget_of_each_picture_and_leave_no_row_empty():
    q, k, _ = given()
    found = ta.tiles(q, k, 0.4, tile=8)
    assert found.shape == (B, H, 4, 8)
    assert found.flatten(1).sum(1).tolist() == [round(0.4 * H * 4 * 8)] * B
    assert bool(found.any(-1).all())


def test_tiles_go_where_the_scores_are():
    q, k, _ = given()
    q[:, 0] *= 0.01  # a head that looks at everything alike, and one that looks at one tile
    q[:, 1] = k[:, 1, 16:24].mean(1, keepdim=True) * 20
    found = ta.tiles(q, k, 0.4, tile=8)
    assert bool(found[:, 1, :, 2].all())
    assert int(found[:, 0].sum()) > int(found[:, 1].sum())


@pytest.mark.parametrize("budget", [1 / 8, 0.3, 0.7, 1.0])
def test_budgeted_is_attention_with_the_other_tiles_masked(budget):
    q, k, v = given()
    chosen = ta.tiles(q, k, budget, tile=8)
    mask = chosen.repeat_interleave(8, 2).repeat_interleave(8, 3)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.allclose(ta.budgeted(q, k, v, chosen), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_budgeted_is_what_flex_attention_makes_of_the_same_tiles():
    q, k, v = given(n=256, m=256)
    chosen = ta.tiles(q, k, 0.6, tile=128)

    def keep(b, h, i, j):
        return chosen[b, h, i // 128, j // 128]

    block_mask = create_block_mask(keep, B, H, 256, 256, device="cpu")
    expected = flex_attention(q, k, v, block_mask=block_mask)
    assert not bool(chosen.all())
    assert torch.allclose(ta.budgeted(q, k, v, chosen), expected, atol=1e-5)


def test_multiply_adds_by_hand():
    N, M, E, H = 8, 16, 4, 2
    assert ta.macs("dense", N, M, E, H) == {"choice": 0, "after": 2 * 2 * 8 * 16 * 4}
    assert ta.macs("topk", N, M, E, H, keep=3) == {"choice": 2 * 8 * 16 * 4, "after": 2 * 8 * 3 * 4}
    assert ta.macs("shared", N, M, E, H, keep=3, probes=2) == {
        "choice": 2 * 2 * 16 * 4,
        "after": 2 * 2 * 8 * 3 * 4,
    }
    assert ta.macs("budgeted", N, M, E, H, keep=0.5, tile=4) == {
        "choice": 2 * 2 * 4 * 4,
        "after": 2 * 8 * 16 * 4,
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q, k, v: ta.topk(q, k, v, 0), "keep 0: must be a whole number from 1 to 64"),
        (lambda q, k, v: ta.topk(q, k, v, 65), "keep 65"),
        (lambda q, k, v: ta.topk(q, k, v, 2.5), "keep 2.5"),
        (lambda q, k, v: ta.topk(q, k, v, 4, "quick"), "method 'quick': must be one of masked"),
        (lambda q, k, v: ta.topk(q, k[..., :4], v, 4), "q, k, v of shapes"),
        (lambda q, k, v: ta.topk(q.double(), k.double(), v.double(), 4, "compiled"), "takes float32"),
        (lambda q, k, v: ta.shared_keys(q, k, v, 4, torch.ones(2)), r"weights of shape \(2,\)"),
        (lambda q, k, v: ta.importance(q, k, 0), "probes 0"),
        (lambda q, k, v: ta.tiles(q, k, 0.5, tile=7), "tile 7: must divide 32 queries and 64 keys"),
        (lambda q, k, v: ta.tiles(q, k, 0.01, tile=8), "budget 0.01: must be from 0.125"),
        (lambda q, k, v: ta.budgeted(q, k, v, torch.zeros(B, H, 4, 8, dtype=torch.bool)), "a tile at least"),
        (lambda q, k, v: ta.macs("none", 1, 1, 1, 1), "method 'none'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*given())
