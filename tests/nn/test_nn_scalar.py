"""Networks of Values: micrograd's shapes, order and numbers; the same as networks of arrays."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Value, nn
from microgradopt.errors import DTypeError, UsageError
from microgradopt.nn import scalar

RNG = np.random.default_rng(0)


def test_a_neuron_is_what_its_formula_says():
    neuron = scalar.Neuron(3, activation=mg.tanh, rng=0)
    neuron.b.data = 0.25
    x = [0.5, -1.0, 2.0]
    w = [v.data for v in neuron.w]
    y = neuron(x)
    assert type(y) is Value
    assert y.data == pytest.approx(np.tanh(np.dot(w, x) + 0.25), rel=1e-15)
    y.backward()
    slope = 1 - y.data**2
    np.testing.assert_allclose([v.grad for v in neuron.w], slope * np.array(x), rtol=1e-14)
    assert neuron.b.grad == pytest.approx(slope, rel=1e-14)


def test_weights_start_within_one_and_biases_at_zero():
    model = scalar.MLP(10, [20, 5], rng=0)
    weights = [p.data for name, p in model.named_parameters() if ".w." in name]
    assert max(map(abs, weights)) <= 1.0
    assert max(weights) > 0.9
    assert min(weights) < -0.9
    assert {p.data for name, p in model.named_parameters() if name.endswith(".b")} == {0.0}


def test_call_shapes_are_micrograds():
    x = [1.0, -2.0]
    assert type(scalar.Neuron(2)(x)) is Value
    assert [type(y) for y in scalar.Layer(2, 3)(x)] == [Value] * 3
    assert type(scalar.Layer(2, 1)(x)) is Value
    assert type(scalar.MLP(2, [4, 1])(x)) is Value
    assert [type(y) for y in scalar.MLP(2, [4, 2])(x)] == [Value] * 2
    assert type(scalar.MLP(2, [1, 1, 1])(x)) is Value
    assert [type(y) for y in scalar.MLP(2, [1, 2])(x)] == [Value] * 2


def test_parameters_come_as_micrograds_do():
    """Per neuron its weights, then its bias."""
    model = scalar.MLP(2, [3, 1], rng=0)
    by_hand = [p for layer in model.layers for n in layer.neurons for p in [*n.w, n.b]]
    assert all(p is q for p, q in zip(model.parameters(), by_hand, strict=True))
    assert len(model.parameters()) == 3 * 3 + 4


def test_names_tell_where_a_parameter_sits():
    assert [p.name for p in scalar.Neuron(2).parameters()] == ["w.0", "w.1", "b"]
    assert [p.name for p in scalar.Layer(1, 2).parameters()] == [
        "neurons.0.w.0", "neurons.0.b", "neurons.1.w.0", "neurons.1.b",
    ]  # fmt: skip
    names = [p.name for p in scalar.MLP(1, [1, 1]).parameters()]
    assert names[0] == "layers.0.neurons.0.w.0"
    assert names[-1] == "layers.1.neurons.0.b"


def test_repr():
    assert repr(scalar.Neuron(2)) == "relu neuron(2)"
    assert repr(scalar.Neuron(2, False)) == "linear neuron(2)"
    assert (
        repr(scalar.Layer(2, 2, activation=mg.tanh)) == "Layer of [tanh neuron(2), tanh neuron(2)]"
    )
    assert repr(scalar.MLP(2, [1, 1])) == (
        "MLP of [Layer of [relu neuron(2)], Layer of [linear neuron(1)]]"
    )


def test_the_last_layer_is_linear_unless_told():
    model = scalar.MLP(2, [3, 3, 1], activation=mg.tanh)
    kinds = [layer.neurons[0].activation for layer in model.layers]
    assert kinds == [mg.tanh, mg.tanh, None]
    assert scalar.MLP(2, [3, 1], final=mg.sigmoid).layers[1].neurons[0].activation is mg.sigmoid


def test_one_seed_is_one_network():
    a, b = scalar.MLP(2, [3, 1], rng=0), scalar.MLP(2, [3, 1], rng=np.random.default_rng(0))
    assert [p.data for p in a.parameters()] == [p.data for p in b.parameters()]
    assert a.parameters()[0].data != scalar.MLP(2, [3, 1], rng=1).parameters()[0].data


# The same network of Values and of arrays


def twin(model: scalar.MLP, activation) -> nn.MLP:
    """A network of arrays with the weights of a network of Values."""
    sizes = [len(layer.neurons) for layer in model.layers]
    arrays = nn.MLP(len(model.layers[0].neurons[0].w), sizes, activation=activation)
    linears = [layer for layer in arrays if isinstance(layer, nn.Linear)]
    for layer, linear in zip(model.layers, linears):
        linear.weight.data = np.array([[w.data for w in n.w] for n in layer.neurons])
        linear.bias.data = np.array([n.b.data for n in layer.neurons])
    return arrays


def compare_gradients(model: scalar.MLP, arrays: nn.MLP) -> None:
    linears = [layer for layer in arrays if isinstance(layer, nn.Linear)]
    for layer, linear in zip(model.layers, linears):
        weights = [[w.grad for w in n.w] for n in layer.neurons]
        np.testing.assert_allclose(weights, linear.weight.grad, rtol=1e-12, atol=1e-14)
        biases = [n.b.grad for n in layer.neurons]
        np.testing.assert_allclose(biases, linear.bias.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", [mg.relu, mg.tanh, mg.sigmoid], ids=lambda f: f.name)
def test_margins_and_penalty_are_those_of_arrays(activation):
    X, y = mg.datasets.moons(20, rng=0)
    signs = 2.0 * y - 1.0
    model = scalar.MLP(2, [8, 8, 1], activation=activation, rng=0)
    for i, p in enumerate(model.parameters()):
        p.data = p.data + 0.01 * i % 0.3  # biases too
    arrays = twin(model, activation)

    scores = [model(row) for row in X]
    loss = sum((1.0 - s * score).relu() for s, score in zip(signs, scores)) * (1.0 / len(X))
    loss = loss + 0.5e-2 * sum(p * p for p in model.parameters())
    loss.backward()

    same = nn.hinge(arrays(X)[:, 0], signs) + nn.l2_penalty(arrays.parameters(), 1e-2)
    same.backward()
    assert loss.item() == pytest.approx(same.item(), rel=1e-12)
    compare_gradients(model, arrays)


def test_several_outputs_are_those_of_arrays():
    X = RNG.normal(size=(6, 3))
    model = scalar.MLP(3, [5, 2], activation=mg.tanh, rng=1)
    arrays = twin(model, mg.tanh)
    rows = [model(row) for row in X]
    np.testing.assert_allclose([[v.data for v in r] for r in rows], arrays(X).data, rtol=1e-12)
    sum(v * v for row in rows for v in row).backward()
    out = arrays(X)
    (out * out).sum().backward()
    compare_gradients(model, arrays)


def test_array_losses_take_the_values_of_a_network_stacked():
    X, labels = RNG.normal(size=(4, 2)), [0, 1, 1, 0]
    model = scalar.MLP(2, [3, 2], rng=0)
    arrays = twin(model, mg.relu)
    loss = nn.cross_entropy(mg.stack([mg.stack(model(row)) for row in X]), labels)
    loss.backward()
    same = nn.cross_entropy(arrays(X), labels)
    same.backward()
    assert loss.item() == pytest.approx(same.item(), rel=1e-12)
    assert all(type(p.grad) is float for p in model.parameters())
    compare_gradients(model, arrays)


# Refused


@pytest.mark.parametrize("bad", [0, -1, 2.5, "2", None, True, [2]])
def test_sizes_are_counts(bad):
    for make in (
        lambda: scalar.Neuron(bad),
        lambda: scalar.Layer(2, bad),
        lambda: scalar.Layer(bad, 2),
        lambda: scalar.MLP(bad, [2]),
        lambda: scalar.MLP(2, [2, bad]),
    ):
        with pytest.raises(UsageError, match="must be an int of at least 1") as caught:
            make()
        assert repr(bad) in str(caught.value)


@pytest.mark.parametrize("bad", [3, [], (), "31", None, 2.5])
def test_mlp_wants_a_list_of_sizes(bad):
    with pytest.raises(UsageError, match=r"nouts lists the layers' sizes, such as \[16, 1\]"):
        scalar.MLP(2, bad)


@pytest.mark.parametrize("bad", ["relu", True, 1.0])
def test_an_activation_is_a_function_or_nothing(bad):
    with pytest.raises(UsageError, match=r"such as mg\.tanh, or None for a linear neuron"):
        scalar.Neuron(2, activation=bad)


def test_inputs_are_numbers():
    with pytest.raises(DTypeError, match="cannot use str 'a' as an operand"):
        scalar.Neuron(2)(["a", "b"])


def test_nonlin_is_micrograds():
    assert scalar.Neuron(2, nonlin=False).activation is None
    assert scalar.Neuron(2, True).activation is Value.relu
    assert {n.activation for n in scalar.Layer(2, 3, nonlin=False).neurons} == {None}
    with pytest.raises(UsageError, match="goes to activation="):
        scalar.Neuron(2, mg.tanh)
