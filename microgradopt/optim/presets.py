"""Optimizers as torch, keras, optax and the tutorials define them, by their defaults and formulas.

``optim.presets.keras.Adam(params)`` is an :class:`~microgradopt.optim.Adam` with keras's options.
The names are those of ``optim`` in every namespace, so that another library is one other word.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from microgradopt.optim.adafactor import Adafactor
from microgradopt.optim.adam import Adam, AdamW
from microgradopt.optim.adamax import Adamax
from microgradopt.optim.adaptive import Adadelta, Adagrad
from microgradopt.optim.layerwise import LAMB, LARS
from microgradopt.optim.muon import Muon
from microgradopt.optim.nadam import NAdam, RAdam
from microgradopt.optim.nesterov import Nesterov
from microgradopt.optim.optimizer import Optimizer
from microgradopt.optim.prodigy import Prodigy
from microgradopt.optim.rmsprop import RMSprop
from microgradopt.optim.rprop import Rprop
from microgradopt.optim.schedule_free import AdamWScheduleFree, SGDScheduleFree
from microgradopt.optim.sgd import SGD
from microgradopt.optim.signs import Lion, SignSGD


class Preset:
    """A class of optimizers with other defaults; it is called as the class itself.

    Args:
        kind: the class, which the result is an instance of.
        note: what else there is to know.
        options: the defaults that differ.

    >>> import microgradopt as mg
    >>> mg.optim.presets.keras.Adam
    optim.Adam with eps=1e-07, eps_mode='hat', decoupled_weight_decay=True
    >>> optimizer = mg.optim.presets.keras.Adam([mg.Value(1.0)], lr=0.01)
    >>> type(optimizer).__name__, optimizer.defaults["lr"], optimizer.defaults["eps"]
    ('Adam', 0.01, 1e-07)
    """

    def __init__(self, kind: type[Optimizer], note: str = "", **options: Any) -> None:
        own = inspect.signature(kind)
        self.kind, self.options = kind, options
        self.__name__ = kind.__name__
        self.__signature__ = own.replace(
            parameters=[
                p.replace(default=options.get(name, p.default))
                for name, p in own.parameters.items()
            ]
        )
        self.__doc__ = f"{self!r}. {note}".strip()

    def __call__(self, params: Iterable[Any], *args: Any, **options: Any) -> Optimizer:
        """The optimizer; arguments as for the class."""
        given = inspect.signature(self.kind).bind(params, *args, **options).arguments
        return self.kind(**{**self.options, **given})

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return f"optim.{self.kind.__name__} with {options or 'its own defaults'}"


class Presets:
    """The optimizers of one library by name; printed, what differs from torch.

    >>> import microgradopt as mg
    >>> mg.optim.presets.torch.SGD is mg.optim.SGD
    True
    """

    def __init__(self, library: str, *presets: Any) -> None:
        self._library = library
        self._by_name = {preset.__name__: preset for preset in presets}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also before __init__, as when unpickling
            raise AttributeError(name)
        if name not in self._by_name:
            raise AttributeError(
                f"presets.{self._library} has no {name!r}; it has {', '.join(self._by_name)}"
            )
        return self._by_name[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._by_name]

    def __repr__(self) -> str:
        rows = [f"  {name}: {_spoken(preset)}" for name, preset in self._by_name.items()]
        return "\n".join([f"presets.{self._library}", *rows])


def _spoken(preset: Any) -> str:
    return repr(preset) if isinstance(preset, Preset) else f"optim.{preset.__name__}"


torch = Presets(
    "torch",
    SGD,
    Adagrad,
    Adadelta,
    RMSprop,
    Rprop,
    Adam,
    AdamW,
    Adamax,
    NAdam,
    RAdam,
    Adafactor,
    Muon,
)

_keras: dict[str, Any] = {"lr": 1e-3, "eps": 1e-7, "decoupled_weight_decay": True}
keras = Presets(
    "keras",
    Preset(
        SGD,
        "Its weight_decay is not keras's, which is apart from the momentum.",
        lr=0.01,
        lr_in_velocity=True,
    ),
    Preset(Adagrad, **_keras, initial_accumulator_value=0.1, eps_mode="inside"),
    Preset(Adadelta, **_keras, rho=0.95),
    Preset(RMSprop, **_keras, alpha=0.9, eps_mode="inside", lr_in_velocity=True),
    Preset(Adam, eps=1e-7, eps_mode="hat", decoupled_weight_decay=True),
    Preset(AdamW, eps=1e-7, eps_mode="hat", weight_decay=0.004),
    Preset(Adamax, **_keras, eps_mode="outside"),
    Preset(NAdam, **_keras, momentum_decay=1.0),
    Preset(LAMB, "keras takes weight_decay off the parameter, outside the ratio.", eps=1e-7),
    Preset(Lion, lr=1e-3),
    Preset(
        Adafactor,
        "keras adds 1e-30 to squares, of which this is the least.",
        lr=1e-3,
        eps=(1e-15, 1e-3),
    ),
    Preset(AdamWScheduleFree, "keras calls it ScheduleFreeAdamW.", weight_lr_power=0.0),
)

_rate = "optax has no default rate; this one is torch's."
optax = Presets(
    "optax",
    SGD,
    Preset(Adagrad, _rate, initial_accumulator_value=0.1, eps=1e-7, eps_mode="inside"),
    Adadelta,
    Preset(RMSprop, _rate, alpha=0.9, eps_mode="inside", lr_in_velocity=True),
    Adam,
    Preset(AdamW, _rate, weight_decay=1e-4),
    Adamax,
    Preset(NAdam, _rate, momentum_warmup=False),
    Preset(RAdam, _rate, eps_mode="outside"),
    LAMB,
    Preset(LARS, _rate, eps=0.0, joint_norm=True),
    SignSGD,
    Preset(Lion, _rate, weight_decay=1e-3),
    SGDScheduleFree,
    AdamWScheduleFree,
    Preset(Prodigy, use_bias_correction=True),
)

tutorial = Presets(
    "tutorial",
    Preset(SGD, "v ← μv − lr·g; x ← x + v.", lr_in_velocity=True),
    Nesterov,
    Adagrad,
    Adadelta,
    RMSprop,
    Preset(Adam, "Without correction for the zero start, as first printed.", bias_correction=False),
    AdamW,
    LAMB,
)
