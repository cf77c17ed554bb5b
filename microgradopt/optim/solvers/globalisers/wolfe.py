"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.optim.solvers.globalisers.armijo import LineSearch
from microgradopt.optim.solvers.globalisers.bracket import Bracket, Trial
from microgradopt.optim.solvers.point import Point

TRIALS = 40
BACK = 0.1  # of the way from the best trial to one where f is no number


class StrongWolfe(LineSearch):
    """A step with f ≤ f(x) + c1·t·pᵀg and |slope| ≤ c2·|pᵀg|, by Moré and Thuente 1994.

    "Line search algorithms with guaranteed sufficient decrease": trials by interpolation within a
    bracket that keeps a good step inside. It needs the gradient at each trial. Where no trial meets
    both conditions, the best one that lowers f is taken.
    """

    def __init__(self, c1: float = 1e-4, c2: float = 0.9) -> None:
        try:
            ordered = 0.0 < c1 < c2 < 1.0
        except TypeError:
            ordered = False
        if not ordered:
            raise UsageError(f"StrongWolfe: 0 < c1 < c2 < 1 must hold, got c1={c1!r}, c2={c2!r}")
        self.c1, self.c2 = c1, c2
        super().__init__()

    def search(
        self, point: Point, p: Array, slope: float, t: float, longest: float
    ) -> Point | None:
        bracket = Bracket(Trial(0.0, point.value, slope))
        enough = self.c1 * slope
        best, settled = point, False  # settled: a trial was low enough, with its slope turned
        following: float | None = t
        for _ in range(TRIALS):
            if following is None:
                break
            t = following
            new = point.at(point.x + t * p)
            if not (np.isfinite(new.gradient).all() and new.finite):
                longest = t
                following = bracket.low.t + BACK * (t - bracket.low.t)
                continue
            trial = Trial(t, new.value, float(new.gradient @ p))
            if new.value < best.value:
                best = new
            low_enough = trial.f <= point.value + enough * t
            flat = abs(trial.slope) <= -self.c2 * slope
            if low_enough and (flat or (t >= longest and trial.slope <= enough)):
                return new  # or it falls on, and no longer step is allowed
            settled = settled or (low_enough and trial.slope >= 0.0)
            tilted = not settled and not low_enough and trial.f <= bracket.low.f
            following = bracket.next(trial, longest, enough if tilted else 0.0)
        return best if best is not point else None
