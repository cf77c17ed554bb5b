"""Activations and the error function, against formulas in NumPy and scipy-free definitions."""

from __future__ import annotations

import math

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=33)
add_call, normal = CASES.add_call, CASES.normal
X = 2.0 * normal(2, 5)  # on all pieces of the pieced ones


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def hardsigmoid(x):
    return np.clip(x / 6.0 + 0.5, 0.0, 1.0)


def softmin(x, axis=-1):
    e = np.exp(-x)
    return e / e.sum(axis, keepdims=True)


def halves(x, axis):
    first, second = np.split(x, 2, axis)
    return first * sigmoid(second)


def phi(x):
    return np.vectorize(lambda t: 0.5 * math.erfc(-t / math.sqrt(2.0)))(x)


def by_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def add(name, formula, *args, **options):
    label = ",".join(f"{k}={v}" for k, v in options.items()) or "default"
    add_call(name, label, lambda *xs: getattr(mg, name)(*xs, **options), formula, *args)


for x in (X, 1.3, -0.8):
    add("celu", lambda x: np.where(x > 0, x, np.expm1(x)), x)
    add("selu", lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        x)  # fmt: skip
    add("gelu", lambda x: x * phi(x), x)
    add("relu6", lambda x: np.clip(x, 0.0, 6.0), x)
    add("hardtanh", lambda x: np.clip(x, -1.0, 1.0), x)
    add("hardsigmoid", hardsigmoid, x)
    add("hardswish", lambda x: x * hardsigmoid(x), x)
    add("hardshrink", lambda x: np.where(np.abs(x) > 0.5, x, 0.0), x)
    add("softshrink", lambda x: x - np.clip(x, -0.5, 0.5), x)
    add("threshold", lambda x: np.where(x > 0.2, x, 3.0), x, threshold=0.2, value=3.0)
add_call("celu", "alpha", mg.celu, lambda x, a: np.where(x > 0, x, a * np.expm1(x / a)), X, 1.7)
add("gelu", by_tanh, X, approximate="tanh")
add("hardtanh", lambda x: np.clip(x, -2.0, 0.3), X, min_val=-2.0, max_val=0.3)
add_call("hardtanh", "learned", mg.hardtanh, np.clip, X, -1.7, 0.4)
add("hardshrink", lambda x: np.where(np.abs(x) > 1.5, x, 0.0), X, lambd=1.5)
add("softshrink", lambda x: x - np.clip(x, -1.5, 1.5), X, lambd=1.5)
for axis in (0, 1, -1):
    add("softmin", lambda x, a=axis: softmin(x, a), X, axis=axis)
add("glu", lambda x: halves(x, 0), X, axis=0)
add("glu", lambda x: halves(x, -1), normal(3, 2, 4))
