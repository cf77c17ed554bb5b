"""Layers of arrays: Linear, and Sequential and MLP to put layers together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from microgradopt.engine.composites import softmax
from microgradopt.engine.ops import elementwise as ops
from microgradopt.engine.ops.products import matmul
from microgradopt.engine.ops.shapes import reshape, transpose
from microgradopt.engine.rules import Fused, add_up, shape_of as shape
from microgradopt.errors import DTypeError, ShapeError
from microgradopt.nn.arguments import count, operand, sizes
from microgradopt.nn.init import Initialiser, normal
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.weights import weight_and_bias, with_bias
from microgradopt.randomness import RandomSource, as_generator


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    return with_bias(np.matmul(x, weight.T), bias)


def _rows(x: Any) -> Any:
    """All leading axes as one."""
    return x if len(shape(x)) == 2 else reshape(x, (-1, shape(x)[-1]))


affine = Fused(
    "affine",
    symbol="xWᵀ+b",
    array=_affine,
    pullback=(
        lambda g, out, x, weight, bias: g @ weight,
        lambda g, out, x, weight, bias: _rows(g).T @ _rows(x),
        lambda g, out, x, weight, bias: add_up(_rows(g), axis=0),
    ),
    composite=lambda x, weight, bias: matmul(x, transpose(weight)) + bias,
    sample=lambda rng: [
        ((rng.normal(size=s), rng.normal(size=(4, 3)), rng.normal(size=4)), {})
        for s in ((2, 3), (3,), (5, 2, 3))
    ],
)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """``x Wᵀ + b``, or without ``b``, unchecked."""
    return matmul(x, transpose(weight)) if bias is None else affine(x, weight, bias)


class Linear(Module):
    """``x Wᵀ + b``: from ``(..., in_features)`` to ``(..., out_features)``; as torch's Linear.

    Args:
        in_features, out_features: the lengths of the last axis before and after.
        bias: whether there is a ``b``.
        init: the weight's initialiser, see :mod:`microgradopt.nn.init`. Left out, weight and bias
            start uniform between ±1/√in_features like torch's; given, the bias starts at 0.
        rng: a generator or seed.
        dtype: float64 or float32.

    ``weight`` has shape (out_features, in_features), ``bias`` (out_features,).

    Raises:
        ShapeError: when called on anything whose last axis is not ``in_features`` long.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        ins = count("Linear", "in_features", in_features)
        shape = (count("Linear", "out_features", out_features), ins)
        call = f"Linear({ins}, {shape[0]})"
        self.weight, self.bias = weight_and_bias(call, shape, shape[0], bias, init, rng, dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        refused = tuple((np.zeros(shape, dtype),) for shape in ((5, 4), (3, 1), ()))
        options = ((True, (4, 3)), (True, (3,)), (False, (2, 1, 3)), (False, (3,)))
        layers = [
            Sample(
                cls(3, 2, bias, rng=0, dtype=dtype), (normal(shape, 1, dtype, std=1.0),), refused
            )
            for bias, shape in options
        ]
        one = Sample(cls(1, 1, rng=0, dtype=dtype), (normal((3, 1), 1, dtype, std=1.0),))
        return [*layers, one]

    def forward(self, x: Any) -> Any:
        x = operand("Linear", x, self.weight.dtype)
        have, wanted = shape(x), self.weight.shape[1]
        if not have or have[-1] != wanted:
            raise ShapeError(
                f"Linear({wanted}, {self.weight.shape[0]}) takes inputs of shape (..., {wanted}), "
                f"got {have}"
            )
        return linear(x, self.weight, self.bias)

    def __repr__(self) -> str:
        outs, ins = self.weight.shape
        return f"Linear({ins}, {outs}{'' if self.bias is not None else ', bias=False'})"


class Function(Module):
    """A plain function as a layer: what Sequential makes of ``mg.relu``."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)

    def __repr__(self) -> str:
        return str(getattr(self.function, "__name__", self.function))


class Sequential(Module):
    """Layers, modules or plain functions, applied one after the other.

    >>> import numpy as np, microgradopt as mg
    >>> net = mg.nn.Sequential(mg.nn.Linear(2, 4, rng=0), mg.relu, mg.nn.Linear(4, 3, rng=1))
    >>> net
    Sequential(Linear(2, 4), relu, Linear(4, 3))
    >>> net(np.zeros((5, 2))).shape
    (5, 3)
    >>> net[:2]
    Sequential(Linear(2, 4), relu)

    A slice shares its layers with the whole.
    """

    def __init__(self, *layers: Module | Callable[[Any], Any]) -> None:
        for layer in layers:
            if not callable(layer) or isinstance(layer, type):
                advice = "write Sequential(a, b), not Sequential([a, b])"
                if isinstance(layer, type):
                    advice = f"write {layer.__name__}() to make one"
                raise DTypeError(
                    f"Sequential takes modules and functions, got {type(layer).__name__} "
                    f"{layer!r}; {advice}"
                )
        self.layers = [x if isinstance(x, Module) else Function(x) for x in layers]
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        a, b = Linear(3, 4, rng=0, dtype=dtype), Linear(4, 2, rng=1, dtype=dtype)
        x = normal((2, 3), 2, dtype, std=1.0)
        return [
            Sample(cls(a, ops.tanh, b), (x,), refused=((x[:, :2],), (x.T,))),
            Sample(cls(), (x,)),
        ]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, i: int) -> Module: ...
    @overload
    def __getitem__(self, i: slice) -> Sequential: ...
    def __getitem__(self, i: int | slice) -> Module:
        if not isinstance(i, slice):
            return self.layers[i]
        part = Sequential()
        part.layers = self.layers[i]  # shared, and so their parameters keep their names
        part.training = self.training
        return part

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


class MLP(Sequential):
    """Linear layers with an activation between them: ``MLP(2, [100, 3])`` is 2–100–3.

    Args:
        nin: inputs.
        nouts: the sizes of the layers, the last being the number of outputs.
        activation: after every layer but the last; the same one each time, so that a layer such as
            ``nn.PReLU()`` has one slope for all of them.
        final: after the last; nothing when None.
        init, rng, dtype: as in :class:`Linear`.
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        *,
        activation: Callable[[Any], Any] = ops.relu,
        final: Callable[[Any], Any] | None = None,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        nouts = sizes("MLP", nouts)
        rng = as_generator(rng)
        layers: list[Any] = []
        for a, b in zip([nin, *nouts], nouts):
            layers += [Linear(a, b, init=init, rng=rng, dtype=dtype), activation]
        super().__init__(*layers[:-1], *([final] if final is not None else []))

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3), 1, dtype, std=1.0)
        short = x[:, :2]
        smooth = cls(3, [4, 4, 2], activation=ops.tanh, final=softmax, rng=0, dtype=dtype)
        return [
            Sample(cls(3, [4, 2], rng=0, dtype=dtype), (x,), refused=((short,),)),
            Sample(smooth, (x[0],), refused=((short,), (short[0],))),
        ]
