"""W2: one training step on the spiral, eagerly (JAX compiles, for information).

300 points in the plane, 100 ReLU units, 3 scores; mean softmax cross-entropy and ½·reg·ΣW² with
reg 1e-3; forward, backward and a gradient-descent update with rate 1. All start from the same
weights, write the L2 term in the loss, and must agree with the NumPy version after five steps
before being timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import OURS, Contender, Sample, Work, timed, times_faster
from microgradopt.datasets import spiral

Array: TypeAlias = NDArray[Any]
REG, RATE, STEPS = 1e-3, 1.0, 5
# The absolute part is for the biases: small differences of sums near 1.
TOLERANCE = {
    "float64": {"rtol": 1e-9, "atol": 1e-14},
    "float32": {"rtol": 1e-4, "atol": 1e-6},
}


@dataclass(frozen=True)
class Problem:
    """Data and first weights, of one dtype. Weights are (inputs, outputs), biases (outputs,)."""

    X: Array
    y: Array
    weights: tuple[Array, Array, Array, Array]  # W1, b1, W2, b2


@dataclass(frozen=True)
class Training:
    """One implementation under way: a step that updates, and a look at W1, b1, W2, b2."""

    step: Callable[[], object]
    weights: Callable[[], list[Array]]


def problem(dtype: str) -> Problem:
    """Return a fresh copy of the problem."""
    X, y = spiral(100, 3, rng=0)
    rng = np.random.default_rng(1)
    w1, w2 = 0.01 * rng.normal(size=(2, 100)), 0.01 * rng.normal(size=(100, 3))
    w1, b1, w2, b2 = (w.astype(dtype) for w in (w1, np.zeros(100), w2, np.zeros(3)))
    return Problem(X.astype(dtype), y, (w1, b1, w2, b2))


def ours(p: Problem, compiled: Callable[..., Any] = lambda step: step) -> Training:
    """Train as a user of this library writes it, eagerly or with a ``compiled`` step."""
    from microgradopt import nn, optim

    X, y = p.X, p.y
    model = nn.MLP(2, [100, 3], rng=0, dtype=X.dtype)
    for parameter, start in zip(model.parameters(), p.weights, strict=True):
        parameter.data = start.T.copy()
    W1, W2 = (w for w in model.parameters() if w.data.ndim == 2)
    optimizer = optim.SGD(model.parameters(), lr=RATE)

    @compiled
    def step(X: Array, y: Array) -> Any:
        loss = nn.cross_entropy(model(X), y) + nn.l2_penalty([W1, W2], REG)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    return Training(lambda: step(X, y), lambda: [w.data.T for w in model.parameters()])


def by_hand(p: Problem, rows: Callable[[int], Any] = range) -> Training:
    """Train as the CS231n case study does, with its ``range`` as the row index or another."""
    X, y, (W, b, W2, b2), n = p.X, p.y, p.weights, len(p.X)
    index = rows(n)

    def step() -> float:
        hidden = np.maximum(0, np.dot(X, W) + b)
        scores = np.dot(hidden, W2) + b2
        exp_scores = np.exp(scores)
        probs = exp_scores / np.sum(exp_scores, axis=1, keepdims=True)
        data_loss = np.sum(-np.log(probs[index, y])) / n
        loss = data_loss + 0.5 * REG * np.sum(W * W) + 0.5 * REG * np.sum(W2 * W2)

        dscores = probs
        dscores[index, y] -= 1
        dscores /= n
        dW2 = np.dot(hidden.T, dscores)
        db2 = np.sum(dscores, axis=0)
        dhidden = np.dot(dscores, W2.T)
        dhidden[hidden <= 0] = 0
        dW = np.dot(X.T, dhidden)
        db = np.sum(dhidden, axis=0)
        dW2 += REG * W2
        dW += REG * W

        for parameter, gradient in ((W, dW), (b, db), (W2, dW2), (b2, db2)):
            np.add(parameter, -RATE * gradient, out=parameter)
        return float(loss)

    return Training(step, lambda: [W, b, W2, b2])


def torch(p: Problem) -> Training:
    """Train with torch, eagerly."""
    import torch
    from torch.nn.functional import cross_entropy, linear

    torch.set_num_threads(1)
    X, y = torch.tensor(p.X), torch.tensor(p.y)
    W1, b1, W2, b2 = (torch.tensor(w.T.copy(), requires_grad=True) for w in p.weights)
    optimizer = torch.optim.SGD([W1, b1, W2, b2], lr=RATE, foreach=True)

    def step() -> object:
        scores = linear(torch.relu(linear(X, W1, b1)), W2, b2)
        penalty = (W1 * W1).sum() + (W2 * W2).sum()
        loss = cross_entropy(scores, y) + 0.5 * REG * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Training(step, lambda: [w.detach().numpy().T for w in (W1, b1, W2, b2)])


def hips_autograd(p: Problem) -> Training:
    """Train with HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    X, rows, y, weights = p.X, np.arange(len(p.X)), p.y, p.weights

    def loss(weights: tuple[Array, ...]) -> Any:
        W1, b1, W2, b2 = weights
        scores = anp.dot(anp.maximum(0, anp.dot(X, W1) + b1), W2) + b2
        log_total = anp.log(anp.sum(anp.exp(scores), axis=1))
        penalty = anp.sum(W1 * W1) + anp.sum(W2 * W2)
        return anp.mean(log_total - scores[rows, y]) + 0.5 * REG * penalty

    differentiate = value_and_grad(loss)

    def step() -> object:
        value, gradients = differentiate(weights)
        for parameter, gradient in zip(weights, gradients, strict=True):
            np.subtract(parameter, RATE * gradient, out=parameter)
        return value

    return Training(step, lambda: list(weights))


