"""What a stationary point is: a minimum, a maximum, a saddle, or too flat to say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgradopt.arguments import check_count, check_number
from microgradopt.engine.graph import Array
from microgradopt.optim.surface.curvature import (
    ROUNDING,
    Curvature,
    check_tolerance,
    upright,
)
from microgradopt.optim.surface.eigenvalues import STEPS, Eigenvalues, outer_eigenvalues
from microgradopt.randomness import RandomSource

DENSE = 500  # numbers up to which all eigenvalues are computed: a second's work
OUTER = 5  # eigenvalues from each end, where there are more
SETTLED = 1e-10  # of the largest eigenvalue: how well they are to be known
SHOWN = 3  # from each end, in words


@dataclass(frozen=True, eq=False)
class Classification:
    """What a function looks like around a point.

    Attributes:
        kind: "minimum", "maximum", "saddle", "degenerate" (eigenvalues that are zero to rounding
            leave it open), or "not stationary".
        value: the function there.
        gradient_norm: the length of the gradient, and ``gradient_tolerance``, up to which it counts
            as zero.
        eigenvalues: of the Hessian, ascending: all n, or the outermost ones (``complete`` says
            which). One counts as zero up to ``tolerance``.
        eigenvectors: (n, m), a column of unit length for each; its entries are in the order of the
            numbers in x.
        residuals: how far off each eigenvalue may be, (m,); zero where all were computed.
        downhill: the direction in which the surface bends down most, of unit length and in the form
            of x (of a module, by name): f falls along it, and along its negative from a stationary
            point. None where it bends down nowhere.
        size: n, how many numbers there are in x.
    """

    kind: str
    value: float
    gradient_norm: float
    gradient_tolerance: float
    eigenvalues: Array
    eigenvectors: Array = field(repr=False)
    residuals: Array = field(repr=False)
    tolerance: float
    downhill: Any = field(repr=False)
    size: int

    @property
    def complete(self) -> bool:
        """Whether all eigenvalues are there."""
        return len(self.eigenvalues) == self.size

    def __str__(self) -> str:
        sides = "up to" if self.gradient_norm <= self.gradient_tolerance else "above"
        lines = [
            f"{self.kind}: bends {self._bends()}",
            f"  f            {self.value:.6g}",
            f"  gradient     {self.gradient_norm:.3g}, {sides} the {self.gradient_tolerance:.2g} "
            "that counts as zero",
            f"  eigenvalues  {self._listed()}",
        ]
        if self.downhill is not None and self.size <= 2 * SHOWN:
            direction = np.array2string(upright(self.eigenvectors[:, 0]), precision=4)
            lines.append(f"  downhill     ±{direction}")
        return "\n".join(lines)

    def _bends(self) -> str:
        """``up along 2, down along 1 of 3 directions``."""
        signs = np.sign(self.eigenvalues) * (np.abs(self.eigenvalues) > self.tolerance)
        counts = {"up": (signs > 0).sum(), "down": (signs < 0).sum(), "nowhere": (signs == 0).sum()}
        listed = ", ".join(f"{way} along {count}" for way, count in counts.items() if count)
        return f"{listed} of {len(signs)} directions"

    def _listed(self) -> str:
        shown = [f"{x:.4g}" for x in self.eigenvalues]
        if len(shown) > 2 * SHOWN:
            shown[SHOWN:-SHOWN] = ["…"]
        listed = f"{'  '.join(shown)}, up to {self.tolerance:.2g} counts as zero"
        if not self.complete:
            off = float(self.residuals.max())
            listed += f"; the outermost of {self.size}, to within {off:.2g}"
        return listed


def classify(
    f: Callable[..., Any],
    x: Any,
    *,
    gtol: float = 1e-5,
    tol: float | None = None,
    dense: int = DENSE,
    k: int = OUTER,
    steps: int = STEPS["lanczos"],
    rng: RandomSource = None,
    jit: bool | str | None = None,
) -> Classification:
    """Say what ``f`` has at ``x``: a minimum, a maximum, a saddle, or no stationary point at all.

    At a stationary point, where the gradient is zero, the eigenvalues of the Hessian tell: all
    positive, all negative, or some of each. Where some are zero and the rest agree, higher
    derivatives would have to be asked: "degenerate".

    Args:
        f: a function of x that returns one number.
        x: a number, an array, a structure of them, or a module, ``f(model)``.
        gtol: the gradient counts as zero up to ``gtol·max|λ|·max(‖x‖, 1)``: a step of that share
            of x would change it by as much.
        tol: an eigenvalue counts as zero up to ``tol·max|λ|``; None takes 100·√n times the
            precision of x. For eigenvalues by Lanczos, their residuals come on top.
        dense: up to how many numbers in x the whole Hessian is computed.
        k, steps, rng: beyond that, how many eigenvalues from each end, by how many Lanczos vectors
            at most, from which start; see :func:`hessian_eigenvalues`.
        jit: as for the solvers: None compiles what is called often, False nothing.

    Raises:
        NonFiniteError: if the function or a derivative is NaN or infinite at x.
        UsageError: for an argument out of range, or an x without numbers.
        ShapeError: if ``f`` returns more than one number.

    >>> import microgradopt as mg
    >>> found = classify(lambda x: x[0] ** 2 - x[1] ** 2, np.zeros(2))
    >>> found.kind, found.eigenvalues, found.downhill
    ('saddle', array([-2.,  2.]), array([0., 1.]))
    """
    user = "classify"
    check_number(user, "gtol", gtol)
    if tol is not None:
        check_tolerance(user, "tol", tol)
    check_count(user, "dense", dense, least=0)
    at = Curvature(f, x, jit, user)
    value, g = at.value_and_gradient()
    found = _eigenvalues(at, k, steps, rng, dense)
    scale = float(np.abs(found.values).max())
    zero = scale * (ROUNDING * math.sqrt(at.size) * at.eps if tol is None else tol)
    stationary = max(gtol, ROUNDING * at.eps) * scale * max(float(np.linalg.norm(at.x)), 1.0)
    length = float(np.linalg.norm(g))
    return Classification(
        kind=_kind(found, zero) if length <= stationary else "not stationary",
        value=value,
        gradient_norm=length,
        gradient_tolerance=stationary,
        eigenvalues=found.values,
        eigenvectors=found.vectors,
        residuals=found.residuals,
        tolerance=zero,
        downhill=_downhill(at, g, found, zero),
        size=at.size,
    )


def _eigenvalues(at: Curvature, k: int, steps: int, rng: RandomSource, dense: int) -> Eigenvalues:
    if at.size > dense:
        return outer_eigenvalues(at, k, "both", SETTLED, steps, rng)
    values, vectors = np.linalg.eigh(at.hessian())
    return Eigenvalues(values, vectors, np.zeros(at.size), True, 0)


def _kind(found: Eigenvalues, zero: float) -> str:
    """By the outermost eigenvalues. A quotient vᵀHv below zero is proof of one; above, none."""
    low, high = found.values[0], found.values[-1]
    if low < -zero and high > zero:
        return "saddle"
    if low - found.residuals[0] > zero:
        return "minimum"
    if high + found.residuals[-1] < -zero:
        return "maximum"
    return "degenerate"


def _downhill(at: Curvature, g: Array, found: Eigenvalues, zero: float) -> Any:
    if not found.values[0] < -zero:
        return None
    v = upright(found.vectors[:, 0])
    return at.form(-v if float(g @ v) > 0.0 else v)
