"""A runner that was started and says nothing: whether that is its fault is judged by the time in which we listened."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from milepost.common import processes
from milepost.core.clocks import Clocks
from milepost.core.findings import Patience
from milepost.core.model import Job, JobState
from milepost.core.queueing import Limits
from milepost.daemon.commands import Commands
from milepost.daemon.dispatch import Dispatch
from milepost.daemon.reconcile import HELLO_GRACE, Reconcile, Rules
from milepost.daemon.runners import Runners
from milepost.daemon.store import jobs, runs
from milepost.daemon.store.store import Store
from milepost.daemon.vigil import Vigil
from tests.support import factories

DEFINITION = factories.creators()
JOB = "j-aaaaaaaa"


@pytest.fixture
def runner() -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, processes.MARK_VARIABLE: f"mark-{JOB}-1"}
    with subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True) as runner:
        yield runner
        runner.kill()


@dataclass
class Bench:
    """A reconcile over one job, whose runner was started a while ago; the clocks are the test's."""

    store: Store
    folder: Path
    clocks: Clocks = field(default_factory=lambda: Clocks(1000.0, 1000.0))

    def __post_init__(self) -> None:
        dispatch = Dispatch(self.store, self.folder, self.folder, 300.0, _ignore, _ignore)
        vigil = Vigil(self.store, dispatch.live, _ignore, Patience(60.0, 30.0), lambda: self.clocks)
        commands = Commands(self.store, self.folder, _changed, Limits(0, {}, 0))
        # No slot, so that nothing is started again.
        rules = Rules(Limits(0, {}, 0), 5)
        runners = Runners(self.folder, "", _ignore)
        self.reconcile = Reconcile(self.store, self.folder, dispatch, commands, runners, vigil, rules)

    async def look(self, seconds: float = 0.0) -> Job:
        """What becomes of the job, when so much time has passed."""
        self.clocks = Clocks(self.clocks.monotonic + seconds, self.clocks.boottime + seconds)
        async with asyncio.TaskGroup() as group:
            await self.reconcile._look(group)
        return await self.store.read(lambda db: jobs.get(db, JOB))


@pytest.fixture
async def bench(tmp_path: Path, runner: subprocess.Popen[bytes]) -> AsyncIterator[Bench]:
    store = await Store.open(tmp_path)
    identity = processes.identify(runner.pid)
    assert identity is not None
    started = factories.run(
        create_time=time.time() - 2 * HELLO_GRACE,
        pid=identity.pid,
        process_start_ticks=identity.start_ticks,
        boot_id=identity.boot_id,
    )
    running = factories.job(JOB, DEFINITION, state=JobState.RUNNING, queue_time=None, run_count=1)
    await store.write(lambda tx: jobs.insert(tx, running, DEFINITION))
    await store.write(lambda tx: runs.insert(tx, started))
    bench = Bench(store, tmp_path)
    yield bench
    bench.reconcile._runners.forget()
    await store.close()


async def test_a_runner_that_says_no_hello_is_ended_and_told_as_that(
    bench: Bench, runner: subprocess.Popen[bytes]
) -> None:
    job = await bench.look()
    assert (job.state, runner.poll()) == (JobState.RUNNING, None), "whatever the wall clock makes of its age"
    for _ in range(10):
        job = await bench.look(HELLO_GRACE / 10)
    assert (job.state, runner.poll()) == (JobState.RUNNING, None)
    job = await bench.look(1.0)
    assert job.state is JobState.QUEUED
    assert job.reason is not None
    assert "it did not say hello" in job.reason.message
    assert runner.wait() != 0


async def test_a_hello_that_waits_for_a_daemon_that_was_away_is_not_missed(
    bench: Bench, runner: subprocess.Popen[bytes]
) -> None:
    await bench.look()
    job = await bench.look(2 * HELLO_GRACE)
    assert (job.state, runner.poll()) == (JobState.RUNNING, None)
    for _ in range(10):
        job = await bench.look(HELLO_GRACE / 10)
    assert (job.state, runner.poll()) == (JobState.RUNNING, None)
    job = await bench.look(1.0)
    assert job.state is JobState.QUEUED


def _ignore(*_: object) -> None:
    return


def _changed(_: Job) -> None:
    return
