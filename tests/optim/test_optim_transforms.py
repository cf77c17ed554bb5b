"""Transforms: pure pairs of functions, chained, and an Optimizer made of one's own."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from microgradopt import Tensor, optim
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim import (
    accumulate,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    ema,
    masked,
    momentum,
    partition,
    schedules,
)
from microgradopt.optim.transforms import (
    Transform,
    add_decayed_weights,
    at,
    chain,
    check_hyper,
    scale,
    scale_by_learning_rate,
    stateless,
)

GRADIENTS = {"a": 2.0, "b": np.array([1.0, -1.0])}
PARAMS = {"a": 1.0, "b": np.array([10.0, 20.0])}


def once(transform, step=1):
    return transform.update(GRADIENTS, transform.init(PARAMS), PARAMS, step)[0]


def check(found, a, b):
    assert found["a"] == pytest.approx(a)
    np.testing.assert_allclose(found["b"], b)


def test_the_pieces_do_what_they_say():
    check(once(scale(-3.0)), -6.0, [-3.0, 3.0])
    check(once(scale(lambda step: -step), step=2), -4.0, [-2.0, 2.0])
    check(once(scale_by_learning_rate(0.5)), -1.0, [-0.5, 0.5])
    check(once(scale_by_learning_rate(lambda step: 1.0 / step), step=4), -0.5, [-0.25, 0.25])
    check(once(add_decayed_weights(0.1)), 2.1, [2.0, 1.0])
    check(once(momentum(0.9)), 2.0, [1.0, -1.0])
    check(once(momentum(0.9, nesterov=True)), 3.8, [1.9, -1.9])


def test_a_chain_applies_in_order():
    check(once(chain(scale(10.0), add_decayed_weights(1.0))), 21.0, [20.0, 10.0])
    check(once(chain(add_decayed_weights(1.0), scale(10.0))), 30.0, [110.0, 190.0])
    check(once(chain()), 2.0, [1.0, -1.0])
    check(once(chain(chain(scale(2.0)), chain())), 4.0, [2.0, -2.0])


@pytest.mark.parametrize(
    "piece", [scale(2.0), momentum(0.9), momentum(0.5, 0.1), chain(momentum(0.9))]
)
def test_an_update_changes_none_of_its_arguments(piece):
    state = piece.init(PARAMS)
    gradients = {k: np.copy(g) for k, g in GRADIENTS.items()}
    for step in (1, 2, 3):
        updates, after = piece.update(gradients, state, PARAMS, step)
        again, _ = piece.update(gradients, state, PARAMS, step)
        np.testing.assert_array_equal(updates["b"], again["b"])
        state = after
    np.testing.assert_array_equal(gradients["b"], GRADIENTS["b"])
    np.testing.assert_array_equal(PARAMS["b"], [10.0, 20.0])


def test_momentum_keeps_no_view_of_a_gradient():
    piece = momentum(0.9)
    g = {"b": np.array([1.0, 2.0])}
    _, state = piece.update(g, piece.init(PARAMS), PARAMS, 1)
    assert not np.shares_memory(state["b"]["momentum_buffer"], g["b"])


def test_an_optimizer_of_ones_own_rule():
    sign = stateless(lambda g, params, step: {k: np.sign(v) for k, v in g.items()})
    p = Tensor([1.0, -5.0], name="p")
    optimizer = optim.Optimizer([p], chain(sign, scale_by_learning_rate(0.5)))
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    np.testing.assert_array_equal(p.data, [0.0, -3.5])


def test_a_rule_that_gives_another_shape_changes_nothing():
    widen = stateless(lambda g, params, step: {k: np.ones((2, 2)) for k in g})
    p = Tensor([1.0, 2.0], name="p")
    optimizer = optim.Optimizer([p], chain(widen))
    p.grad = np.ones(2)
    with pytest.raises(ShapeError, match="'p' of shape \\(2,\\) cannot take data of shape"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(p.data, [1.0, 2.0])


def test_a_rule_that_widens_float32_does_not_widen_the_parameter():
    widen = stateless(lambda g, params, step: {k: -v.astype(np.float64) for k, v in g.items()})
    p = Tensor([1.0, 2.0], dtype=np.float32)
    optimizer = optim.Optimizer([p], chain(widen))
    p.grad = np.ones(2, np.float32)
    optimizer.step()
    assert p.data.dtype == np.float32


def test_a_transform_is_frozen():
    with pytest.raises(AttributeError):
        scale(1.0).init = None
    assert isinstance(scale(1.0), Transform)


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.float64(0.5), lambda step: np.float32(0.5)]
)
def test_a_hyper_parameter_at_a_step_is_a_plain_float(value):
    found = at(value, 1)
    assert (type(found), found) == (float, 0.5)


def test_bounds_of_hyper_parameters():
    check_hyper("U", "beta1", 0.9)
    with pytest.raises(
        UsageError, match=r"U: beta1 must be finite, at least 0 and below 1; got 1\.0"
    ):
        check_hyper("U", "beta1", 1.0)
    with pytest.raises(UsageError, match=r"momentum: dampening must be a number or a schedule"):
        momentum(0.9, "0.1")
    with pytest.raises(UsageError, match="its value at step 2 must be finite, at least 0 and be"):
        at(lambda step: 1.5, 2, "beta1")


def test_a_chain_reads_as_it_is_made():
    rule = chain(scale(2.0), momentum(0.9, nesterov=True), scale_by_learning_rate(np.sqrt))
    assert repr(rule) == (
        "chain(scale(factor=2.0), momentum(momentum=0.9, dampening=0.0, nesterov=True), "
        "scale_by_learning_rate(lr=sqrt))"
    )
    assert [piece.name for piece in rule.pieces] == ["scale", "momentum", "scale_by_learning_rate"]


def test_equal_pieces_of_a_chain_keep_states_of_their_own():
    rule = chain(momentum(0.5), momentum(0.25), momentum(0.125))
    state = rule.init(PARAMS)
    assert list(state["a"]) == ["momentum", "momentum.2", "momentum.3"]
    for step in (1, 2):
        _, state = rule.update(GRADIENTS, state, PARAMS, step)
    buffers = [state["a"][key]["momentum_buffer"] for key in state["a"]]
    assert buffers == [3.0, 3.5, 3.75]


@pytest.mark.parametrize("rate", [0.5, lambda step: 0.5 / step])
def test_factors_are_multiplied_out_without_a_change(rate):
    """A chain folds factors into what they follow; applied one by one, they give the same."""
    pieces = [scale(3.0), optim.scale_by_adam(), scale(-2.0), scale_by_learning_rate(rate)]
    folded = chain(*pieces)
    state, states = folded.init(PARAMS), [piece.init(PARAMS) for piece in pieces]
    for step in (1, 2, 3):
        found, state = folded.update(GRADIENTS, state, PARAMS, step)
        g = GRADIENTS
        for i, piece in enumerate(pieces):
            g, states[i] = piece.update(g, states[i], PARAMS, step)
        np.testing.assert_allclose(found["b"], g["b"], rtol=1e-14)
        assert found["a"] == pytest.approx(g["a"], rel=1e-14)


# Clipping


def test_clipping():
    check(once(clip_by_value(1.5)), 1.5, [1.0, -1.0])
    check(once(clip_by_norm(1.0)), 2.0 / (2.0 + 1e-6), np.array([1.0, -1.0]) / (2**0.5 + 1e-6))
    check(once(clip_by_norm(3.0)), 2.0, [1.0, -1.0])
    factor = 2.0 / (6.0**0.5 + 1e-6)
    check(once(clip_by_global_norm(2.0)), 2.0 * factor, [factor, -factor])
    check(once(clip_by_global_norm(2.5)), 2.0, [1.0, -1.0])
    check(once(clip_by_global_norm(lambda step: 2.5 / step), step=1), 2.0, [1.0, -1.0])


def test_clipping_survives_huge_gradients_and_zeros():
    g = {"b": np.array([3e200, 4e200])}
    for rule in (clip_by_norm(1.0), clip_by_global_norm(1.0)):
        np.testing.assert_allclose(rule.update(g, rule.init(g), g, 1)[0]["b"], [0.6, 0.8])
        zero = {"b": np.zeros(2)}
        np.testing.assert_array_equal(rule.update(zero, rule.init(g), g, 1)[0]["b"], [0.0, 0.0])
        assert rule.update({}, rule.init({}), {}, 1)[0] == {}


def test_clipping_keeps_float32_beside_float64():
    g = {"a": np.ones(2, np.float32), "b": np.ones(2)}
    found, _ = clip_by_global_norm(1.0).update(g, {}, g, 1)
    assert [x.dtype for x in found.values()] == [np.float32, np.float64]


# Transforms of transforms


def test_masked_leaves_the_others_alone():
    rule = masked(scale(-1.0), lambda name, x: name == "b")
    check(once(rule), 2.0, [-1.0, 1.0])
    assert list(masked(momentum(0.9), lambda name, x: np.ndim(x) > 0).init(PARAMS)) == ["b"]


def test_partition_gives_each_label_its_own():
    rules = {"numbers": scale(2.0), "arrays": chain(momentum(0.9), scale(-1.0))}
    by_rank = partition(rules, lambda name, x: "arrays" if np.ndim(x) else "numbers")
    check(once(by_rank), 4.0, [-1.0, 1.0])
    check(once(partition(rules, {"a": "arrays", "b": "numbers"})), -2.0, [2.0, -2.0])
    with pytest.raises(UsageError, match="label of 'b' is 'c', but there are transforms for 'num"):
        partition(rules, {"a": "arrays", "b": "c"}).init(PARAMS)
    with pytest.raises(UsageError, match="label of 'b' is None"):
        partition(rules, {"a": "arrays"}).init(PARAMS)


def test_accumulate_steps_on_the_mean_of_several_gradients():
    rule = accumulate(chain(momentum(0.5), scale_by_learning_rate(lambda step: float(step))), 3)
    p = Tensor([0.0, 0.0], name="p")
    optimizer = optim.Optimizer([p], rule)
    plain = Tensor([0.0, 0.0], name="p")
    other = optim.SGD([plain], lr=lambda step: float(step), momentum=0.5)
    for i in range(7):
        p.grad = np.array([1.0, -2.0]) * i
        optimizer.step()
        if i % 3 == 2:
            plain.grad = np.array([1.0, -2.0]) * (i - 1)  # the mean of i - 2, i - 1 and i
            other.step()
        np.testing.assert_allclose(p.data, plain.data)
    for bad in (0, -1, 1.5, True, "2", None):
        with pytest.raises(UsageError, match="accumulate: every must be"):
            accumulate(scale(1.0), bad)


def test_accumulate_keeps_what_a_parameter_has_summed_up_when_its_last_gradient_is_missing():
    p = Tensor([0.0], name="p")
    optimizer = optim.Optimizer([p], accumulate(scale_by_learning_rate(1.0), 2))
    for g in (1.0, None, 3.0, 4.0):
        p.grad = None if g is None else np.array([g])
        optimizer.step()
    np.testing.assert_array_equal(p.data, [-4.0])


def test_ema_averages():
    rule = ema(0.5)
    state = rule.init(PARAMS)
    found, state = rule.update(GRADIENTS, state, PARAMS, 1)
    check(found, 2.0, [1.0, -1.0])
    other = {"a": 8.0, "b": np.array([4.0, 2.0])}
    found, state = rule.update(other, state, PARAMS, 2)
    check(found, 6.0, [3.0, 1.0])
    check(once(ema(0.5, debias=False)), 1.0, [0.5, -0.5])


# An optimizer of one's own chain


def adam_clipped():
    return chain(clip_by_global_norm(0.5), optim.scale_by_adam(), scale_by_learning_rate(0.1))


@pytest.mark.parametrize(
    "make",
    [
        adam_clipped,
        lambda: accumulate(adam_clipped(), 2),
        lambda: masked(adam_clipped(), lambda name, x: name == "p"),
        lambda: partition({"a": adam_clipped(), "b": chain()}, {"p": "a", "q": "b"}),
        lambda: chain(ema(0.5), scale(-0.1)),
    ],
)
def test_its_state_is_saved_and_goes_on(make):
    def steps(optimizer, count):
        for i in range(count):
            for k, p in enumerate(optimizer.params.values()):
                p.grad = np.sin(p.data + i + k)
            optimizer.step()

    def fresh():
        return optim.Optimizer([Tensor([1.0, 2.0], name="p"), Tensor([3.0], name="q")], make())

    first, second, straight = fresh(), fresh(), fresh()
    steps(straight, 3)
    steps(first, 3)
    for name, p in second.params.items():
        p.data = first.params[name].data
    second.load_state_dict(first.state_dict())
    steps(second, 4)
    steps(straight, 4)
    for name, p in second.params.items():
        np.testing.assert_array_equal(p.data, straight.params[name].data)
    state = first.state_dict()
    state["groups"][0]["state"]["more"] = {}
    with pytest.raises(UsageError, match=r"groups.0.state has .*'more', but needs"):
        second.load_state_dict(state)


def test_several_groups_show_as_a_partition_that_does_the_same():
    p, q = Tensor([1.0, 2.0], name="p"), Tensor([3.0], name="q")
    optimizer = optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.5}], lr=0.1)
    rule = optimizer.transform
    assert rule.name == "partition"
    params = {"p": p.data, "q": q.data}
    g = {"p": np.array([1.0, -1.0]), "q": np.array([2.0])}
    updates, _ = rule.update(g, rule.init(params), params, 1)
    p.grad, q.grad = g["p"], g["q"]
    optimizer.step()
    np.testing.assert_allclose(p.data, params["p"] + updates["p"])
    np.testing.assert_allclose(q.data, params["q"] + updates["q"])


@pytest.mark.parametrize(
    "around",
    [
        lambda rate: rate,
        lambda rate: chain(clip_by_global_norm(1.0), momentum(0.5), rate),
        lambda rate: accumulate(masked(rate, lambda name, x: True), 1),
        lambda rate: partition({"all": chain(momentum(0.5), rate)}, lambda name, x: "all"),
    ],
)
def test_what_a_schedule_inside_a_rule_remembers_is_saved(around):
    first, second = schedules.Plateau(0.1, patience=0), schedules.Plateau(0.1, patience=0)
    for metric in (1.0, 2.0, 3.0):
        first.update(metric)
    optimizer, other = (
        optim.Optimizer([Tensor([1.0], name="p")], around(scale_by_learning_rate(schedule * 2.0)))
        for schedule in (first, second)
    )
    other.load_state_dict(optimizer.state_dict())
    assert second.state == first.state
    assert second.state.lr < 0.1


def test_amsgrad_may_be_turned_on_and_off_by_hand():
    p = Tensor([1.0], name="p")
    optimizer = optim.Adam([p], lr=0.1)
    for amsgrad, slots in ((False, 3), (True, 4), (False, 3)):
        optimizer.param_groups[0]["amsgrad"] = amsgrad
        p.grad = np.ones(1)
        optimizer.step()
        assert len(optimizer.state[0]["p"]["scale_by_adam"]) == slots
    np.testing.assert_allclose(p.data, [0.7])


def test_a_pair_changed_in_place_is_seen():
    p, q = Tensor([1.0]), Tensor([1.0])
    optimizer, other = optim.Adam([p], betas=[0.9, 0.99]), optim.Adam([q], betas=(0.9, 0.99))
    for o in (optimizer, other):
        next(iter(o.params.values())).grad = np.ones(1)
        o.step()
    optimizer.param_groups[0]["betas"][0] = 0.5
    other.param_groups[0]["betas"] = (0.5, 0.99)
    for o in (optimizer, other):
        next(iter(o.params.values())).grad = np.array([-3.0])
        o.step()
    np.testing.assert_array_equal(p.data, q.data)


def test_groups_hold_the_known_options():
    p = Tensor([1.0])
    p.grad = np.ones(1)
    optimizer = optim.SGD([p], lr=0.1)
    with pytest.raises(UsageError, match=r"SGD: params must be .* all groups, dicts with"):
        optimizer.add_param_group(Tensor([2.0]))
    with pytest.raises(UsageError, match="option 'learning_rate'; the options are lr, momentum"):
        optimizer.add_param_group({"params": [Tensor([2.0])], "learning_rate": 0.1})
    optimizer.param_groups[0]["initial_lr"] = 0.1
    with pytest.raises(UsageError, match="SGD: a group has the option 'initial_lr'"):
        optimizer.step()
    del optimizer.param_groups[0]["initial_lr"], optimizer.param_groups[0]["lr"]
    with pytest.raises(UsageError, match="SGD: a group has lost its option 'lr'"):
        optimizer.step()
    with pytest.raises(UsageError, match=r"Optimizer: a group has the option 'lr'; .* are none"):
        optim.Optimizer([p], scale(-0.1), lr=0.1)
    np.testing.assert_array_equal(p.data, [1.0])


def test_momentum_may_be_turned_on_by_hand():
    p, q = Tensor([1.0], name="p"), Tensor([1.0], name="q")
    optimizer, other = optim.SGD([p], lr=0.1), optim.SGD([q], lr=0.1, momentum=0.5)
    p.grad = q.grad = np.ones(1)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    for _ in range(3):
        optimizer.step()
        other.step()
    np.testing.assert_allclose(p.data + 0.1, q.data)
    optimizer.param_groups[0]["momentum"] = -1.0
    before = p.data
    with pytest.raises(UsageError, match="SGD: momentum must be finite, at least 0; got -1"):
        optimizer.step()
    assert p.data is before


def test_numpys_numbers_among_the_options_are_saved_as_numbers():
    optimizer = optim.SGD([Tensor([1.0])], lr=np.float32(0.5), momentum=np.float64(0.25))
    options = optimizer.state_dict()["groups"][0]["options"]
    assert (options["lr"], type(options["lr"]), type(options["momentum"])) == (0.5, float, float)


def test_a_state_from_before_the_start_is_refused():
    optimizer = optim.SGD([Tensor([1.0])])
    with pytest.raises(UsageError, match="steps below 0: -1"):
        optimizer.load_state_dict({**optimizer.state_dict(), "steps": -1})


def test_what_does_not_exist_is_said_so():
    with pytest.raises(AttributeError, match="has no attribute 'Adamm'"):
        optim.Adamm
    assert {"presets", "schedules", "Adam"} <= set(dir(optim))


def test_a_rule_that_keeps_no_decay_apart_needs_decay():
    with pytest.raises(UsageError, match="Optimizer has no weight_decay to leave out"):
        optim.Optimizer([Tensor([1.0])], chain(), no_decay="biases_and_norms")


def test_an_optimizer_of_a_whole_chain_can_be_copied():
    optimizer = optim.Optimizer([Tensor([1.0], name="p")], chain(momentum(0.5), scale(-0.1)))
    other = copy.deepcopy(optimizer)
    for each in (optimizer, other):
        each.params["p"].grad = np.ones(1)
        each.step()
    np.testing.assert_array_equal(optimizer.params["p"].data, other.params["p"].data)
