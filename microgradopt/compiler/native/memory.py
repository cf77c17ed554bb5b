"""Memory of a native program: one block for all temporaries, planned by who is alive when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from microgradopt.compiler.layout import ALIGNMENT
from microgradopt.compiler.native.fuse import Kernel
from microgradopt.compiler.native.loops import Buffer, Place
from microgradopt.compiler.native.stages import Plan
from microgradopt.compiler.program import Var
from microgradopt.engine.graph import Array

Lifetimes = dict[Buffer, tuple[int, int]]


def lifetimes(
    steps: Sequence[Any],
    plans: Mapping[int, Plan],
    places: Mapping[Var, Place],
    asked: Mapping[Buffer, set[int]],
) -> Lifetimes:
    """The first and last step that touches each buffer; for those among results, the very last."""
    found: Lifetimes = {}

    def touch(b: Buffer, n: int) -> None:
        first, last = found.get(b, (n, n))
        found[b] = (min(first, n), max(last, n))

    for n, step in enumerate(steps):
        if isinstance(step, Kernel):
            buffers = plans[n].parameters
        else:
            buffers = [places[v].buffer for v in step.outs if v in places]
        for b in buffers:
            touch(b, n)
    for b, users in asked.items():
        for n in users:
            touch(b, n if n >= 0 else len(steps))
    return found


def offsets(buffers: Sequence[Buffer], alive: Lifetimes) -> tuple[dict[Buffer, int], int]:
    """Where each buffer lies, so that no two that are alive together overlap; and the size of all.

    The largest are placed first, each at the lowest offset that is free while it lives.
    """
    placed: list[tuple[int, int, Buffer]] = []
    for b in sorted(buffers, key=lambda b: -b.nbytes):
        start = 0
        mine = alive.get(b)
        size = -(-max(b.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        for low, high, other in sorted(placed, key=lambda p: p[0]):
            if start + size > low and start < high and _together(mine, alive.get(other)):
                start = high
        placed.append((start, start + size, b))
    return {b: low for low, _, b in placed}, max((high for _, high, _ in placed), default=0)


def _together(a: tuple[int, int] | None, b: tuple[int, int] | None) -> bool:
    return a is None or b is None or (a[0] <= b[1] and b[0] <= a[1])


class Arena:
    """The memory of one run at a time: temporaries, workspace, and the frame of addresses."""

    def __init__(
        self, slots: Mapping[Buffer, int], places: Mapping[Buffer, int], size: int, work: int
    ) -> None:
        self.memory = np.empty(size + work + 2 * ALIGNMENT, np.uint8)
        start = -(-self.memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.work = -(-(start + size) // ALIGNMENT) * ALIGNMENT
        self.frame = np.zeros(len(slots) + 1, np.uintp)
        self.views: dict[Place, Array] = {}
        self.frame_address = self.frame.ctypes.data
        for buffer, slot in slots.items():
            if buffer.role == "temporary":
                self.frame[slot] = start + places[buffer]
            elif buffer.role == "constant":
                self.frame[slot] = buffer.value.ctypes.data
            elif buffer.role == "address":
                self.frame[slot] = buffer.value


class _Address:
    """What NumPy makes an array of that lies at an address."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def array_at(address: int, place: Place) -> Array:
    """The array of a place in a buffer at an address."""
    access = place.access()
    size = place.dtype.itemsize
    return np.asarray(
        _Address(
            {
                "version": 3,
                "data": (address + access.offset * size, False),
                "shape": place.shape,
                "strides": tuple(s * size for s in access.strides),
                "typestr": place.dtype.str,
            }
        )
    )
