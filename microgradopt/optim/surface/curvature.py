"""A function at one point: its value, its gradient and its Hessian, made sure to be finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.graph import Array
from microgradopt.errors import NonFiniteError
from microgradopt.optim.solvers.oracle import Objective

ROUNDING = 100.0  # times eps: how far off sums of many terms may be


class Curvature:
    """What is asked of a function at one point. Vectors are float64, as those of its oracle.

    Args:
        f, x, jit: see :class:`microgradopt.optim.solvers.oracle.Objective`.
        user: whose name errors begin with.

    Attributes:
        x: the point as a vector, (n,).
        eps: the precision of the least precise of its numbers.

    Raises:
        NonFiniteError: if the point holds NaN or infinity.
    """

    def __init__(self, f: Callable[..., Any], x: Any, jit: bool | str | None, user: str) -> None:
        self.user = user
        self.oracle = Objective(f, x, jit=jit, user=user)
        self.x = self._finite(self.oracle.variables.start, "x")
        self.eps = self.oracle.variables.eps

    @property
    def size(self) -> int:
        """How many numbers x has."""
        return len(self.x)

    def value_and_gradient(self) -> tuple[float, Array]:
        """f and its gradient, (n,)."""
        value, gradient = self.oracle.value_and_gradient(self.x)
        self._finite(np.array([value]), "the function")
        return value, self._finite(gradient, "the gradient")

    def hessian(self) -> Array:
        """The matrix of second derivatives, (n, n), symmetric to the bit."""
        H = self._finite(self.oracle.hessian(self.x), "the Hessian")
        return 0.5 * (H + H.T)

    def product(self, v: Array) -> Array:
        """The Hessian times a vector, (n,)."""
        return self._finite(self.oracle.hvp(self.x, v), "the Hessian times a vector")

    def form(self, v: Array) -> Any:
        """A vector in the form of x; of a module, a dict by name."""
        return self.oracle.variables.structure(v)

    def _finite(self, found: Array, what: str) -> Array:
        return check_finite(self.user, found, what)


def check_finite(user: str, found: Array, what: str) -> Array:
    """Refuse NaN and infinity in x, or in what was found there."""
    wrong = ~np.isfinite(found)
    if wrong.any():
        where = "" if what == "x" else " at x"
        raise NonFiniteError(
            f"{user}: {what} is not finite{where}: {found[wrong][0]}, and {wrong.sum()} of "
            f"{found.size} entries in all; choose another x"
        )
    return found


def upright(v: Array) -> Array:
    """Of v and −v, the one whose largest entry is positive: the same one every time."""
    return (v if v[np.argmax(np.abs(v))] > 0.0 else -v) + 0.0


def check_tolerance(user: str, name: str, value: Any) -> float:
    """Refuse what is no number from 0 to below 1."""
    check_number(user, name, value, high=1.0)
    return float(value)
