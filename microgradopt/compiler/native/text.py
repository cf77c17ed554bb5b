"""Kernels for people to read: loops in Python's words, the axes i, j, k … from the rows on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from microgradopt.compiler.native.fuse import Kernel, Step
from microgradopt.compiler.native.loops import Access, Buffer, Input, Number, Statement
from microgradopt.compiler.native.stages import Plan, Stage
from microgradopt.compiler.program import Instruction, Program

AXES = "ijklmnopq"
INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "greater": ">",
    "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
    "and": "&", "or": "|", "xor": "^",
}  # fmt: skip
IN_PLACE = {"add": "+=", "multiply": "*=", "and": "&=", "or": "|="}


class Printer:
    """Prints the kernels of a program.

    Args:
        steps: kernels and calls of Python, in the order in which they run.
        plans: how each kernel is compiled.
    """

    def __init__(self, program: Program, steps: Sequence[Step], plans: Mapping[int, Plan]) -> None:
        self.program = program
        self.steps = steps
        self.plans = plans
        self.names: dict[Buffer, str] = {}
        taken: set[str] = set()
        for plan in plans.values():
            for stage in plan.stages:
                for s in stage.statements:
                    for b in (*s.reads(), s.out.buffer):
                        if b not in self.names:
                            self.names[b] = _name(b, s, taken)
                            taken.add(self.names[b])

    def source(self) -> str:
        """All kernels, then the order in which they run."""
        lines: list[str] = []
        order = []
        for n, step in enumerate(self.steps):
            if isinstance(step, Kernel):
                lines += [*self._kernel(n), "", ""]
                order.append(f"    {self.call(n)}")
            else:
                order.append(f"    {_python(step)}")
        return "\n".join([*lines, "def run():", *(order or ["    pass"]), ""])

    def call(self, n: int) -> str:
        """The call of a kernel."""
        return f"kernel{n}({', '.join(self._parameters(self.plans[n]))})"

    def _parameters(self, plan: Plan) -> list[str]:
        return [self.names[b] for b in plan.parameters if b in self.names]

    def _kernel(self, n: int) -> Iterator[str]:
        plan = self.plans[n]
        yield f"def {self.call(n)[:-1]}):"
        indent = "    "
        totals = [s for stage in plan.stages for s in stage.statements if 0 in s.reduced]
        if plan.tile < plan.rows:
            for s in totals:
                yield f"{indent}{self.names[s.out.buffer]}[...] = {_start(s)}"
            yield f"{indent}for r in range(0, {plan.rows}, {plan.tile}):  # a tile of rows"
            indent += "    "
        for stage in plan.stages:
            yield from (indent + line for line in self._stage(plan, stage))

    def _stage(self, plan: Plan, stage: Stage) -> Iterator[str]:
        yield from self._comments(stage)
        rows = f"range(r, r + {plan.tile})" if plan.tile < plan.rows else f"range({plan.rows})"
        sizes = [rows, *(f"range({n})" for n in stage.space[1:])]
        axes = [a for a, n in enumerate(stage.space) if n > 1]
        if plan.tile == plan.rows:
            for s in stage.statements:
                if s.reduced:
                    yield f"{self.names[s.out.buffer]}[...] = {_start(s)}"
        depth = 0
        for a in axes:
            yield "    " * depth + f"for {AXES[a]} in {sizes[a]}:"
            depth += 1
        for s in stage.statements:
            yield "    " * depth + self._statement(plan, s)

    def _comments(self, stage: Stage) -> Iterator[str]:
        """The user's lines that a stage comes from."""
        met = dict.fromkeys(
            self.program.instructions[s.number].line[:2] for s in stage.statements if s.number >= 0
        )
        for file, number in met:
            if file:
                yield f"# {Path(file).name}:{number}"

    def _statement(self, plan: Plan, s: Statement) -> str:
        args = [self._input(plan, x) for x in s.inputs]
        if s.kind == "guard":
            return f"stop_if({args[0]}{'' if s.op == 'true' else ' is False'})"
        out = self._entry(plan, s.out)
        if s.kind in ("contract", "matmul"):
            return f"{out} += {args[0]} * {args[1]}"
        if s.kind in ("gather", "scatter"):
            return self._indexed(plan, s, args)
        if s.kind == "reduce":
            if s.op in IN_PLACE:
                return f"{out} {IN_PLACE[s.op]} {args[0]}"
            return f"{out} = {s.op}({out}, {args[0]})"
        if s.op == "copy":
            return f"{out} = {args[0]}"
        if s.op in INFIX and len(args) == 2:
            return f"{out} = {args[0]} {INFIX[s.op]} {args[1]}"
        return f"{out} = {s.op.removeprefix('libm.')}({', '.join(args)})"

    def _indexed(self, plan: Plan, s: Statement, args: list[str]) -> str:
        whole = s.inputs[0] if s.kind == "gather" else s.out
        assert isinstance(whole, Access)
        steps = "".join(
            f" + {stride} * {index}" if stride != 1 else f" + {index}"
            for index, (stride, _) in zip(args[1:], s.steps)
        )
        name = self.names[whole.buffer]
        place = f"{name}[{_subscript(whole) or '0'}{steps}]"
        if s.kind == "gather":
            return f"{self._entry(plan, s.out)} = {place}"
        return f"{place} {'=' if s.op == 'copy' else '+='} {args[0]}"

    def _input(self, plan: Plan, x: Input) -> str:
        return repr(x.value) if isinstance(x, Number) else self._entry(plan, x)

    def _entry(self, plan: Plan, x: Access) -> str:
        name = self.names[x.buffer]
        if x.buffer in plan.kept:
            return name
        return f"{name}[{_subscript(x) or '0'}]"


def _subscript(x: Access) -> str:
    """The axes that a buffer is entered along, from the longest stride to the shortest."""
    order = sorted((a for a, s in enumerate(x.strides) if s), key=lambda a: -abs(x.strides[a]))
    axes = ", ".join(f"{'-' * (x.strides[a] < 0)}{AXES[a]}" for a in order)
    if not x.offset:
        return axes
    return f"{x.offset} + ({axes})" if axes else str(x.offset)


def _start(s: Statement) -> str:
    starts = {"maximum": "-inf", "minimum": "inf", "multiply": "1", "and": "True", "or": "False"}
    return starts.get(s.op, "0") if s.kind == "reduce" else "0"


def _name(b: Buffer, s: Statement, taken: set[str]) -> str:
    """A name for a buffer that is new."""
    made = s.op.removeprefix("libm.") if b is s.out.buffer else b.role
    stem = re.sub(r"\W", "_", b.name) or made
    if b.name and stem not in taken:
        return stem
    n = 0
    while f"{stem}{n}" in taken:
        n += 1
    return f"{stem}{n}"


def _python(i: Instruction) -> str:
    return f"python({i.op.name!r})"
