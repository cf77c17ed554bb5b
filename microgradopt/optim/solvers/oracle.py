"""Oracles: what a solver asks of a function at a point, counted, and compiled once it pays.

An :class:`Objective` answers for a function of one number, :class:`Residuals` for many whose
squares add up. Points, gradients and products are vectors of float64, whatever the function takes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np

from microgradopt.compiler.function import jit as compiled
from microgradopt.engine.graph import Array
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves
from microgradopt.errors import ShapeError, TraceError, UsageError
from microgradopt.optim.solvers.functions import Scalar, Vector
from microgradopt.optim.solvers.result import Stop
from microgradopt.optim.solvers.variables import Variables

WARM = 20  # calls of a function before it is compiled: tracing costs about as much as these
STRIDE = 0.1  # of the step, for second derivatives by differences: Transtrum and Sethna 2012


class Evaluation:
    """A function of raw data, run as it is written at first and compiled when it is called often.

    ``how`` says what has become of it.
    """

    def __init__(self, function: Callable[..., Any], jit: bool | str | None) -> None:
        self.function = function
        self.jit = jit
        self.calls = 0
        self.how = "as written"
        self._run: Any = function

    def __call__(self, *args: Any) -> Any:
        if self.calls < WARM:
            self._look()
        try:
            return self._run(*args)
        except TraceError as error:
            self._run, self.how = self.function, f"as written: {error}"
            return self.function(*args)

    def _look(self) -> None:
        """Compile at the first call, at the twentieth or never."""
        self.calls += 1
        due = self.calls == (1 if self.jit else WARM)
        if due and self.jit is not False:
            backend = self.jit if isinstance(self.jit, str) else None if self.jit else "numpy"
            self._run = compiled(self.function, backend=backend)
            self.how = f"compiled, backend {self._run.backend!r}"


def _following(method: Callable[..., Any], f: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls f, as a function with f around it: where mg.jit looks for changes."""

    def function(*args: Any) -> Any:
        f  # noqa: B018  # named here so that the function has it
        return method(*args)

    return function


class Oracle:
    """What both kinds have in common: the variables, the counts, and how functions are called.

    Attributes:
        nfev, njev, nhev: how often the function, its first derivatives (a gradient, a Jacobian or
            a product with one) and its second ones (likewise) were asked for.
    """

    functions: ClassVar[type[Scalar]]

    def __init__(self, f: Callable[..., Any], x0: Any, jit: bool | str | None, user: str) -> None:
        if not callable(f):
            raise UsageError(f"{user}: give a function, got {type(f).__name__}")
        self.f = f
        self.variables = x0 if isinstance(x0, Variables) else Variables(x0, user)
        self._functions = self.functions(f, self.variables)
        self.nfev = self.njev = self.nhev = 0
        self.last: int | None = None  # value of nfev that is not to be exceeded
        self._jit = jit
        self._evaluations: dict[str, Evaluation] = {}

    def starting(self, x0: Any) -> Self:
        """The same from another start, with counts of its own; what is compiled is shared.

        Raises:
            UsageError: if x0 is not of the form of the first one.
        """
        other = copy(self)
        other.variables = self.variables.starting(x0)
        other.nfev = other.njev = other.nhev = 0
        other.last = None
        return other

    @property
    def compiled(self) -> dict[str, str]:
        """What has become of each function that was asked for: compiled, or why not."""
        return {name: e.how for name, e in self._evaluations.items()}

    def _ask(self, name: str, x: Array, *more: Any) -> Any:
        """Call one of the functions of leaves."""
        if name not in self._evaluations:
            function = _following(getattr(self._functions, name), self.f)
            self._evaluations[name] = Evaluation(function, self._jit)
        return self._evaluations[name](self.variables.split(x), *more)

    def _spend(self) -> None:
        """Count an evaluation of the function, if there is one left."""
        if self.last is not None and self.nfev >= self.last:
            raise Stop("budget", f"{self.nfev} evaluations of the function")
        self.nfev += 1

    def _joined(self, parts: Any, what: str) -> Array:
        """What a user's callable returned for x, as a vector."""
        try:
            return self.variables.aligned(parts)
        except (LookupError, ShapeError) as error:
            raise ShapeError(
                f"{self.variables.user}: what {what} returned does not have the form of x: it"
                f"{error}"
            ) from None


