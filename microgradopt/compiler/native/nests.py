"""The loops of a stage: which axis the vectors run along, and where sums are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from microgradopt.compiler.native.emit import (
    LONG,
    Coordinates,
    Emitter,
    Pointer,
    identity_of,
    lanes_of,
    pieces,
)
from microgradopt.compiler.native.llvm import scalar_type, vector_type
from microgradopt.compiler.native.loops import Access, DType, Number, Statement
from microgradopt.compiler.native.stages import Stage

OUT = -1  # the result among a statement's operands
STRIDED = 4  # what a load costs that is not of neighbours, next to one that is
Key = tuple[Statement, int]


class Nest:
    """The nest of a stage of maps, gathers and reductions, for a tile of ``rows``.

    Where every reduction runs over the same axes, and they are not that of the vectors, the vectors
    stay in registers while those axes go by: ``columns``. Otherwise the vectors' axis is innermost,
    sums along it are kept in a vector, and others are added to in memory.
    """

    def __init__(self, e: Emitter, stage: Stage, rows: int) -> None:
        self.e = e
        self.w = e.w
        self.statements = stage.statements
        self.rows = rows
        self.sizes = [rows, *stage.space[1:]]
        self.reduces = [s for s in stage.statements if s.kind == "reduce"]
        self.reduced = {s: frozenset(s.reduced) for s in self.reduces}
        self.pointers: dict[Key, Pointer] = {}
        made: set[Any] = set()
        for s in stage.statements:
            for n, x in enumerate(s.inputs):
                if isinstance(x, Access) and x.buffer not in made:
                    self.pointers[s, n] = e.pointer(x)
            if s.kind != "guard" and (s.kind == "reduce" or s.out.buffer not in e.plan.kept):
                self.pointers[s, OUT] = e.pointer(s.out)
            if s.kind != "reduce":
                made.add(s.out.buffer)
        self._merge()
        self.axis = self._vector_axis()
        dtypes = [d for s in self.statements for d in (*s.loop, s.out.buffer.dtype)]
        many = 4 if len(self.statements) <= 4 else 2 if len(self.statements) <= 10 else 1
        self.width = lanes_of(e.vector, dtypes) * many
        sets = set(self.reduced.values())
        self.columns = len(sets) == 1 and self.axis not in next(iter(sets))

    # Axes

    def _merge(self) -> None:
        """Make one axis of neighbours that every pointer goes along as if they were one."""
        a = 0
        while a + 1 < len(self.sizes):
            if self._go_on(a):
                self._drop(a)
            else:
                a += 1

    def _go_on(self, a: int) -> bool:
        n = self.sizes[a + 1]
        return all(p.strides[a] == n * p.strides[a + 1] for p in self.pointers.values()) and all(
            (a in axes) == (a + 1 in axes) for axes in self.reduced.values()
        )

    def _drop(self, a: int) -> None:
        """Let axis ``a + 1`` stand for both."""
        self.sizes[a : a + 2] = [self.sizes[a] * self.sizes[a + 1]]
        self.pointers = {
            key: Pointer(p.buffer, p.offset, p.per_row, p.strides[:a] + p.strides[a + 1 :])
            for key, p in self.pointers.items()
        }
        self.reduced = {s: frozenset(x - (x > a) for x in axes) for s, axes in self.reduced.items()}

    def _vector_axis(self) -> int:
        """The axis along which most of what is read and written lies side by side."""

        def cost(a: int) -> float:
            strided = sum(p.strides[a] not in (0, 1) for p in self.pointers.values())
            return (1 + STRIDED * strided) * (1 + 8 / self.sizes[a])

        return min(reversed(range(len(self.sizes))), key=cost)

    # Loops

    def write(self) -> None:
        """All of it."""
        e = self.e
        started = [s for s in self.reduces if self._in_memory(s) and not e.is_total(s)]
        for s in started:
            e.fill(s, self.rows)
        others = [a for a in range(len(self.sizes)) if a != self.axis]
        if self.columns:
            inner = sorted(self.reduced[self.reduces[0]])
            outer = [a for a in others if a not in inner]

            def column(at: Coordinates, width: int) -> None:
                self._column(inner, at, width)

            def vectors(at: Coordinates) -> None:
                self._along(at, column)

            self._around(outer, {}, vectors)
        else:
            others.sort(key=lambda a: sum(a in axes for axes in self.reduced.values()))
            self._around(others, {}, self._row)
        for s in started:
            e.finish(s, self.rows)

    def _in_memory(self, s: Statement) -> bool:
        """Whether a reduction adds to what is in memory already."""
        if self.columns:
            return self.e.is_total(s)
        return self.e.is_total(s) or self.reduced[s] != {self.axis}

    def _around(
        self, axes: Sequence[int], at: Coordinates, body: Callable[[Coordinates], None]
    ) -> None:
        if not axes:
            body(at)
            return
        self.w.loop(self.sizes[axes[0]], lambda i: self._around(axes[1:], {**at, axes[0]: i}, body))

    def _along(self, at: Coordinates, body: Callable[[Coordinates, int], None]) -> None:
        """``body`` for vectors along the axis, and for the narrower ones at its end."""
        self._hoist(at)
        for start, count, width in pieces(self.sizes[self.axis], self.width):

            def vector(i: str, start: int = start, width: int = width) -> None:
                body(self._at(at, start, i, width), width)

            self.w.loop(count, vector)

    def _at(self, at: Coordinates, start: int, i: str, width: int) -> Coordinates:
        w = self.w
        if i != "0":
            i = w.put(f"mul i64 {i}, {width}") if width > 1 else i
            i = w.put(f"add i64 {i}, {start}") if start else i
        return {**at, self.axis: str(start) if i == "0" else i}

    # Values

    def _hoist(self, at: Coordinates) -> None:
        """Load once what stays the same along the vectors' axis."""
        self.once: dict[Key, str] = {}
        written = {p.buffer for (_, n), p in self.pointers.items() if n == OUT}
        for (s, n), p in self.pointers.items():
            inner = self.reduced[self.reduces[0]] if self.columns else frozenset()
            fixed = not any(p.strides[a] for a in (self.axis, *inner))
            if n != OUT and s.kind != "gather" and fixed and p.buffer not in written:
                self.once[s, n] = self.e.load(p, at, self.axis, 1)

    def _value(self, s: Statement, n: int, dtype: DType, at: Coordinates, width: int) -> str:
        """An operand of a statement, in a dtype."""
        x, w = s.inputs[n], self.w
        if isinstance(x, Number):
            return w.constant(x.value, dtype, width)
        old = x.buffer.dtype
        if x.buffer in self.e.values:
            return w.cast(self.e.values[x.buffer], old, dtype, width)
        if (s, n) in self.once:
            return w.splat(w.cast(self.once[s, n], old, dtype, 1), scalar_type(dtype), width)
        return w.cast(self.e.load(self.pointers[s, n], at, self.axis, width), old, dtype, width)

    def _maps(self, at: Coordinates, width: int) -> Iterator[tuple[Statement, str]]:
        """Compute and store what is entry by entry; the terms of the reductions."""
        self.e.values = {}
        for s in self.statements:
            if s.kind == "reduce":
                yield s, self._value(s, 0, s.loop[-1], at, width)
                continue
            if s.kind == "guard":
                bit = self._value(s, 0, s.loop[0], at, 1)
                self.e.fail(bit if s.op == "true" else self.w.put(f"xor i1 {bit}, true"))
                continue
            value = (
                self._gathered(s, at, width) if s.kind == "gather" else self._computed(s, at, width)
            )
            self.e.values[s.out.buffer] = value
            if (s, OUT) in self.pointers:
                self.e.store(self.pointers[s, OUT], at, self.axis, width, value)

    def _computed(self, s: Statement, at: Coordinates, width: int) -> str:
        w = self.w
        args = [self._value(s, n, d, at, width) for n, d in zip(range(len(s.inputs)), s.loop)]
        if s.op.startswith("libm."):
            kind = scalar_type(s.loop[0])
            return w.call(kind, s.op.removeprefix("libm."), *((kind, x) for x in args))
        if s.op == "where":
            return w.select(args[0], args[1], args[2], s.loop[1], width)
        return w.operation(s.op, args, s.loop[0], width)

    def _gathered(self, s: Statement, at: Coordinates, width: int) -> str:
        e, w = self.e, self.w
        p = self.pointers[s, 0]
        dtype = p.buffer.dtype
        indices = [self._value(s, n + 1, e.whole, at, width) for n in range(len(s.steps))]
        kind = vector_type(scalar_type(dtype), width)
        value = "poison"
        for lane in range(width):
            here = dict(at)
            if lane:
                here[self.axis] = w.put(f"add i64 {at[self.axis]}, {lane}")
            picked = [
                x if width == 1 else w.put(f"extractelement <{width} x i64> {x}, i64 {lane}")
                for x in indices
            ]
            one = e.load_at(e.indexed(s, p, here, picked), dtype, 1)
            if width == 1:
                return one
            value = w.put(f"insertelement {kind} {value}, {scalar_type(dtype)} {one}, i64 {lane}")
        return value

    # Reductions

    def _column(self, inner: list[int], at: Coordinates, width: int) -> None:
        """One vector's worth of columns: its sums stay in registers."""
        w = self.w
        sums = {s: self._accumulator(s, width) for s in self.reduces}

        def point(here: Coordinates) -> None:
            for s, term in self._maps(here, width):
                self._accumulate(s, sums[s], width, term, width)

        self._around(inner, at, point)
        for s, memory in sums.items():
            dtype = s.out.buffer.dtype
            value = w.put(f"load {vector_type(scalar_type(dtype), width)}, ptr {memory}")
            p = self.pointers[s, OUT]
            if self.e.is_total(s):
                old = self.e.load(p, at, self.axis, width)
                value = w.operation(s.op, [old, value], dtype, width)
            self.e.store(p, at, self.axis, width, value)

    def _row(self, at: Coordinates) -> None:
        """The vectors along one row; sums along it end in one number."""
        along = [s for s in self.reduces if self.axis in self.reduced[s]]
        sums = {s: self._accumulator(s, self.width) for s in along}
        totals = {s: self._total(s) for s in along if self._is_long()}

        def point(here: Coordinates, width: int) -> None:
            for s, term in self._maps(here, width):
                if s in sums:
                    self._accumulate(s, sums[s], self.width, term, width)
                else:
                    p = self.pointers[s, OUT]
                    old = self.e.load(p, here, self.axis, width)
                    new = self.w.operation(s.op, [old, term], s.out.buffer.dtype, width)
                    self.e.store(p, here, self.axis, width, new)

        if totals:
            self._in_blocks(at, point, sums, totals)
        else:
            self._along(at, point)
        for s, memory in sums.items():
            value = self._total_of(s, totals[s]) if s in totals else self._across(s, memory)
            self._put_sum(s, at, value)

    def _is_long(self) -> bool:
        return self.sizes[self.axis] > 2 * LONG * self.width

    def _in_blocks(self, at: Coordinates, point: Any, sums: Any, totals: Any) -> None:
        """Sums of blocks are carried over to totals that keep their rounding errors."""
        w = self.w
        self._hoist(at)
        for start, count, width in pieces(self.sizes[self.axis], self.width):
            for first, blocks, each in pieces_of(count, LONG):

                def block(
                    i: str,
                    first: int = first,
                    each: int = each,
                    start: int = start,
                    width: int = width,
                ) -> None:
                    begin = w.put(f"mul i64 {i}, {each * width}") if i != "0" else "0"
                    begin = w.put(f"add i64 {begin}, {start + first * width}")

                    def one(j: str) -> None:
                        place = w.put(f"mul i64 {j}, {width}") if j != "0" else "0"
                        point({**at, self.axis: w.put(f"add i64 {begin}, {place}")}, width)

                    w.loop(each, one)
                    for s, memory in sums.items():
                        self._carry(s, totals[s], self._across(s, memory))
                        self._start(s, memory, self.width)

                w.loop(blocks, block)

    def _accumulator(self, s: Statement, width: int) -> str:
        memory = self.w.stack(vector_type(scalar_type(s.out.buffer.dtype), width))
        self._start(s, memory, width)
        return memory

    def _start(self, s: Statement, memory: str, width: int) -> None:
        dtype = s.out.buffer.dtype
        start = self.w.constant(identity_of(s), dtype, width)
        self.w.do(f"store {vector_type(scalar_type(dtype), width)} {start}, ptr {memory}")

    def _accumulate(self, s: Statement, memory: str, width: int, term: str, lanes: int) -> None:
        """Combine a term with an accumulator, or a narrower one with its first lanes."""
        w, dtype = self.w, s.out.buffer.dtype
        kind = vector_type(scalar_type(dtype), width)
        old = w.put(f"load {kind}, ptr {memory}")
        if lanes == width:
            new = w.operation(s.op, [old, term], dtype, width)
        else:
            new = w.operation(s.op, [w.lanes(old, kind, 0, lanes, width), term], dtype, lanes)
            new = w.blend(new, old, scalar_type(dtype), lanes, width)
        w.do(f"store {kind} {new}, ptr {memory}")

    def _across(self, s: Statement, memory: str) -> str:
        """All lanes of an accumulator combined, in pairs."""
        w, dtype, width = self.w, s.out.buffer.dtype, self.width
        value = w.put(f"load {vector_type(scalar_type(dtype), width)}, ptr {memory}")
        return across(self.e, s.op, value, dtype, width)

    def _total(self, s: Statement) -> tuple[str, str]:
        kind = scalar_type(s.out.buffer.dtype)
        total, lost = self.w.stack(kind), self.w.stack(kind)
        start = self.w.constant(identity_of(s), s.out.buffer.dtype, 1)
        self.w.do(f"store {kind} {start}, ptr {total}")
        self.w.do(f"store {kind} {self.w.constant(0, s.out.buffer.dtype, 1)}, ptr {lost}")
        return total, lost

    def _carry(self, s: Statement, total: tuple[str, str], value: str) -> None:
        self.e.carry(s.op, s.out.buffer.dtype, *total, value)

    def _total_of(self, s: Statement, total: tuple[str, str]) -> str:
        dtype = s.out.buffer.dtype
        value, lost = (self.w.put(f"load {scalar_type(dtype)}, ptr {x}") for x in total)
        exact = s.op != "add" or dtype.kind != "f"
        return value if exact else self.e.with_lost(value, lost, dtype)

    def _put_sum(self, s: Statement, at: Coordinates, value: str) -> None:
        p = self.pointers[s, OUT]
        if not self._in_memory(s):
            self.e.store(p, at, self.axis, 1, value)
            return
        here = self.e.address(p, at)
        lost = self.e.address(self.e.lost_at(p), at) if s.out.buffer in self.e.lost else ""
        self.e.carry(s.op, s.out.buffer.dtype, here, lost, value)


def pieces_of(count: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Blocks of ``most``, then one of what is left: their start, how many, how long."""
    full, rest = divmod(count, most)
    if full:
        yield 0, full, most
    if rest:
        yield full * most, 1, rest


def across(e: Emitter, op: str, value: str, dtype: DType, width: int) -> str:
    """All lanes of a vector combined, in pairs."""
    while width > 1:
        kind, half = vector_type(scalar_type(dtype), width), width // 2
        low, high = (e.w.lanes(value, kind, n, half, width) for n in (0, half))
        value, width = e.w.operation(op, [low, high], dtype, half), half
    return value
