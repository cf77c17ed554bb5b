"""Random search: candidates drawn without looking back, and random steps from the best point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.direct.candidates import (
    begin,
    best,
    clipped,
    in_form,
    limit,
    reached,
    scales,
    size_of,
    spent,
    tried,
)
from microgradopt.optim.solvers.result import Stop
from microgradopt.optim.solvers.run import Budget, Run, check_target
from microgradopt.randomness import RandomSource, as_generator

DRAWS = 10_000  # candidates, where the run has no budget
STEP = 1e-2  # of a variable's size, by default

Proposal = Callable[[Array], Array]  # from the best point so far to a candidate


def random_search(
    run: Run,
    bounds: Bounds | None = None,
    *,
    scale: Any = None,
    draw: Callable[[np.random.Generator, Any], Any] | None = None,
    f_target: float = -math.inf,
    rng: RandomSource = None,
) -> Stop:
    """Draw candidates independently of each other, and keep the best.

    A candidate is x0 + scale·N(0, 1), clipped to the bounds; without ``scale``, a variable with
    two finite bounds is drawn evenly between them. ``maxiter`` counts draws; without a budget
    there are 10,000. The history has the start, each improvement, and where the search ended:
    ``nit`` is one more than there were improvements. The callback sees those.

    Args:
        scale: standard deviations, a number or in the form of x0 (``{"W": 0.015, "b": 1.0}``);
            None takes max(1, \\|x0\\|). 0 leaves a variable at its start.
        draw: a distribution of your own, ``draw(rng, x0) -> candidate``, both in the form of x0.
        f_target: stop where f is as low.
        rng: np.random.Generator, or int to seed a new one; None draws fresh randomness.

    Returns:
        "budget" as a rule: chance cannot know that it has arrived. "non-finite" if f was nowhere
        a number.

    Raises:
        ShapeError: if ``scale`` or what ``draw`` returns does not have the form of x0.
        UsageError: for an argument that is none of these.

    Source: Brooks 1958, "A discussion of random methods for seeking maxima".
    """
    generator = as_generator(rng)
    if draw is None:
        return _search(run, _normal_or_even(run, bounds, scale, generator), f_target)
    user = run.oracle.variables.user
    if scale is not None or not callable(draw):
        raise UsageError(
            f"{user}: draw must be a function (rng, x0) -> candidate, without scale; got {draw!r} "
            f"and scale={scale!r}"
        )
    return _search(run, _own(run, bounds, draw, generator), f_target)


def local_random_search(
    run: Run,
    bounds: Bounds | None = None,
    *,
    scale: Any = None,
    f_target: float = -math.inf,
    rng: RandomSource = None,
) -> Stop:
    """Make a random step, keep it if f falls, and again from there.

    A candidate is x + scale·N(0, 1), clipped to the bounds, where x is the best point so far.
    Budget and history are as for :func:`random_search`.

    Args:
        scale: standard deviations of a step, a number or in the form of x0; None takes
            0.01·max(1, \\|x0\\|). 0 leaves a variable at its start.
        f_target: stop where f is as low.
        rng: np.random.Generator, or int to seed a new one; None draws fresh randomness.

    Returns:
        "budget" as a rule, "non-finite" if f was nowhere a number.

    Raises:
        ShapeError: if ``scale`` does not have the form of x0.
        UsageError: for an argument that is none of these.

    Source: Matyas 1965, "Random optimization".
    """
    variables, normal = run.oracle.variables, as_generator(rng).standard_normal
    n, start = variables.size, variables.start
    deviation = STEP * size_of(start) if scale is None else scales("scale", scale, variables)
    return _search(run, lambda x: clipped(x + deviation * normal(n), bounds), f_target)


def _search(run: Run, propose: Proposal, f_target: float) -> Stop:
    """Try candidates until the budget is spent, and note where that was."""
    check_target(run.oracle.variables.user, f_target)
    limit(run, Budget(DRAWS, None))
    try:
        stop = _draw(run, propose, f_target)
    except Stop as early:
        stop = early
    if spent(run) > run.history.nfev[-1]:
        with suppress(Stop):  # there is one already
            run.record(best(run))
    if stop.reason == "budget" and not best(run).finite:
        return Stop("non-finite", f"at all {spent(run)} points tried")
    return stop


def _draw(run: Run, propose: Proposal, f_target: float) -> Stop:
    point = begin(run)
    reached(run, f_target)
    most = run.budget.maxiter
    for _ in itertools.count() if most is None else range(most):
        new = tried(run, propose(point.x))
        if new is run.best:
            step = float(np.linalg.norm(new.x - point.x))
            point = new
            run.record(new, step)
            reached(run, f_target)
    return Stop("budget", f"{most} draws")


def _normal_or_even(
    run: Run, bounds: Bounds | None, scale: Any, rng: np.random.Generator
) -> Proposal:
    """Normal draws around the start; without a scale, even ones between finite bounds."""
    variables = run.oracle.variables
    n, start = variables.size, variables.start
    deviation = size_of(start) if scale is None else scales("scale", scale, variables)
    if bounds is None:
        return lambda _: start + deviation * rng.standard_normal(n)
    width = bounds.upper - bounds.lower
    even = np.isfinite(width) & (scale is None)
    width = np.where(even, width, 0.0)

    def propose(_: Array) -> Array:
        normal = start + deviation * rng.standard_normal(n)
        return bounds.clip(np.where(even, bounds.lower + width * rng.random(n), normal))

    return propose


def _own(
    run: Run,
    bounds: Bounds | None,
    draw: Callable[[np.random.Generator, Any], Any],
    rng: np.random.Generator,
) -> Proposal:
    """The user's draws."""
    variables = run.oracle.variables
    start = variables.start

    def propose(_: Array) -> Array:
        drawn = draw(rng, variables.structure(start))
        return clipped(in_form("what draw returns", drawn, variables), bounds)

    return propose
