"""Leaves that are computed from other nodes for a while: what they are then, and afterwards."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn
from microgradopt.engine import binding
from microgradopt.engine.binding import as_before, bind, is_bound
from microgradopt.errors import StaleGraphError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 2))


@pytest.fixture(autouse=True)
def _nothing_stays_bound():
    yield
    assert not binding._bound


def leaf_pair():
    """A Value and a Tensor, both with gradients, and a third that wants none."""
    v, t, frozen = Value(0.5, name="v"), Tensor(RNG.normal(size=(2, 3)), name="t"), Value(2.0)
    v.grad, t.grad = 7.0, np.full((2, 3), 5.0)
    frozen.requires_grad = False
    return v, t, frozen


def loss_of(v, t, frozen):
    return mg.sum(mg.tanh(X @ t * v)) * frozen + v**3


def contents(leaf):
    """All that makes a leaf what it is."""
    slots = ("_index", "_a", "_b", "_bits", "_raw", "grad", "op", "name")
    return [getattr(leaf, name) for name in slots]


def of_inputs(leaves, loss):
    """The loss as a function of the leaves' data, to be called within ``as_before``."""

    def f(*inputs):
        for leaf, x in zip(leaves, inputs, strict=True):
            bind(leaf, x)
        return loss()

    return f


def dense(transform, leaves, loss, *at):
    with as_before(leaves):
        return transform(of_inputs(leaves, loss), *at)


# Nothing stays


@pytest.mark.parametrize("fails", [None, ValueError, KeyboardInterrupt, GeneratorExit])
def test_nothing_stays_whatever_happens(fails):
    leaves = v, t, frozen = leaf_pair()
    before = [contents(leaf) for leaf in leaves]

    def inside():
        with as_before(leaves):
            for leaf in leaves:
                bind(leaf, leaf * 2.0)
            t.grad, v.grad = None, 3.0
            assert (v.data, frozen.data) == (1.0, 4.0)
            assert v.op is not None
            if fails:
                raise fails

    if fails:
        with pytest.raises(fails):
            inside()
    else:
        inside()
    for leaf, held in zip(leaves, before):
        assert all(x is y for x, y in zip(contents(leaf), held))
        assert leaf.params == {}
        assert leaf.parents == ()


def test_an_assignment_inside_is_undone():
    v, t, _ = leaf_pair()
    data = t.data
    with as_before([v, t]):
        v.data = -3.0
        t.assign(np.zeros((2, 3)))
    assert v.data == 0.5
    assert t.data is data


def test_one_inside_the_other_undoes_its_own():
    v = Value(1.0)
    with as_before([v]):
        bind(v, Value(2.0) * 3.0)
        with as_before([v]):
            bind(v, Value(5.0))
            assert v.data == 5.0
        assert v.data == 6.0
        assert v.op is not None
    assert v.data == 1.0
    assert v.op is None


def test_one_without_leaves():
    with as_before([]):
        pass


# What it is for


def test_derivatives_at_another_point_are_those_of_a_function():
    leaves = v, t, frozen = leaf_pair()
    at = 0.8, RNG.normal(size=(2, 3)), -1.5
    for transform in (mg.grad, mg.value_and_grad):

        def of_all(f, *x, transform=transform):
            return transform(f, argnums=(0, 1, 2))(*x)

        found = dense(of_all, leaves, lambda: loss_of(*leaves), *at)
        expected = of_all(loss_of, *at)
        for x, y in zip(mg_leaves(found), mg_leaves(expected), strict=True):
            np.testing.assert_array_equal(x, y)
    assert (v.data, frozen.data, v.grad) == (0.5, 2.0, 7.0)
    np.testing.assert_array_equal(t.grad, np.full((2, 3), 5.0))


def mg_leaves(x):
    return [leaf for part in x for leaf in mg_leaves(part)] if isinstance(x, tuple) else [x]


