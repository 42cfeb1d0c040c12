"""What screens draw: the grid of a job, its metrics, and how the machine is."""

import os
import shutil
from datetime import timedelta
from typing import Any

import pytest

from milepost.core.errors import Code
from milepost.core.model import Job, JobState, ReportKind
from milepost.daemon.live import RunningTask
from milepost.daemon.rpc.grid import grid_message
from milepost.daemon.store import grid
from milepost.daemon.store.store import READERS
from milepost.v1 import daemon_service_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon


@pytest.fixture
async def job(daemon: InProcessDaemon) -> Job:
    """a through all steps, b failed at score, c was skipped at fetch, d is tried again, e and f wait."""
    job = await daemon.insert("j-aaaaaaaa", factories.creators(attempts=2), state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, list("abcdef"))
    await daemon.report(job, factories.succeeded(1, 1), factories.succeeded(1, 2), factories.failed(1, 4))
    await daemon.report(job, factories.report(ReportKind.SKIPPED, 1, 3))
    await daemon.report(job, factories.succeeded(2, 1), factories.failed(2, 2, error_class="bug"))
    return job


async def _grid(daemon: InProcessDaemon, job: Job, columns: int = 0) -> dict[str, list[str]]:
    """By step, each cell as `counts@first key`."""
    request = pb.GetJobGridRequest(job=job.id, columns=columns)
    answer = await daemon.client.call(daemon.client.jobs.GetJobGrid, request)
    return {step.step: [_text(cell) for cell in step.cells] for step in answer.steps}


def _text(cell: pb.GridCell) -> str:
    names = ("succeeded", "failed", "skipped", "in_flight", "retry", "pending", "upstream")
    counts = {name: getattr(cell, name) for name in names}
    assert sum(counts.values()) == cell.items
    told = ",".join(f"{name}{number if number > 1 else ''}" for name, number in counts.items() if number)
    return f"{told}@{cell.first_item_key}"


async def test_a_cell_for_each_item(daemon: InProcessDaemon, job: Job) -> None:
    assert await _grid(daemon, job) == {
        "rows": ["succeeded@"],
        "fetch": ["succeeded@a", "succeeded@b", "skipped@c", "retry@d", "pending@e", "pending@f"],
        "score": ["succeeded@a", "failed@b", "upstream@c", "pending@d", "pending@e", "pending@f"],
        "report": ["pending@"],
    }


async def test_buckets_of_neighbours(daemon: InProcessDaemon, job: Job) -> None:
    found = await _grid(daemon, job, columns=2)
    assert found["score"] == ["succeeded,failed,upstream@a", "pending3@d"]
    assert found["report"] == ["pending@"]


async def test_a_job_without_items_yet(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa")
    assert await _grid(daemon, job) == {"rows": ["pending@"], "fetch": [], "score": [], "report": ["pending@"]}


async def test_what_executes_is_seen_where_its_item_is(daemon: InProcessDaemon, job: Job) -> None:
    definition = factories.creators(attempts=2)
    executing = [RunningTask(step, item, "", 1, factories.NOW) for step, item in ((1, 5), (2, 1), (3, 99))]
    lines = await daemon.store.read(lambda db: grid.standings(db, job.id, definition, 2))
    _, fetch, score, report = grid_message(definition, lines, executing).steps
    assert [(cell.in_flight, cell.pending) for cell in fetch.cells] == [(0, 0), (1, 1)]
    assert [(cell.in_flight, cell.items) for cell in (*score.cells, *report.cells)] == [(0, 3), (0, 3), (0, 1)]


@pytest.mark.parametrize("query", [{"columns": -1}, {"columns": 401}, {"job": ""}])
async def test_a_grid_that_cannot_be(daemon: InProcessDaemon, job: Job, query: dict[str, Any]) -> None:
    request = pb.GetJobGridRequest(**{"job": job.id, **query})
    error = await daemon.refusal(daemon.client.jobs.GetJobGrid, request)
    assert (error.code, error.metadata["field"]) == (Code.INVALID_ARGUMENT, next(iter(query)))


async def test_metrics_of_a_job(daemon: InProcessDaemon, job: Job) -> None:
    request = pb.GetJobMetricsRequest(job=job.id)
    found = await daemon.client.call(daemon.client.jobs.GetJobMetrics, request)
    assert {step.step: (step.executions.count, step.failed_attempts.count) for step in found.steps} == {
        "rows": (1, 0),
        "fetch": (3, 1),
        "score": (1, 1),
        "report": (0, 0),
    }
    fetch = found.steps[1].executions
    assert (fetch.mean_seconds, fetch.p50_seconds, fetch.max_seconds) == (1.0, 1.0, 1.0)
    assert [(bucket.upper_seconds >= 1.0, bucket.count) for bucket in fetch.buckets] == [(True, 3)]
    assert {failure.error_class: failure.count for failure in found.failures} == {"network": 1, "bug": 1}
    assert (list(found.throughput), found.HasField("throughput_width")) == ([], False)


async def test_throughput_of_a_job_that_has_started(daemon: InProcessDaemon) -> None:
    start = factories.NOW
    job = await daemon.insert(
        "j-aaaaaaaa", state=JobState.COMPLETED, start_time=start, end_time=start + 10, queue_time=None
    )
    await daemon.add_items(job, ["a"])
    request = pb.GetJobMetricsRequest(job=job.id)
    found = await daemon.client.call(daemon.client.jobs.GetJobMetrics, request)
    assert found.throughput_width.ToTimedelta() == timedelta(seconds=1)
    assert [point.processed for point in found.throughput] == [0, 1, *[0] * 8]
    assert found.throughput[1].start_time.seconds == factories.NOW + 1


async def test_how_the_machine_and_the_daemon_are(daemon: InProcessDaemon, job: Job) -> None:
    watching = daemon.watch()
    await anext(aiter(watching))
    found = await daemon.client.call(daemon.client.daemon.GetStats, daemon_service_pb2.GetStatsRequest())
    watching.cancel()
    machine, own = found.machine, found.daemon
    assert machine.cores == os.cpu_count()
    assert 0 < machine.memory_used_bytes < machine.memory_total_bytes
    assert 0 < machine.disk_free_bytes < machine.disk_total_bytes == shutil.disk_usage(daemon.folder).total
    assert 0 < own.rss_bytes < machine.memory_total_bytes
    assert own.descriptors > 3
    assert own.threads >= READERS
    assert own.wal_bytes == (daemon.folder / "store.db-wal").stat().st_size > 0
    assert (found.runners, found.watchers, dict(found.jobs_by_state)) == (0, 1, {"RUNNING": 1})
