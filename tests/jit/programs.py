"""Programs for tests: put together by hand, or at random by Hypothesis."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from microgradopt.compiler.program import (
    Call,
    Check,
    Guard,
    Host,
    Instruction,
    Program,
    Var,
    substituted,
)
from microgradopt.compiler.tracing.standin import ITEM, PUT
from microgradopt.engine.graph import Primitive
from microgradopt.engine.lines import NOWHERE, Line
from microgradopt.engine.ops.shapes import index_row, transpose_row
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import add_up, as_dtype, broadcast_to, chain, passing, reshape_to

ROWS = Primitive.table
UNARY = (
    "absolute", "alias", "exp", "floor", "isfinite", "log", "logical_not", "negative",
    "reciprocal", "relu", "sigmoid", "sign", "sin", "sqrt", "square", "tanh",
)  # fmt: skip
BINARY = (
    "add", "arctan2", "divide", "equal", "greater", "hypot", "less_equal", "logical_and",
    "maximum", "minimum", "multiply", "power", "subtract",
)  # fmt: skip
NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -0.25, 3.0, 1e300, np.inf, np.nan, 2, True)


class Builder:
    """Records instructions while it runs them, so that every variable's type is the true one."""

    def __init__(self, *entries: Any, names: tuple[str | None, ...] = ()) -> None:
        self.values = list(entries)
        names = names or (None,) * len(entries)
        self.entries = [Var.like(x, n) for x, n in zip(entries, names, strict=True)]
        self.known = dict(zip(self.entries, entries, strict=True))
        self.instructions: list[Instruction] = []
        self.line = NOWHERE

    def at(self, line: Line) -> None:
        """The user's line that the next instructions come from."""
        self.line = line

    @quietly
    def __call__(self, op: Any, *operands: Any, **params: Any) -> Any:
        """Apply a row (or its name), a NumPy function, or an effect."""
        if isinstance(op, str):
            op = ROWS[op]
        elif not hasattr(op, "compute"):
            op = Call(op.__name__, op)
        args, options = substituted((operands, params), self.known.__getitem__)
        out = op.compute(args, options)
        if isinstance(op, (Guard, Check)):
            outs: tuple[Var, ...] = ()
        else:
            values = out if isinstance(out, tuple) else (out,)
            outs = tuple(map(Var.like, values))
            self.known.update(zip(outs, values, strict=True))
        self.instructions.append(Instruction(op, operands, params, outs, self.line))
        return outs[0] if len(outs) == 1 else outs

    def program(self, *results: Any) -> Program:
        """What was recorded so far."""
        return Program(self.entries, list(self.instructions), list(results))


def same(a: Any, b: Any) -> bool:
    """Whether two results have the same type, dtype, shape and bits; a NaN is a NaN."""
    if type(a) is not type(b):
        return False
    if not isinstance(a, (np.ndarray, np.generic, float)):
        return bool(a == b)
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(
        np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b)
    )


def copied(values: list[Any]) -> list[Any]:
    """Entries in the same memory order, as what a run could overwrite."""
    return [x.copy(order="K") if isinstance(x, np.ndarray) and is_dense(x) else x for x in values]


def is_dense(x: np.ndarray) -> bool:
    """Whether a copy has the same strides."""
    return x.copy(order="K").strides == x.strides


SHAPES = ((), (1,), (4,), (3, 4), (3, 4), (3, 1), (1, 4), (4, 3), (4, 4), (2, 3, 4), (0, 4))
DTYPES = ("float64", "float64", "float64", "float32", "float32", "bool", "int64")
UNFIT = (TypeError, ValueError, IndexError, ArithmeticError, AttributeError)


