"""From a tape to a runner: lanes, order, and what each stage consists of."""

from __future__ import annotations

import numpy as np

from microgradopt.compiler.program import Host
from microgradopt.compiler.tape.arrays import Tape
from microgradopt.compiler.tape.codes import CODE, code_of
from microgradopt.compiler.tape.coding import Coder
from microgradopt.compiler.tape.fuse import fused
from microgradopt.compiler.tape.kernels import KERNELS
from microgradopt.compiler.tape.lanes import Lanes, find_lanes, level_by_level
from microgradopt.compiler.tape.layout import Layout
from microgradopt.compiler.tape.machine import machine
from microgradopt.compiler.tape.order import Timetable, in_order, timetable, uses_of
from microgradopt.compiler.tape.runner import HostCall, Piece, PythonCall, Step, TapeRunner, Tests
from microgradopt.compiler.tape.source import source_of
from microgradopt.compiler.tape.vectors import Vectors
from microgradopt.engine.graph import Array


def build_native(tape: Tape, shape: Array) -> TapeRunner:
    """A runner of machine code: LLVM compiles the machine, the tape is its data."""
    kernels, external = _kernels(tape)
    uses = uses_of(tape)
    lanes = find_lanes(tape, shape, uses)
    coded = fused(lanes, uses)
    coder = Coder(tape, coded, kernels, machine(), KERNELS.table())
    return _built(coder, lanes, timetable(tape, shape, external), coded.alive, external[tape.op])


def _kernels(tape: Tape) -> tuple[Array, Array]:
    """The number of each row's kernel, and which rows only Python can compute."""
    called = [code_of(row) == CODE["call"] for row, _ in tape.rows]
    numbers = [KERNELS.number(*row) if c else 0 for row, c in zip(tape.rows, called)]
    external = np.array([x is None for x in numbers], bool)
    return np.array([x or 0 for x in numbers], np.int64), external


def build_numpy(tape: Tape, shape: Array) -> TapeRunner:
    """A runner of NumPy calls, each for all lanes."""
    lanes = find_lanes(tape, shape, uses_of(tape))
    times = timetable(tape, shape, np.zeros(len(tape.rows), bool))
    level_by_level(lanes, times.stage * (times.depth.max() + 1) + times.depth)
    everything = np.ones(len(tape), bool)
    return _built(Vectors(tape), lanes, times, everything, ~everything)


def _built(
    layout: Layout, lanes: Lanes, times: Timetable, alive: Array, external: Array
) -> TapeRunner:
    tape = layout.tape
    pieces: list[Piece] = []
    for stage, units in enumerate(in_order(lanes, times, alive & ~external)):
        effects = [e for e, at in zip(tape.effects, times.effects) if at == stage]
        hosts = [e for e in effects if isinstance(e.instruction.op, Host)]
        tests = [e for e in effects if not isinstance(e.instruction.op, Host)]
        pieces += [_always(HostCall(e, layout.place)) for e in hosts]
        now = external & (times.stage[tape.base :] == stage)
        pieces += [_always(_python_call(layout, op, now)) for op in np.unique(tape.op[now])]
        for unit in units:
            layout.write(unit)
        pieces.append(layout.piece())
        if tests:
            pieces.append(_always(Tests(tests, layout.place)))

    def source() -> str:
        return source_of(tape, in_order(lanes, times, np.ones(len(tape), bool)))

    return TapeRunner(tape, layout.place, layout.initial(), pieces, source)


def _always(step: Step) -> Piece:
    return lambda buffer: step


def _python_call(layout: Layout, op: int, chosen: Array) -> PythonCall:
    """A call of one row for all the chosen instructions that are of it."""
    tape = layout.tape
    row, operands = tape.rows[op]
    at = np.flatnonzero(chosen & (tape.op == op))
    args = tape.args[at, :operands].T
    out = layout.block(len(at)) + np.arange(len(at))
    layout.place[at + tape.base] = out
    return PythonCall(row, [layout.place[x] for x in args], [tape.truths[x] for x in args], out)
