"""Adagrad and Adadelta: each entry's step divided by the size of its gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.engine.ops.elementwise import sqrt
from microgradopt.optim.adam import root_of
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion, check_choice
from microgradopt.optim.sgd import downhill
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    at,
    check_hyper,
    transform_of,
    zeros_like,
)

EPS_MODES = ("outside", "inside")


def scale_by_adagrad(
    lr_decay: Hyper = 0.0,
    initial_accumulator_value: Hyper = 0.0,
    eps: Hyper = 1e-10,
    *,
    eps_mode: str = "outside",
) -> Transform:
    """g/(√s + eps), with s the sum of all squared gradients (Duchi et al. 2011, figure 1).

    Args:
        lr_decay: divides the update in step t by 1 + (t − 1)·lr_decay.
        initial_accumulator_value: what s starts from.
        eps_mode: ``"outside"`` √s + eps, or ``"inside"`` √(s + eps).
    """
    check_choice("scale_by_adagrad", "eps_mode", eps_mode, EPS_MODES)
    check_hyper("scale_by_adagrad", "initial_accumulator_value", initial_accumulator_value)

    def apply(
        g: Any, state: Any, x: Any, lr_decay: float, eps: float, scale: float = 1.0
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        total = g * g
        total += state["sum"]
        update = (scale / (1.0 + (step - 1) * lr_decay)) * g
        update /= root_of(total, 1.0, eps, eps_mode)
        return update, {"sum": total, "step": step}

    return transform_of(
        "scale_by_adagrad",
        apply,
        lambda x: {"sum": filled(x, initial_accumulator_value), "step": 0},
        entrywise=True,
        scales=True,
        flags={"initial_accumulator_value": initial_accumulator_value, "eps_mode": eps_mode},
        lr_decay=lr_decay,
        eps=eps,
    )


def filled(x: Any, value: Hyper) -> Any:
    """An array like x, full of a number; of a schedule, its first."""
    return np.full_like(x, at(value, 1))


def scale_by_adadelta(rho: Hyper = 0.9, eps: Hyper = 1e-6) -> Transform:
    """u = √((Δ + eps)/(v + eps))·g, in the units of x (Zeiler 2012, algorithm 1).

    v ← ρ·v + (1−ρ)g² averages the squared gradients, Δ ← ρ·Δ + (1−ρ)u² the squared updates.
    """

    def apply(g: Any, state: Any, x: Any, rho: float, eps: float) -> tuple[Any, dict[str, Any]]:
        v = rho * state["square_avg"]
        v += (1.0 - rho) * (g * g)
        update = sqrt(state["acc_delta"] + eps)
        update /= sqrt(v + eps)
        update *= g
        moved = rho * state["acc_delta"]
        moved += (1.0 - rho) * (update * update)
        return update, {"square_avg": v, "acc_delta": moved}

    return transform_of(
        "scale_by_adadelta",
        apply,
        lambda x: {"square_avg": zeros_like(x), "acc_delta": zeros_like(x)},
        entrywise=True,
        rho=rho,
        eps=eps,
    )


def adagrad(
    lr: Hyper,
    lr_decay: Hyper,
    weight_decay: Hyper,
    initial_accumulator_value: Hyper,
    eps: Hyper,
    maximize: bool,
    decoupled_weight_decay: bool,
    eps_mode: str,
) -> Transform:
    """The chain of :class:`Adagrad`."""
    direction = scale_by_adagrad(lr_decay, initial_accumulator_value, eps, eps_mode=eps_mode)
    return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)


def adadelta(
    lr: Hyper,
    rho: Hyper,
    eps: Hyper,
    weight_decay: Hyper,
    maximize: bool,
    decoupled_weight_decay: bool,
) -> Transform:
    """The chain of :class:`Adadelta`."""
    direction = scale_by_adadelta(rho, eps)
    return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)


class Adagrad(Optimizer):
    """x ← x − lr·g/(√s + eps), s ← s + g²: the more an entry has moved, the smaller its rate.

    Duchi, Hazan and Singer 2011, with torch's names and defaults.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It and every other number may be schedules.
        lr_decay: how fast the rate falls besides: in step t it is lr/(1 + (t − 1)·lr_decay).
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` to
            the direction, where s does not see it.
        initial_accumulator_value: what s starts from; of a schedule, its first value.
        eps: keeps the division finite; see ``eps_mode``.
        maximize: goes up instead of down.
        eps_mode: ``"outside"`` √s + eps, torch's; ``"inside"`` √(s + eps), keras's and optax's.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Adagrad([x], lr=0.1)
    >>> for _ in range(2):
    ...     x.grad = 5.0
    ...     optimizer.step()
    ...     print(round(x.data, 6))
    0.9
    0.829289
    """

    samples = (
        {"lr": 0.5},
        {"lr": 0.5, "lr_decay": 0.001, "weight_decay": 1e-4},
        {"lr": 0.5, "initial_accumulator_value": 0.1, "eps": 1e-7, "eps_mode": "inside"},
        {"lr": 0.5, "weight_decay": 1e-5, "decoupled_weight_decay": True},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-2,
        lr_decay: Hyper = 0.0,
        weight_decay: Hyper = 0.0,
        initial_accumulator_value: Hyper = 0.0,
        eps: Hyper = 1e-10,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        eps_mode: str = "outside",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, adagrad, **given(locals()))


class Adadelta(Optimizer):
    """x ← x − lr·√((Δ + eps)/(v + eps))·g: needs no rate, since Δ measures the steps themselves.

    Zeiler 2012, algorithm 1, with torch's names and defaults.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: a factor of the update, 1 in the paper. Where g vanishes the root tends to 1, and the
            step to that of gradient descent: there lr must suit the curvature. It and every other
            number may be schedules.
        rho: how much the averages of squared gradients v and of squared updates Δ keep.
        eps: starts the steps, of about √eps at first, and keeps the division finite.
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` to
            the direction.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Adadelta([x], rho=0.75, eps=1e-4)
    >>> x.grad = 5.0
    >>> optimizer.step()  # by √(eps/(0.25·5² + eps))·5
    >>> round(x.data, 6)
    0.98
    """

    samples = (
        {"lr": 0.2, "eps": 0.1},
        {"lr": 0.1, "rho": 0.95, "eps": 0.01, "weight_decay": 1e-5},
        {"lr": 0.2, "eps": 0.1, "weight_decay": 1e-5, "decoupled_weight_decay": True},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1.0,
        rho: Hyper = 0.9,
        eps: Hyper = 1e-6,
        weight_decay: Hyper = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, adadelta, **given(locals()))
