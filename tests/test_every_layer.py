"""Every layer that ``nn`` and ``nn.scalar`` export, found by itself, through the same checks.

A new layer needs nothing here: its ``samples`` say how to make small ones of it, what they take and
what they refuse. Golden files are written by ``tests/golden/make_layers.py``.
"""

from __future__ import annotations

import copy
import functools
import pickle
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from layer_cases import (
    ROUNDED_BY_TORCH,
    WITHOUT_TWIN,
    Case,
    as_nodes,
    cases,
    exported,
    given,
    is_float,
    modes,
    raw,
    weighted,
)

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.check import check_grads
from microgradopt.engine.graph import Node
from microgradopt.engine.structure import leaves, map_structure
from microgradopt.errors import ShapeError
from microgradopt.nn.states import Buffer

GOLDEN = Path(__file__).with_name("golden") / "layers"
ARRAYS, SCALARS = cases(nn), cases(nn.scalar)
WITH_ARRAYS = [c for c in ARRAYS if any(np.ndim(x) for x in leaves(c.sample().inputs))]
SHOW_LAYERS = {"MLP"}  # whose repr shows the layers in it, not the call that made it

every_case = pytest.mark.parametrize("case", [*ARRAYS, *SCALARS], ids=str)
every_layer = pytest.mark.parametrize("case", ARRAYS, ids=str)
every_layer_of_arrays = pytest.mark.parametrize("case", WITH_ARRAYS, ids=str)
every_scalar_layer = pytest.mark.parametrize("case", SCALARS, ids=str)
every_class = pytest.mark.parametrize(
    "kind", [*exported(nn), *exported(nn.scalar)], ids=lambda kind: f"{kind.__name__}"
)
in_both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def numbers(case: Case, dtype: Any = np.float64) -> list[Any]:
    """The result of a sample, made anew."""
    layer, inputs, _ = case.sample(dtype)
    return raw(layer(*as_nodes(inputs)))


def gradients(layer: nn.Module, inputs: Any) -> list[Any]:
    """The gradients of the inputs that have one, then those of the parameters."""
    nodes = as_nodes(inputs)
    weighted(layer(*nodes)).backward()
    leaf = [x for x in leaves(nodes) if isinstance(x, Node)] + layer.parameters()
    return [x.grad for x in leaf]


def found_in(layer: nn.Module, kind: type) -> list[Any]:
    """The attributes of one kind of a layer and of those below it."""
    values = (vars(module).values() for _, module in layer.named_modules())
    return [x for found in values for x in found if isinstance(x, kind)]


def disturbed(layer: nn.Module) -> nn.Module:
    """The same layer with other numbers in its parameters and buffers, and other random ones."""
    for x in [*layer.parameters(), *found_in(layer, Buffer)]:
        x.data = 0.5 * x.data + 0.25 if is_float(x.data) else x.data + 3
    for generator in found_in(layer, np.random.Generator):
        generator.random(3)
    return layer


def snapshot(layer: nn.Module) -> list[Any]:
    """All that a layer keeps between calls: parameters, buffers, and where its randomness is."""
    nodes = [*layer.parameters(), *found_in(layer, Buffer)]
    generators = found_in(layer, np.random.Generator)
    return copy.deepcopy([x.data for x in nodes] + [g.bit_generator.state for g in generators])


def train(layer: nn.Module, inputs: Any, steps: int) -> None:
    parameters = layer.parameters()
    optimizer = optim.SGD(parameters, lr=0.01) if parameters else None
    for _ in range(steps):
        loss = weighted(layer(*inputs))
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def entries(case: Case) -> int:
    """How many numbers a sample can be differentiated by."""
    layer, inputs, _ = case.sample()
    numbers = [x for x in raw(inputs) if is_float(x)] + [p.data for p in layer.parameters()]
    return sum(map(np.size, numbers))


