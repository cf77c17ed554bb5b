"""How long it takes until a jitted step is replayed: W2 in float64, and W1's 65,818 nodes.

Each sample is a new process that imports, builds data and model, and starts its clock just before
the step is jitted. Ours stops it after the first call that ran none of the step's own Python: calls
that trace, compiling and importing what compiles are all inside. The peers are imported before, and
stop after their first call; casadi's graph is built inside. Cold, every cache on disk is empty;
warm, an earlier process has filled it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.harness import OURS, Contender, Sample, Target, Work, no_more_than

ROOT = Path(__file__).parents[2]
CACHES = ("MICROGRADOPT_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
JAX_CACHES_ALL = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
MOST_CALLS = 10


class Timed:
    """A jitted step of ours, timed from before it is jitted."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.runs = 0  # of the step's own Python
        self.start = 0.0

    def jit(self, step: Callable[..., Any]) -> Any:
        """Start the clock, and jit a step."""
        import microgradopt as mg

        def counted(*args: Any) -> Any:
            self.runs += 1
            return step(*args)

        self.start = perf_counter()
        return mg.jit(counted, backend=self.backend)

    def until_replayed(self, call: Callable[[], object], most: int = MOST_CALLS) -> float:
        """Seconds to the end of the first call that ran no Python of the step's."""
        for _ in range(most):
            before = self.runs
            call()
            if self.runs == before:
                return perf_counter() - self.start
        raise AssertionError(f"nothing was replayed in {most} calls")


def spiral(backend: str) -> float:
    """Ours, W2."""
    from benchmarks.works import spiral_step

    jitted = Timed(backend)
    step = spiral_step.ours(spiral_step.problem("float64"), jitted.jit).step
    return jitted.until_replayed(step)


def scalars(backend: str) -> float:
    """Ours, W1."""
    from benchmarks.works import scalar_demo

    jitted = Timed(backend)
    return jitted.until_replayed(jitted.jit(scalar_demo.ours().step))


def peer(module: str, build: str) -> float:
    """A peer's W2."""
    from benchmarks.works import spiral_step

    build_step = getattr(import_module(f"benchmarks.works.{module}"), build)
    return _seconds(build_step(spiral_step.problem("float64")).step)


def casadi() -> float:
    """casadi's W1."""
    import casadi  # noqa: F401

    from benchmarks.works.jit_scalar_demo import casadi_step

    return _seconds(casadi_step)


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


MEASURES: dict[str, Callable[[], float]] = {
    "spiral-numba": partial(spiral, "numba"),
    "spiral-numpy": partial(spiral, "numpy"),
    "scalars-numba": partial(scalars, "numba"),
    "scalars-numpy": partial(scalars, "numpy"),
    "jax": partial(peer, "spiral_step", "jax_jit"),
    "torch-whole": partial(peer, "jit_spiral_step", "torch_whole"),
    "torch-loss": partial(peer, "jit_spiral_step", "torch_loss"),
    "casadi": casadi,
}


def _sample(measure: str, needs: str, warm: bool) -> Sample:
    import_module(needs)
    kept = tempfile.TemporaryDirectory()

    def sample() -> float:
        if warm:
            return _in_process(measure, kept.name)
        with tempfile.TemporaryDirectory() as empty:
            return _in_process(measure, empty)

    if warm:
        sample()
    return sample


def _in_process(measure: str, caches: str) -> float:
    env = os.environ | JAX_CACHES_ALL | {name: f"{caches}/{name}" for name in CACHES}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    code = f"from {__name__} import MEASURES; print(MEASURES[{measure!r}]())"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True).stdout
    return float(printed.split()[-1])


def show(seconds: float) -> str:
    """Print a time."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def _contender(
    name: str, measure: str, needs: str, warm: bool = False, target: Target | None = None
) -> Contender:
    return Contender(name, partial(_sample, measure, needs, warm), target)


def _work(key: str, title: str, *contenders: Contender) -> Work:
    return Work(f"jit-first-{key}", f"until replayed, {title}", show, contenders, rounds=5)


WORKS = (
    _work(
        "cold",
        "W2, cold",
        _contender(OURS, "spiral-numba", "numba", target=no_more_than(3, "s")),
        _contender("JAX jit", "jax", "jax"),
        _contender("torch.compile, whole step", "torch-whole", "torch"),
        _contender("torch.compile, the loss", "torch-loss", "torch"),
    ),
    _work(
        "warm",
        "W2, from the disk cache",
        _contender(OURS, "spiral-numba", "numba", warm=True, target=no_more_than(0.3, "s")),
        _contender("JAX jit", "jax", "jax", warm=True),
        _contender("torch.compile, whole step", "torch-whole", "torch", warm=True),
    ),
    _work(
        "numpy",
        "W2, NumPy only",
        _contender(OURS, "spiral-numpy", "numpy", target=no_more_than(0.05, "s")),
    ),
    _work(
        "scalars",
        "W1, 65,818 nodes",
        _contender(OURS, "scalars-numba", "numba", warm=True, target=no_more_than(0.5, "s")),
        _contender(f"{OURS}, cold", "scalars-numba", "numba"),
        _contender(f"{OURS}, NumPy only", "scalars-numpy", "numpy"),
        _contender("casadi's virtual machine", "casadi", "casadi"),
    ),
)
