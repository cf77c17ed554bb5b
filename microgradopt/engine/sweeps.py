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
    Primitive,
    attach,
    copy_raw,
    describe,
    reach,
    refuse_stale,
    to_float,
)
from microgradopt.engine.modes import level, recording
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import (
    Elementwise,
    Fused,
    General,
    alias,
    data_of,
    evaluate,
    fit,
    is_floating,
    shape_of,
    unbroadcast,
)
from microgradopt.errors import DTypeError, GraphError, ShapeError

_adding = threading.RLock()  # threads that share leaves add to their grads one after another


def as_input(x: Any, bit: int) -> Node:
    """A node marked with ``bit`` that carries ``x``; linked to it where x is itself a node."""
    if isinstance(x, Node):
        with recording():
            return attach(alias, [x], x._raw, x._bits | bit, {})
    kind = KINDS["array" if isinstance(x, np.ndarray) else "scalar"]
    return kind.__new__(kind)._become_leaf(copy_raw(kind.leaf_data(x)), bit)


@quietly
def pullback(
    seeds: dict[Node, Any],
    mask: int = EVERYTHING,
    *,
    lift: bool = False,
    wanted: Container[Node] = (),
    kept: set[int] | None = None,
    since: int = 0,
) -> dict[Node, Any]:
    """Reverse mode: from cotangents of results to those of the leaves and of the ``wanted`` nodes.

    With ``kept``, every node made by an operation gets its cotangent as ``grad``, and ``kept``
    collects the ids of the arrays given out. What was made before the number ``since`` counts as a
    leaf.

    Visits the nodes from the youngest to the oldest, so that a node's cotangent is complete when
    its turn comes.
    """
    # Written out in one piece: a network of scalars spends half its time in this loop.
    order, leaves, table = reach(seeds, mask, since)
    refuse_stale(order, leaves)
    table.update(seeds)
    found: dict[Node, Any] = {}
    sweep = Sweep(table, mask, lift, kept)
    general = lift or sweep.watches
    for node in reversed(order):
        a = node._a
        if general or a.__class__ is tuple:
            g = table.pop(node)
            if node in wanted:
                found[node] = _without_sign(g)
            sweep.through(node, g)
            continue
        g = table[node]
        if kept is not None:
            node.grad = g
        elif node in wanted:
            found[node] = _without_sign(g)
        if g == 0.0:
            continue  # nothing reached it; times an infinite slope that would be NaN
        b = node._b
        op: Any = node.op
        p = op.first
        try:
            if a.__class__ is b.__class__:  # the commonest case: two Values
                q = op.second
                if p.__class__ is not float:
                    p = p(node._raw, a._raw, b._raw)
                if q.__class__ is not float:
                    q = q(node._raw, a._raw, b._raw)
                table[a] += g * p if p else 0.0
                table[b] += g * q if q else 0.0
            elif b is None:
                if p.__class__ is not float:
                    p = p(node._raw, a._raw)
                table[a] += g * p if p else 0.0
            elif b.__class__ is float:
                if p.__class__ is not float:
                    p = p(node._raw, a._raw, b)
                table[a] += g * p if p else 0.0
            else:
                _pull_one_by_one(node, g, table)
        except (ArithmeticError, ValueError):
            _pull_one_by_one(node, g, table)
    for leaf in leaves:
        found[leaf] = _without_sign(table[leaf])
    return found


def _without_sign(g: Any) -> Any:
    """A float that is not −0.0: the sign of a zero would tell which ways led to it."""
    return g + 0.0 if g.__class__ is float else g


def gathered(pairs: Iterable[tuple[Node, Any]]) -> dict[Node, Any]:
    """Nodes with their cotangents, which add up where a node comes more than once."""
    seeds: dict[Node, Any] = {}
    for node, c in pairs:
        seeds[node] = seeds[node] + c if node in seeds else c
    return seeds


