"""A compiled program says what its entries are called, and what its results become."""

import functools
import re

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.compiler.tracing.argument_names import argument_names
from microgradopt.compiler.wiring import Tie
from microgradopt.errors import UsageError


@pytest.mark.parametrize(
    ("function", "args", "options", "names"),
    [
        (lambda x, y: x, (1.0, 2.0), {}, ["x", "y"]),
        (lambda x, *, k: x, (1.0,), {"k": 2.0}, ["x", "k"]),
        (lambda x, *rest: x, (1.0, 2.0, 3.0), {}, ["x", "rest[0]", "rest[1]"]),
        (lambda **all: all, (), {"b": 1.0, "a": 2.0}, ["b", "a"]),
        (lambda batch: 0, ((1.0, [2.0, None]),), {}, ["batch[0]", "batch[1][0]"]),
        (lambda p: 0, ({"W": 1.0, "b": {"c": 2.0}},), {}, ["p['W']", "p['b']['c']"]),
        (min, (1.0, 2.0), {}, ["x[0]", "x[1]"]),  # no signature
        (functools.partial(lambda a, b: a, 1.0), (2.0,), {}, ["b"]),
    ],
)
def test_names_of_arguments(function, args, options, names):
    assert list(argument_names(function, args, options)) == names


def test_the_source_calls_arguments_as_the_user_does():
    @mg.jit(backend="numpy")
    def f(images, *, scale):
        return images * scale

    for _ in range(2):
        f(np.ones(2), scale=3.0)
    assert "images, scale = entries" in f.source()


def test_the_source_says_what_results_become():
    w, steps = Tensor(np.ones(2), name="w"), Value(0.0, requires_grad=False)
    optimizer = optim.SGD([("w", w)], lr=0.1, momentum=0.9)

    @mg.jit(backend="numpy")
    def step(x):
        loss = mg.sum((w - x) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.data = steps.data + 1.0
        return loss, steps.data * 2.0

    for _ in range(3):
        step(np.zeros(2))
    words = set(re.findall(r"\w+", step.source()))
    assert {
        "grad_w", "new_w", "momentum_buffer_w", "new_momentum_buffer_w", "steps", "new_steps",
        "new_leaf", "result_0", "result_1",
    } <= words  # fmt: skip


def test_an_entry_that_is_returned_keeps_its_name():
    nameless = Value(1.0)

    @mg.jit
    def f(x):
        return x, nameless.data

    for _ in range(2):
        f(2.0)
    assert [x.name for x in f.program.entries] == ["x", None]


def test_a_node_keeps_its_own_name():
    @mg.jit
    def f(x, y):
        return x + y

    for _ in range(2):
        f(Value(1.0, name="mine", requires_grad=False), Value(1.0, requires_grad=False))
    assert [tie.name for tie in f.program.sources] == ["mine", "y"]


def test_a_training_step_is_tied_to_arguments_leaves_and_state():
    w = Tensor(np.ones(2), name="w")
    shift = Tensor(np.ones(2), name="shift", requires_grad=False)
    optimizer = optim.SGD([("w", w)], lr=0.1, momentum=0.9)

    @mg.jit
    def step(x):
        loss = mg.sum((w - x) ** 2 + shift)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, {"last": x}

    for _ in range(3):
        step(np.zeros(2))
    program = step.program
    assert program.name == "step"
    assert len(program.sources) == len(program.entries)
    assert len(program.targets) == len(program.results)
    sources = {tie.where: tie for tie in program.sources}
    assert sources["x"] == Tie("argument", "x", "", "x")
    assert sources["w.data"] == Tie("parameter", "w", "", "w.data")
    assert sources["shift.data"].role == "fixed"
    assert sources["SGD.steps"] == Tie("state", "steps", "SGD", "SGD.steps")
    momentum = next(tie for tie in program.sources if tie.name == "momentum_buffer")
    assert (momentum.of, momentum.role) == ("w", "state")
    written = {tie.where for ties in program.targets for tie in ties}
    assert {"w.data", "w.grad", "SGD.steps", momentum.where} <= written
    assert {"returned[0]", "returned[0].grad", "returned[1]['last']"} <= written


def test_entries_and_ties_have_the_same_order():
    model = nn.Linear(2, 1, rng=0)
    model.weight.grad = np.ones((1, 2))

    @mg.jit
    def f(x, y):
        model.weight.grad = model.weight.grad + 1.0
        return model(x) * y

    for _ in range(2):
        f(np.ones((4, 2)), 3.0)
    shapes = {
        tie.where: x.shape for tie, x in zip(f.program.sources, f.program.entries, strict=True)
    }
    names = {
        "x": (4, 2), "y": (), "weight.data": (1, 2), "bias.data": (1,), "weight.grad": (1, 2),
    }  # fmt: skip
    assert shapes == names


def test_unnamed_leaves():
    w = Value(1.0)

    @mg.jit
    def f():
        w.data = w.data * 2.0
        return w.data

    for _ in range(2):
        f()
    (tie,) = f.program.sources
    assert tie == Tie("parameter", "", "", "a leaf.data")
    assert sorted(t.where for ties in f.program.targets for t in ties) == [
        "a leaf.data",
        "returned",
    ]


def test_there_is_no_program_before_the_first_call():
    with pytest.raises(UsageError, match="call it first"):
        _ = mg.jit(lambda x: x).program
