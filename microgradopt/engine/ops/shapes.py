"""Linear primitives on arrays: sums, shapes, indexing, joining, and the functions around them.

Each takes floats, arrays, ``Value`` and ``Tensor`` and has NumPy's name and arguments.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.rules import (
    Linear,
    add_up,
    as_dtype,
    broadcast_to as broadcast_row,
    check_axis,
    data_of,
    reshape_to,
    shape_of as shape,
)
from microgradopt.errors import DTypeError, ShapeError, UsageError

__all__ = [
    "astype", "broadcast_to", "concatenate", "cumsum", "expand_dims", "flip", "moveaxis", "pad",
    "ravel", "reshape", "split", "squeeze", "stack", "sum", "swapaxes", "transpose",
]  # fmt: skip


def ndim(x: Any) -> int:
    """The number of dimensions of a float (0), an array or a node."""
    return len(shape(x))


# Sums


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over ``axis`` (an int, a tuple, or None for all), as numpy.sum."""
    return add_up(x, axis=check_axis(axis, ndim(x), "sum"), keepdims=keepdims)


def cumsum(x: Any, axis: int | None = None) -> Any:
    """The running sum along ``axis``; over the flattened array when it is None."""
    if axis is None:
        x, axis = ravel(x), 0
    return cumsum_row(x, axis=check_axis(axis, ndim(x), "cumsum"))


cumsum_row: Linear = Linear(
    "cumsum",
    array=np.cumsum,
    transpose=lambda g, x, axis: flip(cumsum_row(flip(g, axis), axis=axis), axis),
    sample=lambda rng: [((rng.normal(size=(3, 4)),), {"axis": a}) for a in (0, 1)],
)


