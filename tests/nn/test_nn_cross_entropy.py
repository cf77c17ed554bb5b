"""Cross-entropy: values against torch and formulas, both layouts, labels and probabilities."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn
from microgradopt.check import check_grads
from microgradopt.engine.graph import ancestors
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "losses.json").read_text(encoding="utf-8")
)["runs"]
every_run = pytest.mark.parametrize("run", GOLDEN, ids=lambda r: str(np.shape(r["logits"])))


def value_and_gradient(loss, x):
    x = Tensor(x)
    y = loss(x)
    y.backward()
    return y.data, x.grad


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def by_formula(x, labels):
    """The loss and its gradient (p − onehot) / n."""
    logs, rows = log_softmax(x), np.arange(len(x))
    gradient = np.exp(logs)
    gradient[rows, labels] -= 1.0
    return -logs[rows, labels].mean(), gradient / len(x)


def problem(n, classes, seed=0):
    rng = np.random.default_rng(seed)
    return 3.0 * rng.normal(size=(n, classes)), rng.integers(0, classes, n)


# Values and gradients


@every_run
@pytest.mark.parametrize("kind", ["integer", "one-hot", "soft"])
def test_torchs_numbers(run, kind):
    classes = np.shape(run["logits"])[1]
    target = {
        "integer": np.array(run["labels"]),
        "one-hot": np.eye(classes)[run["labels"]],
        "soft": np.array(run["soft"]),
    }[kind]
    expected = run["soft_cross_entropy" if kind == "soft" else "cross_entropy"]
    value, gradient = value_and_gradient(lambda x: nn.cross_entropy(x, target), run["logits"])
    np.testing.assert_allclose(value, expected["value"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, expected["gradient"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("classes", [1, 2, 31, 32, 33, 1000])
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 300])
def test_the_formula_in_both_layouts(n, classes):
    logits, labels = problem(n, classes)
    loss, gradient = by_formula(logits, labels)
    found = value_and_gradient(lambda x: nn.cross_entropy(x, labels), logits)
    np.testing.assert_allclose(found[0], loss, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("classes", [1, 2, 31, 32, 33])
def test_gradients_with_labels(classes, order):
    logits, labels = problem(2, classes)
    check_grads(lambda x: nn.cross_entropy(x, labels), logits, order=order)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_with_probabilities_by_both(order):
    logits, _ = problem(3, 4)
    soft = np.random.default_rng(1).dirichlet(np.ones(4), 3)
    check_grads(nn.cross_entropy, logits, soft, order=order)
    check_grads(nn.cross_entropy, logits, np.eye(4)[[0, 3, 1]], order=order)


@pytest.mark.parametrize("make", [np.asfortranarray, lambda x: x[::-1], lambda x: x[:, ::2]])
@pytest.mark.parametrize("classes", [6, 80])
def test_any_memory_layout_gives_the_same_loss(make, classes):
    logits = make(problem(8, classes)[0])
    labels = np.arange(8) % logits.shape[1]
    found = value_and_gradient(lambda x: nn.cross_entropy(x, labels), logits)
    expected = by_formula(np.ascontiguousarray(logits), labels)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("classes", [3, 50])
def test_the_arguments_are_left_alone(classes):
    logits, labels = problem(5, classes)
    x, y = logits.copy(), labels.copy()
    value_and_gradient(lambda t: nn.cross_entropy(t, y), x)
    nn.cross_entropy(x, y)
    np.testing.assert_array_equal(x, logits)
    np.testing.assert_array_equal(y, labels)


def test_labels_changed_after_the_forward_pass_change_nothing():
    logits, labels = problem(5, 3)
    expected = by_formula(logits, labels)[1]
    x = Tensor(logits)
    given = labels.copy()
    loss = nn.cross_entropy(x, given)
    given[:] = (given + 1) % 3
    loss.backward()
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint64, np.int64])
@pytest.mark.parametrize(("n", "classes"), [(100, 3), (300, 3), (300, 100)])
def test_labels_of_every_integer_type(dtype, n, classes):
    """Narrow types once overflowed where the places of the labels were counted."""
    logits, labels = problem(n, classes)
    assert nn.cross_entropy(logits, labels.astype(dtype)) == nn.cross_entropy(logits, labels)


@pytest.mark.parametrize("kind", ["integer", "soft"])
@pytest.mark.parametrize("classes", [3, 40])
def test_float32_stays_float32(kind, classes):
    logits, labels = problem(4, classes)
    target = labels if kind == "integer" else np.eye(classes)[labels]
    loss, gradient = value_and_gradient(
        lambda x: nn.cross_entropy(x, target), logits.astype(np.float32)
    )
    assert (loss.dtype, gradient.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(loss, by_formula(logits, labels)[0], rtol=1e-5)
    assert nn.cross_entropy(logits.astype(np.float32), target).dtype == np.float32


def test_plain_numbers_in_any_form_give_plain_numbers():
    logits, labels = problem(4, 3)
    expected = by_formula(logits, labels)[0]
    one_hot = np.eye(3)[labels]
    for x in (logits, logits.tolist(), tuple(map(tuple, logits))):
        for y in (labels, labels.tolist(), tuple(labels.tolist()), one_hot, one_hot.tolist()):
            loss = nn.cross_entropy(x, y)
            assert not isinstance(loss, mg.Tensor)
            np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_whole_numbers_are_scores_too():
    whole = np.array([[1, 2, 3], [3, 1, 0]])
    expected = by_formula(whole.astype(float), [2, 1])[0]
    assert nn.cross_entropy(whole, [2, 1]) == pytest.approx(expected, rel=1e-12)
    assert nn.cross_entropy(whole.tolist(), [2, 1]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("label", [2, np.int64(2), np.array(2), [0.0, 0.0, 1.0], np.eye(3)[2]])
def test_one_sample_needs_no_batch_axis(label):
    logits = problem(1, 3)[0]
    expected = by_formula(logits, [2])
    value, gradient = value_and_gradient(lambda x: nn.cross_entropy(x, label), logits[0])
    np.testing.assert_allclose(value, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1][0], rtol=1e-12, atol=1e-16)


# Far out


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("kind", ["integer", "one-hot"])
def test_extreme_logits(classes, kind):
    x = np.zeros((4, classes))
    x[0, 0], x[1, 0], x[2, 0], x[3, :] = 1000.0, 1000.0, -1000.0, -1000.0
    labels = np.array([0, 1, 0, 2])
    target = labels if kind == "integer" else np.eye(classes)[labels]
    loss, gradient = value_and_gradient(lambda t: nn.cross_entropy(t, target), x)
    expected = (0.0 + 1000.0 + (1000.0 + np.log(classes - 1)) + np.log(classes)) / 4
    np.testing.assert_allclose(loss, expected, rtol=1e-14)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-15)


@pytest.mark.parametrize("target", [[1], np.array([[0.0, 1.0, 0.0]])])
def test_a_class_ruled_out_by_minus_infinity_costs_nothing(target):
    x = np.array([[-np.inf, 0.0, 1.0]])
    loss, gradient = value_and_gradient(lambda t: nn.cross_entropy(t, target), x)
    np.testing.assert_allclose(loss, np.log1p(np.e), rtol=1e-14)
    np.testing.assert_allclose(gradient, [[0.0, 1 / (1 + np.e) - 1, np.e / (1 + np.e)]], rtol=1e-14)


def test_one_class_costs_exactly_nothing():
    loss, gradient = value_and_gradient(lambda t: nn.cross_entropy(t, [0, 0]), [[5.0], [-900.0]])
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, [[0.0], [0.0]])


# The graph


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_graph_computes_anew_what_its_kernel_had_saved(classes, twin):
    logits, labels = problem(5, classes)
    loss = nn.cross_entropy(Tensor(logits, name="x"), labels)
    other = twin(loss)
    other.backward()
    (x,) = [node for node in ancestors([other]) if node.name == "x"]
    np.testing.assert_allclose(x.grad, by_formula(logits, labels)[1], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("classes", [3, 40])
def test_backward_twice_adds_the_same_gradient(classes):
    logits, labels = problem(5, classes)
    x = Tensor(logits)
    loss = 2.0 * nn.cross_entropy(x, labels)
    loss.backward()
    first = x.grad.copy()
    loss.backward()
    np.testing.assert_allclose(x.grad, 2.0 * first, rtol=1e-15)


# From probabilities


def test_from_probabilities_is_minus_log():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    labels = np.array([0, 2, 1, 1])
    expected = -np.log(p[np.arange(4), labels]).mean()
    for x in (p, p.tolist(), Tensor(p)):
        for y in (labels, labels.tolist(), np.eye(3)[labels], np.eye(3)[labels].tolist()):
            loss = nn.cross_entropy_from_probabilities(x, y)
            np.testing.assert_allclose(getattr(loss, "data", loss), expected, rtol=1e-14)


@pytest.mark.parametrize("order", [1, 2])
def test_from_probabilities_gradients(order):
    p = np.random.default_rng(0).dirichlet(np.ones(3), 2)
    check_grads(lambda x: nn.cross_entropy_from_probabilities(x, [2, 0]), p, order=order)
    check_grads(nn.cross_entropy_from_probabilities, p, p[::-1].copy(), order=order)
    check_grads(nn.cross_entropy_from_probabilities, p, np.eye(3)[[2, 0]], order=order)


def test_zero_times_log_zero_is_zero():
    loss, gradient = value_and_gradient(
        lambda p: nn.cross_entropy_from_probabilities(p, np.eye(2)), [[1.0, 0.0], [0.0, 1.0]]
    )
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, [[-0.5, 0.0], [0.0, -0.5]])
    assert nn.cross_entropy_from_probabilities(np.eye(2), [1, 0]) == np.inf


def test_from_scores_and_from_their_softmax_agree():
    logits, labels = problem(4, 5)
    direct = value_and_gradient(lambda x: nn.cross_entropy(x, labels), logits)
    through = value_and_gradient(
        lambda x: nn.cross_entropy_from_probabilities(mg.softmax(x), labels), logits
    )
    np.testing.assert_allclose(direct[0], through[0], rtol=1e-12)
    np.testing.assert_allclose(direct[1], through[1], rtol=1e-11, atol=1e-15)


def test_from_probabilities_float32_stays():
    p = np.full((2, 2), 0.5, np.float32)
    assert nn.cross_entropy_from_probabilities(Tensor(p), np.eye(2)).dtype == np.float32


# Options; their numbers are compared with torch's in test_nn_losses


def test_ignored_labels_cost_nothing_and_leave_the_mean():
    logits, labels = problem(5, 3)
    labels[[1, 3]] = -100
    kept = [0, 2, 4]
    expected = by_formula(logits[kept], labels[kept])
    for options in ({}, {"ignore_index": -100}):
        value, gradient = value_and_gradient(
            lambda x, o=options: nn.cross_entropy(x, labels, **o), logits
        )
        np.testing.assert_allclose(value, expected[0], rtol=1e-13)
        np.testing.assert_allclose(gradient[kept], expected[1], rtol=1e-12, atol=1e-16)
        np.testing.assert_array_equal(gradient[[1, 3]], 0.0)


def test_a_class_may_be_the_ignored_one():
    logits, labels = problem(6, 3)
    kept = labels != 1
    expected = by_formula(logits[kept], labels[kept])[0]
    assert nn.cross_entropy(logits, labels, ignore_index=1) == pytest.approx(expected, rel=1e-13)


def test_no_mean_of_ignored_labels_only():
    logits = np.zeros((2, 3))
    with pytest.raises(UsageError, match=r"all 2 labels are ignore_index=-100.*use reduction"):
        nn.cross_entropy(logits, [-100, -100])
    assert nn.cross_entropy(logits, [-100, -100], reduction="sum") == 0.0
    assert not nn.cross_entropy(logits, [-100, -100], reduction="none").any()


def test_three_ways_to_the_same_loss():
    logits, labels = problem(4, 5)
    options = {"weight": np.arange(1.0, 6.0), "ignore_index": int(labels[0])}
    direct = nn.cross_entropy(logits, labels, **options)
    assert nn.nll_loss(mg.log_softmax(logits), labels, **options) == pytest.approx(direct)
    from_p = nn.cross_entropy_from_probabilities(mg.softmax(logits), labels, **options)
    assert from_p == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_of_labels(dtype):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 3, 4, 5)).astype(dtype), rng.integers(0, 3, (2, 4, 5))
    rows = np.moveaxis(logits, 1, -1).reshape(-1, 3)
    found = nn.cross_entropy(logits, labels)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, by_formula(rows, labels.ravel())[0], rtol=1e-5)
    assert nn.cross_entropy(logits, labels, reduction="none").shape == (2, 4, 5)
    soft = np.moveaxis(np.eye(3)[labels], -1, 1)
    np.testing.assert_allclose(nn.cross_entropy(logits, soft), found, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("target", [1, np.array([0.0, 0.75, 0.25])], ids=["label", "soft"])
def test_the_loss_of_a_single_sample_is_a_number(reduction, target):
    logits = np.array([0.5, -1.0, 2.0])
    many = nn.cross_entropy(logits[None], np.asarray(target)[None])
    found = nn.cross_entropy(logits, target, reduction=reduction)
    assert np.shape(found) == ()
    assert found == pytest.approx(many, rel=1e-14)
    from_p = nn.cross_entropy_from_probabilities(mg.softmax(logits), target, reduction=reduction)
    assert np.shape(from_p) == ()
    if np.ndim(target) == 0:
        assert np.shape(nn.nll_loss(logits, target, reduction=reduction)) == ()


def test_a_weight_of_zero_forgives_infinity():
    logits = np.array([[0.0, -np.inf], [0.0, 0.0]])
    assert nn.cross_entropy(logits, [1, 0], weight=[1.0, 0.0]) == pytest.approx(np.log(2.0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weight": [1.0, 2.0]}, ShapeError, r"each of the 3 classes, got shape \(2,\)"),
        ({"weight": ["a", "b", "c"]}, ShapeError, "weight must be one number"),
        ({"weight": Tensor(np.ones(3))}, DTypeError, "class weights are plain numbers"),
        ({"label_smoothing": 1.5}, UsageError, "a part from 0 to 1, got 1.5"),
        ({"label_smoothing": -0.1}, UsageError, "label_smoothing must be finite, at least 0"),
        ({"label_smoothing": None}, UsageError, "label_smoothing must be a number"),
        ({"reduction": "average"}, UsageError, "reduction must be one of"),
    ],
)
@pytest.mark.parametrize("target", [[0, 1, 2, 0], np.full((4, 3), 1 / 3)], ids=["labels", "soft"])
def test_bad_options_are_refused(options, error, message, target):
    with pytest.raises(error, match=message):
        nn.cross_entropy(Tensor(np.zeros((4, 3))), target, **options)


# Refused

X = np.zeros((4, 3))
REFUSED = {
    "no samples": (np.zeros((0, 3)), np.zeros(0, int), ShapeError, r"got \(0, 3\)"),
    "no classes": (np.zeros((4, 0)), [0] * 4, ShapeError, r"got \(4, 0\)"),
    "three axes": (
        np.zeros((2, 4, 3)),
        [0, 1],
        ShapeError,
        r"\(2, 4, 3\) need integer labels \(2, 3\)",
    ),
    "no axes": (np.zeros(()), 0, ShapeError, r"got \(\)"),
    "too few labels": (X, [0, 1], ShapeError, r"\(4, 3\) need 4 integer labels.*\(2,\)"),
    "a column of labels": (X, [[0]] * 4, ShapeError, r"got shape \(4, 1\)"),
    "other probabilities": (X, np.zeros((4, 2)), ShapeError, r"\(4, 3\).*got shape \(4, 2\)"),
    "whole-number one-hot": (X, np.eye(3, dtype=int)[[0] * 4], ShapeError, "float probabilities"),
    "float labels": (X, np.zeros(4), DTypeError, r"dtype float64; use y\.astype\(int\)"),
    "boolean labels": (X, np.zeros(4, bool), DTypeError, "got dtype bool"),
    "names": (X, ["a", "b", "c", "d"], DTypeError, "must be integers"),
    "Tensor labels": (X, Tensor(np.zeros(4)), DTypeError, "plain integers, got a Tensor"),
    "a label too high": (X, [0, 1, 3, 2], UsageError, "label 3 is not one of the classes 0 to 2"),
    "a label too low": (X, [0, -1, 1, 2], UsageError, "label -1 is not one of the classes 0 to 2"),
    "a huge label": (X, np.array([2**64 - 1] * 4, np.uint64), UsageError, "is not one of"),
    "nothing": (X, None, ShapeError, "got shape \\(\\)"),
    "text": ([["a", "b"]], [0], DTypeError, "takes real numbers"),
    "ragged scores": ([[1.0, 2.0], [1.0]], [0, 0], ShapeError, "same length"),
}


@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.cross_entropy_from_probabilities])
@pytest.mark.parametrize("wrap", [lambda x: x, Tensor], ids=["plain", "Tensor"])
@pytest.mark.parametrize("what", REFUSED)
def test_refused(loss, wrap, what):
    scores, target, error, message = REFUSED[what]
    if isinstance(scores, np.ndarray):
        scores = wrap(scores)
    with pytest.raises(error, match=message) as caught:
        loss(scores, target)
    assert str(caught.value).startswith(f"{loss.__name__}: ")


def test_lists_of_nodes_are_sent_to_stack():
    with pytest.raises((DTypeError, GraphError), match=r"mg\.stack"):
        nn.cross_entropy([Value(1.0), Value(2.0)], 0)
    with pytest.raises((DTypeError, GraphError), match=r"mg\.stack"):
        nn.cross_entropy([[Value(1.0), Value(2.0)]], [0])
