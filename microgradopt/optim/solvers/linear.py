"""The small linear algebra of steps: minimisers of quadratic models, whole or within a ball."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.result import Stop

EPS = float(np.finfo(float).eps)


def steihaug(
    product: Callable[[Array], Array], g: Array, radius: float, tolerance: float, most: int
) -> tuple[Array, float]:
    """Conjugate gradients on gᵀp + ½pᵀHp, up to the edge of a ball (Steihaug 1983).

    Returns:
        The step, and how far the model falls. Without a radius, where the curvature is not
        positive: the step so far, or −g if it is the first.
    """
    p, Hp = np.zeros_like(g), np.zeros_like(g)
    r, d = g, -g
    for _ in range(most):
        Hd = product(d)
        curvature, rr = float(d @ Hd), float(r @ r)
        alpha = rr / curvature if curvature > 0.0 else math.inf
        if not math.isfinite(curvature):
            raise Stop("non-finite", "a product with the Hessian")
        bent = curvature <= EPS * float(np.linalg.norm(d) * np.linalg.norm(Hd))
        if math.isinf(radius) and bent:
            return (p, _fall(g, p, Hp)) if p.any() else (d, _fall(g, d, Hd))
        if bent or float(np.linalg.norm(p + alpha * d)) >= radius:
            tau = to_edge(p, d, radius)
            p, Hp = p + tau * d, Hp + tau * Hd
            break
        p, Hp = p + alpha * d, Hp + alpha * Hd
        r = r + alpha * Hd
        if float(np.linalg.norm(r)) <= tolerance:
            break
        d = (float(r @ r) / rr) * d - r
    return p, _fall(g, p, Hp)


def _fall(g: Array, p: Array, Hp: Array) -> float:
    return -float(g @ p) - 0.5 * float(p @ Hp)


def to_edge(p: Array, d: Array, radius: float) -> float:
    """The positive t for which ‖p + t·d‖ is the radius, p being inside."""
    a, b, c = float(d @ d), float(p @ d), float(p @ p) - radius**2
    root = math.sqrt(max(b * b - a * c, 0.0))
    return -c / (b + root) if b > 0.0 else (root - b) / a


def dogleg(g: Array, gBg: float, newton: Array, radius: float) -> Array:
    """Powell's dogleg: towards the minimiser along −g, then towards the ``newton`` step.

    ``gBg`` is gᵀBg of the model's matrix, which is positive definite.
    """
    if float(np.linalg.norm(newton)) <= radius:
        return newton
    cauchy = -(float(g @ g) / gBg) * g
    length = float(np.linalg.norm(cauchy))
    if not length < radius:
        return -(radius / float(np.linalg.norm(g))) * g
    return cauchy + to_edge(cauchy, newton - cauchy, radius) * (newton - cauchy)


def within_ball(H: Array, g: Array, radius: float) -> Array:
    """The minimiser of gᵀp + ½pᵀHp over ‖p‖ ≤ radius, for any symmetric H, by eigenvalues.

    p = −(H + λI)⁻¹g with λ ≥ 0 for which ‖p‖ is the radius (Moré and Sorensen 1983, lemma 2.1); in
    the hard case, where no λ gives that length, what is missing goes along the lowest eigenvector.
    """
    values, vectors = np.linalg.eigh(H)
    c: Array = vectors.T @ g
    low = float(values[0])
    if low > 0.0 and float(np.linalg.norm(c / values)) <= radius:
        return -(vectors @ (c / values))  # type: ignore[no-any-return]
    gaps = values - low  # exact near 0, where H + λI is all but singular
    flat = low <= 0.0 and not c[gaps == 0.0].any()
    q = np.divide(-c, gaps, out=np.zeros_like(c), where=c != 0.0) if flat else c
    if flat and (short := float(np.linalg.norm(q))) <= radius:
        if low < -EPS * float(np.abs(values).max()):
            q[0] = math.sqrt(radius**2 - short**2)
        return vectors @ q  # type: ignore[no-any-return]
    return -(vectors @ (c / (gaps + _multiplier(gaps, c, radius, max(low, 0.0)))))


def _multiplier(gaps: Array, c: Array, radius: float, least: float) -> float:
    """The μ above ``least`` for which ‖c/(gaps + μ)‖ is the radius, by safeguarded Newton steps.

    They are taken on 1/‖p‖ − 1/radius, which is nearly straight (Reinsch 1967).
    """
    low = max(least, float(np.linalg.norm(c[gaps == 0.0])) / radius)
    high = max(float(np.linalg.norm(c)) / radius, low)
    mu = low or high
    while True:
        q = c / (gaps + mu)
        length = float(np.linalg.norm(q))
        if abs(length - radius) <= 1e-13 * radius:
            return mu
        low, high = (mu, high) if length > radius else (low, mu)
        mu += (length / radius - 1.0) * length * length / float((q * q) @ (1.0 / (gaps + mu)))
        if not low < mu < high:
            mu = math.sqrt(low * high) if low > 0.0 else 0.1 * high
        if not low < mu < high:  # they are neighbours
            return mu


def powers(product: Callable[[Array], Array], v: Array, most: int) -> Iterator[tuple[Array, Array]]:
    """Power iteration, v ← Hv/‖Hv‖: each v of length 1, with Hv."""
    for _ in range(most):
        v = v / np.linalg.norm(v)
        Hv = product(v)
        yield v, Hv
        v = Hv


def triangle(A: Array) -> Array:
    """R of A = QR, (min(m, n), n) for A of shape (m, n)."""
    factored, _ = np.linalg.qr(A, mode="raw")
    n, m = factored.shape
    return factored.T[:n] * _upper(min(m, n), n)  # np.triu takes longer


@cache
def _upper(m: int, n: int) -> Array:
    return np.triu(np.ones((m, n)))


def scaled_triangle(J: Array, r: Array) -> tuple[Array, Array, Array]:
    """R and Qᵀr of J with its columns made 1 long, and how long they are; 1 for those of zeros.

    The diagonal of R tells how much of J's rank is missing, whatever units its columns are in. J is
    of shape (m, n) with m ≥ n, r of (m,).
    """
    n = J.shape[1]
    lengths = np.linalg.norm(J, axis=0)
    lengths[lengths == 0.0] = 1.0
    R = triangle(np.column_stack([J / lengths, r]))
    return R[:n, :n], R[:n, n], lengths
