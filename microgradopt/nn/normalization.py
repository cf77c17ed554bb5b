"""Layers that shift and scale their inputs to mean 0 and variance 1, over a batch or a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.ops.elementwise import sqrt
from microgradopt.engine.ops.shapes import reshape
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import mean, var
from microgradopt.engine.rules import data_of, shape_of as shape
from microgradopt.engine.tensor import Tensor
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import call_of, count, flag, operand
from microgradopt.nn.batches import check_images
from microgradopt.nn.init import normal
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.standardizing import Axes, normalise
from microgradopt.nn.states import Buffer


def _pair(affine: bool, bias: bool, size: Axes, dtype: Any) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias at their start: ones and zeros."""
    weight = Tensor(np.ones(size, dtype), name="weight") if affine else None
    return weight, Tensor(np.zeros(size, dtype), name="bias") if affine and bias else None


def _scaling(layer: Any, size: Sequence[int]) -> list[Any]:
    """The weight and the bias that a layer has, in a shape that broadcasts with its inputs."""
    return [reshape(p, size) for p in (layer.weight, layer.bias) if p is not None]


# Over a batch


class BatchNorm(Module):
    """(x − mean) / √(variance + eps) for each channel over a batch, times weight, plus bias.

    Takes shape (samples, channels) or (samples, channels, *size). In training, mean and variance
    are those of the batch, and running averages of both are kept; in evaluation, these are used.
    The running variance is of the unbiased kind, over n − 1, as torch's.

    Args:
        num_features: the number of channels.
        eps: keeps the root away from 0.
        momentum: the weight of the newest batch in the running averages; None for plain averages
            over all batches.
        affine: whether to have ``weight`` and ``bias``, of shape (channels,), which start at 1 and
            0.
        track_running_stats: whether to keep running averages; without, evaluation also takes mean
            and variance of the batch.
        dtype: float64 or float32.

    Raises:
        ShapeError: for another number of channels, or a single value per channel in training.

    Source: S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by
    reducing internal covariate shift", 2015.

    >>> import numpy as np, microgradopt as mg
    >>> layer = mg.nn.BatchNorm(2)
    >>> layer(np.array([[1.0, 2.0], [3.0, 6.0]])).data.round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean.data
    array([0.2, 0.4])
    """

    ranks: ClassVar[Axes] = ()  # how many dimensions inputs may have; any from 2 on when empty
    layouts: ClassVar[str] = "(samples, {0}) or (samples, {0}, *size)"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self.num_features = count(user, "num_features", num_features)
        check_number(user, "eps", eps)
        if momentum is not None:
            check_number(user, "momentum", momentum)
        self.eps = float(eps)
        self.momentum = momentum
        self.affine = flag(user, "affine", affine)
        self.track_running_stats = flag(user, "track_running_stats", track_running_stats)
        self.dtype = np.dtype(dtype)
        size = (self.num_features,)
        self.weight, self.bias = _pair(affine, True, size, dtype)
        self.running_mean: Buffer | None = None
        self.running_var: Buffer | None = None
        self.num_batches_tracked: Buffer | None = None
        if track_running_stats:
            self.running_mean = Buffer(np.zeros(size, dtype), name="running_mean")
            self.running_var = Buffer(np.ones(size, dtype), name="running_var")
            self.num_batches_tracked = Buffer(np.zeros((), np.int64), name="num_batches_tracked")

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        wanted = cls.ranks or (2, 3, 4, 5)
        flat = np.zeros((4, 3), dtype)
        wrong = [flat.reshape(4, 3, *(1,) * (k - 2)) for k in (2, 3, 4) if k not in wanted]
        refused = tuple((x,) for x in (*wrong, np.zeros(3, dtype), np.zeros((4, 2), dtype)))
        found = []
        for i, rank in enumerate(wanted):
            x = normal((4, 3, *(2, 3, 1)[: rank - 2]), i, dtype, std=2.0) + dtype(0.5)
            single = (np.zeros((1, 3, *(1,) * (rank - 2)), dtype),)
            found.append(Sample(cls(3, dtype=dtype), (x,), (*refused, single)))
            plain = cls(3, 0.01, None, affine=False, dtype=dtype)
            found.append(Sample(plain, (x,), refused))
        still = cls(3, 0.1, 0.5, track_running_stats=False, dtype=dtype)
        return [*found, Sample(still, (x,), refused)]

    def forward(self, x: Any) -> Any:
        x = operand(type(self).__name__, x, self.dtype)
        have = shape(x)
        self._check(have)
        upright = (self.num_features, *(1,) * (len(have) - 2))
        if self.training or self.running_mean is None:
            return self._by_batch(x, (0, *range(2, len(have))), upright)
        return self._by_averages(x, upright)

    def _check(self, have: tuple[int, ...]) -> None:
        fits = len(have) in self.ranks if self.ranks else len(have) >= 2
        if not fits or have[1] != self.num_features:
            raise ShapeError(
                f"{self!r} takes inputs of shape {self.layouts.format(self.num_features)}, "
                f"got {have}"
            )

    @quietly
    def _by_batch(self, x: Any, axes: Axes, upright: Axes) -> Any:
        have = shape(x)
        n = math.prod(have[a] for a in axes)
        if n < 2:
            advice = "call .eval() first"
            if self.running_mean is None:
                advice = "keep running averages (track_running_stats=True) for evaluation"
            raise ShapeError(
                f"{self!r} needs more than 1 value per channel for their variance, got shape "
                f"{have}; give a larger batch, or {advice}"
            )
        numbers = data_of(x)
        middle = mean(numbers, axes, keepdims=True)
        spread = var(numbers, axes, keepdims=True, mean=middle)
        out = normalise(
            x,
            *_scaling(self, upright),
            axis=axes,
            eps=self.eps,
            centred=True,
            moments=(middle, spread),
        )
        if self.training:
            self._track(middle, spread * (n / (n - 1.0)))
        return out

    def _track(self, middle: Any, spread: Any) -> None:
        """Let the running averages take in those of a batch."""
        seen: Any = self.num_batches_tracked
        if seen is None:
            return
        seen.assign(np.asarray(seen.data + 1))
        rate: Any = 1.0 / seen.item() if self.momentum is None else self.momentum
        average: Any
        for average, new in ((self.running_mean, middle), (self.running_var, spread)):
            average.data = (1.0 - rate) * average.data + rate * reshape(new, average.shape)

    @quietly
    def _by_averages(self, x: Any, upright: Axes) -> Any:
        middle, spread = (reshape(b, upright) for b in (self.running_mean, self.running_var))
        scale = 1.0 / sqrt(spread + self.eps)
        weight, bias = (*_scaling(self, upright), None, None)[:2]
        out = (x - middle) * (scale if weight is None else scale * weight)
        return out if bias is None else out + bias

    def __repr__(self) -> str:
        return call_of(
            self,
            self.num_features,
            eps=(self.eps, 1e-5),
            momentum=(self.momentum, 0.1),
            affine=(self.affine, True),
            track_running_stats=(self.track_running_stats, True),
        )


