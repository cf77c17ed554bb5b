"""``Value``: a scalar node. Its operators are the hot path of a network of scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.engine import copying, sweeps
from microgradopt.engine.graph import KINDS, Node, tick, to_float
from microgradopt.engine.interop import Interoperable
from microgradopt.engine.modes import PAUSED, paused
from microgradopt.engine.ops import elementwise as ops
from microgradopt.engine.rules import Elementwise
from microgradopt.errors import DTypeError

__all__ = [
    "Value",
]  # fmt: skip

Method = Callable[..., Any]


# The two below end alike, and not in a common function: every node would pay for its call.


def _unary(row: Elementwise) -> Method:
    """A method that applies ``row``: what calling the row does, without its generality."""
    kernel: Any = row.scalar

    def method(self: Value) -> Any:
        if self.__class__ is not Value:  # Value.relu as a plain function, on something else
            return row(self)
        x = self._raw
        try:
            data = kernel(x)
        except (ArithmeticError, ValueError, TypeError):
            data = row.rescue(x)
        node: Value = _new(Value)
        node._raw = data
        node._index = tick()
        node.grad = node.name = None
        mask = self._bits
        if not mask or (PAUSED and paused()):
            node._bits = 0
            node.op = node._a = node._b = None
            return node
        node._bits = mask
        node.op = row
        node._a = self
        node._b = None
        return node

    method.row = row  # type: ignore[attr-defined]  # read by debug
    return _as_method(method, row)


def _binary(row: Elementwise) -> Method:
    """An operator between a Value and a number or Value; anything else goes the general way."""
    kernel: Any = row.scalar

    def method(self: Value, other: Any) -> Any:
        mask = self._bits
        if other.__class__ is Value:
            y = other._raw
            mask |= other._bits
        elif other.__class__ is float:
            y = other
        elif other.__class__ is int:
            other = y = float(other)
        else:
            return row(self, other)
        x = self._raw
        try:
            data = kernel(x, y)
        except (ArithmeticError, ValueError, TypeError):
            data = row.rescue(x, y)
        node: Value = _new(Value)
        node._raw = data
        node._index = tick()
        node.grad = node.name = None
        if not mask or (PAUSED and paused()):
            node._bits = 0
            node.op = node._a = node._b = None
            return node
        node._bits = mask
        node.op = row
        node._a = self
        node._b = other
        return node

    method.row = row  # type: ignore[attr-defined]  # read by debug
    return _as_method(method, row)


def _reflected(row: Elementwise) -> Method:
    """The same with a number on the left: rare enough for the general way."""

    def method(self: Value, other: Any) -> Any:
        return row(other, self)

    return _as_method(method, row)


def _as_method(method: Method, row: Elementwise) -> Method:
    method.__name__ = row.name
    method.__qualname__ = f"Value.{row.name}"
    method.__doc__ = row.__doc__
    return method


class Value(Interoperable, Node):
    """A number in a computation graph.

    Args:
        data: a real number; ints become floats.
        name: what pictures and messages call it.
        requires_grad: whether backward passes give it a gradient.

    Raises:
        DTypeError: if ``data`` is not one real number.

    >>> x, y, z = Value(-2.0, name="x"), Value(5.0, name="y"), Value(-4.0, name="z")
    >>> f = (x + y) * z
    >>> f.backward()
    >>> f.data, x.grad, y.grad, z.grad
    (-12.0, -4.0, -4.0, 3.0)
    """

    __slots__ = ()
    data: float
    grad: float | None

    def __init__(self, data: float, *, name: str | None = None, requires_grad: bool = True) -> None:
        self._become_leaf(self.leaf_data(data), int(bool(requires_grad)), name)

    @classmethod
    def leaf_data(cls, data: Any) -> float:
        """``data`` as a float, or a DTypeError that says what to give instead."""
        if isinstance(data, (int, float, np.floating, np.integer, np.bool_)):
            return to_float(data)  # type: ignore[no-any-return]
        if isinstance(data, np.ndarray) and data.ndim == 0 and data.dtype.kind in "fiub":
            return to_float(data)  # type: ignore[no-any-return]
        if isinstance(data, Node):
            raise DTypeError(
                f"Value({data!r}): this is a graph node already; use it as it is, or its "
                ".detach() for a constant with the same data"
            )
        what = f"of shape {data.shape}" if isinstance(data, np.ndarray) else repr(data)
        raise DTypeError(
            f"a Value holds one real number, got {type(data).__name__} {what}; "
            "use mg.Tensor for arrays"
        )

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        grad = "" if self.grad is None else f", grad={self.grad!r}"
        return f"Value({self._raw!r}{name}{grad})"

    def __bool__(self) -> bool:
        return bool(self._raw != 0.0)

    backward = sweeps.backward
    __reduce__ = copying.reduce_node
    __copy__ = copying.copy_node
    __deepcopy__ = copying.copy_graph

    __add__ = _binary(ops.add)
    __radd__ = _reflected(ops.add)
    __sub__ = _binary(ops.subtract)
    __rsub__ = _reflected(ops.subtract)
    __mul__ = _binary(ops.multiply)
    __rmul__ = _reflected(ops.multiply)
    __truediv__ = _binary(ops.divide)
    __rtruediv__ = _reflected(ops.divide)
    __rpow__ = _reflected(ops.power)
    __neg__ = _unary(ops.negative)
    __abs__ = _unary(ops.absolute)

    square = _unary(ops.square)
    _power = _binary(ops.power)

    def __pow__(self, other: Any) -> Any:
        """x to the power y; ** 2 is a square, whose derivative is far cheaper."""
        if other.__class__ in (int, float) and other == 2:
            return self.square()
        return self._power(other)

    def __pos__(self) -> Value:
        return self

    exp = _unary(ops.exp)
    log = _unary(ops.log)
    sqrt = _unary(ops.sqrt)
    sin = _unary(ops.sin)
    cos = _unary(ops.cos)
    tanh = _unary(ops.tanh)
    sigmoid = _unary(ops.sigmoid)
    relu = _unary(ops.relu)


KINDS["scalar"] = Value
_new: Callable[[type[Value]], Any] = object.__new__
