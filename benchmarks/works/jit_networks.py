"""W3 and a larger network, compiled: steps of Adam on a ReLU network's mean cross-entropy, float32.

W3 is one epoch on scikit-learn's digits, 64-128-64-10, in 28 batches of 64 (the last 5 images are
left out, for JAX's scan over equal batches); the larger one is a single batch of 256 random images,
784-512-256-10, where most of the time is the BLAS's. All start from the same weights, Adam with the
usual constants, and must agree after the first epoch (three steps of the larger one) with NumPy's
version in float64 before they are timed. JAX waits for its results once per epoch, torch runs its
fused Adam, or compiles loss, gradients and Adam's formula as one graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import OURS, Contender, Sample, Target, Work, timed, times_faster
from microgradopt.datasets import digits

Array: TypeAlias = NDArray[Any]
LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Problem:
    """Batches of inputs and classes, and first weights: (outputs, inputs), (outputs,), in turn."""

    X: Array  # (batches, images, pixels)
    y: Array  # (batches, images)
    weights: list[Array]

    def astype(self, dtype: type) -> Problem:
        """The problem in another precision."""
        return Problem(self.X.astype(dtype), self.y, [w.astype(dtype) for w in self.weights])


@dataclass(frozen=True)
class Training:
    """One implementation under way: an epoch, and a look at its weights."""

    epoch: Callable[[], object]
    weights: Callable[[], list[Array]]


def digits_epoch() -> Problem:
    """W3's problem."""
    X, y = digits()
    order = np.random.default_rng(0).permutation(len(y))[: 28 * 64]
    return _problem(X[order].reshape(28, 64, 64), y[order].reshape(28, 64), (64, 128, 64, 10))


