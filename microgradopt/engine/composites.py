"""Functions made of rows, in formulas that stay precise: softmax, norms, bounds, order.

Where a kernel computed at once pays, a fused row gives value and first-order pullback and names
the composite that forward mode and higher orders use.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.ops.elementwise import (
    equal,
    exp,
    greater_equal,
    isfinite,
    isnan,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    not_equal,
    where,
)
from microgradopt.engine.ops.indexing import flat_or_along, take_along_axis
from microgradopt.engine.ops.shapes import astype, index, ndim, reshape, sum
from microgradopt.engine.ops.ufuncs import ceil, floor, rint
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import axes_of, count, in_front, kept_shape, max, share
from microgradopt.engine.rules import (
    Fused,
    General,
    check_axis,
    data_of,
    is_floating_array,
    shape_of as shape,
)
from microgradopt.errors import UsageError

__all__ = [
    "clip", "log_softmax", "logsumexp", "median", "nanmedian", "nanpercentile", "nanquantile",
    "percentile", "quantile", "softmax", "sort", "stop_gradient",
]  # fmt: skip


def stop_gradient(x: Any) -> Any:
    """The same value as a constant: no gradient flows through it."""
    return x.detach() if isinstance(x, Node) else x


def floating(x: Any) -> Any:
    """Raw data as a floating-point array, where a formula needs one; nodes as they are."""
    if isinstance(x, Node) or is_floating_array(x):
        return x
    return np.asarray(x, np.float64)


# Exponentials, normalised


def _softmax(x: Any, axis: Any) -> Any:
    e = np.exp(x - np.amax(x, axis, keepdims=True))
    return e / np.add.reduce(e, axis, keepdims=True)


def _log_softmax(x: Any, axis: Any) -> Any:
    centred = x - np.amax(x, axis, keepdims=True)
    return centred - np.log(np.add.reduce(np.exp(centred), axis, keepdims=True))


def _peak(x: Any, axis: Any) -> Any:
    """The largest entries as constants, 0 where they are infinite: what is safe to subtract."""
    top = max(data_of(x), axis, keepdims=True)
    return where(isfinite(top), top, 0.0)


def _logsumexp(x: Any, axis: Any) -> Any:
    top = np.amax(x, axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    return np.log(np.add.reduce(np.exp(x - top), axis, keepdims=True)) + top


def _log_total(x: Any, axis: Any) -> Any:
    top = _peak(x, axis)
    total = sum(exp(x - top), axis, keepdims=True)
    finite = isfinite(log(data_of(total)))
    if np.all(finite):
        return log(total) + top
    return where(finite, log(where(finite, total, 1.0)) + top, max(x, axis, keepdims=True))


def _pull_logsumexp(g: Any, out: Any, x: Any, axis: Any) -> Any:
    finite = isfinite(out)
    weights = exp(x - out)
    return g * (weights if np.all(finite) else where(finite, weights, share(x, out, axis)))


def _axis_samples(rng: Any) -> list[Any]:
    return [((3.0 * rng.normal(size=(3, 4)),), {"axis": axis}) for axis in (0, 1, (0, 1))]


logsumexp_row = Fused(
    "logsumexp",
    array=_logsumexp,
    pullback=_pull_logsumexp,
    composite=_log_total,
    sample=_axis_samples,
)
softmax_row = Fused(
    "softmax",
    array=_softmax,
    pullback=lambda g, out, x, axis: out * (g - sum(g * out, axis, keepdims=True)),
    composite=lambda x, axis: exp(x - _log_total(x, axis)),
    sample=_axis_samples,
)
log_softmax_row = Fused(
    "log_softmax",
    array=_log_softmax,
    pullback=lambda g, out, x, axis: g - exp(out) * sum(g, axis, keepdims=True),
    composite=lambda x, axis: x - _log_total(x, axis),
    sample=_axis_samples,
)


@quietly
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log Σ eˣ over ``axis`` without overflow; as scipy.special.logsumexp.

    Where the result is infinite, it and its derivative are those of :func:`max`.
    """
    count(x, axis, "logsumexp")
    axes = axes_of(x, axis, "logsumexp")
    out = logsumexp_row(x, axis=axes)
    return out if keepdims else reshape(out, [n for i, n in enumerate(shape(x)) if i not in axes])


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ along ``axis``: positive numbers that add up to 1."""
    count(x, axis, "softmax")
    return softmax_row(x, axis=check_axis(axis, ndim(x), "softmax"))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of :func:`softmax`, precise also where softmax underflows."""
    count(x, axis, "log_softmax")
    return log_softmax_row(x, axis=check_axis(axis, ndim(x), "log_softmax"))


