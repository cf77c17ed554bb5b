"""How each operation is written in NumPy, and what its result shares memory with."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MethodDescriptorType
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.printed import kernels
from microgradopt.compiler.printed.names import Names
from microgradopt.compiler.program import Call, Instruction, Var
from microgradopt.compiler.tracing.standin import ASTYPE, ITEM, PUT
from microgradopt.engine.graph import Primitive
from microgradopt.engine.ops.elementwise import relu, where_row
from microgradopt.engine.ops.shapes import (
    concatenate_row,
    index_row,
    scatter_row,
    stack_row,
    transpose_row,
)
from microgradopt.engine.rules import (
    Elementwise,
    Plain,
    add_up,
    alias,
    as_dtype,
    as_value,
    chain,
    passing,
    reshape_to,
)

ANY = 1000  # operands, all of them
FEW = 2**16  # entries: half a megabyte of zeros
BLOCK_BYTES = 2**18  # of one array, in chains that are done block by block
Write: TypeAlias = Callable[[Instruction, Names], str]


@dataclass(frozen=True, slots=True)
class Form:
    """How an instruction is printed.

    ``takes_out`` says that the text is a call which may be given ``out=``, which may be one of the
    first ``over`` operands; ``fresh``, that the result shares memory with no operand; ``raises``,
    that it may fail. ``in_block`` prints it for a part of each array: None where an entry of the
    result depends on more than one entry of each operand.
    """

    write: Write
    takes_out: bool = False
    over: int = 0
    fresh: bool = False
    in_block: Write | None = None
    raises: bool = False


def form_of(i: Instruction) -> Form:
    """How a pure instruction is printed."""
    op = i.op
    if op.__class__ is Call:
        return _call_form(i, op.function)
    special = ROWS.get(op)
    found = special(i) if special else None
    if found is not None:
        return found
    if i.operands and op.scalar is not None and all(map(_is_number, i.operands)):
        return _scalar_form(op, len(i.operands))
    if type(op).compute is not Primitive.compute:
        return Form(_calling(_computing(op), op.name), raises=True)
    return _call_form(i, op.array)


def _call_form(i: Instruction, function: Any) -> Form:
    if isinstance(function, np.ufunc) and function.nout == 1:
        return _ufunc_form(i, function)
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        return _method_of_ufunc_form(i, function)
    special = _look_up(CALLS, function)
    if special is not None:
        return special  # type: ignore[no-any-return]
    if function.__class__ is partial and function.func is np.array:
        return _copy_form(i, function.keywords)
    if function is np.ravel and _holds_array(i.operands[0]):
        return Form(_calling_method("ravel"))
    if function.__class__ is MethodDescriptorType and function.__objclass__ is np.ndarray:
        return Form(_calling_method(function.__name__), fresh=_look_up(FRESH, function) is True)
    name = _numpy_name(function) or i.op.name
    fresh = _is_fresh(function) or _is_own(i.op)
    return Form(_calling(function, name), fresh=fresh, raises=not fresh)


def _look_up(table: Mapping[Any, Any], key: Any) -> Any:
    try:
        return table.get(key)
    except TypeError:  # a method of what has no hash
        return None


def _gives_array(i: Instruction) -> bool:
    """Whether it makes one array, not of a single number: what out= can be given to."""
    return len(i.outs) == 1 and i.outs[0].is_array and bool(i.outs[0].shape)


def _holds_array(x: Any) -> bool:
    return x.is_array if x.__class__ is Var else isinstance(x, np.ndarray)


# Text


def _calling(function: Any, name: str) -> Write:
    """Print a call, under NumPy's name or one that stands for the function."""

    def write(i: Instruction, names: Names) -> str:
        callee = name if "." in name else names.constant(function, name)
        return f"{callee}({names.arguments(i.operands, i.params)})"

    return write


def _calling_method(name: str) -> Write:
    def write(i: Instruction, names: Names) -> str:
        arguments = names.arguments(i.operands[1:], i.params)
        return f"{names.owner(i.operands[0])}.{name}({arguments})"

    return write


