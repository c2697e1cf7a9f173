"""The ONNX files in a browser: rows export.browser, each beside that of floats in this machine's Chromium.

The vendored onnxruntime-web (WebAssembly, one thread) runs the very files that ONNX Runtime runs here; they
take turns, and a round's ratio is the float file's time over the other's. No phone: chapter 7 sets these rows
beside export.latency, the same files on the same processor without a browser.
"""

from __future__ import annotations

import gzip
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurolab import assistant, browser
from neurolab.benchmark import middle, percentile
from neurolab.export.decoder import Step, empty_cache
from neurolab.paths import ROOT
from neurolab.sweep import Job

FORMATS = ("int8", "int8_static", "int4", "int4_unpacked")
WHATS = {"step": (1, 20), "prompt": (18, 0)}
"""A call: (n new pieces, past pieces in the cache)."""
ROUNDS, WARMUP, FILL = 60, 3, 30.0  # FILL: milliseconds that one timing lasts at least, or 200 calls
VENDOR = ROOT / "book" / "phone" / "vendor"
ADDRESS = "http://neurolab.invalid/"
"""Nobody's: every request is answered from memory, and others are refused."""

PAGE = """<!doctype html><title>neurolab</title><script type="module">
import * as ort from "./ort.mjs";
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = await (await fetch("ort.wasm")).arrayBuffer();
const tensor = (type, data, dims) => new ort.Tensor(type, data, dims);
window.measure = async ({names, n, past, shape, ids, rounds, warmup, fill}) => {
  const sessions = {}, feeds = {}, logits = {}, inner = {}, times = {};
  for (const name of names) {
    const bytes = new Uint8Array(await (await fetch(name + ".onnx")).arrayBuffer());
    sessions[name] = await ort.InferenceSession.create(bytes, {executionProviders: ["wasm"]});
    const long = numbers => tensor("int64", BigInt64Array.from(numbers.map(BigInt)), [1, numbers.length]);
    let cache = tensor("float32", new Float32Array(0), shape);
    if (past) cache = (await sessions[name].run({ids: long(ids.slice(0, past)), cache})).new_cache;
    feeds[name] = {ids: long(ids.slice(past, past + n)), cache};
    logits[name] = Array.from((await sessions[name].run(feeds[name])).logits.data);
    for (let i = 0; i < warmup; i++) await sessions[name].run(feeds[name]);
    const start = performance.now();
    await sessions[name].run(feeds[name]);
    const once = Math.max(performance.now() - start, 0.1);
    inner[name] = Math.max(1, Math.min(200, Math.ceil(fill / once)));
    times[name] = [];
  }
  for (let round = 0; round < rounds; round++)
    for (const name of round % 2 ? [...names].reverse() : names) {
      const start = performance.now();
      for (let i = 0; i < inner[name]; i++) await sessions[name].run(feeds[name]);
      times[name].push((performance.now() - start) / inner[name]);
    }
  return {times, logits};
};
window.ready = true;
</script>"""


def served(models: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """Path -> (type, content) of everything that the page asks for. models: an ONNX file by name."""
    script = (VENDOR / "ort.wasm.bundle.min.mjs").read_bytes()
    wasm = gzip.decompress((VENDOR / "ort-wasm-simd-threaded.wasm.gz").read_bytes())
    files = {
        "": ("text/html", PAGE.encode()),
        "ort.mjs": ("text/javascript", script),
        "ort.wasm": ("application/wasm", wasm),
    }
    return files | {f"{name}.onnx": ("application/octet-stream", data) for name, data in models.items()}


def in_browser(
    models: dict[str, bytes], what: str, rounds: int = ROUNDS, fill: float = FILL
) -> tuple[dict[str, list[float]], dict[str, np.ndarray], str]:
    """Time models in turns in Chromium: milliseconds of a call a round, logits (V,), by name; the version.

    what: a key of WHATS. ValueError for another one; BrowserError without Chromium.
    """
    if what not in WHATS:
        raise ValueError(f"what is {what!r}; it must be one of {', '.join(WHATS)}")
    n, past = WHATS[what]
    config = assistant.load().model.config
    ids = pieces(config.vocabulary, n + past)
    asked = {
        "names": list(models), "n": n, "past": past, "shape": list(empty_cache(config).shape),
        "ids": ids[0].tolist(), "rounds": rounds, "warmup": WARMUP, "fill": fill,
    }  # fmt: skip
    files = served(models)

    def answer(route: Any) -> None:
        kind, content = files.get(route.request.url.removeprefix(ADDRESS), ("", None))
        if content is None:
            route.abort()
        else:
            route.fulfill(content_type=kind, body=content)

    with browser.browser() as chromium:
        page = chromium.new_page()
        page.set_default_timeout(600_000)
        page.route("**/*", answer)
        page.goto(ADDRESS)
        page.wait_for_function("window.ready")
        found = page.evaluate("asked => measure(asked)", asked)
        version = chromium.version
    logits = {name: np.array(values, np.float32) for name, values in found["logits"].items()}
    return found["times"], logits, f"Chromium {version}"


def pieces(vocabulary: int, count: int) -> np.ndarray:
    """ids (1, count) int64, the same on every machine."""
    return np.random.default_rng(7).integers(3, vocabulary, (1, count))


def here(step: Step, what: str) -> np.ndarray:
    """The logits (V,) of the same call in ONNX Runtime on this machine."""
    n, past = WHATS[what]
    config = assistant.load().model.config
    ids, cache = pieces(config.vocabulary, n + past), empty_cache(config)
    if past:
        _, cache = step(ids[:, :past], cache)
    return step(ids[:, past:], cache)[0][0]


def figures(format: str, what: str) -> dict[str, Any]:
    """One file beside the float file, and beside 8 bits; its scores beside those on this processor."""
    from neurolab import export

    torch.set_num_threads(1)
    names = list(dict.fromkeys(("fp32", "int8", format)))
    with tempfile.TemporaryDirectory() as folder:
        models, steps = {}, {}
        for name in names:
            made = export.export("onnx", name, Path(folder) / name)
            models[name] = (made.folder / next(iter(made.files))).read_bytes()
            steps[name] = export.open_session(made.folder).run
        times, logits, version = in_browser(models, what)
        differs = float(np.abs(logits[format] - here(steps[format], what)).max())
    against = {
        name: middle([b / a for a, b in zip(times[format], times[name], strict=True)]) for name in names[:2]
    }
    return {
        "ratio_vs_fp32": against["fp32"][0],
        "ratio_vs_fp32_low": against["fp32"][1],
        "ratio_vs_fp32_high": against["fp32"][2],
        "ratio_vs_int8": against["int8"][0],
        "p95_ratio": percentile(times["fp32"], 95) / percentile(times[format], 95),
        "milliseconds": percentile(times[format], 50),
        "milliseconds_fp32": percentile(times["fp32"], 50),
        "largest_difference": differs,
        "browser": version,
    }


def jobs() -> list[Job]:
    """Every row of this module."""
    return [
        Job("export.browser", {"format": name, "what": what}, partial(figures, name, what), 2.0, 7)
        for name in FORMATS
        for what in WHATS
    ]
