"""Turning, repeating, joining and cutting arrays, by NumPy's names and arguments."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.ops.indexing import along, flat_or_along, whole
from microgradopt.engine.ops.shapes import (
    broadcast_to,
    concatenate,
    cut,
    expand_dims,
    flip,
    index,
    moveaxis,
    ndim,
    parts_of,
    ravel,
    sum,
    swapaxes,
    with_ndim,
    without_promotion,
)
from microgradopt.engine.rules import Linear, alias, check_axis, reshape_to, shape_of
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "block", "broadcast_arrays",
    "column_stack", "copy", "dsplit", "dstack", "fliplr", "flipud", "hsplit", "hstack",
    "meshgrid", "repeat", "resize", "roll", "rollaxis", "rot90", "split", "tile", "unstack",
    "vsplit", "vstack",
]  # fmt: skip


def copy(x: Any) -> Any:
    """The same numbers as a node of their own, or in an array of their own."""
    return alias(x) if isinstance(x, Node) else np.array(x)


# Turning

roll_row: Linear = Linear(
    "roll",
    array=np.roll,
    transpose=lambda g, x, shift, axis: roll_row(g, shift=tuple(-s for s in shift), axis=axis),
    sample=lambda rng: [
        ((rng.normal(size=(3, 4)),), {"shift": shift, "axis": axis})
        for shift, axis in (((1,), (0,)), ((-2, 5), (0, 1)))
    ],
)


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Every entry moved on by ``shift`` places along ``axis``, round the end; as numpy.roll.

    Args:
        shift: an int, or a tuple of one per axis.
        axis: an int, a tuple, or None to roll the flattened array.
    """
    if axis is None:
        return reshape_to(roll(ravel(x), shift, 0), shape=shape_of(x))
    try:
        pairs = np.broadcast_arrays(whole(shift, "roll"), axis)
    except ValueError:
        raise ShapeError(f"roll: shift={shift!r} and axis={axis!r} do not pair up") from None
    shifts: dict[int, int] = {}
    for s, a in zip(*(p.ravel().tolist() for p in pairs)):
        along_axis = check_axis(a, ndim(x), "roll")
        shifts[along_axis] = shifts.get(along_axis, 0) + s
    return roll_row(x, shift=tuple(shifts.values()), axis=tuple(shifts))


def fliplr(x: Any) -> Any:
    """Left and right exchanged: the second axis reversed."""
    _need(x, 2, "fliplr")
    return flip(x, 1)


def flipud(x: Any) -> Any:
    """Top and bottom exchanged: the first axis reversed."""
    _need(x, 1, "flipud")
    return flip(x, 0)


def _need(x: Any, n: int, user: str) -> None:
    if ndim(x) < n:
        raise ShapeError(f"{user}: needs at least {n} dimension(s), got shape {shape_of(x)}")


def rot90(x: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """Turned by ``k`` quarter turns in the plane of two axes, from the first towards the second."""
    if len(axes) != 2:
        raise ShapeError(f"rot90: axes must name the two axes of a plane, got {axes!r}")
    first, second = check_axis(tuple(axes), ndim(x), "rot90")
    quarters = k % 4
    if quarters == 0:
        return copy(x)
    if quarters == 2:
        return flip(x, (first, second))
    if quarters == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second)


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """One axis moved to where axis ``start`` is now; as numpy.rollaxis."""
    n = ndim(x)
    axis = check_axis(axis, n, "rollaxis")
    if not -n <= start <= n:
        raise ShapeError(f"rollaxis: start {start} is out of range; use {-n} to {n}")
    start = start + n if start < 0 else start
    return moveaxis(x, axis, start - 1 if axis < start else start)


