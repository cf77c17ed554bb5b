"""Sums, other reductions, and products of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradopt.compiler.native.building import OF_PYTHON, Building, NotNative, addresses
from microgradopt.compiler.native.loops import Access, Input, Number
from microgradopt.compiler.native.operations import reduction_of
from microgradopt.compiler.native.ufuncs import matmul_loop
from microgradopt.compiler.program import Instruction, Var
from microgradopt.engine.ops.products import matmul_row
from microgradopt.engine.reductions import max_row, min_row
from microgradopt.engine.rules import add_up

SKINNY = 16  # products of matrices with an axis at most this long beat BLAS
EMPTY = {"add": 0.0, "multiply": 1.0, "or": False, "and": True}  # what of no entries is


def reduction(b: Building, i: Instruction) -> None:
    names = ("axis", "dtype", "out", "keepdims", "initial", "where")
    options = dict(zip(names, i.operands[1:])) | i.params
    default = 0 if isinstance(getattr(i.op.function, "__self__", None), np.ufunc) else None
    axis, keepdims = options.pop("axis", default), options.pop("keepdims", False)
    if any(v is not None for v in options.values()):
        raise NotNative
    _reduce(b, reduction_of(i.op.function), i.operands[0], axis, keepdims, i.outs[0])


def reduction_row(b: Building, i: Instruction) -> None:
    options = dict(zip(("axis", "keepdims"), i.operands[1:])) | i.params
    name = {add_up: "add", max_row: "maximum", min_row: "minimum"}[i.op]
    axis, keepdims = options.get("axis"), options.get("keepdims", False)
    _reduce(b, name, i.operands[0], axis, keepdims, i.outs[0])


def _reduce(b: Building, name: Any, x: Any, axis: Any, keepdims: bool, out: Var) -> None:
    place = b.place(x)
    given = (
        range(len(place.shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    )
    axes = tuple(sorted(a % len(place.shape) for a in given)) if place.shape else ()
    count = math.prod(place.shape[a] for a in axes)
    dtype = out.dtype or OF_PYTHON.get(out.kind)
    logical = name in ("and", "or")
    if dtype is None or (
        place.dtype != dtype and (dtype.kind == "f") != (place.dtype.kind == "f") and not logical
    ):
        raise NotNative
    result = b.out(out)
    kept = tuple(1 if a in axes else n for a, n in enumerate(place.shape))
    folded = result.along(np.broadcast_to(result.ghost.reshape(kept), place.shape))
    if count == 0:
        start = EMPTY[name]
        b.emit("map", "copy", out.shape, [Number(start)], result.access(), (dtype,) * 2)
        return
    op = "add" if name == "mean" else name
    strides = tuple(0 if a in axes else s for a, s in enumerate(folded.strides))
    access = Access(folded.buffer, folded.offset, strides)
    total = access
    if name == "mean":
        sums = b.temporary(out.shape, dtype)
        total = Access(sums.buffer, access.offset, strides)
    b.emit("reduce", op, place.shape, [place.access()], total, (dtype, dtype), reduced=axes)
    if name == "mean":
        inputs: list[Input] = [sums.access(), Number(float(count))]
        b.emit("map", "divide", out.shape, inputs, result.access(), (dtype,) * 3)


def product(b: Building, i: Instruction) -> None:
    if i.params:
        raise NotNative
    x, y = map(b.place, i.operands)
    if i.op is not matmul_row and i.op.function is np.dot and max(x.ghost.ndim, y.ghost.ndim) > 2:
        raise NotNative
    if not x.shape or not y.shape or not x.dtype == y.dtype or x.dtype.kind != "f":
        raise NotNative
    left = x.ghost if x.ghost.ndim > 1 else x.ghost[None, :]
    right = y.ghost if y.ghost.ndim > 1 else y.ghost[:, None]
    out = b.out(i.outs[0])
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    space = (*batch, rows, columns, inner)
    if inner == 0:
        b.emit("map", "copy", out.shape, [Number(0.0)], out.access(), (out.dtype,) * 2)
        return
    left = np.broadcast_to(left[..., :, None, :], space)
    right = np.broadcast_to(np.swapaxes(right, -1, -2)[..., None, :, :], space)
    target = np.broadcast_to(out.ghost.reshape((*batch, rows, columns, 1)), space)
    access = out.along(target)
    access = Access(access.buffer, access.offset, (*access.strides[:-1], 0))
    skinny = not batch and min(space) <= SKINNY
    extras = () if skinny else addresses(matmul_loop(x.dtype))
    b.emit(
        "contract" if skinny else "matmul",
        "add",
        space,
        [x.along(left), y.along(right)],
        access,
        (x.dtype,) * 3,
        reduced=(len(space) - 1,),
        extras=extras,
    )
