"""Numerical derivatives of a number by the entries of floats and arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Leaves: TypeAlias = list[Any]  # floats and arrays
Line: TypeAlias = Callable[[Any], Any]  # a number as a function of one number, around 0

FIRST_STEP = 0.1  # of the input's scale
SHRINK = 3.0
STEPS = 9
IMAGINARY_STEP = 1e-100  # its square vanishes beside any number


def scale(x: Any) -> float:
    """The size of a leaf's entries: the largest; 1 where there is none, or none but 0."""
    return float(np.max(np.abs(x), initial=0.0)) or 1.0


def central_slopes(phi: Callable[[Leaves], Any], xs: Leaves) -> Leaves:
    """∂φ/∂x for every entry, by central differences extrapolated to step 0."""

    def slope(line: Line, x: float, typical: float) -> float:
        found = _extrapolated(line, max(abs(x), 0.1 * typical))
        if x and not found.doubt <= 1e-8 * abs(found.slope):  # perhaps x is close to a singularity
            found = min(found, _extrapolated(line, abs(x)), key=lambda one: one.doubt)
        return found.slope

    return [_entry_by_entry(phi, xs, k, np.float64, slope) for k in range(len(xs))]


def complex_slopes(phi: Callable[[Leaves], Any], xs: Leaves) -> Leaves:
    """∂φ/∂x for every entry of an analytic φ: φ(x + ih) = φ(x) + ih·φ′(x) + O(h²)."""

    def slope(line: Line, x: float, typical: float) -> float:
        return float(np.imag(line(1j * IMAGINARY_STEP)) / IMAGINARY_STEP)

    return [_entry_by_entry(phi, xs, k, np.complex128, slope) for k in range(len(xs))]


def _entry_by_entry(
    phi: Callable[[Leaves], Any], xs: Leaves, k: int, dtype: Any, slope: Callable[..., float]
) -> Any:
    """``slope(line, x, typical)`` for each entry x of leaf k, with line(t) = φ where x is x + t."""
    wide = [np.array(x, dtype) if isinstance(x, np.ndarray) else dtype(x) for x in xs]
    x = np.asarray(xs[k], np.float64)
    out = np.empty(x.shape)
    for i in np.ndindex(x.shape):

        def line(t: Any, i: Any = i) -> Any:
            moved = x.astype(dtype)
            moved[i] += t
            leaf = moved if isinstance(xs[k], np.ndarray) else moved[()]
            return phi([*wide[:k], leaf, *wide[k + 1 :]])

        out[i] = slope(line, float(x[i]), scale(x))
    return out


class _Estimate(NamedTuple):
    doubt: float
    slope: float


def _extrapolated(line: Line, size: float) -> _Estimate:
    """line′(0) by Ridders' method: of all extrapolations, the one its neighbours confirm best.

    C. J. F. Ridders, Advances in Engineering Software 4 (1982) 75.
    """
    best = _Estimate(np.inf, np.nan)
    older: list[float] = []
    h = FIRST_STEP * size
    for _ in range(STEPS):
        row = [(line(h) - line(-h)) / (2.0 * h)]
        for j, before in enumerate(older):
            row.append(row[j] + (row[j] - before) / (SHRINK ** (2 * (j + 1)) - 1.0))
            doubt = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - before))
            if doubt < best.doubt:  # never so for NaN, where a step leaves the domain
                best = _Estimate(doubt, row[j + 1])
        if best.doubt <= 1e-13 * abs(best.slope):
            break
        older = row
        h /= SHRINK
    return best
