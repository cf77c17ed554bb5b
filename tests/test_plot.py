"""Pictures: drawn on the Axes given, right colours in the right place, errors that advise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import datasets, plot
from microgradopt.errors import (
    DTypeError,
    MissingExtraError,
    NonFiniteError,
    ShapeError,
    UsageError,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")
colors = pytest.importorskip("matplotlib.colors")

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
Y = np.array([0, 1, 0, 1])


@pytest.fixture(autouse=True)
def _no_figure_outlives_its_test():
    yield
    pyplot.close("all")


@pytest.fixture
def axes():
    """Two Axes; the second is pyplot's current one, so drawing on the first must be deliberate."""
    return pyplot.subplots(1, 2)[1]


def right_half(points):
    """Score above 0 for x1 above 1/2."""
    return points[:, 0] - 0.5


class Node:
    """Any library's array node, as far as a picture can tell."""

    def __init__(self, data):
        self.data = np.asarray(data)

    def numpy(self):
        return self.data


class Scalar:
    """Any library's scalar node: a number behind ``item``."""

    def __init__(self, data):
        self.data = data

    def item(self):
        return self.data


class Density:
    """What plot.spectrum looks at."""

    def __init__(self, grid, density):
        self.grid, self.density = np.asarray(grid), np.asarray(density)


class Approximation:
    """What plot.taylor looks at: a power of x − center."""

    def __init__(self, center, order):
        self.center, self.order = center, order

    def __call__(self, x):
        return (np.asarray(x) - self.center) ** self.order


CALLS = {
    "scatter": lambda **k: plot.scatter(X, Y, **k),
    "decision_regions": lambda **k: plot.decision_regions(right_half, X, Y, resolution=5, **k),
    "loss_curve": lambda **k: plot.loss_curve([3.0, 2.0], **k),
    "schedule": lambda **k: plot.schedule(lambda step: 1.0 / step, 5, **k),
    "spectrum": lambda **k: plot.spectrum(Density([0.0, 1.0], [0.5, 1.5]), **k),
    "taylor": lambda **k: plot.taylor(mg.cos, Approximation(0.0, 0), **k),
}
every_picture = pytest.mark.parametrize("draw", CALLS.values(), ids=CALLS.keys())


# --- every picture -------------------------------------------------------------------------------


@every_picture
def test_draws_on_the_axes_given_and_returns_them(draw, axes):
    assert draw(ax=axes[0]) is axes[0]
    assert axes[0].has_data()
    assert not axes[1].has_data()
    assert axes[0].get_xlabel()
    assert axes[0].get_ylabel()


@every_picture
def test_without_axes_draws_on_the_current_ones(draw, axes):
    assert draw() is axes[1]
    pyplot.close("all")
    assert draw() is pyplot.gca()


@every_picture
def test_renders(draw, tmp_path):
    draw().figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


@every_picture
def test_an_array_of_axes_is_refused_with_advice(draw, axes):
    with pytest.raises(UsageError, match=r"one Matplotlib Axes, got ndarray.*axes\[0, 0\]"):
        draw(ax=axes)


@every_picture
def test_without_matplotlib_the_extra_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'microgradopt\[plot\]'"):
        draw()


def test_importing_the_module_does_not_import_matplotlib():
    code = "import sys, microgradopt.plot; sys.exit('matplotlib' in sys.modules)"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


# --- scatter -------------------------------------------------------------------------------------


def drawn_points(ax):
    """Class name -> (face colour, points), read back from the Axes."""
    return {
        c.get_label(): (colors.to_hex(c.get_facecolor()[0]), np.asarray(c.get_offsets()))
        for c in ax.collections
    }


def test_scatter_draws_every_point_once_under_its_class(axes):
    points, y = datasets.spiral(20, rng=0)
    drawn = drawn_points(plot.scatter(points, y, ax=axes[0]))
    assert list(drawn) == ["0", "1", "2"]
    for label, (_, offsets) in drawn.items():
        np.testing.assert_array_equal(offsets, points[y == int(label)])


