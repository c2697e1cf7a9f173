"""The spiking assistant's integers: exported, written, read, checked, and proven to fit.

A network on disk is NAME.safetensors (matrices as int8, everything else as int32, one float32 `scale`) and
NAME.json, a card that holds its sizes and the file's SHA-256. In memory the integers are float32 tensors:
float32 holds every whole number up to 2^24, and `accumulators` proves from the weights that no sum passes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from neurolab.paths import DATA
from neurolab.spiking import MIX_SHIFT, SIGNED, UNSIGNED, Integers, bounds
from neurolab.spiking_student import Form, Student
from neurolab.transformer import Config

FOLDER = DATA / "spiking"
EXACT = 2**24
"""Every whole number below it is a float32."""


class SpikingError(ValueError):
    """A spiking network's files or integers are not what they should be; the message says which and why."""


@dataclass(frozen=True)
class Spiking:
    """A network of integers: contents p, sizes, bits of a count (2 to 8), and the card it came with."""

    p: Integers
    config: Config
    bits: int = 4
    card: dict[str, Any] = field(default_factory=dict)


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a network, by name."""
    D, F, H = config.width, config.hidden, config.heads
    found: dict[str, tuple[int, ...]] = {
        "embedding.W": (config.vocabulary, D),
        "embedding.unit": (),
        "position.W": (config.context, D),
        "position.unit": (),
        "norm.K": (D,),
        "logits.b": (config.vocabulary,),
        "scale": (),
    }
    for i in range(config.layers):
        for part, (rows, columns) in {"query": (D, D), "key": (D, D), "value": (D, D), "up": (F, D)}.items():
            found[f"{i}.{part}.W"] = (rows, columns)
            found[f"{i}.{part}.b"] = found[f"{i}.{part}.theta"] = (rows,)
        found |= {f"{i}.{part}.K": (D,) for part in ("norm1", "mix", "norm2")}
        found |= {f"{i}.attention.{part}": (H,) for part in ("theta", "offset")}
        found |= {f"{i}.out.W": (D, D), f"{i}.out.unit": (), f"{i}.down.W": (D, F), f"{i}.down.unit": ()}
    return found


def _type(name: str) -> torch.dtype:
    return torch.float32 if name == "scale" else torch.int8 if name.endswith(".W") else torch.int32


def check(p: Mapping[str, Tensor], config: Config, where: str = "p") -> None:
    """Raise SpikingError unless p is a network: every tensor there, in shape, whole, and within its range."""
    wanted = shapes(config)
    for name in sorted(wanted.keys() | p.keys()):
        found = tuple(p[name].shape) if name in p else None
        if found != wanted.get(name):
            raise SpikingError(
                f"{where}: tensor {name!r} has shape {found}, the sizes say {wanted.get(name)}"
            )
    for name, x in p.items():
        value = x.detach().double()
        low, high = {torch.int8: (-127, 127), torch.int32: (-(2**31) + 1, 2**31 - 1)}.get(_type(name), (0, 0))
        if not torch.isfinite(value).all():
            raise SpikingError(f"{where}: {name} holds NaN or infinity; every value must be finite")
        if name == "scale":
            if value.item() <= 0:
                raise SpikingError(f"{where}: scale {value.item()}: must be above 0")
            continue
        if name.endswith((".theta", ".K", ".unit")):
            low = 1
        if not torch.equal(value, value.round()):
            worst = value.flatten()[(value - value.round()).abs().argmax()].item()
            raise SpikingError(f"{where}: {name} holds {worst}; every value must be whole")
        if value.min() < low or value.max() > high:
            raise SpikingError(
                f"{where}: {name} holds {value.min().item():.0f} to {value.max().item():.0f}; "
                f"must be {low} to {high}"
            )
        if name.endswith(".unit") and int(value).bit_count() != 1:
            raise SpikingError(f"{where}: {name} holds {int(value)}; must be a power of two")


def _most(W: Tensor, low: int, high: int, b: Tensor | float = 0.0) -> float:
    """The largest |W S + b| (or of any partial sum of W S) for counts S from low to high."""
    W = W.double()
    reach = W.clamp(min=0) * high - W.clamp(max=0) * -low, W.clamp(max=0) * high - W.clamp(min=0) * -low
    b = torch.as_tensor(b, dtype=torch.float64)
    return float(torch.stack([(r.sum(-1).abs() + b.abs()).max() for r in reach]).max())


def accumulators(p: Integers, config: Config, bits: int = 4) -> dict[str, int]:
    """The largest |value| that each sum can take, whatever the input: sum |W| S_max + |b| and so on.

    "{i}.query" ... are drives (partial sums included: they can be no larger than the sum of the |terms|),
    "{i}.query.membrane" ... are z - theta S, "x" is the residual stream. The norms (whose sums of |x| and
    shifted drives pass 2^24) are integers in the run and checked there.
    """
    low, high = bounds(SIGNED, bits)
    top, E, L = bounds(UNSIGNED, bits)[1], config.width // config.heads, config.context
    most = max(-low, high)
    found: dict[str, float] = {}
    x = (p["embedding.W"].double().abs().amax(0) * p["embedding.unit"].double()).clone()
    x += p["position.W"].double().abs().amax(0) * p["position.unit"].double()  # (D,): |x| of each channel
    for i in range(config.layers):
        for part in ("query", "key", "value", "up"):
            found[f"{i}.{part}"] = _most(p[f"{i}.{part}.W"], -most, most, p[f"{i}.{part}.b"])
            theta, reach = float(p[f"{i}.{part}.theta"].max()), top if part == "up" else most
            found[f"{i}.{part}.membrane"] = found[f"{i}.{part}"] + reach * theta
        offset = p[f"{i}.attention.offset"].double().abs().max()
        found[f"{i}.attention"] = 3 * E * most * most + float(offset)  # past keys, and q (k - k_past)
        theta = float(p[f"{i}.attention.theta"].max())
        found[f"{i}.attention.membrane"] = found[f"{i}.attention"] + top * theta
        weighed = float((L + 2) * top * most)  # all tokens, and A (v - v_past)
        steepest = float(p[f"{i}.mix.K"].max()) * (L * top + 1)
        found[f"{i}.mix"] = 2**MIX_SHIFT * weighed
        found[f"{i}.mix.membrane"] = found[f"{i}.mix"] + most * steepest
        out, down = p[f"{i}.out.W"].double().abs(), p[f"{i}.down.W"].double().abs()
        found[f"{i}.out"], found[f"{i}.down"] = (
            float((out.sum(1) * most).max()),
            float((down.sum(1) * top).max()),
        )
        x += (
            out.sum(1) * most * p[f"{i}.out.unit"].double() + down.sum(1) * top * p[f"{i}.down.unit"].double()
        )
    found["x"] = float(x.max())
    found["logits"] = _most(p["embedding.W"], -most, most, p["logits.b"])
    return {name: int(value) for name, value in found.items()}


def prove(p: Integers, config: Config, bits: int = 4, where: str = "p") -> dict[str, int]:
    """`accumulators`, all of them below 2^24, or SpikingError that names the one that could pass it."""
    found = accumulators(p, config, bits)
    for name, most in found.items():
        if most >= EXACT:
            raise SpikingError(f"{where}: the sum {name!r} can reach {most}; must stay below 2^24 = {EXACT}")
    return found


@torch.no_grad()
def export(student: Student) -> Integers:
    """The student's integers, checked: float32 tensors of whole numbers. SpikingError if one does not fit."""
    p = {name: x.detach().float().clone() for name, x in student.integers().items()}
    most = -bounds(SIGNED, student.form.bits)[0]
    for name in [key[:-6] for key in p if key.endswith(".theta") and f"{key[:-6]}.W" in p]:
        reach = p[f"{name}.W"].abs().sum(1) * most + p[f"{name}.b"].abs()  # a neuron with 2 reach < theta
        p[f"{name}.theta"] = torch.minimum(p[f"{name}.theta"], 2 * reach + 2)  # is silent: more says no more
    check(p, student.form.config, "the student")
    prove(p, student.form.config, student.form.bits, "the student")
    return p


