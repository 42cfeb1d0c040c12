"""A watcher learns the current state of each job, without a gap, however slow it is or how often it reconnects."""

import asyncio
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.model import Job, JobState
from milepost.daemon import watch
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.snapshot import Surroundings
from milepost.daemon.store import jobs
from milepost.daemon.store.group_commit import Transaction
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.support.wait import wait_until

DEADLINE = 10.0


class Watcher:
    """What a client holds that follows one stream."""

    def __init__(self, stream: AsyncIterator[pb.WatchJobsResponse]) -> None:
        self._stream = stream
        self.jobs: dict[str, job_pb2.Job] = {}
        self.left: list[str] = []
        self.deleted: list[str] = []
        self.token = ""
        self.resync = False
        self.messages = 0

    async def read(self) -> pb.WatchJobsResponse:
        async with asyncio.timeout(DEADLINE):
            message = await anext(self._stream)
        self.messages += 1
        self.jobs.update({job.id: job for job in message.jobs})
        for job_id in (*message.left_filter, *message.deleted):
            self.jobs.pop(job_id, None)
        self.left += message.left_filter
        self.deleted += message.deleted
        self.resync = self.resync or message.resync
        self.token = message.watch_token or self.token
        return message

    async def catch_up(self) -> "Watcher":
        while not (await self.read()).caught_up:
            pass
        return self

    async def read_until_priority(self, job_id: str, priority: int) -> None:
        while job_id not in self.jobs or self.jobs[job_id].priority != priority:
            await self.read()


@asynccontextmanager
async def _watching(daemon: InProcessDaemon, token: str = "", filter_text: str = "") -> AsyncIterator[Watcher]:
    call = daemon.watch(token, filter_text)
    try:
        yield Watcher(aiter(call))
    finally:
        call.cancel()


async def _change(daemon: InProcessDaemon, job_id: str, **values: object) -> None:
    def write(tx: Transaction) -> None:
        job: Job = jobs.get(tx.connection, job_id)
        jobs.save(tx, replace(job, **values))  # type: ignore[arg-type]  # fields of Job

    await daemon.store.write(write)


async def _delete(daemon: InProcessDaemon, job_id: str) -> None:
    def write(tx: Transaction) -> None:
        tx.execute("DELETE FROM job WHERE id = ?", (job_id,))
        tx.execute("INSERT INTO tombstone (job_id, revision) VALUES (?, ?)", (job_id, tx.revision))
        tx.touched.add(job_id)

    await daemon.store.write(write)


async def test_everything_first_then_each_change(daemon: InProcessDaemon) -> None:
    ids = [f"j-aaaaaaa{digit}" for digit in "234567"]
    for job_id in ids:
        await daemon.insert(job_id)
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        assert sorted(watcher.jobs) == ids
        assert not watcher.resync
        await _change(daemon, ids[2], priority=7)
        await watcher.read_until_priority(ids[2], 7)


async def test_more_jobs_than_fit_a_chunk(daemon: InProcessDaemon) -> None:
    ids = {f"j-aaaaa{a}{b}{c}" for a in "abc" for b in "abcdefgh" for c in "abcdefghij"}
    await asyncio.gather(*(daemon.insert(job_id, state=JobState.PAUSED, queue_time=None) for job_id in ids))
    async with _watching(daemon) as watcher:
        assert set((await watcher.catch_up()).jobs) == ids


async def test_going_on_from_a_token_misses_nothing_and_repeats_nothing(daemon: InProcessDaemon) -> None:
    for digit in "2345":
        await daemon.insert(f"j-aaaaaaa{digit}", state=JobState.PAUSED, queue_time=None)
    async with _watching(daemon) as watcher:
        token = (await watcher.catch_up()).token
    await _change(daemon, "j-aaaaaaa3", priority=5)
    await _delete(daemon, "j-aaaaaaa4")
    async with _watching(daemon, token) as watcher:
        await watcher.catch_up()
        assert {job_id: job.priority for job_id, job in watcher.jobs.items()} == {"j-aaaaaaa3": 5}
        assert watcher.deleted == ["j-aaaaaaa4"]
        assert not watcher.resync
        later = watcher.token
    async with _watching(daemon, later) as watcher:
        await watcher.catch_up()
        assert not watcher.jobs


