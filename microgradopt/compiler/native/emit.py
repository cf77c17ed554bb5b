"""A kernel's plan as a function in LLVM's language."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.compiler.native.llvm import Writer, scalar_type, vector_type
from microgradopt.compiler.native.loops import Access, Buffer, DType, Statement
from microgradopt.compiler.native.stages import Plan, Stage

LONG = 64  # vectors added up before their sum is carried over: keeps rounding errors small
SIGNATURE = "define i32 @{name}(ptr %frame, ptr %slots, ptr %work)"
IDENTITY: dict[str, Any] = {
    "add": -0.0, "multiply": 1.0, "maximum": -math.inf, "minimum": math.inf, "or": False,
    "and": True,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pointer:
    """An access within a stage: where its tile starts, and its strides along the stage's axes."""

    buffer: Buffer
    offset: int
    per_row: int  # how far the tile's first row is from the first of all, per row
    strides: tuple[int, ...]


Coordinates = dict[int, str]
StageWriter = Callable[["Emitter", Stage, int], None]


def lanes_of(nbytes: int, dtypes: Sequence[DType]) -> int:
    """How many numbers of the largest of these dtypes a vector register holds."""
    return max(1, nbytes // max((d.itemsize for d in dtypes), default=8))


def pieces(n: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Stretches of ``n`` entries: their start, and how many vectors of which width they take."""
    start = 0
    while start < n:
        while width > n - start:
            width //= 2
        count = (n - start) // width
        yield start, count, width
        start += count * width


class Emitter:
    """Writes the function of one kernel.

    Attributes:
        vector: bytes of a vector register.
    """

    whole = np.dtype(np.int64)

    def __init__(self, plan: Plan, vector: int, write_stage: StageWriter) -> None:
        self.plan = plan
        self.write_stage = write_stage
        self.vector = vector
        self.w = Writer()
        self.pointers: dict[Buffer, str] = {}
        self.values: dict[Buffer, str] = {}  # what is in registers at this point
        self.work = 0  # bytes of the workspace in use
        self.tile_start = "0"
        self.lost: dict[Buffer, str] = {}  # rounding errors of sums, beside the sums
        self.flag = ""
        self.flagged = False

    def function(self, name: str) -> str:
        """The whole text."""
        w, plan = self.w, self.plan
        self._bind()
        self._start_totals()
        full, rest = divmod(plan.rows, plan.tile)
        w.loop(full, lambda i: self._tile(i, plan.tile))
        if rest:
            self.tile_start = str(full * plan.tile)
            self._stages(rest)
        self._finish_totals()
        status = w.put(f"load i32, ptr {self.flag}") if self.flagged else "0"
        w.do(f"ret i32 {status}")
        start = [f"  store i32 0, ptr {self.flag}"] if self.flagged else []
        lines = [SIGNATURE.format(name=name) + " {", "entry:", *w.first, *start, *w.lines, "}"]
        return "\n".join([*lines, ""])

    # Buffers

    def _bind(self) -> None:
        w = self.w
        for n, buffer in enumerate(self.plan.parameters):
            number = w.put(f"load i64, ptr {w.put(f'getelementptr i64, ptr %slots, i64 {n}')}")
            slot = w.put(f"getelementptr ptr, ptr %frame, i64 {number}")
            self.pointers[buffer] = w.put(f"load ptr, ptr {slot}")
        for buffer, stride in self.plan.local.items():
            share = self.plan.tile if stride else self.plan.rows
            self.pointers[buffer] = self._workspace(buffer.size // self.plan.rows * share, buffer)

    def _workspace(self, count: int, like: Buffer) -> str:
        start = self.work
        self.work = (start + count * like.dtype.itemsize + 63) // 64 * 64
        return self.w.put(f"getelementptr i8, ptr %work, i64 {start}")

    def pointer(self, access: Access) -> Pointer:
        """An access within a tile."""
        stride = self.plan.local.get(access.buffer)
        if not stride or self.plan.tile == self.plan.rows:
            per_row = 0 if access.buffer in self.plan.local else access.strides[0]
            return Pointer(access.buffer, access.offset, per_row, access.strides)
        whole, part = stride * self.plan.rows, stride * self.plan.tile

        def shrunk(step: int) -> int:
            return step // whole * part if step % whole == 0 else step

        offset = access.offset // whole * part + access.offset % whole
        strides = (access.strides[0], *map(shrunk, access.strides[1:]))
        return Pointer(access.buffer, offset, 0, strides)

    def address(self, p: Pointer, at: Coordinates) -> str:
        terms = [str(p.offset)] if p.offset else []
        steps = [
            (p.per_row, self.tile_start),
            *((s, at.get(a, "0")) for a, s in enumerate(p.strides)),
        ]
        for stride, i in steps:
            if stride and i != "0":
                terms.append(i if stride == 1 else self.w.put(f"mul i64 {i}, {stride}"))
        total = terms[0] if terms else "0"
        for term in terms[1:]:
            total = self.w.put(f"add i64 {total}, {term}")
        kind = scalar_type(p.buffer.dtype, stored=True)
        base = self.pointers[p.buffer]
        return (
            base if total == "0" else self.w.put(f"getelementptr {kind}, ptr {base}, i64 {total}")
        )

    # Loading and storing

    def load(self, p: Pointer, at: Coordinates, axis: int, width: int) -> str:
        """The entries at a point and at those after it along the axis."""
        w, dtype = self.w, p.buffer.dtype
        stride = p.strides[axis] if width > 1 else 1
        address = self.address(p, at)
        stored = scalar_type(dtype, stored=True)
        if stride == 0:
            return w.splat(self.load_at(address, dtype, 1), scalar_type(dtype), width)
        if stride == 1:
            return self.load_at(address, dtype, width)
        kind = vector_type(scalar_type(dtype), width)
        value = "poison"
        for n in range(width):
            lane = w.put(f"getelementptr {stored}, ptr {address}, i64 {n * stride}")
            one = self.load_at(lane, dtype, 1)
            value = w.put(f"insertelement {kind} {value}, {scalar_type(dtype)} {one}, i64 {n}")
        return value

    def load_at(self, address: str, dtype: DType, width: int) -> str:
        kind = vector_type(scalar_type(dtype, stored=True), width)
        value = self.w.put(f"load {kind}, ptr {address}, align {dtype.itemsize}")
        if dtype.kind != "b":
            return value
        zero = "0" if width == 1 else "zeroinitializer"
        return self.w.put(f"icmp ne {kind} {value}, {zero}")

    def store(self, p: Pointer, at: Coordinates, axis: int, width: int, value: str) -> None:
        w, dtype = self.w, p.buffer.dtype
        kind = vector_type(scalar_type(dtype, stored=True), width)
        if dtype.kind == "b":
            value = w.put(f"zext {vector_type('i1', width)} {value} to {kind}")
        address = self.address(p, at)
        if width == 1 or p.strides[axis] == 1:
            w.do(f"store {kind} {value}, ptr {address}, align {dtype.itemsize}")
            return
        stored = scalar_type(dtype, stored=True)
        for n in range(width):
            lane = w.put(f"getelementptr {stored}, ptr {address}, i64 {n * p.strides[axis]}")
            one = w.put(f"extractelement {kind} {value}, i64 {n}")
            w.do(f"store {stored} {one}, ptr {lane}, align {dtype.itemsize}")

    def carry(self, op: str, dtype: DType, total: str, lost: str, value: str) -> None:
        """Combine a number with that in memory; a sum's rounding error goes to ``lost``."""
        w, kind = self.w, scalar_type(dtype)
        old, new = self.combine_at(total, op, dtype, value)
        if not lost or op != "add" or dtype.kind != "f":
            return
        mine = w.put(f"fsub {kind} {new}, {old}")  # Knuth's TwoSum
        theirs = w.put(f"fsub {kind} {new}, {mine}")
        error = w.put(
            f"fadd {kind} {w.put(f'fsub {kind} {old}, {theirs}')}, "
            f"{w.put(f'fsub {kind} {value}, {mine}')}"
        )
        sum_ = w.put(f"fadd {kind} {self.load_at(lost, dtype, 1)}, {error}")
        w.do(f"store {kind} {sum_}, ptr {lost}, align {dtype.itemsize}")

    def combine_at(self, place: str, op: str, dtype: DType, value: str) -> tuple[str, str]:
        """Combine a number with that in memory; the old one and the new."""
        old = value if op == "copy" else self.load_at(place, dtype, 1)
        new = value if op == "copy" else self.w.operation(op, [old, value], dtype, 1)
        whole = self.w.put(f"zext i1 {new} to i8") if dtype.kind == "b" else new
        stored = scalar_type(dtype, stored=True)
        self.w.do(f"store {stored} {whole}, ptr {place}, align {dtype.itemsize}")
        return old, new

    def with_lost(self, total: str, lost: str, dtype: DType) -> str:
        """A sum with its rounding error added; that is NaN where the sum is infinite or NaN."""
        kind = scalar_type(dtype)
        both = self.w.put(f"fadd {kind} {total}, {lost}")
        nan = self.w.put(f"fcmp uno {kind} {lost}, {lost}")
        return self.w.select(nan, total, both, dtype, 1)

    def indexed(self, s: Statement, p: Pointer, at: Coordinates, indices: list[str]) -> str:
        """The address of the entry that indices name; those out of range make the kernel fail."""
        w = self.w
        place = self.address(p, at)
        for given, (stride, n) in zip(indices, s.steps):
            below = w.put(f"icmp slt i64 {given}, 0")
            wrapped = w.put(f"add i64 {given}, {n}")
            at_ = w.put(f"select i1 {below}, i64 {wrapped}, i64 {given}")
            if not s.checked:
                outside = w.put(f"icmp uge i64 {at_}, {n}")
                self.fail(outside)
                at_ = w.put(f"select i1 {outside}, i64 0, i64 {at_}")
            kind = scalar_type(p.buffer.dtype, stored=True)
            step = w.put(f"mul i64 {at_}, {stride}")
            place = w.put(f"getelementptr {kind}, ptr {place}, i64 {step}")
        return place

    def is_total(self, s: Statement) -> bool:
        """Whether a reduction runs over all rows, and so over several tiles."""
        return 0 in s.reduced and self.plan.tile < self.plan.rows

    # Sums over all rows start before the first tile, and end after the last

    def _totals(self) -> list[Statement]:
        return [s for stage in self.plan.stages for s in stage.statements if self.is_total(s)]

    def _start_totals(self) -> None:
        for s in self._totals():
            self.fill(s, self.plan.rows)

    def fill(self, s: Statement, rows: int) -> None:
        """Set what a reduction adds to, to what changes nothing."""
        start = 0.0 if s.kind == "contract" else identity_of(s)
        p = self.pointer(s.out)
        sizes = [1 if a in s.reduced else n for a, n in enumerate((rows, *s.space[1:]))]
        self._nest(p, sizes, lambda q, at: self._set(q, at, start))
        if s.kind == "reduce" and s.op == "add" and s.out.buffer.dtype.kind == "f":
            self.lost[s.out.buffer] = self._workspace(s.out.buffer.size, s.out.buffer)
            self._nest(self.lost_at(p), sizes, lambda q, at: self._set(q, at, 0.0))

    def lost_at(self, p: Pointer) -> Pointer:
        """The same place in the rounding errors of a sum."""
        shadow = Buffer(p.buffer.dtype, p.buffer.size)
        self.pointers[shadow] = self.lost[p.buffer]
        return Pointer(shadow, p.offset, p.per_row, p.strides)

    def _set(self, p: Pointer, at: Coordinates, value: Any) -> None:
        self.store(p, at, 0, 1, self.w.constant(value, p.buffer.dtype, 1))

    def _nest(
        self, p: Pointer, sizes: Sequence[int], body: Callable[[Pointer, Coordinates], None]
    ) -> None:
        """``body`` at each point of a space."""

        def level(axis: int, at: Coordinates) -> None:
            if axis == len(sizes):
                body(p, at)
            else:
                self.w.loop(sizes[axis], lambda i: level(axis + 1, {**at, axis: i}))

        level(0, {})

    def _finish_totals(self) -> None:
        for s in self._totals():
            self.finish(s, self.plan.rows)

    def finish(self, s: Statement, rows: int) -> None:
        """Add to a sum what its rounding lost."""
        if s.out.buffer not in self.lost or s.kind != "reduce":
            return
        p, dtype = self.pointer(s.out), s.out.buffer.dtype
        sizes = [1 if a in s.reduced else n for a, n in enumerate((rows, *s.space[1:]))]

        def add(q: Pointer, at: Coordinates) -> None:
            total, lost = (self.load(x, at, 0, 1) for x in (q, self.lost_at(q)))
            self.store(q, at, 0, 1, self.with_lost(total, lost, dtype))

        self._nest(p, sizes, add)

    # Tiles and stages

    def _tile(self, i: str, rows: int) -> None:
        self.tile_start = "0" if i == "0" else self.w.put(f"mul i64 {i}, {rows}")
        self._stages(rows)

    def _stages(self, rows: int) -> None:
        for stage in self.plan.stages:
            self.values = {}
            self.write_stage(self, stage, rows)

    def fail(self, condition: str) -> None:
        """Have the function return 1 where the condition, a bit, holds."""
        if not self.flagged:
            self.flagged = True
            self.flag = self.w.stack("i32")
        whole = self.w.put(f"zext i1 {condition} to i32")
        old = self.w.put(f"load i32, ptr {self.flag}")
        self.w.do(f"store i32 {self.w.put(f'or i32 {old}, {whole}')}, ptr {self.flag}")


def identity_of(s: Statement) -> Any:
    """What changes nothing when it is combined."""
    dtype = s.out.buffer.dtype
    if s.op in ("maximum", "minimum") and dtype.kind != "f":
        if dtype.kind == "b":
            return s.op == "minimum"
        limits = np.iinfo(dtype)
        return limits.min if s.op == "maximum" else limits.max
    return IDENTITY[s.op]
