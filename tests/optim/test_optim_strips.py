"""Strips: parameters laid end to end and cut into blocks move as they would one by one."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from microgradopt import Tensor, Value, optim
from microgradopt.errors import NonFiniteError
from microgradopt.optim import strips
from microgradopt.optim.transforms import Transform

SHAPES = [(3, 5), (0,), (1,), (7,), (), (2, 0), (4, 1, 2), (11,), (0, 3)]


def parameters(rng, dtype=np.float64):
    return [Tensor(rng.normal(size=s).astype(dtype), name=f"p{i}") for i, s in enumerate(SHAPES)]


def one_by_one(rule: Transform) -> Transform:
    """The same rule without leave to lay parameters together."""
    return Transform(rule.init, rule.update)


RULES = {
    "adam": lambda: optim.chain(optim.scale_by_adam(amsgrad=True), optim.scale(-0.1)),
    "momentum": lambda: optim.chain(
        optim.add_decayed_weights(0.1), optim.momentum(0.9), optim.scale_by_learning_rate(0.1)
    ),
    "descent": lambda: optim.chain(optim.scale(-0.1)),
}


def trained(rule, dtype, active, mixed=False):
    rng = np.random.default_rng(0)
    params = [*parameters(rng, dtype), *([Value(1.0, name="v"), Value(2.0)] if mixed else [])]
    optimizer = optim.Optimizer(params, rule)
    for step in range(6):
        for i, p in enumerate(params):
            if active(step, i):
                g = np.sin(rng.normal(size=np.shape(p.data))).astype(np.asarray(p.data).dtype)
                p.grad = float(g) if isinstance(p, Value) else g
            else:
                p.grad = None
        optimizer.step()
    return [p.data for p in params], optimizer.state


@pytest.mark.parametrize("block", [8, 24, 40, 64, 2**18])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "active",
    [lambda step, i: True, lambda step, i: (step + i) % 3 != 0, lambda step, i: step > i],
    ids=["always", "by turns", "one after the other"],
)
def test_blocks_of_any_length_give_what_single_parameters_do(
    monkeypatch, block, name, dtype, active
):
    monkeypatch.setattr(strips, "BLOCK_BYTES", block)
    data, state = trained(RULES[name](), dtype, active, mixed=True)
    alone, alone_state = trained(one_by_one(RULES[name]()), dtype, active, mixed=True)
    for a, b in zip(data, alone):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
    assert repr(state) == repr(alone_state)


def test_a_thousand_parameters_are_one_strip():
    params = [Tensor(np.ones(10)) for _ in range(1000)]
    optimizer = optim.Adam(params)
    for p in params:
        p.grad = np.ones(10)
    optimizer.step()
    assert [len(strip.names) for strip in optimizer._groups[0]._strips] == [1000]


@pytest.mark.parametrize("where", [0, 5, 11])
def test_a_bad_entry_is_found_in_any_block(monkeypatch, where):
    monkeypatch.setattr(strips, "BLOCK_BYTES", 32)
    p, q = Tensor(np.ones(5), name="p"), Tensor(np.ones(7), name="q")
    optimizer = optim.Adam([p, q])
    g = np.ones(12)
    g[where] = np.nan
    p.grad, q.grad = g[:5].copy(), g[5:].copy()
    with pytest.raises(NonFiniteError, match=f"gradient of '{'p' if where < 5 else 'q'}' has 1"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(p.data, np.ones(5))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_sees_data_written_in_place(copied):
    p = Tensor(np.ones(3), name="p")
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = np.ones(3)
    optimizer.step()
    other = copied(optimizer)
    q = other.params["p"]
    q.data[:] = 7.0
    other.step()
    np.testing.assert_array_equal(q.data, [6.0, 6.0, 6.0])


def test_an_error_of_the_rule_itself_comes_through():
    def apply(g, state, x):
        raise FloatingPointError("of the rule")

    p = Tensor(np.ones(3), name="p")
    optimizer = optim.Optimizer([p], optim.transform_of("bad", apply, entrywise=True))
    p.grad = np.ones(3)
    with pytest.raises(FloatingPointError, match="of the rule"):
        optimizer.step()
    assert optimizer.steps == 0


def test_other_data_for_a_parameter_is_seen():
    params = [Tensor(np.ones(3)) for _ in range(3)]
    optimizer = optim.SGD(params, lr=1.0)
    for new in (None, [5.0, 6.0, 7.0], None):
        if new:
            params[1].data = np.array(new)
        for p in params:
            p.grad = np.ones(3)
        optimizer.step()
    np.testing.assert_array_equal(params[0].data, [-2.0, -2.0, -2.0])
    np.testing.assert_array_equal(params[1].data, [3.0, 4.0, 5.0])
