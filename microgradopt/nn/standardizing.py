"""The row that all layers of normalization share: to mean 0 and variance 1, and on from there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.ops.elementwise import sqrt
from microgradopt.engine.reductions import mean
from microgradopt.engine.rules import Fused, unbroadcast
from microgradopt.nn.weights import with_bias

Axes = tuple[int, ...]


def _dot(x: Array, y: Array, axis: Axes) -> Array:
    """Σ x·y over some axes, which stay with length 1."""
    every = list(range(x.ndim))
    total = np.einsum(x, every, y, every, [a for a in every if a not in axis])
    return np.asarray(total).reshape([1 if a in axis else n for a, n in enumerate(x.shape)])


def _normalise(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axes,
    eps: float,
    centred: bool,
    moments: tuple[Array, Array] | None = None,
) -> tuple[Array, tuple[Array, Array]]:
    """The result; and, for the pullback, what was normalised and by how much it was scaled."""
    n = math.prod(x.shape[a] for a in axis)
    if centred:
        middle = np.add.reduce(x, axis, keepdims=True) / n if moments is None else moments[0]
        standard = x - middle
    else:
        standard = np.array(x)
    spread = _dot(standard, standard, axis) / n if moments is None else moments[1]
    scale = 1.0 / np.sqrt(spread + eps)
    standard *= scale
    out = standard if weight is None else standard * weight
    return (out if bias is None else with_bias(out, bias)), (standard, scale)


def _pull_normalised(
    g: Array,
    out: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axes,
    eps: float,
    centred: bool,
    saved: tuple[Array, Array],
    moments: tuple[Array, Array] | None = None,
) -> tuple[Array | None, ...]:
    """(S. Ioffe and C. Szegedy, "Batch normalization", 2015, section 3, in one formula.)"""
    standard, scale = saved
    n = math.prod(x.shape[a] for a in axis)
    by_weight = by_bias = None
    one_weight = weight is not None and _is_even(weight.shape, x.ndim, axis)
    if weight is not None and not one_weight:
        by_weight = unbroadcast(g * standard, weight.shape)
        by_bias = None if bias is None else unbroadcast(g, bias.shape)
        g = g * weight
    total = np.add.reduce(g, axis, keepdims=True)
    along = _dot(g, standard, axis)
    if weight is not None and one_weight:
        by_weight = unbroadcast(along, weight.shape)
        by_bias = None if bias is None else unbroadcast(total, bias.shape)
        scale = scale * weight
    d = standard * (along / -n)
    d += g
    if centred:
        d -= total / n
    d *= scale
    return d, by_weight, by_bias


def _is_even(weight: tuple[int, ...], ndim: int, axis: Axes) -> bool:
    """Whether a weight is the same for all entries that are normalised together."""
    lacking = ndim - len(weight)
    return all(a < lacking or weight[a - lacking] == 1 for a in axis)


def _in_rows(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    axis: Axes,
    eps: float,
    centred: bool,
    moments: Any = None,
) -> Any:
    away = x - mean(x, axis, keepdims=True) if centred else x
    out = away / sqrt(mean(away * away, axis, keepdims=True) + eps)
    if weight is not None:
        out = out * weight
    return out if bias is None else out + bias


normalise = Fused(
    "normalise",
    symbol="norm",
    array=_normalise,
    saves=True,
    pullback=_pull_normalised,
    composite=_in_rows,
    sample=lambda rng: [
        (
            (2.0 + rng.normal(size=(3, 2, 4)), *(rng.normal(size=s) for s in weights)),
            {"axis": axis, "eps": 0.1, "centred": centred},
        )
        for axis, centred, weights in (
            ((0, 2), True, [(2, 1), (2, 1)]),
            ((1, 2), True, [(2, 4), (2, 4)]),
            ((2,), False, [(4,)]),
            ((0, 2), True, []),
        )
    ],
    doc="(x − mean) / √(variance + eps) over some axes, times a weight, plus a bias. The two "
    "``moments`` are given where they are known already",
)
