"""What is noticed about a run while time passes: once, with what its steps have taught, and afresh after a sleep."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from milepost.core.clocks import Clocks
from milepost.core.findings import Patience, SilentWorker
from milepost.core.model import Child, FindingKind, Job, JobState, Run, TaskRef
from milepost.daemon.live import IDLE, Live, RunningTask
from milepost.daemon.store import children, events, jobs
from milepost.daemon.store.store import Store
from milepost.daemon.vigil import LEARNED_AGAIN, TOLD_AGAIN, Vigil
from tests.support import factories
from tests.support.applying import apply

DEFINITION = factories.creators()
FETCH = 1


@dataclass
class Bench:
    """A vigil over one running job; clocks and heartbeats are the test's."""

    store: Store
    job: Job
    clocks: Clocks = field(default_factory=lambda: Clocks(1000.0, 1000.0))
    live: Live = IDLE
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        patience = Patience(pause=60.0, silence=30.0)
        self.vigil = Vigil(self.store, lambda _: self.live, self.told.append, patience, lambda: self.clocks)

    def pass_time(self, seconds: float, asleep: float = 0.0) -> None:
        self.clocks = Clocks(self.clocks.monotonic + seconds, self.clocks.boottime + seconds + asleep)

    def hear(self, **heartbeat: object) -> None:
        self.live = replace(self.live, heard=self.clocks.monotonic, **heartbeat)  # type: ignore[arg-type]

    async def look(self, after: float = 0.0, asleep: float = 0.0) -> list[str]:
        """As reconcile does, each second until `after`; then the codes that a document has."""
        for _ in range(int(after)):
            self.pass_time(1.0)
            await self._look()
        self.pass_time(0.0, asleep)
        await self._look()
        return [finding.reason.code for finding in self.vigil.findings(self.job, DEFINITION)]

    async def _look(self) -> None:
        self.vigil.look_at_clocks()
        await self.vigil.look(self.job, Run(self.job.id, 1, "mark", "0" * 64, 0.0))

    async def history(self) -> list[str]:
        found = await self.store.read(lambda db: events.page(db, self.job.id, 0, 100))
        return [f"{event.kind} {event.message.partition(':')[0]}" for event in found]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = await Store.open(tmp_path)
    running = factories.job(state=JobState.RUNNING, queue_time=None)
    job = await store.write(lambda tx: jobs.insert(tx, running, DEFINITION))
    yield Bench(store, job)
    await store.close()


def executing(quiet: float, step: int = FETCH) -> RunningTask:
    return RunningTask(step, 1, "ada", 1, factories.NOW, quiet, 77)


async def test_what_begins_and_ends_is_recorded_once(bench: Bench) -> None:
    bench.hear()
    assert await bench.look(after=29) == []
    assert await bench.look(after=1) == ["RUNNER_SILENT"]
    assert await bench.look(after=5) == ["RUNNER_SILENT"]
    assert bench.vigil.noticed() == {FindingKind.STUCK: [bench.job.id]}
    revision = bench.store.revision
    bench.hear()
    assert await bench.look() == []
    assert await bench.history() == ["FINDING_BEGAN RUNNER_SILENT", "FINDING_ENDED RUNNER_SILENT"]
    assert bench.store.revision == revision + 1
    assert bench.vigil.noticed() == {}


async def test_a_runner_that_never_attached_or_left_is_silent_since_then(bench: Bench) -> None:
    assert await bench.look() == []
    assert await bench.look(after=30) == ["RUNNER_SILENT"]
    bench.hear()
    assert await bench.look(after=1) == []
    bench.live = IDLE
    assert await bench.look(after=28) == []
    assert await bench.look(after=1) == ["RUNNER_SILENT"]


async def test_what_ends_with_the_run_is_told_then(bench: Bench) -> None:
    await bench.look()
    assert await bench.look(after=30) == ["RUNNER_SILENT"]
    assert [event.kind for event in bench.vigil.last_events(bench.job.id, 1.0)] == ["FINDING_ENDED"]
    bench.vigil.forget(bench.job.id)
    assert bench.vigil.last_events(bench.job.id, 1.0) == []
    assert await bench.look() == []  # the next run's time begins now


