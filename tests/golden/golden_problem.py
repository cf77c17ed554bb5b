"""The problem whose trajectories are kept: a small loss, not tame, and its gradients by torch."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch

Arrays: TypeAlias = dict[str, np.ndarray]

STEPS, KEPT = 50, [2, 10, 50]

# Rows of inputs; a step sees every third. The second column is zero in most steps, the last always.
X = [
    [0.5, 0.0, 2.0, 0.0],
    [-1.5, 0.0, 0.1, 0.0],
    [0.3, -0.8, -1.0, 0.0],
    [1.0, 0.0, -0.5, 0.0],
    [-0.2, 0.0, 0.03, 0.0],
    [0.7, 1.2, 1.5, 0.0],
]
COLUMNS = [0.1, -0.3, 1.0]  # the weights of the columns in the loss
START: Arrays = {  # parameters of every rank
    "W": np.array([[0.2, -0.4, 0.1, 0.7], [-0.3, 0.6, 0.05, -1.1]]),
    "U": np.array([[0.5, -0.2], [1.5, 0.3], [-0.04, 0.08]]),
    "v": np.array([0.3, -0.01]),
    "s": np.array(0.6),
}


def gradient(x: Arrays, step: int) -> Arrays:
    """The gradients of Σ columns·sin(s·sin(X Wᵀ + v) Uᵀ) in the parameters of ``x``."""
    nodes = {k: torch.tensor(v, requires_grad=k in x) for k, v in {**START, **x}.items()}
    rows = torch.tensor(X)[step % 3 :: 3]
    z = torch.sin(rows @ nodes["W"].T + nodes["v"])
    (torch.tensor(COLUMNS) * torch.sin(nodes["s"] * (z @ nodes["U"].T))).sum().backward()
    return {k: nodes[k].grad.numpy() for k in x}
