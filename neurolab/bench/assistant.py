"""`neurolab bench assistant`: is the shipped assistant good enough, small enough, and easy enough to hurt?"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from neurolab import assistant as room
from neurolab import facts
from neurolab.assistant import Assistant, Recipe
from neurolab.benchmark import Finding, Goal
from neurolab.quantization import round_matrices
from neurolab.tokens import END_ID, encode_question, exact_match

CHAPTER = 0
GOALS = [
    Goal("assistant.exact_match_th", 98, "higher", "%", "held-out phrasings asked in Thai"),
    Goal("assistant.exact_match_en", 98, "higher", "%", "held-out phrasings asked in English"),
    Goal("assistant.training_minutes", 60, "lower", "min", "wall time of the shipped training, two threads"),
    Goal(
        "assistant.still_improving", 0.3, "lower", "points", "dev exact match gained in the last evaluations"
    ),
    Goal("assistant.parameters", 2e6, "lower", "", "parameters, the tied output layer once"),
    Goal("assistant.facts", 3000, "higher", "", "facts, a translation once"),
    Goal("assistant.relations", 6, "higher", "", "relations"),
    Goal(
        "assistant.loss_at_3_bits",
        2,
        "higher",
        "points",
        "exact match lost by rounding all matrices to 3 bits",
    ),
    Goal("assistant.loss_at_2_bits", 30, "higher", "points", "the same at 2 bits"),
    Goal("assistant.cache_equal", 1, "higher", "", "share of answers that the cache leaves unchanged"),
    Goal("assistant.same_weights", 1, "higher", "", "two short trainings give the same bytes (1) or not (0)"),
]
BITS = (32, 8, 6, 5, 4, 3, 2)
SAMPLES = (
    ("th", "ดินแดนญี่ปุ่น ใช้สกุลเงินอะไร"),
    ("en", "What is the currency of the territory Thailand?"),
    ("th", "ภาษาไทย เขียนด้วยอักษรอะไร"),
    ("en", "Where is the city Nairobi?"),
    ("th", "ขอชื่อภาษาอังกฤษของสกุลเงินวอนเกาหลีใต้"),
    ("en", "What is the language Norwegian called in Thai?"),
    ("en", "What is the code of the currency Swiss Franc?"),
    ("en", "Where is the city Atlantis?"),
)


def at_bits(assistant: Assistant, bits: int) -> Assistant:
    """The assistant with its matrices rounded to `bits` bits; 32 leaves it as it is."""
    model = assistant.model if bits == 32 else round_matrices(assistant.model, bits)
    return Assistant(model, assistant.tokenizer, assistant.card)


def split_findings(assistant: Assistant, quick: bool) -> list[Finding]:
    """A row `assistant.scores` for each split and language."""
    found = []
    for split in ("train", *facts.SPLITS[2:]):
        for lang in facts.LANGUAGES:
            asked = facts.split(split, lang)
            if quick or split == "train":
                asked = asked[:: max(1, len(asked) // (200 if quick else 3000))]
            figures = {**assistant.scores(asked), "questions": len(asked)}
            if split == "unknown":
                figures["false_answers"] = 1 - figures["exact_match"]
            found.append(
                Finding(
                    None, name="assistant.scores", setting={"split": split, "language": lang}, figures=figures
                )
            )
    return found


def rounding_findings(assistant: Assistant, quick: bool, say: Callable[[str], None]) -> list[Finding]:
    """A row `assistant.rounding` for each bit-width and language."""
    found = []
    for bits in BITS:
        say(f"answers with {bits}-bit weights")
        rounded = at_bits(assistant, bits)
        for lang in facts.LANGUAGES:
            asked = facts.split("held_out", lang)[:: 20 if quick else 1]
            setting = {"bits": bits, "granularity": "channel", "scales": "mse", "language": lang}
            figures = {**rounded.scores(asked), "questions": len(asked)}
            found.append(Finding(None, name="assistant.rounding", setting=setting, figures=figures))
    return found


def lost_questions(assistant: Assistant, each: int = 2) -> list[tuple[str, str]]:
    """The first held-out questions of each language that the float model gets right and 3 bits get wrong."""
    three = at_bits(assistant, 3)
    found: list[tuple[str, str]] = []
    for lang in facts.LANGUAGES:
        asked = facts.split("held_out", lang)[::40]
        texts = [q.text for q in asked]
        whole, less = assistant.answers(texts), three.answers(texts)
        lost = [q for q, a, b in zip(asked, whole, less, strict=True) if exact_match(a, q.answer) and a != b]
        found += [(lang, q.text) for q in lost[:each]]
    return found


def sample_findings(assistant: Assistant) -> list[Finding]:
    """A row `assistant.samples` for each width and sample question; `chosen` says why it is there."""
    questions = [(lang, text, "by hand") for lang, text in SAMPLES]
    questions += [(lang, text, "lost at 3 bits") for lang, text in lost_questions(assistant)]
    found = []
    for bits in BITS:
        answers = at_bits(assistant, bits).answers([text for _, text, _ in questions])
        for (lang, text, chosen), answer in zip(questions, answers, strict=True):
            setting = {"bits": bits, "language": lang, "question": text, "chosen": chosen}
            found.append(Finding(None, name="assistant.samples", setting=setting, figures={"answer": answer}))
    return found


def mean_match(findings: list[Finding], bits: int) -> float:
    """Exact match in percent at a bit-width, the two languages weighed alike."""
    chosen = [f for f in findings if f.name == "assistant.rounding" and f.setting["bits"] == bits]
    return 100 * sum(f.figures["exact_match"] for f in chosen) / len(chosen)


def cache_equal(assistant: Assistant, count: int) -> float:
    """Share of `count` held-out questions whose answer is the same with and without the key-value cache."""
    asked = facts.split("held_out")
    same = 0
    for q in asked[:: max(1, len(asked) // count)][:count]:
        ids = torch.tensor([encode_question(assistant.tokenizer, q.text)])
        with_cache, without = (assistant.model.generate(ids, END_ID, use_cache=use) for use in (True, False))
        same += torch.equal(with_cache, without)
    return same / count


def short_training_hash(steps: int) -> str:
    """SHA-256 of the weights after `steps` steps of the shipped recipe."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = replace(Recipe(), every=steps)
        room.train(Path(folder), recipe=recipe, progress=False, stop_after=steps)
        saved = load_file(Path(folder) / room.CHECKPOINT)
    digest = hashlib.sha256()
    for name in sorted(name for name in saved if name.startswith("model.")):
        digest.update(saved[name].numpy().tobytes())
    return digest.hexdigest()


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Measure every goal on the shipped assistant; `quick` asks fewer questions."""
    say = progress or (lambda text: None)
    assistant = room.load()
    history = assistant.card["history"]
    say("scores of each split")
    scored = split_findings(assistant, quick)
    rounded = rounding_findings(assistant, quick, say)
    full = mean_match(rounded, 32)
    by_language = {f.setting["language"]: f for f in scored if f.setting["split"] == "held_out"}
    say("answers without the cache")
    equal = cache_equal(assistant, 50 if quick else 500)
    say("two short trainings")
    hashes = {short_training_hash(3 if quick else 10) for _ in range(2)}
    seen = [100 * e["exact_match"] for e in history["evaluations"]]
    return [
        *(
            Finding(
                f"assistant.exact_match_{lang}",
                100 * by_language[lang].figures["exact_match"],
                setting={"split": "held_out", "language": lang},
            )
            for lang in facts.LANGUAGES
        ),
        Finding(
            "assistant.training_minutes",
            history["seconds"] / 60,
            figures={"cpu_minutes": history["cpu_seconds"] / 60},
        ),
        Finding("assistant.still_improving", seen[-1] - max(seen[-4:-1]), figures={"exact_match": seen}),
        Finding("assistant.parameters", assistant.model.parameters_count()),
        Finding("assistant.facts", len(facts.facts())),
        Finding("assistant.relations", len(facts.RELATIONS)),
        Finding("assistant.loss_at_3_bits", full - mean_match(rounded, 3)),
        Finding("assistant.loss_at_2_bits", full - mean_match(rounded, 2)),
        Finding("assistant.cache_equal", equal),
        Finding("assistant.same_weights", float(len(hashes) == 1)),
        *scored,
        *rounded,
        *sample_findings(assistant),
    ]
