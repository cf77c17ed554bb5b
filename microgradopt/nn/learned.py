"""Activations with parameters, and one with randomness."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradopt import randomness
from microgradopt.arguments import check_number
from microgradopt.engine.activations import leaky_relu
from microgradopt.engine.ops.elementwise import equal, logical_and, sigmoid, where
from microgradopt.engine.ops.shapes import reshape
from microgradopt.engine.ops.ufuncs import isinf
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import max
from microgradopt.engine.rules import shape_of as shape
from microgradopt.engine.tensor import Tensor
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import call_of, count, dtype_of, operand
from microgradopt.nn.init import Initialiser, normal
from microgradopt.nn.layers import Linear
from microgradopt.nn.module import Module, Sample
from microgradopt.randomness import RandomSource, as_generator


class _PerChannel(Module):
    """A base: one number for all of an input, or one for each channel, which is axis 1."""

    def __init__(self, num_parameters: int, init: float, dtype: Any) -> None:
        name = type(self).__name__
        check_number(name, "init", init, -np.inf)
        n = count(name, "num_parameters", num_parameters)
        self.init = float(init)
        self.weight = Tensor(np.full(n, init, dtype), name="weight")

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        make: Any = cls
        x = normal((2, 3, 4), 1, dtype, std=3.0)
        refused = ((x[:, :2],), (x[0, 0],))
        channels = [
            Sample(make(3, 0.3, dtype=dtype), (y,), refused) for y in (x, x[:, :, 0], x[..., None])
        ]
        return [*channels, *(Sample(make(dtype=dtype), (y,)) for y in (x, x[0, 0]))]

    def _weight_for(self, x: Any) -> Any:
        """The weights in a shape that goes with ``x``."""
        n, have = len(self.weight.data), shape(x)
        if n == 1:
            return reshape(self.weight, ())
        if len(have) < 2 or have[1] != n:
            raise ShapeError(
                f"{type(self).__name__}({n}) takes inputs of shape (samples, {n}, ...), with one "
                f"parameter for each channel; got {have}"
            )
        return reshape(self.weight, (n, *(1 for _ in have[2:])))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.weight.data)}, {self.init!r})"


class PReLU(_PerChannel):
    """``x`` where positive, a learned slope times x elsewhere (He et al. 2015).

    Args:
        num_parameters: 1, or the number of channels: the length of axis 1.
        init: the first value of the slopes.
        dtype: float64 or float32.

    Raises:
        ShapeError: when called on anything with another number of channels.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float64
    ) -> None:
        super().__init__(num_parameters, init, dtype)

    def forward(self, x: Any) -> Any:
        x = operand("PReLU", x, self.weight.dtype)
        return leaky_relu(x, self._weight_for(x))


class Swish(_PerChannel):
    """x·σ(βx) with a learned β (Ramachandran et al. 2017); nn.SiLU has β = 1.

    Args:
        num_parameters, dtype: as in :class:`PReLU`.
        init: the first value of β.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 1.0, *, dtype: Any = np.float64
    ) -> None:
        super().__init__(num_parameters, init, dtype)

    @quietly
    def forward(self, x: Any) -> Any:
        x = operand("Swish", x, self.weight.dtype)
        gate = sigmoid(self._weight_for(x) * x)
        closed = logical_and(isinf(x), equal(gate, 0.0))  # 0 times infinity is 0 here
        return where(closed, 0.0, x) * gate


class RReLU(Module):
    """``x`` where positive, a random slope times x elsewhere (Xu et al. 2015).

    In training each number has a slope of its own; in evaluation all have the mean of the bounds.

    Args:
        lower, upper: the slopes are drawn evenly from between them.
        rng: a generator or seed, kept as ``rng``; training draws from it with each call.
    """

    def __init__(
        self, lower: float = 1.0 / 8.0, upper: float = 1.0 / 3.0, *, rng: RandomSource = None
    ) -> None:
        for name, value in (("lower", lower), ("upper", upper)):
            check_number("RReLU", name, value, -np.inf)
        if lower > upper:
            raise UsageError(f"RReLU: lower {lower!r} must not be above upper {upper!r}")
        self.lower, self.upper = float(lower), float(upper)
        self.rng = as_generator(rng)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((3, 4), 1, dtype, std=3.0)
        return [Sample(cls(rng=0), (x,)), Sample(cls(-0.5, 0.5, rng=0), (x[0],))]

    def forward(self, x: Any) -> Any:
        x = operand("RReLU", x)
        if not self.training:
            return leaky_relu(x, 0.5 * (self.lower + self.upper))
        slopes = randomness.draw(self.rng, "uniform", self.lower, self.upper, shape(x))
        return leaky_relu(x, np.asarray(slopes, dtype_of(x)) if shape(x) else slopes)

    def __repr__(self) -> str:
        return call_of(self, self.lower, self.upper)


class Maxout(Module):
    """The largest of several linear functions, for each output (Goodfellow et al. 2013).

    From ``(..., in_features)`` to ``(..., out_features)``; output i is the largest of the outputs
    i·pieces to (i + 1)·pieces − 1 of ``linear``, a :class:`Linear`.

    Args:
        in_features, out_features: the lengths of the last axis before and after.
        pieces: how many linear functions each output chooses from.
        bias, init, rng, dtype: as in :class:`Linear`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        self.pieces = count("Maxout", "pieces", pieces)
        outs = self.pieces * count("Maxout", "out_features", out_features)
        self.linear = Linear(in_features, outs, bias, init=init, rng=rng, dtype=dtype)
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, 4), 1, dtype, std=2.0)
        refused = ((x[..., :3],), (x[0, 0, 0],))
        options = ((2, True), (3, False), (1, True))
        return [
            Sample(cls(4, 5, pieces, bias, rng=0, dtype=dtype), (y,), refused)
            for (pieces, bias), y in zip(options, (x, x[0], x[0, 0]), strict=True)
        ]

    def forward(self, x: Any) -> Any:
        every = self.linear(x)
        return max(reshape(every, (*shape(every)[:-1], -1, self.pieces)), axis=-1)

    def __repr__(self) -> str:
        outs, ins = self.linear.weight.shape
        bias = "" if self.linear.bias is not None else ", bias=False"
        return f"Maxout({ins}, {outs // self.pieces}, {self.pieces}{bias})"
