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
from microgradopt.engine.graph import USER_LEAF, Array, Node
from microgradopt.engine.modes import in_progress
from microgradopt.engine.ops.products import dot
from microgradopt.engine.ops.shapes import concatenate, reshape
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves
from microgradopt.engine.sweeps import as_input
from microgradopt.errors import GraphError, ShapeError, UsageError
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
        numeric = isinstance(data, (float, int, np.ndarray, np.generic))
        if not numeric or np.size(data) != 1:
            what = f"an array of shape {np.shape(data)}" if numeric else repr(out)
            raise ShapeError(
                f"{self.variables.user}: the function must return one number, it returned {what}; "
                "reduce it with mg.sum or mg.mean, or give residuals to optim.least_squares"
            )
        return out

    @_unchanged
    def value(self, xs: list[Any]) -> Any:
        return self._outside(self.number(self._constants(xs)))

    def _constants(self, xs: list[Any]) -> list[Node]:
        """Nodes to evaluate with; those of a closure may be asked for a backward()."""
        return [as_input(x, USER_LEAF if self.variables.closure else 0) for x in xs]

    def _outside(self, out: Any) -> Any:
        """Plain data, unless a derivative is being taken of it that would not see the search."""
        if isinstance(out, Node) and in_progress(out._bits):
            raise GraphError(
                f"{self.variables.user}: the function depends on what a derivative around the "
                "search is taken by, and the point that a search finds does not say how; take "
                "derivatives of the function at that point instead"
            )
        return data_of(out)

    @_unchanged
    def value_and_gradient(self, xs: list[Any]) -> Any:
        return value_and_grad(self.slope)(xs)

    @_unchanged
    def hvp(self, xs: list[Any], vs: list[Any]) -> Any:
        return jvp(grad(self.slope), (xs,), (vs,))[1]

    @_unchanged
    def hessian(self, xs: list[Any]) -> Any:
        return matrix(lambda xs: _vector(grad(self.slope)(xs)), xs)

    def slope(self, xs: Sequence[Node]) -> Any:
        """The number, made sure to have derivatives."""
        return self._made_of_nodes(self.number(xs))

    def _made_of_nodes(self, out: Any) -> Any:
        if isinstance(out, Node) or not np.isfinite(out).all():  # infinity says: not here
            return out
        raise GraphError(
            f"{self.variables.user}: the function returned plain numbers, {out!r:.100}, of which "
            "there is no derivative; compute with mg's or NumPy's functions and without .item(), "
            "float() or .data, give jac=, or take a method without gradients"
        )


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
        return self._outside(self.vector(self._constants(xs)))

    @_unchanged
    def jacobian(self, xs: list[Any]) -> Any:
        return matrix(self.curve, xs)

    @_unchanged
    def jvp(self, xs: list[Any], vs: list[Any]) -> Any:
        return jvp(self.curve, (xs,), (vs,))[1]

    @_unchanged
    def vjp(self, xs: list[Any], u: Array) -> Any:
        out, pull = vjp(self.curve, xs)
        return pull(u.astype(out.dtype))[0]

    @_unchanged
    def second(self, xs: list[Any], vs: list[Any]) -> Any:
        """d²r(x + t·v)/dt² at 0."""
        return jvp(lambda xs: jvp(self.curve, (xs,), (vs,))[1], (xs,), (vs,))[1]

    def curve(self, xs: Sequence[Node]) -> Any:
        """The residuals, made sure to have derivatives."""
        return self._made_of_nodes(self.vector(xs))


def _vector(parts: Sequence[Any]) -> Any:
    flat = [reshape(x, (-1,)) if np.ndim(data_of(x)) != 1 else x for x in parts]
    return flat[0] if len(flat) == 1 else concatenate(flat)
