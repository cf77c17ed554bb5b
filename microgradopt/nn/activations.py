"""Activations as layers, under torch's names; each applies the function of its name."""

from __future__ import annotations

import inspect
import math
from typing import Any, ClassVar

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine import activations as bends, composites
from microgradopt.engine.ops import elementwise as ops, gates
from microgradopt.errors import UsageError
from microgradopt.nn.arguments import operand
from microgradopt.nn.init import normal
from microgradopt.nn.module import Module, Sample


class Activation(Module):
    """The base of layers that apply a function; its options are attributes of the same name."""

    tried: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    """The options of the samples."""

    def compute(self, x: Any) -> Any:
        """The function, of a node or an array of floats; subclasses say it."""
        raise NotImplementedError(f"{type(self).__name__} must define compute()")

    def forward(self, x: Any) -> Any:
        return self.compute(operand(type(self).__name__, x))

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        shapes = ((3, 4), (2, 2, 3), (4,))
        return [
            Sample(cls(**options), (normal(shape, 1, dtype, std=3.0),))
            for options in cls.tried
            for shape in shapes
        ]

    def _number(self, name: str, value: float, low: float = -math.inf) -> float:
        """An option as a float, or refused."""
        check_number(type(self).__name__, name, value, low)
        return float(value)

    def __repr__(self) -> str:
        options = inspect.signature(type(self)).parameters.values()
        shown = [(p.name, getattr(self, p.name)) for p in options]
        unusual = [f"{name}={x!r}" for (name, x), p in zip(shown, options) if x != p.default]
        return f"{type(self).__name__}({', '.join(unusual)})"


# Bends at 0


class ReLU(Activation):
    """max(x, 0)."""

    def compute(self, x: Any) -> Any:
        return ops.relu(x)


class ReLU6(Activation):
    """min(max(x, 0), 6)."""

    def compute(self, x: Any) -> Any:
        return bends.relu6(x)


class LeakyReLU(Activation):
    """``x`` where positive, ``negative_slope``·x elsewhere."""

    tried = ({}, {"negative_slope": -0.5})

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = self._number("negative_slope", negative_slope)

    def compute(self, x: Any) -> Any:
        return bends.leaky_relu(x, self.negative_slope)


class ELU(Activation):
    """``x`` where positive, ``alpha``·(eˣ − 1) elsewhere (Clevert et al. 2016)."""

    tried = ({}, {"alpha": 0.7})

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = self._number("alpha", alpha)

    def compute(self, x: Any) -> Any:
        return bends.elu(x, self.alpha)


class CELU(Activation):
    """``x`` where positive, ``alpha``·(e^(x/alpha) − 1) elsewhere (Barron 2017)."""

    tried = ({}, {"alpha": 0.5})  # torch rounds 1 / alpha to float32

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = self._number("alpha", alpha)
        if alpha == 0:
            raise UsageError("CELU: alpha must not be 0; use nn.ReLU()")

    def compute(self, x: Any) -> Any:
        return bends.celu(x, self.alpha)


class SELU(Activation):
    """The ELU that keeps mean 0 and variance 1 through a network (Klambauer et al. 2017)."""

    def compute(self, x: Any) -> Any:
        return bends.selu(x)


# Pieces of straight lines


class Hardtanh(Activation):
    """``x`` held between ``min_val`` and ``max_val``."""

    tried = ({}, {"min_val": -2.0, "max_val": 0.5})

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val = self._number("min_val", min_val)
        self.max_val = self._number("max_val", max_val)
        if not min_val < max_val:
            raise UsageError(f"Hardtanh: min_val {min_val!r} must be below max_val {max_val!r}")

    def compute(self, x: Any) -> Any:
        return bends.hardtanh(x, self.min_val, self.max_val)


class Hardsigmoid(Activation):
    """(x + 3)/6 between 0 and 1 (Howard et al. 2019)."""

    def compute(self, x: Any) -> Any:
        return bends.hardsigmoid(x)


class Hardswish(Activation):
    """x·hardsigmoid(x) (Howard et al. 2019)."""

    def compute(self, x: Any) -> Any:
        return bends.hardswish(x)


