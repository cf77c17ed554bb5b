"""Layered layout, step 3: positions across the layers, with straight long arrows.

Each item wants to be level with its neighbours; items of a layer must keep their order and their
distances. One layer with its neighbours fixed is a weighted isotonic regression, which
:func:`nearest_in_order` solves exactly in linear time; the layers are visited in turn, up and down.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from microgradopt.drawing.layers import Floats, Grid, Ints, Step, make_steps

WORK = 300_000  # items times passes that placing may cost
STEP_COST = 25  # what starting one step costs, in items


def place_items(grid: Grid, order: Ints, apart: Floats) -> Floats:
    """Return the position of each item across its layer, in pixels.

    ``order`` lists the items by layer and place; ``apart[i]`` is the least distance between
    ``order[i]`` and its predecessor (0 for the first of a layer).
    """
    offset = _offsets(grid.layer[order], apart)
    base = np.empty(order.size)
    base[order] = offset
    y = base.copy()
    down = make_steps(grid, order, downward=True)
    up = make_steps(grid, order, downward=False)
    passes = int(np.clip(WORK // (grid.layer.size + STEP_COST * len(down)), 3, 20))
    for k in range(passes):
        for step in down if k % 2 else up:
            settle(step, y, base)
    return y


def _offsets(layer: Ints, apart: Floats) -> Floats:
    """Return each item's distance from the first of its layer when all are packed."""
    total = np.cumsum(apart)
    first = np.searchsorted(layer, layer)
    offsets: Floats = total - total[first]
    return offsets


def settle(step: Step, y: Floats, base: Floats) -> None:
    """Move the items of the step as near to the level of their neighbours as the order allows."""
    items = step.items
    pull = np.bincount(step.here, step.weight, minlength=items.size)
    total = np.bincount(step.here, step.weight * (y[step.there] + step.shift), items.size)
    free = pull == 0
    want = np.where(free, y[items], total / np.where(free, 1.0, pull)) - base[items]
    if items.size == len(step.starts):  # one item in each layer
        y[items] = want
        return
    wants, pulls = want.tolist(), np.where(free, 1e-4, pull).tolist()
    placed: list[float] = []
    for a, b in zip(step.starts, [*step.starts[1:], items.size], strict=True):
        placed += nearest_in_order(wants[a:b], pulls[a:b])
    y[items] = np.array(placed) + base[items]


def nearest_in_order(wants: list[float], weights: list[float]) -> list[float]:
    """Return the rising sequence nearest to ``wants`` in the weighted least-squares sense.

    Neighbours in the wrong order are pooled at their mean, block by block: pool adjacent violators,
    R. E. Barlow et al., *Statistical Inference under Order Restrictions*, 1972.
    """
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for want, weight in zip(wants, weights, strict=True):
        mean, mass, size = want, weight, 1
        while means and means[-1] >= mean:
            above = masses.pop()
            mean = (mean * mass + means.pop() * above) / (mass + above)
            mass += above
            size += sizes.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return [mean for mean, size in zip(means, sizes, strict=True) for _ in range(size)]


def straighten(grid: Grid, order: Ints, apart: Floats, y: Ints) -> None:
    """Draw each long arrow level as far as the items beside its joints leave room, in ``y`` itself.

    Settling pulls joints toward a level line; where neighbours pull elsewhere small kinks remain.
    """
    room = _Room.of(grid, order, apart, y)
    goal = y.copy()  # the level at which a segment out of the item arrives
    goal[grid.tail] = y[grid.head] + grid.port.astype(np.int64)
    goals = goal.tolist()
    first, count = grid.first.tolist(), grid.joints.tolist()
    for box in np.flatnonzero(grid.joints).tolist():
        wished = room.y[box]
        for run, low, high in room.runs(range(first[box], first[box] + count[box])):
            if not low <= wished <= high:
                wished = min(max(goals[run[-1]], low), high)
            for joint in run:
                room.y[joint] = wished
    y[:] = room.y


@dataclass(frozen=True, slots=True)
class _Room:
    """How far each item can move: its neighbours in the layer (-1 for none), and the distances."""

    y: list[int]
    before: list[int]
    after: list[int]
    apart: list[int]

    @classmethod
    def of(cls, grid: Grid, order: Ints, apart: Floats, y: Ints) -> Self:
        before, after, own = (np.full(order.size, -1) for _ in range(3))
        same = grid.layer[order[1:]] == grid.layer[order[:-1]]
        before[order[1:][same]] = order[:-1][same]
        after[order[:-1][same]] = order[1:][same]
        own[order] = apart
        return cls(y.tolist(), before.tolist(), after.tolist(), own.tolist())

    def limits(self, item: int) -> tuple[float, float]:
        """Return the least and greatest position that keep the distances to both neighbours."""
        before, after = self.before[item], self.after[item]
        low = self.y[before] + self.apart[item] if before >= 0 else -math.inf
        high = self.y[after] - self.apart[after] if after >= 0 else math.inf
        return low, high

    def runs(self, joints: range) -> Iterator[tuple[list[int], float, float]]:
        """Cut the joints of an arrow into runs that can be level, with the limits of that level."""
        run: list[int] = []
        low, high = -math.inf, math.inf
        for joint in joints:
            least, most = self.limits(joint)
            if run and max(low, least) > min(high, most):
                yield run, low, high
                run, low, high = [], -math.inf, math.inf
            run.append(joint)
            low, high = max(low, least), min(high, most)
        yield run, low, high
