"""``debug``: the first NaN, the array written too early, the input never used, and your line.

Nothing in the engine asks whether debugging is on. While a ``debug()`` is open, the few things that
all work goes through are exchanged for watched ones: ``attach``, the reverse sweep, the rule of a
tangent, the trace of a functional transform, and the shortcuts of ``Value``.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ContextDecorator
from typing import Any, NamedTuple, Self

import numpy as np

from microgradopt.engine import derive, graph, modes, sweeps
from microgradopt.engine.graph import Array, Node, Primitive, attach, describe, reach
from microgradopt.engine.lines import Line, quoted, users_line
from microgradopt.engine.rules import Elementwise, Linear, data_of, is_floating
from microgradopt.engine.structure import leaves
from microgradopt.engine.sweeps import tangent
from microgradopt.engine.value import Value
from microgradopt.errors import NonFiniteError, StaleGraphError, UnusedInputWarning, UsageError

__all__ = ["debug"]

MANY = 10_000  # recorded nodes, from which on the dead among them are looked for


class debug(ContextDecorator):  # noqa: N801  # used like a keyword, as no_grad is
    """Inside, what the current thread computes is watched; a context manager and a decorator.

    - The operation that makes the first NaN or infinity raises, in the forward or the backward
      pass, and the message has your line that applied it. Infinities you put in yourself, such
      as a mask of −inf, may pass.
    - A backward pass raises where an array it needs was written in place after it was used, also
      by ``x.data[0] = 5.0`` or through a plain array, which leave no stamp.
    - A functional transform warns of an input that its function does not depend on; and at the
      end a warning names those of the given ``inputs`` that no backward pass has reached.

    Everything is copied and compared, so all is slower inside, and nothing outside.

    Args:
        inputs: nodes, structures of nodes, or modules whose parameters should all get gradients.
        nonfinite: whether to look for NaN and infinities.
        writes: whether to look for arrays written in place.

    Raises:
        NonFiniteError: at the first NaN or infinity.
        StaleGraphError: when a backward pass needs an array that was written in place.

    >>> import microgradopt as mg
    >>> with mg.debug():
    ...     try:
    ...         mg.log(mg.Value(1.0, name="x") - 1.0)
    ...     except mg.errors.NonFiniteError as error:
    ...         print(str(error).splitlines()[0])
    'log' made -inf of 0.0, the Value made by 'subtract'
    """

    def __init__(self, *inputs: Any, nonfinite: bool = True, writes: bool = True) -> None:
        self.inputs = dict(_named(inputs))
        self.nonfinite = nonfinite
        self.writes = writes

    def __enter__(self) -> Self:
        if modes.tracer() is not None:
            raise UsageError(
                "debug() inside of a jitted function would see its first calls only; write it "
                "around the calls, which then run as they are written"
            )
        self._records: dict[int, _Record] = {}  # by the node's number
        self._copies: dict[int, tuple[Array, Array]] = {}  # an array and its copy, by id
        self._many = MANY
        self._reached: set[Node] = set()
        _watching.stack.append(self)
        _exchange(+1)
        return self

    def __exit__(self, kind: Any, *exception: object) -> None:
        _exchange(-1)
        _watching.stack.remove(self)
        self._records, self._copies = {}, {}
        missed = [name for node, name in self.inputs.items() if node not in self._reached]
        if missed and kind is None:
            _warn("no backward pass within debug() reached " + ", ".join(missed))

    # What the watched parts of the engine report

    def _made(self, node: Node, primitive: Primitive, operands: Sequence[Any]) -> None:
        """A node has been made: look at its data, and remember those its rule may read."""
        line = users_line()
        if self.nonfinite:
            _refuse_nonfinite_result(node, primitive, operands, line)
        if node.op is None:
            return
        kept = []
        if self.writes and _rule_reads_data(primitive):
            arrays = enumerate([*operands, node])
            raw = ((i, data_of(x)) for i, x in arrays)
            kept = [self._keep(i, data) for i, data in raw if isinstance(data, np.ndarray)]
        self._records[node._index] = _Record(node, line, kept)
        if len(self._records) > self._many:
            self._forget_the_dead()

    def _line_of(self, node: Node) -> str:
        """Where the user applied the operation, as a traceback writes it."""
        record = self._records.get(node._index)
        return quoted(record.line) if record else "\n  before debug() was entered"

    def _refuse_written(self, node: Node) -> None:
        """Raise if an array was written that the rule of ``node`` is about to read."""
        record = self._records.get(node._index)
        for i, array, copy in record.kept if record else ():
            if np.array_equal(array, copy, equal_nan=True):
                continue
            assert node.op is not None
            x = [*node.args, node][i]
            where = _first(array != copy)
            raise StaleGraphError(
                f"{_called(x)} was written in place after {node.op.name!r} had used it: entry "
                f"{_place(where)} was {copy[where]} and is {array[where]} now. Make a new array "
                f"instead, or call backward() before; the use was{self._line_of(node)}"
            )

    def _came_to(self, node: Node) -> None:
        """A backward pass has come to the operands of this node."""
        if self.inputs:
            self._reached.update(x for x in node.parents if x in self.inputs)

    def _keep(self, i: int, array: Array) -> tuple[int, Array, Array]:
        """An operand's number, its array, and a copy that all uses of the same array share."""
        known = self._copies.get(id(array))
        if known is None or known[0] is not array or not np.array_equal(*known, equal_nan=True):
            known = self._copies[id(array)] = array, array.copy()
        return i, *known

    def _forget_the_dead(self) -> None:
        """Drop the records of nodes that nothing else holds, users before their operands."""
        for i in reversed(self._records):
            if sys.getrefcount(self._records[i].node) <= _HELD_BY_RECORD:
                self._records[i] = _FORGOTTEN
        self._records = {i: r for i, r in self._records.items() if r is not _FORGOTTEN}
        self._copies.clear()
        self._many = max(MANY, 2 * len(self._records))


