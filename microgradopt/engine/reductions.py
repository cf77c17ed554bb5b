"""Reductions and running reductions: averages, spreads, products, extremes; those that skip NaN.

All take NumPy's arguments: ``where`` chooses the entries that take part, ``initial`` is what the
result starts from, ``dtype`` what the entries are brought to first. An entry left out gets a
gradient of exactly 0, whatever it holds.
"""

from typing import Any

import numpy as np

from microgradopt.engine.ops.elementwise import (
    equal,
    isnan,
    logical_and,
    logical_not,
    multiply,
    sqrt,
    where as choose,
)
from microgradopt.engine.ops.indexing import flat_or_along, in_dtype_of
from microgradopt.engine.ops.running import (
    cumprod_row,
    float_dtype,
    prod_row,
    running_max_row,
    running_min_row,
)
from microgradopt.engine.ops.shapes import (
    broadcast_to,
    concatenate,
    cumsum,
    mask_for,
    moveaxis,
    ndim,
    number,
    reshape,
    sum,
    taking_part,
    transpose,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Fused, as_float, check_axis, data_of, shape_of as shape
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "average", "cumprod", "cumulative_prod", "cumulative_sum", "max", "mean", "min", "nancumprod",
    "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "prod",
    "ptp", "std", "var",
]  # fmt: skip


# Axes and counts


def axes_of(x: Any, axis: Any, user: str) -> tuple[int, ...]:
    """The axes a reduction runs over, as a tuple."""
    axis = check_axis(axis, ndim(x), user)
    return tuple(range(ndim(x))) if axis is None else axis if isinstance(axis, tuple) else (axis,)


def count(x: Any, axis: Any, user: str) -> int:
    """How many entries each result of a reduction is made of; none is an error."""
    n = 1
    for a in axes_of(x, axis, user):
        n *= shape(x)[a]
    if n == 0:
        raise ShapeError(f"{user} of no entries: the operand has shape {shape(x)}")
    return n


def kept_shape(x: Any, axis: Any) -> tuple[int, ...]:
    """The shape of a reduction over ``axis`` with keepdims."""
    axes = axes_of(x, axis, "reduction")
    return tuple(1 if i in axes else n for i, n in enumerate(shape(x)))


def in_front(x: Any, axis: Any, user: str) -> Any:
    """The axes of a reduction as one, the first; the others after it in order."""
    axes = axes_of(x, axis, user)
    rest = tuple(n for i, n in enumerate(shape(x)) if i not in axes)
    n = int(np.prod([shape(x)[a] for a in axes], dtype=int))
    return reshape(moveaxis(x, axes, tuple(range(len(axes)))), (n, *rest))


def _counts(x: Any, axis: Any, keepdims: bool, where: Any, user: str) -> Any:
    """How many entries take part in each result, as a float or an array of them."""
    if where is True:
        return float(count(x, axis, user))
    mask = np.broadcast_to(mask_for(x, where, user), shape(x))
    found = np.sum(mask, axis=axes_of(x, axis, user), keepdims=keepdims)
    return np.asarray(found, float_dtype(x)) if shape(x) else float(found)


# Averages and spreads


@quietly
def mean(
    x: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, where: Any = True
) -> Any:
    """The average over ``axis``; as numpy.mean, but the mean of nothing is an error."""
    if dtype is None and where is True:
        n = count(x, axis, "mean")
        return sum(x, axis, keepdims) / float(n)
    x = taking_part(x, dtype, where, 0.0, "mean")
    return sum(x, axis, keepdims) / _counts(x, axis, keepdims, where, "mean")


_mean = mean  # var has an argument of this name


