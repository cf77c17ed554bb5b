"""Adamax: Adam with the largest gradient of late in place of the mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradopt.engine.ops.elementwise import absolute, maximum
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion, check_choice
from microgradopt.optim.sgd import downhill
from microgradopt.optim.transforms import Hyper, Transform, transform_of, zeros_like


def scale_by_adamax(
    beta1: Hyper = 0.9, beta2: Hyper = 0.999, eps: Hyper = 1e-8, *, eps_mode: str = "inside"
) -> Transform:
    """m̂/u with m as in Adam and u ← max(β₂·u, |g|) (Kingma and Ba 2015, algorithm 2).

    Args:
        eps_mode: ``"inside"`` max(β₂·u, |g| + eps), or ``"outside"`` u + eps.
    """
    check_choice("scale_by_adamax", "eps_mode", eps_mode, ("inside", "outside"))

    def apply(
        g: Any, state: Any, x: Any, beta1: float, beta2: float, eps: float, scale: float = 1.0
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        m = beta1 * state["exp_avg"]
        m += (1.0 - beta1) * g
        size = absolute(g)
        if eps_mode == "inside":
            size += eps
        u = maximum(beta2 * state["exp_inf"], size)
        update = (scale / (1.0 - beta1**step)) * m
        update /= u + eps if eps_mode == "outside" else u
        return update, {"exp_avg": m, "exp_inf": u, "step": step}

    return transform_of(
        "scale_by_adamax",
        apply,
        lambda x: {"exp_avg": zeros_like(x), "exp_inf": zeros_like(x), "step": 0},
        entrywise=True,
        scales=True,
        flags={"eps_mode": eps_mode},
        beta1=beta1,
        beta2=beta2,
        eps=eps,
    )


def adamax(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    eps: Hyper,
    weight_decay: Hyper,
    maximize: bool,
    decoupled_weight_decay: bool,
    eps_mode: str,
) -> Transform:
    """The chain of :class:`Adamax`."""
    direction = scale_by_adamax(*betas, eps, eps_mode=eps_mode)
    return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)


class Adamax(Optimizer):
    """x ← x − lr·m̂/u: Adam by the largest of late gradients, u ← max(β₂·u, |g|).

    Kingma and Ba 2015, algorithm 2, with torch's names and defaults.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate, and nearly the largest step. It and every other number may be
            schedules.
        betas: how much the average m of gradients and their size u keep.
        eps: keeps the division finite; see ``eps_mode``.
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` to
            the direction, where m and u do not see it.
        maximize: goes up instead of down.
        eps_mode: ``"inside"`` u ← max(β₂·u, |g| + eps), torch's and optax's; ``"outside"`` u + eps,
            keras's.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Adamax([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.9
    """

    samples = (
        {"lr": 0.1},
        {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 1e-4},
        {"lr": 0.1, "weight_decay": 1e-4, "decoupled_weight_decay": True},
        {"lr": 0.1, "eps": 1e-7, "eps_mode": "outside"},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 2e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        eps_mode: str = "inside",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, adamax, **given(locals()))
