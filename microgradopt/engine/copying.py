"""Pickling and copying of graphs: walks, where Python's own way would recurse once per link."""

from typing import Any

from microgradopt.engine.graph import (
    USER_LEAF,
    Node,
    Primitive,
    ancestors,
    attach,
    copy_raw,
    recording,
)


def reduce_node(self: Node) -> Any:
    """For pickle: a leaf by itself, so that two graphs may share it; else the whole graph below."""
    nodes = ancestors([self], stale=False)
    if len(nodes) == 1 and self.op is None:
        return _restore_leaf, (type(self), self._data, self._mask, self.name, self.grad)
    return _restore_last, (flatten(nodes),)


def flatten(nodes: list[Node]) -> list[tuple[Any, ...]]:
    """Nodes in creation order as rows that name their operands by position."""
    place = {node: i for i, node in enumerate(nodes)}
    rows: list[tuple[Any, ...]] = []
    for node in nodes:
        if node.op is None:
            rows.append((node,))  # a leaf pickles by itself, so that two graphs may share it
            continue
        operands = [(place[x], None) if isinstance(x, Node) else (None, x) for x in node.args]
        rows.append((type(node), node.op, operands, node._data, node.params, node.name, node.grad))
    return rows


def _restore_leaf(kind: type[Node], data: Any, mask: int, name: str | None, grad: Any) -> Node:
    node = kind.__new__(kind)._become_leaf(data, mask & USER_LEAF, name)
    node.grad = grad
    return node


def _restore_last(rows: list[tuple[Any, ...]]) -> Node:
    nodes: list[Node] = []
    for row in rows:
        if len(row) == 1:
            nodes.append(row[0])
            continue
        _, op, operands, data, params, name, grad = row
        args = [x if i is None else nodes[i] for i, x in operands]
        nodes.append(_relink(op, args, data, params, name, grad))
    return nodes[-1]


def _relink(op: Primitive, args: list[Any], data: Any, params: Any, name: Any, grad: Any) -> Node:
    mask = USER_LEAF * any(x._mask for x in args if isinstance(x, Node))
    with recording():
        node = attach(op, args, data, mask, params)
    node.name = name
    node.grad = grad
    return node


def copy_graph(node: Node, memo: dict[int, Any]) -> Node:
    """A deep copy of ``node`` and of everything below it; what ``memo`` holds is reused."""
    for old in ancestors([node], stale=False):
        if id(old) in memo:
            continue
        data, grad = copy_raw(old._data), copy_raw(old.grad)
        if old.op is None:
            memo[id(old)] = _restore_leaf(type(old), data, old._mask, old.name, grad)
        else:
            args = [memo[id(x)] if isinstance(x, Node) else copy_raw(x) for x in old.args]
            memo[id(old)] = _relink(old.op, args, data, old.params, old.name, grad)
    copied: Node = memo[id(node)]
    return copied
