"""What is searched over, as one vector: arrays and numbers, structures of them, or parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from microgradopt.engine.binding import as_before, bind, has_parameters
from microgradopt.engine.graph import Array, Node, copy_raw
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import aligned, leaves, map_structure, rebuild
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import ShapeError, UsageError


class Variables:
    """A start ``x0`` taken apart into its numbers: a vector of float64, whatever they came in.

    Args:
        x0: a number, an array, a list of numbers (taken as an array), a structure of those in
            lists, tuples and dicts, or a module: whatever has ``named_parameters()``. A module's
            parameters are searched over, and the function is called with the module itself.
        user: whose name errors begin with.

    Attributes:
        start: the vector of x0, shape (n,).

    >>> taken = Variables({"w": np.ones((2, 2)), "b": 0.5}, "doc")
    >>> taken.start
    array([1. , 1. , 1. , 1. , 0.5])
    >>> taken.structure(taken.start + 1.0)["b"]
    1.5
    """

    def __init__(self, x0: Any, user: str) -> None:
        self.user = user
        self.module: Any = None
        self.bound: list[Node] = []
        tree = x0
        if has_parameters(x0):
            self.module = x0
            named = dict(x0.named_parameters())
            self.bound = list(named.values())
            tree = {name: p.data for name, p in named.items()}
        elif _is_plain_list(x0):
            tree = np.array([data_of(x) for x in x0], np.float64)
        self.tree = map_structure(self._leaf, tree)
        self._take_apart()

    @classmethod
    def of_parameters(cls, named: dict[str, Node], user: str) -> Variables:
        """The parameters themselves; the function is a closure, which is called with nothing."""
        made = cls.__new__(cls)
        made.user, made.module, made.bound = user, None, list(named.values())
        made.tree = {name: p.data for name, p in named.items()}
        made.closure = True
        made._take_apart()
        return made

    closure = False

    def starting(self, x0: Any) -> Variables:
        """The variables of another start of the same form; dicts go by key.

        Raises:
            UsageError: if it has another form.
        """
        other = Variables(x0, self.user)
        try:
            if other.module is not self.module or other.bound != self.bound:
                raise LookupError(" is another module, or has other parameters")
            start = self.aligned(other.tree)
            if sorted(map(str, other._forms)) != sorted(map(str, self._forms)):
                raise LookupError(" has other dtypes")
        except (LookupError, ShapeError) as error:
            raise UsageError(
                f"{self.user}: x0 is not of the form that the oracle was made for: it{error}"
            ) from None
        other = copy(self)
        other.start = start
        return other

    def aligned(self, tree: Any) -> Array:
        """What stands in a structure of this form, as a vector; dicts go by key.

        Raises:
            LookupError: if it has another form.
            ShapeError: if an array in it has another shape.
        """
        pairs = aligned(tree, self.tree)
        for x, like in pairs:
            if np.shape(data_of(x)) != np.shape(like):
                raise ShapeError(f" has shape {np.shape(data_of(x))} for one of {np.shape(like)}")
        return self.join([data_of(x) for x, _ in pairs])

    def _leaf(self, x: Any) -> Any:
        data = data_of(x)
        kind = Tensor if isinstance(data, np.ndarray) else Value
        return kind.leaf_data(data)

    def _take_apart(self) -> None:
        held = leaves(self.tree)
        if not held or not sum(map(np.size, held)):
            raise UsageError(f"{self.user}: x0 holds no number to search over; got {self.tree!r}")
        self._forms = [None if isinstance(x, float) else (x.shape, x.dtype) for x in held]
        ends = np.cumsum([np.size(x) for x in held]).tolist()
        self._places = list(zip([0, *ends], ends))
        self.single = len(held) == 1 and isinstance(self.tree, np.ndarray)
        self.start = self.join(held)

    @cached_property
    def names(self) -> list[str]:
        """What each leaf is called: ``['w'][1]``, or a parameter's name."""
        return [name for name, _ in _named(self.tree)]

    def name_of(self, i: int) -> str:
        """What the i-th number of the vector is called: the leaf's name, and where in it it is."""
        leaf = next(k for k, (_, high) in enumerate(self._places) if i < high)
        form, name = self._forms[leaf], self.names[leaf]
        index = np.unravel_index(i - self._places[leaf][0], form[0]) if form else ()
        return f"{name}[{', '.join(map(str, index))}]" if index else name

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.start)

    @cached_property
    def eps(self) -> float:
        """The rounding of the coarsest leaf: float64's, or float32's."""
        return max(float(np.finfo(form[1] if form else float).eps) for form in self._forms)

    def split(self, flat: Array) -> list[Any]:
        """A vector as leaves: floats, and arrays of their own shapes and dtypes."""
        if self.single:
            shape, dtype = self._forms[0]  # type: ignore[misc]  # it is an array
            return [flat.reshape(shape).astype(dtype, copy=False)]
        return [
            float(flat[low])
            if form is None
            else flat[low:high].reshape(form[0]).astype(form[1], copy=False)
            for (low, high), form in zip(self._places, self._forms)
        ]

    def join(self, parts: Sequence[Any]) -> Array:
        """Leaves, or what belongs to each of them, as one vector."""
        if len(parts) == 1:
            return np.array(parts[0], np.float64).ravel()
        return np.concatenate([np.asarray(x, np.float64).ravel() for x in parts])

    def structure(self, flat: Array) -> Any:
        """A vector in the form of x0; of a module, a dict by name."""
        return map_structure(copy_raw, rebuild(self.tree, self.split(flat)))

    def call(self, f: Callable[..., Any], nodes: Sequence[Node]) -> Any:
        """``f`` where the leaves are these nodes; once in each :meth:`unchanged`."""
        if not self.bound:
            return f(rebuild(self.tree, list(nodes)))
        for leaf, node in zip(self.bound, nodes, strict=True):
            bind(leaf, node)
        return f() if self.closure else f(self.module)

    def unchanged(self) -> as_before:
        """``with variables.unchanged():`` parameters are what they were at the end of it."""
        return as_before(self.bound)

    def keep(self, flat: Array) -> None:
        """Set the parameters to a vector; of anything but parameters, nothing is set."""
        for p, x in zip(self.bound, self.split(flat)):
            p.assign(copy_raw(x))


def _is_plain_list(x: Any) -> bool:
    if not isinstance(x, (list, tuple)) or hasattr(x, "_fields"):
        return False
    return all(
        isinstance(data_of(i), (int, float, np.integer, np.floating)) and not isinstance(i, bool)
        for i in x
    )


def _named(tree: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(tree, (dict, list, tuple)):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield from _named(tree[key], f"{name}[{key!r}]" if name else str(key))
    elif tree is not None:
        yield name or "x", tree
