"""Rows' kernels on floats as machine code, which the machine calls by number."""

from __future__ import annotations

import ctypes
import itertools
import math
import threading
from typing import Any

from microgradopt.compiler.native.compiler import built
from microgradopt.compiler.tape.arrays import WIDTH
from microgradopt.compiler.tape.symbols import traced_kernel
from microgradopt.engine.graph import Primitive
from microgradopt.engine.quiet import quietly

KIND = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * WIDTH)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 1e300, -1000.0, math.inf, -math.inf, math.nan)
CLOSE = 4.5e-16  # two last digits


class Kernels:
    """All kernels compiled so far. A number is for good, and every table holds all before it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers: dict[tuple[Primitive, int], int | None] = {}
        self._compiled: list[Any] = []
        self._addresses: list[int] = []

    def number(self, row: Primitive, operands: int) -> int | None:
        """The number of a row's kernel; None where only Python can compute it."""
        key = row, operands
        with self._lock:
            if key not in self._numbers:
                library = compiled_kernel(row, operands)
                self._numbers[key] = None if library is None else len(self._compiled)
                if library is not None:
                    self._compiled.append(library)
                    self._addresses.append(library["kernel"])
            return self._numbers[key]

    def table(self) -> Any:
        """The addresses of all kernels by number, for C."""
        with self._lock:
            return (ctypes.c_void_p * len(self._addresses))(*self._addresses)


KERNELS = Kernels()


def compiled_kernel(row: Primitive, operands: int) -> Any:
    """The compiled kernel of a row; None where it has none, or one that would answer otherwise.

    Where Python raises, such as for a division by zero, a row turns to its kernel on arrays;
    compiled code computes on, as IEEE says. Both come to the same with the kernels one writes, and
    whether they do is tried out here.
    """
    candidates = [row.array]
    if row.scalar is not None and getattr(row.scalar, "__func__", None) is not Primitive.rescue:
        candidates.insert(0, row.scalar)
    for kernel in candidates:
        text = traced_kernel(kernel, operands)
        library = None if text is None else built(text, ["kernel"])
        if library is not None and _agrees(row, KIND(library["kernel"]), operands):
            return library
    return None


@quietly
def _agrees(row: Primitive, kernel: Any, operands: int) -> bool:
    rest = [0.0] * (WIDTH - operands)
    special = SPECIAL if operands < WIDTH else SPECIAL[::2]
    return all(
        _same(float(row.compute(xs, {})), kernel(*xs, *rest))
        for xs in itertools.product(special, repeat=operands)
    )


def _same(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=CLOSE)
