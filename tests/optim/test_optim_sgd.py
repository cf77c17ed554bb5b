"""SGD against its formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, optim
from microgradopt.errors import UsageError


def _steps(optimizer, p, gradients):
    """The parameter after each of the gradients, given by hand."""
    found = []
    for g in gradients:
        p.grad = g
        optimizer.step()
        found.append(p.data)
    return found


GRADIENTS = [1.0, -0.5, 2.0, 0.25]


def test_plain_descent():
    p = Value(1.0)
    found = _steps(optim.SGD([p], lr=0.1), p, GRADIENTS)
    np.testing.assert_allclose(found, 1.0 - 0.1 * np.cumsum(GRADIENTS), rtol=1e-15)


@pytest.mark.parametrize("dampening", [0.0, 0.3, -0.5])
@pytest.mark.parametrize("mu", [0.5, 0.9, 1.5])
def test_momentum_is_torchs_form(mu, dampening):
    p = Value(1.0)
    found = _steps(optim.SGD([p], lr=0.1, momentum=mu, dampening=dampening), p, GRADIENTS)
    x, b = 1.0, None
    for g, seen in zip(GRADIENTS, found):
        b = g if b is None else mu * b + (1 - dampening) * g
        x -= 0.1 * b
        assert seen == pytest.approx(x, rel=1e-15)


def test_nesterov_steps_along_the_gradient_and_the_next_velocity():
    p = Value(1.0)
    found = _steps(optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True), p, GRADIENTS)
    x, b = 1.0, 0.0
    for g, seen in zip(GRADIENTS, found):
        b = 0.9 * b + g
        x -= 0.1 * (g + 0.9 * b)
        assert seen == pytest.approx(x, rel=1e-15)


def test_the_rate_stays_outside_the_velocity():
    """With torch's form a rate of 0 stops at once; the velocity goes on growing inside."""
    p = Value(1.0)
    optimizer = optim.SGD([p], lr=lambda step: 0.0 if step == 2 else 0.1, momentum=0.5)
    np.testing.assert_allclose(_steps(optimizer, p, [1.0, 1.0, 1.0]), [0.9, 0.9, 0.725], rtol=1e-15)


def test_every_hyper_parameter_may_be_a_schedule():
    p = Value(1.0)
    optimizer = optim.SGD(
        [p],
        lr=lambda t: 0.1 / t,
        momentum=lambda t: 0.1 * t,
        dampening=lambda t: 0.2 * t,
        weight_decay=lambda t: 0.3 * t,
    )
    found = _steps(optimizer, p, GRADIENTS)
    x, b = 1.0, None
    for t, (g, seen) in enumerate(zip(GRADIENTS, found), 1):
        d = g + 0.3 * t * x
        b = d if b is None else 0.1 * t * b + (1 - 0.2 * t) * d
        x -= 0.1 / t * b
        assert seen == pytest.approx(x, rel=1e-14)


def test_weight_decay_is_the_gradient_of_the_l2_penalty():
    p, q = Tensor([1.0, -2.0]), Tensor([1.0, -2.0])
    decayed = optim.SGD([p], lr=0.1, weight_decay=0.3)
    penalised = optim.SGD([q], lr=0.1)
    for _ in range(5):
        decayed.zero_grad()
        penalised.zero_grad()
        (p * p * p).sum().backward()
        ((q * q * q).sum() + mg.nn.l2_penalty([q], 0.3)).backward()
        decayed.step()
        penalised.step()
    np.testing.assert_allclose(p.data, q.data, rtol=1e-14)


def test_maximize_climbs():
    p = Value(0.5)
    optimizer = optim.SGD([p], lr=0.1, maximize=True)
    for _ in range(200):
        optimizer.zero_grad()
        (-((p - 3.0) ** 2)).backward()
        optimizer.step()
    assert p.data == pytest.approx(3.0)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}, {"dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(options):
    with pytest.raises(UsageError, match="nesterov=True needs momentum above 0 and dampening 0"):
        optim.SGD([Value(1.0)], nesterov=True, **options)


def test_the_defaults_are_torchs():
    p = Value(1.0)
    p.grad = 1.0
    optim.SGD([p]).step()
    assert p.data == 1.0 - 1e-3
