"""A runner that was started and says nothing: whether that is its fault is judged by the time in which we listened."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from milepost.common import processes
from milepost.common.wire.runner import PROTOCOL
from milepost.core import progress
from milepost.core.clocks import Clocks
from milepost.core.errors import Code, MilepostError
from milepost.core.findings import Patience
from milepost.core.model import Event, Job, JobState, RunnerLostPolicy
from milepost.core.queueing import Limits
from milepost.daemon import reconcile
from milepost.daemon.commands import Commands
from milepost.daemon.dispatch import Dispatch, token_hash
from milepost.daemon.reconcile import HELLO_GRACE, Reconcile, Rules
from milepost.daemon.runners import Runners
from milepost.daemon.store import events, jobs, runs
from milepost.daemon.store.store import Store
from milepost.daemon.vigil import Vigil
from milepost.v1 import runner_service_pb2 as pb
from tests.support import factories
from tests.support.factories import NOW

DEFINITION = factories.creators()
JOB = "j-aaaaaaaa"
TOKEN = "the token of run 1"


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
    process: dict[str, Any]
    clocks: Clocks = field(default_factory=lambda: Clocks(1000.0, 1000.0))

    def __post_init__(self) -> None:
        self.dispatch = dispatch = Dispatch(self.store, self.folder, self.folder, 300.0, _ignore, _ignore)
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

    async def attach(self, told: Sequence[pb.AttachRequest] = (), protocol: int = PROTOCOL) -> list[pb.AttachResponse]:
        """What its runner is sent when it says hello and, once a task was handed out, this; then its stream ends."""
        sent: list[pb.AttachResponse] = []
        handed_out = asyncio.Event()

        async def send(response: pb.AttachResponse) -> None:
            sent.append(response)
            if response.HasField("page"):
                handed_out.set()

        async def requests() -> AsyncIterator[pb.AttachRequest]:
            yield pb.AttachRequest(hello=pb.Hello(job_id=JOB, run=1, token=TOKEN, protocol=protocol, **self.process))
            await handed_out.wait()
            for request in told:
                yield request

        # A stream is a task of its own, as gRPC has it.
        await asyncio.create_task(self.dispatch.attach(requests(), send))
        return sent

    async def welcomed(self) -> None:
        """Its runner said hello to an earlier daemon."""
        process = self.process["pid"], self.process["process_start_ticks"], self.process["boot_id"]
        await self.store.write(lambda tx: runs.identify(tx, JOB, 1, *process, NOW))

    async def change(self, **values: Any) -> None:
        await self.store.write(lambda tx: jobs.save(tx, replace(jobs.get(tx.connection, JOB), **values)))

    async def events(self) -> list[Event]:
        return await self.store.read(lambda db: events.page(db, JOB, 0, 10))


@pytest.fixture
async def bench(tmp_path: Path, runner: subprocess.Popen[bytes]) -> AsyncIterator[Bench]:
    store = await Store.open(tmp_path)
    identity = processes.identify(runner.pid)
    assert identity is not None
    process: dict[str, Any] = {
        "pid": identity.pid,
        "process_start_ticks": identity.start_ticks,
        "boot_id": identity.boot_id,
    }
    started = factories.run(create_time=time.time() - 2 * HELLO_GRACE, token_hash=token_hash(TOKEN), **process)
    running = factories.job(JOB, DEFINITION, state=JobState.RUNNING, queue_time=None, run_count=1)
    await store.write(lambda tx: jobs.insert(tx, running, DEFINITION))
    await store.write(lambda tx: runs.insert(tx, started))
    bench = Bench(store, tmp_path, process)
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


async def test_a_runner_that_a_daemon_of_another_version_left_is_replaced_and_nothing_is_held_against_its_job(
    bench: Bench, runner: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.change(runner_lost_policy=RunnerLostPolicy.HOLD)
    await bench.welcomed()
    with pytest.raises(MilepostError) as refused:
        await bench.attach(protocol=PROTOCOL - 1)
    assert refused.value.code is Code.PROTOCOL_MISMATCH
    job = await bench.look()
    assert (job.state, runner.poll()) == (JobState.RUNNING, None), "it may end its tree itself"
    monkeypatch.setattr(reconcile, "FORCE_GRACE", 0.0)
    job = await bench.look()
    assert (job.state, job.auto_resume_count, job.reason) == (JobState.QUEUED, 0, None)
    assert runner.wait() != 0
    refusal, ended = await bench.events()
    assert (refusal.kind, ended.kind) == ("RUNNER_REFUSED", "RUN_ENDED")
    assert "different versions of Milepost" in refusal.message


async def test_a_job_whose_runner_was_never_welcome_waits_and_says_what_to_do(
    bench: Bench, runner: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(MilepostError):
        await bench.attach(protocol=PROTOCOL + 1)
    runner.kill()
    runner.wait()
    job = await bench.look()
    assert job.state is JobState.WAITING
    assert job.reason is not None
    assert job.reason.code == "PROTOCOL_MISMATCH"
    assert "milepost daemon restart" in job.reason.remedy


async def test_a_runner_that_says_it_is_done_does_not_make_its_job_completed(
    bench: Bench, runner: subprocess.Popen[bytes]
) -> None:
    told = [pb.AttachRequest(heartbeat=pb.Heartbeat(holding=True, drained=True))]
    handed_out = await bench.attach(told)
    assert [list(response.page.items) for response in handed_out if response.page.items] == [[0]]
    runner.kill()
    runner.wait()
    job = await bench.look()
    assert job.state is JobState.QUEUED
    assert progress.remaining(DEFINITION, job.steps) == 2


def _ignore(*_: object) -> None:
    return


def _changed(_: Job) -> None:
    return
