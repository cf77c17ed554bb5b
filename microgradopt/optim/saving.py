"""An optimizer's options and state as plain data, and back, with every difference named."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from microgradopt.errors import UsageError
from microgradopt.optim.transforms import Transform

SCHEDULE = "schedule"  # the key that marks an option which is one


def written_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options as plain data; a schedule as how it reads, with what it remembers."""
    return {name: _written(value) for name, value in options.items()}


def _written(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_written(v) for v in value]
    if isinstance(value, (np.floating, np.integer)):
        return value.item()
    if callable(value):
        memory = {"memory": value.state_dict()} if hasattr(value, "state_dict") else {}
        return {SCHEDULE: True, **memory}
    return value


def schedules_in(rule: Any, where: str = "") -> dict[str, Any]:
    """The schedules in a transform that remember something, by their places in it."""
    if not isinstance(rule, Transform):
        return {}
    found = {
        f"{where}{name}": value
        for name, value in rule.options.items()
        if hasattr(value, "state_dict") and value.state_dict()
    }
    for i, piece in enumerate(rule.pieces):
        found |= schedules_in(piece, f"{where}{i}.{piece.name}.")
    return found


def read_options(user: str, given: Any, current: dict[str, Any]) -> dict[str, Any]:
    """The options that ``given`` describes: its numbers and words, our schedules.

    Raises:
        UsageError: where an option is missing, unknown, or a schedule in only one of the two.
    """
    if not isinstance(given, dict) or given.keys() != current.keys():
        raise UsageError(
            f"{user}: saved options are {written_keys(given)}, needed are {written_keys(current)}"
        )
    return {k: _read(user, k, given[k], current[k]) for k in current}


def _read(user: str, name: str, given: Any, current: Any) -> Any:
    if isinstance(current, (tuple, list)):
        if not isinstance(given, list) or len(given) != len(current):
            raise UsageError(f"{user}: {name} must be {len(current)} numbers, saved is {given!r}")
        pairs = zip(given, current)
        return tuple(_read(user, f"{name}[{i}]", g, c) for i, (g, c) in enumerate(pairs))
    scheduled = isinstance(given, dict) and given.get(SCHEDULE) is True
    if scheduled != callable(current):
        kinds = ("a number", "a schedule")
        raise UsageError(
            f"{user}: {name} is {kinds[callable(current)]} here and was {kinds[scheduled]} when "
            "saved; make the optimizer as it was, load, then assign another"
        )
    return current if scheduled else given


def remembered(given: Any, settings: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Schedules with a memory, each with what was saved of it, after trying it on a copy."""
    pairs = [
        (schedule, saved.get("memory"))
        for name, value in settings.items()
        for schedule, saved in (
            zip(value, given[name]) if isinstance(value, tuple) else [(value, given[name])]
        )
        if callable(schedule) and hasattr(schedule, "load_state_dict")
    ]
    for schedule, memory in pairs:
        copy.deepcopy(schedule).load_state_dict(memory)
    return pairs


def check_header(user: str, state: Any, names: list[list[str]]) -> list[dict[str, Any]]:
    """The saved groups, of an optimizer of that kind with parameters of those names.

    Raises:
        UsageError: if it is another's, or of other parameters.
    """
    header = {"optimizer": "", "steps": 0, "skipped": 0, "groups": None}
    found = check_state(user, state, header, "the state")
    if found["optimizer"] != user:
        raise UsageError(f"{user}: the state was saved by {found['optimizer']!r}")
    if min(found["steps"], found["skipped"]) < 0:
        raise UsageError(f"{user}: the state has steps below 0: {found['steps']}")
    groups = found["groups"]
    if not isinstance(groups, list) or len(groups) != len(names):
        raise UsageError(f"{user}: the state has other groups; here are {len(names)}")
    for i, (group, own) in enumerate(zip(groups, names)):
        form = {"names": None, "options": None, "state": None}
        check_state(user, group, form, f"groups.{i}")
        if repr(group["names"]) != repr(own):  # what is saved there may not be names at all
            raise UsageError(
                f"{user}: group {i} has the parameters {own}, saved are {group['names']!r:.200}"
            )
    return groups


def check_state(user: str, given: Any, expected: Any, where: str) -> Any:
    """A saved state in the form of the expected one, arrays copied; None expects anything.

    Raises:
        UsageError: where keys, shapes, dtypes or kinds of number differ, naming the place.
    """
    if isinstance(expected, dict):
        if not isinstance(given, dict) or given.keys() != expected.keys():
            raise UsageError(
                f"{user}: {where} has {written_keys(given)}, but needs {written_keys(expected)}; "
                "was it saved by the same optimizer with the same options?"
            )
        return {k: check_state(user, given[k], expected[k], f"{where}.{k}") for k in expected}
    if expected is None:
        return given
    have, need = _form(given), _form(expected)
    if have != need:
        raise UsageError(f"{user}: {where} is {have}, but must be {need}")
    return copied(given)


def copied(leaf: Any) -> Any:
    """An entry of a state that shares no memory with it."""
    return np.array(leaf) if isinstance(leaf, np.ndarray) else leaf


def written_keys(x: Any) -> str:
    """The keys of a dict, for a message."""
    return ", ".join(map(repr, x)) or "nothing" if isinstance(x, dict) else type(x).__name__


def _form(x: Any) -> str:
    """What an entry of a state is, such as ``float64 of shape (2, 3)``."""
    if isinstance(x, (np.ndarray, np.generic)):
        return f"{x.dtype} of shape {x.shape}"
    return type(x).__name__
