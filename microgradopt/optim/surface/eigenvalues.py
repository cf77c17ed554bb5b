"""Eigenvalues of the Hessian: how sharply a surface bends, and which way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from microgradopt.arguments import check_count
from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.optim.options import check_choice
from microgradopt.optim.solvers.linear import powers
from microgradopt.optim.surface.curvature import (
    ROUNDING,
    Curvature,
    check_tolerance,
    upright,
)
from microgradopt.optim.surface.lanczos import Krylov, Product, Wanted, outer
from microgradopt.randomness import RandomSource, as_generator

STEPS = {"lanczos": 300, "power": 1000}  # Lanczos keeps a vector of each step


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenvalues of a Hessian, ascending.

    Attributes:
        values: (m,).
        vectors: (n, m), a column of unit length for each; its entries are in the order of the
            numbers in x.
        residuals: ‖Hv − λv‖ of each, (m,): an eigenvalue of H is at most so far away.
        settled: whether all residuals are as small as was asked for.
        products: how many Hessian-vector products that took.
    """

    values: Array
    vectors: Array
    residuals: Array
    settled: bool
    products: int


class Dominant(NamedTuple):
    """The eigenvalue of largest magnitude, and its unit vector in the form of x."""

    value: float
    vector: Any


def hessian_eigenvalues(
    f: Callable[..., Any],
    x: Any,
    k: int = 1,
    which: str = "largest",
    *,
    tol: float = 1e-8,
    steps: int = STEPS["lanczos"],
    rng: RandomSource = None,
    jit: bool | str | None = None,
) -> Eigenvalues:
    """The outermost eigenvalues of the Hessian of ``f`` at ``x``, each as often as it occurs.

    The Lanczos process takes products Hv alone, one for each vector that it keeps; it needs memory
    for ``steps`` of them. The Hessian itself is never made.

    Args:
        f: a function of x that returns one number.
        x: a number, an array, a structure of them, or a module, ``f(model)``.
        k: how many eigenvalues; for "both", from each end.
        which: "largest", "smallest" (the most negative, or least positive) or "both".
        tol: by how much of the largest magnitude a residual may be off; no less than what the
            precision of x allows.
        steps: how many vectors to keep at most. Where that is too few, ``settled`` is False.
        rng: for the vectors to start from.
        jit: as for the solvers: None compiles what is called often, False nothing.

    Raises:
        NonFiniteError: if a product is NaN or infinite.
        UsageError: for a k or a tolerance out of range, or an x without numbers.
        ShapeError: if ``f`` returns more than one number.

    Source: Parlett, The Symmetric Eigenvalue Problem, SIAM 1998, chapter 13.

    >>> import microgradopt as mg
    >>> bends = np.array([5.0, -1.0, 2.0, 5.0])
    >>> found = hessian_eigenvalues(lambda x: mg.sum(bends * x * x), np.zeros(4), 3, rng=0)
    >>> found.values.round(6)
    array([ 4., 10., 10.])
    """
    user = "hessian_eigenvalues"
    at = Curvature(f, x, jit, user)
    return outer_eigenvalues(at, k, which, tol, steps, rng)


def outer_eigenvalues(
    at: Curvature, k: int, which: str, tol: float, steps: int, rng: RandomSource
) -> Eigenvalues:
    """:func:`hessian_eigenvalues` at a point, its arguments checked."""
    check_choice(at.user, "which", which, ("largest", "smallest", "both"))
    k = min(check_count(at.user, "k", k), at.size)
    wanted = Wanted(
        0 if which == "largest" else k,
        0 if which == "smallest" else k,
        as_precise_as(at, check_tolerance(at.user, "tol", tol)),
        check_count(at.user, "steps", steps),
        at.eps,
    )
    before = at.oracle.nhev
    (values, rows, _), settled = outer(at.product, at.size, wanted, as_generator(rng))
    residuals = [float(np.linalg.norm(at.product(v) - a * v)) for a, v in zip(values, rows)]
    products = at.oracle.nhev - before
    return Eigenvalues(values, rows.T, np.array(residuals), settled, products)


def as_precise_as(at: Curvature, tol: float) -> float:
    """A tolerance that can be reached."""
    return max(tol, ROUNDING * at.eps)


