"""Squared errors, hinge and penalties: values, gradients of both orders, dtypes and errors."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn
from microgradopt.check import check_grads
from microgradopt.errors import DTypeError, ShapeError, UsageError

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "losses.json").read_text(encoding="utf-8")
)["runs"]
every_run = pytest.mark.parametrize("run", GOLDEN, ids=lambda r: str(np.shape(r["logits"])))
both_squares = pytest.mark.parametrize("loss", [nn.mse, nn.half_squared_error])
both_penalties = pytest.mark.parametrize("penalty", [nn.l1_penalty, nn.l2_penalty])
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))


def value_and_gradient(loss, x):
    x = Tensor(x)
    y = loss(x)
    y.backward()
    return y.data, x.grad


@every_run
@pytest.mark.parametrize(
    ("name", "target"), [("mse", "soft"), ("half_squared_error", "soft"), ("hinge", "labels")]
)
def test_torchs_numbers(run, name, target):
    value, gradient = value_and_gradient(
        lambda x: getattr(nn, name)(x, np.array(run[target])), run["logits"]
    )
    np.testing.assert_allclose(value, run[name]["value"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, run[name]["gradient"], rtol=1e-12, atol=1e-15)


# Squared errors


def test_the_two_squared_errors_differ_by_what_their_names_say():
    assert nn.mse(Tensor(A), B).item() == pytest.approx(np.mean((A - B) ** 2), rel=1e-14)
    half = nn.half_squared_error(Tensor(A), B).item()
    assert half == pytest.approx(0.5 * np.sum((A - B) ** 2), rel=1e-14)


@both_squares
@pytest.mark.parametrize("order", [1, 2])
def test_squared_errors_have_right_gradients_by_both(loss, order):
    check_grads(loss, A, B, order=order)
    check_grads(loss, 0.5, -2.0, order=order)


@both_squares
def test_squared_errors_take_numbers_in_any_form(loss):
    expected = loss(A, B)
    for x in (A, A.tolist(), Tensor(A)):
        for y in (B, B.tolist(), Tensor(B)):
            found = loss(x, y)
            assert getattr(found, "data", found) == expected
    assert loss(np.array([10, 200], np.uint8), np.array([40, 100], np.uint8)) == loss(
        [10.0, 200.0], [40.0, 100.0]
    )
    assert loss(Tensor([1.0, 0.0]), np.array([True, False])).item() == 0.0


@both_squares
def test_squared_errors_of_values(loss):
    p = Value(3.0)
    y = loss(p, 1.0)
    y.backward()
    scale = 1.0 if loss is nn.mse else 0.5
    assert (y.item(), p.grad) == (4.0 * scale, 4.0 * scale)


@both_squares
def test_squared_errors_keep_float32(loss):
    p = Tensor(A.astype(np.float32))
    for target in (B, B.astype(np.float32), B.tolist(), Tensor(B.astype(np.float32))):
        p.zero_grad()
        y = loss(p, target)
        y.backward()
        assert (y.dtype, p.grad.dtype) == (np.float32, np.float32)


@both_squares
@pytest.mark.parametrize(
    ("a", "b"), [((3, 1), (3,)), ((3,), (3, 1)), ((3,), (4,)), ((3,), ()), ((), (3,))]
)
def test_squared_errors_do_not_broadcast(loss, a, b):
    with pytest.raises(ShapeError) as caught:
        loss(Tensor(np.zeros(a)), np.zeros(b))
    assert str(a) in str(caught.value)
    assert str(b) in str(caught.value)
    assert str(caught.value).startswith(f"{loss.__name__}: ")


def test_the_mean_of_no_errors_is_refused():
    with pytest.raises(ShapeError):
        nn.mse(Tensor(np.zeros(0)), np.zeros(0))
    assert nn.half_squared_error(Tensor(np.zeros(0)), np.zeros(0)).item() == 0.0


# Hinge


def hinge_by_formula(scores, labels, margin):
    n, classes = scores.shape
    total = 0.0
    for i in range(n):
        for j in range(classes):
            if j != labels[i]:
                total += max(0.0, scores[i, j] - scores[i, labels[i]] + margin)
    return total / n


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, 3.0])
def test_hinge_of_signs(margin):
    scores, signs = RNG.normal(size=9), np.array([1, -1, 1, 1, -1, -1, 1, -1, 1])
    expected = np.mean(np.maximum(0.0, margin - signs * scores))
    for target in (signs, signs.tolist(), signs.astype(float)):
        found = nn.hinge(Tensor(scores), target, margin)
        np.testing.assert_allclose(found.data, expected, rtol=1e-14)
    column = nn.hinge(Tensor(scores[:, None]), signs[:, None], margin)
    np.testing.assert_allclose(column.data, expected, rtol=1e-14)
    np.testing.assert_allclose(nn.hinge(scores.tolist(), signs, margin), expected, rtol=1e-14)


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("classes", [1, 2, 5, 33])
def test_hinge_of_classes(classes, margin):
    scores, labels = RNG.normal(size=(6, classes)), RNG.integers(0, classes, 6)
    expected = hinge_by_formula(scores, labels, margin)
    for x in (scores, scores.tolist(), Tensor(scores)):
        found = nn.hinge(x, labels, margin)
        np.testing.assert_allclose(getattr(found, "data", found), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lead_beyond_the_margin_costs_exactly_nothing(dtype):
    """The right class used to be counted and one margin taken off, which rounding spoiled."""
    labels = RNG.integers(0, 10, 1000)
    loss, gradient = value_and_gradient(
        lambda x: nn.hinge(x, labels, margin=0.1), (50.0 * np.eye(10)[labels]).astype(dtype)
    )
    assert loss == 0.0
    assert loss.dtype == gradient.dtype == dtype
    assert not gradient.any()


@pytest.mark.parametrize("order", [1, 2])
def test_hinge_gradients(order):
    check_grads(lambda x: nn.hinge(x, [0, 2, 1, 1]), A, order=order)
    check_grads(lambda x: nn.hinge(x, [1, -1, 1]), np.array([0.5, 0.3, 2.0]), order=order)


@pytest.mark.parametrize("signs", [[1, -1], np.array([1.0, -1.0])])
def test_hinge_of_signs_keeps_float32(signs):
    scores = np.array([0.5, 2.0], np.float32)
    assert nn.hinge(Tensor(scores), signs).dtype == np.float32
    assert nn.hinge(scores, signs).dtype == np.float32


@pytest.mark.parametrize(
    ("scores", "target", "error", "message"),
    [
        (np.zeros(3), [0, 1, 1], UsageError, r"must be -1 or 1; use 2 \* y - 1"),
        (np.zeros(3), [1, -1], ShapeError, r"\(3,\) and target \(2,\)"),
        (np.zeros(3), [[1], [-1], [1]], ShapeError, r"\(3,\) and target \(3, 1\)"),
        (np.zeros(2), ["a", "b"], DTypeError, "takes real numbers"),
        (np.zeros((2, 3)), [0, 3], UsageError, "label 3 is not one of the classes 0 to 2"),
        (np.zeros((2, 3)), [0, -1], UsageError, "label -1"),
        (np.zeros((2, 3)), [0], ShapeError, r"\(2, 3\) need 2 integer labels"),
        (np.zeros((2, 3)), [0.0, 1.0], DTypeError, "must be integers"),
        (np.zeros((2, 3)), [True, False], DTypeError, "got dtype bool"),
        (np.zeros((2, 3)), Tensor([0.0, 1.0]), DTypeError, "got a Tensor"),
        (np.zeros((2, 2, 2)), [0, 1], ShapeError, r"\(2, 2, 2\)"),
        (np.zeros(()), 1, ShapeError, r"got \(\)"),
        (np.zeros(0), [], ShapeError, r"got \(0,\)"),
        (np.zeros((0, 3)), [], ShapeError, r"got \(0, 3\)"),
    ],
)
def test_hinge_refuses(scores, target, error, message):
    for given in (scores, Tensor(scores)):
        with pytest.raises(error, match=message) as caught:
            nn.hinge(given, target)
        assert str(caught.value).startswith("hinge: ")


# Penalties


@pytest.mark.parametrize("strength", [0.0, 0.3, 2])
def test_penalties_by_formula(strength):
    weights = [Tensor(A), Value(-3.0), Tensor(np.ones((2, 2, 2))), Tensor(np.zeros((0, 2)))]
    flat = np.concatenate([np.ravel(w.data) for w in weights])
    l2, l1 = nn.l2_penalty(weights, strength), nn.l1_penalty(weights, strength)
    np.testing.assert_allclose(l2.data, 0.5 * strength * np.sum(flat**2), rtol=1e-14)
    np.testing.assert_allclose(l1.data, strength * np.sum(np.abs(flat)), rtol=1e-14)
    l2.backward()
    for w in weights:
        np.testing.assert_allclose(w.grad, strength * w.data, rtol=1e-15)
        w.zero_grad()
    l1.backward()
    for w in weights:
        np.testing.assert_allclose(w.grad, strength * np.sign(w.data), rtol=1e-15)


@both_penalties
@pytest.mark.parametrize("order", [1, 2])
def test_penalty_gradients_of_arrays_and_numbers(penalty, order):
    check_grads(lambda a, b: penalty([a, b], 0.7), A, B, order=order)
    check_grads(lambda a, b: penalty([a, b], 0.7), A, -1.5, order=order)
    check_grads(lambda a, b: penalty([a, b], 0.7), 2.5, -1.5, order=order)
    check_grads(lambda a: penalty(a, 0.7), A, order=order)


@both_penalties
@pytest.mark.parametrize("order", [1, 2])
def test_the_strength_may_be_differentiated_by(penalty, order):
    check_grads(lambda a, s: penalty([a], s), A, 0.7, order=order)
    strength = Value(0.5)
    penalty([Tensor([1.0, 2.0])], strength).backward()
    assert strength.grad == (3.0 if penalty is nn.l1_penalty else 2.5)


@both_penalties
def test_a_penalty_of_nothing_is_zero_and_adds_to_anything(penalty):
    assert penalty([], 0.5) == 0.0
    assert (nn.mse(Tensor([1.0]), [0.0]) + penalty([], 0.5)).item() == 1.0


@both_penalties
def test_penalties_take_generators_single_nodes_and_raw_arrays(penalty):
    w = Tensor(A)
    expected = penalty([w], 0.5).item()
    assert penalty((p for p in [w]), 0.5).item() == expected
    assert penalty(w, 0.5).item() == expected
    assert float(penalty([A], 0.5)) == pytest.approx(expected, rel=1e-15)
    assert penalty(Value(2.0), 0.5).item() == 1.0


@both_penalties
def test_a_weight_given_twice_counts_twice(penalty):
    w = Tensor(A)
    assert penalty([w, w], 0.5).item() == pytest.approx(2 * penalty([w], 0.5).item())
    penalty([w, w], 0.5).backward()
    twice, w.grad = w.grad, None
    penalty([w], 0.5).backward()
    np.testing.assert_allclose(twice, 2 * w.grad, rtol=1e-15)


@both_penalties
def test_penalties_keep_float32_also_beside_values(penalty):
    w, v = Tensor(A.astype(np.float32)), Value(2.0)
    for weights in ([w], [w, v], [v, w]):
        y = penalty(weights, 0.5)
        y.backward()
        assert (y.dtype, w.grad.dtype, type(v.data)) == (np.float32, np.float32, float)


@both_penalties
def test_a_model_of_values_can_be_penalised(penalty):
    model = nn.scalar.MLP(2, [3, 1], rng=0)
    y = model([1.0, 2.0]) + penalty(model.parameters(), 0.1)
    y.backward()
    assert all(type(p.grad) is float for p in model.parameters())


@both_penalties
@pytest.mark.parametrize("bad", ["0.1", None, -0.1, math.nan, math.inf, 1j])
def test_a_bad_strength_is_refused(penalty, bad):
    with pytest.raises(UsageError, match=r"strength must be (a number|finite, at least 0)") as e:
        penalty([Tensor([1.0])], bad)
    assert repr(bad) in str(e.value)


@both_penalties
@pytest.mark.parametrize(
    "bad", [{"w": Tensor([1.0])}, ["w"], [("w", Tensor([1.0]))], [[Tensor([1.0])]], [None]]
)
def test_what_is_no_weight_is_refused(penalty, bad):
    with pytest.raises(DTypeError, match=r"model\.parameters\(\)"):
        penalty(bad, 0.5)


def test_losses_train_a_network_together():
    X = RNG.normal(size=(30, 2))
    y = (X[:, 0] > 0).astype(int)
    for loss in (nn.cross_entropy, nn.hinge):
        model = nn.MLP(2, [8, 2], rng=0)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(100):
            total = loss(model(X), y) + nn.l2_penalty(model.parameters(), 1e-3)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        assert np.mean(model(X).argmax(axis=1) == y) > 0.95


# Every loss and option


def _numbers(x):
    """Floats as nodes; labels stay plain."""
    x = np.asarray(x)
    return Tensor(x) if x.dtype.kind == "f" else x


def _label(case):
    options = [f"{k}={'given' if isinstance(v, list) else v}" for k, v in case["options"].items()]
    shapes = [str(np.shape(x)) for x in case["operands"]]
    return ",".join([case["loss"], *shapes, *options])


CASES = json.loads(
    (Path(__file__).parent.parent / "golden" / "losses.json").read_text(encoding="utf-8")
)["cases"]


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_every_option_has_torchs_numbers(case):
    operands = [_numbers(x) for x in case["operands"]]
    signed = case["loss"] in ("margin_ranking_loss", "cosine_embedding_loss")
    if signed:
        operands[2] = operands[2].data
    value = getattr(nn, case["loss"])(*operands, **case["options"])
    np.testing.assert_allclose(value.data, case["value"], rtol=1e-10, atol=1e-13)
    seed = np.cos(1.0 + 0.7 * np.arange(value.data.size)).reshape(value.data.shape)
    mg.sum(value * seed).backward()
    for x, gradient in zip(operands, case["gradients"], strict=True):
        if gradient is not None:
            np.testing.assert_allclose(x.grad, gradient, rtol=1e-10, atol=1e-13)


def test_every_loss_has_golden_numbers():
    own = {"cross_entropy_from_probabilities", "entropy", "half_squared_error", "hinge"}
    homes = {"microgradopt.nn.classification", "microgradopt.nn.losses"}
    losses = {n for n in nn.__all__ if getattr(getattr(nn, n), "__module__", None) in homes}
    assert losses - own == {case["loss"] for case in CASES}


@pytest.mark.parametrize("case", CASES[::3], ids=_label)
def test_every_option_keeps_float32(case):
    def narrow(x):
        x = np.asarray(x)
        return Tensor(x.astype(np.float32)) if x.dtype.kind == "f" else x

    operands = [narrow(x) for x in case["operands"]]
    if case["loss"] in ("margin_ranking_loss", "cosine_embedding_loss"):
        operands[2] = operands[2].data
    value = getattr(nn, case["loss"])(*operands, **case["options"])
    mg.sum(value).backward()
    assert value.dtype == np.float32
    np.testing.assert_allclose(value.data, case["value"], rtol=1e-4, atol=1e-5)
    assert {x.grad.dtype for x in operands if isinstance(x, Tensor)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", sorted({case["loss"] for case in CASES}))
def test_second_derivatives_of_every_loss(name):
    own = [case for case in CASES if case["loss"] == name]
    for case in own[:: 1 + len(own) // 6]:
        operands = [np.asarray(x) for x in case["operands"]]
        free = 2 if "margin" in name or "embedding" in name else len(operands)
        free = {"triplet_margin_loss": 3, "poisson_nll_loss": 1}.get(name, free)
        free -= sum(x.dtype.kind != "f" for x in operands[:free])

        def f(*xs, case=case, fixed=operands[free:]):
            return mg.sum(getattr(nn, case["loss"])(*xs, *fixed, **case["options"]))

        check_grads(f, *operands[:free], order=2, rtol=1e-4)


@pytest.mark.parametrize("name", ["mse", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_losses_of_values(name):
    p = Value(3.0)
    y = getattr(nn, name)(p, 1.0)
    y.backward()
    assert p.grad == {"mse": 4.0}.get(name, 1.0)


def test_binary_losses_of_values():
    x, p = Value(-40.0), Value(0.25)
    nn.binary_cross_entropy_with_logits(x, 0.0).backward()
    nn.binary_cross_entropy(p, 1.0).backward()
    assert x.grad == pytest.approx(math.exp(-40.0), rel=1e-15)
    assert p.grad == -4.0


def test_the_binary_loss_of_scores_is_precise_on_both_sides():
    x = Tensor([-1000.0, -40.0, 40.0, 1000.0, -np.inf, np.inf])
    t = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    y = nn.binary_cross_entropy_with_logits(x, t, reduction="none")
    np.testing.assert_allclose(y.data, [0.0, np.exp(-40.0), np.exp(-40.0), 0.0, 0.0, 0.0])
    mg.sum(y).backward()
    np.testing.assert_allclose(x.grad, [0.0, np.exp(-40.0), -np.exp(-40.0), 0.0, 0.0, 0.0])


def test_a_certain_error_is_infinite_and_certainty_is_free():
    p = Tensor([0.0, 1.0, 0.0, 1.0])
    y = nn.binary_cross_entropy(p, [0.0, 1.0, 1.0, 0.0], reduction="none")
    np.testing.assert_array_equal(y.data, [0.0, 0.0, np.inf, np.inf])
    mg.sum(y).backward()
    np.testing.assert_array_equal(p.grad, [1.0, -1.0, -np.inf, np.inf])


def test_smooth_l1_is_huber_over_beta_and_both_reach_l1():
    for size in (0.3, 2.0):
        huber = nn.huber_loss(A, B, delta=size)
        assert nn.smooth_l1_loss(A, B, beta=size) == pytest.approx(huber / size, rel=1e-15)
    assert nn.smooth_l1_loss(A, B, beta=0.0) == nn.l1_loss(A, B)
    assert nn.huber_loss(A, B, delta=1e9) == pytest.approx(nn.mse(A, B) / 2, rel=1e-15)
    assert nn.huber_loss(Tensor([np.inf]), [0.0]).item() == np.inf


def test_entropy_in_bits_and_nats():
    p = np.array([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(nn.entropy(p, base=2), [1.5, 0.0], rtol=1e-15)
    np.testing.assert_allclose(nn.entropy(p), [1.5 * math.log(2.0), 0.0], rtol=1e-15)
    np.testing.assert_allclose(nn.entropy(p.T, axis=0, base=4), [0.75, 0.0], rtol=1e-15)
    check_grads(nn.entropy, np.array([0.2, 0.5, 0.3]), order=2)


REDUCIBLE = [
    "mse", "half_squared_error", "l1_loss", "huber_loss", "smooth_l1_loss", "kl_div",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "poisson_nll_loss",
]  # fmt: skip


@pytest.mark.parametrize("name", REDUCIBLE)
def test_reductions_agree_and_others_are_refused(name):
    loss = getattr(nn, name)
    p, q = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4))
    each = loss(p, q, reduction="none")
    assert each.shape == (3, 4)
    np.testing.assert_allclose(loss(p, q, reduction="sum"), each.sum(), rtol=1e-14)
    np.testing.assert_allclose(loss(p, q, reduction="mean"), each.mean(), rtol=1e-14)
    for bad in ("average", None, True):
        with pytest.raises(UsageError, match=f'{name}: reduction must be one of "mean", "sum"'):
            loss(p, q, reduction=bad)
    with pytest.raises(ShapeError, match=f"{name}: prediction has shape"):
        loss(p, q[:, :1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.huber_loss(A, B, delta=0.0), UsageError, "delta must be above 0; use l1_loss"),
        (lambda: nn.huber_loss(A, B, delta=-1), UsageError, "delta must be finite, at least 0"),
        (lambda: nn.smooth_l1_loss(A, B, beta=math.nan), UsageError, "beta must be finite"),
        (lambda: nn.entropy([0.5, 0.5], base=1), UsageError, "base must be above 1"),
        (lambda: nn.entropy([0.5, 0.5], base="2"), UsageError, "base must be a number"),
        (lambda: nn.hinge(A, A, "1"), UsageError, "hinge: margin must be a number"),
        (lambda: nn.margin_ranking_loss(A, B, A), UsageError, "must be -1 or 1"),
        (lambda: nn.cosine_embedding_loss(A, B, [1.0]), ShapeError, r"\(4,\) and target \(1,\)"),
        (lambda: nn.cosine_embedding_loss(1.0, 1.0, 1.0), ShapeError, "needs vectors"),
        (lambda: nn.triplet_margin_loss(A, B, B[:2]), ShapeError, r"\(4, 3\) and target \(2, 3\)"),
        (lambda: nn.triplet_margin_loss(A, B, B, p=-1), UsageError, "p must be finite"),
        (lambda: nn.kl_div(0.5, 0.5, reduction="batchmean"), ShapeError, "needs samples on axis 0"),
        (
            lambda: nn.binary_cross_entropy([0.5], [1.0], weight=[1.0, 2.0]),
            ShapeError,
            r"weight of shape \(2,\) cannot be broadcast to losses of shape \(1,\)",
        ),
        (
            lambda: nn.binary_cross_entropy_with_logits([0.5], [1.0], pos_weight=np.ones((2, 1))),
            ShapeError,
            r"weight of shape \(2, 1\) cannot",
        ),
    ],
)
def test_bad_options_of_losses_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_weight_that_does_not_fit_the_losses_is_refused():
    with pytest.raises(ShapeError, match="weight"):
        nn.binary_cross_entropy(np.full((2, 3), 0.5), np.ones((2, 3)), weight=np.ones(2))
    found = nn.binary_cross_entropy(np.full((2, 3), 0.5), np.ones((2, 3)), weight=np.ones((2, 1)))
    assert found == pytest.approx(np.log(2.0))
