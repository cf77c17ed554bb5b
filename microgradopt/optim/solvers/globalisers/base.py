"""What a globaliser is: how far to go, so that a search gets somewhere from wherever it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.point import Point, is_small
from microgradopt.optim.solvers.result import Stop


class Globaliser:
    """The base of globalisers; ``memory`` names the attributes that change from step to step."""

    memory: ClassVar[Mapping[str, str]] = {}
    way: ClassVar[str] = "along"
    """What it asks a direction for."""

    def forget(self) -> None:
        """Start anew."""

    def advance(self, point: Point, direction: Direction) -> Point:
        """The next point.

        Raises:
            Stop: if there is none.
        """
        raise NotImplementedError


def nowhere(point: Point, step: Array, expected: float) -> Stop:
    """Why no part of a step was good enough, where it should have lowered f by ``expected``."""
    lost = is_small(step, point.x, 100.0 * point.oracle.variables.eps)
    if lost or expected <= point.noise:
        return Stop("precision")
    return Stop("no descent", f"f should have fallen by {expected:.3g} and did not")


def slope_along(point: Point, p: Array) -> float:
    """The slope along p.

    Raises:
        Stop: if there is none.
    """
    slope = float(point.gradient @ p)
    if not np.isfinite(slope):
        raise Stop("non-finite", "the gradient")
    if slope == 0.0:  # all of it has underflowed
        raise Stop("precision")
    return slope
