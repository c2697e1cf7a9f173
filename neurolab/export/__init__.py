"""Ways out of the course: the assistant and other networks, in formats that other programs read.

Chapter 7's runtimes have one interface: `export` writes a folder, `open_session` runs one, `compare` holds it
beside torch. Each runtime is a module of this package with

- ``export(decoder, folder, precision) -> dict | None``: writes the runtime's own files into the folder. What
  it returns is noted in config.json; "cache" ("growing" if absent, or "fixed") and "about" (for the card)
  have places of their own;
- ``open(folder) -> Step``: the step function (`decoder.Step`) of such a folder.

It is imported when it is needed, so an extra that is not installed is missed only then. Beside them:
`nir` and `nir_block` (extra `nir`) and `chips`, chapter 3's ways out for spiking networks.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from neurolab.assistant import Assistant
    from neurolab.export.decoder import Step
    from neurolab.export.folder import Exported
    from neurolab.facts import Question


class ExtraMissing(ImportError, ValueError):
    """A runtime's optional package is not installed; the message names the extra and the command."""


@dataclass(frozen=True)
class Runtime:
    """A runtime of chapter 7.

    extra: the optional dependencies that it needs, or "" for none.  needs: the packages that must be there.
    precisions: what its module exports.  runs_here: whether a file can be run on this kind of machine.
    batch: the most sequences that its step takes at once.
    """

    name: str
    title: str
    module: str
    precisions: tuple[str, ...]
    extra: str = ""
    needs: tuple[str, ...] = ()
    runs_here: bool = True
    batch: int = 256

    def missing(self) -> list[str]:
        """The needed packages that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def load(self) -> ModuleType:
        """The runtime's module. ExtraMissing names the extra and the command that installs it."""
        if lacking := self.missing():
            raise ExtraMissing(
                f"runtime {self.name} needs {', '.join(lacking)}, the extra {self.extra!r}; in the course's "
                f"folder: pip install -c constraints.txt -e '.[{self.extra}]'"
            )
        return importlib.import_module(f"neurolab.export.{self.module}")


_ONNX = ("fp32", "int8", "int8_static", "int4")
RUNTIMES: dict[str, Runtime] = {
    r.name: r
    for r in (
        Runtime("onnx", "ONNX, run by ONNX Runtime", "onnx_file", (*_ONNX, "int4_unpacked", "exported")),
        Runtime("ort", "ORT format, for ONNX Runtime Mobile and Web", "ort", _ONNX),
        Runtime(
            "executorch",
            "ExecuTorch with XNNPACK",
            "executorch",
            ("fp32", "int8", "int4"),
            "executorch",
            ("executorch",),
            batch=1,
        ),
        Runtime(
            "coreml",
            "Core ML",
            "coreml",
            ("fp16", "int8", "palette4", "pruned"),
            "coreml",
            ("coremltools",),
            runs_here=False,
            batch=1,
        ),
        Runtime(
            "openvino",
            "OpenVINO with NNCF",
            "openvino",
            ("fp32", "int8", "int4"),
            "openvino",
            ("openvino", "nncf"),
        ),
        Runtime("litert", "LiteRT, formerly TensorFlow Lite", "litert", ("fp32", "int8"), batch=1),
    )
}


def runtime(name: str, precision: str | None = None) -> Runtime:
    """The runtime of this name. ValueError for another, or for a precision that it does not have."""
    if name not in RUNTIMES:
        raise ValueError(f"runtime {name!r}: must be one of {', '.join(RUNTIMES)}")
    found = RUNTIMES[name]
    if precision is not None and precision not in found.precisions:
        raise ValueError(f"precision {precision!r}: {name} has {', '.join(found.precisions)}")
    return found


