"""What is listed, in which order, what is marked, and where the cursor stands. Pure; time is an argument."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING

from milepost.tui.rows import JobRow
from milepost.tui.status import RANKS, Status

if TYPE_CHECKING:
    from milepost.common.filter import Node


class Sort(StrEnum):
    ATTENTION = "attention"
    STATUS = "status"
    ID = "id"
    NAME = "name"
    PERCENT = "percent"
    ITEMS = "items"
    RATE = "rate"
    ETA = "eta"
    FAILED = "failed"
    ACTIVITY = "activity"


#: By what each sort orders: strings or numbers, so that comparing is quick.
_KEYS: Mapping[Sort, Callable[[JobRow], float | str]] = {
    Sort.ATTENTION: attrgetter("attention"),
    Sort.STATUS: lambda row: RANKS[row.status],
    Sort.ID: attrgetter("id"),
    Sort.NAME: attrgetter("folded_name"),
    Sort.PERCENT: attrgetter("percent"),
    Sort.ITEMS: attrgetter("total"),
    Sort.RATE: attrgetter("rate"),
    Sort.ETA: attrgetter("eta"),
    Sort.FAILED: attrgetter("failed"),
    Sort.ACTIVITY: attrgetter("activity_time"),
}

#: Sorts whose first sight should be the largest.
DESCENDING = frozenset({Sort.PERCENT, Sort.ITEMS, Sort.RATE, Sort.FAILED, Sort.ACTIVITY})


@dataclass(frozen=True)
class Order:
    sort: Sort = Sort.ATTENTION
    reverse: bool = False

    def chosen(self, sort: Sort) -> "Order":
        """The order after a person chose a column: the same one again turns it round."""
        return Order(sort, not self.reverse if sort is self.sort else sort in DESCENDING)


def _parsed(text: str) -> "tuple[Node, bool]":
    """And whether it uses the time."""
    from milepost.common.filter import parse, uses_time  # not before someone filters: the first paint does not need it

    node = parse(text)
    return node, uses_time(node)


class JobView:
    """The list as a person set it up. `ids` is what is listed, `rebuild` makes it anew."""

    def __init__(self) -> None:
        self.order = Order()
        self.filter_text = ""
        #: Whether the filter lets through other jobs later though nothing has changed.
        self.uses_time = False
        self.statuses: frozenset[Status] = frozenset()
        self.marks: set[str] = set()
        self.frozen = False
        self.cursor_id = ""
        #: Where the cursor stands in `ids`; 0 where nothing is listed.
        self.cursor_line = 0
        self.ids: Sequence[str] = ()
        #: Marks that the filter or the statuses leave out: no command is for them.
        self.unlisted_marks: frozenset[str] = frozenset()
        self._node: Node | None = None

    def filter(self, text: str) -> None:
        """Raises MilepostError(INVALID_FILTER); then the filter before stays."""
        self._node, self.uses_time = _parsed(text) if text else (None, False)
        self.filter_text = text

    @property
    def narrows(self) -> bool:
        return bool(self.filter_text or self.statuses)

    @property
    def holds_still(self) -> bool:
        """While someone marks rows, or asked for it, nothing moves under the hand."""
        return self.frozen or bool(self.marks)

    def rebuild(self, rows: Mapping[str, JobRow], now: float) -> None:
        """Filters and sorts. The cursor stays on its job; where that is gone, on its line."""
        # Equal ones stay in the order in which they were first told of.
        listed = sorted(self.matching(rows, now), key=_KEYS[self.order.sort], reverse=self.order.reverse)
        self._list([row.id for row in listed])
        self.marks.intersection_update(rows)
        self.unlisted_marks = frozenset(self.marks.difference(self.ids)) if self.marks else frozenset()

    def drop_gone(self, rows: Mapping[str, JobRow]) -> None:
        """For a list that holds still: only what no longer exists leaves it."""
        left = [job_id for job_id in self.ids if job_id in rows]
        if len(left) < len(self.ids):
            self._list(left)
            self.marks.intersection_update(rows)
            self.unlisted_marks = self.unlisted_marks.intersection(rows)

    def _list(self, ids: Sequence[str]) -> None:
        self.ids = ids
        line = self.line_of(self.cursor_id)
        self.move_to(self.cursor_line if line is None else line)

    def matching(self, rows: Mapping[str, JobRow], now: float) -> Collection[JobRow]:
        found: Collection[JobRow] = rows.values()
        if self.statuses:
            found = [row for row in found if row.status in self.statuses]
        if self._node is None:
            return found
        from milepost.common.filter import select  # as above

        return select(self._node, found, now, JobRow._fields)

    # --- cursor and marks ---

    def line_of(self, job_id: str) -> int | None:
        try:
            return self.ids.index(job_id)
        except ValueError:
            return None

    def move_to(self, line: int) -> None:
        self.cursor_line = max(0, min(line, len(self.ids) - 1))
        self.cursor_id = self.ids[self.cursor_line] if self.ids else ""

    def toggle_mark(self, job_id: str) -> None:
        self.marks ^= {job_id} if job_id else set()

    @property
    def listed_marks(self) -> Collection[str]:
        """The marks that are listed, for whoever does not need them in the order of the list."""
        return self.marks - self.unlisted_marks if self.unlisted_marks else self.marks

    @property
    def marked(self) -> list[str]:
        """The marks that are listed, in the order of the list: what a command is for."""
        return [job_id for job_id in self.ids if job_id in self.marks] if self.marks else []

    def unmark_all(self) -> None:
        self.marks.clear()
        self.unlisted_marks = frozenset()

    def mark_range(self, first: int, last: int) -> None:
        self.marks.update(self.ids[min(first, last) : max(first, last) + 1])

    def mark_listed(self) -> None:
        self.marks.update(self.ids)

    def next_line(self, rows: Mapping[str, JobRow], wanted: Iterable[Status]) -> int | None:
        """The next line, round the end, whose job has one of these statuses."""
        statuses, count = frozenset(wanted), len(self.ids)
        for step in range(1, count + 1):
            line = (self.cursor_line + step) % count
            row = rows.get(self.ids[line])  # it may have been removed since the list was made
            if row is not None and row.status in statuses:
                return line
        return None
