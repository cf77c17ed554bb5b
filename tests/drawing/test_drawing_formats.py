"""Every format: valid whatever the names, honest about what is missing, saved in one step."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import drawing_graphs as graphs
import pytest

from microgradopt import Drawing, Value, draw
from microgradopt.drawing import program
from microgradopt.drawing.dot import quote
from microgradopt.drawing.mermaid import escape
from microgradopt.drawing.renderers import RENDERERS
from microgradopt.drawing.text import clean
from microgradopt.errors import GraphError, MissingExtraError, UsageError

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
needs_sh = pytest.mark.skipif(os.name != "posix", reason="the fake dot is a shell script")
SVG = "{http://www.w3.org/2000/svg}"

# One token of DOT: a quoted string, an HTML-like string (brackets balanced by xml), or the rest.
DOT_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|<(?:[^<>]|<[^<>]*>)*>|->|[\w.]+|[\[\]{}=;,]|\s+', re.S)


def dot_tokens(text):
    place, tokens = 0, []
    while place < len(text):
        match = DOT_TOKEN.match(text, place)
        assert match, f"not DOT at {text[place : place + 40]!r}"
        place = match.end()
        tokens.append(match[0])
    return tokens


def without_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def with_fake_dot(monkeypatch, tmp_path, script):
    fake = tmp_path / "dot"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(program, "TIME_LIMIT", 0.5)


def nasty(name):
    x = Value(1.0, name=name)
    y = x * 2.0
    y.name = name
    return draw(y, title=name)


@pytest.mark.parametrize("name", graphs.NASTY_NAMES)
class TestAnyName:
    @pytest.mark.parametrize("engine", ["auto", "builtin"])
    def test_svg_is_xml_and_shows_it(self, name, engine):
        root = ET.fromstring(nasty(name).svg(engine=engine).encode())
        shown = [text.text for text in root.iter(f"{SVG}text")]
        assert shown.count(clean(name)) == 3  # two boxes and the title

    def test_dot_is_well_formed(self, name):
        tokens = dot_tokens(nasty(name).dot())
        labels = [t for t in tokens if t.startswith("<")]
        assert len(labels) == 3
        for label in labels:
            ET.fromstring(f"<label>{label[1:-1].replace('&nbsp;', ' ')}</label>")

    @needs_dot
    def test_dot_program_shows_it(self, name):
        svg = program.run_dot(nasty(name).dot(), "svg")
        texts = [t.text.replace("\u200b", "") for t in ET.fromstring(svg).iter(f"{SVG}text")]
        shown = [t.replace("\xa0", " ") for t in texts]
        assert shown.count(clean(name)) == 3

    def test_html_parses_and_holds_the_svg(self, name):
        page = nasty(name).html()
        HTMLParser().feed(page)
        svg = page[page.index("<svg") : page.index("</svg>") + 6]
        ET.fromstring(svg.encode())
        assert page.count("<script>") == 1
        assert "http" not in page.replace("http://www.w3.org/2000/svg", "")

    def test_mermaid_keeps_its_syntax(self, name):
        text = nasty(name).mermaid()
        nodes = [line for line in text.splitlines() if re.match(r"  n\d+[(\[]", line)]
        assert len(nodes) == 3
        for line in nodes:
            assert re.fullmatch(r'  n\d+(\(|\(\[)"[^"]*"(\)|\]\)):::\w+', line)

    def test_every_format_can_be_written_as_utf8(self, name):
        drawing = nasty(name)
        for text in (drawing.svg(), drawing.dot(), drawing.html(), drawing.mermaid()):
            text.encode()


def test_quote_survives_the_quoting_of_the_graphviz_package():
    graphviz = pytest.importorskip("graphviz")
    for name in graphs.NASTY_NAMES:
        text = clean(name)
        if text.isascii() and "&" not in text and "\\" not in text and not text.isalnum():
            assert quote(text) == graphviz.quoting.quote(graphviz.escape(text))


def test_mermaid_escapes_what_it_would_read():
    assert escape('a"b<c>#d') == "a#34;b#60;c#62;#35;d"


@pytest.mark.parametrize("engine", ["auto", "builtin"])
def test_the_svg_shows_values_gradients_and_tooltips(engine):
    x = Value(0.1 + 0.2, name="x")
    y = x * 2.0
    y.backward()
    root = ET.fromstring(draw(y, title="a title").svg(engine=engine))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert {"a title", "x", "0.3", "×", "0.6", "2.0", "data", "grad"} <= set(texts)
    assert "x = leaf\ndata 0.30000000000000004\ngrad 2.0" in titles


@pytest.mark.parametrize("engine", ["auto", "builtin"])
def test_nan_is_highlighted(engine):
    svg = draw(Value(float("nan"), name="x")).svg(engine=engine)
    assert "mg-broken" in svg
    assert 'class="mg-value mg-alarm"' in svg
    assert "#dc2626" in draw(Value(float("nan"))).dot()


def test_a_repeated_operand_has_two_arrows_in_every_text():
    a = Value(3.0)
    drawing = draw(a + a)
    assert drawing.dot().count("n0 -> n1") == 2
    assert drawing.mermaid().count("n0 --> n1") == 2
    for engine in ("auto", "builtin"):
        arrows = ET.fromstring(drawing.svg(engine=engine)).findall(f".//{SVG}g[@marker-end]/*")
        assert len({arrow.attrib["d"] for arrow in arrows}) == 2


def test_a_chain_of_a_hundred_thousand_becomes_dot():
    text = draw(graphs.chain(100_000)).dot()
    assert text.count(" -> ") == 200_000


@pytest.mark.parametrize("suffix", sorted(RENDERERS))
def test_save_writes_each_format(tmp_path, suffix):
    if suffix in ("png", "pdf") and shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    path = tmp_path / f"graph.{suffix.upper()}"
    path.write_text("old")
    assert draw(graphs.circuit()).save(path) == path
    start = {"svg": b"<svg", "html": b"<!DOCTYPE html>", "dot": b"digraph", "mmd": b"flowchart"}
    start |= {"png": b"\x89PNG", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(start[suffix])
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["graph.jpeg", "graph", "graph.", ".svg"])
def test_an_unknown_suffix_lists_the_choices(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf, \.html, \.dot, \.mmd"):
        draw(Value(1.0)).save(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        draw(Value(1.0)).save(tmp_path / "none" / "graph.svg")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "graph.png"
    path.write_text("old")
    without_dot(monkeypatch, tmp_path)
    with pytest.raises(MissingExtraError, match="png needs Graphviz's dot program"):
        draw(Value(1.0)).save(path)
    assert path.read_text() == "old"


def test_an_unknown_engine_is_refused():
    with pytest.raises(UsageError, match='engine must be "auto", "dot" or "builtin"'):
        draw(Value(1.0)).svg(engine="neato")


def test_without_dot_the_built_in_layout_is_used(monkeypatch, tmp_path):
    drawing = draw(graphs.circuit())
    without_dot(monkeypatch, tmp_path)
    assert drawing.svg() == drawing.svg(engine="builtin")
    with pytest.raises(MissingExtraError, match="svg or html"):
        drawing.svg(engine="dot")


@needs_sh
@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 30",
        "exit 3",
        "echo rubbish",
        "echo '{}'",
        'echo \'{"bb": "0,0,1,1", "objects": [{"name": "n99", "pos": "1,1"}]}\'',
        'echo \'{"bb": "0,0,1,1", "objects": [{"name": "n0", "pos": "nan,1"}]}\'',
        "printf '\\377\\376'",
        "kill -9 $$",
    ],
)
def test_a_broken_dot_is_replaced_by_the_built_in_layout(monkeypatch, tmp_path, script):
    drawing = draw(graphs.circuit())
    with_fake_dot(monkeypatch, tmp_path, script)
    expected = drawing.svg(engine="builtin")
    assert drawing.svg() == expected
    assert drawing._repr_svg_() == expected
    assert drawing._repr_mimebundle_()["image/svg+xml"] == expected
    with pytest.raises(GraphError, match="dot"):
        drawing.svg(engine="dot")


@needs_sh
def test_a_dot_that_cannot_run_is_replaced_too(monkeypatch, tmp_path):
    drawing = draw(graphs.circuit())
    with_fake_dot(monkeypatch, tmp_path, "")
    (tmp_path / "dot").write_bytes(b"#!/no/such/interpreter\n")
    assert drawing.svg() == drawing.svg(engine="builtin")


def test_showing_never_raises(monkeypatch):
    drawing = draw(graphs.circuit())
    monkeypatch.setattr("microgradopt.drawing.renderers.layered", lambda *_: 1 / 0)
    monkeypatch.setattr("microgradopt.drawing.renderers.placed_by_dot", lambda *_: 1 / 0)
    assert drawing._repr_svg_() is None
    assert drawing._repr_mimebundle_() == {"text/plain": repr(drawing)}


def test_a_huge_picture_is_shown_as_text():
    drawing = draw(graphs.chain(4000))
    assert drawing._repr_svg_() is None
    assert "4,001 boxes and 8,000 arrows" in drawing._repr_mimebundle_()["text/plain"]
    assert isinstance(drawing, Drawing)


@needs_dot
@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("nodes", [graphs.circuit, graphs.tensor_loss, lambda: Value(1.0)])
def test_dot_and_built_in_draw_the_same_things(nodes, direction):
    drawing = draw(nodes(), direction=direction)
    pictures = [ET.fromstring(drawing.svg(engine=engine)) for engine in ("dot", "builtin")]
    texts = [sorted(t.text for t in root.iter(f"{SVG}text")) for root in pictures]
    assert texts[0] == texts[1]
    arrows = [len(root.findall(f".//{SVG}g[@marker-end]/*")) for root in pictures]
    assert arrows[0] == arrows[1] == len(drawing.scene.arrows)


@needs_dot
def test_real_dot_takes_our_dot():
    for nodes in (graphs.circuit(), graphs.tensor_loss(), graphs.random_graph(1)):
        for direction in ("LR", "TB"):
            text = draw(nodes, direction=direction, title="t").dot()
            run = subprocess.run(
                ["dot", "-Tsvg"], input=text.encode(), capture_output=True, timeout=600, check=True
            )
            warned = run.stderr.decode().replace("Warning: no hard-coded metrics", "")
            assert "rror" not in warned
