"""Every way down the same valley: the path of each method over Rosenbrock's function.

From (−1.2, 1) on: with gradients, with curvature, with the residuals whose squares make the valley,
and with nothing but values. A table says how many iterations and evaluations each needs; a picture
shows the paths. A second one is of a fit whose Jacobian becomes singular on the way: Gauss–Newton's
steps grow without bound there and it gets stuck, Levenberg–Marquardt goes on to the minimum.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import optim, plot, surfaces

VALLEY = surfaces.rosenbrock
WITH_GRADIENTS = (
    "gd", "cg", "bfgs", "l-bfgs", "l-bfgs-b", "newton", "newton-cg", "trust-ncg", "dogleg",
)  # fmt: skip
OF_RESIDUALS = ("gauss-newton", "lm")
WITHOUT_GRADIENTS = ("nelder-mead", "random", "local-random", "cma-es")
BOUNDS = (-2.0, [0.5, 2.0])  # of l-bfgs-b: the minimum is at x = 1, outside


def height(x: Any) -> Any:
    return VALLEY(x[0], x[1])


def residuals(x: Any) -> Any:
    """What Rosenbrock's function is the sum of squares of."""
    return mg.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def search(method: str, seed: int) -> optim.Result:
    start = np.array(VALLEY.start)
    if method in OF_RESIDUALS:
        return optim.least_squares(residuals, start, method)
    options: dict[str, Any] = {}
    if method == "l-bfgs-b":
        options["bounds"] = BOUNDS
    if method in ("random", "local-random", "cma-es"):
        options["rng"] = seed
    return optim.minimize(height, start, method, **options)


def singular(x: Any) -> Any:
    """Powell's example of 1970: where x[1] is 0, the Jacobian does not have full rank."""
    return mg.stack([x[0], 10.0 * x[0] / (x[0] + 0.1) + 2.0 * x[1] ** 2])


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, optim.Result]:
    out.mkdir(parents=True, exist_ok=True)
    found = {m: search(m, seed) for m in (*WITH_GRADIENTS, *OF_RESIDUALS, *WITHOUT_GRADIENTS)}
    print(f"{'method':14}{'iterations':>11}{'f':>7}{'∇f':>6}{'∇²f':>6}   why it stopped")
    for name, r in found.items():
        print(f"{name:14}{r.nit:11}{r.nfev:7}{r.njev:6}{r.nhev:6}   {r.reason}")
    draw(found, out / "solver_paths.png")

    start = np.array([2.0, 0.5])
    fits = {m: optim.least_squares(singular, start, m, gtol=1e-9) for m in ("gauss-newton", "lm")}
    for name, fit in fits.items():
        print(f"{name}: ½Σr² = {fit.cost:.2g} after {fit.nit} iterations; {fit.message}")
    draw_singular(fits, out / "singular_fit.png")
    return found


def draw(found: dict[str, optim.Result], path: Path) -> None:
    figure = Figure(figsize=(16, 9.6), layout="constrained")
    panels = figure.subplots(3, 5).ravel()
    for axes, (name, result) in zip(panels, found.items()):
        plot.contours(VALLEY, ax=axes, resolution=120)
        plot.trajectories({name: result.history.path}, ax=axes, legend=False)
        axes.lines[-2].set(color="#d55e00", linewidth=2.0)  # the path; then comes where it ends
        axes.lines[-1].set_color("#d55e00")
        axes.set_title(f"{name}: {result.nit} iterations", fontsize=11)
        axes.set(xlabel="", ylabel="")
        if name == "l-bfgs-b":
            axes.axvspan(0.5, 2.0, color="black", alpha=0.25)
    figure.savefig(path, dpi=100)
    print("drawn in", path)


def draw_singular(fits: dict[str, optim.Fit], path: Path) -> None:
    def cost(x: Any, y: Any) -> Any:
        return 0.5 * mg.sum(singular(mg.stack([x, y])) ** 2, axis=0)

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.contours(cost, ax=left, region=(-0.09, 3.2, -1.5, 1.5))
    paths = {name: fit.history.path for name, fit in fits.items()}
    plot.trajectories(paths, ax=left)
    left.set_title("two residuals, whose Jacobian is singular along y = 0")
    for line, (name, fit) in zip(left.lines[::2], fits.items()):
        right.semilogy(fit.history.fun, ".-", color=line.get_color(), label=name)
    right.set(xlabel="iteration", ylabel="½Σr²")
    right.legend()
    figure.savefig(path, dpi=100)
    print("drawn in", path)


if __name__ == "__main__":
    main()
