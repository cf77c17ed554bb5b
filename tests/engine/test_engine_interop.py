"""NumPy's functions and operators on nodes are the library's own; others are refused by name."""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError

A = np.array([[1.0, 2.0, 0.5], [4.0, 0.25, 1.5]])
B = np.array([[0.5, 1.0], [2.0, -1.0], [1.0, 3.0]])

CALLS = {
    "exp": lambda t: np.exp(t),
    "log": lambda t: np.log(t),
    "sqrt": lambda t: np.sqrt(t),
    "tanh": lambda t: np.tanh(t),
    "abs": lambda t: np.abs(t),
    "square": lambda t: np.square(t),
    "positive": lambda t: np.positive(t),
    "negative": lambda t: np.negative(t),
    "maximum": lambda t: np.maximum(t, 1.0),
    "minimum swapped": lambda t: np.minimum(1.0, t),
    "power": lambda t: np.power(t, 3),
    "logaddexp": lambda t: np.logaddexp(t, t),
    "add": lambda t: np.add(A, t),
    "array + t": lambda t: A + t,
    "array - t": lambda t: A - t,
    "array / t": lambda t: A / t,
    "array ** t": lambda t: A**t,
    "scalar * t": lambda t: np.float64(2) * t,
    "scalar - t": lambda t: np.float64(2) - t,
    "array @ t": lambda t: B @ t,
    "t @ array": lambda t: t @ B,
    "matmul": lambda t: np.matmul(t, B),
    "sum": lambda t: np.sum(t),
    "sum axis": lambda t: np.sum(t, axis=1),
    "sum keepdims": lambda t: np.sum(t, 0, keepdims=True),
    "mean": lambda t: np.mean(t, axis=-1),
    "prod": lambda t: np.prod(t, axis=0),
    "max": lambda t: np.max(t, axis=0),
    "amax": lambda t: np.amax(t),
    "amin": lambda t: np.amin(t, 1),
    "var": lambda t: np.var(t, axis=1, ddof=1),
    "std": lambda t: np.std(t),
    "cumsum": lambda t: np.cumsum(t, axis=1),
    "add.reduce": lambda t: np.add.reduce(t),
    "maximum.reduce": lambda t: np.maximum.reduce(t, axis=1),
    "clip": lambda t: np.clip(t, 0.4, 1.2),
    "clip by name": lambda t: np.clip(t, a_min=0.4, a_max=None),
    "where": lambda t: np.where(A > 1, t, 0.0),
    "concatenate": lambda t: np.concatenate([t, A, t], axis=0),
    "stack": lambda t: np.stack([t, A]),
    "split": lambda t: np.split(t, 3, axis=1)[1],
    "norm": lambda t: np.linalg.norm(t),
    "norm axis": lambda t: np.linalg.norm(t, ord=1, axis=1),
    "dot": lambda t: np.dot(t, B),
    "outer": lambda t: np.outer(t, t),
    "tensordot": lambda t: np.tensordot(t, B, 1),
    "einsum": lambda t: np.einsum("ij,jk->ki", t, B),
    "trace": lambda t: np.trace(t),
    "diagonal": lambda t: np.diagonal(t, 1),
    "transpose": lambda t: np.transpose(t),
    "reshape": lambda t: np.reshape(t, (3, 2)),
    "ravel": lambda t: np.ravel(t),
    "squeeze": lambda t: np.squeeze(t),
    "expand_dims": lambda t: np.expand_dims(t, 1),
    "moveaxis": lambda t: np.moveaxis(t, 0, 1),
    "swapaxes": lambda t: np.swapaxes(t, 0, 1),
    "broadcast_to": lambda t: np.broadcast_to(t, (2, 2, 3)),
    "flip": lambda t: np.flip(t, 1),
    "pad": lambda t: np.pad(t, 1, mode="edge"),
    "sort": lambda t: np.sort(t),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_functions_record_and_differentiate(name):
    f, t = CALLS[name], Tensor(A)
    y = f(t)
    assert isinstance(y, Tensor)
    np.testing.assert_allclose(y.data, f(A), rtol=1e-14)
    assert t in y.parents or y is t or y.parents[0].requires_grad
    mg.check.check_grads(f, A)


def test_numpy_functions_on_values():
    v = Value(0.5)
    for y, expected in (
        (np.exp(v), np.exp(0.5)),
        (np.float64(2) * v, 1.0),
        (np.float64(2) ** v, 2**0.5),
        (np.maximum(v, 1.0), 1.0),
        (v + np.float64(1), 1.5),
        (np.add(1, v), 1.5),
    ):
        assert type(y) is Value
        assert y.data == pytest.approx(expected, rel=1e-15)
    y = A * v
    assert isinstance(y, Tensor)
    np.sum(y).backward()
    assert v.grad == A.sum()
    for y in (np.sum(v), np.mean(v), np.reshape(v, (1, 1)), np.linalg.norm(v)):
        assert y.item() == 0.5
        y.backward()
    assert v.grad == A.sum() + 4.0


def test_comparisons_and_questions_are_plain():
    t = Tensor(A)
    np.testing.assert_array_equal(np.greater(t, 1.0), A > 1)
    np.testing.assert_array_equal(t * 2 > A, A < A * 2)
    np.testing.assert_array_equal(np.equal(t, A), A == A)
    np.testing.assert_array_equal(np.isnan(t), np.zeros((2, 3), bool))
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2, 3), 2, 6)
    assert (np.shape(Value(1.0)), np.ndim(Value(1.0)), np.size(Value(1.0))) == ((), 0, 1)


