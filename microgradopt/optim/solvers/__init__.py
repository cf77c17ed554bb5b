"""Solvers: searches for the minimum of a function, each a direction with a globaliser.

A direction says where to go, a globaliser how far; an oracle answers for the function, a run keeps
the best point, the history and the budget, and :func:`descend` is the loop that all share.
"""
