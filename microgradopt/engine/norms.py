"""Norms of vectors and matrices: how large, in one number."""

from functools import cache
from typing import Any

import numpy as np

from microgradopt.engine.composites import floating
from microgradopt.engine.graph import Node
from microgradopt.engine.ops.decompositions import as_matrices, singular_values, svd_row
from microgradopt.engine.ops.elementwise import (
    absolute,
    equal,
    isfinite,
    less,
    logical_and,
    logical_or,
    not_equal,
    power,
    sign,
    where,
)
from microgradopt.engine.ops.shapes import moveaxis, reshape, sum
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import axes_of, kept_shape, max, min, root
from microgradopt.engine.rules import as_float, data_of, shape_of as shape
from microgradopt.errors import UsageError

__all__ = [
    "norm",
]  # fmt: skip


@quietly
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The length of vectors, or the size of matrices; as numpy.linalg.norm.

    The derivative at zero is 0, and entries or singular values that tie share it evenly. The
    2-norm of vectors neither overflows nor underflows.

    Args:
        ord: None or "fro": the root of the sum of squares, over any axes. Over one axis also 2 (the
            same), 1, ``inf``, ``-inf``, 0 (how many are not 0), or any other number or node p:
            (Σ|x|ᵖ)^(1/p). Over two axes also 1 and ``inf`` (the largest sum of a column, of a row,
            of absolute values), 2 and "nuc" (the largest and the sum of the singular values),
            −1, ``-inf`` and −2 (the smallest).
        axis: an int, a tuple, or None for all axes.
    """
    x = floating(x)
    axes = axes_of(x, axis, "norm")
    if ord is None or (isinstance(ord, str) and ord == "fro"):
        return _euclidean(x, axes, keepdims)
    if len(axes) > 2:
        raise UsageError(
            f"norm: ord={ord!r} over {len(axes)} axes is the norm of neither vectors nor matrices; "
            "give one or two axes, or use linalg.vector_norm"
        )
    return (_of_matrices if len(axes) == 2 else _of_vectors)(x, ord, axes, keepdims)


@quietly
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of the entries along ``axis`` taken as one vector, whatever its dimensions."""
    x = floating(x)
    return _of_vectors(x, ord, axes_of(x, axis, "vector_norm"), keepdims)


@quietly
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices (…, m, n); the values of ``ord`` are those of :func:`norm`."""
    return norm(as_matrices(x, "matrix_norm"), ord, (-2, -1), keepdims)


def _largest(x: Any, axes: Any, keepdims: bool) -> Any:
    """The largest of numbers that are not negative; of none, 0."""
    return (max if data_of(x).size else sum)(x, axes, keepdims)


def _of_vectors(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(ord, str) or ord != ord:
        raise UsageError(f"norm: unknown ord {ord!r} of vectors; use None, inf, -inf or a number")
    if ord == 2:
        return _euclidean(x, axes, keepdims)
    size = absolute(x)
    if ord == np.inf:
        return _largest(size, axes, keepdims)
    if ord == -np.inf:
        return min(size, axes, keepdims)
    if ord == 0:
        return sum(sign(size), axes, keepdims)
    if ord == 1:
        return sum(size, axes, keepdims)
    p = as_float(ord)
    total = sum(power(size, p), axes, keepdims)
    nothing = equal(data_of(total), 0.0)
    return where(nothing, 0.0, power(where(nothing, 1.0, total), 1.0 / p))


def _of_matrices(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    y = moveaxis(x, axes, (-2, -1))
    if isinstance(ord, str) and ord == "nuc":
        found = sum(spectrum(y), -1)
    elif ord in (2, -2):
        found = (_largest if ord > 0 else min)(spectrum(y), -1, False)
    elif ord in (1, -1, np.inf, -np.inf):
        lines = sum(absolute(y), -2 if abs(ord) == 1 else -1)
        found = (_largest if ord > 0 else min)(lines, -1, False)
    else:
        raise UsageError(
            f"norm: unknown ord {ord!r} of matrices; use None, 'fro', 'nuc', 1, -1, 2, -2, inf or "
            "-inf; or give one axis, or linalg.vector_norm, for the norm of vectors"
        )
    return reshape(found, kept_shape(x, axes)) if keepdims else found


def spectrum(x: Any) -> Any:
    """The singular values, with derivative 0 where they are 0."""
    return absolute(singular_values(svd_row(as_matrices(x, "norm")), shape(x)[-2]))


@cache
def _range_of_lengths(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Between which lengths the squares of entries neither vanish nor overflow."""
    limits = np.finfo(dtype)
    eps = float(limits.eps)
    return float(limits.tiny) ** 0.5 / eps, float(limits.max) ** 0.5 * eps**0.5


def _euclidean(x: Any, axis: Any, keepdims: bool) -> Any:
    if 0 in shape(x):
        return root(sum(x * x, axis, keepdims))
    tiny, huge = _range_of_lengths(np.asarray(data_of(x)).dtype)
    if not isinstance(x, Node):  # mostly, no scale is needed, and finding it takes long
        length = root(sum(x * x, axis, keepdims))
        if np.all((tiny < length) & (length < huge)):
            return length
    top = max(absolute(data_of(x)), axis, keepdims=True)
    extreme = logical_and(logical_or(less(top, tiny), less(huge, top)), isfinite(top))
    scale = where(logical_and(extreme, not_equal(top, 0.0)), top, 1.0)
    scaled = x / scale  # by exactly 1, except where squares would leave the floating-point range
    length = root(sum(scaled * scaled, axis, keepdims))
    return length * (scale if keepdims else reshape(scale, shape(length)))
