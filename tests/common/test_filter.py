"""What filters say, and what they refuse with which words."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.common.filter import EVERYTHING, FilterSubject, Node, matches, parse, select
from milepost.core.errors import Code, MilepostError
from milepost.core.model import FindingKind, JobState

NOW = 1_800_000_000.0
JOB = FilterSubject(
    id="j-abcdefgh",
    name="Nightly creators",
    state=JobState.FAILED,
    pipeline="creators",
    queue="default",
    labels={"team": "x", "note": "Say 50%_"},
    create_time=NOW - 7200,
    activity_time=NOW - 60,
    priority=-3,
    total=313,
    succeeded=200,
    failed=11,
    skipped=17,
    findings=frozenset({FindingKind.AT_RISK}),
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nightly",
        "'Nightly creators'",
        'state = FAILED AND label.team = "x" AND failed > 0',
        "state:failed",
        "finding = at_risk",
        'finding:"at risk"',
        "finding != stuck",
        "state != PAUSED",
        "-state:PAUSED",
        "NOT state = PAUSED",
        "nightly failed >= 11 processed = 228",
        "state = PAUSED OR state = FAILED",
        "state = FAILED AND nowhere OR creators",  # OR binds tighter
        "(state = PAUSED AND nowhere) OR creators",
        "label:team",
        "label.note:50%_",
        "label.missing != 1",
        "age > 1h age < 1d idle < 1.5m",
        "create_time > 2020-01-31",
        "create_time < 2060-01-31T08:00:00Z",
        "priority = -3",
        "id = j-abcdefgh",
        "queue:DEF",
    ],
)
def test_matches(text: str) -> None:
    assert matches(parse(text), JOB, NOW)
    if text:
        assert not matches(parse(f"NOT ({text})"), JOB, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "weekly",
        "queue = DEFAULT",
        "label:other",
        "label.team = y",
        "label.missing = 1",
        "label.missing:1",
        "label.note:50x",
        "failed > 11",
        "age < 1h",
        "state = FAILED AND nowhere",
        "finding = stuck",
        "finding != at_risk",
    ],
)
def test_does_not_match(text: str) -> None:
    assert not matches(parse(text), JOB, NOW)


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("colour = red", 1, "Fields:"),
        ("state = BROKEN", 9, "States:"),
        ("finding = bored", 11, "Findings: STUCK, SLOW, AT_RISK."),
        ("finding > stuck", 9, "Possible: = != :"),
        ("failed : 3", 8, "Possible:"),
        ("name < x", 6, "Possible:"),
        ("failed > few", 10, "whole number"),
        ("age < 5", 7, "90s"),
        ("create_time > soon", 15, "2026-01-31T08:00:00Z"),
        ("(nightly", 9, "parenthesis"),
        ("nightly)", 8, "not expected"),
        ('"nightly', 1, "quote"),
        ("nightly OR", 11, "missing"),
        ("name =", 7, "missing"),
        ("= x", 1, "missing"),
        ('"name" = x', 1, "quotes"),
        ("-" * 21 + "x", 22, "nested"),
        ("(" * 30 + "x" + ")" * 30, 22, "nested"),
        ("x " * 101, 201, "terms"),
        ("x" * 2001, 2001, "characters"),
        ("a\x00b", 1, "control"),
        ("\udcff", 1, "control"),
    ],
)
def test_refusals_tell_where_and_what(text: str, column: int, told: str) -> None:
    with pytest.raises(MilepostError) as caught:
        parse(text)
    assert caught.value.code is Code.INVALID_FILTER
    assert caught.value.metadata["column"] == str(column)
    assert told in str(caught.value)


def test_a_value_is_never_part_of_an_expression() -> None:
    for text in ("'] or True or ['", "v0", '__import__("os")', "\\n", "{values}"):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        assert select(parse(f'name = "{quoted}" OR name:"{quoted}"'), [JOB], NOW) == []


def test_nothing_asks_for_everything() -> None:
    assert parse("  ") == EVERYTHING


class RefusedError(Exception):
    pass


def read(text: str) -> Node:
    try:
        return parse(text)
    except MilepostError as error:
        raise (RefusedError if error.code is Code.INVALID_FILTER else error) from error


@given(st.text(alphabet="ab ()\"'=!<>:-.\\\n5%ANDORTé", max_size=60) | st.text(max_size=30))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    with contextlib.suppress(RefusedError):
        matches(read(text), JOB, NOW)
