"""Ufuncs that are functions rather than rows: two results, or an operand that is data."""

from __future__ import annotations

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=24)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal
X = normal(2, 3)
POSITIVE = np.abs(normal(2, 3)) + 0.3

add("positive", np.positive, X)
add("positive", np.positive, 1.5)
add("float_power", np.float_power, POSITIVE, normal(3))
add("float_power", np.float_power, 1.7, -0.6)
for i in (0, 1):  # the results apart: one of them is plain
    add_call("divmod", f"remainder {i}", lambda x, y: mg.divmod(x, y)[1],
             lambda x, y: np.divmod(x, y)[1], (-1) ** i * POSITIVE, normal(3))  # fmt: skip
add_call("modf", "fraction", lambda x: mg.modf(x)[0], lambda x: np.modf(x)[0], X)
add_call("modf", "of a number", lambda x: mg.modf(x)[0], lambda x: np.modf(x)[0], -2.75)
add_call("frexp", "mantissa", lambda x: mg.frexp(x)[0], lambda x: np.frexp(x)[0], X + 0.01)
add_call("frexp", "of a number", lambda x: mg.frexp(x)[0], lambda x: np.frexp(x)[0], 5.3)
for exponent in (3, -2, np.array([1, 0, -1])):
    add_call("ldexp", f"exponent {exponent}", lambda x, n=exponent: mg.ldexp(x, n),
             lambda x, n=exponent: np.ldexp(x, n), X)  # fmt: skip
add_call("ldexp", "of a number", lambda x: mg.ldexp(x, 4), lambda x: np.ldexp(x, 4), 1.3)
SIDES = np.array([-1.0, 0.0, 2.0])
add_call("heaviside", "in the middle", lambda h: mg.heaviside(SIDES.astype(h.dtype), h),
         lambda h: np.heaviside(SIDES, h), X)  # fmt: skip
add_call("heaviside", "of a number", lambda h: mg.heaviside(0.0, h), lambda h: h, 0.4)
