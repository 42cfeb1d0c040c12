"""Jobs, runs, events and requests: what goes in comes out, and is found by what a person calls it."""

import sqlite3
from dataclasses import replace

import pytest

from milepost.core.definition import Gives
from milepost.core.errors import Code, MilepostError
from milepost.core.model import InputFile, Job, JobState, Reason, RunEnd, RunnerLostPolicy, StepCounts, Stop
from milepost.daemon.store import events, jobs, requests, runs
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store
from tests.support import factories

CREATORS = factories.creators()


async def submit(store: Store, job_id: str, **values: object) -> Job:
    job = factories.job(job_id, CREATORS, **values)
    return await store.write(lambda tx: jobs.insert(tx, job, CREATORS))


async def resolve(store: Store, reference: str) -> str:
    return await store.read(lambda db: jobs.resolve(db, reference))


class TestInsert:
    async def test_every_field_comes_back(self, store: Store) -> None:
        given = factories.job(
            "j-aaaaaaaa",
            CREATORS,
            labels={"team": "x", "ünï": "čode"},
            reason=Reason("CODE", "Why.", "Do."),
            scheduled_time=5.0,
            start_time=6.0,
            runner_lost_policy=RunnerLostPolicy.HOLD,
            uniqueness_key="k",
            python="/usr/bin/python3",
            working_directory="/home",
            environment={"A": "1"},
            omitted_variables=("API_TOKEN",),
            input=InputFile("input", "creators.csv", 10, "ab", inline=False),
            submitted_by="ada",
            priority=-3,
            parameters_json='{"n":1}',
        )
        stored = await store.write(lambda tx: jobs.insert(tx, given, CREATORS))
        steps = (
            StepCounts(0, "rows", 1, True, 0, 0, 0),
            StepCounts(1, "fetch", 0, False, 0, 0, 0),
            StepCounts(2, "score", 0, False, 0, 0, 0),
            StepCounts(3, "report", 1, True, 0, 0, 0),
        )
        assert stored == replace(given, sequence=1, revision=1, steps=steps)
        assert await store.read(lambda db: jobs.get(db, given.id)) == stored

    async def test_a_uniqueness_key_is_held_until_the_job_ended(self, store: Store) -> None:
        first = await submit(store, "j-aaaaaaaa", uniqueness_key="same")
        with pytest.raises(sqlite3.IntegrityError):
            await submit(store, "j-bbbbbbbb", uniqueness_key="same")
        assert await store.read(lambda db: jobs.holder_of_key(db, "same")) == "j-aaaaaaaa"
        assert await store.read(lambda db: jobs.holder_of_key(db, "same", "j-aaaaaaaa")) is None
        ended = replace(first, state=JobState.CANCELLED, end_time=9.0, queue_time=None)
        await store.write(lambda tx: jobs.save(tx, ended))
        assert await store.read(lambda db: jobs.holder_of_key(db, "same")) is None
        await submit(store, "j-bbbbbbbb", uniqueness_key="same")


class TestSave:
    async def test_what_a_decision_changes(self, store: Store) -> None:
        stored = await submit(store, "j-aaaaaaaa", labels={"team": "x"})
        changed = replace(
            stored,
            name="other",
            state=JobState.PAUSING,
            queue_time=None,
            run_count=1,
            start_time=7.0,
            stop=Stop(JobState.PAUSED, False, "ada", Reason("PAUSED_BY_REQUEST", "Paused."), 8.0),
            stop_revision=2,
            resume_count=1,
            auto_resume_count=2,
            auto_resume_mark=3,
        )
        await store.write(lambda tx: jobs.save(tx, changed))
        assert await store.read(lambda db: jobs.get(db, stored.id)) == replace(changed, revision=2)

    @pytest.mark.parametrize(
        "illegal",
        [
            {"state": JobState.COMPLETED, "queue_time": None},
            {"end_time": 5.0},
            {"state": JobState.PAUSING, "queue_time": None},
            {"stop": Stop(JobState.PAUSED, False, "ada", Reason("C", "M"), 1.0)},
            {"state": JobState.WAITING, "queue_time": None},
            {"state": JobState.FAILED, "queue_time": None, "end_time": 5.0},
            {"state": JobState.RUNNING},
            {"queue_time": None},
        ],
    )
    async def test_what_no_state_allows_is_refused(self, store: Store, illegal: dict[str, object]) -> None:
        stored = await submit(store, "j-aaaaaaaa")
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            await store.write(lambda tx: jobs.save(tx, replace(stored, **illegal)))  # type: ignore[arg-type]
        assert await store.read(lambda db: jobs.get(db, stored.id)) == stored

    async def test_a_job_that_is_gone(self, store: Store) -> None:
        with pytest.raises(MilepostError) as refusal:
            await store.write(lambda tx: jobs.save(tx, factories.job()))
        assert refusal.value.code is Code.JOB_NOT_FOUND


