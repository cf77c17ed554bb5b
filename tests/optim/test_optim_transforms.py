"""Transforms: pure pairs of functions, chained, and an Optimizer made of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from microgradopt import Tensor, optim
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim import transforms
from microgradopt.optim.transforms import (
    Transform,
    add_decayed_weights,
    at,
    chain,
    check_hyper,
    momentum,
    scale,
    scale_by_learning_rate,
    stateless,
)

GRADIENTS = {"a": 2.0, "b": np.array([1.0, -1.0])}
PARAMS = {"a": 1.0, "b": np.array([10.0, 20.0])}


def once(transform, step=1):
    return transform.update(GRADIENTS, transform.init(PARAMS), PARAMS, step)[0]


def check(found, a, b):
    assert found["a"] == pytest.approx(a)
    np.testing.assert_allclose(found["b"], b)


def test_the_pieces_do_what_they_say():
    check(once(scale(-3.0)), -6.0, [-3.0, 3.0])
    check(once(scale(lambda step: -step), step=2), -4.0, [-2.0, 2.0])
    check(once(scale_by_learning_rate(0.5)), -1.0, [-0.5, 0.5])
    check(once(scale_by_learning_rate(lambda step: 1.0 / step), step=4), -0.5, [-0.25, 0.25])
    check(once(add_decayed_weights(0.1)), 2.1, [2.0, 1.0])
    check(once(momentum(0.9)), 2.0, [1.0, -1.0])
    check(once(momentum(0.9, nesterov=True)), 3.8, [1.9, -1.9])


def test_a_chain_applies_in_order():
    check(once(chain(scale(10.0), add_decayed_weights(1.0))), 21.0, [20.0, 10.0])
    check(once(chain(add_decayed_weights(1.0), scale(10.0))), 30.0, [110.0, 190.0])
    check(once(chain()), 2.0, [1.0, -1.0])
    check(once(chain(chain(scale(2.0)), chain())), 4.0, [2.0, -2.0])


@pytest.mark.parametrize(
    "piece", [scale(2.0), momentum(0.9), momentum(0.5, 0.1), chain(momentum(0.9))]
)
def test_an_update_changes_none_of_its_arguments(piece):
    state = piece.init(PARAMS)
    gradients = {k: np.copy(g) for k, g in GRADIENTS.items()}
    for step in (1, 2, 3):
        updates, after = piece.update(gradients, state, PARAMS, step)
        again, _ = piece.update(gradients, state, PARAMS, step)
        np.testing.assert_array_equal(updates["b"], again["b"])
        state = after
    np.testing.assert_array_equal(gradients["b"], GRADIENTS["b"])
    np.testing.assert_array_equal(PARAMS["b"], [10.0, 20.0])


def test_momentum_keeps_no_view_of_a_gradient():
    piece = momentum(0.9)
    g = {"b": np.array([1.0, 2.0])}
    _, state = piece.update(g, piece.init(PARAMS), PARAMS, 1)
    assert not np.shares_memory(state["b"], g["b"])


def test_an_optimizer_of_ones_own_rule():
    sign = stateless(lambda g, params, step: {k: np.sign(v) for k, v in g.items()})
    p = Tensor([1.0, -5.0], name="p")
    optimizer = optim.Optimizer([p], chain(sign, scale_by_learning_rate(0.5)))
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    np.testing.assert_array_equal(p.data, [0.0, -3.5])


def test_a_rule_that_gives_another_shape_changes_nothing():
    widen = stateless(lambda g, params, step: {k: np.ones((2, 2)) for k in g})
    p = Tensor([1.0, 2.0], name="p")
    optimizer = optim.Optimizer([p], chain(widen))
    p.grad = np.ones(2)
    with pytest.raises(ShapeError, match="'p' of shape \\(2,\\) cannot take data of shape"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(p.data, [1.0, 2.0])


def test_a_rule_that_widens_float32_does_not_widen_the_parameter():
    widen = stateless(lambda g, params, step: {k: -v.astype(np.float64) for k, v in g.items()})
    p = Tensor([1.0, 2.0], dtype=np.float32)
    optimizer = optim.Optimizer([p], chain(widen))
    p.grad = np.ones(2, np.float32)
    optimizer.step()
    assert p.data.dtype == np.float32


def test_a_transform_is_frozen():
    with pytest.raises(AttributeError):
        scale(1.0).init = None
    assert isinstance(scale(1.0), Transform)


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.float64(0.5), lambda step: np.float32(0.5)]
)
def test_a_hyper_parameter_at_a_step_is_a_plain_float(value):
    found = at(value, 1)
    assert (type(found), found) == (float, 0.5)


def test_bounds_of_hyper_parameters():
    check_hyper("U", "beta", 0.9, high=1.0)
    with pytest.raises(
        UsageError, match=r"U: beta must be finite, at least 0 and below 1; got 1\.0"
    ):
        check_hyper("U", "beta", 1.0, high=1.0)
    assert set(optim.__all__) >= {"SGD", "Optimizer", "Transform", "chain"}
    assert optim.chain is transforms.chain
