"""Reductions where it matters: NaN, ties, zeros, overflow, nothing at all; and what they refuse."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import DTypeError, ShapeError, UsageError

HOLES = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [4.0, 0.0, -2.0]])
NAN_FUNCTIONS = [
    "nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian",
]  # fmt: skip


@pytest.mark.parametrize("name", NAN_FUNCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_nan_functions_have_numpys_values_and_no_warnings(name, axis, keepdims):
    got = getattr(mg, name)(Tensor(HOLES), axis, keepdims=keepdims).data
    with warnings.catch_warnings(action="ignore"):
        expected = getattr(np, name)(HOLES, axis, keepdims=keepdims)
    np.testing.assert_allclose(got, expected, rtol=1e-15)


@pytest.mark.parametrize("name", [*NAN_FUNCTIONS, "nancumsum", "nancumprod"])
def test_an_entry_that_is_nan_gets_a_gradient_of_exactly_0(name):
    f = getattr(mg, name)
    some = HOLES[[0, 2]]
    for axis in (None, 1):
        g = mg.grad(lambda x, a=axis: mg.sum(f(x, a) ** 2))(some)
        assert np.isfinite(g).all()
        assert g[0, 1] == 0.0
        twice = mg.hvp(lambda x, a=axis: mg.sum(f(x, a) ** 2), some, np.ones((2, 3)))
        assert twice[0, 1] == 0.0
        moved = mg.jvp(lambda x, a=axis: f(x, a), (some,), (np.ones((2, 3)),))[1]
        assert np.isfinite(moved).all()


def test_where_leaves_nothing_of_what_it_leaves_out():
    x = np.array([1.0, np.nan, np.inf, 4.0])
    mask = np.array([True, False, False, True])
    for f in (mg.sum, mg.mean, mg.prod, mg.var, mg.std):
        g = mg.grad(lambda x, f=f: f(x, where=mask))(x)
        np.testing.assert_array_equal(g[1:3], [0.0, 0.0])
        np.testing.assert_allclose(g[[0, 3]], mg.grad(f)(x[mask]), rtol=1e-15)
    for f, start in ((mg.max, -np.inf), (mg.min, np.inf)):
        g = mg.grad(lambda x, f=f, c=start: f(x, where=mask, initial=c))(x)
        np.testing.assert_array_equal(g, [0, 0, 0, 1] if f is mg.max else [1, 0, 0, 0])
    assert mg.sum(Value(2.0), where=False).data == 0.0
    assert mg.mean(Value(2.0), where=np.True_).data == 2.0


def test_of_nothing():
    nobody = np.zeros((2, 3), bool)
    x = Tensor(np.ones((2, 3)))
    for f in (mg.mean, mg.var, mg.std):
        y = f(x, axis=1, where=nobody)
        assert np.isnan(y.data).all()
    for f in (mg.max, mg.min, mg.mean, mg.var, mg.ptp, mg.median, mg.nanmax, mg.average):
        with pytest.raises(ShapeError, match="of no entries"):
            f(np.zeros((0, 2)), axis=0)
    assert mg.prod(np.zeros((0, 2)), axis=0).tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(mg.max(Tensor(np.zeros((0, 2))), 0, initial=3.0).data, [3.0, 3.0])
    assert mg.cumprod(Tensor(np.zeros((0, 2))), 0).shape == (0, 2)
    assert np.maximum.accumulate(Tensor(np.zeros((0, 2)))).shape == (0, 2)


def test_initial_shares_a_tie():
    x = np.array([3.0, 3.0, 1.0])
    gx, gc = mg.grad(lambda x, c: mg.max(x, initial=c), (0, 1))(x, 3.0)
    np.testing.assert_allclose([*gx, gc], [1 / 3, 1 / 3, 0.0, 1 / 3])
    gx, gc = mg.grad(lambda x, c: mg.sum(x, initial=c) * mg.prod(x, initial=c), (0, 1))(x, 2.0)
    np.testing.assert_allclose(gc, 18.0 + 9.0 * 9.0)


def test_products_are_exact_with_zeros_and_beyond_the_range_of_floats():
    x = np.array([1e200, 0.0, 1e200, 0.0])
    assert mg.prod(x) == np.prod(x) == 0.0
    np.testing.assert_array_equal(mg.grad(mg.prod)(x), np.zeros(4))
    np.testing.assert_array_equal(mg.grad(mg.prod)(np.array([0.0, 2.0, 5.0])), [10.0, 0.0, 0.0])
    y = np.array([0.0, 1e200, 1e200])
    np.testing.assert_array_equal(mg.cumprod(Tensor(y)).data, np.zeros(3))
    tangent = mg.jvp(mg.cumprod, (np.array([0.0, 2.0, 3.0]),), (np.ones(3),))[1]
    np.testing.assert_array_equal(tangent, [1.0, 2.0, 6.0])
    h = mg.hessian(lambda x: mg.cumprod(x)[-1])(np.array([0.0, 0.0, 5.0]))
    np.testing.assert_array_equal(h, [[0.0, 5.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(h, mg.hessian(mg.prod)(np.array([0.0, 0.0, 5.0])))


def test_a_long_running_product():
    x = np.linspace(0.9, 1.1, 20_001)
    g = mg.grad(lambda x: mg.cumprod(x)[-1])(x)
    np.testing.assert_allclose(g, np.prod(x) / x, rtol=1e-11)


def test_ties_of_order_statistics_split_evenly():
    x = np.array([5.0, 2.0, 2.0, 1.0, 2.0])
    np.testing.assert_allclose(mg.grad(mg.median)(x), [0, 1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(mg.grad(lambda x: mg.quantile(x, 1.0))(x), [1, 0, 0, 0, 0])
    moved = mg.jvp(mg.median, (x,), (np.arange(5.0),))[1]
    np.testing.assert_allclose(moved, (1.0 + 2.0 + 4.0) / 3)
    g = mg.grad(lambda x: mg.sum(np.maximum.accumulate(x) * np.array([1.0, 10.0, 100.0])))
    np.testing.assert_allclose(g(np.array([2.0, 2.0, 1.0])), [56.0, 55.0, 0.0])
    np.testing.assert_allclose(g(np.array([2.0, 1.0, 2.0])), [61.0, 0.0, 50.0])
    equal = mg.grad(lambda x: mg.sum(np.minimum.accumulate(x)))(np.ones(50))
    np.testing.assert_allclose(equal, [sum(1 / n for n in range(k, 51)) for k in range(1, 51)])


def test_running_extremes_with_nan_are_numpys():
    x = np.array([[1.0, np.nan], [3.0, 1.0], [np.nan, 2.0], [4.0, 5.0]])
    for f in (np.maximum.accumulate, np.minimum.accumulate):
        for axis in (0, 1):
            np.testing.assert_array_equal(f(Tensor(x), axis).data, f(x, axis))


def test_quantiles_of_infinities_and_nan():
    x = Tensor([-np.inf, 1.0, np.inf, np.inf])
    assert mg.quantile(x, [0.0, 1 / 3, 1.0]).data.tolist() == [-np.inf, 1.0, np.inf]
    assert np.isnan(mg.median(Tensor(HOLES), axis=1).data).tolist() == [True, True, False]
    assert mg.quantile(3.5, 0.2) == 3.5
    v = Value(3.5)
    mg.sum(mg.quantile(v, [0.2, 0.7])).backward()
    assert v.grad == 2.0


def test_layouts_and_axes_of_running_reductions():
    base = np.random.default_rng(3).normal(size=(4, 6))
    for x in (np.asfortranarray(base), base[::-1, ::2], base.T):
        for f, theirs in ((mg.cumprod, np.cumprod), (mg.median, np.median), (mg.prod, np.prod)):
            for axis in (0, -1):
                np.testing.assert_allclose(f(Tensor(x), axis).data, theirs(x, axis), rtol=1e-14)
                g = mg.grad(lambda x, f=f, a=axis: mg.sum(f(x, a)))
                np.testing.assert_allclose(g(x), g(x.copy()), rtol=1e-14)


def test_what_reductions_refuse():
    x = Tensor(np.ones((2, 3)))
    mask = np.ones((2, 3), bool)
    for call, error, message in [
        (lambda: mg.max(x, where=mask), UsageError, "give the result of nothing as initial="),
        (lambda: mg.nanmin(x, where=mask), UsageError, "such as inf"),
        (lambda: mg.sum(x, where=mask[:, :2]), ShapeError, r"\(2, 2\) does not broadcast to .*\(2"),
        (lambda: mg.sum(x, where=np.ones((2, 2, 3), bool)), ShapeError, "does not broadcast"),
        (lambda: mg.mean(x, where=mask * 1.0), DTypeError, "takes truth values, got float64"),
        (lambda: mg.sum(x, initial=np.ones(3)), ShapeError, "initial= is one number"),
        (lambda: mg.sum(x, dtype=int), DTypeError, "floating-point"),
        (lambda: mg.var(x, ddof=1, correction=1), UsageError, "are the same; give one"),
        (lambda: mg.var(x, axis=0, ddof=2), UsageError, "ddof=2 leaves nothing of 2 entries"),
        (lambda: mg.quantile(x, 1.5), UsageError, "quantiles lie from 0 to 1"),
        (lambda: mg.quantile(x, np.nan), UsageError, "quantiles lie from 0 to 1"),
        (lambda: mg.quantile(x, 0.5, method="median"), UsageError, "choose from linear, hazen"),
        (lambda: mg.average(x, 1, weights=np.ones(2)), ShapeError, r"weights of shape \(2,\)"),
        (lambda: mg.average(x, weights=np.ones(3)), ShapeError, "axis=None"),
        (lambda: mg.cumulative_sum(x), ShapeError, "needs an axis"),
        (lambda: mg.ldexp(2.0, 1.5), DTypeError, r"whole numbers; use x \* mg.exp2"),
        (lambda: mg.ldexp(2.0, Value(1.0)), DTypeError, "whole numbers"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_weights_that_add_up_to_nothing_are_ieee():
    assert np.isnan(mg.average(Tensor([1.0, 2.0]), weights=[0.0, 0.0]).data)
    result, total = mg.average(Tensor([1.0, 2.0, 6.0]), returned=True)
    assert (result.data, total) == (3.0, 3.0)
    result, total = mg.average(Tensor(np.ones((2, 3))), 0, returned=True)
    assert total.shape == result.shape
