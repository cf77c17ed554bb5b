"""``Plateau``: the schedule that looks at a metric instead of the step."""

import math
import numbers
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, NamedTuple

from microgradopt.errors import UsageError
from microgradopt.optim.schedules.base import Schedule
from microgradopt.optim.schedules.fields import (
    NonNegative,
    Number,
    Whole,
    fraction,
    number,
    one_of,
    whole,
)


class PlateauState(NamedTuple):
    """What a :class:`Plateau` remembers: plain numbers."""

    lr: float  # the rate now
    best: float  # the best metric so far
    bad: int  # metrics in a row that were no better
    cooldown: int  # metrics still to come that count for nothing


def _start(user: str, name: str, value: Any) -> PlateauState | None:
    if value is not None and not isinstance(value, PlateauState):
        raise UsageError(f"{user}: {name} must be a PlateauState, got {value!r}")
    return value


@dataclass
class Plateau(Schedule):
    """The rate, times ``factor`` whenever a metric stops improving; torch's ``ReduceLROnPlateau``.

    Args:
        lr: the first rate.
        mode: "min" if a smaller metric is better, "max" if a larger one is.
        factor: at least 0 and below 1.
        patience: so many metrics in a row may be no better; the next one reduces the rate.
        threshold: by how much a metric must be better than the best to count as better.
        threshold_mode: "rel" for best·(1 ± threshold), "abs" for best ± threshold. For a metric
            that may be negative take "abs", since a relative threshold then points the wrong way.
        cooldown: so many metrics after a reduction count for nothing.
        min_lr: the rate never goes below.
        eps: a reduction by no more than that is not made.

    ``update`` takes a metric; between updates the rate is the same at every step. ``advance`` is
    the rule itself, a pure function from state and metric to state. A metric that is NaN is no
    better than any other.

    Halve the rate when the validation accuracy stops rising:

    >>> lr = Plateau(0.1, mode="max", factor=0.5, patience=1)
    >>> for accuracy in (0.50, 0.60, 0.60, 0.59, 0.61):
    ...     lr.update(accuracy)
    >>> lr(1)
    0.05
    """

    lr: Number
    mode: Annotated[str, one_of("min", "max")] = "min"
    factor: Annotated[float, fraction] = 0.1
    patience: Whole = 10
    threshold: NonNegative = 1e-4
    threshold_mode: Annotated[str, one_of("rel", "abs")] = "rel"
    cooldown: Whole = 0
    min_lr: NonNegative = 0.0
    eps: NonNegative = 1e-8
