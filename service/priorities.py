"""Who goes first, and who is not forgotten for that."""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

TURNS = 5
"""Of so many turns the last is not the most urgent work's, so that routine work never starves."""


class Priority(IntEnum):
    """Who goes first: stat images before routine ones, each in the order of their arrival."""

    STAT = 0
    ROUTINE = 1


class PriorityQueue(Generic[T]):
    """What waits, urgent items first, but every fifth turn the other way round."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._items: tuple[deque[T], ...] = tuple(deque() for _ in Priority)
        self._turns = count(1)

    def __len__(self) -> int:
        """How many items wait."""
        return sum(map(len, self._items))

    def put(self, priority: Priority, item: T) -> None:
        """Have an item wait behind the others of its priority."""
        self._items[priority].append(item)

    def put_back(self, priority: Priority, item: T) -> None:
        """Have an item that was taken wait before the others of its priority."""
        self._items[priority].appendleft(item)

    def waiting(self, priority: Priority) -> int:
        """How many items of a priority wait."""
        return len(self._items[priority])

    def take_urgent(self) -> T | None:
        """The next urgent item, before its turn, which counts as one; None where none waits."""
        items = self._items[Priority.STAT]
        if not items:
            return None
        next(self._turns)
        return items.popleft()

    def take_if(self, priority: Priority, fits: Callable[[T], bool]) -> T | None:
        """The next item of a priority, where it fits; None where it does not, or nothing waits."""
        items = self._items[priority]
        return items.popleft() if items and fits(items[0]) else None

    def take(self) -> T | None:
        """The next item; None where nothing waits."""
        fair = next(self._turns) % TURNS == 0
        for items in reversed(self._items) if fair else self._items:
            if items:
                return items.popleft()
        return None
