"""Ask models the questions of a test set, and set their answers side by side: `neurolab evaluate`.

A model is any function that gives an answer for each example (`neurolab.set_models` makes one of a Hugging
Face model), so a compressed model is judged as the float one is: on the same examples, with the same rules,
and the difference between both comes with an interval over the examples (percentile bootstrap, Efron 1979; a
question stays together with both answers).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurolab import label_rules, squad_rules
from neurolab.measurements import Measurement, row
from neurolab.set_cards import CARDS, Card, card
from neurolab.set_models import Answer, Answers, open_model
from neurolab.test_sets import Example, load

if TYPE_CHECKING:
    from rich.table import Table

ROW = "sets.scores"
RESAMPLES = 1000


def ask(
    examples: Sequence[Example],
    model: Answers,
    known: Card,
    *,
    at_once: int = 64,
    say: Callable[[str], None] | None = None,
) -> list[Answer]:
    """A model's answers, asked `at_once` examples at a time; `say` hears how far it is.

    Raises ValueError where the model gives back another number of answers, or answers of another kind.
    """
    found: list[Answer] = []
    for start in range(0, len(examples), at_once):
        part = examples[start : start + at_once]
        given = list(model(part))
        if len(given) != len(part):
            raise ValueError(f"the model gave {len(given)} answers to {len(part)} questions of {known.name}")
        found += [_sound(answer, known) for answer in given]
        if say is not None:
            say(f"{len(found)} of {len(examples)} questions of {known.name}")
    return found


def _sound(answer: Any, known: Card) -> Answer:
    if known.task == "answers":
        if isinstance(answer, str):
            return answer
        raise ValueError(f"the model answered {answer!r}; {known.name} asks for text")
    if hasattr(answer, "item"):
        answer = answer.item()
    number = isinstance(answer, int | float) and not isinstance(answer, bool)
    if known.task == "labels":
        if number and answer in range(len(known.labels)):
            return int(answer)
        raise ValueError(
            f"the model answered {answer!r}; labels of {known.name} are 0 to {len(known.labels) - 1}"
        )
    if number and math.isfinite(answer):
        return float(answer)
    raise ValueError(f"the model answered {answer!r}; {known.name} asks for a finite number")


def figures(known: Card, examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, float]:
    """The set's scores of the answers, by their official rules; between 0 and 1 but for correlations."""
    if known.task == "answers":
        each = _each(known, examples, answers)
        return {name: float(values.mean()) for name, values in each.items()}
    return label_rules.score([float(a) for a in answers], [e.truth for e in examples], known.metrics)  # type: ignore[misc]


def _each(known: Card, examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, np.ndarray]:
    """Scores question by question, (n,) each, of a set whose score is their mean."""
    if known.task == "answers":
        scored = [
            squad_rules.score(str(a), e.truth, known.language)  # type: ignore[arg-type]
            for a, e in zip(answers, examples, strict=True)
        ]
        return {name: np.array([s[name] for s in scored]) for name in scored[0]}
    right = [float(a == e.truth) for a, e in zip(answers, examples, strict=True)]
    return {"accuracy": np.array(right)}


