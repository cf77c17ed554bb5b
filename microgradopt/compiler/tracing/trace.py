"""The tracer: runs a function once, as it is, on stand-ins, and writes down what happens.

A leaf from outside is adopted where its data are first read: from then on they are a stand-in,
until the call ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from microgradopt.compiler.program import (
    Call,
    Check,
    Guard,
    GuardError,
    Host,
    Instruction,
    Program,
    Var,
    substituted,
    variables,
)
from microgradopt.compiler.tracing.cells import Attribute
from microgradopt.compiler.tracing.scalars import (
    NOTHING,
    Code,
    ScalarProgram,
    Scalars,
    merged,
)
from microgradopt.compiler.tracing.slots import GRAD, INDEX, RAW
from microgradopt.compiler.tracing.standin import PUT, StandIn
from microgradopt.engine.graph import Node, describe, tick
from microgradopt.engine.lines import Line, users_line
from microgradopt.engine.modes import traced
from microgradopt.engine.ops.shapes import index_row, transpose_row
from microgradopt.engine.rules import Elementwise, data_of, reshape_to
from microgradopt.engine.structure import leaves, map_structure
from microgradopt.errors import TraceError

_NONE: dict[str, Any] = {}
ALL_FINITE = Call("all_finite", lambda *arrays: all(np.isfinite(x).all() for x in arrays))
HAS_SHAPE = Call("has_shape", lambda x, shape: x.shape == shape)
_array = np.array  # itself, also while it is exchanged


class Entry(NamedTuple):
    """What a cell held before the call, and the variable that stands for it; None if unread."""

    before: Any
    var: Var | None


class Tracer:
    """What one traced call reads, does and leaves behind."""

    def __init__(self) -> None:
        self.since = tick()
        self.scalars = Scalars()  # what is done with scalars alone
        self.others: list[tuple[int, Instruction]] = []  # with how many scalars had been made
        self.data: dict[Node, Entry] = {}  # leaves from outside
        self.grads: dict[Node, Entry] = {}  # and their gradients, as far as they are met
        self.attributes: list[tuple[Attribute, Any]] = []  # with a structure of entries
        self.flags: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self.settings: dict[int, tuple[Any, dict[str, Any]]] = {}
        self.hosts: list[tuple[Host, Any]] = []  # with what they remember
        self.constants: dict[int, tuple[Any, Any]] = {}  # arrays, and copies of them
        self.made: list[weakref.ref[StandIn]] = []
        self.line: Line | None = None  # of all that is recorded, where it is known

    # What is recorded

    def entry(self, value: Any, name: str | None = None, argument: bool = False) -> StandIn:
        """A stand-in for what a call is given or finds."""
        return self.stand_in(value, Var.like(value, name), argument)

    def record(self, op: Any, operands: Sequence[Any], params: dict[str, Any] = _NONE) -> Any:
        """Apply an operation, and write it down."""
        if op.__class__ is Elementwise and not params and len(operands) <= 2:
            made = self._record_scalar(op, operands)
            if made is not None:
                return made
        raw: list[Any] = []
        read: list[Any] = []
        for x in operands:
            kind = type(x)
            if kind is StandIn:
                raw.append(x.value)
                read.append(self.var_of(x))
            elif kind is float:
                raw.append(x)
                read.append(x)
            else:
                raw.append(substituted(x, _value, StandIn))
                read.append(self._constant(x))
        kept = params
        if params:
            kept = {k: self._constant(v) for k, v in params.items()}
            params = substituted(params, _value, StandIn)
        out = op.compute(raw, params)
        line = self.line or users_line()
        if type(out) is not float and isinstance(out, (tuple, list)):
            several = [self._wrapped(x) for x in out]
            if len(several) == 1:
                raise TraceError(f"uses {op.name}, which gives a sequence of one array")
            outs = tuple(x.var for x in several)
            self._append(Instruction(op, tuple(read), kept, outs, line))
            return type(out)(several) if type(out) in (tuple, list) else type(out)(*several)
        result = self._wrapped(out)
        self._append(Instruction(op, tuple(read), kept, (result.var,), line))
        if type(out) is np.ndarray and not isinstance(op, Elementwise):
            self._link_views(op, operands, kept, result)
            if op is index_row and _decides_shape(kept["key"]):
                self.of_this_shape(result)
        return result

    def _record_scalar(self, row: Any, operands: Sequence[Any]) -> StandIn | None:
        """A row applied to floats, written down in short; None if it is anything else."""
        scalars = self.scalars
        raw: list[Any] = []
        codes: list[Code] = []
        for x in operands:
            if type(x) is StandIn and type(x.value) is float:
                raw.append(x.value)
                codes.append(self.scalar_code(x))
            elif type(x) is float:
                raw.append(x)
                codes.append(scalars.constant(x))
            else:
                return None
        out = row.compute(raw, _NONE)
        if type(out) is not float:
            return None
        b = codes[1] if len(codes) == 2 else NOTHING
        return self.stand_in(out, scalars.append(row, codes[0], b, self.line or users_line()))

    def stand_in(self, value: Any, var: Any, argument: bool = False) -> StandIn:
        """A stand-in for a value whose variable or code is known."""
        made = StandIn(value, var, self, argument)
        self.made.append(weakref.ref(made))
        return made

    def scalar_code(self, x: Any) -> Code:
        """The code of a scalar: of a stand-in, or of a constant."""
        if type(x) is not StandIn:
            return self.scalars.constant(x)
        if x.tracer is not self:
            self._refuse_use(x)
        return x.var if type(x.var) is int else self.scalars.code_of(x.var)

    def var_of(self, x: StandIn) -> Var:
        """The variable that a stand-in stands for."""
        if x.var is None or x.tracer is not self:
            self._refuse_use(x)
        var: Var = self.scalars.var(x.var) if type(x.var) is int else x.var
        return var

    def program(self, entries: list[Var], results: list[Any]) -> Program:
        """What has been recorded; results are stand-ins and constants."""
        if self.scalars.op and not self.others and all(v.kind is float for v in entries):
            codes = [self.scalar_code(x) if type(x) is StandIn else None for x in results]
            return ScalarProgram(self.scalars, entries, results, codes)
        results = [self.var_of(x) if type(x) is StandIn else x for x in results]
        return Program(entries, merged(self.scalars, self.others, entries), results)

    def _append(self, instruction: Instruction) -> None:
        self.others.append((len(self.scalars.op), instruction))

    def forget(self, since: tuple[int, int]) -> None:
        """Drop what has been recorded since a :meth:`mark`."""
        self.scalars.truncate(since[0])
        del self.others[since[1] :]

    def mark(self) -> tuple[int, int]:
        """How far the recording has come."""
        return len(self.scalars.op), len(self.others)

    def _wrapped(self, value: Any) -> StandIn:
        return self.stand_in(value, Var(float) if type(value) is float else Var.like(value))

    def _constant(self, x: Any) -> Any:
        """An operand as an instruction has it: variables for stand-ins, and arrays remembered."""
        kind = type(x)
        if kind is StandIn:
            return self.var_of(x)
        if kind is np.ndarray:
            if id(x) not in self.constants:
                self.constants[id(x)] = x, x.copy()
            return x
        if kind is tuple or kind is list:
            return kind([self._constant(branch) for branch in x])
        if kind is dict:
            return {key: self._constant(branch) for key, branch in x.items()}
        if kind is slice:
            return slice(*map(self._constant, (x.start, x.stop, x.step)))
        return x

    def guarded(self, x: StandIn) -> bool:
        """The truth of a number, which later calls must agree with."""
        truth = bool(x.value)
        self._append(Instruction(Guard(truth), (self.var_of(x),), {}, (), users_line()))
        return truth

    def of_this_shape(self, found: Any) -> Any:
        """Results whose shapes depend on data: later calls must have the same."""
        for x in leaves(found):
            if isinstance(x, np.ndarray):
                self.guarded(self.record(HAS_SHAPE, (x, x.shape)))
        return found

    def settled(self, x: Any) -> Any:
        """Actual data in the place of a traced array: later calls must have the same."""
        if type(x) is not StandIn:
            return x
        value = x.value
        self.guarded(self.record(Call("array_equal", np.array_equal), (x, value)))
        return value

    def all_finite(self, arrays: Sequence[Any]) -> bool:
        """Whether all of them are finite, which later calls must agree with."""
        values = self.concretely(list, (arrays,))
        operands = tuple(self.var_of(x) for x in arrays if type(x) is StandIn)
        finite = all(np.isfinite(x).all() for x in values)
        if finite:
            self._append(Instruction(Check(_fail), operands, {}, (), users_line()))
        else:
            self.guarded(self.record(ALL_FINITE, arrays))
        return finite

    def host(
        self,
        name: str,
        function: Callable[..., Any],
        operands: Sequence[Any] = (),
        remember: Callable[[], Any] | None = None,
        undo: Callable[[Any], None] | None = None,
    ) -> Any:
        """Call Python now, and in each later run at this point."""
        op = Host(name, function, remember, undo)
        self.hosts.append((op, remember() if remember else None))
        with traced(None):
            return self.record(op, operands)

    def concretely(
        self, function: Callable[..., Any], args: Any, options: dict[str, Any] = _NONE
    ) -> Any:
        """Call a function on the numbers themselves: its result is none of the program's."""
        args, options = substituted((args, options), _value, StandIn)
        return function(*args, **options)

    def opaque(self, name: str, function: Callable[..., Any], args: Any, params: Any) -> Any:
        """Record a call whole, whatever structure it returns; None in it stays None."""
        form: list[Any] = []

        def flat(*args: Any, **params: Any) -> Any:
            result = function(*args, **params)
            form[:] = [result]
            found = leaves(result)
            return found[0] if len(found) == 1 else tuple(found)

        made = self.record(Call(name, flat), args, params)
        found = iter(leaves(made))
        return map_structure(lambda _: next(found), form[0])

    # Memory

    def copied(self, x: StandIn, order: str = "K") -> StandIn:
        """A stand-in for the same numbers that may be written by itself."""
        value = x.value
        asked = order in ("C", "F") and isinstance(value, np.ndarray)
        if asked and not value.flags[f"{order}_CONTIGUOUS"]:
            return self.record(Call("copy", partial(_array, order=order)), (x,))  # type: ignore[no-any-return]
        return self.stand_in(value, x.var)

    def _link_views(self, op: Any, operands: Sequence[Any], params: Any, out: StandIn) -> None:
        for x in operands:
            if type(x) is StandIn and np.may_share_memory(x.value, out.value):
                x.views.append(weakref.ref(out))
                out.source = x, _way_back(op, x, params)

    def write(self, target: StandIn, new: Any) -> StandIn:
        """``target[...] = new``: later uses of the target see the new numbers."""
        _refuse_argument(target)
        result: Any = new
        if target.value.shape != np.shape(data_of(new)):
            result = self.record(Call("broadcast_to", np.broadcast_to), (new, target.value.shape))
        if target.value.dtype != result.value.dtype:
            np.positive(result.value, out=np.empty_like(target.value))  # raises where NumPy does
            result = result.astype(target.value.dtype)
        self._set(target, result)
        return target

    def _set(self, target: StandIn, new: StandIn, through: StandIn | None = None) -> None:
        _forget_views(target, through)
        target.value, target.var = new.value, new.var
        if target.source is not None:
            whole, way_back = target.source
            if way_back is None:
                raise TraceError("writes into a view of an array")
            self._set(whole, way_back(target), through=target)

    def _refuse_use(self, x: StandIn) -> None:
        if x.tracer is not self:
            raise TraceError(
                "uses a number or array that was made inside of another call of a jitted function"
            )
        raise TraceError("reads a view of an array that has been written in place since")

    # State from outside

    def is_inner(self, node: Node) -> bool:
        """Whether a node was made by the call itself."""
        try:
            number = INDEX.__get__(node)
        except AttributeError:
            return True  # it is being made
        return bool(number >= self.since) and node not in self.data

    def adopt(self, node: Node) -> None:
        """Let the data of a leaf from outside be an entry of the program."""
        if node.op is not None:
            with traced(None):
                what = describe(node)
            raise TraceError(
                f"uses {what}, which was computed outside; give it as an argument, or compute it "
                "inside"
            )
        made = self.entry(RAW.__get__(node), node.name)
        self.data[node] = Entry(made.value, made.var)
        RAW.__set__(node, made)

    def meet_grad(self, node: Node, *, read: bool) -> None:
        """The gradient of a leaf from outside is read or set; one that is read is an entry."""
        if node in self.grads:
            return
        held = GRAD.__get__(node)
        if not read or held is None:
            self.grads[node] = Entry(held, None)
            if read:
                self.depends(node, "grad")
            return
        if not isinstance(held, (float, int, np.ndarray, np.generic)):
            raise TraceError(
                f"finds a {type(held).__name__} as the gradient of {describe(node)}; set an array"
            )
        made = self.entry(held, f"grad_{node.name}" if node.name else None)
        self.grads[node] = Entry(held, made.var)
        GRAD.__set__(node, made)

    def hold(self, owner: Any, name: str) -> None:
        """Let the numbers and arrays in an attribute be entries, and what they become results."""
        if any(cell.owner is owner and cell.name == name for cell, _ in self.attributes):
            return
        cell = Attribute(owner, name)
        made = map_structure(lambda x: self.entry(x, name), cell.read())
        entries = map_structure(lambda x: Entry(x.value, x.var), made)
        self.attributes.append((cell, entries))
        cell.write(made)

    def read(self, owner: Any, name: str) -> StandIn:
        """Let the number that an attribute is now be an entry."""
        cell = Attribute(owner, name, written=False)
        made = self.entry(cell.read(), name)
        self.attributes.append((cell, Entry(made.value, made.var)))
        return made

    def _written(self) -> list[tuple[Attribute, Any]]:
        return [(cell, entries) for cell, entries in self.attributes if cell.written]

    def depends(self, owner: Any, name: str) -> None:
        """Trace anew when this attribute has another value."""
        self.flags.setdefault((id(owner), name), (owner, name, getattr(owner, name)))

    def depends_on(self, owner: Any) -> None:
        """Trace anew when an attribute of this object is set; whoever sets it has to say so."""
        self.settings.setdefault(id(owner), (owner, dict(vars(owner))))

    # The end of a call

    def settle(self) -> None:
        """Put actual data in the places of all stand-ins that the call leaves in its state."""
        own = Owner([e.before for e in (*self.data.values(), *self.grads.values())])
        for node, entry in self.data.items():
            RAW.__set__(node, own(RAW.__get__(node), entry))
        for node, entry in self.grads.items():
            GRAD.__set__(node, own(GRAD.__get__(node), entry))
        for cell, _ in self._written():
            cell.write(map_structure(own, cell.read()))

    def restore(self) -> None:
        """Put everything back as it was before the call."""
        for node, entry in self.data.items():
            RAW.__set__(node, entry.before)
        for node, entry in self.grads.items():
            GRAD.__set__(node, entry.before)
        for cell, entries in self._written():
            cell.write(of_entries(lambda x: x.before, entries))
        for op, memory in reversed(self.hosts):
            if op.undo:
                op.undo(memory)


