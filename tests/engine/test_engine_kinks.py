"""Points without a derivative: what is returned there is a promise, of both orders and kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import microgradopt as mg

INF, NAN = math.inf, math.nan


def _by_value(f, *xs):
    leaves = [mg.Value(x) for x in xs]
    f(*leaves).backward()
    return [leaf.grad for leaf in leaves]


def _by_tensor(f, *xs):
    leaves = [mg.Tensor([x, x]) for x in xs]
    mg.sum(f(*leaves)).backward()
    return [leaf.grad[0] for leaf in leaves]


def _by_grad(f, *xs):
    return list(mg.grad(f, tuple(range(len(xs))))(*xs))


def _by_jvp(f, *xs):
    units = np.eye(len(xs)).tolist()
    return [mg.jvp(f, xs, unit)[1] for unit in units]


every_way = pytest.mark.parametrize("way", [_by_value, _by_tensor, _by_grad, _by_jvp])

KINKS = [
    ("abs", mg.abs, (0.0,), [0.0]),
    ("operator abs", abs, (0.0,), [0.0]),
    ("relu", mg.relu, (0.0,), [0.0]),
    ("relu at -0", mg.relu, (-0.0,), [0.0]),
    ("leaky_relu", mg.leaky_relu, (0.0,), [0.01]),
    ("sign", mg.sign, (0.0,), [0.0]),
    ("maximum tie", mg.maximum, (2.0, 2.0), [0.5, 0.5]),
    ("minimum tie", mg.minimum, (2.0, 2.0), [0.5, 0.5]),
    ("maximum with a constant", lambda x: mg.maximum(x, 0.0), (0.0,), [0.5]),
    ("clip at the low end", lambda x: mg.clip(x, 0.0, 1.0), (0.0,), [0.5]),
    ("clip at the high end", lambda x: mg.clip(x, 0.0, 1.0), (1.0,), [0.5]),
    ("clip beyond", lambda x: mg.clip(x, 0.0, 1.0), (3.0,), [0.0]),
    ("hypot", mg.hypot, (0.0, 0.0), [0.0, 0.0]),
    ("sqrt", mg.sqrt, (0.0,), [INF]),
    ("x**0", lambda x: x**0, (0.0,), [0.0]),
    ("x**1", lambda x: x**1, (0.0,), [1.0]),
    ("x**2", lambda x: x**2, (0.0,), [0.0]),
    ("x**-1", lambda x: x**-1.0, (0.0,), [-INF]),
    ("x**y at 0, 0", lambda x, y: x**y, (0.0, 0.0), [0.0, 0.0]),
    ("x**y at 0, 2", lambda x, y: x**y, (0.0, 2.0), [0.0, 0.0]),
    ("x**y at 0, 1", lambda x, y: x**y, (0.0, 1.0), [1.0, 0.0]),
    ("0**y", lambda y: 0.0**y, (2.0,), [0.0]),
    ("0**y at 0", lambda y: 0.0**y, (0.0,), [0.0]),
    ("0**y below", lambda y: 0.0**y, (-1.0,), [-INF]),
    ("(-2)**3", lambda x: x**3, (-2.0,), [12.0]),
    ("(-2)**-3", lambda x: x**-3, (-2.0,), [-3 / 16]),
    ("norm of a number", mg.norm, (0.0,), [0.0]),
]


@every_way
@pytest.mark.parametrize(("f", "xs", "slopes"), [k[1:] for k in KINKS], ids=[k[0] for k in KINKS])
def test_first_derivatives_at_kinks(way, f, xs, slopes):
    if f is mg.norm and way is _by_tensor:
        pytest.skip("of two entries")
    np.testing.assert_array_equal(way(f, *xs), slopes)


SECOND = [
    ("abs", mg.abs, 0.0, 0.0),
    ("relu", mg.relu, 0.0, 0.0),
    ("x**0", lambda x: x**0, 0.0, 0.0),
    ("x**1", lambda x: x**1, 0.0, 0.0),
    ("x**2", lambda x: x**2, 0.0, 2.0),
    ("x**3", lambda x: x**3, 0.0, 0.0),
    ("x**y", lambda x: x ** mg.Value(2.0), 0.0, 2.0),
    ("x*relu", lambda x: x * mg.relu(x), 0.0, 0.0),
    ("square", mg.square, 0.0, 2.0),
    ("max(x, x²)", lambda x: mg.maximum(x, x * x), 1.0, 1.0),
    ("(-2)**3", lambda x: x**3, -2.0, -12.0),
]


@pytest.mark.parametrize(("f", "x", "slope"), [s[1:] for s in SECOND], ids=[s[0] for s in SECOND])
def test_second_derivatives_at_kinks(f, x, slope):
    assert mg.grad(mg.grad(f))(x) == slope
    assert mg.hvp(f, x, 1.0) == slope
    assert mg.hvp(lambda t: mg.sum(f(t)), np.array([x]), np.ones(1)) == [slope]


def test_ties_in_reductions_split_evenly():
    x = mg.Tensor([[3.0, 1.0], [3.0, 3.0]])
    x.max().backward()
    np.testing.assert_allclose(x.grad, [[1 / 3, 0.0], [1 / 3, 1 / 3]], rtol=1e-15)
    x.zero_grad()
    mg.min(x, axis=0).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0.5, 1.0], [0.5, 0.0]])
    moved = mg.jvp(lambda t: mg.max(t, axis=1), (x.data,), (np.array([[1.0, 2.0], [3.0, 5.0]]),))[1]
    np.testing.assert_array_equal(moved, [1.0, 4.0])
    assert mg.grad(mg.max)(np.array([5.0, NAN])).shape == (2,)


def test_norms_have_derivative_0_at_the_zero_vector():
    for order in (None, 1, 2, 3, 0.5, np.inf, 0):
        np.testing.assert_array_equal(
            mg.grad(lambda x, o=order: mg.norm(x, o))(np.zeros(3)), np.zeros(3)
        )
        np.testing.assert_array_equal(
            mg.jvp(lambda x, o=order: mg.norm(x, o), (np.zeros(3),), (np.ones(3),))[1], 0.0
        )
    np.testing.assert_array_equal(mg.hvp(mg.norm, np.zeros(2), np.ones(2)), np.zeros(2))
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(
        mg.grad(lambda x: mg.sum(mg.norm(x, axis=1)))(rows), [[0.6, 0.8], [0.0, 0.0]]
    )


def test_the_spread_of_equal_entries_has_derivative_0():
    np.testing.assert_array_equal(mg.grad(mg.std)(np.full(3, 2.0)), np.zeros(3))


LEAKS = [
    ("sqrt at 0", lambda x: mg.where(x > 0, mg.sqrt(x), 0.0), 0.0, 0.0),
    ("sqrt below", lambda x: mg.where(x > 0, mg.sqrt(x), x), -1.0, 1.0),
    ("log at 0", lambda x: mg.where(x > 0, mg.log(x), 2.0 * x), 0.0, 2.0),
    ("log below", lambda x: mg.where(x > 0, mg.log(x), 0.0), -1.0, 0.0),
    ("1/x", lambda x: mg.where(mg.equal(x, 0.0), 1.0, mg.sin(x) / x), 0.0, 0.0),
    ("overflow", lambda x: mg.where(x < 100.0, mg.exp(x), x), 1000.0, 1.0),
    ("overflow beneath", lambda x: mg.where(x < 100.0, mg.log(mg.exp(x) + 1.0), x), 1000.0, 1.0),
    ("nan", lambda x: mg.where(x > 0, x * NAN, 3.0 * x), -1.0, 3.0),
    ("inf", lambda x: mg.where(x > 0, 1.0, x * INF), 1.0, 0.0),
    ("power", lambda x: mg.where(x > 0, x**0.5, x * x), 0.0, 0.0),
    ("relu", lambda x: mg.relu(x * 1.0) + mg.relu(-mg.sqrt(x)), 0.0, 0.0),
    ("deeper", lambda x: mg.where(x > 0, mg.exp(mg.sqrt(mg.sqrt(x))), x), 0.0, 1.0),
    ("clip", lambda x: mg.clip(mg.sqrt(x), 1.0, 2.0), 0.0, 0.0),
]


@every_way
@pytest.mark.parametrize(("f", "x", "slope"), [k[1:] for k in LEAKS], ids=[k[0] for k in LEAKS])
def test_a_branch_not_taken_leaks_no_nan(way, f, x, slope):
    np.testing.assert_array_equal(way(f, x), [slope])


SECOND_LEAKS = {
    "sqrt at 0": 0.0,
    "sqrt below": 0.0,
    "log at 0": 0.0,
    "log below": 0.0,
    "1/x": 0.0,
    "overflow": 0.0,
    "overflow beneath": 0.0,
    "nan": 0.0,
    "inf": 0.0,
    "power": 2.0,
    "deeper": 0.0,
    "clip": 0.0,
}


@pytest.mark.parametrize("name", SECOND_LEAKS)
def test_a_branch_not_taken_leaks_no_nan_into_second_derivatives(name):
    f, x = next(k[1:3] for k in LEAKS if k[0] == name)
    expected = SECOND_LEAKS[name]
    assert mg.grad(mg.grad(f))(x) == expected
    assert mg.hvp(f, x, 1.0) == expected
    assert mg.grad(lambda t: mg.jvp(f, (t,), (1.0,))[1])(x) == expected
    assert mg.jvp(lambda t: mg.jvp(f, (t,), (1.0,))[1], (x,), (1.0,))[1] == expected
    np.testing.assert_array_equal(
        mg.hvp(lambda t: mg.sum(f(t)), np.full(2, x), np.ones(2)), np.full(2, expected)
    )


def test_where_among_several_entries():
    x = mg.Tensor([-1.0, 0.0, 4.0])
    mg.sum(mg.where(x > 0, mg.sqrt(x), 0.0)).backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 0.25])


def test_where_takes_conditions_of_every_kind():
    x, y = mg.Tensor([1.0, 2.0]), mg.Value(5.0)
    for condition in (
        np.array([True, False]),
        [True, False],
        np.array([1, 0]),
        mg.Tensor([3.0, 0.0]),
        [2.0, 0.0],
    ):
        np.testing.assert_array_equal(mg.where(condition, x, y).data, [1.0, 5.0])
    picked = mg.where(mg.Value(0.0), x, y)
    np.testing.assert_array_equal(picked.data, [5.0, 5.0])
    condition = mg.Tensor([1.0, 0.0])
    mg.sum(mg.where(condition, x, y)).backward()
    assert condition.grad is None
    np.testing.assert_array_equal(x.grad, [1.0, 0.0])
    assert y.grad == 1.0
    assert mg.where(True, mg.Value(1.0), 2.0).data == 1.0


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_products_with_zeros_are_exact(zeros):
    data = np.array([2.0, 3.0, 5.0, 7.0])
    data[:zeros] = 0.0
    expected = [np.prod(np.delete(data, i)) for i in range(4)]
    np.testing.assert_array_equal(mg.grad(mg.prod)(data), expected)
    H = mg.hessian(mg.prod)(data)
    for i in range(4):
        for j in range(4):
            assert H[i, j] == (0.0 if i == j else np.prod(np.delete(data, [i, j])))


@pytest.mark.parametrize(
    ("x", "slopes"),
    [
        ([-np.inf, 0.0], [0.0, 1.0]),
        ([-np.inf, -np.inf], [0.5, 0.5]),
        ([np.inf, 0.0], [1.0, 0.0]),
        ([np.inf, 3.0, np.inf], [0.5, 0.0, 0.5]),
    ],
)
def test_logsumexp_of_infinities_is_the_maximum(x, slopes):
    x, v = np.array(x), np.arange(1.0, len(x) + 1.0)
    assert mg.logsumexp(x) == np.max(x)
    np.testing.assert_array_equal(mg.grad(mg.logsumexp)(x), slopes)
    assert mg.jvp(mg.logsumexp, (x,), (v,))[1] == np.dot(slopes, v)
    np.testing.assert_array_equal(mg.hessian(mg.logsumexp)(x), np.zeros((len(x), len(x))))
    rows = np.stack([x, np.zeros(len(x))])
    np.testing.assert_allclose(mg.grad(lambda r: mg.sum(mg.logsumexp(r, 1)))(rows)[0], slopes)
