"""Problems 20 to 35 of Moré, Garbow and Hillstrom, for as many unknowns as wanted.

Each is a function of ``x`` with the residuals as they are published, which takes n from the shape
of ``x``, and a function that makes the problem for a given n.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import microgradopt as mg
from benchmarks.problems.squares import Formula, Problem


def _sized(
    name: str, number: int, formula: Formula, start: Any, minima: tuple[float, ...]
) -> Problem:
    point = tuple(float(x) for x in start)
    return Problem(f"{name}, n={len(point)}", number, formula, point, minima)


def _repeated(block: list[float], n: int) -> Any:
    if n % len(block):
        raise ValueError(f"n={n} is not a multiple of {len(block)}, the size of one block")
    return np.tile(block, n // len(block))


def _watson(x: Any) -> Any:
    n = x.shape[0]
    powers = (np.arange(1, 30)[:, None] / 29.0) ** np.arange(n)
    slope = (powers[:, :-1] * np.arange(1, n)) @ x[1:]
    ends = mg.stack([x[0], x[1] - x[0] ** 2 - 1.0])
    return mg.concatenate([slope - (powers @ x) ** 2 - 1.0, ends])


WATSON = {6: (2.28767005355e-3,), 9: (1.39976013810e-6,), 12: (4.722381107e-10,)}


def watson(n: int = 6) -> Problem:
    """Problem 20, n ≥ 2: a differential equation by a polynomial; ever worse conditioned."""
    return _sized("Watson", 20, _watson, np.zeros(n), WATSON.get(n, ()))


def _extended_rosenbrock(x: Any) -> Any:
    odd, even = x[::2], x[1::2]
    return mg.stack([10.0 * (even - odd**2), 1.0 - odd], axis=1).ravel()


def extended_rosenbrock(n: int = 10) -> Problem:
    """Problem 21, n even: n/2 Rosenbrock functions side by side."""
    start = _repeated([-1.2, 1.0], n)
    return _sized("extended Rosenbrock", 21, _extended_rosenbrock, start, (0.0,))


def _extended_powell_singular(x: Any) -> Any:
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    squares = [(b - 2.0 * c) ** 2, 10.0**0.5 * (a - d) ** 2]
    return mg.stack([a + 10.0 * b, 5.0**0.5 * (c - d), *squares], axis=1).ravel()


def extended_powell_singular(n: int = 12) -> Problem:
    """Problem 22, n a multiple of 4: the Hessian is singular at the solution."""
    start = _repeated([3.0, -1.0, 0.0, 1.0], n)
    return _sized("extended Powell singular", 22, _extended_powell_singular, start, (0.0,))


def _penalty_1(x: Any) -> Any:
    return mg.concatenate([1e-5**0.5 * (x - 1.0), mg.stack([x @ x - 0.25])])


PENALTY_1 = {4: (2.24997750090e-5,), 10: (7.08765146709e-5,)}


def penalty_1(n: int = 4) -> Problem:
    """Problem 23: a sphere, and a faint pull away from it."""
    return _sized("penalty I", 23, _penalty_1, np.arange(1, n + 1), PENALTY_1.get(n, ()))


def _penalty_2(x: Any) -> Any:
    n = x.shape[0]
    e, known = mg.exp(x / 10.0), np.exp(np.arange(1, n + 1) / 10.0)
    pairs = e[1:] + e[:-1] - (known[1:] + known[:-1])
    sphere = np.arange(n, 0.0, -1.0) @ x**2 - 1.0
    faint = 1e-5**0.5 * mg.concatenate([pairs, e[1:] - np.exp(-0.1)])
    return mg.concatenate([x[:1] - 0.2, faint, mg.stack([sphere])])


PENALTY_2 = {4: (9.37629300736e-6,), 10: (2.93660537457e-4,)}


def penalty_2(n: int = 4) -> Problem:
    """Problem 24: an ellipsoid, and faint pulls away from it."""
    return _sized("penalty II", 24, _penalty_2, np.full(n, 0.5), PENALTY_2.get(n, ()))


def _variably_dimensioned(x: Any) -> Any:
    total = np.arange(1.0, x.shape[0] + 1.0) @ (x - 1.0)
    return mg.concatenate([x - 1.0, mg.stack([total, total**2])])


def variably_dimensioned(n: int = 10) -> Problem:
    """Problem 25: one direction is of the fourth power and far steeper than the others."""
    start = 1.0 - np.arange(1, n + 1) / n
    return _sized("variably dimensioned", 25, _variably_dimensioned, start, (0.0,))


def _trigonometric(x: Any) -> Any:
    n, cosines = x.shape[0], mg.cos(x)
    return n - mg.sum(cosines) + np.arange(1, n + 1) * (1.0 - cosines) - mg.sin(x)


def trigonometric(n: int = 10) -> Problem:
    """Problem 26: besides 0 it has local minima, of which the paper has the first for n = 10."""
    local = (2.79505612188e-5, 4.21863388792e-5, 8.78822522182e-4) if n == 10 else ()
    return _sized("trigonometric", 26, _trigonometric, np.full(n, 1.0 / n), (0.0, *local))


def _brown_almost_linear(x: Any) -> Any:
    linear = x[:-1] + mg.sum(x) - (x.shape[0] + 1.0)
    return mg.concatenate([linear, mg.stack([mg.prod(x) - 1.0])])


def brown_almost_linear(n: int = 10) -> Problem:
    """Problem 27: all residuals but one are linear; 1 is the value at (0, …, 0, n + 1)."""
    return _sized("Brown almost-linear", 27, _brown_almost_linear, np.full(n, 0.5), (0.0, 1.0))


def _grid(n: int) -> Any:
    return np.arange(1, n + 1) / (n + 1.0)


def _discrete_boundary_value(x: Any) -> Any:
    n = x.shape[0]
    around = mg.pad(x, 1)
    curve = 2.0 * x - around[:-2] - around[2:]
    return curve + 0.5 * (x + _grid(n) + 1.0) ** 3 / (n + 1.0) ** 2


def discrete_boundary_value(n: int = 10) -> Problem:
    """Problem 28: u″ = ½ (u + t + 1)³ with u(0) = u(1) = 0, by differences."""
    start = _grid(n) * (_grid(n) - 1.0)
    return _sized("discrete boundary value", 28, _discrete_boundary_value, start, (0.0,))


def _discrete_integral_equation(x: Any) -> Any:
    n = x.shape[0]
    t = _grid(n)
    kernel = np.minimum.outer(t, t) * (1.0 - np.maximum.outer(t, t))
    return x + 0.5 / (n + 1.0) * (kernel @ (x + t + 1.0) ** 3)


def discrete_integral_equation(n: int = 10) -> Problem:
    """Problem 29: the equation of problem 28, integrated; the Jacobian is dense."""
    start = _grid(n) * (_grid(n) - 1.0)
    return _sized("discrete integral equation", 29, _discrete_integral_equation, start, (0.0,))


def _broyden_tridiagonal(x: Any) -> Any:
    around = mg.pad(x, 1)
    return (3.0 - 2.0 * x) * x - around[:-2] - 2.0 * around[2:] + 1.0


def broyden_tridiagonal(n: int = 10) -> Problem:
    """Problem 30: each residual is of an unknown and its two neighbours."""
    minima = (0.0, 1.02151354474) if n == 10 else (0.0,)
    return _sized("Broyden tridiagonal", 30, _broyden_tridiagonal, np.full(n, -1.0), minima)


def _broyden_banded(x: Any) -> Any:
    n = x.shape[0]
    around = mg.pad(x * (1.0 + x), (5, 1))
    band = sum(around[k : k + n] for k in (0, 1, 2, 3, 4, 6))  # the unknown itself is at 5
    return x * (2.0 + 5.0 * x**2) + 1.0 - band


def broyden_banded(n: int = 10) -> Problem:
    """Problem 31: each residual is of an unknown, five before it and one after."""
    return _sized("Broyden banded", 31, _broyden_banded, np.full(n, -1.0), (0.0,))


def _linear_full_rank(x: Any) -> Any:
    n = x.shape[0]
    return mg.pad(x, (0, n)) - mg.sum(x) / n - 1.0


def linear_full_rank(n: int = 5) -> Problem:
    """Problem 32 with m = 2n: linear residuals, the minimum unique."""
    return _sized("linear, full rank", 32, _linear_full_rank, np.ones(n), (float(n),))


def _linear_rank_1(x: Any) -> Any:
    n = x.shape[0]
    return np.arange(1.0, 2 * n + 1) * (np.arange(1.0, n + 1) @ x) - 1.0


def linear_rank_1(n: int = 5) -> Problem:
    """Problem 33 with m = 2n: linear residuals that see one direction only."""
    m = 2 * n
    minima = (m * (m - 1) / (2.0 * (2 * m + 1)),)
    return _sized("linear, rank 1", 33, _linear_rank_1, np.ones(n), minima)


def _linear_rank_1_zeros(x: Any) -> Any:
    n = x.shape[0]
    rows = np.pad(np.arange(1.0, 2 * n - 1), 1)
    return rows * (np.arange(2.0, n) @ x[1:-1]) - 1.0


def linear_rank_1_zeros(n: int = 5) -> Problem:
    """Problem 34 with m = 2n, n ≥ 3: problem 33 with columns and rows of zeros."""
    m = 2 * n
    minima = ((m * m + 3 * m - 6) / (2.0 * (2 * m - 3)),)
    return _sized("linear, rank 1 with zeros", 34, _linear_rank_1_zeros, np.ones(n), minima)


def _chebyquad(x: Any) -> Any:
    n = x.shape[0]
    y = 2.0 * x - 1.0
    before, now, means = 1.0, y, []
    for _ in range(n):
        means.append(mg.mean(now))
        before, now = now, 2.0 * y * now - before
    degrees = np.arange(1, n + 1)
    even = degrees % 2 == 0
    return mg.stack(means) + np.where(even, 1.0 / np.where(even, degrees**2 - 1.0, 1.0), 0.0)


CHEBYQUAD = {  # the paper gives 6.50395e-3 for n = 10, where its start leads
    8: (3.51687372568e-3,),
    9: (0.0,),
    10: (4.77271369638e-3, 6.50395480088e-3, 9.50062885022e-3),
}


def chebyquad(n: int = 8) -> Problem:
    """Problem 35: equal weights at n points that integrate Chebyshev's polynomials."""
    return _sized("Chebyquad", 35, _chebyquad, _grid(n), CHEBYQUAD.get(n, ()))


ANY_SIZE = (
    watson(6), watson(9), watson(12),
    extended_rosenbrock(), extended_powell_singular(),
    penalty_1(4), penalty_1(10), penalty_2(4), penalty_2(10),
    variably_dimensioned(), trigonometric(), brown_almost_linear(),
    discrete_boundary_value(), discrete_integral_equation(),
    broyden_tridiagonal(), broyden_banded(),
    linear_full_rank(), linear_rank_1(), linear_rank_1_zeros(),
    chebyquad(8), chebyquad(9), chebyquad(10),
)  # fmt: skip