def _pull_one_by_one(node: Node, g: float, table: dict[Node, Any]) -> None:
    """The general way for a scalar node: any operands, and IEEE results where Python raises."""
    assert isinstance(node.op, Elementwise)
    operands = [data_of(x) for x in node.args]
    for x, rule in zip(node.args, node.op.partials):
        if isinstance(x, Node) and rule is not None:
            p = evaluate(rule, node._raw, operands)
            table[x] += g * p if p else 0.0


class Sweep:
    """What passing cotangents through arrays, or through nodes, has to keep in mind."""

    watches = False  # whether every node is to come by :meth:`through`, scalars too

    def __init__(
        self, table: dict[Node, Any], mask: int, lift: bool, kept: set[int] | None
    ) -> None:
        self.table = table
        self.mask = mask
        self.lift = lift
        self.kept = kept
        self.summed: set[Node] = set()  # nodes whose array in the table was made there, by adding

    def through(self, node: Node, g: Any) -> None:
        """Pass a node's cotangent on to its operands: any row, any kind, raw or lifted."""
        if self.kept is not None:
            node.grad = own(g, node, self.kept)
        if type(g) is float and g == 0.0:
            return  # nothing reached it
        args = node._a if node._a.__class__ is tuple else node.args
        raw = []
        wanted = []
        for i, x in enumerate(args):
            if isinstance(x, Node):
                raw.append(x._raw)
                if x._bits & self.mask:
                    wanted.append(i)
            else:
                raw.append(x)
        op: Any = node.op
        params = node.params
        if not self.lift:
            if op.adds is not None and args[0] in self.summed:
                op.adds(self.table[args[0]], g, **params)
                return
            if op.saves:
                saved = node._b if node._b is not None else op.forward(raw, params)[1]
                params = {**params, "saved": saved}
            cotangents = op.pull(g, node._raw, raw, params, wanted)
        elif isinstance(op, Fused):
            cotangents = _pull_composite(op, g, args, params, wanted)
        else:
            cotangents = op.pull(g, node, args, params, wanted)
        table = self.table
        for i, found in zip(wanted, cotangents):
            if found is None:
                continue
            x = args[i]
            data = x._raw
            fits = (
                found.__class__ is np.ndarray
                and data.__class__ is not float
                and found.shape == data.shape
                and found.dtype is data.dtype
            )
            c = found if fits else _fitted(found, x, op)
            so_far = table[x]
            if type(so_far) is float and so_far == 0.0:
                table[x] = c
            elif x in self.summed:
                np.add(so_far, c, out=so_far)
            else:
                table[x] = so_far + c
                if not self.lift and c.__class__ is np.ndarray and c.ndim:
                    self.summed.add(x)


def _fitted(c: Any, x: Node, op: Primitive) -> Any:
    try:
        return fit(c, x)
    except ValueError:
        raise ShapeError(
            f"the rule of {op.name!r} gave a cotangent of shape {shape_of(c)} for "
            f"{describe(x)}; a transpose must give its operand's shape"
        ) from None


def _with_composite(op: Fused, args: Sequence[Any], params: dict[str, Any], bit: int) -> Any:
    """The composite of a fused row on fresh inputs: (its result, the inputs)."""
    with recording():
        inputs = [as_input(x, bit) if is_floating(x) else x for x in args]
        return op.composite(*inputs, **params), inputs


def _pull_composite(
    op: Fused, g: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
) -> list[Any]:
    with level() as bit:
        out, inputs = _with_composite(op, args, params, bit)
        found = pullback({out: g}, bit, lift=True, wanted={inputs[i] for i in wanted})
    return [found.get(inputs[i]) for i in wanted]


@quietly
def pushforward(
    roots: Sequence[Node],
    tangents: dict[Node, Any],
    mask: int,
    *,
    lift: bool = False,
    since: int = 0,
) -> list[Any]:
    """Forward mode: from tangents of inputs to those of ``roots`` (None where zero)."""
    order, leaves, _ = reach(roots, mask, since)
    refuse_stale(order, leaves)
    for node in order:
        if node in tangents:
            continue
        ts = [tangents.get(x) if isinstance(x, Node) else None for x in node.args]
        if any(t is not None for t in ts):
            t = tangent(node, ts, lift)
            if t is not None:
                tangents[node] = t
    return [tangents.get(root) for root in roots]


