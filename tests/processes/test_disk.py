"""A disk that is full, and one that fails at the n-th write or sync: nothing acknowledged is lost, and it is said.

`MILEPOST_CRASH_PROFILE=long` tries every n; otherwise n = 1, 24, 576, … Until a run passes without the fault.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from milepost.common.client import is_listening
from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, state_of
from tests.support.disk import STRACE, FaultyDaemon, SmallDisk, can_mount, small_disk
from tests.support.promise import is_alive, let_pass, recorded, submit
from tests.support.wait import wait_until

LONG = os.environ.get("MILEPOST_CRASH_PROFILE") == "long"
COUNT = 60
WORDS = ("prepare", "work", "done", "finish")


@asynccontextmanager
async def daemon_on_a_small_disk(**settings: str) -> AsyncIterator[tuple[RealDaemon, SmallDisk]]:
    with tempfile.TemporaryDirectory(prefix="mp-") as name:
        folder = Path(name)
        if not can_mount(folder):
            pytest.skip("NOT PROVED: a full disk needs the right to mount a tmpfs; run the tests as root")
        daemon = RealDaemon(folder)
        daemon.settings.update(settings)
        async with small_disk(daemon.state, "16m") as disk:
            try:
                await daemon.start()
                yield daemon, disk
            finally:
                await daemon.close()


async def job_in_the_middle(daemon: RealDaemon) -> job_pb2.Job:
    """20 of 60 are recorded, 16 in flight."""
    let_pass(daemon, 20)
    job = await submit(daemon, "work16", count=COUNT)
    await daemon.wait_effects(36)
    return await recorded(daemon, job.id, 20, 16)


def assert_each_once(daemon: RealDaemon) -> None:
    once = {f"item-{number:03}": 1 for number in range(COUNT)}
    assert {word: daemon.effects(word) for word in WORDS} == dict.fromkeys(WORDS, once)


async def pause(daemon: RealDaemon, job_id: str) -> None:
    await daemon.client.call(daemon.client.jobs.PauseJob, job_service_pb2.PauseJobRequest(job=job_id))


def says_full(job: job_pb2.Job) -> bool:
    return any(finding.reason.code == "STORE_FULL" and finding.reason.remedy for finding in job.findings)


async def test_while_the_disk_is_full_the_job_says_so_and_afterwards_goes_on() -> None:
    async with daemon_on_a_small_disk() as (daemon, disk):
        job = await job_in_the_middle(daemon)
        disk.fill()
        let_pass(daemon, 40)
        await daemon.wait_effects(40, "done")
        full = await daemon.wait_for(job.id, says_full, "it says that the disk is full")
        assert (state_of(full), counts_of(full, "work").succeeded) == (JobState.RUNNING, 20)
        for attempt in (pause(daemon, job.id), submit(daemon, "work1", count=1)):
            with pytest.raises(MilepostError) as refusal:
                await attempt
            assert (refusal.value.code, bool(refusal.value.remedy)) == (Code.STORE_FULL, True)
        disk.free()
        mended = await recorded(daemon, job.id, 40, 16)
        assert not says_full(mended)
        let_pass(daemon, COUNT)
        completed = await daemon.wait_state(job.id, JobState.COMPLETED)
        assert (completed.counts.succeeded, completed.run_count) == (COUNT, 1)
        assert_each_once(daemon)
        assert "Traceback" not in daemon.log()
        assert daemon.log().count("No space is left") < 10


async def test_a_daemon_killed_on_a_full_disk_takes_everything_in_when_there_is_space() -> None:
    async with daemon_on_a_small_disk() as (daemon, disk):
        job = await job_in_the_middle(daemon)
        disk.fill()
        let_pass(daemon, 40)
        await daemon.wait_for(job.id, says_full, "it says that the disk is full")
        daemon.kill()
        process = daemon.spawn()

        async def serves_or_ended() -> bool:
            return process.poll() is not None or is_listening(daemon.socket)

        await wait_until(serves_or_ended, "it serves, or says why not")
        if process.poll() is None:
            assert counts_of(await daemon.job(job.id), "work").succeeded == 20
            daemon.kill()
        else:
            assert (process.returncode, "error: No space is left on the disk" in daemon.log()) == (2, True)
        disk.free()
        await daemon.start()
        let_pass(daemon, COUNT)
        completed = await daemon.wait_state(job.id, JobState.COMPLETED)
        assert (completed.counts.succeeded, completed.run_count) == (COUNT, 1)
        assert_each_once(daemon)


async def test_a_runner_that_cannot_spool_keeps_what_it_has() -> None:
    async with daemon_on_a_small_disk(MILEPOST_RUNNER_LEASE="1") as (daemon, disk):
        job = await job_in_the_middle(daemon)
        runner = daemon.runner_pid(job.id)
        daemon.kill()
        log = daemon.state / "jobs" / job.id / "logs" / "run-1.log"

        async def holds() -> bool:
            return "hold: The daemon has been away" in log.read_text()

        await wait_until(holds, "its lease has run out")
        disk.fill()
        let_pass(daemon, 40)
        await daemon.wait_effects(36, "done")
        spool = daemon.state / "jobs" / job.id / "spool" / "run-1.partial"

        async def tried() -> bool:
            return spool.exists()

        await wait_until(tried, "it has tried to spool")
        assert is_alive(runner)
        disk.free()

        async def is_gone() -> bool:
            return not daemon.processes()

        await wait_until(is_gone, "it has spooled and ended")
        let_pass(daemon, COUNT)
        await daemon.start()
        completed = await daemon.wait_state(job.id, JobState.COMPLETED)
        assert (completed.counts.succeeded, completed.run_count) == (COUNT, 2)
        assert_each_once(daemon)


FAULTS = [("fdatasync", "EIO"), ("pwrite64", "ENOSPC"), *([("pwrite64", "EIO"), ("fsync", "EIO")] if LONG else [])]
#: Every n is tried by this many tests of a fault, so that they can be divided among processes and taken up again.
SHARES = 8 if LONG else 1


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.parametrize("share", range(1, SHARES + 1))
@pytest.mark.parametrize(("call", "error"), FAULTS)
async def test_a_fault_at_the_nth_call_loses_nothing_that_was_acknowledged(call: str, error: str, share: int) -> None:
    if STRACE is None:
        pytest.skip("NOT PROVED: faults are put into system calls by strace; install it")
    number = share
    while await fault_happens(call, error, number):
        number = number + SHARES if LONG else number * 24
    assert number > share, "not one fault happened: strace does not see the daemon's calls"


async def fault_happens(call: str, error: str, number: int) -> bool:
    """One small job on a daemon whose `number`-th such call fails, and then on a sound one."""
    with tempfile.TemporaryDirectory(prefix="mp-") as name:
        daemon = RealDaemon(Path(name))
        try:
            return await Ordeal(daemon).undergo(call, error, number)
        finally:
            await daemon.close()


class Ordeal:
    """What a client was told, by a daemon that may end at any moment."""

    def __init__(self, daemon: RealDaemon) -> None:
        self.daemon = daemon
        self.faulty = FaultyDaemon(daemon)
        self.job_id = ""
        self.succeeded = 0

    async def undergo(self, call: str, error: str, number: int) -> bool:
        let_pass(self.daemon, COUNT)
        process = self.faulty.start(call, error, number)
        try:
            await wait_until(
                lambda: self._has_ended_or_completed(process), f"it ends or completes: {call} {error} {number}"
            )
            code = self.faulty.end(process, signal.SIGTERM) if process.poll() is None else process.returncode
        finally:
            if process.poll() is None:
                self.faulty.end(process, signal.SIGKILL)
        happened = self.faulty.happened
        place = f"{call} {error} {number}\n{self.daemon.log()}"
        assert code == 0 or (code in (1, 2) and "error: " in self.daemon.log() and "next: " in self.daemon.log()), place
        assert code == 0 or happened, place
        assert "Traceback" not in self.daemon.log(), place
        await self._goes_on()
        return happened

    async def _has_ended_or_completed(self, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll() is not None:
            return True
        try:
            if not is_listening(self.daemon.socket):
                return False
            if not self.job_id:
                self.job_id = (await submit(self.daemon, "work16", count=COUNT)).id
            job = await self.daemon.job(self.job_id)
        except MilepostError:
            return False
        self.succeeded = max(self.succeeded, job.counts.succeeded)
        return state_of(job) is JobState.COMPLETED

    async def _goes_on(self) -> None:
        """With a sound disk everything that was told still holds, and the rest is done once."""
        await self.daemon.start()
        if self.job_id:
            assert (await self.daemon.job(self.job_id)).counts.succeeded >= self.succeeded
        else:
            self.job_id = (await submit(self.daemon, "work16", count=COUNT)).id
        completed = await self.daemon.wait_state(self.job_id, JobState.COMPLETED)
        assert (completed.counts.succeeded, completed.counts.failed) == (COUNT, 0)
        assert_each_once(self.daemon)
