"""``optim.least_squares``: NIST's certified regressions, standard problems, bounds, covariance."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import microgradopt as mg
from benchmarks.problems import ALL, BY_NAME, load, log_relative_error
from microgradopt import nn, optim
from microgradopt.errors import LinAlgError, ShapeError, UsageError
from microgradopt.optim import Residuals, directions, globalisers, least_squares
from microgradopt.optim.solvers.methods import GENERAL, OF_RESIDUALS

REGRESSIONS = load()
by_regression = pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda r: r.name)
by_problem = pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)
METHODS = {**GENERAL, **OF_RESIDUALS}
every_method = pytest.mark.parametrize("method", METHODS)
OWN = [m for m in OF_RESIDUALS if m not in GENERAL]

T = np.linspace(0.0, 4.0, 13)
DATA = 2.5 * np.exp(-1.3 * T) + 0.05 * np.cos(9.0 * T)


def decay(b):
    return b[0] * mg.exp(-b[1] * T) - DATA


def valley(x):
    return mg.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


START = np.array([1.0, 1.0])
FITTED = least_squares(decay, START)


# NIST


@cache
def fitted(name, start):
    """From one of NIST's starts, with default settings."""
    (regression,) = [r for r in REGRESSIONS if r.name == name]
    return least_squares(regression.residuals, np.array(regression.starts[start]))


@by_regression
@pytest.mark.parametrize("start", [0, 1])
def test_certified_parameters(regression, start):
    """From both starts with default settings; NIST asks for four digits."""
    fit = fitted(regression.name, start)
    assert fit.success
    assert log_relative_error(fit.x, regression.certified) >= 4.0
    if regression.name != "Lanczos1":  # whose sum of squares is 1.4e-25
        assert 2.0 * fit.cost == pytest.approx(regression.certified_rss, rel=1e-8)


def test_certified_digits_on_average():
    digits = [
        log_relative_error(fitted(r.name, i).x, r.certified) for r in REGRESSIONS for i in (0, 1)
    ]
    assert len(digits) == 54
    assert np.mean(digits) >= 10.7
    assert min(digits) >= 9.5


@by_regression
@pytest.mark.parametrize("start", [0, 1])
def test_certified_standard_errors(regression, start):
    digits = log_relative_error(
        fitted(regression.name, start).standard_errors, regression.certified_sd
    )
    if regression.name == "Lanczos1":  # its residuals of 1e-13 are below what float64 resolves
        assert digits >= 2.0
    else:
        assert digits >= 6.0


def test_certified_deviation():
    for regression in REGRESSIONS:
        fit = fitted(regression.name, 1)
        m, n = fit.jac.shape
        assert (m, n) == (len(regression.y), len(regression.certified))
        if regression.name != "Lanczos1":
            expected = np.sqrt(regression.certified_rss / (m - n))
            assert fit.deviation == pytest.approx(expected, rel=1e-8)


# Standard problems


@by_problem
@pytest.mark.parametrize("method", ["lm", "dogleg"])
def test_standard_problems(problem, method):
    fit = least_squares(problem.residuals, np.array(problem.start), method)
    lowest = 2.0 * fit.cost
    assert any(abs(lowest - m) <= 1e-8 * m + 1e-16 for m in problem.minima)
    assert fit.success or fit.reason == "no descent"
    consistent(fit, problem.residuals)


def consistent(fit, residuals, rtol=1e-9):
    """What must hold of every fit."""
    r, J = residuals(fit.x), mg.jacobian(residuals)(fit.x)
    np.testing.assert_array_equal(fit.fun, r)
    np.testing.assert_allclose(fit.jac, J, rtol=rtol, atol=1e-12 * np.abs(J).max())
    assert fit.cost == pytest.approx(0.5 * float(r @ r))
    np.testing.assert_allclose(fit.grad, J.T @ r, rtol=1e-6, atol=1e-12 * np.abs(J).max())
    assert fit.nit == len(fit.history) - 1
    assert fit.history.fun[-1] <= fit.history.fun[0]


