"""Which jobs need someone: the rule, and the same as a filter."""

from itertools import product

import pytest

from milepost.common.filter import FilterSubject, matches, parse
from milepost.core.attention import NEEDS_SOMEONE, Concern, concern
from milepost.core.model import ACTIVE_STATES, FindingKind, JobState


@pytest.mark.parametrize(
    ("state", "findings", "failed", "expected"),
    [
        (JobState.RUNNING, [FindingKind.STUCK], 0, Concern.STUCK),
        (JobState.PAUSING, [FindingKind.STUCK], 0, Concern.STUCK),
        (JobState.RUNNING, [FindingKind.SLOW], 11, None),
        (JobState.WAITING, [], 0, Concern.WAITING),
        (JobState.FAILED, [], 11, Concern.FAILED),
        (JobState.COMPLETED, [], 11, Concern.FAILED_ITEMS),
        (JobState.COMPLETED, [], 0, None),
        (JobState.PAUSED, [], 11, None),
        (JobState.CANCELLED, [], 11, None),
    ],
)
def test_what_does_not_get_on_or_lacks_something_needs_someone(
    state: JobState, findings: list[FindingKind], failed: int, expected: Concern | None
) -> None:
    assert concern(state, findings, failed) is expected


def test_the_filter_is_the_same_rule() -> None:
    node = parse(NEEDS_SOMEONE)
    for state, findings, failed in product(JobState, [frozenset[FindingKind](), {FindingKind.STUCK}], [0, 3]):
        seen = frozenset(findings if state in ACTIVE_STATES else ())  # only what runs has findings
        subject = FilterSubject(
            id="j-aaaaaaaa",
            name="",
            state=state,
            pipeline="",
            queue="",
            labels={},
            create_time=0.0,
            activity_time=0.0,
            priority=0,
            total=9,
            succeeded=0,
            failed=failed,
            skipped=0,
            findings=seen,
        )
        assert matches(node, subject, 0.0) == (concern(state, seen, failed) is not None)
