"""Networks of scalar ``Value`` nodes, with micrograd's call shapes: to read, draw and check.

For speed use the array layers of :mod:`microgradopt.nn`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradopt.engine.rules import as_value
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import count, sizes
from microgradopt.nn.module import Module, Sample
from microgradopt.randomness import RandomSource, as_generator

Activation = Callable[[Value], Value] | None
INPUTS = [0.3, -0.7, 1.1]  # of all samples
REFUSED = tuple(([1.0] * n,) for n in (1, 2, 4))


class Neuron(Module):
    """activation(Σ wᵢxᵢ + b): weights ``w`` uniform in ±1 and bias ``b`` 0 at the start.

    Args:
        nin: the number of inputs.
        nonlin: whether the neuron is activated; a linear one if not.
        activation: a function of a Value, such as ``mg.tanh``; None for a linear neuron.
        rng: a generator or seed.
    """

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        *,
        activation: Activation = Value.relu,
        rng: RandomSource = None,
    ) -> None:
        if not isinstance(nonlin, bool):
            raise UsageError(
                f"Neuron: nonlin is True or False, got {nonlin!r}; a function goes to activation="
            )
        if activation is not None and not callable(activation):
            raise UsageError(
                f"Neuron: activation must be a function such as mg.tanh, or None for a linear "
                f"neuron; got {activation!r}"
            )
        nin = count("Neuron", "the number of inputs", nin)
        rng = as_generator(rng)
        self.w = [Value(rng.uniform(-1.0, 1.0)) for _ in range(nin)]
        self.b = Value(0.0)
        self.activation = activation if nonlin else None
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        return [
            Sample(cls(3, activation=activation, rng=0), (INPUTS,), REFUSED)
            for activation in (Value.relu, None)
        ]

    def forward(self, x: Sequence[Any]) -> Value:
        x = _inputs(x)
        if len(x) != len(self.w):
            raise ShapeError(f"a neuron with {len(self.w)} weights was given {len(x)} inputs")
        total = self.b
        for w, xi in zip(self.w, x):
            total = total + w * xi
        return total if self.activation is None else self.activation(total)

    def __repr__(self) -> str:
        return f"{_name(self.activation)} neuron({len(self.w)})"


class Layer(Module):
    """``nout`` neurons that see the same inputs; a single neuron's output comes without a list."""

    def __init__(
        self,
        nin: int,
        nout: int,
        nonlin: bool = True,
        *,
        activation: Activation = Value.relu,
        rng: RandomSource = None,
    ) -> None:
        nout = count("Layer", "the number of neurons", nout)
        rng = as_generator(rng)
        self.neurons = [Neuron(nin, nonlin, activation=activation, rng=rng) for _ in range(nout)]
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        return [
            Sample(cls(3, nout, nonlin, rng=0), (INPUTS,), REFUSED)
            for nout, nonlin in ((2, True), (1, False))
        ]

    def forward(self, x: Sequence[Any]) -> Any:
        x = _inputs(x)
        out = [neuron.forward(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """Layers of neurons: ``MLP(2, [16, 16, 1])``; every layer but the last is activated.

    Calling it with a sequence of numbers or Values gives a Value, or a list of them where the last
    layer has several neurons.
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        *,
        activation: Activation = Value.relu,
        final: Activation = None,
        rng: RandomSource = None,
    ) -> None:
        nouts = sizes("MLP", nouts)
        rng = as_generator(rng)
        kinds = [activation] * (len(nouts) - 1) + [final]
        ins = [nin, *nouts]
        self.layers = [Layer(a, b, activation=f, rng=rng) for a, b, f in zip(ins, nouts, kinds)]
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        smooth = cls(3, [2, 1, 1], activation=Value.tanh, final=Value.sigmoid, rng=0)
        return [
            Sample(cls(3, [4, 2], rng=0), (INPUTS,), REFUSED),
            Sample(smooth, (INPUTS,), REFUSED),
        ]

    def forward(self, x: Sequence[Any]) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"


def _inputs(x: Any) -> Sequence[Any]:
    """One sample as a sequence: a list, an array's row, or a single neuron's output."""
    if isinstance(x, (list, tuple)):
        return x
    if isinstance(x, Value):
        return [x]
    if getattr(x, "ndim", 1) != 1 or not np.iterable(x):
        what = f"shape {np.shape(x)}" if np.ndim(x) else f"{type(x).__name__} {x!r}"
        raise ShapeError(
            f"neurons take one sample, a sequence of numbers, got {what}; for several samples "
            "write [model(row) for row in X]"
        )
    if isinstance(x, Tensor):
        return [as_value(entry) for entry in x]
    return [entry.item() for entry in x] if isinstance(x, np.ndarray) else list(x)


def _name(activation: Activation) -> str:
    return "linear" if activation is None else str(getattr(activation, "__name__", activation))
