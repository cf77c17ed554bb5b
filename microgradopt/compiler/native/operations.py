"""Which of NumPy's functions the machine has instructions for, and under which names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradopt.compiler.native.loops import is_native

# Ufuncs on floats that are a few instructions each. Everything else is NumPy's own loop.
MACHINE: dict[Any, str] = {
    np.add: "add", np.subtract: "subtract", np.multiply: "multiply", np.divide: "divide",
    np.negative: "negative", np.positive: "copy", np.square: "square",
    np.reciprocal: "reciprocal", np.absolute: "absolute", np.fabs: "absolute", np.sqrt: "sqrt",
    np.maximum: "maximum", np.minimum: "minimum", np.fmax: "fmax", np.fmin: "fmin",
    np.greater: "greater", np.greater_equal: "greater_equal", np.less: "less",
    np.less_equal: "less_equal", np.equal: "equal", np.not_equal: "not_equal",
    np.isnan: "isnan", np.isfinite: "isfinite", np.isinf: "isinf", np.signbit: "signbit",
    np.sign: "sign", np.copysign: "copysign", np.floor: "floor", np.ceil: "ceil",
    np.trunc: "trunc", np.rint: "rint",
    np.logical_and: "and", np.logical_or: "or", np.logical_xor: "xor", np.logical_not: "not",
    np.where: "where",
}  # fmt: skip
ON_INTEGERS = frozenset((
    "add", "subtract", "multiply", "negative", "copy", "square", "greater", "greater_equal", "less",
    "less_equal", "equal", "not_equal", "where", "maximum", "minimum",
))  # fmt: skip
ON_TRUTHS = frozenset(("and", "or", "xor", "not", "copy", "where", "equal", "not_equal"))
BITWISE = {np.bitwise_and: "and", np.bitwise_or: "or", np.bitwise_xor: "xor", np.invert: "not"}

# Functions of one float: C's, as Python calls them.
OF_FLOATS: dict[Any, str] = {
    math.exp: "exp", math.exp2: "exp2", math.expm1: "expm1", math.log: "log", math.log2: "log2",
    math.log10: "log10", math.log1p: "log1p", math.pow: "pow", math.cbrt: "cbrt",
    math.sin: "sin", math.cos: "cos", math.tan: "tan", math.asin: "asin",
    math.acos: "acos", math.atan: "atan", math.atan2: "atan2", math.sinh: "sinh",
    math.cosh: "cosh", math.tanh: "tanh", math.asinh: "asinh", math.acosh: "acosh",
    math.atanh: "atanh", math.fmod: "fmod",
}  # fmt: skip

ARRANGING = frozenset((
    np.ravel, np.squeeze, np.expand_dims, np.moveaxis, np.swapaxes, np.broadcast_to, np.flip,
    np.atleast_1d, np.atleast_2d, np.diagonal, np.transpose, np.reshape, np.matrix_transpose,
    np.ndarray.ravel, np.ndarray.squeeze, np.ndarray.swapaxes, np.ndarray.diagonal,
    np.ndarray.reshape, np.ndarray.transpose,
))  # fmt: skip

REDUCTIONS: dict[Any, str] = {
    np.sum: "add", np.ndarray.sum: "add", np.amax: "maximum", np.max: "maximum",
    np.ndarray.max: "maximum", np.amin: "minimum", np.min: "minimum", np.ndarray.min: "minimum",
    np.mean: "mean", np.ndarray.mean: "mean", np.any: "or", np.ndarray.any: "or", np.all: "and",
    np.ndarray.all: "and", np.prod: "multiply", np.ndarray.prod: "multiply",
}  # fmt: skip
OF_UFUNC: dict[Any, str] = {
    np.add: "add", np.maximum: "maximum", np.minimum: "minimum", np.multiply: "multiply",
    np.logical_and: "and", np.logical_or: "or",
}  # fmt: skip

POWERS: dict[float, Any] = {  # exponents for which ndarray's ** has shortcuts
    2: np.square, 0.5: np.sqrt, -1: np.reciprocal, 1: np.positive,
}  # fmt: skip


def reduction_of(function: Any) -> str | None:
    """The operation that a reducing function combines entries by; None for other functions."""
    ufunc = getattr(function, "__self__", None)
    if isinstance(ufunc, np.ufunc):
        return OF_UFUNC.get(ufunc) if function.__name__ == "reduce" else None
    return REDUCTIONS.get(function)


def machine_operation(ufunc: Any, loop: tuple[np.dtype[Any], ...]) -> str | None:
    """The name of a ufunc for which the machine has instructions on these dtypes, or None."""
    kinds = {d.kind for d in loop[:-1]}
    if not all(map(is_native, loop)):
        return None
    if kinds == {"b"} and ufunc in BITWISE:
        return BITWISE[ufunc]
    name = MACHINE.get(ufunc)
    if name == "where":
        return name
    if name in ("and", "or", "xor", "not"):
        return name
    if kinds == {"f"}:
        return name
    if kinds == {"b"}:
        return name if name in ON_TRUTHS else None
    return name if name in ON_INTEGERS and len(kinds) == 1 else None
