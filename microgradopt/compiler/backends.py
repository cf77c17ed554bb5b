"""Which backend runs a program, and what it has to be brought to before."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from microgradopt.compiler.native.runner import compile_native
from microgradopt.compiler.passes import standard
from microgradopt.compiler.printed.backend import compile_numpy
from microgradopt.compiler.program import Call, Program, Runner
from microgradopt.compiler.tape import compile_tape, fits_tape
from microgradopt.compiler.tracing.scalars import Block, ScalarProgram, as_results
from microgradopt.errors import MissingExtraError, UsageError

BACKENDS = ("numpy", "llvm")
SYNONYMS = {"numba": "llvm"}  # llvmlite is numba's compiler, and all of numba that is needed
MANY = 500  # instructions on scalars alone, from which on they make a tape
LONG = 2000  # instructions, above which machine code takes too long to make

Stages = list[tuple[str, Program]]


def checked_backend(backend: str | None) -> str:
    """The backend that is meant: the faster one of those installed, if none is named.

    Raises:
        UsageError: if there is no such backend.
        MissingExtraError: if it is not installed.
    """
    if backend is None:
        return "llvm" if _has_llvm() else "numpy"
    backend = SYNONYMS.get(backend, backend)
    if backend not in BACKENDS:
        raise UsageError(f"jit: backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "llvm" and not _has_llvm():
        raise MissingExtraError(
            'jit: backend="llvm" needs llvmlite, which is not installed; '
            'pip install "microgradopt[jit]", or use backend="numpy"'
        )
    return backend


def _has_llvm() -> bool:
    return find_spec("llvmlite") is not None


def compile_program(
    program: Program, backend: str, donated: dict[int, int]
) -> tuple[Stages, Runner]:
    """The program after each pass, by the pass's name, and the last of them ready to run."""
    native = backend == "llvm"
    if _is_tape(program):
        return [("traced", program)], compile_tape(program, native=native)
    stages = [("traced", program), *standard(program)]
    last = _with_tapes(stages[-1][1], native)
    if native and len(last.instructions) <= LONG:
        return stages, compile_native(last, donated)
    # Nothing is donated: Ctrl-C between two calls of NumPy would leave half of the state new.
    return stages, compile_numpy(last)


def _with_tapes(program: Program, native: bool) -> Program:
    """The program with its blocks of scalars compiled."""
    if not any(isinstance(i.op, Block) for i in program.instructions):
        return program
    found = [
        replace(i, op=_tape_call(i.op, native)) if isinstance(i.op, Block) else i
        for i in program.instructions
    ]
    return Program(program.entries, found, program.results)


def _tape_call(block: Block, native: bool) -> Call:
    run = compile_tape(block.program, native=native)
    nowhere = [None] * len(block.program.codes)
    return Call(block.name, lambda *numbers: as_results(run(numbers, nowhere)))


def _is_tape(program: Program) -> bool:
    if isinstance(program, ScalarProgram):
        return len(program) >= MANY
    return len(program.instructions) >= MANY and fits_tape(program)
