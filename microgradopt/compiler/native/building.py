"""What rules for instructions build on: places of variables, and statements that are emitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.native.loops import (
    Access,
    Buffer,
    DType,
    Input,
    Number,
    Place,
    Statement,
    is_native,
)
from microgradopt.compiler.program import Instruction, Var

Step: TypeAlias = "Statement | Instruction"
DOUBLE, WHOLE, TRUTH = np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool)
OF_PYTHON: dict[Any, DType] = {float: DOUBLE, int: WHOLE, bool: TRUTH}


class NotNative(Exception):  # noqa: N818  # no error: Python runs the instruction then
    """An instruction that has no native form. Never seen by users."""


class Building:
    """Statements under construction.

    Attributes:
        places: where each variable lies: all but objects, which only Python understands.
        steps: statements, and the instructions that stay Python's.
        number: that of the instruction whose statements are being emitted.
        made_by_python: buffers that calls of Python fill.
    """

    def __init__(self) -> None:
        self.places: dict[Var, Place] = {}
        self.steps: list[Step] = []
        self.number = 0
        self.made_by_python: set[Buffer] = set()

    def declare(self, var: Var, role: str, name: str) -> Place | None:
        dtype = var.dtype if var.dtype is not None else OF_PYTHON.get(var.kind)
        if dtype is None or not is_native(dtype):
            return None
        order = memory_order(var) if role == "entry" else ()
        buffer = Buffer(dtype, math.prod(var.shape), role, var.name or name)
        self.places[var] = Place.of(buffer, var.shape, order)
        return self.places[var]

    def place(self, x: Any) -> Place:
        """Where an operand lies; of a constant, too."""
        if isinstance(x, Var):
            if x not in self.places:
                raise NotNative
            return self.places[x]
        value = np.asarray(x)
        if not is_native(value.dtype):
            raise NotNative
        if value.ndim and not any(value.strides) and value.size:
            one = self.place(value.flat[0])
            return one.seen_as(np.broadcast_to(one.ghost, value.shape))
        buffer = Buffer(
            value.dtype, value.size, "constant", "constant", np.ascontiguousarray(value)
        )
        return Place.of(buffer, value.shape)

    def temporary(self, shape: tuple[int, ...], dtype: DType) -> Place:
        return Place.of(Buffer(dtype, math.prod(shape)), shape)

    def out(self, var: Var) -> Place:
        place = self.declare(var, "temporary", "")
        if place is None:
            raise NotNative
        return place

    def alias(self, var: Var, place: Place) -> None:
        if place.shape != var.shape or place.dtype != (var.dtype or OF_PYTHON.get(var.kind)):
            raise NotNative
        self.places[var] = place

    def emit(
        self,
        kind: str,
        op: str,
        space: tuple[int, ...],
        inputs: Sequence[Input],
        out: Access,
        loop: tuple[DType, ...],
        **more: Any,
    ) -> None:
        """Append a statement, unless its space has no points."""
        if 0 in space:
            return
        self.steps.append(
            Statement(kind, op, space, tuple(inputs), out, loop, number=self.number, **more)
        )

    def input(self, x: Any, space: tuple[int, ...]) -> Input:
        if type(x) in OF_PYTHON or isinstance(x, np.generic):
            return Number(x if type(x) in OF_PYTHON else x.item())
        if isinstance(x, np.ndarray) and x.size and (x == x.flat[0]).all():
            return Number(x.flat[0].item())
        return self.place(x).access(space)

    def convert(self, place: Place, out: Place) -> None:
        self.emit("map", "copy", out.shape, [place.access()], out.access(), (out.dtype,) * 2)


def addresses(found: tuple[int, int] | None) -> tuple[Buffer, ...]:
    """The addresses of a loop and of its data, which a kernel is given as it is given buffers."""
    if found is None:
        raise NotNative
    return tuple(Buffer(WHOLE, 0, "address", value=address) for address in found)


def memory_order(var: Var) -> tuple[int, ...]:
    """The axes of an entry from the outermost in memory to the innermost, where it has no gaps."""
    if var.dtype is None or 0 in var.shape:
        return ()
    order = sorted(range(len(var.shape)), key=lambda a: (-var.strides[a], a))
    expected = var.dtype.itemsize
    for a in reversed(order):
        if var.shape[a] != 1 and var.strides[a] != expected:
            return ()
        expected *= var.shape[a]
    return tuple(order)


def is_python_number(x: Any) -> bool:
    return (x.kind if isinstance(x, Var) else type(x)) in OF_PYTHON