class TestResolve:
    @pytest.fixture
    async def named(self, store: Store) -> Store:
        await submit(store, "j-abcd2222", name="nightly")
        await submit(store, "j-abce3333", name="nightly")
        await submit(store, "j-zzzz4444", name="weekly")
        return store

    @pytest.mark.parametrize("reference", ["j-zzzz4444", "j-z", "zz", "weekly", "@last"])
    async def test_found(self, named: Store, reference: str) -> None:
        assert await resolve(named, reference) == "j-zzzz4444"

    @pytest.mark.parametrize("reference", ["nightly", "abc", "j-abc", "j-"])
    async def test_ambiguous_names_the_candidates(self, named: Store, reference: str) -> None:
        with pytest.raises(MilepostError) as refusal:
            await resolve(named, reference)
        assert refusal.value.code is Code.JOB_AMBIGUOUS
        assert "j-abcd2222 (nightly)" in refusal.value.remedy
        assert "j-abce3333 (nightly)" in refusal.value.remedy

    @pytest.mark.parametrize("reference", ["", "j-q", "nobody", "%", "j-zzzz44445", "NIGHTLY"])
    async def test_not_found(self, named: Store, reference: str) -> None:
        with pytest.raises(MilepostError) as refusal:
            await resolve(named, reference)
        assert refusal.value.code is Code.JOB_NOT_FOUND

    async def test_last_of_none(self, store: Store) -> None:
        with pytest.raises(MilepostError) as refusal:
            await resolve(store, "@last")
        assert refusal.value.message == "There is no job yet."
        assert refusal.value.code is Code.JOB_NOT_FOUND


class TestLists:
    @pytest.fixture
    async def many(self, store: Store) -> Store:
        for number in range(5):
            await submit(store, f"j-0000000{number}", labels={"n": str(number)}, priority=number % 2)
        return store

    async def test_pages_are_newest_first(self, many: Store) -> None:
        first = await many.read(lambda db: jobs.page(db, "", (), None, 2))
        rest = await many.read(lambda db: jobs.page(db, "", (), first[-1].sequence, 10))
        assert [job.id[-1] for job in first + rest] == ["4", "3", "2", "1", "0"]
        assert first[0].labels == {"n": "4"}
        assert len(first[0].steps) == 4

    async def test_a_clause_restricts(self, many: Store) -> None:
        chosen = await many.read(lambda db: jobs.page(db, "priority = ? OR priority = ?", (1, 7), None, 10))
        assert [job.id[-1] for job in chosen] == ["3", "1"]
        assert await many.read(lambda db: jobs.count(db, "priority = ?", (1,))) == 2
        assert await many.read(lambda db: jobs.count(db, "", ())) == 5

    async def test_changed_since_goes_on_where_it_stopped(self, many: Store) -> None:
        def touch(tx: Transaction) -> None:
            for job_id in ("j-00000003", "j-00000001", "j-00000002"):
                tx.touch(job_id)

        await many.write(touch)
        first = await many.read(lambda db: jobs.changed_since(db, 5, 2))
        last = first[-1]
        rest = await many.read(lambda db: jobs.changed_since(db, last.revision, 2, after_sequence=last.sequence))
        assert [job.id[-1] for job in first + rest] == ["1", "2", "3"]
        assert await many.read(lambda db: jobs.changed_since(db, 6, 2)) == []
        limited = await many.read(lambda db: jobs.changed_since(db, 0, 9, "priority = ?", (1,)))
        assert [job.id[-1] for job in limited] == ["1", "3"]

    async def test_by_ids_and_states(self, many: Store) -> None:
        found = await many.read(lambda db: jobs.by_ids(db, ["j-00000001", "j-gone", "j-00000004"]))
        assert [job.id[-1] for job in found] == ["4", "1"]
        assert len(await many.read(lambda db: jobs.in_states(db, {JobState.QUEUED}))) == 5
        assert await many.read(lambda db: jobs.in_states(db, {JobState.PAUSED})) == []
        assert await many.read(jobs.count_by_state) == {JobState.QUEUED: 5}


