"""Newton's method on products with the Hessian alone."""

from __future__ import annotations

import numpy as np

from microgradopt.arguments import check_count
from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.linear import steihaug
from microgradopt.optim.solvers.point import Point


class NewtonCG(Direction):
    """p ≈ −H⁻¹g by conjugate gradients on Hessian-vector products, ended early.

    They end when the residual is below min(½, √(‖g‖/G))·‖g‖, where G is the largest ‖g‖ that the
    search has met, so that f may be in any units, or where the curvature is not positive (Dembo and
    Steihaug 1983; Nocedal and Wright 2006, algorithm 7.1, has G = 1); within a radius they follow
    Steihaug 1983 to its edge.

    Args:
        most: products at most for a step; None allows 2n.
    """

    memory = {"largest": "number"}

    def __init__(self, most: int | None = None) -> None:
        self.most = None if most is None else check_count("NewtonCG", "most", most)
        self.forget()

    def forget(self) -> None:
        self.largest = 0.0

    def along(self, point: Point) -> Array:
        return self._solved(point, np.inf)[0]

    def within(self, point: Point, radius: float) -> tuple[Array, float]:
        return self._solved(point, radius)

    def _solved(self, point: Point, radius: float) -> tuple[Array, float]:
        g = point.gradient
        norm = float(np.linalg.norm(g))
        self.largest = max(self.largest, norm)
        share = min(0.5, (norm / self.largest) ** 0.5) if norm else 0.0
        return steihaug(point.hvp, g, radius, share * norm, self.most or 2 * len(g))
