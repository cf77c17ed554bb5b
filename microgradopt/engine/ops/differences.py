"""Differences, slopes, areas and interpolation along an axis, by NumPy's names and arguments."""

from typing import Any

import numpy as np

from microgradopt.engine.graph import Node, to_float
from microgradopt.engine.ops.elementwise import where
from microgradopt.engine.ops.indexing import in_dtype_of, take
from microgradopt.engine.ops.shapes import (
    broadcast_to,
    concatenate,
    cut,
    ndim,
    ravel,
    sum,
    without_promotion,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import check_axis, data_of, reshape_to, shape_of
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "diff", "ediff1d", "gradient", "interp", "trapezoid", "unwrap",
]  # fmt: skip


def _array(x: Any) -> Any:
    """Raw data as an array; nodes as they are."""
    return x if isinstance(x, Node) else np.asarray(x)


def _steps(x: Any, axis: int) -> Any:
    """Each entry minus the one before it."""
    return cut(x, axis, 1, None) - cut(x, axis, None, -1)


@quietly
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along ``axis``, taken ``n`` times; as numpy.diff.

    Args:
        prepend: what to put in front first: a number, or an array that fits.
        append: what to put at the end first.
    """
    if n < 0:
        raise UsageError(f"diff: n counts how often to take differences, got {n}")
    axis = check_axis(axis, ndim(x), "diff")
    x = _array(x)
    if n == 0:
        return x  # without what is to be put at its ends, as in NumPy
    if prepend is not None or append is not None:
        single = tuple(1 if i == axis else m for i, m in enumerate(shape_of(x)))
        parts = without_promotion([p for p in (prepend, x, append) if p is not None])
        x = concatenate([p if ndim(p) else broadcast_to(p, single) for p in parts], axis)
    for _ in range(n):
        x = _steps(x, axis)
    return x


@quietly
def ediff1d(x: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbours in the flattened array, with what is to begin and end it."""
    inner = _steps(ravel(x), 0)
    if to_begin is None and to_end is None:
        return inner
    parts = without_promotion([p for p in (to_begin, inner, to_end) if p is not None])
    return concatenate([ravel(p) for p in parts])


@quietly
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The area under ``y`` along ``axis``, by the trapezoidal rule; as numpy.trapezoid.

    Args:
        x: where the numbers of y lie: along the axis, or for each of them.
        dx: the distance between neighbours, when ``x`` is not given.
    """
    axis = check_axis(axis, ndim(y), "trapezoid")
    y = _array(y)
    if x is not None:
        if shape_of(x) not in (shape_of(y), shape_of(y)[axis : axis + 1]):
            raise ShapeError(
                f"trapezoid: points x of shape {shape_of(x)} for y of shape {shape_of(y)}; give "
                f"the {shape_of(y)[axis]} points along axis {axis}, or one for each entry"
            )
        x = _array(x)
        dx = _steps(x, axis) if ndim(x) > 1 else _upright(_steps(x, 0), axis, ndim(y))
    return sum(dx * (cut(y, axis, 1, None) + cut(y, axis, None, -1)) / 2.0, axis)


def _upright(d: Any, axis: int, n: int) -> Any:
    """A row of numbers as an array of ``n`` dimensions that lies along ``axis``."""
    return reshape_to(d, shape=tuple(-1 if i == axis else 1 for i in range(n)))


@quietly
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The slopes of sampled values by central differences; as numpy.gradient.

    Inside, exact for parabolas, on uneven points too (Fornberg, Math. Comp. 51, 1988); at the ends
    for straight lines, or with ``edge_order=2`` for parabolas.

    Args:
        varargs: the distance between points, for all axes or one for each; or for each axis the
            coordinates of its points. All may be differentiated by.
        axis: an int, a tuple, or None for all axes.

    Returns:
        One array for one axis, a tuple for several.
    """
    axes = check_axis(axis, ndim(f), "gradient")
    axes = range(ndim(f)) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    spacings = varargs or (1.0,)
    if len(spacings) == 1 and ndim(spacings[0]) == 0:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise UsageError(
            f"gradient: {len(varargs)} spacings for {len(axes)} axes; give one number, or a "
            "number or coordinates for each axis"
        )
    if edge_order not in (1, 2):
        raise UsageError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    f = _array(f)
    found = tuple(_slopes(f, h, a, edge_order) for a, h in zip(axes, spacings))
    return found[0] if len(found) == 1 else found


