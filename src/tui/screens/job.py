"""One job on the whole screen: the same detail, with its actions below."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from milepost.tui import parts
from milepost.tui.rows import JobRow
from milepost.tui.screens.detailing import DetailingScreen
from milepost.tui.store import Changes
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.detail import JobDetail


class JobScreen(DetailingScreen):
    """Of one job for as long as it is open; a job that is removed meanwhile stays as it was last seen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy_id", "Copy the id", show=False, id="job.copy_id")]
    DEFAULT_CSS = """
    JobScreen > JobDetail { height: 1fr; }
    """

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self._job_id = job_id
        self._row: JobRow | None = None

    def compose(self) -> ComposeResult:
        yield JobDetail(self.milepost.client_of, self.milepost.shelf)
        yield ClickLine(id="job-actions")
        yield ClickLine(id="hints")

    def on_mount(self) -> None:
        self.milepost.changes.subscribe(self, self._on_changes)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._paint())
        self.set_interval(1.0, self.paint_actions)  # what is shown grows old
        self._paint()
        self.query_one(JobDetail).focus_tab()

    def detail(self) -> JobDetail:
        return self.query_one(JobDetail)

    def on_resize(self) -> None:
        self.paint_hints()

    def go_to(self, job_id: str) -> None:
        self.app.switch_screen(JobScreen(job_id))

    def chosen_rows(self) -> Sequence[JobRow]:
        return [self._row] if self._row and not self._is_gone else []

    @property
    def _is_gone(self) -> bool:
        store = self.milepost.store
        return store.complete and self._job_id not in store.rows

    def paint_actions(self) -> None:
        look, line = self.milepost.look, self.query_one("#job-actions", ClickLine)
        if self._is_gone:
            line.show([parts.Part(" this job was removed: what you see is how it was last", look.amber)])
        elif self._row is None:
            line.show([parts.Part(" loading …", look.dim)])
        elif not self.milepost.link.is_live:
            line.show([parts.Part(parts.outdated(self.milepost.link, self.milepost.clock.now()), look.amber)])
        else:
            line.show(parts.action_parts(self.buttons(self._row), look, self.size.width))

    def _on_changes(self, changes: Changes) -> None:
        if self._row is None or self._job_id in changes.dirty:
            self._paint()
        else:
            self.paint_actions()

    def _paint(self) -> None:
        row = self.milepost.store.rows.get(self._job_id)
        if row is not None:
            self._row = row
            self.query_one(JobDetail).show(row.job)
        self.paint_hints()
        self.paint_actions()

    def on_job_detail_closed(self, event: JobDetail.Closed) -> None:
        event.stop()
        self.app.pop_screen()

    def on_click_line_clicked(self, event: ClickLine.Clicked) -> None:
        kind, _, value = event.target.partition(":")
        if kind == "key":
            self.action_key(value)
        elif kind == "command":
            self.command((value,))
        elif kind == "action" and value:
            self.call_later(self.run_action, value)

    def action_copy_id(self) -> None:
        if not self.answers_too_soon():
            self.app.copy_to_clipboard(self._job_id)
            self.notify(f"Copied {self._job_id}.", markup=False)
