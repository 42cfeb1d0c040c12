"""The list of jobs as a DataTable, fed by the same watch: datatable_list.py SOCKET JOBS SECONDS REPORT.

The straightforward version, at its best: its rows are updated ten times a second, and only those in sight.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import DataTable

from milepost.common.client import Client, Disconnected
from milepost.v1 import job_pb2

STEP = 0.01
COLUMNS = ("STATUS", "ID", "NAME", "%", "ITEMS", "RATE", "FAIL")


def cells(job: job_pb2.Job) -> tuple[str, ...]:
    counts = job.counts
    state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    done = f"{counts.processed}/{counts.total}"
    return (
        state,
        job.id,
        job.name,
        f"{job.progress.percent:.0f}%",
        done,
        f"{job.progress.rate:.1f}",
        str(counts.failed),
    )


class ListApp(App[None]):
    def __init__(self, socket: Path, jobs: int, seconds: float, report: Path) -> None:
        super().__init__()
        self.socket, self.jobs, self.seconds, self.report = socket, jobs, seconds, report
        self.newest: dict[str, job_pb2.Job] = {}
        self.lines: dict[str, int] = {}

    def compose(self) -> ComposeResult:
        yield DataTable[str]()

    def on_mount(self) -> None:
        self.table = self.query_one(DataTable)
        self.keys = self.table.add_columns(*COLUMNS)
        self.run_worker(self.follow())
        self.run_worker(self.measure())
        self.set_interval(0.1, self.paint)

    async def follow(self) -> None:
        async with Client(self.socket, "bench") as client:
            async for update in client.watch():
                if not isinstance(update, Disconnected):
                    self.newest |= {job.id: job for job in update.jobs}

    def paint(self) -> None:
        newest, self.newest = self.newest, {}
        if added := [job for job in newest.values() if job.id not in self.lines]:
            for job in added:
                self.lines[job.id] = len(self.lines)
                self.table.add_row(*cells(job), key=job.id)
            return
        top = self.table.scroll_offset.y
        for job in newest.values():
            if top <= self.lines[job.id] < top + self.table.size.height:
                for key, text in zip(self.keys, cells(job), strict=True):
                    self.table.update_cell(job.id, key, text)

    async def measure(self) -> None:
        begun = time.monotonic()
        while len(self.lines) < self.jobs:  # noqa: ASYNC110 - it is looked at from outside
            await asyncio.sleep(STEP)
        loaded = time.monotonic() - begun
        await asyncio.sleep(2.0)
        lags, cpu, start = [], time.process_time(), time.monotonic()
        while time.monotonic() - start < self.seconds:
            due = time.monotonic() + STEP
            await asyncio.sleep(STEP)
            lags.append(time.monotonic() - due)
        share = 100 * (time.process_time() - cpu) / (time.monotonic() - start)
        answer = {"loaded": loaded, "cpu": share, "lag": sorted(lags)[int(len(lags) * 0.99)] * 1e3}
        await asyncio.to_thread(self.report.write_text, json.dumps(answer))
        self.exit()


if __name__ == "__main__":
    ListApp(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])).run()