class BatchNorm1d(BatchNorm):
    """:class:`BatchNorm` of shape (samples, channels) or (samples, channels, length)."""

    ranks = (2, 3)
    layouts = "(samples, {0}) or (samples, {0}, length)"


class BatchNorm2d(BatchNorm):
    """:class:`BatchNorm` of images: shape (samples, channels, height, width)."""

    ranks = (4,)
    layouts = "(samples, {0}, height, width)"


# Over the features of each sample


class _OverLastAxes(Module):
    """What LayerNorm and RMSNorm share."""

    centred: ClassVar[bool]
    normalized_shape: Axes
    weight: Tensor | None
    bias: Tensor | None
    dtype: np.dtype[Any]

    def _start(self, size: Any, affine: bool, bias: bool, dtype: Any) -> None:
        sizes = size if isinstance(size, (tuple, list)) else (size,)
        user = type(self).__name__
        if not sizes:
            raise UsageError(f"{user}: normalized_shape lists the lengths of the last axes")
        self.normalized_shape = tuple(count(user, "each length", n) for n in sizes)
        self.dtype = np.dtype(dtype)
        self.elementwise_affine = flag(user, "elementwise_affine", affine)
        bias = flag(user, "bias", bias)
        self.weight, self.bias = _pair(affine, bias, self.normalized_shape, dtype)

    def _apply(self, x: Any, eps: float) -> Any:
        size = self.normalized_shape
        have = shape(x)
        if have[-len(size) :] != size:
            raise ShapeError(
                f"{self!r} takes inputs of shape (..., {', '.join(map(str, size))}), got {have}"
            )
        axes = tuple(range(len(have) - len(size), len(have)))
        return normalise(x, *_scaling(self, size), axis=axes, eps=eps, centred=self.centred)

    def _size(self) -> Any:
        size = self.normalized_shape
        return size if len(size) > 1 else size[0]


