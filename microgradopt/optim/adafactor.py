"""Adafactor: Adam's division with row and column sums in place of a second moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.engine.norms import norm
from microgradopt.engine.ops import shapes
from microgradopt.engine.ops.elementwise import maximum, sqrt
from microgradopt.errors import UsageError
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.sgd import ascent
from microgradopt.optim.signs import falling
from microgradopt.optim.transforms import Hyper, Transform, chain, transform_of, zeros_like


def scale_by_factored_rms(beta2_decay: Hyper = -0.8, eps: Hyper | None = None) -> Transform:
    """g/√v, where v averages g² with weights that change with the step.

    v ← v + t^beta2_decay·(g² − v). Of a matrix (or a stack of matrices in the last two axes) only
    the means R of the rows and C of the columns are averaged, and v = R·C/max(mean R, eps).

    Shazeer and Stern 2018, algorithm 4, in torch's form: v is at least eps².

    Args:
        beta2_decay: at most 0.
        eps: None for the dtype's own machine epsilon.
    """
    _check_decay(beta2_decay)

    def apply(
        g: Any, state: Any, x: Any, beta2_decay: float, eps: float | None = None
    ) -> tuple[Any, dict[str, Any]]:
        _check_decay(beta2_decay)
        step = state["step"] + 1
        weight = step**beta2_decay
        least = float(np.finfo(g.dtype).eps) if eps is None else eps
        after: dict[str, Any] = {"step": step}
        squares = g * g
        if "variance" in state:
            v = after["variance"] = _towards(state["variance"], squares, weight)
        else:
            rows = after["row_var"] = _towards(state["row_var"], _mean(squares, -1), weight)
            columns = after["col_var"] = _towards(state["col_var"], _mean(squares, -2), weight)
            v = rows * columns / maximum(_mean(rows, -2), least)
        return g / sqrt(maximum(v, least * least)), after

    def start(x: Any) -> dict[str, Any]:
        if len(x.shape) < 2:
            return {"variance": zeros_like(x), "step": 0}
        return {
            "row_var": zeros_like(_mean(x, -1)),
            "col_var": zeros_like(_mean(x, -2)),
            "step": 0,
        }

    own: dict[str, Any] = {} if eps is None else {"eps": eps}
    return transform_of("scale_by_factored_rms", apply, start, beta2_decay=beta2_decay, **own)


def clip_by_rms(d: Hyper) -> Transform:
    """Each array to a root mean square of at most ``d``; a smaller one stays as it is."""
    return transform_of(
        "clip_by_rms", lambda g, state, x, d: (g / maximum(_rms(g) / d, 1.0), state), d=d
    )


def scale_by_relative_step(lr: Hyper, eps: Hyper = 1e-3, weight_decay: Hyper = 0.0) -> Transform:
    """−max(eps, RMS(x))·min(lr, 1/√t)·g − lr·weight_decay·x: steps in proportion to x.

    Shazeer and Stern 2018, algorithm 5, in torch's form, where the rate is a bound.
    """

    def apply(
        g: Any, state: Any, x: Any, lr: float, eps: float, weight_decay: float
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        update = -min(lr, step**-0.5) * maximum(_rms(x), eps) * g
        if weight_decay != 0.0:
            update -= (lr * weight_decay) * x
        return update, {"step": step}

    return transform_of(
        "scale_by_relative_step",
        apply,
        lambda x: {"step": 0},
        lr=lr,
        eps=eps,
        weight_decay=weight_decay,
    )


def _check_decay(beta2_decay: Hyper) -> None:
    if not callable(beta2_decay) and beta2_decay > 0.0:
        raise UsageError(
            f"Adafactor: beta2_decay must be at most 0; got {beta2_decay!r}. A new square weighs "
            "step**beta2_decay in the average, which must not grow"
        )


def _towards(x: Any, y: Any, weight: float) -> Any:
    return x + weight * (y - x)


def _mean(x: Any, axis: int) -> Any:
    """The mean along an axis, which stays with length 1; of nothing, 0."""
    return shapes.sum(x, axis, True) / max(x.shape[axis], 1)


def _rms(x: Any) -> Any:
    """The root mean square; of nothing, 0."""
    return norm(x) / max(x.size, 1) ** 0.5


def adafactor(
    lr: Hyper,
    beta2_decay: Hyper,
    eps: tuple[Hyper | None, Hyper],
    d: Hyper,
    weight_decay: Hyper,
    maximize: bool,
) -> Transform:
    """The chain of :class:`Adafactor`."""
    least_square, least_size = eps
    return chain(
        *ascent(maximize),
        scale_by_factored_rms(beta2_decay, least_square),
        clip_by_rms(d),
        scale_by_relative_step(lr, least_size, weight_decay),
    )


class Adafactor(Optimizer):
    """x ← x − α·u − lr·λ·x, where u is g/√v, clipped, and v is kept as rows and columns only.

    Shazeer and Stern 2018, algorithms 4 and 5, with torch's names, defaults and formulas: a matrix
    (m, n) costs m + n numbers of state. α = max(eps[1], RMS(x))·min(lr, 1/√t).

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the largest relative step. Any number here may be a schedule.
        beta2_decay: how the average of squares forgets; see :func:`scale_by_factored_rms`.
        eps: the smallest root of v, None for the dtype's machine epsilon; and the smallest size
            that a parameter is taken to have.
        d: the largest root mean square of u, at least 1.
        weight_decay: λ, decoupled.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> W = mg.Tensor([[3.0, 4.0], [5.0, 6.0]])
    >>> optimizer = mg.optim.Adafactor([W], lr=0.1)
    >>> mg.sum(W * W).backward()
    >>> optimizer.step()
    >>> optimizer.state[0]["0"]["scale_by_factored_rms"]["row_var"]
    array([[ 50.],
           [122.]])
    """

    samples = (
        {"lr": 0.05},
        {"lr": falling, "beta2_decay": -0.5, "eps": (1e-8, 1e-2), "d": 2.0, "weight_decay": 1e-5},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-2,
        beta2_decay: Hyper = -0.8,
        eps: tuple[Hyper | None, Hyper] = (None, 1e-3),
        d: Hyper = 1.0,
        weight_decay: Hyper = 0.0,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, adafactor, **given(locals()))
