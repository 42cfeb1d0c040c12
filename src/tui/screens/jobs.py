"""The jobs screen: every job, what needs someone first, and the keys that help."""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.widgets import Input, Static

import milepost
from milepost.common.text import safe_lines
from milepost.core.errors import MilepostError
from milepost.tui import parts
from milepost.tui.link import LinkState, version_warning
from milepost.tui.memory import recall
from milepost.tui.rows import JobRow
from milepost.tui.screens.detailing import DetailingScreen
from milepost.tui.status import ATTENTION, Status
from milepost.tui.store import Changes
from milepost.tui.view import JobView, Sort
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.job_table import COLUMNS, JobTable, JobTableHead
from milepost.tui.widgets.lines import LineList

if TYPE_CHECKING:
    from milepost.tui.widgets.detail import JobDetail

#: Seconds between two times the whole list is put in order anew.
REORDER = 1.0
#: Below this size there is the list and nothing around it.
PLAIN = Size(60, 16)
#: Shares of the screen for the detail, in percent; below FULL lines it takes all of it.
SPLITS = (25, 50, 75)
FULL = 30
#: Overall rates that the sparkline shows, one a second.
SPARKS = 8


class JobsScreen(DetailingScreen):
    AUTO_FOCUS = "JobTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="jobs.filter", key_display="/"),
        Binding("exclamation_mark", "attention", "Attention", id="jobs.attention", key_display="!"),
        Binding("0", "chip(0)", "All jobs", show=False, id="jobs.status_0"),
        *[
            Binding(str(digit), f"chip({digit})", f"Only {chip.word}", show=False, id=f"jobs.status_{digit}")
            for digit, chip in enumerate(parts.CHIPS, 1)
        ],
        Binding("o", "next_sort", "Sort", id="jobs.sort"),
        Binding("O", "turn_sort", "Turn the order round", show=False, id="jobs.turn_sort"),
        Binding("space", "mark", "Mark", id="jobs.mark"),
        Binding("V", "mark_range", "Mark up to the last mark", show=False, id="jobs.mark_range"),
        Binding("a", "mark_all", "Mark all listed", show=False, id="jobs.mark_all"),
        Binding("u", "freeze", "Freeze the list", show=False, id="jobs.freeze"),
        Binding("f", "next_failed", "Next that failed", show=False, id="jobs.next_failed"),
        Binding("plus,equals_sign", "zoom(1)", "Larger detail", show=False, id="jobs.zoom_in", key_display="+"),
        Binding("underscore,minus", "zoom(-1)", "Smaller detail", show=False, id="jobs.zoom_out", key_display="_"),
        Binding("escape", "back", "Back", show=False, id="jobs.back"),
        Binding("y", "copy_id", "Copy the id", show=False, id="jobs.copy_id"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.view = JobView()
        self._stale = True
        self._rebuilt = 0.0
        self._rates: deque[float] = deque([0.0] * SPARKS, maxlen=SPARKS)
        self._last_mark = ""
        self._notice = ""
        #: Share of the screen that the detail takes, in percent.
        self.split = SPLITS[1]
        self._detail: JobDetail | None = None

    def compose(self) -> ComposeResult:
        yield ClickLine(id="header")
        yield Static(id="banner", markup=False)
        yield ClickLine(id="chips")
        with Horizontal(id="filter-line"):
            yield Static(" / ", id="filter-sign", markup=False)
            yield Input(id="filter", compact=True, placeholder="filter: state = FAILED, failed > 0, age < 1h, a name")
            yield ClickLine(id="listing")
        yield JobTableHead(id="head")
        yield Static(id="notice", markup=False)
        yield JobTable(id="table")
        yield ClickLine(id="actions")
        yield ClickLine(id="hints")

    def on_mount(self) -> None:
        table = self.table
        table.row_at = self._row_at
        table.is_marked = lambda job_id: job_id in self.view.marks
        self.milepost.changes.subscribe(self, self._on_changes)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._paint_all())
        self._recall()
        self.set_interval(1.0, self._each_second)
        self._paint_all()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < PLAIN.width or event.size.height < PLAIN.height, "plain")
        self._paint_lines()

    # --- what is shown ---

    @property
    def table(self) -> JobTable:
        return self.query_one(JobTable)

    @property
    def _rows(self) -> Mapping[str, JobRow]:
        return self.milepost.store.rows

    def _row_at(self, line: int) -> JobRow | None:
        ids = self.view.ids
        return self._rows.get(ids[line]) if line < len(ids) else None

    @property
    def cursor_row(self) -> JobRow | None:
        return self._rows.get(self.view.cursor_id)

    def _follow_cursor(self) -> None:
        """The table moves its cursor at once; its message may come after the next key."""
        self.view.move_to(self.table.cursor)

    def _on_changes(self, changes: Changes) -> None:
        self._stale = self._stale or changes.moved or (bool(changes.dirty) and self._depends_on_values)
        is_due = time.monotonic() - self._rebuilt >= REORDER
        if self._stale and (is_due or not self.view.ids):
            self._rebuild()
        else:
            self._repaint(changes.dirty)
        if self.view.cursor_id in changes.dirty:
            self._show_detail()
        self._paint_lines()

    @property
    def _depends_on_values(self) -> bool:
        """Whether an update may move a row without a change of its status."""
        steady = (Sort.ATTENTION, Sort.STATUS, Sort.ID, Sort.NAME)
        return bool(self.view.filter_text) or self.view.order.sort not in steady

    def _rebuild(self) -> None:
        view = self.view
        self._follow_cursor()
        if view.holds_still and view.ids:
            view.drop_gone(self._rows)
        else:
            view.rebuild(self._rows, self.milepost.clock.now())
            self._stale = False
        self._rebuilt = time.monotonic()
        self.table.show_count(len(view.ids))
        self.table.put_cursor(view.cursor_line)

    def _rebuild_now(self) -> None:
        """After a person chose something: at once, held still or not."""
        self._follow_cursor()
        self.view.rebuild(self._rows, self.milepost.clock.now())
        self._stale, self._rebuilt = False, time.monotonic()
        self.table.show_count(len(self.view.ids))
        self.table.put_cursor(self.view.cursor_line)
        self._paint_lines()
        self._remember()

    # --- what is remembered for the next time ---

    def _recall(self) -> None:
        now = self.milepost.memory.now
        recall(now, self.view)
        self._hide_columns(now.hidden_columns)
        if now.split in SPLITS:
            self.split = now.split
        with self.prevent(Input.Changed):
            self.query_one("#filter", Input).value = self.view.filter_text

    def _remember(self) -> None:
        view = self.view
        self.milepost.remember(
            filter=view.filter_text,
            statuses=tuple(sorted(view.statuses)),
            sort=view.order.sort.value,
            reverse=view.order.reverse,
            split=self.split,
        )

    def _repaint(self, dirty: set[str]) -> None:
        """Only what is in sight and has changed."""
        table, ids = self.table, self.view.ids
        top = table.scroll_offset.y
        for line in range(top, min(top + table.size.height, len(ids))):
            if ids[line] in dirty:
                table.repaint_line(line)

    def _paint_all(self) -> None:
        self._rebuild_now()
        self._show_detail()
        self._paint_hints()

    def _paint_lines(self) -> None:
        """The lines around the list: cheap, for each repaints only when its text is another."""
        app, width = self.milepost, self.size.width
        look = app.look
        self.query_one("#header", ClickLine).show(*parts.header(app.link, app.store, self._rates, look, width))
        self.query_one("#chips", ClickLine).show(parts.chips(app.store, self.view, look, width))
        self.query_one("#listing", ClickLine).show([], parts.listing(self.view, look))
        self.query_one("#head", JobTableHead).show(self.view.order)
        self._paint_banner()
        self._paint_notice()
        self.paint_actions()

    def _paint_banner(self) -> None:
        link = self.milepost.link
        text = parts.banner(link, self.milepost.clock.now())
        text = text or version_warning(milepost.__version__, link.daemon_version)
        banner = self.query_one("#banner", Static)
        if bool(text) != banner.has_class("shown"):
            banner.set_class(bool(text), "shown")
        if text:
            banner.update(text)
        lost = link.state is LinkState.LOST
        if lost != self.table.has_class("stale"):
            self.table.set_class(lost, "stale")

    def _paint_notice(self) -> None:
        """Instead of an empty list: why it is empty, and what to do."""
        text = "" if self.view.ids else self._why_empty()
        if text == self._notice:
            return
        self._notice = text
        notice = self.query_one("#notice", Static)
        notice.set_class(bool(text), "shown")
        self.table.set_class(bool(text), "empty")
        notice.update(text)

    def _why_empty(self) -> str:
        link = self.milepost.link
        if not self.milepost.store.complete:
            more = f"\n\n{safe_lines(link.message)}" if link.message else ""
            return f"{link.state.value.capitalize()} …{more}"
        if self.view.narrows:
            return "No job matches.\n\nEsc clears the filter."
        return (
            "There is no job yet.\n\nSubmit one:\n\nmilepost run pipeline.py --input rows.csv\n"
            "milepost run --each urls.txt -- curl -sfO {}"
        )

    def _paint_hints(self) -> None:
        self.query_one("#hints", ClickLine).show(parts.hints(self.milepost.settings.keys, self.milepost.look))

    def _each_second(self) -> None:
        store = self.milepost.store
        self._rates.append(store.rate)
        if self._stale:
            self._rebuild()
            self._paint_lines()
        elif any(self._rates) or not self.milepost.link.is_live:
            self._paint_lines()

    # --- what a person does ---

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        if event.control is self.table:
            self._follow_cursor()
            self.paint_actions()
            self._show_detail()

    def on_line_list_opened(self, event: LineList.Opened) -> None:
        """First the detail beside the list, then all of the screen."""
        if event.control is not self.table:
            return
        if self.detail_is_open or self.size.height < FULL:
            self.milepost.open_job(self.view.cursor_id)
        else:
            self.open_detail()

    def on_job_table_head_chosen(self, event: JobTableHead.Chosen) -> None:
        self.sort_by(event.sort)

    def on_click_line_clicked(self, event: ClickLine.Clicked) -> None:
        kind, _, value = event.target.partition(":")
        deeds: Mapping[str, Callable[[], None]] = {
            "chip": lambda: self.action_chip(int(value)),
            "sort": self.action_next_sort,
            "unmark": self.action_back,
            "freeze": self.action_freeze,
            "key": lambda: self.action_key(value),
            "command": lambda: self.command((value,)),
        }
        if kind == "action" and value:
            self.call_later(self.run_action, value)
        elif kind in deeds:
            deeds[kind]()

    def action_chip(self, digit: int) -> None:
        """0: all; the digit of what is chosen already: all again."""
        chosen = parts.chip_statuses(parts.CHIPS[digit - 1]) if digit else frozenset()
        self._choose(frozenset() if chosen == self.view.statuses else chosen)

    def action_attention(self) -> None:
        wanted = frozenset(ATTENTION)
        self._choose(frozenset() if self.view.statuses == wanted else wanted)

    def _choose(self, statuses: frozenset[Status]) -> None:
        self.view.statuses = statuses
        self._rebuild_now()

    def action_filter(self) -> None:
        self.query_one("#filter", Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id != "filter":
            return
        try:
            self.view.filter(event.value)
        except MilepostError as error:
            event.input.add_class("wrong")
            event.input.tooltip = error.message
            return
        event.input.remove_class("wrong")
        event.input.tooltip = None
        self._rebuild_now()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            self.view.filter(event.value)
        except MilepostError as error:
            self.complain(error)
        else:
            self.table.focus()

    def action_next_sort(self) -> None:
        sorts = list(Sort)
        self.sort_by(sorts[(sorts.index(self.view.order.sort) + 1) % len(sorts)])

    def action_turn_sort(self) -> None:
        self.sort_by(self.view.order.sort)

    def sort_by(self, sort: Sort) -> None:
        self.view.order = self.view.order.chosen(sort)
        self._rebuild_now()

    def shows_column(self, title: str) -> bool:
        return not self.table.chosen_columns or title in self.table.chosen_columns

    def toggle_column(self, title: str) -> None:
        hidden = frozenset(self.milepost.memory.now.hidden_columns) ^ {title}
        self.milepost.remember(hidden_columns=tuple(sorted(hidden)))
        self._hide_columns(hidden)

    def _hide_columns(self, hidden: Collection[str]) -> None:
        shown = [column.title for column in COLUMNS if column.title not in hidden] if hidden else []
        for widget in (self.table, self.query_one(JobTableHead)):
            widget.chosen_columns = shown
            widget.refresh()

    def go_to(self, job_id: str) -> None:
        if self.view.line_of(job_id) is None:
            self.view.statuses = frozenset()
            self.query_one("#filter", Input).value = ""
            self.view.filter("")
            self._rebuild_now()
        line = self.view.line_of(job_id)
        if line is not None:
            self.table.put_cursor(line)
            self.view.move_to(line)
            self.paint_actions()
            self._show_detail()
            self.table.focus()

    def action_mark(self) -> None:
        self._follow_cursor()
        self.view.toggle_mark(self.view.cursor_id)
        self._last_mark = self.view.cursor_id
        self.table.action_move(1)
        self._paint_marks()

    def action_mark_range(self) -> None:
        self._follow_cursor()
        first = self.view.line_of(self._last_mark)
        self.view.mark_range(self.view.cursor_line if first is None else first, self.view.cursor_line)
        self._paint_marks()

    def action_mark_all(self) -> None:
        self.view.mark_listed()
        self._paint_marks()

    def _paint_marks(self) -> None:
        self.table.refresh()
        self._paint_lines()

    def action_freeze(self) -> None:
        self.view.frozen = not self.view.frozen
        self._paint_lines()

    def action_next_failed(self) -> None:
        self._follow_cursor()
        line = self.view.next_line(self._rows, (Status.FAILED, Status.STUCK, Status.WAITING))
        if line is not None:
            self.table.put_cursor(line)
            self.view.move_to(line)
            self.paint_actions()

    def action_back(self) -> None:
        """One thing less: the filter's focus, the toasts, the detail, marks, then the filter and the statuses."""
        field = self.query_one("#filter", Input)
        if self.app.screen.focused is field:
            self.table.focus()
        elif self.query("Toast"):
            self.app.clear_notifications()
        elif self.detail_is_open:
            self._close_detail()
        elif self.view.marks:
            self.view.marks.clear()
            self._paint_marks()
        elif self.view.narrows:
            self.view.statuses = frozenset()
            field.value = ""
            self.view.filter("")
            self._rebuild_now()

    def action_copy_id(self) -> None:
        self._follow_cursor()
        if self.view.cursor_id:
            self.app.copy_to_clipboard(self.view.cursor_id)
            self.notify(f"Copied {self.view.cursor_id}.", markup=False)

    # --- the detail ---

    @property
    def detail(self) -> "JobDetail | None":
        """None until the first time it is opened."""
        return self._detail

    @property
    def detail_is_open(self) -> bool:
        return self._detail is not None and self._detail.has_class("open")

    def open_detail(self) -> None:
        if self._detail is None:
            from milepost.tui.widgets.detail import JobDetail  # more than the list itself: not before the first paint

            self._detail = JobDetail(self.milepost.client_of, id="detail")
            self.mount(self._detail, before="#actions")
        self._detail.add_class("open")
        self._detail.styles.height = f"{self.split}%"
        self.call_after_refresh(self._show_detail)
        self.call_after_refresh(self.table.show_line, self.table.cursor)

    def _show_detail(self) -> None:
        """Of the job under the cursor, as it was last told."""
        row = self.cursor_row
        if self._detail is not None and self.detail_is_open and row is not None:
            self._detail.show(row.job)

    def on_job_detail_closed(self, event: "JobDetail.Closed") -> None:
        event.stop()
        self._close_detail()

    def _close_detail(self) -> None:
        if self._detail is not None:
            self._detail.remove_class("open")
            self._detail.show(None)
        self.table.focus()

    def action_zoom(self, by: int) -> None:
        at = SPLITS.index(self.split) + by if self.split in SPLITS else 1
        self.split = SPLITS[max(0, min(at, len(SPLITS) - 1))]
        self._remember()
        self.open_detail()

    # --- commands ---

    def chosen_rows(self) -> Sequence[JobRow]:
        """What a command is for: the marked jobs, else the one under the cursor."""
        self._follow_cursor()
        if self.view.marks:
            return [row for job_id in self.view.marks if (row := self._rows.get(job_id))]
        row = self.cursor_row
        return [row] if row else []

    def paint_actions(self) -> None:
        line, row = self.query_one("#actions", ClickLine), self.cursor_row
        look = self.milepost.look
        if row is None or not self.milepost.link.is_live:
            line.show([])
            return
        left = parts.action_parts(self.buttons(row), look, self.size.width)
        line.show(left or [parts.Part(" nothing to do here: only details", look.dim)])
