"""Algebraic simplification: only what leaves every bit as it is, with NaN, infinity and −0.0.

So x + 0.0 stays, which makes 0.0 of −0.0, and so does x · 0.0. An array takes the place of another
only in the same memory order: in a different one, sums and products round differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.layout import in_c_order
from microgradopt.compiler.passes.rewriting import Renaming
from microgradopt.compiler.program import Instruction, Program, Var
from microgradopt.engine.ops.elementwise import (
    add,
    divide,
    greater,
    multiply,
    negative,
    relu,
    subtract,
)
from microgradopt.engine.ops.shapes import transpose_row
from microgradopt.engine.rules import alias, as_dtype, broadcast_to, reshape_to

Made: TypeAlias = dict[Any, Instruction]  # what made a variable; (relu, x): what made relu(x)
Rule: TypeAlias = Callable[[Instruction, Made], "Instruction | Var | None"]
"""What may stand for an instruction: another one, a variable known before, or None: nothing."""


def simplified(program: Program) -> Program:
    """The program with simpler instructions, or none, in the places of those that rules know."""
    renaming = Renaming()
    made: Made = {}
    kept = []
    for old in program.instructions:
        i = renaming.applied(old)
        rule = RULES.get(i.op) if i.op.__class__.__hash__ is object.__hash__ else None
        if rule is not None:
            simpler = rule(i, made)
            if simpler.__class__ is Var:
                renaming[i.outs[0]] = simpler
                continue
            i = simpler or i  # type: ignore[assignment]
            if i.op is relu and _stands_for(i.operands[0], i.outs[0]):
                made[relu, i.operands[0]] = i
            elif i.op in REMEMBERED:
                made[i.outs[0]] = i
        kept.append(i)
    return renaming.finished(program, kept)


def _stands_for(x: Any, out: Var) -> bool:
    """Whether the variable ``x`` may take the place of ``out``, which has the same entries."""
    return (
        x.__class__ is Var
        and x.kind is out.kind
        and x.shape == out.shape
        and x.dtype == out.dtype
        and x.strides == out.strides
    )


def _operand(i: Instruction, place: int) -> Var | None:
    x = i.operands[place]
    return x if _stands_for(x, i.outs[0]) else None


def _times(i: Instruction, made: Made) -> Var | None:
    a, b = i.operands
    if b.__class__ is float and b == 1.0:
        return _operand(i, 0)
    if a.__class__ is float and a == 1.0:
        return _operand(i, 1)
    return None


def _plus(i: Instruction, made: Made) -> Var | None:
    a, b = i.operands
    if _is_minus_zero(b):
        return _operand(i, 0)
    if _is_minus_zero(a):
        return _operand(i, 1)
    return None


def _minus(i: Instruction, made: Made) -> Var | None:
    b = i.operands[1]
    return _operand(i, 0) if b.__class__ is float and b == 0.0 and not _is_minus_zero(b) else None


def _is_minus_zero(x: Any) -> bool:
    return x.__class__ is float and x == 0.0 and math.copysign(1.0, x) < 0.0


def _over(i: Instruction, made: Made) -> Instruction | Var | None:
    x, b = i.operands
    if b.__class__ is not float:
        return None
    if b == 1.0:
        return _operand(i, 0)
    out = i.outs[0]
    # Whole numbers become floats in a division: only then are the two the same.
    narrow = x.__class__ is Var and (
        x.kind is float or (x.dtype is not None and x.dtype.kind == "f")
    )
    if narrow and _has_exact_reciprocal(b, out.dtype):
        return Instruction(multiply, (x, 1.0 / b), {}, i.outs, i.line)
    return None


def _has_exact_reciprocal(b: float, dtype: np.dtype[Any] | None) -> bool:
    """Whether it is a power of two, the reciprocal of which is one too, and a normal number."""
    tiny = float(np.finfo(dtype or np.float64).tiny)
    return math.isfinite(b) and abs(math.frexp(b)[0]) == 0.5 and tiny <= abs(b) <= 1.0 / tiny


def _above(i: Instruction, made: Made) -> Instruction | None:
    """x > 0 as relu(x) > 0, which is as true: then x, needed no longer, can be overwritten."""
    x, bound = i.operands
    if x.__class__ is not Var or bound.__class__ is not float or bound != 0.0:
        return None
    inner = made.get((relu, x))
    return inner and Instruction(i.op, (inner.outs[0], bound), {}, i.outs, i.line)


def _minus_of(i: Instruction, made: Made) -> Var | None:
    inner = _producer(i, made)
    return _before(inner, i) if inner and inner.op is negative else None


def _producer(i: Instruction, made: Made) -> Instruction | None:
    x = i.operands[0]
    return made.get(x) if x.__class__ is Var else None


def _before(inner: Instruction, i: Instruction) -> Var | None:
    x = inner.operands[0]
    return x if _stands_for(x, i.outs[0]) else None


def _unchanged(i: Instruction, made: Made) -> Var | None:
    return _operand(i, 0)


def _reshaped(i: Instruction, made: Made) -> Instruction | Var | None:
    if x := _operand(i, 0):
        return x
    inner = _producer(i, made)
    if inner is None or inner.op is not reshape_to:
        return None
    x = inner.operands[0]
    if x.__class__ is not Var or not x.is_array or not in_c_order(x):
        return None  # the inner one may be a copy, and its entries lie differently
    return _before(inner, i) or Instruction(
        reshape_to, inner.operands[:1], {"shape": i.outs[0].shape}, i.outs, i.line
    )


def _transposed(i: Instruction, made: Made) -> Instruction | Var | None:
    axes = i.params.get("axes")
    if axes is None:
        return None
    if list(axes) == list(range(len(axes))):
        return _operand(i, 0)
    inner = _producer(i, made)
    if inner is None or inner.op is not transpose_row or inner.params.get("axes") is None:
        return None
    order = tuple(inner.params["axes"][a] for a in axes)
    if list(order) == list(range(len(order))):
        return _before(inner, i)
    return Instruction(transpose_row, inner.operands, {"axes": order}, i.outs, i.line)


RULES: dict[Any, Rule] = {
    add: _plus,
    subtract: _minus,
    multiply: _times,
    divide: _over,
    greater: _above,
    negative: _minus_of,
    alias: _unchanged,
    relu: lambda i, made: None,  # to be remembered
    as_dtype: _unchanged,
    broadcast_to: _unchanged,
    reshape_to: _reshaped,
    transpose_row: _transposed,
}
REMEMBERED = frozenset((negative, reshape_to, transpose_row))
