"""φ, a number made of a function's results, and its slopes by differences and by complex steps.

A direction is a list like that of the leaves: an array or float for each, None where it stays.
"""

import math
import warnings
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.exceptions import ComplexWarning

from microgradopt.engine.modes import no_grad
from microgradopt.engine.rules import data_of
from microgradopt.errors import UsageError

Leaves: TypeAlias = list[Any]  # floats and arrays
Flat: TypeAlias = Callable[[Leaves], Leaves]
Line: TypeAlias = Callable[[Any], Any]  # a number as a function of one number, around 0

METHODS = ("central", "complex", "taylor")
FIRST_STEP = 0.1  # of the input's scale
SHRINK = 3.0
FEWEST_STEPS, STEPS = 4, 9
MOST_STEPS = 22  # where the others do not settle: near a kink or an edge
COLUMNS = 8  # of the table of extrapolations
IMAGINARY_STEP = 1e-30  # of the input's scale; its square vanishes beside 1
SMALLEST = 1e3 * float(np.finfo(np.float64).tiny)
ADVICE = "; use method='central'"


class Estimate(NamedTuple):
    """A numerical slope, and how far it may be off."""

    slope: float
    doubt: float


UNKNOWN = Estimate(math.nan, math.inf)


def scale(x: Any) -> float:
    """The size of a leaf's entries: the largest; 1 where there is none, or none but 0."""
    return float(np.max(np.abs(x), initial=0.0)) or 1.0


def terms(u: Leaves, ys: Leaves) -> Any:
    """The terms of ⟨u, y⟩, in double precision, as one row."""
    wide = [np.asarray(y, np.result_type(np.float64, y)) for y in ys]
    return np.concatenate([np.zeros(1), *(np.ravel(c * y) for c, y in zip(u, wide, strict=True))])


def length(parts: Any) -> float:
    """The Euclidean length of a row of numbers, which may be huge or tiny."""
    top = float(np.max(np.abs(parts), initial=0.0)) or 1.0
    return top * float(np.linalg.norm(parts / top))


def unit(xs: Leaves, k: int, index: tuple[int, ...]) -> Leaves:
    """The direction of one entry of leaf k."""
    direction: Leaves = [None] * len(xs)
    if isinstance(xs[k], np.ndarray):
        direction[k] = np.zeros(xs[k].shape)
        direction[k][index] = 1.0
    else:
        direction[k] = 1.0
    return direction


