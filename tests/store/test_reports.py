"""Reports, the children they bring, and the pages that runners are given."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from milepost.core.definition import Gives, OnDuplicate, PipelineDefinition, Takes
from milepost.core.errors import Code, MilepostError
from milepost.core.model import (
    Child,
    Completed,
    ItemState,
    Job,
    LabelCount,
    Outcome,
    PendingTask,
    Report,
    ReportKind,
    StepCounts,
    TaskRef,
)
from milepost.daemon.store import children, events, items, jobs, operations, saved, tasks
from milepost.daemon.store.reports import Applied
from milepost.daemon.store.store import Store
from tests.support import factories
from tests.support.applying import apply
from tests.support.factories import NOW, failed, report, succeeded

JOB = "j-aaaaaaaa"
ROOT = TaskRef(0, 0, 0)


class Bench:
    """A store with one job, and the calls of this module with what never changes filled in."""

    def __init__(self, store: Store, definition: PipelineDefinition) -> None:
        self.store, self.definition = store, definition

    async def submit(self) -> None:
        job = factories.job(JOB, self.definition)
        await self.store.write(lambda tx: jobs.insert(tx, job, self.definition))

    async def enumerate(self, keys: Sequence[str], first: int = 0, enumeration: int = 1, ref: TaskRef = ROOT) -> int:
        chunk = factories.rows_of(keys)
        return await self.store.write(
            lambda tx: children.add(tx, JOB, self.definition, ref, enumeration, first, chunk, NOW)
        )

    async def apply(self, *batch: Report, now: float = NOW) -> Applied:
        """Without the steps: `job()` tells them."""
        jitter = factories.no_jitter()
        applied = await self.store.write(lambda tx: apply(tx, JOB, 1, self.definition, batch, now, jitter))
        return replace(applied, steps=())

    async def job(self) -> Job:
        return await self.store.read(lambda db: jobs.get(db, JOB))

    async def ended(self) -> set[int]:
        """Positions of the steps of which nothing remains."""
        return {step.position for step in (await self.job()).steps if step.end_time is not None}

    async def pending(self, step: int, after: int = -1, limit: int = 100) -> list[PendingTask]:
        return await self.store.read(lambda db: tasks.pending(db, JOB, self.definition, step, after, limit))

    async def items(self) -> dict[str, items.Item]:
        found = await self.store.read(lambda db: items.page(db, JOB, full=True))
        return {item.key: item for item in found}

    async def keys_pending(self, step: int) -> list[str]:
        return [task.key for task in await self.pending(step)]


async def bench_with(store: Store, definition: PipelineDefinition, keys: Sequence[str] = ()) -> Bench:
    bench = Bench(store, definition)
    await bench.submit()
    if keys:
        await bench.enumerate(keys)
        await bench.apply(succeeded(0, 0))
    return bench


@pytest.fixture
async def bench(store: Store) -> Bench:
    """W3 with the rows a, b, c (items 1, 2, 3)."""
    return await bench_with(store, factories.creators(attempts=2), "abc")


class TestApply:
    async def test_success_goes_on_to_the_next_step_with_its_result(self, bench: Bench) -> None:
        applied = await bench.apply(succeeded(1, 1, label="found", result_json='{"n":1}', folder="items/1/fetch/1"))
        assert applied == Applied()
        assert await bench.pending(2) == [PendingTask(2, 1, 0, "a", 0, '{"handle":"a"}', 0, 0, ((1, '{"n":1}'),))]
        assert await bench.keys_pending(1) == ["b", "c"]
        assert (await bench.job()).steps[1] == StepCounts(
            1, "fetch", 3, True, 1, 0, 0, (LabelCount(Outcome.SUCCEEDED, "found", 1),), NOW
        )

    async def test_one_batch_may_take_an_item_through_several_steps(self, bench: Bench) -> None:
        batch = [succeeded(2, 1), succeeded(1, 2), succeeded(1, 1), report(ReportKind.SKIPPED, 1, 3, label="filtered")]
        applied = await bench.apply(*batch)
        assert applied.superseded == ()
        found = await bench.items()
        assert {key: (item.state, item.step) for key, item in found.items()} == {
            "a": (ItemState.SUCCEEDED, 2),
            "b": (ItemState.PENDING, 2),
            "c": (ItemState.SKIPPED, 1),
        }
        assert [record.step for record in found["a"].records] == [1, 2]

    async def test_the_step_before_a_gather_ends(self, bench: Bench) -> None:
        await bench.apply(*(succeeded(1, item) for item in (1, 2, 3)))
        await bench.apply(succeeded(2, 1), succeeded(2, 2))
        await bench.apply(report(ReportKind.SKIPPED, 2, 3), now=NOW + 50)
        assert await bench.ended() == {0, 1, 2}
        assert [step.end_time for step in (await bench.job()).steps] == [NOW, NOW, NOW + 50, None]
        await bench.apply(succeeded(3, 0))
        assert await bench.ended() == {0, 1, 2, 3}

    async def test_what_does_not_count_changes_nothing_and_the_rest_does(self, bench: Bench) -> None:
        await bench.apply(succeeded(1, 1, result_json="1"))
        batch = [
            succeeded(1, 1, result_json="2"),  # ended before
            succeeded(1, 2, epoch=1),  # another epoch
            succeeded(2, 2),  # not there yet
            succeeded(1, 99),  # no such item
            succeeded(77, 1),  # no such step
            failed(1, 1),
            report(ReportKind.LOST, 1, 1),
            report(ReportKind.RETURNED, 1, 1),
            succeeded(1, 3),
            succeeded(1, 3),  # twice in one batch
        ]
        applied = await bench.apply(*batch)
        assert Counter(applied.superseded) == Counter(one.ref for one in [*batch[:8], batch[9]])
        found = await bench.items()
        assert found["a"].records[0].result_json == "1"
        assert found["b"].records == ()
        assert (await bench.job()).steps[1].succeeded == 2

    async def test_columns_count_as_reports_do(self, bench: Bench) -> None:
        await bench.apply(succeeded(1, 1, result_json="1"))
        batch = [succeeded(1, item, result_json='"ünï\\u0000"', folder="f") for item in (1, 2, 3, 3, 99)]
        columns = [Completed.of(batch), Completed.of([succeeded(77, 1)])]
        applied = await bench.store.write(
            lambda tx: apply(tx, JOB, 1, bench.definition, [], NOW, factories.no_jitter(), columns)
        )
        assert Counter(applied.superseded) == Counter(
            TaskRef(*ref) for ref in [(1, 1, 0), (1, 3, 0), (1, 99, 0), (77, 1, 0)]
        )
        found = await bench.items()
        assert [found[key].records[0].result_json for key in "abc"] == ["1", '"ünï\\u0000"', '"ünï\\u0000"']
        [record] = found["b"].records
        assert (record.start_time, record.end_time, record.folder) == (NOW, NOW + 1, "f")
        assert (await bench.job()).steps[1].succeeded == 3

    async def test_a_step_that_gives_many_may_come_in_columns(self, bench: Bench) -> None:
        columns = [Completed.of([succeeded(0, 0)])]
        await bench.store.write(lambda tx: apply(tx, JOB, 1, bench.definition, [], NOW, factories.no_jitter(), columns))
        assert await bench.ended() == {0}

    async def test_a_batch_that_does_not_count_at_all_takes_no_revision(self, bench: Bench) -> None:
        before = bench.store.revision
        assert (await bench.apply(succeeded(1, 1, epoch=5))).superseded == (TaskRef(1, 1, 5),)
        assert bench.store.revision == before

    async def test_a_failure_waits_for_its_time_then_is_given_up(self, bench: Bench) -> None:
        applied = await bench.apply(failed(1, 1))
        assert applied == Applied(next_due=NOW + 5)
        assert (await bench.job()).next_retry_time == NOW + 5
        assert await bench.store.read(tasks.next_due) == NOW + 5
        job = await bench.job()
        assert (job.retry_count, job.next_retry_time) == (1, NOW + 5)
        assert await bench.keys_pending(1) == ["b", "c"]
        assert (await bench.apply(failed(1, 1))).superseded == (TaskRef(1, 1, 0),)
        assert await bench.store.write(lambda tx: tasks.release_due(tx, NOW + 4.9)) == set()
        assert await bench.store.write(lambda tx: tasks.release_due(tx, NOW + 5)) == {JOB}
        assert await bench.store.read(tasks.next_due) is None
        # The same report once more, as after a lost acknowledgement.
        assert (await bench.apply(failed(1, 1))).superseded == (TaskRef(1, 1, 0),)
        (task, *_) = await bench.pending(1)
        assert (task.ref, task.attempts_used) == (TaskRef(1, 1, 1), 1)
        await bench.apply(failed(1, 1, epoch=1))
        item = (await bench.items())["a"]
        assert (item.state, item.failure) == (ItemState.FAILED, factories.failure())
        assert (item.records[0].outcome, item.records[0].attempt) == (Outcome.FAILED, 2)
        attempts = await bench.store.read(lambda db: items.attempts(db, JOB, "a"))
        assert [attempt.number for attempt in attempts] == [2, 1]
        assert (await bench.job()).retry_count == 0

    async def test_another_attempt_cannot_mend_some(self, bench: Bench) -> None:
        await bench.apply(failed(1, 1, error_class="credentials"))
        assert (await bench.items())["a"].state is ItemState.FAILED

    async def test_beyond_100_labels_of_a_step_they_are_counted_as_other(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(), [f"k{number}" for number in range(105)])
        given = [succeeded(1, number, label=f"l{number}") for number in range(1, 103)]
        await bench.apply(*given[:60])
        await bench.apply(*given[60:], succeeded(1, 103, label="l7"), report(ReportKind.SKIPPED, 1, 104, label="new"))
        counted = {(entry.outcome, entry.label): entry.count for entry in (await bench.job()).steps[1].labels}
        assert len(counted) == 102
        assert counted[Outcome.SUCCEEDED, "l7"] == 2
        assert (counted[Outcome.SUCCEEDED, "other"], counted[Outcome.SKIPPED, "other"]) == (2, 1)
        # The record bears the label that it is counted under, so that a retry takes it off again.
        found = await store.read(lambda db: items.page(db, JOB, items.Restriction(label="other")))
        assert [item.key for item in found] == ["k100", "k101", "k103"]

    async def test_a_root_given_up_stops_the_job(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        applied = await bench.apply(failed(0, 0, error_class="persistent"))
        assert applied.failed_root == factories.failure("persistent")
        assert await bench.ended() == {0}
        assert [step.total_known for step in (await bench.job()).steps] == [True, False, False, True]

    async def test_a_lost_worker_costs_no_attempt_until_the_third(self, bench: Bench) -> None:
        for epoch in range(2):
            applied = await bench.apply(report(ReportKind.LOST, 1, 1, epoch))
            assert applied == Applied()
            assert (await bench.apply(report(ReportKind.LOST, 1, 1, epoch))).superseded == (TaskRef(1, 1, epoch),)
            (task, *_) = await bench.pending(1)
            assert (task.ref.epoch, task.attempts_used, task.lost) == (epoch + 1, 0, epoch + 1)
        await bench.apply(report(ReportKind.LOST, 1, 1, 2))
        item = (await bench.items())["a"]
        assert item.state is ItemState.FAILED
        assert item.failure is not None
        assert item.failure.error_class == "lost_worker"

    async def test_what_is_given_back_waits_as_before(self, bench: Bench) -> None:
        before = await bench.pending(1)
        assert await bench.apply(report(ReportKind.RETURNED, 1, 1)) == Applied()
        assert await bench.pending(1) == before


class TestPending:
    async def test_pages_go_on_after_an_item(self, bench: Bench) -> None:
        assert [task.key for task in await bench.pending(1, after=-1, limit=2)] == ["a", "b"]
        assert [task.key for task in await bench.pending(1, after=2, limit=2)] == ["c"]
        await bench.apply(succeeded(1, 2))
        assert await bench.store.read(lambda db: tasks.pending_steps(db, JOB)) == [1, 2, 3]

    async def test_a_page_has_texts_as_they_came(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        given = tuple(
            Child(key, json.dumps({"text": key}, ensure_ascii=False)) for key in ("a\0b", 'a"\\', "\u2028é😀")
        )
        await store.write(lambda tx: children.add(tx, JOB, bench.definition, ROOT, 1, 0, given, NOW))
        assert [Child(task.key, task.payload_json) for task in await bench.pending(1)] == list(given)

    async def test_which_of_those_handed_out_still_count(self, bench: Bench) -> None:
        refs = [TaskRef(1, 1, 0), TaskRef(1, 2, 0), TaskRef(1, 3, 7), TaskRef(2, 1, 0), TaskRef(1, 44, 0)]
        await bench.apply(succeeded(1, 1))
        current = await bench.store.read(lambda db: tasks.still_current(db, JOB, refs))
        assert current == {TaskRef(1, 2, 0), TaskRef(2, 1, 0)}

    async def test_saved_state_is_found_again_until_the_task_ends(self, bench: Bench) -> None:
        ref = TaskRef(1, 1, 0)
        assert await bench.store.write(lambda tx: saved.put(tx, JOB, ref, '{"page":1}'))
        assert await bench.store.write(lambda tx: saved.put(tx, JOB, ref, '{"page":2}'))
        assert not await bench.store.write(lambda tx: saved.put(tx, JOB, TaskRef(1, 1, 9), "{}"))
        assert (await bench.pending(1))[0].saved_json == '{"page":2}'
        await bench.apply(report(ReportKind.LOST, 1, 1))
        assert (await bench.pending(1))[0].saved_json == '{"page":2}'
        await bench.apply(succeeded(1, 1, epoch=1))
        assert await bench.store.read(lambda db: db.execute("SELECT count(*) FROM saved").fetchone()[0]) == 0


class TestEnumeration:
    async def test_totals_grow_and_are_known_at_the_end(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        assert await bench.enumerate(["a", "b"]) == 2
        assert await bench.enumerate(["c"], first=2) == 3
        assert [(step.total, step.total_known) for step in (await bench.job()).steps] == [
            (1, True),
            (3, False),
            (3, False),
            (1, True),
        ]
        await bench.apply(succeeded(0, 0))
        assert [step.total_known for step in (await bench.job()).steps] == [True] * 4

    async def test_an_empty_input_ends_everything_before_the_gather(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await bench.apply(succeeded(0, 0))
        assert await bench.ended() == {0, 1, 2}
        assert await bench.keys_pending(3) == [""]

    async def test_a_chunk_sent_again_changes_nothing(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        for _ in range(2):
            assert await bench.enumerate(["a", "", "a"]) == 3
        assert list(await bench.items()) == ["a", "2", "a#3"]

    async def test_the_last_of_many_in_a_chunk_is_there_already(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await bench.enumerate(["a"])
        keys = [f"k{number}" for number in range(120)]
        await bench.enumerate([*keys, "a"], first=1)
        found = await store.read(lambda db: items.page(db, JOB, limit=200))
        assert [(item.id, item.key) for item in found] == list(enumerate(["a", *keys, "a#122"], 1))
        assert found[-1].state is ItemState.SKIPPED
        assert (await bench.job()).steps[1].total == 122

    async def test_a_duplicate_is_recorded_as_skipped(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await bench.enumerate(["a", "b", "a"])
        await bench.enumerate(["a#3", "a"], first=3)
        found = await bench.items()
        assert {key: item.state for key, item in found.items()} == {
            "a": ItemState.PENDING,
            "b": ItemState.PENDING,
            "a#3": ItemState.SKIPPED,
            "a#3#4": ItemState.SKIPPED,
            "a#5": ItemState.SKIPPED,
        }
        assert found["a#3"].label == "duplicate"
        assert found["a#3"].records[0].label == "duplicate"
        step = (await bench.job()).steps[1]
        assert (step.total, step.skipped, step.labels) == (5, 3, (LabelCount(Outcome.SKIPPED, "duplicate", 3),))

    async def test_a_key_with_a_nul_is_met_again(self, bench: Bench, store: Store) -> None:
        await store.write(lambda tx: jobs.insert(tx, factories.job("j-bbbbbbbb", bench.definition), bench.definition))
        given = [Child("a\0b", "{}"), Child("a", "{}")]
        for enumeration in (1, 2):
            await store.write(
                lambda tx, number=enumeration: children.add(  # type: ignore[misc]  # called at once
                    tx, "j-bbbbbbbb", bench.definition, ROOT, number, 0, given, NOW
                )
            )
        found = await store.read(lambda db: items.page(db, "j-bbbbbbbb"))
        assert [(item.id, item.key) for item in found] == [(1, "a\0b"), (2, "a")]

    async def test_a_duplicate_may_run(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(on_duplicate=OnDuplicate.KEEP))
        await bench.enumerate(["a", "a"])
        assert await bench.keys_pending(1) == ["a", "a#2"]

    async def test_a_duplicate_may_be_refused_with_both_positions(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators(on_duplicate=OnDuplicate.FAIL))
        await bench.enumerate(["a"])
        with pytest.raises(MilepostError, match="Item 3 has the key 'a', which item 1 has") as refusal:
            await bench.enumerate(["b", "a"], first=1)
        assert refusal.value.code is Code.INVALID_ARGUMENT
        assert list(await bench.items()) == ["a"]

    async def test_a_second_enumeration_meets_the_rows_of_the_first(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await bench.enumerate(["a", "b", "a"])
        await bench.apply(succeeded(1, 1, result_json="1"), report(ReportKind.LOST, 0, 0))
        ref = TaskRef(0, 0, 1)
        await bench.enumerate(["a", "b", "a", "c", "b"], enumeration=2, ref=ref)
        found = await bench.items()
        assert list(found) == ["a", "b", "a#3", "c", "b#5"]
        assert found["a"].records[0].result_json == "1"
        assert (await bench.job()).steps[1].skipped == 2

    async def test_one_that_was_replaced_is_fenced(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await bench.apply(report(ReportKind.LOST, 0, 0))
        with pytest.raises(MilepostError) as refusal:
            await bench.enumerate(["a"])
        assert refusal.value.code is Code.RUN_FENCED
        assert await bench.items() == {"": (await bench.items())[""]}


class TestExpansion:
    async def test_children_come_with_the_report(self, store: Store) -> None:
        clips = factories.pipeline(
            factories.step("rows", gives=Gives.MANY, enumerates=True),
            factories.step("split", gives=Gives.MANY),
            factories.step("cut"),
        )
        bench = await bench_with(store, clips, "ab")
        pair = (Child("x", "{}"), Child("", "{}"), Child("x", "{}"))
        await bench.apply(succeeded(1, 1, children=pair), succeeded(1, 2, children=pair[:1]))
        assert await bench.ended() == {0, 1}
        assert await bench.keys_pending(2) == ["x", "2", "x"]
        step = (await bench.job()).steps[2]
        assert (step.total, step.total_known, step.skipped) == (4, True, 1)

    async def test_a_refused_duplicate_fails_the_task_and_not_the_batch(self, store: Store) -> None:
        clips = factories.pipeline(
            factories.step("split", gives=Gives.MANY), factories.step("cut"), on_duplicate=OnDuplicate.FAIL
        )
        bench = await bench_with(store, clips)
        applied = await bench.apply(succeeded(0, 0, children=(Child("x", "{}"), Child("x", "{}"))))
        assert applied.failed_root is not None
        assert applied.failed_root.error_class == "duplicate"

    async def test_children_of_a_last_step_are_through(self, store: Store) -> None:
        bench = await bench_with(store, factories.pipeline(factories.step("split", gives=Gives.MANY)))
        await bench.apply(succeeded(0, 0, children=(Child("x", "{}"),)))
        assert (await bench.items())["x"].state is ItemState.SUCCEEDED


def child(key: str, value: int) -> Child:
    return Child(key, f'{{"value":{value}}}')


class TestGivenAgain:
    """A task that gives children runs again: same key and payload keep their records, the others go."""

    async def give(self, bench: Bench, enumeration: int, ref: TaskRef, *given: Child) -> None:
        await bench.store.write(lambda tx: children.add(tx, JOB, bench.definition, ref, enumeration, 0, given, NOW))

    async def archived(self, bench: Bench) -> list[tuple[str, int]]:
        query = "SELECT key, step FROM archive ORDER BY key, step"
        return await bench.store.read(lambda db: [(row["key"], row["step"]) for row in db.execute(query)])

    async def test_in_chunks(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await self.give(bench, 1, ROOT, child("a", 1), child("b", 1), child("c", 1), child("d", 1))
        await bench.apply(*(succeeded(1, item) for item in (1, 2, 3)), failed(1, 4), report(ReportKind.LOST, 0, 0))
        again = TaskRef(0, 0, 1)
        await self.give(bench, 2, again, child("e", 1), child("b", 2), child("a", 1))
        assert (await bench.apply(succeeded(2, 2))).superseded == (TaskRef(2, 2, 0),)
        assert set(await bench.items()) == {"a", "b", "c", "d", "e"}, "a source may still die half-way"
        await bench.apply(succeeded(*again, enumeration=2, enumerated=3))
        assert await bench.ended() == {0}
        found = await bench.items()
        assert set(found) == {"a", "b", "e"}
        assert (len(found["a"].records), len(found["b"].records)) == (1, 0)
        assert [(task.key, task.position) for task in await bench.pending(1)] == [("e", 0), ("b", 1)]
        assert await self.archived(bench) == [("b", 1), ("c", 1)]
        job = await bench.job()
        assert [(step.total, step.succeeded) for step in job.steps[1:3]] == [(3, 1), (3, 0)]
        assert job.retry_count == 0
        assert (await bench.apply(succeeded(1, 2), succeeded(1, 3))).superseded == (TaskRef(1, 2, 0), TaskRef(1, 3, 0))
        kinds = await store.read(lambda db: [event.kind for event in events.page(db, JOB, 0, 10)])
        assert kinds == ["ITEMS_REPLACED", "ITEMS_REPLACED"]

    async def test_a_source_that_has_nothing_any_more(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await self.give(bench, 1, ROOT, child("a", 1))
        await bench.apply(report(ReportKind.LOST, 0, 0))
        await bench.apply(succeeded(0, 0, 1, enumeration=2))
        assert await bench.ended() == {0, 1, 2}
        assert await bench.keys_pending(3) == [""]
        assert (await bench.job()).steps[1].total == 0

    async def test_a_regrouping_and_the_gather_after_it(self, store: Store) -> None:
        steps = [
            factories.step("rows", gives=Gives.MANY, enumerates=True),
            factories.step("fetch"),
            factories.step("group", Takes.ALL, Gives.MANY),
            factories.step("split", gives=Gives.MANY),
            factories.step("write"),
            factories.step("report", Takes.ALL),
        ]
        bench = await bench_with(store, factories.pipeline(*steps), "ab")
        await bench.apply(succeeded(1, 1), failed(1, 2, error_class="persistent"))
        groups = [child("kept", 1), child("changed", 1), child("gone", 1)]
        await bench.apply(succeeded(2, 0, children=tuple(groups)))
        parts = [succeeded(3, item, children=(child("x", item), child("y", item))) for item in (3, 4, 5)]
        await bench.apply(*parts)
        await bench.apply(*(succeeded(4, item) for item in range(6, 12)))
        await bench.apply(succeeded(5, 0))
        await bench.store.write(lambda tx: operations.begin(tx, JOB, operations.Retry(), 1))
        assert await bench.store.write(lambda tx: operations.advance(tx, JOB, bench.definition, NOW))
        await bench.apply(succeeded(1, 2, 1))
        (regroup,) = await bench.pending(2)
        new = (child("kept", 1), child("changed", 2), child("new", 1))
        await bench.apply(report(ReportKind.SUCCEEDED, *regroup.ref, children=new, enumeration=9))
        assert await bench.keys_pending(3) == ["changed", "new"]
        job = await bench.job()
        assert [(step.total, step.succeeded) for step in job.steps[3:]] == [(3, 1), (2, 2), (1, 0)]
        assert await bench.keys_pending(5) == [""], "the report has seen other parts than there are"
        gone = [("changed", 3), ("gone", 3), ("x", 4), ("x", 4), ("y", 4), ("y", 4)]
        assert set(gone) < set(await self.archived(bench))
        await bench.apply(*(succeeded(*task.ref) for task in await bench.pending(3)))
        (gather,) = await bench.pending(5)
        await bench.apply(succeeded(*gather.ref))
        assert await bench.ended() == {0, 1, 2, 3, 4, 5}

    async def test_what_the_runner_does_not_tell_takes_nothing_away(self, store: Store) -> None:
        bench = await bench_with(store, factories.creators())
        await self.give(bench, 1, ROOT, child("a", 1))
        await bench.apply(report(ReportKind.LOST, 0, 0))
        await self.give(bench, 2, TaskRef(0, 0, 1), child("b", 1))
        await bench.apply(succeeded(0, 0, 1))
        assert set(await bench.items()) == {"a", "b"}
