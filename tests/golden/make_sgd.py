"""Write sgd.json: trajectories of torch's SGD. Needs torch; run it from anywhere.

The problem, the starting points and the steps kept are in the file, so that the test repeats them.
"""

import itertools
import json
from pathlib import Path

import torch

STEPS, KEPT = 50, [1, 2, 3, 5, 10, 20, 35, 50]
X = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-0.3, 0.8, 0.1], [1.0, 1.0, 1.0]]
W = [[0.2, -0.4, 0.1], [-0.3, 0.6, 0.5]]
B = 0.3


def options() -> list[dict]:
    found = []
    for momentum, dampening, nesterov, weight_decay, maximize, decay in itertools.product(
        [0.0, 0.9], [0.0, 0.3], [False, True], [0.0, 0.01], [False, True], [0.0, 0.1]
    ):
        if not nesterov or (momentum and not dampening):
            found.append(
                {
                    "lr": 0.05,
                    "decay": decay,  # the rate at step t is lr / (1 + decay·t)
                    "momentum": momentum,
                    "dampening": dampening,
                    "weight_decay": weight_decay,
                    "nesterov": nesterov,
                    "maximize": maximize,
                }
            )
    return found


def trajectory(given: dict) -> list[list[float]]:
    """W, flat, and b at the steps kept, for f = Σ sin(X Wᵀ + b)."""
    x = torch.tensor(X, dtype=torch.float64)
    w = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(B, dtype=torch.float64, requires_grad=True)
    torchs = {k: v for k, v in given.items() if k != "decay"}
    optimizer = torch.optim.SGD([w, b], **torchs)
    rows = []
    for step in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = given["lr"] / (1.0 + given["decay"] * step)
        optimizer.zero_grad()
        torch.sin(x @ w.T + b).sum().backward()
        optimizer.step()
        if step in KEPT:
            rows.append([*w.detach().flatten().tolist(), b.item()])
    return rows


if __name__ == "__main__":
    runs = [{"options": given, "trajectory": trajectory(given)} for given in options()]
    golden = {"torch": torch.__version__, "X": X, "W": W, "b": B, "kept": KEPT, "runs": runs}
    Path(__file__).with_name("sgd.json").write_text(json.dumps(golden), encoding="utf-8")
