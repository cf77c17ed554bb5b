"""Schedule-free SGD and AdamW: an average of the steps in place of a falling rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from microgradopt.atomic import made_whole
from microgradopt.errors import UsageError
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.rmsprop import scale_by_rms
from microgradopt.optim.sgd import ascent, decay
from microgradopt.optim.transforms import (
    Hyper,
    Transform,
    chain,
    check_hyper,
    transform_of,
    zeros_like,
)

NAME = "schedule_free_average"


def schedule_free_average(
    lr: Hyper,
    beta1: Hyper = 0.9,
    warmup_steps: Hyper = 0,
    r: Hyper = 0.0,
    weight_lr_power: Hyper = 2.0,
) -> Transform:
    """Moves z by −lr·g, averages z in x, and the parameter to y = (1−β₁)z + β₁x between the two.

    Defazio et al. 2024, equations 3 to 5. The t-th z weighs tʳ·(the largest rate so far)^power in
    x; over the first ``warmup_steps`` steps the rate rises to lr. The state has z and, as
    ``"other"``, x.
    """

    def apply(
        g: Any,
        state: Any,
        y: Any,
        lr: float,
        beta1: float,
        warmup_steps: float,
        r: float,
        weight_lr_power: float,
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        z, x = (state["z"], state["other"]) if state["step"] else (y, y)
        rate = lr * min(1.0, step / warmup_steps) if warmup_steps else lr
        largest = max(rate, state["lr_max"])
        weight = step**r * largest**weight_lr_power
        total = state["weight_sum"] + weight
        z = z - rate * g
        x = x + (weight / total if total else 0.0) * (z - x)
        after = {"z": z, "other": x, "step": step, "lr_max": largest, "weight_sum": total}
        return (z + beta1 * (x - z)) - y, after

    def start(y: Any) -> dict[str, Any]:
        numbers = {"step": 0, "lr_max": 0.0, "weight_sum": 0.0}
        return {"z": zeros_like(y), "other": zeros_like(y), **numbers}

    return transform_of(
        NAME,
        apply,
        start,
        entrywise=True,
        lr=lr,
        beta1=beta1,
        warmup_steps=warmup_steps,
        r=r,
        weight_lr_power=weight_lr_power,
    )


class ScheduleFree(Optimizer):
    """An optimizer whose chain ends in :func:`schedule_free_average`.

    Its parameters are y, where gradients are wanted, or after :meth:`eval` the averages x, whose
    loss is the lower one.
    """

    def __init__(
        self, params: Iterable[Any], transform: Callable[..., Transform], **options: Any
    ) -> None:
        self.training = True
        super().__init__(params, transform, **options)

    def train(self) -> None:
        """Set the parameters to y, to go on with steps; they start there."""
        if not self.training:
            self._exchange(training=True)

    def eval(self) -> None:
        """Set the parameters to their averages x, to evaluate or save the model."""
        if self.training:
            self._exchange(training=False)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; see :meth:`Optimizer.step`.

        Raises:
            UsageError: while the parameters are the averages.
        """
        if not self.training:
            raise UsageError(
                f"{type(self).__name__}: after eval() the parameters are averages, which gradients "
                "must not be taken at; call optimizer.train() before the forward pass"
            )
        return super().step(closure)

    def _exchange(self, training: bool) -> None:
        """Exchange the parameters, y or x, with the state's other of the two."""
        states, others = [], []
        for group in self._groups:
            states.append(group.state())
            for name, p in group.nodes.items():
                own = states[-1][name][NAME]
                if own["step"]:  # else all three are where the parameter is
                    others.append((p, own["other"]))
                    states[-1][name] = {
                        **states[-1][name],
                        NAME: {**own, "other": np.array(p.data)},
                    }

        def change() -> None:
            for p, other in others:
                p.data = other
            for group, state in zip(self._groups, states):
                group.set_state(state)
            self.training = training

        made_whole(change)

    def state_dict(self) -> dict[str, Any]:
        """As :meth:`Optimizer.state_dict`, and whether the parameters are y or x."""
        return {**super().state_dict(), "training": self.training}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As :meth:`Optimizer.load_state_dict`; the parameters must be those of the same moment.

        Raises:
            UsageError: where something does not fit; nothing is changed then.
        """
        mode = state.get("training") if isinstance(state, dict) else None
        if not isinstance(mode, bool):
            raise UsageError(
                f"{type(self).__name__}: a state says in training=True or False whether the "
                "parameters are y or averages; this one does not"
            )
        super().load_state_dict({k: v for k, v in state.items() if k != "training"})
        self.training = mode


def schedule_free_sgd(
    lr: Hyper,
    momentum: Hyper,
    weight_decay: Hyper,
    warmup_steps: Hyper,
    r: Hyper,
    weight_lr_power: Hyper,
    maximize: bool,
) -> Transform:
    """The chain of :class:`SGDScheduleFree`."""
    check_hyper("SGDScheduleFree", "momentum", momentum, limits_of="beta1")
    averaged = schedule_free_average(lr, momentum, warmup_steps, r, weight_lr_power)
    return chain(*ascent(maximize), *decay(weight_decay), averaged)


def schedule_free_adamw(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    eps: Hyper,
    weight_decay: Hyper,
    warmup_steps: Hyper,
    r: Hyper,
    weight_lr_power: Hyper,
    maximize: bool,
) -> Transform:
    """The chain of :class:`AdamWScheduleFree`."""
    beta1, beta2 = betas
    averaged = schedule_free_average(lr, beta1, warmup_steps, r, weight_lr_power)
    scaled = scale_by_rms(beta2, eps, bias_correction=True)
    return chain(*ascent(maximize), scaled, *decay(weight_decay), averaged)


class SGDScheduleFree(ScheduleFree):
    """z ← z − lr·g(y); x averages z; y = (1−μ)z + μx: SGD that needs no falling rate.

    Defazio et al. 2024, with the names and defaults of their package. Call :meth:`train` before
    training and :meth:`eval` before evaluating or saving the model.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. Any number here may be a schedule.
        momentum: μ, below 1: how near to the average the gradients are taken.
        weight_decay: adds weight_decay·y to the gradient.
        warmup_steps: over how many steps the rate rises to lr.
        r: the t-th step weighs tʳ in the average.
        weight_lr_power: and as much as the largest rate so far to this power.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.SGDScheduleFree([x], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (x * x).backward()
    ...     optimizer.step()
    >>> y = x.data
    >>> optimizer.eval()
    >>> round(y, 6), round(x.data, 6)
    (0.712, 0.72)
    """

    samples = (
        {"lr": 0.1, "r": 30.0},
        {"lr": 0.2, "momentum": 0.5, "r": 20.0, "weight_decay": 1e-5, "warmup_steps": 3},
        {"lr": 0.2, "r": 40.0, "warmup_steps": 5, "weight_lr_power": 1.0},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1.0,
        momentum: Hyper = 0.9,
        weight_decay: Hyper = 0.0,
        warmup_steps: Hyper = 0,
        r: Hyper = 0.0,
        weight_lr_power: Hyper = 2.0,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, schedule_free_sgd, **given(locals()))


class AdamWScheduleFree(ScheduleFree):
    """z ← z − lr·(g/(√v̂ + eps) + λy); x averages z; y = (1−β₁)z + β₁x.

    Defazio et al. 2024, algorithm 1, with the names and defaults of their package, and v̂ =
    v/(1−β₂ᵗ) as there; the paper has √(1−β₂ᵗ) in the rate instead. Call :meth:`train` before
    training and :meth:`eval` before evaluating or saving the model.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. Any number here may be a schedule.
        betas: how near to the average the gradients are taken; how much the average of squares
            keeps.
        eps: keeps the division finite.
        weight_decay: λ, decoupled from the average of squares.
        warmup_steps, r, weight_lr_power: see :class:`SGDScheduleFree`.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.AdamWScheduleFree([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.9
    """

    samples = (
        {"lr": 0.1, "r": 20.0},
        {
            "lr": 0.1,
            "betas": (0.8, 0.99),
            "r": 20.0,
            "weight_decay": 1e-5,
            "warmup_steps": 3,
            "weight_lr_power": 1.0,
        },
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 0.0025,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        warmup_steps: Hyper = 0,
        r: Hyper = 0.0,
        weight_lr_power: Hyper = 2.0,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, schedule_free_adamw, **given(locals()))
