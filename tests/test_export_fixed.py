"""The cache of fixed size gives what the growing one gives; arm64 and LiteRT say what they lack."""

import numpy as np
import pytest
import torch

from neurolab.export import arm64, arm64_worker, fixed, litert
from neurolab.export.decoder import Decoder, empty_cache, torch_step
from neurolab.transformer import Config, Transformer

CONFIG = Config(vocabulary=300, context=24, width=32, layers=2, heads=2, hidden=48)


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    return Decoder(Transformer(CONFIG).eval())


@pytest.mark.parametrize("tokens", [0, 1])
def test_a_fixed_cache_gives_what_a_growing_one_gives(decoder, tokens):
    step = fixed.growing(fixed.torch_step(fixed.FixedDecoder(decoder)), CONFIG, tokens)
    ours, theirs = empty_cache(CONFIG), empty_cache(CONFIG)
    generator = np.random.default_rng(0)
    ids = generator.integers(3, 300, (1, 7))
    for i in range(CONFIG.context - 7 + 1):  # to the last place of the context
        wanted, ours = torch_step(decoder)(ids, ours)
        got, theirs = step(ids, theirs)
        assert theirs.shape == ours.shape == (2, 2, 1, 2, 7 + i, 16)
        assert np.abs(got - wanted).max() < 1e-6
        assert np.abs(theirs - ours).max() < 1e-6
        ids = generator.integers(3, 300, (1, 1))


def test_places_to_come_hold_nothing_and_count_for_nothing(decoder):
    step = fixed.torch_step(fixed.FixedDecoder(decoder))
    ids, cache, past = (t.numpy() for t in fixed.example(CONFIG, n=3))
    _, new = step(ids, cache, past)
    assert (new[:, :, 3:] == 0).all()
    assert (new[:, :, :3] != 0).any()
    token, seen = ids[:, :1], np.array([3], np.int32)
    wanted, _ = step(token, new, seen)
    marked = new.copy()
    marked[:, :, 5:] = 9.0
    assert (step(token, marked, seen)[0] == wanted).all()


def test_a_fixed_cache_takes_one_sequence(decoder):
    step = fixed.growing(fixed.torch_step(fixed.FixedDecoder(decoder)), CONFIG)
    with pytest.raises(ValueError, match="ids of 2 sequences: this runtime's file takes 1 at a time"):
        step(np.full((2, 3), 5), empty_cache(CONFIG, 2))
    with pytest.raises(ValueError, match="decoder Linear: a fixed cache needs a plain Decoder"):
        fixed.FixedDecoder(torch.nn.Linear(1, 1))


def test_the_arm64_worker_answers_as_the_course_does(decoder):
    from neurolab.export.decoder import generate

    class Session:
        """The decoder behind ONNX Runtime's interface."""

        def run(self, names, given):
            assert names == ["logits", "new_cache"]
            return torch_step(decoder)(given["ids"], given["cache"])

    task = {"cache": [2, 2, 2, 16], "context": 24, "end": 2, "limit": 9}
    prompt = [5, 7, 11, 1]
    tokens, logits = arm64_worker.answer(Session(), task, prompt)
    wanted = generate(torch_step(decoder), CONFIG, np.array([prompt]), 9)[0].tolist()
    assert tokens == wanted
    assert np.array_equal(
        np.float32(logits), torch_step(decoder)(np.array([prompt]), empty_cache(CONFIG))[0][0]
    )


def test_arm64_says_what_is_missing(tmp_path):
    lacking = arm64.missing(tmp_path)
    assert str(tmp_path) in lacking[-1]
    assert "python -m neurolab.export.arm64" in lacking[-1]


def test_arm64_counts_what_differs(monkeypatch, decoder):
    from neurolab.assistant import load

    class Exported:
        config = CONFIG

        def tokenizer(self):
            return load().tokenizer

    monkeypatch.setattr(
        arm64, "encode_question", lambda tokenizer, q: [5, 6, 1] if q == "a" else [7, 8, 9, 1]
    )
    here = torch_step(decoder)
    first = [here(np.array([p]), empty_cache(CONFIG))[0][0] for p in ([5, 6, 1], [7, 8, 9, 1])]
    right = arm64.generate(here, CONFIG, np.array([[5, 6, 1]]), 64)[0].tolist()
    result = {
        "tokens": [right, [2]],
        "logits": [first[0].tolist(), (first[1] + 0.25).tolist()],
        "runtime": "1",
        "machine": "aarch64",
    }
    found = arm64.beside(result, Exported(), here, ["a", "b"])
    assert found["equal_answers_percent"] == 50
    assert found["largest_difference"] == pytest.approx(0.25, abs=1e-6)
    assert "no timing" in found["note"]


def test_unknown_cores_and_precisions_are_refused(tmp_path, decoder):
    with pytest.raises(ValueError, match="core 'm4': must be one of cortex-a53"):
        arm64.run(None, [], "m4", tmp_path)
    with pytest.raises(ValueError, match="precision 'int4': LiteRT is exported as fp32, int8"):
        litert.export(decoder, tmp_path, "int4")


def test_litert_never_enters_the_courses_environment():
    import sys
    from pathlib import Path

    assert not Path(litert.python()).is_relative_to(sys.prefix)
    assert all("==" in name for name in litert.PACKAGES)


def test_litert_makes_its_environment_once_and_again_after_a_failure(monkeypatch, tmp_path):
    calls = []

    def call(command):
        calls.append(command[1:4])
        if fails and "install" in command:
            raise RuntimeError("no network")
        tmp_path.mkdir(exist_ok=True)

    monkeypatch.setattr(litert, "_call", call)
    fails = True
    with pytest.raises(RuntimeError, match="no network"):
        litert.environment(tmp_path)
    assert not litert.ready(tmp_path)
    fails = False
    assert litert.environment(tmp_path) == litert.python(tmp_path)
    assert litert.ready(tmp_path)
    litert.environment(tmp_path)
    assert calls == [["-m", "venv", "--clear"], ["-m", "pip", "install"]] * 2
