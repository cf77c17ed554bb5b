"""``Optimizer``: torch's face on a chain of transforms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array, Node, describe
from microgradopt.errors import DTypeError, NonFiniteError, ShapeError, UsageError
from microgradopt.optim.transforms import Named, Transform


class Optimizer:
    """Moves parameters by what a chain of transforms makes of their gradients.

    Args:
        params: parameters (leaf nodes), or pairs (name, parameter) as ``named_parameters`` gives.
        transform: the update rule.

    A parameter whose ``grad`` is None takes no part in a step. A gradient that is NaN or infinite
    stops the step before anything is changed.
    """

    def __init__(self, params: Iterable[Any], transform: Transform) -> None:
        self.params = _named(params, type(self).__name__)
        self.transform = transform
        self.state = transform.init({name: p.data for name, p in self.params.items()})
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.params.values():
            p.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; with a ``closure`` that computes loss and gradients, call that first.

        Returns:
            What the closure returned; None without one.

        Raises:
            NonFiniteError: if a gradient holds NaN or infinity; nothing is changed then.
        """
        loss = closure() if closure is not None else None
        active = {name: p for name, p in self.params.items() if p.grad is not None}
        data: Named = {name: p._raw for name, p in active.items()}
        with np.errstate(all="ignore"):
            gradients: Named = {name: _usable(name, p) for name, p in active.items()}
            updates, state = self.transform.update(gradients, self.state, data, self.steps + 1)
            moved = {name: p._accept(data[name] + updates[name]) for name, p in active.items()}
        for name, p in active.items():
            p.assign(moved[name])
        self.state, self.steps = state, self.steps + 1
        return loss

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.params)} parameters, {self.steps} steps taken)"


def _named(params: Iterable[Any], user: str) -> dict[str, Node]:
    """Parameters by name: their own names where given and unique, else numbers."""
    if isinstance(params, Node):
        raise UsageError(f"{user}: params must be a list of parameters; write {user}([p], …)")
    if not np.iterable(params) or isinstance(params, (str, dict)):
        raise UsageError(
            f"{user}: params must be a list of parameters, got {type(params).__name__}; "
            "write model.parameters(), or list(named.items()) for a dict"
        )
    named: dict[str, Node] = {}
    seen: set[Node] = set()
    for i, entry in enumerate(params):
        pair = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
        given, p = entry if pair else (None, entry)
        if not isinstance(p, Node):
            raise DTypeError(
                f"{user}: a parameter must be a Value or Tensor, or a pair (name, parameter), "
                f"got {entry!r}"
            )
        if p.op is not None or not p.requires_grad:
            raise UsageError(
                f"{user}: {describe(p)} is not a leaf that requires a gradient, so it cannot be "
                "optimized; pass the leaf it was computed from"
            )
        if p in seen:
            raise UsageError(f"{user}: {describe(p)} is in params twice")
        seen.add(p)
        name = given or p.name or str(i)
        while name in named:
            name = f"{i}.{name}"
        named[name] = p
    if not named:
        raise UsageError(f"{user}: params is empty; a generator can be used up only once")
    return named


def _usable(name: str, p: Node) -> Any:
    """The gradient of a parameter in its form, refused when it would spoil the parameter."""
    g, data = p.grad, p._raw
    if data.__class__ is float:
        if g.__class__ is not float:
            g = float(_converted(name, g, np.float64, ()))
        if not math.isfinite(g):
            raise NonFiniteError(_not_finite(name, 1))
        return g
    if g.__class__ is not np.ndarray or g.shape != data.shape or g.dtype is not data.dtype:
        g = _converted(name, g, data.dtype, data.shape)
    flat = g.ravel(order="K")
    if not math.isfinite(np.dot(flat, flat)):  # quick, but may overflow: then look closely
        bad = int(np.count_nonzero(~np.isfinite(g)))
        if bad:
            raise NonFiniteError(_not_finite(name, bad))
    return g


def _converted(name: str, g: Any, dtype: Any, shape: tuple[int, ...]) -> Array:
    """A gradient set by hand, in the parameter's dtype."""
    array = np.asarray(g)
    if array.shape != shape:
        raise ShapeError(f"the gradient of {name!r} has shape {array.shape}, the parameter {shape}")
    if array.dtype.kind not in "fiu":
        raise DTypeError(
            f"the gradient of {name!r} must hold real numbers, got dtype {array.dtype}"
        )
    return array.astype(dtype)


def _not_finite(name: str, bad: int) -> str:
    return (
        f"the gradient of {name!r} has {bad} entries that are NaN or infinite; nothing was "
        "updated. Lower the learning rate, or look for log or division of 0 in the loss"
    )
