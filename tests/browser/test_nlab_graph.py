"""A compressed file's weights in a graph without weights, run by the page's own ONNX Runtime in Chromium."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch

from neurolab import compressed
from neurolab.export import graph_only
from neurolab.export.decoder import Decoder, empty_cache, torch_step
from neurolab.paths import DATA, ROOT
from neurolab.quantized import values
from neurolab.transformer import Config, Transformer

PHONE = ROOT / "book" / "phone"
RUN = """async ([graph, weights, full, ids, sizes]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const ort = await import("/vendor/ort.wasm.bundle.min.mjs");
  const { sessionOptions, unpack } = await import("/nlab.mjs");
  const packed = await (await fetch("/vendor/ort-wasm-simd-threaded.wasm.gz")).blob();
  const plain = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  ort.env.wasm.wasmBinary ??= await new Response(plain).arrayBuffer();
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const run = async (model, options) => {
    const session = await ort.InferenceSession.create(model, { ...options, executionProviders: ["wasm"] });
    const found = [];
    let cache = new ort.Tensor("float32", new Float32Array(0), sizes);
    for (const some of ids) {
      const tensor = new ort.Tensor("int64", BigInt64Array.from(some, BigInt), [1, some.length]);
      const out = await session.run({ ids: tensor, cache });
      found.push(Array.from(out.logits.data));
      cache = out.new_cache;
    }
    await session.release();
    return found;
  };
  const { tensors, header } = await unpack(bytes(weights));
  const light = await run(bytes(graph), sessionOptions(bytes(graph), tensors));
  const heavy = await run(bytes(full));
  return { light, heavy, config: header.config };
}"""

REFUSED = """async ([graph, weights]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const { NlabError, read, externalData } = await import("/nlab.mjs");
  try {
    const found = externalData(read(bytes(weights)).tensors, bytes(graph));
    return found.map(({ path, data }) => [path, data.length]);
  } catch (error) {
    if (!(error instanceof NlabError)) throw error;
    return error.message;
  }
}"""

SMALL = Config(vocabulary=40, context=8, width=8, layers=2, heads=2, hidden=16, head=3)
GRAPH = graph_only.graph(SMALL)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing: the tests' output is not for it."""


@pytest.fixture(scope="module")
def page(chromium: Any) -> Iterator[Any]:
    """An empty page of a server that serves book/phone on the loopback address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=PHONE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = chromium.new_context()
        opened = context.new_page()
        opened.goto(f"http://127.0.0.1:{server.server_port}/nlab.mjs")
        yield opened
        context.close()
        server.shutdown()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def file_of(config: Config, seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    return compressed.encode(Transformer(config).state_dict(), config=vars(config))


@pytest.mark.parametrize("name", ["ptq12", "qat18"])
def test_the_same_logits_as_with_the_weights_inside(page: Any, name: str) -> None:
    """In the page's runtime to the last bit; and torch's own, as near as another processor's order allows."""
    data = (DATA / "compressed" / f"{name}.nlab").read_bytes()
    loaded = compressed.decode(data)
    model = loaded.model()
    graph = graph_only.graph(model)
    asked = [[300, 17, 512, 33, 1], [7], [640]]
    sizes = list(empty_cache(model.config).shape)
    full = graph_only.fill(graph, values(loaded.tensors))
    found = page.evaluate(RUN, [text(graph), text(data), text(full), asked, sizes])
    assert found["config"] == loaded.config
    assert found["light"] == found["heavy"]
    step, cache = torch_step(Decoder(model)), empty_cache(model.config)
    for ids, got in zip(asked, found["light"], strict=True):
        logits, cache = step(np.array([ids], np.int64), cache)
        assert np.abs(logits[0] - np.array(got)).max() < 1e-3
        assert int(logits[0].argmax()) == int(np.argmax(got))


def test_every_weight_is_given_with_its_location(page: Any) -> None:
    found = page.evaluate(REFUSED, [text(GRAPH), text(file_of(SMALL))])
    model = Transformer(SMALL).state_dict()
    wanted = {where: graph_only.follow(where, model).nbytes for where in graph_only.locations(GRAPH).values()}
    assert dict(found) == wanted
    assert len(found) == len(wanted)


def test_a_graph_of_another_network(page: Any) -> None:
    for sizes, said in (
        ({"layers": 1}, "the graph asks for the weight blocks.1.norm1.weight, which the file does not hold"),
        ({"hidden": 24}, "the graph's weight layers.0.up.weight has shape (8, 16), the file's (8, 24)"),
    ):
        other = file_of(Config(**{**vars(SMALL), **sizes}))
        assert page.evaluate(REFUSED, [text(GRAPH), text(other)]) == said


def test_a_graph_that_is_none(page: Any) -> None:
    weights = text(file_of(SMALL))
    full = graph_only.fill(GRAPH, Transformer(SMALL).state_dict())
    for bad, said in (
        (b"", "the graph asks for no weights"),
        (full, "the graph asks for no weights"),
        (GRAPH[: len(GRAPH) // 2], "the graph is no ONNX, or cut off"),
        (gzip.compress(GRAPH), "the graph is no ONNX, or cut off"),
        (b"\xff" * 40, "the graph is no ONNX, or cut off"),
    ):
        assert page.evaluate(REFUSED, [text(bad), weights]) == said