def _pattern(text: str) -> Write:
    def write(i: Instruction, names: Names) -> str:
        return text.format(*map(names.of, i.operands))

    return write


def _numpy_name(function: Any) -> str:
    """The name under which NumPy has a function, or nothing."""
    name = getattr(function, "__name__", "")
    return f"np.{name}" if getattr(np, name, None) is function else ""


def _computing(op: Any) -> Callable[..., Any]:
    """What an operation computes, as a function of its operands and params."""

    def kernel(*args: Any, **params: Any) -> Any:
        return op.compute(args, params)

    return kernel


# Plain numbers

OPERATORS = {
    operator.add: "{} + {}",
    operator.sub: "{} - {}",
    operator.mul: "{} * {}",
    operator.neg: "-{}",
    operator.not_: "not {}",
    operator.gt: "{} > {}",
    operator.ge: "{} >= {}",
    operator.lt: "{} < {}",
    operator.le: "{} <= {}",
    operator.eq: "{} == {}",
    operator.ne: "{} != {}",
}
RAISING = {  # kept from raising in rows, but not in calls
    operator.truediv: "{} / {}",
    operator.floordiv: "{} // {}",
    operator.mod: "{} % {}",
    operator.pow: "({}) ** {}",  # a minus in front would bind less
}
CALM = frozenset((
    math.atan, math.atan2, math.asinh, math.copysign, math.hypot, math.isfinite, math.isinf,
    math.isnan, math.tanh,
))  # fmt: skip  # those of math's functions that raise for no float
_INLINE: dict[Any, Form] = {
    f: Form(_pattern(text), fresh=True) for f, text in (*OPERATORS.items(), *RAISING.items())
}


def _is_number(x: Any) -> bool:
    """Whether it is a float or a truth value of Python's, which rows compute without NumPy."""
    return (x.kind if x.__class__ is Var else x.__class__) in (float, bool)


def _scalar_form(op: Primitive, operands: int) -> Form:
    kernel: Any = op.scalar
    if kernel in OPERATORS:
        return _INLINE[kernel]
    if kernel in CALM:
        return Form(_calling(kernel, f"math.{kernel.__name__}"), fresh=True)
    return Form(_calling(_rescued(op, operands), op.name), fresh=True)


def _rescued(op: Primitive, operands: int) -> Callable[..., Any]:
    """A row's kernel on floats, with the IEEE result where Python raises."""
    kernel: Any = op.scalar

    def one(x: float) -> Any:
        try:
            return kernel(x)
        except (ArithmeticError, ValueError, TypeError):
            return op.rescue(x)

    def two(x: float, y: float) -> Any:
        try:
            return kernel(x, y)
        except (ArithmeticError, ValueError, TypeError):
            return op.rescue(x, y)

    if operands == 1:
        return one
    return two if operands == 2 else _computing(op)


# Functions of NumPy's

SCALAR_OPERATORS = {  # of NumPy's scalars: the same results, ten times as fast
    np.add: "{} + {}",
    np.subtract: "{} - {}",
    np.multiply: "{} * {}",
    np.divide: "{} / {}",
    np.negative: "-{}",
}
_SCALAR_INLINE = {f: Form(_pattern(text), fresh=True) for f, text in SCALAR_OPERATORS.items()}
FRESH: dict[Any, bool] = dict.fromkeys((
    np.amax, np.amin, np.argmax, np.argmin, np.argsort, np.concatenate, np.cumprod, np.cumsum,
    np.dot, np.full, np.max, np.mean, np.min, np.ones, np.prod, np.sort, np.stack, np.sum,
    np.where, np.zeros, np.ndarray.argmax, np.ndarray.argmin, np.ndarray.argsort,
    np.ndarray.cumprod, np.ndarray.cumsum, np.ndarray.dot, np.ndarray.flatten, np.ndarray.max,
    np.ndarray.mean, np.ndarray.min, np.ndarray.prod, np.ndarray.repeat, np.ndarray.std,
    np.ndarray.sum, np.ndarray.take, np.ndarray.var, concatenate_row.array, scatter_row.array,
    stack_row.array,
), True)  # fmt: skip  # what never returns an operand, nor a view of one


