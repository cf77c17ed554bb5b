"""Convolution and polynomials: sequences multiplied like polynomials, and polynomials' values."""

from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.ops.elementwise import power
from microgradopt.engine.ops.shapes import (
    broadcast_to,
    flip,
    index,
    ndim,
    ravel,
    stack,
    without_promotion,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Multilinear, shape_of
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "convolve", "correlate", "polyval", "vander",
]  # fmt: skip

OTHER = {"full": "valid", "valid": "full"}  # the transpose of one is the other


def _convolved_with(g: Any, y: Any, mode: str) -> Any:
    """The cotangent of the longer operand, given the other."""
    return convolve_row(g, flip(y), mode=OTHER[mode])


def _shorter(g: Any, x: Any, y: Any, mode: str) -> Any:
    if mode == "full":
        return _convolved_with(g, x, mode)
    return convolve_row(flip(x), g, mode="valid")


convolve_row = Multilinear(
    "convolve",
    symbol="∗",
    array=np.convolve,
    transposes=(lambda g, x, y, mode: _convolved_with(g, y, mode), _shorter),
    sample=lambda rng: [
        ((rng.normal(size=n), rng.normal(size=m)), {"mode": mode})
        for n, m, mode in ((4, 2, "full"), (2, 3, "full"), (4, 2, "valid"), (3, 3, "valid"))
    ],
)  # in mode "valid" the first operand is at least as long as the second


def _sequences(x: Any, y: Any, mode: str, user: str) -> tuple[Any, Any]:
    if mode not in ("full", "same", "valid"):
        raise UsageError(f"{user}: unknown mode {mode!r}; choose from full, same, valid")
    shapes = shape_of(x), shape_of(y)
    if any(len(s) > 1 or 0 in s for s in shapes):
        raise ShapeError(f"{user}: needs two rows of one number or more, got shapes {shapes}")
    x, y = without_promotion([x, y])
    return ravel(x), ravel(y)


def convolve(x: Any, y: Any, mode: str = "full") -> Any:
    """Two sequences multiplied like polynomials; as numpy.convolve.

    Args:
        mode: "full": all n + m − 1 numbers; "same": the max(n, m) in their middle; "valid": those
            for which the sequences overlap completely.
    """
    x, y = _sequences(x, y, mode, "convolve")
    n, m = shape_of(x)[0], shape_of(y)[0]
    if n < m:
        x, y, n, m = y, x, m, n
    if mode == "same":
        start = (m - 1) // 2
        return index(convolve_row(x, y, mode="full"), slice(start, start + n))
    return convolve_row(x, y, mode=mode)


def correlate(x: Any, y: Any, mode: str = "valid") -> Any:
    """The products of ``x`` with ``y`` moved along it, added up; as numpy.correlate."""
    x, y = _sequences(x, y, mode, "correlate")
    n, m = shape_of(x)[0], shape_of(y)[0]
    if n >= m:
        return convolve(x, flip(y), mode)
    return flip(convolve(y, flip(x), mode))


def polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """Of floats and arrays, for kernels: Horner's rule, coefficients of high powers first."""
    first, second, *rest = coefficients
    total = first * x + second
    for c in rest:
        total *= x
        total += c
    return total


@quietly
def polyval(p: Any, x: Any) -> Any:
    """A polynomial at ``x``, its coefficients ``p`` with the highest first, by Horner's rule."""
    if ndim(p) != 1:
        raise ShapeError(f"polyval: the coefficients must be one row, got shape {shape_of(p)}")
    if not shape_of(p)[0]:
        return 0.0 * x
    x = x if isinstance(x, Node) else np.asarray(x)
    y = index(p, 0)
    for i in range(1, shape_of(p)[0]):
        y = y * x + index(p, i)
    return y if shape_of(y) == shape_of(x) else broadcast_to(y, shape_of(x))


@quietly
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers 0 to N − 1 of each entry of a row, highest first, as the columns of a matrix."""
    if ndim(x) != 1:
        raise ShapeError(f"vander: needs one row of numbers, got shape {shape_of(x)}")
    count = shape_of(x)[0] if N is None else N
    if count < 1:
        raise ShapeError(f"vander: needs at least one column, got N={count}")
    powers = [power(x, 0.0)]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return stack(powers if increasing else powers[::-1], axis=1)
