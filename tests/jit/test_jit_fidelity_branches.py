"""Python that branches on traced numbers: each course is a program, and none is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from fidelity import World, agree, jit

import microgradopt as mg
from microgradopt import Tensor, Value, optim
from microgradopt.compiler import function as jit_function
from microgradopt.engine.rules import data_of
from microgradopt.errors import TraceError

RNG = np.random.default_rng(0)
VECTOR = RNG.normal(size=5)


def numbers(count, seed=1):
    return [(float(x),) for x in np.random.default_rng(seed).normal(size=count)]


def test_a_branch_on_a_number():
    def f(x):
        return x * 2.0 if x > 0.0 else x - 1.0

    agree(lambda: World(f, numbers(20)))


def test_branches_on_nodes_and_their_data():
    def f(x):
        v = Value(x)
        if v.data > 0.5:
            v = v * 2.0
        if mg.greater(v, -0.5):
            v = mg.exp(v)
        if v:
            v = v + 1.0
        return v

    agree(lambda: World(f, numbers(30)))


def test_branches_inside_of_a_derivative():
    def f(x):
        def of(y):
            return mg.sin(y) if y > 0.0 else y * y * y

        return mg.grad(of)(x), mg.grad(mg.grad(of))(x)

    agree(lambda: World(f, numbers(20)))


def test_a_branch_that_flips_at_each_call():
    def f(x):
        return mg.exp(x) if x > 0.0 else mg.sin(x)

    calls = [(0.5 * (-1.0) ** i,) for i in range(12)]
    agree(lambda: World(f, calls))


def test_a_loop_until_convergence():
    def f(a):
        x = 1.0
        while abs(x * x - a) > 1e-9:
            x = 0.5 * (x + a / x)
        return x

    calls = [(a,) for a in (2.0, 2.1, 3.0, 50.0, 2.05, 49.0, 3.1, 2.2, 50.0, 3.0)]
    agree(lambda: World(f, calls), replays=False)


def test_training_until_a_loss_is_small():
    def make():
        w = Tensor(VECTOR)
        opt = optim.SGD([w], lr=0.1)

        def f(x):
            for _ in range(50):
                opt.zero_grad()
                loss = mg.sum((w - x) ** 2)
                loss.backward()
                opt.step()
                if loss.data < 0.05:
                    break
            return loss

        return World(f, [(VECTOR * s,) for s in (2.0, 1.0, 2.0, 1.0, 2.0, 1.0)], [w, opt])

    agree(make, replays=False)


def test_branches_on_arrays():
    def f(x):
        if (x > 0.0).all():
            return x
        if np.any(x > 1.0) and not np.isnan(x).any():
            return x.max()
        return x[x.argmax()], np.abs(x).max() > 0.5

    draws = np.random.default_rng(2)
    calls = [(draws.normal(size=3),) for _ in range(30)]
    agree(lambda: World(f, calls), replays=False)


def test_comparisons_used_as_numbers_are_no_branches():
    def f(x):
        return (x > 0.0) * 2.0, mg.where(x > 0.5, x, -x), (x > 0.0) & (x < 1.0), x == x

    agree(lambda: World(f, [(VECTOR,), (-VECTOR,), (VECTOR * 2.0,), (VECTOR - 1.0,)]))
    agree(lambda: World(f, [(0.5,), (-0.5,), (0.7,), (-1.5,)]))


def test_minimum_maximum_and_sorting_of_pythons():
    def f(x, y):
        return max(x, y), min(x, 0.25), sorted([x, y, 0.0]), abs(x), sum([x, y, 1.0])

    draws = np.random.default_rng(3).normal(size=(40, 2))
    agree(lambda: World(f, [(float(a), float(b)) for a, b in draws]), replays=False)


def test_one_that_never_settles_says_so():
    def f(x):
        n = 0
        while x > 0.5:
            x = x - 1.0
            n += 1
        return n

    jitted = jit(f)
    for i in range(jit_function.LIMIT):
        assert jitted(float(i)) == f(float(i))
    with pytest.raises(TraceError, match="comparisons of traced numbers come out otherwise"):
        jitted(2.0 * jit_function.LIMIT)


def test_arguments_that_are_never_the_same_say_so():
    jitted = jit(lambda x, n: x * n)
    for i in range(jit_function.LIMIT):
        assert jitted(2.0, i) == 2.0 * i
    with pytest.raises(TraceError, match="an argument is another one in each"):
        jitted(2.0, -1)


def test_many_shapes_in_turn_are_fine():
    shapes = [np.ones(n) for n in range(1, jit_function.LIMIT - 3)]
    jitted = jit(lambda x: mg.sum(x * 2.0))
    for _ in range(4):
        for x in shapes:
            assert jitted(x) == 2.0 * len(x)


def test_a_guard_that_fails_takes_nothing_with_it():
    """The run that found the other branch has left no trace: no draw, no step, no state."""

    def make():
        layer = mg.nn.Dropout(0.5, rng=3)
        w = Tensor(VECTOR)
        opt = optim.Adam([w], lr=0.1)

        def f(x):
            opt.zero_grad()
            y = layer(w * x)
            loss = mg.sum(y * y)
            if loss.data > 4.0:
                loss = loss * 0.5
            loss.backward()
            opt.step()
            return loss

        draws = np.random.default_rng(5).normal(size=(20, 5))
        return World(f, [(x * 3.0,) for x in draws], [w, opt, layer.rng])

    agree(make, replays=False)


# Shapes that depend on data


SELECTIONS = {
    "mask": lambda x: x[x > 0.0],
    "mask of a row": lambda x: mg.sum(mg.Tensor(x)[x > 0.0] ** 2),
    "gradient": lambda x: mg.grad(lambda y: mg.sum(y[x > 0.0] ** 2))(x),
    "nonzero": lambda x: np.nonzero(x > 0.0)[0],
    "method": lambda x: (x > 0.0).nonzero()[0] * 2,
    "flatnonzero": lambda x: np.flatnonzero(x > 0.0),
    "argwhere": lambda x: np.argwhere(x > 0.0),
    "where": lambda x: np.where(x > 0.0)[0],
    "compress": lambda x: np.compress(x > 0.0, x),
    "compress of a node": lambda x: mg.compress(x > 0.0, mg.Tensor(x)),
    "extract": lambda x: np.extract(x > 0.0, x),
    "unique": lambda x: np.unique(np.floor(x)),
    "trim_zeros": lambda x: mg.trim_zeros(mg.maximum(x, 0.0)),
    "repeat": lambda x: np.repeat(x, (x > 0.0).astype(int)),
    "repeat of a node": lambda x: mg.repeat(mg.Tensor(x), (x > 0.0).astype(int)),
    "count": lambda x: np.count_nonzero(x > 0.0),
    "length": lambda x: len(x[x > 0.0]) * 1.0,
    "mean": lambda x: x[x > 0.0].mean() if (x > 0.0).any() else 0.0,
    "delete": lambda x: np.delete(x, np.flatnonzero(x > 0.0)),
    "setdiff": lambda x: np.setdiff1d(np.floor(x), [0.0]),
    "bincount": lambda x: np.bincount((x > 0.0).astype(int)),
    "masked write": lambda x: written(x),
}  # fmt: skip


def written(x):
    y = x * 1.0
    y[y > 0.0] = 0.5
    return y


@pytest.mark.parametrize("name", SELECTIONS)
def test_shapes_that_depend_on_data_are_right_or_refused(name):
    f = SELECTIONS[name]
    jitted = jit(f)
    draws = np.random.default_rng(4).normal(size=(16, 5))
    calls = [*draws[:2], draws[1] * 2.0, *np.repeat(draws, 3, axis=0), np.zeros(5), -np.ones(5)]
    try:
        for x in calls:
            np.testing.assert_array_equal(data_of(jitted(x)), data_of(f(x)), strict=True)
    except TraceError as error:
        assert "mg.jit" in str(error)  # noqa: PT017


def test_ranks_and_places_that_decide_what_follows():
    singular, regular = np.outer([1.0, 2.0, 3.0], [1.0, 0.5, 2.0]), np.eye(3) + 0.1
    none = np.zeros((3, 3))
    edges = [
        np.array(x) for x in ([0.0, 1.0, 2.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0])
    ]

    def slopes(a):
        return mg.hvp(mg.linalg.det, a, np.ones_like(a)), mg.linalg.lstsq(a, a[0]).rank

    order = [regular, regular, singular, none, regular, singular, none, none, singular]
    agree(lambda: World(slopes, [(a,) for a in order]), replays=False)
    turns = [edges[i] for i in (0, 0, 1, 2, 1, 2, 0, 1, 2)]
    agree(lambda: World(lambda x: mg.trim_zeros(x) * 2.0, [(x,) for x in turns]))
