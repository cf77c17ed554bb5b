"""The rest of NumPy's ufuncs: whole parts, remainders, signs, exponents, angles.

Rows like those of elementwise.py, and functions around them where a ufunc has two results or an
operand that is data. A step (``floor``, ``rint``, …) has the derivative 0 wherever it has one, and
so gives plain results.
"""

import math
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node, to_float
from microgradopt.engine.ops.elementwise import (
    ANY,
    LN2,
    POSITIVE,
    absolute,
    cos,
    divide,
    equal,
    isnan,
    less,
    power,
    row,
    share_of_arrays,
    share_of_floats,
    sign,
    square,
    where,
)
from microgradopt.engine.quiet import in_ieee, quietly
from microgradopt.engine.rules import (
    Elementwise,
    Linear,
    Plain,
    alias,
    as_dtype,
    as_value,
    data_of,
)
from microgradopt.errors import DTypeError

__all__ = [
    "ceil", "copysign", "deg2rad", "degrees", "divmod", "fabs", "float_power", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frexp", "heaviside", "isinf", "ldexp", "logaddexp2",
    "logical_xor", "mod", "modf", "positive", "rad2deg", "radians", "reciprocal", "remainder",
    "rint", "signbit", "sinc", "true_divide", "trunc",
]  # fmt: skip

DEGREE = math.pi / 180.0


# Plain results


def _plain(name: str, what: str, array: Any, scalar: Any, symbol: str | None = None) -> Plain:
    doc = f"Plain {what}, entry by entry, of data and nodes alike; as numpy.{name}."
    return Plain(name, scalar=scalar, array=array, symbol=symbol, doc=doc)


def _step(name: str, array: Any, symbol: str | None = None) -> Plain:
    # Python rounds to ints, which know neither −0 nor infinity.
    return _plain(name, "whole numbers", array, lambda x: float(array(x)), symbol)


floor = _step("floor", np.floor, "⌊x⌋")
ceil = _step("ceil", np.ceil, "⌈x⌉")
trunc = _step("trunc", np.trunc)
rint = _step("rint", np.rint)
floor_divide = _plain(
    "floor_divide", "whole numbers", np.floor_divide,
    lambda x, y: x // y if y else in_ieee(np.floor_divide, x, y),
    "⌊÷⌋",
)  # fmt: skip
isinf = _plain("isinf", "truth values", np.isinf, math.isinf)
signbit = _plain("signbit", "truth values", np.signbit, lambda x: math.copysign(1.0, x) < 0.0)
logical_xor = _plain("logical_xor", "truth values", np.logical_xor, None, "⊻")


# Quotients and remainders


def _to_whole(x: Any, y: Any) -> Any:
    """How far the quotient is from a whole number, where remainders jump."""
    return np.abs(x / y - np.rint(x / y))


reciprocal: Elementwise = row(
    "reciprocal", lambda x: 1.0 / x, np.reciprocal,
    lambda out, x: -out * out,
    symbol="1/x", sample=(POSITIVE,), doc="1 / x; ±inf at 0",
)  # fmt: skip
remainder: Elementwise = row(
    "remainder", lambda x, y: x % y, np.remainder,
    1.0,
    lambda out, x, y: -floor_divide(x, y),
    symbol="mod", sample=(ANY, POSITIVE), kinks=_to_whole,
    doc="x − y·⌊x/y⌋, with the sign of y, as Python's %; at a jump, the slopes beside it",
)  # fmt: skip
fmod: Elementwise = row(
    "fmod", math.fmod, np.fmod,
    1.0,
    lambda out, x, y: -rint((x - out) / y),
    sample=(ANY, POSITIVE), kinks=_to_whole,
    doc="The remainder with the sign of x, as C's fmod; at a jump, the slopes beside it",
)  # fmt: skip
true_divide, mod = divide, remainder  # NumPy has both names


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """The plain whole quotient and the differentiable remainder; as numpy.divmod."""
    return floor_divide(x, y), remainder(x, y)


@quietly
def modf(x: Any) -> tuple[Any, Any]:
    """The differentiable fractional part and the plain whole part; as numpy.modf."""
    whole = trunc(x)
    return where(isinf(whole), copysign(0.0, whole), x - whole), whole


# Signs and extremes

fabs = absolute  # NumPy's name for the one that takes no complex numbers
copysign: Elementwise = row(
    "copysign", math.copysign, np.copysign,
    lambda out, x, y: sign(x) * copysign(1.0, data_of(y)),
    0.0,
    sample=(ANY, ANY), kinks=lambda x, y: np.minimum(np.abs(x), np.abs(y)),
    doc="|x| with the sign of y; its derivative in x is 0 at 0, that in y 0 everywhere",
)  # fmt: skip
fmax: Elementwise = row(
    "fmax", lambda x, y: x if x >= y or y != y else y, np.fmax,
    lambda out, x, y: 0.5 * (x > y) + 0.5 * (x >= y) + isnan(y),
    lambda out, x, y: 0.5 * (y > x) + 0.5 * (y >= x) + isnan(x),
    sample=(ANY, ANY), kinks=lambda x, y: x - y,
    doc="The larger of x and y, or the one that is not NaN; a tie splits the gradient evenly",
)  # fmt: skip
fmin: Elementwise = row(
    "fmin", lambda x, y: x if x <= y or y != y else y, np.fmin,
    lambda out, x, y: 0.5 * (x < y) + 0.5 * (x <= y) + isnan(y),
    lambda out, x, y: 0.5 * (y < x) + 0.5 * (y <= x) + isnan(x),
    sample=(ANY, ANY), kinks=lambda x, y: x - y,
    doc="The smaller of x and y, or the one that is not NaN; a tie splits the gradient evenly",
)  # fmt: skip


