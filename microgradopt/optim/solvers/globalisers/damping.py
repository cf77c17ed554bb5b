"""Levenberg–Marquardt's globaliser: a damping that each step's gain ratio judges."""

from __future__ import annotations

from microgradopt.arguments import check_number
from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.directions.gauss_newton import Damped, expected_fall
from microgradopt.optim.solvers.globalisers.base import Globaliser, nowhere
from microgradopt.optim.solvers.oracle import Residuals
from microgradopt.optim.solvers.point import Point, is_small

ACCEPTED = 1e-3  # of the foretold fall
BENDS = 1e-7  # the part of f that a step is to lower it by, up to which it may be straight
LEAST = 1.0 / 3.0  # what a good step leaves of the damping
SMALLEST, LARGEST = 1e-280, 1e280  # damping: a column of zeros must not make a matrix singular


class Damping(Globaliser):
    """Steps (JᵀJ + λI)p = −Jᵀr, with λ ← λ·max(⅓, 1 − (2ρ − 1)³) where ρ = fall/foretold > 0.

    Else λ ← λ·ν, ν ← 2ν, from ν = 2 on, and another try (Nielsen 1999, "Damping parameter in
    Marquardt's method"). The damping is not scaled: Levenberg's identity, which survives starts
    where a column of J all but vanishes.

    Args:
        start: the first λ, as a part of the largest diagonal entry of JᵀJ.
        acceleration: add half of the acceleration a = −(JᵀJ + λI)⁻¹Jᵀr″, r″ being how r bends along
            p, wherever 2‖a‖ ≤ acceleration·‖p‖: narrow valleys are followed round their bends
            (Transtrum and Sethna 2012, "Improvements to the Levenberg–Marquardt algorithm"). 0
            leaves it out; so do steps near the end, which are to lower f by a ten-millionth.
    """

    memory = {"damping": "number?", "growth": "number"}
    way = "damped"

    def __init__(self, start: float = 1e-3, acceleration: float = 0.75) -> None:
        check_number("Damping", "start", start, low=SMALLEST)
        check_number("Damping", "acceleration", acceleration)
        self.start, self.acceleration = start, acceleration
        self.forget()

    def forget(self) -> None:
        self.damping: float | None = None
        self.growth = 2.0

    def advance(self, point: Point, direction: Direction) -> Point:
        model: Damped = direction.damped(point)
        if self.damping is None:
            self.damping = self.start * model.scale
        first: tuple[Array, float] | None = None
        while True:
            p, expected = model.step(self.damping)
            first = first or (p, expected)
            new = self._tried(point, model, p, expected)
            if point.bounds is not None:
                expected = expected_fall(point.jacobian, point.gradient, new.x - point.x)
            fall = point.value - new.value
            ratio = fall / expected if new.finite and expected > 0.0 else -1.0
            if ratio > ACCEPTED:
                factor = max(LEAST, 1.0 - (2.0 * min(ratio, 1.0) - 1.0) ** 3)
                self.damping = max(factor * self.damping, SMALLEST)
                self.growth = 2.0
                new.expected = expected
                return new
            self.damping *= self.growth
            self.growth *= 2.0
            eps = point.oracle.variables.eps
            nothing = max(expected, abs(fall)) <= eps * point.value
            if nothing or is_small(p, point.x, eps) or self.damping > LARGEST:
                raise nowhere(point, *first)

    def _tried(self, point: Point, model: Damped, p: Array, expected: float) -> Point:
        step = p
        if self.acceleration and expected > BENDS * point.value:
            assert isinstance(point.oracle, Residuals)  # which the model is of
            bend = point.oracle.second(point.x, p, point.residuals, model.along(p))
            a = model.corrected(bend)
            if 4.0 * float(a @ a) <= self.acceleration**2 * float(p @ p):
                step = p + 0.5 * a
        return point.at(point.x + step)
