"""The small linear algebra of steps: minimisers of quadratic models, whole or within a ball."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from microgradopt.engine.graph import Array


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
        bent = curvature <= np.finfo(float).eps * float(d @ d)
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
    shift = max(-low, 0.0)
    scale = max(float(np.abs(values).max()), np.finfo(float).tiny)
    lam = shift + np.finfo(float).eps * scale
    short = float(np.linalg.norm(c / (values + lam)))
    if short < radius:  # the hard case
        q = -c / (values + lam)
        q[0] += math.sqrt(max(radius**2 - short**2, 0.0)) * (-1.0 if c[0] > 0.0 else 1.0)
        return vectors @ q
    return -(vectors @ (c / (values + _multiplier(values, c, radius, lam))))


def _multiplier(values: Array, c: Array, radius: float, low: float) -> float:
    """The λ above ``low`` for which ‖c/(values + λ)‖ is the radius, by safeguarded Newton steps.

    They are taken on 1/‖p‖ − 1/radius, which is nearly straight (Reinsch 1967).
    """
    high = float(np.linalg.norm(c)) / radius - float(values[0])
    high = max(high, 2.0 * low, low + np.finfo(float).tiny)
    lam = low
    for _ in range(100):
        q = c / (values + lam)
        length = float(np.linalg.norm(q))
        if abs(length - radius) <= 1e-12 * radius:
            break
        low, high = (lam, high) if length > radius else (low, lam)
        slope = float((q * q) @ (1.0 / (values + lam))) / length**2
        lam = lam + (length / radius - 1.0) / slope
        if not low < lam < high:
            lam = 0.5 * (low + high)
    return lam
