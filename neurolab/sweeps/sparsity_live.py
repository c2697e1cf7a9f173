"""The live loop on this machine's clock: rows sparsity.fallback and sparsity.live (see `live_trials`).

sparsity.fallback: six loops under a load. p99_over_objective is the loop's with its whole policy,
p99_without_over_objective the same without its fallback to the dense path; gate, breach and dense stand
beside them, and cold, the only one that does not warm up before a frame is due (see `Live`). sparsity.live:
the loop alone, for longer, on each variant of the stream, and how right it was.
"""

from __future__ import annotations

import statistics
from functools import lru_cache, partial
from typing import Any

import torch

from neurolab import video, video_net
from neurolab.benchmark import quiet
from neurolab.live_answers import Path
from neurolab.live_telemetry import Record, nearest_rank
from neurolab.live_trials import ARMS, Stream, Trial, burners, stream
from neurolab.sweep import Job

SECONDS = 100  # of stream, of a row of sparsity.live
TURN = 5  # seconds that a loop runs before the next one has its turn
TURNS = 4  # of each loop, for a row of sparsity.fallback
LOADS = (0, 1, 2)  # processes that keep a core busy
FALLBACK = ("usual", "several")  # variants of sparsity.fallback: the gate wants least, and most
SEEDS = (0, 1, 2)
KEEP = ("p50", "p95", "p99", "over_percent", "fallbacks", "answered", "passed_over", "tokens_mean")


def fallback(
    variant: str,
    load: int,
    seed: int = 0,
    turns: int = TURNS,
    seconds: float = TURN,
    nets: tuple[Path, Path] | None = None,
    **trial: Any,
) -> dict[str, Any]:
    """Figures of a row of sparsity.fallback; times in seconds. `trial`: for `Trial`."""
    torch.set_num_threads(1)
    dense, sparse = nets or networks(seed)
    tried = Trial(dense, sparse, stream(variant, seed, turns * seconds), **trial)
    with burners(load):
        found = tried.turns(ARMS, turns, seconds)
    made: dict[str, Any] = {
        "objective": tried.policy.objective,
        "quiet_dense_p50": tried.dense_p50,
        "p99_over_objective": found["loop"]["p99_over_objective"],
        "seconds_held_percent": found["loop"]["seconds_held_percent"],
        "fallbacks": found["loop"]["fallbacks"],
        "dense_answers": found["loop"]["dense_answers"],
        "seconds_each": turns * seconds,
    }
    for name in ARMS[1:]:
        made[f"p99_{name}_over_objective"] = found[name]["p99_over_objective"]
        made[f"seconds_held_{name}_percent"] = found[name]["seconds_held_percent"]
    for name in ARMS:
        made |= {f"{name}_{key}": found[name][key] for key in KEEP if key in found[name]}
    return made


def live(
    variant: str,
    seed: int,
    seconds: float = SECONDS,
    nets: tuple[Path, Path] | None = None,
    **trial: Any,
) -> dict[str, Any]:
    """Figures of a row of sparsity.live: the loop alone on `seconds` of stream, and how right it was.

    Frames whose clip spans a cut between scenes have no right answer and are left out of the accuracies.
    accuracy: of first answers; accuracy_corrected: with those of the dense path that came later;
    accuracy_dense: of the dense network on the same frames. Percent. Every fourth frame is scored.
    """
    torch.set_num_threads(1)
    dense, sparse = nets or networks(seed)
    shown = stream(variant, seed, seconds)
    tried = Trial(dense, sparse, shown, **trial)
    loop = tried.arm("loop")
    first: dict[int, Record] = {}
    again: dict[int, Record] = {}
    with quiet():
        for record in loop.run(shown.at, len(shown.frames)):
            {"answered": first, "thought again": again}.get(record.status, {})[record.frame] = record
    summary = loop.telemetry.summary()
    scored = [i for i in range(3, len(shown.frames), 4) if shown.whole[i] and i in first]
    made = {key: summary[key] for key in (*KEEP, "p99_over_objective", "seconds_held_percent", "seconds")}
    made["objective"], made["quiet_dense_p50"] = tried.policy.objective, tried.dense_p50
    made["tokens_kept_percent"] = 100 * summary["tokens_mean"] / video_net.VideoConfig().tokens
    made["budget_p95"] = nearest_rank(sorted(r.budget for r in first.values()), 0.95)
    made |= {f"events_{key.replace(' ', '_')}": value for key, value in summary["events"].items()}
    if scored:
        made["accuracy"], made["tracking_error"] = _right(first, scored, shown)
        corrected = {i: record for i, record in again.items() if "disagrees" in record.events}
        made["accuracy_corrected"], _ = _right(first | corrected, scored, shown)
        truth = _dense_answers(dense, shown, scored)
        made["accuracy_dense"] = 100 * sum(truth[i] == int(shown.digit[i]) for i in scored) / len(scored)
        made["accuracy_drop_points"] = made["accuracy_dense"] - made["accuracy"]
        made["scored"] = len(scored)
    return made


def _right(said: dict[int, Record], scored: list[int], shown: Stream) -> tuple[float, float]:
    """Percent of right digits, and mean pixels from the mover."""
    right = sum(said[i].digit == int(shown.digit[i]) for i in scored)
    away = [(torch.tensor(said[i].centre) - shown.centre[i]).norm().item() for i in scored]
    return 100 * right / len(scored), statistics.fmean(away)


def _dense_answers(dense: Path, shown: Stream, scored: list[int]) -> dict[int, int]:
    """The dense network's digit for each clip that ends with a scored frame."""
    found = {}
    with torch.inference_mode():
        for i in scored:
            found[i] = int(dense(shown.frames[None, i + 1 - video.FRAMES : i + 1]).digit.argmax())
    return found


@lru_cache(maxsize=3)
def networks(seed: int) -> tuple[Path, Path]:
    """The dense network and the one that was trained on few tokens."""
    return video_net.load("dense", seed), video_net.load("dynamic", seed)


def jobs() -> list[Job]:
    """Every row of this module. They want a machine that does nothing else."""
    made = []
    for variant in FALLBACK:
        for load in LOADS:
            minutes = (len(ARMS) * TURNS * TURN + 20) / 60
            make = partial(fallback, variant, load)
            made.append(
                Job("sparsity.fallback", {"variant": variant, "load": load, "seed": 0}, make, minutes, 6)
            )
    for variant in video.VARIANTS:
        for seed in SEEDS:
            make = partial(live, variant, seed)
            made.append(Job("sparsity.live", {"variant": variant, "seed": seed}, make, SECONDS / 60 + 0.5, 6))
    return made
