"""What searches without gradients have in common: points to try, budgets, and options per leaf."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import aligned
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop
from microgradopt.optim.solvers.run import Budget, Run, refuse_divergence
from microgradopt.optim.solvers.variables import Variables


def begin(run: Run, x: Array | None = None) -> Point:
    """Record the start, whatever its value.

    Raises:
        Stop: if f is −∞ there, or nothing of the budget is left.
    """
    start = Point(run.oracle, run.oracle.variables.start if x is None else x)
    run.record(start)
    refuse_divergence(start)
    return start


def tried(run: Run, x: Array) -> Point:
    """A point with its value, NaN counting as +∞; the run's best one if it is lower.

    Raises:
        Stop: if f runs away there, or nothing of the budget is left.
    """
    point = Point(run.oracle, x)
    if math.isnan(point.value):
        point.value = math.inf
    if run.best is None or not point.value >= run.best.value:
        refuse_divergence(point)
        run.best = point
    return point


def best(run: Run) -> Point:
    """The best point there was."""
    assert run.best is not None  # once it has begun
    return run.best


def spent(run: Run) -> int:
    """How often the function has been evaluated."""
    return run.oracle.nfev - run.before[0]


def limit(run: Run, budget: Budget) -> None:
    """Where a run has no budget at all, give it one."""
    if run.budget.maxiter is None and run.budget.maxfev is None:
        run.budget = budget
        if budget.maxfev is not None:
            run.oracle.last = run.before[0] + budget.maxfev


def clipped(x: Array, bounds: Bounds | None) -> Array:
    """The nearest point within the bounds."""
    return x if bounds is None else bounds.clip(x)


def reached(run: Run, f_target: float) -> None:
    """Stop where f is as low as asked."""
    if best(run).value <= f_target:
        raise Stop("target")


def in_form(what: str, given: Any, variables: Variables) -> Array:
    """What is given in the form of x0, a number standing for as many as its leaf has: (n,).

    Raises:
        ShapeError: if it has another form.
    """
    try:
        pairs = aligned(given, variables.tree)
        parts = [np.broadcast_to(_floats(x), np.shape(leaf)) for x, leaf in pairs]
    except (LookupError, TypeError, ValueError) as error:
        raise ShapeError(f"{variables.user}: {what} must have the form of x0: {error}") from None
    return variables.join(parts)


def _floats(x: Any) -> Array:
    return np.asarray(data_of(x), np.float64)


def scales(what: str, given: Any, variables: Variables) -> Array:
    """A number, or some in the form of x0: (n,), finite, ≥ 0 and not all of them 0.

    Raises:
        ShapeError: if they have another form.
        UsageError: if one of them is no scale, or all are 0.
    """
    if isinstance(given, numbers.Real):
        found = np.full(variables.size, float(given))
    else:
        found = in_form(what, given, variables)
    if not (np.isfinite(found).all() and (found >= 0.0).all() and found.any()):
        raise UsageError(
            f"{variables.user}: {what} must be finite, at least 0 and not 0 everywhere; one number "
            f"or numbers in the form of x0; got {given!r}"
        )
    return found


def size_of(x: Array) -> Array:
    """max(1, |x|): how large a variable is taken to be where nothing else is known."""
    return np.maximum(1.0, np.abs(x))
