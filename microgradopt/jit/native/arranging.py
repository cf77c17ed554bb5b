"""Views, which cost nothing; picking entries by index, joining, putting and scattering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.engine.ops.shapes import concatenate_row
from microgradopt.jit.native.building import OF_PYTHON, Building, NotNative
from microgradopt.jit.native.loops import Input, Number, Place
from microgradopt.jit.program import Instruction, Var


def view(b: Building, i: Instruction) -> None:
    place = b.place(i.operands[0])
    view = i.op.compute((place.ghost, *i.operands[1:]), i.params)
    if view.size and not np.may_share_memory(view, place.ghost):
        whole = b.temporary(place.shape, place.dtype)
        b.convert(place, whole)
        place = whole
        view = i.op.compute((place.ghost, *i.operands[1:]), i.params)
    b.alias(i.outs[0], place.seen_as(view))


def index(b: Building, i: Instruction) -> None:
    key = i.params["key"]
    parts = key if isinstance(key, tuple) else (key,)
    if all(_is_basic(p) for p in parts):
        place = b.place(i.operands[0])
        b.alias(i.outs[0], place.seen_as(_sliced(place.ghost, parts)))
        return
    place, out = b.place(i.operands[0]), b.out(i.outs[0])
    view, indices, steps, checked = _advanced(b, place, parts, out.shape)
    b.emit("gather", "gather", out.shape, [place.along(view), *indices], out.access(),
              (place.dtype,), steps=steps, checked=checked)  # fmt: skip


def _advanced(b: Building, place: Place, parts: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Indexing with arrays: the access without them, theirs, their strides and lengths."""
    if any(p is None or p is Ellipsis for p in parts):
        raise NotNative
    arrays = [a for a, p in enumerate(parts) if not isinstance(p, slice)]
    found = [_index_place(b, parts[a]) for a in arrays]
    if arrays != list(range(arrays[0], arrays[0] + len(arrays))):
        raise NotNative  # arrays apart: NumPy puts their axes in front
    together = np.broadcast_shapes(*(f.shape for f in found))
    ghost = place.ghost[tuple(slice(0, 1) if a in arrays else p for a, p in enumerate(parts))]
    if 0 in place.shape:
        raise NotNative
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
    parts = key if isinstance(key, tuple) else (key,)
    new = b.place(value)
    if new.dtype.kind == "f" and out.dtype.kind != "f":
        raise NotNative
    if all(_is_basic(p) for p in parts):
        target = _sliced(out.ghost, parts)
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
    shape = np.broadcast_shapes(np.shape(out.ghost[_tried(b, parts)]), ())
    view, indices, steps, checked = _advanced(b, out, parts, shape)
    values = np.broadcast_to(_fewer(new.ghost, len(shape)), shape)
    b.emit("scatter", op, shape, [_seen(b, value, new, values), *indices], out.along(view),
              (out.dtype,) * 2, steps=steps, checked=checked)  # fmt: skip


def _seen(b: Building, value: Any, place: Place, view: Any) -> Input:
    return Number(value) if type(value) in OF_PYTHON else place.along(view)


def _tried(b: Building, parts: Sequence[Any]) -> Any:
    """A key of the same shape, in range."""
    return tuple(
        p if isinstance(p, slice) else np.zeros(p.shape if isinstance(p, Var) else np.shape(p), int)
        for p in parts
    )


def _is_basic(part: Any) -> bool:
    if isinstance(part, slice):
        return not any(isinstance(x, Var) for x in (part.start, part.stop, part.step))
    return part is None or part is Ellipsis or isinstance(part, (int, np.integer))


def _sliced(ghost: Any, parts: Sequence[Any]) -> Any:
    """A slice as an array, be it of a single entry."""
    return ghost[tuple(parts) if any(p is Ellipsis for p in parts) else (*parts, ...)]


def _in_range(indices: Any, n: int) -> bool:
    return bool(np.all((indices >= -n) & (indices < n)))


def _fewer(x: Any, ndim: int) -> Any:
    """Without leading axes of length 1, as assignment ignores them."""
    while x.ndim > ndim:
        x = x[0]
    return x
