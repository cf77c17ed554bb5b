"""Steps of a length that is set beforehand: a fixed rate, a schedule, or 1/β."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from microgradopt.arguments import check_count, check_number
from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.globalisers.base import Globaliser
from microgradopt.optim.solvers.linear import powers
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop

RISE = 1e10  # how many times the first value f may reach before a search is called divergent


class FixedRate(Globaliser):
    """x + lr·p whatever comes of it; ``lr`` is a number, or a schedule ``step -> rate``."""

    memory: ClassVar[Mapping[str, str]] = {"steps": "number", "first": "number?"}

    def __init__(self, lr: float | Callable[[int], float] = 0.1) -> None:
        if not callable(lr):
            check_number("FixedRate", "lr", lr)
        self.lr = lr
        self.forget()

    def forget(self) -> None:
        self.steps = 0
        self.first: float | None = None

    def advance(self, point: Point, direction: Direction) -> Point:
        self.steps += 1
        self.first = abs(point.value) if self.first is None else self.first
        p, rate = direction.along(point), self.rate(point)
        new = point.at(point.x + rate * p)
        new.expected = abs(rate * float(point.gradient @ p)) or np.inf  # a rate of 0 says nothing
        if not np.isfinite(new.gradient).all() or not new.value <= RISE * max(self.first, 1.0):
            raise Stop("diverging", f"f = {new.value:g} after {self.steps} steps; lower the rate")
        return new

    def rate(self, point: Point) -> float:
        """The rate of this step."""
        return float(self.lr(self.steps)) if callable(self.lr) else float(self.lr)


class InverseCurvature(FixedRate):
    """lr = 1/β, β the largest |eigenvalue| of the Hessian, by power iteration on products with it.

    It is estimated at the start and after each ``every`` steps, from the last eigenvector on.
    """

    memory = {**FixedRate.memory, "vector": "vector?", "beta": "number"}

    def __init__(self, every: int = 10, products: int = 20) -> None:
        self.every = check_count("InverseCurvature", "every", every)
        self.products = check_count("InverseCurvature", "products", products)
        super().__init__()

    def forget(self) -> None:
        super().forget()
        self.vector: Array | None = None
        self.beta = 0.0

    def rate(self, point: Point) -> float:
        if (self.steps - 1) % self.every == 0:
            self.beta = self._estimate(point)
        if not 0.0 < self.beta < np.inf:
            raise Stop("singular", f"β = {self.beta:g}: the Hessian has no curvature to go by")
        return 1.0 / self.beta

    def _estimate(self, point: Point) -> float:
        start = np.cos(np.arange(1.0, len(point.x) + 1.0)) if self.vector is None else self.vector
        for v, Hv in powers(point.hvp, start, self.products):
            self.vector, beta = v, float(np.linalg.norm(Hv))
            if not 0.0 < beta < np.inf:
                break
            self.vector = Hv
        return beta
