"""Dropout: what is left out, the scale of the rest, reproducible draws, both modes."""

from __future__ import annotations

import numpy as np
import pytest

from microgradopt import Tensor, nn
from microgradopt.errors import UsageError

LAYERS = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout]
every_layer = pytest.mark.parametrize("kind", LAYERS)
ONES = np.ones((40, 25, 5, 4))


def input_for(kind):
    return ONES[..., 0] if kind is nn.Dropout1d else ONES


@every_layer
def test_evaluation_is_the_identity_and_draws_nothing(kind):
    layer, x = kind(0.5, rng=0).eval(), input_for(kind)
    state = layer.rng.bit_generator.state
    assert layer(x) is x
    assert layer.rng.bit_generator.state == state
    silent = kind(0.0, rng=0)
    assert silent(x) is x
    assert silent.rng.bit_generator.state == state


@every_layer
def test_with_p_of_1_nothing_is_left(kind):
    layer, x = kind(1.0, rng=0), Tensor(input_for(kind))
    state = layer.rng.bit_generator.state
    out = layer(x)
    out.backward(np.ones(x.shape))
    np.testing.assert_array_equal(out.data, 0.0)
    np.testing.assert_array_equal(x.grad, 0.0)
    assert layer.rng.bit_generator.state == state


@every_layer
def test_the_same_seed_draws_the_same_for_both_dtypes(kind):
    x = input_for(kind)
    wide = kind(0.3, rng=7)(x)
    narrow = kind(0.3, rng=7)(x.astype(np.float32))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=1e-6)
    assert not np.array_equal(kind(0.3, rng=8)(x), wide)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_left_out_and_the_scale_of_the_rest(p):
    out = nn.Dropout(p, rng=0)(ONES)
    assert set(np.unique(out)) == {0.0, 1.0 / (1.0 - p)}
    assert abs(np.mean(out == 0.0) - p) < 4.0 * np.sqrt(p * (1.0 - p) / out.size)


@pytest.mark.parametrize(("kind", "axes"), [(nn.Dropout1d, 1), (nn.Dropout2d, 2)])
def test_channels_go_as_a_whole(kind, axes):
    out = kind(0.5, rng=0)(input_for(kind))
    by_channel = out.reshape(*out.shape[: out.ndim - axes], -1)
    assert (by_channel == by_channel[..., :1]).all()
    assert set(np.unique(by_channel[..., 0])) == {0.0, 2.0}


def test_the_gradient_passes_where_the_number_did():
    x = Tensor(np.random.default_rng(1).normal(size=(5, 4)))
    out = nn.Dropout(0.5, rng=0)(x)
    out.backward(np.ones((5, 4)))
    np.testing.assert_array_equal(x.grad, np.where(out.data == 0.0, 0.0, 2.0))


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p):
    x = np.random.default_rng(1).normal(size=200_000)
    out = nn.AlphaDropout(p, rng=0)(x)
    assert abs(out.mean()) < 0.01
    assert abs(out.var() - 1.0) < 0.02


@every_layer
@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, "0.5", None, True])
def test_p_is_a_probability(kind, p):
    with pytest.raises(UsageError, match="probability"):
        kind(p)
