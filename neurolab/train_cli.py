"""What `neurolab train` trains: a function each, from its options to the line that is said at the end.

Each imports what it needs when it is called, so that `neurolab --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def assistant(folder: Path | None, steps: int | None, resume: bool) -> str:
    """The course's assistant."""
    from neurolab import assistant

    place = folder or assistant.FOLDER
    if not resume:
        (place / assistant.CHECKPOINT).unlink(missing_ok=True)
    if assistant.train(place, progress=True, stop_after=steps) is None:
        return f"Stopped after {steps} steps, as asked; the same command without --steps finishes the run."
    return f"The assistant lies in {place}."


def spiking(folder: Path | None, stage: str | None, resume: bool) -> str:
    """The assistant's spiking networks."""
    from neurolab import spiking_recipe

    if not resume:
        spiking_recipe.forget()
    made = spiking_recipe.train(stage, folder=folder)
    return f"Networks: {', '.join(made)}. They lie in {folder or spiking_recipe.FOLDER}."


def vision(folder: Path | None, steps: int | None) -> str:
    """The image network of chapter 4."""
    from neurolab import vision

    return f"The image network lies in {vision.ship(folder, steps=steps)}."


def video(folder: Path | None, resume: bool) -> str:
    """The networks of chapter 6 that watch."""
    from neurolab import video_training

    return f"The networks lie in {video_training.everything_shipped(folder, resume=resume)}."


def gate(folder: Path | None) -> str:
    """The gates that choose what is watched."""
    from neurolab import learned_gate

    made = learned_gate.everything_shipped(folder)
    return f"Gates: {', '.join(path.name for path in made) or 'none, for want of dense networks'}."


def enhance(folder: Path | None, steps: int | None) -> str:
    """The networks of chapter 6 that draw finer."""
    from neurolab import enhance, enhance_training

    enhance_training.ship(folder, steps=steps)
    return f"The networks lie in {folder or enhance.FOLDER}."


def exits(folder: Path | None) -> str:
    """The assistant's heads for early exit."""
    from neurolab import early_exit, exit_figures

    return f"The heads lie in {exit_figures.ship(folder / early_exit.FILE.name if folder else None)}."


TRAINERS: Mapping[str, tuple[Callable[..., str], frozenset[str]]] = {
    "assistant": (assistant, frozenset({"steps", "resume"})),
    "spiking": (spiking, frozenset({"stage", "resume"})),
    "vision": (vision, frozenset({"steps"})),
    "video": (video, frozenset({"resume"})),
    "gate": (gate, frozenset()),
    "enhance": (enhance, frozenset({"steps"})),
    "exit": (exits, frozenset()),
}
"""By what can be trained: the function, and the options that it takes beside the folder."""


def train(what: str, folder: Path | None, **options: Any) -> str:
    """Train `what` and say where it lies.

    options: steps, stage (None where not given) and resume. ValueError for what cannot be trained, and for
    an option that does not belong to it.
    """
    if what not in TRAINERS:
        raise ValueError(f"cannot train {what!r}; there are {', '.join(TRAINERS)}")
    call, taken = TRAINERS[what]
    for name in ("steps", "stage"):
        if options[name] is not None and name not in taken:
            owners = ", ".join(key for key, (_, its) in TRAINERS.items() if name in its)
            raise ValueError(f"--{name} {options[name]}: not for `neurolab train {what}`, but for {owners}")
    return call(folder, **{name: options[name] for name in taken})
