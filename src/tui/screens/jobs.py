"""The jobs screen: every job, what needs someone first, and the keys that help."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.widgets import Input, Static

from milepost.common.text import brief
from milepost.core.errors import MilepostError
from milepost.tui import parts
from milepost.tui.clock import Clock
from milepost.tui.memory import recall
from milepost.tui.rows import JobRow
from milepost.tui.screens.detailing import DetailingScreen
from milepost.tui.screens.listing import Listing
from milepost.tui.status import ATTENTION, Status
from milepost.tui.store import Changes, JobStore
from milepost.tui.view import Sort
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.detail_pane import SPLITS, DetailPane
from milepost.tui.widgets.filter_line import FilterLine
from milepost.tui.widgets.job_table import COLUMNS, JobTable, JobTableHead
from milepost.tui.widgets.lines import LineList
from milepost.tui.widgets.masthead import Masthead

if TYPE_CHECKING:
    from milepost.tui.widgets.detail import JobDetail

#: Below this size there is the list and nothing around it.
PLAIN = Size(60, 16)
#: Lines of a screen on which a detail has room below the list.
ROOMY = 30


class JobsScreen(DetailingScreen):
    AUTO_FOCUS = "JobTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        # First of all: what follows in the same burst, as from a paste, is text and no command.
        Binding("slash", "filter", "Filter", id="jobs.filter", key_display="/", priority=True),
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

    def __init__(self, store: JobStore, clock: Clock) -> None:
        super().__init__()
        # As it looks until something is told: to change it afterwards would style everything once more.
        self.table = JobTable(id="table", classes="empty stale")
        self.listing = Listing(self.table, store, clock)
        self.view = self.listing.view
        self._notice = ""
        #: Why what stands in the filter line is no filter.
        self._wrong = ""

    def compose(self) -> ComposeResult:
        yield Masthead(id="masthead")
        yield FilterLine(id="filter-line")
        yield JobTableHead(id="head")
        self._notice = self._why_empty()
        yield Static(self._notice, id="notice", classes="shown", markup=False)
        yield self.table
        yield DetailPane(self.milepost.client_of, self.milepost.shelf)
        yield ClickLine(id="actions")
        yield ClickLine(id="hints")

    def on_mount(self) -> None:
        self.milepost.changes.subscribe(self, self._on_changes)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._paint_all())
        self._recall()
        self.set_interval(1.0, self._each_second)
        self._paint_all()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < PLAIN.width or event.size.height < PLAIN.height, "plain")
        self._paint_lines()
        self.paint_hints()

    # --- what is shown ---

    @property
    def _filter_line(self) -> FilterLine:
        return self.query_one(FilterLine)

    def _on_changes(self, changes: Changes) -> None:
        self.listing.tell(changes)
        if self.view.cursor_id in changes.dirty:
            self._show_detail()
        self._paint_lines()

    def _rebuild_now(self) -> None:
        self.listing.rebuild_now()
        self._paint_lines()
        self._remember()

    # --- what is remembered for the next time ---

    def _recall(self) -> None:
        now = self.milepost.memory.now
        recall(now, self.view)
        self._hide_columns(now.hidden_columns)
        if now.split in SPLITS:
            self.detail_pane.split = now.split
        self._filter_line.put_text(self.view.filter_text)

    def _remember(self) -> None:
        view = self.view
        self.milepost.remember(
            filter=view.filter_text,
            statuses=tuple(sorted(view.statuses)),
            sort=view.order.sort.value,
            reverse=view.order.reverse,
            split=self.detail_pane.split,
        )

    def _paint_all(self) -> None:
        self._rebuild_now()
        self._show_detail()
        self.paint_hints()

    def _paint_lines(self) -> None:
        """The lines around the list: cheap, for each repaints only when its text is another."""
        app = self.milepost
        self.query_one(Masthead).show(app.link, app.store, self.view, app.clock.now())
        self._filter_line.show(parts.listing(self.view, app.look))
        self.query_one(JobTableHead).show(self.view.order)
        stale = not app.link.is_live
        if stale != self.table.has_class("stale"):
            self.table.set_class(stale, "stale")
        self._paint_notice()
        self.paint_actions()
        detail = self.detail()
        if detail is not None and detail.job_id != self.view.cursor_id:
            self._show_detail()  # the list was made anew, and another job came under the cursor

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
        return parts.why_empty(self.milepost.link, self.milepost.store, self.view, self._wrong)

    def _each_second(self) -> None:
        moves = self.query_one(Masthead).look_at(self.milepost.store)
        if self.listing.look_again() or moves or not self.milepost.link.is_live:
            self._paint_lines()

    # --- what a person does ---

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        if event.control is self.table:
            self.listing.follow_hand()
            self._show_job()

    def on_line_list_opened(self, event: LineList.Opened) -> None:
        """First the detail beside the list, then all of the screen."""
        if event.control is not self.table:
            return
        self.listing.follow_hand()
        if self.detail_pane.is_open or self.size.height < ROOMY:
            self.detail_pane.put_away()
            self.milepost.open_job(self.view.cursor_id)
        else:
            self.detail_pane.open()
            self._settle_detail()

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A field takes the key as a letter, a log as its own search."""
        if action == "filter":
            return not isinstance(self.focused, Input) and not self.detail_pane.searches_log
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        self._filter_line.focus_field()

    def on_filter_line_typed(self, event: FilterLine.Typed) -> None:
        """What is not a filter yet changes nothing."""
        try:
            self.view.filter(event.text)
        except MilepostError as error:
            self._show_wrong(error.message)
        else:
            self._show_wrong("")
            self._rebuild_now()

    def _show_wrong(self, why: str) -> None:
        self._wrong = why
        self._filter_line.show_wrong(why)
        self._paint_notice()

    def on_filter_line_entered(self, event: FilterLine.Entered) -> None:
        try:
            self.view.filter(event.text)
        except MilepostError as error:
            self.complain(error)
        else:
            if self._filter_line.is_typed_in:
                self.set_focus(self.table)
            else:  # a second Enter, which was on its way to the field when the first one left it
                self.table.action_open()

    def _list_everything(self) -> None:
        self.view.statuses = frozenset()
        self.view.filter("")
        self._filter_line.put_text("")
        self._wrong = ""
        self._rebuild_now()

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
            self._list_everything()
        line = self.view.line_of(job_id)
        if line is not None:
            self.listing.put_cursor(line)
            self._show_job()
            self.table.focus()

    def action_mark(self) -> None:
        self.listing.mark()
        self._paint_marks()

    def action_mark_range(self) -> None:
        self.listing.mark_range()
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
        if self.listing.to_next_failed():
            self._show_job()

    def action_back(self) -> None:
        """One thing less: the filter's focus, the toasts, the detail, marks, then the filter and the statuses."""
        if self._filter_line.is_typed_in:
            self.table.focus()
        elif self.query("Toast"):
            self.app.clear_notifications()
        elif self.detail_pane.is_open:
            self._close_detail()
        elif self.view.marks:
            self.view.unmark_all()
            self._paint_marks()
        elif self.view.narrows:
            self._list_everything()

    def action_copy_id(self) -> None:
        self.listing.follow_cursor()
        if self.view.cursor_id and not self.answers_too_soon():
            self.app.copy_to_clipboard(self.view.cursor_id)
            self.notify(f"Copied {self.view.cursor_id}.", markup=False)

    # --- the detail ---

    @property
    def detail_pane(self) -> DetailPane:
        return self.query_one(DetailPane)

    def detail(self) -> "JobDetail | None":
        return self.detail_pane.detail

    def _show_job(self) -> None:
        """What is around the list is about the job under the cursor."""
        self.paint_actions()
        self._show_detail()

    def _show_detail(self) -> None:
        self.detail_pane.show(self.listing.cursor_row)

    def _settle_detail(self) -> None:
        """After it took room from the list."""
        self.paint_hints()
        self.call_after_refresh(self._show_detail)
        self.call_after_refresh(self.table.show_line, self.table.cursor)

    def on_job_detail_closed(self, event: "JobDetail.Closed") -> None:
        event.stop()
        self._close_detail()

    def _close_detail(self) -> None:
        self.detail_pane.close()
        self.table.focus()
        self.paint_hints()

    def action_zoom(self, by: int) -> None:
        self.detail_pane.zoom(by)
        self._settle_detail()
        self._remember()

    # --- commands ---

    def chosen_rows(self) -> Sequence[JobRow]:
        return self.listing.chosen_rows()

    def command(self, commands: Sequence[str]) -> None:
        if self.view.marked or not self.tells_of_slide():
            super().command(commands)

    def tells_of_slide(self) -> bool:
        if self.listing.slid_unseen:
            words = f"Another job has come under the cursor. Press it again if you mean {self.view.cursor_id}."
            self.notify(brief(words), severity="warning", markup=False)
        return self.listing.slid_unseen

    def paint_actions(self) -> None:
        """Of the jobs that a command would be for."""
        marked, look, width = self.view.listed_marks, self.milepost.look, self.size.width
        row = self.listing.rows.get(next(iter(marked), self.view.cursor_id))
        drawn: list[parts.Part] = []
        if row is not None and self.milepost.link.is_live:
            buttons = self.buttons_for_many(marked) if len(marked) > 1 else self.buttons(row)
            drawn = parts.action_parts(buttons, look, width, len(marked))
        self.query_one("#actions", ClickLine).show(drawn)
