"""``mg.jit`` as a user meets it: forms of the call, what is kept, what is handed out."""

import copy
import pickle
import threading

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.errors import TraceError, UsageError

X = np.array([[0.5, -1.0], [2.0, 0.25], [-0.5, 1.5]])
LABELS = np.array([0, 2, 1])


def squares(x):
    return mg.sum(x * x)


def counted(function):
    """A function, and a list that grows by one with each run of its Python code."""
    runs = []

    def wrapped(*args, **options):
        runs.append(None)
        return function(*args, **options)

    return wrapped, runs


def training(backend=None, **options):
    net = nn.MLP(2, [5, 3], rng=0)
    optimizer = optim.Adam(net.parameters(), lr=0.1, **options)

    def step(X, labels):
        optimizer.zero_grad()
        loss = nn.cross_entropy(net(X), labels)
        loss.backward()
        optimizer.step()
        return loss.data

    return net, optimizer, mg.jit(step, backend=backend)


def test_the_first_two_calls_run_the_function_and_later_ones_do_not():
    f, runs = counted(squares)
    jitted = mg.jit(f)
    assert [jitted(X) for _ in range(5)] == [squares(X)] * 5
    assert len(runs) == 2


def test_other_shapes_dtypes_layouts_and_fixed_arguments_are_other_recordings():
    f, runs = counted(lambda x, n: mg.sum(x * n))
    jitted = mg.jit(f)
    for x, n in ((X, 2), (X[:2], 2), (X.astype(np.float32), 2), (X.T.copy().T, 2), (X, 3)):
        before = len(runs)
        for _ in range(4):
            assert jitted(x, n) == mg.sum(x * n)
        assert len(runs) == before + 2
    assert jitted(X, 2) == mg.sum(X * 2)
    assert len(runs) == 10


def test_decorator_with_and_without_options_and_methods():
    class Model:
        def __init__(self, scale):
            self.scale = scale

        @mg.jit
        def plain(self, x):
            """Doc."""
            return mg.sum(x) * self.scale

        @mg.jit(backend="numpy")
        def given(self, x, *, shift=0.0):
            return mg.sum(x) * self.scale + shift

    one, two = Model(1.0), Model(2.0)
    for _ in range(4):
        assert one.plain(X) == X.sum()
        assert two.plain(X) == 2.0 * X.sum()
        assert two.given(X, shift=1.0) == 2.0 * X.sum() + 1.0
    assert Model.plain.__doc__ == "Doc."
    assert repr(Model.plain) == "<jitted plain>"


def test_what_a_call_returned_is_not_written_by_later_calls():
    jitted = mg.jit(lambda x: (x * 2.0, {"sum": mg.sum(x, axis=0)}))
    inputs = [X + i for i in range(8)]
    results = [jitted(x) for x in inputs]
    for x, (doubled, more) in zip(inputs, results):
        np.testing.assert_array_equal(doubled, x * 2.0)
        np.testing.assert_array_equal(more["sum"], x.sum(axis=0))


def test_arrays_of_parameters_that_somebody_holds_are_not_written():
    net, _, step = training()
    weight = net.parameters()[0]
    held = []
    for _ in range(6):
        step(X, LABELS)
        view = weight.data[:1]
        held.append((weight.data, weight.data.copy(), view, view.copy(), weight.grad.copy()))
    for data, copied, view, view_copied, _ in held:
        np.testing.assert_array_equal(data, copied)
        np.testing.assert_array_equal(view, view_copied)
    assert len({id(data) for data, *_ in held}) == 6


def test_gradients_and_state_stay_apart():
    net, optimizer, step = training()
    for _ in range(4):
        step(X, LABELS)
    arrays = [p.data for p in net.parameters()] + [p.grad for p in net.parameters()]
    for state in optimizer.state[0].values():
        arrays += [x for s in state.values() for x in s.values() if isinstance(x, np.ndarray)]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])


def test_pickle_and_deepcopy_start_anew():
    jitted = mg.jit(squares, backend="numpy")
    jitted(X)
    for other in (pickle.loads(pickle.dumps(jitted)), copy.deepcopy(jitted)):
        assert other.backend == "numpy"
        assert [other(X) for _ in range(3)] == [squares(X)] * 3


def test_jitted_functions_nest_and_are_differentiated():
    inner = mg.jit(lambda x: mg.tanh(x) * x)
    outer = mg.jit(lambda x: mg.sum(inner(x)) * 2.0)

    def plain(x):
        return mg.sum(mg.tanh(x) * x) * 2.0

    for _ in range(4):
        assert outer(X) == plain(X)
        np.testing.assert_array_equal(mg.grad(outer)(X), mg.grad(plain)(X))
        np.testing.assert_array_equal(mg.jit(mg.grad(outer))(X), mg.grad(plain)(X))
    x = mg.Tensor(X)
    outer(x).backward()
    np.testing.assert_array_equal(x.grad, mg.grad(plain)(X))


def test_a_result_is_a_constant():
    w = mg.Tensor([1.0, 2.0])
    jitted = mg.jit(lambda: mg.sum(w * w))
    for _ in range(4):
        y = jitted()
        assert isinstance(y, mg.Tensor)
        assert y.data == 5.0
        assert not y.requires_grad


def test_a_function_that_never_settles_is_given_up():
    jitted = mg.jit(lambda x, n: x * n)
    for n in range(64):
        jitted(X, n)
    with pytest.raises(TraceError, match=r"64 times in a row.*arguments that are not floats"):
        jitted(X, 64)
    assert jitted(2.0, 3) == 6.0

    def always_elsewhere(x, y):
        while x > y:
            y = y + 1.0
        return y

    jitted = mg.jit(always_elsewhere)
    for i in range(64):
        assert jitted(float(i), 0.0) == float(i)
    with pytest.raises(TraceError, match="comparisons of traced numbers"):
        jitted(64.0, 0.0)


def test_recordings_that_were_not_used_for_long_are_forgotten():
    f, runs = counted(squares)
    jitted = mg.jit(f)
    for n in range(1, 100):
        for _ in range(3):
            jitted(np.ones(n))
    assert len(runs) == 2 * 99
    jitted(np.ones(99))
    assert len(runs) == 2 * 99
    jitted(np.ones(1))
    assert len(runs) == 2 * 99 + 1


def test_bad_use_is_refused():
    with pytest.raises(UsageError, match="backend must be one of numpy, llvm, got 'cuda'"):
        mg.jit(squares, backend="cuda")
    with pytest.raises(UsageError, match="jit takes a function, got float"):
        mg.jit(2.0)
    with pytest.raises(UsageError, match="no program before it is called"):
        mg.jit(squares).source()


def test_source_is_there_after_one_call():
    jitted = mg.jit(squares, backend="numpy")
    jitted(X)
    assert "np.multiply(x, x" in jitted.source()


def test_threads_share_a_jitted_function():
    jitted = mg.jit(lambda x: mg.grad(squares)(x))
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            x = rng.normal(size=(3, 4))
            if not np.array_equal(jitted(x), 2.0 * x):
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
