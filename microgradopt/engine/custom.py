"""A whole function as one operation of the graph: with a gradient of its own, or computed twice.

Either records a call as a single node. The result may be any structure: several arrays travel as
one packed array, out of which ordinary rows take them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine import graph
from microgradopt.engine.graph import Node, describe, reach, tick
from microgradopt.engine.modes import no_grad, paused, recording
from microgradopt.engine.ops.arranging import split
from microgradopt.engine.ops.shapes import astype, concatenate, ravel, reshape
from microgradopt.engine.rules import (
    Differentiable,
    General,
    as_value,
    data_of,
    is_floating_array,
    shape_of,
)
from microgradopt.engine.structure import aligned, leaves, map_structure, rebuild
from microgradopt.engine.sweeps import gathered, pullback, pushforward
from microgradopt.errors import GraphError, UsageError

__all__ = ["checkpoint", "custom_gradient"]

Function = Callable[..., Any]


class _Call(NamedTuple):
    """One call of a function, as the node that stands for it remembers it."""

    args: tuple[Any, ...]
    options: dict[str, Any]
    operands: list[Node]  # what the result depends on
    result: Any  # its structure, with plain data in the leaves
    pull: Function | None = None


class _WholeFunction(Differentiable):
    """An operation that is somebody's Python function; the table of primitives does not list it."""

    listed = False

    def __init__(self, function: Function, **declared: Any) -> None:
        name = getattr(function, "__name__", "")
        name = name if name.isidentifier() else "function"
        super().__init__(name, array=self.again, doc=function.__doc__, **declared)
        self.function = function

    def __reduce__(self) -> Any:
        raise UsageError(
            f"a graph with a call of {self.name!r} in it cannot be pickled: the operation is a "
            "Python function. Pickle the leaves, and compute the graph again"
        )

    def again(self, *operands: Any, _call: _Call) -> Any:
        """The packed result for other operands, where a check of the rule asks for it."""
        raise GraphError(
            f"{self.name} cannot be applied to other operands: it may use more than it is given"
        )

    def record(self, call: _Call) -> Any:
        """The result as nodes: one for the call, and those that unpack it."""
        mask = 0
        for x in call.operands:
            mask |= x._bits
        data = np.asarray(_pack(call.result))
        return _unpack(graph.attach(self, call.operands, data, mask, {"_call": call}), call.result)

    def plain(self, result: Any) -> Any:
        """A result with floats and arrays that are nobody else's in its leaves."""
        if not leaves(result):
            self._plain_leaf(result)
        return map_structure(self._plain_leaf, result)

    def _plain_leaf(self, x: Any) -> Any:
        data = data_of(x)
        if is_floating_array(data):
            return data.copy()
        if isinstance(data, (int, float, np.floating, np.integer)):
            return graph.to_float(data)
        raise UsageError(
            f"{self.name} must return numbers, arrays of floats, or structures of those; it "
            f"returned {type(x).__name__}" + ("; did it forget to return?" if x is None else "")
        )


# Several arrays as one


def _pack(result: Any) -> Any:
    """The numbers of a structure in one array; a single leaf as it is."""
    parts = leaves(result)
    return parts[0] if len(parts) == 1 else concatenate([ravel(x) for x in parts])


def _unpack(packed: Any, like: Any) -> Any:
    """A structure like ``like`` out of one array, plain or node."""
    parts = leaves(like)
    if len(parts) == 1:
        return rebuild(like, [_in_form(packed, parts[0])])
    cuts = split(packed, np.cumsum([np.size(x) for x in parts[:-1]]).tolist())
    return rebuild(like, [_in_form(cut, x) for cut, x in zip(cuts, parts, strict=True)])


def _in_form(x: Any, like: Any) -> Any:
    if isinstance(like, float):
        return as_value(x)
    x = x if shape_of(x) == like.shape else reshape(x, like.shape)
    return x if data_of(x).dtype == like.dtype else astype(x, like.dtype)


# A gradient of one's own


