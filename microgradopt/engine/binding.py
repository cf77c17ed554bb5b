"""Leaves that are computed from other nodes for a while: how a module is differentiated as it is.

A module, or a closure over parameters, holds its leaves for good. To ask for its derivatives at
another point, its leaves become aliases of the inputs of a functional transform, and leaves again
when the derivatives have been taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from microgradopt.engine.graph import Node, attach
from microgradopt.engine.rules import alias

# The slots themselves: while a thread is traced, some of them look at the tracer.
_SLOTS = [Node.__dict__[n] for n in ("_index", "_a", "_b", "_bits", "_raw", "grad", "op")]
_bound: set[Node] = set()


class as_before:  # noqa: N801  # reads like the keyword it is
    """Whatever leaves become inside, by :func:`bind` or an assignment, is undone at the end."""

    def __init__(self, leaves: Sequence[Node]) -> None:
        self.leaves = leaves

    def __enter__(self) -> None:
        self._contents = [_contents(leaf) for leaf in self.leaves]
        self._were_bound = set(self.leaves) & _bound

    def __exit__(self, *exception: object) -> None:
        for leaf, before in zip(self.leaves, self._contents):
            _become(leaf, before)
        _bound.difference_update(set(self.leaves) - self._were_bound)


def bind(leaf: Node, node: Node) -> None:
    """Let a leaf be an alias of a node, with its data and in its graph."""
    _become(leaf, _contents(attach(alias, [node], node._raw, node._bits, {})))
    _bound.add(leaf)


def is_bound(node: Node) -> bool:
    """Whether it is a leaf of somebody's that :func:`bind` has made an alias for now."""
    return node in _bound


def has_parameters(x: Any) -> bool:
    """Whether it is a module: whatever has ``named_parameters()``."""
    return callable(getattr(x, "named_parameters", None)) and not isinstance(x, type)


def _contents(node: Node) -> list[Any]:
    return [slot.__get__(node) for slot in _SLOTS]


def _become(node: Node, contents: list[Any]) -> None:
    for slot, x in zip(_SLOTS, contents):
        slot.__set__(node, x)
    if hasattr(type(node), "_params"):  # a Tensor's, which neither an alias nor a leaf has
        node._params = {}  # type: ignore[attr-defined]  # not a slot of Node
