"""The tracer and its stand-ins: memory that is written in place, NumPy's protocols, comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from fidelity import World, agree, jit

import microgradopt as mg
from microgradopt import Tensor, nn, optim
from microgradopt.compiler.tracing.comparison import part_at_guard, refuse_difference, same_course
from microgradopt.compiler.tracing.recording import record_call
from microgradopt.engine.rules import as_value
from microgradopt.errors import TraceError

MATRIX = np.random.default_rng(0).normal(size=(3, 4))
VECTOR = MATRIX[0].copy()
CALLS = [(MATRIX * (1.0 + 0.1 * i), VECTOR - i) for i in range(4)]


# What is made inside may be written in place, and everything that sees its memory sees it written


def entry(x, v):
    y = x * 1.0
    y[1, 2] = v[0]
    y[0] = 7.0
    return y


def mask(x, v):
    y = x + 0.0
    y[y > 0.5] = 0.5
    y[y < v.min()] *= 2.0
    return y


def operators(x, v):
    y = x * 1.0
    y += v
    y -= 1.0
    y *= x
    y /= 3.0
    y **= 2
    return y


def through_a_view(x, v):
    y = x * 1.0
    y[1:][0, 1:] = v[1:]
    return y


def through_a_transpose(x, v):
    y = x * 1.0
    y.T[0] = v[:3]
    return y


def through_a_reshape(x, v):
    y = x * 1.0
    y.reshape(-1)[:4] = v
    y.reshape(2, 6)[1] += 1.0
    return y


def through_three_views(x, v):
    y = x * 1.0
    y[1:].T[2:].T[0] = 5.0
    return y


def copies_stay(x, v):
    y = x * 1.0
    kept, also, third = y.copy(), +y, np.array(y)
    y[0] = v
    return y, kept, also, third


def the_same_twice(x, v):
    y = x * 1.0
    z = y
    z[0] = v
    return y, z


def out(x, v):
    y = x * 1.0
    np.multiply(y, v, out=y)
    return np.add(y, 1.0, out=y), y


def casts(x, v):
    y = x.astype(np.float32)
    y += v
    y[0] = v
    return y


def broadcasts(x, v):
    y = x * 1.0
    y[...] = v
    y[:, :2] = 1.0
    return y


def a_loop(x, v):
    y = x * 0.0
    for i in range(3):
        y[i] = x[i] * i + y[i - 1]
    return y


def numbers(x, v):
    s = v[0]
    s += 1.0
    t = v.sum()
    t *= 2.0
    return s, t, v[0]


WRITES = (
    entry, mask, operators, through_a_view, through_a_transpose, through_a_reshape,
    through_three_views, copies_stay, the_same_twice, out, casts, broadcasts, a_loop, numbers,
)  # fmt: skip


@pytest.mark.parametrize("f", WRITES, ids=lambda f: f.__name__)
def test_writes_in_place(f):
    agree(lambda: World(f, CALLS), replays=f is not mask)  # which selects another number in each


def a_view_read_later(x, v):
    y = x * 1.0
    view = y[1:]
    y[1] = v
    return view


def a_view_of_a_view_read_later(x, v):
    y = x * 1.0
    view = y[1:][0]
    y[1] = v
    return view


def a_sibling_read_later(x, v):
    y = x * 1.0
    one, other = y[1:], y[:2]
    one[0] = v
    return other


def a_diagonal_written(x, v):
    y = x[:3, :3] * 1.0
    y.swapaxes(0, 1)[0] = v[:3]
    return y


def the_arguments_view(x, v):
    x.T[0] = 1.0
    return x


def the_arguments_row(x, v):
    row = x[0]
    row += 1.0
    return x


def with_at(x, v):
    y = x * 1.0
    np.add.at(y, [0, 0], v)
    return y


def with_a_method(x, v):
    y = x * 1.0
    y.sum(0, out=y[0])
    return y


def with_a_function(x, v):
    y = x * 1.0
    np.fill_diagonal(y, 0.0)
    return y


REFUSED_WRITES = (
    a_view_read_later, a_view_of_a_view_read_later, a_sibling_read_later, a_diagonal_written,
    the_arguments_view, the_arguments_row, with_at, with_a_method, with_a_function,
)  # fmt: skip


@pytest.mark.parametrize("f", REFUSED_WRITES, ids=lambda f: f.__name__)
def test_writes_that_are_refused(f):
    given = [x.copy() for x in CALLS[0]]
    with pytest.raises(TraceError, match=r"mg\.jit: the function (reads|writes)"):
        jit(f)(*given)
    for a, b in zip(given, CALLS[0]):
        np.testing.assert_array_equal(a, b)


def test_a_cast_that_numpy_refuses_is_refused_as_numpy_does():
    def f(x):
        y = x.astype(np.int64)
        y += 0.5
        return y

    with pytest.raises(TypeError, match="Cannot cast"):
        jit(f)(VECTOR)


# NumPy and Python


FUNCTIONS = {
    "reshape": lambda x, v: (np.reshape(x, (4, 3)), np.reshape(x, -1, order="F"), x.reshape(2, -1)),
    "transpose": lambda x, v: (np.transpose(x), x.transpose(1, 0), np.transpose(x, (1, 0)), x.T),
    "astype": lambda x, v: (x.astype(float), x.astype("f4"), x.astype(float, copy=False), x > 0),
    "orders": lambda x, v: (np.array(x, order="F"), x.copy("F"), x.astype("f4", order="F"),
                            x.T.copy()),
    "asarray": lambda x, v: (np.asarray(x), np.asarray(v[0]), np.asarray([v[0], 1.0]),
                             np.asarray(x, "f4")),
    "array": lambda x, v: (np.array([v[0], v[1]]), np.array(x, ndmin=3), np.array(v, dtype="f4")),
    "joined": lambda x, v: (np.concatenate([x, x]), np.stack([v, v], 1), np.vstack([v, x])),
    "sums": lambda x, v: (np.add.reduce(x), np.sum(x, axis=1, keepdims=True), np.add.accumulate(v)),
    "linear algebra": lambda x, v: (x @ v, v @ v, np.dot(x, v), np.linalg.norm(x), np.outer(v, v),
                                    np.einsum("ij,j->i", x, v)),
    "choices": lambda x, v: (np.where(x > 0.0, x, 0.0), np.maximum(x, v), np.clip(x, -0.5, 0.5),
                             np.sort(v), v.argsort(), np.argmax(x, 1)),
    "several results": lambda x, v: (np.modf(v), np.split(v, 2), divmod(v, 2.0), np.frexp(v)),
    "shapes": lambda x, v: (x * x.shape[0], v * len(v), np.zeros_like(x), np.ones(np.shape(v)),
                            x.ndim,
                            x.size, np.full_like(x, 2.0), v.dtype == np.float64),
    "strings and None": lambda x, v: (v[0] is None, v[0] != v[1], x is x),
    "iteration": lambda x, v: ([row.sum() for row in x], sum(v), max(v), list(v), [*reversed(v)]),
    "items": lambda x, v: (v[0].item(), x.item(1, 2), v[1:2].item(), x.max().item() + 1),
    "bits": lambda x, v: ((x > 0.0) & (x < 1.0), ~(x > 0.0), (x > 0.0) ^ True, -v, abs(v), +v),
    "divisions": lambda x, v: (v // 0.3, v % 0.3, 1.0 // v, 0.3 % v, 2.0 / v, 2.0**v, v**3, v**0.5),
    "tensordot": lambda x, v: (np.tensordot(x, v, 1), np.cumsum(x, 1), np.diff(v), np.roll(v, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_numpy_on_traced_arrays(name):
    def f(x, v):
        with np.errstate(all="ignore"):
            return FUNCTIONS[name](x, v)

    agree(lambda: World(f, CALLS), replays=name != "iteration")


REFUSED = {
    "flags": (lambda x, v: x.flags, "uses .flags"),
    "out of a constant": (lambda x, v: np.add(x, 1.0, out=np.zeros((3, 4))), "with out="),
    "a method with out": (lambda x, v: (x * 1.0).sum(0, out=np.zeros(4)), r"\.sum\(out=…\)"),
    "a sequence of one": (lambda x, v: np.split(v, 1), "a sequence of one array"),
    "an outside node as a condition": (lambda x, v: bool(OUTSIDE), "computed outside"),
}
OUTSIDE = mg.sum(Tensor(VECTOR))


@pytest.mark.parametrize("name", REFUSED)
def test_what_numpy_can_and_a_replay_cannot(name):
    f, why = REFUSED[name]
    with pytest.raises(TraceError, match=why):
        jit(f)(MATRIX, VECTOR)


def test_an_attribute_that_does_not_exist_is_missing_as_ever():
    def f(x):
        assert not hasattr(x, "nothing_like_this")
        return x.nothing_like_this

    with pytest.raises(AttributeError, match="has no attribute 'nothing_like_this'"):
        jit(f)(VECTOR)


def test_numpy_functions_of_arrays_and_nodes_give_nodes():
    def make():
        w = Tensor(VECTOR)

        def f(x, v):
            y = mg.sum(np.add(v, w) * np.stack([v, w])[1])
            w.grad = None
            y.backward()
            return y, divmod(2.0, v), mg.trim_zeros(np.array([0.0, 1.0])) * v[:1]

        return World(f, CALLS, w)

    agree(make)


def test_a_result_is_broadcast_into_what_it_is_written_to():
    def f(x, v):
        y = x * 1.0
        return np.add(v, 1.0, out=y)

    agree(lambda: World(f, CALLS))


def test_calls_that_return_something_else_by_chance():
    turn = iter(range(100))

    def f(x, v):
        return (x * 2.0, v) if next(turn) % 2 else (x * 2.0,)

    jitted = jit(f)
    jitted(*CALLS[0])
    jitted(*CALLS[1])
    with pytest.raises(TraceError, match=r"now this and now that"):
        jitted(*CALLS[2])


def test_a_stand_in_of_another_call_is_refused():
    kept = []

    def leaking(x):
        kept.append(x * 2.0)

    with pytest.raises(TraceError, match="kept outside"):
        jit(leaking)(VECTOR)
    with pytest.raises(TraceError, match="inside of another call"):
        jit(lambda x: x + kept[0])(VECTOR)


def test_a_gradient_that_is_no_array_is_refused():
    w = Tensor(VECTOR, name="w")
    w.grad = VECTOR.tolist()
    with pytest.raises(TraceError, match="finds a list as the gradient of the Tensor 'w'"):
        jit(lambda: mg.sum(w * w).backward())()


def test_zero_cotangents_of_numbers_reach_no_array():
    """Eager skips what nothing reached; zero times infinity must not become NaN in its place."""
    x = np.array([np.inf, 1.0])

    def f(k, w):
        leaf = Tensor(w)
        number = as_value(mg.sum(leaf * x))
        (number * k).relu().backward()
        return leaf.grad

    calls = [(k, np.ones(2)) for k in (1.0, 1.0, -1.0, -1.0, -1.0, 1.0)]
    agree(lambda: World(f, calls))


# Comparing calls


def program_of(f, *args):
    return record_call(f, args, {})[0].program


def test_the_same_course_is_told_from_others():
    def f(x, n=2.0):
        return mg.exp(x) * n if x[0] > -100.0 else x

    first = program_of(f, VECTOR)
    assert same_course(first, program_of(f, VECTOR + 1.0))
    assert same_course(first, program_of(f, VECTOR, 3.0)) is False  # an entry more
    assert not same_course(first, program_of(lambda x: mg.exp(x), VECTOR))
    assert not same_course(first, program_of(f, VECTOR[:2]))
    assert not same_course(first, program_of(f, VECTOR.astype(np.float32)))
    assert not same_course(first, program_of(lambda x: mg.sin(x) * 2.0, VECTOR))
    other = program_of(f, VECTOR - 1000.0)
    assert not same_course(first, other)
    pairs = dict(zip(first.entries, other.entries))
    assert part_at_guard(first, other, pairs)
    assert not part_at_guard(first, program_of(lambda x: mg.sin(x), VECTOR), {})


def test_constants_that_differ_are_named():
    first = program_of(lambda x: x * np.arange(4.0), VECTOR)
    second = program_of(lambda x: x * np.ones(4), VECTOR)
    assert same_course(first, second)
    refuse_difference(first, first)
    with pytest.raises(TraceError, match=r"an array of shape \(4,\) used by 'multiply'"):
        refuse_difference(first, second)
    nan = program_of(lambda x: x * float("nan"), VECTOR)
    refuse_difference(nan, program_of(lambda x: x * float("nan"), VECTOR))
    with pytest.raises(TraceError, match=r"nan used by 'multiply' is 2\.0 in the next call"):
        refuse_difference(nan, program_of(lambda x: x * 2.0, VECTOR))


def test_keys_and_slices_are_constants_and_may_be_traced():
    def f(x, i):
        return x[i:, 1], x[:, i], x[i, ..., None], x[1:3][::-1]

    agree(lambda: World(f, [(MATRIX, i) for i in (1, 1, 1, 1)]))
    for cut in (
        lambda x, i: x[i[0] :] * 2.0,
        lambda x, i: x[:, : i[1]],
        lambda x, i: x[i[1], i[0]],
    ):
        places = [np.array(i) for i in ((1, 2), (1, 2), (1, 2), (2, 1), (0, 3), (2, 1), (2, 1))]
        agree(lambda f=cut, p=places: World(f, [(MATRIX, i) for i in p]))
    with pytest.raises(TraceError, match="index or a count of Python's"):
        jit(lambda i: list(range(i[0])))(np.array([1]))


def test_two_layers_with_generators_of_their_own():
    def make():
        one, other = nn.Dropout(0.5, rng=1), nn.Dropout(0.5, rng=2)
        return World(lambda x, v: other(one(x)) + one(v), CALLS, [one.rng, other.rng])

    agree(make)


def test_an_optimizers_state_with_plain_numbers_and_arrays():
    def make():
        w = Tensor(VECTOR)
        opt = optim.AdamWScheduleFree([w], lr=0.1, warmup_steps=3)
        opt.train()

        def step():
            opt.zero_grad()
            mg.sum(w * w).backward()
            opt.step()

        def between(number):
            if number in (8, 10):
                opt.eval()
                opt.train()

        return World(step, [()] * 12, [w, opt], between)

    agree(make, replays=False)
