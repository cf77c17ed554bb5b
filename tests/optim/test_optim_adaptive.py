"""What sets Adagrad, RMSprop, Adadelta, Adamax, NAdam, RAdam and Rprop apart from one another.

Their trajectories are compared with torch's in test_optim_golden.
"""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.errors import UsageError
from microgradopt.optim import chain, scale_by_learning_rate, transform_of
from microgradopt.optim.nadam import rectification

KINDS = [optim.Adagrad, optim.RMSprop, optim.Adadelta, optim.Adamax, optim.NAdam, optim.RAdam]
SIZED_BY_GRADIENTS = [optim.Adagrad, optim.RMSprop, optim.Adamax, optim.NAdam]
every_kind = pytest.mark.parametrize("kind", [*KINDS, optim.Rprop])
GRADIENTS = [np.array([3.0, -0.5]), np.array([-1.0, -0.25]), np.array([0.125, 2.0])] * 4


def moved(optimizer, p, gradients):
    """Where a parameter is after each of the gradients."""
    found = []
    for g in gradients:
        p.grad = g
        optimizer.step()
        found.append(np.copy(p.data))
    return np.array(found)


def path(kind, gradients, start=(1.0, -2.0), **options):
    p = Tensor(list(start)) if np.ndim(start) else Value(start)
    return moved(kind([p], **options), p, gradients)


# What they share


@every_kind
def test_going_up_is_going_down_along_the_other_gradient(kind):
    up = path(kind, [-g for g in GRADIENTS], lr=0.1, maximize=True)
    np.testing.assert_array_equal(up, path(kind, GRADIENTS, lr=0.1))


@pytest.mark.parametrize("kind", SIZED_BY_GRADIENTS)
@pytest.mark.parametrize("factor", [2.0**20, 2.0**-20])
def test_the_unit_of_the_loss_does_not_matter(kind, factor):
    scaled = path(kind, [factor * g for g in GRADIENTS], lr=0.1, eps=0.0)
    np.testing.assert_array_equal(scaled, path(kind, GRADIENTS, lr=0.1, eps=0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_weight_decay_is_the_gradient_of_the_l2_penalty(kind):
    p, q = Tensor([1.0, -2.0]), Tensor([1.0, -2.0])
    decayed, penalised = kind([p], lr=0.1, weight_decay=0.3), kind([q], lr=0.1)
    for _ in range(8):
        decayed.zero_grad()
        penalised.zero_grad()
        (p * p * p).sum().backward()
        ((q * q * q).sum() + nn.l2_penalty([q], 0.3)).backward()
        decayed.step()
        penalised.step()
    np.testing.assert_allclose(p.data, q.data, rtol=1e-13)


DECOUPLED = [
    *((kind, {}) for kind in KINDS),
    (optim.RMSprop, {"momentum": 0.8}),
    (optim.RMSprop, {"momentum": 0.8, "lr_in_velocity": True}),
    (optim.RMSprop, {"momentum": 0.8, "lr_in_velocity": True, "nesterov": True}),
]


@pytest.mark.parametrize(("kind", "options"), DECOUPLED)
def test_decoupled_decay_shrinks_and_no_average_sees_it(kind, options):
    options = {**options, "weight_decay": 0.5, "decoupled_weight_decay": True}
    p = Tensor([4.0, -8.0])
    optimizer = kind([p], lr=lambda step: 0.2 / step, **options)
    found = moved(optimizer, p, [np.zeros(2)] * 3)
    kept = np.cumprod([1 - 0.1, 1 - 0.05, 1 - 0.1 / 3])
    np.testing.assert_allclose(found[:, 0], 4.0 * kept, rtol=1e-15)
    np.testing.assert_allclose(found[:, 1], -8.0 * kept, rtol=1e-15)
    averages = [s for s in _leaves(optimizer.state) if isinstance(s, np.ndarray)]
    assert averages
    assert all(np.max(s) <= 1e-8 for s in averages)  # Adamax's eps


def _leaves(tree):
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in _leaves(branch)]
    return [leaf for branch in tree for leaf in _leaves(branch)] if type(tree) is list else [tree]


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if "eps_mode" in inspect.signature(k).parameters]
)
def test_an_unknown_place_for_eps_is_refused(kind):
    with pytest.raises(UsageError, match=r"eps_mode must be one of .*; got 'beside'"):
        kind([Value(1.0)], eps_mode="beside")


