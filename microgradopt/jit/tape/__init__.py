"""Programs of scalars: a tape of arrays instead of objects, run by one compiled loop."""

from __future__ import annotations

from microgradopt.jit.program import Program
from microgradopt.jit.scalars import ScalarProgram
from microgradopt.jit.tape.arrays import encode, fits_tape
from microgradopt.jit.tape.building import build_native, build_numpy
from microgradopt.jit.tape.recorded import tape_of
from microgradopt.jit.tape.runner import TapeRunner
from microgradopt.jit.tape.simplify import simplified

__all__ = [
    "compile_tape", "fits_tape",
]  # fmt: skip


def compile_tape(program: Program, *, native: bool) -> TapeRunner:
    """Compile a program that ``fits_tape``: with LLVM if ``native``, else with NumPy alone."""
    build = build_native if native else build_numpy
    tape = tape_of(program) if isinstance(program, ScalarProgram) else encode(program)
    return build(*simplified(tape, native=native))
