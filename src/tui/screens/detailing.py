"""What screens do for a detail of a job: send what a person chose there, and copy what it gives."""

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from milepost.tui.screens.commanding import CommandScreen

if TYPE_CHECKING:
    from milepost.tui.widgets.detail import JobDetail


class DetailingScreen(CommandScreen):
    """For screens that have a JobDetail."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("Y", "copy_report", "Copy failure report", show=False, id="command.copy_report"),
    ]

    def action_copy_report(self) -> None:
        """Of the first of the chosen jobs, whether its detail is open or not."""
        if rows := self.chosen_rows():
            self.query_one(JobDetail).copy_report(rows[0].id)

    def on_job_detail_item_retry(self, event: "JobDetail.ItemRetry") -> None:
        event.stop()
        if self.milepost.link.is_live:
            self.run_worker(self._send(event.job_id, "RETRY", item_keys=(event.item_key,)), group="commands")
        else:
            self.notify("Not connected: commands are off until the daemon answers.", severity="warning", markup=False)

    def on_job_detail_text_to_copy(self, event: "JobDetail.TextToCopy") -> None:
        event.stop()
        self.app.copy_to_clipboard(event.text)
        self.notify(f"Copied the {event.what} ({len(event.text):,} letters).", markup=False)