class Objective(Oracle):
    """A function of one number, and its derivatives: the library's own, or yours.

    Args:
        f: takes x in the form of ``x0``, with nodes for its numbers, and returns one number. With
            ``jac``, it takes plain numbers.
        x0: a number, an array, a structure of them, or a module; see :class:`Variables`.
        jac: the gradient, ``jac(x)`` in the form of x; True if f returns ``(value, gradient)``.
        hess: the Hessian as a matrix (n, n), ``hess(x)``.
        hessp: the Hessian times a vector in the form of x, ``hessp(x, v)``.
        jit: None compiles each function at its twentieth call, with the numpy backend, whose
            results are those of the function as written to the bit; a backend's name or True at the
            first call; False never. What cannot be compiled runs as written; ``compiled`` says so.
            Numbers that f reads from attributes of other objects must stay as they are, or False.

    >>> import microgradopt as mg
    >>> oracle = Objective(lambda x: mg.sum(x**3), np.array([1.0, 2.0]))
    >>> oracle.value_and_gradient(oracle.variables.start)
    (9.0, array([ 3., 12.]))
    """

    functions = Scalar

    def __init__(
        self,
        f: Callable[..., Any],
        x0: Any,
        *,
        jac: Any = None,
        hess: Callable[..., Any] | None = None,
        hessp: Callable[..., Any] | None = None,
        jit: bool | str | None = None,
        user: str = "Objective",
    ) -> None:
        super().__init__(f, x0, jit, user)
        if jac is None and (hess or hessp):
            raise UsageError(f"{user}: hess and hessp go with jac; give jac, or none of them")
        for name, given in (("jac", jac), ("hess", hess), ("hessp", hessp)):
            if not (given is None or callable(given) or (name == "jac" and given is True)):
                raise UsageError(f"{user}: {name} must be a function, got {given!r}")
        self.jac, self.hess, self.hessp = jac, hess, hessp

    # Asked by solvers

    def value(self, x: Array) -> float:
        """f at a vector."""
        self._spend()
        if self.jac is not None:
            return self._own_value(x)[0]
        return _one(self._ask("value", x))

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """f and its gradient."""
        self._spend()
        self.njev += 1
        if self.jac is not None:
            value, gradient = self._own_value(x)
            if gradient is None:
                gradient = self.jac(self.variables.structure(x))
            return value, self._joined(gradient, "jac")
        value, gradient = self._ask("value_and_gradient", x)
        return _one(value), self.variables.join(gradient)

    def hessian(self, x: Array) -> Array:
        """The matrix of second derivatives, (n, n)."""
        self.nhev += 1
        if self.hess is not None:
            return self._own_matrix(self.hess(self.variables.structure(x)))
        if self.hessp is not None:
            return np.stack([self.hvp(x, e) for e in np.eye(len(x))])
        self._refuse_second_order()
        return np.asarray(self._ask("hessian", x), np.float64)

    def hvp(self, x: Array, v: Array) -> Array:
        """The Hessian times a vector."""
        self.nhev += 1
        if self.hessp is not None:
            x, v = self.variables.structure(x), self.variables.structure(v)
            return self._joined(self.hessp(x, v), "hessp")
        if self.hess is not None:
            return self._own_matrix(self.hess(self.variables.structure(x))) @ v
        self._refuse_second_order()
        return self.variables.join(self._ask("hvp", x, self.variables.split(v)))

    # From the user's callables

    def _own_value(self, x: Array) -> tuple[float, Any]:
        out = self.f(self.variables.structure(x))
        value, gradient = out if self.jac is True else (out, None)
        return _one(value), gradient

    def _own_matrix(self, matrix: Any) -> Array:
        n, found = self.variables.size, np.asarray(data_of(matrix), np.float64)
        if found.shape != (n, n):
            raise ShapeError(f"hess returned shape {found.shape}; it must be {(n, n)}")
        return found

    def _refuse_second_order(self) -> None:
        if self.jac is not None:
            raise UsageError(
                f"{self.variables.user}: this method needs second derivatives; give hess= or "
                "hessp= beside jac=, or leave all three out to have them from f"
            )


