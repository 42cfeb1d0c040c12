"""What is noticed about a running job."""

from milepost.core.findings import FindingKind, findings
from milepost.core.model import JobState
from tests.core.factories import job


def test_a_pause_that_waits_long_names_what_it_waits_for() -> None:
    pausing = job(JobState.PAUSING)  # since second 10
    tasks = ["fetch ada", "fetch bob", "fetch cyd", "fetch dee"]
    assert findings(pausing, tasks, 69.0, 60.0) == ()
    [late] = findings(pausing, tasks, 75.0, 60.0)
    assert (late.kind, late.since, late.reason.code) == (FindingKind.SLOW, 70.0, "PAUSE_WAITS")
    assert late.reason.message == "The pause has waited 65 s for fetch ada, fetch bob, fetch cyd and 1 more."
    assert late.reason.remedy.endswith("milepost pause j-aaaaaaaa --now.")


def test_only_a_pause_waits() -> None:
    assert findings(job(JobState.CANCELLING), [], 1000.0, 60.0) == ()
    assert findings(job(), [], 1000.0, 60.0) == ()
