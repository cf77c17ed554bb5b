"""Surfaces over the plane on which optimizers are watched and compared.

>>> from microgradopt import surfaces
>>> surfaces.rosenbrock(1.0, 1.0), surfaces.rosenbrock.minimum
(0.0, (1.0, 1.0))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from microgradopt.engine.ops.elementwise import softplus
from microgradopt.engine.quiet import quietly

__all__ = [
    "ALL", "Surface", "beale", "himmelblau", "ravine", "rosenbrock", "saddle", "sparse_features",
]  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """A function of two coordinates, with what is known of it.

    Call it with numbers, arrays of one shape or nodes. ``minimum`` is one of its minima and
    ``lowest`` its height, both None where it falls for ever; ``start`` is where races begin,
    ``region`` what a picture shows: (x from, x to, y from, y to).
    """

    name: str
    f: Callable[[Any, Any], Any]
    start: tuple[float, float]
    region: tuple[float, float, float, float]
    minimum: tuple[float, float] | None = None
    lowest: float | None = None

    @quietly
    def __call__(self, x: Any, y: Any) -> Any:
        return self.f(x, y)


ravine = Surface(
    "elliptic ravine",
    lambda x, y: 0.05 * x * x + 2.0 * y * y,
    start=(-9.0, 1.8),
    region=(-10.0, 3.0, -3.0, 3.0),
    minimum=(0.0, 0.0),
    lowest=0.0,
)

saddle = Surface(
    "saddle",
    lambda x, y: x * x - y * y,
    start=(1.0, 1e-3),  # almost on the ridge
    region=(-1.5, 1.5, -1.5, 1.5),
)

beale = Surface(  # E. M. L. Beale 1958; Moré, Garbow and Hillstrom 1981, problem 5
    "Beale",
    lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    start=(1.0, 1.0),
    region=(-1.0, 4.5, -2.0, 1.5),
    minimum=(3.0, 0.5),
    lowest=0.0,
)

rosenbrock = Surface(  # H. H. Rosenbrock 1960; Moré, Garbow and Hillstrom 1981, problem 1
    "Rosenbrock",
    lambda x, y: (1.0 - x) ** 2 + 100.0 * (y - x * x) ** 2,
    start=(-1.2, 1.0),
    region=(-2.0, 2.0, -1.0, 3.0),
    minimum=(1.0, 1.0),
    lowest=0.0,
)

himmelblau = Surface(  # D. M. Himmelblau 1972; four minima, all of height 0
    "Himmelblau",
    lambda x, y: (x * x + y - 11.0) ** 2 + (x + y * y - 7.0) ** 2,
    start=(0.0, 0.0),
    region=(-5.0, 5.0, -5.0, 5.0),
    minimum=(3.0, 2.0),
    lowest=0.0,
)

RARE, PENALTY = 0.02, 1e-4


def _sparse(x: Any, y: Any) -> Any:
    """Logistic loss of a feature that is always there and one there in one sample of fifty."""
    common = (1.0 - RARE) * softplus(-x) + RARE * softplus(-(x + 3.0 * y))
    return common + 0.05 * x * x + PENALTY * y * y


sparse_features = Surface(
    "sparse features",
    _sparse,
    start=(-2.0, -2.0),
    region=(-3.0, 4.0, -3.0, 4.0),
    minimum=(1.6199403702169541, 1.278073075437075),
    lowest=0.308426287467308,
)

ALL = (ravine, saddle, beale, rosenbrock, himmelblau, sparse_features)
