"""Native programs against the interpreter: rows to the bit, random programs within rounding."""

import math
import operator

import numpy as np
import programs as drawing
import pytest
from hypothesis import given, settings
from programs import Builder, programs, random_program, same

from microgradopt.compiler.native.runner import compile_native
from microgradopt.compiler.program import Call, Instruction, Program, Var
from microgradopt.compiler.tracing.standin import ASTYPE, FLOAT, ITEM, POWER, PUT
from microgradopt.engine.graph import Primitive
from microgradopt.engine.ops.shapes import concatenate_row, index_row, scatter_row, stack_row
from microgradopt.engine.rules import Elementwise, Plain, as_dtype, as_value, passing

ENTRYWISE = [
    r
    for r in tuple(Primitive.table.values())
    if isinstance(r, (Elementwise, Plain)) and r.name != "cofactors"
]
ONE = ("logical_not", "isnan", "isfinite", "isinf", "signbit", "floor", "ceil", "trunc", "rint")
BY_PYTHON = {"power_slope", "direction_cosine", "sinc"}


def ran(b, *results, calls=0):
    """The results of a builder's program, natively and by interpretation."""
    program = b.program(*results)
    runner = compile_native(program, {})
    assert len(runner.calls) == calls, [i.op.name for i in runner.calls]
    return runner(b.values, [None] * len(results)), program.interpret(b.values)


def exactly(b, *results, calls=0):
    found, expected = ran(b, *results, calls=calls)
    for f, e in zip(found, expected, strict=True):
        assert same(f, e), (f, e)


def close(found, expected, rtol, atol):
    for f, e in zip(found, expected, strict=True):
        assert type(f) is type(e)
        if isinstance(e, (np.ndarray, np.generic)):
            assert (f.dtype, f.shape) == (e.dtype, e.shape)
        if isinstance(e, (np.ndarray, np.generic, float, int)):
            np.testing.assert_allclose(f, e, rtol=rtol, atol=atol)


def numbers(shape, dtype, seed=0):
    x = (3.0 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e5]
    x.flat[: len(special)] = special[seed:] + special[:seed]
    return x


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", ENTRYWISE, ids=lambda r: r.name)
def test_every_row_has_eager_bits(row, dtype):
    if row is passing:
        pytest.skip("the sign of a zero depends on the other entries")
    count = row.operands or (1 if row.name in ONE else 2)
    xs = [numbers((37, 5), dtype, i) for i in range(count)]
    b = Builder(*xs)
    exactly(b, b(row, *b.entries), calls=int(row.name in BY_PYTHON))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_long_rows_have_eager_bits(dtype):
    x, y = numbers((300, 101), dtype), numbers((101,), dtype, 1)
    b = Builder(x, y, 0.1)
    t = b("tanh", b("multiply", b("add", b.entries[0], b.entries[1]), b.entries[2]))
    exactly(b, b("where", b("greater", t, 0.0), b("exp", t), b("sigmoid", t)), t)


def test_a_gate_passes_or_gives_zero():
    x = np.array([1.0, -2.0, np.nan, np.inf])
    b = Builder(x, np.array([True, False, False, True]))
    found, _ = ran(b, b(passing, b.entries[1], b.entries[0]))
    assert found[0].tolist() == [1.0, 0.0, 0.0, np.inf]


@given(programs())
@settings(max_examples=25, deadline=None)
def test_random_programs(drawn):
    program, values = drawn
    expected = program.interpret(values)
    runner = compile_native(program, {})
    for _ in range(2):
        close(runner(values, [None] * len(expected)), expected, 2e-4, 1e-5)


def test_minus_a_truth_value():
    x, y = Var(float), Var(int)
    minus = Instruction(Primitive.table["negative"], (True,), {}, (y,))
    program = Program([x], [minus], [y])
    assert compile_native(program, {})([1.0], [None]) == program.interpret([1.0]) == [-1]


LARGE = ((), (64, 50), (50,), (64, 1), (1, 50), (50, 64), (64, 64), (3, 40, 50), (3000, 3))


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_on_large_arrays(seed, monkeypatch):
    monkeypatch.setattr(drawing, "SHAPES", LARGE)
    monkeypatch.setattr(drawing, "NUMBERS", (0.0, 1.0, -1.0, 2.0, 0.5, -0.25, np.nan))
    program, values = random_program(seed, 30)
    expected = program.interpret(values)
    close(compile_native(program, {})(values, [None] * len(expected)), expected, 2e-3, 1e-2)