def custom_gradient(function: Function) -> Function:
    """A decorator: the function brings its own gradient.

    The decorated function returns ``(result, pull)``. Callers see the result. ``pull`` takes the
    cotangent of the result, in its structure, and returns those of the arguments: the cotangent
    alone where there is one argument, else a tuple, with None for an argument without derivative.
    Arguments given by keyword, and plain ones at the end that the tuple leaves out, are settings.

    Where ``pull`` is made of operators and of NumPy's or this library's functions, of the
    cotangent and of the arguments themselves, higher orders work too; and so does forward mode,
    which is the transpose of ``pull``.

    Raises:
        GraphError: if the result depends on a node that is not one of the arguments.
        UsageError: if the function does not return a result and a ``pull``, or the cotangents do
            not fit the arguments.

    >>> import microgradopt as mg
    >>> @mg.custom_gradient
    ... def with_clipped_gradient(x):
    ...     return x, lambda g: mg.clip(g, -1.0, 1.0)
    >>> mg.grad(lambda x: 100.0 * with_clipped_gradient(x))(2.0)
    1.0
    """
    row = _WithGradient(function)

    @wraps(function)
    def with_gradient(*args: Any, **options: Any) -> Any:
        operands = [x for x in leaves(args) if isinstance(x, Node)]
        if paused():
            return row.halves(args, options)[0]
        since = tick()
        result, pull = row.halves(args, options)
        row.refuse_others(result, operands, since)
        if not any(x._bits for x in operands):
            return result
        return row.record(_Call(args, options, operands, row.plain(result), pull))

    return with_gradient


class _WithGradient(_WholeFunction, General):
    """A function decorated with :func:`custom_gradient`."""

    def __init__(self, function: Function) -> None:
        super().__init__(function, pullback=self.cotangents)

    def halves(self, args: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Function]:
        """The result and the ``pull`` that the function returns."""
        pair = self.function(*args, **options)
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise UsageError(
                f"{self.name}: a function with @mg.custom_gradient returns (result, pull), with "
                f"pull a function of the result's cotangent; it returned {type(pair).__name__}"
            )
        return pair

    def refuse_others(self, result: Any, operands: Sequence[Node], since: int) -> None:
        """Raise where the result depends on something whose gradient nobody would compute."""
        outs = [y for y in leaves(result) if isinstance(y, Node)]
        for x in set(reach(outs, since=since)[1]).difference(operands):
            if x._bits and x._index < since:
                raise GraphError(
                    f"{self.name} uses {describe(x)}, which is not one of its arguments, so that "
                    "its gradient would be lost; pass it as one, or use mg.stop_gradient on it"
                )

    def again(self, *operands: Any, _call: _Call) -> Any:
        """The packed result for other operands."""
        new = iter(operands)
        values = [next(new) if isinstance(x, Node) else x for x in leaves(_call.args)]
        return _pack(self.plain(self.halves(rebuild(_call.args, values), _call.options)[0]))

    def cotangents(self, g: Any, out: Any, *args: Any, _call: _Call) -> tuple[Any, ...]:
        """The row's pullback: plain cotangents, or nodes where one of those given is a node."""
        if not isinstance(out, Node) and not isinstance(g, Node):
            with no_grad():
                return tuple(map(data_of, self._given(_call, g)))
        with recording():
            found = self._given(_call, g)
        for c in found if isinstance(g, Node) else ():
            self._refuse_constant(c)
        return tuple(found)

    def _given(self, call: _Call, g: Any) -> list[Any]:
        """What the user's ``pull`` makes of a packed cotangent: one entry per operand."""
        assert call.pull is not None
        given = call.pull(_unpack(g, call.result))
        single = len(call.args) == 1 or not isinstance(given, tuple)
        cotangents = [given] if single else list(given)
        spare = call.args[len(cotangents) :]
        if any(isinstance(x, Node) for x in leaves(spare)) or len(cotangents) > len(call.args):
            raise UsageError(
                f"{self.name}: pull must return a tuple of {len(call.args)} cotangents, one per "
                f"argument (None for one without derivative); it returned {len(cotangents)}"
            )
        found: list[Any] = []
        for i, (c, x) in enumerate(zip(cotangents, call.args)):
            found += self._per_operand(c, x, i)
        return found

    def _per_operand(self, cotangent: Any, arg: Any, i: int) -> list[Any]:
        """The cotangents of those leaves of one argument that are nodes."""
        if cotangent is None:
            return [None for x in leaves(arg) if isinstance(x, Node)]
        try:
            return [c for c, x in aligned(cotangent, arg) if isinstance(x, Node)]
        except LookupError as error:
            raise UsageError(
                f"{self.name}: the cotangent of argument {i}{error.args[0]}; "
                "it must have the structure of the argument"
            ) from None

    def _refuse_constant(self, cotangent: Any) -> None:
        """Raise for plain data made of a node: the derivative would stop there."""
        if not isinstance(cotangent, Node) and cotangent is not None and np.any(cotangent):
            raise UsageError(
                f"{self.name}: forward mode and higher orders need a pull that keeps nodes: "
                "operators and NumPy's or mg's functions, where this one returned plain "
                f"{type(cotangent).__name__}"
            )