def _is_fresh(function: Any) -> bool:
    return _look_up(FRESH, function) is True


def _is_own(op: Any) -> bool:
    """Whether it is an elementwise row of the library's own: these make new arrays, but alias."""
    entrywise = isinstance(op, (Elementwise, Plain))
    return entrywise and op.array.__module__.startswith("microgradopt.engine.")


def _ufunc_form(i: Instruction, function: np.ufunc) -> Form:
    if not i.params and _are_numpy_scalars(i.operands):
        inline = _SCALAR_INLINE.get(function)
        if inline is not None:
            return inline
    takes_out = len(i.operands) == function.nin and "where" not in i.params and _gives_array(i)
    entrywise = takes_out and function.signature is None
    write = _calling(function, _numpy_name(function) or function.__name__)
    return Form(
        write,
        takes_out=takes_out,
        over=ANY if entrywise else 0,
        fresh=True,
        in_block=write if entrywise else None,
    )


NUMPY_FLOATS = (np.float64, np.float32)


def _are_numpy_scalars(operands: tuple[Any, ...]) -> bool:
    """Whether they are scalars of NumPy's, or some of them numbers of Python's."""
    kinds = {x.kind if x.__class__ is Var else x.__class__ for x in operands}
    return not kinds.isdisjoint(NUMPY_FLOATS) and kinds.issubset((float, int, *NUMPY_FLOATS))


def _method_of_ufunc_form(i: Instruction, function: Any) -> Form:
    """A reduction: its operands are the array, the axis and a dtype before ``out``."""
    owner, name = function.__self__, function.__name__
    known = _numpy_name(owner)
    write = _calling(function, f"{known}.{name}" if known else f"{owner.__name__}_{name}")
    takes_out = name in ("reduce", "accumulate") and len(i.operands) <= 3 and _gives_array(i)
    return Form(write, takes_out=takes_out, fresh=True)


def _float(i: Instruction, names: Names) -> str:
    return f"float({names.arguments(i.operands, i.params)})"


def _copy_form(i: Instruction, options: dict[str, Any]) -> Form:
    if options.keys() != {"order"} or len(i.operands) != 1 or i.params:
        return Form(_calling(i.op.function, i.op.name), fresh=True)

    def write(i: Instruction, names: Names) -> str:
        callee = names.constant(kernels.copy, "copy")
        return f"{callee}({names.of(i.operands[0])}, {options['order']!r})"

    return Form(write, takes_out=_gives_array(i), fresh=True)


CALLS: dict[Any, Form] = {
    **_INLINE,
    float: Form(_float, fresh=True),
    ITEM.function: Form(_calling_method("item"), fresh=True),
    ASTYPE.function: Form(_calling_method("astype"), fresh=True),
    PUT.function: Form(
        _calling(kernels.put, "put"), takes_out=True, over=1, fresh=True, raises=True
    ),
}

# Rows that read or run better in another way than as a call of their kernel


