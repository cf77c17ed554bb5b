"""``Plateau``: the schedule that looks at a metric instead of the step."""

import math
import numbers
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from microgradopt.errors import UsageError
from microgradopt.optim.schedules.base import Schedule
from microgradopt.optim.schedules.fields import (
    NonNegative,
    Number,
    Whole,
    below_1,
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
    factor: Annotated[float, below_1] = 0.1
    patience: Whole = 10
    threshold: NonNegative = 1e-4
    threshold_mode: Annotated[str, one_of("rel", "abs")] = "rel"
    cooldown: Whole = 0
    min_lr: NonNegative = 0.0
    eps: NonNegative = 1e-8
    state: PlateauState = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.state = PlateauState(self.lr, math.inf if self.mode == "min" else -math.inf, 0, 0)

    def after(self, taken: int) -> float:
        """The rate now, whatever the step."""
        return self.state.lr

    def update(self, metric: Any) -> None:
        """Take the next metric: a number, a scalar node or an array with one entry.

        Raises:
            UsageError: if it is no number; nothing is changed then.
        """
        self.state = self.advance(self.state, metric)

    def advance(self, state: PlateauState, metric: Any) -> PlateauState:
        """The state after one more metric."""
        value = float(_plain("metric", metric))
        better = self._is_better(value, state.best)
        best = value if better else state.best
        bad = 0 if better or state.cooldown else state.bad + 1
        if bad > self.patience:
            return PlateauState(self._reduced(state.lr), best, 0, self.cooldown)
        return PlateauState(state.lr, best, bad, max(state.cooldown - 1, 0))

    def _is_better(self, value: float, best: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "rel":
            return sign * value > sign * best * (1.0 + sign * self.threshold)
        return sign * value > sign * best + self.threshold

    def _reduced(self, lr: float) -> float:
        reduced = max(lr * self.factor, self.min_lr)
        return reduced if lr - reduced > self.eps else lr

    def state_dict(self) -> dict[str, Any]:
        """The state as a dict of numbers."""
        return self.state._asdict()

    def _checked(self, state: Any) -> list[tuple[Schedule, Any]]:
        if not isinstance(state, dict) or set(state) != set(PlateauState._fields):
            given = sorted(state) if isinstance(state, dict) else state
            raise UsageError(
                f"Plateau: a saved state holds {list(PlateauState._fields)}, got {given!r}"
            )
        found = {name: _plain(name, value) for name, value in state.items()}
        if math.isnan(found["best"]):
            raise UsageError("Plateau: best must not be NaN")
        return [
            (
                self,
                PlateauState(
                    number("Plateau", "lr", found["lr"]),
                    float(found["best"]),
                    whole("Plateau", "bad", found["bad"]),
                    whole("Plateau", "cooldown", found["cooldown"]),
                ),
            )
        ]

    def _remembering(self) -> list[Schedule]:
        return [self]

    @classmethod
    def examples(cls) -> list["Plateau"]:
        """For a loss, for an accuracy, and one that has seen metrics."""
        used = cls(0.1, factor=0.5, patience=1, cooldown=2)
        for metric in (1.0, 2.0, 2.0, 0.5):
            used.update(metric)
        return [cls(0.1), cls(0.1, "max", 0.5, 3, 0.01, "abs", 2, 1e-3, 0), used]


def _plain(name: str, value: Any) -> Any:
    """A number, also out of a node or an array with one entry, as Python's."""
    try:
        plain = value.item() if hasattr(value, "item") else value
    except ValueError:
        plain = None
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise UsageError(f"Plateau: {name} must be a number, got {value!r}")
    return plain
