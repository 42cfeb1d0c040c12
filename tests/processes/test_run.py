"""A job goes from submit to its result."""

import ast
import json
from pathlib import Path

from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, counts_of, labels_of, state_of
from tests.support.wait import wait_until


def assert_counts_add_up(job: job_pb2.Job) -> None:
    for step in job.steps:
        c = step.counts
        assert c.succeeded + c.failed + c.skipped + c.upstream + c.in_flight + c.pending == c.total, step


async def test_every_item_is_executed_once_and_counted(daemon: RealDaemon) -> None:
    submitted = await daemon.submit(parameters={"gate": "", "failing": ["item-003", "item-014"]})
    job = await daemon.wait_state(submitted.id, JobState.COMPLETED)
    assert labels_of(job) == {"added": 16, "filtered": 2, "failed": 2}
    assert (job.counts.total, job.counts.processed, job.counts.failed) == (20, 20, 2)
    assert set(daemon.effects().values()) == {1}
    assert len(daemon.effects()) == 18
    assert_counts_add_up(job)
    assert job.progress.percent == 100
    assert job.HasField("end_time")
    report = next(Path(job.folder).glob("items/0/report/*/report.txt"))
    assert ast.literal_eval(report.read_text()) == {"FAILED": 2, "SKIPPED": 2, "SUCCEEDED": 16}


async def test_progress_adds_up_at_every_moment(daemon: RealDaemon) -> None:
    submitted = await daemon.submit(parameters={"count": 60, "open": 30})
    seen = []

    async def watch() -> bool:
        job = await daemon.job(submitted.id)
        assert_counts_add_up(job)
        seen.append(counts_of(job, "work").in_flight)
        return counts_of(job, "work").in_flight == 16

    await wait_until(watch, "16 in flight")
    assert max(seen) == 16
    daemon.gate.touch()
    assert_counts_add_up(await daemon.wait_state(submitted.id, JobState.COMPLETED))


async def test_results_are_by_item_and_step(daemon: RealDaemon) -> None:
    submitted = await daemon.submit(parameters={"count": 12, "gate": ""})
    await daemon.wait_state(submitted.id, JobState.COMPLETED)
    request = job_service_pb2.ListResultsRequest(job=submitted.id, label="added")
    found = [
        item
        async for response in daemon.client.stream(daemon.client.jobs.ListResults, request)
        for item in response.items
    ]
    assert [item.key for item in found] == [f"item-{n:03}" for n in range(12) if n % 10 != 9]
    by_step = {record.step: json.loads(record.result_json) for record in found[0].tasks if record.result_json}
    assert by_step == {"check": {"checked": True}, "work": {"number": 0}}


async def test_a_queue_runs_as_many_jobs_as_it_may_in_order_of_priority(daemon: RealDaemon) -> None:
    daemon.terminate()
    daemon.settings["MILEPOST_QUEUES"] = "default=1"
    await daemon.start()
    first = await daemon.submit(parameters={"count": 1})
    await daemon.wait_for(first.id, lambda found: found.counts.in_flight, "it runs")
    low = await daemon.submit(parameters={"count": 1, "n": 2})
    high = await daemon.submit(parameters={"count": 1, "n": 3}, priority=5)
    assert [(await daemon.job(job.id)).queue_position for job in (high, low)] == [1, 2]
    assert state_of(await daemon.job(low.id)) is JobState.QUEUED
    other = await daemon.submit(parameters={"count": 1, "n": 4}, queue="other")
    await daemon.wait_for(other.id, lambda found: found.counts.in_flight, "another queue has slots of its own")
    daemon.gate.touch()
    ended = [await daemon.wait_state(job.id, JobState.COMPLETED) for job in (high, low)]
    assert ended[0].end_time.ToNanoseconds() <= ended[1].start_time.ToNanoseconds()


async def test_the_queue_outlives_the_daemon(daemon: RealDaemon) -> None:
    jobs = [await daemon.submit(parameters={"count": 1, "n": n}) for n in range(4)]
    await daemon.wait_for(jobs[1].id, lambda found: found.counts.in_flight, "two run")
    daemon.kill()
    await daemon.start()
    assert [(await daemon.job(job.id)).queue_position for job in jobs] == [0, 0, 1, 2]
    daemon.gate.touch()
    for job in jobs:
        await daemon.wait_state(job.id, JobState.COMPLETED)
    assert set(daemon.effects().values()) == {4}
