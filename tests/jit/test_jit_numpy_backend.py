"""The NumPy backend: its source, its memory, where results go, arithmetic, threads."""

from __future__ import annotations

import gc
import linecache
import math
import operator
import threading
import traceback
import warnings
from functools import partial

import numpy as np
import pytest
from programs import Builder, same

from microgradopt.compiler.printed.backend import compile_numpy
from microgradopt.compiler.program import Call, Check, Guard, GuardError, Host, Instruction
from microgradopt.compiler.tracing.standin import ITEM
from microgradopt.engine.ops.shapes import transpose_row
from microgradopt.engine.rules import add_up, as_dtype, as_value, chain, passing, reshape_to

RNG = np.random.default_rng(0)
LONG = 200_000  # entries: more than two blocks of any dtype


def run(runner, entries, count):
    return runner(entries, [None] * count)


def agree(b, *results, **options):
    program = b.program(*results)
    runner = compile_numpy(program, **options)
    expected = program.interpret(b.values)
    for _ in range(2):
        assert all(map(same, run(runner, b.values, len(results)), expected)), runner.source
    return runner


# Source


def test_the_source_is_what_a_student_would_write():
    X, W, bias = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=4)
    b = Builder(X, W, bias, 0.1, names=("X", "W", "b", "lr"))
    x, w, bias, lr = b.entries
    h = b("relu", b("add", b("matmul", x, b(transpose_row, w, axes=(1, 0))), bias))
    g = b("multiply", 2.0, h)
    grad = b("matmul", b(transpose_row, g, axes=(1, 0)), x)
    new = b("subtract", w, b("multiply", lr, grad))
    runner = agree(b, b(add_up, h, axis=None), new, donated={1: 1}, name="descend")
    assert runner.source == (
        "zeros_5x4 = np.zeros((5, 4), np.float64)\n"
        "def descend(entries, into, kept):\n"
        "    X, W, b, lr = entries\n"
        "    b0, b1, b2 = kept\n"
        "    z1 = np.matmul(X, W.T, out=b0)\n"
        "    t1 = np.add(z1, b, out=b0)\n"
        "    h1 = np.maximum(t1, zeros_5x4, out=b0)\n"
        "    t2 = np.multiply(2.0, h1, out=b1)\n"
        "    z2 = np.matmul(t2.T, X, out=b2)\n"
        "    t3 = np.multiply(lr, z2, out=b2)\n"
        "    new_W = np.subtract(W, t3, out=into[1])\n"
        "    s1 = np.add.reduce(h1, None)\n"
        "    return [s1, new_W]\n"
    )


def test_lines_of_the_user_stand_above_what_came_from_them():
    b = Builder(np.ones(3), names=("x",))
    here = test_lines_of_the_user_stand_above_what_came_from_them.__code__
    b.at((__file__, here.co_firstlineno, here.co_name))
    y = b("exp", b.entries[0])
    b.at(("nowhere.py", 1, "f"))
    source = agree(b, b("sin", y)).source
    assert f"    # def {here.co_name}():\n    e1 = np.exp(x, out=b0)\n    t1" in source


def test_names_never_clash():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    b = Builder(*values, names=("np", "lambda", "x y", "x-y", "t1", "print", "1st", "§"))
    total = b.entries[0]
    for x in b.entries[1:]:
        total = b("add", total, x)
    source = agree(b, total).source
    assert "np_2, lambda_2, x_y, x_y_2, t1, print_2, x_1st, x = entries" in source


def test_long_lists_are_broken_into_lines():
    b = Builder(*np.arange(40.0), names=tuple(f"weight_{i}" for i in range(40)))
    runner = agree(b, *b.entries)
    assert max(map(len, runner.source.splitlines())) <= 100


def test_long_calls_are_broken_between_arguments():
    values = np.ones((2, 12)), np.ones((2, 12)), np.ones((2, 12))
    long = tuple(
        f"the_{which}_matrix_with_quite_a_long_name" for which in ("first", "second", "3rd")
    )
    b = Builder(*values, names=long)
    x, y, z = b.entries
    joined = b("concatenate", x, y, z, axis=0)
    traced = b(np.einsum, "ij, ij, ij->i", x, y, z)
    item = b("multiply", x, y)
    source = agree(b, joined, traced, item).source
    assert max(map(len, source.splitlines())) <= 100
    assert "\n    t1 = np.concatenate(\n        (the_first_matrix_with_quite_a_long" in source


