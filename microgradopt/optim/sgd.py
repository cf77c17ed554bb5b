"""Gradient descent with momentum: torch's form, the tutorials', and Nesterov's look-ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradopt.errors import UsageError
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    add_decayed_weights,
    chain,
    scale,
    scale_by_learning_rate,
    transform_of,
    zeros_like,
)


def momentum(mu: Hyper, dampening: Hyper = 0.0, nesterov: bool = False) -> Transform:
    """torch's momentum: b ← μ·b + (1 − dampening)·g, the first b being g itself.

    Gives b, or with ``nesterov`` g + μ·b (Sutskever et al. 2013, in torch's form).
    """

    def apply(g: Any, state: Any, x: Any, momentum: float, dampening: float) -> tuple[Any, Any]:
        if state["step"]:
            b = momentum * state["momentum_buffer"]
            b += (1.0 - dampening) * g
        else:
            b = 1.0 * g
        update = g + momentum * b if nesterov else b
        return update, {"momentum_buffer": b, "step": state["step"] + 1}

    return transform_of(
        "momentum",
        apply,
        lambda x: {"momentum_buffer": zeros_like(x), "step": 0},
        entrywise=True,
        flags={"nesterov": nesterov},
        momentum=mu,
        dampening=dampening,
    )


def descent(
    lr: Hyper,
    momentum: Hyper,
    dampening: Hyper,
    weight_decay: Hyper,
    nesterov: bool,
    maximize: bool,
    lr_in_velocity: bool,
) -> Transform:
    """The chain of :class:`SGD`."""
    if nesterov and (momentum == 0.0 or dampening != 0.0):
        raise UsageError("SGD: nesterov=True needs momentum above 0 and dampening 0")
    pieces = [*ascent(maximize), *decay(weight_decay)]
    rate = scale_by_learning_rate(lr)
    if momentum == 0.0:
        return chain(*pieces, rate)
    velocity = _momentum(momentum, dampening, nesterov)
    return chain(*pieces, *((rate, velocity) if lr_in_velocity else (velocity, rate)))


_momentum = momentum  # an argument of descent has this name


def ascent(maximize: bool) -> list[Transform]:
    """The piece that turns a step round; as torch does, before decay and momentum."""
    return [scale(-1.0)] if maximize else []


def decay(weight_decay: Hyper) -> list[Transform]:
    """The piece for weight decay, when there is any."""
    return [add_decayed_weights(weight_decay)] if weight_decay != 0.0 else []


def downhill(
    directions: list[Transform], lr: Hyper, weight_decay: Hyper, maximize: bool, decoupled: bool
) -> Transform:
    """The chain against a direction; weight decay goes into the gradient, or past the direction."""
    decayed = decay(weight_decay)
    pieces = [*directions, *decayed] if decoupled else [*decayed, *directions]
    return chain(*ascent(maximize), *pieces, scale_by_learning_rate(lr))


class SGD(Optimizer):
    """x ← x − lr·g, with torch's names, defaults and formulas.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate, or a schedule ``step -> rate`` (steps count from 1).
        momentum: μ in b ← μ·b + (1 − dampening)·g; then x ← x − lr·b.
        dampening: see momentum.
        weight_decay: adds weight_decay·x to the gradient.
        nesterov: steps along g + μ·b instead of b.
        maximize: goes up instead of down.
        lr_in_velocity: the tutorials' form, v ← μ·v − lr·g; x ← x + v, which differs once the rate
            changes. With ``nesterov`` x ← x − μ·v_before + (1 + μ)·v.
        no_decay, nonfinite: see :class:`Optimizer`.

    Raises:
        UsageError: for a rate that is negative or not finite, or Nesterov without momentum.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.SGD([x], lr=0.1)
    >>> for _ in range(50):
    ...     optimizer.zero_grad()
    ...     loss = (x - 3.0) ** 2
    ...     loss.backward()
    ...     optimizer.step()
    >>> round(x.data, 3)
    3.0
    """

    samples = (
        {"lr": 0.1},
        {"lr": 0.05, "momentum": 0.8},
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.5},
        {"lr": 0.05, "momentum": 0.8, "nesterov": True},
        {"lr": 0.05, "momentum": 0.8, "lr_in_velocity": True},
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "lr_in_velocity": True},
        {"lr": 0.05, "momentum": 0.5, "weight_decay": 1e-4},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        momentum: Hyper = 0.0,
        dampening: Hyper = 0.0,
        weight_decay: Hyper = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        lr_in_velocity: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, descent, **given(locals()))
