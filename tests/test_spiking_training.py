"""Training the spiking assistant: what it inherits, how it is calibrated, its gradients and its stages."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from neurolab import assistant, facts
from neurolab.assistant import Batch, Rows, collate
from neurolab.quantization import round_clip, round_ste
from neurolab.spiking import SIGNED, UNSIGNED, bounds, features, logits, schedule
from neurolab.spiking_files import load
from neurolab.spiking_recipe import STAGES, forget, quick_scores, train
from neurolab.spiking_student import Form, Rest, Smooth, Spikes, Student
from neurolab.spiking_training import (
    Terms,
    Watch,
    calibrate,
    choose_units,
    float_teacher,
    inherit,
    integer_teacher,
    loss_of,
    revive,
)
from neurolab.tokens import encode_pair
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=40, context=12, width=8, layers=2, heads=2, hidden=12)


@pytest.fixture(scope="module")
def teller() -> assistant.Assistant:
    return assistant.load()


def small_student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    student = inherit(Transformer(SMALL), Form(SMALL))
    rows = [([1 + (i * j) % 39 for j in range(8)], 4) for i in range(1, 20)]
    calibrate(student, [collate(rows)])
    return student


def test_layer_norm_moves_into_its_neighbours() -> None:
    """With LayerNorm's work folded away, the student's drives are the teacher's, up to the kind of norm.

    The mean absolute value stands for the standard deviation; on normal numbers the two differ by a constant,
    so a wide student and its teacher must agree closely.
    """
    torch.manual_seed(0)
    config = replace(SMALL, width=2048, heads=1, hidden=16, layers=1)
    teacher = Transformer(config)
    block = teacher.blocks[0]
    torch.nn.init.normal_(block.norm1.weight, 1.0, 0.3)  # type: ignore[union-attr]
    torch.nn.init.normal_(block.norm1.bias, 0.0, 0.3)  # type: ignore[union-attr]
    student = inherit(teacher, Form(config))
    watch = Watch(Smooth())
    ids = torch.arange(1, 9)[None]
    p = student.integers(rounded=False)
    features(p, ids, config, watch)
    x = teacher.embedding(ids) + teacher.position(torch.arange(8))
    wanted = block.attention.query(block.norm1(x))  # type: ignore[union-attr, operator]
    got = watch.seen["0.query"][0][0]  # steps of 1: the count is the number itself
    assert (got - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_calibration_finds_the_best_step() -> None:
    """No other step of the grid rounds the numbers that were seen with a smaller error."""
    torch.manual_seed(0)
    student = inherit(Transformer(SMALL), Form(SMALL))
    batch = collate([([1 + (i * j) % 39 for j in range(8)], 4) for i in range(1, 20)])
    watch = Watch(Smooth())
    features(student.integers(rounded=False), batch.ids, SMALL, watch)
    block = student.parts()[1].log_steps()
    before = {name: step.detach().clone() for name, step in block.items()}
    calibrate(student, [batch])
    for name in ("norm1", "value", "hidden", "query", "attention", "mix"):
        S, kind = watch.seen[f"1.{name}"][0]
        low, high = bounds(kind, 4)
        if name == "mix":
            S = S.transpose(-3, -2).flatten(-2)
        x = S.transpose(0, 1).flatten(1) if S.ndim == 4 else S.flatten(0, -2).T
        chosen = (block[name] - before[name]).exp().detach()[:, None]  # (steps, 1)
        x = x.reshape(len(chosen), -1)
        largest = x.abs().amax(1, keepdim=True)

        def error(step: torch.Tensor, x: torch.Tensor, low: int, high: int) -> torch.Tensor:
            return (x - step * torch.floor(x / step + 0.5).clamp(low, high)).square().sum(1)

        for j in range(1, 61):
            rival = error(largest / high * (j / 60), x, low, high)
            assert bool((error(chosen, x, low, high) <= rival * (1 + 1e-4) + 1e-9).all()), (name, j)


def test_rounded_integers_are_whole_and_within_range(teller: assistant.Assistant) -> None:
    student = inherit(teller.model, Form(teller.model.config))
    rows = [encode_pair(teller.tokenizer, q.text, q.answer) for q in facts.split("dev")[::50]]
    calibrate(student, [collate(rows)])
    for largest in (127, 7, 1):
        student.form = Form(teller.model.config, largest=largest)
        choose_units(student)
        for name, x in student.integers().items():
            if name != "scale":
                assert torch.equal(x, x.round()), name
            if name.endswith(".W") and not name.startswith(("embedding", "position")):
                assert x.abs().max() <= largest
                assert x.abs().max() > 0, name


def test_round_clip_has_the_gradients_of_learned_steps() -> None:
    x = torch.tensor([-9.0, -1.3, 0.2, 2.7, 40.0])
    s = torch.tensor(1.5, requires_grad=True)
    x.requires_grad_()
    code = round_clip(x / s, -4, 3)
    assert code.tolist() == [-4, -1, 0, 2, 3]
    (s * code).sum().backward()
    assert x.grad is not None
    assert s.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    inside = sum(c - v for c, v in ((-1, -1.3 / 1.5), (0, 0.2 / 1.5), (2, 2.7 / 1.5)))
    assert math.isclose(s.grad.item(), -4 + 3 + inside, rel_tol=1e-5)
    with pytest.raises(ValueError, match="low 3, high -4"):
        round_clip(x, 3, -4)


def test_round_ste_passes_the_gradient() -> None:
    x = torch.tensor([0.4, 1.6], requires_grad=True)
    y = round_ste(x)
    y.sum().backward()
    assert y.tolist() == [0, 2]
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["unary", "halving", "rescaled", "ramp"])
def test_spikes_follow_their_definition(kind: str) -> None:
    """Against the definition, one neuron and one step at a time, on drives that change."""
    torch.manual_seed(3)
    z = torch.randint(-60, 60, (6, 50)).float()
    theta = torch.randint(1, 12, (50,)).float()
    for population in (SIGNED, UNSIGNED):
        weights, (low, high) = schedule(6, kind)[population], bounds(population, 4)
        got = Spikes(schedule(6, kind))("x", z, theta, population)
        for n in range(50):
            S = 0
            for t in range(6):
                V2 = 2 * int(z[t, n]) - 2 * int(theta[n]) * S + weights[t] * int(theta[n])  # 2 V
                if V2 >= 2 * weights[t] * theta[n] and S + weights[t] <= high:
                    S += weights[t]
                elif V2 < 0 and S - weights[t] >= low:
                    S -= weights[t]
                assert got[t, n] == S


def test_gradient_of_spikes_follows_the_drive_that_was_heard() -> None:
    u = torch.tensor([[0.2], [9.0], [2.1], [1.9]], requires_grad=True)  # S: 0, 1 (clipped), 2, 2
    S = Spikes({SIGNED: (1, 1, 1, 1), UNSIGNED: (1, 1, 1, 1)})("x", u, torch.tensor(1.0), SIGNED)
    assert S[:, 0].tolist() == [0, 1, 2, 2]
    (S[1] * 10 + S[3]).sum().backward()
    assert u.grad is not None
    # S(2) was clipped, so its gradient belongs to S(1), which followed u(1)
    assert u.grad[:, 0].tolist() == [10, 0, 0, 1]


def test_a_student_comes_back_from_shipped_integers() -> None:
    network = load("quantized")
    form = Form(network.config)
    again = revive(network.p, form).integers()
    for name, x in network.p.items():
        assert torch.equal(again[name], x) or (
            name == "scale" and torch.allclose(again[name], x, rtol=1e-6)
        ), name
    with pytest.raises(ValueError, match="ternary"):
        revive(network.p, replace(form, largest=1))


def test_loss_terms_vanish_for_the_teacher_itself() -> None:
    """An integer network that teaches itself: KL, residual stream and counts cost nothing."""
    student = small_student()
    batch = collate([([1, 5, 7, 9, 3], 2), ([4, 4, 8], 1)])
    told = integer_teacher(student)
    plain = loss_of(student, batch, Rest(), told, Terms(1.0, 0.0, 0.0, 0.0))
    full = loss_of(student, batch, Rest(), told, Terms(1.0, 1.0, 1.0, 1.0))
    assert torch.isclose(plain, full, atol=1e-6)
    other = small_student(1)
    for term in ("kl", "hidden", "counts"):
        terms = replace(Terms(0.0, 0.0, 0.0, 0.0), **{term: 1.0})
        assert loss_of(other, batch, Rest(), told, terms) > 1e-4, term


def test_padding_changes_no_loss() -> None:
    student = small_student()
    rows = [([1, 5, 7, 9, 3], 2), ([4, 4, 8, 2, 6], 3)]
    told, terms = integer_teacher(small_student(1)), Terms(1.0, 1.0, 1.0, 1.0)

    def padded_to(length: int) -> Batch:
        batch = collate([*rows, ([1] * length, length - 1)])
        return Batch(batch.ids[:2], batch.answer[:2])

    for rule in (Rest(), Spikes(schedule(3, "halving"))):
        one, two = (loss_of(student, padded_to(length), rule, told, terms) for length in (6, 9))
        assert torch.isclose(one, two, rtol=1e-5)


def test_a_step_of_training_lowers_the_loss(teller: assistant.Assistant) -> None:
    asked = facts.split("train")[::700]
    rows = Rows([encode_pair(teller.tokenizer, q.text, q.answer) for q in asked], 32, 0)
    student = inherit(teller.model, Form(teller.model.config))
    calibrate(student, [rows.at(0)])
    teacher, terms, rule = float_teacher(teller.model), Terms(), Spikes(schedule(4, "halving"))
    tuned = torch.optim.AdamW(student.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = loss_of(student, rows.at(0), rule, teacher, terms)
        tuned.zero_grad()
        loss.backward()
        missing = [n for n, q in student.named_parameters() if q.grad is None or not q.grad.abs().sum() > 0]
        assert not missing
        tuned.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_stages_are_trained_once_and_in_order(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("neurolab.spiking_recipe.facts.split", lambda name: facts.questions()[:40])
    short = tuple(
        replace(stage, steps=2, batch=8) for stage in STAGES if stage.name in ("parts", "quantized", "four")
    )
    made = train(
        "four", folder=tmp_path / "out", students=tmp_path / "students", stages=short, progress=False
    )
    assert made == ["parts", "quantized", "four"]
    assert not list((tmp_path / "students").glob("*checkpoint*"))
    first = load_file(tmp_path / "out" / "four.safetensors")
    assert load("four", tmp_path / "out").card["stage"]["T"] == 4
    stamp = (tmp_path / "students" / "four.safetensors").stat().st_mtime_ns
    train(folder=tmp_path / "out", students=tmp_path / "students", stages=short, progress=False)
    assert (tmp_path / "students" / "four.safetensors").stat().st_mtime_ns == stamp
    forget(tmp_path / "students")
    train("four", folder=tmp_path / "out", students=tmp_path / "students", stages=short, progress=False)
    second = load_file(tmp_path / "out" / "four.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    longer = tuple(replace(s, steps=3) if s.name == "quantized" else s for s in short)
    train("four", folder=tmp_path / "out", students=tmp_path / "students", stages=longer, progress=False)
    third = load_file(tmp_path / "out" / "four.safetensors")
    assert any(not torch.equal(first[name], third[name]) for name in first)
    with pytest.raises(ValueError, match="stage 'five'"):
        train("five")


def test_shipped_networks_answer(teller: assistant.Assistant) -> None:
    """A sample of held-out questions, each network by the rule that it was trained with."""
    asked = facts.split("held_out")[::48]
    least = {"quantized": 0.98, "four": 0.9, "two": 0.3, "one": 0.05, "ternary": 0.85}
    for name, share in least.items():
        network = load(name)
        stage = next(s for s in STAGES if s.name == name)
        rows = [encode_pair(teller.tokenizer, q.text, q.answer) for q in asked]
        right = 0
        with torch.inference_mode():
            for i in range(0, len(rows), 50):
                batch = collate(rows[i : i + 50])
                S = features(network.p, batch.ids[:, :-1], network.config, stage.rule())
                guess = logits(network.p, S[-1] if S.ndim == 4 else S).argmax(-1)
                right += int(((guess == batch.ids[:, 1:]) | ~batch.answer[:, 1:]).all(1).sum())
        assert right / len(rows) >= share, name


def test_quick_scores_agree_with_greedy_answers(teller: assistant.Assistant) -> None:
    asked = facts.split("dev")[::12]
    student = inherit(teller.model, Form(teller.model.config))
    figures = quick_scores(student, Smooth(), asked, teller.tokenizer)
    rows = [encode_pair(teller.tokenizer, q.text, q.answer) for q in asked]
    p = student.integers(rounded=False)
    right = 0
    for ids, start in rows:
        made = ids[:start]
        while len(made) < len(ids):
            S = features(p, torch.tensor([made]), student.form.config, Smooth())
            made.append(int(logits(p, S[0, -1]).argmax()))
        right += made == ids
    assert figures["exact_match"] == right / len(asked)
