"""Sums, products, extremes, spreads, norms, softmax; bounds, bends and order."""

from __future__ import annotations

from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=20)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal

AXES: list[Any] = [None, 0, 1, -1, (0,), (0, 1), (-1, 0), (0, 1, 2), ()]
X = normal(2, 3, 2)
for name, theirs in [
    ("sum", np.sum), ("mean", np.mean), ("prod", np.prod),
    ("max", np.max), ("min", np.min), ("var", np.var), ("std", np.std),
]:  # fmt: skip
    for axis in AXES:
        if axis == () and name in ("std", "var", "max", "min"):
            continue  # the spread of single numbers is constant, its root has a kink
        add(name, theirs, X, axis=axis, keepdims=bool(axis))
        if axis in (None, 1):
            add(name, theirs, X, axis=axis, keepdims=not axis)
    if name in ("sum", "mean", "prod"):
        add(name, theirs, np.array(1.7))
    add(name, theirs, normal(5)[::-1])
for name, theirs in [("var", np.var), ("std", np.std)]:
    for ddof in (1, 0.5):
        add(name, theirs, X, axis=0, ddof=ddof)
        add(name, theirs, normal(4), ddof=ddof)
add_call("std", "ddof differentiated", lambda x, d: mg.std(x, ddof=d),
         lambda x, d: np.std(x, ddof=d), normal(4), 1.0)  # fmt: skip
for name, theirs in [("sum", np.sum), ("prod", np.prod)]:
    add(name, theirs, np.zeros((0, 3)), axis=0)
    add(name, theirs, np.zeros((2, 0)), axis=1, keepdims=True)
    add(name, theirs, np.zeros(0))
for zeros in ([2.0, 0.0, 3.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 2.0]):
    add("prod", np.prod, np.array(zeros), label=f"zeros={zeros}")
add("prod", np.prod, np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.5]]), axis=0)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _softmax(x: Any, axis: Any = -1) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


for axis in AXES:
    add("logsumexp", _logsumexp, X, axis=axis, keepdims=bool(axis))
for axis in (0, 1, -1, None):
    add("logsumexp", _logsumexp, X, axis=axis, keepdims=True)
    add("softmax", _softmax, X, axis=axis)
    add("log_softmax", lambda x, axis=-1: np.log(_softmax(x, axis)), X, axis=axis)
add("softmax", _softmax, normal(4))

for order in (None, 1, 2, 3, 0.5, -1, -2.5, np.inf, -np.inf, 0):
    add("norm", np.linalg.norm, normal(4), ord=order)
    add("norm", np.linalg.norm, normal(3, 2), ord=order, axis=-1)
    add("norm", np.linalg.norm, normal(3, 2), ord=order, axis=0, keepdims=True)
add_call("norm", "ord differentiated", mg.norm, np.linalg.norm, normal(4), 2.5)
add("norm", np.linalg.norm, X)
add("norm", np.linalg.norm, normal(3, 2), ord="fro")
add("norm", np.linalg.norm, X, ord="fro", axis=(0, 2))
add("norm", np.linalg.norm, X, axis=(0, -1), keepdims=True)
add("norm", np.linalg.norm, np.zeros((0,)))
for label, factor in (("huge", 1e200), ("tiny", 1e-200)):
    add_call(
        "norm",
        label,
        mg.norm,
        lambda x, c=factor: c * np.linalg.norm(x / c),
        factor * normal(3),
    )

# Bounds, bends, order

add_call("clip", "both", lambda x: mg.clip(x, -0.5, 1.0), lambda x: np.clip(x, -0.5, 1.0), X)
add_call("clip", "low", lambda x: mg.clip(x, 0.1), lambda x: np.maximum(x, 0.1), X)
add_call("clip", "high", lambda x: mg.clip(x, None, 0.1), lambda x: np.minimum(x, 0.1), X)
add_call("clip", "arrays", mg.clip, np.clip, X, normal(3, 1) - 2.0, normal(1, 2) + 2.0)
add_call("leaky_relu", "default", mg.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), X)
add_call(
    "leaky_relu",
    "learned",
    mg.leaky_relu,
    lambda x, a: np.where(x > 0, x, a * x),
    X,
    normal(3, 1),
)
add_call("elu", "default", mg.elu, lambda x: np.where(x > 0, x, np.expm1(x)), X)
add_call("elu", "alpha", mg.elu, lambda x, a: np.where(x > 0, x, a * np.expm1(x)), X, 1.7)
add_call("log_sigmoid", "plain", mg.log_sigmoid, lambda x: -np.log1p(np.exp(-x)), X)
add_call("stop_gradient", "half", lambda x: mg.stop_gradient(2.0) * x, lambda x: 2.0 * x, X)
for axis in (0, 1, -1, None):
    add("sort", np.sort, X, axis=axis)
    add("cumsum", np.cumsum, X, axis=axis)
add("sort", np.sort, normal(5)[::-1])
add("cumsum", np.cumsum, np.zeros((0, 3)), axis=0)
