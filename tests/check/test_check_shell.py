"""``python -m microgradopt.check``."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest

import microgradopt.check.__main__ as entry
from microgradopt.check.__main__ import main

MODULE = """
import microgradopt as mg

def right(x, y, scale=2.0):
    return mg.sum(mg.sin(x) * y) * scale

def wrong(x):
    return x * mg.stop_gradient(x)

def stumbles(x):
    raise TypeError("a bug of one's own")

model = mg.nn.Linear(3, 2, rng=0)
number = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "shell_target.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("shell_target", None)


def run(capsys, *argv):
    code = main(argv)
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["shell_target:right"], ["argument 0", "argument 1", "1 of 1"]),
        (["shell_target:right", "--shapes", "2,3; 3"], ["6 of 6", "3 of 3"]),
        (["shell_target:right", "--shapes", "2; "], ["2 of 2", "1 of 1"]),
        (["shell_target:right", "--args", "np.ones(2), mg.Value(0.5)", "--order", "2"], ["over"]),
        (["shell_target:right", "--method", "taylor", "--modes", "forward"], ["h^"]),
        (["shell_target:model", "--shapes", "4,3", "--rng", "3"], ["f: weight"]),
        (["microgradopt:hypot"], ["hypot: its rule is right at its sample"]),
        (["microgradopt:hypot", "--args", "3.0, 4.0"], ["argument 1"]),
        (["microgradopt:nn.mse", "--args", "np.ones(2), np.zeros(2)"], ["argument 0"]),
    ],
)
def test_what_is_right(here, capsys, argv, shown):
    code, out = run(capsys, *argv)
    assert code == 0
    assert all(text in out for text in shown)


def test_what_is_wrong(here, capsys):
    code, out = run(capsys, "shell_target:wrong", "--args", "3.0")
    assert code == 1
    assert "they disagree" in out
    assert "operation:" in out


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["shell_target"], "give module:function"),
        (["shell_target:"], "give module:function"),
        (["shell_target:missing"], "has no 'missing'"),
        (["shell_target:number"], "is int, which cannot be called"),
        (["no_such_module:f"], "No module named"),
        (["shell_target:right", "--shapes", "a"], "'a' is not a shape"),
        (["shell_target:right", "--args", "1 +"], "SyntaxError"),
        (["shell_target:right", "--args", "nothing"], "NameError"),
        (["shell_target:right", "--order", "0"], "order must be"),
        (["microgradopt:greater"], "no derivative rule"),
        (["shell_target:right", "--args", "1.0"], "missing a required argument: 'y'"),
        (["shell_target:wrong", "--shapes", "2; 2"], "too many positional arguments"),
    ],
)
def test_calls_that_make_no_sense(here, capsys, argv, text):
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    assert text in capsys.readouterr().err


def test_an_error_of_the_function_keeps_its_traceback(here):
    with pytest.raises(TypeError, match="a bug of one's own"):
        main(["shell_target:stumbles"])


def test_from_a_shell(here):
    command = [sys.executable, "-m", "microgradopt.check", "shell_target:wrong"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "suspicion" in done.stdout or "operation" in done.stdout


def test_the_file_itself_runs(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check", "shell_target:right"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(entry.__file__, run_name="__main__")
    assert left.value.code == 0
    assert "right" in capsys.readouterr().out
