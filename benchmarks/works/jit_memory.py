"""Peak memory of a step of W3, jitted and eager, by what NumPy tells tracemalloc.

Counted are the arrays kept between steps (gradients, buffers) and the most that a step allocates on
top of them; neither data nor parameters and Adam's state, which are there in any case.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.harness import OURS, Contender, Sample, Work, costs_at_most
from benchmarks.works import jit_networks
from benchmarks.works.jit_networks import Problem, Training

ARRAYS = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
COPIES = 3  # of the parameters that any training with Adam holds: themselves, and two moments

SETTLED = 8  # steps until arrays that are written again and again have all been made


def _sample(build: Callable[[Problem], Training]) -> Sample:
    full = jit_networks.digits_epoch()
    one_step = Problem(full.X[:1], full.y[:1], full.weights)
    given = COPIES * sum(w.nbytes for w in full.weights)

    def sample() -> float:
        gc.collect()
        tracemalloc.start()
        try:
            step = build(one_step).epoch
            for _ in range(SETTLED):
                step()
            gc.collect()
            arrays = tracemalloc.take_snapshot().filter_traces([ARRAYS]).traces
            kept = sum(trace.size for trace in arrays)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            step()
            return kept - given + tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    return sample


WORKS = (
    Work(
        "jit-memory",
        "peak memory of W3's step",
        lambda size: f"{size / 1024:.0f} KiB",
        (
            Contender(OURS, partial(_sample, partial(jit_networks.replayed, backend="numba"))),
            Contender(
                f"{OURS}, NumPy only",
                partial(_sample, partial(jit_networks.replayed, backend="numpy")),
            ),
            Contender(f"{OURS}, eager", partial(_sample, jit_networks.ours), costs_at_most(0.6)),
            Contender("NumPy by hand", partial(_sample, jit_networks.by_hand)),
        ),
        rounds=3,
    ),
)
