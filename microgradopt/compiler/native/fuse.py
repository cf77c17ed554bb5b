"""Which statements share a kernel: those that agree on an axis of rows.

A kernel goes through its rows tile by tile. What one statement of it makes of a row, others may
read in the same row, while it is in the cache; what needs all the rows, such as a sum over them,
is there when the kernel has ended. So a statement joins a kernel where, along some axis of its
space, everything it reads from that kernel lies in its own row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from microgradopt.compiler.native.loops import Access, Buffer, Place, Statement
from microgradopt.compiler.program import Instruction, Var

SMALL = 2048  # spaces up to this size may share a kernel of a single row
LONGEST = 48  # statements in a kernel: compiling takes time


@dataclass(eq=False)
class Reading:
    """One way to see a kernel: each statement's axis of rows, and the row stride of buffers."""

    rows: int
    axes: list[int | None]
    strides: dict[Buffer, int]


@dataclass(eq=False)
class Kernel:
    """Statements that run together, row by row; small ones all in a single row."""

    readings: list[Reading]
    statements: list[Statement] = field(default_factory=list)

    @property
    def reading(self) -> Reading:
        """The way to see it that it is compiled in."""
        return self.readings[0]

    def written(self) -> set[Buffer]:
        """The buffers it writes."""
        return {s.out.buffer for s in self.statements}


Step: TypeAlias = "Kernel | Instruction"


def fused(steps: Sequence[Statement | Instruction], places: Mapping[Var, Place]) -> list[Step]:
    """Kernels, and the instructions that stay Python's, in an order in which they can run."""
    found: list[Step] = []
    made: dict[Buffer, int] = {}  # by which step it is complete
    safe = 0  # the first step after all that may stop the run
    for step in steps:
        if isinstance(step, Instruction):
            safe = len(found) + 1
            made.update({places[v].buffer: len(found) for v in step.outs if v in places})
            found.append(step)
            continue
        earliest = max((made.get(b, 0) for b in (*step.reads(), step.out.buffer)), default=0)
        if step.out.buffer.role == "result":
            earliest = max(earliest, safe)  # so that it may be written where the old state is
        at = made[step.out.buffer] = _joined(found, earliest, step)
        if step.may_fail:
            safe = max(safe, at + 1)
    return found


def _joined(steps: list[Step], earliest: int, statement: Statement) -> int:
    """The number of the kernel that a statement joined: the first that it can, or a new one."""
    if is_fusable(statement):
        for i in range(earliest, len(steps)):
            kernel = steps[i]
            if isinstance(kernel, Kernel) and _join(kernel, statement):
                return i
    steps.append(_alone(statement))
    return len(steps) - 1


def kernel_of(statements: Sequence[Statement]) -> Kernel | None:
    """One kernel of all these statements; None where there is none."""
    if not statements:
        return Kernel([Reading(1, [], {})])
    kernel = _alone(statements[0])
    return kernel if all(_join(kernel, s, related=False) for s in statements[1:]) else None


def is_fusable(s: Statement) -> bool:
    """Whether a statement may share a kernel."""
    return s.kind not in ("scatter", "matmul")


def is_small(s: Statement) -> bool:
    """Whether it may share a kernel of a single row."""
    return math.prod(s.space) <= SMALL


def _alone(s: Statement) -> Kernel:
    """A new kernel, which may see any long axis of the statement as that of its rows."""
    if is_small(s) or not is_fusable(s):
        return Kernel([Reading(1, [None], {s.out.buffer: 0})], [s])
    axes = [a for a, n in enumerate(s.space) if 8 * n >= max(s.space)]
    return Kernel([Reading(s.space[a], [a], _row_stride(s, a)) for a in axes], [s])


def _row_stride(s: Statement, axis: int) -> dict[Buffer, int]:
    """The row stride of what the statement writes; nothing where that needs all the rows."""
    stride = s.out.strides[axis]
    local = stride and is_row_local(s.out, s.space, axis, stride)
    return {s.out.buffer: stride} if local else {}


def is_row_local(access: Access, space: Sequence[int], axis: int, stride: int) -> bool:
    """Whether an access, at index r of the axis, stays within row r of the buffer."""
    rows = space[axis]
    if access.strides[axis] != stride:
        return False
    low = high = access.offset % (stride * rows)
    for a, n in enumerate(space):
        step = access.strides[a]
        if a == axis or step % (stride * rows) == 0:
            continue
        low, high = low + min(0, step * (n - 1)), high + max(0, step * (n - 1))
    return low >= 0 and high < stride


def _join(kernel: Kernel, s: Statement, *, related: bool = True) -> bool:
    """Add a statement to a kernel if there is a way to see both, and they share a buffer."""
    if len(kernel.statements) >= LONGEST or not is_fusable(s):
        return False
    if not all(map(is_fusable, kernel.statements)):
        return False
    shared = kernel.written().union(*(t.reads() for t in kernel.statements))
    if related and kernel.reading.rows > 1 and shared.isdisjoint((*s.reads(), s.out.buffer)):
        return False
    found = list(_readings(kernel, s))
    if not found:
        return False
    if found[0].axes[0] != kernel.reading.axes[0] and 4 * _work(s) < max(
        map(_work, kernel.statements)
    ):
        return False  # a small one must not turn the others' loops around
    kernel.readings = found
    kernel.statements.append(s)
    return True


def _work(s: Statement) -> int:
    return math.prod(s.space)


def _readings(kernel: Kernel, s: Statement) -> Iterator[Reading]:
    """The ways to see the kernel with one more statement in it."""
    written = kernel.written()
    if kernel.reading.rows == 1:
        if is_small(s):
            old = kernel.reading
            yield Reading(1, [*old.axes, None], {**old.strides, s.out.buffer: 0})
        return
    touched = [x for x in (*s.inputs, s.out) if isinstance(x, Access) and x.buffer in written]
    for old in kernel.readings:
        for axis, n in enumerate(s.space):
            if n == old.rows and all(
                x.buffer in old.strides and is_row_local(x, s.space, axis, old.strides[x.buffer])
                for x in touched
            ):
                strides = {**old.strides, **_row_stride(s, axis)}
                yield Reading(n, [*old.axes, axis], strides)
                break
