"""The block kernel in C, compiled once for the processor at hand; None where there is no compiler.

`KERNELS` is one source: vectors are those of GCC and Clang ("vector extensions"), so the same lines become
AVX-512, AVX2 or NEON. The library is kept in `kernels/` of the reader's folder, under a name made of the
source and of what the compiler says about the processor, so that another machine never loads it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurolab.paths import reader_folder

FLAGS = ("-O3", "-march=native", "-fno-trapping-math", "-fno-math-errno", "-shared", "-fPIC")
PANEL = 64
"""Columns of X that a kernel may want packed side by side; the buffer handed to it is (C, PANEL)."""

HEAD = r"""
#include <string.h>
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 8 };                       /* 8 x 2 vectors of sums fit into 32 registers */
#elif defined(__AVX__)
enum { LANES = 8, ROWS = 4 };
#else
enum { LANES = 4, ROWS = 4 };
#endif
enum { B = 16, WIDE = 2, P = WIDE * LANES };         /* block side; vectors in a panel; columns in it */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int ivec __attribute__((vector_size(4 * LANES), aligned(4)));

/* wide columns of X (C, N) from column p on, side by side: panel (C, wide) */
static void pack(const float *x, long C, long N, long p, long wide, float *panel) {
  long n = N - p < wide ? N - p : wide;
  if (n < wide) memset(panel, 0, C * wide * sizeof(float));
  for (long c = 0; c < C; c++) memcpy(panel + c * wide, x + c * N + p, n * sizeof(float));
}
"""

BLOCKS = r"""
/* y = W x + bias. W: block i is 16 x 16, stands in block column col[i], is kept column after column */
void block_matmul(long block_rows, const int *start, const int *col, const float *w, const float *bias,
                  int relu, const float *x, long C, long N, float *panel, float *y) {
  for (long p = 0; p < N; p += P) {
    pack(x, C, N, p, P, panel);
    for (long row = 0; row < block_rows * B; row += ROWS) {
      vec sum[ROWS][WIDE];                                          /* stays in registers */
      for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < WIDE; v++) sum[r][v] = (vec){0} + bias[row + r];
      for (int i = start[row / B]; i < start[row / B + 1]; i++)     /* only the blocks that are there */
        for (int k = 0; k < B; k++) {
          const float *weight = w + (i * B + k) * B + row % B, *xs = panel + (col[i] * B + k) * P;
          for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < WIDE; v++) sum[r][v] += weight[r] * *(vec *)(xs + v * LANES);
        }
      for (int r = 0; r < ROWS; r++) store(sum[r], relu, y + (row + r) * N + p, N - p);
    }
  }
}
"""

STORE = r"""
/* one row of sums into y, which has room for n columns; negative ones as 0 where relu is asked for */
static void store(vec *sum, int relu, float *y, long n) {
  float row[P];
  memcpy(row, sum, sizeof row);
  for (int j = 0; relu && j < P; j++) row[j] = row[j] < 0 ? 0 : row[j];
  if (n >= P) memcpy(y, row, sizeof row);
  else memcpy(y, row, n * sizeof(float));
}
"""

CSR = r"""
/* y = W x, W in compressed sparse rows: the same panels and registers, but one weight at a time */
void csr_matmul(long rows, const int *start, const int *col, const float *w, const float *x, long C, long N,
                float *panel, float *y) {
  enum { V = 4 };
  for (long p = 0; p < N; p += V * LANES) {
    long n = N - p < V * LANES ? N - p : V * LANES;
    pack(x, C, N, p, V * LANES, panel);
    for (long row = 0; row < rows; row++) {
      vec sum[V] = {0};
      for (int i = start[row]; i < start[row + 1]; i++)
        for (int v = 0; v < V; v++) sum[v] += w[i] * *(vec *)(panel + (col[i] * V + v) * LANES);
      memcpy(y + row * N + p, sum, n * sizeof(float));
    }
  }
}
"""

INT8 = r"""
#ifdef __AVX512VNNI__
#include <immintrin.h>
static inline ivec dot4(ivec sum, ivec x, int w) {   /* four products in a lane, summed: one instruction */
  return (ivec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, _mm512_set1_epi32(w));
}
#else
static inline ivec dot4(ivec sum, ivec x, int w) {
  for (int b = 0; b < 4; b++) sum += (x >> 8 * b & 255) * (int)(signed char)(w >> 8 * b);
  return sum;
}
#endif

