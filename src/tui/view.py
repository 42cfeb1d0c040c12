"""What is listed, in which order, what is marked, and where the cursor stands. Pure; time is an argument."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from milepost.common.filter import EVERYTHING, Node, parse, select
from milepost.tui.rows import JobRow
from milepost.tui.status import RANKS, Status


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


_NO_ETA = 1e12

#: By what each sort orders; strings or numbers, so that comparing is quick.
_KEYS: Mapping[Sort, Callable[[JobRow], float | str]] = {
    Sort.ATTENTION: lambda row: row.attention,
    Sort.STATUS: lambda row: RANKS[row.status],
    Sort.ID: lambda row: row.job.id,
    Sort.NAME: lambda row: row.subject.folded_name,
    Sort.PERCENT: lambda row: row.job.progress.percent,
    Sort.ITEMS: lambda row: row.subject.total,
    Sort.RATE: lambda row: row.job.progress.rate,
    Sort.ETA: lambda row: row.job.progress.eta.seconds if row.job.progress.HasField("eta") else _NO_ETA,
    Sort.FAILED: lambda row: row.subject.failed,
    Sort.ACTIVITY: lambda row: row.subject.activity_time,
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
        self._node: Node = EVERYTHING

    def filter(self, text: str) -> None:
        """Raises MilepostError(INVALID_FILTER); then the filter before stays."""
        self._node = parse(text)
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
        listed = self._ordered(self.matching(rows, now))
        self.ids = [row.job.id for row in listed]
        self._lines = {job_id: at for at, job_id in enumerate(self.ids)}
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

    def matching(self, rows: Mapping[str, JobRow], now: float) -> list[JobRow]:
        found = list(rows.values())
        if self.statuses:
            found = [row for row in found if row.status in self.statuses]
        if self._node == EVERYTHING:
            return found
        kept = {id(subject) for subject in select(self._node, [row.subject for row in found], now)}
        return [row for row in found if id(row.subject) in kept]

    def _ordered(self, found: list[JobRow]) -> list[JobRow]:
        if self.order.sort is not Sort.ATTENTION:
            # Equal ones in the order of attention, whichever way round.
            found.sort(key=_KEYS[Sort.ATTENTION])
        found.sort(key=_KEYS[self.order.sort], reverse=self.order.reverse)
        return found

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
