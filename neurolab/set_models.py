"""Models of the reader's own, asked a test set's questions: Hugging Face encoders and decoders (extra `hub`).

What a model answers with depends on its head, which its config names:

- ``...ForSequenceClassification``: a label or a score. Labels are matched by name where the model has names,
  for models of one task do not agree on their order; by number where it only has LABEL_0, LABEL_1, ...
- ``...ForQuestionAnswering``: the best span of the text, in windows that overlap where it is long (Devlin et
  al., 2019: at most 384 tokens a window, 64 of a question, 30 of an answer).
- ``...ForCausalLM``, ``...LMHeadModel``: a decoder. Labels: the word to which it gives the most probability
  after the prompt; scores: the mean of 0 to 5 by those probabilities; answers: what it writes, greedily, up
  to the end of the line. A text that is too long loses its beginning.

Only safetensors are read, and no program that comes with a model is run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurolab.hub import transformers
from neurolab.set_cards import Card
from neurolab.test_sets import Example

Answer = int | float | str
Answers = Callable[[Sequence[Example]], Sequence[Answer]]
"""A model as the evaluation sees it: an answer for each example (a label's number, a score, or a text)."""

WINDOW, QUESTION, SPAN, STRIDE = 384, 64, 30, 128
"""Tokens of a window, of a question, of an answer, and those that two windows share."""
NEW_TOKENS = 32
"""What a decoder may write."""
HEADS = {
    "ForSequenceClassification": ("labels", "score"),
    "ForQuestionAnswering": ("answers",),
    "ForCausalLM": ("labels", "score", "answers"),
    "LMHeadModel": ("labels", "score", "answers"),
}
"""The endings of architectures that can be asked, and the tasks that each can do."""


def open_model(model: Path | str, card: Card, *, download: bool = False, batch: int = 8) -> Answers:
    """A model of a folder, ready for the questions of a set; with `download`, a hub's name will do.

    batch: sequences at a time (a decoder takes one question's). Raises ValueError for a folder that is none,
    an architecture that cannot be asked or not for this task, labels that are not the set's, and without the
    extra `hub`.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; at least one sequence at a time")
    folder, name = Path(model), str(model)
    if not folder.is_dir() and not download:
        what = "a file: unpack it with `neurolab decompress`" if folder.is_file() else "no folder here"
        raise ValueError(
            f"model {name} is {what}; from the hub a model is fetched only when asked to download"
        )
    library = transformers("a model of your own")
    given = {"local_files_only": not download, "trust_remote_code": False}
    config = library.AutoConfig.from_pretrained(name, **given)
    architecture = (config.architectures or ["nothing"])[0]
    head = next((ending for ending in HEADS if architecture.endswith(ending)), None)
    if head is None:
        raise ValueError(
            f"model {name} is {architecture}; can be asked: {', '.join('...' + h for h in HEADS)}"
        )
    if card.task not in HEADS[head]:
        raise ValueError(
            f"model {name} is {architecture}, which gives {HEADS[head][0]}; {card.name} asks {card.task}"
        )
    kind = "AutoModel" + ("ForCausalLM" if head == "LMHeadModel" else head)
    weights = {"use_safetensors": True, "dtype": torch.float32}
    network = getattr(library, kind).from_pretrained(name, **given, **weights).eval()
    tokenizer = library.AutoTokenizer.from_pretrained(name, **given)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.config.pad_token_id = tokenizer.pad_token_id
    if head == "ForSequenceClassification":
        return Classifier(network, tokenizer, card, batch)
    return (Reader if head == "ForQuestionAnswering" else Writer)(network, tokenizer, card, batch)


def label_order(names: Sequence[str], card: Card) -> list[int]:
    """The set's number of each of a model's labels. ValueError where they cannot be told.

    >>> from neurolab.set_cards import card
    >>> label_order(["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], card("glue_mnli"))
    [2, 1, 0]
    """
    lower = [name.lower() for name in names]
    if sorted(lower) == sorted(card.labels):
        return [card.labels.index(name) for name in lower]
    if lower == [f"label_{i}" for i in range(len(card.labels))]:
        return list(range(len(card.labels)))
    raise ValueError(f"the model's labels are {', '.join(names)}; {card.name} has {', '.join(card.labels)}")


def longest(network: Any, tokenizer: Any, most: int) -> int:
    """The tokens of a sequence at most: `most`, or what the model's positions allow."""
    config = network.config
    positions = getattr(config, "max_position_embeddings", None) or most
    if any(name in config.model_type for name in ("roberta", "camembert")):
        positions -= 2  # counted from behind the padding's number
    return min(most, positions, tokenizer.model_max_length)


def _finite(logits: torch.Tensor) -> torch.Tensor:
    """The logits, if they are numbers: a network broken on its way is no network that answers badly."""
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("the model's outputs are no finite numbers: its weights are damaged, or overflow")
    return logits


class _Model:
    """What all heads share. tokenizer: a fast one."""

    def __init__(self, network: Any, tokenizer: Any, card: Card, batch: int) -> None:
        self.network, self.tokenizer, self.card, self.batch = network, tokenizer, card, batch

    def _batches(self, things: Sequence[Any]) -> Iterator[Sequence[Any]]:
        for start in range(0, len(things), self.batch):
            yield things[start : start + self.batch]

    def _padded(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Token rows of several lengths as one batch, padded on the right: ids and mask (B, n) int64."""
        width = max(map(len, rows))
        ids = [[*row, *[self.tokenizer.pad_token_id or 0] * (width - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


class Classifier(_Model):
    """An encoder's (or decoder's) classification head."""

    def __init__(self, network: Any, tokenizer: Any, card: Card, batch: int) -> None:
        super().__init__(network, tokenizer, card, batch)
        names = [network.config.id2label[i] for i in range(network.config.num_labels)]
        if card.task == "score" and len(names) != 1:
            raise ValueError(f"the model has {len(names)} outputs; {card.name} asks for one score")
        self.order = label_order(names, card) if card.task == "labels" else None
        self.most = longest(network, tokenizer, 512)

    @torch.inference_mode()
    def __call__(self, examples: Sequence[Example]) -> list[Answer]:
        found: list[Answer] = []
        for part in self._batches(examples):
            texts = [list(column) for column in zip(*(e.texts for e in part), strict=True)]
            inputs = self.tokenizer(
                *texts, truncation=True, max_length=self.most, padding=True, return_tensors="pt"
            )
            logits = _finite(self.network(**inputs).logits)  # (B, labels)
            if self.order is None:
                found += logits[:, 0].tolist()
            else:
                found += [self.order[i] for i in logits.argmax(-1).tolist()]
        return found


class Reader(_Model):
    """An encoder's head that points at the first and last token of an answer."""

    @torch.inference_mode()
    def __call__(self, examples: Sequence[Example]) -> list[Answer]:
        most = longest(self.network, self.tokenizer, WINDOW)
        questions = [self._short(e.texts[0], min(QUESTION, most // 2)) for e in examples]
        inputs = self.tokenizer(
            questions,
            [e.texts[1] for e in examples],
            truncation="only_second",
            max_length=most,
            stride=min(STRIDE, most // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        whose = inputs.pop("overflow_to_sample_mapping").tolist()
        offsets = inputs.pop("offset_mapping")
        best: list[tuple[float, str]] = [(-np.inf, "")] * len(examples)
        for part in self._batches(range(len(whose))):
            out = self.network(**{key: value[list(part)] for key, value in inputs.items()})
            for i, starts, ends in zip(part, _finite(out.start_logits), _finite(out.end_logits), strict=True):
                inside = torch.tensor([s == 1 for s in inputs.sequence_ids(i)])
                score, first, last = span(starts, ends, inside)
                if score > best[whose[i]][0]:
                    text = examples[whose[i]].texts[1]
                    best[whose[i]] = (score, text[offsets[i][first][0] : offsets[i][last][1]].strip())
        return [text for _, text in best]

    def _short(self, question: str, most: int) -> str:
        """The question's first `most` tokens."""
        ends = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        return question if len(ends) <= most else question[: ends[most - 1][1]]


def span(starts: torch.Tensor, ends: torch.Tensor, inside: torch.Tensor) -> tuple[float, int, int]:
    """The best answer of a window: its score (start's logit plus end's), its first and its last token.

    starts, ends (n,): logits.  inside (n,): whether a token belongs to the text. The last token does not come
    before the first, nor more than SPAN - 1 behind it. -inf where no token is inside.
    """
    allowed = inside[:, None] & inside[None, :]  # (first, last)
    allowed &= allowed.new_ones(allowed.shape).triu().tril(SPAN - 1)
    scores = (starts[:, None] + ends[None, :]).masked_fill(~allowed, -torch.inf)
    at = int(scores.argmax())
    return float(scores.flatten()[at]), at // len(starts), at % len(starts)


class Writer(_Model):
    """A decoder: what it finds probable, or what it writes."""

    def __call__(self, examples: Sequence[Example]) -> list[Answer]:
        prompts = [self.card.prompt.format(*e.texts) for e in examples]
        if self.card.task == "answers":
            return [self._write(prompt) for prompt in prompts]
        likely = self.likelihoods(prompts)  # (B, words)
        if self.card.task == "labels":
            return [int(i) for i in likely.argmax(-1)]
        shares = torch.softmax(likely, -1) @ torch.arange(likely.shape[1], dtype=likely.dtype)
        return [float(value) for value in shares]

    def likelihoods(self, prompts: Sequence[str]) -> torch.Tensor:
        """Log-probability of each of the card's words after each prompt, (prompts, words), float32."""
        return torch.stack([self._likelihoods(prompt) for prompt in prompts])

    @torch.inference_mode()
    def _likelihoods(self, prompt: str) -> torch.Tensor:
        """The same for one prompt, (words,): all words in one batch, and scores of their places only."""
        most, start = longest(self.network, self.tokenizer, 2048), self.tokenizer(prompt)["input_ids"]
        rows, begins = [], []
        for word in self.card.words:
            ids = self.tokenizer(f"{prompt} {word}")["input_ids"]
            pairs = enumerate(zip(start, ids, strict=False))
            same = next((i for i, (a, b) in pairs if a != b), min(len(start), len(ids) - 1))
            rows.append(ids[-most:])
            begins.append(same - len(ids) + len(rows[-1]))  # where the word begins
        inputs = self._padded(rows)
        first = min(begins) - 1  # the place that foretells the first of them
        if "logits_to_keep" in inspect.signature(self.network.forward).parameters:
            inputs["logits_to_keep"] = inputs["input_ids"].shape[1] - first
        logits = self.network(**inputs).logits
        logs = _finite(logits)[:, first - inputs["input_ids"].shape[1] :].log_softmax(-1)
        sums = []
        for row, begin, log in zip(rows, begins, logs, strict=True):
            at = torch.arange(begin, len(row))
            sums.append(log[at - 1 - first, torch.tensor(row)[at]].sum())
        return torch.stack(sums)

    @torch.inference_mode()
    def _write(self, prompt: str) -> str:
        most = longest(self.network, self.tokenizer, 2048) - NEW_TOKENS
        ids = torch.tensor([self.tokenizer(prompt)["input_ids"][-most:]])
        made = self.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        text = self.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        return text.strip().split("\n")[0].strip()
