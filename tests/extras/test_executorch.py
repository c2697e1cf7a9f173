"""ExecuTorch with XNNPACK: the same steps, smaller files."""

import pytest
import torch

from neurolab import export
from neurolab.export import executorch
from neurolab.facts import split
from tests.extras.helpers import differences


@pytest.fixture(scope="module")
def folders(assistant, tmp_path_factory):
    """An export of each precision."""
    home = tmp_path_factory.mktemp("executorch")
    return {p: export.export("executorch", p, home / p, assistant=assistant) for p in executorch.PRECISIONS}


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("int8", 0.08), ("int4", 0.5)])
def test_every_step_agrees_with_torch(folders, decoder, precision, most):
    assert max(differences(executorch.open(folders[precision].folder), decoder)) < most


def test_int8_and_int4_are_rounded_at_all(folders, decoder):
    gaps = [max(differences(executorch.open(e.folder), decoder)) for e in folders.values()]
    assert gaps[0] < gaps[1] / 10 < gaps[2] / 20


def test_files_are_smaller(folders):
    sizes = [e.bytes for e in folders.values()]
    assert sizes[0] > 3 * sizes[1]
    assert sizes[1] > 1.2 * sizes[2]


def test_matrices_are_delegated_and_the_notes_say_what_is_not(folders):
    notes = folders["int8"].notes
    assert notes["delegated_parts"] >= 10
    assert not any("linear" in name or "mm" in name for name in notes["left_to_plain_kernels"])
    assert notes["left_to_plain_kernels"]["aten::native_layer_norm.out"] == 5


def test_the_whole_way_gives_torch_answers(folders, assistant):
    found = export.compare(folders["fp32"].folder, assistant, split("held_out")[:10])
    assert found["equal_answers"] == 1


def test_a_rounded_table_is_within_half_a_step():
    table = torch.nn.Embedding(50, 8)
    rounded = executorch.RoundedTable(table)
    ids = torch.arange(50)
    gap = (rounded(ids) - table(ids)).abs().amax(1)
    step = table.weight.abs().amax(1) / 127
    assert (gap <= step * 0.5001).all()
    assert gap.max() > 0


def test_other_precisions_are_refused(decoder, tmp_path):
    with pytest.raises(ValueError, match="precision 'palette4': ExecuTorch is exported as fp32, int8, int4"):
        executorch.export(decoder, tmp_path, "palette4")
