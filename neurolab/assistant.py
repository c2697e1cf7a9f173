"""The assistant: the one model of the course. Load it, ask it, score it, train it again."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from neurolab import facts
from neurolab.facts import Question
from neurolab.measurements import processor
from neurolab.paths import DATA
from neurolab.tokens import (
    END_ID,
    PAD_ID,
    decode,
    encode_pair,
    encode_question,
    exact_match,
    f1,
    load_tokenizer,
    train_tokenizer,
)
from neurolab.training import History, Schedule, fit
from neurolab.transformer import Config, Transformer

FOLDER = DATA / "assistant"
WEIGHTS, TOKENIZER, CARD = "model.safetensors", "tokenizer.json", "card.json"
CHECKPOINT = "checkpoint.safetensors"


class AssistantError(ValueError):
    """The assistant's files are missing or not what they should be; the message says which and why."""


@dataclass
class Assistant:
    """A model with its tokenizer and card. `ask` answers one question, `answers` many."""

    model: Transformer
    tokenizer: Tokenizer
    card: dict[str, Any]

    def ask(self, question: str) -> str:
        """The answer to one question in Thai or English. Raises ValueError if it is empty or too long."""
        return self.answers([question])[0]

    def answers(self, questions: Sequence[str], batch: int = 256) -> list[str]:
        """Greedy answers, in order. Questions of one length are decoded together, so nothing is padded."""
        prompts = [encode_question(self.tokenizer, q) for q in questions]
        room = self.model.config.context
        for q, ids in zip(questions, prompts, strict=True):
            if len(ids) >= room:
                raise ValueError(
                    f"question of {len(ids)} tokens ({q[:40]!r}...): must be shorter than {room}"
                )
        by_length: dict[int, list[int]] = {}
        for i, ids in enumerate(prompts):
            by_length.setdefault(len(ids), []).append(i)
        found = [""] * len(prompts)
        for same in by_length.values():
            for at in range(0, len(same), batch):
                chosen = same[at : at + batch]
                made = self.model.generate(torch.tensor([prompts[i] for i in chosen]), END_ID)
                for i, ids in zip(chosen, made.tolist(), strict=True):
                    found[i] = decode(self.tokenizer, ids)
        return found

    def scores(self, questions: Sequence[Question]) -> dict[str, float]:
        """Exact match, F1 (both in [0, 1]), bits per byte of the right answers. ValueError if empty."""
        if not questions:
            raise ValueError("questions []: must hold at least one question")
        got = self.answers([q.text for q in questions])
        pairs = list(zip(got, (q.answer for q in questions), strict=True))
        return {
            "exact_match": sum(exact_match(a, b) for a, b in pairs) / len(pairs),
            "f1": sum(f1(a, b) for a, b in pairs) / len(pairs),
            "bits_per_answer_byte": bits_per_answer_byte(self.model, self.tokenizer, questions),
        }


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length: ids (B, L); which tokens are predicted, the answer and END (B, L)."""

    ids: Tensor
    answer: Tensor


def collate(rows: Sequence[tuple[list[int], int]]) -> Batch:
    """Pad (ids, start of the answer) rows to one length."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), PAD_ID)
    answer = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, (row, start) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        answer[i, start : len(row)] = True
    return Batch(ids, answer)


def answer_loss(model: Transformer, batch: Batch, reduction: str = "mean") -> Tensor:
    """Cross-entropy, in nats, of the answers' tokens (and END) given the question and the tokens before."""
    hidden, _ = model.features(batch.ids[:, :-1])  # (B, L - 1, D)
    wanted = batch.answer[:, 1:]
    logits = model.logits(hidden[wanted])  # (answer tokens, V): no scores are spent on the question
    return F.cross_entropy(logits.float(), batch.ids[:, 1:][wanted], reduction=reduction)


