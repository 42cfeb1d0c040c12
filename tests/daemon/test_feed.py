"""What a runner gets next, while commits go on during the read of a page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from milepost.core.definition import Gives, PipelineDefinition, Takes
from milepost.core.model import Child, Job, PendingTask, Report, TaskRef
from milepost.daemon.feed import WINDOW_TASKS, Feed
from milepost.daemon.records import Received
from milepost.daemon.store import children, jobs, tasks
from milepost.daemon.store.store import Store
from tests.support import factories as make
from tests.support.applying import apply

#: Tasks, and whether they are the last.
Found = tuple[list[PendingTask], bool]


class SlowReads:
    """The store, whose answers to `read` wait for the test after they were read: those with `anything`, or all."""

    def __init__(self, store: Store, *, anything: bool = True) -> None:
        self._store = store
        self._anything = anything
        self.arrived = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def read(self, function: Callable[..., Found]) -> Found:
        found = await self._store.read(function)
        if found[0] or not self._anything:
            self.arrived.set()
            await self.may_go_on.wait()
        return found


JOB = "j-aaaaaaaa"
DEFINITION = make.creators(attempts=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path)
    await store.write(lambda tx: jobs.insert(tx, make.job(JOB, DEFINITION), DEFINITION))
    yield store
    await store.close()


async def enumerate_rows(store: Store, first: int, number: int) -> None:
    given = [Child(f"row-{n}", "{}") for n in range(first, first + number)]
    await store.write(lambda tx: children.add(tx, JOB, DEFINITION, TaskRef(0, 0, 0), 1, first, given, make.NOW))


async def report(store: Store, *given: Report) -> Received:
    await store.write(lambda tx: apply(tx, JOB, 1, DEFINITION, given, make.NOW, lambda _: 0.0))
    return Received((), given, (), ())


async def read_job(store: Store) -> Job:
    return await store.read(lambda db: jobs.get(db, JOB))


async def all_pages(feed: Feed, job: Job) -> list[int]:
    items: list[int] = []
    while page := await feed.next_page(job):
        items += [task.item for task in page]
    return items


def feed_of(
    store: Store | SlowReads, held: tuple[TaskRef, ...] = (), definition: PipelineDefinition = DEFINITION
) -> Feed:
    return Feed(cast("Store", store), definition, held)


async def test_each_pending_task_is_handed_out_once(store: Store) -> None:
    await enumerate_rows(store, 0, 2500)
    feed = feed_of(store, (TaskRef(0, 0, 0),))
    assert await all_pages(feed, await read_job(store)) == list(range(1, 2501))
    assert await all_pages(feed, await read_job(store)) == []


async def test_a_page_that_its_bytes_end_is_not_taken_for_the_last(store: Store) -> None:
    given = [Child("small", "{}"), *(Child(f"row-{n}", f'"{"x" * 60_000}"') for n in range(150))]
    await store.write(lambda tx: children.add(tx, JOB, DEFINITION, TaskRef(0, 0, 0), 1, 0, given, make.NOW))
    feed = feed_of(store, (TaskRef(0, 0, 0),))
    page = await feed.next_page(await read_job(store))
    assert len(page) == 19, "18 of the large ones are a MiB"
    assert await all_pages(feed, await read_job(store)) == list(range(20, 152))


async def test_the_window_bounds_what_a_runner_holds(store: Store) -> None:
    await enumerate_rows(store, 0, WINDOW_TASKS + 10)
    feed = feed_of(store)
    assert len(await all_pages(feed, await read_job(store))) == WINDOW_TASKS
    feed.recorded(await report(store, make.failed(1, 1)))
    assert len(await all_pages(feed, await read_job(store))) == 1


async def test_what_was_recorded_during_the_read_is_not_handed_out_again(store: Store) -> None:
    await enumerate_rows(store, 0, 20)
    feed = feed_of(store, (TaskRef(0, 0, 0),))
    await all_pages(feed, await read_job(store))
    feed.recorded(await report(store, make.failed(1, 5)))  # its step is looked at from the first item again

    slow = SlowReads(store)
    feed._store = cast("Store", slow)
    reading = asyncio.create_task(feed.next_page(await read_job(store)))
    await slow.arrived.wait()
    feed.recorded(await report(store, make.failed(1, 7)))
    slow.may_go_on.set()
    assert await reading == []
    feed._store = store
    assert await all_pages(feed, await read_job(store)) == []


async def test_what_was_enumerated_during_the_read_is_not_missed(store: Store) -> None:
    await enumerate_rows(store, 0, 20)
    slow = SlowReads(store)
    feed = feed_of(slow, (TaskRef(0, 0, 0),))
    reading = asyncio.create_task(feed.next_page(await read_job(store)))
    await slow.arrived.wait()
    await enumerate_rows(store, 20, 20)
    chunk_came = Received((), (), (object(),), ())  # type: ignore[arg-type]  # only that there is one counts
    feed.recorded(chunk_came)
    slow.may_go_on.set()
    assert len(await reading) == 20
    assert await all_pages(feed, await read_job(store)) == list(range(21, 41))


async def test_a_gate_that_opens_while_a_deeper_step_is_read_is_not_taken_for_dry(tmp_path: Path) -> None:
    definition = make.pipeline(
        make.step("rows", gives=Gives.MANY, enumerates=True), make.step("report", takes=Takes.ALL), make.step("publish")
    )
    store = await Store.open(tmp_path)
    await store.write(lambda tx: jobs.insert(tx, make.job(JOB, definition), definition))
    slow = SlowReads(store, anything=False)
    feed = feed_of(slow, (TaskRef(0, 0, 0),), definition)
    reading = asyncio.create_task(feed.next_page(await read_job(store)))  # publish first, and rows are not done
    await slow.arrived.wait()
    rows_are_done = [make.succeeded(0, 0)]
    await store.write(lambda tx: apply(tx, JOB, 1, definition, rows_are_done, make.NOW, lambda _: 0.0))
    feed.recorded(Received((), tuple(rows_are_done), (), ()))
    slow.may_go_on.set()
    assert await reading == []
    [task] = await feed.next_page(await read_job(store))
    assert task.ref == TaskRef(1, 0, 0)
    await store.close()


async def test_a_report_sent_again_does_not_take_its_item_from_the_runner(store: Store) -> None:
    await enumerate_rows(store, 0, 3)
    feed = feed_of(store, (TaskRef(0, 0, 0),))
    await all_pages(feed, await read_job(store))
    done = make.succeeded(1, 1)
    feed.recorded(await report(store, done))  # the runner goes on with it at the next step
    feed.superseded([done.ref])
    assert await all_pages(feed, await read_job(store)) == []
    assert await store.read(lambda db: tasks.still_current(db, JOB, [TaskRef(2, 1, 0)]))