def smallest() -> set[Case]:
    """Of each class the sample with the fewest entries."""
    by_class: dict[Any, list[Case]] = {}
    for case in [*ARRAYS, *SCALARS]:
        by_class.setdefault(case.kind, []).append(case)
    return {min(several, key=entries) for several in by_class.values()}


SMALLEST = smallest()
SMALL = [case for case in [*ARRAYS, *SCALARS] if case in SMALLEST or entries(case) <= 60]


# Samples


@every_class
def test_a_class_has_samples(kind):
    found = kind.samples(np.float64)
    assert found, (
        f"{kind.__name__} is not tested: give it a class method samples(cls, dtype) that returns "
        "a list of Sample(layer, inputs, refused), see nn.Module.samples"
    )
    for sample in found:
        assert type(sample.layer) is kind, (
            f"{kind.__name__}.samples makes a {type(sample.layer).__name__}: a class with another "
            "__init__ needs samples of its own"
        )


@every_case
def test_samples_are_the_same_each_time(case):
    (layer, inputs, _), (other, same, _) = case.sample(), case.sample()
    np.testing.assert_equal(raw(inputs), raw(same))
    assert layer is not other
    for (a, p), (b, q) in zip(layer.named_parameters(), other.named_parameters(), strict=True):
        assert a == b
        assert p is not q
        np.testing.assert_array_equal(p.data, q.data)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_have_the_dtype_asked_for(case, dtype):
    layer, inputs, _ = case.sample(dtype)
    assert {x.dtype for x in leaves(inputs) if is_float(x)} <= {np.dtype(dtype)}
    assert {p.dtype for p in layer.parameters()} <= {np.dtype(dtype)}


# Layers of either kind


@every_case
def test_repr_names_the_class_on_one_line(case):
    layer = case.sample().layer
    assert case.kind.__name__.lower() in repr(layer).lower()
    assert "\n" not in repr(layer)


@every_layer
def test_repr_typed_back_makes_the_same_layer(case):
    layer, inputs, _ = case.sample()
    if case.kind.__name__ in SHOW_LAYERS:
        pytest.skip("shows the layers in it")
    again = eval(repr(layer), {**vars(mg), **vars(nn)})
    assert type(again) is type(layer)
    assert repr(again) == repr(layer)
    again.load_state_dict(layer.state_dict())
    np.testing.assert_equal(raw(again(*inputs)), raw(layer(*inputs)))


@every_case
def test_parameter_names_are_unique_stable_and_worn(case):
    layer = case.sample().layer
    names = [name for name, _ in layer.named_parameters()]
    assert len(names) == len(set(names))
    assert all(names)
    assert names == [name for name, _ in copy.deepcopy(layer).named_parameters()]
    assert [p.name for p in layer.parameters()] == names


@every_case
def test_parameters_are_leaves_each_once(case):
    parameters = case.sample().layer.parameters()
    assert len({id(p) for p in parameters}) == len(parameters)
    assert all(p.op is None and p.requires_grad for p in parameters)


@every_case
def test_train_and_eval_reach_every_module_below(case):
    layer = case.sample().layer
    assert all(module.training for _, module in layer.named_modules())
    assert layer.eval() is layer
    assert not any(module.training for _, module in layer.named_modules())
    assert layer.train() is layer
    assert all(module.training for _, module in layer.named_modules())


@every_case
def test_apply_reaches_every_module_below(case):
    layer, seen = case.sample().layer, []
    assert layer.apply(seen.append) is layer
    assert seen == layer.modules()


@every_case
@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
def test_a_copy_computes_the_same_with_parameters_of_its_own(case, twin):
    layer, inputs, _ = case.sample()
    other = twin(layer)
    before = raw(layer(*inputs))
    np.testing.assert_equal(raw(other(*inputs)), before)
    assert [p.name for p in other.parameters()] == [p.name for p in layer.parameters()]
    assert not {id(p) for p in layer.parameters()} & {id(p) for p in other.parameters()}
    state = snapshot(layer)
    for p in other.parameters():
        p.data = p.data + 1.0
    other(*inputs)
    np.testing.assert_equal(snapshot(layer), state)


