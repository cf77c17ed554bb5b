"""The tracer: runs a function once, as it is, on stand-ins, and writes down what happens.

While a thread is being traced, the few places that data go through are exchanged for ones that look
at the tracer: the data and gradient of a node, the kernels and pullbacks of rows, the chain rule's
product. A leaf from outside is adopted where its data are first read: from then on they are a
stand-in, until the call ends.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from microgradopt import randomness
from microgradopt.engine import derive, modes, rules, sweeps
from microgradopt.engine.graph import EVERYTHING, Node, Primitive, describe, reach, tick
from microgradopt.engine.lines import Line, users_line
from microgradopt.engine.modes import traced
from microgradopt.engine.ops.elementwise import equal, isnan, logical_and, logical_or, where
from microgradopt.engine.ops.shapes import index_row, transpose_row
from microgradopt.engine.rules import Elementwise, Fused, chain, data_of, passing, reshape_to
from microgradopt.engine.structure import leaves, map_structure
from microgradopt.engine.value import Value
from microgradopt.errors import TraceError
from microgradopt.jit.cells import Attribute
from microgradopt.jit.program import (
    Call,
    Check,
    Guard,
    GuardError,
    Host,
    Instruction,
    Program,
    Var,
    substituted,
)
from microgradopt.jit.scalar_sweep import Nodes, Template, sweep, template_of, traced_template
from microgradopt.jit.scalars import CONSTANT, NOTHING, Code, ScalarProgram, Scalars, merged
from microgradopt.jit.standin import PUT, StandIn
from microgradopt.jit.values import traced_operator

_NONE: dict[str, Any] = {}
ALL_FINITE = Call("all_finite", lambda *arrays: all(np.isfinite(x).all() for x in arrays))
HAS_SHAPE = Call("has_shape", lambda x, shape: x.shape == shape)
_RAW, _GRAD, _INDEX = (vars(Node)[name] for name in ("_raw", "grad", "_index"))


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
        made = StandIn(value, Var.like(value, name), self, argument)
        self.made.append(weakref.ref(made))
        return made

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
            made = [self._wrapped(x) for x in out]
            if len(made) == 1:
                raise TraceError(f"uses {op.name}, which gives a sequence of one array")
            outs = tuple(x.var for x in made)
            self._append(Instruction(op, tuple(read), kept, outs, line))
            return type(out)(made) if type(out) in (tuple, list) else type(out)(*made)
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
            if type(x) is StandIn and type(x.value) is float and x.tracer is self:
                raw.append(x.value)
                codes.append(x.var if type(x.var) is int else scalars.code_of(x.var))
            elif type(x) is float:
                raw.append(x)
                codes.append(scalars.constant(x))
            else:
                return None
        out = row.compute(raw, _NONE)
        if type(out) is not float:
            return None
        b = codes[1] if len(codes) == 2 else NOTHING
        made = StandIn(out, scalars.append(row, codes[0], b, self.line or users_line()), self)
        self.made.append(weakref.ref(made))
        return made

    def stand_in(self, value: Any, var: Any) -> StandIn:
        """A stand-in for a value whose variable or code is known."""
        made = StandIn(value, var, self)
        self.made.append(weakref.ref(made))
        return made

    def scalar_code(self, x: Any) -> Code:
        """The code of a scalar: of a stand-in, or of a constant."""
        if type(x) is StandIn:
            return x.var if type(x.var) is int else self.scalars.code_of(x.var)
        return self.scalars.constant(x)

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
        var = Var(float) if type(value) is float else Var.like(value)
        made = StandIn(value, var, self)
        self.made.append(weakref.ref(made))
        return made

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
        made = StandIn(value, x.var, self)
        self.made.append(weakref.ref(made))
        return made

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
            number = _INDEX.__get__(node)
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
        made = self.entry(_RAW.__get__(node), node.name)
        self.data[node] = Entry(made.value, made.var)
        _RAW.__set__(node, made)

    def meet_grad(self, node: Node, *, read: bool) -> None:
        """The gradient of a leaf from outside is read or set; one that is read is an entry."""
        if node in self.grads:
            return
        held = _GRAD.__get__(node)
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
        _GRAD.__set__(node, made)

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
            _RAW.__set__(node, own(_RAW.__get__(node), entry))
        for node, entry in self.grads.items():
            _GRAD.__set__(node, own(_GRAD.__get__(node), entry))
        for cell, _ in self._written():
            cell.write(map_structure(own, cell.read()))

    def restore(self) -> None:
        """Put everything back as it was before the call."""
        for node, entry in self.data.items():
            _RAW.__set__(node, entry.before)
        for node, entry in self.grads.items():
            _GRAD.__set__(node, entry.before)
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
        if type(x) is slice and Var in map(type, (x.start, x.stop, x.step)):
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


# What is exchanged while a thread is traced


def _get_raw(node: Node) -> Any:
    raw = _RAW.__get__(node)
    tracer = modes.tracer()
    if tracer is None:
        return raw.value if type(raw) is StandIn else raw  # others see what it stands for
    if type(raw) is StandIn or tracer.is_inner(node):
        return raw
    if node not in tracer.data:
        tracer.adopt(node)
    return _RAW.__get__(node)


def _set_raw(node: Node, new: Any) -> None:
    tracer = modes.tracer()
    if tracer is not None and not tracer.is_inner(node) and node not in tracer.data:
        tracer.adopt(node)
    _RAW.__set__(node, new)


def _get_grad(node: Node) -> Any:
    tracer = modes.tracer()
    if tracer is not None and not tracer.is_inner(node) and node.op is None:
        tracer.meet_grad(node, read=True)
    return _GRAD.__get__(node)


def _set_grad(node: Node, new: Any) -> None:
    tracer = modes.tracer()
    if tracer is not None and not tracer.is_inner(node) and node.op is None:
        tracer.meet_grad(node, read=False)
    _GRAD.__set__(node, new)


def _is_traced(tree: Any) -> bool:
    """Whether a stand-in is in a structure of operands or params."""
    kind = type(tree)
    if kind is StandIn:
        return True
    if kind is float or kind is np.ndarray:
        return False
    if isinstance(tree, (tuple, list)):
        return any(map(_is_traced, tree))
    if isinstance(tree, dict):
        return any(map(_is_traced, tree.values()))
    return isinstance(tree, slice) and _is_traced((tree.start, tree.stop, tree.step))


def _any_traced(args: Sequence[Any]) -> bool:
    """The same of operands; most are no structures."""
    for x in args:
        kind = type(x)
        if kind is StandIn:
            return True
        if kind is not float and _is_traced(x):
            return True
    return False


_compute = Primitive.compute


def _traced_compute(self: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    tracer = modes.tracer()
    if tracer is None or not (_any_traced(args) or (params and _is_traced(params))):
        return _compute(self, args, params)
    if isinstance(self, Fused):
        return _unfolded(tracer, self.name, self.array, args, params)
    return tracer.record(self, args, params)


def _unfolded(
    tracer: Tracer, name: str, function: Callable[..., Any], args: Any, params: dict[str, Any]
) -> Any:
    """A kernel or pullback as the operations it consists of; whole, where one cannot be traced."""
    mark = tracer.mark()
    try:
        return function(*args, **params)
    except Exception:  # whatever a stand-in lacks; where the call itself is wrong, it raises again
        tracer.forget(mark)
        return tracer.opaque(name, function, args, params)


_pull = Fused.pull


def _traced_pull(self: Fused, *given: Any) -> list[Any]:
    tracer = modes.tracer()
    if tracer is None or not _is_traced(given):
        return _pull(self, *given)
    found: list[Any] = _unfolded(tracer, f"{self.name}_pullback", partial(_pull, self), given, {})
    return found


_chained = rules.chained


def _traced_chained(g: Any, p: Any) -> Any:
    tracer = modes.tracer()
    if tracer is None or not _is_traced((data_of(g), data_of(p))):
        return _chained(g, p)
    if not isinstance(g, Node) and not isinstance(p, Node):
        return tracer.record(chain, (g, p))
    product = g * p
    nothing = logical_or(equal(data_of(g), 0.0), equal(data_of(p), 0.0))
    return where(logical_and(nothing, isnan(data_of(product))), 0.0, product)


_pullback = sweeps.pullback
MANY = 100  # scalar nodes, from which on a backward pass is laid out at once


def _traced_pullback(
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
    order, found_leaves, table = reach(seeds, mask, since)
    if len(order) < MANY or any(node.__class__ is not Value for node in table):
        return None
    order.reverse()
    rows = list(dict.fromkeys(node.op for node in order))
    templates = [_templates(row) for row in rows]
    if None in templates:
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
        out(code(_RAW.__get__(node)))
        own(places[node])
        for operand, value, to in ((a, x, to_x), (b, y, to_y)):
            if isinstance(operand, Node):
                value(code(_RAW.__get__(operand)))
                to(places[operand])
            else:
                value(NOTHING if operand is None else code(operand))
                to(-1)
    with traced(None):
        starts = {places[n]: code(c) for n, c in seeds.items()}
        plain_seeds = {n: released(c) for n, c in seeds.items()}
        numbers = _pullback(plain_seeds, mask, wanted=wanted, kept=kept, since=since)
        arrays = [np.array(column, np.int64) for column in columns]
        nodes = Nodes(rows, *arrays[:4], (arrays[4], arrays[5]), arrays[6])
        codes = sweep(tracer.scalars, nodes, templates, starts, len(table), tracer.line).tolist()

    def cotangent(node: Node, number: float) -> Any:
        k = codes[places[node]]
        if k == NOTHING or k >= CONSTANT:
            return number
        return tracer.stand_in(number, k if k >= 0 else tracer.scalars.operand(k))

    if kept is not None:
        for node in order:
            _GRAD.__set__(node, cotangent(node, _GRAD.__get__(node)))
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


_select = rules.select


def _traced_select(passed: Any, g: Any) -> Any:
    tracer = modes.tracer()
    if tracer is None or isinstance(g, Node) or not _is_traced((passed, g)):
        return _select(passed, g)
    return tracer.record(passing, (passed, g))


class _Unsummed(set[Node]):
    """No array counts as made by adding, so that none is added to in place."""

    def add(self, _: Node) -> None:
        pass


class _TracedSweep(sweeps.Sweep):
    """A sweep that comes by every node, scalars too."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.watches = modes.tracer() is not None
        if self.watches:
            self.summed = _Unsummed()

    def through(self, node: Node, g: Any) -> None:
        if type(g) is StandIn and isinstance(g, float) and not isinstance(node.op, Elementwise):
            g = g if g != 0.0 else 0.0  # below, zeros times infinities would be NaN
        super().through(node, g)


