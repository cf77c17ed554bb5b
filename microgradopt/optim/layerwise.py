"""LARS and LAMB: for large batches, steps in proportion to the length of each parameter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from microgradopt.engine.norms import norm
from microgradopt.engine.ops.elementwise import equal, logical_or, minimum, where
from microgradopt.optim.adam import scale_by_adam
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.sgd import ascent, decay, momentum
from microgradopt.optim.signs import falling
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    chain,
    check_hyper,
    scale_by_learning_rate,
    transform_of,
)


def scale_by_trust_ratio(
    trust_coefficient: Hyper = 1.0,
    eps: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    *,
    max_ratio: Hyper | None = None,
) -> Transform:
    """r·(g + weight_decay·x), where r makes the step as long as the array x, times a coefficient.

    r = trust_coefficient·‖x‖/(‖g‖ + weight_decay·‖x‖ + eps), at most ``max_ratio``, and 1 where x
    or g is zero: You, Gitman and Ginsburg 2017, equation 6.

    >>> import numpy as np
    >>> rule = scale_by_trust_ratio()
    >>> rule.update({"W": np.array([30.0, 40.0])}, {"W": {}}, {"W": np.array([0.0, 1.0])}, 1)[0]
    {'W': array([0.6, 0.8])}
    """

    def apply(
        g: Any,
        state: Any,
        x: Any,
        trust_coefficient: float,
        eps: float,
        weight_decay: float,
        max_ratio: float = math.inf,
    ) -> tuple[Any, dict[str, Any]]:
        of_x, of_g = norm(x), norm(g)
        nothing = logical_or(equal(of_x, 0.0), equal(of_g, 0.0))
        length = where(nothing, 1.0, of_g + weight_decay * of_x + eps)
        ratio = where(nothing, 1.0, minimum(trust_coefficient * of_x / length, max_ratio))
        return ratio * (g + weight_decay * x), state

    bound: dict[str, Any] = {} if max_ratio is None else {"max_ratio": max_ratio}
    return transform_of(
        "scale_by_trust_ratio",
        apply,
        trust_coefficient=trust_coefficient,
        eps=eps,
        weight_decay=weight_decay,
        **bound,
    )


def lamb(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    eps: Hyper,
    weight_decay: Hyper,
    bias_correction: bool,
    always_adapt: bool,
    max_ratio: Hyper | None,
    maximize: bool,
) -> Transform:
    """The chain of :class:`LAMB`."""
    _check_bound("LAMB", max_ratio)
    direction = scale_by_adam(*betas, eps, bias_correction=bias_correction)
    adapted = always_adapt or weight_decay != 0.0
    ratio = [scale_by_trust_ratio(max_ratio=max_ratio)] if adapted else []
    pieces = [*ascent(maximize), direction, *decay(weight_decay), *ratio]
    return chain(*pieces, scale_by_learning_rate(lr))


def lars(
    lr: Hyper,
    momentum: Hyper,
    weight_decay: Hyper,
    nesterov: bool,
    trust_coefficient: Hyper,
    eps: Hyper,
    joint_norm: bool,
    always_adapt: bool,
    max_ratio: Hyper | None,
    maximize: bool,
) -> Transform:
    """The chain of :class:`LARS`."""
    _check_bound("LARS", max_ratio)
    pieces = [*ascent(maximize)]
    if always_adapt or weight_decay != 0.0:
        decayed = decay(weight_decay) if joint_norm else []
        own_decay = 0.0 if joint_norm else weight_decay
        ratio = scale_by_trust_ratio(trust_coefficient, eps, own_decay, max_ratio=max_ratio)
        pieces += [*decayed, ratio]
    velocity = [] if momentum == 0.0 else [_momentum(momentum, nesterov=nesterov)]
    return chain(*pieces, scale_by_learning_rate(lr), *velocity)


_momentum = momentum  # an argument of lars has this name


def _check_bound(user: str, max_ratio: Hyper | None) -> None:
    """Refuse a bad bound also where no ratio is taken."""
    if max_ratio is not None:
        check_hyper(user, "max_ratio", max_ratio)


class LAMB(Optimizer):
    """Adam whose step has, in each parameter, the length of the parameter times the rate.

    You et al. 2020, algorithm 2: u = m̂/(√v̂ + eps) + λx; x ← x − lr·‖x‖/‖u‖·u. Where ‖x‖ or ‖u‖ is
    0, x ← x − lr·u.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It, ``betas``, ``eps``, ``weight_decay`` and ``max_ratio`` may be
            schedules.
        betas, eps, bias_correction: see :func:`scale_by_adam`.
        weight_decay: λ, decoupled from the averages.
        always_adapt: False gives parameters without weight decay, such as those of ``no_decay``,
            Adam's plain step.
        max_ratio: a bound of ‖x‖/‖u‖.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> W = mg.Tensor([[3.0, 4.0]])
    >>> optimizer = mg.optim.LAMB([W], lr=0.1)
    >>> mg.sum(W * W).backward()
    >>> optimizer.step()
    >>> mg.linalg.norm(W - mg.Tensor([[3.0, 4.0]])).item().__round__(6)
    0.5
    """

    samples = (
        {"lr": falling, "betas": (0.8, 0.99)},
        {"lr": falling, "betas": (0.8, 0.99), "weight_decay": 1e-5, "max_ratio": 2.0},
        {"lr": falling, "betas": (0.8, 0.99), "bias_correction": False},
        {"lr": 0.1, "always_adapt": False},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-6,
        weight_decay: Hyper = 0.0,
        *,
        bias_correction: bool = True,
        always_adapt: bool = True,
        max_ratio: Hyper | None = None,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, lamb, **given(locals()))


class LARS(Optimizer):
    """Momentum whose every new part has the length of the parameter, times the rates.

    You, Gitman and Ginsburg 2017, algorithm 1: r = η·‖x‖/(‖g‖ + λ‖x‖ + eps);
    v ← μv − lr·r·(g + λx); x ← x + v. Where ‖x‖ or ‖g‖ is 0, r = 1.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. Any number here may be a schedule.
        momentum: μ; the rate is inside the velocity, as with ``SGD(…, lr_in_velocity=True)``.
        weight_decay: λ.
        nesterov: steps by −lr·r·(g + λx) + μ·v instead of v.
        trust_coefficient: η.
        eps: see η.
        joint_norm: divides by ‖g + λx‖ + eps instead, as optax does.
        always_adapt: False gives parameters without weight decay, such as those of ``no_decay``,
            plain steps with momentum, r = 1.
        max_ratio: a bound of r.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> W = mg.Tensor([[3.0, 4.0]])
    >>> optimizer = mg.optim.LARS([W], lr=1.0, trust_coefficient=0.1)
    >>> mg.sum(W * W).backward()
    >>> optimizer.step()
    >>> W.numpy().round(6)
    array([[2.7, 3.6]])
    """

    samples = (
        {"lr": falling, "momentum": 0.5, "trust_coefficient": 0.1},
        {"lr": falling, "momentum": 0.0, "trust_coefficient": 0.3, "max_ratio": 0.9},
        {"lr": falling, "nesterov": True, "trust_coefficient": 0.1, "weight_decay": 1e-5},
        {"lr": falling, "momentum": 0.5, "trust_coefficient": 0.1, "joint_norm": True},
        {"lr": 0.05, "always_adapt": False},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1.0,
        momentum: Hyper = 0.9,
        weight_decay: Hyper = 0.0,
        nesterov: bool = False,
        *,
        trust_coefficient: Hyper = 1e-3,
        eps: Hyper = 1e-8,
        joint_norm: bool = False,
        always_adapt: bool = True,
        max_ratio: Hyper | None = None,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, lars, **given(locals()))
