"""From instructions to statements: what each operation of a program does at every index.

Views cost nothing: they are other accesses to the same buffer. What has no native form stays an
instruction, and Python runs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine.graph import Primitive
from microgradopt.engine.ops.products import matmul_row
from microgradopt.engine.ops.shapes import (
    concatenate_row,
    index_row,
    scatter_row,
    stack_row,
    transpose_row,
)
from microgradopt.engine.reductions import max_row, min_row
from microgradopt.engine.rules import (
    Elementwise,
    Plain,
    add_up,
    as_dtype,
    as_value,
    broadcast_to,
    chain,
    passing,
    reshape_to,
)
from microgradopt.jit.native.expand import Symbol, expanded, in_order
from microgradopt.jit.native.loops import (
    Access,
    Buffer,
    DType,
    Input,
    Number,
    Place,
    Statement,
    is_native,
)
from microgradopt.jit.native.operations import (
    ARRANGING,
    OF_FLOATS,
    POWERS,
    machine_operation,
    reduction_of,
)
from microgradopt.jit.native.ufuncs import has_loop, loop_of, matmul_loop
from microgradopt.jit.program import Call, Check, Guard, Instruction, Program, Var
from microgradopt.jit.standin import ASTYPE, FLOAT, ITEM, POWER, PUT

Step: TypeAlias = "Statement | Instruction"
DOUBLE, WHOLE, TRUTH = np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool)
OF_PYTHON = {float: DOUBLE, int: WHOLE, bool: TRUTH}
IDENTITY = {"add": -0.0, "multiply": 1.0, "or": False, "and": True}  # -0.0 + x is x, always
SKINNY = 16  # products of matrices with an axis at most this long beat BLAS


class NotNative(Exception):
    """An instruction that has no native form. Never seen by users."""


class Lowering:
    """Statements of a program's instructions, in order, and the places of its variables.

    Attributes:
        places: where each variable lies: all but objects, which only Python understands.
        steps: statements, and the instructions that stay Python's.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.places: dict[Var, Place] = {}
        self.steps: list[Step] = []
        self.number = 0
        self.made_by_python: set[Buffer] = set()
        for i, var in enumerate(program.entries):
            self._declare(var, "entry", f"entry{i}")
        for self.number, instruction in enumerate(program.instructions):
            self._lower(instruction)
        stops = [n for n, s in enumerate(self.steps) if isinstance(s, Instruction) or s.may_fail]
        early = {s.out.buffer for s in self.steps[: max(stops, default=0)] if isinstance(s, Statement)}
        self.results = [self._result(n, x, early) for n, x in enumerate(program.results)]

    # Places

    def _declare(self, var: Var, role: str, name: str) -> Place | None:
        dtype = var.dtype if var.dtype is not None else OF_PYTHON.get(var.kind)
        if dtype is None or not is_native(dtype):
            return None
        order = _memory_order(var) if role == "entry" else ()
        buffer = Buffer(dtype, math.prod(var.shape), role, var.name or name)
        self.places[var] = Place.of(buffer, var.shape, order)
        return self.places[var]

    def place(self, x: Any) -> Place:
        """Where an operand lies; of a constant, too."""
        if isinstance(x, Var):
            if x not in self.places:
                raise NotNative
            return self.places[x]
        value = np.asarray(x)
        if not is_native(value.dtype):
            raise NotNative
        if value.ndim and not any(value.strides) and value.size:
            one = self.place(value.flat[0])
            return one.seen_as(np.broadcast_to(one.ghost, value.shape))
        buffer = Buffer(value.dtype, value.size, "constant", "constant", np.ascontiguousarray(value))
        return Place.of(buffer, value.shape)

    def _temporary(self, shape: tuple[int, ...], dtype: DType) -> Place:
        return Place.of(Buffer(dtype, math.prod(shape)), shape)

    # Instructions

    def _lower(self, instruction: Instruction) -> None:
        before = len(self.steps)
        try:
            self._native(instruction)
        except NotNative:
            del self.steps[before:]
            for n, var in enumerate(instruction.outs):
                self.places.pop(var, None)
                place = self._declare(var, "temporary", f"{instruction.op.name}{self.number}_{n}")
                if place is not None:
                    self.made_by_python.add(place.buffer)
            self.steps.append(instruction)

    def _native(self, i: Instruction) -> None:
        op = i.op
        if isinstance(op, Guard):
            self._guard(op.expected, self.place(i.operands[0]))
            return
        if isinstance(op, Check):
            self._check(i.operands)
            return
        if len(i.outs) != 1:
            raise NotNative
        rule = RULES.get(op) if isinstance(op, (Primitive, Call)) else None
        if rule is not None:
            rule(self, i)
        elif isinstance(op, (Elementwise, Plain)):
            self._elementwise_row(i)
        elif isinstance(op, Call):
            self._call(i)
        else:
            raise NotNative

    def _call(self, i: Instruction) -> None:
        function = i.op.function
        if isinstance(function, np.ufunc):
            if i.params or function.nout != 1 or function.signature is not None:
                raise NotNative
            self._apply(function, i.operands, i.outs[0])
        elif function is np.where and len(i.operands) == 3:
            self._apply(np.where, i.operands, i.outs[0])
        elif reduction_of(function):
            self._reduction(i)
        elif function in (np.asarray, np.array) or getattr(function, "func", None) is np.array:
            self._same_numbers(i)
        elif _among(function, ARRANGING):
            self._view(i)
        elif function in (np.matmul, np.dot):
            self._product(i)
        else:
            raise NotNative

    def _out(self, var: Var) -> Place:
        place = self._declare(var, "temporary", "")
        if place is None:
            raise NotNative
        return place

    def _alias(self, var: Var, place: Place) -> None:
        if place.shape != var.shape or place.dtype != (var.dtype or OF_PYTHON.get(var.kind)):
            raise NotNative
        self.places[var] = place

    def emit(self, kind: str, op: str, space: tuple[int, ...], inputs: Sequence[Input], out: Access,
             loop: tuple[DType, ...], **more: Any) -> None:
        """Append a statement, unless its space has no points."""
        if 0 in space:
            return
        self.steps.append(
            Statement(kind, op, space, tuple(inputs), out, loop, number=self.number, **more)
        )

    def _result(self, n: int, x: Any, early: set[Buffer]) -> Buffer | None:
        """The buffer of an array among the results, which is its own; None for what is no array.

        What is complete before the last step that may stop the run is copied when that is over.
        """
        if not (isinstance(x, Var) and x.is_array) or x not in self.places:
            return None
        place = self.places[x]
        whole = Place.of(Buffer(place.dtype, place.buffer.size), place.shape)
        same = place.buffer.size == math.prod(place.shape) and _same(place.access(), whole.access())
        kept = place.buffer in early or place.buffer in self.made_by_python
        if place.buffer.role == "temporary" and same and not kept:
            place.buffer.role = "result"
            return place.buffer
        out = Place.of(Buffer(place.dtype, math.prod(place.shape), "result", f"result{n}"), place.shape)
        self.number = -1
        self._convert(place, out)
        return out.buffer

    # Effects

    def _guard(self, expected: bool, place: Place) -> None:
        """Let the kernel fail where a truth is not as expected."""
        if place.buffer in self.made_by_python:
            raise NotNative
        nowhere = self._temporary((), TRUTH)
        self.emit("guard", "false" if expected else "true", (), [place.along(place.ghost.reshape(()))],
                  nowhere.access(), (TRUTH,) * 2)  # fmt: skip

    def _check(self, operands: Sequence[Any]) -> None:
        """Let the kernel fail where an operand is not finite; Python explains."""
        for x in operands:
            place = self.place(x)
            if place.dtype.kind != "f":
                continue
            finite, every = self._temporary(place.shape, TRUTH), self._temporary((), TRUTH)
            self.emit("map", "isfinite", place.shape, [place.access()], finite.access(), (place.dtype, TRUTH))
            axes = tuple(range(len(place.shape)))
            if not math.prod(place.shape):
                continue
            access = Access(every.buffer, 0, (0,) * len(axes))
            self.emit("reduce", "and", place.shape, [finite.access()], access, (TRUTH,) * 2, reduced=axes)
            self._guard(True, every)

    # Elementwise

    def _elementwise_row(self, i: Instruction) -> None:
        row, out = i.op, i.outs[0]
        if row in SPELLED_OUT:
            self._expand(SPELLED_OUT[row], i.operands, out)
        elif out.kind in OF_PYTHON and all(_is_python_number(x) for x in i.operands):
            self._on_floats(row, i.operands, out)
        elif isinstance(row.array, np.ufunc):
            self._apply(row.array, i.operands, out)
        else:
            self._expand(row.array, i.operands, out)

    def _on_floats(self, row: Primitive, operands: Sequence[Any], out: Var) -> None:
        """A row on Python's floats, as its scalar kernel computes it."""
        name = OF_FLOATS.get(row.scalar) if row.scalar is not None else None
        if name is not None:
            inputs = [self._input(x, ()) for x in operands]
            place = self._out(out)
            self.emit("map", f"libm.{name}", (), inputs, place.access(), (DOUBLE,) * (len(inputs) + 1))
            return
        loop = (DOUBLE,) * (len(operands) + 1)
        if not isinstance(row.array, np.ufunc) or not machine_operation(row.array, loop):
            raise NotNative
        self._apply(row.array, operands, out)

    def _expand(self, kernel: Callable[..., Any], operands: Sequence[Any], out: Var) -> None:
        """A row whose kernel is a Python function of arrays, taken apart into ufuncs."""
        symbols = [self._symbol(x) for x in operands]
        made = expanded(kernel, symbols)
        for symbol, x in zip(symbols, operands):
            if made is symbol:
                self._alias(out, self.place(x))
                return
        if made is None or made.made is None:
            raise NotNative
        known: dict[Any, Any] = dict(zip(symbols, operands)) if symbols else {}
        for symbol in in_order(made):
            function, inputs = symbol.made
            var = out if symbol is made else Var(np.ndarray, symbol.shape, symbol.dtype)
            known[symbol] = var
            self._apply(function, [known[x] if isinstance(x, Symbol) else x for x in inputs], var)

    def _symbol(self, x: Any) -> Any:
        if not isinstance(x, Var):
            return x if type(x) in OF_PYTHON else Symbol(np.shape(x), np.asarray(x).dtype)
        if x.kind not in OF_PYTHON and x.dtype is None:
            raise NotNative
        return Symbol(x.shape, x.kind if x.dtype is None else x.dtype)

    def _apply(self, function: Any, operands: Sequence[Any], out: Var) -> None:
        """One ufunc, or np.where, on every entry."""
        loop = _loop_dtypes(function, operands)
        name = machine_operation(function, loop)
        kind = "map"
        if name is None:
            if not has_loop(function, loop):
                raise NotNative
            kind, name = "library", function.__name__
        inputs = [self._input(x, out.shape) for x in operands]
        extras: tuple[Buffer, ...] = ()
        if kind == "library":
            inputs = [self._converted(x, out.shape, d) for x, d in zip(inputs, loop)]
            extras = addresses(loop_of(function, loop))
        place = self._out(out)
        if place.dtype != loop[-1]:
            raise NotNative
        self.emit(kind, name, out.shape, inputs, place.access(), loop, extras=extras)

    def _converted(self, x: Input, space: tuple[int, ...], dtype: DType) -> Input:
        """An operand in the dtype that NumPy's loop takes."""
        if isinstance(x, Number) or x.buffer.dtype == dtype:
            return x
        new = self._temporary(space, dtype)
        self.emit("map", "copy", space, [x], new.access(), (dtype,) * 2)
        return new.access()

    def _input(self, x: Any, space: tuple[int, ...]) -> Input:
        if type(x) in OF_PYTHON or isinstance(x, np.generic):
            return Number(x if type(x) in OF_PYTHON else x.item())
        if isinstance(x, np.ndarray) and x.size and (x == x.flat[0]).all():
            return Number(x.flat[0].item())
        return self.place(x).access(space)

    def _convert(self, place: Place, out: Place) -> None:
        self.emit("map", "copy", out.shape, [place.access()], out.access(), (out.dtype,) * 2)

    def _copy(self, i: Instruction) -> None:
        """The same numbers, perhaps in another dtype or kind."""
        place = self.place(i.operands[0])
        out = self._out(i.outs[0])
        if place.dtype.kind == "f" and out.dtype.kind != "f":
            raise NotNative  # what becomes of NaN is the machine's choice
        view = place.ghost.reshape(out.shape)
        self.emit("map", "copy", out.shape, [place.along(view)], out.access(), (out.dtype,) * 2)

    def _item(self, i: Instruction) -> None:
        """One number of an array."""
        place, out = self.place(i.operands[0]), self._out(i.outs[0])
        numbers = i.operands[1:]
        if not all(isinstance(n, int) for n in numbers) or place.dtype != out.dtype:
            raise NotNative
        if len(numbers) == 1:
            numbers = np.unravel_index(numbers[0] % place.ghost.size, place.shape)
        view = place.ghost[(*numbers, ...)].reshape(())
        self.emit("map", "copy", (), [place.along(view)], out.access(), (out.dtype,) * 2)

    def _same_numbers(self, i: Instruction) -> None:
        """A copy, of which nobody can tell that it is none; or another dtype."""
        place, out = self.place(i.operands[0]), i.outs[0]
        if isinstance(i.operands[0], Var) and place.dtype == out.dtype:
            self._alias(out, place)
        else:
            self._copy(i)

    def _as_dtype(self, i: Instruction) -> None:
        if isinstance(i.operands[0], Var) and i.operands[0].dtype == i.outs[0].dtype:
            self._alias(i.outs[0], self.place(i.operands[0]))
        else:
            self._copy(i)

    def _power(self, i: Instruction) -> None:
        base, exponent = i.operands
        if not (isinstance(base, Var) and base.is_array and base.dtype.kind == "f"):
            raise NotNative
        if type(exponent) in (int, float) and exponent in POWERS:
            self._apply(POWERS[exponent], [base], i.outs[0])
        else:
            self._apply(np.power, i.operands, i.outs[0])

    # Views

    def _view(self, i: Instruction) -> None:
        place = self.place(i.operands[0])
        view = i.op.compute((place.ghost, *i.operands[1:]), i.params)
        if view.size and not np.may_share_memory(view, place.ghost):
            whole = self._temporary(place.shape, place.dtype)
            self._convert(place, whole)
            place = whole
            view = i.op.compute((place.ghost, *i.operands[1:]), i.params)
        self._alias(i.outs[0], place.seen_as(view))

    def _index(self, i: Instruction) -> None:
        key = i.params["key"]
        parts = key if isinstance(key, tuple) else (key,)
        if all(_is_basic(p) for p in parts):
            place = self.place(i.operands[0])
            self._alias(i.outs[0], place.seen_as(_sliced(place.ghost, parts)))
            return
        place, out = self.place(i.operands[0]), self._out(i.outs[0])
        view, indices, steps, checked = self._advanced(place, parts, out.shape)
        self.emit("gather", "gather", out.shape, [place.along(view), *indices], out.access(),
                  (place.dtype,), steps=steps, checked=checked)  # fmt: skip

    def _advanced(self, place: Place, parts: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """Indexing with arrays: the access without them, theirs, their strides and lengths."""
        if any(p is None or p is Ellipsis for p in parts):
            raise NotNative
        arrays = [a for a, p in enumerate(parts) if not isinstance(p, slice)]
        found = [self._index_place(parts[a]) for a in arrays]
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

    def _index_place(self, part: Any) -> Place:
        place = self.place(part)
        if place.dtype.kind not in "iu":
            raise NotNative
        return place

    # Reductions

    def _reduction(self, i: Instruction) -> None:
        options = dict(zip(("axis", "dtype", "out", "keepdims"), i.operands[1:])) | i.params
        default = 0 if isinstance(getattr(i.op.function, "__self__", None), np.ufunc) else None
        axis, keepdims = options.pop("axis", default), options.pop("keepdims", False)
        if any(v is not None for v in options.values()):
            raise NotNative
        self._reduce(reduction_of(i.op.function), i.operands[0], axis, keepdims, i.outs[0])

    def _reduction_row(self, i: Instruction) -> None:
        options = dict(zip(("axis", "keepdims"), i.operands[1:])) | i.params
        name = {add_up: "add", max_row: "maximum", min_row: "minimum"}[i.op]
        axis, keepdims = options.get("axis"), options.get("keepdims", False)
        self._reduce(name, i.operands[0], axis, keepdims, i.outs[0])

    def _reduce(self, name: Any, x: Any, axis: Any, keepdims: bool, out: Var) -> None:
        place = self.place(x)
        given = range(len(place.shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
        axes = tuple(sorted(a % len(place.shape) for a in given)) if place.shape else ()
        count = math.prod(place.shape[a] for a in axes)
        dtype = out.dtype or OF_PYTHON.get(out.kind)
        logical = name in ("and", "or")
        if dtype is None or (place.dtype != dtype and (dtype.kind == "f") != (place.dtype.kind == "f") and not logical):
            raise NotNative
        if dtype.kind == "f" and dtype.itemsize == 2 or (count == 0 and name not in IDENTITY):
            raise NotNative
        result = self._out(out)
        kept = tuple(1 if a in axes else n for a, n in enumerate(place.shape))
        folded = result.along(np.broadcast_to(result.ghost.reshape(kept), place.shape))
        if count == 0:
            start: Any = 0.0 if name == "add" else IDENTITY[name]
            self.emit("map", "copy", out.shape, [Number(start)], result.access(), (dtype,) * 2)
            return
        if name == "mean" and dtype.kind != "f":
            raise NotNative
        op = "add" if name == "mean" else name
        strides = tuple(0 if a in axes else s for a, s in enumerate(folded.strides))
        access = Access(folded.buffer, folded.offset, strides)
        total = access
        if name == "mean":
            sums = self._temporary(out.shape, dtype)
            total = Access(sums.buffer, access.offset, strides)
        self.emit("reduce", op, place.shape, [place.access()], total, (dtype, dtype), reduced=axes)
        if name == "mean":
            inputs = [sums.access(), Number(float(count))]
            self.emit("map", "divide", out.shape, inputs, result.access(), (dtype,) * 3)

    # Products of matrices

    def _product(self, i: Instruction) -> None:
        if i.params:
            raise NotNative
        x, y = map(self.place, i.operands)
        if i.op is not matmul_row and i.op.function is np.dot and max(x.ghost.ndim, y.ghost.ndim) > 2:
            raise NotNative
        if not x.shape or not y.shape or not x.dtype == y.dtype or x.dtype.kind != "f":
            raise NotNative
        a = x.ghost if x.ghost.ndim > 1 else x.ghost[None, :]
        b = y.ghost if y.ghost.ndim > 1 else y.ghost[:, None]
        out = self._out(i.outs[0])
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
        space = (*batch, rows, columns, inner)
        if inner == 0:
            self.emit("map", "copy", out.shape, [Number(0.0)], out.access(), (out.dtype,) * 2)
            return
        left = np.broadcast_to(a[..., :, None, :], space)
        right = np.broadcast_to(np.swapaxes(b, -1, -2)[..., None, :, :], space)
        target = np.broadcast_to(out.ghost.reshape((*batch, rows, columns, 1)), space)
        access = out.along(target)
        access = Access(access.buffer, access.offset, (*access.strides[:-1], 0))
        skinny = not batch and min(space) <= SKINNY
        extras = () if skinny else addresses(matmul_loop(x.dtype))
        self.emit("contract" if skinny else "matmul", "add", space, [x.along(left), y.along(right)], access,
                  (x.dtype,) * 3, reduced=(len(space) - 1,), extras=extras)  # fmt: skip

    # Joining and scattering

    def _concatenate(self, i: Instruction) -> None:
        axis = i.params["axis"]
        out = self._out(i.outs[0])
        start = 0
        for part in i.operands:
            place = self.place(part)
            length = place.shape[axis] if i.op is concatenate_row else 1
            target = out.ghost[(slice(None),) * axis + (slice(start, start + length),)]
            start += length
            source = place.ghost if i.op is concatenate_row else np.expand_dims(place.ghost, axis)
            self.emit("map", "copy", target.shape, [place.along(np.broadcast_to(source, target.shape))],
                      out.along(target), (out.dtype,) * 2)  # fmt: skip

    def _put(self, i: Instruction) -> None:
        x, key, value = i.operands
        self._write(i, self.place(x), key, value, "copy")

    def _scatter(self, i: Instruction) -> None:
        if math.prod(i.outs[0].shape):
            self._write(i, None, i.params["key"], i.operands[0], "add")
        else:
            self._out(i.outs[0])

    def _write(self, i: Instruction, old: Place | None, key: Any, value: Any, op: str) -> None:
        """The old entries or zeros, and what belongs at the key written there or added."""
        out = self._out(i.outs[0])
        source: Input = Number(0.0) if old is None else old.access()
        self.emit("map", "copy", out.shape, [source], out.access(), (out.dtype,) * 2)
        parts = key if isinstance(key, tuple) else (key,)
        new = self.place(value)
        if new.dtype.kind == "f" and out.dtype.kind != "f":
            raise NotNative
        if all(_is_basic(p) for p in parts):
            target = _sliced(out.ghost, parts)
            view = np.broadcast_to(_fewer(new.ghost, target.ndim), target.shape)
            self.emit("map", "copy", target.shape, [self._seen(value, new, view)], out.along(target), (out.dtype,) * 2)
            return
        shape = np.broadcast_shapes(np.shape(out.ghost[self._tried(parts)]), ())
        view, indices, steps, checked = self._advanced(out, parts, shape)
        values = np.broadcast_to(_fewer(new.ghost, len(shape)), shape)
        self.emit("scatter", op, shape, [self._seen(value, new, values), *indices], out.along(view),
                  (out.dtype,) * 2, steps=steps, checked=checked)  # fmt: skip

    def _seen(self, value: Any, place: Place, view: Any) -> Input:
        return Number(value) if type(value) in OF_PYTHON else place.along(view)

    def _tried(self, parts: Sequence[Any]) -> Any:
        """A key of the same shape, in range."""
        return tuple(
            p if isinstance(p, slice) else np.zeros(p.shape if isinstance(p, Var) else np.shape(p), int)
            for p in parts
        )


def _chain(g: Any, p: Any) -> Any:
    product = np.multiply(g, p)
    nothing = np.logical_or(np.equal(g, 0.0), np.equal(p, 0.0))
    return np.where(np.logical_and(nothing, np.isnan(product)), 0.0, product)


def _pass(passed: Any, g: Any) -> Any:
    return np.where(passed, g, np.copysign(0.0, g))


SPELLED_OUT: dict[Any, Callable[..., Any]] = {chain: _chain, passing: _pass}
"""Rows whose kernels look at the numbers, as formulas that do not."""
Rule: TypeAlias = Callable[[Lowering, Instruction], None]
RULES: dict[Any, Rule] = {
    add_up: Lowering._reduction_row,
    max_row: Lowering._reduction_row,
    min_row: Lowering._reduction_row,
    matmul_row: Lowering._product,
    reshape_to: Lowering._view,
    transpose_row: Lowering._view,
    broadcast_to: Lowering._view,
    index_row: Lowering._index,
    scatter_row: Lowering._scatter,
    concatenate_row: Lowering._concatenate,
    stack_row: Lowering._concatenate,
    as_dtype: Lowering._as_dtype,
    as_value: Lowering._copy,
    FLOAT: Lowering._copy,
    ITEM: Lowering._item,
    ASTYPE: Lowering._copy,
    POWER: Lowering._power,
    PUT: Lowering._put,
}  # fmt: skip


def addresses(found: tuple[int, int] | None) -> tuple[Buffer, ...]:
    """The addresses of a loop and of its data, which a kernel is given as it is given buffers."""
    if found is None:
        raise NotNative
    return tuple(Buffer(WHOLE, 0, "address", value=address) for address in found)


def _memory_order(var: Var) -> tuple[int, ...]:
    """The axes of an entry from the outermost in memory to the innermost, where it has no gaps."""
    if var.dtype is None or 0 in var.shape:
        return ()
    order = sorted(range(len(var.shape)), key=lambda a: (-var.strides[a], a))
    expected = var.dtype.itemsize
    for a in reversed(order):
        if var.shape[a] != 1 and var.strides[a] != expected:
            return ()
        expected *= var.shape[a]
    return tuple(order)


def _same(a: Access, b: Access) -> bool:
    return a.offset == b.offset and a.strides == b.strides


def _is_python_number(x: Any) -> bool:
    return (x.kind if isinstance(x, Var) else type(x)) in OF_PYTHON


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


def _among(function: Any, functions: frozenset[Any]) -> bool:
    try:
        return function in functions
    except TypeError:
        return False


def _loop_dtypes(function: Any, operands: Sequence[Any]) -> tuple[DType, ...]:
    """The dtypes that a ufunc computes in; Python's numbers adapt to the arrays'."""
    kinds = [_kind(x) for x in operands]
    if function is np.where:
        together = np.add.resolve_dtypes((*kinds[1:], None))[-1]
        return (TRUTH, together, together, together)
    try:
        return tuple(function.resolve_dtypes((*kinds, None)))
    except TypeError:
        raise NotNative from None


def _kind(x: Any) -> Any:
    if isinstance(x, Var):
        if x.kind in (float, int):
            return x.kind
        return x.dtype or OF_PYTHON.get(x.kind) or _refuse()
    if type(x) in (float, int):
        return type(x)
    return np.asarray(x).dtype


def _refuse() -> Any:
    raise NotNative
