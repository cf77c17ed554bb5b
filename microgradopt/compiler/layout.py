"""How the entries of an array lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradopt.compiler.program import Var
from microgradopt.engine.graph import Array

ALIGNMENT = 64  # bytes: a line of the cache, and the widest register


def is_dense(x: Var) -> bool:
    """Whether an array's entries fill its memory without gaps, in whatever order of axes."""
    if not x.nbytes or x.dtype is None or x.dtype.hasobject:
        return False
    return _is_packed(x.dtype.itemsize, sorted(zip(x.strides, x.shape)))


def in_c_order(x: Var) -> bool:
    """Whether they do with the last axis counted fastest."""
    if not is_dense(x):
        return False
    assert x.dtype is not None
    return _is_packed(x.dtype.itemsize, list(zip(x.strides[::-1], x.shape[::-1])))


def _is_packed(step: int, axes: list[tuple[int, int]]) -> bool:
    for stride, n in axes:
        if n != 1:
            if stride != step:
                return False
            step *= n
    return True


def alike(x: Var, y: Var) -> bool:
    """Whether two variables are arrays of one shape, dtype and order in memory."""
    both = x.is_array and y.is_array  # NumPy takes None, the dtype of a float, for float64
    return both and (x.shape, x.dtype, x.strides) == (y.shape, y.dtype, y.strides)


def view_of(memory: Array, x: Var) -> Array:
    """An array of the type and layout of ``x`` at the beginning of some memory."""
    return np.ndarray(x.shape, x.dtype, memory, 0, x.strides)


def allocated(nbytes: int) -> Array:
    """Fresh memory, aligned."""
    memory: np.ndarray[Any, Any] = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes]
