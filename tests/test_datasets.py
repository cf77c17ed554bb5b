"""Datasets: shapes and types, the published geometry, reproducible draws, errors that advise."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from microgradopt import datasets
from microgradopt.errors import MissingExtraError, UsageError
from microgradopt.randomness import as_generator

GENERATORS = [datasets.spiral, datasets.moons, datasets.circles]
every_generator = pytest.mark.parametrize("generate", GENERATORS, ids=lambda f: f.__name__)


@every_generator
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_points_are_float64_rows_and_classes_int64(generate, n):
    X, y = generate(n, rng=0)
    assert X.dtype == np.float64
    assert y.dtype == np.int64
    assert X.shape == (len(y), 2)
    assert len(y) == (3 * n if generate is datasets.spiral else n)
    assert X.flags.c_contiguous
    assert X.flags.owndata


@every_generator
def test_one_seed_is_one_dataset(generate):
    X, y = generate(rng=7)
    same_X, same_y = generate(rng=np.random.default_rng(7))
    np.testing.assert_array_equal(X, same_X)
    np.testing.assert_array_equal(y, same_y)
    assert not np.array_equal(X, generate(rng=8)[0])
    assert not np.array_equal(X, generate(rng=None)[0])


@every_generator
def test_a_generator_is_advanced_not_copied(generate):
    rng = np.random.default_rng(0)
    assert not np.array_equal(generate(rng=rng)[0], generate(rng=rng)[0])


@every_generator
def test_global_state_is_neither_read_nor_moved(generate):
    np.random.seed(3)  # noqa: NPY002 (the point of the test)
    before = np.random.get_state()  # noqa: NPY002
    first, _ = generate()
    np.random.seed(3)  # noqa: NPY002
    second, _ = generate()
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    assert not np.array_equal(first, second)


@every_generator
def test_without_noise_the_seed_does_not_matter(generate):
    np.testing.assert_array_equal(generate(noise=0, rng=1)[0], generate(noise=0.0, rng=2)[0])


def cs231n_spiral(n, classes, rng):
    """The tutorial's own loop, with its global ``randn`` replaced by ``rng``."""
    X, y = np.zeros((n * classes, 2)), np.zeros(n * classes, dtype="uint8")
    for j in range(classes):
        ix = range(n * j, n * (j + 1))
        r = np.linspace(0.0, 1, n)
        t = np.linspace(j * 4, (j + 1) * 4, n) + rng.standard_normal(n) * 0.2
        X[ix] = np.c_[r * np.sin(t), r * np.cos(t)]
        y[ix] = j
    return X, y