def test_classes_differ_in_colour_and_in_marker(axes):
    ax = plot.scatter(np.zeros((10, 2)), np.arange(10), ax=axes[0])
    shapes = [c.get_paths()[0].vertices.tobytes() for c in ax.collections]
    faces = [face for face, _ in drawn_points(ax).values()]
    assert len(set(faces)) == 10
    assert len(set(shapes)) == 7
    assert len(set(zip(faces, shapes, strict=True))) == 10


def test_a_class_keeps_its_colour_when_others_are_absent(axes):
    everyone = drawn_points(plot.scatter(np.zeros((3, 2)), [0, 1, 2], ax=axes[0]))
    alone = drawn_points(plot.scatter(np.zeros((1, 2)), [2], ax=axes[1]))
    assert alone["2"][0] == everyone["2"][0]


def test_neighbouring_colours_differ_in_lightness_too():
    """Distinct in grey for the first three, which is what most pictures here hold."""
    grey = [np.dot(colors.to_rgb(c), [0.299, 0.587, 0.114]) for c in plot.axes.COLORS[:3]]
    assert np.abs(np.diff(sorted(grey))).min() > 0.1


def test_scatter_takes_lists_nodes_booleans_and_whole_floats(axes):
    for points, y in [
        (X.tolist(), Y.tolist()),
        (Node(X), Node(Y)),
        (X.astype(np.float32), Y.astype(bool)),
        (X.astype(int), Y.astype(float)),
    ]:
        axes[0].clear()
        drawn = drawn_points(plot.scatter(points, y, ax=axes[0]))
        np.testing.assert_array_equal(drawn["1"][1], X[Y == 1])


def test_the_legend_can_be_left_out(axes):
    assert plot.scatter(X, Y, ax=axes[0], legend=False).get_legend() is None
    legend = plot.scatter(X, Y, ax=axes[1]).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1"]


POINT_ERRORS = [
    (X[:, 0], Y, ShapeError, r"X must be points in the plane, shape \(n, 2\).*got shape \(4,\)"),
    (np.ones((4, 3)), Y, ShapeError, r"got shape \(4, 3\); write X\[:, :2\]"),
    (np.ones((0, 2)), [], ShapeError, r"n at least 1, got shape \(0, 2\)"),
    ([[1, 2], [3]], [0, 1], ShapeError, "X must be numbers in a regular array"),
    ([["a", "b"]], [0], DTypeError, "X must be real numbers, got dtype <U1"),
    (X * 1j, Y, DTypeError, "X must be real numbers, got dtype complex128"),
    ([[0, 1], [np.nan, 2]], [0, 1], NonFiniteError, r"row 1 is \[nan, 2.0\]"),
    (X, Y[:3], ShapeError, "X has 4 points but y has 3 classes"),
    (X, np.eye(4), ShapeError, r"got \(4, 4\); write y.argmax\(axis=1\)"),
    (X, [0, 1, 0.5, 1], UsageError, r"integer classes, got float64 such as 0.5; .*np.unique"),
    (X, [0, 1, 1, np.nan], UsageError, r"integer classes, got float64 such as nan"),
    (X, list("abab"), DTypeError, "y must be real numbers, got dtype <U1"),
]


@pytest.mark.parametrize(("points", "y", "kind", "message"), POINT_ERRORS)
def test_bad_points_are_refused_before_anything_is_drawn(axes, points, y, kind, message):
    with pytest.raises(kind, match=message):
        plot.scatter(points, y, ax=axes[0])
    with pytest.raises(kind, match=message):
        plot.decision_regions(right_half, points, y, ax=axes[0])
    assert not axes[0].has_data()


# --- decision regions ----------------------------------------------------------------------------


def tint_at(ax, x1, x2):
    """The colour painted at a point of the plane."""
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    pixels = image.get_array()
    row = int((x2 - bottom) / (top - bottom) * pixels.shape[0])
    column = int((x1 - left) / (right - left) * pixels.shape[1])
    return np.asarray(pixels[row, column], dtype=float)


