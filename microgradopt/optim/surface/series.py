"""Taylor approximations: the polynomial that is closest to a function around a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.arguments import check_count
from microgradopt.engine.derive import jvp
from microgradopt.engine.graph import Array, Node
from microgradopt.engine.modes import no_grad
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import aligned
from microgradopt.engine.sweeps import as_input
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim.solvers.oracle import Evaluation
from microgradopt.optim.solvers.variables import Variables
from microgradopt.optim.surface.curvature import check_finite

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
USER = "taylor"


@dataclass(frozen=True, eq=False)
class Polynomial:
    """Σ cₖ·(x − center)ᵏ. Call it with a number, an array of numbers or a node.

    Attributes:
        center: where it agrees with the function, in value and derivatives.
        coefficients: c₀, c₁, …: (order + 1,), or (order + 1, \\*s) of a function that returns an
            array of shape s. For an array of shape r, the result then has shape r + s.

    >>> Polynomial(1.0, np.array([1.0, 0.0, -0.5]))
    1 − 0.5·(x − 1)²
    """

    center: float
    coefficients: Array

    @property
    def order(self) -> int:
        """The highest power."""
        return len(self.coefficients) - 1

    def __call__(self, x: Any) -> Any:
        x = x if isinstance(x, Node) else np.asarray(x, np.float64)
        deep = self.coefficients.ndim - 1
        d = x - self.center
        if deep and np.ndim(data_of(x)):
            d = d.reshape(d.shape + deep * (1,))
        total: Any = 0.0 * d + self.coefficients[-1]
        for c in self.coefficients[-2::-1]:  # Horner
            total = total * d + c
        return total if isinstance(total, Node) or np.ndim(total) else float(total)

    def __repr__(self) -> str:
        if self.coefficients.ndim > 1:
            shape = self.coefficients.shape[1:]
            return f"Polynomial(center={self.center:g}, order={self.order}, shape={shape})"
        terms = [_term(float(c), self._power(k)) for k, c in enumerate(self.coefficients) if c]
        first, *rest = terms or ["+ 0"]
        return " ".join([("−" if first[0] == "−" else "") + first[2:], *rest])

    def _power(self, k: int) -> str:
        x = "x" if self.center == 0.0 else f"(x {_term(-self.center)})"
        return (k > 0) * x + (k > 1) * _raised(k)


def _term(c: float, power: str = "") -> str:
    """A term with its sign: ``− 0.5·x²``."""
    factor = f"{abs(c):.6g}"
    text = power if power and factor == "1" else factor + (power and f"·{power}")
    return ("− " if c < 0.0 else "+ ") + text


def _raised(k: int) -> str:
    return str(k).translate(SUPERSCRIPTS)


class Expansion:
    """The Taylor approximation of a function of several numbers: call it with a y in x's form.

    f(x) + Df(x)·d + D²f(x)·d²/2 + …, d = y − x, each term by a derivative along d, so that nothing
    larger than x is ever made. Each call asks f for them.

    Attributes:
        order: of the last term.
    """

    def __init__(
        self, f: Callable[..., Any], variables: Variables, order: int, jit: bool | str | None
    ) -> None:
        self.order = order
        self._variables = variables
        self._derivatives = Evaluation(Along(f, variables, order).derivatives, jit)

    def __call__(self, y: Any) -> Any:
        return self._along(self._flat(y, "y") - self._variables.start)(1.0)

    def along(self, d: Any) -> Polynomial:
        """The polynomial of t that approximates f(x + t·d); ``d`` has the form of x.

        >>> import microgradopt as mg
        >>> taylor(lambda x: mg.exp(x[0]) * x[1], np.zeros(2), 3).along(np.array([1.0, 1.0]))
        x + x² + 0.5·x³
        """
        return self._along(self._flat(d, "d"))

    def _along(self, d: Array) -> Polynomial:
        split = self._variables.split
        found = self._derivatives(split(self._variables.start), split(d))
        return Polynomial(0.0, _coefficients(found))

    def _flat(self, y: Any, name: str) -> Array:
        given, own = Variables(y, USER).tree, self._variables.tree
        try:
            pairs = aligned(given, own)
        except LookupError as error:
            raise UsageError(f"{USER}: {name}{error.args[0]}; x has another structure") from None
        for a, b in pairs:
            if np.shape(a) != np.shape(b):
                raise ShapeError(
                    f"{USER}: {name} has shape {np.shape(a)} where x has {np.shape(b)}"
                )
        return self._variables.join([a for a, _ in pairs])

    def __repr__(self) -> str:
        terms = [f"D{_raised(k)}f·d{_raised(k)}/{math.factorial(k)}" for k in range(self.order + 1)]
        terms[:2] = ["f", "Df·d"][: self.order + 1]
        return " + ".join(terms) + f", d = y − x of {self._variables.size} numbers"


class Along:
    """t ↦ f(x + t·d) and its derivatives; like the functions of oracles, to be compiled."""

    def __init__(self, f: Callable[..., Any], variables: Variables, order: int) -> None:
        self.f = f
        self.variables = variables
        self.order = order

    def derivatives(self, xs: list[Any], ds: list[Any]) -> tuple[Any, ...]:
        """Those of order 0, 1, … at t = 0."""
        found: Callable[[Any], tuple[Any, ...]] = lambda t: (self._value(xs, ds, t),)  # noqa: E731
        for _ in range(self.order):
            found = _and_next(found)
        with self.variables.unchanged(), no_grad():
            return tuple(data_of(y) for y in found(0.0))

    def _value(self, xs: list[Any], ds: list[Any], t: Any) -> Any:
        out = self.variables.call(self.f, [as_input(x, 0) + t * d for x, d in zip(xs, ds)])
        if not isinstance(data_of(out), (float, int, np.ndarray, np.generic)):
            raise UsageError(
                f"{USER}: the function must return a number or an array, it returned "
                f"{type(out).__name__}" + ("; did it forget to return?" if out is None else "")
            )
        return out


def _and_next(derivatives: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], tuple[Any, ...]]:
    """The derivatives, and the one after the last."""

    def more(t: Any) -> tuple[Any, ...]:
        known, slopes = jvp(derivatives, (t,), (1.0,))
        return (*known, slopes[-1])

    return more


def _coefficients(derivatives: tuple[Any, ...]) -> Array:
    for k, y in enumerate(derivatives):
        check_finite(USER, np.asarray(y), f"the derivative of order {k}" if k else "the function")
    shares = [np.asarray(y, np.float64) / math.factorial(k) for k, y in enumerate(derivatives)]
    return np.array(shares)


def taylor(
    f: Callable[..., Any], x: Any, order: int = 2, *, jit: bool | str | None = None
) -> Polynomial | Expansion:
    """The Taylor approximation of ``f`` around ``x``: a polynomial with the same derivatives there.

    Args:
        f: a function of x that returns a number or an array.
        x: a number: then a :class:`Polynomial` comes back, with its coefficients f⁽ᵏ⁾(x)/k!. Or an
            array, a structure, or a module, ``f(model)``: then an :class:`Expansion`, which takes
            what has the form of x.
        order: of the highest derivative, 0 or more. Each order may take three times as long as the
            one before.
        jit: for expansions, as for the solvers: None compiles what is called often, False nothing.

    Raises:
        NonFiniteError: if the function or a derivative is NaN or infinite there; by an expansion,
            when it is called.
        UsageError: if the order is no whole number, or ``f`` returns something else.

    >>> import microgradopt as mg
    >>> taylor(mg.cos, 0.0)
    1 − 0.5·x²
    >>> taylor(mg.log, 1.0, order=3)(1.1)
    0.09533333333333341
    >>> near = taylor(lambda v: v[0] * mg.exp(v[1]), np.array([1.0, 0.0]))
    >>> near(np.array([1.0, 0.1]))
    1.105
    """
    order = check_count(USER, "order", order, least=0)
    if not callable(f):
        raise UsageError(f"{USER}: give a function, got {type(f).__name__}")
    variables = Variables(x, USER)
    check_finite(USER, variables.start, "x")
    found = Expansion(f, variables, order, jit)
    if isinstance(variables.tree, float):
        return Polynomial(variables.tree, found.along(1.0).coefficients)
    return found
