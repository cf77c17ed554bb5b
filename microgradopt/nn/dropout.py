"""Layers that leave out some of their inputs at random, in training."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from microgradopt import randomness
from microgradopt.engine.graph import Array
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import shape_of as shape
from microgradopt.errors import UsageError
from microgradopt.nn.arguments import call_of, dtype_of, operand
from microgradopt.nn.batches import check_images
from microgradopt.nn.init import normal
from microgradopt.nn.module import Module, Sample
from microgradopt.randomness import RandomSource, as_generator


class _Random(Module):
    """What all layers here share: a probability, and a generator to draw from."""

    def __init__(self, p: float = 0.5, *, rng: RandomSource = None) -> None:
        user = type(self).__name__
        if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not 0.0 <= p <= 1.0:
            raise UsageError(f"{user}: p is a probability, from 0 to 1, got {p!r}")
        self.p = float(p)
        self.rng = as_generator(rng)

    def forward(self, x: Any) -> Any:
        x = operand(type(self).__name__, x)
        self._check(shape(x))
        if not self.training or self.p == 0.0:
            return x
        return self._disturbed(x)

    def _check(self, have: tuple[int, ...]) -> None:
        """Refuse shapes that the layer has no meaning for."""

    def _disturbed(self, x: Any) -> Any:
        raise NotImplementedError

    def _kept(self, size: tuple[int, ...], like: Any) -> Array:
        """1 for each number that stays and 0 for the others, in the dtype of what they are for.

        Draws are the same for every dtype; there are none where all are left out.
        """
        dtype = dtype_of(like)
        if self.p == 1.0:
            return np.zeros(size, dtype)
        drawn: Array = randomness.draw(self.rng, "random", size, np.float32)
        return (drawn >= self.p).astype(dtype)

    def __repr__(self) -> str:
        return call_of(self, self.p)


class Dropout(_Random):
    """Sets each number to 0 with probability ``p`` in training, and scales the others up.

    They are multiplied by 1 / (1 − p), so that the mean stays; in evaluation nothing changes.

    Args:
        p: the probability of being left out.
        rng: a generator or seed, kept as ``rng``; training draws from it with each call.

    Source: N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: a
    simple way to prevent neural networks from overfitting", 2014.

    >>> import numpy as np, microgradopt as mg
    >>> mg.nn.Dropout(0.5, rng=0)(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    """

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((4, 3), 0, dtype, std=1.0)
        return [Sample(cls(p, rng=0), (x,)) for p in (0.5, 0.2, 0.0, 1.0)]

    @quietly
    def _disturbed(self, x: Any) -> Any:
        return x * _scaled(self._kept(shape(x), x), self.p)


def _scaled(kept: Array, p: float) -> Array:
    return kept if p == 1.0 else kept * (1.0 / (1.0 - p))


class _ChannelDropout(_Random):
    """Dropout1d and Dropout2d."""

    axes: ClassVar[int]

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((3, 4, *(3, 2)[: cls.axes]), 0, dtype, std=1.0)
        refused = ((x[0, 0],), (x[None],))
        return [
            Sample(cls(rng=0), (x,), refused),
            Sample(cls(0.3, rng=1), (x[0],), refused),
            Sample(cls(1.0, rng=1), (x,), refused),
        ]

    def _check(self, have: tuple[int, ...]) -> None:
        check_images(self, have, "channels", self.axes)

    @quietly
    def _disturbed(self, x: Any) -> Any:
        have = shape(x)
        channels = (*have[: len(have) - self.axes], *(1,) * self.axes)
        return x * _scaled(self._kept(channels, x), self.p)


class Dropout1d(_ChannelDropout):
    """:class:`Dropout` of whole channels: of (samples, channels, length), or of one sample.

    Neighbours of a sequence are too much alike for leaving out one of them to matter.

    Source: J. Tompson, R. Goroshin, A. Jain, Y. LeCun and C. Bregler, "Efficient object
    localization using convolutional networks", 2015.
    """

    axes = 1


class Dropout2d(_ChannelDropout):
    """:class:`Dropout1d` of images: of (samples, channels, height, width), or of one of them."""

    axes = 2


class AlphaDropout(_Random):
    """Dropout for networks of SELU: keeps mean 0 and variance 1.

    What is left out becomes −λα, the least value of a SELU, and then all is scaled and shifted so
    that mean and variance stay.

    Args:
        p: the probability of being left out.
        rng: a generator or seed, kept as ``rng``.

    Source: G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, "Self-normalizing neural
    networks", 2017, section 3.
    """

    least = -1.7580993408473766  # −λα, for the λ and α of SELU

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((4, 3), 0, dtype, std=1.0)
        return [Sample(cls(p, rng=0), (x,)) for p in (0.5, 0.2, 0.0)]

    @quietly
    def _disturbed(self, x: Any) -> Any:
        kept = self._kept(shape(x), x)
        if self.p == 1.0:
            return x * kept
        scale = 1.0 / math.sqrt((1.0 - self.p) * (1.0 + self.p * self.least**2))
        return x * (scale * kept) + (scale * self.least) * (1.0 - self.p - kept)
