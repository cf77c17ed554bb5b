"""The parts of the tape: rows, effects, simplification, lanes, what can be read of it."""

import itertools
import math
import threading

import numpy as np
import pytest
from programs import Builder, same
from scalars import SPECIAL

import microgradopt as mg
from microgradopt.compiler.program import Check, Guard, GuardError, Host
from microgradopt.compiler.tape import compile_tape, fits_tape
from microgradopt.compiler.tape.arrays import encode
from microgradopt.compiler.tape.kernels import KERNELS
from microgradopt.compiler.tape.lanes import find_lanes
from microgradopt.compiler.tape.order import uses_of
from microgradopt.compiler.tape.simplify import simplified
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Elementwise, Plain

both = pytest.mark.parametrize("native", [True, False], ids=["llvm", "numpy"])
ROWS = [
    row
    for row in Primitive.table.values()
    if isinstance(row, (Elementwise, Plain))
    and (row.operands or 2) <= 3
    and row.name != "cofactors"
]


def operands_of(row):
    return row.operands or getattr(row.array, "nin", 2)


def compiled(program, native):
    assert fits_tape(program)
    return compile_tape(program, native=native)


def sum_of_products(samples, weights=3, reverse=False, base=0.0):
    """Σ relu(Σ w·x) over samples, as Values record it; and the sums' gradients of w, say."""
    rng = np.random.default_rng(5)
    b = Builder(*rng.normal(size=weights).tolist())
    total, terms = base, []
    for _ in range(samples):
        z = 0.5
        for w in b.entries:
            z = b("add", z, b("multiply", w, float(rng.normal())))
        terms.append(b("relu", z))
    for h in reversed(terms) if reverse else terms:
        total = b("add", total, h)
    return b, total, terms


# Rows


@both
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_computed_as_ieee_says(row, native):
    count = operands_of(row)
    for xs in itertools.product(SPECIAL[:: 3 if count == 3 else 1], repeat=count):
        if row.name == "power_slope" and xs[1] == 1e-310:
            continue  # the kernel on arrays, which serves (−2)**1e-310, loses the exponent
        b = Builder(*xs)
        made = [b(row, *b.entries)]
        program = b.program(*made)
        if not fits_tape(program):
            assert made[0].kind not in (float, bool, np.bool_, np.float64)
            continue
        (expected,) = program.interpret(list(xs))
        (found,) = cached_tape(row, program, native)(list(xs), [None])
        assert type(found) is type(expected)
        if expected == expected:  # not NaN
            assert found == expected or math.isclose(found, expected, rel_tol=1e-13), xs
        else:
            assert found != found, xs


TAPES = {}


def cached_tape(row, program, native):
    """The program is the same for all operands but for the types."""
    key = row.name, native, program.results[0].kind
    if key not in TAPES:
        TAPES[key] = compile_tape(program, native=native)
    return TAPES[key]


