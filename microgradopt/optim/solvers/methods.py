"""The methods by name: which direction goes with which globaliser, and the options they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from microgradopt.errors import UsageError
from microgradopt.optim.solvers.direct.cma import cma_es
from microgradopt.optim.solvers.direct.nelder_mead import nelder_mead
from microgradopt.optim.solvers.direct.random_search import local_random_search, random_search
from microgradopt.optim.solvers.directions.base import WAYS, Direction
from microgradopt.optim.solvers.directions.bfgs import BFGS
from microgradopt.optim.solvers.directions.conjugate_gradient import ConjugateGradient
from microgradopt.optim.solvers.directions.gauss_newton import GaussNewton
from microgradopt.optim.solvers.directions.lbfgs import LBFGS
from microgradopt.optim.solvers.directions.lbfgsb import LBFGSB
from microgradopt.optim.solvers.directions.newton import Newton
from microgradopt.optim.solvers.directions.newton_cg import NewtonCG
from microgradopt.optim.solvers.directions.steepest import Steepest
from microgradopt.optim.solvers.globalisers.armijo import Armijo
from microgradopt.optim.solvers.globalisers.base import Globaliser
from microgradopt.optim.solvers.globalisers.damping import Damping
from microgradopt.optim.solvers.globalisers.rates import FixedRate, InverseCurvature
from microgradopt.optim.solvers.globalisers.trust_region import TrustRegion
from microgradopt.optim.solvers.globalisers.wolfe import StrongWolfe
from microgradopt.optim.solvers.result import Stop


class Pair(NamedTuple):
    """A direction and a globaliser: a method."""

    direction: Direction
    globaliser: Globaliser

    @property
    def takes_bounds(self) -> bool:
        """Whether its steps stay within bounds."""
        return self.globaliser.way in self.direction.bounded


def gd(lr: Any = None) -> Pair:
    """Steepest descent: backtracking, or with ``lr`` a fixed rate, a schedule, or "1/beta"."""
    if lr is None:
        return Pair(Steepest(), Armijo())
    beta = isinstance(lr, str) and lr == "1/beta"
    return Pair(Steepest(), InverseCurvature() if beta else FixedRate(lr))


def cg(c1: float = 1e-4, c2: float = 0.1) -> Pair:
    """Conjugate gradients of Hager and Zhang, with a line search near the minimum."""
    return Pair(ConjugateGradient(), StrongWolfe(c1, c2))


def bfgs(c1: float = 1e-4, c2: float = 0.9) -> Pair:
    """BFGS with a line search for the strong Wolfe conditions."""
    return Pair(BFGS(), StrongWolfe(c1, c2))


def lbfgs(memory: int = 20, c1: float = 1e-4, c2: float = 0.9) -> Pair:
    """BFGS of the last ``memory`` steps."""
    return Pair(LBFGS(memory), StrongWolfe(c1, c2))


def lbfgsb(memory: int = 20, c1: float = 1e-4, c2: float = 0.9) -> Pair:
    """The same within bounds."""
    return Pair(LBFGSB(memory), StrongWolfe(c1, c2))


def newton(modified: bool = True, c1: float = 1e-4) -> Pair:
    """Newton's method on the Hessian, made positive definite where it is not, with backtracking."""
    return Pair(Newton(modified), Armijo(c1))


def newton_cg(most: int | None = None, c1: float = 1e-4, c2: float = 0.9) -> Pair:
    """Newton's method by conjugate gradients on products with the Hessian."""
    return Pair(NewtonCG(most), StrongWolfe(c1, c2))


def trust_ncg(radius: float = 1.0, most: int | None = None) -> Pair:
    """Newton's method by conjugate gradients within a trust region (Steihaug)."""
    return Pair(NewtonCG(most), TrustRegion(radius))


def dogleg(radius: float = 1.0) -> Pair:
    """Powell's dogleg between steepest descent and Newton's step within a trust region."""
    return Pair(Newton(dogleg=True), TrustRegion(radius))


def gauss_newton(c1: float = 1e-4) -> Pair:
    """Gauss–Newton with backtracking."""
    return Pair(GaussNewton(), Armijo(c1))


def lm(start: float = 1e-3, acceleration: float = 0.75) -> Pair:
    """Levenberg–Marquardt with a gain ratio and geodesic acceleration; takes bounds."""
    return Pair(GaussNewton(), Damping(start, acceleration))


def dogleg_of_residuals(radius: float | None = None) -> Pair:
    """Powell's dogleg between steepest descent and the Gauss–Newton step."""
    return Pair(GaussNewton(), TrustRegion(radius))


GENERAL: dict[str, Callable[..., Pair]] = {
    "gd": gd,
    "cg": cg,
    "bfgs": bfgs,
    "l-bfgs": lbfgs,
    "l-bfgs-b": lbfgsb,
    "newton": newton,
    "newton-cg": newton_cg,
    "trust-ncg": trust_ncg,
    "dogleg": dogleg,
}
OF_RESIDUALS: dict[str, Callable[..., Pair]] = {
    "lm": lm,
    "gauss-newton": gauss_newton,
    "dogleg": dogleg_of_residuals,
}
DIRECT: dict[str, Callable[..., Stop]] = {
    "nelder-mead": nelder_mead,
    "random": random_search,
    "local-random": local_random_search,
    "cma-es": cma_es,
}
OURS = ("run", "bounds", "f_target")  # arguments of those that are no options of a method


def checked_options(
    user: str, method: str, make: Callable[..., Any], options: dict[str, Any]
) -> None:
    """Refuse options that the method does not have."""
    known = [name for name, p in inspect.signature(make).parameters.items() if name not in OURS]
    for name in options:
        if name not in known:
            raise UsageError(
                f"{user}: method {method!r} has no option {name!r}; its options are "
                f"{', '.join(known) or 'none'}"
            )


def as_pair(user: str, method: Any) -> Pair:
    """A pair of a user's own."""
    whole = isinstance(method, tuple) and len(method) == 2
    if not whole or not isinstance(method[0], Direction) or not isinstance(method[1], Globaliser):
        raise UsageError(
            f"{user}: method must be a name, or (direction, globaliser) from optim.directions and "
            f"optim.globalisers; got {method!r}"
        )
    direction, globaliser = method
    if globaliser.way not in direction.ways():
        goes = " or ".join(WAYS[way] for way in direction.ways())
        raise UsageError(
            f"{user}: {type(direction).__name__} cannot be used with {type(globaliser).__name__}; "
            f"it goes with {goes}"
        )
    return Pair(direction, globaliser)
