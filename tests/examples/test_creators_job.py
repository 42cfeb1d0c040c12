"""The creators example as a job, with real processes: kill -9 at 228 of 313, its sums, and other files than its own."""

import csv
import os
import runpy
import signal
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from milepost.cli.exit_codes import Exit
from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.cli import run_cli
from tests.support.creators import EXAMPLE, SUMS, executed, keys_that, of_items, submit_creators
from tests.support.daemon import RealDaemon, labels_of, real_daemon


@pytest.fixture
async def daemon() -> AsyncIterator[RealDaemon]:
    async with real_daemon() as running:
        yield running


async def test_killed_at_228_of_313_it_finishes_the_rest_and_retry_runs_just_the_failed(daemon: RealDaemon) -> None:
    job = await submit_creators(daemon, slowdown=4)
    await daemon.wait_for(job.id, lambda now: now.counts.processed >= 228, "228 are processed", deadline=60)
    runner = daemon.runner_pid(job.id)
    os.kill(runner, signal.SIGSTOP)  # it completes nothing more while what it has done is noted
    ended = {
        state: await keys_that(daemon, job.id, state)
        for state in (job_pb2.ITEM_STATE_SUCCEEDED, job_pb2.ITEM_STATE_FAILED)
    }
    recorded = set.union(*ended.values())
    before = of_items(executed(daemon), recorded)
    os.kill(runner, signal.SIGKILL)

    job = await daemon.wait_state(job.id, JobState.COMPLETED, deadline=60)
    assert job.run_count == 2
    assert labels_of(job) == SUMS
    assert job.counts.processed == job.counts.total == sum(SUMS.values()) == 313
    assert of_items(executed(daemon), recorded) == before
    failed = await keys_that(daemon, job.id, job_pb2.ITEM_STATE_FAILED)
    assert ended[job_pb2.ITEM_STATE_FAILED] <= failed

    before = executed(daemon)
    await daemon.client.call(daemon.client.jobs.RetryTasks, job_service_pb2.RetryTasksRequest(job=job.id))
    job = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert labels_of(job) == SUMS
    assert set(executed(daemon) - before) == {f"fetch {key}" for key in failed}


async def test_another_file_with_these_columns_runs_too(daemon: RealDaemon) -> None:
    file = daemon.folder / "other creators.csv"
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["bio", "platform", "handle", "name", "followers", "city"])
        writer.writerows(
            ["", "tiktok", f"someone{number}", f"Étienne {number}", number, "Ålesund"] for number in range(17)
        )
        writer.writerows(
            [["", "", "", "Nobody", "", ""], ["", "", " ", "No one", "", ""], ["", "", "@Someone3", "", "", ""]]
        )
    ran = await run_cli(
        daemon.environment, "run", str(EXAMPLE / "pipeline.py"), "--input", str(file), "--param", "slowdown=1", "--json"
    )
    outcomes = Counter(
        {entry.get("label") or entry["outcome"]: entry["count"] for entry in ran.documents[-1]["outcomes"]}
    )
    manners = runpy.run_path(str(EXAMPLE / "profiles.py"))["manners"]
    failing = sum(manners(f"someone{number}").for_good != 0 for number in range(17))
    assert failing, "without one the exit code would say less"
    assert outcomes == {"added": 17 - failing, "FAILED": failing, "filtered": 2, "duplicate": 1}
    assert ran.code == Exit.COMPLETED_WITH_FAILURES
