"""What a call of a jitted function is given: which arguments are traced, and which are fixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.modes import PAUSED, paused

BY_VALUE = frozenset((int, bool, str, bytes, type(None), complex))


def signature_of(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, list[Any], bool]:
    """A key for calls of this kind, what is traced of this call, and whether to build a graph.

    Floats, arrays and leaf nodes are traced, inside of lists, tuples and dicts too; of these the
    key has shapes, dtypes and memory layouts. Everything else is part of the key: numbers and words
    by value, other objects by identity; and whether the call is inside of no_grad. A call is not
    replayed where an argument is a node that a gradient is to flow through.
    """
    leaves: list[Any] = []
    key = (bool(PAUSED) and paused(), *[_key(x, leaves) for x in args])
    if options:
        key = (*key, *((name, _key(x, leaves)) for name, x in options.items()))
    return key, leaves, any(isinstance(x, Node) and x._bits for x in leaves)


def _key(x: Any, leaves: list[Any]) -> Any:
    kind = type(x)
    if is_traced(x):
        leaves.append(x)
        return (x.shape, x.dtype, x.strides) if kind is np.ndarray else kind
    if kind in BY_VALUE:
        return kind, x
    if isinstance(x, (tuple, list)):
        return kind, *[_key(branch, leaves) for branch in x]
    if isinstance(x, dict):
        return kind, *[(name, _key(branch, leaves)) for name, branch in x.items()]
    if isinstance(x, Node):
        leaves.append(x)
        key = kind, x.name, _key(x._raw, [])
        return key if x.grad is None else (*key, _key(x.grad, leaves))
    return kind, _Held(x)


def is_traced(x: Any) -> bool:
    """Whether a leaf of the arguments may be another number or array in each call."""
    kind = type(x)
    if kind is np.ndarray or isinstance(x, np.generic):
        return x.dtype.kind in "fiub"
    return kind is float


class _Held:
    """An object as part of a key: equal to itself only, and kept alive as long as the key."""

    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)
