"""Pause completes what is in flight and starts nothing; resume goes on at the next."""

import asyncio

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, state_of
from tests.support.wait import wait_until


async def running_with_16_in_flight(daemon: RealDaemon) -> job_pb2.Job:
    job = await daemon.submit(parameters={"count": 60, "open": 20})
    return await daemon.at_gate(job.id, 20)


async def pause(daemon: RealDaemon, job: str, *, now: bool = False) -> job_service_pb2.PauseJobResponse:
    request = job_service_pb2.PauseJobRequest(job=job, reason="lunch", now=now)
    return await daemon.client.call(daemon.client.jobs.PauseJob, request)


async def resume(daemon: RealDaemon, job: str) -> job_service_pb2.ResumeJobResponse:
    return await daemon.client.call(daemon.client.jobs.ResumeJob, job_service_pb2.ResumeJobRequest(job=job))


async def no_processes(daemon: RealDaemon) -> None:
    async def none_left() -> bool:
        return not daemon.processes()

    await wait_until(none_left, f"every process is gone: {daemon.processes()}")


async def test_what_is_in_flight_completes_and_nothing_starts_after_holding(daemon: RealDaemon) -> None:
    job = await running_with_16_in_flight(daemon)
    answer = await daemon.held(daemon.client.jobs.PauseJob, job_service_pb2.PauseJobRequest(job=job.id))
    assert state_of(answer.job) is JobState.PAUSING
    assert counts_of(answer.job, "work").in_flight == 16
    assert len(answer.job.in_flight) == 16
    started = daemon.effects()
    daemon.gate.touch()
    paused = await daemon.wait_state(job.id, JobState.PAUSED)
    assert daemon.effects() == started
    assert daemon.effects("done") == started
    assert counts_of(paused, "work").succeeded == sum(started.values())
    assert counts_of(paused, "work").in_flight == 0
    await no_processes(daemon)

    resumed = await resume(daemon, job.id)
    processed = paused.counts.processed
    assert f"continues at {processed + 1} of 60" in resumed.message
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert completed.resume_count == 1
    assert len(daemon.effects()) == 54
    assert set(daemon.effects().values()) == {1}


async def test_resume_while_pausing_revokes_the_pause(daemon: RealDaemon) -> None:
    job = await running_with_16_in_flight(daemon)
    await pause(daemon, job.id)
    assert state_of((await resume(daemon, job.id)).job) is JobState.RUNNING
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert (completed.run_count, completed.resume_count) == (1, 0)
    assert set(daemon.effects().values()) == {1}


async def test_completion_wins_over_a_pause_that_is_not_yet_fact(daemon: RealDaemon) -> None:
    job = await daemon.submit("single.py")
    await daemon.wait_effects(1)
    await pause(daemon, job.id)
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED, JobState.PAUSED)
    assert state_of(completed) is JobState.COMPLETED


async def test_pause_now_kills_what_is_in_flight_and_it_runs_again(daemon: RealDaemon) -> None:
    job = await running_with_16_in_flight(daemon)
    await daemon.held(daemon.client.jobs.PauseJob, job_service_pb2.PauseJobRequest(job=job.id))
    before = daemon.effects()
    await pause(daemon, job.id, now=True)
    paused = await daemon.wait_state(job.id, JobState.PAUSED)
    await no_processes(daemon)
    done = daemon.effects("done")
    assert counts_of(paused, "work").succeeded == sum(done.values())
    daemon.gate.touch()
    await resume(daemon, job.id)
    await daemon.wait_state(job.id, JobState.COMPLETED)
    after = daemon.effects()
    assert {key: after[key] for key in done} == dict.fromkeys(done, 1)
    interrupted = set(before) - set(done)
    assert {key: after[key] for key in interrupted} == dict.fromkeys(interrupted, 2)
    assert set(daemon.effects("done").values()) == {1}
    items = await daemon.client.call(daemon.client.jobs.ListAttempts, job_service_pb2.ListAttemptsRequest(job=job.id))
    assert not items.attempts, "an interruption uses no attempt"


