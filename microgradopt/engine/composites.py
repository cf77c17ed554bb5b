"""Functions made of rows, in formulas that stay precise: reductions, softmax, norms.

Where a kernel computed at once pays, a fused row gives value and first-order pullback and names
the composite that forward mode and higher orders use.
"""

from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.ops.elementwise import (
    absolute,
    equal,
    exp,
    expm1,
    isfinite,
    less,
    log,
    logical_and,
    logical_or,
    maximum,
    minimum,
    not_equal,
    power,
    sign,
    softplus,
    sqrt,
    where,
)
from microgradopt.engine.ops.shapes import (
    concatenate,
    index,
    moveaxis,
    ndim,
    ravel,
    reshape,
    sum,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Fused, check_axis, data_of, shape_of as shape
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "clip", "elu", "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "max", "mean",
    "min", "norm", "prod", "softmax", "sort", "std", "stop_gradient", "var",
]  # fmt: skip


def stop_gradient(x: Any) -> Any:
    """The same value as a constant: no gradient flows through it."""
    return x.detach() if isinstance(x, Node) else x


def _floating(x: Any) -> Any:
    """Raw data as a floating-point array, where a formula needs one; nodes as they are."""
    if isinstance(x, Node) or (isinstance(x, np.ndarray) and x.dtype.kind == "f"):
        return x
    return np.asarray(x, np.float64)


# Reductions


def _axes(x: Any, axis: Any, user: str) -> tuple[int, ...]:
    """The axes a reduction runs over, as a tuple."""
    axis = check_axis(axis, ndim(x), user)
    return tuple(range(ndim(x))) if axis is None else axis if isinstance(axis, tuple) else (axis,)


def _count(x: Any, axis: Any, user: str) -> int:
    """How many entries each result of a reduction is made of; none is an error."""
    n = 1
    for a in _axes(x, axis, user):
        n *= shape(x)[a]
    if n == 0:
        raise ShapeError(f"{user} of no entries: the operand has shape {shape(x)}")
    return n


def _kept(x: Any, axis: Any) -> tuple[int, ...]:
    """The shape of a reduction over ``axis`` with keepdims."""
    axes = _axes(x, axis, "reduction")
    return tuple(1 if i in axes else n for i, n in enumerate(shape(x)))


@quietly
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The average over ``axis``; as numpy.mean, but the mean of nothing is an error."""
    n = _count(x, axis, "mean")
    return sum(x, axis, keepdims) / float(n)


@quietly
def var(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean, over n − ``ddof``; as numpy.var.

    Computed from the differences, never as a difference of squares.
    """
    n = _count(x, axis, "var")
    if n - ddof <= 0:
        raise UsageError(f"var: ddof={ddof} leaves nothing of {n} entries; it must be below {n}")
    away = x - mean(x, axis, keepdims=True)
    return sum(away * away, axis, keepdims) / float(n - ddof)


