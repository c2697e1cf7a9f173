"""The formats by hand, against torch's own and scipy's."""

from __future__ import annotations

import warnings

import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab.sparse_formats import FORMATS, Bsr, Coo, Csr, Hybrid


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|BSR) tensor support")
        yield


def matrix(rows=6, cols=8, seed=0, share=0.4):
    """Zeros, an empty row and an empty column, at random."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(rows, cols, generator=generator, dtype=torch.float64)
    made *= torch.rand(rows, cols, generator=generator) < share
    made[rows // 2] = 0
    made[:, cols // 3] = 0
    return made


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_every_format_is_the_matrix_again_and_multiplies_as_it_does(name, seed, share):
    given_matrix = matrix(6, 8, seed, share)
    kind = FORMATS[name]
    made = kind.of(given_matrix, 2) if kind is Bsr else kind.of(given_matrix)
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(made.dense(), given_matrix)
    torch.testing.assert_close(made.matmul(x), given_matrix @ x, atol=1e-12, rtol=0)
    torch.testing.assert_close(made.torch().to_dense(), given_matrix, atol=0, rtol=0)


def test_arrays_are_those_of_torch_and_scipy():
    given_matrix = matrix()
    own, theirs = Csr.of(given_matrix), given_matrix.to_sparse_csr()
    assert torch.equal(own.start, theirs.crow_indices())
    assert torch.equal(own.cols, theirs.col_indices())
    assert torch.equal(own.values, theirs.values())
    blocks, scipys = Bsr.of(given_matrix, 2), scipy.sparse.csr_matrix(given_matrix).tobsr((2, 2))
    scipys.sort_indices()
    assert blocks.start.tolist() == scipys.indptr.tolist()
    assert blocks.cols.tolist() == scipys.indices.tolist()
    assert torch.equal(blocks.values, torch.from_numpy(scipys.data))
    coo, scipyc = Coo.of(given_matrix), scipy.sparse.coo_matrix(given_matrix)
    assert [coo.rows.tolist(), coo.cols.tolist()] == [scipyc.row.tolist(), scipyc.col.tolist()]
    assert Hybrid.of(given_matrix).torch().dense_dim() == 1


def test_bytes_are_counted_by_hand():
    one = torch.zeros(4, 4)
    one[1, 2] = 3.0
    assert Coo.of(one).bytes == 4 + 2 * 4
    assert Csr.of(one).bytes == 4 + 4 + 5 * 4
    assert Bsr.of(one, 2).bytes == 4 * 4 + 4 + 3 * 4
    assert Hybrid.of(one).bytes == 4 * 4 + 4
    assert Bsr.of(one, 2, every=True).bytes == 16 * 4 + 4 * 4 + 3 * 4
    assert Bsr.of(one, 2).density == 0.25


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Csr.of(torch.zeros(3)), r"matrix is \(3,\)"),
        (lambda: Coo.of(torch.zeros(2, 2, dtype=torch.int32)), "int32"),
        (lambda: Bsr.of(torch.zeros(4, 6), 4), "block is 4; it must divide .* 4 and 6"),
        (lambda: Hybrid.of(torch.ones(2, 3)).matmul(torch.ones(2, 3)), r"it must be \(3, N\)"),
        (lambda: Csr.of([[1.0]]), "matrix is list"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