def large_batch() -> Problem:
    """One batch for the larger network."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(size=(1, 256, 784)), rng.integers(0, 10, size=(1, 256))
    return _problem(X, y, (784, 512, 256, 10))


def _problem(X: Array, y: Array, sizes: tuple[int, ...]) -> Problem:
    rng, weights = np.random.default_rng(1), []
    for i, o in pairwise(sizes):
        bound = 1 / np.sqrt(i)
        weights += [rng.uniform(-bound, bound, (o, i)), rng.uniform(-bound, bound, o)]
    return Problem(X, y, weights).astype(np.float32)


def ours(p: Problem, compiled: Callable[..., Any] = lambda step: step) -> Training:
    """Train as a user of this library writes it, eagerly or with a ``compiled`` step."""
    from microgradopt import nn, optim

    model = nn.MLP(p.X.shape[-1], [len(b) for b in p.weights[1::2]], rng=0, dtype=p.X.dtype)
    for parameter, start in zip(model.parameters(), p.weights, strict=True):
        parameter.data = start.copy()
    optimizer = optim.Adam(model.parameters(), lr=LR)

    @compiled
    def step(X: Array, y: Array) -> Any:
        loss = nn.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    def epoch() -> object:
        return [step(X, y) for X, y in zip(p.X, p.y, strict=True)]

    return Training(epoch, lambda: [w.data for w in model.parameters()])


def replayed(p: Problem, backend: str) -> Training:
    """Train with a jitted step."""
    import microgradopt as mg

    return ours(p, partial(mg.jit, backend=backend))


def by_hand(p: Problem) -> Training:
    """Train in NumPy, the gradients written out."""
    weights = [w.copy() for w in p.weights]
    ms, vs = ([np.zeros_like(w) for w in weights] for _ in range(2))
    index, t = np.arange(p.X.shape[1]), 0

    def step(X: Array, y: Array) -> float:
        nonlocal t
        layers = [X]
        for W, b in zip(weights[::2], weights[1::2], strict=True):
            z = layers[-1] @ W.T
            z += b
            layers.append(np.maximum(z, 0, out=z) if len(layers) < len(weights) // 2 else z)
        scores = layers.pop()
        scores -= scores.max(axis=1, keepdims=True)
        picked = scores[index, y]
        delta = np.exp(scores, out=scores)
        total = delta.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - picked).mean()
        delta /= total
        delta[index, y] -= 1
        delta /= len(X)
        grads = []
        for x, W in zip(reversed(layers), weights[-2::-2], strict=True):
            grads += [delta.sum(axis=0), delta.T @ x]
            if x is not X:
                delta = delta @ W
                delta *= x > 0
        t += 1
        for w, g, m, v in zip(weights, reversed(grads), ms, vs, strict=True):
            _adam(w, g, m, v, t)
        return float(loss)

    def epoch() -> object:
        return [step(X, y) for X, y in zip(p.X, p.y, strict=True)]

    return Training(epoch, lambda: weights)


def _adam(w: Array, g: Array, m: Array, v: Array, t: int) -> None:
    m *= BETA1
    m += (1 - BETA1) * g
    v *= BETA2
    g *= g
    g *= 1 - BETA2
    v += g
    root = np.sqrt(v)
    root /= np.sqrt(1 - BETA2**t)
    root += EPS
    np.divide(m, root, out=root)
    root *= LR / (1 - BETA1**t)
    w -= root


def torch_fused(p: Problem) -> Training:
    """Train with torch, eagerly, with its fused Adam."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    weights = [torch.tensor(w, requires_grad=True) for w in p.weights]
    batches = list(zip(torch.tensor(p.X), torch.tensor(p.y), strict=True))
    optimizer = torch.optim.Adam(weights, lr=LR, fused=True)

    def step(X: Any, y: Any) -> Any:
        loss = cross_entropy(_torch_scores(weights, X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def epoch() -> object:
        return [step(X, y) for X, y in batches]

    return Training(epoch, lambda: [w.detach().numpy() for w in weights])


def torch_whole(p: Problem) -> Training:
    """Compile loss, gradients and Adam's formula with torch, as one graph that writes in place."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    weights = [torch.tensor(w) for w in p.weights]
    ms, vs = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    t = torch.zeros((), dtype=torch.float64)
    batches = list(zip(torch.tensor(p.X), torch.tensor(p.y), strict=True))

    def loss_of(weights: list[Any], X: Any, y: Any) -> Any:
        return cross_entropy(_torch_scores(weights, X), y)

    @torch.compile(fullgraph=True, dynamic=False)
    def update(weights: Any, ms: Any, vs: Any, t: Any, X: Any, y: Any) -> Any:
        grads, loss = torch.func.grad_and_value(loss_of)(weights, X, y)
        t += 1
        rate = (LR / (1 - BETA1**t)).float()
        root = torch.sqrt(1 - BETA2**t).float()
        for w, m, v, g in zip(weights, ms, vs, grads, strict=True):
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            w.sub_(rate * m / (v.sqrt() / root + EPS))
        return loss

    @torch.no_grad()
    def epoch() -> object:
        return [update(weights, ms, vs, t, X, y) for X, y in batches]

    return Training(epoch, lambda: [w.numpy() for w in weights])


def _torch_scores(weights: list[Any], x: Any) -> Any:
    from torch.nn.functional import linear, relu

    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = relu(linear(x, W, b))
    return linear(x, *weights[-2:])


def jax_steps(p: Problem) -> Training:
    """Train with JAX and optax, one step compiled, weights and state donated."""
    import jax

    state, step = _jax_training(p)
    compiled = jax.jit(step, donate_argnums=0)
    batches = list(zip(*map(list, map(jax.numpy.asarray, (p.X, p.y))), strict=True))

    def epoch() -> object:
        nonlocal state
        for batch in batches:
            state, loss = compiled(state, batch)
        return jax.block_until_ready(loss)

    return Training(epoch, lambda: list(map(np.asarray, state[0])))


def jax_scan(p: Problem) -> Training:
    """Train with JAX and optax, the epoch compiled as one scan over its batches."""
    import jax

    state, step = _jax_training(p)
    compiled = jax.jit(partial(jax.lax.scan, step), donate_argnums=0)
    batches = jax.numpy.asarray(p.X), jax.numpy.asarray(p.y)

    def epoch() -> object:
        nonlocal state
        state, losses = compiled(state, batches)
        return jax.block_until_ready(losses)

    return Training(epoch, lambda: list(map(np.asarray, state[0])))


def _jax_training(p: Problem) -> tuple[Any, Callable[[Any, Any], Any]]:
    import jax
    import optax

    # Without it, optax's first bias corrections are so rough that weights are 1 % off their way.
    jax.config.update("jax_enable_x64", True)
    adam = optax.adam(LR, BETA1, BETA2, EPS)

    def loss(weights: list[Any], X: Any, y: Any) -> Any:
        for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            X = jax.nn.relu(X @ W.T + b)
        scores = X @ weights[-2].T + weights[-1]
        return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()

    def step(state: Any, batch: Any) -> Any:
        weights, memory = state
        value, grads = jax.value_and_grad(loss)(weights, *batch)
        changes, memory = adam.update(grads, memory, weights)
        return (optax.apply_updates(weights, changes), memory), value

    weights = list(map(jax.numpy.array, p.weights))
    return (weights, adam.init(weights)), step


@cache
def _expected(make: Callable[[], Problem], epochs: int) -> list[Array]:
    training = by_hand(make().astype(np.float64))
    for _ in range(epochs):
        training.epoch()
    return training.weights()


def sample(
    build: Callable[[Problem], Training], make: Callable[[], Problem], epochs: int
) -> Sample:
    """Compare the way gone by each array of weights with NumPy's, then time the next epochs.

    As a whole, not entry by entry: where a gradient nearly vanishes, Adam's first steps go a full
    step one way or the other, whatever rounding says.
    """
    training = build(make())
    for _ in range(epochs):
        training.epoch()
    ways = zip(training.weights(), _expected(make, epochs), make().weights, strict=True)
    for found, expected, start in ways:
        assert found.dtype == np.float32
        off = np.linalg.norm(found - expected) / np.linalg.norm(expected - start)
        assert off < 1e-2, f"{build} has gone another way: by {off:.1e} of it"
    return timed(training.epoch, calls=3)


def show(seconds: float) -> str:
    """Print a time."""
    return f"{1e3 * seconds:.2f} ms"


def _work(
    key: str, title: str, make: Callable[[], Problem], epochs: int, targets: dict[Any, Target]
) -> Work:
    contenders = (
        (OURS, partial(replayed, backend="numba")),
        (f"{OURS}, NumPy only", partial(replayed, backend="numpy")),
        (f"{OURS}, eager", ours),
        ("NumPy by hand", by_hand),
        ("JAX + optax, steps", jax_steps),
        ("JAX + optax, scan", jax_scan),
        ("torch eager, fused Adam", torch_fused),
        ("torch.compile, whole step", torch_whole),
    )
    return Work(
        key,
        title,
        show,
        tuple(
            Contender(name, partial(sample, build, make, epochs), targets.get(build))
            for name, build in contenders
        ),
        rounds=15,
    )


WORKS = (
    _work(
        "jit-w3",
        "W3 digits epoch jitted, Adam",
        digits_epoch,
        epochs=1,
        targets={
            jax_steps: times_faster(1.5),
            jax_scan: times_faster(1.5),
            torch_fused: times_faster(3),
        },
    ),
    _work(
        "jit-large",
        "784-512-256-10 step jitted, batch 256, Adam",
        large_batch,
        epochs=3,
        targets=dict.fromkeys((jax_steps, torch_fused, torch_whole), times_faster(0.95)),
    ),
)
