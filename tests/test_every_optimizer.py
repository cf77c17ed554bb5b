"""Every optimizer that ``optim`` exports, found by itself, through the same checks.

A new optimizer needs one line in ``OPTIONS``: arguments with which it solves a small quadratic.
"""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest

from microgradopt import Tensor, Value, optim
from microgradopt.errors import DTypeError, GraphError, NonFiniteError, ShapeError, UsageError

OPTIONS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.05, "momentum": 0.8},
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.5},
        {"lr": 0.05, "momentum": 0.8, "nesterov": True},
        {"lr": lambda step: 0.2 / math.sqrt(step)},
    ],
}
MAY_BE_NEGATIVE = {("SGD", "dampening")}  # as in torch


def exported() -> list[str]:
    things = {name: getattr(optim, name) for name in optim.__all__}
    return sorted(
        name
        for name, x in things.items()
        if inspect.isclass(x) and issubclass(x, optim.Optimizer) and x is not optim.Optimizer
    )


CASES = [
    pytest.param(getattr(optim, name), options, id=f"{name}{i}")
    for name in exported()
    for i, options in enumerate(OPTIONS.get(name, []))
]
NUMBERS = [  # every argument of every optimizer that is a number
    pytest.param(getattr(optim, name), argument, id=f"{name}-{argument}")
    for name in exported()
    for argument, p in inspect.signature(getattr(optim, name)).parameters.items()
    if type(p.default) is float
]
every_case = pytest.mark.parametrize(("kind", "options"), CASES)
every_kind = pytest.mark.parametrize("kind", [getattr(optim, name) for name in exported()])
every_number = pytest.mark.parametrize(("kind", "argument"), NUMBERS)


@pytest.mark.parametrize("name", exported())
def test_every_exported_optimizer_is_in_the_table(name):
    assert name in OPTIONS, f"optim.{name} is not tested: add a line for it to OPTIONS"


def bowl(x, y):
    """A quadratic with its minimum at x = 3, y = (1, −2)."""
    away = y - np.array([1.0, -2.0], y.dtype)
    return (x - 3.0) ** 2 + (away * away * np.array([1.0, 4.0], y.dtype)).sum()


def start(dtype=np.float64):
    return Value(0.0, name="x"), Tensor([0.5, 0.5], dtype=dtype, name="y")


