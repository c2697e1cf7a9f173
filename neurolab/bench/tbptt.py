"""`neurolab bench tbptt`: what cutting backpropagation through time saves and costs (claim A16).

Two tasks on scikit-learn's digits, both T = 200 steps long, two layers of slow LIF neurons, piecewise-linear
surrogate:

    rows    a digit is shown row by row, each row for 25 steps, and the answer is read in the last 25 steps:
    what the first
            rows should have left behind in the membranes is learned through a gradient that crosses 200 steps
    still   the whole digit is shown all the time, and every step is asked for the answer: nothing needs to be
    remembered

Rows "lif.tbptt" (task rows) and "lif.tbptt_still", setting {T, window, seed, method}: accuracy on the test
digits, memory_ratio (peak bytes that the way back keeps, over full backpropagation), accuracy_drop_points
(full minus this, same seed). Method "checkpointed" has `every` instead of `window`: its gradient is
the full one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from neurolab import bptt, digits
from neurolab.bench.lif import one_thread
from neurolab.benchmark import Finding, Goal, paired
from neurolab.membrane import leak
from neurolab.neurons import lif
from neurolab.surrogates import piecewise_linear

CHAPTER = 2
GOALS: list[Goal] = []  # a claim's evidence, not a goal: the ledger judges it
T, ROWS, HIDDEN, BATCH = 200, 8, 64, 128
WINDOWS = (20, 50, 100)
SEEDS = (0, 1, 2)
INPUTS = {"rows": 8, "still": 64}
NAMES = {"rows": "lif.tbptt", "still": "lif.tbptt_still"}


class Slow(nn.Module):
    """Two layers of LIF neurons with time constants of 10 to 200 steps, and a leaky readout.

    v1(t) = beta v1(t-1) + x(t) W - theta s1(t-1);  v2 likewise from s1(t) R;  y(t) = 0.95 y(t-1) + s2(t) U.
    Memory lives in the membranes alone: with recurrent weights the full gradient over 200 steps exploded
    (norms beyond 1e6), and a baseline that can't be trained would flatter truncation.
    """

    def __init__(self, inputs: int, seed: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)

        def weights(rows: int, columns: int, size: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=source) * size / rows**0.5)

        self.W, self.R = weights(inputs, hidden, 0.5), weights(hidden, hidden, 0.5)
        self.U = weights(hidden, 10, 0.3)
        self.beta = torch.tensor([leak(tau, 1.0) for tau in torch.logspace(1.0, 2.3, hidden).tolist()])
        self.spike = piecewise_linear(1.0)

    def start(self, size: int) -> bptt.State:
        """v1, v2 (size, hidden) and y (size, 10), all zero."""
        hidden = self.W.shape[1]
        return torch.zeros(size, hidden), torch.zeros(size, hidden), torch.zeros(size, 10)

    def forward(self, state: bptt.State, xs: Tensor) -> tuple[bptt.State, Tensor]:
        """xs (t, size, inputs) -> last state, y (t, size, 10)."""
        v1, v2, y = state
        beta = self.beta.expand(v1.shape)
        first = lif(xs @ self.W, beta, 1.0, v0=v1, surrogate=self.spike)
        second = lif(first.s @ self.R, beta, 1.0, v0=v2, surrogate=self.spike)
        read = lif(second.s @ self.U, 0.95, 1.0, "none", v0=y, trace=True)
        return (first.v, second.v, read.v), read.V if read.V is not None else read.s


def show(x: Tensor, task: str, steps: int = T) -> Tensor:
    """Pictures (size, 64) as a sequence: (steps, size, 8) row by row, or (steps, size, 64) standing still."""
    if task == "rows":
        return x.view(-1, ROWS, 8).transpose(0, 1).repeat_interleave(steps // ROWS, dim=0)
    return x.expand(steps, *x.shape)


def loss_of(task: str, labels: Tensor, steps: int = T) -> bptt.Loss:
    """Cross-entropy, a mean over the last eighth of the steps ("rows") or over all ("still")."""
    asked = steps // ROWS if task == "rows" else steps

    def loss(ys: Tensor, first: int) -> Tensor:
        tail = ys[max(0, steps - asked - first) :]
        if tail.shape[0] == 0:
            return ys.sum() * 0
        return cross_entropy(tail.flatten(0, 1), labels.repeat(tail.shape[0])) * tail.shape[0] / asked

    return loss


def backward(net: Slow, xs: Tensor, loss: bptt.Loss, method: str, window: int) -> float:
    """One way back by the method's name; gradients are added to the parameters'."""
    state = net.start(xs.shape[1])
    if method == "full":
        return bptt.full(net, state, xs, loss)
    if method == "truncated":
        return bptt.truncated(net, state, xs, loss, window)
    return bptt.checkpointed(net, state, xs, loss, window, list(net.parameters()))


def peak_bytes(task: str, method: str, window: int) -> int:
    """Most bytes kept for the way back of one batch, the checkpoints' states among them."""
    x, y, _, _ = digits.load()
    net = Slow(INPUTS[task], 0)
    pictures, labels = torch.tensor(x[:BATCH]), torch.tensor(y[:BATCH])
    with bptt.SavedBytes() as saved:
        if method == "checkpointed":
            saved.also(net.start(BATCH) * (T // window))
        backward(net, show(pictures, task), loss_of(task, labels), method, window)
    return saved.peak


def train(task: str, method: str, window: int, seed: int, epochs: int) -> float:
    """Train on the digits, return the share of the test digits that the last step's readout names right."""
    x, y, test_x, test_y = (torch.tensor(a) for a in digits.load())
    net = Slow(INPUTS[task], seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=order).split(BATCH):
            optimiser.zero_grad()
            backward(net, show(x[part], task), loss_of(task, y[part]), method, window)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
        schedule.step()
    with torch.no_grad():
        (_, _, readout), _ = net(net.start(len(test_x)), show(test_x, task))
    return float((readout.argmax(1) == test_y).float().mean())


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """All rows of both tasks; quick: one seed, one epoch."""
    say = progress or (lambda line: None)
    found: list[Finding] = []
    with one_thread():
        for task, epochs in (("rows", 1 if quick else 30), ("still", 1 if quick else 10)):
            whole = peak_bytes(task, "full", T)
            for seed in SEEDS[:1] if quick else SEEDS:
                best = 0.0
                for method, window in [("full", T), *(("truncated", w) for w in WINDOWS)]:
                    say(f"{task}, seed {seed}, {method}, window {window}")
                    accuracy = train(task, method, window, seed, epochs)
                    best = accuracy if method == "full" else best
                    kept = peak_bytes(task, method, window)
                    setting: dict[str, Any] = {"T": T, "window": window, "seed": seed, "method": method}
                    figures = {
                        "accuracy": accuracy,
                        "accuracy_drop_points": 100 * (best - accuracy),
                        "memory_ratio": kept / whole,
                        "peak_bytes": kept,
                    }
                    found.append(Finding(None, name=NAMES[task], setting=setting, figures=figures))
            found.append(_checkpointed(task, WINDOWS[0], whole))
    return found


def _checkpointed(task: str, every: int, whole: int) -> Finding:
    """Memory and time of checkpointing, whose gradient is the full one (how nearly, is a figure)."""
    kept = peak_bytes(task, "checkpointed", every)
    ratio = paired(lambda: _once(task, "checkpointed", every), lambda: _once(task, "full", T), pairs=5)
    figures = {
        "memory_ratio": kept / whole,
        "peak_bytes": kept,
        "gradient_difference": difference(task, every),
        "time_ratio": 1 / ratio.median,
    }
    setting = {"T": T, "every": every, "seed": 0, "method": "checkpointed"}
    return Finding(None, name=NAMES[task], setting=setting, figures=figures)


def _once(task: str, method: str, window: int) -> Slow:
    """One batch there and back; the network with its gradients."""
    x, y, _, _ = (torch.tensor(a[:BATCH]) for a in digits.load())
    net = Slow(INPUTS[task], 0)
    backward(net, show(x, task), loss_of(task, y), method, window)
    return net


def difference(task: str, every: int) -> float:
    """Largest difference between the checkpointed and the full gradient, over the largest gradient."""
    nets = [_once(task, "full", T), _once(task, "checkpointed", every)]
    full, again = (torch.cat([p.grad.flatten() for p in n.parameters() if p.grad is not None]) for n in nets)
    return float((full - again).abs().max() / full.abs().max())
