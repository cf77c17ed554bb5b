"""The error function and its family: areas under the bell curve, precise to the far tails."""

import math
from typing import Any

import numpy as np

from microgradopt.engine.ops.elementwise import ANY, maximum, minimum, row
from microgradopt.engine.ops.polynomials import polynomial
from microgradopt.engine.rules import Elementwise

__all__ = [
    "erf", "erfc", "ndtr",
]  # fmt: skip

ROOT_HALF = math.sqrt(0.5)
SPLIT = 134217729.0  # 2²⁷ + 1 cuts a float in two halves (Dekker 1971)

# Chebyshev interpolants found with 50 digits, highest powers first. (1 + 2y)·e^(y²)·erfc(y), a
# function close to 1, in (y − 3.5) / (y + 3.5) for 0 ≤ y ≤ 28, to 3e-17:
SCALED_ERFC = (
    2.8667193609491106e-09, 1.1511685566222093e-08, -8.671480931172854e-09,
    -9.669745086054674e-08, 4.881061288811602e-09, 6.053756679898891e-07,
    -5.420742258854508e-08, -3.8185382143633075e-06, 2.333087862389511e-06,
    2.426296402702804e-05, -4.278368859461763e-05, -0.00012151304999803909,
    0.0005643847001631641, -0.0003022677554488155, -0.004215019941554783,
    0.019099330928185578, -0.04882332582557376, 0.08798315382577677,
    -0.11508959816027325, 0.09751909515323177, -0.010555596332217197,
    -0.14000918013761918, 1.2423492448711544,
)  # fmt: skip
# erf(x) / x in x² for |x| ≤ 1, to 5e-17:
ERF_AT_ZERO = (
    -7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07,
    1.6447424703317362e-06, -1.492473690741966e-05, 0.00012055294904839707,
    -0.0008548325975389692, 0.0052239776071164225, -0.02686617064323777,
    0.11283791670945006, -0.37612638903183543, 1.1283791670955126,
)  # fmt: skip


def _scaled_erfc(y: Any) -> Any:
    """e^(y²)·erfc(y) for 0 ≤ y ≤ 28."""
    u = 2.0 * (y / (y + 3.5)) - 1.0  # loses less than (y − 3.5) / (y + 3.5)
    return polynomial(SCALED_ERFC, u) / (1.0 + 2.0 * y)


def _bell(exp: Any, y: Any, rate: float) -> Any:
    """e^(−rate·y²) for moderate y ≥ 0, without what the rounding of y² would cost.

    ``rate`` is a power of 2, ``exp`` the exponential of floats or of arrays.
    """
    half = SPLIT * y - (SPLIT * y - y)
    return exp(-rate * (half * half)) * exp(-rate * ((y - half) * (y + half)))


def _in_double(kernel: Any) -> Any:
    """A kernel of arrays that computes in float64, for float32 too: rounded once, at the end."""

    def of_array(x: Any) -> Any:
        return kernel(x.astype(np.float64, copy=False)).astype(x.dtype, copy=False)

    return of_array


# The density e^(−x²) and that of the standard normal distribution


def kept_finite(x: Any) -> Any:
    """``x``, kept from infinity where what it multiplies is 0."""
    return minimum(maximum(x, -1000.0), 1000.0)


bell_curve: Elementwise = row(
    "bell_curve",
    lambda x: _bell(math.exp, min(abs(x), 40.0), 1.0),
    _in_double(lambda x: _bell(np.exp, np.minimum(np.abs(x), 40.0), 1.0)),
    lambda out, x: -2.0 * (kept_finite(x) * out),
    symbol="e^(−x²)", sample=(ANY,), doc="e^(−x²), precise far out",
)  # fmt: skip

DENSITY_AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)
normal_density: Elementwise = row(
    "normal_density",
    lambda x: DENSITY_AT_ZERO * _bell(math.exp, min(abs(x), 40.0), 0.5),
    _in_double(lambda x: DENSITY_AT_ZERO * _bell(np.exp, np.minimum(np.abs(x), 40.0), 0.5)),
    lambda out, x: -kept_finite(x) * out,
    symbol="φ", sample=(ANY,), doc="e^(−x²/2) / √(2π), the density of the normal distribution",
)  # fmt: skip

# The areas


def _erf_of_array(x: Any) -> Any:
    y = np.minimum(np.abs(x), 28.0)
    small = np.minimum(y, 1.0)
    far = np.copysign(1.0 - _bell(np.exp, y, 1.0) * _scaled_erfc(y), x)
    return np.where(y < 1.0, x * polynomial(ERF_AT_ZERO, small * small), far)


def _erfc_of_array(x: Any) -> Any:
    y = np.minimum(np.abs(x), 28.0)
    tail = _bell(np.exp, y, 1.0) * _scaled_erfc(y)
    return np.where(x < 0.0, 2.0 - tail, tail)


def ndtr_of_float(x: float) -> float:
    y = min(abs(x), 39.5)
    tail: float = 0.5 * _bell(math.exp, y, 0.5) * _scaled_erfc(ROOT_HALF * y)
    return tail if x < 0.0 else 1.0 - tail


def _ndtr_of_array(x: Any) -> Any:
    y = np.minimum(np.abs(x), 39.5)
    tail = 0.5 * _bell(np.exp, y, 0.5) * _scaled_erfc(ROOT_HALF * y)
    return np.where(x < 0.0, tail, 1.0 - tail)


ndtr_of_array = _in_double(_ndtr_of_array)

SLOPE_AT_ZERO = 2.0 / math.sqrt(math.pi)
erf: Elementwise = row(
    "erf", math.erf, _in_double(_erf_of_array),
    lambda out, x: SLOPE_AT_ZERO * bell_curve(x),
    sample=(ANY,), doc="The error function, 2/√π ∫₀ˣ e^(−t²) dt; as scipy.special.erf",
)  # fmt: skip
erfc: Elementwise = row(
    "erfc", math.erfc, _in_double(_erfc_of_array),
    lambda out, x: -SLOPE_AT_ZERO * bell_curve(x),
    sample=(ANY,), doc="1 − erf(x), precise where that is close to 0; as scipy.special.erfc",
)  # fmt: skip
ndtr: Elementwise = row(
    "ndtr", ndtr_of_float, ndtr_of_array,
    lambda out, x: normal_density(x),
    symbol="Φ", sample=(ANY,),
    doc="Φ(x), the probability that a standard normal number is below x; as scipy.special.ndtr",
)  # fmt: skip
