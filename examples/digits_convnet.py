"""A small convolutional network reads handwritten digits, and shows what its kernels look for.

Two convolutions with batch normalization and pooling, then dropout and one linear layer:
1,922 parameters. It is tested on digits that it has not seen.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import datasets, nn, optim

EPOCHS, BATCH = 12, 64


def network(rng: np.random.Generator) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False, rng=rng, dtype=np.float32),
        nn.BatchNorm2d(8, dtype=np.float32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False, rng=rng, dtype=np.float32),
        nn.BatchNorm2d(16, dtype=np.float32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25, rng=rng),
        nn.Linear(64, 10, rng=rng, dtype=np.float32),
    )


def accuracy(model, X, y) -> float:
    model.eval()
    with mg.no_grad():
        right = np.argmax(model(X).data, axis=1) == y
    model.train()
    return float(np.mean(right))


def train(model, X, y, X_test, y_test, rng: np.random.Generator) -> list[float]:
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    found = []
    for epoch in range(EPOCHS):
        order = rng.permutation(len(y))
        losses = []
        for start in range(0, len(y), BATCH):
            batch = order[start : start + BATCH]
            loss = nn.cross_entropy(model(X[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        found.append(accuracy(model, X_test, y_test))
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}, unseen digits {found[-1]:.3f}")
    return found


def show(axes, image, title: str = "", **options) -> None:
    axes.imshow(image, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)


def draw(model, image, digit: int) -> Figure:
    """The kernels of the first layer, and what each of them makes of one digit."""
    model.eval()
    kernels = model[0].weight.data[:, 0]
    with mg.no_grad():
        seen = model[:3](image[None]).data[0]
    model.train()
    figure = Figure(figsize=(10, 3), layout="constrained")
    panels = figure.subplots(2, 1 + len(kernels))
    show(panels[0, 0], image[0], f"a {digit}", cmap="gray_r")
    panels[1, 0].axis("off")
    largest = float(np.abs(kernels).max())
    for i, (kernel, activation) in enumerate(zip(kernels, seen), 1):
        show(panels[0, i], kernel, f"kernel {i}", cmap="RdBu_r", vmin=-largest, vmax=largest)
        show(panels[1, i], activation, cmap="viridis", vmin=0.0, vmax=float(seen.max()))
    figure.suptitle("kernels of the first layer (red +, blue −), and where each of them answers")
    return figure


def main(out: Path = Path("demo"), seed: int = 0) -> float:
    X, y = datasets.digits()
    X = X.astype(np.float32)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    train_set, test_set = order[:1437], order[1437:]
    model = network(rng)
    print(f"{sum(p.size for p in model.parameters()):,} parameters: {model}")
    accuracies = train(model, X[train_set], y[train_set], X[test_set], y[test_set], rng)

    out.mkdir(parents=True, exist_ok=True)
    draw(model, X[test_set[0]], y[test_set[0]]).savefig(out / "digits_convnet.png", dpi=120)
    print("drawn in", out / "digits_convnet.png")
    return accuracies[-1]


if __name__ == "__main__":
    main()
