"""One traced call: its program, where the state in it comes from and goes to, what it returns."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from microgradopt.compiler.program import Var
from microgradopt.compiler.tracing.argument_names import argument_names
from microgradopt.compiler.tracing.cells import Cell, LeafData, LeafGrad
from microgradopt.compiler.tracing.comparison import (
    part_at_guard,
    refuse_difference,
    refuse_other_results,
    same_course,
)
from microgradopt.compiler.tracing.exchange import tracing
from microgradopt.compiler.tracing.signature import is_traced
from microgradopt.compiler.tracing.standin import StandIn
from microgradopt.compiler.tracing.surroundings import Surroundings
from microgradopt.compiler.tracing.templates import Place, held
from microgradopt.compiler.tracing.trace import Entry, Owner, Tracer, of_entries
from microgradopt.engine.graph import Node, copy_raw, describe
from microgradopt.engine.lines import line_of, quoted
from microgradopt.engine.modes import settings
from microgradopt.engine.structure import leaves, map_structure
from microgradopt.errors import TraceError


class Recording:
    """A traced call.

    Attributes:
        program: as it was traced. Its entries are the arguments, the data of leaves, gradients of
            leaves, and what is in the attributes, in this order.
        data, grads, attributes: where the state among the entries is found.
        forms: the attributes' contents, with entries in the leaves.
        writes: the cells that the call has changed, with structures of results.
        output: what it returned, with places of results.
        hosts: what has to be taken back where a run stops at a guard.
    """

    def __init__(
        self, tracer: Tracer, arguments: list[Var], out: Any, surroundings: Surroundings
    ) -> None:
        self.surroundings = surroundings
        self.flags = list(tracer.flags.values())
        self.settings = list(tracer.settings.values())
        self.version = settings()
        self.hosts = [op for op, _ in tracer.hosts if op.undo]
        self.data = list(tracer.data)
        self.bits = [node._bits for node in self.data]
        self.grads = [node for node, entry in tracer.grads.items() if entry.var]
        self.forms_of_grads = [_form(tracer.grads[node].before) for node in self.grads]
        self.attributes = [cell for cell, _ in tracer.attributes]
        self.forms = [of_entries(_without_content, form) for _, form in tracer.attributes]
        entries = list(arguments)
        entries += [entry.var for entry in tracer.data.values() if entry.var]
        entries += [entry.var for entry in tracer.grads.values() if entry.var]
        entries += [e.var for _, held in tracer.attributes for e in entries_of(held)]

        found = _Results(tracer)
        self.writes = found.writes()
        self.output = found.of(out)
        self.program = tracer.program(entries, found.results)
        self.constants = list(tracer.constants.values())
        self.replay: Any = None  # the Replay, once there is one

    def repeats(self, earlier: Recording) -> bool:
        """Whether this call did what an earlier one did.

        Raises:
            TraceError: if it did so with other constants, which a replay would not see change.
        """
        if not self._same_state(earlier) or not same_course(earlier.program, self.program):
            return False
        _refuse_changed(earlier.constants)
        self.constants = []
        refuse_difference(earlier.program, self.program)
        refuse_other_results(earlier._left(), self._left())
        return True

    def _left(self) -> Any:
        """What the call returned and left behind, with places of results."""
        return self.program.results, self.output, [content for _, content in self.writes]

    def _same_state(self, other: Recording) -> bool:
        """Whether both calls found their state in the same places, under the same conditions."""
        if not self.surroundings.agree(other.surroundings):
            return False
        mine, others = ((r.data, r.bits, r.grads, r.attributes, r.flags) for r in (self, other))
        if mine != others or len(self.settings) != len(other.settings):
            return False
        return all(
            a is b and _same_values(x, y) for (a, x), (b, y) in zip(self.settings, other.settings)
        )

    def refuse_chance(self, others: Iterable[Recording]) -> None:
        """Raise for calls since an earlier one like this that took another course by chance.

        Raises:
            TraceError: if nothing that a replay looks at decides between their courses and this.
        """
        for other in others:
            theirs = dict(other.places())
            pairs = {x: theirs[k] for k, x in self.places() if k in theirs}
            same = not self._conditions_differ(other)
            if same and not part_at_guard(self.program, other.program, pairs):
                raise TraceError(
                    "mg.jit: the function does now this and now that, and neither its arguments "
                    "nor a comparison of traced numbers decide it; a replay would not see it "
                    "change: give what decides as an argument, such as a bool"
                )

    def places(self) -> Iterator[tuple[Any, Var]]:
        """The entries, each with what tells which one it is: a cell's key, and a number in it."""
        found: list[Any] = [(*LeafData(node).key, 0) for node in self.data]
        found += [(*LeafGrad(node).key, 0) for node in self.grads]
        for cell, form in zip(self.attributes, self.forms):
            found += [(*cell.key, i) for i in range(len(entries_of(form)))]
        entries = self.program.entries
        arguments = [("argument", i) for i in range(len(entries) - len(found))]
        yield from zip(arguments + found, entries, strict=True)

    def _conditions_differ(self, other: Recording) -> bool:
        """Whether something that :meth:`holds` looks at was not the same in both calls."""
        flags = {(id(owner), name): x for owner, name, x in other.flags}
        bits = dict(zip(other.data, other.bits))
        grads = dict(zip(other.grads, other.forms_of_grads))
        settings = {id(owner): known for owner, known in other.settings}
        return (
            not self.surroundings.agree(other.surroundings)
            or any(flags.get((id(owner), name), x) != x for owner, name, x in self.flags)
            or any(bits.get(node, x) != x for node, x in zip(self.data, self.bits))
            or any(grads.get(node, x) != x for node, x in zip(self.grads, self.forms_of_grads))
            or any((id(node), "grad") in flags for node in self.grads)
            or any(node in grads for node, name, _ in self.flags if name == "grad")
            or any(not _same_values(settings.get(id(o), x), x) for o, x in self.settings)
        )

    def holds(self) -> bool:
        """Whether all that decided the course of the call is as it was."""
        if not self.surroundings.same():
            return False
        for owner, name, value in self.flags:
            now = getattr(owner, name)
            if now is not value and (value is None or now != value):
                return False
        for node, form in zip(self.grads, self.forms_of_grads):
            if _form(node.grad) != form:
                return False
        if self.version != (now := settings()):
            if not all(node._bits == bits for node, bits in zip(self.data, self.bits)):
                return False
            if not all(_same_values(vars(owner), known) for owner, known in self.settings):
                return False
            self.version = now
        return True


