"""`neurolab bench simulators`: five libraries run "the same" neuron; do they fire alike?

1,000 digits of scikit-learn, each poured pixel by pixel (64 steps) into a neuron with beta = 0.9 and theta =
1. Each library is set as nearly alike as it can be: the same leak, the same input after its own scaling,
reset by subtraction where it has one, no rest after a spike. Rows "lif.simulators", one a library that is
installed: neurons whose spike times differ from snnTorch's, and spikes that differ from the definition that
`neurons.lif` reproduces.

None of norse, SpikingJelly, sinabs and Nengo belongs to the course's environment; what is missing is named
and left out.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from importlib import metadata

import numpy as np
import torch
from torch import Tensor

from neurolab import digits
from neurolab.bench.lif import snntorch_run
from neurolab.benchmark import Finding, Goal
from neurolab.neurons import lif

CHAPTER = 2
GOALS: list[Goal] = []  # evidence for chapter 2's text, no goal
BETA, THETA, STEP = 0.9, 1.0, 0.001  # STEP in seconds, where a library wants one


def drops(count: int = 1000) -> Tensor:
    """Input (64, count): a digit a column, pixel by pixel, 0.6 for black."""
    return 0.6 * torch.tensor(digits.load()[0][:count]).T


def _snntorch(x: Tensor) -> Tensor:
    return snntorch_run(x, BETA, THETA)[0]


def _norse(x: Tensor) -> Tensor:
    box = importlib.import_module("norse.torch.functional.lif_box")
    reset = importlib.import_module("norse.torch.functional.reset")
    p = box.LIFBoxParameters(tau_mem_inv=torch.tensor((1 - BETA) / STEP), reset_method=reset.reset_subtract)
    state, S = box.LIFBoxFeedForwardState(v=torch.zeros_like(x[0])), []
    for x_t in x:
        s, state = box.lif_box_feed_forward_step(x_t / (1 - BETA), state, p, dt=STEP)
        S.append(s)
    return torch.stack(S)


def _spikingjelly(x: Tensor) -> Tensor:
    neuron = importlib.import_module("spikingjelly.activation_based.neuron")
    node = neuron.LIFNode(tau=1 / (1 - BETA), decay_input=False, v_threshold=THETA, v_reset=None)
    with torch.no_grad():
        return torch.stack([node(x_t) for x_t in x])


def _sinabs(x: Tensor) -> Tensor:
    layers = importlib.import_module("sinabs.layers")
    layer = layers.LIF(tau_mem=-1 / math.log(BETA), norm_input=False)
    with torch.no_grad():
        return layer(x.T[:, :, None].contiguous())[:, :, 0].T


def _nengo(x: Tensor) -> Tensor:
    neuron = importlib.import_module("nengo").LIF(tau_rc=-STEP / math.log(BETA), tau_ref=0.0)
    v, rest, out = (np.zeros(x.shape[1]) for _ in range(3))
    S = []
    for current in x.double().numpy() / (1 - BETA):
        neuron.step(STEP, current, out, v, rest)
        S.append(out > 0)
    return torch.tensor(np.array(S), dtype=torch.float32)


# library: (how to run it, which reset of `neurons.lif` is its definition)
LIBRARIES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "snntorch": (_snntorch, "subtract"),
    "norse": (_norse, "subtract first"),
    "spikingjelly": (_spikingjelly, "subtract first"),
    "sinabs": (_sinabs, "subtract first"),
    "nengo": (_nengo, "zero"),
}


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """One finding a library that is installed; quick: 100 digits."""
    say = progress or (lambda line: None)
    x = drops(100 if quick else 1000)
    base, found = _snntorch(x), []
    for library, (simulate, reset) in LIBRARIES.items():
        try:
            spikes = simulate(x)
        except ModuleNotFoundError as missing:
            say(f"{library}: {missing.name} is not installed, left out")
            continue
        say(f"{library} {metadata.version(library)}")
        setting = {
            "library": library, "version": metadata.version(library), "reset": reset,
            "neurons": x.shape[1], "steps": x.shape[0], "beta": BETA, "theta": THETA,
        }  # fmt: skip
        definition = lif(x, BETA, THETA, reset).s
        figures = {
            "neurons_unlike_snntorch": int(torch.ne(spikes, base).any(0).sum()),
            "spikes_unlike_definition": int(torch.ne(spikes, definition).sum()),
            "spikes": int(spikes.sum()),
        }
        found.append(Finding(None, name="lif.simulators", setting=setting, figures=figures))
    return found
