"""A mixture of experts and a depthwise-separable stem: rows sparsity.moe, .moe_balance and .separable.

Both on small tasks of their own, made of the real digits (`expert_net`, `separable`), so that each training
takes a minute or two on one thread.
"""

from __future__ import annotations

from functools import lru_cache, partial

import torch

from neurolab import energy, expert_net, separable
from neurolab.benchmark import paired
from neurolab.expert_net import ExpertConfig, ExpertNet
from neurolab.sweep import Job

SEEDS = (0, 1, 2)
EXPERTS = ((8, 1), (4, 1), (8, 2))  # n, m; all seeds for the first
FRAME = 64  # pixels: the stem's latency is that of a frame of the video task
PAIRS = 31


@lru_cache(maxsize=8)
def network(config: ExpertConfig, seed: int, alpha: float = expert_net.BALANCE) -> ExpertNet:
    """A trained network."""
    return expert_net.trained(config, seed, alpha=alpha)


def _latency(a: torch.nn.Module, b: torch.nn.Module, x: torch.Tensor, name: str) -> dict[str, float]:
    with torch.inference_mode():
        found = paired(lambda: a(x), lambda: b(x), pairs=PAIRS, warmup=5)
    return {
        name: found.median,
        f"{name}_low": found.low,
        f"{name}_high": found.high,
        f"{name}_milliseconds": 1e3 * found.a_seconds,
        f"{name}_milliseconds_other": 1e3 * found.b_seconds,
    }


def moe(experts: int, m: int, seed: int) -> dict[str, float]:
    """Experts against a dense network of as many parameters, and against one of as many operations.

    energy_ratio: the model's usual places, each weight fetched once a picture, as for a clip (`video_cost`);
    _each_use: fetched for every token; _dram: once a picture, out of DRAM.
    """
    torch.set_num_threads(1)
    configs = {kind: ExpertConfig(kind, experts=experts, m=m) for kind in expert_net.KINDS}
    nets = {kind: network(config, seed) for kind, config in configs.items()}
    seen = {kind: expert_net.scores(net) for kind, net in nets.items()}
    routed, dense = configs["experts"], configs["dense"]
    touched = seen["experts"]["touched"]
    once = expert_net.counts(dense, touched), expert_net.counts(routed, touched)
    parameters = {kind: sum(p.numel() for p in net.parameters()) for kind, net in nets.items()}
    found = {f"accuracy_{kind}": 100 * figures["accuracy"] for kind, figures in seen.items()}
    found["accuracy"] = found["accuracy_experts"]
    found["accuracy_drop_points"] = found["accuracy_dense"] - found["accuracy"]
    found |= {
        "busiest": seen["experts"]["busiest"],
        "touched": touched,
        "parameters_ratio": parameters["dense"] / parameters["experts"],
        "operations_ratio": expert_net.macs(dense) / expert_net.macs(routed),
        "energy_ratio": energy.ratio(*once),
        "energy_ratio_each_use": energy.ratio(expert_net.counts(dense), expert_net.counts(routed)),
        "energy_ratio_dram": energy.ratio(*once, energy.Model(weights="DRAM")),
        "energy_ratio_small": energy.ratio(expert_net.counts(configs["small"], touched), once[1]),
    }
    pictures = expert_net.hard_digits(64, 7, test=True)[0]
    found |= _latency(nets["experts"], nets["dense"], pictures[:1], "latency_ratio")
    return found | _latency(nets["experts"], nets["dense"], pictures, "latency_ratio_64")


def without_balance(alpha: float, seed: int) -> dict[str, float]:
    """What the load-balance loss is for: accuracy and the busiest expert's load, by its weight alpha."""
    torch.set_num_threads(1)
    found = expert_net.scores(network(ExpertConfig(), seed, alpha))
    return {**found, "accuracy": 100 * found["accuracy"]}


def stem(seed: int) -> dict[str, float]:
    """The separable stem against the ordinary one: size, operations (64 pixels), time, accuracy (digits)."""
    torch.set_num_threads(1)
    nets = {kind: separable.trained(kind, seed) for kind in separable.KINDS}
    ordinary, light = (nets[kind] for kind in separable.KINDS)
    macs = {kind: sum(separable.macs(kind, FRAME).values()) for kind in separable.KINDS}
    layers = {kind: separable.macs(kind, FRAME)["conv3"] for kind in separable.KINDS}
    parameters = {kind: sum(p.numel() for p in net.parameters()) for kind, net in nets.items()}
    accuracy = {kind: 100 * separable.accuracy(net) for kind, net in nets.items()}
    x = torch.rand(1, FRAME, FRAME, generator=torch.Generator().manual_seed(seed))
    small = x[:, :8, :8].contiguous()
    found = {
        "macs_ratio": macs["ordinary"] / macs["separable"],
        "macs_ratio_layer": layers["ordinary"] / layers["separable"],
        "parameters_ratio": parameters["ordinary"] / parameters["separable"],
        "accuracy": accuracy["separable"],
        "accuracy_ordinary": accuracy["ordinary"],
        "accuracy_drop_points": accuracy["ordinary"] - accuracy["separable"],
    }
    found |= _latency(light, ordinary, x, "latency_ratio")
    return found | _latency(light, ordinary, small, "latency_ratio_8")


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    for experts, m in EXPERTS:
        for seed in SEEDS if (experts, m) == EXPERTS[0] else SEEDS[:1]:
            setting = {"experts": experts, "m": m, "seed": seed, "task": "hard digits"}
            made.append(Job("sparsity.moe", setting, partial(moe, experts, m, seed), 4.0, 6, "simulated"))
    for alpha in (0.0, expert_net.BALANCE):
        make = partial(without_balance, alpha, 0)
        made.append(Job("sparsity.moe_balance", {"alpha": alpha, "seed": 0, "experts": 8}, make, 1.0, 6))
    for seed in SEEDS:
        setting = {"seed": seed, "task": "digits", "frame": FRAME}
        made.append(Job("sparsity.separable", setting, partial(stem, seed), 0.3, 6))
    return made