@torch.inference_mode()
def bits_per_answer_byte(model: Transformer, tokenizer: Tokenizer, questions: Sequence[Question]) -> float:
    """Bits that the model spends on the right answers (END included), per byte of their UTF-8 text."""
    rows = sorted((encode_pair(tokenizer, q.text, q.answer) for q in questions), key=lambda row: len(row[0]))
    nats = sum(answer_loss(model, collate(rows[i : i + 256]), "sum").item() for i in range(0, len(rows), 256))
    return nats / math.log(2) / sum(len(q.answer.encode()) for q in questions)


@torch.inference_mode()
def quick_scores(
    model: torch.nn.Module, tokenizer: Tokenizer, asked: Sequence[Question], batch: int = 64
) -> dict[str, float]:
    """Exact match, token by token (what greedy decoding gives), and bits per byte of the right answers."""
    if not asked:
        raise ValueError("asked []: must hold at least one question")
    rows = sorted((encode_pair(tokenizer, q.text, q.answer) for q in asked), key=lambda row: len(row[0]))
    right, nats = 0, 0.0
    for at in range(0, len(rows), batch):
        b = collate(rows[at : at + batch])
        wanted, truth = b.answer[:, 1:], b.ids[:, 1:]
        guess = model(b.ids[:, :-1])  # (B, L - 1, V)
        right += int(((guess.argmax(-1) == truth) | ~wanted).all(1).sum())
        nats += F.cross_entropy(guess[wanted].float(), truth[wanted], reduction="sum").item()
    size = sum(len(q.answer.encode()) for q in asked)
    return {"exact_match": right / len(asked), "bits_per_answer_byte": nats / math.log(2) / size}


