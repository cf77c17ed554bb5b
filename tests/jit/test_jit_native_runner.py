"""A native runner at work: memory, layouts, what is overwritten when, threads."""

import threading

import numpy as np
import pytest
from programs import Builder

from microgradopt.compiler.native.runner import compile_native
from microgradopt.compiler.program import Check, Guard, GuardError, Host
from microgradopt.engine.quiet import quietly


def layouts(x):
    spread = np.empty((2 * len(x), *x.shape[1:]), x.dtype)[::2]
    spread[...] = x
    backwards = np.ascontiguousarray(x[::-1])[::-1]
    return [x.copy(), np.asfortranarray(x), spread, backwards]


def test_entries_in_other_layouts_than_the_traced_ones():
    x = np.random.default_rng(0).normal(size=(6, 5))
    for traced in layouts(x):
        b = Builder(traced)
        runner = compile_native(b.program(b("exp", b.entries[0])), {})
        for given in layouts(x):
            np.testing.assert_array_equal(runner([given], [None])[0], np.exp(x))


def test_results_are_written_into_arrays_of_any_layout():
    x = np.random.default_rng(0).normal(size=(6, 5))
    b = Builder(x)
    runner = compile_native(b.program(b("exp", b.entries[0]), b.entries[0]), {})
    for into in layouts(np.zeros((6, 5))):
        found = runner([x], [into, None])
        assert found[0] is into
        np.testing.assert_array_equal(into, np.exp(x))
        assert found[1] is not x


def adam(*, guarded):
    """An update of state, perhaps behind a guard and a check."""
    x, m, g = np.random.default_rng(0).normal(size=(3, 90, 40))
    b = Builder(x, m, g, True)
    x, m, g, ok = b.entries
    if guarded:
        b(Guard(True), b("logical_not", b("logical_not", ok)))
        b(Check(explained), g)
    new_m = b("add", b("multiply", 0.9, m), b("multiply", 0.1, g))
    new_x = b("subtract", x, b("divide", new_m, b("sqrt", b("square", new_m))))
    return b, b.program(new_x, new_m)


def explained(*arrays):
    raise ArithmeticError("not finite")


def test_state_is_replaced_in_place():
    b, program = adam(guarded=True)
    runner = compile_native(program, {0: 0, 1: 1})
    assert runner.in_place == {0: 0, 1: 1}
    expected = program.interpret(b.values)
    entries = [x.copy() if isinstance(x, np.ndarray) else x for x in b.values]
    found = runner(entries, entries[:2])
    assert found[0] is entries[0]
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(f, e)
    apart = runner(b.values, [None, None])
    np.testing.assert_array_equal(apart[0], expected[0])
    np.testing.assert_array_equal(b.values[0], adam(guarded=False)[0].values[0])


def test_nothing_is_overwritten_before_guards_and_checks_have_passed():
    b, program = adam(guarded=True)
    runner = compile_native(program, {0: 0, 1: 1})
    bad = b.values[2].copy()
    bad[3, 3] = np.inf
    for last, error in (([b.values[2], False], GuardError), ([bad, True], ArithmeticError)):
        entries = [b.values[0].copy(), b.values[1].copy(), *last]
        with pytest.raises(error):
            runner(entries, entries[:2])
        np.testing.assert_array_equal(entries[0], b.values[0])
        np.testing.assert_array_equal(entries[1], b.values[1])


def test_a_check_that_explains_nothing_lets_the_run_go_on():
    b = Builder(np.array([np.nan, 1.0]))
    b(Check(lambda *arrays: None), b.entries[0])
    b(Check(lambda *arrays: None), np.array([1, 2]))
    runner = compile_native(b.program(b("add", b.entries[0], 1.0)), {})
    np.testing.assert_array_equal(runner(b.values, [None])[0], [np.nan, 2.0])


