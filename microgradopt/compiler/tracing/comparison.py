"""Whether two traced calls did the same: what must hold before a program is replayed."""

from __future__ import annotations

import math
from functools import partial
from itertools import zip_longest
from types import FunctionType
from typing import Any

import numpy as np

from microgradopt.compiler.program import Check, Guard, Host, Instruction, Program, Var, parts
from microgradopt.compiler.tracing.scalars import Block, ScalarProgram, same_scalars
from microgradopt.engine.lines import quoted
from microgradopt.errors import TraceError

DECIDING = frozenset(("has_shape", "array_equal"))  # what is compared with what a trace had found


def refuse_difference(first: Program, second: Program) -> None:
    """Raise where a constant of one call is another one in the next.

    Raises:
        TraceError: naming the line.
    """
    if (
        isinstance(first, ScalarProgram)
        and isinstance(second, ScalarProgram)
        and first.scalars.constants == second.scalars.constants
    ):
        return  # the objects that say where are not needed
    for a, b in zip(first.instructions, second.instructions):
        if isinstance(a.op, Block):
            refuse_difference(a.op.program, b.op.program)
        for x, y in zip(_constants((a.operands, a.params)), _constants((b.operands, b.params))):
            if not _same(x, y):
                raise TraceError(
                    f"mg.jit: {_named(x)} used by {a.op.name!r} is {_named(y)} in the next call, "
                    "and it is not an argument, so that a replay would not see it change; give it "
                    f"as an argument (random numbers too, or a layer with rng=){quoted(a.line)}"
                )


def refuse_other_results(first: Any, second: Any) -> None:
    """Raise where something untraced in what a call returned is something else in the next.

    Raises:
        TraceError: saying what.
    """
    for x, y in zip_longest(_constants(first), _constants(second)):
        if not _same(x, y):
            raise TraceError(
                f"mg.jit: the function returns {_named(x)}, and {_named(y)} in the next call, "
                "which it neither gets as an argument nor computes; a replay would not see it "
                "change"
            )


def same_course(first: Program, second: Program) -> bool:
    """Whether two programs are the same operations on the same variables, constants aside."""
    if isinstance(first, ScalarProgram) and isinstance(second, ScalarProgram):
        return same_scalars(first, second)
    if len(first.instructions) != len(second.instructions):
        return False
    if len(first.entries) != len(second.entries) or len(first.results) != len(second.results):
        return False
    pairs = dict(zip(first.entries, second.entries))
    for a, b in zip(first.instructions, second.instructions):
        if a.op is not b.op and not _same_op(a.op, b.op):
            return False
        if not _aligned((a.operands, a.params), (b.operands, b.params), pairs):
            return False
        if len(a.outs) != len(b.outs) or _decided_otherwise(a, b):
            return False
        for x, y in zip(a.outs, b.outs):
            if x.shape != y.shape or x.dtype != y.dtype or x.kind is not y.kind:
                return False
            pairs[x] = y
    return _aligned(first.results, second.results, pairs)


def part_at_guard(first: Program, second: Program, pairs: dict[Var, Var]) -> bool:
    """Whether a comparison of traced numbers is the first thing that two calls differ in.

    ``pairs`` are the entries of the first that are the same state as those of the second.
    """
    pairs = dict(pairs)
    for a, b in zip(first.instructions, second.instructions):
        if not _aligned((a.operands, a.params), (b.operands, b.params), pairs):
            return False
        if isinstance(a.op, Guard) and isinstance(b.op, Guard) and a.op.expected != b.op.expected:
            return True
        if isinstance(a.op, Check) != isinstance(b.op, Check):
            return True  # in one call all was finite
        if _decided_otherwise(a, b):
            return True
        if len(a.outs) != len(b.outs) or (a.op is not b.op and not _same_op(a.op, b.op)):
            return False
        pairs.update(zip(a.outs, b.outs))
    return False


def _decided_otherwise(a: Instruction, b: Instruction) -> bool:
    """Whether a guard is next that asks for something else in each of two calls."""
    if a.op.name not in DECIDING or a.op.name != b.op.name:
        return False
    return not all(map(_same, _constants(a.operands), _constants(b.operands)))


def _same_op(a: Any, b: Any) -> bool:
    if type(a) is not type(b) or a.name != b.name:
        return False
    if isinstance(a, Host):
        return _same_function(a.function, b.function)
    if isinstance(a, Block):
        return same_scalars(a.program, b.program)
    return not isinstance(a, Guard) or a.expected == b.expected


def _same_function(f: Any, g: Any) -> bool:
    if isinstance(f, partial) and isinstance(g, partial):
        given = zip(_constants([f.args, f.keywords]), _constants([g.args, g.keywords]))
        return _same_function(f.func, g.func) and all(_same_function(x, y) for x, y in given)
    if isinstance(f, FunctionType) and isinstance(g, FunctionType):  # made anew in each call?
        return f.__code__ is g.__code__ and all(map(_same, _held(f), _held(g)))
    return _same(f, g)


def _held(f: FunctionType) -> list[Any]:
    """What a function has from around it."""
    return [cell.cell_contents for cell in f.__closure__ or ()] + list(f.__defaults__ or ())


def _aligned(x: Any, y: Any, pairs: dict[Var, Var]) -> bool:
    """Whether two structures have the same form, and corresponding variables in it."""
    if type(x) is not type(y):
        return False
    if type(x) is Var:
        return pairs.get(x) is y
    if type(x) in (tuple, list):
        return len(x) == len(y) and all(_aligned(a, b, pairs) for a, b in zip(x, y))
    if type(x) is dict:
        return x.keys() == y.keys() and all(_aligned(x[k], y[k], pairs) for k in x)
    if type(x) is slice:
        return _aligned((x.start, x.stop, x.step), (y.start, y.stop, y.step), pairs)
    return not isinstance(x, np.ndarray) or x.shape == y.shape


def _constants(tree: Any) -> list[Any]:
    return [x for x in parts(tree) if type(x) is not Var]


def _same(x: Any, y: Any) -> bool:
    if x is y:
        return True
    if isinstance(x, np.ndarray):
        return bool(np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"))
    if isinstance(x, float):
        return x == y or (math.isnan(x) and math.isnan(y))
    same = x == y
    return bool(same) if isinstance(same, (bool, np.bool_)) else True


def _named(x: Any) -> str:
    return f"an array of shape {x.shape}" if isinstance(x, np.ndarray) else repr(x)
