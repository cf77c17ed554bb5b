"""What each pass does, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from programs import Builder, same

from microgradopt.compiler import passes
from microgradopt.compiler.program import Call, Check, Guard, Host
from microgradopt.engine.ops.shapes import transpose_row
from microgradopt.engine.rules import as_dtype, broadcast_to, reshape_to

X = np.arange(12.0).reshape(3, 4)


def names(program):
    return [i.op.name for i in program.instructions]


def count(program):
    return len(program.instructions)


# Dead code


def test_what_nothing_needs_goes_with_what_only_it_needed():
    b = Builder(X)
    b("exp", b("negative", b.entries[0]))
    kept = b("square", b.entries[0])
    assert names(passes.without_dead_code(b.program(kept))) == ["square"]


def test_effects_stay_and_so_does_what_they_read():
    b = Builder(2.0)
    x = b.entries[0]
    b(Host("log it", lambda x: None), b("exp", x))
    b(Guard(True), b("greater", x, 0.0))
    b(Check(lambda *_: None), b("sqrt", x))
    program = b.program(x)
    assert passes.without_dead_code(program) is program


def test_what_a_param_or_a_part_of_an_index_reads_is_needed():
    b = Builder(X, np.array([0, 2]))
    rows = b(Call("double", np.copy), b.entries[1])
    axis = b(Host("axis", lambda: 1))
    picked = b("index", b.entries[0], key=(rows, slice(None)))
    total = b(np.add.reduce, picked, axis=axis)
    program = b.program((total,))
    assert passes.without_dead_code(program) is program


# Common subexpressions


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        (2.0, 2.0, True),
        (float("nan"), float("nan"), True),
        (0.0, -0.0, False),
        (1.0, 1, False),
        (1, True, False),
        (np.float32(1.0), np.float64(1.0), False),
        (np.ones(4), np.ones(4), True),
        (np.ones(4), np.ones(4, np.float32), False),
        (np.zeros(4), -np.zeros(4), False),
        (np.ones((100, 4)), np.ones((100, 4)), False),  # too long to compare
    ],
)
def test_operands_that_are_the_same_to_the_bit_make_one_instruction(first, second, merged):
    b = Builder(np.ones(4))
    results = [b("multiply", b.entries[0], constant) for constant in (first, second)]
    assert count(passes.without_repetitions(b.program(*results))) == (1 if merged else 2)


def test_a_repetition_of_repetitions_is_found():
    b = Builder(X)
    results = [b("exp", b("negative", b.entries[0])) for _ in range(3)]
    program = passes.without_repetitions(b.program(*results))
    assert names(program) == ["negative", "exp"]
    assert len(set(program.results)) == 1


def test_params_tell_instructions_apart():
    b = Builder(X)
    keys = [(slice(0, 2), None), (slice(0, 2), None), (slice(0, 2), ...), ([0, 1],), ([0, 1],)]
    program = passes.without_repetitions(
        b.program(*(b("index", b.entries[0], key=key) for key in keys))
    )
    assert count(program) == 3


def test_functions_without_a_hash_are_told_apart_by_identity():
    class Scaling(list):
        __hash__ = None

        def __call__(self, x):
            return 2.0 * x

    b = Builder(X)
    one, other = (Call("scale", Scaling()) for _ in range(2))
    results = [b(op, b.entries[0]) for op in (one, one, other)]
    assert count(passes.without_repetitions(b.program(*results))) == 2


def test_hosts_and_guards_are_never_merged():
    b = Builder(1.0)
    draw = Host("draw", lambda: 0.5)
    results = [b(draw), b(draw)]
    b(Guard(True), b.entries[0])
    b(Guard(True), b.entries[0])
    program = b.program(*results)
    assert passes.without_repetitions(program) is program


# Constant folding


def test_what_depends_on_constants_only_is_computed_before():
    b = Builder(X)
    half = b("exp", b("negative", 0.5))
    program = passes.with_constants_folded(b.program(b("multiply", b.entries[0], half)))
    assert names(program) == ["multiply"]
    assert program.instructions[0].operands[1] == np.exp(-0.5)


def test_several_results_are_folded_too():
    b = Builder(X)
    whole, part = b(Call("divmod", divmod), 7.0, 2.0)
    assert passes.with_constants_folded(b.program(whole, part)).results == [3.0, 1.0]


def test_a_result_much_larger_than_its_operands_is_not_kept():
    b = Builder()
    program = b.program(b(np.full, (1000, 1000), 1.0))
    assert passes.with_constants_folded(program) is program


def test_what_raises_is_left_to_raise_when_it_runs():
    b = Builder()
    singular = np.ones((2, 2))
    program = b.program(b(np.linalg.inv, np.eye(2)))
    program.instructions[0] = type(program.instructions[0])(
        Call("inv", np.linalg.inv), (singular,), {}, program.instructions[0].outs
    )
    assert passes.with_constants_folded(program) is program
    with pytest.raises(np.linalg.LinAlgError):
        program.interpret([])


def test_neither_effects_nor_what_is_unknown_is_folded():
    b = Builder()
    results = [b(Host("rate", lambda: 0.1)), b(Call("make", lambda: object()))]
    program = b.program(*results)
    assert passes.with_constants_folded(program) is program


# Algebra

F = np.asfortranarray(X)
ZEROS = np.array([0.0, -0.0, 1.0, np.inf, np.nan])
SIMPLER = {
    "x·1": lambda b, x: b("multiply", x, 1.0),
    "1·x": lambda b, x: b("multiply", 1.0, x),
    "x/1": lambda b, x: b("divide", x, 1.0),
    "x+−0": lambda b, x: b("add", x, -0.0),
    "−0+x": lambda b, x: b("add", -0.0, x),
    "x−0": lambda b, x: b("subtract", x, 0.0),
    "−−x": lambda b, x: b("negative", b("negative", x)),
    "alias": lambda b, x: b("alias", x),
    "same dtype": lambda b, x: b(as_dtype, x, dtype=x.dtype),
    "same shape": lambda b, x: b(broadcast_to, x, shape=x.shape),
    "reshaped to what it is": lambda b, x: b(reshape_to, x, shape=x.shape),
    "reshaped back": lambda b, x: b(reshape_to, b(reshape_to, x, shape=(-1,)), shape=x.shape),
    "not transposed": lambda b, x: b(transpose_row, x, axes=tuple(range(len(x.shape)))),
    "transposed back": lambda b, x: b(
        transpose_row, b(transpose_row, x, axes=tuple(range(len(x.shape)))[::-1]),
        axes=tuple(range(len(x.shape)))[::-1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", SIMPLER)
@pytest.mark.parametrize("entry", [X, ZEROS, ZEROS.astype(np.float32)])
def test_what_changes_nothing_goes(rule, entry):
    b = Builder(entry)
    program = b.program(SIMPLER[rule](b, b.entries[0]))
    simpler = passes.simplified(program)
    assert simpler.results == [b.entries[0]]
    assert same(simpler.interpret([entry])[0], program.interpret([entry])[0])


KEPT = {
    "x+0 makes 0 of −0": lambda b, x: b("add", x, 0.0),
    "0+x": lambda b, x: b("add", 0.0, x),
    "x−(−0)": lambda b, x: b("subtract", x, -0.0),
    "x·0 is NaN for infinity": lambda b, x: b("multiply", x, 0.0),
    "x/0": lambda b, x: b("divide", x, 0.0),
    "x/3": lambda b, x: b("divide", x, 3.0),
    "x/10³⁰⁰, whose reciprocal is no power of 2": lambda b, x: b("divide", x, 1e300),
    "x/∞": lambda b, x: b("divide", x, np.inf),
    "2/x": lambda b, x: b("divide", 2.0, x),
    "−exp": lambda b, x: b("negative", b("exp", x)),
    "transposed once": lambda b, x: b(transpose_row, x, axes=tuple(range(len(x.shape)))[::-1]),
    "transposed without saying how": lambda b, x: b(transpose_row, x),
    "and then back": lambda b, x: b(transpose_row, b(transpose_row, x), axes=(1, 0)),
    "exp": lambda b, x: b("exp", x),
    "x>1": lambda b, x: b("greater", x, 1.0),
    "x>0, without relu": lambda b, x: b("greater", x, 0.0),
    "another dtype": lambda b, x: b(as_dtype, x, dtype=np.dtype(np.float32)),
    "repeated": lambda b, x: b(broadcast_to, x, shape=(2, *x.shape)),
}


@pytest.mark.parametrize("rule", KEPT)
def test_what_could_change_a_bit_stays(rule):
    b = Builder(X)
    program = b.program(KEPT[rule](b, b.entries[0]))
    assert passes.simplified(program) is program


def test_an_array_in_another_memory_order_does_not_take_the_place():
    b = Builder(X[:, ::2])
    x = b.entries[0]
    back = b(reshape_to, b(reshape_to, x, shape=(6,)), shape=(3, 2))
    program = b.program(b("multiply", x, 1.0), back)
    assert passes.simplified(program) is program


def test_two_views_become_one():
    b = Builder(X)
    x = b.entries[0]
    flat = b(reshape_to, b(reshape_to, x, shape=(2, 6)), shape=(12,))
    cube = b(reshape_to, x, shape=(2, 3, 2))
    turned = b(transpose_row, b(transpose_row, cube, axes=(1, 2, 0)), axes=(1, 2, 0))
    program = b.program(flat, turned)
    simpler = passes.without_dead_code(passes.simplified(program))
    assert count(simpler) == count(program) - 2
    assert all(map(same, simpler.interpret([X]), program.interpret([X])))


@pytest.mark.parametrize("divisor", [2.0, -0.25, 2.0**100])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_power_of_two_divides_by_multiplying(divisor, dtype):
    entry = np.array([1.0, 3.0, 5e-45, 1e38, np.inf, np.nan, -0.0], dtype)
    b = Builder(entry, 0.3)
    program = b.program(*(b("divide", x, divisor) for x in b.entries))
    simpler = passes.simplified(program)
    assert names(simpler) == ["multiply", "multiply"]
    assert all(map(same, simpler.interpret(b.values), program.interpret(b.values)))


@pytest.mark.parametrize(
    ("divisor", "dtype"), [(2.0**1023, np.float64), (2.0**127, np.float32), (2.0, np.int64)]
)
def test_but_not_where_the_reciprocal_is_not_normal_or_numbers_are_whole(divisor, dtype):
    b = Builder(np.ones(3, dtype))
    program = b.program(b("divide", b.entries[0], divisor))
    assert passes.simplified(program) is program


def test_positive_entries_are_found_in_relu():
    b = Builder(X - 5.0)
    x = b.entries[0]
    h = b("relu", x)
    program = b.program(h, b("greater", x, 0.0))
    simpler = passes.simplified(program)
    assert simpler.instructions[1].operands[0] is h
    assert all(map(same, simpler.interpret(b.values), program.interpret(b.values)))


def test_operands_inside_of_params_are_replaced_too():
    b = Builder(X, X)
    x, y = (b("alias", entry) for entry in b.entries)
    add = Call("total", lambda *args, of: np.add(of["a"], of["b"][0]))
    program = b.program(b(add, of={"a": x, "b": [y]}), b(add, of={"a": b.entries[0], "b": [X]}))
    simpler = passes.simplified(program)
    assert count(simpler) == 2
    assert simpler.instructions[1] is program.instructions[3]
    assert all(map(same, simpler.interpret([X, X]), program.interpret([X, X])))


# Effects first, and all together


def test_what_no_effect_depends_on_comes_after_the_last():
    b = Builder(2.0)
    x = b.entries[0]
    early = b("exp", x)
    update = b("multiply", x, 0.9)
    b(Guard(True), early)
    program = passes.with_effects_first(b.program(update))
    assert names(program) == ["exp", "guard", "multiply"]
    assert passes.with_effects_first(program) is program


def test_the_standard_passes_run_until_none_finds_anything():
    b = Builder(X)
    x = b.entries[0]
    twice = [b("multiply", b("exp", b("multiply", x, b("negative", -1.0))), 1.0) for _ in range(2)]
    b("sin", x)
    stages = passes.standard(b.program(b("add", *twice)))
    assert {name for name, _ in stages} == set(passes.PASSES)
    last = stages[-1][1]
    assert names(last) == ["exp", "add"]
    assert all(apply(last) is last for apply in passes.PASSES.values())