def hue_of(ax, label):
    """The tint that belongs to a class: its scatter colour, mixed with white."""
    rgb = np.array(colors.to_rgb(drawn_points(ax)[str(label)][0]))
    return 1 - plot.axes.TINT * (1 - rgb)


TWO_CLASS_ANSWERS = {
    "scores (m,)": right_half,
    "scores (m, 1)": lambda p: right_half(p)[:, None],
    "scores (m, 2)": lambda p: np.stack([-right_half(p), right_half(p)], axis=1),
    "integer scores (m, 2)": lambda p: np.stack([right_half(p) <= 0, right_half(p) > 0], axis=1),
    "float32": lambda p: right_half(p).astype(np.float32),
    "classes": lambda p: (right_half(p) > 0).astype(int),
    "booleans": lambda p: right_half(p) > 0,
    "list": lambda p: right_half(p).tolist(),
    "node": lambda p: Node(right_half(p)),
    "nodes in a list": lambda p: [Node(s) for s in right_half(p)],
    "scalar nodes in a list": lambda p: [Scalar(s) for s in right_half(p)],
    "pairs of scalar nodes": lambda p: [[Scalar(-s), Scalar(s)] for s in right_half(p)],
}


TWO_CLASS_ANSWERS |= {
    "Tensor": lambda p: mg.Tensor(p)[:, 0] - 0.5,
    "Values": lambda p: [mg.Value(x1) - 0.5 for x1 in p[:, 0]],
}


@pytest.mark.parametrize("predict", TWO_CLASS_ANSWERS.values(), ids=TWO_CLASS_ANSWERS.keys())
def test_each_side_is_tinted_in_its_points_colour(axes, predict):
    ax = plot.decision_regions(predict, X, Y, ax=axes[0], resolution=20)
    for x2 in (0.0, 1.0, 2.0):
        np.testing.assert_allclose(tint_at(ax, 0.1, x2), hue_of(ax, 0))
        np.testing.assert_allclose(tint_at(ax, 0.9, x2), hue_of(ax, 1))


def test_the_vertical_axis_is_not_flipped(axes):
    y = np.array([0, 0, 1, 1])
    ax = plot.decision_regions(lambda p: p[:, 1] - 1, X, y, ax=axes[0], resolution=20)
    np.testing.assert_allclose(tint_at(ax, 0.5, 0.1), hue_of(ax, 0))
    np.testing.assert_allclose(tint_at(ax, 0.5, 1.9), hue_of(ax, 1))
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


def test_models_of_this_library_are_drawn_as_they_are(axes):
    points, y = datasets.spiral(10, rng=0)
    plot.decision_regions(mg.nn.MLP(2, [8, 3], rng=0), points, y, ax=axes[0], resolution=10)
    scalar = mg.nn.scalar.MLP(2, [4, 1], rng=0)
    answer = lambda grid: list(map(scalar, grid.tolist()))  # noqa: E731
    plot.decision_regions(answer, X, Y, ax=axes[1], resolution=10)
    assert len(axes[0].images) == len(axes[1].images) == 1


def test_three_scores_decide_by_the_largest(axes):
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])

    def nearness(points):
        return -np.square(points[:, None] - centres).sum(axis=-1)

    ax = plot.decision_regions(nearness, centres, [0, 1, 2], ax=axes[0], resolution=30)
    for label, centre in enumerate(centres):
        np.testing.assert_allclose(tint_at(ax, *centre), hue_of(ax, label))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (3, 8)])
def test_the_sign_picks_between_the_two_classes_of_y(axes, low, high):
    ax = plot.decision_regions(right_half, X, np.where(Y, high, low), ax=axes[0], resolution=20)
    np.testing.assert_allclose(tint_at(ax, 0.1, 1), hue_of(ax, low))
    np.testing.assert_allclose(tint_at(ax, 0.9, 1), hue_of(ax, high))


