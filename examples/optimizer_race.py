"""Every optimizer on the same hills: who arrives, after how many steps, and by which way.

Each runs with a few learning rates and is judged by its best; on the saddle, where larger is faster
without end, by the smallest that gets away. A table says after how many steps it has come within
1e-2 of the minimum, and how the two-layer network on the spiral ends; pictures show the ways over
the contours, the losses, and a race away from the saddle point.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import datasets, nn, optim, plot, surfaces

RATES = (1e-2, 1e-1, 1.0)
STEPS, NETWORK_STEPS = 150, 40
NEAR = 1e-2  # how high above the minimum counts as arrived
RACERS = {  # with momentum where it is an option
    "SGD": {},
    "SGD, momentum": {"momentum": 0.9},
    "SGD, Nesterov": {"momentum": 0.9, "nesterov": True},
}
FREE = ("Adadelta", "Prodigy")  # which find their own rate; lr is a factor of it
SHOWN = ("SGD", "SGD, momentum", "Adagrad", "RMSprop", "Adadelta", "Adam")


def racers() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Name, class and options of all optimizers."""
    for name in optim.__all__:
        kind = getattr(optim, name)
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer) and name != "Optimizer":
            if name == "SGD":
                yield from ((racer, kind, options) for racer, options in RACERS.items())
            else:
                yield name, kind, {}


def path(kind: Any, options: dict[str, Any], surface: surfaces.Surface) -> np.ndarray:
    """The points an optimizer visits from the surface's start."""
    p = mg.Tensor([list(surface.start)], name="p")  # as a matrix, which is all that Muon takes
    optimizer = kind([p], nonfinite="skip", **options)

    def closure() -> Any:
        optimizer.zero_grad()
        height = mg.sum(surface(p[:, 0], p[:, 1]))
        height.backward()
        return height

    points = [p.data[0]]
    for _ in range(STEPS):
        height = optimizer.step(closure).item()
        points.append(p.data[0])
        if surface.lowest is None and abs(points[-1][1]) > 1.5:  # fallen off
            break
        if surface.lowest is not None and not surface.lowest + 1e-9 < height < 1e6:
            break  # there, or gone
    return np.array(points)


def steps_needed(points: np.ndarray, surface: surfaces.Surface) -> float:
    """After how many steps the path is near the minimum and stays there; inf if never."""
    away = ~(surface(*points.T) - surface.lowest < NEAR)
    return float(np.max(np.nonzero(away)[0], initial=-1) + 1) if not away[-1] else np.inf


def best(kind: Any, options: dict[str, Any], surface: surfaces.Surface) -> tuple[float, np.ndarray]:
    runs = [path(kind, {**options, "lr": lr}, surface) for lr in RATES]
    if surface.lowest is None:
        away = [abs(points[-1, 1]) > 1.0 for points in runs]
        found = int(np.argmax(away))
        return float(len(runs[found]) - 1) if away[found] else np.inf, runs[found]
    needed = [steps_needed(points, surface) for points in runs]
    lowest = [surface(*points[-1]) for points in runs]
    found = int(np.lexsort((np.nan_to_num(lowest, nan=np.inf), needed))[0])
    return needed[found], runs[found]


def network(bias: bool) -> nn.Module:
    """The 2–100–3 network; without biases for what takes matrices only."""
    rng = np.random.default_rng(0)
    hidden = nn.Linear(2, 100, bias, init=nn.init.he_normal, rng=rng)
    return nn.Sequential(hidden, mg.relu, nn.Linear(100, 3, bias, rng=rng))


def network_losses(kind: Any, options: dict[str, Any], X: Any, y: Any) -> list[float]:
    """The losses of the 2–100–3 network, at the best of the rates."""
    found = []
    for lr in RATES[:2] if kind.__name__ not in FREE else RATES[-1:]:
        model = network(bias=not kind.only_matrices)
        optimizer = kind(model.named_parameters(), lr=lr, nonfinite="skip", **options)

        def closure(model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = nn.cross_entropy(model(X), y)
            loss.backward()
            return loss

        found.append([optimizer.step(closure).item() for _ in range(NETWORK_STEPS)])
    return min(found, key=lambda losses: np.nan_to_num(losses[-1], nan=np.inf))


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, dict[str, float]]:
    out.mkdir(parents=True, exist_ok=True)
    X, y = datasets.spiral(100, 3, rng=seed)
    hills = [s for s in surfaces.ALL if s.name != "Himmelblau"]
    table: dict[str, dict[str, float]] = {}
    ways: dict[str, dict[str, np.ndarray]] = {s.name: {} for s in hills}
    losses = {}
    for name, kind, options in racers():
        table[name] = {}
        for surface in hills:
            table[name][surface.name], ways[surface.name][name] = best(kind, options, surface)
        losses[name] = network_losses(kind, options, X, y)
        table[name]["spiral loss"] = losses[name][-1]
    show(table)
    draw(hills, ways, losses, out)
    return table


def show(table: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(table.values())))
    print(" " * 20 + "".join(f"{c:>17}" for c in columns))
    for name, row in table.items():
        cells = (f"{row[c]:.3f}" if "loss" in c else f"{row[c]:.0f}" for c in columns)
        print(f"{name:20}" + "".join(f"{'–' if c == 'inf' else c:>17}" for c in cells))


def draw(hills: Any, ways: Any, losses: Any, out: Path) -> None:
    figure = Figure(figsize=(15, 8.5), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, surface in zip(panels, hills):
        plot.contours(surface, ax=axes)
        shown = {name: ways[surface.name][name] for name in SHOWN}
        plot.trajectories(shown, ax=axes, legend=axes is panels[0])
        axes.set_title(surface.name)
    plot.loss_curve({name: losses[name] for name in SHOWN}, ax=panels[5], log=True)
    panels[5].set_title("2–100–3 network on the spiral")
    figure.savefig(out / "optimizer_race.png", dpi=110)
    print("drawn in", out / "optimizer_race.png")

    figure = Figure(figsize=(5.5, 5), layout="constrained")
    shown = {name: ways["saddle"][name] for name in SHOWN}
    race = plot.race(surfaces.saddle, shown, ax=figure.subplots(), frames=40)
    race.save(out / "saddle_race.gif", writer="pillow", dpi=80)
    print("drawn in", out / "saddle_race.gif")


if __name__ == "__main__":
    main()
