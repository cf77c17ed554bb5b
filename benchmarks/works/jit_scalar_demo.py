"""W1 compiled: the step of ``scalar_demo``, loss and gradient of all 337 parameters, replayed.

Ours jits the demo's own step: parameters are read from their nodes and gradients written to them.
casadi runs the same graph, built by the same formulas from the same constants, on its virtual
machine for scalars (SX, no C compiler), through buffers that it reads and writes in place; its
other ways (common subexpressions eliminated, a function of one sample mapped) are slower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Contender, Sample, Target, Work, timed, times_faster
from benchmarks.works import scalar_demo
from benchmarks.works.scalar_demo import INPUTS, NODES, PARAMETERS, SIGNS, SIZES, agree, checked


def ours(backend: str) -> Sample:
    """Jit the demo's step."""
    import microgradopt as mg

    demo = scalar_demo.ours()
    step = mg.jit(demo.step, backend=backend)
    for _ in range(2):  # the first call traces, the next ones replay
        demo.model.zero_grad()
        total = step()
        agree(float(total.data), [p.grad for p in demo.model.parameters()])
    return timed(step, calls=100)


def micrograd() -> Sample:
    """Run the demo as micrograd does."""
    return timed(checked(scalar_demo.micrograd()).step, calls=1)


def casadi() -> Sample:
    """Run casadi's virtual machine."""
    return timed(casadi_step(), calls=100)


def casadi_step() -> Callable[[], object]:
    """Build loss and gradient as expressions of casadi's, and have it evaluate them in place."""
    from casadi import SX, Function, gradient, vertsplit

    parameters = SX.sym("parameters", len(PARAMETERS))
    total = casadi_loss(vertsplit(parameters))
    function = Function("step", [parameters], [total, gradient(total, parameters)])
    values, loss, grads = np.array(PARAMETERS), np.zeros(1), np.zeros(len(PARAMETERS))
    buffers, evaluate = function.buffer()
    buffers.set_arg(0, memoryview(values))
    buffers.set_res(0, memoryview(loss))
    buffers.set_res(1, memoryview(grads))

    def step(kept_alive: tuple[Any, ...] = (function, buffers, values, loss, grads)) -> object:
        return evaluate()

    step()
    agree(loss[0], grads)
    return step


def casadi_loss(parameters: list[Any]) -> Any:
    """The notebook's loss, in casadi's expressions."""
    from casadi import fmax

    rest = iter(parameters)
    layers = [
        [([next(rest) for _ in range(inputs)], next(rest)) for _ in range(outputs)]
        for inputs, outputs in pairwise(SIZES)
    ]

    def score(x: list[Any]) -> Any:
        for layer in layers:
            x = [sum((wi * xi for wi, xi in zip(w, x, strict=True)), b) for w, b in layer]
            x = [fmax(value, 0) for value in x] if len(x) > 1 else x
        return x[0]

    losses = [fmax(1 + -sign * score(x), 0) for sign, x in zip(SIGNS, INPUTS, strict=True)]
    return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in parameters)


def show(seconds: float) -> str:
    """Print a time, and that of a node."""
    return f"{1e3 * seconds:8.3f} ms  {1e9 * seconds / NODES:7.1f} ns/node"


def _work(key: str, title: str, ours: Callable[[], Sample], *peers: Contender) -> Work:
    return Work(key, title, show, (Contender(OURS, ours), *peers), rounds=15)


def _micrograd(target: Target) -> Contender:
    return Contender("micrograd, gc on", micrograd, target, rounds=5)


WORKS = (
    _work(
        "jit-w1-lanes",
        "W1 replayed",
        partial(ours, "numba"),
        Contender("casadi's virtual machine", casadi, times_faster(3)),
        _micrograd(times_faster(1500)),
    ),
    _work(
        "jit-w1-numpy",
        "W1 replayed, NumPy only",
        partial(ours, "numpy"),
        _micrograd(times_faster(80)),
    ),
)
