"""Rewinds and retries in parts, and the pages of items, attempts and results that people see."""

import sqlite3
from typing import Any

import pytest

from milepost.core.definition import Takes
from milepost.core.errors import Code, MilepostError
from milepost.core.model import ItemState, Outcome, ReportKind, TaskRef
from milepost.daemon.store import items, jobs, operations, tasks
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.items import Item, Restriction
from milepost.daemon.store.operations import Operation, Retry, Rewind
from milepost.daemon.store.store import Store
from tests.store.test_reports import JOB, Bench, bench_with
from tests.support import factories
from tests.support.factories import NOW, failed, report, succeeded


@pytest.fixture
async def bench(store: Store) -> Bench:
    """W3, all ended: a succeeded, b failed at fetch, c at score, d was skipped; the report ran."""
    bench = await bench_with(store, factories.creators(attempts=1), "abcd")
    await bench.apply(succeeded(1, 1, result_json="1"), succeeded(1, 3), failed(1, 2))
    await bench.apply(
        succeeded(2, 1, label="added", result_json="10"),
        failed(2, 3, error_class="timeout"),
        report(ReportKind.SKIPPED, 1, 4, label="filtered"),
    )
    await bench.apply(succeeded(3, 0, result_json='"page"'))
    return bench


async def operate(bench: Bench, operation: Operation, limit: int = 2) -> int:
    """Returns how many parts it took."""
    await bench.store.write(lambda tx: operations.begin(tx, JOB, operation, 5))
    for part in range(1, 100):
        if await bench.store.write(lambda tx: operations.advance(tx, JOB, bench.definition, NOW, limit)):
            return part
    raise AssertionError("it does not end")


async def archived(bench: Bench) -> list[tuple[int, str, str]]:
    rows = await bench.store.read(
        lambda db: db.execute("SELECT step, key, outcome FROM archive ORDER BY id").fetchall()
    )
    return [tuple(row) for row in rows]


class TestRetry:
    async def test_all_failed_wait_again_and_the_gather_after_them(self, bench: Bench) -> None:
        await operate(bench, Retry())
        assert await bench.keys_pending(1) == ["b"]
        assert await bench.keys_pending(2) == ["c"]
        (root,) = await bench.pending(3)
        assert root.ref == TaskRef(3, 0, 1)
        assert await archived(bench) == [(1, "b", "FAILED"), (2, "c", "FAILED"), (3, "", "SUCCEEDED")]
        job = await bench.job()
        assert job.operation is None
        assert [step.failed for step in job.steps] == [0, 0, 0, 0]
        assert [step.end_time is None for step in job.steps] == [False, True, True, True]
        assert (await bench.apply(failed(1, 2))).superseded == (TaskRef(1, 2, 0),)

    @pytest.mark.parametrize(
        ("chosen", "pending"), [(Retry(keys=("b", "a")), [["b"], []]), (Retry(error_class="timeout"), [[], ["c"]])]
    )
    async def test_some(self, bench: Bench, chosen: Retry, pending: list[list[str]]) -> None:
        assert await bench.store.read(lambda db: operations.count_failed(db, JOB, chosen)) == 1
        await operate(bench, chosen)
        assert [await bench.keys_pending(1), await bench.keys_pending(2)] == pending

    async def test_a_key_with_a_nul_is_another_one_than_what_stands_before_it(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(attempts=1), ["a", "a\0b"])
        await bench.apply(failed(1, 1), failed(1, 2))
        chosen = Retry(keys=("a\0b",))
        assert await store.read(lambda db: operations.count_failed(db, JOB, chosen)) == 1
        await operate(bench, chosen)
        assert await bench.keys_pending(1) == ["a\0b"]

    async def test_a_resumed_job_tries_its_failed_root_again(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(attempts=1))

        def reopen(tx: Transaction) -> bool:
            return operations.reopen_root(tx, JOB, bench.definition, 5, NOW)

        assert not await store.write(reopen)
        await bench.apply(failed(0, 0, error_class="persistent"))
        assert await store.write(reopen)
        assert [task.ref for task in await bench.pending(0)] == [TaskRef(0, 0, 1)]


