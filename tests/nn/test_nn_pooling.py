"""Pooling by its definition, ties, ends, errors; Flatten and Unflatten."""

from __future__ import annotations

import numpy as np
import pytest

from microgradopt import Tensor, nn
from microgradopt.errors import ShapeError, UsageError

RNG = np.random.default_rng(0)


def pooled(x, reduce, k, s, p, filler):
    """Window by window along the last axis."""
    wide = np.pad(x, ((0, 0), (0, 0), (p, p)), constant_values=filler)
    starts = range(0, wide.shape[2] - k + 1, s)
    return np.stack([reduce(wide[..., i : i + k], axis=-1) for i in starts], axis=-1)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("s", [1, 2, 4])
@pytest.mark.parametrize("p", [0, 1])
def test_pools_are_what_they_say(k, s, p):
    x = RNG.normal(size=(2, 3, 9))
    if 2 * p > k:
        pytest.skip("refused")
    np.testing.assert_array_equal(nn.MaxPool1d(k, s, p)(x), pooled(x, np.max, k, s, p, -np.inf))
    np.testing.assert_allclose(nn.AvgPool1d(k, s, p)(x), pooled(x, np.mean, k, s, p, 0.0))


def test_a_tie_splits_evenly():
    x = Tensor(np.array([[[1.0, 1.0, 0.0, 2.0, 2.0, 2.0]]]))
    nn.MaxPool1d(3)(x).backward(np.array([[[1.0, 6.0]]]))
    np.testing.assert_allclose(x.grad, [[[0.5, 0.5, 0.0, 2.0, 2.0, 2.0]]])


def test_a_tie_of_many_is_counted_right():
    x = Tensor(np.zeros((1, 1, 20, 20)))
    nn.MaxPool2d(20)(x).backward(np.ones((1, 1, 1, 1)))
    np.testing.assert_allclose(x.grad, 1.0 / 400.0)


def test_nan_shows():
    out = nn.MaxPool1d(2)(np.array([[[np.nan, 1.0, 2.0, 3.0]]]))
    np.testing.assert_array_equal(out, [[[np.nan, 3.0]]])


@pytest.mark.parametrize(("n", "k", "s", "p", "windows"), [
    (5, 2, 2, 0, 3), (6, 3, 2, 1, 4), (4, 2, 3, 0, 2), (3, 2, 3, 0, 1), (3, 2, 3, 1, 2),
])  # fmt: skip
def test_ceil_mode_leaves_no_number_out_and_starts_none_outside(n, k, s, p, windows):
    x = np.ones((1, 1, n))
    assert nn.MaxPool1d(k, s, p, ceil_mode=True)(x).shape == (1, 1, windows)
    mean = nn.AvgPool1d(k, s, p, ceil_mode=True, count_include_pad=False)(x)
    np.testing.assert_allclose(mean, np.ones((1, 1, windows)))


def test_a_global_mean():
    x = RNG.normal(size=(2, 3, 4, 5))
    found = nn.AdaptiveAvgPool2d(1)(x)
    np.testing.assert_allclose(found, x.mean((2, 3), keepdims=True))
    assert nn.AdaptiveAvgPool2d((None, 1))(x).shape == (2, 3, 4, 1)
    found = nn.AdaptiveAvgPool1d(2)([[np.inf, 1.0, 2.0, 4.0]])
    np.testing.assert_array_equal(found, [[np.inf, 3.0]])  # of its own window alone


@pytest.mark.parametrize("kind", [nn.MaxPool1d, nn.AvgPool1d, nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("args", [(0,), (2, 0), (2, 1, -1), (2, 1, 2), ((2, 2, 2),), (2.0,)])
def test_arguments_without_meaning(kind, args):
    with pytest.raises(UsageError, match=kind.__name__):
        kind(*args)


@pytest.mark.parametrize("size", [0, -1, (1, 2, 3), "1", ()])
def test_output_sizes_without_meaning(size):
    with pytest.raises(UsageError, match="output_size"):
        nn.AdaptiveAvgPool2d(size)


@pytest.mark.parametrize("shape", [(2, 3, 0), (0,), (2, 3, 2)])
def test_what_is_smaller_than_a_window(shape):
    with pytest.raises(ShapeError):
        nn.MaxPool1d(3)(np.zeros(shape))


# Shapes


@pytest.mark.parametrize(("places", "shape"), [
    ((), (2, 12)), ((0,), (24,)), ((0, 1), (6, 4, 1)), ((-2, -1), (2, 3, 4)),
    ((2, 2), (2, 3, 4, 1)),
])  # fmt: skip
def test_flatten(places, shape):
    x = RNG.normal(size=(2, 3, 4, 1))
    np.testing.assert_array_equal(nn.Flatten(*places)(x), x.reshape(shape))


def test_unflatten_undoes_it():
    x = RNG.normal(size=(2, 3, 4, 1))
    for sizes in ((3, 4, 1), (3, -1, 1), [-1, 4, 1]):
        np.testing.assert_array_equal(nn.Unflatten(1, sizes)(nn.Flatten()(x)), x)
    assert nn.Flatten()(np.zeros((0, 3, 2))).shape == (0, 6)


@pytest.mark.parametrize("sizes", [(), 3, (-1, -1), (0, 2), (2.0,)])
def test_sizes_without_meaning(sizes):
    with pytest.raises(UsageError, match="Unflatten"):
        nn.Unflatten(1, sizes)