/* panel (C / 4, P): four rows of X in a lane, each as a byte round(x / scale) + 128; scale: a column's */
static void pack_int8(const float *x, long C, long N, long p, float *work, int *panel, float *scale) {
  float most[P] = {0};
  pack(x, C, N, p, P, work);
  for (long c = 0; c < C; c++)
    for (int j = 0; j < P; j++) {
      float size = work[c * P + j] < 0 ? -work[c * P + j] : work[c * P + j];
      most[j] = size > most[j] ? size : most[j];
    }
  float inverse[P];
  for (int j = 0; j < P; j++) {
    scale[j] = most[j] > 0 ? most[j] / 127 : 1;
    inverse[j] = 1 / scale[j];
  }
  for (long c = 0; c < C; c += 4)
    for (int j = 0; j < P; j++) {
      unsigned four = 0;
      for (int b = 0; b < 4; b++)
        four |= (unsigned)(int)(work[(c + b) * P + j] * inverse[j] + 128.5f) << 8 * b;
      panel[c / 4 * P + j] = (int)four;
    }
}

/* y = W x + bias. W: signed bytes times row_scale; X: made into bytes here; less: 128 times W's row sums */
void int8_matmul(long block_rows, const int *start, const int *col, const int *w, const float *row_scale,
                 const int *less, const float *bias, int relu, const float *x, long C, long N, float *work,
                 int *panel, float *y) {
  for (long p = 0; p < N; p += P) {
    vec scale[WIDE];
    pack_int8(x, C, N, p, work, panel, (float *)scale);
    for (long row = 0; row < block_rows * B; row += ROWS) {
      ivec sum[ROWS][WIDE];
      for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < WIDE; v++) sum[r][v] = (ivec){0} - less[row + r];
      for (int i = start[row / B]; i < start[row / B + 1]; i++)
        for (int k = 0; k < B / 4; k++) {
          const int *weight = w + (i * (B / 4) + k) * B + row % B, *xs = panel + (col[i] * (B / 4) + k) * P;
          for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < WIDE; v++) sum[r][v] = dot4(sum[r][v], *(ivec *)(xs + v * LANES), weight[r]);
        }
      for (int r = 0; r < ROWS; r++) {
        vec out[WIDE];
        for (int v = 0; v < WIDE; v++)
          out[v] = __builtin_convertvector(sum[r][v], vec) * scale[v] * row_scale[row + r] + bias[row + r];
        store(out, relu, y + (row + r) * N + p, N - p);
      }
    }
  }
}
"""

KERNELS = HEAD + STORE + BLOCKS + CSR + INT8


def compiler() -> str | None:
    """The C compiler's path: `CC` if it is set (empty: none is wanted), else cc, gcc or clang, else None."""
    chosen = os.environ.get("CC")
    names = ("cc", "gcc", "clang") if chosen is None else (chosen,)
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _name(program: str) -> str:
    """What source, flags, compiler and processor come to, as the library's name."""
    asked = subprocess.run(
        [program, "-march=native", "-dM", "-E", "-x", "c", os.devnull],
        capture_output=True,
        timeout=60,
        check=True,
    )
    digest = hashlib.sha256(KERNELS.encode() + " ".join(FLAGS).encode() + asked.stdout)
    return f"kernels-{digest.hexdigest()[:16]}.so"


def compiled(folder: Path | None = None) -> Path | None:
    """The library's path, compiled now if it is not there yet; None where that does not succeed.

    folder: where it is kept (None: `kernels` in the reader's folder).
    """
    program = compiler()
    if program is None:
        return None
    folder = folder or reader_folder() / "kernels"
    try:
        path = folder / _name(program)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as work:
                source, made = Path(work) / "kernels.c", Path(work) / "kernels.so"
                source.write_text(KERNELS, encoding="utf-8")
                command = [program, *FLAGS, "-o", str(made), str(source)]
                subprocess.run(command, capture_output=True, timeout=120, check=True)
                os.replace(made, path)  # at once, so that another process never loads half a file
    except (OSError, subprocess.SubprocessError):
        return None
    return path


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled kernels, ready to be called; None where there is no compiler (numba then does it)."""
    path = compiled()
    if path is None:
        return None
    with contextlib.suppress(OSError):
        found = ctypes.CDLL(str(path))
        ptr, long = ctypes.c_void_p, ctypes.c_long
        weight: list[Any] = [long, ptr, ptr, ptr]  # how many (block) rows, start, col, values
        found.block_matmul.argtypes = [*weight, ptr, ctypes.c_int, ptr, long, long, ptr, ptr]
        found.csr_matmul.argtypes = [*weight, ptr, long, long, ptr, ptr]
        found.int8_matmul.argtypes = [*weight, ptr, ptr, ptr, ctypes.c_int, ptr, long, long, ptr, ptr, ptr]
        for kernel in (found.block_matmul, found.csr_matmul, found.int8_matmul):
            kernel.restype = None
        return found
    return None
