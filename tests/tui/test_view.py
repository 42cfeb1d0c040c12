"""What is listed and in which order, for any jobs, filter and sort; and where cursor and marks stay."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.common.filter import matches, parse
from milepost.common.wire.enums import JOB_STATES
from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.tui.row_making import row_for
from milepost.tui.rows import JobRow
from milepost.tui.status import RANKS, Status
from milepost.tui.view import DESCENDING, JobView, Order, Sort
from milepost.v1 import job_pb2

NOW = 1_800_000_000
SOME = settings(max_examples=50, deadline=None)


@st.composite
def documents(draw: st.DrawFn) -> job_pb2.Job:
    small = st.integers(0, 3)
    job = job_pb2.Job(
        name=draw(st.sampled_from(["Nightly", "nightly eu", "import", "ÄRGER", ""])),
        state=JOB_STATES[draw(st.sampled_from(JobState))],
        pipeline=draw(st.sampled_from(["creators", "blog"])),
        labels=draw(st.dictionaries(st.sampled_from(["team", "note"]), st.sampled_from(["x", "y"]), max_size=2)),
        priority=draw(small),
        counts=job_pb2.Counts(total=draw(small), failed=draw(small), succeeded=draw(small)),
        progress=job_pb2.Progress(percent=draw(st.sampled_from([0.0, 50.0, 100.0])), rate=draw(small)),
    )
    job.create_time.seconds = NOW - draw(st.sampled_from([0, 59, 60, 7200]))
    job.activity_time.seconds = NOW - draw(st.sampled_from([0, 1]))
    if draw(st.booleans()):
        job.progress.eta.seconds = draw(small)
    return job


@st.composite
def rows(draw: st.DrawFn) -> dict[str, JobRow]:
    found = {}
    for number, job in enumerate(draw(st.lists(documents(), max_size=8))):
        job.id = f"j-{(number * 5) % 8}"
        found[job.id] = row_for(job)
    return found


TERMS = [
    "nightly",
    "import",
    "state = FAILED",
    "state:running",
    "failed > 0",
    "total <= 1",
    "label.team = x",
    "label:note",
    "age >= 1m",
    "idle < 1s",
    "priority != 2",
    "pipeline = blog",
    "id = j-5",
]
terms = st.builds("{}{}".format, st.sampled_from(["", "-"]), st.sampled_from(TERMS))
filters = st.builds(str.join, st.sampled_from([" AND ", " OR ", " "]), st.lists(terms, max_size=3))
statuses = st.frozensets(st.sampled_from(Status), max_size=3)


@SOME
@given(rows(), filters, statuses)
def test_lists_what_the_filter_and_the_statuses_choose(
    found: dict[str, JobRow], text: str, chosen: frozenset[Status]
) -> None:
    view = JobView()
    view.filter(text)
    view.statuses = chosen
    view.rebuild(found, NOW)
    node = parse(text)
    expected = {row.id for row in found.values() if matches(node, row, NOW) and (not chosen or row.status in chosen)}
    assert set(view.ids) == expected
    assert len(view.ids) == len(expected)
    assert view.narrows == bool(text or chosen)


def key_of(sort: Sort, row: JobRow) -> object:
    """Written down a second time, from the document."""
    job = row.job
    keys: dict[Sort, object] = {
        Sort.ATTENTION: (RANKS[row.status], -job.create_time.seconds),
        Sort.STATUS: RANKS[row.status],
        Sort.ID: job.id,
        Sort.NAME: "".join(letter.lower() if letter.isascii() else letter for letter in job.name),
        Sort.PERCENT: job.progress.percent,
        Sort.ITEMS: job.counts.total,
        Sort.RATE: job.progress.rate,
        Sort.ETA: job.progress.eta.seconds if job.progress.HasField("eta") else float("inf"),
        Sort.FAILED: job.counts.failed,
        Sort.ACTIVITY: job.activity_time.seconds,
    }
    return keys[sort]


@SOME
@given(rows(), st.sampled_from(Sort), st.booleans())
def test_sorts_by_every_column_both_ways(found: dict[str, JobRow], sort: Sort, reverse: bool) -> None:
    view = JobView()
    view.order = Order(sort, reverse)
    view.rebuild(found, NOW)
    by_hand = sorted(found.values(), key=lambda row: key_of(sort, row), reverse=reverse)  # type: ignore[arg-type,return-value] # comparable
    assert list(view.ids) == [row.id for row in by_hand]


def test_a_column_chosen_again_turns_round() -> None:
    order = Order()
    for sort in [sort for sort in Sort if sort is not Sort.ATTENTION]:
        order = order.chosen(sort)
        assert order == Order(sort, sort in DESCENDING)
        assert order.chosen(sort) == Order(sort, sort not in DESCENDING)


@SOME
@given(rows(), rows(), st.integers(0, 7), filters)
def test_the_cursor_stays_on_its_job_or_else_on_its_line(
    before: dict[str, JobRow], after: dict[str, JobRow], line: int, text: str
) -> None:
    view = JobView()
    view.rebuild(before, NOW)
    view.move_to(line)
    job_id, line = view.cursor_id, view.cursor_line
    view.filter(text)
    view.rebuild(after, NOW)
    stays_or_keeps_its_line(view, job_id, line)


def stays_or_keeps_its_line(view: JobView, job_id: str, line: int) -> None:
    if job_id in view.ids:
        assert view.cursor_id == job_id
    elif view.ids:
        assert view.cursor_line == min(line, len(view.ids) - 1)
        assert view.ids[view.cursor_line] == view.cursor_id
    else:
        assert view.cursor_id == ""


@SOME
@given(rows(), rows(), st.integers(0, 7), st.sets(st.sampled_from([f"j-{digit}" for digit in range(8)])))
def test_a_list_that_holds_still_only_loses_what_is_gone(
    before: dict[str, JobRow], after: dict[str, JobRow], line: int, marks: set[str]
) -> None:
    view = JobView()
    view.rebuild(before, NOW)
    view.move_to(line)
    view.marks = marks & before.keys()
    view.frozen = not view.marks
    assert view.holds_still
    shown, job_id, line = list(view.ids), view.cursor_id, view.cursor_line
    view.drop_gone(after)
    assert list(view.ids) == [each for each in shown if each in after]
    assert view.marks == marks & before.keys() & after.keys()
    stays_or_keeps_its_line(view, job_id, line)


@SOME
@given(rows(), st.lists(st.integers(0, 7), min_size=2, max_size=2))
def test_a_range_is_marked_whichever_way_it_was_walked(found: dict[str, JobRow], ends: Sequence[int]) -> None:
    view = JobView()
    view.rebuild(found, NOW)
    view.mark_range(*ends)
    assert view.marks == {job_id for line, job_id in enumerate(view.ids) if min(ends) <= line <= max(ends)}
    view.mark_listed()
    assert view.marks == set(view.ids)
    for job_id in view.ids:
        view.toggle_mark(job_id)
    assert not view.marks


@SOME
@given(rows(), st.integers(0, 7))
def test_the_next_that_failed_is_found_round_the_end(found: dict[str, JobRow], line: int) -> None:
    view = JobView()
    view.rebuild(found, NOW)
    view.move_to(line)
    after = [*view.ids[view.cursor_line + 1 :], *view.ids[: view.cursor_line + 1]]
    failed = [job_id for job_id in after if found[job_id].status is Status.FAILED]
    at = view.next_line(found, (Status.FAILED,))
    assert (view.ids[at] if at is not None else None) == (failed[0] if failed else None)


def test_a_wrong_filter_leaves_the_one_before() -> None:
    view = JobView()
    view.filter("state = FAILED")
    with pytest.raises(MilepostError) as refused:
        view.filter("state = BROKEN")
    assert refused.value.code is Code.INVALID_FILTER
    failed = row_for(job_pb2.Job(id="j-a", state=JOB_STATES[JobState.FAILED]))
    paused = row_for(job_pb2.Job(id="j-b", state=JOB_STATES[JobState.PAUSED]))
    view.rebuild({row.id: row for row in (failed, paused)}, NOW)
    assert (view.filter_text, list(view.ids)) == ("state = FAILED", ["j-a"])
