"""Muon: momentum, orthogonalized; for matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.norms import norm
from microgradopt.engine.ops.elementwise import maximum
from microgradopt.engine.ops.shapes import transpose
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import check_choice
from microgradopt.optim.sgd import downhill
from microgradopt.optim.signs import falling
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    transform_of,
    zeros_like,
)

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # Jordan's: a steep start, and singular values near 1
ADJUSTMENTS = ("original", "match_rms_adamw")


def orthogonalized(
    g: Any,
    ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
    ns_steps: int = 5,
    eps: float = 1e-7,
) -> Any:
    """About UVᵀ for a matrix g = UΣVᵀ: its singular values brought near 1.

    The Newton–Schulz iteration X ← aX + (bA + cA²)X with A = XXᵀ, from g/max(‖g‖, eps), in the
    dtype of g. With the usual coefficients the singular values end up between .7 and 1.2, not at 1.

    >>> import numpy as np
    >>> np.linalg.svd(orthogonalized(np.array([[3.0, 1.0], [1.0, 0.5]])))[1].round(2)
    array([0.8, 0.7])
    """
    a, b, c = ns_coefficients
    tall = g.shape[0] > g.shape[1]
    x = transpose(g) if tall else g
    x = x / maximum(norm(x), eps)
    for _ in range(ns_steps):
        gram = x @ transpose(x)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return transpose(x) if tall else x


def scale_by_muon(
    momentum: Hyper = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[Hyper, Hyper, Hyper] = COEFFICIENTS,
    eps: Hyper = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> Transform:
    """The average b ← μb + (1−μ)g, or with ``nesterov`` μb + (1−μ)g, orthogonalized and scaled.

    Args:
        ns_coefficients, ns_steps, eps: see :func:`orthogonalized`.
        adjust_lr_fn: the factor for a matrix (m, n): ``"original"``, which None stands for,
            √max(1, m/n); ``"match_rms_adamw"`` 0.2·√max(m, n), the size of AdamW's steps.

    Raises:
        ShapeError: at ``init``, for an array that is not a matrix.
    """
    adjustment = "original" if adjust_lr_fn is None else adjust_lr_fn
    check_choice("Muon", "adjust_lr_fn", adjustment, ADJUSTMENTS)
    if isinstance(ns_steps, bool) or not isinstance(ns_steps, int) or not 0 <= ns_steps < 100:
        raise UsageError(f"Muon: ns_steps must be an int from 0 to 99, got {ns_steps!r}")

    def apply(
        g: Any,
        state: Any,
        x: Any,
        momentum: float,
        eps: float,
        ns_a: float,
        ns_b: float,
        ns_c: float,
    ) -> tuple[Any, dict[str, Any]]:
        b = momentum * state["momentum_buffer"]
        b += (1.0 - momentum) * g
        direction = momentum * b + (1.0 - momentum) * g if nesterov else b
        update = orthogonalized(direction, (ns_a, ns_b, ns_c), ns_steps, eps)
        return _adjusted(adjustment, g.shape) * update, {"momentum_buffer": b}

    def start(x: Any) -> dict[str, Any]:
        _check_matrix("an array", x.shape)
        return {"momentum_buffer": zeros_like(x)}

    ns_a, ns_b, ns_c = ns_coefficients
    return transform_of(
        "scale_by_muon",
        apply,
        start,
        flags={"nesterov": nesterov, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn},
        momentum=momentum,
        eps=eps,
        ns_a=ns_a,
        ns_b=ns_b,
        ns_c=ns_c,
    )


def _adjusted(adjustment: str, shape: tuple[int, ...]) -> float:
    m, n = shape
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(m, n))
    return math.sqrt(max(1.0, m / max(n, 1)))


def _check_matrix(what: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ShapeError(
            f"Muon: {what} has shape {shape}, but only matrices can be orthogonalized; give the "
            "parameters of other shapes to another optimizer, such as AdamW"
        )


def muon(
    lr: Hyper,
    weight_decay: Hyper,
    momentum: Hyper,
    nesterov: bool,
    ns_coefficients: tuple[Hyper, Hyper, Hyper],
    eps: Hyper,
    ns_steps: int,
    adjust_lr_fn: str | None,
) -> Transform:
    """The chain of :class:`Muon`."""
    direction = scale_by_muon(momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn)
    return downhill([direction], lr, weight_decay, maximize=False, decoupled=True)


class Muon(Optimizer):
    """x ← x − lr·(s·O + λx), O being the averaged gradient with singular values brought near 1.

    Jordan et al. 2024, with torch's names, defaults and formulas, except that the Newton–Schulz
    iteration runs in the parameter's dtype, where torch rounds to bfloat16.

    Args:
        params: matrices, pairs (name, matrix), or groups.
        lr: the learning rate. It and the other numbers, except ``ns_steps``, may be schedules.
        weight_decay: λ, decoupled.
        momentum, nesterov, ns_coefficients, eps, ns_steps: see :func:`scale_by_muon`.
        adjust_lr_fn: how s follows from the shape; see :func:`scale_by_muon`.
        nonfinite: see :class:`Optimizer`.

    Raises:
        ShapeError: for a parameter that is not two-dimensional.

    >>> import microgradopt as mg
    >>> model = mg.nn.MLP(2, [4, 3], rng=0)
    >>> matrices = [(name, p) for name, p in model.named_parameters() if p.ndim == 2]
    >>> others = [(name, p) for name, p in model.named_parameters() if p.ndim != 2]
    >>> mg.optim.Muon(matrices, lr=0.02), mg.optim.AdamW(others, lr=3e-4)
    (Muon(2 parameters, 0 steps taken), AdamW(2 parameters, 0 steps taken))
    """

    only_matrices = True
    samples = (
        {"lr": falling, "weight_decay": 1e-5},
        {
            "lr": falling,
            "weight_decay": 0.0,
            "momentum": 0.8,
            "nesterov": False,
            "adjust_lr_fn": "match_rms_adamw",
        },
        {
            "lr": falling,
            "weight_decay": 0.0,
            "ns_coefficients": (2.0, -1.5, 0.5),
            "ns_steps": 8,
            "adjust_lr_fn": "original",
        },
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        weight_decay: Hyper = 0.1,
        momentum: Hyper = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[Hyper, Hyper, Hyper] = COEFFICIENTS,
        eps: Hyper = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, muon, **given(locals()))

    def check_parameter(self, name: str, p: Node) -> None:
        """Refuse what is no matrix."""
        _check_matrix(f"the parameter {name!r}", np.shape(p.data))
