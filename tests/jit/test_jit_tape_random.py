"""The tape agrees with the interpreter on random programs of scalars, to the bit."""

import pytest
from hypothesis import given, settings, strategies as st
from programs import same
from scalars import laned_program, loose_program

from microgradopt.compiler.tape import compile_tape, fits_tape

SEEDS = st.integers(0, 2**32)
both = pytest.mark.parametrize("native", [True, False], ids=["llvm", "numpy"])


def agrees(case, native):
    program, entries = case
    assert fits_tape(program)
    expected = program.interpret(entries)
    runner = compile_tape(program, native=native)
    for _ in range(2):  # the buffer holds what the first run left
        found = runner(entries, [None] * len(expected))
        assert all(map(same, found, expected)), (found, expected)


@both
@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_programs_without_a_pattern(native, seed):
    agrees(loose_program(seed), native)


@both
@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_programs_with_lanes(native, seed):
    agrees(laned_program(seed), native)


@both
@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_programs_with_lanes_and_effects(native, seed):
    agrees(laned_program(seed, effects=0.3), native)
