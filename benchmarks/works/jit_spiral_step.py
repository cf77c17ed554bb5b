"""W2 compiled: the training step of ``spiral_step``, its update included, replayed by ``mg.jit``.

Ours jits the eager step as it stands. torch compiles in two ways: the loss alone, with its backward
and an optimizer around it, as its users write it; and forward, backward and update as one graph,
the fastest form found (``torch.func``, weights written in place, no gradients recorded around it).
The numbers of all must agree with NumPy's after five steps, as there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Contender, Target, Work, times_faster
from benchmarks.works import spiral_step
from benchmarks.works.spiral_step import RATE, REG, Problem, Training


def ours(p: Problem, backend: str) -> Training:
    """Jit the eager step: points and classes are arguments, all else is captured."""
    import microgradopt as mg

    return spiral_step.ours(p, partial(mg.jit, backend=backend))


def _torch_loss(weights: list[Any], X: Any, y: Any) -> Any:
    from torch import relu
    from torch.nn.functional import cross_entropy, linear

    W1, b1, W2, b2 = weights
    scores = linear(relu(linear(X, W1, b1)), W2, b2)
    return cross_entropy(scores, y) + 0.5 * REG * ((W1 * W1).sum() + (W2 * W2).sum())


def torch_whole(p: Problem) -> Training:
    """Compile loss, gradients and update with torch, as one graph."""
    import torch

    torch.set_num_threads(1)
    X, y = torch.tensor(p.X), torch.tensor(p.y)
    weights = [torch.tensor(w.T.copy()) for w in p.weights]

    @torch.compile(fullgraph=True, dynamic=False)
    def update(weights: list[Any], X: Any, y: Any) -> Any:
        gradients, loss = torch.func.grad_and_value(_torch_loss)(weights, X, y)
        for w, g in zip(weights, gradients, strict=True):
            w.sub_(RATE * g)
        return loss

    @torch.no_grad()
    def step() -> object:
        return update(weights, X, y)

    return Training(step, lambda: [w.numpy().T for w in weights])


def torch_loss(p: Problem) -> Training:
    """Compile the loss with torch; backward is compiled with it, the update is torch's SGD."""
    import torch

    torch.set_num_threads(1)
    X, y = torch.tensor(p.X), torch.tensor(p.y)
    weights = [torch.tensor(w.T.copy(), requires_grad=True) for w in p.weights]
    compiled = torch.compile(_torch_loss, fullgraph=True, dynamic=False)
    optimizer = torch.optim.SGD(weights, lr=RATE, foreach=True)

    def step() -> object:
        loss = compiled(weights, X, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Training(step, lambda: [w.detach().numpy().T for w in weights])


def _contender(
    name: str, build: Callable[[Problem], Training], dtype: str, target: Target | None = None
) -> Contender:
    return Contender(name, partial(spiral_step.sample, build, dtype), target)


def _work(dtype: str, by_hand: float, jax: float, torch: float) -> Work:
    peers = (
        ("NumPy by hand, CS231n's", spiral_step.by_hand, by_hand),
        ("NumPy by hand, np.arange", partial(spiral_step.by_hand, rows=np.arange), by_hand),
        ("JAX jit", spiral_step.jax_jit, jax),
        ("torch.compile, whole step", torch_whole, torch),
        ("torch.compile, the loss", torch_loss, torch),
    )
    return Work(
        f"jit-w2-{dtype}",
        f"W2 spiral step jitted, {dtype}",
        spiral_step.show,
        (
            _contender(OURS, partial(ours, backend="numba"), dtype),
            _contender(f"{OURS}, eager", spiral_step.ours, dtype),
            *(_contender(name, build, dtype, times_faster(t)) for name, build, t in peers),
            _contender("torch eager", spiral_step.torch, dtype),
        ),
        rounds=25,
    )


def _numpy_work(dtype: str) -> Work:
    by_hand = spiral_step.by_hand
    return Work(
        f"jit-w2-numpy-{dtype}",
        f"W2 spiral step jitted, NumPy only, {dtype}",
        spiral_step.show,
        (
            _contender(OURS, partial(ours, backend="numpy"), dtype),
            _contender("NumPy by hand, CS231n's", by_hand, dtype, times_faster(1.6)),
            _contender(
                "NumPy by hand, np.arange",
                partial(by_hand, rows=np.arange),
                dtype,
                times_faster(1.6),
            ),
            _contender("JAX jit", spiral_step.jax_jit, dtype, times_faster(1)),
        ),
        rounds=25,
    )


WORKS = (
    _work("float64", by_hand=3, jax=3, torch=4),
    _work("float32", by_hand=2, jax=2, torch=2),
    _numpy_work("float64"),
    _numpy_work("float32"),
)
