"""What a worker sends is read with care: any program may be one, and it may send anything."""

import json
from collections.abc import Sequence

import pytest

from milepost.common.wire.times import LAST_TIME
from milepost.core.retry import LONGEST_RETRY_AFTER
from milepost.runner import frames
from milepost.runner.frames import FrameError, Result
from milepost.v1 import runner_service_pb2 as pb

DEEP = b"[" * 100_000


def done(*rows: str) -> list[Result]:
    """Of a frame with these rows, none of which has a text."""
    return ended(",".join(rows), len(rows) * frames.SEPARATOR)


def ended(rows: str, texts: str) -> list[Result]:
    frame = frames.decode(f'{{"type":"ended","tasks":[{rows}]}}{texts}\n'.encode())
    assert isinstance(frame, frames.Ended)
    return frames.results(frame)


def failed(retry_after: str) -> Result:
    (result,) = done(f'[1,"FAILED","",0,0,"",{{"error_class":"network","retry_after":{retry_after}}},null]')
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
    (result,) = done(f'[1,"SUCCEEDED","",-{said},{said},"",null,null]')
    assert (result.start_us, result.end_us) == (0, LAST_TIME * 1_000_000)


def test_a_time_that_is_no_number_is_none() -> None:
    (result,) = done('[1,"SUCCEEDED","",NaN,7,"",null,null]')
    assert (result.start_us, result.end_us) == (0, 7)


@pytest.mark.parametrize(
    "row",
    ['["x","SUCCEEDED","",0,0,"",null,null]', '[Infinity,"SUCCEEDED","",0,0,"",null,null]', "5", "[]", '[1,"DONE"]'],
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
        b'{"type":"items","id":1,"enumeration":1,"first":9223372036854775807,"keys":["key"]}\x1e{}',
        b'{"type":"items","id":1,"enumeration":1,"first":0,"keys":[["key"]]}\x1e{}',
        b'{"type":"items","id":1,"enumeration":1,"first":0}\x1e{}',
        b'{"type":"save","request":1,"id":1,"state":{}}',
        b'{"type":"sing"}',
        b'{"n":1}',
        b"[]",
    ],
)
def test_what_is_no_frame_of_the_protocol_is_a_breach(said: bytes) -> None:
    with pytest.raises(FrameError, match="malformed"):
        frames.decode(said + b"\n")


def test_what_cannot_be_told_on_of_a_text_becomes_a_question_mark() -> None:
    escaped, pair, raw = (
        frames.decode(b'{"type":"save","request":1,"id":1,"state":"a' + text + b'b"}\n')
        for text in (b"\\udc80", b"\\ud83d\\ude00", b"\x80")
    )
    assert isinstance(escaped, frames.Save)
    assert isinstance(pair, frames.Save)
    assert isinstance(raw, frames.Save)
    assert (escaped.state, pair.state, raw.state) == ("a?b", "a\U0001f600b", "a\N{REPLACEMENT CHARACTER}b")


def completed(label: str = "", result: str = "", children: list[list[str]] | None = None) -> Result:
    keys = None if children is None else [key for key, _ in children]
    row = json.dumps([1, "SUCCEEDED", label, 0, 0, "items/1", None, keys])
    texts = [result] if children is None else [payload for _, payload in children]
    (found,) = ended(row, "".join(map("\x1e{}".format, texts)))
    return found


@pytest.mark.parametrize(
    ("label", "result", "children"),
    [
        ("x" * 64, "1" * frames.MAX_JSON, None),
        ("", '"' + "ä" * (frames.MAX_JSON // 2 - 1) + '"', None),
        ("", "", [["k" * 1000, "{}"]]),
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
        ("a\0b", "", None, "label"),
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
    (found,) = done(json.dumps([1, "FAILED", "", 0, 0, "", texts, None]))
    assert found.failure is not None
    assert found.failure.ByteSize() < 13_000
    assert len(found.failure.message) == 2000


def test_a_chunk_or_a_state_beyond_the_limits_is_a_breach() -> None:
    for children in ([["", "{}"]] * 501, [["", "1" * 60_000]] * 20, [["", "1" * 70_000]], [["k" * 1001, "{}"]]):
        keys, payloads = [key for key, _ in children], [payload for _, payload in children]
        with pytest.raises(FrameError):
            frames.children(frames.Items(id=1, enumeration=1, first=0, keys=keys, texts=payloads))
    with pytest.raises(FrameError, match="65,536"):
        frames.saved_state(frames.Save(request=1, id=1, state="1" * (frames.MAX_JSON + 1)))


def columns(texts: list[str], label: str = "", end_us: Sequence[float] = (2, 2, 2)) -> list[Result]:
    """Of a frame of three tasks."""
    said = {"kind": "SUCCEEDED", "label": label, "ids": [1, 2, 3], "start_us": [1, 1, 1], "end_us": end_us}
    line = frames.SEPARATOR.join([json.dumps({"type": "done", **said}), *texts]) + "\n"
    frame = frames.decode(line.encode())
    assert isinstance(frame, frames.Done)
    return frames.results(frame)


def test_what_ended_alike_comes_in_columns() -> None:
    found = columns(['{"n":1}', "", '"\\u001e"'], "new", end_us=[2, 3.5, -1])
    assert [(result.id, result.label, result.result_json) for result in found] == [
        (1, "new", '{"n":1}'),
        (2, "new", ""),
        (3, "new", '"\\u001e"'),
    ]
    assert [(result.start_us, result.end_us) for result in found] == [(1, 2), (1, 3), (1, 0)]


def test_of_what_ended_alike_only_what_cannot_be_kept_fails() -> None:
    failed, kept = pb.REPORT_KIND_FAILED, pb.REPORT_KIND_SUCCEEDED
    assert [result.kind for result in columns(["1", "1" * (frames.MAX_JSON + 1), '"\0"'])] == [kept, failed, failed]
    assert [result.kind for result in columns(["1"] * 3, label="a\nb")] == [failed] * 3


def test_columns_of_different_lengths_are_a_breach() -> None:
    for count, end_us in ((2, (2, 2, 2)), (4, (2, 2, 2)), (3, (2, 2))):
        with pytest.raises(FrameError, match="differ in length"):
            columns(["1"] * count, end_us=end_us)
    row = '[1,"SUCCEEDED","",0,0,"",null,["one","two"]]'
    for texts in ("\x1e{}", "\x1e{}\x1e{}\x1e{}"):
        with pytest.raises(FrameError, match="texts than"):
            ended(row, texts)
    with pytest.raises(FrameError, match="as many payloads as keys"):
        frames.children(frames.Items(id=1, enumeration=1, first=0, keys=["one"], texts=[]))
    with pytest.raises(FrameError, match="texts that it cannot have"):
        frames.decode(b'{"type":"pong","n":1}\x1e{}\n')


def test_a_payload_that_would_break_its_line_stays_one_text() -> None:
    line = frames.encode_tasks(frames.Tasks("fetch", "fetch", [1, 2], [1, 2], ["a", "b"], []), ['{"n":\n1}', "\x1e2"])
    assert line.count(b"\n") == 1
    document, *texts = line.decode().removesuffix("\n").split(frames.SEPARATOR)
    assert json.loads(document)["ids"] == [1, 2]
    assert [json.loads(text) for text in texts] == [{"n": 1}, 2]


def test_a_parameter_that_is_not_valid_unicode_reaches_the_worker() -> None:
    start = {"parameters": json.loads('{"name": "\\ud800"}')}
    assert json.loads(frames.encode(start)) == start
