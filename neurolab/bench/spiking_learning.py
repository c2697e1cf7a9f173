"""What each term of the recipe is worth, and what spikes cost in training (claim A23): rows for chapter 3.

spiking.recipe      the shipped quantized network, trained a little for T = 4 with one term of the loss left
                    out
spiking.training    two networks with the assistant's weights and the same new parts, trained alike until they
                    answer a given share of the dev questions: one ordinary (no rounding), one that spikes for
                    T = 4 steps. Batches, rates, questions and seed are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from neurolab import assistant, facts
from neurolab.assistant import Assistant, Rows, repeatable
from neurolab.bench._kept import CHAPTER
from neurolab.benchmark import Finding, Goal, paired
from neurolab.spiking import Fire, schedule
from neurolab.spiking_files import load
from neurolab.spiking_recipe import STAGES, Stage, optimisers, quick_scores, run_stage
from neurolab.spiking_student import Form, Smooth, Spikes, Student
from neurolab.spiking_training import (
    Teacher,
    Terms,
    calibrate,
    float_teacher,
    inherit,
    integer_teacher,
    loss_of,
    revive,
)
from neurolab.tokens import encode_pair

__all__ = ["CHAPTER", "GOALS", "run"]
GOALS: list[Goal] = []
Say = Callable[[str], None]
LEFT_OUT = ("none", "answer", "kl", "hidden", "counts")
ENOUGH = 0.9


def recipe(steps: int, say: Say) -> list[Finding]:
    """A row for each term left out: the stage `four`, shortened to `steps` steps, judged on dev questions."""
    teller, shipped = assistant.load(), load("quantized")
    form = Form(shipped.config)
    four = next(stage for stage in STAGES if stage.name == "four")
    found = []
    for left in LEFT_OUT:
        say(f"the recipe without: {left}")
        student = revive(shipped.p, form)
        terms = four.terms if left == "none" else replace(four.terms, **{left: 0.0})
        stage = replace(four, steps=steps, terms=terms)
        teacher = integer_teacher(revive(shipped.p, form))
        run_stage(stage, student, teacher, teller, progress=False)
        figures = quick_scores(student, stage.rule(), facts.split("dev"), teller.tokenizer)
        setting = {"left_out": left, "T": four.T, "seed": four.seed}
        figures |= {"steps": steps, "batch": stage.batch, "questions": len(facts.split("dev"))}
        found.append(Finding(None, name="spiking.recipe", setting=setting, figures=figures))
    return found


def climb(
    student: Student,
    rule: Fire,
    teacher: Teacher,
    teller: Assistant,
    asked: Sequence[facts.Question],
    most: int,
    every: int = 20,
) -> tuple[float, int, float]:
    """Seconds of training, steps until ENOUGH of `asked` is right (or `most` steps), and the share then."""
    stage = Stage("climb", None, None, most, batch=128)
    tuned = optimisers(student, stage)
    pairs = [encode_pair(teller.tokenizer, q.text, q.answer) for q in facts.split("train")]
    rows, seconds, share, step = Rows(pairs, stage.batch, stage.seed), 0.0, 0.0, 0
    while share < ENOUGH and step < most:
        began = time.perf_counter()
        for _ in range(every):
            loss = loss_of(student, rows.at(step), rule, teacher, stage.terms)
            for optimiser in tuned:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            for optimiser in tuned:
                optimiser.step()
            step += 1
        seconds += time.perf_counter() - began
        share = quick_scores(student, rule, list(asked), teller.tokenizer)["exact_match"]
    return seconds, step, share


def training(most: int, say: Say, pairs: int = 3) -> list[Finding]:
    """One row: time to equal quality and time of one step, spiking over ordinary."""
    teller = assistant.load()
    form, teacher = Form(teller.model.config), float_teacher(teller.model)
    encoded = [encode_pair(teller.tokenizer, q.text, q.answer) for q in facts.split("train")]
    rows = Rows(encoded, 128, 1)
    asked = facts.split("dev")[::2]

    def new(spiking: bool) -> Student:
        student = inherit(teller.model, form)
        if spiking:
            calibrate(student, [rows.at(i) for i in range(3)])
        return student

    rules: dict[str, Fire] = {"ordinary": Smooth(), "spiking": Spikes(schedule(4, "ramp"))}
    reached = {}
    with repeatable(2):
        for name, rule in rules.items():
            say(f"{name} network, trained until {ENOUGH:.0%} are right")
            reached[name] = climb(new(name == "spiking"), rule, teacher, teller, asked, most)
        students = {name: new(name == "spiking") for name in rules}

        def step(name: str) -> None:
            students[name].zero_grad(set_to_none=True)
            loss_of(students[name], rows.at(0), rules[name], teacher, Terms()).backward()

        ratio = paired(lambda: step("ordinary"), lambda: step("spiking"), pairs=pairs, inner=1)
    (a_seconds, a_steps, a_share), (b_seconds, b_steps, b_share) = reached["spiking"], reached["ordinary"]
    figures = {
        "step_time_ratio": ratio.median,
        "step_time_low": ratio.low,
        "step_time_high": ratio.high,
        "time_ratio": a_seconds / b_seconds,  # at least so much, where the spiking one did not get there
        "spiking_steps": a_steps,
        "ordinary_steps": b_steps,
        "spiking_share": a_share,
        "ordinary_share": b_share,
        "spiking_seconds": a_seconds,
        "ordinary_seconds": b_seconds,
        "wanted_share": ENOUGH,
    }
    setting = {"T": 4, "schedule": "ramp", "batch": 128, "seed": 1}
    return [Finding(None, name="spiking.training", setting=setting, figures=figures)]


def run(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """Both tables; `quick` takes a few steps."""
    say = progress or (lambda text: None)
    return [*training(20 if quick else 80, say), *recipe(4 if quick else 20, say)]
