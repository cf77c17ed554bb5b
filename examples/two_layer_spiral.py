"""A hidden layer bends the cuts: 2–4–3 and 2–100–3 ReLU networks on the same spiral.

The small one is the one to draw, the large one the one that works.
"""

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import datasets, nn, optim, plot

REG = 1e-3


def train(hidden: int, X, y, *, steps: int, seed: int) -> tuple[nn.MLP, list[float]]:
    model = nn.MLP(2, [hidden, 3], init=partial(nn.init.normal, std=0.01), rng=seed)
    weights = [model[0].weight, model[2].weight]
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    losses = []
    for _ in range(steps):
        loss = nn.cross_entropy(model(X), y) + nn.l2_penalty(weights, REG)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def main(out: Path = Path("demo"), seed: int = 0) -> dict[int, float]:
    X, y = datasets.spiral(100, 3, rng=seed)
    out.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    curves, accuracies = {}, {}
    for axes, hidden in zip(panels, (4, 100)):
        model, curves[f"2–{hidden}–3"] = train(hidden, X, y, steps=5000, seed=seed)
        accuracies[hidden] = float(np.mean(model(X).argmax(axis=1) == y))
        print(f"2–{hidden}–3: loss {curves[f'2–{hidden}–3'][-1]:.3f}, "
              f"training accuracy {accuracies[hidden]:.3f}")  # fmt: skip
        plot.decision_regions(model, X, y, ax=axes)
        axes.set_title(f"2–{hidden}–3, accuracy {accuracies[hidden]:.2f}")
        if hidden == 4:
            drawing = mg.draw(nn.cross_entropy(model(X), y), title="the 2–4–3 network's loss")
            print("drawn in", drawing.save(out / "two_layer_graph.svg"))
    plot.loss_curve(curves, ax=panels[2])
    figure.savefig(out / "two_layer_spiral.png", dpi=120)
    print("drawn in", out / "two_layer_spiral.png")
    return accuracies


if __name__ == "__main__":
    main()