async def test_a_queued_job_is_held_at_once(daemon: RealDaemon) -> None:
    first = [await daemon.submit(parameters={"count": 1, "n": n}) for n in range(2)]
    queued = await daemon.submit(parameters={"count": 1, "n": 2})
    assert state_of((await pause(daemon, queued.id)).job) is JobState.PAUSED
    daemon.gate.touch()
    for job in first:
        await daemon.wait_state(job.id, JobState.COMPLETED)
    assert state_of(await daemon.job(queued.id)) is JobState.PAUSED
    await resume(daemon, queued.id)
    completed = await daemon.wait_state(queued.id, JobState.COMPLETED)
    assert completed.run_count == 1


async def test_a_sentinel_file_pauses_a_job_and_resume_removes_it(daemon: RealDaemon) -> None:
    job = await running_with_16_in_flight(daemon)
    sentinel = daemon.state / "jobs" / job.id / "PAUSE"
    sentinel.touch()
    await daemon.wait_state(job.id, JobState.PAUSING)
    daemon.gate.touch()
    paused = await daemon.wait_state(job.id, JobState.PAUSED)
    assert str(sentinel) in paused.reason.message
    await resume(daemon, job.id)
    assert not sentinel.exists()
    await daemon.wait_state(job.id, JobState.COMPLETED)


async def test_a_sentinel_file_for_all_holds_everything_until_it_is_removed(daemon: RealDaemon) -> None:
    job = await running_with_16_in_flight(daemon)
    sentinel = daemon.state / "PAUSE"
    sentinel.touch()
    await daemon.wait_state(job.id, JobState.PAUSING)
    daemon.gate.touch()
    await daemon.wait_state(job.id, JobState.PAUSED)
    queued = await daemon.submit(parameters={"count": 1})
    with pytest.raises(MilepostError) as refused:
        await resume(daemon, job.id)
    assert refused.value.code is Code.PAUSE_FILE
    assert state_of(await daemon.job(queued.id)) is JobState.QUEUED
    sentinel.unlink()
    await resume(daemon, job.id)
    await asyncio.gather(*(daemon.wait_state(found, JobState.COMPLETED) for found in (job.id, queued.id)))


async def test_the_same_request_has_one_effect(daemon: RealDaemon) -> None:
    job = await running_with_16_in_flight(daemon)
    request = job_service_pb2.PauseJobRequest(job=job.id, request_id="pause-1")
    answers = [await daemon.client.call(daemon.client.jobs.PauseJob, request) for _ in range(2)]
    assert answers[0].job.stop == answers[1].job.stop
    with pytest.raises(MilepostError) as refused:
        await daemon.client.call(daemon.client.jobs.PauseJob, job_service_pb2.PauseJobRequest(job=job.id))
    assert refused.value.code is Code.NOT_ALLOWED
    other = job_service_pb2.PauseJobRequest(job=job.id, request_id="pause-1", reason="another")
    with pytest.raises(MilepostError) as reused:
        await daemon.client.call(daemon.client.jobs.PauseJob, other)
    assert reused.value.code is Code.REQUEST_ID_REUSED
    kinds = [event.kind for event in await daemon.events(job.id)]
    assert kinds.count("PAUSE_REQUESTED") == 1


async def test_a_pause_that_waits_long_is_pointed_out_to_watchers(daemon: RealDaemon) -> None:
    daemon.terminate()
    daemon.settings["MILEPOST_PAUSE_TIMEOUT"] = "1"
    await daemon.start()
    job = await running_with_16_in_flight(daemon)
    await pause(daemon, job.id)
    async with asyncio.timeout(30):
        async for update in daemon.client.watch():
            assert isinstance(update, job_service_pb2.WatchJobsResponse)
            if any(found.reason.code == "PAUSE_WAITS" for job in update.jobs for found in job.findings):
                break
    late = await daemon.job(job.id)
    [finding] = [found for found in late.findings if found.reason.code == "PAUSE_WAITS"]
    assert "work item-0" in finding.reason.message
    assert [a.command for a in late.actions if a.recommended] == [job_pb2.COMMAND_PAUSE_NOW]
