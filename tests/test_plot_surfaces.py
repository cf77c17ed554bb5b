"""Contours, trajectories and races, on given Axes."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from microgradopt import Tensor, plot, surfaces
from microgradopt.errors import DTypeError, NonFiniteError, ShapeError, UsageError


@pytest.fixture
def axes():
    return Figure().subplots()


SPIRAL = np.stack([np.cos(np.arange(20)), np.sin(np.arange(20))], axis=1)


@pytest.mark.parametrize("surface", surfaces.ALL, ids=lambda s: s.name)
def test_contours_of_a_surface_show_its_region_and_minimum(axes, surface):
    assert plot.contours(surface, ax=axes, resolution=50) is axes
    assert (*axes.get_xlim(), *axes.get_ylim()) == surface.region
    stars = [line.get_xydata()[0].tolist() for line in axes.lines]
    assert stars == ([list(surface.minimum)] if surface.minimum else [])
    levels = axes.collections[0].levels
    assert (np.diff(levels) > 0).all()
    x, y = np.meshgrid(
        *(np.linspace(*side, 50) for side in (surface.region[:2], surface.region[2:]))
    )
    heights = surface(x, y)
    assert levels[0] == pytest.approx(heights.min())
    assert levels[-1] == pytest.approx(heights.max())


def test_contours_of_a_plain_function(axes):
    plot.contours(lambda x, y: x * x + y, ax=axes, region=(-1, 2, 0, 3), resolution=20)
    assert axes.get_xlim() == (-1.0, 2.0)
    flat = Figure().subplots()
    plot.contours(lambda x, y: 0.0 * x, ax=flat, region=(0, 1, 0, 1), resolution=5)
    holed = Figure().subplots()
    plot.contours(
        lambda x, y: np.where(x > 0, x, np.nan), ax=holed, region=(-1, 1, 0, 1), resolution=9
    )


@pytest.mark.parametrize(
    ("f", "options", "error", "message"),
    [
        (lambda x, y: x, {}, UsageError, "say which region"),
        (lambda x, y: x, {"region": (1, 0, 0, 1)}, UsageError, "is empty; each pair must rise"),
        (lambda x, y: x, {"region": (0, 1, 0)}, UsageError, "four finite numbers"),
        (lambda x, y: x, {"region": (0, np.inf, 0, 1)}, UsageError, "four finite numbers"),
        (lambda x, y: x, {"region": (0, 1, 0, 1), "resolution": 1}, UsageError, "at least 2"),
        (lambda x, y: 1.0, {"region": (0, 1, 0, 1)}, ShapeError, "returned"),
        (lambda x, y: x * np.nan, {"region": (0, 1, 0, 1)}, NonFiniteError, "nowhere finite"),
        (lambda x, y: x + 1j, {"region": (0, 1, 0, 1)}, DTypeError, "real numbers"),
    ],
)
def test_contours_refuse(axes, f, options, error, message):
    with pytest.raises(error, match=message):
        plot.contours(f, ax=axes, **options)
    assert not axes.lines
    assert not axes.collections


def test_trajectories_end_in_a_dot_and_keep_the_limits(axes):
    plot.contours(surfaces.saddle, ax=axes, resolution=20)
    limits = axes.axis()
    plot.trajectories({"a": SPIRAL, "b": Tensor(10.0 * SPIRAL), "c": SPIRAL[:1].tolist()}, ax=axes)
    assert axes.axis() == limits
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    np.testing.assert_array_equal(lines["a"].get_xydata(), SPIRAL)
    assert len({line.get_color() for line in lines.values()}) == 3
    dots = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(dots[0], SPIRAL[-1])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b", "c"]


def test_a_path_is_drawn_as_far_as_it_is_finite(axes):
    broken = SPIRAL.copy()
    broken[7] = np.inf
    plot.trajectories({"gone": broken}, ax=axes, legend=False)
    assert len(axes.lines[0].get_xydata()) == 7
    assert axes.get_legend() is None


@pytest.mark.parametrize("bad", [{}, SPIRAL, [SPIRAL]])
def test_paths_have_names(axes, bad):
    with pytest.raises(UsageError, match="paths must be a dict, name -> points"):
        plot.trajectories(bad, ax=axes)
    with pytest.raises(UsageError, match="paths must be a dict, name -> points"):
        plot.race(surfaces.saddle, bad, ax=axes)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((3, 3)), np.zeros((0, 2))])
def test_a_path_of_another_shape_is_refused(axes, bad):
    with pytest.raises(ShapeError, match=r"path of 'a' must have shape \(n, 2\), got"):
        plot.trajectories({"good": SPIRAL, "a": bad}, ax=axes)
    assert not axes.lines


def test_a_race_moves_from_start_to_end(axes, tmp_path):
    animation = plot.race(surfaces.saddle, {"a": SPIRAL, "b": SPIRAL[:5]}, ax=axes, frames=4)
    path = tmp_path / "race.gif"
    animation.save(path, writer="pillow", dpi=30)
    assert path.read_bytes().startswith(b"GIF")
    assert axes.get_title() == "step 19"
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), SPIRAL)
    np.testing.assert_array_equal(axes.lines[2].get_xydata(), SPIRAL[:5])
