"""What only a person on a terminal gets: bars, colours, questions."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator

import pytest

from milepost.core.model import JobState
from milepost.v1 import job_pb2
from tests.support.daemon import PIPELINES, ROOT, RealDaemon, state_of
from tests.support.wait import DEADLINE, wait_until


class Terminal:
    """A verb on a pseudo-terminal; `screen` is what it has written there so far."""

    def __init__(self, environment: dict[str, str], *arguments: str, columns: int = 0) -> None:
        self._descriptor, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "milepost.cli.main", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
            cwd="/",
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""
        self._all_read = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        try:
            self.screen += os.read(self._descriptor, 65536).decode(errors="replace")
        except OSError:  # the other side was closed
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._all_read.set()

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    async def wait_shown(self, pattern: str) -> None:
        async def shown() -> bool:
            return re.search(pattern, self.screen) is not None

        await wait_until(shown, f"{pattern!r} on the screen")

    async def end(self) -> int:
        async with asyncio.timeout(DEADLINE):
            await self._all_read.wait()
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
async def held(daemon: RealDaemon) -> AsyncIterator[job_pb2.Job]:
    """Its items stand in flight: a job without that is cancelled at once."""
    job = await daemon.submit(name="held [red]")
    await daemon.wait_effects(1)
    yield await daemon.wait_state(job.id, JobState.RUNNING)
    daemon.gate.touch()


async def test_bars_for_each_step(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    parameters = (f'effects="{daemon.effects_file}"', f'gate="{daemon.gate}"', "count=20")
    given = [part for pair in parameters for part in ("--param", pair)]
    terminal = Terminal(daemon.environment, "run", str(PIPELINES / "work.py"), *given)
    try:
        await terminal.wait_shown("20 of 20 processed")
        await terminal.wait_shown("✓ COMPLETED")
        assert await terminal.end() == 0
        assert "━" in terminal.screen
        assert re.search(r"report.*1 of 1 processed", terminal.screen)
    finally:
        terminal.close()


@pytest.mark.parametrize(("answer", "state"), [("\n", JobState.RUNNING), ("y\n", JobState.CANCELLED)])
async def test_force_cancel_asks(daemon: RealDaemon, held: job_pb2.Job, answer: str, state: JobState) -> None:
    terminal = Terminal(daemon.environment, "force-cancel", held.id, "--wait")
    try:
        await terminal.wait_shown(r"held \[red\].*\[y/N\] ")
        terminal.type(answer)
        assert await terminal.end() == (0 if state is JobState.CANCELLED else 130)
        assert state_of(await daemon.job(held.id)) is state
    finally:
        terminal.close()


async def test_yes_does_not_ask(daemon: RealDaemon, held: job_pb2.Job) -> None:
    terminal = Terminal(daemon.environment, "cancel", held.id, "--yes")
    try:
        assert await terminal.end() == 0
        assert state_of(await daemon.job(held.id)) is JobState.CANCELLING
    finally:
        terminal.close()


async def test_stopping_the_daemon_asks_what_becomes_of_running_jobs(daemon: RealDaemon, held: job_pb2.Job) -> None:
    terminal = Terminal(daemon.environment, "daemon", "stop")
    try:
        await terminal.wait_shown("1 job running")
        terminal.type("kill\n")
        assert await terminal.end() == 0
        assert daemon.terminate() == 0
        assert not daemon.processes("milepost.runner")
    finally:
        terminal.close()


@pytest.mark.parametrize("question", ["cancel", "daemon stop"])
async def test_ctrl_c_ends_a_question_at_once(daemon: RealDaemon, held: job_pb2.Job, question: str) -> None:
    arguments = ["cancel", held.id] if question == "cancel" else question.split()
    terminal = Terminal(daemon.environment, *arguments)
    try:
        await terminal.wait_shown(r"\[(y/N|leave/pause/kill)\] ")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.end() == 130
        assert "Traceback" not in terminal.screen
        assert state_of(await daemon.job(held.id)) is JobState.RUNNING
    finally:
        terminal.close()


async def test_where_an_error_is_cut_it_says_how_to_see_all_of_it(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"failing": ["item-003"]})
    await daemon.wait_state(job.id, JobState.COMPLETED)
    terminal = Terminal(daemon.environment, "items", job.id, "--state", "failed", columns=50)
    try:
        await terminal.wait_shown(rf"…[^…]*… is where a line is cut.*\s+milepost items {job.id} --key item-003 --full")
        assert await terminal.end() == 0
    finally:
        terminal.close()


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("NOTHING", True)])
async def test_colour_is_for_those_who_want_it(
    daemon: RealDaemon, held: job_pb2.Job, variable: str, coloured: bool
) -> None:
    terminal = Terminal({**daemon.environment, variable: "1"}, "ls")
    try:
        await terminal.wait_shown("▶ RUNNING")
        assert await terminal.end() == 0
        assert ("\x1b[" in terminal.screen) is coloured
        assert held.id in terminal.screen
    finally:
        terminal.close()
