"""Threads and tasks: what one does to the graph, another does not feel."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.errors import GraphError, ShapeError, UsageError

THREADS = 8


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(work, *, times=1):
    """What ``work(i)`` gives in eight threads that start together, each ``times`` over."""
    gate = threading.Barrier(THREADS)

    def started(i):
        gate.wait()
        return [work(i) for _ in range(times)]

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(started, range(THREADS)))


def same_as_alone(work, *, times=1):
    """Check that eight threads get to the last bit what one after another gets."""
    alone = [work(i) for i in range(THREADS)]
    for i, found in enumerate(at_once(work, times=times)):
        for one in found:
            assert one == alone[i]


# Work that gives numbers, compared bit for bit


def record_and_backward(i):
    v, t = mg.Value(1.0 + i), mg.Tensor(np.linspace(-1.0, 1.0 + i, 50).reshape(5, 10))
    mg.sum(mg.tanh(t @ t.T) * v + mg.logsumexp(t)).backward()
    return v.grad, t.grad.tobytes()


def scalars(i):
    x, y = mg.Value(0.5 + i), mg.Value(-2.0)
    z = x
    for _ in range(30):
        z = (z * y + x).tanh() / (1.0 + x * x) ** 0.5
    z.backward()
    return z.data, x.grad, y.grad


def nested(i):
    def f(x):
        return mg.sin(x * (1.0 + i)) * mg.exp(-x)

    third = mg.grad(mg.grad(mg.grad(f)))(0.7)
    hessian = mg.hessian(lambda x: mg.logsumexp(x * x) * x[0])(np.arange(3.0) + i)
    inner = mg.grad(lambda x: x * mg.grad(lambda y: x * y * y)(2.0))(3.0 + i)
    return third, hessian.tobytes(), inner


def train(i):
    rng = np.random.default_rng(i)
    x, labels = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    model = nn.MLP(4, [8, 3], rng=i)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(15):
        optimizer.zero_grad()
        nn.cross_entropy(model(x), labels).backward()
        optimizer.step()
    return b"".join(p.data.tobytes() for p in model.parameters())


def out_of_range(i):
    """Kernels that overflow: NumPy's setting is changed and put back inside each."""
    with np.errstate(all="raise"):
        x = mg.Tensor([1e200 * (1 + i), 0.0])
        mg.sum(x * x / x).backward()
        before = np.geterr()["over"]
    return x.grad.tobytes(), before, np.geterr()["over"]


@pytest.mark.parametrize("work", [record_and_backward, scalars, nested, train, out_of_range])
def test_eight_threads_get_what_one_gets(work):
    same_as_alone(work, times=1 if work is train else 20)


def test_numbers_of_nodes_are_never_given_twice():
    found = at_once(lambda i: [mg.Value(1.0).index for _ in range(500)])
    numbers = [n for thread in found for part in thread for n in part]
    assert len(set(numbers)) == len(numbers)


# Leaves that threads share


@pytest.mark.parametrize(
    "leaf",
    [lambda: mg.Value(1.0), lambda: mg.Tensor(np.ones(10)), lambda: mg.Tensor(np.ones(9999))],
)
def test_no_contribution_to_a_shared_leaf_is_lost(leaf):
    w = leaf()

    def add(i):
        mg.sum(w * 2.0).backward()

    at_once(add, times=100)
    np.testing.assert_array_equal(w.grad, np.full(w.shape, 2.0 * THREADS * 100))


def test_a_shared_model_runs_in_all_threads():
    model = nn.MLP(3, [5, 2], rng=0)
    x = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
    expected = model(x).data.tobytes()
    assert {y for thread in at_once(lambda i: model(x).data.tobytes()) for y in thread} == {
        expected
    }

    def gradients(i):
        found = mg.grad(lambda w: mg.sum(mg.tanh(x @ w)))(model.parameters()[0].data.T.copy())
        return found.tobytes()

    same_as_alone(gradients, times=10)


def test_one_graph_may_be_swept_by_all_threads():
    x = mg.Tensor(np.linspace(0.0, 1.0, 30))
    y = mg.sum(mg.exp(mg.sin(x) * x))
    y.backward()
    once = x.grad.copy()
    x.zero_grad()
    at_once(lambda i: y.backward(), times=10)
    np.testing.assert_allclose(x.grad, 10 * THREADS * once, rtol=1e-12)


# no_grad


def test_no_grad_is_each_threads_own_also_after_exceptions():
    w = mg.Tensor([1.0, 2.0])

    def work(i):
        if i % 2 == 0:
            y = w * 3.0
            return y.requires_grad, mg.grad(lambda x: x * x)(3.0)
        try:
            with mg.no_grad():
                inside = mg.exp(w).requires_grad
                w + np.ones(7)
        except ShapeError:
            pass
        return inside, (w * 1.0).requires_grad

    for i, found in enumerate(at_once(work, times=200)):
        assert set(found) == {(False, True) if i % 2 else (True, 6.0)}
    assert (w * 1.0).requires_grad


