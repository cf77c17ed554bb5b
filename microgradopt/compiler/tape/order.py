"""In which order a tape runs: in stages between calls of Python, and by depth within a stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microgradopt.compiler.program import Host
from microgradopt.compiler.tape.arrays import Effect, Tape
from microgradopt.compiler.tape.lanes import FREE, Lanes, Sum
from microgradopt.engine.graph import Array


def uses_of(tape: Tape) -> Array:
    """How many instructions, results and effects read each value."""
    uses = np.bincount(tape.args.ravel(), minlength=tape.base + len(tape))
    np.add.at(uses, np.array(list(tape.observed()), np.int64), 1)
    return uses


@dataclass(frozen=True, eq=False)
class Timetable:
    """When what can run: the stage and depth of each value, the stage of each effect.

    Hosts, and rows that only Python can compute, run before anything else in their stage, guards
    and checks after everything else. Depth counts from the leaves.
    """

    stage: Array
    depth: Array
    effects: list[int]

    @property
    def last(self) -> int:
        """The number of the last stage."""
        return max([int(self.stage.max(initial=0)), *self.effects])


def timetable(tape: Tape, shape: Array, external: Array) -> Timetable:
    """The timetable of a tape; ``external`` says which rows only Python can compute.

    It is made for shapes rather than values: there are few of them where there are lanes.
    """
    labels = np.unique(shape[tape.base :])
    first = labels - tape.base
    operands = shape[tape.args[first]].T.tolist()
    calls = external[tape.op[first]].tolist()
    stage = [0] * len(shape)
    depth = [0] * len(shape)
    effects: list[int] = []
    for x, a, b, c, call in zip(labels.tolist(), *operands, calls):
        while len(effects) < len(tape.effects) and tape.effects[len(effects)].at <= x - tape.base:
            effects.append(_stage_of_effect(tape.effects[len(effects)], effects, shape, stage))
        stage[x] = max(stage[a], stage[b], stage[c]) + call
        depth[x] = max(depth[a], depth[b], depth[c]) + 1
    for effect in tape.effects[len(effects) :]:
        effects.append(_stage_of_effect(effect, effects, shape, stage))
    return Timetable(np.array(stage)[shape], np.array(depth)[shape], effects)


def _stage_of_effect(effect: Effect, before: list[int], shape: Array, stage: list[int]) -> int:
    """Not before what it reads, nor before the effects before it."""
    found: int = max([0, *before[-1:], *(stage[shape[x]] for x in effect.reads.values())])
    found += isinstance(effect.instruction.op, Host)
    for x in effect.makes:
        stage[x] = found
    return found


@dataclass(frozen=True, eq=False)
class Singles:
    """Instructions that run one by one, in order."""

    members: Array


@dataclass(frozen=True, eq=False)
class Group:
    """Instructions of the same row that run side by side, in lanes."""

    members: Array


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of the same number of terms that run side by side."""

    sums: list[Sum]


Unit = Singles | Group | Sums


def in_order(lanes: Lanes, times: Timetable, alive: Array) -> list[list[Unit]]:
    """For each stage what runs in it, in an order in which everything is there when it is read.

    Only instructions where ``alive`` holds run.
    """
    tape = lanes.tape
    free = np.flatnonzero(alive & (lanes.unit[tape.base :] == FREE)) + tape.base
    groups = [g for g in lanes.groups if alive[g[0] - tape.base]]
    sums = _batches(lanes.sums, times)
    stages: list[list[Unit]] = [[] for _ in range(times.last + 1)]
    if not groups and not sums:
        for stage, members in enumerate(_split(free, times.stage[free], times.last + 1)):
            stages[stage].append(Singles(members))
        return stages
    units: list[Unit] = [Group(g) for g in groups]
    units += [Sums(batch) for batch in sums]
    firsts = [int(g[0]) for g in groups] + [int(batch[0].adds[-1]) for batch in sums]
    leads = np.concatenate([np.array(firsts, np.int64), free])
    order = np.lexsort((leads, times.depth[leads], times.stage[leads]))
    singles = order >= len(units)
    cuts = (
        np.flatnonzero(~singles[1:] | ~singles[:-1] | (np.diff(times.stage[leads[order]]) > 0)) + 1
    )
    for part in np.split(order, cuts):
        lead = leads[part[0]]
        unit = units[part[0]] if part[0] < len(units) else Singles(leads[part])
        stages[times.stage[lead]].append(unit)
    return stages


def _split(values: Array, keys: Array, count: int) -> list[Array]:
    order = np.argsort(keys, kind="stable")
    return np.split(values[order], np.searchsorted(keys[order], np.arange(1, count)))


def _batches(sums: list[Sum], times: Timetable) -> list[list[Sum]]:
    """Sums that can run at the same time and have as many terms."""
    found: dict[tuple[int, int, int], list[Sum]] = {}
    for s in sums:
        last = s.adds[-1]
        key = int(times.stage[last]), int(times.depth[last]), len(s.adds)
        found.setdefault(key, []).append(s)
    return list(found.values())
