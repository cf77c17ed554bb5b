"""Bounds on variables: two vectors, ±inf where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.structure import leaves
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
        bounds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
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
    n = variables.size
    if side is None or isinstance(side, (int, float)):
        return np.full(n, missing if side is None else float(side))
    flat = [x for part in _parts(side) for x in np.ravel(np.array(part, object)).tolist()]
    if len(flat) != n:
        raise ShapeError(
            f"{variables.user}: a side of the bounds has {len(flat)} numbers where x0 has {n}"
        )
    return np.array([missing if x is None else float(x) for x in flat])


def _parts(side: Any) -> list[Any]:
    """The leaves of a side; None stands for a number there."""
    return [side] if isinstance(side, (list, np.ndarray)) else leaves(side)


def _refuse(wrong: Array, what: Callable[[int], str], variables: Variables) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        raise UsageError(f"{variables.user}: variable {i} {what(i)}")
