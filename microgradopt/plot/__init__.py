"""Pictures of points, decisions, curves and paths, drawn on Matplotlib Axes you give.

Every function takes ``ax=`` and returns the Axes it drew on; without it, it draws on the current
one, as ``matplotlib.pyplot`` does. Matplotlib is imported only when a picture is asked for; it
comes with ``pip install 'microgradopt[plot]'``. Class ``k`` has the same colour and marker in every
picture, from a palette that stays distinct for colour-blind readers.

    fig, ax = plt.subplots()
    plot.decision_regions(model, X, y, ax=ax)
    fig.savefig("regions.png")
"""

from microgradopt.plot.curves import activation, loss_curve, schedule, spectrum, taylor
from microgradopt.plot.points import decision_regions, scatter
from microgradopt.plot.surfaces import contours, race, trajectories

__all__ = [
    "activation", "contours", "decision_regions", "loss_curve", "race", "scatter", "schedule",
    "spectrum", "taylor", "trajectories",
]  # fmt: skip
