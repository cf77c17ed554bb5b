"""A trust region: the best step within a radius that follows how well the model foretells f."""

from __future__ import annotations

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.globalisers.base import Globaliser, nowhere
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop

BAD, GOOD = 0.25, 0.75  # ratios of the fall to the foretold, below and above which the radius moves
SMALLER, LARGER = 0.25, 2.0
ACCEPTED = 1e-4
SMALLEST = 1e-300


class TrustRegion(Globaliser):
    """Steps of at most a radius; it shrinks where the model is wrong and grows where it is right.

    Nocedal and Wright 2006, algorithm 4.1.

    Args:
        radius: the first one; None takes a tenth of ‖x‖, or 1 at the origin.
        largest: the largest one; the usual one is no hindrance to what has no minimum.
    """

    memory = {"radius": "number?"}
    way = "within"

    def __init__(self, radius: float | None = 1.0, largest: float = 1e100) -> None:
        for name, length in (("radius", radius), ("largest", largest)):
            if length is not None or name == "largest":
                check_number("TrustRegion", name, length, low=SMALLEST)
        self._first, self.largest = radius, largest
        self.forget()

    def forget(self) -> None:
        self.radius: float | None = self._first

    def advance(self, point: Point, direction: Direction) -> Point:
        if not np.isfinite(point.gradient).all():
            raise Stop("non-finite", "the gradient")
        if self.radius is None:
            self.radius = 0.1 * float(np.linalg.norm(point.x)) or 1.0
        first = direction.within(point, self.radius)
        p, expected = first
        while True:
            new = point.at(point.x + p)
            if not expected > 0.0 or (new.x == point.x).all():
                raise nowhere(point, *first)
            ratio = (point.value - new.value) / expected if new.finite else -1.0
            length = float(np.linalg.norm(p))
            if ratio < BAD:
                self.radius = SMALLER * length
            elif ratio > GOOD and length > 0.99 * self.radius:
                self.radius = min(LARGER * self.radius, self.largest)
            if ratio > ACCEPTED:
                new.expected = expected
                return new
            p, expected = direction.within(point, self.radius)