@pytest.mark.parametrize(("n", "classes"), [(100, 3), (1, 2), (50, 5)])
def test_spiral_is_the_tutorials(n, classes):
    X, y = datasets.spiral(n, classes, rng=np.random.default_rng(0))
    expected_X, expected_y = cs231n_spiral(n, classes, np.random.default_rng(0))
    np.testing.assert_allclose(X, expected_X, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(y, expected_y)


def test_spiral_radius_grows_from_0_to_1_whatever_the_noise():
    X, y = datasets.spiral(50, 4, noise=3.0, rng=0)
    for j in range(4):
        np.testing.assert_allclose(np.hypot(*X[y == j].T), np.linspace(0, 1, 50), atol=1e-14)


def test_spiral_angle_noise_has_the_asked_spread():
    X, y = datasets.spiral(20_000, 2, noise=0.2, rng=0)
    arm = X[y == 0][1:]
    angle = np.arctan2(arm[:, 0], arm[:, 1])
    error = angle - np.linspace(0, 4, 20_000)[1:]
    error = (error + np.pi) % (2 * np.pi) - np.pi
    assert np.std(error) == pytest.approx(0.2, rel=0.03)
    assert np.mean(error) == pytest.approx(0.0, abs=0.01)


def test_moons_lie_on_two_half_circles_ends_included():
    X, y = datasets.moons(41, noise=0, rng=0)
    upper, lower = X[y == 0], X[y == 1]
    assert (len(upper), len(lower)) == (20, 21)
    np.testing.assert_allclose(np.hypot(*upper.T), 1.0)
    np.testing.assert_allclose(np.hypot(*(lower - [1.0, 0.5]).T), 1.0)
    assert (upper[:, 1] > -1e-12).all()
    assert (lower[:, 1] < 0.5 + 1e-12).all()
    np.testing.assert_allclose(upper[[0, -1]], [[1, 0], [-1, 0]], atol=1e-12)
    np.testing.assert_allclose(lower[[0, -1]], [[0, 0.5], [2, 0.5]], atol=1e-12)
    np.testing.assert_allclose(lower[10], [1, -0.5], atol=1e-12)


def test_circles_have_radius_1_and_factor_and_no_point_twice():
    X, y = datasets.circles(25, noise=0, factor=0.3, rng=0)
    assert np.bincount(y).tolist() == [12, 13]
    np.testing.assert_allclose(np.hypot(*X[y == 0].T), 1.0)
    np.testing.assert_allclose(np.hypot(*X[y == 1].T), 0.3)
    assert len(np.unique(X.round(9), axis=0)) == 25
    np.testing.assert_allclose(X[y == 0].mean(axis=0), 0.0, atol=1e-14)


@pytest.mark.parametrize("generate", [datasets.moons, datasets.circles])
def test_coordinate_noise_has_the_asked_spread(generate):
    noisy, _ = generate(20_000, noise=0.3, rng=0)
    clean, _ = generate(20_000, noise=0, rng=0)
    np.testing.assert_allclose(np.std(noisy - clean, axis=0), 0.3, rtol=0.03)


@pytest.mark.parametrize("generate", [datasets.moons, datasets.circles])
def test_geometry_is_scikit_learns(generate):
    theirs = pytest.importorskip("sklearn.datasets")
    name = {"moons": "make_moons", "circles": "make_circles"}[generate.__name__]
    options = {"factor": 0.5} if generate is datasets.circles else {}
    for n in (2, 9, 100):
        X, y = generate(n, noise=0, rng=0)
        expected_X, expected_y = getattr(theirs, name)(n, shuffle=False, noise=None, **options)
        np.testing.assert_allclose(X, expected_X, atol=1e-14)
        np.testing.assert_array_equal(y, expected_y)


@every_generator
@pytest.mark.parametrize("bad", [0, -5, 10.0, "10", True, None, np.float64(3)])
def test_a_bad_count_is_named_with_advice(generate, bad):
    name = "n_per_class" if generate is datasets.spiral else "n"
    with pytest.raises(UsageError) as caught:
        generate(bad, rng=0)
    message = str(caught.value)
    assert message.startswith(f"{name} must be an int of at least 1")
    assert repr(bad) in message
    assert type(bad).__name__ in message
    assert f"write {name}=100" in message


@every_generator
@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), "0.1", None, 1j])
def test_a_bad_noise_is_named_with_advice(generate, bad):
    with pytest.raises(UsageError, match="noise must be a finite number of at least 0") as caught:
        generate(noise=bad, rng=0)
    assert repr(bad) in str(caught.value)
    assert "write noise=0." in str(caught.value)


@pytest.mark.parametrize("bad", [1, 0, 2.0])
def test_a_spiral_has_two_arms_at_least(bad):
    with pytest.raises(UsageError, match=r"classes must be an int of at least 2.*write classes=3"):
        datasets.spiral(classes=bad, rng=0)


def test_the_inner_circle_is_inside():
    with pytest.raises(UsageError, match=r"factor must be below 1.*got 1\.0; write factor=0\.5"):
        datasets.circles(factor=1.0, rng=0)
    with pytest.raises(UsageError, match=r"factor must be a finite number .* got -0\.5"):
        datasets.circles(factor=-0.5, rng=0)


@every_generator
@pytest.mark.parametrize(
    "bad", [np.random.RandomState(0), 0.5, "0", True, np.random, np.random.PCG64(0)]
)
def test_a_wrong_rng_is_named_with_advice(generate, bad):
    with pytest.raises(UsageError) as caught:
        generate(rng=bad)
    assert type(bad).__name__ in str(caught.value)
    assert "write rng=np.random.default_rng(0) or rng=0" in str(caught.value)


def test_a_negative_seed_is_refused():
    with pytest.raises(UsageError, match="must be 0 or more, got -3; write rng=3"):
        as_generator(-3)


def test_as_generator_takes_a_generator_an_int_or_nothing():
    rng = np.random.default_rng(0)
    assert as_generator(rng) is rng
    assert as_generator(5).random() == np.random.default_rng(5).random()
    assert as_generator(np.int64(5)).random() == np.random.default_rng(5).random()
    assert as_generator().random() != as_generator().random()


# Digits


def test_digits_are_images_of_one_channel():
    pytest.importorskip("sklearn")
    X, y = datasets.digits()
    assert X.shape == (1797, 1, 8, 8)
    assert X.dtype == np.float64
    assert (X.min(), X.max()) == (0.0, 1.0)
    assert y.dtype == np.int64
    assert set(y.tolist()) == set(range(10))


def test_without_scikit_learn_digits_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"microgradopt\[data\]"):
        datasets.digits()
