"""Layered layout, step 2: order the items of each layer so that few arrows cross."""

import numpy as np

from microgradopt.drawing.layers import Floats, Grid, Ints, Step, make_steps

WORK = 1_000_000  # items times sweeps that ordering may cost
STEP_COST = 40  # what starting one step costs, in items


def order_layers(grid: Grid) -> Ints:
    """Return all items sorted by layer and, within a layer, in drawing order.

    The ports of ``grid`` must be fractions of a place. Starts from the order of a depth-first walk,
    which draws every tree without a crossing; then sorts each layer by the mean place of its
    neighbours, up and down the picture, and keeps the best order seen.
    """
    best = places(grid.layer, depth_first_rank(grid))
    fewest = crossings(grid, best)
    start = np.lexsort((best, grid.layer))
    down = make_steps(grid, start, downward=True)
    up = make_steps(grid, start, downward=False)
    place = best.copy()
    for sweep in range(_affordable_sweeps(grid, len(down))):
        if fewest == 0:
            break
        for step in down if sweep % 2 else up:
            sort_by_neighbours(step, place, grid.layer, last_first=sweep % 4 > 1)
        count = crossings(grid, place)
        if count < fewest:
            best, fewest = place.copy(), count
    return np.lexsort((best, grid.layer))


def _affordable_sweeps(grid: Grid, steps: int) -> int:
    return int(np.clip(WORK // (grid.layer.size + STEP_COST * steps), 4, 24))


def places(layer: Ints, rank: Ints) -> Floats:
    """Turn any ranking of the items into places 0, 1, 2, … within each layer."""
    order = np.lexsort((rank, layer))
    place = np.empty(order.size)
    place[order] = np.arange(order.size) - np.searchsorted(layer[order], layer[order])
    return place


def depth_first_rank(grid: Grid) -> Ints:
    """Number the items in the order a walk from the outputs meets them, operands in order."""
    total = grid.layer.size
    by_head = np.lexsort((-grid.port, grid.head))  # last operand first: a stack turns it round
    tails = grid.tail[by_head].tolist()
    ends = np.searchsorted(grid.head[by_head], np.arange(total + 1)).tolist()
    rank = [-1] * total
    is_used = np.zeros(total, bool)
    is_used[grid.tail] = True
    stack = np.flatnonzero(~is_used)[::-1].tolist()
    count = 0
    while stack:
        item = stack.pop()
        if rank[item] < 0:
            rank[item] = count
            count += 1
            stack += tails[ends[item] : ends[item + 1]]
    return np.array(rank, np.int64)


def sort_by_neighbours(step: Step, place: Floats, layer: Ints, *, last_first: bool) -> None:
    """Sort the step's layers by the mean place of each item's neighbours, in ``place`` itself.

    Items without neighbours stay about where they are; ties keep their order or, with
    ``last_first``, swap it, which helps a sweep out of a dead end.
    """
    items = step.items
    count = np.bincount(step.here, minlength=items.size)
    total = np.bincount(step.here, place[step.there] + step.shift, minlength=items.size)
    mean = np.where(count > 0, total / np.maximum(count, 1), place[items])
    ties = -place[items] if last_first else place[items]
    if len(step.starts) == 1:
        place[items[np.lexsort((ties, mean))]] = np.arange(items.size)
        return
    order = items[np.lexsort((ties, mean, layer[items]))]
    sizes = np.diff([*step.starts, items.size])
    place[order] = np.arange(items.size) - np.repeat(step.starts, sizes)


def crossings(grid: Grid, place: Floats) -> int:
    """Count the pairs of segments that cross, in all layers together.

    Between two layers, sort the segments by where they start: each pair whose ends are in the
    wrong order is a crossing.
    """
    gap = grid.layer[grid.tail]
    end = place[grid.head] + grid.port
    by_end = np.lexsort((end, gap))
    first = np.searchsorted(gap[by_end], gap[by_end])
    fresh = np.ones(gap.size, np.int64)
    fresh[1:] = np.diff(end[by_end]) != 0  # equal ends of different gaps may share a rank
    count = np.cumsum(fresh)
    rank = np.empty(gap.size, np.int64)
    rank[by_end] = count - count[first]
    return inversions(rank[np.lexsort((rank, place[grid.tail], gap))], first)


def inversions(ranks: Ints, start: Ints) -> int:
    """Count the pairs, within each group, in which a larger rank comes first.

    ``start`` holds, for each position, that of its group's first member. It goes by binary digits
    from the highest: a 1 before a 0 is a wrong pair; then each group is split into its zeros and
    its ones, both in their old order, and the next digit decides within those.
    """
    total = 0
    position = np.arange(ranks.size)
    for bit in reversed(range(int(ranks.max(initial=0)).bit_length())):
        one = (ranks >> bit) & 1
        ones_so_far = np.cumsum(one) - one
        ones_before = ones_so_far - ones_so_far[start]
        total += int(ones_before[one == 0].sum())
        zeros = np.bincount(start[one == 0], minlength=ranks.size)[start]
        start = start + one * zeros
        target = start + np.where(one == 1, ones_before, position - start - ones_before)
        ranks[target], start[target] = ranks.copy(), start.copy()
    return total
