"""A kernel as text: every kind of stage has its writer."""

from __future__ import annotations

from collections.abc import Sequence

from microgradopt.compiler.native.blas import write_matmul
from microgradopt.compiler.native.emit import Coordinates, Emitter
from microgradopt.compiler.native.llvm import scalar_type
from microgradopt.compiler.native.loops import Access, DType, Number, Statement
from microgradopt.compiler.native.nests import Nest
from microgradopt.compiler.native.products import Contraction
from microgradopt.compiler.native.stages import Plan, Stage


def kernel_text(plan: Plan, name: str, vector: int) -> tuple[str, list[str], int]:
    """A kernel in LLVM's language, what it declares, and the bytes of workspace it needs."""
    e = Emitter(plan, vector, write_stage)
    return e.function(name), list(e.w.declared), e.work


def write_stage(e: Emitter, stage: Stage, rows: int) -> None:
    """The loops of one stage for a tile of so many rows."""
    if stage.kind == "loop":
        Nest(e, stage, rows).write()
    elif stage.kind == "contract":
        Contraction(e, stage.statements[0], rows).write()
    elif stage.kind == "library":
        _library(e, stage.statements[0], rows)
    elif stage.kind == "matmul":
        write_matmul(e, stage.statements[0], rows)
    else:
        _scatter(e, stage.statements[0])


def _library(e: Emitter, s: Statement, rows: int) -> None:
    """NumPy's loop, called on the longest stretches that all operands lie evenly along."""
    w = e.w
    sizes = [rows, *s.space[1:]]
    accesses = [*s.inputs, s.out]
    pointers = [e.pointer(x) if isinstance(x, Access) else None for x in accesses]
    strides = [list(p.strides) if p else [0] * len(sizes) for p in pointers]
    axes = _merged(sizes, strides)
    axis = max(axes, key=lambda a: sizes[a])
    constants = {
        n: _on_stack(e, x, d)
        for n, (x, d) in enumerate(zip(s.inputs, s.loop))
        if isinstance(x, Number)
    }
    kinds = len(accesses)
    addresses, count, steps = w.stack("ptr", kinds), w.stack("i64"), w.stack("i64", kinds)
    w.do(f"store i64 {sizes[axis]}, ptr {count}")
    for n, (way, dtype) in enumerate(zip(strides, s.loop)):
        slot = w.put(f"getelementptr i64, ptr {steps}, i64 {n}")
        w.do(f"store i64 {way[axis] * dtype.itemsize}, ptr {slot}")
    function, data = (e.pointers[b] for b in s.extras)

    def call(at: Coordinates) -> None:
        for n, p in enumerate(pointers):
            address = constants[n] if p is None else e.address(p, at)
            w.do(
                f"store ptr {address}, ptr {w.put(f'getelementptr ptr, ptr {addresses}, i64 {n}')}"
            )
        w.do(f"call void {function}(ptr {addresses}, ptr {count}, ptr {steps}, ptr {data})")

    def around(left: Sequence[int], at: Coordinates) -> None:
        if not left:
            call(at)
            return
        w.loop(sizes[left[0]], lambda i: around(left[1:], {**at, left[0]: i}))

    around([a for a in axes if a != axis], {})


def _merged(sizes: list[int], strides: list[list[int]]) -> list[int]:
    """The axes that are left when each that continues the next one is made one with it."""
    left = list(range(len(sizes)))
    for a in reversed(range(len(sizes) - 1)):
        b = left[left.index(a) + 1]
        if all(way[a] == sizes[b] * way[b] for way in strides):
            left.remove(a)
            sizes[b] *= sizes[a]
    return left


def _on_stack(e: Emitter, number: Number, dtype: DType) -> str:
    kind = scalar_type(dtype, stored=True)
    memory = e.w.stack(kind)
    value = e.w.constant(number.value, dtype, 1)
    if dtype.kind == "b":
        value = str(int(bool(number.value)))
    e.w.do(f"store {kind} {value}, ptr {memory}")
    return memory


def _scatter(e: Emitter, s: Statement) -> None:
    """One entry after the other, in order: a place may be named repeatedly."""
    w, dtype = e.w, s.loop[0]
    pointers = [e.pointer(x) if isinstance(x, Access) else None for x in s.inputs]
    target = e.pointer(s.out)

    def read(n: int, wanted: DType, at: Coordinates) -> str:
        x, p = s.inputs[n], pointers[n]
        if p is None:
            assert isinstance(x, Number)
            return w.constant(x.value, wanted, 1)
        return w.cast(e.load(p, at, 0, 1), p.buffer.dtype, wanted, 1)

    def around(axis: int, at: Coordinates) -> None:
        if axis < len(s.space):
            w.loop(s.space[axis], lambda i: around(axis + 1, {**at, axis: i}))
            return
        value = read(0, dtype, at)
        indices = [read(n + 1, e.whole, at) for n in range(len(s.steps))]
        place = e.indexed(s, target, at, indices)
        e.combine_at(place, s.op, dtype, value)

    around(0, {})
