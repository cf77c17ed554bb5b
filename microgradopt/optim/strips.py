"""Many parameters as a few long arrays: how a step over small arrays gets fast.

Where a rule treats every entry by itself, the parameters of one dtype are laid end to end, a strip,
which is cut into blocks that fit a cache. A thousand arrays of a hundred numbers then cost a few
calls of NumPy rather than some ten thousand, and the temporaries of a long array never leave the
cache. The state lives in blocks too; by name it is handed out when somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine.graph import Array, Node
from microgradopt.engine.structure import leaves, rebuild

BLOCK_BYTES = 2**18  # of one array: some eight of them are in use at a time

Apply: TypeAlias = Callable[[Any, Any, Any], tuple[Any, Any]]
Piece: TypeAlias = tuple[int, int, int]  # which parameter, and from where to where in it


class Strip:
    """Parameters of one dtype laid end to end, and the state of each block of them.

    Args:
        names, nodes: the parameters, all Values or all Tensors of one dtype.
        states: the state of each, whose plain numbers are the same for all.
    """

    def __init__(self, names: list[str], nodes: list[Node], states: list[Any]) -> None:
        self.names, self.nodes = names, nodes
        self.scalar = nodes[0]._raw.__class__ is float
        self.dtype = np.asarray(nodes[0]._raw).dtype
        ends = list(accumulate(np.size(p._raw) for p in nodes))
        self.spans = list(zip([0, *ends], ends))
        self.size = ends[-1]
        length = BLOCK_BYTES // self.dtype.itemsize
        self.cuts = [(a, min(a + length, self.size)) for a in range(0, self.size or 1, length)]
        self.pieces = _pieces([(0, self.size)] if self.scalar else self.spans, self.cuts)
        self.states = [_joined(states, pieces) for pieces in _pieces(self.spans, self.cuts)]
        self.values: Array | None = None  # what the parameters were last set to, in one array
        self.views: list[Any] = []

    def moved(self, apply: Apply, gradients: list[Any]) -> tuple[Array, list[Any]]:
        """All parameters after an update, end to end, and the states of the blocks.

        Raises:
            FloatingPointError: if a gradient is NaN or infinite.
        """
        g, x = self._flat(gradients), self._data()
        new, states = np.empty(self.size, self.dtype), []
        for (a, b), pieces, state in zip(self.cuts, self.pieces, self.states):
            before = x[0][a:b] if len(x) == 1 else _cut(x, pieces)
            states.append(_move(apply, _cut(g, pieces), state, before, new[a:b]))
        return new, states

    def accept(self, new: Array, states: list[Any]) -> None:
        """Set the parameters and states to what :meth:`moved` gave."""
        if self.scalar:
            values = new.tolist()
        else:
            values = [new[a:b].reshape(p._raw.shape) for (a, b), p in zip(self.spans, self.nodes)]
            self.values, self.views = new, values
        for p, value in zip(self.nodes, values):
            p.assign(value)
        self.states = states

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "values": None, "views": []}  # in a copy, views would be arrays

    def by_name(self) -> dict[str, Any]:
        """The state of each parameter, in its shape."""
        whole = [_whole(entries) for entries in zip(*map(leaves, self.states))]
        found = {}
        for name, p, (a, b) in zip(self.names, self.nodes, self.spans):
            shape = np.shape(p._raw)
            own = [v[a:b].reshape(shape) if isinstance(v, np.ndarray) else v for v in whole]
            found[name] = rebuild(self.states[0], own)
        return found

    def _data(self) -> list[Any]:
        known = self.values
        if known is not None and all(p._raw is v for p, v in zip(self.nodes, self.views)):
            return [known]
        return self._flat([p._raw for p in self.nodes])

    def _flat(self, arrays: list[Any]) -> list[Any]:
        return [np.array(arrays)] if self.scalar else [x.reshape(-1) for x in arrays]


def _pieces(spans: Sequence[tuple[int, int]], cuts: Sequence[tuple[int, int]]) -> list[list[Piece]]:
    """What of the parameters, laid out in ``spans``, each block between ``cuts`` consists of."""
    found: list[list[Piece]] = []
    i = 0
    for a, b in cuts:
        found.append([])
        while i < len(spans) and (spans[i][0] < b or b == 0):  # b is 0 where all are empty
            start, end = spans[i]
            found[-1].append((i, max(a, start) - start, min(b, end) - start))
            if end > b:
                break
            i += 1
    return found


def _cut(flat: list[Any], pieces: list[Piece]) -> Any:
    """A block out of flat arrays."""
    parts = [flat[i][a:b] for i, a, b in pieces]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _move(apply: Apply, g: Any, state: Any, before: Any, after: Any) -> Any:
    """Write one block's new numbers to ``after``; its new state."""
    if not math.isfinite(np.dot(g, g)) and not np.isfinite(g).all():
        raise FloatingPointError
    update, new_state = apply(g, state, before)
    np.add(before, update, out=after, casting="same_kind")
    return new_state


def _joined(states: list[Any], pieces: list[Piece]) -> Any:
    """The state of a block from those of the parameters."""
    chosen = [(leaves(states[i]), a, b) for i, a, b in pieces]
    joined = []
    for place, leaf in enumerate(chosen[0][0]):
        parts = [np.reshape(found[place], -1)[a:b] for found, a, b in chosen]
        joined.append(np.concatenate(parts) if is_entries(leaf) else leaf)
    return rebuild(states[0], joined)


def _whole(entries: tuple[Any, ...]) -> Any:
    """One leaf of all blocks' states, end to end."""
    return np.concatenate(entries) if is_entries(entries[0]) else entries[0]


def is_entries(leaf: Any) -> bool:
    """Whether a leaf of a state has a number for each entry, or one for all."""
    return isinstance(leaf, (np.ndarray, np.generic))


def lay_out(nodes: dict[str, Node], states: dict[str, Any]) -> list[Strip]:
    """Strips of parameters: one per dtype, and per set of plain numbers in their states."""
    groups: dict[Any, list[str]] = {}
    for name, p in nodes.items():
        numbers = tuple(x for x in leaves(states[name]) if not is_entries(x))
        kind = float if p._raw.__class__ is float else p._raw.dtype
        groups.setdefault((kind, numbers), []).append(name)
    return [
        Strip(names, [nodes[n] for n in names], [states[n] for n in names])
        for names in groups.values()
    ]
