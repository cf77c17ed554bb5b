"""Linear, Sequential and MLP: values, shapes, derivatives of both modes and orders, errors."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn
from microgradopt.check import check_grads
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError
from microgradopt.nn.layers import affine

RNG = np.random.default_rng(0)
SHAPES = [(3,), (4, 3), (2, 4, 3), (1, 3), (0, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
with_and_without_bias = pytest.mark.parametrize("bias", [True, False])


# Linear


@every_shape
@with_and_without_bias
def test_linear_is_x_wt_plus_b(shape, bias):
    layer = nn.Linear(3, 2, bias, rng=0)
    x = RNG.normal(size=shape)
    expected = x @ layer.weight.data.T + (layer.bias.data if bias else 0.0)
    for given in (x, Tensor(x), x.tolist()):
        if np.shape(given) == shape:  # an empty list has lost its columns
            np.testing.assert_allclose(layer(given).data, expected, rtol=1e-14)


@every_shape
@with_and_without_bias
def test_gradients_of_linear_by_formula(shape, bias):
    layer = nn.Linear(3, 2, bias, rng=0)
    x = Tensor(RNG.normal(size=shape))
    out = layer(x)
    g = RNG.normal(size=out.shape)
    out.backward(g)
    rows, flat = x.data.reshape(-1, 3), g.reshape(-1, 2)
    np.testing.assert_allclose(x.grad, g @ layer.weight.data, rtol=1e-13)
    np.testing.assert_allclose(layer.weight.grad, flat.T @ rows, rtol=1e-12, atol=1e-15)
    if bias:
        np.testing.assert_allclose(layer.bias.grad, flat.sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("order", [1, 2])
def test_the_fused_row_has_right_derivatives(shape, order):
    weight, bias = RNG.normal(size=(2, 3)), RNG.normal(size=2)
    check_grads(affine, RNG.normal(size=shape), weight, bias, order=order)
    check_grads(
        lambda *args: mg.sum(mg.tanh(affine(*args))),
        RNG.normal(size=shape),
        weight,
        bias,
        order=order,
    )


def test_jvp_and_hessian_through_a_network():
    model = nn.MLP(3, [4, 1], activation=mg.tanh, rng=0)
    x, v = RNG.normal(size=3), RNG.normal(size=3)

    def f(t):
        return model(t)[0]

    y, moved = mg.jvp(f, (x,), (v,))
    gradient, hessian = mg.grad(f)(x), mg.hessian(f)(x)
    assert y == pytest.approx(model(x).data[0])
    assert moved == pytest.approx(gradient @ v, rel=1e-13)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)
    np.testing.assert_allclose(mg.hvp(f, x, v), hessian @ v, rtol=1e-12)


def test_a_list_takes_the_dtype_of_the_weight():
    layer = nn.Linear(3, 2, rng=0, dtype=np.float32)
    for x in ([1, 2, 3], [1.0, 2.0, 3.0], np.array([1, 2, 3])):
        assert layer(x).dtype == np.float32


@pytest.mark.parametrize("shape", [(), (2,), (4,), (5, 4), (3, 2), (0,)])
@with_and_without_bias
def test_linear_names_both_shapes(shape, bias):
    message = rf"Linear\(3, 2\) takes inputs of shape \(\.\.\., 3\), got {shape}"
    message = message.replace("got (", r"got \(").removesuffix(")") + r"\)"
    for wrap in (np.asarray, Tensor):
        with pytest.raises(ShapeError, match=message):
            nn.Linear(3, 2, bias, rng=0)(wrap(np.zeros(shape)))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([Value(1.0)] * 3, DTypeError, r"mg\.stack"),
        ([[Value(1.0)] * 3], GraphError, r"mg\.stack"),
        ([[1.0, 2.0, 3.0], [1.0]], ShapeError, "same length"),
        (["a", "b", "c"], DTypeError, "real numbers"),
        (np.array(["a", "b", "c"]), DTypeError, "real numbers"),
        (1j * np.ones(3), DTypeError, "real numbers"),
        ("abc", ShapeError, r"got \(\)"),
        (None, ShapeError, r"got \(\)"),
    ],
)
def test_linear_refuses(x, error, message):
    with pytest.raises(error, match=message):
        nn.Linear(3, 2, rng=0)(x)


@pytest.mark.parametrize("bad", [0, -1, 2.0, "2", None, True, [2]])
def test_sizes_are_counts(bad):
    for make in (
        lambda: nn.Linear(bad, 2),
        lambda: nn.Linear(2, bad),
        lambda: nn.MLP(bad, [2]),
        lambda: nn.MLP(2, [2, bad]),
    ):
        with pytest.raises(UsageError, match="must be an int of at least 1") as caught:
            make()
        assert repr(bad) in str(caught.value)


def test_linear_starts_as_torchs_does():
    layer = nn.Linear(400, 300, rng=0)
    for p in (layer.weight, layer.bias):
        assert 0.97 / 20 < np.abs(p.data).max() <= 1 / 20
    assert (layer.weight.shape, layer.bias.shape) == ((300, 400), (300,))


def test_a_given_initialiser_starts_the_bias_at_zero():
    layer = nn.Linear(4, 3, init=partial(nn.init.normal, std=0.5), rng=0)
    assert not layer.bias.data.any()
    np.testing.assert_array_equal(layer.weight.data, nn.init.normal((3, 4), 0, std=0.5))


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ("he_normal", UsageError, r"init must be a function such as nn\.init\.he_normal"),
        (
            lambda shape, rng, dtype: np.zeros((2, 2)),
            ShapeError,
            r"\(2, 3\), init gave one of .*\(2, 2\)",
        ),
    ],
)
def test_a_bad_initialiser_is_refused(init, error, message):
    with pytest.raises(error, match=message):
        nn.Linear(3, 2, init=init)


@pytest.mark.parametrize("dtype", [int, bool, complex])
def test_a_dtype_without_derivatives_is_refused(dtype):
    with pytest.raises(DTypeError, match="holds floats"):
        nn.Linear(3, 2, dtype=dtype)


def test_one_seed_is_one_network():
    for make in (lambda rng: nn.Linear(3, 2, rng=rng), lambda rng: nn.MLP(3, [4, 2], rng=rng)):
        a, b, c = make(0), make(np.random.default_rng(0)), make(1)
        for p, q, r in zip(a.parameters(), b.parameters(), c.parameters()):
            np.testing.assert_array_equal(p.data, q.data)
            assert not np.array_equal(p.data, r.data)


# Sequential


def test_sequential_applies_modules_and_plain_functions_in_order():
    linear = nn.Linear(2, 2, rng=0)
    net = nn.Sequential(linear, mg.tanh, np.exp, lambda x: 2.0 * x, nn.Sigmoid())
    x = RNG.normal(size=(4, 2))
    inner = 2.0 * np.exp(np.tanh(x @ linear.weight.data.T + linear.bias.data))
    np.testing.assert_allclose(net(x).data, 1.0 / (1.0 + np.exp(-inner)), rtol=1e-13)
    assert nn.Sequential()(3.0) == 3.0


def test_sequential_is_a_sequence():
    a, b = nn.Linear(2, 3), nn.ReLU()
    net = nn.Sequential(a, b)
    assert len(net) == 2
    assert list(net) == [a, b]
    assert net[0] is a
    assert net[-1] is b
    with pytest.raises(IndexError):
        net[2]


def test_nested_sequentials_have_dotted_names():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), mg.relu), nn.Linear(2, 1, bias=False))
    names = ["layers.0.layers.0.weight", "layers.0.layers.0.bias", "layers.1.weight"]
    assert [name for name, _ in net.named_parameters()] == names
    assert [p.name for p in net.parameters()] == names


def test_repr_is_what_one_would_write():
    net = nn.Sequential(nn.Linear(2, 3), mg.relu, nn.Tanh(), nn.Linear(3, 1, bias=False))
    assert repr(net) == "Sequential(Linear(2, 3), relu, Tanh(), Linear(3, 1, bias=False))"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([nn.ReLU()], r"write Sequential\(a, b\), not Sequential\(\[a, b\]\)"),
        (nn.ReLU, r"write ReLU\(\) to make one"),
        (None, "takes modules and functions, got NoneType"),
        (3.0, "takes modules and functions, got float"),
        ("relu", "takes modules and functions, got str"),
    ],
)
def test_sequential_refuses_what_cannot_be_called(bad, message):
    with pytest.raises(DTypeError, match=message):
        nn.Sequential(nn.Linear(2, 2), bad)


# MLP


@pytest.mark.parametrize("nouts", [[4, 2], (4, 2), np.array([4, 2]), iter([4, 2])])
def test_mlp_has_an_activation_between_layers_only(nouts):
    net = nn.MLP(3, nouts, rng=0)
    assert repr(net) == "MLP(Linear(3, 4), relu, Linear(4, 2))"
    w1, b1, w2, b2 = (p.data for p in net.parameters())
    x = RNG.normal(size=(5, 3))
    expected = np.maximum(x @ w1.T + b1, 0.0) @ w2.T + b2
    np.testing.assert_allclose(net(x).data, expected, rtol=1e-13)


def test_mlp_options_reach_every_layer():
    net = nn.MLP(3, [4, 2], activation=nn.Tanh(), final=mg.sigmoid, init=nn.init.zeros, dtype="f4")
    assert repr(net) == "MLP(Linear(3, 4), Tanh(), Linear(4, 2), sigmoid)"
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(net(np.ones((1, 3), np.float32)).data, [[0.5, 0.5]])


@pytest.mark.parametrize("bad", [3, [], (), "31", None, 2.5])
def test_mlp_wants_a_list_of_sizes(bad):
    with pytest.raises(UsageError, match=r"nouts lists the layers' sizes, such as \[16, 1\]"):
        nn.MLP(2, bad)


def test_a_forward_pass_without_recording():
    with mg.no_grad():
        assert not nn.MLP(3, [4, 2], rng=0)(np.zeros((1, 3))).requires_grad


def test_a_slice_of_a_sequential_shares_its_layers():
    net = nn.MLP(3, [4, 4, 2], rng=0).eval()
    names = [p.name for p in net.parameters()]
    head, tail = net[:2], net[2:]
    assert repr(head) == "Sequential(Linear(3, 4), relu)"
    assert type(tail) is nn.Sequential
    assert tail[0] is net[2]
    assert not tail.training
    assert [p.name for p in net.parameters()] == names
    x = RNG.normal(size=(5, 3))
    np.testing.assert_array_equal(tail(head(x)).data, net(x).data)
    assert repr(net[::-2]) == "Sequential(Linear(4, 2), Linear(4, 4), Linear(3, 4))"


@pytest.mark.parametrize("axes", [(), (4,), (2, 3), (0,)])
def test_leading_axes_are_a_batch(axes):
    for net in (nn.Linear(3, 2, rng=0), nn.MLP(3, [4, 2], rng=0)):
        x = RNG.normal(size=(*axes, 3))
        out = net(x).data
        assert out.shape == (*axes, 2)
        for i in np.ndindex(*axes):
            np.testing.assert_allclose(out[i], net(x[i]).data, rtol=1e-12)


def test_layers_of_an_mlp_share_their_activation():
    net = nn.MLP(2, [3, 3, 1], activation=nn.PReLU(), rng=0)
    assert net[1] is net[3]
    assert len(net.parameters()) == 2 * 3 + 1