_asarray, _array = np.asarray, np.array


def _traced_asarray(x: Any, dtype: Any = None, **options: Any) -> Any:
    tracer = modes.tracer()
    if tracer is None or not _is_traced(x):
        return _asarray(x, dtype, **options)
    if type(x) is StandIn and isinstance(x.value, np.ndarray):
        return x if dtype is None else x.astype(dtype, copy=False)
    return tracer.record(Call("asarray", _asarray), (x,) if dtype is None else (x, np.dtype(dtype)))


def _traced_array(x: Any, dtype: Any = None, **options: Any) -> Any:
    tracer = modes.tracer()
    if tracer is None or not _is_traced(x):
        return _array(x, dtype, **options)
    order = options.pop("order", "K")
    copy = options.pop("copy", True)
    if type(x) is not StandIn or not isinstance(x.value, np.ndarray) or options:
        given = {**options, "order": order, **({} if dtype is None else {"dtype": np.dtype(dtype)})}
        return tracer.record(Call("array", _array), (x,), given)
    found = x if dtype is None else x.astype(dtype, copy=False)
    return tracer.copied(found, order) if copy else found


_draw = randomness.draw


def _traced_draw(rng: Any, method: str, *args: Any, **options: Any) -> Any:
    tracer = modes.tracer()
    if tracer is None:
        return _draw(rng, method, *args, **options)

    def undo(state: Any) -> None:
        rng.bit_generator.state = state

    return tracer.host(
        f"rng.{method}",
        partial(getattr(rng, method), *args, **options),
        remember=lambda: rng.bit_generator.state,
        undo=undo,
    )


