"""The true look-ahead: where it takes the gradient, and its kinship to the form without one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, optim
from microgradopt.errors import GraphError, NonFiniteError, UsageError
from microgradopt.optim import chain, clip_by_value, lookahead_momentum

CURVATURES = np.array([1.0, 30.0])


def ravine(x, y):
    return 0.5 * mg.sum(CURVATURES * x * x) + mg.sin(y + x[0]) + (y - 1.0) ** 2


def parameters():
    return Tensor([1.0, -0.5], name="x"), Value(0.25, name="y")


def gradient(x, y):
    """That of the ravine, by hand."""
    slope = math.cos(y + x[0])
    return CURVATURES * x + np.array([slope, 0.0]), slope + 2.0 * (y - 1.0)


def closure_of(optimizer, x, y, seen=None):
    def closure():
        if seen is not None:
            seen.append((np.copy(x.data), y.data))
        optimizer.zero_grad()
        loss = ravine(x, y)
        loss.backward()
        return loss

    return closure


def velocity(optimizer, name):
    return optimizer.state[0][name]["lookahead_momentum"]["velocity"]


# What it does


def test_it_is_the_formula():
    x, y = parameters()
    optimizer = optim.Nesterov(
        [x, y], lr=lambda t: 0.02 / t, momentum=lambda t: 1.0 - 1.0 / (t + 1)
    )
    a, b, va, vb = np.copy(x.data), y.data, np.zeros(2), 0.0
    for t in range(1, 21):
        optimizer.step(closure_of(optimizer, x, y))
        mu, lr = 1.0 - 1.0 / (t + 1), 0.02 / t
        ga, gb = gradient(a + mu * va, b + mu * vb)
        va, vb = mu * va - lr * ga, mu * vb - lr * gb
        a, b = a + va, b + vb
        np.testing.assert_allclose(x.data, a, rtol=1e-12)
        assert y.data == pytest.approx(b, rel=1e-12)


def test_the_closure_runs_once_a_step_at_the_point_ahead():
    x, y = parameters()
    optimizer, seen = optim.Nesterov([x, y], lr=0.02, momentum=0.5), []
    for _ in range(6):
        before = np.copy(x.data), y.data
        v = np.copy(velocity(optimizer, "x")), float(velocity(optimizer, "y"))
        count = len(seen)
        loss = optimizer.step(closure_of(optimizer, x, y, seen))
        assert len(seen) == count + 1
        np.testing.assert_array_equal(seen[-1][0], before[0] + 0.5 * v[0])
        assert seen[-1][1] == before[1] + 0.5 * v[1]
        assert loss.item() == ravine(Tensor(seen[-1][0]), Value(seen[-1][1])).item()
        np.testing.assert_array_equal(x.data, before[0] + velocity(optimizer, "x"))


def test_a_velocity_that_is_subtracted_is_looked_along_backwards():
    """The point ahead is θ − γ·v for θ ← θ − v; θ + γ·v is in print, and is a point behind."""
    gamma, lr, reached = 0.9, 0.02, {}
    x, y = parameters()
    optimizer = optim.Nesterov([x, y], lr=lr, momentum=gamma)
    for sign in (-1.0, 1.0):
        a, b, va, vb = np.copy(parameters()[0].data), parameters()[1].data, np.zeros(2), 0.0
        for _ in range(15):
            ga, gb = gradient(a + sign * gamma * va, b + sign * gamma * vb)
            va, vb = gamma * va + lr * ga, gamma * vb + lr * gb
            a, b = a - va, b - vb
        reached[sign] = a
    for _ in range(15):
        optimizer.step(closure_of(optimizer, x, y))
    np.testing.assert_allclose(x.data, reached[-1.0], rtol=1e-12)
    assert abs(reached[1.0][1]) > 1000.0 * abs(reached[-1.0][1])  # across the ravine


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("rate", [0.02, lambda step: 0.05 / (1.0 + step)])
@pytest.mark.parametrize("maximize", [False, True])
def test_the_form_without_a_closure_holds_the_points_ahead(weight_decay, rate, maximize):
    mu = 0.8
    options = {"lr": rate, "momentum": mu, "weight_decay": weight_decay, "maximize": maximize}
    (x, y), (a, b) = parameters(), parameters()
    true = optim.Nesterov([x, y], **options)
    rewritten = optim.SGD([a, b], nesterov=True, lr_in_velocity=True, **options)
    for _ in range(12):
        true.step(closure_of(true, x, y))
        rewritten.step(closure_of(rewritten, a, b))
        np.testing.assert_allclose(a.data, x.data + mu * velocity(true, "x"), rtol=1e-11)
        assert b.data == pytest.approx(y.data + mu * float(velocity(true, "y")), rel=1e-11)
    assert np.abs(a.data - x.data).max() > 1e-5


def test_without_momentum_it_is_gradient_descent():
    (x, y), (a, b) = parameters(), parameters()
    ahead, plain = optim.Nesterov([x, y], lr=0.02, momentum=0.0), optim.SGD([a, b], lr=0.02)
    for _ in range(10):
        ahead.step(closure_of(ahead, x, y))
        plain.step(closure_of(plain, a, b))
    np.testing.assert_array_equal(x.data, a.data)
    assert y.data == b.data


def test_a_ravine_takes_the_root_of_the_steps_of_gradient_descent():
    """With rate 1/L and μ = (√κ − 1)/(√κ + 1), an error falls by about 1 − 1/√κ a step."""
    L, kappa = 100.0, 100.0
    reached = {}
    for name, make in (
        ("ahead", lambda p: optim.Nesterov([p], lr=1.0 / L, momentum=9.0 / 11.0)),
        ("plain", lambda p: optim.SGD([p], lr=1.0 / L)),
    ):
        p = Tensor([1.0, 1.0])
        optimizer = make(p)

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            (0.5 * mg.sum(np.array([1.0, L]) * p * p)).backward()

        for _ in range(100):
            optimizer.step(closure)
        reached[name] = np.abs(p.data).max()
    assert reached["plain"] == pytest.approx((1.0 - 1.0 / kappa) ** 100, rel=1e-6)
    assert reached["ahead"] < 20.0 * (1.0 - 1.0 / math.sqrt(kappa)) ** 100


def test_weight_decay_is_the_gradient_of_the_penalty_at_the_point_ahead():
    (x, y), (a, b) = parameters(), parameters()
    decayed = optim.Nesterov([x, y], lr=0.02, weight_decay=0.3)
    penalised = optim.Nesterov([a, b], lr=0.02)

    def closure():
        penalised.zero_grad()
        (ravine(a, b) + mg.nn.l2_penalty([a, b], 0.3)).backward()

    for _ in range(10):
        decayed.step(closure_of(decayed, x, y))
        penalised.step(closure)
    np.testing.assert_allclose(x.data, a.data, rtol=1e-12)
    assert y.data == pytest.approx(b.data, rel=1e-12)


def test_groups_look_ahead_with_momenta_of_their_own():
    x, y = parameters()
    groups = [{"params": [x], "momentum": 0.9}, {"params": [y], "momentum": 0.0}]
    optimizer, seen = optim.Nesterov(groups, lr=0.02), []
    for _ in range(3):
        optimizer.step(closure_of(optimizer, x, y, seen))
    before = np.copy(x.data), y.data
    optimizer.step(closure_of(optimizer, x, y, seen))
    assert not np.array_equal(seen[-1][0], before[0])
    assert seen[-1][1] == before[1]


def test_a_parameter_the_closure_does_not_reach_stays_where_it_was():
    x, y = parameters()
    optimizer = optim.Nesterov([x, y], lr=0.02)
    for _ in range(2):
        optimizer.step(closure_of(optimizer, x, y))
    rested, v = y.data, float(velocity(optimizer, "y"))

    def of_x_alone():
        optimizer.zero_grad()
        mg.sum(x * x).backward()

    optimizer.step(of_x_alone)
    assert v != 0.0
    assert y.data == rested
    assert float(velocity(optimizer, "y")) == v


def test_in_a_chain_of_ones_own():
    p = Value(1.0)
    rule = chain(clip_by_value(0.5), lookahead_momentum(0.1, 0.5))
    optimizer, seen = optim.Optimizer([p], rule), []

    def closure():
        seen.append(p.data)
        p.grad = 2.0

    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(seen, [1.0, 0.95 - 0.025, 0.875 - 0.0375], rtol=1e-14)


def test_the_graph_of_the_closure_is_stale_afterwards():
    x, y = parameters()
    optimizer = optim.Nesterov([x, y], lr=0.02)
    loss = optimizer.step(closure_of(optimizer, x, y))
    with pytest.raises(GraphError, match="assigned"):
        loss.backward()


# What it refuses, and what is left behind then


def after_two_steps(**options):
    x, y = parameters()
    optimizer = optim.Nesterov([x, y], lr=0.02, **options)
    for _ in range(2):
        optimizer.step(closure_of(optimizer, x, y))
    return optimizer, x, y, optimizer.state_dict()


def assert_unchanged(optimizer, x, y, was, x_before, y_before):
    assert x.data is x_before
    assert y.data == y_before
    now = optimizer.state_dict()
    assert (now["steps"], now["groups"][0]["options"]) == (
        was["steps"],
        was["groups"][0]["options"],
    )
    for name, state in was["groups"][0]["state"].items():
        found = now["groups"][0]["state"][name]["lookahead_momentum"]["velocity"]
        np.testing.assert_array_equal(found, state["lookahead_momentum"]["velocity"])


def test_a_step_without_a_closure_is_refused():
    optimizer, x, y, was = after_two_steps()
    before = x.data, y.data
    with pytest.raises(UsageError, match=r"Nesterov: looking ahead .* give step\(closure\)"):
        optimizer.step()
    assert_unchanged(optimizer, x, y, was, *before)
    assert optim.Nesterov.needs_closure
    assert not optim.SGD.needs_closure


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_in_the_closure_puts_the_parameters_back(error):
    optimizer, x, y, was = after_two_steps()
    before, ahead = (x.data, y.data), []

    def closure():
        ahead.append((x.data, y.data))
        raise error("stop")

    with pytest.raises(error, match="stop"):
        optimizer.step(closure)
    assert ahead[0][1] != before[1]
    assert_unchanged(optimizer, x, y, was, *before)
    a, b = parameters()
    other = optim.Nesterov([a, b], lr=0.02)
    for o, p, q, steps in ((optimizer, x, y, 3), (other, a, b, 5)):
        for _ in range(steps):
            o.step(closure_of(o, p, q))
    np.testing.assert_array_equal(x.data, a.data)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_puts_the_parameters_back(bad):
    optimizer, x, y, was = after_two_steps()
    before = x.data, y.data

    def closure():
        x.grad, y.grad = np.array([1.0, bad]), 1.0

    with pytest.raises(NonFiniteError, match="gradient of 'x'"):
        optimizer.step(closure)
    assert_unchanged(optimizer, x, y, was, *before)
    optimizer.nonfinite = "skip"
    optimizer.step(closure)
    assert optimizer.skipped == 1
    assert_unchanged(optimizer, x, y, was, *before)


def test_a_frozen_parameter_is_not_moved_ahead():
    optimizer, x, *_ = after_two_steps()
    x.grad, x.requires_grad = None, False
    before, seen = x.data, []
    optimizer.step(lambda: seen.append(x.data))
    assert seen[0] is before


@pytest.mark.parametrize(
    "around",
    [
        lambda ahead: optim.chain(optim.clip_by_global_norm(1.0), ahead),
        lambda ahead: optim.chain(optim.clip_by_global_norm(1.0), optim.chain(ahead)),
        lambda ahead: optim.masked(ahead, lambda name, x: True),
        lambda ahead: optim.accumulate(ahead, 2),
        lambda ahead: optim.partition({"all": ahead}, lambda name, x: "all"),
    ],
)
def test_looking_ahead_is_refused_where_it_would_be_forgotten(around):
    rule = around(optim.lookahead_momentum(0.1))
    with pytest.raises(UsageError, match=r"a piece that looks ahead.* clip_by_norm"):
        optim.Optimizer([Tensor([1.0])], rule)


def test_a_closure_that_computes_no_gradient_moves_nothing():
    optimizer, x, y, _ = after_two_steps()
    before = x.data, y.data
    optimizer.zero_grad()
    assert optimizer.step(lambda: 7.0) == 7.0
    assert (x.data is before[0], y.data) == (True, before[1])