@quietly
def std(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """The square root of :func:`var`; its derivative is 0 where all entries are equal."""
    return _root(var(x, axis, ddof, keepdims))


def _root(x: Any) -> Any:
    """√x with derivative 0 at 0, for lengths and spreads."""
    nothing = equal(data_of(x), 0.0)
    return where(nothing, 0.0, sqrt(where(nothing, 1.0, x)))


def _share(x: Any, best: Any, axis: Any) -> Any:
    """1 at each extreme entry, split evenly among ties."""
    ties = equal(x, reshape(best, _kept(x, axis)))
    return ties / sum(1.0 * ties, axis, keepdims=True)


def _pull_extreme(g: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return reshape(g, _kept(x, axis)) * _share(x, out, axis)


def _extreme(name: str, array: Any) -> Fused:
    def composite(x: Any, axis: Any, keepdims: bool) -> Any:
        raw = data_of(x)
        return sum(x * _share(raw, array(raw, axis, keepdims=True), axis), axis, keepdims)

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


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest entry over ``axis``; ties split the gradient evenly, NaN spreads."""
    _count(x, axis, "max")
    return max_row(x, axis=check_axis(axis, ndim(x), "max"), keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest entry over ``axis``; ties split the gradient evenly, NaN spreads."""
    _count(x, axis, "min")
    return min_row(x, axis=check_axis(axis, ndim(x), "min"), keepdims=keepdims)


@quietly
def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product over ``axis``, multiplied pairwise; its derivative is exact with zeros too."""
    axes = _axes(x, axis, "prod")
    kept = _kept(x, axis)
    n = int(np.prod([shape(x)[a] for a in axes], dtype=int))
    rest = tuple(m for i, m in enumerate(shape(x)) if i not in axes)
    y = reshape(moveaxis(x, axes, tuple(range(len(axes)))), (n, *rest))
    if n == 0:  # the empty product
        y, n = concatenate([y, np.ones((1, *rest), data_of(y).dtype)]), 1
    while n > 1:
        half = n // 2
        paired = index(y, slice(0, half)) * index(y, slice(half, 2 * half))
        y = concatenate([paired, index(y, slice(2 * half, n))]) if n % 2 else paired
        n = half + n % 2
    return reshape(y, kept if keepdims else rest)


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
    return log(sum(exp(x - top), axis, keepdims=True)) + top


def _axis_samples(rng: Any) -> list[Any]:
    return [((3.0 * rng.normal(size=(3, 4)),), {"axis": axis}) for axis in (0, 1, (0, 1))]


logsumexp_row = Fused(
    "logsumexp",
    array=_logsumexp,
    pullback=lambda g, out, x, axis: g * exp(x - out),
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
    """log Σ eˣ over ``axis`` without overflow; as scipy.special.logsumexp."""
    _count(x, axis, "logsumexp")
    axes = _axes(x, axis, "logsumexp")
    out = logsumexp_row(x, axis=axes)
    return out if keepdims else reshape(out, [n for i, n in enumerate(shape(x)) if i not in axes])


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ along ``axis``: positive numbers that add up to 1."""
    _count(x, axis, "softmax")
    return softmax_row(x, axis=check_axis(axis, ndim(x), "softmax"))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of :func:`softmax`, precise also where softmax underflows."""
    _count(x, axis, "log_softmax")
    return log_softmax_row(x, axis=check_axis(axis, ndim(x), "log_softmax"))


@quietly
def log_sigmoid(x: Any) -> Any:
    """The logarithm of :func:`sigmoid`, precise on both sides."""
    return -softplus(-x)


# Lengths


@quietly
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The length of vectors, or the Frobenius norm of anything; as numpy.linalg.norm.

    The derivative at the zero vector is 0. The 2-norm neither overflows nor underflows.

    Args:
        ord: None or "fro" (root of the sum of squares, over any axes); over a single axis also 2
            (the same), 1, ``inf``, ``-inf``, 0 (how many are not 0), or any other number p:
            (Σ|x|ᵖ)^(1/p). Matrix norms other than Frobenius's are not supported.
        axis: an int, a tuple, or None for all axes.
    """
    x = _floating(x)
    if ord in (None, "fro") or (ord == 2 and len(_axes(x, axis, "norm")) <= 1):
        return _euclidean(x, axis, keepdims)
    if isinstance(ord, str) or ord != ord:
        raise UsageError(f"norm: unknown ord {ord!r}; use None, 'fro', inf, -inf or a number")
    if len(_axes(x, axis, "norm")) > 1:
        raise UsageError(
            f"norm: ord={ord!r} over {len(_axes(x, axis, 'norm'))} axes would be a matrix norm, "
            "which is not supported; give one axis, mg.ravel(x) for the vector norm, or "
            "ord='fro' for the Frobenius norm"
        )
    size = absolute(x)
    if ord == np.inf:
        return max(size, axis, keepdims)
    if ord == -np.inf:
        return min(size, axis, keepdims)
    if ord == 0:
        return sum(sign(size), axis, keepdims)
    if ord == 1:
        return sum(size, axis, keepdims)
    total = sum(power(size, float(ord)), axis, keepdims)
    nothing = equal(data_of(total), 0.0)
    return where(nothing, 0.0, power(where(nothing, 1.0, total), 1.0 / float(ord)))


def _euclidean(x: Any, axis: Any, keepdims: bool) -> Any:
    if 0 in shape(x):
        return _root(sum(x * x, axis, keepdims))
    top = max(absolute(data_of(x)), axis, keepdims=True)
    limits = np.finfo(np.asarray(data_of(x)).dtype)
    tiny = float(limits.tiny) ** 0.5 / float(limits.eps)
    huge = float(limits.max) ** 0.5 * float(limits.eps) ** 0.5
    extreme = logical_and(logical_or(less(top, tiny), less(huge, top)), isfinite(top))
    scale = where(logical_and(extreme, not_equal(top, 0.0)), top, 1.0)
    scaled = x / scale  # by exactly 1, except where squares would leave the floating-point range
    length = _root(sum(scaled * scaled, axis, keepdims))
    return length * (scale if keepdims else reshape(scale, shape(length)))


# Bounds and bends


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """``x`` held between ``min`` and ``max`` (either may be None); as numpy.clip."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


@quietly
def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """``x`` where positive, ``slope``·x elsewhere; the slope may be learned."""
    return where(less(0.0, x), x, slope * x)


@quietly
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """``x`` where positive, ``alpha``·(eˣ − 1) elsewhere."""
    above = less(0.0, x)
    return where(above, x, alpha * expm1(where(above, 0.0, x)))


# Sorting


def sort(x: Any, axis: int | None = -1) -> Any:
    """The entries in ascending order along ``axis``, flattened when it is None; a stable sort."""
    x = _floating(x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = check_axis(axis, ndim(x), "sort")
    order = np.argsort(data_of(x), axis=axis, kind="stable")
    grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in shape(x))])
    grid[axis] = order
    return index(x, tuple(grid))
