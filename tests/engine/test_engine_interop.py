"""NumPy's functions and operators on nodes are the library's own; others are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import GraphError, UsageError

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
    with pytest.raises(UsageError, match=r"np\.floor is not supported.*\.data.*mg\.elementwise"):
        np.floor(t)
    with pytest.raises(UsageError, match=r"np\.round is not supported"):
        np.round(t)
    with pytest.raises(UsageError, match=r"np\.linalg\.det is not supported"):
        np.linalg.det(t)
    with pytest.raises(UsageError, match=r"np\.multiply\.accumulate is not supported"):
        np.multiply.accumulate(t)
    with pytest.raises(UsageError, match=r"np\.add\.outer"):
        np.add.outer(t, t)


def test_options_that_are_not_here_are_refused():
    t, out = Tensor(A), np.empty((2, 3))
    for call, option in [
        (lambda: np.exp(t, out=out), "out"),
        (lambda: np.add(A, t, where=A > 1), "where"),
        (lambda: np.sum(t, dtype=np.float32), "dtype"),
        (lambda: np.sum(t, initial=1.0), "initial"),
        (lambda: np.ravel(t, order="F"), "order"),
        (lambda: np.exp(t, casting="no"), "casting"),
    ]:
        with pytest.raises(UsageError, match=f"does not take {option}="):
            call()
    with pytest.raises(UsageError, match="out="):
        out += t
    np.testing.assert_array_equal(np.sum(t, out=None, dtype=None, where=True).data, A.sum())


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


def test_matrix_norms_that_are_not_here_are_refused():
    for order in (2, 1, np.inf, -np.inf, 3):
        with pytest.raises(UsageError, match=r"matrix norm, which is not supported.*'fro'"):
            np.linalg.norm(Tensor(A), order)
    with pytest.raises(UsageError, match="unknown ord 'nuc'"):
        mg.norm(Tensor(A), "nuc")