def save(
    p: Integers, form: Form, name: str, folder: Path | None = None, card: dict[str, Any] | None = None
) -> None:
    """Write NAME.safetensors and NAME.json; the card gets the sizes and the file's SHA-256."""
    folder = folder or FOLDER
    check(p, form.config)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({key: x.detach().to(_type(key)).contiguous() for key, x in sorted(p.items())}, path)
    sizes = {"config": asdict(form.config), "bits": form.bits, "largest_weight": form.largest}
    written = {
        **(card or {}),
        "model": sizes,
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
    }
    (folder / f"{name}.json").write_text(
        json.dumps(written, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def load(name: str = "quantized", folder: Path | None = None) -> Spiking:
    """Read a network, check it, prove that its sums fit.

    Raises SpikingError that names the file and what is wrong: missing, truncated, changed, wrong shape, out
    of range, or sums that float32 could not hold.
    """
    folder = folder or FOLDER
    path, sheet = folder / f"{name}.safetensors", folder / f"{name}.json"
    for file in (sheet, path):
        if not file.is_file():
            raise SpikingError(f"{file}: missing; `neurolab train spiking` makes it")
    try:
        card = json.loads(sheet.read_text(encoding="utf-8"))
        config, bits = Config(**card["model"]["config"]), card["model"]["bits"]
        bounds(SIGNED, bits)
        digest = card["sha256"][path.name]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise SpikingError(f"{sheet}: not a card ({error!r})") from error
    try:
        p = load_file(path)
    except SafetensorError as error:
        raise SpikingError(f"{path}: truncated or not a safetensors file ({error})") from error
    check(p, config, str(path))
    for key, x in p.items():
        if x.dtype != _type(key):
            raise SpikingError(f"{path}: {key} is {x.dtype}; must be {_type(key)}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise SpikingError(
            f"{path}: changed or corrupted (SHA-256 {found[:12]}..., the card says {str(digest)[:12]}...)"
        )
    p = {key: x.float() for key, x in p.items()}
    prove(p, config, bits, str(path))
    return Spiking(p, config, bits, card)
