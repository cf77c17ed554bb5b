"""Initialisers: moments, bounds, reproducibility, dtypes, fans and errors."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from microgradopt import nn
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn import init

SPREADS = {  # the standard deviation that is promised, for shape (300, 200)
    "normal": (init.normal, 0.01),
    "normal of 1": (partial(init.normal, std=1.0), 1.0),
    "uniform": (partial(init.uniform, bound=0.3), 0.3 / math.sqrt(3)),
    "xavier_normal": (init.xavier_normal, math.sqrt(2 / 500)),
    "xavier_normal with gain": (
        partial(init.xavier_normal, gain=5 / 3),
        5 / 3 * math.sqrt(2 / 500),
    ),
    "xavier_uniform": (init.xavier_uniform, math.sqrt(2 / 500)),
    "xavier_uniform with gain": (partial(init.xavier_uniform, gain=2.0), 2 * math.sqrt(2 / 500)),
    "he_normal": (init.he_normal, math.sqrt(2 / 200)),
    "he_normal with slope": (partial(init.he_normal, slope=0.5), math.sqrt(2 / 1.25 / 200)),
    "he_uniform": (init.he_uniform, math.sqrt(2 / 200)),
    "he_uniform with slope": (partial(init.he_uniform, slope=0.5), math.sqrt(2 / 1.25 / 200)),
    "he_normal by fan_out": (partial(init.he_normal, mode="fan_out"), math.sqrt(2 / 300)),
    "he_uniform by fan_out": (partial(init.he_uniform, mode="fan_out"), math.sqrt(2 / 300)),
    "lecun_normal": (init.lecun_normal, math.sqrt(1 / 200)),
    "lecun_uniform": (init.lecun_uniform, math.sqrt(1 / 200)),
    "normal, truncated": (init.truncated_normal, 0.01 * 0.879626),
    "orthogonal": (init.orthogonal, math.sqrt(1 / 300)),
    "torch_default": (init.torch_default, 1 / math.sqrt(3 * 200)),
}
every_draw = pytest.mark.parametrize("name", SPREADS)
EVERY = {
    **{name: f for name, (f, _) in SPREADS.items()},
    "zeros": init.zeros,
    "constant": partial(init.constant, value=0.5),
}
every_initialiser = pytest.mark.parametrize("name", EVERY)


@every_draw
def test_mean_and_spread(name):
    draw, std = SPREADS[name]
    w = draw((300, 200), rng=0)
    assert np.std(w) == pytest.approx(std, rel=0.02)
    assert abs(np.mean(w)) < 5 * std / math.sqrt(w.size)


@pytest.mark.parametrize(
    ("draw", "bound"),
    [
        (partial(init.uniform, bound=0.3), 0.3),
        (init.xavier_uniform, math.sqrt(6 / 500)),
        (init.he_uniform, math.sqrt(6 / 200)),
        (init.torch_default, 1 / math.sqrt(200)),
    ],
)
def test_uniform_draws_fill_their_bounds(draw, bound):
    w = draw((300, 200), rng=0)
    assert np.abs(w).max() <= bound
    assert w.max() > 0.99 * bound
    assert w.min() < -0.99 * bound


@pytest.mark.parametrize("shape", [(4, 4), (7, 3), (3, 7), (6, 2, 3), (2, 3, 2, 2), (1, 5), (5, 1)])
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_orthogonal_rows_or_columns(shape, gain):
    w = init.orthogonal(shape, rng=0, gain=gain).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-14)


def test_orthogonal_draws_favour_no_sign():
    """QR alone gives diagonals of one sign: the mean over many draws must vanish."""
    draws = np.array([init.orthogonal((2, 2), rng=i) for i in range(400)])
    assert np.abs(draws.mean(axis=0)).max() < 0.12
    assert 150 < sum(np.linalg.det(q) > 0 for q in draws) < 250


@every_initialiser
@pytest.mark.parametrize("shape", [(3, 2), [3, 2], (4, 3, 2), (2, 3, 2, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float32"])
def test_shape_and_dtype(name, shape, dtype):
    w = EVERY[name](shape, 0, dtype)
    assert type(w) is np.ndarray
    assert (w.shape, w.dtype) == (tuple(shape), np.dtype(dtype))


@every_draw
def test_one_seed_is_one_draw_and_a_generator_moves_on(name):
    draw, _ = SPREADS[name]
    np.testing.assert_array_equal(draw((3, 2), rng=5), draw((3, 2), rng=np.random.default_rng(5)))
    rng = np.random.default_rng(5)
    assert not np.array_equal(draw((3, 2), rng=rng), draw((3, 2), rng=rng))
    assert not np.array_equal(draw((3, 2)), draw((3, 2)))
    narrow = draw((3, 2), 5, np.float32)
    np.testing.assert_array_equal(narrow, draw((3, 2), rng=5).astype(np.float32))


def test_numpys_global_state_is_neither_read_nor_moved():
    np.random.seed(3)  # noqa: NPY002 (the point of the test)
    before = np.random.get_state()  # noqa: NPY002
    drawn = [draw((3, 2)) for draw, _ in SPREADS.values()]
    drawn += [p.data for p in nn.MLP(2, [3, 1]).parameters()]
    np.random.seed(3)  # noqa: NPY002
    again = [draw((3, 2)) for draw, _ in SPREADS.values()]
    nn.scalar.MLP(2, [3, 1])
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    assert not any(np.array_equal(a, b) for a, b in zip(drawn, again))


def test_constants():
    np.testing.assert_array_equal(init.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(init.constant((2, 3), value=0.5), np.full((2, 3), 0.5))
    assert not init.normal((2, 2), rng=0, std=0.0).any()
    assert not init.uniform((2, 2), rng=0, bound=0.0).any()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 3), (3, 5)), ((5, 3, 2), (6, 10)), ((8, 3, 5, 5), (75, 200)), ([5, 3], (3, 5))],
)
def test_fans_of_dense_and_convolution_weights(shape, expected):
    assert init.fans(shape) == expected


@pytest.mark.parametrize(
    ("nonlinearity", "expected"),
    [
        ("linear", 1.0),
        ("sigmoid", 1.0),
        ("tanh", 5 / 3),
        ("relu", math.sqrt(2)),
        ("leaky_relu", math.sqrt(2 / 1.0001)),
        ("selu", 0.75),
        ("conv2d", 1.0),
        ("conv_transpose3d", 1.0),
    ],
)
def test_gains_are_torchs(nonlinearity, expected):
    assert init.gain(nonlinearity) == pytest.approx(expected, rel=1e-15)


def test_the_gain_of_a_leaky_relu_depends_on_its_slope():
    assert init.gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04), rel=1e-15)
    assert init.gain("leaky_relu", 0) == pytest.approx(math.sqrt(2), rel=1e-15)
    with pytest.raises(UsageError, match=r"'tanh' has no parameter, got 0\.2"):
        init.gain("tanh", 0.2)
    with pytest.raises(UsageError, match="param must be a number"):
        init.gain("leaky_relu", "0.2")


def test_he_knows_two_modes():
    for draw in (init.he_normal, init.he_uniform):
        with pytest.raises(UsageError, match='"fan_in" or "fan_out", got \'fan_avg\''):
            draw((3, 2), mode="fan_avg")


@pytest.mark.parametrize("cut", [0.5, 2.0])
def test_a_truncated_normal_has_no_tails(cut):
    w = init.truncated_normal((300, 200), rng=0, std=3.0, cut=cut)
    assert 0.99 * 3.0 * cut < np.abs(w).max() <= 3.0 * cut
    assert init.truncated_normal((), rng=0, cut=cut).shape == ()
    with pytest.raises(UsageError, match=r"cut must be at least 0\.01"):
        init.truncated_normal((3,), cut=0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_that_start_as_their_input(dtype):
    w = init.identity((2, 3), 0, dtype, gain=2)
    np.testing.assert_array_equal(w, [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert w.dtype == dtype
    line = init.dirac((4, 2, 3), 0, dtype, groups=2)
    expected = np.zeros((4, 2, 3))
    for out, channel in ((0, 0), (1, 1), (2, 0), (3, 1)):
        expected[out, channel, 1] = 1.0
    np.testing.assert_array_equal(line, expected)
    assert line.dtype == dtype
    image = init.dirac((2, 3, 3, 4))
    assert image[0, 0, 1, 2] == image[1, 1, 1, 2] == 1.0
    assert image.sum() == 2.0


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 1.0])
def test_sparse_columns(sparsity):
    w = init.sparse((10, 50), rng=0, sparsity=sparsity, std=2.0)
    np.testing.assert_array_equal((w == 0.0).sum(axis=0), math.ceil(10 * sparsity))
    if sparsity < 1.0:
        assert np.std(w[w != 0.0]) == pytest.approx(2.0, rel=0.1)
        assert not np.array_equal(w[:, 0] == 0.0, w[:, 1] == 0.0) or sparsity == 0.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.identity((2, 3, 4)), ShapeError, "see dirac"),
        (lambda: init.dirac((2, 3)), ShapeError, "convolution's weight"),
        (lambda: init.dirac((5, 3, 3), groups=2), UsageError, "must divide out_channels 5, got 2"),
        (lambda: init.sparse((2, 3, 4), sparsity=0.1), ShapeError, "shape of a matrix"),
        (lambda: init.sparse((2, 3), sparsity=1.1), UsageError, "a part from 0 to 1"),
        (lambda: init.truncated_normal((2, 3), std=-1.0), UsageError, "std must be finite"),
    ],
)
def test_bad_shapes_and_options_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_unknown_gain_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"'swish'; choose from linear, conv1d, .*sigmoid, tanh"):
        init.gain("swish")


NEEDS_FANS = [name for name in SPREADS if not name.startswith(("normal", "uniform"))]


@pytest.mark.parametrize("name", NEEDS_FANS)
@pytest.mark.parametrize("shape", [(3,), (), 3, (0, 2), (2, 0), (2, -1), (2, 3, 0)])
def test_a_shape_without_fans_is_refused(name, shape):
    with pytest.raises(ShapeError, match="need a weight of 2 or more axes") as caught:
        EVERY[name](shape, rng=0)
    assert str(shape) in str(caught.value)


@every_draw
@pytest.mark.parametrize("bad", ["0", 0.5, True, -1, np.random])
def test_a_bad_rng_is_refused(name, bad):
    with pytest.raises(UsageError, match="rng"):
        EVERY[name]((3, 2), rng=bad)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(("draw", "option"), [(init.normal, "std"), (init.uniform, "bound")])
def test_a_bad_spread_is_refused(draw, option, bad):
    with pytest.raises(UsageError, match=rf"{option} must be finite, at least 0; got {bad}"):
        draw((3, 2), rng=0, **{option: bad})


def test_ten_layers_of_the_right_start_keep_their_spread():
    """Small weights die out, unit weights saturate, Xavier holds for tanh and He for ReLU."""
    rng = np.random.default_rng(0)

    def last(draw, f):
        x = rng.normal(size=(200, 200))
        for _ in range(10):
            x = f(x @ draw((200, 200), rng).T)
        return x

    def relu(x):
        return np.maximum(x, 0.0)

    assert np.std(last(init.normal, np.tanh)) < 1e-6
    assert np.mean(np.abs(last(partial(init.normal, std=1.0), np.tanh)) > 0.99) > 0.7
    assert 0.2 < np.std(last(init.xavier_normal, np.tanh)) < 0.6
    assert 0.3 < np.std(last(init.he_normal, relu)) < 2.0
