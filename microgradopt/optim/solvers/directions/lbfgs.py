"""L-BFGS: BFGS of which only the last few steps are kept."""

from __future__ import annotations

from microgradopt.arguments import check_count
from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.directions.bfgs import teaches
from microgradopt.optim.solvers.point import Point


class LBFGS(Direction):
    """p = −H·g by the two-loop recursion over the last ``memory`` steps and gradient changes.

    Nocedal 1980, "Updating quasi-Newton matrices with limited storage"; H starts as sᵀy/yᵀy·I of
    the latest pair (Liu and Nocedal 1989).
    """

    memory = {"steps": "vectors", "changes": "vectors"}

    def __init__(self, memory: int = 20) -> None:
        self.most = check_count("LBFGS", "memory", memory)
        self.forget()

    def forget(self) -> None:
        self.steps: list[Array] = []
        self.changes: list[Array] = []

    @property
    def natural(self) -> bool:  # type: ignore[override]  # once it has learned
        return bool(self.steps)

    def along(self, point: Point) -> Array:
        q = -point.gradient
        pairs = [(s, y, 1.0 / float(y @ s)) for s, y in zip(self.steps, self.changes)]
        weights = []
        for s, y, rho in reversed(pairs):
            weights.append(rho * float(s @ q))
            q = q - weights[-1] * y
        if pairs:
            s, y, rho = pairs[-1]
            q = q / (rho * float(y @ y))
        for (s, y, rho), weight in zip(pairs, reversed(weights)):
            q = q + (weight - rho * float(y @ q)) * s
        return q

    def learn(self, before: Point, after: Point) -> None:
        s, y = after.x - before.x, after.gradient - before.gradient
        if teaches(s, y):
            self.steps = [*self.steps, s][-self.most :]
            self.changes = [*self.changes, y][-self.most :]
