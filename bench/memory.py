"""Memory while a job of 1,000,000 items runs, and how fast that goes."""

import statistics
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.measuring import Effort, rss_megabytes, run_script, say
from bench.own_daemon import completed, seconds, submit
from bench.table import Row, at_least, at_most
from bench.throughput import bare_path
from milepost.v1 import job_pb2
from tests.support.daemon import RealDaemon, real_daemon

ITEMS = 1_000_000


@dataclass
class Samples:
    """Resident megabytes of each process, in the order in which they were taken."""

    daemon: list[float] = field(default_factory=list)
    runner: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)


async def measure(effort: Effort) -> list[Row]:
    count = effort.count(ITEMS)
    # Before and after: the pace of a machine changes in the minutes that the run takes.
    before = bare_path(count)
    rate, samples = await _run(count)
    bare = statistics.mean((before, bare_path(count)))
    floors = run_script("peers/idle.py")
    server, worker = float(floors["server"]), float(floors["worker"])
    quarter, end = _spread(samples.daemon)
    what, idle = f"{count:,} items", "idle grpc.aio server"
    return [
        Row(f"{what}: daemon, highest", "MB", max(samples.daemon), server, idle, at_most(100, "ours")),
        Row(f"{what}: daemon, second half", "MB", end, quarter, "second quarter", at_most(1.1)),
        Row(f"{what}: runner, highest", "MB", max(samples.runner), server, idle),
        Row(f"{what}: worker, highest", "MB", max(samples.worker), worker, "idle asyncio process"),
        Row(f"{what}, enumerated meanwhile", "tasks/s", rate, bare, "bare path", at_least(0.5)),
    ]


async def _run(count: int) -> tuple[float, Samples]:
    samples = Samples()
    async with real_daemon() as daemon:
        job_id = await submit(daemon, "one_step", count=count)
        job = await completed(daemon, job_id, partial(_sample, daemon, samples))
        return count / seconds(job, "no_operation", "no_operation"), samples


def _sample(daemon: RealDaemon, samples: Samples, job: job_pb2.Job) -> None:
    try:
        runner = daemon.runner_pid(job.id)
        worker = int(Path(f"/proc/{runner}/task/{runner}/children").read_text().split()[0])
        figures = rss_megabytes(daemon.pid), rss_megabytes(runner), rss_megabytes(worker)
    except (ValueError, IndexError, OSError):
        return  # they are not there yet, or not any more
    for series, figure in zip((samples.daemon, samples.runner, samples.worker), figures, strict=True):
        series.append(figure)
    if len(samples.daemon) % 20 == 0:
        say(f"  {job.counts.succeeded:,} done: daemon, runner, worker {', '.join(f'{x:.0f}' for x in figures)} MB")


def _spread(series: list[float]) -> tuple[float, float]:
    """Medians of the second quarter, and of the second half."""
    quarter, half = len(series) // 4, len(series) // 2
    return statistics.median(series[quarter:half] or series), statistics.median(series[half:] or series)
