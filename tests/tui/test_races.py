"""What a person does in the very moment in which something else happens."""

import asyncio
import itertools
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from textual import _time as textual_time
from textual import events
from textual.command import CommandList, CommandPalette
from textual.keys import _character_to_key
from textual.visual import visualize
from textual.widgets import Input

from milepost.core.model import JobState
from milepost.daemon.store import operations
from milepost.tui.link import LinkState
from milepost.tui.screens.dialogs import ChoiceDialog, ConfirmDialog, Question
from milepost.tui.screens.jobs import JobsScreen
from milepost.tui.widgets.detail import JobDetail
from milepost.tui.widgets.tab_bar import Tab
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.support.tui import PIPELINE, Ui, commands_of, insert, open_ui

SIZE = (100, 40)


def delete(ui: Ui, job_id: str) -> None:
    """As the daemon tells it, before anything is drawn anew."""
    ui.app.store.apply(pb.WatchJobsResponse(deleted=[job_id]))


def highlighted(ui: Ui) -> str:
    option = ui.app.screen.query_one(CommandList).highlighted_option
    return str(option.prompt) if option else ""


async def two(daemon: InProcessDaemon) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED, name="alpha")
    await insert(daemon, "j-bbbbbbbb", JobState.PAUSED, name="bravo")


