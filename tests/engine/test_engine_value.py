"""Value: what it takes, its operators, truth and order, and what it refuses."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import DTypeError


@pytest.mark.parametrize(
    "data",
    [
        3,
        3.0,
        True,
        np.float64(3),
        np.float32(3),
        np.int8(3),
        np.bool_(True),
        np.array(3),
        np.array(3.0),
    ],
)
def test_data_is_a_float(data):
    v = Value(data)
    assert type(v.data) is float
    assert v.data == float(data)
    v.data = data
    assert type(v.data) is float


@pytest.mark.parametrize(
    "bad", ["3", None, 1j, [3.0], (1,), np.array([3.0]), np.array(1j), np.complex128(1), {}]
)
def test_other_data_are_refused(bad):
    with pytest.raises(DTypeError, match=r"a Value holds one real number.*mg\.Tensor for arrays"):
        Value(bad)
    with pytest.raises(DTypeError, match="one real number"):
        Value(1.0).data = bad


def test_a_node_is_not_data():
    for node in (Value(1.0), Tensor(1.0)):
        with pytest.raises(DTypeError, match=r"graph node already.*\.detach\(\)"):
            Value(node)


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize(
    "other", [2.5, 3, True, np.float64(1.5), np.float32(0.5), np.int64(2), np.bool_(True)]
)
def test_operators_with_numbers_on_both_sides(op, other):
    for x in (1.75, 0.25):
        for y, expected in (
            (op(Value(x), other), op(x, float(other))),
            (op(other, Value(x)), op(float(other), x)),
        ):
            assert type(y) is Value
            assert type(y.data) is float
            assert y.data == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("op", OPERATORS)
def test_operators_between_values_differentiate_both(op):
    x, y = Value(1.75), Value(0.6)
    op(x, y).backward()
    h = 1e-6
    assert x.grad == pytest.approx((op(1.75 + h, 0.6) - op(1.75 - h, 0.6)) / (2 * h), rel=1e-8)
    assert y.grad == pytest.approx((op(1.75, 0.6 + h) - op(1.75, 0.6 - h)) / (2 * h), rel=1e-8)


def test_unary_operators_and_methods():
    x = Value(0.5)
    assert (-x).data == -0.5
    assert abs(Value(-2.0)).data == 2.0
    assert (+x) is x
    for name in ("exp", "log", "sqrt", "sin", "cos", "tanh"):
        assert getattr(x, name)().data == getattr(math, name)(0.5)
    assert x.sigmoid().data == 1 / (1 + math.exp(-0.5))
    assert (x.relu().data, (-x).relu().data) == (0.5, 0.0)
    assert sum([x, x, x]).data == 1.5


def test_augmented_assignment_makes_a_new_node():
    x = Value(2.0)
    y = x
    y += 3.0
    y *= x
    assert (x.data, y.data) == (2.0, 10.0)
    y.backward()
    assert x.grad == 7.0


def test_order_is_that_of_numbers_and_plain():
    a, b = Value(1.0), Value(2.0)
    for result, expected in (
        (a < b, True),
        (a > b, False),
        (a <= 1.0, True),
        (b <= 2, True),
        (a < np.float64(0), False),
    ):
        assert result == expected
        assert isinstance(result, (bool, np.bool_))
    assert type(a < b) is bool
    assert max(a, b) is b
    assert sorted([b, a]) == [a, b]
    assert (a < Tensor([0.0, 5.0])).tolist() == [False, True]
    assert not Value(float("nan")) < a


def test_truth_and_conversion():
    assert Value(2.0)
    assert not Value(0.0)
    assert float(Value(2.5)) == 2.5
    assert Value(2.5).item() == 2.5
    assert f"{Value(math.pi):.3f}" == "3.142"
    assert f"{Value(2.0)}" == "Value(2.0)"
    assert math.exp(Value(0.0)) == 1.0


def test_what_it_shows():
    x = Value(2.0, name="x")
    assert repr(x) == "Value(2.0, name='x')"
    (x * 3).backward()
    assert repr(x) == "Value(2.0, name='x', grad=3.0)"
    assert x.shape == ()


def test_detach_keeps_data_and_name_only():
    x = Value(2.0, name="x")
    y = (x * 3).detach()
    assert (y.data, y.op, y.requires_grad) == (6.0, None, False)
    assert x.detach().name == "x"
    assert not Value(1.0, requires_grad=False).requires_grad


@pytest.mark.parametrize(
    "bad", ["a", None, 1j, object(), {}, np.complex128(1j), np.array(["a"]), np.array([1j])]
)
def test_operands_of_other_kinds_are_refused_with_advice(bad):
    x = Value(2.0)
    for op in OPERATORS:
        with pytest.raises(DTypeError, match="operand"):
            op(x, bad)
        with pytest.raises(TypeError):
            op(bad, x)


def test_a_list_of_nodes_is_not_an_operand():
    x = Value(2.0)
    for bad in ([x, x], (x, 1.0)):
        with pytest.raises(DTypeError, match=r"mg\.stack"):
            x * bad
        with pytest.raises(DTypeError, match=r"mg\.stack"):
            mg.maximum(x, bad)
    assert (x * [1, 2]).data.tolist() == [2.0, 4.0]


def test_a_value_is_not_a_sequence():
    with pytest.raises(TypeError):
        Value(1.0)[0]
    with pytest.raises(TypeError):
        len(Value(1.0))
    with pytest.raises(TypeError):
        list(Value(1.0))


class Named(Value):
    """A subclass with nothing of its own."""


def test_subclasses_are_leaves_whose_results_are_values():
    x = Named(2.0, name="x")
    y = x * x + x * 3 - (1 - x)
    assert type(y) is Value
    y.backward()
    assert x.grad == 8.0
    assert type(x.detach()) is Named
    assert mg.grad(lambda t: t * t)(x).data == 4.0


def test_values_make_a_neuron():
    w, b = [Value(0.5), Value(-1.0)], Value(0.1)
    out = (sum((wi * xi for wi, xi in zip(w, [1.0, 2.0])), b)).tanh()
    out.backward()
    slope = 1 - math.tanh(-1.4) ** 2
    assert [wi.grad for wi in w] == pytest.approx([slope, 2 * slope], rel=1e-15)
    assert b.grad == pytest.approx(slope, rel=1e-15)


def test_methods_as_functions_and_where_python_would_raise():
    assert mg.Value.relu(-3.0) == 0.0
    np.testing.assert_array_equal(mg.Value.exp(np.zeros(2)), [1.0, 1.0])
    assert mg.Value.exp(mg.Tensor([0.0])).data[0] == 1.0
    assert mg.Value(1000.0).exp().data == np.inf
    assert mg.Value(0.0).log().data == -np.inf
    assert np.isnan(mg.Value(-1.0).sqrt().data)
