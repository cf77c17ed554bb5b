"""W1: one step of micrograd's demo, a network of scalars, eagerly.

Moons, 100 points; a 2-16-16-1 ReLU network; hinge loss and an L2 term of 1e-4; forward and
backward: 65,818 nodes as micrograd counts them. All run the same user code, micrograd's demo
notebook, each with its own Value and MLP, from the same weights. Data are Python floats, which
suits micrograd better than the notebook's NumPy scalars do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Contender, Sample, Target, Work, timed, times_faster
from microgradopt.datasets import moons

NODES = 65_818
SIZES = (2, 16, 16, 1)
points, classes = moons(100, noise=0.1, rng=1337)
INPUTS: list[list[float]] = points.tolist()
SIGNS: list[int] = (2 * classes - 1).tolist()
PARAMETERS: list[float] = (
    np.random.default_rng(1337)
    .uniform(-1, 1, sum((i + 1) * o for i, o in pairwise(SIZES)))
    .tolist()
)


@dataclass(frozen=True)
class Demo:
    """The demo, with one library's node and network."""

    node: Callable[[float], Any]
    model: Any

    def loss(self) -> Any:
        """Run the notebook's forward pass."""
        inputs = [list(map(self.node, row)) for row in INPUTS]
        scores = list(map(self.model, inputs))
        losses = [(1 + -sign * score).relu() for sign, score in zip(SIGNS, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        return data_loss + 1e-4 * sum(p * p for p in self.model.parameters())

    def step(self) -> Any:
        """Run forward and backward, and return the loss."""
        total = self.loss()
        self.model.zero_grad()
        total.backward()
        return total


class TorchNeurons:
    """The same network of 0-d torch tensors, neuron by neuron."""

    def __init__(self, torch: Any) -> None:
        self.flat = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in PARAMETERS]

    def parameters(self) -> list[Any]:
        return self.flat

    def zero_grad(self) -> None:
        for p in self.flat:
            p.grad = None

    def __call__(self, x: list[Any]) -> Any:
        rest = iter(self.flat)
        for outputs in SIZES[1:]:
            x = [self._neuron([next(rest) for _ in range(len(x) + 1)], x) for _ in range(outputs)]
            x = [value.relu() for value in x] if outputs > 1 else x
        return x[0]

    def _neuron(self, weights: list[Any], x: list[Any]) -> Any:
        *w, b = weights
        return sum((wi * xi for wi, xi in zip(w, x, strict=True)), b)


def ours() -> Demo:
    """Build the demo of this library's Value."""
    from microgradopt import Value
    from microgradopt.nn import scalar

    return with_weights(Demo(Value, scalar.MLP(SIZES[0], list(SIZES[1:]), rng=0)))


def micrograd() -> Demo:
    """Build the demo as micrograd has it."""
    from micrograd.engine import Value
    from micrograd.nn import MLP

    demo = with_weights(Demo(Value, MLP(SIZES[0], list(SIZES[1:]))))
    assert graph_size(demo.loss(), lambda node: node._prev) == NODES
    return demo


def torch() -> Demo:
    """Build the demo of 0-d torch tensors."""
    import torch

    torch.set_num_threads(1)
    return Demo(partial(torch.tensor, dtype=torch.float64), TorchNeurons(torch))


def with_weights(demo: Demo) -> Demo:
    """Give the network the common weights: neuron by neuron, its inputs' first, then its bias."""
    for parameter, value in zip(demo.model.parameters(), PARAMETERS, strict=True):
        parameter.data = value
    return demo


def reference() -> tuple[float, list[float]]:
    """Return loss and gradient as NumPy computes them, in the order of the parameters."""
    rest, layers = np.array(PARAMETERS), []
    for i, o in pairwise(SIZES):
        layers.append(rest[: o * (i + 1)].reshape(o, i + 1))
        rest = rest[o * (i + 1) :]
    x, seen = np.array(INPUTS), []
    for depth, layer in enumerate(layers):
        z = x @ layer[:, :-1].T + layer[:, -1]
        seen.append((x, z))
        x = np.maximum(z, 0) if depth < len(layers) - 1 else z
    sign = np.array(SIGNS)[:, None]
    slack = 1 - sign * x
    loss = np.maximum(slack, 0).mean() + 1e-4 * sum(np.sum(w * w) for w in layers)
    delta, grads = np.where(slack > 0, -sign, 0) / len(x), []
    for depth in reversed(range(len(layers))):
        x, z = seen[depth]
        delta = delta * (z > 0) if depth < len(layers) - 1 else delta
        grads.append(np.c_[delta.T @ x, delta.sum(axis=0)] + 2e-4 * layers[depth])
        delta = delta @ layers[depth][:, :-1]
    return float(loss), np.concatenate([g.ravel() for g in reversed(grads)]).tolist()


def agree(loss: float, grads: Any) -> None:
    """Assert that a loss and its gradients are the reference's."""
    expected_loss, expected_grads = reference()
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-9)
    np.testing.assert_allclose(grads, expected_grads, rtol=1e-9, atol=1e-12)


def checked(demo: Demo) -> Demo:
    """Assert that the demo's loss and gradients are the reference's."""
    total = demo.step()
    agree(float(getattr(total, "data", total)), [float(p.grad) for p in demo.model.parameters()])
    return demo


def graph_size(root: Any, parents: Callable[[Any], Iterable[Any]]) -> int:
    """Count the nodes that ``root`` was computed from, itself included."""
    seen, todo = {id(root)}, [root]
    while todo:
        for parent in parents(todo.pop()):
            if id(parent) not in seen:
                seen.add(id(parent))
                todo.append(parent)
    return len(seen)


def _sample(build: Callable[[], Demo], collector: bool, calls: int) -> Sample:
    demo = checked(build())
    return timed(demo.step, calls=calls, collector=collector)


def _show(seconds: float) -> str:
    return f"{1e3 * seconds:6.1f} ms  {1e6 * seconds / NODES:5.2f} µs/node"


def _work(key: str, title: str, collector: bool, target: Target) -> Work:
    contenders = (
        Contender(OURS, partial(_sample, ours, collector, 3)),
        Contender("micrograd", partial(_sample, micrograd, collector, 3), target),
        Contender("torch, 0-d tensors", partial(_sample, torch, collector, 1), rounds=1),
    )
    return Work(key, title, _show, contenders, rounds=7)


WORKS = (
    _work("w1-gc-on", "W1 scalar demo, gc on", True, times_faster(6)),
    _work("w1-gc-off", "W1 scalar demo, gc off", False, times_faster(2.2)),
)
