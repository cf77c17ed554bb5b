"""Convolutions by their definition, functions and layers, derivatives of every order, errors."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, nn
from microgradopt.check import check_grads
from microgradopt.engine.ops import convolution as rows
from microgradopt.errors import ShapeError, UsageError

RNG = np.random.default_rng(0)


def by_definition(x, w, stride, padding, dilation, groups):
    """Number by number."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (samples, _, *size), (outs, ins, *kernel) = x.shape, w.shape
    many = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(size, kernel)]
    out = np.zeros((samples, outs, *many))
    for o, i, j in product(range(outs), *map(range, many)):
        first = o // (outs // groups) * ins
        window = x[
            :,
            first : first + ins,
            i * stride : i * stride + dilation * (kernel[0] - 1) + 1 : dilation,
            j * stride : j * stride + dilation * (kernel[1] - 1) + 1 : dilation,
        ]
        out[:, o, i, j] = np.sum(window * w[o], axis=(1, 2, 3))
    return out


OPTIONS = list(product((1, 2, 3), (0, 1, 2), (1, 2), (1, 2)))


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), OPTIONS)
def test_conv2d_is_what_it_says(stride, padding, dilation, groups):
    x, w = RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(6, 4 // groups, 3, 2))
    b = RNG.normal(size=6)
    options = (stride, padding, dilation, groups)
    expected = by_definition(x, w, *options) + b[:, None, None]
    np.testing.assert_allclose(nn.conv2d(x, w, b, *options), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), OPTIONS)
def test_a_transposed_layer_is_the_transpose(stride, padding, dilation, groups):
    """⟨conv(x), g⟩ = ⟨x, convᵀ(g)⟩, where no number of x is left out."""
    kernel, many = (3, 2), (3, 5)
    layer = nn.ConvTranspose2d(
        6, 4, kernel, stride, padding, 0, groups, bias=False, dilation=dilation, rng=0
    )
    g = RNG.normal(size=(2, 6, *many))
    back = layer(g).data
    x = RNG.normal(size=back.shape)
    there = nn.conv2d(x, layer.weight.data, None, stride, padding, dilation, groups)
    np.testing.assert_allclose(np.sum(there * g), np.sum(x * back), rtol=1e-11)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("most", [1, 100])
