"""A slice of ``python -m benchmarks.fuzz``: random graphs against references; and it sees bugs."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import fuzz
from benchmarks.fuzzing import checks, jitted
from microgradopt.check.expressions import Expression, Step, library_rows
from microgradopt.engine.graph import Primitive

HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.mark.parametrize("kind", fuzz.KINDS[1::2], ids=lambda kind: kind.name)
def test_random_graphs_agree_with_numerical_derivatives(kind):
    fuzzer = fuzz.Fuzzer()
    assert fuzzer.run(kind, seed=7, count=50) is None
    assert fuzzer.graphs >= 40


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_random_graphs_agree_with_torch():
    fuzzer = fuzz.Fuzzer(("torch",))
    assert fuzzer.run(fuzz.KINDS[0], seed=8, count=50) is None
    assert fuzzer.compared["torch"] >= 40


@pytest.mark.parametrize("kind", fuzz.KINDS[1::2], ids=lambda kind: kind.name)
def test_random_graphs_jitted_agree_with_themselves(kind):
    fuzzer = fuzz.Fuzzer(("jit",))
    assert fuzzer.run(kind, seed=9, count=25) is None
    assert fuzzer.compared["jit"] >= 20


def test_a_jitted_graph_that_differs_in_one_bit_is_found(monkeypatch):
    honest = checks.hessian_product
    calls = iter(range(100))
    off = lambda case: [g * (1.0 + 1e-15 * (next(calls) == 4)) for g in honest(case)]  # noqa: E731
    monkeypatch.setitem(jitted.PARTS, "second order", off)
    x = np.linspace(0.5, 2.0, 3)
    case = checks.Case.of(expression_of("exp", x))
    with pytest.raises(checks.DisagreementError, match="second order, jitted, call 2"):
        jitted.check_jit(case, "second order", "jit")


def scaled(name, monkeypatch):
    row = Primitive.table[name]
    right = row.partials[0]
    wrong = (lambda *args: 1.001 * right(*args), *row.partials[1:])
    monkeypatch.setattr(row, "partials", wrong)
    monkeypatch.setattr(row, "first", wrong[0])


@pytest.mark.parametrize("name", ["tanh", "arctan2", "log"])
def test_a_wrong_rule_is_found_and_shrunk_to_one_step(name, monkeypatch):
    scaled(name, monkeypatch)
    rows = [Primitive.table[n] for n in (name, "add", "sin", "sum", "matmul", "exp", "softplus")]
    monkeypatch.setattr(fuzz, "library_rows", lambda: rows)
    report = fuzz.Fuzzer().run(fuzz.KINDS[1], seed=1, count=200)
    assert report is not None
    assert "DisagreementError" in report
    assert f"return mg.{name}(" in report


def test_a_chunk_repeats_itself_and_differs_from_the_next():
    def sources(seed):
        found = []
        fuzzer = fuzz.Fuzzer()
        fuzzer.check = lambda expression, part: found.append((part, expression.source()))
        fuzzer.run(fuzz.KINDS[1], seed, 12)
        return found

    assert sources(3) == sources(3)
    assert sources(3) != sources(4)
    assert fuzz.seed_of(0, 3) != fuzz.seed_of(3, 0)


def expression_of(row, *inputs, **params):
    names = {f"x{i}": x for i, x in enumerate(inputs)}
    step = Step(Primitive.table[row], tuple(names), params)
    return Expression(names, {"y0": step}, ("y0",))


@pytest.mark.parametrize(
    "row", ["absolute", "sigmoid", "cbrt", "arctan2", "logsumexp", "remainder"]
)
def test_continuations_to_complex_numbers_are_right(row):
    assert checks.analytic(Primitive.table[row])


def test_most_rows_take_the_complex_step():
    rows = library_rows()
    assert sum(map(checks.analytic, rows)) > 0.7 * len(rows)


def test_differences_find_a_slope_and_know_how_well():
    slope, doubt = checks.differences(lambda t: np.sin(3.0 * t))
    assert abs(slope - 3.0) < doubt + 1e-12 < 1e-8
    slope, doubt = checks.differences(lambda t: np.log(t) if t > 0 else np.nan)
    assert not doubt < np.inf
    assert slope != slope


def test_a_linear_row_is_a_matrix():
    row = Primitive.table["concatenate"]
    (a, b), shape = checks.as_matrices(row, (np.ones((1, 2)), np.zeros((0, 2))), {"axis": 0})
    np.testing.assert_array_equal(a, np.eye(2))
    assert b.shape == (2, 0)
    assert shape == (1, 2)
    assert checks.covers({}, row)
    assert not checks.covers({}, Primitive.table["exp"])


def test_float32_gradients_must_be_float32_and_close():
    x = np.linspace(0.5, 2.0, 3, dtype=np.float32)
    case = checks.Case.of(expression_of("log", x))
    found = checks.gradients(case)
    checks.check_narrow(case, found)
    with pytest.raises(checks.DisagreementError, match="float32 against float64"):
        checks.check_narrow(case, [1.001 * found[0]])
    with pytest.raises(checks.DisagreementError, match="dtype float64"):
        checks.check_narrow(case, [found[0].astype(np.float64)])
    with pytest.raises(checks.DisagreementError, match="shape"):
        checks.check_narrow(case, [found[0][:2]])


def test_rounding_that_a_graph_magnifies_is_no_disagreement():
    x = np.array([3.0])
    steps = {  # 1e10·((x + 1e6) − 1e6): correct to about 1 in the sixth digit only
        "y0": Step(Primitive.table["add"], ("x0", 1e6), {}),
        "y1": Step(Primitive.table["subtract"], ("y0", 1e6), {}),
        "y2": Step(Primitive.table["square"], ("y1",), {}),
    }
    case = checks.Case.of(Expression({"x0": x}, steps, ("y2",)))
    true = checks.gradients(case)
    checks.expect(case, [true[0] * (1.0 + 1e-7)], true, "rounding", checks.EXACT)
    with pytest.raises(checks.DisagreementError):
        checks.expect(case, [true[0] * 1.001], true, "wrong", checks.EXACT)
    with pytest.raises(checks.DisagreementError):
        checks.expect(case, [np.array([np.nan])], true, "NaN", checks.EXACT)


def test_the_command(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", "--graphs", "20", "--against", "complex"],
        capture_output=True, text=True, check=False, cwd=fuzz.__file__.rsplit("benchmarks", 1)[0],
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("20 graphs, ")
    assert run.stdout.endswith("0 disagreement(s)\n")
    assert "graphs, " in run.stderr
