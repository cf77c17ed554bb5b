"""Who may overwrite what: results in the arrays of entries, when nothing can stop the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from microgradopt.compiler.native.loops import Access, Buffer, Place, Statement
from microgradopt.compiler.native.stages import Plan

Spot = tuple[int, int, Statement]  # the numbers of a step and of a stage in it, and the statement


def in_place(
    wanted: Mapping[int, int],
    entries: Sequence[Place | None],
    results: Sequence[Buffer | None],
    plans: Mapping[int, Plan],
) -> dict[int, int]:
    """Those of the wanted pairs, a result and an entry, where the one may overwrite the other."""
    spots = list(_spots(plans))
    found: dict[int, int] = {}
    for result, entry in wanted.items():
        old, new = entries[entry], results[result]
        if old is None or new is None or entry in found.values():
            continue
        whole = Place.of(new, old.shape).access()
        same = old.dtype == new.dtype and old.buffer.size == new.size
        if same and _alike(old.access(), whole) and _is_safe(old.buffer, new, spots):
            found[result] = entry
    return found


def _spots(plans: Mapping[int, Plan]) -> Iterator[Spot]:
    for n, plan in plans.items():
        for m, stage in enumerate(plan.stages):
            yield from ((n, m, s) for s in stage.statements)


def _is_safe(
    old: Buffer,
    new: Buffer,
    spots: Sequence[Spot],
) -> bool:
    """Whether nothing of the old is read once something of the new is written.

    Calls of Python read nothing then: results are written after the last of them.
    """
    writers = [spot for spot in spots if spot[2].out.buffer is new]
    if len(writers) != 1 or writers[0][2].kind not in ("map", "gather", "library"):
        return False
    at, stage, writer = writers[0]
    for n, m, s in spots:
        if old not in s.reads() or n < at:
            continue
        readings = [x for x in s.inputs if isinstance(x, Access) and x.buffer is old]
        alike = s.space == writer.space and all(_alike(x, writer.out) for x in readings)
        same_nest = (n, m) == (at, stage) and s.kind in ("map", "reduce", "library") and alike
        before = n == at and m < stage and alike
        if not (same_nest or before):
            return False
    return True


def _alike(a: Access, b: Access) -> bool:
    return a.offset == b.offset and a.strides == b.strides
