"""What compiled source calls where NumPy has no function that writes into a given array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.compiler.program import Check
from microgradopt.engine.graph import Array
from microgradopt.engine.rules import chained


def copy(x: Any, order: Any, out: Array | None = None) -> Array:
    """The same numbers in other memory, in an order of NumPy's."""
    if out is None:
        return np.array(x, order=order)
    np.copyto(out, x)
    return out


def astype(x: Array, dtype: Any, out: Array | None = None) -> Array:
    """The numbers in another dtype."""
    if out is None:
        return x.astype(dtype)
    np.copyto(out, x)
    return out


def where(condition: Any, x: Any, y: Any, out: Array) -> Array:
    """np.where, which has no ``out``: copying one block is sooner done than choosing in place."""
    np.copyto(out, np.where(condition, x, y))
    return out


def put(x: Array, key: Any, value: Any, out: Array | None = None) -> Array:
    """A copy of ``x`` with ``value`` at ``key``; ``out`` may be ``x``."""
    if out is None:
        out = x.copy(order="K")
    elif out is not x:
        np.copyto(out, x)
    out[key] = value
    return out


def chain(g: Any, p: Any, out: Array | None = None) -> Array:
    """The row of this name: the product, but 0 where a factor is 0, whatever the other is."""
    out = np.multiply(g, p, out=out)
    if not is_finite(out):
        np.copyto(out, chained(g, p))
    return out


def passing(passed: Array, g: Array, out: Array | None = None) -> Array:
    """The row of this name: ``g`` where it is ``passed``, else 0; ``out`` may be ``g``."""
    # As small whole numbers, truth values are multiplied by sooner.
    out = np.multiply(g, passed.view(np.int8), out=out)
    if not is_finite(out):
        np.copyto(out, 0.0, where=np.logical_not(passed))  # times 0, infinity became NaN
    return out


def checking(check: Check) -> Callable[..., None]:
    """A function that does what a check does, and sooner where all is well."""

    def check_finite(*arrays: Any) -> None:
        if not all(map(is_finite, arrays)):
            check.compute(arrays, {})

    return check_finite


def is_finite(x: Any) -> bool:
    """Whether all entries are; of huge numbers, which are, it may also say no."""
    if x.__class__ is not np.ndarray:
        return math.isfinite(x)
    flat = x.ravel("K")
    return math.isfinite(np.dot(flat, flat))
