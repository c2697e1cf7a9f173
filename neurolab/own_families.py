"""The Transformers that `neurolab compress` knows: how each names its weights, and in which order they work.

A family is found by the folder's config.json ("model_type"). What is not listed here is refused by name: a
matrix whose place in the network is not known could be rounded, but not tested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """One kind of Transformer.

    prefix: before the names of the bare network, in the file of one with a head.  blocks: the list of its
    blocks.  stages: the matrices in a block, those that read the same input together, in the order of work.
    final: the norm behind the last block ("": none).  flipped: a matrix is stored as (inputs, outputs).
    ready: what a file may hold but Transformers makes itself.
    """

    name: str
    prefix: str
    blocks: str
    stages: tuple[tuple[str, ...], ...]
    final: str = ""
    flipped: bool = False
    ready: tuple[str, ...] = ()

    def bare(self, name: str) -> str:
        """A weight's name in the bare network, from its name in a file, old spellings made new."""
        name = name.removeprefix(f"{self.prefix}.")
        return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))

    def block(self, name: str) -> int | None:
        """The number of the block that a weight belongs to; None outside of the blocks."""
        found = re.match(rf"{re.escape(self.blocks)}\.(\d+)\.", self.bare(name))
        return int(found[1]) if found else None

    def linear(self, name: str) -> bool:
        """Whether this is one of the matrices of `stages`."""
        inside = re.sub(rf"^{re.escape(self.blocks)}\.\d+\.", "", self.bare(name))
        return self.block(name) is not None and inside in {f"{m}.weight" for s in self.stages for m in s}

    def made(self, name: str) -> bool:
        """Whether Transformers makes this tensor itself, so that no file needs it."""
        return any(f".{self.bare(name)}".endswith(f".{end}") for end in self.ready)


_BERT = (
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    ("attention.output.dense",),
    ("intermediate.dense",),
    ("output.dense",),
)
_GPT2 = (("attn.c_attn",), ("attn.c_proj",), ("mlp.c_fc",), ("mlp.c_proj",))
_LLAMA = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("bert", "bert", "encoder.layer", _BERT, ready=("position_ids",)),
        Family("roberta", "roberta", "encoder.layer", _BERT, ready=("position_ids",)),
        Family("gpt2", "transformer", "h", _GPT2, "ln_f", True, ("attn.bias", "attn.masked_bias")),
        Family("llama", "model", "layers", _LLAMA, "norm", ready=("rotary_emb.inv_freq",)),
        Family("mistral", "model", "layers", _LLAMA, "norm", ready=("rotary_emb.inv_freq",)),
    )
}


def family(config: Mapping[str, Any], where: str) -> Family:
    """The family of a config.json. ValueError that names what is not known, beginning with `where`."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(f"{where}: model_type {str(kind)[:60]!r} is none of those known here ({known})")
    for name, why in (
        ("quantization_config", "it is quantized already"),
        ("add_cross_attention", "attention from one network to another is not known here"),
        ("auto_map", "it needs code of its own, which is not run"),
    ):
        if config.get(name):
            raise ValueError(f"{where}: {name} is set in config.json: {why}")
    return FAMILIES[str(kind)]
