"""The NumPy backend: a program printed as Python source, compiled, and run in kept memory."""

from __future__ import annotations

import itertools
import linecache
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.layout import allocated, view_of
from microgradopt.compiler.passes import with_effects_first
from microgradopt.compiler.printed.blocks import with_blocks
from microgradopt.compiler.printed.lowering import BLOCK_BYTES, form_of
from microgradopt.compiler.printed.printing import Printer, Source
from microgradopt.compiler.printed.storage import Storage, storage_of
from microgradopt.compiler.program import EFFECTS, Instruction, Program, Var
from microgradopt.engine.graph import Array
from microgradopt.engine.quiet import restore, silence

Run: TypeAlias = Callable[[Sequence[Any], Sequence["Array | None"], Sequence[Array]], list[Any]]

_numbers = itertools.count(1).__next__


class NumpyRunner:
    """A program as straight-line NumPy; see :class:`~microgradopt.compiler.program.Runner`.

    Intermediate arrays live in memory that is kept between runs. Runs at the same time, in several
    threads or one inside another, each have their own.

    Attributes:
        source: the text that runs.
        in_place: the donated results, by number, that may overwrite the entries they were given.
        nbytes: how many bytes one run keeps.
    """

    def __init__(self, source: Source, storage: Storage, results: int) -> None:
        self.source = source.text()
        self.in_place = storage.in_place
        self.nbytes = storage.nbytes
        self.buffers = len(storage.slots)
        self._sizes = [slot.nbytes for slot in storage.slots]
        self._printed = source
        self._results = results
        self._free: list[list[Array]] = []
        self._run = _compiled(self, source, self.source)

    def __call__(self, entries: Sequence[Any], into: Sequence[Array | None]) -> list[Any]:
        """Run on raw entries. A result is written ``into`` the given array, where there is one."""
        return self._ran(self._run, entries, into)

    def _ran(self, run: Run, entries: Sequence[Any], into: Sequence[Array | None]) -> list[Any]:
        try:
            kept = self._free.pop()  # atomic: no other run can get it
        except IndexError:
            kept = self._allocated()
        before = silence()
        try:
            return run(entries, into, kept)
        finally:
            restore(before)
            self._free.append(kept)

    def _allocated(self) -> list[Array]:
        memory = [allocated(n) for n in self._sizes]
        return [view_of(memory[number], x) for number, x in self._printed.kept]

    def timed(
        self, entries: Sequence[Any], runs: int
    ) -> list[tuple[Sequence[Instruction], str, float]]:
        """Instructions with their line of source and the median of its times in seconds."""
        marks: list[float] = []

        def clock() -> None:
            marks.append(perf_counter())

        run = _compiled(self, self._printed, self._printed.text(timed=True), clock=clock)
        first = self._ran(run, entries, [None] * self._results)  # it pays for memory
        into = [x if isinstance(x, np.ndarray) else None for x in first]
        spans = []
        for _ in range(runs):
            marks.clear()
            self._ran(run, entries, into)
            spans.append([b - a for a, b in pairwise(marks)])
        lines = [line for line in self._printed.body if line.instructions]
        return [
            (line.instructions, line.title, median(times))
            for line, *times in zip(lines, *spans, strict=True)
        ]


def compile_numpy(
    program: Program,
    donated: Mapping[int, int] | None = None,
    name: str = "step",
    block: int = BLOCK_BYTES,
) -> NumpyRunner:
    """Compile a program to NumPy calls.

    Args:
        donated: numbers of results with the numbers of the entries whose arrays they replace; the
            runner's ``in_place`` says for which of them the array may be the same.
        name: what the printed function is called.
        block: how many bytes of a long array a chain of operations takes at a time, at most.
    """
    program = with_effects_first(program)
    forms = [None if isinstance(i.op, EFFECTS) else form_of(i) for i in program.instructions]
    program, forms, blocks = with_blocks(program, forms, min(block, BLOCK_BYTES))
    storage = storage_of(program, forms, blocks, donated or {})
    wishes = _wishes(program, donated or {})
    source = Printer(program, forms, blocks, storage, name, wishes).source()
    return NumpyRunner(source, storage, len(program.results))


def _wishes(program: Program, donated: Mapping[int, int]) -> dict[Var, str]:
    """What results are to be called that replace a named entry."""
    return {
        program.results[result]: f"new_{program.entries[number].name}"
        for result, number in donated.items()
        if program.entries[number].name and program.results[result].__class__ is Var
    }


def _compiled(owner: object, source: Source, text: str, **more: Any) -> Run:
    """The function of a source, which tracebacks show while its ``owner`` is alive."""
    filename = f"<microgradopt.jit {_numbers()}: {source.name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    weakref.finalize(owner, linecache.cache.pop, filename, None)
    namespace = {**source.namespace, **more}
    exec(compile(text, filename, "exec"), namespace)
    run: Run = namespace[source.name]
    return run
