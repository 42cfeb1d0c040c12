"""What is late, old, or sent again changes nothing: a scripted runner speaks to a real store and dispatch."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from milepost.common.wire.errors import from_rpc_error
from milepost.common.wire.runner import PROTOCOL
from milepost.core.errors import Code
from milepost.core.model import Job, PendingTask, RunEnd, TaskRef
from milepost.daemon.store import events, jobs, runs
from milepost.v1 import runner_service_pb2 as pb
from tests.support import factories
from tests.support.factories import NOW
from tests.support.in_process import InProcessDaemon, in_process_daemon
from tests.support.scripted_runner import JOB, TOKEN, ScriptedRunner, attached, report, running_job

ROWS, FETCH, SCORE, REPORT = range(4)
KEYS = ["ada", "bob", "cyd"]


@pytest.fixture
async def daemon() -> AsyncIterator[InProcessDaemon]:
    async with in_process_daemon() as running:
        await running_job(running, factories.creators())
        yield running


def contents(daemon: InProcessDaemon) -> Callable[[Any], list[Any]]:
    """Everything that a report could change, but for when it was last changed."""

    def read(db: Any) -> list[Any]:  # Any: of sqlite3
        tables = ["item", "task", "attempt", "saved", "step_label"]
        rows = [tuple(row) for table in tables for row in db.execute(f"SELECT * FROM {table}").fetchall()]
        steps = "SELECT position, total, total_known, succeeded, failed, skipped, retrying FROM step"
        return [*rows, *(tuple(row) for row in db.execute(steps).fetchall())]

    return read


async def state(daemon: InProcessDaemon) -> list[Any]:
    return await daemon.store.read(contents(daemon))


async def job_of(daemon: InProcessDaemon) -> Job:
    return await daemon.store.read(lambda db: jobs.get(db, JOB))


async def enumerate_rows(runner: ScriptedRunner) -> dict[int, PendingTask]:
    """The first step is done: three items wait at `fetch`."""
    root = pb.TaskRef(step=ROWS, item=0)
    children = pb.GivenItems(keys=KEYS, payloads_json=["{}"] * len(KEYS))
    chunk = pb.Children(task=root, enumeration=1, first_position=0, children=children)
    await runner.report(1, report("SUCCEEDED", ROWS, 0), children=[chunk])
    return await runner.handed_out(FETCH, range(1, 4))


@pytest.mark.parametrize(
    "claim", [{"token": "the token of another run"}, {"token": ""}, {"run": 2}, {"run": 0}, {"job": "j-bbbbbbbb"}]
)
async def test_a_runner_with_another_token_gets_nothing(daemon: InProcessDaemon, claim: dict[str, Any]) -> None:
    before = await state(daemon)
    async with attached(daemon.folder / "daemon.sock", **claim, admitted=False) as runner:
        refusal = await runner.refused()
    assert refusal.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)
    assert TOKEN not in str(refusal)
    assert runner.tasks == []
    assert await state(daemon) == before


@pytest.mark.parametrize("protocol", [0, PROTOCOL - 1, PROTOCOL + 1])
async def test_a_runner_of_another_protocol_gets_nothing_and_its_job_says_so(
    daemon: InProcessDaemon, protocol: int
) -> None:
    before = await state(daemon)
    async with attached(daemon.folder / "daemon.sock", protocol=protocol, admitted=False) as runner:
        refusal = await runner.refused()
    assert refusal.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert from_rpc_error(refusal).code is Code.PROTOCOL_MISMATCH
    assert runner.tasks == []
    assert await state(daemon) == before
    [event] = await daemon.store.read(lambda db: events.page(db, JOB, 0, 10))
    assert event.kind == "RUNNER_REFUSED"
    assert f"protocol {protocol}, this daemon {PROTOCOL}" in event.message


#: A batch of what only another version knows: a field of the batch, and nothing else.
UNKNOWN = b"\x32\x02\x08\x01"
KNOWN = pb.Batch(sequence=2, reports=[report("SUCCEEDED", FETCH, 1)])


@pytest.mark.parametrize(
    "batch",
    [
        pb.Batch(sequence=2),
        pb.Batch.FromString(b"\x08\x02" + UNKNOWN),
        pb.Batch.FromString(KNOWN.SerializeToString() + UNKNOWN),
    ],
    ids=["empty", "unknown", "known and unknown"],
)
async def test_a_batch_that_is_not_known_in_full_is_not_acknowledged(daemon: InProcessDaemon, batch: pb.Batch) -> None:
    async with attached(daemon.folder / "daemon.sock") as runner:
        await enumerate_rows(runner)
        before = await state(daemon)
        await runner.say(batch=batch)
        assert (await runner.refused()).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await state(daemon) == before


@pytest.mark.parametrize(("enumerated", "is_recorded"), [(3, True), (20, False), (0, False)])
async def test_an_enumeration_of_which_items_are_missing_does_not_end(
    daemon: InProcessDaemon, enumerated: int, is_recorded: bool
) -> None:
    root = pb.TaskRef(step=ROWS, item=0)
    children = pb.GivenItems(keys=KEYS, payloads_json=["{}"] * len(KEYS))
    chunk = pb.Children(task=root, enumeration=1, first_position=0, children=children)
    ended = report("SUCCEEDED", ROWS, 0, enumeration=1, enumerated=enumerated)
    async with attached(daemon.folder / "daemon.sock") as runner:
        await runner.report(1, ended, children=[chunk])
        if is_recorded:
            await runner.acknowledged(1)
        else:
            assert (await runner.refused()).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await job_of(daemon)).steps[ROWS].succeeded == is_recorded
    assert (await job_of(daemon)).steps[FETCH].total == 3 * is_recorded


async def test_the_runner_of_a_closed_run_is_refused_also_while_it_is_attached(daemon: InProcessDaemon) -> None:
    async with attached(daemon.folder / "daemon.sock") as runner:
        await enumerate_rows(runner)
        before = await state(daemon)
        await daemon.store.write(lambda tx: runs.close(tx, JOB, 1, RunEnd.LOST, NOW))
        await runner.report(2, report("SUCCEEDED", FETCH, 1))
        assert (await runner.refused()).code() is grpc.StatusCode.PERMISSION_DENIED
    async with attached(daemon.folder / "daemon.sock", admitted=False) as again:
        assert (await again.refused()).code() is grpc.StatusCode.PERMISSION_DENIED
    assert await state(daemon) == before


@pytest.mark.parametrize("late", ["SUCCEEDED", "SKIPPED", "FAILED", "LOST", "RETURNED"])
async def test_a_report_of_an_earlier_epoch_is_void(daemon: InProcessDaemon, late: str) -> None:
    async with attached(daemon.folder / "daemon.sock") as runner:
        await enumerate_rows(runner)
        await runner.report(2, report("LOST", FETCH, 1), saved=[])
        await runner.acknowledged(2)
        before = await state(daemon)
        await runner.report(3, report(late, FETCH, 1), saved=[_saved(FETCH, 1, 0)])
        ack = await runner.acknowledged(3)
        assert [(ref.step, ref.item, ref.epoch) for ref in ack.void] == [(FETCH, 1, 0)]
        assert await state(daemon) == before
        await runner.report(4, report("SUCCEEDED", FETCH, 1, epoch=1))
        assert not (await runner.acknowledged(4)).void
    assert (await job_of(daemon)).steps[FETCH].succeeded == 1


def _saved(step: int, item: int, epoch: int) -> pb.SavedState:
    return pb.SavedState(task=pb.TaskRef(step=step, item=item, epoch=epoch), state_json='{"page":7}')


BATCHES = {
    "succeeded": {"reports": [report("SUCCEEDED", FETCH, 1, label="added")]},
    "skipped": {"reports": [report("SKIPPED", FETCH, 1, label="filtered")]},
    "failed, to be retried": {"reports": [report("FAILED", FETCH, 1)]},
    "failed for good": {
        "reports": [report("FAILED", FETCH, 1, failure=pb.TaskFailure(error_class="persistent", message="no key"))]
    },
    "lost": {"reports": [report("LOST", FETCH, 1)]},
    "returned": {"reports": [report("RETURNED", FETCH, 1)]},
    "saved": {"saved": [_saved(FETCH, 1, 0)]},
    "two steps of an item": {"reports": [report("SUCCEEDED", FETCH, 1), report("SUCCEEDED", SCORE, 1)]},
    "children": {
        "children": [
            pb.Children(
                task=pb.TaskRef(step=ROWS, item=0),
                enumeration=1,
                first_position=3,
                children=pb.GivenItems(keys=["dan", "", "ada", ""], payloads_json=["{}"] * 4),
            )
        ]
    },
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
async def test_what_is_sent_again_because_its_acknowledgement_was_lost_counts_once(
    daemon: InProcessDaemon, batch: dict[str, Any]
) -> None:
    socket = daemon.folder / "daemon.sock"
    held = [TaskRef(ROWS, 0, 0)] if "children" in batch else [TaskRef(FETCH, 1, 0)]
    async with attached(socket) as runner:
        if "children" in batch:
            root = pb.TaskRef(step=ROWS, item=0)
            children = pb.GivenItems(keys=KEYS, payloads_json=["{}"] * len(KEYS))
            first = pb.Children(task=root, enumeration=1, first_position=0, children=children)
            await runner.say(batch=pb.Batch(sequence=1, children=[first]))
        else:
            await enumerate_rows(runner)
        await runner.say(batch=pb.Batch(sequence=2, **batch))
        await runner.acknowledged(2)  # it gets lost on the way: the runner behaves as if it had never come
    once = await state(daemon)
    for _ in range(2):
        async with attached(socket, held=held) as runner:
            await runner.say(batch=pb.Batch(sequence=2, **batch))
            await runner.acknowledged(2)
    assert await state(daemon) == once


async def test_an_item_that_went_on_in_its_runner_is_neither_void_nor_handed_out_again(daemon: InProcessDaemon) -> None:
    """Item 1: its first report is durable, the acknowledgement was lost. Item 2: the daemon has heard of neither."""
    socket = daemon.folder / "daemon.sock"
    async with attached(socket) as runner:
        await enumerate_rows(runner)
        await runner.report(2, report("SUCCEEDED", FETCH, 1))
        await runner.acknowledged(2)
    held = [TaskRef(FETCH, 1, 0), TaskRef(FETCH, 2, 0), TaskRef(SCORE, 1, 0), TaskRef(SCORE, 2, 0)]
    async with attached(socket, held=held) as runner:
        assert not runner.welcome.void
        await runner.handed_out(FETCH, [3])
        await runner.report(2, report("SUCCEEDED", FETCH, 1))
        await runner.report(3, report("SUCCEEDED", FETCH, 2))
        await runner.report(4, report("SUCCEEDED", SCORE, 1), report("SUCCEEDED", SCORE, 2))
        await runner.acknowledged(4)
        await runner.report(5, report("SUCCEEDED", FETCH, 3), report("SUCCEEDED", SCORE, 3))
        await runner.handed_out(REPORT, [0])
        assert [(task.step, task.item) for task in runner.tasks] == [(FETCH, 3), (REPORT, 0)]
    assert (await job_of(daemon)).steps[SCORE].succeeded == 3


async def test_what_a_runner_holds_of_a_task_that_was_replaced_is_void(daemon: InProcessDaemon) -> None:
    socket = daemon.folder / "daemon.sock"
    async with attached(socket) as runner:
        await enumerate_rows(runner)
        await runner.report(2, report("LOST", FETCH, 1))
        await runner.acknowledged(2)
    held = [TaskRef(FETCH, 1, 0), TaskRef(SCORE, 1, 0), TaskRef(FETCH, 2, 0)]
    async with attached(socket, held=held) as runner:
        assert [(ref.step, ref.item, ref.epoch) for ref in runner.welcome.void] == [(FETCH, 1, 0), (SCORE, 1, 0)]
        await runner.handed_out(FETCH, [1, 3])
        assert sorted((task.item, task.epoch) for task in runner.tasks) == [(1, 1), (3, 0)]


async def test_a_state_that_was_saved_behind_the_report_before_it_is_kept(daemon: InProcessDaemon) -> None:
    socket = daemon.folder / "daemon.sock"
    async with attached(socket) as runner:
        await enumerate_rows(runner)
        # Both come in while an earlier commit is under way, so that they are recorded together.
        await runner.report(2, report("SUCCEEDED", FETCH, 3))
        await runner.report(3, report("SUCCEEDED", FETCH, 1))
        await runner.say(batch=pb.Batch(sequence=4, saved=[_saved(SCORE, 1, 0)]))
        await runner.acknowledged(4)
    async with attached(socket) as runner:
        found = await runner.handed_out(SCORE, [1])
        assert found[1].saved_json == '{"page":7}'