# Shapes


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """The same entries in another shape; one entry of ``shape`` may be −1."""
    size = int(np.size(data_of(x)))
    asked = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    known = int(np.prod([n for n in asked if n != -1], dtype=int))
    free = asked.count(-1)
    fits = known == size if not free else (known and size % known == 0)
    if free > 1 or not fits or any(n < -1 for n in asked):
        raise ShapeError(
            f"reshape: {size} entries of shape {np.shape(data_of(x))} do not fill the shape {asked}"
        )
    return reshape_to(x, shape=tuple(int(size // known if n == -1 else n) for n in asked))


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Any:
    """``x`` repeated to ``shape`` by NumPy's broadcasting rules."""
    wanted = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    have = np.shape(data_of(x))
    try:
        fits = np.broadcast_shapes(have, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"broadcast_to: an operand of shape {have} does not broadcast to {wanted}")
    return broadcast_row(x, shape=wanted)


transpose_row: Linear = Linear(
    "transpose",
    symbol="ᵀ",
    array=np.transpose,
    transpose=lambda g, x, axes: transpose_row(g, axes=tuple(int(i) for i in np.argsort(axes))),
    sample=lambda rng: [((rng.normal(size=(2, 3, 4)),), {"axes": (1, 2, 0)})],
)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order: reversed, or as ``axes`` says."""
    n = ndim(x)
    order = tuple(reversed(range(n))) if axes is None else check_axis(tuple(axes), n, "transpose")
    if len(order) != n:
        raise ShapeError(f"transpose: axes {axes!r} must name each of the {n} dimensions once")
    return transpose_row(x, axes=order)


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move axes to other places, the rest staying in order; as numpy.moveaxis."""
    n = ndim(x)
    src, dst = (
        check_axis(a if isinstance(a, (tuple, list)) else (a,), n, "moveaxis")
        for a in (source, destination)
    )
    if len(src) != len(dst):
        raise ShapeError(f"moveaxis: {source!r} and {destination!r} name different numbers of axes")
    order = [i for i in range(n) if i not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return transpose_row(x, axes=tuple(order))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes."""
    order = list(range(ndim(x)))
    a, b = check_axis(axis1, len(order), "swapaxes"), check_axis(axis2, len(order), "swapaxes")
    order[a], order[b] = order[b], order[a]
    return transpose_row(x, axes=tuple(order))


def expand_dims(x: Any, axis: Any) -> Any:
    """Insert axes of length 1 at the places ``axis`` of the result."""
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    n = ndim(x) + len(axes)
    places, rest = check_axis(tuple(axes), n, "expand_dims"), iter(shape(x))
    return reshape_to(x, shape=tuple(1 if i in places else next(rest) for i in range(n)))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Remove axes of length 1: all of them, or those that ``axis`` names."""
    have = shape(x)
    if axis is None:
        return reshape_to(x, shape=tuple(n for n in have if n != 1))
    axes = check_axis(axis if isinstance(axis, (tuple, list)) else (axis,), len(have), "squeeze")
    if any(have[a] != 1 for a in axes):
        raise ShapeError(f"squeeze: axis {axis!r} of shape {have} is not of length 1")
    return reshape_to(x, shape=tuple(n for i, n in enumerate(have) if i not in axes))


def ravel(x: Any) -> Any:
    """The entries as one row, in C order."""
    return reshape_to(x, shape=(int(np.size(data_of(x))),))


def flip(x: Any, axis: Any = None) -> Any:
    """Reverse the entries along ``axis``, or along every axis."""
    axes = check_axis(axis, ndim(x), "flip")
    axes = range(ndim(x)) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    backwards = slice(None, None, -1)
    return index(x, tuple(backwards if i in axes else slice(None) for i in range(ndim(x))))


def astype(x: Any, dtype: Any) -> Any:
    """The same numbers in another floating-point dtype."""
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise DTypeError(f"astype: nodes hold floating-point numbers; {wanted} is not one of them")
    return as_dtype(x, dtype=wanted)


# Indexing and its transpose


def index(x: Any, key: Any) -> Any:
    """``x[key]`` with all of NumPy's basic and advanced indexing; repeated entries accumulate."""
    if not isinstance(x, Node):
        return x[key]
    key = _plain_key(key)
    try:
        return index_row(x, key=key)
    except IndexError as error:
        raise ShapeError(f"indexing an array of shape {shape(x)} with [{key!r}]: {error}") from None


def _plain_key(key: Any) -> Any:
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if isinstance(part, Node):
            raise DTypeError(
                "indexing: a graph node cannot be an index; use plain ints or an integer array "
                "(node.data.astype(int) if you mean its numbers)"
            )
    parts = tuple(p if _is_basic(p) else _own_index(p) for p in parts)
    return parts if isinstance(key, tuple) else parts[0]


def _is_basic(part: Any) -> bool:
    return part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))


def _own_index(part: Any) -> Any:
    """An index array that nobody else will change before the backward pass."""
    array = np.array(part)
    return array if array.size or isinstance(part, np.ndarray) else array.astype(int)


def _may_repeat(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(p, np.ndarray) and p.dtype != bool for p in parts)


def _scatter(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, np.asarray(g).dtype)
    if _may_repeat(key):
        np.add.at(out, key, g)
    else:
        out[key] = g
    return out


index_row: Linear = Linear(
    "index",
    symbol="[ ]",
    array=lambda x, key: x[key],
    transpose=lambda g, x, key: scatter_row(g, key=key, shape=shape(x)),
    sample=lambda rng: [
        ((rng.normal(size=(4, 3)),), {"key": key})
        for key in (
            1,
            (slice(None, None, -2), None, 1),
            (Ellipsis, slice(1, 3)),
            np.array([0, 2, 0, -1]),
            (np.array([[0], [1]]), np.array([2, 2])),
            rng.normal(size=(4, 3)) > 0,
        )
    ],
)
scatter_row: Linear = Linear(
    "scatter",
    array=_scatter,
    transpose=lambda g, x, key, shape: index_row(g, key=key),
    sample=lambda rng: [
        ((rng.normal(size=(2, 2)),), {"key": np.array([1, 1]), "shape": (3, 2)}),
        ((rng.normal(size=(2,)),), {"key": (0, slice(0, 4, 2)), "shape": (2, 4)}),
    ],
)


# Joining, splitting, padding


def of_one_dtype(parts: Sequence[Any]) -> list[Any]:
    """Raw operands with floats in the dtype of the arrays among them: float32 stays float32."""
    dtypes = [p.dtype for p in parts if isinstance(p, np.ndarray)]
    if not dtypes:
        return list(parts)
    common = np.result_type(*dtypes)
    return [np.asarray(p, common) if type(p) is float else p for p in parts]


def _cut(g: Any, axis: int, start: int, stop: int) -> Any:
    return index(g, (slice(None),) * axis + (slice(start, stop),))


def _uncat(g: Any, *parts: Any, axis: int) -> tuple[Any, ...]:
    ends = np.cumsum([shape(p)[axis] for p in parts]).tolist()
    return tuple(_cut(g, axis, a, b) for a, b in zip([0, *ends], ends))


concatenate_row: Linear = Linear(
    "concatenate",
    symbol="concat",
    array=lambda *parts, axis: np.concatenate(parts, axis),
    transpose=_uncat,
    sample=lambda rng: [((rng.normal(size=(2, 3)), rng.normal(size=(2, 2))), {"axis": 1})],
)
stack_row: Linear = Linear(
    "stack",
    array=lambda *parts, axis: np.stack(of_one_dtype(parts), axis),
    transpose=lambda g, *parts, axis: tuple(
        index(g, (slice(None),) * axis + (i,)) for i in range(len(parts))
    ),
    sample=lambda rng: [
        ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axis": a}) for a in (0, 1, 2)
    ],
)


def _parts(arrays: Any, user: str) -> list[Any]:
    parts = list(arrays)
    if not parts:
        raise ShapeError(f"{user}: needs at least one array, got none")
    return parts


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """Join arrays along an existing axis; flattened first when ``axis`` is None."""
    parts = _parts(arrays, "concatenate")
    if axis is None:
        parts, axis = [ravel(p) for p in parts], 0
    shapes = [shape(p) for p in parts]
    n = len(shapes[0])
    if n == 0:
        raise ShapeError("concatenate: 0-dimensional operands cannot be joined; use mg.stack")
    axis = check_axis(axis, n, "concatenate")
    if any(len(s) != n or s[:axis] + s[axis + 1 :] != _without(shapes[0], axis) for s in shapes):
        raise ShapeError(
            f"concatenate: shapes {shapes} differ elsewhere than along axis {axis}; "
            "all other dimensions must agree"
        )
    return concatenate_row(*parts, axis=axis)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join equally shaped arrays (or scalars) along a new axis."""
    parts = _parts(arrays, "stack")
    shapes = {shape(p) for p in parts}
    if len(shapes) > 1:
        raise ShapeError(f"stack: all shapes must be equal, got {sorted(shapes)}")
    return stack_row(*parts, axis=check_axis(axis, len(shapes.pop()) + 1, "stack"))


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Cut into equal ``sections``, or before each of the given positions; as numpy.split."""
    axis = check_axis(axis, ndim(x), "split")
    length = shape(x)[axis]
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or length % sections:
            raise ShapeError(f"split: an axis of length {length} has no {sections} equal sections")
        cuts = [length // int(sections) * i for i in range(int(sections) + 1)]
    else:
        cuts = [0, *(int(c) for c in sections), length]
    return [_cut(x, axis, a, b) for a, b in pairwise(cuts)]


def _unpad(g: Any, x: Any, width: tuple[tuple[int, int], ...]) -> Any:
    return index(g, tuple(slice(a, a + n) for (a, _), n in zip(width, shape(x))))


pad_row: Linear = Linear(
    "pad",
    array=lambda x, width: np.pad(x, width),
    transpose=_unpad,
    sample=lambda rng: [((rng.normal(size=(2, 3)),), {"width": ((1, 0), (2, 3))})],
)
PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    """Add entries at both ends of every axis; as numpy.pad.

    Args:
        pad_width: an int, a pair (before, after), or a pair for each axis.
        mode: "constant", or one that repeats entries: "edge", "reflect", "symmetric", "wrap".
    """
    have = shape(x)
    try:
        width = np.broadcast_to(np.asarray(pad_width, dtype=np.int64), (len(have), 2))
    except (ValueError, TypeError):
        raise ShapeError(
            f"pad: pad_width {pad_width!r} does not give (before, after) for {len(have)} axes"
        ) from None
    if (width < 0).any():
        raise ShapeError(f"pad: pad_width must not be negative, got {pad_width!r}")
    if mode not in PAD_MODES:
        raise UsageError(f"pad: unknown mode {mode!r}; choose from {', '.join(PAD_MODES)}")
    pairs = tuple((int(a), int(b)) for a, b in width)
    if mode != "constant":
        sources = [np.pad(np.arange(n), w, mode=mode) for n, w in zip(have, pairs)]  # type: ignore[call-overload]  # mode is one of PAD_MODES
        return index(x, np.ix_(*sources))
    padded = pad_row(x, width=pairs)
    if constant_values == 0.0:
        return padded
    frame = np.pad(np.zeros(have), pairs, constant_values=constant_values)
    return padded + frame.astype(np.asarray(data_of(x)).dtype)