# Adagrad


def test_adagrad_divides_by_all_gradients_so_far():
    found = path(optim.Adagrad, [3.0, 4.0, 12.0], start=1.0, lr=0.1, eps=0.0)
    np.testing.assert_allclose(found, 1.0 - 0.1 * np.cumsum([1.0, 4 / 5, 12 / 13]), rtol=1e-14)


def test_adagrads_rate_falls_from_the_second_step_on():
    found = path(optim.Adagrad, [2.0, 0.0, 0.0], start=1.0, lr=0.1, lr_decay=1.0, eps=0.0)
    np.testing.assert_allclose(found, 0.9, rtol=1e-14)
    found = path(optim.Adagrad, [3.0, 4.0], start=1.0, lr=0.1, lr_decay=1.0, eps=0.0)
    np.testing.assert_allclose(found, [0.9, 0.9 - 0.1 / 2 * 4 / 5], rtol=1e-14)


@pytest.mark.parametrize(("mode", "size"), [("outside", 5.0 + 11.0), ("inside", 6.0)])
def test_adagrads_sum_may_start_above_zero(mode, size):
    options = {"initial_accumulator_value": 16.0, "eps": 11.0, "eps_mode": mode}
    assert path(optim.Adagrad, [3.0], start=1.0, lr=0.1, **options)[0] == 1.0 - 0.1 * (3.0 / size)


# RMSprop


def test_rmsprops_steps_come_to_the_rate_since_its_average_has_the_factor_one_minus_beta():
    """A formula is in print without that factor; its steps come to rate·√(1 − β)."""
    steps = -np.diff(path(optim.RMSprop, [7.0] * 200, start=1.0, lr=0.01, alpha=0.9), axis=0)
    assert steps[-1] == pytest.approx(0.01, rel=1e-6)
    assert steps[-1] > 3.0 * 0.01 * math.sqrt(1.0 - 0.9)


def test_a_bias_comes_from_the_zero_start_and_not_from_mini_batches():
    """Without any noise, the first averages are too small by 1 − βᵗ, and exact once corrected."""
    g = 7.0
    averages = optim.scale_by_rms(0.9).init({"x": np.zeros(())}), optim.scale_by_adam()
    state, adam = averages[0]["x"], averages[1].init({"x": np.zeros(())})["x"]
    for t in range(1, 6):
        state = optim.scale_by_rms(0.9).rule.at(t)(g, state, 0.0)[1]
        assert state["square_avg"] == pytest.approx(g * g * (1.0 - 0.9**t), rel=1e-13)
        _, adam = averages[1].rule.at(t)(g, adam, 0.0)
        assert adam["exp_avg"] / (1.0 - 0.9**t) == pytest.approx(g, rel=1e-13)
    plain = path(optim.RMSprop, [g] * 5, start=0.0, lr=0.01, alpha=0.9, eps=0.0)
    corrected = path(
        optim.RMSprop, [g] * 5, start=0.0, lr=0.01, alpha=0.9, eps=0.0, bias_correction=True
    )
    np.testing.assert_allclose(corrected, -0.01 * np.arange(1.0, 6.0), rtol=1e-13)
    missing = 1.0 - 0.9 ** np.arange(1.0, 6.0)
    np.testing.assert_allclose(plain, -0.01 * np.cumsum(1.0 / np.sqrt(missing)), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["outside", "inside"])
def test_a_variance_that_rounds_below_zero_is_zero(dtype, mode):
    p = Tensor(np.ones(3), dtype=dtype)
    g = np.array([0.1, 0.7, 3.3], dtype)
    optimizer = optim.RMSprop([p], lr=1e-9, alpha=0.5, centered=True, eps=1e-3, eps_mode=mode)
    below = 0
    for _ in range(200):
        p.grad = g
        optimizer.step()
        state = optimizer.state[0]["0"]["scale_by_rms"]
        below += np.any(state["square_avg"] - state["grad_avg"] ** 2 < 0.0)
        assert np.isfinite(p.data).all()
    assert below > 0