def mygrad(p: Problem) -> Training:
    """Train with mygrad."""
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    X, y, weights = p.X, p.y, [mg.tensor(w) for w in p.weights]
    W1, b1, W2, b2 = weights

    def step() -> object:
        scores = mg.matmul(relu(mg.matmul(X, W1) + b1), W2) + b2
        penalty = mg.sum(W1 * W1) + mg.sum(W2 * W2)
        loss = softmax_crossentropy(scores, y) + 0.5 * REG * penalty
        loss.backward()
        for w in weights:
            w.data -= RATE * w.grad
        return loss

    return Training(step, lambda: [w.data for w in weights])


def jax_jit(p: Problem) -> Training:
    """Train with JAX, the whole step compiled."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    X, y, rows = jnp.asarray(p.X), jnp.asarray(p.y), jnp.arange(len(p.X))
    weights = tuple(map(jnp.asarray, p.weights))

    def loss(weights: tuple[Any, ...]) -> Any:
        W1, b1, W2, b2 = weights
        scores = jnp.maximum(0, X @ W1 + b1) @ W2 + b2
        penalty = (W1 * W1).sum() + (W2 * W2).sum()
        return -jax.nn.log_softmax(scores)[rows, y].mean() + 0.5 * REG * penalty

    @jax.jit
    def update(weights: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        value, gradients = jax.value_and_grad(loss)(weights)
        return value, tuple(w - RATE * g for w, g in zip(weights, gradients, strict=True))

    def step() -> object:
        nonlocal weights
        value, weights = update(weights)
        return jax.block_until_ready(value)

    return Training(step, lambda: list(map(np.asarray, weights)))


def sample(build: Callable[[Problem], Training], dtype: str) -> Sample:
    """Compare five steps with NumPy's, then time the next ones."""
    training, reference = build(problem(dtype)), by_hand(problem(dtype))
    for _ in range(STEPS):
        training.step()
        reference.step()
    for found, expected in zip(training.weights(), reference.weights(), strict=True):
        assert found.dtype == dtype, f"{build} trains in {found.dtype}, not {dtype}"
        np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])
    return timed(training.step, calls=30)


def show(seconds: float) -> str:
    """Print a time."""
    return f"{1e6 * seconds:.0f} µs"


def _work(dtype: str) -> Work:
    contenders = (
        Contender(OURS, partial(sample, ours, dtype)),
        Contender("NumPy by hand, CS231n's", partial(sample, by_hand, dtype), times_faster(1)),
        Contender(
            "NumPy by hand, np.arange", partial(sample, partial(by_hand, rows=np.arange), dtype)
        ),
        Contender("torch eager", partial(sample, torch, dtype), times_faster(1.7)),
        Contender("HIPS autograd", partial(sample, hips_autograd, dtype), times_faster(4)),
        Contender("mygrad", partial(sample, mygrad, dtype)),
        Contender("JAX jit", partial(sample, jax_jit, dtype)),
    )
    title = f"W2 spiral step, {dtype}"
    return Work(f"w2-{dtype}", title, show, contenders, rounds=25)


WORKS = (_work("float64"), _work("float32"))
