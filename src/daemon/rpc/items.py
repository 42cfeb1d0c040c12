"""Items, their records and failed attempts as messages."""

from milepost.common.wire.enums import ITEM_STATES, OUTCOMES
from milepost.common.wire.times import timestamp
from milepost.core.definition import PipelineDefinition
from milepost.core.model import Failure
from milepost.daemon.store.items import Attempt, Item, Record
from milepost.v1 import job_pb2 as pb


def item_message(item: Item, definition: PipelineDefinition) -> pb.Item:
    return pb.Item(
        id=item.id,
        key=item.key,
        state=ITEM_STATES[item.state],
        step=definition.steps[item.step].name,
        label=item.label,
        attempt=item.attempts_used,
        next_attempt_time=timestamp(item.due),
        payload_json=item.payload_json,
        failure=_failure(item.failure),
        tasks=[_record(record, definition) for record in item.records],
        parent_id=item.parent or 0,
    )


def attempt_message(attempt: Attempt, definition: PipelineDefinition) -> pb.Attempt:
    return pb.Attempt(
        item_id=attempt.item,
        item_key=attempt.key,
        step=definition.steps[attempt.step].name,
        attempt=attempt.number,
        failure=_failure(attempt.failure),
        start_time=timestamp(attempt.start_time),
        end_time=timestamp(attempt.end_time),
        run=attempt.run,
    )


def _record(record: Record, definition: PipelineDefinition) -> pb.TaskRecord:
    return pb.TaskRecord(
        step=definition.steps[record.step].name,
        outcome=OUTCOMES[record.outcome],
        label=record.label,
        result_json=record.result_json,
        attempt=record.attempt,
        start_time=timestamp(record.start_time),
        end_time=timestamp(record.end_time),
        folder=record.folder,
        failure=_failure(record.failure),
    )


def _failure(failure: Failure | None) -> pb.Failure | None:
    if failure is None:
        return None
    return pb.Failure(
        error_class=failure.error_class,
        rule=failure.rule,
        message=failure.message,
        traceback=failure.traceback,
        remedy=failure.remedy,
    )
