"""What derivatives say of a surface: its stationary points, its shape nearby, its sharpest bend.

Newton's method finds the nine stationary points of Himmelblau's function, and the eigenvalues of
its Hessian tell which are minima, saddles and the maximum. Taylor approximations hug cos the
longer, the higher their order. In a ravine, gradient descent with the rate 1/β, β the largest
eigenvalue, goes straight to the floor; with 2.1/β it leaves for good. Training a network spreads
its Hessian's spectrum: a few directions bend sharply, most hardly at all.
"""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import datasets, nn, optim, plot, surfaces

MARKS = {"minimum": "o", "saddle": "X", "maximum": "^"}
ORDERS = (2, 4, 8)
STEPS = 150
WIDTH = 0.03  # of the spectra's Gaussians, the same for both


def himmelblau(p: Any) -> Any:
    return surfaces.himmelblau(p[0], p[1])


def ravine(p: Any) -> Any:
    return surfaces.ravine(p[0], p[1])


def newton(f: Any, x: np.ndarray) -> np.ndarray:
    """Newton's method for a zero of the gradient, which it finds uphill and down."""
    for _ in range(50):
        g = mg.grad(f)(x)
        if np.linalg.norm(g) < 1e-10:
            break
        x = x - np.linalg.solve(mg.hessian(f)(x), g)
    return x


def stationary_points(f: Any) -> dict[tuple[float, float], optim.Classification]:
    """Where the search ends from a grid of starts, and what is there."""
    starts = product(np.linspace(-4.0, 4.0, 6), repeat=2)
    ends = {tuple(np.round(newton(f, np.array(start)), 6).tolist()) for start in starts}
    return {end: optim.classify(f, newton(f, np.array(end))) for end in sorted(ends)}


def descent(f: Any, start: Any, lr: float) -> np.ndarray:
    path = [np.array(start)]
    for _ in range(STEPS):
        path.append(path[-1] - lr * mg.grad(f)(path[-1]))
    return np.array(path)


def until_out(path: np.ndarray) -> np.ndarray:
    """The path as far as it stays in the picture, and a step more."""
    out = np.abs(path[:, 1]) > surfaces.ravine.region[3]
    return path[: int(np.argmax(out)) + 1] if out.any() else path


def spectra(seed: int) -> dict[str, optim.SpectralDensity]:
    """The Hessian's spectrum of a small network, before and after training."""
    X, y = datasets.spiral(50, 3, rng=seed)
    net = nn.MLP(2, [16, 3], activation=mg.tanh, rng=seed)

    def loss(net: Any) -> Any:
        return nn.cross_entropy(net(X), y)

    found = {}
    for when in ("before training", "after training"):
        found[when] = optim.spectral_density(loss, net, width=WIDTH, rng=seed)
        beta = optim.dominant_eigenvalue(loss, net, rng=seed).value
        print(
            f"{when:15}: loss {loss(net).item():.3f}, steepest bend {beta:8.2f}, "
            f"{found[when].share(high=-1e-6 * abs(beta)):4.0%} bend down"
        )
        optim.minimize(loss, net, "l-bfgs", maxiter=50)
    return found


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, Any]:
    points = stationary_points(himmelblau)
    print(f"{'x':>10}{'y':>10}{'f':>10}   {'kind':10}{'eigenvalues':>20}")
    for (x, y), found in points.items():
        low, high = found.eigenvalues
        print(f"{x:10.4f}{y:10.4f}{found.value:10.3f}   {found.kind:10}{low:10.2f}{high:10.2f}")

    approximations = [optim.taylor(mg.cos, 0.0, order) for order in ORDERS]
    print(f"cos near 0: {approximations[1]}")

    rate = optim.curvature_rate(ravine, np.array(surfaces.ravine.start), rng=seed)
    paths = {f"{k}/β": descent(ravine, surfaces.ravine.start, k * rate) for k in (1, 2.1)}
    ends = {name: float(ravine(path[-1])) for name, path in paths.items()}
    listed = ", ".join(f"{height:.2g} with {name}" for name, height in ends.items())
    print(f"1/β = {rate:.3f}; the ravine after {STEPS} steps: {listed}")

    densities = spectra(seed)
    out.mkdir(parents=True, exist_ok=True)
    draw(points, approximations, paths, densities, out / "surface.png")
    kinds = Counter(found.kind for found in points.values())
    return {"kinds": dict(kinds), "ends": ends, "spectra": densities}


def draw(points: Any, approximations: Any, paths: Any, densities: Any, file: Path) -> None:
    figure = Figure(figsize=(12, 9), layout="constrained")
    ((hills, series), (valley, spectrum)) = figure.subplots(2, 2)
    plot.contours(surfaces.himmelblau, ax=hills)
    for kind, mark in MARKS.items():
        chosen = {at: found for at, found in points.items() if found.kind == kind}
        hills.plot(
            *np.array(list(chosen)).T, mark, markersize=9, color="white", markeredgecolor="black",
            linestyle="none", label=f"{len(chosen)} × {kind}", zorder=6,
        )  # fmt: skip
        for at, found in chosen.items():
            if kind == "saddle":
                for way in (found.downhill, -found.downhill):
                    hills.annotate(
                        "", at + 1.1 * way, at, arrowprops={"arrowstyle": "->", "color": "#bd1f01"}
                    )
    hills.legend(loc="upper right", fontsize="small")
    hills.set_title("Himmelblau's stationary points, arrows down from the saddles")

    plot.taylor(mg.cos, approximations, ax=series, low=-7.0, high=7.0)
    series.set_title("cos and its Taylor approximations at 0")

    plot.contours(surfaces.ravine, ax=valley)
    plot.trajectories({name: until_out(path) for name, path in paths.items()}, ax=valley)
    valley.set_title("gradient descent in a ravine with the rates 1/β and 2.1/β")

    plot.spectrum(densities, ax=spectrum)
    spectrum.set_title("Hessian spectrum of a 2–16–3 network on the spiral")
    figure.savefig(file, dpi=110)
    print("drawn in", file)


if __name__ == "__main__":
    main()