class LayerNorm(_OverLastAxes):
    """(x − mean) / √(variance + eps) over the last axes of each sample, times weight, plus bias.

    Args:
        normalized_shape: the lengths of these axes, an int for one.
        eps: keeps the root away from 0.
        elementwise_affine: whether to have ``weight`` and ``bias``, of that shape, which start at
            1 and 0.
        bias: whether to have the latter.
        dtype: float64 or float32.

    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016.
    """

    centred = True

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        check_number("LayerNorm", "eps", eps)
        self.eps = float(eps)
        self._start(normalized_shape, elementwise_affine, bias, dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, 4), 0, dtype, std=2.0)
        return [
            Sample(cls(4, dtype=dtype), (x,), ((x[:, :, :3],), (x[0, 0, 0],))),
            Sample(cls((3, 4), 0.1, bias=False, dtype=dtype), (x,), ((x[:, :2],), (x[0, 0],))),
            Sample(cls([4], elementwise_affine=False, dtype=dtype), (x[0, 0],)),
        ]

    def forward(self, x: Any) -> Any:
        return self._apply(operand("LayerNorm", x, self.dtype), self.eps)

    def __repr__(self) -> str:
        return call_of(
            self,
            self._size(),
            eps=(self.eps, 1e-5),
            elementwise_affine=(self.elementwise_affine, True),
            bias=(self.bias is not None, self.elementwise_affine),
        )


class RMSNorm(_OverLastAxes):
    """x / √(mean of x² + eps) over the last axes of each sample, times weight.

    Args:
        normalized_shape: the lengths of these axes, an int for one.
        eps: keeps the root away from 0; the distance from 1 to the next number of the input's
            dtype, when left out.
        elementwise_affine: whether to have a ``weight`` of that shape, which starts at 1.
        dtype: float64 or float32.

    Source: B. Zhang and R. Sennrich, "Root mean square layer normalization", 2019.
    """

    centred = False

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        if eps is not None:
            check_number("RMSNorm", "eps", eps)
        self.eps = eps
        self._start(normalized_shape, elementwise_affine, False, dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, 4), 0, dtype, std=2.0)
        return [
            Sample(cls(4, dtype=dtype), (x,), ((x[:, :, :3],), (x[0, 0, 0],))),
            Sample(cls((3, 4), 0.1, dtype=dtype), (x,), ((x[:, :2],), (x[0, 0],))),
            Sample(cls(4, elementwise_affine=False, dtype=dtype), (x[0, 0],)),
        ]

    def forward(self, x: Any) -> Any:
        x = operand("RMSNorm", x, self.dtype)
        smallest = float(np.finfo(np.result_type(data_of(x), np.float32)).eps)
        return self._apply(x, smallest if self.eps is None else float(self.eps))

    def __repr__(self) -> str:
        return call_of(
            self,
            self._size(),
            eps=(self.eps, None),
            elementwise_affine=(self.elementwise_affine, True),
        )


# Over groups of channels of each sample


