"""Arithmetic gives IEEE results: for floats, arrays, Value and Tensor alike, without a warning."""

from __future__ import annotations

import math

import numpy as np
import pytest

import microgradopt as mg

INF, NAN = math.inf, math.nan


def value(f, *xs):
    return f(*map(mg.Value, xs)).data


def tensor(f, *xs):
    return float(f(*(mg.Tensor([x]) for x in xs)).data[0])


def zero_d(f, *xs):
    return float(f(*(mg.Tensor(x) for x in xs)).data)


def mixed(f, *xs):
    return float(f(mg.Value(xs[0]), *(mg.Tensor(x) for x in xs[1:])).data)


def raw(f, *xs):
    return f(*xs)


every_kind = pytest.mark.parametrize("kind", [value, tensor, zero_d, mixed])


@pytest.fixture(autouse=True)
def _numpy_would_raise():
    with np.errstate(all="raise"):
        yield


RESULTS = [
    ("1/0", lambda x, y: x / y, (1.0, 0.0), INF),
    ("-1/0", lambda x, y: x / y, (-1.0, 0.0), -INF),
    ("1/-0", lambda x, y: x / y, (1.0, -0.0), -INF),
    ("0/0", lambda x, y: x / y, (0.0, 0.0), NAN),
    ("1/x", lambda x: 1 / x, (0.0,), INF),
    ("0*inf", lambda x, y: x * y, (0.0, INF), NAN),
    ("inf-inf", lambda x, y: x - y, (INF, INF), NAN),
    ("overflow", lambda x, y: x * y, (1e200, 1e200), INF),
    ("underflow", lambda x, y: x * y, (1e-200, 1e-200), 0.0),
    ("exp", mg.exp, (1000.0,), INF),
    ("exp2", mg.exp2, (2000.0,), INF),
    ("expm1", mg.expm1, (1000.0,), INF),
    ("cosh", mg.cosh, (-1000.0,), INF),
    ("sinh", mg.sinh, (-1000.0,), -INF),
    ("log 0", mg.log, (0.0,), -INF),
    ("log -1", mg.log, (-1.0,), NAN),
    ("log2 0", mg.log2, (0.0,), -INF),
    ("log10 -1", mg.log10, (-1.0,), NAN),
    ("log1p -1", mg.log1p, (-1.0,), -INF),
    ("sqrt -1", mg.sqrt, (-1.0,), NAN),
    ("arcsin 2", mg.arcsin, (2.0,), NAN),
    ("arccosh 0", mg.arccosh, (0.0,), NAN),
    ("arctanh 1", mg.arctanh, (1.0,), INF),
    ("sin inf", mg.sin, (INF,), NAN),
    ("root of a negative", lambda x, y: x**y, (-8.0, 1 / 3), NAN),
    ("cbrt", mg.cbrt, (-8.0,), -2.0),
    ("0**-1", lambda x, y: x**y, (0.0, -1.0), INF),
    ("-0.0**-1", lambda x, y: x**y, (-0.0, -1.0), -INF),
    ("0**0", lambda x, y: x**y, (0.0, 0.0), 1.0),
    ("nan**0", lambda x, y: x**y, (NAN, 0.0), 1.0),
    ("huge power", lambda x, y: x**y, (10.0, 1000.0), INF),
    ("square", lambda x: x**2, (1e200,), INF),
    ("maximum nan", mg.maximum, (1.0, NAN), NAN),
    ("minimum nan", mg.minimum, (NAN, 1.0), NAN),
    ("logaddexp inf", mg.logaddexp, (INF, INF), INF),
    ("logaddexp -inf", mg.logaddexp, (-INF, -INF), -INF),
    ("logaddexp mixed", mg.logaddexp, (INF, -INF), INF),
    ("relu nan", mg.relu, (NAN,), NAN),
    ("sigmoid", mg.sigmoid, (-1000.0,), 0.0),
    ("softplus", mg.softplus, (1000.0,), 1000.0),
    ("hypot", mg.hypot, (INF, NAN), INF),
    ("where nan", lambda x, y: mg.where(x > 0, x, y), (NAN, 3.0), 3.0),
]


