"""The parts of a job as messages."""

from milepost.common.wire.enums import COMMANDS, FINDING_KINDS, JOB_STATES, OUTCOMES
from milepost.common.wire.times import timestamp
from milepost.core.actions import Offer
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


def write_counts(message: pb.Counts, value: Counts) -> None:
    """Into a message that is there: to make one takes longer."""
    total, total_known, succeeded, failed, skipped, upstream, in_flight, pending = value
    message.total = total
    message.succeeded = succeeded
    message.failed = failed
    message.skipped = skipped
    message.upstream = upstream
    message.in_flight = in_flight
    message.pending = pending
    message.processed = succeeded + failed + skipped
    message.total_known = total_known


def outcome(value: LabelCount) -> pb.OutcomeCount:
    return pb.OutcomeCount(outcome=OUTCOMES[value.outcome], label=value.label, count=value.count)


def action(offer: Offer, effect: str) -> pb.Action:
    """`effect`: in words, when it is allowed."""
    refusal = reason(offer.effect) if isinstance(offer.effect, Reason) else None
    return pb.Action(
        command=COMMANDS[offer.command],
        allowed=refusal is None,
        recommended=offer.recommended,
        effect=effect,
        refusal=refusal,
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
