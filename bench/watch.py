"""Watching: how soon a change is seen, and what it costs, with 100 watchers and 1,000 changes a second in 20 jobs.

The API serves from this process; the watchers are another one, which all get every byte: five of the 100 are measured,
from the first to the last, and what they got is parsed afterwards, so that a delay is the daemon's and not that of a
program that reads a hundred times what a client reads. A change is the commit of one finished task of a running job;
its delay is from asking for the commit until the client has the job with it. What watching costs is the processor time
of this process beyond what the same changes cost when nobody watches.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence

from bench.measuring import HERE, Effort, say
from bench.table import Row, at_most
from milepost.common.collector import prepare_collector
from milepost.core.definition import from_json
from milepost.core.model import Completed, Job, JobState, ReportKind
from milepost.core.progress import Sample
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.records import Received, Told, record
from milepost.daemon.store import runs
from milepost.daemon.watch import FRAME
from tests.support import factories
from tests.support.in_process import InProcessDaemon, in_process_daemon

WATCHERS = 100
CHANGES = 1000
JOBS = 20
SECONDS = 10.0
#: A tick makes this many changes, each committed by itself, as far as they do not meet in a commit.
_TICK = 0.01
#: Seconds after the last change until every watcher has it.
_SETTLED = 1.0

#: By job: when each of its changes was made, in order.
Changes = dict[str, list[float]]


async def measure(effort: Effort) -> list[Row]:
    seconds = max(1.0, SECONDS * effort.share)
    prepare_collector()  # as the daemon does
    async with in_process_daemon() as daemon:
        jobs = await _jobs(daemon, round(3 * seconds * CHANGES / JOBS) + 100)
        changing = _Changing(daemon, jobs)
        alone = await changing.run(seconds)
        say(f"  nobody watches: {alone:.0f} % of a core")
        costs = {}
        for number in (1, WATCHERS):
            changing.made = {job.id: [] for job in jobs}
            watchers = await _start_watchers(daemon, number)
            costs[number] = await changing.run(seconds) - alone
            await asyncio.sleep(_SETTLED)
            delays = [delay for seen in await _end(watchers) for delay in _delays(changing.first, changing.made, seen)]
            say(f"  {number} watch: {costs[number]:.0f} % of a core, {statistics.median(delays) * 1e3:.1f} ms")
    return _rows(costs, delays, alone)


def _rows(costs: dict[int, float], delays: Sequence[float], alone: float) -> list[Row]:
    what = f"{CHANGES:,} changes/s in {JOBS} jobs"
    many = f"{what}, {WATCHERS} watchers"
    none = "of the changes themselves"
    slow = sorted(delays)[int(len(delays) * 0.99)]
    median, frame, half = statistics.median(delays) * 1e3, FRAME * 500, "half a frame"
    return [
        Row(
            f"{many}: change to client, median",
            "ms",
            median,
            frame,
            half,
            at_most(20, "ours"),
        ),
        Row(f"{many}: change to client, 99 %", "ms", slow * 1e3, frame, half),
        Row(f"{many}: cost", "% of a core", costs[WATCHERS], alone, none, at_most(50, "ours")),
        Row(f"{what}, 1 watcher: cost", "% of a core", costs[1], alone, none),
    ]


class _Changing:
    """Makes changes at an even pace. `first`: how many each job had before those in `made`."""

    def __init__(self, daemon: InProcessDaemon, jobs: Sequence[Job]) -> None:
        self._daemon = daemon
        self._jobs = jobs
        self._definition = from_json(jobs[0].definition_json)
        self._next = 0
        self.made: Changes = {job.id: [] for job in jobs}

    async def run(self, seconds: float) -> float:
        """Percent of a core that this process used, as if it had kept the pace, which a busy machine does not allow."""
        self.first = self._next // len(self._jobs)
        clock = asyncio.get_running_loop().time
        begun, used = clock(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for tick in range(round(seconds / _TICK)):
                await asyncio.sleep(max(0.0, begun + tick * _TICK - clock()))
                for _ in range(round(CHANGES * _TICK)):
                    group.create_task(self._change())
        made = round(seconds * CHANGES)
        if made < 0.9 * CHANGES * (clock() - begun):
            say(f"  only {made / (clock() - begun):,.0f} changes/s: the machine is too busy for this row")
        return (time.process_time() - used) / made * CHANGES * 100

    async def _change(self) -> None:
        job, item = self._jobs[self._next % len(self._jobs)], 1 + self._next // len(self._jobs)
        self._next += 1
        now = time.time()
        done = Completed(1, 0, ReportKind.SUCCEEDED, "", [item], [""], [now], [now], [""])
        self.made[job.id].append(now)
        told = Told(job.id, job.sequence, 1, self._definition, [Received((done,), (), (), ())])
        await self._daemon.store.write_together(record, told)


async def _jobs(daemon: InProcessDaemon, items: int) -> list[Job]:
    found = []
    for number in range(JOBS):
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


async def _start_watchers(daemon: InProcessDaemon, number: int) -> asyncio.subprocess.Process:
    script = str(HERE / "peers" / "watchers.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        str(daemon.client.socket),
        str(number),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 28,
    )
    assert process.stdout is not None
    await process.stdout.readline()  # all have caught up
    return process


#: What one watcher saw: job, tasks succeeded, Unix time.
Seen = Sequence[tuple[str, int, float]]


async def _end(watchers: asyncio.subprocess.Process) -> list[Seen]:
    """Raises RuntimeError when some watchers got much less than others: then they did not watch."""
    answer, _ = await watchers.communicate(b"\n")
    found = json.loads(answer)
    received: list[int] = found["bytes"]
    if min(received) < 0.8 * statistics.median(received):
        raise RuntimeError(f"a watcher got {min(received):,} bytes, half of them {statistics.median(received):,.0f}")
    seen: list[Seen] = found["seen"]
    return seen


def _delays(first: int, made: Changes, seen: Seen) -> list[float]:
    """Seconds from each change until the job was first seen with it. Raises RuntimeError when one was not seen."""
    delays = []
    reached = dict.fromkeys(made, first)
    for job, succeeded, when in seen:
        delays += [when - change for change in made[job][reached[job] - first : succeeded - first]]
        reached[job] = max(reached[job], succeeded)
    if len(delays) != sum(map(len, made.values())):
        raise RuntimeError(f"{len(delays):,} of {sum(map(len, made.values())):,} changes were seen")
    return delays