def test_second_and_third_derivatives():
    v, t, frozen = leaf_pair()
    at, along = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))

    def bound(transform, *x):
        return dense(transform, [t], lambda: loss_of(v, t, frozen), *x)

    def free(x):
        return loss_of(0.5, x, 2.0)

    def third(f, x):
        return mg.jvp(lambda y: mg.hvp(f, y, along), (x,), (along,))[1]

    np.testing.assert_allclose(
        bound(lambda f, x: mg.hessian(f)(x), at), mg.hessian(free)(at), rtol=1e-13
    )
    np.testing.assert_allclose(bound(mg.hvp, at, along), mg.hvp(free, at, along), rtol=1e-13)
    np.testing.assert_allclose(bound(third, at), third(free, at), rtol=1e-12)


def test_the_graph_of_a_bound_leaf_leads_to_what_it_is_bound_to():
    source, leaf = Tensor([1.0, 2.0]), Tensor([5.0, 6.0])
    with as_before([leaf]):
        bind(leaf, source**2)
        result = mg.sum(leaf**2)
        result.backward()
    np.testing.assert_array_equal(source.grad, 4.0 * source.data**3)
    assert leaf.grad is None
    np.testing.assert_array_equal(leaf.data, [5.0, 6.0])


def test_a_scalar_leaf_may_be_bound_to_a_number_of_an_array():
    """A Value stays what it is, though its data is an array for a while."""
    leaf, source = Value(2.0), Tensor([3.0, 4.0])
    with as_before([leaf]):
        bind(leaf, source[1])
        mg.sum(leaf * 5.0).backward()
    np.testing.assert_array_equal(source.grad, [0.0, 5.0])
    assert leaf.data == 2.0


def test_bound_to_a_constant_it_is_one():
    leaf = Tensor([1.0, 2.0])
    with as_before([leaf]):
        bind(leaf, Tensor([3.0, 4.0], requires_grad=False))
        assert not leaf.requires_grad
        assert not mg.sum(leaf).requires_grad
        with mg.no_grad():
            bind(leaf, Tensor([5.0, 6.0]))
        np.testing.assert_array_equal(leaf.data, [5.0, 6.0])
    assert leaf.requires_grad


def test_a_closure_may_call_backward_inside_of_a_transform():
    t = Tensor([1.0, 2.0])
    t.grad = np.array([9.0, 9.0])

    def closure():
        t.grad = None
        loss = mg.sum(t**3)
        loss.backward()
        return loss

    value, gradient = dense(
        lambda f, x: mg.value_and_grad(f)(x), [t], closure, np.array([1.0, 3.0])
    )
    assert value == 28.0
    np.testing.assert_array_equal(gradient, [3.0, 27.0])
    np.testing.assert_array_equal(t.grad, [9.0, 9.0])
    H = dense(lambda f, x: mg.hessian(f)(x), [t], closure, np.array([1.0, 3.0]))
    np.testing.assert_array_equal(H, np.diag([6.0, 18.0]))


# Graphs that were there before


def test_older_graphs_are_as_good_as_they_were():
    leaves = v, t, _ = leaf_pair()
    v.grad = t.grad = None
    older = loss_of(*leaves)
    expected = mg.grad(lambda a, b: loss_of(a, b, 2.0), argnums=(0, 1))(v.data, t.data)
    dense(
        lambda f, *x: mg.grad(f, argnums=(0, 1, 2))(*x), leaves, lambda: loss_of(*leaves),
        9.0, np.ones((2, 3)), 8.0,
    )  # fmt: skip
    older.backward()  # not stale, and at the old data
    assert v.grad == pytest.approx(expected[0], rel=1e-14)
    np.testing.assert_allclose(t.grad, expected[1], rtol=1e-14)


def test_graphs_of_assigned_leaves_are_as_stale_as_they_were():
    t = Tensor([1.0, 2.0])
    older = mg.sum(t**2)
    t.data = [3.0, 4.0]
    newer = mg.sum(t**2)
    with as_before([t]):
        bind(t, Tensor([0.0, 0.0]))
    newer.backward()
    np.testing.assert_array_equal(t.grad, [6.0, 8.0])
    with pytest.raises(StaleGraphError):
        older.backward()


