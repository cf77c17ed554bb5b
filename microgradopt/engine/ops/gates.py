"""Activations that are rows of their own: x times a gate, and bends that would cancel if composed.

A gate rises from 0 to 1. Where it has underflowed to 0, so has the product, down to −inf.
"""

import math
from typing import Any

import numpy as np

from microgradopt.engine.ops.elementwise import (
    ANY,
    absolute,
    logistic_density,
    row,
    sigmoid,
    sigmoid_of_array,
    sigmoid_of_float,
    softplus,
    square,
    tanh,
)
from microgradopt.engine.ops.polynomials import polynomial
from microgradopt.engine.ops.special import (
    kept_finite,
    ndtr,
    ndtr_of_array,
    ndtr_of_float,
    normal_density,
)
from microgradopt.engine.rules import Elementwise

__all__ = [
    "mish", "silu", "softsign", "tanhshrink",
]  # fmt: skip

NEVER = -10_000.0  # where every gate is 0


def _gated(name: str, scalar: Any, array: Any, gate: Any, slope: Any, **declared: Any) -> Any:
    """The row x · gate(x): the gate's two kernels, the gate as a function, its derivative."""
    return row(
        name,
        lambda x: max(x, NEVER) * scalar(x),
        lambda x: np.maximum(x, NEVER) * array(x),
        lambda out, x: gate(x) + kept_finite(x) * slope(x),
        sample=(ANY,),
        **declared,
    )


def _mish_gate_of_float(x: float) -> float:
    e = math.exp(-abs(x))
    if x < 0.0:
        return e * (e + 2.0) / (e * (e + 2.0) + 2.0)
    return (1.0 + 2.0 * e) / (1.0 + 2.0 * e * (1.0 + e))


def _mish_gate_of_array(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    below = e * (e + 2.0)
    return np.where(x < 0.0, below, 1.0 + 2.0 * e) / np.where(
        x < 0.0, below + 2.0, 1.0 + 2.0 * e * (1.0 + e)
    )


silu: Elementwise = _gated(
    "silu", sigmoid_of_float, sigmoid_of_array, sigmoid, logistic_density,
    doc="x·σ(x), also called swish (Elfwing et al. 2018)",
)  # fmt: skip
gelu_row: Elementwise = _gated(
    "gelu", ndtr_of_float, ndtr_of_array, ndtr, normal_density,
    doc="x·Φ(x) with the normal distribution's Φ",
)  # fmt: skip
mish: Elementwise = _gated(
    "mish", _mish_gate_of_float, _mish_gate_of_array,
    lambda x: tanh(softplus(x)),
    lambda x: 4.0 * logistic_density(2.0 * softplus(x)) * sigmoid(x),
    doc="x·tanh(log(1 + eˣ)) (Misra 2020)",
)  # fmt: skip


def _softsign_of_array(x: Any) -> Any:
    x = np.clip(x, -np.finfo(x.dtype).max, np.finfo(x.dtype).max)
    return x / (1.0 + np.abs(x))


softsign: Elementwise = row(
    "softsign",
    lambda x: x / (1.0 + abs(x)) if math.isfinite(x) else float(_softsign_of_array(np.float64(x))),
    _softsign_of_array,
    lambda out, x: square(1.0 / (1.0 + absolute(x))),
    sample=(ANY,), kinks=lambda x: x, doc="x / (1 + |x|)",
)  # fmt: skip

# x·cosh x − sinh x = x³ Σ x²ᵏ⁻² · 2k / (2k + 1)!, to the last digit for |x| < 2
SHRINKING = tuple(2.0 * k / math.factorial(2 * k + 1) for k in range(14, 0, -1))


def _tanhshrink_of_float(x: float) -> float:
    if abs(x) < 2.0:
        series: float = polynomial(SHRINKING, x * x)
        return series * x * x * x / math.cosh(x)
    return x - math.tanh(x)


def _tanhshrink_of_array(x: Any) -> Any:
    near = np.clip(x, -2.0, 2.0)
    z = near * near
    return np.where(
        np.abs(x) < 2.0, polynomial(SHRINKING, z) * z * near / np.cosh(near), x - np.tanh(x)
    )


tanhshrink: Elementwise = row(
    "tanhshrink", _tanhshrink_of_float, _tanhshrink_of_array,
    lambda out, x: square(tanh(x)),
    sample=(ANY,), doc="x − tanh(x), precise near 0",
)  # fmt: skip
