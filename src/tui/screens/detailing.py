"""What screens with a detail of a job do for it: send what a person chose there, and copy what it gives."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from milepost.core.errors import MilepostError
from milepost.tui.parts import Hints, hints
from milepost.tui.screens.commanding import NOT_LIVE, CommandScreen
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.lines import LineList

if TYPE_CHECKING:
    from milepost.tui.widgets.detail import JobDetail


class DetailingScreen(CommandScreen):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("Y", "copy_report", "Copy failure report", show=False, id="command.copy_report"),
        Binding("tab", "pane(1)", "Next pane", show=False, id="detail.next_pane"),
        Binding("shift+tab", "pane(-1)", "Pane before", show=False, id="detail.previous_pane"),
    ]

    def detail(self) -> "JobDetail | None":
        """The one that is open."""
        raise NotImplementedError

    def on_descendant_focus(self) -> None:
        """Other keys work now."""
        self.paint_hints()
        self.paint_actions()

    def paint_hints(self) -> None:
        detail, milepost = self.detail(), self.milepost
        if detail is None:
            which = Hints.LIST
        elif not detail.has_focus_within:
            which = Hints.BESIDE
        else:
            which = Hints.ITEMS if detail.takes_item_keys else Hints.DETAIL
        self.query_one("#hints", ClickLine).show(hints(which, milepost.settings.keys, milepost.look, self.size.width))

    def action_pane(self, by: int) -> None:
        """Among the lists: a field is typed in only by whoever asked for it."""
        if by > 0:
            self.focus_next(LineList)
        else:
            self.focus_previous(LineList)

    def displayed_keys(self) -> Mapping[str, str]:
        """Among items the key to retry is for one of them."""
        keys, detail = super().displayed_keys(), self.detail()
        return {**keys, "retry": ""} if detail is not None and detail.takes_item_keys else keys

    def action_copy_report(self) -> None:
        """Of the first of the chosen jobs, whether its detail is open or not."""
        if rows := self.chosen_rows():
            self.copy_report(rows[0].id)

    def copy_report(self, job_id: str) -> None:
        self.run_worker(self._copy_report(job_id), group="report", exclusive=True)

    async def _copy_report(self, job_id: str) -> None:
        from milepost.tui import readers  # loaded with the connection

        client = self.milepost.client_of()
        if client is None:
            self.notify("Not connected: a report cannot be made now.", severity="warning", markup=False)
            return
        try:
            text = await readers.report(client, job_id)
        except MilepostError as error:
            self.complain(error)
        else:
            self.app.copy_to_clipboard(text)
            self.notify(f"Copied the failure report of {job_id} ({len(text):,} letters).", markup=False)

    def on_job_detail_item_retry(self, event: "JobDetail.ItemRetry") -> None:
        event.stop()
        if self.tells_of_slide():
            return
        if self.milepost.link.is_live:
            deed = self._send(event.job_id, "RETRY", item_keys=(event.item_key,))
            self.app.run_worker(deed, group="commands")
        else:
            self.notify(NOT_LIVE, severity="warning", markup=False)
