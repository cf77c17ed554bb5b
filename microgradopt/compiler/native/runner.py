"""A compiled program at work: its kernels, the calls of Python between them, and its memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy import ndarray

from microgradopt.compiler.native.building import OF_PYTHON
from microgradopt.compiler.native.compiler import DRIVER, built, machine
from microgradopt.compiler.native.fuse import Kernel, Step, fused
from microgradopt.compiler.native.loops import Buffer, Place
from microgradopt.compiler.native.lower import Lowering
from microgradopt.compiler.native.memory import Arena, array_at, lifetimes, offsets
from microgradopt.compiler.native.order import Sinking
from microgradopt.compiler.native.ownership import in_place
from microgradopt.compiler.native.stages import planned
from microgradopt.compiler.native.text import Printer
from microgradopt.compiler.native.writing import kernel_text
from microgradopt.compiler.passes import with_effects_first
from microgradopt.compiler.program import GuardError, Instruction, Program, Var, substituted
from microgradopt.engine.graph import Array
from microgradopt.engine.quiet import quietly, restore, silence


@dataclass(frozen=True)
class Segment:
    """Kernels in a row: the address of the first in the table of steps, and where they are."""

    address: int
    first: int
    count: int


class NativeRunner:
    """A program compiled to machine code; see :class:`~microgradopt.compiler.program.Runner`.

    Attributes:
        in_place: which results may be written into the arrays of which entries.
        source: the kernels, for people to read.
        nbytes: how many bytes one run keeps.
        buffers: how many arrays it keeps there.
        calls: the instructions that stay calls of Python.
    """

    def __init__(self, program: Program, donated: Mapping[int, int]) -> None:
        self.program = program = with_effects_first(program)
        lowering = Lowering(program)
        self.places, self.owned = lowering.places, lowering.results
        self.numbers = lowering.numbers
        self.steps = fused(lowering.steps, self.places)
        asked = {b for b, users in self._asked().items() if users != {-1}}
        self.steps = Sinking(self.steps, asked, self.places).done()
        self.calls = [s for s in self.steps if isinstance(s, Instruction)]
        self.asked = self._asked()
        outside = _read_elsewhere(self.steps, self.asked)
        self.plans = {
            n: planned(k, outside[n]) for n, k in enumerate(self.steps) if isinstance(k, Kernel)
        }
        entries = [self.places.get(v) for v in program.entries]
        self.in_place = in_place(donated, entries, self.owned, self.plans)
        self._compile()
        self.printer = Printer(program, self.steps, self.plans)
        self.source = self.printer.source()
        self.nbytes = self.size + self.work
        self.buffers = len(self.offsets)
        self._pool: list[Arena] = []

    def _asked(self) -> dict[Buffer, set[int]]:
        """The buffers that Python looks into: in which steps, or −1 for results."""
        found: dict[Buffer, set[int]] = {}
        for n, step in enumerate(self.steps):
            vars_ = step.reads() if isinstance(step, Instruction) else self._explained(step)
            for v in vars_:
                if v in self.places:
                    found.setdefault(self.places[v].buffer, set()).add(n)
        for b in (*self.owned, *self.numbers):
            if b is not None:
                found.setdefault(b, set()).add(-1)
        return found

    def _explained(self, kernel: Kernel) -> list[Var]:
        """What the instructions read that say why a kernel failed."""
        numbers = {s.number for s in kernel.statements if s.may_fail}
        return [v for n in numbers for v in self.program.instructions[n].reads()]

    # Compiling

    @quietly
    def _compile(self) -> None:
        names: dict[str, str] = {}  # of kernels, by their texts: equal ones are compiled once
        declared: dict[str, None] = {}
        named: dict[int, str] = {}
        self.work = 0
        for n, plan in self.plans.items():
            text, needed, work = kernel_text(plan, "kernel", machine().vector)
            named[n] = names.setdefault(text, f"kernel{len(names)}")
            declared.update(dict.fromkeys(needed))
            self.work = max(self.work, work)
        bodies = [text.replace("@kernel(", f"@{name}(", 1) for text, name in names.items()]
        text = "\n".join([*declared, DRIVER, *bodies])
        self.functions = built(text, ["drive", *names.values()])
        kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 5, ctypes.c_ssize_t)
        self.drive = kind(self.functions["drive"])
        self._number_slots()
        self._fill_table(named)
        self._plan_binding()

    def _number_slots(self) -> None:
        """Where in the frame the address of each buffer is."""
        touched = [b for plan in self.plans.values() for b in plan.parameters]
        touched += [p.buffer for p in self.places.values() if p.buffer in self.asked]
        touched += self.numbers
        self.read = set(touched)
        self.slots = {b: n for n, b in enumerate(dict.fromkeys(touched))}
        temporaries = [b for b in self.slots if b.role == "temporary"]
        alive = lifetimes(self.steps, self.plans, self.places, self.asked)
        self.offsets, self.size = offsets(temporaries, alive)

    def _fill_table(self, named: Mapping[int, str]) -> None:
        """The table of steps: the address of each kernel, and of the slots of its buffers."""
        self.order: list[Segment | Instruction] = []
        numbers = [self.slots[b] for n in named for b in self.plans[n].parameters]
        self.slot_numbers = np.array(numbers or [0], np.int64)
        self.table = np.zeros((len(named) or 1, 2), np.int64)
        self.kernels = list(named)
        row = at = 0
        for n, step in enumerate(self.steps):
            if isinstance(step, Instruction):
                self.order.append(step)
                continue
            function = self.functions[named[n]]
            self.table[row] = function, self.slot_numbers.ctypes.data + 8 * at
            at += len(self.plans[n].parameters)
            last = self.order[-1] if self.order else None
            if isinstance(last, Segment):
                self.order[-1] = Segment(last.address, last.first, last.count + 1)
            else:
                self.order.append(Segment(self.table[row].ctypes.data, row, 1))
            row += 1

    def _plan_binding(self) -> None:
        """What has to be done with which entries and results at each call."""
        self.arrays: list[tuple[int, tuple[int, ...], Any, tuple[int, ...]]] = []
        self.scalars: list[tuple[int, type]] = []
        self.boxed: list[tuple[int, Any]] = []
        self.bound: list[int] = []
        targets: list[tuple[int, int]] = []
        for n, v in enumerate(self.program.entries):
            place = self.places.get(v)
            if place is None or place.buffer not in self.slots:
                continue
            self.bound.append(n)
            targets.append((self.slots[place.buffer], int(v.is_array)))
            if v.is_array:
                self.arrays.append((n, v.shape, place.dtype, place.strides))
                continue
            self.scalars.append((n, v.kind))
            if v.kind in (int, bool):
                self.boxed.append((n, place.dtype.type))
        self.outs = [
            (n, v.shape, v.dtype, Place.of(b, v.shape).strides)
            for n, (b, v) in enumerate(zip(self.owned, self.program.results))
            if b is not None
        ]
        self.filled = [n for n, *_ in self.outs if self.owned[n] in self.slots]
        targets += [(self.slots[b], 1) for b in self.owned if b in self.slots]
        self.targets = np.array(targets or [(0, 0)], np.int64)
        self.targets_address = self.targets.ctypes.data
        counted = {n for numbers in self.numbers.values() for n in numbers}
        results = list(enumerate(self.program.results))
        given = [(n, x) for n, x in results if self.owned[n] is None and n not in counted]
        self.constants = [(n, x) for n, x in given if not isinstance(x, Var)]
        self.known = [(n, x) for n, x in given if isinstance(x, Var)]
        self.blocks = [
            (Place.of(b, (b.size,)), numbers, [self._number_kind(n) for n in numbers])
            for b, numbers in self.numbers.items()
        ]
        self.count = len(self.bound) + len(self.filled)

    def _number_kind(self, n: int) -> Any:
        """What makes a number among the results of the float, int or bool that it is."""
        kind = self.program.results[n].kind
        return None if kind in OF_PYTHON else kind

    # Running

    def __call__(self, entries: Sequence[Any], into: Sequence[Array | None]) -> list[Any]:
        """Run on raw entries; see :class:`~microgradopt.compiler.program.Runner`."""
        try:
            arena = self._pool.pop()
        except IndexError:
            arena = Arena(self.slots, self.offsets, self.size, self.work)
        before = silence()
        try:
            return self._run(arena, entries, into)
        finally:
            restore(before)
            self._pool.append(arena)

    def _run(
        self,
        arena: Arena,
        entries: Sequence[Any],
        into: Sequence[Array | None],
        times: list[list[float]] | None = None,
    ) -> list[Any]:
        raw, results = list(entries), list[Any](into)
        for n, shape, dtype, strides in self.arrays:
            x = raw[n]
            if x.__class__ is not ndarray or x.shape != shape or x.dtype != dtype:
                raise GuardError  # kernels would read memory that is not its own
            if x.strides != strides:
                raw[n] = _in_order(x, strides)
        for n, kind in self.scalars:
            if raw[n].__class__ is not kind:
                raise GuardError
        for n, kind in self.boxed:
            raw[n] = kind(raw[n])
        moved = []
        for n, shape, dtype, strides in self.outs:
            out = results[n]
            if out is None:
                results[n] = np.empty(shape, dtype)
            elif out.strides != strides:
                results[n] = np.empty(shape, dtype)
                moved.append((n, out))
        objects = (*[raw[n] for n in self.bound], *[results[n] for n in self.filled])
        first = id(objects) + tuple.__basicsize__  # where a tuple's entries begin
        self.drive(arena.frame_address, None, None, first, self.targets_address, self.count)
        known: dict[Var, Any] = {}
        if self.calls or self.known:
            known.update(zip(self.program.entries, entries))
        for step in self.order if times is None else self._one_by_one(times):
            if isinstance(step, Segment):
                self._native(arena, step, known)
            else:
                self._python(arena, step, known)
        for place, numbers, kinds in self.blocks:
            for n, value, kind in zip(numbers, self._view(arena, place).tolist(), kinds):
                results[n] = value if kind is None else kind(value)
        for n, x in self.known:
            results[n] = self._value(arena, known, x)
        for n, x in self.constants:
            results[n] = x.copy() if isinstance(x, np.ndarray) else x
        for n, out in moved:
            np.copyto(out, results[n])
            results[n] = out
        return results

    def _one_by_one(self, times: list[list[float]]) -> Iterator[Segment | Instruction]:
        """All steps, each kernel by itself, while a clock runs."""
        row = 0
        for step, measured in zip(self.steps, times):
            alone: Segment | Instruction
            if isinstance(step, Kernel):
                alone = Segment(self.table[row].ctypes.data, row, 1)
                row += 1
            else:
                alone = step
            begin = perf_counter()
            yield alone
            measured.append(perf_counter() - begin)

    def _native(self, arena: Arena, segment: Segment, known: dict[Var, Any]) -> None:
        """Run kernels; where one fails, Python says why, or that there is no reason to stop."""
        address, left = segment.address, segment.count
        while failed := self.drive(arena.frame_address, address, arena.work, None, None, left):
            left -= failed
            address += failed * self.table.strides[0]
            self._explain(arena, segment.first + segment.count - left - 1, known)

    # Seeing it

    def timed(
        self, entries: Sequence[Any], runs: int
    ) -> list[tuple[Sequence[Instruction], str, float]]:
        """Kernels and calls of Python: their instructions, text, and median of times in seconds."""
        times: list[list[float]] = [[] for _ in self.steps]
        for _ in range(runs):
            arena = Arena(self.slots, self.offsets, self.size, self.work)
            before = silence()
            try:
                self._run(arena, entries, [None] * len(self.program.results), times)
            finally:
                restore(before)
        instructions = self.program.instructions
        found: list[tuple[Sequence[Instruction], str, float]] = []
        for n, (step, measured) in enumerate(zip(self.steps, times)):
            if isinstance(step, Kernel):
                numbers = sorted({s.number for s in step.statements if s.number >= 0})
                whole = [instructions[k] for k in numbers]
                found.append((whole, self.printer.call(n), median(measured)))
            else:
                found.append(([step], step.op.name, median(measured)))
        return found

    # Calls of Python

    def _python(self, arena: Arena, i: Instruction, known: dict[Var, Any]) -> None:
        """Run an instruction as it is, and put what it gives where kernels find it."""

        def value(x: Var) -> Any:
            return self._value(arena, known, x)

        args = [value(x) if x.__class__ is Var else substituted(x, value) for x in i.operands]
        out = i.op.compute(args, substituted(i.params, value) if i.params else {})
        for var, value in zip(i.outs, (out,) if len(i.outs) == 1 else out, strict=True):
            if not _fits(value, var):
                raise GuardError
            place = self.places.get(var)
            if place is None or not var.is_array:
                known[var] = value
            if place is not None and place.buffer in self.read:
                self._view(arena, place)[...] = value

    def _explain(self, arena: Arena, row: int, known: dict[Var, Any]) -> None:
        """Run those instructions of a kernel again that it may have failed at: they raise."""
        kernel = self.steps[self.kernels[row]]
        assert isinstance(kernel, Kernel)
        for s in kernel.statements:
            if s.may_fail:
                self._python(arena, self.program.instructions[s.number], known)

    def _value(self, arena: Arena, known: Mapping[Var, Any], x: Var) -> Any:
        if x in known:
            return known[x]
        view = self._view(arena, self.places[x])
        if x.is_array:
            return view
        return view.item() if x.kind in OF_PYTHON else view[()]

    def _view(self, arena: Arena, place: Place) -> Array:
        """The array of a place: always the same one, where it lies in the arena."""
        view = arena.views.get(place)
        if view is None:
            view = array_at(int(arena.frame[self.slots[place.buffer]]), place)
            if place.buffer.role == "temporary":
                arena.views[place] = view
        return view


def _fits(value: Any, var: Var) -> bool:
    """Whether what Python gives is what the kernels were made for: shapes may depend on data."""
    kind: Any = type(value)
    if kind is not var.kind:
        return var.kind is object
    return var.dtype is None or (value.shape == var.shape and value.dtype == var.dtype)


def _in_order(x: Array, strides: tuple[int, ...]) -> Array:
    """A copy whose axes lie in memory as the kernels expect."""
    order = sorted(range(x.ndim), key=lambda a: -strides[a])
    copy = np.empty([x.shape[a] for a in order], x.dtype).transpose(np.argsort(order))
    copy[...] = x
    return copy


def _read_elsewhere(
    steps: Sequence[Step], asked: Mapping[Buffer, set[int]]
) -> dict[int, set[Buffer]]:
    """For each kernel the buffers that others touch: other kernels, Python, the caller."""
    users: dict[Buffer, set[int]] = {}
    for n, step in enumerate(steps):
        if isinstance(step, Kernel):
            for s in step.statements:
                for b in (*s.reads(), s.out.buffer):
                    users.setdefault(b, set()).add(n)
    shared = {b for b, found in users.items() if len(found) > 1} | set(asked)
    return {n: shared for n, step in enumerate(steps) if isinstance(step, Kernel)}


def compile_native(program: Program, donated: Mapping[int, int]) -> NativeRunner:
    """Compile a program to machine code; ``donated`` maps results to entries they may replace."""
    return NativeRunner(program, donated)
