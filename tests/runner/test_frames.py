"""What a worker sends is read with care: any program may be one, and it may send anything."""

import json

import pytest

from milepost.common.wire.times import LAST_TIME
from milepost.core.retry import LONGEST_RETRY_AFTER
from milepost.runner import frames
from milepost.runner.frames import FrameError, Result
from milepost.v1 import runner_service_pb2 as pb

DEEP = b"[" * 100_000


def done(*rows: str) -> list[Result]:
    line = '{"type":"done","results":[' + ",".join(rows) + "]}"
    frame = frames.decode(line.encode())
    assert isinstance(frame, frames.Done)
    return [frames.result(row) for row in frame.results]


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


@pytest.mark.parametrize(
    "said",
    [
        b'{"type":"pong","n":-1}',
        b'{"type":"pong","n":9223372036854775808}',
        b'{"type":"pong"}',
        b'{"type":"items","id":1,"enumeration":1,"first":9223372036854775807,"children":[["key","{}"]]}',
        b'{"type":"items","id":1,"enumeration":1,"first":0,"children":[["key"]]}',
        b'{"type":"items","id":1,"enumeration":1,"first":0,"children":[["key",{}]]}',
        b'{"type":"save","request":1,"id":1,"state":{}}',
        b'{"type":"sing"}',
        b'{"n":1}',
        b"[]",
    ],
)
def test_what_is_no_frame_of_the_protocol_is_a_breach(said: bytes) -> None:
    with pytest.raises(FrameError, match="malformed"):
        frames.decode(said)


def test_what_cannot_be_told_on_of_a_text_becomes_a_question_mark() -> None:
    escaped, pair, raw = (
        frames.decode(b'{"type":"save","request":1,"id":1,"state":"a' + text + b'b"}')
        for text in (b"\\udc80", b"\\ud83d\\ude00", b"\x80")
    )
    assert isinstance(escaped, frames.Save)
    assert isinstance(pair, frames.Save)
    assert isinstance(raw, frames.Save)
    assert (escaped.state, pair.state, raw.state) == ("a?b", "a\U0001f600b", "a\N{REPLACEMENT CHARACTER}b")


def completed(label: str = "", result: str = "", children: list[list[str]] | None = None) -> Result:
    (found,) = done(json.dumps([1, "SUCCEEDED", label, result, 0, 0, "items/1", None, children]))
    return found


@pytest.mark.parametrize(
    ("label", "result", "children"),
    [
        ("x" * 64, "1" * frames.MAX_JSON, None),
        ("", '"' + "ä" * (frames.MAX_JSON // 2 - 1) + '"', [["k" * 1000, "{}"]]),
        ("", "", [["", "{}"]] * 10_000),
    ],
)
def test_what_keeps_to_the_limits_is_kept(label: str, result: str, children: list[list[str]] | None) -> None:
    found = completed(label, result, children)
    assert (found.kind, found.label, found.result_json) == (pb.REPORT_KIND_SUCCEEDED, label, result)
    assert len(found.children or ()) == len(children or ())


@pytest.mark.parametrize(
    ("label", "result", "children", "message"),
    [
        ("x" * 65, "", None, "label"),
        ("a\nb", "", None, "label"),
        ("", '"a\0b"', None, "NUL"),
        ("", "1" * (frames.MAX_JSON + 1), None, "65,536 bytes"),
        ("", '"' + "ä" * (frames.MAX_JSON // 2) + '"', None, "65,536 bytes"),
        ("", "", [["", "{}"]] * 10_001, "10,000 children"),
        ("", "", [["", "1" * 65_000]] * 60, "characters"),
        ("", "", [["k" * 1001, "{}"]], "key"),
        ("", "", [["", "1" * (frames.MAX_JSON + 1)]], "payload"),
    ],
)
def test_what_does_not_is_a_failed_attempt(
    label: str, result: str, children: list[list[str]] | None, message: str
) -> None:
    found = completed(label, result, children)
    assert (found.kind, found.folder) == (pb.REPORT_KIND_FAILED, "items/1")
    assert found.failure is not None
    is_invalid = bool(label) or "\0" in result
    assert found.failure.error_class == ("invalid_result" if is_invalid else "result_too_large")
    assert message in found.failure.message
    assert (found.label, found.result_json, found.children) == ("", "", None)


def test_the_texts_of_a_failure_are_cut() -> None:
    texts = dict.fromkeys(("error_class", "rule", "message", "traceback", "remedy"), "x" * 100000)
    (found,) = done(json.dumps([1, "FAILED", "", "", 0, 0, "", texts]))
    assert found.failure is not None
    assert found.failure.ByteSize() < 13_000
    assert len(found.failure.message) == 2000


def test_a_chunk_or_a_state_beyond_the_limits_is_a_breach() -> None:
    for children in ([["", "{}"]] * 501, [["", "1" * 60_000]] * 20, [["", "1" * 70_000]], [["k" * 1001, "{}"]]):
        with pytest.raises(FrameError):
            frames.children(
                frames.Items(id=1, enumeration=1, first=0, children=[(key, text) for key, text in children])
            )
    with pytest.raises(FrameError, match="65,536"):
        frames.saved_state(frames.Save(request=1, id=1, state="1" * (frames.MAX_JSON + 1)))