def test_what_is_read_later_is_not_overwritten():
    x, y = np.random.default_rng(0).normal(size=(2, 80, 80))
    b = Builder(x, y)
    x, y = b.entries
    turned = b("add", b("transpose", x, axes=(1, 0)), y)  # reads x elsewhere
    later = b("add", x, b("sum", b("exp", y), axis=0, keepdims=True))
    program = b.program(turned, later)
    runner = compile_native(program, {0: 0, 1: 1})
    assert 0 not in runner.in_place
    entries = [x.copy() for x in b.values]
    into = [entries[runner.in_place[n]] if n in runner.in_place else None for n in range(2)]
    for f, e in zip(runner(entries, into), program.interpret(b.values), strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-14)
    other = Builder(*b.values)
    assert compile_native(other.program(other("exp", other.entries[0])), {0: 1}).in_place == {0: 1}
    assert compile_native(b.program(b("matmul", x, y)), {0: 0}).in_place == {}


def test_python_may_look_at_what_is_to_be_overwritten():
    x = np.zeros((50, 50))
    b = Builder(x)
    new = b("add", b.entries[0], 1.0)
    seen = b(Host("total", lambda x, y: float(x.sum() + y.sum())), b.entries[0], new)
    program = b.program(new, seen)
    runner = compile_native(program, {0: 0})
    entry = x.copy()
    found = runner([entry], [entry if runner.in_place else None, None])
    assert found[1] == 2500.0


def test_the_same_array_twice():
    x = np.random.default_rng(0).normal(size=(60, 60))
    b = Builder(x, x)
    found = compile_native(b.program(b("subtract", *b.entries), b("add", *b.entries)), {})
    zero, twice = found(b.values, [None, None])
    np.testing.assert_array_equal(zero, np.zeros_like(x))
    np.testing.assert_array_equal(twice, 2 * x)


def test_results_share_no_memory():
    x = np.random.default_rng(0).normal(size=(60, 60))
    b = Builder(x)
    y = b("exp", b.entries[0])
    turned = b("transpose", y, axes=(1, 0))
    copy = b(Host("same", lambda x: x), b.entries[0])
    program = b.program(y, y, turned, b.entries[0], copy)
    found = compile_native(program, {})([x], [None] * 5)
    for i, f in enumerate(found):
        for other in (x, *found[:i]):
            assert not np.shares_memory(f, other)


def test_calls_of_python_between_kernels():
    b = Builder(np.ones((70, 70)), 2.0)
    x, y = b.entries
    rate, twice = b(Host("both", lambda y: (0.5 * y, np.full((70, 70), y))), y)
    shift = b(Host("seen", lambda a, t: {"sum": float(a.sum()), "t": t}), b("add", x, twice), (y,))
    found = b(Host("unpack", lambda s, f: f + s["sum"]), shift, b("multiply", rate, 3.0))
    runner = compile_native(b.program(b("multiply", twice, found), found), {})
    expected = b.program(b.instructions and found).interpret(b.values)[0]
    assert runner(b.values, [None, None])[1] == expected


def test_concurrent_runs_have_memory_of_their_own():
    x = np.random.default_rng(0).normal(size=(200, 60))
    b = Builder(x)
    e = b("exp", b("subtract", b.entries[0], b("max", b.entries[0], axis=1, keepdims=True)))
    program = b.program(b("divide", e, b("sum", e, axis=1, keepdims=True)))
    runner = compile_native(program, {})
    wrong = []

    def work(seed):
        mine = np.random.default_rng(seed).normal(size=x.shape)
        expected = program.interpret([mine])[0]
        for _ in range(50):
            if not np.allclose(runner([mine], [None])[0], expected, rtol=1e-13):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@quietly
def test_what_it_says_of_itself():
    b, program = adam(guarded=True)
    b(Host("noted", lambda: 1.0))
    runner = compile_native(b.program(*program.results), {0: 0})
    assert runner.nbytes > 0
    assert runner.buffers == len(runner.offsets)
    assert "stop_if(" in runner.source
    assert "python('noted')" in runner.source
    assert runner.source.endswith("\n")
    timed = runner.timed(b.values, 3)
    assert {i for instructions, _, _ in timed for i in instructions} <= set(
        runner.program.instructions
    )
    assert all(seconds > 0 for _, _, seconds in timed)
    assert [text for _, text, _ in timed][-1].startswith("kernel")
