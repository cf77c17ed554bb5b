"""Moving what the order of the program does not hold: calls of Python first, cheap entries last."""

from __future__ import annotations

from collections.abc import Sequence

from microgradopt.jit.native.fuse import Kernel, Step, kernel_of
from microgradopt.jit.native.loops import Access, Buffer, Statement
from microgradopt.jit.program import EFFECTS, Instruction, Var


def with_python_first(
    steps: Sequence[Statement | Instruction], entries: set[Var]
) -> list[Statement | Instruction]:
    """Calls of Python that wait for no kernel before all kernels, so that these run in a row."""
    known = set(entries)
    first: list[Statement | Instruction] = []
    later: list[Statement | Instruction] = []
    for step in steps:
        pure = isinstance(step, Instruction) and not isinstance(step.op, EFFECTS)
        if pure and known.issuperset(step.reads()):
            known.update(step.outs)
            first.append(step)
        else:
            later.append(step)
    return first + later


def with_entries_last(steps: Sequence[Step], asked: set[Buffer]) -> list[Step]:
    """Kernels in which nothing is computed that only later ones read, where those can as well.

    What moves is handed on in a register then, and not through memory.
    """
    found = list(steps)
    for n in reversed(range(len(found))):
        kernel = found[n]
        if isinstance(kernel, Kernel):
            for s in reversed(kernel.statements):
                _move(found, n, s, asked)
    return [s for s in found if not (isinstance(s, Kernel) and not s.statements)]


def _move(steps: list[Step], n: int, s: Statement, asked: set[Buffer]) -> None:
    """Move a statement out of kernel ``n`` into the first that reads what it makes, if it can."""
    kernel = steps[n]
    assert isinstance(kernel, Kernel)
    out = s.out.buffer
    if s.kind != "map" or out.role != "temporary" or out in asked:
        return
    writers = [t for t in kernel.statements if t.out.buffer is out]
    if len(writers) > 1 or any(out in t.reads() for t in kernel.statements):
        return
    users = [m for m, step in enumerate(steps) if m > n and _reads(step, out)]
    if not users or not all(_lasts(steps, n, x, asked) for x in s.inputs):
        return
    target = steps[users[0]]
    assert isinstance(target, Kernel)
    grown = kernel_of([s, *target.statements])
    left = kernel_of([t for t in kernel.statements if t is not s])
    if grown is not None and left is not None:
        steps[users[0]], steps[n] = grown, left


def _reads(step: Step, buffer: Buffer) -> bool:
    return isinstance(step, Kernel) and any(
        buffer in s.reads() or buffer is s.out.buffer for s in step.statements
    )


def _lasts(steps: list[Step], n: int, x: object, asked: set[Buffer]) -> bool:
    """Whether an operand is in memory when kernel ``n`` has ended, whatever becomes of the rest."""
    kernel = steps[n]
    if not isinstance(x, Access) or not isinstance(kernel, Kernel):
        return True
    if x.buffer not in kernel.written() or x.buffer in asked:
        return True
    return any(_reads(step, x.buffer) for step in steps[n + 1 :])