def test_the_centred_form_divides_by_the_deviation():
    gradients = [3.0, -1.0, 2.0]
    found = path(optim.RMSprop, gradients, start=0.0, lr=1.0, alpha=0.5, eps=0.0, centered=True)
    weights = np.array([0.125, 0.25, 0.5])
    v, m = np.dot(weights, np.square(gradients)), np.dot(weights, gradients)
    assert found[2] - found[1] == pytest.approx(-2.0 / math.sqrt(v - m * m), rel=1e-14)


def test_a_gradient_that_never_changes_has_no_deviation_once_averages_are_corrected():
    options = {"alpha": 0.75, "centered": True, "eps": 0.5, "start": 0.0, "lr": 0.1}
    corrected = path(optim.RMSprop, [3.0] * 4, bias_correction=True, **options)
    np.testing.assert_allclose(np.diff(corrected, prepend=0.0), -0.1 * 3.0 / 0.5, rtol=1e-6)
    plain = path(optim.RMSprop, [3.0], **options)[0]
    assert plain == pytest.approx(-0.1 * 3.0 / (math.sqrt(0.25 * 9.0 - 0.75**2) + 0.5), rel=1e-13)


def test_a_rate_inside_the_velocity_differs_once_it_changes():
    options = {"start": 0.0, "momentum": 0.5, "alpha": 0.9}
    same = [
        path(optim.RMSprop, [1.0] * 5, lr=0.1, lr_in_velocity=v, **options) for v in (False, True)
    ]
    np.testing.assert_allclose(same[0], same[1], rtol=1e-13)
    stopped = lambda step: 0.1 if step == 1 else 0.0  # noqa: E731
    after, inside = (
        path(optim.RMSprop, [1.0] * 3, lr=stopped, lr_in_velocity=v, **options)
        for v in (False, True)
    )
    assert after[0] == after[1] == after[2]
    np.testing.assert_allclose(inside / inside[0], [1.0, 1.5, 1.75], rtol=1e-14)


def test_rmsprop_takes_nesterovs_step_of_the_divided_gradient():
    options = {"start": 0.0, "lr": 0.1, "momentum": 0.5, "alpha": 0.75, "eps": 0.0}
    found = path(optim.RMSprop, [1.0, 0.0], nesterov=True, **options)
    np.testing.assert_allclose(found, [-0.1 * 2.0 * 1.5, -0.1 * 2.0 * 1.75], rtol=1e-14)
    with pytest.raises(UsageError, match="nesterov=True needs momentum above 0"):
        optim.RMSprop([Value(1.0)], nesterov=True)


# Adadelta


def test_adadelta_moves_in_the_units_of_the_parameter():
    """In units c times as small, a loss has gradients c times as small: the path is c as long."""
    c = 2.0**10

    def run(unit):
        p = Tensor([1.0 * unit])
        return moved_along(optim.Adadelta([p], eps=1e-6 * unit**2), p, unit)

    def moved_along(optimizer, p, unit):
        found = []
        for _ in range(30):
            optimizer.zero_grad()
            (((p / unit - 3.0) ** 2) * unit * unit).sum().backward()
            optimizer.step()
            found.append(p.data / unit)
        return np.array(found)

    np.testing.assert_array_equal(run(c), run(1.0))


def test_adadelta_becomes_gradient_descent_where_the_gradient_vanishes():
    found = path(optim.Adadelta, [1e-12] * 2, start=0.0, lr=0.5)
    np.testing.assert_allclose(found, [-0.5e-12, -1e-12], rtol=1e-12)


# Adamax


def test_adamax_remembers_the_largest_gradient_and_forgets_it_slowly():
    options = {"start": 0.0, "lr": 1.0, "betas": (0.0, 0.5), "eps": 0.0}
    steps = np.diff(path(optim.Adamax, [8.0, 1.0, 1.0, 1.0, -1.0], **options), prepend=0.0)
    np.testing.assert_allclose(steps, [-1.0, -1 / 4, -1 / 2, -1.0, 1.0], rtol=1e-15)


