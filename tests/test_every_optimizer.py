"""Every optimizer that ``optim`` exports, found by itself, through the same checks.

A new optimizer brings its ``samples``: arguments with which it solves a small quadratic.
"""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import re
from functools import partial

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, optim
from microgradopt.engine.graph import Node
from microgradopt.errors import (
    DTypeError,
    GraphError,
    MicrogradoptError,
    NonFiniteError,
    ShapeError,
    UsageError,
)

MAY_BE_NEGATIVE = {("SGD", "dampening"), ("Adafactor", "beta2_decay")}  # as in torch
WITHIN = {"d": 1.5, "beta2_decay": -0.5}  # a number in an argument's range, where 1/8 is not


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
    for i, options in enumerate(getattr(optim, name).samples)
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
def test_every_exported_optimizer_has_samples(name):
    samples = getattr(optim, name).__dict__.get("samples")
    assert samples, f"optim.{name} is not tested: give the class samples = ({{...}}, ...)"


def bowl(x, y):
    """A quadratic with its minimum at x = 3, y = (1, −2)."""
    away = y - np.array([1.0, -2.0], y.dtype)
    return mg.sum((x - 3.0) ** 2) + (away * away * np.array([1.0, 4.0], y.dtype)).sum()


def start(kind, dtype=np.float64):
    if kind.only_matrices:
        x, y = Tensor([[0.0]], name="x"), Tensor([[0.5, 0.5]], dtype=dtype, name="y")
    else:
        x, y = Value(0.0, name="x"), Tensor([0.5, 0.5], dtype=dtype, name="y")
    return x, y


def tensor(kind, data, **options):
    """A Tensor of a shape that the optimizer takes."""
    return Tensor(np.atleast_2d(data) if kind.only_matrices else data, **options)


def value(kind, number=1.0, name=None):
    return Tensor([[number]], name=name) if kind.only_matrices else Value(number, name=name)


def run(optimizer, x, y, steps, loss=bowl):
    def closure():
        optimizer.zero_grad()
        found = loss(x, y)
        found.backward()
        return found

    if hasattr(optimizer, "train"):
        optimizer.train()
    for _ in range(steps):
        optimizer.step(closure)
    if hasattr(optimizer, "eval"):
        optimizer.eval()


def step(optimizer):
    """A step along the gradients that are there."""
    return optimizer.step((lambda: None) if optimizer.needs_closure else None)


def snapshot(optimizer):
    data = {name: np.copy(p.data) for name, p in optimizer.params.items()}
    return copy.deepcopy((data, optimizer.state_dict()))