def test_a_call_of_what_a_call_returns_stays_on_its_line():
    b = Builder(
        np.ones((1, 1)), names=("a_matrix_with_a_name_so_long_that_no_line_has_room_for_it_" * 2,)
    )
    x = b.entries[0]
    source = agree(b, b(ITEM, b("reshape", x, shape=(1,)))).source
    assert ".reshape((1,)).item()\n" in source


def test_constants_are_written_out_or_described():
    b = Builder(np.ones(3), np.ones(3, np.float32))
    x, narrow = b.entries
    constants = [np.arange(3.0), np.inf, -np.inf, np.nan, np.float32(0.1), np.float32(np.inf), 2]
    runner = agree(b, *(b("multiply", x, c) for c in constants), b("exp", narrow))
    assert "# c: a constant, float64 of shape (3,)\n" in runner.source
    assert f"k = np.float32({float(np.float32(0.1))!r})\n" in runner.source


def test_indices_are_printed_as_they_are_written():
    b = Builder(np.arange(24.0).reshape(4, 6), names=("x",))
    x = b.entries[0]
    keys = [
        1, (1, 2), slice(None, None, -1), (slice(1, 3), None), (..., slice(2, None)), (),
        (np.array([0, 1]), slice(None)), [0, 1], np.arange(4) > 1,
    ]  # fmt: skip
    source = agree(b, *(b("index", x, key=key) for key in keys)).source
    for text in ("x[1]", "x[1, 2]", "x[::-1]", "x[1:3, None]", "x[..., 2:]", "x[()]", "x[index, :]",
                 "x[[0, 1]]", "x[mask]"):  # fmt: skip
        assert f" = {text}\n" in source


def test_a_traceback_shows_the_line_that_ran():
    def schedule():
        raise KeyError("no such step")

    b = Builder(1.0)
    b.instructions.append(Instruction(Host("schedule", schedule), ()))
    runner = compile_numpy(b.program(b.entries[0]))
    with pytest.raises(KeyError) as caught:
        runner([1.0], [None])
    assert "    schedule()\n" in "".join(traceback.format_exception(caught.value))


def test_the_source_is_forgotten_with_its_runner():
    b = Builder(1.0)
    runner = compile_numpy(b.program(b.entries[0]), name="forgettable")
    assert any("forgettable" in name for name in linecache.cache)
    del runner
    gc.collect()
    assert not any("forgettable" in name for name in linecache.cache)


# Memory


def test_arrays_that_die_leave_their_memory_to_others():
    b = Builder(np.ones((50, 50)))
    x = b.entries[0]
    for row in ("exp", "sin", "sqrt", "tanh", "negative"):
        x = b("multiply", b(row, x), b.entries[0])
    runner = agree(b, b(add_up, x, axis=None))
    assert runner.buffers == 1
    assert runner.nbytes == 50 * 50 * 8


def test_memory_is_shared_by_arrays_of_different_sizes_and_dtypes():
    b = Builder(np.ones((20, 30)))
    large = b("exp", b.entries[0])
    middle = b(add_up, large, axis=0)
    mask = b("greater", b("sin", middle), 0.0)
    runner = agree(b, b(add_up, b("exp", b("multiply", mask, middle)), axis=None))
    assert runner.buffers == 3  # for six arrays
    assert runner.nbytes == 20 * 30 * 8 + 30 * 8 + 30


def test_what_a_view_shows_is_not_overwritten():
    b = Builder(np.ones((30, 30)))
    x = b("exp", b.entries[0])
    view = b(transpose_row, x, axes=(1, 0))
    other = b("negative", b("sin", x))
    agree(b, b("add", view, other), b("add", other, view))


def test_what_nobody_reads_needs_no_memory_for_long():
    b = Builder(np.ones((30, 30)))
    b("exp", b.entries[0])
    b("sin", b.entries[0])
    assert agree(b, b.entries[0]).buffers == 1


def test_runs_inside_runs_and_beside_runs_have_memory_of_their_own():
    nested = []

    def again():
        if not nested:
            nested.append(None)
            nested[:] = runner([x, 1.0], [None])
        return 1.0

    x = RNG.normal(size=(100, 100))
    b = Builder(x, 1.0)
    first = b("exp", b.entries[0])
    scale = b(Host("again", lambda: 1.0))
    out = b("multiply", b("multiply", first, scale), b.entries[1])
    b.instructions[1] = Instruction(Host("again", again), (), outs=b.instructions[1].outs)
    runner = compile_numpy(b.program(out))
    (found,) = runner([2.0 * x, 2.0], [None])
    assert same(nested[0], np.exp(x))
    assert same(found, np.exp(2.0 * x) * 2.0)