def test_exceptions_inside_a_transform_leave_the_others_alone():
    def work(i):
        if i % 2:
            with pytest.raises(ZeroDivisionError):
                mg.grad(lambda x: mg.grad(lambda y: 1 / 0)(x))(1.0)
            return float(mg.Value(2.0))  # refused while a transform is in progress
        return mg.grad(mg.grad(lambda x: x**3))(2.0)

    for i, found in enumerate(at_once(work, times=50)):
        assert set(found) == {2.0 if i % 2 else 12.0}


def test_a_closure_of_vjp_may_be_pulled_by_another_thread():
    _, pull = mg.vjp(lambda x: mg.exp(x) * x, np.array([0.5, 1.0]))
    expected = pull(np.ones(2))[0].tobytes()
    found = at_once(lambda i: pull(np.ones(2))[0].tobytes(), times=20)
    assert {x for thread in found for x in thread} == {expected}


def test_threads_leave_nothing_behind():
    def work(i):
        with mg.no_grad():
            mg.exp(mg.Tensor(np.ones(3)))
        nested(i)

    at_once(work)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(x, mg.Tensor) for x in gc.get_objects())
        at_once(work)
        assert sum(isinstance(x, mg.Tensor) for x in gc.get_objects()) == before
    finally:
        gc.enable()


# Tasks of one thread


async def _turns(n=3):
    for _ in range(n):
        await asyncio.sleep(0)


def _records():
    return (mg.Value(1.0) * 2.0).requires_grad


def test_a_decorated_coroutine_is_paused_only_while_it_runs():
    @mg.no_grad()
    async def paused(n):
        found = []
        for _ in range(n):
            await asyncio.sleep(0)
            found.append(_records())
        return found

    async def recorded(n):
        found = []
        for _ in range(n):
            await asyncio.sleep(0)
            found.append(_records())
        return found

    async def both():
        return await asyncio.gather(paused(5), recorded(4), paused(3), recorded(6))

    assert asyncio.run(both()) == [[False] * 5, [True] * 4, [False] * 3, [True] * 6]
    assert _records()


def test_a_decorated_coroutine_passes_exceptions_in_and_out():
    @mg.no_grad()
    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return _records()

    @mg.no_grad()
    async def failing():
        await _turns()
        raise KeyError("x")

    async def cancelled():
        task = asyncio.ensure_future(stubborn())
        await _turns()
        task.cancel()
        return await task

    assert asyncio.run(cancelled()) is False
    with pytest.raises(KeyError):
        asyncio.run(failing())
    assert _records()


def test_a_decorated_generator_sees_what_is_thrown_and_its_own_end():
    log = []

    @mg.no_grad()
    def values():
        try:
            yield 1
        except KeyError:
            log.append(("thrown", _records()))
        try:
            yield 2
        finally:
            log.append(("closed", _records()))

    running = values()
    assert next(running) == 1
    assert running.throw(KeyError("x")) == 2
    running.close()
    assert log == [("thrown", False), ("closed", False)]
    assert _records()


def test_an_asynchronous_generator_cannot_be_decorated():
    with pytest.raises(UsageError, match=r"asynchronous generator ticks; write `with mg\.no_grad"):

        @mg.no_grad()
        async def ticks():
            yield 1


def test_with_no_grad_around_an_await_holds_for_the_whole_thread():
    """As in torch: documented, and ended properly even when tasks leave in another order."""

    async def paused(n):
        with mg.no_grad():
            await _turns(n)

    async def both():
        await asyncio.gather(paused(5), paused(2), paused(3))
        return _records()

    assert asyncio.run(both())
    x = mg.Value(3.0)
    with mg.no_grad(), pytest.raises(GraphError):
        (x * x).backward()


def test_a_derivative_inside_another_may_be_taken_in_another_thread():
    def inner(x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(mg.grad(lambda y: x * y * y), 3.0).result()

    assert mg.grad(lambda x: x * inner(x))(2.0) == 24.0
    assert mg.grad(mg.grad(lambda x: x * inner(x)))(2.0) == 12.0
    assert mg.jvp(lambda x: x * inner(x), (2.0,), (1.0,)) == (24.0, 24.0)


def test_unrelated_derivatives_in_many_threads_stay_plain():
    ready = threading.Barrier(THREADS)

    def work(k):
        def f(x):
            ready.wait()  # all are in progress at once
            return mg.sin(k * x)

        g = mg.grad(lambda x: mg.grad(lambda y: mg.sin(k * y))(x) + f(x))(0.5)
        return type(g), g

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, map(float, range(THREADS))))
    for k, (kind, g) in enumerate(found):
        assert kind is float
        assert g == pytest.approx(-k * k * np.sin(0.5 * k) + k * np.cos(0.5 * k))


def test_a_closure_of_vjp_pulled_inside_of_a_derivative_in_another_thread():
    def f(x):
        y, pull = mg.vjp(lambda t: t * t * x, 3.0)
        with ThreadPoolExecutor(1) as pool:
            return y + pool.submit(lambda: pull(1.0)[0]).result()

    assert mg.grad(f)(2.0) == 9.0 + 6.0
