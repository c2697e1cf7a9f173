"""What chapter 7's explorers compute: one step of the file, and a button's measurements.

n new pieces, past pieces in the cache.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from neurolab import assistant, facts
from neurolab.export.decoder import Decoder, empty_cache, torch_step
from neurolab.tokens import END_ID, encode_question

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


def measure(
    places: Sequence[Place] | None = None,
    questions: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[Place, dict[str, float]]:
    """Export, ask and time each place here: bytes, right and equal (%), step and prompt (times torch).

    questions: how many held-out ones are asked (default ASKED).  A runtime that fails here is left out.
    """
    from neurolab import export
    from neurolab.export import speed

    helper = assistant.load()
    asked = facts.split(SPLIT)[:: max(1, len(facts.split(SPLIT)) // (questions or ASKED))]
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
                    what: speed.ratio(step, ours, helper.model.config, what, 5, 8) for what in speed.CALLS
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
