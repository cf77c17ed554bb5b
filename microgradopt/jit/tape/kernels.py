"""Rows' scalar kernels, compiled for the machine to call by number."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
from numba import cfunc, njit, types
from numba.core.errors import NumbaError

from microgradopt.engine.graph import Primitive
from microgradopt.engine.quiet import quietly
from microgradopt.jit.tape.arrays import WIDTH

SIGNATURE = types.float64(types.int64, *[types.float64] * WIDTH)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 1e300, -1000.0, math.inf, -math.inf, math.nan)
ULP = 4.5e-16


def kernel_of(row: Primitive, operands: int) -> Any:
    """A row's kernel on floats, compiled; None where it cannot be, or would answer otherwise.

    Where Python raises, such as for a division by zero, a row turns to its kernel on arrays; compiled
    code computes on, as IEEE says. Both come to the same with the kernels one writes, and whether
    they do is tried out here.
    """
    candidates = [row.array]
    if row.scalar is not None and getattr(row.scalar, "__func__", None) is not Primitive.rescue:
        candidates.insert(0, row.scalar)
    compiled = (_compile(f, operands) for f in candidates)
    return next((k for k in compiled if k is not None and _agrees(row, k, operands)), None)


def _compile(function: Callable[..., Any], operands: int) -> Any:
    names = ", ".join("xyz"[:operands])
    inner = function
    if isinstance(function, FunctionType):
        inner = njit(error_model="numpy")(function)
    scope = {"f": inner}
    exec(f"def kernel({names}): return float(f({names}))", scope)
    try:
        return njit(types.float64(*[types.float64] * operands), error_model="numpy")(
            scope["kernel"]
        )
    except NumbaError:
        return None


@quietly
def _agrees(row: Primitive, kernel: Any, operands: int) -> bool:
    special = SPECIAL if operands < WIDTH else SPECIAL[::2]
    return all(
        _same(float(row.compute(xs, {})), kernel(*xs))
        for xs in itertools.product(special, repeat=operands)
    )


def _same(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=ULP)


class Kernels:
    """All kernels compiled so far, by number, and one function that calls each of them.

    Numbers are for good: a tape goes on with the function it was given while others bring more.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers: dict[tuple[Primitive, int], int | None] = {}
        self._kernels: list[tuple[Any, int]] = []
        self._dispatcher: Any = None

    def number(self, row: Primitive, operands: int) -> int | None:
        """The number of a row's kernel; None where it has none."""
        key = row, operands
        with self._lock:
            if key not in self._numbers:
                kernel = kernel_of(row, operands)
                self._numbers[key] = None if kernel is None else len(self._kernels)
                if kernel is not None:
                    self._kernels.append((kernel, operands))
                    self._dispatcher = None
            return self._numbers[key]

    def dispatcher(self) -> Any:
        """A function of a number and operands, that calls the kernel with this number."""
        with self._lock:
            if self._dispatcher is None:
                self._dispatcher = _dispatcher(self._kernels)
            return self._dispatcher


KERNELS = Kernels()


def _dispatcher(kernels: Sequence[tuple[Any, int]]) -> Any:
    lines = ["def call(number, x, y, z):"]
    for i, (_, operands) in enumerate(kernels):
        lines.append(f"    if number == {i}:")
        lines.append(f"        return kernel{i}({', '.join('xyz'[:operands])})")
    lines.append("    return x")
    scope = {f"kernel{i}": kernel for i, (kernel, _) in enumerate(kernels)}
    exec("\n".join(lines), scope)
    return cfunc(SIGNATURE)(scope["call"])
