"""Stochastic gradient descent, with momentum."""

from collections.abc import Iterable
from typing import Any

from microgradopt.errors import UsageError
from microgradopt.optim.optimizer import Optimizer
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    add_decayed_weights,
    chain,
    check_hyper,
    momentum as momentum_of,
    scale,
    scale_by_learning_rate,
)


class SGD(Optimizer):
    """x ← x − lr·g, with torch's names, defaults and formulas.

    Args:
        params: parameters, or pairs (name, parameter).
        lr: the learning rate, or a schedule ``step -> rate`` (steps count from 1).
        momentum: μ in b ← μ·b + (1 − dampening)·g; then x ← x − lr·b.
        dampening: see momentum.
        weight_decay: adds weight_decay·x to the gradient.
        nesterov: steps along g + μ·b instead of b.
        maximize: goes up instead of down.

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
    ) -> None:
        check_hyper("SGD", "lr", lr)
        check_hyper("SGD", "momentum", momentum)
        check_hyper("SGD", "dampening", dampening, low=-float("inf"))
        check_hyper("SGD", "weight_decay", weight_decay)
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise UsageError("SGD: nesterov=True needs momentum above 0 and dampening 0")
        pieces: list[Transform] = []
        if maximize:  # as torch does, before decay and momentum
            pieces.append(scale(-1.0))
        if weight_decay != 0.0:
            pieces.append(add_decayed_weights(weight_decay))
        if momentum != 0.0:
            pieces.append(momentum_of(momentum, dampening, nesterov))
        super().__init__(params, chain(*pieces, scale_by_learning_rate(lr)))
