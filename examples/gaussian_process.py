"""A Gaussian process learns its own length, height and noise: derivatives through Cholesky.

The noisy points are drawn from a process whose three numbers are known. Newton's method finds them
again by the likelihood of the points alone; the Hessian that it uses also says how sure to be.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import linalg

NAMES = ("length", "height", "noise")
TRUE = np.array([0.7, 1.5, 0.2])
POINTS, STEPS, LONGEST = 100, 30, 0.5


def covariance(x1, x2, length, height):
    """How alike the values at two places are, the closer the more."""
    return height**2 * mg.exp(-0.5 * ((x1[:, None] - x2) / length) ** 2)


def surprise(theta, x, y):
    """−log p(y | x): the less, the better the process explains the points. θ are logarithms."""
    length, height, noise = mg.exp(theta)
    K = covariance(x, x, length, height) + noise**2 * np.eye(len(x))
    L = linalg.cholesky(K)
    z = linalg.solve(L, y)  # so that zᵀz = yᵀK⁻¹y
    return 0.5 * z @ z + mg.sum(mg.log(linalg.diagonal(L))) + 0.5 * len(x) * np.log(2.0 * np.pi)


def fit(x, y):
    """Newton's steps, downhill along each eigenvector of the Hessian also where it bends down."""
    theta = np.zeros(3)
    for step in range(STEPS):
        value, g = mg.value_and_grad(surprise)(theta, x, y)
        w, V = np.linalg.eigh(mg.hessian(lambda t: surprise(t, x, y))(theta))
        move = V @ (V.T @ g / np.abs(w))
        print(f"step {step:2}: surprise {value:8.4f}   gradient {np.linalg.norm(g):.1e}")
        if np.linalg.norm(g) < 1e-8:
            break
        theta = theta - move / max(1.0, np.linalg.norm(move) / LONGEST)
    return theta, np.sqrt(np.diag((V / w) @ V.T))  # the curvature is the inverse variance


def predict(theta, x, y, places):
    """The mean and the spread of the process at other places."""
    length, height, noise = np.exp(theta)
    K = covariance(x, x, length, height) + noise**2 * np.eye(len(x))
    across = covariance(places, x, length, height)
    variance = height**2 - np.sum(across * np.linalg.solve(K, across.T).T, axis=1)
    return across @ np.linalg.solve(K, y), np.sqrt(variance)


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-7.0, 7.0, POINTS))
    x = x[np.abs(x - 1.0) > 0.8]  # a gap, to see what it does where it knows nothing
    length, height, noise = TRUE
    K = covariance(x, x, length, height) + noise**2 * np.eye(len(x))
    y = np.linalg.cholesky(K) @ rng.normal(size=len(x))

    theta, sure = fit(x, y)
    found = {}
    for name, true, t, s in zip(NAMES, TRUE, theta, sure):
        low, best, high = np.exp([t - 2.0 * s, t, t + 2.0 * s]).tolist()
        print(f"{name:>6}: true {true:.2f}, found {best:.3f}, between {low:.3f} and {high:.3f}")
        found[name] = (low, high)

    places = np.linspace(-8.0, 8.0, 500)
    mean, spread = predict(theta, x, y, places)
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(places, mean - 2.0 * spread, mean + 2.0 * spread, alpha=0.25)
    axes.plot(places, mean, label="mean, and two standard deviations")
    axes.plot(x, y, "k.", label=f"{len(x)} points")
    axes.set_title("a Gaussian process with the numbers it found")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "gaussian_process.png", dpi=120)
    print("drawn in", out / "gaussian_process.png")
    return found


if __name__ == "__main__":
    main()
