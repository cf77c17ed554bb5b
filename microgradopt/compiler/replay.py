"""A recorded call, compiled: state in, one run of the program, state out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from operator import itemgetter
from sys import getrefcount
from typing import Any

import numpy as np

from microgradopt.atomic import made_whole, uninterrupted
from microgradopt.compiler.backends import compile_program
from microgradopt.compiler.program import GuardError, Var
from microgradopt.compiler.ties import name_ends
from microgradopt.compiler.tracing.cells import LeafData, LeafGrad
from microgradopt.compiler.tracing.recording import Recording
from microgradopt.compiler.tracing.scalars import ScalarProgram
from microgradopt.compiler.tracing.templates import Place, filler, picker
from microgradopt.compiler.tracing.trace import Entry
from microgradopt.engine.graph import Array, Node

LARGE = 2**16  # bytes, from which on an array is overwritten rather than exchanged for another
KEPT = 2  # arrays per result: one that the state holds, and one to write into meanwhile


class Replay:
    """Runs a program in the place of a call that it was recorded from.

    Attributes:
        stages: the program after each pass, by the pass's name.
        runner: what the backend has made of the last of them.
    """

    def __init__(self, recording: Recording, backend: str) -> None:
        self.recording = recording
        traced = recording.program
        if not isinstance(traced, ScalarProgram):
            name_ends(traced, recording)
        self.stages, self.runner = compile_program(traced, backend, _donated(recording))
        program = self.stages[-1][1]
        self.pick = [picker(form, _is_entry) for form in recording.forms]
        self.data, self.data_of = _written(recording, LeafData)
        self.grads, self.grads_of = _written(recording, LeafGrad)
        taken = {id(cell) for kind in (LeafData, LeafGrad) for cell, _ in _single(recording, kind)}
        self.others = [(c, filler(x)) for c, x in recording.writes if id(c) not in taken]
        self.output = filler(recording.output)
        results: list[Any]
        results = traced.given if isinstance(traced, ScalarProgram) else program.results
        self.spare: list[tuple[int, list[Array], int | None]] = [
            (i, [], self.runner.in_place.get(i) if x.nbytes >= LARGE else None)
            for i, x in enumerate(results)
            if _is_array(x)
        ]
        self.count = len(results)

    def __call__(self, leaves: list[Any]) -> Any:
        """Replay the call for what is traced of its arguments.

        Raises:
            GuardError: if it would take another course; nothing is changed then.
        """
        entries = [x._raw if isinstance(x, Node) else x for x in leaves]
        try:
            entries += self.state()
        except Exception as error:  # not what it was; the call as it is written says what is wrong
            raise GuardError from error
        into, overwrites = self._memory(entries)
        if overwrites:
            with uninterrupted():
                return self._run(entries, into)
        return self._run(entries, into)

    def _run(self, entries: list[Any], into: list[Array | None]) -> Any:
        memories = [op.remember() for op in self.recording.hosts if op.remember]
        try:
            results = self.runner(entries, into)
        except BaseException as error:
            for op, memory in zip(self.recording.hosts, memories):
                assert op.undo is not None
                op.undo(memory)
            if isinstance(error, Exception):  # the call as it is written raises it in its place
                raise GuardError from error
            raise
        for i, kept, _ in self.spare:
            if into[i] is None:
                kept.append(results[i])
                del kept[:-KEPT]

        def commit() -> None:
            for node, x in zip(self.data, self.data_of(results)):
                node.assign(x)
            for node, x in zip(self.grads, self.grads_of(results)):
                node.grad = x
            for cell, fill in self.others:
                cell.write(fill(results))

        made_whole(commit)
        return self.output(results)

    def state(self) -> list[Any]:
        """The entries that are no arguments, as they are now."""
        recording = self.recording
        found: list[Any] = [node._raw for node in recording.data]
        found += [node.grad for node in recording.grads]
        for cell, pick in zip(recording.attributes, self.pick):
            found += pick(cell.read())
        return found

    def sample(self) -> list[Any]:
        """Entries to measure with: made-up arguments, and the state as it is now."""
        state = self.state()
        variables = self.recording.program.entries
        return [*map(_made_up, variables[: len(variables) - len(state)]), *state]

    def _memory(self, entries: list[Any]) -> tuple[list[Array | None], bool]:
        """For each result an array of an earlier run that nobody else has any longer, if any.

        And whether one of them is an entry's, which the run overwrites.
        """
        into: list[Array | None] = [None] * self.count
        overwrites = False
        for i, kept, donor in self.spare:
            for array in kept:
                holders = getrefcount(array)
                own = donor is not None and array is entries[donor] and holders == ALONE + 2
                if own or holders == ALONE:
                    into[i] = array
                    overwrites = overwrites or own
                    break
        return into, overwrites


def _made_up(var: Var) -> Any:
    """A number or array like a variable: ½ everywhere, or 0 where whole numbers are."""
    if var.dtype is None:
        return var.kind(0.5)
    array = np.full(var.shape, 0.5).astype(var.dtype)
    return array if var.is_array else array[()]


def _is_entry(x: Any) -> bool:
    return isinstance(x, Entry)


def _is_array(x: Any) -> bool:
    return x.is_array if isinstance(x, Var) else isinstance(x, np.ndarray)


def _single(recording: Recording, kind: type) -> list[tuple[Any, Place]]:
    """The changed cells of a kind whose new content is one result."""
    return [(c, x) for c, x in recording.writes if isinstance(c, kind) and type(x) is Place]


def _written(recording: Recording, kind: type) -> tuple[list[Node], Callable[[Any], Any]]:
    """The leaves of which one cell is written, and how to pick their new content."""
    pairs = [(cell.node, x.number) for cell, x in _single(recording, kind)]
    numbers = [i for _, i in pairs]
    several = itemgetter(*numbers) if len(numbers) > 1 else lambda r: [r[i] for i in numbers]
    return [node for node, _ in pairs], several


def _donated(recording: Recording) -> dict[int, int]:
    """Results by number, each with the entry whose array it replaces and nobody else needs."""
    donors: dict[Any, list[int]] = {}
    for number, (place, _) in enumerate(recording.places()):
        donors.setdefault(place[:-1], []).append(number)
    pairs: list[tuple[int, int]] = []
    for cell, content in recording.writes:
        results, entries = list(_places(content)), donors.get(cell.key, [])
        if len(results) == len(entries):
            pairs += zip(results, entries)
    uses = Counter(i for _, content in recording.writes for i in _places(content))
    uses.update(_places(recording.output))
    return {i: donor for i, donor in pairs if uses[i] == 1}


def _places(tree: Any) -> Iterator[int]:
    """The numbers of the results in a structure."""
    if type(tree) is Place:
        yield tree.number
    elif isinstance(tree, dict):
        for branch in tree.values():
            yield from _places(branch)
    elif isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from _places(branch)


def _holders(kept: list[Array]) -> list[int]:
    """What getrefcount says in :meth:`Replay._memory` of arrays that only ``kept`` holds."""
    found = []
    for array in kept:
        holders = getrefcount(array)
        found.append(holders)
    return found


ALONE = _holders([np.empty(0)])[0]