def test_a_class_seen_only_by_the_model_has_its_region(axes):
    ax = plot.decision_regions(lambda p: np.full(len(p), 2), X, Y, ax=axes[0], resolution=4)
    expected = 1 - plot.axes.TINT * (1 - np.array(colors.to_rgb(plot.axes.COLORS[2])))
    np.testing.assert_allclose(tint_at(ax, 0.5, 1), expected)


def test_predict_is_called_once_on_a_float64_grid_that_covers_the_points(axes):
    grids = []

    def predict(points):
        grids.append(points)
        return right_half(points)

    ax = plot.decision_regions(predict, X, Y, ax=axes[0], resolution=11, padding=0.5)
    (grid,) = grids
    assert grid.shape == (121, 2)
    assert grid.dtype == np.float64
    np.testing.assert_allclose([grid.min(axis=0), grid.max(axis=0)], [[-0.5, -1], [1.5, 3]])
    assert ax.get_xlim()[0] <= -0.5
    assert ax.get_xlim()[1] >= 1.5


def test_points_on_a_line_still_get_a_plane(axes):
    ax = plot.decision_regions(right_half, [[0, 1], [1, 1]], [0, 1], ax=axes[0], padding=0)
    assert ax.get_ylim()[0] < 1 < ax.get_ylim()[1]


@pytest.mark.parametrize("aspect", ["auto", "equal"])
def test_the_aspect_of_the_axes_is_left_alone(axes, aspect):
    axes[0].set_aspect(aspect)
    before = axes[0].get_aspect()
    plot.decision_regions(right_half, X, Y, ax=axes[0], resolution=5)
    assert axes[0].get_aspect() == before


PREDICT_ERRORS = [
    (lambda p: np.ones(3), Y, ShapeError, r"points of shape \(25, 2\) and returned shape \(3,\)"),
    (lambda p: 1.0, Y, ShapeError, r"returned shape \(\); it must return scores"),
    (lambda p: np.ones((25, 0)), Y, ShapeError, r"returned shape \(25, 0\)"),
    (lambda p: np.ones((25, 2, 2)), Y, ShapeError, r"returned shape \(25, 2, 2\)"),
    (lambda p: None, Y, DTypeError, "what predict returned must be real numbers"),
    (lambda p: ["a"] * 25, Y, DTypeError, "must be real numbers, got dtype <U1"),
    (lambda p: p[:, 0] / np.where(p[:, 0] > 1, np.inf, 1) * np.nan, Y, NonFiniteError, "point 0"),
    (lambda p: np.ones((25, 3)), [0, 1, 2, 3], UsageError, "3 scores .* y has class 3"),
    (lambda p: np.ones((25, 2)), [-1, 1, -1, 1], UsageError, "2 scores .* y has class -1"),
    (right_half, [0, 1, 2, 0], UsageError, r"tells two classes apart, but y has 3"),
    (right_half, [4, 4, 4, 4], UsageError, "y has only class 4"),
]


@pytest.mark.parametrize(("predict", "y", "kind", "message"), PREDICT_ERRORS)
def test_a_bad_answer_is_refused_before_anything_is_drawn(axes, predict, y, kind, message):
    with pytest.raises(kind, match=message):
        plot.decision_regions(predict, X, y, ax=axes[0], resolution=5)
    assert not axes[0].has_data()


@pytest.mark.parametrize("bad", [1, 0, 2.5, "200", None])
def test_a_bad_resolution_is_refused(axes, bad):
    with pytest.raises(UsageError, match=r"resolution must be an int .*; write resolution=200"):
        plot.decision_regions(right_half, X, Y, ax=axes[0], resolution=bad)


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_a_bad_padding_is_refused(axes, bad):
    with pytest.raises(UsageError, match=r"padding must be .*; write padding=0\.1"):
        plot.decision_regions(right_half, X, Y, ax=axes[0], padding=bad)


def test_the_models_own_error_comes_through(axes):
    with pytest.raises(ZeroDivisionError):
        plot.decision_regions(lambda p: 1 / 0, X, Y, ax=axes[0])


