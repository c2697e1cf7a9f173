"""Handwritten digits, real and small, that come with scikit-learn (no download).

1,797 grey pictures of 8 x 8 pixels by 43 writers: E. Alpaydin and C. Kaynak, *Optical Recognition of
Handwritten Digits*, UCI Machine Learning Repository, 1998 (its test half, as shipped by scikit-learn).
"""

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits

SIDE = 8  # pixels along one edge
BRIGHTEST = 16.0  # the file counts dark pixels of a 4 x 4 block: 0..16


@lru_cache(maxsize=8)
def _split(test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    raw = load_digits()
    x = (raw.data / BRIGHTEST).astype(np.float32)  # (1797, 64), sixteenths: exact in float32
    y = raw.target.astype(np.int64)  # (1797,)
    order = np.random.default_rng(seed).permutation(len(x))
    cut = len(x) - round(test_share * len(x))
    train, test = order[:cut], order[cut:]
    return x[train], y[train], x[test], y[test]


def load(test_share: float = 0.25, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ``train_x (N, 64) float32 in [0, 1], train_y (N,) int64, test_x, test_y``, split by ``seed``.

    Each row is a picture, line by line (``row.reshape(8, 8)``); 0 is paper, 1 is full ink. The arrays are
    fresh copies, so a caller may change them.

    Raises ``ValueError`` for a ``test_share`` outside (0, 1).
    """
    if not 0.0 < test_share < 1.0:
        raise ValueError(f"test_share must lie strictly between 0 and 1, got {test_share!r}")
    train_x, train_y, test_x, test_y = _split(float(test_share), int(seed))
    return train_x.copy(), train_y.copy(), test_x.copy(), test_y.copy()
