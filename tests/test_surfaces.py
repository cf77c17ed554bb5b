"""Every surface in ``surfaces.ALL`` is what it says of itself."""

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, surfaces

every_surface = pytest.mark.parametrize("surface", surfaces.ALL, ids=lambda s: s.name)


def at(surface, point):
    return surface(point[0], point[1])


@every_surface
def test_its_minimum_is_one(surface):
    if surface.minimum is None:
        return
    point = np.array(surface.minimum)
    assert at(surface, point) == pytest.approx(surface.lowest, abs=1e-15)
    np.testing.assert_allclose(mg.grad(lambda p: at(surface, p))(point), 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(mg.hessian(lambda p: at(surface, p))(point)).min() > 0.0


def test_the_saddle_is_one_and_has_no_minimum():
    found = mg.hessian(lambda p: at(surfaces.saddle, p))(np.zeros(2))
    assert sorted(np.linalg.eigvalsh(found)) == [-2.0, 2.0]
    assert surfaces.saddle.minimum is None


@every_surface
def test_it_takes_numbers_arrays_and_nodes(surface):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4))
    whole = surface(x, y)
    assert whole.shape == (3, 4)
    assert whole[1, 2] == pytest.approx(surface(float(x[1, 2]), float(y[1, 2])))
    assert surface(Value(1.5), Value(-0.5)).item() == pytest.approx(surface(1.5, -0.5))
    np.testing.assert_allclose(surface(Tensor(x), Tensor(y)).data, whole)
    mg.check.check_grads(surface, x, y)


@every_surface
def test_start_and_minimum_are_in_the_picture(surface):
    left, right, bottom, top = surface.region
    for point in (surface.start, surface.minimum):
        if point is not None:
            assert left <= point[0] <= right
            assert bottom <= point[1] <= top


def test_all_lists_every_surface():
    found = {s for s in vars(surfaces).values() if isinstance(s, surfaces.Surface)}
    assert set(surfaces.ALL) == found
