"""Every row of the table and every public function, jitted next to eager: values and derivatives.

The tests come from registries: a new row is tested at its ``sample``, a new function at its case.
"""

from __future__ import annotations

import numpy as np
import pytest
from fidelity import CALLS, World, agree
from function_cases import CASES

import microgradopt as mg
from microgradopt.check.expressions import library_rows
from microgradopt.check.rules import samples
from microgradopt.engine.graph import Node
from microgradopt.engine.rules import data_of

ROWS = library_rows()


def is_float(x):
    return isinstance(x, float) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def weighted(y):
    """One number made of all results, each with another weight."""
    total = 0.0
    for i, part in enumerate(y if isinstance(y, (list, tuple)) else [y]):
        data = data_of(part)
        weights = np.cos(np.arange(np.size(data)) + i + 1.0).reshape(np.shape(data))
        if isinstance(data, float):
            total = total + part * float(weights)
        else:
            total = total + mg.sum(part * weights.astype(np.result_type(data)))
    return total


def leaf(x):
    return mg.Value(x) if isinstance(x, float) else mg.Tensor(x)


def backward(f, chosen):
    def of(*xs):
        nodes = [leaf(x) if i in chosen else x for i, x in enumerate(xs)]
        y = weighted(f(*nodes))
        if y.requires_grad:
            y.backward()
        return y, [x.grad for x in nodes if isinstance(x, Node)]

    return of


def second(f, chosen):
    def first(*xs):
        return mg.grad(lambda *ys: weighted(f(*ys)), chosen)(*xs)

    return mg.grad(lambda *xs: sum(map(weighted, first(*xs))), chosen)


def forward(f, chosen):
    def of(*xs):
        def of_chosen(*ys):
            given = dict(zip(chosen, ys))
            return f(*[given.get(i, x) for i, x in enumerate(xs)])

        moved = tuple(xs[i] for i in chosen)
        along = tuple(0.5 if isinstance(x, float) else np.full_like(x, 0.5) for x in moved)
        return mg.jvp(of_chosen, moved, along)

    return of


def plain(f, chosen):
    return f


WAYS = {"plain": plain, "backward": backward, "second": second, "forward": forward}


@np.errstate(all="ignore")
def moved(args, number, dtype):
    """The arguments of a call: other numbers in each, in the dtype asked for."""

    def of(x):
        if isinstance(x, float):
            return x * (1.0 + 0.01 * number)
        if is_float(x):
            return (x * (1.0 + 0.01 * number)).astype(dtype)
        return x

    return tuple(map(of, args))


def check(f, args, ways, dtype=np.float64):
    chosen = tuple(i for i, x in enumerate(args) if is_float(x))
    for way in ways:
        if chosen or way in ("plain", "backward"):
            g = WAYS[way](f, chosen)
            calls = [moved(args, i, dtype) for i in range(CALLS)]
            agree(lambda g=g, calls=calls: World(g, calls))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row(row):
    rng = np.random.default_rng(sum(map(ord, row.name)))
    for args, params in samples(row, rng):

        def f(*xs, params=params):
            return row(*xs, **params)

        check(f, args, WAYS)
        if any(isinstance(x, np.ndarray) for x in args):
            check(f, args, ["backward"], np.float32)


@pytest.mark.parametrize("case", CASES[::2], ids=str)
def test_every_second_function(case):
    check(case.f, case.args, ["backward"])


@pytest.mark.parametrize("case", CASES[1::8], ids=str)
def test_others_in_other_ways(case):
    check(case.f, case.args, ["plain", "forward"])
    check(case.f, case.args, ["backward"], np.float32)