async def test_after_a_sleep_ages_start_afresh(bench: Bench) -> None:
    bench.hear(silent_workers=(SilentWorker(77, 25.0, 1),))
    assert await bench.look() == []
    assert await bench.look(asleep=8 * 3600.0) == []
    bench.hear(silent_workers=(SilentWorker(77, 35.0, 1),))
    assert await bench.look() == []
    bench.hear(silent_workers=(SilentWorker(77, 65.0, 1),))
    assert await bench.look(after=29) == []
    assert await bench.look(after=1) == ["RUNNER_SILENT"]  # awake for 30 s, and nothing came
    bench.hear(silent_workers=(SilentWorker(77, 95.0, 1),))
    assert await bench.look() == ["WORKER_SILENT"]


async def test_a_daemon_that_was_stopped_blames_nobody_before_it_has_looked_around(bench: Bench) -> None:
    bench.hear()
    assert await bench.look() == []
    bench.pass_time(120.0)
    assert bench.vigil.findings(bench.job, DEFINITION) == (), "the heartbeats of that time are not read yet"
    assert await bench.look(after=29) == []
    assert await bench.look(after=1) == ["RUNNER_SILENT"]


async def test_other_words_are_told_without_a_record(bench: Bench) -> None:
    bench.hear(silent_workers=(SilentWorker(77, 40.0, 1),))
    await bench.look()
    assert bench.told == []
    bench.hear(silent_workers=(SilentWorker(77, 41.0, 1), SilentWorker(78, 30.0, 1)))
    await bench.look()
    assert bench.told == [bench.job.id]
    assert await bench.history() == ["FINDING_BEGAN WORKER_SILENT"]


async def test_a_job_that_does_nothing_is_told_again_because_time_passes(bench: Bench) -> None:
    bench.hear()
    await bench.look(after=TOLD_AGAIN - 1)
    assert bench.told == []
    await bench.look(after=2 * TOLD_AGAIN)
    assert bench.told == [bench.job.id] * 2
    assert await bench.history() == []


async def test_what_only_a_document_has_seen_is_taken_back(bench: Bench) -> None:
    bench.hear()
    await bench.look(after=29)
    bench.told.clear()
    bench.pass_time(1.0)
    shown = bench.vigil.findings(bench.job, DEFINITION)  # for another change of the job, just before the next look
    assert [finding.reason.code for finding in shown] == ["RUNNER_SILENT"]
    bench.hear()
    assert await bench.look() == []
    assert (bench.told, await bench.history()) == ([bench.job.id], [])
    await bench.look()
    assert bench.told == [bench.job.id]


@pytest.mark.parametrize(
    ("durations", "quiet", "old"),
    [
        ([], 3599.0, False),
        ([], 3600.0, True),
        ([1.0, 2.0], 599.0, False),
        ([1.0, 2.0], 601.0, True),
        ([1.0, 1000.0], 2999.0, False),
        ([1.0, 1000.0], 3001.0, True),
    ],
)
async def test_how_long_a_task_may_take_is_learned_from_its_step(
    bench: Bench, durations: list[float], quiet: float, old: bool
) -> None:
    await record(bench, durations)
    bench.hear(tasks=(executing(quiet),))
    assert await bench.look() == (["NO_PROGRESS"] if old else [])


async def test_what_is_learned_meanwhile_counts(bench: Bench) -> None:
    await record(bench, [1.0])
    bench.hear(tasks=(executing(700.0),))
    assert await bench.look() == ["NO_PROGRESS"]
    await record(bench, [500.0], first=10)
    for _ in range(int(LEARNED_AGAIN)):
        bench.pass_time(1.0)
        bench.hear(tasks=(executing(800.0),))
        noticed = await bench.look()
    assert noticed == []


async def record(bench: Bench, durations: list[float], first: int = 0) -> None:
    """Items that have passed the step fetch, each in so many seconds."""
    keys = [Child(f"k{number}", "{}") for number in range(first, first + len(durations))]
    root = TaskRef(0, 0, 0)
    await bench.store.write(lambda tx: children.add(tx, bench.job.id, DEFINITION, root, 1, first, keys, factories.NOW))
    done = [
        factories.succeeded(FETCH, number + 1 + (first and 1), end_time=factories.NOW + duration)
        for number, duration in enumerate(durations)
    ]
    await bench.store.write(
        lambda tx: apply(tx, bench.job.id, 1, DEFINITION, done, factories.NOW, factories.no_jitter())
    )
