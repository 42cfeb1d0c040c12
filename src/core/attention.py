"""Which jobs need someone, and why: one rule for the command line, the screen and filters.

A job needs someone when it does not get on by itself, or ended without all that was asked of it, and nobody has decided
that. A paused or cancelled job stands still because someone wants it to.
"""

from collections.abc import Collection
from enum import StrEnum

from milepost.core.model import ACTIVE_STATES, FindingKind, JobState


class Concern(StrEnum):
    """Why a job needs someone; the most urgent first."""

    STUCK = "STUCK"
    WAITING = "WAITING"
    FAILED = "FAILED"
    FAILED_ITEMS = "FAILED_ITEMS"  # it is completed, but for items that failed


#: The same as a filter.
NEEDS_SOMEONE = "finding = stuck OR state = WAITING OR state = FAILED OR (state = COMPLETED AND failed > 0)"


def concern(state: JobState, findings: Collection[FindingKind], failed: int) -> Concern | None:
    """`failed`: how many of its items did. None for a job that needs nobody."""
    if state in ACTIVE_STATES:
        return Concern.STUCK if FindingKind.STUCK in findings else None
    if state is JobState.WAITING:
        return Concern.WAITING
    if state is JobState.FAILED:
        return Concern.FAILED
    return Concern.FAILED_ITEMS if state is JobState.COMPLETED and failed else None
