"""What chapter 6's explorers compute while a slider moves: trained video networks on scenes new to them.

Shapes: T times, F frames of a clip, S pixels along an edge, G tubelets along an edge, N tubelets of a clip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from torch import Tensor

from neurolab import learned_gate, sparsity, video, video_net
from neurolab import sparsity_pictures as pictures
from neurolab import sparsity_rows as results
from neurolab.explore import Choice, Explorer
from neurolab.measurements import read
from neurolab.quantization_rows import by, values
from neurolab.video_net import Seen, VideoTransformer

VARIANTS = {said: name for name, said in results.VARIANTS.items()}
"""What a reader may choose -> `video.VARIANTS`."""

SCENE = 18
"""The seed of the chapter's scene, one of the test scenes."""

KEPT = 32
TIMES = 24
CLIPS = (18, 8, 36, 58)
"""Seeds of the clips that a reader may choose from."""
THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
BUDGETS = (8, 16, 32, 64, 256)
FLOOR = 0.001  # of the strongest: the lower end of a logarithmic axis
LEVELS = 63  # brightness in the pictures: enough for the eye, and a small page


@lru_cache(maxsize=8)
def net(name: str) -> VideoTransformer:
    """A trained network, "dense", "dynamic" or "static" (`video_net.load`), loaded once."""
    return video_net.load(name)


def shown(frame: Tensor) -> np.ndarray:
    """(S, S), about 0 to 1 -> whole numbers 0..LEVELS for a picture."""
    return (frame.clamp(0, 1) * LEVELS).round().numpy().astype(np.uint8)


def veil(kept: Tensor, grid: int, slot: int = -1) -> np.ndarray:
    """kept (N,) bool -> (G, G): 1 where a tubelet of the slot (default: the last one) is left out, else 0."""
    return (~kept.view(-1, grid, grid)[slot]).numpy().astype(np.uint8)


def windows(
    variant: str, seed: int = SCENE, times: int = TIMES
) -> tuple[Tensor, list[tuple[float, float]], int]:
    """Clips that end at frame F - 1, F, ... of a test scene: (T, F, S, S), their last centres, the digit."""
    scene = video.scene(seed, variant=variant, split="test")
    last = range(video.FRAMES - 1, video.FRAMES - 1 + times)
    frames = scene.frames(0, times + video.FRAMES - 1)
    return (
        frames.unfold(0, video.FRAMES, 1).permute(0, 3, 1, 2).contiguous(),
        [scene.centre(t) for t in last],
        scene.digit,
    )


