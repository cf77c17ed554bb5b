"""Every public function made of rows: NumPy's values, and gradients of orders 1 and 2."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from function_cases import CASES

import microgradopt as mg
from microgradopt.check import check_grads
from microgradopt.engine.graph import Node, Primitive
from microgradopt.engine.rules import data_of

TRANSFORMS = {"grad", "value_and_grad", "vjp", "jvp", "ggnvp", "hvp", "jacobian", "hessian"}
DECLARING = {"elementwise", "linear", "multilinear", "fused", "custom_gradient", "checkpoint"}
ROWS_IN_DISGUISE = {"where"}  # one row behind a function that protects its condition
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def _public_functions():
    for name in mg.__all__:
        thing = getattr(mg, name)
        if inspect.isfunction(thing) and thing.__module__.startswith("microgradopt.engine"):
            yield name


def test_every_public_function_has_a_case():
    missing = set(_public_functions()) - {case.name for case in CASES}
    assert missing - TRANSFORMS - DECLARING - ROWS_IN_DISGUISE == set()


def test_every_other_public_function_is_a_row():
    for name in mg.__all__:
        thing = getattr(mg, name)
        if isinstance(thing, Primitive):
            assert Primitive.table[thing.name] is thing


def _same(got, expected, dtype=np.float64):
    if isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected):
            _same(one, other, dtype)
        return
    data = data_of(got)
    assert np.shape(data) == np.shape(expected)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(data, expected, rtol=50 * eps, atol=50 * eps * _size(expected))


def _size(x):
    finite = np.abs(np.asarray(x)[np.isfinite(x)])
    return float(np.max(finite, initial=0.0))


def _leaf(x, dtype=np.float64):
    return mg.Tensor(x, dtype=dtype) if isinstance(x, np.ndarray) else mg.Value(x)


@every_case
def test_values_are_those_of_numpy(case):
    expected = case.reference(*case.args)
    nodes = case.f(*map(_leaf, case.args))
    _same(nodes, expected)
    assert all(isinstance(y, Node) for y in (nodes if isinstance(nodes, list) else [nodes]))
    _same(case.f(*case.args), expected)


@every_case
def test_gradients_of_both_orders_and_modes(case):
    if "inf" in case.label and case.name == "pad":
        pytest.skip("differences of infinities say nothing")
    extreme = "huge" in case.label or "tiny" in case.label  # products of two slopes underflow
    check_grads(case.f, *case.args, order=1 if extreme else 2)


@every_case
def test_float32_stays_float32_through_both_orders(case):
    wide = case.name in ("astype", "float_power") or "dtype" in case.label
    if wide or "huge" in case.label or "tiny" in case.label:
        pytest.skip("says float64, or is beyond float32")
    if not any(isinstance(x, np.ndarray) for x in case.args):
        pytest.skip("made of numbers only")
    narrow = [x.astype(np.float32) if isinstance(x, np.ndarray) else x for x in case.args]

    def first(*xs):
        y, pull = mg.vjp(case.f, *xs)
        u = (
            [np.ones_like(data_of(part)) for part in y]
            if isinstance(y, list)
            else np.ones_like(data_of(y))
        )
        return y, pull(u)

    y, pulled = first(*narrow)
    for part in y if isinstance(y, list) else [y]:
        assert part.dtype == np.float32
    for g, x in zip(pulled, narrow):
        if isinstance(x, np.ndarray):
            assert g.dtype == np.float32
            assert g.shape == x.shape
    _, twice = mg.vjp(lambda *xs: first(*xs)[1], *narrow)
    for g, x in zip(
        twice(tuple(1.0 * np.asarray(g) if isinstance(g, np.ndarray) else g for g in pulled)),
        narrow,
    ):
        if isinstance(x, np.ndarray):
            assert g.dtype == np.float32
