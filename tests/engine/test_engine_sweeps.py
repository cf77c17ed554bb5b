"""backward: accumulation, aliasing, seeds, dtypes, mixed kinds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.engine.graph import ancestors
from microgradopt.errors import DTypeError, GraphError, ShapeError

both_kinds = pytest.mark.parametrize(
    "leaf", [mg.Value, lambda x: mg.Tensor([x])], ids=["Value", "Tensor"]
)


@both_kinds
def test_leaves_accumulate_and_intermediates_do_not(leaf):
    x = leaf(3.0)
    y = x * x
    z = y * 2
    z.backward()
    z.backward()
    np.testing.assert_array_equal(x.grad, 24.0)
    np.testing.assert_array_equal(y.grad, 2.0)
    np.testing.assert_array_equal(z.grad, 1.0)
    (y * 5).backward()
    np.testing.assert_array_equal(x.grad, 54.0)
    np.testing.assert_array_equal(y.grad, 5.0)
    x.zero_grad()
    assert x.grad is None
    x.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_gradients_are_arrays_of_the_shape_of_their_node(shape):
    x = mg.Tensor(np.ones(shape))
    y = mg.sum(x * 2.0 + 1.0)
    for _ in range(3):
        y.backward()
        for node in ancestors([y]):
            if node.requires_grad:
                assert type(node.grad) is np.ndarray
                assert node.grad.shape == node.shape
                assert node.grad.dtype == node.dtype


def test_gradients_of_values_are_floats():
    x = mg.Value(2.0)
    y = mg.sum(x * np.array([1.0, 2.0])) + mg.maximum(x, 1.0) / np.float64(2)
    for _ in range(2):
        y.backward()
        assert type(x.grad) is float
    assert x.grad == 7.0


def _graph_with_shared_cotangents():
    x, b = mg.Tensor(np.ones((2, 3)), name="x"), mg.Tensor(np.ones((2, 3)), name="b")
    y = x + b
    z = mg.reshape(y, (3, 2)).T + x
    return x, b, y, z, +z


def test_gradients_alias_nothing():
    x, *_, out = _graph_with_shared_cotangents()
    seed = np.arange(6.0).reshape(2, 3)
    kept = seed.copy()
    out.backward(seed)
    nodes = ancestors([out])
    for one, other in itertools.combinations(nodes, 2):
        assert not np.shares_memory(one.grad, other.grad)
    for node in nodes:
        assert not np.shares_memory(node.grad, seed)
        assert all(not np.shares_memory(node.grad, other.data) for other in nodes)
        node.grad += 100.0
    np.testing.assert_array_equal(seed, kept)
    assert float(x.data[0, 0]) == 1.0


def test_a_seed_that_is_the_data_is_not_aliased():
    x = mg.Tensor([1.0, 2.0])
    y = x + 0.0
    y.backward(x.data)
    assert not np.shares_memory(x.grad, x.data)
    first = x.grad
    y.backward(x.data)
    np.testing.assert_array_equal(first, [1.0, 2.0])
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_the_gradient_of_a_product_is_not_the_other_factor():
    x, y = mg.Tensor([1.0, 2.0]), mg.Tensor([3.0, 4.0])
    mg.sum(x * y).backward()
    x.grad += 1.0
    np.testing.assert_array_equal(y.data, [3.0, 4.0])


def test_seeds():
    x = mg.Tensor([1.0, 2.0])
    y = x * x
    y.backward([1, 10])
    np.testing.assert_array_equal(x.grad, [2.0, 40.0])
    y.backward(mg.Tensor([1.0, 0.0]))
    np.testing.assert_array_equal(x.grad, [4.0, 40.0])
    v = mg.Value(2.0)
    (v * v).backward(3)
    assert v.grad == 12.0


def test_bad_seeds_are_refused():
    y = mg.Tensor([1.0, 2.0], name="x") * 2
    with pytest.raises(ShapeError, match=r"shape \(2,\).*gradient=.*mg\.sum"):
        y.backward()
    with pytest.raises(ShapeError, match=r"gradient has shape \(3,\).*needs \(2,\)"):
        y.backward(np.ones(3))
    with pytest.raises(ShapeError, match=r"\(\)"):
        y.backward(1.0)
    with pytest.raises(DTypeError, match="complex128"):
        y.backward(np.ones(2, complex))
    with pytest.raises(DTypeError, match="real numbers"):
        (mg.Value(2.0) * 2).backward("1")
    with pytest.raises(ShapeError):
        (mg.Value(2.0) * 2).backward([1.0])


@both_kinds
def test_backward_without_anything_to_differentiate(leaf):
    constant = leaf(2.0).detach() * 3
    with pytest.raises(GraphError, match="nothing here requires a gradient"):
        constant.backward()


@both_kinds
def test_constants_get_no_gradient(leaf):
    x, c = leaf(2.0), leaf(5.0).detach()
    (x * c * mg.stop_gradient(x)).backward()
    np.testing.assert_array_equal(x.grad, 10.0)
    assert c.grad is None


def test_unused_operands_of_a_result_get_zeros():
    x, y = mg.Tensor([1.0, 2.0]), mg.Value(3.0)
    mg.sum(mg.where(np.array([False, False]), x * y, 1.0)).backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0])
    assert y.grad == 0.0


# Dtypes


FLOAT32_WAYS = {
    "python float": lambda t: t * 2.5 + 1.0 - 3 / t,
    "python int": lambda t: (t + 1) ** 3 / 2,
    "numpy scalar": lambda t: np.float64(2) * t + np.float64(1.5),
    "int array": lambda t: t * np.array([1, 2, 3]) + np.arange(3),
    "list": lambda t: mg.add(t, [1, 2, 3]),
    "bool array": lambda t: t * np.array([True, False, True]),
    "Value": lambda t: t * mg.Value(2.0) + mg.Value(1.0),
    "where": lambda t: mg.where(t > 0, t, 0.0) + mg.where(t > 0, 1.0, t),
    "stack": lambda t: mg.stack([t[0], 1.0, mg.Value(2.0)]),
    "softmax": lambda t: mg.softmax(t) * mg.logsumexp(t) / mg.norm(t),
    "mean": lambda t: (t - mg.mean(t)) / mg.sqrt(mg.var(t) + 1e-5),
    "clip": lambda t: mg.clip(t, 0.5, 2.0) + mg.maximum(t, 1.0) + mg.abs(t),
    "relu": lambda t: mg.relu(t) + mg.sigmoid(t) + mg.tanh(t) + mg.elu(t) + mg.leaky_relu(t, 0.1),
    "power": lambda t: t**2 + t**0.5 + 2.0**t,
    "matmul": lambda t: np.eye(3, dtype=np.float32) @ t,
    "int matmul": lambda t: np.eye(3, dtype=int) @ t,
    "einsum": lambda t: mg.einsum("i,,j->i", t, 2.0, np.arange(2)),
    "prod": lambda t: mg.prod(t) * mg.max(t),
    "pad": lambda t: mg.pad(t, 1, constant_values=2.0) + mg.pad(t, 1, mode="edge"),
    "sort": lambda t: mg.sort(t) + mg.cumsum(t),
    "outer": lambda t: mg.outer(t, 2.0) + mg.outer(2.0, t),
}


@pytest.mark.parametrize("way", FLOAT32_WAYS)
def test_float32_stays_float32(way):
    f = FLOAT32_WAYS[way]
    t = mg.Tensor(np.array([0.7, 1.5, 2.5], np.float32))
    y = f(t)
    assert y.dtype == np.float32
    total = mg.sum(y)
    assert total.dtype == np.float32
    total.backward()
    for node in ancestors([total]):
        if isinstance(node, mg.Tensor) and node.requires_grad:
            assert node.dtype == np.float32
            assert node.grad.dtype == np.float32
    assert mg.hvp(lambda x: mg.sum(f(x)), t.data, np.ones(3, np.float32)).dtype == np.float32
    assert mg.hessian(lambda x: mg.sum(f(x)))(t.data).dtype == np.float32


def test_mixed_precision_promotes_as_numpy_and_gradients_keep_their_own():
    a, b = mg.Tensor(np.ones(2, np.float32)), mg.Tensor(np.ones(2))
    y = mg.sum(a * b)
    assert y.dtype == np.float64
    y.backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    c = mg.astype(a, np.float64)
    mg.sum(c * b).backward()
    assert a.grad.dtype == np.float32
    v = mg.Value(2.0)
    narrow = mg.astype(v, np.float32)
    assert narrow.dtype == np.float32
    (narrow * 3).backward()
    assert v.grad == 3.0


def test_values_and_tensors_mix():
    v, t = mg.Value(2.0), mg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    for y in (v * t, t * v, v + t, t - v, v / t, t / v, v**t, t**v, mg.maximum(v, t)):
        assert isinstance(y, mg.Tensor)
        assert y.shape == (2, 2)
    mg.sum((v * t - t / v) ** 2 + mg.where(t > v, t, v)).backward()
    assert v.grad == 2 * (2 - 0.5) * (1 + 0.25) * 30.0 + 2.0  # Σ t² is 30; v is taken twice
    np.testing.assert_array_equal(t.grad, 2 * 1.5**2 * t.data + (t.data > 2))
    assert isinstance(v + mg.Tensor(1.0), mg.Tensor)
    assert isinstance(mg.stack([v, v * 2]), mg.Tensor)


def test_a_leaf_assigned_before_its_only_use_is_not_stale():
    a, w = mg.Tensor([2.0, 3.0]), mg.Tensor([1.0, 1.0])
    older = a * a
    w.data = [5.0, 7.0]
    mg.sum(older * w).backward()
    np.testing.assert_array_equal(a.grad, [20.0, 42.0])
    np.testing.assert_array_equal(w.grad, [4.0, 9.0])


def test_a_derivative_by_a_node_is_plain_where_nothing_is_recorded():
    with mg.no_grad():
        assert mg.grad(lambda x: x * x)(mg.Value(3.0)) == 6.0
        assert mg.grad(lambda x: 3.0 * (x + 0.0))(mg.Value(3.0)) == 3.0
        np.testing.assert_array_equal(
            mg.grad(lambda x: mg.sum(x * x))(mg.Tensor([1.0, 2.0])), [2.0, 4.0]
        )


def test_forward_mode_stops_at_an_operand_without_derivative():
    step = mg.elementwise(
        "step_without_derivative", array=lambda x: np.floor(x), partials=(None,), operands=1
    )
    assert mg.jvp(lambda x: step(x) * 2.0, (1.5,), (1.0,)) == (2.0, 0.0)
    assert mg.jvp(lambda x: step(x) * x, (1.5,), (1.0,)) == (1.5, 1.0)


def test_structures_with_nothing_in_some_places():
    y, pull = mg.vjp(lambda x: (x * 2.0, None, {"also": x * x}), 3.0)
    assert y == (6.0, None, {"also": 9.0})
    assert pull((1.0, None, {"also": 1.0})) == (8.0,)


def test_many_pieces_of_one_array_add_up():
    x = mg.Tensor(np.arange(12.0).reshape(4, 3))
    keys = [0, 1, (slice(None), 2), np.array([3, 3, 0]), x.data > 5.0, (1, 1), 0, -1, ...]
    pieces = [mg.sum(x[key] * (k + 1.0)) for k, key in enumerate(keys)]
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    expected = np.zeros((4, 3))
    for k, key in enumerate(keys):
        np.add.at(expected, key, k + 1.0)
    for _ in range(2):
        x.zero_grad()
        total.backward()
        np.testing.assert_array_equal(x.grad, expected)
    narrow = mg.Tensor(np.ones((3, 2), np.float32))
    mg.sum(mg.stack([narrow[i % 3] * narrow[0] for i in range(6)])).backward()
    np.testing.assert_array_equal(narrow.grad, [[8.0, 8.0], [2.0, 2.0], [2.0, 2.0]])
    assert narrow.grad.dtype == np.float32