class TestRewind:
    async def test_to_a_step(self, bench: Bench) -> None:
        assert await operate(bench, Rewind(2)) == 3
        assert await bench.keys_pending(2) == ["a", "c"]
        assert [task.ref.epoch for task in await bench.pending(2)] == [1, 1]
        assert await bench.keys_pending(3) == [""]
        found = await bench.items()
        assert (found["b"].state, found["d"].state) == (ItemState.FAILED, ItemState.SKIPPED)
        assert (await bench.pending(2))[0].previous == ((1, "1"),)
        steps = (await bench.job()).steps
        assert [step.start_time is None for step in steps] == [False, False, True, True]

    async def test_from_scratch(self, bench: Bench) -> None:
        await operate(bench, Rewind(0))
        assert list(await bench.items()) == []
        assert [task.ref for task in await bench.pending(0)] == [TaskRef(0, 0, 1)]
        assert len(await archived(bench)) == 8
        await bench.enumerate(["a"], enumeration=2, ref=TaskRef(0, 0, 1))
        (again,) = await bench.pending(1)
        assert again.ref.item == 5, "ids are never used twice"

    async def test_retries_that_waited_are_counted_off(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(attempts=3), "ab")
        await bench.apply(failed(1, 1), failed(1, 2))
        await operate(bench, Rewind(1))
        assert (await bench.job()).retry_count == 0
        assert await store.read(tasks.next_due) is None

    async def test_goes_on_after_the_store_was_closed(self, bench: Bench) -> None:
        await bench.store.write(lambda tx: operations.begin(tx, JOB, Rewind(1), 5))
        assert not await bench.store.write(lambda tx: operations.advance(tx, JOB, bench.definition, NOW, 2))
        await bench.store.close()
        again = await Store.open(bench.store.path.parent)
        try:
            assert (await again.read(lambda db: jobs.get(db, JOB))).operation == "REWIND"
            while not await again.write(lambda tx: operations.advance(tx, JOB, bench.definition, NOW, 2)):
                pass
            pending = await again.read(lambda db: tasks.pending(db, JOB, bench.definition, 1, -1, 10))
            assert [task.key for task in pending] == ["a", "b", "c", "d"]
        finally:
            await again.close()

    async def test_one_at_a_time(self, bench: Bench) -> None:
        await bench.store.write(lambda tx: operations.begin(tx, JOB, Rewind(1), 5))
        with pytest.raises(MilepostError) as refusal:
            await bench.store.write(lambda tx: operations.begin(tx, JOB, Retry(), 6))
        assert refusal.value.code is Code.JOB_CHANGING