def test_threads_do_not_disturb_each_other():
    b = Builder(RNG.normal(size=(60, 60)))
    x = b.entries[0]
    for _ in range(20):
        x = b("tanh", b("matmul", x, b.entries[0]))
    program = b.program(x)
    runner = compile_numpy(program)
    wrong = []

    def work(seed):
        entry = np.random.default_rng(seed).normal(size=(60, 60))
        expected = program.interpret([entry])
        wrong.extend(1 for _ in range(20) if not same(runner([entry], [None])[0], expected[0]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# Results


def test_results_go_into_the_arrays_given():
    b = Builder(np.ones((3, 4)))
    x = b.entries[0]
    results = [b("exp", x), b(transpose_row, b("exp", x), axes=(1, 0)), x, b("where", x, x, 2.0)]
    program = b.program(*results, results[0], np.arange(3.0))
    into = [np.empty_like(np.asarray(r)) for r in program.interpret(b.values)]
    found = compile_numpy(program)(b.values, into)
    assert all(a is b for a, b in zip(found, into))
    assert all(map(same, found, program.interpret(b.values)))


def overwritten(program, pairs):
    return compile_numpy(program, pairs).in_place


def test_an_update_overwrites_what_it_updates():
    b = Builder(np.ones((3, 4)), np.ones((3, 4)))
    w, g = b.entries
    program = b.program(b("subtract", w, b("multiply", 0.1, g)), g)
    runner = compile_numpy(program, {0: 0, 1: 1})
    assert runner.in_place == {0: 0, 1: 1}
    entries = [np.ones((3, 4)), np.ones((3, 4))]
    found = runner(entries, entries)
    assert found[0] is entries[0]
    assert found[1] is entries[1]
    assert same(found[0], np.full((3, 4), 0.9))


def test_what_is_read_later_is_not_overwritten():
    b = Builder(np.ones((3, 4)))
    w = b.entries[0]
    new = b("multiply", w, 2.0)
    assert overwritten(b.program(new, b("add", new, w)), {0: 0}) == {}
    assert overwritten(b.program(new, w), {0: 0}) == {}


def test_what_is_read_otherwise_than_entry_by_entry_is_not_overwritten():
    b = Builder(np.ones((3, 3)))
    w = b.entries[0]
    assert overwritten(b.program(b("matmul", w, w)), {0: 0}) == {}
    turned = b("add", w, b(transpose_row, w, axes=(1, 0)))
    assert overwritten(b.program(turned), {0: 0}) == {}


def test_nothing_is_overwritten_before_the_last_guard():
    b = Builder(np.ones((3, 4)))
    new = b("multiply", b.entries[0], 2.0)
    b(Guard(True), b("isfinite", b(add_up, new, axis=None)))
    assert overwritten(b.program(new), {0: 0}) == {}
    b = Builder(np.ones((3, 4)))
    new = b("multiply", b.entries[0], 2.0)
    b(Guard(True), b("isfinite", b(add_up, b.entries[0], axis=None)))
    assert overwritten(b.program(new), {0: 0}) == {0: 0}


def test_nothing_is_overwritten_before_what_may_raise():
    b = Builder(np.eye(3), np.eye(3))
    w, x = b.entries
    new = b("multiply", w, 2.0)
    inverse = b(np.linalg.inv, x)
    assert overwritten(b.program(new, inverse), {0: 0}) == {}
    newer = b("add", inverse, w)
    assert overwritten(b.program(newer), {0: 0}) == {0: 0}


def test_a_copy_at_the_end_may_overwrite_too():
    b = Builder(np.ones((4, 4)))
    program = b.program(b("where", b("greater", b.entries[0], 0.5), b.entries[0], 0.0))
    assert overwritten(program, {0: 0}) == {0: 0}
    assert overwritten(b.program(b(transpose_row, b.entries[0], axes=(1, 0))), {0: 0}) == {}


def test_a_result_of_another_type_overwrites_nothing():
    b = Builder(np.ones(3), 1.0, np.ones(3, np.float32))
    x = b("exp", b.entries[0])
    assert overwritten(b.program(x, x, 2.0), {0: 1, 1: 2, 2: 0}) == {}


# Effects


def test_guards_checks_and_hosts_run_in_their_order():
    seen = []
    b = Builder(1.0)
    x = b.entries[0]
    rate = b(Host("rate", lambda: seen.append("rate") or 0.5))
    b(Guard(True), b("greater", x, 0.0))
    b(Guard(False), b("greater", x, 5.0))
    b(Check(lambda *args: seen.append(args)), x, rate)
    both = b(Host("both", lambda x: (x, -x)), x)
    seen.clear()
    runner = agree(b, *both)
    assert seen == ["rate"] * 3
    for wrong in (-1.0, 7.0, math.nan):
        with pytest.raises(GuardError):
            runner([wrong], [None] * 2)


@pytest.mark.parametrize(
    "value", [np.array([1.0, np.nan]), np.array([1e300, 1.0]), np.float64(2.0), 1.0]
)
def test_a_check_explains_what_is_not_finite_only(value):
    explained = []
    b = Builder(value)
    b(Check(lambda *args: explained.append(args)), b.entries[0])
    explained.clear()
    run(compile_numpy(b.program(1.0)), [value], 1)
    assert len(explained) == (0 if np.isfinite(value).all() else 1)


# Arithmetic


def test_floats_give_what_ieee_says_and_nothing_warns():
    b = Builder(1.0, 0.0, 1e308, -1.0, math.inf)
    one, zero, huge, minus, inf = b.entries
    results = [
        b("divide", one, zero), b("exp", huge), b("log", zero), b("sqrt", minus), b("sin", inf),
        b("multiply", huge, huge), b("power", zero, minus), b("hypot", huge, huge),
        b("relu", minus), b("where", b("less", one, zero), one, minus), b("logical_not", zero),
        b("tanh", inf),
    ]  # fmt: skip
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        agree(b, *results)


def test_scalars_of_numpy_use_operators():
    b = Builder(np.ones(4), np.ones(4, np.float32))
    wide, narrow = (b(add_up, x, axis=None) for x in b.entries)
    results = [
        b("divide", b("multiply", wide, 2.0), b("subtract", wide, 4.0)), b("add", narrow, wide),
        b("negative", b("multiply", narrow, 0.1)), b("divide", wide, 3), b(np.add, 2, 3),
        b("exp", narrow),
    ]  # fmt: skip
    assert " / " in agree(b, *results).source


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cotangents_absorb_infinities(dtype):
    g = np.array([1.0, np.inf, np.nan, 0.0, -2.0], dtype)
    p = np.array([0.0, 0.0, 0.0, np.inf, 3.0], dtype)
    b = Builder(g, p, np.abs(p), 2.0)
    mask = b("greater", b.entries[1], 0.0)
    results = [b(chain, b.entries[0], b.entries[1]), b(chain, b.entries[3], b.entries[1]),
               b(passing, mask, b.entries[0]), b(passing, mask, b.entries[2]),
               b(passing, True, b.entries[0]), b(chain, b.entries[3], b.entries[3])]  # fmt: skip
    agree(b, *results)
    agree(b, *(b("exp", r) for r in results))


def test_functions_of_numpy_and_methods_of_arrays():
    b = Builder(np.arange(12.0).reshape(3, 4), np.arange(3), 2.0, 7)
    x, whole, number, integer = b.entries
    results = [
        b(Call("copy", partial(np.array, order="F")), x),
        b(Call("array", partial(np.array, ndmin=3)), x), b(np.ravel, x), b(np.ravel, number),
        b(Call("float", float), integer),
        b(Call("mod", operator.mod), integer, 4), b(Call("pow", operator.pow), -2.0, integer),
        b(ITEM, np.arange(3.0), 1), b(np.ndarray.max, x, axis=0),
        b(np.ndarray.swapaxes, x, 0, 1), b(np.einsum, "ij->j", x), b(np.linalg.norm, x),
        b(as_dtype, whole, dtype=np.dtype(np.float32)), b(as_dtype, x, dtype=np.dtype(np.int64)),
        b(as_dtype, number, dtype=np.dtype(np.float32)), b(as_dtype, x, dtype=np.dtype(np.float32)),
        b(as_value, b(reshape_to, number, shape=())), b(as_value, number),
        b(reshape_to, number, shape=(1,)),
        b(transpose_row, number, axes=()), b(transpose_row, x), b(add_up, number),
        b("relu", number),
        b(np.sort, x, axis=0), b(np.add.outer, whole, whole),
        b(np.subtract.accumulate, x, axis=1), b(np.multiply, x, x, where=True),
        b(np.divmod, number, 2.0)[0], b("det", b(np.cov, x)), b("stack", x, x, axis=1),
        b(np.full, 3, number), b(Call("shape", lambda x: [x.shape]), x),
        b(Call("named", lambda *, key: key["a"]), key={"a": x}),
    ]  # fmt: skip
    agree(b, *results)


def test_a_users_ufunc_and_a_function_without_a_hash():
    double = np.frompyfunc(lambda x: 2.0 * x, 1, 1)

    class Scaling(list):
        __hash__ = None

        def __call__(self, x):
            return 3.0 * x

    b = Builder(np.ones(3))
    ours = b(Call("double", double), b.entries[0])
    agree(
        b, b(as_dtype, ours, dtype=np.dtype(np.float64)), b(Call("scale", Scaling()), b.entries[0])
    )


# Blocks


def chained(x, y, b):
    t = b("add", b("multiply", x, y), 1.0)
    for row in ("tanh", "square", "relu", "exp"):
        t = b("subtract", b(row, t), b("multiply", x, 0.5))
    return t


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(LONG,), (LONG // 8, 8), (4, LONG // 4)])
def test_chains_on_long_arrays_run_in_blocks(dtype, shape):
    b = Builder(*RNG.normal(size=(2, *shape)).astype(dtype), names=("x", "y"))
    x, y = b.entries
    t = chained(x, y, b)
    runner = agree(b, t, b(add_up, b("multiply", t, y), axis=0), donated={0: 0})
    assert "for part in" in runner.source
    assert runner.in_place == {0: 0}


def test_blocks_hold_what_is_needed_later_whole():
    b = Builder(*RNG.normal(size=(2, LONG)))
    x, y = b.entries
    h = b("exp", x)
    t = b("multiply", h, y)
    total = b(add_up, t, axis=None)
    runner = agree(b, b("multiply", b("subtract", h, total), t), total)
    assert runner.source.count("for part in") == 2


def test_arrays_in_other_memory_orders_than_traced_are_right():
    b = Builder(*RNG.normal(size=(2, 500, 400)))
    program = b.program(chained(*b.entries, b))
    runner = compile_numpy(program, {0: 0})
    entries = [np.asfortranarray(b.values[0]), RNG.normal(size=(1000, 800))[::2, ::2]]
    into = np.asfortranarray(np.empty((500, 400)))
    expected = program.interpret(entries)[0]
    assert same(runner(entries, [into])[0], expected)
    assert same(into, expected)
    assert same(runner(entries, [None])[0], expected)


def test_a_long_update_happens_in_place():
    b = Builder(*RNG.normal(size=(3, LONG)), names=("w", "g", "m"))
    w, g, m = b.entries
    new_m = b("add", b("multiply", 0.9, m), b("multiply", 0.1, g))
    new_w = b("subtract", w, b("multiply", 0.01, new_m))
    program = b.program(new_w, new_m)
    runner = compile_numpy(program, {0: 0, 1: 2})
    assert runner.in_place == {0: 0, 1: 2}
    entries = [x.copy() for x in b.values]
    found = runner(entries, [entries[0], entries[2]])
    assert found[0] is entries[0]
    assert all(map(same, found, program.interpret(b.values)))


def test_chains_of_truth_values_and_numbers_of_other_lengths():
    b = Builder(RNG.normal(size=LONG), RNG.normal(size=(3, LONG)), 0.5)
    x, rows, number = b.entries
    mask = b("logical_and", b("greater", x, 0.0), b("less", x, b("multiply", number, 2.0)))
    other = b("add", b("multiply", rows, x), 1.0)  # broadcast: no link of a chain
    agree(b, b("multiply", b("multiply", mask, x), number), b("exp", b("negative", other)), mask)


def test_what_nothing_reads_is_cut_too():
    b = Builder(RNG.normal(size=LONG))
    b("exp", b("negative", b.entries[0]))
    agree(b, b("sin", b.entries[0]))


def test_choices_and_other_dtypes_are_links_too():
    b = Builder(RNG.normal(size=LONG), RNG.normal(size=LONG).astype(np.float32))
    x, narrow = b.entries
    wide = b(as_dtype, narrow, dtype=np.dtype(np.float64))
    chosen = b("where", b("greater", x, wide), b("multiply", x, 2.0), wide)
    runner = agree(b, b(as_dtype, b("exp", chosen), dtype=np.dtype(np.float32)), chosen)
    assert runner.source.count("for part in") == 1
    assert "np.where" not in runner.source
