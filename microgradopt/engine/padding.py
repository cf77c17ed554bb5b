"""``pad``: more entries at the ends of the axes, in NumPy's modes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.engine.composites import median
from microgradopt.engine.ops.indexing import in_dtype_of, take
from microgradopt.engine.ops.shapes import (
    broadcast_to,
    concatenate,
    cut,
    index,
    ndim,
    stack,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import max, mean, min
from microgradopt.engine.rules import Linear, check_axis, data_of, shape_of
from microgradopt.errors import DTypeError, ShapeError, UsageError

__all__ = [
    "pad",
]  # fmt: skip

Widths = tuple[tuple[int, int], ...]  # for each axis, how many entries before and after


def _unpad(g: Any, x: Any, width: Widths) -> Any:
    return index(g, tuple(slice(a, a + n) for (a, _), n in zip(width, shape_of(x))))


pad_row: Linear = Linear(
    "pad",
    array=lambda x, width: np.pad(x, width),
    transpose=_unpad,
    sample=lambda rng: [((rng.normal(size=(2, 3)),), {"width": ((1, 0), (2, 3))})],
)


STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": max, "mean": mean, "median": median, "minimum": min,
}  # fmt: skip
OPTIONS = {  # of each mode, the option that it takes
    "constant": "constant_values",
    "edge": None,
    "linear_ramp": "end_values",
    **dict.fromkeys(STATISTICS, "stat_length"),
    "reflect": "reflect_type",
    "symmetric": "reflect_type",
    "wrap": None,
}


def pad(
    x: Any,
    pad_width: Any,
    mode: str = "constant",
    constant_values: Any = None,
    *,
    end_values: Any = None,
    stat_length: Any = None,
    reflect_type: str | None = None,
) -> Any:
    """Add entries at both ends of every axis; as numpy.pad.

    Args:
        pad_width: an int, a pair (before, after), a pair for each axis, or a dict of axes.
        mode: "constant"; one that repeats entries: "edge", "reflect", "symmetric", "wrap"; one
            that repeats what they amount to: "maximum", "mean", "median", "minimum"; or
            "linear_ramp", from the edge to ``end_values``.
        constant_values: numbers or nodes, given as ``pad_width`` is; 0 when left out.
        end_values: likewise, the outermost numbers of a ramp.
        stat_length: of how many entries at the edge to take a statistic; of all when left out.
        reflect_type: "even", or "odd": mirrored at the edge entry in value too.

    >>> import numpy as np, microgradopt as mg
    >>> mg.pad(np.array([1.0, 2.0]), (1, 2), mode="edge")
    array([1., 1., 2., 2., 2.])
    """
    have = shape_of(x)
    width = _widths(pad_width, len(have))
    if mode not in OPTIONS:
        raise UsageError(f"pad: unknown mode {mode!r}; choose from {', '.join(OPTIONS)}")
    for name, option in (
        ("constant_values", constant_values),
        ("end_values", end_values),
        ("stat_length", stat_length),
        ("reflect_type", reflect_type),
    ):
        if option is not None and name != OPTIONS[mode]:
            raise UsageError(f"pad: mode {mode!r} does not take {name}=")
    if reflect_type not in (None, "even", "odd"):
        raise UsageError(f"pad: reflect_type must be 'even' or 'odd', got {reflect_type!r}")
    if mode == "constant":
        return _with_constants(x, width, 0.0 if constant_values is None else constant_values)
    empty = [a for a, n in enumerate(have) if n == 0 and any(width[a])]
    if empty:
        raise ShapeError(
            f"pad: axis {empty[0]} of shape {have} has no entry to repeat; use mode='constant'"
        )
    if mode == "linear_ramp":
        return _with_ramps(x, width, 0.0 if end_values is None else end_values)
    if mode in STATISTICS:
        return _with_statistics(x, width, STATISTICS[mode], stat_length)
    if reflect_type == "odd":
        return _reflected_oddly(x, width, at_edge=mode == "symmetric")
    sources = [np.pad(np.arange(n), w, mode=mode) for n, w in zip(have, width)]  # type: ignore[call-overload]  # a mode of NumPy's
    return index(x, np.ix_(*sources))


def _widths(pad_width: Any, n: int) -> Widths:
    given = pad_width
    if isinstance(given, dict):
        by_axis = {check_axis(a, n, "pad"): w for a, w in given.items()}
        given = [by_axis.get(a, 0) for a in range(n)]
        given = [w if isinstance(w, (tuple, list)) else (w, w) for w in given]
    try:
        width = np.broadcast_to(np.asarray(given), (n, 2))
    except ValueError:
        raise ShapeError(
            f"pad: pad_width {pad_width!r} does not give (before, after) for {n} axes"
        ) from None
    if width.dtype.kind not in "iu":
        raise DTypeError(f"pad: pad_width must be whole numbers, got {pad_width!r}")
    if (width < 0).any():
        raise ShapeError(f"pad: pad_width must not be negative, got {pad_width!r}")
    return tuple((a, b) for a, b in width.tolist())


def _pairs(values: Any, x: Any, user: str) -> list[tuple[Any, Any]]:
    """For each axis of ``x``, the number or node to put before and the one to put after."""
    n = ndim(x)
    if isinstance(values, (list, tuple)):
        values = stack([stack(v) if isinstance(v, (list, tuple)) else v for v in values])
    try:
        values = broadcast_to(in_dtype_of(x, values), (n, 2))
    except ShapeError:
        raise ShapeError(
            f"pad: {user} of shape {shape_of(values)} does not give (before, after) for {n} axes"
        ) from None
    return [(index(values, (a, 0)), index(values, (a, 1))) for a in range(n)]


def _length(x: Any, axis: int, n: int) -> tuple[int, ...]:
    """The shape of ``x`` with ``n`` entries along one axis."""
    have = shape_of(x)
    return (*have[:axis], n, *have[axis + 1 :])


def _between(x: Any, axis: int, before: Any, after: Any, width: tuple[int, int]) -> Any:
    """``x`` between two operands, repeated to the widths along ``axis``."""
    sides = [broadcast_to(s, _length(x, axis, w)) for s, w in zip((before, after), width)]
    return concatenate([sides[0], x, sides[1]], axis)


def _with_constants(x: Any, width: Widths, values: Any) -> Any:
    if isinstance(values, (int, float)) and values == 0.0:
        return pad_row(x, width=width)
    for axis, (before, after) in enumerate(_pairs(values, x, "constant_values")):
        if any(width[axis]):
            x = _between(x, axis, before, after, width[axis])
    return x


@quietly
def _with_ramps(x: Any, width: Widths, values: Any) -> Any:
    for axis, ends in enumerate(_pairs(values, x, "end_values")):
        if not any(width[axis]):
            continue
        n = shape_of(x)[axis]
        edges = cut(x, axis, 0, 1), cut(x, axis, n - 1, n)
        before, after = (
            end + (edge - end) * _upright(np.arange(w)[::step] / (w or 1), axis, x)
            for edge, end, w, step in zip(edges, ends, width[axis], (1, -1))
        )
        x = _between(x, axis, before, after, width[axis])
    return x


def _upright(numbers: Any, axis: int, like: Any) -> Any:
    """A row of plain numbers along one axis of ``like``, in its dtype."""
    have = np.asarray(data_of(like)).dtype
    row = numbers.reshape(-1, *(1,) * (ndim(like) - axis - 1))
    return row.astype(have) if have.kind == "f" else row


def _with_statistics(x: Any, width: Widths, statistic: Any, length: Any) -> Any:
    try:
        lengths = np.broadcast_to(np.asarray(length, object), (ndim(x), 2)).tolist()
    except ValueError:
        raise ShapeError(
            f"pad: stat_length {length!r} does not give (before, after) for {ndim(x)} axes"
        ) from None
    for axis, (first, last) in enumerate(lengths):
        n = shape_of(x)[axis]
        if not any(width[axis]):
            continue
        if any(m is not None and m < 1 for m in (first, last)):
            raise ShapeError(f"pad: stat_length must be 1 or more, got {length!r}")
        start = cut(x, axis, None, first)
        end = cut(x, axis, None if last is None or last > n else n - last, None)
        before, after = (statistic(part, axis, keepdims=True) for part in (start, end))
        x = _between(x, axis, before, after, width[axis])
    return x


@quietly
def _reflected_oddly(x: Any, width: Widths, at_edge: bool) -> Any:
    """Mirrored through the edge points again and again, which adds a multiple of a step per lap.

    With the axis of a mirror just outside of the edge entry (``at_edge``), a lap is two lengths.
    """
    for axis, (a, b) in enumerate(width):
        n = shape_of(x)[axis]
        last = n - 1
        half = n if at_edge else last
        if not a and not b:
            continue
        outside = np.concatenate([np.arange(-a, 0), np.arange(n, n + b)])
        laps, place = np.divmod(outside, 2 * half or 1)
        mirrored = place > last
        source = np.where(mirrored, 2 * half - at_edge - place, place) if half else 0 * place
        sign, twice, steps = (
            _upright(numbers, axis, x) for numbers in (1 - 2 * mirrored, 2 * mirrored, 2 * laps)
        )
        first, end = cut(x, axis, 0, 1), cut(x, axis, last, n)
        sides = sign * take(x, source, axis) + twice * end + steps * (end - first)
        x = concatenate([cut(sides, axis, None, a), x, cut(sides, axis, a, None)], axis)
    return x
