"""A tape that can be run: entries in, results out, one buffer per run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from struct import Struct
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.program import Check, Guard, Instruction
from microgradopt.compiler.tape.arrays import Effect, Tape
from microgradopt.engine.graph import Array, Primitive

Step: TypeAlias = Callable[[Array], None]  # on a buffer
Piece: TypeAlias = Callable[[Array], Step]  # made ready for a buffer


@dataclass(frozen=True, eq=False)
class PythonCall:
    """A row that only Python can compute, on some operands one after the other.

    For each operand, ``places`` tells where to find it and ``truths`` where it is a truth value.
    """

    row: Primitive
    places: list[Array]
    truths: list[Array]
    out: Array

    def __call__(self, buffer: Array) -> None:
        """Compute the row."""
        columns = [
            [x != 0.0 if truth else x for x, truth in zip(buffer[places].tolist(), truths)]
            for places, truths in zip(self.places, self.truths)
        ]
        buffer[self.out] = [float(self.row.compute(xs, {})) for xs in zip(*columns)]


@dataclass(frozen=True, eq=False)
class HostCall:
    """What a host returns, put into its places."""

    effect: Effect
    place: Array

    def __call__(self, buffer: Array) -> None:
        """Call the host."""
        out = self.effect.perform(lambda x: buffer[self.place[x]])
        for x, value in zip(self.effect.makes, out, strict=True):
            buffer[self.place[x]] = value


class Tests:
    """The guards and checks of a stage: all at once, and one by one where one of them fails."""

    def __init__(self, effects: Sequence[Effect], place: Array) -> None:
        self._effects = effects
        self._place = place
        guards = [e for e in effects if isinstance(e.instruction.op, Guard)]
        checks = [e for e in effects if isinstance(e.instruction.op, Check)]
        self._guarded = _places(guards, place)
        self._expected = np.array([e.instruction.op.expected for e in guards], bool)
        self._finite = _places(checks, place)
        self._constant = any(len(e.reads) < len(e.instruction.operands) for e in effects)

    def __call__(self, buffer: Array) -> None:
        """Raise what the first one that fails raises."""
        if (
            self._constant
            or ((buffer[self._guarded] != 0.0) != self._expected).any()
            or not np.isfinite(buffer[self._finite]).all()
        ):
            for effect in self._effects:
                effect.perform(lambda x: buffer[self._place[x]])


def _places(effects: list[Effect], place: Array) -> Array:
    return np.array([place[x] for e in effects for x in e.reads.values()], np.int64)


class TapeRunner:
    """A program of scalars, compiled; see :class:`~microgradopt.compiler.program.Runner`.

    Each run has a buffer of its own, which is kept for the next. ``pieces`` are run one after the
    other; ``place`` says where in the buffer a value is, by its number.

    Attributes:
        in_place: empty, for there are no arrays.
    """

    def __init__(
        self,
        tape: Tape,
        place: Array,
        initial: Array,
        pieces: list[Piece],
        source: Callable[[], str],
    ) -> None:
        self._source = source
        self._length = len(tape)
        self.in_place: dict[int, int] = {}
        self._entries = Struct(f"{tape.entries}d")  # a list is converted in half the time
        self._initial = initial
        self._pieces = pieces
        self._free: list[tuple[Array, list[Step]]] = []
        self._read = np.array([place[x] for x, kind in tape.results if kind is not None], np.int64)
        self._others = [(i, x, k) for i, (x, k) in enumerate(tape.results) if k is not float]

    @cached_property
    def source(self) -> str:
        """What runs, to be read."""
        return self._source()

    @property
    def buffers(self) -> int:
        """How many pieces of memory a run has."""
        return 1

    @property
    def nbytes(self) -> int:
        """How many bytes a run has."""
        return self._initial.nbytes

    def timed(
        self, entries: Sequence[Any], runs: int
    ) -> list[tuple[Sequence[Instruction], str, float]]:
        """The whole tape as one line: what is done a hundred at a time has no time of its own."""
        times = []
        for _ in range(runs):
            start = perf_counter()
            self(entries, ())
            times.append(perf_counter() - start)
        return [((), f"{self._length:,} scalar operations", median(times))]

    def __call__(self, entries: Sequence[Any], into: Sequence[Array | None]) -> list[Any]:
        """Run on numbers; ``into`` has no use here."""
        try:
            buffer, steps = self._free.pop()  # atomic: no other run can get it
        except IndexError:
            buffer = self._initial.copy()
            steps = [piece(buffer) for piece in self._pieces]
        try:
            self._entries.pack_into(buffer.data, buffer.itemsize, *entries)
            for step in steps:
                step(buffer)
            results: list[Any] = buffer.take(self._read).tolist()
        finally:
            self._free.append((buffer, steps))
        for i, x, kind in self._others:
            if kind is None:
                results.insert(i, x)
            else:
                results[i] = kind(results[i])
        return results
