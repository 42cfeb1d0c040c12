"""What is noticed about a running job, in words: hints, not states. Nothing is done about them here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from milepost.core.model import Job, JobState, Reason


class FindingKind(StrEnum):
    STUCK = "STUCK"
    SLOW = "SLOW"
    AT_RISK = "AT_RISK"


@dataclass(frozen=True)
class Finding:
    """`since`: Unix seconds."""

    kind: FindingKind
    reason: Reason
    since: float


def pause_is_late(job: Job, now: float, pause_timeout: float) -> bool:
    return job.state is JobState.PAUSING and job.stop is not None and now - job.stop.time >= pause_timeout


def findings(job: Job, in_flight: Sequence[str], now: float, pause_timeout: float) -> tuple[Finding, ...]:
    """`in_flight`: the oldest tasks that execute, as "step item"; `pause_timeout` in seconds."""
    if not pause_is_late(job, now, pause_timeout) or job.stop is None:
        return ()
    named = ", ".join(in_flight[:3]) + (f" and {len(in_flight) - 3} more" if len(in_flight) > 3 else "")
    waited = f"The pause has waited {now - job.stop.time:.0f} s for {named or 'its runner'}."
    remedy = f"Wait, or kill what is in flight, which runs again: milepost pause {job.id} --now."
    return (Finding(FindingKind.SLOW, Reason("PAUSE_WAITS", waited, remedy), job.stop.time + pause_timeout),)
