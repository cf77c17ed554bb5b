"""Bytes per node of the graph of W1, after backward, as tracemalloc counts them.

The graph is everything the step allocated and its loss keeps alive; parameters were there before
and count neither as bytes nor as nodes. Once per node as micrograd makes them (the same work for
all), once per node of one's own (a library may make fewer).
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from benchmarks.harness import OURS, Contender, Sample, Work, no_more_than
from benchmarks.works import scalar_demo
from benchmarks.works.scalar_demo import NODES, PARAMETERS, Demo, checked, graph_size

LIMIT = no_more_than(200, "B")


def _sample(
    build: Callable[[], Demo], parents: Callable[[Any], Iterable[Any]], own: bool
) -> Sample:
    demo = checked(build())
    nodes = (graph_size(demo.step(), parents) if own else NODES) - len(PARAMETERS)

    def sample() -> float:
        gc.collect()
        tracemalloc.start()
        try:
            loss = demo.step()
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        del loss
        return kept / nodes

    return sample


def _work(key: str, title: str, own: bool) -> Work:
    ours = partial(_sample, scalar_demo.ours, lambda node: node.parents, own)
    theirs = partial(_sample, scalar_demo.micrograd, lambda node: node._prev, own)
    contenders = (Contender(OURS, ours, LIMIT), Contender("micrograd", theirs))
    return Work(key, title, lambda size: f"{size:.0f} B", contenders, rounds=1)


WORKS = (
    _work("memory-common", "W1 bytes per micrograd node", own=False),
    _work("memory-own", "W1 bytes per own node", own=True),
)
