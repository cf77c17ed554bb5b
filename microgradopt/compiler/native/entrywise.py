"""What happens entry by entry: rows, ufuncs, conversions, guards."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradopt.compiler.native.building import (
    DOUBLE,
    OF_PYTHON,
    TRUTH,
    WHOLE,
    Building,
    NotNative,
    addresses,
    is_python_number,
)
from microgradopt.compiler.native.expand import Term, expanded, in_order
from microgradopt.compiler.native.loops import Access, Buffer, DType, Input, Number, Place
from microgradopt.compiler.native.operations import OF_FLOATS, POWERS, machine_operation
from microgradopt.compiler.native.ufuncs import has_loop, loop_of
from microgradopt.compiler.program import Instruction, Var
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import chain, passing


def _chain(g: Any, p: Any) -> Any:
    product = np.multiply(g, p)
    nothing = np.logical_or(np.equal(g, 0.0), np.equal(p, 0.0))
    return np.where(np.logical_and(nothing, np.isnan(product)), 0.0, product)


def _pass(passed: Any, g: Any) -> Any:
    return np.where(passed, g, np.copysign(0.0, g))


WHOLE_NUMBERS = {operator.__add__: "add", operator.__sub__: "subtract"}
SPELLED_OUT: dict[Any, Callable[..., Any]] = {chain: _chain, passing: _pass}
"""Rows whose kernels look at the numbers, as formulas that do not."""


def guard(b: Building, expected: bool, place: Place) -> None:
    """Let the kernel fail where a truth is not as expected."""
    if place.buffer in b.made_by_python:
        raise NotNative
    nowhere = b.temporary((), TRUTH)
    b.emit("guard", "false" if expected else "true", (), [place.along(place.ghost.reshape(()))],
              nowhere.access(), (TRUTH,) * 2)  # fmt: skip


def check(b: Building, operands: Sequence[Any]) -> None:
    """Let the kernel fail where an operand is not finite; Python explains."""
    for x in operands:
        place = b.place(x)
        if place.dtype.kind != "f":
            continue
        finite, every = b.temporary(place.shape, TRUTH), b.temporary((), TRUTH)
        b.emit(
            "map",
            "isfinite",
            place.shape,
            [place.access()],
            finite.access(),
            (place.dtype, TRUTH),
        )
        axes = tuple(range(len(place.shape)))
        if not math.prod(place.shape):
            continue
        access = Access(every.buffer, 0, (0,) * len(axes))
        b.emit("reduce", "and", place.shape, [finite.access()], access, (TRUTH,) * 2, reduced=axes)
        guard(b, True, every)


def elementwise_row(b: Building, i: Instruction) -> None:
    row, out = i.op, i.outs[0]
    if row in SPELLED_OUT:
        _expand(b, SPELLED_OUT[row], i.operands, out)
    elif out.kind in OF_PYTHON and all(is_python_number(x) for x in i.operands):
        _on_floats(b, row, i.operands, out)
    elif isinstance(row.array, np.ufunc):
        apply(b, row.array, i.operands, out)
    else:
        _expand(b, row.array, i.operands, out)


def _on_floats(b: Building, row: Primitive, operands: Sequence[Any], out: Var) -> None:
    """A row on Python's floats, as its scalar kernel computes it."""
    name = OF_FLOATS.get(row.scalar) if row.scalar is not None else None
    if name is not None:
        inputs = [b.input(x, ()) for x in operands]
        place = b.out(out)
        b.emit("map", f"libm.{name}", (), inputs, place.access(), (DOUBLE,) * (len(inputs) + 1))
        return
    loop = (DOUBLE,) * (len(operands) + 1)
    if not isinstance(row.array, np.ufunc) or not machine_operation(row.array, loop):
        raise NotNative
    apply(b, row.array, operands, out)


def _expand(b: Building, kernel: Callable[..., Any], operands: Sequence[Any], out: Var) -> None:
    """A row whose kernel is a Python function of arrays, taken apart into ufuncs."""
    terms = [_term(b, x) for x in operands]
    made = expanded(kernel, terms)
    if made is None:
        raise NotNative
    known = {t: x for t, x in zip(terms, operands) if isinstance(t, Term)}
    if made in known:
        b.alias(out, b.place(known[made]))
        return
    for term in in_order(made):
        var = out if term is made else Var(np.ndarray, term.shape, term.dtype)
        known[term] = var
        inputs = [known[x] if isinstance(x, Term) else x for x in term.inputs]
        apply(b, term.function, inputs, var)


def _term(b: Building, x: Any) -> Any:
    if not isinstance(x, Var):
        return x if type(x) in OF_PYTHON else Term(np.shape(x), np.asarray(x).dtype)
    return Term(x.shape, _kind(x))


