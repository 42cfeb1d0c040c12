"""How soon a pause is answered, when nothing starts any more, against the least it takes: a null call and a commit."""

import asyncio
import sqlite3
import statistics
import time
from pathlib import Path

from bench.measuring import Effort, folder, say
from bench.own_daemon import submit
from bench.table import Row, at_most
from milepost.core.model import JobState
from milepost.v1 import job_service_pb2 as pb
from tests.support.daemon import RealDaemon, real_daemon
from tests.support.wait import wait_until

PAUSES = 40
#: Tasks of the job that is paused take 50 ms, 16 at a time.
ITEMS = 20_000
#: Seconds in which a task that started after the answer would be seen.
WATCH = 0.1


async def measure(effort: Effort) -> list[Row]:
    with folder() as path:
        pauses, calls, commits = await _pauses(path, effort.count(PAUSES))
    floor = statistics.median(calls) + statistics.median(commits)
    say(f"  call {statistics.median(calls) * 1e3:.2f} ms, commit {statistics.median(commits) * 1e3:.2f} ms")
    median, slow = statistics.median(pauses), sorted(pauses)[int(len(pauses) * 0.9)]
    return [
        Row("pause until nothing starts, median", "ms", median * 1e3, floor * 1e3, "null call + commit", at_most(3)),
        Row("pause until nothing starts, 90 %", "ms", slow * 1e3, floor * 1e3, "null call + commit"),
    ]


async def _pauses(path: Path, count: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds, of pauses, null calls and commits, in turns."""
    pauses, calls, commits = [], [], []
    with sqlite3.connect(path / "commits.db", isolation_level=None) as database:
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (value)")
        async with real_daemon() as daemon:
            starts = daemon.folder / "starts"
            job = await submit(daemon, "busy", count=ITEMS, starts=str(starts))
            await daemon.wait_for(job, lambda found: found.counts.succeeded > 100, "it is under way")
            for _ in range(count):
                begun = time.perf_counter()
                await daemon.client.check_serving(10.0)
                calls.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                database.execute("INSERT INTO row VALUES (1)")
                commits.append(time.perf_counter() - begun)
                pauses.append(await _pause(daemon, job, starts))
    return pauses, calls, commits


async def _pause(daemon: RealDaemon, job: str, starts: Path) -> float:
    """Seconds until it was answered."""
    begun = time.perf_counter()
    answer = await daemon.client.call(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=job))
    answered, wall = time.perf_counter(), time.time()
    if not answer.holding:
        raise RuntimeError(f"the pause was answered before the runner held: {answer}")
    await asyncio.sleep(WATCH)
    late = [line for line in starts.read_text().split() if float(line) > wall]
    if late:
        raise RuntimeError(f"{len(late)} tasks started after the pause was answered")
    await daemon.wait_state(job, JobState.PAUSED)
    await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job))
    before = len(starts.read_text().split())

    async def going_on() -> bool:
        return len(starts.read_text().split()) > before + 16

    await wait_until(going_on, "the job goes on")
    return answered - begun
