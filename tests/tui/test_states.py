"""What the screen says while things are not as they should be: it is never blank, and never without a way on."""

import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import milepost
from milepost.core.model import JobState
from milepost.tui.link import LinkState
from milepost.tui.screens import listing
from milepost.tui.screens.job import JobScreen
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon, open_store, serving_of
from tests.support.tui import Ui, commands_of, insert, open_ui, started, started_in

EMPTY = "There is no job yet."


async def hold(ui: Ui, **values: Any) -> None:
    """From now on the link says this, whatever the daemon says."""
    connection = await ui.until(lambda: ui.app.connection, "the connection is loaded")
    assert connection is not None
    following = ui.app.workers.cancel_group(ui.app, "connection")
    await ui.until(lambda: all(worker.is_finished for worker in following), "nothing is told any more")
    connection.link = replace(connection.link, **values)
    ui.app._on_change()
    await ui.all_is_told()


async def lose_daemon(ui: Ui, **values: Any) -> None:
    """As while it reconnects: nothing can be read."""
    await hold(ui, state=LinkState.LOST, **values)
    assert ui.app.connection is not None
    ui.app.connection.client = None


@asynccontextmanager
async def unanswered(home: Path) -> AsyncIterator[Ui]:
    """Something listens, and says nothing."""
    with tempfile.TemporaryDirectory(prefix="milepost-") as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/daemon.sock")
        silent.listen()
        async with started_in(Path(folder), home) as ui:
            await ui.until(lambda: "Connecting …" in ui.text(), "it says that it connects")
            yield ui


async def test_connecting_to_one_that_does_not_answer(tmp_path: Path) -> None:
    async with unanswered(tmp_path) as ui:
        assert "connecting" in ui.line_of("#header")


@pytest.mark.parametrize(("keys", "job_id"), [((), "j-aaaaaaaa"), (("j",), "j-cccccccc")])
async def test_while_loading_what_comes_first_is_under_a_cursor_that_nobody_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], job_id: str
) -> None:
    monkeypatch.setattr(listing, "REORDER", 0.0)
    failed, paused, completed, waiting = (
        job_pb2.Job(id=f"j-{letter * 8}", state=state)
        for letter, state in (
            ("a", job_pb2.JOB_STATE_FAILED),
            ("b", job_pb2.JOB_STATE_PAUSED),
            ("c", job_pb2.JOB_STATE_COMPLETED),
            ("d", job_pb2.JOB_STATE_WAITING),
        )
    )
    async with unanswered(tmp_path) as ui:
        await ui.tell(paused, completed)
        await ui.press(*keys)
        await ui.tell(failed)
        assert ui.screen.view.cursor_id == job_id
        ui.app.store.apply(pb.WatchJobsResponse(jobs=[paused, completed, failed], caught_up=True))
        ui.app._on_change()
        await ui.all_is_told()
        await ui.tell(waiting)
        assert ui.screen.view.cursor_id == job_id