# --- loss curves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "losses",
    [
        [3.0, 2.0, 1.0],
        (3, 2, 1),
        np.array([3, 2, 1]),
        Node([3.0, 2.0, 1.0]),
        [Scalar(3.0), Scalar(2.0), 1.0],
        [Node(3.0), Node(2.0), np.float32(1.0)],
        [mg.Value(3.0), mg.Tensor(2.0), 1.0],
        mg.Tensor([3.0, 2.0, 1.0]),
    ],
)
def test_a_curve_shows_its_losses_against_the_step(axes, losses):
    (line,) = plot.loss_curve(losses, ax=axes[0]).lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(line.get_ydata(), [3, 2, 1])
    assert axes[0].get_legend() is None
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("step", "loss")


def test_a_dict_draws_one_named_curve_each_in_its_own_colour_and_dash(axes):
    ax = plot.loss_curve({"sgd": [3, 2], "adam": [3, 1, 0]}, ax=axes[0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sgd", "adam"]
    sgd, adam = ax.lines
    assert sgd.get_color() != adam.get_color()
    assert sgd.get_linestyle() != adam.get_linestyle()
    np.testing.assert_array_equal(adam.get_ydata(), [3, 1, 0])


def test_a_second_call_continues_the_colours(axes):
    plot.loss_curve([1, np.nan], ax=axes[0], label="first")
    ax = plot.loss_curve([2, 1], ax=axes[0], label="second")
    named = {line.get_label(): line.get_color() for line in ax.lines}
    assert (named["first"], named["second"]) == plot.axes.COLORS[:2]


def test_a_diverged_curve_is_drawn_as_far_as_it_goes_and_marked(axes):
    curve, cross = plot.loss_curve([1.0, 5.0, np.inf, np.nan], ax=axes[0]).lines
    np.testing.assert_array_equal(curve.get_ydata(), [1, 5, np.nan, np.nan])
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (1, 5)
    assert cross.get_marker() == "x"


def test_a_single_loss_is_visible(axes):
    (line,) = plot.loss_curve([1.0], ax=axes[0]).lines
    assert line.get_marker() == "o"


def test_log_and_axis_names(axes):
    ax = plot.loss_curve([1, 0.1], ax=axes[0], log=True, xlabel="epoch", ylabel="error")
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "epoch", "error")
    assert plot.loss_curve([1, 0.1], ax=axes[1]).get_yscale() == "linear"


LOSS_ERRORS = [
    ([], {}, ShapeError, r"one number per step.*got shape \(0,\)"),
    (1.5, {}, ShapeError, r"got shape \(\)"),
    ([[1, 2], [3, 4]], {}, ShapeError, r"got shape \(2, 2\); write a dict"),
    ({"sgd": []}, {}, ShapeError, "losses of 'sgd' must be one number per step"),
    ({}, {}, UsageError, "losses is an empty dict"),
    ({"a": [1]}, {"label": "b"}, UsageError, "label='b' names a single curve"),
    (["a"], {}, DTypeError, "losses must be real numbers"),
    ([np.nan, np.inf], {}, NonFiniteError, "losses has no finite number, it starts with nan"),
    ([1.0, 0.0], {"log": True}, UsageError, r"losses is 0\.0 at step 1.*write log=False"),
    ([np.nan, -2.0], {"log": True}, UsageError, r"losses is -2\.0 at step 1"),
]


@pytest.mark.parametrize(("losses", "options", "kind", "message"), LOSS_ERRORS)
def test_bad_losses_are_refused_before_anything_is_drawn(axes, losses, options, kind, message):
    with pytest.raises(kind, match=message):
        plot.loss_curve(losses, ax=axes[0], **options)
    assert not axes[0].has_data()


# Activations


def test_an_activation_is_drawn_with_its_derivative(axes):
    drawn = plot.activation(mg.tanh, ax=axes[0], low=-2.0, high=3.0)
    assert drawn is axes[0]
    assert not axes[1].lines
    *_, curve, slope = drawn.get_lines()
    x = curve.get_xdata()
    assert (x[0], x[-1], drawn.get_xlim()) == (-2.0, 3.0, (-2.0, 3.0))
    np.testing.assert_array_equal(curve.get_ydata(), np.tanh(x))
    np.testing.assert_allclose(slope.get_ydata(), 1.0 - np.tanh(x) ** 2, rtol=1e-12)
    assert [text.get_text() for text in drawn.get_legend().get_texts()] == ["tanh", "derivative"]


def test_layers_and_learned_activations_are_drawn_too(axes):
    for layer in (mg.nn.ELU(0.5), mg.nn.PReLU(), mg.nn.Swish()):
        drawn = plot.activation(layer, ax=axes[0])
        assert drawn.get_lines()[-2].get_label() == repr(layer)
        np.testing.assert_array_equal(
            drawn.get_lines()[-2].get_ydata(),
            plot.reading.plain(layer(np.linspace(-4.0, 4.0, 1001))),
        )
    plot.activation(mg.relu, legend=False)
    assert pyplot.gca().get_legend() is None


@pytest.mark.parametrize(
    ("f", "options", "error", "message"),
    [
        (mg.relu, {"low": 1.0, "high": 1.0}, UsageError, "low must be below high"),
        (mg.relu, {"high": np.inf}, UsageError, "both finite"),
        (mg.sum, {}, ShapeError, r"returned shape \(\); an activation returns as many"),
        (mg.relu, {"ax": "axes"}, UsageError, "ax must be one Matplotlib Axes"),
    ],
)
def test_what_is_no_activation_is_not_drawn(f, options, error, message):
    with pytest.raises(error, match=message):
        plot.activation(f, **options)


# Schedules


def test_a_schedule_is_drawn_from_step_1_on(axes):
    plot.schedule(mg.optim.schedules.cosine(0.4, 4), ax=axes[0], log=False)
    xs, ys = axes[0].lines[0].get_data()
    assert list(xs) == [1, 2, 3, 4, 5]  # its length, and one step more
    np.testing.assert_allclose(ys, [0.4, 0.2 + 0.2 / 2**0.5, 0.2, 0.2 - 0.2 / 2**0.5, 0.0])
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("step", "learning rate")


def test_several_schedules_are_named_and_as_long_as_the_longest(axes):
    s = mg.optim.schedules
    plot.schedule({"a": s.warmup(0.1, 3), "b": s.linear(1, 2, 6) * 2}, ax=axes[0], log=True)
    assert [line.get_label() for line in axes[0].lines] == ["a", "b"]
    assert [len(line.get_xdata()) for line in axes[0].lines] == [7, 7]
    assert axes[0].get_yscale() == "log"
    plot.schedule(lambda step: 1.0 / step, np.int64(9), ax=axes[1], ylabel="momentum")
    assert len(axes[1].lines[0].get_xdata()) == 9
    assert axes[1].get_ylabel() == "momentum"


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (0.1, {"steps": 5}, "schedules must be a function of the step, got 0.1"),
        ({"a": 0.1}, {"steps": 5}, "schedule 'a' must be a function"),
        (mg.optim.schedules.cosine, {"steps": 5}, "must be a function of the step, got <class"),
        ({}, {"steps": 5}, "schedules is an empty dict"),
        (mg.optim.schedules.constant(0.1), {}, "has no end; write steps=1000"),
        (mg.optim.schedules.constant(0.1), {"steps": 0}, "steps must be an int of at least 1"),
        (mg.optim.schedules.constant(0.1), {"steps": 1.5}, "steps must be an int of at least 1"),
        (mg.optim.schedules.linear(1, 0, 4), {"log": True}, "is 0.0 at step 5, which a log"),
        ({"a": np.sqrt}, {"steps": 5, "label": "b"}, "label='b' names a single curve"),
    ],
)
def test_a_bad_schedule_is_refused_before_anything_is_drawn(axes, given, options, message):
    with pytest.raises(UsageError, match=message):
        plot.schedule(given, ax=axes[0], **options)
    assert not axes[0].lines


