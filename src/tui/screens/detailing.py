"""What screens do for a detail of a job: send what a person chose there, and copy what it gives."""

from milepost.tui.screens.commanding import CommandScreen
from milepost.tui.widgets.detail import JobDetail


class DetailingScreen(CommandScreen):
    """For screens that have a JobDetail."""

    def on_job_detail_item_retry(self, event: JobDetail.ItemRetry) -> None:
        event.stop()
        if self.milepost.link.is_live:
            self.run_worker(self._send(event.job_id, "RETRY", item_keys=(event.item_key,)), group="commands")
        else:
            self.notify("Not connected: commands are off until the daemon answers.", severity="warning", markup=False)

    def on_job_detail_text_to_copy(self, event: JobDetail.TextToCopy) -> None:
        event.stop()
        self.app.copy_to_clipboard(event.text)
        self.notify(f"Copied the {event.what} ({len(event.text):,} letters).", markup=False)