@both
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_in_lanes_is_as_alone(row, native):
    rng = np.random.default_rng(1)
    count = operands_of(row)
    low, high = row.sample[-1] if isinstance(row.sample, tuple) else (0.2, 0.9)
    lanes = 11
    b = Builder(*rng.uniform(low, high, lanes * count).tolist())
    groups = [b.entries[k * count : (k + 1) * count] for k in range(lanes)]
    program = b.program(*(b(row, *xs) for xs in groups))
    expected = program.interpret(b.values)
    found = compiled(program, native)(b.values, [None] * lanes)
    assert list(map(type, found)) == list(map(type, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


# What a user may declare

cube = mg.elementwise(
    "cube_on_tape",
    scalar=lambda x: x * x * x,
    array=lambda x: x**3,
    partials=(lambda out, x: 3.0 * x * x,),
)
odd_kernel = mg.elementwise(  # no compiler knows a dict of a closure's
    "odd_on_tape",
    scalar=lambda x, known={}: known.setdefault(x, 2.0 * x),
    array=lambda x: 2.0 * x,
    partials=(2.0,),
)
array_only = mg.elementwise(
    "array_only_on_tape", array=lambda x, y: np.exp(-x) * y, partials=(None, None)
)
disagreeing = mg.elementwise(  # where Python raises, the array kernel says something else
    "disagreeing_on_tape",
    scalar=lambda x: 1.0 / x,
    array=lambda x: np.where(x == 0.0, 7.0, 1.0 / x),
    partials=(1.0,),
)


@both
@pytest.mark.parametrize("lanes", [1, 20])
def test_rows_of_users(native, lanes):
    rng = np.random.default_rng(2)
    b = Builder(*rng.normal(size=lanes).tolist())
    results = []
    for x in b.entries:
        y = b(odd_kernel, b(cube, x))
        results += [y, b("add", b(odd_kernel, y), b(array_only, x, y)), b(disagreeing, x)]
    program = b.program(*results)
    runner = compiled(program, native)
    for values in (b.values, [0.0] * lanes):
        np.testing.assert_allclose(
            runner(values, [None] * len(results)), program.interpret(values), rtol=1e-14
        )


def kernel(scalar=None, array=None, name="kernel_on_tape"):
    """A row that no table holds, of one operand."""

    class Unlisted(Plain):
        listed = False

    return Unlisted(name, scalar=scalar, array=array or np.negative)


def helper(x, exponent=2):
    return x**exponent if x else 1


def recursive(x, depth):
    return recursive(0.5 * x, depth - 1) + 1.0 if depth else x


@pytest.mark.parametrize(
    ("compiles", "scalar", "array"),
    [
        (True, lambda x: helper(x) / 2.0**x - True, lambda x: x * x / np.exp2(x) - 1.0),
        (True, lambda x: (x > 0.5) * 3 + (x != x) + -(x < 0.0), None),
        (True, lambda x: abs(+1.0 - x) / 3 if not x > 2.0 else math.sin(2.0) - x, None),
        (True, lambda x: max(x, 0.0) if math.isfinite(x) else float(x), None),
        (True, lambda x: float(math.isinf(x) or math.isnan(x)), None),
        (True, None, lambda x: np.where(x > 1.0, np.square(x), np.maximum(x, np.tanh(x)))),
        (True, None, lambda x: np.where(np.logical_not(x), 1.0, np.minimum(x, 2) ** 2)),
        (False, lambda x: float(repr(x)[:3].replace("n", "0").replace("i", "0")), None),
        (False, lambda x: [1.0, 2.0][int(x == x)], None),
        (False, None, lambda x: np.spacing(x) * 0.0 if np.ndim(x) == 0 else x),
        (False, None, lambda x: np.select([x > 0.0], [x], 1.0)),
        (True, lambda x: recursive(x, 3), None),
        (False, lambda x: "huge" if x > 1e307 else x, None),
        (False, lambda x: sum(1.0 for k in range(100) if x > k), None),
    ],
)  # fmt: skip
def test_kernels_are_compiled_or_left_to_python(compiles, scalar, array):
    row = kernel(scalar, array)
    assert (KERNELS.number(row, 1) is not None) == compiles
    for x in (0.0, 0.3, -2.5, 3.0):
        b = Builder(x)
        out = b(row, b.entries[0])
        out.kind = float
        (found,) = compile_tape(b.program(out), native=True)([x], [None])
        assert found == float(row.compute([x], {}))


# Effects


@both
def test_a_guard_stops_the_run_before_the_next_host(native):
    calls = []
    b = Builder(1.0)
    (x,) = b.entries
    first = b(Host("first", lambda: calls.append(1) or 2.0))
    b(Guard(True), b("greater", b("multiply", x, first), 0.0))
    second = b(Host("second", lambda x: calls.append(2) or x, None), first)
    program = b.program(b("add", first, second))
    runner = compiled(program, native)
    calls.clear()
    assert runner([3.0], [None]) == [4.0]
    assert calls == [1, 2]
    with pytest.raises(GuardError):
        runner([-3.0], [None])
    assert calls == [1, 2, 1]
    assert runner([3.0], [None]) == [4.0]


@both
def test_the_first_failing_check_explains(native):
    def explain(*values):
        raise ValueError(f"not finite: {values}")

    b = Builder(1.0, 2.0)
    x, y = b.entries
    b(Check(explain), b("divide", 1.0, x), b("divide", 1.0, y))
    b(Guard(True), b("greater", y, 0.0))
    program = b.program(x)
    runner = compiled(program, native)
    assert runner([1.0, 2.0], [None]) == [1.0]
    with pytest.raises(ValueError, match=r"not finite: \(1.0, inf\)"):
        runner([1.0, 0.0], [None])
    with pytest.raises(GuardError):
        runner([1.0, -2.0], [None])


@both
def test_a_check_of_a_constant(native):
    seen = []
    b = Builder(1.0)
    b(Check(lambda *args: seen.append(args)), b.entries[0], math.inf)
    runner = compiled(b.program(), native)
    seen.clear()
    assert runner([2.0], []) == []
    assert seen == [(2.0, math.inf)]


@both
def test_a_host_may_run_the_same_tape(native):
    b = Builder(1.0)
    (x,) = b.entries
    box = []

    def host(x):
        return x if x > 3.0 or not box else box[0]([x + 1.0], [None])[0]

    y = b("multiply", x, 2.0)
    program = b.program(b("add", b(Host("inner", host), x), y))
    box.append(compiled(program, native))
    assert box[0]([1.0], [None]) == [4.0 + 8.0 + 6.0 + 4.0 + 2.0]


@both
def test_results_that_are_entries_constants_or_repeated(native):
    b = Builder(1.5, True)
    x, truth = b.entries
    program = b.program(None, x, truth, 3, b("logical_not", truth), x, "text")
    found = compiled(program, native)([2.5, False], [None] * 7)
    assert found == [None, 2.5, False, 3, True, 2.5, "text"]
    assert list(map(type, found))[1:5] == [float, bool, int, bool]


def test_threads_have_buffers_of_their_own():
    b, total, _ = sum_of_products(200)
    runner = compiled(b.program(total), True)
    cases = [[float(k), 1.0, -1.0] for k in range(8)]
    expected = [runner(x, [None]) for x in cases]
    found = [None] * 8

    def work(k):
        for _ in range(50):
            found[k] = runner(cases[k], [None])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == expected


# What fits


def test_what_does_not_fit():
    b = Builder(1.0, np.ones(3))
    x = b.entries[0]
    assert not fits_tape(b.program(x))
    b = Builder(1.0)
    (x,) = b.entries
    assert fits_tape(b.program(x))
    b("add", np.ones(2), x)
    assert not fits_tape(b.program(x))
    b = Builder(1.0)
    b(Host("numbers", lambda: np.ones(2)))
    assert not fits_tape(b.program())
    b = Builder(1.0)
    b(np.sin, b.entries[0])
    assert not fits_tape(b.program())


# Simplification


def simple(b, *results, native=True):
    return simplified(encode(b.program(*results)), native=native)[0]


@both
def test_what_is_computed_twice_or_for_nobody(native):
    b = Builder(1.0, 2.0)
    x, y = b.entries
    one, two = b("multiply", x, y), b("multiply", x, y)
    b("exp", one)
    tape = simple(b, b("add", one, two), native=native)
    assert [tape.rows[k][0].name for k in tape.op] == ["multiply", "add"]
    assert tape.args[1].tolist() == [tape.base, tape.base, 0]


@both
@pytest.mark.parametrize(
    ("name", "operands", "kept"),
    [
        ("multiply", ("x", 1.0), False), ("multiply", (1.0, "x"), False),
        ("chain", ("x", 1.0), False), ("divide", ("x", 1.0), False),
        ("divide", (1.0, "x"), True), ("subtract", ("x", 0.0), False),
        ("subtract", ("x", -0.0), True), ("add", ("x", -0.0), False),
        ("add", ("x", 0.0), True), ("add", (0.0, "h"), False), ("add", ("h", 0.0), False),
        ("alias", ("x",), False), ("multiply", ("x", 0.0), True),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_left_out(native, name, operands, kept):
    b = Builder(1.0)
    x = b.entries[0]
    values = {"x": x, "h": b("relu", x)}
    made = b(name, *(values.get(a, a) for a in operands))
    tape = simple(b, b("sqrt", made), native=native)
    assert (name in [tape.rows[k][0].name for k in tape.op]) == kept


@both
def test_a_truth_times_one_is_a_number(native):
    b = Builder(2.0)
    truth = b("greater", b.entries[0], 0.0)
    number = b("relu", b("absolute", b("multiply", truth, 1.0)))
    program = b.program(truth, number, b("sign", number))
    found = compiled(program, native)([3.0], [None] * 3)
    assert found == [True, 1.0, 1.0]
    assert list(map(type, found)) == [bool, float, float]


def test_a_factor_is_left_out_of_all_lanes_or_of_none():
    b = Builder(*np.arange(1.0, 13.0).tolist())
    factors = [1.0] * 11 + [-1.0]
    made = [b("exp", b("multiply", x, c)) for x, c in zip(b.entries, factors)]
    assert len(simple(b, *made)) == 24


# Lanes


def lanes_of(b, *results):
    tape, shape = simplified(encode(b.program(*results)), native=True)
    return find_lanes(tape, shape, uses_of(tape)), tape


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("base", [0.0, 2.0])
def test_samples_are_lanes_and_their_sum_is_one(reverse, base):
    b, total, _ = sum_of_products(50, reverse=reverse, base=base)
    lanes, tape = lanes_of(b, total)
    assert {len(g) for g in lanes.groups} == {50}
    assert len(lanes.groups) == 7
    (s,) = lanes.sums
    assert len(s.adds) == 50 - (base == 0.0)
    assert len(tape) == 350 + len(s.adds)


def test_a_sum_that_others_read_is_none():
    b, total, terms = sum_of_products(6)
    so_far = 0.0
    results = [so_far := b("add", so_far, x) for x in terms]
    lanes, _ = lanes_of(b, total, *results)
    assert all(len(s.adds) < 6 for s in lanes.sums)


def test_sums_within_lanes_stay_in_the_lanes():
    b = Builder(*np.linspace(0.1, 1.0, 6).tolist())
    total = 1.0
    for k in range(20):
        hidden = 0.5
        for w in b.entries:
            hidden = b("add", hidden, b("multiply", w, float(k)))
        total = b("add", total, b("square", hidden))
    lanes, _ = lanes_of(b, total)
    assert {len(g) for g in lanes.groups} == {20}
    assert [len(s.adds) for s in lanes.sums] == [20]


def test_sums_of_two_networks():
    b = Builder(1.0, 2.0)
    x, y = b.entries
    total = 0.5
    for k in range(8):
        total = b("add", total, b("exp", b("multiply", x, float(k))))
    for k in range(9):
        total = b("add", total, b("tanh", b("add", y, float(k))))
    lanes, _ = lanes_of(b, total)
    assert sorted(len(s.adds) for s in lanes.sums) == [8, 9]
    assert sorted(len(g) for g in lanes.groups) == [8, 8, 9, 9]
    program = b.program(total)
    for native in (True, False):
        found = compiled(program, native)(b.values, [None])
        np.testing.assert_allclose(found, program.interpret(b.values), rtol=1e-14)


@both
def test_a_long_chain_and_many_singles(native):
    b = Builder(0.5)
    x = y = b.entries[0]
    for k in range(3000):
        y = b("subtract" if k % 3 else "multiply", y, x)
    program = b.program(y)
    assert compiled(program, native)([0.7], [None]) == program.interpret([0.7])


@both
def test_many_levels_without_lanes(native):
    rng = np.random.default_rng(3)
    b = Builder(*rng.normal(size=4).tolist())
    pool = list(b.entries)
    for _ in range(4000):
        i, j = rng.integers(max(0, len(pool) - 60), len(pool), 2)
        pool.append(b(("add", "multiply", "subtract")[int(rng.integers(3))], pool[i], pool[j]))
        if rng.random() < 0.5:
            pool[-1] = b("relu", b("subtract", pool[-1], 0.25))
            pool[-1] = b("minimum", pool[-1], 2.0)
    program = b.program(*pool[-50:])
    found = compiled(program, native)(b.values, [None] * 50)
    assert all(map(same, found, program.interpret(b.values)))


# Source


@both
def test_the_source_speaks_of_lanes_in_the_users_names(native):
    rng = np.random.default_rng(5)
    b = Builder(0.5, -1.0, names=("layer.0.w", "b"))
    w, bias = b.entries
    total = 0.0
    for _ in range(30):
        total = b("add", total, b("relu", b("add", bias, b("multiply", w, float(rng.normal())))))
    text = compiled(b.program(total, None), native).source
    lines = [line.split("  #")[0] for line in text.splitlines()]
    assert lines[0] == "# 119 operations on floats."
    assert "def step(layer_0_w, b):" in lines
    assert "    p1[30] = layer_0_w * [-0.8018…" not in text
    assert any(line.startswith("    p1[30] = layer_0_w * [") for line in lines)
    assert "    v1[30] = b + p1" in lines
    assert "    h1[30] = relu(v1)" in lines
    assert lines[-1] == "    return s1, None"


def test_names_in_the_source_are_different_from_each_other():
    b = Builder(0.5, 1.0, names=("a.b", "a_b"))
    made = b("multiply", *b.entries)
    made.name = "loss"
    text = compiled(b.program(b("exp", made)), True).source
    assert "def step(a_b, a_b_2):\n    loss = a_b * a_b_2\n    t1 = exp(loss)\n" in text


def test_a_long_source_is_cut_and_says_so():
    b = Builder(0.5, 1.0)
    x = b.entries[0]
    results = []
    for k in range(400):
        row = ("add", "multiply", "subtract", "divide")[k % 4]
        results.append(b(row, results[-1] if results else x, float(k + 2)))
    b(Guard(True), b("greater", results[-1], -1e9))
    text = compiled(b.program(*results[-10:]), True).source
    assert "more numbers like these" in text
    assert "# guard(" in text
    assert text.rstrip().endswith("# 10 in all")
    groups = Builder(*np.linspace(1.0, 2.0, 8).tolist())
    last = groups.entries
    for k in range(600):
        last = [groups(("exp", "sqrt", "relu", "negative")[k % 4], x) for x in last]
    text = compiled(groups.program(*last), True).source
    assert "and so on, for" in text
