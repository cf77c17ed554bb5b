"""LAMB, LARS, Lion, SignSGD, Adafactor, Muon, schedule-free and Prodigy: what is special to each.

Their trajectories are compared in test_optim_golden.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, optim
from microgradopt.errors import MicrogradoptError, ShapeError, UsageError

RNG = np.random.default_rng(7)


def moved(optimizer, p, gradient):
    """By how much a step along a gradient moves a parameter."""
    before = np.copy(p.data)
    p.grad = gradient
    optimizer.step()
    return p.data - before


def applied(rule, g, x):
    """The first update of a transform for one array."""
    return rule.update({"x": g}, rule.init({"x": x}), {"x": x}, 1)[0]["x"]


# LAMB and LARS


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e200])
def test_the_trust_ratio_makes_steps_as_long_as_the_parameter(size):
    x = size * RNG.normal(size=(3, 2))
    update = applied(optim.scale_by_trust_ratio(), RNG.normal(size=(3, 2)), x)
    np.testing.assert_allclose(np.linalg.norm(update / size), np.linalg.norm(x / size))


@pytest.mark.parametrize("kind", [optim.LAMB, optim.LARS])
def test_a_parameter_at_zero_leaves_it(kind):
    p = Tensor(np.zeros((2, 2)))
    step = moved(kind([p], lr=0.1), p, np.ones((2, 2)))
    np.testing.assert_allclose(step, -0.1, rtol=1e-5)


def test_a_gradient_of_zero_moves_nothing():
    p = Tensor(np.ones((2, 2)))
    assert not moved(optim.LARS([p]), p, np.zeros((2, 2))).any()
    assert not moved(optim.LAMB([p]), p, np.zeros((2, 2))).any()


def test_max_ratio_bounds_the_step():
    p = Tensor([300.0, 400.0])
    step = moved(optim.LAMB([p], lr=1.0, max_ratio=2.0), p, np.array([1.0, 1.0]))
    np.testing.assert_allclose(step, -2.0, rtol=1e-5)
    for kind in (optim.LAMB, optim.LARS):
        with pytest.raises(UsageError, match=f"{kind.__name__}: max_ratio must be finite"):
            kind([p], max_ratio=-1.0)


def test_what_has_no_decay_may_go_without_the_ratio():
    W, b = Tensor([[30.0, 40.0]], name="W"), Tensor([30.0, 40.0], name="b")
    options = {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.1, "always_adapt": False}
    optimizer = optim.LARS([W, b], trust_coefficient=0.1, no_decay="biases_and_norms", **options)
    W.grad, b.grad = np.array([[3.0, 4.0]]), np.array([3.0, 4.0])
    optimizer.step()
    np.testing.assert_allclose(b.data, [28.5, 38.0])  # plain: x − lr·g
    length = 0.1 * 50.0 / (5.0 + 0.1 * 50.0)
    np.testing.assert_allclose(W.data, [[30.0 - 0.5 * length * 6.0, 40.0 - 0.5 * length * 8.0]])


# Signs


@pytest.mark.parametrize("kind", [optim.Lion, optim.SignSGD])
@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_every_entry_moves_by_the_rate(kind, size):
    p = Tensor([0.0, 0.0, 0.0])
    step = moved(kind([p], lr=0.25), p, size * np.array([2.0, -0.5, 0.0]))
    assert step.tolist() == [-0.25, 0.25, 0.0]


def test_signum_keeps_to_the_average():
    p = Value(0.0)
    optimizer = optim.SignSGD([p], lr=1.0, momentum=0.9)
    assert [moved(optimizer, p, g) for g in (10.0, -1.0, -1.0)] == [-1.0, -1.0, -1.0]
    with pytest.raises(UsageError, match=r"SignSGD: momentum must be .* below 1"):
        optim.SignSGD([p], momentum=1.0)


# Adafactor


def test_a_matrix_costs_a_row_and_a_column():
    shapes = [(), (5,), (3, 4), (2, 3, 4)]
    params = [Tensor(np.ones(s), name=str(s)) for s in shapes]
    (state,) = optim.Adafactor(params).state
    kept = {name: s["scale_by_factored_rms"] for name, s in state.items()}
    assert kept["(3, 4)"]["row_var"].shape == (3, 1)
    assert kept["(3, 4)"]["col_var"].shape == (1, 4)
    assert kept["(2, 3, 4)"]["row_var"].shape == (2, 3, 1)
    assert kept["(2, 3, 4)"]["col_var"].shape == (2, 1, 4)
    assert kept["(5,)"]["variance"].shape == (5,)
    assert kept["()"]["variance"].shape == ()


def test_a_stack_is_treated_as_its_matrices():
    rule = optim.scale_by_factored_rms()
    g = RNG.normal(size=(2, 3, 4))
    together = applied(rule, g, np.ones_like(g))
    for part, alone in zip(together, g):
        np.testing.assert_allclose(part, applied(rule, alone, np.ones_like(alone)))


def test_the_second_moment_of_a_matrix_of_rank_one_is_exact():
    g = np.outer([1.0, 2.0, -3.0], [0.5, -4.0])
    update = applied(optim.scale_by_factored_rms(), g, np.ones_like(g))
    np.testing.assert_allclose(update, np.sign(g))


def test_clipping_by_the_root_mean_square():
    rule = optim.clip_by_rms(2.0)
    np.testing.assert_allclose(applied(rule, np.array([10.0, 10.0]), np.zeros(2)), 2.0)
    np.testing.assert_allclose(applied(rule, np.array([1.0, 1.0]), np.zeros(2)), 1.0)


def test_a_rising_decay_is_refused_also_from_a_schedule():
    p = Tensor([1.0])
    with pytest.raises(UsageError, match=r"beta2_decay must be at most 0; got 0\.5"):
        optim.Adafactor([p], beta2_decay=0.5)
    optimizer = optim.Adafactor([p], beta2_decay=lambda step: 0.5)
    with pytest.raises(UsageError, match="must be at most 0"):
        moved(optimizer, p, np.array([1.0]))
    assert (p.data.tolist(), optimizer.steps) == ([1.0], 0)
    optim.Adafactor([p], beta2_decay=0.0)  # torch allows it


# Muon


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (1, 4), (4, 1)])
def test_orthogonalized_keeps_the_directions_and_levels_the_sizes(shape):
    g = RNG.normal(size=shape)
    u, _, vt = np.linalg.svd(g, full_matrices=False)
    sizes = u.T @ optim.orthogonalized(g) @ vt.T
    np.testing.assert_allclose(sizes, np.diag(np.diag(sizes)), atol=1e-10)
    assert np.diag(sizes).min() > 0.4
    assert np.diag(sizes).max() < 1.3
    exact = optim.orthogonalized(g, (1.875, -1.25, 0.375), 60)  # a polynomial that fixes 1
    np.testing.assert_allclose(exact, u @ vt, atol=1e-8)


def test_orthogonalized_takes_zero_huge_and_single_precision():
    assert not optim.orthogonalized(np.zeros((2, 3))).any()
    g = RNG.normal(size=(2, 3))
    np.testing.assert_allclose(optim.orthogonalized(1e200 * g), optim.orthogonalized(g))
    assert optim.orthogonalized(g.astype(np.float32)).dtype == np.float32


def test_muon_takes_matrices_only_and_names_what_is_not():
    W, b = Tensor(np.eye(2), name="W"), Tensor([1.0, 2.0], name="b")
    with pytest.raises(ShapeError, match=r"parameter 'b' has shape \(2,\).*such as AdamW"):
        optim.Muon([W, b])
    with pytest.raises(ShapeError, match=r"parameter 'v' has shape \(\)"):
        optim.Muon([Value(1.0, name="v")])
    optimizer = optim.Muon(iter([W]))
    with pytest.raises(ShapeError, match="'b'"):
        optimizer.add_param_group({"params": b})
    with pytest.raises(UsageError, match="dicts with 'params'"):
        optimizer.add_param_group({"param": W})
    assert list(optimizer.params) == ["W"]
    with pytest.raises(ShapeError, match=r"shape \(3,\)"):
        optim.scale_by_muon().init({"x": np.zeros(3)})


@pytest.mark.parametrize("bad", [-1, 100, 2.5, True, "5", None])
def test_ns_steps_is_a_small_whole_number(bad):
    with pytest.raises(UsageError, match="ns_steps must be"):
        optim.Muon([Tensor(np.eye(2))], ns_steps=bad)


def test_how_the_rate_follows_from_the_shape():
    g = np.ones((6, 2))
    plain = optim.orthogonalized(g)
    for word, factor in ((None, 3.0**0.5), ("original", 3.0**0.5), ("match_rms_adamw", 0.24**0.5)):
        rule = optim.scale_by_muon(nesterov=False, adjust_lr_fn=word)
        np.testing.assert_allclose(applied(rule, g, g), factor * plain)
    with pytest.raises(UsageError, match="adjust_lr_fn must be one of original, match_rms_adamw"):
        optim.scale_by_muon(adjust_lr_fn="neither")


# Schedule-free

SCHEDULE_FREE = [optim.SGDScheduleFree, optim.AdamWScheduleFree]
every_free = pytest.mark.parametrize("kind", SCHEDULE_FREE)


def trained(kind, steps, **options):
    x, v = Tensor([1.0, -2.0], name="x"), Value(0.5, name="v")
    optimizer = kind([x, v], lr=0.1, **options)
    go_on(optimizer, steps)
    return optimizer, x, v


def go_on(optimizer, steps):
    x, v = optimizer.params.values()
    for _ in range(steps):
        optimizer.zero_grad()
        (mg.sum((x - v) ** 2 * np.array([1.0, 3.0])) + (v - 1.0) ** 2).backward()
        optimizer.step()


@every_free
def test_the_evaluated_parameter_is_the_mean_of_z(kind):
    optimizer, x, v = trained(kind, 0, r=0.0, weight_lr_power=0.0)
    seen = []
    for _ in range(5):
        go_on(optimizer, 1)
        seen.append(
            {name: s["schedule_free_average"]["z"] for name, s in optimizer.state[0].items()}
        )
    y = x.data
    optimizer.eval()
    np.testing.assert_allclose(x.data, np.mean([z["x"] for z in seen], axis=0))
    np.testing.assert_allclose(v.data, np.mean([z["v"] for z in seen]))
    np.testing.assert_allclose(y, 0.9 * x.data + 0.1 * seen[-1]["x"])


@every_free
def test_r_weighs_later_steps_more_and_warm_up_weighs_its_steps_less(kind):
    optimizer, x, _ = trained(kind, 0, r=1.0, warmup_steps=2, weight_lr_power=2.0)
    seen = []
    for _ in range(3):
        go_on(optimizer, 1)
        seen.append(optimizer.state[0]["x"]["schedule_free_average"]["z"])
    optimizer.eval()
    weights = np.array([1.0 * 0.05**2, 2.0 * 0.1**2, 3.0 * 0.1**2])
    np.testing.assert_allclose(x.data, weights @ np.array(seen) / weights.sum())


@every_free
def test_evaluating_in_between_changes_nothing(kind):
    _, a, b = trained(kind, 6)
    optimizer, x, v = trained(kind, 3)
    y = np.copy(x.data)
    optimizer.eval()
    optimizer.eval()
    assert not np.array_equal(x.data, y)
    optimizer.train()
    optimizer.train()
    np.testing.assert_array_equal(x.data, y)
    assert (type(v.data), x.data.dtype) == (float, np.float64)
    go_on(optimizer, 3)
    np.testing.assert_array_equal(x.data, a.data)
    assert v.data == b.data


@every_free
def test_a_step_at_the_average_is_refused(kind):
    optimizer, x, _ = trained(kind, 2)
    optimizer.eval()
    before = np.copy(x.data)
    with pytest.raises(UsageError, match=rf"{kind.__name__}: after eval.*optimizer\.train\(\)"):
        optimizer.step()
    np.testing.assert_array_equal(x.data, before)
    assert optimizer.steps == 2


@every_free
@pytest.mark.parametrize("evaluated", [False, True])
def test_a_saved_state_knows_which_of_the_two_the_parameters_are(kind, evaluated):
    _, a, b = trained(kind, 6)
    first, x, v = trained(kind, 3)
    if evaluated:
        first.eval()
    second, p, q = trained(kind, 0)
    p.data, q.data = x.data, v.data
    second.load_state_dict(first.state_dict())
    assert second.training is not evaluated
    second.train()
    go_on(second, 3)
    np.testing.assert_array_equal(p.data, a.data)
    assert q.data == b.data


@every_free
@pytest.mark.parametrize("bad", [None, 1, "yes", np.bool_(True)])
def test_a_state_without_the_mode_is_refused(kind, bad):
    optimizer, _, _ = trained(kind, 3)
    optimizer.eval()
    state = {**optimizer.state_dict(), "training": bad}
    with pytest.raises(UsageError, match="training=True or False"):
        optimizer.load_state_dict(state)
    assert optimizer.training is False


@every_free
def test_what_is_assigned_to_the_average_stays(kind):
    optimizer, x, _ = trained(kind, 3)
    optimizer.eval()
    x.data = [5.0, 6.0]
    optimizer.train()
    optimizer.eval()
    assert x.data.tolist() == [5.0, 6.0]


@every_free
def test_a_parameter_that_never_moved_is_the_same_in_both(kind):
    optimizer, _, _ = trained(kind, 3)
    late = Tensor([7.0], name="late")
    optimizer.add_param_group({"params": [late]})
    optimizer.eval()
    assert late.data.tolist() == [7.0]
    optimizer.train()
    assert late.data.tolist() == [7.0]


# Prodigy


def distance_of(optimizer):
    return float(optimizer.state[0]["scale_by_prodigy"]["d"])


def prodigy_on(start, steps, **options):
    params = [Tensor(s, name=str(i)) for i, s in enumerate(start)]
    optimizer = optim.Prodigy(params, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        sum((mg.sum(mg.abs(p)) for p in params), Value(0.0)).backward()
        optimizer.step()
    return optimizer, params


def test_all_parameters_are_measured_together():
    whole, (p,) = prodigy_on([[3.0, -4.0, 5.0]], 30)
    parts, (a, b) = prodigy_on([[3.0], [-4.0, 5.0]], 30)
    np.testing.assert_allclose([*a.data, *b.data], p.data, rtol=1e-12)
    np.testing.assert_allclose(distance_of(parts), distance_of(whole), rtol=1e-12)


def test_the_estimate_stays_below_the_distance_and_gets_near_it():
    optimizer, _ = prodigy_on([[3.0, -4.0, 5.0]], 60)
    assert 0.5 < distance_of(optimizer) <= 5.0


def test_the_growth_of_the_estimate_can_be_bounded():
    optimizer, (p,) = prodigy_on([[3.0]], 0, growth_rate=1.5, d0=1e-3)
    estimates = [1e-3]
    for _ in range(20):
        moved(optimizer, p, np.array([1.0]))
        estimates.append(distance_of(optimizer))
    left = [d for d in estimates if d > 1e-3]  # from d0 the first step is free
    growth = np.array(left[1:]) / left[:-1]
    assert growth.max() <= 1.5 + 1e-12
    assert growth.max() > 1.4
    assert distance_of(optimizer) > 0.1
    with pytest.raises(
        UsageError, match=r"Prodigy: growth_rate must be finite, at least 1; got 0\.5"
    ):
        optim.Prodigy([p], growth_rate=0.5)


def test_before_any_slope_is_seen_nothing_moves():
    optimizer, (p,) = prodigy_on([[3.0]], 0)
    assert moved(optimizer, p, np.array([0.0])) == 0.0
    assert distance_of(optimizer) == 1e-6
    assert moved(optimizer, p, np.array([1.0])) < 0.0


def test_a_rate_of_zero_waits():
    optimizer, (p,) = prodigy_on([[3.0]], 0, lr=lambda step: 0.0 if step == 1 else 1.0)
    assert moved(optimizer, p, np.array([1.0])) == 0.0
    assert moved(optimizer, p, np.array([1.0])) < 0.0


def test_the_estimate_must_start_above_zero():
    with pytest.raises(UsageError, match="Prodigy: d0 must be above 0"):
        optim.Prodigy([Value(1.0)], d0=0.0)
    optimizer, (p,) = prodigy_on([[3.0]], 0, d0=lambda step: 0.0)
    with pytest.raises(MicrogradoptError, match="d0 must be above 0"):
        moved(optimizer, p, np.array([1.0]))


def test_it_works_within_wrappers_that_hand_it_some_of_the_parameters():
    rule = optim.masked(optim.scale_by_prodigy(), lambda name, x: name == "a")
    params = {"a": np.ones(2), "b": np.ones(3)}
    updates, _ = rule.update(params, rule.init(params), params, 1)
    assert updates["b"].tolist() == [1.0, 1.0, 1.0]
    assert (updates["a"] < 0.0).all()
