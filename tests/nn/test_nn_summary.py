"""summary(): shapes, counts and flops against hand counts; the module is left alone."""

from __future__ import annotations

import gc
from contextlib import suppress

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.states import Buffer


class Noisy(nn.Module):
    """Draws from its generator and keeps a running mean."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.mean = Buffer(np.zeros(3))
        self.linear = nn.Linear(3, 2, rng=0)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.mean.data = self.mean.data + 1.0
        return self.linear(x * self.rng.normal(size=3))


def of(f, *shapes):
    """Flops of a function as a module."""
    return nn.Sequential(f).summary(*shapes).flops


def test_rows_and_totals_of_a_small_network():
    found = nn.MLP(2, [4, 3], rng=0).summary((5, 2))
    assert [(r.name, r.output, r.parameters, r.flops) for r in found.rows] == [
        ("layers.0", "(5, 4)", 12, 100),
        ("layers.1", "(5, 4)", 0, 20),
        ("layers.2", "(5, 3)", 15, 135),
    ]
    assert (found.parameters, found.trainable, found.flops, found.nbytes) == (27, 27, 255, 216)


@pytest.mark.parametrize(
    ("f", "shape", "flops"),
    [
        (mg.tanh, (2, 3), 6),
        (lambda x: mg.sum(x, axis=0), (4, 3), 12),
        (lambda x: x.T, (4, 3), 0),
        (lambda x: x @ x.T, (4, 3), 2 * 4 * 3 * 4),
        (lambda x: mg.einsum("ij,kj->ik", x, x), (4, 3), 2 * 4 * 3 * 4),
        (lambda x: mg.convolve(x, np.ones(3), "valid"), (10,), 2 * 8 * 3),
        (lambda x: x[1:], (4, 3), 0),
        (lambda x: x * 2.0 + x, (4, 3), 24),
        (lambda x: x, (4, 3), 0),
        (mg.tanh, (0, 3), 0),
    ],
)
def test_the_convention(f, shape, flops):
    assert of(f, shape) == flops


def test_convolutions_count_their_products():
    assert nn.Sequential(nn.Conv2d(2, 5, 3, bias=False, rng=0)).summary((1, 2, 8, 8)).flops == (
        2 * 5 * 6 * 6 * 2 * 9
    )


def test_what_has_no_rule_is_named():
    found = nn.Sequential(lambda x: mg.linalg.inv(x)).summary(np.eye(3))
    assert found.uncounted == ("inv",)
    assert "not counted: inv" in str(found)


def test_a_pass_leaves_the_module_as_it_was():
    model = Noisy()
    before = model.state_dict()
    model.summary((4, 3))
    np.testing.assert_equal(model.state_dict(), before)
    assert model.calls == 0
    assert "forward" not in vars(model)
    assert all(p.grad is None for p in model.parameters())


def test_nothing_is_left_for_the_collector():
    net = nn.MLP(2, [4, 3], rng=0)
    net.summary((5, 2))
    gc.collect()
    gc.disable()
    try:
        net.summary((5, 2))
        with suppress(ShapeError):
            net.summary((5, 3))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_work_and_parameters_belong_to_the_innermost_module():
    rows = {r.name: r for r in Noisy().summary((4, 3)).rows}
    assert (rows[""].flops, rows[""].parameters) == (12, 0)
    assert (rows["linear"].flops, rows["linear"].parameters) == (2 * 4 * 3 * 2 + 8, 8)


def test_frozen_parameters_count_but_are_not_trainable():
    model = nn.MLP(2, [4, 3], rng=0)
    whole = model.summary((5, 2))
    model.freeze("layers.0")
    found = model.summary((5, 2))
    assert (found.parameters, found.trainable, found.flops) == (27, 15, whole.flops)
    assert "27 parameters, 15 trainable" in str(found)
    assert [r.trainable for r in found.rows] == [0, 0, 15]
    assert len(model.parameters()) == 2


def test_a_module_called_twice_and_one_never_called():
    shared = nn.Linear(3, 3, rng=0)
    model = nn.Sequential(shared, shared)
    model.spare = nn.Linear(1, 1, rng=0)
    found = {r.name: r for r in model.summary((2, 3)).rows}
    assert found["layers.0"].flops == 2 * (2 * 2 * 3 * 3 + 6)
    assert (found["spare"].output, found["spare"].flops) == ("", 0)
    assert "not called" in str(model.summary((2, 3)))


def test_inputs_of_any_kind():
    assert nn.Linear(2, 3, rng=0, dtype=np.float32).summary((4, 2)).nbytes == 36
    x = np.zeros((4, 2))
    assert nn.Linear(2, 3, rng=0).summary(x).flops == nn.Linear(2, 3, rng=0).summary((4, 2)).flops
    assert nn.scalar.MLP(2, [3, 1], rng=0).summary([1.0, 2.0]).parameters == 13
    lstm, states = nn.LSTM(2, 3, rng=0), ((1, 4, 3), (1, 4, 3))
    assert lstm.summary((5, 4, 2), states).flops == lstm.summary((5, 4, 2)).flops
    with mg.no_grad():
        assert nn.Linear(2, 3, rng=0).summary((4, 2)).flops == 60
    with pytest.raises(UsageError, match=r"model\.summary\(\(32, 2\)\)"):
        nn.ReLU().summary()


def test_the_table_for_notebooks():
    html = nn.Sequential(nn.Linear(2, 3, rng=0), lambda x: x).summary((4, 2))._repr_html_()
    assert html.count("<tr>") == 3
    assert "&lt;lambda&gt;" in html
    assert "9 parameters" in html


def test_results_in_a_dict_and_whole_numbers_as_inputs():
    class Two(nn.Module):
        def __init__(self):
            self.table = nn.Embedding(4, 3, rng=0)

        def forward(self, x):
            found = self.table(x)
            return {"rows": found, "total": mg.sum(found)}

    text = str(Two().summary(np.array([1, 3])))
    assert "(2, 3), ()" in text
    assert "12 parameters" in text


def test_a_module_of_numbers():
    class Line(nn.Module):
        def __init__(self):
            self.slope = mg.Value(2.0)

        def forward(self, x):
            return self.slope * x + nn.l2_penalty([self.slope], 0.5)

    text = str(Line().summary(3.0))
    assert "1 parameters, all trainable; 8 bytes" in text
    assert "not counted" not in text
