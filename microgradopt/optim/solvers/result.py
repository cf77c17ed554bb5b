"""What a search returns: the best point, why it stopped there, and all that happened on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine.graph import Array


class Reason(NamedTuple):
    """Why a search stops: a number, whether that is success, and what it means."""

    status: int
    success: bool
    text: str


REASONS: Mapping[str, Reason] = {
    "gradient": Reason(0, True, "the gradient is as small as gtol asks"),
    "value": Reason(1, True, "the function no longer falls by more than ftol asks"),
    "step": Reason(2, True, "the step is as small as xtol asks"),
    "precision": Reason(3, True, "the arithmetic's precision is reached: no step lowers f further"),
    "simplex": Reason(4, True, "the points that are left are as close together as asked"),
    "target": Reason(5, True, "the function is as low as f_target asks"),
    "callback": Reason(6, False, "the callback asked to stop"),
    "budget": Reason(7, False, "the budget of iterations or evaluations is spent"),
    "no descent": Reason(8, False, "no step along the direction lowers f enough"),
    "singular": Reason(9, False, "the matrix of the step is singular"),
    "indefinite": Reason(10, False, "the Hessian is not positive definite"),
    "non-finite": Reason(11, False, "the function or a derivative is NaN or infinite"),
    "diverging": Reason(12, False, "the function falls or rises without bound"),
}
"""All reasons by name, in the order of their ``status``; negative ones do not exist."""


class Stop(Exception):  # noqa: N818  # as StopIteration, no error
    """Raised where a search cannot go on, with the name of the reason and details."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason, details)
        self.reason, self.details = reason, details


@dataclass
class History:
    """One entry per iteration, the start included.

    Attributes:
        fun: the function; for least squares ½Σr².
        gradient: the largest entry of the gradient (None where the method has none).
        step: the length of the step that led there.
        nfev: evaluations of the function so far.
        x: the points as vectors (empty where the search was told not to keep them).
    """

    fun: list[float] = field(default_factory=list)
    gradient: list[float | None] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    nfev: list[int] = field(default_factory=list)
    x: list[Array] = field(default_factory=list)

    @property
    def path(self) -> Array:
        """The points, (iterations + 1, n)."""
        return np.array(self.x)

    def __len__(self) -> int:
        return len(self.fun)


@dataclass
class Result:
    """The best point found, and how; the names are SciPy's.

    Attributes:
        x: the point, in the form of x0; of a module, its parameters by name.
        fun: the function there.
        jac: its gradient there, in the form of x; None where the method has none.
        success: whether the search ended where it was meant to.
        reason: why it stopped, a key of :data:`REASONS`; ``status`` is its number.
        message: the same in words, with details.
        nit: iterations. nfev, njev, nhev: evaluations of the function, of first and of second
            derivatives, products with them included.
        history: see :class:`History`.
        compiled: what has become of each function that was evaluated: compiled, or why not.
    """

    x: Any
    fun: Any
    jac: Any
    success: bool
    reason: str
    status: int
    message: str
    nit: int
    nfev: int
    njev: int
    nhev: int
    history: History = field(repr=False)
    compiled: dict[str, str] = field(repr=False)


def explained(reason: str, details: str) -> str:
    """A reason in words."""
    return REASONS[reason].text + (f": {details}" if details else "")
