"""What a worker sends is read with care: any program may be one, and it may send anything."""

import pytest

from milepost.common.wire.times import LAST_TIME
from milepost.core.retry import LONGEST_RETRY_AFTER
from milepost.runner import frames
from milepost.runner.frames import FrameError, Result

DEEP = b"[" * 100_000


def done(*rows: str) -> list[Result]:
    line = '{"type":"done","results":[' + ",".join(rows) + "]}"
    return frames.results(frames.decode(line.encode()))


def failed(retry_after: str) -> Result:
    (result,) = done(f'[1,"FAILED","","",0,0,"",{{"error_class":"network","retry_after":{retry_after}}}]')
    return result


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("17.5", 17.5),
        ("null", 0),
        ("-5", 0),
        ("NaN", 0),
        ("Infinity", LONGEST_RETRY_AFTER),
        ("1e300", LONGEST_RETRY_AFTER),
        ("1" + 400 * "0", LONGEST_RETRY_AFTER),
    ],
)
def test_a_retry_after_is_at_most_a_week(said: str, counts: float) -> None:
    failure = failed(said).failure
    assert failure is not None
    assert failure.retry_after_seconds == counts


@pytest.mark.parametrize("said", ["Infinity", "9e300", "9" * 30])
def test_a_time_is_one_that_can_be_told_on(said: str) -> None:
    (result,) = done(f'[1,"SUCCEEDED","","",-{said},{said},"",null]')
    assert (result.start_us, result.end_us) == (0, LAST_TIME * 1_000_000)


def test_a_time_that_is_no_number_is_none() -> None:
    (result,) = done('[1,"SUCCEEDED","","",NaN,7,"",null]')
    assert (result.start_us, result.end_us) == (0, 7)


@pytest.mark.parametrize(
    "row",
    ['["x","SUCCEEDED","","",0,0,"",null]', '[Infinity,"SUCCEEDED","","",0,0,"",null]', "5", "[]", '[1,"DONE"]'],
)
def test_what_is_no_result_is_a_breach(row: str) -> None:
    with pytest.raises(FrameError, match="malformed"):
        done(row)


@pytest.mark.parametrize(
    "line",
    [DEEP, b'{"type":"done","x":' + DEEP, b'{"type":"\\ud800","x":' + 900 * b"[" + 900 * b"]" + b"}"],
    ids=["cut off", "in a frame", "with surrogates"],
)
def test_what_is_nested_too_deeply_is_a_breach(line: bytes) -> None:
    with pytest.raises(FrameError):
        frames.decode(line)
