"""What a direction is: where to go from a point, given what was learned on the way there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.oracle import Objective
from microgradopt.optim.solvers.point import Point


class Direction:
    """The base of directions. A subclass offers one or more ways to a step; a globaliser uses one.

    ``memory`` names the attributes that it learns, with what they are (see
    :func:`stepping.fits`): a closure optimizer saves them.
    """

    memory: ClassVar[Mapping[str, str]] = {}
    natural: ClassVar[bool] = True
    """Whether its steps have a length of their own, so that line searches first try 1."""
    oracle: ClassVar[type] = Objective
    """What it asks: an :class:`Objective`, or :class:`Residuals`."""
    bounded: ClassVar[tuple[str, ...]] = ()
    """Which of ``along``, ``within`` and ``damped`` stay within bounds."""

    def forget(self) -> None:
        """Start anew."""

    def along(self, point: Point) -> Array:
        """A direction of descent, for line searches."""
        raise NotImplementedError

    def within(self, point: Point, radius: float) -> tuple[Array, float]:
        """The best step of at most this length, and by how much f should fall."""
        raise NotImplementedError

    def damped(self, point: Point) -> Any:
        """A model whose steps shorten as a damping grows; see :class:`Damping`."""
        raise NotImplementedError

    def learn(self, before: Point, after: Point) -> None:
        """Take in a step that was made."""

    def longest(self, point: Point, p: Array) -> float:
        """The longest multiple of p that may be tried."""
        return np.inf

    def escape(self, point: Point) -> Point | None:
        """A lower point, where the gradient has vanished at no minimum."""
        return None

    def finish(self, point: Point) -> Point:
        """Where all has been reached that was asked, the last digits."""
        return point

    @classmethod
    def ways(cls) -> list[str]:
        """Which ways to a step it offers."""
        return [way for way in WAYS if getattr(cls, way) is not getattr(Direction, way)]


WAYS = {"along": "a line search or rate", "within": "TrustRegion", "damped": "Damping"}
