"""A traced call as data: a list of instructions in single assignment, for scalars and arrays alike.

A program reads its ``entries``, runs its instructions in order, and gives its ``results``. Every
operation in it is pure, but for hosts: what is read from the outside at each call, such as a random
draw. Nothing is written before the last instruction has run; who calls a program sets the state
that results belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.lines import NOWHERE, Line
from microgradopt.engine.quiet import quietly


class Var:
    """What one instruction makes, or one entry: of a fixed type, shape and dtype.

    ``kind`` is the Python type: float, int, bool, ndarray, a NumPy scalar's such as np.float64, or
    object for what only one operation understands. ``strides`` are those of the array that was
    traced; in other strides, sums and products may round differently.
    """

    __slots__ = ("dtype", "kind", "name", "shape", "strides")

    def __init__(
        self,
        kind: type,
        shape: tuple[int, ...] = (),
        dtype: np.dtype[Any] | None = None,
        strides: tuple[int, ...] = (),
        name: str | None = None,
    ) -> None:
        self.kind = kind
        self.shape = shape
        self.dtype = dtype
        self.strides = strides
        self.name = name

    @classmethod
    def like(cls, value: Any, name: str | None = None) -> Var:
        """A variable for values such as this one."""
        if isinstance(value, (np.ndarray, np.generic)):
            return cls(type(value), value.shape, value.dtype, value.strides, name)
        kind = type(value) if type(value) in (float, int, bool) else object
        return cls(kind, name=name)

    @property
    def is_array(self) -> bool:
        """Whether it holds an array, of any number of dimensions."""
        return self.kind is np.ndarray

    @property
    def nbytes(self) -> int:
        """How many bytes of array it holds."""
        if not self.is_array or self.dtype is None:
            return 0
        return int(np.prod(self.shape, dtype=int)) * self.dtype.itemsize

    def __repr__(self) -> str:
        what = f"{self.dtype}{list(self.shape)}" if self.is_array else self.kind.__name__
        return f"<{self.name or 'var'}: {what}>"


class Op(Protocol):
    """What an instruction applies: a row of the table, or one of the classes below."""

    name: str

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The result for raw operands, or a tuple of the results where there are several."""


@dataclass(frozen=True)
class Call:
    """A pure function of NumPy's, or of a row: what has no row of its own in the table."""

    name: str
    function: Callable[..., Any]

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Call it, with IEEE results."""
        return _quiet_call(self.function, args, params)


@dataclass(frozen=True)
class Host:
    """A call of Python at each run: a schedule, an option read, a draw of random numbers.

    ``undo(memory)`` takes back what the call did, given what ``remember()`` had returned before it:
    a run that stops at a guard leaves no trace.
    """

    name: str
    function: Callable[..., Any]
    remember: Callable[[], Any] | None = None
    undo: Callable[[Any], None] | None = None

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Call it."""
        return self.function(*args, **params)


@dataclass(frozen=True)
class Guard:
    """The operand's truth must be as it was when the program was traced: else GuardError."""

    expected: bool
    name: str = "guard"

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Raise where the operand is otherwise."""
        if bool(args[0]) is not self.expected:
            raise GuardError
        return ()


@dataclass(frozen=True)
class Check:
    """The operands must be finite; where one is not, ``explain`` is called with them and raises."""

    explain: Callable[..., None]
    name: str = "check_finite"

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Explain what is not finite."""
        if not all(np.isfinite(x).all() for x in args):
            self.explain(*args)
        return ()


EFFECTS = (Host, Guard, Check)  # neither removed, repeated, merged nor moved past one another


class GuardError(Exception):
    """A replayed call would branch differently from the traced one. Never seen by users."""


@dataclass(eq=False, slots=True)
class Instruction:
    """``outs = op(*operands, **params)``.

    An operand, or a leaf of a param, is a variable or a constant: a float, int, bool, None, slice
    or array. With one variable in ``outs`` the operation's result is its value; with several, the
    result is a tuple of theirs; with none, it has no result.
    """

    op: Any
    operands: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)
    outs: tuple[Var, ...] = ()
    line: Line = NOWHERE

    def reads(self) -> Iterator[Var]:
        """The variables among its operands and params, repeated where they are read repeatedly."""
        return variables((self.operands, self.params))


def variables(tree: Any) -> Iterator[Var]:
    """The variables in a structure of tuples, lists, dicts and slices."""
    return (x for x in parts(tree) if type(x) is Var)


def parts(tree: Any) -> Iterator[Any]:
    """What is in a structure of tuples, lists, dicts and slices, in order."""
    if isinstance(tree, (tuple, list)):
        for branch in tree:
            yield from parts(branch)
    elif isinstance(tree, dict):
        for branch in tree.values():
            yield from parts(branch)
    elif isinstance(tree, slice):
        yield from (tree.start, tree.stop, tree.step)
    else:
        yield tree


def substituted(tree: Any, found: Callable[[Any], Any], kind: type = Var) -> Any:
    """A structure with ``found(variable)`` in the place of each variable, or of another kind."""
    if type(tree) is kind:
        return found(tree)
    if type(tree) in (tuple, list):
        return type(tree)([substituted(branch, found, kind) for branch in tree])
    if type(tree) is dict:
        return {key: substituted(branch, found, kind) for key, branch in tree.items()}
    if type(tree) is slice:
        return slice(*(substituted(x, found, kind) for x in (tree.start, tree.stop, tree.step)))
    return tree


@dataclass(eq=False)
class Program:
    """Entries, instructions, and results: each of these a variable or a constant."""

    entries: list[Var]
    instructions: list[Instruction]
    results: list[Any]

    def interpret(self, entries: Sequence[Any]) -> list[Any]:
        """Run it one instruction after the other: what every backend must agree with."""
        known: dict[Var, Any] = dict(zip(self.entries, entries, strict=True))
        for i in self.instructions:
            args, params = substituted((i.operands, i.params), known.__getitem__)
            out = i.op.compute(args, params)
            known.update(zip(i.outs, (out,) if len(i.outs) == 1 else out, strict=True))
        return [substituted(x, known.__getitem__) for x in self.results]


class Runner(Protocol):
    """A program that a backend has compiled.

    ``in_place`` maps numbers of results to numbers of entries whose arrays they may overwrite: the
    runner makes sure that nothing is read after it has been overwritten, and that nothing is
    overwritten before all guards and checks have passed.
    """

    in_place: dict[int, int]

    @property
    def source(self) -> str:
        """The code that runs, as text."""

    @property
    def buffers(self) -> int:
        """How many pieces of memory it keeps."""

    @property
    def nbytes(self) -> int:
        """How many bytes it keeps."""

    def timed(
        self, entries: Sequence[Any], runs: int
    ) -> list[tuple[Sequence[Instruction], str, float]]:
        """Instructions with their line of source and the median of its times in seconds."""

    def __call__(self, entries: Sequence[Any], into: Sequence[Array | None]) -> list[Any]:
        """Run on raw entries. A result is written ``into`` the given array, where there is one.

        Arrays among the results alias neither entries, constants nor each other, but for ``into``.
        """


@quietly
def _quiet_call(function: Callable[..., Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    return function(*args, **params)
