"""Newton's method on the whole Hessian."""

from __future__ import annotations

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.linear import dogleg, within_ball
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop

LEAPS = (0.1, 0.01, 1e-3, 1e-4)  # of ‖x‖, away from a saddle point
SMALLEST = 1e-8  # the smallest eigenvalue taken for positive, as a part of the largest


class Newton(Direction):
    """p = −B⁻¹g, with B the Hessian with its eigenvalues' signs dropped.

    Where the Hessian is positive definite that is Newton's step; elsewhere |Λ| in its place, at
    least 10⁻⁸ of the largest, makes it one of descent that leaves saddle points (Nocedal and
    Wright 2006, section 3.4; Dauphin et al. 2014). At a saddle point or maximum itself it leaves
    along the eigenvector of the most negative curvature.

    Args:
        modified: False takes the Hessian as it is, which leads to saddle points as well as to
            minima: the search stops where it is singular or indefinite.
        dogleg: the step within a radius is Powell's of B (1970); else it is the exact one of the
            Hessian itself (Moré and Sorensen 1983).
    """

    def __init__(self, modified: bool = True, dogleg: bool = False) -> None:
        if not isinstance(modified, bool):
            raise UsageError(f"Newton: modified must be True or False, got {modified!r}")
        self.modified = modified
        self.dogleg = dogleg

    def along(self, point: Point) -> Array:
        H = _finite(point)
        try:
            L = np.linalg.cholesky(H)
        except np.linalg.LinAlgError:
            if not self.modified:
                raise _refused(H) from None
            values, vectors = positive(H)
            return -(vectors @ ((vectors.T @ point.gradient) / values))
        return -np.linalg.solve(L.T, np.linalg.solve(L, point.gradient))

    def within(self, point: Point, radius: float) -> tuple[Array, float]:
        g, H = point.gradient, _finite(point)
        if self.dogleg:
            p = dogleg(g, self._product(H, g), self.along(point), radius)
        else:
            p = within_ball(H, g, radius)
        return p, -float(g @ p) - 0.5 * float(p @ (H @ p))

    def _product(self, H: Array, g: Array) -> float:
        """gᵀBg."""
        values, vectors = positive(H)
        return float(values @ (vectors.T @ g) ** 2)

    def escape(self, point: Point) -> Point | None:
        """Along the eigenvector of the most negative curvature, if f falls there."""
        values, vectors = np.linalg.eigh(_finite(point))
        if not values[0] < -SMALLEST * np.abs(values).max():
            return None
        v = vectors[:, 0] * max(1.0, float(np.linalg.norm(point.x)))
        for t in LEAPS:
            for new in (point.at(point.x + t * v), point.at(point.x - t * v)):
                if new.value < point.value - 0.1 * t * t * abs(float(values[0])):
                    return new
        return None


def _finite(point: Point) -> Array:
    if not np.isfinite(point.hessian).all():
        raise Stop("non-finite", "the Hessian")
    return point.hessian


def _refused(H: Array) -> Stop:
    values = np.linalg.eigvalsh(H)
    reason = "indefinite" if values[0] < -SMALLEST * np.abs(values).max() else "singular"
    return Stop(reason, f"the smallest eigenvalue of the Hessian is {values[0]:.3g}")


def positive(H: Array) -> tuple[Array, Array]:
    """Eigenvalues without their signs, none of them small, and eigenvectors."""
    values, vectors = np.linalg.eigh(H)
    sizes = np.abs(values)
    largest = float(sizes.max())
    return np.maximum(sizes, SMALLEST * largest if largest > 0.0 else 1.0), vectors