# Repeating


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each entry ``repeats`` times in a row along ``axis``, or of the flattened array.

    Args:
        repeats: an int, or one for each entry along the axis.
    """
    x, axis = flat_or_along(x, axis, "repeat")
    have = shape_of(x)
    counts = whole(repeats, "repeat")
    if counts.ndim > 1 or counts.size not in (1, have[axis]) or (counts < 0).any():
        raise ShapeError(
            f"repeat: repeats={repeats!r} along an axis of length {have[axis]}; give one count "
            "that is not negative, or one for each entry"
        )
    if counts.size != 1:
        return index(x, along(axis, np.repeat(np.arange(have[axis]), counts)))
    times = counts.item()
    before, after = have[: axis + 1], have[axis + 1 :]
    copies = broadcast_to(expand_dims(x, axis + 1), (*before, times, *after))
    return reshape_to(copies, shape=(*have[:axis], have[axis] * times, *after))


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """Copies of the whole array laid side by side, ``reps`` of them per axis; as numpy.tile."""
    times = tuple(int(r) for r in whole(reps, "tile").ravel())
    if any(r < 0 for r in times):
        raise ShapeError(f"tile: reps must not be negative, got {reps!r}")
    x = with_ndim(x, len(times))
    have = shape_of(x)
    times = (1,) * (len(have) - len(times)) + times
    apart = [n for m in have for n in (1, m)]
    copies = [n for r, m in zip(times, have) for n in (r, m)]
    repeated = broadcast_to(reshape_to(x, shape=tuple(apart)), copies)
    return reshape_to(repeated, shape=tuple(r * m for r, m in zip(times, have)))


def resize(x: Any, new_shape: int | Sequence[int]) -> Any:
    """The entries over and over until ``new_shape`` is full; as numpy.resize."""
    asked = (new_shape,) if isinstance(new_shape, (int, np.integer)) else tuple(new_shape)
    if any(n < 0 for n in asked):
        raise ShapeError(f"resize: new_shape must not be negative, got {new_shape!r}")
    size = math.prod(shape_of(x))
    if size == 0:
        return broadcast_to(sum(x), asked)  # zeros
    return index(ravel(x), np.resize(np.arange(size), asked))


# Dimensions


def _each(function: Any, arrays: Sequence[Any]) -> Any:
    done = tuple(function(x) for x in without_promotion(arrays))
    return done[0] if len(done) == 1 else done


def atleast_1d(*arrays: Any) -> Any:
    """Operands with one dimension or more; a tuple for several."""
    return _each(lambda x: with_ndim(x, 1), arrays)


def atleast_2d(*arrays: Any) -> Any:
    """Operands with two dimensions or more, new ones in front; a tuple for several."""
    return _each(lambda x: with_ndim(x, 2), arrays)


def atleast_3d(*arrays: Any) -> Any:
    """Operands with three dimensions or more: (n,) becomes (1, n, 1) and (m, n) (m, n, 1)."""
    return _each(_in_depth, arrays)


def _in_depth(x: Any) -> Any:
    x = with_ndim(x, 2)
    return expand_dims(x, 2) if ndim(x) == 2 else x


def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
    """The operands repeated to the one shape they broadcast to."""
    shapes = [shape_of(x) for x in arrays]
    try:
        together = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"broadcast_arrays: shapes {shapes} do not broadcast together") from None
    return tuple(broadcast_to(x, together) for x in without_promotion(arrays))


def meshgrid(
    *arrays: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """Coordinates of a grid: one array per axis, that axis's numbers along it; as numpy.meshgrid.

    Args:
        copy: has no effect; nobody writes into the data of nodes.
        sparse: whether to leave each grid with length 1 along the other axes.
        indexing: "xy" puts the first operand along the second axis, as pictures do; "ij" along
            the first, as matrices do.
    """
    if indexing not in ("xy", "ij"):
        raise UsageError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    n = len(arrays)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else range(n)
    grids = [
        reshape_to(x, shape=(1,) * a + (math.prod(shape_of(x)),) + (1,) * (n - a - 1))
        for a, x in zip(order, without_promotion(arrays))
    ]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


# Joining


def hstack(arrays: Sequence[Any], *, dtype: Any = None) -> Any:
    """Side by side: joined along the second axis, or the first of 1-d operands."""
    parts = [with_ndim(p, 1) for p in without_promotion(parts_of(arrays, "hstack"))]
    return concatenate(parts, 0 if ndim(parts[0]) == 1 else 1, dtype=dtype)


def vstack(arrays: Sequence[Any], *, dtype: Any = None) -> Any:
    """On top of each other: joined along the first axis, 1-d operands as rows."""
    parts = [with_ndim(p, 2) for p in without_promotion(parts_of(arrays, "vstack"))]
    return concatenate(parts, dtype=dtype)


def dstack(arrays: Sequence[Any]) -> Any:
    """Behind each other: joined along the third axis."""
    return concatenate([_in_depth(p) for p in without_promotion(parts_of(arrays, "dstack"))], 2)


def column_stack(arrays: Sequence[Any]) -> Any:
    """Side by side as the columns of a matrix; 1-d operands are columns."""
    parts = [with_ndim(p, 1) for p in without_promotion(parts_of(arrays, "column_stack"))]
    return concatenate([expand_dims(p, 1) if ndim(p) == 1 else p for p in parts], 1)


def block(arrays: Any) -> Any:
    """One array of blocks given as nested lists, the innermost joined along the last axis.

    >>> import numpy as np, microgradopt as mg
    >>> mg.block([[np.eye(2), np.zeros((2, 1))], [np.ones((1, 2)), 7.0]])
    array([[1., 0., 0.],
           [0., 1., 0.],
           [1., 1., 7.]])
    """
    leaves: list[Any] = []
    depth = _gather(arrays, leaves)
    n = max(depth, *map(ndim, leaves))
    parts = iter([with_ndim(x, n) for x in without_promotion(leaves)])
    joined = _assembled(arrays, parts, n - depth)
    return joined if depth else copy(joined)


def _gather(tree: Any, leaves: list[Any]) -> int:
    """Collect the blocks in ``tree``; returns how deep they are, which must be the same for all."""
    if isinstance(tree, tuple):
        raise UsageError("block: nest lists, not tuples; a tuple is neither a list nor an array")
    if not isinstance(tree, list):
        leaves.append(tree)
        return 0
    depths = {_gather(branch, leaves) for branch in tree}
    if len(depths) != 1:
        raise UsageError(
            "block: a list is empty"
            if not tree
            else "block: the lists are nested to "
            f"different depths ({sorted(depths)}); put every block equally deep"
        )
    return depths.pop() + 1


def _assembled(tree: Any, parts: Any, axis: int) -> Any:
    """The blocks of ``tree``, drawn from ``parts`` in order, joined; its own along ``axis``."""
    if not isinstance(tree, list):
        return next(parts)
    return concatenate([_assembled(branch, parts, axis + 1) for branch in tree], axis)


# Cutting


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Cut into equal ``sections``, or before each of the given positions; as numpy.split."""
    axis = check_axis(axis, ndim(x), "split")
    length = shape_of(x)[axis]
    if isinstance(sections, (int, np.integer)) and (sections < 1 or length % sections):
        raise ShapeError(
            f"split: an axis of length {length} has no {sections} equal sections; "
            "mg.array_split makes unequal ones"
        )
    return _sections(x, sections, axis)


