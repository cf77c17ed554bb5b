"""The table of elementwise primitives: kernel on floats, kernel on arrays, partial derivatives.

Every row is a function on floats, arrays, ``Value`` and ``Tensor``, under NumPy's name. The
partials keep full relative precision wherever the function's own value has it: 1 − tanh² is 0 for
x = 40 in floating point, so tanh's partial is written with the logistic density instead.

``sample`` gives each operand's interval for the tests, ``kinks`` the distance to the nearest point
without a derivative.
"""

import math
import operator
from typing import Any

import numpy as np

from microgradopt.engine.quiet import in_ieee
from microgradopt.engine.rules import Elementwise, Plain, data_of

__all__ = [
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "cbrt", "cos", "cosh", "divide", "equal", "exp", "exp2", "expm1", "greater",
    "greater_equal", "hypot", "isfinite", "isnan", "less", "less_equal", "log", "log1p", "log2",
    "log10", "logaddexp", "logical_and", "logical_not", "logical_or", "maximum", "minimum",
    "multiply", "negative", "not_equal", "power", "relu", "sigmoid", "sign", "sin", "sinh",
    "softplus", "sqrt", "square", "subtract", "tan", "tanh", "where",
]  # fmt: skip

LN2 = math.log(2.0)
LOG2_E, LOG10_E = math.log2(math.e), math.log10(math.e)
TINY = float(np.finfo(np.float64).tiny)
ANY = (-4.0, 3.0)
POSITIVE = (0.02, 7.0)


def row(name: str, scalar: Any, array: Any, *partials: Any, **declared: Any) -> Elementwise:
    """An elementwise row: its kernels for floats and for arrays, its partial derivatives."""
    return Elementwise(name, scalar=scalar, array=array, partials=partials, **declared)


# Comparisons and logic: plain results, no derivative. `x == y` on nodes means identity; use equal.


def _plain(name: str, scalar: Any, array: Any, symbol: str | None = None) -> Plain:
    doc = f"Plain truth values, entry by entry, of data and nodes alike; as numpy.{name}."
    return Plain(name, scalar=scalar, array=array, symbol=symbol, doc=doc)


greater = _plain("greater", operator.gt, np.greater, ">")
greater_equal = _plain("greater_equal", operator.ge, np.greater_equal, "≥")
less = _plain("less", operator.lt, np.less, "<")
less_equal = _plain("less_equal", operator.le, np.less_equal, "≤")
equal = _plain("equal", operator.eq, np.equal, "=")
not_equal = _plain("not_equal", operator.ne, np.not_equal, "≠")
logical_and = _plain("logical_and", None, np.logical_and, "∧")
logical_or = _plain("logical_or", None, np.logical_or, "∨")
logical_not = _plain("logical_not", operator.not_, np.logical_not, "¬")
isnan = _plain("isnan", math.isnan, np.isnan)
isfinite = _plain("isfinite", math.isfinite, np.isfinite)


# Arithmetic

add: Elementwise = row(
    "add", operator.add, np.add,
    1.0,
    1.0,
    symbol="+", sample=(ANY, ANY), doc="x + y",
)  # fmt: skip
subtract: Elementwise = row(
    "subtract", operator.sub, np.subtract,
    1.0,
    -1.0,
    symbol="−", sample=(ANY, ANY), doc="x − y",
)  # fmt: skip
multiply: Elementwise = row(
    "multiply", operator.mul, np.multiply,
    lambda out, x, y: y,
    lambda out, x, y: x,
    symbol="×", sample=(ANY, ANY), doc="x · y, entry by entry",
)  # fmt: skip
divide: Elementwise = row(
    "divide", operator.truediv, np.divide,
    lambda out, x, y: 1.0 / y,
    lambda out, x, y: -out / y,
    symbol="÷", sample=(ANY, POSITIVE), doc="x / y; division by zero gives ±inf or NaN",
)  # fmt: skip
negative: Elementwise = row(
    "negative", operator.neg, np.negative,
    -1.0,
    symbol="−", sample=(ANY,), doc="−x",
)  # fmt: skip
square: Elementwise = row(
    "square", lambda x: x * x, np.square,
    lambda out, x: 2.0 * x,
    symbol="x²", sample=(ANY,), doc="x²",
)  # fmt: skip
power: Elementwise = row(
    "power", math.pow, np.power,
    lambda out, x, y: power_slope(x, y),
    lambda out, x, y: out
    * log(where(logical_and(equal(x, 0.0), greater_equal(y, 0.0)), 1.0, x)),
    symbol="xʸ", sample=(POSITIVE, ANY),
    doc="x to the power y. x**0 has derivative 0 at 0, and 0**y with y ≥ 0 derivative 0 in y.",
)  # fmt: skip


