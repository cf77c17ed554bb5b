"""One random graph, jitted, against itself: value and derivatives, call after call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import microgradopt as mg
from benchmarks.fuzzing.checks import (
    EXACT,
    NARROW,
    Arrays,
    Case,
    DisagreementError,
    expect,
    gradients,
    hessian_product,
    loss,
    tangents,
)
from microgradopt.engine.rules import data_of

CALLS = 4  # the first two are traced, the others replayed
BACKENDS = {"jit": "numpy", "native": "numba"}  # by the name of the reference


def _reverse(case: Case) -> Arrays:
    number = loss(
        case, [mg.Value(x) if isinstance(x, float) else mg.Tensor(x) for x in case.inputs]
    )
    return [data_of(number), *gradients(case)]


def _forward(case: Case) -> Arrays:
    return list(mg.jvp(lambda *xs: loss(case, xs), case.inputs, tangents(case)))


PARTS: dict[str, Callable[[Case], Arrays]] = {
    "reverse": _reverse,
    "forward": _forward,
    "second order": hessian_product,
}


def check_jit(case: Case, part: str, reference: str) -> None:
    """Compare calls of the jitted graph with the graph itself, at points around its own.

    The numpy backend must agree bit for bit, but for the sign of a zero in forward mode and of the
    second order, where eager skips what is zero by chance; native code may round otherwise.
    """
    derivatives = PARTS[part]
    backend = BACKENDS[reference]
    jitted = mg.jit(lambda *xs: derivatives(case._replace(inputs=list(xs))), backend=backend)
    for number in range(CALLS):
        inputs = [_nudged(x, 0.01 * number) for x in case.inputs]
        near = case._replace(inputs=inputs)
        true, found = derivatives(near), jitted(*inputs)
        if backend == "numpy":
            _expect_the_bits(found, true, f"{part}, jitted, call {number}", part == "reverse")
        elif number >= 2:
            rtol = NARROW if case.dtype == np.float32 else EXACT
            numbers = [[np.nan_to_num(x) for x in results] for results in (found, true)]
            leaves = slice(1, None) if part == "reverse" else slice(None)  # the value comes first
            expect(near, numbers[0][leaves], numbers[1][leaves], f"{part}, native", rtol)


def _nudged(x: Any, by: float) -> Any:
    return x * (1.0 + by) if isinstance(x, float) else x * x.dtype.type(1.0 + by)


def _expect_the_bits(found: Arrays, true: Arrays, what: str, signs: bool) -> None:
    for i, (a, b) in enumerate(zip(found, true, strict=True)):
        same = type(a) is type(b) and np.array_equal(a, b, equal_nan=True)
        if not same or (signs and not np.array_equal(np.signbit(a), np.signbit(b))):
            raise DisagreementError(f"{what}, result {i}:\n    jitted {a!r}\n    eager  {b!r}")
