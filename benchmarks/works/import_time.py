"""Time to import, each in a fresh process, measured inside it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.harness import OURS, Contender, Sample, Target, Work, costs_at_most

ROOT = Path(__file__).parents[2]
# Installed packages are byte-compiled; so is the checkout here, whatever the shell says.
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
CODE = "from time import perf_counter as t; s = t(); import {0}; print(t() - s)"


def _sample(module: str) -> Sample:
    if importlib.util.find_spec(module) is None:
        raise ImportError(module)

    def sample() -> float:
        command = [sys.executable, "-c", CODE.format(module)]
        return float(
            subprocess.run(command, cwd=ROOT, env=ENV, check=True, capture_output=True).stdout
        )

    sample()  # byte-compiles what was not yet, and warms the disk cache
    return sample


def _contender(module: str, target: Target | None = None, rounds: int | None = None) -> Contender:
    return Contender(module, partial(_sample, module), target, rounds)


WORKS = (
    Work(
        "import",
        "import",
        lambda seconds: f"{1e3 * seconds:.0f} ms",
        (
            _contender(OURS),
            _contender("numpy", costs_at_most(1.3)),
            _contender("torch", rounds=5),
            _contender("jax", rounds=5),
        ),
        rounds=15,
    ),
)
