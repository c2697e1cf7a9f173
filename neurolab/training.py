"""One training loop for the whole course: seeded, resumable, with a rate that cools when progress stops.

A batch is a pure function of the step, so a run that was interrupted continues as if it had not been: the
checkpoint holds weights, optimisers' state and history, in one safetensors file written atomically.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

Evaluate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Schedule:
    """Warm up, stay, cool to zero.

    The stay ends after `stay` steps, or earlier once the watched figure has not risen by `least` in the last
    `patience` evaluations. All counts are steps but `patience` (evaluations).
    """

    warmup: int = 100
    stay: int = 1000
    cool: int = 200
    watch: str | None = None
    least: float = 0.0
    patience: int = 3

    def __post_init__(self) -> None:
        for name in ("warmup", "stay", "cool"):
            value = getattr(self, name)
            if value < 0 or (name == "stay" and value < 1):
                raise ValueError(f"{name} {value}: must be at least {1 if name == 'stay' else 0} steps")
        if self.patience < 1:
            raise ValueError(f"patience {self.patience}: must be at least 1 evaluation")

    def factor(self, step: int, cooling_from: int) -> float:
        """What the learning rate is multiplied by at `step`, given the step at which cooling begins."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if step < cooling_from:
            return warm
        return warm * max(0.0, 1 - (step - cooling_from + 1) / (self.cool + 1))


@dataclass
class History:
    """What a run has seen: the next step, the step at which cooling begins, seconds, and the evaluations."""

    step: int = 0
    cooling_from: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    evaluations: list[dict[str, float]] = field(default_factory=list)

    def stalled(self, schedule: Schedule) -> bool:
        """Whether the best of the last `patience` evaluations is less than `least` above the best before."""
        if schedule.watch is None or len(self.evaluations) <= schedule.patience:
            return False
        seen = [e[schedule.watch] for e in self.evaluations]
        return max(seen[-schedule.patience :]) < max(seen[: -schedule.patience]) + schedule.least


def fit(
    model: nn.Module,
    loss_of: Callable[[nn.Module, int], Tensor],
    optimisers: list[torch.optim.Optimizer],
    schedule: Schedule,
    *,
    evaluate: Evaluate | None = None,
    every: int = 500,
    checkpoint: Path | None = None,
    clip: float | None = 1.0,
    progress: bool = True,
    stop_after: int | None = None,
) -> History:
    """Train `model` in place and return the history.

    `loss_of(model, step)` gives the scalar loss of that step's batch; `evaluate(model)` gives figures, among
    them `schedule.watch`; both get the model in the right mode. With `checkpoint` the run is saved
    every `every` steps and resumed if the file is there. `stop_after` ends this call early.
    Raises ValueError if the loss is not finite or the checkpoint belongs to another model.
    """
    history = History(cooling_from=schedule.stay)
    if checkpoint is not None and checkpoint.exists():
        history = load_checkpoint(checkpoint, model, optimisers)
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    last = history.cooling_from + schedule.cool
    began, began_cpu, done = time.perf_counter(), time.process_time(), 0
    bar = tqdm(total=last, initial=history.step, desc="training", unit="step", disable=not progress)

    def keep() -> None:
        nonlocal began, began_cpu
        now, now_cpu = time.perf_counter(), time.process_time()
        history.seconds += now - began
        history.cpu_seconds += now_cpu - began_cpu
        began, began_cpu = now, now_cpu
        if checkpoint is not None:
            save_checkpoint(checkpoint, model, optimisers, rates, history)

    while history.step < last and (stop_after is None or done < stop_after):
        factor = schedule.factor(history.step, history.cooling_from)
        for optimiser, initial in zip(optimisers, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, initial, strict=True):
                group["lr"] = rate * factor
        model.train()
        loss = loss_of(model, history.step)
        if not math.isfinite(loss.item()):
            raise ValueError(f"loss {loss.item()} at step {history.step}: training has diverged")
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimiser in optimisers:
            optimiser.step()
        history.step += 1
        done += 1
        bar.update()
        if history.step % every == 0 or history.step == last:
            if evaluate is not None:
                model.eval()
                figures = {"step": history.step, "loss": round(loss.item(), 6), **evaluate(model)}
                history.evaluations.append(figures)
                bar.set_postfix({k: f"{v:.4g}" for k, v in figures.items() if k != "step"})
                if history.step < history.cooling_from and history.stalled(schedule):
                    history.cooling_from = history.step
                    last = history.cooling_from + schedule.cool
                    bar.total = last
            keep()
    for optimiser, initial in zip(optimisers, rates, strict=True):
        for group, rate in zip(optimiser.param_groups, initial, strict=True):
            group["lr"] = rate
    keep()
    bar.close()
    model.eval()
    return history


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    rates: list[list[float]],
    history: History,
) -> None:
    """Write weights, optimiser state and history to one file; a crash leaves the old one or the new one."""
    tensors = {f"model.{k}": v.detach().clone() for k, v in model.state_dict().items()}
    for i, optimiser in enumerate(optimisers):
        for j, p in enumerate(p for group in optimiser.param_groups for p in group["params"]):
            for key, value in optimiser.state.get(p, {}).items():
                tensors[f"optimiser.{i}.{j}.{key}"] = torch.as_tensor(value).detach().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    save_file(tensors, new, metadata={"history": json.dumps(asdict(history)), "rates": json.dumps(rates)})
    os.replace(new, path)


def load_checkpoint(path: Path, model: nn.Module, optimisers: list[torch.optim.Optimizer]) -> History:
    """Put a saved run back into `model` and `optimisers`. ValueError names the file and what is wrong."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        fields: dict[str, Any] = json.loads(meta["history"])
        history = History(**fields)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a usable checkpoint ({error}); delete it to start again") from error
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: belongs to another model ({error}); delete it to start again") from error
    for i, optimiser in enumerate(optimisers):
        for j, p in enumerate(p for group in optimiser.param_groups for p in group["params"]):
            prefix = f"optimiser.{i}.{j}."
            state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if state:
                optimiser.state[p] = state
    return history
