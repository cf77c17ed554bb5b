"""What a Scene says: kinds, texts, repeated operands, limits."""

import drawing_graphs as graphs
import numpy as np
import pytest

from microgradopt import Tensor, Value, draw
from microgradopt.drawing.scene import operands_first
from microgradopt.drawing.text import clean, exact, number, parameters, summary, width
from microgradopt.errors import DTypeError, UsageError


def test_the_circuit_reads_as_on_the_blackboard():
    scene = draw(graphs.circuit()).scene
    told = {
        box.name: (box.kind, box.symbol, [(line.label, line.text) for line in box.lines])
        for box in scene.boxes
    }
    assert told["x"] == ("leaf", "", [("data", "−2.0"), ("grad", "−4.0")])
    assert told["z"] == ("leaf", "", [("data", "−4.0"), ("grad", "3.0")])
    assert told["q"] == ("inner", "+", [("data", "3.0"), ("grad", "−4.0")])
    assert told["f"] == ("output", "×", [("data", "−12.0"), ("grad", "1.0")])


def test_every_arrow_comes_from_an_earlier_box():
    scene = draw(graphs.random_graph(0)).scene
    assert all(arrow.tail < arrow.head for arrow in scene.arrows)
    assert [arrow.head for arrow in scene.arrows] == sorted(arrow.head for arrow in scene.arrows)


def test_a_repeated_operand_has_two_arrows():
    a = Value(3.0, name="a")
    scene = draw(a + a).scene
    assert len(scene.boxes) == 2
    assert [(arrow.tail, arrow.head, arrow.slot) for arrow in scene.arrows] == [
        (0, 1, 0),
        (0, 1, 1),
    ]


def test_operands_keep_their_order():
    a, b = Value(1.0, name="a"), Value(2.0, name="b")
    scene = draw([a - b, b - a]).scene
    names = [scene.boxes[arrow.tail].name for arrow in scene.arrows]
    assert names == ["a", "b", "b", "a"]


def test_constants_and_fixed_leaves_are_told_apart():
    x = Value(1.0, name="x", requires_grad=False)
    y = Value(2.0, name="y")
    kinds = {box.name or box.lines[0].text: box.kind for box in draw(x * y + 10.0).scene.boxes}
    assert kinds["x"] == "fixed"
    assert kinds["y"] == "leaf"
    assert kinds["10.0"] == "constant"


def test_arrays_show_shape_range_and_parameters():
    boxes = draw(graphs.tensor_loss()).scene.boxes
    by_name = {box.name: box for box in boxes if box.name}
    shape, data, grad = by_name["W"].lines
    assert shape.text == "(2, 8)"
    assert "…" in data.text
    assert "…" in grad.text
    assert [line.label for line in by_name["X"].lines] == ["shape", "data"]
    assert any(box.detail == "axis=0" for box in boxes)
    assert any(box.kind == "constant" and "(8,)" in box.lines[0].text for box in boxes)


def test_small_arrays_show_their_entries_and_other_dtypes_their_name():
    t = Tensor(np.array([1.0, -2.5], dtype=np.float32), name="t")
    shape, data = draw(t).scene.boxes[0].lines
    assert shape.text == "(2,) float32"
    assert data.text == "[1.0, −2.5]"


def test_nan_and_infinity_are_marked():
    bad = Value(float("inf"), name="bad")
    boxes = {box.name: box for box in draw([bad * 0.0, bad]).scene.boxes}
    assert boxes["bad"].alarm
    assert boxes[""].lines[0].text == "nan"
    t = Tensor(np.array([1.0, np.nan, np.inf, 2.0, 3.0]))
    assert draw(t).scene.boxes[0].lines[1].text == "1 nan, 1 inf, 1.0 … 3.0"


def test_rows_can_be_switched_off():
    f = graphs.circuit()
    labels = {
        line.label for box in draw(f, values=False, grads=False).scene.boxes for line in box.lines
    }
    assert labels == set()
    labels = {line.label for box in draw(f, grads=False).scene.boxes for line in box.lines}
    assert labels == {"data"}


def test_a_limit_keeps_the_nodes_nearest_to_the_output_and_says_so():
    scene = draw(graphs.chain(50), max_nodes=4).scene
    kinds = [box.kind for box in scene.boxes]
    assert kinds.count("more") >= 1
    assert len(kinds) - kinds.count("more") == 4
    assert scene.note == "the 4 nodes nearest to the output, of 51"
    assert draw(graphs.circuit(), max_nodes=5).scene.note == ""


