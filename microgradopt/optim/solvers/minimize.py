"""``minimize`` and ``least_squares``: one call from a function to its minimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from microgradopt.errors import UsageError
from microgradopt.optim.solvers.fit import Fit, as_fit
from microgradopt.optim.solvers.methods import GENERAL, OF_RESIDUALS
from microgradopt.optim.solvers.oracle import Objective, Residuals
from microgradopt.optim.solvers.result import Result
from microgradopt.optim.solvers.run import Budget, Tolerances
from microgradopt.optim.solvers.search import Search

MANY = 500  # variables, from which on a dense inverse Hessian costs more than it gives
EVALUATIONS = 1000  # of residuals, times the number of parameters and one, by default


def minimize(
    f: Callable[..., Any] | Objective,
    x0: Any,
    method: Any = None,
    *,
    bounds: Any = None,
    jac: Any = None,
    hess: Callable[..., Any] | None = None,
    hessp: Callable[..., Any] | None = None,
    gtol: float = 1e-6,
    ftol: float = 0.0,
    xtol: float = 0.0,
    f_target: float = -math.inf,
    maxiter: int | None = None,
    maxfev: int | None = None,
    callback: Callable[[Result], Any] | None = None,
    jit: bool | str | None = None,
    path: bool = True,
    **options: Any,
) -> Result:
    """Search for a minimum of ``f`` from ``x0`` on.

    Args:
        f: takes x in the form of ``x0``, with nodes for its numbers, and returns one number; its
            derivatives are the library's. Or an :class:`Objective`, compiled once for many starts.
        x0: a number, an array, a list of numbers (taken as an array), a structure of arrays and
            numbers in lists, tuples and dicts, or a module, whose parameters are searched over: f
            is called with it, and it has the best ones at the end.
        method: "gd", "cg", "bfgs", "l-bfgs", "l-bfgs-b", "newton", "newton-cg", "trust-ncg",
            "dogleg"; without gradients "nelder-mead", "random", "local-random", "cma-es"; or a pair
            (direction, globaliser). None takes "bfgs", from 500 variables on "l-bfgs", and with
            bounds "l-bfgs-b".
        bounds: ``(lower, upper)``, each a number, None or in the form of x0, or a list of pairs.
        jac, hess, hessp: derivatives of your own, see :class:`Objective`; f takes plain numbers
            then.
        gtol, ftol, xtol: stop where no entry of the gradient is larger than gtol; where an
            iteration lowers f by at most ftol·|f|; where it moves no variable by more than
            xtol·|x|. 0 leaves a test to exact equality.
        f_target: stop where f is as low.
        maxiter: iterations at most; None allows 200 for each variable, and at least 1,000. Random
            search counts draws, and takes 10,000; Nelder–Mead and CMA-ES have limits of their own.
        maxfev: evaluations of the function at most.
        callback: called with the :class:`Result` so far after each iteration; returning True or
            raising StopIteration ends the search.
        jit: see :class:`Objective`.
        path: keep the points of all iterations in ``history.x``.
        options: of the method: ``lr`` of "gd" (a number, a schedule, "1/beta"), ``memory`` of
            "l-bfgs", ``radius`` of "trust-ncg" and "dogleg", ``c1``, ``c2`` of line searches,
            ``modified`` of "newton"; ``xatol``, ``fatol``, ``simplex`` of "nelder-mead"; ``scale``
            and ``rng`` of "random" and "local-random"; ``sigma``, ``popsize``, ``rng`` of "cma-es".

    Returns:
        A :class:`Result` with the best point found and the reason for stopping, also where the
        search failed: look at ``success``.

    Raises:
        UsageError: for an unknown method or option, or an x0 without numbers.

    >>> import numpy as np, microgradopt as mg
    >>> def rosenbrock(x):
    ...     return mg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    >>> found = minimize(rosenbrock, np.array([-1.2, 1.0]))
    >>> found.x.round(6), found.reason
    (array([1., 1.]), 'gradient')
    """
    if isinstance(f, Residuals):
        raise UsageError("minimize: f is of Residuals; give it to optim.least_squares")
    oracle: Objective
    if isinstance(f, Objective):
        _refuse_again("minimize", jac=jac, hess=hess, hessp=hessp, jit=jit)
        oracle = f.starting(x0)
    else:
        oracle = Objective(f, x0, jac=jac, hess=hess, hessp=hessp, jit=jit, user="minimize")
    n = oracle.variables.size
    if method is None:
        method = "l-bfgs-b" if bounds is not None else "bfgs" if n < MANY else "l-bfgs"
    tolerances = Tolerances(gtol, ftol, xtol, f_target)
    budget, usual = Budget(maxiter, maxfev), Budget(max(1000, 200 * n), None)
    search = Search("minimize", method, GENERAL, options, tolerances, budget, usual)
    return search.of(oracle, bounds, callback, path)[0]


def least_squares(
    residuals: Callable[..., Any] | Residuals,
    x0: Any,
    method: Any = "lm",
    *,
    bounds: Any = None,
    jac: Callable[..., Any] | None = None,
    gtol: float = 0.0,
    ftol: float = 1e-14,
    xtol: float = 1e-14,
    f_target: float = -math.inf,
    maxiter: int | None = None,
    maxfev: int | None = None,
    callback: Callable[[Result], Any] | None = None,
    jit: bool | str | None = None,
    path: bool = True,
    **options: Any,
) -> Fit:
    """Search for x with the smallest ½Σr(x)² from ``x0`` on.

    Args:
        residuals: takes x in the form of ``x0``, with nodes for its numbers, and returns an array
            of residuals, or several. Or :class:`Residuals`, compiled once for many starts.
        x0: as for :func:`minimize`.
        method: "lm", Levenberg–Marquardt; "gauss-newton"; "dogleg"; any method of
            :func:`minimize`, for ½Σr²; or a pair (direction, globaliser).
        bounds: as for :func:`minimize`; of the first three only "lm" takes them.
        jac: a Jacobian of your own, (m, n); the residuals take plain numbers then.
        gtol, ftol, xtol, f_target, maxiter, maxfev, callback, jit, path: as for :func:`minimize`,
            f being ½Σr². The defaults ask for all digits there are; maxfev allows 1,000·(n + 1).
        options: of the method: ``start`` and ``acceleration`` of "lm" (see
            :class:`optim.globalisers.Damping`), ``radius`` of "dogleg", …

    Returns:
        A :class:`Fit`: a :class:`Result` with covariance and standard errors.

    Raises:
        UsageError: for an unknown method or option, or an x0 without numbers.

    >>> import numpy as np, microgradopt as mg
    >>> t = np.linspace(0.0, 4.0, 9)
    >>> y = 2.5 * np.exp(-1.3 * t)
    >>> fit = least_squares(lambda b: b[0] * mg.exp(-b[1] * t) - y, np.array([1.0, 1.0]))
    >>> fit.x.round(12)
    array([2.5, 1.3])
    """
    if isinstance(residuals, Objective):
        raise UsageError("least_squares: f is an Objective; give it to optim.minimize")
    oracle: Residuals
    if isinstance(residuals, Residuals):
        _refuse_again("least_squares", jac=jac, jit=jit)
        oracle = residuals.starting(x0)
    else:
        oracle = Residuals(residuals, x0, jac=jac, jit=jit, user="least_squares")
    tolerances = Tolerances(gtol, ftol, xtol, f_target)
    budget = Budget(maxiter, maxfev)
    usual = Budget(None, EVALUATIONS * (oracle.variables.size + 1))
    pairs = {**GENERAL, **OF_RESIDUALS}
    search = Search("least_squares", method, pairs, options, tolerances, budget, usual)
    return as_fit(*search.of(oracle, bounds, callback, path))


def _refuse_again(user: str, **options: Any) -> None:
    """Refuse what an oracle was told when it was made."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{user}: an oracle has {name}= already; give it when you make that")
