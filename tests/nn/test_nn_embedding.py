"""Embedding: rows, sums of gradients, the row for nothing, errors."""

from __future__ import annotations

import numpy as np
import pytest

from microgradopt import Tensor, nn, optim
from microgradopt.errors import DTypeError, UsageError


@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 3), (2, 0, 3)])
def test_every_number_becomes_its_row(shape):
    layer = nn.Embedding(6, 3, rng=0)
    x = np.random.default_rng(0).integers(0, 6, shape)
    np.testing.assert_array_equal(layer(x).data, layer.weight.data[x])


def test_gradients_add_up_over_places():
    layer = nn.Embedding(4, 2, rng=0)
    g = np.arange(10.0).reshape(5, 2)
    layer(np.array([2, 0, 2, 3, 2])).backward(g)
    expected = np.zeros((4, 2))
    np.add.at(expected, [2, 0, 2, 3, 2], g)
    np.testing.assert_array_equal(layer.weight.grad, expected)


@pytest.mark.parametrize("padding_idx", [1, -3])
def test_the_row_for_nothing_stays(padding_idx):
    layer = nn.Embedding(4, 2, padding_idx, rng=0)
    assert layer.padding_idx == 1
    out = layer(np.array([[1, 2], [3, 1]]))
    np.testing.assert_array_equal(out.data[[0, 1], [0, 1]], 0.0)
    optimizer = optim.SGD(layer.parameters(), lr=1.0)
    (out + 1.0).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, [[0, 0], [0, 0], [1, 1], [1, 1]])
    optimizer.step()
    np.testing.assert_array_equal(layer.weight.data[1], 0.0)


def test_indices_are_not_kept_by_reference():
    layer, x = nn.Embedding(3, 1, rng=0), np.array([0, 0])
    out = layer(x)
    x[:] = 2
    out.backward(np.ones((2, 1)))
    np.testing.assert_array_equal(layer.weight.grad, [[2.0], [0.0], [0.0]])


@pytest.mark.parametrize("bad", [[0, 3], [-1], 7])
def test_a_number_without_a_row(bad):
    with pytest.raises(UsageError, match=r"rows 0 to 2, and was given (3|-1|7)"):
        nn.Embedding(3, 2, rng=0)(np.array(bad))


@pytest.mark.parametrize("bad", [np.zeros(2), np.ones(2, bool), Tensor(np.zeros(2)), [0.5]])
def test_what_is_no_whole_number(bad):
    with pytest.raises(DTypeError, match="Embedding"):
        nn.Embedding(3, 2, rng=0)(bad)


@pytest.mark.parametrize("args", [(0, 2), (2, 0), (2, 2, 2), (2, 2, -3), (2, 2, True), (2, 2, 0.0)])
def test_arguments_without_meaning(args):
    with pytest.raises(UsageError):
        nn.Embedding(*args)