@dataclass(frozen=True)
class Session:
    """An export, opened: `step` is the runtime's, `answers` asks it questions."""

    exported: Exported
    run: Step
    batch: int = 256

    def step(self, ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ids (B, n), cache (layers, 2, B, H, past, E) -> logits (B, V), new cache. ValueError for sizes."""
        from neurolab.export.decoder import check_call

        check_call(self.exported.config, ids, cache)
        return self.run(ids, cache)

    def answers(self, questions: Sequence[str]) -> list[str]:
        """Greedy answers, in order."""
        from neurolab.export.decoder import answers

        tokenizer = self.exported.tokenizer()
        return answers(self.run, self.exported.config, tokenizer, questions, batch=self.batch)


def source_names() -> list[str]:
    """The networks that can be exported by name: the assistant, chapter 5's files, chapter 3's networks."""
    from neurolab.export.sources import SPIKING
    from neurolab.paths import DATA

    return ["assistant", *sorted(path.stem for path in (DATA / "compressed").glob("*.nlab")), *SPIKING]


def source(name: str = "assistant") -> Assistant:
    """The network of this name, with the assistant's tokenizer. ValueError for one that there is not.

    A spiking network is no Transformer: its `model` is a `SpikingDecoder`, which has a `config` and a step.
    """
    from dataclasses import replace

    from neurolab import assistant, compressed
    from neurolab.export.sources import SPIKING, spiking
    from neurolab.paths import DATA

    if name not in source_names():
        raise ValueError(f"model {name!r}: must be one of {', '.join(source_names())}")
    ours = assistant.load()
    if name == "assistant":
        return ours
    if name in SPIKING:
        return replace(ours, model=spiking(name))  # type: ignore[arg-type]
    return replace(ours, model=compressed.load(DATA / "compressed" / f"{name}.nlab").model().eval())


def export(
    runtime_name: str,
    precision: str,
    folder: Path | str,
    *,
    assistant: Assistant | None = None,
    name: str = "assistant",
    decoder: nn.Module | None = None,
) -> Exported:
    """Write the folder of one runtime and precision; an older export that stands there is replaced.

    assistant: the network and its tokenizer (default: the one called `name`, see `source`).  name: what the
    network is called in config.json.  decoder: another step than `Decoder(assistant.model)`, for a network of
    another kind; it needs `config`. The folder appears whole or not at all.
    """
    chosen = runtime(runtime_name, precision)
    module = chosen.load()
    from neurolab.export.folder import Writing, finish, read
    from neurolab.export.sources import check_choice, step_of

    check_choice(name, runtime_name, precision)
    given = assistant or source(name)
    step = decoder if decoder is not None else step_of(given.model)
    folder = Path(folder)
    with Writing(folder) as made:
        notes = dict(module.export(step, made, precision) or {})
        finish(
            made,
            given.tokenizer,
            given.model.config,
            runtime=runtime_name,
            precision=precision,
            model=name,
            cache=notes.pop("cache", "growing"),
            about=notes.pop("about", ""),
            notes=notes,
        )
    return read(folder)


def open_session(folder: Path | str) -> Session:
    """Check an export's folder and open it with its runtime.

    Raises ExportError for a damaged folder, ExtraMissing without the extra, RuntimeError for a runtime that
    can't run on this machine.
    """
    from neurolab.export.folder import ExportError, read

    exported = read(folder)
    if exported.runtime not in RUNTIMES:
        raise ExportError(f"{folder}: runtime {exported.runtime!r}; this course knows {', '.join(RUNTIMES)}")
    chosen = RUNTIMES[exported.runtime]
    if not chosen.runs_here:
        raise RuntimeError(f"{folder}: {chosen.title} can't run here; its file can only be inspected")
    return Session(exported, chosen.load().open(exported.folder), chosen.batch)


def compare(folder: Path | str, assistant: Assistant, questions: Sequence[Question]) -> dict[str, Any]:
    """An export beside its original in torch, on these questions.

    assistant: the original.  Figures: exact_match and exact_match_torch in [0, 1], equal_answers (the share
    of questions that both answer with the same text), largest_difference (of the logits behind the prompt,
    all questions), bytes (the runtime's files). ValueError without questions.
    """
    if not questions:
        raise ValueError("questions []: must hold at least one question")
    from neurolab.export.decoder import answers, largest_difference, torch_step
    from neurolab.export.sources import step_of
    from neurolab.tokens import exact_match

    opened = open_session(folder)
    ours = torch_step(step_of(assistant.model))
    texts = [q.text for q in questions]
    config = assistant.model.config
    theirs, wanted = opened.answers(texts), answers(ours, config, assistant.tokenizer, texts)
    right = [
        [exact_match(a, q.answer) for a, q in zip(some, questions, strict=True)] for some in (theirs, wanted)
    ]
    return {
        "exact_match": sum(right[0]) / len(texts),
        "exact_match_torch": sum(right[1]) / len(texts),
        "equal_answers": sum(a == b for a, b in zip(theirs, wanted, strict=True)) / len(texts),
        "largest_difference": largest_difference(
            opened.run, ours, config, assistant.tokenizer, texts, batch=opened.batch
        ),
        "bytes": opened.exported.bytes,
    }
