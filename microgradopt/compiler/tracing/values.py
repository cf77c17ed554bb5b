"""The operators of ``Value`` while it is traced: a network of scalars makes very many of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from microgradopt.compiler.tracing.scalars import NOTHING
from microgradopt.compiler.tracing.slots import GRAD, RAW
from microgradopt.compiler.tracing.standin import StandIn
from microgradopt.engine import modes
from microgradopt.engine.graph import tick
from microgradopt.engine.lines import NOWHERE, Line, is_ours
from microgradopt.engine.modes import PAUSED, paused
from microgradopt.engine.value import Value

_raw_of, _set_raw, _set_grad = RAW.__get__, RAW.__set__, GRAD.__set__


def traced_operator(row: Any) -> Callable[..., Any]:
    """An operator of Value that applies a row, and records it in short while it is traced."""
    kernel = row.scalar

    def method(self: Any, *others: Any) -> Any:
        tracer = modes.tracer()
        if tracer is None or self.__class__ is not Value:
            return row(self, *others)
        raw = _raw_of(self)
        if type(raw) is not StandIn or type(raw.value) is not float:
            return row(self, *others)
        x, mask, scalars = raw.value, self._bits, tracer.scalars
        a = tracer.scalar_code(raw)
        if not others:
            b, operands = NOTHING, (self, None)
            numbers: tuple[float, ...] = (x,)
        else:
            (other,) = others
            if type(other) is int:  # not a stand-in that says so
                other = float(other)
            if type(other) is float:
                y, b = other, scalars.constant(other)
            elif other.__class__ is Value:
                raw = _raw_of(other)
                if type(raw) is not StandIn or type(raw.value) is not float:
                    return row(self, other)
                mask |= other._bits
                y = raw.value
                b = tracer.scalar_code(raw)
            else:
                return row(self, other)
            operands, numbers = (self, other), (x, y)
        try:
            data = kernel(*numbers)
        except (ArithmeticError, ValueError, TypeError):
            data = row.rescue(*numbers)
        node: Value = object.__new__(Value)
        # What attach does, without its way through the exchanged slots.
        _set_raw(node, tracer.stand_in(data, scalars.append(row, a, b, _line())))
        _set_grad(node, None)
        node._index = tick()
        node.name = None
        if not mask or (PAUSED and paused()):
            node._bits = 0
            node.op = node._a = node._b = None
            return node
        node._bits, node.op = mask, row
        node._a, node._b = operands
        return node

    return method


def _line() -> Line:
    """The user's line, if an operator stands in it; looking further up would take too long."""
    frame = sys._getframe(3)
    if is_ours(frame.f_code):
        return NOWHERE
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