class _Record(NamedTuple):
    node: Any
    line: Line
    kept: list[tuple[int, Array, Array]]  # number of the operand (the last is the result)


_FORGOTTEN = _Record(object(), ("", 0, ""), [])
_HELD_BY_RECORD = sys.getrefcount(_FORGOTTEN.node)  # and by nothing else


class _Watching(threading.local):
    """The debuggers that are open in the current thread; the innermost one is told."""

    def __init__(self) -> None:
        self.stack: list[debug] = []
        self.traces = 0  # how many functional transforms have been traced


_watching = _Watching()


def _named(inputs: Sequence[Any]) -> Iterator[tuple[Node, str]]:
    """Each input node, and what to call it."""
    for x in leaves(inputs):
        if hasattr(x, "named_parameters"):
            yield from ((p, name) for name, p in x.named_parameters())
        elif isinstance(x, Node):
            yield x, describe(x)
        else:
            raise UsageError(
                f"debug() takes nodes, structures of nodes, and modules; got {type(x).__name__}"
            )


# Non-finite numbers


def _worse(new: Any, old: Sequence[Any]) -> Any:
    """Where ``new`` has a NaN, or an infinity though there is none in ``old``; else None."""
    if not is_floating(new) or np.isfinite(new).all():
        return None
    if np.isnan(new).any():
        return _first(np.isnan(new))
    if any(is_floating(x) and np.isinf(x).any() for x in old):
        return None
    return _first(np.isinf(new))


def _first(truth: Any) -> tuple[int, ...]:
    """The index of the first entry that holds."""
    return tuple(int(i[0]) for i in np.nonzero(truth)) if np.ndim(truth) else ()


def _place(index: tuple[int, ...]) -> str:
    return str(index) if index else "()"


def _refuse_nonfinite_result(
    node: Node, primitive: Primitive, operands: Sequence[Any], line: Line
) -> None:
    raw = [data_of(x) for x in operands]
    where = _worse(node._raw, raw)
    if where is None:
        return
    for x in operands:
        if is_floating(data_of(x)) and np.isnan(data_of(x)).any():
            at = _first(np.isnan(data_of(x)))
            raise NonFiniteError(
                f"{_called(x)} came into the graph with NaN, at entry {_place(at)}; "
                f"{primitive.name!r} was applied to it{quoted(line)}"
            )
    number = np.asarray(node._raw)[where]
    spot = f" at entry {_place(where)}" if where else ""
    shown = " and ".join(_shown(x, where, node, primitive) for x in operands)
    raise NonFiniteError(f"{primitive.name!r} made {number}{spot} of {shown}{quoted(line)}")


def _shown(x: Any, where: tuple[int, ...], node: Node, primitive: Primitive) -> str:
    """An operand: the number that counts for that entry, or its shape and range."""
    data = data_of(x)
    if isinstance(primitive, Elementwise):
        number = np.broadcast_to(data, np.shape(node._raw))[where]
        return f"{number}" + (f", {describe(x)}" if isinstance(x, Node) else "")
    spread = f", from {np.min(data):.3g} to {np.max(data):.3g}" if np.size(data) else ""
    return f"{_called(x)}{spread}"


def _called(x: Any) -> str:
    """How a message calls an operand."""
    if isinstance(x, Node):
        return describe(x)
    return f"a plain array of shape {x.shape}" if isinstance(x, np.ndarray) else f"the number {x}"


