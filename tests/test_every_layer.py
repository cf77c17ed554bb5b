"""Every layer that ``nn`` and ``nn.scalar`` export, found by itself, through the same checks.

A new layer needs one line in ``LAYERS`` or ``SCALAR_LAYERS``: how to make one, and its inputs.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn
from microgradopt.check import check_grads
from microgradopt.errors import ShapeError


class Layer(NamedTuple):
    """How to make a layer of a dtype, and the shapes it takes and refuses."""

    make: Callable[[Any], nn.Module]
    features: int = 3  # length of the last axis
    refused: tuple[int, ...] | None = None  # a shape it cannot take


def _sequential(dtype):
    return nn.Sequential(
        nn.Linear(3, 4, rng=0, dtype=dtype), mg.tanh, nn.Linear(4, 2, rng=1, dtype=dtype)
    )


LAYERS = {
    "ELU": [Layer(lambda dtype: nn.ELU()), Layer(lambda dtype: nn.ELU(0.5))],
    "LeakyReLU": [Layer(lambda dtype: nn.LeakyReLU()), Layer(lambda dtype: nn.LeakyReLU(0.3))],
    "Linear": [
        Layer(lambda dtype: nn.Linear(3, 2, rng=0, dtype=dtype), refused=(5, 4)),
        Layer(lambda dtype: nn.Linear(3, 2, bias=False, rng=0, dtype=dtype), refused=(3, 1)),
        Layer(lambda dtype: nn.Linear(1, 1, rng=0, dtype=dtype), features=1, refused=(2,)),
    ],
    "MLP": [
        Layer(lambda dtype: nn.MLP(3, [4, 2], rng=0, dtype=dtype), refused=(2, 5)),
        Layer(
            lambda dtype: nn.MLP(
                3, [4, 4, 2], activation=nn.ELU(), final=mg.softmax, rng=0, dtype=dtype
            ),
            refused=(2,),
        ),
    ],
    "ReLU": [Layer(lambda dtype: nn.ReLU())],
    "Sequential": [Layer(_sequential, refused=(3, 2)), Layer(lambda dtype: nn.Sequential())],
    "Sigmoid": [Layer(lambda dtype: nn.Sigmoid())],
    "Softmax": [Layer(lambda dtype: nn.Softmax(), refused=())],
    "Softplus": [Layer(lambda dtype: nn.Softplus())],
    "Tanh": [Layer(lambda dtype: nn.Tanh())],
}
SCALAR_LAYERS = {
    "Layer": [lambda: nn.scalar.Layer(3, 2, rng=0), lambda: nn.scalar.Layer(3, 1, False, rng=0)],
    "MLP": [
        lambda: nn.scalar.MLP(3, [4, 2], rng=0),
        lambda: nn.scalar.MLP(3, [2, 1, 1], activation=mg.tanh, final=mg.sigmoid, rng=0),
    ],
    "Neuron": [
        lambda: nn.scalar.Neuron(3, rng=0),
        lambda: nn.scalar.Neuron(3, activation=None, rng=0),
    ],
}


def exported(namespace: Any) -> list[str]:
    names = getattr(namespace, "__all__", [n for n in vars(namespace) if not n.startswith("_")])
    things = {n: getattr(namespace, n) for n in names}
    return sorted(
        n
        for n, x in things.items()
        if inspect.isclass(x) and issubclass(x, nn.Module) and x is not nn.Module
    )


def cases(namespace: Any, table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(entry, id=f"{name}{i}")
        for name in exported(namespace)
        for i, entry in enumerate(table.get(name, []))
    ]


every_layer = pytest.mark.parametrize("case", cases(nn, LAYERS))
every_scalar_layer = pytest.mark.parametrize("make", cases(nn.scalar, SCALAR_LAYERS))
every_module = pytest.mark.parametrize(
    "make",
    [
        *(
            pytest.param(lambda c=c: c.values[0].make(np.float64), id=c.id)
            for c in cases(nn, LAYERS)
        ),
        *(pytest.param(c.values[0], id=f"scalar.{c.id}") for c in cases(nn.scalar, SCALAR_LAYERS)),
    ],
)


@pytest.mark.parametrize("name", exported(nn))
def test_every_exported_layer_is_in_the_table(name):
    assert name in LAYERS, f"nn.{name} is not tested: add a line for it to LAYERS"


@pytest.mark.parametrize("name", exported(nn.scalar))
def test_every_exported_scalar_layer_is_in_the_table(name):
    assert name in SCALAR_LAYERS, f"nn.scalar.{name} is not tested: add it to SCALAR_LAYERS"


def test_the_tables_name_nothing_that_is_gone():
    assert sorted(LAYERS) == exported(nn)
    assert sorted(SCALAR_LAYERS) == exported(nn.scalar)


def inputs(case: Layer, *axes: int, dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(len(axes))
    return rng.normal(size=(*axes, case.features)).astype(dtype)


def sample_for(layer: nn.Module) -> Any:
    """An input for a layer of either kind."""
    scalar = type(layer).__module__ == nn.scalar.__name__
    features = 1 if repr(layer) == "Linear(1, 1)" else 3
    x = np.random.default_rng(1).normal(size=features)
    return [Value(float(v)) for v in x] if scalar else Tensor(x)


def numbers(out: Any) -> list[Any]:
    """The data of a layer's result, of whatever kind."""
    return [x.data for x in out] if isinstance(out, list) else [out.data]


