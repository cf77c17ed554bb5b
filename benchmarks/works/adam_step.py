"""One step of Adam in float32, the gradients given: long arrays, very many short ones, a network.

Every contender starts from the same parameters and gradients and has its state made before the
timing. torch writes into the parameters; ours gives them new arrays and checks the gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Contender, Sample, Work, timed, times_faster

Shapes = tuple[tuple[int, ...], ...]

LONG: Shapes = ((1000, 1000),)
SHORT: Shapes = ((100,),) * 1000
NETWORK: Shapes = ((512, 784), (512,), (256, 512), (256,), (10, 256), (10,))
STEPS = 3  # before the timing, to compare


def problem(shapes: Shapes) -> tuple[list[Any], list[Any]]:
    """Parameters and gradients."""
    rng = np.random.default_rng(0)
    draws = [rng.normal(size=(2, *shape)).astype(np.float32) for shape in shapes]
    return [p for p, _ in draws], [g for _, g in draws]


def expected(shapes: Shapes) -> list[Any]:
    """Adam's formula, written out in float64: with a constant gradient m̂ is g and v̂ is g²."""
    return [
        p - STEPS * 1e-3 * g.astype(np.float64) / (np.abs(g) + 1e-8)
        for p, g in zip(*problem(shapes), strict=True)
    ]


def ours(shapes: Shapes, compiled: Callable[..., Any] = lambda step: step) -> Sample:
    """This library's Adam, eagerly or with a ``compiled`` step."""
    import microgradopt as mg

    parameters, gradients = problem(shapes)
    nodes = [mg.Tensor(p) for p in parameters]
    for node, g in zip(nodes, gradients, strict=True):
        node.grad = g
    step = compiled(mg.optim.Adam(nodes).step)
    for _ in range(STEPS):
        step()
    check([node.data for node in nodes], shapes)
    return timed(step, calls=10)


def torch(shapes: Shapes, **how: bool) -> Sample:
    """torch.optim.Adam."""
    import torch

    torch.set_num_threads(1)
    parameters, gradients = problem(shapes)
    leaves = [torch.tensor(p, requires_grad=True) for p in parameters]
    for leaf, g in zip(leaves, gradients, strict=True):
        leaf.grad = torch.tensor(g)
    optimizer = torch.optim.Adam(leaves, **how)
    for _ in range(STEPS):
        optimizer.step()
    check([leaf.detach().numpy() for leaf in leaves], shapes)
    return timed(optimizer.step, calls=10)


def check(found: list[Any], shapes: Shapes) -> None:
    """All do the same."""
    for a, b in zip(found, expected(shapes), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def show(seconds: float) -> str:
    """Print a time."""
    return f"{1e3 * seconds:.2f} ms"


def _work(key: str, title: str, shapes: Shapes, target: float | None) -> Work:
    return Work(
        key,
        title,
        show,
        (
            Contender(OURS, partial(ours, shapes)),
            Contender(
                "torch, foreach",
                partial(torch, shapes, foreach=True),
                times_faster(target) if target else None,
            ),
            Contender("torch, one by one", partial(torch, shapes, foreach=False)),
            Contender("torch, fused", partial(torch, shapes, fused=True)),
        ),
        rounds=15,
    )


WORKS = (
    _work("adam-long", "Adam step, 10⁶ parameters, float32", LONG, 1.0),
    _work("adam-short", "Adam step, 1,000 arrays of 100, float32", SHORT, 2.0),
    _work("adam-network", "Adam step, 784-512-256-10, float32", NETWORK, None),
)
