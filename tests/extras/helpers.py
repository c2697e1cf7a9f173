"""What all extras are tested with."""

from pathlib import Path

import numpy as np

from neurolab.export.decoder import Decoder, Step, empty_cache, torch_step


def differences(step: Step, decoder: Decoder, prompt: int = 7, tokens: int = 6) -> list[float]:
    """The largest difference of logits, over the largest logit, for a prompt and each token."""
    generator, found = np.random.default_rng(0), []
    ours, theirs = empty_cache(decoder.config), empty_cache(decoder.config)
    ids = generator.integers(3, 1000, (1, prompt))
    for i in range(tokens + 1):
        wanted, ours = torch_step(decoder)(ids, ours)
        got, theirs = step(ids, theirs)
        assert theirs.shape == ours.shape == (2, 2, 1, 2, prompt + i, 32)
        found.append(float(np.abs(got - wanted).max() / np.abs(wanted).max()))
        ids = generator.integers(3, 1000, (1, 1))
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
