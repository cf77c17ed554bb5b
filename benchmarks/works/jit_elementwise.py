"""A chain of ten elementwise operations on two arrays of 10⁶ floats, which gives a third.

``sqrt(|(x y + x − ½) y| + 1) / (x² + 2)``, the same expression for all. NumPy and the eager library
go over memory ten times; a compiler should once. Nobody is given an array to write into.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import OURS, Contender, Sample, Work, timed, times_faster

Array: TypeAlias = NDArray[Any]
Run: TypeAlias = Callable[[], Any]  # once through the chain
SIZE = 1_000_000
RTOL = {"float64": 1e-13, "float32": 1e-5}


def chain(x: Any, y: Any, lib: Any) -> Any:
    """The ten operations, by a library that has NumPy's names."""
    return lib.sqrt(lib.abs((x * y + x - 0.5) * y) + 1) / (x * x + 2)


def by_numpy(x: Array, y: Array) -> Run:
    """Run it in NumPy."""
    return lambda: chain(x, y, np)


def eager(x: Array, y: Array) -> Run:
    """Run it on nodes of this library's, without recording a graph."""
    import microgradopt as mg

    nodes = mg.Tensor(x), mg.Tensor(y)

    @mg.no_grad()
    def run() -> Array:
        return chain(*nodes, mg).data

    return run


def replayed(x: Array, y: Array, backend: str) -> Run:
    """Jit it on arrays."""
    import microgradopt as mg

    jitted = mg.jit(lambda x, y: chain(x, y, mg), backend=backend)
    return lambda: jitted(x, y)


def by_numexpr(x: Array, y: Array) -> Run:
    """Run it by numexpr, one thread."""
    import numexpr

    numexpr.set_num_threads(1)
    half, one, two = (x.dtype.type(c) for c in (0.5, 1, 2))
    names = {"x": x, "y": y, "half": half, "one": one, "two": two}
    numexpr.validate("sqrt(abs((x * y + x - half) * y) + one) / (x * x + two)", names)
    return lambda: numexpr.re_evaluate(names)


def by_jax(x: Array, y: Array) -> Run:
    """Jit it with JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jitted = jax.jit(partial(chain, lib=jax.numpy))
    arrays = jax.numpy.asarray(x), jax.numpy.asarray(y)
    return lambda: jax.block_until_ready(jitted(*arrays))


def _sample(build: Callable[[Array, Array], Run], dtype: str) -> Sample:
    x, y = np.random.default_rng(0).normal(size=(2, SIZE)).astype(dtype)
    run = build(x, y)
    for _ in range(3):  # to trace, to compile, to replay
        found = np.asarray(run())
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found, chain(x, y, np), rtol=1e-5 if dtype == "float32" else 1e-13
        )
    return timed(run, calls=10)


def _work(dtype: str) -> Work:
    contenders = (
        Contender(OURS, partial(_sample, partial(replayed, backend="numba"), dtype)),
        Contender(
            f"{OURS}, NumPy only", partial(_sample, partial(replayed, backend="numpy"), dtype)
        ),
        Contender(f"{OURS}, eager", partial(_sample, eager, dtype)),
        Contender("JAX jit", partial(_sample, by_jax, dtype), times_faster(1)),
        Contender("NumPy", partial(_sample, by_numpy, dtype)),
        Contender("numexpr", partial(_sample, by_numexpr, dtype)),
    )
    title = f"ten operations on 10⁶ numbers, {dtype}"
    return Work(f"jit-chain-{dtype}", title, lambda s: f"{1e3 * s:.2f} ms", contenders, rounds=25)


WORKS = (_work("float64"), _work("float32"))
