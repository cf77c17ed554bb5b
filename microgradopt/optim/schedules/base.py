"""``Schedule``, and how schedules are put together."""

# A schedule is used like a function, so its class is written like one, as range and partial are.
# ruff: noqa: N801

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_args

from microgradopt.arguments import check_number, is_integer
from microgradopt.errors import UsageError
from microgradopt.optim.schedules.fields import Count, Number, counts, listed

S = TypeVar("S", bound="Schedule")


class Schedule(ABC):
    """A pure function of the step: ``schedule(step)`` is the value used in that step, from 1 on.

    Subclasses are frozen dataclasses: they compare by what they hold, can be pickled, and their
    ``repr`` can be evaluated. Each field's kind (see ``fields``) checks and converts what it gets.

    A schedule with a ``length`` can be followed by another: ``warmup(0.1, 9) >> cosine(0.1, 90)``.
    Schedules multiply with numbers, with each other and with functions: ``0.5 * schedule``.
    """

    __array_ufunc__ = None  # so that np.float64(0.5) * schedule asks the schedule

    def __call__(self, step: int) -> float:
        """The value used in a step.

        Raises:
            UsageError: if the step is not an int of at least 1.
        """
        if type(step) is not int or step < 1:
            step = _whole_step(type(self).__name__, step)
        return self.after(step - 1)

    @abstractmethod
    def after(self, taken: int) -> float:
        """The value once ``taken`` steps have been taken; torch's ``last_epoch``."""

    @classmethod
    @abstractmethod
    def examples(cls: type[S]) -> list[S]:
        """Small instances over the options that matter, which the tests go through."""

    @property
    def length(self) -> int | None:
        """After how many steps another schedule may take over; None if it goes on for ever."""
        return None

    def for_steps(self, steps: int) -> "for_steps":
        """This schedule for a number of steps; its last value stays."""
        return for_steps(self, steps)

    def every(self, steps: int) -> "every":
        """Each value for a number of steps: with the steps per epoch, a schedule of epochs."""
        return every(self, steps)

    def __rshift__(self, other: Any) -> "join":
        following = as_schedule(">>", "what follows", other)
        n = self.length
        if n is None:
            raise UsageError(
                f">>: {self!r} has no end, so nothing can follow it; write "
                "schedule.for_steps(n) >> …, or join([…], boundaries)"
            )
        head, tail = _as_join(self), _as_join(following)
        return join(
            (*head.schedules, *tail.schedules),
            (*head.boundaries, n, *(n + b for b in tail.boundaries)),
        )

    def __mul__(self, other: Any) -> "product":
        return product((self, other))

    def __rmul__(self, other: Any) -> "product":
        return product((other, self))

    def __post_init__(self) -> None:
        for field in _fields(self):
            accept = get_args(field.type)[1]
            value = accept(type(self).__name__, field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    # What is remembered, by the few schedules that are more than functions of the step

    def state_dict(self) -> dict[str, Any]:
        """What the parts of this schedule remember, such as a ``Plateau``; mostly nothing."""
        return {str(i): part.state_dict() for i, part in enumerate(self._remembering())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave.

        Raises:
            UsageError: if it is of another schedule; nothing is changed then.
        """
        for part, remembered in self._checked(state):
            object.__setattr__(part, "state", remembered)

    def _remembering(self) -> list["Schedule"]:
        values = [getattr(self, field.name) for field in _fields(self)]
        inner = [x for value in values for x in (value if isinstance(value, tuple) else [value])]
        return [part for x in inner if isinstance(x, Schedule) for part in x._remembering()]

    def _checked(self, state: Any) -> list[tuple["Schedule", Any]]:
        """The parts that remember, each with what it is to remember; None is nothing."""
        parts, state = self._remembering(), {} if state is None else state
        if not isinstance(state, dict) or set(state) != {str(i) for i in range(len(parts))}:
            given = sorted(state) if isinstance(state, dict) else state
            raise UsageError(
                f"{type(self).__name__}: a saved state holds that of the {len(parts)} parts of "
                f"{self!r} that remember something, got {given!r}"
            )
        return [pair for i, part in enumerate(parts) for pair in part._checked(state[str(i)])]


def _fields(schedule: Any) -> list[Field[Any]]:
    return [field for field in fields(schedule) if field.init]


def _whole_step(user: str, step: Any) -> int:
    if not is_integer(step) or step < 1:
        raise UsageError(
            f"{user}: the step must be an int, counted from 1, got {step!r}; "
            "schedule(1) is the value in the first step"
        )
    return int(step)


def as_schedule(user: str, name: str, value: Any) -> Schedule:
    """A schedule as it is, a number as a constant, a function of the step lifted."""
    if isinstance(value, Schedule):
        return value
    if callable(value) and not isinstance(value, type):
        return lift(value)
    try:
        return constant(value)
    except UsageError as error:
        raise UsageError(
            f"{user}: {name} must be a schedule, a finite number or a function of the step, "
            f"got {value!r}"
        ) from error


def _schedules(user: str, name: str, values: Any) -> tuple[Schedule, ...]:
    found = [
        as_schedule(user, f"{name}[{i}]", value)
        for i, value in enumerate(listed(user, name, values))
    ]
    if not found:
        raise UsageError(f"{user}: {name} is empty; give at least one schedule")
    return tuple(found)


def _function(user: str, name: str, value: Any) -> Callable[[int], float]:
    if not callable(value) or isinstance(value, type):
        raise UsageError(f"{user}: {name} must be a function of the step, got {value!r}")
    return value  # type: ignore[no-any-return]


Inner = Annotated[Any, as_schedule]
Inners = Annotated[Sequence[Any], _schedules]


@dataclass(frozen=True)
class constant(Schedule):
    """The same value at every step.

    >>> constant(0.1)(1), constant(0.1)(1000)
    (0.1, 0.1)
    """

    lr: Number

    def after(self, taken: int) -> float:
        """lr."""
        return self.lr

    @classmethod
    def examples(cls) -> list["constant"]:
        """A rate, and nothing."""
        return [cls(0.1), cls(0)]


@dataclass(frozen=True)
class lift(Schedule):
    """Any function of the step as a schedule; torch's ``LambdaLR``, with steps counted from 1.

    It can be pickled if the function can, so not if that is a lambda.

    Raises:
        UsageError: at a step where the function gives no finite number.

    >>> (lift(lambda step: 0.1 / step) * 0.5)(4)
    0.0125
    """

    f: Annotated[Any, _function]

    def after(self, taken: int) -> float:
        """f(taken + 1), as a plain float."""
        value = self.f(taken + 1)
        check_number("lift", f"the value of {self.f!r} at step {taken + 1}", value, low=-math.inf)
        return float(value)

    @classmethod
    def examples(cls) -> list["lift"]:
        """A function whose repr can be evaluated: another schedule."""
        return [cls(constant(0.1))]


@dataclass(frozen=True)
class join(Schedule):
    """Schedules one after the other, each from its own step 1; torch's ``SequentialLR``.

    Args:
        schedules: schedules, numbers or functions of the step.
        boundaries: after how many steps each but the first takes over, rising. ``>>`` works
            them out from the lengths.

    >>> [join([0.1, 0.01], [30])(step) for step in (1, 30, 31)]
    [0.1, 0.1, 0.01]
    """

    schedules: Inners
    boundaries: Annotated[Sequence[int], counts]

    def __post_init__(self) -> None:
        super().__post_init__()
        places, n = self.boundaries, len(self.schedules)
        if len(places) != n - 1:
            raise UsageError(
                f"join: {n} schedules need {n - 1} boundaries, after which the next one takes "
                f"over; got {len(places)}"
            )
        if any(a >= b for a, b in pairwise(places)):
            raise UsageError(f"join: boundaries must rise, got {list(places)}")

    @property
    def length(self) -> int | None:
        """Until the last one ends."""
        last: int | None = self.schedules[-1].length
        return None if last is None else sum(self.boundaries[-1:]) + last

    def after(self, taken: int) -> float:
        """The value of the schedule whose turn it is."""
        turn = bisect_right(self.boundaries, taken)
        start = self.boundaries[turn - 1] if turn else 0
        return self.schedules[turn].after(taken - start)  # type: ignore[no-any-return]

    @classmethod
    def examples(cls) -> list["join"]:
        """Three in a row, and one alone."""
        return [cls([0.1, every(lift(constant(0.2)), 2), 0.3], [3, 5]), cls([0.1], [])]


def _as_join(schedule: Schedule) -> join:
    return schedule if isinstance(schedule, join) else join((schedule,), ())


@dataclass(frozen=True)
class product(Schedule):
    """The product of schedules, step by step: what ``*`` makes; torch's ``ChainedScheduler``.

    One factor carries the rate, the others multiply it.

    >>> (constant(0.1) * 0.5)(1)
    0.05
    """

    factors: Inners

    def __post_init__(self) -> None:
        super().__post_init__()
        flat = [f.factors if isinstance(f, product) else (f,) for f in self.factors]
        object.__setattr__(self, "factors", tuple(f for group in flat for f in group))

    @property
    def length(self) -> int | None:
        """Until the last factor ends, constants aside."""
        lengths = [f.length for f in self.factors if not isinstance(f, constant)]
        return None if not lengths or None in lengths else max(lengths)

    def after(self, taken: int) -> float:
        """The product of the values."""
        return float(math.prod(f.after(taken) for f in self.factors))

    @classmethod
    def examples(cls) -> list["product"]:
        """Two schedules and a number."""
        return [cls([join([0.1, 0.2], [5]), constant(0.5).for_steps(3), 2.0])]


@dataclass(frozen=True)
class for_steps(Schedule):
    """A schedule for a number of steps, so that another can follow; its last value stays.

    >>> schedule = lift(lambda step: 1.0 / step).for_steps(4)
    >>> schedule(4), schedule(5)
    (0.25, 0.25)
    >>> (schedule >> 0.1)(5)
    0.1
    """

    schedule: Inner
    steps: Count

    @property
    def length(self) -> int:
        """The steps."""
        return self.steps

    def after(self, taken: int) -> float:
        """The schedule's value, at its last step from there on."""
        return self.schedule.after(min(taken, self.steps - 1))  # type: ignore[no-any-return]

    @classmethod
    def examples(cls) -> list["for_steps"]:
        """Several steps, and one."""
        return [cls(join([0.1, 0.2], [5]), 7), cls(0.1, 1)]


@dataclass(frozen=True)
class every(Schedule):
    """A schedule whose every value is held for a number of steps, such as the steps of an epoch.

    >>> epochs = join([0.1, 0.01], [30])
    >>> schedule = epochs.every(100)
    >>> schedule(3000), schedule(3001)
    (0.1, 0.01)
    """

    schedule: Inner
    steps: Count

    @property
    def length(self) -> int | None:
        """That of the schedule, times the steps."""
        inner: int | None = self.schedule.length
        return None if inner is None else inner * self.steps

    def after(self, taken: int) -> float:
        """The schedule's value in the epoch that the step is in."""
        return self.schedule.after(taken // self.steps)  # type: ignore[no-any-return]

    @classmethod
    def examples(cls) -> list["every"]:
        """Several steps, and one."""
        return [cls(join([0.1, 0.2], [5]), 7), cls(constant(0.1).for_steps(3), 1)]