def array_split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """As :func:`split`, but the first few sections may be longer by one than the rest."""
    if isinstance(sections, (int, np.integer)) and sections < 1:
        raise ShapeError(f"array_split: needs at least one section, got {sections}")
    return _sections(x, sections, check_axis(axis, ndim(x), "array_split"))


def _sections(x: Any, sections: int | Sequence[int], axis: int) -> list[Any]:
    length = shape_of(x)[axis]
    if isinstance(sections, (int, np.integer)):
        each, longer = divmod(length, int(sections))
        cuts = [each * i + min(i, longer) for i in range(int(sections) + 1)]
    else:
        cuts = [0, *(int(c) for c in sections), length]
    return [cut(x, axis, a, b) for a, b in pairwise(cuts)]


def hsplit(x: Any, sections: int | Sequence[int]) -> list[Any]:
    """Cut side by side: along the second axis, or the first of a 1-d operand."""
    _need(x, 1, "hsplit")
    return split(x, sections, axis=1 if ndim(x) > 1 else 0)


def vsplit(x: Any, sections: int | Sequence[int]) -> list[Any]:
    """Cut from top to bottom: along the first axis."""
    _need(x, 2, "vsplit")
    return split(x, sections, axis=0)


def dsplit(x: Any, sections: int | Sequence[int]) -> list[Any]:
    """Cut in depth: along the third axis."""
    _need(x, 3, "dsplit")
    return split(x, sections, axis=2)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices along ``axis``, which is gone from each; undoes :func:`stack`."""
    axis = check_axis(axis, ndim(x), "unstack")
    return tuple(index(x, along(axis, i)) for i in range(shape_of(x)[axis]))