def test_a_minimum_at_which_all_rounds_to_nothing():
    """f of 10⁻⁶⁶ and a step it could not take: that is no failure."""
    problem = BY_NAME["Powell singular"]
    fit = least_squares(problem.residuals, np.array(problem.start))
    assert fit.cost < 1e-40
    assert fit.success


@every_method
def test_every_method_fits(method):
    fit = least_squares(decay, START, method, gtol=1e-9 if method in GENERAL else 0.0)
    assert fit.cost == pytest.approx(FITTED.cost, rel=1e-10)
    np.testing.assert_allclose(fit.x, FITTED.x, rtol=1e-4)
    consistent(fit, decay)


@every_method
def test_zero_residuals(method):
    fit = least_squares(lambda x: (x - 3.0) * np.array([1.0, 2.0]), np.zeros(2), method, gtol=1e-9)
    assert fit.success
    np.testing.assert_allclose(fit.x, 3.0, atol=1e-8)
    there = least_squares(lambda x: x, np.zeros(2), method)
    assert (there.reason, there.cost) == ("gradient", 0.0)
    assert there.nit <= 1  # a last step of length 0 counts


@pytest.mark.parametrize("method", [m for m in METHODS if m != "gd"])
def test_a_narrow_valley(method):
    fit = least_squares(valley, np.array([-1.2, 1.0]), method, gtol=1e-10)
    np.testing.assert_allclose(fit.x, 1.0, atol=1e-8)


@pytest.mark.parametrize("acceleration", [0.0, 0.75])
@pytest.mark.parametrize("start", [1e-9, 1e-3, 1.0, 1e6])
def test_options_of_lm(start, acceleration):
    fit = least_squares(decay, START, start=start, acceleration=acceleration)
    np.testing.assert_allclose(fit.x, FITTED.x, rtol=1e-9)
    assert (fit.nhev > 0) == (acceleration > 0.0)


def test_last_digits():
    """After all that was asked for, undamped steps: rounding of f does not hide them."""
    loose = least_squares(decay, START, ftol=1e-3)
    np.testing.assert_allclose(loose.x, FITTED.x, rtol=1e-11)


def test_a_target_is_enough():
    fit = least_squares(decay, START, f_target=0.1)
    assert fit.reason == "target"
    assert 1.001 * FITTED.cost < fit.cost <= 0.1


def test_who_has_arrived_is_not_undone_by_the_budget():
    whole = least_squares(decay, START, ftol=1e-6, acceleration=0.0)
    enough = whole.history.nfev[-2]
    fit = least_squares(decay, START, ftol=1e-6, acceleration=0.0, maxfev=enough)
    assert fit.reason == whole.reason


# Forms


def test_residuals_in_pieces():
    def pieces(p):
        model = p["height"] * mg.exp(-p["rate"] * T)
        return {"early": model[:5] - DATA[:5], "late": [(model[5:] - DATA[5:]).reshape((4, 2))]}

    fit = least_squares(pieces, {"height": 1.0, "rate": 1.0})
    np.testing.assert_allclose([fit.x["height"], fit.x["rate"]], FITTED.x, rtol=1e-11)
    assert fit.fun.shape == (13,)
    assert fit.jac.shape == (13, 2)
    assert set(fit.grad) == set(fit.standard_errors) == {"height", "rate"}
    np.testing.assert_allclose(fit.covariance, FITTED.covariance, rtol=1e-8)
    errors = [fit.standard_errors[name] for name in ("height", "rate")]
    np.testing.assert_allclose(errors, FITTED.standard_errors, rtol=1e-9)
    assert all(type(e) is float for e in errors)


def test_one_number():
    fit = least_squares(lambda x: mg.exp(-x * T) - np.exp(-0.7 * T) - 0.1 * np.sin(T), 0.1)
    assert type(fit.x) is float
    assert fit.jac.shape == (13, 1)
    assert type(fit.standard_errors) is float
    assert type(fit.grad) is float


def test_a_matrix_of_parameters():
    A = np.random.default_rng(0).normal(size=(9, 2))
    goal = np.random.default_rng(1).normal(size=(9, 3))
    fit = least_squares(lambda W: A @ W - goal, np.zeros((2, 3)))
    np.testing.assert_allclose(fit.x, np.linalg.lstsq(A, goal)[0], rtol=1e-10)
    assert fit.jac.shape == (27, 6)
    assert fit.grad.shape == fit.standard_errors.shape == (2, 3)


