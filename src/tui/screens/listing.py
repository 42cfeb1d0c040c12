"""The table of jobs and the view that it draws, kept together: its order, its cursor and its marks."""

import time
from collections.abc import Mapping, Sequence

from milepost.tui.clock import SEEN_AFTER, Clock
from milepost.tui.rows import JobRow
from milepost.tui.status import ATTENTION
from milepost.tui.store import Changes, JobStore
from milepost.tui.view import JobView, Sort
from milepost.tui.widgets.job_table import JobTable

#: Seconds between two times the whole list is put in order anew.
REORDER = 1.0
#: Seconds until a filter that uses the time is looked at again.
LOOK_AGAIN = 5.0


class Listing:
    """`view` says what is to be listed; after a change of it, `rebuild_now`."""

    def __init__(self, table: JobTable, store: JobStore, clock: Clock) -> None:
        self.view = JobView()
        self.table = table
        self.is_stale = True
        self._store = store
        self._clock = clock
        self._rebuilt = 0.0
        self._slid = -SEEN_AFTER
        #: Until all jobs are told, or a person moved the cursor: it stands on what comes first, not on what came first.
        self._stays_on_top = True
        self._last_mark = ""
        table.row_at = self._row_at
        table.is_marked = lambda job_id: job_id in self.view.marks

    @property
    def rows(self) -> Mapping[str, JobRow]:
        return self._store.rows

    def _row_at(self, line: int) -> JobRow | None:
        ids = self.view.ids
        return self.rows.get(ids[line]) if line < len(ids) else None

    # --- its order ---

    def tell(self, changes: Changes) -> None:
        """What moved is put in its place; anything else is only drawn anew."""
        has_all_now = self._stays_on_top and self._store.complete
        self.is_stale = (
            self.is_stale or has_all_now or changes.moved or (bool(changes.dirty) and self._depends_on_values)
        )
        is_due = time.monotonic() - self._rebuilt >= REORDER
        if self.is_stale and (is_due or not self.view.ids):
            self.rebuild()
        else:
            self._repaint(changes.dirty)

    @property
    def _depends_on_values(self) -> bool:
        """Whether an update may move a row without a change of its status."""
        steady = (Sort.ATTENTION, Sort.STATUS, Sort.ID, Sort.NAME)
        return bool(self.view.filter_text) or self.view.order.sort not in steady

    def _repaint(self, dirty: set[str]) -> None:
        """Only what is in sight and has changed."""
        table, ids = self.table, self.view.ids
        top = table.scroll_offset.y
        for line in range(top, min(top + table.size.height, len(ids))):
            if ids[line] in dirty:
                table.repaint_line(line)

    def look_again(self) -> bool:
        """Once a second: whether what was left until now was put in order."""
        if self.view.uses_time and time.monotonic() - self._rebuilt >= LOOK_AGAIN:
            self.is_stale = True
        was_stale = self.is_stale
        if was_stale:
            self.rebuild()
        return was_stale

    def rebuild(self) -> None:
        """Anew, but nothing moves under the hand of a person who marks."""
        view = self.view
        self.follow_cursor()
        before = view.cursor_id
        if view.holds_still and view.ids:
            view.drop_gone(self.rows)
        else:
            self._make_anew()
        if before and before != view.cursor_id:
            self._slid = self._clock.monotonic()
        self._show()

    def rebuild_now(self) -> None:
        """After a person chose something: at once, held still or not."""
        self.follow_cursor()
        self._make_anew()
        self._show()

    def _make_anew(self) -> None:
        self.view.rebuild(self.rows, self._clock.now())
        if self._stays_on_top:
            self.view.move_to(0)
            self._stays_on_top = not self._store.complete
        self.is_stale = False

    def _show(self) -> None:
        self._rebuilt = time.monotonic()
        self.table.show_count(len(self.view.ids))
        self.table.put_cursor(self.view.cursor_line)

    # --- its cursor ---

    @property
    def cursor_row(self) -> JobRow | None:
        return self.rows.get(self.view.cursor_id)

    def follow_cursor(self) -> None:
        """The table moves its cursor at once; its message may come after the next key."""
        if self.table.cursor != self.view.cursor_line:
            self._stays_on_top = False
        self.view.move_to(self.table.cursor)

    def follow_hand(self) -> None:
        """A person chose what is under the cursor, and so knows it."""
        self._slid = -SEEN_AFTER
        self._stays_on_top = False
        self.follow_cursor()

    @property
    def slid_unseen(self) -> bool:
        """Whether the job came under the cursor by itself, faster than a person can see it."""
        return self._clock.monotonic() - self._slid < SEEN_AFTER

    def put_cursor(self, line: int) -> None:
        self.table.put_cursor(line)
        self.follow_hand()

    def to_next_failed(self) -> bool:
        """False where nothing needs attention."""
        self.follow_cursor()
        line = self.view.next_line(self.rows, ATTENTION)
        if line is not None:
            self.put_cursor(line)
        return line is not None

    # --- its marks ---

    def mark(self) -> None:
        self.follow_cursor()
        self.view.toggle_mark(self.view.cursor_id)
        self._last_mark = self.view.cursor_id
        self.table.action_move(1)

    def mark_range(self) -> None:
        self.follow_cursor()
        first = self.view.line_of(self._last_mark)
        self.view.mark_range(self.view.cursor_line if first is None else first, self.view.cursor_line)

    def chosen_rows(self) -> Sequence[JobRow]:
        """The marked jobs that are listed, else the one under the cursor."""
        self.follow_cursor()
        wanted = self.view.marked or [self.view.cursor_id]
        return [row for job_id in wanted if (row := self.rows.get(job_id))]