# y − 1 is exact from ½ on; below, its rounding times log x would cost up to 8 bits of y·xʸ⁻¹.


def _power_slope_of_float(x: float, y: float) -> float:
    if y == 0.0:
        return 0.0
    if y >= 0.5 or (y > 0.0 and not 0.0 < abs(x) < math.inf):
        return y * math.pow(x, y - 1.0)
    return y * math.pow(x, y) / x


def _power_slope_of_array(x: Any, y: Any) -> Any:
    low = y < 0.5
    if low.__class__ is np.ndarray:
        slope = y * np.power(x, np.where(low, y, y - 1.0)) / np.where(low, x, 1.0)
    elif not low:
        return y * np.power(x, y - 1.0)
    else:
        slope = y * np.power(x, y) / x
    lost = low & np.isnan(slope)  # x is 0 or infinite there
    if not np.any(lost):
        return slope
    return np.where(lost, np.where(y == 0.0, 0.0, y * np.power(x, y - 1.0)), slope)


def _lowered(x: Any, y: Any) -> Any:
    """xʸ⁻¹, without rounding y − 1."""
    low = less(y, 0.5)
    return power(x, where(low, y, y - 1.0)) / where(low, x, 1.0)


def _power_curve(out: Any, x: Any, y: Any) -> Any:
    x = where(logical_and(equal(x, 0.0), equal(y, 0.0)), 1.0, x)
    low = less(y, 0.5)
    return where(low, (y - 1.0) * out, y * power_slope(x, y - 1.0)) / where(low, x, 1.0)


power_slope: Elementwise = row(
    "power_slope", _power_slope_of_float, _power_slope_of_array,
    _power_curve,
    lambda out, x, y: _lowered(x, y)
    + out * log(where(logical_and(equal(x, 0.0), greater_equal(y, 0.0)), 1.0, x)),
    symbol="∂xʸ", sample=(POSITIVE, ANY), doc="y · xʸ⁻¹, the derivative of power; 0 for y = 0",
)  # fmt: skip

# Exponentials and logarithms

exp: Elementwise = row(
    "exp", math.exp, np.exp,
    lambda out, x: out,
    sample=(ANY,), doc="eˣ",
)  # fmt: skip
exp2: Elementwise = row(
    "exp2", math.exp2, np.exp2,
    lambda out, x: LN2 * out,
    sample=(ANY,), doc="2ˣ",
)  # fmt: skip
expm1: Elementwise = row(
    "expm1", math.expm1, np.expm1,
    lambda out, x: exp(x),
    sample=(ANY,), doc="eˣ − 1, precise near 0",
)  # fmt: skip
log: Elementwise = row(
    "log", math.log, np.log,
    lambda out, x: 1.0 / x,
    sample=(POSITIVE,), doc="The natural logarithm; −inf at 0, NaN below",
)  # fmt: skip
log2: Elementwise = row(
    "log2", math.log2, np.log2,
    lambda out, x: LOG2_E / x,
    sample=(POSITIVE,), doc="The logarithm to base 2",
)  # fmt: skip
log10: Elementwise = row(
    "log10", math.log10, np.log10,
    lambda out, x: LOG10_E / x,
    sample=(POSITIVE,), doc="The logarithm to base 10",
)  # fmt: skip
log1p: Elementwise = row(
    "log1p", math.log1p, np.log1p,
    lambda out, x: 1.0 / (1.0 + x),
    sample=((-0.9, 4.0),), doc="log(1 + x), precise near 0",
)  # fmt: skip
logaddexp: Elementwise = row(
    "logaddexp",
    lambda x, y: x if x == y and math.isinf(x) else max(x, y) + math.log1p(math.exp(-abs(x - y))),
    np.logaddexp,
    lambda out, x, y: logaddexp_slope(x, y),
    lambda out, x, y: logaddexp_slope(y, x),
    sample=(ANY, ANY), doc="log(eˣ + eʸ) without overflow; equal infinities share the gradient",
)  # fmt: skip