def test_a_drawing_is_a_snapshot():
    x = Value(1.0, name="x")
    drawing = draw(x * 2.0)
    before = drawing.svg(engine="builtin")
    x.data = 5.0
    assert drawing.svg(engine="builtin") == before


def test_a_leaf_assigned_after_its_use_is_drawn_first_and_marked():
    x = Value(1.0, name="x")
    y = x * 2.0
    x.data = 5.0
    assert operands_first([y, x]) == [x, y]
    box = draw(y).scene.boxes[0]
    assert (box.name, box.detail) == ("x", "reassigned")
    assert "assigned after" in box.tooltip


def test_several_outputs_and_one_given_twice():
    f = graphs.circuit()
    q = f.parents[0]
    boxes = draw([f, q, f]).scene.boxes
    assert [box.name for box in boxes if box.kind == "output"] == ["q", "f"]


@pytest.mark.parametrize("given", [3.0, np.ones(3), "x", None, [Value(1.0), 2.0]])
def test_things_that_are_no_nodes_are_refused(given):
    with pytest.raises(DTypeError, match=r"give it a Value or a Tensor"):
        draw(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "RL"}, "direction must be 'LR' or 'TB', got 'RL'"),
        ({"values": 1}, "values must be True or False, got 1"),
        ({"grads": None}, "grads must be True or False, got None"),
        ({"max_nodes": 0}, "max_nodes must be a positive int"),
        ({"max_nodes": True}, "max_nodes must be a positive int"),
        ({"max_nodes": 2.0}, "max_nodes must be a positive int"),
        ({"title": 3}, "title must be a str or None, got 3"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        draw(Value(1.0), **options)


def test_no_nodes_at_all_is_refused():
    with pytest.raises(UsageError, match="no nodes"):
        draw([])


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (-12.0, "−12.0"),
        (1.0, "1.0"),
        (0.881373587, "0.8814"),
        (123456.0, "1.235e5"),
        (12345.0, "12345.0"),
        (0.99999999, "1.0"),
        (1e-7, "1e−7"),
        (-0.0, "−0.0"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "−inf"),
        (5e-324, "4.941e−324"),
    ],
)
def test_numbers(x, text):
    assert number(x) == text


@pytest.mark.parametrize(
    ("data", "text", "alarm"),
    [
        (np.zeros((0, 3)), "no entries", False),
        (np.array(2.0), "2.0", False),
        (np.array([[1, 2], [3, -4]]), "[[1, 2], [3, −4]]", False),
        (np.array([True, False]), "[True, False]", False),
        (np.arange(9), "0 … 8", False),
        (np.full(9, 0.125), "all 0.125", False),
        (np.full(9, np.nan), "9 nan", True),
        (np.array([1 + 2j]), "complex128 entries", False),
        (np.array([None]), "object entries", False),
        (7, "7", False),
        (np.float32(0.5), "0.5", False),
        ("abc", "'abc'", False),
    ],
)
def test_summaries(data, text, alarm):
    assert summary(data) == (text, alarm)


def test_parameters_tell_only_what_is_worth_telling():
    assert parameters({"axis": None, "keepdims": False, "shape": ()}) == ""
    assert parameters({"axis": 0, "keepdims": True}) == "axis=0 keepdims=True"
    assert parameters({"key": (slice(None), slice(1, 9, 2), Ellipsis)}) == "key=[:, 1:9:2, …]"
    assert parameters({"key": (Ellipsis, np.arange(3))}) == "key=[…, array(3,) int64]"
    assert parameters({"key": np.arange(3)}) == "key=array(3,) int64"
    assert len(parameters({"text": "x" * 99})) == 28


def test_exact_keeps_every_digit_and_shortens_large_arrays():
    assert exact(0.1 + 0.2) == "0.30000000000000004"
    assert len(exact(np.zeros(10_000))) < 60


def test_clean_leaves_nothing_that_xml_forbids():
    assert clean("a\nb\x07\x00\ud800\ufffe\x85") == "a⏎b␇␀\ufffd\ufffd\ufffd"
    assert clean("日本語 ✓") == "日本語 ✓"


def test_wide_characters_are_wider():
    assert width("日本", 10) > width("ab", 10) > width("il", 10) > width("", 10) == 0
