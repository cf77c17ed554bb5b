"""The factors A and G of layers: measured in a pass, averaged, damped and inverted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine.graph import Array, Node
from microgradopt.engine.sweeps import pullback
from microgradopt.errors import LinAlgError, NonFiniteError
from microgradopt.optim.kronecker.layers import Layer

State = dict[str, Any]  # of a layer: A, G, their damped inverses, and how often they were measured


def unmeasured(layer: Layer) -> State:
    """The state of a layer that nothing was seen of."""
    m = math.prod(layer.weight.data.shape[1:]) + layer.trains_bias
    sizes = {"A": m, "G": layer.outs, "A_inverse": m, "G_inverse": layer.outs}
    dtype = layer.weight.data.dtype
    zeros = {key: np.zeros((*layer.lead, n, n), dtype) for key, n in sizes.items()}
    return {**zeros, "measured": 0}


class Call(NamedTuple):
    """A call of a layer: its input, and the node that it returned."""

    layer: Layer
    x: Array
    out: Node


class _Sums:
    """A and G of a layer while they are added up, and over how many rows."""

    def __init__(self) -> None:
        self.A: Any = 0.0
        self.G: Any = 0.0
        self.rows = 0


def moments(
    calls: Sequence[Call], z: Node, cotangents: Iterable[Array], cases: int
) -> dict[Layer, tuple[Array, Array]]:
    """A and G of each layer, from its calls on the way to the outputs ``z``."""
    sums: dict[Layer, _Sums] = {call.layer: _Sums() for call in calls}
    for layer, x, out in calls:
        own = sums[layer]
        own.rows += layer.results(out.data).shape[-2]
        for a in layer.rows(x):
            own.A = own.A + _gram(_with_ones(a) if layer.trains_bias else a)
    wanted = {call.out for call in calls}
    for c in cotangents if calls else ():
        found = pullback({z: c}, wanted=wanted)
        for layer, _, out in calls:
            g = np.broadcast_to(found[out], out.data.shape)  # a 0 where nothing came back
            sums[layer].G = sums[layer].G + _gram(layer.results(g))
    return {layer: (own.A / cases, own.G / own.rows) for layer, own in sums.items()}


def _with_ones(a: Array) -> Array:
    return np.concatenate([a, np.ones((*a.shape[:-1], 1), a.dtype)], axis=-1)


def _gram(rows: Array) -> Array:
    return rows.swapaxes(-1, -2) @ rows


def averaged(
    layer: Layer, state: State, found: tuple[Array, Array], decay: float, damping: float
) -> State:
    """The state with another measurement in its averages, and their damped inverses.

    Raises:
        NonFiniteError: if the measurement is NaN or infinite.
        LinAlgError: if an average has no inverse.
    """
    if not all(np.isfinite(x).all() for x in found):
        raise NonFiniteError(
            f"the inputs or derivatives of the layer with {layer.name!r} are NaN or infinite, or "
            "their squares are; nothing was updated. Lower the learning rate, or scale the inputs"
        )
    count = state["measured"] + 1
    keep = min(1.0 - 1.0 / count, decay)
    A, G = (keep * state[key] + (1.0 - keep) * x for key, x in zip("AG", found))
    over_A, over_G = damped_inverses(A, G, damping, layer.name)
    return {"A": A, "G": G, "A_inverse": over_A, "G_inverse": over_G, "measured": count}


def damped_inverses(A: Array, G: Array, damping: float, name: str) -> tuple[Array, Array]:
    """(A + π√λ I)⁻¹ and (G + √λ/π I)⁻¹, where π² is the ratio of their mean eigenvalues."""
    a, g = (np.trace(x, axis1=-2, axis2=-1, dtype=np.float64) / x.shape[-1] for x in (A, G))
    known = (a > 0.0) & (g > 0.0)
    ratio = np.sqrt(np.where(known, a, 1.0) / np.where(known, g, 1.0))
    root = math.sqrt(damping)
    try:
        return _inverse(A, root * ratio), _inverse(G, root / ratio)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"KFAC: a factor of the layer with {name!r} has no inverse at damping={damping:g}; "
            "raise damping, or take larger batches"
        ) from None


def _inverse(x: Array, shift: Any) -> Array:
    """(x + shift·I)⁻¹ of symmetric matrices, computed in float64."""
    whole = x + np.multiply.outer(shift, np.eye(x.shape[-1]))
    root = np.linalg.inv(np.linalg.cholesky(whole))
    return (root.swapaxes(-1, -2) @ root).astype(x.dtype)