def backward(out: Any) -> None:
    """From the sum of all outputs, each times another number."""
    if isinstance(out, list):
        sum((i + 1.0) * y for i, y in enumerate(out)).backward()
    else:
        out.backward(np.arange(1.0, np.size(out.data) + 1).reshape(np.shape(out.data)))


def with_parameters(layer: nn.Module, x: Any, values: list[Any]) -> Any:
    """The layer's result if its parameters were ``values``."""
    names = [name for name, _ in layer.named_parameters()]
    before = [place(layer, name, value) for name, value in zip(names, values)]
    try:
        return layer(x)
    finally:
        for name, value in zip(names, before):
            place(layer, name, value)


def place(root: Any, name: str, new: Any) -> Any:
    """Put a node where a dotted name points to; returns what was there."""
    *path, last = name.split(".")
    for key in path:
        root = root[int(key)] if isinstance(root, (list, tuple)) else getattr(root, key)
    if isinstance(root, list):
        old, root[int(last)] = root[int(last)], new
        return old
    old = getattr(root, last)
    setattr(root, last, new)
    return old


# Layers of either kind


@every_module
def test_repr_names_the_class_on_one_line(make):
    text = repr(make())
    assert type(make()).__name__.lower() in text.lower()
    assert "\n" not in text


@every_module
def test_parameter_names_are_unique_stable_and_worn(make):
    layer = make()
    names = [name for name, _ in layer.named_parameters()]
    assert len(names) == len(set(names))
    assert all(names)
    assert names == [name for name, _ in layer.named_parameters()]
    assert names == [name for name, _ in make().named_parameters()]
    assert names == [name for name, _ in copy.deepcopy(layer).named_parameters()]
    assert [p.name for p in layer.parameters()] == names


@every_module
def test_parameters_are_leaves_each_once(make):
    parameters = make().parameters()
    assert len({id(p) for p in parameters}) == len(parameters)
    assert all(p.op is None and p.requires_grad for p in parameters)


@every_module
def test_train_and_eval_reach_every_module_below(make):
    layer = make()
    assert all(module.training for _, module in layer.named_modules())
    assert layer.eval() is layer
    assert not any(module.training for _, module in layer.named_modules())
    assert layer.train() is layer
    assert all(module.training for _, module in layer.named_modules())


@every_module
@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
def test_a_copy_computes_the_same_with_parameters_of_its_own(make, twin):
    layer = make()
    x = sample_for(layer)
    before = numbers(layer(x))
    other = twin(layer)
    np.testing.assert_array_equal(numbers(other(x)), before)
    assert [p.name for p in other.parameters()] == [p.name for p in layer.parameters()]
    for p in other.parameters():
        p.data = p.data + 1.0
    np.testing.assert_array_equal(numbers(layer(x)), before)
    assert not {id(p) for p in layer.parameters()} & {id(p) for p in other.parameters()}


@every_module
def test_zero_grad_forgets_every_gradient(make):
    layer = make()
    backward(layer(sample_for(layer)))
    assert all(p.grad is not None for p in layer.parameters())
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())


@every_module
def test_the_graph_of_a_call_can_be_drawn(make):
    layer = make()
    out = layer(sample_for(layer))
    backward(out)
    svg = mg.draw(out).svg()
    assert ElementTree.fromstring(svg).tag.endswith("svg")


