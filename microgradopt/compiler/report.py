"""What became of a traced call: what each pass left, what it costs, what the time goes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.compiler.program import Call, Host, Instruction, Program, Runner, Var
from microgradopt.engine.rules import Elementwise, Plain

SHOWN = 12  # instructions in the table of times


@dataclass(frozen=True)
class Cost:
    """What one line costs: an instruction, or a chain of them.

    Attributes:
        text: the line of source.
        flops: floating-point operations, see :func:`flops_of`.
        seconds: the median of some runs.
    """

    text: str
    flops: int
    seconds: float

    @property
    def gigaflops(self) -> float:
        """Billions of floating-point operations a second."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True)
class Report:
    """See :func:`report`. Its str is a table.

    Attributes:
        passes: how many instructions there were after each pass, the traced ones first.
        buffers: how many pieces of memory are kept between runs.
        nbytes: how many bytes they take together: what a run needs beside entries and results.
        unplanned: how many bytes all intermediate arrays would take, each in memory of its own.
        flops: floating-point operations of a run.
        seconds: the time of a run, as the sum over instructions.
        costs: the instructions, the one that takes longest first.
    """

    passes: tuple[tuple[str, int], ...]
    buffers: int
    nbytes: int
    unplanned: int
    flops: int
    seconds: float
    costs: tuple[Cost, ...]

    def __str__(self) -> str:
        return "\n".join([*self._of_passes(), "", *self._of_memory(), "", *self._of_times()])

    def _of_passes(self) -> list[str]:
        width = max(len(name) for name, _ in self.passes)
        lines = [f"{'pass':{width}}  instructions"]
        before = self.passes[0][1]
        for name, count in self.passes:
            less = f"  {count - before:+,}" if count != before else ""
            lines.append(f"{name:{width}}  {count:12,}{less}")
            before = count
        return lines

    def _of_memory(self) -> list[str]:
        return [
            f"memory kept  {size(self.nbytes)} in {self.buffers} buffer(s), "
            f"for {size(self.unplanned)} of intermediate arrays",
            f"arithmetic   {self.flops:,} flops, {self.flops / max(self.seconds, 1e-12) / 1e9:.2f} "
            "Gflop/s",
        ]

    def _of_times(self) -> list[str]:
        lines = [f"{'time':>9}  {'share':>5}  {'Gflop/s':>7}  instruction"]
        whole = max(self.seconds, 1e-12)
        for cost in self.costs[:SHOWN]:
            share = f"{100 * cost.seconds / whole:.0f} %"
            rate = f"{cost.gigaflops:.2f}" if cost.flops else ""
            lines.append(f"{duration(cost.seconds):>9}  {share:>5}  {rate:>7}  {cost.text}")
        rest = self.costs[SHOWN:]
        if rest:
            left = sum(cost.seconds for cost in rest)
            share = f"{100 * left / whole:.0f} %"
            lines.append(f"{duration(left):>9}  {share:>5}  {'':>7}  {len(rest)} more")
        lines.append(f"{duration(self.seconds):>9}  in all")
        return lines


def report(
    passes: Sequence[tuple[str, Program]], runner: Runner, entries: Sequence[Any], runs: int = 7
) -> Report:
    """Measure a compiled program on some entries.

    Args:
        passes: the program as it was traced and after each pass, by name.
        runs: how often every instruction is timed. Draws of random numbers are taken back.
    """
    program = passes[-1][1]
    timed = _undone(program, lambda: runner.timed(entries, runs))
    costs = [Cost(text, sum(map(flops_of, done)), seconds) for done, text, seconds in timed]
    results = {id(x) for x in program.results}
    return Report(
        passes=tuple((name, len(p.instructions)) for name, p in passes),
        buffers=runner.buffers,
        nbytes=runner.nbytes,
        unplanned=sum(
            x.nbytes for i in program.instructions for x in i.outs if id(x) not in results
        ),
        flops=sum(cost.flops for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        costs=tuple(sorted(costs, key=lambda cost: -cost.seconds)),
    )


def flops_of(i: Instruction) -> int:
    """The floating-point operations of an instruction, as they are usually counted.

    2·m·n·k for a product of matrices, one for each entry of an elementwise operation, one for each
    entry that is reduced; nothing for moving numbers about.
    """
    name = i.op.name
    if not i.outs or isinstance(i.op, Host):
        return 0
    if name in ("matmul", "dot", "vecdot", "inner", "vdot"):
        return 2 * _entries(i.outs[0]) * _shape(i.operands[0])[-1]
    if isinstance(i.op, (Elementwise, Plain)):
        return _entries(i.outs[0])
    if name == "sum" or name.endswith(("reduce", "accumulate")):
        return _entries(i.operands[0])
    if isinstance(i.op, Call) and isinstance(i.op.function, np.ufunc):
        return _entries(i.outs[0])
    return 0


def _shape(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, (Var, np.ndarray)) else ()


def _entries(x: Any) -> int:
    return math.prod(_shape(x))


def _undone(program: Program, action: Callable[[], Any]) -> Any:
    """What an action gives that calls hosts, whose doings are taken back afterwards."""
    hosts = [i.op for i in program.instructions if isinstance(i.op, Host)]
    memories = [op.remember() if op.remember else None for op in hosts]
    try:
        return action()
    finally:
        for op, memory in reversed(list(zip(hosts, memories))):
            if op.undo:
                op.undo(memory)


def size(nbytes: float) -> str:
    """Bytes, in a unit that suits them."""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} GiB"


def duration(seconds: float) -> str:
    """A time, in a unit that suits it."""
    for unit in ("s", "ms", "µs"):
        if seconds >= 1.0:
            return f"{seconds:.1f} {unit}"
        seconds *= 1000.0
    return f"{seconds:.0f} ns"