@pytest.mark.parametrize("leaf", [lambda: Tensor(A), lambda: Value(2.0)])
def test_functions_that_are_not_here_are_refused_by_name(leaf):
    t = leaf()
    for call, name, advice in [
        (lambda: np.nextafter(t, 1.0), "np.nextafter", r"\.data.*mg\.elementwise"),
        (lambda: np.i0(t), "np.i0", "use a function of microgradopt, or .data"),
        (lambda: np.fft.fft(t), "np.fft.fft", "Fourier.*\\.data"),
        (lambda: np.angle(t), "np.angle", "complex numbers.*\\.data"),
        (lambda: np.unique(t), "np.unique", "no derivative.*\\.data"),
        (lambda: np.fill_diagonal(t, 0.0), "np.fill_diagonal", "in place.*mg.where"),
        (lambda: np.put(t, 0, 0.0), "np.put", "in place.*mg.where"),
        (lambda: np.copyto(A.copy(), t), "np.copyto", "in place.*mg.where"),
        (lambda: np.save("nowhere", t), "np.save", "node.data"),
        (lambda: np.subtract.accumulate(t), "np.subtract.accumulate", r"\.data"),
        (lambda: np.divide.reduce(t), "np.divide.reduce", r"\.data"),
        (lambda: np.add.reduceat(t, [0]), "np.add.reduceat", r"\.data"),
        (lambda: np.add.at(A.copy(), [0], t), "np.add.at", "in place.*mg.where"),
        (lambda: np.equal.at(A.copy(), [0], t), "np.equal.at", "in place.*mg.where"),
    ]:
        with pytest.raises(UsageError, match=f"{re.escape(name)} is not supported.*{advice}"):
            call()


def test_arguments_that_would_lose_a_gradient_are_refused():
    t = Tensor(A)
    for call, name in [
        (lambda: np.histogram(A, weights=t), "weights"),
        (lambda: np.histogram(A, 3, None, None, t), "weights"),
        (lambda: np.bincount(np.array([0, 1]), weights=Tensor([1.0, 2.0])), "weights"),
        (lambda: np.full_like(t, Value(2.0)), "fill_value"),
    ]:
        with pytest.raises(UsageError, match=f"does not follow the gradient of {name}="):
            call()
    np.testing.assert_array_equal(np.full_like(t, 2.0), np.full_like(A, 2.0))


def test_options_that_are_not_here_are_refused():
    t = Tensor(A)
    for call, option in [
        (lambda: np.sum(t, out=np.zeros(())), "out"),
        (lambda: np.add.reduce(t, out=np.zeros(3)), "out"),
        (lambda: np.cumsum(t, 0, None, np.zeros((2, 3))), "out"),
        (lambda: np.trace(t, dtype=np.float32), "dtype"),
        (lambda: np.logaddexp.reduce(t, initial=1.0), "initial"),
        (lambda: np.median(t, overwrite_input=True), "overwrite_input"),
        (lambda: np.quantile(t, 0.5, weights=A), "weights"),
        (lambda: np.matmul(t, B, axes=[(0, 1), (0, 1), (0, 1)]), "axes"),
    ]:
        with pytest.raises(UsageError, match=f"does not take {option}="):
            call()
    np.testing.assert_array_equal(np.sum(t, out=None, dtype=None, where=True).data, A.sum())
    with pytest.raises(UsageError, match="out= cannot be a graph node"):
        np.round(A, 1, t)
    with pytest.raises(UsageError, match="out= cannot be a graph node"):
        np.floor(A, out=t)


