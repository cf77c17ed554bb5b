"""What both kinds of node share: their order, and NumPy's protocols.

np.exp(node), np.sum(node) and array * node are the library's own functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradopt.engine import composites
from microgradopt.engine.graph import Node, Primitive, describe
from microgradopt.engine.ops import elementwise, products, shapes
from microgradopt.engine.rules import alias
from microgradopt.errors import GraphError, UsageError

UFUNCS: dict[Any, Any] = {
    row.array: row for row in Primitive.table.values() if isinstance(row.array, np.ufunc)
}
UFUNCS[np.matmul] = products.matmul
UFUNCS[np.positive] = alias
REDUCTIONS: dict[Any, Any] = {
    np.add: shapes.sum,
    np.multiply: composites.prod,
    np.maximum: composites.max,
    np.minimum: composites.min,
}


def _numpy_functions() -> dict[Any, Any]:
    """NumPy's functions for which there is one of the same name here."""
    pairs = {np.linalg.norm: composites.norm, np.concatenate: shapes.concatenate}
    for module in (shapes, products, composites):
        for name, function in vars(module).items():
            theirs = getattr(np, name, None)
            if callable(theirs) and not isinstance(theirs, (type, np.ufunc)):
                pairs[theirs] = function
    return pairs


FUNCTIONS: dict[Any, Any] = {
    **_numpy_functions(),
    np.where: elementwise.where,
    np.clip: lambda x, a_min=None, a_max=None, min=None, max=None: composites.clip(
        x, a_min if min is None else min, a_max if max is None else max
    ),
    np.amax: composites.max,
    np.amin: composites.min,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: len(x.shape),
    np.size: lambda x: int(np.prod(x.shape, dtype=int)),
}


class Interoperable:
    """What orders nodes, and what lets NumPy hand its functions over to this library."""

    __slots__ = ()
    __array_priority__ = 1000.0
    _data: Any
    _mask: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions; ``()`` for a scalar."""
        return np.shape(self._data)

    # Order is that of the numbers; == stays identity, so that nodes can be keys of a dict.

    def __lt__(self, other: Any) -> Any:
        return elementwise.less(self, other)

    def __le__(self, other: Any) -> Any:
        return elementwise.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return elementwise.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return elementwise.greater_equal(self, other)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        function = {"__call__": UFUNCS, "reduce": REDUCTIONS}.get(method, {}).get(ufunc)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if function is None:
            raise UsageError(
                f"np.{name} is not supported on graph nodes; use .data for plain numbers, or "
                "declare a primitive for it with mg.elementwise(...)"
            )
        if method == "reduce" and "axis" not in options:
            options["axis"] = 0
        return _call(function, f"np.{name}", inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
        if function not in FUNCTIONS:
            raise UsageError(
                f"{name} is not supported on graph nodes; use a function of microgradopt, or "
                ".data for plain numbers"
            )
        return _call(FUNCTIONS[function], name, args, options)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._mask:
            assert isinstance(self, Node)
            raise GraphError(
                f"{describe(self)} is part of a graph; turning it into a plain array would lose "
                "its gradient. Use .data or .numpy() if you mean that, or mg.stack to join nodes"
            )
        return np.array(self._data, dtype, copy=copy)


def _call(function: Any, name: str, args: Any, options: Any) -> Any:
    for option, value in list(options.items()):
        neutral = value is None or value is np._NoValue or (option == "where" and value is True)
        if option in ("out", "dtype", "where", "casting", "order", "subok", "initial"):
            if not neutral:
                raise UsageError(f"{name} on graph nodes does not take {option}=")
            del options[option]
    return function(*args, **options)
