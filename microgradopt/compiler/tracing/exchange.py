"""What is exchanged while a thread is traced.

The few places that data go through look at the tracer then: the data and gradient of a node, the
kernels and pullbacks of rows, the chain rule's product, and what of NumPy asks no operand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from microgradopt import randomness
from microgradopt.compiler.program import Call, parts
from microgradopt.compiler.tracing.backward import traced_pullback
from microgradopt.compiler.tracing.slots import GRAD, RAW
from microgradopt.compiler.tracing.standin import StandIn
from microgradopt.compiler.tracing.trace import Tracer
from microgradopt.compiler.tracing.values import traced_operator
from microgradopt.engine import derive, modes, rules, sweeps
from microgradopt.engine.graph import Node, Primitive
from microgradopt.engine.modes import traced
from microgradopt.engine.ops.elementwise import equal, isnan, logical_and, logical_or, where
from microgradopt.engine.rules import Elementwise, Fused, chain, data_of, passing
from microgradopt.engine.sweeps import pullback
from microgradopt.engine.value import Value


def _get_raw(node: Node) -> Any:
    raw = RAW.__get__(node)
    tracer = modes.tracer()
    if tracer is None:
        return raw.value if type(raw) is StandIn else raw  # others see what it stands for
    if type(raw) is StandIn or tracer.is_inner(node):
        return raw
    if node not in tracer.data:
        tracer.adopt(node)
    return RAW.__get__(node)


def _set_raw(node: Node, new: Any) -> None:
    tracer = modes.tracer()
    if tracer is not None and not tracer.is_inner(node) and node not in tracer.data:
        tracer.adopt(node)
    RAW.__set__(node, new)


def _get_grad(node: Node) -> Any:
    tracer = modes.tracer()
    if tracer is not None and not tracer.is_inner(node) and node.op is None:
        tracer.meet_grad(node, read=True)
    return GRAD.__get__(node)


def _set_grad(node: Node, new: Any) -> None:
    tracer = modes.tracer()
    if tracer is not None and not tracer.is_inner(node) and node.op is None:
        tracer.meet_grad(node, read=False)
    GRAD.__set__(node, new)


def _is_traced(tree: Any) -> bool:
    """Whether a stand-in is in a structure of operands or params."""
    return any(type(x) is StandIn for x in parts(tree))


_compute = Primitive.compute


def _traced_compute(self: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    tracer = modes.tracer()
    if tracer is None or not (_is_traced(args) or _is_traced(params)):
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
        if type(g) is StandIn and type(g.value) is float and not isinstance(node.op, Elementwise):
            number: Any = g
            g = number if number != 0.0 else 0.0  # below, zeros times infinities would be NaN
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
    (Node, "_raw", property(_get_raw, _set_raw), RAW),
    (Node, "grad", property(_get_grad, _set_grad), GRAD),
    (Primitive, "compute", _traced_compute, _compute),
    (Fused, "pull", _traced_pull, _pull),
    (rules, "chained", _traced_chained, _chained),
    (rules, "select", _traced_select, _select),
    (sweeps, "Sweep", _TracedSweep, sweeps.Sweep),
    (sweeps, "pullback", traced_pullback, pullback),
    (derive, "pullback", traced_pullback, pullback),
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
