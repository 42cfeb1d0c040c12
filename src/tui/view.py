"""What is listed, in which order, what is marked, and where the cursor stands. Pure; time is an argument."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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


class JobView:
    """The list as a person set it up. `ids` is what is listed, `rebuild` makes it anew."""

    def __init__(self) -> None:
        self.order = Order()
        self.filter_text = ""
        self.statuses: frozenset[Status] = frozenset()
        self.marks: set[str] = set()
        self.frozen = False
        self.cursor_id = ""
        self.ids: Sequence[str] = ()
        self._lines: dict[str, int] = {}
        self._node: Node | None = None

    def filter(self, text: str) -> None:
        """Raises MilepostError(INVALID_FILTER); then the filter before stays."""
        from milepost.common.filter import parse  # not before someone filters: the first paint does not need it

        self._node = parse(text) if text else None
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
        line = self.cursor_line
        # Equal ones stay in the order in which they were first told of.
        listed = sorted(self.matching(rows, now), key=_KEYS[self.order.sort], reverse=self.order.reverse)
        self.ids = list(map(attrgetter("id"), listed))
        self._lines = dict(zip(self.ids, range(len(self.ids)), strict=True))
        self.marks.intersection_update(rows)
        if self.cursor_id not in self._lines:
            self.cursor_id = self.ids[min(line, len(self.ids) - 1)] if self.ids else ""

    def drop_gone(self, rows: Mapping[str, JobRow]) -> bool:
        """For a list that holds still: only what no longer exists leaves it. True when something did."""
        if all(job_id in rows for job_id in self.ids):
            return False
        line = self.cursor_line
        self.ids = [job_id for job_id in self.ids if job_id in rows]
        self._lines = {job_id: at for at, job_id in enumerate(self.ids)}
        self.marks.intersection_update(rows)
        if self.cursor_id not in self._lines:
            self.cursor_id = self.ids[min(line, len(self.ids) - 1)] if self.ids else ""
        return True

    def matching(self, rows: Mapping[str, JobRow], now: float) -> Sequence[JobRow]:
        found: Sequence[JobRow] = list(rows.values())
        if self.statuses:
            found = [row for row in found if row.status in self.statuses]
        if self._node is None:
            return found
        from milepost.common.filter import select  # as above

        return select(self._node, found, now)

    # --- cursor and marks ---

    @property
    def cursor_line(self) -> int:
        return self._lines.get(self.cursor_id, 0)

    def line_of(self, job_id: str) -> int | None:
        return self._lines.get(job_id)

    def move_to(self, line: int) -> None:
        if self.ids:
            self.cursor_id = self.ids[max(0, min(line, len(self.ids) - 1))]

    def toggle_mark(self, job_id: str) -> None:
        self.marks ^= {job_id} if job_id else set()

    def mark_range(self, first: int, last: int) -> None:
        self.marks.update(self.ids[min(first, last) : max(first, last) + 1])

    def mark_listed(self) -> None:
        self.marks.update(self.ids)

    def next_line(self, rows: Mapping[str, JobRow], wanted: Iterable[Status]) -> int | None:
        """The next line, round the end, whose job has one of these statuses."""
        statuses, count = frozenset(wanted), len(self.ids)
        for step in range(1, count + 1):
            line = (self.cursor_line + step) % count
            if rows[self.ids[line]].status in statuses:
                return line
        return None
