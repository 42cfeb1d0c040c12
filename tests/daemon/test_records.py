"""What becomes of what runners told in one commit, as their sessions learn it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.core.model import Job
from milepost.daemon.records import Received, Recorded, Told, record
from milepost.daemon.store import jobs, runs
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.reports import Source
from milepost.daemon.store.store import Store
from milepost.v1 import runner_service_pb2 as pb
from tests.support import factories as make

DEFINITION = make.creators()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def job(store: Store) -> Job:
    def insert(tx: Transaction) -> Job:
        inserted = jobs.insert(tx, make.job(definition=DEFINITION), DEFINITION)
        runs.insert(tx, make.run(inserted.id))
        return inserted

    return await store.write(insert)


async def tell(store: Store, job: Job, batch: pb.Batch) -> Recorded:
    told = Told(Source(job.id, job.sequence, 1, DEFINITION), Received.from_batches([batch]))
    return await store.write_together(record, told)


def chunk(epoch: int) -> pb.Batch:
    given = pb.GivenItems(keys=["a", "b"], payloads_json=["{}", "{}"])
    root = pb.TaskRef(step=0, item=0, epoch=epoch)
    return pb.Batch(sequence=1, children=[pb.Children(task=root, enumeration=1, first_position=0, children=given)])


async def test_children_that_count_change_the_steps(store: Store, job: Job) -> None:
    recorded = await tell(store, job, chunk(epoch=0))
    assert [step.total for step in recorded.steps] == [1, 2, 2, 1]
    assert recorded.superseded == []


async def test_children_that_do_not_count_tell_nothing_of_the_job(store: Store, job: Job) -> None:
    """Its row was not read anew, so a session must not take what it knows of the job for that of this commit."""
    recorded = await tell(store, job, chunk(epoch=7))
    assert recorded.steps == ()
    assert [ref.epoch for ref in recorded.superseded] == [7]
