"""The list under keys and mouse: sorts, statuses, marks, freezing, and where the cursor is meanwhile."""

from pathlib import Path

import pytest
from textual.widgets import Input

from milepost.core.model import JobState
from milepost.tui.screens import listing as subject
from milepost.tui.screens.dialogs import ConfirmDialog
from milepost.tui.status import Status
from milepost.tui.view import Order, Sort
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.support.tui import PIPELINE, Ui, insert, open_ui

SIZE = (120, 24)


async def four(daemon: InProcessDaemon) -> None:
    await insert(daemon, "j-bbbbbbbb", JobState.PAUSED, name="delta")
    await insert(daemon, "j-dddddddd", JobState.FAILED, name="alpha")
    await insert(daemon, "j-aaaaaaaa", JobState.FAILED, name="charlie", create_time=1_600_000_000.0)
    await insert(daemon, "j-cccccccc", JobState.COMPLETED, name="bravo", failed=0)


def letters(ui: Ui) -> str:
    """The list, one letter a job."""
    return "".join(job_id[2] for job_id in ui.screen.view.ids)


async def test_keys_and_titles_sort(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        assert letters(ui) == "dabc"
        await ui.click("#head", "NAME")
        assert letters(ui) == "dcab"
        assert "NAME▲" in ui.line_of("#head")
        await ui.click("#head", "NAME")
        assert letters(ui) == "bacd"
        assert "NAME▼" in ui.line_of("#head")
        await ui.press("O")
        assert letters(ui) == "dcab"
        await ui.click("#head", "FAIL")
        assert ui.screen.view.order == Order(Sort.FAILED, reverse=True)
        assert letters(ui)[-1] == "c"
        assert "sort: failed ▼" in ui.line_of("#listing")
        for sort in [*list(Sort)[list(Sort).index(Sort.FAILED) + 1 :], Sort.ATTENTION]:
            await ui.press("o")
            assert ui.screen.view.order.sort is sort


async def test_digits_and_chips_choose_statuses(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("5")
        assert letters(ui) == "da"
        await ui.click("#chips", "3 ‖")
        assert letters(ui) == "b"
        await ui.click("#chips", "0 All")
        assert letters(ui) == "dabc"
        await ui.press("exclamation_mark")
        assert letters(ui) == "da"
        await ui.press("escape")
        assert letters(ui) == "dabc"


async def test_a_filter_is_typed_and_taken_away(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.type("state = FAILED AND NOT alpha")
        assert letters(ui) == "a"
        await ui.press("enter")
        await ui.until(lambda: ui.app.focused is ui.screen.table, "the list has the focus")
        await ui.press("escape")
        assert letters(ui) == "dabc"
        assert ui.screen.query_one("#filter", Input).value == ""


async def test_time_passes_for_a_filter_too(
    daemon: InProcessDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "LOOK_AGAIN", 0.0)
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.type("age < 2h")
        assert letters(ui) == "a"
        ui.clock.pass_by(7200)
        await ui.until(lambda: letters(ui) == "", "it is older now")


async def test_the_cursor_stays_on_its_job(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-bbbbbbbb")
        await ui.click("#head", "ID")
        assert (letters(ui), ui.screen.view.cursor_id, ui.screen.table.cursor) == ("abcd", "j-bbbbbbbb", 1)
        await insert(daemon, "j-aaaaaaab", JobState.PAUSED)
        await ui.until(lambda: letters(ui) == "aabcd", "the new job is listed")
        assert (ui.screen.view.cursor_id, ui.screen.table.cursor) == ("j-bbbbbbbb", 2)
        await ui.press("G")
        assert ui.screen.view.cursor_id == "j-dddddddd"
        await ui.press("g", "j", "k", "ctrl+d", "ctrl+u", "pagedown", "pageup")
        assert ui.screen.view.cursor_id == "j-aaaaaaaa"


async def test_what_failed_is_found_and_an_id_copied(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("f")
        assert ui.screen.view.cursor_id == "j-aaaaaaaa"
        await ui.press("f")
        assert ui.screen.view.cursor_id == "j-dddddddd"
        await ui.press("y")
        assert ui.app.clipboard == "j-dddddddd"


async def test_a_frozen_list_stands_still(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("u")
        assert "frozen" in ui.line_of("#listing")
        await insert(daemon, "j-eeeeeeee", JobState.WAITING)
        await ui.until(lambda: ui.app.store.by_status[Status.WAITING] == 1, "the new job is told of")
        ui.screen.listing.rebuild()
        assert letters(ui) == "dabc"
        await ui.press("u")
        await ui.until(lambda: letters(ui) == "edabc", "the list is as it is")


async def test_a_click_moves_the_cursor(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.settle()
        await ui.pilot.click("#table", offset=(20, 2))
        await ui.until(lambda: ui.screen.view.cursor_id == "j-bbbbbbbb", "the cursor is where it was clicked")
        await ui.settle()
        await ui.click("#actions", "Resume")
        await ui.until(ui.toasts, "it is resumed")
        assert "j-bbbbbbbb" in ui.toasts()[0]


async def test_the_detail_is_of_the_job_under_the_cursor(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, (120, 40)) as ui:

        async def is_of(job_id: str) -> None:
            assert ui.screen.view.cursor_id == job_id
            await ui.until(lambda: ui.screen.detail() is not None, "the detail is open")
            await ui.until(lambda: job_id in ui.line_of("#detail-tabs"), f"it is of {job_id}")

        await ui.press("enter")
        await is_of("j-dddddddd")
        await ui.press("f")
        await is_of("j-aaaaaaaa")
        await ui.press("3")
        await is_of("j-bbbbbbbb")
        await ui.press("0")
        await is_of("j-bbbbbbbb")
        await ui.type("charlie")
        await is_of("j-aaaaaaaa")
        await ui.press(*["backspace"] * len("charlie"), "enter")
        ui.app.store.apply(pb.WatchJobsResponse(deleted=["j-aaaaaaaa"]))
        ui.app._on_change()
        await ui.until(lambda: letters(ui) == "dbc", "it has left the list")
        await is_of("j-bbbbbbbb")


async def test_the_actions_are_those_of_what_is_marked(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await four(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-bbbbbbbb")
        await ui.press("space")
        assert ui.screen.view.cursor_id == "j-cccccccc"
        assert "Pause" not in ui.line_of("#actions")
        assert "[r ▶ Resume] [R ↻ Restart from a step] [x ⊘ Cancel job]" in ui.line_of("#actions")
        await ui.press("space")
        assert ui.line_of("#actions").startswith(" 2 marked: [r ▶ Resume] [R ↻ Restart] [p ‖ Pause]")
        await ui.click("#actions", "Resume")
        dialog = await ui.dialog(ConfirmDialog)
        assert dialog.question.title == "Resume 1 of 2; 1 skipped: 1 completed"


async def test_steps_that_never_began_do_not_look_done(daemon: InProcessDaemon, tmp_path: Path) -> None:
    unread = await daemon.insert("j-aaaaaaaa", PIPELINE, state=JobState.RUNNING, queue_time=None, run_count=1)
    await daemon.report(unread, factories.failed(0, 0, error_class="persistent"))
    broken = await insert(daemon, "j-bbbbbbbb", JobState.RUNNING, failed=3)
    await daemon.report(broken, factories.succeeded(3, 0))
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        lines = {job_id: next(line for line in ui.lines() if job_id in line) for job_id in ui.screen.view.ids}
        assert ("✗○○○" in lines["j-aaaaaaaa"], "100%" in lines["j-aaaaaaaa"]) == (True, False)
        assert "✓✗─✓" in lines["j-bbbbbbbb"]
        await ui.go_to("j-aaaaaaaa")
        await ui.press("enter", "tab", "]")
        await ui.until(lambda: "○ score" in ui.text(), "the steps of the job")
        assert "○ report" in ui.text()
        assert any("failed" in line and "step rows" in line for line in ui.lines())
