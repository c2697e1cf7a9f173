"""GPTQ against closed forms and a slow reference; Hessians against plain sums; the assistant's matrices."""

import pytest
import torch

from neurolab import assistant, ptq
from neurolab.facts import split
from neurolab.gptq import (
    EMBEDDING,
    batches,
    compensate,
    hessians,
    in_order,
    inverse_root,
    objective,
    uniform,
)
from neurolab.quantization import best_scales, dequantize, quantize
from neurolab.quantized import Coded, put, values
from neurolab.sweeps import compression_ptq
from neurolab.tokens import encode_pair, train_tokenizer
from neurolab.transformer import Config, Transformer


def problem(rows=6, columns=24, seed=0, inputs=200):
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=g, dtype=torch.float64)
    x = torch.randn(inputs, columns, generator=g, dtype=torch.float64) @ mix  # inputs that go together
    return torch.randn(rows, columns, generator=g), x.T @ x


def damped(H, damp=0.01):
    return H + damp * H.diagonal().mean() * torch.eye(len(H), dtype=H.dtype)


@pytest.fixture(scope="module")
def small():
    asked = split("train")[:50]
    tokenizer = train_tokenizer([t for q in asked for t in (q.text, q.answer)], 300)
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=300, context=96, width=16, layers=2, heads=2, hidden=24)).eval()
    return model, tokenizer, asked


def test_inputs_that_do_not_go_together_leave_plain_rounding():
    W, _ = problem()
    H = torch.diag(torch.rand(24, dtype=torch.float64) + 0.1)
    codes, values_ = compensate(W, H, uniform(0.3, 24, -4, 3))
    assert torch.equal(codes, torch.round(W / 0.3).clamp(-4, 3).to(torch.int16))
    assert torch.equal(values_, codes * torch.tensor(0.3))