def test_float32():
    fit = least_squares(
        lambda b: b[0] * mg.exp(-b[1] * T.astype(np.float32)) - DATA.astype(np.float32),
        START.astype(np.float32),
    )
    assert fit.x.dtype == np.float32
    np.testing.assert_allclose(fit.x, FITTED.x, rtol=1e-4)


def test_float32_arrives():
    """Where no step lowers f any more in its precision, all is done."""
    for seed in range(6):
        x0 = np.random.default_rng(seed).normal(size=4).astype(np.float32)
        fit = least_squares(lambda x: mg.exp(x) - np.float32(1.7), x0)
        assert fit.success
        np.testing.assert_allclose(fit.x, np.log(1.7), rtol=1e-5)


def test_a_module():
    t = T[:, None] / 4.0
    net = nn.MLP(1, [4, 1], activation=mg.tanh, rng=0)
    fit = least_squares(lambda m: m(t) - DATA[:, None], net, maxiter=60)
    assert float(np.sum((net(t).data - DATA[:, None]) ** 2)) == pytest.approx(2.0 * fit.cost)
    assert fit.cost < 1e-2 * fit.history.fun[0]
    assert list(fit.x) == [name for name, _ in net.named_parameters()]


def test_own_jacobian():
    def jac(b):
        assert type(b) is np.ndarray
        e = np.exp(-b[1] * T)
        return np.stack([e, -b[0] * T * e], axis=1)

    def plain(b):
        return b[0] * np.exp(-b[1] * T) - DATA

    for method in ("lm", "gauss-newton", "dogleg", "bfgs", "gd"):
        fit = least_squares(plain, START, method, jac=jac, maxiter=3000)
        assert fit.cost == pytest.approx(FITTED.cost, rel=1e-6)
        assert fit.compiled == {}
    np.testing.assert_allclose(least_squares(plain, START, jac=jac).x, FITTED.x, rtol=1e-10)
    for method in ("newton", "newton-cg", "trust-ncg"):
        with pytest.raises(UsageError, match="needs second derivatives; leave jac= out"):
            least_squares(plain, START, method, jac=jac)
    with pytest.raises(ShapeError, match=r"jac returned shape \(2, 13\)"):
        least_squares(plain, START, jac=lambda b: jac(b).T)


def test_an_oracle_for_many_starts():
    oracle = Residuals(decay, START, jit="numpy")
    for start in ([1.0, 1.0], [2.0, 0.5], [5.0, 3.0]):
        fit = least_squares(oracle, np.array(start))
        np.testing.assert_allclose(fit.x, FITTED.x, rtol=1e-9)
    assert "compiled" in fit.compiled["residuals"]
    with pytest.raises(UsageError, match="an oracle has jac= already"):
        least_squares(oracle, START, jac=lambda b: b)


# Fewer residuals than parameters, and Jacobians that lack rank


@pytest.mark.parametrize("method", ["lm", "dogleg", "bfgs"])
def test_fewer_residuals_than_parameters(method):
    fit = least_squares(lambda x: mg.reshape(mg.sum(x**2) - 3.0, (1,)), np.ones(5) * 0.5, method)
    assert fit.cost < 1e-15
    assert fit.jac.shape == (1, 5)
    for ask in ("deviation", "covariance", "standard_errors"):
        with pytest.raises(UsageError, match="1 residuals say nothing about the spread of 5"):
            getattr(fit, ask)
    exact = least_squares(lambda x: x - 3.0, np.zeros(2))
    with pytest.raises(UsageError, match="2 residuals say nothing about the spread of 2"):
        _ = exact.covariance


def test_parameters_that_cannot_be_told_apart():
    fit = least_squares(lambda x: (x[0] + x[1]) * T - DATA, np.zeros(2))
    assert fit.success
    with pytest.raises(LinAlgError, match="full column rank"):
        _ = fit.covariance
    unused = least_squares(lambda x: mg.exp(-x[0] * T) - DATA + 0.0 * x[1], np.array([1.0, 7.0]))
    assert unused.success
    assert unused.x[1] == 7.0
    with pytest.raises(LinAlgError, match=r"do not depend on x\[1\]: it has"):
        _ = unused.standard_errors


