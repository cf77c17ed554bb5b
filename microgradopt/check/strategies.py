"""Hypothesis strategies: numbers, arrays of every shape and layout, indices, and whole graphs.

Numbers are whole multiples of a small unit, so that a failing example shrinks to something
readable: 0.25 rather than 2.225e-308. Hypothesis comes with ``pip install 'microgradopt[check]'``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from microgradopt.check.expressions import EVERY_LAYOUT, Expression, laid_out, library_rows
from microgradopt.check.growth import Growth
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Differentiable, Elementwise
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import MissingExtraError, UsageError

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as of_numpy
except ImportError:  # pragma: no cover  # a test does this in a process of its own
    raise MissingExtraError(
        "check.strategies and check.property need Hypothesis: pip install 'microgradopt[check]'"
    ) from None

__all__ = ["arrays", "graphs", "indices", "numbers", "tensors", "values"]

Interval: TypeAlias = tuple[float, float]
Shape: TypeAlias = tuple[int, ...]
Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

AROUND_ZERO = (-3.0, 3.0)


# Numbers


def numbers(
    low: float = -3.0, high: float = 3.0, *, special: Sequence[float] = ()
) -> st.SearchStrategy[float]:
    """Floats from ``low`` to ``high``, which shrink towards 0, and now and then a ``special`` one.

    They are multiples of a thousandth or so of the interval's width.

    Raises:
        UsageError: if the interval is empty or not finite.
    """
    low, high = _interval((low, high))
    if low == high:
        return st.just(low)
    decade = math.floor(math.log10(high - low))
    unit, digits = 10.0 ** (decade - 3), 3 - decade

    def on_grid(k: int) -> float:
        return min(max(round(k * unit, digits), low), high)

    found = st.integers(math.ceil(low / unit), math.floor(high / unit)).map(on_grid)
    return found | st.sampled_from(list(special)) if len(special) else found


def _interval(given: Any) -> Interval:
    low, high = given
    if not (math.isfinite(high - low) and low <= high):
        raise UsageError(
            f"({low!r}, {high!r}) is no interval to draw from: give (low, high), finite, low first"
        )
    return float(low), float(high)


def values(
    low: float = -3.0, high: float = 3.0, *, special: Sequence[float] = ()
) -> st.SearchStrategy[Value]:
    """Leaves of scalar graphs; :func:`numbers` gives the same as plain floats."""
    return numbers(low, high, special=special).map(Value)


# Arrays


def arrays(
    count: int | None = None,
    *,
    elements: Any = AROUND_ZERO,
    shapes: Any = None,
    dtypes: Sequence[Any] = (np.float64,),
    layouts: Sequence[str] = EVERY_LAYOUT,
    max_dims: int = 3,
    min_side: int = 0,
    max_side: int = 3,
) -> st.SearchStrategy[Any]:
    """One array, or a tuple of ``count`` arrays whose shapes broadcast together.

    Args:
        count: how many; None gives a single array that is not in a tuple.
        elements: an interval (low, high), a strategy of floats, or a list with one of those for
            each array.
        shapes: a shape for all, or a list of them; drawn when left out, with up to ``max_dims``
            dimensions of length ``min_side`` to ``max_side``: 0-dimensional and empty ones too.
        dtypes: floating-point dtypes to choose from.
        layouts: some of "C", "Fortran", "reversed", "strided" and "read-only".

    Raises:
        UsageError: for an unknown layout, or a list of another length than ``count``.
    """
    n = 1 if count is None else count
    kinds = _one_each(elements, n, "elements")
    fixed = None if shapes is None else _one_each(shapes, n, "shapes")
    unknown = [layout for layout in layouts if layout not in EVERY_LAYOUT]
    if unknown:
        raise UsageError(f"layouts must be some of {EVERY_LAYOUT}, got {unknown}")
    sources = [k if isinstance(k, st.SearchStrategy) else numbers(*_interval(k)) for k in kinds]

    @st.composite
    def drawn(draw: Draw) -> Any:
        chosen = fixed or draw(_broadcastable(n, max_dims, min_side, max_side)).input_shapes
        found = tuple(
            _array(draw, source, shape, dtypes, layouts) for source, shape in zip(sources, chosen)
        )
        return found if count is not None else found[0]

    return drawn()


def _one_each(given: Any, n: int, what: str) -> list[Any]:
    """A list of n: what was given as such, or one thing for all."""
    found = given if isinstance(given, list) else [given] * n
    if len(found) != n:
        raise UsageError(f"arrays: {what} is a list of {len(found)}, for {n} array(s)")
    return found


@cache
def _broadcastable(count: int, max_dims: int, min_side: int, max_side: int) -> Any:
    return of_numpy.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=max_dims, min_side=min_side, max_side=max_side
    )


def _array(
    draw: Draw, source: Any, shape: Shape, dtypes: Sequence[Any], layouts: Sequence[str]
) -> Any:
    size = math.prod(shape)
    flat = draw(st.lists(source, min_size=size, max_size=size))
    plain = np.array(flat, draw(st.sampled_from(list(dtypes)))).reshape(shape)
    return laid_out(plain, draw(st.sampled_from(list(layouts))))


def tensors(count: int | None = None, **options: Any) -> st.SearchStrategy[Any]:
    """Leaves of array graphs: one, or a tuple of ``count``; options as in :func:`arrays`.

    A leaf holds a copy of its array in C order; give :func:`arrays` to a function for others.
    """
    found = arrays(1 if count is None else count, **options)
    leaves = found.map(lambda xs: tuple(Tensor(x) for x in xs))
    return leaves if count is not None else leaves.map(lambda xs: xs[0])


# Indices


def indices(shape: Sequence[int]) -> st.SearchStrategy[Any]:
    """Whatever NumPy takes between the brackets for an array of this shape.

    Whole numbers, slices of either direction, ``Ellipsis``, None, arrays of integers (negative and
    repeated ones too) that broadcast together, boolean masks, and tuples that mix all of them.
    """
    shape = tuple(shape)
    return of_numpy.basic_indices(shape, allow_newaxis=True) | _mixed_indices(shape) | _masks(shape)


def _masks(shape: Shape) -> st.SearchStrategy[Any]:
    return of_numpy.arrays(bool, shape)


@st.composite
def _mixed_indices(draw: Draw, shape: Shape) -> Any:
    """A part for each axis, or for the first few, with None and an Ellipsis put in between."""
    parts: list[Any] = []
    together = draw(st.sampled_from([(), (1,), (2,), (2, 1), (1, 3)]))  # shape of integer arrays
    if shape and draw(st.booleans()):
        parts.append(draw(_masks(shape[:1])))
        together = (int(parts[0].sum()),)  # as many as the mask picks
    last = draw(st.integers(0, len(shape)))
    parts += [_index_of_axis(draw, length, together) for length in shape[len(parts) : last]]
    whole = len(parts) == len(shape)
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), None)
    if draw(st.booleans()):  # parts behind it count axes from the right: fine if every axis has one
        parts.insert(draw(st.integers(0, len(parts))) if whole else len(parts), Ellipsis)
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


def _index_of_axis(draw: Draw, length: int, shape: Shape) -> Any:
    kind = draw(st.integers(0, 2 if length else 0))
    if kind == 0:
        return draw(st.slices(length))
    if kind == 1:
        return draw(st.integers(-length, length - 1))
    size = math.prod(shape)
    found = draw(st.lists(st.integers(-length, length - 1), min_size=size, max_size=size))
    return np.array(found, np.int64).reshape(shape)


# Graphs


def graphs(
    rows: Sequence[Primitive] | None = None,
    *,
    max_steps: int = 8,
    inputs: int = 4,
    scalars: bool = False,
    dtype: Any = np.float64,
) -> st.SearchStrategy[Expression]:
    """Random expressions made of ``rows``: shared variables, several results, every kind of shape.

    An elementwise row gets operands inside of its ``sample`` and away from its ``kinks``: a
    variable that does not fit is squashed into the interval by a sigmoid, which the source shows. A
    linear or multilinear row takes variables of fitting shapes. Any other row takes the operands of
    its ``sample``, perhaps plus a small function of a variable so that the graph flows through it.

    Args:
        rows: differentiable rows that declare a ``sample``; all those of the library, if left out.
        max_steps: how many rows are applied at most, not counting those that fit operands.
        inputs: how many arguments an expression has at most; what else it needs is constant.
        scalars: only numbers, that is graphs of ``Value``, made of elementwise rows.
        dtype: that of the arrays.

    Raises:
        UsageError: if there is no row to draw from, or one without a rule or a sample.
    """
    chosen = library_rows() if rows is None else tuple(rows)
    for row in chosen:
        if not isinstance(row, Differentiable) or row.sample is None:
            raise UsageError(f"graphs: {row!r} must have a derivative, and sample=, to be drawn")
    if scalars:
        chosen = tuple(row for row in chosen if isinstance(row, Elementwise))
    if not chosen:
        raise UsageError("graphs: there is no row to draw from")
    if max_steps < 1 or inputs < 1:
        raise UsageError("graphs: max_steps and inputs must be at least 1")

    @st.composite
    def drawn(draw: Draw) -> Expression:
        growing = Growth(inputs, scalars, np.dtype(dtype))
        for _ in range(1 + draw(_below(max_steps))):
            draw(_step(growing, chosen))
        return growing.expression()

    return drawn()


@st.composite
def _step(draw: Draw, growing: Growth, rows: Sequence[Primitive]) -> None:
    """One row more, or none: the simplest choice, so that Hypothesis can leave any step out."""

    def choose(n: int) -> int:
        return int(draw(_below(n)))

    row = choose(len(rows) + 1)
    if row:
        growing.apply(rows[row - 1], choose)


@cache
def _below(n: int) -> st.SearchStrategy[int]:
    return st.integers(0, n - 1)
