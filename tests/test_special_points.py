"""The tables of docs/special-points.md say what happens here; no peer is needed to check that."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from benchmarks import special_points
from benchmarks.special_points import PAGE, TABLES, Point, our_cells, rows_on, written_into

POINTS = [point for points in TABLES.values() for point in points]
PAGE_TEXT = PAGE.read_text(encoding="utf-8")


def _name(point):
    return f"{point.expression} at {point.at}"


def test_the_page_has_every_point_once_and_in_order():
    assert [row[:2] for row in rows_on(PAGE_TEXT)] == [our_cells(point)[:2] for point in POINTS]
    assert len({_name(point) for point in POINTS}) == len(POINTS)
    for title in TABLES:
        assert f"\n### {title}\n" in PAGE_TEXT


@pytest.mark.parametrize("i", range(len(POINTS)), ids=map(_name, POINTS))
def test_the_page_is_right_about_us(i):
    assert our_cells(POINTS[i]) == rows_on(PAGE_TEXT)[i]


@pytest.mark.parametrize("point", POINTS, ids=_name)
def test_values_tensors_and_forward_mode_agree(point):
    functions = {n: special_points._found((mg, mg.linalg), n) for n in special_points.names()}

    def f(*xs):
        return mg.sum(point.evaluate(functions, *xs))

    arrays = [np.asarray(x) for x in point.at]
    every = tuple(range(len(arrays)))
    slopes = special_points.ours(point).slopes
    for one, other in zip(mg.grad(f, every)(*arrays), slopes):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    ones = [np.ones_like(x) for x in arrays]
    for i, slope in enumerate(slopes):
        along = [t if i == k else 0.0 * t for k, t in enumerate(ones)]
        if not np.isnan(slope).any():  # with a derivative
            moved = mg.jvp(f, arrays, along)[1]
            np.testing.assert_allclose(moved, np.sum(slope), rtol=1e-12, atol=1e-16)


def test_a_wrong_cell_is_noticed():
    lines = "| `abs(x)` | 0 | 0 | 1 | same |\nno row"
    page = written_into(f"a {special_points.BEGIN} old {special_points.END} z", lines)
    assert rows_on(page) == [("`abs(x)`", "0", "0", "1")]
    assert rows_on(page)[0] != our_cells(Point("abs(x)", 0.0)) == ("`abs(x)`", "0", "0", "0")
    assert written_into(page, lines) == page
    assert page.startswith("a ")
    assert page.endswith(" z")
