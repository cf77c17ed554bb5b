"""Picking entries out of arrays and putting others in, by NumPy's indexing functions.

Each is :func:`~microgradopt.engine.ops.shapes.index` with a key computed from plain whole numbers
and truth values; those are data, never differentiated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.modes import settled
from microgradopt.engine.ops.elementwise import isfinite, where
from microgradopt.engine.ops.products import diagonal
from microgradopt.engine.ops.shapes import (
    broadcast_to,
    concatenate,
    index,
    moveaxis,
    ndim,
    ravel,
    scatter_row,
    stack,
    with_ndim,
    without_promotion,
)
from microgradopt.engine.rules import as_dtype, check_axis, data_of, reshape_to, shape_of
from microgradopt.errors import DTypeError, ShapeError, UsageError

__all__ = [
    "append", "choose", "compress", "delete", "diag", "diagflat", "extract", "insert",
    "nan_to_num", "partition", "select", "take", "take_along_axis", "tril", "trim_zeros", "triu",
]  # fmt: skip

MODES = ("raise", "wrap", "clip")


def _plain(indices: Any, user: str) -> Any:
    if isinstance(indices, Node):
        raise DTypeError(
            f"{user}: a graph node cannot be an index; use plain ints or an integer array "
            "(node.data.astype(int) if you mean its numbers)"
        )
    return indices


def whole(indices: Any, user: str) -> Any:
    """Indices or counts as an array of plain ints."""
    found = np.asarray(_plain(indices, user))
    if found.size and found.dtype.kind not in "iub":
        raise DTypeError(
            f"{user}: indices must be whole numbers, got dtype {found.dtype}; use .astype(int)"
        )
    return found.astype(np.intp)


def _within(indices: Any, lowest: int, n: int, mode: str, user: str) -> Any:
    """Indices into an axis of length ``n``; what happens to those outside is ``mode``'s."""
    if mode not in MODES:
        raise UsageError(f"{user}: unknown mode {mode!r}; choose from {', '.join(MODES)}")
    if mode == "raise" or (n == 0 and indices.size):
        outside = indices[(indices < lowest) | (indices >= n)]
        if outside.size:
            raise ShapeError(
                f"{user}: index {outside[0]} is out of range for {n} entries"
                + (f"; use {lowest} to {n - 1}, or mode='wrap' or 'clip'" if n else "")
            )
        return indices
    return indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)


def flat_or_along(x: Any, axis: Any, user: str) -> tuple[Any, int]:
    """The operand and the one axis meant: flattened where ``axis`` is None."""
    if axis is None:
        return ravel(x), 0
    axis = check_axis(axis, ndim(x), user)
    if isinstance(axis, tuple):
        raise ShapeError(f"{user}: works along one axis, got axis={axis!r}")
    return x, axis


def along(axis: int, key: Any) -> tuple[Any, ...]:
    """The key that applies ``key`` to one axis and keeps those before and after it."""
    return (*(slice(None),) * axis, key)


# Picking


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    """The entries numbered ``indices`` along ``axis``, or of the flattened array; as numpy.take.

    Args:
        indices: an int or an array of ints, whose shape takes the place of the axis.
        mode: what an index beyond the end does: "raise", "wrap" around, or "clip" to the ends
            (where negative ones mean the first entry).

    >>> import numpy as np, microgradopt as mg
    >>> mg.grad(lambda x: mg.sum(mg.take(x, [2, 0, 2])))(np.array([1.0, 2.0, 3.0]))
    array([1., 0., 2.])
    """
    x, axis = flat_or_along(x, axis, "take")
    n = shape_of(x)[axis]
    chosen = _within(whole(indices, "take"), -n, n, mode, "take")
    return index(x, along(axis, chosen if chosen.ndim else chosen.item()))


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """Along ``axis``, the entries that ``indices`` names for each place; as numpy.take_along_axis.

    What argsort, argmax and argpartition return is such ``indices``; their other axes broadcast
    against those of ``x``.
    """
    x, axis = flat_or_along(x, axis, "take_along_axis")
    chosen = whole(indices, "take_along_axis")
    if chosen.ndim != ndim(x):
        raise ShapeError(
            f"take_along_axis: indices of shape {chosen.shape} for an operand of shape "
            f"{shape_of(x)}; both need the same number of dimensions"
        )
    places: list[Any] = list(np.indices(shape_of(x), sparse=True))
    places[axis] = chosen
    return index(x, tuple(places))


