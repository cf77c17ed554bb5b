"""From instructions to statements: what each operation of a program does at every index.

What has no native form stays an instruction, and Python runs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.native.arranging import (
    in_traced_layout,
    index,
    join,
    put,
    scatter,
    view,
)
from microgradopt.compiler.native.building import Building, NotNative
from microgradopt.compiler.native.entrywise import (
    WHOLE_NUMBERS,
    apply,
    as_dtype_row,
    check,
    copy,
    elementwise_row,
    guard,
    item,
    power,
    same_numbers,
    whole,
)
from microgradopt.compiler.native.loops import Access, Buffer, DType, Place, Statement
from microgradopt.compiler.native.operations import ARRANGING, reduction_of
from microgradopt.compiler.native.order import with_python_first
from microgradopt.compiler.native.summing import product, reduction, reduction_row
from microgradopt.compiler.program import Call, Check, Guard, Instruction, Program, Var
from microgradopt.compiler.tracing.standin import ASTYPE, FLOAT, ITEM, POWER, PUT
from microgradopt.engine.graph import Primitive
from microgradopt.engine.ops.products import matmul_row
from microgradopt.engine.ops.shapes import (
    concatenate_row,
    index_row,
    scatter_row,
    stack_row,
    transpose_row,
)
from microgradopt.engine.reductions import max_row, min_row
from microgradopt.engine.rules import (
    Elementwise,
    Plain,
    add_up,
    as_dtype,
    as_value,
    broadcast_to,
    reshape_to,
)

Rule: TypeAlias = Callable[[Building, Instruction], None]
RULES: dict[Any, Rule] = {
    add_up: reduction_row,
    max_row: reduction_row,
    min_row: reduction_row,
    matmul_row: product,
    reshape_to: view,
    transpose_row: view,
    broadcast_to: view,
    index_row: index,
    scatter_row: scatter,
    concatenate_row: join,
    stack_row: join,
    as_dtype: as_dtype_row,
    as_value: copy,
    FLOAT: copy,
    ITEM: item,
    ASTYPE: copy,
    POWER: power,
    PUT: put,
}


class Lowering(Building):
    """Statements of a program's instructions, in order, and the places of its variables.

    Attributes:
        results: the buffer of each array among the results, which is its own; else None.
        numbers: buffers of the numbers among the results that kernels compute, one for each dtype,
            and which results they are.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        for i, var in enumerate(program.entries):
            self.declare(var, "entry", f"entry{i}")
        for self.number, instruction in enumerate(program.instructions):
            self._lower(instruction)
        self.steps = with_python_first(self.steps, set(program.entries))
        stops = [n for n, s in enumerate(self.steps) if isinstance(s, Instruction) or s.may_fail]
        early = {
            s.out.buffer for s in self.steps[: max(stops, default=0)] if isinstance(s, Statement)
        }
        self.results = [self._result(n, x, early) for n, x in enumerate(program.results)]
        self.numbers = self._numbers()

    def _lower(self, instruction: Instruction) -> None:
        before = len(self.steps)
        try:
            self._native(instruction)
        except NotNative:
            del self.steps[before:]
            for n, var in enumerate(instruction.outs):
                self.places.pop(var, None)
                place = self.declare(var, "temporary", f"{instruction.op.name}{self.number}_{n}")
                if place is not None:
                    self.made_by_python.add(place.buffer)
            self.steps.append(in_traced_layout(instruction))

    def _native(self, i: Instruction) -> None:
        op = i.op
        if isinstance(op, Guard):
            guard(self, op.expected, self.place(i.operands[0]))
            return
        if isinstance(op, Check):
            check(self, i.operands)
            return
        if len(i.outs) != 1:
            raise NotNative
        rule = RULES.get(op) if isinstance(op, (Primitive, Call)) else None
        if rule is not None:
            rule(self, i)
        elif isinstance(op, (Elementwise, Plain)):
            elementwise_row(self, i)
        elif isinstance(op, Call):
            self._call(i)
        else:
            raise NotNative

    def _call(self, i: Instruction) -> None:
        function = i.op.function
        if not i.operands:  # all by keyword
            raise NotNative
        if function in WHOLE_NUMBERS:
            whole(self, i)
        elif isinstance(function, np.ufunc):
            if i.params or function.nout != 1 or function.signature is not None:
                raise NotNative
            apply(self, function, i.operands, i.outs[0])
        elif function is np.where and len(i.operands) == 3:
            apply(self, np.where, i.operands, i.outs[0])
        elif reduction_of(function):
            reduction(self, i)
        elif function in (np.asarray, np.array) or getattr(function, "func", None) is np.array:
            same_numbers(self, i)
        elif function in ARRANGING:
            view(self, i)
        elif function in (np.matmul, np.dot):
            product(self, i)
        else:
            raise NotNative

    def _result(self, n: int, x: Any, early: set[Buffer]) -> Buffer | None:
        """The buffer of an array among the results, which is its own; None for what is no array.

        What is complete before the last step that may stop the run is copied when that is over.
        """
        if not (isinstance(x, Var) and x.is_array) or x not in self.places:
            return None
        place = self.places[x]
        whole = Place.of(Buffer(place.dtype, place.buffer.size), place.shape)
        same = place.buffer.size == math.prod(place.shape) and _same(place.access(), whole.access())
        kept = place.buffer in early or place.buffer in self.made_by_python
        if place.buffer.role == "temporary" and same and not kept:
            place.buffer.role = "result"
            return place.buffer
        out = Place.of(
            Buffer(place.dtype, math.prod(place.shape), "result", f"result{n}"), place.shape
        )
        self.number = -1
        self.convert(place, out)
        return out.buffer

    def _numbers(self) -> dict[Buffer, list[int]]:
        """A buffer for each dtype of the numbers among the results that kernels compute."""
        found: dict[DType, list[int]] = {}
        entries = set(self.program.entries)
        for n, x in enumerate(self.program.results):
            if isinstance(x, Var) and not x.is_array and x in self.places and x not in entries:
                place = self.places[x]
                if place.buffer not in self.made_by_python:
                    found.setdefault(place.dtype, []).append(n)
        blocks = {}
        for dtype, numbers in found.items():
            block = Buffer(dtype, len(numbers), name="numbers")
            blocks[block] = numbers
            for at, n in enumerate(numbers):
                source = self.places[self.program.results[n]].access()
                self.emit("map", "copy", (), [source], Access(block, at, ()), (dtype, dtype))
        return blocks


def _same(a: Access, b: Access) -> bool:
    return a.offset == b.offset and a.strides == b.strides
