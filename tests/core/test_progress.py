"""Counts, percent, rate and ETA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core import progress
from milepost.core.model import LabelCount, Outcome
from milepost.core.progress import Sample, Span, seconds_at_work
from tests.core.factories import ALL_DONE, AT_228, BLOG, CREATORS, counts


def test_228_of_313() -> None:
    found = progress.job_counts(CREATORS, progress.step_counts(CREATORS, AT_228, {1: 16}))
    assert (found.processed, found.failed, found.total, found.in_flight, found.pending) == (228, 11, 313, 16, 69)


def test_what_left_the_line_is_upstream_of_later_steps_only() -> None:
    items, fetch, store, report = progress.step_counts(CREATORS, AT_228, {})
    assert (items.upstream, fetch.upstream, store.upstream, report.upstream) == (0, 0, 28, 0)
    assert (fetch.pending, store.pending) == (85, 85)


@given(
    total=st.integers(0, 50),
    split=st.tuples(*[st.integers(0, 50)] * 4),
    in_flight=st.dictionaries(st.integers(0, 3), st.integers(0, 60)),
)
def test_counts_add_up_whatever_the_runner_says(
    total: int, split: tuple[int, int, int, int], in_flight: dict[int, int]
) -> None:
    done, failed, skipped, stored = split
    done, failed = min(done, total), min(failed, max(0, total - done))
    skipped = min(skipped, total - done - failed)
    steps = (
        counts(0, "items", 1, done=1),
        counts(1, "fetch", total, done, failed, skipped),
        counts(2, "store", total, min(stored, done)),
        counts(3, "report", 1),
    )
    for count in progress.step_counts(CREATORS, steps, in_flight):
        parts = count.succeeded + count.failed + count.skipped + count.upstream + count.in_flight + count.pending
        assert parts == count.total
        assert min(count.pending, count.in_flight) >= 0


def test_one_item_steps_count_as_steps() -> None:
    steps = (counts(0, "topics", 1, 1), counts(1, "plan", 1, 1), counts(2, "write", 1), counts(3, "edit", 1))
    by_step = progress.step_counts(BLOG, steps, {})
    assert progress.job_percent(BLOG, by_step) == 50.0
    assert (progress.job_counts(BLOG, by_step).processed, progress.job_counts(BLOG, by_step).total) == (2, 4)


def test_percent_reaches_100_only_at_the_end() -> None:
    assert progress.job_percent(CREATORS, progress.step_counts(CREATORS, ALL_DONE, {})) == 100.0
    assert progress.job_percent(CREATORS, progress.step_counts(CREATORS, AT_228, {})) < 100.0
    reading = (counts(0, "items", 1), counts(1, "fetch", 40, done=40)._replace(total_known=False))
    unknown = (*reading, counts(2, "store", 40, done=40)._replace(total_known=False), counts(3, "report", 1))
    assert progress.job_percent(CREATORS, progress.step_counts(CREATORS, unknown, {})) < 100.0


def test_a_job_whose_input_could_not_be_read_has_done_nothing() -> None:
    unread = [step._replace(total_known=False) for step in (counts(1, "fetch", 0), counts(2, "store", 0))]
    by_step = progress.step_counts(CREATORS, (counts(0, "items", 1, failed=1), *unread, counts(3, "report", 1)), {})
    assert progress.job_percent(CREATORS, by_step) == 0.0
    assert [progress.percent([count]) for count in by_step[1:]] == [0.0, 0.0, 0.0]


def test_what_the_whole_job_needs_is_to_be_done_as_long_as_it_has_failed() -> None:
    reported = progress.step_counts(CREATORS, (*ALL_DONE[:3], counts(3, "report", 1, failed=1)), {})
    assert 99.0 < progress.job_percent(CREATORS, reported) < 100.0
    steps = (counts(0, "topics", 1, failed=1), counts(1, "plan", 1), counts(2, "write", 1), counts(3, "edit", 1))
    by_step = progress.step_counts(BLOG, steps, {})
    found = progress.job_counts(BLOG, by_step)
    assert (found.processed, found.pending, found.upstream, found.total) == (1, 3, 0, 4)
    assert progress.job_percent(BLOG, by_step) == 0.0


def test_a_job_that_was_left_early_by_a_skip_is_through() -> None:
    steps = (counts(0, "topics", 1, skipped=1), counts(1, "plan", 1), counts(2, "write", 1), counts(3, "edit", 1))
    by_step = progress.step_counts(BLOG, steps, {})
    assert progress.job_percent(BLOG, by_step) == 100.0
    assert progress.job_counts(BLOG, by_step).pending == 0


def test_outcomes_add_up_to_processed() -> None:
    assert progress.job_outcomes(CREATORS, AT_228) == (
        LabelCount(Outcome.FAILED, "", 11),
        LabelCount(Outcome.SKIPPED, "filtered", 17),
        LabelCount(Outcome.SUCCEEDED, "", 200),
    )


def test_a_gather_opens_when_all_before_it_has_ended() -> None:
    assert not progress.is_open(CREATORS, AT_228, 3)
    assert progress.is_open(CREATORS, ALL_DONE, 3)
    assert progress.is_open(CREATORS, AT_228, 2)


def test_remaining_is_zero_exactly_at_the_end() -> None:
    assert progress.remaining(CREATORS, ALL_DONE) == 0
    assert progress.remaining(CREATORS, AT_228) == 85 + 85 + 1


def test_rate_is_over_the_last_minute() -> None:
    samples = [Sample(0.0, 0), Sample(50.0, 100), Sample(100.0, 400)]
    assert progress.rate(samples, 100.0) == pytest.approx(300 / 50)
    assert progress.rate(samples[:1], 0.5) == 0.0
    assert progress.rate(samples, 300.0) == 0.0


def test_eta_is_unknown_until_something_moves() -> None:
    count = progress.step_counts(CREATORS, AT_228, {})[1]
    assert progress.eta(count, 0.0) is None
    assert progress.eta(count, 8.5) == pytest.approx(10.0)
    assert progress.eta(count._replace(total_known=False), 8.5) is None


def test_a_pause_is_no_work() -> None:
    runs = [Span(100.0, 110.0), Span(500.0, 520.0)]
    assert seconds_at_work(104.0, 515.0, runs) == 6.0 + 15.0
    assert seconds_at_work(105.0, 109.0, runs) == 4.0
    assert seconds_at_work(200.0, 300.0, runs) == 0.0
