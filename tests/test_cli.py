"""The command line: what it prints, what it writes, how it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import cli, datasets
from microgradopt.errors import MissingExtraError

PICTURES = ["circuit.svg", "moons.png", "mlp.svg", "spiral.png", "network.svg"]


@pytest.fixture
def short(monkeypatch):
    """A demo of a few steps."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    monkeypatch.setattr(cli, "MOONS_STEPS", 2)
    monkeypatch.setattr(cli, "SPIRAL_STEPS", 5)


def fails(arguments, capsys, status):
    """Run the command line, which must exit with ``status``; returns what it said."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == status
    return capsys.readouterr().err


def test_the_demo_prints_its_three_parts_and_writes_five_pictures(short, tmp_path, capsys):
    out = tmp_path / "deep" / "demo"
    assert cli.main(["demo", "--out", str(out), "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert "1. A circuit of three numbers: f = (x + y) * z" in text
    assert "f = -12    df/dx = -4    df/dy = -4    df/dz = 3" in text
    assert "2. 337 scalar weights on two moons of 100 points" in text
    assert "3. A 2–100–3 network on a spiral of 300 points" in text
    assert len(re.findall(r"loss \d\.\d{3} → \d\.\d{3}, training accuracy \d+\.\d%", text)) == 2
    assert sorted(p.name for p in out.iterdir()) == sorted(PICTURES)
    listed = text.split("Files written:\n")[1].split()
    assert listed == [str(out / name) for name in PICTURES]
    for name in PICTURES:
        check_picture(out / name)


def check_picture(path):
    data = path.read_bytes()
    if path.suffix == ".svg":
        assert ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"
        return
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    image = pytest.importorskip("matplotlib.image").imread(path)
    assert image.shape[:2] == (528, 1200)
    assert np.std(image) > 0.01  # not blank


def test_the_circuit_shows_its_values_and_gradients(tmp_path, capsys):
    (path,) = cli.circuit(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert all(number in text for number in ("-12", "-4", "3"))


def test_a_second_run_writes_over_the_first(short, tmp_path, capsys):
    for _ in range(2):
        assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(PICTURES)


@pytest.mark.parametrize("seed", range(5))
def test_the_spiral_is_learned_from_every_seed(seed, capsys):
    X, y = datasets.spiral(100, 3, rng=seed)
    model, losses = cli.train_spiral(X, y, seed)
    assert np.mean(model(X).argmax(axis=1) == y) >= 0.97
    assert losses[0] == pytest.approx(np.log(3), abs=0.01)
    assert len(losses) == cli.SPIRAL_STEPS
    assert losses[-1] < 0.4


@pytest.mark.parametrize("missing", ["matplotlib", "tqdm"])
def test_a_missing_extra_is_named(missing, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    error = fails(["demo", "--out", str(tmp_path / "demo")], capsys, 1)
    assert error.startswith("microgradopt: the demo needs")
    assert missing in error
    assert "pip install 'microgradopt[plot,train]'" in error
    assert "Traceback" not in error
    assert not (tmp_path / "demo").exists()
    with pytest.raises(MissingExtraError):
        cli.demo(tmp_path / "demo")


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == mg.__version__


@pytest.mark.parametrize(
    "arguments", [[], ["show"], ["demo", "--seed", "one"], ["demo", "--frames", "3"]]
)
def test_a_wrong_command_shows_the_usage(arguments, capsys):
    error = fails(arguments, capsys, 2)
    assert error.startswith("usage: microgradopt")
    assert "error:" in error


def test_help_names_the_options(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--out" in text
    assert "--seed" in text


def test_a_seed_below_zero_is_refused(short, tmp_path, capsys):
    error = fails(["demo", "--out", str(tmp_path), "--seed", "-3"], capsys, 1)
    assert error == "microgradopt: rng as a seed must be 0 or more, got -3; write rng=3\n"


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_file_where_the_folder_should_be(short, inside, tmp_path, capsys):
    file = tmp_path / "taken"
    file.write_text("mine", encoding="utf-8")
    error = fails(["demo", "--out", str(file / inside)], capsys, 1)
    assert error.startswith("microgradopt: ")
    assert "taken" in error
    assert "Traceback" not in error
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_is_not_writable(short, tmp_path, capsys):
    tmp_path.chmod(0o500)
    try:
        error = fails(["demo", "--out", str(tmp_path / "demo")], capsys, 1)
    finally:
        tmp_path.chmod(0o700)
    assert "Permission denied" in error


def test_the_module_runs_as_a_program(tmp_path):
    """Also where the terminal knows no arrows, and with an error rather than a traceback."""
    code = (
        "import sys; from microgradopt import cli; cli.MOONS_STEPS = cli.SPIRAL_STEPS = 2; "
        "sys.exit(cli.main())"
    )
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "MPLBACKEND": "agg"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "demo", "--out", str(tmp_path / "demo")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert (run.returncode, "Traceback" in run.stderr) == (0, False), run.stderr
    assert "Files written:" in run.stdout
    module = subprocess.run(
        [sys.executable, "-m", "microgradopt.cli", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert module.stdout.strip() == mg.__version__