# Taylor approximations


def test_a_function_is_drawn_with_its_approximations(axes):
    drawn = plot.taylor(mg.cos, [Approximation(1.0, 0), Approximation(1.0, 2)], ax=axes[0])
    curve, flat, dot, square, _ = drawn.get_lines()
    x = curve.get_xdata()
    assert (x[0], x[-1], drawn.get_xlim()) == (-3.0, 5.0, (-3.0, 5.0))
    np.testing.assert_array_equal(curve.get_ydata(), np.cos(x))
    np.testing.assert_array_equal(flat.get_ydata(), np.ones_like(x))
    np.testing.assert_array_equal(square.get_ydata(), (x - 1.0) ** 2)
    assert dot.get_xydata().tolist() == [[1.0, 1.0]]
    low, high = drawn.get_ylim()
    assert -2.0 < low < -1.0 < 1.0 < high < 2.0  # not where the approximations have gone
    names = [text.get_text() for text in drawn.get_legend().get_texts()]
    assert names == ["cos", "order 0", "order 2"]


def test_approximations_are_named_apart(axes):
    two = [Approximation(0.0, 2), Approximation(1.0, 2)]
    drawn = plot.taylor(lambda x: 3.0, two, ax=axes[0], low=-1.0, high=2.0)
    names = [text.get_text() for text in drawn.get_legend().get_texts()]
    assert names == ["f", "order 2 at 0", "order 2 at 1"]
    assert drawn.get_xlim() == (-1.0, 2.0)
    named = plot.taylor(mg.log, {"best": two[1]}, ax=axes[1], legend=False)
    assert named.get_legend() is None
    assert named.get_lines()[1].get_label() == "best"