# NumPy's argument names


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(a=x, axis=0),
        lambda x: np.sum(x, 0, np.float64, None, True),
        lambda x: np.mean(a=x, keepdims=True),
        lambda x: np.sum(x, initial=np._NoValue, keepdims=np._NoValue),
        lambda x: np.cumsum(x, 1, dtype=np.float64),
        lambda x: np.var(x, 1, None, None, 1, True),
        lambda x: np.clip(a=x, a_min=0.4, a_max=None),
        lambda x: np.clip(x, min=0.4, max=1.2),
        lambda x: np.sinc(x=x),
        lambda x: np.real(val=x),
        lambda x: np.dot(a=x, b=B),
        lambda x: np.linalg.norm(x=x, ord=1, axis=1),
        lambda x: np.quantile(a=x, q=0.3, axis=1, method="lower"),
        lambda x: np.quantile(x, 0.3, 1, None, False, "lower", True),
        lambda x: np.average(a=x, axis=1, weights=[1.0, 2.0, 3.0]),
        lambda x: np.expand_dims(a=x, axis=0),
        lambda x: np.nansum(a=x, axis=1, where=A > 0.4),
        lambda x: np.where(x > 1.0, x, 0.0),
        lambda x: np.sort(x, kind="stable"),
        lambda x: np.cumulative_sum(x, axis=1, include_initial=True),
        lambda x: np.round(a=x, decimals=1),
        lambda x: np.argmax(a=x, axis=1),
        lambda x: np.where(x > 1.0)[1],
        lambda x: np.where(x)[1],
    ],
)
def test_arguments_by_the_names_numpy_gives_them(call):
    got, expected = call(Tensor(A)), call(A)
    np.testing.assert_allclose(got.data if isinstance(got, Tensor) else got, expected, rtol=1e-14)


# Ufuncs: where=, out=, dtype=


def _safe_quotient(x, y):
    return np.divide(x, y, out=np.full((2, 3), 7.0), where=y > 0.0)


def test_where_and_out_choose_entries_and_leak_nothing():
    x, y = A - 1.0, np.array([[2.0, 0.0, 1.0], [-1.0, 0.0, 4.0]])
    got = _safe_quotient(Tensor(x), Tensor(y))
    np.testing.assert_array_equal(got.data, _safe_quotient(x, y))
    inside = y > 0.0
    gx, gy = mg.grad(lambda x, y: np.sum(_safe_quotient(x, y)), (0, 1))(x, y)
    np.testing.assert_array_equal(gx, np.divide(1.0, y, out=np.zeros((2, 3)), where=inside))
    np.testing.assert_array_equal(gy, np.divide(-x, y**2, out=np.zeros((2, 3)), where=inside))
    twice = mg.hvp(lambda y: np.sum(_safe_quotient(x, y)), y, np.ones((2, 3)))
    expected = np.divide(2.0 * x, y**3, out=np.zeros((2, 3)), where=inside)
    np.testing.assert_allclose(twice, expected, rtol=1e-15)
    again = mg.grad(lambda y: np.sum(mg.grad(lambda y: np.sum(_safe_quotient(x, y)))(y)))(y)
    np.testing.assert_allclose(again, expected, rtol=1e-15)
    mg.check.check_grads(lambda x: np.log(x, where=A > 0.7) * x, A, order=2)


def test_out_receives_the_values_and_the_graph_keeps_its_own():
    t, out = Tensor(A), np.full((2, 3), 5.0)
    y = np.multiply(t, t, out=out, where=A > 1.0)
    expected = np.where(A > 1.0, A * A, 5.0)
    np.testing.assert_array_equal(out, expected)
    out[...] = np.nan
    np.testing.assert_array_equal(y.data, expected)
    np.sum(y).backward()
    np.testing.assert_array_equal(t.grad, np.where(A > 1.0, 2.0 * A, 0.0))
    np.testing.assert_array_equal(np.exp(t, where=A > 9.0).data, np.zeros((2, 3)))
    narrow = np.add(t, 1.0, out=np.ones((2, 3), np.float32), where=A > 1.0)
    assert narrow.dtype == np.float32
    assert np.add(Value(1.0), A, where=A > 1.0).data[0, 0] == 0.0


def test_outputs_that_would_lose_the_gradient_are_refused():
    t, plain = Tensor(A), A.copy()
    for call in (
        lambda: np.exp(t, out=plain),
        lambda: np.add(plain, t, out=plain),
        lambda: np.modf(t, out=(None, plain)),
        lambda: operator.iadd(plain, t),
        lambda: operator.imul(plain, Value(2.0)),
    ):
        with pytest.raises(UsageError, match=r"lose their gradient; use the result: y = x \+ node"):
            call()
    np.testing.assert_array_equal(plain, A)
    for out, told in ((Tensor(A), "the Tensor"), (np.zeros((2, 3), int), "dtype int64")):
        with pytest.raises(UsageError, match=f"plain array of floats; it got {told}"):
            np.exp(t, out=out, where=A > 1.0)
    with pytest.raises(ShapeError, match=r"out= of shape \(3,\) cannot hold \(2, 3\)"):
        np.exp(t, out=np.zeros(3), where=A > 1.0)
    with pytest.raises(DTypeError, match="where= takes truth values, got float64"):
        np.exp(t, where=A)
    with pytest.raises(UsageError, match=r"np\.modf.*does not take where=; use mg\.where"):
        np.modf(t, where=A > 1.0)