def _relu(i: Instruction) -> Form | None:
    x = i.operands[0]
    if not _holds_array(x) or not x.shape:
        return None
    # Against zeros in its own shape, NumPy runs through the array in one go, not row by row.
    shape = x.shape if math.prod(x.shape) <= FEW else x.shape[-1:]
    block = (BLOCK_BYTES // x.dtype.itemsize,)

    def write(i: Instruction, names: Names) -> str:
        return f"np.maximum({names.of(x)}, {names.filled(0.0, shape, x.dtype)})"

    def in_block(i: Instruction, names: Names) -> str:
        return f"np.maximum({names.of(x)}, {names.filled(0.0, block, x.dtype)}[:n])"

    return Form(write, takes_out=True, over=ANY, fresh=True, in_block=in_block)


def _sum(i: Instruction) -> Form | None:
    x = i.operands[0]
    if not _holds_array(x):
        return None
    axis, keepdims = i.params.get("axis"), i.params.get("keepdims", False)
    by_product = axis == 0 and not keepdims and len(x.shape) == 2 and x.dtype.kind == "f"

    def write(i: Instruction, names: Names) -> str:
        if by_product:  # as the row's kernel does
            return f"np.matmul({names.filled(1.0, x.shape[:1], x.dtype)}, {names.of(x)})"
        options = ", keepdims=True" if keepdims else ""
        return f"np.add.reduce({names.of(x)}, {names.of(axis)}{options})"

    return Form(write, takes_out=_gives_array(i), fresh=True)


def _index(i: Instruction) -> Form | None:
    key = i.params["key"]
    parts = key if key.__class__ is tuple else (key,)
    advanced = any(_holds_array(p) or p.__class__ is list for p in parts)

    def write(i: Instruction, names: Names) -> str:
        inner = ", ".join(map(names.index, parts)) or "()"
        return f"{names.of(i.operands[0])}[{inner}]"

    return Form(write, fresh=advanced, raises=advanced)  # the indices may be new in each run


def _reshape(i: Instruction) -> Form | None:
    def write(i: Instruction, names: Names) -> str:
        return f"{names.owner(i.operands[0])}.reshape({names.of(i.params['shape'])})"

    return Form(write) if _holds_array(i.operands[0]) else None


def _transpose(i: Instruction) -> Form | None:
    axes = i.params.get("axes")
    reverse = axes is None or tuple(axes) == tuple(reversed(range(len(axes))))

    def write(i: Instruction, names: Names) -> str:
        turned = "T" if reverse else f"transpose({names.of(axes)})"
        return f"{names.owner(i.operands[0])}.{turned}"

    return Form(write) if _holds_array(i.operands[0]) else None


def _as_dtype(i: Instruction) -> Form | None:
    x, out = i.operands[0], i.outs[0]
    if not _holds_array(x) or out.dtype is None or x.dtype == out.dtype:
        return None
    if not np.can_cast(x.dtype, out.dtype, "same_kind"):
        return Form(_calling(np.asarray, "np.asarray"), fresh=True)

    def write(i: Instruction, names: Names) -> str:
        callee = names.constant(kernels.astype, "astype")
        return f"{callee}({names.of(i.operands[0])}, {names.of(out.dtype)})"

    return Form(write, takes_out=_gives_array(i), fresh=True, in_block=write)


def _concatenate(i: Instruction) -> Form:
    def write(i: Instruction, names: Names) -> str:
        return f"np.concatenate({names.of(i.operands)}, {names.of(i.params['axis'])})"

    return Form(write, takes_out=_gives_array(i), fresh=True)


def _where(i: Instruction) -> Form | None:
    if not any(map(_holds_array, i.operands)):
        return None
    return Form(
        _calling(np.where, "np.where"), fresh=True, in_block=_calling(kernels.where, "where")
    )


def _value(i: Instruction) -> Form | None:
    def write(i: Instruction, names: Names) -> str:
        return f"{names.of(i.operands[0])}.item()"

    return Form(write, fresh=True) if _holds_array(i.operands[0]) else None


def _alias(i: Instruction) -> Form:
    return Form(_pattern("{}"))


def _chain(i: Instruction) -> Form | None:
    if not _gives_array(i):
        return None
    write = _calling(kernels.chain, "chain")
    return Form(write, takes_out=True, fresh=True, in_block=write)


def _passing(i: Instruction) -> Form | None:
    passed, g = i.operands
    if not _gives_array(i) or not _holds_array(passed) or not _holds_array(g):
        return None
    if passed.dtype != bool or g.dtype.kind != "f":
        return None
    return Form(_calling(kernels.passing, "passing"), takes_out=True, over=ANY, fresh=True)


ROWS: dict[Any, Callable[[Instruction], Form | None]] = {
    add_up: _sum,
    alias: _alias,
    as_dtype: _as_dtype,
    as_value: _value,
    chain: _chain,
    concatenate_row: _concatenate,
    index_row: _index,
    passing: _passing,
    relu: _relu,
    reshape_to: _reshape,
    transpose_row: _transpose,
    where_row: _where,
}
