"""Linear primitives on arrays: sums, shapes, indexing, joining, and the functions closest to them.

Each takes floats, arrays, ``Value`` and ``Tensor`` and has NumPy's name and arguments.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.modes import tracer
from microgradopt.engine.ops.elementwise import where as choose
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
    "astype", "broadcast_to", "concat", "concatenate", "cumsum", "expand_dims", "flip",
    "matrix_transpose", "moveaxis", "permute_dims", "ravel", "reshape", "squeeze", "stack", "sum",
    "swapaxes", "transpose",
]  # fmt: skip


def ndim(x: Any) -> int:
    """The number of dimensions of a float (0), an array or a node."""
    return len(shape(x))


# Sums


def sum(
    x: Any,
    axis: Any = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """The sum over ``axis`` (an int, a tuple, or None for all), as numpy.sum.

    Args:
        dtype: a floating-point dtype that the entries are brought to first.
        initial: a number that the sum starts from.
        where: truth values, broadcast to ``x``: the entries that take part.
    """
    if dtype is not None or where is not True:
        x = taking_part(x, dtype, where, 0.0, "sum")
    total = add_up(x, axis=check_axis(axis, ndim(x), "sum"), keepdims=keepdims)
    return total if initial is None else total + number(initial, "sum")


def taking_part(x: Any, dtype: Any, where: Any, otherwise: float, user: str) -> Any:
    """``x`` in the dtype of a reduction, with ``otherwise`` for the entries it leaves out."""
    if dtype is not None:
        x = astype(x, dtype)
    return x if where is True else choose(mask_for(x, where, user), x, otherwise)


def mask_for(x: Any, where: Any, user: str) -> Any:
    """The ``where`` of a reduction, checked: truth values that broadcast to the shape of ``x``."""
    mask = np.asarray(data_of(where))
    if mask.dtype != bool:
        raise DTypeError(
            f"{user}: where= takes truth values, got {mask.dtype}; use a comparison such as x > 0"
        )
    try:
        fits = np.broadcast_shapes(mask.shape, shape(x)) == shape(x)
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{user}: where= of shape {mask.shape} does not broadcast to the operand's {shape(x)}"
        )
    return mask


def number(x: Any, user: str) -> Any:
    """The ``initial`` of a reduction, checked: a single number."""
    if shape(x) != ():
        raise ShapeError(f"{user}: initial= is one number, got an array of shape {shape(x)}")
    return x


def cumsum(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """The running sum along ``axis``; over the flattened array when it is None."""
    if dtype is not None:
        x = astype(x, dtype)
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


def reshape(
    x: Any, shape: int | Sequence[int], order: str = "C", *, copy: bool | None = None
) -> Any:
    """The same entries in another shape; one entry of ``shape`` may be −1.

    Args:
        order: "C" counts the last axis fastest, "F" the first.
        copy: whether an array is copied first; nobody writes into the data of nodes.
    """
    if copy and not isinstance(x, Node):
        x = np.array(x)
    have = np.shape(data_of(x))
    size = math.prod(have)
    asked = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    known = math.prod(n for n in asked if n != -1)
    free = asked.count(-1)
    fits = known == size if not free else (known and size % known == 0)
    if free > 1 or not fits or any(n < -1 for n in asked):
        raise ShapeError(f"reshape: {size} entries of shape {have} do not fill the shape {asked}")
    wanted = tuple(int(size // known if n == -1 else n) for n in asked)
    if _counts_last_axis_fastest(order, "reshape"):
        return reshape_to(x, shape=wanted)
    return transpose(reshape_to(transpose(x), shape=wanted[::-1]))


def _counts_last_axis_fastest(order: str, user: str) -> bool:
    if order not in ("C", "F"):
        raise UsageError(
            f"{user}: order={order!r} depends on how the numbers lie in memory, which is not part "
            "of a node's value; use 'C' (last axis fastest) or 'F' (first axis fastest)"
        )
    return order == "C"


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


permute_dims = transpose  # NumPy has both names


def matrix_transpose(x: Any) -> Any:
    """The last two axes exchanged: each matrix of a stack transposed."""
    if ndim(x) < 2:
        raise ShapeError(f"matrix_transpose: needs at least 2 dimensions, got shape {shape(x)}")
    return swapaxes(x, -1, -2)


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


def with_ndim(x: Any, n: int) -> Any:
    """An operand with axes of length 1 in front, so that it has ``n`` dimensions or more."""
    x = x if isinstance(x, Node) else np.asarray(x)
    missing = n - ndim(x)
    return reshape_to(x, shape=(1,) * missing + shape(x)) if missing > 0 else x


def squeeze(x: Any, axis: Any = None) -> Any:
    """Remove axes of length 1: all of them, or those that ``axis`` names."""
    have = shape(x)
    if axis is None:
        return reshape_to(x, shape=tuple(n for n in have if n != 1))
    axes = check_axis(axis if isinstance(axis, (tuple, list)) else (axis,), len(have), "squeeze")
    if any(have[a] != 1 for a in axes):
        raise ShapeError(f"squeeze: axis {axis!r} of shape {have} is not of length 1")
    return reshape_to(x, shape=tuple(n for i, n in enumerate(have) if i not in axes))


def ravel(x: Any, order: str = "C") -> Any:
    """The entries as one row, the last axis counted fastest, or with ``order="F"`` the first."""
    flat = (math.prod(shape(x)),)
    if _counts_last_axis_fastest(order, "ravel"):
        return reshape_to(x, shape=flat)
    return reshape_to(transpose(x), shape=flat)


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
    try:
        if not isinstance(x, Node):
            data = x if x.__class__ is np.ndarray else np.asarray(x)
            return data[key] if tracer() is None else index_row.compute((data,), {"key": key})
        key = _plain_key(key)
        return index_row(x if x._raw.__class__ is not float else reshape_to(x, shape=()), key=key)
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


def _add_entries(total: Any, g: Any, key: Any) -> None:
    """What scattering adds, without an array of zeros for each piece of many."""
    if _may_repeat(key):
        np.add.at(total, key, g)
    else:
        total[key] += g


index_row: Linear = Linear(
    "index",
    symbol="[ ]",
    array=lambda x, key: x[key],
    transpose=lambda g, x, key: scatter_row(g, key=key, shape=shape(x)),
    adds=_add_entries,
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


# Joining


def of_one_dtype(parts: Sequence[Any]) -> list[Any]:
    """Raw operands with floats in the dtype of the arrays among them: float32 stays float32."""
    dtypes = [p.dtype for p in parts if isinstance(p, np.ndarray)]
    if not dtypes:
        return list(parts)
    common = np.result_type(*dtypes)
    return [np.asarray(p, common) if type(p) is float else p for p in parts]


def without_promotion(parts: Sequence[Any]) -> list[Any]:
    """Operands with numbers, lists and Values in the dtype of the floating-point arrays among them.

    For functions that give their operands a shape first: where a number does not promote float32,
    an array of shape (1,) would.
    """
    dtypes = [d.dtype for d in map(data_of, parts) if isinstance(d, np.ndarray)]
    common = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
    if common.kind != "f" or common == np.float64:
        return list(parts)
    return [p if isinstance(data_of(p), np.ndarray) else as_dtype(p, dtype=common) for p in parts]


def cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """The entries from ``start`` to before ``stop`` along one axis."""
    return index(x, (slice(None),) * axis + (slice(start, stop),))


def _uncat(g: Any, *parts: Any, axis: int) -> tuple[Any, ...]:
    ends = np.cumsum([shape(p)[axis] for p in parts]).tolist()
    return tuple(cut(g, axis, a, b) for a, b in zip([0, *ends], ends))


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


def parts_of(arrays: Any, user: str) -> list[Any]:
    """The operands of a function that joins several; none at all is an error."""
    parts = list(arrays)
    if not parts:
        raise ShapeError(f"{user}: needs at least one array, got none")
    return parts


def concatenate(arrays: Sequence[Any], axis: int | None = 0, *, dtype: Any = None) -> Any:
    """Join arrays along an existing axis, flattened first when it is None, in a ``dtype``."""
    parts = parts_of(arrays, "concatenate")
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
    joined = concatenate_row(*parts, axis=axis)
    return joined if dtype is None else astype(joined, dtype)


concat = concatenate  # NumPy has both names


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def stack(arrays: Sequence[Any], axis: int = 0, *, dtype: Any = None) -> Any:
    """Join equally shaped arrays (or scalars) along a new axis, in a ``dtype``."""
    parts = parts_of(arrays, "stack")
    shapes = {shape(p) for p in parts}
    if len(shapes) > 1:
        raise ShapeError(f"stack: all shapes must be equal, got {sorted(shapes)}")
    joined = stack_row(*parts, axis=check_axis(axis, len(shapes.pop()) + 1, "stack"))
    return joined if dtype is None else astype(joined, dtype)
