"""Scalars are recorded as lists of numbers, not as objects: a network of Values has very many.

A stand-in for such a scalar has in the place of a variable the number of the instruction that made
it. Instructions and variables are made of the lists where something else takes part: an array, a
comparison, a host. A program of scalars alone stays lists, and becomes a tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine.graph import Array, Primitive
from microgradopt.engine.lines import Line
from microgradopt.jit.program import Instruction, Program, Var

Code: TypeAlias = int  # the number of an instruction; negative for what comes from elsewhere

CONSTANT = 1 << 40  # plus the number of a constant
NOTHING = -(1 << 40)  # in the place of an operand that is not there


class Scalars:
    """Instructions with one or two scalar operands, in parallel lists.

    Attributes:
        op: the number of the row, for each instruction; ``a`` and ``b``: the codes of its operands.
        rows: the rows by number.
        outside: the variables that were not made here; −1 is the code of the first.
    """

    def __init__(self) -> None:
        self.op: list[int] = []
        self.a: list[Code] = []
        self.b: list[Code] = []
        self.lines: list[Line] = []
        self.rows: list[Primitive] = []
        self.constants: list[float] = []
        self.outside: list[Var] = []
        self.made = 0  # how many of the instructions have been made objects
        self._vars: dict[Code, Var] = {}
        self.truths: set[int] = set()  # rows, by number, that give truth values
        self._row_numbers: dict[Primitive, int] = {}
        self._outside_codes: dict[Var, Code] = {}

    def row_number(self, row: Primitive) -> int:
        """The number of a row, which is a new one for a new row."""
        number = self._row_numbers.get(row)
        if number is None:
            number = self._row_numbers[row] = len(self.rows)
            self.rows.append(row)
        return number

    def constant(self, x: float) -> Code:
        """The code of a constant."""
        self.constants.append(x)
        return CONSTANT + len(self.constants) - 1

    def code_of(self, var: Any) -> Code:
        """The code of a variable from elsewhere; a code is itself."""
        if type(var) is int:
            return var
        code = self._outside_codes.get(var)
        if code is None:
            self.outside.append(var)
            code = self._outside_codes[var] = -len(self.outside)
        return code

    def append(self, row: Primitive, a: Code, b: Code, line: Line) -> Code:
        """Add an instruction; its code."""
        self.op.append(self.row_number(row))
        self.a.append(a)
        self.b.append(b)
        self.lines.append(line)
        return len(self.op) - 1

    def extend(self, op: Array, a: Array, b: Array, line: Line) -> None:
        """Add many."""
        self.op += op.tolist()
        self.a += a.tolist()
        self.b += b.tolist()
        self.lines += [line] * len(op)

    def operand(self, code: Code) -> Any:
        """A variable or constant by its code."""
        if code >= CONSTANT:
            return self.constants[code - CONSTANT]
        return self.var(code) if code >= 0 else self.outside[-1 - code]

    def var(self, code: Code) -> Var:
        """The variable that an instruction makes."""
        if code not in self._vars:
            self._vars[code] = Var(bool if self.op[code] in self.truths else float)
        return self._vars[code]

    def made_objects(self) -> list[Instruction]:
        """The instructions that have not been made objects yet, as such."""
        first, self.made = self.made, len(self.op)
        made = []
        for k in range(first, self.made):
            a, b = self.a[k], self.b[k]
            operands = (self.operand(a),) if b == NOTHING else (self.operand(a), self.operand(b))
            row = self.rows[self.op[k]]
            made.append(Instruction(row, operands, {}, (self.var(k),), self.lines[k]))
        return made


class ScalarProgram(Program):
    """A program of scalars alone, whose instructions are objects only if somebody asks for them.

    ``given`` are the results as they were recorded, ``codes`` the code of each, None where it is a
    constant.
    """

    def __init__(self, scalars: Scalars, entries: list[Var], results: Sequence[Any]) -> None:
        self.scalars = scalars
        self.entries = entries
        self.codes = [scalars.code_of(x) if type(x) in (int, Var) else None for x in results]
        self.given = list(results)
        self._made: list[Instruction] = []

    @property
    def instructions(self) -> list[Instruction]:  # type: ignore[override]
        """The instructions as objects."""
        self._made += self.scalars.made_objects()
        return self._made

    @property
    def results(self) -> list[Any]:  # type: ignore[override]
        """The results as variables and constants."""
        return [x if c is None else self.scalars.operand(c) for x, c in zip(self.given, self.codes)]

    def __len__(self) -> int:
        return len(self.scalars.op)


def same_scalars(first: ScalarProgram, second: ScalarProgram) -> bool:
    """Whether two programs of scalars are the same, constants aside."""
    x, y = first.scalars, second.scalars
    if x.rows != y.rows or x.op != y.op or len(x.constants) != len(y.constants):
        return False
    places = [{var: i for i, var in enumerate(p.entries)} for p in (first, second)]
    if [places[0][v] for v in x.outside] != [places[1][v] for v in y.outside]:
        return False
    return x.a == y.a and x.b == y.b and first.codes == second.codes
