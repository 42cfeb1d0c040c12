"""The outbox: what is in a batch may be recorded in the daemon's order, states and children before reports."""

from milepost.common.wire.runner import reported
from milepost.runner.frames import Result
from milepost.runner.ledger import Ref
from milepost.runner.outbox import Alike, Outbox
from milepost.v1 import runner_service_pb2 as pb


def nothing() -> None:
    return None


def succeeded() -> Result:
    return Result(0, pb.REPORT_KIND_SUCCEEDED, start_us=1, end_us=2)


def test_of_many_that_completed_alike_a_batch_takes_what_it_has_room_for() -> None:
    outbox = Outbox(nothing)
    outbox.report(Ref(1, 0, 0), succeeded())
    many = [(Ref(1, item, 0), "{}", 1, 2, "") for item in range(1, 2501)]
    outbox.complete(Alike(1, 0, pb.REPORT_KIND_SUCCEEDED, ""), many)
    batches = [[task.item for task in reported(batch)] for batch in outbox.batches()]
    assert [len(items) for items in batches] == [1000, 1000, 501]
    assert [item for items in batches for item in items] == list(range(2501))
    assert len(outbox.done) == 2501
    outbox.acknowledge(1)
    assert len(outbox.done) == 1501
    outbox.acknowledge(3)
    assert (outbox.bytes, outbox.done) == (0, set())


def test_what_a_task_gives_is_never_in_one_batch_with_the_report_of_the_task_before_it() -> None:
    outbox = Outbox(nothing)
    outbox.saved(Ref(1, 7, 0), "{}", nothing)
    outbox.report(Ref(1, 7, 0), succeeded())
    outbox.report(Ref(1, 8, 0), succeeded())
    outbox.saved(Ref(2, 9, 0), "{}", nothing)
    assert len(list(outbox.batches())) == 1, "an item's own entries are in order"
    outbox.saved(Ref(2, 7, 0), "{}", nothing)
    outbox.report(Ref(2, 7, 0), succeeded())
    outbox.report(Ref(1, 0, 0), succeeded())
    outbox.children(Ref(2, 0, 0), 1, 0, [("a", "{}")], nothing)
    assert [
        ([task.item for task in reported(batch)], len(batch.saved), len(batch.children)) for batch in outbox.batches()
    ] == [([7, 8], 2, 0), ([7, 0], 1, 0), ([], 0, 1)]
