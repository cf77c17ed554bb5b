"""Activations: far out, at their kinks, with learned parameters, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn
from microgradopt.check import check_grads
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.activations import Activation, _AlongAxis

INF, NAN = np.inf, np.nan
ENTRYWISE = [
    kind for name in nn.__all__
    if isinstance(kind := getattr(nn, name), type) and issubclass(kind, Activation)
    and not issubclass(kind, _AlongAxis)
]  # fmt: skip
LAYERS = [kind(**options) for kind in ENTRYWISE for options in kind.tried]
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=repr)
GATES = {"SiLU": nn.SiLU(), "Mish": nn.Mish(), "GELU": nn.GELU(), "Hardswish": nn.Hardswish(),
         "GELU by tanh": nn.GELU("tanh"), "Swish": nn.Swish()}  # fmt: skip


def slopes(f, x):
    x = Tensor(np.asarray(x, float))
    mg.sum(f(x)).backward()
    return x.grad


# Far out


@every_layer
def test_nothing_turns_into_nan_however_far_out(layer):
    x = np.array([-INF, -1e300, -1000.0, -40.0, 40.0, 1000.0, 1e300, INF])
    y, slope = layer(x), slopes(layer, x)
    assert not np.isnan(y).any()
    assert np.isfinite(slope).all()
    assert np.isfinite(y[1:-1]).all()
    np.testing.assert_array_equal([layer(float(v)) for v in x], y)
    assert np.isnan(layer(np.array([NAN]))).all()
    assert np.isnan(layer(NAN))


@pytest.mark.parametrize("name", GATES)
def test_gates_close_and_open_for_good(name):
    x = np.array([-INF, -1000.0, 1000.0, INF])
    np.testing.assert_array_equal(GATES[name](Tensor(x)).data, [0.0, 0.0, 1000.0, INF])
    np.testing.assert_array_equal(slopes(GATES[name], x), [0.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("f", "x", "value"),
    [
        (mg.gelu, -10.0, -7.619853024160525e-23),
        (mg.gelu, -38.0, -1.0978e-314),
        (mg.silu, -40.0, -1.6993417021166355e-16),
        (mg.mish, -40.0, -1.6993417021166355e-16),
        (mg.erfc, 10.0, 2.088487583762545e-45),
        (mg.ndtr, -10.0, 7.619853024160526e-24),
        (mg.tanhshrink, 1e-5, 3.3333333332e-16),
        (mg.celu, -1e-20, -1e-20),
        (mg.selu, -1e-20, -1.7580993408473766e-20),
    ],
)
def test_precise_in_the_tails_and_near_zero(f, x, value):
    assert f(x) == pytest.approx(value, rel=1e-4 if abs(value) < 1e-300 else 1e-14)
    assert float(f(np.array(x))) == pytest.approx(f(x), rel=1e-14)


def test_the_two_gelus_are_close_but_not_the_same():
    x = np.linspace(-6.0, 6.0, 1001)
    away = np.abs(mg.gelu(x) - mg.gelu(x, approximate="tanh"))
    assert 1e-4 < away.max() < 5e-4


# Kinks: what docs/special-points.md says


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (mg.relu6, [0.0, 6.0], [0.0, 0.5]),
        (mg.leaky_relu, [0.0], [0.01]),
        (mg.elu, [0.0], [1.0]),
        (lambda x: mg.celu(x, 2.0), [0.0], [1.0]),
        (mg.selu, [0.0], [1.0507009873554805 * 1.6732632423543772]),
        (mg.hardtanh, [-1.0, 1.0], [0.5, 0.5]),
        (mg.hardsigmoid, [-3.0, 3.0], [1 / 12, 1 / 12]),
        (mg.hardswish, [-3.0, 3.0], [-0.25, 1.25]),
        (mg.softshrink, [-0.5, 0.0, 0.5], [0.0, 0.0, 0.0]),
        (mg.hardshrink, [-0.5, 0.0, 0.5], [0.0, 0.0, 0.0]),
        (lambda x: mg.threshold(x, 0.5, 2.0), [0.5], [0.0]),
        (mg.softsign, [0.0], [1.0]),
    ],
)
def test_slopes_at_kinks(f, at, slope):
    np.testing.assert_allclose(slopes(f, at), slope, rtol=1e-15)
    np.testing.assert_allclose([mg.grad(f)(x) for x in at], slope, rtol=1e-15)


# Numbers


@every_layer
def test_layers_of_values_and_lists(layer):
    v = Value(0.3)
    y = layer(v)
    y.backward()
    assert type(y) is Value
    assert y.data == layer(0.3)
    assert v.grad == pytest.approx(slopes(layer, 0.3), rel=1e-15)
    np.testing.assert_array_equal(layer([1, -2]), layer(np.array([1.0, -2.0])))


def test_softplus_of_any_steepness_is_exact():
    layer = nn.Softplus(beta=3.0)
    assert layer(1000.0) == 1000.0
    assert layer(-40.0) == pytest.approx(math.exp(-120.0) / 3.0, rel=1e-14)
    assert nn.Softplus(beta=50.0)(0.0) == pytest.approx(math.log(2.0) / 50.0)


def test_positional_arguments_are_torchs_first_ones():
    assert nn.LeakyReLU(0.2)(-1.0) == -0.2
    assert nn.Hardtanh(-2.0, 3.0)(9.0) == 3.0
    assert nn.Threshold(0.5, 7.0)(0.2) == 7.0
    assert nn.Softmax(0).axis == 0
    assert repr(nn.LeakyReLU(negative_slope=0.2)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(nn.LeakyReLU()) == "LeakyReLU()"


# Learned ones


def test_prelu_has_a_slope_for_each_channel():
    layer = nn.PReLU(3, init=0.5)
    layer.weight.data = np.array([0.1, 0.2, 0.3])
    x = -np.ones((2, 3, 4))
    y = layer(x)
    np.testing.assert_allclose(y.data[1, :, 2], [-0.1, -0.2, -0.3])
    mg.sum(y).backward()
    np.testing.assert_array_equal(layer.weight.grad, [-8.0, -8.0, -8.0])
    assert nn.PReLU()(Tensor(-2.0)).item() == -0.5


def test_a_swish_of_beta_1_is_silu_and_of_0_half_the_input():
    x = np.linspace(-5.0, 5.0, 11)
    np.testing.assert_allclose(nn.Swish()(x).data, mg.silu(x), rtol=1e-15)
    np.testing.assert_array_equal(nn.Swish(init=0.0)(x).data, x / 2)
    falling = nn.Swish(init=-1.0)
    np.testing.assert_array_equal(falling(np.array([-INF, INF])).data, [-INF, 0.0])


def test_maxout_of_two_pieces_can_be_relu_and_the_absolute_value():
    layer = nn.Maxout(1, 2, pieces=2)
    layer.linear.weight.data = np.array([[0.0], [1.0], [-1.0], [1.0]])
    layer.linear.bias.data = np.zeros(4)
    np.testing.assert_array_equal(layer([[-3.0], [2.0]]).data, [[0.0, 3.0], [2.0, 2.0]])
    assert [name for name, _ in layer.named_parameters()] == ["linear.weight", "linear.bias"]
    with pytest.raises(ShapeError, match=r"Linear\(1, 4\)"):
        layer(np.zeros((2, 3)))


def test_learned_ones_learn():
    x = np.linspace(-3.0, 3.0, 61)[:, None]
    target = np.abs(x)
    model = nn.Sequential(nn.Maxout(1, 4, rng=0), nn.PReLU(4), nn.Linear(4, 1, rng=1))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(300):
        loss = nn.mse(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


@pytest.mark.parametrize("kind", [nn.PReLU, nn.Swish])
def test_learned_parameters_have_right_gradients(kind):
    layer = kind(3, 0.3)
    check_grads(layer, np.random.default_rng(0).normal(size=(2, 3, 2)), order=2)


# Refused


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.GELU("exact"), UsageError, 'approximate must be "none" or "tanh", got'),
        (lambda: nn.LeakyReLU("a"), UsageError, "LeakyReLU: negative_slope must be a number"),
        (lambda: nn.ELU(math.nan), UsageError, "ELU: alpha must be finite"),
        (lambda: nn.CELU(0.0), UsageError, "CELU: alpha must not be 0"),
        (lambda: nn.Softplus(0.0), UsageError, "Softplus: beta must not be 0"),
        (lambda: nn.Softshrink(-1.0), UsageError, "Softshrink: lambd must be finite, at least 0"),
        (lambda: nn.Hardtanh(1.0, -1.0), UsageError, "min_val 1.0 must be below max_val -1.0"),
        (lambda: nn.PReLU(0), UsageError, "PReLU: num_parameters must be an int of at least 1"),
        (lambda: nn.PReLU(init=INF), UsageError, "PReLU: init must be finite"),
        (lambda: nn.Maxout(2, 3, 0), UsageError, "Maxout: pieces must be an int of at least 1"),
        (lambda: nn.PReLU(3)(np.zeros(3)), ShapeError, r"PReLU\(3\) takes .*got \(3,\)"),
        (lambda: mg.glu(np.zeros((2, 3))), ShapeError, r"axis 1 of shape \(2, 3\)"),
        (lambda: mg.glu(np.zeros((2, 0))), ShapeError, "even length"),
        (lambda: nn.Softmax(2)(np.zeros((2, 3))), ShapeError, "axis 2 is out of range"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_empty_arrays_pass_through():
    for layer in LAYERS:
        assert layer(np.zeros((0, 3))).shape == (0, 3)


# The random one


def test_rrelu_draws_slopes_in_training_and_takes_their_mean_in_evaluation():
    layer, x = nn.RReLU(0.1, 0.5, rng=0), np.full((100, 100), -1.0)
    y = layer(x)
    assert -0.5 <= y.min() < -0.49
    assert -0.11 < y.max() <= -0.1
    assert np.mean(y) == pytest.approx(-0.3, abs=0.01)
    assert not np.array_equal(layer(x), y)
    np.testing.assert_array_equal(layer(-x), -x)
    np.testing.assert_allclose(layer.eval()(x), -0.3, rtol=1e-15)
    assert -0.5 <= nn.RReLU(0.1, 0.5, rng=1)(Value(-1.0)).data <= -0.1
    np.testing.assert_array_equal(nn.RReLU(0.1, 0.5, rng=0)(x), y)
    with pytest.raises(UsageError, match=r"lower 0\.5 must not be above upper 0\.1"):
        nn.RReLU(0.5, 0.1)
    with pytest.raises(UsageError, match="rng"):
        nn.RReLU(rng="0")