def test_covariance():
    J = FITTED.jac
    s2 = 2.0 * FITTED.cost / (13 - 2)
    assert FITTED.deviation == pytest.approx(np.sqrt(s2))
    np.testing.assert_allclose(FITTED.covariance, s2 * np.linalg.inv(J.T @ J), rtol=1e-10)
    np.testing.assert_allclose(FITTED.standard_errors, np.sqrt(np.diag(FITTED.covariance)))


def test_covariance_of_parameters_far_apart():
    scaled = least_squares(lambda b: decay(b * np.array([1e9, 1e-9])), START / [1e9, 1e-9])
    expected = FITTED.standard_errors / [1e9, 1e-9]
    np.testing.assert_allclose(scaled.standard_errors, expected, rtol=1e-6)


def test_gauss_newton_has_no_step_at_a_singular_jacobian():
    for f, x0 in [
        (lambda x: (x[0] + x[1]) * T - DATA, np.zeros(2)),
        (lambda x: x[:1] - 3.0, np.zeros(2)),
        (lambda x: mg.stack([x[0], x[0]]) - 3.0, np.zeros(2)),
        (BY_NAME["Beale"].residuals, np.array(BY_NAME["Beale"].start)),
    ]:
        fit = least_squares(f, x0, "gauss-newton")
        assert (fit.reason, fit.success, fit.nit) == ("singular", False, 0)
        assert "use method='lm'" in fit.message
        np.testing.assert_array_equal(fit.x, x0)
    for method in ("lm", "dogleg"):
        assert least_squares(f, x0, method).cost < 1e-16


def test_a_column_of_zeros_for_long():
    """λ falls at each of many good steps, and must not vanish where a column does."""
    delta = 0.01

    def slow(x):  # Gauss–Newton's steps shrink by one percent
        return mg.stack([x[0], 1.0 - (1.0 - delta) * 0.5 * x[0] ** 2, 0.0 * x[1]])

    fit = least_squares(slow, np.array([0.1, 5.0]), acceleration=0.0)
    assert fit.cost == pytest.approx(0.5, abs=1e-9)
    assert fit.nit > 600


@pytest.mark.parametrize("f", [decay, lambda x: mg.stack([x[0] - 1.0, 2.0 * x[0]])])
def test_no_damping_to_start_with(f):
    with pytest.raises(UsageError, match="start"):
        least_squares(f, START, start=0.0)


# Bounds


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((None, None), None),
        (([-9.0, -9.0], [9.0, 9.0]), None),
        (([0.0, 0.0], [2.0, 9.0]), [2.0, None]),
        (([0.0, 2.0], None), [None, 2.0]),
        ([(0.0, 2.0), (2.0, 2.0)], [2.0, 2.0]),
        ((None, [2.0, 0.5]), [None, 0.5]),
    ],
)
def test_bounds(bounds, expected):
    x0 = np.array([1.5, 2.0 if expected and expected[1] == 2.0 else 0.4])
    fit = least_squares(decay, x0, bounds=bounds)
    assert fit.success
    if expected is None:
        np.testing.assert_allclose(fit.x, FITTED.x, rtol=1e-9)
        return
    for x, there in zip(fit.x, expected):
        assert there is None or x == there
    free = [e is None for e in expected]
    np.testing.assert_allclose(fit.grad[free], 0.0, atol=1e-7)
    other = optim.minimize(lambda b: 0.5 * mg.sum(decay(b) ** 2), x0, bounds=bounds, gtol=1e-9)
    np.testing.assert_allclose(fit.x, other.x, rtol=1e-6)