def _by_row(kernel: Any, row: Any) -> Any:
    """In place of a shortcut of Value, what records it."""

    def method(self: Value, *others: Any) -> Any:
        kernel  # noqa: B018  # as in the shortcut, whose code this one's takes the place of
        return row.traced(self, *others)

    return method


for _method in vars(Value).values():
    if hasattr(_method, "row"):
        _method.row.traced = traced_operator(_method.row)

_EXCHANGED: list[tuple[Any, str, Any, Any]] = [  # where, what, traced, as it was
    (Node, "_raw", property(_get_raw, _set_raw), _RAW),
    (Node, "grad", property(_get_grad, _set_grad), _GRAD),
    (Primitive, "compute", _traced_compute, _compute),
    (Fused, "pull", _traced_pull, _pull),
    (rules, "chained", _traced_chained, _chained),
    (rules, "select", _traced_select, _select),
    (sweeps, "Sweep", _TracedSweep, sweeps.Sweep),
    (sweeps, "pullback", _traced_pullback, _pullback),
    (derive, "pullback", _traced_pullback, _pullback),
    (randomness, "draw", _traced_draw, _draw),
    (np, "asarray", _traced_asarray, _asarray),
    (np, "array", _traced_array, _array),
    # Of functions the code: a network has taken Value.relu long before.
    *((method, "__code__", _by_row(None, None).__code__, method.__code__)
      for method in vars(Value).values() if hasattr(method, "row")),
]  # fmt: skip
_lock = threading.Lock()
_open = 0


class tracing(traced):  # noqa: N801  # reads like the keyword it is
    """Inside, the tracer records what the current thread does."""

    def __enter__(self) -> None:
        _exchange(+1)
        super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        _exchange(-1)


def _exchange(step: int) -> None:
    """One more or one fewer thread is traced."""
    global _open  # noqa: PLW0603  # one process, one engine
    with _lock:
        _open += step
        if _open == (step > 0):
            for owner, name, traced, original in _EXCHANGED:
                setattr(owner, name, traced if _open else original)
