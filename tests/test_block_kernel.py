"""Our kernels against torch in double precision, engine by engine; compiling; bytes."""

from __future__ import annotations

import pytest
import torch

from neurolab import block_kernel, block_kernel_c
from neurolab.block_kernel import BlockSparse, CsrKernel, engines
from neurolab.crossover import pruned
from neurolab.int8_kernel import Int8Blocks

needs_c = pytest.mark.usefixtures("c")


@pytest.fixture(scope="module")
def c():
    """The tests need a compiler; its absence must show as a failure, not as a skip."""
    assert block_kernel_c.library() is not None


def oblong(rows, cols, density=0.3, seed=0):
    """A matrix of blocks that is not square, with a row of blocks and a column of blocks empty."""
    side = max(rows, cols)
    made = pruned(side, density, "blocks", seed)[:rows, :cols].clone()
    made[16:32] = 0
    made[:, :16] = 0
    return made


@pytest.mark.parametrize("engine", block_kernel.ENGINES)
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 64, 200])
@pytest.mark.parametrize("shape", [(64, 96), (96, 48)])
def test_the_kernel_multiplies_as_torch_does(engine, columns, shape):
    weight, bias = oblong(*shape), torch.randn(shape[0], generator=torch.Generator().manual_seed(3))
    x = torch.randn(shape[1], columns, generator=torch.Generator().manual_seed(4))
    true = weight.double() @ x.double() + bias.double()[:, None]
    layer = BlockSparse(weight, bias, engine=engine)
    assert layer.density < 0.4
    torch.testing.assert_close(layer(x).double(), true, atol=2e-5, rtol=0)
    torch.testing.assert_close(layer(x, "relu").double(), true.relu(), atol=2e-5, rtol=0)
    full = BlockSparse(weight, every=True, engine=engine)
    assert full.density == 1
    torch.testing.assert_close(full(x).double(), weight.double() @ x.double(), atol=2e-5, rtol=0)
    assert torch.equal(layer(x), layer(x.T.contiguous().T))  # same numbers, other strides, every run


@needs_c
@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("columns", [1, 63, 65, 130])
def test_scattered_numbers_multiply_as_torch_does(density, columns):
    weight = pruned(80, density, "scattered")
    x = torch.randn(80, columns, generator=torch.Generator().manual_seed(1))
    found = CsrKernel(weight)(x).double()
    torch.testing.assert_close(found, weight.double() @ x.double(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("engine", block_kernel.ENGINES)
def test_nothing_kept_gives_the_bias(engine):
    bias = torch.arange(32.0) - 16
    y = BlockSparse(torch.zeros(32, 16), bias, engine=engine)(torch.ones(16, 5))
    assert torch.equal(y, bias[:, None].expand(32, 5))


@pytest.mark.parametrize("engine", block_kernel.ENGINES)
def test_what_is_not_a_number_stays_in_its_column(engine):
    x = torch.ones(32, 40)
    x[3, 7] = float("nan")
    y = BlockSparse(torch.ones(16, 32), engine=engine)(x)
    assert y.isnan().any(0).nonzero()[:, 0].tolist() == [7]


@needs_c
def test_a_denormal_is_still_a_number_after_the_library_is_loaded():
    tiny = torch.tensor([1e-40]) * 1.0  # -ffast-math would flush it, in the whole process
    assert tiny.item() != 0


@needs_c
@pytest.mark.parametrize("columns", [1, 32, 45, 64])
@pytest.mark.parametrize("density", [0.25, 1.0])
def test_bytes_are_those_of_the_plain_computation(columns, density):
    generator = torch.Generator().manual_seed(5)
    weight = pruned(96, density)[:64]
    bias, x = torch.randn(64, generator=generator), torch.randn(96, columns, generator=generator)
    x[:, 0] = 0
    fast, plain = Int8Blocks(weight, bias), Int8Blocks(weight, bias, engine="torch")
    assert fast.engine == "c"
    for activation in (None, "relu"):
        torch.testing.assert_close(fast(x, activation), plain(x, activation), atol=2e-6, rtol=2e-6)
    true = weight.double() @ x.double() + bias.double()[:, None]
    error = (fast(x).double() - true).norm() / (true - bias[:, None]).norm() if columns > 1 else 0
    assert error < 0.015  # a step of 1/127 of the largest, rounded: well under 2 %


def test_bytes_take_a_quarter_of_the_floats():
    weight = pruned(256, 0.25)
    assert Int8Blocks(weight).values.numel() * 4 == BlockSparse(weight).values.numel() * 4
    assert Int8Blocks(weight).bytes < 0.3 * BlockSparse(weight).blocks.bytes


def test_packed_tokens_are_the_same_rows_of_the_whole():
    generator = torch.Generator().manual_seed(6)
    layer = Int8Blocks(torch.randn(32, 48, generator=generator))
    tokens, keep = torch.randn(20, 48, generator=generator), torch.tensor([3, 0, 17])
    packed = layer.tokens(tokens, keep, "relu")
    assert torch.equal(packed, layer.tokens(tokens, torch.arange(20), "relu")[keep])
    true = (tokens[keep].double() @ layer.whole.dense().double().mul(layer.scale[:, None]).T).relu()
    assert (packed - true).norm() / true.norm() < 0.02


def test_without_a_compiler_another_engine_does_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "")
    assert block_kernel_c.compiler() is None
    assert block_kernel_c.compiled(tmp_path) is None
    monkeypatch.setattr(block_kernel, "library", lambda: None)
    assert "c" not in engines()
    assert BlockSparse(pruned(32, 0.5)).engine == engines()[0]
    with pytest.raises(ValueError, match="engine is 'c'; here it must be one of"):
        CsrKernel(pruned(32, 0.5))
    monkeypatch.setattr(block_kernel, "has_numba", lambda: False)
    assert engines() == ("torch",)


def test_a_compiler_that_fails_is_no_compiler(monkeypatch, tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    assert block_kernel_c.compiled(tmp_path / "made") is None


@needs_c
def test_the_library_is_compiled_once(tmp_path, monkeypatch):
    path = block_kernel_c.compiled(tmp_path)
    assert path is not None
    before = path.stat().st_mtime_ns
    assert block_kernel_c.compiled(tmp_path) == path
    assert path.stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [path]  # nothing half-made is left
    monkeypatch.setattr(block_kernel_c, "FLAGS", (*block_kernel_c.FLAGS, "-g"))
    assert block_kernel_c.compiled(tmp_path) != path


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: BlockSparse(torch.zeros(20, 16)), "block is 16; it must divide"),
        (lambda: BlockSparse(torch.zeros(16, 16), torch.zeros(8)), r"bias is \(8,\); it must be \(16,\)"),
        (lambda: BlockSparse(torch.zeros(16, 16), engine="cuda"), "engine is 'cuda'"),
        (lambda: BlockSparse(torch.zeros(16, 16))(torch.zeros(8, 2)), r"x is \(8, 2\)"),
        (lambda: BlockSparse(torch.zeros(16, 16))(torch.zeros(16, 2).double()), "float64"),
        (lambda: BlockSparse(torch.zeros(16, 16))(torch.zeros(16, 2), "gelu"), "activation is 'gelu'"),
        (lambda: Int8Blocks(torch.zeros(16, 16), torch.zeros(3)), r"bias is \(3,\)"),
        (lambda: pruned(64, 0.0), r"density is 0\.0"),
        (lambda: pruned(60, 0.5), "size is 60"),
        (lambda: pruned(64, 0.5, "stripes"), "pattern is 'stripes'"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
