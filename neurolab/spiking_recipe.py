"""`neurolab train spiking`: every spiking network of the course, from the assistant, stage by stage.

    parts       the assistant's weights, its norm, softmax and GELU replaced, still in floats   (Smooth)
    quantized   whole counts of 4 bits, 8-bit weights                                           (Rest)
    four        the same network, given only T = 4 steps                                        (Spikes)
    two, one    the same with T = 2 and T = 1
    ternary     weights of -1, 0 and 1                                                          (Rest)

Each stage starts from what an earlier one left, and learns from the float assistant or, where only the steps
are fewer, from the quantized network. The students (float weights behind the integers) stay in the reader's
own folder, so a stage that is there already is not trained again.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from neurolab import assistant, facts
from neurolab.assistant import Assistant, Rows, collate, repeatable
from neurolab.measurements import processor
from neurolab.paths import reader_folder
from neurolab.spiking import Fire, features, logits, schedule
from neurolab.spiking_files import FOLDER, export, save
from neurolab.spiking_student import Form, Rest, Smooth, Spikes, Student
from neurolab.spiking_training import (
    Teacher,
    Terms,
    calibrate,
    float_teacher,
    inherit,
    integer_teacher,
    last,
    loss_of,
)
from neurolab.tokens import encode_pair
from neurolab.training import History, Schedule, fit


@dataclass(frozen=True)
class Stage:
    """One training. T = 0: to rest; None: no rounding. Rates as in `assistant.Recipe`, falling to 0."""

    name: str
    start: str | None
    T: int | None
    steps: int
    batch: int = 256
    rate_matrices: float = 0.003
    rate_rest: float = 0.002
    terms: Terms = field(default_factory=Terms)
    largest: int = 127
    order: str = "ramp"
    seed: int = 1

    def rule(self) -> Fire:
        """The rule that the network is trained with."""
        if self.T is None:
            return Smooth()
        return Spikes(schedule(self.T, self.order)) if self.T else Rest()


FEW = Terms(counts=1.0)
STAGES = (
    Stage("parts", None, None, 400, rate_matrices=0.004),
    Stage("quantized", "parts", 0, 900),
    Stage("four", "quantized", 4, 300, batch=128, rate_matrices=0.0008, rate_rest=0.0005, terms=FEW),
    Stage("two", "four", 2, 700, batch=128, rate_matrices=0.0015, rate_rest=0.0008, terms=FEW),
    Stage("one", "two", 1, 400, batch=128, rate_matrices=0.0015, rate_rest=0.0008, terms=FEW),
    Stage("ternary", "quantized", 0, 400, largest=1),
)


@torch.inference_mode()
def quick_scores(
    student: Student, rule: Fire, asked: list[facts.Question], tokenizer: Any, batch: int = 64
) -> dict[str, float]:
    """Exact match (token by token) and bits per answer byte, by the rule that the network is trained with."""
    rows = sorted((encode_pair(tokenizer, q.text, q.answer) for q in asked), key=lambda row: len(row[0]))
    p = student.integers(rounded=not isinstance(rule, Smooth))
    right, nats = 0, 0.0
    for i in range(0, len(rows), batch):
        b = collate(rows[i : i + batch])
        wanted, truth = b.answer[:, 1:], b.ids[:, 1:]
        guess = logits(p, last(features(p, b.ids[:, :-1], student.form.config, rule), 3)) * p["scale"]
        right += int(((guess.argmax(-1) == truth) | ~wanted).all(1).sum())
        nats += F.cross_entropy(guess[wanted], truth[wanted], reduction="sum").item()
    size = sum(len(q.answer.encode()) for q in asked)
    return {"exact_match": right / len(asked), "bits_per_answer_byte": nats / math.log(2) / size}


def optimisers(student: Student, stage: Stage) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest, as the assistant was trained."""
    named = [(n, q, q.ndim == 2 and n.startswith("blocks.")) for n, q in student.named_parameters()]
    return [
        torch.optim.Muon(
            [q for _, q, inside in named if inside],
            lr=stage.rate_matrices,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            [q for _, q, inside in named if not inside],
            lr=stage.rate_rest,
            weight_decay=0.0,
            betas=(0.9, 0.98),
        ),
    ]