async def test_a_token_of_a_live_message_covers_what_was_sent(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2")
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        await _change(daemon, "j-aaaaaaa2", priority=3)
        await watcher.read_until_priority("j-aaaaaaa2", 3)
        token = watcher.token
    async with _watching(daemon, token) as watcher:
        await watcher.catch_up()
        assert not watcher.jobs


async def test_the_list_gives_a_token_to_watch_from(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2")
    listed = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest())
    await daemon.insert("j-aaaaaaa3")
    async with _watching(daemon, listed.watch_token) as watcher:
        assert "j-aaaaaaa3" in (await watcher.catch_up()).jobs


async def test_who_begins_to_watch_while_others_are_being_told_is_told_nothing_older_than_the_token(
    daemon: InProcessDaemon,
) -> None:
    ids = [f"j-aaaaa{number}" for number in range(100, 350)]
    for job_id in ids:
        await daemon.insert(job_id, state=JobState.PAUSED, queue_time=None)
    async with _watching(daemon) as others:
        await others.catch_up()
        for priority in range(1, 6):
            for job_id in ids:
                daemon.hub.changed(job_id)
            await asyncio.sleep(0)  # their frame begins
            await _change(daemon, ids[0], priority=priority)
            assert await _first_told_priority(daemon, ids[0]) == priority
            await others.read_until_priority(ids[0], priority)


async def _first_told_priority(daemon: InProcessDaemon, job_id: str) -> int:
    """To one who watches from now on."""
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def send(message: bytes) -> None:
        for priority in _priorities(message, job_id):
            told.set_result(priority)
            await asyncio.Event().wait()  # until the watch is cancelled

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        watching = group.create_task(daemon.hub.watch(daemon.hub.token(daemon.store.revision), "", send))
        priority = await told
        watching.cancel()
    return priority


def _priorities(message: bytes, job_id: str) -> list[int]:
    return [job.priority for job in pb.WatchJobsResponse.FromString(message).jobs if job.id == job_id]


class Reluctant:
    """One who takes no second message before `may_go_on`. `told`: the priorities of this job, as they came."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self.told: list[int] = []
        self.may_go_on = asyncio.Event()

    async def send(self, message: bytes) -> None:
        self.told.extend(_priorities(message, self._job_id))
        await self.may_go_on.wait()

    async def until(self, is_so: Callable[[Sequence[int]], bool], what: str) -> None:
        async def look() -> bool:
            return is_so(self.told)

        await wait_until(look, what)


async def test_who_has_caught_up_is_not_told_what_others_were_told_before(
    daemon: InProcessDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await daemon.insert("j-aaaaaaa2", state=JobState.PAUSED, queue_time=None)
    late = Reluctant(job.id)
    async with _watching(daemon) as others, asyncio.TaskGroup() as group:
        await others.catch_up()
        watching = group.create_task(daemon.hub.watch("0123:5", "", late.send))  # a token that is answered first
        monkeypatch.setattr(watch, "FRAME", DEADLINE)  # after the next frame none comes meanwhile
        await _change(daemon, job.id, priority=1)
        await others.read_until_priority(job.id, 1)
        await _change(daemon, job.id, priority=2)
        late.may_go_on.set()
        await late.until(lambda told: len(told) == 2, "what it caught up with and what the frame had were told")
        watching.cancel()
    assert late.told == [2, 2]


async def test_who_ends_a_watch_ends_no_other_one(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaa2", state=JobState.PAUSED, queue_time=None)
    one, other = Reluctant(job.id), Reluctant(job.id)
    async with asyncio.TaskGroup() as group:
        goes_on = group.create_task(daemon.hub.watch("", "", one.send))
        ends = group.create_task(daemon.hub.watch("", "", other.send))
        for watcher in (one, other):
            await watcher.until(lambda told: 0 in told, "both are being told of the job")
        ends.cancel()
        await asyncio.wait([ends])
        one.may_go_on.set()
        await _change(daemon, job.id, priority=1)
        await one.until(lambda told: 1 in told, "the other one is told")
        goes_on.cancel()


async def test_who_has_not_caught_up_when_the_daemon_ends_gets_no_token(daemon: InProcessDaemon) -> None:
    for number in range(100, 201):
        await daemon.insert(f"j-aaaaa{number}", state=JobState.PAUSED, queue_time=None)
    told: list[pb.WatchJobsResponse] = []

    async def send(message: bytes) -> None:
        told.append(pb.WatchJobsResponse.FromString(message))
        daemon.hub.close()

    async with asyncio.timeout(DEADLINE):
        await daemon.hub.watch("", "", send)
    assert [(len(message.jobs), message.watch_token) for message in told] == [(100, "")]


@pytest.mark.parametrize("token", ["0123:5", "{id}:999999"])
async def test_a_token_of_another_store_starts_afresh(daemon: InProcessDaemon, token: str) -> None:
    await daemon.insert("j-aaaaaaa2")
    async with _watching(daemon, token.format(id=daemon.store.id)) as watcher:
        assert (await watcher.read()).resync
        assert list((await watcher.catch_up()).jobs) == ["j-aaaaaaa2"]


@pytest.mark.parametrize("token", ["x", "a:b", ":", "1:2:3"])
async def test_a_token_that_never_was_one(daemon: InProcessDaemon, token: str) -> None:
    with pytest.raises(MilepostError) as caught:
        async for _ in daemon.client.stream(daemon.client.jobs.WatchJobs, pb.WatchJobsRequest(watch_token=token)):
            pass
    assert caught.value.code is Code.INVALID_PAGE_TOKEN


async def test_a_job_that_leaves_the_filter_and_comes_back(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2", priority=1)
    await daemon.insert("j-aaaaaaa3", priority=0)
    async with _watching(daemon, filter_text="priority > 0") as watcher:
        assert list((await watcher.catch_up()).jobs) == ["j-aaaaaaa2"]
        await _change(daemon, "j-aaaaaaa2", priority=0)
        while not watcher.left:
            await watcher.read()
        assert watcher.left == ["j-aaaaaaa2"]
        await _change(daemon, "j-aaaaaaa3", priority=2)
        await watcher.read_until_priority("j-aaaaaaa3", 2)
        await _change(daemon, "j-aaaaaaa2", priority=4)
        await watcher.read_until_priority("j-aaaaaaa2", 4)
        assert watcher.left == ["j-aaaaaaa2"]


async def test_a_job_that_left_the_filter_while_nobody_watched(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2", priority=1)
    async with _watching(daemon, filter_text="priority > 0") as watcher:
        token = (await watcher.catch_up()).token
    await _change(daemon, "j-aaaaaaa2", priority=0)
    async with _watching(daemon, token, "priority > 0") as watcher:
        assert (await watcher.catch_up()).left == ["j-aaaaaaa2"]


async def test_a_removed_job_is_told(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2")
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        await _delete(daemon, "j-aaaaaaa2")
        while not watcher.deleted:
            await watcher.read()
        assert watcher.deleted == ["j-aaaaaaa2"]


async def test_changes_in_flight_are_told_without_a_commit(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaa2", state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, ["a", "b"])
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        daemon.live[job.id] = Live(in_flight={1: 2})
        daemon.hub.changed(job.id)
        while watcher.jobs[job.id].counts.in_flight != 2:
            await watcher.read()
        assert watcher.jobs[job.id].counts.pending == 0


async def test_places_in_the_queue_are_told_to_those_behind(daemon: InProcessDaemon) -> None:
    for place, digit in enumerate("234"):
        await daemon.insert(f"j-aaaaaaa{digit}", queue_time=1000.0 + place)
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        assert [job.queue_position for _, job in sorted(watcher.jobs.items())] == [1, 2, 3]
        await _change(daemon, "j-aaaaaaa2", state=JobState.RUNNING, queue_time=None)
        while [job.queue_position for _, job in sorted(watcher.jobs.items())] != [0, 1, 2]:
            await watcher.read()


async def test_places_are_told_also_when_the_queue_moves_while_others_are_being_told(daemon: InProcessDaemon) -> None:
    first, second = "j-aaaaaaa2", "j-aaaaaaa3"
    for place, job_id in enumerate((first, second)):
        await daemon.insert(job_id, queue_time=1000.0 + place)
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        for number in range(30):
            daemon.hub.changed(second)
            await asyncio.sleep(0)  # its frame begins
            await _change(daemon, first, priority=-1 if number % 2 == 0 else 1)
            expected = [2, 1] if number % 2 == 0 else [1, 2]
            while [watcher.jobs[job_id].queue_position for job_id in (first, second)] != expected:
                await watcher.read()


async def test_who_begins_to_watch_is_told_what_other_jobs_have_done_to_a_job(daemon: InProcessDaemon) -> None:
    ended = JobState.CANCELLED
    await daemon.insert("j-aaaaaaaa", uniqueness_key="k", state=ended, queue_time=None, end_time=factories.NOW)
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        await daemon.insert("j-bbbbbbbb", uniqueness_key="k")
        async with _watching(daemon) as later:
            await later.catch_up()
    assert later.jobs["j-aaaaaaaa"].actions == (await daemon.job("j-aaaaaaaa")).actions
    assert later.jobs["j-aaaaaaaa"].actions != watcher.jobs["j-aaaaaaaa"].actions


async def test_a_job_that_ended_is_told_when_another_one_takes_its_key_and_frees_it(daemon: InProcessDaemon) -> None:
    ended: dict[str, Any] = {"state": JobState.CANCELLED, "queue_time": None, "end_time": factories.NOW}
    await daemon.insert("j-aaaaaaaa", uniqueness_key="k", **ended)
    await daemon.insert("j-cccccccc", uniqueness_key="other", **ended)

    def resumable(watcher: Watcher) -> bool:
        actions = watcher.jobs["j-aaaaaaaa"].actions
        return next(action.allowed for action in actions if action.command == job_pb2.COMMAND_RESUME)

    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        assert resumable(watcher)
        await daemon.insert("j-bbbbbbbb", uniqueness_key="k")
        while resumable(watcher):
            await watcher.read()
        token = watcher.token
        await _change(daemon, "j-bbbbbbbb", **ended)
        while not resumable(watcher):
            await watcher.read()
    async with _watching(daemon, token) as watcher:
        await watcher.catch_up()
        assert sorted(watcher.jobs) == ["j-aaaaaaaa", "j-bbbbbbbb"]  # also who was away meanwhile is told of both
        assert resumable(watcher)


async def test_a_slow_watcher_gets_the_newest_state_and_few_messages(daemon: InProcessDaemon) -> None:
    padding = '{"text":"' + "x" * 100_000 + '"}'
    await daemon.insert("j-aaaaaaa2", parameters_json=padding)
    changes = 100
    async with _watching(daemon) as slow, _watching(daemon) as quick:
        await slow.catch_up()
        await quick.catch_up()
        for number in range(1, changes + 1):
            await _change(daemon, "j-aaaaaaa2", priority=number)
            await quick.read_until_priority("j-aaaaaaa2", number)
        before = slow.messages
        await slow.read_until_priority("j-aaaaaaa2", changes)
        assert slow.messages - before < changes / 4


async def test_watchers_side_by_side_are_told_the_same_each_by_its_own_filter(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaa2", state=JobState.RUNNING, queue_time=None)
    await daemon.insert("j-aaaaaaa3", state=JobState.PAUSED, queue_time=None)
    async with _watching(daemon) as one, _watching(daemon) as other, _watching(daemon, "", "priority > 0") as some:
        for watcher in (one, other, some):
            await watcher.catch_up()
        for number in range(1, 4):
            # In flight first: the revision, and so the token, stays as it was.
            daemon.live[job.id] = Live(in_flight={0: number % 2})
            daemon.hub.changed(job.id)
            await _change(daemon, "j-aaaaaaa2", priority=number)
            for watcher in (one, other, some):
                await watcher.read_until_priority("j-aaaaaaa2", number)
        await _delete(daemon, "j-aaaaaaa3")
        await _change(daemon, "j-aaaaaaa2", priority=9)
        for watcher in (one, other, some):
            await watcher.read_until_priority("j-aaaaaaa2", 9)
        for watcher in (one, other):
            while not watcher.deleted:
                await watcher.read()
        assert list(one.jobs) == list(other.jobs) == list(some.jobs) == ["j-aaaaaaa2"]
        assert (one.deleted, other.deleted, some.deleted) == (["j-aaaaaaa3"], ["j-aaaaaaa3"], [])


async def test_what_changes_in_flight_alone_reaches_every_watcher(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaa2", state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, ["a", "b", "c"])
    async with _watching(daemon) as one, _watching(daemon) as other:
        await one.catch_up()
        await other.catch_up()
        for executing in (1, 3, 2):
            daemon.live[job.id] = Live(in_flight={1: executing})
            daemon.hub.changed(job.id)
            for watcher in (one, other):
                while watcher.jobs[job.id].counts.in_flight != executing:
                    await watcher.read()


async def test_a_watcher_that_goes_away_leaves_nothing_behind(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2")
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        assert daemon.hub.watchers == 1

    async def gone() -> bool:
        return daemon.hub.watchers == 0

    await wait_until(gone, "nobody watches any more", DEADLINE)


async def test_a_job_that_ends_while_nobody_watches_leaves_nothing_behind(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaaa", state=JobState.RUNNING, queue_time=None)
    task = RunningTask(1, 1, "a", 1, factories.NOW)
    daemon.live["j-aaaaaaaa"] = Live(in_flight={1: 1}, tasks=(task,))
    held = weakref.ref(task)
    assert (await daemon.job("j-aaaaaaaa")).in_flight[0].item_key == "a"
    daemon.live.clear()
    del task
    assert held() is not None
    await _change(daemon, "j-aaaaaaaa", state=JobState.COMPLETED, end_time=factories.NOW)

    async def is_forgotten() -> bool:
        return held() is None

    await wait_until(is_forgotten, "nothing is held of what it had in flight", DEADLINE)


async def test_a_list_that_was_read_before_a_change_keeps_nothing_that_is_told_later(
    daemon: InProcessDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.RUNNING, queue_time=None)
    has_read, loop, go_on = asyncio.Event(), asyncio.get_running_loop(), threading.Event()
    surroundings = daemon.snapshots.surroundings

    def read_and_wait(db: sqlite3.Connection, found: Sequence[Job]) -> Surroundings:
        loop.call_soon_threadsafe(has_read.set)
        go_on.wait(DEADLINE)
        return surroundings(db, found)

    async def has_heard() -> bool:
        return daemon.hub._revision == daemon.store.revision and not daemon.hub._heard

    await wait_until(has_heard, "the new job is told", DEADLINE)
    monkeypatch.setattr(daemon.snapshots, "surroundings", read_and_wait)
    async with daemon.hub._framing:
        listing = asyncio.create_task(daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest()))
    await has_read.wait()
    await _change(daemon, job.id, state=JobState.PAUSED)
    await wait_until(has_heard, "a frame has begun to tell the pause", DEADLINE)
    go_on.set()
    await listing
    async with _watching(daemon, daemon.hub.token(daemon.store.revision)) as watcher:
        await watcher.catch_up()
        daemon.hub.changed(job.id)
        await watcher.read()
        assert watcher.jobs[job.id].state == job_pb2.JOB_STATE_PAUSED


async def test_watchers_do_not_wait_for_a_filter_that_takes_long(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa")
    has_begun, loop, go_on = asyncio.Event(), asyncio.get_running_loop(), threading.Event()

    def select(db: sqlite3.Connection) -> list[Job]:
        found = jobs.by_ids(db, [job.id])
        loop.call_soon_threadsafe(has_begun.set)
        go_on.wait(2 * DEADLINE)
        return found

    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        listing = asyncio.create_task(daemon.hub.find(select))
        try:
            await has_begun.wait()
            await _change(daemon, job.id, priority=5)
            await watcher.read_until_priority(job.id, 5)
        finally:
            go_on.set()
            _, (update,) = await listing
        assert update is not None
        assert pb.ListJobsResponse.FromString(update.encoded).jobs[0].priority == 5, "not as it was when it was chosen"


async def _sql(daemon: InProcessDaemon, *statements: str) -> None:
    def write(tx: Transaction) -> None:
        for statement in statements:
            tx.execute(statement)

    await daemon.store.write(write)


async def test_a_job_that_cannot_be_shown_keeps_no_other_from_being_shown(
    daemon: InProcessDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    for job_id in ("j-aaaaaaaa", "j-bbbbbbbb"):
        await daemon.insert(job_id, state=JobState.PAUSED, queue_time=None)
    await _sql(daemon, "UPDATE job SET definition_json = '{}' WHERE id = 'j-aaaaaaaa'")
    async with _watching(daemon) as watcher:
        assert set((await watcher.catch_up()).jobs) == {"j-bbbbbbbb"}
        for priority in (1, 2):
            await _change(daemon, "j-aaaaaaaa", priority=priority)
            await _change(daemon, "j-bbbbbbbb", priority=priority)
            await watcher.read_until_priority("j-bbbbbbbb", priority)
        assert watcher.deleted == []
    assert [record.args for record in caplog.records if record.levelname == "ERROR"] == [("j-aaaaaaaa",)]


async def test_a_frame_that_fails_is_told_later(daemon: InProcessDaemon, caplog: pytest.LogCaptureFixture) -> None:
    await daemon.insert("j-aaaaaaaa", state=JobState.PAUSED, queue_time=None)
    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        change = "UPDATE job SET priority = priority + 1"
        await _sql(daemon, change, "ALTER TABLE job_label RENAME TO away")
        daemon.hub.changed("j-aaaaaaaa")

        async def is_logged() -> bool:
            return any("tried again" in record.message for record in caplog.records)

        await wait_until(is_logged, "the failed frame is logged")
        await _sql(daemon, change, "ALTER TABLE away RENAME TO job_label")
        await watcher.read_until_priority("j-aaaaaaaa", 2)


async def test_places_are_told_though_the_frame_that_found_them_failed(
    daemon: InProcessDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "j-aaaaaaa2", "j-aaaaaaa3"
    for place, job_id in enumerate((first, second)):
        await daemon.insert(job_id, queue_time=1000.0 + place)
    read = jobs.by_ids

    def fail_once(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[Job]:
        if second in job_ids:
            monkeypatch.setattr(jobs, "by_ids", read)
            raise OSError("the disk is slow to come back")
        return read(db, job_ids)

    async with _watching(daemon) as watcher:
        await watcher.catch_up()
        monkeypatch.setattr(jobs, "by_ids", fail_once)
        monkeypatch.setattr(watch, "FAILED_FRAME", 0.05)
        await _change(daemon, first, state=JobState.RUNNING, queue_time=None)
        while watcher.jobs[second].queue_position != 1:
            await watcher.read()
