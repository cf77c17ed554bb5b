"""What optimizers are given: parameters, groups of them, and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array, Node, describe
from microgradopt.errors import DTypeError, UsageError
from microgradopt.optim.transforms import check_hyper

Exclusion = str | Callable[[str, Array], bool] | None
LIMITS_OF_TUPLES = {  # their numbers' names in LIMITS
    "betas": ("beta1", "beta2", "beta3"),
    "etas": ("eta_minus", "eta_plus"),
    "ns_coefficients": ("ns_a", "ns_b", "ns_c"),
}


def as_entries(params: Iterable[Any], user: str) -> list[Any]:
    """Parameters, pairs or groups as a list."""
    if isinstance(params, Node):
        raise UsageError(f"{user}: params must be a list of parameters; write {user}([p], …)")
    if not np.iterable(params) or isinstance(params, (str, dict)):
        raise UsageError(
            f"{user}: params must be a list of parameters, got {type(params).__name__}; "
            "write model.parameters(), or list(named.items()) for a dict"
        )
    entries = list(params)
    if not entries:
        raise UsageError(f"{user}: params is empty; a generator can be used up only once")
    return entries


def as_groups(params: Iterable[Any], user: str) -> list[dict[str, Any]]:
    """Parameters as groups: those given, or one of all."""
    entries = as_entries(params, user)
    if not any(isinstance(entry, dict) for entry in entries):
        return [{"params": entries}]
    for entry in entries:
        check_group(user, entry)
    return entries


def check_group(user: str, group: Any) -> None:
    """Refuse what is no group."""
    if not isinstance(group, dict) or "params" not in group:
        raise UsageError(
            f"{user}: params must be all parameters or all groups, dicts with 'params'; "
            f"{group!r} is no group"
        )


def by_name(params: Iterable[Any], user: str, taken: dict[str, Node]) -> dict[str, Node]:
    """Parameters by name: their own names where given and not taken, else numbers."""
    entries = [params] if isinstance(params, Node) else list(params)
    if not entries:
        raise UsageError(f"{user}: params is empty; a generator can be used up only once")
    named: dict[str, Node] = {}
    seen = set(taken.values())
    for i, entry in enumerate(entries, len(taken)):
        pair = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
        given, p = entry if pair else (None, entry)
        if not isinstance(p, Node):
            raise DTypeError(
                f"{user}: a parameter must be a Value or Tensor, or a pair (name, parameter), "
                f"got {entry!r}"
            )
        if p.op is not None or not p.requires_grad:
            raise UsageError(
                f"{user}: {describe(p)} is not a leaf that requires a gradient, so it cannot be "
                "optimized; pass the leaf it was computed from"
            )
        if p in seen:
            raise UsageError(f"{user}: {describe(p)} is in params twice")
        seen.add(p)
        name = given or p.name or str(i)
        while name in named or name in taken:
            name = f"{i}.{name}"
        named[name] = p
    return named


def by_decay(
    user: str, nodes: dict[str, Node], options: dict[str, Any], no_decay: Exclusion
) -> list[tuple[dict[str, Node], dict[str, Any]]]:
    """Parameters with their options: those without weight decay apart from the others."""
    if no_decay is None:
        return [(nodes, options)]
    if "weight_decay" not in options:
        raise UsageError(f"{user}: no_decay is given, but {user} has no weight_decay to leave out")
    if no_decay != "biases_and_norms" and not callable(no_decay):
        raise UsageError(
            f"{user}: no_decay must be 'biases_and_norms' or a function f(name, data) -> bool, "
            f"got {no_decay!r}"
        )
    spared = no_decay if callable(no_decay) else lambda name, data: np.ndim(data) < 2
    kept = {name: p for name, p in nodes.items() if not spared(name, p.data)}
    rest = {name: p for name, p in nodes.items() if name not in kept}
    parts = [(kept, options), (rest, {**options, "weight_decay": 0.0})]
    return [(part, own) for part, own in parts if part]


def check_choice(user: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse what is none of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"{user}: {name} must be one of {', '.join(choices)}; got {value!r}")


def check_names(user: str, options: dict[str, Any], known: dict[str, Any]) -> None:
    """Refuse options that are not exactly the known ones."""
    for name in options:
        if name not in known:
            raise UsageError(
                f"{user}: a group has the option {name!r}; the options are "
                f"{', '.join(known) or 'none'}"
            )
    for name in known:
        if name not in options:
            raise UsageError(f"{user}: a group has lost its option {name!r}")


def check_options(kind: type, options: dict[str, Any]) -> None:
    """Refuse options of another type than the class's defaults, and numbers out of range."""
    user, signature = kind.__name__, inspect.signature(kind).parameters
    for name, value in options.items():
        default = signature[name].default if name in signature else None
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise UsageError(f"{user}: {name} must be True or False, got {value!r}")
        elif isinstance(default, (int, float)):
            check_hyper(user, name, value)
        elif isinstance(default, tuple):
            _check_tuple(user, name, value, default)


def _check_tuple(user: str, name: str, value: Any, default: tuple[Any, ...]) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != len(default):
        raise UsageError(f"{user}: {name} must be {len(default)} numbers, got {value!r}")
    for i, (v, usual) in enumerate(zip(value, default)):
        if v is not None or usual is not None:
            check_hyper(user, f"{name}[{i}]", v, LIMITS_OF_TUPLES.get(name, default)[i])
