"""What widgets read from documents: states, times, words. Protobuf is loaded with the first document, not before."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from milepost.common.text import seconds_words
from milepost.core.model import ItemState, Outcome

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from milepost.v1.job_pb2 import Event, Failure, Item, Job, Step, TaskRecord


def seconds_of(moment: "Timestamp | Duration") -> float:
    """Unix seconds of a time, or the length of a duration."""
    return moment.seconds + moment.nanos / 1e9


def clock(moment: "Timestamp", now: float) -> str:
    """Empty when the time is not set."""
    from milepost.common.words import clock_words

    return clock_words(moment, now) if moment.seconds else ""


def took(seconds: float) -> str:
    """As "840ms", "3.4s", "12m"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else seconds_words(seconds).replace(" ", "")


def item_state(item: "Item") -> ItemState:
    """A state of a newer daemon looks PENDING."""
    return _item_states().get(item.state, ItemState.PENDING)


def outcome(record: "TaskRecord") -> Outcome:
    return _outcomes().get(record.outcome, Outcome.SUCCEEDED)


def current_step(job: "Job") -> "Step | None":
    """The first with work in flight, else the first that has not ended or that failed as a whole; None: all is done."""
    left = [step for step in job.steps if not step.HasField("end_time") or step.counts.failed == step.counts.total > 0]
    return next((step for step in job.steps if step.counts.in_flight), left[0] if left else None)


def step_seconds(step: "Step") -> float | None:
    """From its first task to its last, or until now, without the pauses of the job; None before it has started."""
    return seconds_of(step.progress.elapsed) if step.progress.HasField("elapsed") else None


def stop_words(job: "Job") -> str:
    """What a stop that was asked for still waits for."""
    stop, names = job.stop, [f"{task.step} {task.item_key[:60]}".strip() for task in job.in_flight[:3]]
    reason = f" ({stop.reason})" if stop.reason else ""
    asked = f"Stopping, asked by {stop.by}{reason}"
    if stop.force:
        return f"{asked}: what is in flight is killed, and runs again when the job goes on."
    if not names:
        return f"{asked}."
    more = f" and {len(job.in_flight) - 3} more" if len(job.in_flight) > 3 else ""
    return f"{asked}: {', '.join(names)}{more} end first."


def failure_line(failure: "Failure", letters: int = 500) -> str:
    """Class and message on one line, still to be made safe."""
    message = " ".join(failure.message[:letters].split())
    return f"{failure.error_class}: {message}" if failure.error_class else message


def event_line(event: "Event") -> str:
    """What happened, as "RUNNING → PAUSED" or the kind of event."""
    from milepost.v1.job_pb2 import JobState

    if not event.to_state:
        return event.kind
    to = JobState.Name(event.to_state).removeprefix("JOB_STATE_")
    before = JobState.Name(event.from_state).removeprefix("JOB_STATE_") if event.from_state else ""
    return f"{before} → {to}" if before else to


@cache
def _item_states() -> Mapping[int, ItemState]:
    from milepost.common.wire.enums import ITEM_STATES

    return {number: state for state, number in ITEM_STATES.items()}


@cache
def _outcomes() -> Mapping[int, Outcome]:
    from milepost.common.wire.enums import OUTCOMES

    return {number: found for found, number in OUTCOMES.items()}
