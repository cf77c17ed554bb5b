"""Nelder and Mead's simplex: n + 1 points that creep downhill by replacing the worst of them."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.graph import Array
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.direct.candidates import (
    begin,
    clipped,
    in_form,
    limit,
    reached,
    tried,
)
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop
from microgradopt.optim.solvers.run import Budget, Run, check_target, refuse_start
from microgradopt.optim.solvers.variables import Variables

EDGE, EDGE_AT_ZERO = 0.05, 0.00025  # of the first simplex: a part of the coordinate, or this
PER_VARIABLE = 200  # iterations and evaluations, where the run has no budget
ADAPT_FROM = 10  # variables, from which on factors of the dimension pay
FLAT = 1e-3  # thinner simplexes have mostly stopped short of a minimum, thicker ones hardly ever

value = attrgetter("value")


class Factors(NamedTuple):
    """How far the worst point goes through the others' centre, and how far all shrink."""

    expand: float
    contract: float
    shrink: float


def factors(n: int, adaptive: bool) -> Factors:
    """Those of the paper; ``adaptive`` ones (Gao and Han 2012) are the same for n = 2."""
    if not adaptive or n < 2:
        return Factors(2.0, 0.5, 0.5)
    return Factors(1.0 + 2.0 / n, 0.75 - 1.0 / (2.0 * n), 1.0 - 1.0 / n)


class Simplex:
    """n + 1 points in the order of their values, the older one first where these are equal."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = sorted(points, key=value)

    @property
    def best(self) -> Point:
        return self.points[0]

    def centre(self) -> Array:
        """The mean of all points but the worst."""
        others = np.array([p.x for p in self.points[:-1]])
        return np.add.reduce(others) / len(others)  # type: ignore[no-any-return]

    def replace_worst(self, point: Point) -> None:
        self.points.pop()
        insort(self.points, point, key=value)

    def edges(self) -> Array:
        """From the best point to the others, (n, n)."""
        return np.array([p.x for p in self.points[1:]]) - self.best.x

    def rises(self) -> Array:
        """By how much f is higher at the others, (n,)."""
        return np.array([p.value for p in self.points[1:]]) - self.best.value

    def flatness(self, free: Array) -> float:
        """How thin it is: its least extent as a part of its largest one."""
        extents = np.linalg.svd(self.edges()[:, free], compute_uv=False)
        return float(extents[-1] / extents[0]) if extents[:1].any() else 0.0


def nelder_mead(
    run: Run,
    bounds: Bounds | None = None,
    *,
    xatol: float = 1e-4,
    fatol: float = 1e-4,
    adaptive: bool | None = None,
    simplex: Any = None,
    restart: bool | None = None,
    f_target: float = -math.inf,
) -> Stop:
    """Replace the worst of n + 1 points by one beyond the others' centre, or shrink them.

    The worst point goes to centre + t·(centre − worst), t = 1; to t = 2 if that is the best yet;
    to t = ½ or −½ if it is still the worst; and if that does not help, all points go half way to
    the best. Points outside of the bounds go to the nearest one inside. Without a budget there
    are 200·n iterations and evaluations.

    Args:
        xatol, fatol: stop with "simplex" where no point is further from the best one than xatol in
            any variable, and none is higher by more than fatol.
        adaptive: take 1 + 2/n, ¾ − 1/(2n) and 1 − 1/n for 2, ½ and ½; None does from n = 10 on.
        simplex: n + 1 points to start from instead of x0, each in the form of x0. None takes x0
            and, for each variable, x0 with 5 % added to it, 0.00025 where it is 0.
        restart: set the points up anew around the best one where they have come together, until
            that lowers f by no more than fatol. None does where they lie nearly in a plane (or on
            a bound), which is how the method fails; True always; False never, as SciPy.
        f_target: stop where f is as low.

    Raises:
        ShapeError: if ``simplex`` is not n + 1 points.
        UsageError: for an option that is none of these.

    Source: Nelder and Mead 1965, "A simplex method for function minimization", in the order of
    Lagarias, Reeds, Wright and Wright 1998; adaptive factors of Gao and Han 2012.
    """
    variables = run.oracle.variables
    _check(run, xatol, fatol, adaptive, restart, f_target)
    n = variables.size
    if simplex is None:
        corners = first_corners(variables.start, bounds)
    else:
        corners = [clipped(x, bounds) for x in given_corners(simplex, variables)]
    limit(run, Budget(PER_VARIABLE * n, PER_VARIABLE * n))
    moves = Moves(run, bounds, factors(n, n >= ADAPT_FROM if adaptive is None else adaptive))
    try:
        start = begin(run, corners[0])
        refuse_start(start)
        reached(run, f_target)
        points = [start, *(tried(run, x) for x in corners[1:])]
        return _walk(moves, Simplex(points), xatol, fatol, restart, f_target)
    except Stop as stop:
        return stop


def _check(
    run: Run, xatol: float, fatol: float, adaptive: Any, restart: Any, f_target: float
) -> None:
    user = run.oracle.variables.user
    check_number(user, "xatol", xatol)
    check_number(user, "fatol", fatol)
    check_target(user, f_target)
    for name, choice in (("adaptive", adaptive), ("restart", restart)):
        if choice is not None and not isinstance(choice, bool):
            raise UsageError(f"{user}: {name} must be True, False or None, got {choice!r}")


def first_corners(x: Array, bounds: Bounds | None) -> list[Array]:
    """A point, and one beside it along each axis, on the other side where a bound is met."""
    corners = [x]
    for i, at in enumerate(x.tolist()):
        beyond = (1.0 + EDGE) * at if at else EDGE_AT_ZERO
        corner = x.copy()
        corner[i] = beyond if bounds is None else _inside(at, beyond, *(b[i] for b in bounds))
        corners.append(corner)
    return corners


def _inside(at: float, beyond: float, low: float, high: float) -> float:
    """A step to ``beyond``, or as far to the other side; what fits of the longer one else."""
    for target in (beyond, 2.0 * at - beyond):
        if low <= target <= high:
            return target
    return high if high - at > at - low else low


def given_corners(simplex: Any, variables: Variables) -> list[Array]:
    """The points of a user's simplex."""
    n = variables.size
    if not hasattr(simplex, "__len__") or len(simplex) != n + 1 or isinstance(simplex, dict):
        raise ShapeError(
            f"{variables.user}: simplex must be a list of {n + 1} points, each in the form of x0; "
            f"got {simplex!r}"
        )
    return [in_form(f"simplex[{i}]", x, variables) for i, x in enumerate(simplex)]


