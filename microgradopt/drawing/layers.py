"""Layered layout, step 1: put every box in a layer, and split long arrows into short segments.

An arrow that skips layers passes through one *joint* per layer on its way. All long arrows of one
box share its joints, like branches of one wire: they carry the same value, and a parameter used by
a thousand operations costs one row of joints, not a thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


STRAIGHTNESS = np.array([1.0, 3.0, 8.0])  # by how many ends of a segment are joints


@dataclass(frozen=True, slots=True)
class Grid:
    """Items in layers. Items ``0 … boxes-1`` are the boxes, the rest are joints of long arrows.

    ``tail`` and ``head`` are the items at the ends of each segment, one layer apart; ``port`` is
    where it enters, as a distance from the middle of the head's side; ``weight`` how much it wants
    to be straight. Box ``b`` owns the ``joints[b]``
    items from ``first[b]`` on, in layer order. ``source`` is the item from which each arrow makes
    its last step, or -1 for arrows too long to be split, which are drawn straight across.
    """

    boxes: int
    layer: Ints
    tail: Ints
    head: Ints
    port: Floats
    weight: Floats
    first: Ints
    joints: Ints
    source: Ints


def assign_layers(boxes: int, tails: Sequence[int], heads: Sequence[int]) -> list[int]:
    """Give each box a layer after those of its operands, with short arrows.

    Arrows must be sorted by head, and every tail be a smaller number than its head. Each box starts
    as early as it can; then, from the outputs backward, those whose arrows get shorter on the whole
    move as late as they can, taking along the operands that only they use.
    """
    layer = [0] * boxes
    for tail, head in zip(tails, heads, strict=True):
        if layer[tail] >= layer[head]:
            layer[head] = layer[tail] + 1
    late = _wants_to_be_late(boxes, tails, heads)
    latest = [-1] * boxes
    for i in range(len(tails) - 1, -1, -1):
        tail, head = tails[i], heads[i]
        if late[head] and latest[head] > layer[head]:
            layer[head] = latest[head]
        if latest[tail] == -1 or layer[head] <= latest[tail]:
            latest[tail] = layer[head] - 1
    for box in range(boxes):  # those without operands head no arrow above
        if late[box] and latest[box] > layer[box]:
            layer[box] = latest[box]
    return layer


def _wants_to_be_late(boxes: int, tails: Sequence[int], heads: Sequence[int]) -> list[bool]:
    """Tell which boxes shorten arrows by moving one layer later.

    Moving a box shortens its outgoing arrows and lengthens its incoming ones, except from operands
    that nothing else uses: those come along, and stretch only what *they* depend on.
    """
    uses = [0] * boxes
    for tail in tails:
        uses[tail] += 1
    drag = [0] * boxes
    last_head = [-1] * boxes
    shared = [False] * boxes
    for tail, head in zip(tails, heads, strict=True):
        shared[tail] = shared[tail] or last_head[tail] not in (-1, head)
        last_head[tail] = head
    counted = [-1] * boxes
    for tail, head in zip(tails, heads, strict=True):
        if shared[tail]:
            drag[head] += 1
        elif counted[tail] != head:
            counted[tail] = head
            drag[head] += min(drag[tail], uses[tail])
    return [use > pull for use, pull in zip(uses, drag, strict=True)]


def build_grid(
    boxes: int,
    tails: Sequence[int],
    heads: Sequence[int],
    ports: Floats,
    max_joints: int,
) -> Grid:
    """Layer the boxes and split arrows longer than one layer, with at most ``max_joints`` joints.

    Where joints run out, the arrows of the boxes with the longest ones stay whole.
    """
    tail, head = np.array(tails, np.int64), np.array(heads, np.int64)
    layer = np.array(assign_layers(boxes, tails, heads), np.int64)
    layer = np.unique(layer, return_inverse=True)[1].reshape(-1).astype(np.int64)
    span = layer[head] - layer[tail]
    joints = np.zeros(boxes, np.int64)
    np.maximum.at(joints, tail, span - 1)
    joints = _afford(joints, max_joints)
    first = boxes + np.cumsum(joints) - joints
    owner = np.repeat(np.arange(boxes), joints)
    step = np.arange(owner.size) - (first - boxes)[owner]
    before = np.where(step == 0, owner, boxes + np.arange(owner.size) - 1)
    source = np.where(span == 1, tail, first[tail] + span - 2)
    source[(span > 1) & (joints[tail] == 0)] = -1
    drawn = source >= 0
    tail = np.concatenate([before, source[drawn]])
    head = np.concatenate([boxes + np.arange(owner.size), head[drawn]])
    return Grid(
        boxes=boxes,
        layer=np.concatenate([layer, layer[owner] + 1 + step]),
        tail=tail,
        head=head,
        port=np.concatenate([np.zeros(owner.size), ports[drawn]]),
        weight=STRAIGHTNESS[(tail >= boxes).astype(int) + (head >= boxes)],
        first=first,
        joints=joints,
        source=source,
    )


def _afford(joints: Ints, limit: int) -> Ints:
    """Grant joints to the boxes that need fewest, until ``limit`` is reached."""
    cheapest_first = np.argsort(joints, kind="stable")
    total = np.cumsum(joints[cheapest_first])
    granted = joints.copy()
    granted[cheapest_first[total > limit]] = 0
    return granted


@dataclass(frozen=True, slots=True)
class Step:
    """Some layers that are treated at once: their items, and their segments on one side.

    ``here`` numbers the items of the step (positions in ``items``), ``there`` the items of the
    grid at the other ends; the segment is straight when place ``there`` plus ``shift`` is place
    ``here``. ``starts`` are the positions in ``items`` where a new layer begins.
    """

    items: Ints
    here: Ints
    there: Ints
    shift: Floats
    weight: Floats
    starts: list[int]


MOST_STEPS = 1500  # deeper pictures treat all even layers at once, then all odd ones


def make_steps(grid: Grid, order: Ints, *, downward: bool) -> list[Step]:
    """Cut the grid into steps from first to last layer, or from last to first.

    ``order`` lists the items, layer by layer. A downward step looks at the segments that come in;
    an upward one at those that go out.
    """
    near, far = (grid.head, grid.tail) if downward else (grid.tail, grid.head)
    shift = -grid.port if downward else grid.port
    layers = int(grid.layer.max()) + 1
    groups = np.arange(layers) if layers <= MOST_STEPS else np.arange(layers) % 2
    group = groups[grid.layer]
    item_order = order[np.argsort(group[order], kind="stable")]
    rank = np.empty_like(order)
    rank[item_order] = np.arange(order.size)
    edges = np.argsort(rank[near], kind="stable")
    count = int(groups.max()) + 1
    item_ends = np.searchsorted(group[item_order], np.arange(count), side="right")
    edge_ends = np.searchsorted(group[near[edges]], np.arange(count), side="right")
    steps, a, s = [], 0, 0
    for b, e in zip(item_ends.tolist(), edge_ends.tolist(), strict=True):
        items, chosen = item_order[a:b], edges[s:e]
        steps.append(
            Step(
                items=items,
                here=rank[near[chosen]] - a,
                there=far[chosen],
                shift=shift[chosen],
                weight=grid.weight[chosen],
                starts=_layer_starts(grid.layer[items]),
            )
        )
        a, s = b, e
    return steps if downward else steps[::-1]


def _layer_starts(layer: Ints) -> list[int]:
    return [0, *(np.flatnonzero(np.diff(layer)) + 1).tolist()]
