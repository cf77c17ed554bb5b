"""Kernels of arrays taken apart into ufuncs, by running them once on symbols.

Rows such as sigmoid have an array kernel written with NumPy's functions. Run on symbols, it shows
which: then each can be fused with what comes before and after, and runs as fast as it does eagerly.
A kernel that asks what the numbers are cannot be taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Term = tuple[Any, tuple[Any, ...]]  # a ufunc or np.where, and its operands


@dataclass(eq=False)
class Symbol(NDArrayOperatorsMixin):
    """An array of a shape and dtype, with the ufunc and operands that made it."""

    shape: tuple[int, ...]
    dtype: Any
    made: Term | None = None

    __hash__ = object.__hash__

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(np.prod(self.shape, dtype=int))

    def __bool__(self) -> bool:
        raise TypeError("a kernel that asks for a symbol's truth")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a kernel that asks for a symbol's entries")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Symbol:
        if method != "__call__" or options or ufunc.nout != 1 or ufunc.signature is not None:
            raise TypeError("a kernel with more than plain calls of ufuncs")
        return _applied(ufunc, inputs, ufunc.resolve_dtypes((*map(_type_of, inputs), None))[-1])

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is np.where and len(args) == 3 and not options:
            kinds = [np.empty(0, d) if isinstance(d, np.dtype) else d(0) for d in map(_type_of, args[1:])]
            return _applied(np.where, args, np.result_type(*kinds))
        if function in (np.shape, np.ndim, np.size):
            return getattr(self, function.__name__)
        if function is np.clip and len(args) == 3 and not options:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        raise TypeError(f"a kernel that calls {function.__name__}")


def _applied(function: Any, inputs: Sequence[Any], dtype: Any) -> Symbol:
    shape = np.broadcast_shapes(*(getattr(x, "shape", ()) for x in inputs))
    return Symbol(shape, dtype, (function, tuple(inputs)))


def _type_of(x: Any) -> Any:
    return x.dtype if isinstance(x, (Symbol, np.ndarray, np.generic)) else type(x)


def expanded(kernel: Callable[..., Any], operands: Sequence[Any]) -> Symbol | None:
    """What a kernel makes of symbols and numbers; None where it cannot be taken apart."""
    try:
        out = kernel(*operands)
    except (TypeError, ValueError, AttributeError):
        return None
    return out if isinstance(out, Symbol) else None


def in_order(out: Symbol) -> list[Symbol]:
    """The symbols that functions made, operands before their users."""
    met: dict[Symbol, None] = {}
    stack = [(out, False)]
    while stack:
        symbol, done = stack.pop()
        if symbol in met or symbol.made is None:
            continue
        if done:
            met[symbol] = None
            continue
        stack.append((symbol, True))
        stack += [(x, False) for x in symbol.made[1] if isinstance(x, Symbol)]
    return list(met)