class TestItems:
    async def listed(self, bench: Bench, *states: ItemState, after_id: int = -1, **choice: Any) -> list[str]:
        """Keys of the items; their number is the total of a list, and each can be reached by skipping."""
        wanted = Restriction(states, **choice)

        def read(db: sqlite3.Connection) -> list[Item]:
            found = items.page(db, JOB, wanted, after_id=after_id)
            ids = [item.id for item in found]
            if after_id == -1:
                assert items.total(db, JOB, wanted) == len(found)
            skipped = [items.skip(db, JOB, wanted, after_id, number) for number in range(1, len(ids) + 2)]
            assert skipped == [*ids, None]
            assert items.page(db, JOB, wanted, after_id=after_id, limit=2) == found[:2]
            return found

        return [item.key for item in await bench.store.read(read)]

    async def test_page(self, bench: Bench) -> None:
        assert await self.listed(bench) == ["a", "b", "c", "d"]
        assert await self.listed(bench, ItemState.FAILED) == ["b", "c"]
        assert await self.listed(bench, ItemState.FAILED, ItemState.SKIPPED) == ["b", "c", "d"]
        assert await self.listed(bench, step=1) == ["b", "d"]
        assert await self.listed(bench, label="added") == ["a"]
        assert await self.listed(bench, keys=("d", "a", "nobody")) == ["a", "d"]
        assert await self.listed(bench, after_id=2) == ["c", "d"]

    async def test_by_the_class_of_the_last_failure(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(attempts=2), "abcd")
        await bench.apply(*(failed(1, item) for item in (1, 2)), failed(1, 3, error_class="timeout"))
        await bench.apply(failed(1, 4, error_class="bug"))
        assert await self.listed(bench, error_class="network") == ["a", "b"]
        assert await self.listed(bench, ItemState.FAILED, error_class="bug") == ["d"]
        assert await self.listed(bench, ItemState.RETRY, error_class="bug") == []
        await bench.store.write(lambda tx: tasks.release_due(tx, NOW + 60))
        await bench.apply(failed(1, 1, epoch=1, error_class="timeout"))
        assert await self.listed(bench, error_class="network") == []
        assert await self.listed(bench, error_class="timeout") == ["a"]
        assert await self.listed(bench, error_class="timeout", keys=("a", "b")) == ["a"]

    async def test_where_items_have_gone(self, bench: Bench) -> None:
        await operate(bench, Rewind(0))
        await bench.enumerate("xad", enumeration=2, ref=TaskRef(0, 0, 1))
        await bench.apply(succeeded(0, 0, epoch=1))
        assert await self.listed(bench) == ["x", "a", "d"]
        assert await self.listed(bench, after_id=5) == ["a", "d"]

    async def test_a_failed_root_is_shown(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(attempts=1), "a")
        await bench.apply(succeeded(1, 1))
        await bench.apply(succeeded(2, 1), failed(3, 0))
        assert await self.listed(bench, ItemState.FAILED) == [""]
        assert await self.listed(bench) == ["", "a"]

    async def test_failures_are_shown_without_asking(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(attempts=2), "a")
        await bench.apply(failed(1, 1))
        (waiting,) = await store.read(lambda db: items.page(db, JOB))
        assert (waiting.state, waiting.due, waiting.failure) == (ItemState.RETRY, NOW + 5, factories.failure())
        assert (waiting.payload_json, waiting.records) == ("", ())

    async def test_results_are_those_of_items_that_ended(self, bench: Bench) -> None:
        results = await bench.store.read(lambda db: items.results(db, JOB))
        assert [(item.key, item.state, item.label) for item in results] == [
            ("a", ItemState.SUCCEEDED, "added"),
            ("b", ItemState.FAILED, ""),
            ("c", ItemState.FAILED, ""),
            ("d", ItemState.SKIPPED, "filtered"),
        ]
        assert [record.result_json for record in results[0].records] == ["1", "10"]
        only = await bench.store.read(lambda db: items.results(db, JOB, outcomes=[Outcome.SKIPPED], label="filtered"))
        assert [item.key for item in only] == ["d"]

    async def test_attempts_are_newest_first(self, bench: Bench) -> None:
        attempts = await bench.store.read(lambda db: items.attempts(db, JOB))
        assert [(attempt.key, attempt.failure.error_class) for attempt in attempts] == [
            ("c", "timeout"),
            ("b", "network"),
        ]
        older = await bench.store.read(lambda db: items.attempts(db, JOB, before_id=attempts[0].id))
        assert older == attempts[1:]
        assert await bench.store.read(lambda db: items.attempts(db, JOB, key="c")) == attempts[:1]

    async def test_a_gather_takes_what_ended_on_the_line_before(self, bench: Bench) -> None:
        first, second = await bench.store.read(lambda db: items.gather(db, JOB, bench.definition, 3, -1, 2))
        assert (first.key, first.outcome, first.label, first.results) == (
            "a",
            Outcome.SUCCEEDED,
            "added",
            ((1, "1"), (2, "10")),
        )
        assert (second.key, second.step, second.failure) == ("b", 1, factories.failure())
        rest = await bench.store.read(lambda db: items.gather(db, JOB, bench.definition, 3, second.item, 2))
        assert [row.key for row in rest] == ["c", "d"]

    async def test_a_gather_after_a_one_item_step_takes_the_root(self, store: Store) -> None:
        definition = factories.pipeline(factories.step("plan"), factories.step("report", takes=Takes.ALL))
        bench = await bench_with(store, definition)
        await bench.apply(succeeded(0, 0, result_json="1"))
        (root,) = await store.read(lambda db: items.gather(db, JOB, definition, 1, -1, 10))
        assert (root.item, root.outcome, root.results) == (0, Outcome.SUCCEEDED, ((0, "1"),))
