"""Convolutions over one and two axes, and their transposes, as torch has them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from microgradopt.engine.ops import convolution as rows
from microgradopt.engine.ops.convolution import Sizes, Widths
from microgradopt.engine.ops.elementwise import add
from microgradopt.engine.ops.shapes import reshape
from microgradopt.engine.padding import pad
from microgradopt.engine.rules import Fused, add_up, shape_of as shape
from microgradopt.engine.tensor import Tensor
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import call_of, count, one_of, operand, per_axis, told
from microgradopt.nn.batches import AXES, as_batches, as_given, check_images
from microgradopt.nn.init import Initialiser, normal
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.weights import weight_and_bias, with_bias
from microgradopt.randomness import RandomSource

PADDING_MODES = {  # torch's names, and those of mg.pad
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def _upright(bias: Any, axes: int) -> Any:
    """A number for each channel, in a shape that goes with images."""
    return reshape(bias, (-1, *(1,) * axes))


def _biased(x: Any, weight: Any, bias: Any, **how: Any) -> Any:
    return with_bias(rows.convolution(x, weight, **how), _upright(bias, weight.ndim - 2))


def _sample(rng: Any) -> list[Any]:
    without_bias: Any = rows.convolution.sample
    return [((x, w, rng.normal(size=len(w))), how) for (x, w), how in without_bias(rng)]


biased_convolution = Fused(
    "biased_convolution",
    symbol="conv+b",
    array=_biased,
    pullback=(
        lambda g, out, x, weight, bias, **how: rows.convolution_transposed(
            g, weight, size=x.shape[2:], **how
        ),
        lambda g, out, x, weight, bias, **how: rows.correlation(
            x, g, kernel=weight.shape[2:], **how
        ),
        lambda g, out, x, weight, bias, **how: add_up(g, axis=(0, *range(2, g.ndim))),
    ),
    composite=lambda x, weight, bias, **how: (
        rows.convolution(x, weight, **how) + _upright(bias, len(shape(x)) - 2)
    ),
    sample=_sample,
    doc="A convolution, and a number added to each channel",
)


def _widths(user: str, padding: Any, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Widths:
    """How much to put before and after each axis."""
    if padding == "same":
        if any(s != 1 for s in stride):
            raise UsageError(f"{user}: padding='same' needs a stride of 1, got {told(stride)}")
        return rows.same_padding(kernel, dilation)
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if isinstance(padding, str):
        raise UsageError(f"{user}: padding must be ints, 'same' or 'valid', got {padding!r}")
    return tuple((n, n) for n in per_axis(user, "padding", padding, len(kernel), least=0))


def check_windows(user: object, have: tuple[int, ...], around: Sizes, many: Sizes) -> None:
    """Refuse images that are too small for a single window."""
    if any(m < 1 for m in many):
        raise ShapeError(
            f"{user} got inputs of shape {have}, too small for its window, which reaches over "
            f"{told(around)}; use a smaller one, or padding="
        )


def _convolved(
    user: object,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Widths,
    dilation: Sizes,
    groups: int,
    mode: str = "constant",
) -> Any:
    kernel = shape(weight)[2:]
    axes = len(kernel)
    have = shape(x)
    check_images(user, have, groups * shape(weight)[1], axes)
    size = tuple(a + n + b for n, (a, b) in zip(have[-axes:], padding))
    around = rows.span(kernel, dilation)
    check_windows(user, have, around, rows.places(size, kernel, stride, dilation))
    alone = len(have) == axes + 1
    (x,) = as_batches(alone, x)
    if mode != "constant":
        x = pad(x, ((0, 0), (0, 0), *padding), mode)
        padding = ((0, 0),) * axes
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if bias is None:
        out = rows.convolution(x, weight, **how)
    else:
        out = biased_convolution(x, weight, bias, **how)
    return as_given(alone, out)[0]


def _convolve(
    axes: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    user = f"conv{axes}d"
    size = shape(weight)
    if len(size) != axes + 2 or 0 in size or size[0] % count(user, "groups", groups):
        raise ShapeError(
            f"{user}: a weight has shape (channels out, channels in / groups, {AXES[axes]}), none "
            f"of them 0, and as many channels out for each of the {groups} groups; got {size}"
        )
    if bias is not None and shape(bias) != size[:1]:
        raise ShapeError(f"{user}: a bias for {size[0]} channels out has shape {shape(bias)}")
    steps = per_axis(user, "stride", stride, axes)
    apart = per_axis(user, "dilation", dilation, axes)
    widths = _widths(user, padding, size[2:], steps, apart)
    return _convolved(user, operand(user, x), weight, bias, steps, widths, apart, groups)


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The function behind :class:`Conv1d`, of a weight and a bias of your own."""
    return _convolve(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The function behind :class:`Conv2d`, of a weight and a bias of your own.

    >>> import numpy as np, microgradopt as mg
    >>> edge = np.array([[[[-1.0, 1.0]]]])
    >>> mg.nn.conv2d(np.array([[[0.0, 0.0, 1.0, 1.0]]]), edge)
    array([[[0., 1., 0.]]])
    """
    return _convolve(2, x, weight, bias, stride, padding, dilation, groups)


class _Convolution(Module):
    """What all layers here share: the sizes, and a weight and a bias for them."""

    axes: ClassVar[int]
    weight: Tensor
    bias: Tensor | None

    def _start(
        self,
        channels: tuple[Any, Any],
        kernel_size: Any,
        stride: Any,
        dilation: Any,
        groups: Any,
    ) -> None:
        user = type(self).__name__
        self.in_channels = count(user, "in_channels", channels[0])
        self.out_channels = count(user, "out_channels", channels[1])
        self.kernel_size = per_axis(user, "kernel_size", kernel_size, self.axes)
        self.stride = per_axis(user, "stride", stride, self.axes)
        self.dilation = per_axis(user, "dilation", dilation, self.axes)
        self.groups = count(user, "groups", groups)
        for n in (self.in_channels, self.out_channels):
            if n % self.groups:
                raise UsageError(f"{user}: {n} channels do not go into {groups} equal groups")

    def _weights(
        self, outer: int, inner: int, bias: bool, init: Any, rng: RandomSource, dtype: Any
    ) -> None:
        size = (outer, inner // self.groups, *self.kernel_size)
        call = f"{type(self).__name__}({self.in_channels}, {self.out_channels})"
        self.weight, self.bias = weight_and_bias(
            call, size, self.out_channels, bias, init, rng, dtype
        )

    def _repr(self, **options: tuple[Any, Any]) -> str:
        return call_of(
            self,
            self.in_channels,
            self.out_channels,
            told(self.kernel_size),
            stride=(told(self.stride), 1),
            **options,
            dilation=(told(self.dilation), 1),
            groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )


class _Conv(_Convolution):
    """Conv1d and Conv2d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self._start((in_channels, out_channels), kernel_size, stride, dilation, groups)
        self._widths = _widths(user, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else tuple(n for n, _ in self._widths)
        self.padding_mode = one_of(user, "padding_mode", padding_mode, PADDING_MODES)
        self._weights(self.out_channels, self.in_channels, bias, init, rng, dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 2, *(6, 5)[: cls.axes]), 0, dtype, std=1.0)
        few, small = x[:, :1], x[..., :1]
        many = (3, 2)[: cls.axes]
        made = (
            cls(2, 3, many, rng=0, dtype=dtype),
            cls(2, 4, 2, 2, 1, groups=2, bias=False, rng=0, dtype=dtype),
            cls(2, 1, many, padding="same", dilation=2, rng=0, dtype=dtype),
            cls(2, 2, 3, (2, 1)[: cls.axes], 2, padding_mode="reflect", rng=0, dtype=dtype),
            cls(2, 1, 2, padding="same", padding_mode="circular", rng=0, dtype=dtype),
            cls(2, 1, 3, padding=1, padding_mode="replicate", rng=0, dtype=dtype),
        )
        samples = [Sample(layer, (x,), ((few,), (x[0, 0],))) for layer in made]
        return [*samples, Sample(made[0], (x[0],), ((small,), (few[0],), (x[None],)))]

    def forward(self, x: Any) -> Any:
        return _convolved(
            self,
            operand(type(self).__name__, x, self.weight.dtype),
            self.weight,
            self.bias,
            self.stride,
            self._widths,
            self.dilation,
            self.groups,
            PADDING_MODES[self.padding_mode],
        )

    def __repr__(self) -> str:
        padding = self.padding if isinstance(self.padding, str) else told(self.padding)
        return self._repr(padding=(padding, 0), padding_mode=(self.padding_mode, "zeros"))


class Conv1d(_Conv):
    """Slides kernels over sequences: each channel out is a sum of products with each window.

    From shape (samples, in_channels, length) to (samples, out_channels, windows), or both without
    samples. The kernel is not turned around, as in torch's Conv1d.

    Args:
        in_channels, out_channels: how many channels there are before and after.
        kernel_size: the length of the kernels.
        stride: how far apart windows start.
        padding: how many zeros to put at both ends; "same" for as many as keep the length, "valid"
            for none.
        dilation: how far apart the entries of a window are.
        groups: into how many groups the channels go, each of which sees only its own.
        bias: whether to add a number to each channel.
        padding_mode: "zeros"; or what to put at the ends instead of them: "reflect", "replicate"
            or "circular".
        init: the weight's initialiser, see :mod:`microgradopt.nn.init`. Left out, weight and bias
            start uniform between ±1/√fan_in like torch's; given, the bias starts at 0.
        rng: a generator or seed.
        dtype: float64 or float32.

    ``weight`` has shape (out_channels, in_channels / groups, kernel_size), ``bias``
    (out_channels,).

    Raises:
        ShapeError: when called on another number of channels, or on less than a window.
    """

    axes = 1


class Conv2d(_Conv):
    """:class:`Conv1d` over images: from (samples, in_channels, height, width), or one of them.

    Arguments of :class:`Conv1d` that are numbers go for both axes, or are given as pairs.

    >>> import numpy as np, microgradopt as mg
    >>> layer = mg.nn.Conv2d(3, 16, 3, padding=1, rng=0)
    >>> layer(np.zeros((10, 3, 32, 32))).shape
    (10, 16, 32, 32)
    """

    axes = 2


class _ConvTranspose(_Convolution):
    """ConvTranspose1d and ConvTranspose2d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self._start((in_channels, out_channels), kernel_size, stride, dilation, groups)
        self.padding = per_axis(user, "padding", padding, self.axes, least=0)
        self.output_padding = per_axis(user, "output_padding", output_padding, self.axes, least=0)
        for more, step, apart in zip(self.output_padding, self.stride, self.dilation):
            if more >= max(step, apart):
                raise UsageError(
                    f"{user}: output_padding {more} must be less than the stride ({step}) or the "
                    f"dilation ({apart})"
                )
        self._weights(self.in_channels, self.out_channels, bias, init, rng, dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 2, *(4, 3)[: cls.axes]), 0, dtype, std=1.0)
        few = x[:, :1]
        many = (3, 2)[: cls.axes]
        made = (
            cls(2, 3, many, rng=0, dtype=dtype),
            cls(2, 4, 2, 3, 1, 2, groups=2, bias=False, rng=0, dtype=dtype),
            cls(2, 1, many, 1, 1, 1, dilation=2, rng=0, dtype=dtype),
            cls(2, 1, 2, 2, 0, 1, rng=0, dtype=dtype),
        )
        samples = [Sample(layer, (x,), ((few,), (x[0, 0],))) for layer in made]
        return [*samples, Sample(made[0], (x[0],), ((few[0],), (x[None],)))]

    def forward(self, x: Any) -> Any:
        x = operand(type(self).__name__, x, self.weight.dtype)
        have = shape(x)
        check_images(self, have, self.in_channels, self.axes)
        size, padding, more = self._sizes(have)
        alone = len(have) == self.axes + 1
        (x,) = as_batches(alone, x)
        out = rows.convolution_transposed(
            x,
            self.weight,
            size=size,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if any(more):
            out = pad(out, ((0, 0), (0, 0), *((0, n) for n in more)))
        if self.bias is not None:
            out = add(out, _upright(self.bias, self.axes))
        return as_given(alone, out)[0]

    def _sizes(self, have: tuple[int, ...]) -> tuple[Sizes, Widths, Sizes]:
        """The size that kernels reach, what is cut off at its ends, and how many zeros follow.

        Of what is cut off at the end, ``output_padding`` leaves some; where there is not enough,
        the rest are zeros.
        """
        around = rows.span(self.kernel_size, self.dilation)
        whole = tuple((n - 1) * s + m for n, s, m in zip(have[-self.axes :], self.stride, around))
        cut = tuple((p, max(p - o, 0)) for p, o in zip(self.padding, self.output_padding))
        more = tuple(max(o - p, 0) for p, o in zip(self.padding, self.output_padding))
        size = tuple(n - a - b for n, (a, b) in zip(whole, cut))
        if math.prod(have[-self.axes :]) == 0 or any(n < 1 for n in size):
            raise ShapeError(
                f"{self!r} got inputs of shape {have}, of which nothing would be left; use a "
                "smaller padding"
            )
        return size, cut, more

    def __repr__(self) -> str:
        return self._repr(
            padding=(told(self.padding), 0), output_padding=(told(self.output_padding), 0)
        )


class ConvTranspose1d(_ConvTranspose):
    """What :class:`Conv1d` does to the gradient of its input: each entry paints a kernel.

    From shape (samples, in_channels, length) to (samples, out_channels, longer), or both without
    samples; the new length is (length − 1)·stride + dilation·(kernel_size − 1) + 1
    + output_padding − 2·padding.

    Args:
        padding: how many entries to cut off at both ends.
        output_padding: how many more to have at the end; less than the stride or the dilation.

    The others are those of :class:`Conv1d`; ``weight`` has shape (in_channels, out_channels /
    groups, kernel_size).
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """:class:`ConvTranspose1d` over images: from (samples, in_channels, height, width)."""

    axes = 2
