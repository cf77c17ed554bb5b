"""Scalars are recorded as lists of numbers, not as objects: a network of Values has very many.

A stand-in for such a scalar has in the place of a variable the number of the instruction that made
it. Instructions and variables are made of the lists where something else takes part: an array, a
comparison, a host. A program of scalars alone stays lists, and becomes a tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.program import Instruction, Program, Var
from microgradopt.engine.graph import Array, Primitive
from microgradopt.engine.lines import Line

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

    def code_of(self, var: Var) -> Code:
        """The code of a variable from elsewhere."""
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

    def truncate(self, length: int) -> None:
        """Drop the instructions from this one on."""
        for column in (self.op, self.a, self.b, self.lines):
            del column[length:]

    def instruction(self, k: Code) -> Instruction:
        """An instruction as an object."""
        a, b = self.a[k], self.b[k]
        operands = (self.operand(a),) if b == NOTHING else (self.operand(a), self.operand(b))
        return Instruction(self.rows[self.op[k]], operands, {}, (self.var(k),), self.lines[k])

    def requested(self) -> dict[Code, Var]:
        """The variables that something else has asked for."""
        return dict(self._vars)

    def restricted(self, kept: Array) -> Scalars:
        """A copy with the instructions where ``kept`` holds; they must not need any other."""
        other = copy(self)
        where = np.flatnonzero(kept)
        new = np.cumsum(kept) - 1
        for name in ("op", "lines"):
            column = getattr(self, name)
            setattr(other, name, [column[k] for k in where.tolist()])
        for name in ("a", "b"):
            codes = np.array(getattr(self, name), np.int64)[where]
            made = (codes >= 0) & (codes < CONSTANT)
            codes[made] = new[codes[made]]
            setattr(other, name, codes.tolist())
        other._vars = {}
        return other


class ScalarProgram(Program):
    """A program of scalars alone, whose instructions are objects only if somebody asks for them.

    ``codes`` has the code of each result, or None where it is a constant, which ``given`` has then.
    """

    def __init__(
        self,
        scalars: Scalars,
        entries: list[Var],
        given: Sequence[Any],
        codes: Sequence[Code | None],
    ) -> None:
        self.scalars = scalars
        self.entries = entries
        self.given = [x if c is None else None for x, c in zip(given, codes)]
        self.codes = list(codes)
        self._made: list[Instruction] | None = None

    @property
    def instructions(self) -> list[Instruction]:  # type: ignore[override]
        """The instructions as objects."""
        if self._made is None:
            self._made = [self.scalars.instruction(k) for k in range(len(self))]
        return self._made

    @property
    def results(self) -> list[Any]:  # type: ignore[override]
        """The results as variables and constants."""
        return [x if c is None else self.scalars.operand(c) for x, c in zip(self.given, self.codes)]

    def __len__(self) -> int:
        return len(self.scalars.op)


@dataclass(frozen=True)
class Block:
    """Many scalar instructions as one: what surrounds a large network of scalars sees only this."""

    program: ScalarProgram
    name: str = "scalars"

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The results of the program."""
        return as_results(self.program.interpret(args))


def as_results(found: Sequence[Any]) -> Any:
    """Results as an operation returns them: one by itself, several as a tuple."""
    return found[0] if len(found) == 1 else tuple(found)


BLOCK = 500  # instructions, from which on they are kept together


def merged(
    scalars: Scalars, others: Sequence[tuple[int, Instruction]], entries: Sequence[Var]
) -> list[Instruction]:
    """All instructions in an order in which they can run.

    Args:
        others: instructions that are none of the scalars, each with how many of these there were
            when it was recorded.
        entries: of the program; scalars that depend on these alone may become a :class:`Block`.
    """
    known = set(entries)
    first = np.ones(len(scalars.op), bool)
    foreign = {-1 - i for i, var in enumerate(scalars.outside) if var not in known}
    if foreign:
        for k, (a, b) in enumerate(zip(scalars.a, scalars.b)):
            first[k] = not any(
                x in foreign if x < 0 else x < CONSTANT and not first[x] for x in (a, b)
            )
    if np.count_nonzero(first) < BLOCK:
        first[:] = False
    single = [(k, scalars.instruction(k)) for k in np.flatnonzero(~first).tolist()]
    # Stable: others come before what was made after them.
    found = sorted([*others, *single], key=itemgetter(0))
    return [*_block(scalars, first), *(instruction for _, instruction in found)]


def _block(scalars: Scalars, inside: Array) -> list[Instruction]:
    """The instructions where ``inside`` holds as one, with what the others need of them."""
    if not inside.any():
        return []
    outs = {k: var for k, var in scalars.requested().items() if inside[k]}
    new = np.cumsum(inside) - 1
    own = scalars.restricted(inside)
    used = {-1 - x for codes in (own.a, own.b) for x in codes if NOTHING < x < 0}
    entries = [var for i, var in enumerate(scalars.outside) if i in used]
    program = ScalarProgram(own, entries, [None] * len(outs), [int(new[k]) for k in outs])
    return [Instruction(Block(program), tuple(entries), {}, tuple(outs.values()))]


def same_scalars(first: ScalarProgram, second: ScalarProgram) -> bool:
    """Whether two programs of scalars are the same, constants aside."""
    x, y = first.scalars, second.scalars
    if x.rows != y.rows or x.op != y.op or len(x.constants) != len(y.constants):
        return False
    places = [{var: i for i, var in enumerate(p.entries)} for p in (first, second)]
    if [places[0].get(v) for v in x.outside] != [places[1].get(v) for v in y.outside]:
        return False
    return x.a == y.a and x.b == y.b and first.codes == second.codes