@every_kind
@pytest.mark.parametrize(
    ("f", "xs", "expected"), [r[1:] for r in RESULTS], ids=[r[0] for r in RESULTS]
)
def test_results_are_ieee(kind, f, xs, expected):
    got = kind(f, *xs)
    assert got == expected or (math.isnan(got) and math.isnan(expected))
    assert math.copysign(1.0, got) == math.copysign(1.0, expected) or expected != expected


SLOPES = [
    ("sqrt at 0", mg.sqrt, 0.0, INF),
    ("log at 0", mg.log, 0.0, INF),
    ("1/x at 0", lambda x: 1 / x, 0.0, -INF),
    ("cbrt at 0", mg.cbrt, 0.0, INF),
    ("exp far out", mg.exp, 1000.0, INF),
    ("exp far below", mg.exp, -1000.0, 0.0),
    ("x**0.5 at 0", lambda x: x**0.5, 0.0, INF),
    ("arccosh at 1", mg.arccosh, 1.0, INF),
    ("arcsin at 1", mg.arcsin, 1.0, INF),
    ("arccos at 1", mg.arccos, 1.0, -INF),
    ("arctanh at 1", mg.arctanh, 1.0, INF),
    ("log of a negative", mg.log, -2.0, -0.5),
    ("sqrt of a negative", mg.sqrt, -2.0, NAN),
    ("overflow", lambda x: x * 1e200 * 1e200, 1.0, INF),
]


@pytest.mark.parametrize(("f", "x", "slope"), [s[1:] for s in SLOPES], ids=[s[0] for s in SLOPES])
@pytest.mark.parametrize("leaf", [mg.Value, mg.Tensor, lambda x: mg.Tensor([x, x])])
def test_derivatives_are_ieee(f, x, slope, leaf):
    node = leaf(x)
    f(node).backward(np.ones(node.shape))
    np.testing.assert_array_equal(node.grad, np.full(node.shape, slope))


@pytest.mark.parametrize(("f", "x", "slope"), [s[1:] for s in SLOPES], ids=[s[0] for s in SLOPES])
def test_forward_derivatives_are_ieee(f, x, slope):
    np.testing.assert_array_equal(mg.jvp(f, (x,), (1.0,))[1], slope)
    np.testing.assert_array_equal(mg.jvp(f, (np.array([x]),), (np.ones(1),))[1], [slope])


def test_library_functions_do_not_warn_on_plain_arrays():
    x = np.array([-1.0, 0.0, 1000.0])
    for f in (mg.log, mg.exp, mg.sqrt, mg.arccosh, mg.softmax, mg.logsumexp, mg.sigmoid):
        f(x)
    assert mg.exp(1000.0) == INF
    assert mg.log(0.0) == -INF


def test_numpys_error_setting_is_left_as_it_was():
    before = np.geterr()
    mg.exp(mg.Tensor([1000.0])).sum().backward()
    with pytest.raises(mg.errors.ShapeError):
        mg.Tensor([1.0, 2.0]) + mg.Tensor([1.0, 2.0, 3.0])
    assert np.geterr() == before
    with pytest.raises(FloatingPointError):
        np.exp(np.array([1000.0]))


def test_reductions_of_infinities():
    x = mg.Tensor([1.0, INF, -INF])
    assert math.isnan(x.sum().item())
    assert x.max().item() == INF
    assert x.min().item() == -INF
    assert math.isnan(mg.max(mg.Tensor([1.0, NAN])).item())
    assert mg.logsumexp(mg.Tensor([-INF, -INF])).item() == -INF
    assert mg.logsumexp(mg.Tensor([0.0, INF])).item() == INF
    assert mg.norm(mg.Tensor([3.0, INF])).item() == INF
    np.testing.assert_array_equal(mg.softmax(mg.Tensor([0.0, -INF])).data, [1.0, 0.0])
