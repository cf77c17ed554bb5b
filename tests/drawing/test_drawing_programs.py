"""Compiled programs as pictures: every entry, instruction, guard and result says what it is."""

import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, draw, nn, optim
from microgradopt.compiler.program import Call, Guard, Host, Instruction, Program, Var
from microgradopt.drawing.layout import BOX_GAP, empty_bands, layered
from microgradopt.drawing.look import box_size
from microgradopt.drawing.mermaid import to_mermaid
from microgradopt.engine.ops.elementwise import add, multiply
from microgradopt.engine.rules import reshape_to
from microgradopt.errors import DTypeError, UsageError

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def traced(function, *args):
    """The scene of a jitted function after two calls, the second of which is its program's."""
    jitted = mg.jit(function)
    jitted(*args)
    jitted(*args)
    return draw(jitted).scene


def rows(box):
    return {line.label: line.text for line in box.lines}


def only(scene, kind):
    (found,) = [box for box in scene.boxes if box.kind == kind]
    return found


def network():
    rng = np.random.default_rng(0)
    w = Tensor(rng.normal(size=(2, 3)), name="W")
    optimizer = optim.Adam([("W", w)], lr=0.1)

    def step(X):
        loss = mg.mean(mg.tanh(X @ w) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, rng.normal(size=(5, 2))


def test_arguments_constants_and_results():
    def slope(x):
        return mg.tanh(x) * 3.0

    scene = traced(slope, np.ones(2))
    assert scene.title == "slope"
    assert [(box.kind, box.name, box.symbol) for box in scene.boxes] == [
        ("argument", "x", ""),
        ("inner", "", "tanh"),
        ("constant", "", ""),
        ("output", "", "×"),
    ]
    x, tanh, constant, result = scene.boxes
    assert rows(x) == rows(tanh) == {"shape": "(2,)"}
    assert constant.lines[0].text == "3.0"
    assert rows(result) == {"shape": "(2,)", "to": "returned"}
    assert {(a.tail, a.head) for a in scene.arrows} == {(0, 1), (1, 3), (2, 3)}


def test_the_tooltip_quotes_the_users_line():
    def slope(x):
        return mg.tanh(x)

    tooltip = only(traced(slope, np.ones(2)), "output").tooltip.split("\n")
    assert tooltip[:3] == ["tanh", "float64 array of shape (2,)", "→ returned"]
    assert tooltip[3].startswith("test_drawing_programs.py, line ")
    assert tooltip[3].endswith(" in slope")
    assert tooltip[4] == "return mg.tanh(x)"


def test_a_training_step_names_parameters_gradients_and_state():
    scene = traced(*network())
    kinds = {(box.kind, box.name) for box in scene.boxes if box.name}
    assert {("argument", "X"), ("leaf", "W"), ("state", "exp_avg"), ("state", "steps")} <= kinds
    moment = next(box for box in scene.boxes if box.name == "exp_avg")
    assert rows(moment) == {"shape": "(2, 3)", "of": "W"}
    assert moment.tooltip.startswith("Group._state['W']")
    written = {rows(box)["to"] for box in scene.boxes if "to" in rows(box)}
    assert {"W.data", "W.grad", "exp_avg of W", "steps of Adam", "returned"} <= written
    assert only(scene, "guard").symbol == "finite?"


def test_gradients_that_are_read_are_state():
    w = Value(2.0, name="w")
    w.grad = 1.0

    def more():
        w.grad = w.grad + w.data

    scene = traced(more)
    assert {(box.kind, box.name) for box in scene.boxes[:2]} == {("leaf", "w"), ("state", "w.grad")}
    assert rows(scene.boxes[2]) == {"to": "w.grad"}


def test_guards_and_calls_of_python_have_a_look_of_their_own():
    drop = nn.Dropout(0.5, rng=0)

    def f(x):
        return drop(x) if mg.sum(x).item() > 0.0 else x

    scene = traced(f, np.ones(3))
    guard, host = only(scene, "guard"), only(scene, "host")
    assert (guard.symbol, guard.detail) == ("guard", "True")
    assert host.symbol == "rng.random"
    diagram = to_mermaid(scene)
    assert "<b>guard True</b>" in diagram
    assert ":::host" in diagram
    assert "classDef host fill:" in diagram


def test_what_is_handed_on_is_an_output_of_its_own():
    scene = traced(lambda x: {"same": x, "one": np.ones(2)}, 1.5)
    assert [(box.kind, box.name, box.symbol) for box in scene.boxes] == [
        ("argument", "x", ""),
        ("output", "", "="),
        ("constant", "", ""),
        ("output", "", "="),
    ]
    assert rows(scene.boxes[1]) == {"to": "returned['same']"}
    assert scene.boxes[1].tooltip == "→ returned['same']"


def test_a_returned_node_brings_its_gradient():
    x = Value(2.0, name="x")

    def f():
        y = x * x
        y.backward()
        return [y]

    written = {rows(box).get("to") for box in traced(f).boxes}
    assert {"returned[0]", "returned[0].grad", "x.grad"} <= written


def test_entries_that_nothing_reads_are_left_out():
    scene = traced(lambda x, y: mg.exp(x), 1.0, 2.0)
    assert [box.name for box in scene.boxes if box.kind == "argument"] == ["x"]


def test_plain_programs_and_several_results_of_one_instruction():
    x, quotient, rest = Var(float, name="x"), Var(float), Var(float)
    flat, matrix = Var.like(np.ones(4, np.float32)), Var.like(np.ones((2, 2), np.float32))
    program = Program(
        [x, flat],
        [
            Instruction(Call("divmod", divmod), (x, 2.0), {}, (quotient, rest)),
            Instruction(reshape_to, (flat,), {"shape": (2, 2)}, (matrix,)),
            Instruction(Host("draw", float), (), {}, ()),
        ],
        [rest, matrix],
    )
    scene = draw(program).scene
    assert scene.title == ""
    boxes = {box.symbol: box for box in scene.boxes if box.symbol}
    assert rows(boxes["divmod"]) == {"to": "returned[0]"}
    assert boxes["divmod"].tooltip == "divmod\nfloat\nfloat\n→ returned[0]"
    assert rows(boxes["reshape"]) == {"shape": "(2, 2) float32", "to": "returned[1]"}
    assert boxes["reshape"].detail == "shape=(2, 2)"
    assert boxes["draw"].kind == "host"
    unnamed = scene.boxes[1]
    assert (unnamed.kind, unnamed.name) == ("argument", "")


def test_operands_that_are_no_numbers_are_told_in_words_and_arrows_come_from_within_them():
    x, i = Var.like(np.ones((4, 4)), "x"), Var(int, name="i")
    part = Var.like(np.ones(4))
    words = (x, (slice(1, None), i), (0, 1), "C")
    take = Instruction(Call("take", np.take), words, {"key": (i, np.ones(2))}, (part,))
    total = Var(np.float64)
    reduced = Instruction(Call("maximum.reduce", np.maximum.reduce), (part,), {"axis": 0}, (total,))
    scene = draw(Program([x, i], [take, reduced], [total])).scene
    box = scene.boxes[2]
    assert box.detail == "(0, 1) C key=[…, array(2,)]"
    assert [(a.tail, a.slot) for a in scene.arrows if a.head == 2] == [(0, 0), (1, 1), (1, 2)]
    assert (scene.boxes[3].symbol, scene.boxes[3].detail) == ("max", "axis=0")


def test_of_many_arrays_the_first_are_shown():
    made = tuple(Var.like(np.ones(n)) for n in range(6))
    scene = draw(Program([], [Instruction(Call("many", tuple), (), {}, made)], [made[0]])).scene
    assert [line.text for line in scene.boxes[0].lines] == [
        "(0,)", "(1,)", "(2,)", "3 more", "returned[0]",
    ]  # fmt: skip


def chain(length):
    """x doubled again and again, and a guard on the way."""
    x = last = Var(float, name="x")
    instructions = []
    for _ in range(length):
        out = Var(float)
        instructions.append(Instruction(multiply, (last, 2.0), {}, (out,)))
        last = out
    total = Var(float)
    instructions += [
        Instruction(add, (last, x), {}, (total,)),
        Instruction(Guard(True), (instructions[0].outs[0],), {}, ()),
    ]
    return Program([x], instructions, [total])


def test_a_limit_keeps_what_is_nearest_to_results_and_guards_and_says_so():
    scene = draw(chain(50), max_nodes=16).scene
    symbols = [box.symbol for box in scene.boxes if box.symbol]
    assert symbols == ["×"] * 13 + ["+", "guard"]
    kinds = [box.kind for box in scene.boxes]
    assert kinds.count("argument") == 1
    assert kinds.count("more") == 1
    assert scene.note == "the 16 boxes nearest to the results, of 53"
    assert draw(chain(50), max_nodes=53).scene.note == ""
    assert len([b for b in draw(chain(50), max_nodes=1).scene.boxes if b.symbol]) == 1


def test_a_limit_begins_with_what_is_returned():
    weights = [Value(1.0 + i, name=f"w{i}") for i in range(9)]

    def f(x):
        loss = sum(w * x for w in weights)
        loss.backward()
        return loss

    jitted = mg.jit(f)
    jitted(2.0)
    boxes = draw(jitted, max_nodes=20).scene.boxes
    shown = {rows(box)["to"] for box in boxes if box.kind == "output"}
    assert shown == {"returned", "returned.grad"}
    assert len([box for box in boxes if box.kind not in ("more", "constant")]) == 20


def test_every_format_draws_a_program(tmp_path):
    jitted = mg.jit(network()[0])
    jitted(np.ones((5, 2)))
    drawing = draw(jitted, title="a step", direction="TB")
    root = ET.fromstring(drawing.svg(engine="builtin").encode())
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a step", "exp_avg of W", "finite?"} <= set(texts)
    html = drawing.html(engine="builtin")
    assert "</i>argument <" in html
    assert "</i>guard" in html
    assert drawing.mermaid().startswith('---\ntitle: "a step"')
    assert drawing.dot().count(" -> ") == len(drawing.scene.arrows)


@needs_dot
def test_the_dot_program_takes_rows_without_a_label(tmp_path):
    made = tuple(Var.like(np.ones(n)) for n in range(6))
    program = Program([], [Instruction(Call("many", tuple), (), {}, made)], [made[0]])
    assert draw(program).save(tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")


@needs_dot
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_dot_program_draws_a_program(tmp_path, suffix):
    jitted = mg.jit(network()[0])
    jitted(np.ones((5, 2)))
    assert draw(jitted).save(tmp_path / f"step.{suffix}", engine="dot").stat().st_size > 5000


def test_a_function_that_was_never_called_has_nothing_to_draw():
    with pytest.raises(UsageError, match="no program before it is called"):
        draw(mg.jit(lambda x: x))


def test_a_jitted_method_is_drawn_and_what_only_has_a_program_is_not():
    class Model:
        program = "guitar"

        @mg.jit
        def double(self, x):
            return 2.0 * x

    model = Model()
    model.double(1.0)
    assert draw(model.double).scene.title == "double"
    with pytest.raises(DTypeError, match="function made by mg"):
        draw(model)


def test_a_program_of_nothing_is_refused():
    jitted = mg.jit(lambda x: None)
    jitted(1.0)
    with pytest.raises(UsageError, match="computes nothing"):
        draw(jitted)


def test_parts_that_are_not_connected_lie_next_to_each_other():
    parts = [Var(float) for _ in range(4)]
    results = [Var(float) for _ in range(4)]
    instructions = [
        Instruction(add, (x, float(i)), {}, (y,))
        for i, (x, y) in enumerate(zip(parts, results, strict=True))
    ]
    scene = draw(Program(parts, instructions, results)).scene
    sizes = np.array([box_size(box) for box in scene.boxes])
    placement = layered(scene, sizes)
    middle, half = placement.centres[:, 1], sizes[:, 1] // 2
    top, bottom = np.sort(middle - half), np.sort(middle + half)
    assert (top[1:] - bottom[:-1]).max() <= 2 * BOX_GAP


def test_empty_bands_are_closed_and_nothing_else_moves():
    y, breadth = np.array([500, 0, 10, 2000]), np.array([20, 40, 40, 20])
    assert empty_bands(y, breadth).tolist() == [
        490 - 30 - 2 * BOX_GAP, 0, 0, 490 - 30 + 1990 - 510 - 4 * BOX_GAP
    ]  # fmt: skip
