"""The report: instructions after each pass, memory, flops, and where the time goes."""

from __future__ import annotations

import numpy as np
import pytest
from programs import Builder

from microgradopt.compiler.passes import standard
from microgradopt.compiler.printed.backend import compile_numpy
from microgradopt.compiler.program import Call, Host
from microgradopt.compiler.report import duration, flops_of, report, size
from microgradopt.engine.rules import add_up, reshape_to

RNG = np.random.default_rng(0)


def reported(b, *results):
    program = b.program(*results)
    stages = [("traced", program), *standard(program)]
    return report(stages, compile_numpy(stages[-1][1]), b.values, runs=3)


def network():
    b = Builder(RNG.normal(size=(50, 20)), RNG.normal(size=(20, 30)), names=("X", "W"))
    x, w = b.entries
    h = b("multiply", b("relu", b("matmul", x, w)), 1.0)
    b("exp", h)
    return b, b(add_up, h, axis=None)


def test_a_report_counts_what_there_is():
    b, loss = network()
    found = reported(b, loss)
    assert found.passes[:3] == (("traced", 5), ("dead code", 4), ("constants", 4))
    assert found.passes[-1][1] == 3
    assert found.buffers == 1
    assert found.nbytes == 50 * 30 * 8
    assert found.unplanned == 2 * 50 * 30 * 8
    assert found.flops == 2 * 50 * 20 * 30 + 2 * 50 * 30
    assert {cost.text for cost in found.costs} == {
        "z1 = np.matmul(X, W, out=b0)",
        "h1 = np.maximum(z1, zeros_50x30, out=b0)",
        "s1 = np.add.reduce(h1, None)",
    }
    times = [cost.seconds for cost in found.costs]
    assert times == sorted(times, reverse=True)
    assert found.seconds == pytest.approx(sum(times))
    product = next(cost for cost in found.costs if "matmul" in cost.text)
    assert product.gigaflops == pytest.approx(60_000 / product.seconds / 1e9)


def test_its_text_is_a_table():
    b, loss = network()
    lines = str(reported(b, loss)).splitlines()
    assert lines[0] == "pass         instructions"
    assert lines[1] == "traced                  5"
    assert lines[2] == "dead code               4  -1"
    assert "memory kept  11.7 KiB in 1 buffer(s), for 23.4 KiB of intermediate arrays" in lines
    assert any(line.startswith("arithmetic   63,000 flops, ") for line in lines)
    assert lines[-1].endswith("  in all")


def test_many_instructions_are_summed_up():
    b = Builder(1.0)
    x = b.entries[0]
    for _ in range(20):
        x = b("tanh", x)
    assert "  8 more\n" in str(reported(b, x))


def test_a_chain_of_long_arrays_is_one_line():
    b = Builder(RNG.normal(size=200_000))
    found = reported(b, b("exp", b("negative", b.entries[0])))
    (cost,) = found.costs
    assert cost.text == "for part in blocks_200000: 2 operations"
    assert cost.flops == 400_000


def test_an_empty_program_has_a_report_too():
    b = Builder(1.0)
    found = reported(b, b.entries[0])
    assert (found.flops, found.seconds, found.costs) == (0, 0, ())
    assert "0 ns  in all" in str(found)


def test_draws_made_for_a_report_are_taken_back():
    rng = np.random.default_rng(3)

    def undo(state):
        rng.bit_generator.state = state

    b = Builder(1.0)
    before = rng.bit_generator.state
    draw = b(Host("draw", lambda: rng.normal(), lambda: rng.bit_generator.state, undo))
    rate = b(Host("rate", lambda: 0.1))
    undo(before)
    reported(b, b("multiply", draw, rate))
    assert rng.bit_generator.state == before


def test_flops_are_counted_as_usual():
    x, y = RNG.normal(size=(4, 6)), RNG.normal(size=6)
    b = Builder(x, y, 2.0)
    a, v, number = b.entries
    cases = {
        b("matmul", a, v): 2 * 4 * 6,
        b(np.dot, v, v): 2 * 6,
        b("exp", a): 24,
        b("multiply", number, number): 1,
        b(add_up, a, axis=0): 24,
        b(np.maximum.reduce, a, axis=1): 24,
        b(np.add, a, a, dtype=np.dtype(np.float64)): 24,
        b(reshape_to, a, shape=(24,)): 0,
        b(Call("shape of", np.shape), number): 0,
        b(Host("rate", lambda: 0.1)): 0,
    }
    for i in b.instructions:
        assert flops_of(i) == cases[i.outs[0] if len(i.outs) == 1 else i.outs]


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_are_in_units_that_suit_them(nbytes, text):
    assert size(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2.0 s"), (0.0123, "12.3 ms"), (4.2e-6, "4.2 µs"), (5e-8, "50 ns")]
)
def test_times_are_in_units_that_suit_them(seconds, text):
    assert duration(seconds) == text
