"""What commits say of running jobs makes of them what the store has, and nothing that never was."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from milepost.core.model import Job, JobState, Report, ReportKind, TaskRef
from milepost.core.progress import Span
from milepost.daemon.known_jobs import Known, KnownJobs
from milepost.daemon.records import Received, Told, record
from milepost.daemon.snapshot import Surroundings
from milepost.daemon.store import children, jobs, runs
from milepost.daemon.store.advance import Advance
from milepost.daemon.store.group_commit import Commit, Transaction
from milepost.daemon.store.reports import Source
from milepost.daemon.store.store import Store
from tests.support import factories as make

DEFINITION = make.creators(attempts=2)
AROUND = Surroundings({}, {}, {})


class Bench:
    """A running job with three rows, as it was read first, and what was heard of it since."""

    def __init__(self, store: Store, job: Job) -> None:
        self.store = store
        self.job = job
        self.heard: list[Advance] | None = []
        self.known = KnownJobs()
        self.known.keep(Known(job, AROUND))
        self._heard_revision = store.revision
        self._has_heard = asyncio.Event()
        store.listen(self._hear)

    def _hear(self, commit: Commit) -> None:
        assert self.job.id in commit.job_ids
        self._heard_revision = commit.revision
        self._has_heard.set()
        advance = commit.advances.get(self.job.id)
        if advance is None:
            self.heard = None
        elif self.heard is not None:
            self.heard.append(advance)

    async def tell(self, *told: Report, run: int = 1) -> None:
        await self._write(self.store.write_together(record, self._told(told, run)))

    async def _write(self, *writes: Awaitable[object]) -> None:
        """Until what they committed was heard of, which comes after their answers."""
        await asyncio.gather(*writes)
        while self._heard_revision < self.store.revision:
            self._has_heard.clear()
            await self._has_heard.wait()

    def _told(self, told: Sequence[Report], run: int = 1) -> Told:
        return Told(Source(self.job.id, self.job.sequence, run, DEFINITION), [Received((), tuple(told), (), ())])

    async def tell_with(self, change: str, *told: Report) -> None:
        """In one commit with another change of the job, which comes before or after."""

        def save(tx: Transaction) -> None:
            jobs.save(tx, replace(jobs.get(tx.connection, self.job.id), priority=7))

        recording = self.store.write_together(record, self._told(told))
        saving = self.store.write(save)
        await self._write(*((saving, recording) if change == "before" else (recording, saving)))

    async def read(self) -> Job:
        return await self.store.read(lambda db: jobs.get(db, self.job.id))

    def after(self) -> Job | None:
        known = self.known.after({self.job.id: self.heard}).get(self.job.id)
        return None if known is None else known.job


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = await Store.open(tmp_path)

    def insert(tx: Transaction) -> Job:
        running = make.job(definition=DEFINITION, state=JobState.RUNNING, queue_time=None, labels={"team": "a"})
        job = jobs.insert(tx, running, DEFINITION)
        runs.insert(tx, make.run(job.id))
        children.add(tx, job.id, DEFINITION, TaskRef(0, 0, 0), 1, 0, make.rows_of("abc"), make.NOW)
        return jobs.get(tx.connection, job.id)

    yield Bench(store, await store.write(insert))
    await store.close()


async def test_it_is_what_would_be_read(bench: Bench) -> None:
    await bench.tell(make.succeeded(0, 0))  # the line's total is known, and the first step ends
    await bench.tell(make.succeeded(1, 1, label="found"), make.report(ReportKind.SKIPPED, 1, 2, label="old"))
    assert bench.after() == await bench.read()
    await bench.tell(make.succeeded(1, 3, label="found"), make.succeeded(2, 1))
    assert bench.after() == await bench.read()
    await bench.tell(make.failed(2, 3, error_class="bad"), make.succeeded(2, 9))  # of which one does not count
    assert (await bench.read()).retry_count == 1
    assert bench.after() is None  # when a retry is due is read


async def test_several_commits_of_which_some_are_known_already(bench: Bench) -> None:
    await bench.tell(make.succeeded(0, 0))
    await bench.tell(make.succeeded(1, 1))
    bench.known.keep(Known(await bench.read(), AROUND))
    await bench.tell(make.succeeded(1, 2))
    assert bench.heard is not None
    assert len(bench.heard) == 3
    assert bench.after() == await bench.read()


def test_of_others_nothing_is_kept() -> None:
    places, run_starts = {f"j-{number}": number for number in range(1, 9)}, {"j-3": 1.0, "j-9": 2.0}
    around = Surroundings(places, run_starts, {"j-4": "j-5"}, {"j-3": [Span(0.0, 1.0)], "j-9": []}, "/pause")
    kept = Known.read(make.job("j-3", DEFINITION), around).around
    assert kept == Surroundings({"j-3": 3}, {"j-3": 1.0}, {}, {"j-3": [Span(0.0, 1.0)]}, "/pause")


async def test_a_gap_is_read(bench: Bench) -> None:
    await bench.tell(make.succeeded(0, 0))
    await bench.tell(make.succeeded(1, 1))
    assert bench.heard is not None
    del bench.heard[0]
    assert bench.after() is None


@pytest.mark.parametrize("change", ["before", "after"])
async def test_what_changed_otherwise_in_the_same_commit_is_read(bench: Bench, change: str) -> None:
    before = bench.store.revision
    await bench.tell_with(change, make.succeeded(0, 0))
    assert bench.store.revision == before + 1
    assert bench.heard is None
    assert bench.after() is None
    assert (await bench.read()).priority == 7


async def test_what_was_undone_is_not_told(bench: Bench) -> None:
    """The call for both fails, as one run is closed: each is made alone then."""

    async def refused() -> None:
        with pytest.raises(Exception, match="has ended"):
            await bench.tell(make.succeeded(0, 0, label="never"), run=9)

    await asyncio.gather(refused(), bench.tell(make.succeeded(0, 0, label="once")))
    after = bench.after()
    assert after == await bench.read()
    assert after is not None
    assert [(entry.label, entry.count) for entry in after.steps[0].labels] == [("once", 1)]


async def test_a_job_that_does_not_run_is_read(bench: Bench) -> None:
    for state in JobState:
        bench.known.keep(Known(replace(bench.job, state=state), AROUND))
        assert (bench.after() is not None) == (state is JobState.RUNNING)


async def test_the_root_s_failure_is_read(bench: Bench) -> None:
    await bench.tell(make.failed(0, 0), make.succeeded(1, 1))
    await bench.tell(make.failed(0, 0, epoch=1))
    assert bench.heard is None
