"""Networks of Values, jitted: recorded in lists, replayed as a tape, surrounded by anything."""

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import optim
from microgradopt.compiler.tracing.scalars import Block, ScalarProgram
from microgradopt.datasets import moons
from microgradopt.errors import TraceError
from microgradopt.nn import scalar

POINTS, CLASSES = moons(12, noise=0.1, rng=0)
INPUTS, SIGNS = POINTS.tolist(), (2 * CLASSES - 1).tolist()


def trained(update, backend, jitted, activation=mg.Value.relu, steps=6):
    """Losses, parameters and gradients after some steps of micrograd's demo."""
    model = scalar.MLP(2, [6, 6, 1], activation=activation, rng=0)
    parameters = model.parameters()
    finish = update(parameters)

    def step():
        scores = [model(x) for x in INPUTS]
        losses = [(1 + -sign * score).relu() for sign, score in zip(SIGNS, scores)]
        total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in parameters)
        right = [(sign > 0) == (score.data > 0) for sign, score in zip(SIGNS, scores)]
        model.zero_grad()
        total.backward()
        finish()
        return total, sum(right)

    run = mg.jit(step, backend=backend) if jitted else step
    seen = [run() for _ in range(steps)]
    numbers = [p.data for p in parameters] + [p.grad for p in parameters]
    return [(total.data, right) for total, right in seen], numbers, run


def by_hand(parameters):
    def finish():
        for p in parameters:
            p.data -= 0.1 * p.grad

    return finish


def with_momentum(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9).step


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
@pytest.mark.parametrize("update", [by_hand, with_momentum])
@pytest.mark.parametrize("activation", [mg.Value.relu, mg.tanh, mg.silu])
def test_training_is_the_same_to_the_bit(update, backend, activation):
    plain = trained(update, backend, False, activation)
    jitted = trained(update, backend, True, activation)
    if backend == "numpy" and activation is not mg.Value.relu:
        # NumPy's tanh of many numbers is not always math's of one, to the last bit.
        np.testing.assert_allclose(jitted[0], plain[0], rtol=1e-12)
        np.testing.assert_allclose(jitted[1], plain[1], rtol=1e-10, atol=1e-13)
        return
    assert jitted[:2] == plain[:2]


def test_what_surrounds_a_large_network_sees_one_instruction():
    run = trained(by_hand, "numpy", True)[2]
    blocks = [i for i in run._compiled().recording.program.instructions if isinstance(i.op, Block)]
    assert len(blocks) == 1
    assert len(blocks[0].op.program) > 1000


def gradient_of(f, n):
    """A function of n floats, jitted: its value and gradient by a backward pass."""

    def run(*numbers):
        leaves = [mg.Value(0.0) for _ in numbers]
        for leaf, x in zip(leaves, numbers):
            leaf.data = x
        y = f(leaves)
        y.backward()
        return y.data, [leaf.grad for leaf in leaves]

    return run


def long_formula(leaves):
    """Every kind of rule: constants, none, truth values, functions; operands used repeatedly."""
    total = leaves[0] * 0.0
    for i in range(60):
        x, y = leaves[i % len(leaves)], leaves[(i + 1) % len(leaves)]
        total = total + mg.tanh(x * y) - abs(x - y) / (2.0 + y * y) + (x - 0.1 * i).relu()
        total = total + mg.maximum(x, y) * mg.sign(x) + x**2 + x**3.0 + mg.exp(-(y * y))
    return total


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_gradients_of_a_long_formula(backend):
    plain = gradient_of(long_formula, 3)
    jitted = mg.jit(plain, backend=backend)
    rng = np.random.default_rng(0)
    for _ in range(6):
        numbers = rng.normal(size=3).tolist()
        assert jitted(*numbers) == plain(*numbers)


def test_a_network_by_itself_stays_lists():
    def f(x, y):
        total = x * 0.0
        for _ in range(200):
            total = mg.sin(total + x * y) + mg.relu(x - total)
        return total

    plain, jitted = mg.value_and_grad(f, (0, 1)), mg.jit(mg.value_and_grad(f, (0, 1)))
    for i in range(4):
        assert jitted(0.1 * i, 0.5) == plain(0.1 * i, 0.5)
    program = jitted._compiled().recording.program
    assert isinstance(program, ScalarProgram)
    assert program.interpret([0.2, 0.5])[0] == f(0.2, 0.5)


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
@pytest.mark.parametrize("special", [0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, 1.0])
def test_special_numbers(backend, special):
    plain = gradient_of(long_formula, 2)
    jitted = mg.jit(plain, backend=backend)
    for numbers in ((0.5, 1.5), (0.5, 1.5), (special, 1.5), (0.5, special), (special, special)):
        value, grads = jitted(*numbers)
        np.testing.assert_equal([value, *grads], np.array([*sum_up(plain(*numbers))]))


def sum_up(result):
    value, grads = result
    return [value, *grads]


def test_functional_gradients_of_scalars():
    def f(xs):
        return long_formula(xs)

    plain, jitted = mg.grad(f), mg.jit(mg.grad(f))
    for i in range(5):
        numbers = [0.3 + i, -0.2, 1.1 * i]
        assert jitted(numbers) == plain(numbers)


def test_gradients_of_inner_nodes_can_be_used():
    def f(x):
        v = mg.Value(0.0)
        v.data = x
        total = middle = v * 2.0
        for _ in range(120):
            total = total * 0.99 + middle
        total.backward()
        return middle.grad, v.grad, middle.grad * 2.0 > 1.0

    jitted = mg.jit(f)
    for x in (0.5, 1.5, 2.5, -1.0):
        assert jitted(x) == f(x)


def test_a_changing_constant_in_a_large_network_is_found():
    count = [0.0]

    def f(x):
        count[0] += 1.0
        total = x
        for _ in range(1000):
            total = total * 0.5 + count[0]
        return total

    jitted = mg.jit(f)
    jitted(1.0)
    with pytest.raises(TraceError, match=r"1.0 used by 'add' is 2.0 in the next call"):
        jitted(1.0)
