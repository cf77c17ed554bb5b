"""What the fields of a schedule may hold: each kind is a type and the function that accepts it.

A kind's function gets the schedule's name, the field's name and what was given; it returns the
plain Python value to keep, or says what to write instead.
"""

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from microgradopt.arguments import check_number, is_integer
from microgradopt.errors import UsageError


def number(user: str, name: str, value: Any) -> float:
    """Any finite number."""
    check_number(user, name, value, low=-math.inf)
    return float(value)


def at_least_0(user: str, name: str, value: Any) -> float:
    """A finite number from 0 up."""
    check_number(user, name, value)
    return float(value)


def above_0(user: str, name: str, value: Any) -> float:
    """A finite number above 0."""
    check_number(user, name, value)
    if value == 0:
        raise UsageError(f"{user}: {name} must be above 0, got {value!r}")
    return float(value)


def fraction(user: str, name: str, value: Any) -> float:
    """A number from 0 to 1, both included."""
    check_number(user, name, value)
    if value > 1:
        raise UsageError(f"{user}: {name} must lie between 0 and 1, got {value!r}")
    return float(value)


def below_1(user: str, name: str, value: Any) -> float:
    """A number from 0 up, below 1."""
    check_number(user, name, value, high=1.0)
    return float(value)


def whole(user: str, name: str, value: Any, low: int = 0) -> int:
    """An int from ``low`` up; a NumPy int becomes Python's."""
    if not is_integer(value) or value < low:
        raise UsageError(f"{user}: {name} must be an int of at least {low}, got {value!r}")
    return int(value)


def count(user: str, name: str, value: Any) -> int:
    """An int of at least 1."""
    return whole(user, name, value, low=1)


def counts(user: str, name: str, values: Any) -> tuple[int, ...]:
    """Ints of at least 1, as a tuple."""
    return tuple(count(user, f"{name}[{i}]", n) for i, n in enumerate(listed(user, name, values)))


def sorted_counts(user: str, name: str, values: Any) -> tuple[int, ...]:
    """Ints of at least 1 in any order, as a rising tuple."""
    return tuple(sorted(counts(user, name, values)))


def flag(user: str, name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{user}: {name} must be True or False, got {value!r}")
    return value


def one_of(*words: str) -> Callable[[str, str, Any], str]:
    """One of some words."""

    def accept(user: str, name: str, value: Any) -> str:
        if value not in words:
            raise UsageError(f"{user}: {name} must be one of {list(words)}, got {value!r}")
        return str(value)

    return accept


def optional(accept: Callable[[str, str, Any], Any]) -> Callable[[str, str, Any], Any]:
    """None, or what another kind accepts."""
    return lambda user, name, value: None if value is None else accept(user, name, value)


def listed(user: str, name: str, values: Any) -> list[Any]:
    """The entries of a list or another iterable."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(f"{user}: {name} must be a list, got {values!r}")
    return list(values)


Number = Annotated[float, number]
NonNegative = Annotated[float, at_least_0]
Positive = Annotated[float, above_0]
Fraction = Annotated[float, fraction]
Whole = Annotated[int, whole]
Count = Annotated[int, count]
Flag = Annotated[bool, flag]
