"""CMA-ES: generations of normal draws whose mean and covariance follow the better half."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from microgradopt.arguments import check_count, check_number
from microgradopt.engine.graph import Array
from microgradopt.errors import MissingExtraError, UsageError
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.direct.candidates import (
    begin,
    best,
    clipped,
    reached,
    scales,
    size_of,
    spent,
    tried,
)
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop
from microgradopt.optim.solvers.run import Budget, Run, check_target
from microgradopt.randomness import RandomSource, as_generator

WIDTH, PART = 0.25, 0.3  # sigma: of the room between two bounds, else of a variable's size
SHRUNK = 1e-3  # of the first sigma: from there on a flat function is one to rounding

REASONS = {  # what cma calls its reasons to stop, the first that holds
    "tolx": "simplex",
    "tolfun": "value",
    "tolfunhist": "value",
    "noeffectaxis": "precision",
    "noeffectcoord": "precision",
    "maxiter": "budget",
    "tolconditioncov": "singular",
    "tolfacupx": "diverging",
}


def cma_es(
    run: Run,
    bounds: Bounds | None = None,
    *,
    sigma: Any = None,
    popsize: int | None = None,
    xatol: float = 1e-11,
    fatol: float = 1e-11,
    diagonal: bool = False,
    f_target: float = -math.inf,
    rng: RandomSource = None,
) -> Stop:
    """Draw generations of candidates from N(m, σ²C); m and C follow the better half, σ its luck.

    Only the order of f's values counts, so that it may be noisy or have kinks and many minima. An
    iteration is a generation. Done by the package cma (pycma), without a budget to its own:
    100 + 150·(n + 3)²/√popsize generations.

    Args:
        sigma: the first standard deviations, a number or in the form of x0; the minimum should be
            within three of them. None takes a quarter of the room between two bounds, else
            0.3·max(1, \\|x0\\|). 0 leaves a variable at its start.
        popsize: candidates in a generation, 2 or more; None takes 4 + ⌊3·ln n⌋. More look further
            about.
        xatol, fatol: stop where the standard deviations are smaller; where f varies by less, in a
            generation and over the last ones.
        diagonal: learn variances only: for many variables, where C would fill the memory
            (Ros and Hansen 2008).
        f_target: stop where f is as low.
        rng: np.random.Generator, or int to seed a new one; None draws fresh randomness.

    Raises:
        MissingExtraError: if cma is not installed.
        ShapeError: if ``sigma`` does not have the form of x0.
        UsageError: for an option that is none of these.

    Source: Hansen 2016, "The CMA evolution strategy: a tutorial".
    """
    _check(run, popsize, xatol, fatol, diagonal, f_target)
    options = {"tolx": xatol, "tolfun": fatol, "tolfunhist": 0.1 * fatol}
    if popsize is not None:
        options["popsize"] = popsize
    if diagonal:
        options["CMA_diagonal"] = True
    if run.budget != Budget(None, None):
        options["maxiter"] = math.inf
    population = Population(
        run, bounds, _deviations(run, bounds, sigma), options, as_generator(rng)
    )
    try:
        begin(run)
        reached(run, f_target)
        if not population.free.any():
            return Stop("simplex", "no variable is free")
        return _evolve(population, f_target)
    except Stop as stop:
        return stop


def _check(
    run: Run, popsize: Any, xatol: float, fatol: float, diagonal: Any, f_target: float
) -> None:
    user = run.oracle.variables.user
    check_number(user, "xatol", xatol)
    check_number(user, "fatol", fatol)
    check_target(user, f_target)
    if popsize is not None:
        check_count(user, "popsize", popsize, least=2)
    if not isinstance(diagonal, bool):
        raise UsageError(f"{user}: diagonal must be True or False, got {diagonal!r}")


def _deviations(run: Run, bounds: Bounds | None, sigma: Any) -> Array:
    """The first standard deviations, (n,); 0 for what does not move."""
    variables = run.oracle.variables
    found = PART * size_of(variables.start) if sigma is None else scales("sigma", sigma, variables)
    if bounds is None:
        return found
    room = bounds.upper - bounds.lower
    if sigma is None:
        found = np.where(np.isfinite(room), WIDTH * room, found)
    return np.where(room > 0.0, found, 0.0)


class Population:
    """The strategy of the package cma, over those variables that move.

    It is not to print, write files, look for any, or draw from NumPy's global generator, which it
    does by default; its other rule for σ does too, from 300 variables on.
    """

    def __init__(
        self,
        run: Run,
        bounds: Bounds | None,
        deviations: Array,
        options: dict[str, Any],
        rng: np.random.Generator,
    ) -> None:
        cma = imported()
        self.run, self.bounds = run, bounds
        self.start = run.oracle.variables.start
        self.free = deviations > 0.0
        self.deviations = deviations[self.free]
        options = {
            "verbose": -10,
            "seed": math.nan,
            "randn": lambda *shape: rng.standard_normal(shape),
            "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
            "CMA_stds": self.deviations,
            **options,
        }
        if bounds is not None:
            options["bounds"] = [side[self.free].tolist() for side in bounds]
        if self.free.sum() == 1:
            options["maxstd"] = math.inf  # cma 4.0 fails at a limit of one variable
        if self.free.any():
            self.strategy = silently(cma.CMAEvolutionStrategy, self.start[self.free], 1.0, options)

    def point(self, y: Array) -> Point:
        """The point of a candidate."""
        x = self.start.copy()
        x[self.free] = y
        return tried(self.run, clipped(x, self.bounds))

    def next(self) -> bool:
        """Draw a generation, and learn from it; whether f was flat there."""
        candidates = silently(self.strategy.ask)
        values = [self.point(y).value for y in candidates]
        silently(self.strategy.tell, candidates, values)
        return min(values) == max(values)

    def shrunk(self) -> bool:
        """Whether the candidates are close together, compared with the first ones."""
        return bool((self.strategy.result.stds <= SHRUNK * self.deviations).all())


def imported() -> Any:
    """The package cma, which warns where it cannot plot."""
    try:
        return silently(import_module, "cma")
    except ImportError:
        raise MissingExtraError(
            "method 'cma-es' needs the package cma: pip install 'microgradopt[search]'"
        ) from None


def silently(call: Callable[..., Any], *args: Any) -> Any:
    """What is called, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args)


def _evolve(population: Population, f_target: float) -> Stop:
    """Go on until cma has a reason to stop."""
    run = population.run
    while True:
        before = best(run)
        flat = population.next()
        run.record(best(run), float(np.linalg.norm(best(run).x - before.x)))
        reached(run, f_target)
        if why := silently(population.strategy.stop):
            return _named(population, why, flat)


def _named(population: Population, why: dict[str, Any], flat: bool) -> Stop:
    """Cma's reasons as one of ours.

    Where f is flat, or does not fall for long, the minimum has been found to rounding if the
    candidates are close together; else nothing has.
    """
    details = f"cma stops for {', '.join(why)}"
    if not best(population.run).finite:
        return Stop("non-finite", f"at all {spent(population.run)} points tried")
    known = [reason for name, reason in REASONS.items() if name in why]
    if known and not flat:
        return Stop(known[0], details)
    return Stop("precision" if population.shrunk() else "no descent", details)