async def test_starting_the_daemon_and_why_it_does_not_start(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with started(daemon, tmp_path) as ui:
        await hold(ui, state=LinkState.STARTING, message="Starting the daemon.")
        ui.app.store.complete = False
        await ui.until(lambda: "No daemon answers: starting it." in ui.text(), "the banner says it")
        await hold(
            ui, state=LinkState.NOT_STARTED, message="The daemon did not come up. Its log is \x1b[31m/state/daemon.log."
        )
        await ui.until(lambda: "did not come up" in ui.text(), "it says why")
        assert "\\x1b[31m/state/daemon.log" in ui.text()
        assert "The daemon does not start; it is tried again by itself." in ui.text()


async def test_loading_counts(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    async with open_ui(daemon, tmp_path) as ui:
        await hold(ui, state=LinkState.LOADING, total=12_490)
        assert "loading 1/12,490" in ui.line_of("#header")
        assert "j-aaaaaaaa" in ui.text()


async def test_no_job_tells_how_to_submit_one(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with open_ui(daemon, tmp_path) as ui:
        await ui.until(lambda: EMPTY in ui.text(), "it says that there is none")
        assert "milepost run pipeline.py" in ui.text()
        await ui.press("r", "R", "x", "space", "V", "a", "j", "G", "f", "y", "enter", "O", "u")
        assert not ui.toasts()
        await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
        await ui.until(lambda: "j-aaaaaaaa" in ui.text(), "the first job is listed")
        assert EMPTY not in ui.text()


async def test_no_match_and_esc_clears(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    async with open_ui(daemon, tmp_path) as ui:
        await ui.type("failed > 5")
        await ui.until(lambda: "No job matches." in ui.text(), "it says that none matches")
        assert "Esc clears the filter." in ui.text()
        await ui.press("enter", "escape")
        await ui.until(lambda: "j-aaaaaaaa" in ui.text(), "the job is listed again")
        assert "No job matches." not in ui.text()
        await ui.press("5")  # those that failed
        await ui.until(lambda: "No job matches." in ui.text(), "none has failed")
        await ui.press("5")
        await ui.until(lambda: "j-aaaaaaaa" in ui.text(), "all are listed")


async def test_a_wrong_filter_is_told_and_lists_what_was_listed(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    async with open_ui(daemon, tmp_path) as ui:
        field = ui.screen.query_one("#filter")
        await ui.type("creators")
        assert not field.has_class("wrong")
        await ui.press(*" (")
        assert field.has_class("wrong")
        assert "j-aaaaaaaa" in ui.text()
        assert not ui.toasts()
        await ui.press("enter")
        await ui.until(ui.toasts, "it says what is wrong")
        assert "column" in ui.toasts()[0]
        assert ui.app.focused is field


async def test_lost_and_back_on_the_same_socket(tmp_path: Path) -> None:
    async with open_store() as store, AsyncExitStack() as first:
        daemon = await first.enter_async_context(serving_of(store))
        await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
        await insert(daemon, "j-bbbbbbbb", JobState.PAUSED)
        async with open_ui(daemon, tmp_path) as ui:
            await first.aclose()
            await ui.until(lambda: ui.app.link.state is LinkState.LOST, "it is lost")
            await ui.until(lambda: "Lost the daemon" in ui.text(), "the banner says it")
            assert "j-aaaaaaaa" in ui.text()
            assert "j-bbbbbbbb" in ui.text()
            assert ui.screen.table.has_class("stale")
            assert not ui.line_of("#actions").strip()
            await ui.press("r")
            await ui.until(ui.toasts, "it says why not")
            assert ui.toasts() == ["Not connected: commands are off until the daemon answers."]
            ui.clear_toasts()
            await store.write(lambda tx: tx.execute("UPDATE job SET name = 'renamed' WHERE id = 'j-bbbbbbbb'"))
            async with serving_of(store) as again:
                await ui.until(lambda: ui.app.link.state is LinkState.LIVE, "it is back by itself")
                await ui.until(lambda: "Lost the daemon" not in ui.text(), "the banner is gone")
                assert not ui.screen.table.has_class("stale")
                await ui.go_to("j-aaaaaaaa")
                await ui.press("r")
                await ui.until(ui.toasts, "commands are sent again")
                assert await commands_of(again, "j-aaaaaaaa") == ["RESUME"]


async def test_what_was_removed_meanwhile_is_gone_after_reconnecting(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    await insert(daemon, "j-bbbbbbbb", JobState.PAUSED)
    async with open_ui(daemon, tmp_path) as ui:
        await hold(ui, state=LinkState.LOST)
        await daemon.store.write(lambda tx: tx.execute("DELETE FROM job WHERE id = 'j-bbbbbbbb'"))
        await ui.press("ctrl+r")
        await ui.until(lambda: ui.app.link.state is LinkState.LIVE, "it is connected")
        await ui.until(lambda: "j-bbbbbbbb" not in ui.text(), "the removed job is gone")
        assert "j-aaaaaaaa" in ui.text()


async def test_a_daemon_of_another_version(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    async with open_ui(daemon, tmp_path, (80, 24)) as ui:
        await hold(ui, daemon_version="99.0.0")
        banner = f"This screen {milepost.__version__} is older than the daemon 99.0.0: q, then milepost tui"
        await ui.until(lambda: banner in ui.text(), "it says so")
        await hold(ui, daemon_version=milepost.__version__)
        await ui.until(lambda: "99.0.0" not in ui.text(), "all is well")


async def test_a_narrow_screen_says_all_of_a_lost_daemon(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with open_ui(daemon, tmp_path, (40, 15)) as ui:
        await hold(ui, state=LinkState.LOST, since=ui.clock.time - 86_399)
        shown = " ".join(" ".join(ui.lines()).split())
        assert "it is live again once one runs (ctrl+r starts it). This is how it was; commands are off." in shown


async def test_a_job_on_a_small_screen_says_how_old_it_is_and_keeps_what_is_known(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    job = await insert(daemon, "j-aaaaaaaa", JobState.RUNNING, failed=0)
    await daemon.report(job, factories.succeeded(1, 1), factories.succeeded(2, 1))
    async with open_ui(daemon, tmp_path, (80, 24)) as ui:
        await ui.until(lambda: "1/3" in ui.text(), "an item was processed")
        await lose_daemon(ui, since=ui.clock.time - 14)
        await ui.press("enter")
        await ui.until(lambda: "This could not be read:" in ui.text(), "nothing can be read")
        assert ui.line_of("#job-actions").strip() == "lost 14s ago: this is how it was (ctrl+r starts the daemon)"
        assert ui.line_of("#detail-error").strip() == "This could not be read: no daemon answers (ctrl+r starts it)."
        await ui.until(lambda: "score  ━━━━" in ui.text(), "how much of each step is processed is known")
        ui.clock.pass_by(5)
        await ui.until(lambda: "lost 19s ago" in ui.line_of("#job-actions"), "its age goes on")


async def test_a_job_open_below_the_list_is_shown_as_it_is_on_the_whole_screen(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, (120, 36)) as ui:
        await ui.press("enter")
        await ui.until(lambda: "fetch  ✗○○" in ui.text(), "its items are read")
        await lose_daemon(ui)
        await ui.press("enter")
        await ui.until(lambda: isinstance(ui.app.screen, JobScreen), "it is on the whole screen")
        await ui.until(lambda: "fetch  ✗○○" in ui.text(), "its grid is there")


async def test_a_job_that_was_open_is_shown_as_it_was_when_it_is_opened_again(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, (80, 24)) as ui:
        await ui.press("enter")
        await ui.until(lambda: "fetch  ✗○○" in ui.text() and "> ✗ a" in ui.text(), "its items are read")
        await ui.press("escape")
        await lose_daemon(ui)
        await ui.press("enter")
        await ui.until(lambda: "This could not be read:" in ui.text(), "nothing can be read")
        await ui.until(lambda: "fetch  ✗○○" in ui.text(), "its grid is there")
        assert "> ✗ a" in ui.text()


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (60, 16), (59, 15), (40, 15), (30, 6), (20, 3)])
async def test_every_size_shows_the_jobs(daemon: InProcessDaemon, tmp_path: Path, size: tuple[int, int]) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.FAILED)
    async with open_ui(daemon, tmp_path, size) as ui:
        lines = ui.lines()
        assert len(lines) == size[1]
        assert {strip.cell_length for strip in ui.strips()} == {size[0]}
        assert any("creators" in line or "j-aaa" in line for line in lines)
        is_plain = size[0] < 60 or size[1] < 16
        assert any("[r ▶ Resume]" in line for line in lines) is not is_plain
        assert ui.screen.query_one("#chips").display is not is_plain
        await ui.pilot.resize_terminal(80, 24)
        await ui.until(lambda: "[r ▶ Resume]" in ui.text(), "there is room for all")


async def test_live_changes_are_seen(daemon: InProcessDaemon, tmp_path: Path) -> None:
    job = await insert(daemon, "j-aaaaaaaa", JobState.RUNNING, failed=0)
    async with open_ui(daemon, tmp_path) as ui:
        assert "live" in ui.line_of("#header")
        assert "0/3" in ui.text()
        await daemon.report(job, factories.failed(1, 1))
        await ui.until(lambda: "1/3" in ui.text(), "an item was processed")
