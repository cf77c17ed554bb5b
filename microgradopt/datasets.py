"""Small classification problems: points in the plane, generated here, and handwritten digits.

Each function returns ``(X, y)``: inputs ``X``, float64, and their classes ``y``, int64 of shape
``(n,)``, counted from 0. Generated points have shape ``(n, 2)`` and come ordered by class; shuffle
them with one permutation of both, ``p = rng.permutation(len(y)); X, y = X[p], y[p]``.
"""

from __future__ import annotations

import math
import numbers
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from microgradopt.errors import MissingExtraError, UsageError
from microgradopt.randomness import RandomSource, as_generator

__all__ = ["circles", "digits", "moons", "spiral"]

Points: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]


def spiral(
    n_per_class: int = 100, classes: int = 3, noise: float = 0.2, rng: RandomSource = None
) -> tuple[Points, Labels]:
    """Arms of a spiral, one per class, that no straight line separates.

    Along arm ``j`` the radius ``r`` grows evenly from 0 to 1 while the angle ``t`` runs from
    ``4j`` to ``4j + 4``, in radians, plus ``noise`` times a standard normal draw; the point is
    ``(r sin t, r cos t)``.

    Args:
        n_per_class: points on each arm, at least 1.
        classes: number of arms, at least 2.
        noise: standard deviation of the angle, in radians.
        rng: np.random.Generator, or int to seed a new one; None draws fresh randomness.

    Returns:
        ``X``, float64 of shape ``(classes * n_per_class, 2)``, and ``y``, int64 of shape
        ``(classes * n_per_class,)``.

    Raises:
        UsageError: for a count, noise or rng that is not of this kind.

    Source: Stanford CS231n, "Putting it together: Minimal Neural Network Case Study".

    >>> X, y = spiral(n_per_class=100, classes=3, rng=0)
    >>> X.shape, y.shape
    ((300, 2), (300,))
    """
    n = _count("n_per_class", n_per_class, least=1, example=100)
    arms = np.arange(_count("classes", classes, least=2, example=3))
    spread = _spread("noise", noise, example=0.2)
    wobble = spread * as_generator(rng).standard_normal((len(arms), n))
    angle = np.linspace(4.0 * arms, 4.0 * arms + 4.0, n, axis=1) + wobble
    radius = np.broadcast_to(np.linspace(0.0, 1.0, n), angle.shape)
    return _polar(radius.ravel(), angle.ravel()), np.repeat(arms, n).astype(np.int64)


def moons(n: int = 100, noise: float = 0.1, rng: RandomSource = None) -> tuple[Points, Labels]:
    """Two interleaving half circles of radius 1, ``n`` points in all.

    Class 0 is the upper half of the circle about (0, 0), ``n // 2`` points; class 1 the lower half
    of the circle about (1, 1/2), the rest. Points are spaced evenly, ends included.

    Args:
        n: points in all, at least 1.
        noise: standard deviation of the normal noise added to both coordinates.
        rng: np.random.Generator, or int to seed a new one; None draws fresh randomness.

    Returns:
        ``X``, float64 of shape ``(n, 2)``, and ``y``, int64 of shape ``(n,)``.

    Raises:
        UsageError: for a count, noise or rng that is not of this kind.

    Source: the geometry of scikit-learn's ``make_moons``.

    >>> X, y = moons(n=5, noise=0, rng=0)
    >>> y.tolist()
    [0, 0, 1, 1, 1]
    """
    upper, lower = _halves(_count("n", n, least=1, example=100))
    t0, t1 = np.linspace(0.0, np.pi, upper), np.linspace(0.0, np.pi, lower)
    above = np.stack([np.cos(t0), np.sin(t0)], axis=1)
    below = np.stack([1.0 - np.cos(t1), 0.5 - np.sin(t1)], axis=1)
    return _two_classes(above, below, _spread("noise", noise, example=0.1), rng)


def circles(
    n: int = 100, noise: float = 0.05, factor: float = 0.5, rng: RandomSource = None
) -> tuple[Points, Labels]:
    """Two circles about the origin, one inside the other, ``n`` points in all.

    Class 0 is the outer circle, of radius 1, ``n // 2`` points; class 1 the inner one, of radius
    ``factor``, the rest. Points are spaced evenly, none twice.

    Args:
        n: points in all, at least 1.
        noise: standard deviation of the normal noise added to both coordinates.
        factor: radius of the inner circle, from 0 to below 1.
        rng: np.random.Generator, or int to seed a new one; None draws fresh randomness.

    Returns:
        ``X``, float64 of shape ``(n, 2)``, and ``y``, int64 of shape ``(n,)``.

    Raises:
        UsageError: for a count, noise, factor or rng that is not of this kind.

    Source: the geometry of scikit-learn's ``make_circles``.

    >>> X, y = circles(n=4, noise=0, factor=0.5, rng=0)
    >>> np.hypot(*X.T).tolist()
    [1.0, 1.0, 0.5, 0.5]
    """
    outer, inner = _halves(_count("n", n, least=1, example=100))
    radius = _spread("factor", factor, example=0.5)
    if radius >= 1.0:
        raise UsageError(
            f"factor must be below 1, the radius of the outer circle, got {factor}; "
            "write factor=0.5"
        )
    around, within = _unit_circle(outer), radius * _unit_circle(inner)
    return _two_classes(around, within, _spread("noise", noise, example=0.05), rng)


def digits() -> tuple[Points, Labels]:
    """Handwritten digits, 8×8 pixels from 0 to 1, that come with scikit-learn.

    Returns:
        ``X``, float64 of shape ``(1797, 1, 8, 8)``, images of one channel; and ``y``, int64 of
        shape ``(1797,)``, the digits. About 43 people wrote them; they come in no special order.

    Raises:
        MissingExtraError: if scikit-learn is not installed.

    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine
    Learning Repository, 1998: its test set.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError(
            "datasets.digits() needs scikit-learn, which has them: pip install 'microgradopt[data]'"
        ) from None
    images, y = load_digits(return_X_y=True)
    return images.reshape(-1, 1, 8, 8) / 16.0, y.astype(np.int64)


def _halves(n: int) -> tuple[int, int]:
    return n // 2, n - n // 2


def _unit_circle(n: int) -> Points:
    t = np.linspace(0.0, 2.0 * np.pi, n, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def _polar(radius: Points, angle: Points) -> Points:
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def _two_classes(
    first: Points, second: Points, noise: float, rng: RandomSource
) -> tuple[Points, Labels]:
    points = np.concatenate([first, second])
    y = np.repeat(np.array([0, 1], dtype=np.int64), [len(first), len(second)])
    return points + noise * as_generator(rng).standard_normal(points.shape), y


def _count(name: str, value: object, *, least: int, example: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise UsageError(
            f"{name} must be an int of at least {least}, got {value!r} ({type(value).__name__}); "
            f"write {name}={example}"
        )
    return int(value)


def _spread(name: str, value: object, *, example: float) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not 0.0 <= float(value) < math.inf
    ):
        raise UsageError(
            f"{name} must be a finite number of at least 0, "
            f"got {value!r} ({type(value).__name__}); write {name}={example}"
        )
    return float(value)
