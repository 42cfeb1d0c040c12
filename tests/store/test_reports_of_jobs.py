"""What several runs tell in one commit: as if each had told it alone."""

from collections.abc import Sequence
from functools import partial

import pytest

from milepost.core.model import Completed, ItemState, Job, Report, ReportKind, TaskRef
from milepost.daemon.store import children, items, jobs, reports, saved
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.reports import Applied, Source, Told
from milepost.daemon.store.store import Store
from tests.support import factories
from tests.support.factories import NOW, failed, report, succeeded

IDS = ("j-aaaaaaaa", "j-bbbbbbbb", "j-cccccccc")
PIPELINE = factories.creators(attempts=2)


class Bench:
    """Three jobs of W3, each with the rows a, b, c (items 1, 2, 3)."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.jobs: list[Job] = []

    async def submit(self) -> None:
        for job_id in IDS:
            self.jobs.append(await self.store.write(partial(_insert, job_id)))
        await self.tell(*((number, [succeeded(0, 0)]) for number in range(len(IDS))))

    async def tell(self, *told: tuple[int, Sequence[Report]], columns: bool = False) -> list[Applied]:
        """`told`: by whom (0 to 2), and what."""
        parts = [
            Told(
                Source(self.jobs[number].id, self.jobs[number].sequence, 1, PIPELINE),
                () if columns else given,
                [Completed.of([one]) for one in given] if columns else (),
            )
            for number, given in told
        ]
        return await self.store.write(lambda tx: reports.apply(tx, parts, NOW, factories.no_jitter()))

    async def items(self, number: int) -> dict[str, items.Item]:
        found = await self.store.read(lambda db: items.page(db, IDS[number], full=True))
        return {item.key: item for item in found}

    async def steps(self, number: int) -> list[tuple[int, int, int]]:
        job = await self.store.read(lambda db: jobs.get(db, IDS[number]))
        return [(step.succeeded, step.failed, step.skipped) for step in job.steps]


def _insert(job_id: str, tx: Transaction) -> Job:
    job = jobs.insert(tx, factories.job(job_id, PIPELINE), PIPELINE)
    children.add(tx, job_id, PIPELINE, TaskRef(0, 0, 0), 1, 0, factories.rows_of("abc"), NOW)
    return job


@pytest.fixture
async def bench(store: Store) -> Bench:
    bench = Bench(store)
    await bench.submit()
    return bench


@pytest.mark.parametrize("columns", [False, True])
async def test_each_gets_what_it_told(bench: Bench, columns: bool) -> None:
    results = ['"one"', '"two"', '"\\u0000"']
    await bench.tell(
        *((number, [succeeded(1, 1 + number, result_json=results[number])]) for number in range(3)), columns=columns
    )
    for number, result in enumerate(results):
        found = await bench.items(number)
        changed = found["abc"[number]]
        assert (changed.state, changed.step) == (ItemState.PENDING, 2)
        [record] = changed.records
        assert (record.result_json, record.start_time, record.end_time) == (result, NOW, NOW + 1)
        assert [item.records for key, item in found.items() if key != "abc"[number]] == [(), ()]
        assert await bench.steps(number) == [(1, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0)]


async def test_the_steps_afterwards_are_told(bench: Bench) -> None:
    applied = await bench.tell((0, [succeeded(1, 1)]), (1, [succeeded(1, 1, epoch=7)]), (2, [failed(1, 2)]))
    assert [[step.succeeded for step in one.steps] for one in applied] == [[1, 1, 0, 0], [], [1, 0, 0, 0]]
    assert [one.next_due for one in applied] == [None, None, NOW + 5]


async def test_one_that_does_not_count_leaves_the_others_as_they_are(bench: Bench) -> None:
    await bench.tell((1, [succeeded(1, 1)]))
    applied = await bench.tell(*((number, [succeeded(1, 1)]) for number in range(3)))
    assert [one.superseded for one in applied] == [(), (TaskRef(1, 1, 0),), ()]
    assert [(await bench.steps(number))[1] for number in range(3)] == [(1, 0, 0)] * 3


async def test_different_ends_in_one_commit(bench: Bench) -> None:
    skipped = report(ReportKind.SKIPPED, 1, 2, label="filtered")
    await bench.tell(
        (0, [succeeded(2, 1), succeeded(1, 1), skipped]), (1, [skipped, failed(1, 3)]), (2, [succeeded(1, 1)])
    )
    assert [await bench.steps(number) for number in range(3)] == [
        [(1, 0, 0), (1, 0, 1), (1, 0, 0), (0, 0, 0)],
        [(1, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0)],
        [(1, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0)],
    ]


@pytest.mark.parametrize("second", [1, 2])
async def test_one_run_may_tell_twice_in_a_commit(bench: Bench, second: int) -> None:
    """A runner that attached again, while what it sent before still waits."""
    first, again = await bench.tell((0, [succeeded(1, 1)]), (0, [succeeded(1, second)]))
    assert (first.superseded, again.superseded) == ((), (TaskRef(1, 1, 0),) if second == 1 else ())
    assert (await bench.steps(0))[1] == (second, 0, 0)


async def test_what_they_saved_goes_with_the_task(bench: Bench) -> None:
    await bench.store.write(lambda tx: [saved.put(tx, job_id, TaskRef(1, 1, 0), "{}") for job_id in IDS[:2]])
    await bench.tell((0, [succeeded(1, 1)]), (2, [succeeded(1, 1)]))
    sequences = [job.sequence for job in bench.jobs]
    assert await bench.store.read(lambda db: saved.any_of(db, sequences)) == [sequences[1]]
