"""The NumPy backend agrees with the interpreter on random programs, to the bit."""

import numpy as np
from hypothesis import given, settings, strategies as st
from programs import copied, programs, same

from microgradopt.compiler.passes import standard
from microgradopt.compiler.printed.backend import compile_numpy


def agrees(program, entries, runner):
    expected = program.interpret(entries)
    for _ in range(2):  # kept memory holds what the first run left
        found = runner(entries, [None] * len(expected))
        assert all(map(same, found, expected)), runner.source
    return found


@settings(max_examples=300, deadline=None)
@given(programs())
def test_a_run_gives_what_the_interpreter_gives(case):
    program, entries = case
    agrees(program, entries, compile_numpy(program))
    agrees(program, entries, compile_numpy(standard(program)[-1][1]))
    agrees(program, entries, compile_numpy(program, block=16))  # so short that all arrays are cut


@settings(max_examples=200, deadline=None)
@given(programs())
def test_results_alias_neither_entries_nor_each_other_nor_what_is_kept(case):
    program, entries = case
    runner = compile_numpy(program, block=24)
    found = agrees(program, entries, runner)
    arrays = [x for x in found if isinstance(x, np.ndarray)]
    others = [x for x in entries if isinstance(x, np.ndarray)]
    for i, x in enumerate(arrays):
        assert not any(np.shares_memory(x, y) for y in [*arrays[:i], *others])
    before = [x.copy() for x in arrays]
    runner(entries, [None] * len(found))
    assert all(map(same, arrays, before))


@settings(max_examples=300, deadline=None)
@given(programs(), st.data())
def test_results_may_overwrite_the_entries_they_replace(case, data):
    program, entries = case
    entries = copied(entries[: len(program.entries)])
    pairs, free = {}, list(range(len(entries)))
    for r, x in enumerate(program.results):
        fitting = [
            e
            for e in free
            if hasattr(x, "is_array") and x.is_array and same_type(x, program.entries[e])
        ]
        if fitting and data.draw(st.booleans()):
            pairs[r] = data.draw(st.sampled_from(fitting))
            free.remove(pairs[r])
    runner = compile_numpy(program, pairs, block=data.draw(st.sampled_from([16, 40, 1000])))
    assert runner.in_place.items() <= pairs.items()
    expected = program.interpret(copied(entries))
    into = [
        entries[runner.in_place[r]] if r in runner.in_place else None for r in range(len(expected))
    ]
    found = runner(entries, into)
    assert all(map(same, found, expected)), runner.source
    assert all(x is y for x, y in zip(found, into) if y is not None)


def same_type(x, y):
    return y.is_array and (x.shape, x.dtype, x.strides) == (y.shape, y.dtype, y.strides)
