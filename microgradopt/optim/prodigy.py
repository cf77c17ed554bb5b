"""Prodigy: Adam that finds its own learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from microgradopt.engine.ops import shapes
from microgradopt.engine.ops.elementwise import absolute, maximum, minimum, sqrt
from microgradopt.engine.ops.shapes import astype
from microgradopt.errors import UsageError
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion
from microgradopt.optim.sgd import ascent, decay
from microgradopt.optim.transforms import (
    Hyper,
    Named,
    State,
    Transform,
    at,
    chain,
    check_hyper,
    zeros_like,
)


def scale_by_prodigy(
    lr: Hyper = 1.0,
    beta1: Hyper = 0.9,
    beta2: Hyper = 0.999,
    beta3: Hyper | None = None,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    *,
    use_bias_correction: bool = False,
    safeguard_warmup: bool = False,
    d0: Hyper = 1e-6,
    d_coef: Hyper = 1.0,
    growth_rate: Hyper | None = None,
) -> Transform:
    """−lr·d·(m/(√v + d·eps) + weight_decay·x), where d estimates the distance to the solution.

    Mishchenko and Defazio 2023, algorithm 4, as in their package: m and v average d·g and (d·g)²,
    and d is the largest Σ⟨g, x₀ − x⟩/‖Σg‖₁ so far, sums over all arrays and steps with weights.

    Args:
        beta3: how much those sums keep; None for √beta2.
        others: see :class:`Prodigy`.
    """
    hypers: dict[str, Hyper] = {
        "lr": lr,
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "weight_decay": weight_decay,
        "d0": d0,
        "d_coef": d_coef,
        **({} if beta3 is None else {"beta3": beta3}),
        **({} if growth_rate is None else {"growth_rate": growth_rate}),
    }
    for name, value in hypers.items():
        check_hyper("Prodigy", name, value)

    def numbers(step: int) -> dict[str, float]:
        """The hyper-parameters in a step."""
        h = {name: at(value, step, name) for name, value in hypers.items()}
        _check_d0(h["d0"])
        return {"beta3": sqrt(h["beta2"]), "growth_rate": math.inf, **h}

    def init(params: Named) -> State:
        nothing = zeros_like(0.0)
        return {
            "arrays": {name: _start(x) for name, x in params.items()},
            "d": nothing,
            "d_max": nothing,
            "d_numerator": nothing,
            "step": 0,
        }

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        h = numbers(step)
        begun = state["step"] > 0
        d = state["d"] if begun else state["d"] + h["d0"]
        d_max = state["d_max"] if begun else d
        rate = h["lr"] * d
        if use_bias_correction:
            t = state["step"] + 1
            rate = rate * (sqrt(1.0 - h["beta2"] ** t) / (1.0 - h["beta1"] ** t))
        weight = (d / h["d0"]) * (d if safeguard_warmup else rate)
        arrays = {
            name: _gathered(g[name], state["arrays"][name], params[name], d, weight, h)
            for name in g
        }
        numerator, denominator = h["beta3"] * state["d_numerator"], 0.0
        for name, own in arrays.items():
            numerator = numerator + (d / h["d0"]) * rate * shapes.sum(
                g[name] * (own["p0"] - params[name])
            )
            denominator = denominator + shapes.sum(absolute(own["s"]))
        after = {**state, "arrays": {**state["arrays"], **arrays}, "d": d, "d_max": d_max}
        if denominator == 0.0:  # nothing has been seen yet
            return {name: zeros_like(x) for name, x in g.items()}, after
        if h["lr"] > 0.0:
            d_hat = h["d_coef"] * numerator / denominator
            first = maximum(d, d_hat) if d == h["d0"] else d
            d_max = maximum(d_max, d_hat)
            d = minimum(d_max, first * h["growth_rate"])
            after.update({"d": d, "d_max": d_max, "d_numerator": numerator})
        updates = {name: _step(arrays[name], params[name], d, rate, h) for name in g}
        return updates, {**after, "step": state["step"] + 1}

    flags = {"use_bias_correction": use_bias_correction, "safeguard_warmup": safeguard_warmup}
    return Transform(init, update, "scale_by_prodigy", {**hypers, **flags})


def _start(x: Any) -> dict[str, Any]:
    slots = ("exp_avg", "exp_avg_sq", "s", "p0")
    return {**{name: zeros_like(x) for name in slots}, "step": 0}


def _gathered(g: Any, own: Any, x: Any, d: Any, weight: Any, h: dict[str, float]) -> dict[str, Any]:
    """The state of one array after a gradient."""
    d, weight = astype(d, g.dtype), astype(weight, g.dtype)
    return {
        "exp_avg": h["beta1"] * own["exp_avg"] + (1.0 - h["beta1"]) * (d * g),
        "exp_avg_sq": h["beta2"] * own["exp_avg_sq"] + (1.0 - h["beta2"]) * (d * g) * (d * g),
        "s": h["beta3"] * own["s"] + weight * g,
        "p0": own["p0"] if own["step"] else +x,
        "step": own["step"] + 1,
    }


def _step(own: Any, x: Any, d: Any, rate: Any, h: dict[str, float]) -> Any:
    """The update of one array."""
    d, rate = astype(d, x.dtype), astype(rate, x.dtype)
    direction = own["exp_avg"] / (sqrt(own["exp_avg_sq"]) + d * h["eps"])
    return -rate * (direction + h["weight_decay"] * x)


def _check_d0(d0: Hyper) -> None:
    if not callable(d0) and d0 == 0.0:
        raise UsageError(
            "Prodigy: d0 must be above 0, since the distance grows in proportion to it"
        )


def prodigy(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    beta3: Hyper | None,
    eps: Hyper,
    weight_decay: Hyper,
    decouple: bool,
    use_bias_correction: bool,
    safeguard_warmup: bool,
    d0: Hyper,
    d_coef: Hyper,
    growth_rate: Hyper | None,
    maximize: bool,
) -> Transform:
    """The chain of :class:`Prodigy`."""
    _check_d0(d0)
    coupled = [] if decouple else decay(weight_decay)
    step = scale_by_prodigy(
        lr,
        *betas,
        beta3,
        eps,
        weight_decay if decouple else 0.0,
        use_bias_correction=use_bias_correction,
        safeguard_warmup=safeguard_warmup,
        d0=d0,
        d_coef=d_coef,
        growth_rate=growth_rate,
    )
    return chain(*ascent(maximize), *coupled, step)


class Prodigy(Optimizer):
    """Adam with rates in proportion to d, its estimate of the distance from start to solution.

    Mishchenko and Defazio 2023, with the names and defaults of their package, ``prodigyopt``.
    Leave ``lr`` at 1, or give a schedule of at most 1. Every group estimates its own distance.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: a factor of the estimated rate. Any number here may be a schedule.
        betas, eps: as in :class:`Adam`.
        beta3: how much the sums in the estimate keep; None for √betas[1].
        weight_decay: λ; with ``decouple`` apart from the averages, as in :class:`AdamW`.
        decouple: False adds λx to the gradient instead.
        use_bias_correction: Adam's.
        safeguard_warmup: leaves lr out of the estimate's denominator, for a rate that rises.
        d0: the estimate to start from, below the distance; rarely needs changing.
        d_coef: a factor of the estimate: the number to tune, .5 or 2.
        growth_rate: how much the estimate may grow in a step, such as 1.02, once it has left d0;
            None for any.
        maximize: goes up instead of down.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Prodigy([x])
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     ((x - 3.0) ** 2).backward()
    ...     optimizer.step()
    >>> round(x.data, 1), round(optimizer.state[0]["scale_by_prodigy"]["d"].item(), 1)
    (3.0, 1.0)
    """

    samples = (
        {},
        {"betas": (0.8, 0.999), "beta3": 0.99, "weight_decay": 1e-5},
        {"use_bias_correction": True},
        {"weight_decay": 1e-5, "decouple": False, "safeguard_warmup": True, "growth_rate": 2.0},
        {"d0": 1e-4, "d_coef": 0.5},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1.0,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        beta3: Hyper | None = None,
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        decouple: bool = True,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        d0: Hyper = 1e-6,
        d_coef: Hyper = 1.0,
        growth_rate: Hyper | None = None,
        *,
        maximize: bool = False,
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, prodigy, **given(locals()))
