"""Programs of scalars: a tape of arrays instead of objects, run by one compiled loop."""

from __future__ import annotations

from microgradopt.compiler.program import Program
from microgradopt.compiler.tape.arrays import encode, fits_tape
from microgradopt.compiler.tape.building import build_native, build_numpy
from microgradopt.compiler.tape.recorded import tape_of
from microgradopt.compiler.tape.runner import TapeRunner
from microgradopt.compiler.tape.simplify import simplified
from microgradopt.compiler.tracing.scalars import ScalarProgram

__all__ = [
    "compile_tape", "fits_tape",
]  # fmt: skip


def compile_tape(program: Program, *, native: bool) -> TapeRunner:
    """Compile a program that ``fits_tape``: with LLVM if ``native``, else with NumPy alone."""
    build = build_native if native else build_numpy
    tape = tape_of(program) if isinstance(program, ScalarProgram) else encode(program)
    return build(*simplified(tape, native=native))