@pytest.mark.parametrize(
    ("f", "given", "options", "error", "message"),
    [
        (mg.cos, mg.cos, {}, UsageError, r"polynomials in one number, got .*; write optim.taylor"),
        (mg.cos, [], {}, UsageError, "give at least one"),
        (mg.cos, Approximation(0.0, 1), {"low": 9.0}, UsageError, "low must be below high"),
        (lambda x: [x, x], Approximation(0.0, 1), {}, ShapeError, r"returned shape \(2,\)"),
        (lambda x: np.nan, Approximation(0.0, 1), {}, NonFiniteError, "nowhere finite from -4 to"),
    ],
)
def test_what_is_no_approximation_is_not_drawn(axes, f, given, options, error, message):
    with pytest.raises(error, match=message):
        plot.taylor(f, given, ax=axes[0], **options)
    assert not axes[0].has_data()


# Spectra


def test_spectra_are_drawn_over_each_other(axes):
    sharp, broad = Density([0.0, 1.0, 2.0], [0.0, 8.0, 0.0]), Density([0.0, 9.0], [1.0, 1e-9])
    drawn = plot.spectrum({"sharp": sharp, "broad": broad}, ax=axes[0])
    assert [line.get_label() for line in drawn.lines] == ["sharp", "broad"]
    assert drawn.lines[0].get_color() != drawn.lines[1].get_color()
    assert drawn.get_yscale() == "log"
    assert drawn.get_ylim() == (8e-4, 16.0)
    assert drawn.get_legend() is not None
    alone = plot.spectrum(sharp, ax=axes[1], log=False)
    assert alone.get_yscale() == "linear"
    assert alone.get_ylim()[0] == 0.0
    assert alone.get_legend() is None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1.0], UsageError, "a grid and a density, got list; write"),
        (Density([0.0, 1.0], [1.0]), ShapeError, r"got shapes \(2,\) and \(1,\)"),
        (Density(0.0, 1.0), ShapeError, r"got shapes \(\) and \(\)"),
        (Density([0.0, 1.0], [0.0, 0.0]), UsageError, "nowhere positive"),
    ],
)
def test_what_is_no_spectrum_is_not_drawn(axes, given, error, message):
    with pytest.raises(error, match=message):
        plot.spectrum(given, ax=axes[0])
    assert not axes[0].has_data()