@pytest.mark.parametrize("problem", ALL[::2], ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(2))
def test_bounds_on_the_standard_problems(problem, seed):
    rng = np.random.default_rng(seed)
    x = np.array(problem.start)
    reach = 10.0 ** rng.uniform(-1.0, 1.0)
    lower = np.where(rng.random(len(x)) < 0.3, -np.inf, x - reach * rng.random(len(x)))
    upper = np.where(rng.random(len(x)) < 0.3, np.inf, x + reach * rng.random(len(x)))
    fit = least_squares(problem.residuals, x, bounds=(lower, upper), gtol=1e-9, maxfev=1500)
    path = fit.history.path
    assert (path >= lower).all()
    assert (path <= upper).all()
    assert fit.cost <= fit.history.fun[0]
    if fit.reason == "gradient":
        step = np.clip(fit.x - fit.grad, lower, upper) - fit.x
        assert np.abs(step).max() <= 1e-9


def test_bounds_of_other_methods():
    for method in ("gauss-newton", "dogleg", "bfgs"):
        with pytest.raises(UsageError, match="does not keep to bounds; l-bfgs-b, lm"):
            least_squares(decay, START, method, bounds=(0.0, 2.0))
    fit = least_squares(decay, START, "l-bfgs-b", bounds=(0.0, 2.0), gtol=1e-9)
    assert fit.x[0] == 2.0
    pair = directions.GaussNewton(), globalisers.Damping()
    assert least_squares(decay, START, pair, bounds=(0.0, 2.0)).x[0] == 2.0


# When it stops


@pytest.mark.parametrize("method", ["lm", "gauss-newton", "dogleg"])
def test_a_start_without_a_value(method):
    fit = least_squares(lambda x: mg.log(x), np.array([-1.0, 1.0]), method)
    assert (fit.reason, fit.nit) == ("non-finite", 0)
    assert np.isnan(fit.cost)
    np.testing.assert_array_equal(fit.x, [-1.0, 1.0])


@pytest.mark.parametrize("method", ["lm", "gauss-newton", "dogleg"])
@pytest.mark.parametrize("jac", [np.nan, np.inf])
def test_a_start_without_a_jacobian(method, jac):
    fit = least_squares(lambda x: x, np.ones(2), method, jac=lambda x: np.full((2, 2), jac))
    assert (fit.reason, fit.nit, fit.cost) == ("non-finite", 0, 1.0)


@pytest.mark.parametrize("method", ["lm", "gauss-newton", "dogleg"])
def test_regions_without_numbers_are_walked_around(method):
    fit = least_squares(lambda x: mg.sqrt(x) - 0.1, np.array([9.0, 25.0]), method)
    assert fit.success
    np.testing.assert_allclose(fit.x, 0.01, rtol=1e-6)


def test_a_jacobian_beyond_floats():
    """Its squares are infinite, though it is not."""
    fit = least_squares(lambda x: x, np.ones(2), jac=lambda x: 1e200 * np.eye(2))
    assert (fit.reason, fit.nit) == ("non-finite", 0)


def test_last_steps_that_shrink_for_long():
    """Each halves x₂: a hundred of them are enough."""
    fit = least_squares(lambda x: mg.stack([x[0] - 1.0, x[1] ** 2, x[0] * 0.0 + 2.0]), START / 2.0)
    assert fit.success
    assert 0.0 < abs(fit.x[1]) < 1e-20
    assert fit.nfev < 200


def test_no_descent():
    fit = least_squares(lambda x: x, np.ones(2), jac=lambda x: -np.eye(2))
    assert (fit.reason, fit.success) == ("no descent", False)
    np.testing.assert_array_equal(fit.x, np.ones(2))
    for method in ("gauss-newton", "dogleg"):
        assert least_squares(lambda x: x, np.ones(2), method, jac=lambda x: -np.eye(2)).reason == (
            "no descent"
        )


def test_nothing_finite_but_the_start():
    """However short the step: and no number that is none is handed to f."""
    seen = []

    def only_here(x):
        seen.append(x)
        return x if (x == 0.0).all() else np.full(2, np.nan)

    fit = least_squares(lambda x: only_here(x) + 1.0, np.zeros(2), jac=lambda x: np.eye(2))
    assert not fit.success
    np.testing.assert_array_equal(fit.x, np.zeros(2))


