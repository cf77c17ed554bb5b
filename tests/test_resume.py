"""Train 20 steps, save, load in another process, train 20 more: bit for bit as 40 in one go.

Every optimizer, schedule and layer with parameters that the library exports is in it by itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from resume_cases import HALF, cases

import microgradopt as mg

CASES = cases()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Every training twice: in one go, and stopped, saved and gone on with elsewhere."""
    folder = tmp_path_factory.mktemp("resume")
    for name, make in CASES.items():
        training = make()
        training.go_on(HALF)
        mg.save(folder / f"{name}.half", **training.things)
        training.go_on(HALF)
        mg.save(folder / f"{name}.straight", **training.things)
    script = Path(__file__).with_name("resume_cases.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_training_ends_as_one_in_one_go(saved, name):
    straight, resumed = (saved / f"{name}.{how}" for how in ("straight", "resumed"))
    assert resumed.read_bytes() == straight.read_bytes()
    assert straight.read_bytes() != (saved / f"{name}.half").read_bytes()