@quietly
def var(
    x: Any,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """The mean squared distance from the mean, over n − ``ddof``; as numpy.var.

    Computed from the differences, never as a difference of squares.

    Args:
        mean: the mean, where it is known already, as ``mg.mean`` with ``keepdims=True`` gives it.
        correction: another name of ``ddof``.
    """
    if correction is not None:
        if ddof:
            raise UsageError(f"var: ddof={ddof} and correction={correction} are the same; give one")
        ddof = correction
    x = taking_part(x, dtype, True, 0.0, "var")
    n = _counts(x, axis, keepdims, where, "var")
    if where is True and n - ddof <= 0:
        raise UsageError(
            f"var: ddof={ddof} leaves nothing of {n:g} entries; it must be below {n:g}"
        )
    away = x - (_mean(x, axis, keepdims=True, where=where) if mean is None else mean)
    total = sum(away * away, axis, keepdims, where=where)
    if where is True:
        return total / (n - as_float(ddof))
    left = n - as_float(ddof)
    return total / choose(left > 0.0, left, np.nan)


def std(
    x: Any,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """The square root of :func:`var`; its derivative is 0 where all entries are equal."""
    return root(
        var(x, axis, ddof, keepdims, dtype=dtype, where=where, mean=mean, correction=correction)
    )


@quietly
def root(x: Any) -> Any:
    """√x with derivative 0 at 0, for lengths and spreads."""
    nothing = equal(data_of(x), 0.0)
    return choose(nothing, 0.0, sqrt(choose(nothing, 1.0, x)))


@quietly
def average(
    x: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """The average with ``weights``, differentiable in both; as numpy.average.

    Args:
        weights: one for each entry, or for each place along ``axis``.
        returned: whether to return a pair: the average, and the sum of the weights.
    """
    if weights is None:
        result = mean(x, axis, keepdims)
        total: Any = float(count(x, axis, "average"))
    else:
        weights = _weights_like(x, axis, weights)
        total = sum(weights, axis, keepdims)
        result = sum(x * weights, axis, keepdims) / total
    if not returned:
        return result
    return result, broadcast_to(total, shape(result)) if shape(total) != shape(result) else total


def _weights_like(x: Any, axis: Any, weights: Any) -> Any:
    """Weights along some axes with the dimensions of ``x``."""
    if shape(weights) == shape(x):
        return weights
    axes = () if axis is None else axes_of(x, axis, "average")
    if shape(weights) != tuple(shape(x)[a] for a in axes) or not axes:
        raise ShapeError(
            f"average: weights of shape {shape(weights)} go neither with the operand's "
            f"{shape(x)} nor with axis={axis!r} of it"
        )
    placed = tuple(n if i in axes else 1 for i, n in enumerate(shape(x)))
    return reshape(transpose(weights, [int(i) for i in np.argsort(axes)]), placed)


# Extremes


def share(x: Any, best: Any, axis: Any) -> Any:
    """1 at each extreme entry, split evenly among ties."""
    ties = equal(x, reshape(best, kept_shape(x, axis)))
    return ties / sum(1.0 * ties, axis, keepdims=True)


def _pull_extreme(g: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return reshape(g, kept_shape(x, axis)) * share(x, out, axis)


def _extreme(name: str, array: Any) -> Fused:
    def composite(x: Any, axis: Any, keepdims: bool) -> Any:
        raw = data_of(x)
        shares = share(raw, array(raw, axis, keepdims=True), axis)
        entries = choose(equal(shares, 0.0), 0.0, x)  # those that lose may be infinite
        return sum(entries * shares, axis, keepdims)

    return Fused(
        name,
        array=array,
        pullback=_pull_extreme,
        composite=composite,
        sample=lambda rng: [
            ((rng.normal(size=(3, 4)),), {"axis": axis, "keepdims": keep})
            for axis, keep in ((None, False), (0, False), (1, True), ((0, 1), False))
        ],
    )


max_row = _extreme("max", np.amax)
min_row = _extreme("min", np.amin)


def max(
    x: Any, axis: Any = None, keepdims: bool = False, *, initial: Any = None, where: Any = True
) -> Any:
    """The largest entry over ``axis``; ties split the gradient evenly, NaN spreads."""
    if initial is not None or where is not True:
        return _extreme_from(max_row, -np.inf, x, axis, keepdims, initial, where)
    count(x, axis, "max")
    return max_row(x, axis=check_axis(axis, ndim(x), "max"), keepdims=keepdims)


def min(
    x: Any, axis: Any = None, keepdims: bool = False, *, initial: Any = None, where: Any = True
) -> Any:
    """The smallest entry over ``axis``; ties split the gradient evenly, NaN spreads."""
    if initial is not None or where is not True:
        return _extreme_from(min_row, np.inf, x, axis, keepdims, initial, where)
    count(x, axis, "min")
    return min_row(x, axis=check_axis(axis, ndim(x), "min"), keepdims=keepdims)


def _extreme_from(
    row: Fused, beyond: float, x: Any, axis: Any, keepdims: bool, initial: Any, where: Any
) -> Any:
    """The extreme of the entries that take part and of ``initial``, one entry more."""
    if initial is None:
        raise UsageError(
            f"{row.name}: where= may leave out every entry, and then there is no {row.name}; "
            f"give the result of nothing as initial=, such as {beyond}"
        )
    entries = in_front(taking_part(x, None, where, beyond, row.name), axis, row.name)
    one_more = broadcast_to(number(initial, row.name), (1, *shape(entries)[1:]))
    out = row(concatenate([entries, in_dtype_of(entries, one_more)]), axis=0, keepdims=False)
    return reshape(out, kept_shape(x, axis)) if keepdims else out


@quietly
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Peak to peak: the largest entry less the smallest; as numpy.ptp."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


# Products


def prod(
    x: Any,
    axis: Any = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """The product over ``axis``; its derivative is exact with zeros too, as are higher ones."""
    factors = in_front(taking_part(x, dtype, where, 1.0, "prod"), axis, "prod")
    out = prod_row(factors)
    if keepdims:
        out = reshape(out, kept_shape(x, axis))
    return out if initial is None else multiply(out, number(initial, "prod"))


# Running reductions


def cumprod(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """The running product along ``axis``, its derivatives exact with zeros; as numpy.cumprod."""
    x, axis = flat_or_along(taking_part(x, dtype, True, 1.0, "cumprod"), axis, "cumprod")
    return moveaxis(cumprod_row(moveaxis(x, axis, 0)), 0, axis)


def cumulative_sum(
    x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running sum, which starts from 0 with ``include_initial``; as numpy.cumulative_sum."""
    x, axis = _only_axis(x, axis, "cumulative_sum")
    return _from_first(cumsum(x, axis, dtype=dtype), axis, 0.0, include_initial)


def cumulative_prod(
    x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running product, from 1 with ``include_initial``; as numpy.cumulative_prod."""
    x, axis = _only_axis(x, axis, "cumulative_prod")
    return _from_first(cumprod(x, axis, dtype=dtype), axis, 1.0, include_initial)


def _only_axis(x: Any, axis: int | None, user: str) -> tuple[Any, int]:
    if axis is None and ndim(x) > 1:
        raise ShapeError(f"{user}: an operand of {ndim(x)} dimensions needs an axis")
    return flat_or_along(x, axis, user)


def _from_first(out: Any, axis: int, first: float, included: bool) -> Any:
    if not included:
        return out
    start = tuple(1 if i == axis else n for i, n in enumerate(shape(out)))
    return concatenate([np.full(start, first, float_dtype(out)), out], axis)


def running_max(x: Any, axis: int = 0) -> Any:
    """The largest entry so far along ``axis``; ties split the gradient evenly."""
    axis = check_axis(axis, ndim(x), "maximum.accumulate")
    return moveaxis(running_max_row(moveaxis(x, axis, 0)), 0, axis)


def running_min(x: Any, axis: int = 0) -> Any:
    """The smallest entry so far along ``axis``; ties split the gradient evenly."""
    axis = check_axis(axis, ndim(x), "minimum.accumulate")
    return moveaxis(running_min_row(moveaxis(x, axis, 0)), 0, axis)


# Without the NaNs


def _numbers(x: Any, where: Any, user: str) -> Any:
    """The mask of the entries that take part and are not NaN."""
    there = logical_not(isnan(x))
    return there if where is True else logical_and(there, mask_for(x, where, user))


def nansum(
    x: Any,
    axis: Any = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """The sum of the entries that are not NaN; as numpy.nansum."""
    there = _numbers(x, where, "nansum")
    return sum(x, axis, keepdims, dtype=dtype, initial=initial, where=there)


def nanprod(
    x: Any,
    axis: Any = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """The product of the entries that are not NaN; as numpy.nanprod."""
    there = _numbers(x, where, "nanprod")
    return prod(x, axis, keepdims, dtype=dtype, initial=initial, where=there)


def nanmean(
    x: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None, where: Any = True
) -> Any:
    """The average of the entries that are not NaN, NaN where there are none; as numpy.nanmean."""
    return mean(x, axis, keepdims, dtype=dtype, where=_numbers(x, where, "nanmean"))


def nanvar(
    x: Any,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """:func:`var` of the entries that are not NaN; NaN where ``ddof`` leaves none of them."""
    there = _numbers(x, where, "nanvar")
    return var(x, axis, ddof, keepdims, dtype=dtype, where=there, mean=mean, correction=correction)


def nanstd(
    x: Any,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """:func:`std` of the entries that are not NaN; NaN where ``ddof`` leaves none of them."""
    return root(
        nanvar(x, axis, ddof, keepdims, dtype=dtype, where=where, mean=mean, correction=correction)
    )


def nanmax(
    x: Any, axis: Any = None, keepdims: bool = False, *, initial: Any = None, where: Any = True
) -> Any:
    """The largest entry that is not NaN; NaN where there is none; as numpy.nanmax."""
    return _nan_extreme(max, -np.inf, x, axis, keepdims, initial, where)


def nanmin(
    x: Any, axis: Any = None, keepdims: bool = False, *, initial: Any = None, where: Any = True
) -> Any:
    """The smallest entry that is not NaN; NaN where there is none; as numpy.nanmin."""
    return _nan_extreme(min, np.inf, x, axis, keepdims, initial, where)


def _nan_extreme(
    extreme: Any, beyond: float, x: Any, axis: Any, keepdims: bool, initial: Any, where: Any
) -> Any:
    there = _numbers(x, where, f"nan{extreme.__name__}")
    if initial is not None or where is not True:
        return extreme(x, axis, keepdims, initial=initial, where=there)
    out = extreme(choose(there, x, beyond), axis, keepdims)
    some = np.any(np.asarray(there), axis=axes_of(x, axis, "nanmax"), keepdims=keepdims)
    return out if some.all() else choose(some, out, np.nan)


def nancumsum(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """The running sum in which NaN counts as 0; as numpy.nancumsum."""
    return cumsum(choose(logical_not(isnan(x)), x, 0.0), axis, dtype=dtype)


def nancumprod(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """The running product in which NaN counts as 1; as numpy.nancumprod."""
    return cumprod(choose(logical_not(isnan(x)), x, 1.0), axis, dtype=dtype)
