"""Derivatives of functions: values, structures, nesting, and what happens without dependence."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError

Point = namedtuple("Point", "x y")
X = np.array([0.5, -1.5, 2.0])
M = np.array([[1.0, 2.0, -1.0], [0.5, -2.0, 3.0]])


def test_results_are_plain_and_have_the_type_of_the_argument():
    assert type(mg.grad(lambda x: x * x)(3.0)) is float
    assert type(mg.grad(lambda x: x * x)(3)) is float
    assert type(mg.grad(lambda x: x * x)(np.float64(3))) is float
    g = mg.grad(lambda x: mg.sum(x * x))(X)
    assert type(g) is np.ndarray
    np.testing.assert_array_equal(g, 2 * X)
    zero_d = mg.grad(lambda x: x * x)(np.array(3.0))
    assert type(zero_d) is np.ndarray
    assert zero_d.shape == ()
    value, g = mg.value_and_grad(lambda x: x**3)(2.0)
    assert (type(value), value, g) == (float, 8.0, 12.0)
    assert mg.grad(lambda x: mg.sum(x * x))(X.astype(np.float32)).dtype == np.float32


def test_a_size_1_result_counts_as_a_number():
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(x * x, keepdims=True))(X), 2 * X)


def test_structures_go_in_and_come_out():
    tree = {"w": M, "rest": [1.0, (X, None)], "p": Point(2.0, 3.0)}

    def f(t):
        return mg.sum(t["w"] @ t["rest"][1][0]) * t["rest"][0] + t["p"].x ** 2 * t["p"].y

    g = mg.grad(f)(tree)
    assert list(g) == ["w", "rest", "p"]
    np.testing.assert_array_equal(g["w"], [X, X])
    assert g["rest"][0] == np.sum(M @ X)
    np.testing.assert_array_equal(g["rest"][1][0], M.sum(0))
    assert g["rest"][1][1] is None
    assert g["p"] == Point(12.0, 4.0)
    assert isinstance(g["p"], Point)


def test_argnums():
    f = lambda x, y, z: x * y + z  # noqa: E731
    assert mg.grad(f, 1)(2.0, 3.0, 4.0) == 2.0
    assert mg.grad(f, -1)(2.0, 3.0, 4.0) == 1.0
    assert mg.grad(f, (0, 2))(2.0, 3.0, 4.0) == (3.0, 1.0)
    assert mg.grad(f, [1])(2.0, 3.0, 4.0) == (2.0,)
    assert mg.grad(f, np.int64(1))(2.0, 3.0, 4.0) == 2.0
    assert mg.grad(lambda x, k=1.0: k * x)(2.0, k=5.0) == 5.0
    assert mg.value_and_grad(f, (0, 1))(2.0, 3.0, 4.0) == (10.0, (3.0, 2.0))
    for bad in (3, -4, "x", 1.5, (0, 7)):
        with pytest.raises(UsageError, match=r"argnums.*3 positional"):
            mg.grad(f, bad)(2.0, 3.0, 4.0)


def test_an_argument_not_differentiated_stays_as_it_is():
    seen = []
    mg.grad(lambda x, y: seen.append(type(y)) or x * 1.0)(2.0, np.array([1, 2]))
    assert seen == [np.ndarray]


def test_errors_of_functions_that_do_not_return_a_number():
    with pytest.raises(ShapeError, match=r"one number.*Tensor.*\(3,\).*mg\.sum"):
        mg.grad(lambda x: x * 2)(X)
    with pytest.raises(UsageError, match="NoneType; did it forget to return"):
        mg.grad(lambda x: None)(2.0)
    with pytest.raises(UsageError, match="tuple"):
        mg.grad(lambda x: (x, x))(2.0)
    with pytest.raises(UsageError, match="ndarray"):
        mg.grad(lambda x: np.ones(3))(2.0)


def test_errors_of_arguments_that_cannot_be_differentiated():
    for bad in (np.array([1, 2]), np.array([True])):
        with pytest.raises(
            DTypeError, match=r"cannot be differentiated; use array\.astype\(float\)"
        ):
            mg.grad(mg.sum)(bad)
    with pytest.raises(DTypeError, match="str"):
        mg.grad(mg.sin)("a")
    with pytest.raises(DTypeError, match="complex"):
        mg.grad(mg.sin)(1j)
    with pytest.raises(DTypeError, match="complex128"):
        mg.grad(mg.sum)(np.array([1j]))


@pytest.mark.parametrize(
    "constant", [7.0, 7, np.float32(7.0), np.array(7.0), mg.Value(7.0), mg.Tensor(7.0)]
)
def test_functions_that_do_not_depend_on_their_input(constant):
    f = lambda x: constant  # noqa: E731
    assert mg.grad(f)(2.0) == 0.0
    assert mg.value_and_grad(f)(2.0)[0] == 7.0
    np.testing.assert_array_equal(mg.grad(f)(X), np.zeros(3))
    assert mg.grad(mg.grad(f))(2.0) == 0.0
    assert mg.jvp(f, (2.0,), (1.0,)) == (7.0, 0.0)
    assert mg.vjp(f, 2.0)[1](1.0) == (0.0,)
    assert mg.hvp(f, 2.0, 1.0) == 0.0
    np.testing.assert_array_equal(mg.jacobian(f)(X), np.zeros(3))
    np.testing.assert_array_equal(mg.hessian(f)(X), np.zeros((3, 3)))
    assert mg.hessian(f)(2.0) == 0.0


def test_second_derivatives_of_linear_functions_are_0():
    assert mg.grad(mg.grad(lambda x: 3 * x))(2.0) == 0.0
    assert mg.hessian(lambda x: 3 * x)(2.0) == 0.0
    np.testing.assert_array_equal(mg.hessian(mg.sum)(X), np.zeros((3, 3)))
    np.testing.assert_array_equal(mg.hvp(mg.sum, X, X), np.zeros(3))
    H = mg.hessian(lambda x: mg.sum(x))(X.astype(np.float32))
    assert H.dtype == np.float32


# vjp and jvp


def test_vjp_and_jvp_of_structures():
    def f(x, t):
        return {"a": x * t[0], "b": (mg.sum(t[1]), 5.0), "c": np.ones(2)}

    y, pull = mg.vjp(f, 2.0, [3.0, X])
    assert y["a"] == 6.0
    assert y["b"] == (np.sum(X), 5.0)
    x, (t0, t1) = pull({"a": 1.0, "b": (10.0, 100.0), "c": np.ones(2)})
    assert (x, t0) == (3.0, 2.0)
    np.testing.assert_array_equal(t1, np.full(3, 10.0))
    y, moved = mg.jvp(f, (2.0, [3.0, X]), (1.0, [0.0, X]))
    assert (moved["a"], moved["b"]) == (3.0, (np.sum(X), 0.0))
    np.testing.assert_array_equal(moved["c"], np.zeros(2))


def test_vjp_of_the_same_result_twice():
    (x,) = mg.vjp(lambda x: (lambda y: (y, y))(x * 2), 3.0)[1]((1.0, 10.0))
    assert x == 22.0


def test_cotangents_and_tangents_are_never_aliased():
    u = np.ones(3)
    (g,) = mg.vjp(lambda x: x, X)[1](u)
    g += 5.0
    a, b = mg.vjp(lambda x, y: x + y, X, X)[1](u)
    a += 5.0
    np.testing.assert_array_equal(u, np.ones(3))
    np.testing.assert_array_equal(b, np.ones(3))
    _, moved = mg.jvp(lambda x: x, (X,), (u,))
    moved += 5.0
    np.testing.assert_array_equal(u, np.ones(3))
    _, (p, q) = mg.jvp(lambda x: (x, x), (X,), (u,))
    p += 5.0
    np.testing.assert_array_equal(q, np.ones(3))
    A = M.copy()
    g = mg.grad(lambda x: mg.sum(x * A[0]))(X)
    g += 5.0
    np.testing.assert_array_equal(A, M)


def test_shapes_of_cotangents_and_tangents_are_checked():
    pull = mg.vjp(lambda x: x * 2, X)[1]
    with pytest.raises(
        ShapeError, match=r"the cotangent has shape \(2,\) where the result has \(3,\)"
    ):
        pull(np.ones(2))
    with pytest.raises(UsageError, match="a tuple in the place of one array"):
        pull((X, X))
    with pytest.raises(
        ShapeError, match=r"the tangents has shape \(\) where the primals has \(3,\)"
    ):
        mg.jvp(mg.sum, (X,), (1.0,))
    with pytest.raises(UsageError, match="not a list of 1"):
        mg.jvp(mg.sum, (X,), ())
    with pytest.raises(UsageError, match="as tuples"):
        mg.jvp(mg.sum, X, X)


def test_pull_may_be_called_often_and_with_nodes():
    _, pull = mg.vjp(lambda x: x**2, 3.0)
    assert pull(1.0) == pull(1.0) == (6.0,)
    assert mg.grad(lambda c: pull(c)[0])(5.0) == 6.0


# Jacobians and Hessians


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x * x, 3.0, 6.0),
        (lambda x: x * x, X, np.diag(2 * X)),
        (mg.sum, X, np.ones(3)),
        (lambda x: M @ x, X, M),
        (lambda x: x @ X, M, np.stack([np.stack([X, 0 * X]), np.stack([0 * X, X])])),
        (lambda x: x * X, 2.0, X),
        (lambda x: mg.sum(x, keepdims=True), X, np.ones((1, 3))),
        (lambda x: mg.reshape(x, (1,)), 2.0, np.ones(1)),
        (lambda x: x * x, np.array(3.0), np.array(6.0)),
        (lambda x: x * 1.0, np.zeros(0), np.zeros((0, 0))),
        (mg.sum, np.zeros(0), np.zeros(0)),
        (lambda x: mg.reshape(x[:0], (0, 2)), X, np.zeros((0, 2, 3))),
        (lambda x: mg.stack([x, 1.0, x * x]), 3.0, np.array([1.0, 0.0, 6.0])),
    ],
)
def test_jacobians_of_every_shape(f, x, expected):
    J = mg.jacobian(f)(x)
    assert type(J) is type(expected)
    assert np.shape(J) == np.shape(expected)
    np.testing.assert_array_equal(J, expected)


def test_forward_and_reverse_jacobians_agree():
    def tall(x):
        return mg.concatenate([mg.sin(x), mg.exp(x[:2]) * x[2], mg.softmax(x)])

    def wide(x):
        return mg.stack([mg.prod(x), mg.norm(x)])

    for f in (tall, wide):
        rows = mg.jacobian(f)(X)
        for i in range(3):
            np.testing.assert_allclose(
                mg.jvp(f, (X,), (np.eye(3)[i],))[1], rows[:, i], rtol=1e-13, atol=1e-15
            )
        for j in range(len(rows)):
            np.testing.assert_allclose(
                mg.vjp(f, X)[1](np.eye(len(rows))[j])[0], rows[j], rtol=1e-13, atol=1e-15
            )


def test_jacobian_argnums_and_errors():
    a, b = mg.jacobian(lambda x, y: x * y, (0, 1))(X, 2.0)
    np.testing.assert_array_equal(a, 2 * np.eye(3))
    np.testing.assert_array_equal(b, X)
    assert mg.jacobian(lambda x, y: x * y, (1,))(2.0, 3.0) == (2.0,)
    with pytest.raises(UsageError, match="single arrays or numbers"):
        mg.jacobian(lambda x: (x, x))(2.0)
    with pytest.raises(UsageError, match="single arrays or numbers"):
        mg.jacobian(lambda t: t[0] * t[1])([1.0, 2.0])


def test_hessians():
    H = mg.hessian(lambda x: mg.sum(x**3) + x[0] * x[1] * x[2])(X)
    expected = np.diag(6 * X) + np.array([[0, X[2], X[1]], [X[2], 0, X[0]], [X[1], X[0], 0]])
    np.testing.assert_allclose(H, expected, rtol=1e-14)
    assert mg.hessian(lambda x: x**4)(2.0) == 48.0
    assert mg.hessian(lambda A: mg.sum(A @ A.T))(M).shape == (2, 3, 2, 3)
    np.testing.assert_array_equal(
        mg.hessian(lambda a, x: mg.sum(a * x * x), 1)(2.0, X), 4 * np.eye(3)
    )
    v = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        mg.hvp(lambda x: mg.logsumexp(x) ** 2, X, v),
        mg.hessian(lambda x: mg.logsumexp(x) ** 2)(X) @ v,
        rtol=1e-12,
    )
    tree = mg.hvp(lambda t: t["a"] ** 2 * t["b"][0], {"a": 3.0, "b": [5.0]}, {"a": 1.0, "b": [0.0]})
    assert tree == {"a": 10.0, "b": [6.0]}


# Nesting


def _rev(f):
    return mg.grad(f)


def _fwd(f):
    return lambda x: mg.jvp(f, (x,), (1.0,))[1]


def _vjp(f):
    return lambda x: mg.vjp(f, x)[1](1.0)[0]


def _jac(f):
    return mg.jacobian(f)


WAYS = [_rev, _fwd, _vjp, _jac]
all_pairs = pytest.mark.parametrize("outer", WAYS)
inner_ways = pytest.mark.parametrize("inner", WAYS)


@all_pairs
@inner_ways
def test_no_perturbation_confusion(outer, inner):
    # d/dx x · (d/dy x·y) = d/dx x² = 2x
    assert outer(lambda x: x * inner(lambda y: x * y)(7.0))(3.0) == 6.0
    # d/dx x · (d/dy (x + y)) at y = x: the inner derivative is 1, whatever x
    assert outer(lambda x: x * inner(lambda y: x + y)(x))(3.0) == 1.0
    assert outer(lambda x: inner(lambda y: x * y * y)(x))(3.0) == 12.0


@all_pairs
@inner_ways
@pytest.mark.parametrize("third", WAYS)
def test_third_derivatives_in_every_combination(outer, inner, third):
    f = outer(inner(third(lambda x: mg.exp(2 * x) * x + x**4)))
    np.testing.assert_allclose(f(0.5), 8 * np.e * 0.5 + 12 * np.e + 24 * 0.5, rtol=1e-12)


def test_fused_rows_at_high_orders():
    f = lambda x: mg.logsumexp(mg.stack([x, 2 * x, 0.0]))  # noqa: E731
    p = np.exp([0.3, 0.6, 0.0])
    p /= p.sum()
    mean = p[0] + 2 * p[1]
    second = p[0] + 4 * p[1] - mean**2
    third = sum(q * (k - mean) ** 3 for q, k in zip(p, (1, 2, 0)))
    for one in (_rev, _fwd):
        np.testing.assert_allclose(one(f)(0.3), mean, rtol=1e-13)
        for two in (_rev, _fwd):
            np.testing.assert_allclose(one(two(f))(0.3), second, rtol=1e-12)
            for three in (_rev, _fwd):
                np.testing.assert_allclose(one(two(three(f)))(0.3), third, rtol=1e-11)


def test_grads_of_grads_of_closures_over_nodes():
    w, v = mg.Tensor([2.0, 3.0]), mg.Value(4.0)
    assert mg.grad(mg.grad(lambda x: mg.sum(w * x**3) * v))(1.0) == 6 * 5 * 4.0
    assert w.grad is None

    def loss():
        slope = mg.grad(lambda x: mg.sum(w * x**3) * v)(mg.Value(1.0))
        return slope**2

    y = loss()
    y.backward()
    assert v.grad == 2 * (3 * 5 * 4.0) * 15.0
    np.testing.assert_array_equal(w.grad, [2 * 60.0 * 12.0] * 2)


def test_a_node_given_gives_a_node_to_differentiate_further():
    x = mg.Value(2.0)
    g = mg.grad(lambda t: t**3)(x)
    assert isinstance(g, mg.Value)
    assert float(g) == 12.0
    g.backward()
    assert x.grad == 12.0
    y, moved = mg.jvp(lambda t: t**3, (x,), (1.0,))
    (y + moved).backward()
    assert x.grad == 12.0 + 12.0 + 12.0


def test_inner_derivatives_of_nothing_but_the_outer():
    assert mg.grad(lambda x: mg.grad(lambda y: x * x * 1.0)(3.0) + x)(2.0) == 1.0
    assert mg.grad(lambda x: mg.jvp(lambda y: x * x, (3.0,), (1.0,))[0])(2.0) == 4.0


def test_math_functions_inside_a_derivative_are_refused():
    import math

    with pytest.raises(GraphError, match=r"mg\.exp, mg\.sin"):
        mg.grad(lambda x: math.sin(x))(1.0)
    assert math.sin(mg.Value(0.0)) == 0.0
    with pytest.raises(GraphError, match="lose its gradient"):
        mg.grad(lambda x: np.asarray(x).sum())(X)


def test_transforms_work_under_no_grad():
    with mg.no_grad():
        assert mg.grad(lambda x: x**3)(2.0) == 12.0
        assert mg.grad(mg.grad(lambda x: x**3))(2.0) == 12.0
        assert mg.hessian(lambda x: x**3)(2.0) == 12.0
        assert mg.jvp(lambda x: x**3, (2.0,), (1.0,)) == (8.0, 12.0)
        assert not (mg.Value(1.0) * 2).requires_grad


def test_no_grad_and_stop_gradient_inside_a_function():
    def f(x):
        with mg.no_grad():
            c = x * x
        return c * x + mg.stop_gradient(x) * x

    assert mg.grad(f)(3.0) == 9.0 + 3.0
    assert mg.jvp(f, (3.0,), (1.0,))[1] == 12.0


def test_an_input_assigned_inside_makes_the_graph_stale():
    def f(t):
        y = mg.sum(t * t)
        t.data = t.data + 1.0
        return y

    with pytest.raises(mg.errors.StaleGraphError):
        mg.grad(f)(X)


def test_an_exception_inside_leaves_the_depth_as_it_was():
    def broken(x):
        raise RuntimeError("inside")

    for transform in (mg.grad(broken), mg.jacobian(broken), lambda x: mg.jvp(broken, (x,), (1.0,))):
        with pytest.raises(RuntimeError, match="inside"):
            transform(1.0)
    assert float(mg.grad(lambda x: x * x)(mg.Value(2.0))) == 4.0
    assert mg.grad(mg.grad(lambda x: x**3))(1.0) == 6.0


def test_wrapped_functions_keep_their_names():
    def energy(x):
        """The doc."""
        return x * x

    assert mg.grad(energy).__doc__ == "The doc."
    assert mg.jacobian(energy).__name__ == "energy"