class Residuals(Oracle):
    """Residuals r(x), whose ½Σr² is to be small, and their derivatives.

    Args:
        f: takes x in the form of ``x0``, with nodes for its numbers, and returns an array, or
            several. With ``jac``, it takes plain numbers.
        x0: as for :class:`Objective`.
        jac: the Jacobian (m, n), or (m, \\*x0.shape), ``jac(x)``.
        jit: as for :class:`Objective`.

    >>> import microgradopt as mg
    >>> oracle = Residuals(lambda x: mg.stack([x[0] * x[1], x[0]]), np.array([2.0, 3.0]))
    >>> oracle.jacobian(oracle.variables.start)
    array([[3., 2.],
           [1., 0.]])
    """

    functions = Vector

    def __init__(
        self,
        f: Callable[..., Any],
        x0: Any,
        *,
        jac: Callable[..., Any] | None = None,
        jit: bool | str | None = None,
        user: str = "Residuals",
    ) -> None:
        super().__init__(f, x0, jit, user)
        if jac is not None and not callable(jac):
            raise UsageError(f"{user}: jac must be a function, got {jac!r}")
        self.jac = jac

    # Asked by solvers

    def residuals(self, x: Array) -> Array:
        """r at a vector, (m,)."""
        self._spend()
        if self.jac is not None:
            out = self.f(self.variables.structure(x))
            return self.variables.join([data_of(r) for r in leaves(out)])
        return np.asarray(self._ask("residuals", x), np.float64)

    def jacobian(self, x: Array) -> Array:
        """J, (m, n)."""
        self.njev += 1
        if self.jac is not None:
            found = np.asarray(data_of(self.jac(self.variables.structure(x))), np.float64)
            if found.ndim < 1 or found[:1].size != self.variables.size:
                raise ShapeError(
                    f"jac returned shape {found.shape}; it must be (m, {self.variables.size})"
                )
            return found.reshape(len(found), -1)
        return np.asarray(self._ask("jacobian", x), np.float64)

    def value(self, x: Array) -> float:
        """½Σr²."""
        r = self.residuals(x)
        return 0.5 * float(r @ r)

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """½Σr² and its gradient Jᵀr, without J."""
        if self.jac is not None:
            r = self.residuals(x)
            return 0.5 * float(r @ r), self.jacobian(x).T @ r
        self._spend()
        self.njev += 1
        value, gradient = self._ask("value_and_gradient", x)
        return float(value), self.variables.join(gradient)

    def jvp(self, x: Array, v: Array) -> Array:
        """J·v, (m,)."""
        if self.jac is not None:
            return self.jacobian(x) @ v
        self.njev += 1
        return np.asarray(self._ask("jvp", x, self.variables.split(v)), np.float64)

    def vjp(self, x: Array, u: Array) -> Array:
        """Jᵀ·u, (n,)."""
        if self.jac is not None:
            return self.jacobian(x).T @ u
        self.njev += 1
        return self.variables.join(self._ask("vjp", x, u))

    def gnvp(self, x: Array, v: Array) -> Array:
        """JᵀJ·v, (n,)."""
        return self.vjp(x, self.jvp(x, v))

    def second(self, x: Array, v: Array, r: Array, Jv: Array) -> Array:
        """d²r(x + t·v)/dt² at 0, (m,), given r and J·v; by differences where J is the user's."""
        self.nhev += 1
        if self.jac is not None:
            h = STRIDE
            return (2.0 / h) * ((self.residuals(x + h * v) - r) / h - Jv)
        return np.asarray(self._ask("second", x, self.variables.split(v)), np.float64)

    def hvp(self, x: Array, v: Array) -> Array:
        """The Hessian of ½Σr² times a vector: JᵀJ·v, and what the residuals' curvature adds."""
        self._refuse_second_order()
        self.nhev += 1
        return self.variables.join(self._ask("hvp", x, self.variables.split(v)))

    def hessian(self, x: Array) -> Array:
        """The Hessian of ½Σr², (n, n)."""
        self._refuse_second_order()
        self.nhev += 1
        return np.asarray(self._ask("hessian", x), np.float64)

    def _refuse_second_order(self) -> None:
        if self.jac is not None:
            raise UsageError(
                f"{self.variables.user}: this method needs second derivatives; leave jac= out to "
                "have them from the residuals"
            )


def _one(x: Any) -> float:
    """One number as a float, also out of an array of one."""
    return float(np.asarray(data_of(x)).item())