@pytest.mark.parametrize(("mode", "sizes"), [("inside", [4.0, 3.0]), ("outside", [4.0, 2.5])])
def test_adamax_has_two_places_for_eps(mode, sizes):
    options = {"start": 0.0, "lr": 1.0, "betas": (0.0, 0.5), "eps": 1.0, "eps_mode": mode}
    steps = np.diff(path(optim.Adamax, [3.0, 2.0 if mode == "inside" else 1.0], **options))
    assert path(optim.Adamax, [3.0], **options)[0] == -3.0 / sizes[0]
    assert steps[0] == pytest.approx(-(2.0 if mode == "inside" else 1.0) / sizes[1], rel=1e-15)


# NAdam


def test_nadams_momentum_rises_to_beta1():
    steady = path(optim.NAdam, GRADIENTS, lr=0.1, momentum_warmup=False)
    soon = path(optim.NAdam, GRADIENTS, lr=0.1, momentum_decay=1e4)
    never = path(optim.NAdam, GRADIENTS, lr=0.1, momentum_decay=0.0)
    np.testing.assert_allclose(soon, steady, rtol=1e-12)
    assert not np.allclose(never, steady, rtol=1e-3)
    first = 1.0 + 0.45 * 0.1 / (1.0 - 0.45**2)  # of β₁/2 = 0.45, and m = (1 − β₁)·g
    np.testing.assert_allclose(never[0] - [1.0, -2.0], [-0.1 * first, 0.1 * first], rtol=1e-7)


def test_nadam_without_momentum_is_rmsprop_with_correction():
    nadam = path(optim.NAdam, GRADIENTS, lr=0.1, betas=(0.0, 0.9), eps=0.0)
    rms = path(optim.RMSprop, GRADIENTS, lr=0.1, alpha=0.9, eps=0.0, bias_correction=True)
    np.testing.assert_allclose(nadam, rms, rtol=1e-13)


# RAdam


def test_radam_trusts_the_squares_from_the_sixth_step_on():
    steps = np.diff(path(optim.RAdam, [5.0] * 7, start=0.0, lr=0.1), prepend=0.0)
    np.testing.assert_allclose(steps[:5], -0.1 * 5.0, rtol=1e-12)
    longest = 2.0 / (1.0 - 0.999) - 1.0
    for t in (6, 7):
        length = longest - 2.0 * t * 0.999**t / (1.0 - 0.999**t)
        r = rectification(length, longest)
        assert 0.0 < r < 0.1
        assert steps[t - 1] == pytest.approx(-0.1 * r, rel=1e-6)


def test_rectification_tends_to_one():
    found = [rectification(length, 1999.0) for length in (4.0, 5.0, 100.0, 1000.0, 1999.0)]
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1.0, rel=1e-14)