@pytest.mark.parametrize("bounds", [(-2, 1), (-32768, 32767)])
def test_the_objective_is_the_sum_of_each_columns_price(bounds):
    """tr((W - Q) H (W - Q)^T) = sum_j ((w_j - q_j) / U_jj)^2, w_j as it stood when its turn came."""
    W, H = problem(seed=1)
    U = inverse_root(H)
    turn = uniform(0.4, 24, *bounds)
    paid = []

    def watched(j, rest):
        code, value = turn(j, rest)
        paid.append(float(((rest[:, 0].double() - value) / U[j, j]).square().sum()))
        return code, value

    _, Q = compensate(W, H, watched)
    assert objective(W, Q, damped(H)) == pytest.approx(sum(paid), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_without_bounds_the_objective_stays_below_its_bound(seed):
    """No column is off by more than s / 2: a row's objective is at most (s^2 / 4) sum_j 1 / U_jj^2."""
    W, H = problem(seed=seed)
    s = 0.5
    _, Q = compensate(W, H, uniform(s, 24))
    bound = s * s / 4 * float((1 / inverse_root(H).diagonal().square()).sum())
    for row in range(len(W)):
        assert objective(W[row : row + 1], Q[row : row + 1], damped(H)) <= bound * (1 + 1e-5)


def slowly(W, H, s, low, high):
    """As it is defined: after every column, the free ones are solved anew for the least objective."""
    W, H = W.double(), damped(H)
    current, codes = W.clone(), torch.zeros(W.shape, dtype=torch.int16)
    for j in range(W.shape[1]):
        codes[:, j] = torch.round(current[:, j].float() / s).clamp(low, high)
        fixed, free = slice(0, j + 1), slice(j + 1, None)
        off = W[:, fixed] - codes[:, fixed] * s
        if j + 1 < W.shape[1]:
            current[:, free] = W[:, free] + off @ H[fixed, free] @ torch.linalg.inv(H[free, free])
    return codes


@pytest.mark.parametrize(("low", "high"), [(-4, 3), (-1000, 1000)])
@pytest.mark.parametrize("seed", range(3))
def test_same_codes_as_solving_for_the_free_columns_every_time(seed, low, high):
    W, H = problem(rows=4, columns=16, seed=seed)
    s = 0.25  # a power of two: no rounding of its own
    assert torch.equal(compensate(W, H, uniform(s, 16, low, high))[0], slowly(W, H, s, low, high))


def test_the_last_column_is_the_best_answer_to_all_others():
    W, H = problem(rows=1, columns=5, seed=4)
    codes, Q = compensate(W, H, uniform(0.5, 5, -8, 7))
    for code in range(-8, 8):
        other = Q.clone()
        other[0, -1] = code * 0.5
        assert objective(W, Q, damped(H)) <= objective(W, other, damped(H)) * (1 + 1e-9)
    assert codes.abs().max() <= 8


def test_another_order_is_the_same_as_turned_columns():
    W, H = problem(seed=2)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    codes, _ = compensate(W, H, uniform(0.3, 24, -4, 3), order=order)
    turned, _ = compensate(W[:, order], H[order][:, order], uniform(0.3, 24, -4, 3))
    assert torch.equal(codes[:, order], turned)
    assert not torch.equal(codes, compensate(W, H, uniform(0.3, 24, -4, 3))[0])


@pytest.mark.parametrize("shape", [(), (6, 1), (1, 24), (6, 3)])
def test_one_loop_serves_a_step_a_tensor_row_column_or_group(shape):
    W, H = problem(seed=3)
    step = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 0.3 + 0.2
    codes, Q = compensate(W, H, uniform(step, 24, -4, 3))
    made = Coded(codes, step)
    assert torch.equal(made.value(), Q)
    rounded = (torch.round(W / made.spread(step)).clamp(-4, 3)) * made.spread(step)
    assert objective(W, Q, H) < objective(W, rounded, H)


def test_inverse_root_is_one():
    _, H = problem()
    U = inverse_root(H, 0.05)
    assert torch.equal(U, U.triu())
    torch.testing.assert_close(
        U.T @ U @ damped(H, 0.05), torch.eye(24, dtype=torch.float64), rtol=0, atol=1e-8
    )


def test_inputs_that_never_come_and_singular_sums_are_no_trouble():
    W, H = problem()
    codes, _ = compensate(W, torch.zeros_like(H), uniform(0.3, 24))
    assert torch.equal(codes, torch.round(W / 0.3).to(torch.int16))
    g = torch.Generator().manual_seed(6)
    x = torch.randn(3, 24, dtype=torch.float64, generator=g)  # three inputs for 24 columns
    _, Q = compensate(W, x.T @ x, uniform(0.3, 24))
    rounded = torch.round(W / 0.3) * 0.3
    assert objective(W, Q, x.T @ x) < objective(W, rounded, x.T @ x) / 2


def test_bad_input_is_named():
    W, H = problem()
    cases = [
        (torch.ones(24), H, 0.01, "W of shape"), (W, H[:5, :5], 0.01, "H of shape"), (W, H, 0, "damp"),
        (W * torch.nan, H, 0.01, "NaN"), (W, H * torch.inf, 0.01, "NaN"),
    ]  # fmt: skip
    for w, h, damp, match in cases:
        with pytest.raises(ValueError, match=match):
            compensate(w, h, uniform(0.3, 24), damp=damp)
    for step in (torch.ones(6, 5), torch.tensor(-1.0), torch.zeros(6, 1), torch.ones(24)):
        with pytest.raises(ValueError, match="step of shape"):
            uniform(step, 24)


# ---- on a Transformer -------------------------------------------------------------------------------------


def test_hessians_are_sums_over_the_tokens_that_are_heard(small):
    """Each question alone, so without padding; in the last block all but keys and values only where an answer
    is predicted."""
    model, tokenizer, asked = small
    names = ["blocks.0.feed_forward.down", "blocks.1.attention.key", "blocks.1.attention.query"]
    true = {}
    for q in asked:
        ids, start = encode_pair(tokenizer, q.text, q.answer)
        given = {}
        hooks = [
            model.get_submodule(n).register_forward_pre_hook(
                lambda _, x, n=n, given=given: given.__setitem__(n, x[0][0])
            )
            for n in names
        ]
        with torch.no_grad():
            hidden, _ = model.features(torch.tensor([ids[:-1]]))
        for hook in hooks:
            hook.remove()
        given["blocks.1.attention.query"] = given["blocks.1.attention.query"][start - 1 :]
        given["embedding"] = hidden[0, start - 1 :]
        for n, x in given.items():
            true[f"{n}.weight"] = true.get(f"{n}.weight", 0) + (x.T @ x).double()
    found = hessians(model, tokenizer, asked, batch=7)
    assert len(found) == 2 * 6 + 1
    for name, H in true.items():
        torch.testing.assert_close(found[name], H, rtol=1e-4, atol=1e-5 * float(H.abs().max()))
    only = hessians(model, tokenizer, asked, names=["blocks.1.attention.key.weight"])
    assert list(only) == ["blocks.1.attention.key.weight"]
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_matrices_are_rounded_one_after_the_other_for_what_they_really_get(small):
    model, tokenizer, asked = small
    before = {name: p.clone() for name, p in model.named_parameters()}
    seen = {}

    def code(name, W, H):
        seen[name] = H
        assert torch.equal(W, before[name])
        s = best_scales(W, 3)
        return Coded(quantize(W, s, 3).short(), s)

    made = in_order(model, tokenizer, asked, code, batch=16)
    assert list(seen)[:2] == [EMBEDDING, "position.weight"]
    assert made.keys() == before.keys()
    assert {n for n, x in made.items() if isinstance(x, Coded)} == {
        n for n, p in before.items() if p.ndim == 2
    }
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    # the last stage saw a model in which all the rest is rounded
    late = "blocks.1.feed_forward.down.weight"
    rounded = put(model, {name: x for name, x in made.items() if name != late})
    expected = hessians(rounded, tokenizer, asked, names=[late], batch=16)[late]
    torch.testing.assert_close(seen[late], expected, rtol=1e-5, atol=1e-9)
    assert not torch.allclose(hessians(model, tokenizer, asked, names=[late])[late], expected, rtol=1e-2)


def test_on_the_assistant_every_matrix_gains_by_compensation():
    helper = assistant.load()
    found = hessians(helper.model, helper.tokenizer, ptq.calibration_questions(count=64))
    assert len(found) == 25
    for name, H in found.items():
        W = helper.model.get_parameter(name).detach()
        s = best_scales(W, 3, candidates=20)
        _, Q = compensate(W, H, uniform(s, W.shape[1], -4, 3))
        assert objective(W, Q, H) < 0.8 * objective(W, dequantize(quantize(W, s, 3), s), H), name


def test_bad_names_and_no_questions_are_named(small):
    model, tokenizer, asked = small
    with pytest.raises(ValueError, match="no such linear layer"):
        hessians(model, tokenizer, asked, names=["norm.weight"])
    with pytest.raises(ValueError, match="at least one question"):
        list(batches(tokenizer, []))


# ---- quantization without training ------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 1.58])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "group8"])
def test_both_methods_share_their_steps_and_keep_to_their_codes(small, granularity, bits):
    model, tokenizer, asked = small
    plain = ptq.rtn(model, bits, granularity)
    clever = ptq.gptq(model, tokenizer, asked, bits, granularity)
    low, high = (-1, 1) if bits == 1.58 else (-8, 7)
    for name, one in plain.items():
        other = clever[name]
        if not isinstance(one, Coded):
            assert torch.equal(one, other)
            continue
        assert torch.equal(one.step, other.step)
        for made in (one, other):
            assert low <= made.q.min()
            assert made.q.max() <= high
    assert torch.equal(plain["position.weight"].q, clever["position.weight"].q)
    weights = dict(model.named_parameters())
    late = "blocks.1.attention.out.weight"
    H = hessians(model, tokenizer, asked, names=[late])[late]
    assert objective(weights[late], values(clever)[late], H) < objective(
        weights[late], values(plain)[late], H
    )


def test_steps_are_the_best_or_cut_nothing():
    w = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ptq.steps(w, 4, "channel"), best_scales(w, 4))
    assert torch.equal(ptq.steps(w, 4, "channel", "max"), w.abs().amax(1, keepdim=True) / 7)
    assert ptq.steps(w, 4, "tensor").ndim == 0
    assert ptq.steps(w, 4, "group16").shape == (6, 2)
    with pytest.raises(ValueError, match="scales"):
        ptq.steps(w, 4, "channel", "best")


def test_calibration_looks_at_training_questions_only():
    trained = {q.text for q in split("train")}
    some = ptq.calibration_questions(3, 50)
    assert all(q.text in trained for q in some)
    assert some == ptq.calibration_questions(3, 50)
    assert some != ptq.calibration_questions(4, 50)


def test_rows_are_all_different_and_of_the_names_that_the_ledger_reads():
    made = compression_ptq.jobs()
    assert {job.name for job in made} == {"compression.ptq", "compression.calibration"}
    assert len({str((job.name, job.setting)) for job in made}) == len(made)
    for job in made:
        assert job.chapter == 4
        rest = {"what"} if job.name.endswith("calibration") else {"method", "scales", "seed"}
        assert job.setting.keys() == {"bits", "granularity"} | rest