def _walk(
    moves: Moves,
    simplex: Simplex,
    xatol: float,
    fatol: float,
    restart: bool | None,
    f_target: float,
) -> Stop:
    """Go on until the points are close together, and not for a bad reason."""
    run, lowest = moves.run, math.inf
    while True:
        if np.abs(simplex.edges()).max() <= xatol and simplex.rises().max() <= fatol:
            again = moves.flat(simplex) if restart is None else restart
            if not again or simplex.best.value >= lowest - fatol:
                return Stop("simplex")
            lowest = simplex.best.value
            simplex = moves.anew(simplex)
        before = simplex.best
        if not moves.replace_worst(simplex):
            simplex = moves.shrunk(simplex)
        run.record(simplex.best, float(np.linalg.norm(simplex.best.x - before.x)))
        reached(run, f_target)


class Moves:
    """How a simplex gets on."""

    def __init__(self, run: Run, bounds: Bounds | None, by: Factors) -> None:
        self.run, self.bounds, self.by = run, bounds, by
        n = run.oracle.variables.size
        self.free = np.full(n, True) if bounds is None else bounds.lower < bounds.upper

    def _tried(self, x: Array) -> Point:
        return tried(self.run, clipped(x, self.bounds))

    def flat(self, simplex: Simplex) -> bool:
        """Whether the points lie nearly in a plane, of what the bounds leave free."""
        return bool(self.free.any()) and simplex.flatness(self.free) < FLAT

    def anew(self, simplex: Simplex) -> Simplex:
        """As at the start, around the best point."""
        corners = first_corners(simplex.best.x, self.bounds)
        return Simplex([simplex.best, *map(self._tried, corners[1:])])

    def replace_worst(self, simplex: Simplex) -> bool:
        """Put a better point in the place of the worst one, if one is found."""
        worst, second = simplex.points[-1], simplex.points[-2]
        centre = simplex.centre()

        def beyond(t: float) -> Point:
            return self._tried((1.0 + t) * centre - t * worst.x)

        new = beyond(1.0)
        if new.value < simplex.best.value:
            new = min(beyond(self.by.expand), new, key=value)
        elif new.value >= second.value:
            new = self._contracted(new, worst, beyond)
            if new is worst:
                return False
        simplex.replace_worst(new)
        return True

    def _contracted(
        self, reflected: Point, worst: Point, beyond: Callable[[float], Point]
    ) -> Point:
        """A point nearer to the centre, on the better side of it; the worst one if it is no use."""
        if reflected.value < worst.value:
            new = beyond(self.by.contract)
            return new if new.value <= reflected.value else worst
        new = beyond(-self.by.contract)
        return new if new.value < worst.value else worst

    def shrunk(self, simplex: Simplex) -> Simplex:
        """All points nearer to the best one."""
        best = simplex.best
        others = (best.x + self.by.shrink * (p.x - best.x) for p in simplex.points[1:])
        return Simplex([best, *map(self._tried, others)])
