"""One rule for randomness: it comes in through ``rng=``, never from NumPy's global state."""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

import numpy as np

from microgradopt.errors import StateError, UsageError

__all__ = ["RandomSource", "as_generator", "check_generator_state", "generator_state"]

RandomSource: TypeAlias = "np.random.Generator | int | np.integer[Any] | None"
"""What every ``rng=`` argument takes: a generator, a seed, or None for fresh randomness.

In quotes, so that ``np.random`` is imported by the first draw and not by ``import microgradopt``.
"""


def as_generator(rng: RandomSource = None) -> np.random.Generator:
    """Return the generator that ``rng`` stands for.

    A generator is returned as it is, so drawing from the result advances the caller's own; an int
    seeds a new one; None gives one seeded by the operating system.

    Raises:
        UsageError: for anything else, among it the legacy ``np.random.RandomState``.

    >>> float(as_generator(0).random()) == float(as_generator(0).random())
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise UsageError(
            "rng must be a np.random.Generator, an int seed or None, "
            f"got {rng!r} ({type(rng).__name__}); write rng=np.random.default_rng(0) or rng=0"
        )
    if rng < 0:
        raise UsageError(f"rng as a seed must be 0 or more, got {rng}; write rng={-rng}")
    return np.random.default_rng(int(rng))


def draw(rng: np.random.Generator, method: str, *args: Any, **options: Any) -> Any:
    """``rng.method(...)``: how this library draws, so that a replay of mg.jit can draw anew."""
    return getattr(rng, method)(*args, **options)


_POSITIONS = {"pos": 624, "buffer_pos": 4}  # NumPy reads past the end of a block that begins later


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """All that decides what a generator draws next: nested dicts of ints, words and arrays."""
    return copy.deepcopy(dict(rng.bit_generator.state))


def check_generator_state(rng: np.random.Generator, state: Any) -> None:
    """Make sure that ``rng.bit_generator.state = state`` will work.

    Raises:
        StateError: if it is the state of another kind of generator, or of none.
    """
    own = rng.bit_generator
    if not isinstance(state, dict) or state.get("bit_generator") != type(own).__name__:
        kind = state.get("bit_generator") if isinstance(state, dict) else type(state).__name__
        raise StateError(f"a {type(own).__name__} generator cannot take the state of {kind!r}")
    if _form(state) != _form(own.state):
        raise StateError(f"a {type(own).__name__} generator has a state of another form")
    trial = type(own)(0)
    try:
        trial.state = state
    except (ValueError, TypeError, OverflowError) as error:
        raise StateError(f"a {type(own).__name__} generator refused the state: {error}") from None
    if _plain(trial.state) != _plain(state) or not _in_range(state):
        raise StateError(f"the state of a {type(own).__name__} generator has a number out of range")


def _form(state: Any) -> Any:
    """What a state is made of, its numbers left out."""
    if isinstance(state, dict):
        return {key: _form(x) for key, x in state.items()}
    if isinstance(state, np.ndarray):
        return state.shape, state.dtype
    return type(state)


def _plain(state: Any) -> Any:
    """Numbers that can be compared at once: arrays as lists."""
    if isinstance(state, dict):
        return {key: _plain(x) for key, x in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def _in_range(state: dict[str, Any]) -> bool:
    flat = {**state, **(state["state"] if isinstance(state.get("state"), dict) else {})}
    places = all(0 <= flat.get(key, 0) <= most for key, most in _POSITIONS.items())
    return places and flat.get("has_uint32", 0) in (0, 1)
