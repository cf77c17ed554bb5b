"""The step of Adam of ``adam_step`` over 10⁶ parameters in float32, jitted; the gradients given.

Ours jits the optimizer's own step. JAX jits optax's update, parameters and state donated.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Contender, Sample, Work, timed, times_faster
from benchmarks.works import adam_step
from benchmarks.works.adam_step import LONG, STEPS, check, problem, torch


def ours(backend: str) -> Sample:
    """Jit the step of this library's Adam."""
    import microgradopt as mg

    return adam_step.ours(LONG, partial(mg.jit, backend=backend))


def optax() -> Sample:
    """Jit optax's Adam."""
    import jax
    import optax

    parameters, gradients = (list(map(jax.numpy.asarray, arrays)) for arrays in problem(LONG))
    adam = optax.adam(1e-3)
    state = adam.init(parameters)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(parameters: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        changes, state = adam.update(gradients, state, parameters)
        return optax.apply_updates(parameters, changes), state

    def step() -> object:
        nonlocal parameters, state
        parameters, state = update(parameters, state, gradients)
        return jax.block_until_ready(parameters)

    for _ in range(STEPS):
        step()
    check(list(map(np.asarray, parameters)), LONG)
    return timed(step, calls=10)


WORKS = (
    Work(
        "jit-adam",
        "Adam step jitted, 10⁶ parameters, float32",
        adam_step.show,
        (
            Contender(OURS, partial(ours, "numba")),
            Contender(f"{OURS}, NumPy only", partial(ours, "numpy")),
            Contender(f"{OURS}, eager", partial(adam_step.ours, LONG)),
            Contender("torch, fused", partial(torch, LONG, fused=True), times_faster(1)),
            Contender("torch, foreach", partial(torch, LONG, foreach=True)),
            Contender("JAX + optax, jit", optax),
        ),
        rounds=25,
    ),
)
