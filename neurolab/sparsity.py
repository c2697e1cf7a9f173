"""Choosing which tubelets of a clip a network thinks about, and packing them.

Four ways to choose n of N: a static pattern (the same places for every clip), what changes (pixels alone,
before the network), attention (the network's own, after its first block), a learned gate (`learned_gate`). A
budget bounds n from above; a threshold lets n fall further where less happens. What is chosen is gathered
(`pack`), so that the rest is never computed; hiding the rest behind a mask gives the same answer and saves no
time.

Sources: change: Parger et al., DeltaCNN, CVPR 2022, and every video codec's skipped block. Attention: Liang
et al., Not all patches are what you need (EViT), ICLR 2022. Movement of the camera: the census transform of
Zabih and Woodfill, ECCV 1994, in its smallest form, the sign of the slope along a row.
Shapes: B clips, F frames, S pixels along an edge, T = F / 2 slots, G = S / 8 tubelets along an edge,
N = T G G tubelets, n of them kept. Tubelet number: slot * G * G + row * G + column.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import video
from neurolab.video_net import Block, Seen, VideoConfig, VideoTransformer, macs

REACH = 2  # pixels that a camera that shakes by one pixel can be away from where it was in the first frame
ROWS = 16  # of a frame, that its movement is estimated from
STAND = 0.2  # how much better a movement has to match than standing still, as a share of a perfect match
CONTRAST = 0.1  # weight of being brighter than the frame, beside 1 for being brighter than a moment ago
NEAR = 0.2  # weight of what happens round about, on average, beside 1 for what happens in the tubelet itself
THRESHOLD = 0.05  # of the clip's strongest tubelet


def check(frames: Tensor) -> None:
    """ValueError where `frames` are not (B, F, S, S), F a multiple of 2 and S of 8."""
    if frames.ndim != 4 or frames.shape[1] % video.SLOT or frames.shape[2] != frames.shape[3]:
        raise ValueError(f"frames of shape {tuple(frames.shape)}: must be (B, F, S, S) with an even F")
    if frames.shape[3] % video.PATCH or frames.shape[3] < 2 * video.PATCH:
        raise ValueError(
            f"frames of {frames.shape[3]} pixels: must be a multiple of {video.PATCH}, 16 at least"
        )


def even_light(frames: Tensor) -> Tensor:
    """(B, F, S, S) -> the same, divided by the average of each frame: 1 is as bright as that frame is."""
    return frames / frames.mean((2, 3), keepdim=True).clamp(min=1e-3)


def camera_shift(frames: Tensor) -> Tensor:
    """(B, F, 2): rows and columns, -2 to 2, that each frame lies below and to the right of the first.

    Compared are the signs of the slope along a row, +1 or -1: neither brightness nor a digit, however bright,
    has a greater say than any other pixel. All 25 shifts of all frames are one matrix product.
    """
    size, wide = frames.shape[-1], 2 * REACH + 1
    step = max(1, size // ROWS)
    first = torch.sign(frames[:, 0, :, 1:] - frames[:, 0, :, :-1])  # (B, S, S - 1)
    windows = first.unfold(1, wide, step).unfold(2, wide, 1).permute(0, 3, 4, 1, 2)  # (B, 5, 5, r, c)
    shifted = windows.flatten(3).flatten(1, 2)  # (B, 25, P): P = r c places, seen from 25 sides
    inner = frames[:, :, REACH : size - REACH : step, REACH : size - REACH]  # (B, F, r, c + 1)
    slope = torch.sign(inner[..., 1:] - inner[..., :-1]).flatten(2)  # (B, F, P)
    match = slope @ shifted.transpose(1, 2)  # (B, F, 25)
    match[..., wide * wide // 2] += STAND * slope.shape[-1]
    best = match.argmax(-1)
    return torch.stack((REACH - best // wide, REACH - best % wide), -1)


def steady(frames: Tensor, shift: Tensor) -> Tensor:
    """(B, F, S, S) moved back by `shift` (B, F, 2); what leaves on one side comes in on the other."""
    if not shift.any():
        return frames
    at = torch.arange(frames.shape[-1])
    rows, columns = ((at + shift[..., i, None]) % len(at) for i in (0, 1))  # (B, F, S) each
    places = (rows[..., None] * len(at) + columns[..., None, :]).flatten(2)
    return frames.flatten(2).gather(2, places).view_as(frames)


def halved(frames: Tensor) -> Tensor:
    """(B, F, S, S) -> (B, F, S/2, S/2): averages of 2 x 2 pixels, half the noise (avg_pool2d is slower)."""
    tall = frames[..., 0::2, :] + frames[..., 1::2, :]
    return (tall[..., 0::2] + tall[..., 1::2]) * 0.25


def change(frames: Tensor) -> Tensor:
    """How much happens in each tubelet: frames (B, F, S, S) -> (B, N), 0 to 1, 1 for a clip's strongest.

    The camera's shaking, noise and flicker are taken out first. Then a pixel counts by how much brighter it
    is than at its darkest moment of the clip; a tenth of that darkest moment is swapped for the average of
    the frames, so that what stands out in a scene where nothing moves is still seen. What happens round about
    adds a little: the last of a budget then goes to the mover's edge and not to a bright thing that stands.
    Raises ValueError for other shapes.
    """
    check(frames)
    small = even_light(halved(steady(frames, camera_shift(frames))))  # (B, F, S/2, S/2)
    dark = small.amin(1, keepdim=True)
    usual = (1 - CONTRAST) * dark + CONTRAST  # the average of a frame is 1 by now
    risen = (small - usual).relu().pow(3)
    each = F.avg_pool2d(risen, video.PATCH // 2).unflatten(1, (-1, video.SLOT)).sum(2)  # (B, T, G, G)
    scores = (each + NEAR * F.avg_pool2d(each, 3, stride=1, padding=1)).flatten(1)
    return scores / scores.amax(1, keepdim=True).clamp(min=1e-12)


def static_pattern(tokens: int, n: int, slots: int = video.FRAMES // video.SLOT) -> Tensor:
    """(n,) rising: n of `tokens` tubelets, spread over slots, rows and columns, whatever the clip shows.

    In each slot Roberts' R2 sequence (multiples of the plastic number's powers, fractions kept), which has no
    two points close together, shifted a little from slot to slot.
    ValueError for n outside 1..tokens, or tokens that fill no square slots.
    """
    grid = round((tokens / slots) ** 0.5)
    if grid * grid * slots != tokens:
        raise ValueError(f"tokens {tokens}: must be {slots} times a square")
    _count(n, tokens)
    ratio = 1.324717957244746  # x^3 = x + 1
    found: dict[int, None] = {}
    for i in range(64 * tokens):
        slot, point = i % slots, i // slots + i % slots / slots
        row, column = (int(grid * ((0.5 + point / ratio**power) % 1)) for power in (1, 2))
        found[slot * grid * grid + row * grid + column] = None
        if len(found) == n:
            break
    found |= dict.fromkeys(range(tokens))  # the sequence is slow to find the last ones
    return torch.tensor(sorted(list(found)[:n]))


def _count(n: int, tokens: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= tokens:
        raise ValueError(f"n {n!r}: must be a whole number from 1 to {tokens}")


def keep_top(scores: Tensor, n: int) -> Tensor:
    """scores (B, N) -> (B, n): the n strongest of each clip, numbers rising. ValueError for another n."""
    _count(n, scores.shape[1])
    return scores.topk(n, 1, sorted=False).indices.sort(1).values


def choose(scores: Tensor, budget: int, threshold: float = THRESHOLD) -> Tensor:
    """scores (1, N) of one clip -> (1, n), n <= budget: the strongest, so far as they reach the threshold.

    The threshold is a share, 0 to 1, of the strongest score. With a threshold alone a busy scene would cost
    more than there is time for; with a budget alone a quiet one would cost as much as a busy one. At least
    one tubelet is kept.
    ValueError for several clips (their n differ: `chosen` gives masks), a budget or threshold out of range.
    """
    if scores.ndim != 2 or scores.shape[0] != 1:
        raise ValueError(f"scores of shape {tuple(scores.shape)}: must be (1, N)")
    return chosen(scores, budget, threshold).nonzero()[:, 1][None]


def chosen(scores: Tensor, budget: int, threshold: float = THRESHOLD) -> Tensor:
    """scores (B, N) -> (B, N) bool: what `choose` would keep of each clip."""
    _count(budget, scores.shape[1])
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold!r}: must be from 0 to 1")
    top, at = scores.topk(budget, 1)  # (B, budget), strongest first
    enough = top >= threshold * top[:, :1]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, at, enough)


def pack(x: Tensor, keep: Tensor) -> Tensor:
    """Gather: x (B, N, ...) and keep (B, n) -> (B, n, ...), contiguous: smaller products from here on."""
    where = keep.reshape(*keep.shape, *[1] * (x.ndim - 2)).expand(*keep.shape, *x.shape[2:])
    return x.gather(1, where)


def unpack(packed: Tensor, keep: Tensor, rest: Tensor) -> Tensor:
    """Scatter, the inverse of `pack`: packed (B, n, ...) at keep (B, n) in a copy of rest (B, N, ...)."""
    where = keep.reshape(*keep.shape, *[1] * (packed.ndim - 2)).expand_as(packed)
    return rest.scatter(1, where, packed)


def mask_of(keep: Tensor, tokens: int) -> Tensor:
    """keep (B, n) -> (B, tokens) bool, True where kept: the same choice for a network that hides instead."""
    return torch.zeros(len(keep), tokens, dtype=torch.bool).scatter(1, keep, torch.ones_like(keep).bool())


def attention_top(net: VideoTransformer, frames: Tensor, n: int) -> tuple[Seen, Tensor]:
    """The n tubelets that the readout looks at most in the first block, and nothing else from there on.

    frames (B, F, S, S) -> what is seen, and the choice (B, n). Needs no training of its own. All tubelets are
    embedded and have keys and values in the first block; queries, feed-forward and the other blocks are paid
    for what is kept alone, which changes no number: what is dropped is read by nobody any more.
    ValueError for n outside 1..N.
    """
    tokens = video.tubelets(frames)
    _count(n, tokens.shape[1])
    x = net.embed(tokens, torch.arange(tokens.shape[1]))  # (B, 1 + N, D)
    first = cast(Block, net.blocks[0])
    normed, (to_q, to_kv) = first.norm1(x), (slice(None, x.shape[2]), slice(x.shape[2], None))
    weight, bias = first.qkv.weight, first.qkv.bias

    def heads(y: Tensor) -> Tensor:  # (B, L, D) -> (B, H, L, E)
        return y.unflatten(-1, (first.heads, -1)).transpose(1, 2)

    k, v = (heads(y) for y in F.linear(normed, weight[to_kv], bias[to_kv]).chunk(2, -1))
    q = heads(F.linear(normed[:, :1], weight[to_q], bias[to_q]))  # (B, H, 1, E): the readout's
    looks = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)[:, :, 0, 1:].mean(1)  # (B, N)
    keep = keep_top(looks, n)
    stay = F.pad(keep + 1, (1, 0))  # with the readout in front
    q = heads(F.linear(pack(normed, stay), weight[to_q], bias[to_q]))
    x = pack(x, stay) + first.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    x = x + first.down(F.gelu(first.up(first.norm2(x))))
    for i in range(1, net.config.layers):
        x = net.block(i, x)
    return net.read(x, keep), keep


def attention_macs(config: VideoConfig, n: int) -> int:
    """Multiply-adds of `attention_top` for one clip."""
    d, everything = config.width, config.tokens
    parts = macs(config, n)
    embedding = (everything - n) * video.NUMBERS * d
    keys = (everything - n) * 2 * d * d  # and values, of what is dropped
    looking = (1 + everything) * d + 2 * (1 + n) * (everything - n) * d
    return sum(parts.values()) + embedding + keys + looking
