"""Backward passes of a traced call; one over many scalars is written down at once."""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from typing import Any

import numpy as np

from microgradopt.compiler.tracing.scalar_sweep import (
    Nodes,
    Template,
    sweep,
    template_of,
    traced_template,
)
from microgradopt.compiler.tracing.scalars import (
    CONSTANT,
    NOTHING,
)
from microgradopt.compiler.tracing.slots import GRAD, RAW
from microgradopt.compiler.tracing.standin import StandIn
from microgradopt.compiler.tracing.trace import Tracer, released
from microgradopt.engine import modes, rules, sweeps
from microgradopt.engine.graph import EVERYTHING, Node, reach
from microgradopt.engine.lines import users_line
from microgradopt.engine.modes import traced
from microgradopt.engine.rules import Elementwise
from microgradopt.engine.value import Value

_pullback = sweeps.pullback
MANY = 100  # scalar nodes, from which on a backward pass is laid out at once


def traced_pullback(
    seeds: dict[Node, Any], mask: int = EVERYTHING, *, lift: bool = False, **options: Any
) -> Any:
    """All that a backward pass does comes from the line that asked for it."""
    tracer = modes.tracer()
    if tracer is None or tracer.line is not None:
        return _pullback(seeds, mask, lift=lift, **options)
    tracer.line = users_line()
    try:
        if not lift:
            found = _swept_at_once(tracer, seeds, mask, **options)
            if found is not None:
                return found
        return _pullback(seeds, mask, lift=lift, **options)
    finally:
        tracer.line = None


def _swept_at_once(
    tracer: Tracer,
    seeds: dict[Node, Any],
    mask: int,
    *,
    wanted: Container[Node] = (),
    kept: set[int] | None = None,
    since: int = 0,
) -> dict[Node, Any] | None:
    """A backward pass over many scalars; None where it is over anything else."""
    order, _, table = reach(seeds, mask, since)
    if len(order) < MANY or any(node.__class__ is not Value for node in table):
        return None
    order.reverse()
    rows: list[Any] = list(dict.fromkeys(node.op for node in order))
    templates = [found for row in rows if (found := _templates(row)) is not None]
    if len(templates) < len(rows):
        return None
    places = {node: i for i, node in enumerate(table)}
    code = tracer.scalar_code
    row_of = {row: i for i, row in enumerate(rows)}
    columns: list[list[int]] = [[], [], [], [], [], [], []]
    row, out, x, y, to_x, to_y, own = (column.append for column in columns)
    for node in order:
        a, b = node._a, node._b
        if a.__class__ is tuple or type(a) is StandIn or type(b) is StandIn:
            return None
        row(row_of[node.op])
        out(code(RAW.__get__(node)))
        own(places[node])
        for operand, value, to in ((a, x, to_x), (b, y, to_y)):
            if isinstance(operand, Node):
                value(code(RAW.__get__(operand)))
                to(places[operand])
            else:
                value(NOTHING if operand is None else code(operand))
                to(-1)
    with traced(None):
        starts = {places[n]: code(c) for n, c in seeds.items()}
        plain_seeds = {n: released(c) for n, c in seeds.items()}
        numbers = _pullback(plain_seeds, mask, wanted=wanted, kept=kept, since=since)
        of, outs, xs, ys, targets_x, targets_y, owns = (np.array(c, np.int64) for c in columns)
        nodes = Nodes(rows, of, outs, xs, ys, (targets_x, targets_y), owns)
        codes = sweep(tracer.scalars, nodes, templates, starts, len(table), tracer.line).tolist()

    def cotangent(node: Node, number: float) -> Any:
        k = codes[places[node]]
        if k == NOTHING or k >= CONSTANT:
            return number
        return tracer.stand_in(number, k if k >= 0 else tracer.scalars.operand(k))

    if kept is not None:
        for node in order:
            GRAD.__set__(node, cotangent(node, GRAD.__get__(node)))
    return {node: cotangent(node, number) for node, number in numbers.items()}


_known_templates: dict[Elementwise, tuple[Template, Template] | None] = {}


def _templates(row: Any) -> tuple[Template, Template] | None:
    """What a row adds to a backward pass for each of two operands; None where that is not known."""
    if row not in _known_templates:
        made = [template_of(p, partial(_partial_traced, row, p)) for p in row.partials]
        made += [Template(())] * (2 - len(made))
        good = len(made) == 2 and all(t is not None for t in made)
        _known_templates[row] = (made[0], made[1]) if good else None  # type: ignore[assignment]
    return _known_templates[row]


def _partial_traced(row: Elementwise, rule: Any) -> Template | None:
    tracer = Tracer()
    given = [tracer.entry(0.5) for _ in range(1 + len(row.partials))]
    variables = [x.var for x in given]
    with traced(tracer):
        p = rules.evaluate(rule, given[0], given[1:])
    program = tracer.program(variables, [p])
    return traced_template(program.instructions, variables, program.results[0])
