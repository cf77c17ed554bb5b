"""Products of matrices with a short axis: sums of products kept in registers, a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from microgradopt.compiler.native.emit import Coordinates, Emitter, lanes_of, pieces
from microgradopt.compiler.native.llvm import scalar_type, vector_type
from microgradopt.compiler.native.loops import Access, Statement
from microgradopt.compiler.native.nests import STRIDED, across, pieces_of

REGISTERS = 12  # of vectors that hold sums; the operands need some, too
SHORT = 8  # an axis up to this long is written out in full


class Contraction:
    """The nest of ``out += a · b``, summed over one axis at most."""

    def __init__(self, e: Emitter, s: Statement, rows: int) -> None:
        self.e = e
        self.w = e.w
        self.s = s
        self.dtype = s.out.buffer.dtype
        self.sizes = [rows, *s.space[1:]]
        self.operands = [e.pointer(x) for x in s.inputs if isinstance(x, Access)]
        self.out = e.pointer(s.out)
        self.summed = s.reduced[0] if s.reduced else None
        self.axis = self._vector_axis()
        self.others = [a for a in range(len(self.sizes)) if a not in (self.axis, self.summed)]
        self.unroll = self._unrolled()
        block = 1
        for n in self.unroll.values():
            block *= n
        self.width = lanes_of(e.vector, [self.dtype]) * min(4, _power_of_2(REGISTERS // block))
        while self.width > self.sizes[self.axis] > 0 and self.width > 1:
            self.width //= 2

    def _vector_axis(self) -> int:
        def cost(a: int) -> float:
            touched = self.operands if a == self.summed else [*self.operands, self.out]
            strided = sum(p.strides[a] not in (0, 1) for p in touched)
            return (1 + STRIDED * strided) * (1 + 8 / self.sizes[a]) + (a == self.summed)

        return min(reversed(range(len(self.sizes))), key=cost)

    def _unrolled(self) -> dict[int, int]:
        """How many steps of each axis are taken at once, so that what is loaded is used again."""
        found, left = dict.fromkeys(self.others, 1), REGISTERS
        for a in sorted(self.others, key=lambda a: self.sizes[a]):
            n = self.sizes[a]
            found[a] = n if n <= min(SHORT, left) else min(4, left)
            left //= found[a]
        return found

    def write(self) -> None:
        """All of it."""
        self._blocks(self.others, {}, {})

    def _blocks(self, axes: Sequence[int], at: Coordinates, ahead: dict[int, list[str]]) -> None:
        """Loops over blocks of the axes; ``ahead`` lists the places of a block along each."""
        if not axes:
            self._block(ahead)
            return
        a, w = axes[0], self.w
        for start, count, each in pieces_of(self.sizes[a], self.unroll[a]):

            def block(i: str, start: int = start, each: int = each) -> None:
                first = w.put(f"mul i64 {i}, {each}") if i != "0" else "0"
                places = [
                    str(start + n) if first == "0" else w.put(f"add i64 {first}, {start + n}")
                    for n in range(each)
                ]
                self._blocks(axes[1:], at, {**ahead, a: places})

            w.loop(count, block)

    def _block(self, ahead: dict[int, list[str]]) -> None:
        points = [dict(zip(ahead, places)) for places in product(*ahead.values())]
        if self.axis == self.summed:
            self._dot_products(points)
            return
        for start, count, width in pieces(self.sizes[self.axis], self.width):

            def vector(i: str, start: int = start, width: int = width) -> None:
                sums = [self._accumulator(width) for _ in points]
                here = {self.axis: self._along(i, start, width)}
                self._terms(points, sums, here, width)
                for point, memory in zip(points, sums):
                    self._finish({**point, **here}, self._read(memory, width), width)

            self.w.loop(count, vector)

    def _terms(
        self, points: list[Coordinates], sums: list[str], here: Coordinates, width: int
    ) -> None:
        """Add up all products of a block."""
        k = self.summed
        if k is None:
            self._multiply(points, sums, here, width)
        else:
            self.w.loop(
                self.sizes[k], lambda n: self._multiply(points, sums, {**here, k: n}, width)
            )

    def _dot_products(self, points: list[Coordinates]) -> None:
        """The vectors run along the axis that is summed."""
        sums = [self._accumulator(self.width) for _ in points]
        for start, count, width in pieces(self.sizes[self.axis], self.width):

            def vector(i: str, start: int = start, width: int = width) -> None:
                self._multiply(points, sums, {self.axis: self._along(i, start, width)}, width)

            self.w.loop(count, vector)
        for point, memory in zip(points, sums):
            value = across(self.e, "add", self._read(memory, self.width), self.dtype, self.width)
            self._finish(point, value, 1)

    def _along(self, i: str, start: int, width: int) -> str:
        if i == "0":
            return str(start)
        return self.w.put(f"add i64 {self.w.put(f'mul i64 {i}, {width}')}, {start}")

    def _accumulator(self, width: int) -> str:
        memory = self.w.stack(vector_type(scalar_type(self.dtype), width))
        zero = self.w.constant(0.0, self.dtype, width)
        self.w.do(f"store {vector_type(scalar_type(self.dtype), width)} {zero}, ptr {memory}")
        return memory

    def _read(self, memory: str, width: int) -> str:
        return self.w.put(f"load {vector_type(scalar_type(self.dtype), width)}, ptr {memory}")

    def _multiply(
        self, points: list[Coordinates], sums: list[str], here: Coordinates, width: int
    ) -> None:
        """Add the products at one place of the loops to the sums of all points of the block."""
        w, loaded = self.w, {}
        for point, memory in zip(points, sums):
            at = {**point, **here}
            factors = []
            for n, p in enumerate(self.operands):
                key = (n, *(at.get(a, "0") for a, s in enumerate(p.strides) if s))
                if key not in loaded:
                    loaded[key] = self.e.load(p, at, self.axis, width)
                factors.append(loaded[key])
            kind = vector_type(scalar_type(self.dtype), width)
            term = w.put(f"fmul contract {kind} {factors[0]}, {factors[1]}")
            whole = self.width if self.axis == self.summed else width
            all_ = vector_type(scalar_type(self.dtype), whole)
            old = self._read(memory, whole)
            part = old if width == whole else w.lanes(old, all_, 0, width, whole)
            new = w.put(f"fadd contract {kind} {part}, {term}")
            if width != whole:
                new = w.blend(new, old, scalar_type(self.dtype), width, whole)
            w.do(f"store {all_} {new}, ptr {memory}")

    def _finish(self, at: Coordinates, value: str, width: int) -> None:
        if self.e.is_total(self.s):
            old = self.e.load(self.out, at, self.axis, width)
            kind = vector_type(scalar_type(self.dtype), width)
            value = self.w.put(f"fadd {kind} {old}, {value}")
        self.e.store(self.out, at, self.axis, width, value)


def _power_of_2(n: int) -> int:
    return 1 << max(0, n.bit_length() - 1)