def apply(b: Building, function: Any, operands: Sequence[Any], out: Var) -> None:
    """One ufunc, np.where, or np.asarray as a change of dtype, on every entry."""
    if function is np.asarray:
        source, place = b.place(operands[0]), b.out(out)
        b.emit("map", "copy", out.shape, [source.access()], place.access(), (place.dtype,) * 2)
        return
    loop = _loop_dtypes(function, operands)
    name = machine_operation(function, loop)
    kind = "map"
    if name is None:
        if not has_loop(function, loop):
            raise NotNative
        kind, name = "library", function.__name__
    inputs = [b.input(x, out.shape) for x in operands]
    extras: tuple[Buffer, ...] = ()
    if kind == "library":
        inputs = [_converted(b, x, out.shape, d) for x, d in zip(inputs, loop)]
        extras = addresses(loop_of(function, loop))
    place = b.out(out)
    if place.dtype != loop[-1]:
        raise NotNative
    b.emit(kind, name, out.shape, inputs, place.access(), loop, extras=extras)


def _converted(b: Building, x: Input, space: tuple[int, ...], dtype: DType) -> Input:
    """An operand in the dtype that NumPy's loop takes."""
    if isinstance(x, Number) or x.buffer.dtype == dtype:
        return x
    new = b.temporary(space, dtype)
    b.emit("map", "copy", space, [x], new.access(), (dtype,) * 2)
    return new.access()


def copy(b: Building, i: Instruction) -> None:
    """The same numbers, perhaps in another dtype or kind."""
    place = b.place(i.operands[0])
    out = b.out(i.outs[0])
    if place.dtype.kind == "f" and out.dtype.kind != "f":
        raise NotNative  # what becomes of NaN is the machine's choice
    view = place.ghost.reshape(out.shape)
    b.emit("map", "copy", out.shape, [place.along(view)], out.access(), (out.dtype,) * 2)


def item(b: Building, i: Instruction) -> None:
    """One number of an array."""
    place, out = b.place(i.operands[0]), b.out(i.outs[0])
    numbers = i.operands[1:]
    if not all(isinstance(n, int) for n in numbers) or place.dtype.kind != out.dtype.kind:
        raise NotNative
    if len(numbers) == 1:
        numbers = np.unravel_index(numbers[0] % place.ghost.size, place.shape)
    view = place.ghost[(*numbers, ...)].reshape(())
    b.emit("map", "copy", (), [place.along(view)], out.access(), (out.dtype,) * 2)


def same_numbers(b: Building, i: Instruction) -> None:
    """A copy, of which nobody can tell that it is none; or another dtype."""
    place, out = b.place(i.operands[0]), i.outs[0]
    if isinstance(i.operands[0], Var) and place.dtype == out.dtype:
        b.alias(out, place)
    else:
        copy(b, i)


def as_dtype_row(b: Building, i: Instruction) -> None:
    if isinstance(i.operands[0], Var) and i.operands[0].dtype == i.outs[0].dtype:
        b.alias(i.outs[0], b.place(i.operands[0]))
    else:
        copy(b, i)


def power(b: Building, i: Instruction) -> None:
    base, exponent = i.operands
    if type(base) is float and base > 0.0 and is_python_number(exponent):
        inputs = [Number(base), b.input(exponent, ())]
        out = b.out(i.outs[0])
        b.emit("map", "libm.pow", (), inputs, out.access(), (DOUBLE,) * 3)
        return
    if not (isinstance(base, Var) and base.is_array and b.place(base).dtype.kind == "f"):
        raise NotNative
    if type(exponent) in (int, float) and exponent in POWERS:
        apply(b, POWERS[exponent], [base], i.outs[0])
    else:
        apply(b, np.power, i.operands, i.outs[0])


def whole(b: Building, i: Instruction) -> None:
    """Python's own arithmetic of whole numbers, in 64 bits: counters."""
    out = i.outs[0]
    if out.kind is not int or len(i.operands) != 2 or i.params:
        raise NotNative
    for x in i.operands:
        if (x.kind if isinstance(x, Var) else type(x)) is not int:
            raise NotNative
    inputs = [b.input(x, ()) for x in i.operands]
    place = b.out(out)
    name = WHOLE_NUMBERS[i.op.function]
    b.emit("map", name, (), inputs, place.access(), (WHOLE,) * 3)


def _loop_dtypes(function: Any, operands: Sequence[Any]) -> tuple[DType, ...]:
    """The dtypes that a ufunc computes in; Python's numbers adapt to the arrays'."""
    kinds = [_kind(x) for x in operands]
    if function is np.where:
        together = np.add.resolve_dtypes((*kinds[1:], None))[-1]
        return (TRUTH, together, together, together)
    try:
        return tuple(function.resolve_dtypes((*kinds, None)))
    except TypeError:  # what NumPy refuses, such as −True, Python may do
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
