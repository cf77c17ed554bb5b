"""Pooling: the largest number, or the mean, of each window."""

from __future__ import annotations

import builtins
from typing import Any, ClassVar

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.ops.convolution import (
    Sizes,
    Widths,
    each_place,
    overlap_add,
    span,
    view_windows,
    windows,
)
from microgradopt.engine.ops.shapes import broadcast_to, cut, reshape, stack
from microgradopt.engine.padding import pad
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import max, mean
from microgradopt.engine.rules import Fused, Linear, shape_of as shape
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import call_of, dtype_of, flag, operand, per_axis, told
from microgradopt.nn.batches import check_images
from microgradopt.nn.convolution import check_windows
from microgradopt.nn.init import normal
from microgradopt.nn.module import Module, Sample

# Rows


def _largest(x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """Place by place of the kernel: NumPy is slow to reduce axes as short as a window's."""
    seen = view_windows(x, kernel, stride, dilation)
    first, *others = each_place(kernel)
    out = np.array(seen[first], order="C")
    for at in others:
        np.maximum(out, seen[at], out=out)
    return out


def _pull_largest(
    g: Array, out: Array, x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes
) -> Array:
    seen = view_windows(x, kernel, stride, dilation)
    hits = [seen[at] == out for at in each_place(kernel)]
    ties = np.add.reduce([hit.view(np.uint8) for hit in hits], 0, dtype=np.intp)
    part = g if np.all(ties == 1) else g / ties.astype(g.dtype)
    d = np.zeros(x.shape, g.dtype)
    into = view_windows(d, kernel, stride, dilation)
    for at, hit in zip(each_place(kernel), hits):
        into[at] += part * hit
    return d


def _total(x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    seen = view_windows(x, kernel, stride, dilation)
    first, *others = each_place(kernel)
    out = np.array(seen[first], order="C")
    for at in others:
        out += seen[at]
    return out


def _repeat(g: Any, x: Any, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Each total goes back to all numbers of its window."""
    n = len(kernel)
    lead, many = shape(g)[:-n], shape(g)[-n:]
    columns = broadcast_to(reshape(g, (*lead, *(1,) * n, *many)), (*lead, *kernel, *many))
    return overlap_add(columns, size=shape(x)[-n:], stride=stride, dilation=dilation)


max_windows = Fused(
    "max_windows",
    symbol="max pool",
    array=_largest,
    pullback=_pull_largest,
    composite=lambda x, kernel, stride, dilation: max(
        windows(x, kernel=kernel, stride=stride, dilation=dilation),
        axis=tuple(range(len(shape(x)) - len(kernel), len(shape(x)))),
    ),
    sample=windows.sample,
    doc="The largest number of each window of the last axes; ties split the gradient evenly",
)
sum_windows = Linear(
    "sum_windows",
    symbol="Σ pool",
    array=_total,
    transpose=_repeat,
    sample=windows.sample,
    doc="The sum of the numbers of each window of the last axes",
)


# Layers


def _count_windows(n: int, reach: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows go along an axis; with ``ceil_mode`` the last may reach beyond the end."""
    room = n + 2 * padding - reach
    if not ceil_mode:
        return room // stride + 1
    many = -(-room // stride) + 1
    return many - 1 if (many - 1) * stride >= n + padding else many  # none starts out there


class _Pool(Module):
    """What layers of windows share."""

    axes: ClassVar[int]
    kernel_size: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    ceil_mode: bool

    def _start(
        self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> None:
        user = type(self).__name__
        self.kernel_size = per_axis(user, "kernel_size", kernel_size, self.axes)
        steps = kernel_size if stride is None else stride
        self.stride = per_axis(user, "stride", steps, self.axes)
        self.padding = per_axis(user, "padding", padding, self.axes, least=0)
        self.dilation = per_axis(user, "dilation", dilation, self.axes)
        self.ceil_mode = flag(user, "ceil_mode", ceil_mode)
        for p, n in zip(self.padding, self.kernel_size):
            if 2 * p > n:
                raise UsageError(
                    f"{user}: padding {p} is more than half of the window's {n} entries; a window "
                    "could then hold padding only"
                )

    def _widths(self, have: tuple[int, ...]) -> tuple[Sizes, Widths]:
        """How many windows there are, and how much to put around the last axes for them."""
        size = have[-self.axes :]
        reach = span(self.kernel_size, self.dilation)
        many = tuple(
            _count_windows(n, m, s, p, self.ceil_mode)
            for n, m, s, p in zip(size, reach, self.stride, self.padding)
        )
        check_windows(self, have, reach, many if 0 not in size else (0,))
        needed = (m + (k - 1) * s for m, k, s in zip(reach, many, self.stride))
        after = (builtins.max(e - n - p, p) for e, n, p in zip(needed, size, self.padding))
        return many, tuple(zip(self.padding, after))

    def _prepared(self, x: Any, filler: float) -> tuple[Any, Sizes]:
        """The input with what is around it, and how many windows it has."""
        x = operand(type(self).__name__, x)
        have = shape(x)
        check_images(self, have, "channels", self.axes)
        many, around = self._widths(have)
        if any(map(any, around)):
            before = ((0, 0),) * (len(have) - self.axes)
            x = pad(x, (*before, *around), constant_values=filler)
        return x, many

    def _repr(self, **options: tuple[Any, Any]) -> str:
        return call_of(
            self,
            told(self.kernel_size),
            stride=(told(self.stride), told(self.kernel_size)),
            padding=(told(self.padding), 0),
            dilation=(told(self.dilation), 1),
            ceil_mode=(self.ceil_mode, False),
            **options,
        )


class _MaxPool(_Pool):
    """MaxPool1d and MaxPool2d."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._start(kernel_size, stride, padding, dilation, ceil_mode)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, *(7, 6)[: cls.axes]), 0, dtype, std=1.0)
        refused = ((x[0, 0, 0],), (x[..., :1],))
        two = (3, 2)[: cls.axes]
        return [
            Sample(cls(2), (x,), refused),
            Sample(cls(two, 1), (x[0],), refused),
            Sample(cls(3, 2, 1), (x,)),
            Sample(cls(2, 3, ceil_mode=True), (x,), refused[:1]),
            Sample(cls(two, two[::-1], 1, 2), (x,)),
        ]

    def forward(self, x: Any) -> Any:
        x, _ = self._prepared(x, -np.inf)
        return max_windows(x, kernel=self.kernel_size, stride=self.stride, dilation=self.dilation)

    def __repr__(self) -> str:
        return self._repr()


class MaxPool1d(_MaxPool):
    """The largest number of each window: from (samples, channels, length), or one sample.

    Where several numbers of a window are the largest, each gets an equal share of the gradient (in
    torch, the first gets all of it).

    Args:
        kernel_size: the length of a window.
        stride: how far apart windows start; ``kernel_size`` when left out.
        padding: how many −∞ to put at both ends; at most half of the window.
        dilation: how far apart the entries of a window are.
        ceil_mode: whether the last window may reach beyond the end, so that no number is left out.

    Raises:
        ShapeError: when called on less than a window, or without an axis of channels.
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """:class:`MaxPool1d` over images: from (samples, channels, height, width), or one of them.

    >>> import numpy as np, microgradopt as mg
    >>> mg.nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 4, 4))
    array([[[ 5.,  7.],
            [13., 15.]]])
    """

    axes = 2


class _AvgPool(_Pool):
    """AvgPool1d and AvgPool2d."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._start(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = flag(type(self).__name__, "count_include_pad", count_include_pad)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, *(7, 6)[: cls.axes]), 0, dtype, std=1.0)
        refused = ((x[0, 0, 0],), (x[..., :1],))
        two = (3, 2)[: cls.axes]
        return [
            Sample(cls(2), (x,), refused),
            Sample(cls(two, 1), (x[0],), refused),
            Sample(cls(3, 2, 1), (x,)),
            Sample(cls(two, 2, 1, ceil_mode=True), (x,)),
            Sample(cls(3, 2, 1, True, count_include_pad=False), (x,)),
        ]

    @quietly
    def forward(self, x: Any) -> Any:
        size = shape(x)[-self.axes :]
        x, many = self._prepared(x, 0.0)
        total = sum_windows(x, kernel=self.kernel_size, stride=self.stride, dilation=self.dilation)
        return total / self._counts(size, many, dtype_of(x))

    def _counts(self, size: Sizes, many: Sizes, dtype: Any) -> Any:
        """How many numbers the total of each window is divided by: one for all if it can be."""
        if not any(self.padding) and not self.ceil_mode:
            return float(np.prod(self.kernel_size))
        counts: Any = 1
        for n, k, m, s, p in zip(size, self.kernel_size, many, self.stride, self.padding):
            start = np.arange(m) * s - p
            end = np.minimum(start + k, n + p)
            if not self.count_include_pad:
                start, end = np.maximum(start, 0), np.minimum(end, n)
            counts = np.multiply.outer(counts, end - start)
        return np.asarray(counts, dtype)

    def __repr__(self) -> str:
        return self._repr(count_include_pad=(self.count_include_pad, True))


class AvgPool1d(_AvgPool):
    """The mean of each window: from (samples, channels, length), or one sample.

    Args:
        kernel_size: the length of a window.
        stride: how far apart windows start; ``kernel_size`` when left out.
        padding: how many zeros to put at both ends; at most half of the window.
        ceil_mode: whether the last window may reach beyond the end, so that no number is left out.
        count_include_pad: whether the zeros of ``padding`` count in the mean. What a window of
            ``ceil_mode`` reaches beyond them never does.

    Raises:
        ShapeError: when called on less than a window, or without an axis of channels.
    """

    axes = 1


class AvgPool2d(_AvgPool):
    """:class:`AvgPool1d` over images: from (samples, channels, height, width), or one of them."""

    axes = 2


class _AdaptiveAvgPool(Module):
    """AdaptiveAvgPool1d and AdaptiveAvgPool2d."""

    axes: ClassVar[int]

    def __init__(self, output_size: Any) -> None:
        user = type(self).__name__
        given = (
            output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self.axes
        )
        wanted = per_axis(user, "output_size", [1 if n is None else n for n in given], self.axes)
        self.output_size = tuple(None if g is None else n for g, n in zip(given, wanted))

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, *(7, 5)[: cls.axes]), 0, dtype, std=1.0)
        refused = ((x[0, 0, 0],), (x[..., :0],))
        return [
            Sample(cls(1), (x,), refused),
            Sample(cls((3, 2)[: cls.axes]), (x,), refused),
            Sample(cls((9, None)[: cls.axes]), (x[0],), refused),
        ]

    def forward(self, x: Any) -> Any:
        x = operand(type(self).__name__, x)
        have = shape(x)
        check_images(self, have, "channels", self.axes)
        if 0 in have[-self.axes :]:
            raise ShapeError(f"{self!r} takes the mean of some numbers; got shape {have}")
        if set(self.output_size) == {1}:
            return mean(x, axis=tuple(range(len(have) - self.axes, len(have))), keepdims=True)
        for axis, wanted in enumerate(self.output_size, len(have) - self.axes):
            if wanted is not None:
                x = _even_means(x, axis, wanted)
        return x

    def __repr__(self) -> str:
        size: Any = self.output_size
        return call_of(self, told(size))


def _even_means(x: Any, axis: int, wanted: int) -> Any:
    """The means of ``wanted`` windows that cover an axis; their lengths vary by one."""
    n = shape(x)[axis]
    ends = [(i * n // wanted, -(-(i + 1) * n // wanted)) for i in range(wanted)]
    return stack([mean(cut(x, axis, start, end), axis) for start, end in ends], axis)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of ``output_size`` windows that cover the length evenly; of all of it, for 1.

    From (samples, channels, length), or one sample; with ``output_size=None`` nothing changes.
    """

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """:class:`AdaptiveAvgPool1d` over images, ``output_size`` an int or a pair of ints and Nones.

    ``AdaptiveAvgPool2d(1)`` is what is known as global average pooling.
    """

    axes = 2