# The slope is σ(x − y). An exponential magnifies what x − y loses in rounding: find it, make up.


def share_of_floats(exp: Any, ln: float) -> Any:
    """The kernel of bˣ / (bˣ + bʸ) on floats, given the exponential to base b and ln b."""

    def share(x: float, y: float) -> float:
        d = x - y if x != y else 0.0
        lost = (x - (d - (d - x))) - (y + (d - x))
        e: float = exp(-abs(d))
        larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
        mine = larger if d >= 0.0 else smaller
        return mine + larger * smaller * (ln * lost) if math.isfinite(lost) else mine

    return share


def share_of_arrays(exp: Any, ln: float) -> Any:
    """The same on arrays."""

    def share(x: Any, y: Any) -> Any:
        d = np.where(x == y, 0.0, x - y)
        lost = (x - (d - (d - x))) - (y + (d - x))
        e = exp(-np.abs(d))
        larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
        mine = np.where(d >= 0.0, larger, smaller)
        return mine + larger * smaller * np.where(np.isfinite(lost), ln * lost, 0.0)

    return share


logaddexp_slope: Elementwise = row(
    "logaddexp_slope", share_of_floats(math.exp, 1.0), share_of_arrays(np.exp, 1.0),
    lambda out, x, y: out * logaddexp_slope(y, x),
    lambda out, x, y: -out * logaddexp_slope(y, x),
    symbol="softmax", sample=(ANY, ANY), doc="eˣ / (eˣ + eʸ), the derivative of logaddexp",
)  # fmt: skip


# Roots, absolute values, extremes

sqrt: Elementwise = row(
    "sqrt", math.sqrt, np.sqrt,
    lambda out, x: 0.5 / out,
    symbol="√", sample=(POSITIVE,), doc="The square root; its derivative at 0 is inf",
)  # fmt: skip
cbrt: Elementwise = row(
    "cbrt", math.cbrt, np.cbrt,
    lambda out, x: (1.0 / 3.0) / (out * out),
    symbol="∛", sample=(ANY,), kinks=lambda x: x, doc="The cube root, of negative numbers too",
)  # fmt: skip
absolute: Elementwise = row(
    "absolute", abs, np.absolute,
    lambda out, x: sign(x),
    symbol="|x|", sample=(ANY,), kinks=lambda x: x, doc="|x|; its derivative at 0 is 0",
)  # fmt: skip
sign: Elementwise = row(
    "sign", lambda x: x if x != x else float((x > 0.0) - (x < 0.0)), np.sign,
    0.0,
    sample=(ANY,), kinks=lambda x: x, doc="−1, 0 or 1; derivative 0 everywhere",
)  # fmt: skip
maximum: Elementwise = row(
    "maximum", lambda x, y: x if x > y or x != x else y, np.maximum,
    lambda out, x, y: 0.5 * (x > y) + 0.5 * (x >= y),
    lambda out, x, y: 0.5 * (y > x) + 0.5 * (y >= x),
    symbol="max", sample=(ANY, ANY), kinks=lambda x, y: x - y,
    doc="The larger of x and y; a tie splits the gradient evenly, NaN spreads",
)  # fmt: skip
minimum: Elementwise = row(
    "minimum", lambda x, y: x if x < y or x != x else y, np.minimum,
    lambda out, x, y: 0.5 * (x < y) + 0.5 * (x <= y),
    lambda out, x, y: 0.5 * (y < x) + 0.5 * (y <= x),
    symbol="min", sample=(ANY, ANY), kinks=lambda x, y: x - y,
    doc="The smaller of x and y; a tie splits the gradient evenly, NaN spreads",
)  # fmt: skip
hypot: Elementwise = row(
    "hypot", math.hypot, np.hypot,
    lambda out, x, y: direction_cosine(x, y),
    lambda out, x, y: direction_cosine(y, x),
    sample=(ANY, ANY), kinks=np.hypot,
    doc="√(x² + y²) without overflow; derivative 0 at the origin",
)  # fmt: skip


