"""Train 20 steps, save, load in another process, train 20 more: bit for bit as 40 in one go.

Every optimizer, schedule and layer with parameters that the library exports is in it by itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from resume_cases import HALF, cases

import microgradopt as mg


def test_every_resumed_training_ends_as_one_in_one_go(tmp_path):
    for name, make in cases().items():
        training = make()
        training.go_on(HALF)
        mg.save(tmp_path / f"{name}.half", **training.things)
        training.go_on(HALF)
        mg.save(tmp_path / f"{name}.straight", **training.things)
    script = Path(__file__).with_name("resume_cases.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = [n for n in cases() if contents[f"{n}.resumed"] != contents[f"{n}.straight"]]
    still = [n for n in cases() if contents[f"{n}.half"] == contents[f"{n}.straight"]]
    assert (other, still) == ([], [])
    assert len(contents) > 1000
