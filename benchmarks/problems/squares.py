"""What every problem here is: a sum of squares, from a point in Rⁿ to residuals in Rᵐ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import microgradopt as mg
from microgradopt.engine.quiet import quietly

Formula: TypeAlias = Callable[[Any], Any]
"""An array or Tensor of shape (n,) to one of shape (m,)."""


class SumOfSquares(ABC):
    """Residuals, and the two sizes of their sum of squares that are in use."""

    @abstractmethod
    def residuals(self, x: Any) -> Any:
        """Return the m residuals at ``x`` of shape (n,), as an array or Tensor like ``x``."""

    @quietly
    def objective(self, x: Any) -> Any:
        """Return f(x) = Σ r², the size in which the literature states minima."""
        r = self.residuals(x)
        return mg.sum(r * r)

    def value(self, x: Any) -> Any:
        """Return ½ Σ r², the size least squares works with: its gradient is Jᵀr."""
        return 0.5 * self.objective(x)


@dataclass(frozen=True)
class Problem(SumOfSquares):
    """A test problem: where to start, and how low Σ r² gets.

    ``number`` is that of the collection. ``minima`` are known local minimal values of
    :meth:`objective`, the lowest first: those of the collection and, where there are but a few
    others, these too. It is empty where none is known for this n.
    """

    name: str
    number: int
    formula: Formula
    start: tuple[float, ...]
    minima: tuple[float, ...]

    @property
    def n(self) -> int:
        """Count the unknowns."""
        return len(self.start)

    @quietly  # far from a minimum much overflows, and plain arrays would warn
    def residuals(self, x: Any) -> Any:
        """Return the m residuals at ``x`` of shape (n,), as an array or Tensor like ``x``."""
        return self.formula(x)
