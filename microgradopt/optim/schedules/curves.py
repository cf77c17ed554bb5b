"""The schedules themselves: decays, ways from one value to another, cycles and warm-ups.

In the formulas t counts the steps already taken: 0 in the first step, as torch's ``last_epoch``.
"""

# ruff: noqa: N801

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from microgradopt.errors import UsageError
from microgradopt.optim.schedules.base import Schedule
from microgradopt.optim.schedules.fields import (
    Count,
    Flag,
    Fraction,
    NonNegative,
    Number,
    Positive,
    at_least_0,
    count,
    fraction,
    listed,
    number,
    one_of,
    optional,
    sorted_counts,
)

# Decays, which go on for ever


@dataclass(frozen=True)
class step_decay(Schedule):
    """lr·gamma^⌊t/step_size⌋, such as half of it every 5 epochs; torch's ``StepLR``.

    >>> halving = step_decay(0.1, 5, 0.5)
    >>> [halving(step) for step in (1, 5, 6, 11)]
    [0.1, 0.1, 0.05, 0.025]
    """

    lr: Number
    step_size: Count
    gamma: Fraction = 0.1

    def after(self, taken: int) -> float:
        """lr·gamma^⌊t/step_size⌋."""
        return self.lr * self.gamma ** (taken // self.step_size)

    @classmethod
    def examples(cls) -> list["step_decay"]:
        """Half every 5 steps, and a tenth every 20."""
        return [cls(0.1, 5, 0.5), cls(1, 20)]


@dataclass(frozen=True)
class multistep(Schedule):
    """lr, times gamma after each milestone; torch's ``MultiStepLR``.

    Milestones are numbers of steps taken, in any order; one given twice counts twice.

    >>> [round(multistep(0.1, [30, 80])(step), 9) for step in (1, 30, 31, 81)]
    [0.1, 0.1, 0.01, 0.001]
    """

    lr: Number
    milestones: Annotated[Sequence[int], sorted_counts]
    gamma: Fraction = 0.1

    def after(self, taken: int) -> float:
        """lr·gamma^(milestones passed)."""
        return self.lr * self.gamma ** bisect_right(self.milestones, taken)

    @classmethod
    def examples(cls) -> list["multistep"]:
        """Two milestones, one of them twice, and none."""
        return [cls(0.1, [30, 80]), cls(0.5, (7, 3, 7), 0.5), cls(0.1, [])]


@dataclass(frozen=True)
class exponential(Schedule):
    """lr·e^(−k·t), or lr·gamma^t; torch's ``ExponentialLR``.

    Raises:
        UsageError: unless one of k (at least 0) and gamma (between 0 and 1) is given.

    >>> round(exponential(0.1, k=0.05)(21), 6), round(exponential(0.1, gamma=0.5)(4), 6)
    (0.036788, 0.0125)
    """

    lr: Number
    k: Annotated[float | None, optional(at_least_0)] = None
    gamma: Annotated[float | None, optional(fraction)] = None

    def __post_init__(self) -> None:
        if (self.k is None) == (self.gamma is None):
            raise UsageError(
                f"exponential: give either k or gamma = e^(−k), got k={self.k!r} and "
                f"gamma={self.gamma!r}"
            )
        super().__post_init__()

    def after(self, taken: int) -> float:
        """lr·e^(−k·t), or lr·gamma^t."""
        if self.gamma is None:
            return self.lr * math.exp(-(self.k or 0.0) * taken)
        return self.lr * float(self.gamma**taken)

    @classmethod
    def examples(cls) -> list["exponential"]:
        """By k, and by gamma up to its limits."""
        return [cls(0.1, 0.05), cls(0.1, gamma=0.9), cls(1, gamma=0), cls(1, gamma=1)]


@dataclass(frozen=True)
class inverse_time(Schedule):
    """lr/(1 + k·t), the 1/t decay, with k at least 0.

    >>> [inverse_time(0.1, k=1.0)(step) for step in (1, 2, 4)]
    [0.1, 0.05, 0.025]
    """

    lr: Number
    k: NonNegative

    def after(self, taken: int) -> float:
        """lr/(1 + k·t)."""
        return self.lr / (1.0 + self.k * taken)

    @classmethod
    def examples(cls) -> list["inverse_time"]:
        """A fast one and none."""
        return [cls(0.1, 0.5), cls(0.1, 0)]


# Ways from one value to another: after `steps` steps the other is reached, and stays


class _Way(Schedule):
    steps: int

    @property
    def length(self) -> int:
        """The steps."""
        return self.steps


@dataclass(frozen=True)
class linear(_Way):
    """From start to end in a straight line; torch's ``LinearLR`` from lr·start_factor.

    >>> [linear(0.5, 0.1, 4)(step) for step in (1, 3, 5, 6)]
    [0.5, 0.3, 0.1, 0.1]
    """

    start: Number
    end: Number
    steps: Count

    def after(self, taken: int) -> float:
        """start + (end − start)·t/steps."""
        if taken >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * taken / self.steps

    @classmethod
    def examples(cls) -> list["linear"]:
        """Down, up, and at once."""
        return [cls(0.5, 0.1, 4), cls(0, 0.1, 9), cls(0.1, 0.2, 1)]


@dataclass(frozen=True)
class geometric(_Way):
    """From start to end, both above 0, by equal factors, as ``np.geomspace``.

    Rising, it is the range test that finds a rate (Smith 2017, arXiv:1506.01186).

    >>> [round(geometric(1e-4, 1.0, 4)(step), 9) for step in range(1, 6)]
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """

    start: Positive
    end: Positive
    steps: Count

    def after(self, taken: int) -> float:
        """start·(end/start)^(t/steps), by way of logarithms, which cannot overflow."""
        if taken == 0:
            return self.start
        if taken >= self.steps:
            return self.end
        share = taken / self.steps
        return math.exp(math.log(self.start) * (1.0 - share) + math.log(self.end) * share)

    @classmethod
    def examples(cls) -> list["geometric"]:
        """Up, down, and at once."""
        return [cls(1e-4, 1, 8), cls(0.1, 1e-3, 5), cls(0.1, 0.2, 1)]


@dataclass(frozen=True)
class polynomial(_Way):
    """lr·(1 − t/steps)^power, down to ``end``; torch's ``PolynomialLR``, whose end is 0.

    >>> [polynomial(0.16, 4, power=2.0)(step) for step in range(1, 7)]
    [0.16, 0.09, 0.04, 0.01, 0.0, 0.0]
    """

    lr: Number
    steps: Count
    power: Positive = 1.0
    end: Number = 0.0

    def after(self, taken: int) -> float:
        """end + (lr − end)·(1 − t/steps)^power."""
        left = max(self.steps - taken, 0) / self.steps
        return self.end + (self.lr - self.end) * float(left**self.power)

    @classmethod
    def examples(cls) -> list["polynomial"]:
        """Straight, bent, and not down to 0."""
        return [cls(0.1, 7), cls(0.1, 7, 2), cls(0.1, 6, 0.5, 0.02)]


@dataclass(frozen=True)
class cosine(_Way):
    """eta_min + ½(lr − eta_min)(1 + cos(π·t/steps)); torch's ``CosineAnnealingLR``.

    After ``steps`` steps it stays at eta_min, where torch's rises again (Loshchilov and Hutter
    2017, arXiv:1608.03983).

    >>> [round(cosine(0.1, 4)(step), 6) for step in range(1, 7)]
    [0.1, 0.085355, 0.05, 0.014645, 0.0, 0.0]
    """

    lr: Number
    steps: Count
    eta_min: Number = 0.0

    def after(self, taken: int) -> float:
        """Half a wave from lr to eta_min."""
        return _half_wave(self.lr, self.eta_min, min(taken, self.steps), self.steps)

    @classmethod
    def examples(cls) -> list["cosine"]:
        """To 0, to another value, and at once."""
        return [cls(0.1, 8), cls(0.1, 5, 0.01), cls(0.1, 1)]


def _half_wave(start: float, end: float, place: float, size: float) -> float:
    """From start at place 0 to end at place ``size`` along half a cosine."""
    return end + (start - end) * (1.0 + math.cos(math.pi * place / size)) / 2.0


# Cycles


@dataclass(frozen=True)
class warm_restarts(Schedule):
    """Cosines from lr to eta_min, again and again; torch's ``CosineAnnealingWarmRestarts``.

    The first takes T_0 steps, each one T_mult times those of the one before (Loshchilov and
    Hutter 2017, arXiv:1608.03983).

    >>> [round(warm_restarts(0.1, T_0=2, T_mult=2)(step), 6) for step in range(1, 8)]
    [0.1, 0.05, 0.1, 0.085355, 0.05, 0.014645, 0.1]
    """

    lr: Number
    T_0: Count
    T_mult: Count = 1
    eta_min: Number = 0.0

    def after(self, taken: int) -> float:
        """Half a wave, from the last restart on."""
        size = self.T_0
        if self.T_mult == 1:
            taken %= size
        while taken >= size:
            taken, size = taken - size, size * self.T_mult
        return _half_wave(self.lr, self.eta_min, taken, size)

    @classmethod
    def examples(cls) -> list["warm_restarts"]:
        """Equal waves, longer and longer ones, and no wave at all."""
        return [cls(0.1, 5), cls(0.1, 3, 2, 0.01), cls(0.1, 1)]


@dataclass(frozen=True)
class cyclical(Schedule):
    """Up from base_lr to max_lr and down again, for ever; torch's ``CyclicLR``.

    Args:
        base_lr: the first value.
        max_lr: the other one; below base_lr it cycles a momentum the other way round.
        step_size_up: steps on the way up.
        step_size_down: steps on the way down; None takes as many as up.
        mode: "triangular", "triangular2" with half the height each cycle, or "exp_range" with
            the height times gamma each step.
        gamma: between 0 and 1, for "exp_range".

    Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017),
    arXiv:1506.01186.

    >>> [round(cyclical(0.1, 0.5, 2)(step), 6) for step in range(1, 7)]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.3]
    """

    base_lr: Number
    max_lr: Number
    step_size_up: Count = 2000
    step_size_down: Annotated[int | None, optional(count)] = None
    mode: Annotated[str, one_of("triangular", "triangular2", "exp_range")] = "triangular"
    gamma: Fraction = 1.0

    def after(self, taken: int) -> float:
        """base_lr + (max_lr − base_lr)·height of the triangle."""
        up = self.step_size_up
        down = self.step_size_down or up
        cycle, place = divmod(taken, up + down)
        height = place / up if place <= up else (up + down - place) / down
        return self.base_lr + (self.max_lr - self.base_lr) * height * self._shrunk(cycle, taken)

    def _shrunk(self, cycle: int, taken: int) -> float:
        if self.mode == "triangular2":
            return math.ldexp(1.0, -cycle)  # 2.0**−cycle, but 0 where that overflows
        return float(self.gamma**taken) if self.mode == "exp_range" else 1.0

    @classmethod
    def examples(cls) -> list["cyclical"]:
        """The three modes, and a momentum's cycle."""
        return [
            cls(0.01, 0.1, 4),
            cls(0.01, 0.1, 3, 5, "triangular2"),
            cls(0.01, 0.1, 4, mode="exp_range", gamma=0.95),
            cls(0.9, 0.8, 4),
        ]


@dataclass(frozen=True)
class one_cycle(Schedule):
    """Up to max_lr, then down to far below the start; torch's ``OneCycleLR``.

    Args:
        max_lr: the peak.
        total_steps: steps in all; the last value stays afterwards.
        pct_start: share of them on the way up.
        anneal_strategy: "cos" or "linear".
        div_factor: the start is max_lr/div_factor.
        final_div_factor: the end is start/final_div_factor.
        three_phase: down to the start in as many steps as up, and to the end in the rest.

    Raises:
        UsageError: also for three phases with pct_start above ½, which leaves no third.

    Smith and Topin, "Super-Convergence" (2018), arXiv:1708.07120.

    >>> [round(one_cycle(1.0, 10)(step), 6) for step in (1, 2, 3, 10)]
    [0.04, 0.52, 1.0, 4e-06]
    """

    max_lr: Number
    total_steps: Count
    pct_start: Fraction = 0.3
    anneal_strategy: Annotated[str, one_of("cos", "linear")] = "cos"
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    three_phase: Flag = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.three_phase and self.pct_start > 0.5:
            raise UsageError(
                f"one_cycle: pct_start must be at most 0.5 with three_phase=True, got "
                f"{self.pct_start!r}; the way down takes as many steps as the way up"
            )
        number("one_cycle", "max_lr/div_factor/final_div_factor", self._turns()[-1][1])

    @property
    def length(self) -> int:
        """total_steps."""
        return self.total_steps

    def after(self, taken: int) -> float:
        """The way from the last turn to the next one."""
        place = min(taken, self.total_steps - 1)
        turns = self._turns()
        n = next(i for i in range(1, len(turns)) if place <= turns[i][0] or i == len(turns) - 1)
        (begin, start), (stop, end) = turns[n - 1], turns[n]
        if place >= stop:
            return end
        if self.anneal_strategy == "cos":
            return _half_wave(start, end, place - begin, stop - begin)
        return start + (end - start) * ((place - begin) / (stop - begin))

    def _turns(self) -> list[tuple[float, float]]:
        """After how many steps which value is reached; torch's fractions of steps included."""
        top, start = self.pct_start * self.total_steps - 1.0, self.max_lr / self.div_factor
        back = [(2.0 * self.pct_start * self.total_steps - 2.0, start)] if self.three_phase else []
        end = (self.total_steps - 1.0, start / self.final_div_factor)
        return [(0.0, start), (top, self.max_lr), *back, end]

    @classmethod
    def examples(cls) -> list["one_cycle"]:
        """Two phases and three, waves and lines, a momentum's cycle, and the shortest."""
        return [
            cls(0.1, 20),
            cls(0.1, 20, 0.25, "linear", three_phase=True),
            cls(0.85, 20, div_factor=0.85 / 0.95, final_div_factor=1),
            cls(0.1, 1),
        ]


# Warm-ups


@dataclass(frozen=True)
class warmup(_Way):
    """lr·step/steps up to lr, for another schedule to follow; no step has the rate 0.

    >>> schedule = warmup(0.1, 4) >> cosine(0.1, 100)
    >>> [round(schedule(step), 6) for step in range(1, 7)]
    [0.025, 0.05, 0.075, 0.1, 0.1, 0.099975]
    """

    lr: Number
    steps: Count

    def after(self, taken: int) -> float:
        """lr·(t + 1)/steps, and lr from there on."""
        return self.lr if taken >= self.steps else self.lr * ((taken + 1) / self.steps)

    @classmethod
    def examples(cls) -> list["warmup"]:
        """Over several steps, and over one."""
        return [cls(0.1, 5), cls(0.1, 1)]


@dataclass(frozen=True)
class inverse_sqrt(Schedule):
    """lr·min(step/w, √(w/step)) with w = warmup_steps: up to lr, then down as 1/√step.

    With lr = (d_model·w)^(−½) it is "Noam", of Vaswani et al. (2017), arXiv:1706.03762, §5.3.

    >>> [inverse_sqrt(0.1, 4)(step) for step in (1, 4, 16)]
    [0.025, 0.1, 0.05]
    """

    lr: Number
    warmup_steps: Count

    def after(self, taken: int) -> float:
        """lr·min((t + 1)/w, √(w/(t + 1)))."""
        share = (taken + 1) / self.warmup_steps
        return self.lr * min(share, 1.0 / math.sqrt(share))

    @classmethod
    def examples(cls) -> list["inverse_sqrt"]:
        """With a warm-up, and without."""
        return [cls(0.1, 5), cls(0.1, 1)]


# By hand


def _by_step(user: str, name: str, values: Any) -> tuple[tuple[int, float], ...]:
    """A table step -> value as rising pairs, the first of step 1."""
    pairs = list(values.items()) if isinstance(values, Mapping) else listed(user, name, values)
    if any(not isinstance(pair, Sequence) or len(pair) != 2 for pair in pairs):
        raise UsageError(f"{user}: {name} must be a dict step -> value, got {values!r}")
    found = {
        count(user, f"each step in {name}", step): number(user, f"{name}[{step}]", value)
        for step, value in pairs
    }
    if 1 not in found or len(found) < len(pairs):
        raise UsageError(f"{user}: {name} needs step 1, and each step once; got {values!r}")
    return tuple(sorted(found.items()))


@dataclass(frozen=True)
class piecewise(Schedule):
    """The rate set by hand: a dict from the step at which a value begins to the value.

    >>> by_hand = piecewise({1: 0.01, 401: 0.1, 32001: 0.01})
    >>> [by_hand(step) for step in (1, 400, 401, 32001)]
    [0.01, 0.01, 0.1, 0.01]
    """

    values: Annotated[Any, _by_step]

    def after(self, taken: int) -> float:
        """The value that began last."""
        at = bisect_right(self.values, taken + 1, key=lambda pair: pair[0])
        return float(self.values[at - 1][1])

    @classmethod
    def examples(cls) -> list["piecewise"]:
        """Up and down, and one value."""
        return [cls({1: 0.01, 5: 0.1, 13: 0.02}), cls({1: 0.1})]
