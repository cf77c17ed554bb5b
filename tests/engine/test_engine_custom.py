"""Functions as single operations: gradients of one's own, and checkpoints."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import check_grads
from microgradopt.engine.graph import ancestors
from microgradopt.errors import GradientError, GraphError, ShapeError, UsageError


@mg.custom_gradient
def cube(x):
    """x³ with its derivative said by hand."""
    return x * x * x, lambda g: g * 3.0 * x * x


@mg.custom_gradient
def several(pair, scale, *, power=2):
    x, y = pair["x"], pair["y"]

    def pull(g):
        product, root = g
        dx = product * y * scale
        dy = mg.sum(product * x, axis=0) * scale + power * y ** (power - 1) * root
        return {"x": dx, "y": dy}, mg.sum(product * x * y)

    return (x * y * scale, mg.sum(y**power)), pull


X = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])


@pytest.mark.parametrize("x", [2.0, -0.5, np.array(1.5), X, X.T, np.zeros((0, 2))])
def test_all_orders_and_modes_of_a_gradient_of_ones_own(x):
    check_grads(cube, x, order=3)


def test_structures_in_and_out():
    given = {"x": X, "y": np.array([2.0, 1.0, -3.0])}
    check_grads(several, given, 0.5, order=2)
    check_grads(lambda p, s: several(p, s, power=3), given, 0.5, order=2)
    check_grads(lambda p: several(p, 0.5), given, order=2)  # the plain number has no gradient
    check_grads(lambda s: several(given, s), 0.5, order=2)


def test_the_result_is_one_operation_of_the_functions_name():
    y = cube(mg.Tensor(X))
    assert y.op.name == "cube"
    assert len(ancestors([y])) == 2
    assert "cube" in mg.draw(y).svg()
    assert cube.__doc__ == "x³ with its derivative said by hand."


def test_plain_numbers_give_plain_numbers():
    assert cube(2.0) == 8.0
    with mg.no_grad():
        assert not cube(mg.Value(2.0)).requires_grad
    assert not cube(mg.Value(2.0, requires_grad=False)).requires_grad


def test_float32_stays_float32():
    x = mg.Tensor(X.astype(np.float32))
    y = cube(x)
    mg.sum(y).backward()
    assert y.dtype == x.grad.dtype == np.float32
    a, b = several({"x": x, "y": x}, mg.Value(2.0))
    assert a.dtype == b.dtype == np.float32


def test_a_gradient_may_differ_from_the_derivative():
    @mg.custom_gradient
    def straight_through(x):
        return mg.Tensor(np.round(x.data), requires_grad=False), lambda g: g

    assert mg.grad(lambda x: mg.sum(straight_through(x) ** 2))(np.array([1.4]))[0] == 2.0
    with pytest.raises(GradientError, match="analytic"):
        check_grads(straight_through, np.array([1.4]))


def test_none_means_no_derivative():
    @mg.custom_gradient
    def first(x, y):
        return x * 2.0, lambda g: (2.0 * g, None)

    assert mg.grad(lambda x, y: mg.sum(first(x, y)), (0, 1))(3.0, 4.0) == (2.0, 0.0)
    assert mg.jvp(first, (3.0, 4.0), (1.0, 1.0)) == (6.0, 2.0)
    assert mg.hessian(lambda x: first(x, x) ** 2)(3.0) == 8.0


def test_settings_need_no_cotangent():
    @mg.custom_gradient
    def scaled(x, times=2.0):
        return x * times, lambda g: g * times

    for f in (lambda x: scaled(x), lambda x: scaled(x, 3.0), lambda x: scaled(x, times=3.0)):
        check_grads(f, X, order=2)
    with pytest.raises(UsageError, match="tuple of 2 cotangents"):
        mg.grad(scaled, (0, 1))(1.0, 2.0)
    greedy = mg.custom_gradient(lambda x, y: (x * y, lambda g: (g, g, g)))
    with pytest.raises(UsageError, match="it returned 3"):
        mg.grad(greedy)(1.0, 2.0)


def test_a_node_that_is_no_argument_is_refused():
    w = mg.Tensor(X, name="w")
    inner = mg.exp(w)
    for hidden, found in ((w, "'w'"), (inner, "made by 'exp'")):

        @mg.custom_gradient
        def scaled(x, hidden=hidden):
            return x * hidden, lambda g: g

        with pytest.raises(GraphError, match=f"{found}.*not one of its arguments"):
            scaled(mg.Tensor(X))
        with pytest.raises(GraphError, match="not one of its arguments"):
            scaled(X)
    fine = mg.custom_gradient(lambda x: (x * mg.stop_gradient(w), lambda g: g * w.data))
    check_grads(fine, X)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: x, r"returns \(result, pull\).*it returned Tensor"),
        (lambda x: None, "it returned NoneType"),
        (lambda x: (x, x), "it returned tuple"),
        (lambda x: (None, lambda g: g), "forget to return"),
        (lambda x: ("no", lambda g: g), "must return numbers.*returned str"),
    ],
)
def test_what_the_function_must_return(returned, message):
    with pytest.raises(UsageError, match=message):
        mg.custom_gradient(returned)(mg.Tensor(X))


def test_what_pull_must_return():
    def run(pull, *args):
        mg.sum(mg.custom_gradient(lambda *xs: (xs[0] * 1.0, pull))(*args)).backward()

    x = mg.Tensor(X)
    with pytest.raises(UsageError, match=r"tuple of 2 cotangents.*it returned 1"):
        run(lambda g: g, x, mg.Value(1.0))
    with pytest.raises(ShapeError, match=r"cotangent of shape \(2,\)"):
        run(lambda g: np.ones(2), x)
    with pytest.raises(UsageError, match=r"the cotangent of argument 1.*structure of the argument"):
        run(lambda g: (g, g), x, [x, x])
    assert x.grad is None


def test_plain_data_on_the_way_is_refused_in_higher_orders_and_forward_mode():
    numpy_only = mg.custom_gradient(
        lambda x: (mg.sin(x), lambda g: np.cos(x.data) * getattr(g, "data", g))
    )
    assert mg.grad(numpy_only)(0.5) == np.cos(0.5)
    with pytest.raises(UsageError, match="keeps nodes"):
        mg.jvp(numpy_only, (0.5,), (1.0,))
    with pytest.raises(UsageError, match="keeps nodes"):
        mg.grad(mg.grad(lambda x: numpy_only(x) ** 2))(0.5)


def test_nested_derivatives_of_a_gradient_of_ones_own():
    assert mg.grad(lambda x: x * mg.grad(lambda y: cube(x * y))(1.0))(2.0) == pytest.approx(96.0)
    np.testing.assert_allclose(
        mg.hessian(lambda x: mg.sum(cube(x)))(X[0]), np.diag(6.0 * X[0]), rtol=1e-14
    )
    v = np.array([1.0, 0.5, -1.0])
    np.testing.assert_allclose(mg.hvp(lambda x: mg.sum(cube(x)), X[0], v), 6.0 * X[0] * v)


def test_a_python_function_is_not_pickled_but_copied():
    y = cube(mg.Tensor(X, name="x"))
    with pytest.raises(UsageError, match="'cube' in it cannot be pickled"):
        pickle.dumps(y)
    copied = copy.deepcopy(y)
    mg.sum(copied).backward()
    (leaf,) = [n for n in ancestors([copied]) if n.op is None]
    np.testing.assert_array_equal(leaf.grad, 3.0 * X * X)


# Checkpoints

W = mg.Tensor(np.array([[0.5, -1.0, 0.25], [1.0, 2.0, -0.5], [0.0, 1.5, 1.0]]), name="W")


def block(x, times=3):
    for _ in range(times):
        x = mg.tanh(x @ W)
    return {"x": x, "total": mg.sum(x), "note": [x[0, 0]]}


def gradients(f, x):
    W.zero_grad()
    x = mg.Tensor(x)
    out = f(x)
    (mg.sum(out["x"] ** 2) * out["total"] + out["note"][0]).backward()
    return x.grad, W.grad


def test_gradients_through_a_checkpoint_are_those_without():
    for wrapped in (mg.checkpoint(block), mg.checkpoint(mg.checkpoint(block))):
        for a, b in zip(gradients(wrapped, X), gradients(block, X)):
            np.testing.assert_array_equal(a, b)
    twice = gradients(lambda x: mg.checkpoint(block)(mg.checkpoint(block)(x)["x"]), X)
    for a, b in zip(twice, gradients(lambda x: block(block(x)["x"]), X)):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_orders_and_modes_through_a_checkpoint():
    check_grads(mg.checkpoint(block), X, order=2)
    check_grads(mg.checkpoint(lambda x, y: mg.sin(x) * y), 0.5, 2.0, order=3)
    check_grads(mg.checkpoint(lambda x: [x, 2.0, x * x]), 0.5, order=2)  # a constant, an input
    nested = mg.grad(lambda a: a * mg.grad(mg.checkpoint(lambda b: mg.sin(a * b)))(2.0))(0.5)
    assert nested == pytest.approx(2 * 0.5 * np.cos(1.0) - 2.0 * 0.25 * np.sin(1.0))


def test_outer_intermediates_are_kept_apart():
    x = mg.Tensor(X)
    inner = mg.exp(x)
    y = mg.checkpoint(lambda: inner * inner)()
    mg.sum(y * inner).backward()
    np.testing.assert_allclose(x.grad, 3.0 * np.exp(3.0 * X), rtol=1e-14)


def test_a_checkpoint_of_constants_is_a_constant():
    assert mg.checkpoint(lambda x: x * 2.0)(3.0) == 6.0
    with mg.no_grad():
        assert not mg.checkpoint(block)(mg.Tensor(X))["x"].requires_grad


def test_a_checkpoint_needs_less_memory():
    def deep(x):
        for _ in range(50):
            x = mg.sin(x)
        return x

    def held(f):
        x = mg.Tensor(np.ones(10_000))
        tracemalloc.start()
        y = f(x)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        mg.sum(y).backward()
        return size, x.grad

    (plain, expected), (small, found) = held(deep), held(mg.checkpoint(deep))
    assert small < plain / 20
    np.testing.assert_array_equal(found, expected)


def test_another_result_the_second_time_is_refused():
    rng = np.random.default_rng(0)
    noisy = mg.checkpoint(lambda x: x * rng.normal(size=x.shape))
    y = mg.sum(noisy(mg.Tensor(X)))
    with pytest.raises(GraphError, match="gave another result"):
        y.backward()
    shrinking = [1, 2]
    fewer = mg.checkpoint(lambda x: [x * 1.0 for _ in range(shrinking.pop())])
    first, _ = fewer(mg.Tensor(X))
    with pytest.raises(GraphError, match="gave another result"):
        mg.sum(first).backward()


def test_a_checkpoint_that_uses_other_nodes_the_second_time_is_refused():
    square_sum = mg.checkpoint(lambda values: sum(v * v for v in values))
    values = [mg.Value(1.0), mg.Value(2.0)]
    result = square_sum(values)
    values[0] = mg.Value(1.0)
    with pytest.raises(GraphError, match="used other nodes"):
        result.backward()


def test_a_leaf_assigned_meanwhile_is_stale():
    w = mg.Tensor(np.ones(3))
    y = mg.sum(mg.checkpoint(lambda x: x * w)(X))
    w.data = np.zeros(3)
    with pytest.raises(mg.errors.StaleGraphError):
        y.backward()


def test_a_wrong_rule_inside_a_checkpoint_is_found_but_not_named():
    wrong = mg.custom_gradient(lambda x: (x * x, lambda g: g * x))
    with pytest.raises(GradientError, match="analytic"):
        check_grads(mg.checkpoint(lambda x: wrong(x)), 3.0)
    y = mg.checkpoint(lambda x: x * W[0, 0])(mg.Tensor(X))
    with pytest.raises(GraphError, match="cannot be applied to other operands"):
        y.op(X, W.data, **y.params)