class Phi:
    """φ(x) = ⟨u, f(x)⟩ around the point ``xs``, formed outside the library.

    ``blur`` is how far rounding takes φ.
    """

    def __init__(self, f: Flat, xs: Leaves, u: Leaves, blur: float = 0.0) -> None:
        self.f, self.xs, self.u, self.blur = f, xs, u, blur

    def at(self, values: Leaves) -> Any:
        """φ of other leaves; nothing is recorded."""
        with np.errstate(all="ignore"), no_grad():
            return terms(self.u, [data_of(y) for y in self.f(values)]).sum()

    def line(self, direction: Leaves, dtype: Any = np.float64) -> Line:
        """t ↦ φ(x + t·direction), in double precision."""
        number = float if dtype is np.float64 else dtype  # floats go to the kernels for numbers
        wide = [np.array(x, dtype) if isinstance(x, np.ndarray) else number(x) for x in self.xs]

        def moved(x: Any, d: Any, t: Any) -> Any:
            if d is None:
                return x
            return np.asarray(x + t * d) if isinstance(x, np.ndarray) else x + t * d

        return lambda t: self.at([moved(x, d, t) for x, d in zip(wide, direction, strict=True)])

    def reach(self, k: int, index: tuple[int, ...]) -> float:
        """How far an entry may be moved: its own size, or a part of its neighbours' if it is 0."""
        x = self.xs[k]
        return max(abs(float(np.asarray(x)[index])) or 0.1 * scale(x), SMALLEST)

    def entry(self, method: str, k: int, index: tuple[int, ...]) -> Estimate:
        """∂φ/∂x for one entry of leaf k, with steps that suit its neighbours, or itself."""
        direction, own = unit(self.xs, k, index), self.reach(k, index)
        size = max(own, 0.1 * scale(self.xs[k]))
        found = self.slope(method, direction, size)
        if own < size and not found.doubt <= settled(found, self.blur, size):
            closer = self.slope(method, direction, own)
            found = closer if closer.doubt < found.doubt else found
        return found

    def slope(self, method: str, direction: Leaves, size: float = 1.0) -> Estimate:
        """φ's slope along a direction in which steps of about ``size`` are large."""
        central = extrapolated(self.line(direction), size, self.blur)
        if method != "complex":
            return central
        exact = self._imaginary(direction, size)
        apart = 1e-4 * abs(central.slope) + 1e5 * self.blur / size
        if abs(exact - central.slope) > max(apart, 10.0 * central.doubt):
            raise UsageError(
                "check_grads: the complex step is not the derivative here: the function is not "
                f"analytic (abs, comparisons, …) or drops the imaginary part{ADVICE}"
            )
        return Estimate(exact, 0.0)

    def _imaginary(self, direction: Leaves, size: float) -> float:
        """The slope of an analytic φ: φ(x + ih) = φ(x) + ih·φ′(x) + O(h²)."""
        h = IMAGINARY_STEP * size
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ComplexWarning)
                return float(np.imag(self.line(direction, np.complex128)(1j * h)) / h)
        except (TypeError, ValueError, AttributeError, ComplexWarning) as error:
            raise UsageError(
                "check_grads: the complex step calls the function with plain complex arrays, "
                f"which it does not take ({error}){ADVICE}"
            ) from error


def extrapolated(line: Line, size: float, blur: float = 0.0) -> Estimate:
    """line′(0) by Ridders' method: of all extrapolations, the one its neighbours confirm best.

    C. J. F. Ridders, Advances in Engineering Software 4 (1982) 75. The steps begin at a tenth of
    ``size`` and go on, near a kink or an edge of the domain, until the slope is known as well as
    the ``blur`` of the values allows. What a smaller step denies, beyond the blur, is as doubtful
    as that: larger steps went across a kink or jump.
    """
    best = denied = UNKNOWN
    off = math.inf  # how far the quotient was from the best extrapolation of it
    older: list[float] = []
    h = FIRST_STEP * size
    for step in range(MOST_STEPS):
        row = [difference(line, h)]
        apart = abs(row[0] - best.slope)
        if apart > 1.5 * off + blur / h:
            denied = min(denied, Estimate(best.slope, apart), key=attrgetter("doubt"))
            best, off, older = UNKNOWN, math.inf, []
        for j, before in enumerate(older[:COLUMNS]):
            row.append(row[j] + (row[j] - before) / (SHRINK ** (2 * (j + 1)) - 1.0))
            doubt = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - before))
            if doubt < best.doubt:  # never so for NaN, where a step leaves the domain
                best, off = Estimate(row[j + 1], doubt), abs(row[0] - row[j + 1])
        if step + 1 >= FEWEST_STEPS and best.doubt <= 1e-13 * abs(best.slope):
            break
        if step + 1 >= STEPS and best.doubt <= settled(best, blur, size):
            break
        older = row
        h /= SHRINK
    return min(best, denied, key=attrgetter("doubt"))


def settled(found: Estimate, blur: float, size: float) -> float:
    """The doubt at which a slope is known well enough."""
    return max(1e-8 * abs(found.slope), blur / size)


def difference(line: Line, h: float) -> float:
    """The central difference quotient."""
    with np.errstate(all="ignore"):
        return float((line(h) - line(-h)) / (2.0 * h))


def one_sided(line: Line, h: float) -> tuple[float, float]:
    """The difference quotients to the left and to the right."""
    with np.errstate(all="ignore"):
        here = line(0.0)
        return float((here - line(-h)) / h), float((line(h) - here) / h)