async def test_keys_after_a_job_was_deleted_and_before_the_list_is_made_anew(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-aaaaaaaa")
        delete(ui, "j-aaaaaaaa")
        await ui.press(*"rRpxtYyf", "space", "V", "a", "enter")
        assert await commands_of(daemon, "j-bbbbbbbb") == []
        assert not isinstance(ui.app.screen, ConfirmDialog | ChoiceDialog)


async def test_a_key_meant_for_the_job_that_has_just_left_the_list(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-aaaaaaaa")
        delete(ui, "j-aaaaaaaa")
        ui.screen.listing.rebuild()
        assert ui.screen.view.cursor_id == "j-bbbbbbbb"
        await ui.press("r")
        await ui.until(ui.toasts, "it says why not")
        assert "Press it again if you mean j-bbbbbbbb." in ui.toasts()[0]
        assert await commands_of(daemon, "j-bbbbbbbb") == []
        ui.clear_toasts()
        ui.clock.pass_by(1)
        await ui.press("r")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-bbbbbbbb") == ["RESUME"]


async def test_the_key_to_retry_an_item_of_a_job_that_has_just_come_under_the_cursor(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-aaaaaaaa")
        await ui.press("enter")
        await ui.until(lambda: "1/3" in ui.text(), "the items are read")
        await ui.press("tab", "tab")
        delete(ui, "j-aaaaaaaa")
        ui.screen.listing.rebuild()
        ui.screen._paint_lines()
        await ui.until(lambda: "j-bbbbbbbb" in ui.line_of("#detail-tabs"), "the detail is of the other job")
        await ui.until(lambda: "> ✗ a" in ui.text(), "its items are read")
        await ui.press("t")
        await ui.until(ui.toasts, "it says why not")
        assert "Press it again if you mean j-bbbbbbbb." in ui.toasts()[0]
        ui.clear_toasts()
        ui.clock.pass_by(1)
        await ui.press("t")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-bbbbbbbb") == ["RETRY"]


async def test_the_key_to_retry_meant_for_the_item_that_has_just_left_the_list(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    job = await insert(daemon, "j-aaaaaaaa", JobState.PAUSED, failed=2)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        ui.app.open_job("j-aaaaaaaa")
        await ui.until(lambda: "> ✗ a" in ui.text(), "the items are read")
        await ui.press("1")
        await ui.until(lambda: "1/2" in ui.text(), "only those that failed are listed")
        await ui.press("t")
        await ui.until(ui.toasts, "it is done")
        await daemon.store.write(lambda tx: operations.advance(tx, job.id, PIPELINE, factories.NOW))
        await ui.until(lambda: "> ✗ b" in ui.text(), "the next one is under the cursor")
        ui.clear_toasts()
        await ui.press("t")
        await ui.until(ui.toasts, "it says why not")
        assert "Press it again if you mean b." in ui.toasts()[0]
        assert await commands_of(daemon, "j-aaaaaaaa") == ["RETRY"]
        ui.clock.pass_by(1)
        ui.clear_toasts()
        await ui.press("t")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-aaaaaaaa") == ["RETRY", "RETRY"]


async def test_a_second_enter_right_after_that_of_a_filter_opens_what_it_found(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for key in ("slash", *"bravo", "enter", "enter"):
            ui.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await ui.until(lambda: ui.screen.detail() is not None, "the detail is open")
        assert ui.app.focused is ui.screen.table
        assert ui.screen.query_one("#filter", Input).value == "bravo"
        await ui.until(lambda: "j-bbbbbbbb" in ui.line_of("#detail-tabs"), "it is of what was found")


async def test_commands_on_many_jobs_that_the_daemon_does_not_answer_are_told_at_once(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await two(daemon)
    await insert(daemon, "j-cccccccc", JobState.PAUSED, name="charlie")
    go_on = threading.Event()
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        writing = asyncio.create_task(daemon.store.write(lambda _: go_on.wait(30)))
        try:
            await ui.press("a", "r")
            await ui.dialog(ConfirmDialog)
            ui.clock.pass_by(1)
            await ui.press("y")
            await ui.until(lambda: "[r … Resume]" in ui.text(), "they are under way")
            ui.app._connect()
            await ui.until(lambda: len(ui.toasts()) == 2, "it is told")
        finally:
            go_on.set()
        await writing
        await ui.settle()
        done, not_done = ui.toasts()
        assert done == "Resume: 0 of 3 jobs done."
        assert not_done.startswith("Not done 3 jobs: The connection was lost before the answer came")


async def test_the_palette_is_for_the_job_that_it_names(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-aaaaaaaa")
        await ui.press(":")
        await ui.until(lambda: "j-aaaaaaaa: " in ui.text(), "it names the job")
        await ui.press(*"Resume")
        await ui.until(lambda: "Resume" in highlighted(ui), "it is highlighted")
        ui.screen.go_to("j-bbbbbbbb")
        ui.app.screen.query_one(Input).focus()
        await ui.press("enter")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-aaaaaaaa") == ["RESUME"]
        assert await commands_of(daemon, "j-bbbbbbbb") == []


async def test_marks_that_a_filter_hides_get_no_command(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("a")
        assert "2 marked  " in ui.line_of("#listing")
        await ui.type("alpha")
        await ui.press("enter")
        await ui.until(lambda: "2 marked, 1 not listed" in ui.line_of("#listing"), "it says so")
        await ui.press("r")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-aaaaaaaa") == ["RESUME"]
        assert await commands_of(daemon, "j-bbbbbbbb") == []


async def test_a_question_that_is_answered_after_the_job_has_changed(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-aaaaaaaa")
        await ui.press("x")
        await ui.dialog(ConfirmDialog)
        changed = job_pb2.Job()
        changed.CopyFrom(ui.job("j-aaaaaaaa"))
        changed.state = job_pb2.JOB_STATE_RUNNING
        await ui.tell(changed)
        ui.clock.pass_by(1)
        await ui.press("y")
        await ui.until(ui.toasts, "it says why not")
        assert "is not paused any more" in ui.toasts()[0]
        assert await commands_of(daemon, "j-aaaaaaaa") == []


async def test_a_question_about_many_is_only_for_those_that_have_not_changed(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("a", "r")
        await ui.dialog(ConfirmDialog)
        delete(ui, "j-aaaaaaaa")
        ui.clock.pass_by(1)
        await ui.press("y")
        await ui.until(lambda: len(ui.toasts()) == 2, "it is told")
        assert ui.toasts()[0].startswith("1 of these jobs changed")
        assert await commands_of(daemon, "j-aaaaaaaa") == []
        assert await commands_of(daemon, "j-bbbbbbbb") == ["RESUME"]


async def test_a_detail_whose_job_is_removed(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        ui.app.open_job("j-aaaaaaaa")
        await ui.until(lambda: "r ▶ Resume" in ui.text(), "the detail is open")
        delete(ui, "j-aaaaaaaa")
        ui.app._on_change()
        await ui.until(lambda: "this job was removed" in ui.text(), "it says so")
        await ui.press(*"rxY")
        assert "alpha" in ui.text()
        assert not ui.toasts()


async def test_changes_are_told_however_late_a_timer_is(
    daemon: InProcessDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual looks at the clock twice before a timer waits: when other threads take their turn in between, one that
    calls once and is late by then never calls. The list stood still for as long as the program ran.
    """
    looks = itertools.count()
    clock = textual_time.get_time
    monkeypatch.setattr(textual_time, "get_time", lambda: clock() + next(looks) * 0.01)
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await insert(daemon, "j-bbbbbbbb", JobState.PAUSED)
        await ui.until(lambda: "j-bbbbbbbb" in ui.text(), "another job is listed")


async def test_a_detail_closed_while_its_command_is_under_way(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    go_on = threading.Event()
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        ui.app.open_job("j-aaaaaaaa")
        await ui.until(lambda: "r ▶ Resume" in ui.text(), "the detail is open")
        writing = asyncio.create_task(daemon.store.write(lambda _: go_on.wait(30)))
        try:
            await ui.press("r")
            await ui.until(lambda: "[r … Resume]" in ui.text(), "it is under way")
            await ui.press("escape")
            await ui.until(lambda: isinstance(ui.app.screen, JobsScreen), "the detail is closed")
        finally:
            go_on.set()
        await writing
        await ui.until(ui.toasts, "it is told all the same")
        assert ui.toasts()[0].startswith("Resume: j-aaaaaaaa")


@pytest.mark.parametrize("tab", [Tab.ITEMS, Tab.LOGS])
async def test_a_detail_goes_on_after_reconnecting(daemon: InProcessDaemon, tmp_path: Path, tab: Tab) -> None:
    job = await insert(daemon, "j-aaaaaaaa", JobState.RUNNING, failed=0)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("enter")
        await ui.until(lambda: "1/3" in ui.text(), "the items are read")
        detail = ui.screen.query_one(JobDetail)
        detail.open_tab(tab)
        await ui.settle()
        before = ui.app.connection
        ui.app._connect()
        await ui.until(lambda: ui.app.connection is not before, "there is another connection")
        await ui.until(lambda: ui.app.link.state is LinkState.LIVE, "it is connected")
        detail.open_tab(Tab.ITEMS)
        await daemon.report(job, factories.failed(1, 1))
        await ui.until(lambda: "✗ a" in ui.text(), "the items are read again")


async def test_the_key_that_reconnects_does_so_in_a_detail_too(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        ui.app.open_job("j-aaaaaaaa")
        await ui.until(lambda: "1/3" in ui.text(), "the items are read")
        before = ui.app.connection
        assert before is not None
        before.link = replace(before.link, state=LinkState.LOST)
        await ui.press("ctrl+r")
        await ui.until(lambda: ui.app.connection is not before, "there is another connection")


async def test_a_command_that_is_under_way_while_reconnecting_is_told(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    go_on = threading.Event()
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        writing = asyncio.create_task(daemon.store.write(lambda _: go_on.wait(30)))
        try:
            await ui.press("r")
            await ui.until(lambda: "[r … Resume]" in ui.text(), "it is under way")
            ui.app._connect()
            await ui.until(ui.toasts, "it is told")
            assert "whether it was done is not known" in ui.toasts()[0]
        finally:
            go_on.set()
        await writing


async def test_two_keys_at_once(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for _ in range(3):
            ui.app.post_message(events.Key("x", "x"))
        await ui.dialog(ConfirmDialog)
        await ui.settle()
        await ui.settle()
        assert len(ui.app.screen_stack) == 2


async def test_why_a_filter_is_wrong_is_no_markup(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.type('state = "[/a]"')
        why = ui.screen.query_one("#filter").tooltip
        assert "[/a]" in str(visualize(ui.screen, why, markup=True))


async def test_what_comes_in_one_burst_after_the_slash_is_a_filter(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for letter in "/xXrpt bravo: ?":
            ui.app.post_message(events.Key(_character_to_key(letter), letter))
        await ui.until(lambda: ui.app.screen.query_one("#filter", Input).value == "xXrpt bravo: ?", "all is typed")
        assert isinstance(ui.app.screen, JobsScreen)
        assert await commands_of(daemon, "j-aaaaaaaa") == await commands_of(daemon, "j-bbbbbbbb") == []


async def test_a_y_in_one_burst_with_the_command_is_not_lost_and_confirms_nothing(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for letter in "xy":
            ui.app.post_message(events.Key(letter, letter))
        await ui.dialog(ConfirmDialog)
        await ui.until(lambda: "press y again" in ui.text(), "what became of it")
        assert await commands_of(daemon, "j-aaaaaaaa") == []
        assert not ui.toasts()
        ui.clock.pass_by(1)
        await ui.press("y")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-aaaaaaaa") == ["CANCEL"]


async def test_what_comes_in_one_burst_after_the_colon_is_no_command(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for letter in ":rr":
            ui.app.post_message(events.Key(_character_to_key(letter), letter))
        await ui.until(lambda: isinstance(ui.app.screen, CommandPalette), "the palette is open")
        await ui.pilot.pause()
        assert await commands_of(daemon, "j-aaaaaaaa") == await commands_of(daemon, "j-bbbbbbbb") == []


async def test_a_dialog_that_is_answered_before_it_is_drawn(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await two(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        dialog = ConfirmDialog(Question("Cancel?", "It ends.", "Cancel job", "Keep the job"))
        answered: list[bool | None] = []
        ui.app.push_screen(dialog, answered.append)
        dialog.dismiss(False)
        await ui.until(lambda: bool(answered), "it is answered")
        assert isinstance(ui.app.screen, JobsScreen)
