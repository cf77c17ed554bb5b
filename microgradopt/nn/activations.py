"""Activations as layers, for use in a Sequential; each applies the function of its name."""

from typing import Any

from microgradopt.engine import composites
from microgradopt.engine.ops import elementwise as ops
from microgradopt.nn.module import Module


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return ops.relu(x)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Any) -> Any:
        return ops.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        return ops.tanh(x)


class Softplus(Module):
    """log(1 + eˣ)."""

    def forward(self, x: Any) -> Any:
        return ops.softplus(x)


class LeakyReLU(Module):
    """``x`` where positive, ``slope``·x elsewhere."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return composites.leaky_relu(x, self.slope)


class ELU(Module):
    """``x`` where positive, ``alpha``·(eˣ − 1) elsewhere (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return composites.elu(x, self.alpha)


class Softmax(Module):
    """eˣ / Σ eˣ along ``axis``."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return composites.softmax(x, self.axis)
