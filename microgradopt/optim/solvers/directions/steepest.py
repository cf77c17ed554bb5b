"""Steepest descent."""

from __future__ import annotations

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.point import Point


class Steepest(Direction):
    """p = −∇f (Cauchy 1847)."""

    natural = False

    def along(self, point: Point) -> Array:
        return -point.gradient
