"""A function called eagerly and jitted, in two worlds made alike: what differs after each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from programs import same

import microgradopt as mg
from microgradopt.compiler.function import Jitted
from microgradopt.engine.graph import Node
from microgradopt.errors import TraceError

jit = partial(mg.jit, backend="numpy")  # whose bits are those of eager
CALLS = 4  # the first two are traced, the others replayed


class World:
    """A function, the arguments of each of its calls, and the state that it works on.

    Args:
        function: what is called.
        calls: a tuple of arguments for each call.
        state: nodes, modules, optimizers, generators and structures of them: what it may change.
        between: called with the number of each call before it, such as to set a learning rate.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]] = ((),) * CALLS,
        state: Any = (),
        between: Callable[[int], Any] = lambda number: None,
    ) -> None:
        self.function = function
        self.calls = calls
        self.state = state
        self.between = between


def agree(make: Callable[[], World], *, replays: bool = True) -> Jitted:
    """Call both, and raise where results, errors, arguments or state differ in a single bit.

    With ``replays``, the last call must not have been traced. The jitted function is returned.
    """
    eager, world = make(), make()
    jitted = jit(world.function)
    for number, (plain, args) in enumerate(zip(eager.calls, world.calls, strict=True)):
        eager.between(number)
        world.between(number)
        if replays and number == len(world.calls) - 1:
            jitted._trace = _never_traced
        expected, found = outcome(eager.function, plain), outcome(jitted, args)
        differ = difference(expected, found)
        assert not differ, f"call {number}: result{differ}"
        for what, a, b in (("arguments", plain, args), ("state", eager.state, world.state)):
            differ = difference(seen(a), seen(b))
            assert not differ, f"call {number}: {what}{differ}"
    return jitted


def _never_traced(*_: Any) -> Any:
    raise AssertionError("this call was not replayed")


def outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What a call returns as plain data, or the error it raises."""
    try:
        return seen(function(*args))
    except (AssertionError, TraceError):
        raise
    except Exception as error:
        return type(error), str(error)


def seen(x: Any) -> Any:
    """A structure in which all that matters of nodes and of what has state is plain data."""
    if isinstance(x, Node):
        return type(x), x.name, x._raw, x.grad
    if isinstance(x, np.random.Generator):
        return seen(x.bit_generator.state)
    if hasattr(x, "state_dict"):
        found = seen(x.state_dict())
        nodes = [p for _, p in x.named_parameters()] if hasattr(x, "named_parameters") else []
        return found, seen(nodes)
    if isinstance(x, dict):
        return {key: seen(branch) for key, branch in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x), [seen(branch) for branch in x]
    return x


def difference(a: Any, b: Any) -> str:
    """Where two structures differ and how; empty where they do not."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f" has the keys {list(b)}, not {list(a)}"
        found = ((key, difference(x, b[key])) for key, x in a.items())
        return next((f"[{key!r}]{text}" for key, text in found if text), "")
    if isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
        found = ((i, difference(x, y)) for i, (x, y) in enumerate(zip(a, b)))
        return next((f"[{i}]{text}" for i, text in found if text), "")
    if same(a, b):
        return ""
    return f" is {b!r} ({_form(b)}), not {a!r} ({_form(a)})"


def _form(x: Any) -> str:
    form = f" {x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else ""
    return type(x).__name__ + form