def heaviside(x: Any, middle: Any) -> Any:
    """0 below 0 and 1 above, which is plain; at 0 ``middle``, which may be a node."""
    x = data_of(x)
    step: Any = np.heaviside(x, 0.0)
    return where(equal(x, 0.0), middle, to_float(step) if x.__class__ is float else step)


def positive(x: Any) -> Any:
    """+x: the same number, as a node of its own; as numpy.positive."""
    return alias(x)


# Exponents and angles


def float_power(x: Any, y: Any) -> Any:
    """``x`` to the power ``y`` in float64, whatever the operands are; as numpy.float_power."""
    return power(_double(x), _double(y))


def _double(x: Any) -> Any:
    narrow = isinstance(data_of(x), np.ndarray) and data_of(x).dtype != np.float64
    return as_dtype(x, dtype=np.dtype(np.float64)) if narrow else x


logaddexp2: Elementwise = row(
    "logaddexp2",
    lambda x, y: x + 1.0 if x == y else max(x, y) + math.log1p(math.exp2(-abs(x - y))) / LN2,
    np.logaddexp2,
    lambda out, x, y: logaddexp2_slope(x, y),
    lambda out, x, y: logaddexp2_slope(y, x),
    sample=(ANY, ANY), doc="log₂(2ˣ + 2ʸ) without overflow; equal infinities share the gradient",
)  # fmt: skip

logaddexp2_slope: Elementwise = row(
    "logaddexp2_slope", share_of_floats(math.exp2, LN2), share_of_arrays(np.exp2, LN2),
    lambda out, x, y: LN2 * out * logaddexp2_slope(y, x),
    lambda out, x, y: -LN2 * out * logaddexp2_slope(y, x),
    symbol="softmax₂", sample=(ANY, ANY), doc="2ˣ / (2ˣ + 2ʸ), the derivative of logaddexp2",
)  # fmt: skip
ldexp_row: Linear = Linear(
    "ldexp",
    symbol="·2ⁿ",
    array=lambda x, exponent: np.ldexp(np.asarray(x), exponent),
    transpose=lambda g, x, exponent: ldexp_row(g, exponent=exponent),
    sample=lambda rng: [((rng.normal(size=(2, 3)),), {"exponent": np.array([3, -1, 0])})],
)


def ldexp(x: Any, exponent: Any) -> Any:
    """``x`` · 2 to a whole ``exponent``, which is data and never differentiated; as numpy.ldexp."""
    if isinstance(exponent, Node) or np.asarray(exponent).dtype.kind not in "iu":
        raise DTypeError("ldexp: the exponent must be whole numbers; use x * mg.exp2(exponent)")
    out = ldexp_row(x, exponent=exponent)
    return as_value(out) if data_of(x).__class__ is float and np.ndim(exponent) == 0 else out


def frexp(x: Any) -> tuple[Any, Any]:
    """The differentiable mantissa, between ½ and 1, and the plain exponent; as numpy.frexp."""
    exponent: Any = np.frexp(data_of(x))[1]
    return ldexp(x, -exponent), exponent


deg2rad: Elementwise = row(
    "deg2rad", lambda x: x * DEGREE, np.deg2rad,
    DEGREE,
    sample=(ANY,), doc="Degrees in radians",
)  # fmt: skip
rad2deg: Elementwise = row(
    "rad2deg", lambda x: x * (180.0 / math.pi), np.rad2deg,
    180.0 / math.pi,
    sample=(ANY,), doc="Radians in degrees",
)  # fmt: skip
radians, degrees = deg2rad, rad2deg  # NumPy has both names
sinc: Elementwise = row(
    "sinc", lambda x: math.sin(math.pi * x) / (math.pi * x) if x else 1.0, np.sinc,
    lambda out, x: _slope_of_sinc(x),
    sample=(ANY,), doc="sin(πx) / (πx), and 1 at 0",
)  # fmt: skip

# (cos πx − sinc x) / x = Σ (−1)ᵏ π²ᵏ x²ᵏ⁻¹ · 2k / (2k + 1)!, to the last digit for |x| < ½
SLOPE_OF_SINC = [
    (-1.0) ** k * math.pi ** (2 * k) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 14)
]


def _slope_of_sinc(x: Any) -> Any:
    """Near 0 the series, which every further derivative keeps precise; elsewhere the quotient."""
    near = less(absolute(data_of(x)), 0.5)
    z = square(where(near, x, 0.0))
    series: Any = 0.0
    for term in reversed(SLOPE_OF_SINC):
        series = series * z + term
    far = where(near, 1.0, x)
    return where(near, x * series, (cos(math.pi * far) - sinc(far)) / far)
