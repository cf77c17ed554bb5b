"""Backtracking until f falls by enough."""

from __future__ import annotations

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.globalisers.base import Globaliser, nowhere, slope_along
from microgradopt.optim.solvers.point import Point

SHORTER, SHORTEST = 0.5, 0.1  # a trial is at most and at least so much of the one before
TRIALS = 60
FIRST = 1.5


class LineSearch(Globaliser):
    """The base of searches along a direction. Subclasses say which multiple of it they accept."""

    memory = {"before": "number?"}

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.before: float | None = None  # f at the point before

    def advance(self, point: Point, direction: Direction) -> Point:
        new = self._tried(point, direction)
        if new is None and direction.memory:
            direction.forget()  # what it has learned may be what misleads it
            new = self._tried(point, direction)
        if new is None:
            raise nowhere(point, *self._first_step)
        self.before, new.expected = point.value, self._first_step[1]
        return new

    def _tried(self, point: Point, direction: Direction) -> Point | None:
        p = direction.along(point)
        slope = slope_along(point, p)
        if slope > 0.0:
            self._first_step = p, slope
            return None
        longest = direction.longest(point, p)
        t = min(1.0 if direction.natural else self._first(point, p, slope), longest)
        self._first_step = t * p, -t * slope
        return self.search(point, p, slope, t, longest)

    def _first(self, point: Point, p: Array, slope: float) -> float:
        """A first trial: as large a fall as the last one; at the start, of length FIRST at most."""
        if self.before is not None and (fall := self.before - point.value) > 0.0:
            return 2.02 * fall / -slope
        return min(1.0, FIRST / float(np.linalg.norm(p)))

    def search(
        self, point: Point, p: Array, slope: float, t: float, longest: float
    ) -> Point | None:
        """A point along p, the first trial being x + t·p; None if there is none."""
        raise NotImplementedError


class Armijo(LineSearch):
    """The first of shrinking steps with f(x + t·p) ≤ f(x) + c1·t·pᵀg (Armijo 1966).

    The next trial is the minimiser of the parabola through what is known, between a tenth and a
    half of the last one.
    """

    def __init__(self, c1: float = 1e-4) -> None:
        check_number("Armijo", "c1", c1, high=1.0)
        self.c1 = c1
        super().__init__()

    def search(
        self, point: Point, p: Array, slope: float, t: float, longest: float
    ) -> Point | None:
        for _ in range(TRIALS):
            new = point.at(point.x + t * p)
            rise = new.value - point.value
            if rise <= self.c1 * t * slope:
                return new
            if (new.x == point.x).all():
                break
            best = -0.5 * slope * t * t / (rise - slope * t) if new.finite else 0.0
            t = min(max(best, SHORTEST * t), SHORTER * t)
        return None
