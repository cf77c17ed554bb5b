"""Gauss–Newton: Newton's method on ½Σr² without the curvature of the residuals themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.linear import dogleg, scaled_triangle, triangle
from microgradopt.optim.solvers.oracle import Residuals
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop

SINGULAR = 1e-12  # a diagonal entry of R, for columns of length 1, from which on J lacks rank
SHRINKS = 0.9  # what each of the last steps is at most of that before
LAST = 100  # of those steps
NOISE = 1e-9  # by how much of f rounding may seem to raise it


class GaussNewton(Direction):
    """J·p ≈ −r by least squares, QR of J with columns of length 1.

    Along a line a Jacobian without full rank is refused, as Gauss–Newton has no step there; within
    a radius the shortest minimiser is taken; damped it is Levenberg's step (JᵀJ + λI)p = −Jᵀr.
    Nocedal and Wright 2006, chapter 10.
    """

    oracle = Residuals
    bounded = ("damped",)

    def along(self, point: Point) -> Array:
        p = _scaled_step(_finite(point), point.residuals)
        if p is None:
            raise Stop(
                "singular",
                f"the Jacobian of shape {point.jacobian.shape} does not have full column rank; "
                "use method='lm'",
            )
        return p

    def within(self, point: Point, radius: float) -> tuple[Array, float]:
        J, r, g = _finite(point), point.residuals, point.gradient
        newton = -np.linalg.lstsq(J, r, rcond=None)[0]
        Jg = J @ g
        p = dogleg(g, float(Jg @ Jg), newton, radius)
        return p, expected_fall(J, g, p)

    def damped(self, point: Point) -> Damped:
        J, bounds = point.jacobian, point.bounds
        free = None if bounds is None else bounds.free(point.x, point.gradient)
        return Damped(J, point.residuals, None if free is None or free.all() else free)

    def finish(self, point: Point) -> Point:
        """Undamped steps for as long as they shrink: digits that the rounding of f hides."""
        last = np.inf
        for i in range(LAST):
            J = point.jacobian
            p = _scaled_step(J, point.residuals) if np.isfinite(J).all() else None
            if p is None:
                break
            size = _weight(J, p)
            if i > 1 and not size < SHRINKS * last:  # the first may be small by accident
                break
            new = point.at(point.x + p)
            if (new.x != point.x + p).any():  # it would have left the bounds
                break
            if not new.value <= point.value * (1.0 + NOISE):
                break
            point, last = new, size
        return point


def _finite(point: Point) -> Array:
    if not np.isfinite(point.jacobian).all():
        raise Stop("non-finite", "the Jacobian")
    return point.jacobian


def _weight(J: Array, p: Array) -> float:
    """The largest change that one variable's step makes in the residuals."""
    return float(np.abs(np.linalg.norm(J, axis=0) * p).max())


def _scaled_step(J: Array, r: Array) -> Array | None:
    """The least-squares solution of J·p = −r; None where J does not have full column rank."""
    if J.shape[0] < J.shape[1]:
        return None
    R, Qr, lengths = scaled_triangle(J, r)
    if np.abs(np.diag(R)).min() < SINGULAR:
        return None
    return -np.linalg.solve(R, Qr) / lengths


def expected_fall(J: Array, g: Array, p: Array) -> float:
    """By how much ½‖r‖² falls if r is straight."""
    Jp = J @ p
    return -float(g @ p) - 0.5 * float(Jp @ Jp)


class Damped:
    """Levenberg's steps from one point, for any damping: (JᵀJ + λI)p = −Jᵀr by QR of [J; √λI].

    Variables that are not ``free`` stay.
    """

    def __init__(self, J: Array, r: Array, free: Array | None) -> None:
        self.free = free
        self.J = J if free is None else J[:, free]
        m, n = self.J.shape
        self._stacked = np.zeros((m + n, n + 1))
        self._stacked[:m, :n], self._stacked[:m, n] = self.J, r
        self._diagonal = self._stacked.reshape(-1)[m * (n + 1) :: n + 2]  # below J
        self._inverse: Any = None

    @property
    def scale(self) -> float:
        """The largest diagonal entry of JᵀJ."""
        return float(np.einsum("ij,ij->j", self.J, self.J).max(initial=0.0))

    def step(self, damping: float) -> tuple[Array, float]:
        """The step, and by how much ½‖r‖² should fall."""
        n = self.J.shape[1]
        self._diagonal[...] = damping**0.5
        R = triangle(self._stacked)
        self._inverse = np.linalg.inv(R[:n, :n])
        p = -(self._inverse @ R[:n, n])
        Jp = self.J @ p
        fall = 0.5 * float(Jp @ Jp) + damping * float(p @ p)
        if not math.isfinite(fall):
            raise Stop("non-finite", "the Jacobian")
        return self._whole(p), fall

    def corrected(self, second: Array) -> Array:
        """What the latest step lacks where r bends by ``second`` along it: the acceleration."""
        inverse = self._inverse
        return self._whole(-(inverse @ (inverse.T @ (second @ self.J))))

    def along(self, p: Array) -> Array:
        """J·p."""
        return self.J @ (p if self.free is None else p[self.free])

    def _whole(self, p: Array) -> Array:
        if self.free is None:
            return p
        whole = np.zeros(len(self.free))
        whole[self.free] = p
        return whole
