"""Activations made of rows, under torch's names and with its arguments.

Their derivatives at a kink are those of the special points: 0 for what is built on relu, the slope
of the lower side for the leaky ones, half of both sides where two bounds meet.
"""

import math
from typing import Any

from microgradopt.engine.composites import clip, softmax_row
from microgradopt.engine.ops.elementwise import (
    absolute,
    expm1,
    less,
    less_equal,
    maximum,
    minimum,
    negative,
    relu,
    sigmoid,
    sign,
    softplus,
    where,
)
from microgradopt.engine.ops.gates import gelu_row
from microgradopt.engine.ops.shapes import index, ndim
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import count
from microgradopt.engine.rules import check_axis, data_of, shape_of as shape
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "log_sigmoid", "relu6", "selu", "softmin", "softshrink", "threshold",
]  # fmt: skip


# Bends at 0


@quietly
def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """``x`` where positive, ``negative_slope``·x elsewhere; the slope may be learned."""
    return where(less(0.0, x), x, negative_slope * x)


@quietly
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """``x`` where positive, ``alpha``·(eˣ − 1) elsewhere (Clevert et al. 2016)."""
    above = less(0.0, x)
    return where(above, x, alpha * expm1(where(above, 0.0, x)))


@quietly
def celu(x: Any, alpha: Any = 1.0) -> Any:
    """``x`` where positive, ``alpha``·(e^(x/alpha) − 1) elsewhere (Barron 2017)."""
    above = less(0.0, x)
    return where(above, x, alpha * expm1(where(above, 0.0, x) / alpha))


# The fixed point of mean 0 and variance 1 (Klambauer et al. 2017, eq. 14)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@quietly
def selu(x: Any) -> Any:
    """The ELU that keeps mean 0 and variance 1 through a network (Klambauer et al. 2017)."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


# Pieces of straight lines


def hardtanh(x: Any, min_val: Any = -1.0, max_val: Any = 1.0) -> Any:
    """``x`` held between two bounds; :func:`clip` with torch's name and defaults."""
    return clip(x, min_val, max_val)


def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)."""
    return minimum(relu(x), 6.0)


@quietly
def hardsigmoid(x: Any) -> Any:
    """(x + 3)/6 between 0 and 1, straight lines in the place of sigmoid (Howard et al. 2019)."""
    return clip(x + 3.0, 0.0, 6.0) / 6.0


@quietly
def hardswish(x: Any) -> Any:
    """x · :func:`hardsigmoid`, in the place of silu (Howard et al. 2019)."""
    return maximum(x, -3.0) * hardsigmoid(x)


def threshold(x: Any, threshold: float, value: float) -> Any:
    """``x`` where above ``threshold``, the constant ``value`` elsewhere."""
    return where(less_equal(x, threshold), value, x)  # of NaN, NaN


def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """``x`` where |x| > ``lambd``, 0 elsewhere."""
    return where(less_equal(absolute(data_of(x)), lambd), 0.0, x)


@quietly
def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """``x``, brought closer to 0 by ``lambd``; 0 where it is no further away than that."""
    raw = data_of(x)
    return where(less_equal(absolute(raw), lambd), 0.0, x - lambd * sign(raw))


# Smooth ones

RATE = 2.0 * math.sqrt(2.0 / math.pi)  # 2, since (1 + tanh t)/2 is σ(2t)


@quietly
def gelu(x: Any, approximate: str = "none") -> Any:
    """x·Φ(x) with the normal distribution's Φ (Hendrycks and Gimpel 2016).

    Args:
        approximate: "none": to the last digits, also far out; "tanh": the paper's approximation
            x/2·(1 + tanh(√(2/π)·(x + 0.044715x³))), off by up to 5e-4.

    Raises:
        UsageError: for any other ``approximate``.
    """
    if approximate == "none":
        return gelu_row(x)
    if approximate != "tanh":
        raise UsageError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    x = maximum(x, -10_000.0)  # where the gate is 0, so has the product to be, down to −inf
    return x * sigmoid(x * (RATE + 0.044715 * RATE * (x * x)))


@quietly
def log_sigmoid(x: Any) -> Any:
    """The logarithm of :func:`sigmoid`, precise on both sides."""
    return -softplus(-x)


def softmin(x: Any, axis: int = -1) -> Any:
    """e⁻ˣ / Σ e⁻ˣ along ``axis``: :func:`softmax` of −x."""
    count(x, axis, "softmin")
    return softmax_row(negative(x), axis=check_axis(axis, ndim(x), "softmin"))


@quietly
def glu(x: Any, axis: int = -1) -> Any:
    """The first half along ``axis`` times σ of the second (Dauphin et al. 2017).

    Raises:
        ShapeError: if the axis has no two halves.
    """
    axis = check_axis(axis, ndim(x), "glu")
    n = shape(x)[axis]
    if n % 2 or not n:
        raise ShapeError(
            f"glu: axis {axis} of shape {shape(x)} must have an even length, to be cut in halves"
        )
    before = (slice(None),) * axis
    first, second = index(x, (*before, slice(n // 2))), index(x, (*before, slice(n // 2, None)))
    return first * sigmoid(second)
