"""Layers with a matrix or a kernel: how their inputs and outputs become rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array, Node
from microgradopt.engine.ops.convolution import (
    MOST_COPIED,
    Sizes,
    Widths,
    places,
    same_padding,
    view_windows,
)

PADDING_MODES = {  # of layers, and what NumPy calls them
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}
CLOSE = 1e-2  # how well a call has to be explained: far more than rounding, far less than chance


class Layer:
    """A weight and perhaps a bias, and how calls of their layer become rows.

    Final subclasses say how. W̄ has shape (*lead, n, m): one matrix, or one for each of several
    groups of channels.
    """

    lead: Sizes = ()

    def __init__(self, module: Any, names: dict[Node, str]) -> None:
        self.weight: Node = module.weight
        self.bias: Node | None = getattr(module, "bias", None)
        self.name = names[self.weight]
        self.parameters = [p for p in (self.weight, self.bias) if p in names]
        self.names = [names[p] for p in self.parameters]
        self.trains_bias = len(self.names) == 2
        self.axes = np.ndim(self.weight.data) - 2

    def fits(self, have: Sizes, out: Sizes) -> bool:
        """Whether such a layer makes of inputs of one shape outputs of the other."""
        raise NotImplementedError

    def rows(self, x: Array) -> Iterator[Array]:
        """Inputs as rows, without ones, in portions: shape (*lead, rows, inputs)."""
        raise NotImplementedError

    def results(self, g: Array) -> Array:
        """What belongs to the outputs of all rows, shape (*lead, rows, n)."""
        raise NotImplementedError

    def explains(self, x: Array, out: Array) -> bool:
        """Whether a call has computed W̄ā, as far as two of its rows can tell."""
        if not x.size or not self.fits(x.shape, np.shape(out)):
            return False
        a = next(self.rows(x))
        ends = [0, a.shape[-2] - 1]
        weight = self.weight.data.reshape(*self.lead, -1, a.shape[-1])
        expected = a[..., ends, :] @ weight.swapaxes(-1, -2)
        if self.bias is not None:
            expected = expected + self.bias.data.reshape(*self.lead, 1, -1)
        found = self.results(out)[..., ends, :]
        return np.allclose(found, expected, CLOSE, CLOSE * _size(found), equal_nan=True)

    def block(self, parts: dict[str, Any]) -> Array:
        """Arrays like the weight and the bias as one matrix; zeros for what is missing."""
        whole = (parts.get(k, np.zeros_like(p.data)) for k, p in zip(self.names, self.parameters))
        return np.concatenate([x.reshape(*self.lead, self.outs, -1) for x in whole], axis=-1)

    def parts(self, block: Array) -> dict[str, Array]:
        """The other way, by name."""
        if not self.trains_bias:
            return {self.name: block.reshape(self.weight.data.shape)}
        weight, bias = block[..., :-1], block[..., -1]
        return dict(zip(self.names, (weight.reshape(self.weight.data.shape), bias.ravel())))

    @property
    def outs(self) -> int:
        """n, the outputs of a group."""
        return int(len(self.weight.data) // math.prod(self.lead))


class _Linear(Layer):
    """Rows are the last axis of the inputs."""

    def fits(self, have: Sizes, out: Sizes) -> bool:
        outs, ins = self.weight.data.shape
        return have[-1:] == (ins,) and out == (*have[:-1], outs)

    def rows(self, x: Array) -> Iterator[Array]:
        yield x.reshape(-1, x.shape[-1])

    def results(self, g: Array) -> Array:
        return g.reshape(-1, g.shape[-1])


class _Convolution(Layer):
    """Rows are the windows, for each group of channels its own."""

    def __init__(self, module: Any, names: dict[Node, str]) -> None:
        super().__init__(module, names)
        self.kernel: Sizes = self.weight.data.shape[2:]
        self.stride, self.dilation = module.stride, module.dilation
        self.groups = module.groups
        self.lead = (self.groups,) if self.groups > 1 else ()
        self.padding = _widths(module.padding, self.kernel, self.dilation)
        self.mode: Any = PADDING_MODES[module.padding_mode]

    def fits(self, have: Sizes, out: Sizes) -> bool:
        size = tuple(n + a + b for n, (a, b) in zip(have[-self.axes :], self.padding))
        many = places(size, self.kernel, self.stride, self.dilation)
        lead = have[: -self.axes - 1]
        ins = self.groups * self.weight.data.shape[1]
        return (
            len(lead) < 2
            and have == (*lead, ins, *have[-self.axes :])
            and out == (*lead, len(self.weight.data), *many)
        )

    def rows(self, x: Array) -> Iterator[Array]:
        x = self._batch(x)
        around, mode = ((0, 0), (0, 0), *self.padding), self.mode
        many = math.prod(self.kernel) * math.prod(x.shape[1:])
        step = max(1, MOST_COPIED // max(1, many))
        for i in range(0, len(x), step):
            padded = np.pad(x[i : i + step], around, mode)
            yield self._as_rows(view_windows(padded, self.kernel, self.stride, self.dilation))

    def results(self, g: Array) -> Array:
        return self._as_rows(self._batch(g))

    def _batch(self, x: Array) -> Array:
        return x if x.ndim == self.axes + 2 else x[None]

    def _as_rows(self, x: Array) -> Array:
        """From (samples, channels, ..., *places) to (*lead, samples · places, the rest)."""
        samples, many = len(x), math.prod(x.shape[x.ndim - self.axes :])
        x = x.reshape(samples, self.groups, -1, many).transpose(1, 0, 3, 2)
        return x.reshape(*self.lead, samples * many, -1)


def _widths(padding: Any, kernel: Sizes, dilation: Sizes) -> Widths:
    if padding == "same":
        return same_padding(kernel, dilation)
    return tuple((n, n) for n in ((0,) * len(kernel) if padding == "valid" else padding))


def _size(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


def layers_of(model: Any, names: dict[Node, str]) -> list[tuple[Any, Layer]]:
    """The modules with a weight that is a matrix or a kernel, and what we know of each.

    Modules that share a weight share what we know of it.
    """
    found: dict[Node, Layer] = {}
    pairs = []
    for _, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Node) and weight in names and (kind := _kind(module, weight.data)):
            pairs.append((module, found.setdefault(weight, kind(module, names))))
    return pairs


def _kind(module: Any, weight: Any) -> type[Layer] | None:
    bias = getattr(module, "bias", None)
    if bias is not None and not (
        isinstance(bias, Node) and np.shape(bias.data) == weight.shape[:1]
    ):
        return None
    axes = np.ndim(weight) - 2
    if axes > 0 and _convolves(module, axes):
        return _Convolution
    return _Linear if axes == 0 else None


def _convolves(module: Any, axes: int) -> bool:
    """Whether it has the settings of a convolution."""
    names = ("stride", "dilation", "padding", "groups", "padding_mode")
    stride, dilation, padding, groups, mode = (getattr(module, k, None) for k in names)
    return (
        all(isinstance(x, tuple) and len(x) == axes for x in (stride, dilation))
        and (padding in ("same", "valid") or isinstance(padding, tuple))
        and isinstance(groups, int)
        and mode in PADDING_MODES
    )
