"""Two implementations held against each other."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import compare
from microgradopt.errors import GradientError, UsageError

X = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])


def plain_softmax(x):
    return mg.exp(x) / mg.sum(mg.exp(x), axis=-1, keepdims=True)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_two_formulas_of_one_function(order):
    compare(mg.softmax, plain_softmax, X, order=order)
    compare(mg.softmax, plain_softmax, X.astype(np.float32), order=min(order, 2))
    compare(lambda x: {"a": [mg.sum(mg.softmax(x))]}, lambda x: {"a": [mg.sum(x) * 0 + 2.0]}, X)


def test_nan_and_infinity_in_the_same_places_agree():
    compare(mg.log, lambda x: 2.0 * mg.log(mg.sqrt(x)), np.array([2.0, 0.0, -1.0]), order=0)
    with pytest.raises(GradientError, match="1 of 3 entries disagree"):
        compare(mg.log, lambda x: mg.log(mg.abs(x)), np.array([2.0, 0.0, -1.0]), order=0)


def test_modules_with_the_same_names():
    compare(mg.nn.Linear(3, 2, rng=0), mg.nn.Linear(3, 2, rng=0), X, order=2)
    with pytest.raises(GradientError, match="the value, result"):
        compare(mg.nn.Linear(3, 2, rng=0), mg.nn.Linear(3, 2, rng=1), X)
    with pytest.raises(UsageError, match=r"f is differentiated by .*f: weight.* and g by"):
        compare(mg.nn.Linear(3, 2, rng=0), lambda x: x, X)


@pytest.mark.parametrize(
    ("g", "text"),
    [
        (lambda x: mg.square(x) + 1e-6, "the value, result: 6 of 6 entries disagree"),
        (
            lambda x: x * mg.stop_gradient(x),
            "the derivative in reverse mode, of the value, argument 0: 6 of 6",
        ),
        (lambda x: mg.sum(x), r"the value, result: f has shape \(2, 3\), g has \(\)"),
    ],
)
def test_what_differs_is_shown(g, text):
    with pytest.raises(GradientError, match=text):
        compare(mg.square, g, X)


def test_forward_mode_and_higher_orders_are_compared():
    row = mg.fused(
        "square_of_two_minds",
        array=np.square,
        pullback=lambda g, out, x: 2.0 * g * x,
        composite=lambda x: 1.1 * x * x,
    )
    try:
        with pytest.raises(GradientError, match="the derivative in forward mode, of the value, re"):
            compare(mg.square, row, X)
    finally:
        del mg.engine.graph.Primitive.table["square_of_two_minds"]
    sneaky = mg.elementwise(
        "sneaky_square", array=np.square, partials=(lambda out, x: 2.0 * mg.stop_gradient(x),)
    )
    try:
        compare(mg.square, sneaky, X)
        with pytest.raises(GradientError, match="of the derivative in reverse mode, of the value"):
            compare(mg.square, sneaky, X, order=2)
    finally:
        del mg.engine.graph.Primitive.table["sneaky_square"]


def test_the_table_says_which_is_which():
    with pytest.raises(GradientError, match=r"(?s)they disagree.* f +g  relative error.* 1 +2 "):
        compare(lambda x: x, lambda x: 2.0 * x, 1.0)


def test_tolerances_and_wrong_use():
    compare(mg.exp, lambda x: mg.exp(x) * 1.001, X, rtol=1e-2)
    compare(mg.exp, lambda x: mg.exp(x) + 0.01, X, rtol=0.0, atol=0.1)
    with pytest.raises(UsageError, match=r"f returns result and g result\[0\], result\[1\]"):
        compare(mg.exp, lambda x: [x, x], X)
    with pytest.raises(UsageError, match="f returns nothing"):
        compare(lambda x: None, mg.exp, X)
    with pytest.raises(UsageError, match="order must be 0, 1, 2"):
        compare(mg.exp, mg.exp, X, order=-1)
