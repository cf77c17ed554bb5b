"""What a thread is in the middle of: not recording, or a functional transform."""

import threading
from collections.abc import Generator
from contextlib import ContextDecorator
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import count
from types import coroutine
from typing import Any

from microgradopt.errors import UsageError

__all__ = ["no_grad"]


class _State:
    """What one thread is in the middle of."""

    pauses = 0  # how many no_grad() it is inside of
    level = 0  # how many functional transforms
    strand: int | None = None  # which mask bits those take
    tracer: Any = None  # who records the call of a jitted function


class _Thread(threading.local):
    def __init__(self) -> None:
        self.state = _State()


_thread = _Thread()
PAUSED: list[None] = []  # not empty while any thread may be paused: a quick look comes first


def tracer() -> Any:
    """Who records what the current thread does, for mg.jit; None where nobody does."""
    return _thread.state.tracer


def settled(x: Any) -> Any:
    """Plain data that decide which operations follow: mg.jit traces anew where they are others."""
    tracer = _thread.state.tracer
    return x if tracer is None else tracer.settled(x)


class traced:  # noqa: N801
    """Inside, the current thread's work is recorded by a tracer; by nobody, where it is None."""

    def __init__(self, tracer: Any) -> None:
        self.tracer = tracer

    def __enter__(self) -> None:
        self.before = _thread.state.tracer
        _thread.state.tracer = self.tracer

    def __exit__(self, *exception: object) -> None:
        _thread.state.tracer = self.before


_changes = count()
_state_of_settings = [next(_changes)]


def settings_changed() -> None:
    """Something has been set that decides what a function does, such as a training mode."""
    _state_of_settings[0] = next(_changes)


def settings() -> int:
    """A number that is another one after every such change; mg.jit compares it."""
    return _state_of_settings[0]


def paused() -> bool:
    """Whether the current thread is inside of :class:`no_grad`."""
    return _thread.state.pauses > 0


class no_grad(ContextDecorator):  # noqa: N801  # torch's name, used like a keyword
    """Inside, nothing is recorded: results are constants. A context manager and a decorator.

    It holds for the current thread only, nests, and ends after an exception too. A generator or
    coroutine function it decorates is paused while it runs, not while its caller or another task
    does; in one, decorate rather than write ``with`` around a ``yield`` or an ``await``.

    >>> import microgradopt as mg
    >>> w = mg.Value(3.0)
    >>> with mg.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        self.entered: list[_State] = []

    def __enter__(self) -> None:
        self.entered.append(_thread.state)
        _thread.state.pauses += 1
        PAUSED.append(None)

    def __exit__(self, *exception: object) -> None:
        self.entered.pop().pauses -= 1  # also where a generator is closed by another thread
        PAUSED.pop()

    def __call__(self, function: Any) -> Any:
        if isasyncgenfunction(function):
            raise UsageError(
                f"no_grad() cannot decorate the asynchronous generator {function.__name__}; write "
                "`with mg.no_grad():` inside, around what does not yield"
            )
        if isgeneratorfunction(function):

            @wraps(function)
            def generator(*args: Any, **options: Any) -> Any:
                return (yield from _paused_while_running(function(*args, **options)))

            return generator
        if iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: Any, **options: Any) -> Any:
                return await coroutine(_paused_while_running)(function(*args, **options))

            return awaited
        return super().__call__(function)


def _paused_while_running(steps: Any) -> Generator[Any, Any, Any]:
    """Run a generator or coroutine, without recording from each of its stops to the next."""
    go_on, given = steps.send, None
    while True:
        try:
            with no_grad():
                item = go_on(given)
        except StopIteration as end:
            return end.value
        try:
            go_on, given = steps.send, (yield item)
        except GeneratorExit:
            with no_grad():
                steps.close()
            raise
        except BaseException as error:
            go_on, given = steps.throw, error


class recording:  # noqa: N801
    """Inside, the current thread records, even within :class:`no_grad`: mg.grad needs to."""

    def __enter__(self) -> None:
        self.before = _thread.state.pauses
        _thread.state.pauses = 0

    def __exit__(self, *exception: object) -> None:
        _thread.state.pauses = self.before


_lock = threading.Lock()
_strands: set[int] = set()  # one for each thread that is inside of a functional transform
_taken: list[int] = []  # the mask bits of all functional transforms in progress


class level:  # noqa: N801  # reads like the keyword it is
    """One functional transform in progress; gives the mask bit of its inputs.

    No other has this bit, in whatever thread, since a function may hand its nodes to others: the
    thread with strand s uses the bits in the places 1·2ˢ, 3·2ˢ, 5·2ˢ, …, one at each level.
    With ``bit``, goes on with a transform that has returned: what starts inside takes other bits.
    """

    def __init__(self, bit: int = 0) -> None:
        self.bit = bit

    def __enter__(self) -> int:
        state = _thread.state
        self.before = state.level, state.strand
        with _lock:
            if state.strand is None:
                state.strand = next(s for s in range(len(_strands) + 1) if s not in _strands)
                _strands.add(state.strand)
            if self.bit:
                place = self.bit.bit_length() - 1
                if place % (2 << state.strand) == 1 << state.strand:
                    state.level = max(state.level, (place >> state.strand) // 2 + 1)
            else:
                state.level += 1
            self.taken = self.bit or 1 << (2 * state.level - 1 << state.strand)
            _taken.append(self.taken)
        return self.taken

    def __exit__(self, *exception: object) -> None:
        state = _thread.state
        with _lock:
            _taken.remove(self.taken)
            if self.before[1] is None:
                _strands.discard(state.strand)
        state.level, state.strand = self.before


def in_progress(bits: int) -> bool:
    """Whether any of these mask bits belongs to a functional transform in progress."""
    return any(bits & bit for bit in tuple(_taken))
