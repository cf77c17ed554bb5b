"""Every suspicion is raised by a bug made on purpose, and the operation that has it is named."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import check_grads, check_rule
from microgradopt.engine.graph import Primitive
from microgradopt.errors import GradientError

X = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])
SQUARE = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75], [1.0, 2.5, -2.0]])


@pytest.fixture(autouse=True)
def _fresh_table():
    """Rows declared in a test are gone after it."""
    before = dict(Primitive.table)
    yield
    Primitive.table.clear()
    Primitive.table.update(before)


def message(f, *args, **options):
    with pytest.raises(GradientError) as caught:
        check_grads(f, *args, **options)
    return str(caught.value)


def suspicion(text):
    found = [line for line in text.splitlines() if line.startswith("suspicion: ")]
    return found[0].removeprefix("suspicion: ") if found else None


def operation(text):
    (found,) = [line for line in text.splitlines() if line.startswith("operation: ")]
    return found.removeprefix("operation: ")


def scaled(by):
    return mg.elementwise("scaled", array=np.sin, partials=(lambda out, x: by * mg.cos(x),))


@pytest.mark.parametrize(
    ("by", "text"),
    [
        (-1.0, "-1 times the numerical one: a sign is flipped"),
        (2.0, "2 times the numerical one: something is counted twice"),
        (0.5, "0.5 times the numerical one: half of it is missing"),
        (1.001, "1.001 times the numerical one"),
        (0.7, "0.7 times the numerical one"),
    ],
)
@pytest.mark.parametrize("modes", [("reverse",), ("forward",)])
def test_a_constant_factor(by, text, modes):
    row = scaled(by)
    found = message(lambda x: 3.0 * row(x), X, modes=modes)
    assert text in suspicion(found)
    wrong = f"the {modes[0]} rule of 'scaled' on shape (2, 3) is wrong for operand 0"
    assert operation(found) == wrong


def test_a_single_entry_is_always_some_multiple_so_nothing_is_said():
    assert suspicion(message(scaled(0.7), 1.0)) is None
    del Primitive.table["scaled"]
    assert "sign" in suspicion(message(scaled(-1.0), 1.0))


def summing(name, transpose):
    return mg.linear(name, array=lambda x: np.sum(x, axis=0), transpose=transpose)


def test_a_mean_instead_of_a_sum():
    row = summing("sum_of_rows", lambda g, x: mg.broadcast_to(g / 7.0, shape=x.shape))
    found = message(row, np.linspace(-1.0, 1.0, 7 * 3).reshape(7, 3))
    assert "1/7: perhaps a mean where there should be a sum" in suspicion(found)
    assert "'sum_of_rows' on shape (7, 3)" in operation(found)


def test_a_sum_instead_of_a_mean():
    row = mg.linear(
        "mean_of_rows",
        array=lambda x: np.mean(x, axis=0),
        transpose=lambda g, x: mg.broadcast_to(g, shape=x.shape),
    )
    found = suspicion(message(row, np.linspace(-1.0, 1.0, 7 * 3).reshape(7, 3)))
    assert (
        "7 times the numerical one: perhaps a sum over 7 entries where there should be a mean"
        in found
    )


def spread(transpose):
    return mg.linear("spread", array=lambda x: np.tile(x, (5, 1)), transpose=transpose)


def test_the_mean_of_a_broadcast_axis():
    row = spread(lambda g, x: mg.mean(g, 0))
    found = message(lambda x: mg.sum(row(x)), X[0])
    assert "1/5: perhaps the sum over a broadcast axis of length 5 is missing" in suspicion(found)
    assert "'spread' on shape (3,)" in operation(found)


@pytest.mark.parametrize(("row", "name"), [(0, "first"), (-1, "last")])
def test_one_row_of_a_sum_over_a_broadcast_axis(row, name):
    found = message(spread(lambda g, x: g[row]), X[0])
    assert f"of the 5 rows along axis 0 of the result, only the {name} counts" in suspicion(found)


def test_one_row_is_seen_in_the_operation_where_the_result_is_a_number():
    row = spread(lambda g, x: g[0])
    found = message(lambda x: mg.sum(row(x) * np.arange(1.0, 6.0)[:, None] ** 2), X[0])
    assert "of the 5 rows along axis 0 of the result, only the first counts" in operation(found)


def test_a_transposed_gradient():
    row = mg.multilinear(
        "product",
        array=np.matmul,
        transposes=(lambda g, x, y: (g @ y.T).T, lambda g, x, y: x.T @ g),
    )
    found = message(row, SQUARE, SQUARE + 1.0)
    assert suspicion(found) == "the analytic gradient is the transpose of the numerical one"
    assert "operand 0" in operation(found)


def test_a_square_matrix_is_not_always_transposed():
    assert "2 times" in suspicion(message(scaled(2.0), SQUARE))


def test_a_kink_closer_than_differences_can_see():
    found = message(mg.relu, np.array([1e-12, 50.0]))
    assert "a kink here" in suspicion(found)
    assert "a kink here" in operation(found)


def test_a_transposed_gradient_of_many_entries():
    row = mg.linear("turned", array=lambda x: x, transpose=lambda g, x: g.T)
    big = np.random.default_rng(0).normal(size=(20, 20))
    found = message(lambda x: mg.sum(row(x) * big), big)
    assert "entries looked at, of 400 in all, disagree" in found
    assert "transpose" in suspicion(found)


def test_a_kink_and_a_tie():
    found = message(mg.relu, np.array([1.0, 0.0]))
    assert suspicion(found).startswith("a kink here: the slope is 0 to the left and ")
    assert operation(found).startswith("'relu' on shape (2,) is at a special point: a kink here")
    found = message(mg.max, np.array([1.0, 1.0, 1.0]))
    assert "a kink here" in suspicion(found)
    assert "'max' on shape (3,) is at a special point: a tie, which splits" in operation(found)
    assert "a kink here" in suspicion(message(mg.relu, np.array([1.0, 0.0]), method="taylor"))


def test_a_wrong_rule_is_named_before_a_kink():
    row = scaled(2.0)
    found = message(lambda x: row(mg.relu(x)), np.array([1.0, 0.0, 2.0]))
    assert "the reverse rule of 'scaled'" in operation(found)


def test_the_edge_of_the_domain_and_values_that_are_no_numbers():
    found = message(mg.sqrt, 0.0)
    assert "the edge of the domain: left of this point" in suspicion(found)
    assert operation(found).startswith("'sqrt' on shape () is at a special point")
    assert "the function itself is NaN or infinite" in suspicion(message(mg.log, -1.0))
    assert "the function itself" in suspicion(message(mg.log, -1.0, method="taylor"))
    lost = mg.elementwise("lost", array=np.sin, partials=(lambda out, x: x * np.nan,))
    assert "analytic derivative is NaN or infinite" in suspicion(message(lost, 1.0))
    found = message(lost, 1.0, modes=["forward"])
    assert "is NaN or infinite" in suspicion(found)
    assert operation(found) == "it becomes so in the forward rule of 'lost' on shape ()"


def test_a_cut_graph():
    found = message(lambda x: 1.0 + 3.0 * mg.stop_gradient(x), 2.0)
    assert suspicion(found).startswith("the analytic derivative is 0: the graph is cut")
    assert operation(found).startswith("every local rule agrees: look for .data")


def test_some_entries_are_0():
    half = mg.elementwise(
        "half", array=np.sin, partials=(lambda out, x: mg.where(x > 1.0, 0.0, mg.cos(x)),)
    )
    found = message(half, X)
    assert suspicion(found).startswith("the analytic derivative is 0 here but not in other entries")
    assert "the reverse rule of 'half'" in operation(found)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: 1.0 / (x - 1.0), 1.0 + 1e-8),
        (lambda x: mg.exp(-(((x - 1.0) / 1e-6) ** 2)), 1.000001),
    ],
)
def test_a_pole_or_a_bump_that_the_steps_go_across(f, x):
    found = message(f, x)
    assert suspicion(found).startswith("differences with far smaller steps agree")
    assert "operation:" not in found


def test_a_graph_cut_in_part_has_no_wrong_operation():
    found = message(lambda x: mg.sum(x**2) + 5.0 * x.data[1, 2], X)
    assert suspicion(found) is None
    assert operation(found).startswith("every local rule agrees: look for .data")


def test_two_results_at_one_point():
    rng = np.random.default_rng(0)
    found = message(lambda x: x * rng.normal(), 2.0)
    assert suspicion(found).startswith("two calls at the same point give different results")
    assert "operation:" not in found


def test_a_noisy_function():
    def jagged(x, size=1e-3):
        return mg.sin(x) + size * (1e9 * np.sin(1e9 * x.data) % 1.0)

    assert "is noisy or not smooth here" in suspicion(message(jagged, 0.7))
    assert "the remainder falls as h^" not in message(jagged, 0.7, method="taylor")
    found = message(lambda x: jagged(x, 0.3), 0.7, method="taylor")
    assert "whose remainder falls as h^nan, expected h^2" in found


def test_digits_lost_in_float32():
    def cancelling(x):
        return mg.sum((1.0 + 1e-4 * x) ** 3 - 1.0 - 3e-4 * x) / 1e-8

    found = message(cancelling, X.astype(np.float32))
    assert suspicion(found).startswith("digits are lost in float32")
    right = mg.elementwise("steep", array=np.exp, partials=(lambda out, x: 1.1 * out,))
    assert "1.1 times" in suspicion(message(right, X.astype(np.float32)))


def test_an_operation_that_cannot_be_applied_again_is_left_out():
    def broken(x):
        raise OSError("what it depends on is gone")

    row = mg.elementwise("fragile", array=np.sin, partials=(lambda out, x: 2.0 * mg.cos(x),))

    def f(x):
        row.array = np.sin
        y = row(x)
        row.array = broken
        return y

    assert "not 'fragile', which cannot be applied by itself" in operation(message(f, X))


def test_many_uses_of_one_operation():
    def f(x):
        for _ in range(60):
            x = mg.sin(x)
        return x + mg.stop_gradient(x)

    assert "of 'sin' the first 50 of 60" in operation(message(f, 1.0))


def test_an_operation_whose_error_fits_no_pattern_shows_its_numbers():
    odd = mg.elementwise("odd", array=np.sin, partials=(lambda out, x: mg.cos(x) + x,))
    found = operation(message(lambda x: mg.sum(odd(x)), X))
    assert "'odd' on shape (2, 3) is wrong for operand 0: it gives " in found
    assert " at (" in found
    assert " at " not in operation(message(odd, 1.5)).split("it gives")[1].split("where")[0]


def test_the_second_order_names_the_operation_too():
    sneaky = mg.elementwise(
        "sneaky", array=np.square, partials=(lambda out, x: mg.stop_gradient(2.0 * x),)
    )
    assert "over reverse mode" in message(sneaky, X, order=2)


def test_an_operand_declared_to_have_no_derivative_but_has_one():
    row = mg.elementwise(
        "forgetful",
        array=np.multiply,
        partials=(lambda out, x, y: y, None),
        sample=((1.0, 2.0), (1.0, 2.0)),
    )
    for check in (lambda: check_rule(row), lambda: check_rule(row, 1.5, 2.5)):
        with pytest.raises(GradientError, match="operand 1 is declared to have no derivative"):
            check()