def test_radam_with_a_short_memory_never_divides():
    found = path(optim.RAdam, GRADIENTS, lr=0.1, betas=(0.0, 0.6))
    expected = np.array([1.0, -2.0]) - 0.1 * np.cumsum(GRADIENTS, axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_radams_threshold_counts_from_four():
    paths = [path(optim.RAdam, GRADIENTS, lr=0.1, threshold=x) for x in (0.0, 4.0, 5.0, 6.5)]
    np.testing.assert_array_equal(paths[0], paths[1])
    np.testing.assert_array_equal(paths[1][3], paths[2][3])
    firsts = [np.flatnonzero(np.any(paths[3] != p, axis=1))[0] + 1 for p in paths[:3]]
    assert firsts == [5, 5, 6]


# Rprop


def test_rprop_sees_signs_only():
    small = path(optim.Rprop, [1e-3 * g for g in GRADIENTS], lr=0.1)
    np.testing.assert_array_equal(small, path(optim.Rprop, GRADIENTS, lr=0.1))


def test_rprop_grows_shrinks_and_rests():
    found = path(
        optim.Rprop, [1.0, 1.0, -1.0, -1.0, 0.0, -1.0], start=0.0, lr=1.0, etas=(0.25, 2.0)
    )
    np.testing.assert_array_equal(found, [-1.0, -3.0, -3.0, -2.5, -2.5, -2.0])


def test_rprop_stays_within_its_step_sizes():
    steps = np.diff(path(optim.Rprop, [1.0] * 12, start=0.0, lr=1.0, step_sizes=(0.1, 3.0)))
    np.testing.assert_allclose(steps[-3:], -3.0)
    turning = path(optim.Rprop, [1.0, -1.0] * 9, start=0.0, lr=1.0, step_sizes=(0.25, 3.0))
    assert np.abs(np.diff(turning[-4:])).max() == 0.25
    assert path(optim.Rprop, [1.0], start=0.0, lr=9.0, step_sizes=(0.1, 3.0))[0] == -3.0


@pytest.mark.parametrize("tiny", [1e-200, 5e-324])
def test_a_product_of_gradients_that_underflows_has_a_sign_still(tiny):
    found = path(optim.Rprop, [tiny, tiny, -tiny], start=0.0, lr=1.0)
    np.testing.assert_allclose(found, [-1.0, -2.2, -2.2], rtol=1e-15)


def test_rprops_rate_is_that_of_the_first_step_also_when_set_by_hand():
    p = Value(0.0)
    optimizer = optim.Rprop([p], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.5
    assert moved(optimizer, p, [1.0])[0] == -0.5
    optimizer.param_groups[0]["lr"] = 7.0
    assert moved(optimizer, p, [1.0])[0] == pytest.approx(-1.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"etas": (1.2, 0.5)}, r"etas\[0\] must be finite, at least 0 and below 1; got 1\.2"),
        ({"etas": (0.5, 0.9)}, r"etas\[1\] must be finite, at least 1; got 0\.9"),
        ({"etas": 0.5}, "etas must be 2 numbers, got 0.5"),
        ({"step_sizes": (1.0, 0.5)}, r"the smallest and the largest, got \(1\.0, 0\.5\)"),
        ({"step_sizes": (1.0, math.inf)}, r"step_sizes\[1\] must be finite"),
    ],
)
def test_rprop_refuses_factors_and_sizes_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=message):
        optim.Rprop([Value(1.0)], **options)


# An Adam that is in print: its first moment comes from the cache of the second


def printed_adam(beta1=0.9, beta2=0.999, eps=1e-8):
    def apply(g, state, x, beta1, beta2, eps):
        m = beta1 * state["cache"] + (1.0 - beta1) * g
        v = beta2 * state["cache"] + (1.0 - beta2) * g * g
        return m / (mg.sqrt(v) + eps), {"cache": v}

    start = lambda x: {"cache": np.zeros_like(x)}  # noqa: E731
    return transform_of("printed", apply, start, beta1=beta1, beta2=beta2, eps=eps)


def test_the_printed_adam_drifts_where_gradients_cancel():
    drift = {}
    for name, rule in (("printed", printed_adam()), ("ours", optim.scale_by_adam())):
        p = Value(0.0)
        optimizer = optim.Optimizer([p], chain(rule, scale_by_learning_rate(0.01)))
        drift[name] = moved(optimizer, p, [1.0, -1.0] * 500)[-1]
    assert abs(drift["ours"]) < 0.02
    assert drift["printed"] < -1.0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_printed_adam_learns_the_spiral_worse(seed):
    X, y = mg.datasets.spiral(rng=0)
    reached = {}
    for name, rule in (
        ("printed", printed_adam()),
        ("ours", optim.scale_by_adam(bias_correction=False)),
    ):
        rng = np.random.default_rng(seed)
        W, b = Tensor(0.01 * rng.normal(size=(2, 100))), Tensor(np.zeros(100))
        U, c = Tensor(0.01 * rng.normal(size=(100, 3))), Tensor(np.zeros(3))
        optimizer = optim.Optimizer([W, b, U, c], chain(rule, scale_by_learning_rate(0.01)))
        for _ in range(500):
            optimizer.zero_grad()
            scores = mg.relu(X @ W + b) @ U + c
            (nn.cross_entropy(scores, y) + nn.l2_penalty([W, U], 1e-3)).backward()
            optimizer.step()
        reached[name] = np.mean(np.argmax(scores.data, axis=1) == y)
    assert reached["ours"] > 0.95
    assert reached["printed"] < 0.93
