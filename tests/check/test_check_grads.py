"""The gradient checker: silent where it should be, loud where it must be, clear when loud."""

from __future__ import annotations

import re

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import check_grads, check_rule
from microgradopt.check.gradients import examine
from microgradopt.check.numeric import Phi
from microgradopt.engine.graph import Primitive
from microgradopt.errors import DTypeError, GradientError, UsageError

X = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])


@pytest.fixture
def declare():
    """Rows declared in a test are gone after it."""
    before = dict(Primitive.table)
    yield mg.elementwise
    Primitive.table.clear()
    Primitive.table.update(before)


def _wrong_square(declare, by=1.001):
    return declare(
        "wrong_square",
        array=np.square,
        partials=(lambda out, x: by * 2.0 * x,),
        sample=((0.5, 3.0),),
    )


@pytest.mark.parametrize("modes", [("reverse",), ("forward",), ("reverse", "forward")])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_gradients_pass(order, modes):
    assert (
        check_grads(lambda x, y: mg.sin(x) * y + mg.exp(y), 0.5, 1.5, order=order, modes=modes)
        is None
    )
    check_grads(lambda x: mg.logsumexp(x, axis=1) * mg.norm(x), X, order=order, modes=modes)


@pytest.mark.parametrize("modes", [("reverse",), ("forward",), ("reverse", "forward")])
@pytest.mark.parametrize("method", ["central", "complex"])
@pytest.mark.parametrize("x", [1.5, np.array([1.5, 0.7])])
def test_a_rule_off_by_a_thousandth_is_caught(declare, modes, method, x):
    wrong = _wrong_square(declare)
    with pytest.raises(GradientError, match="disagree"):
        check_grads(lambda t: wrong(t) * 2.0, x, modes=modes, method=method)
    with pytest.raises(GradientError, match="wrong_square"):
        check_rule(wrong)


def test_a_rule_right_at_first_order_and_wrong_at_second_is_caught(declare):
    sneaky = declare(
        "sneaky", array=np.square, partials=(lambda out, x: mg.stop_gradient(2.0 * x),)
    )
    check_grads(sneaky, 1.5)
    with pytest.raises(GradientError, match="over reverse mode"):
        check_grads(sneaky, 1.5, order=2)


def test_forward_mode_that_differs_from_reverse_is_caught():
    row = mg.fused(
        "two_minds",
        array=np.square,
        pullback=lambda g, out, x: 2 * g * x,
        composite=lambda x: 1.001 * x * x,
    )
    try:
        check_grads(row, X, modes=("reverse",))
        for modes in (("forward",), ("reverse", "forward")):
            with pytest.raises(GradientError, match="forward mode"):
                check_grads(row, X, modes=modes)
    finally:
        del Primitive.table["two_minds"]


def test_the_message_shows_where_and_by_how_much(declare):
    wrong = _wrong_square(declare, by=2.0)

    def f(tree, y):
        return mg.sum(wrong(tree["w"][1])) * y

    with pytest.raises(GradientError) as caught:
        check_grads(f, {"w": [1.0, X]}, 2.0)
    text = str(caught.value)
    assert (
        "reverse mode against central differences, argument 0['w'][1]: 6 of 6 entries disagree"
        in text
    )
    assert re.search(r"index +analytic +numeric +relative error", text)
    rows = text.splitlines()[2:-2]
    assert len(rows) == 5
    analytic, numeric, error = map(float, rows[0].split(")")[1].split())
    assert analytic == pytest.approx(2 * numeric, rel=1e-6)
    assert error == pytest.approx(0.5, rel=1e-3)


def test_the_worst_entries_come_first():
    def f(x):
        return mg.sum(x**2) + mg.stop_gradient(x)[1, 2] * 5.0

    with pytest.raises(GradientError) as caught:
        check_grads(f, X)
    assert "1 of 6" in str(caught.value)
    assert "(1, 2)" in str(caught.value)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e6, 1e12])
def test_the_step_suits_the_scale_of_input_and_output(size, declare):
    check_grads(lambda x: mg.sum(mg.exp(x / size)), size * X, order=2)
    check_grads(lambda x: size * mg.sum(mg.sin(x)), X, order=2)
    check_grads(mg.log, size)
    wrong = _wrong_square(declare)
    with pytest.raises(GradientError):
        check_grads(lambda x: wrong(x / size), size * X)
    with pytest.raises(GradientError):
        check_grads(lambda x: size * wrong(x), X)


def test_entries_of_very_different_size():
    check_grads(lambda x: mg.sum(mg.log(x)), np.array([1e-7, 1.0, 1e5]))
    check_grads(lambda x: mg.sum(x**3), np.array([0.0, 1e-3, 50.0]), order=2)
    check_grads(lambda x: mg.sum(mg.sqrt(x)), np.array([1e-9, 4.0]))


