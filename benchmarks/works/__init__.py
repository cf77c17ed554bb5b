"""The works, in the order of the table. A new one is a file here and a line in ``WORKS``."""

from benchmarks.harness import Work
from benchmarks.works import (
    adam_step,
    gradient_check,
    import_time,
    scalar_demo,
    scalar_memory,
    spiral_step,
)

WORKS: tuple[Work, ...] = (
    *scalar_demo.WORKS,
    *scalar_memory.WORKS,
    *spiral_step.WORKS,
    *adam_step.WORKS,
    *gradient_check.WORKS,
    *import_time.WORKS,
)
