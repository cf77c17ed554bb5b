"""Normalization: running averages, modes, derivatives of the shared row, errors."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, nn
from microgradopt.check import check_grads
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.standardizing import normalise

RNG = np.random.default_rng(0)


def batches(count, shape=(8, 3)):
    return [3.0 * RNG.normal(size=shape) + 1.0 for _ in range(count)]


# Running averages


@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5), (2, 3, 4, 2)])
def test_running_averages_follow_the_formula(shape):
    layer = nn.BatchNorm(3, momentum=0.3)
    axes = (0, *range(2, len(shape)))
    middle, spread = np.zeros(3), np.ones(3)
    for x in batches(5, shape):
        layer(x)
        middle = 0.7 * middle + 0.3 * x.mean(axes)
        spread = 0.7 * spread + 0.3 * x.var(axes, ddof=1)
    np.testing.assert_allclose(layer.running_mean.data, middle, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var.data, spread, rtol=1e-13)
    assert layer.num_batches_tracked.item() == 5


def test_without_momentum_the_averages_are_plain():
    layer, seen = nn.BatchNorm1d(3, momentum=None), batches(4)
    for x in seen:
        layer(x)
    np.testing.assert_allclose(layer.running_mean.data, np.mean([x.mean(0) for x in seen], 0))
    np.testing.assert_allclose(layer.running_var.data, np.mean([x.var(0, ddof=1) for x in seen], 0))


def test_evaluation_uses_the_averages_and_leaves_them():
    layer = nn.BatchNorm(3, eps=0.1)
    for x in batches(3):
        layer(x)
    before = layer.running_mean.data.copy(), layer.running_var.data.copy()
    x = batches(1)[0]
    expected = (x - before[0]) / np.sqrt(before[1] + 0.1)
    np.testing.assert_allclose(layer.eval()(x).data, expected, rtol=1e-12)
    np.testing.assert_array_equal((layer.running_mean.data, layer.running_var.data), before)
    assert layer(x[:1]).shape == (1, 3)  # a single sample will do


def test_no_grad_changes_nothing_about_it():
    one, other = nn.BatchNorm(3), nn.BatchNorm(3)
    x = batches(1)[0]
    with mg.no_grad():
        one(Tensor(x))
    other(Tensor(x))
    np.testing.assert_array_equal(one.running_var.data, other.running_var.data)


def test_one_call_updates_once_also_inside_transforms():
    layer, x = nn.BatchNorm(3), batches(1)[0]
    mg.grad(lambda x: mg.sum(layer(x) ** 3))(x)
    assert layer.num_batches_tracked.item() == 1
    np.testing.assert_allclose(layer.running_mean.data, 0.1 * x.mean(0))


def test_an_old_graph_outlives_an_update():
    layer = nn.BatchNorm(3).eval()
    x = Tensor(batches(1)[0])
    out = layer(x).sum()
    layer.train()(batches(1)[0])
    out.backward()
    np.testing.assert_allclose(x.grad, np.full((8, 3), 1.0 / np.sqrt(1.0 + 1e-5)))


def test_without_tracking_both_modes_take_the_batch():
    layer, x = nn.BatchNorm(3, track_running_stats=False), batches(1)[0]
    np.testing.assert_array_equal(layer(x).data, layer.eval()(x).data)
    assert not list(layer.named_buffers())


# Values


def test_far_from_zero_float32_keeps_its_digits():
    x = (1e4 + RNG.normal(size=(64, 3))).astype(np.float32)
    found = nn.BatchNorm(3, dtype=np.float32)(x).data
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_rms_norm_takes_the_eps_of_the_dtype():
    for dtype in (np.float32, np.float64):
        x = np.full(4, 1e-5, dtype)
        expected = 1e-5 / np.sqrt(1e-10 + float(np.finfo(dtype).eps))
        np.testing.assert_allclose(nn.RMSNorm(4, dtype=dtype)(x).data, expected, rtol=1e-5)


def test_layers_are_special_cases_of_each_other():
    x = RNG.normal(size=(2, 4, 3))
    np.testing.assert_allclose(nn.GroupNorm(4, 4)(x).data, nn.InstanceNorm1d(4)(x), rtol=1e-12)
    np.testing.assert_allclose(nn.GroupNorm(1, 4)(x).data, nn.LayerNorm((4, 3))(x).data, rtol=1e-12)


@pytest.mark.parametrize("weights", [0, 1, 2])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_of_the_row_with_moments_known(weights, centred, order):
    x = RNG.normal(size=(4, 3, 2))
    scaling = [RNG.normal(size=(3, 1)) for _ in range(weights)]

    def f(x, *scaling):
        numbers = getattr(x, "data", x) if not isinstance(x, np.ndarray) else x
        middle = numbers.mean((0, 2), keepdims=True) if centred else np.zeros((1, 3, 1))
        spread = np.mean((numbers - middle) ** 2, (0, 2), keepdims=True)
        how = {"axis": (0, 2), "eps": 0.1, "centred": centred}
        return normalise(x, *scaling, moments=(middle, spread), **how)

    check_grads(f, x, *scaling, order=order)


def test_an_input_of_equal_numbers_has_finite_gradients():
    x = Tensor(np.ones((4, 2)))
    out = nn.BatchNorm(2)(x)
    out.backward(RNG.normal(size=(4, 2)))
    np.testing.assert_array_equal(out.data, 0.0)
    assert np.isfinite(x.grad).all()


# Errors


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (0, 3), (4, 3, 0)])
def test_a_variance_needs_two_values(shape):
    layer = nn.BatchNorm(3)
    with pytest.raises(ShapeError, match=r"more than 1 value per channel.*\.eval\(\)"):
        layer(np.zeros(shape))
    assert layer.num_batches_tracked.item() == 0


def test_without_running_averages_the_advice_is_another():
    layer = nn.BatchNorm(3, track_running_stats=False).eval()
    with pytest.raises(ShapeError, match=r"larger batch, or keep running averages") as caught:
        layer(np.zeros((1, 3)))
    assert "eval()" not in str(caught.value)


def test_single_values_per_group_leave_the_bias_as_in_torch():
    layers = (nn.LayerNorm(1), nn.GroupNorm(2, 2), nn.GroupNorm(2, 2))
    for layer, shape in zip(layers, ((3, 1), (2, 2), (0, 2))):
        layer.bias.data = layer.bias.data + 7.0
        np.testing.assert_array_equal(layer(np.ones(shape)).data, np.full(shape, 7.0))
    for shape in ((1, 2), (1, 2, 1, 1)):
        with pytest.raises(ShapeError, match=r"GroupNorm\(2, 2\) got shape .* single value"):
            nn.GroupNorm(2, 2)(np.ones(shape))


def test_the_count_of_batches_is_torchs_and_float32_stays():
    layer = nn.BatchNorm(3, momentum=None, dtype=np.float32)
    x = batches(1)[0].astype(np.float32)
    for _ in range(3):
        layer(x)
    assert {n: (b.dtype, b.shape) for n, b in layer.named_buffers()} == {
        "running_mean": (np.float32, (3,)),
        "running_var": (np.float32, (3,)),
        "num_batches_tracked": (np.int64, ()),
    }
    assert layer.num_batches_tracked.data == 3
    np.testing.assert_allclose(layer.running_mean.data, x.mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.BatchNorm(0),
        lambda: nn.BatchNorm(3, eps=-1.0),
        lambda: nn.BatchNorm(3, momentum="0.1"),
        lambda: nn.LayerNorm(()),
        lambda: nn.LayerNorm((3, 0)),
        lambda: nn.RMSNorm(3, eps=np.inf),
        lambda: nn.GroupNorm(2, 3),
        lambda: nn.InstanceNorm2d(2.0),
    ],
)
def test_arguments_without_meaning(make):
    with pytest.raises(UsageError):
        make()