def _form(x: Any) -> Any:
    """What must be the same of a gradient, which can be set to anything."""
    return (x.shape, x.dtype) if type(x) is np.ndarray else type(x)


def _same_values(now: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether an object has the attributes that it had."""
    return now.keys() == known.keys() and all(
        now[name] is x or (isinstance(x, (int, float, str, tuple)) and now[name] == x)
        for name, x in known.items()
    )


class _Results:
    """Collects what a program is to give: each traced number or array once, and constants."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.results: list[Any] = []
        self._numbers: dict[int, int] = {}  # by the id of a stand-in or array

    def writes(self) -> list[tuple[Cell, Any]]:
        """The cells that the call has changed, with structures of results."""
        tracer = self.tracer
        cells: list[tuple[Cell, Any]] = [(LeafData(n), e) for n, e in tracer.data.items()]
        cells += [(LeafGrad(node), entry) for node, entry in tracer.grads.items()]
        cells += [(cell, entries) for cell, entries in tracer.attributes if cell.written]
        after = [(cell, before, cell.read()) for cell, before in cells]
        return [(cell, self.of(now)) for cell, before, now in after if _changed(before, now)]

    def of(self, tree: Any) -> Any:
        """A structure with results in the places of numbers and arrays."""
        return map_structure(self._leaf, tree)

    def _leaf(self, x: Any) -> Any:
        if isinstance(x, Node):
            if not self.tracer.is_inner(x):
                return x
            grad = None if x.grad is None else self._leaf(x.grad)
            return replace(self._leaf(x._raw), kind=type(x), name=x.name, grad=grad)
        if type(x) is not StandIn and not isinstance(x, (float, np.ndarray)):
            return x
        if id(x) not in self._numbers:
            self._numbers[id(x)] = len(self.results)
            self.results.append(x if type(x) is StandIn else copy_raw(x))
        return Place(self._numbers[id(x)])


def _changed(before: Any, after: Any) -> bool:
    was = [e.var if e.var else e.before for e in entries_of(before)]
    now = [x.var if type(x) is StandIn else x for x in leaves(after)]
    return len(was) != len(now) or any(a is not b for a, b in zip(was, now))


def _without_content(entry: Entry) -> Entry:
    """An entry that does not keep the array that was traced."""
    return entry._replace(before=None)


def entries_of(tree: Any) -> list[Any]:
    """The entries in a structure, in order."""
    found: list[Any] = []
    of_entries(found.append, tree)
    return found


def record_call(function: Callable[..., Any], args: Any, options: Any) -> tuple[Recording, Any]:
    """Call a function on stand-ins: what was recorded, and what it returned.

    Raises:
        TraceError: if the call cannot be replayed; all state is as it was before, then.
    """
    tracer = Tracer()
    arguments: list[Var] = []
    arrays: list[Any] = []
    nodes: list[tuple[Node, Any, Any]] = []

    names = argument_names(function, args, options)
    fixed = [x for x in leaves((args, options)) if not is_traced(x)]
    surroundings = Surroundings(function, fixed)

    def stand_in(x: Any) -> Any:
        name = next(names)
        if isinstance(x, Node):
            made = held(type(x), entry(x._raw, x.name or name), x.name, None)
            if x.grad is not None:
                made.grad = entry(x.grad, f"grad_{x.name or name}")
            nodes.append((made, made._raw, made.grad))
            return made
        return entry(x, name) if is_traced(x) else x

    def entry(x: Any, name: str) -> Any:
        made = tracer.entry(x, name, argument=True)
        arguments.append(made.var)
        arrays.append(x)
        return made

    args, options = map_structure(stand_in, args), map_structure(stand_in, options)
    with tracing(tracer), no_collector():
        try:
            out = function(*args, **options)
            _refuse_changed_arguments(nodes)
            for cell, _ in tracer.attributes:
                surroundings.forget(cell.owner, cell.name)
            if not surroundings.same():
                raise TraceError(
                    "sets a variable or attribute that it also reads, where no later call would "
                    "set it; give it as an argument and return it"
                )
            recording = Recording(tracer, arguments, out, surroundings)
            result = concrete(out, Owner(arrays), tracer)
        except BaseException as error:
            refused = _refusal(error)
            if refused is None:
                tracer.settle()
                raise
            where = quoted(line_of(error))
            tracer.restore()
            raise TraceError(f"mg.jit: the function {refused}{where}") from None
        tracer.settle()
    del out, args, options, nodes[:]
    try:
        _refuse_changed(tracer.constants.values())
        _refuse_escaped(tracer)
    except TraceError:
        tracer.restore()
        raise
    return recording, result


def _refusal(error: BaseException | None) -> str | None:
    """Why a stand-in, or the tracer, refused something, also where NumPy raises in its place."""
    if isinstance(error, TypeError) and "StandIn" in str(error):
        return f"gives a traced number or array to a function that cannot be traced ({error})"
    while error is not None:
        if isinstance(error, TraceError):
            return str(error)
        error = error.__cause__
    return None


@contextmanager
def no_collector() -> Iterator[None]:
    """A trace makes many objects and few cycles: the cyclic collector would only look for them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def concrete(out: Any, own: Owner, tracer: Tracer) -> Any:
    """What a traced call returns, with data in the places of stand-ins, and leaves for nodes."""

    def take(x: Any) -> Any:
        if not isinstance(x, Node):
            return own(x) if type(x) is StandIn else x
        if not tracer.is_inner(x):
            return x
        return held(type(x), own(x._raw), x.name, own(x.grad))

    return map_structure(take, out)


def _refuse_changed(constants: Iterable[tuple[Any, Any]]) -> None:
    """Raise for an array that was used as a constant and then written."""
    for array, copy in constants:
        if not np.array_equal(array, copy, equal_nan=array.dtype.kind in "fc"):
            raise TraceError(
                f"mg.jit: an array of shape {array.shape} that the function does not get as an "
                "argument was written after it had been used, which a replay would not see; give "
                "it as an argument"
            )


def _refuse_changed_arguments(nodes: list[tuple[Node, Any, Any]]) -> None:
    """Raise for a node given as an argument that is not as it was: the caller's stays so."""
    for node, data, grad in nodes:
        if node._raw is not data or node.grad is not grad or node._bits:
            raise TraceError(
                f"changes {describe(node)}, which it is given as an argument; use it from outside"
            )


def _refuse_escaped(tracer: Tracer) -> None:
    """Raise for a traced number or array that something outside of the call has kept."""
    if not any(ref() is not None for ref in tracer.made):
        return
    gc.collect()  # a cycle of the user's may hold it
    alive = [x for ref in tracer.made if (x := ref()) is not None]
    if not alive:
        return
    kept = {tracer.var_of(x) for x in alive if x.var is not None}
    for i in tracer.program([], []).instructions:
        if not kept.isdisjoint(i.outs):
            raise TraceError(
                f"mg.jit: what the function makes with {i.op.name!r} is kept outside of it, in a "
                "list, an attribute or a global, where no later call would put it; return it"
                f"{quoted(i.line)}"
            )
    raise TraceError(
        "mg.jit: an argument, or the data of a leaf, is kept outside of the function, in a list, "
        "an attribute or a global, where no later call would put it; return it"
    )
