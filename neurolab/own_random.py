"""Models of the known families with random weights, small ones and one as large as BERT-base: to measure on.

Their weights are those of an untrained network, and everything measured on them is labelled so. Needs [hub].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from neurolab.hub import transformers

SMALL = {"vocabulary": 2000, "width": 128, "layers": 3, "heads": 4, "hidden": 512, "context": 160}
SIZES: dict[str, dict[str, int]] = {
    "small": SMALL,
    "bert-base": {
        "vocabulary": 30522, "width": 768, "layers": 12, "heads": 12, "hidden": 3072, "context": 512,
    },
}  # fmt: skip
CLASSES = {
    "bert": ("BertConfig", "BertModel"),
    "roberta": ("RobertaConfig", "RobertaModel"),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
}


def config(family: str, size: str = "small") -> Any:
    """The config of a family at a size. ValueError for one that there is not."""
    if family not in CLASSES:
        raise ValueError(f"family {family!r}: must be one of {', '.join(CLASSES)}")
    if size not in SIZES:
        raise ValueError(f"size {size!r}: must be one of {', '.join(SIZES)}")
    n = SIZES[size]
    if family == "gpt2":
        given = {"n_embd": n["width"], "n_layer": n["layers"], "n_head": n["heads"], "n_inner": n["hidden"],
                 "n_positions": n["context"]}  # fmt: skip
    else:
        given = {
            "hidden_size": n["width"], "num_hidden_layers": n["layers"], "num_attention_heads": n["heads"],
            "intermediate_size": n["hidden"], "max_position_embeddings": n["context"],
        }  # fmt: skip
    if family in ("llama", "mistral"):
        given["num_key_value_heads"] = n["heads"] // 2
    room = transformers("a random model")
    made = getattr(room, CLASSES[family][0])(vocab_size=n["vocabulary"], **given)
    if family == "gpt2":
        made.bos_token_id = made.eos_token_id = 0
    return made


def make(family: str, folder: Path, *, size: str = "small", seed: int = 0) -> Path:
    """Write a folder with a model of random weights, and give it back."""
    chosen = config(family, size)
    room = transformers("a random model")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = getattr(room, CLASSES[family][1])(chosen).eval()
    folder.mkdir(parents=True, exist_ok=True)
    shown = room.utils.logging.is_progress_bar_enabled()
    room.utils.logging.disable_progress_bar()
    try:
        net.save_pretrained(folder)
    finally:
        if shown:
            room.utils.logging.enable_progress_bar()
    return folder