def test_portions_change_nothing(most, groups, monkeypatch):
    x = RNG.normal(size=(5, 2, 4, 4))

    def run():
        layer, leaf = nn.Conv2d(2, 4, 3, padding=1, groups=groups, rng=0), Tensor(x)
        out = layer(leaf)
        out.backward(np.cos(np.arange(out.size)).reshape(out.shape))
        return [out.data, leaf.grad, *(p.grad for p in layer.parameters())]

    whole = run()
    monkeypatch.setattr(rows, "MOST_COPIED", most)
    for a, b in zip(run(), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("row", ["convolution", "convolution_transposed", "correlation"])
def test_third_derivatives(row):
    x, w = RNG.normal(size=(1, 1, 4)), RNG.normal(size=(1, 1, 2))
    how = {"stride": (1,), "padding": ((0, 1),), "dilation": (1,), "groups": 1}
    sizes = {"convolution_transposed": {"size": (4,)}, "correlation": {"kernel": (2,)}}
    g = rows.convolution(x, w, **how)
    args = {"convolution": (x, w), "convolution_transposed": (g, w), "correlation": (x, g)}[row]

    def gradient_length(*args):
        found = mg.grad(
            lambda *xs: mg.sum(mg.sin(getattr(rows, row)(*xs, **sizes.get(row, {}), **how))), (0, 1)
        )(*args)
        return sum(mg.sum(part * part) for part in found)

    check_grads(gradient_length, *args, order=2)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_same_keeps_the_size(mode, kernel):
    layer = nn.Conv2d(1, 1, kernel, padding="same", dilation=2, padding_mode=mode, rng=0)
    assert layer(np.zeros((2, 1, 5, 6))).shape == (2, 1, 5, 6)


def test_sizes_may_be_numpys_ints():
    layer = nn.Conv2d(1, 2, np.int64(3), padding=np.int64(1), rng=0)
    assert repr(layer) == "Conv2d(1, 2, 3, padding=1)"


def test_a_sample_alone_is_a_batch_of_one():
    for kind, size in ((nn.Conv1d, (7,)), (nn.ConvTranspose2d, (3, 4))):
        layer, x = kind(2, 3, 2, rng=0), RNG.normal(size=(2, *size))
        np.testing.assert_array_equal(layer(x).data, layer(x[None]).data[0])


def test_the_start_is_that_of_torch():
    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        layer = kind(8, 4, 5, groups=2, rng=0)
        bound = 1.0 / np.sqrt(layer.weight.shape[1] * 25)
        for p in layer.parameters():
            assert 0.5 * bound < np.abs(p.data).max() <= bound
    weight = nn.Conv1d(2, 3, 4, init=nn.init.he_normal, rng=0)
    np.testing.assert_array_equal(weight.weight.data, nn.init.he_normal((3, 2, 4), 0))
    np.testing.assert_array_equal(weight.bias.data, 0.0)


def test_windows_and_their_sums_undo_each_other_where_none_overlap():
    x = RNG.normal(size=(2, 6, 4))
    seen = rows.windows(x, kernel=(3, 2), stride=(3, 2), dilation=(1, 1))
    assert seen.shape == (2, 3, 2, 2, 2)
    whole = rows.overlap_add(seen, size=(6, 4), stride=(3, 2), dilation=(1, 1))
    np.testing.assert_array_equal(whole, x)
    with pytest.raises(ShapeError, match="do not fit"):
        rows.overlap_add(seen, size=(5, 4), stride=(3, 2), dilation=(1, 1))


# Errors


@pytest.mark.parametrize(("options", "message"), [
    ({"stride": 0}, "stride"), ({"padding": -1}, "padding"), ({"dilation": (1, 1, 1)}, "dilation"),
    ({"padding": "some"}, "'same' or 'valid'"), ({"padding": "same", "stride": 2}, "stride of 1"),
    ({"groups": 3}, "equal groups"), ({"padding_mode": "mirror"}, '"reflect", "replicate"'),
    ({"init": 3}, "function"), ({"groups": True}, "groups"),
])  # fmt: skip
def test_options_without_meaning(options, message):
    with pytest.raises(UsageError, match=rf"^Conv2d: .*{message}"):
        nn.Conv2d(2, 4, 3, **options)


def test_a_padding_of_the_output_is_less_than_a_step():
    with pytest.raises(UsageError, match="output_padding 2 must be less"):
        nn.ConvTranspose1d(1, 1, 3, stride=2, output_padding=2)
    with pytest.raises(ShapeError, match="nothing would be left"):
        nn.ConvTranspose1d(1, 1, 1, padding=2)(np.zeros((1, 1, 4)))


@pytest.mark.parametrize(("weight", "bias", "groups"), [
    ((4, 2, 3), None, 1), ((4, 2, 3, 0), None, 1), ((4, 2, 3, 3), 3, 1), ((4, 2, 3, 3), None, 3),
])  # fmt: skip
def test_weights_that_do_not_fit(weight, bias, groups):
    b = None if bias is None else np.zeros(bias)
    with pytest.raises(ShapeError, match="conv2d"):
        nn.conv2d(np.zeros((1, 2, 5, 5)), np.zeros(weight), b, groups=groups)


def test_an_init_of_another_shape():
    with pytest.raises(ShapeError, match=r"Conv1d\(2, 3\) needs weight of shape \(3, 2, 4\)"):
        nn.Conv1d(2, 3, 4, init=lambda shape, rng, dtype: np.zeros(2))


def test_the_functions_are_what_the_layers_compute():
    rng = np.random.default_rng(5)
    for layer, function, size in (
        (nn.Conv1d(2, 3, 3, padding="valid", rng=0), nn.conv1d, (7,)),
        (nn.Conv2d(2, 3, 3, stride=2, padding=1, rng=0), nn.conv2d, (6, 5)),
    ):
        x = rng.normal(size=(2, 2, *size))
        padding = 0 if layer.padding == "valid" else layer.padding
        found = function(x, layer.weight, layer.bias, layer.stride, padding)
        np.testing.assert_array_equal(found.data, layer(x).data)
