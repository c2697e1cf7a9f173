"""Codes and steps, and what a quantized assistant is worth."""

import pytest
import torch

from neurolab import assistant, facts, quantized
from neurolab.quantized import Coded, put, values


def coded(q, step, zero=None):
    return Coded(torch.tensor(q, dtype=torch.int16), torch.tensor(step, dtype=torch.float32), zero)


def test_a_step_serves_the_tensor_a_row_a_column_or_a_group():
    q = [[1, 2, 3, 4], [-1, 0, 5, 6]]
    assert coded(q, 0.5).value().tolist() == [[0.5, 1, 1.5, 2], [-0.5, 0, 2.5, 3]]
    assert coded(q, [[1.0], [2.0]]).value().tolist() == [[1, 2, 3, 4], [-2, 0, 10, 12]]
    assert coded(q, [[1.0, 2, 3, 4]]).value().tolist() == [[1, 4, 9, 16], [-1, 0, 15, 24]]
    assert coded(q, [[1.0, 10], [2, 3]]).value().tolist() == [[1, 2, 30, 40], [-2, 0, 15, 18]]
    zero = torch.tensor([[1], [0]], dtype=torch.int16)
    assert coded(q, [[1.0], [2.0]], zero).value().tolist() == [[0, 1, 2, 3], [-2, 0, 10, 12]]


def test_kernels_and_vectors_have_rows_too():
    kernel = Coded(torch.arange(12, dtype=torch.int16).reshape(2, 2, 3, 1), torch.tensor([[1.0], [2.0]]))
    assert kernel.value().shape == (2, 2, 3, 1)
    assert kernel.value()[1].flatten().tolist() == [12, 14, 16, 18, 20, 22]
    assert coded([3, -2], 0.25).value().tolist() == [0.75, -0.5]


@pytest.mark.parametrize(
    ("q", "step", "what"),
    [
        (torch.zeros(2, 2), torch.tensor(1.0), "int16"),
        (torch.zeros(2, 2, dtype=torch.int16), torch.tensor(0.0), "above 0"),
        (torch.zeros(2, 2, dtype=torch.int16), torch.tensor(float("nan")), "NaN"),
        (torch.zeros(2, 2, dtype=torch.int16), torch.ones(3, 1), r"\(3, 1\).*divide \(2, 2\)"),
        (torch.zeros(2, 2, dtype=torch.int16), torch.ones(2), r"\(2,\)"),
    ],
)
def test_what_is_no_coded_tensor_is_refused(q, step, what):
    with pytest.raises(ValueError, match=what):
        Coded(q, step)


def test_put_changes_a_copy_and_knows_its_names():
    model = assistant.load().model
    before = model.embedding.weight.clone()
    q = torch.ones(model.position.weight.shape, dtype=torch.int16)
    made = put(model, {"position.weight": Coded(q, torch.tensor(0.5))})
    assert bool((made.position.weight == 0.5).all())
    assert torch.equal(model.embedding.weight, before)
    assert torch.equal(made.embedding.weight, before)
    with pytest.raises(ValueError, match="'nonsense'"):
        put(model, {"nonsense": before})


def test_figures_lose_nothing_where_nothing_was_done():
    model = assistant.load().model
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    found = quantized.figures(model, tensors, every=80)
    assert found["exact_match_drop_points"] == 0
    asked = [q for lang in facts.LANGUAGES for q in facts.split("held_out", lang)[::80]]
    whole = assistant.quick_scores(model, assistant.load().tokenizer, asked)
    assert found["exact_match"] == whole["exact_match"]
    assert found["bits_per_answer_byte"] == pytest.approx(whole["bits_per_answer_byte"], rel=1e-6)
    assert found["questions"] == len(asked)
    assert 1.0 < found["size_ratio"] < 1.3  # signs and exponents are worth coding, fractions are not
    assert values(tensors).keys() == tensors.keys()
