"""A search in progress: what it has come to, what it may still spend, who watches."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from microgradopt.arguments import check_count, check_number
from microgradopt.errors import UsageError
from microgradopt.optim.solvers.oracle import Objective, Residuals
from microgradopt.optim.solvers.point import Point, is_small
from microgradopt.optim.solvers.result import REASONS, History, Result, Stop, explained

FAR = 1e50  # the length of x, or how far below zero f is, from which on a search diverges


@dataclass(frozen=True)
class Tolerances:
    """When a search has arrived.

    gtol: no entry of the gradient is larger. ftol: f falls by less, relative to it. xtol: no
    variable moves by more, relative to it. f_target: f is as low as this.
    """

    gtol: float
    ftol: float
    xtol: float
    f_target: float = -math.inf

    def check(self, user: str) -> None:
        """Refuse what is no tolerance."""
        for name in ("gtol", "ftol", "xtol"):
            check_number(user, name, getattr(self, name))
        check_target(user, self.f_target)


def check_target(user: str, f_target: Any) -> None:
    """Refuse what is no value to stop at."""
    if isinstance(f_target, bool) or not isinstance(f_target, numbers.Real) or f_target != f_target:
        raise UsageError(
            f"{user}: f_target must be a number, got {f_target!r}; leave it out for no target"
        )


@dataclass(frozen=True)
class Budget:
    """At most so many iterations and evaluations of the function."""

    maxiter: int | None
    maxfev: int | None

    def check(self, user: str) -> None:
        """Refuse what is no budget."""
        for name in ("maxiter", "maxfev"):
            if (most := getattr(self, name)) is not None:
                check_count(user, name, most)

    def or_else(self, usual: Budget) -> Budget:
        """The same, with the usual limits where it has none."""
        return Budget(
            usual.maxiter if self.maxiter is None else self.maxiter,
            usual.maxfev if self.maxfev is None else self.maxfev,
        )


class Run:
    """Keeps the best point, the history and the budget of one search."""

    def __init__(
        self,
        oracle: Objective | Residuals,
        budget: Budget,
        callback: Callable[[Result], Any] | None = None,
        path: bool = True,
    ) -> None:
        self.oracle = oracle
        self.budget = budget
        self.callback = callback
        self.path = path
        self.history = History()
        self.best: Point | None = None
        self.before = oracle.nfev, oracle.njev, oracle.nhev
        oracle.last = None if budget.maxfev is None else oracle.nfev + budget.maxfev

    @property
    def iterations(self) -> int:
        """How many there have been."""
        return max(len(self.history) - 1, 0)

    def record(self, point: Point, step: float = 0.0, slope: float | None = None) -> None:
        """Note a point that an iteration came to.

        Raises:
            Stop: if nothing is left of the budget, or the callback has seen enough.
        """
        history = self.history
        history.fun.append(point.value)
        history.gradient.append(slope)
        history.step.append(step)
        history.nfev.append(self.oracle.nfev - self.before[0])
        if self.path:
            history.x.append(point.x.copy())
        if self.best is None or not point.value > self.best.value:
            self.best = point
        if self.iterations and self.callback is not None:
            try:
                enough = self.callback(self.result("callback"))
            except StopIteration:
                enough = True
            if enough:
                raise Stop("callback")
        if self.iterations == self.budget.maxiter:
            raise Stop("budget", f"{self.iterations} iterations")

    def result(self, reason: str, details: str = "") -> Result:
        """The best point so far, and why to stop there."""
        assert self.best is not None
        oracle, best = self.oracle, self.best
        has_gradient = "gradient" in best.__dict__
        return Result(
            x=oracle.variables.structure(best.x),
            fun=best.value,
            jac=oracle.variables.structure(best.gradient) if has_gradient else None,
            success=REASONS[reason].success,
            reason=reason,
            status=REASONS[reason].status,
            message=explained(reason, details),
            nit=self.iterations,
            nfev=oracle.nfev - self.before[0],
            njev=oracle.njev - self.before[1],
            nhev=oracle.nhev - self.before[2],
            history=self.history,
            compiled=oracle.compiled,
        )


def refuse_start(point: Point) -> None:
    """Stop where a search cannot begin."""
    if not point.finite:
        raise Stop("non-finite", f"at the start the function is {point.value}")


def refuse_divergence(point: Point) -> None:
    """Stop where a search runs away."""
    length = math.sqrt(point.x @ point.x)
    if point.value < -FAR or not length < FAR:
        raise Stop("diverging", f"f = {point.value:g}, ‖x‖ = {length:g}")


def arrived(before: Point, after: Point, tolerances: Tolerances) -> None:
    """Stop where an iteration brought next to nothing, and its model did not hope for more."""
    fall, size = before.value - after.value, max(abs(before.value), abs(after.value))
    if after.value <= tolerances.f_target:
        raise Stop("target")
    if max(abs(fall), after.expected) <= tolerances.ftol * size:
        raise Stop("value")
    hopeless = after.expected <= tolerances.xtol * size
    if hopeless and is_small(after.x - before.x, after.x, tolerances.xtol):
        raise Stop("step")
