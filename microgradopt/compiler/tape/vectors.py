"""A tape as NumPy calls, each for all lanes of a group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.tape.arrays import Tape
from microgradopt.compiler.tape.layout import Layout, is_shared
from microgradopt.compiler.tape.order import Sums
from microgradopt.compiler.tape.runner import Piece, Step
from microgradopt.engine.graph import Array, Primitive
from microgradopt.engine.quiet import quietly

Bound: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], Array]  # function, arguments, out=
Recipe: TypeAlias = Callable[[Array], Bound]  # given the buffer


class Vectors(Layout):
    """Writes NumPy calls. An operand is a slice of the buffer: of all lanes, or of one number."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._recipes: list[Recipe] = []
        self._local = np.zeros_like(self.place)  # of a value, its number among those of a unit

    def piece(self) -> Piece:
        recipes, self._recipes = self._recipes, []

        def bound(buffer: Array) -> Step:
            calls = [recipe(buffer) for recipe in recipes]

            @quietly
            def step(_: Array) -> None:
                for function, args, out in calls:
                    function(*args, out=out)

            return step

        return bound

    def bring(self, places: Array, row: int) -> None:
        out = slice(row, row + len(places))
        self._recipes.append(lambda b: (_taken_from(b), (places,), b[out]))

    def group(self, members: Array) -> None:
        n = len(members)
        op = int(self.tape.op[members[0] - self.tape.base])
        row, operands = self.tape.rows[op]
        slices = []
        for numbers in self.tape.args[members - self.tape.base, :operands].T:
            places = self.place[numbers]
            if is_shared(places):
                slices.append(slice(places[0], places[0] + 1))
            else:
                start = self.row(places)
                slices.append(slice(start, start + n))
        start = self.block(n)
        out = slice(start, start + n)
        self.place[members] = start + np.arange(n)
        into = _writer(row)
        self._recipes.append(lambda b: (into, tuple(b[s] for s in slices), b[out]))

    def sums(self, batch: Sums) -> None:
        """Terms as rows and sums as columns: so NumPy adds in order."""
        places = np.array([[self.place[s.first], *self.place[s.terms]] for s in batch.sums]).T
        terms, count = places.shape
        start = self.block(count)
        for i, s in enumerate(batch.sums):
            self.place[s.adds[-1]] = start + i
        table = self.block(terms * count)
        entries, out = slice(table, table + terms * count), slice(start, start + count)

        def taken(b: Array) -> Bound:
            return _taken_from(b), (places,), b[entries].reshape(terms, count)

        def added(b: Array) -> Bound:
            if count == 1:  # NumPy adds up a single column in another order
                return _add_in_order, (b[entries],), b[out]
            return _add_columns, (b[entries].reshape(terms, count),), b[out]

        self._recipes += [taken, added]

    def singles(self, members: Array) -> None:
        """Instructions on Python's floats, as eagerly."""
        tape, local = self.tape, self._local
        start = self.size
        self.size += len(members)
        self.place[members] = start + np.arange(len(members))
        args = tape.args[members - tape.base]
        numbers = np.unique(args[~np.isin(args, members)])
        local[numbers] = np.arange(len(numbers))
        local[members] = len(numbers) + np.arange(len(members))
        rows = [(row, row.scalar or partial(_computed, row), n) for row, n in tape.rows]
        work = [
            (*rows[op][:2], xs[: rows[op][2]])
            for op, xs in zip(tape.op[members - tape.base].tolist(), local[args].tolist())
        ]
        places, truths = self.place[numbers], tape.truths[numbers].tolist()
        out = slice(start, start + len(members))
        self._recipes.append(lambda b: (_run_one_by_one, (b, places, truths, work), b[out]))


def _taken_from(buffer: Array) -> Callable[..., Any]:
    return partial(buffer.take, mode="clip")  # another mode would take twice as long


def _run_one_by_one(
    buffer: Array, places: Array, truths: list[bool], work: list[Any], out: Array
) -> None:
    known = [x != 0.0 if truth else x for x, truth in zip(buffer[places].tolist(), truths)]
    outside = len(known)
    for row, kernel, operands in work:
        args = [known[i] for i in operands]
        try:
            known.append(kernel(*args))
        except (ArithmeticError, ValueError, TypeError):  # as the row itself goes about it
            known.append(row.rescue(*args))
    out[:] = known[outside:]


def _computed(row: Primitive, *args: Any) -> Any:
    return row.compute(args, {})


def _add_columns(terms: Array, out: Array) -> None:
    np.add.reduce(terms, initial=-0.0, out=out)  # 0.0 to begin with would turn sums of −0.0 round


def _add_in_order(terms: Array, out: Array) -> None:
    out[0] = np.add.accumulate(terms)[-1]


def _writer(row: Primitive) -> Callable[..., Any]:
    """A function of operands and the array that gets the row's result."""
    if isinstance(row.array, np.ufunc):
        return row.array
    return WRITERS.get(row.name, partial(_write, row.array))


def _write(array: Callable[..., Any], *args: Array, out: Array) -> None:
    out[...] = array(*args)


def _relu(x: Array, out: Array) -> None:
    np.maximum(x, 0.0, out=out)


def _chain(g: Array, p: Array, out: Array) -> None:
    np.multiply(g, p, out=out)
    if not np.dot(out, out) < np.inf:
        _careful(g, p, out=out)


_careful = partial(_write, Primitive.table["chain"].array)


def _passing(passed: Array, g: Array, out: Array) -> None:
    out[...] = np.where(passed, g, 0.0)


WRITERS: dict[str, Callable[..., None]] = {"relu": _relu, "chain": _chain, "passing": _passing}
