"""Restart from the checkpoint, from a step, from scratch."""

import os
import signal

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, labels_of, state_of


async def restart(daemon: RealDaemon, job: str, **where: object) -> job_service_pb2.RestartJobResponse:
    return await daemon.client.call(
        daemon.client.jobs.RestartJob,
        job_service_pb2.RestartJobRequest(job=job, **where),  # type: ignore[arg-type]
    )


async def with_16_in_flight(daemon: RealDaemon) -> job_pb2.Job:
    job = await daemon.submit(parameters={"count": 40, "open": 10})
    return await daemon.at_gate(job.id, 10)


async def test_from_the_checkpoint_also_when_the_runner_is_stopped_dead(daemon: RealDaemon) -> None:
    job = await with_16_in_flight(daemon)
    done = daemon.effects("done")
    first = daemon.runner_pid(job.id)
    os.kill(first, signal.SIGSTOP)
    await restart(daemon, job.id)
    await daemon.wait_for(job.id, lambda found: found.run_count == 2, "it has a new run")
    assert first not in daemon.processes("milepost.runner")
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    effects = daemon.effects()
    assert {key: effects[key] for key in done} == dict.fromkeys(done, 1)
    assert set(daemon.effects("done").values()) == {1}
    assert completed.resume_count == 1


async def test_from_a_step(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"count": 40})
    await daemon.wait_state(job.id, JobState.COMPLETED)
    assert set(daemon.effects().values()) == {1}
    await restart(daemon, job.id, from_step="work")
    again = await daemon.wait_for(job.id, lambda found: found.run_count == 2 and found.HasField("end_time"), "again")
    assert state_of(again) is JobState.COMPLETED
    assert set(daemon.effects().values()) == {2}
    assert labels_of(again) == {"added": 36, "filtered": 4}
    assert counts_of(again, "check").succeeded == 36
    assert sum(daemon.effects("report").values()) == 2


async def test_from_a_step_while_it_runs(daemon: RealDaemon) -> None:
    job = await with_16_in_flight(daemon)
    await restart(daemon, job.id, from_step="work")
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert completed.run_count == 2
    assert labels_of(completed) == {"added": 36, "filtered": 4}
    first_ten = {key: count for key, count in daemon.effects("done").items() if key < "item-009"}
    assert set(first_ten.values()) == {2}


async def test_from_scratch(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"count": 40})
    before = await daemon.wait_state(job.id, JobState.COMPLETED)
    await restart(daemon, job.id, from_scratch=True)
    after = await daemon.wait_for(job.id, lambda found: found.run_count == 2 and found.HasField("end_time"), "again")
    assert set(daemon.effects().values()) == {2}
    assert labels_of(after) == labels_of(before)
    assert after.counts == before.counts


async def test_an_unknown_step_changes_nothing(daemon: RealDaemon) -> None:
    job = await with_16_in_flight(daemon)
    with pytest.raises(MilepostError) as refused:
        await restart(daemon, job.id, from_step="wrok")
    assert refused.value.code is Code.UNKNOWN_STEP
    assert "items, check, work, report" in refused.value.remedy
    assert state_of(await daemon.job(job.id)) is JobState.RUNNING
    assert (await daemon.job(job.id)).run_count == 1


async def test_from_the_checkpoint_is_for_jobs_that_run(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"count": 1})
    await daemon.wait_state(job.id, JobState.COMPLETED)
    with pytest.raises(MilepostError) as refused:
        await restart(daemon, job.id)
    assert refused.value.code is Code.NOT_ALLOWED
