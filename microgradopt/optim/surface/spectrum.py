"""How the eigenvalues of a large Hessian are spread, from few products with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microgradopt.arguments import check_count, check_number
from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.optim.surface.curvature import ROUNDING, Curvature
from microgradopt.optim.surface.lanczos import Krylov
from microgradopt.randomness import RandomSource, as_generator

SHARE = 0.01  # of the eigenvalues' range: how wide each is drawn
MARGIN = 5.0  # widths beyond the outermost


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """Which share of a Hessian's eigenvalues lies where.

    Attributes:
        grid: where the density is given, ascending, (points,).
        density: there; its integral is 1.
        nodes, weights: the measure that was broadened for it, Σ weight·δ(λ − node), both (m,). The
            weights add up to 1.
        width: the standard deviation of the Gaussian that each node became.
        size: how many eigenvalues there are.
    """

    grid: Array = field(repr=False)
    density: Array = field(repr=False)
    nodes: Array = field(repr=False)
    weights: Array = field(repr=False)
    width: float
    size: int

    def moment(self, power: int) -> float:
        """The mean of λ^power over all eigenvalues: ``size * moment(1)`` is the trace."""
        return float(self.weights @ self.nodes**power)

    def share(self, low: float = -math.inf, high: float = math.inf) -> float:
        """Which share of the eigenvalues is in [low, high)."""
        return float(self.weights[(low <= self.nodes) & (self.nodes < high)].sum())


def spectral_density(
    f: Callable[..., Any],
    x: Any,
    *,
    probes: int = 10,
    steps: int = 80,
    width: float | None = None,
    points: int = 1000,
    rng: RandomSource = None,
    jit: bool | str | None = None,
) -> SpectralDensity:
    """The density of the eigenvalues of the Hessian of ``f`` at ``x``, by Lanczos quadrature.

    Each probe is a vector v of random signs. Lanczos on v gives eigenvalues θᵢ of T and the squares
    τᵢ of their vectors' first entries, so that vᵀp(H)v = n·Σ τᵢ p(θᵢ) for every polynomial p of
    degree below 2·steps, and the mean over probes estimates the trace of p(H). Each θᵢ is then
    drawn as a Gaussian of area τᵢ.

    Args:
        f: a function of x that returns one number.
        x: a number, an array, a structure of them, or a module, ``f(model)``.
        probes: how many; errors fall with the root of their number, and of n.
        steps: products for each probe; the more, the finer what can be told apart.
        width: the standard deviation of a Gaussian; None takes a hundredth of the range.
        points: of the grid, which covers all nodes and five widths more.
        rng: for the probes.
        jit: as for the solvers: None compiles what is called often, False nothing.

    Raises:
        NonFiniteError: if a product is NaN or infinite.
        UsageError: for an argument out of range, or an x without numbers.
        ShapeError: if ``f`` returns more than one number.

    Source: Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38 (2017) 1075; with Gaussians, for
    networks, Ghorbani, Krishnan and Xiao, ICML 2019.

    >>> import microgradopt as mg
    >>> found = spectral_density(lambda x: mg.sum(np.arange(1.0, 5.0) * x * x), np.ones(4), rng=0)
    >>> round(4 * found.moment(1), 6), round(found.share(high=5.0), 6)
    (20.0, 0.5)
    """
    user = "spectral_density"
    probes = check_count(user, "probes", probes)
    steps = check_count(user, "steps", steps)
    points = check_count(user, "points", points, least=2)
    _check_width(user, width)
    rng = as_generator(rng)
    at = Curvature(f, x, jit, user)
    nodes, weights = np.concatenate([_quadrature(at, steps, rng) for _ in range(probes)], axis=1)
    weights = weights / probes
    low, high = float(nodes.min()), float(nodes.max())
    if width is None:
        width = SHARE * _spread(low, high, at.eps)
    grid = np.linspace(low - MARGIN * width, high + MARGIN * width, points)
    density = _gaussians(grid, nodes, weights, width)
    return SpectralDensity(grid, density, nodes, weights, width, at.size)


def _quadrature(at: Curvature, steps: int, rng: np.random.Generator) -> Array:
    """The nodes and weights of one probe, (2, m)."""
    signs = 2.0 * rng.integers(2, size=at.size) - 1.0
    run = Krylov(at.product, signs, steps, at.eps)
    run.until(lambda: False)
    values, vectors, _ = run.ritz()
    return np.stack([values, vectors[0] ** 2])


def _gaussians(grid: Array, nodes: Array, weights: Array, width: float) -> Array:
    apart = (grid[:, None] - nodes) / width
    return np.exp(-0.5 * apart**2) @ weights / (math.sqrt(2.0 * math.pi) * width)


def _spread(low: float, high: float, eps: float) -> float:
    """The range, or the size of a single eigenvalue."""
    size = max(abs(low), abs(high))
    return high - low if high - low > ROUNDING * eps * size else size or 1.0


def _check_width(user: str, width: Any) -> None:
    if width is not None:
        check_number(user, "width", width, kind="a number or None")
        if width == 0.0:
            raise UsageError(f"{user}: width must be above 0, got {width!r}; leave it out for None")
