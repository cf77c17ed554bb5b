"""Every pass leaves the results of random programs as they are, to the bit."""

import pytest
from hypothesis import given, settings
from programs import programs, same

from microgradopt.compiler import passes

PASSES = [
    passes.without_dead_code,
    passes.without_repetitions,
    passes.with_constants_folded,
    passes.simplified,
    passes.with_effects_first,
    lambda program: passes.standard(program)[-1][1],
]


@pytest.mark.parametrize("apply", PASSES)
@settings(max_examples=150, deadline=None)
@given(programs())
def test_a_pass_leaves_every_bit(apply, case):
    program, entries = case
    expected = program.interpret(entries)
    found = apply(program).interpret(entries)
    assert all(map(same, found, expected))
