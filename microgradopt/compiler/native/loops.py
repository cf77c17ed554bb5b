"""What a native program is made of: buffers, places in them, and statements over index spaces.

A statement says what happens at every point of its space, such as ``out[i, j] = x[i, j] + b[j]``.
An access says where in its buffer the entry of a point lies: ``offset + Σ stride · index``, counted
in entries. A transposed, sliced or broadcast array is thus another access to the same buffer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine.graph import Array

DType: TypeAlias = "np.dtype[Any]"


NATIVE = frozenset(np.dtype(c) for c in "?bhilqBHILQfd")


def is_native(dtype: DType) -> bool:
    """Whether kernels compute with numbers of this dtype."""
    return dtype in NATIVE


class Buffer:
    """Entries of one dtype in a row.

    ``role`` says who owns the memory: an "entry" or "result" is the caller's, a "constant" belongs
    to the program, a "temporary" lies in the arena, if anywhere.
    """

    __slots__ = ("dtype", "name", "role", "size", "value")

    def __init__(
        self, dtype: DType, size: int, role: str = "temporary", name: str = "", value: Any = None
    ) -> None:
        self.dtype = dtype
        self.size = size
        self.role = role
        self.name = name
        self.value = value  # of a constant

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return self.size * self.dtype.itemsize


_grounds = [np.empty(0, np.int8)]


def _ground(nbytes: int) -> Array:
    """Memory that nobody reads or writes, for ghosts to stand on; all share it."""
    if len(_grounds[0]) < nbytes:
        _grounds[0] = np.empty(nbytes, np.int8)
    return _grounds[0][:nbytes]


class Place:
    """Where an array lies: a buffer, and a ghost, an array of bytes with one byte per entry.

    What NumPy makes of the ghost, be it a slice or a transpose, is what it would make of the
    array. A ghost's memory is never touched.
    """

    __slots__ = ("_start", "buffer", "ghost")

    def __init__(self, buffer: Buffer, ghost: Array, start: int) -> None:
        self.buffer = buffer
        self.ghost = ghost
        self._start = start

    @classmethod
    def of(cls, buffer: Buffer, shape: tuple[int, ...], order: tuple[int, ...] = ()) -> Place:
        """The whole of a buffer; ``order`` lists the axes from the outermost to the innermost."""
        order = order or tuple(range(len(shape)))
        lengths = [shape[a] for a in order]
        root = _ground(math.prod(lengths)).reshape(lengths)
        return cls(buffer, root.transpose(np.argsort(order)), root.ctypes.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        shape: tuple[int, ...] = self.ghost.shape
        return shape

    @property
    def dtype(self) -> DType:
        """The array's dtype."""
        return self.buffer.dtype

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of an array that lies so, in bytes."""
        return tuple(s * self.dtype.itemsize for s in self.ghost.strides)

    def seen_as(self, view: Array) -> Place:
        """Another view of the same buffer, given that of the ghost."""
        return Place(self.buffer, view, self._start)

    def access(self, space: tuple[int, ...] | None = None) -> Access:
        """The access to it, broadcast to a space."""
        view = self.ghost if space is None else np.broadcast_to(self.ghost, space)
        return self.along(view)

    def along(self, view: Array) -> Access:
        """The access that a view of the ghost makes; axes of length 1 have no stride."""
        strides = tuple(0 if n == 1 else s for n, s in zip(view.shape, view.strides))
        offset = view.ctypes.data - self._start if view.size else 0
        return Access(self.buffer, offset, strides)


@dataclass(frozen=True, eq=False)
class Access:
    """The entries of a buffer that the points of a space read or write."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Number:
    """A literal."""

    value: float | int | bool


Input: TypeAlias = "Access | Number"


@dataclass(eq=False)
class Statement:
    """``out = op(*inputs)`` at every point of ``space``, computed in ``loop``'s dtypes.

    ``kind`` is

    ``map``       one operation of the machine, such as "add"
    ``gather``    ``out = source[... + Σ step·index]``: the source's access, then indices
    ``reduce``    ``out`` combined with the input by "add", "maximum" …; reduced axes have no stride
    ``contract``  ``out += a · b``: a product of matrices with a short axis
    ``matmul``    a product of other matrices, or of stacks of them
    ``scatter``   ``out[... + Σ step·index]`` set to the first input, or that added to it
    ``guard``     the kernel fails where the input is ``op``: "true" or "false"
    ``library``   NumPy's own loop of the ufunc ``op``, called on stretches of the innermost axis
    """

    kind: str
    op: str
    space: tuple[int, ...]
    inputs: tuple[Input, ...]
    out: Access
    loop: tuple[DType, ...]
    steps: tuple[tuple[int, int], ...] = ()  # of a gather: (stride, length) per index
    checked: bool = False  # of a gather: whether its indices are known to be in range
    reduced: tuple[int, ...] = ()  # the axes of the space that a reduction runs over
    extras: tuple[Buffer, ...] = ()  # of a library call: the addresses of the loop and its data
    number: int = field(default=-1)  # that of its instruction in the program

    @property
    def may_fail(self) -> bool:
        """Whether its kernel may stop the run."""
        return self.kind == "guard" or (self.kind in ("gather", "scatter") and not self.checked)

    @cached_property
    def _sources(self) -> tuple[Buffer, ...]:
        return tuple(x.buffer for x in self.inputs if isinstance(x, Access))

    def reads(self) -> tuple[Buffer, ...]:
        """The buffers it reads."""
        return self._sources
