"""Far out, functions and derivatives keep full relative precision."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg

# name, x, f(x), f′(x), f″(x), each computed with 80 digits and rounded
REFERENCES = [
    ("sigmoid", -1000.0, 0.0, 0.0, 0.0),
    ("sigmoid", -40.0, 4.248354255291589e-18, 4.248354255291589e-18, 4.248354255291589e-18),
    ("sigmoid", -20.5, 1.2501528648238605e-09, 1.2501528632609782e-09, 1.2501528601352138e-09),
    ("sigmoid", 20.5, 0.9999999987498471, 1.2501528632609782e-09, -1.2501528601352138e-09),
    ("sigmoid", 40.0, 1.0, 4.248354255291589e-18, -4.248354255291589e-18),
    ("tanh", -300.0, -1.0, 1.0601586212017243e-260, 2.1203172424034486e-260),
    ("tanh", -40.0, -1.0, 7.219405551381661e-35, 1.4438811102763322e-34),
    ("tanh", -19.25, -1.0, 7.615921133145809e-17, 1.5231842266291616e-16),
    ("tanh", 1e-09, 1e-09, 1.0, -2e-09),
    ("tanh", 19.25, 1.0, 7.615921133145809e-17, -1.5231842266291616e-16),
    ("tanh", 40.0, 1.0, 7.219405551381661e-35, -1.4438811102763322e-34),
    ("tanh", 300.0, 1.0, 1.0601586212017243e-260, -2.1203172424034486e-260),
    ("softplus", -700.0, 9.85967654375977e-305, 9.85967654375977e-305, 9.85967654375977e-305),
    ("softplus", -40.0, 4.248354255291589e-18, 4.248354255291589e-18, 4.248354255291589e-18),
    ("softplus", 40.0, 40.0, 1.0, 4.248354255291589e-18),
    ("softplus", 1000.0, 1000.0, 1.0, 0.0),
    ("log_sigmoid", -1000.0, -1000.0, 1.0, -0.0),
    ("log_sigmoid", -40.0, -40.0, 1.0, -4.248354255291589e-18),
    ("log_sigmoid", 40.0, -4.248354255291589e-18, 4.248354255291589e-18, -4.248354255291589e-18),
    ("log_sigmoid", 700.0, -9.85967654375977e-305, 9.85967654375977e-305, -9.85967654375977e-305),
    ("expm1", -40.0, -1.0, 4.248354255291589e-18, 4.248354255291589e-18),
    ("expm1", -1e-12, -9.999999999995e-13, 0.999999999999, 0.999999999999),
    ("expm1", 1e-12, 1.0000000000005e-12, 1.000000000001, 1.000000000001),
    ("expm1", 40.0, 2.3538526683702e17, 2.3538526683702e17, 2.3538526683702e17),
    ("expm1", 700.0, 1.0142320547350045e304, 1.0142320547350045e304, 1.0142320547350045e304),
    ("log1p", 1e-12, 9.999999999995e-13, 0.999999999999, -0.999999999998),
    ("log1p", -1e-12, -1.0000000000005e-12, 1.000000000001, -1.000000000002),
    ("log1p", 1000000000000.0, 27.63102111592955, 9.99999999999e-13, -9.99999999998e-25),
    ("log1p", 1e300, 690.7755278982137, 1e-300, -0.0),
    ("arctan", -1000.0, -1.5697963271282298, 9.99999000001e-07, 1.999996000006e-09),
    ("arctan", 1000.0, 1.5697963271282298, 9.99999000001e-07, -1.999996000006e-09),
    ("arctan", 1e-09, 1e-09, 1.0, -2e-09),
    ("arcsinh", -1000000.0, -14.50865773852447, 9.999999999995e-07, 9.999999999985e-13),
    ("arcsinh", 1000000.0, 14.50865773852447, 9.999999999995e-07, -9.999999999985e-13),
    ("arcsinh", 1e-09, 1e-09, 1.0, -1e-09),
    ("arcsin", 1e-09, 1e-09, 1.0, 1e-09),
    ("arccos", 1e-09, 1.5707963257948967, -1.0, -1e-09),
    ("arctanh", 1e-09, 1e-09, 1.0, 2e-09),
    ("arctan", 1e100, 1.5707963267948966, 1e-200, -2e-300),
    ("arctanh", 0.999999, 7.254328619247669, 500000.24998574716, 499999999971.1193),
    ("arctanh", -0.999999, -7.254328619247669, 500000.24998574716, -499999999971.1193),
    ("arccosh", 1.000001, 0.00141421344446382, 707.1066044390042, -353553479.0251505),
    ("arccosh", 1000000.0, 14.508657738523969, 1.0000000000005e-06, -1.0000000000015e-12),
    ("arcsin", 0.999999, 1.5693821131146521, 707.1069579531425, 353553302.1895767),
    ("cosh", -700.0, 5.0711602736750225e303, -5.0711602736750225e303, 5.0711602736750225e303),
    ("cosh", 700.0, 5.0711602736750225e303, 5.0711602736750225e303, 5.0711602736750225e303),
    ("cosh", 1e-09, 1.0, 1e-09, 1.0),
    ("tan", 1.5707, 10381.327417569786, 107771959.95078617, 2237632005364.659),
    ("tan", 1e-09, 1e-09, 1.0, 2e-09),
    ("exp", -700.0, 9.85967654375977e-305, 9.85967654375977e-305, 9.85967654375977e-305),
    ("exp", 700.0, 1.0142320547350045e304, 1.0142320547350045e304, 1.0142320547350045e304),
    ("log", 1e-150, -345.38776394910684, 1e150, -1e300),
    ("log", 1e150, 345.38776394910684, 1e-150, -1e-300),
    ("cbrt", -1000000000.0, -1000.0, 3.3333333333333335e-07, 2.2222222222222224e-16),
    ("cbrt", 1e-09, 0.001, 333333.3333333333, -222222222222222.2),
    ("cbrt", 1e120, 1e40, 3.3333333333333335e-81, -2.2222222222222223e-201),
]


@pytest.mark.parametrize(
    ("name", "x", "y", "first", "second"), REFERENCES, ids=[f"{r[0]}({r[1]})" for r in REFERENCES]
)
def test_values_and_derivatives_far_out(name, x, y, first, second):
    f = getattr(mg, name)
    for got in (f(x), f(mg.Value(x)).data, f(mg.Tensor(x)).data, f(np.array([x]))[0]):
        np.testing.assert_allclose(got, y, rtol=1e-15 * (4 if name == "log_sigmoid" else 3))
    for way in (mg.grad(f), lambda t: mg.jvp(f, (t,), (1.0,))[1]):
        np.testing.assert_allclose(way(x), first, rtol=1e-14)
        np.testing.assert_allclose(way(np.array(x)), first, rtol=1e-14)
    for way in (mg.grad(mg.grad(f)), lambda t: mg.hvp(f, t, 1.0)):
        np.testing.assert_allclose(way(x), second, rtol=1e-13)
        np.testing.assert_allclose(way(np.array(x)), second, rtol=1e-13)


def test_logaddexp_far_out():
    for x, y in ((1000.0, 0.0), (-1000.0, -1040.0), (40.0, 0.0), (0.0, -40.0)):
        a, b = mg.grad(mg.logaddexp, (0, 1))(x, y)
        np.testing.assert_allclose(a, mg.sigmoid(x - y), rtol=1e-15)
        np.testing.assert_allclose(b, mg.sigmoid(y - x), rtol=1e-15)
    assert mg.logaddexp(1000.0, 1000.0) == 1000.0 + np.log(2.0)


@pytest.mark.parametrize("shift", [0.0, 40.0, -40.0, 1000.0, -1000.0])
def test_softmax_and_logsumexp_do_not_feel_a_shift(shift):
    x = np.array([0.0, -3.0, 2.5, -40.0])
    p = np.exp(x - 2.5) / np.sum(np.exp(x - 2.5))
    far = x + shift  # exact: the entries are multiples of ½
    np.testing.assert_allclose(mg.softmax(far), p, rtol=4e-15)
    np.testing.assert_allclose(mg.logsumexp(far) - shift, np.log(np.sum(np.exp(x))), atol=2e-13)
    np.testing.assert_allclose(mg.grad(mg.logsumexp)(far), p, rtol=3e-13)
    np.testing.assert_allclose(mg.log_softmax(far), x - np.log(np.sum(np.exp(x))), rtol=4e-15)
    e = np.eye(4)
    np.testing.assert_allclose(
        mg.jacobian(mg.softmax)(far), np.diag(p) - np.outer(p, p), rtol=1e-12, atol=1e-25
    )
    np.testing.assert_allclose(mg.jacobian(mg.log_softmax)(far), e - p, rtol=1e-12)
    np.testing.assert_allclose(
        mg.hessian(mg.logsumexp)(far), np.diag(p) - np.outer(p, p), rtol=1e-11, atol=1e-25
    )


def test_softmax_of_far_apart_entries():
    x = np.array([1000.0, 0.0, -1000.0])
    np.testing.assert_array_equal(mg.softmax(x), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(mg.log_softmax(x), [0.0, -1000.0, -2000.0])
    np.testing.assert_array_equal(mg.grad(lambda t: mg.log_softmax(t)[2])(x), [-1.0, 0.0, 1.0])
    assert mg.logsumexp(x) == 1000.0


def test_small_numbers_survive():
    x = 1e-20
    assert mg.expm1(mg.Value(x)).data == x
    assert mg.log1p(mg.Tensor(x)).item() == x
    assert mg.grad(mg.expm1)(x) == 1.0
    assert mg.grad(mg.log1p)(x) == 1.0
    assert mg.elu(-x) == -x


def test_norm_neither_overflows_nor_underflows():
    for dtype, sizes in (
        (np.float64, (1e-300, 1e-160, 1e160, 1e300)),
        (np.float32, (1e-37, 1e-25, 1e25, 1e37)),
    ):
        for size in sizes:
            x = (np.array([3.0, 4.0]) * size).astype(dtype)
            assert mg.norm(x).dtype == dtype
            np.testing.assert_allclose(float(mg.norm(mg.Tensor(x)).data), 5 * size, rtol=1e-6)
            np.testing.assert_allclose(mg.grad(mg.norm)(x), [0.6, 0.8], rtol=1e-6)
            rows = np.stack([x, np.ones(2, dtype)])
            np.testing.assert_allclose(mg.norm(rows, axis=1), [5 * size, 2**0.5], rtol=1e-6)


def test_variance_of_numbers_far_from_0():
    x = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    assert mg.var(x, ddof=1) == 30.0
    np.testing.assert_array_equal(mg.grad(mg.var)(x), [-3.0, -1.5, 1.5, 3.0])


def test_hypot_and_arctan2_of_extremes():
    for size in (1e-300, 1e300):
        np.testing.assert_allclose(
            mg.grad(mg.hypot, (0, 1))(3 * size, 4 * size), (0.6, 0.8), rtol=1e-15
        )
        slopes = np.array(mg.grad(mg.arctan2, (0, 1))(3 * size, 4 * size)) * size
        np.testing.assert_allclose(slopes, (4 / 25, -3 / 25), rtol=1e-14)


def test_the_hessian_of_hypot_does_not_cancel():
    x, y = 1.0, 1e-9
    f = [
        [lambda a, b, i=i, j=j: mg.grad(mg.grad(mg.hypot, i), j)(a, b) for j in (0, 1)]
        for i in (0, 1)
    ]
    got = [[f[i][j](x, y) for j in (0, 1)] for i in (0, 1)]
    np.testing.assert_allclose(got, [[1e-18, -1e-9], [-1e-9, 1.0]], rtol=1e-14)


@pytest.mark.parametrize("kind", [float, lambda x: np.array([x, x])])
@pytest.mark.parametrize(("x", "y"), [(2.0, 0.0), (2.0, 3.0), (4.0, 0.25), (0.5, -1.5)])
def test_mixed_derivatives_of_a_power(kind, x, y):
    """∂²xʸ/∂x∂y is xʸ⁻¹(1 + y·log x): at y = 0 that is 1/x, though ∂/∂x is 0 there."""

    def slope(i):
        return mg.grad(lambda a, b: mg.sum(a**b), i)

    for i, j in ((0, 1), (1, 0)):
        mixed = mg.grad(lambda a, b, i=i: mg.sum(slope(i)(a, b)), j)(kind(x), kind(y))
        np.testing.assert_allclose(mixed, kind(x ** (y - 1) * (1 + y * np.log(x))), rtol=1e-14)


def test_small_powers_of_small_numbers():
    """y − 1 is rounded for y < ½, which times log x would be 100 wrong units of the last place."""
    for x, y in ((1e-300, 0.3), (1e300, -0.7), (1e-200, 0.1)):
        expected = float(mg.power(x, y)) * y / x
        for got in (
            mg.grad(lambda t, y=y: t**y)(x),
            mg.grad(lambda t, y=y: mg.sum(t**y))(np.array([x]))[0],
        ):
            np.testing.assert_allclose(got, expected, rtol=4e-16)


def test_logaddexp_makes_up_for_the_rounding_of_a_difference():
    slope = mg.grad(mg.logaddexp)(35.68397961799389, 710.0)
    np.testing.assert_allclose(slope, 1.4069325881886141e-293, rtol=5e-16)
    for infinite in (np.inf, -np.inf):
        assert mg.grad(mg.logaddexp, (0, 1))(infinite, infinite) == (0.5, 0.5)
