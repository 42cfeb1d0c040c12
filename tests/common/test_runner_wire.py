"""Tasks and their ends in columns."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from milepost.common.wire import runner
from milepost.common.wire.times import LAST_TIME
from milepost.core.errors import Code, MilepostError
from milepost.core.model import PendingTask, ReportKind
from milepost.runner.ledger import Ref
from milepost.runner.pages import held_tasks
from milepost.v1 import runner_service_pb2 as pb

COLUMNS: dict[str, Any] = {  # Any: values of a message's fields
    "items": [7, 8], "results_json": ["1", ""], "start_us": [1, -(2**63)], "end_us": [2_000_000, 2**63 - 1],
}  # fmt: skip


def test_the_number_of_the_protocol_goes_with_its_messages() -> None:
    """Who changes a message raises the number, and notes both here: else one side passes over what the other says."""
    fields = sorted(_fields(pb.DESCRIPTOR.message_types_by_name.values()))
    digest = hashlib.sha256("\n".join(fields).encode()).hexdigest()[:16]
    assert (runner.PROTOCOL, digest) == (3, "de6e397b4f97bb73")


def _fields(messages: Iterable[Descriptor]) -> Iterator[str]:
    for message in messages:
        yield from _fields(message.nested_types)
        for field in message.fields:
            kind = field.message_type.full_name if field.message_type else field.type
            yield f"{field.full_name} = {field.number}: {kind}{' repeated' if field.is_repeated else ''}"


def test_a_page_comes_as_it_went() -> None:
    tasks = [
        PendingTask(2, 7, 0, "a", 0, "{}", 0, 0),
        PendingTask(2, 8, 3, "ünï", 1, '{"n":1}', 2, 1, ((0, "1"), (1, "2")), '{"at":5}'),
        PendingTask(2, 9, 0, "", 2, "", 0, 0),
    ]
    assert [
        (
            task.ref,
            task.key,
            task.position,
            task.payload_json,
            task.attempts_used,
            task.lost,
            task.previous,
            task.saved_json,
        )
        for task in held_tasks(runner.page_to_proto(tasks), ["fetch", "parse", "load"])
    ] == [
        (Ref(2, 7, 0), "a", 0, "{}", 0, 0, {}, ""),
        (Ref(2, 8, 3), "ünï", 1, '{"n":1}', 2, 1, {"fetch": "1", "parse": "2"}, '{"at":5}'),
        (Ref(2, 9, 0), "", 2, "", 0, 0, {}, ""),
    ]


def test_times_are_bounded_and_a_group_may_have_no_folders() -> None:
    completed = runner.completed_from_proto(pb.Completed(step=1, epoch=3, kind=pb.REPORT_KIND_SKIPPED, **COLUMNS))
    assert (completed.kind, completed.items, completed.folders) == (ReportKind.SKIPPED, [7, 8], ["", ""])
    assert (completed.start_times, completed.end_times) == ([1e-6, 0.0], [2.0, LAST_TIME])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": pb.REPORT_KIND_FAILED},
        {"kind": 99},
        {"items": []},
        {"results_json": ["1"]},
        {"start_us": []},
        {"end_us": [1, 2, 3]},
        {"folders": ["one of two"]},
    ],
)
def test_a_group_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    group = pb.Completed(**({"kind": pb.REPORT_KIND_SUCCEEDED} | COLUMNS | wrong))
    with pytest.raises(MilepostError) as refused:
        runner.completed_from_proto(group)
    assert refused.value.code is Code.INVALID_ARGUMENT
