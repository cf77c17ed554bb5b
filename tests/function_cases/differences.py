"""Differences, slopes, areas, interpolation; convolution and polynomials."""

from __future__ import annotations

from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=25)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal
X = normal(2, 4, 3)


def both(name: str, label: str, call: Any, *args: Any) -> None:
    """``call`` of a function from either library."""
    ours, theirs = getattr(mg, name), getattr(np, name)
    add_call(name, label, lambda *xs: call(ours, *xs), lambda *xs: call(theirs, *xs), *args)


def listed(name: str, label: str, call: Any, *args: Any) -> None:
    """The same with several results."""
    both(name, label, lambda f, *xs: list(call(f, *xs)), *args)


def ascending(n: int) -> Any:
    return np.cumsum(0.2 + CASES.rng.random(n)) - 1.0


for n, axis in ((1, -1), (2, 1), (0, 0), (3, 1), (1, 0), (5, 1)):
    add("diff", np.diff, X, n=n, axis=axis)
add("diff", np.diff, np.zeros((0, 2)), axis=0)
for label, ends in (
    ("prepend", {"prepend": 1.5}), ("both", {"prepend": -0.5, "append": 2.0}),
    ("arrays", {"append": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}), ("none", {"n": 0, "append": 2.0}),
):  # fmt: skip
    both("diff", label, lambda f, x, e=ends: f(x, **e, axis=0 if "prepend" in e else 1),
         normal(2, 3))  # fmt: skip
both("diff", "ends differentiated", lambda f, x, a, b: f(x, 2, prepend=a, append=b),
     normal(3), 0.5, normal(2))  # fmt: skip
both("ediff1d", "plain", lambda f, x: f(x), normal(2, 3))
both("ediff1d", "one", lambda f, x: f(x), normal(1))
both("ediff1d", "number", lambda f, x, a: f(x, to_end=a), 0.5, 1.5)
both("ediff1d", "ends", lambda f, x, a, b: f(x, a, b), normal(3), normal(1, 2), 1.5)

for dx, axis in ((1.0, -1), (0.5, 1), (2.0, 0)):
    add("trapezoid", np.trapezoid, X, dx=dx, axis=axis)
both("trapezoid", "points", lambda f, y, x: f(y, x, axis=1), X, normal(4))
both("trapezoid", "points of each", lambda f, y, x: f(y, x, axis=1), X, normal(2, 4, 3))
both("trapezoid", "distance", lambda f, y, d: f(y, dx=d), normal(3), 0.5)
both("trapezoid", "one", lambda f, y: f(y), normal(1))

for order in (1, 2):
    both("gradient", f"row {order}", lambda f, x, o=order: f(x, edge_order=o), normal(5))
    both("gradient", f"short {order}", lambda f, x, o=order: f(x, edge_order=o), normal(order + 1))
    both(
        "gradient", f"step {order}", lambda f, x, h, o=order: f(x, h, edge_order=o), normal(4), 0.5
    )
    both("gradient", f"points {order}", lambda f, x, t, o=order: f(x, t, edge_order=o),
         normal(5), ascending(5))  # fmt: skip
    both("gradient", f"axis {order}", lambda f, x, o=order: f(x, axis=1, edge_order=o), X)
    listed("gradient", f"mixed {order}",
           lambda f, x, h, t, o=order: f(x, h, t, axis=(2, 1), edge_order=o),
           X, 2.0, ascending(4))  # fmt: skip
listed("gradient", "all axes", lambda f, x: f(x), X)
listed("gradient", "one step", lambda f, x: f(x, 0.5), normal(2, 3))
both("gradient", "empty", lambda f, x: f(x, axis=0), np.zeros((2, 0)))

XP, FP = ascending(5), normal(5)
INSIDE = np.array([[XP[0] + 0.05, XP[1] - 0.02], [XP[3] + 0.1, XP[4] - 0.03]])
both("interp", "inside", lambda f, *a: f(*a), INSIDE, XP, FP)
both("interp", "outside", lambda f, *a: f(*a), np.array([XP[0] - 1.0, XP[4] + 0.5]), XP, FP)
both("interp", "ends", lambda f, x, xp, fp, a, b: f(x, xp, fp, a, b),
     np.array([XP[0] - 1.0, XP[2] + 0.01, XP[4] + 0.5]), XP, FP, 0.5, 7.5)  # fmt: skip
both("interp", "number", lambda f, *a: f(*a), float(XP[1] + 0.03), XP, FP)
both("interp", "one point", lambda f, fp: f(np.array([-1.0, 0.5, 2.0]), [0.5], fp), normal(1))
both("interp", "one point, ends", lambda f, x, fp, a: f(x, [0.5], fp, a, 3.0),
     np.array([-1.0, 2.0]), normal(1), -0.5)  # fmt: skip
both("interp", "period", lambda f, *a: f(*a, period=2.5),
     np.array([-7.03, -0.41, 0.83, 11.07]), XP[[3, 0, 2, 1]], FP[:4])  # fmt: skip
both("interp", "empty", lambda f, *a: f(*a), np.zeros((0, 2)), XP, FP)
both("unwrap", "angles", lambda f, x: f(x), np.array([0.1, 3.0, -2.9, -0.3, 6.1, 0.2]))
both("unwrap", "axis", lambda f, x: f(x, axis=1), 4.0 * X)
both("unwrap", "period", lambda f, x: f(x, 0.3, period=1.0), np.array([0.1, 0.9, 0.25, 0.7]))

# Convolution and polynomials

for name in ("convolve", "correlate"):
    for mode in ("full", "same", "valid"):
        for n, m in ((4, 2), (2, 5), (3, 3), (5, 4), (1, 1), (4, 1)):
            both(name, f"{n},{m},{mode}", lambda f, x, y, m=mode: f(x, y, m), normal(n), normal(m))
    both(name, "default", lambda f, x, y: f(x, y), normal(4)[::-1], normal(3))
both("convolve", "number", lambda f, x, y: f(x, y), normal(3), 1.5)
for n in (1, 2, 4):
    both("polyval", f"{n}", lambda f, p, x: f(p, x), normal(n), normal(2, 3))
    both("polyval", f"{n} at a number", lambda f, p, x: f(p, x), normal(n), 0.7)
both("polyval", "plain coefficients", lambda f, x: f([2, 0, -1], x), normal(3))
both("polyval", "none", lambda f, x: f([], x), normal(2))
for count in (None, 1, 2, 5):
    for increasing in (False, True):
        add("vander", np.vander, normal(3), N=count, increasing=increasing)
