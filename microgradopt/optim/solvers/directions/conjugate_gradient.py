"""Nonlinear conjugate gradients."""

from __future__ import annotations

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.point import Point

ETA = 0.4  # Dai and Kou 2013, with Hager and Zhang's lower bound for β


class ConjugateGradient(Direction):
    """p ← −g + β·p with β = (y − 2p‖y‖²/pᵀy)ᵀg / pᵀy, y the change of the gradient.

    β is kept above η·pᵀg/‖p‖², η = 0.4; every direction is one of descent. Hager and Zhang 2005,
    "A new conjugate gradient method with guaranteed descent", equation 1.5; the bound is that of
    2013, "The limited memory conjugate gradient method", equation 7.2.
    """

    memory = {"step": "vector?", "change": "vector?"}
    natural = False

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.step: Array | None = None
        self.change: Array | None = None

    def along(self, point: Point) -> Array:
        g, p, y = point.gradient, self.step, self.change
        if p is None or y is None or not (curvature := float(p @ y)) > 0.0:
            return -g
        beta = float((y - (2.0 * float(y @ y) / curvature) * p) @ g) / curvature
        return max(beta, ETA * float(p @ g) / float(p @ p)) * p - g

    def learn(self, before: Point, after: Point) -> None:
        # A multiple of p serves as well as p: β·p is the same.
        self.step, self.change = after.x - before.x, after.gradient - before.gradient
