"""What a function finds around it: the variables of enclosing functions, globals, its object.

A recording is of a function *and* of what these held. A number or a name bound to something else
later must not be missed, so they are looked at again before each replay.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from microgradopt.engine.lines import is_ours

STEADY = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type)  # hardly ever rebound
PLAIN = (int, float, str, bytes, type(None))
MISSING = object()


class Surroundings:
    """The variables that a function and the functions it uses read from around them.

    Of functions by name, those of the user's own are followed; of the objects whose methods they
    are, attributes that hold numbers and words are looked at.
    """

    def __init__(self, function: Callable[..., Any], objects: list[Any]) -> None:
        self.cells: list[tuple[CellType, Any]] = []
        self.names: list[tuple[dict[str, Any], str, Any]] = []
        met: set[int] = set()
        todo: list[Any] = [function, *objects]
        while todo:
            x = todo.pop()
            if id(x) not in met:
                met.add(id(x))
                todo += self._look_at(x)

    def same(self) -> bool:
        """Whether all of them hold what they held."""
        for cell, value in self.cells:
            if (now := cell.cell_contents) is not value and not _equal(now, value):
                return False
        for space, name, value in self.names:
            if (now := space.get(name, MISSING)) is not value and not _equal(now, value):
                return False
        return True

    def agree(self, other: Surroundings) -> bool:
        """Whether two functions found the same."""
        mine = [x for _, x in self.cells] + [x for *_, x in self.names]
        others = [x for _, x in other.cells] + [x for *_, x in other.names]
        return len(mine) == len(others) and all(
            x is y or _equal(x, y) for x, y in zip(mine, others)
        )

    def forget(self, owner: Any, name: str) -> None:
        """An attribute is state that a replay reads and writes: it may change."""
        self.names = [n for n in self.names if n[0] is not vars(owner) or n[1] != name]

    def _look_at(self, x: Any) -> Iterator[Any]:
        """Note what one function or object reads; what else is to be looked at."""
        if isinstance(x, functools.partial):
            yield x.func
        elif isinstance(x, MethodType):
            yield from (x.__func__, x.__self__)
        elif isinstance(x, FunctionType):
            if hasattr(x, "__wrapped__"):
                yield x.__wrapped__
            for cell in x.__closure__ or ():
                yield self._note_cell(cell)
            if not is_ours(x.__code__):
                yield from self._note_globals(x)
        elif hasattr(x, "__dict__") and not isinstance(x, STEADY):
            attributes = vars(x)
            self.names += [(attributes, n, v) for n, v in attributes.items() if _is_plain(v)]

    def _note_cell(self, cell: CellType) -> Any:
        try:
            value = cell.cell_contents
        except ValueError:  # not bound yet
            return None
        if not isinstance(value, STEADY):
            self.cells.append((cell, value))
            return None
        return value

    def _note_globals(self, function: FunctionType) -> Iterator[Any]:
        space = function.__globals__
        for name in _names(function.__code__):
            value = space.get(name, MISSING)
            if value is MISSING:
                continue
            if not isinstance(value, STEADY):
                self.names.append((space, name, value))
            elif isinstance(value, FunctionType):
                yield value


def _names(code: CodeType) -> set[str]:
    """The names that a function, and the functions written in it, may read from globals."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _is_plain(x: Any) -> bool:
    if isinstance(x, tuple):
        return all(map(_is_plain, x))
    return isinstance(x, PLAIN)


def _equal(x: Any, y: Any) -> bool:
    return type(x) is type(y) and _is_plain(x) and bool(x == y)
