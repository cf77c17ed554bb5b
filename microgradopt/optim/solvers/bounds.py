"""Bounds on variables: two vectors, ±inf where there is none."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.structure import aligned
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim.solvers.variables import Variables


class Bounds(NamedTuple):
    """lower ≤ x ≤ upper, each (n,)."""

    lower: Array
    upper: Array

    def clip(self, x: Array) -> Array:
        """The nearest point inside."""
        return np.minimum(np.maximum(x, self.lower), self.upper)

    def free(self, x: Array, g: Array) -> Array:
        """Which variables a step against the gradient g may move, (n,) of bool."""
        return ~(((x <= self.lower) & (g > 0.0)) | ((x >= self.upper) & (g < 0.0)))

    def reach(self, x: Array, p: Array) -> float:
        """How far along p one may go: the largest t for which x + t·p is inside."""
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(p > 0.0, (self.upper - x) / p, (self.lower - x) / p)
        return float(np.min(room, where=p != 0.0, initial=np.inf))


def read_bounds(bounds: Any, variables: Variables) -> Bounds | None:
    """Bounds as users give them.

    Args:
        bounds: ``(lower, upper)``, each a number, None or in the form of x0; or SciPy's list of n
            pairs.

    Raises:
        ShapeError: if they do not belong to x0.
        UsageError: if a lower bound is above its upper one, or x0 is outside.
    """
    if bounds is None:
        return None
    user, n = variables.user, variables.size
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):  # SciPy's
        bounds = bounds.lb, bounds.ub
    pairs = list(bounds) if isinstance(bounds, list) else []
    if pairs and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        bounds = tuple(np.array([pair[i] for pair in pairs], object) for i in (0, 1))
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        raise UsageError(
            f"{user}: bounds must be (lower, upper), or a list of {n} pairs; got {bounds!r}"
        )
    lower, upper = (
        _side(side, variables, missing) for side, missing in zip(bounds, (-np.inf, np.inf))
    )
    _refuse(lower > upper, lambda i: f"is bounded by {lower[i]} ≤ x ≤ {upper[i]}", variables)
    start = variables.start
    outside = (start < lower) | (start > upper)
    _refuse(
        outside,
        lambda i: f"starts at {start[i]}, outside of {lower[i]} ≤ x ≤ {upper[i]}",
        variables,
    )
    return Bounds(lower, upper)


def _side(side: Any, variables: Variables, missing: float) -> Array:
    if side is None or isinstance(side, numbers.Real):
        found = np.full(variables.size, _bound(side, missing))
    elif isinstance(variables.tree, np.ndarray) or isinstance(side, np.ndarray):
        found = _spread(side, variables.start, missing, variables)
    else:
        try:
            pairs = aligned(side, variables.tree)
        except LookupError as error:
            raise ShapeError(
                f"{variables.user}: a side of the bounds must have the form of x0: it{error}"
            ) from None
        found = np.concatenate([_spread(x, like, missing, variables) for x, like in pairs])
    if np.isnan(found).any():
        raise UsageError(f"{variables.user}: a bound is NaN; write None or ±inf for no bound")
    return found


def _spread(side: Any, like: Any, missing: float, variables: Variables) -> Array:
    """The bounds of one leaf: a number or None for all of it, or as many as it has."""
    given = np.ravel(np.array(side, object))
    if given.size not in (1, np.size(like)) or (given.size != np.size(like) and np.ndim(side)):
        raise ShapeError(
            f"{variables.user}: a side of the bounds has {given.size} numbers where x0 has "
            f"{np.size(like)}"
        )
    return np.broadcast_to([_bound(x, missing) for x in given.tolist()], np.size(like))


def _bound(x: Any, missing: float) -> float:
    return missing if x is None else float(x)


def _refuse(wrong: Array, what: Callable[[int], str], variables: Variables) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        raise UsageError(f"{variables.user}: variable {i} {what(i)}")
