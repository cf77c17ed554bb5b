"""A replay and its state: overwritten arrays, interrupts, what is not what it was; reports."""

import signal
import sys
import threading

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.atomic import uninterrupted
from microgradopt.compiler import backends
from microgradopt.compiler.program import GuardError, Var
from microgradopt.compiler.tracing.cells import LeafData
from microgradopt.compiler.tracing.scalars import Block
from microgradopt.compiler.tracing.templates import Place, filler, picker
from microgradopt.errors import MissingExtraError, UsageError

LARGE = 40_000
G = np.linspace(-1.0, 1.0, LARGE)


def adam(backend=None, lr=0.1):
    p = mg.Tensor(np.ones(LARGE), name="p")
    optimizer = optim.Adam([p], lr=lr)

    def step(g):
        p.grad = g * 1.0
        optimizer.step()
        return mg.sum(p.data)

    return p, optimizer, mg.jit(step, backend=backend), step


def test_large_state_is_overwritten_where_nobody_else_has_it():
    p, _, jitted, _ = adam("llvm")
    q, _, _, eager = adam()
    for i in range(8):
        jitted(G + i)
        eager(G + i)
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)
    same = p.data
    jitted(G)
    assert p.data is not same  # this test has the array
    np.testing.assert_allclose(same, q.data, rtol=1e-12)
    eager(G)
    del same
    jitted(G)
    before = p.data.ctypes.data
    jitted(G)
    assert p.data.ctypes.data == before
    eager(G)
    eager(G)
    np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_ctrl_c_waits_until_what_it_interrupts_is_whole():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            assert not pressed
        assert pressed == [1]
        with uninterrupted():
            pass
        assert pressed == [1]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    done = []

    def elsewhere():
        with uninterrupted():
            done.append(1)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done


@pytest.fixture
def untraced():
    """Without coverage's tracer: interrupted while it holds its lock, it would wait for ever."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_a_step_interrupted_anywhere_is_whole_or_not_made(backend, request):
    p, optimizer, jitted, _ = adam(backend)
    for _ in range(5):
        jitted(G)
    old = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    request.addfinalizer(lambda: signal.signal(signal.SIGALRM, old))
    for delay in np.linspace(1e-5, 1e-3, 60):
        steps = optimizer.steps
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            jitted(G)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        except KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        assert optimizer.steps - steps in (0, 1)
        assert optimizer.state[0]["p"]["scale_by_adam"]["step"] == optimizer.steps
    q, other, _, eager = adam()
    while other.steps < optimizer.steps:
        eager(G)
    np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_a_rate_that_is_no_rate_gets_the_error_it_always_gets():
    p, optimizer, jitted, eager = adam("numpy")
    for _ in range(4):
        jitted(G)
    kept = p.data.copy()
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(UsageError, match=r"lr must be finite, at least 0; got -1\.0") as expected:
        eager(G)
    with pytest.raises(UsageError) as found:
        jitted(G)
    assert str(found.value) == str(expected.value)
    np.testing.assert_array_equal(p.data, kept)
    optimizer.param_groups[0]["lr"] = 0.5
    jitted(G)
    assert not np.array_equal(p.data, kept)


def test_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert mg.jit(np.sum).backend == "numpy"
    with pytest.raises(MissingExtraError, match=r'pip install "microgradopt\[jit\]"'):
        mg.jit(np.sum, backend="llvm")
    with pytest.raises(MissingExtraError):
        mg.jit(backend="numba")


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_reports(backend):
    net = nn.MLP(2, [5, 3], rng=0)

    @mg.jit(backend=backend)
    def step(X, y, scale, more):
        net.zero_grad()
        loss = nn.cross_entropy(net(X), y) * scale + more
        loss.backward()
        return loss

    step(np.ones((4, 2)), np.array([0, 1, 2, 0]), 2.0, np.float64(1.0))
    report = step.report()
    assert report.passes[0][0] == "traced"
    assert report.seconds > 0.0
    assert report.flops > 4 * 2 * (2 * 5 + 5 * 3)
    assert "instructions" in str(report)


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_the_report_and_the_source_of_a_tape(backend):
    @mg.jit(backend=backend)
    def f(x):
        for _ in range(600):
            x = mg.sin(x) + 1.0
        return x

    assert [f(0.5) for _ in range(3)] == [f.function(0.5)] * 3
    report = f.report()
    assert "1,200 scalar operations" in str(report)
    assert report.nbytes > 0
    assert "sin" in f.source()


def test_a_block_of_scalars_computes_what_it_stands_for():
    @mg.jit(backend="numpy")
    def f(x):
        y = x
        for _ in range(300):
            y = mg.sin(y) + 1.0
        return y, y > 1.0

    f(0.5)
    recording = f._last
    (block,) = [i for i in recording.program.instructions if isinstance(i.op, Block)]
    assert block.op.compute([0.5], {}) == f.function(0.5)[0]
    assert recording.program.interpret([0.5]) == [*f.function(0.5)]


def test_places_and_pickers():
    tree = {"a": [Place(0), None], "b": (Place(1), {"c": Place(0)})}
    assert filler(tree)([1.0, 2.0]) == {"a": [1.0, None], "b": (2.0, {"c": 1.0})}
    pick = picker({"a": [1.0, None], "b": (2.0,)}, lambda x: isinstance(x, float))
    assert pick({"a": [3.0, None], "b": (4.0,)}) == [3.0, 4.0]
    with pytest.raises(LookupError):
        pick({"a": []})


def test_cells_and_variables():
    leaf = mg.Value(1.0)
    cell = LeafData(leaf)
    cell.write(2.0)
    assert cell.read() == leaf.data == 2.0
    assert Var(float).nbytes == 0
    assert repr(Var.like(np.zeros((2, 3)), "W")) == "<W: float64[2, 3]>"
    assert repr(Var(float)) == "<var: float>"
    assert issubclass(GuardError, Exception)
