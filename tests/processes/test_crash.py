"""kill -9 of the runner and of the daemon: nothing recorded is lost, and nothing recorded executes again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

from milepost.common.client import Disconnected
from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, state_of

FAILING = [f"item-{n:03}" for n in range(0, 220, 20)]  # 11, none of them filtered


async def at_228_of_313(daemon: RealDaemon, **more: Any) -> job_pb2.Job:
    """228 processed, 11 of them failed, and 16 in flight at the gate."""
    job = await daemon.submit(parameters={"count": 313, "open": 228, "failing": FAILING}, **more)
    return await daemon.at_gate(job.id, 228)


async def test_a_killed_runner_is_resumed_by_itself_and_only_the_rest_executes(daemon: RealDaemon) -> None:
    job = await at_228_of_313(daemon)
    done = daemon.effects("done")
    failed = counts_of(job, "work").failed
    assert failed == 11
    os.kill(daemon.runner_pid(job.id), signal.SIGKILL)
    await daemon.wait_for(job.id, lambda found: found.run_count == 2, "it is resumed")
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    effects = daemon.effects()
    assert {key: effects[key] for key in done} == dict.fromkeys(done, 1)
    assert {key: effects[key] for key in FAILING} == dict.fromkeys(FAILING, 1)
    assert set(daemon.effects("done").values()) == {1}
    assert len(daemon.effects("done")) == 313 - 31 - 11
    assert (completed.counts.processed, completed.counts.failed) == (313, 11)
    assert completed.resume_count == 1


async def test_a_job_told_to_hold_waits_for_resume_and_retry_runs_just_what_failed(daemon: RealDaemon) -> None:
    job = await at_228_of_313(daemon, runner_lost_policy=job_pb2.RUNNER_LOST_POLICY_HOLD)
    os.kill(daemon.runner_pid(job.id), signal.SIGKILL)
    held = await daemon.wait_state(job.id, JobState.FAILED)
    assert held.reason.code == "RUNNER_LOST"
    assert held.reason.message.startswith("Its runner was killed by SIGKILL;")
    processed = held.counts.processed
    daemon.gate.touch()
    answer = await daemon.client.call(daemon.client.jobs.ResumeJob, job_service_pb2.ResumeJobRequest(job=job.id))
    continues = f"continues at {processed + 1} of 313; {313 - processed} remain; 11 failed are kept"
    assert continues in answer.message
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert completed.counts.failed == 11
    before = daemon.effects()
    assert {key: before[key] for key in FAILING} == dict.fromkeys(FAILING, 1)

    daemon.gate.with_name("gate.mended").touch()
    retried = await daemon.client.call(daemon.client.jobs.RetryTasks, job_service_pb2.RetryTasksRequest(job=job.id))
    assert retried.retried == 11
    again = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert again.counts.failed == 0
    assert daemon.effects() - before == dict.fromkeys(FAILING, 1)
    assert sum(daemon.effects("report").values()) == 2, "what it gathered has changed, so it runs again"


async def test_a_killed_daemon_leaves_the_runner_at_work_and_takes_it_back(daemon: RealDaemon) -> None:
    job = await daemon.submit(parameters={"count": 60, "open": 20})
    await daemon.at_gate(job.id, 20)
    runner = daemon.runner_pid(job.id)
    for _ in range(3):
        daemon.kill()
        await daemon.start()
        found = await daemon.wait_for(job.id, lambda j: counts_of(j, "work").in_flight == 16, "it has reconnected")
        assert daemon.runner_pid(job.id) == runner
        assert state_of(found) is JobState.RUNNING
    daemon.kill()
    daemon.gate.touch()
    await daemon.wait_effects(28, "done")
    await daemon.start()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert (completed.run_count, completed.resume_count) == (1, 0)
    assert set(daemon.effects().values()) == {1}
    assert len(daemon.effects("done")) == 54


async def test_runner_and_daemon_killed_together(daemon: RealDaemon) -> None:
    job = await daemon.submit(parameters={"count": 60, "open": 20})
    await daemon.at_gate(job.id, 20)
    done = daemon.effects("done")
    runner = daemon.runner_pid(job.id)
    daemon.kill()
    os.kill(runner, signal.SIGKILL)
    daemon.gate.touch()
    await daemon.start()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert completed.run_count == 2
    effects = daemon.effects()
    assert {key: effects[key] for key in done} == dict.fromkeys(done, 1)
    assert max(effects.values()) == 2
    assert len(effects) == 54


async def test_watchers_go_on_without_a_gap(daemon: RealDaemon) -> None:
    job = await daemon.submit(parameters={"count": 60, "open": 20})
    await daemon.at_gate(job.id, 20)
    states: list[str] = []
    watched, lost, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def watch(updates: AsyncIterator[job_service_pb2.WatchJobsResponse | Disconnected]) -> None:
        async for update in updates:
            if isinstance(update, Disconnected):
                lost.set()
                continue
            if lost.is_set():
                back.set()
            assert not update.resync
            watched.set()
            states.extend(state_of(found) for found in update.jobs)
            if states and states[-1] is JobState.COMPLETED:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(watch(daemon.client.watch()))
        await watched.wait()
        daemon.kill()
        await lost.wait()
        await daemon.start()
        await back.wait()
        daemon.gate.touch()
    assert states[-1] is JobState.COMPLETED
    kinds = [event.kind for event in await daemon.events(job.id)]
    assert kinds == ["SUBMITTED", "RUN_STARTED", "RUNNER_ATTACHED", "RUNNER_REATTACHED", "RUN_ENDED"]


async def test_a_worker_killed_costs_only_its_tasks_in_flight(daemon: RealDaemon) -> None:
    job = await daemon.submit(parameters={"count": 60, "open": 20})
    await daemon.at_gate(job.id, 20)
    done = daemon.effects("done")
    [worker] = daemon.processes(f"{daemon.state}/sdk/")
    os.kill(worker, signal.SIGKILL)
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    effects = daemon.effects()
    assert completed.run_count == 1
    assert {key: effects[key] for key in done} == dict.fromkeys(done, 1)
    assert set(daemon.effects("done").values()) == {1}
    assert completed.counts.failed == 0
