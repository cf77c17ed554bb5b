"""The factors of K-FAC against brute force, and which parameters have any."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from kfac_cases import (
    LABELS,
    RNG,
    X,
    data,
    entropy,
    expected_square,
    kfac,
    measured,
    probabilities,
    with_ones,
)

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.optim.kronecker.likelihoods import LIKELIHOODS

# Factors


def test_factors_of_one_layer_make_up_its_fisher_matrix():
    """With weights of 0 all cases have the same distribution: then A ⊗ G is no approximation."""
    model = nn.Linear(3, 4, init=nn.init.zeros, rng=0)

    def log_likelihood(block, x, k):
        return mg.log_softmax(block @ np.append(x, 1.0))[k]

    fisher = np.zeros((16, 16))
    for x in X:
        for k in range(4):
            g = mg.grad(log_likelihood)(np.zeros((4, 4)), x, k).ravel()
            fisher += np.outer(g, g) / 4 / len(X)
    own = measured(model, entropy(model))["weight"]
    np.testing.assert_allclose(np.kron(own["G"], own["A"]), fisher, rtol=1e-12, atol=1e-15)


def test_factors_of_each_layer_of_a_network():
    model = nn.MLP(3, [5, 4], activation=mg.tanh, rng=0)
    first, last = model[0], model[2]
    h = np.tanh(X @ first.weight.data.T + first.bias.data)
    p = probabilities(h @ last.weight.data.T + last.bias.data)
    found = measured(model, entropy(model))
    assert list(found) == ["layers.0.weight", "layers.2.weight"]
    np.testing.assert_allclose(found["layers.0.weight"]["A"], with_ones(X).T @ with_ones(X) / 12)
    np.testing.assert_allclose(found["layers.2.weight"]["A"], with_ones(h).T @ with_ones(h) / 12)
    np.testing.assert_allclose(found["layers.2.weight"]["G"], expected_square(p), atol=1e-15)
    G = np.zeros((5, 5))
    for a, q in zip(h, p):
        back = (1.0 - a * a)[:, None] * last.weight.data.T
        G += back @ (np.diag(q) - np.outer(q, q)) @ back.T / 12
    np.testing.assert_allclose(found["layers.0.weight"]["G"], G, atol=1e-15)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_derivatives_of_drawn_targets_are_those_of_the_expectation_in_the_mean(name):
    z = np.repeat([[0.5, -1.0, 0.2]], 200_000, axis=0)
    drawn = LIKELIHOODS[name].draw(z, np.random.default_rng(1))
    each = [c[0] for c in LIKELIHOODS[name].each(z[:2])]
    np.testing.assert_allclose(drawn.mean(0), np.zeros(3), atol=0.01)
    np.testing.assert_allclose(
        drawn.T @ drawn / len(z), sum(np.outer(c, c) for c in each), atol=0.01
    )


@pytest.mark.parametrize(
    ("likelihood", "curvature"),
    [
        ("gaussian", lambda z: np.ones_like(z)),
        ("bernoulli", lambda z: np.exp(z) / (1 + np.exp(z)) ** 2),
    ],
)
def test_outputs_that_are_numbers(likelihood, curvature):
    """Each adds to G alone; without a last axis, there is one for each case."""
    for outs in (2, 1):
        model = nn.Linear(3, outs, rng=0)
        flat = nn.Sequential(model, lambda z, outs=outs: z if outs > 1 else z[:, 0])
        own = measured(flat, lambda m=flat: mg.sum(m(X)), likelihood=likelihood)["layers.0.weight"]
        z = X @ model.weight.data.T + model.bias.data
        np.testing.assert_allclose(own["G"], np.diag(curvature(z).mean(0)), rtol=1e-12)
        np.testing.assert_allclose(own["A"], with_ones(X).T @ with_ones(X) / 12, rtol=1e-12)


CONVOLUTIONS = {
    "plain": lambda **o: nn.Conv2d(2, 3, 2, **o),
    "all options": lambda **o: nn.Conv2d(2, 3, (3, 2), (1, 2), (1, 0), 2, **o),
    "groups": lambda **o: nn.Conv2d(2, 4, 2, groups=2, **o),
    "without a bias": lambda **o: nn.Conv2d(2, 3, 2, bias=False, **o),
    "groups without a bias": lambda **o: nn.Conv2d(2, 2, 2, groups=2, bias=False, **o),
    "same": lambda **o: nn.Conv2d(2, 3, 2, padding="same", **o),
    "valid": lambda **o: nn.Conv2d(2, 3, 2, padding="valid", **o),
    "reflect": lambda **o: nn.Conv2d(2, 1, 3, padding=1, padding_mode="reflect", **o),
    "replicate": lambda **o: nn.Conv2d(2, 1, 3, padding=1, padding_mode="replicate", **o),
    "circular": lambda **o: nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular", **o),
}
IMAGES = RNG.normal(size=(4, 2, 5, 6))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_factors_of_convolutions(name):
    """Rows are what turns the kernel into a matrix: found by the derivative of the layer itself."""
    layer = CONVOLUTIONS[name](rng=0)
    model = nn.Sequential(layer, mg.tanh, nn.Flatten())
    own = measured(model, lambda: mg.sum(model(IMAGES)), likelihood="gaussian")["layers.0.weight"]
    out = layer(IMAGES).data
    groups, outs, places = layer.groups, out.shape[1], out.shape[2] * out.shape[3]
    windows = mg.jacobian(lambda w: conv(layer, w)[:, :: outs // groups])(layer.weight.data)
    slopes = 1.0 - np.tanh(out) ** 2  # one for each output of the model
    for k in range(groups):
        mine = windows[:, k, ..., k * outs // groups, :, :, :].reshape(4 * places, -1)
        rows = mine if layer.bias is None else with_ones(mine)
        g = slopes.reshape(4, groups, outs // groups, places)[:, k]
        A, G = (own[key] if groups == 1 else own[key][k] for key in "AG")
        np.testing.assert_allclose(A, rows.T @ rows / 4, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(np.diag(G), (g**2).sum((0, 2)) / (4 * places), rtol=1e-12)
        np.testing.assert_allclose(G - np.diag(np.diag(G)), np.zeros_like(G), atol=1e-14)


def conv(layer, weight):
    """The layer with another kernel and no bias."""
    other = copy.deepcopy(layer)
    other.weight, other.bias = weight, None
    return other(IMAGES)


def test_a_convolution_with_one_window_is_a_linear_layer():
    whole = nn.Conv2d(2, 4, (5, 6), rng=0)
    linear = nn.Linear(60, 4, rng=0)
    linear.weight.data, linear.bias.data = whole.weight.data.reshape(4, 60), whole.bias.data
    y = LABELS[:4]
    for model, x in ((nn.Sequential(whole, nn.Flatten()), IMAGES), (linear, IMAGES.reshape(4, -1))):
        optimizer = kfac(model, lr=0.1, momentum=0.5, damping=0.01)
        for _ in range(3):
            optimizer.step(entropy(model, x, y))
    np.testing.assert_allclose(whole.weight.data.reshape(4, 60), linear.weight.data, rtol=1e-10)
    np.testing.assert_allclose(whole.bias.data, linear.bias.data, rtol=1e-10)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_over_sequences_and_single_images(groups):
    line = nn.Conv1d(2, 4, 3, 2, 1, groups=groups, rng=0)
    plane = nn.Conv2d(2, 4, (1, 3), (1, 2), (0, 1), groups=groups, rng=0)
    plane.weight.data, plane.bias.data = line.weight.data[:, :, None], line.bias.data
    x = IMAGES[0, :, 0]  # a single one, of shape (2, 6)
    found = [
        measured(m, lambda m=m, x=x: mg.sum(m(x)), likelihood="gaussian")["weight"]
        for m, x in ((line, x), (plane, x[:, None]), (plane, x[None, :, None]))
    ]
    for other in found[1:]:
        for key in ("A", "G", "A_inverse", "G_inverse"):
            np.testing.assert_allclose(found[0][key], other[key], rtol=1e-12)


def test_many_images_are_taken_in_portions():
    layer = nn.Conv2d(1, 1, 3, padding=1, rng=0)
    model = nn.Sequential(layer, nn.Flatten())
    x = RNG.normal(size=(40, 1, 64, 64))
    A = measured(model, lambda: mg.sum(model(x)), likelihood="gaussian", samples=1)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    rows = with_ones(windows.reshape(-1, 9))
    np.testing.assert_allclose(A["layers.0.weight"]["A"], rows.T @ rows / 40, rtol=1e-10)


# What has factors, and what has none


class Twice(nn.Module):
    """A layer that is called two times."""

    def __init__(self):
        self.layer = nn.Linear(3, 3, rng=0)

    def forward(self, x):
        return self.layer(mg.tanh(self.layer(x)))


class Tied(nn.Module):
    """Two layers with the same parameters."""

    def __init__(self):
        self.one, self.two = nn.Linear(3, 3, rng=0), nn.Linear(3, 3, rng=1)
        self.two.weight, self.two.bias = self.one.weight, self.one.bias

    def forward(self, x):
        return self.two(mg.tanh(self.one(x)))


def test_a_layer_called_twice_has_the_rows_of_both_calls():
    model = Twice()
    W, b = model.layer.weight.data, model.layer.bias.data
    h = np.tanh(X @ W.T + b)
    p = probabilities(h @ W.T + b)
    own = measured(model, entropy(model, y=LABELS % 3))["layer.weight"]
    both = with_ones(np.concatenate([X, h]))
    np.testing.assert_allclose(own["A"], both.T @ both / 12, rtol=1e-12)
    G = expected_square(p) * 12
    for a, q in zip(h, p):
        back = (1.0 - a * a)[:, None] * W.T
        G += back @ (np.diag(q) - np.outer(q, q)) @ back.T
    np.testing.assert_allclose(own["G"], G / 24, rtol=1e-12, atol=1e-16)


def test_layers_that_share_their_parameters_are_one():
    ways = []
    for model in (Twice(), Tied()):
        optimizer = kfac(model, lr=0.1, damping=0.1)
        for _ in range(3):
            optimizer.step(entropy(model, y=LABELS % 3))
        ways.append(list(data(model).values()))
    for a, b in zip(*ways):
        np.testing.assert_array_equal(a, b)


def test_a_sequence_has_a_row_for_each_of_its_entries():
    model = nn.Linear(3, 4, rng=0)
    found = measured(model, entropy(model))["weight"]
    x = X.reshape(2, 6, 3)

    def loss():
        return nn.cross_entropy(mg.reshape(model(x), (12, 4)), LABELS)

    other = measured(model, loss)["weight"]
    for key in ("A", "G", "A_inverse", "G_inverse"):
        np.testing.assert_allclose(found[key], other[key], rtol=1e-12)


class Scaled(nn.Module):
    """A weight of two axes with which something else is done."""

    def __init__(self):
        self.weight = Tensor(np.eye(3) + 0.1 * X[:3])

    def forward(self, x):
        return x @ self.weight


class Everything(nn.Module):
    """Parameters of all kinds, most of which have no factors."""

    def __init__(self):
        self.table = nn.Embedding(5, 3, rng=0)
        self.scaled = Scaled()
        self.first, self.norm = nn.Linear(3, 3, rng=1), nn.BatchNorm1d(3)
        self.slope, self.factor = nn.PReLU(), Value(0.7)
        self.twisted = nn.Linear(3, 3, rng=2)
        self.twisted.register_forward_hook(lambda module, args, out: out * 2.0)
        self.bare, self.idle = nn.Linear(3, 3, rng=3), nn.Linear(3, 2, rng=4)
        self.stretched = nn.ConvTranspose1d(1, 1, 2, rng=5)
        self.last = nn.Linear(4, 4, rng=6)
        self.aside = nn.Linear(3, 1, rng=7)

    def forward(self, rows):
        x = self.scaled(self.table(rows))
        x = self.slope(self.norm(self.first(x))) * self.factor
        self.other = mg.sum(self.aside(x) ** 2)
        x = mg.tanh(self.twisted(x)) @ self.bare.weight
        return self.last(self.stretched(x[:, None])[:, 0])


def test_what_has_no_factors_takes_a_plain_step():
    model = Everything()
    rows = RNG.integers(0, 5, size=12)
    optimizer = kfac(model, lr=0.1)
    before = data(model)

    def closure():
        return nn.cross_entropy(model(rows), LABELS) + 0.1 * model.other

    optimizer.step(closure)
    layers = optimizer.state["layers"]
    assert {k for k, own in layers.items() if own["measured"]} == {"first.weight", "last.weight"}
    for name, p in model.named_parameters():
        if p.grad is None:
            assert name.startswith("idle") or name == "bare.bias"
            np.testing.assert_array_equal(p.data, before[name])
        else:
            plain = np.allclose(p.data, before[name] - 0.1 * p.grad, rtol=1e-14, atol=0.0)
            assert plain == (name.split(".")[0] not in ("first", "last")), name


def test_frozen_parameters_stay():
    model = nn.MLP(3, [4, 4, 4], rng=0).freeze("layers.0.bias", "layers.2.weight")
    optimizer = kfac(model, lr=0.1, samples=None)
    before = {k: x.copy() for k, x in model.state_dict().items()}
    optimizer.step(entropy(model))
    own = optimizer.state["layers"]
    assert {k: x["A"].shape for k, x in own.items()} == {
        "layers.0.weight": (3, 3),
        "layers.4.weight": (5, 5),
    }
    assert all(x["measured"] for x in own.values())
    bias = model.layers[2].bias
    np.testing.assert_array_equal(bias.data, before["layers.2.bias"] - 0.1 * bias.grad)
    for name in ("layers.0.bias", "layers.2.weight"):
        np.testing.assert_array_equal(model.state_dict()[name], before[name])


def test_a_parameter_frozen_later_is_left_alone():
    model = nn.MLP(3, [4, 4], rng=0)
    optimizer = kfac(model, lr=0.1)
    optimizer.step(entropy(model))
    model.freeze("layers.0.bias")
    before = data(model), model.layers[0].bias.data.copy()
    optimizer.step(entropy(model))
    np.testing.assert_array_equal(model.layers[0].bias.data, before[1])
    assert not np.allclose(model.layers[0].weight.data, before[0]["layers.0.weight"])


@pytest.mark.parametrize(
    "given", [X.tolist(), X.astype(np.float32), Tensor(X), (X * 10).astype(int)]
)
def test_every_kind_of_input_is_seen(given):
    model = nn.Linear(3, 4, rng=0)
    assert measured(model, entropy(model, given))["weight"]["measured"] == 1


class Strange(nn.Module):
    """A matrix and a kernel with what only looks like the settings of a layer."""

    def __init__(self, **settings):
        self.layer = nn.Linear(3, 4, rng=0)
        self.weight = Tensor(X[:3] if "groups" not in settings else IMAGES)
        for name, x in settings.items():
            setattr(self, name, x)

    def forward(self, x):
        return self.layer(x) + mg.mean(self.weight)


SETTINGS = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0), "groups": 1}


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": True},
        {"bias": Tensor(X[:3])},
        SETTINGS,
        {**SETTINGS, "padding_mode": "mirror"},
        {**SETTINGS, "padding_mode": "zeros", "stride": 1},
        {**SETTINGS, "padding_mode": "zeros", "groups": None},
        {**SETTINGS, "padding_mode": "zeros", "padding": 0},
    ],
)
def test_modules_that_only_look_like_layers(settings):
    model = Strange(**settings)
    assert list(measured(model, entropy(model))) == ["layer.weight"]


def test_a_call_without_rows_is_passed_by():
    model = nn.Linear(3, 4, rng=0)
    both = nn.Sequential(model, lambda z: z + mg.sum(model(X[:0])))
    assert measured(both, entropy(both))["layers.0.weight"]["measured"] == 1


class Odd(nn.Module):
    """Modules with a matrix that are called in ways that no layer is."""

    def __init__(self, *args):
        self.inner, self.args = Inner(), args
        self.layer = nn.Linear(3, 4, rng=0)

    def forward(self, x):
        return self.layer(x) + self.inner(*self.args)


class Inner(nn.Module):
    def __init__(self):
        self.weight = Tensor(np.ones((1, 3)))

    def forward(self, *args):
        return mg.sum(self.weight)


@pytest.mark.parametrize("args", [(), ("words",), ([[1.0], [1.0, 2.0]],), (X, X), ([Tensor(X)],)])
def test_odd_inputs_are_passed_by(args):
    model = Odd(*args)
    found = measured(model, entropy(model))
    assert [own["measured"] for own in found.values()] == [0, 1]


def test_a_model_of_numbers_takes_plain_steps():
    model = nn.scalar.MLP(2, [3, 1], rng=0)
    optimizer = optim.KFAC(model, lr=0.1, momentum=0.5)
    other = copy.deepcopy(model)
    plain = optim.SGD(other.parameters(), lr=0.1, momentum=0.5)
    for _ in range(3):
        optimizer.step(lambda: (model([1.0, -2.0]) - 1.0) ** 2)
        plain.zero_grad()
        ((other([1.0, -2.0]) - 1.0) ** 2).backward()
        plain.step()
    np.testing.assert_allclose(
        [p.data for p in model.parameters()], [p.data for p in other.parameters()], rtol=1e-14
    )
    assert type(next(iter(model.parameters())).data) is float
