"""Many tasks of one job in one batch: whatever their order and number, as if each had been told alone."""

import random
from collections.abc import Sequence

import pytest

from milepost.core.model import Completed, ItemState, ReportKind, TaskRef
from milepost.daemon.store import children, items, jobs, reports, tasks
from milepost.daemon.store.reports import Applied, Source, Told
from milepost.daemon.store.store import Store
from tests.support import factories
from tests.support.factories import NOW, failed, succeeded

JOB = "j-aaaaaaaa"
PIPELINE = factories.creators(attempts=2)
#: More than two of the largest statement take, and a rest that takes several small ones.
COUNT = 300


class Bench:
    """A job of W3 with items 1 to COUNT, whose keys are their numbers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def submit(self) -> None:
        job = factories.job(JOB, PIPELINE)
        chunk = factories.rows_of([str(number) for number in range(1, COUNT + 1)])
        self.source = await self.store.write(
            lambda tx: Source(JOB, jobs.insert(tx, job, PIPELINE).sequence, 1, PIPELINE)
        )
        await self.store.write(lambda tx: children.add(tx, JOB, PIPELINE, TaskRef(0, 0, 0), 1, 0, chunk, NOW))

    async def tell(self, told: Told) -> Applied:
        return (await self.store.write(lambda tx: reports.apply(tx, [told], NOW, factories.no_jitter())))[0]

    async def complete(self, ended: Sequence[int], epoch: int = 0) -> Applied:
        """Item n's result is n; it began at NOW - n."""
        group = Completed(
            1,
            epoch,
            ReportKind.SUCCEEDED,
            "",
            list(ended),
            [str(item) for item in ended],
            [NOW - item for item in ended],
            [NOW] * len(ended),
            [f"tasks/{item}" for item in ended],
        )
        return await self.tell(Told(self.source, (), [group]))

    async def fail(self, ended: Sequence[int]) -> None:
        await self.tell(Told(self.source, [failed(1, item) for item in ended]))

    async def items(self) -> list[items.Item]:
        """All of them, in order; without the root."""
        found = await self.store.read(lambda db: items.page(db, JOB, limit=COUNT + 1, full=True))
        return [item for item in found if item.id]

    async def assert_completed(self, ended: Sequence[int], attempts: dict[int, int] | None = None) -> None:
        """Exactly these, each in its first attempt unless `attempts` says otherwise."""
        for item in await self.items():
            if item.id not in ended:
                assert (item.step, item.records) == (1, ())
                continue
            [record] = item.records
            assert (item.step, item.state) == (2, ItemState.PENDING)
            assert (record.result_json, record.start_time, record.end_time) == (str(item.id), NOW - item.id, NOW)
            assert (record.folder, record.attempt) == (f"tasks/{item.id}", (attempts or {}).get(item.id, 1))
        [step] = [step for step in (await self.store.read(lambda db: jobs.get(db, JOB))).steps if step.position == 1]
        assert step.succeeded == len(ended)


@pytest.fixture
async def bench(store: Store) -> Bench:
    bench = Bench(store)
    await bench.submit()
    return bench


ALL = range(1, COUNT + 1)


@pytest.mark.parametrize(
    "ended",
    [ALL, list(reversed(ALL)), random.Random(1).sample(ALL, COUNT), [1, 3], [7], list(ALL)[::2], [*range(5, 200), 250]],
    ids=["all", "backwards", "shuffled", "two", "one", "every second", "a range and one"],
)
async def test_all_of_them_count(bench: Bench, ended: Sequence[int]) -> None:
    applied = await bench.complete(ended)
    assert applied.superseded == ()
    await bench.assert_completed(ended)


@pytest.mark.parametrize("again", [[100], [1, 2, 300], ALL])
async def test_what_was_told_before_changes_nothing(bench: Bench, again: Sequence[int]) -> None:
    await bench.complete(again)
    applied = await bench.complete(ALL)
    assert sorted(ref.item for ref in applied.superseded) == list(again)
    await bench.assert_completed(ALL)


async def test_one_told_twice_in_a_batch_counts_once(bench: Bench) -> None:
    applied = await bench.complete([*range(1, 200), 50])
    assert applied.superseded == (TaskRef(1, 50, 0),)
    await bench.assert_completed(range(1, 200))


async def test_items_that_are_not_there_or_at_another_step_do_not_count(bench: Bench) -> None:
    await bench.tell(Told(bench.source, [succeeded(1, 4)]))
    applied = await bench.complete([3, 4, 5, COUNT + 1])
    assert [ref.item for ref in applied.superseded] == [4, COUNT + 1]


async def test_of_a_later_epoch_each_has_the_number_of_its_attempt(bench: Bench) -> None:
    await bench.fail([10, 11, 200])
    applied = await bench.complete(range(1, 100))
    assert sorted(ref.item for ref in applied.superseded) == [10, 11]
    await bench.store.write(lambda tx: tasks.release_due(tx, NOW + 60))
    assert (await bench.complete([10, 11, 200], epoch=1)).superseded == ()
    first = [item for item in range(1, 100) if item not in (10, 11)]
    await bench.assert_completed([*first, 10, 11, 200], {10: 2, 11: 2, 200: 2})