def _cosine_of_float(x: float, y: float) -> float:
    length = math.hypot(x, y)
    return x / length if TINY < length < math.inf else in_ieee(_cosine_of_array, x, y)


def _cosine_of_array(x: Any, y: Any) -> Any:
    squares = x * x + y * y
    limits = np.finfo(squares.dtype)
    if np.all((squares > limits.tiny / limits.eps) & (squares < np.inf)):
        return x / np.sqrt(squares)  # np.hypot takes ten times as long
    length = np.hypot(x, y)
    whole = (length > limits.tiny) & (length < np.inf)
    # A subnormal length has lost digits, an overflown one all of them: scale by a power of 2.
    scale = np.where(whole, 1.0, np.where(length > 1.0, limits.eps**2, limits.eps**-2))
    length = np.hypot(x * scale, y * scale)
    return x * scale / np.where(length == 0.0, 1.0, length)


direction_cosine: Elementwise = row(
    "direction_cosine", _cosine_of_float, _cosine_of_array,
    lambda out, x, y: direction_cosine(y, x) * (direction_cosine(y, x) / hypot(x, y)),
    lambda out, x, y: -out * (direction_cosine(y, x) / hypot(x, y)),
    symbol="cos∠", sample=(ANY, ANY), kinks=np.hypot,
    doc="x / √(x² + y²), the cosine of the angle of the point (x, y); 0 at the origin",
)  # fmt: skip

# Trigonometric and hyperbolic functions

sin: Elementwise = row(
    "sin", math.sin, np.sin,
    lambda out, x: cos(x),
    sample=(ANY,), doc="Sine of radians",
)  # fmt: skip
cos: Elementwise = row(
    "cos", math.cos, np.cos,
    lambda out, x: -sin(x),
    sample=(ANY,), doc="Cosine of radians",
)  # fmt: skip
tan: Elementwise = row(
    "tan", math.tan, np.tan,
    lambda out, x: 1.0 + out * out,
    sample=((-1.3, 1.3),), doc="Tangent of radians",
)  # fmt: skip
one_minus_square: Elementwise = row(
    "one_minus_square",
    lambda x: (1.0 - x) * (1.0 + x),
    lambda x: (1.0 - x) * (1.0 + x),
    lambda out, x: -2.0 * x,  # that of the product would cancel
    symbol="1 − x²", sample=(ANY,), doc="1 − x², precise near ±1, and its derivative near 0",
)  # fmt: skip
arcsin: Elementwise = row(
    "arcsin", math.asin, np.arcsin,
    lambda out, x: 1.0 / sqrt(one_minus_square(x)),
    sample=((-0.95, 0.95),), doc="The inverse of sin, in radians",
)  # fmt: skip
arccos: Elementwise = row(
    "arccos", math.acos, np.arccos,
    lambda out, x: -1.0 / sqrt(one_minus_square(x)),
    sample=((-0.95, 0.95),), doc="The inverse of cos, in radians",
)  # fmt: skip
arctan: Elementwise = row(
    "arctan", math.atan, np.arctan,
    lambda out, x: lorentzian(x),
    sample=(ANY,), doc="The inverse of tan, in radians",
)  # fmt: skip
lorentzian: Elementwise = row(
    "lorentzian",
    lambda x: 1.0 / (1.0 + x * x),
    lambda x: 1.0 / (1.0 + x * x),
    lambda out, x: -2.0 * (x * out) * out,  # in this order, nothing underflows before its time
    symbol="1/(1 + x²)", sample=(ANY,), doc="1 / (1 + x²), the derivative of arctan",
)  # fmt: skip
arctan2: Elementwise = row(
    "arctan2", math.atan2, np.arctan2,
    lambda out, y, x: direction_cosine(x, y) / hypot(x, y),
    lambda out, y, x: -direction_cosine(y, x) / hypot(x, y),
    sample=(ANY, ANY), kinks=lambda y, x: np.where(x < 0.0, y, np.hypot(x, y)),
    doc="The angle of the point (x, y), given y first, in radians",
)  # fmt: skip
sinh: Elementwise = row(
    "sinh", math.sinh, np.sinh,
    lambda out, x: cosh(x),
    sample=(ANY,), doc="Hyperbolic sine",
)  # fmt: skip
cosh: Elementwise = row(
    "cosh", math.cosh, np.cosh,
    lambda out, x: sinh(x),
    sample=(ANY,), doc="Hyperbolic cosine",
)  # fmt: skip
tanh: Elementwise = row(
    "tanh", math.tanh, np.tanh,
    lambda out, x: 4.0 * logistic_density(2.0 * x),
    sample=(ANY,), doc="Hyperbolic tangent",
)  # fmt: skip
arcsinh: Elementwise = row(
    "arcsinh", math.asinh, np.arcsinh,
    lambda out, x: 1.0 / hypot(x, 1.0),
    sample=(ANY,), doc="The inverse of sinh",
)  # fmt: skip
arccosh: Elementwise = row(
    "arccosh", math.acosh, np.arccosh,
    lambda out, x: 1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0)),
    sample=((1.1, 5.0),), doc="The inverse of cosh, for x ≥ 1",
)  # fmt: skip
arctanh: Elementwise = row(
    "arctanh", math.atanh, np.arctanh,
    lambda out, x: 1.0 / one_minus_square(x),
    sample=((-0.95, 0.95),), doc="The inverse of tanh, for −1 < x < 1",
)  # fmt: skip

