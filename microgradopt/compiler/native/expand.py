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


@dataclass(frozen=True, eq=False)
class Term:
    """What a function made of terms and numbers; an operand of the kernel has no function.

    The function is a ufunc, ``np.where``, or ``np.asarray`` as a change of dtype. The dtype is one
    of NumPy's, or the type of a Python number, which adapts to the arrays it meets.
    """

    shape: tuple[int, ...]
    dtype: Any
    function: Any = None
    inputs: tuple[Any, ...] = ()


class Symbol(NDArrayOperatorsMixin):
    """An array of which only the term is known; writing into it gives it another one."""

    def __init__(self, term: Term) -> None:
        self.term = term

    __hash__ = object.__hash__

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.term.shape

    @property
    def dtype(self) -> Any:
        """The array's dtype."""
        return self.term.dtype

    def astype(self, dtype: Any, copy: bool = True) -> Symbol:
        """The same numbers in another dtype."""
        return Symbol(Term(self.shape, np.dtype(dtype), np.asarray, (self.term,)))

    def __bool__(self) -> bool:
        raise TypeError("a kernel that asks for a symbol's truth")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a kernel that asks for a symbol's entries")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Symbol:
        (out,) = options.pop("out", (None,))
        plain = method == "__call__" and ufunc.nout == 1 and ufunc.signature is None
        if not plain or options or not isinstance(out, Symbol | None):
            raise TypeError("a kernel with more than plain calls of ufuncs")
        term = _applied(ufunc, inputs, ufunc.resolve_dtypes((*map(_type_of, inputs), None))[-1])
        if out is None:
            return Symbol(term)
        if out.term.function is None or (out.shape, out.dtype) != (term.shape, term.dtype):
            raise TypeError("a kernel that writes into its operands")
        out.term = term
        return out

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if options:
            raise TypeError("a kernel that calls functions with options")
        if function is np.where and len(args) == 3:
            together = np.add.resolve_dtypes((*map(_type_of, args[1:]), None))[-1]
            return Symbol(_applied(np.where, args, together))
        if function is np.shape:
            return self.shape
        if function is np.clip and len(args) == 3:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        raise TypeError(f"a kernel that calls {function.__name__}")


def _applied(function: Any, inputs: Sequence[Any], dtype: Any) -> Term:
    shape = np.broadcast_shapes(*(getattr(x, "shape", ()) for x in inputs))
    terms = tuple(x.term if isinstance(x, Symbol) else x for x in inputs)
    return Term(shape, dtype, function, terms)


def _type_of(x: Any) -> Any:
    return x.dtype if isinstance(x, (Symbol, np.ndarray, np.generic)) else type(x)


def expanded(kernel: Callable[..., Any], operands: Sequence[Any]) -> Term | None:
    """What a kernel makes of terms and numbers; None where it cannot be taken apart."""
    try:
        out = kernel(*(Symbol(x) if isinstance(x, Term) else x for x in operands))
    except (TypeError, ValueError, AttributeError):
        return None
    return out.term if isinstance(out, Symbol) else None


def in_order(out: Term) -> list[Term]:
    """The terms that functions made, operands before their users."""
    done: dict[Term, None] = {}
    stack = [(out, False)]
    while stack:
        term, complete = stack.pop()
        if term in done or term.function is None:
            continue
        if complete:
            done[term] = None
            continue
        stack.append((term, True))
        stack += [(x, False) for x in term.inputs if isinstance(x, Term)]
    return list(done)
