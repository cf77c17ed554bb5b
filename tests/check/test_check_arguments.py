"""What a check differentiates by: structures, nodes, modules; and what it leaves alone."""

from __future__ import annotations

import threading
from collections import namedtuple

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import check_grads
from microgradopt.check.arguments import Arguments
from microgradopt.check.gradients import examine
from microgradopt.errors import DTypeError, GradientError, UsageError

X = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])
Pair = namedtuple("Pair", "left right")


def places(f, *args):
    return Arguments(f, args).places


def test_the_names_of_leaves():
    tree = {"w": [X, 2.0], 3: Pair(mg.Value(1.0), (X,)), "none": None}
    assert places(lambda t: 0.0, tree) == [
        "argument 0['w'][0]",
        "argument 0['w'][1]",
        "argument 0[3].left",
        "argument 0[3].right[0]",
    ]
    model = mg.nn.MLP(2, [3, 1], rng=0)
    names = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]
    assert places(lambda m: 0.0, [model]) == [f"argument 0[0]: {name}" for name in names]
    assert places(model, X)[:4] == [f"f: {name}" for name in names]
    assert places(model.forward, X)[:4] == [f"f: {name}" for name in names]


def test_structures_and_nodes():
    def f(tree, scale):
        return mg.sum(tree["p"].left * tree["p"].right) * scale

    check_grads(f, {"p": Pair(X, mg.Tensor(X + 1.0))}, np.float32(2.0), order=2)
    check_grads(f, {"p": Pair(X, 2)}, mg.Value(3.0, requires_grad=False))


def test_constants_arrive_as_they_are():
    seen = []

    def f(x, *constants):
        seen.append(constants)
        return x * x

    labels, mask = np.array([1, 2]), np.array([True])
    thing = object()
    report = examine(f, (2.0, labels, mask, True, "mean", None, thing))
    assert {finding.place for finding in report.findings[:1]} == {"argument 0"}
    assert all(c[0] is labels and c[1] is mask and c[5] is thing for c in seen)
    assert seen[0][2:5] == (True, "mean", None)


def test_what_cannot_be_differentiated_is_refused():
    for given, kind in [
        (np.array([1, 2]), DTypeError),
        (np.array([1.0 + 2.0j]), DTypeError),
        (np.array([None]), DTypeError),
        ("a", UsageError),
        (np.array(["a"]), DTypeError),
        (mg.nn.Sequential(mg.relu), UsageError),
    ]:
        with pytest.raises(kind):
            check_grads(lambda x: 1.0, given)


class Noisy(mg.nn.Module):
    """A module with a buffer it changes and a generator it draws from."""

    def __init__(self):
        self.weight = mg.Tensor(X)
        self.calls = 0
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        self.calls += 1
        penalty = sum(mg.sum(p * p) for p in self.parameters())
        return mg.sum(self.weight * x * self.rng.normal(size=3)) * float(self.calls) + penalty


def test_a_module_is_copied_for_every_call_and_left_alone():
    model = Noisy()
    before, state = model.weight, model.rng.bit_generator.state
    check_grads(model, X)
    check_grads(lambda m, x: m(x), model, X, method="taylor")
    check_grads(model.forward, X)
    assert model.weight is before
    assert model.weight.grad is None
    assert model.calls == 0
    assert model.rng.bit_generator.state == state
    np.testing.assert_array_equal(model.weight.data, X)


def test_modules_that_share_a_parameter_go_on_sharing_it():
    one, two = mg.nn.Linear(3, 3, rng=0), mg.nn.Linear(3, 3, rng=1)
    two.weight = one.weight
    assert places(lambda a, b: 0.0, one, two) == [
        "argument 0: weight",
        "argument 0: bias",
        "argument 1: bias",
    ]
    check_grads(lambda a, b: b(a(X)), one, two, order=2)


def test_a_module_of_values():
    check_grads(mg.nn.scalar.MLP(2, [3, 1], activation=mg.tanh, rng=0), [0.5, -0.3])


def test_a_wrong_parameter_is_named():
    model = mg.nn.Linear(3, 2, rng=0)

    def f(model, x):
        return mg.sum(model(x)) + mg.sum(mg.stop_gradient(model.bias) ** 2)

    with pytest.raises(GradientError, match="argument 0: bias: 2 of 2 entries disagree"):
        check_grads(f, model, X)


def test_parameters_of_another_library_are_constants():
    class Foreign:
        def named_parameters(self):
            yield "weight", "not a node"

    assert places(lambda m, x: 0.0, Foreign(), 1.0) == ["argument 1"]


def test_a_module_that_cannot_be_copied_is_explained():
    model = mg.nn.Linear(3, 2, rng=0)
    model.lock = threading.Lock()
    with pytest.raises(UsageError, match=r"Linear cannot be copied .*check a function of its para"):
        check_grads(model, X)


def test_integer_results_are_constants_and_integer_arrays_refused():
    check_grads(lambda x: [x, 3], 2.0)
    with pytest.raises(UsageError, match="not an array of dtype int64"):
        check_grads(lambda x: np.array([1]), 2.0)
