"""The works of ``python -m benchmarks`` that need no peer still compute what they say."""

from functools import partial

import numpy as np
import pytest

from benchmarks.works import (
    WORKS,
    jit_adam_step,
    jit_elementwise,
    jit_first_call,
    jit_networks,
    scalar_demo,
    spiral_step,
)
from benchmarks.works.jit_spiral_step import ours as spiral_ours


def test_keys_are_told_apart():
    keys = [work.key for work in WORKS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_spiral_step(dtype):
    assert spiral_step.sample(partial(spiral_ours, backend="numpy"), dtype)() > 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_chain(dtype):
    found = {}
    for name, build in {
        "jitted": partial(jit_elementwise.replayed, backend="numpy"),
        "eager": jit_elementwise.eager,
    }.items():
        x, y = np.random.default_rng(0).normal(size=(2, 10)).astype(dtype)
        run = build(x, y)
        found[name] = [run() for _ in range(4)]
        assert {out.dtype for out in found[name]} == {np.dtype(dtype)}
    np.testing.assert_array_equal(found["jitted"], found["eager"])


def test_adam_step():
    assert jit_adam_step.ours("numpy")() > 0


def test_networks():
    pytest.importorskip("sklearn")
    for build in (jit_networks.ours, partial(jit_networks.replayed, backend="numpy")):
        assert jit_networks.sample(build, jit_networks.digits_epoch, epochs=1)() > 0


def test_a_replayed_call_is_seen():
    jitted = jit_first_call.Timed("numpy")
    step = jitted.jit(lambda x: 2 * x)
    assert jitted.until_replayed(lambda: step(np.ones(3))) > 0
    assert jitted.runs
    with pytest.raises(AssertionError, match="nothing was replayed"):
        jitted.until_replayed(lambda: step.function(np.ones(3)))


def test_reference_of_the_scalar_demo():
    demo = scalar_demo.checked(scalar_demo.ours())
    with pytest.raises(AssertionError):
        scalar_demo.agree(0.0, [p.grad for p in demo.model.parameters()])
