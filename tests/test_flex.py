"""Tiles as FlexAttention's blocks. The compiled kernel itself is checked where it is timed (it takes seconds
and a C++ compiler), `sweeps/sparsity_attention`."""

import pytest
import torch

from neurolab import flex


def test_blocks_are_the_tiles():
    chosen = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0)) < 0.4
    chosen[..., 1] = True
    mask = flex.block_mask(chosen, 16)
    assert torch.equal(mask.to_dense().bool(), chosen)
    assert mask.shape == (2, 3, 64, 96)
    assert mask.sparsity() == pytest.approx(100 * (1 - chosen.float().mean().item()))


@pytest.mark.parametrize(
    "chosen",
    [torch.zeros(1, 1, 2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool), torch.ones(1, 1, 2, 2)],
)
def test_bad_tiles_are_named(chosen):
    with pytest.raises(ValueError, match="a tile at least in every row"):
        flex.block_mask(chosen, 16)


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(flex.shutil, "which", lambda name: None)
    assert not flex.has_compiler()
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler"):
        flex.compile_seconds(lambda x: x + 1, torch.ones(2))
