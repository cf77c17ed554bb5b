"""Multilinear primitives: products of matrices and sums of products, for every NumPy shape."""

import string
from collections.abc import Sequence
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
    sum,
    swapaxes,
    transpose,
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
    "diagonal", "dot", "einsum", "matmul", "outer", "tensordot", "trace",
]  # fmt: skip


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


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries (i, i + offset) of two axes, as the last axis; as numpy.diagonal."""
    if ndim(x) < 2:
        raise ShapeError(f"diagonal: needs at least 2 dimensions, got shape {shape(x)}")
    y = moveaxis(x, (axis1, axis2), (-2, -1))
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


def einsum(subscripts: str, *operands: Any) -> Any:
    """Sum of products by Einstein's convention; numpy.einsum's string form, ellipsis included.

    >>> import numpy as np, microgradopt as mg
    >>> mg.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 1)))
    array([[3.],
           [3.]])
    """
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


def _labels(subscripts: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, ellipses spelled out with spare letters."""
    if not isinstance(subscripts, str):
        raise UsageError(f"einsum: the first argument is the subscripts string, got {subscripts!r}")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise UsageError(
            f"einsum: {subscripts!r} names {len(inputs)} operand(s), {len(operands)} were given"
        )
    spare = [c for c in string.ascii_letters if c not in subscripts]
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