def same(a, b):
    """Whether two nested structures of numbers, words and arrays are equal, bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and np.array_equal(a, b, equal_nan=isinstance(a, np.ndarray))


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def constant(number):
    """A schedule that can be pickled."""
    return partial(lambda_of, number)


def lambda_of(number, step):
    return number


# What it does


@every_case
def test_it_finds_the_minimum_of_a_quadratic(kind, options):
    x, y = start(kind)
    run(kind([x, y], **options), x, y, 300)
    assert abs(x.item() - 3.0) < 1e-3
    np.testing.assert_allclose(np.ravel(y.data), [1.0, -2.0], atol=1e-3)


@every_case
def test_float32_stays_float32_and_values_stay_floats(kind, options):
    x, y = start(kind, np.float32)
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 300)
    assert y.data.dtype == np.float32
    assert type(x.data) is (np.ndarray if kind.only_matrices else float)
    kept = [s for s in leaves(optimizer.state) if np.shape(s) == y.shape]
    assert all(s.dtype == np.float32 for s in kept)
    np.testing.assert_allclose(np.ravel(y.data), [1.0, -2.0], atol=2e-3)


@every_case
def test_float32_and_float64_agree(kind, options):
    (x, y), (a, b) = start(kind, np.float32), start(kind)
    run(kind([x, y], **options), x, y, 5)
    run(kind([a, b], **options), a, b, 5)
    np.testing.assert_allclose(y.data, b.data, rtol=2e-4, atol=2e-5)


@every_case
def test_it_does_the_same_to_each_of_many_parameters_as_to_one(kind, options):
    together = [start(kind) for _ in range(3)]
    run(
        kind([p for pair in together for p in pair], **options),
        *zip(*together),
        4,
        loss=lambda xs, ys: sum(map(bowl, xs, ys)),
    )
    for x, y in together[1:]:
        np.testing.assert_array_equal(x.data, together[0][0].data)
        np.testing.assert_array_equal(y.data, together[0][1].data)


@every_case
@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_numpys_own_numbers_do_not_widen_float32(kind, options, number):
    given = {k: number(v) if type(v) is float else v for k, v in options.items()}
    x, y = start(kind, np.float32)
    optimizer = kind([x, y], **given)
    run(optimizer, x, y, 3)
    assert y.data.dtype == np.float32
    assert all(s.dtype == np.float32 for s in leaves(optimizer.state) if np.shape(s) == y.shape)


@every_number
@pytest.mark.parametrize("number", [float, np.float64, np.float32])
def test_any_number_may_be_a_schedule(kind, argument, number):
    given = WITHIN.get(argument, 0.125)
    x, y = start(kind, np.float32)
    run(kind([x, y], **{"lr": 0.1, argument: lambda step: number(given)}), x, y, 4)
    a, b = start(kind, np.float32)
    run(kind([a, b], **{"lr": 0.1, argument: given}), a, b, 4)
    assert y.data.dtype == np.float32
    np.testing.assert_array_equal(x.data, a.data)
    np.testing.assert_array_equal(y.data, b.data)


@every_kind
def test_a_schedule_is_asked_with_steps_from_one(kind):
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1

    x, y = start(kind)
    run(kind([x, y], lr=rate), x, y, 3)
    assert sorted(set(asked)) == [1, 2, 3]
    assert asked == sorted(asked)


@every_case
def test_a_rate_set_by_hand_is_used_from_then_on(kind, options):
    x, y = start(kind)
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 3)
    a, b = start(kind)
    scheduled = kind([a, b], **{**options, "lr": lambda step: 0.01 if step > 3 else rate})
    rate = optimizer.param_groups[0]["lr"]
    if callable(rate):
        rate = 0.1
    optimizer = kind([*start(kind)], **{**options, "lr": rate})
    x, y = optimizer.params.values()
    run(optimizer, x, y, 3)
    optimizer.param_groups[0]["lr"] = 0.01
    run(optimizer, x, y, 3)
    run(scheduled, a, b, 6)
    np.testing.assert_array_equal(y.data, b.data)


@every_kind
def test_groups_have_options_of_their_own(kind):
    x, y = start(kind)
    optimizer = kind([{"params": [x], "lr": 0.05}, {"params": [y]}], lr=0.1)
    assert [g["lr"] for g in optimizer.param_groups] == [0.05, 0.1]
    assert [g["names"] for g in optimizer.param_groups] == [["x"], ["y"]]
    alone, _ = start(kind)
    run(optimizer, x, y, 3, loss=lambda x, y: mg.sum((x - 3.0) ** 2))
    run(kind([alone], lr=0.05), alone, y, 3, loss=lambda x, y: mg.sum((x - 3.0) ** 2))
    if kind is not getattr(optim, "Prodigy", None):  # which measures a group as one
        np.testing.assert_array_equal(x.data, alone.data)
    with pytest.raises(UsageError, match="has the option 'rate'"):
        optimizer.add_param_group({"params": [value(kind)], "rate": 1.0})
    with pytest.raises(UsageError, match="is in params twice"):
        optimizer.add_param_group({"params": [x]})
    assert len(optimizer.param_groups) == 2


@every_kind
def test_weight_decay_can_leave_biases_alone(kind):
    if kind.only_matrices or "weight_decay" not in inspect.signature(kind).parameters:
        with pytest.raises((UsageError, TypeError), match="no_decay"):
            kind([Value(1.0)], no_decay="biases")
        return
    W, b = Tensor([[1.0, 2.0]], name="W"), Tensor([1.0, 2.0], name="b")
    optimizer = kind([W, b], lr=0.1, weight_decay=0.1, no_decay="biases_and_norms")
    assert [(g["names"], g["weight_decay"]) for g in optimizer.param_groups] == [
        (["W"], 0.1),
        (["b"], 0.0),
    ]
    optimizer = kind([W, b], lr=0.1, weight_decay=0.1, no_decay=lambda name, data: name == "W")
    assert [g["names"] for g in optimizer.param_groups] == [["b"], ["W"]]
    with pytest.raises(UsageError, match="no_decay must be 'biases_and_norms' or a function"):
        kind([W, b], lr=0.1, weight_decay=0.1, no_decay="biases")


@every_case
def test_a_zero_dimensional_tensor_stays_an_array(kind, options):
    p = tensor(kind, 1.0, dtype=np.float32)
    optimizer = kind([p], **options)
    for _ in range(3):
        optimizer.zero_grad()
        mg.sum(p * p).backward()
        step(optimizer)
    assert type(p.data) is np.ndarray
    assert p.data.dtype == np.float32


@every_case
def test_layouts_and_empty_parameters_make_no_difference(kind, options):
    def trained(data):
        p, empty = Tensor(data), Tensor(np.zeros((0, 3)))
        optimizer = kind([p, empty], **options)
        for _ in range(3):
            optimizer.zero_grad()
            (mg.sum(p * p) + mg.sum(empty)).backward()
            p.grad = np.asfortranarray(p.grad) if np.isfortran(data) else p.grad
            step(optimizer)
        return p.data

    data = np.arange(6.0).reshape(2, 3) - 2.5
    np.testing.assert_allclose(trained(np.asfortranarray(data)), trained(data), rtol=1e-12)


@every_case
def test_a_parameter_without_a_gradient_takes_no_part(kind, options):
    x, y = start(kind)
    idle = tensor(kind, [7.0], name="idle")
    alone_x, alone_y = start(kind)
    run(kind([x, idle, y], **options), x, y, 5)
    run(kind([alone_x, alone_y], **options), alone_x, alone_y, 5)
    assert idle.item() == 7.0
    np.testing.assert_array_equal(x.data, alone_x.data)
    np.testing.assert_array_equal(y.data, alone_y.data)


@every_case
def test_a_parameter_that_joins_late_is_moved(kind, options):
    x, y = start(kind)
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 3, loss=lambda x, y: mg.sum((x - 3.0) ** 2))
    assert np.array_equal(np.ravel(y.data), [0.5, 0.5])
    run(optimizer, x, y, 2)
    assert not np.array_equal(np.ravel(y.data), [0.5, 0.5])


@every_case
def test_parameters_are_replaced_not_written_into(kind, options):
    x, y = start(kind)
    before = y.data
    run(kind([x, y], **options), x, y, 2)
    np.testing.assert_array_equal(np.ravel(before), [0.5, 0.5])


@every_case
def test_gradients_written_in_place_afterwards_change_nothing(kind, options):
    x, y = start(kind)
    a, b = start(kind)
    optimizer, other = kind([x, y], **options), kind([a, b], **options)
    for _ in range(4):
        run(optimizer, x, y, 1)
        y.grad[:] = 1e9
        run(other, a, b, 1)
    np.testing.assert_array_equal(y.data, b.data)


@every_case
def test_data_written_in_place_is_seen(kind, options):
    x, y = start(kind)
    a, b = start(kind)
    optimizer, other = kind([x, y], **options), kind([a, b], **options)
    for p, o, q in ((x, optimizer, y), (a, other, b)):
        run(o, p, q, 2)
    y.data[..., 0] = 0.25
    b.data = np.where(np.arange(2) == 0, 0.25, b.data)
    for p, o, q in ((x, optimizer, y), (a, other, b)):
        run(o, p, q, 2)
    np.testing.assert_array_equal(y.data, b.data)


@every_case
def test_an_interrupted_step_is_made_whole(kind, options, monkeypatch):
    finished, stopped = (kind(start(kind), **options) for _ in range(2))
    for optimizer in (finished, stopped):
        run(optimizer, *optimizer.params.values(), 2)
        if hasattr(optimizer, "train"):
            optimizer.train()
        for p in optimizer.params.values():
            p.grad = 0.25 + 0.0 * p.data
    step(finished)
    assign, calls = Node.assign, []
    place = 6 if kind.needs_closure else 2  # after two parameters have gone ahead, and back

    def interrupted(p, new):
        calls.append(p)
        if len(calls) == place:
            raise KeyboardInterrupt
        assign(p, new)

    monkeypatch.setattr(Node, "assign", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step(stopped)
    assert same(snapshot(stopped), snapshot(finished))


@every_case
def test_a_step_makes_older_graphs_stale(kind, options):
    x, y = start(kind)
    loss = bowl(x, y)
    loss.backward()
    step(kind([x, y], **options))
    with pytest.raises(GraphError, match="assigned"):
        loss.backward()


@every_kind
def test_the_closure_comes_first_and_its_result_comes_back(kind):
    x, y = start(kind)
    optimizer = kind([x, y])

    def closure():
        optimizer.zero_grad()
        loss = bowl(x, y)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == bowl(*start(kind)).item()
    assert optimizer.steps == 1
    assert x.item() != 0.0
    assert step(optimizer) is None


@every_kind
def test_zero_grad_sets_none(kind):
    x, y = start(kind)
    optimizer = kind([x, y])
    bowl(x, y).backward()
    optimizer.zero_grad()
    assert x.grad is None
    assert y.grad is None


# Copies and saved states


@every_case
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_on_by_itself(kind, options, copied):
    x, y = start(kind)
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 3)
    before = snapshot(optimizer)
    other = copied(optimizer)
    assert same(snapshot(other), before)
    run(other, other.params["x"], other.params["y"], 3)
    assert same(snapshot(optimizer), before)
    run(optimizer, x, y, 3)
    assert same(snapshot(optimizer), snapshot(other))


@every_case
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_saved_state_goes_on_bit_for_bit(kind, options, dtype):
    straight = kind(start(kind, dtype), **options)
    run(straight, *straight.params.values(), 40)
    first = kind(start(kind, dtype), **options)
    run(first, *first.params.values(), 20)
    second = kind(start(kind, dtype), **options)
    for name, p in second.params.items():
        p.data = first.params[name].data
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(second, *second.params.values(), 20)
    assert same(snapshot(second), snapshot(straight))


@every_case
def test_a_loaded_state_is_a_copy(kind, options):
    first, second = kind(start(kind), **options), kind(start(kind), **options)
    run(first, *first.params.values(), 2)
    state = first.state_dict()
    second.load_state_dict(state)
    kept = snapshot(second)
    for leaf in leaves(state):
        if isinstance(leaf, np.ndarray):
            leaf[...] = np.nan
    assert same(snapshot(second), kept)
    assert all(np.isfinite(leaf).all() for leaf in leaves(first.state) if not isinstance(leaf, str))


def damaged(state):
    """A saved state with one thing in it changed, and what the change was."""
    for path, leaf in places(state):
        for what, bad in (("gone", None), ("a word", "x"), ("an array", np.zeros((7, 3)))):
            if path[-1] in ("names",) or type(leaf) is type(bad):
                continue
            other = copy.deepcopy(state)
            branch = other
            for key in path[:-1]:
                branch = branch[key]
            if what == "gone":
                del branch[path[-1]]
            else:
                branch[path[-1]] = bad
            yield f"{'.'.join(map(str, path))} {what}", other
        if isinstance(leaf, np.ndarray):
            for what, bad in (("reshaped", leaf[None]), ("of another dtype", leaf.astype("f2"))):
                other = copy.deepcopy(state)
                branch = other
                for key in path[:-1]:
                    branch = branch[key]
                branch[path[-1]] = bad
                yield f"{'.'.join(map(str, path))} {what}", other
    yield "another optimizer", {**state, "optimizer": "Other"}
    yield "more", {**state, "more": 1}
    yield "a list", [state]


def places(tree, path=()):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, branch in items:
        if isinstance(branch, (dict, list)) and branch:
            yield from places(branch, (*path, key))
        else:
            yield (*path, key), branch


@every_case
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(kind, options):
    optimizer = kind(start(kind), **options)
    run(optimizer, *optimizer.params.values(), 2)
    before = snapshot(optimizer)
    count = 0
    for what, bad in damaged(optimizer.state_dict()):
        refused = False
        try:
            optimizer.load_state_dict(bad)
        except MicrogradoptError:
            refused = True
        assert refused, f"accepted: {what}"
        assert same(snapshot(optimizer), before), what
        count += 1
    assert count > 10


@every_kind
def test_a_state_of_other_parameters_is_refused(kind):
    x, y = start(kind)
    state = kind([x, y]).state_dict()
    with pytest.raises(UsageError, match="parameters"):
        kind([("a", x), ("b", y)]).load_state_dict(state)
    with pytest.raises(UsageError, match="group"):
        kind([{"params": [x]}, {"params": [y]}]).load_state_dict(state)
    with pytest.raises(UsageError, match="lr is a schedule here and was a number"):
        kind([x, y], lr=constant(0.1)).load_state_dict(state)


@every_kind
def test_repr_counts(kind):
    x, y = start(kind)
    optimizer = kind([x, y])
    run(optimizer, x, y, 2)
    assert repr(optimizer) == f"{kind.__name__}(2 parameters, 2 steps taken)"


@every_case
def test_its_chain_can_be_read(kind, options):
    optimizer = kind(start(kind), **options)
    assert re.fullmatch(r"\w+\(.*\)", repr(optimizer.transform))
    assert " at 0x" not in repr(optimizer.transform)


# What it refuses


@every_number
@pytest.mark.parametrize(
    "bad", [-math.inf, math.nan, math.inf, "0.1", True, None, 1j, [0.1], np.array([0.1])]
)
def test_a_bad_number_is_named(kind, argument, bad):
    p = value(kind)
    with pytest.raises(UsageError) as caught:
        kind([p], **{argument: bad})
    assert str(caught.value).startswith(f"{kind.__name__}: {argument} must be")
    assert repr(bad) in str(caught.value)
    assert p.item() == 1.0


@pytest.mark.parametrize(
    ("kind", "argument"),
    [c for c in NUMBERS if (c.values[0].__name__, c.values[1]) not in MAY_BE_NEGATIVE],
)
def test_a_negative_number_is_refused(kind, argument):
    with pytest.raises(UsageError, match=rf"{argument} must be finite, at least .*; got -0\.1"):
        kind([value(kind)], **{argument: -0.1})


@every_kind
def test_choices_and_pairs_are_checked(kind):
    for name, p in inspect.signature(kind).parameters.items():
        bad = {bool: 1, str: "neither", tuple: (0.1,)}.get(type(p.default))
        if bad is not None:
            with pytest.raises(UsageError, match=name):
                kind([value(kind)], **{name: bad})
        if isinstance(p.default, tuple):
            with pytest.raises(UsageError, match=rf"{name}\[0\] must be"):
                kind([value(kind)], **{name: (-0.5, *p.default[1:])})


@every_kind
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "0.1", True, None, np.array([0.1, 0.2])])
def test_a_schedule_that_gives_nonsense_changes_nothing(kind, bad):
    x, y = start(kind)
    optimizer = kind([x, y], lr=lambda step: 0.1 if step < 3 else bad)
    run(optimizer, x, y, 2)
    if hasattr(optimizer, "train"):
        optimizer.train()
    before = snapshot(optimizer)
    with pytest.raises(UsageError, match="its value at step 3 must be") as caught:
        step(optimizer)
    assert repr(bad) in str(caught.value)
    assert same(snapshot(optimizer), before)


@every_case
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_gradient_that_is_not_finite_changes_nothing(kind, options, bad, which):
    x, y = start(kind)
    optimizer = kind([x, y], **options)
    run(optimizer, x, y, 2)
    spoil(x, y, which, bad)
    if hasattr(optimizer, "train"):
        optimizer.train()
    before = snapshot(optimizer)
    with pytest.raises(NonFiniteError, match=f"gradient of '{which}' has 1 entr"):
        step(optimizer)
    assert same(snapshot(optimizer), before)


def spoil(x, y, which, bad):
    if which == "x":
        x.grad = bad if np.shape(x.data) == () else np.full_like(x.data, bad)
    else:
        y.grad[..., 1] = bad


@every_kind
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_step_may_be_skipped_instead(kind, which):
    x, y = start(kind)
    optimizer = kind([x, y], nonfinite="skip")
    run(optimizer, x, y, 2)
    if hasattr(optimizer, "train"):
        optimizer.train()
    data = {name: np.copy(p.data) for name, p in optimizer.params.items()}
    spoil(x, y, which, math.nan)
    step(optimizer)
    assert (optimizer.steps, optimizer.skipped) == (2, 1)
    assert same({name: np.copy(p.data) for name, p in optimizer.params.items()}, data)
    with pytest.raises(UsageError, match="nonfinite must be one of raise, skip; got 'ignore'"):
        kind([value(kind)], nonfinite="ignore")


@every_kind
def test_a_huge_finite_gradient_passes_without_a_warning(kind):
    p = tensor(kind, [1e200, -1e200])
    optimizer = kind([p], lr=0.5)
    p.grad = np.full(p.shape, 1e200)
    step(optimizer)
    assert optimizer.steps == 1


@every_kind
@pytest.mark.parametrize(
    ("gradient", "error"),
    [
        (np.zeros(3), ShapeError),
        (np.zeros((2, 1)), ShapeError),
        (1.0, ShapeError),
        (np.zeros((1, 2), complex), DTypeError),
        (np.array([["a", "b"]]), DTypeError),
    ],
)
def test_a_gradient_of_another_form_changes_nothing(kind, gradient, error):
    x, y = start(kind)
    optimizer = kind([x, y])
    if error is DTypeError and not kind.only_matrices:
        gradient = gradient[0]
    x.grad, y.grad = np.ones(np.shape(x.data)), gradient
    with pytest.raises(error, match="gradient of 'y'"):
        step(optimizer)
    assert (x.item(), np.ravel(y.data).tolist(), optimizer.steps) == (0.0, [0.5, 0.5], 0)


@every_kind
@pytest.mark.parametrize("bad", ["1.0", np.array([1.0, 2.0]), 1j])
def test_a_gradient_no_value_has_changes_nothing(kind, bad):
    x, y = start(kind)
    optimizer = kind([y, x])
    x.grad, y.grad = bad, np.ones(y.shape)
    with pytest.raises((DTypeError, ShapeError), match="gradient of 'x'"):
        step(optimizer)
    assert (x.item(), np.ravel(y.data).tolist(), optimizer.steps) == (0.0, [0.5, 0.5], 0)


@every_kind
def test_a_gradient_of_another_dtype_takes_that_of_the_parameter(kind):
    p, q = tensor(kind, [1.0, 2.0], dtype=np.float32), tensor(kind, [1.0, 2.0])
    optimizer = kind([p, q])
    p.grad, q.grad = np.array([1.0, 2.0]).reshape(p.shape), np.reshape([1, 2], p.shape).tolist()
    step(optimizer)
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
    "a group among them": (lambda p: [p, {"params": [p]}], UsageError, "all groups, dicts with"),
    "a group of nothing": (lambda p: [{"params": []}], UsageError, "params is empty"),
    "a dict that is no group": (lambda p: [{"p": p}], UsageError, "dicts with 'params'"),
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
    parameters = [value(kind, 1.0, name) for name in names]
    optimizer = kind(parameters, lr=0.1)
    assert list(optimizer.params.values()) == parameters
    for p in parameters:
        p.grad = np.ones(np.shape(p.data))
    step(optimizer)
    assert all(p.item() < 1.0 for p in parameters)


@every_kind
def test_names_come_from_pairs_then_nodes_then_places(kind):
    a, b, c = (value(kind, n, name) for n, name in ((1.0, "a"), (2.0, "b"), (3.0, None)))
    assert list(kind([("first", a), b, c]).params) == ["first", "b", "2"]
    assert list(kind(iter([a, b])).params) == ["a", "b"]
