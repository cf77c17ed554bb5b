"""The works, in the order of the table. A new one is a file here and a line in ``WORKS``."""

from benchmarks.harness import Work
from benchmarks.works import (
    adam_step,
    gradient_check,
    import_time,
    jit_adam_step,
    jit_elementwise,
    jit_first_call,
    jit_memory,
    jit_networks,
    jit_scalar_demo,
    jit_spiral_step,
    scalar_demo,
    scalar_memory,
    solvers,
    spiral_step,
)

WORKS: tuple[Work, ...] = (
    *scalar_demo.WORKS,
    *scalar_memory.WORKS,
    *spiral_step.WORKS,
    *adam_step.WORKS,
    *gradient_check.WORKS,
    *import_time.WORKS,
    *jit_scalar_demo.WORKS,
    *jit_spiral_step.WORKS,
    *jit_networks.WORKS,
    *jit_elementwise.WORKS,
    *jit_adam_step.WORKS,
    *jit_first_call.WORKS,
    *jit_memory.WORKS,
    *solvers.WORKS,
)
