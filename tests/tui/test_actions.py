"""Every command in every state, by its key: what core allows is sent, what it refuses is told and changes nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from milepost.core.model import Command, JobState
from milepost.core.transitions import NOTHING_LEFT, TABLE, Refusal
from milepost.tui.screens.commanding import KEYED
from milepost.tui.screens.dialogs import ChoiceDialog, ConfirmDialog
from milepost.v1 import job_service_pb2 as pb
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, commands_of, insert, open_ui

C = Command
#: What a person presses, and the commands that it may mean, the first allowed one being taken.
KEYS: dict[str, Sequence[Command]] = {
    "r": (C.RESUME,),
    "R": (C.RESTART, C.RESTART_FROM_STEP, C.RESTART_FROM_SCRATCH),
    "p": (C.PAUSE, C.PAUSE_NOW),
    "x": (C.CANCEL,),
    "X": (C.FORCE_CANCEL,),
    "t": (C.RETRY,),
}
CONFIRMED = {C.CANCEL, C.FORCE_CANCEL, C.PAUSE_NOW}
#: Small, for speed; every button has room.
SIZE = (100, 24)
STEPS = ["rows", "fetch", "score", "report"]


def allowed(state: JobState, commands: Sequence[Command]) -> list[Command]:
    return [command for command in commands if not isinstance(TABLE[state, command], Refusal)]


def test_every_command_has_a_key() -> None:
    assert {command for commands in KEYS.values() for command in commands} == set(Command)
    assert {command for commands in KEYED.values() for command in commands} == set(Command)


async def test_buttons_are_there_for_what_core_allows(daemon: InProcessDaemon, tmp_path: Path) -> None:
    for state in JobState:
        await insert(daemon, f"j-{state.lower()}", state)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for state in JobState:
            await ui.go_to(f"j-{state.lower()}")
            line = ui.line_of("#actions")
            shown = {key for key in KEYS if f"[{key} " in line}
            assert shown == {key for key, commands in KEYS.items() if allowed(state, commands)}, f"{state}: {line}"


async def test_buttons_begin_with_what_is_recommended(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-running", JobState.RUNNING)
    await insert(daemon, "j-completed", JobState.COMPLETED)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for job_id, first in (("j-running", " [p ‖ Pause]"), ("j-completed", " [t ↻ Retry failed]")):
            await ui.go_to(job_id)
            assert ui.line_of("#actions").startswith(first)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "R"])
async def test_a_key_in_every_state(daemon: InProcessDaemon, tmp_path: Path, key: str) -> None:
    for state in JobState:
        await insert(daemon, f"j-{state.lower()}", state)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for state in JobState:
            job_id = f"j-{state.lower()}"
            await ui.go_to(job_id)
            before, possible = ui.job(job_id), allowed(state, KEYS[key])
            await ui.press(key)
            if not possible:
                await sees_the_refusal(ui, state, KEYS[key][0])
                assert await commands_of(daemon, job_id) == []
                assert (await daemon.job(job_id)).revision == before.revision
                continue
            if possible[0] in CONFIRMED:
                await confirms(ui)
            await sees_it_done(ui, job_id)
            assert await commands_of(daemon, job_id) == [possible[0]]


async def sees_the_refusal(ui: Ui, state: JobState, command: Command) -> None:
    """The words of the table: why not, and what instead."""
    rule = TABLE[state, command]
    assert isinstance(rule, Refusal)
    await ui.until(ui.toasts, f"{command} is refused in {state}")
    (toast,) = ui.toasts()
    assert rule.why in toast
    assert rule.instead in toast or (rule is NOTHING_LEFT and "milepost retry" in toast)
    assert toast.startswith("Cannot ")
    ui.clear_toasts()


async def confirms(ui: Ui) -> None:
    await ui.dialog(ConfirmDialog)
    ui.clock.pass_by(1)
    await ui.press("y")


async def sees_it_done(ui: Ui, job_id: str) -> None:
    await ui.until(ui.toasts, f"a command on {job_id} is answered")
    (toast,) = ui.toasts()
    assert f": {job_id} " in toast
    ui.clear_toasts()


async def test_restart_in_every_state_offers_each_way_that_is_allowed(daemon: InProcessDaemon, tmp_path: Path) -> None:
    cells = [(state, command) for state in JobState for command in allowed(state, KEYS["R"])]
    for number, (state, _) in enumerate(cells):
        await insert(daemon, f"j-{number:08}", state)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        for number, (state, command) in enumerate(cells):
            job_id = f"j-{number:08}"
            await ui.go_to(job_id)
            await ui.press("R")
            ways = await ways_offered(ui)
            assert ways == [
                (way, step)
                for way in allowed(state, KEYS["R"])
                for step in (STEPS if way is C.RESTART_FROM_STEP else [""])
            ]
            step = "score" if command is C.RESTART_FROM_STEP else ""
            await ui.press(*["j"] * (1 + ways.index((command, step))), "enter")
            await sees_it_done(ui, job_id)
            assert await commands_of(daemon, job_id) == [command]
            assert step in await last_message(daemon, job_id)


@pytest.mark.parametrize("state", [state for state in JobState if not allowed(state, KEYS["R"])])
async def test_restart_where_there_is_no_way(daemon: InProcessDaemon, tmp_path: Path, state: JobState) -> None:
    await insert(daemon, "j-aaaaaaaa", state)
    async with open_ui(daemon, tmp_path, SIZE) as ui:
        await ui.press("R")
        await sees_the_refusal(ui, state, C.RESTART)
        assert await commands_of(daemon, "j-aaaaaaaa") == []


async def ways_offered(ui: Ui) -> list[tuple[Command, str]]:
    dialog = await ui.dialog(ChoiceDialog)
    found = [choice.id.partition(":") for choice in dialog.choices]
    return [(Command(command), step) for command, _, step in found]


async def last_message(daemon: InProcessDaemon, job_id: str) -> str:
    request = pb.ListEventsRequest(job=job_id, page_size=1, newest_first=True)
    return (await daemon.client.call(daemon.client.jobs.ListEvents, request)).events[0].message