@every_case
def test_zero_grad_forgets_every_gradient(case):
    layer, inputs, _ = case.sample()
    gradients(layer, inputs)
    assert all(p.grad is not None for p in layer.parameters())
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())


@pytest.mark.parametrize("case", sorted(SMALLEST, key=str), ids=str)
def test_the_graph_of_a_call_can_be_drawn(case):
    layer, inputs, _ = case.sample()
    out = layer(*as_nodes(inputs))
    weighted(out).backward()
    svg = mg.draw(leaves(out)).svg()
    assert ElementTree.fromstring(svg).tag.endswith("svg")


@every_case
@in_both_modes
def test_results_are_finite(case, training):
    layer, inputs, _ = case.sample()
    out = raw(layer.train(training)(*inputs))
    assert out
    assert all(np.isfinite(x).all() for x in out)


def everything(case: Case, training: bool) -> list[Any]:
    """What a sample computes in one of its modes: results, then gradients."""
    layer, inputs, _ = case.sample()
    layer.train(training)
    return [*raw(layer(*inputs)), *gradients(layer, inputs)]


def same_in_both_modes(case: Case) -> bool:
    """Whether evaluation gives what training gives, to the last bit of every gradient."""
    pairs = zip(everything(case, True), everything(case, False), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@every_case
def test_gradients_by_inputs_and_parameters(case):
    layer, inputs, _ = case.sample()
    check_grads(layer, *inputs)
    if not same_in_both_modes(case):
        check_grads(layer.eval(), *inputs)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_second_derivatives_by_inputs_and_parameters(case):
    layer, inputs, _ = case.sample()
    # entry by entry for one of each class; along directions, ten times as fast, for the others
    check_grads(layer, *inputs, order=2, method="central" if case in SMALLEST else "taylor")


@every_case
def test_what_is_refused_names_layer_and_shape_and_changes_nothing(case):
    layer, _, refused = case.sample()
    names = {type(module).__name__.lower() for _, module in layer.named_modules()}
    before = snapshot(layer)
    for inputs in refused:
        for operands in (inputs, as_nodes(inputs)):
            with pytest.raises(ShapeError) as caught:
                layer(*operands)
            message = str(caught.value)
            assert any(name in message.lower().replace("_", "") for name in names), message
            assert any(told in message for told in _shapes(inputs)), message
    np.testing.assert_equal(snapshot(layer), before)


def _shapes(inputs: Any) -> list[str]:
    """The shapes of inputs as a message may put them."""
    if isinstance(inputs[0], list):  # one sample for a layer of Values
        return [f"{len(inputs[0])} inputs"]
    shapes = [str(np.shape(x)) for x in leaves(inputs)]
    return [*shapes, "0-dimensional"] if "()" in shapes else shapes


# State


@every_case
@in_both_modes
def test_a_state_dict_makes_another_layer_the_same_to_the_bit(case, training):
    layer, inputs, _ = case.sample()
    train(layer, inputs, 2)
    other = disturbed(case.sample().layer)
    other.load_state_dict(layer.state_dict())
    np.testing.assert_equal(snapshot(other), snapshot(layer))
    expected = raw(layer.train(training)(*inputs))
    np.testing.assert_equal(raw(other.train(training)(*inputs)), expected)


@every_case
def test_training_resumes_to_the_bit(case):
    straight, inputs, _ = case.sample()
    train(straight, inputs, 6)
    first = case.sample().layer
    train(first, inputs, 3)
    second = disturbed(case.sample().layer)
    second.load_state_dict(first.state_dict())
    train(second, inputs, 3)
    np.testing.assert_equal(snapshot(second), snapshot(straight))


# Layers of arrays


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(case, dtype):
    layer, inputs, _ = case.sample(dtype)
    for training in (True, False):
        layer.train(training)
        for operands in (inputs, as_nodes(inputs)):
            assert {x.dtype for x in raw(layer(*operands))} == {np.dtype(dtype)}
        assert {g.dtype for g in gradients(layer, inputs)} <= {np.dtype(dtype)}
    floats = [x for x in found_in(layer, Buffer) if is_float(x.data)]
    assert {x.dtype for x in floats} <= {np.dtype(dtype)}


@every_layer
@in_both_modes
def test_float32_is_as_precise_as_it_can(case, training):
    narrow, inputs, _ = case.sample(np.float32)
    wide = case.sample().layer
    if found_in(wide, np.random.Generator) and training:
        pytest.skip("draws other numbers")
    for p, q in zip(wide.parameters(), narrow.parameters()):
        p.data = q.data.astype(np.float64)
    widened = map_structure(lambda x: x.astype(np.float64) if is_float(x) else x, inputs)
    for x, y in zip(
        raw(narrow.train(training)(*inputs)), raw(wide.train(training)(*widened)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    for x, y in zip(gradients(narrow, inputs), gradients(wide, widened), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@every_layer
def test_plain_arrays_and_nodes_give_the_same_numbers(case):
    layer, inputs, _ = case.sample()
    np.testing.assert_equal(raw(layer(*inputs)), numbers(case))


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_and_whole_numbers_are_taken_as_floats(case, dtype):
    layer, inputs, _ = case.sample(dtype)
    whole = map_structure(lambda x: np.rint(2.0 * x) + 0.0 if is_float(x) else x, inputs)
    lists = map_structure(lambda x: x.tolist() if isinstance(x, np.ndarray) else x, whole)
    ints = map_structure(lambda x: x.astype(int) if is_float(x) else x, whole)
    expected = raw(layer(*whole))
    for operands in (lists, ints):
        out = case.sample(dtype).layer(*operands)
        out = [np.array(out)] if out is operands[0] else raw(out)  # of one that does nothing
        for x, y in zip(out, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5 if dtype is np.float32 else 1e-12, atol=1e-7)
        if layer.parameters():  # without parameters, whole numbers have no dtype to take
            assert {x.dtype for x in out} == {np.dtype(dtype)}


@every_layer
def test_the_inputs_are_left_alone(case):
    layer, inputs, _ = case.sample()
    before = copy.deepcopy(inputs)
    gradients(layer, inputs)
    np.testing.assert_equal(raw(inputs), raw(before))


def _spread(x: np.ndarray) -> np.ndarray:
    """The same numbers with gaps between them in memory."""
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def _backwards(x: np.ndarray) -> np.ndarray:
    """The same numbers, in memory in opposite order."""
    back = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[back])[back]


def _locked(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _each_array(inputs: Any, f: Any) -> Any:
    return map_structure(lambda x: f(x) if isinstance(x, np.ndarray) else x, inputs)


def _emptied(inputs: Any, axis: int) -> Any:
    """Inputs of length 0 along an axis, where they have it."""
    return _each_array(inputs, lambda x: np.take(x, [], axis) if x.ndim > max(axis, 0) else x)


@every_layer_of_arrays
def test_how_numbers_lie_in_memory_does_not_matter(case):
    layer, inputs, _ = case.sample()
    expected, results = gradients(layer, inputs), numbers(case)
    for laid_out in (np.asfortranarray, _spread, _backwards, _locked):
        other, where = _each_array(inputs, laid_out), laid_out.__name__
        for x, y in zip(gradients(case.sample().layer, other), expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13, err_msg=where)
        for x, y in zip(raw(case.sample().layer(*other)), results, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14, err_msg=where)


@every_layer_of_arrays
@in_both_modes
def test_axes_of_length_0_work_or_are_refused(case, training):
    for axis in (0, 1, -1):
        layer, inputs, _ = case.sample()
        layer.train(training)
        before = snapshot(layer)
        try:
            found = gradients(layer, _emptied(inputs, axis))
        except ShapeError:
            np.testing.assert_equal(snapshot(layer), before, err_msg=f"axis {axis}")
        else:
            assert all(np.isfinite(g).all() for g in found), f"axis {axis}"


# As torch's


@functools.cache
def golden(name: str) -> dict[str, np.ndarray]:
    path = GOLDEN / f"{name}.npz"
    if not path.exists():
        pytest.fail(
            f"nn.{name} has no golden file: run tests/golden/make_layers.py {name}, or say in "
            "WITHOUT_TWIN of layer_cases.py why torch has no such layer"
        )
    with np.load(path) as file:
        return dict(file)


def part(arrays: dict[str, np.ndarray], beginning: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(beginning): x for k, x in arrays.items() if k.startswith(beginning)}


def run(layer: nn.Module, inputs: Any) -> dict[str, np.ndarray]:
    """Results, gradients by inputs and parameters, and buffers after it: as in a golden file."""
    nodes = as_nodes(inputs)
    out = layer(*nodes)
    layer.zero_grad()
    weighted(out).backward()
    found = {f"output {i}": y for i, y in enumerate(raw(out))}
    places = enumerate(leaves(nodes))
    found |= {f"gradient of input {i}": x.grad for i, x in places if isinstance(x, Node)}
    found |= {f"gradient of {name}": p.grad for name, p in layer.named_parameters()}
    return found | {name: buffer.data for name, buffer in layer.named_buffers()}


@pytest.mark.parametrize(
    "case", [c for c in ARRAYS if c.kind.__name__ not in WITHOUT_TWIN], ids=str
)
def test_results_and_gradients_are_torchs(case):
    layer, inputs, _ = case.sample()
    name = case.kind.__name__
    recorded = golden(name)
    try:
        np.testing.assert_equal(given(layer, inputs), part(recorded, f"{case.number}/given/"))
    except AssertionError as error:
        pytest.fail(
            f"the golden file of nn.{name} was made from other samples than it has now: "
            f"run tests/golden/make_layers.py {name}\n{error}"
        )
    rtol = 5e-8 if name in ROUNDED_BY_TORCH else 1e-10
    for mode in modes(layer):
        found = run(layer.train(mode == "train"), inputs)
        for key, expected in part(recorded, f"{case.number}/{mode}/").items():
            np.testing.assert_allclose(
                found[key], expected, rtol=rtol, atol=1e-12, err_msg=f"{mode}: {key}"
            )


def test_golden_files_and_reasons_are_of_layers_there_are():
    names = {kind.__name__ for kind in exported(nn)}
    assert set(WITHOUT_TWIN) <= names
    assert {path.stem for path in GOLDEN.glob("*.npz")} == names - set(WITHOUT_TWIN)


# Layers of Values


@every_scalar_layer
def test_scalar_layers_take_numbers_values_and_rows(case):
    layer = case.sample().layer
    expected = raw(layer([Value(1.0), Value(-2.0), Value(0.5)]))
    row = np.array([1.0, -2.0, 0.5])
    for x in ([1.0, -2.0, 0.5], (1, -2, 0.5), row, row.astype(np.float32), Tensor(row)):
        out = layer(x)
        np.testing.assert_array_equal(raw(out), expected)
        assert {type(y) for y in leaves(out)} == {Value}


@every_scalar_layer
@pytest.mark.parametrize("x", [1.0, np.zeros((2, 3)), np.float64(2.0), None])
def test_what_is_not_one_sample_is_refused(case, x):
    with pytest.raises(ShapeError, match=r"take one sample.*\[model\(row\) for row in X\]"):
        case.sample().layer(x)


@every_scalar_layer
def test_a_tensor_of_inputs_gets_its_gradient(case):
    layer = case.sample().layer
    x = Tensor([1.0, -2.0, 0.5])
    values = [Value(1.0), Value(-2.0), Value(0.5)]
    weighted(layer(x)).backward()
    weighted(layer(values)).backward()
    np.testing.assert_allclose(x.grad, [v.grad for v in values], rtol=1e-15)
