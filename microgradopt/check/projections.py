"""Directions to look along where there are too many entries, and the search for a wrong one.

A wrong entry shows in nearly every direction. Bisection finds it: of two halves of a direction, the
one along which the two sides differ more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.check.numeric import Leaves, scale

FEW = 50  # entries that are all looked at, once one of them is known to be wrong
BESIDE = 4  # how many others otherwise


def random_like(x: Any, rng: np.random.Generator, size: float = 1.0) -> Any:
    """A random leaf of the same form, without entries near 0."""
    shape = np.shape(x)
    drawn = size * rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    return drawn.astype(x.dtype) if isinstance(x, np.ndarray) else float(drawn)


def dense(xs: Leaves, rng: np.random.Generator) -> Leaves:
    """A random direction along which every entry moves in proportion to its leaf's scale."""
    return [random_like(x, rng, scale(x)) for x in xs]


def part(direction: Leaves, start: int, stop: int) -> Leaves:
    """What a direction has in the entries from ``start`` to ``stop``, all leaves in one row."""
    kept: Leaves = []
    for d in direction:
        n = np.size(d)
        inside = range(n)[max(start, 0) : max(stop, 0)]
        if isinstance(d, np.ndarray):
            flat = np.zeros_like(d, order="C").reshape(-1)
            flat[inside.start : inside.stop] = d.ravel()[inside.start : inside.stop]
            kept.append(flat.reshape(d.shape) if inside else None)
        else:
            kept.append(d if inside else None)
        start, stop = start - n, stop - n
    return kept


def place_of(xs: Leaves, position: int) -> tuple[int, tuple[int, ...]]:
    """Which leaf, and which index in it, an entry's position in the one row is."""
    k = 0
    while position >= np.size(xs[k]):
        position -= np.size(xs[k])
        k += 1
    return k, tuple(int(i) for i in np.unravel_index(position, np.shape(xs[k])))


def worst_position(gap: Callable[[Leaves], float], direction: Leaves) -> int:
    """The entry in which the two sides differ, given how far apart they are along directions."""
    start, stop = 0, sum(map(np.size, direction))
    while stop - start > 1:
        middle = (start + stop) // 2
        left, right = gap(part(direction, start, middle)), gap(part(direction, middle, stop))
        start, stop = (middle, stop) if right > left else (start, middle)
    return start


def only_leaf(direction: Leaves, k: int) -> Leaves:
    """A direction's part in leaf k."""
    return [d if i == k else 0.0 * d for i, d in enumerate(direction)]


def filled(direction: Leaves, xs: Leaves) -> Leaves:
    """A direction with zeros where it had None, in the form of the leaves."""
    zeros = (np.zeros_like(x) if isinstance(x, np.ndarray) else 0.0 for x in xs)
    return [zero if d is None else d for d, zero in zip(direction, zeros, strict=True)]


def random_index(x: Any, rng: np.random.Generator) -> tuple[int, ...]:
    """The index of some entry."""
    return tuple(int(i) for i in np.unravel_index(rng.integers(np.size(x)), np.shape(x)))


def neighbours(x: Any, index: tuple[int, ...], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Entries to look at together with one: all, or a few and what they are when transposed."""
    shape = np.shape(x)
    if np.size(x) <= FEW:
        return list(np.ndindex(shape))
    near = {index, *(random_index(x, rng) for _ in range(BESIDE))}
    if shape[-1:] == shape[-2:-1]:
        near |= {(*i[:-2], i[-1], i[-2]) for i in near}
    return sorted(near)