def test_zero_gradients_pass_and_are_not_confused_with_small_ones():
    check_grads(lambda x: mg.sum(mg.softmax(x)), X[0], order=2)
    check_grads(lambda x: 3.0, X)
    with pytest.raises(GradientError):
        check_grads(lambda x: mg.stop_gradient(x) * 1e-3 + 1.0, 2.0)


def test_numbers_arrays_structures_and_many_results():
    check_grads(
        lambda t: {"a": t[0] * t[1]["k"], "b": [mg.exp(t[0]), 5.0, np.ones(2)]},
        (2.0, {"k": X}),
        order=2,
    )
    check_grads(lambda x, none: x * x, 3, None)
    check_grads(lambda x: x * x, mg.Value(3.0))
    check_grads(lambda x: x * x, np.zeros((0, 2)), order=2)
    check_grads(lambda x: x[0] * x[1], np.array([1.0, 2.0]))
    check_grads(lambda x: x.sum() * x.mean(), X)


def test_float32_has_tolerances_of_its_own(declare):
    narrow = X.astype(np.float32)
    check_grads(lambda x: mg.logsumexp(x @ x.T) + mg.sum(mg.tanh(x)), narrow, order=2)
    wrong = _wrong_square(declare, by=1.01)
    with pytest.raises(GradientError):
        check_grads(wrong, narrow)


def test_tolerances_can_be_set(declare):
    wrong = _wrong_square(declare)
    check_grads(wrong, 1.5, rtol=1e-2)
    check_grads(wrong, 1.5, atol=0.1)
    with pytest.raises(GradientError):
        check_grads(lambda x: mg.exp(x) * 1.1, 1.5, rtol=0.0, atol=0.0)


def test_the_complex_step_is_exact_and_says_where_it_does_not_apply():
    check_grads(
        lambda x: mg.exp(x) / mg.sqrt(mg.sin(x) ** 3 + mg.cos(x) ** 3),
        1.5,
        method="complex",
        rtol=1e-14,
    )
    check_grads(lambda x: mg.softmax(x @ x.T), X, method="complex", rtol=1e-12)
    for f, message in [
        (mg.abs, "not the derivative here"),
        (lambda x: mg.sigmoid(x) * x, "not the derivative here"),
        (lambda x: mg.logaddexp(x, 1.0), "does not take"),
        (lambda x: x.exp(), "does not take"),
    ]:
        with pytest.raises(UsageError, match=rf"{message}.*use method='central'"):
            check_grads(f, X, method="complex")


def test_a_nan_gradient_is_an_error():
    with pytest.raises(GradientError):
        check_grads(lambda x: mg.sqrt(x), -1.0)
    with pytest.raises(GradientError, match="nan"):
        check_grads(lambda x: mg.where(x > 0, x, x * np.nan), -1.0)


def test_random_directions_are_the_same_each_time_unless_asked():
    def directions(**options):
        seen = []
        check_grads(lambda x: seen.append(0) or x * X, 2.0, **options)
        return len(seen)

    assert directions() == directions()
    check_grads(lambda x: x * X, 2.0, rng=7)
    check_grads(lambda x: x * X, 2.0, rng=np.random.default_rng(3))
    with pytest.raises(UsageError, match="rng must be"):
        check_grads(lambda x: x, 2.0, rng="seed")