class Owner:
    """Takes the values out of stand-ins, as arrays that nobody else has."""

    def __init__(self, taken: Sequence[Any]) -> None:
        self.taken = {id(x) for x in taken}

    def __call__(self, x: Any, entry: Entry | None = None) -> Any:
        """The value; that of the entry if it is still the same."""
        value = x.value if type(x) is StandIn else x
        if entry is not None and value is entry.before:
            return value
        if isinstance(value, np.ndarray) and (id(value) in self.taken or value.base is not None):
            value = value.copy(order="K")
        self.taken.add(id(value))
        return value


def of_entries(f: Callable[[Entry], Any], tree: Any) -> Any:
    """A structure of entries with ``f`` of each in its place."""
    if isinstance(tree, Entry):
        return f(tree)
    if isinstance(tree, dict):
        return {key: of_entries(f, branch) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(of_entries(f, branch) for branch in tree)
    return tree


def released(x: Any) -> Any:
    """What a stand-in stands for; anything else is itself."""
    return x.value if type(x) is StandIn else x


def _refuse_argument(target: StandIn | None) -> None:
    """Raise if an array, or what it is a view of, is the caller's."""
    while target is not None:
        if target.argument:
            raise TraceError("writes into an array that it was given; make a new array instead")
        target = target.source[0] if target.source else None


def _forget_views(target: StandIn, kept: StandIn | None) -> None:
    """Let nobody read the views of an array that is written: they would show the old numbers."""
    for ref in target.views:
        view = ref()
        if view is not None and view is not kept:
            view.var = None
            _forget_views(view, None)


def _decides_shape(key: Any) -> bool:
    """Whether an index chooses entries by traced truth values, or cuts at traced places."""
    parts = key if isinstance(key, tuple) else (key,)
    for x in parts:
        if type(x) is Var and (x.dtype == bool or x.kind is bool):
            return True
        if type(x) is slice and any(variables(x)):
            return True
    return False


def _value(x: StandIn) -> Any:
    return x.value


def _fail(*_: Any) -> None:
    raise GuardError


def _way_back(op: Any, x: StandIn, params: Any) -> Callable[[StandIn], Any] | None:
    """How to make the whole array from a view of it that was written."""
    if op is reshape_to:
        return lambda view: view.reshape(x.value.shape)
    if op is transpose_row:
        order = tuple(int(i) for i in np.argsort(params["axes"]))
        return lambda view: view.transpose(order)
    if op is index_row:
        return lambda view: view.tracer.record(PUT, (x, params["key"], view))
    return None
