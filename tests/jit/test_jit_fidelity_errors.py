"""Exceptions, interruptions and threads: state is as eager's, whatever happens in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from fidelity import World, agree, difference, jit, seen

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.compiler import replay
from microgradopt.engine import modes
from microgradopt.engine.graph import Node
from microgradopt.errors import LinAlgError, NonFiniteError, ShapeError

VECTOR = np.array([0.5, -1.5, 2.0])


def untouched():
    """Whether everything that is exchanged while a thread is traced is back in its place."""
    return modes.tracer() is None and type(vars(Node)["_raw"]).__name__ == "member_descriptor"


def trained(fails):
    """A training step in the middle of which ``fails(w, x)`` is called."""

    def make():
        w = Tensor(VECTOR, name="w")
        layer = nn.Dropout(0.3, rng=3)
        opt = optim.Adam([w], lr=0.1)

        def step(x):
            opt.zero_grad()
            loss = mg.sum(layer(w * x) ** 2)
            loss.backward()
            opt.step()
            w.data = w.data * 0.9
            fails(w, x)
            loss = mg.sum(w * x)
            loss.backward()
            return loss

        return w, layer, opt, step

    return make


def world(fails, calls):
    def make():
        w, layer, opt, step = trained(fails)()
        return World(step, calls, [w, layer.rng, opt])

    return make


def test_an_error_of_the_users_in_the_first_call():
    def fails(w, x):
        if len(x) == 3:
            raise KeyError("mine")

    agree(world(fails, [(VECTOR,)] * 4), replays=False)
    assert untouched()


def test_an_error_behind_a_branch_on_traced_numbers():
    def fails(w, x):
        if x[0] > 5.0:
            raise ValueError("too large")

    calls = [(VECTOR,)] * 3 + [(VECTOR * 20.0,), (VECTOR,), (VECTOR * 20.0,), (VECTOR,)]
    agree(world(fails, calls))


def test_an_error_of_the_librarys_while_tracing():
    def fails(w, x):
        mg.sum(w) @ x

    with pytest.raises(ShapeError):
        trained(fails)()[3](VECTOR)
    agree(world(fails, [(VECTOR,)] * 3), replays=False)


def test_gradients_that_are_not_finite():
    def make():
        w, v = Tensor(VECTOR), Value(1.0)
        opt = optim.Adam([w, v], lr=0.1)

        def step(x):
            opt.zero_grad()
            (mg.sum(w * x) * v).backward()
            opt.step()

        bad = VECTOR * np.nan
        return World(
            step, [(x,) for x in (VECTOR, VECTOR, bad, VECTOR, bad, bad, VECTOR)], [w, opt]
        )

    agree(make)


def test_a_matrix_that_is_singular_in_a_replay():
    """A kernel that raises in the middle of a run: the call is made again as it is written."""

    def make():
        w = Tensor(np.eye(2), name="w")
        layer = nn.Dropout(0.3, rng=3)
        opt = optim.SGD([w], lr=0.01)

        def step(a):
            opt.zero_grad()
            mg.sum(layer(mg.tanh(w))).backward()
            opt.step()
            opt.zero_grad()
            loss = mg.sum(mg.linalg.inv(a) @ w)
            loss.backward()
            opt.step()
            return loss

        good, bad = np.array([[2.0, 1.0], [0.0, 1.0]]), np.ones((2, 2))
        calls = [(a,) for a in (good, good, good, bad, good, bad, good)]
        return World(step, calls, [w, layer.rng, opt])

    eager = make()
    with pytest.raises(LinAlgError):
        eager.function(np.ones((2, 2)))
    agree(make)


def test_an_index_out_of_range_in_a_replay():
    def make():
        w = Tensor(VECTOR)

        def f(i):
            w.data = w.data + 1.0
            return w[i] * 1.0

        return World(f, [(np.array([k, 0]),) for k in (0, 1, 2, 7, 1)], w)

    agree(make)


def test_a_schedule_that_raises_in_a_replay():
    def falling(step):
        if step == 4:
            raise RuntimeError("no such step")
        return 0.1 / step

    def make():
        w = Tensor(VECTOR)
        opt = optim.SGD([w], lr=falling)

        def step():
            opt.zero_grad()
            mg.sum(w * w).backward()
            opt.step()

        return World(step, [()] * 6, [w, opt])

    agree(make, replays=False)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_while_tracing(stop):
    def fails(w, x):
        if x[0] != 0.5:  # not traced: known only from outside
            raise stop

    w, layer, opt, step = trained(fails)()
    u, other, other_opt, eager = trained(fails)()
    jitted = jit(step)
    for f in (jitted, eager):
        with pytest.raises(stop):
            f(VECTOR * 3.0)
    assert untouched()
    assert not difference(seen([u, other.rng, other_opt]), seen([w, layer.rng, opt]))
    for _ in range(4):
        jitted(VECTOR)
        eager(VECTOR)
    assert not difference(seen([u, other.rng, other_opt]), seen([w, layer.rng, opt]))


def test_an_interruption_in_a_replay_changes_nothing(monkeypatch):
    w, layer, opt, step = trained(lambda w, x: None)()
    jitted = jit(step)
    for _ in range(3):
        jitted(VECTOR)
    (recordings,) = jitted._known.values()
    compiled = recordings[0].replay
    run = compiled.runner

    class Interrupted:
        def __call__(self, *given):
            run(*given)
            raise KeyboardInterrupt

    before = seen([w, layer.rng, opt])
    monkeypatch.setattr(compiled, "runner", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        jitted(VECTOR)
    assert not difference(before, seen([w, layer.rng, opt]))


def test_an_interruption_while_the_state_is_set_waits(monkeypatch):
    w, layer, opt, step = trained(lambda w, x: None)()
    jitted = jit(step)
    for _ in range(3):
        jitted(VECTOR)
    u, other, other_opt, eager = trained(lambda w, x: None)()
    for _ in range(4):
        eager(VECTOR)
    interrupted = []

    def made_whole(change):
        def in_the_middle():
            if not interrupted:
                interrupted.append(True)
                w.assign(w.data * 0.0)
                raise KeyboardInterrupt
            change()

        mg.atomic.made_whole(in_the_middle)

    monkeypatch.setattr(replay, "made_whole", made_whole)
    with pytest.raises(KeyboardInterrupt):
        jitted(VECTOR)
    assert not difference(seen([u, other.rng, other_opt]), seen([w, layer.rng, opt]))


# Threads


def test_one_function_in_many_threads():
    jitted = jit(lambda x, k: mg.value_and_grad(lambda y: mg.sum(mg.tanh(y * k) * y))(x))
    expected = {k: jitted.function(VECTOR, k) for k in np.linspace(0.1, 2.0, 20)}

    def work(k):
        return k, jitted(VECTOR, k)

    with ThreadPoolExecutor(6) as pool:
        for k, (y, slope) in pool.map(work, [*expected] * 10):
            assert y == expected[k][0]
            np.testing.assert_array_equal(slope, expected[k][1])


def test_steps_of_many_threads_are_each_made_whole():
    w = Tensor(VECTOR)
    opt = optim.SGD([w], lr=1.0)

    @jit
    def step(x):
        opt.zero_grad()
        mg.sum(w * x).backward()
        opt.step()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: step(np.ones(3)), range(200)))
    np.testing.assert_array_equal(w.data, VECTOR - 200.0)
    assert opt.steps == 200


def test_eager_work_while_another_thread_is_traced():
    """What is exchanged for a trace is exchanged in all threads: the others must not notice."""
    inside, go_on, found = threading.Event(), threading.Event(), []
    shared = Tensor(VECTOR, name="shared")

    def f(x):
        y = mg.sum(shared * x)
        inside.set()
        assert go_on.wait(20.0)
        return mg.tanh(y), shared

    jitted = jit(f)
    traced = threading.Thread(target=lambda: found.append(jitted(VECTOR)))
    own = Tensor(VECTOR)
    values = [Value(0.5), Value(-2.0)]

    def work():
        for x in (own, *values):
            x.zero_grad()
        loss = mg.sum(mg.tanh(own) ** 2) + values[0] * values[1].relu() + values[0].exp() ** 2
        loss.backward()
        opt = optim.Adam([own, *values], lr=0.1)
        opt.step()
        slope = mg.grad(lambda x: mg.sum(x * x * np.asarray([1.0, 2.0, 3.0])))(VECTOR)
        layer = nn.Dropout(0.5, rng=0)
        return seen([loss, slope, layer(VECTOR), nn.Linear(3, 2, rng=0)(VECTOR), mg.hessian(
            lambda x: mg.sum(mg.sin(x)))(VECTOR), np.array([1.0]), float(values[0])])  # fmt: skip

    starts = seen([own, *values])
    expected, state = work(), seen([own, *values])
    for x, (_, _, data, _) in zip((own, *values), starts[1]):
        x.data = data
    traced.start()
    assert inside.wait(20.0)
    try:
        assert not difference(expected, work())
        assert not difference(state, seen([own, *values]))
    finally:
        go_on.set()
        traced.join()
    assert found[0][0].data == mg.tanh(mg.sum(shared * VECTOR)).data
    assert untouched()


def test_two_threads_are_traced_at_once():
    barrier = threading.Barrier(2, timeout=300.0)

    def make(k):
        w = Tensor(VECTOR * k)
        opt = optim.SGD([w], lr=0.1)

        def step(x):
            opt.zero_grad()
            loss = mg.sum((w * x) ** 2)
            if waits:
                barrier.wait()
            loss.backward()
            opt.step()
            return loss

        return step, w

    def work(k):
        step, w = make(k)
        f = jit(step)
        losses = [f(VECTOR) for _ in range(2)]
        return seen([losses, w])

    waits = True
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, [1.0, 2.0]))
    waits = False
    for k, one in zip([1.0, 2.0], found):
        assert not difference(work(k), one)
    assert untouched()


def test_a_thread_started_inside_takes_part():
    def f(x):
        found = []
        thread = threading.Thread(target=lambda: found.append(x * 2.0))
        thread.start()
        thread.join()
        return found.pop()

    agree(lambda: World(f, [(VECTOR * i,) for i in range(4)]))


def test_inside_of_debug_calls_run_as_they_are_written():
    w = Tensor(VECTOR)
    jitted = jit(lambda x: mg.sum(mg.log(w * x)))
    for _ in range(3):
        jitted(1.0 / VECTOR)
    with mg.debug(), pytest.raises(NonFiniteError, match="'log' made"):
        jitted(0.0 * VECTOR)
    with pytest.raises(mg.errors.UsageError, match="write it around the calls"):
        jit(mg.debug()(lambda x: x))(VECTOR)
    assert untouched()


def test_calls_inside_of_calls():
    inner = jit(lambda x: mg.tanh(x) * 2.0)
    other = jit(lambda x: mg.exp(x))

    def f(x):
        return inner(x) + inner(inner(x)) * other(x)

    agree(lambda: World(f, [(VECTOR,)] * 4))
    outer = jit(f)
    for _ in range(4):
        np.testing.assert_array_equal(outer(VECTOR), f(VECTOR))
        np.testing.assert_array_equal(inner(VECTOR), np.tanh(VECTOR) * 2.0)


def test_a_function_that_calls_its_own_jitted_self():
    @jit
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    for _ in range(4):
        np.testing.assert_array_equal(power(VECTOR, 4), VECTOR * (VECTOR * (VECTOR * VECTOR)))


def test_no_grad_around_some_calls():
    def make():
        w = Tensor(VECTOR)

        def f(x):
            w.grad = None
            y = mg.sum(mg.tanh(w * x))
            if y.requires_grad:
                y.backward()
            return y

        return f, w

    f, u = make()
    g, w = make()
    jitted = jit(g)
    for i in range(12):
        with mg.no_grad() if i % 4 == 3 else nullcontext():
            assert not difference(seen(f(VECTOR)), seen(jitted(VECTOR)))
        assert not difference(seen(u), seen(w))


def test_nonfinite_error_is_raised_from_a_replayed_call():
    w = Tensor(VECTOR)
    opt = optim.SGD([w], lr=0.1)

    @jit
    def step(x):
        opt.zero_grad()
        mg.sum(w * x).backward()
        opt.step()

    for _ in range(3):
        step(VECTOR)
    with pytest.raises(NonFiniteError, match="finite"):
        step(VECTOR * np.inf)
    assert opt.steps == 3
