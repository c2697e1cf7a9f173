"""Float, then int8, then pruned, then distilled: the chain of claim E1, each step on top of the one before.

    float       the network as it was trained, in a safetensors file
    int8        every matrix rounded to 8 bits, a step a channel, nothing trained
    pruned      the same, 70 % of the layers' weights held at 0, and N steps on the right answers
    distilled   the same, and N steps more on the soft answers of the float network
    student     digits only: a smaller network that learns from the float one, then int8 and pruned in the
                same way. There, distilling makes the file smaller, and not only the network better.

Bytes are those of a file that was written and read back (`compressed`): entropy-coded ("bytes"), and with
every code in the same number of bits ("packed_bytes"). Without coding a zero takes as much room as any code,
so that pruning alone makes no file smaller. Beside each trained step stands the control: the float network
trained on for as many steps with the same batches, on the right answers.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from neurolab import assistant, compressed, digit_net, orders, pruning, qat
from neurolab.measurements import Measurement
from neurolab.orders import SUBJECTS, Subject

STEPS = ("float", "int8", "pruned", "distilled")
STUDENT = "student"
BITS = 8
ZEROS = 0.7  # what the claim's size, 100 to 12, takes on both networks
TUNING = {"assistant": 60, "digits": 60}  # N
SEEDS = {"assistant": range(3), "digits": range(8)}
STUDENT_CHANNELS = (14, 28, 56)  # 20,058 parameters beside 25,866: four fifths, as 12 MB are of 15 MB


def steps_of(model: str) -> tuple[str, ...]:
    """The steps that a model is taken through. ValueError for a model there is not."""
    if model not in SUBJECTS:
        raise ValueError(f"model {model!r}: must be one of {', '.join(SUBJECTS)}")
    return (*STEPS, STUDENT) if model == "digits" else STEPS


def float_bytes(model: str, net: nn.Module) -> int:
    """Bytes of the safetensors file of `net`; the assistant's is the shipped one."""
    if model == "assistant":
        return (assistant.FOLDER / assistant.WEIGHTS).stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(net.state_dict(), path)
        return path.stat().st_size


def take(subject: Subject, step: str, seed: int, tuning: int) -> tuple[nn.Module, nn.Module]:
    """The network after `step`, its parametrizations on, and its control; both begin as the float one."""
    net, teacher, control = (subject.network(seed) for _ in range(3))
    if step == STUDENT:
        net = digit_net.trained(seed, channels=STUDENT_CHANNELS, teacher=teacher, soft=0.5)
    if step != "float":
        orders.put_codes(net, BITS)
    if step in ("pruned", "distilled", STUDENT):
        orders.put_mask(net, ZEROS, subject.scope)
        subject.teach(net, tuning, 2 * seed, None, 0.0)
        subject.teach(control, tuning, 2 * seed, None, 0.0)
    if step in ("distilled", STUDENT):
        subject.teach(net, tuning, 2 * seed + 1, teacher, 1.0)
        subject.teach(control, tuning, 2 * seed + 1, None, 0.0)
    return net.eval(), control.eval()


def run(model: str, step: str, seed: int, tuning: int, *, every: int = 1) -> dict[str, Any]:
    """Figures of one row compression.chain: quality and bytes, against the float network and the control.

    exact_match: for the digits, accuracy on the held-out half. Drops are in points. ValueError for a step
    that the model does not have.
    """
    if step not in steps_of(model):
        raise ValueError(f"step {step!r}: must be one of {', '.join(steps_of(model))}")
    subject = SUBJECTS[model]
    net, control = take(subject, step, seed, tuning)
    start = orders.before(subject, 0 if model == "assistant" else seed, every)
    found = start if step == "float" else subject.score(qat.plain(net), every)
    beside = start if step in ("float", "int8") else subject.score(control, every)
    whole = float_bytes(model, subject.network(seed))
    figures: dict[str, Any] = {
        **found,
        "exact_match_drop_points": 100 * (start["exact_match"] - found["exact_match"]),
        "control_exact_match": beside["exact_match"],
        "exact_match_drop_from_control_points": 100 * (beside["exact_match"] - found["exact_match"]),
        f"control_{subject.loss}": beside[subject.loss],
        "float_bytes": whole,
    }
    if step == "float":
        sizes = {"bytes": whole, "packed_bytes": whole}
    else:
        tensors, config = qat.coded(net), subject.config(net)
        sizes = {
            "bytes": compressed.size(tensors, config),
            "packed_bytes": compressed.size(tensors, config, coder="packed"),
        }
        figures["zeros"] = pruning.zeros(net)
    return {
        **figures,
        **sizes,
        "size_ratio": whole / sizes["bytes"],
        "packed_ratio": whole / sizes["packed_bytes"],
    }


def table(model: str, rows: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One entry a step, in the chain's order, from the rows compression.chain among `rows`: means over seeds.

    Keys: step, seeds, exact_match, exact_match_sd (None for one seed), control_exact_match,
    exact_match_drop_points, exact_match_drop_from_control_points, bytes, size_ratio, packed_ratio.
    """
    made = []
    mine = [r for r in rows if r.name == "compression.chain" and r.setting["model"] == model]
    for step in steps_of(model):
        found = [row.figures for row in mine if row.setting["step"] == step]
        if not found:
            continue
        keys = (
            "exact_match",
            "control_exact_match",
            "exact_match_drop_points",
            "exact_match_drop_from_control_points",
            "bytes",
            "size_ratio",
            "packed_ratio",
        )
        means = {key: statistics.fmean(figures[key] for figures in found) for key in keys}
        matches = [figures["exact_match"] for figures in found]
        sd = statistics.stdev(matches) if len(found) > 1 else None
        made.append({"step": step, "seeds": len(found), **means, "exact_match_sd": sd})
    return made