# Memory for time


def checkpoint(function: Function) -> Function:
    """``function``, forgetting what it computes on the way and computing it anew for the gradient.

    The graph keeps the result and what goes in, the parameters it uses among them, instead of all
    intermediates: less memory, for a second forward pass. A function that draws random numbers
    must get a generator that starts afresh, or the same numbers, at each call.

    Raises:
        GraphError: in the backward pass, if the second computation gives another result.

    >>> import numpy as np, microgradopt as mg
    >>> w = mg.Tensor(np.eye(2))
    >>> layer = mg.checkpoint(lambda x: mg.tanh(x @ w))
    >>> mg.sum(layer(np.ones((1, 2)))).backward()
    >>> w.grad.round(3)
    array([[0.42, 0.42],
           [0.42, 0.42]])
    """
    row = _ComputedTwice(function)

    @wraps(function)
    def computed_twice(*args: Any, **options: Any) -> Any:
        since = tick()
        result = function(*args, **options)
        operands = _used(result, since)
        if not operands:
            return result
        return row.record(_Call(args, options, operands, row.plain(result)))

    return computed_twice


def _used(result: Any, since: int) -> list[Node]:
    """The nodes older than the number ``since`` that a result was computed from."""
    outs = [y for y in leaves(result) if isinstance(y, Node)]
    return [x for x in reach(outs, since=since)[1] if x._bits and x._index < since]


class _ComputedTwice(_WholeFunction):
    """A function wrapped by :func:`checkpoint`."""

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        call: _Call = params["_call"]
        result, since = self._replay(call)
        pairs = zip(result, leaves(_unpack(g, call.result)), strict=True)
        seeds = gathered((y, c) for y, c in pairs if isinstance(y, Node))
        found = pullback(seeds, lift=isinstance(out, Node), since=since)
        return [found[call.operands[i]] for i in wanted]

    def push(
        self, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        call: _Call = params["_call"]
        result, since = self._replay(call)
        seeds: dict[Node, Any] = {
            x: t for x, t in zip(call.operands, tangents, strict=True) if t is not None
        }
        lift = isinstance(out, Node) or any(isinstance(t, Node) for t in tangents)
        nodes = [y for y in result if isinstance(y, Node)]
        found = pushforward(nodes, seeds, graph.EVERYTHING, lift=lift, since=since)
        moved = dict(zip(nodes, found, strict=True))
        return _pack([_filled(moved.get(y), y) for y in result])

    def _replay(self, call: _Call) -> tuple[list[Any], int]:
        """The leaves of the result computed again, and the number its graph starts from."""
        since = tick()
        with recording():
            result = self.function(*call.args, **call.options)
        same = [np.array_equal(data_of(y), x, equal_nan=True) for y, x in
                zip(leaves(result), leaves(call.result))]  # fmt: skip
        if not all(same) or len(same) != len(leaves(call.result)):
            raise GraphError(
                f"checkpoint: {self.name} gave another result when it was computed again for the "
                "gradient; it must not draw from a running generator, or use data that change"
            )
        if set(_used(result, since)) != {x for x in call.operands if x._bits}:
            raise GraphError(
                f"checkpoint: {self.name} used other nodes when it was computed again for the "
                "gradient; between the two, do not exchange nodes in lists or attributes it reads"
            )
        return leaves(result), since


def _filled(tangent: Any, like: Any) -> Any:
    """A tangent of the right shape, also where it is zero."""
    return np.zeros_like(data_of(like)) if tangent is None else tangent
