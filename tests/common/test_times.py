"""Times on the wire: whatever a float holds becomes something that protobuf can hold, and text can show."""

import math

import pytest

from milepost.common.wire import runner
from milepost.common.wire.times import FIRST_TIME, LAST_TIME, duration, timestamp, unix_seconds
from milepost.core.retry import LONGEST_RETRY_AFTER
from milepost.v1 import runner_service_pb2 as pb


@pytest.mark.parametrize(
    ("seconds", "held"),
    [
        (1_700_000_000.25, 1_700_000_000.25),
        (-1.5, -1.5),
        (math.inf, LAST_TIME),
        (1e300, LAST_TIME),
        (-math.inf, FIRST_TIME),
        (math.nan, FIRST_TIME),
    ],
)
def test_a_timestamp_is_within_the_years_1_to_9999(seconds: float, held: float) -> None:
    moment = timestamp(seconds)
    assert moment is not None
    assert unix_seconds(moment) == held
    assert moment.ToJsonString()


@pytest.mark.parametrize(("seconds", "text"), [(1.5, "1.500s"), (-2.0, "0s"), (math.inf, "315576000000s")])
def test_a_duration_fits(seconds: float, text: str) -> None:
    length = duration(seconds)
    assert length is not None
    assert length.ToJsonString() == text


def test_none_stays_none() -> None:
    assert timestamp(None) is None
    assert duration(None) is None


def test_what_a_runner_says_is_bounded() -> None:
    failure = pb.TaskFailure(error_class="rate_limited", retry_after_seconds=math.inf)
    report = runner.report_from_proto(
        pb.Report(kind=pb.REPORT_KIND_FAILED, start_us=-(2**63), end_us=2**63 - 1, failure=failure)
    )
    assert (report.start_time, report.end_time) == (0.0, LAST_TIME)
    assert report.failure is not None
    assert report.failure.retry_after == LONGEST_RETRY_AFTER
    assert runner.failure_from_proto(pb.TaskFailure(retry_after_seconds=math.nan)).retry_after == 0.0
