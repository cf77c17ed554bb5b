"""Products of large matrices, by NumPy's own loop: it finds what BLAS is to be asked."""

from __future__ import annotations

from collections.abc import Sequence

from microgradopt.compiler.native.emit import Coordinates, Emitter
from microgradopt.compiler.native.loops import Access, Statement


def write_matmul(e: Emitter, s: Statement, rows: int) -> None:
    """One call for each product of a stack."""
    w = e.w
    sizes = [rows, *s.space[1:]]
    a, b = (e.pointer(x) for x in s.inputs if isinstance(x, Access))
    c = e.pointer(s.out)
    axes = range(len(sizes))
    i, j, k = axes[-3:]
    size = s.loop[0].itemsize
    sizes_memory, steps = w.stack("i64", 4), w.stack("i64", 9)
    _fill(e, sizes_memory, [1, sizes[i], sizes[k], sizes[j]])
    inner = [a.strides[i], a.strides[k], b.strides[k], b.strides[j], c.strides[i], c.strides[j]]
    _fill(e, steps, [0, 0, 0, *(size * x for x in inner)])
    addresses = w.stack("ptr", 3)
    function, data = (e.pointers[x] for x in s.extras)

    def call(at: Coordinates) -> None:
        for n, p in enumerate((a, b, c)):
            slot = w.put(f"getelementptr ptr, ptr {addresses}, i64 {n}")
            w.do(f"store ptr {e.address(p, at)}, ptr {slot}")
        w.do(f"call void {function}(ptr {addresses}, ptr {sizes_memory}, ptr {steps}, ptr {data})")

    def around(left: Sequence[int], at: Coordinates) -> None:
        if not left:
            call(at)
            return
        w.loop(sizes[left[0]], lambda n: around(left[1:], {**at, left[0]: n}))

    around(axes[:-3], {})


def _fill(e: Emitter, memory: str, numbers: Sequence[int]) -> None:
    for n, number in enumerate(numbers):
        e.w.do(f"store i64 {number}, ptr {e.w.put(f'getelementptr i64, ptr {memory}, i64 {n}')}")
