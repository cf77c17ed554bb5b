"""Where the values of a tape are kept: one buffer of numbers, in which lanes are side by side."""

from __future__ import annotations

import numpy as np

from microgradopt.compiler.tape.arrays import Tape
from microgradopt.compiler.tape.codes import WIDE
from microgradopt.compiler.tape.order import Group, Singles, Sums, Unit
from microgradopt.compiler.tape.runner import Piece
from microgradopt.engine.graph import Array


class Layout:
    """Places in a buffer, one for each value; subclasses write down what is to be done there.

    Attributes:
        place: of each value, by its number.
        size: of the buffer.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.place = np.zeros(tape.base + len(tape), np.int64)
        self.place[: tape.base] = np.arange(tape.base)
        self.size = tape.base
        self._constants = [(1 + tape.outside, tape.constants)]
        self._rows: dict[bytes, int] = {}

    def write(self, unit: Unit) -> None:
        """Write down one unit, after those whose values it reads."""
        if isinstance(unit, Singles):
            self.singles(unit.members)
        elif isinstance(unit, Group):
            self.group(unit.members)
        else:
            self.sums(unit)

    def singles(self, members: Array) -> None:
        """Write down instructions one by one."""
        raise NotImplementedError

    def group(self, members: Array) -> None:
        """Write down instructions of one kind as lanes."""
        raise NotImplementedError

    def sums(self, batch: Sums) -> None:
        """Write down sums of the same length."""
        raise NotImplementedError

    def piece(self) -> Piece:
        """What was written since the last piece."""
        raise NotImplementedError

    def block(self, count: int) -> int:
        """The place of a new row of lanes."""
        place = -(-self.size // WIDE) * WIDE
        self.size = place - (-count // WIDE) * WIDE
        return place

    def initial(self) -> Array:
        """A buffer with the constants in it."""
        buffer = np.zeros(self.size + WIDE)
        for place, numbers in self._constants:
            buffer[place : place + len(numbers)] = numbers
        return buffer

    def row(self, places: Array) -> int:
        """Where the numbers at these places are side by side; they are brought there if need be."""
        if _side_by_side(places):
            return int(places[0])
        key = places.tobytes()
        if key not in self._rows:
            self._rows[key] = row = self.block(len(places))
            if places.min() > self.tape.outside and places.max() < self.tape.base:
                numbers = self.tape.constants[places - 1 - self.tape.outside]
                self._constants.append((row, numbers))
            else:
                self.bring(places, row)
        return self._rows[key]

    def bring(self, places: Array, row: int) -> None:
        """Write down that the numbers at these places are to be brought to a row."""
        raise NotImplementedError


def _side_by_side(places: Array) -> bool:
    return bool((places == places[0] + np.arange(len(places))).all())


def is_shared(places: Array) -> bool:
    """Whether all lanes read the same number."""
    return bool((places == places[0]).all())
