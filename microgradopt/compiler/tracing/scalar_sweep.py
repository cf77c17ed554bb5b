"""A backward pass over many scalars, written down at once.

What a rule does for one node it does for every node of its row. So each partial derivative is
traced once, as a template; then the instructions of the whole pass are laid out as arrays: for each
node, from the youngest to the oldest, and each operand that is a node, those of the template, the
product with the node's cotangent, and the sum with what the operand has got already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.compiler.tracing.scalars import NOTHING, Code, Scalars
from microgradopt.engine.graph import Array, Primitive
from microgradopt.engine.ops.elementwise import add
from microgradopt.engine.rules import Elementwise, Plain, alias, chain, passing

G, OUT, X, Y = ("cotangent", "result", "first operand", "second operand")


@dataclass(frozen=True)
class Template:
    """What one operand of a node adds to a backward pass: its last step is the contribution.

    A step is a row and its operands: one of the names above, the number of an earlier step, or a
    float. ``truths`` are the rows among them that give truth values.
    """

    steps: tuple[tuple[Primitive, tuple[Any, ...]], ...]
    truths: tuple[Primitive, ...] = ()


def template_of(partial: Any, steps: Callable[[], Template | None]) -> Template | None:
    """The template of a partial derivative; one without steps where it is 0.

    Args:
        partial: as in the row: a number, None, or a function.
        steps: gives the template of a function; None where it cannot be one.
    """
    if callable(partial):
        return steps()
    if not partial:
        return Template(())
    return Template((((alias, (G,)) if partial == 1.0 else (chain, (G, partial))),))


def traced_template(instructions: Sequence[Any], given: Sequence[Any], p: Any) -> Template | None:
    """The template of what was traced: the result, then the operands, to a partial ``p``.

    Args:
        given: the variables of result and operands.
        p: a variable or a float.
    """
    names: dict[Any, Any] = dict(zip(given, (OUT, X, Y)))
    steps: list[tuple[Primitive, tuple[Any, ...]]] = []
    for i in instructions:
        if not isinstance(i.op, (Elementwise, Plain)) or len(i.operands) > 2 or i.params:
            return None
        steps.append((i.op, tuple(names.get(x, x) for x in i.operands)))
        names[i.outs[0]] = len(steps) - 1
    if type(p) is float:
        return template_of(p, lambda: None)
    last = (passing, (names[p], G)) if p.kind is bool else (chain, (G, names[p]))
    truths = tuple(i.op for i in instructions if i.outs[0].kind is bool)
    return Template((*steps, last), truths)


@dataclass(frozen=True)
class Nodes:
    """The nodes of a backward pass as arrays, from the youngest to the oldest.

    Attributes:
        row: the number of each node's row among ``rows``.
        out, x, y: the codes of result and operands.
        targets: for each of the two operands, the number of its node; −1 where it is none.
        own: the number of the node itself.
    """

    rows: Sequence[Elementwise]
    row: Array
    out: Array
    x: Array
    y: Array
    targets: tuple[Array, Array]
    own: Array


def sweep(
    scalars: Scalars,
    nodes: Nodes,
    templates: Sequence[Sequence[Template]],
    seeds: dict[int, Code],
    count: int,
    line: Any,
) -> Array:
    """Append a whole backward pass.

    Args:
        templates: by row and operand.
        seeds: the cotangents that it starts from, by node number.
        count: how many node numbers there are.

    Returns:
        The code of each node's cotangent; ``NOTHING`` where nothing reaches it.
    """
    kinds = [t for of_row in templates for t in of_row if t.steps]
    number = {id(t): i for i, t in enumerate(kinds)}
    by_row = np.full((len(templates), 2), -1)
    for i, of_row in enumerate(templates):
        for j, t in enumerate(of_row):
            by_row[i, j] = number.get(id(t), -1)

    # The edges: in the order of the pass, the first operand of a node before its second.
    kind = np.stack([by_row[nodes.row, j] for j in (0, 1)], 1).ravel()
    target = np.stack(nodes.targets, 1).ravel()
    node = np.repeat(np.arange(len(nodes.row)), 2)
    before = np.full(count, NOTHING)
    for n, code in seeds.items():
        before[n] = code
    live = (kind >= 0) & (target >= 0)
    while not live.all():  # as long as there are nodes that nothing reaches
        kind, target, node = kind[live], target[live], node[live]
        reached = before != NOTHING
        reached[target] = True
        live = reached[nodes.own[node]]

    by_target = np.argsort(target, kind="stable")
    is_first = np.ones(len(target), bool)
    is_first[by_target[1:]] = target[by_target[1:]] != target[by_target[:-1]]
    alone = is_first & (before[target] == NOTHING)

    length = np.array([len(t.steps) for t in kinds], np.int64)[kind] + ~alone
    end = np.cumsum(length)
    start = end - length
    base = len(scalars.op)
    result = base + end - 1
    so_far = before[target]  # the cotangent of the target before this edge
    later = by_target[1:][~is_first[by_target[1:]]]
    so_far[later] = result[by_target[:-1][~is_first[by_target[1:]]]]
    cotangent = before.copy()
    cotangent[target] = result  # the last edge wins

    size = int(end[-1]) if len(end) else 0
    op, a, b = np.zeros(size, np.int64), np.full(size, NOTHING), np.full(size, NOTHING)
    for i, template in enumerate(kinds):
        mine = np.flatnonzero(kind == i)
        scalars.truths.update(map(scalars.row_number, template.truths))
        at, of = start[mine], node[mine]
        values = {
            G: cotangent[nodes.own[of]],
            OUT: nodes.out[of],
            X: nodes.x[of],
            Y: nodes.y[of],
        }
        for j, (row, operands) in enumerate(template.steps):
            op[at + j] = scalars.row_number(row)
            for into, operand in zip((a, b), operands):
                if type(operand) is float:
                    into[at + j] = scalars.constant(operand)
                else:
                    into[at + j] = base + at + operand if type(operand) is int else values[operand]
    adds = np.flatnonzero(~alone)
    op[end[adds] - 1] = scalars.row_number(add)
    a[end[adds] - 1] = so_far[adds]
    b[end[adds] - 1] = result[adds] - 1
    scalars.extend(op, a, b, line)
    return cotangent
