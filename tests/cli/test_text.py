"""Words and JSON for people and scripts, without a daemon."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from milepost.cli.describe import command_line
from milepost.cli.display import Look, look_at, progress_line, worth_a_line
from milepost.cli.documents import document, line
from milepost.cli.exit_codes import EXIT_OF, Exit, worst
from milepost.cli.follow import exit_of, in_flight_words, next_steps
from milepost.cli.items import csv_row, result_document
from milepost.cli.overview import advice
from milepost.cli.text import PLAIN, Cell, Paint, below, state_cell, table, table_with_notes
from milepost.common.text import safe, seconds_words, width
from milepost.common.words import counts_words, finding_words, outcomes_words, processed_words, ran_words
from milepost.core.errors import Code
from milepost.v1 import job_pb2


def job(state: str, failed: int = 0, processed: int = 0, percent: float = 0.0, **more: Any) -> job_pb2.Job:
    return job_pb2.Job(
        id="j-abcdefgh",
        state=job_pb2.JobState.Value(f"JOB_STATE_{state}"),
        counts=job_pb2.Counts(total=313, total_known=True, failed=failed, processed=processed),
        progress=job_pb2.Progress(percent=percent),
        **more,
    )


def test_control_characters_are_escaped() -> None:
    assert safe("a\x1b[31mb\n\u202ec") == "a\\x1b[31mb\\n\\u202ec"
    assert safe("Zoë 大 [red]") == "Zoë 大 [red]"
    assert safe("a\tb", keep="\t") == "a\tb"


@given(st.text())
def test_nothing_that_moves_the_cursor_gets_through(text: str) -> None:
    shown = safe(text)
    assert all(letter.isprintable() or letter.isspace() for letter in shown)
    assert not set(shown) & {"\x1b", "\n", "\r", "\t", "\u2028", "\u202e", "\x9b"}
    shown.encode()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (60, "1m"),
        (92, "1m 32s"),
        (720, "12m"),
        (12_000, "3h 20m"),
        (86_400, "1d"),
        (-5, "0s"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert seconds_words(seconds) == words


def test_counts() -> None:
    counts = job_pb2.Counts(total=313, total_known=True, processed=228, failed=11)
    assert counts_words(counts) == "228 of 313 processed, 11 failed"
    assert processed_words(counts) == "228 of 313, 11 failed"
    assert counts_words(job_pb2.Counts(total=10, processed=3)) == "3 of 10+ processed"
    assert counts_words(job_pb2.Counts()) == "nothing processed yet"
    counts = job_pb2.Counts(total=10, upstream=4, total_known=True, processed=6)
    assert counts_words(counts) == "6 of 6 processed"


def test_how_long_it_ran_leaves_out_when_it_stood() -> None:
    paused = job("PAUSED")
    assert ran_words(paused, 1000.0) == ""
    paused.start_time.FromSeconds(1000)
    paused.progress.elapsed.FromSeconds(60)
    assert ran_words(paused, 1061.0) == "1m"
    assert ran_words(paused, 1000.0 + 3600) == "1m of 1h"
    paused.end_time.FromSeconds(1120)
    assert ran_words(paused, 9999.0) == "1m of 2m"


def test_outcomes() -> None:
    outcomes = [
        job_pb2.OutcomeCount(outcome=job_pb2.OUTCOME_SUCCEEDED, label="added", count=200),
        job_pb2.OutcomeCount(outcome=job_pb2.OUTCOME_SKIPPED, label="filtered", count=2),
        job_pb2.OutcomeCount(outcome=job_pb2.OUTCOME_FAILED, count=11),
    ]
    assert outcomes_words(outcomes) == "200 added, 2 skipped (filtered), 11 failed"


def test_tables_align_and_fit() -> None:
    rows: list[list[Cell | str]] = [["大", Cell("x", "red")], ["a", "long " * 20]]
    lines = table(["A", "B"], rows, Paint(on=False), 30).splitlines()
    assert lines[1] == "大  x"
    assert lines[2].startswith("a   long")
    assert all(width(line) <= 30 for line in lines)
    assert "\x1b[31mx\x1b[0m" in table(["A", "B"], rows, Paint(on=True), None)


def test_what_does_not_fit_is_cut_where_there_is_most_of_it() -> None:
    rows = [["j-abcdefgh", "! RUNNING, stuck 12m", "10000 of 10000, 1000 failed", "3h 20m", "default", "x" * 40]]
    [_, line] = table(["ID", "STATE", "PROCESSED", "AGE", "QUEUE", "NAME"], rows, PLAIN, 80).splitlines()
    assert width(line) <= 80
    assert line.startswith("j-abcdefgh  ! RUNNING, stuck 12m  ")
    assert line.endswith("3h 20m  default  xxxxxxx…")


def test_a_note_stays_whole_beside_its_row_or_below_it() -> None:
    heads, rows, notes = ["ID", "DO"], [["j-1"], ["j-2"]], ["milepost resume j-1", ""]
    assert table_with_notes(heads, rows, notes, PLAIN, 80).splitlines()[1] == "j-1  milepost resume j-1"
    assert table_with_notes(heads, rows, notes, PLAIN, 20).splitlines() == [
        "ID",
        "j-1",
        "     milepost resume",
        "     j-1",
        "j-2",
    ]


def test_what_stands_below_a_line_is_broken_at_blanks_only() -> None:
    assert below("milepost resume j-abcdefgh", 80) == "     milepost resume j-abcdefgh"
    path = "--state-dir=/a-rather-long/path"
    assert below(f"milepost {path} resume", 20).splitlines() == ["     milepost", f"     {path}", "     resume"]


def test_a_completed_job_with_failures_looks_different() -> None:
    assert state_cell(job("COMPLETED")) == Cell("✓ COMPLETED", "green")
    assert state_cell(job("COMPLETED", failed=1)) == Cell("△ COMPLETED", "yellow")
    assert advice(job("COMPLETED", failed=1)) == "milepost retry j-abcdefgh"


def test_a_job_that_is_stuck_looks_different_and_needs_someone() -> None:
    stuck = job("RUNNING", findings=[job_pb2.Finding(kind=job_pb2.FINDING_KIND_STUCK)])
    stuck.findings[0].since_time.FromSeconds(1000)
    assert state_cell(stuck) == Cell("! RUNNING, stuck", "yellow")
    assert state_cell(stuck, 1125.0) == Cell("! RUNNING, stuck 2m 5s", "yellow")
    assert advice(stuck) == "milepost show j-abcdefgh"
    at_risk = job("RUNNING", findings=[job_pb2.Finding(kind=job_pb2.FINDING_KIND_AT_RISK)])
    assert state_cell(at_risk).text == "▶ RUNNING"
    assert finding_words(at_risk.findings[0]) == "at risk"


@pytest.mark.parametrize("state", list(job_pb2.JobState.keys())[1:])
def test_every_state_has_a_word(state: str) -> None:
    cell = state_cell(job(state.removeprefix("JOB_STATE_")))
    assert cell.text.split()[1] == state.removeprefix("JOB_STATE_")
    assert cell.colour


@pytest.mark.parametrize("command", list(job_pb2.Command.values())[1:])
def test_every_command_has_a_command_line(command: "job_pb2.Command.ValueType") -> None:
    assert command_line(job_pb2.Action(command=command), "j-1").startswith("milepost ")


def test_a_line_whenever_something_meaningful_changed() -> None:
    at = look_at(job("RUNNING", processed=10, percent=3), 100.0)
    assert worth_a_line(None, at)
    assert not worth_a_line(at, look_at(job("RUNNING", processed=20, percent=6), 110.0))
    assert worth_a_line(at, look_at(job("RUNNING", processed=40, percent=12), 110.0))
    assert not worth_a_line(at, look_at(job("RUNNING", processed=40, percent=12), 100.5))
    assert worth_a_line(at, look_at(job("PAUSING", processed=10, percent=3), 100.1))
    assert worth_a_line(at, look_at(job("RUNNING", processed=11, percent=3), 160.0))
    assert not worth_a_line(at, look_at(job("RUNNING", processed=10, percent=3), 999.0))
    assert worth_a_line(at, Look("RUNNING", 0, 10, ("STUCK",), 100.1))


def test_a_progress_line() -> None:
    running = job("RUNNING", failed=11, processed=228, percent=72.8)
    running.progress.rate = 4.06
    running.progress.eta.FromSeconds(21)
    assert progress_line(running) == "RUNNING  228 of 313 processed, 11 failed, 73 %, 4.1/s, 21s left"


def test_what_a_pause_waits_for() -> None:
    pausing = job("PAUSING", in_flight=[job_pb2.InFlightTask(step="fetch", item_key=f"k{n}") for n in range(16)])
    words = in_flight_words(pausing)
    assert words.startswith("16 tasks are still in flight (fetch k0, fetch k1, fetch k2, …)")
    assert "milepost resume j-abcdefgh" in words


@pytest.mark.parametrize(
    ("settled", "code"),
    [
        (job("COMPLETED"), Exit.DONE),
        (job("COMPLETED", failed=1), Exit.COMPLETED_WITH_FAILURES),
        (job("FAILED"), Exit.JOB_FAILED),
        (job("CANCELLED"), Exit.JOB_FAILED),
        (job("PAUSED"), Exit.JOB_FAILED),
        (job("WAITING"), Exit.JOB_FAILED),
    ],
)
def test_exit_status_of_a_settled_job(settled: job_pb2.Job, code: Exit) -> None:
    assert exit_of(settled) is code
    assert all(step.startswith("milepost ") for step in next_steps(settled))


def test_every_error_has_an_exit_status() -> None:
    assert set(EXIT_OF) == set(Code)
    assert Exit.DONE not in EXIT_OF.values()


def test_the_worst_of_several() -> None:
    assert worst([Exit.DONE, Exit.NOT_ALLOWED, Exit.COMPLETED_WITH_FAILURES]) is Exit.NOT_ALLOWED
    assert worst([Exit.DONE, Exit.COMPLETED_WITH_FAILURES]) is Exit.COMPLETED_WITH_FAILURES
    assert worst([]) is Exit.DONE


def test_a_job_document_has_every_field_in_the_words_of_the_proto() -> None:
    full = job(
        "PAUSED",
        labels={"team": "x"},
        revision=2**40,
        create_time=Timestamp(seconds=1_800_000_000, nanos=250_000_000),
        actions=[job_pb2.Action(command=job_pb2.COMMAND_RESUME, allowed=True)],
        steps=[job_pb2.Step(name="fetch", counts=job_pb2.Counts(total=3))],
    )
    full.progress.elapsed.CopyFrom(Duration(seconds=3, nanos=500_000_000))
    found = json.loads(line(document(full)))
    assert set(found) == {field.name for field in job_pb2.Job.DESCRIPTOR.fields}
    assert (found["state"], found["labels"], found["revision"]) == ("PAUSED", {"team": "x"}, 2**40)
    assert found["create_time"] == "2027-01-15T08:00:00.250000Z"
    assert found["progress"]["elapsed"] == "3.5s"
    assert found["actions"][0]["command"] == "RESUME"
    assert found["steps"][0]["counts"]["total"] == 3
    assert (found["reason"], found["stop"], found["findings"], found["name"]) == (None, None, [], "")


def test_an_enum_value_of_a_newer_daemon_is_shown_as_it_is() -> None:
    assert document(job_pb2.Job(state=99))["state"] == "99"  # type: ignore[arg-type]


def test_results() -> None:
    item = job_pb2.Item(
        key="ann",
        state=job_pb2.ITEM_STATE_SUCCEEDED,
        label="added",
        payload_json='{"handle": "ann"}',
        tasks=[
            job_pb2.TaskRecord(step="fetch", result_json='{"n": 1}'),
            job_pb2.TaskRecord(step="name", result_json='"Ann"'),
        ],
    )
    assert result_document(item)["results"] == {"fetch": {"n": 1}, "name": "Ann"}
    expected = ["ann", "SUCCEEDED", "added", "", "", "", '{"handle": "ann"}', '{"n": 1}', "Ann", ""]
    assert csv_row(item, ["fetch", "name", "store"]) == expected
