"""Moving what the order of the program does not hold: calls of Python first, cheap entries last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from microgradopt.compiler.native.fuse import Kernel, Reading, Step, kernel_of
from microgradopt.compiler.native.loops import Buffer, Place, Statement
from microgradopt.compiler.program import EFFECTS, Instruction, Var


def with_python_first(
    steps: Sequence[Statement | Instruction], entries: set[Var]
) -> list[Statement | Instruction]:
    """Calls of Python that wait for no kernel before all kernels, so that these run in a row."""
    known = set(entries)
    first: list[Statement | Instruction] = []
    later: list[Statement | Instruction] = []
    for step in steps:
        kept = not isinstance(step, Instruction) or isinstance(step.op, EFFECTS)
        if isinstance(step, Instruction) and not kept and known.issuperset(step.reads()):
            known.update(step.outs)
            first.append(step)
        else:
            later.append(step)
    return first + later


class Sinking:
    """Lets kernels run as late as they may, so that fewer go over the same arrays.

    Whole kernels are merged into later ones of the same rows. Then entries that only a later kernel
    reads are computed there, and handed on in registers instead of through memory.

    Args:
        asked: buffers that calls of Python read, and what explains why a kernel failed.
        places: where variables lie.
    """

    def __init__(
        self, steps: Sequence[Step], asked: set[Buffer], places: Mapping[Var, Place]
    ) -> None:
        self.steps = list(steps)
        self.asked = asked
        self.places = places
        self._known: dict[Step, set[Buffer]] = {}  # what steps touch

    def done(self) -> list[Step]:
        """The steps that are left, in order."""
        for n in reversed(range(len(self.steps))):
            if isinstance(self.steps[n], Kernel):
                self._merge(n)
        for n in reversed(range(len(self.steps))):
            kernel = self.steps[n]
            if isinstance(kernel, Kernel):
                for s in reversed(kernel.statements):
                    self._sink(n, s)
        return [s for s in self.steps if not (isinstance(s, Kernel) and not s.statements)]

    def _users(self, n: int, buffers: set[Buffer]) -> list[int]:
        """The steps after ``n`` that touch one of these."""
        return [
            m
            for m in range(n + 1, len(self.steps))
            if not buffers.isdisjoint(self._touched(self.steps[m]))
        ]

    def _touched(self, step: Step) -> set[Buffer]:
        found = self._known.get(step)
        if found is None:
            if isinstance(step, Kernel):
                found = step.written().union(*(s.reads() for s in step.statements))
            else:
                vars_ = (*step.reads(), *step.outs)
                found = {self.places[v].buffer for v in vars_ if v in self.places}
            self._known[step] = found
        return found

    def _merge(self, n: int) -> None:
        """Merge kernel ``n`` into the next one that touches what it does, if it can."""
        kernel = self.steps[n]
        assert isinstance(kernel, Kernel)
        if any(s.may_fail for s in kernel.statements) or kernel.reading.rows == 1:
            return
        users = self._users(n, kernel.written())
        for m in self._users(n, self._touched(kernel)):
            target = self.steps[m]
            if isinstance(target, Kernel) and target.reading.rows > 1:
                together = kernel_of([*kernel.statements, *target.statements])
                if together is not None:
                    self.steps[m], self.steps[n] = together, NOTHING
                    return
            if m in users:
                return

    def _sink(self, n: int, s: Statement) -> None:
        """Move a statement out of kernel ``n``, with what only it needs, to where it is used."""
        kernel = self.steps[n]
        if not isinstance(kernel, Kernel) or s not in kernel.statements:
            return
        group = self._needed_by(n, kernel, s)
        if not all(t.kind == "map" and self._may_move(t) for t in group):
            return
        left = [t for t in kernel.statements if t not in group]
        if any(s.out.buffer in (*t.reads(), t.out.buffer) for t in left):
            return
        users = self._users(n, {s.out.buffer})
        target = self.steps[users[0]] if users else None
        inputs = {b for t in group for b in t.reads()} - {t.out.buffer for t in group}
        passing = inputs & {t.out.buffer for t in left}
        kept = all(b in self.asked or self._users(n, {b}) for b in passing)
        if isinstance(target, Kernel) and kept:
            grown = kernel_of([*group, *target.statements])
            if grown is not None:
                self.steps[users[0]] = grown
                self.steps[n] = kernel_of(left) or kernel

    def _needed_by(self, n: int, kernel: Kernel, s: Statement) -> list[Statement]:
        """The statement, and before it those of the kernel that only it and they need."""
        group = [s]
        for t in reversed(kernel.statements):
            b = t.out.buffer
            if t in group:
                continue
            users = [u for u in kernel.statements if b in u.reads()]
            inside = users and all(u in group for u in users)
            if inside and b not in self.asked and not self._users(n, {b}):
                group.insert(0, t)
        return group

    def _may_move(self, s: Statement) -> bool:
        return s.out.buffer.role == "temporary" and s.out.buffer not in self.asked


NOTHING = Kernel([Reading(1, [], {})])