def drop(
    known: Card, examples: Sequence[Example], answers: Sequence[Answer], baseline: Sequence[Answer]
) -> tuple[float, float, float]:
    """What the main score loses against the baseline's answers, in points, and its 95 % interval."""
    main, chance = known.metrics[0], np.random.default_rng(0)
    if known.task == "answers" or main == "accuracy":
        lost = _each(known, examples, baseline)[main] - _each(known, examples, answers)[main]
        drawn = np.array([lost[chance.integers(0, len(lost), len(lost))].mean() for _ in range(RESAMPLES)])
        value = float(lost.mean())
    else:
        ours, theirs = np.array(answers, float), np.array(baseline, float)
        truths = np.array([e.truth for e in examples], float)

        def lose(at: np.ndarray) -> float:
            a, b = (label_rules.score(x[at], truths[at], [main])[main] for x in (ours, theirs))  # type: ignore[arg-type]
            return b - a

        value = lose(np.arange(len(truths)))
        drawn = np.array([lose(chance.integers(0, len(truths), len(truths))) for _ in range(RESAMPLES // 5)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return 100 * value, 100 * float(low), 100 * float(high)


@dataclass(frozen=True)
class Comparison:
    """Several models' answers to the same examples, by the model's name; against: the baseline's, if any."""

    set: str
    part: str
    examples: Sequence[Example]
    answers: Mapping[str, Sequence[Answer]]
    against: str | None = None
    scores: Mapping[str, Mapping[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        if self.against is not None and self.against not in self.answers:
            raise ValueError(f"against is {self.against!r}; there are answers of {', '.join(self.answers)}")
        scores = {name: figures(self.card, self.examples, given) for name, given in self.answers.items()}
        object.__setattr__(self, "scores", scores)

    @property
    def card(self) -> Card:
        return card(self.set)

    def versus(self, name: str) -> dict[str, float]:
        """A model against the baseline: points lost of each score, the main one's interval, equal answers."""
        if self.against is None:
            return {}
        base, ours = self.answers[self.against], self.answers[name]
        main = self.card.metrics[0]
        _, low, high = drop(self.card, self.examples, ours, base)
        lost = {
            f"{m}_drop_points": 100 * (self.scores[self.against][m] - v) for m, v in self.scores[name].items()
        }
        equal = sum(a == b for a, b in zip(ours, base, strict=True)) / len(base)
        interval = {f"{main}_drop_low": low, f"{main}_drop_high": high}
        return lost | interval | {"equal_answers_percent": 100 * equal}

    def rows(self, command: str) -> list[Measurement]:
        """One measurement a model, for the reader's own store (`measurements.append`)."""
        found = []
        for name, given in self.scores.items():
            setting = {"set": self.set, "part": self.part, "model": name, "examples": len(self.examples)}
            more: dict[str, float] = {}
            if self.against not in (None, name):
                setting["against"] = str(self.against)
                more = self.versus(name)
            found.append(row(ROW, 8, setting, {**given, **more}, command=command))
        return found

    def table(self) -> Table:
        """Scores in per cent, a line a model, and what is lost against the baseline."""
        from rich.table import Table

        names = list(next(iter(self.scores.values())))
        lost = ["points lost (95 %)", "same answers"] if self.against is not None else []
        table = Table("model", *(_words(name) for name in names), *lost, title=self._title())
        for name, given in self.scores.items():
            cells = [f"{100 * given[metric]:.1f}" for metric in names]
            if self.against is not None:
                cells += ["", ""] if name == self.against else self._lost(name)
            table.add_row(name, *cells)
        return table

    def _lost(self, name: str) -> list[str]:
        found, main = self.versus(name), self.card.metrics[0]
        low, high = found[f"{main}_drop_low"], found[f"{main}_drop_high"]
        return [
            f"{found[f'{main}_drop_points']:.1f} ({low:.1f} to {high:.1f})",
            f"{found['equal_answers_percent']:.1f} %",
        ]

    def _title(self) -> str:
        return f"{self.set}, {self.part}: {len(self.examples)} questions, in per cent"

    def side_by_side(self, most: int = 8) -> Table:
        """Answers beside each other and beside what is right: first those on which the models differ."""
        from rich.table import Table

        table = Table(_words(self.card.texts[0]), "right", *self.answers)
        differ = [len({str(a[i]) for a in self.answers.values()}) > 1 for i in range(len(self.examples))]
        order = sorted(range(len(self.examples)), key=lambda i: (not differ[i], i))
        for i in order[:most]:
            asked, truth = self.examples[i].texts[0], self.examples[i].truth
            right = " | ".join(dict.fromkeys(truth)) if isinstance(truth, tuple) else self.name_of(truth)
            table.add_row(
                _short(asked), _short(right), *(_short(self.name_of(a[i])) for a in self.answers.values())
            )
        return table

    def name_of(self, answer: Answer) -> str:
        """An answer as a reader sees it: a label by its name."""
        if self.card.task == "labels":
            return self.card.labels[int(answer)]
        return answer if isinstance(answer, str) else f"{answer:.2f}"

    def save(self, path: Path) -> None:
        """All answers as JSON lines, one example each, into a new file. ValueError if it is there already."""
        lines = []
        for i, example in enumerate(self.examples):
            given = {name: answers[i] for name, answers in self.answers.items()}
            fields = {"set": self.set, "id": example.id, "truth": example.truth, "answers": given}
            lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
        try:
            with open(path, "x", encoding="utf-8") as handle:
                handle.writelines(lines)
        except FileExistsError as error:
            raise ValueError(
                f"{path} is there already; nothing is written over: name another file"
            ) from error


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(text: str, most: int = 48) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."


def compare(
    name: str,
    examples: Sequence[Example],
    models: Mapping[str, Answers],
    *,
    against: str | None = None,
    part: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Comparison:
    """Ask every model the same examples of a set. against: the model that the others are compared with."""
    known = card(name)
    if not models:
        raise ValueError("models is empty; there is nobody to ask")
    answers = {who: ask(examples, model, known, say=say) for who, model in models.items()}
    return Comparison(name, part or known.split, examples, answers, against)


def run(
    model: str,
    name: str,
    *,
    against: str | None = None,
    data: Path | None = None,
    download: bool = False,
    limit: int | None = None,
    split: str | None = None,
    batch: int = 8,
    say: Callable[[str], None] | None = None,
) -> Comparison:
    """`neurolab evaluate`: open the set and one or two models, and compare them.

    data: a folder with the set's files; without one `download` must be given. Raises ValueError as `load` and
    `open_model` do.
    """
    known = card(name)
    examples = load(name, data, limit=limit, split=split, download=download and data is None)
    places = {_name(place): place for place in ([against] if against else []) + [model]}
    if against and len(places) == 1:
        places = {against: against, model: model}
        if len(places) == 1:
            raise ValueError(f"model and against are both {model}; a model is as good as itself")
    base = next(iter(places)) if against else None
    models = {who: open_model(place, known, download=download, batch=batch) for who, place in places.items()}
    return compare(name, examples, models, against=base, part=split, say=say)


def _name(place: str) -> str:
    """What a model is called: its folder's name."""
    return Path(place).resolve().name if Path(place).is_dir() else place


def listing() -> Table:
    """The sets that there are."""
    from rich.table import Table

    table = Table("set", "on the hub", "part", "scores", "licence")
    for known in CARDS.values():
        table.add_row(
            known.name,
            f"{known.hub} ({known.config})",
            known.split,
            ", ".join(map(_words, known.metrics)),
            known.licence,
        )
    return table
