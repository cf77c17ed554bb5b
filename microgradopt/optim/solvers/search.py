"""A search set up: a method by name or as a pair, its options, tolerances and budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from microgradopt.engine.quiet import quietly
from microgradopt.errors import UsageError
from microgradopt.optim.solvers.bounds import Bounds, read_bounds
from microgradopt.optim.solvers.descent import descend
from microgradopt.optim.solvers.methods import DIRECT, Pair, as_pair, checked_options
from microgradopt.optim.solvers.oracle import Objective, Residuals
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Result, Stop
from microgradopt.optim.solvers.run import Budget, Run, Tolerances


class Search:
    """One method with its options.

    Args:
        pairs: the methods with gradients, by name.
        usual: their budget where none is given; the others have their own.
    """

    def __init__(
        self,
        user: str,
        method: Any,
        pairs: Mapping[str, Callable[..., Pair]],
        options: dict[str, Any],
        tolerances: Tolerances,
        budget: Budget,
        usual: Budget,
    ) -> None:
        tolerances.check(user)
        budget.check(user)
        self.user, self.method = user, method
        self.tolerances = tolerances
        self.pairs, self.options = pairs, options
        self.pair = self._pair()
        self.budget = budget.or_else(usual) if self.pair else budget

    def _pair(self) -> Pair | None:
        """Direction and globaliser; None for a method without gradients."""
        if not isinstance(self.method, str):
            if self.options:
                raise UsageError(
                    f"{self.user}: a pair has its options already; got {', '.join(self.options)}"
                )
            return as_pair(self.user, self.method)
        make = self.pairs.get(self.method) or DIRECT.get(self.method)
        if make is None:
            raise UsageError(
                f"{self.user}: no method {self.method!r}; there are "
                f"{', '.join([*self.pairs, *DIRECT])}"
            )
        checked_options(self.user, self.method, make, self.options)
        return self.pairs[self.method](**self.options) if self.method in self.pairs else None

    @quietly
    def of(
        self,
        oracle: Objective | Residuals,
        bounds: Any,
        callback: Callable[[Result], Any] | None,
        path: bool,
    ) -> tuple[Result, Point]:
        """Go from the oracle's start; parameters of a module are the best ones at the end.

        Returns:
            The result, and the best point.
        """
        if callback is not None and not callable(callback):
            raise UsageError(f"{self.user}: callback must be a function, got {callback!r}")
        limits = read_bounds(bounds, oracle.variables)
        if limits is not None:
            self._refuse_bounds()
        if self.pair is not None:
            self._refuse_oracle(oracle)
            self.pair.direction.forget()
            self.pair.globaliser.forget()
        run = Run(oracle, self.budget, callback, path)
        stop = self._stop(run, limits)
        result = run.result(stop.reason, stop.details)
        assert run.best is not None  # at least the start
        oracle.variables.keep(run.best.x)
        return result, run.best

    def _stop(self, run: Run, bounds: Bounds | None) -> Stop:
        if self.pair is None:
            search = DIRECT[self.method]
            return search(run, bounds, f_target=self.tolerances.f_target, **self.options)
        return descend(run, *self.pair, self.tolerances, bounds)

    def _refuse_oracle(self, oracle: Objective | Residuals) -> None:
        assert self.pair is not None
        direction = self.pair.direction
        if direction.oracle is Residuals and not isinstance(oracle, Residuals):
            raise UsageError(
                f"{self.user}: {type(direction).__name__} needs residuals; give them to "
                "optim.least_squares"
            )

    def _refuse_bounds(self) -> None:
        if self.pair is not None and not self.pair.takes_bounds:
            able = [name for name, make in self.pairs.items() if make().takes_bounds]
            raise UsageError(
                f"{self.user}: method {self.method!r} does not keep to bounds; "
                f"{', '.join([*able, *DIRECT])} do"
            )
