"""Products with the Gauss–Newton matrix: against dense matrices, nested, jitted, and refused."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn
from microgradopt.check import check_grads
from microgradopt.errors import DTypeError, ShapeError, UsageError

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(7, 3))
LABELS = RNG.integers(0, 4, size=7)
TARGETS = RNG.normal(size=(7, 4))
PARAMS = {
    "hidden": (RNG.normal(size=(3, 5)), RNG.normal(size=5)),
    "last": [RNG.normal(size=(5, 4)), None],
}
VECTOR = {
    "hidden": (RNG.normal(size=(3, 5)), RNG.normal(size=5)),
    "last": [RNG.normal(size=(5, 4)), None],
}
X, V = np.array([0.3, -0.5, 1.2]), np.array([1.0, 2.0, -1.0])


def network(p):
    w, b = p["hidden"]
    return mg.tanh(INPUTS.astype(w.dtype) @ w + b) @ p["last"][0]


def cross_entropy(z):
    return nn.cross_entropy(z, LABELS)


def flat(p):
    return np.concatenate([x.ravel() for x in (*p["hidden"], p["last"][0])])


def unflat(x):
    """The other way, of an array or a node."""
    return {
        "hidden": (mg.reshape(x[:15], (3, 5)), x[15:20]),
        "last": [mg.reshape(x[20:], (5, 4)), None],
    }


def dense_jacobian():
    """Of shape (7, 4, parameters)."""
    return mg.jacobian(lambda x: network(unflat(x)))(flat(PARAMS))


# Against dense matrices


def test_cross_entropy_against_the_formula():
    J = dense_jacobian()
    z = network(PARAMS)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    G = sum(j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(J, p)) / len(J)
    found = mg.ggnvp(network, cross_entropy, PARAMS, VECTOR)
    assert list(found) == ["hidden", "last"]
    assert isinstance(found["hidden"], tuple)
    assert found["last"][1] is None
    np.testing.assert_allclose(flat(found), G @ flat(VECTOR), rtol=1e-11)


def test_mean_squared_error_against_the_formula():
    J = dense_jacobian().reshape(-1, 40)
    found = mg.ggnvp(network, lambda z: nn.mse(z, TARGETS), PARAMS, VECTOR)
    np.testing.assert_allclose(flat(found), J.T @ (J @ flat(VECTOR)) * 2 / len(J), rtol=1e-11)


def test_every_column_of_the_matrix():
    """A model's own curvature is left out: the Hessian of the whole is another matrix."""
    f, loss = lambda x: mg.exp(x) * x[0], lambda z: mg.logsumexp(z) + z[0] ** 4
    J, H = mg.jacobian(f)(X), mg.hessian(loss)(f(X))
    columns = [mg.ggnvp(f, loss, X, e) for e in np.eye(3)]
    np.testing.assert_allclose(columns, J.T @ H @ J, rtol=1e-12)
    assert not np.allclose(columns, mg.hessian(lambda x: loss(f(x)))(X))


def test_it_is_the_hessian_of_a_linear_model():
    f, loss = lambda w: INPUTS @ w + 1.0, lambda z: mg.sum(mg.softplus(z * 3.0))
    np.testing.assert_allclose(
        mg.ggnvp(f, loss, X, V), mg.hvp(lambda w: loss(f(w)), X, V), rtol=1e-13
    )


def test_it_never_points_backwards_for_a_convex_loss():
    for v in RNG.normal(size=(20, 40)):
        found = mg.ggnvp(network, cross_entropy, PARAMS, unflat(v))
        assert flat(found) @ v >= 0.0


# Kinds of numbers, and structures


def test_floats_stay_floats():
    found = mg.ggnvp(lambda x: x**2, lambda z: z**3, 3.0, 2.0)
    assert type(found) is float
    assert found == 6.0 * 54.0 * 6.0 * 2.0
    assert type(mg.ggnvp(lambda x: x * X, mg.logsumexp, 3, 2)) is float


def test_float32_stays_float32():
    p, v = unflat(flat(PARAMS).astype(np.float32)), unflat(flat(VECTOR).astype(np.float32))
    narrow = mg.ggnvp(network, cross_entropy, p, v)
    assert flat(narrow).dtype == np.float32
    wide = mg.ggnvp(network, cross_entropy, PARAMS, VECTOR)
    np.testing.assert_allclose(flat(narrow), flat(wide), rtol=1e-3, atol=1e-4)
    assert mg.ggnvp(mg.tanh, mg.logsumexp, X.astype(np.float32), V).dtype == np.float32