def partition(x: Any, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """Reordered so that the ``kth`` entry is where sorting puts it, smaller ones before it."""
    x, axis = flat_or_along(x, axis, "partition")
    n = shape_of(x)[axis]
    wanted = _within(whole(kth, "partition"), -n, n, "raise", "partition")
    return take_along_axis(x, np.argpartition(data_of(x), wanted, axis=axis), axis)


def compress(condition: Any, x: Any, axis: int | None = None) -> Any:
    """The entries along ``axis`` whose ``condition`` holds, or of the flattened array."""
    x, axis = flat_or_along(x, axis, "compress")
    chosen = np.asarray(data_of(condition))
    n = shape_of(x)[axis]
    if chosen.ndim != 1 or np.any(chosen[n:]):
        raise ShapeError(
            f"compress: a condition of shape {chosen.shape} for an axis of length {n}; give one "
            "truth value per entry"
        )
    kept = np.zeros(n, bool)
    kept[: len(chosen)] = chosen[:n]
    return index(x, along(axis, kept))


def extract(condition: Any, x: Any) -> Any:
    """The entries whose ``condition`` holds, as one row; as ``x[condition]``."""
    return compress(np.ravel(data_of(condition)), ravel(x))


def trim_zeros(x: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Without the zeros at the front ("f") and back ("b"), along every axis or those given."""
    if trim.lower() not in ("f", "b", "fb", "bf"):
        raise UsageError(f"trim_zeros: trim must be 'f', 'b' or 'fb', got {trim!r}")
    axes = check_axis(axis, ndim(x), "trim_zeros")
    axes = range(ndim(x)) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    found = settled(np.argwhere(data_of(x)))
    key = [slice(None)] * ndim(x)
    for a in axes:
        first, last = (found[:, a].min(), found[:, a].max()) if len(found) else (0, -1)
        front = "f" in trim.lower() or not len(found)
        back = "b" in trim.lower() or not len(found)
        key[a] = slice(int(first) if front else None, int(last) + 1 if back else None)
    return index(x, tuple(key))


# Choosing among several


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0.0) -> Any:
    """From the first choice whose condition holds, else ``default``; as numpy.select.

    Choices that are not taken get a gradient of exactly 0, as with ``where``.
    """
    conditions = [np.asarray(data_of(c)) for c in condlist]
    choices = list(choicelist)
    if len(conditions) != len(choices) or not conditions:
        raise UsageError(
            f"select: {len(conditions)} condition(s) and {len(choices)} choice(s); give one choice "
            "per condition, and at least one"
        )
    for i, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise DTypeError(
                f"select: condition {i} has dtype {condition.dtype}, not bool; write a "
                "comparison, such as x > 0"
            )
    out = default
    for condition, choice in zip(reversed(conditions), reversed(choices)):
        out = where(condition, choice, out)
    return out


def choose(x: Any, choices: Any, mode: str = "raise") -> Any:
    """Entry by entry, from the choice numbered by ``x``, an int array; as numpy.choose."""
    options = list(choices)
    chosen = _within(whole(x, "choose"), 0, len(options), mode, "choose")
    shapes = [chosen.shape, *map(shape_of, options)]
    try:
        together = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"choose: shapes {shapes} cannot be broadcast together") from None
    layers = stack([broadcast_to(x, together) for x in without_promotion(options)])
    places = np.indices(together, sparse=True)
    return index(layers, (np.broadcast_to(chosen, together), *places))


def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """``x`` with NaN and infinities replaced by numbers, where its derivative is 0.

    Args:
        copy: must be True; nothing is changed in place.
        nan: what replaces NaN.
        posinf: what replaces inf; the largest number of the dtype when left out.
        neginf: what replaces −inf; minus the largest number when left out.
    """
    if not copy:
        raise UsageError(
            "nan_to_num: copy=False would change a graph's data in place; leave it out"
        )
    data = data_of(x)
    return where(isfinite(data), x, np.nan_to_num(data, nan=nan, posinf=posinf, neginf=neginf))


# Diagonals and triangles


def diag(x: Any, k: int = 0) -> Any:
    """A matrix with ``x`` on its k-th diagonal; or, of a matrix, that diagonal; as numpy.diag."""
    if ndim(x) == 2:
        return diagonal(x, k)
    if ndim(x) != 1:
        raise ShapeError(
            f"diag: needs 1 or 2 dimensions, got shape {shape_of(x)}; use mg.diagonal for the "
            "diagonals of a stack of matrices"
        )
    entries = shape_of(x)[0]
    n = entries + abs(k)
    first = k if k >= 0 else -k * n
    places = slice(first, first + entries * (n + 1), n + 1)
    return reshape_to(scatter_row(x, key=places, shape=(n * n,)), shape=(n, n))


def diagflat(x: Any, k: int = 0) -> Any:
    """A matrix with the entries of ``x``, flattened, on its k-th diagonal."""
    return diag(ravel(x), k)


def _triangle(x: Any, k: int, user: str) -> Any:
    if not ndim(x):
        raise ShapeError(f"{user}: the operand is 0-dimensional; give a matrix or a stack of them")
    rows, columns = (shape_of(x) * 2)[-2:]  # a row stands for a square of equal rows
    return np.tri(rows, columns, k=k, dtype=bool)


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangles of matrices up to the k-th diagonal, 0 above; as numpy.tril."""
    return where(_triangle(x, k, "tril"), x, 0.0)


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangles of matrices from the k-th diagonal on, 0 below; as numpy.triu."""
    return where(_triangle(x, k - 1, "triu"), 0.0, x)


# Putting in and leaving out


def _places(user: str, function: Any, n: int, obj: Any, *values: Any) -> Any:
    """What NumPy's ``function`` does to the numbers of the entries of an axis."""
    try:
        return function(np.arange(n), _plain(obj, user), *values)
    except (IndexError, ValueError) as error:
        raise ShapeError(f"{user}: in an axis of length {n}: {error}") from None


def delete(x: Any, obj: Any, axis: int | None = None) -> Any:
    """Without the entries that ``obj`` (an int, ints, a slice or a mask) names; as numpy.delete."""
    x, axis = flat_or_along(x, axis, "delete")
    n = shape_of(x)[axis]
    kept = np.zeros(n, bool)
    kept[_places("delete", np.delete, n, obj)] = True
    return index(x, along(axis, kept))


def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """``values`` put in before the entries that ``obj`` names along ``axis``; as numpy.insert.

    Args:
        obj: an int, ints, a slice or a mask: places in ``x`` as it was before.
        values: broadcast to what is put in; takes the dtype of ``x``.

    >>> import numpy as np, microgradopt as mg
    >>> mg.insert(np.array([1.0, 2.0, 3.0]), [1, 3], [10.0, 20.0])
    array([ 1., 10.,  2.,  3., 20.])
    """
    x, axis = flat_or_along(x, axis, "insert")
    have = shape_of(x)
    n = have[axis]
    count = len(_places("insert", np.insert, n, obj, 0)) - n
    values = with_ndim(in_dtype_of(x, values), len(have))
    if not isinstance(obj, slice) and np.ndim(obj) == 0:
        values = moveaxis(values, 0, axis)
    if count == 1:
        count = shape_of(values)[axis]
    new = broadcast_to(values, (*have[:axis], count, *have[axis + 1 :]))
    order = _places("insert", np.insert, n, obj, np.arange(n, n + count))
    return index(concatenate([x, new], axis), along(axis, order))


def in_dtype_of(like: Any, values: Any) -> Any:
    """``values`` in the dtype of ``like``, where that holds floating-point numbers."""
    wanted = np.asarray(data_of(like)).dtype
    have = np.asarray(data_of(values)).dtype
    return values if wanted.kind != "f" or have == wanted else as_dtype(values, dtype=wanted)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """``values`` joined to the end of ``x`` along ``axis``; both flattened when it is None."""
    x, values = without_promotion([x, values])
    if axis is None:
        x, values, axis = ravel(x), ravel(values), 0
    return concatenate([x, values], axis)
