"""Another processor: an export run on arm64, which this machine only plays (QEMU's user-mode emulation).

Every instruction of an arm64 Python, of NumPy, of ONNX Runtime or of LiteRT is carried out by QEMU: answers
come from arm64's own kernels; time says nothing. Two traps, both found here: ONNX Runtime picks its kernels
by what the processor says it can, and some of the newest need more than QEMU plays right, so name the core
(`CORES`; "max", QEMU's default, gives wrong 8-bit sums); and the newest of both runtimes stop there on import
or as they load a file, VERSION and LITERT do not.

`prepare` makes the folder: Debian's arm64 Python and libraries, unpacked and not installed, and packages from
the Python index. It needs Debian or Ubuntu with qemu-user-static, and the network, once.

Sources: Debian packages qemu-user-static 7.2 and python3.11; ONNX Runtime's and LiteRT's aarch64 packages on
PyPI.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurolab.export import litert
from neurolab.export.decoder import Step, empty_cache, generate
from neurolab.export.fixed import growing
from neurolab.export.folder import Exported
from neurolab.paths import ROOT
from neurolab.tokens import END_ID, decode, encode_question

HOME = ROOT / ".cache" / "arm64"
QEMU = "qemu-aarch64-static"
CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "max")
VERSION = "1.24.4"
"""Of ONNX Runtime, on the played processor."""
LITERT = "2.0.3"
"""Of LiteRT there."""
WHEELS = (
    f"onnxruntime=={VERSION}",
    "numpy==2.4.6",
    "flatbuffers==25.12.19",
    "protobuf==7.36.2",
    "packaging==26.3",
    f"ai-edge-litert=={LITERT}",
)
DEBIAN = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
LIMIT = 64


def missing(home: Path = HOME) -> list[str]:
    """What is lacking for `run`, in words: QEMU, or the folder that `prepare` makes."""
    lacking = [] if shutil.which(QEMU) else [f"{QEMU} (Debian and Ubuntu: apt install qemu-user-static)"]
    if not (home / "root/usr/bin/python3.11").is_file() or any(
        not (home / "site" / name).is_dir() for name in ("onnxruntime", "ai_edge_litert")
    ):
        lacking.append(f"{home} (made by: python -m neurolab.export.arm64)")
    return lacking


def prepare(home: Path = HOME) -> None:
    """Fetch and unpack Debian's arm64 Python and the packages. RuntimeError without apt-get and dpkg."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise RuntimeError(
            "arm64 packages are unpacked by apt-get and dpkg, of Debian or Ubuntu; neither is here"
        )
    apt, archives = home / "apt", home / "apt/archives"
    for name in ("lists/partial", "archives/partial", "dpkg"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "dpkg/status").touch()
    options = {
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "dpkg/status",
        "Dir::Cache": apt,
        "Dir::Cache::archives": archives,
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Debug::NoLocking": "1",
    }
    own = ["apt-get", "-q", "-y", *(part for k, v in options.items() for part in ("-o", f"{k}={v}"))]
    _call([*own, "update"])
    _call([*own, "install", "--no-install-recommends", "--download-only", *DEBIAN])
    for package in sorted(archives.glob("*.deb")):
        _call(["dpkg", "-x", str(package), str(home / "root")])
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    pip = [sys.executable, "-m", "pip", "download", "-q", "-d", str(home / "wheels"), *platforms]
    _call([*pip, "--python-version", "3.11", "--only-binary=:all:", "--no-deps", *WHEELS])
    for wheel in sorted((home / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(home / "site")


def _call(command: list[str], **more: Any) -> None:
    """Run a command. RuntimeError with the end of what it said, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise RuntimeError(f"{Path(command[0]).name} ended with status {done.returncode}: {' '.join(said)}")


def task(exported: Exported, questions: Sequence[str]) -> dict[str, Any]:
    """What the worker is asked: the questions as ids, and the sizes of the cache."""
    c, tokenizer = exported.config, exported.tokenizer()
    return {
        "prompts": [encode_question(tokenizer, q) for q in questions],
        "cache": [c.layers, 2, c.heads, c.head_size],
        "context": c.context,
        "end": END_ID,
        "limit": LIMIT,
    }


def run(exported: Exported, questions: Sequence[str], core: str, home: Path = HOME) -> dict[str, Any]:
    """The worker's result on the played core: tokens, logits behind each prompt, machine, runtime.

    ValueError for an export that neither ONNX Runtime nor LiteRT reads, or a core that is none of CORES;
    RuntimeError that says what to install if something is missing, and if the worker fails.
    """
    if core not in CORES:
        raise ValueError(f"core {core!r}: must be one of {', '.join(CORES)}")
    models = [name for name in exported.files if name.endswith((".ort", ".onnx", ".tflite"))]
    if len(models) != 1:
        raise ValueError(
            f"{exported.folder}: runtime {exported.runtime}; arm64 runs onnx, ort and litert exports"
        )
    if lacking := missing(home):
        raise RuntimeError(f"arm64 emulation needs {' and '.join(lacking)}")
    environment = {"PYTHONPATH": str(home / "site"), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    python = [QEMU, "-cpu", core, "-L", str(home / "root"), str(home / "root/usr/bin/python3.11"), "-s"]
    if models[0] == litert.FILE:
        served = litert.Served(exported.folder / litert.FILE, python, environment)
        return _step_by_step(growing(served, exported.config, tokens=1), exported, questions)
    with tempfile.TemporaryDirectory() as room:
        asked, told = Path(room) / "task.json", Path(room) / "result.json"
        asked.write_text(json.dumps(task(exported, questions)), encoding="utf-8")
        worker = Path(__file__).with_name("arm64_worker.py")
        _call(
            [*python, str(worker), str(exported.folder / models[0]), str(asked), str(told)], env=environment
        )
        return dict(json.loads(told.read_text(encoding="utf-8")))


def _step_by_step(step: Step, exported: Exported, questions: Sequence[str]) -> dict[str, Any]:
    """What the worker would tell, of a runtime that answers a call at a time."""
    tokenizer, config = exported.tokenizer(), exported.config
    tokens: list[list[int]] = []
    logits: list[list[float]] = []
    for question in questions:
        heard: list[np.ndarray] = []

        def noted(ids: np.ndarray, cache: np.ndarray, heard: list[np.ndarray] = heard) -> Any:
            made = step(ids, cache)
            heard.append(made[0][0])
            return made

        prompt = np.array([encode_question(tokenizer, question)], np.int64)
        tokens.append(generate(noted, config, prompt, LIMIT)[0].tolist())
        logits.append(heard[0].tolist())
    return {"tokens": tokens, "logits": logits, "machine": "aarch64", "runtime": LITERT}


def beside(
    result: dict[str, Any], exported: Exported, here: Step, questions: Sequence[str]
) -> dict[str, Any]:
    """The played processor's result beside the same file run here: figures of a row export.arm64.

    largest_difference: of the logits behind the prompts.  equal_answers_percent: the same text (0 to 100).
    """
    tokenizer, config = exported.tokenizer(), exported.config
    most, equal = 0.0, 0
    for q, tokens, logits in zip(questions, result["tokens"], result["logits"], strict=True):
        prompt = np.array([encode_question(tokenizer, q)], np.int64)
        most = max(most, float(np.abs(here(prompt, empty_cache(config))[0][0] - np.array(logits)).max()))
        wanted = generate(here, config, prompt, LIMIT)[0].tolist()
        equal += decode(tokenizer, tokens) == decode(tokenizer, wanted)
    return {
        "largest_difference": most,
        "equal_answers_percent": 100 * equal / len(questions),
        "questions": len(questions),
        "runtime_version": result["runtime"],
        "machine": result["machine"],
        "note": "emulated: correctness only, no timing",
    }


if __name__ == "__main__":
    prepare()
    print(f"{HOME} is ready: neurolab sweep export --only export.arm64")
