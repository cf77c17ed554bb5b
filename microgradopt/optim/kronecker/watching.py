"""A forward pass of a model, watched: the factors of its layers, and its exact curvature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from microgradopt.engine.graph import EVERYTHING, Array, Node, reach, to_float
from microgradopt.engine.modes import recording
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import data_of
from microgradopt.engine.sweeps import pullback, pushforward
from microgradopt.errors import GraphError, UsageError
from microgradopt.optim.kronecker.factors import Call, moments
from microgradopt.optim.kronecker.layers import Layer, layers_of
from microgradopt.optim.kronecker.likelihoods import as_cases, derivatives
from microgradopt.optim.transforms import Named

Closure = Callable[[], Any]


class Pass:
    """A forward pass of a model, as its hooks saw it: calls of layers, outputs, and the loss."""

    def __init__(self, model: Any, names: dict[Node, str]) -> None:
        self.model = model
        self.nodes = {name: p for p, name in names.items()}
        self.pairs = layers_of(model, names)
        self.layers = {layer.name: layer for _, layer in self.pairs}
        self.forget()

    def forget(self) -> None:
        """Let go of the graph."""
        self.calls: list[Call] = []
        self.outs: list[Any] = []
        self.loss: Any = None
        self.predicted: float | None = None

    def watch(self, closure: Closure, zero_grad: Closure) -> Any:
        """Call a closure with hooks in place, and see to the gradients if it has not."""
        handles = [m.register_forward_hook(partial(self._note, layer)) for m, layer in self.pairs]
        handles.append(self.model.register_forward_hook(self._note_output))
        try:
            self.loss = loss = closure()
        finally:
            for handle in handles:
                handle.remove()
        self._check()
        if loss.grad is None:
            zero_grad()
            loss.backward()
        return loss

    def _note(self, layer: Layer, module: Any, args: tuple[Any, ...], out: Any) -> None:
        x = _as_array(args, layer.weight.data.dtype)
        if x is not None and isinstance(out, Node):
            self.calls.append(Call(layer, x, out))

    def _note_output(self, module: Any, args: tuple[Any, ...], out: Any) -> None:
        self.outs.append(out)

    def _check(self) -> None:
        if not isinstance(self.loss, Node):
            raise UsageError(
                "KFAC: the closure must return the loss, a Value or Tensor of one number, got "
                f"{self.loss!r:.80}; return it as it is, without .item()"
            )
        if len(self.outs) != 1 or not isinstance(self.outs[0], Node):
            have = f"{len(self.outs)} calls" if len(self.outs) != 1 else type(self.outs[0]).__name__
            raise UsageError(
                "KFAC: the closure must call the model once, and get one array of outputs from it, "
                f"got {have}; calls of the model in a jitted function are not seen"
            )

    # Curvature

    @quietly
    def measured(self, likelihood: str, samples: int | None, rng: Any) -> dict[Layer, Any]:
        """The factors A and G of each layer that was seen."""
        (z,) = self.outs
        _, _, met = reach([z])
        calls = [c for c in self.calls if c.out in met and c.layer.explains(c.x, c.out.data)]
        if not calls:
            return {}
        cotangents = derivatives(z.data, likelihood, samples, rng)
        return moments(calls, z, cotangents, len(as_cases(z.data, likelihood)))

    def quadratic(self, directions: Sequence[Named]) -> Array:
        """uᵀ JᵀHJ v for each pair of directions: J of the outputs, H of the loss by these."""
        (z,) = self.outs
        since = z.index + 1
        with recording():
            slope = pullback({self.loss: 1.0}, lift=True, wanted={z}, since=since).get(z)
            moved = [self._pushed(u) for u in directions]
            bent = [_along(slope, {z: t}, since) for t in moved]
        return np.array([[dot(t, h) for h in bent] for t in moved])

    def _pushed(self, u: Named) -> Any:
        tangents = {self.nodes[k]: _like(self.nodes[k], x) for k, x in u.items()}
        return _along(self.outs[0], tangents)


def _as_array(args: tuple[Any, ...], dtype: Any) -> Array | None:
    """What a layer was called with, if that was a single array or a list of numbers."""
    try:
        (x,) = args
        return np.asarray(data_of(x), dtype)
    except (TypeError, ValueError, GraphError):
        return None


def _along(y: Any, tangents: dict[Node, Any], since: int = 0) -> Any:
    """The derivative of a node along the tangents of others, as an array; 0 for a constant."""
    if not isinstance(y, Node):
        return 0.0
    (found,) = pushforward([y], tangents, EVERYTHING, since=since)
    return 0.0 if found is None else data_of(found)


def _like(p: Node, x: Any) -> Any:
    return to_float(x) if isinstance(p.data, float) else np.asarray(x)


def dot(a: Any, b: Any) -> float:
    """The sum of products, in float64."""
    return float(np.sum(np.multiply(a, b, dtype=np.float64)))
