"""The one loop of all methods with gradients: a direction, a globaliser, and when to stop."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.globalisers.base import Globaliser
from microgradopt.optim.solvers.oracle import Residuals
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import REASONS, Stop
from microgradopt.optim.solvers.run import (
    Run,
    Tolerances,
    arrived,
    refuse_divergence,
    refuse_start,
)


def descend(
    run: Run,
    direction: Direction,
    globaliser: Globaliser,
    tolerances: Tolerances,
    bounds: Bounds | None = None,
) -> Stop:
    """Go on until there is a reason to stop; the run has the best point then.

    Returns:
        The reason.
    """
    dense = direction.oracle is Residuals
    point = Point(run.oracle, run.oracle.variables.start, bounds, dense)
    run.best = point
    try:
        refuse_start(point)
        run.record(point, slope=_slope(point))
        while True:
            new = _escaped(point, direction, tolerances) or globaliser.advance(point, direction)
            refuse_divergence(new)
            direction.learn(point, new)
            before, point = point, new
            run.record(point, float(np.linalg.norm(point.x - before.x)), _slope(point))
            arrived(before, point, tolerances)
    except Stop as stop:
        if REASONS[stop.reason].success and stop.reason != "target" and run.best is point:
            _finish(run, direction, point)
        return stop


def _slope(point: Point) -> float:
    slope = point.slope
    if not np.isfinite(slope):
        raise Stop("non-finite", "the gradient")
    return slope


def _escaped(point: Point, direction: Direction, tolerances: Tolerances) -> Point | None:
    """Stop where the gradient has vanished, unless there is a way down from there."""
    if point.value <= tolerances.f_target:
        raise Stop("target")
    if point.slope > tolerances.gtol:
        return None
    lower = direction.escape(point)
    if lower is None:
        raise Stop("gradient")
    return lower


def _finish(run: Run, direction: Direction, point: Point) -> None:
    """The last digits, where the direction knows how to get them and the budget allows it."""
    with suppress(Stop):
        last = direction.finish(point)
        if last is not point:
            run.best = last
            run.record(last, float(np.linalg.norm(last.x - point.x)), last.slope)
            run.best = last  # f may have risen by rounding
