"""The terminal UI as a person has it: a process in a real terminal, by keys alone, over a real daemon and real jobs."""

import asyncio
import contextlib
import re
import runpy
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from milepost.core.model import JobState
from milepost.v1 import job_pb2
from tests.support.creators import EXAMPLE, SUMS, executed, keys_that, of_items, submit_creators
from tests.support.daemon import RealDaemon, labels_of, real_daemon, state_of
from tests.support.terminal import PROMPT, UNTOUCHED, Terminal, real_terminal
from tests.support.wait import DEADLINE, wait_until

TUI = f"{sys.executable} -m milepost.cli.main tui"
#: Seconds that each profile takes until the service is hurried; 16 are fetched at a time, 283 in all.
SLOW = 1.5
#: Of the creators, as the list says it.
PROCESSED = r" (\d+)/313 "
#: States of items that no run touches again.
RECORDED = (job_pb2.ITEM_STATE_SUCCEEDED, job_pb2.ITEM_STATE_SKIPPED, job_pb2.ITEM_STATE_FAILED)


class ProfileService:
    """The example's own, slow until `hurry` is set: so a job lasts for as long as a test looks at it."""

    def __init__(self) -> None:
        self.hurry = asyncio.Event()
        self.address = ""
        self._profiles = runpy.run_path(str(EXAMPLE / "profiles.py"))["application"](0.1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.hurry.wait(), SLOW)
        await self._profiles(scope, receive, send)


