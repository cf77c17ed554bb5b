"""What native programs leave to Python, and what they must not stumble over."""

import operator

import numpy as np
import pytest
from programs import Builder
from test_jit_native_programs import exactly, ran

from microgradopt.compiler.native import ufuncs
from microgradopt.compiler.native.expand import Term, expanded
from microgradopt.compiler.native.runner import compile_native
from microgradopt.compiler.program import Call, Check, Host
from microgradopt.compiler.tracing.standin import ASTYPE, ITEM
from microgradopt.engine.ops.shapes import index_row, scatter_row
from microgradopt.engine.quiet import quietly

DOUBLE = np.dtype(float)


@pytest.mark.parametrize(
    "kernel",
    [
        lambda x: x if x > 0.0 else -x,
        lambda x: np.asarray(x, float),
        lambda x: np.add.reduce(x),
        lambda x: np.sum(x),
        lambda x: np.sum(x, axis=0),
        lambda x: np.add(x, x, out=x),
        lambda x: np.modf(x),
        lambda x: 1.0,
    ],
)
def test_kernels_that_cannot_be_taken_apart(kernel):
    assert expanded(kernel, [Term((3,), DOUBLE)]) is None


def test_writing_into_what_a_kernel_has_made():
    def kernel(x):
        y = x + 1.0
        z = y * 2.0
        y *= y
        return np.clip(y, 0.0, z)

    made = expanded(kernel, [Term((3,), DOUBLE)])
    assert made.function is np.minimum
    assert made.inputs[1].inputs[0].function is np.add  # z is of y as it was


def test_ufuncs_without_a_loop_that_can_be_called(monkeypatch):
    doubles = (DOUBLE,) * 2
    assert ufuncs.loop_of.__wrapped__(np.exp, (np.dtype("m8[s]"),) * 2) is None
    monkeypatch.setattr(ufuncs, "_agrees", lambda *_: False)
    assert ufuncs.loop_of.__wrapped__(np.exp, doubles) is None
    monkeypatch.setattr(ufuncs, "_entry", lambda *_: None)
    assert ufuncs.loop_of.__wrapped__(np.exp, doubles) is None
    assert ufuncs.matmul_loop.__wrapped__(DOUBLE) is None


def test_a_numpy_with_other_structs(monkeypatch):
    class Moved(ufuncs._Ufunc):
        @property
        def nargs(self):
            return -1

    monkeypatch.setattr(ufuncs, "_Ufunc", Moved)
    assert ufuncs._entry(np.exp, (DOUBLE,) * 2) is None
    monkeypatch.setattr(ufuncs, "HEAD", 10_000)
    assert ufuncs._entry(np.exp, (DOUBLE,) * 2) is None


def test_without_the_loop_of_matmul_python_multiplies(monkeypatch):
    from microgradopt.compiler.native import summing

    monkeypatch.setattr(summing, "matmul_loop", lambda dtype: None)
    b = Builder(np.ones((20, 30)), np.ones((30, 20)))
    exactly(b, b("matmul", *b.entries), calls=1)


def test_more_that_only_python_does():
    x = np.arange(6.0).reshape(2, 3)
    b = Builder(x, 3, 2.5, x.astype(np.float16), np.zeros((0, 3)), np.arange(3))
    real, whole, number, half, empty, index = b.entries
    found = (
        b(Call("mul", operator.__mul__), whole, whole),
        b(Call("add", operator.__add__), number, number), b(np.sin, half), b(np.spacing, half),
        b(np.sum, half, dtype=np.dtype(np.float32)), b(np.matmul, real, real.kind and index),
        b(ITEM, index, 0), b(index_row, empty, key=(slice(None), index)),
        b(np.array, half, dtype=DOUBLE), b(np.asarray, np.array(["a"])),
        b(np.add, real, 1.0, dtype=DOUBLE), b(Host("object", lambda x: {"x": x}), real),
    )  # fmt: skip
    program = b.program(*found)
    runner = compile_native(program, {})
    for f, e in zip(runner(b.values, [None] * len(found)), program.interpret(b.values)):
        np.testing.assert_equal(f, e)
    after = b("add", b(Host("number", lambda o: o["x"].sum()), found[-1]), real)
    assert ran(b, after, calls=len(runner.calls) + 1)