def test_results_of_f_may_be_structures_too():
    def f(p):
        return {"a": p["x"] * 2.0, "none": None, "b": (mg.sum(p["y"]), np.ones(2))}

    def loss(z):
        return mg.sum(z["a"] ** 2) + mg.sum(z["a"]) * z["b"][0] + mg.sum(z["b"][1])

    x, v = {"x": X, "y": X[:2], "z": 1.0}, {"z": 5.0, "x": V, "y": V[:2]}
    found = mg.ggnvp(f, loss, x, v)
    assert list(found) == ["x", "y", "z"]
    np.testing.assert_array_equal(found["x"], 8.0 * V + 2.0 * np.sum(V[:2]))
    np.testing.assert_array_equal(found["y"], np.full(2, 2.0 * np.sum(V)))
    assert found["z"] == 0.0


@pytest.mark.parametrize("constant", [np.ones(2), 5.0, mg.Tensor(X)])
def test_a_model_that_does_not_depend_on_its_input(constant):
    found = mg.ggnvp(lambda x: constant, lambda z: mg.sum(z * z), X, V)
    np.testing.assert_array_equal(found, np.zeros(3))


def test_losses_without_curvature():
    np.testing.assert_array_equal(mg.ggnvp(mg.exp, mg.sum, X, V), np.zeros(3))
    np.testing.assert_array_equal(mg.ggnvp(mg.exp, lambda z: 1.0, X, V), np.zeros(3))


def test_nothing_given_is_changed_or_aliased():
    x, v = X.copy(), V.copy()
    found = mg.ggnvp(lambda x: x, lambda z: 0.5 * mg.sum(z * z), x, v)
    found += 5.0
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(v, V)


def test_the_model_is_called_once():
    calls = []
    mg.ggnvp(lambda x: calls.append(x) or x * x, mg.sum, X, V)
    assert len(calls) == 1


# Nesting


def test_it_is_differentiated_by_all_it_is_made_of():
    f, loss = lambda x: mg.tanh(x) * x[0], lambda z, y: mg.logsumexp(z * y)
    Y = np.array([1.0, 0.5, -2.0])

    def of_all(x, v, y):
        return mg.sum(mg.ggnvp(f, lambda z: loss(z, y), x, v) * Y)

    check_grads(of_all, X, V, Y, order=1)
    check_grads(lambda x: mg.ggnvp(f, lambda z: loss(z, Y), x, V), X, order=2)


def test_it_is_linear_in_v():
    J = mg.jacobian(lambda v: mg.ggnvp(mg.tanh, mg.logsumexp, X, v))(V)
    columns = [mg.ggnvp(mg.tanh, mg.logsumexp, X, e) for e in np.eye(3)]
    np.testing.assert_allclose(J.T, columns, rtol=1e-12)


def test_nodes_from_outside_take_part():
    w = mg.Tensor(X)
    found = mg.ggnvp(lambda x: x * w, lambda z: 0.5 * mg.sum(z * z), mg.Tensor(X), V)
    assert isinstance(found, mg.Tensor)  # w² v
    mg.sum(found).backward()
    np.testing.assert_allclose(w.grad, 2.0 * X * V, rtol=1e-15)


def test_it_works_under_no_grad():
    expected = mg.ggnvp(mg.tanh, mg.logsumexp, X, V)
    with mg.no_grad():
        np.testing.assert_array_equal(mg.ggnvp(mg.tanh, mg.logsumexp, X, V), expected)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_it_is_compiled(backend):
    if backend == "llvm":
        pytest.importorskip("llvmlite")

    def product(p, v):
        return mg.ggnvp(network, cross_entropy, p, v)

    jitted = mg.jit(product, backend=backend)
    for i in range(4):
        p = unflat(flat(PARAMS) + 0.1 * i)
        expected, found = flat(product(p, VECTOR)), flat(jitted(p, VECTOR))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


# What is refused


def test_vectors_of_another_form():
    def product(x, v):
        return mg.ggnvp(lambda x: x, lambda z: 1.0, x, v)

    with pytest.raises(ShapeError, match=r"v has shape \(2,\) where x has \(3,\)"):
        product(X, V[:2])
    with pytest.raises(ShapeError, match=r"v has shape \(\) where x has \(3,\)"):
        product(X, 1.0)
    with pytest.raises(UsageError, match=r"v is not a dict with the keys \['a'\]; x has another"):
        product({"a": X}, {"b": V})
    with pytest.raises(UsageError, match=r"v\['a'\] is not a list of 2; x has another structure"):
        product({"a": [X, X]}, {"a": [V]})


def test_losses_that_are_no_number_and_inputs_that_are_none():
    with pytest.raises(ShapeError, match=r"one number.*Tensor.*\(3,\).*mg\.sum"):
        mg.ggnvp(mg.exp, lambda z: z, X, V)
    with pytest.raises(UsageError, match="NoneType; did it forget to return"):
        mg.ggnvp(mg.exp, lambda z: None, X, V)
    with pytest.raises(DTypeError, match="cannot be differentiated"):
        mg.ggnvp(mg.exp, mg.sum, np.array([1, 2]), np.ones(2))