@pytest.fixture
async def service() -> AsyncIterator[ProfileService]:
    service = ProfileService()
    server = uvicorn.Server(uvicorn.Config(service, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await wait_until(started, "the service listens")
    service.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield service
    server.should_exit = True
    await serving


@pytest.fixture
async def daemon() -> AsyncIterator[RealDaemon]:
    async with real_daemon() as running:
        yield running


class Story:
    """The list with one job of creators in it, and the witnesses of what was really done."""

    def __init__(self, daemon: RealDaemon, terminal: Terminal, job_id: str) -> None:
        self.daemon = daemon
        self.terminal = terminal
        self.job_id = job_id
        #: What was executed of the items that had their outcome when this was noted.
        self.finished: dict[str, Counter[str]] = {}

    async def wait_listed(self, status: str, state: JobState, deadline: float = 30) -> job_pb2.Job:
        """On the screen and in the daemon alike."""
        await self.terminal.wait_shown(rf"{status} +{self.job_id} +creators ", deadline=deadline)
        return await self.daemon.wait_state(self.job_id, state)

    async def processed(self) -> int:
        found = re.search(PROCESSED, await self.terminal.wait_shown(PROCESSED))
        assert found
        return int(found[1])

    async def wait_processed(self, fits: Callable[[int], bool]) -> None:
        async def shown() -> bool:
            return fits(await self.processed())

        await wait_until(shown, "so many are processed")

    async def wait_more_processed(self) -> None:
        before = await self.processed()
        await self.wait_processed(lambda now: now > before)

    async def note_finished(self, when: str) -> None:
        keys = await keys_that(self.daemon, self.job_id, *RECORDED)
        self.finished[when] = of_items(executed(self.daemon), keys)

    def assert_nothing_ran_twice(self) -> None:
        now = executed(self.daemon)
        for when, then in self.finished.items():
            keys = {task.split(" ", 1)[1] for task in then}
            assert of_items(now, keys) == then, f"finished when {when}, and yet executed again"


@pytest.mark.timeout(300)
async def test_a_job_is_led_to_its_end_by_keys_while_the_daemon_dies_and_returns(
    daemon: RealDaemon, service: ProfileService
) -> None:
    job = await submit_creators(daemon, server=service.address)
    async with real_terminal(daemon.folder, daemon.environment, 120, 36) as terminal:
        story = Story(daemon, terminal, job.id)
        await terminal.type_line(TUI)
        await story.wait_listed("▶ running", JobState.RUNNING)
        await pauses_resumes_and_restarts(story)
        await outlives_the_daemon(story)
        await force_cancels(story)
        service.hurry.set()
        await completes_and_retries(story)

        await terminal.press("q")
        await terminal.wait_shown(f"^{PROMPT}$")
        await terminal.type_line("echo status $?")
        assert TUI in await terminal.wait_shown("^status 0$"), "what was there before is there again"
        assert await terminal.modes() == UNTOUCHED


async def pauses_resumes_and_restarts(story: Story) -> None:
    daemon, terminal = story.daemon, story.terminal
    await story.wait_more_processed()
    await terminal.press("p")
    job = await story.wait_listed("‖ paused", JobState.PAUSED)
    await story.wait_processed(lambda now: now == job.counts.processed)
    await story.note_finished("paused")

    await terminal.press("r")
    job = await story.wait_listed("▶ running", JobState.RUNNING)
    assert job.run_count == 2

    await terminal.press("R")
    await terminal.wait_shown("Leave it as it is", "Restart: kills the run and starts a new one: continues at")
    await terminal.press("j", "Enter")
    await daemon.wait_for(job.id, lambda now: now.run_count == 3, "a new run")
    await story.wait_listed("▶ running", JobState.RUNNING)
    await story.wait_more_processed()


async def outlives_the_daemon(story: Story) -> None:
    daemon, terminal = story.daemon, story.terminal
    daemon.kill()
    await terminal.wait_shown("Lost the daemon", "○ lost", rf"▶ running +{story.job_id} ")
    before = await story.processed()
    await terminal.press("p")
    await terminal.wait_shown("Not connected: commands are off")

    await daemon.start()
    await terminal.wait_shown("● live")
    await terminal.wait_gone("Lost the daemon")
    await story.wait_processed(lambda now: now > before)
    job = await story.wait_listed("▶ running", JobState.RUNNING)
    assert job.run_count == 3, "its runner has outlived the daemon"


async def force_cancels(story: Story) -> None:
    daemon, terminal = story.daemon, story.terminal
    await terminal.press("X")
    await terminal.wait_shown(f"Force-cancel: {story.job_id}", "Keep the job")
    await terminal.press("Enter")
    await terminal.wait_gone("Keep the job")
    assert state_of(await daemon.job(story.job_id)) is JobState.RUNNING

    await terminal.press("X")
    await terminal.wait_shown("Keep the job")

    async def confirmed() -> bool:
        if "Keep the job" in await terminal.screen():
            await terminal.press("y")  # it counts only once a person can have read the question
        return state_of(await daemon.job(story.job_id)) is not JobState.RUNNING

    await wait_until(confirmed, "the question is answered")
    await story.wait_listed("⊘ cancelled", JobState.CANCELLED)
    assert not daemon.processes("milepost.runner")
    await story.note_finished("cancelled")


async def completes_and_retries(story: Story) -> None:
    daemon, terminal = story.daemon, story.terminal
    await terminal.press("r")
    job = await story.wait_listed("△ completed", JobState.COMPLETED, deadline=60)
    assert labels_of(job) == SUMS
    await terminal.wait_shown(rf"{job.id} +creators .* 100% +313/313 .* {SUMS['failed']} *$")
    story.assert_nothing_ran_twice()

    before = executed(daemon)
    await terminal.press("t")
    await daemon.wait_for(job.id, lambda now: now.run_count == job.run_count + 1, "the failed ones run again")
    job = await story.wait_listed("△ completed", JobState.COMPLETED)
    assert labels_of(job) == SUMS
    failed = await keys_that(daemon, job.id, job_pb2.ITEM_STATE_FAILED)
    assert set(executed(daemon) - before) == {f"fetch {key}" for key in failed}


@pytest.fixture
async def held(daemon: RealDaemon) -> AsyncIterator[job_pb2.Job]:
    job = await daemon.submit(name="held")
    yield await daemon.wait_state(job.id, JobState.RUNNING)
    daemon.gate.touch()


#: What a shell may have exported: the terminal knows better.
STALE = {"COLUMNS": "70", "LINES": "20"}


async def test_a_window_that_shrinks_and_grows_is_never_blank(daemon: RealDaemon, held: job_pb2.Job) -> None:
    async with real_terminal(daemon.folder, daemon.environment | STALE, 80, 24) as terminal:
        await terminal.type_line(TUI)
        before = await terminal.wait_shown(f"▶ {held.id} held ", "j/k move")

        async def look() -> str:
            screen = await terminal.screen()
            assert screen.strip()
            return screen

        async def plain() -> bool:
            screen = await look()
            return f"▶ {held.id} " in screen and "All" not in screen and "move" not in screen

        async def as_before() -> bool:
            screen = await look()
            return f"‖ {held.id} held " in screen and screen.splitlines()[-1] == before.splitlines()[-1]

        await terminal.resize(40, 14)
        await wait_until(plain, "the list and nothing around it")
        await terminal.press("p")
        await terminal.wait_shown(f"‖ {held.id} ")
        await terminal.resize(80, 24)
        await wait_until(as_before, "all that was there before")


async def test_with_its_terminal_the_process_ends_and_the_job_goes_on(daemon: RealDaemon, held: job_pb2.Job) -> None:
    for shell_before in ("true", "trap '' HUP"):  # not every shell passes SIGHUP on
        async with real_terminal(daemon.folder, daemon.environment, 80, 24) as terminal:
            await terminal.type_line(f"{shell_before}; {TUI}")
            await terminal.wait_shown(held.id)
            processes = await terminal.processes()
            assert any("tui" in process.cmdline() for process in processes)

            await terminal.vanish()
            _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=DEADLINE)
            assert not alive
            assert state_of(await daemon.job(held.id)) is JobState.RUNNING
    daemon.gate.touch()
    await daemon.wait_state(held.id, JobState.COMPLETED)
