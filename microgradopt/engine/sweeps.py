"""The two ways through a recorded graph: cotangents backward, tangents forward.

Both run on raw floats and arrays, or lifted: on nodes, so that the result is a graph again.
"""

import threading
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from microgradopt.engine.graph import (
    EVERYTHING,
    KINDS,
    Node,
    attach,
    describe,
    reach,
    recording,
)
from microgradopt.engine.rules import Differentiable, Elementwise, Fused, alias, data_of, evaluate, fit
from microgradopt.errors import DTypeError, GraphError, ShapeError, StaleGraphError


class _Depth(threading.local):
    levels = 0


_depth = _Depth()


class level:  # noqa: N801  # reads like the keyword it is
    """One functional transform in progress; gives the mask bit of its inputs."""

    def __enter__(self) -> int:
        _depth.levels += 1
        return 1 << _depth.levels

    def __exit__(self, *exception: object) -> None:
        _depth.levels -= 1


def as_input(x: Any, bit: int) -> Node:
    """A node marked with ``bit`` that carries ``x``; linked to it where x is itself a node."""
    if isinstance(x, Node):
        with recording():
            return attach(alias, [x], x._data, x._mask | bit, {})
    kind = KINDS["array" if isinstance(x, np.ndarray) else "scalar"]
    return kind.__new__(kind)._become_leaf(kind.leaf_data(x), bit)


def pullback(
    seeds: dict[Node, Any],
    mask: int = EVERYTHING,
    *,
    lift: bool = False,
    wanted: Container[Node] | None = None,
) -> dict[Node, Any]:
    """Reverse mode: from cotangents of results to those of all nodes below, or the ``wanted`` ones.

    Walks the nodes from the youngest to the oldest. A node's cotangent is complete when its turn
    comes and leaves the table then; a leaf assigned since it was used had its turn too early, and
    the contribution that no longer finds it shows the graph to be stale.
    """
    order, table = reach(seeds, mask)
    table.update(seeds)
    done: dict[Node, Any] = {}
    own: set[Node] = set()  # nodes whose cotangent array belongs to this sweep alone
    try:
        for node in reversed(order):
            g = table.pop(node)
            if wanted is None or node in wanted:
                done[node] = g
            op = node.op
            if op is None:
                continue
            a, b = node._a, node._b
            if lift or a.__class__ is tuple:
                if g.__class__ is not float or g != 0.0:
                    _pull_through(node, g, table, mask, lift, own)
                continue
            try:
                if b is None:
                    p = op.first(node._data, a._data)
                    table[a] += 0.0 if p is False else g * p
                elif b.__class__ is float:
                    p = op.first(node._data, a._data, b)
                    table[a] += 0.0 if p is False else g * p
                elif a.__class__ is float:
                    p = op.second(node._data, a, b._data)
                    table[b] += 0.0 if p is False else g * p
                else:
                    x, y, out = a._data, b._data, node._data
                    p, q = op.first(out, x, y), op.second(out, x, y)
                    table[a] += 0.0 if p is False else g * p
                    table[b] += 0.0 if q is False else g * q
            except (ArithmeticError, ValueError):
                _pull_exceptional(node, g, table)
    except KeyError:
        _refuse_stale(order)
        raise
    return done


def _pull_exceptional(node: Node, g: float, table: dict[Node, Any]) -> None:
    """A scalar node whose rule made Python's arithmetic raise: each partial the IEEE way."""
    assert isinstance(node.op, Elementwise)
    operands = [data_of(x) for x in node.args]
    for x, rule in zip(node.args, node.op.partials):
        if isinstance(x, Node) and rule is not None:
            p = evaluate(rule, node._data, operands)
            table[x] += 0.0 if p is False else g * p


def _pull_through(
    node: Node, g: Any, table: dict[Node, Any], mask: int, lift: bool, own: set[Node]
) -> None:
    """Pass a node's cotangent on to its operands: any row, any kind, raw or lifted."""
    args = node.args
    raw = []
    wanted = []
    for i, x in enumerate(args):
        if isinstance(x, Node):
            raw.append(x._data)
            if x._mask & mask:
                wanted.append(i)
        else:
            raw.append(x)
    op: Any = node.op
    params = node.params
    if not lift:
        if op.saves:
            saved = node._b if node._b is not None else op.forward(raw, params)[1]
            params = {**params, "saved": saved}
        cotangents = op.pull(g, node._data, raw, params, wanted)
    elif isinstance(op, Fused):
        cotangents = _pull_composite(op, g, args, params, wanted)
    else:
        cotangents = op.pull(g, node, args, params, wanted)
    for i, c in zip(wanted, cotangents):
        x = args[i]
        so_far = table[x]
        if c is None:
            continue
        data = x._data
        if c.__class__ is not np.ndarray or c.shape != data.shape or c.dtype is not data.dtype:
            c = fit(c, x)
        if so_far.__class__ is float and so_far == 0.0:
            table[x] = c
        elif x in own:
            np.add(so_far, c, out=so_far)
        else:
            table[x] = so_far + c
            if not lift and isinstance(c, np.ndarray) and c.ndim:
                own.add(x)