@pytest.mark.parametrize("name", ["sum", "max", "min", "mean", "prod", "any", "all"])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), -1])
def test_reductions(name, axis):
    x = np.random.default_rng(0).normal(size=(7, 30, 40)) + (5.0 if name == "prod" else 0.0)
    x = np.exp(x / 100) if name == "prod" else x
    b = Builder(x)
    function = getattr(np, name)
    results = [b(function, b.entries[0], axis=axis, keepdims=k) for k in (False, True)]
    close(*ran(b, *results), 1e-13, 1e-13)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "int32"])
def test_reductions_of_whole_numbers(dtype):
    x = np.random.default_rng(0).integers(0, 2, size=(60, 50)).astype(dtype)
    b = Builder(x)
    found = [b(f, b.entries[0], axis=1) for f in (np.max, np.min, np.any, np.all)]
    exactly(b, *found, b(np.maximum, b.entries[0], b.entries[0]))


def test_nan_and_infinity_in_sums():
    x = np.ones((3, 5000))
    x[0, 7], x[1, 8], x[1, 9], x[2, 0] = np.inf, np.inf, -np.inf, np.nan
    b = Builder(x)
    totals = [b("sum", b.entries[0], axis=a, keepdims=False) for a in (None, 0, 1)]
    exactly(b, *totals, b(np.max, b.entries[0], axis=1))


