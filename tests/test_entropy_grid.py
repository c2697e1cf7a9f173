"""Grids by sensitivity, training to a size, and going on with training."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from neurolab import assistant, compressed, entropy_grid, facts, gptq, priced, qat, tuning
from neurolab.quantized import Coded, float_bytes, put
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=1024, context=60, width=20, layers=2, heads=2, hidden=30)


@pytest.fixture(scope="module")
def helper():
    return assistant.load()


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Transformer(SMALL).eval()


@pytest.fixture(scope="module")
def batches(helper):
    return list(gptq.batches(helper.tokenizer, facts.split("train")[:40]))


def test_divergence_is_kl_and_zero_for_the_same_model(net, batches):
    wanted = entropy_grid.told(net, batches)
    assert entropy_grid.divergence(net, batches, wanted) == pytest.approx(0, abs=1e-7)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.embedding.weight.mul_(4)
    got = entropy_grid.told(other, batches)
    p, q = torch.cat(wanted), torch.cat(got)
    by_torch = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    ).mean()
    assert entropy_grid.divergence(other, batches, wanted) == pytest.approx(by_torch.item(), rel=1e-4)


def test_the_steps_minimise_noise_at_equal_bits():
    """s_t = c sqrt(N_t / a_t) is the minimum of sum a s^2 at fixed sum N log2 s: no exchange is better."""
    a, n = {"x": 4.0, "y": 0.01}, {"x": 100, "y": 900}
    s = {t: math.sqrt(n[t] / a[t]) for t in a}

    def noise(shift):  # x finer by `shift` octaves, y coarser so that the bits stay the same
        finer, coarser = s["x"] * 2**-shift, s["y"] * 2 ** (shift * n["x"] / n["y"])
        return a["x"] * finer**2 + a["y"] * coarser**2

    assert noise(0) < min(noise(0.05), noise(-0.05))


def test_sensitivities_are_of_second_order(helper, batches):
    """Halving the steps quarters the divergence, roughly: a_t is a property of the tensor."""
    model = helper.model
    hessians = gptq.hessians(model, helper.tokenizer, facts.split("train")[::400])
    names = ["embedding.weight", "blocks.0.feed_forward.up.weight"]
    wanted = entropy_grid.told(model, batches)
    for name in names:
        W = model.get_parameter(name)
        found = []
        for s in (0.4, 0.2):
            other = copy.deepcopy(model)
            coded = entropy_grid.round_matrix(W.detach(), hessians[name], s * float(W.detach().std()))
            with torch.no_grad():
                other.get_parameter(name).copy_(coded.value())
            found.append(entropy_grid.divergence(other, batches, wanted))
        assert 2 < found[0] / found[1] < 12


def test_compress_and_to_size(net, tmp_path):
    steps = {name: 0.5 * float(w.std()) for name, w in entropy_grid.matrices(net).items()}
    from dataclasses import asdict

    fine, coarse = (entropy_grid.compress(net, steps, {}, c) for c in (0.5, 2.0))
    config = asdict(SMALL)
    assert compressed.size(fine, config) > compressed.size(coarse, config)
    for name, w in entropy_grid.matrices(net).items():
        off = (w - fine[name].value()).abs().max()
        assert off <= 0.5 * 0.5 * steps[name] * (1 + 1e-5)
    most = compressed.size(coarse, config) + 300
    made = entropy_grid.to_size(net, steps, {}, most)
    assert most - 300 < compressed.size(made, config) <= most
    path = tmp_path / "small.nlab"
    assert compressed.save(path, made, config=config) <= most
    ids = torch.randint(1024, (1, 7))
    assert torch.equal(compressed.load(path).model()(ids), put(net, made)(ids))
    with pytest.raises(ValueError, match="most 10 bytes"):
        entropy_grid.to_size(net, steps, {}, 10)
    with pytest.raises(ValueError, match="c 0"):
        entropy_grid.compress(net, steps, {}, 0)


def test_norms_are_codes_of_8_bits():
    x = torch.tensor([1.0, -0.5, 0.003, 1.27])
    made = entropy_grid.round_norm(x)
    assert made.q.tolist() == [100, -50, 0, 127]
    assert made.value().tolist() == pytest.approx([1.0, -0.5, 0.0, 1.27])
    assert entropy_grid.round_norm(torch.zeros(3)).value().tolist() == [0, 0, 0]


def test_training_to_a_size_gets_there_and_uses_what_is_kept(helper, net, tmp_path):
    asked = facts.split("train")[:30]
    count = 20 * (1024 + 60 + 4 * 20 + 2 * 30)
    ratio = float_bytes() / (1.5 * count / 8 + priced.REST)
    plan = priced.Plan("a", ratio, (1, 2, 30), 2, 100, batch=4)
    made = priced.train(net, helper.tokenizer, asked, plan, 0, tmp_path)
    assert len(made.blocks) == 1
    assert sum(w.numel() for w in entropy_grid.matrices(qat.plain(made)).values()) == count
    assert qat.code_bits(made) / count < 1.5 + 0.02  # it began at 1.5 + priced.ABOVE
    tensors = priced.tensors_of(made)
    assert all(isinstance(x, Coded) for x in tensors.values())
    kept = (tmp_path / "a-0.safetensors").stat().st_mtime_ns
    again = priced.train(net, helper.tokenizer, asked, plan, 0, tmp_path)
    assert (tmp_path / "a-0.safetensors").stat().st_mtime_ns == kept
    assert all(torch.equal(x.q, priced.tensors_of(again)[name].q) for name, x in tensors.items())
    other = replace(plan, steps=1)
    priced.train(net, helper.tokenizer, asked, other, 0, tmp_path)
    assert (tmp_path / "a-0.safetensors").stat().st_mtime_ns > kept  # made in another way: made again
    with pytest.raises(ValueError, match="target 0"):
        priced.Price(again, 0, 10)


def test_tuning_is_repeatable_and_soft_labels_pull_to_the_teacher(net):
    def tuned(**more):
        model = copy.deepcopy(net)
        tuning.tune(model, steps=3, seed=1, batch=8, **more)
        return model.embedding.weight.detach()

    assert torch.equal(tuned(), tuned())
    assert not torch.equal(tuned(), tuned(teacher=copy.deepcopy(net), soft=0.5))
    # its own answers as the only labels: nothing to learn
    assert torch.allclose(tuned(teacher=copy.deepcopy(net), soft=1.0), net.embedding.weight, atol=1e-3)
    for wrong, what in (({"steps": 0}, "steps 0"), ({"steps": 1, "soft": 1.5}, "soft 1.5")):
        with pytest.raises(ValueError, match=what):
            tuning.tune(copy.deepcopy(net), seed=0, **wrong)


def test_the_told_loss_is_the_weighed_sum(net, batches):
    batch = tuning.training_rows(8, 0).at(0)
    torch.manual_seed(5)
    teacher = Transformer(SMALL).eval()
    hard = tuning.told_loss(net, batch, None, 0.5)
    assert hard.item() == pytest.approx(assistant.answer_loss(net, batch).item(), rel=1e-6)
    both, soft = (tuning.told_loss(net, batch, teacher, share) for share in (0.25, 1.0))
    assert both.item() == pytest.approx(0.75 * hard.item() + 0.25 * soft.item(), rel=1e-5)
    wanted = batch.answer[:, 1:]
    p, q = (m(batch.ids[:, :-1])[wanted] for m in (teacher, net))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    ).mean()
    assert soft.item() == pytest.approx(kl.item(), rel=1e-4)
