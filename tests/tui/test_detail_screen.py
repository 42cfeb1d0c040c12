"""A job on the whole screen of the real application: commands from its detail reach the daemon."""

from pathlib import Path

from milepost.core.model import JobState
from milepost.tui.screens.job import JobScreen
from milepost.tui.screens.jobs import JobsScreen
from milepost.v1 import job_pb2
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, commands_of, insert, open_ui

JOB = "j-aaaaaaaa"


async def _open_job(ui: Ui) -> JobScreen:
    ui.app.push_screen(JobScreen(JOB))
    await ui.until(lambda: "network: No answer." in ui.text(), "the items of the job")
    found = ui.app.screen
    assert isinstance(found, JobScreen)
    return found


async def test_an_item_is_retried_from_its_card(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, JOB, JobState.PAUSED, failed=2)
    async with open_ui(daemon, tmp_path, size=(100, 30)) as ui:
        await _open_job(ui)
        await ui.press("f")
        await ui.until(lambda: "> ✗ b" in ui.text(), "the cursor on the next failed item")
        await ui.press("enter")
        await ui.until(lambda: "(rule: default)" in ui.text(), "the card")
        await ui.press("t")
        await ui.until(lambda: any("runs 1 failed task again" in toast for toast in ui.toasts()), "a toast")
        assert await commands_of(daemon, JOB) == ["RETRY"]


async def test_the_report_is_copied(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, JOB, JobState.PAUSED)
    async with open_ui(daemon, tmp_path) as ui:
        await _open_job(ui)
        await ui.press("Y")
        await ui.until(lambda: any("Copied the failure report" in toast for toast in ui.toasts()), "a toast")
        assert ui.app.clipboard.startswith(f"# PAUSED: creators ({JOB})")
        assert "## Failed items: 1" in ui.app.clipboard


async def test_a_command_of_the_job_and_back_to_the_list(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, JOB, JobState.PAUSED)
    async with open_ui(daemon, tmp_path) as ui:
        await _open_job(ui)
        await ui.press("r")
        await ui.until(lambda: ui.job(JOB).state == job_pb2.JOB_STATE_QUEUED, "that it goes on")
        await ui.until(lambda: "queued" in ui.text(), "that the screen says so")
        await ui.press("escape")
        await ui.until(lambda: isinstance(ui.app.screen, JobsScreen), "the list")


async def test_one_cursor_and_the_keys_that_work_where_it_is(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, JOB, JobState.COMPLETED)
    async with open_ui(daemon, tmp_path, size=(100, 36)) as ui:
        await ui.go_to(JOB)
        assert "pane" not in ui.line_of("#hints")
        await ui.press("tab")
        assert _cursors(ui) == ["△"]  # not into the filter
        await ui.press("enter")
        await ui.until(lambda: "network: No answer." in ui.text(), "the items of the job")
        assert _cursors(ui) == ["△"]
        assert " tab pane " in ui.line_of("#hints")
        assert "[t ↻ Retry failed]" in ui.line_of("#actions")
        await ui.press("tab", "tab")
        assert _cursors(ui) == ["✗"]
        assert " t retry item " in ui.line_of("#hints")
        assert "[↻ Retry failed]" in ui.line_of("#actions")  # the key is for the item now
        await ui.press("right_square_bracket")
        await ui.until(lambda: " t retry item " not in ui.line_of("#hints"), "the keys of another tab")
        assert "[t ↻ Retry failed]" in ui.line_of("#actions")
        await ui.press("escape")
        await ui.until(lambda: "pane" not in ui.line_of("#hints"), "that the detail is closed")


def _cursors(ui: Ui) -> list[str]:
    """What stands behind each sign of a cursor."""
    return [line.split()[1] for line in ui.text().splitlines() if line.lstrip().startswith("> ")]


async def test_time_passes_for_a_job_of_which_nothing_is_told(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, JOB, JobState.PAUSED)
    async with open_ui(daemon, tmp_path, size=(120, 40)) as ui:
        paused = job_pb2.Job()
        paused.CopyFrom(ui.job(JOB))
        paused.start_time.FromSeconds(int(ui.clock.time) - 600)
        paused.progress.elapsed.FromSeconds(60)
        await ui.tell(paused)
        await _open_job(ui)
        await ui.until(lambda: "1m of 10m" in ui.text(), "how long it ran")
        ui.clock.pass_by(600)
        await ui.until(lambda: "1m of 20m" in ui.text(), "it stands still for longer")