def _rule_reads_data(primitive: Primitive) -> bool:
    """Whether a backward pass reads operands or result; some rules are constants, or shapes."""
    if isinstance(primitive, Elementwise):
        return any(callable(p) for p in primitive.partials)
    return not isinstance(primitive, Linear)


# Warnings


def _warn(message: str) -> None:
    file, number, _ = users_line()
    warnings.warn_explicit(message, UnusedInputWarning, file, number, registry={})


# The exchange


def _watched_attach(
    primitive: Primitive, operands: Sequence[Any], data: Any, mask: int, params: dict[str, Any]
) -> Node:
    node = attach(primitive, operands, data, mask, params)
    if _watching.stack:
        _watching.stack[-1]._made(node, primitive, operands)
    return node


class _WatchedSweep(sweeps.Sweep):
    watches = True

    def through(self, node: Node, g: Any) -> None:
        if not _watching.stack:
            super().through(node, g)
            return
        debugger = _watching.stack[-1]
        debugger._refuse_written(node)
        before = {x: _copied(self.table[x]) for x in node.parents if x in self.table}
        super().through(node, g)
        debugger._came_to(node)
        if debugger.nonfinite:
            for x, old in before.items():
                where = _worse(data_of(self.table[x]), [old, data_of(g)])
                if where is not None:
                    self._refuse(node, x, where, debugger)

    def _refuse(self, node: Node, x: Node, where: tuple[int, ...], debugger: debug) -> None:
        assert node.op is not None
        number = np.asarray(data_of(self.table[x]))[where]
        at = f" at entry {_place(where)}, where it holds {x._raw[where]}" if where else (
            f", which is {x._raw}")  # fmt: skip
        raise NonFiniteError(
            f"the backward rule of {node.op.name!r} made the gradient {number} for {describe(x)}"
            f"{at}; {node.op.name!r} was applied{debugger._line_of(node)}"
        )


def _copied(x: Any) -> Any:
    """A cotangent as it is now: sums are made in place."""
    data = data_of(x)
    return data.copy() if isinstance(data, np.ndarray) else data


def _watched_tangent(node: Node, ts: Sequence[Any], lift: bool) -> Any:
    if not _watching.stack:
        return tangent(node, ts, lift)
    debugger = _watching.stack[-1]
    debugger._refuse_written(node)
    t = tangent(node, ts, lift)
    where = _worse(data_of(t), [data_of(x) for x in ts]) if debugger.nonfinite else None
    if where is not None:
        assert node.op is not None
        raise NonFiniteError(
            f"the forward-mode rule of {node.op.name!r} made the tangent "
            f"{np.asarray(data_of(t))[where]} at entry {_place(where)} of {describe(node)}; "
            f"{node.op.name!r} was applied{debugger._line_of(node)}"
        )
    return t


class _WatchedTrace(derive.Trace):
    def __init__(self, *given: Any) -> None:
        before = _watching.traces
        super().__init__(*given)
        plain = _watching.traces == before  # the gradient of a linear function may be constant
        _watching.traces += 1
        if not _watching.stack or not plain:
            return
        outs = [y for y in self.outs if isinstance(y, Node)]
        met = reach(outs, self.bit)[2]
        unused = [str(i) for i, x in enumerate(self.inputs) if x not in met]
        if unused:
            _warn(
                f"the function does not depend on input {', '.join(unused)} of the "
                f"{len(self.inputs)} it is differentiated by, so that derivative is 0"
            )


def _general(row: Elementwise) -> Any:
    """In place of a shortcut of Value: the general way, by ``attach``."""

    def method(self: Value, *others: Any) -> Any:
        return row(self, *others)

    return method


_EXCHANGED: list[tuple[Any, str, Any, Any]] = [  # where, what, watched, as it was
    (graph, "attach", _watched_attach, attach),
    (sweeps, "Sweep", _WatchedSweep, sweeps.Sweep),
    (sweeps, "tangent", _watched_tangent, tangent),
    (derive, "Trace", _WatchedTrace, derive.Trace),
    *((Value, name, _general(method.row), method)
      for name, method in vars(Value).items() if hasattr(method, "row")),
]  # fmt: skip
_lock = threading.Lock()
_open = 0


def debugging() -> bool:
    """Whether some thread is inside of :class:`debug`."""
    return _open > 0


def _exchange(step: int) -> None:
    """One more or one fewer debugger is open, in whatever thread."""
    global _open  # noqa: PLW0603  # one process, one engine
    with _lock:
        _open += step
        for owner, name, watched, original in _EXCHANGED:
            setattr(owner, name, watched if _open else original)
