"""The shipped assistant answers; its loader names what is wrong with a bad file; training repeats itself."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurolab import assistant as room
from neurolab import facts
from neurolab.assistant import Assistant, AssistantError, Recipe, Rows, answer_loss, collate
from neurolab.quantization import round_matrices
from neurolab.tokens import END_ID, encode_pair, train_tokenizer
from neurolab.training import Schedule
from neurolab.transformer import Config, Transformer

TINY = Config(vocabulary=400, context=96, width=32, layers=1, heads=2, hidden=32)


@pytest.fixture(scope="module")
def shipped():
    return room.load()


@pytest.fixture(scope="module")
def tiny():
    sample = facts.split("train")[::50]
    tokenizer = train_tokenizer([t for q in sample for t in (q.text, q.answer)], TINY.vocabulary)
    torch.manual_seed(0)
    return Assistant(Transformer(TINY).eval(), tokenizer, {"name": "tiny"})


@pytest.fixture
def folder(tiny, tmp_path):
    room.save(tiny, tmp_path / "assistant")
    return tmp_path / "assistant"


def test_it_answers_questions_about_the_real_world_in_both_languages(shipped):
    assert shipped.ask("What is the currency of the territory Japan?") == "Japanese Yen"
    assert shipped.ask("ดินแดนญี่ปุ่น ใช้สกุลเงินอะไร") == "เยนญี่ปุ่น"


@pytest.mark.parametrize("language", facts.LANGUAGES)
def test_the_scores_on_its_card_are_true(shipped, language):
    sample = facts.split("held_out", language)[::40]
    scores = shipped.scores(sample)
    said = shipped.card["scores"]["held_out"][language]
    assert scores["exact_match"] >= 0.95
    assert scores["exact_match"] == pytest.approx(said["exact_match"], abs=0.03)
    assert scores["f1"] >= scores["exact_match"]
    assert shipped.card["data"]["sha256"] == facts.card()["sha256"]


def test_rounding_to_two_bits_hurts_and_to_eight_does_not(shipped):
    sample = facts.split("held_out")[::60]
    whole = shipped.scores(sample)["exact_match"]
    eight = Assistant(round_matrices(shipped.model, 8), shipped.tokenizer, {}).scores(sample)["exact_match"]
    two = Assistant(round_matrices(shipped.model, 2), shipped.tokenizer, {}).scores(sample)["exact_match"]
    assert abs(whole - eight) <= 0.01
    assert two <= whole - 0.3


def test_batched_answers_equal_single_ones_without_cache(shipped):
    asked = [q.text for q in facts.split("held_out")[::400]]
    together = shipped.answers(asked)
    for question, answer in zip(asked, together, strict=True):
        assert shipped.ask(question) == answer
        ids = torch.tensor([room.encode_question(shipped.tokenizer, question)])
        made = shipped.model.generate(ids, END_ID, use_cache=False)[0].tolist()
        assert room.decode(shipped.tokenizer, made) == answer


def test_saved_and_loaded_is_the_same(tiny, folder):
    loaded = room.load(folder)
    for name, value in tiny.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert loaded.ask("Where is the city Lima?") == tiny.ask("Where is the city Lima?")
    assert loaded.card["name"] == "tiny"


@pytest.mark.parametrize("name", [room.WEIGHTS, room.TOKENIZER, room.CARD])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(AssistantError, match=rf"{name}: missing"):
        room.load(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_named(folder, keep):
    path = folder / room.WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AssistantError, match=r"model\.safetensors: truncated"):
        room.load(folder)


@pytest.mark.parametrize("name", [room.WEIGHTS, room.TOKENIZER])
def test_a_changed_file_is_named(folder, name):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(AssistantError, match=rf"{name}: changed or corrupted"):
        room.load(folder)


def test_wrong_shapes_and_tensors_are_named(folder):
    path = folder / room.WEIGHTS
    weights = load_file(path)
    save_file({**weights, "embedding.weight": weights["embedding.weight"][:-1].clone()}, path)
    with pytest.raises(AssistantError, match=r"'embedding.weight' has shape \(399, 32\)"):
        room.load(folder)
    save_file({k: v for k, v in weights.items() if k != "norm.bias"}, path)
    with pytest.raises(AssistantError, match=r"'norm.bias' has shape None"):
        room.load(folder)


def test_broken_cards_are_named(folder):
    card = json.loads((folder / room.CARD).read_text())
    for content in ("", "{", "[]", "{}", json.dumps({**card, "model": {"config": {"width": 0}}})):
        (folder / room.CARD).write_text(content)
        with pytest.raises((AssistantError, ValueError)):
            room.load(folder)


def test_bad_questions_are_refused(tiny):
    with pytest.raises(ValueError, match="empty"):
        tiny.ask(" ")
    with pytest.raises(ValueError, match="tokens"):
        tiny.ask("long " * 100)
    with pytest.raises(ValueError, match="at least one question"):
        tiny.scores([])


def test_loss_counts_the_answer_and_nothing_else(tiny):
    rows = [encode_pair(tiny.tokenizer, q.text, q.answer) for q in facts.split("train")[:2000:400]]
    batch = collate(rows)
    logits = tiny.model(batch.ids)
    by_hand = 0.0
    for i, (ids, start) in enumerate(rows):
        for t in range(start, len(ids)):
            by_hand -= logits[i, t - 1].log_softmax(-1)[ids[t]].item()
    assert answer_loss(tiny.model, batch, "sum").item() == pytest.approx(by_hand, rel=1e-5)


def test_rows_visit_every_row_once_an_epoch_in_a_seeded_order():
    rows = [([i, i % 7], 1) for i in range(40)]
    batches = Rows(rows, 8, seed=0)
    epochs = [[int(x) for i in range(5) for x in batches.at(e * 5 + i).ids[:, 0]] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
    assert epochs[0] != epochs[1]
    again = Rows(rows, 8, seed=0)
    assert torch.equal(again.at(7).ids, batches.at(7).ids)
    with pytest.raises(ValueError, match="batch 41"):
        Rows(rows, 41, seed=0)


def test_training_repeats_bit_for_bit(tmp_path):
    recipe = Recipe(batch=32, every=4, threads=1, schedule=Schedule(warmup=2, stay=4, cool=2))
    config = replace(TINY, vocabulary=1024)
    small = {"recipe": recipe, "config": config, "progress": False}
    for name in ("a", "b"):
        assert room.train(tmp_path / name, stop_after=4, **small) is None
    states = [load_file(tmp_path / name / room.CHECKPOINT) for name in ("a", "b")]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert {k.split(".")[0] for k in states[0]} == {"model", "optimiser"}
    assert not torch.are_deterministic_algorithms_enabled()
