"""What every elementwise row and its derivatives truly are, by mpmath, to 70 digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp

mp.mp.dps = 70  # what two floats lose in 1 − x or x − y is 16 digits; sums may lose all they like

Real = Callable[..., Any]


class Truth(NamedTuple):
    """A row as mathematics has it; each function takes and gives mpmath's numbers.

    ``second`` holds the upper triangle: xx, or xx, xy, yy; nothing for rows that are themselves the
    derivative of another. ``ulps`` bounds the errors of value and first derivatives in units of
    their last place, with the reason ``why`` where it is above 4. Three things relax the bounds:
    ``by_way_of`` is what a rule computes on its way to the partials, which has lost digits where it
    is subnormal; ``terms`` is the size of the terms that cancel in value, first and second
    derivatives; ``flushed`` allows 0 for what is subnormal.
    """

    value: Real
    first: tuple[Real, ...]
    second: tuple[Real, ...]
    domain: Callable[..., bool] = lambda *xs: True
    ulps: float = 4.0
    why: str = ""
    by_way_of: Real | None = None
    terms: tuple[Real | None, Real | None, Real | None] = (None, None, None)
    flushed: bool = False


def _one(value: Real, first: Real, second: Real | None, **declared: Any) -> Truth:
    return Truth(value, (first,), (second,) if second else (), **declared)


def zero(*xs: Any) -> Any:
    return mp.mpf(0)


LINEAR = (zero, zero, zero)
LN2, LN10 = mp.log(2), mp.log(10)


def positive(x: Any) -> bool:
    return x > 0


def inside(x: Any) -> bool:
    return abs(x) < 1


def density(x: Any) -> Any:
    e = mp.exp(-abs(x))
    return e / (1 + e) ** 2


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def bell(x: Any) -> Any:
    return mp.exp(-x * x)


def phi(x: Any) -> Any:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def erfc(x: Any) -> Any:
    return mp.erfc(x) if abs(x) < 1e3 else mp.mpf(2 if x < 0 else 0)  # mpmath overflows


def area(x: Any) -> Any:
    return erfc(-x / mp.sqrt(2)) / 2


def tanhshrink(x: Any) -> Any:
    return x - mp.tanh(x) if abs(x) > 1e-12 else x**3 / 3 - 2 * x**5 / 15


def has_a_normal_exponential(x: Any) -> bool:
    return not 740 < abs(x) < 750


def mish_gate(x: Any) -> Any:
    return mp.tanh(mp.log1p(mp.exp(-abs(x))) + max(x, 0))


def mish_slope(x: Any) -> Any:
    return 4 * density(2 * (mp.log1p(mp.exp(-abs(x))) + max(x, 0))) * sigmoid(x)


def mish_curve(x: Any) -> Any:
    return mish_slope(x) * (sigmoid(-x) - 2 * mish_gate(x) * sigmoid(x))


def cbrt(x: Any) -> Any:
    return mp.sign(x) * mp.cbrt(abs(x))


def power(x: Any, y: Any) -> Any:
    return mp.exp(y * mp.log(x))


def length(x: Any, y: Any) -> Any:
    return mp.sqrt(x * x + y * y)


def has_direction(x: Any, y: Any) -> bool:
    return 0 < length(x, y) < mp.mpf(2) ** 1024


def logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + mp.log1p(mp.exp(-abs(x - y)))


def whole_part(x: Any) -> Any:
    return mp.sign(x) * mp.floor(abs(x))


def _left_over(x: Any, y: Any, whole: Real) -> Any:
    with mp.workdps(700):  # a quotient of two floats may have 600 digits before the point
        return x - y * whole(x / y)


def _curve_of_sinc(x: Any) -> Any:
    if abs(x) < 1e-9:
        return -(mp.pi**2) / 3
    return -(mp.pi**2) * mp.sincpi(x) - 2 * (mp.cospi(x) - mp.sincpi(x)) / x**2


TRUTHS: dict[str, Truth] = {
    # Arithmetic
    "add": Truth(lambda x, y: x + y, (lambda x, y: 1, lambda x, y: 1), LINEAR),
    "subtract": Truth(lambda x, y: x - y, (lambda x, y: 1, lambda x, y: -1), LINEAR),
    "multiply": Truth(
        lambda x, y: x * y, (lambda x, y: y, lambda x, y: x), (zero, lambda x, y: 1, zero)
    ),
    "divide": Truth(
        lambda x, y: x / y,
        (lambda x, y: 1 / y, lambda x, y: -x / y**2),
        (zero, lambda x, y: -1 / y**2, lambda x, y: 2 * x / y**3),
        domain=lambda x, y: y != 0,
        by_way_of=lambda x, y: x / y,
    ),
    "negative": _one(lambda x: -x, lambda x: -1, zero),
    "alias": _one(lambda x: x, lambda x: 1, zero),
    "square": _one(lambda x: x * x, lambda x: 2 * x, lambda x: 2),
    "one_minus_square": _one(lambda x: (1 - x) * (1 + x), lambda x: -2 * x, lambda x: -2),
    "power": Truth(
        power,
        (lambda x, y: y * power(x, y - 1), lambda x, y: power(x, y) * mp.log(x)),
        (
            lambda x, y: y * (y - 1) * power(x, y - 2),
            lambda x, y: power(x, y - 1) * (1 + y * mp.log(x)),
            lambda x, y: power(x, y) * mp.log(x) ** 2,
        ),
        domain=lambda x, y: x > 0,
        by_way_of=power,
        terms=(None, None, lambda x, y: power(x, y - 1)),
    ),
    "power_slope": Truth(
        lambda x, y: y * power(x, y - 1),
        (
            lambda x, y: y * (y - 1) * power(x, y - 2),
            lambda x, y: power(x, y - 1) * (1 + y * mp.log(x)),
        ),
        (),
        domain=lambda x, y: 1e-100 < x < 1e100 and 1e-100 < abs(y) < 1e100,
        ulps=8.0,
        why="its derivatives are the second ones of power",
        by_way_of=lambda x, y: power(x, y - 1),
        terms=(None, lambda x, y: power(x, y - 1), None),
    ),
    # Exponentials and logarithms
    "exp": _one(mp.exp, mp.exp, mp.exp),
    "exp2": _one(
        lambda x: mp.power(2, x), lambda x: LN2 * mp.power(2, x), lambda x: LN2**2 * mp.power(2, x)
    ),
    "expm1": _one(mp.expm1, mp.exp, mp.exp),
    "log": _one(mp.log, lambda x: 1 / x, lambda x: -1 / x**2, domain=positive),
    "log2": _one(
        lambda x: mp.log(x) / LN2,
        lambda x: 1 / (x * LN2),
        lambda x: -1 / (x**2 * LN2),
        domain=positive,
    ),
    "log10": _one(
        mp.log10, lambda x: 1 / (x * LN10), lambda x: -1 / (x**2 * LN10), domain=positive
    ),
    "log1p": _one(
        mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2, domain=lambda x: x > -1
    ),
    "logaddexp": Truth(
        logaddexp,
        (lambda x, y: sigmoid(x - y), lambda x, y: sigmoid(y - x)),
        (
            lambda x, y: density(x - y),
            lambda x, y: -density(x - y),
            lambda x, y: density(x - y),
        ),
        terms=(lambda x, y: 1, None, None),
    ),
    "logaddexp_slope": Truth(
        lambda x, y: sigmoid(x - y),
        (lambda x, y: density(x - y), lambda x, y: -density(x - y)),
        (),
        ulps=6.0,
        why="its derivatives are the second ones of logaddexp",
        by_way_of=lambda x, y: sigmoid(x - y),
    ),
    # Roots, absolute values, extremes
    "sqrt": _one(
        mp.sqrt,
        lambda x: 1 / (2 * mp.sqrt(x)),
        lambda x: -1 / (4 * x * mp.sqrt(x)),
        domain=positive,
    ),
    "cbrt": _one(
        cbrt,
        lambda x: 1 / (3 * cbrt(x) ** 2),
        lambda x: -2 / (9 * x * cbrt(x) ** 2),
        domain=lambda x: x != 0,
        ulps=10.0,
        why="the square of a cube root that C libraries give with up to 4 wrong ulps",
    ),
    "absolute": _one(abs, mp.sign, zero),
    "sign": _one(mp.sign, zero, zero),
    "maximum": Truth(
        max,
        (lambda x, y: mp.mpf((x > y) + (x >= y)) / 2, lambda x, y: mp.mpf((y > x) + (y >= x)) / 2),
        LINEAR,
    ),
    "minimum": Truth(
        min,
        (lambda x, y: mp.mpf((x < y) + (x <= y)) / 2, lambda x, y: mp.mpf((y < x) + (y <= x)) / 2),
        LINEAR,
    ),
    "hypot": Truth(
        length,
        (lambda x, y: x / length(x, y), lambda x, y: y / length(x, y)),
        (
            lambda x, y: y**2 / length(x, y) ** 3,
            lambda x, y: -x * y / length(x, y) ** 3,
            lambda x, y: x**2 / length(x, y) ** 3,
        ),
        domain=lambda x, y: x != 0 or y != 0,
    ),
    "direction_cosine": Truth(
        lambda x, y: x / length(x, y),
        (lambda x, y: y**2 / length(x, y) ** 3, lambda x, y: -x * y / length(x, y) ** 3),
        (),
        domain=lambda x, y: 1e-150 < length(x, y) < 1e150,
        ulps=8.0,
        why="its derivatives are the second ones of hypot, of two cosines and a length",
        by_way_of=lambda x, y: min(abs(x), abs(y)) / length(x, y),
    ),
    # Trigonometric and hyperbolic functions
    "sin": _one(mp.sin, mp.cos, lambda x: -mp.sin(x)),
    "cos": _one(mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    "tan": _one(
        mp.tan,
        lambda x: 1 / mp.cos(x) ** 2,
        lambda x: 2 * mp.sin(x) / mp.cos(x) ** 3,
        ulps=6.0,
        why="the square of a tangent that NumPy's loops may give with 2 wrong ulps",
    ),
    "arcsin": _one(
        mp.asin,
        lambda x: 1 / mp.sqrt((1 - x) * (1 + x)),
        lambda x: x / mp.sqrt((1 - x) * (1 + x)) ** 3,
        domain=inside,
    ),
    "arccos": _one(
        mp.acos,
        lambda x: -1 / mp.sqrt((1 - x) * (1 + x)),
        lambda x: -x / mp.sqrt((1 - x) * (1 + x)) ** 3,
        domain=inside,
    ),
    "arctan": _one(
        mp.atan, lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2, flushed=True
    ),
    "lorentzian": _one(
        lambda x: 1 / (1 + x**2),
        lambda x: -2 * x / (1 + x**2) ** 2,
        None,
        ulps=6.0,
        why="its derivative is the second one of arctan",
        flushed=True,
    ),
    "arctan2": Truth(
        lambda y, x: mp.atan2(y, x),
        (lambda y, x: x / length(x, y) ** 2, lambda y, x: -y / length(x, y) ** 2),
        (
            lambda y, x: -2 * x * y / length(x, y) ** 4,
            lambda y, x: (y**2 - x**2) / length(x, y) ** 4,
            lambda y, x: 2 * x * y / length(x, y) ** 4,
        ),
        domain=has_direction,
        by_way_of=lambda y, x: min(abs(x), abs(y)) / length(x, y),
        terms=(None, None, lambda y, x: 1 / length(x, y) ** 2),
    ),
    "sinh": _one(mp.sinh, mp.cosh, mp.sinh),
    "cosh": _one(mp.cosh, mp.sinh, mp.cosh),
    "tanh": _one(mp.tanh, lambda x: 4 * density(2 * x), lambda x: -8 * density(2 * x) * mp.tanh(x)),
    "arcsinh": _one(
        mp.asinh, lambda x: 1 / mp.sqrt(1 + x**2), lambda x: -x / mp.sqrt(1 + x**2) ** 3
    ),
    "arccosh": _one(
        mp.acosh,
        lambda x: 1 / mp.sqrt((x - 1) * (x + 1)),
        lambda x: -x / mp.sqrt((x - 1) * (x + 1)) ** 3,
        domain=lambda x: x > 1,
    ),
    "arctanh": _one(
        mp.atanh,
        lambda x: 1 / ((1 - x) * (1 + x)),
        lambda x: 2 * x / ((1 - x) * (1 + x)) ** 2,
        domain=inside,
    ),
    # The logistic family
    "sigmoid": _one(sigmoid, density, lambda x: -density(x) * mp.tanh(x / 2)),
    "logistic_density": _one(
        density,
        lambda x: -density(x) * mp.tanh(x / 2),
        None,
    ),
    "softplus": _one(lambda x: max(x, 0) + mp.log1p(mp.exp(-abs(x))), sigmoid, density),
    "relu": _one(lambda x: max(x, mp.mpf(0)), lambda x: int(x > 0), zero),
    # Areas under the bell curve
    "bell_curve": _one(
        bell,
        lambda x: -2 * x * bell(x),
        lambda x: (4 * x * x - 2) * bell(x),
        by_way_of=bell,
        terms=(None, None, lambda x: (4 * x * x + 2) * bell(x)),
    ),
    "normal_density": _one(
        phi,
        lambda x: -x * phi(x),
        lambda x: (x * x - 1) * phi(x),
        by_way_of=phi,
        terms=(None, None, lambda x: (x * x + 1) * phi(x)),
    ),
    "erf": _one(
        mp.erf,
        lambda x: 2 / mp.sqrt(mp.pi) * bell(x),
        lambda x: -4 / mp.sqrt(mp.pi) * x * bell(x),
        by_way_of=bell,
    ),
    "erfc": _one(
        erfc,
        lambda x: -2 / mp.sqrt(mp.pi) * bell(x),
        lambda x: 4 / mp.sqrt(mp.pi) * x * bell(x),
        by_way_of=bell,
    ),
    "ndtr": _one(area, phi, lambda x: -x * phi(x), by_way_of=phi),
    # Gates
    "silu": _one(
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) + x * density(x),
        lambda x: 2 * density(x) - x * density(x) * mp.tanh(x / 2),
        domain=has_a_normal_exponential,
        by_way_of=density,
        terms=(
            None,
            lambda x: sigmoid(x) + abs(x) * density(x),
            lambda x: (2 + abs(x)) * density(x),
        ),
    ),
    "gelu": _one(
        lambda x: x * area(x),
        lambda x: area(x) + x * phi(x),
        lambda x: (2 - x * x) * phi(x),
        ulps=5.0,
        why="x times Φ, which has up to 3.6 wrong ulps itself",
        by_way_of=area,
        terms=(
            None,
            lambda x: area(x) + abs(x) * phi(x),
            lambda x: (2 + x * x) * phi(x),
        ),
    ),
    "mish": _one(
        lambda x: x * mish_gate(x),
        lambda x: mish_gate(x) + x * mish_slope(x),
        lambda x: 2 * mish_slope(x) + x * mish_curve(x),
        domain=has_a_normal_exponential,
        by_way_of=mish_slope,
        terms=(
            None,
            lambda x: mish_gate(x) + abs(x) * mish_slope(x),
            lambda x: 2 * mish_slope(x) + abs(x * mish_curve(x)) + 3 * abs(x) * mish_slope(x),
        ),
    ),
    "softsign": _one(
        lambda x: x / (1 + abs(x)),
        lambda x: 1 / (1 + abs(x)) ** 2,
        lambda x: -2 * mp.sign(x) / (1 + abs(x)) ** 3,
        by_way_of=lambda x: 1 / (1 + abs(x)) ** 2,
    ),
    "tanhshrink": _one(
        tanhshrink,
        lambda x: mp.tanh(x) ** 2,
        lambda x: 8 * mp.tanh(x) * density(2 * x),
    ),
    # The rest of NumPy's ufuncs
    "reciprocal": _one(
        lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3, domain=lambda x: x != 0
    ),
    "remainder": Truth(
        lambda x, y: _left_over(x, y, mp.floor),
        (lambda x, y: 1, lambda x, y: -mp.floor(x / y)),
        LINEAR,
        domain=lambda x, y: y != 0,
    ),
    "fmod": Truth(
        lambda x, y: _left_over(x, y, whole_part),
        (lambda x, y: 1, lambda x, y: -whole_part(x / y)),
        LINEAR,
        domain=lambda x, y: y != 0,
    ),
    "copysign": Truth(
        lambda x, y: abs(x) * (-1) ** (y < 0),
        (lambda x, y: mp.sign(x) * (-1) ** (y < 0), zero),
        LINEAR,
    ),
    "logaddexp2": Truth(
        lambda x, y: max(x, y) + mp.log1p(mp.power(2, -abs(x - y))) / LN2,
        (lambda x, y: sigmoid((x - y) * LN2), lambda x, y: sigmoid((y - x) * LN2)),
        (
            lambda x, y: LN2 * density((x - y) * LN2),
            lambda x, y: -LN2 * density((x - y) * LN2),
            lambda x, y: LN2 * density((x - y) * LN2),
        ),
        terms=(lambda x, y: 1, None, None),
    ),
    "logaddexp2_slope": Truth(
        lambda x, y: sigmoid((x - y) * LN2),
        (
            lambda x, y: LN2 * density((x - y) * LN2),
            lambda x, y: -LN2 * density((x - y) * LN2),
        ),
        (),
        ulps=6.0,
        why="its derivatives are the second ones of logaddexp2",
        by_way_of=lambda x, y: sigmoid((x - y) * LN2),
    ),
    "deg2rad": _one(lambda x: x * mp.pi / 180, lambda x: mp.pi / 180, zero),
    "rad2deg": _one(lambda x: x * 180 / mp.pi, lambda x: 180 / mp.pi, zero),
    "sinc": _one(
        mp.sincpi,
        lambda x: (mp.cospi(x) - mp.sincpi(x)) / x if abs(x) > 1e-9 else -(mp.pi**2) * x / 3,
        lambda x: _curve_of_sinc(x),
        domain=lambda x: abs(x) < 1e9,
        terms=(lambda x: 1, lambda x: 1 if abs(x) > 0.5 else 0, lambda x: 10),
        ulps=8.0,
        why="πx is rounded before its sine is taken",
    ),
}
TRUTHS["fmax"], TRUTHS["fmin"] = TRUTHS["maximum"], TRUTHS["minimum"]  # fmt: skip