@quietly
def test_what_has_no_native_form_is_pythons():
    x = np.arange(6.0).reshape(2, 3)
    b = Builder(x, np.arange(3))
    real, index = b.entries
    number = b(Host("complex", lambda: 2.0 + 1.0j))
    exactly(
        b, b(np.matmul, real, index, casting="safe"),
        b(x.dot, index), b(np.sum, real, where=np.array([True, False, True])),
        b(np.asarray, index, np.dtype(np.float16)), b(np.mean, index),
        b(np.dot, real, b=index), b(np.expand_dims, real, b(Host("axis", lambda: 1))),
        b(np.add, number, 1.0), calls=10,
    )  # fmt: skip
    b = Builder(np.arange(3))
    (index,) = b.entries
    exactly(b, b(np.asarray, index, DOUBLE), b(np.array, index, dtype=np.dtype(np.int8)))


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="has no copy=")
def test_a_reshape_that_copies_is_pythons():
    b = Builder(np.arange(6.0).reshape(2, 3))
    exactly(b, b(np.reshape, b.entries[0], (3, 2), copy=True), calls=1)


def test_constants_of_all_kinds():
    x = np.arange(900.0).reshape(30, 30)
    b = Builder(x, True, np.array([True, False]))
    real, yes, truths = b.entries
    spread = np.broadcast_to(np.float64(2.0), (30, 30))
    exactly(
        b, b("add", real, spread), b("matmul", real, spread), b("where", yes, real, -1.0),
        b(np.where, truths, 1.0, np.float32(2.0)), b(np.bitwise_and, truths, yes),
        b(np.invert, truths), b("add", truths, truths), b("multiply", truths, True),
        b(ASTYPE, b(ASTYPE, truths, np.dtype(np.int32), "K"), np.dtype(np.uint32), "K"),
        b(np.mean, real, axis=1),
    )  # fmt: skip


def test_objects_stay_pythons():
    b = Builder(np.ones((2, 3)), 2)
    x, n = b.entries
    table = b(Host("table", lambda x: np.array([{"a": 1}], object)), x)
    found = (
        b(ITEM, x, b(Host("place", lambda: 1))), b(ITEM, table, 0), b(table_taken, table),
        b(Call("add", operator.__add__), n, True), b(np.copysign, n, n),
        b(np.ones(3).take, b(Host("places", lambda: np.array([0, 2])))),
    )  # fmt: skip
    program = b.program(*found)
    runner = compile_native(program, {})
    for f, e in zip(runner(b.values, [None] * len(found)), program.interpret(b.values)):
        np.testing.assert_equal(f, e)


def table_taken(table):
    return table


def test_nothing_to_do():
    b = Builder(np.zeros((0, 3)), np.zeros(3))
    b(Check(lambda *arrays: None), b.entries[0])
    exactly(b, b(scatter_row, b.entries[0], key=slice(0), shape=(0, 3)), b("add", *b.entries))


def test_whole_numbers_in_long_sums():
    x = np.random.default_rng(0).integers(-9, 9, size=(3, 100_000))
    b = Builder(x)
    exactly(
        b, b(np.sum, b.entries[0], axis=1), b(np.max, b.entries[0], axis=1), b(np.sum, b.entries[0])
    )


def test_lines_of_the_user_stand_in_the_source():
    b = Builder(np.ones((3, 4)), names=("the inputs",))
    b.at(("/home/me/train.py", 12, "loss"))
    runner = compile_native(b.program(b("sum", b("exp", b.entries[0]), axis=0)), {})
    assert "# train.py:12" in runner.source
    assert "the_inputs[i, j]" in runner.source or "the_inputs[j, k]" in runner.source
