"""Views, which cost nothing; picking entries by index, joining, putting and scattering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from microgradopt.arguments import is_integer
from microgradopt.compiler.native.building import OF_PYTHON, Building, NotNative, memory_order
from microgradopt.compiler.native.loops import Buffer, Input, Number, Place
from microgradopt.compiler.program import Call, Instruction, Var, variables
from microgradopt.engine.graph import Array
from microgradopt.engine.ops.shapes import concatenate_row

FLATTENING = ("ravel", "reshape", "flatten")
BY_LAYOUT = ("K", "A")  # orders of axes that depend on how an array lies in memory


def view(b: Building, i: Instruction) -> None:
    if any(variables((i.operands[1:], i.params))):
        raise NotNative
    order, place = order_of(i), b.place(i.operands[0])
    axes = tuple(range(len(place.shape)))
    if order in BY_LAYOUT:
        axes = memory_order(i.operands[0])
        if len(axes) != len(place.shape):
            raise NotNative
        place = _in_memory_order(b, place, axes)
    view = _seen_of(place, i)
    if view is None:
        place = _in_memory_order(b, place, axes[::-1] if order == "F" else axes)
        view = _seen_of(place, i)
    if view is None:
        raise NotNative
    b.alias(i.outs[0], place.seen_as(view))


def _in_memory_order(b: Building, place: Place, axes: tuple[int, ...]) -> Place:
    """The same entries with their axes in this order in memory, without gaps."""
    whole = Place.of(Buffer(place.dtype, place.ghost.size), place.shape, axes)
    if place.ghost.strides == whole.ghost.strides:
        return place
    b.convert(place, whole)
    return whole


def _seen_of(place: Place, i: Instruction) -> Array | None:
    """What an instruction makes of a ghost; None where it is no view of it."""
    view: Array = i.op.compute((place.ghost, *i.operands[1:]), i.params)
    return view if not view.size or np.may_share_memory(view, place.ghost) else None


def order_of(i: Instruction) -> str:
    """The order of axes that a call of NumPy is given."""
    given = (i.params.get("order"), *i.operands[1:])
    return next((x.upper() for x in given if isinstance(x, str)), "C")


def in_traced_layout(i: Instruction) -> Instruction:
    """An instruction for Python to run, whose operand lies in memory as the traced one did.

    Temporaries need not lie so, and what an order of "K" or "A" means depends on it.
    """
    if not (isinstance(i.op, Call) and i.op.name in FLATTENING and order_of(i) in BY_LAYOUT):
        return i
    function, strides = i.op.function, next(i.reads()).strides

    def called(*args: Any, a: Any = None, **options: Any) -> Any:
        x, *others = args or (a,)
        return function(_laid_out(x, strides), *others, **options)

    return replace(i, op=Call(i.op.name, called))


def _laid_out(x: Array, strides: tuple[int, ...]) -> Array:
    """A copy with these strides, which may leave gaps, run backwards, or stand still."""
    spans = [s * max(n - 1, 0) for n, s in zip(x.shape, strides)]
    first = -sum(span for span in spans if span < 0)
    memory = np.empty(first + sum(span for span in spans if span > 0) + x.itemsize, np.uint8)
    copy: Array = np.ndarray(x.shape, x.dtype, memory, first, strides)
    copy[...] = x
    return copy


def index(b: Building, i: Instruction) -> None:
    place = b.place(i.operands[0])
    parts = _parts(i.params["key"], len(place.shape))
    if all(_is_basic(p) for p in parts):
        b.alias(i.outs[0], place.seen_as(place.ghost[(*parts, ...)]))
        return
    found = _indices(b, place, parts)
    out = b.out(i.outs[0])
    view, indices, steps, checked = _advanced(place, parts, found, out.shape)
    b.emit("gather", "gather", out.shape, [place.along(view), *indices], out.access(),
              (place.dtype,), steps=steps, checked=checked)  # fmt: skip


def _parts(key: Any, ndim: int) -> tuple[Any, ...]:
    """The parts of a key; whole axes in the place of an ellipsis."""
    parts = key if isinstance(key, tuple) else (key,)
    whole = (slice(None),) * (ndim - sum(p is not None and p is not Ellipsis for p in parts))
    return tuple(q for p in parts for q in (whole if p is Ellipsis else (p,)))


def _indices(b: Building, place: Place, parts: Sequence[Any]) -> dict[int, Place]:
    """The arrays in a key, by the axis that they index."""
    if any(p is None or (isinstance(p, slice) and not _is_basic(p)) for p in parts):
        raise NotNative
    found = {a: _index_place(b, p) for a, p in enumerate(parts) if not isinstance(p, slice)}
    apart = max(found) - min(found) >= len(found)  # NumPy puts their axes in front then
    if apart or 0 in place.shape:
        raise NotNative
    return found


def _advanced(
    place: Place, parts: Sequence[Any], at: Mapping[int, Place], shape: tuple[int, ...]
) -> Any:
    """Indexing with arrays: the access without them, theirs, their strides and lengths."""
    arrays, found = list(at), list(at.values())
    together = np.broadcast_shapes(*(f.shape for f in found))
    ghost = place.ghost[tuple(slice(0, 1) if a in arrays else p for a, p in enumerate(parts))]
    before, after = arrays[0], len(shape) - arrays[0] - len(together)
    plain = [s for a, s in enumerate(ghost.shape) if a not in arrays]
    view = ghost.reshape((*plain[:before], *(1,) * len(together), *plain[before:]))
    spread = tuple(None for _ in range(after))
    accesses = [
        f.along(np.broadcast_to(np.broadcast_to(f.ghost, together)[(..., *spread)], shape))
        for f in found
    ]
    steps = tuple((place.ghost.strides[a], place.shape[a]) for a in arrays)
    checked = all(
        f.buffer.role == "constant" and _in_range(f.buffer.value, n)
        for f, (_, n) in zip(found, steps)
    )
    return np.broadcast_to(view, shape), accesses, steps, checked


def _index_place(b: Building, part: Any) -> Place:
    place = b.place(part)
    if place.dtype.kind not in "iu":
        raise NotNative
    return place


def join(b: Building, i: Instruction) -> None:
    axis = i.params["axis"]
    out = b.out(i.outs[0])
    start = 0
    for part in i.operands:
        place = b.place(part)
        length = place.shape[axis] if i.op is concatenate_row else 1
        target = out.ghost[(slice(None),) * axis + (slice(start, start + length),)]
        start += length
        source = place.ghost if i.op is concatenate_row else np.expand_dims(place.ghost, axis)
        b.emit("map", "copy", target.shape, [place.along(np.broadcast_to(source, target.shape))],
                  out.along(target), (out.dtype,) * 2)  # fmt: skip


def put(b: Building, i: Instruction) -> None:
    x, key, value = i.operands
    _write(b, i, b.place(x), key, value, "copy")


def scatter(b: Building, i: Instruction) -> None:
    if math.prod(i.outs[0].shape):
        _write(b, i, None, i.params["key"], i.operands[0], "add")
    else:
        b.out(i.outs[0])


def _write(b: Building, i: Instruction, old: Place | None, key: Any, value: Any, op: str) -> None:
    """The old entries or zeros, and what belongs at the key written there or added."""
    out = b.out(i.outs[0])
    source: Input = Number(0.0) if old is None else old.access()
    b.emit("map", "copy", out.shape, [source], out.access(), (out.dtype,) * 2)
    parts = _parts(key, len(out.shape))
    new = b.place(value)
    if new.dtype.kind == "f" and out.dtype.kind != "f":
        raise NotNative
    if all(_is_basic(p) for p in parts):
        target = out.ghost[(*parts, ...)]
        view = np.broadcast_to(_fewer(new.ghost, target.ndim), target.shape)
        b.emit(
            "map",
            "copy",
            target.shape,
            [_seen(b, value, new, view)],
            out.along(target),
            (out.dtype,) * 2,
        )
        return
    found = _indices(b, out, parts)
    first = tuple(np.zeros(found[a].shape, int) if a in found else p for a, p in enumerate(parts))
    shape = np.shape(out.ghost[first])
    view, indices, steps, checked = _advanced(out, parts, found, shape)
    values = np.broadcast_to(_fewer(new.ghost, len(shape)), shape)
    b.emit("scatter", op, shape, [_seen(b, value, new, values), *indices], out.along(view),
              (out.dtype,) * 2, steps=steps, checked=checked)  # fmt: skip


def _seen(b: Building, value: Any, place: Place, view: Any) -> Input:
    return Number(value) if type(value) in OF_PYTHON else place.along(view)


def _is_basic(part: Any) -> bool:
    if isinstance(part, slice):
        return not any(isinstance(x, Var) for x in (part.start, part.stop, part.step))
    return part is None or is_integer(part)


def _in_range(indices: Any, n: int) -> bool:
    return bool(np.all((indices >= -n) & (indices < n)))


def _fewer(x: Any, ndim: int) -> Any:
    """Without leading axes of length 1, as assignment ignores them."""
    while x.ndim > ndim:
        x = x[0]
    return x
