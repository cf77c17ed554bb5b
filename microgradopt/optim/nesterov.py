"""Nesterov's momentum as it is drawn: the gradient is taken where the velocity will have led."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.sgd import ascent
from microgradopt.optim.transforms import Hyper, Transform, chain, transform_of, zeros_like


def lookahead_momentum(lr: Hyper, mu: Hyper = 0.9, weight_decay: Hyper = 0.0) -> Transform:
    """v ← μ·v − lr·g, with g the gradient at x + μ·v (Sutskever et al. 2013, equations 3 and 4).

    ``weight_decay`` adds weight_decay·(x + μ·v) to g, the gradient of its penalty at that point.
    """

    def ahead(state: Any, x: Any, lr: float, momentum: float, weight_decay: float) -> Any:
        return x + momentum * state["velocity"]

    def apply(
        g: Any, state: Any, x: Any, lr: float, momentum: float, weight_decay: float
    ) -> tuple[Any, dict[str, Any]]:
        if weight_decay != 0.0:
            g = g + weight_decay * ahead(state, x, lr, momentum, weight_decay)
        v = momentum * state["velocity"]
        v -= lr * g
        return v, {"velocity": v}

    return transform_of(
        "lookahead_momentum",
        apply,
        lambda x: {"velocity": zeros_like(x)},
        entrywise=True,
        lookahead=ahead,
        lr=lr,
        momentum=mu,
        weight_decay=weight_decay,
    )


def nesterov(lr: Hyper, momentum: Hyper, weight_decay: Hyper, maximize: bool) -> Transform:
    """The chain of :class:`Nesterov`."""
    return chain(*ascent(maximize), lookahead_momentum(lr, momentum, weight_decay))


class Nesterov(Optimizer):
    """v ← μ·v − lr·∇f(x + μ·v); x ← x + v: momentum that looks ahead.

    Nesterov 1983, as in Sutskever et al. 2013. The gradient is wanted at another point than x, so
    ``step`` needs a closure; while that runs, the parameters are at x + μ·v.

    ``SGD(nesterov=True, lr_in_velocity=True)`` needs none: its parameters are this one's points
    x + μ·v all the time, as long as μ is a constant.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It and every other number may be schedules.
        momentum: μ.
        weight_decay: adds weight_decay·(x + μ·v) to the gradient.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Nesterov([x], lr=0.1, momentum=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = x * x
    ...     loss.backward()
    ...     return loss
    >>> [round(optimizer.step(closure).item(), 6) for _ in range(3)]  # at 1, 0.8 − 0.1, 0.56 − 0.12
    [1.0, 0.49, 0.1936]
    """

    needs_closure: ClassVar[bool] = True
    samples = (
        {"lr": 0.05},
        {"lr": 0.1, "momentum": 0.5},
        {"lr": 0.05, "momentum": 0.8, "weight_decay": 1e-4},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        momentum: Hyper = 0.9,
        weight_decay: Hyper = 0.0,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, nesterov, **given(locals()))
