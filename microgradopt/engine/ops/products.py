"""Multilinear primitives: products of matrices and sums of products, for every NumPy shape."""

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from microgradopt.engine.ops.shapes import (
    expand_dims,
    index,
    moveaxis,
    ndim,
    of_one_dtype,
    ravel,
    reshape,
    stack,
    sum,
    swapaxes,
    transpose,
    with_ndim,
    without_promotion,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import (
    Multilinear,
    broadcast_to as broadcast_row,
    check_axis,
    shape_of as shape,
)
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "cross", "diagonal", "dot", "einsum", "inner", "kron", "matmul", "matvec", "outer",
    "tensordot", "trace", "vdot", "vecdot", "vecmat",
]  # fmt: skip

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # einsum's, in NumPy's order


def _left(g: Any, x: Any, y: Any) -> Any:
    """The cotangent of x in x @ y; extra leading axes are summed by the engine."""
    if ndim(y) == 1:
        return g * y if ndim(x) == 1 else expand_dims(g, -1) * y
    if ndim(x) == 1:
        return index(matmul_row(y, expand_dims(g, -1)), (Ellipsis, 0))
    return matmul_row(g, swapaxes(y, -1, -2))


def _right(g: Any, x: Any, y: Any) -> Any:
    """The cotangent of y in x @ y."""
    if ndim(x) == 1:
        return g * x if ndim(y) == 1 else expand_dims(x, -1) * expand_dims(g, -2)
    if ndim(y) == 1:
        return index(matmul_row(swapaxes(x, -1, -2), expand_dims(g, -1)), (Ellipsis, 0))
    return matmul_row(swapaxes(x, -1, -2), g)


matmul_row = Multilinear(
    "matmul",
    symbol="@",
    array=np.matmul,
    transposes=(_left, _right),
    sample=lambda rng: [
        ((rng.normal(size=a), rng.normal(size=b)), {})
        for a, b in [
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((1, 5, 2, 3), (4, 1, 3, 2)),
            ((3,), (5, 3, 2)),
            ((5, 2, 3), (3,)),
        ]
    ],
)


def matmul(x: Any, y: Any) -> Any:
    """The matrix product ``x @ y``, batched over leading axes; as numpy.matmul."""
    a, b = shape(x), shape(y)
    if not a or not b:
        raise ShapeError(f"matmul: shapes {a} and {b}: a 0-dimensional operand; use * to scale")
    if a[-1] != b[-2 if len(b) > 1 else 0]:
        raise ShapeError(
            f"matmul: shapes {a} and {b} do not fit: the last dimension of the first ({a[-1]}) "
            f"must equal the second-to-last of the second ({b[-2 if len(b) > 1 else 0]}); "
            "is an operand transposed?"
        )
    try:
        return matmul_row(x, y)
    except ValueError:
        raise ShapeError(f"matmul: the batch dimensions of {a} and {b} do not broadcast") from None


def tensordot(x: Any, y: Any, axes: Any = 2) -> Any:
    """Sum of products over paired axes; as numpy.tensordot."""
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(ndim(x), ndim(y)):
            raise ShapeError(
                f"tensordot: axes={axes} cannot be paired between shapes {shape(x)} and {shape(y)}"
            )
        over_x: Any = range(ndim(x) - int(axes), ndim(x))
        over_y: Any = range(int(axes))
    else:
        over_x, over_y = ((a,) if isinstance(a, (int, np.integer)) else a for a in axes)
    xs = check_axis(tuple(over_x), ndim(x), "tensordot")
    ys = check_axis(tuple(over_y), ndim(y), "tensordot")
    if [shape(x)[a] for a in xs] != [shape(y)[a] for a in ys]:
        raise ShapeError(
            f"tensordot: axes {tuple(xs)} of shape {shape(x)} and {tuple(ys)} of {shape(y)} differ"
        )
    free_x = [a for a in range(ndim(x)) if a not in xs]
    free_y = [a for a in range(ndim(y)) if a not in ys]
    inner = int(np.prod([shape(x)[a] for a in xs], dtype=int))
    outer_x = [shape(x)[a] for a in free_x]
    outer_y = [shape(y)[a] for a in free_y]
    left = reshape(transpose(x, [*free_x, *xs]), (int(np.prod(outer_x, dtype=int)), inner))
    right = reshape(transpose(y, [*ys, *free_y]), (inner, int(np.prod(outer_y, dtype=int))))
    return reshape(matmul_row(left, right), (*outer_x, *outer_y))


@quietly
def dot(x: Any, y: Any) -> Any:
    """numpy.dot: inner product, matrix product, or scaling, by the operands' dimensions."""
    if not ndim(x) or not ndim(y):
        return x * y
    if ndim(y) <= 2 and ndim(x) <= 2:
        return matmul(x, y)
    return tensordot(x, y, axes=(-1, -2 if ndim(y) > 1 else 0))


