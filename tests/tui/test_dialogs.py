"""Questions: what asks, what keeps the job as it is, and what does the deed."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from milepost.core.errors import MilepostError
from milepost.core.model import JobState
from milepost.daemon.rpc import job_service
from milepost.tui.actions import Asks, Tone, offer_of
from milepost.tui.requests import Order, request_for
from milepost.tui.screens.dialogs import ChoiceDialog, ConfirmDialog
from milepost.tui.screens.jobs import JobsScreen
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, commands_of, insert, open_ui

SIZE = (100, 24)
#: Each command that destroys something: its key, a state where it is allowed, and the button that leaves the job alone.
ASKING = [
    ("x", JobState.RUNNING, "Keep the job"),
    ("X", JobState.RUNNING, "Keep the job"),
    ("p", JobState.PAUSING, "Let it complete"),
]


async def is_over(ui: Ui) -> None:
    await ui.until(lambda: isinstance(ui.app.screen, JobsScreen), "the dialog is closed")


@pytest.mark.parametrize(("key", "state", "keep"), ASKING)
async def test_enter_and_esc_keep_the_job(
    daemon: InProcessDaemon, tmp_path: Path, key: str, state: JobState, keep: str
) -> None:
    await insert(daemon, "j-aaaaaaaa", state)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for answer in ("enter", "escape"):
            await ui.press(key)
            dialog = await ui.dialog(ConfirmDialog)
            assert "j-aaaaaaaa" in dialog.question.title
            assert keep in ui.text()
            ui.clock.pass_by(1)
            await ui.press(answer)
            await is_over(ui)
        await ui.press(key)
        await ui.dialog(ConfirmDialog)
        await ui.pilot.click("#keep")
        await is_over(ui)
        assert await commands_of(daemon, "j-aaaaaaaa") == []
        assert not ui.toasts()


async def test_y_does_it_but_not_when_it_was_meant_for_the_list(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("x")
        await ui.dialog(ConfirmDialog)
        ui.clock.pass_by(0.29)
        await ui.press("y")
        assert isinstance(ui.app.screen, ConfirmDialog)
        assert "press y again" in ui.text()
        assert await commands_of(daemon, "j-aaaaaaaa") == []
        ui.clock.pass_by(0.02)
        await ui.press("y")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-aaaaaaaa") == ["CANCEL"]


async def test_a_click_on_the_deed_does_it(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.click("#actions", "Force-cancel")
        await ui.dialog(ConfirmDialog)
        await ui.pilot.click("#do")
        await ui.until(ui.toasts, "it is done")
        assert await commands_of(daemon, "j-aaaaaaaa") == ["FORCE_CANCEL"]


async def test_a_choice_is_left_by_enter_and_esc(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for keys in (["enter"], ["escape"], ["j", "j", "k", "k", "enter"], ["j", "escape"]):
            await ui.press("R")
            await ui.dialog(ChoiceDialog)
            assert "Leave it as it is" in ui.text()
            await ui.press(*keys)
            await is_over(ui)
        assert await commands_of(daemon, "j-aaaaaaaa") == []


async def test_a_command_under_way_is_seen_on_its_button(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    go_on = threading.Event()
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        # No command is recorded, so none is answered, while the store's one writer waits.
        writing = asyncio.create_task(daemon.store.write(lambda _: go_on.wait(30)))
        try:
            await ui.press("r")
            await ui.until(lambda: "[r … Resume]" in ui.line_of("#actions"), "it is under way")
            assert not ui.toasts()
        finally:
            go_on.set()
        await writing
        await ui.until(ui.toasts, "it is done")
        assert "…" not in ui.line_of("#actions")


# --- many jobs ---


async def fifteen(daemon: InProcessDaemon) -> list[str]:
    """12 paused, 2 completed, 1 running; the ids of those that can be resumed."""
    for number in range(15):
        state = JobState.PAUSED if number < 12 else JobState.COMPLETED if number < 14 else JobState.RUNNING
        await daemon.insert(f"j-{number:08}", **values_in(state))
    return [f"j-{number:08}" for number in range(12)]


def values_in(state: JobState) -> dict[str, Any]:
    ended = {"end_time": 1_700_000_060.0} if state is JobState.COMPLETED else {}
    return {"state": state, "queue_time": None, **ended}


async def resumed(daemon: InProcessDaemon, job_ids: list[str]) -> list[str]:
    return [job_id for job_id in job_ids if await commands_of(daemon, job_id) == ["RESUME"]]


async def test_another_number_is_told_and_asked_for_again(daemon: InProcessDaemon, tmp_path: Path) -> None:
    able = await fifteen(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("a", "r")
        await ui.dialog(ConfirmDialog)
        await ui.press("1", "1", "enter")
        await ui.until(lambda: "That was 11, not 12." in ui.text(), "it says so")
        assert await resumed(daemon, able) == []
        await ui.press("1", "2", "enter")
        await ui.until(ui.toasts, "it is done")
        assert await resumed(daemon, able) == able


async def test_ten_jobs_or_more_take_their_number(daemon: InProcessDaemon, tmp_path: Path) -> None:
    able = await fifteen(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("a")
        assert "15 marked" in ui.line_of("#listing")
        for keys in (["enter"], ["y", "enter"], ["1", "2", "escape"], ["1", "1", "enter", "escape"]):
            await ui.press("r")
            dialog = await ui.dialog(ConfirmDialog)
            assert dialog.question.title == "Resume 12 of 15; 3 skipped: 2 completed, 1 running"
            assert "Type 12 and press Enter" in ui.text()
            ui.clock.pass_by(1)
            await ui.press(*keys)
            await is_over(ui)
        assert await resumed(daemon, able) == []
        await ui.press("r")
        dialog = await ui.dialog(ConfirmDialog)
        await ui.press("x", "1", "2")
        assert dialog.query_one(Input).value == "12"
        await ui.press("enter")
        await ui.until(ui.toasts, "it is done")
        assert ui.toasts() == ["Resume: 12 of 12 jobs done."]
        assert await resumed(daemon, able) == able
        assert await commands_of(daemon, "j-00000014") == []


async def test_fewer_take_a_y(daemon: InProcessDaemon, tmp_path: Path) -> None:
    able = await fifteen(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-00000000")
        listed = list(ui.screen.view.ids)
        first = listed.index("j-00000000")
        await ui.press("space", "j", "space")  # the first and the third
        chosen = [listed[first], listed[first + 2]]
        assert ui.screen.view.marks == set(chosen)
        await ui.press("r")
        dialog = await ui.dialog(ConfirmDialog)
        assert dialog.question.title == "Resume 2 jobs"
        await ui.press("escape")
        await is_over(ui)
        assert await resumed(daemon, able) == []
        await ui.press("r")
        await ui.dialog(ConfirmDialog)
        ui.clock.pass_by(1)
        await ui.press("y")
        await ui.until(ui.toasts, "it is done")
        assert await resumed(daemon, able) == sorted(chosen)


async def test_a_range_a_mark_taken_back_and_marks_that_reach_nobody(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await fifteen(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-00000012")
        await ui.press("space")
        await ui.go_to("j-00000013")
        await ui.press("V")
        assert ui.screen.view.marks == {"j-00000012", "j-00000013"}
        await ui.press("p")
        await ui.until(ui.toasts, "it says why not")
        assert ui.toasts() == ["Nothing to do Pause 0 of 2; 2 skipped: 2 completed."]
        await ui.press("space")
        assert ui.screen.view.marks == {"j-00000012"}
        await ui.press("escape")
        assert not ui.screen.view.marks
        assert "marked" not in ui.line_of("#listing")


async def test_one_mark_is_one_job_and_not_the_one_under_the_cursor(daemon: InProcessDaemon, tmp_path: Path) -> None:
    able = await fifteen(daemon)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.go_to("j-00000003")
        await ui.press("space", "r")
        await ui.until(ui.toasts, "it is done")
        assert await resumed(daemon, able) == ["j-00000003"]


async def test_what_the_daemon_refuses_of_many_is_told_once(daemon: InProcessDaemon, tmp_path: Path) -> None:
    able = (await fifteen(daemon))[:5]
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for job_id in able:
            await ui.go_to(job_id)
            await ui.press("space")
        await ui.press("r")
        await ui.dialog(ConfirmDialog)
        (daemon.folder / "PAUSE").touch()  # from now on it refuses to let jobs go on
        ui.clock.pass_by(1)
        await ui.press("y")
        await ui.until(lambda: len(ui.toasts()) == 2, "all is told")
        done, not_done = ui.toasts()
        assert done == "Resume: 0 of 5 jobs done."
        assert not_done.startswith("Not done 5 jobs: ")
        assert "PAUSE" in not_done
        assert await resumed(daemon, able) == []


async def test_no_job_waits_for_the_runner_of_another(
    daemon: InProcessDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_service, "HOLDING_TIMEOUT", 600.0)  # whoever waits for an answer waits for all of the test
    for number in range(100):
        await daemon.insert(f"j-{number:08}", **values_in(JobState.RUNNING))
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("a", "p")
        await ui.dialog(ConfirmDialog)
        await ui.press(*"100", "enter")
        await ui.until(
            lambda: all(row.state is JobState.PAUSING for row in ui.app.store.rows.values()), "all are told to pause"
        )


# --- commands of a newer daemon ---


def test_a_command_that_is_not_known_has_a_name_and_is_confirmed() -> None:
    offer = offer_of("MOVE_TO_FRONT")
    assert (offer.label, offer.tone, offer.asks) == ("Move to front", Tone.CARE, Asks.CONFIRMATION)


def test_a_command_is_the_rpc_of_its_name() -> None:
    assert request_for(Order("INSPECT", "j-a")) == ("InspectJob", pb.InspectJobRequest(job="j-a"))
    with pytest.raises(MilepostError) as refused:
        request_for(Order("MOVE_TO_FRONT", "j-a"))
    assert "MOVE_TO_FRONT" in refused.value.message
    assert refused.value.remedy


async def test_a_command_of_a_newer_daemon_appears_by_itself(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.COMPLETED)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        newer = job_pb2.Job()
        newer.CopyFrom(ui.job("j-aaaaaaaa"))
        newer.actions.add(command=99, allowed=True, effect="does what is new")
        await ui.tell(newer)
        await ui.click("#actions", "[Command 99]")
        dialog = await ui.dialog(ConfirmDialog)
        assert "It does what is new." in dialog.question.consequence
        ui.clock.pass_by(1)
        await ui.press("y")
        await ui.until(ui.toasts, "it says that it cannot")
        assert "the daemon is newer" in ui.toasts()[0]
        assert await commands_of(daemon, "j-aaaaaaaa") == []


async def test_on_few_lines_the_answers_stay_in_sight(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, (30, 8)) as ui:
        await ui.press("x")
        await ui.dialog(ConfirmDialog)
        assert "Cancel job: j-aaaaaaaa" in ui.text()
        assert "Keep the job" in ui.text()
        assert "Cancel job (y)" in ui.text()
