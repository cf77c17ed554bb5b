"""Solvers beside SciPy's: fits of NIST's certified regressions, and evaluations of the function.

The fits run from both starts of all 27 problems, at SciPy's tightest tolerances and our defaults.
"Compiled": both are given the same compiled residuals and exact Jacobian. "From scratch": ours is
given the residuals alone; SciPy those and ``mg.jacobian`` of them, as they are written.

Evaluations are counted to a gradient of 10⁻⁵ on the 41 standard problems, each method beside
SciPy's of the same kind: the median of the ratios over the problems that both solve. SciPy's dogleg
gives up where the Hessian is indefinite; those problems do not count.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.harness import (
    OURS,
    Contender,
    Sample,
    Work,
    costs_at_most,
    times_faster,
)
from benchmarks.problems import ALL, Problem, load
from microgradopt import optim
from microgradopt.optim.solvers.oracle import Objective, Residuals

GTOL = 1e-5
PEERS = {  # ours: SciPy's name, and its options
    "cg": ("CG", {"gtol": GTOL, "maxiter": 5000}),
    "bfgs": ("BFGS", {"gtol": GTOL}),
    "l-bfgs": ("L-BFGS-B", {"gtol": GTOL, "ftol": 0.0, "maxiter": 5000, "maxfun": 100_000}),
    "newton-cg": ("Newton-CG", {"xtol": 1e-8}),
    "trust-ncg": ("trust-ncg", {"gtol": GTOL}),
    "dogleg": ("dogleg", {"gtol": GTOL}),
    "nelder-mead": ("Nelder-Mead", {"maxfev": 100_000, "maxiter": 100_000}),
}


# Fits


@cache
def compiled() -> list[tuple[Residuals, np.ndarray]]:
    """An oracle for each problem and start, its functions compiled."""
    found = []
    for problem in load():
        start = np.array(problem.starts[0])
        oracle = Residuals(problem.residuals, start, jit=True)
        for _ in range(3):
            r, J = oracle.residuals(start), oracle.jacobian(start)
            oracle.second(start, start, r, J @ start)
        found += [(oracle, np.array(s)) for s in problem.starts]
    return found


def ours_compiled() -> Sample:
    """Levenberg–Marquardt at its defaults."""

    def fit() -> None:
        for oracle, start in compiled():
            optim.least_squares(oracle, start)

    return _seconds(fit)


def scipy_compiled() -> Sample:
    """MINPACK's lmder, with tolerances of rounding."""
    from scipy.optimize import least_squares

    def fit() -> None:
        for oracle, start in compiled():
            least_squares(oracle.residuals, start, jac=oracle.jacobian, **_tightest())

    return _seconds(fit)


def ours_from_scratch() -> Sample:
    """Residuals alone, nothing compiled before."""

    def fit() -> None:
        for problem in load():
            for start in problem.starts:
                optim.least_squares(problem.residuals, np.array(start))

    return _seconds(fit)


def scipy_from_scratch() -> Sample:
    """Residuals as written, and their Jacobian by this library, as written."""
    from scipy.optimize import least_squares

    def fit() -> None:
        for problem in load():
            for start in problem.starts:
                oracle = Residuals(problem.residuals, np.array(start), jit=False)
                least_squares(problem.residuals, start, jac=oracle.jacobian, **_tightest())

    return _seconds(fit)


def _tightest() -> dict[str, Any]:
    eps = 2.3e-16
    return {"method": "lm", "xtol": eps, "ftol": eps, "gtol": eps, "max_nfev": 20_000}


def _seconds(run: Callable[[], None]) -> Sample:
    def sample() -> float:
        start = time.perf_counter()
        with np.errstate(all="ignore"):
            run()
        return time.perf_counter() - start

    sample()
    return sample


# Evaluations


@cache
def evaluations(method: str) -> tuple[float, float]:
    """Ours as a part of SciPy's, the median over the problems that both solve; 1 for SciPy."""
    pairs = [_both(problem, method) for problem in ALL]
    return float(np.median([ours / theirs for ours, theirs in filter(None, pairs)])), 1.0


def _both(problem: Problem, method: str) -> tuple[int, int] | None:
    """How many evaluations each side needs; None if one of them does not arrive."""
    from scipy.optimize import minimize

    start = np.array(problem.start)
    oracle = Objective(problem.objective, start)
    options: dict[str, Any] = {} if method == "nelder-mead" else {"gtol": GTOL}
    mine = optim.minimize(oracle, start, method, maxiter=5000, path=False, **options)
    name, tolerances = PEERS[method]
    more: dict[str, Any] = {}
    if name != "Nelder-Mead":
        more["jac"] = lambda x: oracle.value_and_gradient(x)[1]
    if name in ("Newton-CG", "trust-ncg"):
        more["hessp"] = oracle.hvp
    if name == "dogleg":
        more["hess"] = oracle.hessian
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            theirs = minimize(oracle.value, start, method=name, options=tolerances, **more)
    except np.linalg.LinAlgError:
        return None
    if _arrived(problem, mine.fun) and _arrived(problem, theirs.fun):
        return mine.nfev, theirs.nfev
    return None


def _arrived(problem: Problem, f: float) -> bool:
    return any(abs(f - low) <= 1e-6 * max(abs(low), 1e-3) for low in problem.minima)


def counted(method: str, side: int) -> Sample:
    """The count of one side, taken once."""
    import scipy.optimize  # noqa: F401  # without it there is nothing to compare with

    return lambda: evaluations(method)[side]


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms"


def _count(found: float) -> str:
    return f"{found:.3g}"


WORKS = (
    Work(
        "nist",
        "54 certified fits, compiled",
        _milliseconds,
        (
            Contender(OURS, ours_compiled),
            Contender("SciPy least_squares, lm", scipy_compiled, costs_at_most(2.0)),
        ),
        rounds=7,
    ),
    Work(
        "nist-scratch",
        "54 certified fits from scratch",
        _milliseconds,
        (
            Contender(OURS, ours_from_scratch),
            Contender("SciPy least_squares, lm", scipy_from_scratch, costs_at_most(2.0)),
        ),
        rounds=3,
    ),
    *(
        Work(
            f"solve-{method}",
            f"evaluations, {method}",
            _count,
            (
                Contender(OURS, partial(counted, method, 0)),
                Contender(f"SciPy {name}", partial(counted, method, 1), times_faster(1.0)),
            ),
            rounds=1,
        )
        for method, (name, _) in PEERS.items()
    ),
)
