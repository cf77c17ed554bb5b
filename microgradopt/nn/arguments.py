"""What layers and losses are given, brought into one form or refused."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.arguments import is_integer
from microgradopt.engine.graph import Node
from microgradopt.engine.rules import data_of
from microgradopt.errors import DTypeError, ShapeError, UsageError


def integer(user: str, what: str, n: Any) -> int:
    """A whole number as an int."""
    if not is_integer(n):
        raise UsageError(f"{user}: {what} must be an int, got {n!r}")
    return int(n)


def count(user: str, what: str, n: Any) -> int:
    """A number of inputs, outputs or neurons as an int."""
    if not is_integer(n) or n < 1:
        raise UsageError(f"{user}: {what} must be an int of at least 1, got {n!r}")
    return int(n)


def flag(user: str, what: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise UsageError(f"{user}: {what} must be True or False, got {value!r}")
    return bool(value)


def one_of(user: str, what: str, value: Any, known: Iterable[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in known:
        names = ", ".join(f'"{name}"' for name in known)
        raise UsageError(f"{user}: {what} must be one of {names}; got {value!r}")
    return value


def per_axis(user: str, what: str, value: Any, axes: int, least: int = 1) -> tuple[int, ...]:
    """A whole number for each of some axes, given as one for all or as a sequence."""
    given = value if isinstance(value, (tuple, list)) else (value,) * axes
    if len(given) != axes or any(not is_integer(n) or n < least for n in given):
        each = "" if axes == 1 else f", or {axes} of them"
        raise UsageError(f"{user}: {what} must be an int of at least {least}{each}; got {value!r}")
    return tuple(map(int, given))


def told(sizes: tuple[int, ...]) -> Any:
    """Numbers for each axis as a user writes them: one where all are equal."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def call_of(layer: Any, *args: Any, **options: tuple[Any, Any]) -> str:
    """The call that makes a layer; of options, given beside their defaults, those that differ."""
    named = [f"{name}={value!r}" for name, (value, usual) in options.items() if value != usual]
    return f"{type(layer).__name__}({', '.join([*map(repr, args), *named])})"


def sizes(user: str, nouts: Any) -> list[int]:
    """The sizes of a network's layers as a list of ints."""
    if isinstance(nouts, str) or not np.iterable(nouts):
        nouts = []
    found = [count(user, "each layer's size", n) for n in nouts]
    if not found:
        raise UsageError(f"{user}: nouts lists the layers' sizes, such as [16, 1]; got none")
    return found


def operand(user: str, x: Any, dtype: Any = np.float64) -> Any:
    """Lists and arrays of whole numbers as arrays of ``dtype``; anything else as it is."""
    if isinstance(x, (list, tuple)):
        if any(isinstance(item, Node) for item in x):
            raise DTypeError(
                f"{user}: got a {type(x).__name__} of graph nodes; join them with mg.stack([...])"
            )
        try:
            x = np.asarray(x)
        except ValueError:
            raise ShapeError(f"{user}: the rows of a list must have the same length") from None
        return _as_floats(user, x).astype(dtype, copy=False)
    if isinstance(x, np.ndarray) and x.dtype.kind != "f":
        return _as_floats(user, x).astype(dtype)
    return x


def dtype_of(x: Any) -> np.dtype[Any]:
    """The dtype of the numbers of a node, an array or a float."""
    return np.asarray(data_of(x)).dtype


def _as_floats(user: str, x: Any) -> Any:
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"{user}: takes real numbers, got dtype {x.dtype}")
    return x
