"""RMSprop: gradients divided by the root of their recent mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradopt.engine.ops.elementwise import maximum
from microgradopt.errors import UsageError
from microgradopt.optim.adam import root_of
from microgradopt.optim.adaptive import EPS_MODES, filled
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion, check_choice
from microgradopt.optim.sgd import ascent, decay, downhill, momentum
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    chain,
    check_hyper,
    scale_by_learning_rate,
    transform_of,
    zeros_like,
)


def scale_by_rms(
    alpha: Hyper = 0.99,
    eps: Hyper = 1e-8,
    *,
    centered: bool = False,
    bias_correction: bool = False,
    initial_accumulator_value: Hyper = 0.0,
    eps_mode: str = "outside",
) -> Transform:
    """g/(√v + eps), with the average v ← α·v + (1−α)g² (Tieleman and Hinton 2012, lecture 6.5).

    Args:
        centered: divides by the deviation √(v − m²) with m ← α·m + (1−α)g (Graves 2013, equation
            38). Where rounding leaves v − m² below 0, it counts as 0.
        bias_correction: divides v and m by 1 − αᵗ, for the zeros they start from.
        initial_accumulator_value: what v starts from.
        eps_mode: ``"outside"`` √v + eps, or ``"inside"`` √(v + eps).
    """
    check_choice("scale_by_rms", "eps_mode", eps_mode, EPS_MODES)
    check_hyper("scale_by_rms", "initial_accumulator_value", initial_accumulator_value)

    def apply(
        g: Any, state: Any, x: Any, alpha: float, eps: float, scale: float = 1.0
    ) -> tuple[Any, dict[str, Any]]:
        squares = (1.0 - alpha) * g
        squares *= g
        v = alpha * state["square_avg"]
        v += squares
        after = {"square_avg": v}
        if bias_correction:
            step = after["step"] = state["step"] + 1
            v = v / (1.0 - alpha**step)
        if centered:
            m = alpha * state["grad_avg"]
            m += (1.0 - alpha) * g
            after["grad_avg"] = m
            if bias_correction:
                m = m / (1.0 - alpha**step)
            v = maximum(v - m * m, 0.0)
        update = scale * g
        update /= root_of(v, 1.0, eps, eps_mode)
        return update, after

    def start(x: Any) -> dict[str, Any]:
        state = {"square_avg": filled(x, initial_accumulator_value)}
        if bias_correction:
            state["step"] = 0
        if centered:
            state["grad_avg"] = zeros_like(x)
        return state

    return transform_of(
        "scale_by_rms",
        apply,
        start,
        entrywise=True,
        scales=True,
        flags={
            "centered": centered,
            "bias_correction": bias_correction,
            "initial_accumulator_value": initial_accumulator_value,
            "eps_mode": eps_mode,
        },
        alpha=alpha,
        eps=eps,
    )


def rmsprop(
    lr: Hyper,
    alpha: Hyper,
    eps: Hyper,
    weight_decay: Hyper,
    momentum: Hyper,
    centered: bool,
    maximize: bool,
    nesterov: bool,
    lr_in_velocity: bool,
    decoupled_weight_decay: bool,
    bias_correction: bool,
    initial_accumulator_value: Hyper,
    eps_mode: str,
) -> Transform:
    """The chain of :class:`RMSprop`."""
    if nesterov and momentum == 0.0:
        raise UsageError("RMSprop: nesterov=True needs momentum above 0")
    direction = scale_by_rms(
        alpha,
        eps,
        centered=centered,
        bias_correction=bias_correction,
        initial_accumulator_value=initial_accumulator_value,
        eps_mode=eps_mode,
    )
    if momentum == 0.0:
        return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)
    velocity = _momentum(momentum, 0.0, nesterov)
    if not lr_in_velocity:
        return downhill([direction, velocity], lr, weight_decay, maximize, decoupled_weight_decay)
    steps = [direction, scale_by_learning_rate(lr), velocity]
    if decoupled_weight_decay:
        return chain(*ascent(maximize), *steps, _shrink(lr, weight_decay))
    return chain(*ascent(maximize), *decay(weight_decay), *steps)


def _shrink(lr: Hyper, weight_decay: Hyper) -> Transform:
    """Decoupled decay of what has the rate in it already."""
    return transform_of(
        "shrink",
        lambda g, state, x, lr, weight_decay: (g - (lr * weight_decay) * x, state),
        entrywise=True,
        lr=lr,
        weight_decay=weight_decay,
    )


_momentum = momentum  # an argument of rmsprop has this name


class RMSprop(Optimizer):
    """x ← x − lr·g/(√v + eps), v ← α·v + (1−α)g²: gradients divided by their recent size.

    Tieleman and Hinton 2012, lecture 6.5, with torch's names and defaults.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It and every other number may be schedules.
        alpha: how much the average of squares keeps.
        eps: keeps the division finite; see ``eps_mode``.
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` takes
            lr·weight_decay·x off the parameter.
        momentum: μ in b ← μ·b + g/(√v + eps); then x ← x − lr·b.
        centered: divides by the gradients' deviation from their average (Graves 2013).
        maximize: goes up instead of down.
        nesterov: steps along g/(√v + eps) + μ·b instead of b.
        lr_in_velocity: b ← μ·b + lr·g/(√v + eps); x ← x − b, keras's and optax's form, which
            differs once the rate changes.
        bias_correction: divides averages by 1 − αᵗ, as Adam does.
        initial_accumulator_value: what v starts from; of a schedule, its first value.
        eps_mode: ``"outside"`` √v + eps, torch's; ``"inside"`` √(v + eps), keras's and optax's.
        no_decay, nonfinite: see :class:`Optimizer`.

    Raises:
        UsageError: for Nesterov without momentum.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.RMSprop([x], lr=0.1, alpha=0.75)
    >>> x.grad = 5.0
    >>> optimizer.step()  # by 0.1·5/√(0.25·5²)
    >>> round(x.data, 6)
    0.8
    """

    samples = (
        {"lr": 0.05, "eps": 0.1},
        {"lr": 0.05, "eps": 0.1, "initial_accumulator_value": 0.1, "weight_decay": 1e-4},
        {"lr": 0.1, "eps": 1.0, "momentum": 0.5},
        {"lr": 0.02, "eps": 1.0, "momentum": 0.8, "nesterov": True},
        {"lr": 0.05, "eps": 1.0, "momentum": 0.5, "lr_in_velocity": True, "eps_mode": "inside"},
        {"lr": 0.1, "eps": 1.0, "centered": True},
        {"lr": 0.1, "eps": 1.0, "alpha": 0.9, "centered": True, "bias_correction": True},
        {"lr": 0.05, "eps": 0.1, "weight_decay": 1e-4, "decoupled_weight_decay": True},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-2,
        alpha: Hyper = 0.99,
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        momentum: Hyper = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        nesterov: bool = False,
        lr_in_velocity: bool = False,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = False,
        initial_accumulator_value: Hyper = 0.0,
        eps_mode: str = "outside",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, rmsprop, **given(locals()))
