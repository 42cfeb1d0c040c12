"""The parts of a job as messages."""

from collections.abc import Iterable

from milepost.common.wire.enums import COMMANDS, FINDING_KINDS, JOB_STATES, OUTCOMES
from milepost.common.wire.times import timestamp
from milepost.core.actions import Action
from milepost.core.findings import Finding
from milepost.core.model import Event, InputFile, LabelCount, Reason, Stop
from milepost.core.progress import Counts
from milepost.v1 import job_pb2 as pb


def reason(value: Reason | None) -> pb.Reason | None:
    return None if value is None else pb.Reason(code=value.code, message=value.message, remedy=value.remedy)


def stop(value: Stop | None) -> pb.Stop | None:
    if value is None:
        return None
    return pb.Stop(
        target=JOB_STATES[value.target],
        force=value.force,
        by=value.by,
        reason=value.reason.message,
        request_time=timestamp(value.time),
    )


def counts(value: Counts) -> pb.Counts:
    return pb.Counts(
        total=value.total,
        succeeded=value.succeeded,
        failed=value.failed,
        skipped=value.skipped,
        upstream=value.upstream,
        in_flight=value.in_flight,
        pending=value.pending,
        processed=value.processed,
        total_known=value.total_known,
    )


def outcomes(labels: Iterable[LabelCount]) -> list[pb.OutcomeCount]:
    return [pb.OutcomeCount(outcome=OUTCOMES[entry.outcome], label=entry.label, count=entry.count) for entry in labels]


def action(value: Action) -> pb.Action:
    return pb.Action(
        command=COMMANDS[value.command],
        allowed=value.allowed,
        recommended=value.recommended,
        effect=value.effect,
        refusal=reason(value.refusal),
    )


def finding(value: Finding) -> pb.Finding:
    return pb.Finding(kind=FINDING_KINDS[value.kind], reason=reason(value.reason), since_time=timestamp(value.since))


def input_info(value: InputFile | None) -> pb.InputInfo | None:
    return None if value is None else pb.InputInfo(name=value.name, size_bytes=value.size, digest=value.digest)


def event(value: Event) -> pb.Event:
    return pb.Event(
        id=value.id,
        job_id=value.job_id,
        kind=value.kind,
        event_time=timestamp(value.time),
        by=value.by,
        client=value.client,
        from_state=JOB_STATES[value.from_state] if value.from_state else pb.JOB_STATE_UNSPECIFIED,
        to_state=JOB_STATES[value.to_state] if value.to_state else pb.JOB_STATE_UNSPECIFIED,
        message=value.message,
        revision=value.revision,
    )