# The logistic family


def sigmoid_of_float(x: float) -> float:
    """The kernel of sigmoid on floats: no exponential overflows."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def sigmoid_of_array(x: Any) -> Any:
    """The same on arrays."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


def _density_of_float(x: float) -> float:
    e = math.exp(-abs(x))
    return e / ((1.0 + e) * (1.0 + e))


def _density_of_array(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return e / np.square(1.0 + e)


sigmoid: Elementwise = row(
    "sigmoid", sigmoid_of_float, sigmoid_of_array,
    lambda out, x: logistic_density(x),
    symbol="σ", sample=(ANY,), doc="1 / (1 + e⁻ˣ), precise on both sides",
)  # fmt: skip
logistic_density: Elementwise = row(
    "logistic_density", _density_of_float, _density_of_array,
    lambda out, x: -out * tanh(0.5 * x),
    symbol="σ′", sample=(ANY,), doc="σ(x)·σ(−x), the derivative of sigmoid, precise far out",
)  # fmt: skip
softplus: Elementwise = row(
    "softplus",
    lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    lambda x: np.logaddexp(x, 0.0),
    lambda out, x: sigmoid(x),
    sample=(ANY,), doc="log(1 + eˣ) without overflow",
)  # fmt: skip


# Choosing


def _relu_of_array(x: Any) -> Any:
    # A row of zeros takes NumPy's vector loop; the number 0.0 a loop four times as slow.
    return np.maximum(x, np.zeros(np.shape(x)[-1:], x.dtype))


def _where_of_array(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)


relu: Elementwise = row(
    "relu", lambda x: x if x > 0.0 or x != x else 0.0, _relu_of_array,
    lambda out, x: x > 0.0,
    sample=(ANY,), kinks=lambda x: x, doc="max(x, 0); its derivative at 0 is 0",
)  # fmt: skip
where_row: Elementwise = row(
    "where", lambda condition, x, y: x if condition else y, _where_of_array,
    None,
    lambda out, condition, x, y: not_equal(condition, 0.0),
    lambda out, condition, x, y: equal(condition, 0.0),
    sample=(ANY, ANY, ANY),
)  # fmt: skip


def where(condition: Any, x: Any, y: Any) -> Any:
    """``x`` where ``condition`` holds and ``y`` elsewhere, broadcast together; as numpy.where.

    The condition is data, never differentiated. The branch not taken gets a gradient of exactly
    0, whatever it holds: no NaN leaks out of it.
    """
    return where_row(data_of(condition), x, y)