def test_a_module_pickles_and_names_its_leaves_as_before():
    net = nn.MLP(2, [3, 1], activation=mg.tanh, rng=0)
    before = pickle.dumps([p.data for p in net.parameters()]), list(dict(net.named_parameters()))
    with as_before(net.parameters()):
        for p in net.parameters():
            bind(p, Tensor(p.data) * 2.0)
        assert list(dict(net.named_parameters())) == before[1]  # penalties are taken of them
    assert pickle.dumps([p.data for p in net.parameters()]) == before[0]
    assert list(dict(net.named_parameters())) == before[1]


@pytest.mark.parametrize("constant", [False, True])
def test_a_bound_parameter_is_one(constant):
    """Also where nothing requires a gradient: a penalty of all parameters stays one."""
    net = nn.MLP(2, [3, 1], activation=mg.tanh, rng=0)
    net.freeze("layers.0.bias")
    held = net.parameters()
    frozen = dict(net.named_parameters())
    with as_before(held):
        for p in held:
            assert not is_bound(p)
            bind(p, Tensor(p.data, requires_grad=not constant))
            assert is_bound(p)
        assert net.parameters() == held
        assert dict(net.named_parameters()) == frozen
    assert not any(map(is_bound, held))
    assert net.parameters() == held


def test_bound_outside_it_stays_bound_after_the_inside():
    leaf = Tensor([1.0])
    with as_before([leaf]):
        bind(leaf, Tensor([2.0]) * 3.0)
        with as_before([leaf]):
            bind(leaf, Tensor([5.0]))
        assert is_bound(leaf)


# Compiled


@pytest.mark.parametrize("make", [lambda: nn.MLP(2, [3, 1], activation=mg.tanh, rng=0),
                                  lambda: nn.scalar.MLP(2, [3, 1], rng=0)])  # fmt: skip
def test_under_jit(make):
    net = make()
    leaves = net.parameters()
    point = [0.7, -0.3]

    def loss():
        out = net(point)
        return out**2 if isinstance(out, Value) else mg.sum(out**2)

    def f(xs):
        for leaf, x in zip(leaves, xs, strict=True):
            bind(leaf, x)
        return loss()

    def derivatives(xs):
        with as_before(leaves):
            return mg.value_and_grad(f)(xs)

    jitted = mg.jit(derivatives, backend="numpy")
    before = [contents(leaf) for leaf in leaves]
    older = loss()
    for i in range(5):
        xs = [p.data * (1.0 + 0.1 * i) for p in leaves]
        (value, gradient), (again, same) = jitted(xs), derivatives(xs)
        assert np.float64(value) == np.float64(again)
        for x, y in zip(gradient, same, strict=True):
            np.testing.assert_array_equal(x, y)
        for leaf, held in zip(leaves, before):
            assert all(x is y for x, y in zip(contents(leaf), held))
    older.backward()
    assert all(p.grad is not None for p in leaves)


def test_under_jit_an_exception_leaves_nothing():
    leaf = Tensor([1.0, 2.0])

    def f(x):
        with as_before([leaf]):
            bind(leaf, Tensor(x) if isinstance(x, np.ndarray) else x)
            raise RuntimeError("on the way")

    held = contents(leaf)
    with pytest.raises(RuntimeError, match="on the way"):
        mg.jit(f, backend="numpy")(np.array([3.0, 4.0]))
    assert all(x is y for x, y in zip(contents(leaf), held))


def test_each_thread_may_bind_leaves_of_its_own():
    found = {}

    def work(i):
        leaf = Tensor(np.full(3, float(i)))
        for _ in range(20):
            found[i] = dense(
                lambda f, x: mg.grad(f)(x), [leaf], lambda: mg.sum(leaf**2), np.full(3, i + 1.0)
            )

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(found[i], np.full(3, 2.0 * (i + 1)))