def test_dtype_and_casting_of_ufuncs():
    t = Tensor(A, dtype=np.float32)
    for y in (
        np.add(t, 1.0, dtype=np.float64),
        np.exp(Tensor(A), dtype=np.float32),
        np.add(t, A, dtype=np.float32),
        np.add(t, t, casting="no", order="F", subok=False),
    ):
        assert y.requires_grad
    assert np.add(t, A, dtype=np.float32).dtype == np.float32
    assert np.add(t, 1.0, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(
        np.exp(Tensor(A), dtype=np.float32).data, np.exp(A, dtype=np.float32)
    )
    with pytest.raises(DTypeError, match="casting='safe' does not allow to go from float64 to fl"):
        np.exp(Tensor(A), dtype=np.float32, casting="safe")
    with pytest.raises(DTypeError, match="floating-point"):
        np.add(t, 1.0, dtype=int, casting="unsafe")


# Methods of ufuncs


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add.reduce(x),
        lambda x: np.add.reduce(x, axis=(0, 1), keepdims=True, initial=2.0, where=A > 0.4),
        lambda x: np.add.reduce(x, axis=None, dtype=np.float64),
        lambda x: np.multiply.reduce(x, axis=1),
        lambda x: np.maximum.reduce(x, axis=1, initial=1.0, where=A > 0.4),
        lambda x: np.minimum.reduce(x),
        lambda x: np.fmax.reduce(x, axis=1),
        lambda x: np.fmin.reduce(x),
        lambda x: np.logaddexp.reduce(x, axis=1),
        lambda x: np.hypot.reduce(x, axis=1),
        lambda x: np.add.accumulate(x, axis=1),
        lambda x: np.add.accumulate(x),
        lambda x: np.multiply.accumulate(x, axis=1),
        lambda x: np.maximum.accumulate(x, axis=1),
        lambda x: np.minimum.accumulate(x),
        lambda x: np.add.outer(x, B),
        lambda x: np.multiply.outer(x, 2.0),
        lambda x: np.subtract.outer(B, x),
        lambda x: np.logaddexp.outer(x, x),
        lambda x: np.add.outer(x, x, dtype=np.float64),
    ],
)
def test_methods_of_ufuncs(call):
    np.testing.assert_allclose(call(Tensor(A)).data, call(A), rtol=1e-14)
    mg.check.check_grads(call, A, order=2)


def test_methods_of_plain_ufuncs_are_plain():
    t = Tensor(A)
    np.testing.assert_array_equal(np.greater.outer(t, t), np.greater.outer(A, A))
    np.testing.assert_array_equal(np.logical_and.reduce(t > 0.3), np.logical_and.reduce(A > 0.3))
    np.testing.assert_array_equal(np.logical_or.accumulate(t), np.logical_or.accumulate(A))
    found = np.zeros((2, 3))
    assert np.floor(t, out=found, where=A > 1.0) is found
    np.testing.assert_array_equal(found, np.floor(A) * (A > 1.0))


def test_remainders_by_operator():
    x = np.array([-2.5, 0.7, 3.1])
    for ours, theirs in (
        (Tensor(x) % 1.5, x % 1.5),
        (x % Tensor([1.5, 0.4, -2.0]), x % np.array([1.5, 0.4, -2.0])),
        (7.0 % Tensor(x), 7.0 % x),
        (divmod(Tensor(x), 2.0)[1], x % 2.0),
        (divmod(5.0, Tensor(x))[1], 5.0 % x),
    ):
        np.testing.assert_array_equal(ours.data, theirs)
    np.testing.assert_array_equal(Tensor(x) // 1.5, x // 1.5)
    np.testing.assert_array_equal(7.0 // Tensor(x), 7.0 // x)
    assert (Value(-2.5) % 2).data == 1.5
    assert Value(5.0) // 2.0 == 2.0
    assert Value(5.0) // 0.0 == np.inf


def test_turning_a_node_into_an_array_is_refused_unless_it_is_a_constant():
    t = Tensor(A)
    with pytest.raises(GraphError, match=r"lose its gradient.*\.data or \.numpy\(\).*mg\.stack"):
        np.asarray(t)
    with pytest.raises(GraphError):
        np.array([Value(1.0), Value(2.0)])
    np.testing.assert_array_equal(np.asarray(t.detach()), A)
    assert np.asarray(t.detach(), np.float32).dtype == np.float32
    copied = np.array(t.detach())
    copied[...] = 0.0
    np.testing.assert_array_equal(t.data, A)
