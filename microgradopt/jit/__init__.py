"""Temporary: callable until the package is renamed."""
import sys
from types import ModuleType


class _Callable(ModuleType):
    def __call__(self, *a, **k):
        from microgradopt.jit.function import jit
        return jit(*a, **k)


sys.modules[__name__].__class__ = _Callable
