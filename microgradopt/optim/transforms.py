"""The pieces optimizers are made of.

A :class:`Transform` is a pair of pure functions over named gradients, ``{name: float or array}``::

    init(params) -> state
    update(gradients, state, params, step) -> (updates, state)

Chained, each works on what the one before it returns; what the last returns is added to the
parameters. Updates are written with operators and the library's functions only.
"""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from microgradopt.errors import UsageError

Named: TypeAlias = dict[str, Any]  # by parameter name: a float or an array each
State: TypeAlias = Any
Schedule: TypeAlias = Callable[[int], float]
Hyper: TypeAlias = float | Schedule


@dataclass(frozen=True)
class Transform:
    """A step of an update rule: how its state starts, and what it makes of the gradients."""

    init: Callable[[Named], State]
    update: Callable[[Named, State, Named, int], tuple[Named, State]]


def stateless(f: Callable[[Named, Named, int], Named]) -> Transform:
    """A transform without memory, from ``f(gradients, params, step)``."""

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        return f(g, params, step), state

    return Transform(lambda params: (), update)


def chain(*transforms: Transform) -> Transform:
    """One transform that applies several in order; its state is the tuple of theirs."""

    def init(params: Named) -> State:
        return tuple(t.init(params) for t in transforms)

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        new = []
        for t, before in zip(transforms, state, strict=True):
            g, after = t.update(g, before, params, step)
            new.append(after)
        return g, tuple(new)

    return Transform(init, update)


def at(hyper: Hyper, step: int, low: float = 0.0) -> float:
    """A hyper-parameter at a step, which counts from 1: a number, or a schedule of the step.

    A plain float, since NumPy's own would turn float32 parameters into float64.

    Raises:
        UsageError: if a schedule gives no number, or one that is not finite or below ``low``.
    """
    if not callable(hyper):
        return float(hyper)
    value = hyper(step)
    check_number("schedule", f"its value at step {step}", value, low)
    return float(value)


def add_decayed_weights(weight_decay: Hyper) -> Transform:
    """g + weight_decay·x, the gradient of an L2 penalty ½·weight_decay·Σx²."""

    def add(g: Named, params: Named, step: int) -> Named:
        decay = at(weight_decay, step)
        return {name: g[name] + decay * params[name] for name in g}

    return stateless(add)


def scale(factor: Hyper) -> Transform:
    """factor·g."""

    def apply(g: Named, params: Named, step: int) -> Named:
        f = at(factor, step, low=-math.inf)
        return {name: f * g[name] for name in g}

    return stateless(apply)


def scale_by_learning_rate(lr: Hyper) -> Transform:
    """−lr·g, the step down the slope."""
    return scale(lambda step: -at(lr, step))


def momentum(mu: Hyper, dampening: Hyper = 0.0, nesterov: bool = False) -> Transform:
    """torch's momentum: b ← μ·b + (1 − dampening)·g, the first b being g itself.

    Gives b, or with ``nesterov`` g + μ·b (Sutskever et al. 2013, in torch's form).
    """

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        m = at(mu, step)
        keep = 1.0 - at(dampening, step, low=-math.inf)
        b = {k: m * state[k] + keep * g[k] if k in state else +g[k] for k in g}  # + copies
        return ({k: g[k] + m * b[k] for k in g} if nesterov else b), {**state, **b}

    return Transform(lambda params: {}, update)


def check_hyper(user: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Refuse a hyper-parameter that is neither a schedule nor a finite number in [low, high)."""
    if not callable(value):
        check_number(user, name, value, low, high, "a number or a schedule")


def check_number(
    user: str,
    name: str,
    value: Any,
    low: float = 0.0,
    high: float = math.inf,
    kind: str = "a number",
) -> None:
    """Refuse what is no number, not finite, or outside [low, high)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UsageError(f"{user}: {name} must be {kind}, got {value!r}")
    if not (math.isfinite(value) and low <= float(value) < high):
        upper = "" if high == math.inf else f" and below {high:g}"
        raise UsageError(f"{user}: {name} must be finite, at least {low:g}{upper}; got {value!r}")
