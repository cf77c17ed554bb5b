"""BFGS: a dense approximation of the inverse Hessian, learned from gradients."""

from __future__ import annotations

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.point import Point

EPS, TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)


class BFGS(Direction):
    """p = −H·g, with H ← (I − ρsyᵀ)·H·(I − ρysᵀ) + ρssᵀ, ρ = 1/yᵀs.

    s is the step and y the change of the gradient; H starts as sᵀs/yᵀs·I. Nocedal and Wright 2006,
    "Numerical Optimization", equation 6.17. A step without positive curvature yᵀs teaches
    nothing.
    """

    memory = {"inverse": "matrix?"}

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.inverse: Array | None = None

    @property
    def natural(self) -> bool:  # type: ignore[override]  # from the first update on
        return self.inverse is not None

    def along(self, point: Point) -> Array:
        g = point.gradient
        return -g if self.inverse is None else -(self.inverse @ g)

    def learn(self, before: Point, after: Point) -> None:
        s, y = after.x - before.x, after.gradient - before.gradient
        if not teaches(s, y):
            return
        curvature = float(y @ s)
        if self.inverse is None:
            self.inverse = np.eye(len(s)) * (float(s @ s) / curvature)
        H, s = self.inverse, s / curvature
        Hy = H @ y
        self.inverse = H + np.outer(s, (curvature + float(y @ Hy)) * s - Hy) - np.outer(Hy, s)


def teaches(s: Array, y: Array) -> bool:
    """Whether the curvature along a step is positive beyond rounding."""
    least = EPS * float(np.linalg.norm(y) * np.linalg.norm(s))
    return float(y @ s) > max(least, TINY)
