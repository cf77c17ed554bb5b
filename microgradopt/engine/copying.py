"""Pickling and copying of graphs: walks, where Python's own way would recurse once per link."""

import threading
from typing import Any

from microgradopt.engine.graph import (
    USER_LEAF,
    Node,
    Primitive,
    ancestors,
    attach,
    copy_raw,
)
from microgradopt.engine.modes import recording


class _Pickling(threading.local):
    """What this thread's pickles are in the middle of: nodes whose operands come before them."""

    def __init__(self) -> None:
        self.lists: list[set[Node]] = []


_pickling = _Pickling()


class _Below:
    """What is below a node, for pickle to hold before the node itself, operands first.

    Pickle asks every object for its parts and descends into each: a thousand links deep it fails.
    It keeps what it has seen, though. So it is given the nodes in turn, each after its operands.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = set(nodes)
        self.steps = [*nodes, _End(self.nodes)]

    def __reduce__(self) -> Any:
        _pickling.lists.append(self.nodes)
        return list, (), None, iter(self.steps)

    def __del__(self) -> None:
        _forget(self.nodes)  # where pickling failed half-way


class _End:
    """The last item: whoever pickles it has all nodes before it."""

    def __init__(self, nodes: set[Node]) -> None:
        self.nodes = nodes

    def __reduce__(self) -> Any:
        _forget(self.nodes)
        return list, ()


def _forget(nodes: set[Node]) -> None:
    _pickling.lists[:] = [other for other in _pickling.lists if other is not nodes]


def reduce_node(self: Node) -> Any:
    """For pickle: how to make the node from its operands; before it, all that is below it."""
    if self.op is None:
        return _restore_leaf, (type(self), self._raw, self._bits, self.name, self.grad)
    in_turn = any(self in nodes for nodes in _pickling.lists)
    below = None if in_turn else _Below(ancestors([self], stale=False)[:-1])
    parts = (self.op, self.args, self._raw, self.params, self.name, self.grad)
    return _restore_result, (below, *parts)


def _restore_leaf(kind: type[Node], data: Any, mask: int, name: str | None, grad: Any) -> Node:
    node = kind.__new__(kind)._become_leaf(data, mask & USER_LEAF, name)
    node.grad = grad
    return node


def _restore_result(_below: Any, *parts: Any) -> Node:
    return _relink(*parts)


def _relink(op: Primitive, args: Any, data: Any, params: Any, name: Any, grad: Any) -> Node:
    mask = USER_LEAF * any(x._bits for x in args if isinstance(x, Node))
    with recording():
        node = attach(op, args, data, mask, params)
    node.name = name
    node.grad = grad
    return node


def copy_node(self: Node) -> Node:
    """A copy of the node with data of its own, and with the same operands."""
    return _copied(self, self.args)


def copy_graph(node: Node, memo: dict[int, Any]) -> Node:
    """A deep copy of ``node`` and of everything below it; what ``memo`` holds is reused."""
    for old in ancestors([node], stale=False):
        if id(old) not in memo:
            args = [memo[id(x)] if isinstance(x, Node) else copy_raw(x) for x in old.args]
            memo[id(old)] = _copied(old, args)
    copied: Node = memo[id(node)]
    return copied


def _copied(old: Node, args: Any) -> Node:
    data, grad = copy_raw(old._raw), copy_raw(old.grad)
    if old.op is None:
        return _restore_leaf(type(old), data, old._bits, old.name, grad)
    return _relink(old.op, args, data, old.params, old.name, grad)
