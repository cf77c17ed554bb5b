"""Chance against slope: three ways to the weights of a linear softmax classifier on the spiral.

Random search draws 10,000 weights and biases and keeps the best. Local random search makes 10,000
small random steps and keeps those that lower the loss. Gradient descent makes 200 steps downhill.
A table shows the accuracies over ten spirals beside those known for this classifier, a picture the
loss against the number of times it was evaluated.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import datasets, nn, optim

SEEDS = 10
KNOWN = {"random": (0.33, 0.52), "local random": (0.49, 0.56), "gradient descent": (0.49, 0.54)}
WIDTHS = {"W": 0.015, "b": 1.0}  # of the draws: whoever keeps W this small bets on b alone
STEP = 0.05  # of the local search
COLORS = {"random": "#b5543c", "local random": "#d99a2b", "gradient descent": "#2f6690"}


def searches(loss: Any, rng: np.random.Generator) -> dict[str, Any]:
    """The result of each search, from weights and biases that are zero."""
    start = {"W": np.zeros((2, 3)), "b": np.zeros(3)}

    return {
        "random": optim.minimize(loss, start, "random", maxiter=10_000, scale=WIDTHS, rng=rng),
        "local random": optim.minimize(
            loss, start, "local-random", maxiter=10_000, scale=STEP, rng=rng
        ),
        "gradient descent": optim.minimize(loss, start, "gd", lr=1.0, maxiter=200),
    }


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, list[float]]:
    accuracies: dict[str, list[float]] = {name: [] for name in KNOWN}
    histories: dict[str, list[Any]] = {name: [] for name in KNOWN}
    for k in range(SEEDS):
        rng = np.random.default_rng(seed + k)
        X, y = datasets.spiral(100, 3, rng=rng)

        def loss(p: Any, X: Any = X, y: Any = y) -> mg.Tensor:
            return nn.cross_entropy(X @ p["W"] + p["b"], y)

        for name, found in searches(loss, rng).items():
            scores = X @ found.x["W"] + found.x["b"]
            accuracies[name].append(float(np.mean(scores.argmax(axis=1) == y)))
            histories[name].append(found.history)
    show(accuracies, histories)
    draw(accuracies, histories, out)
    return accuracies


def show(accuracies: dict[str, list[float]], histories: dict[str, list[Any]]) -> None:
    print(f"{SEEDS} spirals        known accuracy  found here    loss  evaluations")
    for name, (low, high) in KNOWN.items():
        found, last = accuracies[name], [(h.fun[-1], h.nfev[-1]) for h in histories[name]]
        loss, evaluations = np.median(last, axis=0)
        print(
            f"{name:18}   {low:.2f} to {high:.2f}    {min(found):.2f} to {max(found):.2f}"
            f"{loss:8.3f}{evaluations:13,.0f}"
        )


def draw(accuracies: dict[str, list[float]], histories: dict[str, list[Any]], out: Path) -> None:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for row, (name, color) in enumerate(COLORS.items()):
        for history in histories[name]:
            left.step(history.nfev, history.fun, where="post", color=color, alpha=0.6, lw=1.2)
        left.plot([], [], color=color, label=name)
        low, high = KNOWN[name]
        right.barh(row, high - low, left=low, height=0.5, color="#e4e4e4")
        spread = row + np.linspace(-0.17, 0.17, SEEDS)
        right.plot(accuracies[name], spread, "o", color=color, markersize=5)
    left.set(xscale="log", xlabel="evaluations of the loss", ylabel="best loss so far")
    left.set_title(f"{SEEDS} spirals each")
    left.grid(visible=True, color="#dddddd", linewidth=0.6)
    left.legend(loc="center right")
    right.axvline(1 / 3, color="#888888", linewidth=1, linestyle=":")
    right.text(1 / 3 - 0.004, 1.0, "one class for all", rotation=90, ha="right", va="center")
    right.set_yticks(range(len(COLORS)), list(COLORS))
    right.invert_yaxis()
    right.set(xlim=(0.3, 0.6), xlabel="accuracy", title="grey: the range known")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "random_search.png", dpi=120)
    print("drawn in", out / "random_search.png")


if __name__ == "__main__":
    main()
