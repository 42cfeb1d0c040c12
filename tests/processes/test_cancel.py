"""Cancel completes what is in flight; force-cancel kills the whole tree; both can be resumed."""

from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, state_of


async def with_16_in_flight(daemon: RealDaemon) -> job_pb2.Job:
    job = await daemon.submit(parameters={"count": 40, "open": 10})
    return await daemon.at_gate(job.id, 10)


async def resume_to_the_end(daemon: RealDaemon, job: str) -> job_pb2.Job:
    await daemon.client.call(daemon.client.jobs.ResumeJob, job_service_pb2.ResumeJobRequest(job=job))
    return await daemon.wait_state(job, JobState.COMPLETED)


async def test_cancel_completes_what_is_in_flight(daemon: RealDaemon) -> None:
    job = await with_16_in_flight(daemon)
    request = job_service_pb2.CancelJobRequest(job=job.id, reason="wrong file")
    answer = await daemon.held(daemon.client.jobs.CancelJob, request)
    assert state_of(answer.job) is JobState.CANCELLING
    assert counts_of(answer.job, "work").in_flight == 16, "they go on"
    started = daemon.effects()
    daemon.gate.touch()
    cancelled = await daemon.wait_state(job.id, JobState.CANCELLED)
    assert "wrong file" in cancelled.reason.message
    assert daemon.effects() == daemon.effects("done") == started
    completed = await resume_to_the_end(daemon, job.id)
    assert set(daemon.effects().values()) == {1}
    assert completed.counts.processed == 40


async def test_force_cancel_kills_at_once_and_keeps_what_is_recorded(daemon: RealDaemon) -> None:
    job = await with_16_in_flight(daemon)
    done = daemon.effects("done")
    await daemon.client.call(daemon.client.jobs.ForceCancelJob, job_service_pb2.ForceCancelJobRequest(job=job.id))
    cancelled = await daemon.wait_state(job.id, JobState.CANCELLED)
    assert not daemon.processes(), "nothing of it is alive when it says CANCELLED"
    assert counts_of(cancelled, "work").succeeded == len(done)
    daemon.gate.touch()
    await resume_to_the_end(daemon, job.id)
    effects = daemon.effects()
    assert {key: effects[key] for key in done} == dict.fromkeys(done, 1)
    assert set(daemon.effects("done").values()) == {1}


async def test_force_cancel_escalates_a_cancel(daemon: RealDaemon) -> None:
    job = await with_16_in_flight(daemon)
    await daemon.client.call(daemon.client.jobs.CancelJob, job_service_pb2.CancelJobRequest(job=job.id))
    await daemon.client.call(daemon.client.jobs.ForceCancelJob, job_service_pb2.ForceCancelJobRequest(job=job.id))
    await daemon.wait_state(job.id, JobState.CANCELLED)
    assert not daemon.processes()


async def test_a_queued_job_is_cancelled_at_once(daemon: RealDaemon) -> None:
    for n in range(2):
        await daemon.submit(parameters={"count": 1, "n": n})
    queued = await daemon.submit(parameters={"count": 1, "n": 2})
    answer = await daemon.client.call(daemon.client.jobs.CancelJob, job_service_pb2.CancelJobRequest(job=queued.id))
    assert state_of(answer.job) is JobState.CANCELLED
    assert answer.job.run_count == 0