def test_budgets_and_callbacks():
    fit = least_squares(valley, np.array([-1.2, 1.0]), maxiter=3)
    assert (fit.reason, fit.nit) == ("budget", 3)
    fit = least_squares(valley, np.array([-1.2, 1.0]), maxfev=5)
    assert (fit.reason, fit.nfev) == ("budget", 5)
    np.testing.assert_array_equal(fit.fun, valley(fit.x))
    fit = least_squares(valley, np.array([-1.2, 1.0]), callback=lambda result: result.nit == 2)
    assert (fit.reason, fit.nit) == ("callback", 2)
    with pytest.raises(UsageError, match="least_squares: maxfev"):
        least_squares(valley, START, maxfev=0)
    one = least_squares(lambda x: mg.exp(x), np.zeros(1), "gd", lr=1e-9)  # it goes on for ever
    assert (one.reason, one.nfev) == ("budget", 2000)


def test_reasons_of_success():
    assert least_squares(valley, np.array([-1.2, 1.0])).reason in ("gradient", "value", "step")
    assert least_squares(decay, START, gtol=1e-3).reason == "gradient"
    assert least_squares(decay, START, ftol=1e-2).reason == "value"
    assert least_squares(decay, START, ftol=0.0, xtol=0.1).reason == "step"
    assert least_squares(valley, np.array([-1.2, 1.0]), f_target=3.0).reason == "target"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "LM"}, "no method 'LM'; there are gd, .*, lm, gauss-newton"),
        ({"method": "lm", "radius": 1.0}, "'lm' has no option 'radius'; its options are start"),
        ({"start": -1.0}, "Damping: start"),
        ({"acceleration": "yes"}, "Damping: acceleration"),
        ({"method": "gauss-newton", "c1": 2.0}, "Armijo: c1"),
        ({"method": "dogleg", "radius": -1.0}, "TrustRegion: radius"),
        ({"method": (directions.GaussNewton(), 3)}, "method must be a name"),
        ({"gtol": -1.0}, "least_squares: gtol"),
        ({"bounds": (1.5, 2.0)}, "least_squares: variable 0 starts at 1.0, outside"),
    ],
)
def test_what_is_refused(options, match):
    with pytest.raises(UsageError, match=match):
        least_squares(decay, START, **options)


def test_a_function_that_raises_changes_nothing():
    net = nn.MLP(1, [3, 1], activation=mg.tanh, rng=0)
    before = [(p.data, p.index) for p in net.parameters()]
    calls = []

    def fails(m):
        calls.append(1)
        if len(calls) == 7:
            raise ZeroDivisionError
        return m(T[:, None]) - DATA[:, None]

    with pytest.raises(ZeroDivisionError):
        least_squares(fails, net)
    assert [(p.data, p.index) for p in net.parameters()] == before


def test_not_within_a_derivative():
    """As of minimize: a number that a search returns has lost how it came about."""
    with pytest.raises(mg.errors.MicrogradoptError):
        mg.grad(lambda a: least_squares(lambda x: x - a, 0.0).x)(3.0)


def test_a_jacobian_of_other_residuals():
    with pytest.raises(ShapeError, match="residuals"):
        least_squares(lambda x: [x, x[:1]], START, jac=lambda x: np.eye(2))


def test_pairs():
    for pair in [
        (directions.GaussNewton(), globalisers.Damping(1.0, 0.0)),
        (directions.GaussNewton(), globalisers.TrustRegion(0.5)),
        (directions.GaussNewton(), globalisers.Armijo()),
        (directions.GaussNewton(), globalisers.StrongWolfe()),
        (directions.GaussNewton(), globalisers.FixedRate(1.0)),
        (directions.BFGS(), globalisers.StrongWolfe()),
    ]:
        fit = least_squares(decay, START, pair, gtol=1e-9)
        np.testing.assert_allclose(fit.x, FITTED.x, rtol=1e-6)
    with pytest.raises(UsageError, match="BFGS cannot be used with Damping"):
        least_squares(decay, START, (directions.BFGS(), globalisers.Damping()))


def test_what_a_fit_prints():
    text = repr(FITTED)
    assert "history" not in text
    assert "variables" not in text
    assert "cost=" in text