class TestRuns:
    async def test_a_life(self, store: Store) -> None:
        await submit(store, "j-aaaaaaaa")
        run = factories.run()
        await store.write(lambda tx: runs.insert(tx, run))
        with pytest.raises(sqlite3.IntegrityError):
            await store.write(lambda tx: runs.insert(tx, factories.run(number=2)))
        await store.write(lambda tx: runs.identify(tx, run.job_id, 1, 42, 99, "boot"))
        await store.write(lambda tx: runs.identify(tx, run.job_id, 1, 42, 99, "boot", factories.NOW + 1))
        await store.write(lambda tx: runs.identify(tx, run.job_id, 1, 42, 99, "boot", factories.NOW + 9))
        known = replace(run, pid=42, process_start_ticks=99, boot_id="boot", hello_time=factories.NOW + 1)
        assert await store.read(runs.open_runs) == [known]
        await store.write(lambda tx: runs.close(tx, run.job_id, 1, RunEnd.LOST, factories.NOW + 10))
        await store.write(lambda tx: runs.close(tx, run.job_id, 1, RunEnd.FINISHED, factories.NOW + 20))
        assert await store.read(runs.open_runs) == []
        closed = await store.read(lambda db: runs.get(db, run.job_id, 1))
        assert closed == replace(known, end=RunEnd.LOST, end_time=factories.NOW + 10)
        assert (await store.read(lambda db: jobs.get(db, run.job_id))).elapsed == 10
        await store.write(lambda tx: runs.insert(tx, factories.run(number=2)))
        assert await store.read(lambda db: runs.get(db, run.job_id, 3)) is None


async def test_events_are_kept_in_order(store: Store) -> None:
    await submit(store, "j-aaaaaaaa")
    moved = factories.event("STATE_CHANGED", from_state=JobState.QUEUED, to_state=JobState.RUNNING)
    first = await store.write(lambda tx: events.append(tx, "j-aaaaaaaa", moved))
    second = await store.write(lambda tx: events.append(tx, "", factories.event("STARTED")))
    page = await store.read(lambda db: events.page(db, "j-aaaaaaaa", 0, 10))
    assert page == [replace(moved, job_id="j-aaaaaaaa", id=first, revision=2)]
    assert [event.id for event in await store.read(lambda db: events.page(db, None, 0, 10))] == [first, second]
    assert await store.read(lambda db: events.page(db, None, second, 10)) == []


async def test_a_request_has_one_answer(store: Store) -> None:
    assert await store.read(lambda db: requests.recall(db, "r1", "hash")) is None
    await store.write(lambda tx: requests.remember(tx, "r1", "PauseJob", "hash", b"\x00answer", 1.0))
    assert await store.read(lambda db: requests.recall(db, "r1", "hash")) == b"\x00answer"
    with pytest.raises(MilepostError) as refusal:
        await store.read(lambda db: requests.recall(db, "r1", "other"))
    assert refusal.value.code is Code.REQUEST_ID_REUSED


async def test_old_requests_are_forgotten(store: Store) -> None:
    async def remember(request_id: str, now: float) -> None:
        await store.write(lambda tx: requests.remember(tx, request_id, "PauseJob", "hash", b"answer", now))

    async def known() -> list[str]:
        return await store.read(lambda db: [row[0] for row in db.execute("SELECT id FROM request ORDER BY time")])

    for number in range(30):
        await remember(f"old-{number}", float(number))
    await remember("recent", 100.0)
    await remember("new", 99.0 + requests.KEPT)
    assert await known() == [*(f"old-{number}" for number in range(20, 30)), "recent", "new"]
    await remember("newer", 99.0 + requests.KEPT)
    assert set(await known()) == {"recent", "new", "newer"}


async def test_a_pipeline_without_items_counts_its_steps(store: Store) -> None:
    definition = factories.pipeline(factories.step("plan"), factories.step("write", gives=Gives.ONE))
    stored = await store.write(lambda tx: jobs.insert(tx, factories.job(definition=definition), definition))
    assert [(step.total, step.total_known) for step in stored.steps] == [(1, True), (1, True)]
