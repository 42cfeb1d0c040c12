"""Everything about one job: what is wrong with it, its items, steps, log, metrics and history.

It is shown documents of the job by `show`; what else it needs it reads for the tab that is open, and for no other.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual import events, on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from milepost.common.text import shorten
from milepost.core.model import ItemState
from milepost.tui import documents
from milepost.tui.actions import offered_one
from milepost.tui.row_making import row_for
from milepost.tui.rows import JobRow
from milepost.tui.shelf import Shelf
from milepost.tui.status import ATTENTION, Status
from milepost.tui.theme import look_of
from milepost.tui.widgets.cells import plain
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.composed import Wanted
from milepost.tui.widgets.items import Items
from milepost.tui.widgets.log_lines import tagged
from milepost.tui.widgets.logs import Logs
from milepost.tui.widgets.metrics import Metrics, Summary
from milepost.tui.widgets.reading import Pane, Reading
from milepost.tui.widgets.steps import Steps
from milepost.tui.widgets.tab_bar import CLOSE, Tab, TabBar
from milepost.tui.widgets.timeline import Timeline
from milepost.tui.windows import ItemFilter

if TYPE_CHECKING:
    from milepost.common.client import Client
    from milepost.v1.job_pb2 import Item, Job

#: From these sizes on the summary stands at the side, and what is wrong with the job takes several lines.
SUMMARY_WIDTH = 100
TALL = 14


class JobDetail(Widget):
    """`client_of` gives the connection there is now, or None; `shelf` what was read before. It closes only by hand."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "tab(1)", "Next tab", id="detail.next_tab", show=False),
        Binding("left_square_bracket", "tab(-1)", "Tab before", id="detail.previous_tab", show=False),
        Binding("escape", "back", "Back", id="detail.back", show=False),
        Binding("ctrl+r", "read_again", "Read again", id="detail.read_again", show=False),
    ]
    DEFAULT_CSS = """
    JobDetail {
        layout: vertical;
        & > #detail-why { height: auto; max-height: 4; padding: 0 1; display: none; }
        & > #detail-why.-some { display: block; }
        & > #detail-error { height: 1; padding: 0 1; display: none; }
        & > #detail-error.-some { display: block; }
        &.-short > #detail-why { height: 1; }
        & > Horizontal { height: 1fr; }
        & Items, & Steps, & Logs, & Metrics, & Timeline { width: 1fr; height: 1fr; display: none; }
        & .-open { display: block; }
        & Summary { width: 25%; min-width: 30; height: 1fr; border-left: solid $panel; padding: 0 1; display: none; }
        &.-wide Summary { display: block; }
    }
    """

    class ItemRetry(Message):
        """A person wants this failed item executed again; the job allows it."""

        def __init__(self, job_id: str, item_key: str) -> None:
            super().__init__()
            self.job_id = job_id
            self.item_key = item_key

    class Closed(Message):
        """A person closed the detail."""

    def __init__(self, client_of: "Callable[[], Client | None]", shelf: Shelf) -> None:
        super().__init__(id="detail")
        self._shelf = shelf
        self._row: JobRow | None = None
        self._bar = TabBar(id="detail-tabs")
        self._why = Static(id="detail-why", markup=False)
        self._error = Static(id="detail-error", markup=False)
        self._summary = Summary(id="detail-summary")
        self._panes: dict[Tab, Pane] = {
            Tab.ITEMS: Items(id="detail-items"),
            Tab.STEPS: Steps(id="detail-steps"),
            Tab.LOGS: Logs(id="detail-logs"),
            Tab.METRICS: Metrics(id="detail-metrics"),
            Tab.TIMELINE: Timeline(id="detail-timeline"),
        }
        self._tab = Tab.ITEMS
        self._reading = Reading(self, client_of, self._tell_error)
        self._why_shown: list[tuple[str, Style]] = []

    def compose(self) -> ComposeResult:
        yield self._bar
        yield self._why
        yield self._error
        with Horizontal():
            yield from self._panes.values()
            yield self._summary

    def on_mount(self) -> None:
        self._panes[self._tab].add_class("-open")
        self.set_interval(1.0, self._paint)  # time passes for a job of which nothing is told, too

    # --- what others call ---

    @property
    def job_id(self) -> str:
        """Empty while none is shown."""
        return self._row.job.id if self._row else ""

    @property
    def tab(self) -> Tab:
        return self._tab

    @property
    def shows_log(self) -> bool:
        return self._tab is Tab.LOGS

    @property
    def items(self) -> Items:
        items = self._panes[Tab.ITEMS]
        assert isinstance(items, Items)
        return items

    @property
    def takes_item_keys(self) -> bool:
        """Whether the keys of items work now."""
        return self._tab is Tab.ITEMS and self._pane.has_focus_within

    def show(self, job: "Job | None") -> None:
        """The newest document of the open job; None closes what is open. May be called for every repaint."""
        if job is None:
            self.put_away()
            self._row = None
            self._reading.stop()
            return
        if self.job_id != job.id:
            self.put_away()
        before, self._row = self._row, row_for(job)
        if before is None or before.job.id != job.id:
            for pane in self._panes.values():
                pane.clear()
            self.items.recall(self._shelf.get(job.id))
            self._reading.start(self._pane, self._row)
        elif before.job.revision != job.revision:
            self._reading.job_changed(self._row)
        self._paint()

    def put_away(self) -> None:
        """What was read is there for whoever opens the job next."""
        if self._row is not None:
            self._shelf.put(self._row.job.id, self.items.kept)

    def on_unmount(self) -> None:
        self.put_away()

    def focus_tab(self) -> None:
        self._pane.focus_target.focus()

    def open_tab(self, tab: Tab) -> None:
        if tab is self._tab:
            return
        had_focus = self._pane.has_focus_within
        self._pane.remove_class("-open")
        self._tab = tab
        self._pane.add_class("-open")
        self._paint()
        if had_focus:
            self.focus_tab()
        if self._row is not None:
            self._reading.start(self._pane, self._row)

    def read_again(self) -> None:
        """After a connection came back, or because a person wants it."""
        if self._row is not None:
            self._reading.start_anew(self._pane, self._row)

    # --- drawing ---

    @property
    def _pane(self) -> Pane:
        return self._panes[self._tab]

    def _paint(self) -> None:
        row = self._row
        if row is None or not self.size:
            return
        self._bar.show_job(row, self._tab)
        self._paint_why(row)
        if self.has_class("-wide"):
            self._summary.show_job(row)
        match self._pane:
            case Metrics() | Steps() as pane:
                pane.show_job(row)
            case Items() as items:
                items.show_job(row.job)

    def _paint_why(self, row: JobRow) -> None:
        """Why the job is as it is, and what to do now."""
        look, job = look_of(self), row.job
        reasons = [job.reason, *(finding.reason for finding in job.findings)]
        style = look.statuses[row.status] if row.status in ATTENTION else look.dim
        lines = [(f"{plain(one.message)} {plain(one.remedy)}".strip(), style) for one in reasons if one.message]
        if job.HasField("stop"):
            lines.append((plain(documents.stop_words(job)), look.statuses[row.status]))
        if lines == self._why_shown:
            return
        self._why_shown = lines
        self._why.set_class(bool(lines), "-some")
        self._why.update(Text("\n").join(Text(line, style) for line, style in lines))

    def _tell_error(self, words: str) -> None:
        self._error.set_class(bool(words), "-some")
        room = max(20, self.size.width - 2)
        self._error.update(Text(shorten(words, room), look_of(self).statuses[Status.FAILED]))

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= SUMMARY_WIDTH, "-wide")
        self.set_class(event.size.height < TALL, "-short")
        self.call_after_refresh(self._paint)

    # --- what the panes tell ---

    def on_logs_began(self, event: Logs.Began) -> None:
        event.stop()
        self._tell_error("")

    def on_wanted(self, event: Wanted) -> None:
        event.stop()
        if self._pane in event.pane.ancestors_with_self:
            self._reading.want_more()

    # --- keys and mouse ---

    @on(ClickLine.Clicked, "#detail-tabs")
    def _bar_clicked(self, event: ClickLine.Clicked) -> None:
        event.stop()
        if event.target == CLOSE:
            self.post_message(self.Closed())
        else:
            self.open_tab(Tab(event.target))
            self.focus_tab()

    def action_tab(self, by: int) -> None:
        self.open_tab(self._tab.neighbour(by))

    def action_back(self) -> None:
        """Out of the card or the search; then the detail closes."""
        match self._pane:
            case Items() as items if items.close_card():
                return
            case Items() as items if items.list.filter.narrows:
                items.choose(ItemFilter())
            case Logs() as logs if logs.close_search():
                return
            case _:
                self.post_message(self.Closed())

    def action_read_again(self) -> None:
        self.read_again()
        raise SkipAction  # where the daemon is lost the key also means to connect

    def on_steps_chosen(self, event: Steps.Chosen) -> None:
        event.stop()
        self._open_items(ItemFilter(step=event.step))

    def on_items_logs_chosen(self, event: Items.LogsChosen) -> None:
        event.stop()
        logs = self._panes[Tab.LOGS]
        assert isinstance(logs, Logs)
        logs.show_only(tagged(event.item.key))
        self.open_tab(Tab.LOGS)

    def on_metrics_class_chosen(self, event: Metrics.ClassChosen) -> None:
        event.stop()
        self._open_items(ItemFilter(error_class=event.error_class))

    def _open_items(self, wanted: ItemFilter) -> None:
        self.open_tab(Tab.ITEMS)
        self.items.close_card()
        self.items.choose(wanted)

    def on_items_retry_chosen(self, event: Items.RetryChosen) -> None:
        event.stop()
        self._retry(event.item)

    def _retry(self, item: "Item") -> None:
        if self._row is None:
            return
        if documents.item_state(item) is not ItemState.FAILED:
            self.notify("Only a failed item can be retried.", severity="warning", markup=False)
            return
        retry = offered_one(self._row, ["RETRY"])
        if retry.allowed:
            self.post_message(self.ItemRetry(self._row.job.id, item.key))
        else:
            self.notify(retry.refusal, severity="warning", markup=False)