# Bounds


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """``x`` held between ``min`` and ``max`` (either may be None); as numpy.clip."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


# Sorting


def sort(x: Any, axis: int | None = -1) -> Any:
    """The entries in ascending order along ``axis``, flattened when it is None; a stable sort."""
    x, axis = flat_or_along(floating(x), axis, "sort")
    return take_along_axis(x, np.argsort(data_of(x), axis=axis, kind="stable"), axis)


# Quantiles


def _order_statistics(x: Any, places: Any) -> Any:
    return np.take_along_axis(np.sort(x, axis=0), places, axis=0)


def _pull_order(g: Any, out: Any, x: Any, places: Any) -> Any:
    total: Any = 0.0
    for k in range(len(places)):  # one at a time: a table of all would not fit
        this = slice(k, k + 1)
        part = share(x, index(out, this), 0)
        total = total + where(not_equal(part, 0.0), index(g, this) * part, 0.0)
    return total


order_row = General(
    "order_statistics",
    array=_order_statistics,
    pullback=_pull_order,
    sample=lambda rng: [
        ((rng.normal(size=(5, 2)),), {"places": np.array([[[0, 4]], [[3, 3]], [[1, 2]]])[:, 0]}),
        ((rng.normal(size=(4,)),), {"places": np.array([2, 2, 0])}),
    ],
    doc="The entries at ``places`` of the ascending order along the first axis",
)

# Where among n entries, from 0, the quantile q lies: q·(n + 1 − a − b) + a − 1. R. J. Hyndman and
# Y. Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996).
PLOTTING = {
    "linear": (1.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1.0 / 3.0, 1.0 / 3.0),
    "normal_unbiased": (3.0 / 8.0, 3.0 / 8.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
}
STEPPING: dict[str, Callable[[Any], Any]] = {
    "lower": floor,
    "higher": ceil,
    "nearest": rint,
    "midpoint": lambda place: 0.5 * (floor(place) + ceil(place)),
}


def _place(q: Any, n: Any, method: str, user: str) -> Any:
    """The place of the quantile ``q`` among ``n`` ordered entries; whole or between two."""
    if method not in PLOTTING and method not in STEPPING:
        raise UsageError(
            f"{user}: method {method!r} is not supported; choose from "
            f"{', '.join([*PLOTTING, *STEPPING])}"
        )
    a, b = PLOTTING.get(method, PLOTTING["linear"])
    place = q * (n + 1.0 - a - b) + (a - 1.0)
    place = minimum(maximum(place, 0.0), np.maximum(n - 1.0, 0.0))
    return STEPPING[method](place) if method in STEPPING else place


def _between(low: Any, high: Any, part: Any) -> Any:
    """From ``low`` a ``part`` of the way to ``high``; no way is too far, be it to infinity."""
    way = high - low
    no_way = logical_and(equal(part, 0.0), logical_not(isfinite(way)))
    return low + part * where(logical_or(equal(low, high), no_way), 0.0, way)


@quietly
def _quantile(
    x: Any, q: Any, axis: Any, keepdims: bool, method: str, user: str, *, skip: bool = False
) -> Any:
    """The quantiles; of the entries that are not NaN with ``skip``, else NaN where there is one."""
    x = floating(x)
    if not np.all(np.logical_and(greater_equal(q, 0.0), less_equal(q, 1.0))):
        raise UsageError(f"{user}: quantiles lie from 0 to 1, percentiles to 100; got {q!r}")
    n: Any = float(count(x, axis, user))
    entries = in_front(x, axis, user)
    rest = shape(entries)[1:]
    missing = isnan(data_of(entries))
    if skip:
        n = n - np.sum(missing, axis=0)
    place = _place(reshape(floating(q), (-1, *(1 for _ in rest))), n, method, user)
    low = floor(place)
    part = place - low
    part = astype(part, np.asarray(data_of(entries)).dtype)
    high = np.minimum(low + 1.0, np.maximum(n - 1.0, 0.0))
    both = np.concatenate([np.broadcast_to(p, (len(p), *rest)) for p in (low, high)]).astype(int)
    found = order_row(entries, places=both)
    out = _between(index(found, slice(0, len(low))), index(found, slice(len(low), None)), part)
    if not skip and missing.any():
        out = where(missing.any(axis=0), np.nan, out)
    return reshape(out, (*shape(q), *(kept_shape(x, axis) if keepdims else rest)))


def quantile(
    x: Any, q: Any, axis: Any = None, keepdims: bool = False, *, method: str = "linear"
) -> Any:
    """The entry below which a part ``q`` of the entries lies; as numpy.quantile.

    Differentiable in ``x``, where ties split the gradient evenly, and by interpolation in ``q``. An
    array of quantiles gives a result of shape ``q.shape`` + that of one.

    Args:
        method: "linear", "hazen", "weibull", "median_unbiased", "normal_unbiased",
            "interpolated_inverted_cdf"; or without interpolation "lower", "higher", "nearest",
            "midpoint".
    """
    return _quantile(x, q, axis, keepdims, method, "quantile")


def percentile(
    x: Any, q: Any, axis: Any = None, keepdims: bool = False, *, method: str = "linear"
) -> Any:
    """:func:`quantile` with ``q`` from 0 to 100; as numpy.percentile."""
    return _quantile(x, _hundredth(q), axis, keepdims, method, "percentile")


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle entry, or the mean of the two in the middle; as numpy.median."""
    return _quantile(x, 0.5, axis, keepdims, "linear", "median")


def nanquantile(
    x: Any, q: Any, axis: Any = None, keepdims: bool = False, *, method: str = "linear"
) -> Any:
    """:func:`quantile` of the entries that are not NaN; NaN where there are none."""
    return _quantile(x, q, axis, keepdims, method, "nanquantile", skip=True)


def nanpercentile(
    x: Any, q: Any, axis: Any = None, keepdims: bool = False, *, method: str = "linear"
) -> Any:
    """:func:`percentile` of the entries that are not NaN; NaN where there are none."""
    return _quantile(x, _hundredth(q), axis, keepdims, method, "nanpercentile", skip=True)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """:func:`median` of the entries that are not NaN; NaN where there are none."""
    return _quantile(x, 0.5, axis, keepdims, "linear", "nanmedian", skip=True)


def _hundredth(q: Any) -> Any:
    return floating(q) / 100.0