def load(folder: Path | None = None) -> Assistant:
    """Read the assistant from its folder and check it.

    Raises AssistantError that names the file and what is wrong: missing, truncated, changed, wrong shape.
    """
    folder = folder or FOLDER
    for name in (CARD, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise AssistantError(f"{folder / name}: missing; `neurolab train` makes it")
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        config = Config(**card["model"]["config"])
        hashes = card["sha256"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise AssistantError(f"{folder / CARD}: not a card ({error!r})") from error
    try:
        weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise AssistantError(f"{folder / WEIGHTS}: truncated or not a safetensors file ({error})") from error
    model = Transformer(config)
    wanted = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise AssistantError(
                f"{folder / WEIGHTS}: tensor {name!r} has shape {found.get(name)}, "
                f"the card says {wanted.get(name)}"
            )
    for name in (WEIGHTS, TOKENIZER):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if digest != hashes.get(name):
            raise AssistantError(
                f"{folder / name}: changed or corrupted (SHA-256 {digest[:12]}..., the card says "
                f"{str(hashes.get(name))[:12]}...)"
            )
    model.load_state_dict(weights)
    return Assistant(model.eval(), load_tokenizer(folder / TOKENIZER), card)


SCHEDULE = Schedule(warmup=100, stay=2000, cool=1800, watch="exact_match", least=0.002, patience=4)


@dataclass(frozen=True)
class Recipe:
    """How the assistant is trained. Rates are those of Muon (matrices) and AdamW (embeddings and norms)."""

    seed: int = 0
    batch: int = 256
    rate_matrices: float = 0.008
    rate_rest: float = 0.004
    decay: float = 0.05
    threads: int = 2
    schedule: Schedule = SCHEDULE
    every: int = 250


def optimisers(model: Transformer, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the blocks, AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks.")]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and name.startswith("blocks."))]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.rate_matrices, weight_decay=recipe.decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=recipe.rate_rest, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


class Rows:
    """The training rows in a new order each epoch; `at(step)` is a pure function of the step.

    Rows are shuffled, then sorted by length within windows of 16 batches (little padding), then the batches
    are shuffled.
    """

    def __init__(self, rows: Sequence[tuple[list[int], int]], batch: int, seed: int) -> None:
        if not 1 <= batch <= len(rows):
            raise ValueError(f"batch {batch}: must be 1 to {len(rows)}, the number of rows")
        self.rows, self.batch, self.seed = rows, batch, seed
        self.per_epoch = len(rows) // batch
        self._epoch, self._batches = -1, [[0]]

    def at(self, step: int) -> Batch:
        """The batch of a step."""
        epoch, i = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
            order = torch.randperm(len(self.rows), generator=generator).tolist()
            batches = []
            for at in range(0, len(order), 16 * self.batch):
                window = sorted(order[at : at + 16 * self.batch], key=lambda j: len(self.rows[j][0]))
                batches += [window[j : j + self.batch] for j in range(0, len(window), self.batch)]
            full = [b for b in batches if len(b) == self.batch]
            self._batches = [full[j] for j in torch.randperm(len(full), generator=generator).tolist()]
            self._epoch = epoch
        return collate([self.rows[j] for j in self._batches[i]])


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """A fixed number of threads and deterministic kernels, so that sums keep their order."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def train(
    folder: Path | None = None,
    *,
    recipe: Recipe | None = None,
    config: Config | None = None,
    progress: bool = True,
    stop_after: int | None = None,
) -> Assistant | None:
    """Train the assistant and write it to `folder` (the shipped one by default); None if stopped early.

    An interrupted run goes on from `folder`/CHECKPOINT; the finished one deletes it.
    """
    folder, recipe, config = folder or FOLDER, recipe or Recipe(), config or Config()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    asked = facts.split("train")
    tokenizer = train_tokenizer([t for q in asked for t in (q.text, q.answer)], config.vocabulary)
    rows = Rows([encode_pair(tokenizer, q.text, q.answer) for q in asked], recipe.batch, recipe.seed)
    model = Transformer(config)
    watched = facts.split("dev")

    def loss_of(net: torch.nn.Module, step: int) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return answer_loss(net, rows.at(step))  # type: ignore[arg-type]

    def evaluate(net: torch.nn.Module) -> dict[str, float]:
        return Assistant(net, tokenizer, {}).scores(watched)  # type: ignore[arg-type]

    checkpoint = folder / CHECKPOINT
    with repeatable(recipe.threads):
        history = fit(
            model,
            loss_of,
            optimisers(model, recipe),
            recipe.schedule,
            evaluate=evaluate,
            every=recipe.every,
            checkpoint=checkpoint,
            progress=progress,
            stop_after=stop_after,
        )
    if history.step < history.cooling_from + recipe.schedule.cool:
        return None
    assistant = Assistant(model.eval(), tokenizer, {})
    assistant.card = make_card(assistant, recipe, history)
    save(assistant, folder)
    checkpoint.unlink(missing_ok=True)
    return load(folder)


def save(assistant: Assistant, folder: Path) -> None:
    """Write weights, tokenizer, card to `folder`; the card gets the model's sizes and the files' hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(assistant.model.state_dict(), folder / WEIGHTS)
    assistant.tokenizer.save(str(folder / TOKENIZER))
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, TOKENIZER)}
    model = {"config": asdict(assistant.model.config), "parameters": assistant.model.parameters_count()}
    card = {**assistant.card, "model": model, "sha256": hashes}
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def make_card(assistant: Assistant, recipe: Recipe, history: History) -> dict[str, Any]:
    """What the shipped assistant is: data, recipe, history, scores on every split, versions, machine."""
    scores = {
        name: {lang: assistant.scores(facts.split(name, lang)) for lang in facts.LANGUAGES}
        for name in ("train", *facts.SPLITS[2:])
    }
    for lang in facts.LANGUAGES:
        unknown = scores["unknown"][lang]
        unknown["false_answers"] = 1 - unknown["exact_match"]
    return {
        "name": "the assistant",
        "about": "A decoder-only Transformer that answers questions made from CLDR, in Thai and English.",
        "licence": "MIT (code and weights); CLDR data under the Unicode License v3",
        "data": facts.card(),
        "recipe": asdict(recipe),
        "history": asdict(history),
        "scores": scores,
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        "machine": {"processor": processor(), "threads": recipe.threads},
        "date": time.strftime("%Y-%m-%d"),
        "command": "neurolab train",
    }
