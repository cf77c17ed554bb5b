"""Gradient checks: a function's derivatives, or a primitive's rule, against numerical ones."""

from microgradopt.check.gradients import check_grads
from microgradopt.check.rules import check_rule

__all__ = ["check_grads", "check_rule"]
