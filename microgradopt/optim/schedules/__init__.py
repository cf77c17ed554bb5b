"""Learning rates, or any other hyper-parameter, as functions of the step.

``optim.SGD(params, lr=schedules.cosine(0.1, 1000))``
"""

from microgradopt.optim.schedules.base import (
    Schedule,
    constant,
    every,
    for_steps,
    join,
    lift,
    product,
)
from microgradopt.optim.schedules.curves import (
    cosine,
    cyclical,
    exponential,
    geometric,
    inverse_sqrt,
    inverse_time,
    linear,
    multistep,
    one_cycle,
    piecewise,
    polynomial,
    step_decay,
    warm_restarts,
    warmup,
)
from microgradopt.optim.schedules.plateau import Plateau, PlateauState

__all__ = [
    "Plateau", "PlateauState", "Schedule", "constant", "cosine", "cyclical", "every", "exponential",
    "for_steps", "geometric", "inverse_sqrt", "inverse_time", "join", "lift", "linear", "multistep",
    "one_cycle", "piecewise", "polynomial", "product", "step_decay", "warm_restarts", "warmup",
]  # fmt: skip