BAD = [
    (lambda: check_grads(lambda: 1.0), UsageError, "at least one number or array"),
    (lambda: check_grads(lambda x: x, 1.0, order=0), UsageError, "order must be 1, 2, …, got 0"),
    (
        lambda: check_grads(lambda x: x, 1.0, modes=("backward",)),
        UsageError,
        "modes must be some of",
    ),
    (lambda: check_grads(lambda x: x, 1.0, modes="reverse"), UsageError, "modes must be some of"),
    (
        lambda: check_grads(lambda x: x, 1.0, method="magic"),
        UsageError,
        "method must be one of.*'magic'",
    ),
    (lambda: check_grads(lambda x: x, "a"), UsageError, "at least one number"),
    (
        lambda: check_grads(lambda x: "text", 1.0),
        UsageError,
        "must return real numbers or arrays, not 'text'",
    ),
    (lambda: check_grads(mg.sum, np.array([1, 2])), DTypeError, r"array\.astype\(float\)"),
    (lambda: check_rule(mg.greater), UsageError, "greater has no derivative rule of its own"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_wrong_use_is_explained(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_row_without_a_sample_is_told_how_to_give_one(declare):
    row = declare("no_sample", array=np.square, partials=(lambda out, x: 2 * x,))
    with pytest.raises(UsageError, match="declare it with sample="):
        check_rule(row)


def test_points_keep_away_from_kinks(declare):
    row = declare(
        "my_abs",
        array=np.abs,
        partials=(lambda out, x: mg.sign(x),),
        sample=((-0.3, 0.3),),
        kinks=lambda x: x,
    )
    for seed in range(20):
        check_rule(row, rng=seed)


@pytest.mark.parametrize(("method", "rtol"), [("central", 1e-10), ("complex", 1e-15)])
def test_the_numerical_derivatives_themselves(method, rtol):
    def f(xs):
        return [np.sin(xs[0]), xs[1] * np.ones(2), xs[2] ** 2]

    phi = Phi(f, [X, 3.0, np.array(2.0)], [np.full((2, 3), 3.0), np.array([1.0, 2.0]), 1.0])
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(
            phi.entry(method, 0, index).slope, 3.0 * np.cos(X[index]), rtol=rtol
        )
    np.testing.assert_allclose(phi.entry(method, 1, ()).slope, 3.0, rtol=rtol)
    np.testing.assert_allclose(phi.entry(method, 2, ()).slope, 4.0, rtol=rtol)
    along = phi.slope(method, [np.ones((2, 3)), 1.0, None]).slope
    np.testing.assert_allclose(along, 3.0 * np.sum(np.cos(X)) + 3.0, rtol=rtol)


def test_the_checker_is_imported_on_request():
    import subprocess
    import sys

    code = """
import sys, microgradopt as mg
assert "microgradopt.check" not in sys.modules
mg.check.check_grads(mg.exp, 1.0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# The Taylor test


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_remainder_falls_one_power_faster_with_every_term(order):
    report = examine(
        lambda x, y: mg.sum(mg.exp(x) * y),
        (X, 0.5),
        order=order,
        method="taylor",
        modes=["forward"],
    )
    rates = [float(finding.result.removeprefix("h^")) for finding in report.findings]
    expected = [2.0, 3.0, 4.0][:order] * 3
    np.testing.assert_allclose(rates, expected, atol=0.1)


def test_the_taylor_test_passes_where_nothing_is_left():
    check_grads(lambda x: mg.sum(3.0 * x) + 1.0, X, method="taylor")
    check_grads(lambda x: mg.sum(x * x), X, method="taylor", order=3)
    check_grads(lambda x: 3.0, X, method="taylor")
    check_grads(lambda x: mg.logsumexp(x @ x.T), X.astype(np.float32), method="taylor", order=2)
    check_grads(mg.sin, np.zeros((0, 2)), method="taylor")


def test_the_taylor_test_tells_the_order_that_is_wrong(declare):
    sneaky = declare("sneaky", array=np.exp, partials=(lambda out, x: mg.stop_gradient(mg.exp(x)),))
    check_grads(sneaky, X, method="taylor")
    with pytest.raises(GradientError, match=r"falls as h\^2\.0.*, expected h\^3"):
        check_grads(sneaky, X, method="taylor", order=2)


@pytest.mark.parametrize("by", [1.001, 0.99999, -1.0, 0.0])
def test_the_taylor_test_sees_small_errors(declare, by):
    wrong = _wrong_square(declare, by=by)
    for modes in (("reverse",), ("forward",)):
        with pytest.raises(GradientError, match=r"falls as h\^(0\.9|1\.0)\d, expected h\^2"):
            check_grads(lambda x: mg.exp(wrong(x)), X, method="taylor", modes=modes)


@pytest.mark.parametrize(
    ("f", "x", "order"),
    [
        (mg.square, 0.0, 3),  # every term before the last is 0
        (mg.exp, 700.0, 1),  # large steps overflow
        (lambda x: mg.relu(x - 1.0), 1.0 + 1e-5, 2),  # large steps go across the kink
        (mg.softmax, np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32), 2),
    ],
)
def test_the_taylor_test_at_awkward_points(f, x, order):
    check_grads(f, x, method="taylor", order=order)


# Steps


@pytest.mark.parametrize("power", range(2, 13))
def test_a_function_that_is_0_to_a_high_order(power):
    check_grads(lambda x: mg.sin(x) ** power, 0.0, order=2)
    check_grads(lambda x: mg.sum(x**power), np.zeros(3), order=2)


@pytest.mark.parametrize("x", [1e-300, 1e-200, 1e200, 1e300])
def test_the_ends_of_the_floating_point_range(x):
    check_grads(lambda t: 3.0 * t, x)
    check_grads(mg.log, x)
    check_grads(mg.sqrt, x)
    check_grads(lambda t: mg.sum(t * t), np.array([1e-300, 1.0]))


@pytest.mark.parametrize("edge", [1e-3, 1e-6, 1e-9])
def test_close_to_the_edge_of_the_domain(edge):
    check_grads(lambda x: mg.log(x - 1.0), 1.0 + edge, rtol=1e-5)
    check_grads(mg.arcsin, 1.0 - edge, rtol=1e-5)
    near = np.array([2.0 + 100.0 * edge, 2.0 - 100.0 * edge, 50.0])
    check_grads(lambda x: mg.sum(mg.relu(x - 2.0)), near)


def test_jumps_nearby_that_cancel_in_a_central_difference():
    for x in np.linspace(-3.95, 3.05, 15):
        check_grads(lambda y, x=x: mg.where(True, 1.0, y) * x - np.floor(x / y.data) * y, 0.2)


def test_a_function_that_rounds_to_float32_inside(declare):
    def f(x):
        return mg.astype(mg.sin(mg.astype(x, np.float32)), np.float64)

    check_grads(f, X)
    check_grads(f, X, method="taylor")
    wrong = _wrong_square(declare, by=1.01)
    with pytest.raises(GradientError):
        check_grads(lambda x: wrong(f(x)), X)


def test_a_thousandth_is_seen_in_float32(declare):
    wrong = _wrong_square(declare)
    with pytest.raises(GradientError):
        check_grads(wrong, X.astype(np.float32))
    check_grads(lambda a, b: mg.sum(a * b), X, X.astype(np.float32), order=2)


# Rules


def test_rules_of_every_shape_and_points_that_are_given(declare):
    for name in ("matmul", "sum", "where", "logsumexp", "minimum"):
        check_rule(Primitive.table[name])
    check_rule(Primitive.table["matmul"], X, X.T.copy())
    row = declare("no_sample_here", array=np.square, partials=(lambda out, x: 2 * x,))
    check_rule(row, 2.0)
    check_rule(row, mg.Tensor(X))
    check_rule(row, [1, 2])
    wrong = declare("wrong_here", array=np.square, partials=(lambda out, x: x,))
    with pytest.raises(GradientError, match=r"wrong_here on shapes \(2, 3\)"):
        check_rule(wrong, X)


def test_a_rule_with_parameters_at_a_given_point():
    row = Primitive.table["reshape"]
    check_rule(row, X, shape=(3, 2))


def test_a_rule_of_constants_only(declare):
    row = declare("steps", array=np.floor, partials=(None,), sample=((0.2, 0.7),))
    check_rule(row)


def test_a_sample_that_is_all_kinks(declare):
    row = declare(
        "all_kinks",
        array=np.abs,
        partials=(lambda out, x: mg.sign(x),),
        sample=((-0.05, 0.05),),
        kinks=lambda x: x,
    )
    with pytest.raises(UsageError, match=r"all lie within 0\.1 of a kink; widen the sample"):
        check_rule(row)


def test_names_of_the_module_and_what_is_loaded_on_request():
    import microgradopt.check as check

    assert {"strategies", "property", "compare"} <= set(dir(check))
    assert check.property is check.properties.property
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        check.nothing


WRONG_KERNELS = {
    "scalar_is_off": ({"array": np.sin, "scalar": lambda x: np.sin(x) + 0.1}, "kernels differ at"),
    "float64_of_float32": (
        {"array": lambda x: np.sin(x) * np.float64(1.0)},
        "returns float64; it must give float32 for float32",
    ),
    "whole_numbers": (
        {"array": lambda x: np.sin(x).astype(int)},
        "returns int64; it must give floating-point numbers",
    ),
}


@pytest.mark.parametrize("name", WRONG_KERNELS)
def test_check_rule_looks_at_the_kernels_too(name):
    kernels, message = WRONG_KERNELS[name]
    row = mg.elementwise(
        name, partials=(lambda out, x: mg.cos(x),), sample=((-1.0, 1.0),), **kernels
    )
    with pytest.raises(GradientError, match=message):
        check_rule(row)


def test_the_function_comes_first():
    with pytest.raises(UsageError, match=r"give a function first, then its arguments; got 3\.0"):
        check_grads(3.0, 1.0)


@pytest.mark.parametrize("f", [mg.logsumexp, mg.softmax, mg.norm, mg.prod, mg.std])
def test_the_taylor_test_of_float32_is_done_in_float64(f):
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(5, 4)).astype(np.float32)
        check_grads(f, x, method="taylor", order=3, rng=seed)


def test_the_taylor_test_of_functions_that_cancel_within():
    check_grads(lambda x: mg.cosh(x) - 1.0, 0.0, method="taylor", order=2)
    check_grads(lambda x: x - mg.sin(x), 0.0, method="taylor", order=3)
