"""The problem of the optimizers' golden files, run with the library."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import microgradopt as mg
from microgradopt import Tensor, Value

FOLDER = Path(__file__).parent.parent / "golden" / "optimizers"
PROBLEM = json.loads((FOLDER / "problem.json").read_text(encoding="utf-8"))
RTOL = 1e-12  # but for the few runs that say themselves how much less they are known


def runs(name):
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def parameters():
    """The starting points by name: a Value for the number, a Tensor for each array."""
    return {
        name: (Tensor if np.ndim(x) else Value)(x, name=name)
        for name, x in PROBLEM["start"].items()
    }


def loss(p, step):
    """Σ columns·sin(s·sin(X Wᵀ + v) Uᵀ) over every third row of X."""
    rows = np.array(PROBLEM["X"])[step % 3 :: 3]
    z = mg.sin(rows @ p["W"].T + p["v"])
    return mg.sum(np.array(PROBLEM["columns"]) * mg.sin(p["s"] * (z @ p["U"].T)))


def trajectory(make, run):
    """The numbers of the trained parameters, flat, at the steps kept."""
    options = dict(run["options"])
    if falling := options.pop("falling", 0.0):
        first = options["lr"]
        options["lr"] = lambda step: first / (1.0 + falling * step)
    p = parameters()
    optimizer = make([p[name] for name in run["trained"]], **options)
    rows = []
    for step in range(1, max(PROBLEM["kept"]) + 1):

        def closure(step=step):
            optimizer.zero_grad()
            loss(p, step).backward()

        optimizer.step(closure)
        if step in PROBLEM["kept"]:
            rows.append(np.concatenate([np.ravel(p[name].data) for name in run["trained"]]))
    return np.array(rows)


def agrees(make, run):
    """Fail unless the trajectory is the run's; an entry near 0 was larger before, as the others."""
    rtol = run.get("rtol", RTOL)
    found = trajectory(make, run)
    np.testing.assert_allclose(found, run["trajectory"], rtol=rtol, atol=0.1 * rtol)


def title(run):
    return "-".join(f"{k}={v}" for k, v in run["options"].items()) or "defaults"
