"""``jit``: a function that is traced on its first calls and replayed from then on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import update_wrapper
from types import MethodType
from typing import Any

from microgradopt.compiler.backends import checked_backend
from microgradopt.compiler.program import GuardError
from microgradopt.compiler.replay import Replay
from microgradopt.compiler.report import Report, report
from microgradopt.compiler.ties import wired
from microgradopt.compiler.tracing.recording import Recording, record_call
from microgradopt.compiler.tracing.signature import signature_of
from microgradopt.compiler.wiring import WiredProgram
from microgradopt.engine.debug import debugging
from microgradopt.engine.modes import tracer as current_tracer
from microgradopt.errors import TraceError, UsageError

LIMIT = 64  # of recordings that are kept, and of traces in a row


def jit(function: Callable[..., Any] | None = None, *, backend: str | None = None) -> Any:
    """``function``, traced in its first calls and from then on replayed without building a graph.

    It may be any function of Values, Tensors, arrays and numbers, also a whole training step with
    ``backward()`` and ``optimizer.step()``: leaves, gradients and optimizer state it uses are read
    at each call and written after it. The first two calls run as they are written, and are
    recorded; if both did the same, later ones run the compiled program.

    Floats and arrays among the arguments may change from call to call; shapes, dtypes and all
    other arguments are fixed in a recording, and another one is made where they differ, or where a
    comparison of traced numbers would lead elsewhere. A graph is not part of the result: nodes come
    back as constants. Called with a node that requires a gradient, the function runs as it is
    written.

    Args:
        backend: "numpy", which prints source to read; "llvm", machine code, which needs the extra
            ``jit`` ("numba" means the same: llvmlite is its compiler); left out, "llvm" where that
            is installed.

    Raises:
        MissingExtraError: if the backend is not installed.
        TraceError: at a call that cannot be replayed faithfully: one that prints traced numbers,
            makes Python numbers of them, or keeps them outside of itself; nothing is changed then.

    >>> import numpy as np, microgradopt as mg
    >>> @mg.jit
    ... def slope(x):
    ...     return mg.grad(lambda x: mg.sum(mg.tanh(x) * x))(x)
    >>> for _ in range(3):
    ...     y = slope(np.array([0.0, 1.0]))
    >>> y.round(4)
    array([0.    , 1.1816])
    """
    if function is None:
        checked_backend(backend)
        return lambda function: Jitted(function, backend)
    return Jitted(function, backend)


class Jitted:
    """A function that replays what it did; see :func:`jit`."""

    def __init__(self, function: Callable[..., Any], backend: str | None) -> None:
        if not callable(function):
            raise UsageError(f"jit takes a function, got {type(function).__name__}")
        update_wrapper(self, function, updated=())
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.function = function
        self.backend = checked_backend(backend)
        self._asked = backend
        self._known: OrderedDict[Any, list[Recording]] = OrderedDict()
        self._last: Recording | None = None
        self._in_a_row = 0
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **options: Any) -> Any:
        if current_tracer() is not None or debugging():
            return self.function(*args, **options)
        key, leaves, differentiable = signature_of(args, options)
        if differentiable:
            return self.function(*args, **options)
        with self._lock:
            for recording in self._known.get(key, ()):
                if recording.replay is None or not recording.holds():
                    continue
                try:
                    result = recording.replay(leaves)
                except GuardError:
                    continue
                self._in_a_row = 0
                return result
            return self._trace(key, args, options)

    def _trace(self, key: Any, args: Any, options: Any) -> Any:
        self._refuse_to_go_on(key)
        recording, result = record_call(self.function, args, options)
        self._in_a_row += 1
        self._last = recording
        found = self._known.setdefault(key, [])
        for earlier in found:
            if recording.repeats(earlier):
                recording.refuse_chance(found[: found.index(earlier)])
                recording.replay = Replay(recording, self.backend)
                found.remove(earlier)
                self._in_a_row = 0
                break
        found.insert(0, recording)
        del found[LIMIT:]
        self._known.move_to_end(key)
        while len(self._known) > LIMIT:
            self._known.popitem(last=False)
        return result

    def _refuse_to_go_on(self, key: Any) -> None:
        if self._in_a_row < LIMIT:
            return
        self._in_a_row = 0
        why = "comparisons of traced numbers come out otherwise again and again"
        if key not in self._known:
            why = (
                "an argument is another one in each: arguments that are not floats or arrays are "
                "fixed, as are shapes"
            )
        raise TraceError(
            f"mg.jit: {self.__name__} was traced {LIMIT} times in a row and never replayed: {why}. "
            "Give what changes as a float or array, choose with mg.where, or do without jit"
        )

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        return Jitted, (self.function, self._asked)

    def __repr__(self) -> str:
        return f"<jitted {self.__name__}>"

    # What it does

    def _compiled(self) -> Replay:
        if self._last is None:
            raise UsageError(f"{self!r} has no program before it is called; call it first")
        with self._lock:
            if self._last.replay is None:
                self._last.replay = Replay(self._last, self.backend)
            replay: Replay = self._last.replay
            return replay

    @property
    def program(self) -> WiredProgram:
        """The program of the last traced call, after all passes.

        Raises:
            UsageError: if there has been no call.
        """
        replay = self._compiled()
        return wired(replay.stages[-1][1], replay.recording, self.__name__)

    def source(self) -> str:
        """The code that runs in the place of the last traced call.

        Raises:
            UsageError: if there has been no call.
        """
        return self._compiled().runner.source

    def report(self) -> Report:
        """What the passes have made of the last traced call, and what its parts cost."""
        replay = self._compiled()
        return report(replay.stages, replay.runner, replay.sample())
