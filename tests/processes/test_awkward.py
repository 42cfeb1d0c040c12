"""Data that does not fit into one message, or that contradicts its pipeline."""

import json

from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon


async def test_a_gather_of_large_results_streams(daemon: RealDaemon) -> None:
    job = await daemon.submit("awkward.py", parameters={"count": 600})
    await daemon.wait_state(job.id, JobState.COMPLETED)
    request = job_service_pb2.ListResultsRequest(job=job.id, outcomes=[job_pb2.OUTCOME_SUCCEEDED])
    seen = 0
    async for response in daemon.client.stream(daemon.client.jobs.ListResults, request):
        seen += len(response.items)
    assert seen == 600
    log = [event.kind for event in await daemon.events(job.id)]
    assert log == ["SUBMITTED", "RUN_STARTED", "RUNNER_ATTACHED", "RUN_ENDED"]
    assert json.loads((await daemon.job(job.id)).parameters_json)["count"] == 600


async def test_a_key_that_must_not_come_twice_fails_the_job_and_says_where(daemon: RealDaemon) -> None:
    job = await daemon.submit("awkward.py", parameters={"count": 30, "double": True})
    failed = await daemon.wait_state(job.id, JobState.FAILED)
    assert "item-0" in failed.reason.message
    assert failed.reason.remedy
    log = [event.kind for event in await daemon.events(job.id)]
    assert log.count("RUNNER_REATTACHED") == 0


async def test_the_log_says_what_failed_and_where_the_job_stood_on_it(daemon: RealDaemon) -> None:
    broken = await daemon.submit(parameters={"count": None})
    await daemon.wait_state(broken.id, JobState.FAILED)
    log = daemon.run_log(broken.id)
    assert "milepost: items failed, attempt 1: bug: TypeError" in log
    assert "in rows" in log, "its traceback"

    job = await daemon.submit(parameters={"count": 3, "gate": "", "failing": ["item-001"]})
    await daemon.wait_state(job.id, JobState.COMPLETED)
    assert "milepost: work item-001 failed, attempt 1: persistent: item-001 is no good" in daemon.run_log(job.id)