def dominant_eigenvalue(
    f: Callable[..., Any],
    x: Any,
    *,
    method: str = "lanczos",
    tol: float = 1e-6,
    steps: int | None = None,
    rng: RandomSource = None,
    jit: bool | str | None = None,
) -> Dominant:
    """The eigenvalue β of largest magnitude of the Hessian of ``f`` at ``x``, and its vector.

    Args:
        f, x, rng, jit: see :func:`hessian_eigenvalues`.
        method: "lanczos"; or "power", which repeats v ← Hv/‖Hv‖ with β = vᵀHv. That needs no
            memory, but many more products where another eigenvalue is about as large, and it never
            ends where −β is one too. Lanczos then gives the positive one.
        tol: until ‖Hv − βv‖ is below this share of β; β itself is then off by about its square,
            unless others are close. No less than what the precision of x allows.
        steps: how many products at most; None for 300 by Lanczos, 1000 by power iteration.

    Returns:
        ``(value, vector)``; the vector has unit length and the form of x, of a module it is a
        dict by name.

    Raises:
        NonFiniteError: if a product is NaN or infinite.
        UsageError: if it does not settle in so many steps; for arguments out of range.

    >>> import microgradopt as mg
    >>> beta, v = dominant_eigenvalue(lambda x: x[0] ** 2 - 3.0 * x[1] ** 2, np.ones(2), rng=0)
    >>> round(beta, 9), v.round(9)
    (-6.0, array([0., 1.]))
    """
    user = "dominant_eigenvalue"
    return _dominant(Curvature(f, x, jit, user), method, tol, steps, rng)


def _dominant(
    at: Curvature, method: str, tol: float, steps: int | None, rng: RandomSource
) -> Dominant:
    check_choice(at.user, "method", method, tuple(STEPS))
    tol = check_tolerance(at.user, "tol", tol)
    most = STEPS[method] if steps is None else check_count(at.user, "steps", steps)
    start = as_generator(rng).standard_normal(at.size)
    find = _by_lanczos if method == "lanczos" else _by_power
    value, v, residual = find(at.product, start, as_precise_as(at, tol), most, at.eps)
    if residual is not None:
        instead = "" if method == "lanczos" else ", or method='lanczos', which tells ±β apart"
        raise UsageError(
            f"{at.user}: β is about {value:.6g} after {most} products, but ‖Hv − βv‖ is still "
            f"{residual:.3g}, where tol={tol:g} allows {tol * abs(value):.3g}; write steps="
            f"{10 * most}, a larger tol{instead}"
        )
    return Dominant(value, at.form(upright(v)))


Found = tuple[float, Array, float | None]  # the residual, where it is too large


def _by_power(product: Product, start: Array, tol: float, most: int, eps: float) -> Found:
    for v, Hv in powers(product, start, most):
        value = float(v @ Hv)
        residual = float(np.linalg.norm(Hv - value * v))
        if residual <= tol * abs(value):
            return value, v, None
    return value, v, residual


def _by_lanczos(product: Product, start: Array, tol: float, most: int, eps: float) -> Found:
    run = Krylov(product, start, most, eps)
    settled = run.until(lambda: _is_dominant(run, tol))
    chosen = _largest(run.ritz()[0], tol)
    values, vectors, residuals = run.pairs(np.array([chosen]))
    return float(values[0]), vectors[0], None if settled else float(residuals[0])


def _largest(values: Array, tol: float) -> int:
    """The place of the largest magnitude; of two, that of the positive one."""
    return 0 if -values[0] > (1.0 + tol) * values[-1] else len(values) - 1


def _is_dominant(run: Krylov, tol: float) -> bool:
    """Whether the largest magnitude has settled, and that at the other end cannot outgrow it."""
    values, _, residuals = run.ritz()
    i = _largest(values, tol)
    other = 0 if i else -1
    allowed = tol * abs(values[i])
    outgrown = abs(values[other]) + residuals[other] > abs(values[i])
    return bool(residuals[i] <= allowed and (residuals[other] <= allowed or not outgrown))


def curvature_rate(
    f: Callable[..., Any],
    x: Any,
    *,
    method: str = "lanczos",
    tol: float = 1e-6,
    steps: int | None = None,
    rng: RandomSource = None,
    jit: bool | str | None = None,
) -> float:
    """The learning rate 1/β that the Hessian at ``x`` allows, β its dominant eigenvalue.

    Gradient descent on a quadratic shrinks the part of x along an eigenvector by 1 − lr·λ in each
    step: with 1/β the steepest one is gone at once, and above 2/β it grows without bound.

    Args:
        f, x, method, tol, steps, rng, jit: see :func:`dominant_eigenvalue`.

    Raises:
        UsageError: if β is not positive: no rate makes a bend downwards shrink.

    >>> import microgradopt as mg
    >>> round(curvature_rate(lambda x: 0.05 * x[0] ** 2 + 2.0 * x[1] ** 2, np.ones(2), rng=0), 9)
    0.25
    """
    user = "curvature_rate"
    beta = _dominant(Curvature(f, x, jit, user), method, tol, steps, rng).value
    if beta < np.finfo(float).tiny:
        bends = "bends downwards" if beta < 0.0 else "does not bend"
        raise UsageError(
            f"{user}: 1/β is no learning rate, as the surface {bends} at x: β = {beta:.6g}; take x "
            "nearer to a minimum, or see optim.classify for the way down"
        )
    return 1.0 / beta