class GroupNorm(Module):
    """(x − mean) / √(variance + eps) over groups of channels, times weight, plus bias.

    Takes shape (samples, channels, *size).

    Args:
        num_groups: into how many equal groups the channels go.
        num_channels: the number of channels.
        eps: keeps the root away from 0.
        affine: whether to have ``weight`` and ``bias``, one for each channel, from 1 and 0 on.
        dtype: float64 or float32.

    Raises:
        ShapeError: for another number of channels; and, like torch, for one sample with one value
            per group. Of several such samples nothing but the bias is left.

    Source: Y. Wu and K. He, "Group normalization", 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        self.num_groups = count("GroupNorm", "num_groups", num_groups)
        self.num_channels = count("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise UsageError(
                f"GroupNorm: {num_channels} channels do not go into {num_groups} equal groups"
            )
        check_number("GroupNorm", "eps", eps)
        self.eps = float(eps)
        self.affine = flag("GroupNorm", "affine", affine)
        self.dtype = np.dtype(dtype)
        self.weight, self.bias = _pair(affine, True, (self.num_channels,), dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 4, 3, 2), 0, dtype, std=2.0)
        refused = ((x[:, :3],), (x[0, :, 0, 0],))
        return [
            Sample(cls(2, 4, dtype=dtype), (x,), refused),
            Sample(cls(1, 4, 0.1, dtype=dtype), (x[:, :, :, 0],), refused),
            Sample(cls(2, 4, affine=False, dtype=dtype), (x[:, :, 0, 0],), refused),
        ]

    def forward(self, x: Any) -> Any:
        x = operand("GroupNorm", x, self.dtype)
        have = shape(x)
        if len(have) < 2 or have[1] != self.num_channels:
            raise ShapeError(
                f"{self!r} takes inputs of shape (samples, {self.num_channels}, *size), got {have}"
            )
        grouped = (self.num_groups, self.num_channels // self.num_groups)
        if math.prod((have[0], grouped[1], *have[2:])) == 1:
            raise ShapeError(
                f"{self!r} got shape {have}, a single value for each group, of which nothing would "
                "be left but the bias; use fewer groups"
            )
        weights = _scaling(self, (*grouped, *(1,) * (len(have) - 2)))
        groups = reshape(x, (have[0], *grouped, *have[2:]))
        axes = tuple(range(2, len(have) + 1))
        return reshape(normalise(groups, *weights, axis=axes, eps=self.eps, centred=True), have)

    def __repr__(self) -> str:
        return call_of(
            self,
            self.num_groups,
            self.num_channels,
            eps=(self.eps, 1e-5),
            affine=(self.affine, True),
        )


class _OverSize(Module):
    """What InstanceNorm1d and InstanceNorm2d share."""

    axes: ClassVar[int]  # how many axes come after that of the channels

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        *,
        affine: bool = False,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self.num_features = count(user, "num_features", num_features)
        check_number(user, "eps", eps)
        self.eps = float(eps)
        self.affine = flag(user, "affine", affine)
        self.dtype = np.dtype(dtype)
        self.weight, self.bias = _pair(affine, True, (self.num_features,), dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, *(4, 2)[: cls.axes]), 0, dtype, std=2.0)
        refused = ((x[:, :2],), (x[0, 0],), (x[:, :, :1] if cls.axes == 1 else x[..., :1, :1],))
        return [
            Sample(cls(3, dtype=dtype), (x,), refused),
            Sample(cls(3, 0.1, affine=True, dtype=dtype), (x[0],), refused),
        ]

    def forward(self, x: Any) -> Any:
        x = operand(type(self).__name__, x, self.dtype)
        have = shape(x)
        check_images(self, have, self.num_features, self.axes)
        if math.prod(have[-self.axes :]) < 2:
            raise ShapeError(
                f"{self!r} needs more than 1 value per channel and sample for their variance, "
                f"got shape {have}"
            )
        weights = _scaling(self, (self.num_features, *(1,) * self.axes))
        axes = tuple(range(len(have) - self.axes, len(have)))
        return normalise(x, *weights, axis=axes, eps=self.eps, centred=True)

    def __repr__(self) -> str:
        return call_of(self, self.num_features, eps=(self.eps, 1e-5), affine=(self.affine, False))


class InstanceNorm1d(_OverSize):
    """(x − mean) / √(variance + eps) for each channel of each sample alone.

    Takes shape (samples, channels, length) or (channels, length); keeps no running averages.

    Args:
        num_features: the number of channels.
        eps: keeps the root away from 0.
        affine: whether to have ``weight`` and ``bias``, one for each channel, from 1 and 0 on.
        dtype: float64 or float32.

    Source: D. Ulyanov, A. Vedaldi and V. Lempitsky, "Instance normalization", 2016.
    """

    axes = 1


class InstanceNorm2d(_OverSize):
    """:class:`InstanceNorm1d` of images: (samples, channels, height, width), or without samples."""

    axes = 2
