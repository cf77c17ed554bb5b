"""Rare ways through the tracer, each against the function as it is written."""

import math

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.compiler.program import Call, Guard, Instruction, Program, Var
from microgradopt.compiler.tracing.comparison import part_at_guard, same_course
from microgradopt.compiler.tracing.exchange import _is_traced
from microgradopt.compiler.tracing.trace import Entry, Tracer, of_entries
from microgradopt.errors import TraceError

X = np.array([[0.5, -1.0], [2.0, 0.25]])

counting = mg.elementwise(
    "counting_of_a_test",
    scalar=lambda x: int(x > 0.0),
    array=lambda x: (x > 0.0).astype(float),
    partials=(0.0,),
)
doubled = mg.elementwise(
    "doubled_of_a_test", scalar=lambda x: 2.0 * x, array=lambda x: 2.0 * x,
    partials=lambda out, x: (2.0,),
)  # fmt: skip


def agree(f, *inputs):
    """Results of replays are those of the function."""
    jitted = mg.jit(f, backend="numpy")
    for args in inputs * 3:
        expected, found = f(*args), jitted(*args)
        np.testing.assert_array_equal(found, expected)


def as_value(x):
    leaf = mg.Value(0.0)
    leaf.data = x
    return leaf


def test_a_scalar_kernel_that_gives_whole_numbers():
    agree(lambda x: counting(x) + x, (1.5,), (-1.5,))


def test_where_python_arithmetic_raises():
    agree(lambda x: [as_value(x).exp().data, (as_value(x) / 0.0).data], (1.0,), (1000.0,), (0.0,))


def test_values_that_are_constants_inside():
    agree(lambda x: (as_value(x) * mg.Value(3.0) + mg.Value(1.0).exp()).data, (2.0,), (3.0,))


def test_values_and_whole_numbers():
    agree(lambda x: (as_value(x) * 3 + 1 - 2).data, (2.0,), (3.0,))


def test_what_a_cycle_holds_has_not_escaped():
    def f(x):
        ring = [mg.sum(x)]
        ring.append(ring)
        return ring[0] * 2.0

    agree(f, (X,), (X + 1.0,))


def test_a_long_chain_of_a_rule_that_is_a_constant():
    def f(x):
        v = y = as_value(x)
        for _ in range(150):
            y = doubled(y) * 0.5 + v * v
        y.backward()
        return v.grad

    agree(f, (0.5,), (1.5,))


def test_a_leaf_that_is_set_before_it_is_read():
    w = mg.Tensor(X, name="w")

    @mg.jit
    def f(x):
        w.assign(x * 2.0)
        return mg.sum(w)

    for i in range(4):
        assert f(X + i).data == 2.0 * (X + i).sum()
        np.testing.assert_array_equal(w.data, 2.0 * (X + i))


def test_a_backward_pass_over_constants():
    def f(x):
        logits = mg.Tensor(X)
        nn.cross_entropy(logits, np.array([0, 1])).backward()
        return logits.grad * x

    agree(f, (2.0,), (3.0,))


def test_operands_in_lists():
    agree(lambda x, y: mg.stack([x, y * 2.0]), (X, X + 1.0), (X + 2.0, X))


def test_a_refusal_after_a_schedule_was_asked():
    w = mg.Tensor(X, name="w")
    optimizer = optim.SGD([w], lr=lambda step: 0.1 / step)

    def f(g):
        w.grad = g * 1.0
        optimizer.step()
        return float(mg.sum(w))

    with pytest.raises(TraceError):
        mg.jit(f)(X)
    np.testing.assert_array_equal(w.data, X)
    assert optimizer.steps == 0


def test_networks_of_other_arguments_are_other_recordings():
    turn = iter(range(10))

    def either(x, y):
        return long_chain(x, 600) if next(turn) % 2 else long_chain(y, 600)

    jitted = mg.jit(either)
    jitted(0.5, 1.0)
    jitted(0.5, 1.0)
    with pytest.raises(TraceError, match="now this and now that"):
        jitted(0.5, 1.0)


@pytest.mark.parametrize("row", [mg.exp, mg.add, mg.sin])
def test_scalars_of_another_call_are_refused(row):
    mine, other = Tracer(), Tracer()
    operands = [mine.entry(1.0), other.entry(2.0)]
    with pytest.raises(TraceError, match="inside of another call"):
        mine.record(row, operands[-1:] if row is not mg.add else operands)


def test_stand_ins_are_found_in_structures():
    x = Tracer().entry(1.0)
    assert _is_traced([2.0, [x]])
    assert _is_traced([{"a": slice(x)}])
    assert not _is_traced([2.0, [2.0], X])


def test_structures_of_entries():
    entry = Entry(1.0, None)
    tree = {"a": [entry, None], "b": (entry,)}
    assert of_entries(lambda e: e.before, tree) == {"a": [1.0, None], "b": (1.0,)}


def test_networks_that_differ_are_other_recordings():
    long = mg.jit(lambda x, n: long_chain(x, n))
    for n in (600, 601):
        for _ in range(3):
            assert long(0.5, n) == long_chain(0.5, n)

    def either(x):
        return long_chain(x, 600) if next(turn) % 2 else long_chain(x + x, 600)

    turn = iter(range(10))
    jitted = mg.jit(either)
    jitted(0.5)
    jitted(0.5)
    with pytest.raises(TraceError, match="now this and now that"):
        jitted(0.5)


def long_chain(x, n):
    for _ in range(n):
        x = mg.sin(x) + 0.5
    return x


def test_the_same_course():
    x, y = Var(float), Var(float)
    call, other = Call("f", math.sin), Call("g", math.sin)

    def program(op, operand, out):
        return Program([x], [Instruction(op, (operand,), {}, (out,))], [out])

    assert same_course(program(call, x, y), program(call, x, y))
    assert not same_course(program(call, x, y), program(other, x, y))
    assert not same_course(program(call, x, y), program(call, 1.0, y))
    assert not same_course(program(call, x, y), program(call, x, Var(int)))
    pairs = {x: x}
    assert not part_at_guard(program(call, x, y), program(other, x, y), pairs)
    assert not part_at_guard(program(call, x, y), program(call, 1.0, y), pairs)
    yes, no = (Program([x], [Instruction(Guard(b), (x,))], []) for b in (True, False))
    assert part_at_guard(yes, no, pairs)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.reshape(x, (1, 4), "F"),
        lambda x: np.reshape(x, shape=(4,), order="F"),
        lambda x: np.reshape(x, -1, copy=True),
        lambda x: np.transpose(x),
        lambda x: np.transpose(x, (1, 0)),
        lambda x: np.transpose(x, axes=(1, 0)),
    ],
)
@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_reshape_and_transpose_in_all_forms(f, backend):
    jitted = mg.jit(f, backend=backend)
    for i in range(4):
        np.testing.assert_array_equal(jitted(X + i), f(X + i))
