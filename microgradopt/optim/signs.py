"""Steps of one size in every entry: SignSGD, Signum and Lion."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from microgradopt.engine.ops.elementwise import sign
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.sgd import downhill
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    check_hyper,
    transform_of,
    zeros_like,
)
from microgradopt.optim.wrappers import ema


def falling(step: int) -> float:
    """A rate for the samples of rules whose steps do not shrink towards a minimum by themselves."""
    return 0.4 * math.pow(max(0.0, 1.0 - step / 300.0), 3.0)


def scale_by_sign() -> Transform:
    """The sign of every entry: −1, 0 or 1."""
    return transform_of("scale_by_sign", lambda g, state, x: (sign(g), state), entrywise=True)


def scale_by_lion(beta1: Hyper = 0.9, beta2: Hyper = 0.99) -> Transform:
    """sign(β₁m + (1−β₁)g), and then m ← β₂m + (1−β₂)g: Chen et al. 2023, algorithm 2."""

    def apply(g: Any, state: Any, x: Any, beta1: float, beta2: float) -> tuple[Any, dict[str, Any]]:
        direction = beta1 * state["exp_avg"]
        direction += (1.0 - beta1) * g
        m = beta2 * state["exp_avg"]
        m += (1.0 - beta2) * g
        return sign(direction), {"exp_avg": m}

    return transform_of(
        "scale_by_lion",
        apply,
        lambda x: {"exp_avg": zeros_like(x)},
        entrywise=True,
        beta1=beta1,
        beta2=beta2,
    )


def sign_descent(lr: Hyper, momentum: Hyper, weight_decay: Hyper, maximize: bool) -> Transform:
    """The chain of :class:`SignSGD`."""
    check_hyper("SignSGD", "momentum", momentum, limits_of="decay")
    average = [] if momentum == 0.0 else [ema(momentum, debias=False)]
    return downhill([*average, scale_by_sign()], lr, weight_decay, maximize, decoupled=True)


def lion(lr: Hyper, betas: tuple[Hyper, Hyper], weight_decay: Hyper, maximize: bool) -> Transform:
    """The chain of :class:`Lion`."""
    return downhill([scale_by_lion(*betas)], lr, weight_decay, maximize, decoupled=True)


class SignSGD(Optimizer):
    """x ← x − lr·(sign(m) + λx) with m ← μm + (1−μ)g: Signum; SignSGD without momentum.

    Bernstein et al. 2018, algorithms 1 and 2.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate, the size of every entry's step. Any number here may be a schedule.
        momentum: μ, below 1; with 0, m is g.
        weight_decay: λ, decoupled from the average.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Tensor([5.0, -0.001])
    >>> optimizer = mg.optim.SignSGD([x], lr=0.25)
    >>> mg.sum(x * x).backward()
    >>> optimizer.step()
    >>> x.numpy()
    array([4.75 , 0.249])
    """

    samples = (
        {"lr": falling},
        {"lr": falling, "momentum": 0.5, "weight_decay": 1e-4},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        momentum: Hyper = 0.0,
        weight_decay: Hyper = 0.0,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, sign_descent, **given(locals()))


class Lion(Optimizer):
    """x ← x − lr·(sign(β₁m + (1−β₁)g) + λx), then m ← β₂m + (1−β₂)g.

    Chen et al. 2023, algorithm 2. The rate is usually 3 to 10 times smaller, the decay as many
    times larger, than Adam's.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate, the size of every entry's step. Any number here may be a schedule.
        betas: how much of the average the step keeps, and how much the average itself.
        weight_decay: λ, decoupled from the average.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Tensor([5.0, -0.001])
    >>> optimizer = mg.optim.Lion([x], lr=0.25)
    >>> mg.sum(x * x).backward()
    >>> optimizer.step()
    >>> x.numpy()
    array([4.75 , 0.249])
    """

    samples = (
        {"lr": falling},
        {"lr": falling, "betas": (0.8, 0.9), "weight_decay": 1e-4},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-4,
        betas: tuple[Hyper, Hyper] = (0.9, 0.99),
        weight_decay: Hyper = 0.0,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, lion, **given(locals()))
