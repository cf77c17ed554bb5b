"""Reductions with all their arguments, without the NaNs, weighted, running; quantiles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=25)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal

AXES: list[Any] = [None, 0, -1, (0, 1), (2, 0)]
X = normal(2, 3, 2)
MASK = np.array([[[True, False], [True, True], [False, True]], [[True, True]] * 3])
SOME = np.array([[True], [False], [True]])
ZEROS = np.array([[[0.0, 2.0], [3.0, 0.0], [0.0, 1.5]], [[0.5, -1.0], [0.0, 0.0], [2.0, -3.0]]])


def call(name: str, label: str, *args: Any, **options: Any) -> None:
    """The same call of both libraries, whose options would make a long label."""
    f, theirs = partial(getattr(mg, name), **options), partial(getattr(np, name), **options)
    add_call(name, label, f, theirs, *args)


# where=, initial=, dtype=

for name in ("sum", "mean", "prod", "max", "min", "var", "std"):
    needed = {"initial": 0.25} if name in ("max", "min") else {}
    for axis in AXES:
        for mask, keepdims in ((MASK, False), (SOME, True)):
            if mask is SOME and name in ("mean", "var", "std"):
                continue  # of nothing in some places
            call(name, f"where,axis={axis},{keepdims}", X, axis=axis, where=mask, **needed,
                 keepdims=keepdims)  # fmt: skip
    call(name, "where of one", normal(4), where=np.array([True, True, False, True]), **needed)
    if name not in ("max", "min"):
        call(name, "dtype", X, axis=1, dtype=np.float64)
    if name in ("sum", "prod", "max", "min"):
        for initial in (0.5, -3, 40.0):
            call(name, f"initial={initial}", X, axis=1, initial=initial)
        call(name, "initial of nothing", np.zeros((0, 3)), axis=0, initial=2.0)
        add_call(name, "initial of nodes", lambda x, c, n=name: getattr(mg, n)(x, initial=c),
                 lambda x, c, n=name: getattr(np, n)(x, initial=c), X, 0.7)  # fmt: skip
for name in ("var", "std"):
    call(name, "where,ddof", X, axis=1, where=MASK, ddof=1)
    call(name, "correction", X, axis=1, correction=1)
    add_call(
        name, "mean", lambda x, m, n=name: getattr(mg, n)(x, axis=1, mean=m),
        lambda x, m, n=name: getattr(np, n)(x, axis=1, mean=m), X, X.mean(1, keepdims=True) + 0.2,
    )  # fmt: skip

# Running products, peaks, weights

for zeros in (X, ZEROS):
    for axis in (None, 0, 1, -1):
        add("cumprod", np.cumprod, zeros, axis=axis)
    for axis in AXES:
        add("prod", np.prod, zeros, axis=axis)
add("cumprod", np.cumprod, np.zeros((0, 3)), axis=0)
add("cumprod", np.cumprod, np.zeros((2, 0)), axis=0)
add("cumprod", np.cumprod, np.array([2.0, 0.0, 3.0, 0.0, 5.0]))
for name in ("cumulative_sum", "cumulative_prod"):
    for included in (False, True):
        add(name, getattr(np, name), X, axis=1, include_initial=included)
        add(name, getattr(np, name), normal(4), include_initial=included)
for axis in AXES:
    add("ptp", np.ptp, X, axis=axis, keepdims=axis == 0)
    add("average", np.average, X, axis=axis, keepdims=axis == 0)


def _average(module: Any, **options: Any) -> Any:
    return lambda x, w: module.average(x, weights=w, **options)


for axis, shape in (
    (1, (3,)),
    (-1, (2,)),
    ((0, 1), (2, 3)),
    ((2, 0), (2, 2)),
    (None, (2, 3, 2)),
    (1, (2, 3, 2)),
):
    weights = np.abs(normal(*shape)) + 0.1
    add_call("average", f"weights {shape},axis={axis}", _average(mg, axis=axis),
             _average(np, axis=axis), X, weights)  # fmt: skip
    add_call(
        "average", f"returned {shape},axis={axis}",
        lambda x, w, a=axis: list(mg.average(x, a, w, returned=True)),
        lambda x, w, a=axis: list(np.average(x, a, w, returned=True)), X, weights,
    )  # fmt: skip

# Quantiles

for axis in AXES:
    add("median", np.median, X, axis=axis, keepdims=axis == 0)
    call("quantile", f"axis={axis}", X, q=0.3, axis=axis, keepdims=axis == 0)
    call("quantile", f"several,axis={axis}", X, q=[0.0, 0.35, 1.0], axis=axis, keepdims=axis == 0)
    call("percentile", f"axis={axis}", X, q=np.array([[12.5, 70.0]]), axis=axis)
add("median", np.median, normal(5))
METHODS = (
    "linear", "hazen", "weibull", "median_unbiased", "normal_unbiased",
    "interpolated_inverted_cdf", "lower", "higher", "nearest", "midpoint",
)  # fmt: skip
for method in METHODS:
    call("quantile", method, normal(7), q=[0.02, 0.31, 0.5, 0.77, 0.98], method=method)
    call("percentile", method, normal(2, 6), q=33.0, axis=1, method=method)
for name, q in (("quantile", 0.4), ("percentile", 40.0), ("quantile", np.array([0.15, 0.6]))):
    add_call(name, f"in q={q}", partial(getattr(mg, name), axis=0),
             partial(getattr(np, name), axis=0), normal(5, 2), q)  # fmt: skip

# Without the NaNs

HOLES = X.copy()
HOLES[0, 1, 0] = HOLES[1, 2, 1] = HOLES[1, 0, 1] = np.nan
for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian"):
    for x, label in ((X, "none"), (HOLES, "some")):
        for axis in AXES:
            if label == "some" and name == "nanstd" and axis == 0:
                continue  # a single number has no spread, whose root has a kink
            theirs = getattr(np, name)
            add_call(
                name, f"{label},axis={axis}",
                lambda x, n=name, a=axis, h=x: getattr(mg, n)(_holed(x, h), a, keepdims=a == 0),
                lambda x, f=theirs, a=axis, h=x: f(_holed(x, h), a, keepdims=a == 0), X,
            )  # fmt: skip
for name, q in (("nanquantile", [0.2, 0.8]), ("nanpercentile", 35.0)):
    for axis in AXES:
        add_call(
            name, f"axis={axis}",
            lambda x, n=name, a=axis, q=q: getattr(mg, n)(_holed(x, HOLES), q, a),
            lambda x, n=name, a=axis, q=q: getattr(np, n)(_holed(x, HOLES), q, a), X,
        )  # fmt: skip
for name in ("nancumsum", "nancumprod"):
    for axis in (None, 0, 1):
        add_call(
            name, f"axis={axis}",
            lambda x, n=name, a=axis: getattr(mg, n)(_holed(x, HOLES), a),
            lambda x, n=name, a=axis: getattr(np, n)(_holed(x, HOLES), a), X,
        )  # fmt: skip


def _holed(x: Any, holes: Any) -> Any:
    """``x`` with NaN where ``holes`` has it: differences can then be taken elsewhere."""
    return mg.where(np.isnan(holes), np.nan, x)
