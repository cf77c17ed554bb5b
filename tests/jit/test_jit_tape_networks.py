"""Networks of Values, traced, replayed from a tape: the numbers of eager, to the bit."""

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Value
from microgradopt.nn import scalar

X = np.random.default_rng(1).normal(size=(24, 2)).tolist()
SIGNS = [1.0 if x * y > 0.0 else -1.0 for x, y in X]
both = pytest.mark.parametrize("backend", ["llvm", "numpy"])


def demo(activation):
    model = scalar.MLP(2, [5, 4, 1], activation=activation, rng=3)

    def step():
        scores = [model([Value(x, requires_grad=False) for x in row]) for row in X]
        losses = [(1.0 - sign * score).relu() for sign, score in zip(SIGNS, scores)]
        total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        total.backward()
        return total

    return model, step


def outcome(model, total):
    return [total.data, *(p.grad for p in model.parameters())]


@both
@pytest.mark.parametrize("activation", [Value.relu, Value.tanh, mg.silu, mg.softplus])
def test_a_step_of_a_network_of_values(activation, backend):
    model, step = demo(activation)
    jitted = mg.jit(step, backend=backend)
    rng = np.random.default_rng(0)
    for _ in range(4):
        for p in model.parameters():
            p.data = float(rng.normal())
        expected = outcome(model, step())
        found = outcome(model, jitted())
        if activation is Value.relu:
            assert found == expected
        else:  # NumPy's functions of arrays round otherwise than C's
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert "lanes" in jitted.source()
