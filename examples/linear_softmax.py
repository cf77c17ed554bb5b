"""A linear softmax classifier on the spiral: three straight cuts cannot follow three bent arms.

Scores XW + b, mean cross-entropy of their softmax, and ½·reg·ΣW²; gradient descent by hand.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from microgradopt import Tensor, datasets, nn, plot

STEPS, RATE, REG = 200, 1.0, 1e-3


def main(out: Path = Path("demo"), seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    X, y = datasets.spiral(100, 3, rng=rng)
    W = Tensor(0.01 * rng.normal(size=(2, 3)), name="W")
    b = Tensor(np.zeros(3), name="b")

    for step in range(STEPS):
        loss = nn.cross_entropy(X @ W + b, y) + 0.5 * REG * (W**2).sum()
        if step % 50 == 0:
            print(f"step {step:3}: loss {loss:.4f}")
        W.zero_grad()
        b.zero_grad()
        loss.backward()
        W.data -= RATE * W.grad
        b.data -= RATE * b.grad

    accuracy = float(np.mean((X @ W + b).argmax(axis=1) == y))
    print(f"training accuracy {accuracy:.2f}")

    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    plot.decision_regions(lambda points: points @ W + b, X, y, ax=axes)
    axes.set_title(f"linear softmax classifier, accuracy {accuracy:.2f}")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "linear_softmax.png", dpi=120)
    print("drawn in", out / "linear_softmax.png")
    return accuracy


if __name__ == "__main__":
    main()