@quietly
def outer(x: Any, y: Any) -> Any:
    """The matrix of all products of an entry of ``x`` with an entry of ``y``."""
    column = expand_dims(ravel(x), 1) if ndim(x) or not ndim(y) else x
    return column * (expand_dims(ravel(y), 0) if ndim(y) else y)


def inner(x: Any, y: Any) -> Any:
    """The products of last axes, summed; of numbers the product; as numpy.inner."""
    if not ndim(x) or not ndim(y):
        return dot(x, y)
    return tensordot(x, y, axes=(-1, -1))


def vdot(x: Any, y: Any) -> Any:
    """The inner product of two arrays, both flattened; as numpy.vdot."""
    x, y = without_promotion([x, y])
    return matmul(ravel(x), ravel(y))


def vecdot(x: Any, y: Any, axis: int = -1) -> Any:
    """The inner products of vectors along ``axis``; other axes broadcast; as numpy.vecdot."""
    a, b = (shape(z)[check_axis(axis, ndim(z), "vecdot")] for z in (x, y))
    if a != b:
        raise ShapeError(
            f"vecdot: shapes {shape(x)} and {shape(y)} have vectors of {a} and of {b} numbers "
            f"along axis {axis}"
        )
    if ndim(x) == ndim(y) == 1:
        return matmul_row(x, y)
    return einsum("...i,...i->...", moveaxis(x, axis, -1), moveaxis(y, axis, -1))


def matvec(x: Any, y: Any) -> Any:
    """Matrices times vectors, stacks of both broadcast; as numpy.matvec."""
    if ndim(x) < 2 or not ndim(y):
        raise ShapeError(
            f"matvec: needs matrices and vectors, got shapes {shape(x)} and {shape(y)}"
        )
    return index(matmul(x, expand_dims(y, -1)), (Ellipsis, 0))


def vecmat(x: Any, y: Any) -> Any:
    """Vectors times matrices, stacks of both broadcast; as numpy.vecmat."""
    if not ndim(x) or ndim(y) < 2:
        raise ShapeError(
            f"vecmat: needs vectors and matrices, got shapes {shape(x)} and {shape(y)}"
        )
    return index(matmul(expand_dims(x, -2), y), (Ellipsis, 0, slice(None)))


