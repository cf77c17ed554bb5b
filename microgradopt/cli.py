"""The command line: ``microgradopt demo [--out DIR]``."""

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import microgradopt as mg
from microgradopt import Value, datasets, nn, optim, plot
from microgradopt.engine.graph import Array
from microgradopt.errors import MicrogradoptError, MissingExtraError

SPIRAL_STEPS = 6000
MOONS_STEPS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="microgradopt", description=mg.__doc__)
    parser.add_argument("--version", action="version", version=mg.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("demo", help="draw a graph, train two networks, write pictures")
    show.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures")
    show.add_argument("--seed", type=int, default=0, help="seed of data and weights")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know no arrows
    try:
        demo(options.out, options.seed)
    except (MicrogradoptError, OSError) as error:
        parser.exit(1, f"microgradopt: {error}\n")
    return 0


def demo(out: Path, seed: int = 0) -> list[Path]:
    """The three parts of the tour; returns the files written."""
    missing = [name for name in ("matplotlib", "tqdm") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the demo needs {' and '.join(missing)}: pip install 'microgradopt[plot,train]'"
        )
    out.mkdir(parents=True, exist_ok=True)
    files = [*circuit(out), *moons(out, seed), *spiral(out, seed)]
    print("Files written:")
    for file in files:
        print(f"  {file}")
    return files


def circuit(out: Path) -> list[Path]:
    """f = (x + y)·z, the chain rule on one picture."""
    x, y, z = Value(-2.0, name="x"), Value(5.0, name="y"), Value(-4.0, name="z")
    q = x + y
    q.name = "q"
    f = q * z
    f.name = "f"
    f.backward()
    print("1. A circuit of three numbers: f = (x + y) * z")
    print(f"   f = {f:g}    df/dx = {x.grad:g}    df/dy = {y.grad:g}    df/dz = {z.grad:g}\n")
    return [mg.draw(f).save(out / "circuit.svg")]


def moons(out: Path, seed: int) -> list[Path]:
    """A network of scalar Values, as micrograd's, on two moons."""
    X, y = datasets.moons(100, noise=0.1, rng=seed)
    signs = 2.0 * y - 1.0
    model = nn.scalar.MLP(2, [16, 16, 1], rng=seed)
    optimizer = optim.SGD(model.parameters(), lr=lambda step: 1.0 - 0.9 * step / MOONS_STEPS)
    print(f"2. {len(model.parameters())} scalar weights on two moons of {len(X)} points")
    losses = []
    for _ in _progress(MOONS_STEPS):
        scores = [model(row) for row in X]
        margins = [(1.0 - s * score).relu() for s, score in zip(signs, scores)]
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        loss = sum(margins) * (1.0 / len(X)) + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with mg.no_grad():
        right = np.mean([(model(row) > 0.0) == (s > 0.0) for row, s in zip(X, signs)])

        def predict(points: Array) -> Array:
            return np.array([model(p).item() for p in points.tolist()])

        pictures = [_picture(out / "moons.png", predict, X, y, losses, "two moons, scalar MLP")]
    print(f"   loss {losses[0]:.3f} → {losses[-1]:.3f}, training accuracy {right:.1%}\n")
    one = nn.scalar.MLP(2, [3, 1], activation=mg.tanh, rng=seed)(X[0].tolist())
    one.name = "score"
    one.backward()
    return [*pictures, mg.draw(one, title="a 2–3–1 network on one point").save(out / "mlp.svg")]


def spiral(out: Path, seed: int) -> list[Path]:
    """Two layers of arrays on three spiral arms: 2–100–3, softmax, full batch."""
    X, y = datasets.spiral(100, 3, rng=seed)
    model, losses = train_spiral(X, y, seed, _progress)
    accuracy = np.mean(model(X).argmax(axis=1) == y)
    print(f"   loss {losses[0]:.3f} → {losses[-1]:.3f}, training accuracy {accuracy:.1%}\n")
    title = "three spiral arms, 2–100–3 ReLU network"
    picture = _picture(out / "spiral.png", model, X, y, losses, title)
    loss = spiral_loss(model, X, y)
    loss.name = "loss"
    loss.backward()
    return [picture, mg.draw(loss, title="the spiral's loss").save(out / "network.svg")]


def train_spiral(
    X: Array, y: Array, seed: int, progress: Any = range
) -> tuple[nn.MLP, list[float]]:
    """The demo's configuration of the two-layer network: (trained model, loss per step)."""
    model = nn.MLP(2, [100, 3], init=partial(nn.init.normal, std=0.01), rng=seed)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    print(f"3. A 2–100–3 network on a spiral of {len(X)} points")
    losses = []
    for _ in progress(SPIRAL_STEPS):
        loss = spiral_loss(model, X, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def spiral_loss(model: nn.MLP, X: Array, y: Array) -> Any:
    """Softmax cross-entropy, and half a thousandth of the squared weights."""
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    return nn.cross_entropy(model(X), y) + nn.l2_penalty(weights, 1e-3)


def _progress(steps: int) -> Iterable[int]:
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(range(steps), desc="   training", unit=" steps", leave=False)
    return bar


def _picture(
    path: Path, predict: Any, X: Array, y: Array, losses: Sequence[float], title: str
) -> Path:
    """What the network decides, beside how it came to it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.decision_regions(predict, X, y, ax=left, resolution=90)
    left.set_title(title)
    plot.loss_curve(losses, ax=right)
    right.set_title("loss while training")
    figure.savefig(path, dpi=120)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
