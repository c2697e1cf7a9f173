"""A small network, and its decoder."""

import pytest
import torch

from neurolab.assistant import Assistant
from neurolab.export.decoder import Decoder
from neurolab.paths import DATA
from neurolab.tokens import load_tokenizer
from neurolab.transformer import Config, Transformer

CONFIG = Config(vocabulary=1024, context=40, width=64, layers=2, heads=2, hidden=96)


@pytest.fixture(scope="session")
def assistant() -> Assistant:
    """An untrained network of the course's kind, with the real tokenizer."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(CONFIG).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                p.mul_(4)  # as a trained one: scores far enough apart to have an order
    return Assistant(model, load_tokenizer(DATA / "assistant" / "tokenizer.json"), {})


@pytest.fixture(scope="session")
def decoder(assistant: Assistant) -> Decoder:
    return Decoder(assistant.model)
