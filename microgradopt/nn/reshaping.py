"""Layers that give their inputs another shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from microgradopt.engine.ops.shapes import reshape
from microgradopt.engine.rules import check_axis, shape_of as shape
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import call_of, integer, operand
from microgradopt.nn.init import normal
from microgradopt.nn.module import Module, Sample


def _place(layer: Module, axis: int, have: tuple[int, ...]) -> int:
    """Where an axis is, counted from the front."""
    try:
        return int(check_axis(axis, len(have), repr(layer)))
    except ShapeError as error:
        raise ShapeError(f"{error} (got shape {have})") from None


class Flatten(Module):
    """The axes from ``start_axis`` to ``end_axis``, both included, as one.

    Raises:
        ShapeError: when called on an array that does not have these axes, in this order.

    >>> import numpy as np, microgradopt as mg
    >>> mg.nn.Flatten()(np.zeros((10, 16, 5, 5))).shape
    (10, 400)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = integer("Flatten", "start_axis", start_axis)
        self.end_axis = integer("Flatten", "end_axis", end_axis)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 3, 1, 2), 0, dtype, std=1.0)
        return [
            Sample(cls(), (x,), ((x[0, 0, 0, 0],),)),
            Sample(cls(0), (x[0],)),
            Sample(cls(1, 2), (x,), ((x[0, 0],),)),
            Sample(cls(-1, 1), (x[0, 0],), ((x,),)),
        ]

    def forward(self, x: Any) -> Any:
        x = operand("Flatten", x)
        have = shape(x)
        start, end = (_place(self, a, have) for a in (self.start_axis, self.end_axis))
        if start > end:
            raise ShapeError(f"{self!r}: in shape {have} the first axis comes after the last")
        return reshape(x, (*have[:start], prod(have[start : end + 1]), *have[end + 1 :]))

    def __repr__(self) -> str:
        if self.end_axis != -1:
            return call_of(self, self.start_axis, self.end_axis)
        return call_of(self, self.start_axis) if self.start_axis != 1 else call_of(self)


class Unflatten(Module):
    """One axis as several: what :class:`Flatten` undoes.

    Args:
        axis: the axis that is taken apart.
        unflattened_size: the lengths of those that take its place; one may be −1.

    Raises:
        ShapeError: when called on an array whose axis is not of this size.
    """

    def __init__(self, axis: int, unflattened_size: Sequence[int]) -> None:
        self.axis = integer("Unflatten", "axis", axis)
        if not isinstance(unflattened_size, (tuple, list)) or not unflattened_size:
            raise UsageError(
                f"Unflatten: unflattened_size lists lengths, such as (3, -1); got "
                f"{unflattened_size!r}"
            )
        sizes = tuple(integer("Unflatten", "each length", n) for n in unflattened_size)
        if sizes.count(-1) > 1 or any(n < 1 for n in sizes if n != -1):
            raise UsageError(
                f"Unflatten: unflattened_size lists lengths of 1 or more, one of them perhaps -1; "
                f"got {unflattened_size!r}"
            )
        self.unflattened_size = sizes

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((2, 6), 0, dtype, std=1.0)
        return [
            Sample(cls(1, (2, 3)), (x,), ((x[:, :5],), (x[0],))),
            Sample(cls(-1, [3, -1, 1]), (x,), ((x[:, :5],), (x[0, 0],))),
        ]

    def forward(self, x: Any) -> Any:
        x = operand("Unflatten", x)
        have = shape(x)
        axis = _place(self, self.axis, have)
        known = prod(n for n in self.unflattened_size if n != -1)
        free = have[axis] // known
        sizes = tuple(free if n == -1 else n for n in self.unflattened_size)
        if prod(sizes) != have[axis]:
            raise ShapeError(
                f"{self!r}: axis {self.axis} of shape {have} does not go into lengths "
                f"{self.unflattened_size}"
            )
        return reshape(x, (*have[:axis], *sizes, *have[axis + 1 :]))

    def __repr__(self) -> str:
        return call_of(self, self.axis, self.unflattened_size)