# Layers of arrays


@every_layer
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_by_inputs_and_parameters(case, order):
    layer = case.make(np.float64)
    parameters = [p.data for p in layer.parameters()]

    def f(x, values):
        return with_parameters(layer, x, values)

    check_grads(f, inputs(case, 2), parameters, order=order)
    assert [p.data is d for p, d in zip(layer.parameters(), parameters)] == [True] * len(parameters)


@every_layer
@pytest.mark.parametrize("axes", [(), (4,), (2, 3), (0,)])
def test_leading_axes_are_a_batch(case, axes):
    layer = case.make(np.float64)
    x = inputs(case, *axes)
    out = layer(Tensor(x)).data
    assert out.shape[:-1] == axes
    for i in np.ndindex(*axes):
        np.testing.assert_allclose(out[i], layer(Tensor(x[i])).data, rtol=1e-12)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(case, dtype):
    layer = case.make(dtype)
    x = Tensor(inputs(case, 4, dtype=dtype))
    out = layer(x)
    assert out.dtype == dtype
    backward(out)
    assert {p.grad.dtype for p in [x, *layer.parameters()]} == {np.dtype(dtype)}


@every_layer
def test_float32_is_as_precise_as_it_can(case):
    x = inputs(case, 4, dtype=np.float32)
    narrow = case.make(np.float32)
    wide = case.make(np.float64)
    for p, q in zip(wide.parameters(), narrow.parameters()):
        p.data = q.data.astype(np.float64)
    expected = wide(Tensor(x.astype(np.float64))).data
    np.testing.assert_allclose(narrow(Tensor(x)).data, expected, rtol=1e-5, atol=1e-6)


@every_layer
def test_plain_arrays_and_nodes_give_the_same_numbers(case):
    layer = case.make(np.float64)
    x = inputs(case, 4)
    plain = layer(x)
    np.testing.assert_array_equal(getattr(plain, "data", plain), layer(Tensor(x)).data)


@every_layer
def test_the_input_is_left_alone(case):
    layer = case.make(np.float64)
    x = inputs(case, 4)
    before = x.copy()
    backward(layer(Tensor(x)))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("case", [c for c in cases(nn, LAYERS) if c.values[0].refused is not None])
def test_a_wrong_shape_is_refused_naming_both(case):
    with pytest.raises(ShapeError) as caught:
        case.make(np.float64)(np.zeros(case.refused))
    if case.refused:
        assert str(case.refused) in str(caught.value)
        assert f"(..., {case.features})" in str(caught.value)


# Layers of Values


@every_scalar_layer
@pytest.mark.parametrize("order", [1, 2])
def test_scalar_gradients_by_inputs_and_parameters(make, order):
    layer = make()
    check_grads(
        lambda x, values: with_parameters(layer, x, values),
        [0.3, -0.7, 1.1],
        [p.data for p in layer.parameters()],
        order=order,
    )


@every_scalar_layer
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_wrong_number_of_inputs_is_refused_naming_both(make, n):
    with pytest.raises(ShapeError, match=rf"3 weights was given {n} inputs"):
        make()([1.0] * n)


@every_scalar_layer
def test_scalar_layers_take_numbers_values_and_rows(make):
    layer = make()
    expected = numbers(layer([Value(1.0), Value(-2.0), Value(0.5)]))
    row = np.array([1.0, -2.0, 0.5])
    for x in ([1.0, -2.0, 0.5], (1, -2, 0.5), row, row.astype(np.float32), Tensor(row)):
        out = layer(x)
        np.testing.assert_array_equal(numbers(out), expected)
        assert {type(y) for y in (out if isinstance(out, list) else [out])} == {Value}


@every_scalar_layer
@pytest.mark.parametrize("x", [1.0, np.zeros((2, 3)), np.float64(2.0), None])
def test_what_is_not_one_sample_is_refused(make, x):
    with pytest.raises(ShapeError, match=r"take one sample.*\[model\(row\) for row in X\]"):
        make()(x)


@every_scalar_layer
def test_a_tensor_of_inputs_gets_its_gradient(make):
    layer = make()
    x = Tensor([1.0, -2.0, 0.5])
    values = [Value(1.0), Value(-2.0), Value(0.5)]
    backward(layer(x))
    backward(layer(values))
    np.testing.assert_allclose(x.grad, [v.grad for v in values], rtol=1e-15)