def run_stage(
    stage: Stage,
    student: Student,
    teacher: Teacher,
    teller: Assistant,
    *,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> History:
    """Train `student` in place by one stage; an interrupted one goes on from `checkpoint`."""
    rows = Rows(
        [encode_pair(teller.tokenizer, q.text, q.answer) for q in facts.split("train")],
        stage.batch,
        stage.seed,
    )
    watched, rule = facts.split("dev"), stage.rule()

    def evaluate(net: nn.Module) -> dict[str, float]:
        return quick_scores(net, rule, watched, teller.tokenizer)  # type: ignore[arg-type]

    with repeatable(2):
        return fit(
            student,
            lambda net, step: loss_of(net, rows.at(step), rule, teacher, stage.terms),  # type: ignore[arg-type]
            optimisers(student, stage),
            Schedule(warmup=20, stay=1, cool=stage.steps - 1),
            evaluate=evaluate,
            every=100,
            checkpoint=checkpoint,
            progress=progress,
        )


def students_folder() -> Path:
    """Where the students lie: in the reader's own folder, never shipped."""
    return reader_folder() / "training" / "spiking"


def forget(students: Path | None = None) -> None:
    """Delete the students (not the networks), so that `train` begins anew."""
    for path in (students or students_folder()).glob("*.safetensors"):
        path.unlink()


def _kept(path: Path, stage: Stage, start: str) -> dict[str, Any] | None:
    """The finished student in `path`, tensors and history; None if it is not there or was made otherwise."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        meta = file.metadata() or {}
        if meta.get("stage") != json.dumps(asdict(stage)) or meta.get("start") != start:
            return None
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    return {"tensors": tensors, "history": History(**json.loads(meta["history"]))}


def train(
    only: str | None = None,
    *,
    folder: Path | None = None,
    students: Path | None = None,
    stages: tuple[Stage, ...] = STAGES,
    progress: bool = True,
) -> list[str]:
    """Train every stage (or `only` one and those that it needs), write the networks, return their names.

    Networks go to `folder` (the shipped ones by default), students to `students`. ValueError for an unknown
    stage.
    """
    by_name = {stage.name: stage for stage in stages}
    if only is not None and only not in by_name:
        raise ValueError(f"stage {only!r}: must be one of {', '.join(by_name)}")
    folder, students = folder or FOLDER, students or students_folder()
    students.mkdir(parents=True, exist_ok=True)
    teller = assistant.load()
    done: dict[str, Student] = {}
    origin: dict[str, str] = {}

    def make(name: str) -> Student:
        if name in done:
            return done[name]
        stage = by_name[name]
        form = Form(teller.model.config, largest=stage.largest)
        if stage.start is None:
            student, origin[name] = inherit(teller.model, form), teller.card["sha256"][assistant.WEIGHTS]
        else:
            student = Student(form)
            student.load_state_dict(make(stage.start).state_dict())
            origin[name] = json.dumps([asdict(by_name[stage.start]), origin[stage.start]])
        quantized = make("quantized") if stage.T else None
        path = students / f"{name}.safetensors"
        kept = _kept(path, stage, origin[name])
        if kept is None:
            if stage.T == 0:
                ask = [encode_pair(teller.tokenizer, q.text, q.answer) for q in facts.split("train")]
                order = Rows(ask, stage.batch, stage.seed)
                calibrate(student, [order.at(i) for i in range(3)])
            teacher = integer_teacher(quantized) if quantized else float_teacher(teller.model)
            checkpoint = students / f"{name}.checkpoint.safetensors"
            history = run_stage(stage, student, teacher, teller, checkpoint=checkpoint, progress=progress)
            tensors = {key: x.contiguous() for key, x in student.state_dict().items()}
            meta = {"stage": json.dumps(asdict(stage)), "start": origin[name]}
            save_file(tensors, path, metadata={**meta, "history": json.dumps(asdict(history))})
            checkpoint.unlink()
        else:
            student.load_state_dict(kept["tensors"])
            history = kept["history"]
        if stage.T is not None:
            save(export(student), form, name, folder, make_card(stage, history))
        done[name] = student.eval()
        return student

    for stage in stages:
        if only in (None, stage.name):
            make(stage.name)
    return list(done)


def make_card(stage: Stage, history: History) -> dict[str, Any]:
    """How a network came about: stage, history, versions, machine."""
    return {
        "name": stage.name,
        "about": "An integer network that runs as spikes; made from the assistant.",
        "licence": "MIT (code and weights); CLDR data under the Unicode License v3",
        "stage": asdict(stage),
        "schedule": stage.order,
        "history": asdict(history),
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        "machine": {"processor": processor(), "threads": 2},
        "date": time.strftime("%Y-%m-%d"),
        "command": "neurolab train spiking",
    }