def tangent(node: Node, ts: Sequence[Any], lift: bool) -> Any:
    """The tangent of a node from those of its operands, some of which are None, for zero."""
    out, operands = (node, node.args) if lift else (node._raw, [data_of(x) for x in node.args])
    op: Any = node.op
    if isinstance(op, Fused):
        t = _push_composite(op, ts, operands, node.params, lift)
    elif isinstance(op, General):
        t = _push_transposed(op, ts, out, operands, node.params, lift)
    else:
        t = op.push(ts, out, operands, node.params)
    return None if t is None else fit(t, node, grow=True)


def _push_composite(
    op: Fused, ts: Sequence[Any], operands: Sequence[Any], params: dict[str, Any], lift: bool
) -> Any:
    with level() as bit:
        out, inputs = _with_composite(op, operands, params, bit)
        seeds = {x: t for x, t in zip(inputs, ts) if t is not None}
        return pushforward([out], seeds, bit, lift=lift)[0]


def _push_transposed(
    op: General,
    ts: Sequence[Any],
    out: Any,
    operands: Sequence[Any],
    params: dict[str, Any],
    lift: bool,
) -> Any:
    """J·t as the transpose of g ↦ Jᵀg. That is linear, so any g will do; this one has no zeros."""
    moved = [i for i, t in enumerate(ts) if t is not None]
    like = data_of(out)
    anything = np.cos(np.arange(1.0, like.size + 1.0)).reshape(like.shape).astype(like.dtype)
    with level() as bit, recording():
        g = as_input(anything, bit)
        found = op.pull(g, out, operands, params, moved)
        seeds = gathered(
            (unbroadcast(c, shape_of(operands[i])), ts[i])
            for i, c in zip(moved, found)
            if isinstance(c, Node)  # else it is 0
        )
        return pullback(seeds, bit, lift=lift, wanted={g}).get(g)


@quietly
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
    if not self._bits:
        raise GraphError(
            f"backward() on {describe(self)}: nothing here requires a gradient. It was made of "
            "constants or under no_grad()"
        )
    kept: set[int] = set()
    found = pullback({self: seed_for(self, gradient)}, kept=kept)
    with _adding:
        for leaf, g in found.items():
            if leaf._bits:
                leaf.grad = own(g if leaf.grad is None else leaf.grad + g, leaf, kept)


def seed_for(node: Node, gradient: Any) -> Any:
    """The cotangent a backward pass starts from, checked and copied."""
    data = node._raw
    if gradient is None:
        if not isinstance(data, float) and data.size != 1:
            raise ShapeError(
                f"backward() on {describe(node)} needs gradient=: an array of that shape. "
                "For a loss, reduce it to one number first, with mg.sum or mg.mean"
            )
        return 1.0 if isinstance(data, float) else np.ones(data.shape, data.dtype)
    if isinstance(gradient, Node):
        gradient = gradient._raw
    if np.shape(gradient) != np.shape(data):
        raise ShapeError(
            f"gradient has shape {np.shape(gradient)}, but {describe(node)} needs {np.shape(data)}"
        )
    if np.asarray(gradient).dtype.kind not in "fiub":
        raise DTypeError(f"gradient must hold real numbers, got {np.asarray(gradient).dtype}")
    return to_float(gradient) if isinstance(data, float) else np.array(gradient, data.dtype)


def own(g: Any, like: Node, kept: set[int]) -> Any:
    """A cotangent as a float, or as an array that is nobody's else: no view, not handed out yet."""
    if like._raw.__class__ is float:
        return g if g.__class__ is float else to_float(g)
    if g.__class__ is not np.ndarray:
        g = np.full_like(like._raw, g)
    elif g.base is not None or id(g) in kept or g is like._raw:
        g = g.copy()
    kept.add(id(g))
    return g
