"""Functions of leaves, as the library differentiates them: what oracles call, and compile.

They hold nothing that changes, so that a compiled one looks at nothing but its arguments. ``xs``
and ``vs`` are lists of floats and arrays, one for each leaf of the variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from microgradopt.engine.derive import grad, jvp, matrix, value_and_grad, vjp
from microgradopt.engine.graph import Array, Node
from microgradopt.engine.modes import no_grad
from microgradopt.engine.ops.products import dot
from microgradopt.engine.ops.shapes import concatenate, reshape
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves
from microgradopt.engine.sweeps import as_input
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim.solvers.variables import Variables


def _unchanged(method: Callable[..., Any]) -> Callable[..., Any]:
    """Derivatives of parameters are taken while these are bound, and then they are as before."""

    @wraps(method)
    def inside(self: Any, *args: Any) -> Any:
        with self.variables.unchanged():
            return method(self, *args)

    return inside


class Scalar:
    """One number, ``number(nodes)``, and its derivatives."""

    def __init__(self, f: Callable[..., Any], variables: Variables) -> None:
        self.f = f
        self.variables = variables

    def number(self, xs: Sequence[Node]) -> Any:
        """What f returns, made sure to be one number."""
        out = self.variables.call(self.f, xs)
        data = data_of(out)
        if np.size(data) != 1 or not isinstance(data, (float, int, np.ndarray, np.generic)):
            what = f"an array of shape {np.shape(data)}" if np.ndim(data) else repr(out)
            raise ShapeError(
                f"{self.variables.user}: the function must return one number, it returned {what}; "
                "reduce it with mg.sum or mg.mean, or give residuals to optim.least_squares"
            )
        return out

    @_unchanged
    def value(self, xs: list[Any]) -> Any:
        with no_grad():
            return data_of(self.number([as_input(x, 0) for x in xs]))

    @_unchanged
    def value_and_gradient(self, xs: list[Any]) -> Any:
        return value_and_grad(self.number)(xs)

    @_unchanged
    def hvp(self, xs: list[Any], vs: list[Any]) -> Any:
        return jvp(grad(self.number), (xs,), (vs,))[1]

    @_unchanged
    def hessian(self, xs: list[Any]) -> Any:
        return matrix(lambda xs: _vector(grad(self.number)(xs)), xs)


class Vector(Scalar):
    """Residuals, ``vector(nodes)``, and their derivatives; the one number is ½Σr²."""

    def vector(self, xs: Sequence[Node]) -> Any:
        """All residuals, one after the other."""
        out = self.variables.call(self.f, xs)
        parts = leaves(out)
        if not parts or isinstance(out, str):
            raise UsageError(
                f"{self.variables.user}: the function must return residuals, it returned {out!r}"
            )
        return _vector(parts)

    def number(self, xs: Sequence[Node]) -> Any:
        r = self.vector(xs)
        return 0.5 * dot(r, r)

    @_unchanged
    def residuals(self, xs: list[Any]) -> Any:
        with no_grad():
            return data_of(self.vector([as_input(x, 0) for x in xs]))

    @_unchanged
    def jacobian(self, xs: list[Any]) -> Any:
        return matrix(self.vector, xs)

    @_unchanged
    def jvp(self, xs: list[Any], vs: list[Any]) -> Any:
        return jvp(self.vector, (xs,), (vs,))[1]

    @_unchanged
    def vjp(self, xs: list[Any], u: Array) -> Any:
        out, pull = vjp(self.vector, xs)
        return pull(u.astype(out.dtype))[0]

    @_unchanged
    def second(self, xs: list[Any], vs: list[Any]) -> Any:
        """d²r(x + t·v)/dt² at 0."""
        return jvp(lambda xs: jvp(self.vector, (xs,), (vs,))[1], (xs,), (vs,))[1]


def _vector(parts: Sequence[Any]) -> Any:
    flat = [reshape(x, (-1,)) if np.ndim(data_of(x)) != 1 else x for x in parts]
    return flat[0] if len(flat) == 1 else concatenate(flat)