@quietly
def cross(
    x: Any, y: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The vectors at right angles to pairs of vectors in space; as numpy.cross.

    Args:
        axisa: where the three coordinates of ``x`` are; likewise axisb for y, axisc in the result.
        axis: all three at once.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    places = check_axis(axisa, ndim(x), "cross"), check_axis(axisb, ndim(y), "cross")
    if [shape(z)[a] for z, a in zip((x, y), places)] != [3, 3]:
        raise ShapeError(
            f"cross: needs vectors of 3 numbers, got shapes {shape(x)} and {shape(y)} with axes "
            f"{axisa} and {axisb}; for 2 write x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]"
        )
    x, y = (moveaxis(z, a, 0) for z, a in zip((x, y), places))
    a, b = ([index(z, i) for i in range(3)] for z in (x, y))
    out = [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
    return stack(out, check_axis(axisc, ndim(out[0]) + 1, "cross"))


@quietly
def kron(x: Any, y: Any) -> Any:
    """Every entry of ``x`` replaced by its product with the whole of ``y``; as numpy.kron."""
    n = max(ndim(x), ndim(y))
    x, y = (with_ndim(z, n) for z in without_promotion([x, y]))
    a, b = shape(x), shape(y)
    products = reshape(x, [m for k in a for m in (k, 1)]) * reshape(
        y, [m for k in b for m in (1, k)]
    )
    return reshape(products, [j * k for j, k in zip(a, b)])


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries (i, i + offset) of two axes, as the last axis; as numpy.diagonal."""
    if ndim(x) < 2:
        raise ShapeError(f"diagonal: needs at least 2 dimensions, got shape {shape(x)}")
    last = (ndim(x) - 2, ndim(x) - 1)
    in_place = check_axis((axis1, axis2), ndim(x), "diagonal") == last
    y = x if in_place else moveaxis(x, (axis1, axis2), last)
    rows, columns = shape(y)[-2:]
    start = (max(-offset, 0), max(offset, 0))
    steps = np.arange(max(min(rows - start[0], columns - start[1]), 0))
    return index(y, (Ellipsis, steps + start[0], steps + start[1]))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of the diagonal; as numpy.trace."""
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


def _transpose_einsum(i: int, g: Any, *args: Any, inputs: tuple[str, ...], output: str) -> Any:
    others = args[:i] + args[i + 1 :]
    labels = (output, *inputs[:i], *inputs[i + 1 :])
    found = einsum_row(g, *others, inputs=labels, output=inputs[i])
    return broadcast_row(found, shape=np.broadcast_shapes(shape(found), shape(args[i])))


einsum_row = Multilinear(
    "einsum",
    array=lambda *args, inputs, output: np.einsum(
        f"{','.join(inputs)}->{output}", *of_one_dtype(args), optimize=len(args) > 1
    ),
    transposes=_transpose_einsum,
    sample=lambda rng: [
        (
            (rng.normal(size=(2, 3)), rng.normal(size=(3, 4))),
            {"inputs": ("ij", "jk"), "output": "ki"},
        ),
        ((rng.normal(size=(2, 3)),), {"inputs": ("ij",), "output": "ji"}),
        (
            (rng.normal(size=(2, 3)), rng.normal(size=(1, 3)), rng.normal(size=(3,))),
            {"inputs": ("ij", "ij", "j"), "output": "i"},
        ),
    ],
)


def einsum(*operands: Any, optimize: Any = True) -> Any:
    """Sum of products by Einstein's convention; numpy.einsum in both forms, ellipsis included.

    Args:
        operands: the subscripts and the operands, ``("ij,jk->ik", x, y)``; or each operand
            followed by its labels, the result's last: ``(x, [0, 1], y, [1, 2], [0, 2])``.
        optimize: has no effect: NumPy looks for the cheapest order of the products by itself, and
            for another one in each derivative.

    >>> import numpy as np, microgradopt as mg
    >>> mg.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 1)))
    array([[3.],
           [3.]])
    """
    subscripts, operands = _as_string(operands)
    inputs, output = _labels(subscripts, operands)
    used = "".join(inputs) + output
    args = list(operands)
    for i, labels in enumerate(inputs):
        args[i], inputs[i] = _simplify(args[i], labels, used)
    try:
        return einsum_row(*args, inputs=tuple(inputs), output=output)
    except ValueError as error:
        shapes = [shape(x) for x in operands]
        raise ShapeError(f"einsum {subscripts!r} on shapes {shapes}: {error}") from None


def _as_string(operands: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """The subscripts and the operands alone, from either form of a call."""
    if operands and isinstance(operands[0], str):
        return operands[0], tuple(operands[1:])
    pairs = len(operands) // 2 * 2
    terms = [_term(labels) for labels in operands[1:pairs:2]]
    result = [_term(labels) for labels in operands[pairs:]]
    return "->".join([",".join(terms), *result]), tuple(operands[:pairs:2])


def _term(labels: Any) -> str:
    """Labels given as numbers, as letters."""
    if not isinstance(labels, (list, tuple)) or not all(
        isinstance(n, EllipsisType) or (isinstance(n, int) and 0 <= n < len(LETTERS))
        for n in labels
    ):
        raise UsageError(
            "einsum: the first argument is the subscripts string, or every operand is followed by "
            f"its labels, a list of ints from 0 to {len(LETTERS) - 1}; got {labels!r} there"
        )
    return "".join("..." if n is Ellipsis else LETTERS[n] for n in labels)


def _labels(subscripts: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, ellipses spelled out with spare letters."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise UsageError(
            f"einsum: {subscripts!r} names {len(inputs)} operand(s), {len(operands)} were given"
        )
    spare = [c for c in LETTERS if c not in subscripts]
    widths = [ndim(x) - len(t.replace("...", "")) for t, x in zip(inputs, operands)]
    for t, x, width in zip(inputs, operands, widths):
        if width < 0 or (width and "..." not in t):
            raise ShapeError(f"einsum: {t!r} does not label the axes of an operand {shape(x)}")
    dots = "".join(spare[: max(widths, default=0)])
    inputs = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(inputs, widths)]
    if not arrow:
        once = sorted(c for c in set("".join(inputs)) if "".join(inputs).count(c) == 1)
        right = "..." + "".join(c for c in once if c not in dots)
    output = right.replace("...", dots)
    unknown = set(output) - set("".join(inputs))
    if unknown or len(set(output)) != len(output):
        raise UsageError(
            f"einsum: each label of the result {right!r} must be in an operand, and once"
        )
    return inputs, output


def _simplify(x: Any, labels: str, used: str) -> tuple[Any, str]:
    """Take the diagonal of repeated labels, and sum out a label that nothing else uses."""
    for c in sorted(set(labels)):
        while labels.count(c) > 1:
            a = labels.index(c)
            b = labels.index(c, a + 1)
            if shape(x)[a] != shape(x)[b]:
                raise ShapeError(f"einsum: label {c!r} names axes of two lengths in {shape(x)}")
            x = diagonal(x, axis1=a, axis2=b)
            labels = "".join(labels[i] for i in range(len(labels)) if i not in (a, b)) + c
            used = used.replace(c, "", 1)
    lonely = [i for i, c in enumerate(labels) if used.count(c) == 1]
    if lonely:
        x = sum(x, axis=tuple(lonely))
        labels = "".join(c for i, c in enumerate(labels) if i not in lonely)
    return x, labels
