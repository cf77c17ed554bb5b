"""Every error this library raises on purpose, as one tree.

::

    MicrogradoptError
    ├── ShapeError         (ValueError)     shapes or axes that do not fit together
    ├── DTypeError         (TypeError)      a data type that cannot be used or differentiated
    ├── UsageError         (ValueError)     an argument outside its meaning: a name, a rate, a count
    ├── NonFiniteError     (ArithmeticError) NaN or infinity where it would do silent damage
    ├── GradientError      (AssertionError) an analytic gradient that disagrees with a numerical one
    ├── LinAlgError        (np.linalg.LinAlgError) a matrix without the inverse or factor asked for
    ├── StateError         (ValueError)     a saved state that is damaged or of something else
    ├── GraphError         (RuntimeError)   a graph that cannot be used as asked
    │   └── StaleGraphError                 a leaf was assigned after the graph had used it
    ├── TraceError         (RuntimeError)   a jitted function that could not be replayed faithfully
    └── MissingExtraError  (ImportError)    an optional package that is not installed

    UnusedInputWarning     (UserWarning)    an input that a derivative turned out not to depend on

Each also derives from the built-in exception in brackets, so code that catches ``ValueError`` or
``TypeError`` goes on working.
"""

import numpy as np

__all__ = [
    "DTypeError",
    "GradientError",
    "GraphError",
    "LinAlgError",
    "MicrogradoptError",
    "MissingExtraError",
    "NonFiniteError",
    "ShapeError",
    "StaleGraphError",
    "StateError",
    "TraceError",
    "UnusedInputWarning",
    "UsageError",
]


class MicrogradoptError(Exception):
    """The root of the tree: ``except MicrogradoptError`` catches all of it."""


class ShapeError(MicrogradoptError, ValueError):
    """Shapes or axes that do not fit together."""


class DTypeError(MicrogradoptError, TypeError):
    """A data type that cannot be used, or not be differentiated."""


class UsageError(MicrogradoptError, ValueError):
    """An argument outside its meaning: a name, a rate, a count."""


class NonFiniteError(MicrogradoptError, ArithmeticError):
    """NaN or infinity where it would do silent damage."""


class GradientError(MicrogradoptError, AssertionError):
    """An analytic gradient that disagrees with a numerical one."""


class LinAlgError(MicrogradoptError, np.linalg.LinAlgError):
    """A matrix without the inverse, factor or decomposition that was asked for."""


class StateError(MicrogradoptError, ValueError):
    """Saved state that is damaged, incomplete, or of something else."""


class GraphError(MicrogradoptError, RuntimeError):
    """A computation graph that cannot be used as asked."""


class TraceError(MicrogradoptError, RuntimeError):
    """A function given to mg.jit does what a replay could not do again."""


class StaleGraphError(GraphError):
    """A leaf was assigned after the graph had used its old data."""


class MissingExtraError(MicrogradoptError, ImportError):
    """An optional package that is not installed; the message names the extra."""


class UnusedInputWarning(UserWarning):
    """An input that a derivative turned out not to depend on; see :func:`microgradopt.debug`."""
