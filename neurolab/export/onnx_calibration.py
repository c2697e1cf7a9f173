"""The ranges that static quantization needs: what goes into each matrix, seen on training questions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from neurolab.export.decoder import Decoder, batches, empty_cache
from neurolab.export.onnx_graph import build

QUESTIONS = 512
"""Training questions that the ranges are taken from, spread evenly over the split."""


def ranges(decoder: Decoder, questions: Sequence[str] | None = None) -> dict[str, tuple[float, float]]:
    """Lowest and highest number that goes into each product, by the name of its node.

    The float graph is run with those numbers as further outputs, on the prompts and on the first tokens that
    it answers. questions: default, `QUESTIONS` of the training split (the held-out ones are not looked at).
    """
    from neurolab import assistant, facts
    from neurolab.export.onnx_file import session
    from neurolab.tokens import load_tokenizer

    if questions is None:
        every = facts.split("train")
        questions = [q.text for q in every[:: max(1, len(every) // QUESTIONS)]][:QUESTIONS]
    tokenizer = load_tokenizer(assistant.FOLDER / assistant.TOKENIZER)
    model = build(decoder)
    products = {n.name: n.input[0] for n in model.graph.node if n.op_type in ("MatMul", "Gemm")}
    watched = sorted(set(products.values()))
    known = {value.name for value in model.graph.output}
    for name in watched:
        if name not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    opened = session(model.SerializeToString())
    names = ["logits", "new_cache", *watched]
    low, high = dict.fromkeys(watched, np.inf), dict.fromkeys(watched, -np.inf)
    for _, prompts in batches(decoder.config, tokenizer, questions):
        ids, cache = prompts, empty_cache(decoder.config, len(prompts))
        for _ in range(1 + min(4, decoder.config.context - prompts.shape[1])):
            logits, cache, *seen = opened.run(names, {"ids": ids, "cache": cache})
            for name, x in zip(watched, seen, strict=True):
                low[name] = min(low[name], float(x.min()))
                high[name] = max(high[name], float(x.max()))
            ids = logits.argmax(-1)[:, None].astype(np.int64)
    return {node: (low[name], high[name]) for node, name in products.items()}