def by_change(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """Only the n tubelets that change most: frames (B, F, S, S) -> what is seen, the choice (B, n)."""
    keep = sparsity.keep_top(sparsity.change(frames), n)
    return net("dynamic")(frames, keep), keep


def by_pattern(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """The same n tubelets of every clip."""
    tokens = net("static").config.tokens
    keep = sparsity.static_pattern(tokens, n).expand(len(frames), -1)
    return net("static")(frames, keep), keep


def by_attention(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """One block of the dense network on everything, then the n tubelets that it looked at most."""
    return sparsity.attention_top(net("dense"), frames, n)


def everything(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """All tubelets; n is not used."""
    dense = net("dense")
    return dense(frames), torch.arange(dense.config.tokens).expand(len(frames), -1)


def untrained(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """What changes, but through the dense network, which has never seen so few tubelets."""
    keep = sparsity.keep_top(sparsity.change(frames), n)
    return net("dense")(frames, keep), keep


def by_threshold(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """What changes, at most n, and only what reaches the threshold. For one clip."""
    keep = sparsity.choose(sparsity.change(frames), n)
    return net("dynamic")(frames, keep), keep


def by_gate(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """The n tubelets that the learned gate rates highest."""
    keep = sparsity.keep_top(learned_gate.load()(frames), n)
    return net("dynamic")(frames, keep), keep


CHOICES: dict[str, Callable[[Tensor, int], tuple[Seen, Tensor]]] = {
    "dense": everything,
    "static": by_pattern,
    "change": by_change,
    "change_untuned": untrained,
    "threshold": by_threshold,
    "attention": by_attention,
    "gate": by_gate,
}
"""The mechanisms of the rows: frames (B, F, S, S), n -> what is seen, the tubelets computed (B, n)."""

WAYS = {"everything": "dense", "what changes": "change"}
"""Those of the first picture."""

CHOOSERS = {
    "a fixed pattern": "static",
    "what changes": "change",
    "attention": "attention",
    "a learned gate": "gate",
}
"""Those of the second."""


@lru_cache(maxsize=64)
@torch.inference_mode()
def _watched(variant: str, way: str, n: int) -> dict[str, Any]:
    """All times of a scene at once."""
    frames, centres, digit = windows(variant)
    seen, keep = CHOICES[way](frames, n)
    config = net("dense").config
    return {
        "frames": [shown(f[-1]) for f in frames],
        "veils": [veil(k, config.grid) for k in sparsity.mask_of(keep, config.tokens)],
        "true": centres,
        "said": seen.centre.tolist(),
        "p": (100 * seen.digit.softmax(-1)).round(decimals=1).numpy(),
        "digit": digit,
        "macs": 100 * _macs(config, way, keep.shape[1]) / sum(video_net.macs(config).values()),
    }


def _macs(config: video_net.VideoConfig, mechanism: str, n: int) -> int:
    """Multiply-adds of a clip of which n tubelets are kept; attention has to look at all of them first."""
    if mechanism == "attention":
        return sparsity.attention_macs(config, n)
    return sum(video_net.macs(config, n).values())


def watched(scene: str, way: str, t: int) -> dict[str, Any]:
    """The chapter's first picture at time t = 0..TIMES - 1, in frames after the first full clip.

    scene: a key of VARIANTS; way: one of WAYS or CHOOSERS, which keep KEPT tubelets. ValueError for others.
    """
    ways = WAYS | CHOOSERS
    for name, value, allowed in (("scene", scene, VARIANTS), ("way", way, ways)):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    if t not in range(TIMES):
        raise ValueError(f"t is {t!r}; it must be 0 to {TIMES - 1}")
    found = _watched(VARIANTS[scene], ways[way], KEPT)
    p, said, true = found["p"][t], found["said"][t], found["true"][t]
    away = float(np.hypot(said[0] - true[0], said[1] - true[1]))
    dense = way == "everything"
    times = 1.0 if dense else results.ratio_of(ways[way], KEPT)
    share = [100.0 if times is None else 100 / times, found["macs"]]
    return {
        **_marks(true, said),
        "frame": found["frames"][t],
        "veil": found["veils"][t],
        "p": p,
        "share": np.array(share) if times is not None else np.array([0.0, share[1]]),
        "text": [f"{share[0]:.0f}%" if times is not None else "not measured yet", f"{share[1]:.0f}%"],
        "words": f"{scene}, {way} computed: the network says {p.argmax()} ({p.max():.0f} %), "
        f"{_verdict(int(p.argmax()), found['digit'])}, {away:.1f} pixels off",
    }


def _verdict(said: int, digit: int) -> str:
    return "rightly" if said == digit else f"but it is {digit}"


def _marks(true: Any, said: Any) -> dict[str, np.ndarray]:
    """The two crosses, on pixels that are counted from their middles."""
    return {
        f"{key} {axis}": np.array([round(float(at[i]) - 0.5, 2)])
        for key, at in (("true", true), ("said", said))
        for i, axis in enumerate("xy")
    }


@lru_cache(maxsize=64)
def _clip(variant: str, seed: int) -> tuple[Tensor, Tensor, video.Clips]:
    """A test clip (1, F, S, S), its scores (1, N), and what is to be said of it."""
    clips = video.clips([seed], variant=variant, split="test")
    return clips.frames, sparsity.change(clips.frames), clips


@torch.inference_mode()
def gated(scene: str, clip: int, threshold: float, budget: int) -> dict[str, Any]:
    """A clip (a seed of CLIPS) in one of VARIANTS: what threshold and budget keep, and what is then seen."""
    frames, scores, clips = _clip(VARIANTS[scene], clip)
    keep = sparsity.choose(scores, budget, threshold)
    seen = net("dynamic")(frames, keep)
    tokens = scores.shape[1]
    order = scores[0].sort(descending=True).values.numpy()
    p = seen.digit[0].softmax(-1)
    true, said = clips.centre[0].tolist(), seen.centre[0].tolist()
    n, digit = keep.shape[1], int(clips.digit[0])
    config = net("dynamic").config
    macs = 100 * sum(video_net.macs(config, n).values()) / sum(video_net.macs(config).values())
    which = "the budget" if n == budget else "the threshold"
    digit_said = int(p.argmax())
    return {
        **_marks(true, said),
        "frame": shown(frames[0, -1]),
        "veil": veil(sparsity.mask_of(keep, tokens)[0], config.grid),
        "rank": np.arange(1, tokens + 1),
        "change": order.clip(FLOOR).round(4),
        "kept x": np.array([1, n]),
        "kept y": np.full(2, FLOOR),
        "mark x": np.array([1, tokens]),
        "mark y": np.full(2, max(threshold, FLOOR)),
        "lid x": np.full(2, budget),
        "lid y": np.array([FLOOR, 1.0]),
        "words": f"{scene}: {n} of {tokens} tokens ({which} decides), {macs:.0f} % of the multiply-adds; "
        f"the network says {digit_said} ({100 * float(p.max()):.0f} %), {_verdict(digit_said, digit)}, "
        f"{np.hypot(said[0] - true[0], said[1] - true[1]):.1f} pixels off",
    }


def stills(seed: int = SCENE, time: int = 10) -> dict[str, Any]:
    """One frame of a scene in every variant, as they look to a camera."""
    made = {
        name: video.scene(seed, variant=v, split="test").frames(time, 1)[0] for name, v in VARIANTS.items()
    }
    return {"names": list(made)} | {name: shown(frame) for name, frame in made.items()}


def mechanisms_explorer(clip: int = SCENE) -> Any:
    """Tokens x mechanism -> accuracy, multiply-adds and time from the rows, and what is kept of one clip."""
    rows = [r for r in read("sparsity.mechanism") if r.setting.get("side", video.SIDE) == video.SIDE]
    found = by(rows, "mechanism", "tokens")
    tokens = sorted({t for m, t in found if m in CHOICES and m != "dense"})
    names = [m for m in CHOICES if m != "dense" and all((m, t) in found for t in tokens)]
    dense = results.median(read("sparsity.video", method="dense", side=video.SIDE), "accuracy")
    if len(names) < 2 or len(tokens) < 2 or dense is None:
        return Markdown(results.NOT_YET)
    lines: dict[str, Any] = {"names": [results.MECHANISMS[m] for m in names], "dense": np.full(2, dense)}
    for m in names:
        here = sorted(t for name, t in found if name == m)
        right = [float(np.mean(values(found[m, t], "accuracy"))) for t in here]
        lines[f"{results.MECHANISMS[m]} x"] = np.array(here, float)
        lines[f"{results.MECHANISMS[m]} y"] = np.array(right)
    frames = video.clips([clip], split="test").frames
    grid = frames.shape[-1] // video.PATCH
    back = {results.MECHANISMS[m]: m for m in names}

    @torch.inference_mode()
    def compute(mechanism: str, kept: int) -> dict[str, Any]:
        here = found[back[mechanism], kept]
        figures = [float(np.median(values(here, f"{key}_ratio"))) for key in ("p95", "latency", "flops")]
        right = float(np.mean(values(here, "accuracy")))
        keep = CHOICES[back[mechanism]](frames, kept)[1]
        share = [100 / x for x in figures]
        side, off = "below" if right <= dense else "above", abs(dense - right)
        return lines | {
            "x": np.array([kept]), "y": np.array([right]), "frame": shown(frames[0, -1]),
            "veil": veil(sparsity.mask_of(keep, frames.shape[1] // video.SLOT * grid**2)[0], grid),
            "share": np.array(share), "text": [f"{x:.0f}%" for x in share],
            "words": f"{mechanism}, {kept} tokens: {right:.1f} % right, {off:.1f} points {side} dense, "
            f"{figures[2]:.1f} times fewer multiply-adds, {figures[1]:.1f} times as fast "
            f"({figures[0]:.1f} at the 95th percentile)",
        }  # fmt: skip

    return Explorer(
        compute,
        pictures.mechanisms,
        controls={
            "mechanism": Choice(*back, value=results.MECHANISMS["change"] if "change" in names else None),
            "kept": Choice(*tokens, value=KEPT if KEPT in tokens else None, label="tokens"),
        },
        changes=pictures.MECHANISMS_CHANGES,
        describe=lambda r: r["words"][0].upper() + r["words"][1:] + ".",
        title="Who chooses, and how many",
        alt="Above, accuracy over tokens kept, a line for each mechanism, with the dense network dashed. "
        "Below, bars of multiply-adds and time in per cent of dense, and a frame under the veil of what is "
        "left out.",
        caption="Which line leaves the dashed one last, from the right to the left? Take that one, go down "
        "to 8 tokens, and watch the three bars: which of them stops shrinking first?",
    )