def _refuse_stale(order: Iterable[Node]) -> None:
    for user in order:
        for x in user.parents:
            if x._index > user._index:
                raise StaleGraphError(
                    f"{describe(x)} was assigned new data after {describe(user)} had used it, so "
                    "the recorded graph no longer belongs to it; compute the result again, or "
                    "call backward() before assigning"
                )


def _with_composite(op: Fused, args: Sequence[Any], params: dict[str, Any], bit: int) -> Any:
    """The composite of a fused row on fresh inputs: (its result, the inputs)."""
    with recording():
        inputs = [as_input(x, bit) if isinstance(x, (Node, np.ndarray)) else x for x in args]
        return op.composite(*inputs, **params), inputs


def _pull_composite(
    op: Fused, g: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
) -> list[Any]:
    with level() as bit:
        out, inputs = _with_composite(op, args, params, bit)
        found = pullback({out: g}, bit, lift=True, wanted=set(inputs[i] for i in wanted))
    return [found.get(inputs[i]) for i in wanted]


def pushforward(
    roots: Sequence[Node], tangents: dict[Node, Any], mask: int, *, lift: bool = False
) -> list[Any]:
    """Forward mode: from tangents of inputs to those of ``roots`` (None where zero)."""
    order, _ = reach(roots, mask)
    for node in order:
        if node in tangents or node.op is None:
            continue
        args = node.args
        ts = [tangents.get(x) if isinstance(x, Node) else None for x in args]
        if all(t is None for t in ts):
            continue
        if any(isinstance(x, Node) and x._index > node._index for x in args):
            _refuse_stale([node])
        out, operands = (node, args) if lift else (node._data, [data_of(x) for x in args])
        op: Any = node.op
        if isinstance(op, Fused):
            t = _push_composite(op, ts, operands, node.params, lift)
        else:
            t = op.push(ts, out, operands, node.params)
        if t is not None:
            tangents[node] = fit(t, node)
    return [tangents.get(root) for root in roots]


def _push_composite(
    op: Fused, ts: Sequence[Any], operands: Sequence[Any], params: dict[str, Any], lift: bool
) -> Any:
    with level() as bit:
        out, inputs = _with_composite(op, operands, params, bit)
        seeds = {x: t for x, t in zip(inputs, ts) if t is not None}
        return pushforward([out], seeds, bit, lift=lift)[0]


def backward(self: Node, gradient: Any = None) -> None:
    """Fill in ``grad`` of every node below this one by the chain rule.

    Leaves add to the ``grad`` they have (see :meth:`zero_grad`); every other node gets that of
    this call.

    Args:
        gradient: the derivative of the final result with respect to this node, of its shape;
            1 when left out, which needs a node that holds a single number.

    Raises:
        GraphError: if nothing here requires a gradient.
        StaleGraphError: if a leaf was assigned new data after the graph had used it.
        ShapeError: if ``gradient`` is missing or of another shape.
    """
    if not self._mask:
        raise GraphError(
            f"backward() on {describe(self)}: nothing here requires a gradient. It was made of "
            "constants or under no_grad()"
        )
    with np.errstate(all="ignore"):
        keep(pullback({self: seed_for(self, gradient)}))


def seed_for(node: Node, gradient: Any) -> Any:
    """The cotangent a backward pass starts from, checked and copied."""
    data = node._data
    if gradient is None:
        if not isinstance(data, float) and data.size != 1:
            raise ShapeError(
                f"backward() on {describe(node)} needs gradient=: an array of that shape. "
                "For a loss, reduce it to one number first, with mg.sum or mg.mean"
            )
        return 1.0 if isinstance(data, float) else np.ones(data.shape, data.dtype)
    if isinstance(gradient, Node):
        gradient = gradient._data
    if np.shape(gradient) != np.shape(data):
        raise ShapeError(
            f"gradient has shape {np.shape(gradient)}, but {describe(node)} needs "
            f"{np.shape(data)}"
        )
    if np.asarray(gradient).dtype.kind not in "fiub":
        raise DTypeError(f"gradient must hold real numbers, got {np.asarray(gradient).dtype}")
    return float(gradient) if isinstance(data, float) else np.array(gradient, data.dtype)


def keep(found: dict[Node, Any]) -> None:
    """Store cotangents as ``grad``: arrays that alias nothing, added up on leaves."""
    taken = {id(node._data) for node in found}
    for node, g in found.items():
        if not node._mask:
            continue
        if node._data.__class__ is float:
            g = g if g.__class__ is float else float(g)
        elif g.__class__ is not np.ndarray or g.base is not None or id(g) in taken:
            g = unaliased(g, node)
        taken.add(id(g))
        node.grad = g if node.op is not None or node.grad is None else node.grad + g


def unaliased(g: Any, like: Node) -> Any:
    """``g`` as an array of its own, of the shape of a node."""
    return g.copy() if isinstance(g, np.ndarray) else np.full_like(like._data, g)
