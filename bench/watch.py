"""Watching: how soon a change is seen, and what it costs, with 100 watchers and 1,000 changes a second.

The changes are those of two jobs, as many as a queue runs at a time unless it is told otherwise, and then of twenty.
The API serves from this process, and so does, in turns with it, the floor: a bare watch that tells of as many changes
in documents of the same size. The watchers are another process, and all get every byte: five of the 100 are measured,
from the first to the last, and what they got is parsed afterwards, so that a delay is the daemon's and not that of a
program that reads a hundred times what a client reads. A change is the commit of one finished task of a running job;
its delay is from asking for the commit until the client has the job with it. What watching costs is the processor time
of this process beyond what the same changes cost when nobody watches.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.measuring import HERE, Effort, say
from bench.peers.bare_watch import bare_watch
from bench.table import Row, at_most
from milepost.common.collector import prepare_collector
from milepost.common.settings import DEFAULT_QUEUE_LIMIT
from milepost.core.definition import from_json
from milepost.core.model import Completed, Job, JobState, ReportKind
from milepost.core.progress import Sample
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.records import Received, Told, record
from milepost.daemon.store import runs
from milepost.daemon.store.reports import Source
from tests.support import factories
from tests.support.in_process import InProcessDaemon, in_process_daemon

WATCHERS = 100
CHANGES = 1000
MANY_JOBS = 20
#: Of each number of watchers in each round.
SECONDS = 2.0
#: A tick makes this many changes, each committed by itself, as far as they do not meet in a commit.
_TICK = 0.01
#: Seconds of changes until documents are as long as they stay: the floor tells of such.
_BEFORE = 1.0
#: Seconds after the last change until every watcher has it.
_SETTLED = 1.0

#: By job: when each of its changes was made, in order.
Changes = dict[str, list[float]]
#: What one watcher saw: job, tasks succeeded, Unix time.
Seen = Sequence[tuple[str, int, float]]
#: Makes a change durable: of which job, and its which change that is, from 1.
Change = Callable[[str, int], Awaitable[None]]


async def measure(effort: Effort) -> list[Row]:
    prepare_collector()  # as the daemon does
    few = await _compare(effort, DEFAULT_QUEUE_LIMIT, (0, 1, WATCHERS))
    many = await _compare(effort, MANY_JOBS, (0, WATCHERS))
    return [*_rows_of_few(*few), *_rows_of_many(*many)]


async def _compare(effort: Effort, number_of_jobs: int, watchers: Sequence[int]) -> "tuple[_Contestant, _Contestant]":
    """Ours and the floor, in turns."""
    seconds = max(1.0, SECONDS * effort.share)
    async with in_process_daemon() as daemon:
        measured = effort.rounds * len(watchers) * seconds
        items = round((_BEFORE + measured) * CHANGES / number_of_jobs) + 100
        jobs = await _jobs(daemon, number_of_jobs, items)
        ids = [job.id for job in jobs]
        ours = _Contestant("ours", number_of_jobs, daemon.client.socket, _Changing(ids, _changes_of(daemon, jobs)))
        await ours.changing.run(_BEFORE)
        async with bare_watch([await daemon.job(job_id) for job_id in ids]) as bare:
            floor = _Contestant("bare watch", number_of_jobs, bare.socket, _Changing(ids, bare.change))
            for _ in range(effort.rounds):
                for number in watchers:
                    await ours.run(number, seconds)
                    await floor.run(number, seconds)
    return ours, floor


@dataclass
class _Contestant:
    """`costs`: by the number of watchers, percent of a core, of each round. `delays`: by the same, seconds, sorted."""

    name: str
    jobs: int
    socket: Path
    changing: "_Changing"
    costs: dict[int, list[float]] = field(default_factory=dict)
    delays: dict[int, list[list[float]]] = field(default_factory=dict)

    async def run(self, number: int, seconds: float) -> None:
        watchers = await asyncio.to_thread(_start_watchers, self.socket, number) if number else None
        cost = await self.changing.run(seconds)
        self.costs.setdefault(number, []).append(cost)
        told = f"  {self.name}, {self.jobs} jobs, {number} watch: {cost:.0f} % of a core"
        if watchers is not None:
            await asyncio.sleep(_SETTLED)
            found = [delay for seen in await asyncio.to_thread(_end, watchers) for delay in self.changing.delays(seen)]
            self.delays.setdefault(number, []).append(sorted(found))
            told += f", {statistics.median(found) * 1e3:.1f} ms"
        say(told)

    def cost(self, number: int) -> float:
        """Of watching: beyond that of the changes."""
        return statistics.median(self.costs[number]) - self.cost_of_changes

    @property
    def cost_of_changes(self) -> float:
        return statistics.median(self.costs[0])

    def delay(self, number: int, share: float) -> float:
        """Milliseconds that this share of the delays does not exceed; the median of the rounds."""
        return statistics.median(delays[int(len(delays) * share)] for delays in self.delays[number]) * 1e3


_BARE = "bare grpc.aio watch"
_CORE = "% of a core"


def _rows_of_few(ours: _Contestant, floor: _Contestant) -> list[Row]:
    what = f"{CHANGES:,} changes/s in {ours.jobs} jobs"
    many, one, none = f"{what}, {WATCHERS} watchers", f"{what}, 1 watcher", f"{what}, no watcher"

    def delays(number: int, share: float) -> tuple[float, float]:
        return ours.delay(number, share), floor.delay(number, share)

    return [
        Row(f"{many}: change to client, median", "ms", *delays(WATCHERS, 0.5), _BARE, at_most(20, "ours")),
        Row(f"{many}: change to client, 99 %", "ms", *delays(WATCHERS, 0.99), _BARE),
        Row(f"{one}: change to client, median", "ms", *delays(1, 0.5), _BARE, at_most(20, "ours")),
        Row(f"{many}: cost", _CORE, ours.cost(WATCHERS), floor.cost(WATCHERS), _BARE, at_most(50, "ours")),
        Row(f"{one}: cost", _CORE, ours.cost(1), floor.cost(1), _BARE),
        Row(f"{none}: cost of the changes", _CORE, ours.cost_of_changes, floor.cost_of_changes, _BARE),
    ]


def _rows_of_many(ours: _Contestant, floor: _Contestant) -> list[Row]:
    many = f"{CHANGES:,} changes/s in {ours.jobs} jobs, {WATCHERS} watchers"
    medians = ours.delay(WATCHERS, 0.5), floor.delay(WATCHERS, 0.5)
    return [
        Row(f"{many}: change to client, median", "ms", *medians, _BARE, at_most(3)),
        Row(f"{many}: cost", _CORE, ours.cost(WATCHERS), floor.cost(WATCHERS), _BARE, at_most(50, "ours")),
    ]


class _Changing:
    """Makes changes of jobs in turn at an even pace. `made`: in the last run; `first`: how many each had before."""

    def __init__(self, job_ids: Sequence[str], change: Change) -> None:
        self._job_ids = job_ids
        self._change = change
        self._next = 0

    async def run(self, seconds: float) -> float:
        """Percent of a core that this process used, as if it had kept the pace, which a busy machine does not allow."""
        self.first = self._next // len(self._job_ids)
        self.made: Changes = {job_id: [] for job_id in self._job_ids}
        clock = asyncio.get_running_loop().time
        begun, used = clock(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for tick in range(round(seconds / _TICK)):
                await asyncio.sleep(max(0.0, begun + tick * _TICK - clock()))
                for _ in range(round(CHANGES * _TICK)):
                    group.create_task(self._make())
        made = round(seconds * CHANGES)
        if made < 0.9 * CHANGES * (clock() - begun):
            say(f"  only {made / (clock() - begun):,.0f} changes/s: the machine is too busy for this row")
        return (time.process_time() - used) / made * CHANGES * 100

    async def _make(self) -> None:
        job_id, number = self._job_ids[self._next % len(self._job_ids)], 1 + self._next // len(self._job_ids)
        self._next += 1
        self.made[job_id].append(time.time())
        await self._change(job_id, number)

    def delays(self, seen: Seen) -> list[float]:
        """Seconds from each change until the job was first seen with it. Raises RuntimeError when one was not seen."""
        delays = []
        first, made = self.first, self.made
        reached = dict.fromkeys(made, first)
        for job_id, succeeded, when in seen:
            delays += [when - change for change in made[job_id][reached[job_id] - first : succeeded - first]]
            reached[job_id] = max(reached[job_id], succeeded)
        if len(delays) != sum(map(len, made.values())):
            raise RuntimeError(f"{len(delays):,} of {sum(map(len, made.values())):,} changes were seen")
        return delays


def _changes_of(daemon: InProcessDaemon, jobs: Sequence[Job]) -> Change:
    definition = from_json(jobs[0].definition_json)
    sequences = {job.id: job.sequence for job in jobs}

    async def change(job_id: str, item: int) -> None:
        now = time.time()
        done = Completed(1, 0, ReportKind.SUCCEEDED, "", [item], [""], [now], [now], [""])
        told = Told(Source(job_id, sequences[job_id], 1, definition), [Received((done,), (), (), ())])
        await daemon.store.write_together(record, told)

    return change


async def _jobs(daemon: InProcessDaemon, number_of_jobs: int, items: int) -> list[Job]:
    found = []
    for number in range(number_of_jobs):
        job = await daemon.insert(f"j-{number:08}", state=JobState.RUNNING, queue_time=None, start_time=time.time())
        await daemon.store.write(lambda tx, job_id=job.id: runs.insert(tx, factories.run(job_id)))  # type: ignore[misc]  # called at once
        await daemon.add_items(job, [f"item-{item}" for item in range(items)])
        daemon.live[job.id] = _live()
        found.append(job)
    return found


def _live() -> Live:
    """What a runner with a full history and four tasks in flight of the step that goes on would have said."""
    now = time.time()
    history = tuple(Sample(now - 60 + second, second) for second in range(60))
    return Live(
        in_flight={1: 4},
        tasks=tuple(RunningTask(1, item, f"item-{item}", 1, now) for item in range(4)),
        samples={1: history},
    )


def _start_watchers(socket: Path, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "peers" / "watchers.py"), str(socket), str(number)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # all have caught up
    return process


def _end(watchers: subprocess.Popen[str]) -> list[Seen]:
    """Raises RuntimeError when some watchers got much less than others: then they did not watch."""
    answer, _ = watchers.communicate("\n")
    found = json.loads(answer)
    received: list[int] = found["bytes"]
    if min(received) < 0.8 * statistics.median(received):
        raise RuntimeError(f"a watcher got {min(received):,} bytes, half of them {statistics.median(received):,.0f}")
    seen: list[Seen] = found["seen"]
    return seen