class Drawing:
    """What a random program is drawn from."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def chance(self) -> bool:
        return bool(self.rng.integers(2))

    def one_of(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def entry(self) -> Any:
        if self.rng.integers(4) == 0:
            return float(self.one_of([0.0, -0.0, 1.5, np.inf, np.nan, self.rng.normal()]))
        shape, dtype = self.one_of(SHAPES), self.one_of(DTYPES)
        x = (3.0 * self.rng.normal(size=tuple(2 * n for n in shape))).astype(dtype)
        if dtype.startswith("f") and x.size and self.chance():
            x.flat[0] = self.one_of([0.0, -0.0, np.inf, np.nan, 1e30])
        layout = self.rng.integers(5)
        if layout == 0:
            return x[tuple(slice(None, None, 2) for _ in shape)]
        whole = x[tuple(slice(n) for n in shape)]
        if layout == 1:
            return np.asfortranarray(whole)
        return whole.copy()[::-1] if layout == 2 and shape else whole.copy()

    def some(self, pool: list[Any]) -> Any:
        return self.one_of(NUMBERS) if self.rng.integers(5) == 0 else self.one_of(pool)

    def array(self, pool: list[Any]) -> Any:
        return self.one_of([x for x in pool if x.is_array])  # or ValueError, where there is none


def random_program(seed: int, length: int) -> tuple[Program, list[Any]]:
    """A random program and entries to run it on: of all kinds, with effects among the rest."""
    d = Drawing(seed)
    entries = [d.entry() for _ in range(d.rng.integers(1, 5))]
    if d.chance():
        entries.append(entries[0])  # the same array twice
    b = Builder(*entries)
    pool: list[Any] = list(b.entries)
    for _ in range(length):
        try:
            made = d.one_of(STEPS)(d, b, pool)
        except UNFIT:
            continue  # not for these operands
        pool += made if isinstance(made, tuple) else (made,)
    results = [d.one_of(pool[-6:] if d.chance() else pool) for _ in range(d.rng.integers(1, 6))]
    if d.rng.integers(8) == 0:
        results.append(np.arange(3.0))
    return b.program(*results), b.values


def programs(length: int = 40) -> st.SearchStrategy[tuple[Program, list[Any]]]:
    """Random programs with entries; a failing one gets shorter, not simpler."""
    return st.builds(random_program, st.integers(0, 2**32 - 1), st.integers(0, length))


def _unary(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    return b(d.one_of(UNARY), d.some(pool))


def _binary(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    return b(d.one_of(BINARY), d.some(pool), d.some(pool))


def _again(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    old = d.one_of(b.instructions)
    return () if isinstance(old.op, (Guard, Check)) else b(old.op, *old.operands, **old.params)


def _where(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    return b("where", d.some(pool), d.some(pool), d.some(pool))


def _sum(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x = d.array(pool)
    axis = d.one_of([None, *range(len(x.shape))])
    kind = d.one_of([add_up, add_up, np.add.reduce, np.maximum.reduce, np.add.accumulate])
    if kind == np.add.accumulate:
        return b(kind, x, axis=axis or 0)
    return b(kind, x, axis=axis, keepdims=d.chance())


def _matmul(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x, y = d.array(pool), d.array(pool)
    if d.chance():
        y = b(transpose_row, y, axes=tuple(reversed(range(len(y.shape)))))
    return b("matmul", x, y)


def _relu(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x = d.array(pool)
    return b("relu", x), b("greater", x, 0.0)


def _chain(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x, g = d.array(pool), d.array(pool)
    return b(passing, b("greater", x, 0.0), g) if d.chance() else b(chain, g, x)


def _view(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x = d.array(pool)
    n = len(x.shape)
    kind = d.rng.integers(5)
    if kind == 0:
        return b(transpose_row, x, axes=tuple(map(int, d.rng.permutation(n))))
    if kind == 1:
        size = int(np.prod(x.shape))
        shape = d.one_of([(size,), (1, size), x.shape, x.shape[::-1], (-1,)])
        return b(reshape_to, x, shape=shape)
    if kind == 2:
        return b(broadcast_to, x, shape=d.one_of([x.shape, (2, *x.shape)]))
    if kind == 3:
        cut = slice(None, None, d.one_of([1, 2, -1]))
        return b(index_row, x, key=d.one_of([cut, (cut,) * n, (..., cut), None]))
    return b(np.ravel, x)


def _copy(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x = d.array(pool)
    kind = d.rng.integers(4)
    if kind == 0:
        key = d.one_of([0, -1, np.array([0, 1, 0]), (..., 1), [0, 0]])
        return b(index_row, x, key=key)
    if kind == 1:
        return b(as_dtype, x, dtype=np.dtype(d.one_of(["float64", "float32", "int64"])))
    if kind == 2:
        return b(PUT, x, d.one_of([0, slice(1), np.array([0, 0]), ...]), d.some(pool))
    return b(Call("copy", partial(np.array, order=d.one_of(["C", "F"]))), x)


def _join(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    parts = [d.array(pool) for _ in range(d.rng.integers(1, 4))]
    return b(d.one_of(["concatenate", "stack"]), *parts, axis=int(d.rng.integers(2)))


def _item(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x = d.array(pool)
    return b(ITEM, x, d.rng.integers(np.prod(x.shape, dtype=int)).item())


def _effect(d: Drawing, b: Builder, pool: list[Any]) -> Any:
    x = d.some(pool)
    kind = d.rng.integers(4)
    if kind == 0 or not isinstance(x, Var):
        return b(Host("rate", lambda: 0.1))
    if kind == 1:
        return b(Host("twice", lambda x: (x, 2.0 * x)), x)
    if kind == 2:
        return b(Guard(bool(b.known[x])), x)
    return b(Check(lambda *args: None), x)


STEPS = (
    _unary, _unary, _unary, _binary, _binary, _binary, _binary, _binary, _again, _where, _sum,
    _sum, _matmul, _relu, _chain, _view, _view, _copy, _join, _item, _effect,
)  # fmt: skip
