"""Machine code next to eager: cases of every registry, layouts, and results that change shape."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import fidelity
import numpy as np
import pytest
from fidelity import World, agree
from function_cases import CASES
from layer_cases import as_nodes, weighted
from programs import Builder, same
from test_jit_fidelity_branches import SELECTIONS
from test_jit_fidelity_layers import ARRAYS, world as of_layer
from test_jit_fidelity_optimizers import KINDS, world as of_optimizer
from test_jit_fidelity_rows import ROWS, backward, check
from test_jit_fidelity_state import network, training
from test_jit_trace import CALLS, FUNCTIONS, WRITES

import microgradopt as mg
from microgradopt import optim
from microgradopt.check.rules import samples
from microgradopt.compiler.native.runner import compile_native
from microgradopt.compiler.program import Guard, GuardError, Host
from microgradopt.engine.rules import Elementwise, data_of
from microgradopt.errors import TraceError

WIDE, NARROW = 1e-11, 2e-4  # of the largest entry: sums are added up in another order
native = partial(mg.jit, backend="llvm")


def near(a, b, tolerance):
    """Whether two results are the same but for rounding; NaN and infinities are where they were."""
    if same(a, b) or type(a) is not type(b):
        return same(a, b)
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype.kind != "f" or x.dtype != y.dtype or x.shape != y.shape:
        return False
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)):
        return False
    scale = max(1.0, float(np.max(np.abs(x[finite]), initial=0.0)))
    close = np.abs(x[finite] - y[finite]) <= tolerance * scale
    return bool(close.all()) and np.array_equal(x[~finite], y[~finite], equal_nan=True)


def within(monkeypatch, tolerance):
    monkeypatch.setattr(fidelity, "same", partial(near, tolerance=tolerance))


@pytest.fixture(autouse=True)
def _native(monkeypatch):
    monkeypatch.setattr(fidelity, "jit", native)
    within(monkeypatch, WIDE)


def test_what_is_near():
    x = np.array([1.0, np.inf, np.nan])
    assert near(x, x + 1e-14, WIDE)
    assert not near(x, x + 1e-9, WIDE)
    for other in (x[:2], x[::-1], x.astype("f4"), x * [1.0, -1.0, 1.0], x.tolist()):
        assert not near(x, other, WIDE)
    assert not near(np.array([1]), np.array([2]), WIDE)


# Registries


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row(row):
    rng = np.random.default_rng(sum(map(ord, row.name)))
    args, params = next(iter(samples(row, rng)))
    check(lambda *xs: row(*xs, **params), args, ["backward"])


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, -1e-300, 5e-324, 1.0, -2.5, 700.0])
UNARY = [
    row
    for row in ROWS
    if isinstance(row, Elementwise)
    and len(next(iter(samples(row, np.random.default_rng(0))))[0]) == 1
]


@pytest.mark.parametrize("row", UNARY[::2], ids=lambda row: row.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_special_values(row):
    calls = [(np.roll(SPECIAL, n),) for n in range(fidelity.CALLS)]
    agree(lambda: World(backward(row, (0,)), calls))


@pytest.mark.parametrize("case", CASES[3::24], ids=str)
def test_functions(case):
    check(case.f, case.args, ["backward"])


@pytest.mark.parametrize("case", CASES[::80], ids=str)
def test_functions_of_float32(case, monkeypatch):
    within(monkeypatch, NARROW)
    check(case.f, case.args, ["backward"], np.float32)


def test_what_sets_entries_on_a_diagonal():
    case = next(c for c in CASES if str(c).startswith("einsum-ii,i->i"))
    check(case.f, case.args, ["backward", "second"])


def step(layer, optimizer, inputs):
    """A step of gradient descent, which unlike AdamW does not magnify what is zero by rounding."""
    y = weighted(layer(*as_nodes(inputs)))
    if y.requires_grad:
        y.backward()
    used = [p for p in layer.parameters() if p.grad is not None]
    gradients = [p.grad for p in used]
    for p in used:
        p.data = p.data - 0.01 * p.grad
        p.grad = None
    return y, gradients


@pytest.mark.parametrize("case", ARRAYS[::8], ids=str)
def test_layers(case):
    agree(lambda: of_layer(case, np.float64, True, step))


@pytest.mark.parametrize("kind", KINDS[::6], ids=lambda kind: kind.__name__)
def test_optimizers(kind):
    agree(lambda: of_optimizer(kind, kind.samples[0]))


@pytest.mark.parametrize("kind", KINDS[2::12], ids=lambda kind: kind.__name__)
def test_optimizers_of_float32(kind, monkeypatch):
    within(monkeypatch, NARROW)
    agree(lambda: of_optimizer(kind, kind.samples[0], dtype=np.float32))


def test_a_network_with_buffers_and_dropout():
    labels = np.array([0, 1, 1, 0])

    def make():
        model = network()
        opt = optim.SGD(model.named_parameters(), lr=0.05, momentum=0.9)
        calls = [(x, labels) for x in np.random.default_rng(1).normal(size=(8, 4, 3))]
        return World(training(model, opt), calls, [model, opt, model.layers[3].rng])

    agree(make)


@pytest.mark.parametrize("f", WRITES, ids=lambda f: f.__name__)
def test_writes_in_place(f):
    agree(lambda: World(f, CALLS), replays=f.__name__ != "mask")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numpy_on_traced_arrays(name):
    agree(lambda: World(FUNCTIONS[name], CALLS), replays=name != "iteration")


def test_threads_get_the_bits_that_one_gets():
    x = np.random.default_rng(0).normal(size=500)
    jitted = native(lambda x, k: mg.value_and_grad(lambda y: mg.sum(mg.tanh(y * k) * y))(x))
    factors = np.linspace(0.1, 2.0, 20)
    for k in factors[:3]:
        jitted(x, k)
    expected = {k: jitted(x, k) for k in factors}
    with ThreadPoolExecutor(6) as pool:
        for k, found in pool.map(lambda k: (k, jitted(x, k)), [*factors] * 20):
            assert not fidelity.difference(fidelity.seen(expected[k]), fidelity.seen(found))
            np.testing.assert_array_equal(data_of(found[0]), data_of(expected[k][0]))


# Layouts


def turned(x):
    return x[:, ::-1].transpose(2, 0, 1) * 1.0


LAYOUTS = {
    "reshape F": lambda x: np.reshape(x, -1, order="F"),
    "reshape F to more": lambda x: np.reshape(x, (4, 2, 3), order="F"),
    "reshape A": lambda x: (x * 2.0).reshape(-1, order="A"),
    "reshape A of F": lambda x: np.reshape(np.exp(x.T), (6, 4), order="A"),
    "ravel by keyword": lambda x: np.ravel(a=x.T),
    "reshape to a copy": lambda x: np.ravel(x.T, "C") + np.ravel(x.T, order="F"),
    "ravel K": lambda x: np.ravel(np.exp(x.T), order="K"),
    "ravel k of a view": lambda x: x[::-1].swapaxes(0, 2).ravel("k"),
    "ravel K by keyword": lambda x: np.ravel(a=turned(x), order="K"),
    "ravel A of F": lambda x: (x.T * 1.0).ravel("A"),
    "ravel K of one that stands still": lambda x: np.broadcast_to(x[0, 0], (2, 4)).ravel("K"),
    "flatten": lambda x: (turned(x).flatten(), turned(x).flatten("F"), turned(x).flatten("K")),
    "swapaxes": lambda x: np.swapaxes(x, 0, 2).reshape(4, 6) + x.swapaxes(1, 2).reshape(4, 6),
    "transposes": lambda x: (np.transpose(x, (1, 2, 0)).ravel(), x.transpose(2, 0, 1).ravel()),
    "diagonal": lambda x: (np.diagonal(x, 1, 1, 2), x.diagonal(-1, 0, 2).ravel(), np.exp(x)[0].T),
    "squeeze": lambda x: np.squeeze(x.transpose(1, 2, 0)[:1, :, :]).ravel("F"),
    "axes": lambda x: (np.moveaxis(x, 0, -1).ravel(), np.expand_dims(x, (0, 2)).ravel("F")),
    "flips": lambda x: (np.flip(x, 1).ravel(), np.rot90(x[0]).ravel("F"), x[::-1, ::2].ravel()),
    "empty": lambda x: (np.ravel(x[:0], order="F"), x[:0].ravel("K")),
    "an ellipsis and arrays": lambda x: x[..., np.array([2, 0])] * x[..., [0, 1], :].sum(),
    "arrays apart": lambda x: x[np.array([0, 1]), :, np.array([2, 3])],
    "a truth as an index": lambda x: x[True].ravel(),
    "a new axis and arrays": lambda x: x[None, np.array([1, 0])].ravel(),
    "all by keyword": lambda x: np.sum(a=x, axis=0) + np.mean(a=x),
    "a start by position": lambda x: np.add.reduce(x, 0, None, None, False, 5.0),
    "an axis of NumPy's": lambda x: np.sum(x, axis=np.int64(1)),
    "a sum of some": lambda x: np.sum(x, where=x > 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("order", "CF")
def test_layouts(name, order):
    x = np.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), order=order)
    agree(lambda: World(LAYOUTS[name], [(x * (1.0 + i),) for i in range(fidelity.CALLS)]))


# Shapes


@pytest.mark.parametrize("name", SELECTIONS)
def test_shapes_that_depend_on_data_are_right_or_refused(name):
    f = SELECTIONS[name]
    jitted = native(f)
    draws = np.random.default_rng(4).normal(size=(8, 5))
    calls = [*draws[:2], draws[1] * 2.0, *np.repeat(draws, 3, axis=0), np.zeros(5), -np.ones(5)]
    for x in calls:
        try:
            found = data_of(jitted(x))
        except TraceError as error:
            assert "mg.jit" in str(error)  # noqa: PT017
            return
        assert near(data_of(f(x)), found, WIDE)


@pytest.mark.parametrize(
    "wrong", [np.zeros(3), np.zeros((4, 1)), np.zeros(4, "f4"), np.zeros(4, ">f8"), 1.0, None]
)
def test_what_python_gives_is_what_kernels_were_made_for(wrong):
    given = [np.ones(4)]
    b = Builder()
    x = b(Host("given", lambda: given[-1]))
    runner = compile_native(b.program(b("add", x, 1.0)), {})
    np.testing.assert_array_equal(runner([], [None])[0], np.full(4, 2.0))
    given.append(wrong)
    with pytest.raises(GuardError):
        runner([], [None])


@pytest.mark.parametrize(
    ("number", "wrong"),
    [(0, w) for w in (np.zeros(3), np.zeros((4, 1)), np.zeros(4, "f4"), 1.0, None)]
    + [(1, w) for w in (1, True, np.float64(1.0), np.ones(()), None)],
    ids=str,
)  # fmt: skip
def test_entries_are_what_kernels_were_made_for(number, wrong):
    b = Builder(np.ones(4), 2.0, 3, np.float32(0.5))
    x, y, z, w = b.entries
    b(Guard(True), b("greater", y, 0.0))
    runner = compile_native(b.program(b("add", b("multiply", x, y), b("multiply", z, w))), {})
    np.testing.assert_array_equal(runner(b.values, [None])[0], np.full(4, 3.5))
    entries = copy.copy(b.values)
    entries[number] = wrong
    with pytest.raises(GuardError):
        runner(entries, [None])
