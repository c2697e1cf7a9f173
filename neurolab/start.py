"""Chapter 0's room: the assistant at fewer bits, from shipped rows, and how sure it is of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import torch

from neurolab.assistant import Assistant, collate
from neurolab.claims_page import STYLE
from neurolab.exercise_cards import Card
from neurolab.facts import Question
from neurolab.measurements import Measurement, read
from neurolab.paths import static
from neurolab.tokens import encode_pair

LANGUAGES = {"th": "Thai", "en": "English"}


def precision(bits: int) -> str:
    """How a bit width is called: 32 bits are the float model."""
    return "float (32 bits)" if bits == 32 else f"{bits} bits"


def _rows(name: str) -> list[Measurement]:
    found = read(name)
    if not found:
        raise ValueError(f"there are no rows {name}; `neurolab bench assistant --ship` measures them")
    return found


def matches() -> dict[int, dict[str, float]]:
    """Exact match on held-out phrasings in per cent: bits -> language ('th', 'en') -> figure,
    from 32 bits down."""
    found: dict[int, dict[str, float]] = {}
    for row in sorted(_rows("assistant.rounding"), key=lambda row: -row.setting["bits"]):
        found.setdefault(row.setting["bits"], {})[row.setting["language"]] = 100 * row.figures["exact_match"]
    return found


def drop(bits: int, language: str | None = None) -> float:
    """Points of exact match lost at `bits`, in one language or in the mean of both."""
    found = matches()
    chosen = [language] if language else list(LANGUAGES)
    return float(np.mean([found[32][lang] - found[bits][lang] for lang in chosen]))


def suffers_more(bits: int, within: float = 1.0) -> str:
    """Which language loses more at `bits`: 'Thai', 'English', or 'both alike' (under `within`
    points apart)."""
    thai, english = drop(bits, "th"), drop(bits, "en")
    if abs(thai - english) < within:
        return "both alike"
    return "Thai" if thai > english else "English"


def samples() -> dict[str, dict[int, str]]:
    """Question -> bits -> answer, from the shipped rows, most bits first."""
    found: dict[str, dict[int, str]] = {}
    for row in sorted(_rows("assistant.samples"), key=lambda row: -row.setting["bits"]):
        found.setdefault(row.setting["question"], {})[row.setting["bits"]] = row.figures["answer"]
    return found


def side_by_side(bits: Sequence[int] = (32, 3, 2)) -> Card:
    """The answers at some bit widths as a table; what differs from the first is marked by a word."""
    heads = "".join(f'<th scope="col">{precision(b)}</th>' for b in bits)
    body, text = [], []
    for question, answers in samples().items():
        cells = []
        for b in bits:
            changed = answers[b] != answers[bits[0]]
            mark = "<small>changed</small>" if changed else ""
            label = f'<span class="narrow">{precision(b)}: </span>'
            cells.append(f"<td>{label}{escape(answers[b]) or '(nothing)'}{mark}</td>")
            text.append(f"{question} | {precision(b)}: {answers[b]}{' (changed)' if changed else ''}")
        body.append(f'<tr><th scope="row">{escape(question)}</th>{"".join(cells)}</tr>')
    table = f"<table><thead><tr><th>Question</th>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return Card(f'{STYLE}<div class="neurolab-ledger">{table}</div>', "\n".join(text))


def ask_box(assistants: dict[str, Assistant]) -> Any:
    """The question box for a notebook; on a static page, where no model runs, a note that says so."""
    if static():
        note = (
            "<p>In the notebook there is a box here in which you pick a name and a relation, or type any "
            "question, and every model answers at once. On this page no model runs; its recorded "
            "answers stand "
            "below.</p>"
        )
        return Card(note, "The question box needs the notebook.")
    from neurolab.picker import Picker

    return Picker(assistants)


@torch.inference_mode()
def sureness(assistant: Assistant, questions: Sequence[Question], answers: Sequence[str]) -> np.ndarray:
    """The probability, (N,) in [0, 1], that the model gives to each whole answer (its end included)."""
    rows = [encode_pair(assistant.tokenizer, q.text, a) for q, a in zip(questions, answers, strict=True)]
    found = []
    for at in range(0, len(rows), 128):
        batch = collate(rows[at : at + 128])
        hidden, _ = assistant.model.features(batch.ids[:, :-1])
        logits = assistant.model.logits(hidden)  # (B, L - 1, V)
        log_p = logits.log_softmax(-1).gather(-1, batch.ids[:, 1:, None])[..., 0]
        found.append((log_p * batch.answer[:, 1:]).sum(1).exp())
    return torch.cat(found).numpy()
