"""The client library against a real daemon that comes and goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from milepost.common.client import Disconnected
from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1.job_service_pb2 import GetJobRequest, ListJobsRequest, PauseJobRequest
from tests.support.daemon import RealDaemon, real_daemon, state_of


@pytest.fixture
async def daemon() -> AsyncIterator[RealDaemon]:
    async with real_daemon() as running:
        yield running


async def test_a_watch_goes_on_from_its_token_after_the_daemon_came_back(daemon: RealDaemon) -> None:
    job = await daemon.submit()
    await daemon.wait_state(job.id, JobState.RUNNING)
    lost, resynced, states = 0, 0, []
    async with asyncio.timeout(30), aclosing(daemon.client.watch(f"id = {job.id}")) as updates:
        async for update in updates:
            if isinstance(update, Disconnected):
                lost += 1
                await daemon.start()
                continue
            resynced += update.resync
            states += [state_of(job) for job in update.jobs]
            if update.caught_up and not lost:
                daemon.kill()
                daemon.gate.touch()
            if states and states[-1] is JobState.COMPLETED:
                break
    assert (lost, resynced) == (1, 0)


async def test_a_wrong_filter_ends_the_watch(daemon: RealDaemon) -> None:
    with pytest.raises(MilepostError) as caught:
        async for _ in daemon.client.watch("colour = red"):
            pass
    assert caught.value.code is Code.INVALID_FILTER
    assert caught.value.metadata["column"] == "1"


async def test_a_call_outlives_a_restart_of_the_daemon(daemon: RealDaemon) -> None:
    await daemon.client.call(daemon.client.jobs.ListJobs, ListJobsRequest())
    daemon.kill()
    calling = asyncio.create_task(daemon.client.call(daemon.client.jobs.ListJobs, ListJobsRequest()))
    await daemon.start()
    assert list((await calling).jobs) == []


async def test_errors_come_with_their_code_and_remedy(daemon: RealDaemon) -> None:
    with pytest.raises(MilepostError) as caught:
        await daemon.client.call(daemon.client.jobs.GetJob, GetJobRequest(job="j-22222222"))
    assert caught.value.code is Code.JOB_NOT_FOUND
    assert caught.value.remedy


async def test_a_mutation_gets_a_request_id_of_its_own(daemon: RealDaemon) -> None:
    job = await daemon.submit()
    await daemon.wait_state(job.id, JobState.RUNNING)
    request = PauseJobRequest(job=job.id, now=True)
    await daemon.client.call(daemon.client.jobs.PauseJob, request)
    assert request.request_id
    await daemon.client.call(daemon.client.jobs.PauseJob, request)
    asked = [event for event in await daemon.events(job.id) if event.kind == "PAUSE_NOW_REQUESTED"]
    assert len(asked) == 1, "the repetition is answered, and not carried out"
