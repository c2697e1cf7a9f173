"""What chapter 7's explorers compute: one step of the file, its graph, and a button's measurements.

n new pieces, past pieces in the cache, V pieces in the vocabulary; a graph is an ONNX model.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurolab import assistant, facts
from neurolab.export.decoder import Decoder, Step, empty_cache, torch_step
from neurolab.tokens import END_ID, encode_question

if TYPE_CHECKING:
    import onnx

QUESTIONS = {
    "in English": "In the territory Thailand, which money do people use?",
    "in Thai": "สกุลเงินของดินแดนญี่ปุ่น คืออะไร",
}
STEPS = 12
"""Calls that the first explorer can show; a shorter answer stands still at its end."""
LEADERS = 5
SPLIT = "held_out"


# ---- one step ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _walk(question: str) -> list[dict[str, Any]]:
    """The calls that answer a question: pieces that go in, pieces seen before, the leaders that come out."""
    helper = assistant.load()
    config = helper.model.config
    step = torch_step(Decoder(helper.model))
    ids = np.array([encode_question(helper.tokenizer, question)], np.int64)
    cache = empty_cache(config)
    calls: list[dict[str, Any]] = []
    while len(calls) < STEPS:
        past = cache.shape[4]
        logits, cache = step(ids, cache)
        p = np.exp(logits[0] - logits[0].max())
        p /= p.sum()
        best = np.argsort(-p, kind="stable")[:LEADERS]
        calls.append({"ids": ids[0].tolist(), "past": past, "best": best.tolist(), "p": 100 * p[best]})
        if best[0] == END_ID:
            break
        ids = best[None, :1].astype(np.int64)
    return calls


def pieces(ids: Sequence[int]) -> list[str]:
    """What a reader sees for each piece: its text, or its number where it is no whole character."""
    tokenizer = assistant.load().tokenizer
    found = []
    for i in ids:
        text = tokenizer.decode([i], skip_special_tokens=False)
        text = "" if "\ufffd" in text else text.strip()
        mark = (
            "\u25cc" if text and unicodedata.category(text[0]) == "Mn" else ""
        )  # a Thai mark needs something to stand on
        found.append(mark + text or f"[{i}]")
    return found


def stepped(question: str, call: int) -> dict[str, Any]:
    """One call of the exported step: what goes in, how long the cache is, what comes out.

    question: a key of QUESTIONS.  call: 0 .. STEPS - 1.  ValueError for others.
    piece (5,), p (5,) in %: the leaders, the last one at the bottom.  old, new: bars, in pieces.
    """
    if question not in QUESTIONS or not 0 <= call < STEPS:
        raise ValueError(
            f"question {question!r}, call {call}: {', '.join(QUESTIONS)} and 0 to {STEPS - 1} are there"
        )
    calls = _walk(QUESTIONS[question])
    now = calls[min(call, len(calls) - 1)]
    n, past = len(now["ids"]), now["past"]
    helper = assistant.load()
    c = helper.model.config
    size = 4 * c.layers * 2 * c.heads * c.head_size * (past + n)
    made = [one["best"][0] for one in calls[: min(call, len(calls) - 1) + 1]]
    given = f"{n} pieces, the whole question" if past == 0 else f'one piece, "{pieces(now["ids"])[0]}"'
    said = helper.tokenizer.decode([i for i in made if i != END_ID])
    at = min(call, len(calls) - 1) + 1
    end = ", and there it ends" if now["best"][0] == END_ID else ""
    leaders = pieces(now["best"])
    return {
        "piece": [f"{i + 1}. {text}" for i, text in enumerate(leaders)],
        "p": now["p"],
        "shares": [f"{x:.1f}%" for x in now["p"]],
        "old": np.array([past]),
        "new": np.array([n]),
        "room": np.array([c.context - past - n]),
        "words": f"call {at}: in go {given}, and a cache of {past} pieces; out come "
        f"{c.vocabulary:,} scores and a cache of {past + n}, {size / 1024:.0f} KiB. The answer so far: "
        f'"{said}"{end}',
    }  # fmt: skip


# ---- the graph --------------------------------------------------------------------------------------------

KINDS = {
    "matrix product": {"MatMul", "Gemm"},
    "of whole numbers": {"MatMulInteger", "QLinearMatMul", "MatMulNBits", "DynamicQuantizeMatMul", "QGemm",
                         "MatMulIntegerToFloat"},
    "to and from codes": {"DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "Cast"},
    "arithmetic": {"Mul", "Add", "Sub", "Div", "Gelu", "Softmax", "LayerNormalization", "Erf", "Sqrt", "Pow",
                   "LessOrEqual", "Where", "ReduceMean", "Tanh", "Max", "Min", "Neg", "And", "Not", "Or"},
}  # fmt: skip
OTHER = "moving numbers about"


def kind_of(operator: str) -> str:
    """The kind (a key of KINDS, or OTHER) of an ONNX operator."""
    return next((kind for kind, names in KINDS.items() if operator in names), OTHER)


def counted(graph: onnx.ModelProto) -> Counter[str]:
    """How many operators of each kind a graph holds."""
    return Counter(kind_of(node.op_type) for node in graph.graph.node)


def feed_forward(graph: onnx.ModelProto) -> list[Any]:
    """The nodes between the last layer norm but one and the addition behind it: the last block's two large
    matrices and what stands between them. ValueError where a graph has no two layer norms."""
    nodes = list(graph.graph.node)
    norms = [i for i, node in enumerate(nodes) if node.op_type == "LayerNormalization"]
    if len(norms) < 2:
        raise ValueError(f"graph with {len(norms)} layer norms: at least 2 are needed")
    made_by = {name: node for node in nodes for name in node.output}
    start, end = nodes[norms[-2]], made_by[_behind(nodes, norms[-1])]
    inside: dict[str, Any] = {}

    def back(name: str) -> bool:
        """Whether `name` comes, by whatever way, from the first norm; nodes on the way are kept."""
        node = made_by.get(name)
        if node is None:
            return False
        if node is start:
            return True
        if node.output[0] in inside:
            return bool(inside[node.output[0]])
        inside[node.output[0]] = None  # not known yet; graphs have no rings
        found = [back(source) for source in node.input]
        inside[node.output[0]] = node if any(found) else None
        return any(found)

    back(end.output[0])
    kept = {id(node) for node in inside.values() if node is not None}
    return [node for node in nodes if id(node) in kept]


def _behind(nodes: list[Any], norm: int) -> str:
    """The addition that a layer norm reads: the first input, seen through slices and gathers."""
    made_by = {name: node for node in nodes for name in node.output}
    name = nodes[norm].input[0]
    while made_by[name].op_type in ("Gather", "Slice", "Squeeze", "Reshape"):
        name = made_by[name].input[0]
    return str(name)


def drawn(graph: onnx.ModelProto) -> dict[str, Any]:
    """The feed-forward part of the last block as boxes and arrows, and the operators of the whole graph.

    x, y (m,): boxes, rows from top to bottom; name (m,): operators; group (m,): number of the kind.
    line x, line y: arrows, NaN between them.  count (5,): operators of each kind in the whole graph.
    """
    nodes = feed_forward(graph)
    made_by = {name: i for i, node in enumerate(nodes) for name in node.output}
    depth: list[int] = []
    for node in nodes:
        before = [
            depth[made_by[name]] for name in node.input if name in made_by and made_by[name] < len(depth)
        ]
        depth.append(1 + max(before, default=0))
    rows = Counter(depth)
    place: Counter[int] = Counter()
    x, y = [], []
    for level in depth:
        x.append(place[level] - (rows[level] - 1) / 2)
        y.append(-float(level))
        place[level] += 1
    line_x, line_y = [], []
    for i, node in enumerate(nodes):
        sources = [(x[made_by[n]], y[made_by[n]]) for n in node.input if n in made_by]
        for from_x, from_y in sources:
            line_x += [from_x, x[i], np.nan]
            line_y += [from_y, y[i], np.nan]
        if not sources:
            line_x += [0.0, x[i], np.nan]
            line_y += [0.0, y[i], np.nan]
    kinds = [*KINDS, OTHER]
    counts = counted(graph)
    return {
        "x": np.array(x), "y": np.array(y), "name": [node.op_type for node in nodes],
        "group": np.array([kinds.index(kind_of(node.op_type)) for node in nodes]),
        "line x": np.array(line_x), "line y": np.array(line_y),
        "kind": kinds, "count": np.array([counts.get(kind, 0) for kind in kinds]),
    }  # fmt: skip


# ---- the button -------------------------------------------------------------------------------------------

Place = tuple[str, str]
"""(runtime, precision)."""
ASKED = 400


def here() -> list[Place]:
    """Every runtime and precision that can be exported and run on this machine now."""
    from neurolab.export import RUNTIMES

    return [
        (name, precision)
        for name, runtime in RUNTIMES.items()
        if runtime.runs_here and not runtime.missing() and name != "litert"
        for precision in runtime.precisions
    ]


def calls(step: Step, n: int = 1, past: int = 20) -> Callable[[], Any]:
    """One call of a step with n new pieces behind `past` others, for a clock. Its cache is a real one."""
    helper = assistant.load()
    config = helper.model.config
    room = np.random.default_rng(7).integers(3, config.vocabulary, (1, past + n))
    cache = empty_cache(config)
    if past:
        _, cache = step(room[:, :past], cache)
    return partial(step, room[:, past:], cache)


def measure(
    places: Sequence[Place] | None = None,
    questions: int = ASKED,
    progress: Callable[[float], None] | None = None,
) -> dict[Place, dict[str, float]]:
    """Export, ask and time each place here: bytes, right and equal (%), step and prompt (times torch).

    questions: how many held-out ones are asked.  A runtime that fails here is left out.
    """
    from neurolab import export
    from neurolab.pruned_speed import undisturbed

    helper = assistant.load()
    asked = facts.split(SPLIT)[:: max(1, len(facts.split(SPLIT)) // questions)]
    ours = torch_step(Decoder(helper.model))
    wanted = list(here() if places is None else places)
    found: dict[Place, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, precision) in enumerate(wanted):
            at = Path(folder) / f"{name}-{precision}"
            try:
                export.export(name, precision, at, assistant=helper)
                told = export.compare(at, helper, asked)
                step = export.open_session(at).run
                made = {
                    what: undisturbed(calls(step, n, past), calls(ours, n, past), 5, 8).median
                    for what, (n, past) in {"step": (1, 20), "prompt": (18, 0)}.items()
                }
            except (RuntimeError, OSError):  # a kernel or a package that this machine lacks
                continue
            finally:
                if progress:
                    progress((i + 1) / len(wanted))
            found[name, precision] = made | {
                "bytes": told["bytes"], "right": 100 * told["exact_match"],
                "equal": 100 * told["equal_answers"],
            }  # fmt: skip
    return found
