"""Transforms that bound gradients: entry by entry, array by array, or all together."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradopt.engine.composites import clip
from microgradopt.engine.norms import norm
from microgradopt.engine.ops.elementwise import minimum
from microgradopt.engine.ops.shapes import astype, stack
from microgradopt.engine.rules import data_of
from microgradopt.optim.transforms import Hyper, Named, Transform, at, check_hyper, transform_of

EPS = 1e-6  # torch's, which keeps a clipped norm a hair below the limit


def clip_by_value(limit: Hyper) -> Transform:
    """Entries into [−limit, limit]; torch's ``clip_grad_value_``."""
    return transform_of(
        "clip_by_value",
        lambda g, state, x, limit: (clip(g, -limit, limit), state),
        entrywise=True,
        limit=limit,
    )


def clip_by_norm(max_norm: Hyper) -> Transform:
    """Each array by itself to a 2-norm of at most ``max_norm``; a shorter one stays as it is."""
    return transform_of(
        "clip_by_norm",
        lambda g, state, x, max_norm: (_shrunk(g, norm(g), max_norm), state),
        max_norm=max_norm,
    )


def clip_by_global_norm(max_norm: Hyper) -> Transform:
    """All arrays together to a 2-norm of at most ``max_norm``; torch's ``clip_grad_norm_``.

    >>> import numpy as np
    >>> rule = clip_by_global_norm(1.0)
    >>> rule.update({"a": np.array([3.0]), "b": np.array([4.0])}, {}, {}, 1)[0]
    {'a': array([0.59999988]), 'b': array([0.79999984])}
    """
    check_hyper("clip_by_global_norm", "max_norm", max_norm)

    def update(g: Named, state: Any, params: Named, step: int) -> tuple[Named, Any]:
        limit = at(max_norm, step)
        total = norm(stack([norm(x) for x in g.values()])) if g else 0.0
        return {name: _shrunk(x, total, limit) for name, x in g.items()}, state

    return Transform(lambda params: {}, update, "clip_by_global_norm", {"max_norm": max_norm})


def _shrunk(g: Any, length: Any, limit: float) -> Any:
    """``g``, scaled as a vector of ``length`` must be to come below the limit."""
    factor = minimum(limit / (length + EPS), 1.0)
    return g * astype(factor, np.result_type(data_of(g)))