@pytest.mark.parametrize("shape", [(1_000_003,), (3, 100_000), (100_000, 3), (40, 5000)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_are_at_least_as_precise_as_numpys(shape, dtype):
    x = np.random.default_rng(0).uniform(size=shape).astype(dtype)
    b = Builder(x)
    for axis in (None, *range(x.ndim)):
        (found,), (theirs,) = ran(b, b(np.add.reduce, b.entries[0], axis=axis))
        exact = np.apply_along_axis(math.fsum, -1, np.atleast_1d(
            x.ravel() if axis is None else np.moveaxis(x, axis, -1)).astype(float))  # fmt: skip
        ours, numpys = (np.abs(s - exact).max() for s in (found, theirs))
        assert ours <= numpys + 4 * np.finfo(dtype).eps * np.abs(exact).max()


def test_the_sum_of_nothing():
    b = Builder(np.zeros((0, 4)), np.zeros((3, 0)))
    x, y = b.entries
    exactly(b, b(np.sum, x, axis=0), b(np.prod, x, axis=0), b(np.sum, y), b("exp", x),
            b("matmul", y, x), b("matmul", x, np.zeros((4, 2))))  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", [1, 3, 30, 257])
@pytest.mark.parametrize("inner", [1, 2, 9, 65])
@pytest.mark.parametrize("columns", [1, 3, 10, 40])
def test_products_of_matrices(rows, inner, columns, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, inner)), rng.normal(size=(columns, inner))
    b = Builder(x.astype(dtype), y.astype(dtype))
    x, y = b.entries
    turned = b("transpose", y, axes=(1, 0))
    product = b("matmul", x, turned)
    back = b("matmul", b("transpose", product, axes=(1, 0)), x)
    atol = 1e-11 if dtype == "float64" else 2e-2
    close(*ran(b, product, back), 1e-11 if dtype == "float64" else 1e-3, atol)


def test_products_of_stacks_and_vectors():
    rng = np.random.default_rng(0)
    x, y, v = rng.normal(size=(4, 1, 20, 30)), rng.normal(size=(3, 30, 25)), rng.normal(size=30)
    b = Builder(x, y, v)
    x, y, v = b.entries
    found = b("matmul", x, y), b("matmul", x, v), b("matmul", v, y), b("matmul", v, v)
    close(*ran(b, *found, b(np.dot, v, v)), 1e-12, 1e-12)


def test_what_only_python_does():
    x = np.arange(6).reshape(2, 3)
    b = Builder(x, x.astype(float), np.array([1.0, 2.0], np.float16))
    whole, real, half = b.entries
    found = (
        b("matmul", whole, b("transpose", whole, axes=(1, 0))),
        b(np.sum, half), b(np.sum, real, dtype=np.dtype(np.float32)), b(np.cumsum, real),
        b(np.mean, whole), b(np.dot, np.ones((2, 2, 2)), real), b(ASTYPE, real, np.dtype(int), "K"),
        b(POWER, whole, 2), b(PUT, whole, 0, 1.5), b(index_row, real, key=(0, None, [0, 1])),
        b(index_row, np.zeros((2, 2, 2)), key=(np.array([0]), slice(1), 0)),
        b(index_row, real, key=np.array([True, False])),
    )  # fmt: skip
    exactly(b, *found, calls=len(found))


def test_indexing():
    x = np.random.default_rng(0).normal(size=(6, 7, 8))
    b = Builder(x, np.array([0, 2, -1]), np.array([[1], [3]]))
    x, i, j = b.entries
    keys = [i, (i,), (slice(None), i), (slice(1, 4), i, slice(None, None, -1)), (j, i), (0, i),
            (slice(None, None, 2), j, i), (..., 1), (2, ..., slice(1, 3))]  # fmt: skip
    picked = [b(index_row, x, key=k) for k in keys]
    some = b(index_row, x, key=(slice(2), 0, slice(3)))
    found = [
        b(PUT, x, i, 1.5), b(PUT, x, (slice(None), j, i), 2.0), b(PUT, x, (0, slice(2)), 0.0),
        b(scatter_row, some, key=np.array([1, 1]), shape=(4, 3)),
        b(scatter_row, some, key=slice(1, 3), shape=(5, 3)),
    ]  # fmt: skip
    exactly(b, *picked, *found)


@pytest.mark.parametrize("index", [7, -8])
def test_an_index_out_of_range(index):
    b = Builder(np.arange(7.0), np.array([0, 1]))
    picked = b(index_row, b.entries[0], key=b.entries[1])
    put = b(PUT, b.entries[0], b.entries[1], 0.0)
    runner = compile_native(b.program(picked, put), {})
    into = [np.full(2, 8.0), np.full(7, 8.0)]
    with pytest.raises(IndexError, match=f"index {index} is out of bounds"):
        runner([b.values[0], np.array([0, index])], into)
    assert into[0].tolist() == [8.0, 8.0]


def test_joining():
    b = Builder(np.ones((2, 3)), np.zeros((2, 3)), 4.0)
    x, y, _ = b.entries
    exactly(b, b(concatenate_row, x, y, axis=1), b(stack_row, x, y, axis=2))


def test_numbers():
    b = Builder(2.5, -0.5, 3, True, np.float64(1.5), np.array([[4.0]]), np.float32(0.1))
    x, y, n, t, d, a, f = b.entries
    found = (
        b("add", x, y), b("exp", x), b("log", y), b("multiply", d, x), b(FLOAT, d), b(ITEM, a, 0),
        b(ITEM, a, 0, 0), b(as_value, a), b(POWER, 0.9, n), b("maximum", x, 0.0), b(np.asarray, d),
        b(Call("add", operator.__add__), n, 1), b(Call("sub", operator.__sub__), n, 7), t, n, x,
        b("greater", x, y), b("add", f, x), 3, None, b("add", a, f), b(POWER, a, 0.5),
        b(POWER, a, 3.5),
    )  # fmt: skip
    exactly(b, *found)


def test_conversions():
    x = np.array([[1.5, -2.0], [np.inf, 0.0]])
    b = Builder(x, x.astype("f4"), np.array([3, -1]), np.array([True, False]), np.uint8([5, 200]))
    d, f, i, t, u = b.entries
    found = [b(as_dtype, v, dtype=np.dtype(k)) for v in (d, f, i, t, u) for k in ("f8", "f4")]
    found += [b(ASTYPE, v, np.dtype(k), "C") for v in (i, t, u) for k in ("i8", "i4", "u1", "?")]
    found += [
        b("add", i, u),
        b("multiply", t, d),
        b("divide", i, u),
        b("negative", i),
        b("add", f, np.float64(0.1)),
        b("subtract", f, 0.1),
        b(np.array, d),
        b(np.array, f),
    ]
    found += [b("less", i, u), b("equal", i, 3), b("not_equal", u, 5), b("greater", u, u)]
    exactly(b, *found)


def test_views():
    x = np.random.default_rng(0).normal(size=(4, 5, 6))
    b = Builder(x, x.transpose(2, 0, 1), x[::2, ::-1])
    found = [b(np.ravel, v) for v in b.entries]
    found += [b("exp", b("transpose", v, axes=(1, 2, 0))) for v in b.entries]
    found += [b("reshape", b.entries[1], shape=(12, 10)), b(np.swapaxes, b.entries[2], 0, 2),
              b("broadcast_to", b.entries[0], shape=(2, 4, 5, 6)), b.entries[1]]  # fmt: skip
    exactly(b, *found, np.broadcast_to(np.ones(3), (2, 3)))


def test_the_program_of_nothing():
    x = Var.like(np.ones(3))
    found = compile_native(Program([x], [], [2.0, np.ones(2)]), {})([np.ones(3)], [None, None])
    assert found[0] == 2.0
    assert found[1].tolist() == [1.0, 1.0]
