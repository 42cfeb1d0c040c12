"""Jobs that do not get on (R8): what holds them up is told apart and explained, and a restart recovers them."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from milepost.common.processes import status
from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, real_daemon
from tests.support.wait import wait_until


@pytest.fixture
async def daemon() -> AsyncIterator[RealDaemon]:
    """An impatient one; a worker that blocks is silent before its tasks are old."""
    async with real_daemon(MILEPOST_SILENCE_TIMEOUT="3", MILEPOST_PROGRESS_TIMEOUT="7") as running:
        yield running


async def submit(daemon: RealDaemon, name: str, **parameters: object) -> str:
    """Each job has its own effects file."""
    effects = str(daemon.folder / f"effects-{name}")
    given = {"count": 6, "effects": effects, **parameters}
    return (await daemon.submit("stuck.py", parameters=given, queue=name, allow_duplicate=True)).id


async def noticed(daemon: RealDaemon, job_id: str, code: str) -> job_pb2.Finding:
    """What is found of a job once something is, and that is all: with the way out, which is recommended."""
    stuck = await daemon.wait_for(
        job_id, lambda job: [finding.reason.code for finding in job.findings] == [code], f"{code} is noticed"
    )
    [finding] = stuck.findings
    assert finding.kind == job_pb2.FINDING_KIND_STUCK
    assert f"milepost restart {job_id}" in finding.reason.remedy
    assert [action.command for action in stuck.actions if action.recommended] == [job_pb2.COMMAND_RESTART]
    return finding


async def restart(daemon: RealDaemon, job_id: str) -> None:
    """Nothing of the stuck run is left, and the job completes; what began and ended is in its history."""
    before = {pid for pid, command in daemon.processes(job_id).items() if "milepost.runner" in command}
    await daemon.client.call(daemon.client.jobs.RestartJob, job_service_pb2.RestartJobRequest(job=job_id))
    done = await daemon.wait_state(job_id, JobState.COMPLETED)
    assert (done.run_count, done.counts.succeeded, list(done.findings)) == (2, 6, [])
    assert before
    assert not before & daemon.processes().keys()


async def are_listed(daemon: RealDaemon, job_ids: set[str]) -> bool:
    request = job_service_pb2.ListJobsRequest(filter="finding = stuck")
    return {job.id for job in (await daemon.client.call(daemon.client.jobs.ListJobs, request)).jobs} == job_ids


async def findings_in_history(daemon: RealDaemon, job_id: str) -> list[tuple[str, str]]:
    events = await daemon.events(job_id)
    return [(event.kind, event.message.partition(":")[0]) for event in events if event.kind.startswith("FINDING_")]


async def test_three_ways_to_be_stuck_are_told_apart_and_recovered_by_restart(daemon: RealDaemon) -> None:
    blocked, waiting, stopped = [
        await submit(daemon, "blocked", once="block"),
        await submit(daemon, "waiting", once="wait"),
        await submit(daemon, "stopped", once="wait"),
    ]
    await daemon.wait_for(stopped, lambda job: counts_of(job, "work").in_flight == 1, "it waits")
    runner = daemon.runner_pid(stopped)
    os.kill(runner, signal.SIGSTOP)

    silent, old, unheard = await asyncio.gather(
        noticed(daemon, blocked, "WORKER_SILENT"),
        noticed(daemon, waiting, "NO_PROGRESS"),
        noticed(daemon, stopped, "RUNNER_SILENT"),
    )
    await wait_until(lambda: are_listed(daemon, {blocked, waiting, stopped}), "they are listed")
    assert "work item-0" in silent.reason.message
    assert f"milepost inspect {blocked}" in silent.reason.remedy
    assert old.reason.message.startswith("work item-0 executes without progress for longer than 7 s, while")
    assert f"(process {runner}) is stopped" in unheard.reason.message

    await asyncio.gather(*(restart(daemon, job_id) for job_id in (blocked, waiting, stopped)))
    for job_id, code in ((blocked, "WORKER_SILENT"), (waiting, "NO_PROGRESS"), (stopped, "RUNNER_SILENT")):
        history = await findings_in_history(daemon, job_id)
        assert history.count(("FINDING_BEGAN", code)) == history.count(("FINDING_ENDED", code)) >= 1
    assert status(runner) is None


async def test_a_runner_that_goes_on_is_not_stuck_any_more_and_watchers_are_told_both(daemon: RealDaemon) -> None:
    job_id = (await daemon.submit(parameters={"count": 20})).id
    await daemon.wait_effects(16)
    runner = daemon.runner_pid(job_id)
    os.kill(runner, signal.SIGSTOP)
    silence = job_pb2.FINDING_KIND_STUCK
    told: list[bool] = []
    async with asyncio.timeout(30):
        async for update in daemon.client.watch():
            assert isinstance(update, job_service_pb2.WatchJobsResponse)
            for job in update.jobs:
                codes = [found.reason.code for found in job.findings if found.kind == silence]
                if codes == ["RUNNER_SILENT"] and not told:
                    told.append(True)
                    daemon.gate.touch()
                    os.kill(runner, signal.SIGCONT)
                elif "RUNNER_SILENT" not in codes and told:
                    told.append(False)
            if told == [True, False]:
                break
    done = await daemon.wait_state(job_id, JobState.COMPLETED)
    assert done.run_count == 1
    assert set(daemon.effects().values()) == {1}


async def test_a_poison_task_is_given_up_and_hurts_the_others_once(daemon: RealDaemon) -> None:
    job_id = await submit(daemon, "poison", poison="item-3")
    done = await daemon.wait_state(job_id, JobState.COMPLETED)
    assert (done.run_count, done.counts.succeeded, done.counts.failed) == (1, 5, 1)
    executed = Counter((daemon.folder / "effects-poison").read_text().splitlines())
    assert executed == {f"work item-{number}": 3 if number == 3 else 2 for number in range(6)}
    request = job_service_pb2.ListAttemptsRequest(job=job_id)
    [attempt] = (await daemon.client.call(daemon.client.jobs.ListAttempts, request)).attempts
    failure = attempt.failure
    assert (attempt.item_key, failure.error_class, failure.rule) == ("item-3", "lost_worker", "signal 9")
    assert failure.message.startswith("Its worker died under it 3 times")
    assert "was killed by SIGKILL" in failure.message
    assert failure.remedy


async def test_a_worker_that_is_killed_costs_nothing_but_time(daemon: RealDaemon) -> None:
    job_id = (await daemon.submit(parameters={"count": 20})).id
    await daemon.wait_for(
        job_id,
        lambda job: (counts_of(job, "check").processed, counts_of(job, "work").in_flight) == (20, 16),
        "16 are in flight, and nothing else",
    )
    [worker] = daemon.processes(" work ")
    os.kill(worker, signal.SIGKILL)

    async def another() -> bool:
        return any(pid != worker for pid in daemon.processes(" work "))

    await wait_until(another, "another worker")
    daemon.gate.touch()
    done = await daemon.wait_state(job_id, JobState.COMPLETED)
    assert (done.run_count, done.counts.failed) == (1, 0)
    assert "was killed by SIGKILL, 16 tasks in flight" in daemon.run_log(job_id)
