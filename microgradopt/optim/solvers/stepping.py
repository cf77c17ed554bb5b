"""Solvers as optimizers: ``step(closure)`` moves parameters by one step of a direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from microgradopt.arguments import check_count
from microgradopt.atomic import made_whole
from microgradopt.engine import modes
from microgradopt.engine.graph import copy_raw
from microgradopt.engine.quiet import quietly
from microgradopt.engine.structure import map_structure
from microgradopt.errors import LinAlgError, NonFiniteError, TraceError, UsageError
from microgradopt.optim.options import as_entries, by_name
from microgradopt.optim.saving import check_state
from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.globalisers.base import Globaliser
from microgradopt.optim.solvers.methods import Pair
from microgradopt.optim.solvers.oracle import Residuals
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop, explained
from microgradopt.optim.solvers.variables import Variables

RAISED = {"non-finite": NonFiniteError, "diverging": NonFiniteError, "singular": LinAlgError}


class ClosureOptimizer:
    """The base of optimizers that evaluate the loss themselves, as often as a step needs.

    Args:
        params: parameters, or pairs (name, parameter) as ``named_parameters`` gives.
        pair: the direction and the globaliser; both remember what they learn from step to step.
        max_iter: iterations of each step.
        tolerance_grad, tolerance_change: a step ends early where no entry of the gradient is
            larger, or where neither the loss nor a parameter changes by more.

    A closure computes and returns the loss (residuals for those of least squares) of the parameters
    as they are; it may zero gradients and call ``backward()``, as torch's do, and need not. With
    mini-batches each step learns from one batch alone: the change of the gradient is that between
    two points on the same batch.

    Attributes:
        reason: why the last step ended early, a key of :data:`optim.REASONS`; None if it did not.
        steps: how many there have been.
    """

    samples: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    """Arguments for the checks that every closure optimizer goes through."""

    def __init__(
        self,
        params: Iterable[Any],
        pair: Pair,
        *,
        max_iter: int = 1,
        tolerance_grad: float = 0.0,
        tolerance_change: float = 0.0,
    ) -> None:
        user = type(self).__name__
        self.params = by_name(as_entries(params, user), user, {})
        self.direction, self.globaliser = pair
        self.max_iter = check_count(user, "max_iter", max_iter)
        self.tolerance_grad, self.tolerance_change = tolerance_grad, tolerance_change
        self.steps = 0
        self.reason: str | None = None

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.params.values():
            p.grad = None

    @quietly
    def step(self, closure: Callable[[], Any] | None = None) -> np.float64:
        """Take one step.

        Returns:
            The loss before it, a float that also has ``item()``; of residuals ½Σr².

        Raises:
            UsageError: without a closure.
            NonFiniteError: if the loss or a derivative is NaN or infinite at the parameters.
            LinAlgError: if a matrix is singular that must not be.

        Nothing is changed where it raises.
        """
        user = type(self).__name__
        if closure is None:
            raise UsageError(
                f"{user}: step(closure) needs a function that computes the loss and returns it"
            )
        if modes.tracer() is not None:
            raise TraceError(f"takes a step of {user}, which goes by what the loss turns out to be")
        variables = Variables.of_parameters(self.params, user)
        kind: Any = self.direction.oracle
        oracle = kind(closure, variables, jit=False, user=user)
        start = Point(oracle, variables.start, dense=kind is Residuals)
        memory = self._memory()
        try:
            end, self.reason = self._searched(start)
        except BaseException:
            self._remember(memory)
            raise

        steps = self.steps + 1

        def finish() -> None:
            if end is not start:
                variables.keep(end.x)
            self.steps = steps

        made_whole(finish)
        return np.float64(start.value)

    def _searched(self, point: Point) -> tuple[Point, str | None]:
        """The point some iterations on, and why they ended early."""
        for _ in range(self.max_iter):
            before = memory_of(self.globaliser)
            try:
                new = self._next(point)
            except Stop as stop:
                remember(self.globaliser, before)  # what led nowhere is no lesson for other batches
                if stop.reason in RAISED:
                    message = explained(stop.reason, stop.details)
                    raise RAISED[stop.reason](f"{type(self).__name__}: {message}") from None
                return point, stop.reason
            change = max(float(np.abs(new.x - point.x).max()), abs(new.value - point.value))
            point = new
            if change <= self.tolerance_change:
                return point, "step"
        return point, None

    def _next(self, point: Point) -> Point:
        if not (point.finite and np.isfinite(point.gradient).all()):
            raise Stop("non-finite", f"the loss is {point.value:g}")
        if point.slope <= self.tolerance_grad:
            raise Stop("gradient")
        new = self.globaliser.advance(point, self.direction)
        self.direction.learn(point, new)
        return new

    # State

    def _memory(self) -> dict[str, dict[str, Any]]:
        return {key: memory_of(piece) for key, piece in self._pieces().items()}

    def _pieces(self) -> dict[str, Any]:
        return {"direction": self.direction, "globaliser": self.globaliser}

    def _remember(self, memory: dict[str, dict[str, Any]]) -> None:
        for key, piece in self._pieces().items():
            remember(piece, memory[key])

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on bit for bit: nested dicts of arrays and numbers."""
        return {
            "optimizer": type(self).__name__,
            "steps": self.steps,
            "names": list(self.params),
            **self._memory(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, after checking that all of it fits.

        Raises:
            UsageError: if it is another optimizer's, or of other parameters; nothing is changed.
        """
        user, own = type(self).__name__, self._memory()
        form = {
            "optimizer": "",
            "steps": 0,
            "names": None,
            **{key: dict.fromkeys(held) for key, held in own.items()},
        }
        found = check_state(user, state, form, "the state")
        if found["steps"] < 0:
            raise UsageError(f"{user}: the state has steps below 0: {found['steps']}")
        if found["optimizer"] != user or found["names"] != list(self.params):
            raise UsageError(
                f"{user}: the state is of {found['optimizer']} with {found['names']!r:.200}; here "
                f"are {list(self.params)}"
            )
        n = sum(np.size(p.data) for p in self.params.values())
        for key, piece in self._pieces().items():
            self._check_memory(key, found[key], piece.memory, n)
        self._remember({key: found[key] for key in own})
        self.steps = found["steps"]

    def _check_memory(
        self, where: str, found: dict[str, Any], kinds: Mapping[str, str], n: int
    ) -> None:
        """Refuse what is not what a piece remembers of n numbers."""
        for name, kind in kinds.items():
            if not fits(found[name], kind, n):
                raise UsageError(
                    f"{type(self).__name__}: {where}.{name} is {found[name]!r:.100}, which is no "
                    f"{kind.rstrip('?')} for parameters of {n} numbers"
                )
        if len({len(found[name]) for name, kind in kinds.items() if kind == "vectors"}) > 1:
            raise UsageError(
                f"{type(self).__name__}: {where} has lists of different lengths: {', '.join(kinds)}"
            )


def memory_of(piece: Direction | Globaliser) -> dict[str, Any]:
    """A copy of what a piece has learned."""
    return {name: map_structure(copy_raw, getattr(piece, name)) for name in piece.memory}


def remember(piece: Direction | Globaliser, memory: dict[str, Any]) -> None:
    """Let a piece go on from such a copy."""
    for name, x in memory.items():
        setattr(piece, name, map_structure(copy_raw, x))


def fits(x: Any, kind: str, n: int) -> bool:
    """Whether it is a "number", a "vector" (n,), a "matrix" (n, n), or a list of "vectors".

    A question mark behind it lets it be None.
    """
    if x is None:
        return kind.endswith("?")
    if kind == "vectors":
        return isinstance(x, list) and all(fits(entry, "vector", n) for entry in x)
    if kind.startswith("number"):
        return isinstance(x, (int, float)) and not isinstance(x, bool)
    shape = (n,) if kind.startswith("vector") else (n, n)
    return isinstance(x, np.ndarray) and x.dtype == np.float64 and x.shape == shape