def _slopes(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    even = ndim(spacing) == 0
    _check_points(f, None if even else shape_of(spacing), axis, edge_order)
    h = spacing
    if not even:
        h = _upright(_steps(in_dtype_of(f, _array(spacing)), 0), axis, ndim(f))
    slopes = _steps(f, axis) / h
    before, after = _both_sides(slopes, axis)
    if even:
        share: Any = 0.5
        # From its neighbours alone: an entry that is infinite spoils only theirs.
        inside = (cut(f, axis, 2, None) - cut(f, axis, None, -2)) / (2.0 * h)
    else:
        left, right = _both_sides(h, axis)
        share = left / (left + right)
        inside = before + share * (after - before)
    first, last = cut(slopes, axis, None, 1), cut(slopes, axis, -1, None)
    if edge_order == 2:
        bend = after - before
        first = first - cut(share * bend, axis, None, 1)
        last = last + cut((1.0 - share) * bend, axis, -1, None)
    return concatenate([first, inside, last], axis)


def _check_points(f: Any, coordinates: Any, axis: int, edge_order: int) -> None:
    n = shape_of(f)[axis]
    if n <= edge_order:
        raise ShapeError(
            f"gradient: axis {axis} of shape {shape_of(f)} needs at least {edge_order + 1} points"
        )
    if coordinates not in (None, (n,)):
        raise ShapeError(
            f"gradient: coordinates of shape {coordinates} for an axis of length {n}; give one "
            "number for each point"
        )


def _both_sides(steps: Any, axis: int) -> tuple[Any, Any]:
    """Of each point inside, the step before it and the one after it."""
    return cut(steps, axis, None, -1), cut(steps, axis, 1, None)


@quietly
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear interpolation: at ``x``, of the points (``xp``, ``fp``); as numpy.interp.

    At a point itself the slope is that of what lies on its right; outside of the points it is 0.

    Args:
        xp: the points' coordinates, increasing unless ``period`` is given.
        fp: the points' values.
        left: the value below the first point; its own when left out.
        right: the value above the last point; its own when left out.
        period: the length after which everything repeats, a plain number.
    """
    if ndim(xp) != 1 or shape_of(xp) != shape_of(fp) or not shape_of(xp)[0]:
        raise ShapeError(
            f"interp: xp of shape {shape_of(xp)} and fp of shape {shape_of(fp)} must be two rows "
            "of equal length, of one point or more"
        )
    x, xp, fp = _array(x), _array(xp), _array(fp)
    if period is not None:
        x, xp, fp = _one_period(x, xp, fp, period)
    at, points = data_of(x), data_of(xp)
    last = len(points) - 1
    left = take(fp, 0) if left is None or period is not None else left
    right = take(fp, last) if right is None or period is not None else right
    below, above = at < points[0], at > points[-1]
    if last == 0:
        inside = take(fp, np.zeros(np.shape(at), int))
    else:
        i = np.clip(np.searchsorted(points, at, side="right") - 1, 0, last - 1)
        inside = _on_piece(where(below | above, points[0], x), xp, fp, i)
        inside = where(np.equal(at, points[-1]), take(fp, last), inside)
    return where(below, left, where(above, right, inside))


def _on_piece(x: Any, xp: Any, fp: Any, i: Any) -> Any:
    """The straight line through the points i and i + 1, at ``x``."""
    start, base = take(xp, i), take(fp, i)
    return base + (x - start) * ((take(fp, i + 1) - base) / (take(xp, i + 1) - start))


def _one_period(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """Everything moved into one period, and one point more on each side of it."""
    if isinstance(period, Node) or not period:
        raise UsageError(f"interp: period must be a plain number that is not 0, got {period!r}")
    period = abs(to_float(period))
    x, xp = _modulo(x, period), _modulo(xp, period)
    order = np.argsort(data_of(xp))
    order = np.concatenate([order[-1:], order, order[:1]])
    laps = np.zeros(len(order), np.asarray(data_of(xp)).dtype)
    laps[0], laps[-1] = -period, period
    return x, take(xp, order) + laps, take(fp, order)


def _modulo(x: Any, period: float) -> Any:
    data = data_of(x)
    return x - (data - np.mod(data, period))


@quietly
def unwrap(
    x: Any, discont: float | None = None, axis: int = -1, *, period: float = 2.0 * np.pi
) -> Any:
    """Angles without jumps: a multiple of ``period`` added where neighbours differ by too much."""
    axis = check_axis(axis, ndim(x), "unwrap")
    data = np.asarray(data_of(x))
    return x + (np.unwrap(data, discont, axis, period=period) - data)
