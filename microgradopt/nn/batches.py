"""Batches, and single samples given without the axis that a batch has."""

from typing import Any

from microgradopt.engine.ops.shapes import expand_dims, index
from microgradopt.errors import ShapeError

AXES = {1: "length", 2: "height, width"}


def check_images(user: object, have: tuple[int, ...], channels: Any, axes: int) -> None:
    """Refuse what is not (samples, channels, *size), or one sample without the first axis.

    ``channels`` says how many, or is a word where any number will do.
    """
    lead = len(have) - axes - 1
    if lead not in (0, 1) or (isinstance(channels, int) and have[lead] != channels):
        one = f"{channels}, {AXES[axes]}"
        raise ShapeError(f"{user} takes inputs of shape (samples, {one}) or ({one}), got {have}")


def as_batches(alone: bool, *arrays: Any, axis: int = 0) -> list[Any]:
    """Arrays with an axis of samples; where the sample is alone, of length 1."""
    return [expand_dims(x, axis) for x in arrays] if alone else list(arrays)


def as_given(alone: bool, *arrays: Any, axis: int = 0) -> list[Any]:
    """What :func:`as_batches` did, undone in the results."""
    return [index(x, (slice(None),) * axis + (0,)) for x in arrays] if alone else list(arrays)