class Threshold(Activation):
    """``x`` where above ``threshold``, the constant ``value`` elsewhere."""

    tried = ({"threshold": 0.1, "value": 20.0}, {"threshold": -1.0, "value": -1.0})

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold = self._number("threshold", threshold)
        self.value = self._number("value", value)

    def compute(self, x: Any) -> Any:
        return bends.threshold(x, self.threshold, self.value)


class Hardshrink(Activation):
    """``x`` where |x| > ``lambd``, 0 elsewhere."""

    tried = ({}, {"lambd": 1.5})

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = self._number("lambd", lambd)

    def compute(self, x: Any) -> Any:
        return bends.hardshrink(x, self.lambd)


class Softshrink(Activation):
    """``x`` brought closer to 0 by ``lambd``, at most to 0."""

    tried = ({}, {"lambd": 1.5})

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = self._number("lambd", lambd, low=0.0)

    def compute(self, x: Any) -> Any:
        return bends.softshrink(x, self.lambd)


# Smooth ones


class Sigmoid(Activation):
    """1 / (1 + e⁻ˣ)."""

    def compute(self, x: Any) -> Any:
        return ops.sigmoid(x)


class LogSigmoid(Activation):
    """log(1 / (1 + e⁻ˣ)), precise on both sides."""

    def compute(self, x: Any) -> Any:
        return bends.log_sigmoid(x)


class Tanh(Activation):
    """The hyperbolic tangent."""

    def compute(self, x: Any) -> Any:
        return ops.tanh(x)


class Tanhshrink(Activation):
    """x − tanh(x)."""

    def compute(self, x: Any) -> Any:
        return gates.tanhshrink(x)


class Softsign(Activation):
    """x / (1 + |x|)."""

    def compute(self, x: Any) -> Any:
        return gates.softsign(x)


class Softplus(Activation):
    """log(1 + e^(``beta``·x)) / ``beta``: a smooth ReLU.

    Without torch's ``threshold``, above which that one is x itself: this is exact everywhere.
    """

    tried = ({}, {"beta": 2.5})

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = self._number("beta", beta)
        if beta == 0:
            raise UsageError("Softplus: beta must not be 0; the larger, the closer to nn.ReLU()")

    def compute(self, x: Any) -> Any:
        return ops.softplus(x) if self.beta == 1.0 else ops.softplus(self.beta * x) / self.beta


class SiLU(Activation):
    """x·σ(x), also called swish (Elfwing et al. 2018); :class:`Swish` learns its steepness."""

    def compute(self, x: Any) -> Any:
        return gates.silu(x)


class GELU(Activation):
    """x·Φ(x) with the normal distribution's Φ, or an approximation (Hendrycks and Gimpel 2016).

    Args:
        approximate: "none", or "tanh" as in the paper.
    """

    tried = ({}, {"approximate": "tanh"})

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate
        self.compute(0.0)  # refuses what is neither

    def compute(self, x: Any) -> Any:
        return bends.gelu(x, self.approximate)


class Mish(Activation):
    """x·tanh(log(1 + eˣ)) (Misra 2020)."""

    def compute(self, x: Any) -> Any:
        return gates.mish(x)


# Along an axis


class _AlongAxis(Activation):
    tried = ({}, {"axis": 0})

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        refused = ((np.zeros((), dtype),),)
        return [Sample(layer, inputs, refused) for layer, inputs, _ in super().samples(dtype)]


class Softmax(_AlongAxis):
    """eˣ / Σ eˣ along ``axis``."""

    def compute(self, x: Any) -> Any:
        return composites.softmax(x, self.axis)


class Softmin(_AlongAxis):
    """e⁻ˣ / Σ e⁻ˣ along ``axis``."""

    def compute(self, x: Any) -> Any:
        return bends.softmin(x, self.axis)


class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax along ``axis``, precise also where that underflows."""

    def compute(self, x: Any) -> Any:
        return composites.log_softmax(x, self.axis)


class GLU(_AlongAxis):
    """The first half along ``axis`` times σ of the second (Dauphin et al. 2017).

    Raises:
        ShapeError: if the axis has an odd length.
    """

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 6, 4), 1, dtype, std=3.0)
        refused = ((x[:, :5, :3],), (x[0, 0, 0],))
        return [Sample(cls(axis), (x,), refused) for axis in (-1, 1)]

    def compute(self, x: Any) -> Any:
        return bends.glu(x, self.axis)
