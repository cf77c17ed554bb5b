"""What a least-squares search returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import LinAlgError, UsageError
from microgradopt.optim.solvers.linear import scaled_triangle
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Result
from microgradopt.optim.solvers.variables import Variables

RANK = 1e-14  # a diagonal entry of R, for columns of length 1, from which on J lacks rank


@dataclass
class Fit(Result):
    """The best fit found, and how sure of its parameters the data make one.

    Attributes:
        fun: the residuals there, (m,).
        cost: ½Σr².
        jac: the Jacobian there, (m, n), columns in the order of x taken apart.
        grad: the gradient of the cost, in the form of x.
    """

    cost: float
    grad: Any
    variables: Variables = field(repr=False)

    @property
    def deviation(self) -> float:
        """The residuals' standard deviation √(Σr²/(m − n)).

        Raises:
            UsageError: without more residuals than parameters.
        """
        m, n = self.jac.shape
        if m <= n:
            raise UsageError(
                f"{m} residuals say nothing about the spread of {n} parameters; give more data"
            )
        return float(np.sqrt(2.0 * self.cost / (m - n)))

    @cached_property
    def covariance(self) -> Array:
        """The parameters' covariance Σr²/(m − n)·(JᵀJ)⁻¹, (n, n), by QR of J.

        It holds where r is nearly straight around the fit, the errors are independent and equally
        spread, and no bound is met.

        Raises:
            LinAlgError: if J does not have full column rank: some parameters cannot be told apart.
        """
        deviation = self.deviation
        known = self.jac.any(axis=0)
        if not known.all():
            name = self.variables.name_of(int(np.argmin(known)))
            raise LinAlgError(f"the residuals do not depend on {name}: it has no standard error")
        R, _, lengths = scaled_triangle(self.jac, self.fun)
        if np.abs(np.diag(R)).min() < RANK:
            raise LinAlgError(
                "the Jacobian does not have full column rank: the data cannot tell some parameters "
                "apart, and their standard errors are infinite"
            )
        inverse = np.linalg.inv(R) * (deviation / lengths)[:, None]
        return inverse @ inverse.T

    @property
    def standard_errors(self) -> Any:
        """The square roots of the covariance's diagonal, in the form of x."""
        return self.variables.structure(np.sqrt(np.diag(self.covariance)))


def as_fit(result: Result, best: Point) -> Fit:
    """The result of a search over residuals, with these and their Jacobian at its best point."""
    variables = best.oracle.variables
    best.oracle.last = None  # what follows is not of the search
    J, r = best.jacobian, best.residuals
    return Fit(
        **{**vars(result), "fun": r, "jac": J},
        cost=0.5 * float(r @ r),
        grad=variables.structure(J.T @ r),
        variables=variables,
    )
