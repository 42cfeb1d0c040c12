"""A long list of which only parts are held: what is in sight is asked for, what is far away is dropped. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from milepost.core.model import ItemState

T = TypeVar("T")

#: Lines that are asked for at a time, and that are held.
PAGE = 100
KEEP = 4000


@dataclass(frozen=True)
class ItemFilter:
    """Which items are listed; all that is empty does not narrow."""

    state: ItemState | None = None
    error_class: str = ""
    step: str = ""

    @property
    def narrows(self) -> bool:
        return self != ItemFilter()

    def with_state(self, state: ItemState | None) -> "ItemFilter":
        keeps_class = state in (None, ItemState.FAILED, ItemState.RETRY)
        return replace(self, state=state, error_class=self.error_class if keeps_class else "")


class Window(Generic[T]):
    """Lines by number. `total` is None until the first answer. What is outdated is shown until it is replaced."""

    def __init__(self) -> None:
        self.total: int | None = None
        self._held: dict[int, tuple[int, T]] = {}
        self._age = 0
        self._counted_at = -1

    def at(self, line: int) -> T | None:
        held = self._held.get(line)
        return held[1] if held else None

    @property
    def held(self) -> Collection[int]:
        return self._held.keys()

    def outdate(self) -> int:
        """From now on everything held is to be asked for again, once it is in sight."""
        self._age += 1
        return self._age

    @property
    def age(self) -> int:
        """To be given with the answer to a question that is asked now."""
        return self._age

    def missing(self, first: int, last: int) -> int | None:
        """Where to ask from, so that these lines get known: the first of the page that is not held or outdated."""
        if not self.total:
            return 0 if self._counted_at < self._age else None
        for line in range(max(0, first), min(last, self.total - 1) + 1):
            if not self._is_fresh(line):
                return next(start for start in range(line // PAGE * PAGE, line + 1) if not self._is_fresh(start))
        return None

    def put(self, first: int, values: Sequence[T], total: int, age: int) -> None:
        """An answer: the lines from `first` on, and how many there are in all."""
        self.total = total if values else min(total, first)
        self._counted_at = age
        for at, value in enumerate(values, first):
            self._held[at] = (age, value)
        near = range(first - KEEP // 2, first + KEEP // 2)
        if len(self._held) > KEEP or any(line >= self.total for line in self._held):
            self._held = {line: held for line, held in self._held.items() if line in near and line < self.total}

    def outdated(self) -> "Window[T]":
        """What it holds, in a window of its own, to be asked for again."""
        copy: Window[T] = Window()
        copy.total, copy._held, copy._counted_at, copy._age = self.total, self._held.copy(), self._counted_at, self._age
        copy.outdate()
        return copy

    def _is_fresh(self, line: int) -> bool:
        held = self._held.get(line)
        return held is not None and held[0] == self._age
