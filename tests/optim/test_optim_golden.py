"""Every optimizer that ``optim`` exports against trajectories of torch, or of its formula in NumPy.

The files are written by ``tests/golden/make_optimizers.py``, which also says what they hold; an
optimizer without a file, or with an option that no run of its file changes, fails here.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from trajectories import PROBLEM, agrees, runs, title

from microgradopt import optim

KINDS = [
    kind
    for name in optim.__all__
    if inspect.isclass(kind := getattr(optim, name)) and issubclass(kind, optim.Optimizer)
    if kind is not optim.Optimizer
]
NOT_IN_FILES = {"params", "no_decay", "nonfinite"}  # which parameters, and no formula
HOW = "run tests/golden/make_optimizers.py"


CASES = [
    pytest.param(kind, run, id=f"{kind.__name__}-{title(run)}")
    for kind in KINDS
    for run in runs(kind.__name__)
]


@pytest.mark.parametrize(("kind", "run"), CASES)
def test_it_follows_its_golden_trajectory(kind, run):
    agrees(kind, run)


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_has_a_golden_file(kind):
    assert runs(kind.__name__), f"optim.{kind.__name__} has no golden file: {HOW}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_changed_in_some_run(kind):
    signature = inspect.signature(kind).parameters
    for name, parameter in signature.items():
        if name not in NOT_IN_FILES:
            given = [run["options"].get(name, parameter.default) for run in runs(kind.__name__)]
            plain = [tuple(x) if isinstance(x, list) else x for x in given]
            assert len(set(plain)) > 1, f"{kind.__name__}: no run changes {name}: {HOW}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_run_moves_and_nearly_every_one_by_itself(kind):
    """Else a run compares nothing."""
    ends = []
    for run in runs(kind.__name__):
        start = np.concatenate([np.ravel(PROBLEM["start"][name]) for name in run["trained"]])
        ends.append(tuple(run["trajectory"][-1]))
        assert np.abs(ends[-1] - start).max() > 1e4 * run.get("rtol", 1e-10)
    assert len(set(ends)) > 0.7 * len(ends)
