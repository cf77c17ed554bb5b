"""A point of a search, which asks its oracle for what is looked at, once."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import ShapeError
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.oracle import Objective, Residuals


class Point:
    """A vector x, and what an oracle says of it.

    A line search looks at the gradient first where it needs both: the value comes along with it.
    """

    def __init__(
        self,
        oracle: Objective | Residuals,
        x: Array,
        bounds: Bounds | None = None,
        dense: bool = False,
    ) -> None:
        self.oracle = oracle
        self.x = x
        self.bounds = bounds
        self.dense = dense  # whether the gradient is to come from the Jacobian, needed anyway
        self.expected = 0.0  # by how much a model foretold that f would fall on the way here

    def at(self, x: Array) -> Point:
        """Another point of the same search, within its bounds."""
        inside = x if self.bounds is None else self.bounds.clip(x)
        return Point(self.oracle, inside, self.bounds, self.dense)

    @cached_property
    def value(self) -> float:
        """f, or ½Σr²."""
        if isinstance(self.oracle, Residuals):
            return 0.5 * float(self.residuals @ self.residuals)
        return self.oracle.value(self.x)

    @cached_property
    def gradient(self) -> Array:
        """∇f, (n,); of residuals Jᵀr."""
        if isinstance(self.oracle, Residuals):
            if self.dense or "jacobian" in self.__dict__:
                return self.jacobian.T @ self.residuals
            if "residuals" in self.__dict__:
                return self.oracle.vjp(self.x, self.residuals)
        value, gradient = self.oracle.value_and_gradient(self.x)
        if "value" in self.__dict__:
            self.oracle.nfev -= 1  # it has been counted
        else:
            self.value = value
        return gradient

    @cached_property
    def residuals(self) -> Array:
        """r, (m,)."""
        assert isinstance(self.oracle, Residuals)
        return self.oracle.residuals(self.x)

    @cached_property
    def jacobian(self) -> Array:
        """J, (m, n)."""
        assert isinstance(self.oracle, Residuals)
        J = self.oracle.jacobian(self.x)
        if len(J) != len(self.residuals):
            raise ShapeError(
                f"jac returned {len(J)} rows, and there are {len(self.residuals)} residuals"
            )
        return J

    @cached_property
    def hessian(self) -> Array:
        """∇²f, (n, n), made symmetric to the last bit."""
        H = self.oracle.hessian(self.x)
        return 0.5 * (H + H.T)

    def hvp(self, v: Array) -> Array:
        """∇²f·v."""
        return self.oracle.hvp(self.x, v)

    @property
    def slope(self) -> float:
        """The largest entry of the gradient; with bounds, of what of it leads inside."""
        if self.bounds is None:
            return float(np.abs(self.gradient).max())
        g, (lower, upper) = self.gradient, self.bounds
        room = np.where(g > 0.0, self.x - lower, upper - self.x)
        return float(np.minimum(np.abs(g), room).max())

    @property
    def noise(self) -> float:
        """A fall of f that is nothing but rounding."""
        eps = self.oracle.variables.eps
        noise = 100.0 * eps * abs(self.value)
        if self.dense:  # r may be what is left of large terms
            lost = eps * (np.abs(self.jacobian) @ np.abs(self.x))
            noise += float((np.abs(self.residuals) + 0.5 * lost) @ lost)
        return noise

    @property
    def finite(self) -> bool:
        """Whether the function is a number here."""
        return math.isfinite(self.value)


def is_small(step: Array, x: Array, share: float) -> bool:
    """Whether a step moves no variable by more than a share of it."""
    return bool((np.abs(step) <= share * np.abs(x)).all())
