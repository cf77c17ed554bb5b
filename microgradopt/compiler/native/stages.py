"""A kernel's stages: loop nests that run one after the other within a tile of rows.

Statements over the same space share a nest, and hand numbers on in registers. A statement that
needs more of another's results than the entry at its own point comes in a later stage; what is
handed from stage to stage lies in a buffer the size of a tile, which stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from microgradopt.compiler.native.fuse import Kernel
from microgradopt.compiler.native.loops import Access, Buffer, Number, Statement

TILE_BYTES = 24 * 1024  # what the buffers of a tile may take, about half of a level-1 cache
IN_REGISTERS = ("map", "gather", "guard")


@dataclass(eq=False)
class Stage:
    """Statements in one nest of loops: over the rows of a tile, then over the other axes."""

    kind: str  # "loop", or the kind of its only statement
    space: tuple[int, ...]  # with all the rows
    statements: list[Statement] = field(default_factory=list)


@dataclass(eq=False)
class Plan:
    """A kernel as it is compiled.

    Attributes:
        tile: how many rows are taken at a time.
        parameters: the buffers that the caller gives, in the order of the kernel's arguments.
        local: buffers of the size of a tile, with the stride of their rows.
        kept: those that are in registers only.
    """

    rows: int
    tile: int
    stages: list[Stage]
    parameters: list[Buffer]
    local: dict[Buffer, int]
    kept: set[Buffer]


def planned(kernel: Kernel, outside: set[Buffer]) -> Plan:
    """Stages and buffers of a kernel, given the buffers that others read."""
    rows = kernel.reading.rows
    statements = [_rows_first(s, axis) for s, axis in zip(kernel.statements, kernel.reading.axes)]
    stages = _stages(statements)
    inner = {b for b in kernel.written() if b not in outside and b.role == "temporary"}
    crossing = {b for b in inner if len(set(_stages_touching(stages, b))) > 1}
    crossing |= {s.out.buffer for s in statements if s.kind not in IN_REGISTERS} & inner
    touched = [b for s in statements for b in (*s.reads(), s.out.buffer, *s.extras)]
    buffers = list(dict.fromkeys(touched))  # in an order that is the same in every process
    strides = kernel.reading.strides
    local = {b: strides[b] for b in buffers if b in crossing and b in strides}
    wide = {b for b in kernel.reading.strides if len(set(_stages_touching(stages, b))) > 1}
    tile = _tile(rows, sum(b.nbytes for b in wide))
    kept = inner - crossing
    parameters = [b for b in buffers if b not in local and b not in kept]
    return Plan(rows, tile, stages, parameters, local, kept)


def _tile(rows: int, nbytes: int) -> int:
    """How many rows make a tile, given what all take: a divisor where there is a good one."""
    most = max(1, min(rows, TILE_BYTES * rows // max(nbytes, 1)))
    for n in range(most, most // 2, -1):
        if rows % n == 0:
            return n
    return most


def _rows_first(s: Statement, axis: int | None) -> Statement:
    """The statement with the axis of rows in front, and without axes of length 1."""
    rest = [a for a, n in enumerate(s.space) if a != axis and (n != 1 or s.kind == "matmul")]

    def moved(access: Access) -> Access:
        first = 0 if axis is None else access.strides[axis]
        return Access(access.buffer, access.offset, (first, *(access.strides[a] for a in rest)))

    return replace(
        s,
        space=(1 if axis is None else s.space[axis], *(s.space[a] for a in rest)),
        inputs=tuple(x if isinstance(x, Number) else moved(x) for x in s.inputs),
        out=moved(s.out),
        reduced=tuple(n for n, a in enumerate((axis, *rest)) if a in s.reduced),
    )


def _stages(statements: Sequence[Statement]) -> list[Stage]:
    stages: list[Stage] = []
    writers: dict[Buffer, list[tuple[int, Statement]]] = {}
    for s in statements:
        at = max((_after(n, w, s) for n, w in _needed(writers, s)), default=0)
        at = _place(stages, at, s)
        stages[at].statements.append(s)
        writers.setdefault(s.out.buffer, []).append((at, s))
    return stages


def _needed(
    writers: dict[Buffer, list[tuple[int, Statement]]], s: Statement
) -> Iterator[tuple[int, Statement]]:
    for buffer in dict.fromkeys((*s.reads(), s.out.buffer)):
        yield from writers.get(buffer, ())


def _after(stage: int, writer: Statement, s: Statement) -> int:
    """The first stage in which a statement may follow a writer of what it needs."""
    if s.out.buffer is writer.out.buffer:
        return stage + 1
    if writer.kind not in IN_REGISTERS or s.kind not in (*IN_REGISTERS, "reduce"):
        return stage + 1
    readings = [x for x in s.inputs if isinstance(x, Access) and x.buffer is writer.out.buffer]
    if s.kind == "gather" and s.inputs[0] in readings:
        return stage + 1
    same = s.space == writer.space and all(_same(x, writer.out) for x in readings)
    return stage if same else stage + 1


def _same(a: Access, b: Access) -> bool:
    return a.offset == b.offset and a.strides == b.strides


def _place(stages: list[Stage], at: int, s: Statement) -> int:
    """The first stage from ``at`` on that the statement fits into, or a new one."""
    kind = "loop" if s.kind in (*IN_REGISTERS, "reduce") else s.kind
    if kind == "loop":
        for n in range(at, len(stages)):
            if stages[n].kind == "loop" and stages[n].space == s.space:
                return n
    stages.append(Stage(kind, s.space))
    return len(stages) - 1


def _stages_touching(stages: list[Stage], buffer: Buffer) -> Iterator[int]:
    for n, stage in enumerate(stages):
        for s in stage.statements:
            if buffer is s.out.buffer or buffer in s.reads():
                yield n
