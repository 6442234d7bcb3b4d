"""Seeded choices that come out the same on every machine and in every Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Choices from one seed string.

    Only `random.Random.random` is used: it is the one method whose sequence Python promises to keep; `choice`,
    `shuffle` and NumPy's distributions may change between versions, and with them every picture of the data set.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return self._random() < p

    def between(self, low: int, high: int) -> int:
        """Whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[int(self._random() * len(items))]

    def weigh(self, items: dict[T, float]) -> T:
        """One of the keys, with probability in proportion to its value."""
        at = self._random() * sum(items.values())
        for item, weight in items.items():
            at -= weight
            if at < 0:
                return item
        return item

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order."""
        return [item for _, item in sorted(((self._random(), i), item) for i, item in enumerate(items))]
