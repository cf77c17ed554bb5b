"""Attention: against its formula, masks of every kind, heads, positions, errors."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, nn
from microgradopt.check import check_grads
from microgradopt.engine.rules import data_of
from microgradopt.errors import DTypeError, ShapeError, UsageError

RNG = np.random.default_rng(0)


def formula(q, k, v, added=0.0):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + added
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ v


def operands(*batch):
    sizes = ((3, 4), (5, 4), (5, 2))
    return [RNG.normal(size=(*batch, *size)) for size in sizes]


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_the_function_is_what_its_formula_says(batch):
    q, k, v = operands(*batch)
    np.testing.assert_allclose(
        nn.scaled_dot_product_attention(q, k, v), formula(q, k, v), rtol=1e-12
    )
    check_grads(nn.scaled_dot_product_attention, q, k, v)


def test_a_mask_of_truths_says_who_takes_part_and_one_of_floats_is_added():
    q, k, v = operands(2)
    part = RNG.random((3, 5)) < 0.6
    part[:, 0] = True
    added = np.where(part, 0.0, -np.inf)
    for mask in (part, part.tolist(), added, Tensor(added), np.broadcast_to(part, (2, 3, 5))):
        out = nn.scaled_dot_product_attention(q, k, v, mask)
        np.testing.assert_allclose(data_of(out), formula(q, k, v, added), rtol=1e-12)
    causal = np.where(np.tri(3, 5, dtype=bool), 0.0, -np.inf)
    np.testing.assert_allclose(
        nn.scaled_dot_product_attention(q, k, v, is_causal=True),
        formula(q, k, v, causal),
        rtol=1e-12,
    )


def test_a_learned_mask_gets_its_gradient():
    q, k, v = operands()
    check_grads(
        lambda m: nn.scaled_dot_product_attention(q, k, v, m), RNG.normal(size=(3, 5)), order=2
    )


@pytest.mark.parametrize("added", [True, False])
def test_a_query_that_sees_nothing_gets_zeros_and_gives_none(added):
    q, k, v = map(Tensor, operands())
    part = np.ones((3, 5), bool)
    part[1] = False
    mask = np.where(part, 0.0, -np.inf) if added else part
    out = nn.scaled_dot_product_attention(q, k, v, mask)
    out.sum().backward()
    np.testing.assert_array_equal(out.data[1], 0.0)
    np.testing.assert_array_equal(q.grad[1], 0.0)
    assert all(np.isfinite(x.grad).all() for x in (q, k, v))
    np.testing.assert_allclose(
        out.data[[0, 2]], formula(q.data, k.data, v.data)[[0, 2]], rtol=1e-12
    )


def test_huge_scores_do_not_overflow():
    x = np.array([[1e100, 0.0], [0.0, 1e100]])
    np.testing.assert_array_equal(nn.scaled_dot_product_attention(x, x, x), x)


def test_masks_keep_float32():
    q, k, v = (x.astype(np.float32) for x in operands())
    for mask in (np.ones((3, 5), bool), np.zeros((3, 5)), None):
        assert nn.scaled_dot_product_attention(q, k, v, mask).dtype == np.float32


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.zeros((3, 5), int), DTypeError, r"mask\.astype\(bool\)"),
        (np.zeros((5, 3)), ShapeError, r"\(5, 3\) does not broadcast to \(3, 5\)"),
        (np.zeros((1, 3, 5)), ShapeError, r"does not broadcast"),
    ],
)
def test_the_function_refuses_masks(mask, error, message):
    with pytest.raises(error, match=message):
        nn.scaled_dot_product_attention(*operands(), mask)


@pytest.mark.parametrize(
    "sizes",
    [
        ((4,), (5, 4), (5, 2)),
        ((3, 4), (5, 3), (5, 2)),
        ((3, 4), (5, 4), (4, 2)),
        ((2, 3, 4), (3, 5, 4), (3, 5, 2)),
    ],
)
def test_the_function_names_the_shapes(sizes):
    with pytest.raises(ShapeError, match="needs query") as caught:
        nn.scaled_dot_product_attention(*map(np.zeros, sizes), np.ones((3, 5), bool))
    assert all(str(size) in str(caught.value) for size in sizes)


def test_heads_are_attention_of_slices():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0)
    x = RNG.normal(size=(2, 3, 4))
    q, k, v = np.split(x @ layer.in_proj_weight.data.T + layer.in_proj_bias.data, 3, axis=2)
    heads = [formula(q[..., s], k[..., s], v[..., s]) for s in (slice(0, 2), slice(2, 4))]
    expected = np.concatenate(heads, axis=2) @ layer.out_proj.weight.data.T
    np.testing.assert_allclose(layer(x, x, x)[0].data, expected, rtol=1e-12)


def test_the_same_input_three_times_is_projected_at_once():
    layer = nn.MultiheadAttention(4, 2, rng=0)
    same = Tensor(RNG.normal(size=(3, 2, 4)))
    layer(same, same, same)[0].sum().backward()
    gradients = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    other = [Tensor(same.data) for _ in range(3)]
    layer(*other)[0].sum().backward()
    for p, g in zip(layer.parameters(), gradients):
        np.testing.assert_allclose(p.grad, g, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(same.grad, sum(x.grad for x in other), rtol=1e-10, atol=1e-13)


def test_masks_of_the_layer_say_what_is_left_out():
    layer = nn.MultiheadAttention(4, 2, rng=0)
    x = RNG.normal(size=(3, 2, 4))
    later = np.triu(np.ones((3, 3), bool), 1)
    expected, weights = layer(x, x, x, attn_mask=later)
    assert not weights.data[:, later].any()
    floats = np.where(later, -np.inf, 0.0)
    each = np.broadcast_to(later, (4, 3, 3))
    for options in ({"is_causal": True}, {"attn_mask": floats}, {"attn_mask": each}):
        np.testing.assert_allclose(layer(x, x, x, **options)[0].data, expected.data, rtol=1e-13)
    padded = np.array([[False, False, True], [False, False, False]])
    out, weights = layer(x, x, x, padded)
    assert not weights.data[0, :, 2].any()
    short = layer(x[:2, :1], x[:2, :1], x[:2, :1])[0].data
    np.testing.assert_allclose(out.data[:2, :1], short, rtol=1e-12)


def test_weights_of_every_head_on_request():
    layer = nn.MultiheadAttention(4, 2, rng=0)
    x = RNG.normal(size=(3, 2, 4))
    _, each = layer(x, x, x, average_attn_weights=False)
    assert each.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(each.data.sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(layer(x, x, x)[1].data, each.data.mean(axis=1), rtol=1e-14)
    assert layer(x, x, x, need_weights=False)[1] is None


def test_all_keys_padded_gives_the_bias_and_no_nan():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0)
    layer.out_proj.bias.data = np.arange(4.0)
    x = Tensor(RNG.normal(size=(1, 3, 4)))
    out, weights = layer(x, x, x, np.ones((1, 3), bool))
    out.sum().backward()
    np.testing.assert_array_equal(out.data, np.broadcast_to(np.arange(4.0), (1, 3, 4)))
    np.testing.assert_array_equal(weights.data, 0.0)
    np.testing.assert_array_equal(x.grad, 0.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"attn_mask": np.zeros((2, 2))}, ShapeError, r"attn_mask must have shape \(3, 3\) or"),
        ({"key_padding_mask": np.zeros((3, 2), bool)}, ShapeError, r"have shape \(2, 3\), got"),
        ({"attn_mask": np.zeros((3, 3), int)}, DTypeError, "truth values, or floats to add"),
    ],
)
def test_the_layer_refuses_masks(options, error, message):
    x = np.zeros((3, 2, 4))
    with pytest.raises(error, match=message):
        nn.MultiheadAttention(4, 2)(x, x, x, **options)


def test_bad_options_are_refused():
    with pytest.raises(UsageError, match="multiple of num_heads, got 4 and 3"):
        nn.MultiheadAttention(4, 3)
    with pytest.raises(UsageError, match="embed_dim must be an int"):
        nn.MultiheadAttention(0, 1)
    with pytest.raises(UsageError, match=r'activation .* must be one of "relu", "gelu"'):
        nn.TransformerEncoderLayer(4, 2, activation="tanh")
    with pytest.raises(ShapeError, match=r"needs in_proj_weight of shape \(12, 4\)"):
        nn.MultiheadAttention(4, 2, init=lambda shape, rng, dtype: np.zeros((2, 2)))
    with pytest.raises(UsageError, match="init must be a function"):
        nn.MultiheadAttention(4, 2, init="he_normal")


def test_positions_are_waves():
    waves = nn.sinusoidal_positions(50, 6)
    assert waves.shape == (50, 6)
    np.testing.assert_allclose(waves[7, 2], np.sin(7 / 10000 ** (2 / 6)), rtol=1e-14)
    np.testing.assert_allclose(waves[7, 3], np.cos(7 / 10000 ** (2 / 6)), rtol=1e-14)
    assert nn.sinusoidal_positions(2, 5, np.float32).shape == (2, 5)
    assert nn.sinusoidal_positions(2, 5, np.float32).dtype == np.float32
    with pytest.raises(UsageError, match="length must be an int"):
        nn.sinusoidal_positions(0, 4)


def test_dropout_in_training_only():
    layer = nn.TransformerEncoderLayer(4, 2, 3, rng=0)
    x = RNG.normal(size=(3, 2, 4))
    assert not np.array_equal(layer(x).data, layer(x).data)
    layer.eval()
    np.testing.assert_array_equal(layer(x).data, layer(x).data)


def test_a_scale_of_ones_own_replaces_the_root_of_the_width():
    rng = np.random.default_rng(3)
    q, k, v = rng.normal(size=(3, 4, 5))
    usual = nn.scaled_dot_product_attention(q, k, v)
    np.testing.assert_allclose(nn.scaled_dot_product_attention(q, k, v, scale=5**-0.5), usual)
    even = nn.scaled_dot_product_attention(q, k, v, scale=0.0)
    np.testing.assert_allclose(even, np.broadcast_to(v.mean(axis=0), v.shape))


def test_an_encoder_layer_takes_a_function_as_its_activation():
    x = np.random.default_rng(4).normal(size=(2, 3, 4))
    by_name, by_function = (
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, activation=f, rng=0)(x)
        for f in ("gelu", mg.gelu)
    )
    np.testing.assert_array_equal(by_name.data, by_function.data)