def run(optimizer, x, y, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        bowl(x, y).backward()
        optimizer.step()


def snapshot(optimizer):
    data = {name: np.copy(p.data) for name, p in optimizer.params.items()}
    return copy.deepcopy((data, optimizer.state, optimizer.steps))


def same(a, b):
    """Whether two nested structures of numbers and arrays are equal."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b)


# What it does


@every_case
def test_it_finds_the_minimum_of_a_quadratic(kind, options):
    x, y = start()
    run(kind([x, y], **options), x, y, 300)
    assert abs(x.data - 3.0) < 1e-3
    np.testing.assert_allclose(y.data, [1.0, -2.0], atol=1e-3)


@every_case
def test_float32_stays_float32_and_values_stay_floats(kind, options):
    x, y = start(np.float32)
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 300)
    assert y.data.dtype == np.float32
    assert type(x.data) is float
    kept = [s for s in _leaves(optimizer.state) if isinstance(s, np.ndarray)]
    assert all(s.dtype == np.float32 for s in kept)
    np.testing.assert_allclose(y.data, [1.0, -2.0], atol=1e-3)


def _leaves(tree):
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in _leaves(branch)]
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in _leaves(branch)]
    return [tree]


@every_case
@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_numpys_own_numbers_do_not_widen_float32(kind, options, number):
    given = {k: number(v) if type(v) is float else v for k, v in options.items()}
    x, y = start(np.float32)
    run(kind([x, y], **given), x, y, 3)
    assert y.data.dtype == np.float32
    assert type(x.data) is float


@every_number
@pytest.mark.parametrize("number", [float, np.float64, np.float32])
def test_any_number_may_be_a_schedule(kind, argument, number):
    x, y = start(np.float32)
    run(kind([x, y], **{"lr": 0.1, argument: lambda step: number(0.125)}), x, y, 4)
    a, b = start(np.float32)
    run(kind([a, b], **{"lr": 0.1, argument: 0.125}), a, b, 4)
    assert (type(x.data), y.data.dtype) == (float, np.float32)
    assert x.data == a.data
    np.testing.assert_array_equal(y.data, b.data)


@every_kind
def test_a_schedule_is_asked_with_steps_from_one(kind):
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1

    x, y = start()
    run(kind([x, y], lr=rate), x, y, 3)
    assert asked == [1, 2, 3]


@every_case
def test_a_zero_dimensional_tensor_stays_an_array(kind, options):
    p = Tensor(1.0, dtype=np.float32)
    optimizer = kind([p], **options)
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).backward()
        optimizer.step()
    assert type(p.data) is np.ndarray
    assert (p.data.shape, p.data.dtype) == ((), np.float32)


@every_case
def test_a_parameter_without_a_gradient_takes_no_part(kind, options):
    x, y = start()
    idle = Tensor([7.0], name="idle")
    alone_x, alone_y = start()
    run(kind([x, idle, y], **options), x, y, 5)
    run(kind([alone_x, alone_y], **options), alone_x, alone_y, 5)
    assert idle.data == [7.0]
    assert x.data == alone_x.data
    np.testing.assert_array_equal(y.data, alone_y.data)


@every_case
def test_a_parameter_that_joins_late_is_moved(kind, options):
    x, y = start()
    optimizer = kind([x, y], **options)
    for _ in range(3):
        optimizer.zero_grad()
        ((x - 3.0) ** 2).backward()
        optimizer.step()
    run(optimizer, x, y, 1)
    assert not np.array_equal(y.data, [0.5, 0.5])


@every_case
def test_parameters_are_replaced_not_written_into(kind, options):
    x, y = start()
    before = y.data
    run(kind([x, y], **options), x, y, 2)
    np.testing.assert_array_equal(before, [0.5, 0.5])


@every_case
def test_gradients_written_in_place_afterwards_change_nothing(kind, options):
    x, y = start()
    a, b = start()
    optimizer, other = kind([x, y], **options), kind([a, b], **options)
    for _ in range(4):
        run(optimizer, x, y, 1)
        y.grad[:] = 1e9
        run(other, a, b, 1)
    np.testing.assert_array_equal(y.data, b.data)


@every_case
def test_a_step_makes_older_graphs_stale(kind, options):
    x, y = start()
    loss = bowl(x, y)
    loss.backward()
    kind([x, y], **options).step()
    with pytest.raises(GraphError, match="assigned"):
        loss.backward()


@every_kind
def test_the_closure_comes_first_and_its_result_comes_back(kind):
    x, y = start()
    optimizer = kind([x, y])

    def closure():
        optimizer.zero_grad()
        loss = bowl(x, y)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == bowl(*start()).item()
    assert optimizer.steps == 1
    assert x.data != 0.0
    assert optimizer.step() is None


@every_kind
def test_zero_grad_sets_none(kind):
    x, y = start()
    optimizer = kind([x, y])
    bowl(x, y).backward()
    optimizer.zero_grad()
    assert x.grad is None
    assert y.grad is None


@every_case
def test_a_deep_copy_goes_on_by_itself(kind, options):
    x, y = start()
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 3)
    before = snapshot(optimizer)
    other = copy.deepcopy(optimizer)
    run(other, other.params["x"], other.params["y"], 3)
    assert same(snapshot(optimizer), before)
    run(optimizer, x, y, 3)
    assert same(snapshot(optimizer), snapshot(other))


@every_kind
def test_repr_counts(kind):
    x, y = start()
    optimizer = kind([x, y])
    run(optimizer, x, y, 2)
    assert repr(optimizer) == f"{kind.__name__}(2 parameters, 2 steps taken)"


# What it refuses


@every_number
@pytest.mark.parametrize(
    "bad", [-math.inf, math.nan, math.inf, "0.1", True, None, 1j, [0.1], np.array([0.1])]
)
def test_a_bad_number_is_named(kind, argument, bad):
    p = Value(1.0)
    with pytest.raises(UsageError) as caught:
        kind([p], **{argument: bad})
    assert str(caught.value).startswith(f"{kind.__name__}: {argument} must be")
    assert repr(bad) in str(caught.value)
    assert p.data == 1.0


@pytest.mark.parametrize(
    ("kind", "argument"),
    [c for c in NUMBERS if (c.values[0].__name__, c.values[1]) not in MAY_BE_NEGATIVE],
)
def test_a_negative_number_is_refused(kind, argument):
    with pytest.raises(UsageError, match=rf"{argument} must be finite, at least 0; got -0\.1"):
        kind([Value(1.0)], **{argument: -0.1})


@every_kind
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "0.1", True, None, np.array([0.1, 0.2])])
def test_a_schedule_that_gives_nonsense_changes_nothing(kind, bad):
    x, y = start()
    optimizer = kind([x, y], lr=lambda step: 0.1 if step < 3 else bad)
    run(optimizer, x, y, 2)
    before = snapshot(optimizer)
    with pytest.raises(UsageError, match="its value at step 3 must be") as caught:
        run(optimizer, x, y, 1)
    assert repr(bad) in str(caught.value)
    assert same(snapshot(optimizer), before)


@every_case
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_gradient_that_is_not_finite_changes_nothing(kind, options, bad, which):
    x, y = start()
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 2)
    before = snapshot(optimizer)
    if which == "x":
        x.grad = bad
    else:
        y.grad[1] = bad
    with pytest.raises(NonFiniteError, match=f"gradient of '{which}' has 1 entr"):
        optimizer.step()
    assert same(snapshot(optimizer), before)


@every_kind
def test_a_huge_finite_gradient_passes_without_a_warning(kind):
    p = Tensor([1e200, -1e200])
    optimizer = kind([p], lr=0.5)
    p.grad = np.array([1e200, 1e-200])
    optimizer.step()
    assert p.data[0] < 1e200


@every_kind
@pytest.mark.parametrize(
    ("gradient", "error"),
    [
        (np.zeros(3), ShapeError),
        (np.zeros((2, 1)), ShapeError),
        (1.0, ShapeError),
        (np.zeros(2, complex), DTypeError),
        (np.array(["a", "b"]), DTypeError),
    ],
)
def test_a_gradient_of_another_form_changes_nothing(kind, gradient, error):
    x, y = start()
    optimizer = kind([x, y])
    x.grad, y.grad = 1.0, gradient
    with pytest.raises(error, match="gradient of 'y'"):
        optimizer.step()
    assert (x.data, y.data.tolist(), optimizer.steps) == (0.0, [0.5, 0.5], 0)


@every_kind
@pytest.mark.parametrize("bad", ["1.0", np.array([1.0, 2.0]), 1j])
def test_a_gradient_no_value_has_changes_nothing(kind, bad):
    x, y = start()
    optimizer = kind([y, x])
    x.grad, y.grad = bad, np.ones(2)
    with pytest.raises((DTypeError, ShapeError), match="gradient of 'x'"):
        optimizer.step()
    assert (x.data, y.data.tolist(), optimizer.steps) == (0.0, [0.5, 0.5], 0)


@every_kind
def test_a_gradient_of_another_dtype_takes_that_of_the_parameter(kind):
    p, q = Tensor([1.0, 2.0], dtype=np.float32), Tensor([1.0, 2.0])
    optimizer = kind([p, q])
    p.grad, q.grad = np.array([1.0, 2.0]), [1, 2]
    optimizer.step()
    assert (p.data.dtype, q.data.dtype) == (np.float32, np.float64)


BAD_PARAMETERS = {
    "an empty list": (lambda p: [], UsageError, "params is empty"),
    "a used generator": (lambda p: iter(()), UsageError, "params is empty; a generator"),
    "a bare node": (lambda p: p, UsageError, r"write \w+\(\[p\]"),
    "a dict": (lambda p: {"p": p}, UsageError, "got dict"),
    "a module": (lambda p: object(), UsageError, r"model\.parameters\(\)"),
    "nothing": (lambda p: None, UsageError, "got NoneType"),
    "a string": (lambda p: "p", UsageError, "got str"),
    "numbers": (lambda p: [1.0], DTypeError, r"must be a Value or Tensor.*got 1\.0"),
    "an array": (lambda p: np.zeros(2), DTypeError, "must be a Value or Tensor"),
    "lists": (lambda p: [[p]], DTypeError, "must be a Value or Tensor"),
    "a pair of nodes": (lambda p: [(p, p)], DTypeError, r"pair \(name, parameter\)"),
    "a pair without a node": (lambda p: [("p", 1.0)], DTypeError, "must be a Value or Tensor"),
    "a result": (lambda p: [p * 2.0], UsageError, "made by 'multiply'.* is not a leaf"),
    "a constant": (lambda p: [p.detach()], UsageError, "leaf that requires a gradient"),
    "the same twice": (lambda p: [p, p], UsageError, "'p'.* is in params twice"),
    "the same named twice": (lambda p: [("a", p), ("b", p)], UsageError, "is in params twice"),
}


@every_kind
@pytest.mark.parametrize("node", [Value(1.0, name="p"), Tensor([1.0, 2.0], name="p")], ids=repr)
@pytest.mark.parametrize("what", BAD_PARAMETERS)
def test_bad_parameters_are_refused(kind, node, what):
    make, error, message = BAD_PARAMETERS[what]
    before = np.copy(node.data)
    with pytest.raises(error, match=message) as caught:
        kind(make(node), lr=0.1)
    assert str(caught.value).startswith(kind.__name__)
    np.testing.assert_array_equal(node.data, before)


@every_kind
@pytest.mark.parametrize(
    "names", [("2.x", "x", "x"), ("1", None, "1"), ("x", "x", "x"), ("1.1", "1", None)]
)
def test_parameters_of_equal_names_are_all_moved(kind, names):
    parameters = [Value(1.0, name=name) for name in names]
    optimizer = kind(parameters, lr=0.1)
    assert list(optimizer.params.values()) == parameters
    for p in parameters:
        p.grad = 1.0
    optimizer.step()
    assert all(p.data < 1.0 for p in parameters)


@every_kind
def test_names_come_from_pairs_then_nodes_then_places(kind):
    a, b, c = Value(1.0, name="a"), Value(2.0, name="b"), Value(3.0)
    assert list(kind([("first", a), b, c]).params) == ["first", "b", "2"]
    assert list(kind(iter([a, b])).params) == ["a", "b"]
