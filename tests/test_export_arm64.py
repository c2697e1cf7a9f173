"""The played arm64 processor: what is asked of it, what it tells, and what is lacking. QEMU is not needed."""

import numpy as np
import pytest

from neurolab.export import arm64, export, open_session
from neurolab.export.decoder import empty_cache
from neurolab.sweeps import export_arm64
from neurolab.tokens import encode_question

QUESTIONS = ["What is the capital of France?", "เมืองหลวงของไทยคืออะไร"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    exported = export("onnx", "fp32", tmp_path_factory.mktemp("arm64") / "export")
    return exported, open_session(exported.folder).run


def test_a_runtime_that_answers_call_by_call_tells_what_the_worker_would(made):
    exported, step = made
    told = arm64._step_by_step(step, exported, QUESTIONS)
    for question, tokens, logits in zip(QUESTIONS, told["tokens"], told["logits"], strict=True):
        prompt = np.array([encode_question(exported.tokenizer(), question)], np.int64)
        first, _ = step(prompt, empty_cache(exported.config))
        assert logits == first[0].tolist()
        assert tokens[0] == first[0].argmax()
    found = arm64.beside(told, exported, step, QUESTIONS)
    assert (found["equal_answers_percent"], found["largest_difference"]) == (100, 0)
    assert found["questions"] == 2
    assert "no timing" in found["note"]


def test_another_answer_or_another_score_is_seen(made):
    exported, step = made
    told = arm64._step_by_step(step, exported, QUESTIONS)
    told["tokens"][0] = told["tokens"][1]
    told["logits"][1][7] += 0.25
    found = arm64.beside(told, exported, step, QUESTIONS)
    assert found["equal_answers_percent"] == 50
    assert found["largest_difference"] == pytest.approx(0.25)


def test_what_is_asked_holds_the_whole_cache_and_the_prompts(made):
    exported, _ = made
    asked = arm64.task(exported, QUESTIONS)
    c = exported.config
    assert asked["cache"] == [c.layers, 2, c.heads, c.head_size]
    assert asked["prompts"][0] == list(encode_question(exported.tokenizer(), QUESTIONS[0]))


def test_what_is_lacking_is_named(made, tmp_path, monkeypatch):
    exported, _ = made
    with pytest.raises(ValueError, match="core 'm4': must be one of cortex-a53"):
        arm64.run(exported, QUESTIONS, "m4")
    monkeypatch.setattr(arm64, "QEMU", "qemu-of-nobody")
    with pytest.raises(
        RuntimeError, match=r"qemu-of-nobody .*apt install.* python -m neurolab\.export\.arm64"
    ):
        arm64.run(exported, QUESTIONS, "cortex-a53", tmp_path)
    assert export_arm64.jobs() == []


def test_without_litert_s_own_environment_only_ort_files_are_played(monkeypatch):
    monkeypatch.setattr(arm64, "missing", list)
    monkeypatch.setattr(export_arm64.litert, "ready", lambda: False)
    assert {job.setting["runtime"] for job in export_arm64.jobs()} == {"ort"}
    monkeypatch.setattr(export_arm64.litert, "ready", lambda: True)
    settings = [job.setting for job in export_arm64.jobs()]
    assert [s["core"] for s in settings if s["runtime"] == "litert"] == ["cortex-a53", "cortex-a76"] * 2
